# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions restricted to an interval: truncations of others, power laws, and one for Pólya-Gamma augmentation."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any, ClassVar

import jax
from jax import lax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri

from numpyro._shapes import broadcast_shapes, shape_of
from numpyro.distributions import constraints
from numpyro.distributions._special import log_indicator, xlogy
from numpyro.distributions._tails import Line, standardized
from numpyro.distributions.continuous import (
    Cauchy,
    Gamma,
    Laplace,
    Logistic,
    Normal,
    SoftLaplace,
    StudentT,
)
from numpyro.distributions.distribution import Distribution, ExpandedDistribution
from numpyro.distributions.util import log1mexp

__all__ = [
    "DoublyTruncatedPowerLaw",
    "LeftTruncatedDistribution",
    "LeftTruncatedGamma",
    "LowerTruncatedPowerLaw",
    "RightTruncatedDistribution",
    "RightTruncatedGamma",
    "TruncatedCauchy",
    "TruncatedDistribution",
    "TruncatedGamma",
    "TruncatedNormal",
    "TruncatedPolyaGamma",
    "TwoSidedTruncatedDistribution",
    "TwoSidedTruncatedGamma",
]


class _Truncated(Distribution):
    """A distribution given that its variable lies between ``low`` and ``high``, one of which may be missing."""

    pytree_data_fields = ("base_dist",)
    #: Classes that are accurate far in both tails; any other with a cdf and icdf on the real line works as well.
    supported_types: ClassVar[tuple[type[Distribution], ...]] = (
        Cauchy,
        Laplace,
        Logistic,
        Normal,
        SoftLaplace,
        StudentT,
    )
    base_dist: Distribution

    def _truncate(self, base_dist: Distribution, validate_args: bool | None, **bounds: Any) -> None:
        self._check_base(base_dist)
        shapes = {name: shape_of(bound) for name, bound in bounds.items()}
        try:
            batch_shape = broadcast_shapes(base_dist.batch_shape, *shapes.values())
        except ValueError:
            described = ", ".join(f"{name} has shape {shape}" for name, shape in shapes.items())
            raise ValueError(
                f"{type(self).__name__}: {described}, which does not broadcast with batch shape "
                f"{base_dist.batch_shape} of {type(base_dist).__name__}."
            ) from None
        self.base_dist = base_dist
        self._declare(validate_args=validate_args, **bounds)
        self._given_batch_shape = batch_shape

    def _check_base(self, base_dist: Any) -> None:
        if not isinstance(base_dist, Distribution):
            raise TypeError(f"{type(self).__name__}: base_dist must be a distribution, not {base_dist!r}.")
        inner = base_dist
        while isinstance(inner, ExpandedDistribution):
            inner = inner.base_dist
        if isinstance(inner, self.supported_types):
            return
        names = ", ".join(family.__name__ for family in self.supported_types)
        if base_dist.event_shape or base_dist.support is not constraints.real or self.supported_types == (Gamma,):
            hint = " For a Gamma use TruncatedGamma." if isinstance(inner, Gamma) else ""
            raise TypeError(
                f"{type(self).__name__}: {type(inner).__name__} cannot be truncated here. It takes {names}"
                + ("." if self.supported_types == (Gamma,) else ", or another univariate distribution on the real line")
                + " with a cdf and an icdf." * (self.supported_types != (Gamma,))
                + hint
            )

    def _bound(self, name: str) -> Any:
        return self.__dict__.get(name)

    def _standard(self) -> tuple[Any, Any, Line, Any, Any]:
        """Location, scale and standard form of the base, and the bounds in its units."""
        loc, scale, line = standardized(self.base_dist)
        bounds = (None if bound is None else (bound - loc) / scale for bound in map(self._bound, ("low", "high")))
        return loc, scale, line, *bounds

    @property
    def has_rsample(self) -> bool:
        return self.base_dist.has_rsample

    def _inside(self, value: Any) -> Any:
        """Which values lie between the bounds."""
        low, high = self._bound("low"), self._bound("high")
        inside = jnp.ones((), bool)
        if low is not None:
            inside = inside & (value >= low)
        if high is not None:
            inside = inside & (value <= high)
        return inside

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        dtype = jnp.result_type(float)
        tiny = float(jnp.finfo(dtype).tiny)
        return self.icdf(jax.random.uniform(key, self.shape(sample_shape), dtype, minval=tiny))

    def log_prob(self, value: Any) -> Any:
        loc, scale, line, a, b = self._standard()
        inside = self._inside(jnp.asarray(value))
        # Beyond the bounds the base may have no finite gradient.
        bound = self._bound("high") if self._bound("low") is None else self._bound("low")
        value = jnp.where(inside, value, lax.stop_gradient(jnp.asarray(bound)))
        # One quotient for each scale, not one for each value.
        log_prob = line.log_density((value - loc) * (1 / scale), a, b) - jnp.log(scale)
        return log_prob + log_indicator(inside)

    def log_cdf(self, value: Any) -> Any:
        loc, scale, line, a, b = self._standard()
        value = jnp.asarray(value)
        low, high = self._bound("low"), self._bound("high")
        # A value at or outside an end is moved to a place where the share has a gradient.
        is_zero = jnp.zeros((), bool) if low is None else value <= low
        is_one = jnp.zeros((), bool) if high is None else value >= high
        inner = low + scale if high is None else high
        z = (jnp.where(is_zero | is_one, inner, value) - loc) / scale
        log_cdf = jnp.minimum(line.log_share((a, z), (a, b)), 0.0)
        return jnp.where(is_zero, -jnp.inf, jnp.where(is_one, 0.0, log_cdf))

    def cdf(self, value: Any) -> Any:
        return jnp.exp(self.log_cdf(value))

    def icdf(self, q: Any) -> Any:
        loc, scale, line, a, b = self._standard()
        value = loc + scale * line.quantile(q, a, b)
        return jnp.clip(value, self._bound("low"), self._bound("high"))

    def _moments(self, name: str) -> tuple[Any, Any]:
        loc, scale, line, a, b = self._standard()
        try:
            mean, variance = line.moments(a, b)
        except NotImplementedError:
            raise NotImplementedError(
                f"{type(self).__name__}: the {name} of a truncated {type(self.base_dist).__name__} has no closed form"
            ) from None
        return loc + scale * mean, scale**2 * variance

    @property
    def mean(self) -> Any:
        return self._moments("mean")[0]

    @property
    def variance(self) -> Any:
        return self._moments("variance")[1]

    @property
    def mode(self) -> Any:
        return jnp.clip(self.base_dist.mode, self._bound("low"), self._bound("high"))

    def entropy(self) -> Any:
        """Entropy; in closed form for a Normal, Laplace, Logistic or Gamma."""
        _, scale, line, a, b = self._standard()
        try:
            return jnp.log(scale) + line.entropy(a, b)
        except NotImplementedError:
            raise NotImplementedError(
                f"{type(self).__name__}: the entropy of a truncated {type(self.base_dist).__name__} has no closed form"
            ) from None


class LeftTruncatedDistribution(_Truncated):
    r"""A distribution given that its variable is at least ``low``.

    .. math:: p(x) = \frac{f(x)}{1 - F(a)}, \quad x \ge a

    :param base_dist: a univariate distribution on the real line with a ``cdf`` and an ``icdf``. Normal, Cauchy,
        StudentT, Laplace, Logistic and SoftLaplace may be truncated however far in the tail.
    :param low: lower end :math:`a`, real.

    **Source:** Klein, Moeschberger (2003), *Survival Analysis*, chapter 3; Johnson, Kotz, Balakrishnan (1994),
    *Continuous Univariate Distributions*, volume 1, chapter 13 for the normal one.

    >>> import numpyro.distributions as dist
    >>> d = dist.LeftTruncatedDistribution(dist.Normal(0.0, 1.0), low=50.0)
    >>> round(float(d.mean), 4)
    50.02
    """

    arg_constraints = {"low": constraints.real}
    reparametrized_params = ["low"]

    def __init__(self, base_dist: Distribution, low: Any = 0.0, *, validate_args: bool | None = None) -> None:
        self._truncate(base_dist, validate_args, low=low)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.greater_than_eq(self.low)


class RightTruncatedDistribution(_Truncated):
    r"""A distribution given that its variable is at most ``high``.

    .. math:: p(x) = \frac{f(x)}{F(b)}, \quad x \le b

    :param base_dist: as for :class:`LeftTruncatedDistribution`.
    :param high: upper end :math:`b`, real.

    **Source:** Klein, Moeschberger (2003), *Survival Analysis*, chapter 3; Nadarajah, Kotz (2006), *A truncated Cauchy
    distribution*, for that one.

    >>> import numpyro.distributions as dist
    >>> d = dist.RightTruncatedDistribution(dist.Cauchy(0.0, 1.0), high=0.0)
    >>> round(float(d.cdf(-1.0)), 4)
    0.5
    """

    arg_constraints = {"high": constraints.real}
    reparametrized_params = ["high"]

    def __init__(self, base_dist: Distribution, high: Any = 0.0, *, validate_args: bool | None = None) -> None:
        self._truncate(base_dist, validate_args, high=high)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.less_than_eq(self.high)


class TwoSidedTruncatedDistribution(_Truncated):
    r"""A distribution given that its variable lies between ``low`` and ``high``.

    .. math:: p(x) = \frac{f(x)}{F(b) - F(a)}, \quad a \le x \le b

    :param base_dist: as for :class:`LeftTruncatedDistribution`.
    :param low: lower end :math:`a`.
    :param high: upper end :math:`b > a`.

    **Source:** Robert (1995), *Simulation of truncated normal variables*. Statistics and Computing 5.

    >>> import numpyro.distributions as dist
    >>> d = dist.TwoSidedTruncatedDistribution(dist.Laplace(0.0, 1.0), low=-1.0, high=1.0)
    >>> round(float(d.cdf(0.0)), 4)
    0.5
    """

    arg_constraints = {
        "low": constraints.dependent(is_discrete=False, event_dim=0),
        "high": constraints.dependent(is_discrete=False, event_dim=0),
    }
    reparametrized_params = ["low", "high"]

    def __init__(
        self, base_dist: Distribution, low: Any = 0.0, high: Any = 1.0, *, validate_args: bool | None = None
    ) -> None:
        self._truncate(base_dist, validate_args, low=low, high=high)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.interval(self.low, self.high)

    def _argument_constraint(self, name: str) -> Any:
        return constraints.less_than(self.high) if name == "low" else constraints.greater_than(self.low)


def TruncatedDistribution(
    base_dist: Distribution, low: Any = None, high: Any = None, *, validate_args: bool | None = None
) -> Distribution:
    """A distribution on the real line given that its variable lies between ``low`` and ``high``.

    :param base_dist: as for :class:`LeftTruncatedDistribution`.
    :param low: lower end; None for no lower end.
    :param high: upper end; None for no upper end.
    :return: one of :class:`LeftTruncatedDistribution`, :class:`RightTruncatedDistribution` and
        :class:`TwoSidedTruncatedDistribution`, or ``base_dist`` if there is no end.

    >>> import numpyro.distributions as dist
    >>> dist.TruncatedDistribution(dist.StudentT(3.0), low=1.0).support
    GreaterThanEq(lower_bound=1.0)
    """
    if high is None:
        if low is None:
            return base_dist
        return LeftTruncatedDistribution(base_dist, low=low, validate_args=validate_args)
    if low is None:
        return RightTruncatedDistribution(base_dist, high=high, validate_args=validate_args)
    return TwoSidedTruncatedDistribution(base_dist, low=low, high=high, validate_args=validate_args)


def TruncatedNormal(
    loc: Any = 0.0, scale: Any = 1.0, *, low: Any = None, high: Any = None, validate_args: bool | None = None
) -> Distribution:
    """Normal distribution on an interval; see :func:`TruncatedDistribution`.

    :param loc: mean of the normal distribution before truncation, real.
    :param scale: its standard deviation, positive.
    :param low: lower end, or None.
    :param high: upper end, or None.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.TruncatedNormal(0.0, 1.0, low=1.0).mean), 4)
    1.5251
    """
    return TruncatedDistribution(
        Normal(loc, scale, validate_args=validate_args), low=low, high=high, validate_args=validate_args
    )


def TruncatedCauchy(
    loc: Any = 0.0, scale: Any = 1.0, *, low: Any = None, high: Any = None, validate_args: bool | None = None
) -> Distribution:
    """Cauchy distribution on an interval; see :func:`TruncatedDistribution`.

    :param loc: median of the Cauchy distribution before truncation, real.
    :param scale: its scale, positive.
    :param low: lower end, or None.
    :param high: upper end, or None.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.TruncatedCauchy(0.0, 1.0, low=-1.0, high=3.0).mean), 4)
    0.3955
    """
    return TruncatedDistribution(
        Cauchy(loc, scale, validate_args=validate_args), low=low, high=high, validate_args=validate_args
    )


class LeftTruncatedGamma(_Truncated):
    r"""Gamma distribution given that its variable is at least ``low``.

    .. math:: p(x) = \frac{\beta^\alpha}{\Gamma(\alpha, \beta a)} x^{\alpha - 1} e^{-\beta x}, \quad x \ge a

    :param base_dist: a Gamma.
    :param low: lower end :math:`a \ge 0`.

    **Source:** Chapman (1956), *Estimating the parameters of a truncated gamma distribution*. Annals of Mathematical
    Statistics 27.

    >>> import numpyro.distributions as dist
    >>> d = dist.LeftTruncatedGamma(dist.Gamma(2.0, 1.0), low=1.0)
    >>> round(float(d.mean), 4)
    2.5
    """

    arg_constraints = {"low": constraints.nonnegative}
    reparametrized_params = ["low"]
    supported_types = (Gamma,)

    def __init__(self, base_dist: Distribution, low: Any = 0.0, *, validate_args: bool | None = None) -> None:
        self._truncate(base_dist, validate_args, low=low)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.greater_than_eq(self.low)


class RightTruncatedGamma(_Truncated):
    r"""Gamma distribution given that its variable is at most ``high``.

    .. math:: p(x) = \frac{\beta^\alpha}{\gamma(\alpha, \beta b)} x^{\alpha - 1} e^{-\beta x}, \quad 0 \le x \le b

    :param base_dist: a Gamma.
    :param high: upper end :math:`b > 0`.

    **Source:** Chapman (1956), *Estimating the parameters of a truncated gamma distribution*. Annals of Mathematical
    Statistics 27.

    >>> import numpyro.distributions as dist
    >>> d = dist.RightTruncatedGamma(dist.Gamma(2.0, 1.0), high=1.0)
    >>> round(float(d.mean), 4)
    0.6078
    """

    arg_constraints = {"high": constraints.positive}
    reparametrized_params = ["high"]
    supported_types = (Gamma,)

    def __init__(self, base_dist: Distribution, high: Any = 1.0, *, validate_args: bool | None = None) -> None:
        self._truncate(base_dist, validate_args, high=high)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.interval(0.0, self.high)

    def log_prob(self, value: Any) -> Any:
        positive = jnp.asarray(value) >= 0
        log_prob = super().log_prob(jnp.where(positive, value, self.high))
        return jnp.where(positive, log_prob, -jnp.inf)

    def log_cdf(self, value: Any) -> Any:
        positive = jnp.asarray(value) > 0
        return jnp.where(positive, super().log_cdf(jnp.where(positive, value, self.high)), -jnp.inf)


class TwoSidedTruncatedGamma(_Truncated):
    r"""Gamma distribution given that its variable lies between ``low`` and ``high``.

    .. math:: p(x) \propto x^{\alpha - 1} e^{-\beta x}, \quad a \le x \le b

    :param base_dist: a Gamma.
    :param low: lower end :math:`a \ge 0`.
    :param high: upper end :math:`b > a`.

    **Source:** Chapman (1956), *Estimating the parameters of a truncated gamma distribution*. Annals of Mathematical
    Statistics 27.

    >>> import numpyro.distributions as dist
    >>> d = dist.TwoSidedTruncatedGamma(dist.Gamma(2.0, 1.0), low=1.0, high=3.0)
    >>> round(float(d.mean), 4)
    1.8505
    """

    arg_constraints = {
        "low": constraints.dependent(is_discrete=False, event_dim=0),
        "high": constraints.dependent(is_discrete=False, event_dim=0),
    }
    reparametrized_params = ["low", "high"]
    supported_types = (Gamma,)

    def __init__(
        self, base_dist: Distribution, low: Any = 0.0, high: Any = 1.0, *, validate_args: bool | None = None
    ) -> None:
        self._truncate(base_dist, validate_args, low=low, high=high)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.interval(self.low, self.high)

    def _argument_constraint(self, name: str) -> Any:
        return constraints.interval(0.0, self.high) if name == "low" else constraints.greater_than(self.low)


def TruncatedGamma(
    concentration: Any = 1.0,
    rate: Any = 1.0,
    *,
    low: Any = None,
    high: Any = None,
    validate_args: bool | None = None,
) -> Distribution:
    """Gamma distribution on an interval.

    :param concentration: shape of the gamma distribution before truncation, positive.
    :param rate: its rate (inverse scale), positive.
    :param low: lower end, not negative, or None.
    :param high: upper end, positive, or None.
    :return: one of :class:`LeftTruncatedGamma`, :class:`RightTruncatedGamma` and :class:`TwoSidedTruncatedGamma`, or a
        Gamma if there is no end.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.TruncatedGamma(2.0, 1.0, low=1.0, high=3.0).variance), 4)
    0.3076
    """
    base_dist = Gamma(concentration, rate, validate_args=validate_args)
    if high is None:
        if low is None:
            return base_dist
        return LeftTruncatedGamma(base_dist, low=low, validate_args=validate_args)
    if low is None:
        return RightTruncatedGamma(base_dist, high=high, validate_args=validate_args)
    return TwoSidedTruncatedGamma(base_dist, low=low, high=high, validate_args=validate_args)


def _log_mean_exponential(t: Any) -> Any:
    """``log((e^t - 1) / t) - t / 2``, an even function of t."""
    size = jnp.abs(t)
    small = size < 0.5
    squared = jnp.where(small, t, 0.0) ** 2
    safe = jnp.where(small, 1.0, size)
    series = squared * (1 / 24 - squared * (1 / 2880 - squared * (1 / 181440 - squared / 9676800)))
    return jnp.where(small, series, 0.5 * safe + log1mexp(-safe) - jnp.log(safe))


def _log_power_integral(alpha: Any, low: Any, high: Any) -> Any:
    r""":math:`\log\int_l^h x^\alpha dx`, whatever the sign of :math:`\alpha + 1`; l may be 0."""
    order = alpha + 1.0
    at_zero = jnp.asarray(low) <= 0
    log_low, log_high = jnp.log(jnp.where(at_zero, high, low)), jnp.log(high)
    length = log_high - log_low
    apart = jnp.where(length > 0, length, 1.0)
    general = 0.5 * order * (log_low + log_high) + jnp.log(apart) + _log_mean_exponential(order * apart)
    general = jnp.where(length > 0, general, -jnp.inf)
    from_zero = jnp.where(order > 0, order * log_high - jnp.log(jnp.where(order > 0, order, 1.0)), jnp.inf)
    return jnp.where(at_zero, from_zero, general)


class LowerTruncatedPowerLaw(Distribution):
    r"""Power law above a positive end: a Pareto distribution by its exponent.

    .. math:: p(x) = -\frac{\alpha + 1}{a^{\alpha + 1}} x^\alpha, \quad x > a

    :param alpha: exponent :math:`\alpha < -1`.
    :param low: lower end :math:`a > 0`.

    **Source:** Clauset, Shalizi, Newman (2009), *Power-law distributions in empirical data*. SIAM Review 51.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.LowerTruncatedPowerLaw(-2.0, 1.0).cdf(4.0)), 4)
    0.75
    """

    arg_constraints = {"alpha": constraints.less_than(-1.0), "low": constraints.greater_than(0.0)}
    reparametrized_params = ["alpha", "low"]

    def __init__(self, alpha: Any, low: Any, *, validate_args: bool | None = None) -> None:
        self._declare(alpha=alpha, low=low, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.greater_than(self.low)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        draws = jax.random.exponential(key, self.shape(sample_shape))
        return self.low * jnp.exp(-draws / (self.alpha + 1.0))

    def _log_ratio(self, value: Any) -> Any:
        return jnp.log(jnp.maximum(value, self.low)) - jnp.log(self.low)

    def log_prob(self, value: Any) -> Any:
        # Below the lower end the density is 0 whatever is computed for it, if only it is finite.
        log_value = jnp.log(jnp.maximum(value, lax.stop_gradient(self.low)))
        scale = jnp.log(-(self.alpha + 1.0)) - (self.alpha + 1.0) * jnp.log(self.low)
        return self.alpha * log_value + scale + log_indicator(jnp.asarray(value) >= self.low)

    def cdf(self, value: Any) -> Any:
        return -jnp.expm1((self.alpha + 1.0) * self._log_ratio(value))

    def icdf(self, q: Any) -> Any:
        return self.low * jnp.exp(jnp.log1p(-jnp.asarray(q)) / (self.alpha + 1.0))

    @property
    def mean(self) -> Any:
        exists = jnp.asarray(self.alpha) < -2
        safe = jnp.where(exists, self.alpha, -3.0)
        return jnp.where(exists, self.low * (safe + 1) / (safe + 2), jnp.inf)

    @property
    def variance(self) -> Any:
        exists = jnp.asarray(self.alpha) < -3
        safe = jnp.where(exists, self.alpha, -4.0)
        return jnp.where(exists, self.low**2 * (safe + 1) / ((safe + 2) ** 2 * (safe + 3)), jnp.inf)

    @property
    def mode(self) -> Any:
        return self.low

    def entropy(self) -> Any:
        order = -(self.alpha + 1.0)
        return jnp.log(self.low) - jnp.log(order) + 1 / order + 1


class DoublyTruncatedPowerLaw(Distribution):
    r"""Power law on an interval.

    .. math:: p(x) = \frac{(\alpha + 1)\,x^\alpha}{b^{\alpha + 1} - a^{\alpha + 1}}, \quad a \le x \le b,

    and :math:`1 / (x \log(b / a))` for :math:`\alpha = -1`.

    :param alpha: exponent :math:`\alpha`, any real number.
    :param low: lower end :math:`a \ge 0`; may be 0 only if :math:`\alpha > -1`.
    :param high: upper end :math:`b > a`.

    **Source:** Aban, Meerschaert, Panorska (2006), *Parameter estimation for the truncated Pareto distribution*.
    Journal of the American Statistical Association 101.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.DoublyTruncatedPowerLaw(-1.0, 1.0, 100.0).cdf(10.0)), 4)
    0.5
    """

    arg_constraints = {
        "alpha": constraints.real,
        "low": constraints.greater_than_eq(0.0),
        "high": constraints.greater_than(0.0),
    }
    reparametrized_params = ["alpha", "low", "high"]

    def __init__(self, alpha: Any, low: Any, high: Any, *, validate_args: bool | None = None) -> None:
        self._declare(alpha=alpha, low=low, high=high, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.interval(self.low, self.high)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.icdf(jax.random.uniform(key, self.shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        value = jnp.asarray(value)
        inside = (value >= self.low) & (value <= self.high)
        safe = jnp.where(inside, value, self.high)
        log_prob = xlogy(self.alpha, safe) - _log_power_integral(self.alpha, self.low, self.high)
        return jnp.where(inside, log_prob, -jnp.inf)

    def cdf(self, value: Any) -> Any:
        value = jnp.asarray(value)
        inside = (value > self.low) & (value < self.high)
        part = _log_power_integral(self.alpha, self.low, jnp.where(inside, value, self.high))
        share = jnp.exp(part - _log_power_integral(self.alpha, self.low, self.high))
        return jnp.where(inside, share, jnp.where(value >= self.high, 1.0, 0.0))

    def icdf(self, q: Any) -> Any:
        q, order = jnp.asarray(q), self.alpha + 1.0
        at_zero = jnp.asarray(self.low) <= 0
        low = jnp.where(at_zero, self.high, self.low)
        length = jnp.log(self.high) - jnp.log(low)
        # log(x / low) is -log1p(q (e^-t - 1)) / t * length with t = -order * length; counted from the end with the
        # larger density of log x, so that t is positive.
        rising = order > 0
        t, share = jnp.abs(order) * length, jnp.where(rising, 1 - q, q)
        flat = t < 1e-3
        steep_t = jnp.where(flat, 1.0, t)
        steep = -jnp.log1p(share * jnp.expm1(-steep_t)) / steep_t
        step = length * jnp.where(flat, share * (1 - 0.5 * t * (1 - share)), steep)
        value = jnp.where(rising, self.high * jnp.exp(-step), low * jnp.exp(step))
        inside = at_zero & (q > 0) & rising
        exponent = jnp.where(inside, jnp.log(jnp.where(inside, q, 1.0)) / jnp.where(inside, order, 1.0), 0.0)
        from_zero = jnp.where(q > 0, self.high * jnp.exp(exponent), 0.0)
        return jnp.clip(jnp.where(at_zero, from_zero, value), self.low, self.high)

    @property
    def mean(self) -> Any:
        return jnp.exp(self._log_raw_moment(1))

    @property
    def variance(self) -> Any:
        return jnp.exp(self._log_raw_moment(2)) - jnp.exp(2 * self._log_raw_moment(1))

    def entropy(self) -> Any:
        alpha = jnp.asarray(self.alpha, jnp.result_type(float))
        log_integral = lambda alpha: _log_power_integral(alpha, self.low, self.high)
        whole, mean_log = jax.jvp(log_integral, (alpha,), (jnp.ones_like(alpha),))
        return whole - alpha * mean_log

    def _log_raw_moment(self, order: int) -> Any:
        whole = _log_power_integral(self.alpha, self.low, self.high)
        return _log_power_integral(self.alpha + float(order), self.low, self.high) - whole


class TruncatedPolyaGamma(Distribution):
    r"""Pólya-Gamma distribution PG(1, 0), truncated to values below 2.5.

    .. math:: p(x) = \frac{1}{F(2.5)} \sum_{n=0}^\infty (-1)^n \frac{2n + 1}{\sqrt{2\pi x^3}} e^{-(2n + 1)^2 / 8x}
        = \frac{1}{F(2.5)} \sum_{n=0}^\infty (-1)^n 2\pi (2n + 1)\, e^{-(2n + 1)^2 \pi^2 x / 2},
        \quad 0 < x \le 2.5

    The truncation leaves out :math:`5.6 \cdot 10^{-6}` of the mass.

    **Source:** Polson, Scott, Windle (2013), *Bayesian inference for logistic models using Pólya-Gamma latent
    variables*. The first series converges quickly for small x, the second one for large x; both are used.

    :param batch_shape: batch shape.

    >>> import numpyro.distributions as dist
    >>> d = dist.TruncatedPolyaGamma(batch_shape=(3,))
    >>> d.batch_shape, round(float(d.mean[0]), 3)
    ((3,), 0.25)
    """

    #: Upper end of the support.
    truncation_point = 2.5
    #: Number of terms of each series.
    num_log_prob_terms = 7
    #: Number of random variates behind a draw: it is made by inversion of the distribution function.
    num_gamma_variates = 1

    support = constraints.interval(0.0, truncation_point)
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, batch_shape: Sequence[int] = (), *, validate_args: bool | None = None) -> None:
        super().__init__(batch_shape, (), validate_args=validate_args)

    @property
    def _order(self) -> list[int]:
        """The odd numbers 2n + 1, those of negative terms with a minus sign."""
        return [(-1) ** n * (2 * n + 1) for n in range(self.num_log_prob_terms)]

    def _is_small(self, value: Any) -> tuple[Any, Any, Any]:
        small = value < 0.25
        return small, jnp.where(small, value, 0.25), jnp.where(small, 0.25, value)

    def _log_density(self, value: Any) -> Any:
        """Log density without the truncation, for positive values."""
        small, x, y = self._is_small(value)
        first = sum(k * jnp.exp((1 - k * k) / (8 * x)) for k in self._order)
        second = sum(k * jnp.exp((1 - k * k) * (math.pi**2 / 2) * y) for k in self._order)
        return jnp.where(
            small,
            jnp.log(first) - 1 / (8 * x) - 1.5 * jnp.log(x) - 0.5 * math.log(2 * math.pi),
            jnp.log(second) - (math.pi**2 / 2) * y + math.log(2 * math.pi),
        )

    def _below(self, x: Any) -> Any:
        """Probability of a value below a small one, without the truncation."""
        root = 2 * jnp.sqrt(x)
        return 4 * sum(math.copysign(1.0, k) * ndtr(-abs(k) / root) for k in self._order)

    def _above(self, y: Any) -> Any:
        """Probability of a value above a large one, without the truncation."""
        return 4 / math.pi * sum(jnp.exp(-(k * k) * (math.pi**2 / 2) * y) / k for k in self._order)

    def _tail_moment(self, power: int) -> float:
        """Integral of ``x ** power`` over what is left out, of density ``sum_k 2 pi k exp(-rate x)``."""
        end, total = self.truncation_point, 0.0
        for k in self._order:
            rate = k * k * math.pi**2 / 2
            polynomial = sum(math.perm(power, j) * end ** (power - j) / rate**j for j in range(power + 1))
            total += 4 / (math.pi * k) * math.exp(-rate * end) * polynomial
        return total

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.icdf(jax.random.uniform(key, self.shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        value = jnp.asarray(value)
        inside = (value > 0) & (value <= self.truncation_point)
        log_prob = self._log_density(jnp.where(inside, value, 0.25)) - math.log1p(-self._tail_moment(0))
        shape = broadcast_shapes(value.shape, self.batch_shape)
        return jnp.broadcast_to(jnp.where(inside, log_prob, -jnp.inf), shape)

    def cdf(self, value: Any) -> Any:
        value = jnp.asarray(value)
        positive = value > 0
        small, x, y = self._is_small(jnp.where(positive, value, 0.25))
        total = 1 - self._tail_moment(0)
        cdf = jnp.where(small, self._below(x), 1 - self._above(y)) / total
        cdf = jnp.where(value >= self.truncation_point, 1.0, jnp.where(positive, cdf, 0.0))
        return jnp.broadcast_to(cdf, broadcast_shapes(value.shape, self.batch_shape))

    def icdf(self, q: Any) -> Any:
        left_out = self._tail_moment(0)
        below = jnp.asarray(q) * (1 - left_out)
        above = (1 - jnp.asarray(q)) * (1 - left_out) + left_out
        # The first terms of both series invert in closed form; two Newton steps mend the rest.
        small = below < 0.55
        inside = jnp.where(small & (below > 0), below, 0.3)
        x = jnp.where(small, 0.25 / ndtri(inside / 4) ** 2, -2 / math.pi**2 * jnp.log(math.pi / 4 * above))
        for _ in range(2):
            density = jnp.exp(self._log_density(x))
            excess = jnp.where(small, self._below(x) - inside, above - self._above(x))
            x = x - excess / density
        x = jnp.where(below > 0, jnp.minimum(x, self.truncation_point), 0.0)
        return jnp.broadcast_to(x, broadcast_shapes(jnp.shape(q), self.batch_shape))

    @property
    def mean(self) -> Any:
        return (1 / 4 - self._tail_moment(1)) / (1 - self._tail_moment(0))

    @property
    def variance(self) -> Any:
        second = (5 / 48 - self._tail_moment(2)) / (1 - self._tail_moment(0))
        return second - ((1 / 4 - self._tail_moment(1)) / (1 - self._tail_moment(0))) ** 2

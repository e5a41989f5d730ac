# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions on an interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma

from numpyro.distributions import constraints
from numpyro.distributions._log_density import log_beta
from numpyro.distributions._random import beta_variate
from numpyro.distributions._special import betainc, betaincinv, betaln, log_indicator, times_log_zero
from numpyro.distributions.continuous.real_line import Logistic
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.distribution.transformed import _TransformedFamily
from numpyro.distributions.transforms import SigmoidTransform
from numpyro.distributions.util import assert_one_of, clamp_probs, log1mexp

__all__ = [
    "Beta",
    "BetaProportion",
    "Kumaraswamy",
    "LogUniform",
    "RelaxedBernoulli",
    "RelaxedBernoulliLogits",
    "Uniform",
]


class Uniform(Distribution):
    r"""Uniform distribution.

    .. math:: p(x) = \frac{1}{b - a}, \quad a \le x \le b

    :param low: lower end :math:`a`.
    :param high: upper end :math:`b > a`.

    **Source:** Johnson, Kotz, Balakrishnan (1995), *Continuous Univariate Distributions*, volume 2, chapter 26.

    >>> import numpyro.distributions as dist
    >>> float(dist.Uniform(1.0, 3.0).mean)
    2.0
    """

    arg_constraints = {
        "low": constraints.dependent(is_discrete=False, event_dim=0),
        "high": constraints.dependent(is_discrete=False, event_dim=0),
    }
    reparametrized_params = ["low", "high"]

    def __init__(self, low: Any = 0.0, high: Any = 1.0, *, validate_args: bool | None = None) -> None:
        self._declare(low=low, high=high, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.interval(self.low, self.high)

    def _argument_constraint(self, name: str) -> Any:
        return constraints.less_than(self.high) if name == "low" else constraints.greater_than(self.low)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.low + (self.high - self.low) * jax.random.uniform(key, self.shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        value = jnp.asarray(value)
        inside = (value >= self.low) & (value <= self.high)
        return log_indicator(inside) - jnp.log(self.high - self.low)

    def cdf(self, value: Any) -> Any:
        return jnp.clip((value - self.low) / (self.high - self.low), 0.0, 1.0)

    def icdf(self, q: Any) -> Any:
        return self.low + q * (self.high - self.low)

    @property
    def mean(self) -> Any:
        return self.low + 0.5 * (self.high - self.low)

    @property
    def variance(self) -> Any:
        return (self.high - self.low) ** 2 / 12.0

    def entropy(self) -> Any:
        return jnp.log(self.high - self.low)


class Beta(Distribution):
    r"""Beta distribution.

    .. math:: p(x) = \frac{x^{\alpha - 1} (1 - x)^{\beta - 1}}{B(\alpha, \beta)}, \quad 0 \le x \le 1

    :param concentration1: :math:`\alpha > 0`, the exponent of x plus one.
    :param concentration0: :math:`\beta > 0`, the exponent of 1 - x plus one.

    **Source:** Johnson, Kotz, Balakrishnan (1995), *Continuous Univariate Distributions*, volume 2, chapter 25.

    >>> import numpyro.distributions as dist
    >>> float(dist.Beta(1.0, 3.0).mean)
    0.25
    """

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    reparametrized_params = ["concentration1", "concentration0"]

    def __init__(self, concentration1: Any, concentration0: Any, *, validate_args: bool | None = None) -> None:
        self._declare(concentration1=concentration1, concentration0=concentration0, validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return beta_variate(key, self.concentration1, self.concentration0, self.shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        return log_beta(self.concentration1, self.concentration0, value)

    def cdf(self, value: Any) -> Any:
        return betainc(self.concentration1, self.concentration0, jnp.clip(value, 0.0, 1.0))

    def icdf(self, q: Any) -> Any:
        return betaincinv(self.concentration1, self.concentration0, q)

    @property
    def mean(self) -> Any:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def variance(self) -> Any:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total**2 * (total + 1))

    @property
    def mode(self) -> Any:
        """Mode; NaN where the density has none or no single one (a concentration below 1, or both equal to 1)."""
        a, b = jnp.asarray(self.concentration1), jnp.asarray(self.concentration0)
        unique = (a >= 1) & (b >= 1) & (a + b > 2)
        return jnp.where(unique, (a - 1) / jnp.where(unique, a + b - 2, 1.0), jnp.nan)

    def entropy(self) -> Any:
        a, b = jnp.asarray(self.concentration1), jnp.asarray(self.concentration0)
        weights = (a - 1) * digamma(a) + (b - 1) * digamma(b)
        return betaln(a, b) - weights + (a + b - 2) * digamma(a + b)


class BetaProportion(Beta):
    r"""Beta distribution, given by its mean and a concentration.

    .. math:: p(x) = \frac{x^{\mu\kappa - 1} (1 - x)^{(1 - \mu)\kappa - 1}}{B(\mu\kappa, (1 - \mu)\kappa)},
        \quad 0 \le x \le 1

    It is :math:`\mathrm{Beta}(\mu\kappa, (1 - \mu)\kappa)`.

    :param mean: mean :math:`\mu`, in (0, 1).
    :param concentration: :math:`\kappa > 0`, as it were the number of observations.

    **Source:** *Stan Functions Reference*, beta proportion distribution.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.BetaProportion(0.25, 4.0).variance), 4)
    0.0375
    """

    arg_constraints = {"mean": constraints.open_interval(0.0, 1.0), "concentration": constraints.positive}
    reparametrized_params = ["mean", "concentration"]

    def __init__(self, mean: Any, concentration: Any, *, validate_args: bool | None = None) -> None:
        self._declare(mean=mean, concentration=concentration, validate_args=validate_args)

    @property
    def mean(self) -> Any:
        return self.__dict__["mean"]

    @mean.setter
    def mean(self, value: Any) -> None:
        self.__dict__["mean"] = value

    @property
    def concentration1(self) -> Any:
        """Exponent of x plus one."""
        return self.mean * self.concentration

    @property
    def concentration0(self) -> Any:
        """Exponent of 1 - x plus one."""
        return (1 - self.mean) * self.concentration


class Kumaraswamy(Distribution):
    r"""Kumaraswamy distribution: like a Beta distribution, with closed forms.

    .. math:: p(x) = ab\,x^{a - 1} (1 - x^a)^{b - 1}, \quad 0 \le x \le 1

    :param concentration1: :math:`a > 0`.
    :param concentration0: :math:`b > 0`.

    **Source:** Kumaraswamy (1980), *A generalized probability density function for double-bounded random processes*.
    Journal of Hydrology 46.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.Kumaraswamy(1.0, 3.0).mean), 4)
    0.25
    """

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    reparametrized_params = ["concentration1", "concentration0"]
    #: Terms of a series for the divergence from a Beta distribution; here a quadrature computes it to rounding instead.
    KL_KUMARASWAMY_BETA_TAYLOR_ORDER = 10

    def __init__(self, concentration1: Any, concentration0: Any, *, validate_args: bool | None = None) -> None:
        self._declare(concentration1=concentration1, concentration0=concentration0, validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        draws = jax.random.exponential(key, self.shape(sample_shape))
        return self._upper_quantile(-draws)

    def _upper_quantile(self, log_tail: Any) -> Any:
        """The value beyond which the probability is ``exp(log_tail)``."""
        return (-jnp.expm1(log_tail / self.concentration0)) ** (1 / jnp.asarray(self.concentration1))

    def log_prob(self, value: Any) -> Any:
        a, b, value = self.concentration1, self.concentration0, jnp.asarray(value)
        inside = (value >= 0) & (value <= 1)
        safe = jnp.where(inside, value, 0.5)
        # By logarithms: a power is rounded next to 1, and is no vector operation of XLA's.
        interior = (safe > 0) & (safe < 1)
        log_value = jnp.log(jnp.where(interior, safe, 0.5))
        log_complement = log1mexp(a * log_value)
        kernel = jnp.where(interior, (a - 1.0) * log_value + (b - 1.0) * log_complement, 0.0)
        at_ends = jnp.where(safe == 0, times_log_zero(a - 1.0), jnp.where(safe == 1, times_log_zero(b - 1.0), 0.0))
        kernel = kernel + at_ends
        return kernel + (jnp.log(a) + jnp.log(b)) + log_indicator(inside)

    def _power(self, value: Any) -> Any:
        return jnp.where(value > 0, jnp.where(value > 0, value, 1.0) ** self.concentration1, 0.0)

    def cdf(self, value: Any) -> Any:
        power = self._power(jnp.clip(value, 0.0, 1.0))
        return jnp.where(power < 1, -jnp.expm1(self.concentration0 * jnp.log1p(-jnp.where(power < 1, power, 0.0))), 1.0)

    def icdf(self, q: Any) -> Any:
        return self._upper_quantile(jnp.log1p(-jnp.asarray(q)))

    def _raw_moment(self, order: int) -> Any:
        b = jnp.asarray(self.concentration0)
        return b * jnp.exp(betaln(1 + order / jnp.asarray(self.concentration1), b))

    @property
    def mean(self) -> Any:
        return self._raw_moment(1)

    @property
    def variance(self) -> Any:
        return self._raw_moment(2) - self._raw_moment(1) ** 2

    @property
    def mode(self) -> Any:
        """Mode; NaN where the density has none or no single one."""
        a, b = jnp.asarray(self.concentration1), jnp.asarray(self.concentration0)
        unique = (a >= 1) & (b >= 1) & (a * b > 1)
        return jnp.where(
            unique, (jnp.where(unique, a - 1, 1.0) / jnp.where(unique, a * b - 1, 1.0)) ** (1 / a), jnp.nan
        )

    def entropy(self) -> Any:
        a, b = jnp.asarray(self.concentration1), jnp.asarray(self.concentration0)
        return 1 - 1 / b + (1 - 1 / a) * (digamma(b + 1) + jnp.euler_gamma) - jnp.log(a) - jnp.log(b)


class LogUniform(Distribution):
    r"""Log-uniform (reciprocal) distribution: that of :math:`e^y` where y is uniform.

    .. math:: p(x) = \frac{1}{x \log(b / a)}, \quad a \le x \le b

    :param low: lower end :math:`a > 0`.
    :param high: upper end :math:`b > a`.

    **Source:** Hamming (1970), *On the distribution of numbers*. Bell System Technical Journal 49.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.LogUniform(1.0, 100.0).cdf(10.0)), 4)
    0.5
    """

    arg_constraints = {"low": constraints.positive, "high": constraints.positive}
    reparametrized_params = ["low", "high"]

    def __init__(self, low: Any, high: Any, *, validate_args: bool | None = None) -> None:
        self._declare(low=low, high=high, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.interval(self.low, self.high)

    def _argument_constraint(self, name: str) -> Any:
        return constraints.positive if name == "low" else constraints.greater_than(self.low)

    @property
    def _log_ratio(self) -> Any:
        return jnp.log(self.high) - jnp.log(self.low)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.icdf(jax.random.uniform(key, self.shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        value = jnp.asarray(value)
        inside = (value >= self.low) & (value <= self.high)
        return log_indicator(inside) - jnp.log(jnp.where(inside, value, 1.0)) - jnp.log(self._log_ratio)

    def cdf(self, value: Any) -> Any:
        return (jnp.log(jnp.clip(value, self.low, self.high)) - jnp.log(self.low)) / self._log_ratio

    def icdf(self, q: Any) -> Any:
        return jnp.clip(self.low * jnp.exp(q * self._log_ratio), self.low, self.high)

    @property
    def mean(self) -> Any:
        return (self.high - self.low) / self._log_ratio

    @property
    def variance(self) -> Any:
        return 0.5 * (self.high**2 - self.low**2) / self._log_ratio - ((self.high - self.low) / self._log_ratio) ** 2

    @property
    def mode(self) -> Any:
        return self.low

    def entropy(self) -> Any:
        return 0.5 * (jnp.log(self.high) + jnp.log(self.low)) + jnp.log(self._log_ratio)


class RelaxedBernoulliLogits(_TransformedFamily):
    r"""Continuous relaxation of a Bernoulli distribution: that of :math:`1 / (1 + e^{-y})` where y is logistic with
    location :math:`\ell / \tau` and scale :math:`1 / \tau`.

    .. math:: p(x) = \frac{\tau e^{\ell} x^{-\tau - 1} (1 - x)^{-\tau - 1}}{(e^{\ell} x^{-\tau} + (1 - x)^{-\tau})^2},
        \quad 0 < x < 1

    :param temperature: :math:`\tau > 0`; towards 0 the values go to 0 and 1.
    :param logits: log odds :math:`\ell` of 1, real.

    **Source:** Maddison, Mnih, Teh: *The Concrete Distribution*. ICLR 2017, appendix B.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.RelaxedBernoulliLogits(2.0, 0.0).cdf(0.5)), 4)
    0.5
    """

    arg_constraints = {"temperature": constraints.positive, "logits": constraints.real}
    support = constraints.unit_interval
    reparametrized_params = ["temperature", "logits"]

    def __init__(self, temperature: Any, logits: Any, *, validate_args: bool | None = None) -> None:
        self._declare(temperature=temperature, logits=logits, validate_args=validate_args)

    @property
    def base_dist(self) -> Distribution:
        return Logistic(self.logits / self.temperature, 1 / self.temperature)

    @property
    def transforms(self) -> Any:
        return [SigmoidTransform()]

    def log_prob(self, value: Any, intermediates: Any = None) -> Any:
        # The logistic density and the Jacobian in one: of a value two logarithms and an exponential, not four and two.
        value = jnp.asarray(value, jnp.result_type(float))
        info = jnp.finfo(value.dtype)
        x = jnp.clip(value, float(info.tiny), 1 - float(info.epsneg))
        z = self.temperature * jnp.log(x / (1 - x)) - self.logits
        size = jnp.abs(z)
        spread = x * (1 - x) * jnp.square(1 + jnp.exp(-size))
        inside = (value >= 0) & (value <= 1)
        return jnp.log(self.temperature) - size - jnp.log(spread) + log_indicator(inside)


def RelaxedBernoulli(
    temperature: Any, probs: Any = None, logits: Any = None, *, validate_args: bool | None = None
) -> Distribution:
    r"""Continuous relaxation of a Bernoulli distribution, given by either ``probs`` or ``logits``.

    :param temperature: :math:`\tau > 0`; towards 0 the values go to 0 and 1.
    :param probs: probability of 1 in the limit, in (0, 1).
    :param logits: its log odds, real.
    :return: a :class:`RelaxedBernoulliLogits`.
    :raises ValueError: unless exactly one of the two is given.

    >>> import numpyro.distributions as dist
    >>> float(dist.RelaxedBernoulli(1.0, probs=0.5).logits)
    0.0
    """
    assert_one_of(probs=probs, logits=logits)
    if probs is not None:
        probs = clamp_probs(probs)
        logits = jnp.log(probs) - jnp.log1p(-probs)
    return RelaxedBernoulliLogits(temperature, logits, validate_args=validate_args)

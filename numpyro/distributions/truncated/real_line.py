# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Truncations of distributions on the real line."""

from __future__ import annotations

from typing import Any

from numpyro.distributions import constraints
from numpyro.distributions.continuous import Cauchy, Normal
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.truncated.truncation import _LeftTruncation, _Truncation, _TwoSidedTruncation

__all__ = [
    "LeftTruncatedDistribution",
    "RightTruncatedDistribution",
    "TruncatedCauchy",
    "TruncatedDistribution",
    "TruncatedNormal",
    "TwoSidedTruncatedDistribution",
]


class LeftTruncatedDistribution(_LeftTruncation):
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


class RightTruncatedDistribution(_Truncation):
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


class TwoSidedTruncatedDistribution(_TwoSidedTruncation):
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

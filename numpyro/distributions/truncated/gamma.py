# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Gamma distributions on an interval."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from numpyro.distributions import constraints
from numpyro.distributions._log_density import log_gamma
from numpyro.distributions._special import log_indicator
from numpyro.distributions._tails import unwrapped
from numpyro.distributions.continuous import Gamma
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.truncated.truncation import _LeftTruncation, _Truncation, _TwoSidedTruncation

__all__ = ["LeftTruncatedGamma", "RightTruncatedGamma", "TruncatedGamma", "TwoSidedTruncatedGamma"]


class _TruncatedGamma(_Truncation):
    supported_types = (Gamma,)
    takes_others = False

    def log_prob(self, value: Any) -> Any:
        # Not as of a general base: the log density of a gamma has finite derivatives at any number, and a value costs
        # a logarithm and a few products, so that each selection counts.
        base: Any = unwrapped(self.base_dist)
        _, _, line, a, b = self._standard()
        value = jnp.asarray(value)
        log_density = log_gamma(base.concentration, base.rate, value) - line.log_mass(a, b)
        return log_density + log_indicator(self._inside(value))


class LeftTruncatedGamma(_TruncatedGamma, _LeftTruncation):
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


class RightTruncatedGamma(_TruncatedGamma):
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

    def __init__(self, base_dist: Distribution, high: Any = 1.0, *, validate_args: bool | None = None) -> None:
        self._truncate(base_dist, validate_args, high=high)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.interval(0.0, self.high)

    def log_cdf(self, value: Any) -> Any:
        positive = jnp.asarray(value) > 0
        return jnp.where(positive, super().log_cdf(jnp.where(positive, value, self.high)), -jnp.inf)


class TwoSidedTruncatedGamma(_TruncatedGamma, _TwoSidedTruncation):
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

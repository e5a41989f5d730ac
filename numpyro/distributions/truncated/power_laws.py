# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Power laws on a half-line and on an interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp

from numpyro.distributions import constraints
from numpyro.distributions._special import log_indicator, log_quotient, times_log_zero
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import log1mexp

__all__ = ["DoublyTruncatedPowerLaw", "LowerTruncatedPowerLaw"]


def log_mean_exponential(t: Any) -> Any:
    """``log((e^t - 1) / t) - t / 2``, an even function of t."""
    size = jnp.abs(t)
    small = size < 0.5
    squared = jnp.where(small, t, 0.0) ** 2
    safe = jnp.where(small, 1.0, size)
    series = squared * (1 / 24 - squared * (1 / 2880 - squared * (1 / 181440 - squared / 9676800)))
    return jnp.where(small, series, 0.5 * safe + log1mexp(-safe) - jnp.log(safe))


def log_falling_integral(rate: Any, length: Any) -> Any:
    r""":math:`\log\int_0^R e^{-r t} dt` for :math:`r \ge 0`; the length R may be infinite if r is positive."""
    t = rate * length
    short = t < 0.5
    small, finite = jnp.where(short, t, 0.0), jnp.where(short, length, 1.0)
    near = jnp.log(finite) + log_mean_exponential(small) - 0.5 * small
    far = log1mexp(-jnp.where(short, 1.0, t)) - jnp.log(jnp.where(short, 1.0, rate))
    return jnp.where(short, near, far)


def log_power_integral(alpha: Any, low: Any, high: Any) -> Any:
    r""":math:`\log\int_l^h x^\alpha dx`, whatever the sign of :math:`\alpha + 1`; l may be 0."""
    order = alpha + 1.0
    at_zero = jnp.asarray(low) <= 0
    log_low, log_high = jnp.log(jnp.where(at_zero, high, low)), jnp.log(high)
    length = log_high - log_low
    apart = jnp.where(length > 0, length, 1.0)
    general = 0.5 * order * (log_low + log_high) + jnp.log(apart) + log_mean_exponential(order * apart)
    general = jnp.where(length > 0, general, -jnp.inf)
    from_zero = jnp.where(order > 0, order * log_high - jnp.log(jnp.where(order > 0, order, 1.0)), jnp.inf)
    return jnp.where(at_zero, from_zero, general)


@jax.custom_jvp
def _log_power(order: Any, x: Any, unit: Any) -> Any:
    """The logarithm of ``(x / unit)^order``; ``unit`` does not vary."""
    return order * log_quotient(x, unit)


@_log_power.defjvp
def _log_power_jvp(primals: tuple[Any, Any, Any], tangents: tuple[Any, Any, Any]) -> tuple[Any, Any]:
    # The sum over many values of a difference of logarithms is three times as fast as that of logarithms of a quotient.
    order, x, unit = primals
    return _log_power(*primals), (jnp.log(x) - jnp.log(unit)) * tangents[0] + order / x * tangents[1]


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
        return log_quotient(jnp.maximum(value, self.low), self.low)

    def log_prob(self, value: Any) -> Any:
        # Below the lower end the density is 0 whatever is computed for it, if only it is finite.
        # The derivative in the bound is a number, not a sum over all values: it goes by the scale.
        low, log_low = lax.stop_gradient(self.low), jnp.log(self.low)
        scale = jnp.log(-(self.alpha + 1.0)) - log_low - self.alpha * (log_low - lax.stop_gradient(log_low))
        dtype = jnp.result_type(value, self.alpha, self.low, float)
        arrays = (jnp.asarray(x, dtype) for x in (self.alpha, jnp.maximum(value, low), low))
        return _log_power(*arrays) + scale + log_indicator(jnp.asarray(value) >= self.low)

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
        # In units of the end where the density of log x is largest: from the other, large terms would cancel.
        order, at_zero = self.alpha + 1.0, jnp.asarray(self.low) <= 0
        falling = order < 0
        unit = jnp.where(falling & ~at_zero, self.low, self.high)
        length = jnp.where(at_zero, jnp.inf, log_quotient(self.high, jnp.where(at_zero, self.high, self.low)))
        improper = at_zero & (order <= 0)
        rate = jnp.where(improper, 1.0, jnp.where(falling, -1.0, 1.0) * order)
        log_mass = jnp.where(improper, jnp.inf, log_falling_integral(rate, length))
        safe = jnp.where(inside & (value > 0), value, unit)
        log_prob = self.alpha * log_quotient(safe, unit) - jnp.log(unit) - log_mass
        return jnp.where(inside, jnp.where(value > 0, log_prob, log_prob + times_log_zero(self.alpha)), -jnp.inf)

    def cdf(self, value: Any) -> Any:
        value = jnp.asarray(value)
        inside = (value > self.low) & (value < self.high)
        part = log_power_integral(self.alpha, self.low, jnp.where(inside, value, self.high))
        share = jnp.exp(part - log_power_integral(self.alpha, self.low, self.high))
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
        log_integral = lambda alpha: log_power_integral(alpha, self.low, self.high)
        whole, mean_log = jax.jvp(log_integral, (alpha,), (jnp.ones_like(alpha),))
        return whole - alpha * mean_log

    def _log_raw_moment(self, order: int) -> Any:
        whole = log_power_integral(self.alpha, self.low, self.high)
        return log_power_integral(self.alpha + float(order), self.low, self.high) - whole

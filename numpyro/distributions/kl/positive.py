# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Divergences of distributions of positive numbers, and of numbers in the unit interval."""

from __future__ import annotations

from collections.abc import Callable
import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma, gammaln
import numpy as np

from numpyro.distributions._special import betaln, xlogy
from numpyro.distributions.continuous import (
    Beta,
    BetaProportion,
    Dagum,
    Exponential,
    Gamma,
    Gumbel,
    HalfCauchy,
    HalfNormal,
    InverseGamma,
    Kumaraswamy,
    LogNormal,
    LogUniform,
    Normal,
    Pareto,
    Uniform,
    Weibull,
)
from numpyro.distributions.continuous.real_line import HALF_LOG_2PI
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.kl.dispatch import kl_divergence, known_same, no_closed_form, register
from numpyro.distributions.kl.ends import given_support, statistics
from numpyro.distributions.kl.real_line import cauchys, normals
from numpyro.distributions.truncated import (
    DoublyTruncatedPowerLaw,
    LeftTruncatedGamma,
    LowerTruncatedPowerLaw,
    RightTruncatedGamma,
    TwoSidedTruncatedGamma,
)
from numpyro.distributions.truncated.power_laws import log_power_integral


def _gamma_moment(p: Any, s: Any) -> Any:
    shape = jnp.asarray(p.concentration, jnp.result_type(float))
    exists = shape + s > 0
    return jnp.where(exists, gammaln(jnp.where(exists, shape + s, 1.0)) - gammaln(shape) - s * jnp.log(p.rate), jnp.inf)


def _inverse_gamma_moment(p: Any, s: Any) -> Any:
    shape = jnp.asarray(p.concentration, jnp.result_type(float))
    exists = shape > s
    return jnp.where(exists, gammaln(jnp.where(exists, shape - s, 1.0)) - gammaln(shape) + s * jnp.log(p.rate), jnp.inf)


def _weibull_moment(p: Any, s: Any) -> Any:
    return s * jnp.log(p.scale) + _log_gamma_or_infinity(1 + s / jnp.asarray(p.concentration))


def _beta_moment(p: Any, s: Any) -> Any:
    a, b = jnp.asarray(p.concentration1), p.concentration0
    exists = a + s > 0
    return jnp.where(exists, betaln(jnp.where(exists, a + s, 1.0), b) - betaln(a, b), jnp.inf)


def _kumaraswamy_moment(p: Any, s: Any) -> Any:
    order = 1 + s / jnp.asarray(p.concentration1)
    exists = order > 0
    log_beta = betaln(jnp.where(exists, order, 1.0), p.concentration0)
    return jnp.where(exists, jnp.log(p.concentration0) + log_beta, jnp.inf)


def _pareto_moment(p: Any, s: Any) -> Any:
    low, alpha = (p.scale, p.alpha) if isinstance(p, Pareto) else (p.low, -(p.alpha + 1.0))
    alpha = jnp.asarray(alpha, jnp.result_type(float))
    exists = alpha > s
    return jnp.where(exists, s * jnp.log(low) - jnp.log1p(-s / jnp.where(exists, alpha, 2 * s + 1)), jnp.inf)


def _half_normal_moment(p: Any, s: Any) -> Any:
    return s * (jnp.log(p.scale) + 0.5 * math.log(2)) + _log_gamma_or_infinity(0.5 * (1 + s)) - 0.5 * math.log(math.pi)


def _half_cauchy_moment(p: Any, s: Any) -> Any:
    exists = jnp.abs(s) < 1
    cosine = jnp.cos(0.5 * math.pi * jnp.where(exists, s, 0.0))
    return jnp.where(exists, s * jnp.log(p.scale) - jnp.log(cosine), jnp.inf)


def _dagum_moment(p: Any, s: Any) -> Any:
    shape, order = jnp.asarray(p.concentration), s / jnp.asarray(p.sharpness)
    ends = _log_gamma_or_infinity(shape + order) + _log_gamma_or_infinity(1 - order)
    return s * jnp.log(p.scale) + ends - gammaln(shape)


def _power_law_moment(p: Any, s: Any) -> Any:
    exponent, low, high, log_factor = _as_power_law(p)
    # Where the support is no part of the positive half-line, no moment counts.
    low = jnp.maximum(low, 0.0)
    high = jnp.maximum(high, jnp.finfo(jnp.result_type(float)).tiny)
    return log_power_integral(exponent + s, low, high) + log_factor


def _as_power_law(d: Any) -> tuple[Any, Any, Any, Any]:
    """Exponent, ends, and logarithm of the factor of a density that is a power of x."""
    if isinstance(d, Pareto):
        return -(d.alpha + 1.0), d.scale, jnp.inf, jnp.log(d.alpha) + d.alpha * jnp.log(d.scale)
    if isinstance(d, LowerTruncatedPowerLaw):
        order = -(d.alpha + 1.0)
        return d.alpha, d.low, jnp.inf, jnp.log(order) + order * jnp.log(d.low)
    if isinstance(d, Uniform):
        return 0.0, d.low, d.high, -jnp.log(d.high - d.low)
    exponent = -1.0 if isinstance(d, LogUniform) else d.alpha
    return exponent, d.low, d.high, -log_power_integral(exponent, d.low, d.high)


def _truncated_gamma_moment(p: Any, s: Any) -> Any:
    _, scale, line, low, high = p._standard()
    return line.log_moment(s, low, high) + s * jnp.log(scale)


def _log_gamma_or_infinity(x: Any) -> Any:
    return jnp.where(x > 0, gammaln(jnp.where(x > 0, x, 1.0)), jnp.inf)


#: Of a positive number x, the logarithm of the moment E x^s as a function of s. Its derivatives at 0 are mean and
#: variance of log x.
_LOG_MOMENT: dict[type, Callable[[Any, Any], Any]] = {
    Beta: _beta_moment,
    BetaProportion: _beta_moment,
    Dagum: _dagum_moment,
    Exponential: lambda p, s: _log_gamma_or_infinity(1 + s) - s * jnp.log(p.rate),
    Gamma: _gamma_moment,
    HalfCauchy: _half_cauchy_moment,
    HalfNormal: _half_normal_moment,
    InverseGamma: _inverse_gamma_moment,
    Kumaraswamy: _kumaraswamy_moment,
    LogNormal: lambda p, s: s * p.loc + 0.5 * (s * p.scale) ** 2,
    LogUniform: _power_law_moment,
    DoublyTruncatedPowerLaw: _power_law_moment,
    LowerTruncatedPowerLaw: _pareto_moment,
    Pareto: _pareto_moment,
    Uniform: _power_law_moment,
    Weibull: _weibull_moment,
}


class _Moments:
    """_Moments of a positive random number."""

    def __init__(self, p: Distribution) -> None:
        self.p = p
        family = next(cls for cls in type(p).__mro__ if cls in _LOG_MOMENT)
        self._log_moment = lambda s: _LOG_MOMENT[family](p, s)

    def power(self, s: Any) -> Any:
        """E x^s."""
        return jnp.exp(self._log_moment(jnp.asarray(s, jnp.result_type(float))))

    @property
    def mean_log(self) -> Any:
        """E log x."""
        return self._derivative(self._log_moment)(jnp.zeros(self.p.batch_shape))

    @property
    def variance_log(self) -> Any:
        """The variance of log x."""
        return self._derivative(self._derivative(self._log_moment))(jnp.zeros(self.p.batch_shape))

    @staticmethod
    def _derivative(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda s: jax.jvp(function, (s,), (jnp.ones_like(s),))[1]


def _gamma_cross(x: _Moments, q: Any) -> Any:
    shape = jnp.asarray(q.concentration, jnp.result_type(float))
    return xlogy(shape, q.rate) - gammaln(shape) + (shape - 1) * x.mean_log - q.rate * x.power(1)


def _inverse_gamma_cross(x: _Moments, q: Any) -> Any:
    shape = jnp.asarray(q.concentration, jnp.result_type(float))
    return xlogy(shape, q.rate) - gammaln(shape) - (shape + 1) * x.mean_log - q.rate * x.power(-1)


def _weibull_cross(x: _Moments, q: Any) -> Any:
    k = jnp.asarray(q.concentration, jnp.result_type(float))
    power = jnp.exp(x._log_moment(k) - k * jnp.log(q.scale))
    return jnp.log(k) - k * jnp.log(q.scale) + (k - 1) * x.mean_log - power


def _log_normal_cross(x: _Moments, q: Any) -> Any:
    squared = x.variance_log + (x.mean_log - q.loc) ** 2
    return -x.mean_log - jnp.log(q.scale) - HALF_LOG_2PI - 0.5 * squared / q.scale**2


def _half_normal_cross(x: _Moments, q: Any) -> Any:
    return math.log(2) - HALF_LOG_2PI - jnp.log(q.scale) - 0.5 * x.power(2) / q.scale**2


def _power_law_cross(x: _Moments, q: Any) -> Any:
    exponent, _, _, log_factor = _as_power_law(q)
    return log_factor + exponent * x.mean_log


#: E_p log q(x) by the moments of p.
_CROSS_ENTROPY: dict[type, Callable[[_Moments, Any], Any]] = {
    DoublyTruncatedPowerLaw: _power_law_cross,
    Exponential: lambda x, q: jnp.log(q.rate) - q.rate * x.power(1),
    Gamma: _gamma_cross,
    HalfNormal: _half_normal_cross,
    InverseGamma: _inverse_gamma_cross,
    LogNormal: _log_normal_cross,
    LogUniform: _power_law_cross,
    LowerTruncatedPowerLaw: _power_law_cross,
    Pareto: _power_law_cross,
    Weibull: _weibull_cross,
}
#: Those that ask only for moments of positive order and for the mean of log x.
_OF_POSITIVE_ORDER = [q for q in _CROSS_ENTROPY if q not in (InverseGamma, LogNormal)]


def _positive(p: Any, q: Any, cross_entropy: Callable[[_Moments, Any], Any]) -> Any:
    return given_support(p, q, -p.entropy() - cross_entropy(_Moments(p), q))


_TRUNCATED_GAMMAS = (LeftTruncatedGamma, RightTruncatedGamma, TwoSidedTruncatedGamma)
_PAIRS = [*itertools.product(_LOG_MOMENT, _CROSS_ENTROPY), *itertools.product(_TRUNCATED_GAMMAS, _OF_POSITIVE_ORDER)]
_LOG_MOMENT |= dict.fromkeys(_TRUNCATED_GAMMAS, _truncated_gamma_moment)
for _p, _q in _PAIRS:
    register(_p, _q)(functools.partial(_positive, cross_entropy=_CROSS_ENTROPY[_q]))


@register(LogNormal, LogNormal)
def _log_normals(p: Any, q: Any) -> Any:
    return normals(p, q)


@register(Pareto, Pareto)
def _paretos(p: Any, q: Any) -> Any:
    ratio = jnp.asarray(q.alpha) / p.alpha
    divergence = ratio - 1 - jnp.log(ratio) + q.alpha * (jnp.log(p.scale) - jnp.log(q.scale))
    return jnp.where(jnp.asarray(p.scale) >= q.scale, divergence, jnp.inf)


@register(HalfCauchy, HalfCauchy)
def _half_cauchys(p: Any, q: Any) -> Any:
    return cauchys(0.0, p.scale, q.scale)


@register(Dagum, Dagum)
def _dagums(p: Any, q: Any) -> Any:
    """With the same sharpness and scale, a power of both is uniform, as the logarithm of it is exponential."""
    if not (known_same(p.sharpness, q.sharpness) and known_same(p.scale, q.scale)):
        raise NotImplementedError(no_closed_form(p, q, "both have the same sharpness and scale, not traced"))
    return kl_divergence(Exponential(p.concentration), Exponential(q.concentration))


@register(Distribution, Exponential)
def _from_exponential(p: Any, q: Any) -> Any:
    entropy, mean = statistics(p, q, "entropy", "mean")
    return given_support(p, q, -entropy - jnp.log(q.rate) + q.rate * mean)


@register(Distribution, HalfNormal)
def _from_half_normal(p: Any, q: Any) -> Any:
    return given_support(p, q, kl_divergence(p, Normal(0.0, q.scale)) - math.log(2))


@register(Gumbel, Gumbel)
def _gumbels(p: Any, q: Any) -> Any:
    """If x has a Gumbel distribution, exp(-x) has a Weibull distribution."""
    p, q = (Weibull(jnp.exp(-jnp.asarray(loc)), 1 / scale) for loc, scale in ((p.loc - q.loc, p.scale), (0.0, q.scale)))
    return _positive(p, q, _weibull_cross)


# The unit interval


@functools.cache
def _double_exponential() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for the integral of a function times exp(-t) over positive t (Takahasi and Mori 1974)."""
    s = np.linspace(-4.5, 4.5, 121)
    t = np.exp(s - np.exp(-s))
    weights = t * (1 + np.exp(-s)) * np.exp(-t) * (s[1] - s[0])
    matters = weights > 1e-18
    return t[matters], weights[matters]


def _mean_log_complement(p: Kumaraswamy, power: Any = 1.0) -> Any:
    r""":math:`E \log(1 - x^s)`: with :math:`x = (1 - e^{-t/b})^{1/a}`, t is exponential. The error is near rounding."""
    a, b = (jnp.asarray(c, jnp.result_type(float)) for c in (p.concentration1 / jnp.asarray(power), p.concentration0))
    a, b = a[..., None], b[..., None]
    nodes, weights = (array.astype(a.dtype) for array in _double_exponential())
    log_tail = -nodes / b
    near_one = log_tail < -0.5 * math.log(1 / jnp.finfo(a.dtype).eps)
    log_power = jnp.log(-jnp.expm1(jnp.where(near_one, -1.0, log_tail)))
    usual = jnp.log(-jnp.expm1(log_power / a))
    return (weights * jnp.where(near_one, log_tail - jnp.log(a), usual)).sum(-1)


def _beta_cross(mean_log: Any, mean_log_complement: Any, q: Any) -> Any:
    a, b = jnp.asarray(q.concentration1), jnp.asarray(q.concentration0)
    return (a - 1) * mean_log + (b - 1) * mean_log_complement - betaln(a, b)


@register(Kumaraswamy, Beta)
@register(Kumaraswamy, BetaProportion)
def _kumaraswamy_beta(p: Any, q: Any) -> Any:
    return -p.entropy() - _beta_cross(_Moments(p).mean_log, _mean_log_complement(p), q)


@register(Kumaraswamy, Kumaraswamy)
def _kumaraswamys(p: Any, q: Any) -> Any:
    a, b = jnp.asarray(q.concentration1), jnp.asarray(q.concentration0)
    mean_log = (a - 1) * _Moments(p).mean_log + (b - 1) * _mean_log_complement(p, a)
    return -p.entropy() - jnp.log(a) - jnp.log(b) - mean_log


@register(Uniform, Beta)
@register(Uniform, BetaProportion)
def _uniform_beta(p: Any, q: Any) -> Any:
    mirrored = Uniform(1 - p.high, 1 - p.low)
    return given_support(p, q, -p.entropy() - _beta_cross(_Moments(p).mean_log, _Moments(mirrored).mean_log, q))


def _betas(p: Any, q: Any) -> Any:
    a, b = (jnp.asarray(c, jnp.result_type(float)) for c in (p.concentration1, p.concentration0))
    total = digamma(a + b)
    return -p.entropy() - _beta_cross(digamma(a) - total, digamma(b) - total, q)


for _p, _q in itertools.product((Beta, BetaProportion), repeat=2):
    register(_p, _q)(_betas)

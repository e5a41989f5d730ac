# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Probabilities of intervals, far in the tails too, as truncated and censored distributions need them.

Everything here is in standard units, those of a distribution with location 0 and scale 1. An interval ``(a, b)`` has
an end that is None where it is unbounded; an infinite end means the same.
"""

from __future__ import annotations

from collections.abc import Callable
import functools
import math
import operator
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
from jax.scipy.special import gammainc, gammaincc, gammaln, ndtr, ndtri
import numpy as np

from numpyro._shapes import broadcast_shapes, shape_of
from numpyro.distributions._normal import (
    excess_moments,
    inverse_mills_ratio,
    log_density_ratio,
    log_ndtr,
    log_relative_mass,
    log_relative_tail,
    lower_hazard,
    nearest_to_zero,
)
from numpyro.distributions._special import betainc, betaln
from numpyro.distributions.continuous import (
    Beta,
    Cauchy,
    Exponential,
    Gamma,
    HalfCauchy,
    HalfNormal,
    Laplace,
    Logistic,
    Normal,
    SoftLaplace,
    StudentT,
    Weibull,
)
from numpyro.distributions.distribution import Distribution, ExpandedDistribution, TransformedDistribution
from numpyro.distributions.util import log1mexp, logdiffexp

__all__ = [
    "GammaLine",
    "Gaussian",
    "Line",
    "Symmetric",
    "log_interval",
    "log_lower_beta",
    "log_lower_gamma",
    "log_survival",
    "log_upper_gamma",
    "normal_score",
    "standardized",
]

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
# exp(-60) is above the smallest float32 even when it is multiplied by a probability of that size's rounding error.
UNDERFLOW = -60.0


class Line:
    """A distribution as seen from its tails: here, any one with a distribution function and quantiles.

    Its upper tail is 1 minus the lower one; that keeps its digits only if ``log_cdf`` keeps those of ``1 - cdf``.
    """

    # Logarithm of the mass of an interval from which on quantiles are computed by logarithms.
    smallest_mass = UNDERFLOW

    def __init__(self, standard: Distribution) -> None:
        self.standard = standard

    def log_cdf(self, z: Any) -> Any:
        return _at_finite(self._log_cdf, z)

    def log_sf(self, z: Any) -> Any:
        return _at_finite(self._log_sf, z, upper=True)

    def _log_cdf(self, z: Any) -> Any:
        return self.standard.log_cdf(z)

    def _log_sf(self, z: Any) -> Any:
        return log1mexp(self._log_cdf(z))

    def log_mass(self, a: Any, b: Any) -> Any:
        """Logarithm of the probability of the interval."""
        if a is None:
            return self.log_cdf(b)
        if b is None:
            return self.log_sf(a)
        below, above = (self.log_cdf(a), self.log_cdf(b)), (self.log_sf(b), self.log_sf(a))
        upper = lax.stop_gradient(above[1] < below[1])
        return logdiffexp(jnp.where(upper, above[1], below[1]), jnp.where(upper, above[0], below[0]))

    def log_density(self, z: Any, a: Any, b: Any) -> Any:
        """Log density at a point of the interval, given that the variable is in it."""
        return self.standard.log_prob(z) - self.log_mass(a, b)

    def log_share(self, part: tuple[Any, Any], whole: tuple[Any, Any]) -> Any:
        """Logarithm of the probability of an interval, given that the variable is in a larger one."""
        return self.log_mass(*part) - self.log_mass(*whole)

    def quantile(self, q: Any, a: Any, b: Any) -> Any:
        """The point of the interval with the share ``q`` of the interval's probability below it."""
        q = jnp.asarray(q)
        log_mass = self.log_mass(a, b)
        log_below = -jnp.inf if a is None else self.log_cdf(a)
        log_above = -jnp.inf if b is None else self.log_sf(b)

        def near() -> Any:
            mass = jnp.exp(log_mass)
            return self._point(jnp.exp(log_below) + q * mass, jnp.exp(log_above) + (1 - q) * mass)

        def far() -> Any:
            log_p = jnp.logaddexp(log_below, jnp.log(q) + log_mass)
            log_s = jnp.logaddexp(log_above, jnp.log1p(-q) + log_mass)
            return self._point_of_logs(log_p, log_s)

        return lax.cond(jnp.all(log_mass > self.smallest_mass), near, far)

    def moments(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Mean and variance, given that the variable is in the interval."""
        raise NotImplementedError

    def entropy(self, a: Any, b: Any) -> Any:
        """Entropy, given that the variable is in the interval."""
        raise NotImplementedError

    def _point(self, below: Any, above: Any) -> Any:
        """The point with these probabilities below and above it."""
        return self.standard.icdf(below)

    def _point_of_logs(self, log_below: Any, log_above: Any) -> Any:
        """The same, from the logarithms of these probabilities."""
        return self.standard.icdf(jnp.exp(log_below))


def _at_finite(function: Callable[[Any], Any], z: Any, upper: bool = False) -> Any:
    """A log probability of a tail, with no nan among its gradients at infinity."""
    z = jnp.asarray(z)
    finite = jnp.isfinite(z)
    at_end = jnp.where((z > 0) != upper, 0.0, -jnp.inf)
    return jnp.where(finite, function(jnp.where(finite, z, 0.0)), jnp.where(jnp.isnan(z), jnp.nan, at_end))


class Symmetric(Line):
    """A distribution symmetric about 0, with a smooth density: what is far up is looked at from below."""

    def _log_sf(self, z: Any) -> Any:
        return self._log_cdf(-z)

    def _tail_quantile(self, log_p: Any) -> Any:
        """The quantile of a probability below one half, given by its logarithm."""
        return self.standard.icdf(jnp.exp(log_p))

    def log_mass(self, a: Any, b: Any) -> Any:
        if a is None or b is None:
            return super().log_mass(a, b)
        a, b = _below(a, b)
        narrow = self._is_narrow(a, b)
        wide = logdiffexp(self.log_cdf(jnp.where(narrow, 1.0, b)), self.log_cdf(jnp.where(narrow, 0.0, a)))
        a, b = jnp.where(narrow, a, 0.0), jnp.where(narrow, b, 1.0)
        center = 0.5 * (a + b)
        reference = self.standard.log_prob(center)
        share = _quadrature(lambda t: jnp.exp(self.standard.log_prob(center + t) - reference), 0.5 * (b - a))
        return jnp.where(narrow, reference + jnp.log(share), wide)

    def _is_narrow(self, a: Any, b: Any) -> Any:
        """Where the density varies so little that its integral is better than a difference of probabilities."""
        width = b - a
        safe_a, safe_b = jnp.where(jnp.isfinite(width), a, 0.0), jnp.where(jnp.isfinite(width), b, 1.0)
        rise = self.standard.log_prob(safe_b) - self.standard.log_prob(safe_a)
        return lax.stop_gradient((width < 0.5) & (jnp.abs(rise) < 1))

    def _point(self, below: Any, above: Any) -> Any:
        is_lower = below < above
        z = self.standard.icdf(jnp.where(is_lower, below, above))
        return jnp.where(is_lower, z, -z)

    def _point_of_logs(self, log_below: Any, log_above: Any) -> Any:
        is_lower = log_below < log_above
        z = self._tail_quantile(jnp.where(is_lower, log_below, log_above))
        return jnp.where(is_lower, z, -z)

    def moments(self, a: Any, b: Any) -> tuple[Any, Any]:
        if a is None:
            mean, variance = self._moments_of_tail(-b)
            return -mean, variance
        if b is None:
            return self._moments_of_tail(a)
        flip = jnp.asarray(a) > -b
        b, a = (-end for end in _below(a, b))
        narrow = self._is_narrow(a, b)
        wide_mean, wide_variance = self._moments_of_wide(jnp.where(narrow, 0.0, a), jnp.where(narrow, 1.0, b))
        a, b = jnp.where(narrow, a, 0.0), jnp.where(narrow, b, 1.0)
        center, half_width = 0.5 * (a + b), 0.5 * (b - a)
        reference = self.standard.log_prob(center)
        density = lambda t: jnp.exp(self.standard.log_prob(center + t) - reference)

        def moment(k: int) -> Any:
            return _quadrature(lambda t: t**k * density(t), half_width)

        zeroth, first, second = moment(0), moment(1), moment(2)
        shift = first / zeroth
        mean = jnp.where(narrow, center + shift, wide_mean)
        return jnp.where(flip, mean, -mean), jnp.where(narrow, second / zeroth - shift**2, wide_variance)

    def _moments_of_tail(self, a: Any) -> tuple[Any, Any]:
        """Mean and variance, given that the variable is above ``a``."""
        raise NotImplementedError

    def _moments_of_wide(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Mean and variance on a wide interval with its middle above 0."""
        raise NotImplementedError


def _below(a: Any, b: Any) -> tuple[Any, Any]:
    """The interval, reflected where its middle lies above 0."""
    flip = jnp.asarray(a) > -b
    return jnp.where(flip, -b, a), jnp.where(flip, -a, b)


@functools.cache
def _legendre(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(n)


@functools.cache
def _laguerre(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.laguerre.laggauss(n)


def _quadrature(function: Callable[[Any], Any], half_width: Any) -> Any:
    """Integral of a smooth function from ``-half_width`` to ``half_width``."""
    # Written out: with the points along an axis, XLA would compute the terms one by one, in the loop of their sum.
    terms = (float(weight) * function(float(node) * half_width) for node, weight in zip(*_legendre(8), strict=True))
    return half_width * functools.reduce(operator.add, terms)


def _leading(x: np.ndarray, *others: Any) -> np.ndarray:
    """A vector along a new axis before those of the others."""
    rank = max(jnp.ndim(other) for other in others)
    return x.reshape((-1,) + (1,) * rank)


class Gaussian(Symmetric):
    r"""The standard normal distribution.

    Masses are relative to the density :math:`\varphi(c)` at the interval's point ``c`` next to 0, so that nothing of
    the size of :math:`c^2` is added and taken away again. In the tail that is Mills' ratio,
    :math:`R(a) = (1 - \Phi(a)) / \varphi(a)`.
    """

    def log_cdf(self, z: Any) -> Any:
        return log_ndtr(z)

    def log_sf(self, z: Any) -> Any:
        return log_ndtr(-jnp.asarray(z))

    def _tail_quantile(self, log_p: Any) -> Any:
        return log_ndtri(log_p)

    def _log_relative_mass(self, a: Any, b: Any) -> Any:
        if a is None:
            return log_relative_tail(-jnp.asarray(b))
        return log_relative_tail(a) if b is None else log_relative_mass(a, b)

    def log_mass(self, a: Any, b: Any) -> Any:
        nearest = nearest_to_zero(a, b)
        return self._log_relative_mass(a, b) - 0.5 * nearest * nearest - HALF_LOG_2PI

    def log_density(self, z: Any, a: Any, b: Any) -> Any:
        return log_density_ratio(z, nearest_to_zero(a, b)) - self._log_relative_mass(a, b)

    def log_share(self, part: tuple[Any, Any], whole: tuple[Any, Any]) -> Any:
        shift = log_density_ratio(nearest_to_zero(*part), nearest_to_zero(*whole))
        return shift + self._log_relative_mass(*part) - self._log_relative_mass(*whole)

    def entropy(self, a: Any, b: Any) -> Any:
        if b is None or a is None:
            # In the tail nothing of the size of a^2 is added and taken away again.
            a = jnp.asarray(a) if b is None else -jnp.asarray(b)
            in_tail = a > 0
            tail = jnp.where(in_tail, a, 0.0)
            excess, variance = excess_moments(tail)
            mean, other_variance = _tail_moments(jnp.where(in_tail, 0.0, a))
            square = jnp.where(in_tail, variance + excess * (excess + 2 * tail), other_variance + mean**2)
            return log_relative_tail(a) + 0.5 * square
        nearest = nearest_to_zero(a, b)
        mean, variance = self.moments(a, b)
        return self._log_relative_mass(a, b) + 0.5 * (variance + (mean - nearest) * (mean + nearest))

    def _moments_of_tail(self, a: Any) -> tuple[Any, Any]:
        return _tail_moments(jnp.asarray(a))

    def _moments_of_wide(self, a: Any, b: Any) -> tuple[Any, Any]:
        in_tail = a > 0
        # In the tail: what is beyond a without what is beyond b, about a.
        lower = jnp.maximum(a, 0.0)
        bounded = jnp.isfinite(b)
        upper = jnp.where(bounded, b, lower + 1.0)
        share = jnp.exp(-0.5 * (upper - lower) * (upper + lower)) * inverse_mills_ratio(lower)
        ratio = jnp.where(bounded, share / inverse_mills_ratio(upper), 0.0)
        (excess, variance), (upper_excess, upper_variance) = excess_moments(lower), excess_moments(upper)
        beyond = upper - lower + upper_excess
        mean = (excess - ratio * beyond) / (1 - ratio)
        second = (variance + excess**2 - ratio * (upper_variance + beyond**2)) / (1 - ratio)
        # Across 0: by the densities at both ends.
        left, right = jnp.where(in_tail, -1.0, a), jnp.where(in_tail, 1.0, b)
        mass = 1 - _ndtr(left) - _ndtr(-right)
        at_left, at_right = _density(left) / mass, _density(right) / mass
        across = at_left - at_right
        slope = _zero_at_infinity(left, at_left) - _zero_at_infinity(right, at_right)
        return (
            jnp.where(in_tail, lower + mean, across),
            jnp.where(in_tail, second - mean**2, 1 + slope - across**2),
        )


def _ndtr(z: Any) -> Any:
    finite = jnp.isfinite(z)
    return jnp.where(finite, ndtr(jnp.where(finite, z, 0.0)), jnp.where(z > 0, 1.0, 0.0))


def _density(z: Any) -> Any:
    finite = jnp.isfinite(z)
    safe = jnp.where(finite, z, 0.0)
    return jnp.where(finite, jnp.exp(-0.5 * safe * safe - HALF_LOG_2PI), 0.0)


def _zero_at_infinity(z: Any, density: Any) -> Any:
    finite = jnp.isfinite(z)
    return jnp.where(finite, jnp.where(finite, z, 0.0) * density, 0.0)


def _tail_moments(a: Any) -> tuple[Any, Any]:
    """Mean and variance of ``z`` given ``z > a``."""
    unbounded = a == -jnp.inf
    a = jnp.where(unbounded, 0.0, a)
    excess, variance = excess_moments(a)
    # Far below 0 the excess is -a and a little.
    little = jnp.exp(-0.5 * a * a - HALF_LOG_2PI - log_ndtr(-a))
    mean = jnp.where(a > 0, a + excess, little)
    variance = jnp.where(a > 0, variance, 1 + little * (a - little))
    return jnp.where(unbounded, 0.0, mean), jnp.where(unbounded, 1.0, variance)


@jax.custom_jvp
def log_ndtri(log_p: Any) -> Any:
    """Quantile of the standard normal distribution, from the logarithm of a probability below one half."""
    far, near_p, far_p = _split(log_p)

    near = ndtri(jnp.exp(near_p))

    def mended() -> Any:
        # log_ndtr is concave, and the start lies left of the root.
        z = _root(lambda z: log_ndtr(z) - far_p, -jnp.sqrt(-2 * far_p), 4)
        return jnp.where(far, z, near)

    return lax.cond(jnp.any(far), mended, lambda: near)


@log_ndtri.defjvp
def _log_ndtri_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    z = log_ndtri(*primals)
    return z, tangents[0] / lower_hazard(z)


def _split(log_p: Any) -> tuple[Any, Any, Any]:
    """Which probabilities would underflow, and the logarithms with harmless ones in the places of the others."""
    far = jnp.asarray(log_p) < UNDERFLOW
    return far, jnp.where(far, UNDERFLOW, log_p), jnp.where(far, log_p, UNDERFLOW)


def _root(function: Callable[[Any], Any], start: Any, steps: int) -> Any:
    """A root by Newton's method, differentiable with respect to whatever the function depends on."""

    def solve(function: Callable[[Any], Any], x: Any) -> Any:
        def step(_: Any, x: Any) -> Any:
            value, slope = jax.jvp(function, (x,), (jnp.ones_like(x),))
            return x - value / slope

        return lax.fori_loop(0, steps, step, x)

    return lax.custom_root(function, lax.stop_gradient(start), solve, lambda g, y: y / g(jnp.ones_like(y)))


class LaplaceLine(Symmetric):
    """The standard Laplace distribution, in closed form."""

    def log_mass(self, a: Any, b: Any) -> Any:
        if a is None or b is None:
            return super().log_mass(a, b)
        a, b = _below(a, b)
        one_sided = b <= 0
        side = logdiffexp(jnp.where(one_sided, b, 0.0), jnp.where(one_sided, a, -1.0)) - math.log(2)
        lower, upper = jnp.where(one_sided, -1.0, a), jnp.where(one_sided, 1.0, b)
        across = jnp.log(-0.5 * (jnp.expm1(lower) + jnp.expm1(-upper)))
        return jnp.where(one_sided, side, across)

    def _tail_quantile(self, log_p: Any) -> Any:
        return log_p + math.log(2)

    def entropy(self, a: Any, b: Any) -> Any:
        # Of each side of 0 the part between its ends is an exponential one, cut off.
        a, b = jnp.asarray(-jnp.inf if a is None else a), jnp.asarray(jnp.inf if b is None else b)
        log_mass = self.log_mass(a, b)
        total: Any = 0.0
        for start, end in ((jnp.maximum(a, 0.0), b), (jnp.maximum(-b, 0.0), -a)):
            some = end > start
            bounded = some & jnp.isfinite(end)
            width = jnp.where(bounded, end - start, 1.0)
            start = jnp.where(some, start, 0.0)
            log_share = jnp.where(bounded, jnp.log(-jnp.expm1(-width)), 0.0) - start - math.log(2) - log_mass
            mean = start + 1 - jnp.where(bounded, width / jnp.expm1(width), 0.0)
            total = total + jnp.where(some, jnp.exp(jnp.where(some, log_share, 0.0)) * mean, 0.0)
        return log_mass + math.log(2) + total


class LogisticLine(Symmetric):
    """The standard logistic distribution."""

    def entropy(self, a: Any, b: Any) -> Any:
        # With u = F(z) uniform on an interval, the log density is log u + log(1 - u); looked at from below.
        a, b = _below(jnp.asarray(-jnp.inf if a is None else a), jnp.asarray(jnp.inf if b is None else b))
        narrow = self._is_narrow(a, b)
        log_mass = self.log_mass(a, b)
        log_u, log_v = self.log_cdf(jnp.where(narrow, 1.0, b)), self.log_cdf(jnp.where(narrow, 0.0, a))
        ratio = jnp.exp(log_v - log_u)
        bounded = log_v > -jnp.inf
        lower = jnp.where(bounded, ratio * jnp.where(bounded, log_v, 0.0), 0.0)
        by_lower = (log_u - lower) / (1 - ratio) - 1
        by_upper = (_complement_rise(log_u) - ratio * _complement_rise(log_v)) / (1 - ratio)
        a, b = jnp.where(narrow, a, 0.0), jnp.where(narrow, b, 1.0)
        center, reference = 0.5 * (a + b), self.standard.log_prob(0.5 * (a + b))
        density = lambda t: self.standard.log_prob(center + t) - reference
        mass = _quadrature(lambda t: jnp.exp(density(t)), 0.5 * (b - a))
        first = _quadrature(lambda t: density(t) * jnp.exp(density(t)), 0.5 * (b - a))
        inside = jnp.log(mass) - first / mass
        return jnp.where(narrow, inside, log_mass - by_lower - by_upper)

    def _tail_quantile(self, log_p: Any) -> Any:
        return log_p - log1mexp(log_p)


def _complement_rise(log_u: Any) -> Any:
    """``-(1 - u) log(1 - u) / u - 1``, which is about -u / 2 for small u, and -1 for u = 1."""
    u = jnp.exp(log_u)
    small = u < 1e-2
    series = -u * (1 / 2 + u * (1 / 6 + u * (1 / 12 + u * (1 / 20 + u * (1 / 30 + u * (1 / 42 + u / 56))))))
    safe = jnp.where(small | (u == 1), 0.5, u)
    return jnp.where(small, series, jnp.where(u == 1, -1.0, -(1 - safe) * jnp.log1p(-safe) / safe - 1))


class SecantLine(Symmetric):
    """The standard hyperbolic secant distribution, whose lower tail is that of ``2/pi exp(z)``."""

    def _log_cdf(self, z: Any) -> Any:
        far = z < -20
        return jnp.where(far, z + math.log(2 / math.pi), jnp.log(self.standard.cdf(jnp.where(far, -20.0, z))))

    def _tail_quantile(self, log_p: Any) -> Any:
        far, near_p, far_p = _split(log_p)
        return jnp.where(far, far_p + math.log(math.pi / 2), self.standard.icdf(jnp.exp(near_p)))


class CauchyLine(Symmetric):
    """The standard Cauchy distribution."""

    def _moments_of_tail(self, a: Any) -> tuple[Any, Any]:
        return jnp.inf, jnp.inf

    def _moments_of_wide(self, a: Any, b: Any) -> tuple[Any, Any]:
        angle = math.pi * jnp.exp(self.log_mass(a, b))
        # log((1 + b^2) / (1 + a^2)) / 2
        mean = 0.5 * jnp.log1p((b - a) * ((b + a) / (1 + a * a))) / angle
        return mean, (b - a) / angle - 1 - mean**2


class StudentLine(Symmetric):
    r"""Student's t distribution of unit scale.

    Where the incomplete beta function underflows: in :math:`v = \log(1 + z^2 / \nu)` the logarithm of the tail is
    nearly linear, which suits both integration (by Gauss and Laguerre) and Newton's method.
    """

    def _log_tail(self, v: Any) -> Any:
        r"""Logarithm of the mass beyond :math:`\sqrt{\nu (e^v - 1)}`.

        By DLMF 8.17.1 it is :math:`I_x(\nu / 2, 1/2) / 2` with :math:`x = e^{-v}`.
        """
        return _log_beta_tail(0.5 * self.standard.df, 0.5, -v) - math.log(2)

    def _log_cdf(self, z: Any) -> Any:
        # The density bounds the mass well enough to tell where that underflows.
        far = lax.stop_gradient((z < -1) & (self.standard.log_prob(z) < UNDERFLOW))
        far_z, near_z = jnp.where(far, z, -1.0), jnp.where(far, -1.0, z)
        log_tail = self._log_tail(jnp.log1p(far_z * far_z / self.standard.df))
        return jnp.where(far, log_tail, jnp.log(self.standard.cdf(near_z)))

    def _tail_quantile(self, log_p: Any) -> Any:
        far, near_p, far_p = _split(log_p)
        v = _root(lambda v: self._log_tail(v) - far_p, -2 * far_p / self.standard.df, 6)
        return jnp.where(far, -jnp.sqrt(self.standard.df * jnp.expm1(v)), self.standard.icdf(jnp.exp(near_p)))


def _log_integral(log_integrand: Callable[[Any], Any], *operands: Any) -> Any:
    """Logarithm of the integral over ``u > 0`` of a function that decays nearly like ``exp(-u)``.

    The points stand along a new axis, before those of what the function computes with.
    """
    nodes, weights = (_leading(x, *operands) for x in _laguerre(32))
    return jnp.log(jnp.sum(jnp.exp(np.log(weights) + nodes + log_integrand(nodes)), 0))


def _log_beta_tail(a: Any, b: Any, log_x: Any) -> Any:
    r"""Logarithm of :math:`I_x(a, b)` for x below the mode, where the integrand falls on the way to 0."""
    # With t = x exp(-u / rate) in the integral of t^(a - 1) (1 - t)^(b - 1)
    rate = a + (1.0 - b) / jnp.expm1(-log_x)
    rest = _log_integral(lambda u: -a * (u / rate) + (b - 1.0) * jnp.log(-jnp.expm1(log_x - u / rate)), rate, log_x)
    return a * log_x - betaln(a, b) - jnp.log(rate) + rest


def log_lower_beta(a: Any, b: Any, x: Any) -> Any:
    """Logarithm of the regularised incomplete beta function, for x below the mean, where it underflows too.

    >>> round(log_lower_beta(200.0, 2.0, 0.1).item(), 3)
    -455.319
    """
    mean = a / (a + b)
    inside = (x > 0) & (x < 1)
    safe_x = jnp.where(inside, x, mean)
    front = a * jnp.log(safe_x) + b * jnp.log1p(-safe_x) - betaln(a, b)
    far = lax.stop_gradient((safe_x < mean) & (front < UNDERFLOW))
    tail = _log_beta_tail(a, b, jnp.log(jnp.where(far, safe_x, 0.5 * mean)))
    return jnp.where(far, tail, jnp.log(betainc(a, b, jnp.where(far, mean, x))))


def log_lower_gamma(a: Any, x: Any) -> Any:
    """Logarithm of the regularised lower incomplete gamma function P(a, x), where P itself underflows too.

    >>> round(log_lower_gamma(50.0, 0.01).item(), 3)
    -378.746
    """
    far = lax.stop_gradient(x < a * jnp.exp(-6 / jnp.sqrt(a)))
    positive = x > 0
    far_x, near_x = jnp.where(far & positive, x, 0.5 * a), jnp.where(far, a, x)
    # With t = x exp(-u / (a - x)) in the integral of t^(a - 1) exp(-t)
    rate = a - far_x
    rest = _log_integral(lambda u: -a * (u / rate) - far_x * jnp.expm1(-u / rate), rate)
    tail = a * jnp.log(far_x) - far_x - gammaln(a) - jnp.log(rate) + rest
    return jnp.where(far, jnp.where(positive, tail, -jnp.inf), jnp.log(gammainc(a, near_x)))


def log_upper_gamma(a: Any, x: Any) -> Any:
    """Logarithm of the regularised upper incomplete gamma function Q(a, x), where Q itself underflows too.

    >>> round(log_upper_gamma(1.0, 500.0).item(), 3)
    -500.0
    """
    far = lax.stop_gradient(x > a + 6 * jnp.sqrt(a) + 6)
    inside = x > 0
    far_x, near_x = jnp.where(far, x, a + 7.0), jnp.where(far | ~inside, a, x)
    # With t = x (1 + u / (x - a + 1)) in the integral of t^(a - 1) exp(-t)
    rate = far_x - a + 1.0
    rest = _log_integral(lambda u: -far_x * (u / rate) + (a - 1.0) * jnp.log1p(u / rate), rate)
    tail = a * jnp.log(far_x) - far_x - gammaln(a) - jnp.log(rate) + rest
    return jnp.where(far, tail, jnp.where(inside, jnp.log(gammaincc(a, near_x)), 0.0))


class GammaLine(Line):
    """The gamma distribution of unit rate."""

    def _log_cdf(self, z: Any) -> Any:
        return log_lower_gamma(self.standard.concentration, z)

    def _log_sf(self, z: Any) -> Any:
        return log_upper_gamma(self.standard.concentration, z)

    # Quantiles from above are needed much earlier than underflow makes it necessary.
    smallest_mass = -3.0

    def _point_of_logs(self, log_below: Any, log_above: Any) -> Any:
        shape = self.standard.concentration
        is_lower = log_below < log_above
        log_p = jnp.where(is_lower, log_below, log_above)

        def residual(t: Any) -> Any:
            z = jnp.exp(t)
            return jnp.where(is_lower, self._log_cdf(z), self._log_sf(z)) - log_p

        # As functions of log z both are concave; both starts lie on the side from which Newton's method descends to
        # the root: P(a, x) < x^a / Gamma(a + 1), and Q(a, a + L + sqrt(2 a L)) < exp(-L) (Boucheron, Lugosi, Massart,
        # *Concentration Inequalities*, 2013, section 2.4).
        lower = (log_p + gammaln(shape + 1.0)) / shape
        upper = jnp.log(shape - log_p + jnp.sqrt(-2 * shape * log_p))
        return jnp.exp(_root(residual, jnp.where(is_lower, lower, upper), 10))

    def _log_moment_integral(self, s: Any, a: Any, b: Any) -> Any:
        """Logarithm of the integral of ``z^s`` times the density without its normaliser; s exceeds the shape's -1."""
        shape = self.standard.concentration + s
        return GammaLine(Gamma(shape, 1.0)).log_mass(a, b) + gammaln(shape)

    def log_moment(self, s: Any, a: Any, b: Any) -> Any:
        """Logarithm of the mean of ``z^s``, given that the variable is in the interval; infinite if s is too small."""
        shape = jnp.asarray(self.standard.concentration, jnp.result_type(float))
        exists = shape + s > 0
        moment = self._log_moment_integral(jnp.where(exists, s, 0.0), a, b) - self._log_moment_integral(0.0, a, b)
        return jnp.where(exists, moment, jnp.inf)

    def entropy(self, a: Any, b: Any) -> Any:
        shape = jnp.asarray(self.standard.concentration, jnp.result_type(float))
        zero = jnp.zeros(broadcast_shapes(shape.shape, *(shape_of(end) for end in (a, b) if end is not None)))
        integral = lambda s: self._log_moment_integral(s, a, b)
        whole, mean_log = jax.jvp(integral, (zero,), (jnp.ones_like(zero),))
        return whole - (shape - 1) * mean_log + self.moments(a, b)[0]

    def moments(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Mean and variance, by the masses under larger concentrations."""
        shape = self.standard.concentration
        log_mass = self.log_mass(a, b)
        by_order = [GammaLine(Gamma(shape + k, 1.0)).log_mass(a, b) - log_mass for k in (1.0, 2.0)]
        mean = shape * jnp.exp(by_order[0])
        return mean, shape * (shape + 1.0) * jnp.exp(by_order[1]) - mean**2


LINES: dict[type[Distribution], type[Symmetric]] = {
    Normal: Gaussian,
    Cauchy: CauchyLine,
    StudentT: StudentLine,
    Laplace: LaplaceLine,
    Logistic: LogisticLine,
    SoftLaplace: SecantLine,
}


def standardized(base: Distribution) -> tuple[Any, Any, Line]:
    """Location, scale and standard form of a distribution on the real line, or of a gamma distribution."""
    while isinstance(base, ExpandedDistribution):
        base = base.base_dist
    if isinstance(base, Gamma):
        return 0.0, 1 / base.rate, GammaLine(Gamma(base.concentration, 1.0))
    for family, line in LINES.items():
        if isinstance(base, family):
            shape = {"df": base.df} if family is StudentT else {}
            make: Any = family
            return base.loc, base.scale, line(make(loc=0.0, scale=1.0, **shape))
    return 0.0, 1.0, Line(base)


def log_survival(base: Distribution, value: Any) -> Any:
    """Logarithm of the probability of a larger value; accurate far in the upper tail of the families that say so."""
    if isinstance(base, ExpandedDistribution):
        shape = broadcast_shapes(shape_of(value), base.batch_shape)
        return jnp.broadcast_to(log_survival(base.base_dist, value), shape)
    if isinstance(base, TransformedDistribution) and all(isinstance(t.sign, int) for t in base.transforms):
        value, sign = base._inverse(value)
        return log_survival(base.base_dist, value) if sign > 0 else base.base_dist.log_cdf(value)
    if isinstance(base, Exponential):
        return -base.rate * jnp.maximum(value, 0.0)
    if isinstance(base, Weibull):
        z = jnp.asarray(value) / base.scale
        return -(jnp.where(z > 0, z, 1.0) ** base.concentration) * (z > 0)
    if isinstance(base, HalfNormal):
        return math.log(2) + log_ndtr(-jnp.maximum(value, 0.0) / base.scale)
    if isinstance(base, HalfCauchy):
        return jnp.log(2 / math.pi * jnp.arctan2(base.scale, jnp.maximum(value, 0.0)))
    if isinstance(base, Beta):
        return jnp.log(betainc(base.concentration0, base.concentration1, 1 - jnp.asarray(value)))
    loc, scale, line = standardized(base)
    if type(line) is Line and type(base).log_cdf is Distribution.log_cdf:
        return jnp.log1p(-base.cdf(value))
    return line.log_sf((value - loc) / scale)


def log_interval(base: Distribution, low: Any, high: Any) -> Any:
    """Logarithm of the probability of a value above ``low`` and at most ``high``.

    It is the difference of the probabilities of the smaller tail; -inf where the interval is empty.
    """
    empty = jnp.asarray(low) >= high
    high = jnp.where(empty, low + 1.0, high)
    loc, scale, line = standardized(base)
    if type(line) is not Line:
        log_mass = line.log_mass((low - loc) / scale, (high - loc) / scale)
    else:
        lower, upper = (base.log_cdf(low), base.log_cdf(high)), (log_survival(base, high), log_survival(base, low))
        is_upper = lax.stop_gradient(upper[1] < lower[1])
        larger, smaller = (jnp.where(is_upper, upper[end], lower[end]) for end in (1, 0))
        same = larger <= smaller
        log_mass = jnp.where(same, -jnp.inf, logdiffexp(jnp.where(same, 0.0, larger), jnp.where(same, -1.0, smaller)))
    return jnp.where(empty, -jnp.inf, log_mass)


def normal_score(base: Distribution, value: Any) -> Any:
    """The standard normal quantile of the probability below a value, from the smaller one of the two tails."""
    while isinstance(base, ExpandedDistribution):
        base = base.base_dist
    if isinstance(base, Normal):
        return (value - base.loc) / base.scale
    if isinstance(base, TransformedDistribution) and all(isinstance(t.sign, int) for t in base.transforms):
        value, sign = base._inverse(value)
        return sign * normal_score(base.base_dist, value)
    if isinstance(base, Beta):
        # The upper tail of x is the lower tail of 1 - x, with the parameters swapped.
        a, b, x = base.concentration1, base.concentration0, jnp.asarray(value)
        is_lower = lax.stop_gradient(x * (a + b) < a)
        log_tail = log_lower_beta(jnp.where(is_lower, a, b), jnp.where(is_lower, b, a), jnp.where(is_lower, x, 1 - x))
    else:
        log_below, log_above = base.log_cdf(value), log_survival(base, value)
        is_lower = lax.stop_gradient(log_below < log_above)
        log_tail = jnp.where(is_lower, log_below, log_above)
    score = log_ndtri(log_tail)
    return jnp.where(is_lower, score, -score)

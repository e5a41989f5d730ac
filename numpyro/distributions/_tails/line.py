# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions as seen from their tails: any one, and those symmetric about 0.

Everything here is in standard units, those of a distribution with location 0 and scale 1. An interval ``(a, b)`` has
an end that is None where it is unbounded; an infinite end means the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax import lax
import jax.numpy as jnp

from numpyro.distributions._tails.numerics import UNDERFLOW, quadrature
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import log1mexp, logdiffexp


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
        a, b = reflected_below(a, b)
        narrow = self._is_narrow(a, b)
        wide = logdiffexp(self.log_cdf(jnp.where(narrow, 1.0, b)), self.log_cdf(jnp.where(narrow, 0.0, a)))
        a, b = jnp.where(narrow, a, 0.0), jnp.where(narrow, b, 1.0)
        center = 0.5 * (a + b)
        reference = self.standard.log_prob(center)
        share = quadrature(lambda t: jnp.exp(self.standard.log_prob(center + t) - reference), 0.5 * (b - a))
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
        b, a = (-end for end in reflected_below(a, b))
        narrow = self._is_narrow(a, b)
        wide_mean, wide_variance = self._moments_of_wide(jnp.where(narrow, 0.0, a), jnp.where(narrow, 1.0, b))
        a, b = jnp.where(narrow, a, 0.0), jnp.where(narrow, b, 1.0)
        center, half_width = 0.5 * (a + b), 0.5 * (b - a)
        reference = self.standard.log_prob(center)
        density = lambda t: jnp.exp(self.standard.log_prob(center + t) - reference)

        def moment(k: int) -> Any:
            return quadrature(lambda t: t**k * density(t), half_width)

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


def reflected_below(a: Any, b: Any) -> tuple[Any, Any]:
    """The interval, reflected where its middle lies above 0."""
    flip = jnp.asarray(a) > -b
    return jnp.where(flip, -b, a), jnp.where(flip, -a, b)

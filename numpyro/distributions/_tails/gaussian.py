# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The normal distribution as seen from its tails."""

from __future__ import annotations

import math
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri

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
from numpyro.distributions._tails.line import Symmetric
from numpyro.distributions._tails.numerics import root, split

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


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
    far, near_p, far_p = split(log_p)

    near = ndtri(jnp.exp(near_p))

    def mended() -> Any:
        # log_ndtr is concave, and the start lies left of the root.
        z = root(lambda z: log_ndtr(z) - far_p, -jnp.sqrt(-2 * far_p), 4)
        return jnp.where(log_p == -jnp.inf, -jnp.inf, jnp.where(far, z, near))

    return lax.cond(jnp.any(far), mended, lambda: near)


@log_ndtri.defjvp
def _log_ndtri_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    z = log_ndtri(*primals)
    return z, tangents[0] / lower_hazard(z)

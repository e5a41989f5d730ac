# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Laplace, logistic, hyperbolic secant, Cauchy and Student distributions as seen from their tails."""

from __future__ import annotations

import math
from typing import Any

from jax import lax
import jax.numpy as jnp

from numpyro.distributions._tails.incomplete import log_beta_tail
from numpyro.distributions._tails.line import Symmetric, reflected_below
from numpyro.distributions._tails.numerics import UNDERFLOW, quadrature, root, split
from numpyro.distributions.util import log1mexp, logdiffexp


class LaplaceLine(Symmetric):
    """The standard Laplace distribution, in closed form."""

    def log_mass(self, a: Any, b: Any) -> Any:
        if a is None or b is None:
            return super().log_mass(a, b)
        a, b = reflected_below(a, b)
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
        a, b = reflected_below(jnp.asarray(-jnp.inf if a is None else a), jnp.asarray(jnp.inf if b is None else b))
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
        mass = quadrature(lambda t: jnp.exp(density(t)), 0.5 * (b - a))
        first = quadrature(lambda t: density(t) * jnp.exp(density(t)), 0.5 * (b - a))
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
        far, near_p, far_p = split(log_p)
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
        return log_beta_tail(0.5 * self.standard.df, 0.5, -v) - math.log(2)

    def _log_cdf(self, z: Any) -> Any:
        # The density bounds the mass well enough to tell where that underflows.
        far = lax.stop_gradient((z < -1) & (self.standard.log_prob(z) < UNDERFLOW))
        far_z, near_z = jnp.where(far, z, -1.0), jnp.where(far, -1.0, z)
        log_tail = self._log_tail(jnp.log1p(far_z * far_z / self.standard.df))
        return jnp.where(far, log_tail, jnp.log(self.standard.cdf(near_z)))

    def _tail_quantile(self, log_p: Any) -> Any:
        far, near_p, far_p = split(log_p)
        v = root(lambda v: self._log_tail(v) - far_p, -2 * far_p / self.standard.df, 6)
        return jnp.where(far, -jnp.sqrt(self.standard.df * jnp.expm1(v)), self.standard.icdf(jnp.exp(near_p)))

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The gamma distribution as seen from its tails."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

from numpyro._shapes import broadcast_shapes, shape_of
from numpyro.distributions._tails.incomplete import log_lower_gamma, log_upper_gamma
from numpyro.distributions._tails.line import Line
from numpyro.distributions._tails.numerics import root
from numpyro.distributions.continuous import (
    Gamma,
)


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
        return jnp.exp(root(residual, jnp.where(is_lower, lower, upper), 10))

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

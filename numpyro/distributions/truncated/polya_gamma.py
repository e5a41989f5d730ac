# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""A Pólya-Gamma distribution on an interval, for data augmentation in logistic models."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri

from numpyro._shapes import broadcast_shapes
from numpyro.distributions import constraints
from numpyro.distributions.distribution import Distribution

__all__ = ["TruncatedPolyaGamma"]


class TruncatedPolyaGamma(Distribution):
    r"""Pólya-Gamma distribution PG(1, 0), truncated to values below 2.5.

    .. math:: p(x) = \frac{1}{F(2.5)} \sum_{n=0}^\infty (-1)^n \frac{2n + 1}{\sqrt{2\pi x^3}} e^{-(2n + 1)^2 / 8x}
        = \frac{1}{F(2.5)} \sum_{n=0}^\infty (-1)^n 2\pi (2n + 1)\, e^{-(2n + 1)^2 \pi^2 x / 2},
        \quad 0 < x \le 2.5

    The truncation leaves out :math:`5.6 \cdot 10^{-6}` of the mass.

    **Source:** Polson, Scott, Windle (2013), *Bayesian inference for logistic models using Pólya-Gamma latent
    variables*. The first series converges quickly for small x, the second one for large x; both are used.

    :param batch_shape: batch shape.

    >>> import numpyro.distributions as dist
    >>> d = dist.TruncatedPolyaGamma(batch_shape=(3,))
    >>> d.batch_shape, round(float(d.mean[0]), 3)
    ((3,), 0.25)
    """

    #: Upper end of the support.
    truncation_point = 2.5
    #: Number of terms of each series.
    num_log_prob_terms = 7
    #: Number of random variates behind a draw: it is made by inversion of the distribution function.
    num_gamma_variates = 1

    support = constraints.interval(0.0, truncation_point)
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, batch_shape: Sequence[int] = (), *, validate_args: bool | None = None) -> None:
        super().__init__(batch_shape, (), validate_args=validate_args)

    @property
    def _order(self) -> list[int]:
        """The odd numbers 2n + 1, those of negative terms with a minus sign."""
        return [(-1) ** n * (2 * n + 1) for n in range(self.num_log_prob_terms)]

    def _is_small(self, value: Any) -> tuple[Any, Any, Any]:
        small = value < 0.25
        return small, jnp.where(small, value, 0.25), jnp.where(small, 0.25, value)

    def _log_density(self, value: Any) -> Any:
        """Log density without the truncation, for positive values."""
        small, x, y = self._is_small(value)
        first = sum(k * jnp.exp((1 - k * k) / (8 * x)) for k in self._order)
        second = sum(k * jnp.exp((1 - k * k) * (math.pi**2 / 2) * y) for k in self._order)
        return jnp.where(
            small,
            jnp.log(first) - 1 / (8 * x) - 1.5 * jnp.log(x) - 0.5 * math.log(2 * math.pi),
            jnp.log(second) - (math.pi**2 / 2) * y + math.log(2 * math.pi),
        )

    def _below(self, x: Any) -> Any:
        """Probability of a value below a small one, without the truncation."""
        root = 2 * jnp.sqrt(x)
        return 4 * sum(math.copysign(1.0, k) * ndtr(-abs(k) / root) for k in self._order)

    def _above(self, y: Any) -> Any:
        """Probability of a value above a large one, without the truncation."""
        return 4 / math.pi * sum(jnp.exp(-(k * k) * (math.pi**2 / 2) * y) / k for k in self._order)

    def _tail_moment(self, power: int) -> float:
        """Integral of ``x ** power`` over what is left out, of density ``sum_k 2 pi k exp(-rate x)``."""
        end, total = self.truncation_point, 0.0
        for k in self._order:
            rate = k * k * math.pi**2 / 2
            polynomial = sum(math.perm(power, j) * end ** (power - j) / rate**j for j in range(power + 1))
            total += 4 / (math.pi * k) * math.exp(-rate * end) * polynomial
        return total

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.icdf(jax.random.uniform(key, self.shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        value = jnp.asarray(value)
        inside = (value > 0) & (value <= self.truncation_point)
        log_prob = self._log_density(jnp.where(inside, value, 0.25)) - math.log1p(-self._tail_moment(0))
        shape = broadcast_shapes(value.shape, self.batch_shape)
        return jnp.broadcast_to(jnp.where(inside, log_prob, -jnp.inf), shape)

    def cdf(self, value: Any) -> Any:
        value = jnp.asarray(value)
        positive = value > 0
        small, x, y = self._is_small(jnp.where(positive, value, 0.25))
        total = 1 - self._tail_moment(0)
        cdf = jnp.where(small, self._below(x), 1 - self._above(y)) / total
        cdf = jnp.where(value >= self.truncation_point, 1.0, jnp.where(positive, cdf, 0.0))
        return jnp.broadcast_to(cdf, broadcast_shapes(value.shape, self.batch_shape))

    def icdf(self, q: Any) -> Any:
        left_out = self._tail_moment(0)
        below = jnp.asarray(q) * (1 - left_out)
        above = (1 - jnp.asarray(q)) * (1 - left_out) + left_out
        # The first terms of both series invert in closed form; two Newton steps mend the rest.
        small = below < 0.55
        inside = jnp.where(small & (below > 0), below, 0.3)
        x = jnp.where(small, 0.25 / ndtri(inside / 4) ** 2, -2 / math.pi**2 * jnp.log(math.pi / 4 * above))
        for _ in range(2):
            density = jnp.exp(self._log_density(x))
            excess = jnp.where(small, self._below(x) - inside, above - self._above(x))
            x = x - excess / density
        x = jnp.where(below > 0, jnp.minimum(x, self.truncation_point), 0.0)
        return jnp.broadcast_to(x, broadcast_shapes(jnp.shape(q), self.batch_shape))

    @property
    def mean(self) -> Any:
        return (1 / 4 - self._tail_moment(1)) / (1 - self._tail_moment(0))

    @property
    def variance(self) -> Any:
        second = (5 / 48 - self._tail_moment(2)) / (1 - self._tail_moment(0))
        return second - ((1 / 4 - self._tail_moment(1)) / (1 - self._tail_moment(0))) ** 2

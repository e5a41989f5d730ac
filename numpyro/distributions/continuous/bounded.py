# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions on an interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma

from numpyro.distributions import constraints
from numpyro.distributions._special import betainc, betaincinv, betaln, xlog1py, xlogy
from numpyro.distributions.distribution import Distribution

__all__ = ["Beta", "Uniform"]


class Uniform(Distribution):
    r"""Uniform distribution.

    .. math:: p(x) = \frac{1}{b - a}, \quad a \le x \le b

    :param low: lower end :math:`a`.
    :param high: upper end :math:`b > a`.

    >>> import numpyro.distributions as dist
    >>> float(dist.Uniform(1.0, 3.0).mean)
    2.0
    """

    arg_constraints = {
        "low": constraints.dependent(is_discrete=False, event_dim=0),
        "high": constraints.dependent(is_discrete=False, event_dim=0),
    }
    reparametrized_params = ["low", "high"]

    def __init__(self, low: Any = 0.0, high: Any = 1.0, *, validate_args: bool | None = None) -> None:
        self._declare(low=low, high=high, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.interval(self.low, self.high)

    def _argument_constraint(self, name: str) -> Any:
        return constraints.less_than(self.high) if name == "low" else constraints.greater_than(self.low)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.low + (self.high - self.low) * jax.random.uniform(key, self.shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        value = jnp.asarray(value)
        inside = (value >= self.low) & (value <= self.high)
        return jnp.where(inside, -jnp.log(self.high - self.low), -jnp.inf)

    def cdf(self, value: Any) -> Any:
        return jnp.clip((value - self.low) / (self.high - self.low), 0.0, 1.0)

    def icdf(self, q: Any) -> Any:
        return self.low + q * (self.high - self.low)

    @property
    def mean(self) -> Any:
        return self.low + 0.5 * (self.high - self.low)

    @property
    def variance(self) -> Any:
        return (self.high - self.low) ** 2 / 12.0

    def entropy(self) -> Any:
        return jnp.log(self.high - self.low)


class Beta(Distribution):
    r"""Beta distribution.

    .. math:: p(x) = \frac{x^{\alpha - 1} (1 - x)^{\beta - 1}}{B(\alpha, \beta)}, \quad 0 \le x \le 1

    :param concentration1: :math:`\alpha > 0`, the exponent of x plus one.
    :param concentration0: :math:`\beta > 0`, the exponent of 1 - x plus one.

    >>> import numpyro.distributions as dist
    >>> float(dist.Beta(1.0, 3.0).mean)
    0.25
    """

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    reparametrized_params = ["concentration1", "concentration0"]

    def __init__(self, concentration1: Any, concentration0: Any, *, validate_args: bool | None = None) -> None:
        self._declare(concentration1=concentration1, concentration0=concentration0, validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return jax.random.beta(key, self.concentration1, self.concentration0, self.shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        a, b, value = self.concentration1, self.concentration0, jnp.asarray(value)
        inside = (value >= 0) & (value <= 1)
        safe = jnp.where(inside, value, 0.5)
        return jnp.where(inside, xlogy(a - 1.0, safe) + xlog1py(b - 1.0, -safe) - betaln(a, b), -jnp.inf)

    def cdf(self, value: Any) -> Any:
        return betainc(self.concentration1, self.concentration0, jnp.clip(value, 0.0, 1.0))

    def icdf(self, q: Any) -> Any:
        return betaincinv(self.concentration1, self.concentration0, q)

    @property
    def mean(self) -> Any:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def variance(self) -> Any:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total**2 * (total + 1))

    @property
    def mode(self) -> Any:
        """Mode; NaN where the density has none or no single one (a concentration below 1, or both equal to 1)."""
        a, b = jnp.asarray(self.concentration1), jnp.asarray(self.concentration0)
        unique = (a >= 1) & (b >= 1) & (a + b > 2)
        return jnp.where(unique, (a - 1) / jnp.where(unique, a + b - 2, 1.0), jnp.nan)

    def entropy(self) -> Any:
        a, b = jnp.asarray(self.concentration1), jnp.asarray(self.concentration0)
        weights = (a - 1) * digamma(a) + (b - 1) * digamma(b)
        return betaln(a, b) - weights + (a + b - 2) * digamma(a + b)

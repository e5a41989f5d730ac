# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Counts without an upper bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import broadcast_shapes
from numpyro.distributions import constraints
from numpyro.distributions._special import gammaincc, log_indicator
from numpyro.distributions.discrete.log_mass import log_poisson
from numpyro.distributions.distribution import Distribution
from numpyro.util import not_jax_tracer

__all__ = ["Poisson"]


class Poisson(Distribution):
    r"""Poisson distribution.

    .. math:: p(k) = \frac{\lambda^k e^{-\lambda}}{k!}, \quad k = 0, 1, \dots

    :param rate: rate :math:`\lambda \ge 0`.
    :param is_sparse: whether most values are 0; then :meth:`log_prob` of a concrete array computes logarithms only for
        the others.

    **Source:** Johnson, Kemp, Kotz (2005), *Univariate Discrete Distributions*, chapter 4.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.Poisson(3.0).log_prob(0)), 4)
    -3.0
    """

    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer
    pytree_aux_fields = ("is_sparse",)

    def __init__(self, rate: Any, *, is_sparse: bool = False, validate_args: bool | None = None) -> None:
        self.is_sparse = is_sparse
        self._declare(rate=rate, validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return jax.random.poisson(key, self.rate, self.shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        if self.is_sparse and not_jax_tracer(value) and np.size(value) > 1:
            return self._sparse_log_prob(np.asarray(value))
        value = jnp.asarray(value)
        inside = (value >= 0) & (value == jnp.floor(value))
        count = jnp.where(inside, value, 0).astype(jnp.result_type(float))
        return log_poisson(count, self.rate) + log_indicator(inside)

    def _sparse_log_prob(self, value: np.ndarray) -> Any:
        shape = broadcast_shapes(value.shape, self.batch_shape)
        value = np.broadcast_to(value, shape)
        rate = jnp.broadcast_to(jnp.asarray(self.rate, jnp.result_type(float)), shape)
        where = np.nonzero(value)
        count = value[where].astype(rate.dtype)
        inside = (count >= 0) & (count == np.floor(count))
        log_prob = jnp.where(inside, log_poisson(np.where(inside, count, 0), rate[where]), -jnp.inf)
        return (-rate).at[where].set(log_prob)

    def cdf(self, value: Any) -> Any:
        count = jnp.floor(value)
        cdf = gammaincc(jnp.maximum(count, 0.0) + 1, jnp.asarray(self.rate, jnp.result_type(float)))
        return jnp.where(count < 0, 0.0, cdf)

    @property
    def mean(self) -> Any:
        return self.rate

    @property
    def variance(self) -> Any:
        return self.rate

    @property
    def mode(self) -> Any:
        return jnp.floor(self.rate).astype(jnp.result_type(int))

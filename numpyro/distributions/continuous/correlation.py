# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions of correlation matrices."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma
import numpy as np

from numpyro.distributions import constraints
from numpyro.distributions._random import beta_variate
from numpyro.distributions._special import betaln
from numpyro.distributions.continuous.matrices import safe_cholesky
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.distribution.transformed import _TransformedFamily
from numpyro.distributions.transforms import CorrMatrixCholeskyTransform
from numpyro.distributions.util import signed_stick_breaking_tril, tri_logabsdet

__all__ = ["LKJ", "LKJCholesky"]


class LKJCholesky(Distribution):
    r"""LKJ distribution of the Cholesky factor of a correlation matrix.

    .. math:: p(L) \propto \prod_{i=2}^{d} L_{ii}^{d - i + 2\eta - 2}, \quad\text{so that}\quad p(L L^\top) \propto
        |L L^\top|^{\eta - 1}

    With :math:`\eta = 1` the correlation matrix is uniform; larger values draw it to the identity.

    :param dimension: size :math:`d \ge 2` of the matrix.
    :param concentration: :math:`\eta > 0`.
    :param sample_method: "onion" (row by row, from uniform directions) or "cvine" (from partial correlations).

    **Source:** Lewandowski, Kurowicka, Joe (2009), *Generating random correlation matrices based on vines and extended
    onion method*. Journal of Multivariate Analysis 100, 1989-2001; the onion method is in section 3.2, the C-vine in
    section 2.4.

    >>> import jax, numpyro.distributions as dist
    >>> L = dist.LKJCholesky(3, 2.0).sample(jax.random.key(0))
    >>> L.shape, [round(float(x), 4) for x in (L**2).sum(-1)]
    ((3, 3), [1.0, 1.0, 1.0])
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky
    reparametrized_params = ["concentration"]
    pytree_aux_fields = ("dimension", "sample_method")

    def __init__(
        self,
        dimension: int,
        concentration: Any = 1.0,
        sample_method: str = "onion",
        *,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(dimension, int | np.integer) or dimension < 2:
            raise ValueError(f"LKJCholesky: dimension must be an integer of at least 2, but is {dimension!r}.")
        if sample_method not in ("onion", "cvine"):
            raise ValueError(f"LKJCholesky: sample_method must be 'onion' or 'cvine', but is {sample_method!r}.")
        self.dimension = int(dimension)
        self.sample_method = sample_method
        event_shape = (self.dimension, self.dimension)
        self._declare(concentration=concentration, event_shape=event_shape, validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        shape = tuple(sample_shape) + self.batch_shape
        return self._onion(key, shape) if self.sample_method == "onion" else self._cvine(key, shape)

    def _beta_concentration(self) -> Any:
        """:math:`\\eta + (d - 1 - k) / 2` for k = 1 ... d - 1, along a new last axis."""
        later = np.arange(self.dimension - 2, -1, -1) / 2
        return jnp.asarray(self.concentration)[..., None] + later

    def _onion(self, key: Any, shape: tuple[int, ...]) -> Any:
        key_radius, key_direction = jax.random.split(key)
        size = self.dimension - 1
        half_rank = 0.5 * np.arange(1, self.dimension)
        radius2 = beta_variate(key_radius, half_rank, self._beta_concentration(), shape + (size,))
        normal = jnp.tril(jax.random.normal(key_direction, shape + (size, size)))
        rows = normal * jnp.sqrt(radius2 / (normal**2).sum(-1))[..., None]
        diagonal = jnp.concatenate([jnp.ones(shape + (1,)), jnp.sqrt(1 - radius2)], -1)
        below = jnp.pad(rows, [(0, 0)] * len(shape) + [(1, 0), (0, 1)])
        return below + diagonal[..., None] * jnp.eye(self.dimension)

    def _cvine(self, key: Any, shape: tuple[int, ...]) -> Any:
        _, columns = np.tril_indices(self.dimension, -1)
        concentration = self._beta_concentration()[..., columns]
        beta = beta_variate(key, concentration, concentration, shape + columns.shape)
        limit = 1 - jnp.finfo(beta.dtype).eps
        return signed_stick_breaking_tril(jnp.clip(2 * beta - 1, -limit, limit))

    def log_prob(self, value: Any) -> Any:
        value = jnp.asarray(value)
        size = self.dimension
        diagonal = jnp.diagonal(value, axis1=-2, axis2=-1)[..., 1:]
        inside = (diagonal > 0).all(-1)
        log_diagonal = jnp.log(jnp.where(inside[..., None], diagonal, 1.0))
        eta = jnp.asarray(self.concentration)[..., None]
        log_kernel = ((np.arange(size - 2, -1, -1) + 2 * eta - 2) * log_diagonal).sum(-1)
        return jnp.where(inside, log_kernel - self._log_normalizer(), -jnp.inf)

    def _log_normalizer(self) -> Any:
        # Each row is a direction on a half sphere whose squared length below the diagonal has a beta distribution.
        rank = np.arange(1, self.dimension)
        eta = jnp.asarray(self.concentration)[..., None]
        log_surface = 0.5 * rank * math.log(math.pi) - np.array([math.lgamma(0.5 * k) for k in rank])
        return (log_surface + betaln(eta + 0.5 * (self.dimension - 1 - rank), 0.5 * rank)).sum(-1)

    def _mean_log_squares(self) -> Any:
        """Means of the logarithms of the squares on the diagonal, which have beta distributions; but for the first."""
        eta = jnp.asarray(self.concentration, jnp.result_type(float))[..., None]
        last = 0.5 * (self.dimension - 1)
        return digamma(eta + (last - 0.5 * np.arange(1, self.dimension))) - digamma(eta + last)

    def entropy(self) -> Any:
        exponents = np.arange(self.dimension - 2, -1, -1) + 2 * jnp.asarray(self.concentration)[..., None] - 2
        return self._log_normalizer() - 0.5 * (exponents * self._mean_log_squares()).sum(-1)


class LKJ(_TransformedFamily):
    r"""LKJ distribution of correlation matrices.

    .. math:: p(R) \propto |R|^{\eta - 1}

    :param dimension: size :math:`d \ge 2` of the matrix.
    :param concentration: :math:`\eta > 0`; with 1 the matrix is uniform, larger values draw it to the identity.
    :param sample_method: "onion" or "cvine", see :class:`LKJCholesky`.

    **Source:** Lewandowski, Kurowicka, Joe (2009), *Generating random correlation matrices based on vines and extended
    onion method*. Journal of Multivariate Analysis 100.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> round(float(dist.LKJ(2, 1.0).log_prob(jnp.eye(2))), 4)
    -0.6931
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_matrix
    reparametrized_params = ["concentration"]
    pytree_aux_fields = ("dimension", "sample_method")

    def __init__(
        self,
        dimension: int,
        concentration: Any = 1.0,
        sample_method: str = "onion",
        *,
        validate_args: bool | None = None,
    ) -> None:
        LKJCholesky(dimension, 1.0, sample_method)
        self.dimension = int(dimension)
        self.sample_method = sample_method
        event_shape = (self.dimension, self.dimension)
        self._declare(concentration=concentration, event_shape=event_shape, validate_args=validate_args)

    @property
    def base_dist(self) -> LKJCholesky:
        return LKJCholesky(self.dimension, self.concentration, self.sample_method)

    @property
    def transforms(self) -> Any:
        return [CorrMatrixCholeskyTransform().inv]

    def log_prob(self, value: Any, intermediates: Any = None) -> Any:
        inside, tril = safe_cholesky(value)
        log_kernel = 2 * (jnp.asarray(self.concentration) - 1) * tri_logabsdet(tril)
        return jnp.where(inside, log_kernel - self.base_dist._log_normalizer(), -jnp.inf)

    def entropy(self) -> Any:
        mean_log_det = self.base_dist._mean_log_squares().sum(-1)
        return self.base_dist._log_normalizer() - (jnp.asarray(self.concentration) - 1) * mean_log_det

    @property
    def mean(self) -> Any:
        return jnp.eye(self.dimension)

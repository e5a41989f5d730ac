# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions of real vectors, and of vectors on the simplex."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import digamma, gammaln
import numpy as np

from numpyro._shapes import broadcast_shapes, reshape, shape_of
from numpyro.distributions import constraints
from numpyro.distributions._log_density import log_dirichlet
from numpyro.distributions._random import dirichlet
from numpyro.distributions.continuous.real_line import HALF_LOG_2PI
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import cholesky_of_inverse, lazy_property

__all__ = ["Dirichlet", "MultivariateNormal"]

#: Up to this size a triangular system is solved by plain arithmetic, which compilers fuse with what surrounds it. Calls
#: of a linear algebra library, one for each matrix of a batch, cost several times as much.
UNROLLED_SIZE = 8


def solve_lower(matrix: Any, vector: Any) -> Any:
    """Solve ``matrix @ x = vector`` for lower triangular matrices.

    :param matrix: shape ``A + (n, n)``.
    :param vector: shape ``B + (n,)``.
    :return: shape ``broadcast(A, B) + (n,)``.
    """
    size = shape_of(matrix)[-1]
    if size > UNROLLED_SIZE:
        return _solve_folded(matrix, vector)
    solution: list[Any] = []
    for row in range(size):
        rest = vector[..., row]
        for column, known in enumerate(solution):
            rest = rest - matrix[..., row, column] * known
        solution.append(rest / matrix[..., row, row])
    return jnp.stack(jnp.broadcast_arrays(*solution), -1)


def multiply(matrix: Any, vector: Any) -> Any:
    """Products of matrices and vectors, with the batch dimensions broadcast."""
    if shape_of(matrix)[-1] <= UNROLLED_SIZE:
        # One small product for each vector costs less than a product with all vectors, which moves them twice.
        return jnp.squeeze(jnp.matmul(matrix, vector[..., None]), -1)
    return jnp.einsum("...ij,...j->...i", matrix, vector)


def _solve_folded(matrix: Any, vector: Any) -> Any:
    """Solve with one call of the library for each different matrix: vectors that share one become its columns."""
    size = shape_of(matrix)[-1]
    batch = broadcast_shapes(shape_of(matrix)[:-2], shape_of(vector)[:-1])
    own = (1,) * (len(batch) + 2 - jnp.ndim(matrix)) + shape_of(matrix)[:-2]
    kept = [dim for dim in range(len(batch)) if own[dim] != 1]
    folded = [dim for dim in range(len(batch)) if own[dim] == 1]
    order = (*kept, len(batch), *folded)
    columns = jnp.transpose(jnp.broadcast_to(vector, batch + (size,)), order)
    lead = tuple(batch[dim] for dim in kept)
    matrix = jnp.reshape(matrix, lead + (size, size))
    solution = solve_triangular(matrix, jnp.reshape(columns, lead + (size, -1)), lower=True)
    return jnp.transpose(jnp.reshape(solution, columns.shape), tuple(np.argsort(order).tolist()))


class MultivariateNormal(Distribution):
    r"""Multivariate normal distribution, given by one of covariance, precision, or Cholesky factor of the covariance.

    .. math:: p(x) = (2\pi)^{-n/2} |\Sigma|^{-1/2} \exp\left(-\tfrac{1}{2}(x - \mu)^\top \Sigma^{-1} (x - \mu)\right)

    :param loc: mean :math:`\mu`, of shape ``B + (n,)`` (a scalar, or a last dimension of 1, stands for all entries).
    :param covariance_matrix: :math:`\Sigma`, of shape ``B + (n, n)``, positive definite.
    :param precision_matrix: :math:`\Sigma^{-1}`, of shape ``B + (n, n)``, positive definite.
    :param scale_tril: :math:`L` with :math:`\Sigma = L L^\top`, of shape ``B + (n, n)``, lower triangular with a
        positive diagonal.
    :raises ValueError: unless exactly one matrix is given and its size fits ``loc``.

    The batch dimensions ``B`` of mean and matrix broadcast.

    **Source:** Kotz, Balakrishnan, Johnson (2000), *Continuous Multivariate Distributions*, volume 1, chapter 45.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> d = dist.MultivariateNormal(jnp.zeros((5, 2)), scale_tril=jnp.eye(2))
    >>> d.batch_shape, d.event_shape
    ((5,), (2,))
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    reparametrized_params = ["loc", "covariance_matrix", "precision_matrix", "scale_tril"]

    def __init__(
        self,
        loc: Any = 0.0,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        matrices = {
            "covariance_matrix": covariance_matrix,
            "precision_matrix": precision_matrix,
            "scale_tril": scale_tril,
        }
        given = {name: matrix for name, matrix in matrices.items() if matrix is not None}
        if len(given) != 1:
            raise ValueError(
                "MultivariateNormal: give exactly one of covariance_matrix, precision_matrix and scale_tril; given: "
                f"{', '.join(given) or 'none'}."
            )
        [(name, matrix)] = given.items()
        loc = np.asarray(loc) if isinstance(loc, list | tuple) else loc
        shape, loc_shape = np.shape(matrix) if isinstance(matrix, list | tuple) else shape_of(matrix), shape_of(loc)
        if len(shape) < 2 or shape[-1] != shape[-2]:
            raise ValueError(f"MultivariateNormal: {name} must have shape (..., n, n), but has shape {shape}.")
        if loc_shape and loc_shape[-1] not in (1, shape[-1]):
            raise ValueError(
                f"MultivariateNormal: loc of shape {loc_shape} has vectors of size {loc_shape[-1]}, but {name} of "
                f"shape {shape} is for vectors of size {shape[-1]}."
            )
        self._declare(
            loc=loc if loc_shape else reshape(loc, (1,)),
            **given,
            event_shape=shape[-1:],
            validate_args=validate_args,
        )

    @lazy_property
    def scale_tril(self) -> Any:
        """Cholesky factor of the covariance."""
        if "covariance_matrix" in self.__dict__:
            return jnp.linalg.cholesky(self.covariance_matrix)
        return cholesky_of_inverse(self.precision_matrix)

    @lazy_property
    def covariance_matrix(self) -> Any:
        """Covariance."""
        return self.scale_tril @ jnp.matrix_transpose(self.scale_tril)

    @lazy_property
    def precision_matrix(self) -> Any:
        """Inverse of the covariance."""
        identity = jnp.broadcast_to(jnp.eye(self.event_shape[0]), shape_of(self.scale_tril))
        return jax.scipy.linalg.cho_solve((self.scale_tril, True), identity)

    @lazy_property
    def _precision_tril(self) -> Any:
        return jnp.linalg.cholesky(self.precision_matrix)

    def _half_log_det(self) -> Any:
        """Half the logarithm of the determinant of the covariance."""
        if "precision_matrix" in self.__dict__:
            return -jnp.log(jnp.diagonal(self._precision_tril, axis1=-2, axis2=-1)).sum(-1)
        return jnp.log(jnp.diagonal(self.scale_tril, axis1=-2, axis2=-1)).sum(-1)

    def _whiten(self, deviation: Any) -> Any:
        """Map deviations from the mean to independent standard normal entries."""
        if "precision_matrix" in self.__dict__:
            return jnp.einsum("...ji,...j->...i", self._precision_tril, deviation)
        return solve_lower(self.scale_tril, deviation)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        noise = jax.random.normal(key, self.shape(sample_shape))
        return self.loc + multiply(self.scale_tril, noise)

    def log_prob(self, value: Any) -> Any:
        z = self._whiten(value - jnp.broadcast_to(self.loc, shape_of(self.loc)[:-1] + self.event_shape))
        return -0.5 * (z * z).sum(-1) - self._half_log_det() - self.event_shape[0] * HALF_LOG_2PI

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        if "covariance_matrix" in self.__dict__:
            return jnp.diagonal(self.covariance_matrix, axis1=-2, axis2=-1)
        return (self.scale_tril**2).sum(-1)

    @property
    def mode(self) -> Any:
        return self.loc

    def entropy(self) -> Any:
        return self.event_shape[0] * (0.5 + HALF_LOG_2PI) + self._half_log_det()


class Dirichlet(Distribution):
    r"""Dirichlet distribution, over vectors of positive numbers that sum to 1.

    .. math:: p(x) = \frac{\Gamma(\sum_i \alpha_i)}{\prod_i \Gamma(\alpha_i)} \prod_i x_i^{\alpha_i - 1}

    :param concentration: :math:`\alpha`, of shape ``B + (n,)``, positive.

    **Source:** Kotz, Balakrishnan, Johnson (2000), *Continuous Multivariate Distributions*, volume 1, chapter 49.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> print(dist.Dirichlet(jnp.array([1.0, 3.0])).mean)
    [0.25 0.75]
    """

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    reparametrized_params = ["concentration"]

    def __init__(self, concentration: Any, *, validate_args: bool | None = None) -> None:
        shape = np.shape(concentration) if isinstance(concentration, list | tuple) else shape_of(concentration)
        if not shape:
            raise ValueError(
                "Dirichlet: concentration must have a last dimension, over the entries of the simplex, but is a scalar."
            )
        self._declare(concentration=concentration, event_shape=shape[-1:], validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return dirichlet(key, self.concentration, tuple(sample_shape) + self.batch_shape)

    def log_prob(self, value: Any) -> Any:
        return log_dirichlet(self.concentration, value)

    @property
    def mean(self) -> Any:
        alpha = jnp.asarray(self.concentration)
        return alpha / alpha.sum(-1, keepdims=True)

    @property
    def variance(self) -> Any:
        total = jnp.asarray(self.concentration).sum(-1, keepdims=True)
        return self.mean * (1 - self.mean) / (total + 1)

    @property
    def mode(self) -> Any:
        """Mode; NaN where the density has none inside the simplex (a concentration of 1 or less)."""
        alpha = jnp.asarray(self.concentration)
        inner = (alpha > 1).all(-1, keepdims=True)
        excess = jnp.where(inner, alpha.sum(-1, keepdims=True) - alpha.shape[-1], 1.0)
        return jnp.where(inner, (alpha - 1) / excess, jnp.nan)

    def entropy(self) -> Any:
        alpha = jnp.asarray(self.concentration)
        size, total = alpha.shape[-1], alpha.sum(-1)
        log_beta = gammaln(alpha).sum(-1) - gammaln(total)
        return log_beta + (total - size) * digamma(total) - ((alpha - 1) * digamma(alpha)).sum(-1)

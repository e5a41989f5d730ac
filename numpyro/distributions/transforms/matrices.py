# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Transforms onto triangular, positive definite and correlation matrices, and by triangular matrices."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any, ClassVar

from jax.nn import log_sigmoid, softplus
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
import numpy as np

from numpyro._shapes import Shape, broadcast_shapes, shape_of
from numpyro.distributions import constraints
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.transforms.elementwise import softplus_inverse
from numpyro.distributions.transforms.transform import Transform
from numpyro.distributions.transforms.vectors import log_one_minus_tanh_squared, safe_log
from numpyro.distributions.util import matrix_to_tril_vec, tri_logabsdet, vec_to_tril_matrix
from numpyro.distributions.util.matrices import tril_size


class LowerCholeskyAffine(Transform):
    """:math:`y = loc + L x` with a lower triangular matrix.

    :param loc: array of shape ``batch + (n,)``.
    :param scale_tril: lower triangular matrices :math:`L` of shape ``batch + (n, n)``, no zero on the diagonal.

    >>> LowerCholeskyAffine(jnp.zeros(2), jnp.array([[1.0, 0.0], [2.0, 3.0]]))(jnp.ones(2)).tolist()
    [1.0, 5.0]
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    arg_event_dims: ClassVar[dict[str, int]] = {"loc": 1, "scale_tril": 2}

    def __init__(self, loc: Any, scale_tril: Any) -> None:
        shape = shape_of(scale_tril)
        if len(shape) < 2 or shape[-1] != shape[-2]:
            raise ValueError(f"`scale_tril` must be a square matrix, or a batch of such; its shape is {shape}.")
        self.loc = loc
        self.scale_tril = scale_tril

    def __call__(self, x: Any) -> Any:
        return self.loc + jnp.einsum("...ij,...j->...i", self.scale_tril, x)

    def _inverse(self, y: Any) -> Any:
        return solve_lower(self.scale_tril, y - self.loc)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return jnp.broadcast_to(tri_logabsdet(self.scale_tril), self.forward_shape(shape_of(x))[:-1])

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        if len(shape) < 1:
            raise ValueError("LowerCholeskyAffine takes vectors; the shape () has no dimension.")
        return broadcast_shapes(tuple(shape), shape_of(self.loc), shape_of(self.scale_tril)[:-1])

    def inverse_shape(self, shape: Sequence[int]) -> Shape:
        return self.forward_shape(shape)


def solve_lower(tril: Any, b: Any) -> Any:
    """Solve :math:`L x = b` for vectors, with one factorisation for all vectors that share a matrix."""
    *matrix_batch, n, _ = shape_of(tril)
    if all(size == 1 for size in matrix_batch):
        batch = broadcast_shapes(tuple(matrix_batch), shape_of(b)[:-1])
        columns = jnp.reshape(b, (-1, n)).T
        return solve_triangular(jnp.reshape(tril, (n, n)), columns, lower=True).T.reshape((*batch, n))
    batch = broadcast_shapes(tuple(matrix_batch), shape_of(b)[:-1])
    tril = jnp.broadcast_to(tril, (*batch, n, n))
    return solve_triangular(tril, jnp.broadcast_to(b, (*batch, n))[..., None], lower=True)[..., 0]


class TriangleTransform(Transform):
    """Base of the transforms that fill a lower triangular matrix with positive diagonal from a vector.

    The vector holds first the elements below the diagonal, row by row, then the diagonal.
    """

    domain = constraints.real_vector
    codomain: Constraint = constraints.lower_cholesky

    def _diagonal(self, x: Any) -> Any:
        raise NotImplementedError

    def _diagonal_inverse(self, diagonal: Any) -> Any:
        raise NotImplementedError

    def _split(self, x: Any) -> tuple[Any, Any, int]:
        n = tril_size(shape_of(x)[-1])
        return x[..., : n * (n - 1) // 2], x[..., n * (n - 1) // 2 :], n

    def __call__(self, x: Any) -> Any:
        below, diagonal, n = self._split(x)
        return _fill(below, self._diagonal(diagonal), n)

    def _inverse(self, y: Any) -> Any:
        diagonal = self._diagonal_inverse(jnp.diagonal(y, axis1=-2, axis2=-1))
        return jnp.concatenate([matrix_to_tril_vec(y, diagonal=-1), diagonal], axis=-1)

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        if len(shape) < 1:
            raise ValueError(f"{type(self).__name__} takes vectors; the shape () has no dimension.")
        n = tril_size(shape[-1])
        return (*shape[:-1], n, n)

    def inverse_shape(self, shape: Sequence[int]) -> Shape:
        n = _matrix_size(self, shape)
        return (*shape[:-2], n * (n + 1) // 2)


def _fill(below: Any, diagonal: Any, n: int) -> Any:
    """Lower triangular matrices from the elements below the diagonal and those on it, by one gather."""
    m = n * (n - 1) // 2
    position = np.full((n, n), m + n)
    position[np.tril_indices(n, -1)] = np.arange(m)
    position[np.diag_indices(n)] = np.arange(m, m + n)
    values = jnp.concatenate([below, diagonal, jnp.zeros_like(diagonal[..., :1])], axis=-1)
    return values[..., position]


class LowerCholeskyTransform(TriangleTransform):
    """Vectors onto lower triangular matrices whose diagonal is the exponential of the vector's last elements.

    Stan Reference Manual, "Covariance matrices".

    >>> LowerCholeskyTransform()(jnp.array([5.0, 0.0, 0.0])).tolist()
    [[1.0, 0.0], [5.0, 1.0]]
    """

    def _diagonal(self, x: Any) -> Any:
        return jnp.exp(x)

    def _diagonal_inverse(self, diagonal: Any) -> Any:
        return jnp.log(diagonal)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return jnp.sum(self._split(x)[1], axis=-1)


class SoftplusLowerCholeskyTransform(TriangleTransform):
    """Vectors onto lower triangular matrices whose diagonal is the softplus of the vector's last elements.

    >>> SoftplusLowerCholeskyTransform()(jnp.zeros(1)).round(4).tolist()
    [[0.6930999755859375]]
    """

    codomain = constraints.softplus_lower_cholesky

    def _diagonal(self, x: Any) -> Any:
        return softplus(x)

    def _diagonal_inverse(self, diagonal: Any) -> Any:
        return softplus_inverse(diagonal)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return jnp.sum(log_sigmoid(self._split(x)[1]), axis=-1)


class ScaledUnitLowerCholeskyTransform(TriangleTransform):
    """Vectors onto products of a positive diagonal matrix and a unit lower triangular one.

    The vector's first elements are those of the unit triangular matrix, the softplus of the last ones the scales of
    its rows.

    >>> ScaledUnitLowerCholeskyTransform()(jnp.zeros(1)).round(4).tolist()
    [[0.6930999755859375]]
    """

    codomain = constraints.scaled_unit_lower_cholesky

    def __call__(self, x: Any) -> Any:
        below, diagonal, n = self._split(x)
        return softplus(diagonal)[..., None] * _fill(below, jnp.ones_like(diagonal), n)

    def _inverse(self, y: Any) -> Any:
        diagonal = jnp.diagonal(y, axis1=-2, axis2=-1)
        below = matrix_to_tril_vec(y / diagonal[..., None], diagonal=-1)
        return jnp.concatenate([below, softplus_inverse(diagonal)], axis=-1)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        _, diagonal, n = self._split(x)
        elements_below = np.arange(n, dtype=np.float32)
        return jnp.sum(log_sigmoid(diagonal) + elements_below * _log_softplus(diagonal), axis=-1)


def _log_softplus(x: Any) -> Any:
    # log(e^x - e^{2x} / 2 + ...) = x - e^x / 2 + ..., where the softplus itself would underflow.
    far = x < -15
    return jnp.where(far, x, jnp.log(softplus(jnp.where(far, 0.0, x))))


class CorrCholeskyTransform(Transform):
    """Vectors of :math:`n(n-1)/2` real numbers onto Cholesky factors of correlation matrices.

    Their hyperbolic tangents are canonical partial correlations, row by row:
    :math:`L_{ij} = \\tanh(x_{ij}) \\prod_{k<j} \\sqrt{1 - \\tanh^2 x_{ik}}`. Products are taken by logarithms, so
    that nothing is lost when a correlation is close to one.

    Lewandowski, Kurowicka and Joe (2009), "Generating random correlation matrices based on vines and extended onion
    method"; Stan Reference Manual, "Cholesky factors of correlation matrices".

    >>> CorrCholeskyTransform()(jnp.zeros(1)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky

    def __call__(self, x: Any) -> Any:
        n = _corr_size(shape_of(x)[-1])
        half_log = 0.5 * vec_to_tril_matrix(log_one_minus_tanh_squared(x), diagonal=-1)
        before = jnp.cumsum(half_log, axis=-1) - half_log
        elements = vec_to_tril_matrix(jnp.tanh(x), diagonal=-1) + np.eye(n, dtype=half_log.dtype)
        return elements * jnp.exp(before)

    def _inverse(self, y: Any) -> Any:
        # arctanh(z) = arcsinh(z / sqrt(1 - z^2)), and the rest of the row beyond an element is what that root scales.
        squares = jnp.flip(jnp.cumsum(jnp.flip(y * y, -1), axis=-1), -1)
        beyond = jnp.concatenate([squares[..., 1:], jnp.zeros_like(y[..., :1])], axis=-1)
        tiny = float(jnp.finfo(jnp.result_type(y, 1.0)).tiny)
        return jnp.arcsinh(matrix_to_tril_vec(y, -1) / jnp.sqrt(jnp.maximum(matrix_to_tril_vec(beyond, -1), tiny)))

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        n = _corr_size(shape_of(x)[-1])
        rows, columns = np.tril_indices(n, -1)
        # 1 - tanh^2 is the derivative of the element's own tanh, its root scales the elements right of it.
        weight = (1 + 0.5 * (rows - columns - 1)).astype(np.float32)
        return jnp.sum(weight * log_one_minus_tanh_squared(x), axis=-1)

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        if len(shape) < 1:
            raise ValueError("CorrCholeskyTransform takes vectors; the shape () has no dimension.")
        n = _corr_size(shape[-1])
        return (*shape[:-1], n, n)

    def inverse_shape(self, shape: Sequence[int]) -> Shape:
        n = _matrix_size(self, shape)
        return (*shape[:-2], n * (n - 1) // 2)


def _corr_size(m: int) -> int:
    return tril_size(m) + 1


class CholeskyTransform(Transform):
    """Positive definite matrices to their Cholesky factors.

    The log-determinant is that between the free elements, those on and below the diagonal; see Mathai (1997),
    "Jacobians of matrix transformations", theorem 1.29.

    >>> CholeskyTransform()(jnp.array([[4.0]])).tolist()
    [[2.0]]
    """

    domain: Constraint = constraints.positive_definite
    codomain: Constraint = constraints.lower_cholesky

    def __call__(self, x: Any) -> Any:
        return jnp.linalg.cholesky(x)

    def _inverse(self, y: Any) -> Any:
        return jnp.matmul(y, jnp.swapaxes(y, -2, -1))

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        n = shape_of(y)[-1]
        order = np.arange(n, 0, -1, dtype=np.float32)
        diagonal = safe_log(jnp.diagonal(y, axis1=-2, axis2=-1))
        return -n * math.log(2.0) - jnp.sum(order * diagonal, axis=-1)


class CorrMatrixCholeskyTransform(CholeskyTransform):
    """Correlation matrices to their Cholesky factors.

    The log-determinant is that between the free elements, those below the diagonal: :math:`R_{ij}` depends on
    :math:`L_{ij}` by the factor :math:`L_{jj}`.

    >>> CorrMatrixCholeskyTransform()(jnp.array([[1.0, 0.0], [0.0, 1.0]])).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    domain = constraints.corr_matrix
    codomain = constraints.corr_cholesky

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        order = np.arange(shape_of(y)[-1] - 1, -1, -1, dtype=np.float32)
        return -jnp.sum(order * safe_log(jnp.diagonal(y, axis1=-2, axis2=-1)), axis=-1)


def _matrix_size(transform: Transform, shape: Sequence[int]) -> int:
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ValueError(
            f"{type(transform).__name__} returns square matrices; an array of shape {tuple(shape)} is none."
        )
    return shape[-1]

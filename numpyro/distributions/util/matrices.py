# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Triangular matrices and Cholesky factors."""

from __future__ import annotations

from typing import Any

from jax import lax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
import numpy as np

from numpyro._shapes import broadcast_shapes, shape_of


def vec_to_tril_matrix(t: Any, diagonal: int = 0) -> Any:
    """Lower triangular matrices with given elements on and below a diagonal, row by row.

    :param t: array of shape ``batch + (m,)``, with ``m`` the number of elements of the triangle.
    :param diagonal: 0 for the main diagonal, -1 for the one below it, and so on.
    :return: array of shape ``batch + (n, n)``.

    >>> vec_to_tril_matrix(jnp.array([1.0, 2.0, 3.0])).tolist()
    [[1.0, 0.0], [2.0, 3.0]]
    """
    if diagonal > 0:
        raise ValueError(f"`diagonal` must not be positive; it is {diagonal}.")
    m = shape_of(t)[-1]
    n = tril_size(m) - diagonal
    rows, columns = np.tril_indices(n, diagonal)
    # A gather from the vector with a zero appended compiles to less than a scatter into a matrix.
    position = np.full((n, n), m)
    position[rows, columns] = np.arange(m)
    padded = jnp.concatenate([t, jnp.zeros_like(t, shape=(*shape_of(t)[:-1], 1))], axis=-1)
    return padded[..., position]


def tril_size(m: int) -> int:
    """The ``k`` with ``k (k + 1) / 2 == m``; raises :class:`ValueError` if there is none.

    >>> tril_size(6)
    3
    """
    k = round(((8 * m + 1) ** 0.5 - 1) / 2)
    if k * (k + 1) // 2 != m:
        raise ValueError(f"{m} elements do not fill a triangle: that takes 1, 3, 6, 10, ... of them.")
    return k


def matrix_to_tril_vec(x: Any, diagonal: int = 0) -> Any:
    """Elements on and below a diagonal of square matrices, row by row: undoes :func:`vec_to_tril_matrix`.

    >>> matrix_to_tril_vec(jnp.array([[1.0, 0.0], [2.0, 3.0]])).tolist()
    [1.0, 2.0, 3.0]
    """
    rows, columns = np.tril_indices(shape_of(x)[-1], diagonal)
    return x[..., rows, columns]


def add_diag(matrix: Any, diag: Any) -> Any:
    """Add numbers to the diagonal of square matrices.

    :param matrix: array of shape ``batch + (n, n)``.
    :param diag: array that broadcasts to ``batch + (n,)``.

    >>> add_diag(jnp.zeros((2, 2)), jnp.array([1.0, 2.0])).tolist()
    [[1.0, 0.0], [0.0, 2.0]]
    """
    index = np.arange(shape_of(matrix)[-1])
    return jnp.asarray(matrix).at[..., index, index].add(diag)


def cholesky_of_inverse(matrix: Any) -> Any:
    """Cholesky factor of the inverse of positive definite matrices, without inverting them.

    With :math:`J` the matrix that reverses order and :math:`J P J = L L^T`, the inverse of :math:`P` is
    :math:`(J L^{-1} J)^T (J L^{-1} J)`, and the first factor is lower triangular.

    >>> cholesky_of_inverse(4.0 * jnp.eye(2)).tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """
    reversed_factor = jnp.linalg.cholesky(jnp.flip(matrix, (-2, -1)))
    upper = jnp.swapaxes(jnp.flip(reversed_factor, (-2, -1)), -2, -1)
    identity = jnp.broadcast_to(jnp.eye(shape_of(matrix)[-1], dtype=upper.dtype), upper.shape)
    return solve_triangular(upper, identity, lower=True)


def cholesky_update(L: Any, x: Any, coef: Any = 1) -> Any:
    """Cholesky factor of :math:`L L^T + c\\,x x^T`.

    :param L: lower triangular matrices with a positive diagonal, of shape ``batch + (n, n)``.
    :param x: vectors of shape ``batch + (n,)``.
    :param coef: the number :math:`c`, of either sign; the sum must be positive definite.

    Algorithm 3.1 of Krause and Igel (2015), "A more efficient rank-one covariance matrix update for evolution
    strategies".

    >>> cholesky_update(jnp.eye(2), jnp.array([1.0, 0.0]), 3.0).tolist()
    [[2.0, 0.0], [0.0, 1.0]]
    """
    batch = broadcast_shapes(shape_of(L)[:-2], shape_of(x)[:-1], shape_of(coef))
    n = shape_of(L)[-1]
    L = jnp.broadcast_to(L, (*batch, n, n))
    x = jnp.broadcast_to(x, (*batch, n)).astype(jnp.result_type(L, x, 1.0))
    coef = jnp.broadcast_to(jnp.asarray(coef, x.dtype), batch)

    def column(carry: tuple[Any, Any], at: tuple[Any, Any]) -> tuple[tuple[Any, Any], Any]:
        rest, b = carry
        old, j = at
        pivot = lax.dynamic_index_in_dim(old, j, -1, keepdims=False)
        first = lax.dynamic_index_in_dim(rest, j, -1, keepdims=False)
        gamma = pivot**2 * b + coef * first**2
        new_pivot = jnp.sqrt(pivot**2 + coef / b * first**2)
        rest = rest - (first / pivot)[..., None] * old
        new = new_pivot[..., None] * (old / pivot[..., None] + (coef * first / gamma)[..., None] * rest)
        # On the diagonal `rest` is zero up to rounding, above it both vectors are zero or not needed any more.
        new = jnp.where(np.arange(n) > j, new, jnp.where(np.arange(n) == j, new_pivot[..., None], 0.0))
        return (rest, b + coef * (first / pivot) ** 2), new

    columns = jnp.moveaxis(L, -1, 0).astype(x.dtype)
    _, updated = lax.scan(column, (x, jnp.ones(batch, x.dtype)), (columns, np.arange(n)))
    return jnp.moveaxis(updated, 0, -1)


def tri_logabsdet(a: Any) -> Any:
    """Logarithm of the absolute determinant of triangular matrices.

    >>> tri_logabsdet(jnp.array([[1.0, 0.0], [5.0, -1.0]])).item()
    0.0
    """
    return jnp.sum(jnp.log(jnp.abs(jnp.diagonal(a, axis1=-2, axis2=-1))), axis=-1)


def signed_stick_breaking_tril(t: Any) -> Any:
    """Cholesky factors of correlation matrices from canonical partial correlations.

    :param t: array of shape ``batch + (n (n - 1) / 2,)`` with elements in (-1, 1): the partial correlations
        :math:`z_{ij}` below the diagonal, row by row.
    :return: array of shape ``batch + (n, n)`` with
        :math:`L_{ij} = z_{ij} \\prod_{k<j} \\sqrt{1 - z_{ik}^2}`, where :math:`z_{ii} = 1`.

    Lewandowski, Kurowicka and Joe (2009), "Generating random correlation matrices based on vines and extended onion
    method"; Stan Reference Manual, "Cholesky factors of correlation matrices".

    >>> signed_stick_breaking_tril(jnp.array([0.6])).round(3).tolist()
    [[1.0, 0.0], [0.6000000238418579, 0.800000011920929]]
    """
    z = vec_to_tril_matrix(t, diagonal=-1)
    remaining = jnp.cumprod(jnp.sqrt((1 - z) * (1 + z)), axis=-1)
    before = jnp.concatenate([jnp.ones_like(z[..., :1]), remaining[..., :-1]], axis=-1)
    return (z + np.eye(z.shape[-1], dtype=z.dtype)) * before

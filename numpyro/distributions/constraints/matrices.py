# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Constraints on matrices: triangular, positive definite, correlation matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpyro._shapes import shape_of
from numpyro.distributions.constraints.constraint import Constraint, IndependentConstraint, filled
from numpyro.distributions.constraints.elementwise import Real
from numpyro.distributions.constraints.vectors import as_array, sum_tolerance


class RealMatrix(IndependentConstraint):
    """Matrices of finite real numbers."""

    _kind = IndependentConstraint

    def __init__(self) -> None:
        super().__init__(Real(), 2)


class SquareMatrixConstraint(Constraint):
    """Base of the constraints that the identity matrix satisfies."""

    event_dim = 2

    def feasible_like(self, prototype: Any) -> Any:
        shape = shape_of(prototype)
        if len(shape) < 2 or shape[-1] != shape[-2]:
            raise ValueError(f"{self!r} is about square matrices; a value of shape {shape} cannot satisfy it.")
        return filled(prototype, np.eye(shape[-1]))


class LowerCholesky(SquareMatrixConstraint):
    """Lower triangular matrices with a positive diagonal.

    >>> LowerCholesky()(np.array([[1.0, 0.0], [2.0, 3.0]])).item()
    True
    """

    def __call__(self, x: Any) -> Any:
        x, xp = as_array(x)
        lower = xp.all(xp.tril(x) == x, axis=(-2, -1))
        return lower & xp.all(xp.diagonal(x, axis1=-2, axis2=-1) > 0, axis=-1)


class SoftplusLowerCholesky(LowerCholesky):
    """Lower triangular matrices with a positive diagonal, which is reached by softplus instead of exp."""


class ScaledUnitLowerCholesky(LowerCholesky):
    """Lower triangular matrices with a positive diagonal, reached as scales times a unit triangular matrix."""


class CorrCholesky(LowerCholesky):
    """Cholesky factors of correlation matrices: lower triangular, positive diagonal, rows of length one.

    >>> CorrCholesky()(np.array([[1.0, 0.0], [0.6, 0.8]])).item()
    True
    """

    def __call__(self, x: Any) -> Any:
        x, xp = as_array(x)
        unit_rows = xp.all(xp.abs(xp.sum(x * x, axis=-1) - 1) <= 2 * sum_tolerance(x), axis=-1)
        return super().__call__(x) & unit_rows


class PositiveDefinite(SquareMatrixConstraint):
    """Symmetric matrices with positive eigenvalues.

    >>> PositiveDefinite()(np.array([[[2.0, 1.0], [1.0, 2.0]], [[1.0, 2.0], [2.0, 1.0]]])).tolist()
    [True, False]
    """

    def __call__(self, x: Any) -> Any:
        x, xp = as_array(x)
        return is_symmetric(x, xp) & xp.all(xp.linalg.eigvalsh(_finite(x, xp)) > 0, axis=-1)


class PositiveSemidefinite(SquareMatrixConstraint):
    """Symmetric matrices with no negative eigenvalue, up to rounding."""

    def __call__(self, x: Any) -> Any:
        x, xp = as_array(x)
        eigenvalues = xp.linalg.eigvalsh(_finite(x, xp))
        largest = xp.max(xp.abs(eigenvalues), axis=-1, keepdims=True)
        return is_symmetric(x, xp) & xp.all(eigenvalues >= -sum_tolerance(x) * largest, axis=-1)


class CorrMatrix(SquareMatrixConstraint):
    """Correlation matrices: symmetric with positive eigenvalues and ones on the diagonal.

    >>> CorrMatrix()(np.array([[1.0, 0.5], [0.5, 1.0]])).item()
    True
    """

    def __call__(self, x: Any) -> Any:
        x, xp = as_array(x)
        unit = xp.all(xp.abs(xp.diagonal(x, axis1=-2, axis2=-1) - 1) <= 2 * sum_tolerance(x), axis=-1)
        return unit & is_symmetric(x, xp) & xp.all(xp.linalg.eigvalsh(_finite(x, xp)) > 0, axis=-1)


def is_symmetric(x: Any, xp: Any) -> Any:
    """Whether matrices are finite and symmetric up to rounding."""
    scale = xp.max(xp.abs(x), axis=(-2, -1), keepdims=True)
    return xp.all(xp.abs(x - xp.swapaxes(x, -2, -1)) <= 10 * sum_tolerance(x) * scale, axis=(-2, -1))


def _finite(x: Any, xp: Any) -> Any:
    # LAPACK may fail on what is not finite; such a matrix is refused by `is_symmetric`, as nan <= nan is false.
    return xp.where(xp.isfinite(x), x, 0.0)

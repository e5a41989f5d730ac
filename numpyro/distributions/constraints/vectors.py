# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Constraints on vectors."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from numpyro._shapes import shape_of
from numpyro.distributions._pytree import is_host_value, namespace
from numpyro.distributions.constraints.constraint import (
    Constraint,
    IndependentConstraint,
    as_parameter,
    filled,
    floating_dtype,
    integer_dtype,
)
from numpyro.distributions.constraints.elementwise import Real, is_integer


class RealVector(IndependentConstraint):
    """Vectors of finite real numbers."""

    _kind = IndependentConstraint

    def __init__(self) -> None:
        super().__init__(Real(), 1)


class Simplex(Constraint):
    """Vectors of non-negative numbers that sum to one.

    >>> Simplex()(np.array([[0.25, 0.75], [0.5, 0.25]])).tolist()
    [True, False]
    """

    event_dim = 1

    def __call__(self, x: Any) -> Any:
        x, xp = as_array(x)
        return xp.all(x >= 0, axis=-1) & (xp.abs(xp.sum(x, axis=-1) - 1) <= sum_tolerance(x))

    def feasible_like(self, prototype: Any) -> Any:
        return filled(prototype, 1.0 / shape_of(prototype)[-1])


class Sphere(Constraint):
    """Vectors of Euclidean length one.

    >>> Sphere()(np.array([[0.6, 0.8], [0.6, 0.6]])).tolist()
    [True, False]
    """

    event_dim = 1

    def __call__(self, x: Any) -> Any:
        x, xp = as_array(x)
        return xp.abs(xp.sum(x * x, axis=-1) - 1) <= 2 * sum_tolerance(x)

    def feasible_like(self, prototype: Any) -> Any:
        return filled(prototype, shape_of(prototype)[-1] ** -0.5)


class L1Ball(Constraint):
    """Vectors whose absolute values sum to at most one.

    >>> L1Ball()(np.array([[0.5, -0.5], [0.5, 0.6]])).tolist()
    [True, False]
    """

    event_dim = 1

    def __call__(self, x: Any) -> Any:
        x, xp = as_array(x)
        return xp.sum(xp.abs(x), axis=-1) <= 1 + sum_tolerance(x)

    def feasible_like(self, prototype: Any) -> Any:
        return filled(prototype, 0.0)


class OrderedVector(Constraint):
    """Vectors whose elements increase strictly.

    >>> OrderedVector()(np.array([[-1.0, 2.0], [2.0, 2.0]])).tolist()
    [True, False]
    """

    event_dim = 1

    def __call__(self, x: Any) -> Any:
        x, xp = as_array(x)
        return xp.all(x[..., 1:] > x[..., :-1], axis=-1)

    def feasible_like(self, prototype: Any) -> Any:
        return filled(prototype, np.arange(shape_of(prototype)[-1], dtype=float))


class PositiveOrderedVector(OrderedVector):
    """Vectors of positive elements that increase strictly."""

    def __call__(self, x: Any) -> Any:
        x, xp = as_array(x)
        return super().__call__(x) & xp.all(x > 0, axis=-1)

    def feasible_like(self, prototype: Any) -> Any:
        return filled(prototype, np.arange(1, shape_of(prototype)[-1] + 1, dtype=float))


class ZeroSum(Constraint):
    """Arrays that sum to zero along each of their last ``event_dim`` dimensions.

    :param event_dim: number of dimensions, at least 1.

    >>> ZeroSum()(np.array([[1.0, -1.0], [1.0, 1.0]])).tolist()
    [True, False]
    """

    def __init__(self, event_dim: int = 1) -> None:
        if not isinstance(event_dim, int) or event_dim < 1:
            raise ValueError(f"`event_dim` of zero_sum must be an integer of at least 1; it is {event_dim!r}.")
        self._event_dim = event_dim

    @property
    def event_dim(self) -> int:
        return self._event_dim

    def __call__(self, x: Any) -> Any:
        x, xp = as_array(x)
        axes = tuple(range(-self.event_dim, 0))
        magnitude = xp.maximum(1.0, xp.max(xp.abs(x), axis=axes, keepdims=True))
        answers = []
        for axis in axes:
            sums = xp.sum(x, axis=axis, keepdims=True)
            answers.append(xp.all(xp.abs(sums) <= 10 * sum_tolerance(x, axis) * magnitude, axis=axes))
        result = answers[0]
        for answer in answers[1:]:
            result = result & answer
        return result

    def feasible_like(self, prototype: Any) -> Any:
        return filled(prototype, 0.0)


class Multinomial(Constraint):
    """Vectors of counts that sum to a given number.

    :param upper_bound: the number, an array of the batch's shape.

    >>> Multinomial(3)(np.array([[1, 2], [3, 1]])).tolist()
    [True, False]
    """

    is_discrete = True
    event_dim = 1
    arg_event_dims: ClassVar[dict[str, int]] = {"upper_bound": 0}

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = as_parameter(upper_bound)

    def __call__(self, x: Any) -> Any:
        xp = namespace(x, self.upper_bound)
        x = xp.asarray(x)
        return xp.all((x >= 0) & is_integer(x, xp), axis=-1) & (xp.sum(x, axis=-1) == self.upper_bound)

    def feasible_like(self, prototype: Any) -> Any:
        xp = namespace(self.upper_bound)
        first = np.arange(shape_of(prototype)[-1]) == 0
        return filled(prototype, xp.asarray(self.upper_bound)[..., None] * first, integer_dtype(prototype))


class PositiveDefiniteCirculantVector(Constraint):
    """First rows of circulant matrices that are symmetric and positive definite.

    Such a matrix has the discrete Fourier transform of its first row as eigenvalues, so the row must be symmetric,
    ``x[k] == x[n - k]``, and its transform positive.

    >>> PositiveDefiniteCirculantVector()(np.array([[1.0, 0.2, 0.2], [1.0, 0.9, 0.2]])).tolist()
    [True, False]
    """

    event_dim = 1

    def __call__(self, x: Any) -> Any:
        x, xp = as_array(x)
        mirrored = xp.roll(xp.flip(x, axis=-1), 1, axis=-1)
        tolerance = 10 * sum_tolerance(x) * xp.max(xp.abs(x), axis=-1, keepdims=True)
        symmetric = xp.all(xp.abs(x - mirrored) <= tolerance, axis=-1)
        return symmetric & xp.all(xp.fft.rfft(x).real > 0, axis=-1)

    def feasible_like(self, prototype: Any) -> Any:
        return filled(prototype, np.arange(shape_of(prototype)[-1]) == 0)


def as_array(x: Any) -> tuple[Any, Any]:
    """The value as an array, and the library to compute with."""
    return (np.asarray(x), np) if is_host_value(x) else (x, namespace(x))


def sum_tolerance(x: Any, axis: int = -1) -> float:
    """How far rounding may carry a sum of numbers of size one or less."""
    eps = float(np.finfo(floating_dtype(x)).eps) if np.dtype(floating_dtype(x)).kind == "f" else 2.0**-7
    return max(1e-6, eps) + eps * shape_of(x)[axis] ** 0.5

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Constraints on single numbers: the real line, half-lines, intervals, the integers among them."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from numpyro._shapes import shape_of
from numpyro.distributions._pytree import namespace
from numpyro.distributions.constraints.constraint import Constraint, as_parameter, filled, floating_dtype, integer_dtype


class Real(Constraint):
    """The finite real numbers."""

    def __call__(self, x: Any) -> Any:
        return namespace(x).isfinite(x)

    def feasible_like(self, prototype: Any) -> Any:
        return filled(prototype, 0.0)


class Complex(Constraint):
    """The finite complex numbers."""

    def __call__(self, x: Any) -> Any:
        return namespace(x).isfinite(x)

    def feasible_like(self, prototype: Any) -> Any:
        dtype = getattr(prototype, "dtype", None)
        if dtype is None or not np.issubdtype(dtype, np.complexfloating):
            dtype = np.result_type(floating_dtype(prototype), np.complex64)
        return filled(prototype, 0.0, dtype)


class Boolean(Constraint):
    """The two numbers 0 and 1."""

    is_discrete = True

    def __call__(self, x: Any) -> Any:
        return (namespace(x).asarray(x) == 0) | (namespace(x).asarray(x) == 1)

    def feasible_like(self, prototype: Any) -> Any:
        return filled(prototype, 0, getattr(prototype, "dtype", bool))


class GreaterThan(Constraint):
    """The numbers above a bound.

    >>> GreaterThan(1.0)(np.array([0.0, 1.0, 2.0])).tolist()
    [False, False, True]
    """

    arg_event_dims: ClassVar[dict[str, int]] = {"lower_bound": 0}

    def __init__(self, lower_bound: Any) -> None:
        self.lower_bound = as_parameter(lower_bound)

    def __call__(self, x: Any) -> Any:
        xp = namespace(x, self.lower_bound)
        return xp.greater(x, self.lower_bound)

    def feasible_like(self, prototype: Any) -> Any:
        return filled(prototype, self.lower_bound + _step(self.lower_bound))


class GreaterThanEq(GreaterThan):
    """The numbers above a bound, and the bound."""

    def __call__(self, x: Any) -> Any:
        xp = namespace(x, self.lower_bound)
        return xp.greater_equal(x, self.lower_bound)


class Positive(GreaterThan):
    """The positive numbers."""

    _kind = GreaterThan

    def __init__(self) -> None:
        super().__init__(0.0)


class SoftplusPositive(GreaterThan):
    """The positive numbers, reached from the real line by softplus instead of exp."""

    def __init__(self) -> None:
        super().__init__(0.0)

    def feasible_like(self, prototype: Any) -> Any:
        return filled(prototype, math.log(2.0))


class Nonnegative(GreaterThanEq):
    """The positive numbers, and zero."""

    _kind = GreaterThanEq

    def __init__(self) -> None:
        super().__init__(0.0)


class LessThan(Constraint):
    """The numbers below a bound.

    >>> LessThan(1.0)(np.array([0.0, 1.0, 2.0])).tolist()
    [True, False, False]
    """

    arg_event_dims: ClassVar[dict[str, int]] = {"upper_bound": 0}

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = as_parameter(upper_bound)

    def __call__(self, x: Any) -> Any:
        xp = namespace(x, self.upper_bound)
        return xp.less(x, self.upper_bound)

    def feasible_like(self, prototype: Any) -> Any:
        return filled(prototype, self.upper_bound - _step(self.upper_bound))


class LessThanEq(LessThan):
    """The numbers below a bound, and the bound."""

    def __call__(self, x: Any) -> Any:
        xp = namespace(x, self.upper_bound)
        return xp.less_equal(x, self.upper_bound)


class HalfLine(Constraint):
    """The numbers on one side of a bound, where the side may be known only when a program runs.

    :param bound: the end.
    :param direction: positive for the numbers above the bound, negative for those below.
    """

    arg_event_dims: ClassVar[dict[str, int]] = {"bound": 0, "direction": 0}

    def __init__(self, bound: Any, direction: Any) -> None:
        self.bound = bound
        self.direction = direction

    @property
    def sign(self) -> Any:
        return namespace(self.direction).sign(self.direction)

    def __call__(self, x: Any) -> Any:
        xp = namespace(x, self.bound, self.direction)
        return xp.where(xp.greater(self.direction, 0), xp.greater(x, self.bound), xp.less(x, self.bound))

    def feasible_like(self, prototype: Any) -> Any:
        return filled(prototype, self.bound + self.sign * _step(self.bound))


class Interval(Constraint):
    """The numbers between two bounds, and the bounds.

    >>> Interval(0.0, 1.0)(np.array([-0.1, 0.0, 1.0])).tolist()
    [False, True, True]
    """

    arg_event_dims: ClassVar[dict[str, int]] = {"lower_bound": 0, "upper_bound": 0}

    def __init__(self, lower_bound: Any, upper_bound: Any) -> None:
        self.lower_bound = as_parameter(lower_bound)
        self.upper_bound = as_parameter(upper_bound)

    def __call__(self, x: Any) -> Any:
        xp = namespace(x, self.lower_bound, self.upper_bound)
        return xp.logical_and(xp.greater_equal(x, self.lower_bound), xp.less_equal(x, self.upper_bound))

    def feasible_like(self, prototype: Any) -> Any:
        lower, upper = self.lower_bound, self.upper_bound
        xp = namespace(lower, upper)
        has_lower, has_upper = xp.isfinite(lower), xp.isfinite(upper)
        lower, upper = xp.where(has_lower, lower, 0.0), xp.where(has_upper, upper, 0.0)
        # Each half first: the sum of two large bounds may overflow. An infinite bound leaves a half-line.
        above = xp.where(has_lower, lower + _step(lower), xp.where(has_upper, upper - _step(upper), 0.0))
        return filled(prototype, xp.where(has_lower & has_upper, lower / 2 + upper / 2, above))


class OpenInterval(Interval):
    """The numbers between two bounds, without the bounds."""

    def __call__(self, x: Any) -> Any:
        xp = namespace(x, self.lower_bound, self.upper_bound)
        return xp.logical_and(xp.greater(x, self.lower_bound), xp.less(x, self.upper_bound))


class UnitInterval(Interval):
    """The numbers from 0 to 1."""

    _kind = Interval

    def __init__(self) -> None:
        super().__init__(0.0, 1.0)


class Circular(Interval):
    """Angles, from -π to π."""

    def __init__(self) -> None:
        super().__init__(-math.pi, math.pi)


class IntegerInterval(Constraint):
    """The integers from one bound to another, both included.

    >>> IntegerInterval(0, 2)(np.array([0.0, 0.5, 2.0, 3.0])).tolist()
    [True, False, True, False]
    """

    is_discrete = True
    arg_event_dims: ClassVar[dict[str, int]] = {"lower_bound": 0, "upper_bound": 0}

    def __init__(self, lower_bound: Any, upper_bound: Any) -> None:
        self.lower_bound = as_parameter(lower_bound)
        self.upper_bound = as_parameter(upper_bound)

    def __call__(self, x: Any) -> Any:
        xp = namespace(x, self.lower_bound, self.upper_bound)
        inside = xp.logical_and(xp.greater_equal(x, self.lower_bound), xp.less_equal(x, self.upper_bound))
        return xp.logical_and(inside, is_integer(x, xp))

    def feasible_like(self, prototype: Any) -> Any:
        return filled(prototype, self.lower_bound, integer_dtype(prototype))


class IntegerGreaterThan(Constraint):
    """The integers from a bound on. The bound itself is included, in spite of the name.

    >>> IntegerGreaterThan(1)(np.array([0, 1, 2])).tolist()
    [False, True, True]
    """

    is_discrete = True
    arg_event_dims: ClassVar[dict[str, int]] = {"lower_bound": 0}

    def __init__(self, lower_bound: Any) -> None:
        self.lower_bound = as_parameter(lower_bound)

    def __call__(self, x: Any) -> Any:
        xp = namespace(x, self.lower_bound)
        return xp.logical_and(xp.greater_equal(x, self.lower_bound), is_integer(x, xp))

    def feasible_like(self, prototype: Any) -> Any:
        return filled(prototype, self.lower_bound, integer_dtype(prototype))


class IntegerNonnegative(IntegerGreaterThan):
    """The integers from 0 on."""

    _kind = IntegerGreaterThan

    def __init__(self) -> None:
        super().__init__(0)


class IntegerPositive(IntegerGreaterThan):
    """The integers from 1 on."""

    _kind = IntegerGreaterThan

    def __init__(self) -> None:
        super().__init__(1)


def is_integer(x: Any, xp: Any) -> Any:
    """Which values are whole numbers."""
    dtype = getattr(x, "dtype", None)
    if isinstance(x, int) or (dtype is not None and np.dtype(dtype).kind in "biu"):
        return xp.ones(shape_of(x), bool)
    return xp.logical_and(xp.isfinite(x), xp.equal(x, xp.floor(x)))


def _step(bound: Any) -> Any:
    """A step off a bound: 1, or more where 1 would be lost to rounding."""
    xp = namespace(bound)
    return xp.maximum(1.0, xp.abs(bound) * 2.0**-8)

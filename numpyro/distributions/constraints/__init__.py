# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Constraints: the sets that values of random variables and of parameters lie in.

>>> import numpy as np
>>> from numpyro.distributions import constraints
>>> constraints.interval(0.0, 2.0)(np.array([1.0, 3.0])).tolist()
[True, False]
>>> constraints.independent(constraints.positive, 1)(np.array([[1.0, 3.0], [1.0, -3.0]])).tolist()
[True, False]

A constraint with parameters is made by calling its name; one without is an object that is there already.
"""

from __future__ import annotations

from numpyro.distributions.constraints.constraint import (
    Cat as cat,
    Constraint,
    Dependent,
    IndependentConstraint as independent,
    dependent_property,
    is_dependent,
)
from numpyro.distributions.constraints.elementwise import (
    Boolean,
    Circular,
    Complex,
    GreaterThan as greater_than,
    GreaterThanEq as greater_than_eq,
    IntegerGreaterThan as integer_greater_than,
    IntegerInterval as integer_interval,
    IntegerNonnegative,
    IntegerPositive,
    Interval as interval,
    LessThan as less_than,
    LessThanEq as less_than_eq,
    Nonnegative,
    OpenInterval as open_interval,
    Positive,
    Real,
    SoftplusPositive,
    UnitInterval,
)
from numpyro.distributions.constraints.matrices import (
    CorrCholesky,
    CorrMatrix,
    LowerCholesky,
    PositiveDefinite,
    PositiveSemidefinite,
    RealMatrix,
    ScaledUnitLowerCholesky,
    SoftplusLowerCholesky,
)
from numpyro.distributions.constraints.vectors import (
    L1Ball,
    Multinomial as multinomial,
    OrderedVector,
    PositiveDefiniteCirculantVector,
    PositiveOrderedVector,
    RealVector,
    Simplex,
    Sphere,
    ZeroSum as zero_sum,
)

__all__ = [
    "Constraint",
    "boolean",
    "cat",
    "circular",
    "complex",
    "corr_cholesky",
    "corr_matrix",
    "dependent",
    "dependent_property",
    "greater_than",
    "greater_than_eq",
    "independent",
    "integer_greater_than",
    "integer_interval",
    "interval",
    "is_dependent",
    "l1_ball",
    "less_than",
    "less_than_eq",
    "lower_cholesky",
    "multinomial",
    "nonnegative",
    "nonnegative_integer",
    "open_interval",
    "ordered_vector",
    "positive",
    "positive_definite",
    "positive_definite_circulant_vector",
    "positive_integer",
    "positive_ordered_vector",
    "positive_semidefinite",
    "real",
    "real_matrix",
    "real_vector",
    "scaled_unit_lower_cholesky",
    "simplex",
    "softplus_lower_cholesky",
    "softplus_positive",
    "sphere",
    "unit_interval",
    "zero_sum",
]

boolean = Boolean()
circular = Circular()
complex = Complex()
corr_cholesky = CorrCholesky()
corr_matrix = CorrMatrix()
dependent = Dependent()
l1_ball = L1Ball()
lower_cholesky = LowerCholesky()
nonnegative = Nonnegative()
nonnegative_integer = IntegerNonnegative()
ordered_vector = OrderedVector()
positive = Positive()
positive_definite = PositiveDefinite()
positive_definite_circulant_vector = PositiveDefiniteCirculantVector()
positive_integer = IntegerPositive()
positive_ordered_vector = PositiveOrderedVector()
positive_semidefinite = PositiveSemidefinite()
real = Real()
real_matrix = RealMatrix()
real_vector = RealVector()
scaled_unit_lower_cholesky = ScaledUnitLowerCholesky()
simplex = Simplex()
softplus_lower_cholesky = SoftplusLowerCholesky()
softplus_positive = SoftplusPositive()
sphere = Sphere()
unit_interval = UnitInterval()

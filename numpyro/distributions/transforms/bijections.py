# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Which transform takes an unconstrained array onto a constrained set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpyro.distributions import constraints
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.constraints.elementwise import HalfLine
from numpyro.distributions.transforms.elementwise import (
    AffineTransform,
    ComplexTransform,
    ExpTransform,
    SigmoidTransform,
    SoftplusTransform,
)
from numpyro.distributions.transforms.matrices import (
    CholeskyTransform,
    CorrCholeskyTransform,
    CorrMatrixCholeskyTransform,
    LowerCholeskyTransform,
    ScaledUnitLowerCholeskyTransform,
    SoftplusLowerCholeskyTransform,
)
from numpyro.distributions.transforms.structure import CatTransform, unconstrained_length
from numpyro.distributions.transforms.transform import (
    ComposeTransform,
    IdentityTransform,
    IndependentTransform,
    Transform,
)
from numpyro.distributions.transforms.vectors import (
    L1BallTransform,
    OrderedTransform,
    PositiveOrderedTransform,
    StickBreakingTransform,
    ZeroSumTransform,
)

Factory = Callable[[Any], Transform]


class ConstraintRegistry:
    """Transforms by type of constraint. Calling it with a constraint returns the transform onto it.

    >>> from numpyro.distributions.transforms import biject_to
    >>> biject_to(constraints.positive)(0.0).item()
    1.0
    """

    def __init__(self) -> None:
        self._factories: dict[type, Factory] = {}

    def register(self, constraint: Constraint | type[Constraint], factory: Factory | None = None) -> Any:
        """Register a function that makes the transform for a constraint of the given type; also a decorator.

        :param constraint: a constraint, or a class of constraints.
        :param factory: takes the constraint and returns a transform whose codomain it is.

        >>> from numpyro.distributions.transforms import biject_to
        >>> class Shifted(constraints.Constraint):
        ...     pass
        >>> @biject_to.register(Shifted)
        ... def _(constraint):
        ...     return AffineTransform(1.0, 1.0)
        >>> biject_to(Shifted())(0.0)
        1.0
        """
        if factory is None:
            return lambda function: self.register(constraint, function)
        cls = constraint if isinstance(constraint, type) else type(constraint)
        if not issubclass(cls, Constraint):
            raise TypeError(f"A transform is registered for a constraint or a class of such; not for {constraint!r}.")
        self._factories[cls] = factory
        return factory

    def __call__(self, constraint: Constraint) -> Transform:
        factory = self._factories.get(type(constraint))
        if factory is None:
            reason = "discrete" if _is_discrete(constraint) else "one without a registered bijection"
            raise NotImplementedError(
                f"There is no transform from an unconstrained space onto the constraint {constraint!r}: it is "
                f"{reason}. Register one with `@biject_to.register`."
            )
        return factory(constraint)


def _is_discrete(constraint: Any) -> bool:
    try:
        return bool(constraint.is_discrete)
    except (AttributeError, NotImplementedError):
        return False


def _always(make: type[Transform]) -> Factory:
    return lambda constraint: make()


#: The transform from an unconstrained space onto a constraint.
biject_to = ConstraintRegistry()

for _constraint, _transform in (
    (constraints.complex, ComplexTransform),
    (constraints.corr_cholesky, CorrCholeskyTransform),
    (constraints.l1_ball, L1BallTransform),
    (constraints.lower_cholesky, LowerCholeskyTransform),
    (constraints.nonnegative, ExpTransform),
    (constraints.ordered_vector, OrderedTransform),
    (constraints.positive, ExpTransform),
    (constraints.positive_ordered_vector, PositiveOrderedTransform),
    (constraints.real, IdentityTransform),
    (constraints.scaled_unit_lower_cholesky, ScaledUnitLowerCholeskyTransform),
    (constraints.simplex, StickBreakingTransform),
    (constraints.softplus_lower_cholesky, SoftplusLowerCholeskyTransform),
    (constraints.softplus_positive, SoftplusTransform),
    (constraints.unit_interval, SigmoidTransform),
):
    biject_to.register(_constraint, _always(_transform))


@biject_to.register(constraints.independent)
@biject_to.register(constraints.real_vector)
@biject_to.register(constraints.real_matrix)
def _onto_independent(constraint: constraints.independent) -> Transform:
    return IndependentTransform(biject_to(constraint.base_constraint), constraint.reinterpreted_batch_ndims)


@biject_to.register(constraints.greater_than)
@biject_to.register(constraints.greater_than_eq)
def _onto_greater_than(constraint: constraints.greater_than) -> Transform:
    return ComposeTransform([ExpTransform(), AffineTransform(constraint.lower_bound, 1, constraints.positive)])


@biject_to.register(constraints.less_than)
@biject_to.register(constraints.less_than_eq)
def _onto_less_than(constraint: constraints.less_than) -> Transform:
    return ComposeTransform([ExpTransform(), AffineTransform(constraint.upper_bound, -1, constraints.positive)])


@biject_to.register(HalfLine)
def _onto_half_line(constraint: HalfLine) -> Transform:
    return ComposeTransform([ExpTransform(), AffineTransform(constraint.bound, constraint.sign, constraints.positive)])


@biject_to.register(constraints.interval)
@biject_to.register(constraints.open_interval)
@biject_to.register(constraints.circular)
def _onto_interval(constraint: constraints.interval) -> Transform:
    width = constraint.upper_bound - constraint.lower_bound
    return ComposeTransform(
        [SigmoidTransform(), AffineTransform(constraint.lower_bound, width, constraints.unit_interval)]
    )


@biject_to.register(constraints.positive_definite)
@biject_to.register(constraints.positive_semidefinite)
def _onto_positive_definite(constraint: Constraint) -> Transform:
    return ComposeTransform([LowerCholeskyTransform(), CholeskyTransform().inv])


@biject_to.register(constraints.corr_matrix)
def _onto_corr_matrix(constraint: Constraint) -> Transform:
    return ComposeTransform([CorrCholeskyTransform(), CorrMatrixCholeskyTransform().inv])


@biject_to.register(constraints.zero_sum)
def _onto_zero_sum(constraint: constraints.zero_sum) -> Transform:
    return ZeroSumTransform(constraint.event_dim)


@biject_to.register(constraints.cat)
def _onto_cat(constraint: constraints.cat) -> Transform:
    parts = [biject_to(c) for c in constraint.cseq]
    lengths = [
        unconstrained_length(part, length, constraint.dim)
        for part, length in zip(parts, constraint.lengths, strict=True)
    ]
    return CatTransform(parts, constraint.dim, lengths)

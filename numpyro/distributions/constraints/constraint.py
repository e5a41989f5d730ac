# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What a constraint is, and the constraints built from others: dependent, independent, concatenated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import Shape, shape_of
from numpyro.distributions._pytree import DeclaredPytree, is_host_value, namespace

__all__ = [
    "Cat",
    "Constraint",
    "Dependent",
    "IndependentConstraint",
    "as_parameter",
    "dependent_property",
    "filled",
    "floating_dtype",
    "independent",
    "integer_dtype",
    "is_dependent",
]


class Constraint(DeclaredPytree):
    """A set of values: the support of a distribution, the range of a parameter, the domain of a transform.

    A subclass sets :attr:`is_discrete` and :attr:`event_dim`, defines ``__call__`` and :meth:`feasible_like`, and, if
    it has array parameters, names them in :attr:`arg_event_dims`. That is enough to make it a pytree: a declared
    parameter is a leaf if it is an array and static if it is a Python number. Values on the host are checked by NumPy.

    >>> class even(Constraint):
    ...     is_discrete = True
    ...     def __call__(self, x):
    ...         return x % 2 == 0
    ...     def feasible_like(self, prototype):
    ...         return np.zeros_like(prototype)
    >>> even()(np.arange(3)).tolist()
    [True, False, True]
    """

    #: Whether the set is discrete.
    is_discrete: bool = False

    #: Number of trailing dimensions of a value that make one point of the set.
    event_dim: int = 0

    #: Array parameters, and how many trailing dimensions of each do not belong to the batch.
    arg_event_dims: ClassVar[dict[str, int]] = {}

    _host_values_are_leaves: ClassVar[bool] = False

    @property
    def _value_event_dim(self) -> int:
        return self.event_dim

    def __call__(self, x: Any) -> Any:
        """Which of the values belong to the set: a boolean array of the shape of ``x`` without its event dimensions."""
        raise NotImplementedError(f"{type(self).__name__} does not implement `__call__`.")

    def check(self, value: Any) -> Any:
        """The same as calling the constraint."""
        return self(value)

    def feasible_like(self, prototype: Any) -> Any:
        """Some value in the set, of the shape of ``prototype``."""
        raise NotImplementedError(f"{type(self).__name__} does not implement `feasible_like`.")


class Dependent(Constraint):
    """Stands for a support that depends on the distribution's parameters.

    Written ``constraints.dependent``, or ``constraints.dependent(is_discrete=..., event_dim=...)`` where these are
    known. It has no members: checking a value against it is an error.
    """

    def __init__(self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented) -> None:
        self._is_discrete = is_discrete
        self._event_dim = event_dim

    @property
    def is_discrete(self) -> bool:
        return _known(self._is_discrete, "is_discrete")

    @property
    def event_dim(self) -> int:
        return _known(self._event_dim, "event_dim")

    @property
    def _value_event_dim(self) -> int:
        return 0

    def __call__(self, x: Any = None, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented) -> Any:
        """A dependent constraint with the given attributes. Given a value, raises :class:`ValueError`."""
        if x is not None:
            raise ValueError(
                "Cannot check a value against a dependent constraint: which values are allowed depends on the "
                "parameters. Take the constraint from a distribution, `d.support`, instead of from its class."
            )
        is_discrete = self._is_discrete if is_discrete is NotImplemented else is_discrete
        event_dim = self._event_dim if event_dim is NotImplemented else event_dim
        return Dependent(is_discrete=is_discrete, event_dim=event_dim)

    def __reduce__(self) -> tuple[Any, ...]:
        return _make_dependent, tuple(None if v is NotImplemented else v for v in (self._is_discrete, self._event_dim))

    def __repr__(self) -> str:
        known = {"is_discrete": self._is_discrete, "event_dim": self._event_dim}
        return f"Dependent({', '.join(f'{k}={v}' for k, v in known.items() if v is not NotImplemented)})"


def _known(value: Any, name: str) -> Any:
    if value is NotImplemented:
        raise NotImplementedError(
            f"This dependent constraint does not say its `{name}`: write `constraints.dependent({name}=...)` or "
            f"`@constraints.dependent_property({name}=...)`."
        )
    return value


def _make_dependent(is_discrete: Any, event_dim: Any) -> Dependent:
    return Dependent(
        is_discrete=NotImplemented if is_discrete is None else is_discrete,
        event_dim=NotImplemented if event_dim is None else event_dim,
    )


class dependent_property(property, Dependent):
    """Decorator for a distribution's support that depends on its parameters.

    On an instance it is a property; on the class it is a dependent constraint, whose ``is_discrete`` and ``event_dim``
    are known if they are given.

    >>> class Box:
    ...     @dependent_property(is_discrete=False, event_dim=0)
    ...     def support(self):
    ...         return "the interval"
    >>> Box().support, Box.support.event_dim, is_dependent(Box.support)
    ('the interval', 0, True)
    """

    _is_pytree = False

    def __init__(self, fn: Any = None, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented) -> None:
        property.__init__(self, fn)
        Dependent.__init__(self, is_discrete=is_discrete, event_dim=event_dim)

    def __call__(self, fn: Any = None, **kwargs: Any) -> Any:
        if not callable(fn):
            return Dependent.__call__(self, fn, **kwargs)
        return type(self)(fn, is_discrete=self._is_discrete, event_dim=self._event_dim)

    def eq(self, other: object, static: bool = False) -> bool:
        return self is other

    __hash__ = property.__hash__


def is_dependent(constraint: Any) -> bool:
    """Whether a constraint is dependent, or an independent one over such.

    >>> is_dependent(Dependent()), is_dependent(independent(Dependent(event_dim=0), 1))
    (True, True)
    """
    if isinstance(constraint, IndependentConstraint):
        return is_dependent(constraint.base_constraint)
    return isinstance(constraint, Dependent)


class IndependentConstraint(Constraint):
    """Reinterprets the rightmost batch dimensions of a constraint as event dimensions: every element must satisfy it.

    :param base_constraint: the constraint of an element.
    :param reinterpreted_batch_ndims: how many dimensions to reinterpret, at least 0.

    >>> from numpyro.distributions import constraints
    >>> constraints.independent(constraints.positive, 1)(np.array([[1.0, 2.0], [1.0, -1.0]])).tolist()
    [True, False]
    """

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int) -> None:
        if not isinstance(base_constraint, Constraint):
            raise TypeError(f"`base_constraint` must be a constraint; it is {base_constraint!r}.")
        if not isinstance(reinterpreted_batch_ndims, int | np.integer) or reinterpreted_batch_ndims < 0:
            raise ValueError(
                "`reinterpreted_batch_ndims` must be an integer that is not negative; it is "
                f"{reinterpreted_batch_ndims!r}."
            )
        if isinstance(base_constraint, IndependentConstraint):
            reinterpreted_batch_ndims += base_constraint.reinterpreted_batch_ndims
            base_constraint = base_constraint.base_constraint
        self.base_constraint: Constraint = base_constraint
        self.reinterpreted_batch_ndims: int = int(reinterpreted_batch_ndims)

    @property
    def is_discrete(self) -> bool:
        return self.base_constraint.is_discrete

    @property
    def event_dim(self) -> int:
        return self.base_constraint.event_dim + self.reinterpreted_batch_ndims

    @property
    def _value_event_dim(self) -> int:
        return 0 if is_dependent(self) else self.event_dim

    def __call__(self, x: Any) -> Any:
        answer = self.base_constraint(x)
        n = self.reinterpreted_batch_ndims
        if len(shape_of(answer)) < n:
            raise ValueError(
                f"A value of {self!r} needs at least {self.event_dim} dimensions; its shape is {shape_of(x)}."
            )
        return namespace(answer).all(answer, axis=tuple(range(-n, 0)))

    def feasible_like(self, prototype: Any) -> Any:
        return self.base_constraint.feasible_like(prototype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


independent = IndependentConstraint


class Cat(Constraint):
    """Different constraints on consecutive slices of a value along one dimension.

    :param cseq: the constraints of the slices.
    :param dim: the dimension along which the slices lie. A negative one counts from the right.
    :param lengths: the lengths of the slices; 1 each by default.

    Where ``dim`` lies inside the event, a value is one point and the slices' answers are joined by *and*; otherwise
    they are concatenated.

    >>> from numpyro.distributions import constraints
    >>> c = constraints.cat([constraints.positive, constraints.real], dim=-1, lengths=[1, 2])
    >>> c(np.array([-1.0, -1.0, 2.0])).tolist()
    [False, True, True]
    """

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0, lengths: Sequence[int] | None = None) -> None:
        self.cseq = tuple(cseq)
        if not self.cseq or not all(isinstance(c, Constraint) for c in self.cseq):
            raise ValueError(f"`cseq` must be a non-empty sequence of constraints; it is {cseq!r}.")
        self.lengths = (1,) * len(self.cseq) if lengths is None else tuple(int(n) for n in lengths)
        if len(self.lengths) != len(self.cseq):
            raise ValueError(f"There are {len(self.cseq)} constraints but {len(self.lengths)} lengths.")
        self.dim = dim

    @property
    def is_discrete(self) -> bool:
        return any(c.is_discrete for c in self.cseq)

    @property
    def event_dim(self) -> int:
        return max(c.event_dim for c in self.cseq)

    def aligned(self, rank: int) -> Cat:
        new = super().aligned(rank)
        if new.dim >= 0:
            # Counted from the right it stays the same dimension when a leading axis is added.
            new.dim -= rank
        return new

    def __call__(self, x: Any) -> Any:
        answers = []
        for constraint, piece in zip(self.cseq, self._pieces(x), strict=True):
            answer = constraint(piece)
            extra = self.event_dim - constraint.event_dim
            answers.append(namespace(answer).all(answer, axis=tuple(range(-extra, 0))))
        from_right = self._dim_from_right(shape_of(x))
        xp = namespace(*answers)
        if from_right >= -self.event_dim:
            result = answers[0]
            for answer in answers[1:]:
                result = xp.logical_and(result, answer)
            return result
        return xp.concatenate(answers, axis=from_right + self.event_dim)

    def feasible_like(self, prototype: Any) -> Any:
        values = [c.feasible_like(p) for c, p in zip(self.cseq, self._pieces(prototype), strict=True)]
        return namespace(*values).concatenate(values, axis=self._dim_from_right(shape_of(prototype)))

    def _dim_from_right(self, shape: Shape) -> int:
        if not -len(shape) <= self.dim < len(shape):
            raise ValueError(f"dim={self.dim} of {self!r} is no dimension of a value of shape {shape}.")
        return self.dim if self.dim < 0 else self.dim - len(shape)

    def _pieces(self, x: Any) -> list[Any]:
        shape = shape_of(x)
        dim = self._dim_from_right(shape)
        if shape[dim] != sum(self.lengths):
            raise ValueError(
                f"The lengths {self.lengths} of {self!r} sum to {sum(self.lengths)}, but dimension {dim} of a value of "
                f"shape {shape} has size {shape[dim]}."
            )
        if isinstance(x, jax.ShapeDtypeStruct):
            dim += len(shape)
            return [jax.ShapeDtypeStruct((*shape[:dim], n, *shape[dim + 1 :]), x.dtype) for n in self.lengths]
        ends = np.cumsum(self.lengths)[:-1].tolist()
        return namespace(x).split(np.asarray(x) if is_host_value(x) else x, ends, axis=dim)


def as_parameter(value: Any) -> Any:
    """A bound as it is stored: numbers and arrays as given, a list as a NumPy array."""
    return np.asarray(value) if isinstance(value, list | tuple) else value


def floating_dtype(prototype: Any) -> Any:
    """The prototype's dtype if it is a floating one, else the default."""
    dtype = getattr(prototype, "dtype", None)
    if dtype is not None and jnp.issubdtype(dtype, jnp.floating):
        return dtype
    return jax.dtypes.canonicalize_dtype(float)


def integer_dtype(prototype: Any) -> Any:
    """The prototype's dtype if it is an integer one, else the default."""
    dtype = getattr(prototype, "dtype", None)
    if dtype is not None and jnp.issubdtype(dtype, jnp.integer):
        return dtype
    return jax.dtypes.canonicalize_dtype(int)


def filled(prototype: Any, value: Any, dtype: Any = None) -> Any:
    """An array of the prototype's shape that holds ``value``, which may be an array that broadcasts to it."""
    dtype = floating_dtype(prototype) if dtype is None else dtype
    host = isinstance(prototype, jax.ShapeDtypeStruct) or is_host_value(prototype)
    xp = namespace(value) if host else jnp
    return xp.full(shape_of(prototype), value, dtype)

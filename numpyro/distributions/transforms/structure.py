# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Transforms that rearrange: reshaping, unpacking into a pytree, different transforms on slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import Shape, shape_of
from numpyro.distributions import constraints
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.transforms.transform import Transform
from numpyro.distributions.util import sum_rightmost


class ReshapeTransform(Transform):
    """The last dimensions of an array in another shape.

    :param forward_shape: event shape of the values.
    :param inverse_shape: event shape of the arguments, of the same size.

    >>> ReshapeTransform((2, 3), (6,))(jnp.zeros((5, 6))).shape
    (5, 2, 3)
    """

    def __init__(self, forward_shape: Sequence[int], inverse_shape: Sequence[int]) -> None:
        self._forward_shape, self._inverse_shape = tuple(forward_shape), tuple(inverse_shape)
        if math.prod(self._forward_shape) != math.prod(self._inverse_shape):
            raise ValueError(
                f"forward_shape={self._forward_shape} has {math.prod(self._forward_shape)} elements, but "
                f"inverse_shape={self._inverse_shape} has {math.prod(self._inverse_shape)}."
            )

    @property
    def domain(self) -> Constraint:
        return constraints.independent(constraints.real, len(self._inverse_shape))

    @property
    def codomain(self) -> Constraint:
        return constraints.independent(constraints.real, len(self._forward_shape))

    def __call__(self, x: Any) -> Any:
        return jnp.reshape(x, self.forward_shape(shape_of(x)))

    def _inverse(self, y: Any) -> Any:
        return jnp.reshape(y, self.inverse_shape(shape_of(y)))

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        batch = shape_of(x)[: len(shape_of(x)) - len(self._inverse_shape)]
        return jnp.zeros(batch, jnp.result_type(x, 1.0))

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        return _replace_event(tuple(shape), self._inverse_shape, self._forward_shape)

    def inverse_shape(self, shape: Sequence[int]) -> Shape:
        return _replace_event(tuple(shape), self._forward_shape, self._inverse_shape)


def _replace_event(shape: Shape, old: Shape, new: Shape) -> Shape:
    rank = len(shape) - len(old)
    if rank < 0 or shape[rank:] != old:
        raise ValueError(f"An array whose last dimensions are {old} is needed to reshape them to {new}; not {shape}.")
    return shape[:rank] + new


class UnpackTransform(Transform):
    """Vectors unpacked into a pytree of arrays.

    :param unpack_fn: takes a vector and returns a pytree. It is mapped over batch dimensions.
    :param pack_fn: takes such a pytree, without batch dimensions, back to the vector; the inverse needs it.

    >>> t = UnpackTransform(lambda x: {"a": x[0], "b": x[1:]})
    >>> t(jnp.zeros((5, 3)))["b"].shape
    (5, 2)
    """

    domain = constraints.real_vector
    codomain = constraints.dependent(is_discrete=False, event_dim=1)

    def __init__(self, unpack_fn: Callable[[Any], Any], pack_fn: Callable[[Any], Any] | None = None) -> None:
        self.unpack_fn = unpack_fn
        self.pack_fn = pack_fn

    def __call__(self, x: Any) -> Any:
        function = self.unpack_fn
        for _ in shape_of(x)[:-1]:
            function = jax.vmap(function)
        return function(x)

    def _inverse(self, y: Any) -> Any:
        if self.pack_fn is None:
            raise NotImplementedError(
                "UnpackTransform cannot be inverted without `pack_fn`: write `UnpackTransform(unpack_fn, pack_fn)`."
            )
        return self.pack_fn(y)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return jnp.zeros(shape_of(x)[:-1], jnp.result_type(x, 1.0))

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        raise NotImplementedError("The values of UnpackTransform are pytrees, which have no shape.")

    def inverse_shape(self, shape: Sequence[int]) -> Shape:
        raise NotImplementedError("The values of UnpackTransform are pytrees, which have no shape.")


class CatTransform(Transform):
    """Different transforms on consecutive slices of an array along one dimension.

    :param tseq: the transforms of the slices.
    :param dim: the dimension along which the slices lie. A negative one counts from the right.
    :param lengths: lengths of the slices of the argument; 1 each by default.

    Where ``dim`` lies inside an event the log-determinants are added up, else they are concatenated.

    >>> from numpyro.distributions.transforms import AffineTransform, ExpTransform
    >>> CatTransform([ExpTransform(), AffineTransform(0.0, 2.0)], -1, [1, 2])(jnp.array([0.0, 1.0, 2.0])).tolist()
    [1.0, 2.0, 4.0]
    """

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, lengths: Sequence[int] | None = None) -> None:
        self.tseq = tuple(tseq)
        if not self.tseq or not all(isinstance(t, Transform) for t in self.tseq):
            raise ValueError(f"`tseq` must be a non-empty sequence of transforms; it is {tseq!r}.")
        self.lengths = (1,) * len(self.tseq) if lengths is None else tuple(int(n) for n in lengths)
        if len(self.lengths) != len(self.tseq):
            raise ValueError(f"There are {len(self.tseq)} transforms but {len(self.lengths)} lengths.")
        self.dim = dim

    @property
    def length(self) -> int:
        """Size of the argument along ``dim``."""
        return sum(self.lengths)

    @property
    def domain(self) -> Constraint:
        return constraints.cat([t.domain for t in self.tseq], self.dim, self.lengths)

    @property
    def codomain(self) -> Constraint:
        return constraints.cat([t.codomain for t in self.tseq], self.dim, self._value_lengths)

    @property
    def _value_lengths(self) -> tuple[int, ...]:
        return tuple(constrained_length(t, n, self.dim) for t, n in zip(self.tseq, self.lengths, strict=True))

    def aligned(self, rank: int) -> CatTransform:
        new = super().aligned(rank)
        if new.dim >= 0:
            # Counted from the right it stays the same dimension when a leading axis is added.
            new.dim -= rank
        return new

    def __call__(self, x: Any) -> Any:
        pieces = _split(x, self.lengths, self.dim)
        return jnp.concatenate([t(piece) for t, piece in zip(self.tseq, pieces, strict=True)], axis=self.dim)

    def _inverse(self, y: Any) -> Any:
        pieces = _split(y, self._value_lengths, self.dim)
        return jnp.concatenate([t._inverse(piece) for t, piece in zip(self.tseq, pieces, strict=True)], axis=self.dim)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        event_dim = self.domain.event_dim
        xs = _split(x, self.lengths, self.dim)
        ys = _split(y, self._value_lengths, self.dim)
        terms = []
        for transform, x_piece, y_piece in zip(self.tseq, xs, ys, strict=True):
            term = transform.log_abs_det_jacobian(x_piece, y_piece)
            term = jnp.broadcast_to(term, shape_of(x_piece)[: len(shape_of(x_piece)) - transform.domain.event_dim])
            terms.append(sum_rightmost(term, event_dim - transform.domain.event_dim))
        from_right = self.dim if self.dim < 0 else self.dim - len(shape_of(x))
        if from_right >= -event_dim:
            return functools.reduce(jnp.add, terms)
        return jnp.concatenate(terms, axis=from_right + event_dim)

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        return _replace_size(tuple(shape), self.dim, sum(self._value_lengths))

    def inverse_shape(self, shape: Sequence[int]) -> Shape:
        return _replace_size(tuple(shape), self.dim, self.length)


def constrained_length(transform: Transform, length: int, dim: int) -> int:
    """Size along ``dim`` of a transform's value at an argument of the given size."""
    if dim < -transform.domain.event_dim or dim >= 0:
        return length
    return transform.forward_shape(_event_of_length(transform.domain, length, dim))[dim]


def unconstrained_length(transform: Transform, length: int, dim: int) -> int:
    """Size along ``dim`` of the argument at which a transform's value has the given size."""
    if dim < -transform.codomain.event_dim or dim >= 0:
        return length
    return transform.inverse_shape(_event_of_length(transform.codomain, length, dim))[dim]


def _event_of_length(constraint: Constraint, length: int, dim: int) -> Shape:
    return tuple(length if d == dim else 2 for d in range(-constraint.event_dim, 0))


def _split(x: Any, lengths: Sequence[int], dim: int) -> list[Any]:
    shape = shape_of(x)
    if not -len(shape) <= dim < len(shape) or shape[dim] != sum(lengths):
        raise ValueError(
            f"An array of shape {shape} cannot be cut along dimension {dim} into lengths {tuple(lengths)}."
        )
    return jnp.split(x, np.cumsum(lengths)[:-1].tolist(), axis=dim)


def _replace_size(shape: Shape, dim: int, size: int) -> Shape:
    dim %= len(shape)
    return (*shape[:dim], size, *shape[dim + 1 :])

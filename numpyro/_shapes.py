# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Shape arithmetic on tuples: what every layer needs and no layer should write again.

Everything here works on static Python tuples, so it costs nothing inside a compiled program.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Shape = tuple[int, ...]


def shape_of(x: Any) -> Shape:
    """Shape of an array, a tracer, a :class:`jax.ShapeDtypeStruct` or anything that NumPy can convert.

    >>> shape_of(1.0), shape_of([[1, 2]])
    ((), (1, 2))
    """
    shape = getattr(x, "shape", None)
    return tuple(shape) if shape is not None else np.shape(x)


def broadcast_shapes(*shapes: Sequence[int]) -> Shape:
    """Broadcast any number of shapes.

    >>> broadcast_shapes((5, 1), (3,), ())
    (5, 3)
    """
    rank = max((len(shape) for shape in shapes), default=0)
    result = [1] * rank
    for shape in shapes:
        for position, size in enumerate(shape, start=rank - len(shape)):
            if result[position] == 1:
                result[position] = size
            elif size not in (1, result[position]):
                raise ValueError(f"shapes {', '.join(str(tuple(s)) for s in shapes)} do not broadcast together")
    return tuple(result)


def can_broadcast(*shapes: Sequence[int]) -> bool:
    """Whether shapes broadcast together.

    >>> can_broadcast((5, 3), (3,)), can_broadcast((5, 3), (5,))
    (True, False)
    """
    try:
        broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True


def can_expand(shape: Sequence[int], target: Sequence[int]) -> bool:
    """Whether ``shape`` broadcasts to exactly ``target``.

    >>> can_expand((1, 3), (5, 3)), can_expand((5, 3), (1, 3))
    (True, False)
    """
    return can_broadcast(shape, target) and broadcast_shapes(shape, target) == tuple(target)


def insert_batch_dims(x: Any, batch_rank: int, event_dim: int) -> Any:
    """Give an array exactly ``batch_rank`` dimensions before its last ``event_dim`` ones, by inserting size-1
    dimensions.

    An array that has them already, and one that is no array (a sentinel that JAX puts in a leaf's place), comes back
    as it is. Nothing is broadcast.

    >>> insert_batch_dims(np.zeros((5, 2)), 3, 1).shape
    (1, 1, 5, 2)
    >>> insert_batch_dims(np.zeros(2), 0, 2).shape
    (1, 2)
    """
    shape = shape_of(x)
    rank = batch_rank + event_dim
    if len(shape) >= rank:
        return x
    return reshape(x, (1,) * (rank - len(shape)) + shape)


def reshape(x: Any, shape: Shape) -> Any:
    """Reshape without leaving the array's own library; abstract arrays stay abstract, weak types stay weak."""
    import jax

    if isinstance(x, jax.ShapeDtypeStruct):
        return jax.ShapeDtypeStruct(shape, x.dtype, weak_type=x.weak_type)
    if isinstance(x, np.ndarray | np.generic):
        return np.reshape(x, shape)
    return jax.numpy.reshape(x, shape)

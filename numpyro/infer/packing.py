# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Loops and branches that carry their scalars in few vectors.

Whatever a compiled loop carries on is computed by a piece of code of its own, and XLA takes some milliseconds for each
piece, however little it computes. Scalars of the same type that stand in one vector are one piece.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

__all__ = ["Packing", "packed_cond", "packed_while_loop"]


class Packing:
    """How the scalars of a tree stand in vectors, one for each dtype.

    :param tree: arrays, or what looks like them.

    >>> tree = {"a": jnp.float32(1), "b": jnp.ones(3), "c": jnp.float32(2)}
    >>> packing = Packing(tree)
    >>> [x.shape for x in packing.pack(tree)]
    [(3,), (2,)]
    >>> packing.unpack(packing.pack(tree))["c"].item()
    2.0
    """

    def __init__(self, tree: Any) -> None:
        leaves, treedef = jax.tree.flatten(tree)
        self._treedef: Any = treedef
        self._scalars: dict[Any, list[int]] = {}
        self._others: list[int] = []
        for number, leaf in enumerate(leaves):
            dtype = jnp.result_type(leaf)
            is_scalar = np.ndim(leaf) == 0 and not jnp.issubdtype(dtype, jax.dtypes.extended)
            (self._scalars.setdefault(dtype, []) if is_scalar else self._others).append(number)

    def pack(self, tree: Any) -> list[Any]:
        """The arrays of such a tree that are no scalars, and the vectors of those that are."""
        leaves = self._treedef.flatten_up_to(tree)
        # XLA would see through it, and have the scalars by themselves again, but for the barrier.
        vectors = [lax.optimization_barrier(_vector([leaves[i] for i in ns], d)) for d, ns in self._scalars.items()]
        return [leaves[i] for i in self._others] + vectors

    def pack_on_host(self, tree: Any) -> list[Any]:
        """The same for arrays of NumPy, which may have leading axes."""
        leaves = self._treedef.flatten_up_to(tree)
        stacked = lambda numbers: np.stack([leaves[i] for i in numbers], axis=-1)
        return [leaves[i] for i in self._others] + [stacked(numbers) for numbers in self._scalars.values()]

    def unpack(self, packed: list[Any]) -> Any:
        """Inverse of :meth:`pack` and of :meth:`pack_on_host`."""
        count = len(self._others)
        leaves: dict[int, Any] = dict(zip(self._others, packed, strict=False))
        for vector, numbers in zip(packed[count:], self._scalars.values(), strict=True):
            leaves |= zip(numbers, _scalars(vector), strict=True)
        return jax.tree.unflatten(self._treedef, [leaves[i] for i in range(len(leaves))])


def _vector(scalars: list[jax.Array], dtype: Any) -> jax.Array:
    return lax.concatenate([lax.expand_dims(lax.convert_element_type(x, dtype), (0,)) for x in scalars], 0)


def _scalars(vector: Any) -> list[Any]:
    """The entries along the last axis."""
    if isinstance(vector, np.ndarray):
        return [vector[..., place] for place in range(vector.shape[-1])]
    axis = vector.ndim - 1
    return [lax.squeeze(part, (axis,)) for part in lax.split(vector, [1] * vector.shape[-1], axis)]


def packed_while_loop(condition: Callable[[Any], Any], body: Callable[[Any], Any], start: Any) -> Any:
    """:func:`jax.lax.while_loop` that carries its scalars in few vectors.

    >>> start = jnp.int32(0), jnp.int32(0)
    >>> total, i = packed_while_loop(lambda c: c[1] < 5, lambda c: (c[0] + c[1], c[1] + 1), start)
    >>> int(total)
    10
    """
    packing = Packing(start)
    pack, unpack = packing.pack, packing.unpack
    return unpack(lax.while_loop(lambda x: condition(unpack(x)), lambda x: pack(body(unpack(x))), pack(start)))


def packed_cond(condition: Any, true: Callable[[Any], Any], false: Callable[[Any], Any], operand: Any) -> Any:
    """:func:`jax.lax.cond` with one operand, whose like both branches give, and whose scalars are in few vectors.

    >>> packed_cond(True, lambda x: x + 1, lambda x: x, jnp.float32(1)).item()
    2.0
    """
    packing = Packing(operand)
    pack, unpack = packing.pack, packing.unpack
    true_packed, false_packed = (lambda x, fn=fn: pack(fn(unpack(x))) for fn in (true, false))
    return unpack(lax.cond(condition, true_packed, false_packed, pack(operand)))

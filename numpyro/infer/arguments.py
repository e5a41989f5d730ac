# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""A model's arguments, split into arrays, which are inputs of a compiled program, and the static rest, which is part "
"of it."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

__all__ = ["Static", "combine", "partition"]


class Static:
    """The static part of a pytree of arguments: its structure and every leaf that is no array.

    Two are equal if the structure and the leaves are; a leaf that cannot be compared counts as equal to itself only.
    """

    def __init__(self, treedef: Any, leaves: tuple[Any, ...]) -> None:
        self.treedef = treedef
        self.leaves = leaves

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Static) or self.treedef != other.treedef or len(self.leaves) != len(other.leaves):
            return False
        return all(_same(a, b) for a, b in zip(self.leaves, other.leaves, strict=True))

    def __hash__(self) -> int:
        return hash((self.treedef, len(self.leaves)))


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    try:
        return type(a) is type(b) and bool(a == b)
    except Exception:
        return False


class _Hole:
    """Stands for an array in the static part."""

    def __repr__(self) -> str:
        return "*"


_HOLE = _Hole()


def _is_array(leaf: Any) -> bool:
    if isinstance(leaf, np.ndarray | np.generic):
        return leaf.dtype.kind in "biufcV" and leaf.dtype.fields is None
    return isinstance(leaf, jax.Array)


def partition(tree: Any) -> tuple[list[Any], Static]:
    """Split a pytree into its arrays and the static rest.

    >>> arrays, static = partition(({"x": np.arange(3.0)}, "linear", 5))
    >>> [a.shape for a in arrays], combine(arrays, static)[1:]
    ([(3,)], ('linear', 5))
    """
    leaves, treedef = jax.tree.flatten(tree)
    arrays = [leaf for leaf in leaves if _is_array(leaf)]
    return arrays, Static(treedef, tuple(_HOLE if _is_array(leaf) else leaf for leaf in leaves))


def combine(arrays: list[Any], static: Static) -> Any:
    """Put arrays back in their places."""
    rest = iter(arrays)
    return jax.tree.unflatten(static.treedef, [next(rest) if leaf is _HOLE else leaf for leaf in static.leaves])

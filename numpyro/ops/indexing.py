# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Indexing by arrays whose dimensions are all batch dimensions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["Vindex", "vindex"]


def vindex(tensor: Any, args: Any) -> Any:
    """Index an array by arrays of integers that broadcast, and keep whole dimensions at the right.

    The result has the broadcast shape of the index arrays, followed by the dimensions at which a ``:`` stands.
    NumPy's own rule puts the index dimensions in the place of the first one instead, if they are adjacent, so that
    code that is written for numbers means something else for arrays. See NEP 21, "vindex".

    :param tensor: array to be indexed.
    :param args: an index for each of the rightmost dimensions of ``tensor``: an integer, an array of integers, or
        ``slice(None)``. An Ellipsis in front says that the dimensions left of these are batch dimensions, which
        broadcast with the index arrays; without it there are none.
    :returns: array of shape ``broadcast batch shape + sizes of the whole dimensions``. Without index arrays it is
        ``tensor[args]``.
    :raises ValueError: for other slices, masks, None, an Ellipsis that is not in front, or too many or too few indices.

    >>> x = jnp.arange(24.0).reshape(2, 3, 4)
    >>> i, j = jnp.array([[0], [1]]), jnp.array([3, 2, 1, 0, 0])
    >>> vindex(x, (i, slice(None), j)).shape
    (2, 5, 3)
    >>> vindex(x, (Ellipsis, jnp.array([0, 1]), slice(None))).shape
    (2, 4)
    """
    args = args if isinstance(args, tuple) else (args,)
    if not args:
        return tensor
    tensor = jnp.asarray(tensor)
    has_batch = args[0] is Ellipsis
    indices = args[1:] if has_batch else args
    for index in indices:
        _check(index)
    if not any(_is_array(index) and np.ndim(index) > 0 for index in indices):
        return tensor[args]
    batch = tensor.ndim - len(indices)
    if batch < 0 or (batch > 0 and not has_batch):
        raise ValueError(
            f"vindex: an array of shape {tensor.shape} cannot be indexed by {len(indices)} indices"
            + ("." if batch < 0 else ". If the dimensions at the left are batch dimensions, write ... in front.")
        )
    whole = sum(isinstance(index, slice) for index in indices)
    arrays = [index for index in indices if not isinstance(index, slice)]
    rank = max(batch, *(np.ndim(index) for index in arrays))
    full: list[Any] = []
    for dim in range(batch):
        full.append(_along(np.arange(tensor.shape[dim]), dim - batch + rank, rank + whole))
    seen = 0
    for dim, index in enumerate(indices, start=batch):
        if isinstance(index, slice):
            full.append(_along(np.arange(tensor.shape[dim]), rank + seen, rank + whole))
            seen += 1
        else:
            full.append(jnp.reshape(jnp.asarray(index), np.shape(index) + (1,) * whole))
    return tensor[tuple(full)]


class Vindex:
    """An array whose ``[...]`` is :func:`vindex`.

    :param tensor: array to be indexed.

    >>> x = jnp.arange(24.0).reshape(2, 3, 4)
    >>> i, j = jnp.array([0, 1, 1]), jnp.array([3, 2, 1])
    >>> Vindex(x)[i, :, j].shape
    (3, 3)
    """

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor

    def __getitem__(self, args: Any) -> Any:
        return vindex(self._tensor, args)


def _check(index: Any) -> None:
    is_whole = isinstance(index, slice) and index == slice(None)
    is_integer = not isinstance(index, slice | bool) and (
        isinstance(index, int | np.integer) or (_is_array(index) and jnp.issubdtype(index.dtype, jnp.integer))
    )
    if not (is_whole or is_integer):
        raise ValueError(
            f"vindex: an index must be an integer, an array of integers, or a whole slice, and ... may only stand in "
            f"front, but one is {index!r}."
        )


def _is_array(index: Any) -> bool:
    return isinstance(index, jax.Array | np.ndarray | np.integer)


def _along(index: np.ndarray, dim: int, ndim: int) -> np.ndarray:
    """A vector laid along one of ``ndim`` dimensions."""
    return index.reshape((-1,) + (1,) * (ndim - dim - 1))

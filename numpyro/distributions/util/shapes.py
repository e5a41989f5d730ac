# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Shapes, masks, and what is known of arguments without computing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import broadcast_shapes, reshape, shape_of
from numpyro.distributions._pytree import namespace
from numpyro.distributions._special import FEW


def promote_shapes(*args: Any, shape: Sequence[int] = (), return_shapes: bool = False) -> Any:
    """Give all arguments the rank of their common broadcast, by size-1 dimensions on the left.

    :param args: arrays whose shapes broadcast together.
    :param shape: one more shape that takes part.
    :param return_shapes: return the new shapes instead of the arrays.
    :return: a sequence of reshaped arrays, or of shapes. An argument that has the rank already comes back as it is.

    >>> [x.shape for x in promote_shapes(np.ones(3), np.ones((2, 1)))]
    [(1, 3), (2, 1)]
    """
    shapes = [shape_of(arg) for arg in args]
    rank = len(broadcast_shapes(tuple(shape), *shapes))
    promoted = [(1,) * (rank - len(s)) + s for s in shapes]
    if return_shapes:
        return promoted
    return [arg if s == new else reshape(arg, new) for arg, s, new in zip(args, shapes, promoted, strict=True)]


def sum_rightmost(x: Any, dim: int) -> Any:
    """Sum over the last ``dim`` dimensions; ``dim <= 0`` sums nothing.

    >>> sum_rightmost(np.ones((2, 3, 4)), 2).tolist()
    [12.0, 12.0]
    """
    if dim <= 0:
        return x
    terms = np.prod(shape_of(x)[-dim:], dtype=int)
    if (
        isinstance(x, jax.Array)
        and 1 < terms <= FEW
        and x.size >= 1000 * terms
        and jnp.issubdtype(x.dtype, jnp.floating)
    ):
        return _sum_of_few(jnp.reshape(x, (*x.shape[:-dim], terms)))
    return namespace(x).sum(x, axis=tuple(range(-dim, 0)))


@jax.custom_jvp
def _sum_of_few(x: Any) -> Any:
    """The sum over a short last dimension, written out (see :data:`~numpyro.distributions._special.FEW`)."""
    total = x[..., 0]
    for term in range(1, x.shape[-1]):
        total = total + x[..., term]
    return total


@_sum_of_few.defjvp
def _sum_of_few_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    return _sum_of_few(*primals), tangents[0].sum(-1)


def scale_and_mask(x: Any, scale: Any = None, mask: Any = None) -> Any:
    """Zero where the mask is false, and multiplied by the scale; ``None`` means no scale and no mask.

    >>> scale_and_mask(jnp.arange(3.0), 2.0, jnp.array([True, False, True])).tolist()
    [0.0, 0.0, 4.0]
    """
    if mask is not None and mask is not True:
        x = jnp.where(mask, x, 0.0)
    if scale is None or is_identically_one(scale):
        return x
    return x * scale


def periodic_repeat(x: Any, size: int, dim: int) -> Any:
    """Continue an array periodically along a dimension until that has the given size.

    :param x: array whose size along ``dim`` is the period.
    :param size: the wanted size, longer or shorter than the period.

    >>> periodic_repeat(jnp.array([1, 2, 3]), 7, 0).tolist()
    [1, 2, 3, 1, 2, 3, 1]
    """
    return jnp.take(x, np.arange(size) % shape_of(x)[dim], axis=dim)


def is_identically_zero(x: Any) -> bool:
    """Whether ``x`` is the number zero, not an array: what is known without computing.

    >>> is_identically_zero(0.0), is_identically_zero(np.zeros(2))
    (True, False)
    """
    return isinstance(x, int | float) and x == 0


def is_identically_one(x: Any) -> bool:
    """Whether ``x`` is the number one, not an array: what is known without computing.

    >>> is_identically_one(1), is_identically_one(np.ones(2))
    (True, False)
    """
    return isinstance(x, int | float) and x == 1


def is_prng_key(key: Any) -> bool:
    """Whether ``key`` is one random key: a typed scalar key, or a raw one of shape ``(2,)``.

    >>> is_prng_key(jax.random.key(0)), is_prng_key(jax.random.PRNGKey(0)), is_prng_key(0)
    (True, True, False)
    """
    dtype = getattr(key, "dtype", None)
    if dtype is None:
        return False
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return shape_of(key) == ()
    # A raw key has two words, or four under the "rbg" implementation.
    return dtype == np.uint32 and shape_of(key) in ((2,), (4,))


def assert_one_of(**kwargs: Any) -> None:
    """Raise :class:`ValueError` unless exactly one of the keyword arguments is not ``None``.

    >>> assert_one_of(probs=0.5, logits=None)
    """
    given = [name for name, value in kwargs.items() if value is not None]
    if len(given) != 1:
        raise ValueError(f"Exactly one of {list(kwargs)} must be specified; got {given}.")

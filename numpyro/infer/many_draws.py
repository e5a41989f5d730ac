# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""A function of one draw, applied to many.

Draws are processed in batches: all of a batch at once, one batch after the other, so that speed is that of ``vmap`` and
memory is that of the results and one batch. The function is traced once, and from that it is known how much memory a
draw takes. Where only results must lie in memory, as in the density of a regression, all draws are one batch,
whose results are computed where they stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
import math
from typing import Any

import jax
from jax import lax
import jax.extend.core as core
import jax.numpy as jnp

from numpyro.infer.elementwise import CALLS, ELEMENTWISE, OF_SHAPE
from numpyro.util import inner_programs

__all__ = ["over_draws"]

_BATCH = 64 * 2**20
"""Bytes that the intermediate results of a batch may take."""


def over_draws(fn: Callable[[Any], Any], draws: Any, count: int, *, together: bool = False) -> Any:
    """``fn`` of each draw, as arrays with a leading axis of draws; within a compiled function.

    :param fn: a function from a pytree of arrays to another one.
    :param draws: such a pytree with a leading axis of ``count`` draws.
    :param count: number of draws, at least 1.
    :param together: whether to take all draws as one batch.

    >>> jax.jit(lambda x: over_draws(lambda row: jnp.sum(row), x, 3))(jnp.arange(6.0).reshape(3, 2)).tolist()
    [1.0, 5.0, 9.0]
    """
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), draws)
    traced, looks = jax.make_jaxpr(fn, return_shape=True)(one)
    treedef, flat = jax.tree.structure(looks), core.jaxpr_as_fun(traced)
    leaves = jax.tree.leaves(draws)
    batch = count if together else min(max(_BATCH // max(_bytes(traced.jaxpr), 1), 1), count)
    # Batches of about the same size; the last one begins earlier rather than to be shorter.
    batches = math.ceil(count / batch)
    batch = math.ceil(count / batches)
    run = jax.vmap(flat, axis_size=batch)
    if batches == 1:
        return jax.tree.unflatten(treedef, run(*leaves))

    def step(number: Any, results: list[Any]) -> list[Any]:
        start = jnp.minimum(number * batch, count - batch)
        rows = run(*(lax.dynamic_slice_in_dim(x, start, batch) for x in leaves))
        return [
            lax.dynamic_update_slice_in_dim(whole, part, start, 0) for whole, part in zip(results, rows, strict=True)
        ]

    room = [_room(count, x) for x in jax.tree.leaves(looks)]
    return jax.tree.unflatten(treedef, lax.fori_loop(0, batches, step, room))


def _room(count: int, x: Any) -> Any:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jnp.broadcast_to(jax.random.key(0, impl=jax.random.key_impl(x)), (count, *x.shape))
    return jnp.zeros((count, *x.shape), x.dtype)


def _bytes(jaxpr: Any) -> int:
    """About how much memory the intermediate results of a program take.

    What is computed element by element and used once does not lie in memory: it is part of what uses it. All others
    count as if they were there at the same time.
    """
    uses = Counter(x for equation in jaxpr.eqns for x in equation.invars if not isinstance(x, core.Literal))
    total = 0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        total += sum(_bytes(inner) for inner in inner_programs(equation))
        if name in OF_SHAPE or name == "iota" or (name in CALLS and all(uses[x] <= 1 for x in equation.outvars)):
            continue
        if name not in ELEMENTWISE or any(uses[x] > 1 for x in equation.outvars):
            total += sum(math.prod(x.aval.shape) * x.aval.dtype.itemsize for x in equation.outvars)
    return total

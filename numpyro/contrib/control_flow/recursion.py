# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""A scan without the loop, where the carry allows it.

When the values of all sites are known, as in the density that a sampler evaluates, the carry of a state-space model is
no recursion any more: in ``x[t] ~ p(. | x[t-1])`` the carry after step ``t`` is the given ``x[t]``. The body can then
run for all steps at once.

The dependences are read off the body's jaxpr. A part of the carry that depends, over any number of steps, only on
inputs of the body is computed by ``vmap`` and shifted by one step; what depends on itself (a running sum, an
exponential smoother) is left in a loop that computes nothing else. With the carries of all steps known, one ``vmap``
of the body gives its outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import lax
import jax.extend.core as core
import jax.numpy as jnp

from numpyro.util import inner_programs

__all__ = ["parallel_scan"]

#: With one of these in the body, a step does not do the same work whatever its data, so steps stay apart.
_STEPWISE = frozenset({"while", "cond"})


def parallel_scan(
    step: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any, length: int, reverse: bool = False
) -> tuple[Any, Any]:
    """The same as ``lax.scan(step, init, xs, length, reverse)``, with as little of it in a loop as the carry allows.

    ``step`` must be a pure function; arguments and results are as for :func:`jax.lax.scan`.

    >>> carry, ys = parallel_scan(lambda c, x: (x, x - c), jnp.array(0.0), jnp.array([1.0, 4.0, 9.0]), 3)
    >>> print(carry, ys)
    9.0 [1. 3. 5.]
    """
    plan = _plan(step, init, xs, length) if length > 1 else None
    if plan is None:
        return lax.scan(step, init, xs, length=length, reverse=reverse)
    closed, out_tree, dependences = plan
    carry_leaves, x_leaves = jax.tree.leaves(init), jax.tree.leaves(xs)
    count = len(carry_leaves)

    def outputs(wanted: Sequence[int], carry: Sequence[Any], x: Sequence[Any]) -> list[Any]:
        return core.jaxpr_as_fun(_only(closed, wanted))(*carry, *x)

    # Carries at the start of each step, as far as they are known; what is computed from them does not use the others.
    before: dict[int, Any] = {}

    # What the body returns as it came stays what it was at the start.
    fixed = {i for i in range(count) if closed.jaxpr.outvars[i] is closed.jaxpr.invars[i]}

    def known(i: int, as_axis: bool) -> Any:
        if i in before:
            return 0 if as_axis else before[i]
        return None if as_axis else jnp.asarray(carry_leaves[i])

    def at_all_steps(wanted: Sequence[int]) -> list[Any]:
        axes = ([known(i, True) for i in range(count)], [0] * len(x_leaves))
        if not x_leaves and not before:
            constant = outputs(wanted, [known(i, False) for i in range(count)], [])
            return [jnp.broadcast_to(x, (length, *x.shape)) for x in constant]
        mapped = jax.vmap(lambda carry, x: outputs(wanted, carry, x), in_axes=axes, axis_size=length)
        return mapped([known(i, False) for i in range(count)], x_leaves)

    remaining = set(range(count)) - fixed
    while ready := sorted(i for i in remaining if dependences[i] <= before.keys() | fixed):
        for i, after in zip(ready, at_all_steps(ready), strict=True):
            before[i] = _shifted(carry_leaves[i], after, reverse)
        remaining -= set(ready)
    if remaining:
        looped = sorted(remaining)
        order = sorted(before)

        def advance(carry: list[Any], inputs: Any) -> Any:
            given, x = inputs
            full = [jnp.asarray(leaf) for leaf in carry_leaves]
            for i, value in [*zip(looped, carry, strict=True), *zip(order, given, strict=True)]:
                full[i] = value
            return outputs(looped, full, x), carry

        start = [jnp.asarray(carry_leaves[i]) for i in looped]
        inputs = ([before[i] for i in order], x_leaves)
        _, sequences = lax.scan(advance, start, inputs, length=length, reverse=reverse)
        before.update(zip(looped, sequences, strict=True))

    everything = at_all_steps(range(len(closed.jaxpr.outvars)))
    last = 0 if reverse else -1
    carry, ys = jax.tree.unflatten(out_tree, [*(x[last] for x in everything[:count]), *everything[count:]])
    return carry, ys


def _shifted(first: Any, after: Any, reverse: bool) -> Any:
    """Carries before each step, from the first one and those after each step."""
    first = jnp.asarray(first, after.dtype)[None]
    return jnp.concatenate([after[1:], first] if reverse else [first, after[:-1]])


def _plan(step: Callable[..., Any], init: Any, xs: Any, length: int) -> tuple[Any, Any, list[set[int]]] | None:
    """The body's jaxpr, the structure of its results, and for each leaf of the carry those it is computed from.

    None where the body cannot run for all steps at once, or where nothing would be won.
    """
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x)), init)
    abstract_x = jax.tree.map(lambda x: jax.ShapeDtypeStruct(jnp.shape(x)[1:], jnp.result_type(x)), xs)
    closed, out_shape = jax.make_jaxpr(step, return_shape=True)(abstract, abstract_x)
    carry_in, carry_out = jax.tree.leaves(abstract), jax.tree.leaves(out_shape[0])
    same = [(a.shape, a.dtype) == (b.shape, b.dtype) for a, b in zip(carry_in, carry_out, strict=True)]
    if closed.effects or not all(same) or _has_stepwise(closed.jaxpr):
        return None
    reads = _reads(closed.jaxpr, len(carry_in))
    dependences = [reads[i] for i in range(len(carry_in))]
    return closed, jax.tree.structure(out_shape), dependences


def _has_stepwise(jaxpr: Any) -> bool:
    return any(
        equation.primitive.name in _STEPWISE or any(map(_has_stepwise, inner_programs(equation)))
        for equation in jaxpr.eqns
    )


def _reads(jaxpr: Any, count: int) -> list[set[int]]:
    """For each output of a jaxpr, which of its first ``count`` inputs it is computed from."""
    sources: dict[Any, set[int]] = {var: {i} if i < count else set() for i, var in enumerate(jaxpr.invars)}

    def of(atom: Any) -> set[int]:
        return set() if isinstance(atom, core.Literal) else sources.get(atom, set())

    for equation in jaxpr.eqns:
        read: set[int] = set().union(*map(of, equation.invars))
        for var in equation.outvars:
            sources[var] = read
    return [of(atom) for atom in jaxpr.outvars]


def _only(closed: Any, wanted: Sequence[int]) -> Any:
    """The part of a jaxpr that computes some of its outputs."""
    jaxpr = closed.jaxpr
    outvars = [jaxpr.outvars[i] for i in wanted]
    needed = {var for var in outvars if not isinstance(var, core.Literal)}
    equations = []
    for equation in reversed(jaxpr.eqns):
        if not needed.isdisjoint(equation.outvars):
            equations.append(equation)
            needed.update(var for var in equation.invars if not isinstance(var, core.Literal))
    return core.ClosedJaxpr(jaxpr.replace(outvars=outvars, eqns=equations[::-1]), closed.consts)

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Many chains of Hamiltonian Monte Carlo in one compiled loop.

The chains take leapfrog steps together, each in its own trajectory, so that none of them waits for the longest
trajectory of the others (Dance et al. 2025, *Efficiently Vectorized MCMC on Modern Accelerators*). The small functions
of which a chain is made are those of :mod:`numpyro.infer.chain`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from operator import attrgetter
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp

from numpyro.infer.chain import Chain, Sampler, strongly_typed, where
from numpyro.infer.compilation import on_one_cpu
from numpyro.util import identity, inner_programs

__all__ = ["advance_together"]

_PATIENCE = 2
"""Half of many chains wait before what follows the end of a branch is computed."""


def advance_together(
    sampler: Sampler, chains: Chain, draws: dict[str, Any], arrays: Any, stop: Any, first: Any, thinning: Any
) -> tuple[Chain, dict[str, Any]]:
    """:meth:`Sampler.advance <numpyro.infer.chain.Sampler.advance>` for many chains, along the first axis of ``chains``
    and ``draws``.

    What follows a branch, or a trajectory, is computed for all chains whether they need it or not. So the chains
    that have come to an end wait for others, until they are a share of all, while the rest take further steps; but
    the chain with the least iterations, for which all have to wait in the end, never waits.
    """
    trajectory = sampler.trajectory
    numbers = jnp.arange(len(chains.phase))
    patience = max(1, len(numbers) // _PATIENCE)
    stepper = _one_gradient_after_another(sampler, arrays)

    def begin(chains: Chain, paths: Any = None) -> tuple[Chain, Any]:
        chains = _for_those(jax.vmap(sampler.is_unprepared)(chains), lambda c: sampler.prepare(c, arrays), chains)
        chains, starts = jax.vmap(sampler.propose)(chains)
        return chains, jax.vmap(lambda c, s, p: sampler.start(c, s, arrays, p))(chains, starts, paths)

    def step(chain: Chain, path: Any, moves: jax.Array) -> Any:
        return trajectory.step(stepper.hamiltonian(chain.state, arrays), path, moves)

    def merge(chain: Chain, path: Any) -> Any:
        return trajectory.merge(sampler.hamiltonian(chain.state, arrays), path)

    def turn_over(chains: Chain, paths: Any, done: jax.Array) -> Chain:
        settled = _select(done, jax.vmap(lambda c, p: sampler.settle(c, trajectory.outcome(p)))(chains, paths), chains)
        if sampler.adaptation.num_steps == 0:
            return settled
        adapts = done & jax.vmap(sampler.adapts)(chains)
        adapted = _for_those(adapts, sampler.adapt, settled)
        if not sampler.adaptation.renews:
            return adapted
        ends_window = jax.vmap(sampler.adaptation.ends_window)
        ends = adapts & ends_window(settled.state.adapt_state, adapted.state.adapt_state)
        return _for_those(ends, sampler.renew, adapted)

    def are_active(chains: Chain) -> jax.Array:
        return jax.vmap(lambda c: sampler.is_active(c, stop))(chains)

    is_done, is_complete = jax.vmap(trajectory.is_done), jax.vmap(trajectory.is_complete)

    def body(carry: tuple[Chain, Any, dict[str, Any], Any]) -> tuple[Chain, Any, dict[str, Any], Any]:
        chains, paths, draws, is_first = carry
        active = are_active(chains)
        hindmost = jnp.argmin(jnp.where(active, chains.state.i, jnp.iinfo(jnp.int32).max))
        is_hindmost = numbers == hindmost

        def enough(waiting: jax.Array) -> jax.Array:
            return jnp.sum(jnp.where(active & waiting, jnp.where(is_hindmost, patience, 1), 0)) >= patience

        def grow(paths: Any) -> Any:
            moving = active & ~is_done(paths)

            def go(paths: Any) -> Any:
                return jax.vmap(step)(chains, paths, moving & ~is_complete(paths))

            paths = lax.while_loop(lambda p: ~enough(moving & is_complete(p)), go, paths)
            return _select(moving & is_complete(paths), jax.vmap(merge)(chains, paths), paths)

        paths = lax.while_loop(lambda p: ~is_first & ~enough(is_done(p)), grow, paths)
        done = active & ~is_first & is_done(paths)
        chains = turn_over(chains, paths, done)
        rows = jnp.where(done, jnp.maximum(chains.state.i - 1 - first, 0) // thinning, jnp.iinfo(jnp.int32).max)
        draws = {
            name: jax.tree.map(
                lambda buffer, value: buffer.at[numbers, rows].set(value, mode="drop"),
                buffer,
                attrgetter(name.removeprefix("."))(chains.state),
            )
            for name, buffer in draws.items()
        }
        chains, paths = _select((done | is_first) & are_active(chains), begin(chains, paths), (chains, paths))
        return chains, paths, draws, jnp.zeros((), bool)

    # The first turn of the loop only begins: a trajectory begins by the same code wherever a run was interrupted,
    # so that its draws do not depend on that to the last bit.
    paths = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(begin, chains)[1])
    carry = (chains, paths, draws, jnp.ones((), bool))
    chains, _, draws, _ = lax.while_loop(lambda carry: jnp.any(are_active(carry[0])), body, carry)
    return strongly_typed((chains, draws))


def _one_gradient_after_another(sampler: Sampler, arrays: Any) -> Sampler:
    """The sampler whose gradients, of many chains, are computed one after the other if that is quicker.

    A CPU adds up the gradient of gathered elements one by one. For many chains at once XLA makes that slower than
    for one chain after the other: 140 microseconds rather than 87 for 32 times 919 observations in 85 groups. (Not
    with several devices: data may be spread over them, and each gradient would be an exchange.)
    """
    if not on_one_cpu():
        return sampler
    z = jax.ShapeDtypeStruct((sampler.space.size,), sampler.space.dtype)
    if not _has_scatter(jax.make_jaxpr(sampler.potential_and_grad)(z, arrays).jaxpr):
        return sampler
    alone = jax.custom_batching.custom_vmap(lambda z, arrays: sampler.potential_and_grad(z, arrays))

    @alone.def_vmap
    def one_after_another(size: int, is_batched: Any, positions: jax.Array, arrays: Any) -> Any:
        return lax.map(lambda z: sampler.potential_and_grad(z, arrays), positions), (True, True)

    def potential_and_grad(z: jax.Array, arrays: Any, image: Any = identity) -> tuple[jax.Array, jax.Array]:
        potential, gradient = alone(z, arrays)
        return potential, image(gradient)

    return replace(sampler, potential_and_grad=potential_and_grad)


def _select(condition: jax.Array, new: Any, old: Any) -> Any:
    """``new`` for the chains that satisfy ``condition``, ``old`` for the others."""
    return jax.tree.map(lambda a, b: a if a is b else where(condition, a, b), new, old)


def _has_scatter(jaxpr: Any) -> bool:
    """Whether a program adds to, or writes at, places that are computed."""
    return any(
        equation.primitive.name.startswith("scatter") or any(map(_has_scatter, inner_programs(equation)))
        for equation in jaxpr.eqns
    )


def _for_those(condition: jax.Array, fn: Callable[[Any], Any], operand: Any) -> Any:
    """``fn`` for the chains that satisfy ``condition``; not even computed if there are none."""

    def apply(operand: Any) -> Any:
        return jax.tree.map(lambda a, b: where(condition, a, b), jax.vmap(fn)(operand), operand)

    return lax.cond(jnp.any(condition), apply, lambda x: x, operand)

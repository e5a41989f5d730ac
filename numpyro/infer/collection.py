# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Where the draws of a run go.

A sampler writes draws into buffers in its own coordinates. Few of them wait there until the run ends and are mapped to
what users see by one program. Many of them come in *blocks*: whenever the buffers are full, their draws are mapped and
put in their places among all the draws, on the device or on the host, and the buffers are used again. So the draws are
in memory once, and a block of them twice.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
import numpy as np

from numpyro.infer.runner import Group, Runner

__all__ = ["Collection", "flat_states", "is_lost"]


class Collection:
    """The draws of one run.

    :param runner: a runner that has started a group.
    :ivar out: in blocks, the draws that users see, those of one chain after another along the first axis; None before
        the first block is full.
    """

    def __init__(self, runner: Runner) -> None:
        self.runner, self.plan = runner, runner.plan
        self.in_blocks = runner.rows < self.plan.size
        self.out: Any = None
        self._block = 0

    # Blocks

    def fill(self, iteration: int) -> int:
        """Note that the buffers are filled from ``iteration`` on. Returns the iteration whose draw belongs to their
        first row."""
        plan = self.plan
        self._block = plan.kept_before(iteration) // self.runner.rows
        return plan.first + self.base * plan.thinning

    def boundary(self, iteration: int) -> int:
        """The iteration after ``iteration`` at which the buffers are full, or the run ends."""
        plan, rows = self.plan, self.runner.rows
        if not self.in_blocks or plan.kept == 0:
            return plan.stop
        block = plan.kept_before(iteration) // rows
        return min(plan.first + (block + 1) * rows * plan.thinning, plan.stop)

    @property
    def base(self) -> int:
        """Number of the draw that belongs to the first row of the buffers. The last block may be shorter than they are;
        it stands at their end."""
        rows = self.runner.rows
        return max(min(self._block * rows, self.plan.kept - rows), 0)

    def store(self, carry: Any, group: Group, iteration: int) -> None:
        """Put the draws that are in the buffers after ``iteration`` iterations among the others."""
        runner, draws, base = self.runner, carry[-1], self.base
        low, kept = self._block * runner.rows, self.plan.kept_before(iteration)
        if not self.in_blocks or kept <= low:
            return
        chain = 0 if isinstance(group, range) else group
        if self.out is None:
            self.out = self._room(draws)
        if not runner.on_host:
            bounds = tuple(map(np.int32, (chain, base, low - base, kept - base)))
            self.out = runner.cached(("store", self.plan.kept), self._make_store)(
                self.out, draws, runner.arrays, *bounds
            )
            return
        for whole, block in zip(jax.tree.leaves(self.out), jax.tree.leaves(self._constrained(draws)), strict=True):
            grouped = whole.reshape((runner.count, self.plan.kept, *whole.shape[1:]))
            grouped[chain : chain + len(block), low:kept] = np.asarray(block)[:, low - base : kept - base]

    def _room(self, draws: Any) -> Any:
        """Room for all the draws."""
        runner, (_, looks) = self.runner, _collected(self.runner)
        shapes = jax.tree.map(lambda x: ((runner.count * self.plan.kept, *x.shape), x.dtype), looks)
        is_shape = lambda x: isinstance(x, tuple) and isinstance(x[0], tuple)
        if runner.on_host:
            return jax.tree.map(lambda x: np.empty(*x), shapes, is_leaf=is_shape)
        sharding = _over_chains(draws)
        zeros = partial(jnp.zeros, device=sharding)
        return jax.tree.map(lambda x: zeros(*x), shapes, is_leaf=is_shape)

    def _make_store(self) -> Any:
        constrain, has_axis = _constrain(self.runner), self.runner.has_axis
        count, kept = self.runner.count, self.plan.kept

        def store(out: Any, draws: Any, arrays: Any, chain: Any, base: Any, low: Any, high: Any) -> Any:
            def put(whole: jax.Array, block: jax.Array) -> jax.Array:
                grouped = whole.reshape((count, kept, *whole.shape[1:]))
                origin = (chain, base, *(0 for _ in whole.shape[1:]))
                row = jnp.arange(block.shape[1])
                is_new = ((row >= low) & (row < high)).reshape((-1, *(1 for _ in whole.shape[1:])))
                block = jnp.where(is_new, block, lax.dynamic_slice(grouped, origin, block.shape))
                return lax.dynamic_update_slice(grouped, block, origin).reshape(whole.shape)

            return jax.tree.map(put, out, constrain(draws, arrays, has_axis))

        return jax.jit(store, donate_argnums=(0,))

    # Results

    def prepare(self, carry: Any) -> None:
        """Compile what :meth:`finish` calls, while the loop is compiled in the background.

        :param carry: of the first group, before its first iteration.
        """
        runner = self.runner
        if runner.compiling is None or self.in_blocks or self.plan.kept == 0 or len(runner.groups) > 1:
            return
        looks = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), (runner.state(carry), carry[-1]))
        runner.cached(("finish", 1), self._make_finish).lower(*([x] for x in looks), runner.arrays).compile()

    def finish(self, carries: list[Any]) -> tuple[dict[str, Any], Any]:
        """All the draws as users see them, those of one chain after another along the first axis, and the last state.

        :param carries: of all groups; in blocks, after the last block was stored.
        """
        runner = self.runner
        states = [runner.state(carry) for carry in carries]
        if self.in_blocks or self.plan.kept == 0:
            return self.out, self.last_state(carries)
        finish = runner.cached(("finish", len(carries)), self._make_finish)
        collected, state = finish(states, [carry[-1] for carry in carries], runner.arrays)
        return (jax.device_get(collected) if runner.on_host else collected), state

    def _make_finish(self) -> Any:
        constrain, join, has_axis = _constrain(self.runner), _join(self.runner), self.runner.has_axis

        def finish(states: list[Any], draws: list[Any], arrays: Any) -> Any:
            if has_axis:
                joined = draws[0]
            else:
                joined = jax.tree.map(lambda *x: jnp.stack(x), *draws)
            collected = constrain(joined, arrays, True)
            return jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), collected), join(states)

        return jax.jit(finish)

    def last_state(self, carries: list[Any]) -> Any:
        """The kernel's state as users see it."""
        states = [self.runner.state(carry) for carry in carries]
        return self.runner.cached(("state", len(states)), lambda: jax.jit(_join(self.runner)))(states)

    def so_far(self, carries: list[Any], iteration: int) -> list[Any]:
        """The complete draws of each group that was started, with axes of chains and draws, on the host.

        :param carries: of these groups; all but the last one are at their ends.
        :param iteration: where the last one is.
        """
        plan, runner = self.plan, self.runner
        result = []
        for number, carry in enumerate(carries):
            kept = plan.kept if number < len(carries) - 1 else plan.kept_before(iteration)
            if not self.in_blocks:
                draws = self._constrained(carry[-1])
            elif kept == 0 or self.out is None:
                _, looks = _collected(runner)
                count = runner.count if runner.has_axis else 1
                result.append(jax.tree.map(lambda x, count=count: np.zeros((count, 0, *x.shape), x.dtype), looks))
                continue
            else:
                draws = jax.tree.map(partial(_of_group, runner.groups[number], runner.count, plan.kept), self.out)
            result.append(jax.tree.map(lambda x, kept=kept: np.asarray(x)[:, :kept], draws))
        return result

    def restore(self, parts: list[Any], draws: Any) -> None:
        """Take in what :meth:`so_far` gave in another process.

        :param draws: buffers of the sampler, for the device on which they are.
        """
        if not self.in_blocks or not any(x.shape[1] for part in parts for x in jax.tree.leaves(part)):
            return
        plan, runner = self.plan, self.runner
        filled = []
        for which, (path, looks) in enumerate(jax.tree.leaves_with_path(_collected(runner)[1])):
            whole = np.zeros((runner.count, plan.kept, *looks.shape), looks.dtype)
            for group, part in zip(runner.groups, parts, strict=False):
                leaf = jax.tree.leaves(part)[which]
                chain = 0 if isinstance(group, range) else group
                if leaf.shape[2:] != looks.shape:
                    raise ValueError(f"draws of {jax.tree_util.keystr(path)} have shape {leaf.shape[2:]}")
                whole[chain : chain + len(leaf), : leaf.shape[1]] = leaf
            whole = whole.reshape((-1, *looks.shape))
            filled.append(whole if runner.on_host else jax.device_put(whole, _over_chains(draws)))
        self.out = jax.tree.unflatten(jax.tree.structure(_collected(runner)[1]), filled)

    def _constrained(self, draws: Any) -> Any:
        """The draws in a group's buffers as users see them, with axes of chains and draws."""
        has_axis = self.runner.has_axis
        constrain = self.runner.cached("constrain", lambda: jax.jit(_constrain(self.runner), static_argnums=2))
        return constrain(draws, self.runner.arrays, has_axis)


def flat_states(parts: list[Any], kept: int) -> tuple[Any, int]:
    """The draws of the groups that are complete, or of the first one if there is none, as :meth:`Collection.finish`
    gives them; and the number of their chains."""
    complete = [part for part in parts if all(x.shape[1] == kept for x in jax.tree.leaves(part))] or parts[:1]
    chains = sum(len(jax.tree.leaves(part)[0]) for part in complete)
    flat = [jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), part) for part in complete]
    return (flat[0] if len(flat) == 1 else jax.tree.map(lambda *x: np.concatenate(x), *flat)), chains


def is_lost(tree: Any) -> bool:
    """Whether arrays were donated to a call that did not return."""
    return any(x.is_deleted() for x in jax.tree.leaves(tree) if isinstance(x, jax.Array))


def _collected(runner: Runner) -> tuple[Any, Any]:
    assert runner.collected is not None
    return runner.collected


def _constrain(runner: Runner) -> Any:
    """The function from a group's buffers to its draws as users see them, with axes of chains and draws."""
    one, _ = _collected(runner)

    def constrain(draws: Any, arrays: Any, has_axis: bool) -> Any:
        count = jax.tree.leaves(draws)[0].shape[0] if has_axis else 1
        if has_axis:
            draws = jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), draws)
        values = jax.vmap(lambda draw: one(draw, arrays))(draws)
        return jax.tree.map(lambda x: x.reshape((count, -1, *x.shape[1:])), values)

    return constrain


def _join(runner: Runner) -> Any:
    """The function from the states of groups to the last state as users see it."""
    batched, has_axis, is_ensemble = runner.batched, runner.has_axis, runner.kernel.is_ensemble_kernel
    public = runner.public_state()

    def join(states: list[Any]) -> Any:
        state = states[0] if has_axis or not batched else jax.tree.map(lambda *x: jnp.stack(x), *states)
        return (jax.vmap(public) if batched and not is_ensemble else public)(state)

    return join


def _over_chains(draws: Any) -> Any:
    """The sharding of all draws that fits that of a group's buffers; None for one device."""
    leaf = jax.tree.leaves(draws)[0]
    sharding = getattr(leaf, "sharding", None)
    if not isinstance(sharding, NamedSharding) or not len(sharding.spec):
        return None
    return NamedSharding(sharding.mesh, PartitionSpec(sharding.spec[0]))


def _of_group(group: Group, count: int, kept: int, whole: Any) -> np.ndarray:
    grouped = np.asarray(whole).reshape((count, kept, *whole.shape[1:]))
    return grouped if isinstance(group, range) else grouped[group : group + 1]

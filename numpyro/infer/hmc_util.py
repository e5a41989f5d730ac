# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The parts of HMC and NUTS, for those who compose their own.

``build_tree`` grows a No-U-Turn trajectory on pytrees; the sampler itself works on flat vectors
(:mod:`numpyro.infer.trajectory`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import lax
import jax.numpy as jnp

from numpyro.infer.consensus import consensus, parametric, parametric_draws
from numpyro.infer.integrator import IntegratorState, euclidean_kinetic_energy, velocity_verlet
from numpyro.infer.mass_matrix import WelfordState, welford_covariance
from numpyro.infer.step_size import DualAveragingState, dual_averaging, find_reasonable_step_size
from numpyro.infer.warmup import AdaptWindow, HMCAdaptState, build_adaptation_schedule, warmup_adapter

__all__ = [
    "AdaptWindow",
    "DualAveragingState",
    "HMCAdaptState",
    "IntegratorState",
    "TreeInfo",
    "WelfordState",
    "build_adaptation_schedule",
    "build_tree",
    "consensus",
    "dual_averaging",
    "euclidean_kinetic_energy",
    "find_reasonable_step_size",
    "parametric",
    "parametric_draws",
    "velocity_verlet",
    "warmup_adapter",
    "welford_covariance",
]


class TreeInfo(NamedTuple):
    """A No-U-Turn trajectory.

    :param z_left: position at the end that is earliest in time; ``r_left`` and ``z_left_grad`` are momentum and
        gradient there.
    :param z_right: position at the latest end.
    :param z_proposal: the state drawn from the trajectory; ``z_proposal_pe``, ``z_proposal_grad``,
        ``z_proposal_energy``: potential energy, its gradient, total energy there.
    :param depth: number of doublings.
    :param weight: logarithm of the sum of ``exp(initial energy - energy)`` over the states.
    :param r_sum: sum of the momenta.
    :param turning: whether the trajectory turned back.
    :param diverging: whether its energy error was too large.
    :param sum_accept_probs: sum of the acceptance probabilities of the new states.
    :param num_proposals: number of new states.
    """

    z_left: Any
    r_left: Any
    z_left_grad: Any
    z_right: Any
    r_right: Any
    z_right_grad: Any
    z_proposal: Any
    z_proposal_pe: Any
    z_proposal_grad: Any
    z_proposal_energy: Any
    depth: Any
    weight: Any
    r_sum: Any
    turning: Any
    diverging: Any
    sum_accept_probs: Any
    num_proposals: Any


def build_tree(
    verlet_update: Callable[..., IntegratorState],
    kinetic_fn: Callable[..., Any],
    verlet_state: IntegratorState,
    inverse_mass_matrix: Any,
    step_size: Any,
    rng_key: Any,
    max_delta_energy: float = 1000.0,
    max_tree_depth: int = 10,
) -> TreeInfo:
    """Grow a No-U-Turn trajectory from a state.

    :param verlet_update: second function of :func:`velocity_verlet`.
    :param kinetic_fn: ``kinetic_fn(inverse_mass_matrix, r)``.
    :param verlet_state: where to begin.
    :param inverse_mass_matrix: a vector, a matrix, or a dict of blocks.
    :param step_size: size of a leapfrog step.
    :param rng_key: random key.
    :param max_delta_energy: energy error beyond which the trajectory counts as divergent.
    :param max_tree_depth: bound of the number of doublings; the pair ``(current, most)`` gives a bound that may be
        traced and its static maximum.

    **References:** see :mod:`numpyro.infer.trajectory`.
    """
    current, most = max_tree_depth if isinstance(max_tree_depth, tuple) else (max_tree_depth, max_tree_depth)
    velocity = jax.grad(kinetic_fn, argnums=1)
    initial_energy = verlet_state.potential_energy + kinetic_fn(inverse_mass_matrix, verlet_state.r)

    def leaf(state: IntegratorState) -> TreeInfo:
        energy = state.potential_energy + kinetic_fn(inverse_mass_matrix, state.r)
        delta = energy - initial_energy
        delta = jnp.where(jnp.isnan(delta), jnp.inf, delta)
        ends = (state.z, state.r, state.z_grad)
        return TreeInfo(
            *ends,
            *ends,
            state.z,
            state.potential_energy,
            state.z_grad,
            energy,
            jnp.zeros((), jnp.int32),
            -delta,
            state.r,
            jnp.zeros((), bool),
            delta > max_delta_energy,
            jnp.minimum(1.0, jnp.exp(-delta)),
            jnp.ones((), jnp.int32),
        )

    def turns(first: Any, last: Any, rho: Any) -> jax.Array:
        return (_dot(velocity(inverse_mass_matrix, first), rho) <= 0) | (
            _dot(velocity(inverse_mass_matrix, last), rho) <= 0
        )

    def join(tree: TreeInfo, branch: TreeInfo, forwards: Any, biased: bool, key: Any) -> TreeInfo:
        """Two neighbouring trajectories as one; ``branch`` is the later of them if ``forwards``."""
        left = _choose(forwards, tree, branch)
        right = _choose(forwards, branch, tree)
        weight = jnp.logaddexp(tree.weight, branch.weight)
        log_prob = branch.weight - (tree.weight if biased else weight)
        accept = jax.random.uniform(key) < jnp.exp(log_prob)
        if biased:
            accept = accept & ~branch.turning & ~branch.diverging
        proposal = _choose(accept, branch[6:10], tree[6:10])
        r_sum = jax.tree.map(jnp.add, tree.r_sum, branch.r_sum)
        turning = (
            turns(left.r_left, right.r_right, r_sum)
            | turns(left.r_left, right.r_left, jax.tree.map(jnp.add, left.r_sum, right.r_left))
            | turns(left.r_right, right.r_right, jax.tree.map(jnp.add, right.r_sum, left.r_right))
        )
        joined = tree._replace(
            depth=jnp.maximum(tree.depth, branch.depth) + 1,
            weight=weight,
            r_sum=r_sum,
            turning=tree.turning | branch.turning | turning,
            diverging=tree.diverging | branch.diverging,
            sum_accept_probs=tree.sum_accept_probs + branch.sum_accept_probs,
            num_proposals=tree.num_proposals + branch.num_proposals,
        )
        return TreeInfo._make((*left[:3], *right[3:6], *proposal, *joined[10:]))

    def grow(tree: TreeInfo, forwards: Any, key: Any) -> TreeInfo:
        """A branch of ``2**tree.depth`` states next to ``tree``: leaves are joined pairwise, like the carries of a
        binary counter."""
        signed = jnp.where(forwards, step_size, -step_size)
        end = _choose(forwards, tree[3:6], tree[:3])
        stack = jax.tree.map(lambda x: jnp.zeros((most + 1,) + jnp.shape(x), jnp.result_type(x)), tree)

        def add_leaf(carry: tuple[Any, ...]) -> tuple[Any, ...]:
            end, stack, count, _, sum_accept_probs, key = carry
            key, join_key = jax.random.split(key)
            state = verlet_update(signed, inverse_mass_matrix, IntegratorState(end[0], end[1], None, end[2]))
            tree = leaf(state)
            sum_accept_probs = sum_accept_probs + tree.sum_accept_probs

            def is_full(carry: tuple[Any, ...]) -> jax.Array:
                tree, level, _ = carry
                return (((count >> level) & 1) == 1) & ~tree.turning & ~tree.diverging

            def carry_over(carry: tuple[Any, ...]) -> tuple[Any, ...]:
                tree, level, key = carry
                key, join_key = jax.random.split(key)
                waiting = jax.tree.map(lambda x: x[level], stack)
                return join(waiting, tree, forwards, False, join_key), level + 1, key

            tree, level, _ = lax.while_loop(is_full, carry_over, (tree, jnp.zeros((), jnp.int32), join_key))
            stack = jax.tree.map(lambda x, y: x.at[level].set(y), stack, tree)
            return (state.z, state.r, state.z_grad), stack, count + 1, tree, sum_accept_probs, key

        def unfinished(carry: tuple[Any, ...]) -> jax.Array:
            _, _, count, branch, _, _ = carry
            return (count < (1 << tree.depth)) & ~branch.turning & ~branch.diverging

        blank = tree._replace(turning=jnp.zeros((), bool), diverging=jnp.zeros((), bool))
        zero = jnp.zeros_like(tree.sum_accept_probs)
        carry = (end, stack, jnp.zeros((), jnp.int32), blank, zero, key)
        _, _, count, branch, sum_accept_probs, _ = lax.while_loop(unfinished, add_leaf, carry)
        return branch._replace(num_proposals=count, sum_accept_probs=sum_accept_probs)

    def double(carry: tuple[TreeInfo, Any]) -> tuple[TreeInfo, Any]:
        tree, key = carry
        key, direction_key, branch_key, join_key = jax.random.split(key, 4)
        forwards = jax.random.bernoulli(direction_key)
        branch = grow(tree, forwards, branch_key)
        joined = join(tree, branch, forwards, True, join_key)
        return joined._replace(depth=tree.depth + 1), key

    tree = leaf(verlet_state)
    zero = jnp.zeros((), tree.sum_accept_probs.dtype)
    tree = tree._replace(sum_accept_probs=zero, num_proposals=jnp.zeros((), jnp.int32))
    tree, _ = lax.while_loop(
        lambda carry: (carry[0].depth < current) & ~carry[0].turning & ~carry[0].diverging, double, (tree, rng_key)
    )
    return tree


def _dot(a: Any, b: Any) -> jax.Array:
    products = [jnp.vdot(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)]
    return jnp.stack(products).sum()


def _choose(condition: Any, a: Any, b: Any) -> Any:
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)

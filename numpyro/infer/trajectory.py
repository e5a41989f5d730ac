# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Trajectories: how many leapfrog steps to take, and which of the visited states to go on from.

A trajectory is written as small parts: ``start`` it, take one leapfrog ``step``, ``merge`` when a branch is complete,
until it is ``done``. :func:`run` composes them with nested loops, which is quickest for one chain; many chains in step
are advanced part by part instead (:mod:`numpyro.infer.chain`).

The no-U-turn trajectory doubles until it turns back. It is built without recursion: of the states of a branch only
those are kept at which an open subtree begins, at most one for each level (Phan, Pradhan and Jankowiak 2019,
*Composable Effects for Flexible and Accelerated Probabilistic Programming in NumPyro*; Lao and Dillon 2019, *Unrolled
implementation of NUTS*).

**References:** Hoffman and Gelman (2014), *The No-U-Turn Sampler*; Betancourt (2017), *A Conceptual Introduction to
Hamiltonian Monte Carlo*, appendix A (multinomial sampling, biased progressive sampling, the generalised criterion).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
from jax import lax
import jax.numpy as jnp

from numpyro.infer.integrator import Point, leapfrog
from numpyro.infer.metric import inner_products
from numpyro.infer.random_words import hashed_uniform

__all__ = ["SEED_WORDS", "HMCTrajectory", "Hamiltonian", "NUTSTrajectory", "Outcome", "Proposal", "run"]

SEED_WORDS = 3
"""Random words that a trajectory needs: two to hash with a counter, one for directions."""

_BRANCH_SIZE = 64


class Hamiltonian(NamedTuple):
    """A Hamiltonian on flat vectors.

    :param potential_and_grad: potential energy and gradient at a position.
    :param kinetic: kinetic energy of a momentum.
    :param velocity: its derivative.
    """

    potential_and_grad: Callable[[jax.Array], tuple[jax.Array, jax.Array]]
    kinetic: Callable[[jax.Array], jax.Array]
    velocity: Callable[[jax.Array], jax.Array]


class Proposal(NamedTuple):
    """The state that the chain goes on from: position, gradient and value of the potential energy, total energy."""

    position: jax.Array
    gradient: jax.Array
    potential_energy: jax.Array
    energy: jax.Array


class Outcome(NamedTuple):
    """What a trajectory yields.

    :param proposal: the next state.
    :param num_steps: number of leapfrog steps.
    :param accept_prob: acceptance probability, averaged over the states of the trajectory.
    :param diverging: whether the energy error exceeded ``max_delta_energy``.
    """

    proposal: Proposal
    num_steps: jax.Array
    accept_prob: jax.Array
    diverging: jax.Array


class Trajectory(Protocol):
    """The parts of a trajectory; the state that they pass on is their own."""

    def start(
        self, hamiltonian: Hamiltonian, point: Point, potential: Any, energy: Any, seed: Any, step_size: Any, limit: Any
    ) -> Any:
        """The trajectory that consists of ``point``. ``limit`` bounds its length: doublings of NUTS, steps of HMC."""

    def step(self, hamiltonian: Hamiltonian, state: Any) -> Any:
        """Take one leapfrog step."""

    def is_complete(self, state: Any) -> jax.Array:
        """Whether the branch in work needs no further step."""

    def merge(self, hamiltonian: Hamiltonian, state: Any) -> Any:
        """Join the complete branch to the trajectory and open the next branch."""

    def is_done(self, state: Any) -> jax.Array:
        """Whether the trajectory is finished; meaningful after :meth:`merge`."""

    def outcome(self, state: Any) -> Outcome:
        """What came of it."""


def run(trajectory: Trajectory, hamiltonian: Hamiltonian, state: Any) -> Outcome:
    """Carry a started trajectory to its end by nested loops around one gradient."""

    def branch(state: Any) -> Any:
        state = lax.while_loop(lambda s: ~trajectory.is_complete(s), lambda s: trajectory.step(hamiltonian, s), state)
        return trajectory.merge(hamiltonian, state)

    state = lax.while_loop(lambda s: ~trajectory.is_done(s), branch, state)
    return trajectory.outcome(state)


class _Branch(NamedTuple):
    """A subtree of NUTS in the making.

    :param end: the state that moves on.
    :param proposal: state drawn from the branch so far, with probability proportional to ``exp(-H)``.
    :param momentum_sum: sum of its momenta.
    :param log_weight: logarithm of the sum of ``exp(initial energy - H)``.
    :param size: number of its states.
    :param checkpoints: for each open subtree: momentum of its first state, sum of momenta up to and with that, momentum
        before that; the last row is scratch.
    """

    end: Point
    proposal: Proposal
    momentum_sum: jax.Array
    log_weight: jax.Array
    size: jax.Array
    turning: jax.Array
    diverging: jax.Array
    checkpoints: jax.Array


class _Tree(NamedTuple):
    """A trajectory of NUTS; ``ends`` stacks its two ends in the order of time."""

    branch: _Branch
    ends: Point
    proposal: Proposal
    momentum_sum: jax.Array
    log_weight: jax.Array
    depth: jax.Array
    num_steps: jax.Array
    sum_accept_probs: jax.Array
    done: jax.Array
    diverging: jax.Array
    initial_energy: jax.Array
    step_size: jax.Array
    seed: jax.Array
    limit: jax.Array


@dataclass(frozen=True)
class NUTSTrajectory:
    """The no-U-turn trajectory.

    A subtree, and the trajectory, end where they turn back: where ``velocity . rho <= 0`` at one of two ends, ``rho``
    being the sum of the momenta between (and at) them. The criterion is applied to each subtree that recursion would
    build, and, as in Stan, to each half of it together with the adjoining state of the other half.

    :param max_tree_depth: bound of the number of doublings.
    :param max_delta_energy: energy error beyond which a trajectory counts as divergent.
    """

    max_tree_depth: int = 10
    max_delta_energy: float = 1000.0

    def start(
        self, hamiltonian: Hamiltonian, point: Point, potential: Any, energy: Any, seed: Any, step_size: Any, limit: Any
    ) -> _Tree:
        zeros = jnp.zeros_like(point.momentum)
        scalar = jnp.zeros((), zeros.dtype)
        proposal = Proposal(point.position, point.gradient, potential, energy)
        checkpoints = jnp.zeros((max(self.max_tree_depth, 2), 3, zeros.size), zeros.dtype)
        false = jnp.zeros((), bool)
        count = jnp.zeros((), jnp.int32)
        nothing = jnp.full_like(scalar, -jnp.inf)
        branch = _Branch(point, proposal, zeros, nothing, count, false, false, checkpoints)
        ends = jax.tree.map(lambda x: jnp.stack([x, x]), point)
        return _Tree(
            branch,
            ends,
            proposal,
            point.momentum,
            scalar,
            count,
            count,
            scalar,
            false,
            false,
            energy,
            step_size,
            seed,
            limit,
        )

    def _direction(self, tree: _Tree) -> jax.Array:
        """0 for backwards, 1 for forwards: one random bit for each doubling."""
        return ((tree.seed[2] >> tree.depth.astype(jnp.uint32)) & 1).astype(jnp.int32)

    def _open_branch(self, tree: _Tree) -> _Tree:
        direction = self._direction(tree)
        end = jax.tree.map(lambda x: lax.dynamic_index_in_dim(x, direction, 0, keepdims=False), tree.ends)
        zeros = jnp.zeros_like(tree.momentum_sum)
        false = jnp.zeros_like(tree.done)
        branch = _Branch(
            end,
            tree.proposal,
            zeros,
            jnp.full_like(tree.log_weight, -jnp.inf),
            jnp.zeros_like(tree.depth),
            false,
            false,
            tree.branch.checkpoints,
        )
        return tree._replace(branch=branch)

    def step(self, hamiltonian: Hamiltonian, tree: _Tree) -> _Tree:
        branch = tree.branch
        step_size = jnp.where(self._direction(tree) == 1, tree.step_size, -tree.step_size)
        end, potential = leapfrog(hamiltonian.potential_and_grad, hamiltonian.velocity, step_size, branch.end)
        energy = potential + hamiltonian.kinetic(end.momentum)
        delta = energy - tree.initial_energy
        delta = jnp.where(jnp.isnan(delta), jnp.inf, delta)
        log_weight = jnp.logaddexp(branch.log_weight, -delta)
        uniform = hashed_uniform(tree.seed, tree.num_steps, energy.dtype)
        new = Proposal(end.position, end.gradient, potential, energy)
        proposal = _choose(uniform < jnp.exp(-delta - log_weight), new, branch.proposal)
        momentum_sum = branch.momentum_sum + end.momentum

        leaf = branch.size
        is_even = (leaf & 1) == 0
        row = jnp.where(is_even, lax.population_count(leaf), branch.checkpoints.shape[0] - 1)
        entry = jnp.stack([end.momentum, momentum_sum, branch.end.momentum])
        checkpoints = lax.dynamic_update_index_in_dim(branch.checkpoints, entry, row, 0)
        turning = self._is_turning(hamiltonian, checkpoints, leaf, end.momentum, momentum_sum)
        branch = _Branch(
            end,
            proposal,
            momentum_sum,
            log_weight,
            leaf + 1,
            turning,
            delta > self.max_delta_energy,
            checkpoints,
        )
        return tree._replace(
            branch=branch,
            num_steps=tree.num_steps + 1,
            sum_accept_probs=tree.sum_accept_probs + jnp.minimum(1.0, jnp.exp(-delta)),
        )

    def _is_turning(
        self, hamiltonian: Hamiltonian, checkpoints: jax.Array, leaf: jax.Array, last: jax.Array, total: jax.Array
    ) -> jax.Array:
        """Whether one of the subtrees that the state with number ``leaf`` completes turns back.

        As many subtrees end at ``leaf`` as its binary number has trailing ones. They begin at the most recent
        checkpoints; where one begins, the second half of the next larger one begins.
        """
        bottom = lax.population_count(leaf & (leaf + 1))
        top = lax.population_count(leaf) - 1

        def body(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            row, _ = state

            def entry(row: jax.Array, part: int) -> jax.Array:
                return lax.dynamic_index_in_dim(checkpoints, row, 0, keepdims=False)[part]

            first, sum_at_first = entry(row, 0), entry(row, 1)
            whole = _any_turns(hamiltonian, (first, last, total - sum_at_first + first))

            # What a branch needs is read within it: handed over, it would be copied.
            def halves() -> jax.Array:
                first, sum_at_first = entry(row, 0), entry(row, 1)
                middle, sum_at_middle, previous = (entry(row + 1, part) for part in range(3))
                left = (first, middle, sum_at_middle - sum_at_first + first)
                return _any_turns(hamiltonian, left, (previous, last, total - sum_at_middle + middle + previous))

            # Half of the subtrees are pairs of states, which have no halves. A branch costs about as much as the
            # arithmetic on vectors of some dozens of elements.
            if last.size < _BRANCH_SIZE:
                return row - 1, whole | ((row < top) & halves())
            return row - 1, whole | lax.cond(row < top, halves, lambda: jnp.zeros((), bool))

        _, turning = lax.while_loop(
            lambda state: (state[0] >= bottom) & ~state[1], body, (top, jnp.zeros_like(leaf, dtype=bool))
        )
        return turning

    def is_complete(self, tree: _Tree) -> jax.Array:
        branch = tree.branch
        return branch.turning | branch.diverging | (branch.size >= (1 << tree.depth))

    def merge(self, hamiltonian: Hamiltonian, tree: _Tree) -> _Tree:
        branch = tree.branch
        direction = self._direction(tree)
        near, far = (
            lax.dynamic_index_in_dim(tree.ends.momentum, index, 0, keepdims=False)
            for index in (direction, 1 - direction)
        )
        first, last = branch.checkpoints[0, 0], branch.end.momentum
        momentum_sum = tree.momentum_sum + branch.momentum_sum
        turning = _any_turns(
            hamiltonian,
            (far, last, momentum_sum),
            (far, first, tree.momentum_sum + first),
            (near, last, branch.momentum_sum + near),
        )
        refused = branch.turning | branch.diverging
        uniform = hashed_uniform(tree.seed, tree.num_steps | (1 << 30), branch.log_weight.dtype)
        accept = ~refused & (uniform < jnp.exp(branch.log_weight - tree.log_weight))
        depth = tree.depth + 1
        tree = tree._replace(
            ends=jax.tree.map(
                lambda ends, end: lax.dynamic_update_index_in_dim(ends, end, direction, 0), tree.ends, branch.end
            ),
            proposal=_choose(accept, branch.proposal, tree.proposal),
            momentum_sum=momentum_sum,
            log_weight=jnp.logaddexp(tree.log_weight, branch.log_weight),
            depth=depth,
            done=refused | turning | (depth >= tree.limit),
            diverging=branch.diverging,
        )
        return self._open_branch(tree)

    def is_done(self, tree: _Tree) -> jax.Array:
        return tree.done

    def outcome(self, tree: _Tree) -> Outcome:
        return Outcome(tree.proposal, tree.num_steps, tree.sum_accept_probs / tree.num_steps, tree.diverging)


class _Path(NamedTuple):
    """A trajectory of HMC."""

    end: Point
    proposal: Proposal
    num_steps: jax.Array
    accept_prob: jax.Array
    done: jax.Array
    diverging: jax.Array
    initial_energy: jax.Array
    potential_energy: jax.Array
    step_size: jax.Array
    seed: jax.Array
    limit: jax.Array


@dataclass(frozen=True)
class HMCTrajectory:
    """A trajectory of fixed length, whose end is accepted or refused as a whole (Neal 2011, section 3.2).

    :param max_delta_energy: energy error beyond which a trajectory counts as divergent.
    """

    max_delta_energy: float = 1000.0

    def start(
        self, hamiltonian: Hamiltonian, point: Point, potential: Any, energy: Any, seed: Any, step_size: Any, limit: Any
    ) -> _Path:
        proposal = Proposal(point.position, point.gradient, potential, energy)
        false = jnp.zeros((), bool)
        count = jnp.zeros((), jnp.int32)
        return _Path(
            point, proposal, count, jnp.zeros_like(energy), false, false, energy, potential, step_size, seed, limit
        )

    def step(self, hamiltonian: Hamiltonian, path: _Path) -> _Path:
        end, potential = leapfrog(hamiltonian.potential_and_grad, hamiltonian.velocity, path.step_size, path.end)
        return path._replace(end=end, potential_energy=potential, num_steps=path.num_steps + 1)

    def is_complete(self, path: _Path) -> jax.Array:
        return path.num_steps >= path.limit

    def merge(self, hamiltonian: Hamiltonian, path: _Path) -> _Path:
        energy = path.potential_energy + hamiltonian.kinetic(path.end.momentum)
        delta = energy - path.initial_energy
        delta = jnp.where(jnp.isnan(delta), jnp.inf, delta)
        accept_prob = jnp.minimum(1.0, jnp.exp(-delta))
        accept = hashed_uniform(path.seed, path.num_steps, energy.dtype) < accept_prob
        new = Proposal(path.end.position, path.end.gradient, path.potential_energy, energy)
        return path._replace(
            proposal=_choose(accept, new, path.proposal),
            accept_prob=accept_prob,
            done=jnp.ones_like(path.done),
            diverging=delta > self.max_delta_energy,
        )

    def is_done(self, path: _Path) -> jax.Array:
        return path.done

    def outcome(self, path: _Path) -> Outcome:
        return Outcome(path.proposal, path.num_steps, path.accept_prob, path.diverging)


def _any_turns(hamiltonian: Hamiltonian, *spans: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
    """The generalised no-U-turn criterion (Betancourt 2017, eq. 4 of appendix A.4.2), for any of some spans.

    A span is given by its first and its last momentum and ``rho``, the sum of all of its momenta.
    """
    pairs = [(hamiltonian.velocity(end), rho) for first, last, rho in spans for end in (first, last)]
    return jnp.any(inner_products(pairs) <= 0)


def _choose(condition: jax.Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)

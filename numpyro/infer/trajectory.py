# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Trajectories: how many leapfrog steps to take, and which of the visited states to go on from.

A trajectory is written as small parts: ``start`` it, take one leapfrog ``step``, ``merge`` when a branch is complete,
until it is ``done``. :func:`run` composes them with nested loops, which is quickest for one chain; many chains in step
are advanced part by part instead (:mod:`numpyro.infer.chains`).

The no-U-turn trajectory doubles until it turns back. It is built without recursion: of the states of a branch only
those are kept at which an open subtree begins, at most one for each level (Phan, Pradhan and Jankowiak 2019,
*Composable Effects for Flexible and Accelerated Probabilistic Programming in NumPyro*; Lao and Dillon 2019, *Unrolled
implementation of NUTS*).

**References:** Hoffman and Gelman (2014), *The No-U-Turn Sampler*; Betancourt (2017), *A Conceptual Introduction to
Hamiltonian Monte Carlo*, appendix A (multinomial sampling, biased progressive sampling, the generalised criterion).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from numpyro.infer.integrator import Hamiltonian, Point, leapfrog
from numpyro.infer.random_words import hashed_uniform
from numpyro.infer.termination import TURNED, Rows, any_turns, last_pair, subtrees_turn, with_row

__all__ = ["SEED_WORDS", "HMCTrajectory", "NUTSTrajectory", "Outcome", "Proposal", "run"]

SEED_WORDS = 3
"""Random words that a trajectory needs: two to hash with a counter, one for directions."""


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
        self,
        hamiltonian: Hamiltonian,
        point: Point,
        potential: Any,
        energy: Any,
        seed: Any,
        step_size: Any,
        limit: Any,
        earlier: Any = None,
    ) -> Any:
        """The trajectory that consists of ``point``. ``limit`` bounds its length: doublings of NUTS, steps of HMC.
        ``earlier`` may be a finished trajectory, whose memory is used again."""

    def step(self, hamiltonian: Hamiltonian, state: Any, moves: jax.Array | None = None) -> Any:
        """Take one leapfrog step, unless ``moves`` is false."""

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


_LOG_WEIGHT, _POTENTIAL, _ENERGY, _ERROR, _ACCEPT, _KINETIC = range(6)
_MOMENTUM = Point._fields.index("momentum")


class _Branch(NamedTuple):
    """A subtree of NUTS in the making.

    Each operation of the compiled step costs some tenths of a microsecond, whatever its size; so the scalars are kept
    in one vector.

    :param end: the state that moves on.
    :param proposal: position and gradient of the proposal, a state drawn from the branch so far with probability
        proportional to ``exp(-H)``.
    :param momentum_sum: sum of the momenta of the branch.
    :param scalars: logarithm of the sum of ``exp(initial energy - H)``, potential and total energy of the proposal,
        energy error of the last state, sum of the acceptance probabilities of the whole trajectory, kinetic energy of
        the last state.
    :param size: number of its states.
    :param found: what the search for a subtree that turns back ended with: ``TURNED`` if it found one.
    :param checkpoints: for each open subtree, as rows: momentum of its first state, sum of momenta up to and with that,
        momentum before that; the last row is scratch.
    """

    end: Point
    proposal: jax.Array
    momentum_sum: jax.Array
    scalars: jax.Array
    size: jax.Array
    found: jax.Array
    checkpoints: Rows


class _Tree(NamedTuple):
    """A trajectory of NUTS.

    ``ends`` stacks its two ends in the order of time, of each position, momentum and gradient. ``num_steps`` leaves out
    the branch that is open.
    """

    branch: _Branch
    ends: jax.Array
    proposal: jax.Array
    momentum_sum: jax.Array
    scalars: jax.Array
    depth: jax.Array
    num_steps: jax.Array
    done: jax.Array
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
        self,
        hamiltonian: Hamiltonian,
        point: Point,
        potential: Any,
        energy: Any,
        seed: Any,
        step_size: Any,
        limit: Any,
        earlier: Any = None,
    ) -> _Tree:
        zeros, zero = jnp.zeros_like(point.momentum), jnp.zeros_like(energy)
        # A row is written before it is read.
        checkpoints = Rows.empty(max(self.max_tree_depth, 2), zeros) if earlier is None else earlier.branch.checkpoints
        count = jnp.zeros((), jnp.int32)
        scalars = jnp.stack([zero, potential, energy, zero, zero, zero])
        proposal, end = jnp.stack([point.position, point.gradient]), jnp.stack(point)
        branch = _Branch(point, proposal, zeros, scalars.at[_LOG_WEIGHT].set(-jnp.inf), count, count, checkpoints)
        ends, done = jnp.stack([end, end]), jnp.zeros((), bool)
        return _Tree(
            branch, ends, proposal, point.momentum, scalars, count, count, done, energy, step_size, seed, limit
        )

    def _direction(self, tree: _Tree) -> jax.Array:
        """0 for backwards, 1 for forwards: one random bit for each doubling."""
        return ((tree.seed[2] >> tree.depth.astype(jnp.uint32)) & 1).astype(jnp.int32)

    def _open_branch(self, tree: _Tree) -> _Tree:
        direction = self._direction(tree)
        end = Point(*lax.dynamic_index_in_dim(tree.ends, direction, 0, keepdims=False))
        count = jnp.zeros_like(tree.depth)
        branch = _Branch(
            end,
            tree.proposal,
            jnp.zeros_like(tree.momentum_sum),
            tree.scalars.at[_LOG_WEIGHT].set(-jnp.inf),
            count,
            count,
            tree.branch.checkpoints,
        )
        return tree._replace(branch=branch)

    def step(self, hamiltonian: Hamiltonian, tree: _Tree, moves: jax.Array | None = None) -> _Tree:
        branch = tree.branch
        step_size = jnp.where(self._direction(tree) == 1, tree.step_size, -tree.step_size)
        end, potential = leapfrog(hamiltonian.potential_and_grad, hamiltonian.velocity, step_size, branch.end)
        previous, last = branch.end.momentum, end.momentum
        kinetic, pair_turns = last_pair(hamiltonian, previous, last, branch.scalars[_KINETIC])
        energy = potential + kinetic
        error = energy - tree.initial_energy
        error = jnp.where(jnp.isnan(error), jnp.inf, error)
        log_weight = jnp.logaddexp(branch.scalars[_LOG_WEIGHT], -error)
        uniform = hashed_uniform(tree.seed, tree.num_steps + branch.size, energy.dtype)
        accept = uniform < jnp.exp(-error - log_weight)
        proposal, potential, energy = _choose(
            accept,
            (jnp.stack([end.position, end.gradient]), potential, energy),
            (branch.proposal, branch.scalars[_POTENTIAL], branch.scalars[_ENERGY]),
        )
        accept_probs = branch.scalars[_ACCEPT] + jnp.minimum(1.0, jnp.exp(-error))
        scalars = jnp.stack([log_weight, potential, energy, error, accept_probs, kinetic])
        momentum_sum = branch.momentum_sum + last

        leaf = branch.size
        is_even = (leaf & 1) == 0
        if moves is not None:
            is_even, pair_turns = is_even & moves, pair_turns & moves
        row = jnp.where(is_even, lax.population_count(leaf), branch.checkpoints.num_rows - 1)
        checkpoints = branch.checkpoints.replaced(row, last, momentum_sum, previous)
        level = jnp.where(is_even, 0, jnp.where(pair_turns, TURNED, 1))
        if moves is not None:
            level = jnp.where(moves, level, 0)
        found = subtrees_turn(hamiltonian, checkpoints, leaf, last, momentum_sum, level)
        after = end, proposal, momentum_sum, scalars, leaf + 1, found
        if moves is not None:
            # The rows can stay as they are: where nothing moves, the scratch row was written.
            after = _choose(moves, after, branch[:-1])
        branch = _Branch(*after, checkpoints)
        return tree._replace(branch=branch)

    def _is_refused(self, branch: _Branch) -> jax.Array:
        """Whether the branch turns back or diverges."""
        return (branch.found == TURNED) | (branch.scalars[_ERROR] > self.max_delta_energy)

    def is_complete(self, tree: _Tree) -> jax.Array:
        branch = tree.branch
        return self._is_refused(branch) | (branch.size >= (1 << tree.depth))

    def merge(self, hamiltonian: Hamiltonian, tree: _Tree) -> _Tree:
        branch = tree.branch
        direction = self._direction(tree)
        near, far = (
            lax.dynamic_index_in_dim(tree.ends[:, _MOMENTUM], index, 0, keepdims=False)
            for index in (direction, 1 - direction)
        )
        first, last = branch.checkpoints.entry(np.int32(0), 0), branch.end.momentum
        momentum_sum = tree.momentum_sum + branch.momentum_sum
        turning = any_turns(
            hamiltonian,
            (far, last, momentum_sum),
            (far, first, tree.momentum_sum + first),
            (near, last, branch.momentum_sum + near),
        )
        refused = self._is_refused(branch)
        num_steps = tree.num_steps + branch.size
        log_weight, branch_log_weight = tree.scalars[_LOG_WEIGHT], branch.scalars[_LOG_WEIGHT]
        uniform = hashed_uniform(tree.seed, num_steps | (1 << 30), log_weight.dtype)
        accept = ~refused & (uniform < jnp.exp(branch_log_weight - log_weight))
        depth = tree.depth + 1
        proposal, potential, energy = _choose(
            accept,
            (branch.proposal, branch.scalars[_POTENTIAL], branch.scalars[_ENERGY]),
            (tree.proposal, tree.scalars[_POTENTIAL], tree.scalars[_ENERGY]),
        )
        log_weight = jnp.logaddexp(log_weight, branch_log_weight)
        tree = tree._replace(
            ends=with_row(tree.ends, jnp.stack(branch.end), direction),
            proposal=proposal,
            momentum_sum=momentum_sum,
            scalars=jnp.stack([log_weight, potential, energy, *branch.scalars[_ERROR:]]),
            depth=depth,
            num_steps=num_steps,
            done=refused | turning | (depth >= tree.limit),
        )
        return self._open_branch(tree)

    def is_done(self, tree: _Tree) -> jax.Array:
        return tree.done

    def outcome(self, tree: _Tree) -> Outcome:
        scalars = tree.scalars
        proposal = Proposal(tree.proposal[0], tree.proposal[1], scalars[_POTENTIAL], scalars[_ENERGY])
        diverging = scalars[_ERROR] > self.max_delta_energy
        return Outcome(proposal, tree.num_steps, scalars[_ACCEPT] / tree.num_steps, diverging)


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
        self,
        hamiltonian: Hamiltonian,
        point: Point,
        potential: Any,
        energy: Any,
        seed: Any,
        step_size: Any,
        limit: Any,
        earlier: Any = None,
    ) -> _Path:
        proposal = Proposal(point.position, point.gradient, potential, energy)
        false = jnp.zeros((), bool)
        count = jnp.zeros((), jnp.int32)
        return _Path(
            point, proposal, count, jnp.zeros_like(energy), false, false, energy, potential, step_size, seed, limit
        )

    def step(self, hamiltonian: Hamiltonian, path: _Path, moves: jax.Array | None = None) -> _Path:
        end, potential = leapfrog(hamiltonian.potential_and_grad, hamiltonian.velocity, path.step_size, path.end)
        after = path._replace(end=end, potential_energy=potential, num_steps=path.num_steps + 1)
        return after if moves is None else _choose(moves, after, path)

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


def _choose(condition: jax.Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)

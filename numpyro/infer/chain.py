# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Chains of Hamiltonian Monte Carlo as one compiled loop.

Each turn of the loop runs one trajectory. A chain's *phase* says what the trajectory is for, so that the compiled
program holds the gradient of the potential energy once:

- ``SEARCH``: draw a candidate for the start; a trajectory of step size 0 evaluates the potential energy and the
  gradient there.
- ``GIVEN``: the same for a start that the user gave.
- ``RESUME``: go on from an earlier run's state, with a new random key; its potential energy is evaluated anew, since
  the model's arguments may have changed.
- ``STEP_SIZE``: try a step size with one leapfrog step.
- ``RUN``: draw.

A turn is made of small functions. One chain composes them with real branches and nested loops here; many chains are
advanced together by :mod:`numpyro.infer.chains`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from operator import attrgetter
from typing import Any, NamedTuple

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from numpyro.infer.initialization import MAX_ATTEMPTS
from numpyro.infer.integrator import Hamiltonian, Point
from numpyro.infer.metric import FlatSpace, are_finite, multiply, squared_norm
from numpyro.infer.packing import Packing, packed_cond, packed_while_loop
from numpyro.infer.random_words import derived_key, next_words, normal, uniform
from numpyro.infer.trajectory import SEED_WORDS, Outcome, Trajectory, run
from numpyro.infer.warmup import BaseAdaptation

__all__ = [
    "FAILED",
    "GIVEN",
    "RESUME",
    "RUN",
    "SEARCH",
    "Chain",
    "HMCState",
    "Sampler",
    "strongly_typed",
    "where",
]

SEARCH, GIVEN, RESUME, STEP_SIZE, RUN, FAILED = range(6)

_MOST_STEPS = 2**14, 2**30
"""Bound of the number of steps of an HMC trajectory of given length: while the step size adapts, and else. A start
where only very small steps are accepted would otherwise be left after hours, and with the first of them larger steps
come."""

_ANY_FINITE = 1e30
"""Initial energy of an evaluation: whatever finite energy the trajectory finds is less, so its state is accepted."""


class HMCState(NamedTuple):
    """State of HMC and NUTS.

    :param i: number of iterations so far, warm-up included.
    :param z: parameters in unconstrained space.
    :param z_grad: gradient of the potential energy at ``z``.
    :param potential_energy: potential energy at ``z``.
    :param energy: potential and kinetic energy when ``z`` was reached.
    :param r: momentum; None unless a kernel that is built upon this one keeps it.
    :param trajectory_length: length of an HMC trajectory; None for NUTS.
    :param num_steps: number of leapfrog steps of the last trajectory.
    :param accept_prob: its acceptance probability; for NUTS averaged over its states.
    :param mean_accept_prob: average of these so far, in warm-up and in sampling each by itself.
    :param diverging: whether the energy error of the last trajectory was too large.
    :param adapt_state: :class:`~numpyro.infer.hmc_util.HMCAdaptState`.
    :param rng_key: random key of the next iteration.
    """

    i: Any
    z: Any
    z_grad: Any
    potential_energy: Any
    energy: Any
    r: Any
    trajectory_length: Any
    num_steps: Any
    accept_prob: Any
    mean_accept_prob: Any
    diverging: Any
    adapt_state: Any
    rng_key: Any


class Chain(NamedTuple):
    """What the loop carries for a chain.

    :param state: :class:`HMCState` with flat vectors.
    :param phase: what the next trajectory is for.
    :param attempts: number of starts that were refused.
    :param direction: which way the step-size search goes.
    :param number: number of the chain.
    :param run_key: random key of the run, the same for all chains.
    """

    state: HMCState
    phase: Any
    attempts: Any
    direction: Any
    number: Any
    run_key: Any


@dataclass(frozen=True, eq=False)
class Sampler:
    """The parts of a turn, as pure functions of a :class:`Chain` and the model's arrays.

    :param space: flat coordinates of the parameters.
    :param adaptation: what happens in warm-up.
    :param trajectory: NUTS's or HMC's.
    :param potential_and_grad: ``f(z, arrays)`` for a flat vector ``z``; given a linear map too, it applies that to the
        gradient.
    :param starts: how to draw a candidate: ``f(key, arrays)``, or a radius within which it is uniform; None if starts
        must be given.
    :param step_size: initial step size.
    :param inverse_mass_matrix: initial inverse mass matrix, or None for the identity.
    :param limits: bounds of a trajectory in warm-up and after: doublings for NUTS; for HMC, number of steps, or None to
        take it from ``trajectory_length``.
    :param find_step_size: whether to search for a first step size.
    :param kinetic_fn: user's kinetic energy, or None for the Euclidean one.
    """

    space: FlatSpace
    adaptation: BaseAdaptation
    trajectory: Trajectory
    potential_and_grad: Callable[..., tuple[jax.Array, jax.Array]]
    starts: Callable[..., jax.Array] | float | None
    step_size: float
    inverse_mass_matrix: Any
    limits: tuple[int, int] | None
    trajectory_length: float | None
    find_step_size: bool
    kinetic_fn: Callable[..., Any] | None

    def initial_state(self, rng_key: Any = None) -> HMCState:
        """The state before anything is known of the potential energy, in arrays of NumPy."""
        dtype = self.space.dtype
        vector, zero, count = np.zeros(self.space.size, dtype), np.zeros((), dtype), np.zeros((), np.int32)
        return HMCState(
            i=count,
            z=vector,
            z_grad=vector,
            potential_energy=np.full((), np.inf, dtype),
            energy=zero,
            r=None,
            trajectory_length=None if self.trajectory_length is None else np.asarray(self.trajectory_length, dtype),
            num_steps=count,
            accept_prob=zero,
            mean_accept_prob=zero,
            diverging=np.zeros((), bool),
            adapt_state=self.adaptation.init(self.step_size, self.inverse_mass_matrix, rng_key),
            rng_key=rng_key,
        )

    def unravel(self, state: HMCState) -> HMCState:
        """The state as users see it."""
        return state._replace(z=self.space.unravel(state.z), z_grad=self.space.unravel(state.z_grad))

    def ravel(self, state: HMCState) -> HMCState:
        """Inverse of :meth:`unravel`."""
        return state._replace(z=self.space.ravel(state.z), z_grad=self.space.ravel(state.z_grad))

    # The parts of a turn

    def prepare(self, chain: Chain, arrays: Any) -> Chain:
        """Make a chain's own random key and, in ``SEARCH``, a candidate; uniform ones are left to :meth:`propose`."""
        number = chain.number * (MAX_ATTEMPTS + 1) + chain.attempts
        own_key = derived_key(chain.run_key, number)
        position = chain.state.z
        if callable(self.starts):
            draw = partial(self.starts, derived_key(chain.run_key, ~number), arrays)
            position = lax.cond(chain.phase == SEARCH, draw, lambda: chain.state.z)
        adapt_state = chain.state.adapt_state._replace(rng_key=own_key)
        return chain._replace(state=chain.state._replace(z=position, adapt_state=adapt_state, rng_key=own_key))

    def is_unprepared(self, chain: Chain) -> jax.Array:
        return chain.phase < STEP_SIZE

    def is_active(self, chain: Chain, stop: Any) -> jax.Array:
        """Whether the chain has something to do before iteration ``stop``."""
        return (chain.phase < RUN) | ((chain.phase == RUN) & (chain.state.i < stop))

    def position(self, state: HMCState, y: jax.Array) -> jax.Array:
        """The position whose coordinates in :meth:`hamiltonian` are ``y``."""
        if self.kinetic_fn is not None:
            return state.z + y
        return state.z + multiply(self.space, state.adapt_state.mass_matrix_sqrt_inv, y, transpose=True)

    def hamiltonian(self, state: HMCState, arrays: Any) -> Hamiltonian:
        """The Hamiltonian in whitened coordinates relative to ``z``; with a user's kinetic energy, in plain ones."""
        space, adapt_state = self.space, state.adapt_state
        sqrt_inv = adapt_state.mass_matrix_sqrt_inv

        kinetic_fn = self.kinetic_fn
        if kinetic_fn is None:

            def potential_and_grad(y: jax.Array) -> tuple[jax.Array, jax.Array]:
                return self.potential_and_grad(
                    self.position(state, y), arrays, lambda gradient: multiply(space, sqrt_inv, gradient)
                )

            return Hamiltonian(potential_and_grad, lambda p: 0.5 * squared_norm(p), lambda p: p, is_euclidean=True)

        def kinetic(r: jax.Array) -> jax.Array:
            return kinetic_fn(adapt_state.inverse_mass_matrix, space.unravel(r))

        return Hamiltonian(lambda y: self.potential_and_grad(state.z + y, arrays), kinetic, jax.grad(kinetic))

    def propose(self, chain: Chain) -> tuple[Chain, dict[str, Any]]:
        """Draw all the random numbers of a turn, and from them what a trajectory starts with."""
        state = chain.state
        key, words = next_words(state.rng_key, self.space.size + SEED_WORDS)
        evaluates = chain.phase < STEP_SIZE
        # What a branch gives lies in memory: the random numbers are not made anew wherever they are used.
        position, momentum, gradient, seed = lax.cond(evaluates, self._resting, self._moving, words, chain)
        start = {
            "point": Point(jnp.zeros_like(momentum), momentum, gradient),
            "potential": jnp.where(evaluates, jnp.inf, state.potential_energy),
            "seed": seed,
            "step_size": jnp.where(evaluates, 0, state.adapt_state.step_size),
            "limit": self._limit(chain),
        }
        return chain._replace(state=state._replace(z=position, rng_key=key)), start

    def _resting(self, words: jax.Array, chain: Chain) -> tuple[jax.Array, ...]:
        """The position to be evaluated, a momentum and a gradient of zero, and words for the trajectory."""
        position = chain.state.z
        if isinstance(self.starts, float):
            candidate = self.starts * (2 * uniform(words[SEED_WORDS:], self.space.dtype) - 1)
            position = jnp.where(chain.phase == SEARCH, candidate, position)
        return position, jnp.zeros_like(position), jnp.zeros_like(position), words[:SEED_WORDS]

    def _moving(self, words: jax.Array, chain: Chain) -> tuple[jax.Array, ...]:
        """The position, a random momentum, the gradient at the start in the coordinates of :meth:`hamiltonian`, and
        words for the trajectory."""
        state, adapt_state = chain.state, chain.state.adapt_state
        momentum, gradient = normal(words[SEED_WORDS:], self.space.dtype), state.z_grad
        if self.kinetic_fn is None:
            gradient = multiply(self.space, adapt_state.mass_matrix_sqrt_inv, gradient)
        else:
            momentum = multiply(self.space, adapt_state.mass_matrix_sqrt, momentum)
        return state.z, momentum, gradient, words[:SEED_WORDS]

    def _limit(self, chain: Chain) -> jax.Array:
        state = chain.state
        if self.limits is not None:
            limit = jnp.where(state.i < self.adaptation.num_steps, *self.limits)
        else:
            steps = jnp.ceil(state.trajectory_length / state.adapt_state.step_size)
            adaptation, (few, many) = self.adaptation, _MOST_STEPS
            most = jnp.where(state.i < adaptation.num_steps, few, many) if adaptation.adapt_step_size else many
            limit = jnp.clip(steps, 1, most).astype(jnp.int32)
        return jnp.where(chain.phase < RUN, 1, limit).astype(jnp.int32)

    def start(self, chain: Chain, start: dict[str, Any], arrays: Any, earlier: Any = None) -> Any:
        """Start a trajectory; in the memory of an earlier one, if given."""
        hamiltonian = self.hamiltonian(chain.state, arrays)
        energy = self.initial_energy(chain, start, hamiltonian)
        return self.trajectory.start(hamiltonian, energy=energy, earlier=earlier, **start)

    def initial_energy(self, chain: Chain, start: dict[str, Any], hamiltonian: Hamiltonian) -> jax.Array:
        """Energy at the start of a trajectory."""
        energy = start["potential"] + hamiltonian.kinetic(start["point"].momentum)
        return jnp.where(chain.phase < STEP_SIZE, jnp.asarray(_ANY_FINITE, energy.dtype), energy)

    def travel(self, chain: Chain, start: dict[str, Any], arrays: Any) -> Outcome:
        """Start a trajectory and carry it to its end."""
        hamiltonian = self.hamiltonian(chain.state, arrays)
        return run(self.trajectory, hamiltonian, self.start(chain, start, arrays))

    def settle(self, chain: Chain, outcome: Outcome) -> Chain:
        """Move to the proposal and note what came of the trajectory."""
        state, proposal = chain.state, outcome.proposal
        runs = chain.phase == RUN
        sampling = state.i >= self.adaptation.num_steps
        count = jnp.where(sampling, state.i - self.adaptation.num_steps, state.i) + 1
        mean = jnp.where(count == 1, 0, state.mean_accept_prob)
        mean = mean + (outcome.accept_prob - mean) / count
        adapt_state = state.adapt_state
        position, gradient = proposal.position, proposal.gradient
        if self.kinetic_fn is None:
            position = multiply(self.space, adapt_state.mass_matrix_sqrt_inv, position, transpose=True)
            gradient = multiply(self.space, adapt_state.mass_matrix_sqrt, gradient)
        position = state.z + position
        is_valid = jnp.isfinite(proposal.potential_energy) & are_finite(gradient)
        resumes = chain.phase == RESUME
        ready = jnp.where(resumes, RUN, STEP_SIZE if self.find_step_size else RUN)
        refused = jnp.where((chain.phase == SEARCH) & (chain.attempts < MAX_ATTEMPTS - 1), SEARCH, FAILED)
        phase = jnp.where(runs, RUN, jnp.where(is_valid, ready, refused)).astype(jnp.int32)
        if self.adaptation.num_steps > 0:
            begins = (chain.phase == SEARCH) | (chain.phase == GIVEN)
            begun = self.adaptation.begin(gradient, adapt_state)
            adapt_state = jax.tree.map(lambda a, b: a if a is b else where(begins, a, b), begun, adapt_state)
        moved = state._replace(
            i=state.i + runs,
            z=position,
            z_grad=gradient,
            potential_energy=proposal.potential_energy,
            energy=proposal.energy,
            num_steps=jnp.where(runs, outcome.num_steps, 0),
            accept_prob=jnp.where(runs, outcome.accept_prob, 0),
            adapt_state=adapt_state,
            mean_accept_prob=jnp.where(runs, mean, jnp.where(resumes, state.mean_accept_prob, 0)),
            diverging=runs & outcome.diverging,
        )
        settled = chain._replace(state=moved, phase=phase, attempts=chain.attempts + (chain.phase == SEARCH))
        if self.find_step_size:
            searches = chain.phase == STEP_SIZE
            tried = self._try_step_size(chain, outcome.accept_prob)
            settled = jax.tree.map(lambda a, b: where(searches, a, b), tried, settled)
        return settled

    def _try_step_size(self, chain: Chain, accept_prob: jax.Array) -> Chain:
        """Double or halve the step size until the acceptance probability crosses 0.8."""
        direction = jnp.where(accept_prob > 0.8, 1, -1).astype(jnp.int32)
        step_size = chain.state.adapt_state.step_size
        limits = jnp.finfo(step_size.dtype)
        inside = (step_size > 4 * limits.tiny) & (step_size < limits.max / 4)
        goes_on = ((chain.direction == 0) | (chain.direction == direction)) & inside
        step_size = jnp.where(goes_on, step_size * 2.0**direction, step_size)
        adapt_state = chain.state.adapt_state._replace(step_size=step_size)
        if self.adaptation.adapt_step_size:
            adapt_state = self.adaptation.restart_step_size(adapt_state)
        return chain._replace(
            state=chain.state._replace(adapt_state=adapt_state),
            phase=jnp.where(goes_on, STEP_SIZE, RUN).astype(jnp.int32),
            direction=jnp.where(goes_on, direction, 0),
        )

    def adapts(self, before: Chain) -> jax.Array:
        """Whether the turn that begins with ``before`` is an iteration of warm-up."""
        return (before.phase == RUN) & (before.state.i < self.adaptation.num_steps)

    def adapt(self, chain: Chain) -> Chain:
        """Take an iteration of warm-up in."""
        state = chain.state
        adapt_state = self.adaptation.update(state.i - 1, state.accept_prob, state.z, state.adapt_state, state.z_grad)
        return chain._replace(state=state._replace(adapt_state=adapt_state))

    def renew(self, chain: Chain) -> Chain:
        """Renew the mass matrix at the end of a window."""
        adapt_state = self.adaptation.renew(chain.state.adapt_state)
        phase = jnp.full_like(chain.phase, STEP_SIZE if self.find_step_size else RUN)
        return chain._replace(state=chain.state._replace(adapt_state=adapt_state), phase=phase)

    # Compositions

    def turn(self, chain: Chain, arrays: Any) -> Chain:
        """One turn of a single chain."""
        chain = packed_cond(self.is_unprepared(chain), lambda c: self.prepare(c, arrays), lambda c: c, chain)
        return self._turn(chain, arrays)

    def _turn(self, chain: Chain, arrays: Any) -> Chain:
        before, start = self.propose(chain)
        return self.learn(before, self.settle(before, self.travel(before, start, arrays)))

    def learn(self, before: Chain, settled: Chain) -> Chain:
        """Adapt after the turn of a single chain."""
        if self.adaptation.num_steps == 0:
            return settled

        def adapt(chain: Chain) -> Chain:
            adapted = self.adapt(chain)
            if not self.adaptation.renews:
                return adapted
            ends = self.adaptation.ends_window(chain.state.adapt_state, adapted.state.adapt_state)
            return packed_cond(ends, self.renew, lambda c: c, adapted)

        return packed_cond(self.adapts(before), adapt, lambda c: c, settled)

    def transition(self, state: HMCState, arrays: Any, stale: jax.Array | None = None) -> HMCState:
        """One iteration of a chain that runs.

        :param stale: whether the arrays have changed since ``state`` was made, so that its potential energy must be
            evaluated anew; None if not.
        """
        zero = jnp.zeros((), jnp.int32)
        phase = jnp.full((), RUN, jnp.int32)
        if stale is not None:
            stale = stale | ~jnp.isfinite(state.potential_energy) | (state.i == 0)
            phase = jnp.where(stale, jnp.where(state.i == 0, GIVEN, RESUME), RUN).astype(jnp.int32)
        chain = Chain(state, phase, zero, zero, zero, state.rng_key)
        if stale is None and not self.find_step_size:
            return self._turn(chain, arrays).state
        final = lax.while_loop(
            lambda c: ((c.state.i == state.i) | (c.phase == STEP_SIZE)) & (c.phase != FAILED),
            lambda c: self._turn(c, arrays),
            chain,
        )
        if stale is None:
            return final.state
        # The density is zero there, or has no gradient: the chain waits for other arrays.
        waits = final.phase == FAILED
        waiting = state._replace(i=state.i + 1, potential_energy=final.state.potential_energy, diverging=waits)
        waiting = waiting._replace(rng_key=final.state.rng_key)
        return jax.tree.map(lambda a, b: where(waits, a, b), waiting, final.state)

    def advance(
        self, chain: Chain, draws: dict[str, Any], arrays: Any, stop: Any, first: Any, thinning: Any
    ) -> tuple[Chain, dict[str, Any]]:
        """Run one chain up to iteration ``stop``.

        :param chain: where it stands.
        :param draws: buffers by field name, with the draws along their first axis. The last of every ``thinning``
            iterations from iteration ``first`` on is kept.
        :returns: the chain and the buffers.
        """

        def body(carry: tuple[Chain, dict[str, Any]]) -> tuple[Chain, dict[str, Any]]:
            chain, draws = carry
            chain = self.turn(chain, arrays)
            row = lax.div(jnp.maximum(chain.state.i - 1 - first, 0), thinning)
            draws = {
                name: jax.tree.map(
                    lambda buffer, value: lax.dynamic_update_index_in_dim(buffer, value, row, 0),
                    buffer,
                    attrgetter(name.removeprefix("."))(chain.state),
                )
                for name, buffer in draws.items()
            }
            return chain, draws

        return strongly_typed(packed_while_loop(lambda carry: self.is_active(carry[0], stop), body, (chain, draws)))

    @cached_property
    def packing(self) -> Packing:
        """How the scalars of a chain stand in vectors."""
        key, count = np.zeros(2, np.uint32), np.zeros((), np.int32)
        return Packing(Chain(self.initial_state(key), count, count, count, count, key))

    def advance_packed(self, packed: list[Any], draws: dict[str, Any], *rest: Any) -> tuple[list[Any], dict[str, Any]]:
        """:meth:`advance` for a packed chain."""
        chain, draws = self.advance(self.packing.unpack(packed), draws, *rest)
        return self.packing.pack(chain), draws


def strongly_typed(tree: Any) -> Any:
    """The same values with types that do not depend on how they were made: what comes out of the compiled loop goes
    into it again, and a weakly typed scalar would have it compiled anew."""

    def strong(x: Any) -> Any:
        return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else lax.convert_element_type(x, x.dtype)

    return jax.tree.map(strong, tree)


def where(condition: jax.Array, a: Any, b: Any) -> Any:
    """``jnp.where`` along leading axes, for random keys too."""
    rank = max(jnp.ndim(a), jnp.ndim(b))
    condition = jnp.reshape(condition, jnp.shape(condition) + (1,) * (rank - jnp.ndim(condition)))
    return jnp.where(condition, a, b)

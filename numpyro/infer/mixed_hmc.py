# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Mixed Hamiltonian Monte Carlo: updates of discrete sites within the trajectory of the continuous ones."""

from __future__ import annotations

from collections.abc import Callable
import copy
from functools import partial
from typing import Any, NamedTuple

import jax
from jax import lax
import jax.numpy as jnp

from numpyro.infer.arguments import partition
from numpyro.infer.chain import FAILED, GIVEN, RUN, STEP_SIZE, Chain, strongly_typed
from numpyro.infer.conditioning import with_conditioning
from numpyro.infer.discrete import DiscreteTarget
from numpyro.infer.gibbs import DiscreteGibbsState, GibbsState
from numpyro.infer.hmc import HMC, NUTS, HMCProgram
from numpyro.infer.hmc_gibbs import DiscreteHMCGibbs
from numpyro.infer.kernel import MCMCKernel
from numpyro.infer.programs import programs_of, settings_of
from numpyro.infer.random_words import below, derived_key, exponential, hashed_uniform, next_words
from numpyro.infer.trajectory import Outcome, Proposal

__all__ = ["MixedHMC", "MixedHMCState"]

_MAX_DELTA_ENERGY = 1000.0


class MixedHMCState(NamedTuple):
    """State of :class:`MixedHMC`.

    :param z: values of the latent sites, continuous ones in unconstrained space.
    :param hmc_state: :class:`~numpyro.infer.hmc.HMCState` of the continuous sites.
    :param rng_key: random key of the next iteration.
    :param accept_prob: acceptance probability of the last trajectory.
    """

    z: Any
    hmc_state: Any
    rng_key: Any
    accept_prob: Any

    @property
    def diverging(self) -> Any:
        """Whether the energy error of the last trajectory was too large."""
        return self.hmc_state.diverging


class _Motion(NamedTuple):
    """A trajectory under way.

    :param position: position and momentum of the continuous sites, relative to the start and whitened.
    :param gradient: potential energy and its gradient, as last evaluated.
    :param steps: number of leapfrog steps.
    :param energies: kinetic energies of the discrete elements.
    :param gained: sum of the changes of potential energy by updates of discrete elements.
    """

    position: Any
    momentum: Any
    potential_energy: Any
    gradient: Any
    steps: Any
    discrete: Any
    energies: Any
    gained: Any


class MixedHMC(MCMCKernel):
    r"""HMC whose trajectories are interrupted by updates of the discrete sites.

    Each discrete element has a kinetic energy, drawn from Exponential(1) at the start of a trajectory (that of a
    momentum with Laplace distribution). At ``num_discrete_updates`` random times in the trajectory an element's new
    value :math:`\tilde x` is proposed. It is accepted if the element's kinetic energy exceeds

    .. math:: \Delta E = \log \frac{\pi(x) Q(\tilde x \mid x)}{\pi(\tilde x) Q(x \mid \tilde x)},

    which it then loses. So the total energy is kept exactly by the discrete updates, and the end of the trajectory is
    accepted or refused by the energy error of the leapfrog steps alone. Elements are visited in a random order, again
    and again. In contrast to :class:`~numpyro.infer.hmc_gibbs.DiscreteHMCGibbs`, continuous and discrete sites move
    together: a trajectory may pass between modes through values of the discrete sites that are unlikely at both ends.

    Adaptation of step size and mass matrix is that of the inner kernel.

    :param inner_kernel: an :class:`~numpyro.infer.hmc.HMC` kernel, made from a model; not NUTS, since the number of
        leapfrog steps must be known beforehand.
    :param num_discrete_updates: number of updates of discrete elements in a trajectory, at least 1; by default as many
        as there are elements.
    :param random_walk: whether to propose uniformly from the support instead of from the conditional distribution.
    :param modified: whether never to propose the current value.
    :raises ValueError: for other inner kernels; when run, if the model has no discrete latent site, one whose support
        is not finite, or no continuous one.

    **Reference:** Zhou (2020), *Mixed Hamiltonian Monte Carlo for Mixed Discrete and Continuous Variables*, with one
    discrete update at a time (:math:`n_D = 1`).

    >>> import numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import HMC, MCMC
    >>> def model(probs, locs):
    ...     c = numpyro.sample("c", dist.Categorical(probs))
    ...     numpyro.sample("x", dist.Normal(locs[c], 0.5))
    >>> kernel = MixedHMC(HMC(model, trajectory_length=1.2), num_discrete_updates=10)
    >>> mcmc = MCMC(kernel, num_warmup=500, num_samples=5000, progress_bar=False)
    >>> mcmc.run(jax.random.PRNGKey(0), jnp.array([0.15, 0.3, 0.3, 0.25]), jnp.array([-1.0, 0.0, 1.0, 2.0]))
    >>> bool(abs(mcmc.get_samples()["x"].mean() - 0.65) < 0.2)
    True
    """

    sample_field = "z"
    is_pure = True

    def __init__(
        self,
        inner_kernel: HMC,
        *,
        num_discrete_updates: int | None = None,
        random_walk: bool = False,
        modified: bool = False,
    ) -> None:
        if isinstance(inner_kernel, NUTS) or not isinstance(inner_kernel, HMC):
            raise ValueError(
                f"the inner kernel of MixedHMC must be HMC, but it is {type(inner_kernel).__name__}. Write "
                "MixedHMC(HMC(model, trajectory_length=...)); with NUTS use DiscreteHMCGibbs(NUTS(model))."
            )
        if num_discrete_updates is not None and num_discrete_updates < 1:
            raise ValueError(f"`num_discrete_updates` must be at least 1, but it is {num_discrete_updates}.")
        self.num_discrete_updates = num_discrete_updates
        self._parts = DiscreteHMCGibbs(inner_kernel, random_walk=random_walk, modified=modified)

    @property
    def model(self) -> Callable[..., Any]:
        """The model."""
        return self._parts.model

    @property
    def inner_kernel(self) -> HMC:
        """HMC on the model given the values of the discrete sites."""
        return self._parts.blocks[1][0]  # type: ignore[return-value]

    @property
    def default_fields(self) -> tuple[str, ...]:
        return ("z", "diverging")

    @property
    def diagnostic_fields(self) -> tuple[str, ...]:
        return ("diverging",)

    @property
    def target_accept_prob(self) -> float:
        """Acceptance probability at which the step size is aimed."""
        return self.inner_kernel.target_accept_prob

    def get_diagnostics_str(self, state: MixedHMCState) -> str:
        return self.inner_kernel.get_diagnostics_str(state.hmc_state)

    def _split(self, z: dict[str, Any], args: Any, kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Discrete and continuous sites."""
        discrete, continuous = self._parts._layout(args, kwargs).sites
        return {name: z[name] for name in discrete}, {name: z[name] for name in continuous}

    def init(
        self, rng_key: Any, num_warmup: int, init_params: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]
    ) -> MixedHMCState:
        """The state at the start, where discrete sites are drawn from their priors.

        :param init_params: values of discrete sites, and of all continuous ones in unconstrained space.
        """
        state = self._parts.init(rng_key, num_warmup, init_params, model_args, model_kwargs)
        hmc_state = state.block_states[1]
        return MixedHMCState(state.z, hmc_state, rng_key, hmc_state.accept_prob)

    def check_start(
        self, state: Any, init_params: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]
    ) -> None:
        discrete, _ = self._split(state.z, model_args, model_kwargs)
        states = (DiscreteGibbsState(discrete, state.accept_prob, state.rng_key), state.hmc_state)
        whole = GibbsState(state.z, states, state.rng_key)
        self._parts.check_start(whole, init_params, model_args, model_kwargs)

    def refresh(
        self, state: MixedHMCState, model_args: tuple[Any, ...], model_kwargs: dict[str, Any] | None
    ) -> MixedHMCState:
        """Evaluate the potential energy and its gradient anew, for other arguments of the model."""
        discrete, _ = self._split(state.z, model_args, model_kwargs or {})
        given = with_conditioning(model_kwargs, discrete)
        return state._replace(hmc_state=self.inner_kernel.refresh(state.hmc_state, model_args, given))

    def _what_is_drawn(self, state: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]) -> Any:
        return self._parts._what_is_drawn(state, model_args, model_kwargs)

    def _programs_for_now(self) -> dict[Any, Any] | None:
        self._parts._programs_for_now()
        return programs_of(self.model, settings_of(self))

    def wrap_model(self, wrapper: Callable[..., Any]) -> MixedHMC:
        """The same kernel for the model ``wrapper(model)``."""
        other = copy.copy(self)
        other._parts = self._parts.wrap_model(wrapper)  # type: ignore[assignment]
        return other

    def get_constrain_fn(self, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]) -> Callable[[Any], Any]:
        """The function from a state's ``z`` to values of all latent sites in constrained space."""
        return partial(self._constrain, model_args, model_kwargs, False)

    def postprocess_fn(self, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]) -> Callable[[Any], Any]:
        """The function from a state's ``z`` to values of all latent and deterministic sites."""
        return partial(self._constrain, model_args, model_kwargs, True)

    def _constrain(self, args: Any, kwargs: Any, return_deterministic: bool, z: dict[str, Any]) -> dict[str, Any]:
        discrete, continuous = self._split(z, args, kwargs)
        constrain = self.inner_kernel.get_constrain_fn(
            args, with_conditioning(kwargs, discrete), return_deterministic=return_deterministic
        )
        return constrain(continuous) | discrete

    @staticmethod
    def _values(program: HMCProgram, params: Any, args: Any, kwargs: Any) -> dict[str, Any]:
        """Values of the continuous sites in constrained space."""
        return program.target.source.constrain(params, args, kwargs, return_deterministic=False)

    # A trajectory

    def sample(self, state: MixedHMCState, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]) -> MixedHMCState:
        """Run one trajectory."""
        kwargs = model_kwargs or {}
        discrete, continuous = self._split(state.z, model_args, kwargs)
        inner = self.inner_kernel
        program, _ = inner.program(
            inner._num_warmup, model_args, with_conditioning(kwargs, discrete), state.hmc_state.z
        )
        sampler = program.sampler
        values = self._values(program, continuous, model_args, with_conditioning(kwargs, discrete))
        target = self._parts.blocks[0][0].target(model_args, with_conditioning(kwargs, values))  # type: ignore[attr-defined]
        rng_key, hmc_key, discrete_key = (derived_key(state.rng_key, number) for number in range(3))
        zero = jnp.zeros((), jnp.int32)
        phase = jnp.full((), RUN, jnp.int32)
        if sampler.find_step_size:
            phase = jnp.where(state.hmc_state.i == 0, GIVEN, RUN).astype(jnp.int32)
        hmc_state = sampler.ravel(state.hmc_state._replace(rng_key=hmc_key))
        chain = Chain(hmc_state, phase, zero, zero, zero, hmc_key)
        turn = partial(self._turn, program, target, discrete_key, model_args, kwargs)
        if sampler.find_step_size:
            start = hmc_state.i
            chain, discrete = lax.while_loop(
                lambda c: ((c[0].state.i == start) | (c[0].phase == STEP_SIZE)) & (c[0].phase != FAILED),
                turn,
                (chain, discrete),
            )
        else:
            chain, discrete = turn((chain, discrete))
        hmc_state = sampler.unravel(chain.state)
        return MixedHMCState({**hmc_state.z, **discrete}, hmc_state, rng_key, hmc_state.accept_prob)

    def _turn(
        self, program: HMCProgram, target: DiscreteTarget, rng_key: Any, args: Any, kwargs: Any, carry: Any
    ) -> tuple[Chain, dict[str, Any]]:
        """One trajectory and what the inner kernel learns from it."""
        chain, discrete = carry
        sampler = program.sampler
        before, start = sampler.propose(chain)

        def arrays_given(discrete: dict[str, Any]) -> list[Any]:
            arrays, _ = partition((args, with_conditioning(kwargs, discrete)))
            return arrays if program.target.takes_arrays else []

        hamiltonian = sampler.hamiltonian(before.state, arrays_given(discrete))
        energy = sampler.initial_energy(before, start, hamiltonian)
        end = self._travel(program, target, rng_key, args, kwargs, before, start, discrete, arrays_given)
        final_energy = end.potential_energy + hamiltonian.kinetic(end.momentum)
        delta = final_energy - end.gained - energy
        delta = jnp.where(jnp.isnan(delta), jnp.inf, delta)
        accept_prob = jnp.minimum(1.0, jnp.exp(-delta))
        accept = hashed_uniform(start["seed"], end.steps, delta.dtype) < accept_prob
        point = start["point"]
        old = Proposal(point.position, point.gradient, start["potential"], energy)
        new = Proposal(end.position, end.gradient, end.potential_energy, final_energy)
        proposal, discrete = jax.tree.map(lambda a, b: jnp.where(accept, a, b), (new, end.discrete), (old, discrete))
        outcome = Outcome(proposal, end.steps, accept_prob, delta > _MAX_DELTA_ENERGY)
        return strongly_typed((sampler.learn(before, sampler.settle(before, outcome)), discrete))

    def _travel(
        self,
        program: HMCProgram,
        target: DiscreteTarget,
        rng_key: Any,
        args: Any,
        kwargs: Any,
        chain: Chain,
        start: dict[str, Any],
        discrete: dict[str, Any],
        arrays_given: Callable[[Any], list[Any]],
    ) -> _Motion:
        """A trajectory: stretches of leapfrog steps with an update of a discrete element between two of them.

        A leapfrog step is half a step of the position, one of the momentum, and half a step of the position again, so
        that no gradient from before an update is used after it.
        """
        sampler, state = program.sampler, chain.state
        count = target.count
        updates = count if self.num_discrete_updates is None else self.num_discrete_updates
        proposal = target.fitted(self._parts.blocks[0][0].proposal)  # type: ignore[attr-defined]
        key, words = next_words(rng_key, 2 * count + updates)
        order = jnp.argsort(words[:count])
        point, dtype = start["point"], sampler.space.dtype
        num_steps, step_size = start["limit"], start["step_size"]
        rounds = jnp.where(chain.phase == RUN, updates, 0)
        # After how many leapfrog steps each update takes place. Backwards in time the distribution is the same. Were
        # they evenly spread, modified proposals, which go to and fro between two values, might always come back.
        times = jnp.sort(below(words[2 * count :], num_steps + 1))
        times = jnp.append(times, num_steps)

        def step(motion: _Motion, size: Any) -> _Motion:
            hamiltonian = sampler.hamiltonian(state, arrays_given(motion.discrete))
            middle = motion.position + size / 2 * hamiltonian.velocity(motion.momentum)
            potential, gradient = hamiltonian.potential_and_grad(middle)
            momentum = motion.momentum - size * gradient
            position = middle + size / 2 * hamiltonian.velocity(momentum)
            return motion._replace(position=position, momentum=momentum, potential_energy=potential, gradient=gradient)

        def update(number: Any, motion: _Motion) -> _Motion:
            params = sampler.space.unravel(sampler.position(state, motion.position))
            potential_fn = self._potential_of_discrete(program, target, params, args, kwargs, arrays_given)
            element = order[number % count]
            values = self._values(program, params, args, with_conditioning(kwargs, motion.discrete))
            support = target.support(element, motion.discrete, args, with_conditioning(kwargs, values))
            # The potential energy is not known: the position has moved since it was evaluated.
            new = proposal.propose(derived_key(key, number), motion.discrete, None, potential_fn, element, support)
            accept = motion.energies[element] > -new.log_ratio
            spent = jnp.where(accept, new.log_ratio, 0).astype(dtype)
            return motion._replace(
                discrete=jax.tree.map(lambda a, b: jnp.where(accept, a, b), new.z, motion.discrete),
                energies=motion.energies.at[element].add(spent),
                gained=motion.gained + jnp.where(accept, new.change, 0).astype(dtype),
            )

        def advance(carry: tuple[Any, _Motion]) -> tuple[Any, _Motion]:
            number, motion = carry
            is_last = number == rounds
            time = jnp.where(is_last, num_steps, times[number])
            # A step of size 0 at the end evaluates the potential energy there.
            stop = time + is_last
            motion = lax.while_loop(
                lambda m: m.steps < stop,
                lambda m: step(m, jnp.where(m.steps < num_steps, step_size, 0))._replace(steps=m.steps + 1),
                motion,
            )
            motion = lax.cond(is_last, lambda m: m, lambda m: update(number, m), motion)
            return number + 1, motion

        zero = jnp.zeros((), dtype)
        motion = _Motion(
            point.position,
            point.momentum,
            zero,
            point.gradient,
            jnp.zeros((), jnp.int32),
            discrete,
            exponential(words[count : 2 * count], dtype),
            zero,
        )
        carry = strongly_typed((jnp.zeros((), jnp.int32), motion))
        _, motion = lax.while_loop(lambda c: c[0] <= rounds, lambda c: strongly_typed(advance(c)), carry)
        return motion._replace(steps=num_steps)

    def _potential_of_discrete(
        self, program: HMCProgram, target: DiscreteTarget, params: Any, args: Any, kwargs: Any, arrays_given: Any
    ) -> Callable[[Any], Any]:
        """Potential energy as a function of the discrete sites, the continuous ones held in unconstrained space."""

        def potential_fn(discrete: dict[str, Any]) -> jax.Array:
            energy = program.target.potential_energy(params, arrays_given(discrete))
            if target.constants is not None:
                return energy
            values = self._values(program, params, args, with_conditioning(kwargs, discrete))
            inside = target.is_inside(discrete, args, with_conditioning(kwargs, values))
            return jnp.where(inside, energy, jnp.inf)

        return potential_fn

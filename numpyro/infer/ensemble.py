# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Ensemble samplers: many walkers that propose for each other.

The walkers are the chains. An iteration splits them in two halves; each half in turn moves with the help of the other,
which stands still meanwhile, so that all walkers of a half move at once. No gradient is needed, and with most moves the
sampler performs alike on any affine image of a posterior.

**References:** Goodman and Weare (2010), *Ensemble samplers with affine invariance*; Foreman-Mackey et al. (2013),
*emcee: The MCMC hammer*, section 3, for the halves; Karamanis and Beutler (2021), *Ensemble slice sampling*.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
import copy
from dataclasses import dataclass
from typing import Any, NamedTuple
import warnings

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from numpyro.infer import ensemble_util
from numpyro.infer.barker import running_mean
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.random_words import derived_key, hashed_uniform, next_words, uniform
from numpyro.infer.target import Program, Target, TargetKernel
from numpyro.util import find_stack_level

__all__ = ["AIES", "ESS", "AIESState", "ESSState", "EnsembleSampler", "EnsembleSamplerState"]


class EnsembleSamplerState(NamedTuple):
    """State of an ensemble.

    :param z: parameters in unconstrained space, with a leading axis of walkers.
    :param inner_state: state of the algorithm.
    :param rng_key: random key of the next iteration.
    :param potential_energy: potential energy of each walker.
    """

    z: Any
    inner_state: Any
    rng_key: Any
    potential_energy: Any = None


class AIESState(NamedTuple):
    """What :class:`AIES` keeps.

    :param i: number of iterations so far, warm-up included.
    :param accept_prob: acceptance probability of the last proposals, averaged over the walkers.
    :param mean_accept_prob: average of these so far, in warm-up and in sampling each by itself.
    :param rng_key: random key.
    """

    i: Any
    accept_prob: Any
    mean_accept_prob: Any
    rng_key: Any


class ESSState(NamedTuple):
    """What :class:`ESS` keeps.

    :param i: number of iterations so far, warm-up included.
    :param n_expansions: number of expansions of the slices in the last iteration, over all walkers.
    :param n_contractions: number of contractions.
    :param mu: scale of the directions.
    :param rng_key: random key.
    """

    i: Any
    n_expansions: Any
    n_contractions: Any
    mu: Any
    rng_key: Any


class EnsembleSampler(TargetKernel):
    """Base class of ensemble samplers.

    A subclass defines :meth:`init_inner_state` and :meth:`update_active_chains`, in which :meth:`potential_energies`
    evaluates the density. If the inner state has a field ``rng_key``, it is a fresh key in each iteration.

    :param model: a model. Either this or ``potential_fn``.
    :param potential_fn: potential energy (minus the log density) of a pytree of unconstrained parameters; then
        ``init_params``, with a leading axis of walkers, must be given to
        :meth:`MCMC.run <numpyro.infer.mcmc.MCMC.run>`.
    :param randomize_split: whether to split the walkers at random in each iteration.
    :param init_strategy: how to find starts; see :mod:`numpyro.infer.initialization`.
    """

    is_pure = True

    def __init__(
        self,
        model: Callable[..., Any] | None = None,
        potential_fn: Callable[..., Any] | None = None,
        *,
        randomize_split: bool,
        init_strategy: Callable[..., Any],
    ) -> None:
        super().__init__(model, potential_fn, init_strategy)
        self._randomize_split = randomize_split
        self._moves: dict[Any, float] = {}
        # Set on the copy of the kernel that knows the model's arguments, while an iteration is traced.
        self._potentials: Callable[[jax.Array], jax.Array] | None = None

    @property
    def is_ensemble_kernel(self) -> bool:
        return True

    @abstractmethod
    def init_inner_state(self, rng_key: Any) -> Any:
        """The state of the algorithm at the start.

        :param rng_key: random key.
        """

    @abstractmethod
    def update_active_chains(self, active: jax.Array, inactive: jax.Array, inner_state: Any) -> tuple[jax.Array, Any]:
        """Move one half of the walkers.

        :param active: flat vectors of the walkers to move, shape ``(half, latent size)``.
        :param inactive: those of the other half.
        :param inner_state: state of the algorithm.
        :returns: the active walkers after the move, and the state.
        """

    def start_iteration(self, inner_state: Any) -> Any:
        """The inner state before the first half moves."""
        return inner_state

    def finish_iteration(self, inner_state: Any) -> Any:
        """The inner state when both halves have moved."""
        return inner_state

    def potential_energies(self, positions: jax.Array) -> jax.Array:
        """Potential energies at flat vectors, shape ``(count, latent size)``, inside :meth:`update_active_chains`."""
        if self._potentials is None:
            raise RuntimeError(
                f"{type(self).__name__} knows the model's arguments only within an iteration: call "
                "`potential_energies` in `update_active_chains`."
            )
        return self._potentials(positions)

    def _update(
        self, active: jax.Array, potentials: jax.Array, inactive: jax.Array, inner_state: Any
    ) -> tuple[jax.Array, jax.Array, Any]:
        """:meth:`update_active_chains` with the potential energies of the active walkers."""
        active, inner_state = self.update_active_chains(active, inactive, inner_state)
        return active, self.potential_energies(active), inner_state

    # Programs

    def compose(self, target: Target, num_warmup: int) -> _Program:
        return _Program(target, self, num_warmup)

    def prepare(
        self,
        num_warmup: int,
        init_params: Any,
        model_args: tuple[Any, ...],
        model_kwargs: dict[str, Any],
        lead: tuple[int, ...] = (),
    ) -> bool:
        takes_arrays = super().prepare(num_warmup, init_params, model_args, model_kwargs, lead)
        if lead:
            program, _ = self.program(num_warmup, model_args, model_kwargs, init_params, batched=True)
            self._check_size(lead[0], program.target.space.size)
        return takes_arrays

    def _check_size(self, count: int, size: int) -> None:
        name = type(self).__name__
        if count < 2 or count % 2:
            raise ValueError(
                f"{name} splits its walkers, which are the chains, in two halves, so their number must be even, but "
                f'num_chains is {count}. Write MCMC(..., num_chains={max(2 * size, 4)}, chain_method="vectorized").'
            )
        least = max((getattr(move, "min_half", 1) for move in self._moves), default=1)
        if count < 2 * least:
            raise ValueError(
                f"{name}: {_names(self._moves)} needs at least {2 * least} walkers, but num_chains is {count}."
            )
        stays = bool(self._moves) and all(getattr(move, "stays_in_hull", False) for move in self._moves)
        if stays and count <= size:
            raise ValueError(
                f"{name}: {count} walkers cannot sample {size} latent parameters. {_names(self._moves)} combines the "
                f"walkers linearly, and {count} points span {count - 1} dimensions at most, which they would never "
                f"leave. Take num_chains of {2 * size} or more; in many dimensions, NUTS is the better sampler."
            )
        if count < 2 * size:
            warnings.warn(
                f"{name} has {count} walkers for {size} latent parameters; at least twice as many walkers as "
                f"parameters, num_chains={2 * size}, are recommended.",
                stacklevel=find_stack_level(),
            )

    def check_start(
        self, state: Any, init_params: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]
    ) -> None:
        super().check_start(state, init_params, model_args, model_kwargs)
        if not all(getattr(move, "stays_in_hull", False) for move in self._moves) or not self._moves:
            return
        for path, leaf in jax.tree_util.tree_leaves_with_path(state.z):
            if np.any(np.ptp(np.asarray(leaf), axis=0) == 0):
                where = f" in {jax.tree_util.keystr(path)}" if path else ""
                raise ValueError(
                    f"{type(self).__name__}: all walkers start at the same value{where}, and would never leave it, "
                    f"since {_names(self._moves)} combines them linearly. Let them start apart: with "
                    "init_strategy=init_to_uniform, or init_params scattered about the value."
                )

    def check_key(self, rng_key: Any, target: Target) -> None:
        is_typed = jnp.issubdtype(rng_key.dtype, jax.dtypes.prng_key)
        if np.ndim(rng_key) != (1 if is_typed else 2):
            raise ValueError(
                f"{type(self).__name__} needs a random key for each walker, an array of keys such as "
                "jax.random.split(key, num_chains), but there is a single key."
            )
        self._check_size(len(rng_key), target.space.size)


@dataclass(frozen=True, eq=False)
class _Program(Program):
    """What an ensemble sampler compiles for a target."""

    kernel: EnsembleSampler
    num_warmup: int

    def potentials(self, positions: jax.Array, arrays: Any) -> jax.Array:
        return jax.vmap(lambda z: self.target.potential(z, arrays))(positions)

    def begin(self, rng_keys: Any, init_params: Any, arrays: Any) -> EnsembleSamplerState:
        """The first state; the potential energy of a walker without a valid start is infinite."""
        space = self.target.space
        positions = None if init_params is None else jax.vmap(space.ravel)(init_params)

        def find(key: Any, position: Any) -> Any:
            return self.target.find_start(key, position, arrays, with_gradient=False)

        starts = jax.vmap(find)(rng_keys, positions)
        state_key, inner_key = (derived_key(rng_keys[0], jnp.asarray(number)) for number in (-2, -3))
        return EnsembleSamplerState(
            jax.vmap(space.unravel)(starts.position),
            jax.tree.map(jnp.asarray, self.kernel.init_inner_state(inner_key)),
            state_key,
            starts.potential_energy,
        )

    def refresh(self, state: EnsembleSamplerState, arrays: Any) -> EnsembleSamplerState:
        positions = jax.vmap(self.target.space.ravel)(state.z)
        return state._replace(potential_energy=self.potentials(positions, arrays))

    def transition(self, state: EnsembleSamplerState, arrays: Any) -> EnsembleSamplerState:
        """One iteration: both halves move, by one call of the kernel's update in the compiled program."""
        kernel = copy.copy(self.kernel)
        kernel._num_warmup = self.num_warmup
        kernel._potentials = lambda positions: self.potentials(positions, arrays)
        positions = jax.vmap(self.target.space.ravel)(state.z)
        count = len(positions)
        rng_key, inner_key, split_key = (derived_key(state.rng_key, number) for number in range(3))
        inner_state = state.inner_state
        if hasattr(inner_state, "_replace") and hasattr(inner_state, "rng_key"):
            inner_state = inner_state._replace(rng_key=inner_key)

        walkers = jnp.column_stack([positions, state.potential_energy.astype(positions.dtype)])
        if kernel._randomize_split:
            _, words = next_words(split_key, count)
            order = jnp.argsort(words)
            walkers = walkers[order]
        halves = jnp.split(walkers, 2)

        def move(carry: Any, _: Any) -> Any:
            active, idle, inner_state = carry
            positions, potentials, inner_state = kernel._update(
                active[:, :-1], active[:, -1], idle[:, :-1], inner_state
            )
            return (idle, jnp.column_stack([positions, potentials]), inner_state), None

        carry = (*halves, kernel.start_iteration(inner_state))
        (*halves, moved), _ = lax.scan(move, carry, None, length=2)
        walkers = jnp.concatenate(halves)
        if kernel._randomize_split:
            walkers = jnp.zeros_like(walkers).at[order].set(walkers, unique_indices=True)
        return EnsembleSamplerState(
            jax.vmap(self.target.space.unravel)(walkers[:, :-1]),
            kernel.finish_iteration(moved),
            rng_key,
            walkers[:, -1],
        )


class AIES(EnsembleSampler):
    """Affine-invariant ensemble sampler: each walker proposes a step along a line to, or parallel to one between, other
    walkers.

    One evaluation of the density for each walker and iteration, and no gradient. It fits low dimensions (up to about
    ten) and densities without usable gradient; correlations and differing scales do not matter. In high dimension it
    mixes slowly, and may look converged when it is not (Huijser, Goodman and Brewer 2015).

    :param model: a model. Either this or ``potential_fn``.
    :param potential_fn: potential energy (minus the log density) of a pytree of unconstrained parameters; then
        ``init_params``, with a leading axis of walkers, must be given to
        :meth:`MCMC.run <numpyro.infer.mcmc.MCMC.run>`.
    :param randomize_split: whether to split the walkers at random in each iteration.
    :param moves: moves and their weights, positive numbers: ``{AIES.StretchMove(): 0.5, AIES.DEMove(): 0.5}``. Default:
        ``{AIES.DEMove(): 1.0}``. One is drawn for each half of the walkers in each iteration.
    :param init_strategy: how to find starts; see :mod:`numpyro.infer.initialization`.
    :raises ValueError: if both or neither of ``model`` and ``potential_fn`` are given, or a weight is not positive; at
        the start, if the number of chains is odd or too small.

    Run it with ``chain_method="vectorized"`` and ``num_chains`` the number of walkers: even, greater than the number of
    latent parameters, better twice that or more. Fields of the state that can be collected: ``"potential_energy"``,
    and ``"inner_state."`` followed by a field of :class:`AIESState`.

    **Source:** see :class:`~numpyro.infer.ensemble_util.StretchMove`, :class:`~numpyro.infer.ensemble_util.DEMove`.

    >>> import numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import AIES, MCMC
    >>> def model(y):
    ...     mu = numpyro.sample("mu", dist.Normal(0, 10))
    ...     numpyro.sample("y", dist.Normal(mu, 1), obs=y)
    >>> kernel = AIES(model, moves={AIES.DEMove(): 0.5, AIES.StretchMove(): 0.5})
    >>> mcmc = MCMC(
    ...     kernel, num_warmup=500, num_samples=500, num_chains=10, chain_method="vectorized", progress_bar=False
    ... )
    >>> mcmc.run(jax.random.PRNGKey(0), jnp.array([1.0, 2.0, 3.0]))
    >>> bool(abs(mcmc.get_samples()["mu"].mean() - 2) < 0.2)
    True
    """

    DEMove = ensemble_util.DEMove
    StretchMove = ensemble_util.StretchMove

    def __init__(
        self,
        model: Callable[..., Any] | None = None,
        potential_fn: Callable[..., Any] | None = None,
        randomize_split: bool = False,
        moves: dict[Callable[..., Any], float] | None = None,
        init_strategy: Callable[..., Any] = init_to_uniform,
    ) -> None:
        super().__init__(model, potential_fn, randomize_split=randomize_split, init_strategy=init_strategy)
        self._moves = _checked_moves(type(self).__name__, moves, ensemble_util.DEMove())

    def get_diagnostics_str(self, state: EnsembleSamplerState) -> str:
        return f"acc. prob={float(state.inner_state.mean_accept_prob):.2f}"

    def init_inner_state(self, rng_key: Any) -> AIESState:
        zero = jnp.zeros((), jnp.result_type(float))
        return AIESState(jnp.zeros((), jnp.int32), zero, zero, rng_key)

    def update_active_chains(
        self, active: jax.Array, inactive: jax.Array, inner_state: AIESState
    ) -> tuple[jax.Array, AIESState]:
        active, _, inner_state = self._update(active, self.potential_energies(active), inactive, inner_state)
        return active, inner_state

    def _update(
        self, active: jax.Array, potentials: jax.Array, inactive: jax.Array, inner_state: AIESState
    ) -> tuple[jax.Array, jax.Array, AIESState]:
        rng_key, words = next_words(inner_state.rng_key, len(active) + 1)
        numbers = uniform(words, active.dtype)
        move_key = derived_key(rng_key, words[0])
        proposals, log_factors = _switch(self._moves, numbers[0], move_key, active, inactive)
        proposed = self.potential_energies(proposals)
        log_ratios = jnp.where(jnp.isfinite(proposed), log_factors + potentials - proposed, -jnp.inf)
        accept_probs = jnp.exp(jnp.minimum(log_ratios, 0))
        accept = numbers[1:] < accept_probs
        accept_prob = jnp.mean(accept_probs).astype(inner_state.accept_prob.dtype)
        inner_state = inner_state._replace(accept_prob=inner_state.accept_prob + accept_prob / 2, rng_key=rng_key)
        return (
            jnp.where(accept[:, None], proposals, active),
            jnp.where(accept, proposed, potentials),
            inner_state,
        )

    def start_iteration(self, inner_state: AIESState) -> AIESState:
        return inner_state._replace(accept_prob=jnp.zeros_like(inner_state.accept_prob))

    def finish_iteration(self, inner_state: AIESState) -> AIESState:
        i, accept_prob = inner_state.i, inner_state.accept_prob
        mean = running_mean(inner_state.mean_accept_prob, accept_prob, i, self._num_warmup)
        return inner_state._replace(i=i + 1, mean_accept_prob=mean)


class ESS(EnsembleSampler):
    """Ensemble slice sampling: each walker draws from the slice through its position along a direction that the other
    walkers give.

    No proposal is rejected, so it needs no tuning by hand: the scale ``mu`` of the directions is tuned in warm-up, so
    that slices are expanded as often as contracted. An iteration costs about five evaluations of the density for each
    walker, no gradient. It fits low dimensions (up to some tens), strong correlations and, with
    :meth:`KDEMove <numpyro.infer.ensemble_util.KDEMove>`, several modes.

    :param model: a model. Either this or ``potential_fn``.
    :param potential_fn: potential energy (minus the log density) of a pytree of unconstrained parameters; then
        ``init_params``, with a leading axis of walkers, must be given to
        :meth:`MCMC.run <numpyro.infer.mcmc.MCMC.run>`.
    :param randomize_split: whether to split the walkers at random in each iteration.
    :param moves: moves and their weights, positive numbers: ``{ESS.DifferentialMove(): 0.8, ESS.KDEMove(): 0.2}``.
        Default: ``{ESS.DifferentialMove(): 1.0}``. One is drawn for each half of the walkers in each iteration.
    :param max_steps: bound of the number of expansions of a slice, at least 1.
    :param max_iter: bound of the number of contractions, at least 1; a walker that reaches it stays where it is.
    :param init_mu: initial scale of the directions, positive.
    :param tune_mu: whether to tune the scale in warm-up.
    :param init_strategy: how to find starts; see :mod:`numpyro.infer.initialization`.
    :raises ValueError: if both or neither of ``model`` and ``potential_fn`` are given, or a number is out of range; at
        the start, if the number of chains is odd or too small.

    Run it with ``chain_method="vectorized"`` and ``num_chains`` the number of walkers: even, greater than the number of
    latent parameters, better twice that or more. Fields of the state that can be collected: ``"potential_energy"``,
    and ``"inner_state."`` followed by a field of :class:`ESSState`.

    **Source:** Karamanis and Beutler (2021), *Ensemble slice sampling*; Neal (2003), *Slice sampling*, figures 3 and 5,
    for expansion and contraction.

    >>> import numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import ESS, MCMC
    >>> def model(y):
    ...     mu = numpyro.sample("mu", dist.Normal(0, 10))
    ...     numpyro.sample("y", dist.Normal(mu, 1), obs=y)
    >>> mcmc = MCMC(
    ...     ESS(model), num_warmup=200, num_samples=200, num_chains=10, chain_method="vectorized", progress_bar=False
    ... )
    >>> mcmc.run(jax.random.PRNGKey(0), jnp.array([1.0, 2.0, 3.0]))
    >>> bool(abs(mcmc.get_samples()["mu"].mean() - 2) < 0.2)
    True
    """

    DifferentialMove = ensemble_util.DifferentialMove
    GaussianMove = ensemble_util.GaussianMove
    KDEMove = ensemble_util.KDEMove
    RandomMove = ensemble_util.RandomMove

    def __init__(
        self,
        model: Callable[..., Any] | None = None,
        potential_fn: Callable[..., Any] | None = None,
        randomize_split: bool = True,
        moves: dict[Callable[..., Any], float] | None = None,
        max_steps: int = 10000,
        max_iter: int = 10000,
        init_mu: float = 1.0,
        tune_mu: bool = True,
        init_strategy: Callable[..., Any] = init_to_uniform,
    ) -> None:
        super().__init__(model, potential_fn, randomize_split=randomize_split, init_strategy=init_strategy)
        for name, value in (("max_steps", max_steps), ("max_iter", max_iter)):
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1, but it is {value}.")
        if not init_mu > 0:
            raise ValueError(f"`init_mu` must be positive, but it is {init_mu}.")
        self._moves = _checked_moves(type(self).__name__, moves, ensemble_util.DifferentialMove())
        self._max_steps, self._max_iter = max_steps, max_iter
        self._init_mu, self._tune_mu = init_mu, tune_mu

    def get_diagnostics_str(self, state: EnsembleSamplerState) -> str:
        return f"scale of the directions={float(state.inner_state.mu):.2e}"

    def init_inner_state(self, rng_key: Any) -> ESSState:
        zero = jnp.zeros((), jnp.int32)
        return ESSState(zero, zero, zero, jnp.asarray(self._init_mu, jnp.result_type(float)), rng_key)

    def update_active_chains(
        self, active: jax.Array, inactive: jax.Array, inner_state: ESSState
    ) -> tuple[jax.Array, ESSState]:
        active, _, inner_state = self._update(active, self.potential_energies(active), inactive, inner_state)
        return active, inner_state

    def _update(
        self, active: jax.Array, potentials: jax.Array, inactive: jax.Array, inner_state: ESSState
    ) -> tuple[jax.Array, jax.Array, ESSState]:
        count, dtype = len(active), active.dtype
        rng_key, words = next_words(inner_state.rng_key, 5 * count + 1)
        heights, offsets, shares = uniform(words[1 : 3 * count + 1], dtype).reshape(3, count)
        seeds = words[3 * count + 1 :].reshape(count, 2)
        which = uniform(words[:1], dtype)[0]
        directions = _switch(self._moves, which, derived_key(rng_key, words[0]), inactive, inner_state.mu)

        highest = potentials - jnp.log1p(-heights)
        steps_left = jnp.minimum((shares * self._max_steps).astype(jnp.int32), self._max_steps - 1)
        zeros = jnp.zeros(count, jnp.int32)
        start = _Slices(
            zeros, -offsets, 1 - offsets, steps_left, self._max_steps - 1 - steps_left, zeros, zeros, active, potentials
        )

        def step(slices: _Slices) -> _Slices:
            phase, left, right, *_ = slices
            number = jax.vmap(lambda seed, n: hashed_uniform(seed, n, dtype))(seeds, slices.contractions)
            place = jnp.where(phase == _LEFT, left, jnp.where(phase == _RIGHT, right, left + number * (right - left)))
            points = active + place[:, None] * directions
            energies = self.potential_energies(points)
            return slices.after(place, points, energies, energies < highest, self._max_iter)

        slices = lax.while_loop(lambda slices: jnp.any(slices.phase != _DONE), step, start)
        return (
            slices.position,
            slices.potential_energy,
            inner_state._replace(
                n_expansions=inner_state.n_expansions + jnp.sum(slices.expansions),
                n_contractions=inner_state.n_contractions + jnp.sum(slices.contractions),
                rng_key=rng_key,
            ),
        )

    def start_iteration(self, inner_state: ESSState) -> ESSState:
        zero = jnp.zeros((), jnp.int32)
        return inner_state._replace(n_expansions=zero, n_contractions=zero)

    def finish_iteration(self, inner_state: ESSState) -> ESSState:
        mu = inner_state.mu
        if self._tune_mu:
            expansions = jnp.maximum(inner_state.n_expansions, 1)
            factor = (2 * expansions / (expansions + inner_state.n_contractions)).astype(mu.dtype)
            mu = jnp.where(inner_state.i < self._num_warmup, mu * factor, mu)
        return inner_state._replace(i=inner_state.i + 1, mu=mu)


_LEFT, _RIGHT, _CONTRACT, _DONE = range(4)


class _Slices(NamedTuple):
    """Where each walker of a half stands in its update. Walkers go through the phases each at its own pace, with one
    evaluation of the density a step.

    :param phase: whether the left or the right end is to be expanded, or the slice contracted, or nothing left to do.
    :param left: left end of the slice, in units of the direction.
    :param right: right end.
    :param left_steps: how many expansions to the left are allowed.
    :param right_steps: the same to the right.
    :param expansions: number of expansions so far.
    :param contractions: number of contractions so far.
    :param position: where the walker stands, in the end where it goes.
    :param potential_energy: potential energy there.
    """

    phase: Any
    left: Any
    right: Any
    left_steps: Any
    right_steps: Any
    expansions: Any
    contractions: Any
    position: Any
    potential_energy: Any

    def after(self, place: Any, points: Any, energies: Any, inside: Any, max_iter: int) -> _Slices:
        """The next step, when ``points`` at ``place`` have been found to be on the slice or not."""
        phase = self.phase
        grows_left = (phase == _LEFT) & inside & (self.left_steps > 0)
        grows_right = (phase == _RIGHT) & inside & (self.right_steps > 0)
        contracts = phase == _CONTRACT
        accepts, misses = contracts & inside, contracts & ~inside
        contractions = self.contractions + misses
        expands = (phase == _LEFT) | (phase == _RIGHT)
        leaves = (expands & ~grows_left & ~grows_right) | accepts | (misses & (contractions >= max_iter))
        return _Slices(
            phase + leaves,
            jnp.where(misses & (place < 0), place, self.left - grows_left),
            jnp.where(misses & (place >= 0), place, self.right + grows_right),
            self.left_steps - grows_left,
            self.right_steps - grows_right,
            self.expansions + grows_left + grows_right,
            contractions,
            jnp.where(accepts[:, None], points, self.position),
            jnp.where(accepts, energies, self.potential_energy),
        )


def _checked_moves(name: str, moves: dict[Any, float] | None, default: Any) -> dict[Any, float]:
    if moves is None:
        return {default: 1.0}
    for move, weight in moves.items():
        if not callable(move) or isinstance(move, type):
            raise ValueError(f"{name}: `moves` must map moves such as {name}.{type(default).__name__}() to weights.")
        if not weight > 0:
            raise ValueError(f"{name}: the weights of `moves` must be positive, but that of {move} is {weight}.")
    if not moves:
        raise ValueError(f"{name}: `moves` is empty.")
    return dict(moves)


def _names(moves: dict[Any, float]) -> str:
    return ", ".join(type(move).__name__ for move in moves)


def _switch(moves: dict[Any, float], number: jax.Array, *operands: Any) -> Any:
    """Apply a move drawn by the weights with a number in ``[0, 1)``."""
    if len(moves) == 1:
        return next(iter(moves))(*operands)
    bounds = np.cumsum(list(moves.values())) / sum(moves.values())
    index = jnp.sum(number >= jnp.asarray(bounds[:-1], number.dtype))
    return lax.switch(index, list(moves), *operands)

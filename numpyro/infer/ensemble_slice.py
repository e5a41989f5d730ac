# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Ensemble slice sampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import lax
import jax.numpy as jnp

from numpyro.infer import ensemble_util
from numpyro.infer.ensemble_sampler import EnsembleSampler, EnsembleSamplerState, checked_moves, drawn_move
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.random_words import derived_key, hashed_uniform, next_words, uniform

__all__ = ["ESS", "ESSState"]


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
        self._moves = checked_moves(type(self).__name__, moves, ensemble_util.DifferentialMove())
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
        directions = drawn_move(self._moves, which, derived_key(rng_key, words[0]), inactive, inner_state.mu)

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

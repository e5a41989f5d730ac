# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The affine-invariant ensemble sampler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from numpyro.infer import ensemble_util
from numpyro.infer.barker import running_mean
from numpyro.infer.ensemble_sampler import EnsembleSampler, EnsembleSamplerState, checked_moves, drawn_move
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.random_words import derived_key, next_words, uniform

__all__ = ["AIES", "AIESState"]


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
        self._moves = checked_moves(type(self).__name__, moves, ensemble_util.DEMove())

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
        proposals, log_factors = drawn_move(self._moves, numbers[0], move_key, active, inactive)
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

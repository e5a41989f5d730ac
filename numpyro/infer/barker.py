# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Metropolis-Hastings with Barker's proposal.

A random walk whose increments are flipped, coordinate by coordinate, towards the side on which the density grows. With
noise ``a ~ Normal(0, s)`` the increment is ``a`` with probability ``1 / (1 + exp(a dU/dx))``, else ``-a``, where ``U``
is the potential energy. For small steps the proposal follows the gradient as Langevin's does, but its acceptance
probability decays no faster than a random walk's where the step size is far too large, so that it adapts reliably.

**References:** Livingstone and Zanella (2022), *The Barker proposal: combining robustness and efficiency in
gradient-based MCMC*, algorithm 1, and its section on preconditioning; Vogrinc, Livingstone and Zanella (2023), *Optimal
design of the Barker proposal and other locally balanced Metropolis-Hastings algorithms*, for the acceptance
probability at which it is most efficient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
from jax import lax
import jax.numpy as jnp

from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.metric import FlatSpace, flat_space, multiply
from numpyro.infer.random_words import next_words, normal, uniform
from numpyro.infer.target import Target
from numpyro.infer.target_kernel import Program, TargetKernel
from numpyro.infer.warmup import Adaptation

__all__ = ["BarkerMH", "BarkerMHState"]


class BarkerMHState(NamedTuple):
    """State of :class:`BarkerMH`.

    :param i: number of iterations so far, warm-up included.
    :param z: parameters in unconstrained space.
    :param potential_energy: potential energy at ``z``.
    :param z_grad: gradient of the potential energy at ``z``.
    :param accept_prob: acceptance probability of the last proposal.
    :param mean_accept_prob: average of these so far, in warm-up and in sampling each by itself.
    :param adapt_state: :class:`~numpyro.infer.hmc_util.HMCAdaptState`.
    :param rng_key: random key of the next iteration.
    """

    i: Any
    z: Any
    potential_energy: Any
    z_grad: Any
    accept_prob: Any
    mean_accept_prob: Any
    adapt_state: Any
    rng_key: Any


class BarkerMH(TargetKernel):
    """Metropolis-Hastings with Barker's proposal; step size and preconditioner adapt during warm-up.

    One evaluation of the gradient for each iteration. Its mixing time grows with the dimension ``d`` as ``d^(1/3)``,
    like that of Langevin's algorithm; it bears a bad step size, heavy or light tails and coordinates of very different
    scale better than that does.

    :param model: a model. Either this or ``potential_fn``.
    :param potential_fn: potential energy (minus the log density) of a pytree of unconstrained parameters; then
        ``init_params`` must be given to :meth:`MCMC.run <numpyro.infer.mcmc.MCMC.run>`.
    :param step_size: initial standard deviation of the increments, positive, in units of the preconditioner.
    :param adapt_step_size: whether to adapt the step size by dual averaging.
    :param adapt_mass_matrix: whether to estimate the covariance of the draws, by which the proposal is preconditioned.
    :param dense_mass: False for a diagonal covariance, True for a dense one, or a list of tuples of site names, each of
        which has a dense block; the other sites have a diagonal one.
    :param target_accept_prob: acceptance probability at which the step size is aimed, in ``(0, 1)``. In high dimension
        0.4 is best for normal noise (Vogrinc, Livingstone and Zanella 2023).
    :param init_strategy: how to find a start; see :mod:`numpyro.infer.initialization`.
    :raises ValueError: if both or neither of ``model`` and ``potential_fn`` are given, or a number is out of range.

    Fields of the state that can be collected: see :class:`BarkerMHState`.

    **Source:** Livingstone and Zanella (2022), algorithm 1.

    >>> import numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import MCMC, BarkerMH
    >>> def model(y):
    ...     mu = numpyro.sample("mu", dist.Normal(0, 10))
    ...     numpyro.sample("y", dist.Normal(mu, 1), obs=y)
    >>> mcmc = MCMC(BarkerMH(model), num_warmup=500, num_samples=2000, progress_bar=False)
    >>> mcmc.run(jax.random.PRNGKey(0), jnp.array([1.0, 2.0, 3.0]))
    >>> bool(abs(mcmc.get_samples()["mu"].mean() - 2) < 0.2)
    True
    """

    is_pure = True

    def __init__(
        self,
        model: Callable[..., Any] | None = None,
        potential_fn: Callable[..., Any] | None = None,
        step_size: float = 1.0,
        adapt_step_size: bool = True,
        adapt_mass_matrix: bool = True,
        dense_mass: bool | Sequence[Sequence[str]] = False,
        target_accept_prob: float = 0.4,
        init_strategy: Callable[..., Any] = init_to_uniform,
    ) -> None:
        super().__init__(model, potential_fn, init_strategy)
        if not step_size > 0:
            raise ValueError(f"`step_size` must be positive, but it is {step_size}.")
        if not 0 < target_accept_prob < 1:
            raise ValueError(f"`target_accept_prob` must lie strictly between 0 and 1, but it is {target_accept_prob}.")
        self._step_size = float(step_size)
        self._adapt_step_size = adapt_step_size
        self._adapt_mass_matrix = adapt_mass_matrix
        self._dense_mass = dense_mass if isinstance(dense_mass, bool) else tuple(dense_mass)
        self._target_accept_prob = target_accept_prob

    def get_diagnostics_str(self, state: BarkerMHState) -> str:
        return f"step size {float(state.adapt_state.step_size):.2e}. acc. prob={float(state.mean_accept_prob):.2f}"

    def flat_space(self, prototype: Any, keyed: bool) -> FlatSpace:
        # One array for the whole covariance, unless the user names blocks.
        return flat_space(prototype, self._dense_mass)

    def compose(self, target: Target, num_warmup: int) -> _Program:
        adaptation = Adaptation(
            target.space,
            num_warmup,
            self._adapt_step_size,
            self._adapt_mass_matrix,
            self._target_accept_prob,
            # Acceptance probabilities scatter more than those of trajectories do: bolder steps would leave a bias.
            boldness=1.0,
            gamma=0.2,
        )
        return _Program(target, adaptation, self._step_size)


@dataclass(frozen=True, eq=False)
class _Program(Program):
    """What :class:`BarkerMH` compiles for a target."""

    adaptation: Adaptation
    step_size: float

    def begin(self, rng_key: Any, init_params: Any, arrays: Any) -> BarkerMHState:
        """The first state; its potential energy is infinite if there is no valid start."""
        space = self.target.space
        rng_key, start_key = jax.random.split(rng_key)
        position = None if init_params is None else space.ravel(init_params)
        start = self.target.find_start(start_key, position, arrays, with_gradient=True)
        adapt_state = jax.tree.map(jnp.asarray, self.adaptation.init(self.step_size, None, None))
        zero = jnp.zeros((), space.dtype)
        return BarkerMHState(
            jnp.zeros((), jnp.int32),
            space.unravel(start.position),
            start.potential_energy,
            space.unravel(start.gradient),
            zero,
            zero,
            adapt_state,
            rng_key,
        )

    def refresh(self, state: BarkerMHState, arrays: Any) -> BarkerMHState:
        space = self.target.space
        potential, gradient = self.target.potential_and_grad(space.ravel(state.z), arrays)
        return state._replace(potential_energy=potential, z_grad=space.unravel(gradient))

    def transition(self, state: BarkerMHState, arrays: Any) -> BarkerMHState:
        """One iteration, in coordinates ``w`` with ``z = S^-T w``, where ``S^-T S^-1`` is the covariance estimate."""
        space, adapt_state = self.target.space, state.adapt_state
        sqrt_inv = adapt_state.mass_matrix_sqrt_inv
        z, z_grad, size = space.ravel(state.z), space.ravel(state.z_grad), space.size
        rng_key, words = next_words(state.rng_key, 2 * size + 1)
        noise = adapt_state.step_size * normal(words[:size], space.dtype)
        numbers = uniform(words[size:], space.dtype)

        slope = multiply(space, sqrt_inv, z_grad)
        step = jnp.where(numbers[:size] < jax.nn.sigmoid(-noise * slope), noise, -noise)
        proposal = z + multiply(space, sqrt_inv, step, transpose=True)
        potential, gradient = self.target.potential_and_grad(proposal, arrays)
        slope_there = multiply(space, sqrt_inv, gradient)
        # The densities of the step and of its reverse, each up to that of the noise, which is symmetric.
        forwards, backwards = jax.nn.log_sigmoid(-step * slope), jax.nn.log_sigmoid(step * slope_there)
        log_ratio = state.potential_energy - potential + jnp.sum(backwards - forwards)
        is_valid = jnp.isfinite(potential) & jnp.all(jnp.isfinite(gradient))
        accept_prob = jnp.where(is_valid, jnp.exp(jnp.minimum(log_ratio, 0)), 0)
        accept = numbers[size] < accept_prob
        z, z_grad = jnp.where(accept, proposal, z), jnp.where(accept, gradient, z_grad)
        potential = jnp.where(accept, potential, state.potential_energy)

        if self.adaptation.num_steps > 0:
            adapt_state = lax.cond(
                state.i < self.adaptation.num_steps,
                lambda adapt_state: self._adapt(state.i, accept_prob, z, adapt_state),
                lambda adapt_state: adapt_state,
                adapt_state,
            )
        mean = running_mean(state.mean_accept_prob, accept_prob, state.i, self.adaptation.num_steps)
        unravel = space.unravel
        return BarkerMHState(
            state.i + 1, unravel(z), potential, unravel(z_grad), accept_prob, mean, adapt_state, rng_key
        )

    def _adapt(self, i: Any, accept_prob: Any, z: jax.Array, before: Any) -> Any:
        after = self.adaptation.update(i, accept_prob, z, before)
        return lax.cond(self.adaptation.ends_window(before, after), self.adaptation.renew, lambda x: x, after)


def running_mean(mean: Any, value: Any, i: Any, num_warmup: int) -> jax.Array:
    """Average over the iterations before and at number ``i``, which begins anew after the warm-up."""
    count = jnp.where(i >= num_warmup, i - num_warmup, i) + 1
    mean = jnp.where(count == 1, 0, mean)
    return mean + (value - mean) / count

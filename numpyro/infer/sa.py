# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Sample adaptive Markov chain Monte Carlo.

The state is a set ``S`` of ``N`` points. An iteration draws a point from the normal distribution that has the mean and
covariance of ``S``, and then discards one of the ``N + 1`` points: the ``n``-th with probability proportional to
``q(x_n | S_n) / p(x_n)``, where ``S_n`` are the other points and ``q(. | S_n)`` is their normal distribution. The
stationary distribution of ``S`` is that of ``N`` independent draws from ``p``, although the proposal adapts for ever.

The other points' moments come from those of all points by a rank-one update, so that one factorisation serves all
``n``: with ``M = N + 1`` points, their mean ``m`` and scatter matrix ``C``, ``u = x_n - m`` and ``a = M / N``, the
point is ``a u`` away from the mean of the others, whose scatter matrix is ``C - a u u^T``.

**Reference:** Zhu (2019), *Sample Adaptive MCMC*, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
from jax import lax
import jax.numpy as jnp

from numpyro.infer.barker import running_mean
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.random_words import next_words, normal, uniform
from numpyro.infer.target import Target
from numpyro.infer.target_kernel import Program, TargetKernel

__all__ = ["SA", "SAAdaptState", "SAState"]

_SPREAD = 1.0
"""Standard deviation of the first points, in unconstrained space, about the start."""

_DIVERGENCE = 1000.0
"""Increase of the potential energy from which a proposal counts as divergent."""


class SAAdaptState(NamedTuple):
    """The points of :class:`SA`.

    :param zs: the points, flat vectors in unconstrained space, shape ``(adapt_state_size, latent size)``.
    :param pes: their potential energies.
    :param loc: their mean.
    :param inv_mass_matrix_sqrt: lower triangular factor of their covariance, or their standard deviations.
    """

    zs: Any
    pes: Any
    loc: Any
    inv_mass_matrix_sqrt: Any


class SAState(NamedTuple):
    """State of :class:`SA`.

    :param i: number of iterations so far, warm-up included.
    :param z: one of the points, drawn at random: parameters in unconstrained space.
    :param potential_energy: potential energy at ``z``.
    :param accept_prob: probability that the last proposal was not the point to be discarded.
    :param mean_accept_prob: average of these so far, in warm-up and in sampling each by itself.
    :param diverging: whether the potential energy of the last proposal was larger than that of ``z`` by more than 1000,
        or NaN.
    :param adapt_state: :class:`SAAdaptState`.
    :param rng_key: random key of the next iteration.
    """

    i: Any
    z: Any
    potential_energy: Any
    accept_prob: Any
    mean_accept_prob: Any
    diverging: Any
    adapt_state: Any
    rng_key: Any


class SA(TargetKernel):
    """Sample adaptive Monte Carlo: the proposal is the normal distribution of a set of points that adapts for ever.

    One evaluation of the density for each iteration, and no gradient. It is quick where a normal distribution with the
    posterior's covariance is a good proposal, that is in moderate dimension (up to some tens) and without heavy tails
    or strong curvature. It needs a long warm-up: about ten to a hundred iterations for each of the points, which have
    to find the bulk of the posterior one after the other.

    :param model: a model. Either this or ``potential_fn``.
    :param potential_fn: potential energy (minus the log density) of a pytree of unconstrained parameters; then
        ``init_params`` must be given to :meth:`MCMC.run <numpyro.infer.mcmc.MCMC.run>`.
    :param adapt_state_size: number of points; larger than the number of latent parameters plus one with ``dense_mass``,
        and at least 3. Default: twice the number of latent parameters, but at least 3.
    :param dense_mass: whether the proposal has the full covariance of the points, or the variances only.
    :param init_strategy: how to find a start; the points begin about it. See :mod:`numpyro.infer.initialization`.
    :raises ValueError: if both or neither of ``model`` and ``potential_fn`` are given, or there are too few points.

    Each draw is one of the points, taken at random. Fields of the state that can be collected: see :class:`SAState`.

    **Source:** Zhu (2019), algorithm 1.

    >>> import numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import MCMC, SA
    >>> def model(y):
    ...     mu = numpyro.sample("mu", dist.Normal(0, 10))
    ...     numpyro.sample("y", dist.Normal(mu, 1), obs=y)
    >>> mcmc = MCMC(SA(model, adapt_state_size=10), num_warmup=1000, num_samples=2000, progress_bar=False)
    >>> mcmc.run(jax.random.PRNGKey(0), jnp.array([1.0, 2.0, 3.0]))
    >>> bool(abs(mcmc.get_samples()["mu"].mean() - 2) < 0.2)
    True
    """

    is_pure = True

    def __init__(
        self,
        model: Callable[..., Any] | None = None,
        potential_fn: Callable[..., Any] | None = None,
        adapt_state_size: int | None = None,
        dense_mass: bool = True,
        init_strategy: Callable[..., Any] = init_to_uniform,
    ) -> None:
        super().__init__(model, potential_fn, init_strategy)
        if not isinstance(dense_mass, bool):
            raise ValueError(f"SA takes `dense_mass` True or False, without blocks of sites, but it is {dense_mass!r}.")
        if adapt_state_size is not None and adapt_state_size < 3:
            raise ValueError(f"`adapt_state_size` must be at least 3, but it is {adapt_state_size}.")
        self._adapt_state_size = adapt_state_size
        self._dense_mass = dense_mass

    @property
    def default_fields(self) -> tuple[str, ...]:
        return ("z", "diverging")

    def get_diagnostics_str(self, state: SAState) -> str:
        return f"acc. prob={float(state.mean_accept_prob):.2f}"

    def compose(self, target: Target, num_warmup: int) -> _Program:
        size = target.space.size
        count = max(2 * size, 3) if self._adapt_state_size is None else self._adapt_state_size
        if self._dense_mass and count < size + 2:
            raise ValueError(
                f"SA needs more points than parameters to estimate a dense covariance from all points but one: "
                f"`adapt_state_size` is {count}, but there are {size} latent parameters. Make it at least {size + 2}, "
                "or pass dense_mass=False."
            )
        return _Program(target, num_warmup, count, self._dense_mass)


@dataclass(frozen=True, eq=False)
class _Program(Program):
    """What :class:`SA` compiles for a target, for ``count`` points."""

    num_warmup: int
    count: int
    dense: bool

    def begin(self, rng_key: Any, init_params: Any, arrays: Any) -> SAState:
        """The first state; its potential energy is infinite if there is no valid start."""
        space = self.target.space
        rng_key, start_key = jax.random.split(rng_key)
        position = None if init_params is None else space.ravel(init_params)
        start = self.target.find_start(start_key, position, arrays, with_gradient=False)
        rng_key, words = next_words(rng_key, (self.count - 1) * space.size)
        others = start.position + _SPREAD * normal(words, space.dtype).reshape(self.count - 1, space.size)
        pes = jax.vmap(lambda z: self.target.potential(z, arrays))(others)
        zs = jnp.concatenate([start.position[None], others])
        pes = jnp.concatenate([start.potential_energy[None], pes])
        zero = jnp.zeros((), space.dtype)
        return SAState(
            jnp.zeros((), jnp.int32),
            space.unravel(start.position),
            start.potential_energy,
            zero,
            zero,
            jnp.zeros((), bool),
            SAAdaptState(zs, pes, *self._moments(zs)),
            rng_key,
        )

    def _moments(self, zs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean of the points, and the factor of their covariance."""
        loc = jnp.mean(zs, 0)
        deviations = zs - loc
        if not self.dense:
            return loc, jnp.sqrt(jnp.sum(deviations**2, 0) / (self.count - 1))
        return loc, _cholesky(deviations.T @ deviations / (self.count - 1))

    def log_proposal_densities(self, points: jax.Array) -> jax.Array:
        """Log density of each point under the normal distribution of all others, up to a constant."""
        factor = len(points) / (len(points) - 1)
        deviations = points - jnp.mean(points, 0)
        if self.dense:
            root = _cholesky(deviations.T @ deviations)
            # Many right-hand sides at once are slow in a batch of chains; a product is not.
            inverse = lax.linalg.triangular_solve(
                root, jnp.eye(len(root), dtype=root.dtype), left_side=True, lower=True
            )
            leverages = jnp.sum((deviations @ inverse.T) ** 2, -1, keepdims=True)
        else:
            leverages = deviations**2 / jnp.sum(deviations**2, 0)
        # det(C - a u u^T) = det(C) (1 - a h), and u^T (C - a u u^T)^-1 u = h / (1 - a h), with h = u^T C^-1 u.
        rest = jnp.maximum(1 - factor * leverages, jnp.finfo(points.dtype).eps)
        degrees = len(points) - 2
        return -0.5 * jnp.sum(jnp.log(rest) + degrees * factor**2 * leverages / rest, -1)

    def refresh(self, state: SAState, arrays: Any) -> SAState:
        positions = jnp.concatenate([state.adapt_state.zs, self.target.space.ravel(state.z)[None]])
        pes = jax.vmap(lambda z: self.target.potential(z, arrays))(positions)
        return state._replace(potential_energy=pes[-1], adapt_state=state.adapt_state._replace(pes=pes[:-1]))

    def transition(self, state: SAState, arrays: Any) -> SAState:
        """One iteration."""
        space, adapt_state, count = self.target.space, state.adapt_state, self.count
        rng_key, words = next_words(state.rng_key, space.size + 2)
        noise = normal(words[: space.size], space.dtype)
        which_leaves, which_is_drawn = uniform(words[space.size :], space.dtype)

        root = adapt_state.inv_mass_matrix_sqrt
        proposal = adapt_state.loc + (root @ noise if self.dense else root * noise)
        potential = self.target.potential(proposal, arrays)
        points = jnp.concatenate([adapt_state.zs, proposal[None]])
        pes = jnp.concatenate([adapt_state.pes, potential[None]])

        # A point without density must be the first to go; of several, any.
        energies = jnp.where(jnp.isfinite(pes), pes, jnp.finfo(space.dtype).max / 4)
        weights = jax.nn.softmax(self.log_proposal_densities(points) + energies)
        leaves = jnp.sum(jnp.cumsum(weights[:-1]) <= which_leaves)
        at = jnp.arange(count) == leaves
        zs = jnp.where(at[:, None], proposal, adapt_state.zs)
        pes = jnp.where(at, potential, adapt_state.pes)

        drawn = jnp.minimum((which_is_drawn * count).astype(jnp.int32), count - 1)
        rise = potential - state.potential_energy
        accept_prob = 1 - weights[-1]
        return SAState(
            state.i + 1,
            space.unravel(zs[drawn]),
            pes[drawn],
            accept_prob,
            running_mean(state.mean_accept_prob, accept_prob, state.i, self.num_warmup),
            (rise > _DIVERGENCE) | jnp.isnan(rise),
            SAAdaptState(zs, pes, *self._moments(zs)),
            rng_key,
        )


def _cholesky(scatter: jax.Array) -> jax.Array:
    """Cholesky's factor, of a matrix that rounding may have made singular."""
    relative = len(scatter) * jnp.finfo(scatter.dtype).eps
    return jnp.linalg.cholesky(scatter + relative * jnp.diag(jnp.diag(scatter)))

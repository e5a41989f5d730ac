# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Step sizes: the first guess, and dual averaging towards a target acceptance probability.

**Reference:** Hoffman and Gelman (2014), *The No-U-Turn Sampler*, section 3.2 and algorithms 4 and 5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import lax
import jax.numpy as jnp

from numpyro.infer.integrator import velocity_verlet

__all__ = ["DualAveragingState", "dual_averaging", "find_reasonable_step_size"]


class DualAveragingState(NamedTuple):
    """State of dual averaging.

    :param x_t: current iterate (the logarithm of the step size).
    :param x_avg: weighted average of the iterates, which is what converges.
    :param g_avg: average of the statistics ``g``.
    :param t: number of updates.
    :param prox_center: the point towards which iterates shrink.
    """

    x_t: Any
    x_avg: Any
    g_avg: Any
    t: Any
    prox_center: Any


def dual_averaging(
    t0: float = 10, kappa: float = 0.75, gamma: float = 0.05
) -> tuple[Callable[..., DualAveragingState], Callable[..., DualAveragingState]]:
    """Nesterov's dual averaging: find ``x`` at which a noisy statistic ``g(x)`` has mean zero.

    After the ``t``-th statistic (Hoffman and Gelman 2014, eq. 6)::

        g_avg <- (1 - 1/(t + t0)) g_avg + g/(t + t0)
        x     <- prox_center - sqrt(t)/gamma g_avg
        x_avg <- t^-kappa x + (1 - t^-kappa) x_avg

    :param t0: how many updates the first ones are damped as if there had been.
    :param kappa: in ``(0.5, 1]``; how fast the average forgets.
    :param gamma: strength of the shrinkage towards ``prox_center``.
    :returns: ``init_fn(prox_center=0.)`` and ``update_fn(g, state)``.

    >>> init, update = dual_averaging()
    >>> state = init()
    >>> for _ in range(200):
    ...     state = update(jnp.tanh(state.x_t - 1.0), state)
    >>> bool(abs(state.x_avg - 1.0) < 0.01)
    True
    """

    def init_fn(prox_center: Any = 0.0) -> DualAveragingState:
        zero = jnp.zeros_like(prox_center, dtype=jnp.result_type(float))
        return DualAveragingState(zero, zero, zero, jnp.zeros((), dtype=jnp.int32), prox_center)

    def update_fn(g: Any, state: DualAveragingState) -> DualAveragingState:
        _, x_avg, g_avg, t, prox_center = state
        t = t + 1
        g_avg = (1 - 1 / (t + t0)) * g_avg + g / (t + t0)
        x_t = prox_center - jnp.sqrt(t) / gamma * g_avg
        weight = jnp.asarray(t, g_avg.dtype) ** (-kappa)
        x_avg = (1 - weight) * x_avg + weight * x_t
        return DualAveragingState(x_t, x_avg, g_avg, t, prox_center)

    return init_fn, update_fn


def find_reasonable_step_size(
    potential_fn: Callable[..., Any],
    kinetic_fn: Callable[..., Any],
    momentum_generator: Callable[..., Any],
    init_step_size: Any,
    inverse_mass_matrix: Any,
    z_info: Any,
    rng_key: jax.Array,
) -> jax.Array:
    """Double or halve a step size until the acceptance probability of one leapfrog step crosses 0.8.

    :param potential_fn: potential energy of a position.
    :param kinetic_fn: ``kinetic_fn(inverse_mass_matrix, r)``.
    :param momentum_generator: ``momentum_generator(prototype, mass_matrix_sqrt, rng_key)`` draws a momentum.
    :param init_step_size: where to begin.
    :param inverse_mass_matrix: a vector, a matrix, or a dict of blocks.
    :param z_info: the position: an :class:`~numpyro.infer.integrator.IntegratorState`, or its first, third and fourth
        field ``(z, potential_energy, z_grad)``.
    :param rng_key: random key.
    :returns: the step size, a scalar.
    """
    z, potential, gradient = (
        (z_info.z, z_info.potential_energy, z_info.z_grad) if hasattr(z_info, "z") else tuple(z_info)
    )
    init_fn, update_fn = velocity_verlet(potential_fn, kinetic_fn)
    sqrt = jax.tree.map(lambda block: _mass_sqrt(block), inverse_mass_matrix)

    def acceptance(step_size: Any, key: jax.Array) -> jax.Array:
        r = momentum_generator(z, sqrt, key)
        start = init_fn(z, r, potential, gradient)
        end = update_fn(step_size, inverse_mass_matrix, start)
        before = start.potential_energy + kinetic_fn(inverse_mass_matrix, start.r)
        delta = end.potential_energy + kinetic_fn(inverse_mass_matrix, end.r) - before
        return jnp.where(jnp.isnan(delta), 0.0, jnp.exp(-delta))

    def body(state: tuple[Any, ...]) -> tuple[Any, ...]:
        step_size, _, direction, key = state
        key, draw_key = jax.random.split(key)
        step_size = step_size * 2.0**direction
        return step_size, direction, jnp.where(acceptance(step_size, draw_key) > 0.8, 1, -1), key

    def cond(state: tuple[Any, ...]) -> jax.Array:
        step_size, previous, direction, _ = state
        limits = jnp.finfo(jnp.result_type(step_size))
        inside = (step_size > limits.tiny * 4) & (step_size < limits.max / 4)
        return ((previous == 0) | (previous == direction)) & inside

    start = jnp.asarray(init_step_size, dtype=jnp.result_type(float))
    zero = jnp.zeros((), dtype=jnp.int32)
    return lax.while_loop(cond, body, (start, zero, zero, rng_key))[0]


def _mass_sqrt(inverse: jax.Array) -> jax.Array:
    from numpyro.infer.metric import factorize

    return factorize(jnp.asarray(inverse))[1]

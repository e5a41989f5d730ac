# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Leapfrog steps of Hamiltonian dynamics.

For a Hamiltonian ``H(z, r) = U(z) + K(r)`` the leapfrog (velocity Verlet) step of size ``e`` is

    r <- r - e/2 dU/dz,    z <- z + e dK/dr,    r <- r - e/2 dU/dz.

It is reversible, keeps volume, and its energy error over a fixed time is ``O(e^2)``.

**Reference:** Neal (2011), *MCMC using Hamiltonian dynamics*, section 2.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.flatten_util import ravel_pytree
import jax.numpy as jnp

__all__ = [
    "Hamiltonian",
    "IntegratorState",
    "Point",
    "euclidean_kinetic_energy",
    "leapfrog",
    "value_and_grad",
    "velocity_verlet",
]


class IntegratorState(NamedTuple):
    """A point of phase space.

    :param z: position (any pytree).
    :param r: momentum, of the structure of ``z``.
    :param potential_energy: ``U(z)``.
    :param z_grad: gradient of ``U`` at ``z``.
    """

    z: Any
    r: Any
    potential_energy: Any
    z_grad: Any


IntegratorState.__new__.__defaults__ = (None, None)


class Point(NamedTuple):
    """A point of phase space as flat vectors: position, momentum, gradient of the potential energy."""

    position: jax.Array
    momentum: jax.Array
    gradient: jax.Array


class Hamiltonian(NamedTuple):
    """A Hamiltonian on flat vectors.

    :param potential_and_grad: potential energy and gradient at a position.
    :param kinetic: kinetic energy of a momentum.
    :param velocity: its derivative.
    :param is_euclidean: whether the kinetic energy of ``p`` is ``p . p / 2``, so that inner products of momenta tell
        whether a pair of states turns back.
    """

    potential_and_grad: Callable[[jax.Array], tuple[jax.Array, jax.Array]]
    kinetic: Callable[[jax.Array], jax.Array]
    velocity: Callable[[jax.Array], jax.Array]
    is_euclidean: bool = False


def value_and_grad(
    potential_fn: Callable[..., Any], forward_mode_differentiation: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """Value and gradient of a scalar function of its first argument.

    :param forward_mode_differentiation: differentiate forwards, which costs one pass for each dimension but works
        through ``lax.while_loop``.

    >>> value, grad = value_and_grad(lambda x: x**2, forward_mode_differentiation=True)(3.0)
    >>> float(value), float(grad)
    (9.0, 6.0)
    """
    if not forward_mode_differentiation:
        return jax.value_and_grad(potential_fn)

    def twice(*args: Any) -> tuple[Any, Any]:
        value = potential_fn(*args)
        return value, value

    def forward(*args: Any) -> tuple[Any, Any]:
        gradient, value = jax.jacfwd(twice, has_aux=True)(*args)
        return value, gradient

    return forward


def leapfrog(
    potential_and_grad: Callable[[jax.Array], tuple[jax.Array, jax.Array]],
    velocity: Callable[[jax.Array], jax.Array],
    step_size: Any,
    point: Point,
) -> tuple[Point, jax.Array]:
    """One leapfrog step on flat vectors.

    :param potential_and_grad: potential energy and its gradient at a position.
    :param velocity: derivative of the kinetic energy at a momentum.
    :param step_size: size of the step; negative steps go back in time.
    :param point: where the step starts.
    :returns: where it ends, and the potential energy there.
    """
    momentum = point.momentum - 0.5 * step_size * point.gradient
    position = point.position + step_size * velocity(momentum)
    potential, gradient = potential_and_grad(position)
    momentum = momentum - 0.5 * step_size * gradient
    return Point(position, momentum, gradient), potential


def velocity_verlet(
    potential_fn: Callable[..., Any], kinetic_fn: Callable[..., Any], forward_mode_differentiation: bool = False
) -> tuple[Callable[..., IntegratorState], Callable[..., IntegratorState]]:
    """Leapfrog integrator for any kinetic energy, on pytrees.

    :param potential_fn: potential energy of a position.
    :param kinetic_fn: ``kinetic_fn(inverse_mass_matrix, r)``, kinetic energy of a momentum.
    :param forward_mode_differentiation: see :func:`value_and_grad`.
    :returns: ``init_fn(z, r, potential_energy=None, z_grad=None)`` makes an :class:`IntegratorState`;
        ``update_fn(step_size, inverse_mass_matrix, state)`` takes one step.

    >>> init, update = velocity_verlet(lambda z: 0.5 * z**2, euclidean_kinetic_energy)
    >>> state = update(0.1, jnp.ones(1), init(jnp.array(1.0), jnp.array(0.0)))
    >>> round(float(state.z), 4), round(float(state.r), 5)
    (0.995, -0.09975)
    """
    potential_and_grad = value_and_grad(potential_fn, forward_mode_differentiation)

    def init_fn(z: Any, r: Any, potential_energy: Any = None, z_grad: Any = None) -> IntegratorState:
        if potential_energy is None or z_grad is None:
            potential_energy, z_grad = potential_and_grad(z)
        return IntegratorState(z, r, potential_energy, z_grad)

    def update_fn(step_size: Any, inverse_mass_matrix: Any, state: IntegratorState) -> IntegratorState:
        z, r, _, gradient = state
        r = jax.tree.map(lambda r, g: r - 0.5 * step_size * g, r, gradient)
        velocity = jax.grad(kinetic_fn, argnums=1)(inverse_mass_matrix, r)
        z = jax.tree.map(lambda z, v: z + step_size * v, z, velocity)
        potential, gradient = potential_and_grad(z)
        r = jax.tree.map(lambda r, g: r - 0.5 * step_size * g, r, gradient)
        return IntegratorState(z, r, potential, gradient)

    return init_fn, update_fn


def euclidean_kinetic_energy(inverse_mass_matrix: Any, r: Any) -> jax.Array:
    """Kinetic energy ``r^T M^-1 r / 2``.

    :param inverse_mass_matrix: ``M^-1``: a vector (its diagonal), a matrix, or a dict from tuples of site names to
        either.
    :param r: momentum; a dict from site names to arrays if the mass matrix is a dict.

    >>> float(euclidean_kinetic_energy(jnp.array([1.0, 2.0]), jnp.array([1.0, 1.0])))
    1.5
    """
    if isinstance(inverse_mass_matrix, dict):
        blocks = [
            euclidean_kinetic_energy(block, tuple(r[name] for name in names))
            for names, block in inverse_mass_matrix.items()
        ]
        return jnp.stack(blocks).sum()
    r, _ = ravel_pytree(r)
    velocity = inverse_mass_matrix @ r if jnp.ndim(inverse_mass_matrix) == 2 else inverse_mass_matrix * r
    return 0.5 * jnp.dot(r, velocity)

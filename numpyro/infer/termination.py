# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""When a trajectory of NUTS ends: the no-U-turn criterion, and the subtrees to which it is applied.

With the velocity ``v`` of a momentum, a span of states from ``p`` to ``q`` whose momenta sum to ``rho`` turns back if

    v(p) . rho <= 0    or    v(q) . rho <= 0.

It is asked of each subtree of the binary tree of states, and of each subtree's halves with the next state of the
other. What is needed of the states where an open subtree begins is kept in rows, at most one for each level.

**References:** Betancourt (2017), *A Conceptual Introduction to Hamiltonian Monte Carlo*, appendix A.4.2; Phan, Pradhan
and Jankowiak (2019), *Composable Effects for Flexible and Accelerated Probabilistic Programming in NumPyro*, for trees
without recursion.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from numpyro.infer.integrator import Hamiltonian
from numpyro.infer.metric import any_is_negative, inner_products

__all__ = ["TURNED", "Rows", "any_turns", "last_pair", "subtrees_turn", "with_row"]

TURNED = -1
"""What the search for a subtree that turns back ends with if it finds one."""

_SMALL = 512
"""Bytes up to which an array is small to XLA's CPU runtime (``execute_sequential_buffer_threshold``)."""

_ROW_SIZE = 64
"""Size of vectors from which a row is written in place rather than selected among all."""


class Rows(NamedTuple):
    """Rows of three vectors each: in one array, or in an array for each vector if that makes them small.

    XLA's CPU runtime runs a program one operation after the other, without looking for what it could do at the same
    time, if all of the arrays in it are small: 1 microsecond for a step of 10 parameters rather than 1.7.
    """

    arrays: tuple[jax.Array, ...]

    @classmethod
    def empty(cls, count: int, vector: jax.Array) -> Rows:
        """Rows of zeros, of vectors like this one."""
        if count * vector.nbytes <= _SMALL < 3 * count * vector.nbytes:
            return cls((jnp.zeros((count, vector.size), vector.dtype),) * 3)
        return cls((jnp.zeros((count, 3, vector.size), vector.dtype),))

    @property
    def num_rows(self) -> int:
        return self.arrays[0].shape[0]

    def entry(self, row: Any, part: int) -> jax.Array:
        """A vector of a row."""
        if len(self.arrays) == 3:
            return lax.dynamic_index_in_dim(self.arrays[part], row, 0, keepdims=False)
        array = self.arrays[0]
        start = (row, np.int32(part), np.int32(0))
        return lax.dynamic_slice(array, start, (1, 1, array.shape[-1])).ravel()

    def replaced(self, row: Any, *vectors: jax.Array) -> Rows:
        """The rows with another one in its place."""
        if len(self.arrays) == 3:
            return Rows(tuple(with_row(*pair, row) for pair in zip(self.arrays, vectors, strict=True)))
        return Rows((with_row(self.arrays[0], jnp.stack(vectors), row),))


def any_turns(hamiltonian: Hamiltonian, *spans: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
    """The generalised no-U-turn criterion (Betancourt 2017, eq. 4 of appendix A.4.2), for any of some spans.

    A span is given by its first and its last momentum and ``rho``, the sum of all of its momenta.
    """
    velocity = hamiltonian.velocity
    return any_is_negative([([velocity(first), velocity(last)], rho) for first, last, rho in spans])


def last_pair(
    hamiltonian: Hamiltonian, previous: jax.Array, last: jax.Array, previous_kinetic: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Kinetic energy of the last state, and whether it and the state before turn back.

    With ``p`` as the velocity of ``p`` the criterion for the pair ``p, q`` is ``p . q <= -min(p . p, q . q)``: given
    both kinetic energies it takes one inner product more.
    """
    if not hamiltonian.is_euclidean:
        return hamiltonian.kinetic(last), any_turns(hamiltonian, (previous, last, previous + last))
    square, product = inner_products([last, previous], last)
    kinetic = 0.5 * square
    return kinetic, product + 2 * jnp.minimum(kinetic, previous_kinetic) <= 0


def with_row(rows: jax.Array, new: jax.Array, index: jax.Array) -> jax.Array:
    """``rows`` with ``new`` at ``index``. Few numbers are selected, since of many chains each has an index of its own,
    and a scatter writes one after another."""
    if new.shape[-1] >= _ROW_SIZE:
        return lax.dynamic_update_index_in_dim(rows, new, index, 0)
    here = jnp.arange(rows.shape[0]) == index
    return jnp.where(here.reshape((-1,) + (1,) * new.ndim), new, rows)


def subtrees_turn(
    hamiltonian: Hamiltonian,
    checkpoints: Rows,
    leaf: jax.Array,
    last: jax.Array,
    total: jax.Array,
    level: jax.Array,
) -> jax.Array:
    """``TURNED`` if one of the subtrees that the state with number ``leaf`` completes turns back.

    ``level`` is what is known of its pair: 0 if it completes none, 1 if the pair does not turn back, or
    ``TURNED``.

    As many subtrees end at ``leaf`` as its binary number has trailing ones, of 2, 4, 8 states and so on. They begin
    at the most recent checkpoints; where one begins, the second half of the next larger one begins.
    """

    def body(level: jax.Array) -> jax.Array:
        row = lax.population_count(leaf) - 1 - level
        entry = checkpoints.entry
        first, sum_at_first = entry(row, 0), entry(row, 1)
        middle, sum_at_middle, previous = (entry(row + 1, part) for part in range(3))
        turns = any_turns(
            hamiltonian,
            (first, last, total - sum_at_first + first),
            (first, middle, sum_at_middle - sum_at_first + first),
            (previous, last, total - sum_at_middle + middle + previous),
        )
        return jnp.where(turns, TURNED, level + 1)

    def goes_on(level: jax.Array) -> jax.Array:
        return (level > 0) & ((lax.shift_right_logical(leaf, jnp.maximum(level, 0)) & 1) == 1)

    return lax.while_loop(goes_on, body, level.astype(leaf.dtype))

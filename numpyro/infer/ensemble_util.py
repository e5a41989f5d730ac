# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The moves of the ensemble samplers, and helpers for those who write their own.

A move proposes for the *active* half of the walkers with the help of the *inactive* half. Both are arrays of flat
vectors of the same shape ``(half, latent size)``.

- A move of :class:`~numpyro.infer.ensemble.AIES` is ``move(rng_key, active, inactive)``; it returns proposals and the
  logarithms of the factors of their acceptance ratios.
- A move of :class:`~numpyro.infer.ensemble.ESS` is ``move(rng_key, inactive, mu)``; it returns a direction for each
  active walker, whose length is the initial width of the slice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import math
from typing import Any

import jax
from jax.flatten_util import ravel_pytree
import jax.numpy as jnp
import numpy as np

from numpyro.infer.random_words import next_words, normal, uniform

__all__ = [
    "DEMove",
    "DifferentialMove",
    "GaussianMove",
    "KDEMove",
    "RandomMove",
    "StretchMove",
    "batch_ravel_pytree",
    "get_nondiagonal_indices",
]


@dataclass(frozen=True)
class StretchMove:
    """Stretch the line from a random inactive walker to the active one: ``y = x_j + z (x - x_j)``, where ``z`` has
    density proportional to ``1 / sqrt(z)`` on ``[1 / a, a]``. Never changes the line: two walkers are enough.

    :param a: largest stretch, greater than 1.

    **Source:** Goodman and Weare (2010), *Ensemble samplers with affine invariance*, eqs. 7 to 10.
    """

    a: float = 2.0
    stays_in_hull = True
    min_half = 1

    def __post_init__(self) -> None:
        if not self.a > 1:
            raise ValueError(f"StretchMove: `a` must be greater than 1, but it is {self.a}.")

    def __call__(self, rng_key: Any, active: jax.Array, inactive: jax.Array) -> tuple[jax.Array, jax.Array]:
        count, size = active.shape
        _, words = next_words(rng_key, 2 * count)
        numbers = uniform(words, active.dtype)
        stretch = ((self.a - 1) * numbers[:count] + 1) ** 2 / self.a
        anchors = inactive[_index(numbers[count:], len(inactive))]
        return anchors + stretch[:, None] * (active - anchors), (size - 1) * jnp.log(stretch)


@dataclass(frozen=True)
class DEMove:
    """Differential evolution: add a multiple of the difference of two random inactive walkers,
    ``y = x + g (x_l - x_m)`` with ``g = g0 (1 + sigma e)``, ``e`` standard normal.

    :param sigma: relative spread of the factor, at least 0.
    :param g0: mean factor. Default: ``2.38 / sqrt(2 d)`` for ``d`` latent parameters.

    **Sources:** Ter Braak (2006), *A Markov chain Monte Carlo version of the genetic algorithm differential evolution*;
    Nelson, Ford and Payne (2014), *RUN DMC*, section 2.
    """

    sigma: float = 1e-5
    g0: float | None = None
    stays_in_hull = True
    min_half = 2

    def __post_init__(self) -> None:
        if not self.sigma >= 0:
            raise ValueError(f"DEMove: `sigma` must not be negative, but it is {self.sigma}.")

    def __call__(self, rng_key: Any, active: jax.Array, inactive: jax.Array) -> tuple[jax.Array, jax.Array]:
        count, size = active.shape
        _, words = next_words(rng_key, 3 * count)
        g0 = 2.38 / math.sqrt(2 * size) if self.g0 is None else self.g0
        factor = g0 * (1 + self.sigma * normal(words[:count], active.dtype))
        return active + factor[:, None] * _differences(words[count:], inactive), jnp.zeros(count, active.dtype)


@dataclass(frozen=True)
class DifferentialMove:
    """Directions are differences of two random inactive walkers, times ``mu``.

    **Source:** Karamanis and Beutler (2021), *Ensemble slice sampling*, section on the differential move.
    """

    stays_in_hull = True
    min_half = 2

    def __call__(self, rng_key: Any, inactive: jax.Array, mu: Any) -> jax.Array:
        _, words = next_words(rng_key, 2 * len(inactive))
        return mu * _differences(words, inactive)


@dataclass(frozen=True)
class GaussianMove:
    """Directions are normal with the covariance of the inactive walkers, times ``2 mu``.

    **Source:** Karamanis and Beutler (2021), *Ensemble slice sampling*, section on the Gaussian move.
    """

    stays_in_hull = True
    min_half = 2

    def __call__(self, rng_key: Any, inactive: jax.Array, mu: Any) -> jax.Array:
        _, words = next_words(rng_key, len(inactive) ** 2)
        return 2 * mu * _normal_like(words, inactive)


@dataclass(frozen=True)
class RandomMove:
    """Directions are uniform on the sphere, times ``2 mu``. The other walkers do not matter, so that it is not
    invariant under affine maps, but takes any number of walkers.

    **Source:** Karamanis and Beutler (2021), *Ensemble slice sampling*, section on the random move.
    """

    stays_in_hull = False
    min_half = 1

    def __call__(self, rng_key: Any, inactive: jax.Array, mu: Any) -> jax.Array:
        _, words = next_words(rng_key, inactive.size)
        directions = normal(words, inactive.dtype).reshape(inactive.shape)
        return 2 * mu * directions / jnp.linalg.norm(directions, axis=-1, keepdims=True)


@dataclass(frozen=True)
class KDEMove:
    """Directions are differences of two draws from a Gaussian kernel density estimate of the inactive walkers, times
    ``mu``; good for posteriors with several modes.

    :param bw_method: how wide the kernels are, in units of the walkers' standard deviation: ``"scott"`` (the default,
        ``n^(-1 / (d + 4))``), ``"silverman"`` (``(n (d + 2) / 4)^(-1 / (d + 4))``) or a positive number.

    **Source:** Karamanis and Beutler (2021), *Ensemble slice sampling*, section on the KDE move; Scott (1992),
    *Multivariate density estimation*, and Silverman (1986), *Density estimation*, for the widths.
    """

    bw_method: str | float | None = None
    stays_in_hull = True
    min_half = 2

    def __post_init__(self) -> None:
        named = self.bw_method in (None, "scott", "silverman")
        if not named and (isinstance(self.bw_method, str) or not self.bw_method > 0):  # type: ignore[operator]
            raise ValueError(
                f'KDEMove: `bw_method` must be "scott", "silverman" or a positive number, but it is {self.bw_method!r}.'
            )

    def _width(self, count: int, size: int) -> float:
        if self.bw_method in (None, "scott"):
            return count ** (-1 / (size + 4))
        if self.bw_method == "silverman":
            return (count * (size + 2) / 4) ** (-1 / (size + 4))
        return float(self.bw_method)

    def __call__(self, rng_key: Any, inactive: jax.Array, mu: Any) -> jax.Array:
        count, size = inactive.shape
        _, words = next_words(rng_key, (2 + count) * count)
        first, second = jnp.split(_index(uniform(words[: 2 * count], inactive.dtype), count), 2)
        # The difference of two kernels' deviations is normal with twice their covariance.
        noise = math.sqrt(2) * self._width(count, size) * _normal_like(words[2 * count :], inactive)
        return mu * (inactive[first] - inactive[second] + noise)


def _index(number: jax.Array, count: int) -> jax.Array:
    """An index below ``count`` from a number in ``[0, 1)``."""
    return jnp.minimum((number * count).astype(jnp.int32), count - 1)


def _differences(words: jax.Array, points: jax.Array) -> jax.Array:
    """Differences of random pairs of different points, one for every two words."""
    numbers = uniform(words, points.dtype).reshape(2, -1)
    first = _index(numbers[0], len(points))
    second = (first + 1 + _index(numbers[1], len(points) - 1)) % len(points)
    return points[first] - points[second]


def _normal_like(words: jax.Array, points: jax.Array) -> jax.Array:
    """Normal vectors with the covariance of the points, one for as many words as there are points: combinations of the
    deviations from their mean, which needs no factorisation and bears a singular covariance."""
    weights = normal(words, points.dtype).reshape(-1, len(points))
    return weights @ (points - jnp.mean(points, 0)) / math.sqrt(len(points) - 1)


def get_nondiagonal_indices(n: int) -> np.ndarray:
    """Indices of the entries of an ``n x n`` matrix that are not on its diagonal, one pair a row: first those below it,
    then those above it.

    >>> get_nondiagonal_indices(3).tolist()
    [[1, 0], [2, 0], [2, 1], [0, 1], [0, 2], [1, 2]]
    """
    return np.concatenate([np.stack(np.tril_indices(n, -1), -1), np.stack(np.triu_indices(n, 1), -1)])


def batch_ravel_pytree(pytree: Any) -> tuple[jax.Array, Callable[[jax.Array], Any]]:
    """Lay out the rows of a pytree of arrays, which have the same leading axis, as flat vectors.

    :returns: an array with one flat vector a row, and the function that turns such an array back into a pytree.

    >>> flat, unravel = batch_ravel_pytree({"a": jnp.zeros((4, 2)), "b": jnp.ones(4)})
    >>> flat.shape, unravel(flat)["a"].shape
    ((4, 3), (4, 2))
    """
    leaves = jax.tree.leaves(pytree)
    if not leaves:
        raise ValueError("batch_ravel_pytree: the pytree has no array.")
    prototype = jax.tree.map(lambda x: jnp.zeros(jnp.shape(x)[1:], jnp.result_type(x)), pytree)
    _, unravel = ravel_pytree(prototype)
    return jax.vmap(lambda row: ravel_pytree(row)[0])(pytree), jax.vmap(unravel)

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Random draws that several distributions need."""

from __future__ import annotations

from collections.abc import Sequence
import itertools
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import broadcast_shapes, shape_of
from numpyro.distributions._special import FEW, sin_quarter_turns


def categorical(key: Any, p: Any, shape: Sequence[int] = ()) -> Any:
    """Draw indices with given probabilities, by inversion: one uniform number for each.

    :param p: array of shape ``batch + (n,)`` of non-negative weights; they need not sum to one.
    :param shape: shape of the draws, to which ``batch`` broadcasts; ``batch`` by default.
    :return: integers from 0 to ``n - 1``.

    >>> categorical(jax.random.key(0), jnp.array([0.0, 1.0]), (3,)).tolist()
    [1, 1, 1]
    """
    p = jnp.asarray(p, jnp.result_type(p, 1.0))
    shape = tuple(shape) or p.shape[:-1]
    uniform = jax.random.uniform(key, shape, p.dtype)
    if p.shape[-1] <= FEW:
        *bounds, total = itertools.accumulate(p[..., k] for k in range(p.shape[-1]))
        beyond = [bound <= uniform * total for bound in bounds]
        return sum(beyond, jnp.zeros(shape, jax.dtypes.canonicalize_dtype(int)))
    cumulative = jnp.cumsum(p, axis=-1)
    threshold = uniform * cumulative[..., -1]
    return jnp.sum(cumulative[..., :-1] <= threshold[..., None], axis=-1)


def binomial(key: Any, p: Any, n: Any = 1, shape: Sequence[int] = ()) -> Any:
    """Draw numbers of successes.

    :param p: probability of success, in [0, 1].
    :param n: number of trials, a non-negative integer.
    :param shape: shape of the draws, to which ``p`` and ``n`` broadcast; their common shape by default.
    :return: integers from 0 to ``n``.

    >>> binomial(jax.random.key(0), jnp.array([0.0, 1.0]), 7).tolist()
    [0, 7]
    """
    shape = tuple(shape) or broadcast_shapes(shape_of(p), shape_of(n))
    p = jnp.asarray(p, jnp.result_type(p, 1.0))
    # The smaller of the two outcomes is drawn: the sampler is exact, and quick, for probabilities up to one half.
    flipped = p > 0.5
    inside = jnp.clip(jnp.where(flipped, 1 - p, p), 0.0, 0.5)
    certain = inside == 0
    count = jax.random.binomial(key, jnp.asarray(n, p.dtype), jnp.where(certain, 0.5, inside), shape, p.dtype)
    count = jnp.where(certain, 0.0, count)
    return jnp.where(flipped, n - count, count).astype(jax.dtypes.canonicalize_dtype(int))


def multinomial(key: Any, p: Any, n: Any, shape: Sequence[int] = (), total_count_max: int | None = None) -> Any:
    """Draw counts of ``n`` outcomes among categories.

    The counts are binomial one after the other, each given those before (Devroye 1986, "Non-uniform random variate
    generation", XI.1.4), so ``n`` may be traced and large. Few outcomes are drawn one by one.

    :param p: array of shape ``batch + (k,)`` of probabilities.
    :param n: number of outcomes, an array that broadcasts to ``shape``.
    :param shape: batch shape of the draws; that of ``p`` and ``n`` by default.
    :param total_count_max: an upper bound of ``n``, to tell that the outcomes are few if ``n`` is traced.
    :return: integers of shape ``shape + (k,)`` that sum to ``n``.

    >>> multinomial(jax.random.key(0), jnp.array([0.5, 0.5, 0.0]), 9).sum().item()
    9
    """
    p = jnp.asarray(p, jnp.result_type(p, 1.0))
    shape = tuple(shape) or broadcast_shapes(p.shape[:-1], shape_of(n))
    dtype = jax.dtypes.canonicalize_dtype(int)
    most = largest_count(n, total_count_max)
    # A binomial number costs as much as some dozens of uniform ones.
    if most is not None and most * (20 + p.shape[-1]) <= 400 * (p.shape[-1] - 1):
        return _outcomes_one_by_one(key, p, jnp.asarray(n, dtype), most, shape)
    # Summed from the right, so that the last category's share is exactly one.
    tail = jnp.flip(jnp.cumsum(jnp.flip(p, -1), -1), -1)
    share = jnp.where(tail > 0, p / jnp.where(tail > 0, tail, 1.0), 0.0)
    share = jnp.moveaxis(jnp.broadcast_to(share, (*shape, p.shape[-1])), -1, 0)

    def draw(left: Any, at: tuple[Any, Any]) -> tuple[Any, Any]:
        count = binomial(at[0], at[1], left, shape)
        return left - count, count

    keys = jax.random.split(key, p.shape[-1] - 1)
    left = jnp.broadcast_to(jnp.asarray(n, dtype), shape)
    left, counts = lax.scan(draw, left, (keys, share[:-1]))
    return jnp.moveaxis(jnp.concatenate([counts, left[None]]), 0, -1)


def largest_count(n: Any, bound: int | None = None) -> int | None:
    """The largest of counts that are known, else their bound, else None.

    >>> largest_count(np.array([2, 5])), largest_count(3, 7)
    (5, 3)
    """
    return bound if isinstance(n, jax.core.Tracer) else int(np.max(np.asarray(n), initial=0))


def _outcomes_one_by_one(key: Any, p: Any, n: Any, most: int, shape: tuple[int, ...]) -> Any:
    """Counts of ``n`` outcomes, at most ``most``, each by inversion of a uniform number."""
    cumulative = jnp.cumsum(p, -1)
    bounds = [cumulative[..., k] for k in range(p.shape[-1] - 1)]

    def draw(i: Any, beyond: Any) -> Any:
        threshold = jax.random.uniform(jax.random.fold_in(key, i), shape, p.dtype) * cumulative[..., -1]
        return [count + ((bound <= threshold) & (i < n)) for count, bound in zip(beyond, bounds, strict=True)]

    none = jnp.zeros(shape, n.dtype)
    # How many outcomes are beyond each category.
    beyond = lax.fori_loop(0, most, draw, [none for _ in bounds])
    counts = [before - after for before, after in zip([none + n, *beyond], [*beyond, none], strict=True)]
    return jnp.stack(counts, -1)


def von_mises_centered(key: Any, concentration: Any, shape: Sequence[int] = (), dtype: Any = None) -> Any:
    """Draw angles in [-π, π] from the von Mises distribution about zero.

    Rejection from a wrapped Cauchy: Best and Fisher (1979), "Efficient simulation of the von Mises distribution". With
    :math:`\\tau = 1 + \\sqrt{1 + 4\\kappa^2}` their :math:`r` is :math:`\\tau / 2\\kappa`; written in
    :math:`s = 1/r` every step is accurate for all :math:`\\kappa \\ge 0`.

    :param concentration: non-negative :math:`\\kappa`.
    :param shape: shape of the draws, to which ``concentration`` broadcasts; its own by default.
    :param dtype: a floating dtype; by default that of ``concentration``.

    >>> bool(jnp.abs(von_mises_centered(jax.random.key(0), 1e6)) < 0.01)
    True
    """
    dtype = jax.dtypes.canonicalize_dtype(jnp.result_type(concentration, 1.0) if dtype is None else dtype)
    shape = tuple(shape) or shape_of(concentration)
    kappa = jnp.broadcast_to(jnp.asarray(concentration, dtype), shape)
    tau = 1 + jnp.sqrt(1 + 4 * kappa**2)
    s = 2 * kappa / tau
    one_minus_s = 2 / tau / (1 + s)

    def attempt(state: tuple[Any, ...]) -> tuple[Any, ...]:
        i, _, key, done, half_sine = state
        key, key_u = jax.random.split(key)
        u = jax.random.uniform(key_u, (2, *shape), dtype, minval=float(jnp.finfo(dtype).tiny))
        # The half of an angle of uniform direction, in quarter turns.
        turn = 2 * u[0] - 1
        c = 1 / (one_minus_s + 2 * s * sin_quarter_turns(1 - jnp.abs(turn)) ** 2)
        proposal = jnp.sqrt(one_minus_s * c) * sin_quarter_turns(turn)
        accepted = jnp.log(c / u[1]) + 1 - c >= 0
        half_sine, done = jnp.where(done, half_sine, proposal), done | accepted
        return i + 1, ~jnp.all(done), key, done, half_sine

    def unfinished(state: tuple[Any, ...]) -> Any:
        # At least 65 % of the proposals are accepted: the bound only ends the loop for parameters that are nan.
        return (state[0] < 200) & state[1]

    start = (0, jnp.asarray(True), key, jnp.zeros(shape, bool), jnp.zeros(shape, dtype))
    half_sine = lax.while_loop(unfinished, attempt, start)[4]
    angle = 2 * jnp.arcsin(jnp.clip(half_sine, -1.0, 1.0))
    return jnp.where(jnp.isnan(kappa), jnp.nan, angle)

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Estimating a covariance from a stream of draws, and making a mass matrix of it.

**References:** Welford (1962), *Note on a method for calculating corrected sums of squares and products*; Stan
Reference Manual, "HMC algorithm parameters", for the regularisation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from numpyro.infer.metric import factorize

__all__ = ["WelfordState", "estimated_covariance", "welford_covariance"]


class WelfordState(NamedTuple):
    """Running moments.

    :param mean: mean of the draws so far.
    :param m2: sum of squared deviations from the mean (a vector), or of their outer products (a matrix).
    :param n: number of draws.
    """

    mean: Any
    m2: Any
    n: Any


def welford_covariance(
    diagonal: bool = True,
) -> tuple[Callable[[int], WelfordState], Callable[..., WelfordState], Callable[..., tuple[Any, Any, Any]]]:
    """Covariance of a stream of vectors, updated one vector at a time.

    :param diagonal: estimate the variances only.
    :returns: ``init_fn(size)`` makes the state; ``update_fn(sample, state)`` takes one draw in;
        ``final_fn(state, regularize=False)`` gives the covariance, to be used as inverse mass matrix ``M^-1``, and the
        lower triangular ``S`` and ``S^-1`` with ``M = S S^T`` (vectors if ``diagonal``). With ``regularize`` the
        estimate from ``n`` draws is shrunk towards a small multiple of the identity:
        ``n / (n + 5) cov + 1e-3 * 5 / (n + 5) I``.

    >>> init, update, final = welford_covariance()
    >>> state = init(1)
    >>> for x in (1.0, 2.0, 3.0):
    ...     state = update(jnp.array([x]), state)
    >>> float(final(state)[0][0])
    1.0
    """

    def init_fn(size: int) -> WelfordState:
        return WelfordState(
            jnp.zeros(size), jnp.zeros(size if diagonal else (size, size)), jnp.zeros((), dtype=jnp.int32)
        )

    def update_fn(sample: jax.Array, state: WelfordState) -> WelfordState:
        mean, m2, n = state
        n = n + 1
        before = sample - mean
        mean = mean + before / n
        after = sample - mean
        m2 = m2 + (before * after if diagonal else jnp.outer(after, before))
        return WelfordState(mean, m2, n)

    def final_fn(state: WelfordState, regularize: bool = False) -> tuple[Any, Any, Any]:
        return factorize(estimated_covariance(state, regularize))

    return init_fn, update_fn, final_fn


def estimated_covariance(state: WelfordState, regularize: bool) -> jax.Array:
    """The covariance of the draws so far, shrunk if ``regularize``: see :func:`welford_covariance`."""
    _, m2, n = state
    if not regularize:
        return m2 / (n - 1)
    # n / (n + 5) / (n - 1) and 1e-3 * 5 / (n + 5) by one division, for one piece of code to compile.
    scale, small = jnp.stack([n, 5e-3 * (n - 1)]).astype(m2.dtype) / ((n + 5) * (n - 1))
    return scale * m2 + (small if m2.ndim == 1 else small * jnp.eye(len(m2), dtype=m2.dtype))

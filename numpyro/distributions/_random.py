# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Gamma variates and their kin, all of an array at a time: on a CPU ``jax.random`` draws them one after the other."""

from __future__ import annotations

from collections.abc import Sequence
import functools
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
from jax.scipy.special import digamma

__all__ = ["beta_variate", "dirichlet", "log_standard_gamma", "standard_gamma"]


def standard_gamma(key: Any, concentration: Any, shape: Sequence[int]) -> Any:
    """Draw from the gamma distribution of unit rate, differentiably in the concentration.

    :param concentration: positive numbers.
    :param shape: shape of the draws, to which ``concentration`` broadcasts.

    >>> standard_gamma(jax.random.key(0), jnp.float32(1e6), (2,)).round(-4).tolist()
    [1000000.0, 1000000.0]
    """
    return jnp.exp(log_standard_gamma(key, concentration, shape))


def log_standard_gamma(key: Any, concentration: Any, shape: Sequence[int]) -> Any:
    """Logarithms of such draws; for a small concentration they are finite where the draw itself is too small.

    >>> bool(log_standard_gamma(jax.random.key(0), jnp.float32(1e-3), (9,)).min() < -200)
    True
    """
    dtype = jnp.result_type(concentration, float)
    return _log_gamma(tuple(shape), key, jnp.asarray(concentration, dtype))


def beta_variate(key: Any, concentration1: Any, concentration0: Any, shape: Sequence[int]) -> Any:
    """Draw from the beta distribution, as the share of one gamma variate in the sum of two.

    >>> beta_variate(jax.random.key(0), 1e6, 1e6, (2,)).round(2).tolist()
    [0.5, 0.5]
    """
    keys = jax.random.split(key)
    one, zero = (log_standard_gamma(k, c, shape) for k, c in zip(keys, (concentration1, concentration0), strict=True))
    return jax.nn.sigmoid(one - zero)


def dirichlet(key: Any, concentration: Any, shape: Sequence[int]) -> Any:
    """Draw from the Dirichlet distribution, as the shares of gamma variates in their sum.

    :param concentration: array of shape ``batch + (n,)``.
    :param shape: shape of the draws without the last dimension, to which ``batch`` broadcasts.

    >>> dirichlet(jax.random.key(0), jnp.array([1e6, 3e6]), ()).round(2).tolist()
    [0.25, 0.75]
    """
    size = jnp.shape(concentration)[-1:]
    return jax.nn.softmax(log_standard_gamma(key, concentration, tuple(shape) + size), -1)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _log_gamma(shape: tuple[int, ...], key: Any, alpha: Any) -> Any:
    r"""Rejection from a cubed normal (Marsaglia and Tsang 2000, "A simple method for generating gamma variables").

    At least 95 % of the proposals are accepted, so that some five rounds over the whole array suffice. Below 1, the
    concentration is raised by 1 and the draw multiplied by :math:`U^{1/\alpha}` (ibid., section 6).
    """
    key, key_boost = jax.random.split(key)
    small, dtype = alpha < 1, alpha.dtype
    d = jnp.where(small, alpha + 1, alpha) - 1 / 3
    c = 1 / (3 * jnp.sqrt(d))

    def attempt(state: tuple[Any, ...]) -> tuple[Any, ...]:
        i, _, key, done, log_cube = state
        key, key_x, key_u = jax.random.split(key, 3)
        x, u = jax.random.normal(key_x, shape, dtype), jax.random.uniform(key_u, shape, dtype)
        root = 1 + c * x
        log_v = 3 * jnp.log(jnp.where(root > 0, root, 1.0))
        # log u < x^2 / 2 + d (1 - v + log v)
        accepted = (root > 0) & (jnp.log(u) < 0.5 * x * x + d * (1 - root * root * root + log_v))
        log_cube, done = jnp.where(done, log_cube, log_v), done | accepted
        return i + 1, ~jnp.all(done), key, done, log_cube

    def unfinished(state: tuple[Any, ...]) -> Any:
        # The bound only ends the loop for parameters that are nan.
        return (state[0] < 100) & state[1]

    start = (0, jnp.asarray(True), key, jnp.zeros(shape, bool), jnp.zeros(shape, dtype))
    log_draw = jnp.log(d) + lax.while_loop(unfinished, attempt, start)[4]

    def boosted() -> Any:
        u = jax.random.uniform(key_boost, shape, dtype, minval=float(jnp.finfo(dtype).tiny))
        return jnp.where(small, log_draw + jnp.log(u) / jnp.where(small, alpha, 1.0), log_draw)

    log_draw = lax.cond(jnp.any(small), boosted, lambda: log_draw)
    return jnp.where(alpha > 0, log_draw, jnp.nan)


@_log_gamma.defjvp
def _log_gamma_jvp(shape: tuple[int, ...], primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Any, Any]:
    # At a constant probability below the draw. Where the draw underflows, that probability is x^a / Gamma(a + 1).
    key, alpha = primals
    log_draw = _log_gamma(shape, key, alpha)
    far = log_draw < -60
    near = jnp.exp(jnp.where(far, 0.0, log_draw))
    slope = lax.random_gamma_grad(jnp.broadcast_to(alpha, shape), near) / near
    slope = jnp.where(far, (digamma(alpha + 1) - log_draw) / alpha, slope)
    return log_draw, slope * tangents[1]

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

from numpyro.distributions._special.series import polynomial

__all__ = ["beta_variate", "dirichlet", "log_gamma_ratio", "log_standard_gamma", "standard_gamma"]


def standard_gamma(key: Any, concentration: Any, shape: Sequence[int]) -> Any:
    """Draw from the gamma distribution of unit rate, differentiably in the concentration.

    :param concentration: positive numbers.
    :param shape: shape of the draws, to which ``concentration`` broadcasts.

    >>> standard_gamma(jax.random.key(0), jnp.float32(1e6), (2,)).round(-4).tolist()
    [1000000.0, 1000000.0]
    """
    # Not the exponential of the logarithm, of whose digits the size of a large draw takes some.
    scale, log_relative = _scaled_gamma(key, concentration, shape)
    return scale * jnp.exp(log_relative)


def log_standard_gamma(key: Any, concentration: Any, shape: Sequence[int]) -> Any:
    """Logarithms of such draws; for a small concentration they are finite where the draw itself is too small.

    >>> bool(log_standard_gamma(jax.random.key(0), jnp.float32(1e-3), (9,)).min() < -200)
    True
    """
    scale, log_relative = _scaled_gamma(key, concentration, shape)
    return jnp.log(scale) + log_relative


def log_gamma_ratio(key: Any, above: Any, below: Any, shape: Sequence[int]) -> Any:
    """Logarithms of the ratio of two such draws: the log odds of a beta variate.

    >>> abs(log_gamma_ratio(jax.random.key(0), 1e6, 1e6, (2,))).max().item() < 0.01
    True
    """
    draws = (_scaled_gamma(k, c, shape) for k, c in zip(jax.random.split(key), (above, below), strict=True))
    (scale, log_relative), (other, log_other) = draws
    return jnp.log(scale / other) + (log_relative - log_other)


def beta_variate(key: Any, concentration1: Any, concentration0: Any, shape: Sequence[int]) -> Any:
    """Draw from the beta distribution, as the share of one gamma variate in the sum of two.

    >>> beta_variate(jax.random.key(0), 1e6, 1e6, (2,)).round(2).tolist()
    [0.5, 0.5]
    """
    return jax.nn.sigmoid(log_gamma_ratio(key, concentration1, concentration0, shape))


def dirichlet(key: Any, concentration: Any, shape: Sequence[int]) -> Any:
    """Draw from the Dirichlet distribution, as the shares of gamma variates in their sum.

    :param concentration: array of shape ``batch + (n,)``.
    :param shape: shape of the draws without the last dimension, to which ``batch`` broadcasts.

    >>> dirichlet(jax.random.key(0), jnp.array([1e6, 3e6]), ()).round(2).tolist()
    [0.25, 0.75]
    """
    size = jnp.shape(concentration)[-1:]
    scale, log_relative = _scaled_gamma(key, concentration, tuple(shape) + size)
    return jax.nn.softmax(jnp.log(scale / scale.max(-1, keepdims=True)) + log_relative, -1)


def _scaled_gamma(key: Any, concentration: Any, shape: Sequence[int]) -> tuple[Any, Any]:
    """A scale, and the logarithm of the draw relative to it, which is small where the concentration is large.

    The scale counts as a constant: the derivatives of the draw are all in the logarithm.
    """
    alpha = jnp.asarray(concentration, jnp.result_type(concentration, float))
    return lax.stop_gradient(_scale(alpha)), _log_relative(tuple(shape), key, alpha)


def _scale(alpha: Any) -> Any:
    return jnp.where(alpha < 1, alpha + 1, alpha) - 1 / 3


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _log_relative(shape: tuple[int, ...], key: Any, alpha: Any) -> Any:
    r"""Rejection from a cubed normal (Marsaglia and Tsang 2000, "A simple method for generating gamma variables").

    At least 95 % of the proposals are accepted, so that some five rounds over the whole array suffice. Below 1, the
    concentration is raised by 1 and the draw multiplied by :math:`U^{1/\alpha}` (ibid., section 6).
    """
    key, key_boost = jax.random.split(key)
    small, dtype = alpha < 1, alpha.dtype
    d = _scale(alpha)
    c = 1 / (3 * jnp.sqrt(d))

    def attempt(state: tuple[Any, ...]) -> tuple[Any, ...]:
        i, _, key, done, log_cube = state
        key, key_x, key_u = jax.random.split(key, 3)
        x, u = jax.random.normal(key_x, shape, dtype), jax.random.uniform(key_u, shape, dtype)
        t = c * x
        inside = t > -1
        log_root = jnp.log1p(jnp.where(inside, t, 0.0))
        # log u < x^2 / 2 + d (1 - v + log v) with v = (1 + t)^3 and x^2 = 9 d t^2
        accepted = inside & (jnp.log(u) < d * _log_acceptance(t, log_root))
        log_cube, done = jnp.where(done, log_cube, 3 * log_root), done | accepted
        return i + 1, ~jnp.all(done), key, done, log_cube

    def unfinished(state: tuple[Any, ...]) -> Any:
        # The bound only ends the loop for parameters that are nan.
        return (state[0] < 100) & state[1]

    start = (0, jnp.asarray(True), key, jnp.zeros(shape, bool), jnp.zeros(shape, dtype))
    log_cube = lax.while_loop(unfinished, attempt, start)[4]

    def boosted() -> Any:
        u = jax.random.uniform(key_boost, shape, dtype, minval=float(jnp.finfo(dtype).tiny))
        return jnp.where(small, log_cube + jnp.log(u) / jnp.where(small, alpha, 1.0), log_cube)

    log_relative = lax.cond(jnp.any(small), boosted, lambda: log_cube)
    return jnp.where(alpha > 0, log_relative, jnp.nan)


def _log_acceptance(t: Any, log_root: Any) -> Any:
    """``3 log(1 + t) - 3 t + 1.5 t^2 - t^3``, by its series where the terms cancel: a multiple of t^4."""
    series = [(-1) ** (k + 1) * 3 / k for k in range(4, 12)]
    square = t * t
    near = jnp.abs(t) < 0.1
    apart = 3 * (log_root - t) + (1.5 - t) * square
    return jnp.where(near, square * square * polynomial(series, t), apart)


@_log_relative.defjvp
def _log_relative_jvp(shape: tuple[int, ...], primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Any, Any]:
    # At a constant probability below the draw. Where the draw underflows, that probability is x^a / Gamma(a + 1).
    key, alpha = primals
    log_relative = _log_relative(shape, key, alpha)
    log_draw = jnp.log(_scale(alpha)) + log_relative
    far = log_draw < -60
    near = jnp.exp(jnp.where(far, 0.0, log_draw))
    slope = lax.random_gamma_grad(jnp.broadcast_to(alpha, shape), near) / near
    slope = jnp.where(far, (digamma(alpha + 1) - log_draw) / alpha, slope)
    return log_relative, slope * tangents[1]

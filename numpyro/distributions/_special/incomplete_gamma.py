# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

r"""The incomplete gamma functions of large parameters in single precision.

Those of ``jax.scipy.special`` have a factor :math:`e^{a \log x - x - \log\Gamma(a)}`, which in single precision is
wrong by a tenth for :math:`a = 10^5`. The uniform expansion of Temme (1979, *The asymptotic expansion of the incomplete
gamma functions*; DLMF 8.12) has nothing of that size: with :math:`\tfrac12\eta^2 = x/a - 1 - \log(x/a)` and
:math:`z = \eta\sqrt{a}`,

.. math:: Q(a, x) = \Phi(-z) + \frac{\varphi(z)}{\sqrt{a}} \sum_k c_k(\eta)\, a^{-k}.

The logarithms here are wrong by less than :math:`10^{-5}`, so the functions by that share, for a up to 10^6 within six
standard deviations, and the logarithms by a few roundings further out.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr, ndtr

from numpyro.distributions._special.arguments import promote
from numpyro.distributions._special.logarithms import xlogy
from numpyro.distributions._special.series import polynomial
from numpyro.distributions._special.stirling import stirling_error

__all__ = ["gamma_density", "gammainc", "gammaincc", "is_nearly_normal", "log_gammainc", "log_gammaincc"]

LARGE = 20.0
ORDER = 3
NUM_TERMS = 12


def gammainc(a: Any, x: Any) -> Any:
    """The regularised lower incomplete gamma function P(a, x).

    >>> round(gammainc(jnp.float32(1e5), jnp.float32(98500.0)).item() * 1e7, 3)
    9.383
    """
    return _by_size(lambda z, shift, a, x: ndtr(z) - _density(z) * shift, jax.scipy.special.gammainc, a, x)


def gammaincc(a: Any, x: Any) -> Any:
    """The regularised upper incomplete gamma function Q(a, x).

    >>> round(gammaincc(jnp.float32(1e5), jnp.float32(101500.0)).item() * 1e6, 3)
    1.174
    """
    return _by_size(lambda z, shift, a, x: ndtr(-z) + _density(z) * shift, jax.scipy.special.gammaincc, a, x)


def log_gammainc(a: Any, x: Any) -> Any:
    """The logarithm of P(a, x), where that is a number.

    >>> round(log_gammainc(jnp.float32(1e5), jnp.float32(98000.0)).item(), 3)
    -23.057
    """
    other = lambda a, x: jnp.log(jax.scipy.special.gammainc(a, x))
    return _by_size(lambda z, shift, a, x: log_ndtr(z) + jnp.log1p(-_hazard(z) * shift), other, a, x)


def log_gammaincc(a: Any, x: Any) -> Any:
    """The logarithm of Q(a, x), where that is a number.

    >>> round(log_gammaincc(jnp.float32(1e5), jnp.float32(102000.0)).item(), 3)
    -22.525
    """
    other = lambda a, x: jnp.log(jax.scipy.special.gammaincc(a, x))
    return _by_size(lambda z, shift, a, x: log_ndtr(-z) + jnp.log1p(_hazard(-z) * shift), other, a, x)


def gamma_density(a: Any, x: Any) -> Any:
    """The density of the gamma distribution of unit rate.

    >>> round(gamma_density(jnp.float32(1e5), jnp.float32(1e5)).item(), 6)
    0.001262
    """

    def by_normal(z: Any, _: Any, a: Any, x: Any) -> Any:
        return _density(z) * jnp.sqrt(a) / x * jnp.exp(-stirling_error(a))

    other = lambda a, x: jnp.exp(xlogy(a - 1, x) - x - jax.scipy.special.gammaln(a))
    return _by_size(by_normal, other, a, x)


def is_nearly_normal(a: Any, x: Any) -> Any:
    """Where the expansion is used, in single precision."""
    return (a > LARGE) & (x > 0.3 * a) & (x < 2 * a) & (jnp.finfo(jnp.result_type(a, x, 1.0)).bits < 64)


def _by_size(by_normal: Any, other: Any, a: Any, x: Any) -> Any:
    """By the normal distribution where a is large and x is not far from it."""
    a, x = promote(a, x)
    if a.dtype == jnp.float64:
        # Three terms of the expansion have not its digits, and JAX's functions lose none that matter.
        return other(a, x)
    large = is_nearly_normal(a, x)
    safe_a = jnp.where(large, a, LARGE)
    rest = other(jnp.where(large, 1.0, a), jnp.where(large, 1.0, x))
    safe_x = jnp.where(large, x, safe_a)
    return jnp.where(large, by_normal(*_standardized(safe_a, safe_x), safe_a, safe_x), rest)


def _standardized(a: Any, x: Any) -> tuple[Any, Any]:
    """z, and what the density of z is multiplied with."""
    t = (x - a) / a
    # t - log(1 + t) by s = t / (2 + t), without cancellation.
    s = t / (2 + t)
    series = polynomial([1 / (2 * k + 3) for k in range(12)], s * s)
    eta = 2 * s * jnp.sqrt(1 / (1 - s) - s * series)
    root = jnp.sqrt(a)
    coefficients = [polynomial(row, eta) for row in _coefficients()]
    return eta * root, polynomial(coefficients, 1 / a) / root


def _density(z: Any) -> Any:
    return jnp.exp(-0.5 * z * z - 0.5 * math.log(2 * math.pi))


def _hazard(z: Any) -> Any:
    return jnp.exp(-0.5 * z * z - 0.5 * math.log(2 * math.pi) - log_ndtr(z))


@functools.cache
def _coefficients() -> list[list[float]]:
    r"""The :math:`d_{k, n}` of DLMF 8.12.13: coefficients of :math:`c_k` as series in :math:`\eta`."""
    size = NUM_TERMS + 2 * ORDER + 3
    # x / a - 1 as a series in eta.
    alpha = [0.0, 1.0]
    for n in range(2, size):
        alpha.append((alpha[n - 1] - sum(k * alpha[k] * alpha[n + 1 - k] for k in range(2, n))) / (n + 1))
    rows = [[-1 / 3, *((n + 2) * alpha[n + 2] for n in range(1, size - 2))]]
    gamma_series = [1.0, 1 / 12, 1 / 288, -139 / 51840]
    for k in range(1, ORDER):
        before = rows[-1]
        sign = (-1) ** k * gamma_series[k]
        rows.append([sign * rows[0][n] + (n + 2) * before[n + 2] for n in range(len(before) - 2)])
    return [row[:NUM_TERMS] for row in rows]

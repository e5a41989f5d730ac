# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Sums, differences and products of exponentials and probabilities that keep their digits."""

from __future__ import annotations

import math
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
from jax.scipy.special import digamma
import numpy as np

from numpyro.distributions._special.series import polynomial
from numpyro.distributions._special.stirling import STIRLING_SERIES


def clamp_probs(probs: Any) -> Any:
    """Probabilities moved into the open unit interval, by the least that the dtype can tell.

    >>> clamp_probs(jnp.array([0.0, 0.5])).tolist()[0] > 0
    True
    """
    probs = jnp.asarray(probs)
    info = jnp.finfo(jnp.result_type(probs, 1.0))
    return jnp.clip(probs, float(info.tiny), 1 - float(info.eps))


def binary_cross_entropy_with_logits(x: Any, y: Any) -> Any:
    """Minus the log-probability of an outcome ``y`` in [0, 1] under success log-odds ``x``.

    >>> round(binary_cross_entropy_with_logits(jnp.array(0.0), 1.0).item(), 4)
    0.6931
    """
    return jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x))) - x * y


@jax.custom_jvp
def log1mexp(x: Any) -> Any:
    """:math:`\\log(1 - e^x)` for :math:`x \\le 0`, accurate at both ends.

    Mächler (2012), "Accurately computing log(1 - exp(-|a|))".

    >>> round(log1mexp(jnp.array(-1e-3)).item(), 4)
    -6.9083
    """
    x = jnp.asarray(x)
    share = -jnp.expm1(x)
    # For a distant x, what rounding took from 1 - e^x, as in Kahan's log1p.
    rounded = jnp.where(x < -math.log(2.0), (share - 1 + jnp.exp(x)) / share, 0.0)
    return jnp.log(share) - rounded


@log1mexp.defjvp
def _log1mexp_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    # The derivative e^x / (e^x - 1), written so that it is zero, not nan, at minus infinity.
    return log1mexp(*primals), -tangents[0] / jnp.expm1(-primals[0])


def logdiffexp(a: Any, b: Any) -> Any:
    """:math:`\\log(e^a - e^b)` for :math:`a \\ge b`, accurate for close and for distant arguments.

    >>> logdiffexp(jnp.array(-jnp.inf), jnp.array(-jnp.inf)).item()
    -inf
    """
    empty = a == -jnp.inf
    return jnp.where(empty, -jnp.inf, a + log1mexp(jnp.where(empty, -1.0, b - jnp.where(empty, 0.0, a))))


def logmatmulexp(x: Any, y: Any) -> Any:
    """:math:`\\log(e^x e^y)`, a product of matrices given by the logarithms of their elements.

    :param x: array of shape ``batch + (m, k)``.
    :param y: array of shape ``batch + (k, n)``.

    >>> logmatmulexp(jnp.zeros((1, 2)), jnp.zeros((2, 1))).round(4).tolist()
    [[0.6930999755859375]]
    """
    # Factors shifted by their largest elements could be multiplied as matrices, but where one is large the other may
    # be small, and all that matters would underflow.
    terms = x[..., :, :, None] + y[..., None, :, :]
    largest = lax.stop_gradient(jnp.max(terms, axis=-2))
    largest = jnp.where(jnp.isfinite(largest), largest, 0.0)
    total = jnp.sum(jnp.exp(terms - largest[..., None, :]), axis=-2)
    return jnp.where(total > 0, largest + jnp.log(jnp.where(total > 0, total, 1.0)), -jnp.inf)


def multidigamma(a: Any, d: int) -> Any:
    """Derivative of the logarithm of the multivariate gamma function: :math:`\\sum_{i<d} \\psi(a - i/2)`.

    >>> round(multidigamma(jnp.array(5.0), 1).item(), 4)
    1.5061
    """
    return jnp.sum(digamma(jnp.asarray(a)[..., None] - 0.5 * np.arange(d, dtype=np.float32)), axis=-1)


def stirling_approx_tail(k: Any) -> Any:
    """What Stirling's formula leaves of :math:`\\log k!`.

    That is :math:`\\log k! - [\\tfrac12\\log 2\\pi + (k + \\tfrac12)\\log(k + 1) - (k + 1)]`. A table for
    :math:`k < 10`; above, the series in :math:`1/(k + 1)` of Hörmann (1993), "The generation of binomial random
    variates".

    >>> round(stirling_approx_tail(jnp.array(0)).item(), 5)
    0.08106
    """
    k = jnp.asarray(k)
    table = jnp.asarray(_STIRLING_TAIL, jnp.result_type(1.0))
    from_table = table[jnp.clip(k, 0, 9).astype(int)]
    inverse = 1.0 / (jnp.maximum(k, 9) + 1.0)
    # Single precision has its digits after three terms.
    terms = STIRLING_SERIES[: 3 if jnp.finfo(inverse.dtype).bits <= 32 else None]
    series = inverse * polynomial(terms, inverse * inverse)
    return jnp.where(k < 10, from_table, series)


_STIRLING_TAIL = np.array(
    [
        0.08106146679532726,
        0.04134069595540929,
        0.02767792568499834,
        0.02079067210376509,
        0.01664469118982119,
        0.01387612882307075,
        0.01189670994589177,
        0.01041126526197209,
        0.00925546218271273,
        0.00833056343336287,
    ]
)


def safe_normalize(x: Any, *, p: float = 2) -> Any:
    """Vectors divided by their p-norm; the zero vector becomes the one with equal positive elements.

    :param x: array of shape ``batch + (d,)``.
    :param p: which norm, a positive number.

    >>> safe_normalize(jnp.array([0.0, 0.0]), p=1).tolist()
    [0.5, 0.5]
    """
    x = jnp.asarray(x)
    zero = jnp.all(x == 0, axis=-1, keepdims=True)
    x = jnp.where(zero, jnp.ones_like(x), x)
    # Divided by the largest element first, so that no power under- or overflows.
    x = x / lax.stop_gradient(jnp.max(jnp.abs(x), axis=-1, keepdims=True))
    if p == 2:
        return x / jnp.sqrt(jnp.sum(x * x, axis=-1, keepdims=True))
    size = jnp.where(x == 0, 0.0, jnp.where(x == 0, 1.0, jnp.abs(x)) ** p)
    return x / jnp.sum(size, axis=-1, keepdims=True) ** (1 / p)

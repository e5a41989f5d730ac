# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Logarithms whose gradients are finite, products with them, and sums of exponentials."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from numpyro.distributions._special.factored import log_times_power, split_factor


def xlogy(x: Any, y: Any) -> Any:
    """``x log(y)``, which is 0 with zero derivatives where both are 0.

    >>> xlogy(0.0, 0.0).item(), jax.grad(xlogy, 1)(0.0, 0.0).item()
    (0.0, 0.0)
    """
    x, y = jnp.asarray(x), jnp.asarray(y)
    is_zero = y == 0
    return x * jnp.log(jnp.where(is_zero, 1, y)) + jnp.where(is_zero, times_log_zero(x), 0.0)


def xlog1py(x: Any, y: Any) -> Any:
    """``x log(1 + y)``, which is 0 with zero derivatives where x = 0 and y = -1.

    >>> xlog1py(0.0, -1.0).item(), jax.grad(xlog1py, 1)(0.0, -1.0).item()
    (0.0, 0.0)
    """
    x, y = jnp.asarray(x), jnp.asarray(y)
    is_zero = y == -1
    return x * jnp.log1p(jnp.where(is_zero, 0, y)) + jnp.where(is_zero, times_log_zero(x), 0.0)


def times_log_zero(x: Any) -> Any:
    """``x log(0)`` with ``0 log(0) = 0``. It has no derivative, so that added to a term it masks none of its sums."""
    return jnp.where(x > 0, -jnp.inf, jnp.where(x < 0, jnp.inf, 0.0))


def log_indicator(inside: Any) -> Any:
    """0 where a value is in the support, else -inf: added to a density that is finite everywhere, it masks nothing.

    ``jnp.where(inside, log_prob, -jnp.inf)`` would mask the derivatives too: each sum over the values, one for every
    parameter, becomes two passes over memory.
    """
    return jnp.where(inside, 0.0, -jnp.inf)


@jax.custom_jvp
def log_sigmoid(x: Any) -> Any:
    r""":math:`-\log(1 + e^{-x})`, whose derivative is computed from the same exponential.

    >>> round(log_sigmoid(jnp.float32(0.0)).item(), 4), log_sigmoid(jnp.float32(-1e4)).item()
    (-0.6931, -10000.0)
    """
    return jnp.minimum(x, 0.0) - jnp.log1p(jnp.exp(-jnp.abs(x)))


@log_sigmoid.defjvp
def _log_sigmoid_jvp(primals: Any, tangents: Any) -> Any:
    [x], [tangent] = primals, tangents
    return log_sigmoid(x), sigmoid_of_minus(x) * tangent


def log_sigmoids(x: Any) -> tuple[Any, Any]:
    r""":math:`\log\sigma(x)` and :math:`\log\sigma(-x)`, from one exponential.

    >>> [round(y.item(), 4) for y in log_sigmoids(jnp.float32(1e4))]
    [0.0, -10000.0]
    """
    return log_sigmoid(x), log_sigmoid(-x)


@jax.custom_jvp
def sigmoid_of_minus(x: Any) -> Any:
    small = jnp.exp(-jnp.abs(x))
    return jnp.where(x > 0, small, 1.0) / (1 + small)


@sigmoid_of_minus.defjvp
def _sigmoid_of_minus_jvp(primals: Any, tangents: Any) -> Any:
    [x], [tangent] = primals, tangents
    value = sigmoid_of_minus(x)
    return value, -value * (1 - value) * tangent


def log_sigmoid_difference(lower: Any, upper: Any, gap: Any = None) -> Any:
    r""":math:`\log(\sigma(b) - \sigma(a))` for a < b, of which either may be infinite; accurate relative to itself.

    With the middle reflected to below 0, it is :math:`\sigma(b)\,\sigma(-a)\,(1 - e^{a - b})`, so that nothing cancels
    and only exponentials of negative numbers are taken. Where the difference is nearly 1, what is missing is known, and
    corrects the logarithm as in Kahan's log1p. Derivatives are those of the factors: :math:`\sigma(-b)`,
    :math:`-\sigma(a)`, and :math:`1 / (e^{b - a} - 1)` in the gap :math:`b - a`.

    :param lower: a.
    :param upper: b.
    :param gap: b - a, where it is known better than by subtraction: of ends that are close, and far from 0.

    >>> round(log_sigmoid_difference(-1.0, 1.0).item(), 4), round(log_sigmoid_difference(-jnp.inf, -1e4).item(), 1)
    (-0.7719, -10000.0)
    """
    gap = upper - lower if gap is None else gap
    dtype = jnp.result_type(lower, upper, float)
    return _log_sigmoid_difference(*jnp.broadcast_arrays(*(jnp.asarray(x, dtype) for x in (lower, upper, gap))))


@jax.custom_jvp
def _log_sigmoid_difference(lower: Any, upper: Any, gap: Any) -> Any:
    flip = lower > -upper
    lower, upper = jnp.where(flip, -upper, lower), jnp.where(flip, -lower, upper)
    a, b = jnp.exp(lower), jnp.exp(-jnp.abs(upper))
    scale = 1 / ((1 + a) * (1 + b))
    # Relative to e^b where that is below 1.
    difference = -jnp.expm1(-gap) * scale
    missing = (a + b + 2 * a * b) * scale
    rounded = jnp.where(upper > 0, (difference - 1 + missing) / difference, 0.0)
    return jnp.minimum(upper, 0.0) + jnp.log(difference) - rounded


@_log_sigmoid_difference.defjvp
def _log_sigmoid_difference_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    lower, upper, gap = primals
    tangent = jax.nn.sigmoid(-upper) * tangents[1] - jax.nn.sigmoid(lower) * tangents[0]
    return _log_sigmoid_difference(lower, upper, gap), tangent + _inverse_expm1(gap) * tangents[2]


@jax.custom_jvp
def _inverse_expm1(x: Any) -> Any:
    return 1 / jnp.expm1(x)


@_inverse_expm1.defjvp
def _inverse_expm1_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    value = _inverse_expm1(*primals)
    return value, -value * (1 + value) * tangents[0]


@jax.custom_jvp
def log1p(x: Any) -> Any:
    r""":math:`\log(1 + x)`, within two roundings, for finite x: in double precision XLA's has an error of a hundred.

    What rounding took from 1 + x corrects the logarithm (Kahan).

    >>> round(log1p(jnp.float32(-0.4)).item(), 6)
    -0.510826
    """
    if jnp.finfo(x.dtype).bits <= 32:
        return jnp.log1p(x)
    # The least of this and the largest number: so no compiler takes 1 away again.
    y = jnp.minimum(1 + x, float(jnp.finfo(x.dtype).max))
    return jnp.log(y) + (x - (y - 1)) / y


@log1p.defjvp
def _log1p_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    return log1p(*primals), tangents[0] / (1 + primals[0])


def log_quotient(x: Any, y: Any) -> Any:
    r""":math:`\log\frac{x}{y}` of positive numbers, also where the quotient is too small or too large for a number.

    Its error is that of a rounding of the quotient, of which no logarithm of a large number takes digits away. Its
    value for an x that is not positive means nothing.

    >>> round(log_quotient(1e30, 1e-30).item(), 4)
    138.1551
    """
    dtype = jnp.result_type(x, y, float)
    return _log_quotient(jnp.asarray(x, dtype), jnp.asarray(y, dtype))


@jax.custom_jvp
def _log_quotient(x: Any, y: Any) -> Any:
    power, factor = split_factor(1 / y)
    return jnp.where(x < jnp.inf, log_times_power(x * factor, power), jnp.inf)


@_log_quotient.defjvp
def _log_quotient_jvp(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Any, Any]:
    x, y = primals
    positive = x > 0
    return _log_quotient(x, y), tangents[0] * (positive / jnp.where(positive, x, 1.0)) - tangents[1] / y


def log1p_square(x: Any) -> Any:
    r""":math:`\log(1 + x^2)`, also where the square is too large for a number.

    >>> round(log1p_square(1e30).item(), 3)
    138.155
    """
    size = jnp.abs(x)
    far = size > 1e17
    log1p = jnp.log1p(jnp.where(far, size, size * size))
    return jnp.where(far, 2 * log1p, log1p)


@jax.custom_jvp
def log_one_plus_square(x: Any) -> Any:
    r"""The same to the precision of 1, for sums with other terms: of one logarithm, not the slower one of 1 + x^2.

    >>> round(log_one_plus_square(1.0).item(), 4), round(log_one_plus_square(1e30).item(), 3)
    (0.6931, 138.155)
    """
    size = jnp.abs(x)
    far = size > 1e17
    return jnp.where(far, 2.0, 1.0) * jnp.log(jnp.where(far, size, 1 + size * size))


@log_one_plus_square.defjvp
def _log_one_plus_square_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    return log_one_plus_square(*primals), _slope_of_one_plus_square(*primals) * tangents[0]


@jax.custom_jvp
def _slope_of_one_plus_square(x: Any) -> Any:
    return 2 / (x + 1 / x)


@_slope_of_one_plus_square.defjvp
def _slope_of_one_plus_square_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    [x] = primals
    share = 1 / (1 + x * x)
    return _slope_of_one_plus_square(x), 2 * share * (2 * share - 1) * tangents[0]


FEW = 16
"""So many terms are summed one by one. XLA compiles a sum over a short last dimension into one loop with the formula of
its terms, which computes them one at a time; what is added one by one is an elementwise loop, which computes several
sums at once."""


@jax.custom_jvp
def log_sum_exp(x: Any) -> Any:
    r""":math:`\log\sum_k e^{x_k}` over the last dimension.

    Where all terms are -inf, so is the result, and its derivatives are 0.

    >>> [round(y.item(), 4) for y in (log_sum_exp(jnp.zeros(2)), log_sum_exp(jnp.array([-jnp.inf, 3.0])))]
    [0.6931, 3.0]
    """
    if x.shape[-1] > FEW:
        return logsumexp(x, -1)
    terms = [x[..., k] for k in range(x.shape[-1])]
    top = functools.reduce(jnp.maximum, terms)
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    return top + jnp.log(sum(jnp.exp(term - top) for term in terms))


@log_sum_exp.defjvp
def _log_sum_exp_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    [x], [tangent] = primals, tangents
    total = log_sum_exp(x)
    share = jnp.exp(x - jnp.where(total == -jnp.inf, 0.0, total)[..., None])
    return total, (share * tangent).sum(-1)

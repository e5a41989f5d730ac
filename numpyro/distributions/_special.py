# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Special functions: products with logarithms whose gradients are finite, incomplete beta and gamma functions."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
from jax.scipy.special import gammainc, gammaln, logsumexp, ndtri


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


def log_sigmoid_difference(lower: Any, upper: Any) -> Any:
    r""":math:`\log(\sigma(b) - \sigma(a))` for a < b, of which either may be infinite; accurate relative to itself.

    With the middle reflected to below 0, it is :math:`\sigma(b)\,\sigma(-a)\,(1 - e^{a - b})`, so that nothing cancels
    and only exponentials of negative numbers are taken. Where the difference is nearly 1, what is missing is known, and
    corrects the logarithm as in Kahan's log1p. Derivatives are :math:`\sigma(-b) + s` and :math:`-\sigma(a) - s`, with
    :math:`s = 1 / (e^{b - a} - 1)`.

    >>> round(log_sigmoid_difference(-1.0, 1.0).item(), 4), round(log_sigmoid_difference(-jnp.inf, -1e4).item(), 1)
    (-0.7719, -10000.0)
    """
    dtype = jnp.result_type(lower, upper, float)
    return _log_sigmoid_difference(*jnp.broadcast_arrays(*(jnp.asarray(end, dtype) for end in (lower, upper))))


@jax.custom_jvp
def _log_sigmoid_difference(lower: Any, upper: Any) -> Any:
    flip = lower > -upper
    lower, upper = jnp.where(flip, -upper, lower), jnp.where(flip, -lower, upper)
    a, b = jnp.exp(lower), jnp.exp(-jnp.abs(upper))
    scale = 1 / ((1 + a) * (1 + b))
    # Relative to e^b where that is below 1.
    difference = -jnp.expm1(lower - upper) * scale
    missing = (a + b + 2 * a * b) * scale
    rounded = jnp.where(upper > 0, (difference - 1 + missing) / difference, 0.0)
    return jnp.minimum(upper, 0.0) + jnp.log(difference) - rounded


@_log_sigmoid_difference.defjvp
def _log_sigmoid_difference_jvp(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Any, Any]:
    lower, upper = primals
    shared = _inverse_expm1(upper - lower)
    in_lower, in_upper = -(jax.nn.sigmoid(lower) + shared), jax.nn.sigmoid(-upper) + shared
    return _log_sigmoid_difference(lower, upper), in_lower * tangents[0] + in_upper * tangents[1]


@jax.custom_jvp
def _inverse_expm1(x: Any) -> Any:
    return 1 / jnp.expm1(x)


@_inverse_expm1.defjvp
def _inverse_expm1_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    value = _inverse_expm1(*primals)
    return value, -value * (1 + value) * tangents[0]


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


STIRLING_SERIES = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156]


@jax.custom_jvp
def betaln(a: Any, b: Any) -> Any:
    r"""Logarithm of the beta function, without the cancellation of :math:`\log\Gamma` of large arguments.

    The leading terms of Stirling's formula cancel here by hand (DiDonato and Morris 1992, *Algorithm 708*); what it
    leaves is added. The error, relative to the result or to 1, is below 2e-6 in single precision and 1e-14 in double.

    :param a: positive numbers.
    :param b: positive numbers.

    >>> round(betaln(2.0, 3.0).item(), 4)
    -2.4849
    """
    a, b = _promote(a, b)
    small, large = jnp.minimum(a, b), jnp.maximum(a, b)
    share = small / large
    return (
        0.5 * math.log(2 * math.pi)
        - 0.5 * jnp.log(large)
        + (small - 0.5) * (jnp.log(share) - jnp.log1p(share))
        - large * jnp.log1p(share)
        + (stirling_error(small) + stirling_error(large) - stirling_error(small + large))
    )


@betaln.defjvp
def _betaln_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    a, b = _promote(*primals)

    def along(x: Any, other: Any, tangent: Any) -> Any:
        # digamma(x) - digamma(x + other). Products that stand apart are summed, for the derivative in a parameter of
        # many values, in loops of their own, where they are short enough to be vectorised.
        ratio = jnp.minimum(other / x, float(jnp.finfo(x.dtype).max))
        slopes = stirling_error_slope(x) * tangent - stirling_error_slope(x + other) * tangent
        return slopes - (jnp.log1p(ratio) + 0.5 * ratio / (x + other)) * tangent

    return betaln(a, b), along(a, b, tangents[0]) + along(b, a, tangents[1])


@jax.custom_jvp
def stirling_error(x: Any) -> Any:
    r"""What Stirling's formula leaves of :math:`\log\Gamma(x)`.

    That is :math:`\Delta(x) = \log\Gamma(x) - (x - \frac12)\log x + x - \frac12\log 2\pi`. For large x, its asymptotic
    series (DLMF 5.11.1; from 8 on its error is below 2e-14, from 3 on below 3e-9); for small x, that at :math:`x + n`,
    by :math:`\Gamma(x + 1) = x\,\Gamma(x)`. As few steps as the precision needs: they cost digits.

    :param x: positive numbers, of a floating dtype.

    >>> round(stirling_error(jnp.float32(1.0)).item(), 4)
    0.0811
    """
    steps = 3 if jnp.finfo(x.dtype).bits <= 32 else 8
    is_small = x < steps
    small = jnp.where(is_small, x, 1.0)
    rise = small + 1
    for step in range(2, steps):
        rise = rise * (small + step)
    shift = (small + (steps - 0.5)) * jnp.log(small + steps) - (small + 0.5) * jnp.log(small) - jnp.log(rise) - steps
    inverse = 1 / jnp.where(is_small, x + steps, x)
    remainder = inverse * polynomial(STIRLING_SERIES, inverse * inverse)
    return remainder + jnp.where(is_small, shift, 0.0)


@stirling_error.defjvp
def _stirling_error_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    return stirling_error(*primals), stirling_error_slope(*primals) * tangents[0]


def stirling_error_slope(x: Any) -> Any:
    r"""Derivative of :func:`stirling_error`, :math:`\Delta'(x) = \psi(x) - \log x + \frac{1}{2x}`.

    >>> round(stirling_error_slope(jnp.float32(1.0)).item(), 4)
    -0.0772
    """
    is_small = x < 8
    small = jnp.where(is_small, x, 1.0)
    # The sum of 1 / (x + i) for i below 8, over one denominator: (x + i) (x + 7 - i) = x (x + 7) + i (7 - i).
    numerator, denominator = jnp.zeros_like(small), jnp.ones_like(small)
    for i in range(4):
        pair = small * (small + 7) + i * (7 - i)
        numerator, denominator = numerator * pair + denominator, denominator * pair
    rise = (2 * small + 7) * numerator / denominator
    inverse = 1 / jnp.where(is_small, x + 8, x)
    shift = jnp.log(small + 8) - jnp.log(small) + 0.5 / small - 0.5 * inverse - rise
    slopes = [coefficient * power for coefficient, power in zip(STIRLING_SERIES, range(1, 14, 2), strict=True)]
    series = -inverse * inverse * polynomial(slopes, inverse * inverse)
    return series + jnp.where(is_small, shift, 0.0)


def sin_quarter_turns(x: Any) -> Any:
    r""":math:`\sin(\pi x / 2)` for x in [-1, 1], by its series: XLA's sine is no elementwise loop on a CPU.

    >>> round(sin_quarter_turns(jnp.float32(1 / 3)).item(), 6)
    0.5
    """
    terms = 7 if jnp.finfo(x.dtype).bits <= 32 else 12
    series = [(-1) ** k * (math.pi / 2) ** (2 * k + 1) / math.factorial(2 * k + 1) for k in range(terms)]
    return x * polynomial(series, x * x)


def polynomial(coefficients: list[float], x: Any) -> Any:
    """A polynomial in the dtype of ``x``, by Horner's rule; the constant term comes first."""
    value: Any = 0.0
    for coefficient in reversed(coefficients):
        value = value * x + coefficient
    return value


@jax.custom_jvp
def betainc(a: Any, b: Any, x: Any) -> Any:
    """Regularised incomplete beta function :math:`I_x(a, b)`, differentiable in all three arguments.

    :param a: positive numbers.
    :param b: positive numbers.
    :param x: numbers in [0, 1].

    >>> round(betainc(2.0, 3.0, 0.4).item(), 4)
    0.5248
    """
    return jax.scipy.special.betainc(*_promote(a, b, x))


@betainc.defjvp
def _betainc_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    a, b, x = _promote(*primals)
    value = betainc(a, b, x)
    in_a, in_b = _betainc_parameter_derivatives(a, b, x)
    in_x = _beta_density(a, b, x)
    return value, in_a * tangents[0] + in_b * tangents[1] + in_x * tangents[2]


def _beta_density(a: Any, b: Any, x: Any) -> Any:
    return jnp.exp(xlogy(a - 1, x) + xlog1py(b - 1, -x) - betaln(a, b))


def _betainc_parameter_derivatives(a: Any, b: Any, x: Any) -> tuple[Any, Any]:
    """Derivatives of :math:`I_x(a, b)` in ``a`` and ``b``, where the tangents are those of the continued fraction."""
    # The fraction converges quickly for x < (a + 1) / (a + b + 2); beyond, I_x(a, b) = 1 - I_{1-x}(b, a).
    swap = x > (a + 1) / (a + b + 2)
    p, q, z = jnp.where(swap, b, a), jnp.where(swap, a, b), jnp.where(swap, 1 - x, x)
    inside = (z > 0) & (z < 1)
    z = jnp.where(inside, z, 0.5)
    in_p, in_q = _fraction_derivatives(p, q, z)
    in_p, in_q = jnp.where(inside, in_p, 0.0), jnp.where(inside, in_q, 0.0)
    return jnp.where(swap, -in_q, in_p), jnp.where(swap, -in_p, in_q)


def _fraction_derivatives(p: Any, q: Any, z: Any) -> tuple[Any, Any]:
    """DLMF 8.17.22, evaluated by the modified Lentz algorithm together with its tangents in ``p`` and ``q``."""
    tiny = float(jnp.finfo(z.dtype).tiny) ** 0.5

    def away_from_zero(v: Any) -> Any:
        return jnp.where(jnp.abs(v) < tiny, tiny, v)

    def odd_level(m: Any, p: Any, q: Any) -> Any:
        return -(p + m) * (p + q + m) * z / ((p + 2 * m) * (p + 2 * m + 1))

    def first(p: Any, q: Any) -> tuple[Any, ...]:
        c = away_from_zero(1 + odd_level(0, p, q))
        return jnp.log(jnp.abs(c)), c, jnp.ones_like(z)

    def step(m: Any, log_f: Any, c: Any, d: Any, p: Any, q: Any) -> tuple[Any, ...]:
        even_level = m * (q - m) * z / ((p + 2 * m - 1) * (p + 2 * m))
        for level in (even_level, odd_level(m, p, q)):
            d = 1 / away_from_zero(1 + level * d)
            c = away_from_zero(1 + level / c)
            log_f = log_f + jnp.log(jnp.abs(c * d))
        return log_f, c, d

    def body(state: tuple[Any, ...]) -> tuple[Any, ...]:
        m, value, tangent_p, tangent_q, _ = state
        new, new_p = jax.jvp(lambda *v: step(m, *v), (*value, p, q), (*tangent_p, one, zero))
        _, new_q = jax.jvp(lambda *v: step(m, *v), (*value, p, q), (*tangent_q, zero, one))
        moving = jnp.asarray(False)
        for after, before, floor in ((new, value, 1.0), (new_p, tangent_p, 1e-3), (new_q, tangent_q, 1e-3)):
            change = jnp.abs(after[0] - before[0])
            moving |= jnp.any(change > 4 * float(jnp.finfo(z.dtype).eps) * (jnp.abs(after[0]) + floor))
        return m + 1, new, new_p, new_q, moving

    one, zero = jnp.ones_like(z), jnp.zeros_like(z)
    value, tangent_p = jax.jvp(first, (p, q), (one, zero))
    _, tangent_q = jax.jvp(first, (p, q), (zero, one))
    start = (jnp.asarray(1.0, z.dtype), value, tangent_p, tangent_q, jnp.asarray(True))
    _, value, tangent_p, tangent_q, _ = lax.while_loop(lambda s: s[4] & (s[0] < 2000), body, start)

    def log_front(p: Any, q: Any) -> Any:
        return xlogy(p, z) + xlog1py(q, -z) - jnp.log(p) - betaln(p, q)

    front, front_p = jax.jvp(lambda v: log_front(v, q), (p,), (one,))
    _, front_q = jax.jvp(lambda v: log_front(p, v), (q,), (one,))
    result = jnp.exp(front - value[0])
    return result * (front_p - tangent_p[0]), result * (front_q - tangent_q[0])


@jax.custom_jvp
def betaincinv(a: Any, b: Any, y: Any) -> Any:
    """The ``x`` with :math:`I_x(a, b) = y`: quantiles of the beta distribution.

    :param a: positive numbers.
    :param b: positive numbers.
    :param y: probabilities in [0, 1].

    Newton steps on the logit of ``x``, kept inside a bracket that shrinks.

    >>> round(betaincinv(2.0, 3.0, 0.5248).item(), 3)
    0.4
    """
    a, b, y = _promote(a, b, y)

    def residual(t: Any) -> tuple[Any, Any]:
        x, complement = jax.nn.sigmoid(t), jax.nn.sigmoid(-t)
        value = jax.scipy.special.betainc(a, b, x)
        slope = jnp.exp(a * jnp.log(x) + b * jnp.log(complement) - betaln(a, b))
        return value - y, slope

    bound = -math.log(jnp.finfo(y.dtype).tiny) * jnp.ones_like(y)
    t = _bracketed_newton(residual, jnp.log(a / b), -bound, bound)
    x = jax.nn.sigmoid(t)
    x = jnp.where(y <= 0, 0.0, jnp.where(y >= 1, 1.0, x))
    return jnp.where((y < 0) | (y > 1) | jnp.isnan(y + a + b), jnp.nan, x)


@betaincinv.defjvp
def _betaincinv_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    # Implicit differentiation of I_x(a, b) = y.
    a, b, y = _promote(*primals)
    x = betaincinv(a, b, y)
    in_a, in_b = _betainc_parameter_derivatives(a, b, x)
    density = _beta_density(a, b, x)
    return x, (tangents[2] - in_a * tangents[0] - in_b * tangents[1]) / density


@jax.custom_jvp
def gammaincinv(a: Any, y: Any) -> Any:
    """The ``x`` with :math:`P(a, x) = y`: quantiles of the gamma distribution of unit rate.

    :param a: positive numbers.
    :param y: probabilities in [0, 1].

    Newton steps on the logarithm of ``x`` from the approximation of Wilson and Hilferty (1931), kept inside a bracket
    that shrinks.

    >>> round(gammaincinv(1.0, 0.5).item(), 4)
    0.6931
    """
    a, y = _promote(a, y)

    def residual(t: Any) -> tuple[Any, Any]:
        x = jnp.exp(t)
        return gammainc(a, x) - y, jnp.exp(a * t - x - gammaln(a))

    info = jnp.finfo(y.dtype)
    lower = math.log(info.tiny) * jnp.ones_like(y)
    upper = jnp.log(a + 40 * jnp.sqrt(a) + 800)
    inside = jnp.clip(y, float(info.tiny), 1 - float(info.eps))
    # Small quantiles follow P(a, x) ~ x^a / Γ(a + 1); the others are nearly a cubed normal.
    small = (jnp.log(inside) + gammaln(a + 1)) / a
    cube = 1 - 1 / (9 * a) + ndtri(inside) / (3 * jnp.sqrt(a))
    guess = jnp.where((cube > 0.3) & (a > 0.5), jnp.log(a) + 3 * jnp.log(jnp.maximum(cube, 0.3)), small)
    x = jnp.exp(_bracketed_newton(residual, guess, lower, upper))
    x = jnp.where(y <= 0, 0.0, jnp.where(y >= 1, jnp.inf, x))
    return jnp.where((y < 0) | (y > 1) | jnp.isnan(y + a), jnp.nan, x)


@gammaincinv.defjvp
def _gammaincinv_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    # Implicit differentiation of P(a, x) = y.
    a, y = _promote(*primals)
    x = gammaincinv(a, y)
    density = jnp.exp(xlogy(a - 1, x) - x - gammaln(a))
    in_a = lax.igamma_grad_a(a, x)
    return x, (tangents[1] - in_a * tangents[0]) / density


def _bracketed_newton(residual: Any, guess: Any, lower: Any, upper: Any) -> Any:
    """The root of an increasing function. A Newton step that leaves the bracket is replaced by its middle."""

    def step(state: tuple[Any, ...]) -> tuple[Any, ...]:
        i, t, lower, upper, _ = state
        value, slope = residual(t)
        lower, upper = jnp.where(value <= 0, t, lower), jnp.where(value >= 0, t, upper)
        newton = t - value / slope
        inside = (newton > lower) & (newton < upper)
        new = jnp.where(value == 0, t, jnp.where(inside, newton, 0.5 * (lower + upper)))
        moving = jnp.abs(new - t) > 2 * float(jnp.finfo(t.dtype).eps) * jnp.maximum(jnp.abs(t), 1.0)
        return i + 1, new, lower, upper, jnp.any(moving)

    t = jnp.clip(guess, lower, upper)
    state = (0, t, lower, upper, jnp.asarray(True))
    return lax.while_loop(lambda s: s[4] & (s[0] < 100), step, state)[1]


def _promote(*args: Any) -> list[Any]:
    dtype = jnp.result_type(*args, 1.0)
    return list(jnp.broadcast_arrays(*(jnp.asarray(arg, dtype) for arg in args)))

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Incomplete beta and gamma functions, their derivatives in the parameters, and their inverses."""

from __future__ import annotations

import math
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
from jax.scipy.special import gammaln, ndtri

from numpyro.distributions._special.arguments import promote
from numpyro.distributions._special.incomplete_gamma import gamma_density, gammainc
from numpyro.distributions._special.logarithms import xlog1py, xlogy
from numpyro.distributions._special.stirling import betaln


@jax.custom_jvp
def betainc(a: Any, b: Any, x: Any) -> Any:
    """Regularised incomplete beta function :math:`I_x(a, b)`, differentiable in all three arguments.

    :param a: positive numbers.
    :param b: positive numbers.
    :param x: numbers in [0, 1].

    >>> round(betainc(2.0, 3.0, 0.4).item(), 4)
    0.5248
    """
    return jax.scipy.special.betainc(*promote(a, b, x))


@betainc.defjvp
def _betainc_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    a, b, x = promote(*primals)
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
    a, b, y = promote(a, b, y)

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
    a, b, y = promote(*primals)
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
    a, y = promote(a, y)

    def residual(t: Any) -> tuple[Any, Any]:
        x = jnp.exp(t)
        return gammainc(a, x) - y, x * gamma_density(a, x)

    info = jnp.finfo(y.dtype)
    lower = math.log(info.tiny) * jnp.ones_like(y)
    upper = jnp.log(a + 40 * jnp.sqrt(a) + 800)
    inside = jnp.clip(y, float(info.tiny), 1 - float(info.eps))
    # Small quantiles follow P(a, x) ~ x^a / Γ(a + 1); the others are nearly a cubed normal.
    small = (jnp.log(inside) + gammaln(a + 1)) / a
    cube = 1 - 1 / (9 * a) + ndtri(inside) / (3 * jnp.sqrt(a))
    guess = jnp.where((cube > 0.3) & (a > 0.5), jnp.log(a) + 3 * jnp.log(jnp.maximum(cube, 0.3)), small)
    x = jnp.exp(_bracketed_newton(residual, guess, lower, upper))
    # A large x has more digits than its logarithm: one more step, in x.
    mended = x - (gammainc(a, x) - y) / gamma_density(a, x)
    x = jnp.where((a > 100) & (jnp.abs(mended - x) < 1e-3 * x), mended, x)
    x = jnp.where(y <= 0, 0.0, jnp.where(y >= 1, jnp.inf, x))
    return jnp.where((y < 0) | (y > 1) | jnp.isnan(y + a), jnp.nan, x)


@gammaincinv.defjvp
def _gammaincinv_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    # Implicit differentiation of P(a, x) = y.
    a, y = promote(*primals)
    x = gammaincinv(a, y)
    in_a = jax.jvp(lambda a: gammainc(a, x), (a,), (jnp.broadcast_to(tangents[0], a.shape).astype(a.dtype),))[1]
    return x, (tangents[1] - in_a) / gamma_density(a, x)


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

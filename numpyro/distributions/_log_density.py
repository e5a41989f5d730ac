# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

r"""Log densities of the gamma and beta families, accurate for large concentrations in single precision.

Written as it stands in the books, :math:`c\log\beta - \log\Gamma(c) + (c - 1)\log x - \beta x` is a difference of
numbers of the size of :math:`c\log c`. For :math:`c \ge 8`, by Stirling's formula and with the variable relative to
its mean, :math:`u = \beta x / c`, what is large cancels by hand (as in Loader 2000, *Fast and accurate computation of
binomial probabilities*, for counts):

.. math:: \log p(x) = (c - 1)\log u - c\,(u - 1) + \log\beta - \tfrac12\log 2\pi c - \Delta(c)

with what Stirling's formula leaves, :math:`\Delta`. Both forms are :math:`(c - 1)\log fx - b\,(fx - m)` and a constant,
with numbers f, b and m that depend on the parameters alone: a value costs one logarithm. The factor f is taken apart,
so that nothing is too small for a number (``_special/factored.py``).
"""

from __future__ import annotations

from collections.abc import Callable
import math
from typing import Any, NamedTuple

import jax
from jax.custom_derivatives import SymbolicZero
import jax.numpy as jnp

from numpyro.distributions._special import (
    log_times_power,
    power_of_two,
    split_factor,
    stirling_error,
    stirling_error_slope,
)

__all__ = ["log_beta", "log_dirichlet", "log_gamma", "log_inverse_gamma"]

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def log_gamma(concentration: Any, rate: Any, value: Any) -> Any:
    """Log density of the gamma distribution; its derivatives at 0 are finite.

    :param concentration: positive numbers.
    :param rate: positive numbers.
    :param value: any numbers; the density of negative ones is 0.

    >>> round(log_gamma(3.0, 2.0, 1.5).item(), 4)
    -0.8028
    """
    return _in_floating_point(_log_gamma, concentration, rate, value)


def log_inverse_gamma(concentration: Any, rate: Any, value: Any) -> Any:
    """Log density of the inverse gamma distribution.

    :param concentration: positive numbers.
    :param rate: positive numbers.
    :param value: any numbers; the density of those that are not positive is 0.

    >>> round(log_inverse_gamma(3.0, 4.0, 1.0).item(), 4)
    -0.5343
    """
    return _in_floating_point(_log_inverse_gamma, concentration, rate, value)


def log_beta(concentration1: Any, concentration0: Any, value: Any) -> Any:
    """Log density of the beta distribution; its derivatives at 0 and 1 are finite.

    :param concentration1: positive numbers.
    :param concentration0: positive numbers.
    :param value: any numbers; the density of those outside [0, 1] is 0.

    >>> round(log_beta(2.0, 3.0, 0.4).item(), 4)
    0.547
    """
    return _in_floating_point(_log_beta, concentration1, concentration0, value)


def log_dirichlet(concentration: Any, value: Any) -> Any:
    r"""Log density of the Dirichlet distribution, at the point of the simplex next to the value.

    It is that of gamma variables of the rate :math:`n = \sum_i \alpha_i`, given that their sum is 1.

    :param concentration: positive numbers, of shape ``A + (m,)``.
    :param value: numbers that sum to 1, of shape ``B + (m,)``; the density of negative ones is 0.

    >>> round(log_dirichlet(jnp.array([2.0, 3.0, 1.0]), jnp.array([0.2, 0.3, 0.5])).item(), 4)
    0.077
    """
    return _in_floating_point(_log_dirichlet, concentration, value)


def _in_floating_point(function: Callable[..., Any], *args: Any) -> Any:
    """In one dtype, but not broadcast: what depends on a parameter alone is computed once for it."""
    dtype = jnp.result_type(*args, 1.0)
    at_least_single = jnp.promote_types(dtype, jnp.float32)
    return function(*(jnp.asarray(arg, at_least_single) for arg in args)).astype(dtype)


LARGE = 8.0


class _Form(NamedTuple):
    """What the parameters make of the density: f = 2^j g, and b and m with 2^j multiplied into them, for y = g x."""

    power: Any
    g: Any
    b: Any
    m: Any

    @classmethod
    def of(cls, c: Any, rate: Any) -> _Form:
        large = c >= LARGE
        power, g = split_factor(jnp.where(large, rate / c, 1.0))
        b, m = jnp.where(large, c, rate), jnp.where(large, 1.0, 0.0).astype(c.dtype)
        return cls(power, g, b * power_of_two(power, c.dtype), m * power_of_two(-power, c.dtype))

    def y(self, x: Any) -> Any:
        """The larger of this and 0: so no compiler contracts it into what it is used for, where it would differ by its
        rounding."""
        return jnp.maximum(x * self.g, 0.0)


def _kernel(exponent: Any, c: Any, rate: Any, x: Any, constant: Any = 0.0) -> Any:
    form = _Form.of(c, rate)
    inside = exponent * log_times_power(form.y(x), form.power) + (form.b * (form.m - form.y(x)) + constant)
    at_zero = jnp.where(exponent == 0, 0.0, -jnp.inf * exponent) + constant
    return jnp.where(x > 0, inside, jnp.where(x == 0, at_zero, -jnp.inf + constant))


def _constant(c: Any, rate: Any) -> Any:
    log_c, log_rate = jnp.log(c), jnp.log(rate)
    plain = c * log_rate - (c - 0.5) * log_c + c
    return jnp.where(c >= LARGE, log_rate - 0.5 * log_c, plain) - HALF_LOG_2PI - stirling_error(c)


def _log_relative(c: Any, rate: Any, x: Any) -> Any:
    """The logarithm of f x, but not less than that of the smallest number.

    By the logarithm of XLA, which it computes in the loop of a sum, as the derivatives of many values want it.
    """
    return jnp.log(jnp.maximum(x * jnp.where(c >= LARGE, rate / c, 1.0), float(jnp.finfo(x.dtype).tiny)))


def _slope(c: Any, rate: Any) -> Any:
    """By how much the derivative in c exceeds that logarithm."""
    shift = jnp.where(c >= LARGE, 0.0, jnp.log(rate) - jnp.log(c))
    return shift + 0.5 / c - stirling_error_slope(c)


def _excess(c: Any, rate: Any, x: Any) -> Any:
    """``c - rate x``."""
    form = _Form.of(c, rate)
    return form.b * (form.m - form.y(x)) + (c - form.b * form.m)


def _times(tangent: Any, factor: Callable[[], Any], scale: Any = 1.0) -> Any:
    """The scale is of a parameter: of the sum over many values, not of each."""
    return 0.0 if isinstance(tangent, SymbolicZero) else factor() * (scale * tangent)


def _in_rate(drate: Any, c: Any, rate: Any, x: Any) -> Any:
    form = _Form.of(c, rate)
    return _times(drate, lambda: c / form.b - x * form.g, form.b / rate)


@jax.custom_jvp
def _log_gamma(c: Any, rate: Any, x: Any) -> Any:
    return _kernel(c - 1, c, rate, x, _constant(c, rate))


def _log_gamma_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    (c, rate, x), (dc, drate, dx) = primals, tangents
    positive = x > 0
    safe = lambda: jnp.where(positive, x, 1.0)
    # Products that stand apart are summed, for the derivative in a parameter of many values, in loops of their own.
    tangent = (
        _times(dc, lambda: _log_relative(c, rate, x))
        + _times(dc, lambda: _slope(c, rate))
        + _in_rate(drate, c, rate, x)
        + _times(dx, lambda: jnp.where(positive, (_excess(c, rate, safe()) - 1) / safe(), -rate))
    )
    return _log_gamma(c, rate, x), tangent


_log_gamma.defjvp(_log_gamma_jvp, symbolic_zeros=True)


@jax.custom_jvp
def _log_inverse_gamma(c: Any, rate: Any, x: Any) -> Any:
    log_factor = jnp.where(c >= LARGE, jnp.log(rate / c), 0.0)
    return _kernel(c + 1, c, rate, 1 / x, _constant(c, rate) - 2 * log_factor)


def _log_inverse_gamma_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    (c, rate, x), (dc, drate, dx) = primals, tangents
    inverse = 1 / jnp.where(x > 0, x, 1.0)
    tangent = (
        _times(dc, lambda: _log_relative(c, rate, inverse))
        + _times(dc, lambda: _slope(c, rate))
        + _in_rate(drate, c, rate, inverse)
        + _times(dx, lambda: -(_excess(c, rate, inverse) + 1) * inverse)
    )
    return _log_inverse_gamma(c, rate, x), tangent


_log_inverse_gamma.defjvp(_log_inverse_gamma_jvp, symbolic_zeros=True)


@jax.custom_jvp
def _log_beta(a: Any, b: Any, x: Any) -> Any:
    # The variable and what is missing of 1, as gamma variables of the rate n = a + b.
    n = a + b
    constant = _constant(a, n) + _constant(b, n) - 0.5 * jnp.log(n) + HALF_LOG_2PI + stirling_error(n)
    return _kernel(a - 1, a, n, x, constant) + _kernel(b - 1, b, n, 1 - x)


def _log_beta_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    (a, b, x), (da, db, dx) = primals, tangents
    n, y = a + b, 1 - x
    # psi(n) - log n
    rest = lambda: stirling_error_slope(n) - 0.5 / n
    below, above = x > 0, y > 0
    by_x = lambda: jnp.where(below, (a - 1) / jnp.where(below, x, 1.0), 0.0)
    by_y = lambda: jnp.where(above, (b - 1) / jnp.where(above, y, 1.0), 0.0)
    tangent = (
        _times(da, lambda: _log_relative(a, n, x))
        + _times(da, lambda: _slope(a, n) + rest())
        + _times(db, lambda: _log_relative(b, n, y))
        + _times(db, lambda: _slope(b, n) + rest())
        + _times(dx, lambda: by_x() - by_y())
    )
    return _log_beta(a, b, x), tangent


_log_beta.defjvp(_log_beta_jvp, symbolic_zeros=True)


@jax.custom_jvp
def _log_dirichlet(alpha: Any, x: Any) -> Any:
    n = alpha.sum(-1, keepdims=True)
    # The gamma density of their sum, at 1, is what is missing.
    log_sum = 0.5 * jnp.log(n) - HALF_LOG_2PI - stirling_error(n)
    return _log_gamma(alpha, n, x).sum(-1) - log_sum[..., 0]


def _log_dirichlet_jvp(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Any, Any]:
    (alpha, x), (dalpha, dx) = primals, tangents
    n = alpha.sum(-1, keepdims=True)
    positive = x > 0
    by_x = lambda: jnp.where(positive, (alpha - 1) / jnp.where(positive, x, 1.0), 0.0)
    terms = [
        _times(dalpha, lambda: _log_relative(alpha, n, x)),
        _times(dalpha, lambda: _slope(alpha, n) + (stirling_error_slope(n) - 0.5 / n)),
        _times(dx, by_x),
    ]
    return _log_dirichlet(alpha, x), sum(term.sum(-1) for term in terms if not isinstance(term, float))


_log_dirichlet.defjvp(_log_dirichlet_jvp, symbolic_zeros=True)

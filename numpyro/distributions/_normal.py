# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

r"""Masses of the standard normal distribution, far in the tails too, at the cost of some twenty multiplications.

All of it rests on the mean excess :math:`K(a) = E[z - a \mid z > a]`, for :math:`a \ge 0` a polynomial in
:math:`(a - 4) / (a + 4)`, in the manner of Shepherd and Laframboise (1981), "Chebyshev approximation of
:math:`(1 + 2x)\exp(x^2)\,\mathrm{erfc}\,x` in :math:`0 \le x < \infty`". Mills' ratio is
:math:`R(a) = (1 - \Phi(a)) / \varphi(a) = 1 / (a + K(a))`, and the derivatives of masses are densities over masses, so
that they are written down rather than found by differentiating polynomials. Ends of intervals may be infinite.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro.distributions._special import polynomial

__all__ = [
    "excess",
    "excess_moments",
    "excess_shortfall",
    "inverse_mills_ratio",
    "log_density_ratio",
    "log_ndtr",
    "log_relative_mass",
    "log_relative_tail",
    "lower_hazard",
    "mills_ratio",
    "nearest_to_zero",
]

LOG_2PI = math.log(2 * math.pi)
SQRT_2PI = math.sqrt(2 * math.pi)
# Chebyshev coefficients of (a + 4) K(a), by interpolation in numbers of 60 digits. Thirteen of them leave 4e-8 of it.
EXCESS = (
    *(1.9626641950418116, -1.1188510157786881, 0.1447402918528400, 0.02256814451695012, -0.01231928530957890),
    *(6.434967742768369e-4, 7.149153845601936e-4, -1.4249253753541910e-4, -3.181202383772038e-5, 1.3726373376950618e-5),
    *(7.838867381724397e-7, -1.0464769205591849e-6, 4.021898684208879e-8, 6.941384471286972e-8, -8.212746120400700e-9),
    *(-4.094168456484326e-9, 8.288036513867620e-10, 2.118791706039664e-10, -6.613538101493974e-11),
    *(-8.982930954806806e-12, 4.549714889503919e-12, 2.2553171793888323e-13, -2.7518745398607505e-13),
    *(9.48182714592592e-15, 1.4432550630781184e-14, -2.107983301141510e-15, -6.172401556606612e-16),
    *(2.205990854287568e-16, 1.687902713817540e-17),
)
INFINITE = 1e15
"""As far as an infinite end: beyond, nothing is left of the excess, and its square still is a number."""


# The same of (a + 4)^2 (1 - a K(a)); sixteen of them leave 1e-8.
SHORTFALL = (
    *(7.744494960513956, -7.136940213514957, 1.3707174273405889, 0.1259452638171336, -0.12192788027502748),
    *(0.01275990193607399, 0.006993994309733067, -0.0019281312014869537, -2.8244302042514184e-4),
    *(1.7552014837479105e-4, 3.193157739325011e-06, -1.316415738367035e-05, 8.571622585505657e-07),
    *(8.723553493792079e-07, -1.1933288941616475e-07, -5.202876550265545e-08, 1.0913636455256973e-08),
    *(2.7661122399793355e-09, -8.198954472440909e-10, -1.2424704627335853e-10, 5.3166416197636494e-11),
    *(3.751669318323667e-12, -2.9745316587413535e-12, 6.675274967805227e-14, 1.375892516083288e-13),
    *(-2.53155048637886e-14, -4.547358457758639e-15, 2.9498442453597417e-15, 3.158639468774671e-17),
    *(-2.6021957009657496e-16, 9.199276642351657e-18),
)


@functools.cache
def _powers(coefficients: tuple[float, ...]) -> list[float]:
    """Coefficients of the powers."""
    return [float(c) for c in np.polynomial.chebyshev.cheb2poly(coefficients)]


def _is_single(x: Any) -> bool:
    return bool(jnp.finfo(x.dtype).bits <= 32)


@jax.custom_jvp
def excess(a: Any) -> Any:
    """Mean of ``z - a`` given ``z > a``, for a >= 0; accurate where it is much smaller than ``a``.

    >>> round(excess(jnp.float32(100.0)).item(), 7)
    0.009998
    """
    a = jnp.minimum(a, INFINITE)
    scale = 1 / (a + 4)
    return scale * polynomial(_powers(EXCESS[:13] if _is_single(a) else EXCESS), (a - 4) * scale)


@excess.defjvp
def _excess_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    mean, variance = excess_moments(*primals)
    return mean, -variance * tangents[0]


FAR = 3.0


def excess_moments(a: Any) -> tuple[Any, Any]:
    """Mean and variance of ``z - a`` given ``z > a``, for a >= 0."""
    far = a > FAR
    mean = excess(a)
    first, second = _excess_fractions(jnp.where(far, a, FAR))
    return mean, jnp.where(far, first * (second - first), 1 - (a + mean) * mean)


def _excess_fractions(a: Any) -> tuple[Any, Any]:
    """K and K' with ``1 / R(a) = a + K``, ``K = 1 / (a + K')``: Laplace's continued fraction (DLMF 7.9.3), a >= 3."""
    rest: Any = 0.0
    for k in range(20, 1, -1):
        rest = k / (a + rest)
    return 1 / (a + rest), rest


def excess_shortfall(a: Any) -> Any:
    """``1 - a K(a)`` for a >= 0, which in the tail is nearly ``2 / a^2``: of its derivatives, use formulas."""
    a = jnp.minimum(a, INFINITE)
    scale = 1 / (a + 4)
    return scale * scale * polynomial(_powers(SHORTFALL[:16] if _is_single(a) else SHORTFALL), (a - 4) * scale)


def inverse_mills_ratio(a: Any) -> Any:
    r""":math:`\varphi(a) / (1 - \Phi(a))`, for a >= 0: the hazard."""
    a = jnp.minimum(a, INFINITE)
    return a + excess(a)


def mills_ratio(a: Any) -> Any:
    r""":math:`(1 - \Phi(a)) / \varphi(a)`, for a >= 0."""
    return 1 / inverse_mills_ratio(a)


def log_ndtr(z: Any) -> Any:
    r""":math:`\log\Phi(z)`; relative to itself it is as accurate in both tails as the precision allows.

    >>> round(log_ndtr(-100.0).item(), 3), round(log_ndtr(5.0).item() * 1e7, 3)
    (-5005.524, -2.867)
    """
    return _log_ndtr(jnp.asarray(z, jnp.result_type(z, float)))


@jax.custom_jvp
def _log_ndtr(z: Any) -> Any:
    lower, mass, small = _lower_mass(z)
    log_mass = jnp.log(mass)
    # What rounding took from 1 - small, as in Kahan's log1p.
    rounded = (mass - 1 + small) / mass
    return jnp.where(lower, log_mass - 0.5 * z * z - 0.5 * LOG_2PI, log_mass - rounded)


def _lower_mass(z: Any) -> tuple[Any, Any, Any]:
    """Whether z is below 0, the mass below z (then relative to the density), and the other tail's mass."""
    lower, tail = z < 0, mills_ratio(jnp.abs(z))
    small = tail * jnp.exp(-0.5 * z * z) * (1 / SQRT_2PI)
    return lower, jnp.where(lower, tail, 1 - small), small


@_log_ndtr.defjvp
def _log_ndtr_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    [z], [tangent] = primals, tangents
    return _log_ndtr(z), lower_hazard(z) * tangent


@jax.custom_jvp
def lower_hazard(z: Any) -> Any:
    r""":math:`\varphi(z) / \Phi(z)`, and 0 at both infinities, where nothing depends on z."""
    hazard = inverse_mills_ratio(jnp.abs(z))
    density = jnp.exp(-0.5 * z * z) * (1 / SQRT_2PI)
    ratio = jnp.where(z < 0, hazard, density / (1 - density / hazard))
    return jnp.where(z == -jnp.inf, 0.0, ratio)


@lower_hazard.defjvp
def lower_hazard_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    [z], [tangent] = primals, tangents
    hazard = lower_hazard(z)
    infinite = jnp.isinf(z)
    rest = jnp.where(z < 0, excess(jnp.where(infinite, 0.0, jnp.abs(z))), jnp.where(infinite, 0.0, z) + hazard)
    return hazard, -hazard * rest * tangent


def nearest_to_zero(a: Any, b: Any) -> Any:
    """The point of the interval next to 0; an end that is None is infinite."""
    lower = jnp.asarray(0.0) if a is None else jnp.maximum(a, 0.0)
    return lower if b is None else jnp.minimum(lower, b)


@jax.custom_jvp
def log_density_ratio(z: Any, reference: Any) -> Any:
    r""":math:`\log\varphi(z) - \log\varphi(r)`, without the cancellation of two squares.

    By hand its derivative in a reference for many values is no sum over them.
    """
    return -0.5 * (z - reference) * (z + reference)


@log_density_ratio.defjvp
def _log_density_ratio_jvp(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Any, Any]:
    z, reference = primals
    return log_density_ratio(z, reference), reference * tangents[1] - z * tangents[0]


def log_relative_tail(a: Any) -> Any:
    r"""Logarithm of the mass above ``a``, relative to the density at ``max(a, 0)``.

    So nothing of the size of :math:`a^2` is added, to be taken away again.

    >>> round(log_relative_tail(100.0).item(), 4)
    -4.6053
    """
    return _log_relative_tail(jnp.asarray(a, jnp.result_type(a, float)))


def _relative_tail(a: Any) -> tuple[Any, Any, Any]:
    """The density at ``a`` and the mass above it, relative to the density at ``max(a, 0)``, and the excess."""
    far = excess(jnp.abs(a))
    tail = 1 / (jnp.minimum(jnp.abs(a), INFINITE) + far)
    density = jnp.exp(-0.5 * a * a)
    return density, jnp.where(a > 0, tail, SQRT_2PI - tail * density), far


@jax.custom_jvp
def _log_relative_tail(a: Any) -> Any:
    return jnp.log(_relative_tail(a)[1])


@_log_relative_tail.defjvp
def _log_relative_tail_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    [a], [tangent] = primals, tangents
    density, mass, far = _relative_tail(a)
    return jnp.log(mass), -jnp.where(a > 0, far, density / mass) * tangent


def log_relative_mass(a: Any, b: Any) -> Any:
    """Logarithm of the mass of the interval, relative to the density at its point next to 0.

    Where the density hardly varies it is a series, else a difference of two tails.

    >>> round(log_relative_mass(-1.0, 1.0).item() - 0.5 * math.log(2 * math.pi), 4)
    -0.3817
    """
    dtype = jnp.result_type(a, b, float)
    return _log_relative_mass(*(jnp.asarray(end, dtype) for end in (a, b)))


def _reflected(a: Any, b: Any) -> tuple[Any, Any, Any]:
    """Whether the middle lies below 0, and the interval, reflected then."""
    flip = a < -b
    a, b = jnp.where(flip, -b, a), jnp.where(flip, -a, b)
    return flip, *(jnp.clip(end, -INFINITE, INFINITE) for end in (a, b))


def _relative_masses(a: Any, b: Any) -> tuple[Any, ...]:
    """For an interval with its middle above 0: densities at both ends and mass, relative to the density next to 0.

    The mass is ``exp(shift) * mass``; besides, the excess at ``|a|`` and the share of that tail that lies beyond b.
    """
    in_tail = a > 0
    nearest = jnp.maximum(a, 0.0)
    half, center = 0.5 * (b - a), 0.5 * (a + b)
    at_a, at_b = jnp.exp(-0.5 * (a - nearest) * (a + nearest)), jnp.exp(-0.5 * (b - nearest) * (b + nearest))
    first, second = excess(jnp.abs(a)), excess(b)
    start, end = 1 / (jnp.abs(a) + first), at_b / (b + second)
    wide = jnp.where(in_tail, start - end, SQRT_2PI - at_a * start - end)
    narrow = (half < 0.25) & (half * center < 0.5)
    mass = jnp.where(narrow, _narrow_mass(half, center), wide)
    from_nearest = jnp.where(in_tail, half, center)
    shift = jnp.where(narrow, -0.5 * from_nearest * (center + nearest), 0.0)
    in_wide_tail = in_tail & ~narrow
    return at_a, at_b, mass, shift, in_wide_tail, first, jnp.where(in_wide_tail, end / start, 0.0)


def _narrow_mass(half: Any, center: Any) -> Any:
    r"""Mass of a narrow interval, relative to the density at its center.

    The integral of :math:`e^{-ct - t^2/2} = \sum_n He_n(c) (-t)^n / n!` (DLMF 18.12.15) for t from -h to h.
    """
    slope, square = center * half, half * half
    before, term = jnp.ones_like(half), slope
    total = before
    for n in range(1, 8 if _is_single(half) else 14):
        before, term = term, (slope * term - square * before) * (1 / (n + 1))
        if n % 2:
            total = total + term * (1 / (n + 2))
    return 2 * half * total


@jax.custom_jvp
def _log_relative_mass(a: Any, b: Any) -> Any:
    _, a, b = _reflected(a, b)
    _, _, mass, shift, *_ = _relative_masses(a, b)
    return jnp.log(mass) + shift


@_log_relative_mass.defjvp
def _log_relative_mass_jvp(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Any, Any]:
    flip, a, b = _reflected(*primals)
    at_a, at_b, mass, shift, in_wide_tail, far, beyond = _relative_masses(a, b)
    inverse = jnp.exp(-shift) / mass
    # The density at the end next to 0 is the unit: what depends on that end is the mean excess inside.
    slope_a = jnp.where(in_wide_tail, -(far + jnp.abs(a) * beyond) / (1 - beyond), jnp.maximum(a, 0.0) - at_a * inverse)
    slope_b = at_b * inverse
    slopes = jnp.where(flip, -slope_b, slope_a), jnp.where(flip, -slope_a, slope_b)
    along = [slope * tangent for slope, tangent in zip(slopes, tangents, strict=True)]
    return jnp.log(mass) + shift, along[0] + along[1]

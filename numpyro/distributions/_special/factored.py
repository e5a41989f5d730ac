# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

r"""The logarithm of a number times a factor, also where the product is too small for a number.

A factor f is split into :math:`2^j g` with g in [1, 2), which changes no digit. What is computed with is y = g x, which
is no smaller than x, and :math:`\log f x = \log y + j \log 2`, where the integer j is added to the exponent of y.

In single precision the logarithm is computed here: of a positive number by some twenty operations on whole vectors.
Those of XLA, which look after zeros, negative numbers and infinities first, took a third longer for a density of one
logarithm and a few products.
"""

from __future__ import annotations

from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from numpyro.distributions._special.series import polynomial

__all__ = ["log_times_power", "power_of_two", "split_factor"]

# log(1 + r) = r - r^2 / 2 + r^3 (...) for 1 + r from sqrt(1/2) to sqrt(2). The polynomial minimises the largest
# relative error of the logarithm, which is 6e-9; it was fitted for this module by iterated weighted least squares.
SERIES = [0.333333313, -0.250008225, 0.200012267, -0.166233569, 0.142017618, -0.131601945, 0.127615497, -0.0763442963]
LOG_2 = float(np.log(2))


def _layout(dtype: Any) -> tuple[Any, int, int, int]:
    """The integers of a dtype's size, the bits of the fraction, the exponent of 1, and the bits of sqrt(1/2)."""
    if dtype == jnp.float64:
        return jnp.int64, 52, 1023, int(np.float64(0.5**0.5).view(np.int64))
    return jnp.int32, 23, 127, int(np.float32(0.5**0.5).view(np.int32))


def split_factor(factor: Any) -> tuple[Any, Any]:
    """The exponent j, an integer, and g in [1, 2), of which the factor is 2^j g.

    :param factor: positive numbers in single or double precision.

    >>> [float(part) for part in split_factor(jnp.float32(0.75))]
    [-1.0, 1.5]
    """
    integer, digits, one, _ = _layout(factor.dtype)
    power = (lax.bitcast_convert_type(factor, integer) >> digits) - one
    return power, factor * power_of_two(-power, factor.dtype)


def power_of_two(power: Any, dtype: Any) -> Any:
    """2^j, for an integer j.

    >>> power_of_two(jnp.int32(-3), jnp.float32).item()
    0.125
    """
    integer, digits, one, _ = _layout(dtype)
    return lax.bitcast_convert_type((power + one).astype(integer) << digits, dtype)


@jax.custom_jvp
def log_times_power(y: Any, power: Any) -> Any:
    r""":math:`\log 2^j y`, within two roundings of the result; finite for any y.

    Its value for a y that is not positive means nothing, and its derivative there is 0.

    :param y: numbers in single or double precision.
    :param power: integers j.

    >>> round(log_times_power(jnp.float32(1.5), jnp.int32(-1)).item(), 4)
    -0.2877
    """
    integer, digits, _, least = _layout(y.dtype)
    fraction = (1 << digits) - 1
    bits = lax.bitcast_convert_type(y, integer) - least
    mantissa = lax.bitcast_convert_type((bits & fraction) + least, y.dtype)
    if y.dtype == jnp.float64:
        log_mantissa = jnp.log(mantissa)
    else:
        r = mantissa - 1
        log_mantissa = r + r * r * (r * polynomial(SERIES, r) - 0.5)
    return ((bits >> digits) + power).astype(y.dtype) * LOG_2 + log_mantissa


@log_times_power.defjvp
def _log_times_power_jvp(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Any, Any]:
    y, power = primals
    positive = y > 0
    return log_times_power(y, power), jnp.where(positive, 1 / jnp.where(positive, y, 1.0), 0.0) * tangents[0]

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Polynomials, and the sine of an angle by one."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp


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

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Roots, and integrals by quadrature, of functions of whole arrays."""

from __future__ import annotations

from collections.abc import Callable
import functools
import operator
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

# exp(-60) is above the smallest float32 even when it is multiplied by a probability of that size's rounding error.
UNDERFLOW = -60.0


def split(log_p: Any) -> tuple[Any, Any, Any]:
    """Which probabilities would underflow, and the logarithms with harmless ones in the places of the others."""
    far = jnp.asarray(log_p) < UNDERFLOW
    return far, jnp.where(far, UNDERFLOW, log_p), jnp.where(far, log_p, UNDERFLOW)


def root(function: Callable[[Any], Any], start: Any, steps: int) -> Any:
    """A root by Newton's method, differentiable with respect to whatever the function depends on."""

    def solve(function: Callable[[Any], Any], x: Any) -> Any:
        def step(_: Any, x: Any) -> Any:
            value, slope = jax.jvp(function, (x,), (jnp.ones_like(x),))
            return x - value / slope

        return lax.fori_loop(0, steps, step, x)

    return lax.custom_root(function, lax.stop_gradient(start), solve, lambda g, y: y / g(jnp.ones_like(y)))


@functools.cache
def _legendre(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(n)


@functools.cache
def _laguerre(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.laguerre.laggauss(n)


def quadrature(function: Callable[[Any], Any], half_width: Any) -> Any:
    """Integral of a smooth function from ``-half_width`` to ``half_width``."""
    # Written out: with the points along an axis, XLA would compute the terms one by one, in the loop of their sum.
    terms = (float(weight) * function(float(node) * half_width) for node, weight in zip(*_legendre(8), strict=True))
    return half_width * functools.reduce(operator.add, terms)


def _leading(x: np.ndarray, *others: Any) -> np.ndarray:
    """A vector along a new axis before those of the others."""
    rank = max(jnp.ndim(other) for other in others)
    return x.reshape((-1,) + (1,) * rank)


def log_integral(log_integrand: Callable[[Any], Any], *operands: Any) -> Any:
    """Logarithm of the integral over ``u > 0`` of a function that decays nearly like ``exp(-u)``.

    The points stand along a new axis, before those of what the function computes with.
    """
    nodes, weights = (_leading(x, *operands) for x in _laguerre(32))
    return jnp.log(jnp.sum(jnp.exp(np.log(weights) + nodes + log_integrand(nodes)), 0))

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Masses of the normal distribution against mpmath, in both precisions; their first and second derivatives as well."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
from precision import double_precision
import pytest

from numpyro.distributions import _normal

DIGITS = 120
# In units of the precision, what a value may be off relative to itself.
ULPS = 80


def above(x: mp.mpf) -> mp.mpf:
    return mp.erfc(x / mp.sqrt(2)) / 2


def hazard(x: mp.mpf) -> mp.mpf:
    return mp.npdf(x) / above(x)


def reference(function, *columns: np.ndarray) -> np.ndarray:
    with mp.workdps(DIGITS):
        return np.array([float(function(*(mp.mpf(float(v)) for v in row))) for row in zip(*columns, strict=True)])


@pytest.fixture(params=["float32", "float64"])
def precision(request):
    with double_precision(request.param == "float64"):
        yield np.dtype(request.param)


def test_log_ndtr_and_its_derivatives_relative_to_themselves(precision):
    z = np.concatenate([-np.logspace(3, -3, 40), [0.0], np.logspace(-3, np.log10(8.0), 30)]).astype(precision)

    @jax.jit
    def numbers(z):
        slope = jax.grad(_normal.log_ndtr)
        return [jax.vmap(f)(z) for f in (_normal.log_ndtr, slope, jax.grad(slope))]

    expected = [
        reference(lambda x: mp.log(above(-x)) if x < 0 else mp.log1p(-above(x)), z),
        reference(lambda x: hazard(-x), z),
        reference(lambda x: -hazard(-x) * (x + hazard(-x)), z),
    ]
    for found, number in zip(numbers(z), expected, strict=True):
        np.testing.assert_allclose(found, number, rtol=ULPS * np.finfo(precision).eps)


def test_log_ndtr_of_what_is_infinite_or_huge(precision):
    z = jnp.asarray([-jnp.inf, jnp.inf, -1e10, 1e10, jnp.nan])
    value, slope = jax.jit(jax.vmap(jax.value_and_grad(_normal.log_ndtr)))(z)
    np.testing.assert_allclose(value, [-np.inf, 0.0, -5e19, 0.0, np.nan], rtol=1e-6)
    np.testing.assert_allclose(slope, [0.0, 0.0, 1e10, 0.0, np.nan], rtol=1e-6)


def intervals(precision) -> tuple[np.ndarray, np.ndarray]:
    """Near 0 and far from it, from very narrow to very wide, and some that are unbounded."""
    rng = np.random.default_rng(0)
    start = np.concatenate([rng.normal(0, 3, 100), rng.normal(0, 60, 100)]).astype(precision)
    end = (start + 10 ** rng.uniform(-4, 2, 200)).astype(precision)
    return np.append(start, [-np.inf, 1.0, -3.0]).astype(precision), np.append(end, [2.0, np.inf, 3.0]).astype(
        precision
    )


def toward_above(a: mp.mpf, b: mp.mpf) -> tuple[bool, mp.mpf, mp.mpf, mp.mpf]:
    """Whether the interval is reflected for its middle to lie above 0, the reflected one, and its point next to 0."""
    flip = a + b < 0
    a, b = (-b, -a) if flip else (a, b)
    return flip, a, b, max(a, mp.mpf(0))


def log_relative_mass(a: mp.mpf, b: mp.mpf) -> mp.mpf:
    _, a, b, nearest = toward_above(a, b)
    return mp.log((above(a) - above(b)) * mp.exp(nearest**2 / 2) * mp.sqrt(2 * mp.pi))


def slope(end: int):
    def function(a: mp.mpf, b: mp.mpf) -> mp.mpf:
        flip, a, b, nearest = toward_above(a, b)
        mass = above(a) - above(b)
        slopes = nearest - mp.npdf(a) / mass, mp.npdf(b) / mass
        return -slopes[1 - end] if flip else slopes[end]

    return function


def test_masses_of_intervals_relative_to_the_density_next_to_0(precision):
    a, b = intervals(precision)
    found = jax.jit(jax.vmap(jax.value_and_grad(_normal.log_relative_mass, (0, 1))))(a, b)
    tolerance = ULPS * np.finfo(precision).eps
    np.testing.assert_allclose(found[0], reference(log_relative_mass, a, b), rtol=tolerance, atol=tolerance)
    for end in (0, 1):
        expected = reference(slope(end), a, b)
        np.testing.assert_allclose(found[1][end], expected, rtol=tolerance, atol=np.finfo(np.float32).tiny)


def test_tails_relative_to_the_density_next_to_0(precision):
    a = np.concatenate([-np.logspace(2, -2, 20), [0.0], np.logspace(-2, 4, 40)]).astype(precision)
    value, found = jax.jit(jax.vmap(jax.value_and_grad(_normal.log_relative_tail)))(a)
    tolerance = ULPS * np.finfo(precision).eps
    with mp.workdps(DIGITS):
        expected = [mp.log(above(x) * mp.sqrt(2 * mp.pi)) + max(x, 0) ** 2 / 2 for x in map(mp.mpf, a.tolist())]
    np.testing.assert_allclose(value, np.array([float(e) for e in expected]), rtol=tolerance, atol=tolerance)
    slopes = reference(lambda x: max(x, mp.mpf(0)) - hazard(x), a)
    np.testing.assert_allclose(found, slopes, rtol=tolerance, atol=np.finfo(np.float32).tiny)


def test_excess_and_its_shortfall_relative_to_themselves(precision):
    a = np.concatenate([[0.0], np.logspace(-3, 6, 60)]).astype(precision)
    tolerance = ULPS * np.finfo(precision).eps
    excess = lambda x: hazard(x) - x if x < 50 else mills_excess(x)
    np.testing.assert_allclose(jax.jit(_normal.excess)(a), reference(excess, a), rtol=tolerance)
    expected = reference(lambda x: 1 - x * excess(x), a)
    np.testing.assert_allclose(jax.jit(_normal.excess_shortfall)(a), expected, rtol=tolerance)


def mills_excess(x: mp.mpf) -> mp.mpf:
    """Laplace's continued fraction, where the complementary error function underflows."""
    rest = mp.mpf(0)
    for k in range(60, 0, -1):
        rest = k / (x + rest)
    return rest

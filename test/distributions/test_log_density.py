# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Densities and quantiles for extreme parameters, of gamma, beta and others, against mpmath with forty digits."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
from precision import double_precision
import pytest
import scipy.special

import numpyro.distributions as dist

CONCENTRATIONS = [1e-6, 0.01, 0.3, 0.999, 1.0, 1.5, 10.0, 1e3, 1e6, 1e8]
RATES = [1e-6, 0.7, 1e5]


def around(mean, spread):
    return [mean + z * spread for z in (-5.0, -1.0, 0.0, 2.0)]


def gamma_points():
    for c, rate in itertools.product(CONCENTRATIONS, RATES):
        values = around(c / rate, c**0.5 / rate) if c > 30 else [c / rate * f for f in (1e-6, 0.1, 1.0, 3.0)]
        # Also where rate x / c is too small for a number.
        yield from ((c, rate, x) for x in [*values, 1e-35 / rate, 1e-35, 50 * (c + 1) / rate])


def beta_points():
    for a, b in itertools.product(CONCENTRATIONS, CONCENTRATIONS):
        mean = a / (a + b)
        values = around(mean, (mean * (1 - mean) / (a + b + 1)) ** 0.5)
        yield from ((a, b, x) for x in [*values, 1e-35, 1e-6, 0.1, 0.9, 1 - 1e-6] if 0 < np.float32(x) < 1)


def log_gamma(c, rate, x):
    return c * mpmath.log(rate) - mpmath.loggamma(c) + (c - 1) * mpmath.log(x) - rate * x


def log_inverse_gamma(c, rate, x):
    return log_gamma(c, rate, 1 / x) - 2 * mpmath.log(x)


def log_chi2(c, rate, x):
    return log_gamma(c / 2, mpmath.mpf(0.5), x)


def log_beta(a, b, x):
    normalizer = mpmath.loggamma(a) + mpmath.loggamma(b) - mpmath.loggamma(a + b)
    return (a - 1) * mpmath.log(x) + (b - 1) * mpmath.log(1 - x) - normalizer


FAMILIES = {
    "Gamma": (dist.Gamma, log_gamma, list(gamma_points())),
    "InverseGamma": (
        dist.InverseGamma,
        log_inverse_gamma,
        [(c, rate, 1 / x) for c, rate, x in gamma_points() if 1e-30 < x < 1e30],
    ),
    "Chi2": (
        lambda df, rate: dist.Chi2(df),
        log_chi2,
        [(2 * c, 0.5, 2 * rate * x) for c, rate, x in gamma_points() if rate == 0.7],
    ),
    "Beta": (dist.Beta, log_beta, list(beta_points())),
}


def exact(function, point):
    with mpmath.workdps(40):
        return float(function(*(mpmath.mpf(float(x)) for x in point)))


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("name", FAMILIES)
def test_log_density_has_an_error_of_a_few_roundings_of_the_standard_score(name, precision):
    """That is some 1e-3 at a concentration of 1e8 in single precision; the plain formula is wrong by 100 there."""
    make, reference, points = FAMILIES[name]
    dtype = np.float32 if precision == "single" else np.float64
    points = np.array(points).astype(dtype)
    points = points[(points > np.finfo(np.float32).tiny).all(-1)]
    with double_precision(precision == "double"):
        found = jax.jit(lambda a, b, x: make(a, b).log_prob(x))(*points.T)
    expected = np.array([exact(reference, point) for point in points])
    largest = np.maximum(points[:, :2].max(-1) if name == "Beta" else points[:, 0], 1).astype(np.float64)
    size = np.sqrt(largest) + np.abs(expected) + 30
    error = np.abs(np.asarray(found, np.float64) - expected) / size / np.finfo(dtype).eps
    worst = error.argmax()
    assert error[worst] < 12, (points[worst], found[worst], expected[worst])


@pytest.mark.parametrize("name", FAMILIES)
def test_derivatives_are_those_of_the_density(name):
    """In single precision, in all arguments, relative to their standard deviation over the draws."""
    make, reference, points = FAMILIES[name]
    points = np.array([p for p in points if 1e-3 < min(p[:2]) and max(p[:2]) < 1e7], np.float32)
    points = points[(points > 1e-30).all(-1)][::3]
    log_prob = lambda a, b, x: make(a, b).log_prob(x)
    found = jax.jit(jax.vmap(jax.grad(log_prob, argnums=(0, 1, 2))))(*points.T)
    for position, derivative in enumerate(found):
        if name == "Chi2" and position == 1:
            continue
        for point, value in zip(points, derivative, strict=True):
            with mpmath.workdps(60):
                exactly = [mpmath.mpf(float(x)) for x in point]
                along = lambda t, position=position, exactly=exactly: reference(
                    *(t if i == position else x for i, x in enumerate(exactly))
                )
                want = float(mpmath.diff(along, exactly[position], h=exactly[position] * mpmath.mpf(10) ** -20))
            # A change of the argument by a rounding changes the derivative by this much, too.
            scale = max(abs(want), max(float(x) for x in point[:2]) ** 0.5 / float(point[position]))
            assert abs(float(value) - want) < 2e-4 * scale, (point, position)


DAGUM = list(itertools.product([1e-3, 0.3, 2.0, 1e4], [0.1, 3.0, 50.0], [1e-12, 1e-3, 0.5, 0.999, 1 - 1e-6]))


@pytest.mark.parametrize("precision", ["single", "double"])
def test_dagum_far_in_the_tails(precision):
    """Density and quantiles where a power is too large for a number, or all but cancels."""
    dtype = np.float32 if precision == "single" else np.float64
    points = np.array(DAGUM).astype(dtype)
    eps = np.finfo(dtype).eps

    def quantile(p, a, q):
        return (mpmath.power(q, -1 / p) - 1) ** (-1 / a)

    def log_prob(p, a, x):
        return mpmath.log(a * p) + (a * p - 1) * mpmath.log(x) - (p + 1) * mpmath.log1p(x**a)

    quantiles = np.array([exact(quantile, point) for point in points])
    seen = (quantiles > 1e-30) & (quantiles < 1e30)
    assert seen.sum() > 40
    points, quantiles = points[seen], quantiles[seen].astype(dtype)
    with double_precision(precision == "double"):
        d = jax.jit(lambda p, a, q, x: (dist.Dagum(p, a, 1.0).icdf(q), dist.Dagum(p, a, 1.0).log_prob(x)))
        found, density = d(*points.T, quantiles)
    # A rounding of the order, or of the logarithm of the value.
    np.testing.assert_array_less(np.abs(found / quantiles - 1), 8 * eps * (1 + 10 * np.abs(np.log(quantiles))))
    p, a, _ = points.T
    want = np.array([exact(log_prob, (*point[:2], x)) for point, x in zip(points, quantiles, strict=True)])
    size = 1 + np.abs(want) + np.minimum(p, 1) * a * np.abs(np.log(quantiles)) + np.abs(np.log(quantiles))
    np.testing.assert_array_less(np.abs(density - want), 16 * eps * size)


def test_half_normal_quantiles_of_small_probabilities():
    q = np.array([1e-30, 1e-12, 1e-6, 1e-3, 0.3, 0.999], np.float32)
    want = 1.7 * 2**0.5 * scipy.special.erfinv(q.astype(np.float64))
    np.testing.assert_allclose(jax.jit(dist.HalfNormal(1.7).icdf)(q), want, rtol=1e-6)
    assert dist.HalfNormal(1.7).icdf(0.0) == 0 and dist.HalfNormal(1.7).icdf(1.0) == np.inf


EDGES = [
    (dist.Gamma, (0.5, 1.0), 0.0, np.inf),
    (dist.Gamma, (1.0, 2.0), 0.0, np.log(2)),
    (dist.Gamma, (2.0, 2.0), 0.0, -np.inf),
    (dist.Gamma, (2.0, 2.0), -1.0, -np.inf),
    (dist.Gamma, (2.0, 1e5), 1e35, -np.inf),
    (dist.InverseGamma, (2.0, 2.0), 0.0, -np.inf),
    (dist.InverseGamma, (0.5, 2.0), np.inf, -np.inf),
    (dist.InverseGamma, (2.0, 2.0), -1.0, -np.inf),
    (dist.Beta, (1.0, 3.0), 0.0, np.log(3)),
    (dist.Beta, (3.0, 1.0), 1.0, np.log(3)),
    (dist.Beta, (1.0, 1.0), 1.0, 0.0),
    (dist.Beta, (0.5, 2.0), 0.0, np.inf),
    (dist.Beta, (2.0, 0.5), 0.0, -np.inf),
    (dist.Beta, (2.0, 0.5), 1.0, np.inf),
    (dist.Beta, (2.0, 2.0), -0.1, -np.inf),
    (dist.Beta, (2.0, 2.0), 1.1, -np.inf),
]


@pytest.mark.parametrize(("family", "parameters", "value", "expected"), EDGES)
def test_edges_and_what_lies_beyond(family, parameters, value, expected):
    log_prob = lambda p, x: family(*p).log_prob(x)
    found, gradient = jax.jit(jax.value_and_grad(log_prob, argnums=(0, 1)))(parameters, value)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    if abs(value) < 2:
        assert all(np.isfinite(g) for g in jax.tree.leaves(gradient))


def test_second_derivatives():
    for family, reference, point in (
        (dist.Gamma, log_gamma, (2.6, 1.7, 0.9)),
        (dist.InverseGamma, log_inverse_gamma, (2.6, 1.7, 0.9)),
        (dist.Beta, log_beta, (2.6, 0.7, 0.3)),
    ):
        with double_precision():
            log_prob = lambda p, family=family: family(p[0], p[1]).log_prob(p[2])
            hessian = jax.jit(jax.hessian(log_prob))(jnp.array(point))
        for i, j in itertools.product(range(3), repeat=2):
            order = [(i == k) + (j == k) for k in range(3)]
            with mpmath.workdps(40):
                want = float(mpmath.diff(reference, point, order))
            np.testing.assert_allclose(hessian[i, j], want, rtol=1e-9, atol=1e-9)

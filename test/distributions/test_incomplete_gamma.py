# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distribution functions of gamma variables in single precision, against mpmath, for concentrations up to a million."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import numpyro.distributions as dist
from numpyro.distributions._special import incomplete_gamma
from numpyro.distributions._tails import log_lower_gamma, log_upper_gamma

CONCENTRATIONS = [0.5, 3.0, 19.0, 21.0, 50.0, 150.0, 300.0, 1e4, 1e5, 1e6]
SCORES = [-6.0, -3.0, -1.0, 0.0, 0.5, 2.0, 6.0]


def log_tails(a, x):
    """Logarithms of P and Q, the smaller one by integrating the density outwards from x."""
    with mpmath.workdps(30):
        a, x = mpmath.mpf(float(a)), mpmath.mpf(float(x))
        density = lambda t: (a - 1) * mpmath.log(t) - t - mpmath.loggamma(a)
        upper = x > a
        rate = abs((a - 1) / x - 1) + 1 / mpmath.sqrt(a) if a > 1 else mpmath.mpf(1)
        if upper:
            ends = [x + k / rate for k in (0, 1, 3, 8, 20, 60, 200)]
        else:
            ends = [mpmath.mpf(0), *(x - k / rate for k in (200, 60, 20, 8, 3, 1, 0) if x > k / rate)]
        integral = mpmath.quad(lambda t: mpmath.exp(density(t) - density(x)) if t > 0 else mpmath.mpf(0), ends)
        tail = density(x) + mpmath.log(integral)
        other = mpmath.log1p(-mpmath.exp(tail))
        return (float(other), float(tail)) if upper else (float(tail), float(other))


def points(scores):
    for a in CONCENTRATIONS:
        for z in scores:
            x = np.float32(a + z * a**0.5)
            if x > 0:
                yield np.float32(a), x


POINTS = np.array(list(points(SCORES)))
EXPECTED = np.array([log_tails(a, x) for a, x in POINTS])
FAR = np.array(list(points([-80.0, -40.0, -15.0, 15.0, 40.0, 80.0])))


def test_probabilities_have_five_digits():
    a, x = POINTS.T
    functions = ("gammainc", "gammaincc", "log_gammainc", "log_gammaincc")
    found = jax.jit(lambda a, x: [getattr(incomplete_gamma, name)(a, x) for name in functions])(a, x)
    lower, upper = EXPECTED.T
    for logarithm, want in zip(found[2:], (lower, upper), strict=True):
        np.testing.assert_allclose(logarithm, want, atol=1e-5, rtol=1e-6)
    for probability, want in zip(found[:2], (lower, upper), strict=True):
        np.testing.assert_allclose(probability, np.exp(want), rtol=1.2e-5)


def test_far_tails_have_the_digits_of_their_logarithm():
    a, x = FAR.T
    lower, upper = jax.jit(lambda a, x: (log_lower_gamma(a, x), log_upper_gamma(a, x)))(a, x)
    want = np.array([log_tails(*point) for point in FAR])
    is_upper = x > a
    found = np.where(is_upper, upper, lower)
    np.testing.assert_allclose(found, np.where(is_upper, want[:, 1], want[:, 0]), rtol=3e-6)


def test_quantiles_are_those_of_the_probabilities():
    a, x = POINTS[np.abs(EXPECTED[:, 0]) > 0.01].T
    q = np.exp(EXPECTED[np.abs(EXPECTED[:, 0]) > 0.01, 0]).astype(np.float32)
    found = jax.jit(lambda a, q: dist.Gamma(a, 1.0).icdf(q))(a, q)
    # A rounding of the probability, and the relative error of it, in standard deviations.
    np.testing.assert_allclose((found - x) / np.sqrt(a), 0, atol=1e-4)


@pytest.mark.parametrize("function", ["gammainc", "log_gammaincc"])
def test_derivatives_are_those_of_the_exact_functions(function):
    a, x = POINTS[POINTS[:, 0] < 1e5].T
    evaluate = getattr(incomplete_gamma, function)
    in_a, in_x = jax.jit(jax.vmap(jax.grad(evaluate, (0, 1))))(a, x)

    def exact(a, x):
        upper = mpmath.gammainc(a, x, mpmath.inf, regularized=True)
        return 1 - upper if function == "gammainc" else mpmath.log(upper)

    chosen = [i for i in range(len(a)) if a[i] < 400]
    for i in chosen:
        with mpmath.workdps(40):
            point = mpmath.mpf(float(a[i])), mpmath.mpf(float(x[i]))
            want = [float(mpmath.diff(exact, point, order)) for order in ((1, 0), (0, 1))]
        np.testing.assert_allclose([in_a[i], in_x[i]], want, rtol=2e-3, atol=1e-6)
    # A shift of both leaves a standard deviation of large variables nearly where it is.
    np.testing.assert_allclose(in_a[a > 400], -in_x[a > 400], rtol=0.06)


def test_poisson_probabilities_of_a_large_rate():
    rate, count = jnp.float32(1e5), np.float32([99_000, 100_000, 101_000])
    want = [np.exp(log_tails(k + 1.0, 1e5)[1]) for k in count]
    np.testing.assert_allclose(jax.jit(dist.Poisson(rate).cdf)(count), want, rtol=1e-5)

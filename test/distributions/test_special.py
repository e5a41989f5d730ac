# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Special functions against mpmath, in both precisions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
from precision import double_precision
import pytest

from numpyro.distributions._special import chi_moments, log_one_plus_square, log_sigmoid_difference


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_log_sigmoid_difference_and_its_gradient_relative_to_themselves(precision):
    with double_precision(precision == "float64"):
        rng = np.random.default_rng(0)
        a = np.concatenate([rng.normal(0, 3, 80), rng.normal(0, 60, 80), [-np.inf, -np.inf, -np.inf, 4.0, -9.0]])
        b = a + 10 ** rng.uniform(-4, 2, a.size)
        b[-5:] = [-30.0, 0.5, 30.0, np.inf, np.inf]
        a, b = a.astype(precision), b.astype(precision)
        value, slopes = jax.jit(jax.vmap(jax.value_and_grad(log_sigmoid_difference, (0, 1))))(a, b)
        bend = jax.jit(jax.vmap(jax.hessian(log_sigmoid_difference, (0, 1))))(a, b)
        assert np.all(np.isfinite(np.asarray(bend)))
    sigmoid = lambda x: 1 / (1 + mp.exp(-x))
    density = lambda x: sigmoid(x) * sigmoid(-x) if mp.isfinite(x) else mp.mpf(0)
    with mp.workdps(120):
        rows = [(mp.mpf(float(x)), mp.mpf(float(y))) for x, y in zip(a, b, strict=True)]
        masses = [sigmoid(y) - sigmoid(x) for x, y in rows]
        expected = [float(mp.log(mass)) for mass in masses]
        in_a = [float(-density(x) / mass) for (x, _), mass in zip(rows, masses, strict=True)]
        in_b = [float(density(y) / mass) for (_, y), mass in zip(rows, masses, strict=True)]
    tolerance = 60 * np.finfo(precision).eps
    np.testing.assert_allclose(value, expected, rtol=tolerance)
    np.testing.assert_allclose(slopes[0], in_a, rtol=tolerance, atol=1e-30)
    np.testing.assert_allclose(slopes[1], in_b, rtol=tolerance, atol=1e-30)
    assert jnp.isneginf(log_sigmoid_difference(1.0, 1.0))


def test_derivatives_of_log_one_plus_square():
    x = np.float32([0.0, -0.0, 1e-30, -1e-3, 0.7, -3.0, 1e10, 1e30])
    slope = jax.grad(log_one_plus_square)
    found = jax.jit(lambda x: [jax.vmap(f)(x) for f in (log_one_plus_square, slope, jax.grad(slope))])(x)
    with mp.workdps(60):
        exact = [mp.mpf(float(v)) for v in x]
        expected = [float(mp.log(1 + v * v)) for v in exact]
        slopes = [float(2 * v / (1 + v * v)) for v in exact]
        bends = [float(2 * (1 - v * v) / (1 + v * v) ** 2) for v in exact]
    np.testing.assert_allclose(found[0], expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found[1], slopes, rtol=1e-6)
    np.testing.assert_allclose(found[2], bends, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_moments_of_chi_variates_relative_to_themselves(precision):
    """The variance is about 1/2 where it is a difference of numbers of the size of the degrees of freedom."""
    degrees = np.array([1e-3, 0.3, 1.0, 5.9, 6.1, 31.0, 33.0, 1e3, 1e6, 1e8, 1e12], precision)
    with double_precision(precision == "float64"):
        mean, variance = jax.jit(chi_moments)(degrees)
        slopes = jax.jit(jax.vmap(jax.grad(lambda x: chi_moments(x)[1])))(degrees)
    with mp.workdps(60):
        exact = [mp.mpf(float(x)) for x in degrees]
        moment = lambda x: mp.sqrt(2) * mp.gammaprod([(x + 1) / 2], [x / 2])
        means = [float(moment(x)) for x in exact]
        variances = [float(x - moment(x) ** 2) for x in exact]
    eps = np.finfo(precision).eps
    np.testing.assert_allclose(mean, means, rtol=30 * eps)
    np.testing.assert_allclose(variance, variances, rtol=5e-5 if precision == "float32" else 5e-13)
    assert np.isfinite(slopes).all()

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

from numpyro.distributions._special import log_sigmoid_difference


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

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Combining the posteriors of parts of the data."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose
import pytest

from numpyro.infer.hmc_util import consensus, parametric, parametric_draws

RANDOM = np.random.default_rng(0)
PARTS = [
    {"a": RANDOM.normal(i, 1, size=400), "b": RANDOM.normal(size=(400, 2)) @ [[1 + i, 0.5], [0.0, 1.0]]}
    for i in range(3)
]
FLAT = [np.column_stack([part["a"], part["b"]]) for part in PARTS]


def precisions(diagonal):
    return [np.diag(1 / x.var(0, ddof=1)) if diagonal else np.linalg.inv(np.cov(x.T)) for x in FLAT]


@pytest.mark.parametrize("diagonal", [False, True])
def test_draws_are_averaged_with_their_precisions(diagonal):
    weights = precisions(diagonal)
    expected = np.linalg.solve(sum(weights), sum(w @ x.T for w, x in zip(weights, FLAT, strict=True))).T
    result = jax.jit(lambda parts: consensus(parts, diagonal=diagonal))(PARTS)
    assert_allclose(np.column_stack([result["a"], result["b"]]), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("diagonal", [False, True])
def test_the_product_of_normal_densities(diagonal):
    weights = precisions(diagonal)
    covariance = np.linalg.inv(sum(weights))
    expected = covariance @ sum(w @ x.mean(0) for w, x in zip(weights, FLAT, strict=True))
    mean, spread = jax.jit(lambda parts: parametric(parts, diagonal))(PARTS)
    assert_allclose(mean, expected, rtol=1e-3, atol=1e-4)
    assert_allclose(spread, np.diag(covariance) if diagonal else covariance, rtol=1e-3, atol=1e-5)

    key = jax.random.PRNGKey(1)
    draws = jax.jit(lambda parts: parametric_draws(parts, 20000, diagonal, key))(PARTS)
    draws = np.column_stack([draws["a"], draws["b"]])
    assert_allclose(draws.mean(0), expected, atol=0.03)
    assert_allclose(np.cov(draws.T), covariance, atol=0.03)


def test_parts_of_different_length_are_drawn_from():
    parts = [jnp.arange(10.0)[:, None], 100 + jnp.arange(5.0)[:, None]]
    with pytest.raises(ValueError, match="have 10, 5 draws; give `num_draws`"):
        consensus(parts)
    result = consensus(parts, num_draws=50, rng_key=jax.random.PRNGKey(0))
    assert result.shape == (50, 1)
    weights = np.array([1 / np.var(np.arange(10), ddof=1), 1 / np.var(np.arange(5), ddof=1)])
    possible = (weights[0] * np.arange(10)[:, None] + weights[1] * (100 + np.arange(5))) / weights.sum()
    assert np.all(np.abs(possible.ravel()[:, None] - np.ravel(result)).min(axis=0) < 1e-3)
    assert len(np.unique(np.round(result, 3))) > 20


def test_nothing_cannot_be_combined():
    with pytest.raises(ValueError, match="no subposterior"):
        parametric([])

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Draws by gamma variates of extreme concentrations, in single precision."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import scipy.stats

import numpyro.distributions as dist

COUNT = 20_000

# Standardised draws are nearly normal. Each distribution, and its mean and standard deviation.
NEARLY_NORMAL = {
    "Gamma": (lambda c: dist.Gamma(c, 1.0), lambda c: (c, c**0.5)),
    "Beta": (lambda c: dist.Beta(c, c), lambda c: (0.5, 0.5 / (2 * c + 1) ** 0.5)),
    "Dirichlet": (
        lambda c: dist.Dirichlet(c * np.float32([1, 1])),
        lambda c: (0.5, 0.5 / (2 * c + 1) ** 0.5),
    ),
    "WishartCholesky": (
        lambda c: dist.WishartCholesky(c, scale_tril=np.eye(2, dtype=np.float32)),
        lambda c: (c**0.5 * (1 - 0.25 / c), 0.5**0.5),
    ),
    "BetaNegativeBinomial": (
        lambda c: dist.BetaNegativeBinomial(c, c, 1e4),
        lambda c: (1e4 * c / (c - 1), (1e4 * (1e4 + c) * 2 / c) ** 0.5),
    ),
}


@pytest.mark.parametrize("name", NEARLY_NORMAL)
def test_draws_of_large_concentrations_spread_as_they_should(name):
    """Of a draw of size c only the last digits vary: no logarithm, and no difference of large terms, may take them."""
    make, moments = NEARLY_NORMAL[name]
    draw = jax.jit(lambda c, key: make(c).sample(key, (COUNT,)))
    for concentration in np.float32([1e6, 1e10, 1e12]):
        draws = np.asarray(draw(concentration, jax.random.key(1)), np.float64).reshape(COUNT, -1)[:, 0]
        mean, spread = moments(float(concentration))
        # What single precision can tell apart, near the mean.
        grain = np.spacing(np.float32(mean)) / spread
        standard = (draws - mean) / spread
        assert abs(standard.var() - 1) < 6 * (2 / COUNT) ** 0.5 + grain
        assert abs(standard.mean()) < 6 * COUNT**-0.5 + grain
        assert scipy.stats.kstest(standard, "norm").statistic < 2 * COUNT**-0.5 + grain


@pytest.mark.parametrize("concentration", [0.2, 0.7, 1.3, 8.0, 300.0])
def test_gamma_draws_have_the_gamma_distribution(concentration):
    ranks = scipy.stats.gamma.cdf(np.asarray(draw_gamma(concentration), np.float64), concentration)
    assert scipy.stats.kstest(ranks, "uniform").pvalue > 1e-3


@jax.jit
def draw_gamma(concentration):
    return dist.Gamma(concentration, 1.0).sample(jax.random.key(2), (COUNT,))

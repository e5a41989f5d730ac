# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Gaussian copulas: a change of variables from a normal vector, its margins, and its dependence."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from precision import double_precision
import pytest
import scipy.stats

import numpyro.distributions as dist
from numpyro.distributions import constraints

MATRIX = np.array([[1.0, 0.6, -0.2], [0.6, 1.0, 0.1], [-0.2, 0.1, 1.0]])
MARGINALS = {
    "Beta": (
        lambda: dist.Beta(jnp.array([2.0, 0.5, 7.0]), 3.0),
        lambda: [scipy.stats.beta(a, 3.0) for a in (2.0, 0.5, 7.0)],
    ),
    "Gamma": (
        lambda: dist.Gamma(jnp.array([2.0, 0.5, 7.0]), 3.0),
        lambda: [scipy.stats.gamma(a, scale=1 / 3.0) for a in (2.0, 0.5, 7.0)],
    ),
    "Normal": (
        lambda: dist.Normal(jnp.array([2.0, 0.5, 7.0]), 3.0),
        lambda: [scipy.stats.norm(a, 3.0) for a in (2.0, 0.5, 7.0)],
    ),
    "Gumbel": (
        lambda: dist.Gumbel(jnp.array([2.0, 0.5, 7.0]), 3.0),
        lambda: [scipy.stats.gumbel_r(a, 3.0) for a in (2.0, 0.5, 7.0)],
    ),
}


def by_scipy(marginals, value):
    below = np.stack([rv.cdf(value[..., i]) for i, rv in enumerate(marginals)], -1)
    above = np.stack([rv.sf(value[..., i]) for i, rv in enumerate(marginals)], -1)
    scores = np.where(below < above, scipy.stats.norm.ppf(below), scipy.stats.norm.isf(above))
    densities = sum(rv.logpdf(value[..., i]) for i, rv in enumerate(marginals))
    joint = scipy.stats.multivariate_normal(np.zeros(3), MATRIX).logpdf(scores)
    return joint - scipy.stats.norm.logpdf(scores).sum(-1) + densities


@pytest.mark.parametrize("name", MARGINALS)
def test_density_is_that_of_the_transformed_normal_vector(name):
    build, marginals = MARGINALS[name]
    with double_precision():

        @jax.jit
        def run(key):
            d = dist.GaussianCopula(build(), MATRIX)
            x = d.sample(key, (50,))
            return x, d.log_prob(x), d.mean, d.variance

        x, log_prob, mean, variance = map(np.asarray, run(jax.random.key(0)))
    np.testing.assert_allclose(log_prob, by_scipy(marginals(), x), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(mean, [rv.mean() for rv in marginals()], rtol=1e-8)
    np.testing.assert_allclose(variance, [rv.var() for rv in marginals()], rtol=1e-8)


def test_density_far_in_both_tails_in_single_precision():
    """Where the distribution function rounds to one, and where it underflows."""
    marginals = [scipy.stats.beta(2.0, 30.0), scipy.stats.beta(30.0, 2.0), scipy.stats.beta(2.0, 2.0)]
    x = np.float32([[0.9, 0.01, 0.999], [1e-5, 0.999, 1e-4], [0.1, 0.9, 0.5]])
    d = dist.GaussianCopulaBeta(np.float32([2, 30, 2]), np.float32([30, 2, 2]), MATRIX.astype(np.float32))
    log_prob, slope = jax.jit(jax.vmap(jax.value_and_grad(d.log_prob)))(x)
    np.testing.assert_allclose(log_prob, by_scipy(marginals, x.astype(np.float64)), rtol=1e-4, atol=1e-4)
    assert np.all(np.isfinite(slope))
    normal = dist.GaussianCopula(dist.Normal(np.zeros(3), 1.0), MATRIX)
    joint = dist.MultivariateNormal(np.zeros(3), MATRIX)
    np.testing.assert_allclose(normal.log_prob(np.full(3, 60.0)), joint.log_prob(np.full(3, 60.0)), rtol=1e-5)


def test_draws_have_the_margins_and_the_rank_correlation():
    """Spearman's correlation of normal scores is 6/pi arcsin(r/2) (Kruskal 1958)."""
    build, marginals = MARGINALS["Beta"]
    d = dist.GaussianCopula(build(), MATRIX)
    draws = np.asarray(jax.jit(lambda key: d.sample(key, (20_000,)))(jax.random.key(1)), np.float64)
    for column, rv in zip(draws.T, marginals(), strict=True):
        assert scipy.stats.kstest(column, rv.cdf).pvalue > 1e-3
    np.testing.assert_allclose(scipy.stats.spearmanr(draws).statistic, 6 / np.pi * np.arcsin(MATRIX / 2), atol=0.025)


def test_parameterisations_and_shapes():
    cholesky = np.linalg.cholesky(MATRIX)
    concentration = np.array([[2.0, 0.5, 7.0], [1.0, 2.0, 3.0]])
    by_matrix = dist.GaussianCopulaBeta(concentration, 3.0, MATRIX)
    by_cholesky = dist.GaussianCopulaBeta(concentration, 3.0, correlation_cholesky=cholesky)
    general = dist.GaussianCopula(dist.Beta(concentration, 3.0), np.stack([MATRIX] * 4)[:, None])
    assert by_matrix.batch_shape == by_cholesky.batch_shape == (2,)
    assert general.batch_shape == (4, 2)
    assert general.event_shape == (3,)
    value = np.array([0.2, 0.3, 0.6])
    expected = by_matrix.log_prob(value)
    np.testing.assert_allclose(by_cholesky.log_prob(value), expected, rtol=1e-5)
    np.testing.assert_allclose(general.log_prob(value), np.stack([expected] * 4), rtol=1e-5)
    np.testing.assert_allclose(by_matrix.correlation_cholesky, cholesky, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(by_cholesky.correlation_matrix, MATRIX, rtol=1e-5)
    assert general.support == constraints.independent(constraints.unit_interval, 1)
    assert dist.GaussianCopula(dist.Exponential(1.0), MATRIX).event_shape == (3,)
    assert by_matrix.base_dist.event_shape == (3,)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: dist.GaussianCopula(dist.Beta(2.0, np.ones(3))), "correlation"),
        (lambda: dist.GaussianCopula(dist.Beta(2.0, np.ones(2)), MATRIX), r"\(2,\)"),
        (lambda: dist.GaussianCopula(dist.Poisson(np.ones(3)), MATRIX), "discrete"),
        (lambda: dist.GaussianCopula(dist.Dirichlet(np.ones(3)), MATRIX), r"event shape \(3,\)"),
        (lambda: dist.GaussianCopulaBeta(np.ones((4, 3)), 1.0, np.stack([MATRIX] * 5)), "does not broadcast"),
        (lambda: dist.GaussianCopulaBeta(-np.ones(3), 1.0, MATRIX, validate_args=True), "'concentration1'"),
    ],
)
def test_what_does_not_fit(build, words):
    with pytest.raises(ValueError, match=words):
        build()

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Censored observations: their probabilities are those of SciPy's distribution and survival functions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from precision import double_precision
import pytest
import scipy.stats

import numpyro.distributions as dist

# Distributions, the same in SciPy, and values from the bulk to far in the upper tail.
FAMILIES = {
    "Normal": (dist.Normal(0.3, 1.4), scipy.stats.norm(0.3, 1.4), [-3.0, 0.5, 20.0, 300.0]),
    "Cauchy": (dist.Cauchy(0.3, 1.4), scipy.stats.cauchy(0.3, 1.4), [-3.0, 0.5, 1e6]),
    "StudentT": (dist.StudentT(30.0, 0.3, 1.4), scipy.stats.t(30.0, 0.3, 1.4), [-3.0, 0.5, 50.0]),
    "Laplace": (dist.Laplace(0.3, 1.4), scipy.stats.laplace(0.3, 1.4), [-3.0, 0.5, 400.0]),
    "Logistic": (dist.Logistic(0.3, 1.4), scipy.stats.logistic(0.3, 1.4), [-3.0, 0.5, 400.0]),
    "Gumbel": (dist.Gumbel(0.3, 1.4), scipy.stats.gumbel_r(0.3, 1.4), [-3.0, 0.5, 70.0]),
    "Exponential": (dist.Exponential(1.7), scipy.stats.expon(scale=1 / 1.7), [0.1, 2.0, 400.0]),
    "Gamma": (dist.Gamma(2.6, 1.7), scipy.stats.gamma(2.6, scale=1 / 1.7), [0.1, 2.0, 100.0]),
    "Weibull": (dist.Weibull(1.4, 2.2), scipy.stats.weibull_min(2.2, scale=1.4), [0.1, 2.0, 30.0]),
    "LogNormal": (dist.LogNormal(0.3, 0.6), scipy.stats.lognorm(0.6, scale=np.exp(0.3)), [0.1, 2.0, 1e4]),
    "HalfNormal": (dist.HalfNormal(1.4), scipy.stats.halfnorm(scale=1.4), [0.1, 2.0, 40.0]),
    "HalfCauchy": (dist.HalfCauchy(1.4), scipy.stats.halfcauchy(scale=1.4), [0.1, 2.0, 1e6]),
    "Beta": (dist.Beta(2.5, 1.8), scipy.stats.beta(2.5, 1.8), [0.1, 0.5, 0.9]),
    "Poisson": (dist.Poisson(2.3), scipy.stats.poisson(2.3), [0, 2, 5]),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_one_sided_censoring(name):
    d, rv, values = FAMILIES[name]
    values = np.asarray(values)
    flags = np.array([False, True])[:, None]

    @jax.jit
    def compare(values):
        left, right = dist.LeftCensoredDistribution(d, flags), dist.RightCensoredDistribution(d, flags)
        return left.log_prob(values), right.log_prob(values)

    left, right = compare(values if d.is_discrete else values.astype(np.float32))
    exact = rv.logpmf(values) if d.is_discrete else rv.logpdf(values)
    np.testing.assert_allclose(left, [exact, rv.logcdf(values)], rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(right, [exact, rv.logsf(values)], rtol=2e-5, atol=1e-6)
    assert dist.LeftCensoredDistribution(d, flags).batch_shape == (2, 1)
    assert dist.RightCensoredDistribution(d).is_discrete == d.is_discrete


INTERVAL = {"Normal": (20.0, 20.5), "Gumbel": (30.0, 33.0), "Gamma": (60.0, 61.0), "LogNormal": (300.0, 500.0)}


@pytest.mark.parametrize("name", FAMILIES)
def test_interval_censoring(name):
    """In the four states of the flags, and between two values far in the upper tail."""
    d, rv, values = FAMILIES[name]
    low, high = float(values[0]), float(values[1])
    left, right = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    with double_precision():
        censored = dist.IntervalCensoredDistribution(d, left, right)
        found = jax.jit(censored.log_prob)(np.array([low, high]))
        far = np.array(INTERVAL.get(name, (low, high)))
        tail = jax.jit(dist.IntervalCensoredDistribution(d, False, False).log_prob)(far)
    expected = [rv.cdf(high) - rv.cdf(low), rv.cdf(high), rv.sf(low), rv.sf(high) + rv.cdf(low)]
    np.testing.assert_allclose(found, np.log(expected), rtol=1e-7)
    share = rv.sf(far[0]) - rv.sf(far[1])
    np.testing.assert_allclose(tail, np.log(share), rtol=1e-6)


def test_bounds_that_do_not_matter_leave_no_trace():
    left, right = np.array([False, True, False]), np.array([False, False, True])
    values = np.array([[-1.0, 1.0], [np.nan, 1.0], [-1.0, np.inf]])

    def total(loc):
        return dist.IntervalCensoredDistribution(dist.Normal(loc, 1.0), left, right).log_prob(values)

    log_prob, slope = jax.jit(lambda loc: (total(loc), jax.jacrev(total)(loc)))(0.2)
    rv = scipy.stats.norm(0.2)
    np.testing.assert_allclose(log_prob, np.log([rv.cdf(1) - rv.cdf(-1), rv.cdf(1), rv.sf(-1)]), rtol=1e-5)
    expected = [(rv.pdf(-1) - rv.pdf(1)) / (rv.cdf(1) - rv.cdf(-1)), -rv.pdf(1) / rv.cdf(1), rv.pdf(-1) / rv.sf(-1)]
    np.testing.assert_allclose(slope, expected, rtol=1e-5)


def test_an_empty_interval_has_no_probability():
    for base in (dist.Normal(0.0, 1.0), dist.LogNormal(0.0, 1.0)):
        d = dist.IntervalCensoredDistribution(base, False, False)
        assert d.log_prob(np.array([1.0, 1.0])) == -np.inf
        assert np.all(np.isfinite(jax.grad(d.log_prob)(jnp.array([1.0, 1.0]))))


def test_gradients_are_finite_on_both_sides_of_a_flag():
    values = np.float32([-1.0, 3.0, 200.0])

    def total(concentration, rate):
        d = dist.RightCensoredDistribution(dist.Gamma(concentration, rate), np.array([False, False, True]))
        return d.log_prob(jnp.abs(values)).sum()

    assert np.all(np.isfinite(jax.jit(jax.grad(total, (0, 1)))(2.6, 1.7)))


def test_draws_are_those_of_the_variable():
    key = jax.random.key(0)
    base = dist.Exponential(np.array([1.0, 2.0]))
    expected = base.expand((3, 2)).sample(key, (5,))
    flags = np.ones((3, 1), bool)
    np.testing.assert_array_equal(dist.RightCensoredDistribution(base, flags).sample(key, (5,)), expected)
    pairs = dist.IntervalCensoredDistribution(base, flags, flags).sample(key, (5,))
    np.testing.assert_array_equal(pairs, np.stack([expected, expected], -1))


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (
            lambda: dist.LeftCensoredDistribution(dist.Normal(np.zeros(3), 1.0).to_event(1), True),
            ValueError,
            r"event shape \(3,\)",
        ),
        (
            lambda: dist.RightCensoredDistribution(dist.Normal(np.zeros(3), 1.0), np.ones(2, bool)),
            ValueError,
            r"censored has shape \(2,\)",
        ),
        (lambda: dist.LeftCensoredDistribution(1.0, True), TypeError, "must be a distribution"),
        (
            lambda: dist.IntervalCensoredDistribution(dist.Normal(), 2, 0, validate_args=True),
            ValueError,
            "'left_censored'",
        ),
    ],
)
def test_what_cannot_be_censored(build, error, words):
    with pytest.raises(error, match=words):
        build()

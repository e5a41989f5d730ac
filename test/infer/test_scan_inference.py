# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""NUTS on models with scan and plates, against posteriors in closed form."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose
import pytest

import numpyro
from numpyro.contrib.control_flow import scan
from numpyro.diagnostics import effective_sample_size
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS

DRAWS = 1500


def draw(model, *args, seed=0, **kwargs):
    mcmc = MCMC(NUTS(model), num_warmup=500, num_samples=DRAWS, progress_bar=False)
    mcmc.run(jax.random.key(seed), *args, **kwargs)
    return {name: np.asarray(x) for name, x in mcmc.get_samples().items()}


def assert_moments(draws, mean, sd, tolerance=4.5):
    """Means and standard deviations within a few Monte Carlo standard errors, as the effective sample size states "
    "them."""
    ess = effective_sample_size(draws[None])
    assert np.all(ess > 100)
    assert np.max(np.abs(draws.mean(0) - mean) / (sd / np.sqrt(ess))) < tolerance
    squares = (draws - mean) ** 2
    ess_squares = effective_sample_size(squares[None])
    error = np.abs(squares.mean(0) - sd**2) / (squares.std(0) / np.sqrt(ess_squares))
    assert np.max(error) < tolerance


def seed_program():
    init = jnp.zeros((5, 2))

    def f(c, a):
        with numpyro.plate("foo", 5):
            c2 = numpyro.sample("val", dist.MultivariateNormal(loc=c + a, scale_tril=jnp.eye(2)))
        return c2, c2

    scan(f, init, jnp.ones((4, 5, 2)))


def test_seed_program_shows_its_shapes():
    trace = numpyro.handlers.trace(numpyro.handlers.seed(seed_program, 0)).get_trace()
    text = numpyro.util.format_shapes(trace)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "val dist 4 5 | 2" in lines
    assert "value 4 5 | 2" in lines


def test_seed_program_has_the_right_posterior():
    draws = draw(seed_program)["val"]
    assert draws.shape == (DRAWS, 4, 5, 2)
    steps = np.arange(1.0, 5.0)[:, None, None]
    assert_moments(draws, np.broadcast_to(steps, (4, 5, 2)), np.broadcast_to(np.sqrt(steps), (4, 5, 2)))
    # A random walk: cov(val[s], val[t]) = min(s, t) I, independent over plate and components.
    walk = draws - steps
    covariance = np.einsum("nski,ntki->st", walk, walk) / (DRAWS * 10)
    assert_allclose(covariance, np.minimum.outer(np.arange(1, 5), np.arange(1, 5)), atol=0.35)
    cross = np.einsum("nt,nt->t", walk[:, :, 0, 0], walk[:, :, 1, 0]) / DRAWS
    assert_allclose(cross, np.zeros(4), atol=0.6)


@pytest.mark.parametrize("around", [False, True])
def test_kalman_smoother(around):
    """A linear Gaussian state-space model: smoothed means and variances by solving the joint normal system."""
    T, K, q, r = 6, 3, 0.7, 0.5
    rng = np.random.default_rng(1)
    y = np.cumsum(rng.normal(size=(T, K)), 0) + r * rng.normal(size=(T, K))

    def step(c, y):
        c = numpyro.sample("x", dist.Normal(c, q))
        numpyro.sample("y", dist.Normal(c, r), obs=y)
        return c, None

    def model(y):
        def body(c, y):
            with numpyro.plate("series", K):
                return step(c, y)

        if around:
            with numpyro.plate("series", K):
                scan(step, jnp.zeros(K), y)
        else:
            scan(body, jnp.zeros(K), y)

    difference = np.eye(T) - np.eye(T, k=-1)
    precision = difference.T @ difference / q**2 + np.eye(T) / r**2
    covariance = np.linalg.inv(precision)
    draws = draw(model, y)["x"]
    sd = np.broadcast_to(np.sqrt(np.diag(covariance))[:, None], (T, K))
    assert_moments(draws, covariance @ y / r**2, sd)


def test_conjugate_dirichlet_under_nested_plates():
    """Counts with a Dirichlet prior at each step: the posterior is Dirichlet again."""
    T, J, K = 3, 2, 4
    rng = np.random.default_rng(2)
    concentration = rng.uniform(1.0, 3.0, size=(T, K, 3))
    labels = rng.integers(0, 3, size=(T, 20, J, K))

    def model(labels):
        def body(c, inputs):
            alpha, y = inputs
            with numpyro.plate("j", J, dim=-2), numpyro.plate("k", K, dim=-1):
                p = numpyro.sample("p", dist.Dirichlet(alpha))
                with numpyro.plate("n", 20, dim=-3):
                    numpyro.sample("y", dist.Categorical(p), obs=y)
            return c, None

        scan(body, None, (concentration, labels))

    counts = np.stack([(labels == k).sum(1) for k in range(3)], -1)
    posterior = concentration[:, None] + counts
    total = posterior.sum(-1, keepdims=True)
    mean = posterior / total
    sd = np.sqrt(mean * (1 - mean) / (total + 1))
    draws = draw(model, labels)["p"]
    assert draws.shape == (DRAWS, T, J, K, 3)
    assert_moments(draws, mean, sd)


def test_support_that_depends_on_the_carry():
    """Ordered uniforms: x[t] ~ Uniform(0, x[t-1]); the bounds of each site are known inside the body only."""

    def model():
        def body(upper, _):
            x = numpyro.sample("x", dist.Uniform(0.0, upper))
            return x, None

        scan(body, jnp.ones(()), None, length=3)

    draws = draw(model, seed=1)["x"]
    assert np.all(draws[:, 0] < 1) and np.all(np.diff(draws, axis=1) < 0) and np.all(draws > 0)
    powers = np.arange(1, 4)
    assert_moments(draws, 0.5**powers, np.sqrt((1 / 3.0) ** powers - 0.25**powers))


def test_missing_observations_by_mask():
    """Masked steps contribute nothing, and NaN in their data does no harm."""
    y = np.array([0.5, np.nan, 1.5, np.nan])
    seen = ~np.isnan(y)

    def model(y, seen):
        def body(c, inputs):
            y, seen = inputs
            c = numpyro.sample("x", dist.Normal(c, 1.0))
            numpyro.sample("y", dist.Normal(c, 1.0).mask(seen), obs=y)
            return c, None

        scan(body, jnp.zeros(()), (y, seen))

    difference = np.eye(4) - np.eye(4, k=-1)
    covariance = np.linalg.inv(difference.T @ difference + np.diag(seen.astype(float)))
    draws = draw(model, y, seen)["x"]
    assert_moments(draws, covariance @ np.where(seen, y, 0.0), np.sqrt(np.diag(covariance)))


def test_nested_scan_is_sampled():
    def model():
        def outer(c, _):
            def inner(c, _):
                x = numpyro.sample("x", dist.Normal(c, 1.0))
                return x, None

            return scan(inner, c, None, length=2)

        scan(outer, jnp.zeros(()), None, length=2)

    draws = draw(model)["x"]
    assert draws.shape == (DRAWS, 2, 2)
    assert_moments(draws, np.zeros((2, 2)), np.sqrt(np.arange(1.0, 5.0)).reshape(2, 2))

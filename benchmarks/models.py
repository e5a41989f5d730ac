# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The models of the benchmarks, each a function that returns a model and its arguments.

They use NumPyro's public interface only, so that one file serves every library that offers it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

import numpyro
from numpyro.contrib.control_flow import scan
import numpyro.distributions as dist

Benchmark = tuple[Callable[..., None], tuple[Any, ...]]


def eight_schools() -> Benchmark:
    """Eight schools, non-centred: 10 parameters, 8 observations (Rubin, 1981)."""
    effect = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
    standard_error = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])

    def model(effect, standard_error):
        mu = numpyro.sample("mu", dist.Normal(0, 5))
        tau = numpyro.sample("tau", dist.HalfCauchy(5))
        with numpyro.plate("school", 8):
            z = numpyro.sample("z", dist.Normal(0, 1))
            numpyro.sample("effect", dist.Normal(mu + tau * z, standard_error), obs=effect)

    return model, (effect, standard_error)


def logistic_regression() -> Benchmark:
    """Logistic regression: 26 parameters, 1000 observations of 25 predictors."""
    rng = np.random.default_rng(0)
    predictors = rng.normal(size=(1000, 25))
    coefficients = 0.5 * rng.normal(size=25)
    outcome = (rng.random(1000) < 1 / (1 + np.exp(-predictors @ coefficients))).astype(int)

    def model(predictors, outcome):
        slope = numpyro.sample("slope", dist.Normal(0, 1).expand([25]).to_event(1))
        intercept = numpyro.sample("intercept", dist.Normal(0, 1))
        numpyro.sample("outcome", dist.Bernoulli(logits=predictors @ slope + intercept), obs=outcome)

    return model, (predictors, outcome)


def hierarchical_regression() -> Benchmark:
    """Varying intercepts of the radon study's size: 89 parameters, 919 observations in 85 groups."""
    rng = np.random.default_rng(0)
    num_groups, num_rows = 85, 919
    group = rng.integers(0, num_groups, num_rows)
    x = rng.normal(size=num_rows)
    y = 1.5 + 0.3 * rng.normal(size=num_groups)[group] - 0.6 * x + 0.7 * rng.normal(size=num_rows)

    def model(group, x, y):
        mu = numpyro.sample("mu", dist.Normal(0, 10))
        spread = numpyro.sample("spread", dist.HalfCauchy(1))
        slope = numpyro.sample("slope", dist.Normal(0, 10))
        noise = numpyro.sample("noise", dist.HalfCauchy(1))
        with numpyro.plate("group", num_groups):
            z = numpyro.sample("z", dist.Normal(0, 1))
        with numpyro.plate("row", num_rows):
            numpyro.sample("y", dist.Normal(mu + spread * z[group] + slope * x, noise), obs=y)

    return model, (group, x, y)


def state_space() -> Benchmark:
    """Three random walks of vectors in ``scan``: 1202 parameters, 200 steps, MVN(2) under a plate of 3."""
    rng = np.random.default_rng(0)
    num_steps, num_series = 200, 3
    walk = np.cumsum(0.1 * rng.normal(size=(num_steps, num_series, 2)), axis=0)
    y = walk + 0.5 * rng.normal(size=walk.shape)

    def model(y):
        step_scale = numpyro.sample("step_scale", dist.HalfNormal(1.0))
        noise = numpyro.sample("noise", dist.HalfNormal(1.0))

        def step(position, observed):
            with numpyro.plate("series", num_series):
                position = numpyro.sample("x", dist.MultivariateNormal(position, scale_tril=step_scale * jnp.eye(2)))
                numpyro.sample("y", dist.MultivariateNormal(position, scale_tril=noise * jnp.eye(2)), obs=observed)
            return position, None

        scan(step, jnp.zeros((num_series, 2)), y)

    return model, (y,)


def gaussian_process() -> Benchmark:
    """Gaussian process regression: 3 parameters, 80 points, a Cholesky factorisation in each evaluation."""
    rng = np.random.default_rng(0)
    x = np.linspace(-1, 1, 80)
    y = np.sin(3 * x) + 0.1 * rng.normal(size=80)

    def model(x, y):
        variance = numpyro.sample("variance", dist.LogNormal(0, 2))
        length = numpyro.sample("length", dist.LogNormal(0, 2))
        noise = numpyro.sample("noise", dist.LogNormal(0, 2))
        kernel = variance * jnp.exp(-0.5 * ((x[:, None] - x) / length) ** 2) + (noise + 1e-5) * jnp.eye(80)
        numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(80), covariance_matrix=kernel), obs=y)

    return model, (x, y)


def tall_regression() -> Benchmark:
    """Poisson regression whose gradient takes longer than all else in a step: 11 parameters, 20,000 observations."""
    rng = np.random.default_rng(0)
    predictors = rng.normal(size=(20_000, 10)).astype(np.float32)
    count = rng.poisson(np.exp(1 + 0.2 * predictors @ rng.normal(size=10)))

    def model(predictors, count):
        slope = numpyro.sample("slope", dist.Normal(0, 1).expand([10]).to_event(1))
        intercept = numpyro.sample("intercept", dist.Normal(0, 5))
        numpyro.sample("count", dist.Poisson(jnp.exp(predictors @ slope + intercept)), obs=count)

    return model, (predictors, count)


MODELS = {
    "eight_schools": eight_schools,
    "logistic_regression": logistic_regression,
    "hierarchical_regression": hierarchical_regression,
    "state_space": state_space,
    "gaussian_process": gaussian_process,
    "tall_regression": tall_regression,
}

if __name__ == "__main__":
    # Write a model's arguments to a file, for libraries that cannot be in one environment with this module's imports.
    import sys

    from geometries import GEOMETRIES

    arguments = (GEOMETRIES | MODELS)[sys.argv[1]]()[1]
    np.savez(sys.argv[2], *arguments)

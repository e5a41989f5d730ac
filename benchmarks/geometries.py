# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Posteriors of varied geometry, for the benchmark of adaptation.

As in ``models.py``, each is a function that returns a model and its arguments, written for NumPyro's public interface.
``CORRELATED`` names those whose posterior is strongly correlated in the coordinates that the sampler sees.
"""

from __future__ import annotations

import jax.numpy as jnp
from models import Benchmark, eight_schools, gaussian_process, hierarchical_regression, logistic_regression
import numpy as np

import numpyro
import numpyro.distributions as dist


def eight_schools_centered() -> Benchmark:
    """Eight schools, centred: a funnel, cut off by the data."""
    _, args = eight_schools()

    def model(effect, standard_error):
        mu = numpyro.sample("mu", dist.Normal(0, 5))
        tau = numpyro.sample("tau", dist.HalfCauchy(5))
        with numpyro.plate("school", 8):
            theta = numpyro.sample("theta", dist.Normal(mu, tau))
            numpyro.sample("effect", dist.Normal(theta, standard_error), obs=effect)

    return model, args


def scaled_gaussian() -> Benchmark:
    """100 independent normals, whose scales spread over four orders of magnitude."""
    scale = 10 ** np.random.default_rng(0).uniform(-2, 2, 100)

    def model(scale):
        numpyro.sample("x", dist.Normal(0, scale).to_event(1))

    return model, (scale.astype(np.float32),)


def autoregressive_gaussian() -> Benchmark:
    """A stationary path of 100 points, with correlation 0.98 of neighbours and a scale of its own for each."""
    rng = np.random.default_rng(0)
    size, rho = 100, 0.98
    scale = 10 ** rng.uniform(-1, 1, size)
    innovation = np.sqrt(1 - rho**2)

    def model(scale):
        x = numpyro.sample("x", dist.ImproperUniform(dist.constraints.real_vector, (), (size,)))
        u = x / scale
        numpyro.factor("first", dist.Normal(0, 1).log_prob(u[0]))
        numpyro.factor("rest", dist.Normal(rho * u[:-1], innovation).log_prob(u[1:]).sum())

    return model, (scale.astype(np.float32),)


def spiked_gaussian() -> Benchmark:
    """100 dimensions; three directions have 10 to 30 times the scale of the rest, one has a tenth of it."""
    rng = np.random.default_rng(0)
    size = 100
    directions = np.linalg.qr(rng.normal(size=(size, 4)))[0]
    weight = np.array([30.0, 20.0, 10.0, 0.1]) ** -2.0 - 1

    def model(directions, weight):
        x = numpyro.sample("x", dist.ImproperUniform(dist.constraints.real_vector, (), (size,)))
        numpyro.factor("density", -0.5 * (jnp.sum(x**2) + jnp.sum(weight * (x @ directions) ** 2)))

    return model, (directions.astype(np.float32), weight.astype(np.float32))


def uncentered_regression() -> Benchmark:
    """A cubic trend over years 1952 to 2013, scaled but not centred: intercept and slopes are nearly collinear."""
    rng = np.random.default_rng(0)
    time = (np.arange(1952, 2014) - 1900) / 100
    y = 9.3 + 2.0 * time + 0.9 * rng.normal(size=time.size)

    def model(time, y):
        intercept = numpyro.sample("intercept", dist.Normal(0, 50))
        slope = numpyro.sample("slope", dist.Normal(0, 50))
        curvature = numpyro.sample("curvature", dist.Normal(0, 50))
        noise = numpyro.sample("noise", dist.HalfNormal(5))
        numpyro.sample("y", dist.Normal(intercept + slope * time + curvature * time**2, noise), obs=y)

    return model, (time.astype(np.float32), y.astype(np.float32))


def correlated_logistic() -> Benchmark:
    """Logistic regression on 30 predictors, of which five factors explain nearly all, in units of their own."""
    rng = np.random.default_rng(0)
    rows, columns, factors = 400, 30, 5
    predictors = rng.normal(size=(rows, factors)) @ rng.normal(size=(factors, columns))
    predictors = (predictors + 0.3 * rng.normal(size=(rows, columns))) * 10 ** rng.uniform(-1, 1, columns)
    predictors -= predictors.mean(0)
    spread = predictors.std(0)
    logits = (predictors / spread) @ (0.3 * rng.normal(size=columns))
    outcome = (rng.random(rows) < 1 / (1 + np.exp(-logits))).astype(int)

    def model(predictors, spread, outcome):
        intercept = numpyro.sample("intercept", dist.Normal(0, 5))
        slope = numpyro.sample("slope", dist.Normal(0, 2.5 / spread).to_event(1))
        numpyro.sample("outcome", dist.Bernoulli(logits=intercept + predictors @ slope), obs=outcome)

    return model, (predictors.astype(np.float32), spread.astype(np.float32), outcome)


def random_walk() -> Benchmark:
    """Local level of 100 counts: a random walk, centred, under a Poisson likelihood."""
    rng = np.random.default_rng(1)
    size = 100
    level = 3 + np.cumsum(0.1 * rng.normal(size=size))
    count = rng.poisson(np.exp(level))

    def model(count):
        step = numpyro.sample("step", dist.HalfNormal(0.5))
        start = numpyro.sample("start", dist.Normal(3, 1))
        path = numpyro.sample("path", dist.ImproperUniform(dist.constraints.real_vector, (), (size,)))
        before = jnp.concatenate([start[None], path[:-1]])
        numpyro.factor("walk", dist.Normal(before, step).log_prob(path).sum())
        numpyro.sample("count", dist.Poisson(jnp.exp(path)).to_event(1), obs=count)

    return model, (count,)


def negative_binomial() -> Benchmark:
    """Negative binomial regression: 300 overdispersed counts, 5 predictors of unlike scale."""
    rng = np.random.default_rng(0)
    predictors = rng.normal(size=(300, 5)) * np.array([0.1, 0.3, 1.0, 3.0, 10.0])
    rate = np.exp(2 + predictors @ (np.array([0.4, -0.2, 0.3, 0.1, -0.3]) / predictors.std(0)))
    count = rng.poisson(rng.gamma(2.0, rate / 2.0))

    def model(predictors, count):
        intercept = numpyro.sample("intercept", dist.Normal(0, 5))
        slope = numpyro.sample("slope", dist.Normal(0, 5).expand([5]).to_event(1))
        concentration = numpyro.sample("concentration", dist.HalfNormal(5))
        mean = jnp.exp(intercept + predictors @ slope)
        numpyro.sample("count", dist.NegativeBinomial2(mean, concentration), obs=count)

    return model, (predictors.astype(np.float32), count)


def ordinal_regression() -> Benchmark:
    """Ordered logistic regression: 300 answers in five categories, ordered cut points."""
    rng = np.random.default_rng(0)
    predictors = rng.normal(size=(300, 4))
    latent = predictors @ np.array([1.0, -0.5, 0.3, 0.0]) + rng.logistic(size=300)
    answer = np.digitize(latent, [-2.0, -0.5, 0.5, 2.5])

    def model(predictors, answer):
        slope = numpyro.sample("slope", dist.Normal(0, 2).expand([4]).to_event(1))
        base = dist.Normal(0, 3).expand([4]).to_event(1)
        cutpoints = numpyro.sample("cutpoints", dist.TransformedDistribution(base, dist.transforms.OrderedTransform()))
        numpyro.sample("answer", dist.OrderedLogistic(predictors @ slope, cutpoints), obs=answer)

    return model, (predictors.astype(np.float32), answer)


def normal_mixture() -> Benchmark:
    """Mixture of three normals with ordered means; 200 observations."""
    rng = np.random.default_rng(0)
    component = rng.choice(3, size=200, p=[0.3, 0.5, 0.2])
    y = np.array([-3.0, 0.0, 4.0])[component] + np.array([0.7, 1.0, 0.5])[component] * rng.normal(size=200)

    def model(y):
        weight = numpyro.sample("weight", dist.Dirichlet(2 * jnp.ones(3)))
        base = dist.Normal(0, 5).expand([3]).to_event(1)
        mean = numpyro.sample("mean", dist.TransformedDistribution(base, dist.transforms.OrderedTransform()))
        scale = numpyro.sample("scale", dist.LogNormal(0, 0.5).expand([3]).to_event(1))
        numpyro.sample("y", dist.MixtureSameFamily(dist.Categorical(weight), dist.Normal(mean, scale)), obs=y)

    return model, (y.astype(np.float32),)


def stochastic_volatility() -> Benchmark:
    """Stochastic volatility of 100 returns, non-centred: the log volatilities are an autoregressive path."""
    rng = np.random.default_rng(0)
    size, phi, sigma = 100, 0.95, 0.25
    path = np.zeros(size)
    for t in range(1, size):
        path[t] = phi * path[t - 1] + sigma * rng.normal()
    returns = np.exp(0.5 * (path - 1.0)) * rng.normal(size=size)

    def model(returns):
        mu = numpyro.sample("mu", dist.Normal(0, 2))
        phi = numpyro.sample("phi", dist.Uniform(0, 1))
        sigma = numpyro.sample("sigma", dist.HalfNormal(0.5))
        z = numpyro.sample("z", dist.Normal(0, 1).expand([size]).to_event(1))
        # h[t] = mu + sigma sum over s <= t of phi^(t - s) z[s]
        lag = np.arange(size)[:, None] - np.arange(size)
        weight = jnp.where(lag >= 0, jnp.exp(jnp.log(phi) * np.maximum(lag, 0)), 0.0)
        h = mu + sigma * (weight @ z)
        numpyro.sample("returns", dist.Normal(0, jnp.exp(0.5 * h)).to_event(1), obs=returns)

    return model, (returns.astype(np.float32),)


def item_response() -> Benchmark:
    """Two-parameter item response: 40 persons answer 15 items."""
    rng = np.random.default_rng(0)
    persons, items = 40, 15
    ability, difficulty = rng.normal(size=persons), rng.normal(size=items)
    discrimination = np.exp(0.3 * rng.normal(size=items))
    logits = discrimination * (ability[:, None] - difficulty)
    answer = (rng.random((persons, items)) < 1 / (1 + np.exp(-logits))).astype(int)

    def model(answer):
        ability = numpyro.sample("ability", dist.Normal(0, 1).expand([persons]).to_event(1))
        spread = numpyro.sample("spread", dist.HalfNormal(2))
        difficulty = numpyro.sample("difficulty", dist.Normal(0, 1).expand([items]).to_event(1))
        discrimination = numpyro.sample("discrimination", dist.LogNormal(0, 0.5).expand([items]).to_event(1))
        logits = discrimination * (ability[:, None] - spread * difficulty)
        numpyro.sample("answer", dist.Bernoulli(logits=logits).to_event(2), obs=answer)

    return model, (answer,)


def horseshoe() -> Benchmark:
    """Linear regression with a regularised horseshoe prior: 20 predictors, three of which matter (Piironen, 2017)."""
    rng = np.random.default_rng(0)
    predictors = rng.normal(size=(100, 20))
    y = predictors[:, :3] @ np.array([2.0, -1.5, 1.0]) + rng.normal(size=100)

    def model(predictors, y):
        noise = numpyro.sample("noise", dist.HalfNormal(2))
        overall = numpyro.sample("overall", dist.HalfCauchy(0.1))
        local = numpyro.sample("local", dist.HalfCauchy(1).expand([20]).to_event(1))
        slab = numpyro.sample("slab", dist.InverseGamma(2, 8))
        z = numpyro.sample("z", dist.Normal(0, 1).expand([20]).to_event(1))
        shrunk = jnp.sqrt(slab * local**2 / (slab + overall**2 * local**2))
        numpyro.sample("y", dist.Normal(predictors @ (z * shrunk * overall), noise), obs=y)

    return model, (predictors.astype(np.float32), y.astype(np.float32))


GEOMETRIES = {
    "eight_schools": eight_schools,
    "eight_schools_centered": eight_schools_centered,
    "logistic_regression": logistic_regression,
    "hierarchical_regression": hierarchical_regression,
    "negative_binomial": negative_binomial,
    "ordinal_regression": ordinal_regression,
    "normal_mixture": normal_mixture,
    "stochastic_volatility": stochastic_volatility,
    "item_response": item_response,
    "horseshoe": horseshoe,
    "gaussian_process": gaussian_process,
    "scaled_gaussian": scaled_gaussian,
    "autoregressive_gaussian": autoregressive_gaussian,
    "spiked_gaussian": spiked_gaussian,
    "uncentered_regression": uncentered_regression,
    "correlated_logistic": correlated_logistic,
    "random_walk": random_walk,
}

CORRELATED = (
    "autoregressive_gaussian",
    "spiked_gaussian",
    "uncentered_regression",
    "correlated_logistic",
    "random_walk",
)

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The models of the benchmarks once more, for PyMC: the same densities of the same data in the same coordinates.

Each is a function of the arguments that ``models.py`` and ``geometries.py`` return with the model of that name.
"""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt


def eight_schools(effect, standard_error):
    mu = pm.Normal("mu", 0, 5)
    tau = pm.HalfCauchy("tau", 5)
    z = pm.Normal("z", 0, 1, shape=8)
    pm.Normal("effect", mu + tau * z, standard_error, observed=effect)


def eight_schools_centered(effect, standard_error):
    mu = pm.Normal("mu", 0, 5)
    tau = pm.HalfCauchy("tau", 5)
    theta = pm.Normal("theta", mu, tau, shape=8)
    pm.Normal("effect", theta, standard_error, observed=effect)


def logistic_regression(predictors, outcome):
    slope = pm.Normal("slope", 0, 1, shape=25)
    intercept = pm.Normal("intercept", 0, 1)
    pm.Bernoulli("outcome", logit_p=predictors @ slope + intercept, observed=outcome)


def hierarchical_regression(group, x, y):
    mu = pm.Normal("mu", 0, 10)
    spread = pm.HalfCauchy("spread", 1)
    slope = pm.Normal("slope", 0, 10)
    noise = pm.HalfCauchy("noise", 1)
    z = pm.Normal("z", 0, 1, shape=85)
    pm.Normal("y", mu + spread * z[group] + slope * x, noise, observed=y)


def state_space(y):
    step_scale = pm.HalfNormal("step_scale", 1)
    noise = pm.HalfNormal("noise", 1)
    x = pm.Flat("x", shape=y.shape)
    before = pt.concatenate([pt.zeros((1, *y.shape[1:])), x[:-1]])
    pm.Potential("walk", pm.logp(pm.Normal.dist(before, step_scale), x).sum())
    pm.Normal("y", x, noise, observed=y)


def gaussian_process(x, y):
    variance = pm.LogNormal("variance", 0, 2)
    length = pm.LogNormal("length", 0, 2)
    noise = pm.LogNormal("noise", 0, 2)
    kernel = variance * pt.exp(-0.5 * ((x[:, None] - x) / length) ** 2) + (noise + 1e-5) * np.eye(80)
    pm.MvNormal("y", np.zeros(80), cov=kernel, observed=y)


def negative_binomial(predictors, count):
    intercept = pm.Normal("intercept", 0, 5)
    slope = pm.Normal("slope", 0, 5, shape=5)
    concentration = pm.HalfNormal("concentration", 5)
    pm.NegativeBinomial("count", mu=pt.exp(intercept + predictors @ slope), alpha=concentration, observed=count)


def ordinal_regression(predictors, answer):
    slope = pm.Normal("slope", 0, 2, shape=4)
    # The normal density is that of the unordered vector, which is what the sampler sees.
    u = pm.Normal("u", 0, 3, shape=4)
    cutpoints = pt.concatenate([u[:1], u[0] + pt.cumsum(pt.exp(u[1:]))])
    pm.OrderedLogistic("answer", eta=predictors @ slope, cutpoints=cutpoints, observed=answer, compute_p=False)


def normal_mixture(y):
    weight = pm.Dirichlet("weight", 2 * np.ones(3))
    u = pm.Normal("u", 0, 5, shape=3)
    mean = pt.concatenate([u[:1], u[0] + pt.cumsum(pt.exp(u[1:]))])
    scale = pm.LogNormal("scale", 0, 0.5, shape=3)
    pm.NormalMixture("y", weight, mean, scale, observed=y)


def stochastic_volatility(returns):
    mu = pm.Normal("mu", 0, 2)
    phi = pm.Uniform("phi", 0, 1)
    sigma = pm.HalfNormal("sigma", 0.5)
    z = pm.Normal("z", 0, 1, shape=100)
    lag = np.arange(100)[:, None] - np.arange(100)
    weight = pt.where(lag >= 0, pt.exp(pt.log(phi) * np.maximum(lag, 0)), 0.0)
    pm.Normal("returns", 0, pt.exp(0.5 * (mu + sigma * (weight @ z))), observed=returns)


def item_response(answer):
    ability = pm.Normal("ability", 0, 1, shape=40)
    spread = pm.HalfNormal("spread", 2)
    difficulty = pm.Normal("difficulty", 0, 1, shape=15)
    discrimination = pm.LogNormal("discrimination", 0, 0.5, shape=15)
    pm.Bernoulli("answer", logit_p=discrimination * (ability[:, None] - spread * difficulty), observed=answer)


def horseshoe(predictors, y):
    noise = pm.HalfNormal("noise", 2)
    overall = pm.HalfCauchy("overall", 0.1)
    local = pm.HalfCauchy("local", 1, shape=20)
    slab = pm.InverseGamma("slab", 2, 8)
    z = pm.Normal("z", 0, 1, shape=20)
    shrunk = pt.sqrt(slab * local**2 / (slab + overall**2 * local**2))
    pm.Normal("y", predictors @ (z * shrunk * overall), noise, observed=y)

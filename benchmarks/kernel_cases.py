# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The kernels that ``kernels.py`` measures, each on two models.

They use NumPyro's public interface only, so that one file serves every library that offers it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from models import eight_schools, gaussian_process, hierarchical_regression, logistic_regression
import numpy as np

import numpyro
from numpyro.contrib.control_flow import scan
import numpyro.distributions as dist
from numpyro.infer import (
    AIES,
    ESS,
    HMC,
    HMCECS,
    NUTS,
    SA,
    BarkerMH,
    CustomGibbs,
    DiscreteGibbs,
    DiscreteHMCGibbs,
    Gibbs,
    HMCGibbs,
    MixedHMC,
)
from numpyro.infer.gibbs import discrete_latent_sites


class Case(NamedTuple):
    """A run to measure.

    :param kernel: the kernel.
    :param args: arguments of the model.
    :param iterations: length of the warm-up, and as many draws.
    :param walkers: size of an ensemble; 1 for other kernels.
    """

    kernel: Any
    args: tuple[Any, ...]
    iterations: int = 500
    walkers: int = 1


def change_point() -> tuple[Callable[..., None], tuple[Any, ...]]:
    """Counts of 100 years whose rate changes once: a year and two rates."""
    rng = np.random.default_rng(0)
    years = 100
    counts = rng.poisson(np.where(np.arange(years) < 40, 3.0, 1.5))

    def model(counts):
        change = numpyro.sample("change", dist.DiscreteUniform(0, years - 1))
        early = numpyro.sample("early", dist.Exponential(0.5))
        late = numpyro.sample("late", dist.Exponential(0.5))
        rate = jnp.where(jnp.arange(years) < change, early, late)
        numpyro.sample("counts", dist.Poisson(rate), obs=counts)

    return model, (counts,)


def labelled_mixture() -> tuple[Callable[..., None], tuple[Any, ...]]:
    """A mixture of two normal distributions with a label for each of 20 observations; the prior tells them apart."""
    rng = np.random.default_rng(0)
    label = rng.random(20) < 0.3
    y = np.where(label, 2.0, -1.0) + 0.7 * rng.normal(size=20)

    def model(y):
        share = numpyro.sample("share", dist.Beta(2, 2))
        location = numpyro.sample("location", dist.Normal(jnp.array([-1.0, 2.0]), 0.5).to_event(1))
        noise = numpyro.sample("noise", dist.HalfNormal(1))
        with numpyro.plate("row", len(y)):
            label = numpyro.sample("label", dist.Bernoulli(share))
            numpyro.sample("y", dist.Normal(location[label], noise), obs=y)

    return model, (y,)


def regression_with_conjugate_noise() -> tuple[Callable[..., None], Callable[..., Any], tuple[Any, ...]]:
    """Regression of 200 rows on 5 predictors, and the update of its precision given the rest."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5))
    y = x @ rng.normal(size=5) + 0.5 * rng.normal(size=200)

    def model(x, y):
        slope = numpyro.sample("slope", dist.Normal(0, 1).expand([5]).to_event(1))
        precision = numpyro.sample("precision", dist.Gamma(2, 1))
        numpyro.sample("y", dist.Normal(x @ slope, precision**-0.5), obs=y)

    def update(rng_key, gibbs_sites, hmc_sites):
        residual = y - x @ hmc_sites["slope"]
        return {"precision": dist.Gamma(2 + len(y) / 2, 1 + 0.5 * jnp.sum(residual**2)).sample(rng_key)}

    return model, update, (x, y)


def regression() -> tuple[Callable[..., None], tuple[Any, ...]]:
    """The same regression alone."""
    model, _, args = regression_with_conjugate_noise()
    return model, args


def groups_with_conjugate_effects() -> tuple[Callable[..., None], Callable[..., Any], tuple[Any, ...]]:
    """The radon study's size with its 85 intercepts centred, and their update given the rest."""
    group, x, y = hierarchical_regression()[1]
    count = np.bincount(group, minlength=85)

    def model(group, x, y):
        mu = numpyro.sample("mu", dist.Normal(0, 10))
        spread = numpyro.sample("spread", dist.HalfCauchy(1))
        slope = numpyro.sample("slope", dist.Normal(0, 10))
        noise = numpyro.sample("noise", dist.HalfCauchy(1))
        with numpyro.plate("group", 85):
            intercept = numpyro.sample("intercept", dist.Normal(mu, spread))
        with numpyro.plate("row", len(y)):
            numpyro.sample("y", dist.Normal(intercept[group] + slope * x, noise), obs=y)

    def update(rng_key, gibbs_sites, hmc_sites):
        residual = jnp.zeros(85).at[group].add(y - hmc_sites["slope"] * x)
        prior, data = hmc_sites["spread"] ** -2, hmc_sites["noise"] ** -2
        precision = prior + count * data
        mean = (prior * hmc_sites["mu"] + data * residual) / precision
        return {"intercept": dist.Normal(mean, precision**-0.5).sample(rng_key)}

    return model, update, (group, x, y)


def subsampled(kind: str) -> tuple[Callable[..., None], tuple[Any, ...], dict[str, Any]]:
    """A regression of 10,000 rows on 3 predictors, of which 200 at a time are looked at, and where it has its mode."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10_000, 3))
    slope = np.array([0.5, -0.3, 0.2])
    linear = x @ slope
    y = rng.random(10_000) < 1 / (1 + np.exp(-linear)) if kind == "logistic" else rng.poisson(np.exp(linear))
    mode = np.zeros(3)
    for _ in range(10):  # Newton's method
        mean = 1 / (1 + np.exp(-x @ mode)) if kind == "logistic" else np.exp(x @ mode)
        weight = mean * (1 - mean) if kind == "logistic" else mean
        mode = mode + np.linalg.solve(x.T @ (weight[:, None] * x) + np.eye(3), x.T @ (y - mean) - mode)

    def model(x, y):
        slope = numpyro.sample("slope", dist.Normal(0, 1).expand([3]).to_event(1))
        with numpyro.plate("row", len(x), subsample_size=200):
            linear = numpyro.subsample(x, event_dim=1) @ slope
            outcome = numpyro.subsample(y, event_dim=0)
            if kind == "logistic":
                numpyro.sample("y", dist.Bernoulli(logits=linear), obs=outcome)
            else:
                numpyro.sample("y", dist.Poisson(jnp.exp(linear)), obs=outcome)

    return model, (x, y.astype(int)), {"slope": jnp.asarray(mode)}


def robust_regression() -> tuple[Callable[..., None], Callable[..., Any], tuple[Any, ...]]:
    """Regression of 100 rows with errors of Student's distribution, as normal ones whose precisions are sites, and the
    update of these given the rest."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 3))
    y = x @ np.array([1.0, -1.0, 0.5]) + 0.5 * rng.standard_t(4, size=100)

    def model(x, y):
        slope = numpyro.sample("slope", dist.Normal(0, 1).expand([3]).to_event(1))
        scale = numpyro.sample("scale", dist.HalfNormal(1))
        with numpyro.plate("row", len(y)):
            weight = numpyro.sample("weight", dist.Gamma(2.0, 2.0))
            numpyro.sample("y", dist.Normal(x @ slope, scale * weight**-0.5), obs=y)

    def update(rng_key, gibbs_sites, hmc_sites):
        residual = (y - x @ hmc_sites["slope"]) / hmc_sites["scale"]
        return {"weight": dist.Gamma(2.5, 2.0 + 0.5 * residual**2).sample(rng_key)}

    return model, update, (x, y)


def mixture_in_blocks() -> Case:
    """The labelled mixture, with its share, which is conjugate, in a block of its own."""
    model, args = labelled_mixture()

    def update(rng_key, gibbs_sites, hmc_sites):
        ones = jnp.sum(hmc_sites["label"])
        return {"share": dist.Beta(2.0 + ones, 2.0 + len(args[0]) - ones).sample(rng_key)}

    blocks = [(DiscreteGibbs(model), discrete_latent_sites), (CustomGibbs(update), ["share"]), (NUTS(model), None)]
    return Case(Gibbs(blocks), args)


def state_space_without_data() -> None:
    """The state space model of ``models.py``, with its observations left to be predicted."""
    step_scale = numpyro.sample("step_scale", dist.HalfNormal(1.0))
    noise = numpyro.sample("noise", dist.HalfNormal(1.0))

    def step(position, _):
        with numpyro.plate("series", 3):
            position = numpyro.sample("x", dist.MultivariateNormal(position, scale_tril=step_scale * jnp.eye(2)))
            numpyro.sample("y", dist.MultivariateNormal(position, scale_tril=noise * jnp.eye(2)))
        return position, None

    scan(step, jnp.zeros((3, 2)), None, length=200)


def _simple(kernel: Callable[..., Any], model: Any, iterations: int = 500, walkers: int = 1) -> Callable[[], Case]:
    def case() -> Case:
        fn, args = model()
        return Case(kernel(fn), args, iterations, walkers)

    return case


def _with_update(make: Callable[..., Any], model: Any, site: str) -> Callable[[], Case]:
    def case() -> Case:
        fn, update, args = model()
        return Case(make(fn, update, site), args)

    return case


def _subsampling(kind: str) -> Callable[[], Case]:
    def case() -> Case:
        model, args, mode = subsampled(kind)
        return Case(HMCECS(NUTS(model), num_blocks=10, proxy=HMCECS.taylor_proxy(mode)), args)

    return case


def _hmc_gibbs(model: Any, update: Any, site: str) -> Any:
    return HMCGibbs(NUTS(model), gibbs_fn=update, gibbs_sites=[site])


def _blocks(model: Any, update: Any, site: str) -> Any:
    return Gibbs([(CustomGibbs(update), [site]), (NUTS(model), None)])


def _mixed_hmc(model: Any) -> Any:
    return MixedHMC(HMC(model, trajectory_length=1.2), num_discrete_updates=10)


CASES: dict[str, dict[str, Callable[[], Case]]] = {
    "BarkerMH": {
        "eight_schools": _simple(BarkerMH, eight_schools, 2000),
        "logistic_regression": _simple(BarkerMH, logistic_regression, 2000),
    },
    "SA": {
        "eight_schools": _simple(SA, eight_schools, 5000),
        "gaussian_process": _simple(SA, gaussian_process, 1000),
    },
    "AIES": {
        "eight_schools": _simple(AIES, eight_schools, 1000, 40),
        "gaussian_process": _simple(AIES, gaussian_process, 200, 12),
    },
    "ESS": {
        "eight_schools": _simple(ESS, eight_schools, 500, 40),
        "regression": _simple(ESS, regression, 500, 16),
    },
    "HMCGibbs": {
        "conjugate_noise": _with_update(_hmc_gibbs, regression_with_conjugate_noise, "precision"),
        "conjugate_effects": _with_update(_hmc_gibbs, groups_with_conjugate_effects, "intercept"),
    },
    "DiscreteHMCGibbs": {
        "change_point": _simple(lambda model: DiscreteHMCGibbs(NUTS(model)), change_point),
        "labelled_mixture": _simple(lambda model: DiscreteHMCGibbs(NUTS(model)), labelled_mixture),
    },
    "MixedHMC": {
        "change_point": _simple(_mixed_hmc, change_point),
        "labelled_mixture": _simple(_mixed_hmc, labelled_mixture),
    },
    "HMCECS": {
        "logistic": _subsampling("logistic"),
        "poisson": _subsampling("poisson"),
    },
    "Gibbs": {
        "robust_regression": _with_update(_blocks, robust_regression, "weight"),
        "labelled_mixture": mixture_in_blocks,
    },
}

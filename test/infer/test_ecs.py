# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Energy conserving subsampling: the estimator against its formula, the draws against the posterior of all data."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
import pytest
from scipy import stats

import numpyro
from numpyro.contrib.ecs_proxies import block_update, perturbed_method, taylor_proxy
from numpyro.diagnostics import effective_sample_size
import numpyro.distributions as dist
from numpyro.infer import HMC, HMCECS, MCMC, NUTS
from numpyro.infer.hmc_gibbs import estimate_likelihood
from numpyro.infer.util import log_density

KEY = jax.random.PRNGKey(0)
DATA = np.random.default_rng(2).normal(0.7, 1.3, 500).astype(np.float32)


def gaussian(data, subsample_size=25):
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.deterministic("twice", 2 * x)
    with numpyro.plate("data", len(data), subsample_size=subsample_size):
        numpyro.sample("y", dist.Normal(x, 1.3), obs=numpyro.subsample(data, event_dim=0))


def scaled(data, subsample_size=25):
    """The scale has its reference in constrained space."""
    with numpyro.plate("data", len(data), subsample_size=subsample_size) as index:
        scale = numpyro.param("unused", 1.0)
    sd = numpyro.sample("sd", dist.LogNormal(0.0, 1.0))
    numpyro.sample("z", dist.Normal(jnp.zeros(2), scale).to_event(1))
    with numpyro.plate("data", len(data), subsample_size=subsample_size) as index:
        numpyro.sample("y", dist.Normal(0.7, sd), obs=data[index])


def assert_normal(draws, mean, sd):
    draws = np.asarray(draws, np.float64)
    for values, expected in ((draws, mean), ((draws - mean) ** 2, sd**2)):
        ess = effective_sample_size(values[None])
        assert ess > 300
        assert abs(values.mean() - expected) * np.sqrt(ess) / values.std() < 4.5


def posterior():
    precision = 1 + len(DATA) / 1.3**2
    return DATA.sum() / 1.3**2 / precision, precision**-0.5


def test_the_difference_estimator_is_that_of_the_paper():
    rng = np.random.default_rng(0)
    values, rows = rng.normal(size=(2, 5)), rng.normal(size=5)
    method = perturbed_method({"data": (20, 5)}, lambda params, state: ({"data": params}, {"data": state}))
    likelihoods = {"y": (dist.Normal(0.0, 1.0), values, "data", -1)}
    difference = stats.norm.logpdf(values).sum(0) - rows
    variance = 16 * np.sum((difference - difference.mean()) ** 2)
    expected = 3.0 + 20 * difference.mean() - variance / 2
    assert_allclose(method(likelihoods, 3.0, rows), expected, rtol=1e-5)


@pytest.mark.parametrize("degree", [1, 2])
def test_taylor_polynomials_of_the_log_likelihood(degree):
    """Of ``log Normal(y; m, exp(u))``: derivatives by hand, sums over data whose number is no multiple of the block."""
    data = DATA[:60]

    def log_likelihoods(params, name, indices):
        assert name == "data"
        return dist.Normal(0.7, jnp.exp(params["u"])).log_prob(jnp.asarray(data)[indices])

    proxy, u, at = taylor_proxy({"sd": 1.0}, degree), np.float32(0.2), np.float32(0.5)
    indices = {"data": jnp.array([3, 59, 3, 10, 7, 8, 9])}

    @jax.jit
    def evaluate():
        state = proxy.init(log_likelihoods, {"u": jnp.asarray(u)}, {"data": (60, 7)}, indices)
        fresh = {"data": jnp.array([20, 21])}
        updated = proxy.update(log_likelihoods, state, lambda v: {"u": v[0]}, fresh, {"data": jnp.array(5)})
        return proxy.evaluate({"u": jnp.asarray(at)}, state), proxy.evaluate({"u": jnp.asarray(at)}, updated), state

    square = (data.astype(np.float64) - 0.7) ** 2 * np.exp(-2 * float(u))
    polynomial = stats.norm.logpdf(data, 0.7, np.exp(u)) + (square - 1) * (at - u)
    polynomial = polynomial - (square * (at - u) ** 2 if degree == 2 else 0)
    (total, rows), (_, moved), state = evaluate()
    assert_allclose(total["data"], polynomial.sum(), rtol=1e-4)
    assert_allclose(rows["data"], polynomial[indices["data"]], rtol=1e-4)
    assert_allclose(moved["data"], polynomial[[3, 59, 3, 10, 7, 20, 21]], rtol=1e-4)
    assert state.ref_subsample_log_lik_grads["data"].shape == (7, 1)


def test_one_block_of_the_subsample_is_renewed():
    sites = {"data": jnp.full(10, -1)}
    update = jax.jit(jax.vmap(lambda key: block_update({"data": (50, 10)}, 4, key, sites, ())[0]["data"]))
    drawn = np.asarray(update(jax.random.split(KEY, 2000)))
    fresh = drawn >= 0
    assert_array_equal(fresh.sum(1), 3)
    assert set(map(tuple, np.unique(fresh, axis=0).nonzero()[1].reshape(4, 3))) == {
        (0, 1, 2), (3, 4, 5), (6, 7, 8), (7, 8, 9)
    }  # fmt: skip
    counts = np.bincount(drawn[fresh], minlength=50)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_the_estimate_takes_the_place_of_the_likelihood_only():
    seen = {}

    def method(likelihoods, params, state):
        seen.update(likelihoods=likelihoods, params=params, state=state)
        return 11.0

    handler = estimate_likelihood(gaussian, method)
    handler.gibbs_state = "state"
    value, _ = log_density(numpyro.handlers.seed(handler, 0), (DATA,), {}, {"x": 0.3})
    assert_allclose(value, stats.norm.logpdf(0.3) + 11.0, rtol=1e-6)
    likelihood, data, plate, dim = seen["likelihoods"]["y"]
    assert (plate, dim, data.shape) == ("data", -1, (25,))
    assert_allclose(likelihood.log_prob(data), stats.norm.logpdf(data, 0.3, 1.3), rtol=1e-5)
    assert_allclose(seen["params"]["x"], 0.3, rtol=1e-6)
    assert seen["state"] == "state"


def test_draws_come_from_the_posterior_of_all_data():
    kernel = HMCECS(NUTS(gaussian), num_blocks=5, proxy=HMCECS.taylor_proxy({"x": DATA.mean() + 0.05}, degree=1))
    mcmc = MCMC(kernel, num_warmup=300, num_samples=4000, progress_bar=False)
    mcmc.run(KEY, DATA, extra_fields=("accept_prob", "hmc_state.num_steps"))
    draws = mcmc.get_samples()
    assert set(draws) == {"x", "twice"}
    assert_normal(draws["x"], *posterior())
    assert mcmc.get_extra_fields()["accept_prob"].mean() > 0.5
    state = mcmc.last_state
    assert state.indices["data"].shape == (25,)

    # A run that goes on with other data knows them.
    mcmc.post_warmup_state = state
    mcmc.run(KEY, DATA + 0.1, extra_fields=("accept_prob", "hmc_state.num_steps"))
    mean, sd = posterior()
    assert_normal(mcmc.get_samples()["x"], mean + 0.1 * (1 - sd**2), sd)


# Trajectories of the default length, 2 pi, bring a standard normal parameter back to where it was.
INNER = {"NUTS": NUTS, "HMC": partial(HMC, trajectory_length=1.5)}


@pytest.mark.slow
@pytest.mark.parametrize("inner", INNER.values(), ids=list(INNER))
@pytest.mark.parametrize("degree", [1, 2])
def test_a_constrained_parameter(inner, degree):
    kernel = HMCECS(inner(scaled), num_blocks=10, proxy=HMCECS.taylor_proxy({"sd": 1.3, "z": jnp.zeros(2)}, degree))
    mcmc = MCMC(kernel, num_warmup=500, num_samples=8000, num_chains=2, chain_method="vectorized", progress_bar=False)
    mcmc.run(KEY, DATA, 50)
    grid = np.linspace(0.9, 1.8, 4000)
    log_post = stats.lognorm.logpdf(grid, 1.0) + stats.norm.logpdf(DATA[:, None], 0.7, grid).sum(0)
    weights = np.exp(log_post - log_post.max()) / np.exp(log_post - log_post.max()).sum()
    mean = weights @ grid
    assert_normal(mcmc.get_samples()["sd"], mean, np.sqrt(weights @ (grid - mean) ** 2))
    assert_normal(mcmc.get_samples()["z"][:, 0], 0.0, 1.0)


@pytest.mark.slow
def test_without_a_proxy_all_data_but_for_repetitions_count():
    """Naive subsampling: the estimate is the likelihood of the subsample, scaled."""
    kernel = HMCECS(HMC(gaussian, trajectory_length=1.5))
    mcmc = MCMC(kernel, num_warmup=300, num_samples=1000, progress_bar=False)
    mcmc.run(KEY, DATA, 499, extra_fields=("indices", "hmc_state.potential_energy", "accept_prob"))
    fields = mcmc.get_extra_fields()
    x, used = np.asarray(mcmc.get_samples()["x"], np.float64), DATA[np.asarray(fields["indices"]["data"])]
    likelihood = stats.norm.logpdf(used, x[:, None], 1.3).sum(1) * 500 / 499
    assert_allclose(fields["hmc_state.potential_energy"], -stats.norm.logpdf(x) - likelihood, rtol=1e-4)


def local(data):
    with numpyro.plate("data", len(data), subsample_size=5):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(x, 1.0), obs=numpyro.subsample(data, 0))


def crossed(data):
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    with numpyro.plate("a", 10, subsample_size=5), numpyro.plate("b", 4, subsample_size=2):
        numpyro.sample("y", dist.Normal(x, 1.0), obs=0.0)


def bare(data):
    numpyro.sample("y", dist.Normal(numpyro.sample("x", dist.Normal(0.0, 1.0)), 1.0), obs=data)


def elsewhere(data):
    with numpyro.plate("idle", 10, subsample_size=5):
        pass
    bare(data)


def switched(data):
    c = numpyro.sample("c", dist.Bernoulli(0.5))
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    with numpyro.plate("data", len(data), subsample_size=5):
        numpyro.sample("y", dist.Normal(x + c, 1.0), obs=numpyro.subsample(data, 0))


def known(data):
    with numpyro.plate("data", len(data), subsample_size=5):
        numpyro.sample("y", dist.Normal(0.0, 1.0), obs=numpyro.subsample(data, 0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: HMCECS(NUTS(lambda data: gaussian(data, None))),
            r"'y' stands in plate 'data'. Write numpyro.plate\('data', 500, subsample_size=.* NUTS\(model\) alone",
        ),
        (lambda: HMCECS(HMC(bare)), r"'y' stands in no plate. Write numpyro.plate\('data', .*by HMC\(model\) alone"),
        (
            lambda: HMCECS(NUTS(elsewhere)),
            "the plate 'idle', but no observed site .* 'y' stands in no plate",
        ),
        (lambda: HMCECS(NUTS(switched)), r"'c' are discrete.*leave subsample_size out.*by DiscreteHMCGibbs\(NUTS"),
        (lambda: HMCECS(NUTS(known)), "no latent site: its sample sites, 'y', are all observed"),
        (lambda: HMCECS(NUTS(local)), "latent site 'x' stands in the subsampled plate 'data'"),
        (lambda: HMCECS(NUTS(gaussian), num_blocks=26), "subsample of plate 'data' has 25 indices"),
        (
            lambda: HMCECS(NUTS(gaussian), proxy=taylor_proxy({"w": 1.0}, 2)),
            "no value for 'x' and has values for 'w'",
        ),
        (lambda: HMCECS(NUTS(gaussian), proxy=taylor_proxy({"x": np.ones(2)}, 2)), r"shape \(2,\) for site 'x'"),
        (lambda: HMCECS(NUTS(crossed), proxy=taylor_proxy({"x": 1.0}, 2)), "'y' stands in two subsampled plates"),
    ],
)
def test_models_that_cannot_be_subsampled_are_refused(make, message):
    mcmc = MCMC(make(), num_warmup=1, num_samples=1, progress_bar=False)
    with pytest.raises(ValueError, match=message):
        mcmc.run(KEY, DATA)


def test_arguments_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="`degree` must be 1 or 2, but it is 3"):
        HMCECS.taylor_proxy({"x": 0.0}, degree=3)
    with pytest.raises(ValueError, match="`reference_params` must be a dict"):
        taylor_proxy(1.0, 2)
    with pytest.raises(ValueError, match="`num_blocks` must be at least 1"):
        HMCECS(NUTS(gaussian), num_blocks=0)
    with pytest.raises(ValueError, match="must be HMC or NUTS, but it is HMCECS"):
        HMCECS(HMCECS(NUTS(gaussian)))

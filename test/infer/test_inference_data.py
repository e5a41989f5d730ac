# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Runs as ArviZ has them: through ``to_arviz``, and through ArviZ's own converter."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
import pytest
from scipy import stats

import numpyro
from numpyro.contrib.control_flow import scan
import numpyro.distributions as dist
from numpyro.infer import HMCECS, MCMC, NUTS, Predictive, log_likelihood

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    arviz = pytest.importorskip("arviz")

KEY = jax.random.PRNGKey(0)
RANDOM = np.random.default_rng(0)
COVARIATE = RANDOM.normal(size=5)
Y = RANDOM.normal(size=(4, 3)).astype(np.float32)
TABLE = RANDOM.normal(size=(5, 2, 2)).astype(np.float32)


def model(x, table=None, y=None):
    s = numpyro.sample("s", dist.HalfNormal(1.0))
    b = numpyro.sample("b", dist.Normal(jnp.zeros(2), 1.0).to_event(1), infer={"event_dims": ["covariate"]})

    def step(level, t):
        with numpyro.plate("series", 3):
            level = numpyro.sample("level", dist.Normal(level, s))
            numpyro.deterministic("double", 2 * level)
            numpyro.sample("y", dist.Normal(level, 1.0), obs=t)
        return level, None

    scan(step, jnp.zeros(3), y, length=4)
    with numpyro.plate("rows", 5, dim=-2), numpyro.plate("columns", 2):
        numpyro.sample("table", dist.MultivariateNormal(b * x[:, None, None], jnp.eye(2)), obs=table)
    numpyro.factor("soft", -s)


@pytest.fixture(scope="module")
def mcmc():
    mcmc = MCMC(NUTS(model), num_warmup=20, num_samples=10, num_chains=2, chain_method="vectorized", progress_bar=False)
    mcmc.warmup(KEY, COVARIATE, TABLE, y=Y, collect_warmup=True, extra_fields=("potential_energy", "accept_prob"))
    mcmc.run(KEY, COVARIATE, TABLE, y=Y, extra_fields=("potential_energy", "z.s", "adapt_state.inverse_mass_matrix"))
    return mcmc


@pytest.fixture(scope="module")
def data(mcmc):
    coords = {"time": list("abcd"), "rows": np.arange(5) * 10}
    return mcmc.to_arviz(coords=coords, scan_dims=["time"], prior=7, posterior_predictive=True)


def dims(group):
    return {name: value.dims for name, value in group.data_vars.items()}


LEAD = ("chain", "draw")


def test_dimensions_are_named_after_plates_scans_and_hints(data):
    latent = {"s": LEAD, "b": (*LEAD, "covariate")} | dict.fromkeys(("level", "double"), (*LEAD, "time", "series"))
    table = ("rows", "columns", "table_dim_2")
    predicted = {"y": (*LEAD, "time", "series"), "table": (*LEAD, *table)}
    assert dims(data.posterior) == dims(data.warmup_posterior) == dims(data.prior) == latent
    assert dims(data.posterior_predictive) == dims(data.prior_predictive) == predicted
    assert dims(data.log_likelihood) == predicted | {"table": (*LEAD, *table[:2])}
    assert dims(data.observed_data) == {"y": ("time", "series"), "table": table}
    assert dims(data.constant_data) == {"x": ("x_dim_0",)}


def test_coordinates_are_the_users_or_numbers(data):
    assert data.posterior["level"].coords["time"].values.tolist() == list("abcd")
    assert data.log_likelihood.coords["rows"].values.tolist() == [0, 10, 20, 30, 40]
    assert data.posterior.coords["series"].values.tolist() == [0, 1, 2]
    assert data.warmup_posterior.sizes["draw"] == 20 and data.prior.sizes == {
        "chain": 1,
        "draw": 7,
        "covariate": 2,
        "time": 4,
        "series": 3,
    }


def test_values_are_those_of_the_run(mcmc, data):
    samples = mcmc.get_samples(group_by_chain=True)
    for name, value in data.posterior.data_vars.items():
        assert_array_equal(value.values, samples[name])
    expected = log_likelihood(model, mcmc.get_samples(), COVARIATE, TABLE, y=Y)
    for name, value in data.log_likelihood.data_vars.items():
        assert_allclose(value.values.reshape(20, *value.shape[2:]), expected[name], rtol=1e-5)
    assert_array_equal(data.observed_data["y"].values, Y)
    assert_array_equal(data.observed_data["table"].values, TABLE)
    assert_array_equal(data.constant_data["x"].values, COVARIATE)
    # Given the draws, the data are independent normals around them.
    residual = (data.posterior_predictive["y"] - data.posterior["level"]).values
    assert abs(residual.mean()) < 4 / np.sqrt(residual.size) and abs(residual.std() - 1) < 4 / np.sqrt(residual.size)


def test_statistics_of_the_sampler_have_arvizs_names(mcmc, data):
    stats = data.sample_stats
    assert set(stats) == {"diverging", "energy", "lp", "n_steps", "reached_max_treedepth", "tree_depth"}
    assert_array_equal(stats["lp"].values, -mcmc.get_extra_fields(group_by_chain=True)["potential_energy"])
    n_steps, depth = stats["n_steps"].values, stats["tree_depth"].values
    assert np.all((2 ** (depth - 1) <= n_steps) & (n_steps <= 2**depth - 1))
    assert not stats["reached_max_treedepth"].values.any()
    assert {"acceptance_rate", "lp"} <= set(data.warmup_sample_stats)
    assert data.posterior.attrs["inference_library"] == "numpyro"


def test_it_goes_through_a_file(data, tmp_path):
    path = str(tmp_path / "run.nc")
    data.to_netcdf(path)
    read = arviz.from_netcdf(path)
    assert set(read.groups()) == set(data.groups())
    for group in data.groups():
        assert data[group].identical(read[group]) or data[group].equals(read[group])
        assert dims(data[group]) == dims(read[group])


def test_another_run_forgets_the_warm_up_of_this_one_and_predictions_may_be_given(mcmc):
    other = MCMC(mcmc.sampler, num_warmup=20, num_samples=10, num_chains=1, progress_bar=False)
    other.run(KEY, COVARIATE, TABLE, y=Y)
    # A forecast: seven steps, where the run had four.
    future = {"y": np.zeros((10, 7, 3))}
    read = other.to_arviz(posterior_predictive=future, log_likelihood=False, dims={"level": ["when", "draw"]})
    assert set(read.groups()) == {
        "posterior",
        "sample_stats",
        "posterior_predictive",
        "observed_data",
        "constant_data",
    }
    # "draw" is ArviZ's own.
    assert read.posterior["level"].dims == (*LEAD, "when", "draw_plate")
    assert read.posterior_predictive["y"].dims == (*LEAD, "scan", "series")
    assert read.posterior_predictive.sizes["scan"] == 7


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"coords": {"series": ["a"]}}, "1 values for 'series', but its size is 3"),
        ({"coords": {"rows": ["a"]}}, "1 values for 'rows', but its size is 5"),
        ({"dims": {"level": ["a"]}}, r"1 dimensions of 'level', but its shape is \(4, 3\)"),
        ({"dims": {"b": ["series"]}}, "dimension 'series' has size"),
        ({"posterior_predictive": {"y": np.zeros((7, 4, 3))}}, "'y' of posterior_predictive has shape"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_named(mcmc, settings, message):
    with pytest.raises(ValueError, match=message):
        mcmc.to_arviz(log_likelihood=False, **settings)


def rows(x, y):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    with numpyro.plate("rows", len(y), subsample_size=4):
        mean = numpyro.deterministic("mean", slope * numpyro.subsample(x, event_dim=0))
        numpyro.sample("y", dist.Normal(mean, 1.0), obs=numpyro.subsample(y, event_dim=0))


def test_a_run_on_subsamples_is_about_all_data():
    x, y = RANDOM.normal(size=(2, 12)).astype(np.float32)
    mcmc = MCMC(HMCECS(NUTS(rows)), num_warmup=5, num_samples=5, progress_bar=False)
    mcmc.run(KEY, x, y, extra_fields=("hmc_state.num_steps",))
    data = mcmc.to_arviz(coords={"rows": list("abcdefghijkl")}, posterior_predictive=True)
    assert_array_equal(data.observed_data["y"].values, y)
    assert_array_equal(data.constant_data["x"].values, x)
    slope = data.posterior["slope"].values[..., None]
    expected = stats.norm(slope * x, 1.0).logpdf(y)
    assert_allclose(data.log_likelihood["y"].values, expected, rtol=1e-5)
    assert data.log_likelihood["y"].dims == data.posterior_predictive["y"].dims == (*LEAD, "rows")
    assert dims(data.posterior)["mean"] == (*LEAD, "mean_dim_0")
    assert {"n_steps", "diverging"} <= set(data.sample_stats)


def test_a_run_without_a_model_has_draws_and_statistics():
    mcmc = MCMC(NUTS(potential_fn=lambda z: 0.5 * z[0] @ z[0]), num_warmup=5, num_samples=5, progress_bar=False)
    mcmc.run(KEY, init_params=(jnp.zeros(3),))
    data = mcmc.to_arviz()
    assert data.groups() == ["posterior", "sample_stats"]
    assert dims(data.posterior) == {"Param:0": (*LEAD, "Param:0_dim_0")}


def test_arvizs_own_converter_works_unchanged(mcmc):
    predictive = Predictive(model, mcmc.get_samples())(KEY, COVARIATE)
    prior = Predictive(model, num_samples=6)(KEY, COVARIATE)
    read = arviz.from_numpyro(
        mcmc,
        prior=prior,
        posterior_predictive=predictive,
        predictions=predictive,
        constant_data={"x": COVARIATE},
        coords={"rows": list("abcde")},
    )
    assert {"posterior", "prior", "prior_predictive", "posterior_predictive", "predictions"} <= set(read.groups())
    assert {"log_likelihood", "sample_stats", "observed_data", "constant_data"} <= set(read.groups())
    assert_array_equal(read.posterior["level"].values, mcmc.get_samples(group_by_chain=True)["level"])
    assert dims(read.log_likelihood)["table"] == (*LEAD, "rows", "columns")
    assert dims(read.posterior)["level"] == dims(read.posterior)["double"] == (*LEAD, "scan", "series")


def test_arviz_finds_the_dimensions_of_sites_in_scans():
    from arviz.data.io_numpyro import infer_dims

    found = infer_dims(model, (COVARIATE,), {})
    assert found["level"] == ["scan", "series"] and found["table"] == ["rows", "columns"]
    assert found["b"] == ["covariate"] and "s" not in found

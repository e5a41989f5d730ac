# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Densities, initial values and predictions of models."""

from __future__ import annotations

import pickle
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose
import pytest
from scipy import stats

import numpyro
from numpyro import handlers
from numpyro.contrib.control_flow import scan
import numpyro.distributions as dist
from numpyro.infer import (
    Predictive,
    init_to_feasible,
    init_to_mean,
    init_to_median,
    init_to_sample,
    init_to_uniform,
    init_to_value,
    initialize_model,
    log_likelihood,
)
from numpyro.infer.potential import build_potential
from numpyro.infer.util import (
    constrain_fn,
    find_valid_initial_params,
    get_potential_fn,
    log_density,
    potential_energy,
    transform_fn,
    unconstrain_fn,
)


def hierarchical(x, y=None):
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfNormal(2.0))
    with numpyro.plate("data", len(x)):
        z = numpyro.sample("z", dist.Normal(mu, tau))
        numpyro.deterministic("shifted", z + x)
        return numpyro.sample("y", dist.Normal(z + x, 0.5), obs=y)


X, Y = np.arange(4.0), np.array([0.3, 1.1, 2.2, 2.9])
POINT = {"mu": 0.5, "tau": 1.5, "z": np.array([0.1, -0.2, 0.3, 0.0])}


def expected_log_density(point):
    mu, tau, z = point["mu"], point["tau"], point["z"]
    return (
        stats.norm.logpdf(mu, 0, 5)
        + stats.halfnorm.logpdf(tau, scale=2)
        + stats.norm.logpdf(z, mu, tau).sum()
        + stats.norm.logpdf(Y, z + X, 0.5).sum()
    )


def test_log_density_is_the_sum_over_sites():
    log_joint, trace = log_density(hierarchical, (X, Y), {}, POINT)
    assert_allclose(log_joint, expected_log_density(POINT), rtol=1e-5)
    assert set(trace) >= {"mu", "tau", "z", "y", "shifted", "data"}


def test_potential_energy_has_the_jacobian():
    unconstrained = {**POINT, "tau": np.log(POINT["tau"])}
    energy = potential_energy(hierarchical, (X, Y), {}, unconstrained)
    assert_allclose(energy, -(expected_log_density(POINT) + np.log(POINT["tau"])), rtol=1e-5)


def test_constrain_and_unconstrain_are_inverse():
    unconstrained = unconstrain_fn(hierarchical, (X, Y), {}, POINT)
    assert_allclose(unconstrained["tau"], np.log(1.5), rtol=1e-6)
    constrained = constrain_fn(hierarchical, (X, Y), {}, unconstrained, return_deterministic=True)
    for name, value in POINT.items():
        assert_allclose(constrained[name], value, rtol=1e-5)
    assert_allclose(constrained["shifted"], POINT["z"] + X, rtol=1e-5)


def test_transform_fn_applies_by_name():
    transforms = {"tau": dist.transforms.ExpTransform()}
    assert_allclose(transform_fn(transforms, {"tau": 0.0, "other": 1.0})["tau"], 1.0)
    assert_allclose(transform_fn(transforms, {"tau": 1.0}, invert=True)["tau"], 0.0)


@pytest.mark.parametrize("dynamic_args", [False, True])
def test_initialize_model_gives_consistent_parts(dynamic_args):
    info = initialize_model(jax.random.key(0), hierarchical, dynamic_args=dynamic_args, model_args=(X, Y))
    potential = info.potential_fn(X, Y) if dynamic_args else info.potential_fn
    postprocess = info.postprocess_fn(X, Y) if dynamic_args else info.postprocess_fn
    energy, gradient = jax.value_and_grad(potential)(info.param_info.z)
    assert_allclose(energy, info.param_info.potential_energy, rtol=1e-5)
    jax.tree.map(lambda a, b: assert_allclose(a, b, rtol=1e-4, atol=1e-5), gradient, info.param_info.z_grad)
    assert postprocess(info.param_info.z)["tau"] > 0
    assert info.model_trace["z"]["type"] == "sample"
    assert info.model_trace["y"]["is_observed"]


def test_several_keys_give_several_starts():
    info = initialize_model(jax.random.split(jax.random.key(0), 3), hierarchical, model_args=(X, Y))
    assert info.param_info.z["z"].shape == (3, 4)
    assert info.param_info.potential_energy.shape == (3,)
    assert len(set(np.asarray(info.param_info.z["mu"]))) == 3


def test_get_potential_fn_and_find_valid_initial_params():
    params, valid = find_valid_initial_params(jax.random.key(1), hierarchical, model_args=(X, Y))
    assert valid
    potential, constrain = get_potential_fn(hierarchical, {}, replay_model=True, model_args=(X, Y))
    assert_allclose(potential(params.z), params.potential_energy, rtol=1e-5)
    assert "shifted" in constrain(params.z)


@pytest.mark.parametrize(
    ("strategy", "check"),
    [
        (init_to_uniform(radius=0.1), lambda z: np.all(np.abs(z["z"]) <= 0.1)),
        (init_to_feasible(), lambda z: np.all(z["z"] == 0) and z["tau"] == 0),
        (init_to_sample(), lambda z: len(set(np.asarray(z["z"]))) == 4),
        (init_to_median(num_samples=101), lambda z: abs(z["mu"]) < 2.5),
        (init_to_mean(), lambda z: z["mu"] == 0 and abs(z["tau"] - np.log(2 * np.sqrt(2 / np.pi))) < 1e-5),
        (
            init_to_value(values={"mu": 1.25, "tau": 2.0}),
            lambda z: z["mu"] == 1.25 and abs(z["tau"] - np.log(2)) < 1e-6,
        ),
    ],
)
def test_initialisation_strategies(strategy, check):
    info = initialize_model(jax.random.key(2), hierarchical, init_strategy=strategy, model_args=(X, Y))
    assert check(info.param_info.z)


def walk(y):
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))

    def body(c, y):
        c = numpyro.sample("x", dist.Normal(c, scale))
        numpyro.sample("y", dist.Normal(c, 1.0), obs=y)
        return c, None

    scan(body, jnp.zeros(()), y)


@pytest.mark.parametrize(
    "strategy", [init_to_uniform(), init_to_feasible(), init_to_sample(), init_to_median(), init_to_mean()]
)
def test_strategies_reach_sites_in_a_scan(strategy):
    info = initialize_model(jax.random.key(0), walk, init_strategy=strategy, model_args=(Y,))
    assert info.param_info.z["x"].shape == (4,)
    assert np.isfinite(info.param_info.potential_energy)


def test_given_values_reach_sites_in_a_scan():
    info = initialize_model(jax.random.key(0), walk, init_strategy=init_to_value(values={"x": Y}), model_args=(Y,))
    assert_allclose(info.param_info.z["x"], Y, rtol=1e-6)


# Predictions


def test_prior_predictive():
    draws = Predictive(hierarchical, num_samples=200)(jax.random.key(0), X)
    assert set(draws) == {"mu", "tau", "z", "shifted", "y"}
    assert draws["y"].shape == (200, 4)
    assert stats.kstest(draws["mu"], stats.norm(0, 5).cdf).pvalue > 1e-3
    assert stats.kstest(draws["tau"], stats.halfnorm(scale=2).cdf).pvalue > 1e-3


@pytest.mark.parametrize("parallel", [False, True])
def test_posterior_predictive_uses_each_draw(parallel):
    posterior = {"mu": jnp.zeros(50), "tau": jnp.ones(50), "z": 10.0 * jnp.arange(50.0)[:, None] * jnp.ones(4)}
    draws = Predictive(hierarchical, posterior, parallel=parallel)(jax.random.key(0), X)
    assert set(draws) == {"y", "shifted"}
    assert_allclose(draws["shifted"], posterior["z"] + X)
    residual = (draws["y"] - draws["shifted"]) / 0.5
    assert stats.kstest(np.ravel(residual), stats.norm.cdf).pvalue > 1e-3


def test_batch_ndims_and_return_sites():
    posterior = {"mu": jnp.zeros((2, 5)), "tau": jnp.ones((2, 5)), "z": jnp.zeros((2, 5, 4))}
    draws = Predictive(hierarchical, posterior, batch_ndims=2, return_sites=["y", "mu"])(jax.random.key(0), X)
    assert {name: x.shape for name, x in draws.items()} == {"y": (2, 5, 4), "mu": (2, 5)}
    single = {name: x[0, 0] for name, x in posterior.items()}
    draws = Predictive(hierarchical, single, batch_ndims=0, num_samples=1)(jax.random.key(0), X)
    assert draws["y"].shape[-1] == 4


def test_deterministic_sites_are_computed_again_unless_conditioned_on():
    posterior = {"mu": jnp.zeros(3), "tau": jnp.ones(3), "z": jnp.zeros((3, 4)), "shifted": jnp.full((3, 4), 99.0)}
    again = Predictive(hierarchical, posterior)(jax.random.key(0), X)
    assert_allclose(again["shifted"], np.broadcast_to(X, (3, 4)))
    kept = Predictive(hierarchical, posterior, condition_deterministic=True, return_sites=["shifted"])
    assert_allclose(kept(jax.random.key(0), X)["shifted"], 99.0)


def test_guide_supplies_the_draws():
    def guide(x, y=None):
        loc = numpyro.param("loc", 0.0)
        numpyro.sample("mu", dist.Normal(loc, 0.01))
        numpyro.sample("tau", dist.Delta(1.0))
        with numpyro.plate("data", len(x)):
            numpyro.sample("z", dist.Normal(loc, 0.01))

    predictive = Predictive(hierarchical, guide=guide, params={"loc": 30.0}, num_samples=20)
    draws = predictive(jax.random.key(0), X)
    assert draws["y"].shape == (20, 4)
    assert np.all(np.abs(draws["shifted"] - X - 30) < 0.1)


def test_later_calls_compile_nothing_and_predictive_pickles():
    count = 0

    def model(x):
        nonlocal count
        count += 1
        return numpyro.sample("y", dist.Normal(x, 1.0))

    predictive = Predictive(model, num_samples=5)
    predictive(jax.random.key(0), X)
    traced = count
    predictive(jax.random.key(1), X + 1)
    assert count == traced
    restored = pickle.loads(pickle.dumps(Predictive(hierarchical, num_samples=3)))
    assert restored(jax.random.key(0), X)["y"].shape == (3, 4)


def test_models_with_python_control_flow_on_data():
    def model(x):
        scale = 1.0 if x.sum() > 0 else 100.0
        return numpyro.sample("y", dist.Normal(x, scale))

    assert Predictive(model, num_samples=5)(jax.random.key(0), X)["y"].shape == (5, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "num_samples"),
        ({"posterior_samples": {"mu": jnp.zeros(3), "tau": jnp.zeros(4)}}, "'tau' has leading shape"),
        ({"posterior_samples": {"mu": jnp.zeros(())}}, "fewer than batch_ndims=1"),
        ({"posterior_samples": {"mu": jnp.zeros(3)}, "guide": hierarchical}, "not both"),
        ({"guide": hierarchical, "batch_ndims": 1}, "num_samples is needed"),
    ],
)
def test_predictive_explains_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Predictive(hierarchical, **arguments)


def test_predictive_refuses_what_is_not_there_yet():
    with pytest.raises(NotImplementedError, match="enumeration"):
        Predictive(hierarchical, num_samples=1, infer_discrete=True)
    with pytest.raises(ValueError, match="no site 'nothing'"):
        Predictive(hierarchical, num_samples=1, return_sites=["nothing"])(jax.random.key(0), X)
    with pytest.warns(FutureWarning, match="condition_deterministic"):
        assert Predictive(hierarchical, num_samples=1, exclude_deterministic=True).exclude_deterministic


@pytest.mark.parametrize("parallel", [False, True])
def test_log_likelihood_of_each_observation(parallel):
    z = np.random.default_rng(0).normal(size=(6, 4))
    posterior = {"mu": np.zeros(6), "tau": np.ones(6), "z": z}
    result = log_likelihood(hierarchical, posterior, X, Y, parallel=parallel)
    assert set(result) == {"y"}
    assert_allclose(result["y"], stats.norm.logpdf(Y, z + X, 0.5), rtol=1e-4)
    chains = {name: x.reshape(2, 3, *x.shape[1:]) for name, x in posterior.items()}
    assert_allclose(log_likelihood(hierarchical, chains, X, Y, batch_ndims=2)["y"].reshape(6, 4), result["y"])


def test_log_likelihood_in_a_scan():
    x = np.random.default_rng(0).normal(size=(6, 4))
    result = log_likelihood(walk, {"scale": np.ones(6), "x": x}, Y)
    assert_allclose(result["y"], stats.norm.logpdf(Y, x, 1.0), rtol=1e-4)


# Errors that name the site


def explain(model, *args):
    with pytest.raises(ValueError) as error:
        initialize_model(jax.random.key(0), model, model_args=args)
    return str(error.value)


def test_nan_data_names_the_site():
    text = explain(hierarchical, X, np.array([0.1, np.nan, np.nan, 0.2]))
    assert "Site 'y'" in text and "observed data hold 2 NaN" in text and "mask" in text
    assert "plate 'data' of size 4 at dim -1" in text


def test_negative_scale_names_the_site_and_the_parameter():
    def model():
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(x, -1.0), obs=0.3)

    text = explain(model)
    assert "Site 'y'" in text and "'scale'" in text and "-1" in text


def test_data_outside_the_support_names_the_site():
    def model(y):
        rate = numpyro.sample("rate", dist.HalfNormal(1.0))
        numpyro.sample("y", dist.Gamma(2.0, rate), obs=y)

    text = explain(model, np.array([1.0, -2.0]))
    assert "Site 'y'" in text and "1 of 2 observed values lie outside the support" in text


def test_impossible_factor_names_the_site():
    def model():
        numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.factor("never", -jnp.inf)

    assert "Site 'never'" in explain(model)


def test_bad_gradient_names_the_site():
    def model():
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.factor("f", jnp.sqrt(0.0 * x))

    assert "gradient with respect to 'x'" in explain(model)


def test_model_without_latent_site():
    text = explain(lambda: numpyro.sample("y", dist.Normal(0.0, 1.0), obs=0.0))
    assert "no latent site" in text


def test_discrete_latent_site_is_named():
    def model():
        numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.sample("k", dist.Bernoulli(0.5))

    assert "'k'" in explain(model)


def test_initial_value_of_the_wrong_shape():
    with pytest.raises(ValueError, match=r"'z' has shape \(3,\), but the site has shape \(4,\)"):
        strategy = init_to_value(values={"z": np.zeros(3)})
        initialize_model(jax.random.key(0), hierarchical, init_strategy=strategy, model_args=(X, Y))


def test_initial_value_outside_the_support_names_site_and_support():
    with pytest.raises(ValueError, match=r"site 'tau' the value -1.0, .* support Positive"):
        strategy = init_to_value(values={"tau": -1.0})
        initialize_model(jax.random.key(0), hierarchical, init_strategy=strategy, model_args=(X, Y))


def test_initial_value_for_an_unknown_site_warns():
    with pytest.warns(UserWarning, match="'typo'"):
        strategy = init_to_value(values={"typo": 1.0})
        initialize_model(jax.random.key(0), hierarchical, init_strategy=strategy, model_args=(X, Y))


def test_substituted_value_of_the_wrong_shape_names_site_and_plate():
    with pytest.raises(ValueError) as error:
        handlers.substitute(handlers.seed(hierarchical, 0), data={"z": np.zeros(3)})(X)
    for words in ["Site 'z'", "plate 'data' of size 4 at dim -1", r"value shape \(3,\)"]:
        error.match(words)


def test_potential_has_a_static_layout():
    potential = build_potential(hierarchical, (X, Y))
    assert {name: site.unconstrained_shape for name, site in potential.sites.items()} == {
        "mu": (),
        "tau": (),
        "z": (4,),
    }
    assert potential.deterministic_names == ("shifted",)
    assert potential.observed_names == ("y",)


def test_the_number_of_draws_is_theirs():
    with pytest.warns(UserWarning, match="num_samples=5 is not the number of draws in posterior_samples, 3"):
        assert Predictive(hierarchical, {"mu": jnp.zeros(3)}, num_samples=5).num_samples == 3
    with pytest.raises(ValueError, match="the draws disagree about their number"):
        log_likelihood(hierarchical, {"mu": jnp.zeros(3), "tau": jnp.ones(4)}, X, Y)


def test_enumeration_is_refused():
    with pytest.raises(NotImplementedError, match="enumeration"):
        potential_energy(hierarchical, (X, Y), {}, POINT, enum=True)


def test_latent_site_without_elements():
    def empty():
        numpyro.sample("x", dist.Normal(0.0, 1.0).expand([0]))

    with pytest.raises(ValueError, match=r"latent site 'x' has no element: its value has shape \(0,\)"):
        initialize_model(jax.random.key(0), empty)


def test_a_density_of_one_subsample_is_warned_of():
    def model(data):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        with numpyro.plate("rows", 6, subsample_size=2):
            numpyro.sample("y", dist.Normal(x, 1.0), obs=numpyro.subsample(data, event_dim=0))

    def initialize(model):
        return initialize_model(jax.random.PRNGKey(0), model, model_args=(jnp.arange(6.0),))

    with pytest.warns(UserWarning, match="subsamples the plate.*'rows'.*HMCECS"):
        initialize(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        initialize(handlers.substitute(model, data={"rows": jnp.array([1, 4])}))

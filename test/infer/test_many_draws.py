# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Functions of many draws, computed in batches."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.infer import Predictive, log_likelihood, many_draws
from numpyro.infer.many_draws import over_draws


@pytest.fixture
def small_batches(monkeypatch):
    """So little memory that a batch is a draw or a few."""
    monkeypatch.setattr(many_draws, "_BATCH", 100)


def regression(x, y=None):
    slope = numpyro.sample("slope", dist.Normal(0, 1))
    mean = numpyro.deterministic("mean", slope * x)
    numpyro.sample("y", dist.Normal(mean, 1), obs=y)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 10, 11])
@pytest.mark.parametrize("bytes_of_a_batch", [1, 100, 10_000])
def test_each_draw_is_in_its_place_whatever_the_batches(count, bytes_of_a_batch, monkeypatch):
    monkeypatch.setattr(many_draws, "_BATCH", bytes_of_a_batch)
    draws = {"a": np.arange(3.0 * count).reshape(count, 3), "b": np.arange(count)}
    shift = jnp.array([1.0, 2.0, 3.0])

    @jax.jit
    def run(draws, shift):
        return over_draws(lambda draw: {"sum": jnp.sum(draw["a"] * shift), "b": draw["b"] + 1, "c": 5.0}, draws, count)

    found = run(draws, shift)
    assert_allclose(found["sum"], [(row * np.array([1, 2, 3])).sum() for row in draws["a"]])
    assert_array_equal(found["b"], draws["b"] + 1)
    assert_array_equal(found["c"], np.full(count, 5.0))


def test_memory_is_that_of_the_results_and_one_batch(monkeypatch):
    monkeypatch.setattr(many_draws, "_BATCH", 2**20)

    def of_draw(seed):
        return jnp.sort(jnp.sin(seed * jnp.arange(10_000.0))).sum()

    def temporary(together):
        run = jax.jit(lambda x: over_draws(of_draw, x, 2000, together=together))
        return run.lower(jnp.zeros(2000)).compile().memory_analysis().temp_size_in_bytes

    assert temporary(together=True) > 60 * 2**20
    assert temporary(together=False) < 4 * 2**20


def test_results_that_need_no_others_are_computed_where_they_stay(monkeypatch):
    monkeypatch.setattr(many_draws, "_BATCH", 2**20)
    x = jnp.linspace(0.0, 1.0, 10_000)

    def compiled(of_draw):
        run = jax.jit(lambda draws: over_draws(of_draw, draws, 1000))
        return run.lower({"loc": jnp.zeros(1000), "scale": jnp.ones(1000)}).compile()

    density = compiled(lambda draw: dist.Normal(draw["loc"] * x, draw["scale"]).log_prob(x))
    assert density.memory_analysis().temp_size_in_bytes < 2**20
    assert " while(" not in density.as_text()
    # What is used twice is an array of its own.
    twice = compiled(lambda draw: (lambda y: y / jnp.sum(y))(jnp.exp(draw["loc"] * x)))
    assert " while(" in twice.as_text() and twice.memory_analysis().temp_size_in_bytes < 4 * 2**20


def test_the_model_is_run_once_for_all_draws(small_batches):
    runs = []

    def model(y):
        runs.append(None)
        slope = numpyro.sample("slope", dist.Normal(0, 1))
        numpyro.sample("y", dist.Normal(slope, 1), obs=y)

    log_likelihood(model, {"slope": jnp.arange(10.0)}, jnp.ones(3))
    assert len(runs) == 1


def test_predictions_do_not_depend_on_the_batches(small_batches, monkeypatch):
    slope = np.linspace(-1, 1, 11)
    x, key = np.arange(4.0), jax.random.PRNGKey(1)
    found = Predictive(regression, {"slope": slope})(key, x)
    assert_allclose(found["mean"], slope[:, None] * x, rtol=1e-6)
    assert len(np.unique(found["y"])) == 44
    together = Predictive(regression, {"slope": slope}, parallel=True)(key, x)
    assert_allclose(found["y"], together["y"], rtol=1e-6)


def test_log_likelihood_in_batches_is_that_of_the_normal_density(small_batches):
    rng = np.random.default_rng(0)
    slope, x, y = rng.normal(size=(2, 5)), rng.normal(size=7), rng.normal(size=7)
    found = log_likelihood(regression, {"slope": slope}, x, y, batch_ndims=2)["y"]
    expected = -0.5 * (y - slope[..., None] * x) ** 2 - 0.5 * np.log(2 * np.pi)
    assert_allclose(found, expected, rtol=1e-5)


def test_random_keys_may_be_results(small_batches):
    keys = jax.random.split(jax.random.key(0), 5)
    found = jax.jit(lambda keys: over_draws(lambda key: jax.random.fold_in(key, 1), keys, 5))(keys)
    assert_array_equal(
        jax.random.key_data(found), np.stack([jax.random.key_data(jax.random.fold_in(key, 1)) for key in keys])
    )


def test_predictions_and_likelihoods_within_other_programs():
    slope, x, y = jnp.linspace(-1, 1, 5), jnp.arange(3.0), jnp.ones(3)
    predictive, key = Predictive(regression, {"slope": slope}), jax.random.PRNGKey(0)
    assert_allclose(jax.jit(lambda key: predictive(key, x)["y"])(key), predictive(key, x)["y"], rtol=1e-6)
    total = lambda x: log_likelihood(regression, {"slope": slope}, x, y)["y"].sum()
    assert_allclose(jax.grad(total)(x), np.sum(slope[:, None] * (y - slope[:, None] * x), 0), rtol=1e-5)


def test_objects_with_other_draws_share_a_program_and_a_changed_model_has_its_own():
    # An object without visible state: what a model reads is part of it.
    runs, settings = itertools.count(), {"scale": 1.0}

    def model():
        next(runs)
        mu = numpyro.sample("mu", dist.Normal(0, 1))
        numpyro.deterministic("scaled", settings["scale"] * mu)
        numpyro.sample("y", dist.Normal(mu, 1), obs=1.0)

    def scaled(mu):
        return Predictive(model, {"mu": mu})(jax.random.PRNGKey(0))["scaled"]

    assert_allclose(scaled(jnp.arange(3.0)), np.arange(3.0))
    assert_allclose(scaled(jnp.arange(3.0) + 1), np.arange(3.0) + 1)
    assert next(runs) == 1
    settings["scale"] = 2.0
    assert_allclose(scaled(jnp.arange(3.0)), 2 * np.arange(3.0))

    def likelihood(mu):
        return log_likelihood(model, {"mu": mu})["y"]

    before = next(runs)
    first, second = likelihood(jnp.arange(3.0)), likelihood(jnp.arange(3.0) + 1)
    assert_allclose(first[1:], second[:-1])
    assert next(runs) == before + 2

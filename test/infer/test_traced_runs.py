# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""``MCMC.run`` within functions that JAX transforms."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose
import pytest
from small_model import Y, model, update

from numpyro.infer import AIES, MCMC, NUTS, BarkerMH, HMCGibbs

KEY = jax.random.PRNGKey(3)


KERNELS = {
    "NUTS": lambda: NUTS(model),
    "BarkerMH": lambda: BarkerMH(model),
    "HMCGibbs": lambda: HMCGibbs(NUTS(model), update, ["mu"]),
}


def make(kernel, num_warmup=20, num_samples=30, **settings):
    return MCMC(kernel, num_warmup=num_warmup, num_samples=num_samples, progress_bar=False, **settings)


@pytest.mark.parametrize("name", KERNELS)
def test_a_compiled_run_has_the_draws_of_a_plain_one(name):
    mcmc = make(KERNELS[name](), num_warmup=5, num_samples=5)
    mcmc.run(KEY, Y)
    plain = mcmc.get_samples()

    @jax.jit
    def run(key, y):
        mcmc.run(key, y)
        return mcmc.get_samples()

    assert_allclose(run(KEY, Y)["mu"], plain["mu"], rtol=1e-3)
    mcmc.run(jax.random.PRNGKey(4), Y + 1)
    assert_allclose(run(jax.random.PRNGKey(4), Y + 1)["mu"], mcmc.get_samples()["mu"], rtol=1e-3)


@pytest.mark.parametrize("method", ["parallel", "sequential"])
def test_several_chains_in_a_compiled_function(method):
    mcmc = make(NUTS(model), num_chains=2, chain_method=method, num_warmup=5, num_samples=5)
    mcmc.run(KEY, Y)
    plain = mcmc.get_samples(group_by_chain=True)["mu"]
    run = jax.jit(lambda key: (mcmc.run(key, Y), mcmc.get_samples(group_by_chain=True))[1])
    assert_allclose(run(KEY)["mu"], plain, rtol=1e-3)


def test_an_ensemble_in_a_compiled_function():
    mcmc = make(AIES(model), num_chains=6, chain_method="vectorized", num_warmup=5, num_samples=5)
    mcmc.run(KEY, Y)
    plain = mcmc.get_samples()["mu"]
    run = jax.jit(lambda key: (mcmc.run(key, Y), mcmc.get_samples())[1])
    assert_allclose(run(KEY)["mu"], plain, rtol=1e-3)


@pytest.mark.parametrize("kernel", ["NUTS", "BarkerMH"])
def test_runs_mapped_over_keys_and_data(kernel):
    mcmc = make(KERNELS[kernel](), num_warmup=5, num_samples=5)
    keys, data = jax.random.split(KEY, 3), np.stack([Y, Y + 1, Y + 2])

    def run(key, y):
        mcmc.run(key, y, extra_fields=("potential_energy",))
        return mcmc.get_samples()["mu"], mcmc.get_extra_fields()["potential_energy"]

    mapped = jax.vmap(run)(keys, data)
    for i in range(3):
        mu, energy = run(keys[i], data[i])
        assert_allclose(mapped[0][i], mu, rtol=1e-3)
        assert_allclose(mapped[1][i], energy, rtol=1e-3)


def test_init_params_and_warmup_within_a_compiled_function():
    mcmc = make(NUTS(model), num_warmup=5, num_samples=5)

    def run(key, start):
        mcmc.warmup(key, Y, init_params={"mu": start, "noise": start})
        mcmc.run(key, Y)
        mcmc.post_warmup_state = None
        return mcmc.get_samples()["mu"]

    assert_allclose(jax.jit(run)(KEY, 0.5), run(KEY, jnp.array(0.5)), rtol=1e-3)


def test_where_there_is_no_start_the_draws_are_nan():
    mcmc = make(NUTS(potential_fn=lambda z: jnp.where(z > 0, jnp.nan, z**2)), num_warmup=0, num_samples=3)
    run = jax.jit(lambda key, z: (mcmc.run(key, init_params=z), mcmc.get_samples())[1])
    assert np.isnan(run(KEY, 1.0)).all() and np.isfinite(run(KEY, -1.0)).all()


def test_what_cannot_be_is_refused(tmp_path):
    mcmc = make(NUTS(model), checkpoint=tmp_path / "run.npz")
    with pytest.raises(ValueError, match="no checkpoints"):
        jax.eval_shape(lambda key: mcmc.run(key, Y), KEY)
    mcmc = make(NUTS(model))
    mcmc.run(KEY, Y)

    def go_on(key, state):
        mcmc.post_warmup_state = state
        mcmc.run(key, Y)

    with pytest.raises(ValueError, match="cannot go on from a state"):
        jax.eval_shape(go_on, KEY, mcmc.last_state)


@pytest.mark.parametrize("kernel", ["NUTS", "BarkerMH"])
def test_a_plain_run_may_follow_a_compiled_one(kernel):
    def fresh(y):
        model(jnp.asarray(y))

    make_kernel = {"NUTS": NUTS, "BarkerMH": BarkerMH}[kernel]
    mcmc = make(make_kernel(fresh), num_warmup=5, num_samples=5)
    compiled = jax.jit(lambda key, y: (mcmc.run(key, y), mcmc.get_samples())[1])(KEY, Y)
    mcmc.run(KEY, Y)
    assert_allclose(mcmc.get_samples()["mu"], compiled["mu"], rtol=1e-3)
    assert mcmc.last_state.z["mu"].shape == ()

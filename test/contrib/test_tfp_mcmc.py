# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""TFP's transition kernels: with the package where it works, and always with a stand-in of its interface."""

from __future__ import annotations

from collections import namedtuple
import importlib
import inspect
import re
import sys
import textwrap
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
from numpyro.contrib.tfp import mcmc as tfp_mcmc
from numpyro.diagnostics import effective_sample_size
import numpyro.distributions as dist
from numpyro.infer import MCMC

NAME = "tensorflow_probability.substrates.jax.mcmc"
KEY = jax.random.PRNGKey(0)
Y = np.array([1.0, 2.0, 0.5, 1.5])

WalkResults = namedtuple("WalkResults", "log_acceptance_correction target_log_prob seed")
HastingsResults = namedtuple("HastingsResults", "accepted_results is_accepted log_accept_ratio seed")


class UncalibratedRandomWalk:
    """What TFP documents of its kernel, with a step size in the place of ``new_state_fn``."""

    is_calibrated = False

    def __init__(self, target_log_prob_fn, step_size=1.0, name=None):
        self.target_log_prob_fn, self.step_size = target_log_prob_fn, step_size

    def bootstrap_results(self, init_state):
        # TFP asks for a batch of states too, and keeps seeds of the new style.
        log_prob = self.target_log_prob_fn(jnp.stack([init_state, init_state]))
        assert log_prob.shape == (2,)
        return WalkResults(jnp.zeros(()), log_prob[0], jax.random.key(0))

    def one_step(self, current_state, previous_kernel_results, seed=None):
        new = current_state + self.step_size * jax.random.normal(seed, current_state.shape)
        return new, WalkResults(jnp.zeros(()), self.target_log_prob_fn(new), seed)


class MetropolisHastings:
    is_calibrated = True

    def __init__(self, inner_kernel, name=None):
        self.inner_kernel = inner_kernel

    def bootstrap_results(self, init_state):
        inner = self.inner_kernel.bootstrap_results(init_state)
        return HastingsResults(inner, jnp.ones((), bool), jnp.zeros(()), jax.random.key(0))

    def one_step(self, current_state, previous_kernel_results, seed=None):
        inner_seed, accept_seed = jax.random.split(seed)
        before = previous_kernel_results.accepted_results
        new, results = self.inner_kernel.one_step(current_state, before, seed=inner_seed)
        log_ratio = results.target_log_prob - before.target_log_prob
        accept = jnp.log(jax.random.uniform(accept_seed)) < log_ratio
        log_prob = jnp.where(accept, results.target_log_prob, before.target_log_prob)
        accepted = WalkResults(results.log_acceptance_correction, log_prob, inner_seed)
        return jnp.where(accept, new, current_state), HastingsResults(accepted, accept, log_ratio, seed)


class RandomWalkMetropolis(MetropolisHastings):
    def __init__(self, target_log_prob_fn, step_size=1.0, name=None):
        super().__init__(UncalibratedRandomWalk(target_log_prob_fn, step_size))


@pytest.fixture
def stand_in(monkeypatch):
    module = types.ModuleType(NAME)
    for kernel in (UncalibratedRandomWalk, MetropolisHastings, RandomWalkMetropolis):
        setattr(module, kernel.__name__, kernel)
    parents = NAME.split(".")
    for i in range(1, len(parents)):
        monkeypatch.setitem(sys.modules, ".".join(parents[:i]), types.ModuleType(".".join(parents[:i])))
    monkeypatch.setitem(sys.modules, NAME, module)
    return module


def model(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    numpyro.deterministic("double", 2 * mu)
    numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)


def assert_posterior(draws):
    """The conjugate posterior: mean 1, variance 1/5."""
    draws = np.asarray(draws, np.float64)
    for values, expected in ((draws, 1.0), ((draws - 1.0) ** 2, 0.2)):
        ess = effective_sample_size(values)
        assert ess > 100
        assert abs(values.mean() - expected) < 5 * values.std() / np.sqrt(ess)


def test_a_kernel_that_is_not_calibrated_becomes_one_of_metropolis_and_hastings(stand_in):
    for kernel in (
        tfp_mcmc.UncalibratedRandomWalk(model, step_size=0.8),
        tfp_mcmc.TFPKernel[stand_in.RandomWalkMetropolis](model, step_size=0.8),
    ):
        mcmc = MCMC(kernel, num_warmup=100, num_samples=2000, progress_bar=False)
        mcmc.run(KEY, Y, extra_fields=("kernel_results.is_accepted",))
        assert set(mcmc.get_samples()) == {"mu", "double"}
        assert_posterior(mcmc.get_samples(group_by_chain=True)["mu"])
        assert 0.2 < mcmc.get_extra_fields()["kernel_results.is_accepted"].mean() < 0.9


def test_chains_go_on_and_take_new_data_in(stand_in):
    kernel = tfp_mcmc.RandomWalkMetropolis(model, step_size=0.8)
    mcmc = MCMC(kernel, num_warmup=10, num_samples=10, num_chains=2, chain_method="vectorized", progress_bar=False)
    mcmc.run(KEY, Y)
    mcmc.post_warmup_state = mcmc.last_state
    mcmc.run(KEY, Y + 100)
    kept = mcmc.last_state.kernel_results.accepted_results.target_log_prob
    mu = mcmc.last_state.z["mu"]
    expected = dist.Normal(0, 1).log_prob(mu) + dist.Normal(mu[:, None], 1).log_prob(Y + 100).sum(-1)
    np.testing.assert_allclose(kept, expected, rtol=1e-4)


def test_bad_starts_and_arguments_are_refused(stand_in):
    kernel = tfp_mcmc.RandomWalkMetropolis(model, step_size=0.8)
    with pytest.raises(RuntimeError, match=r"(?s)none of 100 candidates.*'y'.*1 NaN"):
        MCMC(kernel, num_warmup=1, num_samples=1, progress_bar=False).run(KEY, np.array([1.0, np.nan]))
    with pytest.raises(TypeError, match="stepsize"):
        tfp_mcmc.RandomWalkMetropolis(model, stepsize=0.8)
    with pytest.raises(TypeError, match="leave out `target_log_prob_fn`"):
        tfp_mcmc.RandomWalkMetropolis(model, target_log_prob_fn=lambda z: z)
    with pytest.raises(TypeError, match="no kernel by itself"):
        tfp_mcmc.TFPKernel(model)
    with pytest.raises(TypeError, match="takes a class of transition kernels"):
        tfp_mcmc.TFPKernel["NoUTurnSampler"]


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, NAME, None)
    with pytest.raises(ImportError, match="pip install tensorflow-probability, or tfp-nightly"):
        tfp_mcmc.NoUTurnSampler(model, step_size=0.1)
    # To look at a class is no error.
    assert tfp_mcmc.NoUTurnSampler.kernel_class.__name__ == "NoUTurnSampler"


def make_kernels(tfp):
    walk = {"new_state_fn": tfp.random_walk_normal_fn(scale=0.8)}
    langevin, hamiltonian = {"step_size": 0.3}, {"step_size": 0.4, "num_leapfrog_steps": 3}
    inner = lambda f: tfp.HamiltonianMonteCarlo(f, step_size=jnp.array([[0.4], [0.6]]), num_leapfrog_steps=3)
    return [
        tfp_mcmc.HamiltonianMonteCarlo(model, **hamiltonian),
        tfp_mcmc.NoUTurnSampler(model, step_size=0.4),
        tfp_mcmc.RandomWalkMetropolis(model, **walk),
        tfp_mcmc.MetropolisAdjustedLangevinAlgorithm(model, **langevin),
        tfp_mcmc.SliceSampler(model, step_size=1.0, max_doublings=4),
        tfp_mcmc.UncalibratedHamiltonianMonteCarlo(model, **hamiltonian),
        tfp_mcmc.UncalibratedLangevin(model, **langevin),
        tfp_mcmc.UncalibratedRandomWalk(model, **walk),
        tfp_mcmc.ReplicaExchangeMC(model, inverse_temperatures=jnp.array([1.0, 0.5]), make_kernel_fn=inner),
    ]


@pytest.mark.parametrize("name", sorted(set(tfp_mcmc.__all__) - {"TFPKernel", "TFPKernelState"}))
def test_a_kernel_says_what_it_takes_and_where_it_comes_from(name):
    text = getattr(tfp_mcmc, name).__doc__
    assert "**Source:**" in text and ":class:`TFPKernel`" in text
    named = set(re.findall(r":param (\w+):", text))
    assert named
    try:
        theirs = importlib.import_module(NAME)
    except (ImportError, AttributeError):
        return
    assert named <= set(inspect.signature(getattr(theirs, name)).parameters)


@pytest.mark.slow
def test_the_example_runs():
    try:
        importlib.import_module(NAME)
    except (ImportError, AttributeError):
        pytest.skip("no TensorFlow Probability that works with this JAX")
    block = tfp_mcmc.__doc__.partition("::\n\n")[2].partition("\n\n``TFPKernel")[0]
    names: dict = {}
    exec(textwrap.dedent(block), names)
    assert abs(float(names["mcmc"].get_samples()["mu"].mean()) - 2) < 0.3


@pytest.mark.slow
@pytest.mark.parametrize("number", range(9))
def test_the_kernels_of_the_package_sample_the_posterior(number):
    try:
        tfp = importlib.import_module(NAME)
    except (ImportError, AttributeError):
        pytest.skip("no TensorFlow Probability that works with this JAX")
    mcmc = MCMC(
        make_kernels(tfp)[number],
        num_warmup=200,
        num_samples=2000,
        num_chains=2,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(KEY, Y)
    assert_posterior(mcmc.get_samples(group_by_chain=True)["mu"])

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The interface that runs chains."""

from __future__ import annotations

import logging
import pickle
import signal
from typing import Any, NamedTuple
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from precision import double_precision
import pytest
from scipy import stats

import numpyro
import numpyro.distributions as dist
from numpyro.infer import HMC, MCMC, NUTS, init_to_sample, init_to_uniform
from numpyro.infer.mcmc import MCMCKernel
from numpyro.infer.progress import ProgressBar

KEY = jax.random.PRNGKey(0)
Y = np.array([1.0, 2.0, 0.5])


def model(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 3.0))
    tau = numpyro.sample("tau", dist.HalfNormal(2.0))
    numpyro.deterministic("double", 2 * mu)
    numpyro.sample("y", dist.Normal(mu, tau), obs=y)


def make(kernel=None, **settings):
    settings = {"num_warmup": 40, "num_samples": 30, "progress_bar": False} | settings
    return MCMC(NUTS(model) if kernel is None else kernel, **settings)


def assert_same(a: Any, b: Any, **tolerance: float) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: assert_allclose(x, y, **tolerance), a, b)


@pytest.fixture(scope="module")
def kernel():
    """One kernel, so that its compiled programs are shared."""
    return NUTS(model)


# Shapes


@pytest.mark.parametrize("num_chains, method", [(1, "sequential"), (2, "sequential"), (3, "vectorized")])
def test_draws_stand_chain_by_chain(kernel, num_chains, method):
    mcmc = make(kernel, num_chains=num_chains, chain_method=method)
    mcmc.run(KEY, Y, extra_fields=("num_steps", "adapt_state.step_size", "adapt_state.inverse_mass_matrix"))
    flat, grouped = mcmc.get_samples(), mcmc.get_samples(group_by_chain=True)
    assert set(flat) == {"mu", "tau", "double"}
    for name in flat:
        assert flat[name].shape == (num_chains * 30,)
        assert grouped[name].shape == (num_chains, 30)
        assert_array_equal(np.ravel(grouped[name]), flat[name])
    extra, grouped = mcmc.get_extra_fields(), mcmc.get_extra_fields(group_by_chain=True)
    assert set(extra) == {"diverging", "num_steps", "adapt_state.step_size", "adapt_state.inverse_mass_matrix"}
    assert extra["adapt_state.inverse_mass_matrix"][("mu", "tau")].shape == (num_chains * 30, 2)
    assert grouped["num_steps"].shape == (num_chains, 30) and grouped["num_steps"].dtype == jnp.int32
    assert len(np.unique(np.round(grouped["adapt_state.step_size"], 6))) == num_chains
    assert mcmc.last_state.z["mu"].shape == ((num_chains,) if num_chains > 1 else ())


@pytest.mark.parametrize("thinning, num_samples, kept", [(1, 5, [1, 2, 3, 4, 5]), (3, 10, [4, 7, 10]), (4, 8, [4, 8])])
def test_thinning_keeps_the_last_of_so_many_draws(kernel, thinning, num_samples, kept):
    mcmc = make(kernel, num_samples=num_samples, thinning=thinning)
    mcmc.run(KEY, Y, extra_fields=("i",))
    assert_array_equal(mcmc.get_extra_fields()["i"], 40 + np.array(kept))
    whole = make(kernel, num_samples=num_samples)
    whole.run(KEY, Y)
    assert_allclose(mcmc.get_samples()["mu"], whole.get_samples()["mu"][np.array(kept) - 1], rtol=1e-5)


def test_sites_can_be_left_out_or_collected_as_the_kernel_holds_them(kernel):
    mcmc = make(kernel)
    mcmc.run(KEY, Y, extra_fields=("z.tau", "~z.mu", "~z.double", "potential_energy"))
    assert set(mcmc.get_samples()) == {"tau"}
    extra = mcmc.get_extra_fields()
    assert set(extra) == {"z.tau", "diverging", "potential_energy"}
    assert_allclose(np.exp(extra["z.tau"]), mcmc.get_samples()["tau"], rtol=1e-5)


@pytest.mark.parametrize(
    "fields, message",
    [
        (("nonsense",), "names 'nonsense', which is no field .* Its fields are i, z,"),
        (("adapt_state.size",), "Its fields are step_size"),
        (("z.nu",), "latent site 'nu'.* The latent sites are mu, tau"),
        (("~z.nu",), "leaves out the site 'nu'"),
        (("~mu",), "write '~z.NAME'"),
    ],
)
def test_unknown_fields_are_refused(kernel, fields, message):
    with pytest.raises(ValueError, match=message):
        make(kernel).run(KEY, Y, extra_fields=fields)


def test_postprocess_fn_takes_the_place_of_the_kernels_own(kernel):
    mcmc = make(kernel, postprocess_fn=lambda z: {"half": z["mu"] / 2})
    mcmc.run(KEY, Y, extra_fields=("z.mu",))
    assert set(mcmc.get_samples()) == {"half"}
    assert_allclose(mcmc.get_samples()["half"], mcmc.get_extra_fields()["z.mu"] / 2)


def test_the_summary_leaves_deterministic_sites_out_unless_asked(kernel, capsys):
    mcmc = make(kernel, num_chains=2, chain_method="vectorized")
    mcmc.run(KEY, Y)
    mcmc.print_summary()
    out = capsys.readouterr().out
    assert "mu" in out and "tau" in out and "double" not in out
    assert "Number of divergences: " in out
    mcmc.print_summary(prob=0.5, exclude_deterministic=False)
    out = capsys.readouterr().out
    assert "double" in out and "25.0%" in out


# The same chains by every method


METHODS = ["sequential", "vectorized", "parallel", jax.vmap]


@pytest.mark.parametrize("num_warmup", [0, 6])
def test_all_methods_draw_the_same_chains(num_warmup):
    """The methods differ in rounding, which chaos makes visible; not in a short run in double precision."""
    if jax.local_device_count() < 2:
        pytest.skip("needs two devices")
    results = []
    with double_precision():
        kernel = NUTS(model, step_size=0.3)
        for method in METHODS:
            mcmc = make(kernel, num_warmup=num_warmup, num_samples=5, num_chains=2, chain_method=method)
            mcmc.run(KEY, Y.astype(np.float64), extra_fields=("num_steps",))
            results.append((mcmc.get_samples(group_by_chain=True), mcmc.get_extra_fields(group_by_chain=True)))
            assert mcmc.last_state.i.shape == (2,)
        assert not np.allclose(results[0][0]["mu"][0], results[0][0]["mu"][1])
        for other in results[1:]:
            assert_same(other, results[0], rtol=1e-8)


@pytest.mark.parametrize("make_kernel", [NUTS, lambda m, **kw: HMC(m, num_steps=4, trajectory_length=None, **kw)])
def test_chains_that_wait_for_others_draw_what_they_would_alone(monkeypatch, make_kernel):
    """Of many chains those that have come to an end wait; gradients with sums over groups are computed one by one."""
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    group, y = np.array([0, 2, 1, 0, 2, 2]), np.linspace(-1.0, 2.0, 6)

    def grouped(group, y):
        spread = numpyro.sample("spread", dist.LogNormal(0.0, 1.0))
        effect = numpyro.sample("effect", dist.Normal(0.0, spread).expand([3]).to_event(1))
        numpyro.sample("y", dist.Normal(effect[group], 0.5), obs=y)

    results = {}
    with double_precision():
        kernel = make_kernel(grouped, step_size=0.3)
        for method in ("sequential", "vectorized"):
            mcmc = make(kernel, num_warmup=6, num_samples=5, num_chains=8, chain_method=method)
            mcmc.run(KEY, group, y, extra_fields=("num_steps",))
            results[method] = mcmc.get_samples(group_by_chain=True), mcmc.get_extra_fields(group_by_chain=True)
    steps = results["vectorized"][1]["num_steps"]
    assert make_kernel is not NUTS or len(np.unique(steps.sum(1))) > 3, "trees of one size do not wait"
    assert_same(results["vectorized"], results["sequential"], rtol=1e-8)


def test_the_search_for_a_step_size_is_the_same_for_one_chain_and_for_many():
    kernel, results = NUTS(model, find_heuristic_step_size=True, step_size=1e-3), []
    for method in ("sequential", "vectorized"):
        mcmc = make(kernel, num_warmup=20, num_chains=2, chain_method=method)
        mcmc.warmup(KEY, Y, collect_warmup=True, extra_fields=("adapt_state.step_size", "num_steps"))
        results.append(mcmc.get_samples(group_by_chain=True) | mcmc.get_extra_fields(group_by_chain=True))
    assert np.max(results[0]["num_steps"][:, 0]) < 100
    for name in results[0]:
        assert_allclose(results[0][name][:, :6], results[1][name][:, :6], rtol=2e-2, atol=2e-3, err_msg=name)


def test_parallel_chains_stand_on_devices_of_their_own(kernel):
    if jax.local_device_count() < 2:
        pytest.skip("needs two devices")
    mcmc = make(kernel, num_chains=2, chain_method="parallel")
    mcmc.run(KEY, Y)
    sequential = make(kernel, num_chains=2, chain_method="sequential")
    sequential.run(KEY, Y)
    assert len(mcmc.last_state.i.devices()) == 2
    assert mcmc.get_samples(group_by_chain=True)["mu"].shape == (2, 30)
    assert_allclose(mcmc.get_samples()["mu"].std(), sequential.get_samples()["mu"].std(), rtol=0.8)


@pytest.mark.parametrize("make_key", [jax.random.PRNGKey, jax.random.key])
def test_a_key_for_each_chain(kernel, make_key):
    """Chain number n of a batch of keys is chain number n of a run with the n-th key."""
    keys = jnp.stack([make_key(3), make_key(5)])
    draws = []
    for method in ("sequential", "vectorized"):
        mcmc = make(kernel, num_samples=4, num_warmup=0, num_chains=2, chain_method=method)
        mcmc.run(keys, Y)
        draws.append(mcmc.get_samples(group_by_chain=True)["mu"])
    assert_allclose(draws[0], draws[1], rtol=1e-3)
    alone = make(kernel, num_samples=4, num_warmup=0)
    alone.run(make_key(3), Y)
    assert_allclose(draws[0][0], alone.get_samples()["mu"], rtol=1e-5)
    with pytest.raises(ValueError, match="one for each of the 3 chains, but there are 2"):
        make(kernel, num_chains=3, chain_method="vectorized").run(keys, Y)


def test_runs_are_reproducible_and_keys_matter(kernel):
    runs = []
    for seed in (0, 0, 1):
        mcmc = make(kernel)
        mcmc.run(jax.random.PRNGKey(seed), Y)
        runs.append(np.asarray(mcmc.get_samples()["mu"]))
    assert_array_equal(runs[0], runs[1])
    assert not np.allclose(runs[0], runs[2])


# Starting


@pytest.mark.parametrize("method", ["sequential", "vectorized"])
def test_chains_start_at_init_params(method):
    kernel = HMC(model, step_size=1e-6, adapt_step_size=False, num_steps=1, trajectory_length=None)
    start = {"mu": np.array([-1.0, 4.0]), "tau": np.array([0.1, 1.0])}
    mcmc = make(kernel, num_warmup=0, num_samples=1, num_chains=2, chain_method=method)
    mcmc.run(KEY, Y, init_params=start)
    assert_allclose(mcmc.get_samples()["mu"], start["mu"], atol=1e-4)
    assert_allclose(mcmc.get_samples()["tau"], np.exp(start["tau"]), rtol=1e-4)


@pytest.mark.parametrize(
    "strategy, expected",
    [(init_to_uniform(radius=0.5), stats.uniform(-0.5, 1)), (init_to_sample(), stats.norm(0, 3))],
    ids=["uniform", "sample"],
)
def test_each_chain_has_a_start_of_its_own(strategy, expected):
    still = {"step_size": 1e-6, "adapt_step_size": False, "num_steps": 1, "trajectory_length": None}
    kernel, starts = HMC(model, init_strategy=strategy, **still), []
    for method in ("sequential", "vectorized"):
        mcmc = make(kernel, num_warmup=0, num_samples=1, num_chains=40, chain_method=method)
        mcmc.run(KEY, Y, extra_fields=("z.mu", "z.tau"))
        starts.append(mcmc.get_extra_fields())
    assert_allclose(starts[0]["z.mu"], starts[1]["z.mu"], atol=1e-5)
    assert stats.kstest(starts[0]["z.mu"], expected.cdf).pvalue > 1e-3
    assert abs(np.corrcoef(starts[0]["z.mu"], starts[0]["z.tau"])[0, 1]) < 0.5


def test_init_params_of_the_wrong_shape_are_refused(kernel):
    with pytest.raises(ValueError, match=r"must look like the unconstrained parameters.*'mu': \(\)"):
        make(kernel).run(KEY, Y, init_params={"mu": np.zeros(2), "tau": np.zeros(())})
    with pytest.raises(ValueError, match="must look like the unconstrained parameters"):
        make(kernel).run(KEY, Y, init_params={"mu": np.zeros(())})
    with pytest.raises(ValueError, match="leading axis over the 2 chains"):
        make(kernel, num_chains=2, chain_method="vectorized").run(
            KEY, Y, init_params={"mu": np.zeros(3), "tau": np.zeros(3)}
        )


def test_a_potential_energy_needs_init_params():
    with pytest.raises(ValueError, match="`init_params` must be provided with `potential_fn`"):
        make(NUTS(potential_fn=lambda z: z**2)).run(KEY)


def test_missing_data_are_named_with_their_site(kernel):
    with pytest.raises(RuntimeError, match=r"(?s)Cannot find valid initial parameters.*'y'.*1 NaN"):
        make(kernel).run(KEY, np.array([1.0, np.nan, 2.0]))


def test_an_impossible_observation_is_named_with_its_site():
    def impossible():
        rate = numpyro.sample("rate", dist.HalfNormal(1.0))
        numpyro.sample("wait", dist.Gamma(2.0, rate), obs=np.array([1.0, -3.0]))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError, match=r"(?s)none of 100 candidates.*'wait'"):
            make(NUTS(impossible)).run(KEY)


@pytest.mark.parametrize("method", ["sequential", "vectorized"])
def test_an_impossible_start_is_refused(kernel, method):
    start = {"mu": np.array([0.0, np.inf]), "tau": np.zeros(2)}
    with pytest.raises(RuntimeError, match=r"(?s)`init_params` is no point.*'(mu|y)'"):
        make(kernel, num_chains=2, chain_method=method).run(KEY, Y, init_params=start)


def test_a_model_without_latent_sites_is_refused():
    with pytest.raises(ValueError, match="no latent site"):
        make(NUTS(lambda: numpyro.sample("y", dist.Normal(0.0, 1.0), obs=0.5))).run(KEY)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"num_warmup": -1}, "num_warmup must be a non-negative integer"),
        ({"num_warmup": 1.5}, "num_warmup must be a non-negative integer"),
        ({"num_samples": 0}, "num_samples must be a positive integer"),
        ({"num_samples": 5, "thinning": 6}, "num_samples must be a positive integer and at least thinning"),
        ({"thinning": 0}, "thinning must be a positive integer"),
        ({"num_chains": 0}, "num_chains must be a positive integer"),
        ({"progress_rate": 0}, "progress_rate must be a positive integer"),
        ({"chain_method": "serial"}, "chain_method is 'serial'"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)


def test_a_seed_is_no_key(kernel):
    with pytest.raises(TypeError, match=r"`rng_key` must be a random key, but it is 0"):
        make(kernel).run(0, Y)


def test_there_are_no_draws_before_a_run(kernel):
    for ask in (MCMC.get_samples, MCMC.get_extra_fields, MCMC.print_summary):
        with pytest.raises(RuntimeError, match="there are no draws yet"):
            ask(make(kernel))


# Continuing


@pytest.mark.parametrize("num_chains", [1, 2])
def test_a_run_goes_on_from_the_warmup(kernel, num_chains):
    mcmc = make(kernel, num_chains=num_chains, chain_method="vectorized")
    mcmc.warmup(KEY, Y, collect_warmup=True, extra_fields=("i", "accept_prob"))
    collected = mcmc.get_extra_fields(group_by_chain=True)
    assert_array_equal(collected["i"], np.tile(np.arange(1, 41), (num_chains, 1)))
    assert mcmc.get_samples()["mu"].shape == (40 * num_chains,)
    step_size = np.asarray(mcmc.post_warmup_state.adapt_state.step_size)

    mcmc.run(jax.random.PRNGKey(1), Y, extra_fields=("i", "adapt_state.step_size"))
    extra = mcmc.get_extra_fields(group_by_chain=True)
    assert_array_equal(extra["i"], np.tile(np.arange(41, 71), (num_chains, 1)))
    assert_allclose(extra["adapt_state.step_size"][..., -1].squeeze(), step_size)
    first = np.asarray(mcmc.get_samples()["mu"])
    mcmc.run(jax.random.PRNGKey(1), Y)
    assert_allclose(mcmc.get_samples()["mu"], first)


def test_a_warmup_that_is_not_collected_leaves_no_draws(kernel):
    mcmc = make(kernel)
    mcmc.warmup(KEY, Y)
    with pytest.raises(RuntimeError, match="no draws yet"):
        mcmc.get_samples()
    assert int(mcmc.last_state.i) == 40


def test_an_empty_warmup_finds_the_start(kernel):
    mcmc = make(kernel, num_warmup=0)
    mcmc.warmup(KEY, Y)
    assert np.isfinite(mcmc.last_state.potential_energy)
    mcmc.run(KEY, Y)
    assert np.std(mcmc.get_samples()["mu"]) > 0


@pytest.mark.parametrize("num_chains, method", [(1, "sequential"), (2, "sequential"), (2, "vectorized")])
def test_drawing_goes_on_from_the_last_state(kernel, num_chains, method):
    mcmc = make(kernel, num_chains=num_chains, chain_method=method)
    mcmc.run(KEY, Y)
    mcmc.post_warmup_state = mcmc.last_state
    before = mcmc.last_state
    mcmc.run(mcmc.post_warmup_state.rng_key, Y, extra_fields=("i",))
    assert_array_equal(mcmc.get_extra_fields(group_by_chain=True)["i"][0], np.arange(71, 101))
    assert_allclose(mcmc.last_state.adapt_state.step_size, before.adapt_state.step_size)
    assert not np.allclose(mcmc.last_state.z["mu"], before.z["mu"])


def test_a_resumed_chain_takes_new_data_in(kernel):
    mcmc = make(HMC(model, step_size=1e-6, adapt_step_size=False, num_steps=1, trajectory_length=None), num_samples=1)
    mcmc.run(KEY, Y)
    mcmc.post_warmup_state = state = mcmc.last_state
    mcmc.run(KEY, Y + 1, extra_fields=("potential_energy",))
    mu, tau = float(state.z["mu"]), float(np.exp(state.z["tau"]))
    difference = (stats.norm.logpdf(Y, mu, tau) - stats.norm.logpdf(Y + 1, mu, tau)).sum()
    assert_allclose(mcmc.get_extra_fields()["potential_energy"], state.potential_energy + difference, rtol=1e-3)


def test_a_state_of_another_sampler_is_refused(kernel):
    other = make(NUTS(model, dense_mass=True), num_warmup=0, num_samples=1)
    other.run(KEY, Y)
    mcmc = make(kernel)
    mcmc.post_warmup_state = other.last_state
    with pytest.raises(ValueError, match="`post_warmup_state` does not belong to this sampler"):
        mcmc.run(KEY, Y)


# Compiling


class Compilations(logging.Handler):
    """Names of the programs that JAX compiles."""

    def __init__(self):
        super().__init__()
        self.names = []

    def emit(self, record):
        message = record.getMessage()
        if message.startswith("Compiling"):
            self.names.append(message.split(" with")[0])

    def __enter__(self):
        logger = logging.getLogger("jax")
        self._state = logger.propagate, logger.handlers[:]
        logger.handlers[:], logger.propagate = [self], False
        self._context = jax.log_compiles(True)
        self._context.__enter__()
        return self

    def __exit__(self, *error):
        self._context.__exit__(*error)
        logger = logging.getLogger("jax")
        logger.propagate, logger.handlers[:] = self._state


@pytest.mark.parametrize("num_chains, method", [(1, "sequential"), (2, "vectorized"), (2, "parallel")])
def test_a_second_run_traces_and_compiles_nothing(num_chains, method):
    if jax.local_device_count() < num_chains and method == "parallel":
        pytest.skip("needs two devices")
    traces = []

    def counted(x, y):
        traces.append(1)
        with numpyro.plate("data", len(x)):
            mu = numpyro.sample("mu", dist.Normal(x, 3.0))
            numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    mcmc = make(NUTS(counted), num_chains=num_chains, chain_method=method, progress_rate=7)
    x, key, other_key = np.arange(3.0), jax.random.PRNGKey(0), jax.random.PRNGKey(1)
    with Compilations() as compilations:
        mcmc.run(key, x, Y)
    assert len(compilations.names) == 2, compilations.names
    assert 1 <= len(traces) <= 2
    traces.clear()
    with Compilations() as compilations:
        mcmc.run(other_key, x + 1, Y + 1)
    assert compilations.names == []
    assert traces == []
    assert np.mean(mcmc.get_samples()["mu"]) == pytest.approx(np.mean(0.9 * (Y + 1) + 0.1 * (x + 1)), abs=0.6)


def test_warmup_and_run_share_a_program():
    mcmc = make()
    mcmc.warmup(KEY, Y)
    mcmc.post_warmup_state = mcmc.last_state
    key = jax.random.PRNGKey(1)
    with Compilations() as compilations:
        mcmc.run(key, Y)
    assert [name for name in compilations.names if "finish" not in name] == []


def test_a_model_that_looks_at_its_data_is_compiled_with_them():
    def looks(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0) if y.mean() < 10 else dist.Normal(100.0, 1.0))
        numpyro.sample("y", dist.Normal(mu, 10.0), obs=y)

    mcmc = make(NUTS(looks))
    mcmc.run(KEY, np.array([1.0]))
    assert abs(np.mean(mcmc.get_samples()["mu"])) < 2
    mcmc.run(KEY, np.array([100.0]))
    assert abs(np.mean(mcmc.get_samples()["mu"]) - 100) < 2


def test_double_precision():
    with double_precision():
        mcmc = make(NUTS(potential_fn=lambda z: 0.5 * jnp.sum(z**2)), num_samples=300)
        mcmc.run(jax.random.PRNGKey(0), init_params=jnp.zeros(2))
        draws = mcmc.get_samples()
        assert draws.dtype == jnp.float64
        assert mcmc.last_state.adapt_state.step_size.dtype == jnp.float64
        assert abs(np.std(draws) - 1) < 0.25


# Keeping


def test_runs_can_be_pickled(kernel):
    mcmc = make(kernel)
    mcmc.run(KEY, Y, extra_fields=("num_steps",))
    restored = pickle.loads(pickle.dumps(mcmc))
    assert_same(restored.get_samples(), mcmc.get_samples())
    assert_same(restored.get_extra_fields(), mcmc.get_extra_fields())
    restored.post_warmup_state = restored.last_state
    restored.run(KEY, Y, extra_fields=("i",))
    assert restored.get_extra_fields()["i"][0] == 71


def test_draws_move_to_the_host(kernel):
    mcmc = make(kernel, num_chains=2, chain_method="vectorized")
    mcmc.run(KEY, Y)
    before = mcmc.get_samples(group_by_chain=True)
    mcmc.transfer_states_to_host()
    after = mcmc.get_samples(group_by_chain=True)
    assert all(isinstance(x, np.ndarray) for x in jax.tree.leaves((after, mcmc.get_samples())))
    assert_same(after, before)


# Progress and interrupts


class Recorder(ProgressBar):
    """A progress bar that keeps what it is told, and may call something."""

    calls: list[tuple[int, str]]
    then = staticmethod(lambda done: None)

    def update(self, chains, done, messages=()):
        self.calls.append((done, messages[0] if messages else ""))
        super().update(chains, done, messages)
        self.then(done)


@pytest.fixture
def recorder(monkeypatch):
    class Fresh(Recorder):
        calls = []

    monkeypatch.setattr("numpyro.infer.driver.ProgressBar", Fresh)
    return Fresh


@pytest.mark.parametrize("num_chains, method", [(1, "sequential"), (2, "sequential"), (2, "vectorized")])
def test_progress_is_shown_and_changes_nothing(kernel, recorder, capsys, num_chains, method):
    settings = {"num_chains": num_chains, "chain_method": method}
    shown = make(kernel, progress_bar=True, progress_rate=20, **settings)
    shown.run(KEY, Y)
    groups = num_chains if method == "sequential" else 1
    assert [done for done, _ in recorder.calls] == [20, 40, 60, 70] * groups
    assert "steps of size" in recorder.calls[-1][1] and "divergences" in recorder.calls[-1][1]
    err = capsys.readouterr().err
    assert "warmup" in err and "sample" in err and "70/70" in err
    hidden = make(kernel, **settings)
    hidden.run(KEY, Y)
    assert capsys.readouterr().err == ""
    assert_same(shown.get_samples(), hidden.get_samples(), rtol=1e-5)


def test_parallel_chains_have_a_line_each(kernel, capsys):
    if jax.local_device_count() < 2:
        pytest.skip("needs two devices")
    make(kernel, num_chains=2, chain_method="parallel", progress_bar=True).run(KEY, Y)
    err = capsys.readouterr().err
    assert "chain 0: sample" in err and "chain 1: sample" in err


def interrupt():
    signal.raise_signal(signal.SIGINT)


def throw():
    raise KeyboardInterrupt


@pytest.fixture(params=[interrupt, throw])
def how(request):
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield request.param
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, previous)


@pytest.mark.parametrize("num_chains", [1, 2])
def test_an_interrupt_keeps_the_draws_that_there_are(kernel, recorder, how, num_chains):
    recorder.then = staticmethod(lambda done: how() if done == 60 else None)
    mcmc = make(kernel, progress_rate=10, num_chains=num_chains, chain_method="vectorized")
    with pytest.warns(UserWarning, match="the 20 draws that are complete are kept"):
        mcmc.run(KEY, Y, extra_fields=("i",))
    assert mcmc.get_samples()["mu"].shape == (20 * num_chains,)
    assert_array_equal(mcmc.get_extra_fields(group_by_chain=True)["i"][-1], np.arange(41, 61))
    whole = make(kernel, num_chains=num_chains, chain_method="vectorized")
    whole.run(KEY, Y)
    expected = whole.get_samples(group_by_chain=True)["mu"][:, :20]
    assert_allclose(mcmc.get_samples(group_by_chain=True)["mu"], expected, rtol=1e-5)


def test_an_interrupt_between_chains_keeps_the_complete_ones(kernel, recorder, how):
    recorder.then = staticmethod(lambda done: how() if len(recorder.calls) == 19 else None)
    mcmc = make(kernel, progress_rate=10, num_chains=4, chain_method="sequential")
    with pytest.warns(UserWarning, match=r"the draws of 2 chain\(s\)"):
        mcmc.run(KEY, Y)
    assert mcmc.get_samples(group_by_chain=True)["mu"].shape == (2, 30)
    assert mcmc.last_state.i.shape == (2,)


def test_an_interrupt_during_warmup_is_passed_on(kernel, recorder, how):
    recorder.then = staticmethod(lambda done: how() if done == 20 else None)
    mcmc = make(kernel, progress_rate=10)
    with pytest.raises(KeyboardInterrupt):
        mcmc.run(KEY, Y)
    with pytest.raises(RuntimeError, match="no draws yet"):
        mcmc.get_samples()


def test_a_second_interrupt_is_not_held_back(kernel, recorder):
    def twice(done):
        if done == 50:
            interrupt()
            with pytest.raises(KeyboardInterrupt):
                interrupt()

    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    recorder.then = staticmethod(twice)
    with pytest.warns(UserWarning, match="the 10 draws"):
        make(kernel, progress_rate=10).run(KEY, Y)
    signal.signal(signal.SIGINT, previous)


# Kernels that users write


class WalkState(NamedTuple):
    x: Any
    accepted: Any
    rng_key: Any


class RandomWalk(MCMCKernel):
    """Metropolis's algorithm for Normal(loc, 1), the data being ``loc``."""

    sample_field = "x"

    def __init__(self, is_pure=False):
        self.is_pure = is_pure
        self.starts = []

    @property
    def default_fields(self):
        return ("x", "accepted")

    def init(self, rng_key, num_warmup, init_params, model_args, model_kwargs):
        self.starts.append((num_warmup, np.shape(init_params), len(model_args), tuple(model_kwargs)))
        return WalkState(init_params, False, rng_key)

    def sample(self, state, model_args, model_kwargs):
        (loc,) = model_args
        rng_key, step_key, accept_key = jax.random.split(state.rng_key, 3)
        y = state.x + 2 * jax.random.normal(step_key)
        accept = jnp.log(jax.random.uniform(accept_key)) < 0.5 * ((state.x - loc) ** 2 - (y - loc) ** 2)
        return WalkState(jnp.where(accept, y, state.x), accept, rng_key)

    def postprocess_fn(self, model_args, model_kwargs):
        return lambda x: {"x": x, "centred": x - model_args[0]}

    def get_diagnostics_str(self, state):
        return f"at {float(state.x):.1f}"


@pytest.mark.parametrize("is_pure", [False, True])
@pytest.mark.parametrize("method", [None, *METHODS])
def test_a_kernel_needs_init_and_sample_only(method, is_pure):
    if method == "parallel" and jax.local_device_count() < 2:
        pytest.skip("needs two devices")
    chains = 1 if method is None else 2
    kernel = RandomWalk(is_pure)
    mcmc = make(kernel, num_samples=2000, num_chains=chains, chain_method=method or "sequential")
    start = 0.0 if method is None else np.zeros(2)
    mcmc.run(KEY, np.float32(3.0), init_params=start, mode="plain")
    assert kernel.starts[0] == (40, (), 1, ("mode",))
    x = np.asarray(mcmc.get_samples()["x"])
    assert x.shape == (2000 * chains,)
    assert_allclose(x.mean(), 3.0, atol=0.3)
    assert_allclose(x.std(), 1.0, atol=0.2)
    assert_allclose(mcmc.get_samples()["centred"], x - 3, atol=1e-5)
    accepted = np.asarray(mcmc.get_extra_fields(group_by_chain=True)["accepted"])
    moves = np.diff(mcmc.get_samples(group_by_chain=True)["x"], axis=1) != 0
    assert_array_equal(accepted[:, 1:], moves)


def test_a_kernel_of_the_users_goes_on_thins_and_shows_progress(recorder):
    mcmc = make(RandomWalk(), num_samples=10, thinning=5, progress_bar=True, progress_rate=30)
    mcmc.warmup(KEY, np.float32(0.0), init_params=jnp.array(1.0))
    last = mcmc.last_state.x
    assert recorder.calls == [(30, recorder.calls[0][1]), (40, f"at {float(last):.1f}")]
    mcmc.run(jax.random.PRNGKey(1), np.float32(0.0))
    assert mcmc.get_samples()["x"].shape == (2,)
    assert mcmc.get_samples()["x"][-1] == mcmc.last_state.x


def test_an_interrupt_keeps_the_draws_of_a_users_kernel(recorder, how):
    recorder.then = staticmethod(lambda done: how() if done == 60 else None)
    mcmc = make(RandomWalk(), progress_rate=10)
    with pytest.warns(UserWarning, match="the 20 draws"):
        mcmc.run(KEY, np.float32(0.0), init_params=jnp.array(1.0))
    assert mcmc.get_samples()["x"].shape == (20,)


def test_a_pure_kernel_compiles_once_for_data_of_a_shape():
    mcmc = make(RandomWalk(is_pure=True))
    start, other = jnp.array(1.0), jax.random.PRNGKey(1)
    mcmc.run(KEY, np.float32(0.0), init_params=start)
    with Compilations() as compilations:
        mcmc.run(other, np.float32(5.0), init_params=start)
    assert compilations.names == []
    assert float(mcmc.get_samples()["x"].mean()) > 2


class Ensemble(MCMCKernel):
    """Independent draws for all chains at once."""

    sample_field = "x"
    is_ensemble_kernel = True

    def init(self, rng_key, num_warmup, init_params, model_args, model_kwargs):
        assert rng_key.shape[0] == 3
        return WalkState(jnp.zeros(3), jnp.array(0), rng_key)

    def sample(self, state, model_args, model_kwargs):
        keys = jax.vmap(jax.random.split)(state.rng_key)
        return WalkState(jax.vmap(jax.random.normal)(keys[:, 0]), state.accepted + 1, keys[:, 1])


def test_an_ensemble_kernel_moves_all_chains_at_once():
    mcmc = make(Ensemble(), num_chains=3, chain_method="vectorized", num_samples=400)
    mcmc.run(KEY, extra_fields=("accepted",))
    x = np.asarray(mcmc.get_samples(group_by_chain=True))
    assert x.shape == (3, 400)
    assert stats.kstest(x.ravel(), stats.norm.cdf).pvalue > 1e-3
    assert_array_equal(mcmc.get_extra_fields(group_by_chain=True)["accepted"], np.tile(np.arange(41, 441), (3, 1)))
    with pytest.raises(ValueError, match="Ensemble moves all chains at once"):
        make(Ensemble(), num_chains=3, chain_method="sequential")


def test_a_kernel_says_what_it_does_not_offer():
    with pytest.raises(NotImplementedError, match="RandomWalk does not implement `refresh`"):
        RandomWalk().refresh(None, (), {})
    with pytest.raises(NotImplementedError, match="RandomWalk does not implement `wrap_model`"):
        RandomWalk().wrap_model(lambda m: m)
    with pytest.raises(TypeError, match="abstract"):
        MCMCKernel()


def test_switching_validation_on_makes_another_program():
    def model():
        numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Uniform(0.0, -1.0), obs=0.5)

    def run():
        MCMC(NUTS(model), num_warmup=1, num_samples=1, progress_bar=False).run(KEY)

    with pytest.raises(RuntimeError, match="Site 'y'"):
        run()
    with numpyro.validation_enabled(), pytest.raises(ValueError, match="Uniform: parameter 'low'"):
        run()

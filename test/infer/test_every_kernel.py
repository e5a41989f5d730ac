# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What the engine promises for every kernel, each on a model with a scan, a plate and constrained sites."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import importlib
import re
import signal
from typing import Any, NamedTuple

from compilations import compilations
import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
import pytest

import numpyro
from numpyro.contrib.control_flow import scan
from numpyro.contrib.tfp import mcmc as tfp_mcmc
import numpyro.distributions as dist
from numpyro.infer import (
    AIES,
    ESS,
    HMC,
    HMCECS,
    MCMC,
    NUTS,
    SA,
    BarkerMH,
    DiscreteHMCGibbs,
    HMCGibbs,
    MixedHMC,
    driver,
)
from numpyro.infer.checkpoint import CheckpointError
from numpyro.infer.gibbs import CustomGibbs, DiscreteGibbs, Gibbs, discrete_latent_sites
from numpyro.infer.kernel import MCMCKernel

KEY, OTHER_KEY = jax.random.PRNGKey(0), jax.random.PRNGKey(1)
SERIES = np.random.default_rng(0).normal(0.5, 0.7, size=(3, 2)).astype(np.float32)
ROWS = np.random.default_rng(1).normal(0.5, 0.7, size=(40, 3)).astype(np.float32)


class Count:
    """A counter without visible state: what a model reads from outside is part of the key of its programs."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0


traced = Count()


def continuous(y):
    """An autoregression for each of two groups."""
    traced.number += 1
    scale = numpyro.sample("scale", dist.LogNormal(-1.0, 0.3))

    def step(carry, y_t):
        with numpyro.plate("groups", 2):
            x = numpyro.sample("x", dist.Normal(0.5 * carry, scale))
            numpyro.sample("y", dist.Normal(x, 0.5), obs=y_t)
        return x, None

    last, _ = scan(step, jnp.zeros(2), y)
    numpyro.deterministic("last", last)


def discrete(y):
    """Two groups that switch between two states."""
    traced.number += 1

    def step(carry, y_t):
        with numpyro.plate("groups", 2):
            k = numpyro.sample("k", dist.Bernoulli(jnp.where(carry == 1, 0.8, 0.3)))
            numpyro.sample("y", dist.Normal(k, 0.5), obs=y_t)
        return k, None

    last, _ = scan(step, jnp.zeros(2, int), y)
    numpyro.deterministic("last", last)


def mixed(y):
    """The same, with an unknown spread and a state for each group."""
    scale = numpyro.sample("scale", dist.LogNormal(-1.0, 0.3))
    with numpyro.plate("groups", 2):
        kind = numpyro.sample("kind", dist.Categorical(np.array([0.2, 0.5, 0.3], np.float32)))
    with numpyro.handlers.scale(scale=1.0):
        discrete((y - 0.1 * kind) / scale)


def subsampled(y):
    """A random walk that is seen in a subsample of rows."""
    traced.number += 1
    scale = numpyro.sample("scale", dist.LogNormal(-1.0, 0.3))

    def step(carry, _):
        x = numpyro.sample("x", dist.Normal(carry, scale))
        return x, x

    last, path = scan(step, 0.0, None, length=3)
    numpyro.deterministic("last", last)
    with numpyro.plate("rows", 40, subsample_size=10):
        numpyro.sample("y", dist.Normal(path, 1.0).to_event(1), obs=numpyro.subsample(y, event_dim=1))


def update_scale(rng_key, gibbs_sites, hmc_sites):
    """Metropolis's algorithm with the prior as proposal leaves something invariant, if not the posterior."""
    return {"scale": dist.LogNormal(-1.0, 0.1 + jnp.abs(hmc_sites["x"]).mean()).sample(rng_key)}


class WalkState(NamedTuple):
    x: Any
    rng_key: Any


class RandomWalk(MCMCKernel):
    """What a user writes: Metropolis's algorithm for a normal distribution whose mean is the data's."""

    sample_field = "x"

    def __init__(self, is_pure):
        self.is_pure = is_pure

    def init(self, rng_key, num_warmup, init_params, model_args, model_kwargs):
        return WalkState(jnp.zeros(2), rng_key)

    def sample(self, state, model_args, model_kwargs):
        traced.number += 1
        rng_key, step_key, accept_key = jax.random.split(state.rng_key, 3)
        x = state.x + jax.random.normal(step_key, (2,))
        centre = model_args[0].mean(0)
        change = jnp.sum((state.x - centre) ** 2 - (x - centre) ** 2) / 2
        accept = jnp.log(jax.random.uniform(accept_key)) < change
        return WalkState(jnp.where(accept, x, state.x), rng_key)

    def postprocess_fn(self, model_args, model_kwargs):
        return lambda x: {"scale": jnp.exp(x[0]), "last": x}

    def get_diagnostics_str(self, state):
        return "walking"


class Case(NamedTuple):
    """A kernel, its data, a field of its state, and how many chains it needs."""

    make: Callable[[], Any]
    data: Any = SERIES
    field: str = "rng_key"
    walkers: int = 1


def tfp(name, field, **settings):
    """A kernel of TFP, if there is one that works with this JAX."""

    def make():
        try:
            package = importlib.import_module("tensorflow_probability.substrates.jax.mcmc")
        except (ImportError, AttributeError):
            pytest.skip("no TensorFlow Probability that works with this JAX")
        given = {key: value(package) if callable(value) else value for key, value in settings.items()}
        return getattr(tfp_mcmc, name)(continuous, **given)

    return Case(make, field=f"kernel_results.{field}")


def aies(**settings):
    return Case(lambda: AIES(continuous, **settings), field="potential_energy", walkers=16)


def ess(**settings):
    return Case(lambda: ESS(continuous, **settings), field="potential_energy", walkers=16)


def proxy(degree):
    reference = {"scale": 0.4, "x": np.full(3, 0.5, np.float32)}
    return lambda: HMCECS(NUTS(subsampled), num_blocks=5, proxy=HMCECS.taylor_proxy(reference, degree))


def composed():
    return Gibbs([(DiscreteGibbs(mixed), discrete_latent_sites), (CustomGibbs(update_mixed), ["scale"])])


def update_mixed(rng_key, gibbs_sites, hmc_sites):
    return {"scale": dist.LogNormal(-1.0, 0.1 + jnp.mean(hmc_sites["k"])).sample(rng_key)}


KERNELS = {
    "BarkerMH": Case(lambda: BarkerMH(continuous), field="accept_prob"),
    "BarkerMH dense": Case(lambda: BarkerMH(continuous, dense_mass=True), field="accept_prob"),
    "SA": Case(lambda: SA(continuous, adapt_state_size=12), field="potential_energy"),
    "SA diagonal": Case(lambda: SA(continuous, adapt_state_size=12, dense_mass=False), field="potential_energy"),
    "AIES": aies(),
    "AIES stretch": aies(moves={AIES.StretchMove(): 1.0}),
    "AIES both": aies(moves={AIES.DEMove(): 0.5, AIES.StretchMove(): 0.5}, randomize_split=True),
    "ESS": ess(),
    "ESS Gaussian": ess(moves={ESS.GaussianMove(): 1.0}),
    "ESS KDE": ess(moves={ESS.KDEMove(): 1.0}),
    "ESS random": ess(moves={ESS.RandomMove(): 1.0}),
    "ESS all": ess(moves={move(): 1.0 for move in (ESS.DifferentialMove, ESS.KDEMove, ESS.RandomMove)}),
    "HMCGibbs": Case(lambda: HMCGibbs(NUTS(continuous), update_scale, ["scale"]), field="hmc_state.num_steps"),
    "DiscreteHMCGibbs": Case(lambda: DiscreteHMCGibbs(NUTS(mixed)), field="hmc_state.num_steps"),
    "DiscreteHMCGibbs modified": Case(
        lambda: DiscreteHMCGibbs(HMC(mixed, trajectory_length=1.0), random_walk=True, modified=True),
        field="hmc_state.num_steps",
    ),
    "MixedHMC": Case(lambda: MixedHMC(HMC(mixed, trajectory_length=1.0)), field="accept_prob"),
    "HMCECS": Case(lambda: HMCECS(NUTS(subsampled)), ROWS, "indices.rows"),
    "HMCECS first degree": Case(proxy(1), ROWS, "accept_prob"),
    "HMCECS second degree": Case(proxy(2), ROWS, "hmc_state.num_steps"),
    "DiscreteGibbs": Case(lambda: DiscreteGibbs(discrete), field="potential_energy"),
    "Gibbs": Case(composed, field="block_states.0.potential_energy"),
    "a user's": Case(lambda: RandomWalk(True)),
    "a user's that is not pure": Case(lambda: RandomWalk(False)),
    "tfp HMC": tfp("HamiltonianMonteCarlo", "is_accepted", step_size=0.1, num_leapfrog_steps=3),
    "tfp NUTS": tfp("NoUTurnSampler", "is_accepted", step_size=0.1),
    "tfp MALA": tfp("MetropolisAdjustedLangevinAlgorithm", "is_accepted", step_size=0.1),
    "tfp random walk": tfp("RandomWalkMetropolis", "accepted_results.target_log_prob"),
    "tfp slice": tfp("SliceSampler", "target_log_prob", step_size=0.5, max_doublings=4),
    "tfp uncalibrated HMC": tfp(
        "UncalibratedHamiltonianMonteCarlo", "is_accepted", step_size=0.1, num_leapfrog_steps=3
    ),
    "tfp uncalibrated Langevin": tfp("UncalibratedLangevin", "is_accepted", step_size=0.1),
    "tfp uncalibrated random walk": tfp("UncalibratedRandomWalk", "is_accepted"),
    "tfp replica exchange": tfp(
        "ReplicaExchangeMC",
        "post_swap_replica_results.is_accepted",
        inverse_temperatures=np.array([1.0, 0.5], np.float32),
        make_kernel_fn=lambda package: partial(
            package.HamiltonianMonteCarlo, step_size=np.full((2, 1), 0.1, np.float32), num_leapfrog_steps=3
        ),
    ),
}


def make(kernel, case, **settings):
    settings = {"num_warmup": 6, "num_samples": 15, "progress_bar": False} | settings
    if case.walkers > 1:
        settings |= {"num_chains": case.walkers, "chain_method": "vectorized"}
    return MCMC(kernel, **settings)


def results(mcmc):
    return mcmc.get_samples(group_by_chain=True), mcmc.get_extra_fields(group_by_chain=True), mcmc.last_state


def assert_identical(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: assert_array_equal(bits(x), bits(y)), a, b)


def bits(x):
    return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x


QUICK = ("BarkerMH", "AIES both", "DiscreteHMCGibbs", "HMCECS second degree", "a user's")
"""One of each kind, for the quick tests."""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(case, id=name, marks=() if name in QUICK else pytest.mark.slow) for name, case in KERNELS.items()
    ],
)
def case(request):
    return request.param


@pytest.fixture(scope="module")
def first(case):
    """One run of each kernel: the sampler, its results, and the names of what was compiled for it."""
    mcmc = make(case.make(), case, thinning=2)
    with compilations() as names:
        mcmc.run(KEY, case.data, extra_fields=(case.field,))
    return mcmc, results(mcmc), names


def test_draws_are_thinned_constrained_and_have_their_extra_fields(case, first):
    mcmc, (draws, extra, _), _ = first
    assert {"last"} < set(draws)
    assert all(x.shape[:2] == (mcmc.num_chains, 7) for x in jax.tree.leaves((draws, extra)))
    if "x" in draws and "y" not in draws:
        assert draws["x"].shape[2:] == ((3, 2) if case.data is SERIES else (3,))
        assert_array_equal(draws["x"][:, :, -1], draws["last"])
    assert case.field in extra
    assert all((x > 0).all() for name, x in draws.items() if name == "scale")
    assert all(len(np.unique(np.asarray(x))) > 1 for x in draws.values())
    unthinned = make(mcmc.sampler, case)
    unthinned.run(KEY, case.data, extra_fields=(case.field,))
    all_draws = unthinned.get_samples(group_by_chain=True)
    jax.tree.map(lambda few, many: assert_allclose(few, many[:, 2::2], rtol=1e-5), draws, all_draws)


def test_a_second_run_traces_and_compiles_nothing(case, first):
    """Nor does one of another sampler for the same model: the programs stay with the model. Those of a kernel without
    model stay with the sampler."""
    mcmc, before, names = first
    if mcmc.sampler.is_pure:
        # What JAX itself compiles once in a process, and TFP's look at the start.
        short = [re.sub(r"^jit[(_]|\)$", "", name) for name in names]
        assert sorted(set(short) - {"<lambda>", "start_energies"}) == ["finish", "init", "loop"]
        assert short.count("loop") == 1
    samplers = [mcmc]
    if mcmc.sampler.is_pure and not isinstance(mcmc.sampler, RandomWalk):
        samplers += [make(kernel, case, thinning=2) for kernel in (mcmc.sampler, case.make())]
    count = traced.number
    with compilations() as again:
        for one in samplers:
            one.run(KEY, case.data, extra_fields=(case.field,))
            assert_identical(results(one), before)
        mcmc.run(OTHER_KEY, case.data + 1, extra_fields=(case.field,))
    assert not np.array_equal(mcmc.get_samples()["last"], before[0]["last"])
    if mcmc.sampler.is_pure:
        assert again == [] and traced.number == count
    mcmc.run(KEY, case.data, extra_fields=(case.field,))


class Interrupting(driver.ProgressBar):
    left = 0

    def update(self, *args):
        super().update(*args)
        Interrupting.left -= 1
        if Interrupting.left == 0:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def interrupts(monkeypatch):
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(driver, "ProgressBar", Interrupting)
    yield
    signal.signal(signal.SIGINT, previous)


def test_a_run_that_was_interrupted_goes_on_from_its_checkpoint(case, first, interrupts, tmp_path):
    mcmc, before, _ = first
    path = tmp_path / "run"
    settings = {"thinning": 2, "checkpoint": path, "checkpoint_every": 4, "progress_rate": 4}
    Interrupting.left = 3
    with pytest.warns(UserWarning, match="interrupted"):
        make(mcmc.sampler, case, **settings).run(KEY, case.data, extra_fields=(case.field,))
    other = make(case.make(), case, **settings)
    other.run(KEY, case.data, extra_fields=(case.field,))
    assert_identical(results(other), before)
    loaded = MCMC.load(path, case.make())
    assert_identical(results(loaded), before)


def test_progress_is_shown_and_changes_nothing(case, first, capsys):
    mcmc, before, _ = first
    shown = make(mcmc.sampler, case, thinning=2, progress_bar=True)
    shown.run(KEY, case.data, extra_fields=(case.field,))
    assert_identical(results(shown), before)
    assert "21/21" in capsys.readouterr().err


def test_every_chain_method_draws_the_same(case, first):
    if case.walkers > 1:
        pytest.skip("an ensemble is vectorized")
    mcmc, draws = first[0], []
    for method in ("sequential", "vectorized", "parallel", jax.vmap):
        run = make(mcmc.sampler, case, num_chains=2, chain_method=method, num_warmup=3, num_samples=2)
        run.run(KEY, case.data)
        draws.append(run.get_samples(group_by_chain=True))
    assert any(len(np.unique(np.asarray(x[:, -1]))) > 1 for x in draws[0].values())
    for other in draws[1:]:
        jax.tree.map(partial(assert_allclose, rtol=2e-2, atol=2e-2), other, draws[0])


LEVEL = 0.0


def reads_a_global(y):
    c = numpyro.sample("c", dist.Bernoulli(0.5))
    mu = numpyro.sample("mu", dist.Normal(LEVEL, 0.01))
    numpyro.sample("y", dist.Normal(mu + c, 1.0), obs=y)


@pytest.mark.parametrize(
    "make_kernel",
    [
        lambda: BarkerMH(numpyro.handlers.condition(reads_a_global, {"c": 1})),
        lambda: DiscreteHMCGibbs(NUTS(reads_a_global)),
        lambda: MixedHMC(HMC(reads_a_global, trajectory_length=1.0)),
    ],
    ids=["BarkerMH", "DiscreteHMCGibbs", "MixedHMC"],
)
def test_what_a_model_reads_from_outside_is_looked_at_in_each_run(make_kernel, monkeypatch):
    mcmc = MCMC(make_kernel(), num_warmup=100, num_samples=10, progress_bar=False)
    for level in (0.0, 100.0):
        monkeypatch.setitem(globals(), "LEVEL", level)
        mcmc.run(KEY, SERIES, init_params={"mu": jnp.array(level)})
        assert_allclose(mcmc.get_samples()["mu"], level, atol=1.0)


class Wrong(RandomWalk):
    """A random walk whose state changes its looks."""

    def __init__(self, x):
        super().__init__(True)
        self.x = x

    def sample(self, state, model_args, model_kwargs):
        return state._replace(x=self.x)


@pytest.mark.parametrize(
    "x, message",
    [
        (np.zeros(3, np.float32), r"Wrong.sample must .* field 'x' has shape \(2,\) .* and shape \(3,\)"),
        (np.zeros(2, np.int32), "field 'x' has .* type float32 in that, and .* type int32"),
        ((np.zeros(2),), "the structure of that is"),
    ],
    ids=["shape", "type", "structure"],
)
def test_a_state_that_changes_its_looks_is_refused(x, message):
    with pytest.raises(TypeError, match=message):
        MCMC(Wrong(x), num_warmup=1, num_samples=1, progress_bar=False).run(KEY, SERIES)


def moved(rng_key, gibbs_sites, hmc_sites):
    return {"scale": 1.5 * update_scale(rng_key, gibbs_sites, hmc_sites)["scale"]}


@pytest.mark.parametrize(
    "case, other, what",
    [
        (aies(), aies(moves={AIES.StretchMove(): 1.0}), "settings of the kernel"),
        (KERNELS["DiscreteHMCGibbs"], Case(lambda: DiscreteHMCGibbs(NUTS(mixed, step_size=0.5))), "settings of the k"),
        (KERNELS["HMCGibbs"], Case(lambda: HMCGibbs(NUTS(continuous), moved, ["scale"])), "model"),
        (KERNELS["HMCECS first degree"], KERNELS["HMCECS second degree"], "settings of the kernel"),
    ],
    ids=["AIES", "DiscreteHMCGibbs", "HMCGibbs", "HMCECS"],
)
@pytest.mark.slow
def test_a_checkpoint_of_another_kernel_is_refused(case, other, what, tmp_path):
    settings = {"num_warmup": 1, "num_samples": 2, "checkpoint": tmp_path / "run"}
    make(case.make(), case, **settings).run(KEY, case.data)
    with pytest.raises(CheckpointError, match=f"What differs: {what}"):
        make(other.make(), case, **settings).run(KEY, case.data)

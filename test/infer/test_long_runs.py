# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Runs that are interrupted, killed, saved and gone on with; where draws are kept; what is compiled again."""

from __future__ import annotations

import functools
import gc
import json
import logging
import os
from pathlib import Path
import pickle
import signal
import subprocess
import sys
from typing import Any, NamedTuple
import weakref

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_array_equal
import pytest

import numpyro
from numpyro.diagnostics import DiagnosticWarning
import numpyro.distributions as dist
from numpyro.infer import (
    HMC,
    MCMC,
    NUTS,
    BarkerMH,
    checkpoint,
    driver,
    init_to_median,
    init_to_uniform,
    runner,
)
from numpyro.infer.checkpoint import CheckpointError
from numpyro.infer.kernel_runner import KernelRunner
from numpyro.infer.mcmc import MCMCKernel
from numpyro.infer.programs import visible_state

KEY = jax.random.PRNGKey(0)
Y = np.array([1.0, 2.0, 0.5])


def model(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 3.0))
    tau = numpyro.sample("tau", dist.HalfNormal(2.0))
    numpyro.deterministic("double", 2 * mu)
    numpyro.sample("y", dist.Normal(mu, tau), obs=y)


class State(NamedTuple):
    x: Any
    count: Any
    rng_key: Any


class RandomWalk(MCMCKernel):
    """Metropolis's algorithm for a normal distribution whose mean is the data's."""

    sample_field = "x"

    def __init__(self, scale=1.0):
        self.scale = scale

    def init(self, rng_key, num_warmup, init_params, model_args, model_kwargs):
        return State(jnp.zeros(2), {"steps": jnp.array(0)}, rng_key)

    def sample(self, state, model_args, model_kwargs):
        (y,) = model_args
        rng_key, step_key, accept_key = jax.random.split(state.rng_key, 3)
        x = state.x + self.scale * jax.random.normal(step_key, (2,))
        change = jnp.sum((state.x - jnp.mean(y)) ** 2 - (x - jnp.mean(y)) ** 2) / 2
        accept = jnp.log(jax.random.uniform(accept_key)) < change
        return State(jnp.where(accept, x, state.x), {"steps": state.count["steps"] + 1}, rng_key)

    def postprocess_fn(self, model_args, model_kwargs):
        return lambda x: {"x": x, "exp": jnp.exp(x)}


KERNELS = {"nuts": lambda: NUTS(model), "walk": RandomWalk}


def make(kernel="nuts", **settings):
    settings = {"num_warmup": 30, "num_samples": 41, "thinning": 2, "progress_bar": False} | settings
    return MCMC(KERNELS[kernel]() if isinstance(kernel, str) else kernel, **settings)


def results(mcmc: MCMC) -> Any:
    return mcmc.get_samples(group_by_chain=True), mcmc.get_extra_fields(), mcmc.last_state


def assert_identical(a: Any, b: Any) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(assert_array_equal, a, b)


def needs_devices(method: Any) -> None:
    if method == "parallel" and jax.local_device_count() < 2:
        pytest.skip("needs two devices")


@pytest.fixture
def in_blocks(monkeypatch):
    """Draws are processed a few at a time, as if they were many."""
    monkeypatch.setattr(runner, "_WHOLE", 0)
    monkeypatch.setattr(runner, "_BLOCK", (160, 160))


@pytest.fixture
def interrupt_after(monkeypatch):
    """A function that has the next run interrupted after so many chunks."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)

    def after(chunks):
        class Interrupting(driver.ProgressBar):
            left = chunks

            def update(self, *args):
                super().update(*args)
                Interrupting.left -= 1
                if Interrupting.left == 0:
                    signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(driver, "ProgressBar", Interrupting)

    yield after
    signal.signal(signal.SIGINT, previous)


# Interrupts

METHODS = [(1, "sequential"), (2, "sequential"), (2, "vectorized"), (2, "parallel"), (4, "parallel")]


@pytest.mark.parametrize(
    "num_chains, method, store", [*((*each, "device") for each in METHODS), (2, "vectorized", "host")]
)
def test_an_interrupted_run_is_completed_by_the_same_call(in_blocks, interrupt_after, num_chains, method, store):
    needs_devices(method)
    kernel = RandomWalk()
    settings = {"num_chains": num_chains, "chain_method": method, "store": store, "progress_rate": 7}
    undisturbed = make(kernel, **settings)
    undisturbed.run(KEY, Y, extra_fields=("count",))
    mcmc = make(kernel, **settings)
    # In warm-up, in sampling, and (one after the other) in the second chain, which is 11 chunks long.
    for chunks in (2, 6, 8):
        interrupt_after(chunks)
        if chunks == 2:
            with pytest.warns(UserWarning, match="at iteration 14, before"), pytest.raises(KeyboardInterrupt):
                mcmc.run(KEY, Y, extra_fields=("count",))
            assert np.max(mcmc.last_state.count["steps"]) == 14
        else:
            with pytest.warns(UserWarning, match="Call `run` as before"):
                mcmc.run(KEY, Y, extra_fields=("count",))
            draws = mcmc.get_samples(group_by_chain=True)["exp"]
            expected = undisturbed.get_samples(group_by_chain=True)["exp"]
            assert 0 < draws.shape[1]
            assert_array_equal(draws, expected[: draws.shape[0], : draws.shape[1]])
        assert mcmc.is_unfinished
        if (num_chains, method) != (2, "sequential") and chunks == 6:
            break
    interrupt_after(0)
    mcmc.resume(Y) if method == "vectorized" else mcmc.run(KEY, Y, extra_fields=("count",))
    assert not mcmc.is_unfinished
    assert_identical(results(mcmc), results(undisturbed))


def test_a_resumed_run_collects_what_is_needed_to_diagnose_it(interrupt_after):
    mcmc = make("nuts", progress_rate=20)
    interrupt_after(3)
    with pytest.warns(UserWarning, match="are kept"):
        mcmc.run(KEY, Y, extra_fields=("num_steps",))
    interrupt_after(0)
    mcmc.resume(Y)
    assert set(mcmc.get_extra_fields()) == {"num_steps", "diverging"}
    assert {".energy"} < set(mcmc._states)


def test_a_resumed_run_warns_of_what_its_draws_show(interrupt_after, monkeypatch):
    mcmc = make(RandomWalk(), progress_rate=10)
    interrupt_after(5)
    with pytest.warns(UserWarning, match="are kept"):
        mcmc.run(KEY, Y)
    interrupt_after(0)
    monkeypatch.setattr("numpyro.infer.mcmc.diagnose", lambda *args: ["a sign"])
    with pytest.warns(DiagnosticWarning, match="a sign"):
        mcmc.resume(Y)


def test_another_call_after_an_interrupt_begins_anew(interrupt_after):
    kernel = RandomWalk()
    mcmc = make(kernel, progress_rate=10)
    interrupt_after(5)
    with pytest.warns(UserWarning, match="are kept"):
        mcmc.run(KEY, Y)
    interrupt_after(0)
    with pytest.raises(CheckpointError, match="What differs: arguments of the model"):
        mcmc.resume(Y + 1)
    mcmc.run(jax.random.PRNGKey(1), Y)
    fresh = make(kernel)
    fresh.run(jax.random.PRNGKey(1), Y)
    assert_identical(results(mcmc), results(fresh))
    with pytest.raises(RuntimeError, match="there is nothing to resume"):
        mcmc.resume(Y)


def test_a_state_from_the_midst_of_the_warmup_completes_it_first(interrupt_after):
    mcmc = make("nuts", progress_rate=10)
    interrupt_after(2)
    with pytest.warns(UserWarning, match="before there were draws"), pytest.raises(KeyboardInterrupt):
        mcmc.run(KEY, Y)
    interrupt_after(0)
    mcmc.post_warmup_state = mcmc.last_state
    mcmc.run(jax.random.PRNGKey(1), Y, extra_fields=("i", "adapt_state.step_size"))
    assert_array_equal(mcmc.get_extra_fields()["i"], np.arange(33, 72, 2))
    assert len(np.unique(mcmc.get_extra_fields()["adapt_state.step_size"])) == 1


# Checkpoints

CONFIGURATIONS = [
    ("walk", 2, "sequential"),
    pytest.param("walk", 2, "vectorized", marks=pytest.mark.slow),
    pytest.param("nuts", 2, "sequential", marks=pytest.mark.slow),
    pytest.param("nuts", 3, "vectorized", marks=pytest.mark.slow),
    pytest.param("nuts", 2, "parallel", marks=pytest.mark.slow),
]


def checkpointed(kernel, num_chains, method, path):
    return make(kernel, num_chains=num_chains, chain_method=method, checkpoint=path, checkpoint_every=16)


def die_while_writing(kernel, num_chains, method, path, writes):
    """Kill this process when a checkpoint is about to take the place of the one before."""
    replace, count = os.replace, [0]

    def counting(*args):
        count[0] += 1
        if count[0] == writes:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*args)

    checkpoint.os.replace = counting
    checkpointed(kernel, num_chains, method, path).run(KEY, Y)


@pytest.mark.parametrize("kernel, num_chains, method", CONFIGURATIONS)
def test_a_killed_process_ends_with_the_draws_of_an_undisturbed_run(tmp_path, kernel, num_chains, method):
    needs_devices(method)
    path = tmp_path / "run.npz"
    writes = 6 if method == "sequential" else 4  # in sampling; of chains in sequence, in that of the second one
    call = (kernel, num_chains, method, str(path), writes)
    program = f"import sys; sys.path[:0] = {sys.path!r}; import test_long_runs as t; t.die_while_writing(*{call!r})"
    killed = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    so_far = MCMC.load(path, KERNELS[kernel]())
    assert so_far.is_unfinished
    mcmc = checkpointed(kernel, num_chains, method, path)
    mcmc.run(KEY, Y)
    undisturbed = make(kernel, num_chains=num_chains, chain_method=method)
    undisturbed.run(KEY, Y)
    assert_identical(results(mcmc), results(undisturbed))
    first = so_far.get_samples(group_by_chain=True)
    assert_identical(first, jax.tree.map(lambda x, y: y[: len(x), : x.shape[1]], first, results(undisturbed)[0]))
    assert not MCMC.load(path, KERNELS[kernel]()).is_unfinished


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A file with a complete run."""
    path = tmp_path_factory.mktemp("saved") / "run.npz"
    mcmc = make(RandomWalk(), num_chains=2, chain_method="vectorized", checkpoint=path)
    mcmc.run(KEY, Y, extra_fields=("count",))
    return path, mcmc


def test_a_loaded_run_is_the_one_that_was_saved(saved, tmp_path):
    _, mcmc = saved
    path = tmp_path / "copy.npz"
    mcmc.save(path)
    loaded = MCMC.load(path, RandomWalk(), progress_bar=False)
    assert_identical(results(loaded), results(mcmc))
    assert type(loaded.last_state) is State
    assert isinstance(loaded.get_samples()["x"], jax.Array)
    for each in (mcmc, loaded):
        each.post_warmup_state = each.last_state
        each.run(jax.random.PRNGKey(1), Y)
        each.post_warmup_state = None
    assert_identical(results(loaded), results(mcmc))
    mcmc.run(KEY, Y, extra_fields=("count",))


def test_a_run_of_nuts_goes_on_after_loading(tmp_path):
    path, kernel = tmp_path / "run.npz", NUTS(model)
    mcmc = make(kernel, store="host")
    mcmc.run(jax.random.key(3), Y)
    mcmc.save(path)
    loaded = MCMC.load(path, kernel)
    assert_identical(loaded.get_samples(), mcmc.get_samples())
    assert isinstance(loaded.get_samples()["mu"], np.ndarray)
    assert jax.tree.structure(loaded.last_state) == jax.tree.structure(mcmc.last_state)
    for each in (mcmc, loaded):
        each.post_warmup_state = each.last_state
        each.run(KEY, Y)
    assert_identical(results(loaded), results(mcmc))


def test_a_complete_checkpoint_is_read_instead_of_drawn(saved, monkeypatch):
    path, mcmc = saved
    monkeypatch.setattr(KernelRunner, "advance", None)
    again = make(RandomWalk(), num_chains=2, chain_method="vectorized", checkpoint=path)
    again.run(KEY, Y, extra_fields=("count",))
    assert_identical(results(again), results(mcmc))


@pytest.mark.parametrize(
    "settings, key, data, difference",
    [
        ({}, 1, Y, "random key"),
        ({}, 0, Y + 1, "arguments of the model"),
        ({"num_samples": 43}, 0, Y, "numbers of iterations"),
        ({"chain_method": "sequential"}, 0, Y, "chain_method"),
        ({"sampler": RandomWalk(2.0)}, 0, Y, "settings of the kernel, model"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(saved, settings, key, data, difference):
    settings = {"num_chains": 2, "chain_method": "vectorized", "checkpoint": saved[0]} | settings
    other = make(settings.pop("sampler", RandomWalk()), **settings)
    with pytest.raises(CheckpointError, match=f"not the one in the checkpoint .* differs: {difference}"):
        other.run(jax.random.PRNGKey(key), data, extra_fields=("count",))


def cut(content):
    return content[: len(content) // 2]


def flip(content):
    """Change a bit of the first array's numbers."""
    middle = content.index(b"\n", 64) + 5
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage, message",
    [
        (cut, "is damaged, or no file"),
        (flip, "is damaged"),
        (lambda content: b"", "is empty"),
        (lambda content: b"draws,1,2,3\n" * 50, "is damaged, or no file"),
        (lambda content: pickle.dumps({"draws": 1}), "is damaged, or no file"),
    ],
)
def test_a_damaged_file_is_refused(saved, tmp_path, damage, message):
    path = tmp_path / "damaged.npz"
    path.write_bytes(damage(saved[0].read_bytes()))
    with pytest.raises(CheckpointError, match=message) as caught:
        MCMC.load(path, RandomWalk())
    assert "pickle" not in str(caught.value), "NumPy's advice is to trust the file"
    with pytest.raises(CheckpointError, match=message):
        make(RandomWalk(), num_chains=2, chain_method="vectorized", checkpoint=path).run(KEY, Y)


def test_a_foreign_file_is_refused(saved, tmp_path):
    path = tmp_path / "foreign.npz"
    np.savez(path, x=np.zeros(3))
    with pytest.raises(CheckpointError, match="is an archive of NumPy, but not one"):
        MCMC.load(path, RandomWalk())
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(CheckpointError, match="holds a single array"):
        MCMC.load(path, RandomWalk())
    checkpoint.write(path, [1, 2])
    with pytest.raises(CheckpointError, match="does not hold a run"):
        MCMC.load(path, RandomWalk())
    members = dict(np.load(saved[0]))
    header = json.loads(bytes(members["header"])) | {"version": 99}
    members["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, **members)
    with pytest.raises(CheckpointError, match="has version 99"):
        MCMC.load(path, RandomWalk())
    with pytest.raises(CheckpointError, match="holds a run of RandomWalk, but the kernel given is a NUTS"):
        MCMC.load(saved[0], NUTS(model))
    with pytest.raises(ValueError, match="num_samples cannot change"):
        MCMC.load(saved[0], RandomWalk(), num_samples=3)
    with pytest.raises(FileNotFoundError):
        MCMC.load(tmp_path / "none.npz", RandomWalk())


def test_files_keep_all_kinds_of_arrays_and_structure(tmp_path):
    path = tmp_path / "tree.npz"
    tree = {
        "keys": {("a", "b"): 1, ("a", 2): 2.5},
        "list": [np.float64(1.5), np.zeros((0, 3), np.int8), jnp.ones(2, jnp.bfloat16)],
        "state": State(None, (True, 2, float("inf"), "text"), jax.random.key(7)),
        "view": np.arange(12.0).reshape(3, 4)[:, 1:3],
    }
    checkpoint.write(path, tree)
    read = checkpoint.read(path)
    assert read["keys"] == tree["keys"] and type(read["state"]) is State
    assert read["state"][:2] == tree["state"][:2]
    assert [x.dtype for x in read["list"]] == [np.float64, np.int8, jnp.bfloat16]
    assert_array_equal(jax.random.key_data(read["state"].rng_key), jax.random.key_data(jax.random.key(7)))
    assert_identical(read["view"], tree["view"])
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(TypeError, match=r"a builtins\.set cannot be saved"):
        checkpoint.write(path, {1, 2})
    assert checkpoint.read(path)["keys"] == tree["keys"]


# Memory


@pytest.mark.parametrize(
    "kernel, num_chains, method", [("nuts", 2, "vectorized"), ("walk", 2, "sequential"), ("walk", 2, "parallel")]
)
def test_draws_in_blocks_are_the_same(in_blocks, monkeypatch, kernel, num_chains, method):
    needs_devices(method)
    collected: list[MCMC] = []
    fields = ("num_steps", "z.tau", "~z.mu") if kernel == "nuts" else ("count", "~x.exp")
    for store in ("device", "host"):
        mcmc = make(kernel, num_chains=num_chains, chain_method=method, store=store)
        mcmc.run(KEY, Y, extra_fields=fields)
        collected.append(mcmc)
    monkeypatch.setattr(runner, "_WHOLE", 2**20)
    whole = make(kernel, num_chains=num_chains, chain_method=method)
    whole.run(KEY, Y, extra_fields=fields)
    expected = results(whole)
    assert set(expected[0]) == ({"tau", "double"} if kernel == "nuts" else {"x"})
    for mcmc in collected:
        got = results(mcmc)
        assert jax.tree.structure(got) == jax.tree.structure(expected)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), got, expected)


MEMORY = """
import re, resource, sys, jax, numpyro, numpyro.distributions as dist
from numpyro.infer import HMC, MCMC
def model():
    numpyro.sample("x", dist.HalfNormal(1.0).expand([5000]).to_event(1))
def run(megabytes, chains, store):
    kernel = HMC(model, num_steps=1, trajectory_length=None, step_size=0.1, adapt_step_size=False)
    num_samples = megabytes * 2**20 // (20000 * chains)
    mcmc = MCMC(kernel, num_warmup=0, num_samples=num_samples, num_chains=chains, chain_method="vectorized",
                progress_bar=False, store=store)
    mcmc.run(jax.random.PRNGKey(0))
    return mcmc.get_samples()["x"]
chains, store = int(sys.argv[1]), sys.argv[2]
run(20, chains, store)
before = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
draws = run(600, chains, store)
# Not ru_maxrss: that begins at the size of the process that started this one.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
print((peak - before) / draws.nbytes, sum(x.nbytes for x in jax.live_arrays()) / 2**20)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("chains", [1, 4])
@pytest.mark.parametrize("store", ["device", "host"])
def test_collecting_takes_little_more_memory_than_the_draws(chains, store):
    command = [sys.executable, "-c", MEMORY, str(chains), store]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ratio, on_device = map(float, done.stdout.split())
    assert ratio < 1.3
    assert on_device < (64 if store == "host" else 700)


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


SCALE = 3.0
TRACES: list[int] = []


def reads_a_global(y):
    TRACES.append(1)
    mu = numpyro.sample("mu", dist.Normal(0.0, SCALE))
    numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)


def test_another_kernel_over_the_same_model_traces_and_compiles_nothing(monkeypatch):
    def run(seed, **settings):
        TRACES.clear()
        settings = {"init_strategy": init_to_uniform(radius=1.0)} | settings
        mcmc = make(HMC(reads_a_global, num_steps=3, trajectory_length=None, **settings))
        key = np.array([0, seed], np.uint32)
        with Compilations() as compilations:
            mcmc.run(key, Y + seed)
        return len(TRACES), len(compilations.names), mcmc

    traces, compiled, _ = run(0)
    assert traces > 0 and compiled == 2
    traces, compiled, mcmc = run(1)
    assert (traces, compiled) == (0, 0)
    assert abs(np.mean(mcmc.get_samples()["mu"]) - np.mean(Y + 1)) < 1
    assert run(1, target_accept_prob=0.9)[:2] == (2, 2)
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 1e-3)
    traces, compiled, mcmc = run(1)
    assert traces > 0 and compiled == 2
    assert np.max(np.abs(mcmc.get_samples()["mu"])) < 0.1


class Holder:
    def __init__(self, held):
        self.held = held

    def __call__(self):
        return self.held


def test_the_account_of_a_model_stays_while_nothing_changes():
    """However deep it looks, and whatever distributions have computed in the meantime."""
    held = dist.Gamma(3.0, 2.0)
    for _ in range(8):

        def model(held={"site": held}):  # noqa: B006
            return held

        before = visible_state(model)
        _ = held.batch_shape if isinstance(held, dist.Distribution) else None
        assert visible_state(model) == before
        held = Holder(held)
    shallow = Holder(1.0)

    def reads_attribute():
        return shallow.held

    before = visible_state(reads_attribute)
    shallow.held = 2.0
    assert visible_state(reads_attribute) != before


def test_programs_go_with_their_model_and_are_not_copied_to_another():
    def new(scale):
        def potential(z):
            return 0.5 * (z / scale) ** 2

        return potential

    def run(potential):
        mcmc = make(HMC(potential_fn=potential, num_steps=1, trajectory_length=None), num_samples=200)
        mcmc.run(KEY, init_params=np.float32(0.0))
        return float(np.std(mcmc.get_samples()))

    narrow, wide = new(0.01), new(1.0)
    assert run(narrow) < 0.1
    assert run(functools.update_wrapper(wide, narrow)) > 0.1
    model = weakref.ref(narrow)
    del wide.__wrapped__, narrow
    gc.collect()
    assert model() is None


CACHED = """
import sys, time, jax, numpyro, numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS
events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event.rpartition("/")[2]))
numpyro.enable_compilation_cache(sys.argv[1])
def model():
    numpyro.sample("x", dist.Normal(0.0, 1.0))
mcmc = MCMC(NUTS(model), num_warmup=10, num_samples=10, progress_bar=False)
mcmc.run(jax.random.PRNGKey(0))
print(events.count("cache_hits"), events.count("cache_misses"), float(mcmc.get_samples()["x"].sum()))
"""


@pytest.mark.slow
def test_a_second_process_finds_compiled_programs(tmp_path):
    command = [sys.executable, "-c", CACHED, str(tmp_path / "compiled")]
    outputs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(2)]
    (hits, misses, total), (hits_again, misses_again, total_again) = outputs
    assert (int(hits), int(misses) > 0) == (0, True)
    assert (hits_again, misses_again, total_again) == (misses, "0", total)


# Bad input


def test_a_model_whose_sites_change_between_traces_is_refused():
    calls = []

    def grows(y):
        calls.append(1)
        numpyro.sample("mu", dist.Normal(0.0, 1.0).expand([1 if len(calls) == 1 else 2]))
        numpyro.sample("y", dist.Normal(0.0, 1.0), obs=y)

    def grows_later(y):
        calls.append(1)
        numpyro.sample("mu", dist.Normal(0.0, 1.0).expand([1 if len(calls) <= 2 else 2]))

    for model in (grows, grows_later):
        calls.clear()
        message = r"'mu' has shape \(2,\), but shape \(1,\) when the model was first traced"
        with pytest.raises(ValueError, match=message):
            make(NUTS(model, init_strategy=init_to_median)).run(KEY, Y)

    def renames(y):
        calls.append(1)
        numpyro.sample(f"mu_{len(calls)}", dist.Normal(0.0, 1.0))

    with pytest.raises(ValueError, match=r"has a latent site 'mu_.*' that was not there"):
        make(NUTS(renames)).run(KEY, Y)

    def renames_later(y):
        calls.append(1)
        numpyro.sample("mu" if len(calls) <= 2 else "nu", dist.Normal(0.0, 1.0))

    calls.clear()
    with pytest.raises(ValueError, match=r"the latent sites 'mu' are missing, but were there"):
        make(NUTS(renames_later, init_strategy=init_to_median)).run(KEY, Y)

    def loses(y):
        calls.append(1)
        numpyro.sample("mu", dist.Normal(0.0, 1.0))
        if len(calls) == 1:
            numpyro.sample("nu", dist.Normal(0.0, 1.0))

    calls.clear()
    with pytest.raises(ValueError, match="sites 'nu' are missing"):
        make(NUTS(loses)).run(KEY, Y)


@pytest.mark.parametrize("kernel", [NUTS, BarkerMH])
def test_a_state_for_data_of_another_shape_is_refused(kernel):
    def local(y):
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.Normal(numpyro.sample("mu", dist.Normal(0.0, 1.0)), 1.0), obs=y)

    mcmc = make(kernel(local), num_samples=2)
    mcmc.warmup(KEY, Y)
    with pytest.raises(ValueError, match="`post_warmup_state`"):
        mcmc.run(KEY, Y[:2])


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"store": "disk"}, 'store must be "device" or "host"'),
        ({"checkpoint_every": 0}, "checkpoint_every must be a positive integer"),
        ({"checkpoint": "no_such_directory/run.npz"}, "there is no such directory"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        make("walk", **settings)


def test_there_is_nothing_to_save_before_a_run(tmp_path):
    with pytest.raises(RuntimeError, match="nothing to save yet"):
        make("walk").save(tmp_path / "run.npz")


# Progress


def test_chains_have_a_line_each_unless_they_are_many(capsys):
    kernel = HMC(model, num_steps=1, trajectory_length=None)
    make(kernel, num_chains=3, chain_method="vectorized", progress_bar=True).run(KEY, Y)
    shown = capsys.readouterr().err
    for chain in range(3):
        assert f"chain {chain}: warmup" in shown and f"chain {chain}: sample: 100%" in shown
    assert "steps of size" in shown and "acc. prob=" in shown and "divergences" in shown
    make(kernel, num_chains=9, chain_method="vectorized", progress_bar=True).run(KEY, Y)
    shown = capsys.readouterr().err
    assert "9 chains: sample: 100%" in shown and "chain 0" not in shown and "steps of size" in shown


def test_divergences_are_counted(capsys):
    kernel = HMC(model, step_size=1e3, adapt_step_size=False, num_steps=1, trajectory_length=None)
    mcmc = make(kernel, progress_bar=True, progress_rate=6, thinning=1)
    mcmc.run(KEY, Y)
    count = int(np.sum(mcmc.get_extra_fields()["diverging"]))
    assert count > 0 and f" {count} divergences" in capsys.readouterr().err

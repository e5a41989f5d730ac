# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Chains on several devices and in several processes, and data spread over devices."""

from __future__ import annotations

from functools import partial
import os
from pathlib import Path
import re
import signal
import socket
import subprocess
import sys
from typing import Any, NamedTuple
import warnings

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
import pytest

import numpyro
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
from numpyro.infer.driver import make_runner
from numpyro.infer.mcmc import MCMCKernel
from numpyro.infer.runner import Plan, Request

KEY = np.zeros(2, np.uint32)  # jax.random.PRNGKey(0) would start JAX before the processes find each other
Y = np.array([1.0, 2.0, 0.5])

needs_two_devices = pytest.mark.skipif("jax.local_device_count() != 2")


def model(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 3.0))
    tau = numpyro.sample("tau", dist.HalfNormal(2.0))
    numpyro.sample("y", dist.Normal(mu, tau), obs=y)


def make(kernel, **settings):
    return MCMC(kernel, **({"num_warmup": 6, "num_samples": 5, "progress_bar": False} | settings))


def grouped(mcmc: MCMC) -> Any:
    return jax.tree.map(np.asarray, mcmc.get_samples(group_by_chain=True))


def program_of(mcmc: MCMC, *args: Any) -> str:
    """The compiled program of the loop."""
    runner = make_runner(mcmc, Request(KEY, args, {}, (), None, None), Plan(0, 11, 6, 5, 5, 1))
    bounds = (np.int32(11), np.int32(6), np.int32(1))
    return runner._compiled().lower(*runner.start(runner.groups[0]), runner.arrays, *bounds).compile().as_text()


# Devices


@needs_two_devices
def test_a_device_takes_several_chains():
    kernel, draws = NUTS(model, step_size=0.3), {}
    for method in ("sequential", "parallel"):
        mcmc = make(kernel, num_chains=4, chain_method=method)
        mcmc.run(KEY, Y, extra_fields=("i",))
        draws[method] = grouped(mcmc)
    assert len(np.unique(draws["parallel"]["mu"][:, -1])) == 4
    for name in draws["parallel"]:
        assert_allclose(draws["parallel"][name], draws["sequential"][name], rtol=2e-2, atol=2e-3)
    assert {shard.data.shape for shard in mcmc.last_state.z["mu"].addressable_shards} == {(2,)}
    assert_array_equal(mcmc.get_extra_fields(group_by_chain=True)["i"], np.tile(np.arange(7, 12), (4, 1)))
    mcmc.post_warmup_state = mcmc.last_state
    mcmc.run(KEY, Y, extra_fields=("i",))
    assert_array_equal(mcmc.get_extra_fields()["i"][-1], 16)
    assert not re.search(r"all-|collective-|reduce-scatter", program_of(mcmc, Y)), "devices wait for each other"


@pytest.mark.parametrize(
    "chains, devices, expected",
    [(1, 4, (1, 1)), (2, 4, (2, 1)), (4, 4, (4, 1)), (8, 4, (4, 2)), (6, 4, (3, 2)), (9, 2, None), (3, 2, None)],
)
def test_no_device_has_more_chains_than_it_must(monkeypatch, chains, devices, expected):
    monkeypatch.setattr(jax, "local_device_count", lambda: devices)
    if expected is not None:
        assert make(NUTS(model), num_chains=chains).chain_method == "parallel"
        placement = numpyro.infer.placement.place(chains, "parallel")
        assert (placement.num_devices, placement.each) == expected
        return
    message = f"{chains} chains .* by the {devices} devices .* multiple of {devices} chains, such as {chains - 1} or"
    with pytest.raises(ValueError, match=rf"{message} {chains + 1};.*set_host_device_count\({chains}\).*vectorized"):
        make(NUTS(model), num_chains=chains)


def test_on_one_gpu_parallel_chains_run_one_after_the_other(monkeypatch):
    monkeypatch.setattr(jax, "local_device_count", lambda: 1)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.warns(UserWarning, match=r"4 chains .*JAX has one device.*vectorized"):
        assert make(NUTS(model), num_chains=4).chain_method == "sequential"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(NUTS(model), num_chains=1)
        make(NUTS(model), num_chains=4, chain_method="vectorized")


@pytest.mark.parametrize("make_key", [jax.random.PRNGKey, jax.random.key])
@pytest.mark.parametrize("kernel", [NUTS, BarkerMH])
def test_on_one_cpu_each_chain_is_a_thread(monkeypatch, kernel, make_key):
    """The draws are those of the chains one by one, in several pieces too; to the last bit unless the kernel takes a
    state up again for all chains at once."""
    same = assert_array_equal if kernel is NUTS else partial(assert_allclose, rtol=1e-5)
    monkeypatch.setattr(jax, "local_device_count", lambda: 1)
    kernel, draws, states = kernel(model), [], []
    for method in ("sequential", "parallel"):
        mcmc = make(kernel, num_chains=5, chain_method=method, progress_rate=7)
        assert mcmc.chain_method == method
        mcmc.run(make_key(3), Y)
        mcmc.post_warmup_state = mcmc.last_state
        mcmc.run(make_key(4), Y)
        draws.append(mcmc.get_samples(group_by_chain=True))
        states.append(jax.tree.map(np.asarray, mcmc.last_state._replace(rng_key=0, adapt_state=0)))
    jax.tree.map(same, *draws)
    jax.tree.map(same, *states)
    assert len({float(x) for x in draws[0]["mu"][:, -1]}) == 5


class State(NamedTuple):
    x: Any
    rng_key: Any


class RandomWalk(MCMCKernel):
    """Metropolis's algorithm for a normal distribution whose mean is the data's."""

    sample_field = "x"
    is_pure = True

    def init(self, rng_key, num_warmup, init_params, model_args, model_kwargs):
        return State(jnp.zeros(2) if init_params is None else init_params, rng_key)

    def sample(self, state, model_args, model_kwargs):
        rng_key, step_key, accept_key = jax.random.split(state.rng_key, 3)
        x = state.x + jax.random.normal(step_key, (2,))
        y = jnp.mean(model_args[0])
        change = jnp.sum((state.x - y) ** 2 - (x - y) ** 2) / 2
        accept = jnp.log(jax.random.uniform(accept_key)) < change
        return State(jnp.where(accept, x, state.x), rng_key)


def mixture(probs):
    kind = numpyro.sample("kind", dist.Categorical(probs))
    numpyro.sample("x", dist.Normal(jnp.array([-1.0, 0.0, 1.5])[kind], 0.6))


def two_normals(y):
    x = numpyro.sample("x", dist.Normal(0.0, 2.0))
    z = numpyro.sample("z", dist.Normal(0.0, 2.0))
    numpyro.sample("y", dist.Normal(x + z, 1.0), obs=y)


def update_x(rng_key, gibbs_sites, hmc_sites):
    return {"x": dist.Normal(0.8 * (1.0 - hmc_sites["z"]), np.sqrt(0.8)).sample(rng_key)}


def subsampled(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    with numpyro.plate("rows", len(y), subsample_size=2):
        numpyro.sample("y", dist.Normal(mu, 1.0), obs=numpyro.subsample(y, event_dim=0))


PROBS = np.array([0.2, 0.5, 0.3], np.float32)


@needs_two_devices
@pytest.mark.parametrize(
    "make_kernel, data",
    [
        pytest.param(RandomWalk, Y, id="a user's"),
        pytest.param(lambda: BarkerMH(model), Y, id="BarkerMH", marks=pytest.mark.slow),
        pytest.param(lambda: SA(model), Y, id="SA", marks=pytest.mark.slow),
        pytest.param(lambda: HMCGibbs(NUTS(two_normals), update_x, ["x"]), 1.0, id="HMCGibbs", marks=pytest.mark.slow),
        pytest.param(lambda: DiscreteHMCGibbs(NUTS(mixture)), PROBS, id="DiscreteHMCGibbs", marks=pytest.mark.slow),
        pytest.param(
            lambda: MixedHMC(HMC(mixture, trajectory_length=1.0)), PROBS, id="MixedHMC", marks=pytest.mark.slow
        ),
        pytest.param(lambda: HMCECS(NUTS(subsampled)), Y, id="HMCECS", marks=pytest.mark.slow),
    ],
)
def test_every_method_runs_every_kernel(make_kernel, data):
    kernel, draws = make_kernel(), []
    for method in ("sequential", "parallel", jax.vmap):
        mcmc = make(kernel, num_chains=4, chain_method=method)
        mcmc.run(KEY, data)
        draws.append(grouped(mcmc))
    assert all(len(np.unique(x[:, -1])) > 1 for x in jax.tree.leaves(draws[0]))
    for other in draws[1:]:
        jax.tree.map(partial(assert_allclose, rtol=2e-3, atol=2e-3), other, draws[0])


@pytest.mark.parametrize("kernel", [AIES, ESS])
def test_an_ensemble_is_vectorized(kernel):
    for method in ("parallel", "sequential", jax.vmap):
        with pytest.raises(ValueError, match='moves all chains at once: write chain_method="vectorized"'):
            make(kernel(model), num_chains=4, chain_method=method)


# Data over devices

X = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
CHOSEN = (np.random.default_rng(1).uniform(size=400) < 1 / (1 + np.exp(-X @ [1.0, -1.0, 0.5]))).astype(np.int32)


def regression(x, chosen):
    slopes = numpyro.sample("slopes", dist.Normal(0.0, 1.0).expand([3]).to_event(1))
    with numpyro.plate("rows", len(chosen)):
        numpyro.sample("chosen", dist.Bernoulli(logits=x @ slopes), obs=chosen)


def spread(x):
    mesh = Mesh(np.array(jax.local_devices()), ("rows",))
    return jax.device_put(x, NamedSharding(mesh, PartitionSpec("rows")))


@needs_two_devices
@pytest.mark.parametrize(
    "make_kernel, num_chains",
    [(NUTS, 1), (NUTS, 2), (lambda model: BarkerMH(model, step_size=0.1), 2)],
    ids=["NUTS", "chains of NUTS", "chains of BarkerMH"],
)
def test_data_may_be_spread_over_devices(make_kernel, num_chains):
    kernel, draws = make_kernel(regression), []
    settings = {"num_chains": num_chains, "chain_method": "vectorized", "progress_rate": 3}
    for args in ((X, CHOSEN), (spread(X), spread(CHOSEN) if num_chains == 1 else CHOSEN)):
        mcmc = make(kernel, **settings)
        mcmc.run(KEY, *args)
        draws.append(mcmc.get_samples()["slopes"])
    assert len(np.unique(draws[0][:, 0])) > 2
    assert_allclose(draws[1], draws[0], rtol=1e-3, atol=1e-4)
    assert len(mcmc.last_state.i.sharding.device_set) == 2
    if num_chains == 1:
        program = program_of(mcmc, *args)
        assert "f32[200" in program and "f32[400" not in program, "a device holds all rows"
        assert len(re.findall(r" all-\S+\(", program)) == 1, "one exchange an evaluation is enough"
        assert re.search(r"\(f32\[3\]\S*, f32\[\]\S*\) all-reduce\(", program)


@needs_two_devices
def test_chains_over_devices_leave_no_trace_for_data_over_devices():
    """What is traced within the loop on each device is used for other devices as well."""
    kernel, draws = NUTS(regression, step_size=0.1), []
    for method, x in (("parallel", X), ("vectorized", spread(X))):
        mcmc = make(kernel, num_chains=2, chain_method=method)
        mcmc.run(KEY, x, CHOSEN)
        draws.append(mcmc.get_samples()["slopes"])
    assert_allclose(draws[1], draws[0], rtol=1e-2, atol=1e-3)


@needs_two_devices
def test_data_over_devices_leave_none_for_chains():
    with pytest.raises(ValueError, match=r"spread over several devices.*chain_method='vectorized'"):
        make(NUTS(regression), num_chains=2, chain_method="parallel").run(KEY, spread(X), CHOSEN)


# Processes


def walk(**settings):
    return make(RandomWalk(), num_chains=4, **({"chain_method": "parallel"} | settings))


STARTS = np.arange(8, dtype=np.float32).reshape(4, 2)


def share_chains(rank: int, directory: Path) -> dict[str, Any]:
    mcmc = walk()
    assert mcmc.local_chains == range(2 * rank, 2 * rank + 2)
    mcmc.run(jax.random.key(3), Y, init_params=STARTS)
    first = mcmc.get_samples(group_by_chain=True)
    mcmc.post_warmup_state = mcmc.last_state
    mcmc.run(jax.random.split(KEY, 4), Y)
    with pytest.raises(ValueError, match=r"3 chains cannot be shared by 2 processes.* such as 2 or 4"):
        make(RandomWalk(), num_chains=3)
    return {"first": first, "further": mcmc.get_samples(group_by_chain=True)}


def run_nuts(rank: int, directory: Path) -> dict[str, Any]:
    mcmc = make(NUTS(model, step_size=0.3), num_chains=4)
    mcmc.run(KEY, Y)
    mcmc.print_summary()
    bad = np.where(rank == 1, np.nan, Y)
    message = "observed data hold 3 NaN" if rank == 1 else "another process could not run its chains"
    with pytest.raises(RuntimeError, match=message):
        make(NUTS(model, step_size=0.3), num_chains=4).run(KEY, bad)
    assert mcmc.get_extra_fields()["diverging"].shape == (20,)
    return mcmc.get_samples(group_by_chain=True)


def go_on(rank: int, directory: Path) -> dict[str, Any]:
    """One process has lost its file, as if it had been killed before the end; one is interrupted."""

    def from_checkpoint():
        mcmc = walk(checkpoint=directory / "walk.npz", checkpoint_every=4)
        mcmc.run(jax.random.key(3), Y, init_params=STARTS)
        return mcmc.get_samples(group_by_chain=True)

    class Interrupting(driver.ProgressBar):
        def update(self, chains, done, messages):
            super().update(chains, done, messages)
            if rank == 1 and done == 9:
                signal.raise_signal(signal.SIGINT)

    draws = [from_checkpoint()]
    if rank == 1:
        (directory / "walk-1.npz").unlink()
    draws.append(from_checkpoint())
    original, driver.ProgressBar = driver.ProgressBar, Interrupting
    mcmc = walk(progress_rate=3)
    with pytest.warns(UserWarning, match="interrupted"):
        mcmc.run(jax.random.key(3), Y, init_params=STARTS)
    assert mcmc.get_samples(group_by_chain=True).shape == (2, 3 if rank == 1 else 5, 2)
    driver.ProgressBar = original
    mcmc.resume(Y)
    return {"draws": np.stack([*draws, mcmc.get_samples(group_by_chain=True)])}


def spread_data(rank: int, directory: Path) -> dict[str, Any]:
    """The rows are spread over the devices of both processes."""
    over_rows = NamedSharding(Mesh(np.array(jax.devices()), ("rows",)), PartitionSpec("rows"))
    mine = slice(200 * rank, 200 * rank + 200)
    data = [jax.make_array_from_process_local_data(over_rows, x[mine], x.shape) for x in (X, CHOSEN)]
    settings = {"num_samples": 60, "num_chains": 2, "chain_method": "vectorized"}
    kernel = NUTS(regression, step_size=0.05)

    class Interrupting(driver.ProgressBar):
        left = 3

        def update(self, *args):
            super().update(*args)
            Interrupting.left -= 1
            if rank == 1 and Interrupting.left == 0:
                signal.raise_signal(signal.SIGINT)

    driver.ProgressBar = Interrupting
    mcmc = make(kernel, **settings)
    with pytest.warns(UserWarning, match="are kept"):
        mcmc.run(KEY, *data)
    so_far = mcmc.get_samples(group_by_chain=True)["slopes"]
    assert 0 < so_far.shape[1] < 60
    mcmc.resume(*data)
    draws = mcmc.get_samples(group_by_chain=True)["slopes"]
    assert_array_equal(draws[:, : so_far.shape[1]], so_far)
    with pytest.raises(ValueError, match="spread over several processes"):
        make(kernel, **settings, checkpoint=directory / "run.npz").run(KEY, *data)
    return {"slopes": draws}


def work(name: str, rank: int, port: int, directory: str) -> None:
    """What a process does."""
    jax.distributed.initialize(f"localhost:{port}", 2, rank)
    np.savez(Path(directory) / f"results-{rank}.npz", **globals()[name](rank, Path(directory)))


def in_two_processes(name: str, directory: Path) -> dict[str, np.ndarray]:
    """What a function gives in each of two processes that share the chains: the same."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    program = "import sys; sys.path[:0] = {}; import test_many_chains as t; t.work({!r}, {}, {}, {!r})"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program.format(sys.path, name, rank, port, str(directory))],
            cwd=Path(__file__).parent,
            env=os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        output = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(output)
    results = [dict(np.load(directory / f"results-{rank}.npz")) for rank in range(2)]
    for key, value in results[0].items():
        assert_array_equal(value, results[1][key], err_msg=key)
    return results[0]


def test_processes_share_the_chains(tmp_path):
    results = in_two_processes("share_chains", tmp_path)
    alone = walk(chain_method="vectorized")
    alone.run(jax.random.key(3), Y, init_params=STARTS)
    assert_allclose(results["first"], grouped(alone), rtol=1e-5)
    alone.post_warmup_state = alone.last_state
    alone.run(jax.random.split(KEY, 4), Y)
    assert_allclose(results["further"], grouped(alone), rtol=1e-5)


@pytest.mark.slow
def test_processes_run_nuts_and_share_an_error(tmp_path):
    results = in_two_processes("run_nuts", tmp_path)
    alone = make(NUTS(model, step_size=0.3), num_chains=4, chain_method="vectorized")
    alone.run(KEY, Y)
    for name, value in grouped(alone).items():
        assert_allclose(results[name], value, rtol=2e-2, atol=2e-3)


@pytest.mark.slow
def test_processes_go_on_after_an_interrupt_or_from_checkpoints(tmp_path):
    draws = in_two_processes("go_on", tmp_path)["draws"]
    alone = walk(chain_method="vectorized")
    alone.run(jax.random.key(3), Y, init_params=STARTS)
    assert_allclose(draws, np.broadcast_to(grouped(alone), draws.shape), rtol=1e-5)
    assert sorted(path.name for path in tmp_path.glob("walk*")) == ["walk-0.npz", "walk-1.npz"]


@pytest.mark.slow
def test_data_may_be_spread_over_processes(tmp_path):
    draws = in_two_processes("spread_data", tmp_path)["slopes"]
    alone = make(NUTS(regression, step_size=0.05), num_samples=60, num_chains=2, chain_method="vectorized")
    alone.run(KEY, X, CHOSEN)
    assert_allclose(draws[:, :5], grouped(alone)["slopes"][:, :5], rtol=1e-2, atol=1e-3)

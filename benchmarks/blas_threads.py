# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What threads of BLAS do for matrices of a model, on idle cores and on busy ones.

The time of one gradient of the log density of a multivariate normal distribution in its covariance matrix, in a
compiled loop, with one thread and with one for each core, while some processes do nothing but compute. What a run does
about it is ``numpyro/infer/linear_algebra.py``; ``--chain`` times runs of a Gaussian process with and without that.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
import os
import subprocess
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
from models import MODELS
import numpy as np
import scipy.linalg  # noqa: F401  loads BLAS
from threadpoolctl import threadpool_limits

import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS, compilation

SIZES = (20, 40, 80, 160, 320, 640)
SECONDS = 0.3


@contextmanager
def busy(count: int) -> Iterator[None]:
    """That many processes that compute."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def gradient_time(size: int) -> float:
    """Microseconds of a gradient; the least of three measurements of some tenths of a second."""
    x = np.random.default_rng(0).normal(size=(size, size))
    covariance = jnp.asarray(x @ x.T / size + np.eye(size))
    gradient = jax.grad(
        lambda c: dist.MultivariateNormal(jnp.zeros(size), covariance_matrix=c).log_prob(jnp.ones(size))
    )

    @jax.jit
    def loop(count: Any, covariance: Any) -> Any:
        step = lambda _, total: total + gradient(covariance + 1e-12 * total)
        return jax.lax.fori_loop(0, count, step, jnp.zeros_like(covariance))

    def timed(count: int) -> float:
        began = time.perf_counter()
        loop(count, covariance).block_until_ready()
        return time.perf_counter() - began

    timed(1)
    count = max(1, min(int(SECONDS / timed(1)), 1000))
    return 1e6 * min(timed(count) for _ in range(3)) / count


def chain_time(name: str, is_limited: bool) -> float:
    """Seconds of a run that compiles nothing."""
    model, args = MODELS[name]()
    kept = compilation.one_blas_thread
    compilation.one_blas_thread = kept if is_limited else nullcontext
    try:
        mcmc = MCMC(NUTS(model), num_warmup=500, num_samples=500, progress_bar=False)
        for seed in (0, 1):
            began = time.perf_counter()
            mcmc.run(jax.random.PRNGKey(seed), *args)
        return time.perf_counter() - began
    finally:
        compilation.one_blas_thread = kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--busy", type=int, nargs="*", default=[0, 2], metavar="N", help="numbers of busy processes")
    parser.add_argument("--chain", action="store_true", help="time runs of the Gaussian process instead")
    arguments = parser.parse_args()
    cores = os.cpu_count() or 1
    if arguments.chain:
        print("| busy processes | s of a run, matrices for one thread | as BLAS has it |\n|---|---|---|")
    else:
        print(f"| rows | busy processes | µs, 1 thread | µs, {cores} threads |\n|---|---|---|---|")
    for count in arguments.busy:
        with busy(count):
            if arguments.chain:
                times = [chain_time("gaussian_process", is_limited) for is_limited in (True, False)]
                print(f"| {count} | {times[0]:.3g} | {times[1]:.3g} |", flush=True)
                continue
            for size in SIZES:
                times = []
                for threads in (1, cores):
                    with ExitStack() as stack:
                        stack.enter_context(threadpool_limits(threads, user_api="blas"))
                        times.append(gradient_time(size))
                print(f"| {size} | {count} | {times[0]:.3g} | {times[1]:.3g} |", flush=True)


if __name__ == "__main__":
    main()

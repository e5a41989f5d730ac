# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What the progress bar costs at ten thousand draws a second.

Runs of HMC on a normal distribution with and without the bar alternate; the number of leapfrog steps is chosen so that
a chain makes about ten thousand draws a second. The table shows the least time of several, of the clock and of the
processor; the latter is the one to look at where other programs run.
"""

from __future__ import annotations

import argparse
import time

import jax
import jax.numpy as jnp

from numpyro.infer import HMC, MCMC

RATE = 10_000


def timed(mcmc: MCMC, show: bool) -> tuple[float, float]:
    """Seconds of the clock and of the processor that a run takes."""
    mcmc.progress_bar = show
    began = time.perf_counter(), time.process_time()
    mcmc.run(jax.random.PRNGKey(0), init_params=jnp.zeros((mcmc.num_chains, 10) if mcmc.num_chains > 1 else 10))
    jax.block_until_ready(mcmc.get_samples())
    return time.perf_counter() - began[0], time.process_time() - began[1]


def sampler(num_steps: int, num_samples: int, num_chains: int) -> MCMC:
    kernel = HMC(
        potential_fn=potential, num_steps=num_steps, trajectory_length=None, step_size=0.1, adapt_step_size=False
    )
    settings = {"num_chains": num_chains, "chain_method": "vectorized" if num_chains > 1 else "sequential"}
    return MCMC(kernel, num_warmup=num_samples // 2, num_samples=num_samples // 2, progress_bar=False, **settings)


def potential(z: jax.Array) -> jax.Array:
    return 0.5 * jnp.sum(z**2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chains", type=int, nargs="*", default=[1, 4, 32])
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a run")
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    print("| chains | draws per s and chain | clock, without, s | with, s | processor, without, s | with, s | cost |")
    print("|---|---|---|---|---|---|---|")
    for chains in arguments.chains:
        probe = sampler(50, RATE, chains)
        timed(probe, False)
        num_steps = max(1, round(50 / timed(probe, False)[1]))
        mcmc = sampler(num_steps, int(arguments.seconds * RATE), chains)
        for show in (False, True):
            timed(mcmc, show)
        times = [(timed(mcmc, False), timed(mcmc, True)) for _ in range(arguments.repeat)]
        clock, clock_with = min(a[0] for a, _ in times), min(b[0] for _, b in times)
        processor, processor_with = min(a[1] for a, _ in times), min(b[1] for _, b in times)
        rate = arguments.seconds * RATE / processor
        print(
            f"| {chains} | {rate:.0f} | {clock:.3f} | {clock_with:.3f} | {processor:.3f} | {processor_with:.3f} "
            f"| {100 * (processor_with / processor - 1):+.1f} % |",
            flush=True,
        )


if __name__ == "__main__":
    main()

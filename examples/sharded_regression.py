# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""A logistic regression whose rows are spread over all devices.

Nothing in the model says so: its arguments are placed on the devices before the run, and the compiled program follows
them. Each device computes the log likelihood of its own rows and its gradient; the devices exchange the sums, one
number for each parameter, once a leapfrog step. All devices must have as many rows, so the last ones are filled up with
rows that a mask leaves out.

Run it: ``python examples/sharded_regression.py --num-devices 2``
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np

import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS


def model(x: jax.Array, chosen: jax.Array, is_row: jax.Array) -> None:
    """Logistic regression.

    :param x: array of shape ``(rows, features)``.
    :param chosen: zeros and ones of shape ``(rows,)``.
    :param is_row: False for rows that are there to fill up.
    """
    intercept = numpyro.sample("intercept", dist.Normal(0.0, 2.0))
    slopes = numpyro.sample("slopes", dist.Normal(0.0, 1.0).expand([x.shape[1]]).to_event(1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("chosen", dist.Bernoulli(logits=intercept + x @ slopes).mask(is_row), obs=chosen)


def spread(*arrays: np.ndarray) -> tuple[Any, ...]:
    """Arrays with their rows, and then whether each is a row of theirs, over all devices of this process."""
    devices = np.array(jax.local_devices())
    over_rows = NamedSharding(Mesh(devices, ("rows",)), PartitionSpec("rows"))
    rows = len(arrays[0])
    missing = -rows % len(devices)
    filled = [np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1)) for array in arrays]
    return jax.device_put((*filled, np.arange(rows + missing) < rows), over_rows)


def simulate(rows: int, features: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, choices and the slopes that they come from; the intercept is -0.5."""
    rng = np.random.default_rng(seed)
    x, slopes = rng.normal(size=(rows, features)).astype(np.float32), rng.normal(size=features)
    chosen = rng.uniform(size=rows) < 1 / (1 + np.exp(0.5 - x @ slopes))
    return x, chosen.astype(np.int32), slopes


def main(args: argparse.Namespace) -> MCMC:
    x, chosen, slopes = simulate(args.rows, args.features)
    data = spread(x, chosen)
    for shard in data[0].addressable_shards:
        print(f"{shard.device}: {shard.data.shape[0]} rows")
    begin = time.perf_counter()
    mcmc = MCMC(
        NUTS(model),
        num_warmup=args.num_warmup,
        num_samples=args.num_samples,
        num_chains=args.num_chains,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.PRNGKey(1), *data)
    mcmc.print_summary()
    error = np.abs(mcmc.get_samples()["slopes"].mean(0) - slopes) / mcmc.get_samples()["slopes"].std(0)
    print(f"The slopes lie at most {error.max():.1f} posterior standard deviations from those of the simulation.")
    print(f"Sampling took {time.perf_counter() - begin:.1f} s with compilation.")
    return mcmc


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num-devices", type=int, default=2, help="number of devices to make of a CPU")
    parser.add_argument("--rows", type=int, default=10_001)
    parser.add_argument("--features", type=int, default=4)
    parser.add_argument("--num-warmup", type=int, default=500)
    parser.add_argument("--num-samples", type=int, default=500)
    parser.add_argument("--num-chains", type=int, default=2)
    arguments = parser.parse_args()
    numpyro.set_host_device_count(arguments.num_devices)
    main(arguments)

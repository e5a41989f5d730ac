# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What many chains in one program cost: the state machine of ``chain_method="vectorized"`` beside ``jax.vmap`` of the
program of a single chain, in which all chains wait for the longest trajectory, and the chains one after the other.

All of them draw the same chains, but for rounding. *Rounds* are the leapfrog steps that a program takes at least, one
after the other; a step in *us a step* is one of one chain. Models whose trees differ in depth from chain to chain:
Neal's funnel, eight schools (centred), and the regression of the radon study's size.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import time
from typing import Any
import warnings

from geometries import GEOMETRIES
import jax
import jax.numpy as jnp
import numpy as np

import numpyro
from numpyro.diagnostics import effective_sample_size
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS

METHODS: dict[str, Any] = {"vectorized": "vectorized", "lock-step": jax.vmap, "sequential": "sequential"}


def funnel() -> tuple[Callable[[], None], tuple[()]]:
    """Neal's funnel: the scale of nine normals spreads over orders of magnitude (Neal 2003, section 8)."""

    def model() -> None:
        v = numpyro.sample("v", dist.Normal(0, 3))
        numpyro.sample("x", dist.Normal(0, jnp.exp(v / 2)).expand([9]).to_event(1))

    return model, ()


MODELS = {
    "funnel": funnel,
    "eight_schools_centered": GEOMETRIES["eight_schools_centered"],
    "hierarchical_regression": GEOMETRIES["hierarchical_regression"],
}


def timed(mcmc: MCMC, args: tuple[Any, ...]) -> tuple[float, float]:
    """Seconds of the clock and of the processor that a run takes."""
    began = time.perf_counter(), time.process_time()
    mcmc.run(jax.random.PRNGKey(1), *args, extra_fields=("num_steps",))
    jax.block_until_ready(mcmc.get_samples())
    return time.perf_counter() - began[0], time.process_time() - began[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(MODELS), metavar="model", help=f"of {', '.join(MODELS)}")
    parser.add_argument("--num-chains", type=int, default=32)
    parser.add_argument("--num-samples", type=int, default=300, help="draws of a chain, after as many of warm-up")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=METHODS)
    parser.add_argument("--mass-adaptation", default="welford")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    columns = "model", "method", "rounds", "clock, s", "processor, s", "us a step", "us an effective draw"
    print("| " + " | ".join(columns) + " |", "|---" * len(columns) + "|", sep="\n")
    for name in arguments.models:
        model, args = MODELS[name]()
        for method in arguments.methods:
            mcmc = MCMC(
                NUTS(model, mass_adaptation=arguments.mass_adaptation),
                num_warmup=arguments.num_samples,
                num_samples=arguments.num_samples,
                num_chains=arguments.num_chains,
                chain_method=METHODS[method],
                progress_bar=False,
            )
            timed(mcmc, args)
            times = [timed(mcmc, args) for _ in range(arguments.repeat)]
            clock, processor = (min(column) for column in zip(*times, strict=True))
            draws = mcmc.get_samples(group_by_chain=True)
            ess = min(float(np.min(effective_sample_size(np.asarray(x)))) for x in draws.values())
            mcmc.warmup(jax.random.PRNGKey(1), *args, collect_warmup=True, extra_fields=("num_steps",))
            parts = [np.asarray(mcmc.get_extra_fields(group_by_chain=True)["num_steps"])]
            mcmc.run(jax.random.PRNGKey(1), *args, extra_fields=("num_steps",))
            parts.append(np.asarray(mcmc.get_extra_fields(group_by_chain=True)["num_steps"]))
            steps = np.concatenate(parts, axis=1)
            # In lock-step an iteration takes as long as its longest trajectory, else a chain as long as its own.
            rounds = {"lock-step": steps.max(0).sum(), "vectorized": steps.sum(1).max()}.get(method, steps.sum())
            cells = (
                f"{clock:.3f}",
                f"{processor:.3f}",
                f"{1e6 * processor / steps.sum():.2f}",
                f"{1e6 * processor / ess:.0f}",
            )
            print(f"| {name} | {method} | {rounds} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()

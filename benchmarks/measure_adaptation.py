# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Effective draws per evaluation of the gradient, warm-up included, of one model with the ``numpyro`` of this
environment; print one line of JSON."""

from __future__ import annotations

import argparse
import json
from typing import Any

from geometries import GEOMETRIES
import jax
import numpy as np

from numpyro.diagnostics import effective_sample_size
from numpyro.infer import MCMC, NUTS


def measure(name: str, options: dict[str, Any], num_chains: int, num_warmup: int, num_samples: int) -> dict[str, Any]:
    """Figures of each of ``num_chains`` independent chains, with ``NUTS(model, **options)``."""
    model, args = GEOMETRIES[name]()
    mcmc = MCMC(
        NUTS(model, **options),
        num_warmup=num_warmup,
        num_samples=num_samples,
        num_chains=num_chains,
        chain_method="sequential",
        progress_bar=False,
    )

    def steps() -> np.ndarray:
        return np.asarray(mcmc.get_extra_fields(group_by_chain=True)["num_steps"]).sum(1)

    mcmc.warmup(jax.random.PRNGKey(0), *args, collect_warmup=True, extra_fields=("num_steps",))
    warmup = steps()
    mcmc.run(jax.random.PRNGKey(1), *args, extra_fields=("num_steps", "diverging", "accept_prob"))
    sampling = steps()
    draws = {name: np.asarray(value) for name, value in mcmc.get_samples(group_by_chain=True).items()}
    extra = {name: np.asarray(value) for name, value in mcmc.get_extra_fields(group_by_chain=True).items()}
    ess = [
        min(float(np.min(effective_sample_size(value[i : i + 1]))) for value in draws.values())
        for i in range(num_chains)
    ]
    return {
        "ess": ess,
        "warmup": warmup.tolist(),
        "sampling": sampling.tolist(),
        "efficiency": (np.asarray(ess) / (warmup + sampling)).tolist(),
        "divergences": extra["diverging"].sum(1).tolist(),
        "accept_prob": extra["accept_prob"].mean(1).tolist(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=GEOMETRIES, nargs="+")
    parser.add_argument("--mass-adaptation", help="an option of NUTS in this repository")
    parser.add_argument("--num-chains", type=int, default=5)
    parser.add_argument("--num-warmup", type=int, default=500)
    parser.add_argument("--num-samples", type=int, default=500)
    parser.add_argument("--target-accept-prob", type=float, default=0.8)
    given = parser.parse_args()
    extra = {"target_accept_prob": given.target_accept_prob}
    if given.mass_adaptation:
        extra["mass_adaptation"] = given.mass_adaptation
    for model in given.model:
        result = measure(model, extra, given.num_chains, given.num_warmup, given.num_samples)
        print(json.dumps({"model": model, **result}), flush=True)

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Measure one kernel on one model in this process, or ``Predictive`` or ``log_likelihood``, with the ``numpyro`` of
this environment; print one line of JSON."""

from __future__ import annotations

import argparse
from collections.abc import Callable
import json
import resource
import time
from typing import Any

import jax
from kernel_cases import CASES, state_space_without_data
import numpy as np

import numpyro
from numpyro.diagnostics import effective_sample_size
import numpyro.distributions as dist
from numpyro.infer import MCMC, Predictive, log_likelihood


def timed(fn: Callable[..., Any], *args: Any) -> float:
    begin = time.perf_counter()
    jax.block_until_ready(fn(*args))
    return time.perf_counter() - begin


def measure_kernel(kernel: str, model: str) -> dict[str, Any]:
    """Seconds of the first run and of the same object's next one, and effective draws of the worst parameter of the
    latter."""
    case = CASES[kernel][model]()
    ensemble = {"num_chains": case.walkers, "chain_method": "vectorized"} if case.walkers > 1 else {}
    mcmc = MCMC(case.kernel, num_warmup=case.iterations, num_samples=case.iterations, progress_bar=False, **ensemble)

    def run(seed: int) -> Any:
        mcmc.run(jax.random.PRNGKey(seed), *case.args)
        return mcmc.get_samples()

    first, again = timed(run, 0), timed(run, 1)
    draws = mcmc.get_samples(group_by_chain=True)
    # A label that never changes has no effective sample size.
    found = [effective_sample_size(np.asarray(value, float)) for value in draws.values()]
    ess = min(float(np.nanmin(x)) for x in found if np.any(np.isfinite(x)))
    return {"first": first, "again": again, "min_ess": ess, "ess_per_s": ess / again}


def measure_predictive(_: str) -> dict[str, Any]:
    """Predictions of the state space model at 1000 draws: the first call, and the best of the same object's next ones,
    with other keys."""
    rng = np.random.default_rng(0)
    draws = {
        "step_scale": rng.uniform(0.05, 0.2, 1000),
        "noise": rng.uniform(0.3, 0.7, 1000),
        "x": rng.normal(size=(1000, 200, 3, 2)),
    }
    predictive = Predictive(state_space_without_data, draws)
    first, *later = (timed(predictive, jax.random.PRNGKey(seed)) for seed in range(4))
    return {"first": first, "again": min(later)}


COUNTS = {"regression": 1000, "regression_100_draws": 100}
"""Numbers of draws of the cases of ``log_likelihood``: 400 MB of results, and 40."""


def measure_log_likelihood(case: str) -> dict[str, Any]:
    """Some draws on a regression of 100,000 rows: the first call, and the best of later ones with other draws."""
    count = COUNTS[case]
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 100_000))

    def model(x, y):
        slope = numpyro.sample("slope", dist.Normal(0, 1))
        noise = numpyro.sample("noise", dist.HalfNormal(1))
        with numpyro.plate("row", len(x)):
            numpyro.sample("y", dist.Normal(slope * x, noise), obs=y)

    def call(seed: int) -> Any:
        rng = np.random.default_rng(seed)
        draws = {"slope": rng.normal(size=count), "noise": rng.uniform(0.5, 1.5, count)}
        return log_likelihood(model, draws, x, y)

    return {"first": timed(call, 0), "again": min(timed(call, seed) for seed in range(1, 4))}


FUNCTIONS = {"Predictive": measure_predictive, "log_likelihood": measure_log_likelihood}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kernel", choices=[*CASES, *FUNCTIONS])
    parser.add_argument("model", nargs="?")
    options = parser.parse_args()
    if options.kernel in FUNCTIONS:
        result = FUNCTIONS[options.kernel](options.model or "regression")
    else:
        result = measure_kernel(options.kernel, options.model)
    result |= {
        "max_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "versions": {"jax": jax.__version__, "numpyro": numpyro.__version__},
    }
    print(json.dumps(result))

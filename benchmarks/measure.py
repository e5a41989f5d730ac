# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Measure one model in this process, with the ``numpyro`` of this environment; print one line of JSON.

A fresh process for each measurement is the point: the first run pays for tracing and compilation, as a user does.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from typing import Any

start = time.perf_counter()
import jax  # noqa: E402

IMPORT_JAX = time.perf_counter() - start

start = time.perf_counter()
import numpyro  # noqa: E402

IMPORT_NUMPYRO = time.perf_counter() - start

from geometries import GEOMETRIES  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from models import MODELS  # noqa: E402
import numpy as np  # noqa: E402

from numpyro.diagnostics import effective_sample_size  # noqa: E402
from numpyro.infer import MCMC, NUTS  # noqa: E402
from numpyro.infer.util import initialize_model  # noqa: E402

KNOWN = GEOMETRIES | MODELS


def measure_numpyro(name: str, num_warmup: int, num_samples: int, num_chains: int, chain_method: str) -> dict[str, Any]:
    """Seconds of the first run and of the same object's next one; cost of a leapfrog step once all is compiled."""
    model, args = KNOWN[name]()
    mcmc = MCMC(
        NUTS(model),
        num_warmup=num_warmup,
        num_samples=num_samples,
        num_chains=num_chains,
        chain_method=chain_method,
        progress_bar=False,
    )

    def run(seed: int) -> float:
        begin = time.perf_counter()
        mcmc.run(jax.random.PRNGKey(seed), *args, extra_fields=("num_steps", "diverging"))
        jax.block_until_ready(mcmc.get_samples())
        return time.perf_counter() - begin

    first, again = run(0), run(1)
    draws = mcmc.get_samples(group_by_chain=True)
    ess = min(float(np.min(effective_sample_size(np.asarray(value)))) for value in draws.values())
    divergences = int(np.sum(mcmc.get_extra_fields()["diverging"]))

    # Continuing leaves out the warm-up, so that time and counted steps belong together; the first time compiles. What
    # this repository computes of the draws after a run is no step either.
    if silence := getattr(numpyro.diagnostics, "enable_diagnostic_warnings", None):
        silence(False)
    for seed in (2, 3):
        mcmc.post_warmup_state = mcmc.last_state
        sampling = run(seed)
    steps = int(np.sum(mcmc.get_extra_fields()["num_steps"]))
    return {
        "first": first,
        "again": again,
        "leapfrogs": steps,
        "us_per_leapfrog": 1e6 * sampling / steps,
        "us_per_gradient": gradient_cost(model, args),
        "min_ess": ess,
        "ess_per_s": ess / again,
        "divergences": divergences,
    }


def measure_blackjax(
    name: str, num_warmup: int, num_samples: int, num_chains: int, chain_method: str
) -> dict[str, Any]:
    """BlackJAX's NUTS with its window adaptation, in one ``jit``, on the density that this ``numpyro`` gives.

    Making that density and finding where it can start is not in the time.
    """
    import blackjax

    if num_chains != 1:
        raise SystemExit("the BlackJAX measurement is for one chain")
    model, args = KNOWN[name]()
    info = initialize_model(jax.random.PRNGKey(0), model, model_args=args)
    position = info.param_info.z

    def log_density(z):
        return -info.potential_fn(z)

    @jax.jit
    def program(key):
        warmup_key, *keys = jax.random.split(key, num_samples + 1)
        adaptation = blackjax.window_adaptation(blackjax.nuts, log_density)
        (state, parameters), _ = adaptation.run(warmup_key, position, num_warmup)
        step = blackjax.nuts(log_density, **parameters).step

        def body(state, key):
            state, step_info = step(key, state)
            return state, (state.position, step_info.num_integration_steps, step_info.is_divergent)

        return jax.lax.scan(body, state, jnp.stack(keys))[1]

    begin = time.perf_counter()
    jax.block_until_ready(program(jax.random.PRNGKey(0)))
    first = time.perf_counter() - begin
    begin = time.perf_counter()
    draws, steps, divergences = jax.block_until_ready(program(jax.random.PRNGKey(1)))
    again = time.perf_counter() - begin
    ess = min(float(np.min(effective_sample_size(np.asarray(value)[None]))) for value in jax.tree.leaves(draws))
    return {
        "first": first,
        "again": again,
        "leapfrogs": int(steps.sum()),
        "min_ess": ess,
        "ess_per_s": ess / again,
        "divergences": int(divergences.sum()),
    }


def gradient_cost(model: Any, args: tuple[Any, ...], seconds: float = 1.0) -> float:
    """Microseconds of one evaluation of the potential and its gradient, chained in a compiled loop, best of three."""
    info = initialize_model(jax.random.PRNGKey(0), model, model_args=args)
    value_and_grad = jax.value_and_grad(info.potential_fn)

    @jax.jit
    def loop(count, z):
        def body(_, carry):
            z, total = carry
            potential, gradient = value_and_grad(z)
            return jax.tree.map(lambda z, g: z - 1e-10 * g, z, gradient), total + potential

        return jax.lax.fori_loop(0, count, body, (z, 0.0))

    def timed(count: int) -> float:
        begin = time.perf_counter()
        jax.block_until_ready(loop(count, info.param_info.z))
        return time.perf_counter() - begin

    timed(1)
    count = max(10, int(100 * seconds / 3 / max(timed(100), 1e-6)))
    return 1e6 * min(timed(count) for _ in range(3)) / count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=KNOWN)
    parser.add_argument("--sampler", choices=["numpyro", "blackjax"], default="numpyro")
    parser.add_argument("--num-warmup", type=int, default=500)
    parser.add_argument("--num-samples", type=int, default=500)
    parser.add_argument("--num-chains", type=int, default=1)
    parser.add_argument("--chain-method", default="sequential")
    options = parser.parse_args()
    measure = measure_blackjax if options.sampler == "blackjax" else measure_numpyro
    result = measure(options.model, options.num_warmup, options.num_samples, options.num_chains, options.chain_method)
    result |= {
        "import_jax": IMPORT_JAX,
        "import_numpyro": IMPORT_NUMPYRO,
        "max_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "versions": {"jax": jax.__version__, "numpyro": numpyro.__version__},
    }
    print(json.dumps(result))

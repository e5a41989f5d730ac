# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Measure nutpie on one of :mod:`pymc_models` in this process; print one line of JSON, as ``measure.py`` does.

The first run is the compilation by Numba and a run of the sampler; making the PyMC model is not in the time.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import arviz
import numpy as np
import nutpie
import pymc as pm
import pymc_models

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("data", help="file of the model's arguments")
    parser.add_argument("--num-warmup", type=int, default=500)
    parser.add_argument("--num-samples", type=int, default=500)
    options = parser.parse_args()
    with np.load(options.data) as file:
        data = [file[key] for key in file]
    with pm.Model() as model:
        getattr(pymc_models, options.model)(*data)

    def run(seed: int):
        return nutpie.sample(
            compiled,
            tune=options.num_warmup,
            draws=options.num_samples,
            chains=1,
            cores=1,
            seed=seed,
            progress_bar=False,
            store_divergences=False,
        )

    begin = time.perf_counter()
    compiled = nutpie.compile_pymc_model(model)
    run(0)
    first = time.perf_counter() - begin
    begin = time.perf_counter()
    trace = run(1)
    again = time.perf_counter() - begin
    ess = min(float(values.min()) for values in arviz.ess(trace.posterior, method="mean").values())
    result = {
        "first": first,
        "again": again,
        "leapfrogs": int(trace.sample_stats.n_steps.sum()),
        "min_ess": ess,
        "ess_per_s": ess / again,
        "divergences": int(trace.sample_stats.diverging.sum()),
        "max_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "versions": {"nutpie": nutpie.__version__, "pymc": pm.__version__},
    }
    print(json.dumps(result))

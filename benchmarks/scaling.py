# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""How the cost of NUTS grows with the numbers of draws, chains, dimensions and rows of data.

Each point is a process of its own. The table and the plot show the first run and the same object's next one, in this
repository and in NumPyro 0.22.0; with ``--clock cpu``, the time of the processor, for a machine that has other work.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import json
from pathlib import Path
import sys
import time
from typing import Any

from environments import ROOT, add_python_option, interpreter, named, run

AXES: dict[str, tuple[int, ...]] = {
    "draws": (100, 1_000, 10_000, 100_000),
    "chains": (1, 4, 16, 64, 256),
    "dimensions": (10, 100, 1_000, 10_000),
    "rows": (100, 1_000, 10_000, 100_000, 1_000_000),
}
TITLES = {
    "draws": "draws (eight schools)",
    "chains": "chains of 300 + 300 draws (radon study's size)",
    "dimensions": "dimensions (independent normals, scales within a factor of 10; 200 + 200 draws)",
    "rows": "rows (logistic regression on 10 predictors; 100 + 100 draws)",
}
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
COLORS = {"here": "C0", "here, vectorized": "C2", "NumPyro": "C1", "NumPyro, vectorized": "C1"}
LIMIT = 40
"""Seconds: where a library's run takes longer, it is not measured at larger sizes."""


def problem(axis: str, size: int) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """A model, its arguments, and the settings of MCMC."""
    import jax.numpy as jnp
    from models import eight_schools, hierarchical_regression
    import numpy as np

    import numpyro
    import numpyro.distributions as dist

    rng = np.random.default_rng(0)
    if axis == "draws":
        return *eight_schools(), {"num_warmup": 500, "num_samples": size}
    if axis == "chains":
        return *hierarchical_regression(), {"num_warmup": 300, "num_samples": 300, "num_chains": size}
    if axis == "dimensions":

        def gaussian(scale):
            numpyro.sample("x", dist.Normal(0, scale).to_event(1))

        scale = (10 ** rng.uniform(-0.5, 0.5, size)).astype(np.float32)
        return gaussian, (scale,), {"num_warmup": 200, "num_samples": 200}

    def logistic(predictors, outcome):
        slope = numpyro.sample("slope", dist.Normal(0, 1).expand([10]).to_event(1))
        numpyro.sample("outcome", dist.Bernoulli(logits=predictors @ slope), obs=outcome)

    predictors = rng.normal(size=(size, 10)).astype(np.float32)
    outcome = (rng.random(size) < 1 / (1 + np.exp(-predictors @ rng.normal(size=10)))).astype(np.int32)
    return logistic, (jnp.asarray(predictors), jnp.asarray(outcome)), {"num_warmup": 100, "num_samples": 100}


def measure(axis: str, size: int, method: str, clock: Callable[[], float]) -> dict[str, float]:
    """Seconds of the first run and of the next one, and leapfrog steps of the latter after warm-up, in this process."""
    import warnings

    import jax
    import numpy as np

    from numpyro.infer import MCMC, NUTS

    warnings.simplefilter("ignore")
    model, args, settings = problem(axis, size)
    mcmc = MCMC(NUTS(model), progress_bar=False, chain_method=method, **settings)
    seconds = []
    for seed in (0, 1):
        begin = clock()
        mcmc.run(jax.random.PRNGKey(seed), *args, extra_fields=("num_steps",))
        jax.block_until_ready(mcmc.get_samples())
        seconds.append(clock() - begin)
    steps = int(np.sum(mcmc.get_extra_fields()["num_steps"]))
    return {"first": seconds[0], "again": seconds[1], "steps": steps}


def plot(results: dict[str, dict[str, dict[int, dict[str, float]]]], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.fonttype"] = "none"
    import matplotlib.pyplot as plt

    size = (4 * len(results), 3.2)
    figure, axes = plt.subplots(1, len(results), figsize=size, constrained_layout=True, squeeze=False)
    for ax, (axis, libraries) in zip(axes[0], results.items(), strict=True):
        for name, points in libraries.items():
            color = COLORS[name]
            for style, key in (("--", "first"), ("-", "again")):
                ax.loglog(list(points), [p[key] for p in points.values()], color + style, label=f"{name}, {key}")
        ax.set(xlabel=TITLES[axis].split(" (")[0].split(" of")[0], ylabel="seconds")
        ax.minorticks_off()
        ax.legend(fontsize="x-small")
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("axes", nargs="*", default=list(AXES), metavar="axis", help=f"of {', '.join(AXES)}")
    add_python_option(parser)
    parser.add_argument("--clock", default="wall", choices=CLOCKS)
    parser.add_argument("--plot", type=Path, help="write a plot to this file")
    parser.add_argument("--output", type=Path, help="write the measurements to this file, as lines of JSON")
    parser.add_argument("--show", type=Path, nargs="*", help="measure nothing, show what --output has written")
    parser.add_argument("--measure", nargs=3, metavar=("AXIS", "SIZE", "METHOD"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        axis, size, method = arguments.measure
        print(json.dumps(measure(axis, int(size), method, CLOCKS[arguments.clock])))
        return
    known: dict[tuple[str, str, int], dict[str, float]] = {}
    for path in arguments.show or ():
        for line in path.read_text().splitlines():
            point = json.loads(line)
            known[point.pop("axis"), point.pop("library"), point.pop("size")] = point
    given = named(arguments.python)
    results: dict[str, Any] = {}
    for axis in arguments.axes:
        variants = {"here": ("this", "parallel"), "NumPyro": ("peers", "parallel")}
        if axis == "chains":
            variants = {"here": ("this", "parallel"), "here, vectorized": ("this", "vectorized")}
            variants["NumPyro, vectorized"] = ("peers", "vectorized")
        print(f"\n### {TITLES[axis]}\n")
        print(f"| {axis} | " + " | ".join(f"{name}: first, s | again, s" for name in variants) + " |")
        print("|---" * (1 + 2 * len(variants)) + "|", flush=True)
        results[axis] = {name: {} for name in variants}
        over: set[str] = set()
        for size in AXES[axis]:
            cells = []
            for name, (environment, method) in variants.items():
                if name in over:
                    cells += ["", ""]
                    continue
                if arguments.show is None:
                    command = [interpreter(environment, given), str(ROOT / "benchmarks/scaling.py")]
                    command += ["--clock", arguments.clock, "--measure", axis, str(size), method]
                    known[axis, name, size] = json.loads(run(environment, command).splitlines()[-1])
                    if arguments.output:
                        with arguments.output.open("a") as file:
                            line = {"axis": axis, "library": name, "size": size} | known[axis, name, size]
                            file.write(json.dumps(line) + "\n")
                point = known.get((axis, name, size))
                if point is None:
                    cells += ["", ""]
                    continue
                results[axis][name][size] = point
                if point["first"] > LIMIT:
                    over.add(name)
                cells += [f"{point['first']:.3g}", f"{point['again']:.3g}"]
            print(f"| {size} | " + " | ".join(cells) + " |", flush=True)
    if arguments.plot:
        plot(results, arguments.plot)


if __name__ == "__main__":
    sys.exit(main())

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Compare NUTS in this repository with NumPyro 0.22.0, BlackJAX and nutpie, side by side in one run.

Each measurement is a process of its own, in an environment of the library's own (made under ``.benchmarks/`` on first
use, those with JAX with the same one). Repetitions alternate between the libraries, so that a change of the machine's
speed meets all of them. The table shows medians.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
import tempfile
from typing import Any, NamedTuple

from environments import ROOT, add_python_option, interpreter, named, run

MODELS = (
    "eight_schools",
    "logistic_regression",
    "hierarchical_regression",
    "state_space",
    "gaussian_process",
    "eight_schools_centered",
    "negative_binomial",
    "ordinal_regression",
    "normal_mixture",
    "stochastic_volatility",
    "item_response",
    "horseshoe",
)


class Library(NamedTuple):
    """Where it is installed, and which sampler of it to measure."""

    environment: str
    sampler: str


LIBRARIES = {
    "this repository": Library("this", "numpyro"),
    "NumPyro 0.22.0": Library("peers", "numpyro"),
    "BlackJAX": Library("peers", "blackjax"),
    "nutpie": Library("nutpie", "nutpie"),
}
COLUMNS = {
    "first": "first run, s",
    "again": "again, s",
    "us_per_leapfrog": "µs per leapfrog",
    "us_per_gradient": "µs per gradient",
    "leapfrogs": "leapfrogs",
    "min_ess": "min ESS",
    "ess_per_s": "ESS per s",
    "divergences": "divergences",
    "import_numpyro": "import after jax, s",
    "max_rss_mb": "memory, MiB",
}


def measure(library: Library, python: str, model: str, data: str, options: list[str]) -> dict[str, Any]:
    if library.sampler == "nutpie":
        command = [python, str(ROOT / "benchmarks/measure_nutpie.py"), model, data]
    else:
        command = [python, str(ROOT / "benchmarks/measure.py"), model, "--sampler", library.sampler, *options]
    return json.loads(run(library.environment, command).splitlines()[-1])


def table(results: dict[str, list[dict[str, Any]]]) -> list[str]:
    """A Markdown table of medians for one model, with this repository's share of each other library's figure."""
    medians = {
        library: {key: median(row[key] for row in rows) for key in COLUMNS if key in rows[0]}
        for library, rows in results.items()
    }
    names = list(results)
    others = names[1:]
    lines = [
        "| | " + " | ".join([*names, *(f"ratio to {name}" for name in others)]) + " |",
        "|---" * (1 + len(names) + len(others)) + "|",
    ]
    for key, title in COLUMNS.items():
        cells = [f"{medians[name][key]:.3g}" if key in medians[name] else "" for name in names]
        for name in others:
            known = key in medians[name] and key in medians[names[0]] and medians[name][key]
            cells.append(f"{medians[names[0]][key] / medians[name][key]:.3g}" if known else "")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS, metavar="model", help=f"of {', '.join(MODELS)}")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--num-chains", type=int, default=1)
    parser.add_argument("--chain-method", default="sequential")
    parser.add_argument("--without", nargs="*", default=[], choices=list(LIBRARIES)[1:], help="libraries to leave out")
    add_python_option(parser)
    parser.add_argument("--output", type=Path, help="write the single measurements to this file, as lines of JSON")
    arguments = parser.parse_args()
    given = named(arguments.python)
    libraries = {name: library for name, library in LIBRARIES.items() if name not in arguments.without}
    if arguments.num_chains != 1:
        libraries = {name: library for name, library in libraries.items() if library.sampler == "numpyro"}
    options = ["--num-chains", str(arguments.num_chains), "--chain-method", arguments.chain_method]

    pythons = {name: interpreter(library.environment, given) for name, library in libraries.items()}
    directory = Path(tempfile.mkdtemp())
    for model in arguments.models:
        data = str(directory / f"{model}.npz")
        run("this", [pythons["this repository"], str(ROOT / "benchmarks/models.py"), model, data])
        results: dict[str, list[dict[str, Any]]] = {name: [] for name in libraries}
        for _ in range(arguments.repeat):
            for name, library in libraries.items():
                result = measure(library, pythons[name], model, data, options)
                results[name].append(result)
                if arguments.output:
                    with arguments.output.open("a") as file:
                        file.write(json.dumps({"model": model, "library": name, **result}) + "\n")
        print(f"\n### {model}\n", *table(results), sep="\n", flush=True)


if __name__ == "__main__":
    main()

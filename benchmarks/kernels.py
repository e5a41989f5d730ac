# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Compare the kernels other than NUTS, ``Predictive`` and ``log_likelihood`` with those of NumPyro 0.22.0, side by side
in one run.

Each measurement is a process of its own, as in ``mcmc.py``; repetitions alternate between the libraries.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

from environments import ROOT, add_python_option, interpreter, named, run

CASES = {
    "BarkerMH": ("eight_schools", "logistic_regression"),
    "SA": ("eight_schools", "gaussian_process"),
    "AIES": ("eight_schools", "gaussian_process"),
    "ESS": ("eight_schools", "regression"),
    "HMCGibbs": ("conjugate_noise", "conjugate_effects"),
    "DiscreteHMCGibbs": ("change_point", "labelled_mixture"),
    "MixedHMC": ("change_point", "labelled_mixture"),
    "HMCECS": ("logistic", "poisson"),
    "Gibbs": ("robust_regression", "labelled_mixture"),
    "Predictive": ("state_space",),
    "log_likelihood": ("regression", "regression_100_draws"),
}
LIBRARIES = {"here": "this", "NumPyro 0.22.0": "peers"}
TITLES = {"first": "first, s", "again": "again, s", "ess_per_s": "ESS per s"}


def table(results: dict[tuple[str, str], dict[str, list[dict[str, Any]]]]) -> list[str]:
    """A Markdown table of medians; in brackets this repository's figure divided by the other's."""
    here, other = LIBRARIES
    lines = ["| | " + " | ".join(f"{title}: here | {other}" for title in TITLES.values()) + " |"]
    lines.append("|---" * (1 + 2 * len(TITLES)) + "|")
    for (kernel, model), rows in results.items():
        cells = []
        for key in TITLES:
            if key not in rows[here][0]:
                cells += ["", ""]
                continue
            ours, theirs = (median(row[key] for row in rows[name]) for name in LIBRARIES)
            cells += [f"{ours:.3g}", f"{theirs:.3g} ({ours / theirs:.3g})"]
        lines.append(f"| {kernel}, {model.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = ", ".join(CASES)
    parser.add_argument(
        "kernels", nargs="*", default=list(CASES), metavar="kernel", help=f"of {known}, or kernel:model for one model"
    )
    parser.add_argument("--repeat", type=int, default=3)
    add_python_option(parser)
    parser.add_argument("--output", type=Path, help="write the single measurements to this file, as lines of JSON")
    arguments = parser.parse_args()
    given = named(arguments.python)
    pythons = {name: interpreter(environment, given) for name, environment in LIBRARIES.items()}
    script = str(ROOT / "benchmarks/measure_kernels.py")
    results: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for name in arguments.kernels:
        kernel, _, only = name.partition(":")
        for model in [only] if only else CASES[kernel]:
            found = results[kernel, model] = {name: [] for name in LIBRARIES}
            for _ in range(arguments.repeat):
                for library, environment in LIBRARIES.items():
                    result = json.loads(run(environment, [pythons[library], script, kernel, model]).splitlines()[-1])
                    found[library].append(result)
                    if arguments.output:
                        with arguments.output.open("a") as file:
                            row = {"kernel": kernel, "model": model, "library": library, **result}
                            file.write(json.dumps(row) + "\n")
    print(*table(results), sep="\n")


if __name__ == "__main__":
    main()

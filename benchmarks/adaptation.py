# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Compare how well the warm-ups of this repository and of NumPyro 0.22.0 prepare NUTS.

The figure is the least effective sample size over all parameters, divided by the number of gradients that were
evaluated for it, those of warm-up included: it depends neither on the machine nor on how fast a step is made. Each
model is measured with several independent chains, and the tables show medians over them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
import json
from pathlib import Path
from statistics import median
from typing import Any

from environments import ROOT, add_python_option, interpreter, named, run

BASELINE = "NumPyro 0.22.0"
VARIANTS = {BASELINE: None, "welford": "welford", "fisher": "fisher", "fisher_low_rank": "fisher_low_rank"}


def names(variable: str) -> tuple[str, ...]:
    """The models that ``geometries.py`` lists, without importing it: this process needs no JAX."""
    text = (ROOT / "benchmarks/geometries.py").read_text()
    start = text.index(f"\n{variable} = ")
    quoted = text[start : text.find("\n\n", start)].split('"')[1::2]
    return tuple(quoted)


def measure(
    environment: str, python: str, mass_adaptation: str | None, models: Iterable[str], options: list[str]
) -> list[dict]:
    """One process for all models, since no time is measured."""
    command = [python, str(ROOT / "benchmarks/measure_adaptation.py"), *models, *options]
    if mass_adaptation is not None:
        command += ["--mass-adaptation", mass_adaptation]
    return [json.loads(line) for line in run(environment, command).splitlines() if line.startswith("{")]


def table(rows: list[dict[str, Any]], models: Iterable[str], correlated: Iterable[str]) -> list[str]:
    """A Markdown table: effective draws per 1000 gradients, and the ratio to the baseline, of each variant."""
    efficiency = {(row["model"], row["variant"]): 1e3 * median(row["efficiency"]) for row in rows}
    variants = [name for name in VARIANTS if any(row["variant"] == name for row in rows)]
    # Without NumPyro's figures, those of the same algorithm here take their place.
    baseline = variants[0]
    lines = ["| model | " + " | ".join(variants) + " |", "|---" * (1 + len(variants)) + "|"]
    ratios: dict[str, dict[str, float]] = {name: {} for name in variants}
    for model in models:
        cells = []
        for variant in variants:
            value = efficiency.get((model, variant))
            base = efficiency.get((model, baseline))
            if value is not None and base is not None:
                ratios[variant][model] = value / base
            ratio = f" ({value / base:.2g})" if value is not None and base is not None and variant != baseline else ""
            cells.append("" if value is None else f"{value:.3g}{ratio}")
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
    for title, chosen in (("median ratio", tuple(models)), ("of the correlated ones", tuple(correlated))):
        found = [[ratios[name][model] for model in chosen if model in ratios[name]] for name in variants]
        lines.append(f"| {title} | " + " | ".join(f"{median(values):.3g}" if values else "" for values in found) + " |")
    return lines


def main() -> None:
    known = names("GEOMETRIES")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=known, metavar="model", help=f"of {', '.join(known)}")
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--num-chains", type=int, default=5, help="independent chains of each model")
    parser.add_argument("--num-warmup", type=int, default=500)
    parser.add_argument("--num-samples", type=int, default=500)
    add_python_option(parser)
    parser.add_argument("--output", type=Path, help="write the measurements to this file, as lines of JSON")
    parser.add_argument("--show", type=Path, nargs="*", help="measure nothing, show what --output has written")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for path in arguments.show or ():
        rows += [json.loads(line) for line in path.read_text().splitlines()]
    if arguments.show is None:
        given = named(arguments.python)
        options = [
            f"--num-chains={arguments.num_chains}",
            f"--num-warmup={arguments.num_warmup}",
            f"--num-samples={arguments.num_samples}",
        ]
        for variant in arguments.variants:
            environment = "peers" if variant == BASELINE else "this"
            python = interpreter(environment, given)
            for model in arguments.models:
                (row,) = measure(environment, python, VARIANTS[variant], [model], options)
                rows.append({"variant": variant, **row})
                if arguments.output:
                    with arguments.output.open("a") as file:
                        file.write(json.dumps(rows[-1]) + "\n")
    print(*table(rows, arguments.models, names("CORRELATED")), sep="\n")


if __name__ == "__main__":
    main()

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Compare the distributions of this repository with those of NumPyro 0.22.0, class by class, side by side in one run.

Two processes, one for each library in an environment of its own (made under ``.benchmarks/`` on first use, with the
same JAX), take turns call by call, so that a change of the machine's speed meets both. The table shows the ratio of the
fastest calls, this repository's divided by the other's.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
import json
import os
from pathlib import Path
import select
import signal
from statistics import median
import subprocess
import sys
import tempfile
from typing import Any

from distribution_cases import ALL_CASES
from environments import ROOT, add_python_option, interpreter, named

COLUMNS = ("log_prob", "gradient", "sample", "first")
TITLES = {"log_prob": "log_prob", "gradient": "its gradient", "sample": "sample", "first": "first evaluation"}
LIMIT = 1.1
SILENT = {"peers": "peer did not answer", "this": "this repository did not answer"}


class NoAnswer(RuntimeError):
    """A worker has not answered in time. It has been replaced by a new one."""

    def __init__(self, worker: Worker, order: str) -> None:
        super().__init__(f"{worker.environment}: no answer to {order!r} within {worker.patience:.0f} seconds")
        self.worker = worker


class Worker:
    """A process that measures one library; a new one takes its place if it does not answer in time.

    :param environment: "this" or "peers". Only the former finds the package of this checkout.
    :param patience: seconds that an answer may take.
    """

    def __init__(self, environment: str, python: str, patience: float) -> None:
        self.environment, self.python, self.patience = environment, python, patience
        self._start()

    def _start(self) -> None:
        command = [self.python, str(ROOT / "benchmarks/measure_distributions.py")]
        surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        if self.environment == "this":
            surroundings["PYTHONPATH"] = str(ROOT)
        # In a session of its own, so that it ends together with the children that it has forked.
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=surroundings, start_new_session=True
        )

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def __call__(self, order: str, *arguments: Any) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps([order, *arguments]), file=self.process.stdin, flush=True)
        # Each answer is one line, the only one under way.
        if not select.select([self.process.stdout], [], [], self.patience)[0]:
            self.stop()
            self._start()
            raise NoAnswer(self, order)
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(f"{order}{tuple(arguments)}: {answer['error']}")
        return answer["answer"]


def fastest(workers: list[Worker], order: tuple[Any, ...], repeat: int, best: list[float] | None = None) -> list[float]:
    """Seconds of the fastest of some calls by each worker, in turn."""
    best = best or [float("inf")] * len(workers)
    for _ in range(repeat):
        best = [min(seconds, worker(*order)) for seconds, worker in zip(best, workers, strict=True)]
    return best


def compare_programs(workers: list[Worker], name: str, path: str, repeat: int, clock: str) -> dict[str, list[float]]:
    """Seconds of the compiled programs of a case, by each worker; what looks slow is measured for longer."""
    known = [worker("prepare", name, path) for worker in workers]
    seconds = {}
    for program in known[0]:
        best = fastest(workers, ("run", program, 2, clock), repeat)
        for _ in range(3):
            if best[0] > LIMIT * best[-1]:
                best = fastest(workers, ("run", program, 3, clock), repeat, best)
        seconds[program] = best
    for worker in workers:
        worker("forget")
    return seconds


def compare_first(workers: list[Worker], name: str, value: list[Any], repeat: int, clock: str) -> list[dict[str, Any]]:
    """What the first evaluation of a case takes each worker: the fastest of some."""
    answers: list[list[dict[str, Any]]] = [[] for _ in workers]
    for _ in range(repeat):
        for worker, known in zip(workers, answers, strict=True):
            answer = worker("first", name, value, clock)
            if "error" in answer:
                raise RuntimeError(f"the first evaluation of {name}: {answer['error']}")
            known.append(answer)
    return [min(known, key=lambda answer: answer["first"]) for known in answers]


def compare(
    workers: list[Worker], parents: list[Worker], name: str, arguments: argparse.Namespace
) -> tuple[dict[str, list[float]], list[dict[str, Any]]]:
    """Seconds by each worker of what is measured of a case, and their accounts of its first evaluation."""
    seconds: dict[str, list[float]] = {}
    firsts: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "values.npy")
        value = workers[0]("draw", name, path)
        if arguments.only != "first":
            seconds = compare_programs(workers, name, path, arguments.repeat, arguments.clock)
        if arguments.only != "jitted" and not ALL_CASES[name].rows:
            firsts = compare_first(parents, name, value, min(3, arguments.repeat), arguments.clock)
            seconds["first"] = [answer["first"] for answer in firsts]
    return seconds, firsts


def measure(workers: list[Worker], parents: list[Worker], name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The figures of one class. If a worker does not answer, once more; then those of this repository alone."""
    silent = None
    for counted in (len(workers), len(workers), 1):
        try:
            seconds, firsts = compare(workers[:counted], parents[:counted], name, arguments)
            break
        except NoAnswer as error:
            print(f"{name}: {error}", file=sys.stderr)
            silent = error.worker.environment
    else:
        seconds, firsts, counted = {}, [], 0
    is_compared = counted == len(workers)
    return {
        "draws": ALL_CASES[name].draws,
        "ratios": {column: both[0] / both[1] for column, both in seconds.items()} if is_compared else {},
        "seconds": seconds,
        "silent": None if is_compared else silent,
        "first_seconds": seconds.get("first", []),
        "compiled": [answer["compiled"] for answer in firsts],
        "compiled_building": [answer["compiled_building"] for answer in firsts] or [0, 0],
    }


def row(name: str, result: dict[str, Any]) -> str:
    """A line of the table for one class: ratios, or milliseconds if there is no figure to compare with."""
    cells = []
    for column in COLUMNS:
        ratio, seconds = result["ratios"].get(column), result["seconds"].get(column)
        if ratio is not None:
            cells.append(f"**{ratio:.2f}**" if ratio > LIMIT else f"{ratio:.2f}")
        else:
            cells.append("" if seconds is None else f"{1e3 * seconds[0]:.1f} ms")
    first = [f"{1e3 * seconds:.0f}" for seconds in result["first_seconds"]]
    if result["silent"]:
        remark = SILENT[result["silent"]]
    else:
        remark = " and ".join(str(count) for count in result["compiled"])
    cells += [*first, *[""] * (2 - len(first)), remark]
    return f"| {name} | {result['draws']} | " + " | ".join(cells) + " |"


def summary(results: dict[str, dict[str, Any]]) -> Iterable[str]:
    """The figures over all classes."""
    for column in COLUMNS:
        ratios = [result["ratios"][column] for result in results.values() if column in result["ratios"]]
        if ratios:
            slow = sum(ratio > LIMIT for ratio in ratios)
            yield f"- {TITLES[column]}: median {median(ratios):.2f}, worst {max(ratios):.2f}, {slow} above {LIMIT}"
    if jitted := [result["ratios"][c] for result in results.values() for c in COLUMNS[:3] if c in result["ratios"]]:
        yield f"- compiled work as a whole: median {median(jitted):.2f} of {len(jitted)} programs"
    building = [result["compiled_building"][0] for result in results.values()]
    yield f"- programs compiled by constructing a distribution here: {sum(building)} over all classes"
    for environment, remark in SILENT.items():
        if silent := [name for name, result in results.items() if result["silent"] == environment]:
            yield f"- {remark}: {', '.join(silent)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("classes", nargs="*", metavar="class", help="classes to measure; all by default")
    parser.add_argument("--repeat", type=int, default=5, help="turns (at most 3 of the first evaluation)")
    parser.add_argument(
        "--clock",
        choices=["wall", "cpu"],
        default="wall",
        help="count seconds, or those of a processor (on a busy machine)",
    )
    parser.add_argument("--only", choices=["jitted", "first"], help="measure only this part")
    add_python_option(parser)
    parser.add_argument(
        "--patience", type=float, default=180.0, help="seconds that an answer may take before its process is replaced"
    )
    parser.add_argument("--output", type=Path, help="write the single measurements to this file, as lines of JSON")
    arguments = parser.parse_args()
    if unknown := set(arguments.classes) - set(ALL_CASES):
        raise SystemExit(f"no case for {', '.join(sorted(unknown))}")
    given = named(arguments.python)
    pythons = {environment: interpreter(environment, given) for environment in ("this", "peers")}
    # Processes that fork must not have started JAX's runtime, so the first evaluations have processes of their own.
    workers, parents = (
        [Worker(environment, python, arguments.patience) for environment, python in pythons.items()] for _ in range(2)
    )
    try:
        print_table(workers, parents, arguments)
    finally:
        for worker in workers + parents:
            worker.stop()


def print_table(workers: list[Worker], parents: list[Worker], arguments: argparse.Namespace) -> None:
    """Measure class by class, with a line for each as soon as it is known, and the summary in the end."""
    results: dict[str, dict[str, Any]] = {}
    titles = [f"{TITLES[column]}" for column in COLUMNS]
    print("| class | draws |", " | ".join(titles), "| first here, ms | first there, ms | programs compiled by it |")
    print("|---" * (5 + len(titles)) + "|", flush=True)
    for name in arguments.classes or ALL_CASES:
        results[name] = result = measure(workers, parents, name, arguments)
        print(row(name, result), flush=True)
        if arguments.output:
            with arguments.output.open("a") as file:
                file.write(json.dumps({"class": name, **result}) + "\n")
    print("", *summary({name: r for name, r in results.items() if r["seconds"] or r["silent"]}), sep="\n")


if __name__ == "__main__":
    main()

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Run the fits of fits.py in two environments and compare the posteriors.

    python test_clients/compare.py OURS THEIRS [FIT ...]

OURS and THEIRS are Python interpreters of environments with this checkout and with NumPyro. For each parameter the two
posterior means, and the two standard deviations, must agree within 5 Monte Carlo standard errors of their difference.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time
from typing import Any

FITS = Path(__file__).with_name("fits.py")
NAMES = ("pymc", "bambi", "arviz", "numpyro_oop", "schechter", "shabadoo")
TOLERANCE = 5.0


def run(python: str, name: str) -> tuple[dict[str, Any] | None, float, str]:
    """Summary of a fit, seconds that it took, and what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "summary.json"
        began = time.perf_counter()
        # Not from the checkout's root, so that the environment's own numpyro is imported.
        done = subprocess.run([python, str(FITS), name, str(output)], cwd=folder, capture_output=True, text=True)
        seconds = time.perf_counter() - began
        if done.returncode:
            return None, seconds, done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no message"
        return json.loads(output.read_text()), seconds, ""


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """What the two summaries disagree about."""
    found = []
    if ours["parameters"].keys() != theirs["parameters"].keys():
        found.append(f"other parameters: {sorted(ours['parameters'].keys() ^ theirs['parameters'].keys())}")
    for label, row in ours["parameters"].items():
        other = theirs["parameters"].get(label)
        if other is None:
            continue
        for statistic in ("mean", "sd"):
            error = math.hypot(row[f"mcse_{statistic}"], other[f"mcse_{statistic}"])
            off = abs(row[statistic] - other[statistic])
            if not off <= TOLERANCE * error + 1e-6 * abs(other[statistic]):
                found.append(f"{label}: {statistic} {row[statistic]:.4g}, but {other[statistic]:.4g} ± {error:.2g}")
    return found


def main(arguments: list[str]) -> int:
    ours, theirs = (os.path.abspath(python) for python in arguments[:2])
    names = arguments[2:]
    failures = 0
    for name in names or NAMES:
        theirs_result, theirs_seconds, theirs_error = run(theirs, name)
        result, seconds, error = run(ours, name)
        if theirs_result is None:
            print(f"{name:12} not compared: it fails with NumPyro itself: {theirs_error}")
            failures += 1
            continue
        if result is None:
            print(f"{name:12} FAILS: {error}")
            failures += 1
            continue
        wrong = differences(result, theirs_result)
        failures += bool(wrong)
        verdict = "DIFFERS" if wrong else "agrees"
        versions = ", ".join(f"{key} {value}" for key, value in result["versions"].items())
        count = len(result["parameters"])
        print(
            f"{name:12} {verdict} in {count} parameters; {seconds:.1f} s, NumPyro {theirs_seconds:.1f} s ({versions})"
        )
        for line in wrong:
            print(f"{'':12} {line}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Python environments of the compared libraries: made under ``.benchmarks/`` on first use, all with the same JAX."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
import subprocess
import sys

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".benchmarks"
PACKAGES = {
    "this": ("-e", str(ROOT)),
    "peers": ("numpyro==0.22.0", "blackjax"),
    "nutpie": ("nutpie", "pymc", "numba"),
}


def add_python_option(parser: argparse.ArgumentParser) -> None:
    """Let a caller name interpreters: :func:`named` makes the option's value the ``given`` of :func:`interpreter`."""
    parser.add_argument(
        "--python",
        nargs="*",
        default=[],
        metavar="ENVIRONMENT=PATH",
        help=f"use this interpreter for an environment ({', '.join(PACKAGES)}) rather than make one",
    )


def named(interpreters: list[str]) -> dict[str, str]:
    """Interpreters by environment, of what was given to the option."""
    return dict(item.split("=", 1) for item in interpreters)


def interpreter(environment: str, given: dict[str, str]) -> str:
    """Python of an environment of :data:`PACKAGES`, which is made if it is not there.

    :param given: interpreters by environment that the caller has already.
    """
    if environment in given:
        return given[environment]
    directory = ENVIRONMENTS / environment
    python = directory / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
        pin = [] if environment != "peers" else [f"jax=={jax_version(given)}", f"jaxlib=={jax_version(given)}"]
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES[environment], *pin], check=True)
    return str(python)


def jax_version(given: dict[str, str]) -> str:
    """The version of JAX that this repository's environment has, for the others to have it too."""
    python = interpreter("this", given)
    return subprocess.run(
        [python, "-c", "import jax; print(jax.__version__)"], check=True, capture_output=True, text=True
    ).stdout.strip()


def run(environment: str, command: list[str]) -> str:
    """What a command prints that runs in an environment of :data:`PACKAGES`. Its Python finds no packages elsewhere: a
    ``PYTHONPATH`` would give one library the name of the other."""
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if environment == "this":
        surroundings["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(command, capture_output=True, text=True, env=surroundings)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return done.stdout

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Importing the package is quick and quiet, and what is imported late is there when asked for."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys

import pytest

import numpyro

OPTIONAL = set("arviz flax graphviz haiku matplotlib optax pandas scipy sklearn threadpoolctl tqdm".split())


def run(program, **environment):
    result = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_importing_starts_no_computation():
    # Without a platform to run on, the first operation would raise.
    run("import numpyro, numpyro.handlers, numpyro.primitives", JAX_PLATFORMS="none_such")


def test_a_platform_that_does_not_exist_is_noticed_by_the_first_operation():
    program = "import jax.numpy\ntry:\n    jax.numpy.zeros(1)\nexcept RuntimeError:\n    print('refused')"
    assert run(program, JAX_PLATFORMS="none_such") == ["refused"]


def test_statements_that_compute_nothing_start_no_computation():
    program = """
import numpy as np, numpyro, numpyro.distributions as dist
from numpyro.handlers import condition, scale, seed, substitute, trace
def model(y):
    x = numpyro.sample("x", dist.Normal(np.zeros(3), 1.0))
    with numpyro.plate("N", 3):
        numpyro.sample("y", dist.Normal(x, 1.0), obs=y)
        numpyro.factor("f", 1.0)
        numpyro.deterministic("d", x)
        numpyro.param("p", 1.0, event_dim=0)
given = seed(condition(substitute(scale(model, scale=2.0), data={"x": np.ones(3)}), data={"y": np.ones(3)}))
print(*trace(given).get_trace(np.zeros(3)))
"""
    assert run(program, JAX_PLATFORMS="none_such") == ["x", "N", "y", "f", "d", "p"]


def test_importing_brings_in_no_package_that_is_needed_later_or_never():
    program = "import sys, jax; before = set(sys.modules); import numpyro; print(*(set(sys.modules) - before))"
    imported = {name.split(".")[0] for name in run(program)}
    assert "numpyro" in imported
    assert not imported & OPTIONAL


def test_importing_adds_little_to_importing_jax():
    program = "import time, jax; start = time.process_time(); import numpyro; print(time.process_time() - start)"
    durations = []
    for _ in range(4):
        durations.append(float(run(program)[0]))
        if durations[-1] < 0.25:
            break
    assert min(durations) < 0.25


MODULES = sorted(m.name for m in pkgutil.iter_modules(numpyro.__path__) if not m.name.startswith("_"))


@pytest.mark.parametrize("name", numpyro.__all__)
def test_every_public_name_is_there(name):
    assert getattr(numpyro, name) is not None
    assert name in dir(numpyro)


@pytest.mark.parametrize("name", [name for name in MODULES if name != "examples"])
def test_a_module_can_be_used_without_importing_it(name):
    assert name in dir(numpyro)
    assert run(f"import numpyro; print(numpyro.{name}.__name__)") == [f"numpyro.{name}"]


def test_names_that_do_not_exist():
    assert not hasattr(numpyro, "no_such_name")
    with pytest.raises(AttributeError, match="module 'numpyro' has no attribute 'no_such_name'"):
        numpyro.no_such_name  # noqa: B018


def test_version():
    from numpyro._version import __version__

    assert numpyro.__version__ == __version__ == "0.23.0"

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Settings for the tests. They must be in the environment before JAX starts its backend and SciPy loads BLAS."""

from __future__ import annotations

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# The workers of pytest-xdist use all cores: more threads would wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2".strip()

import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def release_compiled_programs():
    """A process that keeps some ten thousand compiled programs runs out of memory mappings."""
    yield
    jax.clear_caches()


# The file that is offered upstream marks nothing. The shape laws ask the same of all distributions here, so `make test`
# leaves most of its layouts to `make test-all`.
LEFT_OUT = ("no plate", "plate, full", "plate, size 1", "plates, full", "plates, inner", "plates, scalar")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.name == "test_scan_upstream.py" and any(f"{layout}]" in item.name for layout in LEFT_OUT):
            item.add_marker(pytest.mark.slow)

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Probabilistic programming on JAX, with NumPyro's public API.

>>> import jax, jax.numpy as jnp
>>> import numpyro, numpyro.distributions as dist
>>> def model(x, y=None):
...     slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
...     with numpyro.plate("data", len(x)):
...         return numpyro.sample("y", dist.Normal(slope * x, 0.1), obs=y)
>>> numpyro.handlers.seed(model, rng_seed=0)(jnp.arange(3.0)).shape
(3,)

Modules that are not needed to write a model are imported when they are asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

from numpyro import distributions, handlers, primitives, util
from numpyro._version import __version__
from numpyro.distributions.distribution import enable_validation, validation_enabled
from numpyro.primitives import (
    deterministic,
    factor,
    get_mask,
    module,
    param,
    plate,
    plate_stack,
    prng_key,
    sample,
    subsample,
)
from numpyro.util import enable_compilation_cache, enable_x64, set_host_device_count, set_platform

__all__ = [
    "__version__",
    "deterministic",
    "distributions",
    "enable_compilation_cache",
    "enable_validation",
    "enable_x64",
    "factor",
    "get_mask",
    "handlers",
    "module",
    "param",
    "plate",
    "plate_stack",
    "primitives",
    "prng_key",
    "sample",
    "set_host_device_count",
    "set_platform",
    "subsample",
    "util",
    "validation_enabled",
]

_LATE_MODULES = ("compat", "contrib", "diagnostics", "infer", "nn", "ops", "optim")
_LATE_NAMES = {"render_model": "numpyro.infer.inspect"}


def __getattr__(name: str) -> Any:
    try:
        if name in _LATE_MODULES:
            return importlib.import_module(f"numpyro.{name}")
        if name in _LATE_NAMES:
            return getattr(importlib.import_module(_LATE_NAMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name not in (f"numpyro.{name}", _LATE_NAMES.get(name)):
            raise
    raise AttributeError(f"module 'numpyro' has no attribute {name!r}")


def __dir__() -> list[str]:
    late = (name for name in (*_LATE_MODULES, *_LATE_NAMES) if name not in globals())
    return sorted([*globals(), *late])

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
from typing import TYPE_CHECKING, Any

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
from numpyro.util import enable_x64, set_host_device_count, set_platform

if TYPE_CHECKING:
    from numpyro import compat, contrib, diagnostics, infer, nn, ops, optim
    from numpyro.infer.inspect import render_model

__all__ = [
    "__version__",
    "compat",
    "contrib",
    "deterministic",
    "diagnostics",
    "distributions",
    "enable_validation",
    "enable_x64",
    "factor",
    "get_mask",
    "handlers",
    "infer",
    "module",
    "nn",
    "ops",
    "optim",
    "param",
    "plate",
    "plate_stack",
    "primitives",
    "prng_key",
    "render_model",
    "sample",
    "set_host_device_count",
    "set_platform",
    "subsample",
    "util",
    "validation_enabled",
]

_LAZY_MODULES = ("compat", "contrib", "diagnostics", "infer", "nn", "ops", "optim")
_LAZY_NAMES = {"render_model": "numpyro.infer.inspect"}


def __getattr__(name: str) -> Any:
    try:
        if name in _LAZY_MODULES:
            return importlib.import_module(f"numpyro.{name}")
        if name in _LAZY_NAMES:
            return getattr(importlib.import_module(_LAZY_NAMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name not in (f"numpyro.{name}", _LAZY_NAMES.get(name)):
            raise
    raise AttributeError(f"module 'numpyro' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

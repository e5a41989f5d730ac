# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Inference: Markov chain Monte Carlo, predictions, and the functions that both are made of."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpyro.infer import reparam as reparam
    from numpyro.infer.barker import BarkerMH
    from numpyro.infer.ecs import HMCECS
    from numpyro.infer.ensemble import AIES, ESS
    from numpyro.infer.gibbs import CustomGibbs, DiscreteGibbs, Gibbs
    from numpyro.infer.hmc import HMC, NUTS
    from numpyro.infer.hmc_gibbs import DiscreteHMCGibbs, HMCGibbs
    from numpyro.infer.initialization import (
        init_to_feasible,
        init_to_mean,
        init_to_median,
        init_to_sample,
        init_to_uniform,
        init_to_value,
    )
    from numpyro.infer.mcmc import MCMC
    from numpyro.infer.mixed_hmc import MixedHMC
    from numpyro.infer.sa import SA
    from numpyro.infer.util import Predictive, initialize_model, log_likelihood

__all__ = [
    "AIES",
    "ESS",
    "HMC",
    "HMCECS",
    "MCMC",
    "NUTS",
    "SA",
    "BarkerMH",
    "CustomGibbs",
    "DiscreteGibbs",
    "DiscreteHMCGibbs",
    "Gibbs",
    "HMCGibbs",
    "MixedHMC",
    "Predictive",
    "init_to_feasible",
    "init_to_mean",
    "init_to_median",
    "init_to_sample",
    "init_to_uniform",
    "init_to_value",
    "initialize_model",
    "log_likelihood",
    "reparam",
]

_HOMES = {
    "AIES": "ensemble",
    "CustomGibbs": "gibbs",
    "DiscreteGibbs": "gibbs",
    "DiscreteHMCGibbs": "hmc_gibbs",
    "Gibbs": "gibbs",
    "HMCGibbs": "hmc_gibbs",
    "MixedHMC": "mixed_hmc",
    "BarkerMH": "barker",
    "ESS": "ensemble",
    "SA": "sa",
    "HMC": "hmc",
    "HMCECS": "ecs",
    "MCMC": "mcmc",
    "NUTS": "hmc",
    "Predictive": "util",
    "initialize_model": "util",
    "log_likelihood": "util",
    **{name: "initialization" for name in __all__ if name.startswith("init_to_")},
}

_MODULES = (
    "convergence",
    "gibbs",
    "hmc",
    "hmc_gibbs",
    "hmc_util",
    "initialization",
    "inspect",
    "mcmc",
    "mixed_hmc",
    "reparam",
    "util",
)


def __getattr__(name: str) -> Any:
    """Import a name's module when it is asked for, so that importing the package stays quick."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions on the positive half-line, by family."""

from numpyro.distributions.continuous.positive.gammas import Chi2, Exponential, Gamma, InverseGamma
from numpyro.distributions.continuous.positive.heavy_tails import Dagum, Levy, Pareto
from numpyro.distributions.continuous.positive.images import HalfCauchy, HalfNormal, LogNormal
from numpyro.distributions.continuous.positive.lifetimes import Gompertz, Weibull

__all__ = [
    "Chi2",
    "Dagum",
    "Exponential",
    "Gamma",
    "Gompertz",
    "HalfCauchy",
    "HalfNormal",
    "InverseGamma",
    "Levy",
    "LogNormal",
    "Pareto",
    "Weibull",
]

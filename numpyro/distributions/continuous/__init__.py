# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions of continuous variables."""

from numpyro.distributions.continuous.bounded import Beta, Uniform
from numpyro.distributions.continuous.correlation import LKJCholesky
from numpyro.distributions.continuous.multivariate import Dirichlet, MultivariateNormal
from numpyro.distributions.continuous.positive import (
    Chi2,
    Exponential,
    Gamma,
    HalfCauchy,
    HalfNormal,
    InverseGamma,
    LogNormal,
)
from numpyro.distributions.continuous.real_line import Cauchy, Normal, StudentT

__all__ = [
    "Beta",
    "Cauchy",
    "Chi2",
    "Dirichlet",
    "Exponential",
    "Gamma",
    "HalfCauchy",
    "HalfNormal",
    "InverseGamma",
    "LKJCholesky",
    "LogNormal",
    "MultivariateNormal",
    "Normal",
    "StudentT",
    "Uniform",
]

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions of continuous variables."""

from numpyro.distributions.continuous.bounded import (
    Beta,
    BetaProportion,
    Kumaraswamy,
    LogUniform,
    RelaxedBernoulli,
    RelaxedBernoulliLogits,
    Uniform,
)
from numpyro.distributions.continuous.correlation import LKJCholesky
from numpyro.distributions.continuous.multivariate import Dirichlet, MultivariateNormal
from numpyro.distributions.continuous.positive import (
    Chi2,
    Dagum,
    Exponential,
    Gamma,
    Gompertz,
    HalfCauchy,
    HalfNormal,
    InverseGamma,
    Levy,
    LogNormal,
    Pareto,
    Weibull,
)
from numpyro.distributions.continuous.real_line import (
    AsymmetricLaplace,
    AsymmetricLaplaceQuantile,
    Cauchy,
    Gumbel,
    Laplace,
    Logistic,
    Normal,
    SoftLaplace,
    StudentT,
)

__all__ = [
    "AsymmetricLaplace",
    "AsymmetricLaplaceQuantile",
    "Beta",
    "BetaProportion",
    "Cauchy",
    "Chi2",
    "Dagum",
    "Dirichlet",
    "Exponential",
    "Gamma",
    "Gompertz",
    "Gumbel",
    "HalfCauchy",
    "HalfNormal",
    "InverseGamma",
    "Kumaraswamy",
    "LKJCholesky",
    "Laplace",
    "Levy",
    "LogNormal",
    "LogUniform",
    "Logistic",
    "MultivariateNormal",
    "Normal",
    "Pareto",
    "RelaxedBernoulli",
    "RelaxedBernoulliLogits",
    "SoftLaplace",
    "StudentT",
    "Uniform",
    "Weibull",
]

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
from numpyro.distributions.continuous.correlation import (
    LKJ,
    LKJCholesky,
)
from numpyro.distributions.continuous.hurdle import HurdleGamma, HurdleLogNormal
from numpyro.distributions.continuous.matrices import (
    InverseWishart,
    InverseWishartCholesky,
    Wishart,
    WishartCholesky,
)
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
from numpyro.distributions.continuous.processes import (
    EulerMaruyama,
    GaussianRandomWalk,
    GaussianStateSpace,
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
from numpyro.distributions.continuous.structured import (
    CAR,
    CirculantNormal,
    LowRankMultivariateNormal,
    MatrixNormal,
    MultivariateStudentT,
    ZeroSumNormal,
)

__all__ = [
    "CAR",
    "LKJ",
    "AsymmetricLaplace",
    "AsymmetricLaplaceQuantile",
    "Beta",
    "BetaProportion",
    "Cauchy",
    "Chi2",
    "CirculantNormal",
    "Dagum",
    "Dirichlet",
    "EulerMaruyama",
    "Exponential",
    "Gamma",
    "GaussianRandomWalk",
    "GaussianStateSpace",
    "Gompertz",
    "Gumbel",
    "HalfCauchy",
    "HalfNormal",
    "HurdleGamma",
    "HurdleLogNormal",
    "InverseGamma",
    "InverseWishart",
    "InverseWishartCholesky",
    "Kumaraswamy",
    "LKJCholesky",
    "Laplace",
    "Levy",
    "LogNormal",
    "LogUniform",
    "Logistic",
    "LowRankMultivariateNormal",
    "MatrixNormal",
    "MultivariateNormal",
    "MultivariateStudentT",
    "Normal",
    "Pareto",
    "RelaxedBernoulli",
    "RelaxedBernoulliLogits",
    "SoftLaplace",
    "StudentT",
    "Uniform",
    "Weibull",
    "Wishart",
    "WishartCholesky",
    "ZeroSumNormal",
]

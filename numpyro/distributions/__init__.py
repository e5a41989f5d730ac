# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Probability distributions, constraints and transforms."""

from numpyro.distributions import constraints, transforms
from numpyro.distributions.continuous import (
    Beta,
    Cauchy,
    Chi2,
    Exponential,
    Gamma,
    HalfCauchy,
    HalfNormal,
    InverseGamma,
    LogNormal,
    Normal,
    StudentT,
    Uniform,
)
from numpyro.distributions.distribution import (
    Delta,
    Distribution,
    ExpandedDistribution,
    FoldedDistribution,
    ImproperUniform,
    Independent,
    MaskedDistribution,
    TransformedDistribution,
    Unit,
)
from numpyro.distributions.transforms import biject_to

__all__ = [
    "Beta",
    "Cauchy",
    "Chi2",
    "Delta",
    "Distribution",
    "ExpandedDistribution",
    "Exponential",
    "FoldedDistribution",
    "Gamma",
    "HalfCauchy",
    "HalfNormal",
    "ImproperUniform",
    "Independent",
    "InverseGamma",
    "LogNormal",
    "MaskedDistribution",
    "Normal",
    "StudentT",
    "TransformedDistribution",
    "Uniform",
    "Unit",
    "biject_to",
    "constraints",
    "transforms",
]

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The distribution interface and the wrappers that hold for every distribution."""

from numpyro.distributions.distribution.base import (
    Distribution,
    DistributionMeta,
    enable_validation,
    validation_enabled,
)
from numpyro.distributions.distribution.elementary import Delta, ImproperUniform, Unit
from numpyro.distributions.distribution.transformed import FoldedDistribution, TransformedDistribution
from numpyro.distributions.distribution.wrappers import ExpandedDistribution, Independent, MaskedDistribution

__all__ = [
    "Delta",
    "Distribution",
    "DistributionMeta",
    "ExpandedDistribution",
    "FoldedDistribution",
    "ImproperUniform",
    "Independent",
    "MaskedDistribution",
    "TransformedDistribution",
    "Unit",
    "enable_validation",
    "validation_enabled",
]

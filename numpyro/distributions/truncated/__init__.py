# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions restricted to an interval: truncations of others, power laws, and one for Pólya-Gamma augmentation."""

from numpyro.distributions.truncated.gamma import (
    LeftTruncatedGamma,
    RightTruncatedGamma,
    TruncatedGamma,
    TwoSidedTruncatedGamma,
)
from numpyro.distributions.truncated.polya_gamma import TruncatedPolyaGamma
from numpyro.distributions.truncated.power_laws import DoublyTruncatedPowerLaw, LowerTruncatedPowerLaw
from numpyro.distributions.truncated.real_line import (
    LeftTruncatedDistribution,
    RightTruncatedDistribution,
    TruncatedCauchy,
    TruncatedDistribution,
    TruncatedNormal,
    TwoSidedTruncatedDistribution,
)

__all__ = [
    "DoublyTruncatedPowerLaw",
    "LeftTruncatedDistribution",
    "LeftTruncatedGamma",
    "LowerTruncatedPowerLaw",
    "RightTruncatedDistribution",
    "RightTruncatedGamma",
    "TruncatedCauchy",
    "TruncatedDistribution",
    "TruncatedGamma",
    "TruncatedNormal",
    "TruncatedPolyaGamma",
    "TwoSidedTruncatedDistribution",
    "TwoSidedTruncatedGamma",
]

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions of angles and directions.

Angles are radians in [-π, π]; densities have the period 2π, so that data from 0 to 2π may be given as they are.
"""

from numpyro.distributions.directional.projected_normal import ProjectedNormal
from numpyro.distributions.directional.sine_skewed import SineSkewed
from numpyro.distributions.directional.sine_von_mises import PhiMarginalState, SineBivariateVonMises, log_I1
from numpyro.distributions.directional.von_mises import VonMises

__all__ = ["PhiMarginalState", "ProjectedNormal", "SineBivariateVonMises", "SineSkewed", "VonMises", "log_I1"]

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Multivariate distributions with heavy tails, or with a covariance of special structure."""

from numpyro.distributions.continuous.structured.autoregressive import CAR
from numpyro.distributions.continuous.structured.circulant import CirculantNormal
from numpyro.distributions.continuous.structured.low_rank import LowRankMultivariateNormal
from numpyro.distributions.continuous.structured.matrix_normal import MatrixNormal
from numpyro.distributions.continuous.structured.shared import vector_of
from numpyro.distributions.continuous.structured.student_t import MultivariateStudentT
from numpyro.distributions.continuous.structured.zero_sum import ZeroSumNormal

__all__ = [
    "CAR",
    "CirculantNormal",
    "LowRankMultivariateNormal",
    "MatrixNormal",
    "MultivariateStudentT",
    "ZeroSumNormal",
    "vector_of",
]

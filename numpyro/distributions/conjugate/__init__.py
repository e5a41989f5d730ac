# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Counts whose rate or probability is drawn from its conjugate prior, and integrated out."""

from numpyro.distributions.conjugate.categories import BetaBinomial, BetaNegativeBinomial, DirichletMultinomial
from numpyro.distributions.conjugate.rates import (
    GammaPoisson,
    HurdleNegativeBinomial2,
    NegativeBinomial,
    NegativeBinomial2,
    NegativeBinomialLogits,
    NegativeBinomialProbs,
    ZeroInflatedNegativeBinomial2,
)

__all__ = [
    "BetaBinomial",
    "BetaNegativeBinomial",
    "DirichletMultinomial",
    "GammaPoisson",
    "HurdleNegativeBinomial2",
    "NegativeBinomial",
    "NegativeBinomial2",
    "NegativeBinomialLogits",
    "NegativeBinomialProbs",
    "ZeroInflatedNegativeBinomial2",
]

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions of counts and categories. Samples are integers."""

from numpyro.distributions.discrete.categories import (
    Categorical,
    CategoricalLogits,
    CategoricalProbs,
    DiscreteUniform,
    Multinomial,
    MultinomialLogits,
    MultinomialProbs,
    OrderedLogistic,
)
from numpyro.distributions.discrete.counts import Poisson
from numpyro.distributions.discrete.trials import (
    Bernoulli,
    BernoulliLogits,
    BernoulliProbs,
    Binomial,
    BinomialLogits,
    BinomialProbs,
    Geometric,
    GeometricLogits,
    GeometricProbs,
)
from numpyro.distributions.discrete.zeros import (
    HurdleDistribution,
    HurdleLogits,
    HurdlePoisson,
    HurdleProbs,
    ZeroInflatedDistribution,
    ZeroInflatedLogits,
    ZeroInflatedPoisson,
    ZeroInflatedProbs,
)

__all__ = [
    "Bernoulli",
    "BernoulliLogits",
    "BernoulliProbs",
    "Binomial",
    "BinomialLogits",
    "BinomialProbs",
    "Categorical",
    "CategoricalLogits",
    "CategoricalProbs",
    "DiscreteUniform",
    "Geometric",
    "GeometricLogits",
    "GeometricProbs",
    "HurdleDistribution",
    "HurdleLogits",
    "HurdlePoisson",
    "HurdleProbs",
    "Multinomial",
    "MultinomialLogits",
    "MultinomialProbs",
    "OrderedLogistic",
    "Poisson",
    "ZeroInflatedDistribution",
    "ZeroInflatedLogits",
    "ZeroInflatedPoisson",
    "ZeroInflatedProbs",
]

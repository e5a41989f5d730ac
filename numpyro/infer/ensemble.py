# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The ensemble samplers under one name: :mod:`~numpyro.infer.ensemble_sampler` has what they share,
:mod:`~numpyro.infer.aies` and :mod:`~numpyro.infer.ensemble_slice` one each, :mod:`~numpyro.infer.ensemble_util` their
moves."""

from numpyro.infer.aies import AIES, AIESState
from numpyro.infer.ensemble_sampler import EnsembleSampler, EnsembleSamplerState
from numpyro.infer.ensemble_slice import ESS, ESSState

__all__ = ["AIES", "ESS", "AIESState", "ESSState", "EnsembleSampler", "EnsembleSamplerState"]

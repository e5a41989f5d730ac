# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Probabilities of intervals, far in the tails too, as truncated and censored distributions need them."""

from numpyro.distributions._tails.families import log_interval, log_survival, normal_score, standardized, unwrapped
from numpyro.distributions._tails.incomplete import log_lower_beta, log_lower_gamma, log_upper_gamma
from numpyro.distributions._tails.line import Line

__all__ = [
    "Line",
    "log_interval",
    "log_lower_beta",
    "log_lower_gamma",
    "log_survival",
    "log_upper_gamma",
    "normal_score",
    "standardized",
    "unwrapped",
]

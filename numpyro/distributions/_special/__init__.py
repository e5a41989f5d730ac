# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Special functions that JAX has not, or not with finite gradients or all digits in single precision."""

from numpyro.distributions._special.factored import (
    log_times_power,
    power_of_two,
    split_factor,
)
from numpyro.distributions._special.incomplete import (
    betainc,
    betaincinv,
    gammaincinv,
)
from numpyro.distributions._special.incomplete_gamma import (
    gammainc,
    gammaincc,
    is_nearly_normal,
    log_gammainc,
    log_gammaincc,
)
from numpyro.distributions._special.logarithms import (
    FEW,
    log1p,
    log1p_square,
    log_indicator,
    log_one_plus_square,
    log_quotient,
    log_sigmoid,
    log_sigmoid_difference,
    log_sigmoids,
    log_sum_exp,
    sigmoid_of_minus,
    times_log_zero,
    xlog1py,
    xlogy,
)
from numpyro.distributions._special.series import (
    polynomial,
    sin_quarter_turns,
)
from numpyro.distributions._special.stirling import (
    betaln,
    chi_moments,
    stirling_error,
    stirling_error_slope,
)

__all__ = [
    "FEW",
    "betainc",
    "betaincinv",
    "betaln",
    "chi_moments",
    "gammainc",
    "gammaincc",
    "gammaincinv",
    "is_nearly_normal",
    "log1p",
    "log1p_square",
    "log_gammainc",
    "log_gammaincc",
    "log_indicator",
    "log_one_plus_square",
    "log_quotient",
    "log_sigmoid",
    "log_sigmoid_difference",
    "log_sigmoids",
    "log_sum_exp",
    "log_times_power",
    "polynomial",
    "power_of_two",
    "sigmoid_of_minus",
    "sin_quarter_turns",
    "split_factor",
    "stirling_error",
    "stirling_error_slope",
    "times_log_zero",
    "xlog1py",
    "xlogy",
]

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

r"""Log probabilities of counts, accurate for large counts in single precision.

Where factorials and powers are computed apart, their logarithms are large and nearly cancel. Here Stirling's formula
cancels by hand (Loader 2000, *Fast and accurate computation of binomial probabilities*): with
:math:`\log k! = \frac12\log 2\pi + (k + \frac12)\log(k + 1) - (k + 1) + t(k)`, what remains are logarithms of ratios of
what is counted to what is expected, and the small terms :math:`t`.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
from jax.custom_derivatives import SymbolicZero
import jax.numpy as jnp
from jax.scipy.special import digamma

from numpyro.distributions._special import log_sigmoids, sigmoid_of_minus, stirling_error, stirling_error_slope
from numpyro.distributions.util import stirling_approx_tail

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def log_poisson(count: Any, rate: Any) -> Any:
    """Log probability of the Poisson distribution.

    :param count: non-negative whole numbers, of a floating dtype.
    :param rate: non-negative numbers.
    """
    return _log_poisson(count, jnp.asarray(rate, jnp.result_type(rate, float)))


@jax.custom_jvp
def _log_poisson(count: Any, rate: Any) -> Any:
    some = count > 0
    log_ratio = _log_ratio(jnp.where(some, rate, 1.0), count + 1, rate - count - 1)
    return jnp.where(some, count * log_ratio, 0.0) + (count - rate) - _rest_of_factorial(count)


@functools.partial(_log_poisson.defjvp, symbolic_zeros=True)
def _log_poisson_jvp(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Any, Any]:
    count, rate = primals
    in_count, in_rate = tangents
    value = _log_poisson(count, rate)
    tangent = jnp.zeros_like(value)
    if not isinstance(in_rate, SymbolicZero):
        # k / rate - 1, which for k = 0 has no quotient; of one rate for many counts it is a sum of counts.
        tangent = tangent + count * (in_rate / jnp.where(rate > 0, rate, 1.0)) - in_rate
    if not isinstance(in_count, SymbolicZero):
        tangent = tangent + (jnp.log(rate) - digamma(count + 1)) * in_count
    return value, tangent


def log_binomial(successes: Any, failures: Any, log_success: Any, log_failure: Any) -> Any:
    """Log probability of the binomial distribution.

    :param successes: non-negative whole numbers, of a floating dtype.
    :param failures: non-negative whole numbers, of a floating dtype.
    :param log_success: log probability of success; where the count is 0 it must be finite, and does not matter.
    :param log_failure: the same of failure.
    """
    total = successes + failures
    rests = _rest_of_factorial(total) - (_rest_of_factorial(successes) + _rest_of_factorial(failures))
    by_success = successes * (log_success - _log_share(successes, total))
    return by_success + failures * (log_failure - _log_share(failures, total)) + rests


@jax.custom_jvp
def log_binomial_of_logits(successes: Any, failures: Any, logits: Any) -> Any:
    """The same of log odds of success, as a function of which it has one derivative; the counts have none."""
    return log_binomial(successes, failures, *log_sigmoids(logits))


@log_binomial_of_logits.defjvp
def _log_binomial_of_logits_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    successes, failures, logits = primals
    # The probabilities of failure and of success, each relative to itself; their products with counts stand apart.
    failure, success = sigmoid_of_minus(logits), sigmoid_of_minus(-logits)
    tangent = successes * (failure * tangents[2]) - failures * (success * tangents[2])
    return log_binomial_of_logits(*primals), tangent


def log_multinomial(counts: Any, log_probs: Any) -> Any:
    """Log probability of the multinomial distribution.

    :param counts: non-negative whole numbers, of a floating dtype; the categories are along the last axis.
    :param log_probs: log probabilities; where a count is 0 they must be finite, and do not matter.
    """
    total = counts.sum(-1, keepdims=True)
    terms = counts * (log_probs - _log_share(counts, total)) - _rest_of_factorial(counts)
    return terms.sum(-1) + _rest_of_factorial(total)[..., 0]


@jax.custom_jvp
def log_negative_binomial(count: Any, concentration: Any, excess: Any, log_more: Any, log_stop: Any) -> Any:
    r"""Log probability of the negative binomial distribution.

    .. math:: p(k) = \frac{\Gamma(c + k)}{\Gamma(c)\,k!}\,(1 - \pi)^c \pi^k

    :param count: non-negative whole numbers :math:`k`, of a floating dtype.
    :param concentration: positive numbers :math:`c`.
    :param excess: :math:`k - (c + k)\pi`, by how much the count exceeds its share.
    :param log_more: :math:`\log\pi`; where the count is 0 it must be finite, and does not matter.
    :param log_stop: :math:`\log(1 - \pi)`.
    """
    total = concentration + count
    stops, log_growth = _log_ratio_of_stops(count, concentration, excess, log_stop)
    deficit = -excess - 1
    near = jnp.abs(deficit) < 0.5 * (count + 1)
    ratio = jnp.log1p(jnp.where(near, deficit / (count + 1), 0.0))
    goes_on = jnp.where(near, ratio, log_more + jnp.log(total / (count + 1)))
    remainders = stirling_error(total) - stirling_error(concentration)
    leading = concentration * stops - 0.5 * log_growth + count * goes_on
    return leading + remainders - _rest_of_factorial(count)


@log_negative_binomial.defjvp
def _log_negative_binomial_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    count, concentration, excess, _, log_stop = primals
    _, d_concentration, _, d_more, d_stop = tangents
    # digamma(c + k) - digamma(c) + log(1 - pi)
    total = concentration + count
    stops, _ = _log_ratio_of_stops(count, concentration, excess, log_stop)
    rest = 0.5 * count / concentration / total - stirling_error_slope(concentration)
    # Products that stand apart are summed in loops of their own, where they are short enough to be vectorised.
    tangent = stops * d_concentration + stirling_error_slope(total) * d_concentration + rest * d_concentration
    return log_negative_binomial(*primals), tangent + count * d_more + concentration * d_stop


def _log_ratio_of_stops(count: Any, concentration: Any, excess: Any, log_stop: Any) -> tuple[Any, Any]:
    """``log((1 - pi) (c + k) / c)``, and the same of the last factor."""
    log_growth = jnp.log1p(count / concentration)
    near = jnp.abs(excess) < 0.5 * concentration
    stops = jnp.where(near, jnp.log1p(jnp.where(near, excess / concentration, 0.0)), log_stop + log_growth)
    return stops, log_growth


def _log_ratio(x: Any, y: Any, difference: Any) -> Any:
    """``log(x / y)`` for positive numbers, from their difference if they are close."""
    near = jnp.abs(difference) < 0.5 * y
    return jnp.where(near, jnp.log1p(jnp.where(near, difference / y, 0.0)), jnp.log(jnp.where(near, 1.0, x / y)))


def _rest_of_factorial(count: Any) -> Any:
    """``log k! - (k log(k + 1) - k)``, which is 0 for 0."""
    rest = (HALF_LOG_2PI - 1 + stirling_approx_tail(count)) + 0.5 * jnp.log(count + 1)
    return jnp.where(count > 0, rest, 0.0)


def _log_share(count: Any, total: Any) -> Any:
    """``log((k + 1) / (n + 1))``, from the smaller one of what is counted and what is not."""
    most = 2 * count > total
    rest = jnp.where(most, (total - count) / (total + 1), 0.0)
    return jnp.where(most, jnp.log1p(-rest), jnp.log((jnp.where(most, 0.0, count) + 1) / (total + 1)))

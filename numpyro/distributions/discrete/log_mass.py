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
from jax import lax
from jax.custom_derivatives import SymbolicZero
import jax.numpy as jnp
from jax.scipy.special import digamma

from numpyro.distributions._special import log1p, log_sigmoids, sigmoid_of_minus, stirling_error, stirling_error_slope
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


def log_binomial(successes: Any, failures: Any, success: tuple[Any, Any], failure: tuple[Any, Any]) -> Any:
    """Log probability of the binomial distribution.

    :param successes: non-negative whole numbers, of a floating dtype.
    :param failures: non-negative whole numbers, of a floating dtype.
    :param success: probability of success, and its logarithm.
    :param failure: the same of failure.
    """
    total = successes + failures
    rests = _rest_of_factorial(total) - (_rest_of_factorial(successes) + _rest_of_factorial(failures))
    return _log_category(successes, total, *success) + _log_category(failures, total, *failure) - 1 + rests


@jax.custom_jvp
def log_binomial_of_logits(successes: Any, failures: Any, logits: Any) -> Any:
    """The same of log odds of success, as a function of which it has one derivative; the counts have none."""
    log_success, log_failure = log_sigmoids(logits)
    success, failure = sigmoid_of_minus(-logits), sigmoid_of_minus(logits)
    return log_binomial(successes, failures, (success, log_success), (failure, log_failure))


@log_binomial_of_logits.defjvp
def _log_binomial_of_logits_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    successes, failures, logits = primals
    # The probabilities of failure and of success, each relative to itself; their products with counts stand apart.
    failure, success = sigmoid_of_minus(logits), sigmoid_of_minus(-logits)
    tangent = successes * (failure * tangents[2]) - failures * (success * tangents[2])
    return log_binomial_of_logits(*primals), tangent


def log_multinomial(counts: Any, probs: Any, log_probs: Any, surplus: Any = 0.0) -> Any:
    """Log probability of the multinomial distribution.

    :param counts: non-negative whole numbers, of a floating dtype; the categories are along the last axis.
    :param probs: probabilities.
    :param log_probs: their logarithms.
    :param surplus: by how much the sum of the probabilities exceeds 1.
    """
    total = counts.sum(-1, keepdims=True)
    terms = _log_category(counts, total, probs, log_probs) - _rest_of_factorial(counts)
    shift = (total[..., 0] + 1) * lax.stop_gradient(surplus) - (counts.shape[-1] - 1)
    return terms.sum(-1) + shift + _rest_of_factorial(total)[..., 0]


def surplus_of(probs: Any) -> Any:
    """By how much probabilities sum to more than 1, to many digits: the leading ones of each are summed exactly.

    >>> surplus_of(jnp.array([0.25, 0.75 + 2.0**-20])).item() * 2**20
    1.0
    """
    leading = jnp.round(probs * 4096) / 4096
    return (leading.sum(-1) - 1) + (probs - leading).sum(-1)


@jax.custom_jvp
def _log_category(count: Any, total: Any, prob: Any, log_prob: Any) -> Any:
    r"""A category's part in :math:`\sum_i k_i \log\frac{(n + 1) p_i}{k_i + 1}`, all of which exceed that by m - 1.

    It is :math:`k \log r + (k + 1)(1 - r)` with :math:`r = (n + 1) p / (k + 1)`. What r is rounded to is the same in
    both terms, so that it hardly matters where r is next to 1, however large the count.
    """
    tiny = float(jnp.finfo(count.dtype).tiny)
    ratio = jnp.maximum(prob, tiny) * ((total + 1) / (count + 1))
    # The least of this and the largest number: so no compiler contracts it into what it is used for.
    ratio = jnp.minimum(ratio, float(jnp.finfo(count.dtype).max))
    # Of a probability too small for a number the logarithm knows more.
    log_ratio = jnp.log(ratio) + jnp.where(prob < tiny, log_prob - math.log(tiny), 0.0)
    return jnp.where(count > 0, count * log_ratio, 0.0) + (count + 1) * (1 - ratio)


@_log_category.defjvp
def _log_category_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    # Of the sum over the categories, whose probabilities sum to 1.
    return _log_category(*primals), primals[0] * tangents[3]


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
    return _log_powers(count, concentration, excess, log_more, log_stop) - _rest_of_factorial(count)


def _log_powers(count: Any, concentration: Any, excess: Any, log_more: Any, log_stop: Any) -> Any:
    """The same, with k log(k + 1) - k in the place of log k!; the count may be any positive number."""
    total = concentration + count
    stops, log_growth = _log_ratio_of_stops(count, concentration, excess, log_stop)
    deficit = -excess - 1
    near = jnp.abs(deficit) < 0.5 * (count + 1)
    ratio = log1p(jnp.where(near, deficit / (count + 1), 0.0))
    goes_on = jnp.where(near, ratio, log_more + jnp.log(total / (count + 1)))
    remainders = stirling_error(total) - stirling_error(concentration)
    return concentration * stops - 0.5 * log_growth + count * goes_on + remainders


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


def log_shared(count: Any, concentration: Any, total: Any, strength: Any, others: tuple[Any, Any] | None = None) -> Any:
    r"""What a category, or all, contributes to the log probability of counts of categories under a Dirichlet prior.

    Negative binomial counts with the same :math:`\pi`, given their sum, have that distribution whatever :math:`\pi`
    is. With the one that makes the sum likely no large terms are left to cancel between numerator and denominator.

    :param count: non-negative whole numbers, of a floating dtype.
    :param concentration: the prior's concentration for the category.
    :param total: the sum of the counts.
    :param strength: the sum of the concentrations.
    :param others: count and concentration of all other categories, where they are known better than by subtraction:
        where one concentration is many times the other, its sum with it is rounded.
    """
    total, strength = lax.stop_gradient(jnp.asarray(total, count.dtype)), lax.stop_gradient(strength)
    both = total + strength
    more, stop = total / both, strength / both
    log_more = jnp.log(jnp.where(total > 0, more, 1.0))
    log_stop = -log1p(total / strength)
    if others is None:
        excess = count * stop - concentration * more
    else:
        other_count, other_concentration = others
        excess = count * (other_concentration / both) - concentration * (other_count / both)
    return log_negative_binomial(count, concentration, excess, log_more, log_stop)


@jax.custom_jvp
def log_beta_negative_binomial(count: Any, alpha: Any, beta: Any, n: Any) -> Any:
    r"""Log probability of the beta negative binomial distribution.

    As :math:`\frac{n}{n + k}` times a beta binomial one: of k of n + k trials, of which n need not be whole. In it
    what is large cancels as in :func:`log_shared`.

    :param count: non-negative whole numbers :math:`k`, of a floating dtype.
    :param alpha: positive numbers, the prior's concentration for what is counted.
    :param beta: positive numbers, that for what ends the count.
    :param n: positive numbers.
    """
    total, strength = count + n, alpha + beta
    excess, log_more, log_stop = _likely_share(count, alpha, beta, n)
    powers = (
        _log_powers(count, alpha, excess, log_more, log_stop)
        + _log_powers(n, beta, -excess, log_more, log_stop)
        - _log_powers(total, strength, jnp.zeros_like(excess), log_more, log_stop)
    )
    return powers + _rest_of_gamma(total) - _rest_of_gamma(n) - _rest_of_factorial(count) - log1p(count / n)


@log_beta_negative_binomial.defjvp
def _log_beta_negative_binomial_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    count, alpha, beta, n = primals
    _, in_alpha, in_beta, in_n = tangents
    total, strength = count + n, alpha + beta
    excess, log_more, log_stop = _likely_share(count, alpha, beta, n)

    def rest(x: Any) -> Any:
        # digamma(x) - log x
        return stirling_error_slope(x) - 0.5 / x

    def by_concentration(count: Any, concentration: Any, excess: Any) -> Any:
        # digamma(c + k) - digamma(c) + log(1 - pi)
        stops, _ = _log_ratio_of_stops(count, concentration, excess, log_stop)
        return stops + rest(concentration + count) - rest(concentration)

    both = rest(total + strength)
    of_strength = both - rest(strength)
    # digamma(beta + n) - digamma(n) + log pi
    near = jnp.abs(excess) < 0.5 * n
    goes_on = jnp.where(near, log1p(jnp.where(near, excess / n, 0.0)), log_more + log1p(beta / n))
    by_n = goes_on + (rest(total) - rest(n)) + (rest(beta + n) - both)
    tangent = (by_concentration(count, alpha, excess) - of_strength) * in_alpha
    tangent = tangent + (by_concentration(n, beta, -excess) - of_strength) * in_beta + by_n * in_n
    return log_beta_negative_binomial(*primals), tangent


def _likely_share(count: Any, alpha: Any, beta: Any, n: Any) -> tuple[Any, Any, Any]:
    """By how much the count exceeds its share of what is expected, and the logarithms of the shares of both kinds."""
    total, strength = count + n, alpha + beta
    both = total + strength
    return count * (beta / both) - alpha * (n / both), jnp.log(total / both), -log1p(total / strength)


def _rest_of_gamma(x: Any) -> Any:
    """``log Gamma(x + 1) - (x log(x + 1) - x)`` for any positive number."""
    return (HALF_LOG_2PI - 1 + stirling_error(x + 1)) + 0.5 * log1p(x)


def _log_ratio_of_stops(count: Any, concentration: Any, excess: Any, log_stop: Any) -> tuple[Any, Any]:
    """``log((1 - pi) (c + k) / c)``, and the same of the last factor."""
    log_growth = log1p(count / concentration)
    near = jnp.abs(excess) < 0.5 * concentration
    stops = jnp.where(near, log1p(jnp.where(near, excess / concentration, 0.0)), log_stop + log_growth)
    return stops, log_growth


def _log_ratio(x: Any, y: Any, difference: Any) -> Any:
    """``log(x / y)`` for positive numbers, from their difference if they are close."""
    near = jnp.abs(difference) < 0.5 * y
    return jnp.where(near, log1p(jnp.where(near, difference / y, 0.0)), jnp.log(jnp.where(near, 1.0, x / y)))


def _rest_of_factorial(count: Any) -> Any:
    """``log k! - (k log(k + 1) - k)``, which is 0 for 0."""
    rest = (HALF_LOG_2PI - 1 + stirling_approx_tail(count)) + 0.5 * jnp.log(count + 1)
    return jnp.where(count > 0, rest, 0.0)

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Counts whose rate has a gamma distribution: the negative binomial family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from numpyro.distributions import constraints
from numpyro.distributions._random import log_standard_gamma
from numpyro.distributions._special import betainc, log_sigmoids
from numpyro.distributions.conjugate.shared import counts_within, floating
from numpyro.distributions.discrete import HurdleProbs, ZeroInflatedDistribution
from numpyro.distributions.discrete.log_mass import log_negative_binomial
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import assert_one_of

__all__ = [
    "GammaPoisson",
    "HurdleNegativeBinomial2",
    "NegativeBinomial",
    "NegativeBinomial2",
    "NegativeBinomialLogits",
    "NegativeBinomialProbs",
    "ZeroInflatedNegativeBinomial2",
]


class _NegativeBinomial(Distribution):
    """Counts with a Poisson distribution whose rate has a Gamma distribution; the parameterisations differ."""

    support = constraints.nonnegative_integer

    def _log_odds(self) -> Any:
        """Log odds of one more count against a stop: minus the logarithm of the Gamma distribution's rate."""
        raise NotImplementedError

    def _logs(self, some: Any) -> tuple[Any, Any]:
        """Log probabilities of one more count (finite unless ``some``) and of a stop."""
        raise NotImplementedError

    def _excess(self, count: Any) -> Any:
        """By how much a count exceeds the share of all counts and stops that it is expected to have."""
        raise NotImplementedError

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return gamma_poisson(key, self.concentration, self._log_odds(), self.shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        inside, count = counts_within(value)
        [concentration] = floating(self.concentration)
        log_prob = log_negative_binomial(count, concentration, self._excess(count), *self._logs(count > 0))
        return jnp.where(inside, log_prob, -jnp.inf)

    def cdf(self, value: Any) -> Any:
        # P(K <= k) = I_{1 - p}(c, k + 1)
        count = jnp.floor(value)
        cdf = betainc(self.concentration, jnp.maximum(count, 0.0) + 1, jax.nn.sigmoid(-self._log_odds()))
        return jnp.where(count < 0, 0.0, cdf)

    @property
    def mean(self) -> Any:
        return self.concentration * jnp.exp(self._log_odds())

    @property
    def variance(self) -> Any:
        odds = jnp.exp(self._log_odds())
        return self.concentration * odds * (1 + odds)

    @property
    def mode(self) -> Any:
        mode = jnp.floor(jnp.exp(self._log_odds()) * (self.concentration - 1))
        return jnp.maximum(mode, 0.0).astype(jnp.result_type(int))


def gamma_poisson(key: Any, concentration: Any, log_odds: Any, shape: Sequence[int]) -> Any:
    key_rate, key_count = jax.random.split(key)
    rate = jnp.exp(log_standard_gamma(key_rate, concentration, shape) + log_odds)
    # What is too large for an integer is cut off at half the largest.
    return jax.random.poisson(key_count, jnp.minimum(rate, float(jnp.iinfo(jnp.result_type(int)).max // 2)))


class GammaPoisson(_NegativeBinomial):
    r"""Poisson distribution whose rate has a Gamma distribution.

    .. math:: p(k) = \frac{\Gamma(\alpha + k)}{\Gamma(\alpha)\,k!}
        \left(\frac{\beta}{1 + \beta}\right)^\alpha \left(\frac{1}{1 + \beta}\right)^k, \quad k = 0, 1, \dots

    :param concentration: shape :math:`\alpha > 0` of the Gamma distribution.
    :param rate: its rate :math:`\beta > 0`.

    **Source:** Greenwood, Yule (1920), *An inquiry into the nature of frequency distributions representative of
    multiple happenings*. Journal of the Royal Statistical Society 83.

    >>> import numpyro.distributions as dist
    >>> d = dist.GammaPoisson(3.0, 2.0)
    >>> round(float(d.mean), 4), round(float(d.variance), 4)
    (1.5, 2.25)
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}

    def __init__(self, concentration: Any, rate: Any = 1.0, *, validate_args: bool | None = None) -> None:
        self._declare(concentration=concentration, rate=rate, validate_args=validate_args)

    def _log_odds(self) -> Any:
        return -jnp.log(*floating(self.rate))

    def _logs(self, some: Any) -> tuple[Any, Any]:
        [rate] = floating(self.rate)
        return -jnp.log1p(rate), -jnp.log1p(1 / rate)

    def _excess(self, count: Any) -> Any:
        [rate] = floating(self.rate)
        return (count * rate - self.concentration) / (1 + rate)


class NegativeBinomialProbs(GammaPoisson):
    r"""Number of successes before the n-th failure, given the probability of success.

    .. math:: p(k) = \frac{\Gamma(n + k)}{\Gamma(n)\,k!}\,(1 - \pi)^n \pi^k, \quad k = 0, 1, \dots

    :param total_count: number of failures :math:`n`, positive, not necessarily whole.
    :param probs: probability of success :math:`\pi`, in [0, 1).

    **Source:** Johnson, Kemp, Kotz (2005), *Univariate Discrete Distributions*, chapter 5.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.NegativeBinomialProbs(3.0, 0.5).log_prob(0)), 4)
    -2.0794
    """

    arg_constraints = {"total_count": constraints.positive, "probs": constraints.unit_interval}

    def __init__(self, total_count: Any, probs: Any, *, validate_args: bool | None = None) -> None:
        self._declare(total_count=total_count, probs=probs, validate_args=validate_args)

    @property
    def concentration(self) -> Any:
        """Shape of the Gamma distribution of the rate."""
        return self.total_count

    @property
    def rate(self) -> Any:
        """Rate of the Gamma distribution of the rate."""
        [probs] = floating(self.probs)
        return (1 - probs) / probs

    def _log_odds(self) -> Any:
        [probs] = floating(self.probs)
        return jnp.log(probs) - jnp.log1p(-probs)

    def _logs(self, some: Any) -> tuple[Any, Any]:
        [probs] = floating(self.probs)
        return jnp.log(jnp.where(some, probs, 1.0)), jnp.log1p(-probs)

    def _excess(self, count: Any) -> Any:
        [probs] = floating(self.probs)
        return count * (1 - probs) - self.total_count * probs


class NegativeBinomialLogits(GammaPoisson):
    r"""Number of successes before the n-th failure, given the log odds of success.

    .. math:: P(k) = \frac{\Gamma(n + k)}{k!\,\Gamma(n)} \pi^k (1 - \pi)^n, \quad \pi = \frac{1}{1 + e^{-\ell}}

    :param total_count: number of failures :math:`n`, positive, not necessarily whole.
    :param logits: log odds :math:`\ell` of success, real.

    **Source:** Johnson, Kemp, Kotz (2005), *Univariate Discrete Distributions*, chapter 5.

    >>> import numpyro.distributions as dist
    >>> float(dist.NegativeBinomialLogits(3.0, 0.0).mean)
    3.0
    """

    arg_constraints = {"total_count": constraints.positive, "logits": constraints.real}

    def __init__(self, total_count: Any, logits: Any, *, validate_args: bool | None = None) -> None:
        self._declare(total_count=total_count, logits=logits, validate_args=validate_args)

    @property
    def concentration(self) -> Any:
        """Shape of the Gamma distribution of the rate."""
        return self.total_count

    @property
    def rate(self) -> Any:
        """Rate of the Gamma distribution of the rate."""
        [logits] = floating(self.logits)
        return jnp.exp(-logits)

    def _log_odds(self) -> Any:
        return floating(self.logits)[0]

    def _logs(self, some: Any) -> tuple[Any, Any]:
        [logits] = floating(self.logits)
        return log_sigmoids(logits)

    def _excess(self, count: Any) -> Any:
        [logits] = floating(self.logits)
        return count * jax.nn.sigmoid(-logits) - self.total_count * jax.nn.sigmoid(logits)


class NegativeBinomial2(GammaPoisson):
    r"""Negative binomial distribution, given its mean and a concentration.

    .. math:: p(k) = \frac{\Gamma(\phi + k)}{\Gamma(\phi)\,k!}
        \left(\frac{\phi}{\phi + \mu}\right)^\phi \left(\frac{\mu}{\phi + \mu}\right)^k, \quad k = 0, 1, \dots

    :param mean: mean :math:`\mu \ge 0`.
    :param concentration: :math:`\phi > 0`; the variance is :math:`\mu + \mu^2 / \phi`.

    **Source:** *Stan Functions Reference*, negative binomial distribution (alternative parameterization).

    >>> import numpyro.distributions as dist
    >>> round(float(dist.NegativeBinomial2(3.0, 4.5).variance), 4)
    5.0
    """

    arg_constraints = {"mean": constraints.nonnegative, "concentration": constraints.positive}

    def __init__(self, mean: Any, concentration: Any, *, validate_args: bool | None = None) -> None:
        self._declare(mean=mean, concentration=concentration, validate_args=validate_args)

    @property
    def mean(self) -> Any:
        return self.__dict__["mean"]

    @mean.setter
    def mean(self, value: Any) -> None:
        self.__dict__["mean"] = value

    @property
    def rate(self) -> Any:
        """Rate of the Gamma distribution of the rate."""
        concentration, mean = floating(self.concentration, self._mean)
        return concentration / mean

    @property
    def _mean(self) -> Any:
        """The mean as it was given."""
        return self.__dict__["mean"]

    def _log_odds(self) -> Any:
        concentration, mean = floating(self.concentration, self._mean)
        return jnp.log(mean) - jnp.log(concentration)

    def _logs(self, some: Any) -> tuple[Any, Any]:
        concentration, mean = floating(self.concentration, self._mean)
        return -jnp.log1p(concentration / jnp.where(some, mean, 1.0)), -jnp.log1p(mean / concentration)

    def _excess(self, count: Any) -> Any:
        concentration, mean = floating(self.concentration, self._mean)
        return (count - mean) / (1 + mean / concentration)

    @property
    def variance(self) -> Any:
        return self._mean * (1 + self._mean / self.concentration)


def NegativeBinomial(
    total_count: Any, probs: Any = None, logits: Any = None, *, validate_args: bool | None = None
) -> Distribution:
    """Number of successes before the ``total_count``-th failure, given either ``probs`` or ``logits`` of success.

    :param total_count: number of failures, positive, not necessarily whole.
    :param probs: probability of success, in [0, 1).
    :param logits: its log odds, real.
    :return: a :class:`NegativeBinomialProbs` or a :class:`NegativeBinomialLogits`.
    :raises ValueError: unless exactly one of the two is given.

    >>> import numpyro.distributions as dist
    >>> float(dist.NegativeBinomial(3.0, probs=0.5).mean)
    3.0
    """
    assert_one_of(probs=probs, logits=logits)
    if probs is not None:
        return NegativeBinomialProbs(total_count, probs, validate_args=validate_args)
    return NegativeBinomialLogits(total_count, logits, validate_args=validate_args)


def ZeroInflatedNegativeBinomial2(
    mean: Any,
    concentration: Any,
    *,
    gate: Any = None,
    gate_logits: Any = None,
    validate_args: bool | None = None,
) -> Distribution:
    r"""A :class:`NegativeBinomial2` with extra zeros, given by either ``gate`` or ``gate_logits``.

    :param mean: mean :math:`\mu > 0` of the negative binomial distribution.
    :param concentration: :math:`\alpha > 0`; its variance is :math:`\mu + \mu^2 / \alpha`.
    :param gate: probability of an extra zero, in [0, 1].
    :param gate_logits: its log odds, real.
    :return: a :class:`ZeroInflatedProbs` or a :class:`ZeroInflatedLogits`.
    :raises ValueError: unless exactly one of the two is given.

    >>> import numpyro.distributions as dist
    >>> float(dist.ZeroInflatedNegativeBinomial2(4.0, 3.0, gate=0.25).mean)
    3.0
    """
    base_dist = NegativeBinomial2(mean, concentration, validate_args=validate_args)
    return ZeroInflatedDistribution(base_dist, gate=gate, gate_logits=gate_logits, validate_args=validate_args)


def HurdleNegativeBinomial2(
    gate: Any, mean: Any, concentration: Any, *, validate_args: bool | None = None
) -> Distribution:
    r"""Zero with probability ``gate``, else a draw from a :class:`NegativeBinomial2` given that it is not zero.

    :param gate: probability of zero, in [0, 1].
    :param mean: mean :math:`\mu > 0` of the negative binomial distribution.
    :param concentration: :math:`\alpha > 0`; its variance is :math:`\mu + \mu^2 / \alpha`.
    :return: a :class:`HurdleProbs`.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.HurdleNegativeBinomial2(0.25, 4.0, 3.0).log_prob(0)), 4)
    -1.3863
    """
    base_dist = NegativeBinomial2(mean, concentration, validate_args=validate_args)
    return HurdleProbs(base_dist, gate, validate_args=validate_args)

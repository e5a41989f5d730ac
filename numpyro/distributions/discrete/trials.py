# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Outcomes of trials: of one, the number of successes among many, the number of failures before the first success."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro.distributions import constraints
from numpyro.distributions._special import betainc, log_indicator, log_sigmoid, log_sigmoids, xlog1py, xlogy
from numpyro.distributions.discrete.log_mass import log_binomial, log_binomial_of_logits
from numpyro.distributions.discrete.shared import entropy_of_sum, over_batch, range_over_batch, to_logits
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import assert_one_of, binomial

__all__ = [
    "Bernoulli",
    "BernoulliLogits",
    "BernoulliProbs",
    "Binomial",
    "BinomialLogits",
    "BinomialProbs",
    "Geometric",
    "GeometricLogits",
    "GeometricProbs",
]


class _BernoulliBase(Distribution):
    support = constraints.boolean
    has_enumerate_support = True

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        draws = jax.random.bernoulli(key, self.probs, self.shape(sample_shape))
        return draws.astype(jnp.result_type(int))

    def cdf(self, value: Any) -> Any:
        value = jnp.asarray(value)
        return jnp.where(value < 0, 0.0, jnp.where(value < 1, 1 - jnp.asarray(self.probs), 1.0))

    @property
    def mean(self) -> Any:
        return self.probs

    @property
    def variance(self) -> Any:
        return self.probs * (1 - self.probs)

    @property
    def mode(self) -> Any:
        return (jnp.asarray(self.probs) > 0.5).astype(jnp.result_type(int))

    def enumerate_support(self, expand: bool = True) -> Any:
        return over_batch(self, jnp.arange(2), expand)


class BernoulliProbs(_BernoulliBase):
    r"""Bernoulli distribution, given by the probability of success.

    .. math:: p(1) = \pi, \quad p(0) = 1 - \pi

    :param probs: probability :math:`\pi` of 1, in [0, 1].

    **Source:** Johnson, Kemp, Kotz (2005), *Univariate Discrete Distributions*, chapter 3.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.BernoulliProbs(0.3).log_prob(0)), 4)
    -0.3567
    """

    arg_constraints = {"probs": constraints.unit_interval}

    def __init__(self, probs: Any, *, validate_args: bool | None = None) -> None:
        self._declare(probs=probs, validate_args=validate_args)

    @property
    def logits(self) -> Any:
        """Log odds of 1."""
        return to_logits(self.probs)

    def log_prob(self, value: Any) -> Any:
        value = jnp.asarray(value)
        success, probs = value == 1, jnp.asarray(self.probs)
        # At 0 and 1 the logarithms get no derivative, so that that of a value that is certain is finite.
        log_success = jnp.where(probs > 0, jnp.log(jnp.where(probs > 0, probs, 1.0)), -jnp.inf)
        log_failure = jnp.where(probs < 1, jnp.log1p(-jnp.where(probs < 1, probs, 0.0)), -jnp.inf)
        return jnp.where(success, log_success, log_failure) + log_indicator(success | (value == 0))

    def entropy(self) -> Any:
        probs = jnp.asarray(self.probs)
        return -xlogy(probs, probs) - xlogy(1 - probs, 1 - probs)


class BernoulliLogits(_BernoulliBase):
    r"""Bernoulli distribution, given by the log odds of success.

    .. math:: P(k) = \pi^k (1 - \pi)^{1 - k}, \quad \pi = \frac{1}{1 + e^{-\ell}}, \quad k \in \{0, 1\}

    :param logits: log odds :math:`\ell` of 1, real.

    **Source:** Johnson, Kemp, Kotz (2005), *Univariate Discrete Distributions*, chapter 3.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.BernoulliLogits(0.0).log_prob(1)), 4)
    -0.6931
    """

    arg_constraints = {"logits": constraints.real}

    def __init__(self, logits: Any, *, validate_args: bool | None = None) -> None:
        self._declare(logits=logits, validate_args=validate_args)

    @property
    def probs(self) -> Any:
        """Probability of 1."""
        return jax.nn.sigmoid(jnp.asarray(self.logits, jnp.result_type(float)))

    def log_prob(self, value: Any) -> Any:
        value = jnp.asarray(value)
        success, logits = value == 1, jnp.asarray(self.logits, jnp.result_type(self.logits, float))
        if np.size(logits) < np.size(value):
            log_prob = jnp.where(success, *log_sigmoids(logits))
        else:
            # A factor, which a loop over parameters computes once; a choice can keep XLA from vectorising.
            log_prob = log_sigmoid(logits * jnp.where(success, 1.0, -1.0).astype(logits.dtype))
        return log_prob + log_indicator(success | (value == 0))

    def entropy(self) -> Any:
        logits = jnp.asarray(self.logits, jnp.result_type(float))
        return jax.nn.softplus(logits) - logits * jax.nn.sigmoid(logits)


def Bernoulli(probs: Any = None, logits: Any = None, *, validate_args: bool | None = None) -> Distribution:
    """Bernoulli distribution, given by either ``probs`` or ``logits``.

    :param probs: probability of 1, in [0, 1].
    :param logits: its log odds, real.
    :return: a :class:`BernoulliProbs` or a :class:`BernoulliLogits`.
    :raises ValueError: unless exactly one of the two is given.

    >>> import numpyro.distributions as dist
    >>> type(dist.Bernoulli(logits=0.0)).__name__
    'BernoulliLogits'
    """
    assert_one_of(probs=probs, logits=logits)
    if probs is not None:
        return BernoulliProbs(probs, validate_args=validate_args)
    return BernoulliLogits(logits, validate_args=validate_args)


class _BinomialBase(Distribution):
    has_enumerate_support = True

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self.total_count)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return binomial(key, self.probs, self.total_count, self.shape(sample_shape))

    def _log_mass(self, successes: Any, failures: Any) -> Any:
        raise NotImplementedError

    def log_prob(self, value: Any) -> Any:
        value, total = jnp.asarray(value), jnp.asarray(self.total_count)
        inside = (value >= 0) & (value <= total) & (value == jnp.floor(value))
        # The difference of integers, where they are: of large ones single precision has not every digit.
        successes = jnp.where(inside, value, 0)
        counts = (count.astype(jnp.result_type(float)) for count in (successes, total - successes))
        return self._log_mass(*counts) + log_indicator(inside)

    def cdf(self, value: Any) -> Any:
        # P(K <= k) = I_{1 - p}(n - k, k + 1)
        successes, total = jnp.floor(value), jnp.asarray(self.total_count, jnp.result_type(float))
        inside = (successes >= 0) & (successes < total)
        safe = jnp.where(inside, successes, 0.0)
        cdf = betainc(jnp.where(inside, total - safe, 1.0), safe + 1, 1 - jnp.asarray(self.probs))
        return jnp.where(inside, cdf, jnp.where(successes < 0, 0.0, 1.0))

    @property
    def mean(self) -> Any:
        return self.total_count * self.probs

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    @property
    def mode(self) -> Any:
        mode = jnp.floor((jnp.asarray(self.total_count) + 1) * self.probs)
        return jnp.minimum(mode, self.total_count).astype(jnp.result_type(int))

    def enumerate_support(self, expand: bool = True) -> Any:
        """All counts; ``total_count`` must be concrete, and the same over the batch."""
        return range_over_batch(self, expand, total_count=self.total_count)

    def entropy(self) -> Any:
        """Entropy, a sum over the counts; ``total_count`` must be concrete, and the same over the batch."""
        return entropy_of_sum(self)


class BinomialProbs(_BinomialBase):
    r"""Binomial distribution, given by the probability of success.

    .. math:: p(k) = \binom{n}{k} \pi^k (1 - \pi)^{n - k}

    :param probs: probability of success :math:`\pi`, in [0, 1].
    :param total_count: number of trials :math:`n`, a non-negative integer.

    **Source:** Johnson, Kemp, Kotz (2005), *Univariate Discrete Distributions*, chapter 3.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.BinomialProbs(0.5, 2).log_prob(1)), 4)
    -0.6931
    """

    arg_constraints = {"probs": constraints.unit_interval, "total_count": constraints.nonnegative_integer}

    def __init__(self, probs: Any, total_count: Any = 1, *, validate_args: bool | None = None) -> None:
        self._declare(probs=probs, total_count=total_count, validate_args=validate_args)

    @property
    def logits(self) -> Any:
        """Log odds of success."""
        return to_logits(self.probs)

    def _log_mass(self, successes: Any, failures: Any) -> Any:
        probs = jnp.asarray(self.probs, jnp.result_type(self.probs, float))
        # Where one of them is certain the other has no derivative, so that none of a count of 0 is infinite.
        log_success = jnp.where(probs > 0, jnp.log(jnp.where(probs > 0, probs, 1.0)), -jnp.inf)
        log_failure = jnp.where(probs < 1, jnp.log1p(-jnp.where(probs < 1, probs, 0.0)), -jnp.inf)
        return log_binomial(successes, failures, (probs, log_success), (1 - probs, log_failure))


class BinomialLogits(_BinomialBase):
    r"""Binomial distribution, given by the log odds of success.

    .. math:: P(k) = \binom{n}{k} \pi^k (1 - \pi)^{n - k}, \quad \pi = \frac{1}{1 + e^{-\ell}}

    :param logits: log odds :math:`\ell` of success, real.
    :param total_count: number of trials :math:`n`, a non-negative integer.

    **Source:** Johnson, Kemp, Kotz (2005), *Univariate Discrete Distributions*, chapter 3.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.BinomialLogits(0.0, 2).log_prob(1)), 4)
    -0.6931
    """

    arg_constraints = {"logits": constraints.real, "total_count": constraints.nonnegative_integer}

    def __init__(self, logits: Any, total_count: Any = 1, *, validate_args: bool | None = None) -> None:
        self._declare(logits=logits, total_count=total_count, validate_args=validate_args)

    @property
    def probs(self) -> Any:
        """Probability of success."""
        return jax.nn.sigmoid(jnp.asarray(self.logits, jnp.result_type(float)))

    def _log_mass(self, successes: Any, failures: Any) -> Any:
        return log_binomial_of_logits(successes, failures, jnp.asarray(self.logits, jnp.result_type(float)))


def Binomial(
    total_count: Any = 1, probs: Any = None, logits: Any = None, *, validate_args: bool | None = None
) -> Distribution:
    """Binomial distribution, given by either ``probs`` or ``logits``.

    :param total_count: number of trials, a non-negative integer.
    :param probs: probability of success, in [0, 1].
    :param logits: its log odds, real.
    :return: a :class:`BinomialProbs` or a :class:`BinomialLogits`.
    :raises ValueError: unless exactly one of the two is given.

    >>> import numpyro.distributions as dist
    >>> float(dist.Binomial(10, probs=0.5).mean)
    5.0
    """
    assert_one_of(probs=probs, logits=logits)
    if probs is not None:
        return BinomialProbs(probs, total_count, validate_args=validate_args)
    return BinomialLogits(logits, total_count, validate_args=validate_args)


class _GeometricBase(Distribution):
    support = constraints.nonnegative_integer

    def _logs(self) -> tuple[Any, Any]:
        """Logarithms of the probabilities of success and of failure."""
        raise NotImplementedError

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        # The whole part of an exponential variable; what is too large for an integer is cut off at half the largest.
        _, log_failure = self._logs()
        dtype = jnp.result_type(int)
        draws = jax.random.exponential(key, self.shape(sample_shape)) / -log_failure
        return jnp.minimum(draws, float(jnp.iinfo(dtype).max // 2)).astype(dtype)

    def cdf(self, value: Any) -> Any:
        _, log_failure = self._logs()
        count = jnp.floor(value)
        return jnp.where(count < 0, 0.0, -jnp.expm1((jnp.maximum(count, 0.0) + 1) * log_failure))

    @property
    def mode(self) -> Any:
        return jnp.zeros((), jnp.result_type(int))


class GeometricProbs(_GeometricBase):
    r"""Geometric distribution: the number of failures before the first success, given the probability of success.

    .. math:: p(k) = (1 - \pi)^k \pi, \quad k = 0, 1, \dots

    :param probs: probability of success :math:`\pi`, in (0, 1].

    **Source:** Johnson, Kemp, Kotz (2005), *Univariate Discrete Distributions*, chapter 5.

    >>> import numpyro.distributions as dist
    >>> float(dist.GeometricProbs(0.25).mean)
    3.0
    """

    arg_constraints = {"probs": constraints.unit_interval}

    def __init__(self, probs: Any, *, validate_args: bool | None = None) -> None:
        self._declare(probs=probs, validate_args=validate_args)

    @property
    def logits(self) -> Any:
        """Log odds of success."""
        return to_logits(self.probs)

    def _logs(self) -> tuple[Any, Any]:
        return jnp.log(self.probs), jnp.log1p(-jnp.asarray(self.probs))

    def log_prob(self, value: Any) -> Any:
        value = jnp.asarray(value)
        inside = (value >= 0) & (value == jnp.floor(value))
        failures = jnp.where(inside, value, 0).astype(jnp.result_type(float))
        return xlog1py(failures, -jnp.asarray(self.probs)) + jnp.log(self.probs) + log_indicator(inside)

    @property
    def mean(self) -> Any:
        return (1 - self.probs) / self.probs

    @property
    def variance(self) -> Any:
        return (1 - self.probs) / self.probs**2

    def entropy(self) -> Any:
        probs = jnp.asarray(self.probs)
        return -jnp.log(probs) - xlog1py(1 - probs, -probs) / probs


class GeometricLogits(_GeometricBase):
    r"""Geometric distribution: the number of failures before the first success, given the log odds of success.

    .. math:: P(k) = \pi (1 - \pi)^k, \quad \pi = \frac{1}{1 + e^{-\ell}}, \quad k = 0, 1, \dots

    :param logits: log odds :math:`\ell` of success, real.

    **Source:** Johnson, Kemp, Kotz (2005), *Univariate Discrete Distributions*, chapter 5.

    >>> import numpyro.distributions as dist
    >>> float(dist.GeometricLogits(0.0).mean)
    1.0
    """

    arg_constraints = {"logits": constraints.real}

    def __init__(self, logits: Any, *, validate_args: bool | None = None) -> None:
        self._declare(logits=logits, validate_args=validate_args)

    @property
    def probs(self) -> Any:
        """Probability of success."""
        return jax.nn.sigmoid(jnp.asarray(self.logits, jnp.result_type(float)))

    def _logs(self) -> tuple[Any, Any]:
        return log_sigmoids(jnp.asarray(self.logits, jnp.result_type(float)))

    def log_prob(self, value: Any) -> Any:
        value = jnp.asarray(value)
        inside = (value >= 0) & (value == jnp.floor(value))
        log_success, log_failure = self._logs()
        return jnp.where(inside, value, 0) * log_failure + log_success + log_indicator(inside)

    @property
    def mean(self) -> Any:
        return jnp.exp(-jnp.asarray(self.logits, jnp.result_type(float)))

    @property
    def variance(self) -> Any:
        return self.mean * (1 + self.mean)

    def entropy(self) -> Any:
        # -log(1 - p) (1 - p) / p tends to 1 for small odds.
        logits = jnp.asarray(self.logits, jnp.result_type(float))
        usual = jnp.maximum(logits, -10.0)
        failures = jnp.where(logits < -10, 1 - 0.5 * jnp.exp(logits), jnp.exp(-usual) * jax.nn.softplus(usual))
        return jax.nn.softplus(-logits) + failures


def Geometric(probs: Any = None, logits: Any = None, *, validate_args: bool | None = None) -> Distribution:
    """Geometric distribution (failures before the first success), given by either ``probs`` or ``logits``.

    :param probs: probability of success, in (0, 1].
    :param logits: its log odds, real.
    :return: a :class:`GeometricProbs` or a :class:`GeometricLogits`.
    :raises ValueError: unless exactly one of the two is given.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.Geometric(0.25).log_prob(0)), 4)
    -1.3863
    """
    assert_one_of(probs=probs, logits=logits)
    if probs is not None:
        return GeometricProbs(probs, validate_args=validate_args)
    return GeometricLogits(logits, validate_args=validate_args)

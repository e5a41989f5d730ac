# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Counts whose rate or probability is drawn from its conjugate prior, and integrated out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import shape_of
from numpyro.distributions import constraints
from numpyro.distributions._random import beta_variate, dirichlet, log_gamma_ratio, log_standard_gamma
from numpyro.distributions._special import betainc, betaln, log_indicator, log_sigmoids
from numpyro.distributions._special.arguments import promote
from numpyro.distributions.discrete import HurdleProbs, ZeroInflatedDistribution
from numpyro.distributions.discrete.log_mass import log_beta_negative_binomial, log_negative_binomial, log_shared
from numpyro.distributions.discrete.shared import (
    entropy_of_sum,
    mean_over_counts,
    over_categories,
    pick,
    range_over_batch,
)
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import assert_one_of, binomial, multinomial, sum_rightmost
from numpyro.distributions.util.variates import largest_count

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


def _counts(value: Any, upper: Any = None) -> tuple[Any, Any]:
    """Which values are counts (up to a bound), and the values in floating point, with 0 for those that are not."""
    value = jnp.asarray(value)
    inside = (value >= 0) & (value == jnp.floor(value))
    if upper is not None:
        inside = inside & (value <= upper)
    return inside, jnp.where(inside, value, 0).astype(jnp.result_type(float))


def _floating(*parameters: Any) -> list[Any]:
    return [jnp.asarray(parameter, jnp.result_type(parameter, 1.0)) for parameter in parameters]


def _log_prior_ways(prior: Any, count: Any) -> Any:
    r""":math:`\log \Gamma(a + k) / (\Gamma(a)\,k!)`: the ways of k repeated choices among a things, were a whole."""
    return -betaln(prior, count + 1) - jnp.log(prior + count)


class BetaBinomial(Distribution):
    r"""Number of successes in trials whose probability of success has a Beta distribution.

    .. math:: p(k) = \binom{n}{k} \frac{B(\alpha + k, \beta + n - k)}{B(\alpha, \beta)}

    :param concentration1: :math:`\alpha > 0`, as it were the number of successes before.
    :param concentration0: :math:`\beta > 0`, as it were the number of failures before.
    :param total_count: number of trials :math:`n`, a non-negative integer.

    **Source:** Skellam (1948), *A probability distribution derived from the binomial distribution by regarding the
    probability of success as variable between the sets of trials*. Journal of the Royal Statistical Society B 10.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.BetaBinomial(1.0, 1.0, 4).log_prob(2)), 4)
    -1.6094
    """

    arg_constraints = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
        "total_count": constraints.nonnegative_integer,
    }
    has_enumerate_support = True

    def __init__(
        self, concentration1: Any, concentration0: Any, total_count: Any = 1, *, validate_args: bool | None = None
    ) -> None:
        self._declare(
            concentration1=concentration1,
            concentration0=concentration0,
            total_count=total_count,
            validate_args=validate_args,
        )

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self.total_count)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        key_probs, key_counts = jax.random.split(key)
        shape = self.shape(sample_shape)
        probs = beta_variate(key_probs, self.concentration1, self.concentration0, shape)
        return binomial(key_counts, probs, self.total_count, shape)

    def log_prob(self, value: Any) -> Any:
        inside, successes = _counts(value, self.total_count)
        alpha, beta, total = _floating(self.concentration1, self.concentration0, self.total_count)
        # The difference of integers, where they are: of large ones single precision has not every digit.
        failures = jnp.where(inside, jnp.asarray(self.total_count) - value, 0).astype(total.dtype)
        strength = alpha + beta
        parts = log_shared(successes, alpha, total, strength, (failures, beta))
        parts = parts + log_shared(failures, beta, total, strength, (successes, alpha))
        return parts - log_shared(total, strength, total, strength, (0.0, 0.0)) + log_indicator(inside)

    @property
    def mean(self) -> Any:
        return self.total_count * self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def variance(self) -> Any:
        strength = self.concentration1 + self.concentration0
        mean = self.concentration1 / strength
        return self.total_count * mean * (1 - mean) * (strength + self.total_count) / (strength + 1)

    def enumerate_support(self, expand: bool = True) -> Any:
        """All counts; ``total_count`` must be concrete, and the same over the batch."""
        return range_over_batch(self, expand, total_count=self.total_count)

    def entropy(self) -> Any:
        """Entropy, a sum over the counts; ``total_count`` must be concrete, and the same over the batch."""
        return entropy_of_sum(self)


class BetaNegativeBinomial(Distribution):
    r"""Number of successes before the n-th failure, where the probability of success has a Beta distribution.

    .. math:: p(k) = \frac{\Gamma(n + k)}{\Gamma(n)\,k!}\,\frac{B(\alpha + k, \beta + n)}{B(\alpha, \beta)},
        \quad k = 0, 1, \dots

    :param concentration1: :math:`\alpha > 0`, as it were the number of successes before.
    :param concentration0: :math:`\beta > 0`, as it were the number of failures before. The mean is finite from 1 on,
        the variance from 2 on.
    :param n: number of failures, positive.

    **Source:** Johnson, Kemp, Kotz (2005), *Univariate Discrete Distributions*, chapter 6.

    >>> import numpyro.distributions as dist
    >>> float(dist.BetaNegativeBinomial(2.5, 4.0, 3.0).mean)
    2.5
    """

    arg_constraints = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
        "n": constraints.positive,
    }
    support = constraints.nonnegative_integer

    def __init__(self, concentration1: Any, concentration0: Any, n: Any, *, validate_args: bool | None = None) -> None:
        self._declare(concentration1=concentration1, concentration0=concentration0, n=n, validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        # The odds p / (1 - p) of a Beta variable are a ratio of two Gamma variables.
        key_odds, key_counts = jax.random.split(key)
        shape = self.shape(sample_shape)
        log_odds = log_gamma_ratio(key_odds, self.concentration1, self.concentration0, shape)
        return _gamma_poisson(key_counts, self.n, log_odds, shape)

    def log_prob(self, value: Any) -> Any:
        inside, count = _counts(value)
        alpha, beta, n = _floating(self.concentration1, self.concentration0, self.n)
        return log_beta_negative_binomial(*promote(count, alpha, beta, n)) + log_indicator(inside)

    @property
    def mean(self) -> Any:
        """Mean; infinite for ``concentration0`` of 1 or less."""
        alpha, beta, n = _floating(self.concentration1, self.concentration0, self.n)
        exists = beta > 1
        return jnp.where(exists, n * alpha / jnp.where(exists, beta - 1, 1.0), jnp.inf)

    @property
    def variance(self) -> Any:
        """Variance; infinite for ``concentration0`` of 2 or less."""
        alpha, beta, n = _floating(self.concentration1, self.concentration0, self.n)
        exists = beta > 2
        beta = jnp.where(exists, beta, 3.0)
        variance = n * (n + beta - 1) * alpha * (alpha + beta - 1) / ((beta - 2) * (beta - 1) ** 2)
        return jnp.where(exists, variance, jnp.inf)


class DirichletMultinomial(Distribution):
    r"""How often each category came up in independent draws, where the probabilities have a Dirichlet distribution.

    With :math:`A = \sum_i \alpha_i`,

    .. math:: p(x) = \frac{n!\,\Gamma(A)}{\Gamma(n + A)} \prod_i \frac{\Gamma(x_i + \alpha_i)}{x_i!\,\Gamma(\alpha_i)},
        \quad \sum_i x_i = n

    :param concentration: :math:`\alpha`, of shape ``B + (m,)``, positive.
    :param total_count: number of draws :math:`n`, a non-negative integer, of shape ``B``.
    :param total_count_max: an upper bound of ``total_count``; if this one is traced, small counts are faster with it.

    **Source:** Mosimann (1962), *On the compound multinomial distribution, the multivariate β-distribution, and
    correlations among proportions*. Biometrika 49.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> print(dist.DirichletMultinomial(jnp.array([1.0, 3.0]), 8).mean)
    [2. 6.]
    """

    arg_constraints = {
        "concentration": constraints.independent(constraints.positive, 1),
        "total_count": constraints.nonnegative_integer,
    }
    pytree_aux_fields = ("total_count_max",)

    def __init__(
        self,
        concentration: Any,
        total_count: Any = 1,
        *,
        total_count_max: int | None = None,
        validate_args: bool | None = None,
    ) -> None:
        concentration = np.asarray(concentration) if isinstance(concentration, list | tuple) else concentration
        if not shape_of(concentration):
            raise ValueError(
                "DirichletMultinomial: concentration must have a last dimension, over the categories, but is a scalar."
            )
        self.total_count_max = total_count_max
        self._declare(
            concentration=concentration,
            total_count=total_count,
            event_shape=shape_of(concentration)[-1:],
            validate_args=validate_args,
        )

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        return constraints.multinomial(self.total_count)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        key_probs, key_counts = jax.random.split(key)
        shape = tuple(sample_shape) + self.batch_shape
        [concentration] = _floating(self.concentration)
        probs = dirichlet(key_probs, concentration, shape)
        return multinomial(key_counts, probs, self.total_count, shape, self.total_count_max)

    def log_prob(self, value: Any) -> Any:
        is_count, counts = _counts(value)
        alpha, total = _floating(self.concentration, self.total_count)
        strange = sum_rightmost((~is_count).astype(counts.dtype), 1)
        inside = (strange == 0) & (sum_rightmost(counts, 1) == total)
        strength = alpha.sum(-1)
        log_prob = sum_rightmost(self._log_shares(alpha, counts), 1) - log_shared(total, strength, total, strength)
        return jnp.where(inside, log_prob, -jnp.inf)

    def _log_shares(self, alpha: Any, counts: Any) -> Any:
        """Logarithms of the factors of the mass, from a table if they are more than the counts that there can be."""
        total, strength = jnp.asarray(self.total_count), alpha.sum(-1)
        most = largest_count(self.total_count, self.total_count_max)
        if most is None or total.ndim or (most + 1) * np.size(alpha) > np.size(counts):
            return log_shared(counts, alpha, total[..., None], strength[..., None])
        possible = np.arange(most + 1, dtype=alpha.dtype)
        share = lambda a: log_shared(possible, a[..., None], total, strength[..., None])
        # A loop, which is not compiled into one with the look-up: that would compute the entry for every value again.
        table = lax.map(share, jnp.moveaxis(alpha, -1, 0))
        return pick(jnp.moveaxis(table, 0, -2), counts.astype(jnp.int32))

    @property
    def mean(self) -> Any:
        alpha = jnp.asarray(self.concentration)
        return jnp.asarray(self.total_count)[..., None] * alpha / alpha.sum(-1, keepdims=True)

    @property
    def variance(self) -> Any:
        alpha, n = jnp.asarray(self.concentration), jnp.asarray(self.total_count)[..., None]
        strength = alpha.sum(-1, keepdims=True)
        return n * (alpha / strength) * (1 - alpha / strength) * (n + strength) / (1 + strength)

    def _marginals(self) -> BetaBinomial:
        """Distributions of the counts of the categories, along the last batch dimension."""
        [alpha] = _floating(self.concentration)
        return BetaBinomial(alpha, alpha.sum(-1, keepdims=True) - alpha, over_categories(self.total_count))

    def entropy(self) -> Any:
        """Entropy, by sums over the counts; ``total_count`` must be concrete, and the same over the batch."""
        [alpha] = _floating(self.concentration)
        mean_log_ways = mean_over_counts(self._marginals(), lambda count: _log_prior_ways(alpha, count)).sum(-1)
        return _log_prior_ways(alpha.sum(-1), jnp.asarray(self.total_count)) - mean_log_ways


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
        return _gamma_poisson(key, self.concentration, self._log_odds(), self.shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        inside, count = _counts(value)
        [concentration] = _floating(self.concentration)
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


def _gamma_poisson(key: Any, concentration: Any, log_odds: Any, shape: Sequence[int]) -> Any:
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
        return -jnp.log(*_floating(self.rate))

    def _logs(self, some: Any) -> tuple[Any, Any]:
        [rate] = _floating(self.rate)
        return -jnp.log1p(rate), -jnp.log1p(1 / rate)

    def _excess(self, count: Any) -> Any:
        [rate] = _floating(self.rate)
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
        [probs] = _floating(self.probs)
        return (1 - probs) / probs

    def _log_odds(self) -> Any:
        [probs] = _floating(self.probs)
        return jnp.log(probs) - jnp.log1p(-probs)

    def _logs(self, some: Any) -> tuple[Any, Any]:
        [probs] = _floating(self.probs)
        return jnp.log(jnp.where(some, probs, 1.0)), jnp.log1p(-probs)

    def _excess(self, count: Any) -> Any:
        [probs] = _floating(self.probs)
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
        [logits] = _floating(self.logits)
        return jnp.exp(-logits)

    def _log_odds(self) -> Any:
        return _floating(self.logits)[0]

    def _logs(self, some: Any) -> tuple[Any, Any]:
        [logits] = _floating(self.logits)
        return log_sigmoids(logits)

    def _excess(self, count: Any) -> Any:
        [logits] = _floating(self.logits)
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
        concentration, mean = _floating(self.concentration, self._mean)
        return concentration / mean

    @property
    def _mean(self) -> Any:
        """The mean as it was given."""
        return self.__dict__["mean"]

    def _log_odds(self) -> Any:
        concentration, mean = _floating(self.concentration, self._mean)
        return jnp.log(mean) - jnp.log(concentration)

    def _logs(self, some: Any) -> tuple[Any, Any]:
        concentration, mean = _floating(self.concentration, self._mean)
        return -jnp.log1p(concentration / jnp.where(some, mean, 1.0)), -jnp.log1p(mean / concentration)

    def _excess(self, count: Any) -> Any:
        concentration, mean = _floating(self.concentration, self._mean)
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

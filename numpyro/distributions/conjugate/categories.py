# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Counts of categories whose probabilities have a beta or Dirichlet distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import shape_of
from numpyro.distributions import constraints
from numpyro.distributions._random import beta_variate, dirichlet, log_gamma_ratio
from numpyro.distributions._special import betaln, log_indicator
from numpyro.distributions._special.arguments import promote
from numpyro.distributions.conjugate.rates import gamma_poisson
from numpyro.distributions.conjugate.shared import counts_within, floating
from numpyro.distributions.discrete.log_mass import log_beta_negative_binomial, log_shared
from numpyro.distributions.discrete.shared import (
    entropy_of_sum,
    mean_over_counts,
    over_categories,
    pick,
    range_over_batch,
)
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import binomial, multinomial, sum_rightmost
from numpyro.distributions.util.variates import largest_count

__all__ = ["BetaBinomial", "BetaNegativeBinomial", "DirichletMultinomial"]


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
        inside, successes = counts_within(value, self.total_count)
        alpha, beta, total = floating(self.concentration1, self.concentration0, self.total_count)
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
        return gamma_poisson(key_counts, self.n, log_odds, shape)

    def log_prob(self, value: Any) -> Any:
        inside, count = counts_within(value)
        alpha, beta, n = floating(self.concentration1, self.concentration0, self.n)
        return log_beta_negative_binomial(*promote(count, alpha, beta, n)) + log_indicator(inside)

    @property
    def mean(self) -> Any:
        """Mean; infinite for ``concentration0`` of 1 or less."""
        alpha, beta, n = floating(self.concentration1, self.concentration0, self.n)
        exists = beta > 1
        return jnp.where(exists, n * alpha / jnp.where(exists, beta - 1, 1.0), jnp.inf)

    @property
    def variance(self) -> Any:
        """Variance; infinite for ``concentration0`` of 2 or less."""
        alpha, beta, n = floating(self.concentration1, self.concentration0, self.n)
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
        [concentration] = floating(self.concentration)
        probs = dirichlet(key_probs, concentration, shape)
        return multinomial(key_counts, probs, self.total_count, shape, self.total_count_max)

    def log_prob(self, value: Any) -> Any:
        is_count, counts = counts_within(value)
        alpha, total = floating(self.concentration, self.total_count)
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
        [alpha] = floating(self.concentration)
        return BetaBinomial(alpha, alpha.sum(-1, keepdims=True) - alpha, over_categories(self.total_count))

    def entropy(self) -> Any:
        """Entropy, by sums over the counts; ``total_count`` must be concrete, and the same over the batch."""
        [alpha] = floating(self.concentration)
        mean_log_ways = mean_over_counts(self._marginals(), lambda count: _log_prior_ways(alpha, count)).sum(-1)
        return _log_prior_ways(alpha.sum(-1), jnp.asarray(self.total_count)) - mean_log_ways

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions of counts and categories. Samples are integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaincc, gammaln, logsumexp
import numpy as np

from numpyro._shapes import broadcast_shapes, shape_of
from numpyro.distributions import constraints
from numpyro.distributions._special import betainc, betaln, xlogy
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import assert_one_of, binomial, categorical, clamp_probs
from numpyro.util import not_jax_tracer

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
    "Poisson",
]


def to_logits(probs: Any) -> Any:
    """Log odds of probabilities, finite for 0 and 1 too."""
    probs = clamp_probs(probs)
    return jnp.log(probs) - jnp.log1p(-probs)


def pick(table: Any, index: Any) -> Any:
    """Entries of rows: ``table[..., index[...]]`` with the dimensions before the last broadcast, and not copied.

    :param table: shape ``A + (n,)``.
    :param index: integers from 0 to n - 1, of shape ``B``.
    :return: shape ``broadcast(A, B)``.
    """
    lead = jnp.ndim(table) - 1
    rank = max(lead, jnp.ndim(index))
    rows = [
        np.reshape(np.arange(size), (size,) + (1,) * (lead - 1 - dim)) if size > 1 else 0
        for dim, size in enumerate(table.shape[:-1])
    ]
    index = jnp.reshape(index, (1,) * (rank - jnp.ndim(index)) + shape_of(index))
    return table[(*rows, index)]


def over_batch(distribution: Distribution, values: Any, expand: bool) -> Any:
    """Values of a finite support, along a new first axis in front of the batch shape."""
    rank = len(distribution.batch_shape)
    values = jnp.reshape(values, values.shape + (1,) * rank)
    return jnp.broadcast_to(values, values.shape[:1] + distribution.batch_shape) if expand else values


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
        success = value == 1
        log_success = jnp.log(jnp.where(success, self.probs, 1.0))
        log_failure = jnp.log1p(-jnp.where(success, 0.0, self.probs))
        return jnp.where(success, log_success, jnp.where(value == 0, log_failure, -jnp.inf))

    def entropy(self) -> Any:
        probs = jnp.asarray(self.probs)
        return -xlogy(probs, probs) - xlogy(1 - probs, 1 - probs)


class BernoulliLogits(_BernoulliBase):
    r"""Bernoulli distribution, given by the log odds of success.

    :param logits: log odds :math:`\log \pi / (1 - \pi)` of 1, real.

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
        possible = (value == 0) | (value == 1)
        return jnp.where(possible, -jax.nn.softplus(jnp.where(value == 1, -self.logits, self.logits)), -jnp.inf)

    def entropy(self) -> Any:
        logits = jnp.asarray(self.logits, jnp.result_type(float))
        return jax.nn.softplus(logits) - logits * jax.nn.sigmoid(logits)


def Bernoulli(probs: Any = None, logits: Any = None, *, validate_args: bool | None = None) -> Distribution:
    """Bernoulli distribution, given by either ``probs`` or ``logits``.

    :return: a :class:`BernoulliProbs` or a :class:`BernoulliLogits`.

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

    def _log_odds_term(self, successes: Any, failures: Any) -> Any:
        """``successes * log(probs) + failures * log(1 - probs)``."""
        raise NotImplementedError

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return binomial(key, self.probs, self.total_count, self.shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        value, total = jnp.asarray(value), jnp.asarray(self.total_count)
        inside = (value >= 0) & (value <= total) & (value == jnp.floor(value))
        successes = jnp.where(inside, value, 0).astype(jnp.result_type(float))
        failures = total - successes
        log_ways = -betaln(failures + 1, successes + 1) - jnp.log1p(total)
        return jnp.where(inside, log_ways + self._log_odds_term(successes, failures), -jnp.inf)

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
        if not not_jax_tracer(self.total_count):
            raise NotImplementedError("the support of a Binomial can be enumerated only if total_count is concrete")
        totals = np.unique(np.asarray(self.total_count))
        if totals.size != 1:
            raise NotImplementedError(
                "the support of a Binomial can be enumerated only if total_count is the same over the batch, not "
                f"{totals}"
            )
        return over_batch(self, jnp.arange(int(totals[0]) + 1), expand)


class BinomialProbs(_BinomialBase):
    r"""Binomial distribution, given by the probability of success.

    .. math:: p(k) = \binom{n}{k} \pi^k (1 - \pi)^{n - k}

    :param probs: probability of success :math:`\pi`, in [0, 1].
    :param total_count: number of trials :math:`n`, a non-negative integer.

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

    def _log_odds_term(self, successes: Any, failures: Any) -> Any:
        some, none = successes > 0, failures == 0
        log_success = jnp.log(jnp.where(some, self.probs, 1.0))
        log_failure = jnp.log1p(-jnp.where(none, 0.0, self.probs))
        return successes * log_success + jnp.where(none, 0.0, failures * log_failure)


class BinomialLogits(_BinomialBase):
    """Binomial distribution, given by the log odds of success.

    :param logits: log odds of success, real.
    :param total_count: number of trials, a non-negative integer.

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

    def _log_odds_term(self, successes: Any, failures: Any) -> Any:
        logits = jnp.asarray(self.logits)
        return -successes * jax.nn.softplus(-logits) - failures * jax.nn.softplus(logits)


def Binomial(
    total_count: Any = 1, probs: Any = None, logits: Any = None, *, validate_args: bool | None = None
) -> Distribution:
    """Binomial distribution, given by either ``probs`` or ``logits``.

    :return: a :class:`BinomialProbs` or a :class:`BinomialLogits`.

    >>> import numpyro.distributions as dist
    >>> float(dist.Binomial(10, probs=0.5).mean)
    5.0
    """
    assert_one_of(probs=probs, logits=logits)
    if probs is not None:
        return BinomialProbs(probs, total_count, validate_args=validate_args)
    return BinomialLogits(logits, total_count, validate_args=validate_args)


class _CategoricalBase(Distribution):
    has_enumerate_support = True

    def _declare_vector(self, name: str, value: Any, validate_args: bool | None) -> None:
        value = np.asarray(value) if isinstance(value, list | tuple) else value
        if not shape_of(value):
            raise ValueError(
                f"{type(self).__name__}: {name} must have a last dimension, over the categories, but is a scalar."
            )
        self._declare(**{name: value}, validate_args=validate_args)

    @property
    def _size(self) -> int:
        raise NotImplementedError

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self._size - 1)

    def _log_mass(self, category: Any) -> Any:
        """Log probability of categories that exist."""
        raise NotImplementedError

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return categorical(key, self.probs, self.shape(sample_shape)).reshape(self.shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        value = jnp.asarray(value)
        inside = (value >= 0) & (value < self._size) & (value == jnp.floor(value))
        category = jnp.where(inside, value, 0).astype(jnp.int32)
        return jnp.where(inside, self._log_mass(category), -jnp.inf)

    @property
    def mean(self) -> Any:
        """NaN: categories have no order."""
        return jnp.nan

    @property
    def variance(self) -> Any:
        """NaN: categories have no order."""
        return jnp.nan

    def entropy(self) -> Any:
        probs = jnp.asarray(self.probs)
        return -xlogy(probs, probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Any:
        return over_batch(self, jnp.arange(self._size), expand)


class CategoricalProbs(_CategoricalBase):
    """Categorical distribution over 0 ... n - 1, given by probabilities.

    :param probs: probabilities, of shape ``B + (n,)``, on the simplex.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> round(float(dist.CategoricalProbs(jnp.array([0.2, 0.8])).log_prob(1)), 4)
    -0.2231
    """

    arg_constraints = {"probs": constraints.simplex}

    def __init__(self, probs: Any, *, validate_args: bool | None = None) -> None:
        self._declare_vector("probs", probs, validate_args)

    @property
    def _size(self) -> int:
        return shape_of(self.probs)[-1]

    @property
    def logits(self) -> Any:
        """Log probabilities, finite for 0 too."""
        return jnp.log(clamp_probs(self.probs))

    def _log_mass(self, category: Any) -> Any:
        return jnp.log(pick(jnp.asarray(self.probs), category))

    @property
    def mode(self) -> Any:
        return jnp.argmax(jnp.asarray(self.probs), -1)


class CategoricalLogits(_CategoricalBase):
    """Categorical distribution over 0 ... n - 1, given by log weights.

    :param logits: unnormalised log probabilities, of shape ``B + (n,)``.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> round(float(dist.CategoricalLogits(jnp.zeros(4)).entropy()), 4)
    1.3863
    """

    arg_constraints = {"logits": constraints.real_vector}

    def __init__(self, logits: Any, *, validate_args: bool | None = None) -> None:
        self._declare_vector("logits", logits, validate_args)

    @property
    def _size(self) -> int:
        return shape_of(self.logits)[-1]

    @property
    def probs(self) -> Any:
        """Probabilities."""
        return jax.nn.softmax(jnp.asarray(self.logits, jnp.result_type(float)), -1)

    def _log_mass(self, category: Any) -> Any:
        logits = jnp.asarray(self.logits)
        return pick(logits, category) - logsumexp(logits, -1)

    @property
    def mode(self) -> Any:
        return jnp.argmax(jnp.asarray(self.logits), -1)


def Categorical(probs: Any = None, logits: Any = None, *, validate_args: bool | None = None) -> Distribution:
    """Categorical distribution, given by either ``probs`` or ``logits``.

    :return: a :class:`CategoricalProbs` or a :class:`CategoricalLogits`.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> dist.Categorical(logits=jnp.zeros((5, 3))).batch_shape
    (5,)
    """
    assert_one_of(probs=probs, logits=logits)
    if probs is not None:
        return CategoricalProbs(probs, validate_args=validate_args)
    return CategoricalLogits(logits, validate_args=validate_args)


class Poisson(Distribution):
    r"""Poisson distribution.

    .. math:: p(k) = \frac{\lambda^k e^{-\lambda}}{k!}, \quad k = 0, 1, \dots

    :param rate: rate :math:`\lambda \ge 0`.
    :param is_sparse: whether most values are 0; then :meth:`log_prob` of a concrete array computes logarithms only for
        the others.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.Poisson(3.0).log_prob(0)), 4)
    -3.0
    """

    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer
    pytree_aux_fields = ("is_sparse",)

    def __init__(self, rate: Any, *, is_sparse: bool = False, validate_args: bool | None = None) -> None:
        self.is_sparse = is_sparse
        self._declare(rate=rate, validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return jax.random.poisson(key, self.rate, self.shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        if self.is_sparse and not_jax_tracer(value) and np.size(value) > 1:
            return self._sparse_log_prob(np.asarray(value))
        value = jnp.asarray(value)
        inside = (value >= 0) & (value == jnp.floor(value))
        count = jnp.where(inside, value, 0).astype(jnp.result_type(float))
        return jnp.where(inside, xlogy(count, self.rate) - self.rate - gammaln(count + 1), -jnp.inf)

    def _sparse_log_prob(self, value: np.ndarray) -> Any:
        shape = broadcast_shapes(value.shape, self.batch_shape)
        value, rate = np.broadcast_to(value, shape), jnp.broadcast_to(self.rate, shape)
        where = np.nonzero(value)
        count = value[where].astype(jnp.result_type(float))
        inside = (count >= 0) & (count == np.floor(count))
        log_factorial = gammaln(np.where(inside, count, 0) + 1)
        terms = jnp.where(inside, count * jnp.log(rate[where]) - log_factorial, -jnp.inf)
        return (-rate).at[where].add(terms)

    def cdf(self, value: Any) -> Any:
        count = jnp.floor(value)
        cdf = gammaincc(jnp.maximum(count, 0.0) + 1, jnp.asarray(self.rate, jnp.result_type(float)))
        return jnp.where(count < 0, 0.0, cdf)

    @property
    def mean(self) -> Any:
        return self.rate

    @property
    def variance(self) -> Any:
        return self.rate

    @property
    def mode(self) -> Any:
        return jnp.floor(self.rate).astype(jnp.result_type(int))

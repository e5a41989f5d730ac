# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions over finitely many categories: of one draw, of counts of draws, of an ordinal outcome."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln, logsumexp
import numpy as np

from numpyro._shapes import shape_of
from numpyro.distributions import constraints
from numpyro.distributions._special import FEW, log_sigmoid_difference, xlogy
from numpyro.distributions.discrete.log_mass import log_multinomial, surplus_of
from numpyro.distributions.discrete.shared import (
    choose,
    mean_over_counts,
    over_batch,
    over_categories,
    pick,
    range_over_batch,
)
from numpyro.distributions.discrete.trials import BinomialProbs
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import assert_one_of, categorical, clamp_probs, multinomial

__all__ = [
    "Categorical",
    "CategoricalLogits",
    "CategoricalProbs",
    "DiscreteUniform",
    "Multinomial",
    "MultinomialLogits",
    "MultinomialProbs",
    "OrderedLogistic",
]


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
    r"""Categorical distribution over 0 ... n - 1, given by probabilities.

    .. math:: P(k) = \pi_k

    :param probs: probabilities :math:`\pi`, of shape ``B + (n,)``, on the simplex.

    **Source:** Bishop (2006), *Pattern Recognition and Machine Learning*, section 2.2.

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
    r"""Categorical distribution over 0 ... n - 1, given by log weights.

    .. math:: P(k) = \frac{e^{\ell_k}}{\sum_j e^{\ell_j}}

    :param logits: unnormalised log probabilities :math:`\ell`, of shape ``B + (n,)``.

    **Source:** Bishop (2006), *Pattern Recognition and Machine Learning*, section 2.2.

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

    :param probs: probabilities, of shape ``B + (n,)``, on the simplex.
    :param logits: unnormalised log probabilities, of shape ``B + (n,)``.
    :return: a :class:`CategoricalProbs` or a :class:`CategoricalLogits`.
    :raises ValueError: unless exactly one of the two is given.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> dist.Categorical(logits=jnp.zeros((5, 3))).batch_shape
    (5,)
    """
    assert_one_of(probs=probs, logits=logits)
    if probs is not None:
        return CategoricalProbs(probs, validate_args=validate_args)
    return CategoricalLogits(logits, validate_args=validate_args)


class OrderedLogistic(_CategoricalBase):
    r"""Distribution of an ordinal outcome: the interval between cutpoints that a latent variable falls into.

    The latent variable has a logistic distribution about the predictor :math:`\eta`, so with
    :math:`c_{-1} = -\infty`, :math:`c_{K-1} = \infty` and :math:`\sigma(x) = 1 / (1 + e^{-x})`

    .. math:: p(k) = \sigma(c_k - \eta) - \sigma(c_{k-1} - \eta), \quad k = 0, \dots, K - 1

    **Source:** McCullagh (1980), *Regression models for ordinal data*.

    :param predictor: :math:`\eta`, real, of shape ``B``.
    :param cutpoints: :math:`c_0 < \dots < c_{K-2}`, of shape ``B + (K - 1,)``.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> print(dist.OrderedLogistic(0.0, jnp.array([-1.0, 1.0])).probs.round(4))
    [0.2689 0.4621 0.2689]
    """

    arg_constraints = {"predictor": constraints.real, "cutpoints": constraints.ordered_vector}

    def __init__(self, predictor: Any, cutpoints: Any, *, validate_args: bool | None = None) -> None:
        cutpoints = np.asarray(cutpoints) if isinstance(cutpoints, list | tuple) else cutpoints
        shape = shape_of(cutpoints)
        if not shape or not shape[-1]:
            raise ValueError(
                "OrderedLogistic: cutpoints must have a last dimension, over the one or more boundaries between "
                f"categories, but their shape is {shape}."
            )
        self._declare(predictor=predictor, cutpoints=cutpoints, validate_args=validate_args)

    @property
    def _size(self) -> int:
        return shape_of(self.cutpoints)[-1] + 1

    def _log_mass(self, category: Any) -> Any:
        if self._size <= FEW and np.size(category) >= prod(self.batch_shape) * self._size:
            return choose(self.logits, category)
        cutpoints, predictor = jnp.asarray(self.cutpoints), jnp.asarray(self.predictor)
        if self._size <= FEW:
            ends = [-jnp.inf, *(cutpoints[..., k] for k in range(self._size - 1)), jnp.inf]
            lower, upper = choose(ends[:-1], category), choose(ends[1:], category)
        else:
            last = self._size - 1
            lower = jnp.where(category == 0, -jnp.inf, pick(cutpoints, jnp.maximum(category - 1, 0)))
            upper = jnp.where(category == last, jnp.inf, pick(cutpoints, jnp.minimum(category, last - 1)))
        return log_sigmoid_difference(lower - predictor, upper - predictor, upper - lower)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        """Count the cutpoints below the latent variable, in terms of its distribution function, which is uniform."""
        uniform = jax.random.uniform(key, self.shape(sample_shape), jnp.result_type(float))
        cutpoints, predictor = jnp.asarray(self.cutpoints), jnp.asarray(self.predictor)
        none = jnp.zeros(uniform.shape, jnp.result_type(int))
        if self._size <= FEW:
            bounds = [jax.nn.sigmoid(cutpoints[..., k] - predictor) for k in range(self._size - 1)]
            return sum((uniform >= bound for bound in bounds), none)
        return none + (uniform[..., None] >= jax.nn.sigmoid(cutpoints - predictor[..., None])).sum(-1)

    @property
    def logits(self) -> Any:
        """Log probabilities, of shape ``B + (K,)``."""
        cutpoints, predictor = jnp.asarray(self.cutpoints), jnp.asarray(self.predictor)[..., None]
        unbounded = jnp.full_like(cutpoints[..., :1], jnp.inf)
        lower = jnp.concatenate([-unbounded, cutpoints], -1)
        upper = jnp.concatenate([cutpoints, unbounded], -1)
        return log_sigmoid_difference(lower - predictor, upper - predictor, upper - lower)

    @property
    def probs(self) -> Any:
        """Probabilities of the categories, of shape ``B + (K,)``."""
        return jnp.exp(self.logits)

    @property
    def mean(self) -> Any:
        """Mean of the category's number."""
        return (self.probs * np.arange(self._size, dtype=np.float32)).sum(-1)

    @property
    def variance(self) -> Any:
        """Variance of the category's number."""
        deviation = np.arange(self._size, dtype=np.float32) - self.mean[..., None]
        return (self.probs * deviation**2).sum(-1)

    @property
    def mode(self) -> Any:
        return jnp.argmax(self.logits, -1)


class DiscreteUniform(Distribution):
    r"""Uniform distribution over the integers from one bound to another, both included.

    .. math:: p(k) = \frac{1}{b - a + 1}, \quad k = a, \dots, b

    :param low: smallest value :math:`a`, an integer.
    :param high: largest value :math:`b \ge a`, an integer.

    **Source:** Johnson, Kemp, Kotz (2005), *Univariate Discrete Distributions*, chapter 6.

    >>> import numpyro.distributions as dist
    >>> print(dist.DiscreteUniform(1, 6).enumerate_support(), float(dist.DiscreteUniform(1, 6).mean))
    [1 2 3 4 5 6] 3.5
    """

    arg_constraints = {
        "low": constraints.dependent(is_discrete=True, event_dim=0),
        "high": constraints.dependent(is_discrete=True, event_dim=0),
    }
    has_enumerate_support = True

    def __init__(self, low: Any = 0, high: Any = 1, *, validate_args: bool | None = None) -> None:
        self._declare(low=low, high=high, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(self.low, self.high)

    def _argument_constraint(self, name: str) -> Any:
        if name == "high":
            return constraints.integer_greater_than(self.low)
        return constraints.less_than_eq(self.high)

    @property
    def _size(self) -> Any:
        return jnp.asarray(self.high - self.low + 1, jnp.result_type(float))

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        dtype = jnp.result_type(int)
        low, high = jnp.asarray(self.low, dtype), jnp.asarray(self.high, dtype)
        return jax.random.randint(key, self.shape(sample_shape), low, high + 1, dtype)

    def log_prob(self, value: Any) -> Any:
        value = jnp.asarray(value)
        inside = (value >= self.low) & (value <= self.high) & (value == jnp.floor(value))
        return jnp.where(inside, -jnp.log(self._size), -jnp.inf)

    def cdf(self, value: Any) -> Any:
        return jnp.clip((jnp.floor(value) - self.low + 1) / self._size, 0.0, 1.0)

    def icdf(self, q: Any) -> Any:
        """The smallest value at which the :meth:`cdf` is at least ``q``."""
        steps = jnp.ceil(q * self._size) - 1
        # The product may have been rounded up past an integer.
        steps = jnp.where(steps / self._size >= q, steps - 1, steps)
        return self.low + jnp.clip(steps, 0, self._size - 1).astype(jnp.result_type(int))

    @property
    def mean(self) -> Any:
        return self.low + 0.5 * (self._size - 1)

    @property
    def variance(self) -> Any:
        return (self._size**2 - 1) / 12

    def entropy(self) -> Any:
        return jnp.log(self._size)

    def enumerate_support(self, expand: bool = True) -> Any:
        """All integers between the bounds, which must be concrete, and the same over the batch."""
        return range_over_batch(self, expand, low=self.low, high=self.high)


class _MultinomialBase(Distribution):
    pytree_aux_fields = ("total_count_max",)

    def _declare_vector(
        self, name: str, value: Any, total_count: Any, total_count_max: int | None, validate_args: bool | None
    ) -> None:
        value = np.asarray(value) if isinstance(value, list | tuple) else value
        if not shape_of(value):
            raise ValueError(
                f"{type(self).__name__}: {name} must have a last dimension, over the categories, but is a scalar."
            )
        self.total_count_max = total_count_max
        parameters = {name: value, "total_count": total_count}
        self._declare(**parameters, event_shape=shape_of(value)[-1:], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        return constraints.multinomial(self.total_count)

    def _probabilities(self) -> tuple[Any, ...]:
        """Those of the categories, and their logarithms, which have no derivative where they are infinite."""
        raise NotImplementedError

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        shape = tuple(sample_shape) + self.batch_shape
        return multinomial(key, self.probs, self.total_count, shape, self.total_count_max)

    def log_prob(self, value: Any) -> Any:
        value, total = jnp.asarray(value), jnp.asarray(self.total_count)
        inside = ((value >= 0) & (value == jnp.floor(value))).all(-1) & (value.sum(-1) == total)
        counts = jnp.where(inside[..., None], value, 0).astype(jnp.result_type(float))
        return jnp.where(inside, log_multinomial(counts, *self._probabilities()), -jnp.inf)

    @property
    def mean(self) -> Any:
        return jnp.asarray(self.total_count)[..., None] * jnp.asarray(self.probs)

    @property
    def variance(self) -> Any:
        probs = jnp.asarray(self.probs)
        return jnp.asarray(self.total_count)[..., None] * probs * (1 - probs)

    def _marginals(self) -> BinomialProbs:
        """Distributions of the counts of the categories, along the last batch dimension."""
        return BinomialProbs(self.probs, over_categories(self.total_count))

    def entropy(self) -> Any:
        """Entropy, by sums over the counts; ``total_count`` must be concrete, and the same over the batch."""
        probs, total = jnp.asarray(self.probs), jnp.asarray(self.total_count, jnp.result_type(float))
        mean_log_factorials = mean_over_counts(self._marginals(), lambda count: gammaln(count + 1)).sum(-1)
        return mean_log_factorials - gammaln(total + 1) - total * xlogy(probs, probs).sum(-1)


class MultinomialProbs(_MultinomialBase):
    r"""Multinomial distribution: how often each category came up in independent draws; given probabilities.

    .. math:: p(x) = \frac{n!}{\prod_i x_i!} \prod_i \pi_i^{x_i}, \quad \sum_i x_i = n

    :param probs: probabilities :math:`\pi`, of shape ``B + (m,)``, on the simplex.
    :param total_count: number of draws :math:`n`, a non-negative integer, of shape ``B``.
    :param total_count_max: an upper bound of ``total_count``; if this one is traced, few draws are faster with it.

    **Source:** Johnson, Kotz, Balakrishnan (1997), *Discrete Multivariate Distributions*, chapter 35.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> print(dist.MultinomialProbs(jnp.array([0.25, 0.75]), 8).mean)
    [2. 6.]
    """

    arg_constraints = {"probs": constraints.simplex, "total_count": constraints.nonnegative_integer}

    def __init__(
        self,
        probs: Any,
        total_count: Any = 1,
        *,
        total_count_max: int | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._declare_vector("probs", probs, total_count, total_count_max, validate_args)

    @property
    def logits(self) -> Any:
        """Log probabilities, finite for 0 too."""
        return jnp.log(clamp_probs(self.probs))

    def _probabilities(self) -> tuple[Any, ...]:
        probs = jnp.asarray(self.probs, jnp.result_type(self.probs, float))
        log_probs = jnp.where(probs > 0, jnp.log(jnp.where(probs > 0, probs, 1.0)), -jnp.inf)
        return probs, log_probs, surplus_of(probs)


class MultinomialLogits(_MultinomialBase):
    r"""Multinomial distribution: how often each category came up in independent draws; given log weights.

    .. math:: P(k) = \frac{n!}{k_1! \cdots k_m!} \prod_j \pi_j^{k_j}, \quad \pi = \mathrm{softmax}(\ell)

    :param logits: unnormalised log probabilities :math:`\ell`, of shape ``B + (m,)``.
    :param total_count: number of draws :math:`n`, a non-negative integer, of shape ``B``.
    :param total_count_max: an upper bound of ``total_count``; if this one is traced, few draws are faster with it.

    **Source:** Johnson, Kotz, Balakrishnan (1997), *Discrete Multivariate Distributions*, chapter 35.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> print(dist.MultinomialLogits(jnp.zeros(2), 8).mean)
    [4. 4.]
    """

    arg_constraints = {"logits": constraints.real_vector, "total_count": constraints.nonnegative_integer}

    def __init__(
        self,
        logits: Any,
        total_count: Any = 1,
        *,
        total_count_max: int | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._declare_vector("logits", logits, total_count, total_count_max, validate_args)

    @property
    def probs(self) -> Any:
        """Probabilities."""
        return jax.nn.softmax(jnp.asarray(self.logits, jnp.result_type(float)), -1)

    def _probabilities(self) -> tuple[Any, ...]:
        logits = jnp.asarray(self.logits, jnp.result_type(float))
        return jax.nn.softmax(logits, -1), jax.nn.log_softmax(logits, -1)


def Multinomial(
    total_count: Any = 1,
    probs: Any = None,
    logits: Any = None,
    *,
    total_count_max: int | None = None,
    validate_args: bool | None = None,
) -> Distribution:
    """Multinomial distribution, given by either ``probs`` or ``logits``.

    :param total_count: number of draws, a non-negative integer, of shape ``B``.
    :param probs: probabilities, of shape ``B + (m,)``, on the simplex.
    :param logits: unnormalised log probabilities, of shape ``B + (m,)``.
    :param total_count_max: an upper bound of ``total_count``; if this one is traced, few draws are faster with it.
    :return: a :class:`MultinomialProbs` or a :class:`MultinomialLogits`.
    :raises ValueError: unless exactly one of the two is given.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> round(float(dist.Multinomial(2, probs=jnp.array([0.5, 0.5])).log_prob(jnp.array([1, 1]))), 4)
    -0.6931
    """
    assert_one_of(probs=probs, logits=logits)
    if probs is not None:
        return MultinomialProbs(probs, total_count, total_count_max=total_count_max, validate_args=validate_args)
    return MultinomialLogits(logits, total_count, total_count_max=total_count_max, validate_args=validate_args)

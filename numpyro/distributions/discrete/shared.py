# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What the families of counts and categories share: log odds, look-ups in tables, values of finite supports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro._shapes import shape_of
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import clamp_probs
from numpyro.util import not_jax_tracer


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


def choose(table: Any, index: Any) -> Any:
    """The same as :func:`pick`, for a short table that is computed: by comparisons, so that it is computed once.

    A look-up would be compiled into one loop with the formula of the table, for every value again.

    :param table: an array, or a sequence of its entries along the last dimension.
    """
    entries = table if isinstance(table, list) else [table[..., entry] for entry in range(table.shape[-1])]
    chosen = entries[0]
    for entry, value in enumerate(entries[1:], 1):
        chosen = jnp.where(index == entry, value, chosen)
    return chosen


def over_batch(distribution: Distribution, values: Any, expand: bool) -> Any:
    """Values of a finite support, along a new first axis in front of the batch shape."""
    rank = len(distribution.batch_shape)
    values = jnp.reshape(values, values.shape + (1,) * rank)
    return jnp.broadcast_to(values, values.shape[:1] + distribution.batch_shape) if expand else values


def range_over_batch(distribution: Distribution, expand: bool, **bounds: Any) -> Any:
    """The integers from the bound named first to the one named second, or from 0 to the only one.

    :raises NotImplementedError: if a bound is abstract, or differs over the batch.
    """
    concrete = [0] if len(bounds) == 1 else []
    for name, bound in bounds.items():
        family = type(distribution).__name__
        if not not_jax_tracer(bound):
            raise NotImplementedError(f"the support of {family} can be enumerated only if {name} is concrete")
        values = np.unique(np.asarray(bound))
        if values.size != 1:
            raise NotImplementedError(
                f"the support of {family} can be enumerated only if {name} is the same over the batch, not {values}"
            )
        concrete.append(int(values[0]))
    first, last = concrete
    return over_batch(distribution, jnp.arange(first, last + 1), expand)


def entropy_of_sum(distribution: Distribution) -> Any:
    """The entropy of a univariate distribution of finite support, which is enumerated."""
    log_prob = distribution.log_prob(distribution.enumerate_support(expand=False))
    possible = log_prob > -jnp.inf
    log_prob = jnp.where(possible, log_prob, 0.0)
    return -jnp.where(possible, jnp.exp(log_prob) * log_prob, 0.0).sum(0)


def mean_over_counts(distribution: Distribution, function: Callable[[Any], Any]) -> Any:
    """The mean of a function of a count of finite support. A value of probability 0 counts nothing."""
    counts = distribution.enumerate_support(expand=False)
    log_prob = distribution.log_prob(counts)
    return (jnp.exp(log_prob) * function(counts.astype(log_prob.dtype))).sum(0)


def over_categories(total_count: Any) -> Any:
    """A number of trials with a last dimension for the categories; concrete if it is."""
    total_count = np.asarray(total_count) if not_jax_tracer(total_count) else total_count
    return total_count[..., None]

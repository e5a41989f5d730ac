# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The rules by pairs of classes, and what wrappers do to a divergence."""

from __future__ import annotations

from collections.abc import Callable
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import broadcast_shapes
from numpyro.distributions.distribution import (
    Delta,
    Distribution,
    ExpandedDistribution,
    FoldedDistribution,
    Independent,
    MaskedDistribution,
    TransformedDistribution,
)
from numpyro.distributions.util import sum_rightmost

__all__ = ["kl_divergence", "known_same", "no_closed_form", "register", "rule_for", "summed_over_the_support"]

Rule = Callable[[Any, Any], Any]
_RULES: dict[tuple[type, type], Rule] = {}


def kl_divergence(p: Distribution, q: Distribution) -> Any:
    r"""Kullback-Leibler divergence :math:`\mathrm{KL}(p \| q)`, in closed form.

    :param p: the distribution over which the expectation is taken.
    :param q: the other one, of the same event shape. Batch shapes broadcast.
    :return: array of the common batch shape; infinite where p gives mass to what is impossible under q, or where the
        expectation diverges.
    :raises NotImplementedError: if no closed form is known.
    :raises ValueError: if the event shapes differ, or the batch shapes do not broadcast.

    Of a masked distribution, only what is not masked counts. Distributions that the same transforms make of others
    diverge as these do. A rule for classes of your own is registered for both (and their subclasses)::

        @kl_divergence.register(MyDistribution, Normal)
        def divergence(p, q): ...

    >>> import numpyro.distributions as dist
    >>> float(dist.kl_divergence(dist.Normal(0.0, 1.0), dist.Normal(1.0, 1.0)))
    0.5
    >>> dist.kl_divergence(dist.Gamma(2.0, 1.0).expand([3]), dist.Weibull(1.0, 2.0)).shape
    (3,)
    """
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"kl_divergence: {type(p).__name__} has event shape {p.event_shape}, but {type(q).__name__} has "
            f"{q.event_shape}; .to_event(n) makes batch dimensions part of the event."
        )
    shape = broadcast_shapes(p.batch_shape, q.batch_shape)
    return jnp.broadcast_to(_divergence(p, q), shape)


def register(p: type, q: type) -> Callable[[Rule], Rule]:
    """Register a function as the rule for a pair of classes and their subclasses."""

    def enter(rule: Rule) -> Rule:
        _RULES[p, q] = rule
        rule_for.cache_clear()
        return rule

    return enter


kl_divergence.register = register  # type: ignore[attr-defined]


@functools.cache
def rule_for(p: type, q: type) -> Rule | None:
    """The rule for the nearest classes from which they are derived, first of all the nearest to p."""
    pairs = itertools.product(p.__mro__, q.__mro__)
    return next((_RULES[pc, qc] for pc, qc in pairs if (pc, qc) in _RULES), None)


def _divergence(p: Distribution, q: Distribution) -> Any:
    """Up to broadcasting."""
    if isinstance(p, ExpandedDistribution):
        return _divergence(p.base_dist, q)
    if isinstance(q, ExpandedDistribution):
        return _divergence(p, q.base_dist)
    if isinstance(p, MaskedDistribution) or isinstance(q, MaskedDistribution):
        return _masked(p, q)
    rule = rule_for(type(p), type(q))
    if rule is not None:
        return rule(p, q)
    if isinstance(p, Independent) and isinstance(q, Independent):
        return _independent(p, q)
    if isinstance(p, TransformedDistribution) and isinstance(q, TransformedDistribution):
        return _transformed(p, q)
    if p.has_enumerate_support and q.is_discrete and not p.event_shape:
        return summed_over_the_support(p, q)
    raise NotImplementedError(no_closed_form(p, q))


def known_same(x: Any, y: Any) -> bool:
    """Whether two parameters are known to be equal: a rule that needs it cannot ask a traced one."""
    if x is y:
        return True
    if any(isinstance(value, jax.core.Tracer) for value in (x, y)):
        return False
    return bool(np.all(np.asarray(x) == np.asarray(y)))


def no_closed_form(p: Distribution, q: Distribution, unless: str = "") -> str:
    """The message for a pair without a rule, or with one that holds only under a condition."""
    pair = f"{type(p).__name__} from {type(q).__name__}"
    if unless:
        pair = f"{pair}, unless {unless}"
    return (
        f"no closed form is known here for the divergence of {pair}. Estimate it by the mean of p.log_prob(x) - "
        f"q.log_prob(x) over draws x of p, or register a rule: @kl_divergence.register({type(p).__name__}, "
        f"{type(q).__name__})."
    )


# Wrappers


def _masked(p: Distribution, q: Distribution) -> Any:
    counts: Any = True
    bases = []
    for d in (p, q):
        if isinstance(d, MaskedDistribution):
            counts = jnp.logical_and(counts, d._mask)
            d = d.base_dist
        bases.append(d)
    return jnp.where(counts, kl_divergence(*bases), 0.0)


def _independent(p: Independent, q: Independent) -> Any:
    """Divergences of independent components add up. Both may be made of parts of different sizes."""
    common = min(p.reinterpreted_batch_ndims, q.reinterpreted_batch_ndims)
    parts = (d.base_dist.to_event(d.reinterpreted_batch_ndims - common) for d in (p, q))
    return sum_rightmost(kl_divergence(*parts), common)


def _transformed(p: TransformedDistribution, q: TransformedDistribution) -> Any:
    """A bijection changes both densities by the same factor."""
    if isinstance(p, FoldedDistribution) or isinstance(q, FoldedDistribution):
        raise NotImplementedError(no_closed_form(p, q))
    if len(p.transforms) != len(q.transforms) or any(t != u for t, u in zip(p.transforms, q.transforms, strict=True)):
        raise NotImplementedError(
            f"kl_divergence: {type(p).__name__} and {type(q).__name__} are made by transforms that differ, or that "
            "cannot be seen to be equal inside a jitted function; a closed form is known for equal transforms."
        )
    return kl_divergence(p.base_dist, q.base_dist)


@register(Delta, Distribution)
def _point(p: Delta, q: Distribution) -> Any:
    return p.log_density - q.log_prob(p.v)


def summed_over_the_support(p: Any, q: Any) -> Any:
    """The divergence of a univariate distribution with finite support."""
    values = p.enumerate_support(expand=False)
    values = values.reshape(values.shape[:1] + (1,) * max(len(p.batch_shape), len(q.batch_shape)))
    log_p, log_q = p.log_prob(values), q.log_prob(values)
    possible = log_p > -jnp.inf
    return jnp.where(possible, jnp.exp(log_p) * (jnp.where(possible, log_p, 0.0) - log_q), 0.0).sum(0)

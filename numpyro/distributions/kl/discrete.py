# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Divergences of distributions of counts and categories."""

from __future__ import annotations

from collections.abc import Callable
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro.distributions._special import xlogy
from numpyro.distributions.discrete import (
    BernoulliLogits,
    BernoulliProbs,
    BinomialLogits,
    BinomialProbs,
    CategoricalLogits,
    CategoricalProbs,
    GeometricLogits,
    GeometricProbs,
    MultinomialLogits,
    MultinomialProbs,
    Poisson,
)
from numpyro.distributions.kl.dispatch import kl_divergence, register, summed_over_the_support


@register(Poisson, Poisson)
def _poissons(p: Any, q: Any) -> Any:
    return xlogy(p.rate, jnp.asarray(p.rate) / q.rate) + q.rate - p.rate


def _geometrics(p: Any, q: Any) -> Any:
    log_success, log_failure = q._logs()
    return -p.entropy() - log_success - jnp.where(p.mean > 0, p.mean * log_failure, 0.0)


def _as_bernoulli(d: Any) -> Any:
    return BernoulliLogits(d.logits) if isinstance(d, BinomialLogits) else BernoulliProbs(d.probs)


def _binomials(p: Any, q: Any) -> Any:
    """With as many trials, a sum of independent ones; where p has more, some of its counts are impossible under q."""
    n, m = p.total_count, q.total_count
    if not _same(n, m):
        return summed_over_the_support(p, q)
    return n * kl_divergence(_as_bernoulli(p), _as_bernoulli(q))


def _as_categorical(d: Any) -> Any:
    return CategoricalLogits(d.logits) if isinstance(d, MultinomialLogits) else CategoricalProbs(d.probs)


def _multinomials(p: Any, q: Any) -> Any:
    """With different numbers of trials no value is possible under both."""
    n = jnp.asarray(p.total_count)
    return jnp.where(n == q.total_count, n * kl_divergence(_as_categorical(p), _as_categorical(q)), jnp.inf)


def _same(n: Any, m: Any) -> bool:
    """Whether two numbers of trials are known to be equal."""
    if n is m:
        return True
    if any(isinstance(x, jax.core.Tracer) for x in (n, m)):
        return False
    return bool(np.all(np.asarray(n) == np.asarray(m)))


_EITHER_FORM: dict[Callable[[Any, Any], Any], tuple[type, type]] = {
    _binomials: (BinomialProbs, BinomialLogits),
    _geometrics: (GeometricProbs, GeometricLogits),
    _multinomials: (MultinomialProbs, MultinomialLogits),
}
for _rule, _forms in _EITHER_FORM.items():
    for _p, _q in itertools.product(_forms, repeat=2):
        register(_p, _q)(_rule)

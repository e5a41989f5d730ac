# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Divergences of distributions of counts and categories."""

from __future__ import annotations

from collections.abc import Callable
import itertools
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

from numpyro.distributions._special import xlogy
from numpyro.distributions.conjugate import DirichletMultinomial, GammaPoisson
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
from numpyro.distributions.discrete.shared import mean_over_counts
from numpyro.distributions.kl.dispatch import (
    kl_divergence,
    known_same,
    no_closed_form,
    register,
    summed_over_the_support,
)


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
    if not known_same(n, m):
        return summed_over_the_support(p, q)
    return n * kl_divergence(_as_bernoulli(p), _as_bernoulli(q))


def _as_categorical(d: Any) -> Any:
    return CategoricalLogits(d.logits) if isinstance(d, MultinomialLogits) else CategoricalProbs(d.probs)


def _multinomials(p: Any, q: Any) -> Any:
    """With different numbers of trials no value is possible under both."""
    n = jnp.asarray(p.total_count)
    return jnp.where(n == q.total_count, n * kl_divergence(_as_categorical(p), _as_categorical(q)), jnp.inf)


@register(GammaPoisson, GammaPoisson)
def _negative_binomials(p: Any, q: Any) -> Any:
    """With the same concentration the ways to a count cancel."""
    if not known_same(p.concentration, q.concentration):
        raise NotImplementedError(no_closed_form(p, q, "both have the same concentration (total_count), not traced"))
    some = p.mean > 0
    (more, stop), (other_more, other_stop) = p._logs(some), q._logs(some)
    return jnp.where(some, p.mean * (more - other_more), 0.0) + p.concentration * (stop - other_stop)


def _mean_log_kernel(p: Any, q: Any) -> Any:
    """Mean of the log mass of q, but for the multinomial coefficient; the counts are those of p, by their marginals."""
    if isinstance(q, DirichletMultinomial):
        alpha = jnp.asarray(q.concentration, jnp.result_type(float))
        total = alpha.sum(-1)
        rise = mean_over_counts(p._marginals(), lambda count: gammaln(alpha + count) - gammaln(alpha))
        return rise.sum(-1) - (gammaln(total + jnp.asarray(p.total_count)) - gammaln(total))
    log_probs = jax.nn.log_softmax(q.logits) if isinstance(q, MultinomialLogits) else jnp.log(jnp.asarray(q.probs))
    return jnp.where(p.mean > 0, p.mean * log_probs, 0.0).sum(-1)


def _counts_of_categories(p: Any, q: Any) -> Any:
    """The multinomial coefficients cancel. With different numbers of trials no value is possible under both."""
    divergence = _mean_log_kernel(p, p) - _mean_log_kernel(p, q)
    return jnp.where(jnp.asarray(p.total_count) == q.total_count, divergence, jnp.inf)


for _of_categories in (MultinomialProbs, MultinomialLogits, DirichletMultinomial):
    register(_of_categories, DirichletMultinomial)(_counts_of_categories)
    register(DirichletMultinomial, _of_categories)(_counts_of_categories)

_EITHER_FORM: dict[Callable[[Any, Any], Any], tuple[type, type]] = {
    _binomials: (BinomialProbs, BinomialLogits),
    _geometrics: (GeometricProbs, GeometricLogits),
    _multinomials: (MultinomialProbs, MultinomialLogits),
}
for _rule, _forms in _EITHER_FORM.items():
    for _p, _q in itertools.product(_forms, repeat=2):
        register(_p, _q)(_rule)

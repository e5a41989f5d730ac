# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Divergences of distributions with more zeros than another one, by those of the distributions without."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from numpyro.distributions.continuous.hurdle import _ContinuousHurdle
from numpyro.distributions.discrete.zeros import _Gated, _ZeroInflated
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.kl.dispatch import kl_divergence, no_closed_form, register
from numpyro.distributions.util import log1mexp


def _with_zeros(p: Any, q: Any) -> Any:
    if p.event_shape or p.is_discrete != q.is_discrete:
        raise NotImplementedError(no_closed_form(p, q))
    return _of_counts(p, q) if p.is_discrete else _of_mixed(p, q)


def _of_counts(p: Any, q: Any) -> Any:
    r"""Both have masses :math:`c f_k` and :math:`d g_k` but at zero, so that the divergence is

    :math:`p_0 \log\frac{p_0}{q_0} + c\left[D - f_0 \log\frac{f_0}{g_0} + (1 - f_0) \log\frac{c}{d}\right]`

    with that of the bases, :math:`D`.
    """
    (f, log_p, log_c), (g, log_q, log_d) = _zero_and_factor(p), _zero_and_factor(q)
    log_f, log_g = _log_zero(f), _log_zero(g)
    passes = log_c > -jnp.inf
    safe = jnp.where(passes, log_c, 0.0)
    rest = kl_divergence(f, g) - _times_log_ratio(log_f, log_g) - jnp.expm1(log_f) * (safe - log_d)
    return _times_log_ratio(log_p, log_q) + jnp.where(passes, jnp.exp(safe) * rest, 0.0)


def _log_zero(d: Any) -> Any:
    return d.log_prob(jnp.zeros((), jnp.result_type(int)))


def _zero_and_factor(d: Any) -> tuple[Any, Any, Any]:
    """The base, the log probability of zero, and the logarithm of the factor of the base's other masses."""
    if not isinstance(d, _Gated):
        return d, _log_zero(d), jnp.zeros(())
    if isinstance(d, _ZeroInflated):
        return d.base_dist, d._log_either(_log_zero(d.base_dist)), d._log_open()
    return d.base_dist, d._log_gate(), d._log_open() - log1mexp(_log_zero(d.base_dist))


def _times_log_ratio(log_p: Any, log_q: Any) -> Any:
    """``p log(p / q)``, which is 0 for p = 0."""
    possible = log_p > -jnp.inf
    return jnp.where(possible, jnp.exp(log_p) * (jnp.where(possible, log_p, 0.0) - log_q), 0.0)


def _of_mixed(p: Any, q: Any) -> Any:
    """A point mass at zero beside a density."""
    (f, log_gate, log_open), (g, other_gate, other_open) = _gate(p), _gate(q)
    rest = jnp.where(log_open > -jnp.inf, jnp.exp(log_open) * kl_divergence(f, g), 0.0)
    return rest + _times_log_ratio(log_gate, other_gate) + _times_log_ratio(log_open, other_open)


def _gate(d: Any) -> tuple[Any, Any, Any]:
    """The density, and the log probabilities of zero and of the rest."""
    if isinstance(d, _Gated):
        return d.base_dist, d._log_gate(), d._log_open()
    if isinstance(d, _ContinuousHurdle):
        return d.base_dist, jnp.log(d.gate), jnp.log1p(-jnp.asarray(d.gate))
    return d, -jnp.inf * jnp.ones(()), jnp.zeros(())


for _p in (_Gated, _ContinuousHurdle):
    for _q in (_Gated, _ContinuousHurdle, Distribution):
        register(_p, _q)(_with_zeros)
    register(Distribution, _p)(_with_zeros)

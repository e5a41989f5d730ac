# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Divergences from distributions on an interval, and of and from those that are cut off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro.distributions import constraints
from numpyro.distributions.continuous import Uniform
from numpyro.distributions.directional import VonMises
from numpyro.distributions.distribution import Distribution, ExpandedDistribution
from numpyro.distributions.kl.dispatch import kl_divergence, known_same, no_closed_form, register, rule_for
from numpyro.distributions.truncated import TruncatedPolyaGamma
from numpyro.distributions.truncated.truncation import _Truncation

__all__ = ["ends", "given_support", "statistics"]

#: The ends of a set of numbers.
_ENDS: dict[type, Callable[[Any], tuple[Any, Any]]] = {
    type(constraints.real): lambda s: (-np.inf, np.inf),
    constraints.greater_than: lambda s: (s.lower_bound, np.inf),
    constraints.less_than: lambda s: (-np.inf, s.upper_bound),
    constraints.interval: lambda s: (s.lower_bound, s.upper_bound),
}


def ends(d: Distribution) -> tuple[Any, Any]:
    """The ends of the support of a continuous distribution of numbers.

    :raises NotImplementedError: if the support is no interval, or not known.
    """
    support = d.support
    for kind, of in _ENDS.items():
        if isinstance(support, kind) and not (d.event_shape or d.is_discrete):
            return of(support)
    raise NotImplementedError(f"the support of {type(d).__name__} is not known to be an interval")


def statistics(p: Any, q: Any, *names: str) -> list[Any]:
    """Entropy, mean and variance, as far as they are named, with the message for the pair where p has them not."""
    try:
        return [p.entropy() if name == "entropy" else getattr(p, name) for name in names]
    except NotImplementedError as error:
        raise NotImplementedError(no_closed_form(p, q)) from error


def given_support(p: Any, q: Any, divergence: Any) -> Any:
    """A divergence that holds if the support of p lies in that of q, and is infinite elsewhere."""
    try:
        (low, high), (outer_low, outer_high) = ends(p), ends(q)
    except NotImplementedError as error:
        raise NotImplementedError(no_closed_form(p, q)) from error
    inside = (jnp.asarray(low) >= outer_low) & (jnp.asarray(high) <= outer_high)
    return jnp.where(inside, divergence, jnp.inf)


@register(Distribution, Uniform)
def _from_uniform(p: Any, q: Any) -> Any:
    [entropy] = statistics(p, q, "entropy")
    return given_support(p, q, jnp.log(q.high - q.low) - entropy)


@register(Uniform, VonMises)
def _from_von_mises(p: Any, q: Any) -> Any:
    width = p.high - p.low
    # The mean of cos(x - m) - 1 = -2 sin((x - m) / 2)^2, by the sine of half the width.
    center = 0.5 * (p.low + p.high) - q.loc
    mean = jnp.cos(center) * jnp.sin(0.5 * width) / (0.5 * width) - 1
    return given_support(p, q, -jnp.log(width) - q.concentration * mean - q.log_prob(q.loc))


# Truncated distributions


def _unwrapped(d: Any) -> Any:
    while isinstance(d, ExpandedDistribution):
        d = d.base_dist
    return d


def _log_mass(d: _Truncation) -> Any:
    """Logarithm of the share of the base that is left."""
    _, _, line, low, high = d._standard()
    return line.log_mass(low, high)


@register(Distribution, _Truncation)
def _from_truncated(p: Any, q: Any) -> Any:
    """As from the whole base of q, but for the mass that is left of it."""
    return given_support(p, q, kl_divergence(p, q.base_dist) + _log_mass(q))


def _is_same_base(p: Any, q: Any) -> bool:
    p, q = _unwrapped(p), _unwrapped(q)
    names = p.arg_constraints
    return type(p) is type(q) and bool(names) and all(known_same(getattr(p, x), getattr(q, x)) for x in names)


@register(_Truncation, Distribution)
def _of_truncated(p: Any, q: Any) -> Any:
    """The whole base of p may be q; else p is one distribution among others."""
    if _is_same_base(p.base_dist, q):
        return -_log_mass(p)
    family: type = type(q)
    rule = rule_for(Distribution, family)
    if rule is None:
        raise NotImplementedError(no_closed_form(p, q))
    return rule(p, q)


@register(_Truncation, _Truncation)
def _truncations(p: Any, q: Any) -> Any:
    """Of one distribution, a comparison of masses."""
    if not _is_same_base(p.base_dist, q.base_dist):
        return _from_truncated(p, q)
    _, _, line, *inner = p._standard()
    _, _, _, *outer = q._standard()
    return given_support(p, q, -line.log_share(tuple(inner), tuple(outer)))


@register(TruncatedPolyaGamma, TruncatedPolyaGamma)
def _without_parameters(p: Any, q: Any) -> Any:
    return jnp.zeros(())

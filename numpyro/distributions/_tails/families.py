# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Which form belongs to which family, and probabilities of tails and intervals of any distribution."""

from __future__ import annotations

import math
from typing import Any

from jax import lax
import jax.numpy as jnp

from numpyro._shapes import broadcast_shapes, shape_of
from numpyro.distributions._normal import (
    log_ndtr,
)
from numpyro.distributions._special import betainc
from numpyro.distributions._tails.gamma import GammaLine
from numpyro.distributions._tails.gaussian import Gaussian, log_ndtri
from numpyro.distributions._tails.incomplete import log_lower_beta
from numpyro.distributions._tails.line import Line, Symmetric
from numpyro.distributions._tails.symmetric import CauchyLine, LaplaceLine, LogisticLine, SecantLine, StudentLine
from numpyro.distributions.continuous import (
    Beta,
    Cauchy,
    Exponential,
    Gamma,
    HalfCauchy,
    HalfNormal,
    Laplace,
    Logistic,
    Normal,
    SoftLaplace,
    StudentT,
    Weibull,
)
from numpyro.distributions.distribution import Distribution, ExpandedDistribution, TransformedDistribution
from numpyro.distributions.util import logdiffexp

LINES: dict[type[Distribution], type[Symmetric]] = {
    Normal: Gaussian,
    Cauchy: CauchyLine,
    StudentT: StudentLine,
    Laplace: LaplaceLine,
    Logistic: LogisticLine,
    SoftLaplace: SecantLine,
}


def unwrapped(base: Distribution) -> Distribution:
    """What has been expanded."""
    while isinstance(base, ExpandedDistribution):
        base = base.base_dist
    return base


def standardized(base: Distribution) -> tuple[Any, Any, Line]:
    """Location, scale and standard form of a distribution on the real line, or of a gamma distribution."""
    base = unwrapped(base)
    if isinstance(base, Gamma):
        return 0.0, 1 / base.rate, GammaLine(Gamma(base.concentration, 1.0))
    for family, line in LINES.items():
        if isinstance(base, family):
            shape = {"df": base.df} if family is StudentT else {}
            make: Any = family
            return base.loc, base.scale, line(make(loc=0.0, scale=1.0, **shape))
    return 0.0, 1.0, Line(base)


def log_survival(base: Distribution, value: Any) -> Any:
    """Logarithm of the probability of a larger value; accurate far in the upper tail of the families that say so."""
    if isinstance(base, ExpandedDistribution):
        shape = broadcast_shapes(shape_of(value), base.batch_shape)
        return jnp.broadcast_to(log_survival(base.base_dist, value), shape)
    if isinstance(base, TransformedDistribution) and all(isinstance(t.sign, int) for t in base.transforms):
        value, sign = base._inverse(value)
        return log_survival(base.base_dist, value) if sign > 0 else base.base_dist.log_cdf(value)
    if isinstance(base, Exponential):
        return -base.rate * jnp.maximum(value, 0.0)
    if isinstance(base, Weibull):
        z = jnp.asarray(value) / base.scale
        return -(jnp.where(z > 0, z, 1.0) ** base.concentration) * (z > 0)
    if isinstance(base, HalfNormal):
        return math.log(2) + log_ndtr(-jnp.maximum(value, 0.0) / base.scale)
    if isinstance(base, HalfCauchy):
        return jnp.log(2 / math.pi * jnp.arctan2(base.scale, jnp.maximum(value, 0.0)))
    if isinstance(base, Beta):
        return jnp.log(betainc(base.concentration0, base.concentration1, 1 - jnp.asarray(value)))
    loc, scale, line = standardized(base)
    if type(line) is Line and type(base).log_cdf is Distribution.log_cdf:
        return jnp.log1p(-base.cdf(value))
    return line.log_sf((value - loc) / scale)


def log_interval(base: Distribution, low: Any, high: Any) -> Any:
    """Logarithm of the probability of a value above ``low`` and at most ``high``.

    It is the difference of the probabilities of the smaller tail; -inf where the interval is empty.
    """
    empty = jnp.asarray(low) >= high
    high = jnp.where(empty, low + 1.0, high)
    loc, scale, line = standardized(base)
    if type(line) is not Line:
        log_mass = line.log_mass((low - loc) / scale, (high - loc) / scale)
    else:
        lower, upper = (base.log_cdf(low), base.log_cdf(high)), (log_survival(base, high), log_survival(base, low))
        is_upper = lax.stop_gradient(upper[1] < lower[1])
        larger, smaller = (jnp.where(is_upper, upper[end], lower[end]) for end in (1, 0))
        same = larger <= smaller
        log_mass = jnp.where(same, -jnp.inf, logdiffexp(jnp.where(same, 0.0, larger), jnp.where(same, -1.0, smaller)))
    return jnp.where(empty, -jnp.inf, log_mass)


def normal_score(base: Distribution, value: Any) -> Any:
    """The standard normal quantile of the probability below a value, from the smaller one of the two tails."""
    base = unwrapped(base)
    if isinstance(base, Normal):
        return (value - base.loc) / base.scale
    if isinstance(base, TransformedDistribution) and all(isinstance(t.sign, int) for t in base.transforms):
        value, sign = base._inverse(value)
        return sign * normal_score(base.base_dist, value)
    if isinstance(base, Beta):
        # The upper tail of x is the lower tail of 1 - x, with the parameters swapped.
        a, b, x = base.concentration1, base.concentration0, jnp.asarray(value)
        is_lower = lax.stop_gradient(x * (a + b) < a)
        log_tail = log_lower_beta(jnp.where(is_lower, a, b), jnp.where(is_lower, b, a), jnp.where(is_lower, x, 1 - x))
    else:
        log_below, log_above = base.log_cdf(value), log_survival(base, value)
        is_lower = lax.stop_gradient(log_below < log_above)
        log_tail = jnp.where(is_lower, log_below, log_above)
    score = log_ndtri(log_tail)
    return jnp.where(is_lower, score, -score)

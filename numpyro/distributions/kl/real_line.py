# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Divergences of distributions of real numbers and of angles."""

from __future__ import annotations

from collections.abc import Callable
import functools
import itertools
from typing import Any

import jax.numpy as jnp
from jax.scipy.special import ndtr

from numpyro.distributions.continuous import (
    AsymmetricLaplace,
    AsymmetricLaplaceQuantile,
    Cauchy,
    Laplace,
    Normal,
    Uniform,
)
from numpyro.distributions.continuous.real_line import HALF_LOG_2PI
from numpyro.distributions.directional import LOG_2PI, VonMises, _log_i0e, _one_minus_ratio
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.kl.dispatch import no_closed_form, register

__all__ = ["cauchys", "normals"]


@register(Distribution, Normal)
def _from_normal(p: Any, q: Any) -> Any:
    """By mean and variance of p, if they are not those of an angle. A second moment that does not exist is infinite."""
    if p.event_shape or p.is_discrete or isinstance(p, VonMises):
        raise NotImplementedError(no_closed_form(p, q))
    try:
        entropy, second = p.entropy(), p.variance + (p.mean - q.loc) ** 2
    except NotImplementedError as error:
        raise NotImplementedError(no_closed_form(p, q)) from error
    second = jnp.where(jnp.isnan(second), jnp.inf, second)
    return -entropy + HALF_LOG_2PI + jnp.log(q.scale) + 0.5 * second / q.scale**2


@register(Normal, Normal)
def normals(p: Any, q: Any) -> Any:
    """By location and scale."""
    ratio = jnp.asarray(p.scale) / q.scale
    return 0.5 * (ratio**2 - 1 + ((p.loc - q.loc) / q.scale) ** 2) - jnp.log(ratio)


def _normal_excess(p: Any, point: Any) -> Any:
    z = (p.loc - point) / p.scale
    return p.scale * (jnp.exp(-0.5 * z * z - HALF_LOG_2PI) + z * ndtr(z))


def _laplace_excess(p: Any, point: Any) -> Any:
    left, right = (p.scale, p.scale) if isinstance(p, Laplace) else (p.left_scale, p.right_scale)
    above = right**2 / (left + right) * jnp.exp(-jnp.maximum(point - p.loc, 0.0) / right)
    below = left**2 / (left + right) * jnp.exp(-jnp.maximum(p.loc - point, 0.0) / left)
    return jnp.where(point >= p.loc, above, p.loc + right - left - point + below)


#: E max(x - c, 0) as a function of p and c.
_MEAN_EXCESS: dict[type, Callable[[Any, Any], Any]] = {
    AsymmetricLaplace: _laplace_excess,
    AsymmetricLaplaceQuantile: _laplace_excess,
    Laplace: _laplace_excess,
    Normal: _normal_excess,
}


def _from_laplace(p: Any, q: Any, mean_excess: Callable[[Any, Any], Any]) -> Any:
    left, right = (q.scale, q.scale) if isinstance(q, Laplace) else (q.left_scale, q.right_scale)
    above = mean_excess(p, q.loc)
    below = above - (p.mean - q.loc)
    return -p.entropy() + jnp.log(left + right) + above / right + below / left


for _p, _q in itertools.product(_MEAN_EXCESS, (AsymmetricLaplace, AsymmetricLaplaceQuantile, Laplace)):
    register(_p, _q)(functools.partial(_from_laplace, mean_excess=_MEAN_EXCESS[_p]))


@register(Cauchy, Cauchy)
def _cauchy(p: Any, q: Any) -> Any:
    return cauchys(p.loc - q.loc, p.scale, q.scale)


def cauchys(distance: Any, a: Any, b: Any) -> Any:
    """By the distance and both scales: Chyzak and Nielsen (2019), arXiv:1905.10965."""
    ratio = jnp.asarray(a) / b
    return jnp.log1p(((1 - ratio) ** 2 + (distance / b) ** 2) / (4 * ratio))


@register(Uniform, Uniform)
def _uniforms(p: Any, q: Any) -> Any:
    inside = (jnp.asarray(p.low) >= q.low) & (jnp.asarray(p.high) <= q.high)
    return jnp.where(inside, jnp.log((q.high - q.low) / (p.high - p.low)), jnp.inf)


@register(VonMises, VonMises)
def _von_mises(p: Any, q: Any) -> Any:
    resultant = 1 - _one_minus_ratio(jnp.asarray(p.concentration, jnp.result_type(float)))
    log_normalizer = LOG_2PI + _log_i0e(q.concentration) + q.concentration
    return log_normalizer - q.concentration * resultant * jnp.cos(p.loc - q.loc) - p.entropy()

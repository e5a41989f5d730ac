# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Divergences of distributions of real numbers and of angles."""

from __future__ import annotations

from collections.abc import Callable
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln, log_ndtr, ndtr

from numpyro.distributions._tails import log_upper_gamma
from numpyro.distributions.continuous import (
    AsymmetricLaplace,
    AsymmetricLaplaceQuantile,
    Cauchy,
    Exponential,
    Gamma,
    Gompertz,
    Gumbel,
    HalfNormal,
    Laplace,
    Levy,
    Logistic,
    Normal,
    Uniform,
)
from numpyro.distributions.continuous.real_line import HALF_LOG_2PI
from numpyro.distributions.directional import VonMises
from numpyro.distributions.directional.angles import LOG_2PI, log_i0e, one_minus_ratio
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.kl.dispatch import known_same, no_closed_form, register
from numpyro.distributions.kl.ends import given_support, statistics
from numpyro.distributions.truncated.power_laws import log_mean_exponential

__all__ = ["cauchys", "normals"]


@register(Distribution, Normal)
def _from_normal(p: Any, q: Any) -> Any:
    """By mean and variance of p, if they are not those of an angle. A second moment that does not exist is infinite."""
    if p.event_shape or p.is_discrete or isinstance(p, VonMises):
        raise NotImplementedError(no_closed_form(p, q))
    entropy, mean, variance = statistics(p, q, "entropy", "mean", "variance")
    second = variance + (mean - q.loc) ** 2
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


def _logistic_excess(p: Any, point: Any) -> Any:
    return p.scale * jax.nn.softplus((p.loc - point) / p.scale)


def _uniform_excess(p: Any, point: Any) -> Any:
    above = jnp.clip(p.high - point, 0.0, p.high - p.low)
    return 0.5 * above**2 / (p.high - p.low) + jnp.maximum(p.low - point, 0.0)


def _exponential_excess(p: Any, point: Any) -> Any:
    return jnp.exp(-p.rate * jnp.maximum(point, 0.0)) / p.rate - jnp.minimum(point, 0.0)


def _half_normal_excess(p: Any, point: Any) -> Any:
    """Of the normal variable whose absolute value it is, those of both signs."""
    z = jnp.maximum(point, 0.0) / p.scale
    return 2 * p.scale * (jnp.exp(-0.5 * z * z - HALF_LOG_2PI) - z * ndtr(-z)) - jnp.minimum(point, 0.0)


#: E max(x - c, 0) as a function of p and c.
_MEAN_EXCESS: dict[type, Callable[[Any, Any], Any]] = {
    AsymmetricLaplace: _laplace_excess,
    AsymmetricLaplaceQuantile: _laplace_excess,
    Exponential: _exponential_excess,
    HalfNormal: _half_normal_excess,
    Laplace: _laplace_excess,
    Logistic: _logistic_excess,
    Normal: _normal_excess,
    Uniform: _uniform_excess,
}


def _from_laplace(p: Any, q: Any, mean_excess: Callable[[Any, Any], Any]) -> Any:
    left, right = (q.scale, q.scale) if isinstance(q, Laplace) else (q.left_scale, q.right_scale)
    above = mean_excess(p, q.loc)
    below = above - (p.mean - q.loc)
    return -p.entropy() + jnp.log(left + right) + above / right + below / left


for _p, _q in itertools.product(_MEAN_EXCESS, (AsymmetricLaplace, AsymmetricLaplaceQuantile, Laplace)):
    register(_p, _q)(functools.partial(_from_laplace, mean_excess=_MEAN_EXCESS[_p]))


# Exponentials of the variable


def _where_defined(defined: Any, t: Any, log_mean: Callable[[Any], Any]) -> Any:
    return jnp.where(defined, log_mean(jnp.where(defined, t, 0.0)), jnp.inf)


def _log_mgf_laplace(p: Any, t: Any) -> Any:
    left, right = (p.scale, p.scale) if isinstance(p, Laplace) else (p.left_scale, p.right_scale)
    defined = (left * t > -1) & (right * t < 1)
    return t * p.loc + _where_defined(defined, t, lambda t: -jnp.log1p(left * t) - jnp.log1p(-right * t))


def _log_mgf_logistic(p: Any, t: Any) -> Any:
    scaled = p.scale * t
    return t * p.loc + _where_defined(jnp.abs(scaled) < 1, scaled, lambda x: -jnp.log(jnp.sinc(x)))


def _log_mgf_gumbel(p: Any, t: Any) -> Any:
    return t * p.loc + _where_defined(p.scale * t < 1, t, lambda t: gammaln(1 - p.scale * t))


def _log_mgf_gamma(p: Any, t: Any) -> Any:
    shape = p.concentration if isinstance(p, Gamma) else 1.0
    return _where_defined(t < p.rate, t, lambda t: -shape * jnp.log1p(-t / p.rate))


def _log_mgf_gompertz(p: Any, t: Any) -> Any:
    """By u = c exp(b x), which exceeds c by an exponential variable; t is not negative."""
    shape = jnp.asarray(p.concentration, jnp.result_type(float))
    order = t / p.rate + 1
    return shape - (order - 1) * jnp.log(shape) + log_upper_gamma(order, shape) + gammaln(order)


#: log E exp(t x) as a function of p and t; infinite where the mean is.
_LOG_MGF: dict[type, Callable[[Any, Any], Any]] = {
    AsymmetricLaplace: _log_mgf_laplace,
    AsymmetricLaplaceQuantile: _log_mgf_laplace,
    Exponential: _log_mgf_gamma,
    Gamma: _log_mgf_gamma,
    Gompertz: _log_mgf_gompertz,
    Gumbel: _log_mgf_gumbel,
    HalfNormal: lambda p, t: 0.5 * (p.scale * t) ** 2 + jnp.log(2.0) + log_ndtr(p.scale * t),
    Laplace: _log_mgf_laplace,
    Logistic: _log_mgf_logistic,
    Normal: lambda p, t: t * p.loc + 0.5 * (p.scale * t) ** 2,
    Uniform: lambda p, t: 0.5 * t * (p.low + p.high) + log_mean_exponential(t * (p.high - p.low)),
}


def _from_gumbel(p: Any, q: Any, log_mgf: Callable[[Any, Any], Any]) -> Any:
    inverse = 1 / jnp.asarray(q.scale)
    mean_exponential = jnp.exp(log_mgf(p, -inverse) + q.loc * inverse)
    return -p.entropy() + jnp.log(q.scale) + (p.mean - q.loc) * inverse + mean_exponential


def _from_gompertz(p: Any, q: Any, log_mgf: Callable[[Any, Any], Any]) -> Any:
    shape, rate = jnp.asarray(q.concentration), jnp.asarray(q.rate)
    mean_log = jnp.log(shape) + jnp.log(rate) + rate * p.mean
    return given_support(p, q, -p.entropy() - mean_log + shape * jnp.expm1(log_mgf(p, rate)))


for _p in _LOG_MGF:
    register(_p, Gompertz)(functools.partial(_from_gompertz, log_mgf=_LOG_MGF[_p]))
    if _p is not Gompertz:
        register(_p, Gumbel)(functools.partial(_from_gumbel, log_mgf=_LOG_MGF[_p]))


# One location or scale


@register(Logistic, Logistic)
def _logistics(p: Any, q: Any) -> Any:
    r""":math:`\delta\coth(\delta / 2) - 2` for a distance of :math:`\delta` scales."""
    if not known_same(p.scale, q.scale):
        raise NotImplementedError(no_closed_form(p, q, "both have the same scale, not traced"))
    distance = jnp.abs(p.loc - q.loc) / jnp.asarray(p.scale)
    small = distance < 0.5
    squared = jnp.where(small, distance, 0.0) ** 2
    series = squared * (1 / 6 - squared * (1 / 360 - squared * (1 / 15120 - squared / 604800)))
    far = jnp.where(small, 1.0, distance)
    return jnp.where(small, series, far / jnp.tanh(0.5 * far) - 2)


@register(Levy, Levy)
def _levys(p: Any, q: Any) -> Any:
    """About one location they are inverse gamma distributions of shape 1/2."""
    if not known_same(p.loc, q.loc):
        raise NotImplementedError(no_closed_form(p, q, "both have the same loc, not traced"))
    ratio = jnp.asarray(q.scale) / p.scale
    return 0.5 * (ratio - 1 - jnp.log(ratio))


@register(Cauchy, Cauchy)
def _cauchy(p: Any, q: Any) -> Any:
    return cauchys(p.loc - q.loc, p.scale, q.scale)


def cauchys(distance: Any, a: Any, b: Any) -> Any:
    """By the distance and both scales: Chyzak and Nielsen (2019), arXiv:1905.10965."""
    ratio = jnp.asarray(a) / b
    return jnp.log1p(((1 - ratio) ** 2 + (distance / b) ** 2) / (4 * ratio))


@register(VonMises, VonMises)
def _von_mises(p: Any, q: Any) -> Any:
    resultant = 1 - one_minus_ratio(jnp.asarray(p.concentration, jnp.result_type(float)))
    log_normalizer = LOG_2PI + log_i0e(q.concentration) + q.concentration
    return log_normalizer - q.concentration * resultant * jnp.cos(p.loc - q.loc) - p.entropy()

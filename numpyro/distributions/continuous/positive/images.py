# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Images of variables on the real line: exponentials and absolute values."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any

import jax
from jax.lax import erf_inv
import jax.numpy as jnp
from jax.scipy.special import erf

from numpyro.distributions import constraints
from numpyro.distributions._normal import log_ndtr
from numpyro.distributions._special import (
    log_indicator,
    log_one_plus_square,
)
from numpyro.distributions.continuous.real_line import HALF_LOG_2PI, Normal
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.distribution.transformed import _TransformedFamily
from numpyro.distributions.transforms import ExpTransform

__all__ = ["HalfCauchy", "HalfNormal", "LogNormal"]


class LogNormal(_TransformedFamily):
    r"""Log-normal distribution: that of :math:`e^y` where y is normal.

    .. math:: p(x) = \frac{1}{x\sigma\sqrt{2\pi}} \exp\left(-\frac{(\log x - \mu)^2}{2\sigma^2}\right), \quad x > 0

    :param loc: mean :math:`\mu` of the logarithm.
    :param scale: standard deviation :math:`\sigma > 0` of the logarithm.

    **Source:** Johnson, Kotz, Balakrishnan (1994), *Continuous Univariate Distributions*, volume 1, chapter 14.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.LogNormal(0.0, 1.0).mean), 4)
    1.6487
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.positive
    reparametrized_params = ["loc", "scale"]

    def __init__(self, loc: Any = 0.0, scale: Any = 1.0, *, validate_args: bool | None = None) -> None:
        self._declare(loc=loc, scale=scale, validate_args=validate_args)

    @property
    def base_dist(self) -> Distribution:
        return Normal(self.loc, self.scale)

    @property
    def transforms(self) -> Any:
        return [ExpTransform()]

    def log_prob(self, value: Any, intermediates: Any = None) -> Any:
        inside = jnp.asarray(value) > 0
        log_value = jnp.log(jnp.where(inside, value, 1.0))
        z = (log_value - self.loc) / self.scale
        return -0.5 * jnp.square(z) - log_value - (jnp.log(self.scale) + HALF_LOG_2PI) + log_indicator(inside)

    def cdf(self, value: Any) -> Any:
        inside = jnp.asarray(value) > 0
        return jnp.where(inside, self.base_dist.cdf(jnp.log(jnp.where(inside, value, 1.0))), 0.0)

    @property
    def mean(self) -> Any:
        return jnp.exp(self.loc + 0.5 * self.scale**2)

    @property
    def variance(self) -> Any:
        return jnp.expm1(self.scale**2) * jnp.exp(2 * self.loc + self.scale**2)

    @property
    def mode(self) -> Any:
        return jnp.exp(self.loc - self.scale**2)

    def entropy(self) -> Any:
        return 0.5 + HALF_LOG_2PI + jnp.log(self.scale) + self.loc


class HalfNormal(Distribution):
    r"""Half-normal distribution: that of :math:`|y|` where y is normal around 0.

    .. math:: p(x) = \sqrt{\frac{2}{\pi}}\,\frac{1}{\sigma} \exp\left(-\frac{x^2}{2\sigma^2}\right), \quad x \ge 0

    :param scale: standard deviation :math:`\sigma > 0` of y.

    **Source:** Johnson, Kotz, Balakrishnan (1994), *Continuous Univariate Distributions*, volume 1, chapter 13.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.HalfNormal(1.0).mean), 4)
    0.7979
    """

    arg_constraints = {"scale": constraints.positive}
    support = constraints.positive
    reparametrized_params = ["scale"]

    def __init__(self, scale: Any = 1.0, *, validate_args: bool | None = None) -> None:
        self._declare(scale=scale, validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.scale * jnp.abs(jax.random.normal(key, self.shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        z = value / self.scale
        normalizer = jnp.log(self.scale) + (HALF_LOG_2PI - math.log(2))
        return -0.5 * jnp.square(z) - normalizer + log_indicator(jnp.asarray(value) >= 0)

    def cdf(self, value: Any) -> Any:
        return erf(jnp.maximum(value, 0.0) / (self.scale * math.sqrt(2)))

    def log_cdf(self, value: Any) -> Any:
        # P(|y| <= x) = 1 - 2 P(y > x)
        return jnp.log1p(-2 * jnp.exp(log_ndtr(-jnp.maximum(value, 0.0) / self.scale)))

    def icdf(self, q: Any) -> Any:
        return self.scale * (math.sqrt(2) * erf_inv(jnp.asarray(q, jnp.result_type(q, 1.0))))

    @property
    def mean(self) -> Any:
        return math.sqrt(2 / math.pi) * self.scale

    @property
    def variance(self) -> Any:
        return (1 - 2 / math.pi) * self.scale**2

    @property
    def mode(self) -> Any:
        return 0.0

    def entropy(self) -> Any:
        return 0.5 * math.log(math.pi / 2) + 0.5 + jnp.log(self.scale)


class HalfCauchy(Distribution):
    r"""Half-Cauchy distribution: that of :math:`|y|` where y is Cauchy around 0. It has no mean.

    .. math:: p(x) = \frac{2}{\pi\gamma\,(1 + (x / \gamma)^2)}, \quad x \ge 0

    :param scale: median :math:`\gamma > 0`.

    **Source:** Gelman (2006), *Prior distributions for variance parameters in hierarchical models*. Bayesian Analysis
    1.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.HalfCauchy(2.0).cdf(2.0)), 4)
    0.5
    """

    arg_constraints = {"scale": constraints.positive}
    support = constraints.positive
    reparametrized_params = ["scale"]

    def __init__(self, scale: Any = 1.0, *, validate_args: bool | None = None) -> None:
        self._declare(scale=scale, validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.scale * jnp.abs(jax.random.cauchy(key, self.shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        z = value / self.scale
        normalizer = jnp.log(self.scale) - math.log(2 / math.pi)
        return -log_one_plus_square(z) - normalizer + log_indicator(jnp.asarray(value) >= 0)

    def cdf(self, value: Any) -> Any:
        return 2 / jnp.pi * jnp.arctan(jnp.maximum(value, 0.0) / self.scale)

    def icdf(self, q: Any) -> Any:
        return self.scale * jnp.tan(0.5 * jnp.pi * jnp.asarray(q))

    @property
    def mean(self) -> Any:
        return jnp.inf

    @property
    def variance(self) -> Any:
        return jnp.inf

    @property
    def mode(self) -> Any:
        return 0.0

    def entropy(self) -> Any:
        return math.log(2 * math.pi) + jnp.log(self.scale)

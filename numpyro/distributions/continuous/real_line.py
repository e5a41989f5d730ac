# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions on the whole real line, with a location and a scale."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma, log_ndtr, ndtr, ndtri

from numpyro.distributions import constraints
from numpyro.distributions._special import betainc, betaincinv, betaln
from numpyro.distributions.distribution import Distribution

__all__ = ["Cauchy", "Normal", "StudentT"]

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
LOG_PI = math.log(math.pi)


class Normal(Distribution):
    r"""Normal distribution.

    .. math:: p(x) = \frac{1}{\sigma\sqrt{2\pi}} \exp\left(-\frac{(x - \mu)^2}{2\sigma^2}\right)

    :param loc: mean :math:`\mu`, real.
    :param scale: standard deviation :math:`\sigma > 0`.

    >>> import numpyro.distributions as dist
    >>> d = dist.Normal(0.0, 2.0)
    >>> round(float(d.log_prob(1.0)), 4), round(float(d.cdf(0.0)), 4)
    (-1.7371, 0.5)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    reparametrized_params = ["loc", "scale"]

    def __init__(self, loc: Any = 0.0, scale: Any = 1.0, *, validate_args: bool | None = None) -> None:
        self._declare(loc=loc, scale=scale, validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.loc + self.scale * jax.random.normal(key, self.shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        z = (value - self.loc) / self.scale
        return -0.5 * z * z - jnp.log(self.scale) - HALF_LOG_2PI

    def cdf(self, value: Any) -> Any:
        return ndtr((value - self.loc) / self.scale)

    def log_cdf(self, value: Any) -> Any:
        return log_ndtr((value - self.loc) / self.scale)

    def icdf(self, q: Any) -> Any:
        return self.loc + self.scale * ndtri(q)

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return self.scale**2

    @property
    def mode(self) -> Any:
        return self.loc

    def entropy(self) -> Any:
        return 0.5 + HALF_LOG_2PI + jnp.log(self.scale)


class Cauchy(Distribution):
    r"""Cauchy distribution, which has no mean.

    .. math:: p(x) = \frac{1}{\pi\gamma\,(1 + ((x - x_0) / \gamma)^2)}

    :param loc: median :math:`x_0`, real.
    :param scale: half of the interquartile range, :math:`\gamma > 0`.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.Cauchy(0.0, 1.0).cdf(1.0)), 4)
    0.75
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    reparametrized_params = ["loc", "scale"]

    def __init__(self, loc: Any = 0.0, scale: Any = 1.0, *, validate_args: bool | None = None) -> None:
        self._declare(loc=loc, scale=scale, validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.loc + self.scale * jax.random.cauchy(key, self.shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        z = (value - self.loc) / self.scale
        return -jnp.log1p(z * z) - jnp.log(self.scale) - LOG_PI

    def cdf(self, value: Any) -> Any:
        # arctan2 keeps the lower tail exact, where 1/2 + arctan(z) / pi cancels.
        return jnp.arctan2(self.scale, self.loc - value) / jnp.pi

    def icdf(self, q: Any) -> Any:
        return self.loc - self.scale / jnp.tan(jnp.pi * jnp.asarray(q))

    @property
    def mean(self) -> Any:
        return jnp.nan

    @property
    def variance(self) -> Any:
        return jnp.nan

    @property
    def mode(self) -> Any:
        return self.loc

    def entropy(self) -> Any:
        return math.log(4 * math.pi) + jnp.log(self.scale)


class StudentT(Distribution):
    r"""Student's t distribution with a location and a scale.

    .. math:: p(x) = \frac{(1 + z^2 / \nu)^{-(\nu + 1) / 2}}{\sigma\sqrt{\nu}\,B(1/2, \nu/2)},
        \quad z = \frac{x - \mu}{\sigma}

    :param df: degrees of freedom :math:`\nu > 0`.
    :param loc: median :math:`\mu`, real.
    :param scale: scale :math:`\sigma > 0`.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.StudentT(3.0).variance), 4)
    3.0
    """

    arg_constraints = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    reparametrized_params = ["df", "loc", "scale"]

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, *, validate_args: bool | None = None) -> None:
        self._declare(df=df, loc=loc, scale=scale, validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.loc + self.scale * jax.random.t(key, self.df, self.shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        z = (value - self.loc) / self.scale
        df = jnp.asarray(self.df)
        normalizer = 0.5 * jnp.log(df) + betaln(0.5, 0.5 * df) + jnp.log(self.scale)
        return -0.5 * (df + 1) * jnp.log1p(z * z / df) - normalizer

    def cdf(self, value: Any) -> Any:
        z = (value - self.loc) / self.scale
        tail = 0.5 * betainc(0.5 * self.df, 0.5, self.df / (self.df + z * z))
        return jnp.where(z < 0, tail, 1 - tail)

    def icdf(self, q: Any) -> Any:
        q = jnp.asarray(q)
        x = betaincinv(0.5 * self.df, 0.5, 2 * jnp.minimum(q, 1 - q))
        return self.loc + self.scale * jnp.sign(q - 0.5) * jnp.sqrt(self.df * (1 / x - 1))

    @property
    def mean(self) -> Any:
        return jnp.where(jnp.asarray(self.df) > 1, self.loc, jnp.nan)

    @property
    def variance(self) -> Any:
        df = jnp.asarray(self.df)
        has_variance = df > 2
        variance = self.scale**2 * df / (jnp.where(has_variance, df, 3.0) - 2)
        return jnp.where(has_variance, variance, jnp.where(df > 1, jnp.inf, jnp.nan))

    @property
    def mode(self) -> Any:
        return self.loc

    def entropy(self) -> Any:
        df = jnp.asarray(self.df)
        spread = 0.5 * (df + 1) * (digamma(0.5 * (df + 1)) - digamma(0.5 * df))
        return spread + 0.5 * jnp.log(df) + betaln(0.5, 0.5 * df) + jnp.log(self.scale)

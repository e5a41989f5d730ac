# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions on the positive half-line."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma, erf, gammainc, gammaincc, gammaln, log_ndtr, ndtri

from numpyro.distributions import constraints
from numpyro.distributions._special import gammaincinv, xlogy
from numpyro.distributions.continuous.real_line import HALF_LOG_2PI, Normal
from numpyro.distributions.distribution import Distribution, TransformedDistribution
from numpyro.distributions.transforms import ExpTransform, PowerTransform

__all__ = ["Chi2", "Exponential", "Gamma", "HalfCauchy", "HalfNormal", "InverseGamma", "LogNormal"]


def _where_positive(value: Any, log_prob: Any) -> Any:
    return jnp.where(jnp.asarray(value) >= 0, log_prob, -jnp.inf)


class Exponential(Distribution):
    r"""Exponential distribution.

    .. math:: p(x) = \lambda e^{-\lambda x}, \quad x \ge 0

    :param rate: rate :math:`\lambda > 0`.

    >>> import numpyro.distributions as dist
    >>> float(dist.Exponential(2.0).mean)
    0.5
    """

    arg_constraints = {"rate": constraints.positive}
    support = constraints.positive
    reparametrized_params = ["rate"]

    def __init__(self, rate: Any = 1.0, *, validate_args: bool | None = None) -> None:
        self._declare(rate=rate, validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return jax.random.exponential(key, self.shape(sample_shape)) / self.rate

    def log_prob(self, value: Any) -> Any:
        return _where_positive(value, jnp.log(self.rate) - self.rate * value)

    def cdf(self, value: Any) -> Any:
        return -jnp.expm1(-self.rate * jnp.maximum(value, 0.0))

    def icdf(self, q: Any) -> Any:
        return -jnp.log1p(-jnp.asarray(q)) / self.rate

    @property
    def mean(self) -> Any:
        return 1 / self.rate

    @property
    def variance(self) -> Any:
        return 1 / self.rate**2

    @property
    def mode(self) -> Any:
        return 0.0

    def entropy(self) -> Any:
        return 1 - jnp.log(self.rate)


class Gamma(Distribution):
    r"""Gamma distribution.

    .. math:: p(x) = \frac{\beta^\alpha}{\Gamma(\alpha)} x^{\alpha - 1} e^{-\beta x}, \quad x > 0

    :param concentration: shape :math:`\alpha > 0`.
    :param rate: rate (inverse scale) :math:`\beta > 0`.

    >>> import numpyro.distributions as dist
    >>> d = dist.Gamma(3.0, 2.0)
    >>> float(d.mean), float(d.variance)
    (1.5, 0.75)
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.positive
    reparametrized_params = ["concentration", "rate"]

    def __init__(self, concentration: Any, rate: Any = 1.0, *, validate_args: bool | None = None) -> None:
        self._declare(concentration=concentration, rate=rate, validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return jax.random.gamma(key, self.concentration, self.shape(sample_shape)) / self.rate

    def log_prob(self, value: Any) -> Any:
        shape = self.concentration
        safe = jnp.where(jnp.asarray(value) >= 0, value, 1.0)
        log_prob = xlogy(shape - 1.0, safe) - self.rate * safe + xlogy(shape, self.rate) - gammaln(shape)
        return _where_positive(value, log_prob)

    def cdf(self, value: Any) -> Any:
        return gammainc(self.concentration, self.rate * jnp.maximum(value, 0.0))

    def icdf(self, q: Any) -> Any:
        return gammaincinv(self.concentration, q) / self.rate

    @property
    def mean(self) -> Any:
        return self.concentration / self.rate

    @property
    def variance(self) -> Any:
        return self.concentration / self.rate**2

    @property
    def mode(self) -> Any:
        return jnp.maximum(self.concentration - 1.0, 0.0) / self.rate

    def entropy(self) -> Any:
        shape = jnp.asarray(self.concentration)
        return shape - jnp.log(self.rate) + gammaln(shape) + (1 - shape) * digamma(shape)


class Chi2(Gamma):
    r"""Chi-squared distribution: Gamma with shape :math:`\nu / 2` and rate 1/2.

    :param df: degrees of freedom :math:`\nu > 0`.

    >>> import numpyro.distributions as dist
    >>> float(dist.Chi2(3.0).mean)
    3.0
    """

    arg_constraints = {"df": constraints.positive}
    reparametrized_params = ["df"]
    rate = 0.5

    def __init__(self, df: Any, *, validate_args: bool | None = None) -> None:
        self._declare(df=df, validate_args=validate_args)

    @property
    def concentration(self) -> Any:
        return 0.5 * self.df


class InverseGamma(TransformedDistribution):
    r"""Inverse gamma distribution: that of :math:`1/y` where y has a Gamma distribution.

    .. math:: p(x) = \frac{\beta^\alpha}{\Gamma(\alpha)} x^{-\alpha - 1} e^{-\beta / x}, \quad x > 0

    :param concentration: shape :math:`\alpha > 0`.
    :param rate: rate of the Gamma distribution, the scale of this one, :math:`\beta > 0`.

    >>> import numpyro.distributions as dist
    >>> float(dist.InverseGamma(3.0, 4.0).mean)
    2.0
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.positive
    reparametrized_params = ["concentration", "rate"]

    def __init__(self, concentration: Any, rate: Any = 1.0, *, validate_args: bool | None = None) -> None:
        self._declare(concentration=concentration, rate=rate, validate_args=validate_args)

    @property
    def base_dist(self) -> Distribution:
        return Gamma(self.concentration, self.rate)

    @property
    def transforms(self) -> Any:
        return [PowerTransform(-1.0)]

    def log_prob(self, value: Any, intermediates: Any = None) -> Any:
        shape = self.concentration
        safe = jnp.where(jnp.asarray(value) > 0, value, 1.0)
        log_prob = xlogy(shape, self.rate) - gammaln(shape) - (shape + 1.0) * jnp.log(safe) - self.rate / safe
        return jnp.where(jnp.asarray(value) > 0, log_prob, -jnp.inf)

    def cdf(self, value: Any) -> Any:
        safe = jnp.where(jnp.asarray(value) > 0, value, 1.0)
        return jnp.where(jnp.asarray(value) > 0, gammaincc(self.concentration, self.rate / safe), 0.0)

    def icdf(self, q: Any) -> Any:
        return self.rate / gammaincinv(self.concentration, 1 - jnp.asarray(q))

    @property
    def mean(self) -> Any:
        excess = jnp.asarray(self.concentration) - 1.0
        return jnp.where(excess > 0, self.rate / jnp.where(excess > 0, excess, 1.0), jnp.inf)

    @property
    def variance(self) -> Any:
        shape = jnp.asarray(self.concentration)
        safe = jnp.where(shape > 2, shape, 3.0)
        return jnp.where(shape > 2, (self.rate / (safe - 1)) ** 2 / (safe - 2), jnp.inf)

    @property
    def mode(self) -> Any:
        return self.rate / (self.concentration + 1.0)

    def entropy(self) -> Any:
        shape = jnp.asarray(self.concentration)
        return shape + jnp.log(self.rate) + gammaln(shape) - (1 + shape) * digamma(shape)


class LogNormal(TransformedDistribution):
    r"""Log-normal distribution: that of :math:`e^y` where y is normal.

    .. math:: p(x) = \frac{1}{x\sigma\sqrt{2\pi}} \exp\left(-\frac{(\log x - \mu)^2}{2\sigma^2}\right), \quad x > 0

    :param loc: mean :math:`\mu` of the logarithm.
    :param scale: standard deviation :math:`\sigma > 0` of the logarithm.

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
        return jnp.where(inside, -0.5 * z * z - log_value - jnp.log(self.scale) - HALF_LOG_2PI, -jnp.inf)

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
        return _where_positive(value, -0.5 * z * z - jnp.log(self.scale) + (math.log(2) - HALF_LOG_2PI))

    def cdf(self, value: Any) -> Any:
        return erf(jnp.maximum(value, 0.0) / (self.scale * math.sqrt(2)))

    def log_cdf(self, value: Any) -> Any:
        # P(|y| <= x) = 1 - 2 P(y > x)
        return jnp.log1p(-2 * jnp.exp(log_ndtr(-jnp.maximum(value, 0.0) / self.scale)))

    def icdf(self, q: Any) -> Any:
        return self.scale * ndtri(0.5 * (1 + jnp.asarray(q)))

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
        return _where_positive(value, -jnp.log1p(z * z) - jnp.log(self.scale) + math.log(2 / math.pi))

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

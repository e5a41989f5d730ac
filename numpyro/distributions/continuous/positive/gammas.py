# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The gamma family: waiting times, sums of squares, and their inverses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma

from numpyro.distributions import constraints
from numpyro.distributions._log_density import log_gamma, log_inverse_gamma
from numpyro.distributions._random import standard_gamma
from numpyro.distributions._special import (
    gammainc,
    gammaincc,
    gammaincinv,
    log_indicator,
    stirling_error,
    stirling_error_slope,
)
from numpyro.distributions.continuous.real_line import HALF_LOG_2PI
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.distribution.transformed import _TransformedFamily
from numpyro.distributions.transforms import PowerTransform

__all__ = ["Chi2", "Exponential", "Gamma", "InverseGamma"]


class Exponential(Distribution):
    r"""Exponential distribution.

    .. math:: p(x) = \lambda e^{-\lambda x}, \quad x \ge 0

    :param rate: rate :math:`\lambda > 0`.

    **Source:** Johnson, Kotz, Balakrishnan (1994), *Continuous Univariate Distributions*, volume 1, chapter 19.

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
        return jnp.log(self.rate) - self.rate * jnp.abs(value) + log_indicator(jnp.asarray(value) >= 0)

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

    **Source:** Johnson, Kotz, Balakrishnan (1994), *Continuous Univariate Distributions*, volume 1, chapter 17.

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
        return standard_gamma(key, self.concentration, self.shape(sample_shape)) / self.rate

    def log_prob(self, value: Any) -> Any:
        return log_gamma(self.concentration, self.rate, value)

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
        return _standard_gamma_entropy(self.concentration) - jnp.log(self.rate)


def _standard_gamma_entropy(shape: Any) -> Any:
    """Entropy of the gamma distribution of unit rate, by Stirling's formula and what it leaves."""
    shape = jnp.asarray(shape, jnp.result_type(shape, 1.0))
    leading = 0.5 * jnp.log(shape) + HALF_LOG_2PI + stirling_error(shape)
    return leading + (1 - shape) * (stirling_error_slope(shape) - 0.5 / shape)


class Chi2(Gamma):
    r"""Chi-squared distribution: Gamma with shape :math:`\nu / 2` and rate 1/2.

    .. math:: p(x) = \frac{x^{\nu/2 - 1} e^{-x/2}}{2^{\nu/2}\,\Gamma(\nu/2)}, \quad x > 0

    :param df: degrees of freedom :math:`\nu > 0`.

    **Source:** Johnson, Kotz, Balakrishnan (1994), *Continuous Univariate Distributions*, volume 1, chapter 18.

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


class InverseGamma(_TransformedFamily):
    r"""Inverse gamma distribution: that of :math:`1/y` where y has a Gamma distribution.

    .. math:: p(x) = \frac{\beta^\alpha}{\Gamma(\alpha)} x^{-\alpha - 1} e^{-\beta / x}, \quad x > 0

    :param concentration: shape :math:`\alpha > 0`.
    :param rate: rate of the Gamma distribution, the scale of this one, :math:`\beta > 0`.

    **Source:** Gelman et al. (2013), *Bayesian Data Analysis*, appendix A.

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
        return log_inverse_gamma(self.concentration, self.rate, value)

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
        return _standard_gamma_entropy(shape) + jnp.log(self.rate) - 2 * digamma(shape)

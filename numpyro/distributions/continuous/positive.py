# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions on the positive half-line."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any

import jax
from jax.lax import erf_inv
import jax.numpy as jnp
from jax.scipy.special import digamma, erf, erfc, exp1, gammaln, ndtri

from numpyro.distributions import constraints
from numpyro.distributions._log_density import log_gamma, log_inverse_gamma
from numpyro.distributions._normal import log_ndtr
from numpyro.distributions._random import standard_gamma
from numpyro.distributions._special import (
    gammainc,
    gammaincc,
    gammaincinv,
    log_indicator,
    log_one_plus_square,
    log_quotient,
    stirling_error,
    stirling_error_slope,
    times_log_zero,
)
from numpyro.distributions.continuous.real_line import HALF_LOG_2PI, Normal
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.distribution.transformed import _TransformedFamily
from numpyro.distributions.transforms import ExpTransform, PowerTransform
from numpyro.distributions.util import log1mexp

__all__ = [
    "Chi2",
    "Dagum",
    "Exponential",
    "Gamma",
    "Gompertz",
    "HalfCauchy",
    "HalfNormal",
    "InverseGamma",
    "Levy",
    "LogNormal",
    "Pareto",
    "Weibull",
]


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


class Weibull(Distribution):
    r"""Weibull distribution.

    .. math:: p(x) = \frac{k}{\lambda} \left(\frac{x}{\lambda}\right)^{k - 1} e^{-(x / \lambda)^k}, \quad x > 0

    :param scale: :math:`\lambda > 0`.
    :param concentration: shape :math:`k > 0`.

    **Source:** Johnson, Kotz, Balakrishnan (1994), *Continuous Univariate Distributions*, volume 1, chapter 21.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.Weibull(2.0, 1.0).mean), 4)
    2.0
    """

    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive
    reparametrized_params = ["scale", "concentration"]

    def __init__(self, scale: Any, concentration: Any, *, validate_args: bool | None = None) -> None:
        self._declare(scale=scale, concentration=concentration, validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.scale * jax.random.exponential(key, self.shape(sample_shape)) ** (
            1 / jnp.asarray(self.concentration)
        )

    def log_prob(self, value: Any) -> Any:
        value = jnp.asarray(value)
        k, inside = self.concentration, (value >= 0) & (value < jnp.inf)
        positive = inside & (value > 0)
        log_ratio = log_quotient(jnp.where(positive, value, self.scale), self.scale)
        # As well as z ** k, of a z that is rounded; XLA's power is no vector operation, its exponential is one.
        kernel = (k - 1.0) * log_ratio - jnp.exp(k * log_ratio) * positive
        at_zero = jnp.where(positive, 0.0, times_log_zero(k - 1.0))
        return kernel + (jnp.log(k) - jnp.log(self.scale)) + at_zero + log_indicator(inside)

    def cdf(self, value: Any) -> Any:
        z = jnp.asarray(value) / self.scale
        return jnp.where(z > 0, -jnp.expm1(-(jnp.where(z > 0, z, 1.0) ** self.concentration)), 0.0)

    def icdf(self, q: Any) -> Any:
        return self.scale * (-jnp.log1p(-jnp.asarray(q))) ** (1 / jnp.asarray(self.concentration))

    @property
    def mean(self) -> Any:
        return self.scale * jnp.exp(gammaln(1 + 1 / jnp.asarray(self.concentration)))

    @property
    def variance(self) -> Any:
        inverse = 1 / jnp.asarray(self.concentration)
        return self.scale**2 * (jnp.exp(gammaln(1 + 2 * inverse)) - jnp.exp(2 * gammaln(1 + inverse)))

    @property
    def mode(self) -> Any:
        k = jnp.asarray(self.concentration)
        inner = jnp.where(k > 1, (k - 1) / k, 1.0) ** (1 / k)
        return self.scale * jnp.where(k > 1, inner, 0.0)

    def entropy(self) -> Any:
        k = jnp.asarray(self.concentration)
        return jnp.euler_gamma * (1 - 1 / k) + jnp.log(self.scale / k) + 1


class Pareto(Distribution):
    r"""Pareto distribution.

    .. math:: p(x) = \frac{\alpha m^\alpha}{x^{\alpha + 1}}, \quad x \ge m

    :param scale: least value :math:`m > 0`.
    :param alpha: tail index :math:`\alpha > 0`.

    **Source:** Johnson, Kotz, Balakrishnan (1994), *Continuous Univariate Distributions*, volume 1, chapter 20.

    >>> import numpyro.distributions as dist
    >>> float(dist.Pareto(1.0, 3.0).mean)
    1.5
    """

    arg_constraints = {"scale": constraints.positive, "alpha": constraints.positive}
    reparametrized_params = ["scale", "alpha"]

    def __init__(self, scale: Any, alpha: Any, *, validate_args: bool | None = None) -> None:
        self._declare(scale=scale, alpha=alpha, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.greater_than_eq(self.scale)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.scale * jnp.exp(jax.random.exponential(key, self.shape(sample_shape)) / self.alpha)

    def log_prob(self, value: Any) -> Any:
        inside = jnp.asarray(value) >= self.scale
        log_ratio = jnp.log(jnp.where(inside, value, self.scale)) - jnp.log(self.scale)
        kernel = -(self.alpha + 1.0) * log_ratio
        return kernel + (jnp.log(self.alpha) - jnp.log(self.scale)) + log_indicator(inside)

    def cdf(self, value: Any) -> Any:
        ratio = jnp.maximum(jnp.asarray(value) / self.scale, 1.0)
        return -jnp.expm1(-self.alpha * jnp.log(ratio))

    def icdf(self, q: Any) -> Any:
        return self.scale * jnp.exp(-jnp.log1p(-jnp.asarray(q)) / self.alpha)

    @property
    def mean(self) -> Any:
        alpha = jnp.asarray(self.alpha)
        return jnp.where(alpha > 1, self.scale * alpha / (jnp.where(alpha > 1, alpha, 2.0) - 1), jnp.inf)

    @property
    def variance(self) -> Any:
        alpha = jnp.asarray(self.alpha)
        safe = jnp.where(alpha > 2, alpha, 3.0)
        return jnp.where(alpha > 2, self.scale**2 * safe / ((safe - 1) ** 2 * (safe - 2)), jnp.inf)

    @property
    def mode(self) -> Any:
        return self.scale

    def entropy(self) -> Any:
        alpha = jnp.asarray(self.alpha)
        return jnp.log(self.scale / alpha) + 1 / alpha + 1


class Levy(Distribution):
    r"""Lévy distribution. It has no mean.

    .. math:: p(x) = \sqrt{\frac{c}{2\pi}}\,\frac{e^{-c / (2(x - \mu))}}{(x - \mu)^{3/2}}, \quad x > \mu

    :param loc: lower end :math:`\mu`, real.
    :param scale: :math:`c > 0`.

    **Source:** Nolan (2020), *Univariate Stable Distributions*, chapter 1.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.Levy(0.0, 1.0).cdf(1.0)), 4)
    0.3173
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    reparametrized_params = ["loc", "scale"]

    def __init__(self, loc: Any, scale: Any, *, validate_args: bool | None = None) -> None:
        self._declare(loc=loc, scale=scale, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.greater_than(self.loc)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.loc + self.scale / jax.random.normal(key, self.shape(sample_shape)) ** 2

    def log_prob(self, value: Any) -> Any:
        inside = jnp.asarray(value) > self.loc
        excess = jnp.where(inside, value - self.loc, 1.0)
        kernel = -0.5 * self.scale / excess - 1.5 * jnp.log(excess)
        return kernel + (0.5 * jnp.log(self.scale) - HALF_LOG_2PI) + log_indicator(inside)

    def cdf(self, value: Any) -> Any:
        inside = jnp.asarray(value) > self.loc
        excess = jnp.where(inside, value - self.loc, 1.0)
        return jnp.where(inside, erfc(jnp.sqrt(0.5 * self.scale / excess)), 0.0)

    def icdf(self, q: Any) -> Any:
        return self.loc + self.scale / ndtri(0.5 * jnp.asarray(q)) ** 2

    @property
    def mean(self) -> Any:
        return jnp.inf

    @property
    def variance(self) -> Any:
        return jnp.inf

    @property
    def mode(self) -> Any:
        return self.loc + self.scale / 3.0

    def entropy(self) -> Any:
        return 0.5 + 1.5 * jnp.euler_gamma + 0.5 * math.log(16 * math.pi) + jnp.log(self.scale)


class Gompertz(Distribution):
    r"""Gompertz distribution, of lifetimes under a hazard that grows exponentially.

    .. math:: p(x) = b\eta \exp\left(\eta + bx - \eta e^{bx}\right), \quad x \ge 0

    :param concentration: shape :math:`\eta > 0`.
    :param rate: rate :math:`b > 0`.

    **Source:** Lenart (2014), *The moments of the Gompertz distribution and maximum likelihood estimation of its
    parameters*. Scandinavian Actuarial Journal 2014.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.Gompertz(1.0, 2.0).mean), 4)
    0.2982
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.positive
    reparametrized_params = ["concentration", "rate"]

    def __init__(self, concentration: Any, rate: Any = 1.0, *, validate_args: bool | None = None) -> None:
        self._declare(concentration=concentration, rate=rate, validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        draws = jax.random.exponential(key, self.shape(sample_shape))
        return jnp.log1p(draws / self.concentration) / self.rate

    def log_prob(self, value: Any) -> Any:
        # The exponential of 1e4 is infinite already, and an infinite value is not to be subtracted from that.
        scaled = jnp.clip(self.rate * jnp.maximum(value, 0.0), max=1e4)
        kernel = scaled - self.concentration * jnp.expm1(scaled)
        log_scale = jnp.log(self.concentration) + jnp.log(self.rate)
        return kernel + log_scale + log_indicator(jnp.asarray(value) >= 0)

    def cdf(self, value: Any) -> Any:
        return -jnp.expm1(-self.concentration * jnp.expm1(self.rate * jnp.maximum(value, 0.0)))

    def icdf(self, q: Any) -> Any:
        return jnp.log1p(-jnp.log1p(-jnp.asarray(q)) / self.concentration) / self.rate

    @property
    def _scaled_mean(self) -> Any:
        shape = jnp.asarray(self.concentration, jnp.result_type(float))
        # e^x E_1(x) by its asymptotic series (DLMF 6.12.1) where the factors leave the range of the floats
        inverse = 1 / jnp.maximum(shape, 50.0)
        series = inverse * (1 - inverse * (1 - inverse * (2 - inverse * (6 - 24 * inverse))))
        near = jnp.minimum(shape, 50.0)
        return jnp.where(shape > 50, series, jnp.exp(near) * exp1(near))

    @property
    def mean(self) -> Any:
        return self._scaled_mean / self.rate

    @property
    def mode(self) -> Any:
        return jnp.maximum(-jnp.log(self.concentration), 0.0) / self.rate

    def entropy(self) -> Any:
        return 1 - jnp.log(self.concentration) - jnp.log(self.rate) - self._scaled_mean


class Dagum(Distribution):
    r"""Dagum distribution (Burr type III), of incomes.

    .. math:: p(x) = \frac{ap}{x} \frac{(x/b)^{ap}}{(1 + (x/b)^a)^{p + 1}}, \quad x > 0

    :param concentration: :math:`p > 0`.
    :param sharpness: :math:`a > 0`; moments of order less than a exist.
    :param scale: :math:`b > 0`.

    **Source:** Kleiber (2008), *A guide to the Dagum distributions*, in: Chotikapanich, *Modeling Income Distributions
    and Lorenz Curves*.

    >>> import numpyro.distributions as dist
    >>> float(dist.Dagum(1.0, 2.0, 3.0).cdf(3.0))
    0.5
    """

    arg_constraints = {
        "concentration": constraints.positive,
        "sharpness": constraints.positive,
        "scale": constraints.positive,
    }
    support = constraints.positive
    reparametrized_params = ["concentration", "sharpness", "scale"]

    def __init__(self, concentration: Any, sharpness: Any, scale: Any, *, validate_args: bool | None = None) -> None:
        self._declare(concentration=concentration, sharpness=sharpness, scale=scale, validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self._quantile(jax.random.exponential(key, self.shape(sample_shape)))

    def _quantile(self, minus_log_q: Any) -> Any:
        """The value below which the probability is q: a power of :math:`q^{-1/p} - 1`, which may be too large."""
        order = minus_log_q / self.concentration
        return self.scale * jnp.exp(-(order + log1mexp(-order)) / self.sharpness)

    def log_prob(self, value: Any) -> Any:
        p, a = self.concentration, self.sharpness
        inside = jnp.asarray(value) > 0
        log_ratio = log_quotient(jnp.where(inside, value, self.scale), self.scale)
        # Of the two sides of the scale, each without what the logarithm of 1 + (x/b)^a takes away again.
        power = a * log_ratio
        sides = p * jnp.minimum(power, 0.0) - jnp.maximum(power, 0.0)
        kernel = sides - log_ratio - (p + 1.0) * jnp.log1p(jnp.exp(-jnp.abs(power)))
        return kernel + (jnp.log(a) + jnp.log(p) - jnp.log(self.scale)) + log_indicator(inside)

    def cdf(self, value: Any) -> Any:
        return jnp.exp(self.log_cdf(value))

    def log_cdf(self, value: Any) -> Any:
        inside = jnp.asarray(value) > 0
        log_ratio = log_quotient(jnp.where(inside, value, self.scale), self.scale)
        return jnp.where(inside, -self.concentration * jax.nn.softplus(-self.sharpness * log_ratio), -jnp.inf)

    def icdf(self, q: Any) -> Any:
        return self._quantile(-jnp.log(jnp.asarray(q)))

    def _raw_moment(self, order: int) -> Any:
        p, a = jnp.asarray(self.concentration), jnp.asarray(self.sharpness)
        exists = a > order
        share = order / jnp.where(exists, a, order + 1.0)
        moment = self.scale**order * jnp.exp(gammaln(p + share) + gammaln(1 - share) - gammaln(p))
        return jnp.where(exists, moment, jnp.inf)

    @property
    def mean(self) -> Any:
        return self._raw_moment(1)

    @property
    def variance(self) -> Any:
        second = self._raw_moment(2)
        exists = jnp.isfinite(second)
        return jnp.where(exists, second - jnp.where(exists, self._raw_moment(1), 0.0) ** 2, jnp.inf)

    @property
    def mode(self) -> Any:
        p, a = jnp.asarray(self.concentration), jnp.asarray(self.sharpness)
        inner = a * p > 1
        return self.scale * jnp.where(inner, (jnp.where(inner, a * p - 1, 1.0) / (a + 1)) ** (1 / a), 0.0)

    def entropy(self) -> Any:
        p, a = jnp.asarray(self.concentration), jnp.asarray(self.sharpness)
        mean_log_odds = digamma(p) + jnp.euler_gamma
        return (
            jnp.log(self.scale)
            - jnp.log(a)
            - jnp.log(p)
            - (p - 1 / a) * mean_log_odds
            + (p + 1) * (mean_log_odds + 1 / p)
        )

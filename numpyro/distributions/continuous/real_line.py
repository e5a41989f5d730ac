# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions on the whole real line, with a location and a scale."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma, ndtr, ndtri

from numpyro.distributions import constraints
from numpyro.distributions._normal import log_ndtr
from numpyro.distributions._random import log_standard_gamma
from numpyro.distributions._special import betainc, betaincinv, betaln, log1p_square, log_one_plus_square
from numpyro.distributions.distribution import Distribution

__all__ = [
    "AsymmetricLaplace",
    "AsymmetricLaplaceQuantile",
    "Cauchy",
    "Gumbel",
    "Laplace",
    "Logistic",
    "Normal",
    "SoftLaplace",
    "StudentT",
]

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
LOG_PI = math.log(math.pi)


class _LocationScale(Distribution):
    """A family of the distributions of ``loc + scale * z``, with one standard distribution of z, whose mode is 0."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    reparametrized_params = ["loc", "scale"]

    def __init__(self, loc: Any = 0.0, scale: Any = 1.0, *, validate_args: bool | None = None) -> None:
        self._declare(loc=loc, scale=scale, validate_args=validate_args)

    def _standardized(self, value: Any) -> Any:
        return (value - self.loc) / self.scale

    @property
    def mode(self) -> Any:
        return self.loc


class Normal(_LocationScale):
    r"""Normal distribution.

    .. math:: p(x) = \frac{1}{\sigma\sqrt{2\pi}} \exp\left(-\frac{(x - \mu)^2}{2\sigma^2}\right)

    :param loc: mean :math:`\mu`, real.
    :param scale: standard deviation :math:`\sigma > 0`.

    **Source:** Johnson, Kotz, Balakrishnan (1994), *Continuous Univariate Distributions*, volume 1, chapter 13.

    >>> import numpyro.distributions as dist
    >>> d = dist.Normal(0.0, 2.0)
    >>> round(float(d.log_prob(1.0)), 4), round(float(d.cdf(0.0)), 4)
    (-1.7371, 0.5)
    """

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.loc + self.scale * jax.random.normal(key, self.shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        z = self._standardized(value)
        return -0.5 * jnp.square(z) - jnp.log(self.scale) - HALF_LOG_2PI

    def cdf(self, value: Any) -> Any:
        return ndtr(self._standardized(value))

    def log_cdf(self, value: Any) -> Any:
        return log_ndtr(self._standardized(value))

    def icdf(self, q: Any) -> Any:
        return self.loc + self.scale * ndtri(q)

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return self.scale**2

    def entropy(self) -> Any:
        return 0.5 + HALF_LOG_2PI + jnp.log(self.scale)


class Cauchy(_LocationScale):
    r"""Cauchy distribution, which has no mean.

    .. math:: p(x) = \frac{1}{\pi\gamma\,(1 + ((x - x_0) / \gamma)^2)}

    :param loc: median :math:`x_0`, real.
    :param scale: half of the interquartile range, :math:`\gamma > 0`.

    **Source:** Johnson, Kotz, Balakrishnan (1994), *Continuous Univariate Distributions*, volume 1, chapter 16.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.Cauchy(0.0, 1.0).cdf(1.0)), 4)
    0.75
    """

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.loc + self.scale * jax.random.cauchy(key, self.shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        z = self._standardized(value)
        return -log_one_plus_square(z) - jnp.log(self.scale) - LOG_PI

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

    def entropy(self) -> Any:
        return math.log(4 * math.pi) + jnp.log(self.scale)


class StudentT(Distribution):
    r"""Student's t distribution with a location and a scale.

    .. math:: p(x) = \frac{(1 + z^2 / \nu)^{-(\nu + 1) / 2}}{\sigma\sqrt{\nu}\,B(1/2, \nu/2)},
        \quad z = \frac{x - \mu}{\sigma}

    :param df: degrees of freedom :math:`\nu > 0`.
    :param loc: median :math:`\mu`, real.
    :param scale: scale :math:`\sigma > 0`.

    **Source:** Johnson, Kotz, Balakrishnan (1995), *Continuous Univariate Distributions*, volume 2, chapter 28.

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
        key_normal, key_gamma = jax.random.split(key)
        half, shape = 0.5 * jnp.asarray(self.df), self.shape(sample_shape)
        noise = jax.random.normal(key_normal, shape, jnp.result_type(float))
        # The square root of chi squared over its degrees of freedom, by logarithms for very few degrees.
        ratio = jnp.exp(0.5 * (jnp.log(half) - log_standard_gamma(key_gamma, half, shape)))
        return self.loc + self.scale * noise * ratio

    def log_prob(self, value: Any) -> Any:
        z = (value - self.loc) / self.scale
        df = jnp.asarray(self.df)
        normalizer = 0.5 * jnp.log(df) + betaln(0.5, 0.5 * df) + jnp.log(self.scale)
        return -0.5 * (df + 1) * log1p_square(z / jnp.sqrt(df)) - normalizer

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


class Laplace(_LocationScale):
    r"""Laplace distribution.

    .. math:: p(x) = \frac{1}{2b} e^{-|x - \mu| / b}

    :param loc: median :math:`\mu`, real.
    :param scale: mean absolute deviation :math:`b > 0`.

    **Source:** Johnson, Kotz, Balakrishnan (1995), *Continuous Univariate Distributions*, volume 2, chapter 24.

    >>> import numpyro.distributions as dist
    >>> float(dist.Laplace(0.0, 2.0).variance)
    8.0
    """

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.loc + self.scale * jax.random.laplace(key, self.shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        return -jnp.abs(value - self.loc) * (1 / self.scale) - jnp.log(self.scale) - math.log(2)

    def cdf(self, value: Any) -> Any:
        z = self._standardized(value)
        tail = 0.5 * jnp.exp(-jnp.abs(z))
        return jnp.where(z < 0, tail, 1 - tail)

    def log_cdf(self, value: Any) -> Any:
        z = self._standardized(value)
        upper = jnp.log1p(-0.5 * jnp.exp(-jnp.abs(z)))
        return jnp.where(z < 0, z - math.log(2), upper)

    def icdf(self, q: Any) -> Any:
        q = jnp.asarray(q)
        tail = jnp.log(2 * jnp.minimum(q, 1 - q))
        return self.loc + self.scale * jnp.where(q < 0.5, tail, -tail)

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return 2 * self.scale**2

    def entropy(self) -> Any:
        return 1 + math.log(2) + jnp.log(self.scale)


class _AsymmetricLaplace(Distribution):
    """Two exponential tails that meet at ``loc``, of scales ``left_scale`` and ``right_scale``."""

    support = constraints.real

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        """By inversion, with a uniform number that is neither 0 nor 1."""
        u = jax.random.uniform(key, self.shape(sample_shape))
        u = u + 0.5 * float(jnp.finfo(u.dtype).eps)
        below = self.left_scale / (self.left_scale + self.right_scale)
        is_below = u < below
        tail = jnp.log(jnp.where(is_below, u / below, (1 - u) / (1 - below)))
        return self.loc + tail * jnp.where(is_below, self.left_scale, -self.right_scale)

    def log_prob(self, value: Any) -> Any:
        z = value - self.loc
        exponent = z * jnp.where(z < 0, 1 / self.left_scale, -1 / self.right_scale)
        return exponent - jnp.log(self.left_scale + self.right_scale)

    def cdf(self, value: Any) -> Any:
        z, left, right = value - self.loc, self.left_scale, self.right_scale
        below = left * jnp.exp(jnp.minimum(z, 0.0) / left)
        above = right * jnp.exp(-jnp.maximum(z, 0.0) / right)
        return jnp.where(z < 0, below / (left + right), 1 - above / (left + right))

    def log_cdf(self, value: Any) -> Any:
        z, left, right = value - self.loc, self.left_scale, self.right_scale
        below = jnp.log(left / (left + right)) + z / left
        above = jnp.where(z < 0, 0.0, right * jnp.exp(-jnp.maximum(z, 0.0) / right) / (left + right))
        return jnp.where(z < 0, below, jnp.log1p(-above))

    def icdf(self, q: Any) -> Any:
        q, left, right = jnp.asarray(q), self.left_scale, self.right_scale
        total = left + right
        is_left = q * total < left
        below = left * jnp.log(jnp.where(is_left, q * total / left, 1.0))
        above = -right * jnp.log(jnp.where(is_left, 1.0, (1 - q) * total / right))
        return self.loc + jnp.where(is_left, below, above)

    @property
    def mean(self) -> Any:
        return self.loc + self.right_scale - self.left_scale

    @property
    def variance(self) -> Any:
        return self.left_scale**2 + self.right_scale**2

    @property
    def mode(self) -> Any:
        return self.loc

    def entropy(self) -> Any:
        return 1 + jnp.log(self.left_scale + self.right_scale)


class AsymmetricLaplace(_AsymmetricLaplace):
    r"""Asymmetric Laplace distribution.

    .. math:: p(x) = \frac{1}{b\,(\kappa + 1/\kappa)} \begin{cases} e^{(x - \mu) / (b \kappa)} & x < \mu \\
        e^{-(x - \mu)\,\kappa / b} & x \ge \mu \end{cases}

    :param loc: mode :math:`\mu`, real.
    :param scale: :math:`b > 0`.
    :param asymmetry: :math:`\kappa > 0`; above 1 the left tail is the longer one.

    **Source:** Kotz, Kozubowski, Podgórski (2001), *The Laplace Distribution and Generalizations*, chapter 3.

    >>> import numpyro.distributions as dist
    >>> d = dist.AsymmetricLaplace(0.0, 1.0, 2.0)
    >>> float(d.left_scale), float(d.right_scale)
    (2.0, 0.5)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "asymmetry": constraints.positive}
    reparametrized_params = ["loc", "scale", "asymmetry"]

    def __init__(
        self, loc: Any = 0.0, scale: Any = 1.0, asymmetry: Any = 1.0, *, validate_args: bool | None = None
    ) -> None:
        self._declare(loc=loc, scale=scale, asymmetry=asymmetry, validate_args=validate_args)

    @property
    def left_scale(self) -> Any:
        """Scale of the left tail."""
        return self.scale * self.asymmetry

    @property
    def right_scale(self) -> Any:
        """Scale of the right tail."""
        return self.scale / self.asymmetry


class AsymmetricLaplaceQuantile(_AsymmetricLaplace):
    r"""Asymmetric Laplace distribution, given by the probability to the left of the mode, as in quantile regression.

    .. math:: p(x) = \frac{q(1 - q)}{b} \begin{cases} e^{(1 - q)(x - \mu) / b} & x < \mu \\
        e^{-q (x - \mu) / b} & x \ge \mu \end{cases}

    :param loc: mode and q-quantile :math:`\mu`, real.
    :param scale: :math:`b > 0`.
    :param quantile: :math:`q`, in (0, 1).

    **Source:** Yu, Moyeed (2001), *Bayesian quantile regression*. Statistics and Probability Letters 54.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.AsymmetricLaplaceQuantile(1.0, 2.0, 0.3).cdf(1.0)), 4)
    0.3
    """

    arg_constraints = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "quantile": constraints.open_interval(0.0, 1.0),
    }
    reparametrized_params = ["loc", "scale", "quantile"]

    def __init__(
        self, loc: Any = 0.0, scale: Any = 1.0, quantile: Any = 0.5, *, validate_args: bool | None = None
    ) -> None:
        self._declare(loc=loc, scale=scale, quantile=quantile, validate_args=validate_args)

    @property
    def left_scale(self) -> Any:
        """Scale of the left tail."""
        return self.scale / (1 - self.quantile)

    @property
    def right_scale(self) -> Any:
        """Scale of the right tail."""
        return self.scale / self.quantile


class Logistic(_LocationScale):
    r"""Logistic distribution.

    .. math:: p(x) = \frac{e^{-z}}{s (1 + e^{-z})^2}, \quad z = \frac{x - \mu}{s}

    :param loc: mean :math:`\mu`, real.
    :param scale: :math:`s > 0`.

    **Source:** Johnson, Kotz, Balakrishnan (1995), *Continuous Univariate Distributions*, volume 2, chapter 23.

    >>> import numpyro.distributions as dist
    >>> float(dist.Logistic(0.0, 1.0).cdf(0.0))
    0.5
    """

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.loc + self.scale * jax.random.logistic(key, self.shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        z = jnp.abs(self._standardized(value))
        return -z - 2 * jnp.log1p(jnp.exp(-z)) - jnp.log(self.scale)

    def cdf(self, value: Any) -> Any:
        return jax.nn.sigmoid(self._standardized(value))

    def log_cdf(self, value: Any) -> Any:
        return jax.nn.log_sigmoid(self._standardized(value))

    def icdf(self, q: Any) -> Any:
        q = jnp.asarray(q)
        return self.loc + self.scale * (jnp.log(q) - jnp.log1p(-q))

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return (math.pi**2 / 3) * self.scale**2

    def entropy(self) -> Any:
        return 2 + jnp.log(self.scale)


class Gumbel(_LocationScale):
    r"""Gumbel distribution, of maxima.

    .. math:: p(x) = \frac{1}{\beta} e^{-z - e^{-z}}, \quad z = \frac{x - \mu}{\beta}

    :param loc: mode :math:`\mu`, real.
    :param scale: :math:`\beta > 0`.

    **Source:** Johnson, Kotz, Balakrishnan (1995), *Continuous Univariate Distributions*, volume 2, chapter 22.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.Gumbel(0.0, 1.0).mean), 4)
    0.5772
    """

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.loc + self.scale * jax.random.gumbel(key, self.shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        # The exponential of 1e4 is infinite already, and an infinite value is not to be subtracted from that.
        # Times the inverse, not divided: the derivative of a quotient has the square of a small scale below.
        z = jnp.maximum((value - self.loc) * (1 / self.scale), -1e4)
        return -(z + jnp.exp(-z)) - jnp.log(self.scale)

    def cdf(self, value: Any) -> Any:
        return jnp.exp(self.log_cdf(value))

    def log_cdf(self, value: Any) -> Any:
        return -jnp.exp((self.loc - value) / self.scale)

    def icdf(self, q: Any) -> Any:
        return self.loc - self.scale * jnp.log(-jnp.log(jnp.asarray(q)))

    @property
    def mean(self) -> Any:
        return self.loc + jnp.euler_gamma * self.scale

    @property
    def variance(self) -> Any:
        return (math.pi**2 / 6) * self.scale**2

    def entropy(self) -> Any:
        return 1 + jnp.euler_gamma + jnp.log(self.scale)


class SoftLaplace(_LocationScale):
    r"""Hyperbolic secant distribution: smooth, with the tails of a Laplace distribution.

    .. math:: p(x) = \frac{2}{\pi s\,(e^z + e^{-z})}, \quad z = \frac{x - \mu}{s}

    :param loc: mean :math:`\mu`, real.
    :param scale: :math:`s > 0`.

    **Source:** Baten (1934), *The probability law for the sum of n independent variables, each subject to the law
    (1/2h) sech(πx/2h)*. Bulletin of the American Mathematical Society 40.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.SoftLaplace(0.0, 1.0).variance), 4)
    2.4674
    """

    def __init__(self, loc: Any, scale: Any, *, validate_args: bool | None = None) -> None:
        super().__init__(loc, scale, validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.icdf(
            jax.random.uniform(key, self.shape(sample_shape), minval=jnp.finfo(jnp.result_type(float)).tiny)
        )

    def log_prob(self, value: Any) -> Any:
        z = jnp.abs(self._standardized(value))
        return math.log(2 / math.pi) - jnp.log(self.scale) - z - jnp.log1p(jnp.exp(-2 * z))

    def cdf(self, value: Any) -> Any:
        z = self._standardized(value)
        tail = 2 / math.pi * jnp.arctan(jnp.exp(-jnp.abs(z)))
        return jnp.where(z < 0, tail, 1 - tail)

    def log_cdf(self, value: Any) -> Any:
        z = self._standardized(value)
        angle = jnp.arctan(jnp.exp(-jnp.abs(z)))
        # far out, arctan(e^z) is e^z, which underflows
        is_far = z < -20
        log_angle = jnp.where(is_far, z, jnp.log(jnp.where(is_far, 1.0, angle)))
        return jnp.where(z < 0, math.log(2 / math.pi) + log_angle, jnp.log1p(-2 / math.pi * angle))

    def icdf(self, q: Any) -> Any:
        q = jnp.asarray(q)
        tail = jnp.log(jnp.tan(0.5 * math.pi * jnp.minimum(q, 1 - q)))
        return self.loc + self.scale * jnp.where(q < 0.5, tail, -tail)

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return (math.pi**2 / 4) * self.scale**2

    def entropy(self) -> Any:
        return math.log(2 * math.pi) + jnp.log(self.scale)

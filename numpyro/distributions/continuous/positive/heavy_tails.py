# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Positive numbers whose density falls off as a power."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma, erfc, gammaln, ndtri

from numpyro.distributions import constraints
from numpyro.distributions._special import (
    log_indicator,
    log_quotient,
)
from numpyro.distributions.continuous.real_line import HALF_LOG_2PI
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import log1mexp

__all__ = ["Dagum", "Levy", "Pareto"]


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

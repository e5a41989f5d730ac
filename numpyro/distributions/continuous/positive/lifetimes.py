# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Lifetimes, by a hazard that is a power or an exponential."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import exp1, gammaln

from numpyro.distributions import constraints
from numpyro.distributions._special import (
    log_indicator,
    log_quotient,
    times_log_zero,
)
from numpyro.distributions.distribution import Distribution

__all__ = ["Gompertz", "Weibull"]


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

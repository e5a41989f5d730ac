# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions of positive quantities that are often exactly zero: rainfall, expenses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from numpyro.distributions import constraints
from numpyro.distributions._special import log_indicator, xlog1py, xlogy
from numpyro.distributions.continuous.positive import Gamma, LogNormal
from numpyro.distributions.distribution import Distribution

__all__ = ["HurdleGamma", "HurdleLogNormal"]


class _ContinuousHurdle(Distribution):
    """Zero with probability ``gate``, else a draw from a distribution of positive numbers."""

    support = constraints.nonnegative

    @property
    def base_dist(self) -> Distribution:
        """Distribution of the values that are not zero."""
        raise NotImplementedError

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        key_gate, key_base = jax.random.split(key)
        is_zero = jax.random.bernoulli(key_gate, self.gate, self.shape(sample_shape))
        return jnp.where(is_zero, 0.0, self.base_dist.expand(self.batch_shape).sample(key_base, sample_shape))

    def log_prob(self, value: Any) -> Any:
        value, gate = jnp.asarray(value), jnp.asarray(self.gate)
        is_zero = value == 0
        # At 0 and 1 the logarithms get no derivative, so that that of a value that is certain is finite.
        log_gate = jnp.where(gate > 0, jnp.log(jnp.where(gate > 0, gate, 1.0)), -jnp.inf)
        log_rest = jnp.where(gate < 1, jnp.log1p(-jnp.where(gate < 1, gate, 0.0)), -jnp.inf)
        return jnp.where(is_zero, log_gate, log_rest + self._log_density(value))

    def _log_density(self, value: Any) -> Any:
        """Log density of the values that are not zero, which has finite derivatives everywhere."""
        return self.base_dist.log_prob(jnp.where(value > 0, value, 1.0)) + log_indicator(value > 0)

    def cdf(self, value: Any) -> Any:
        value, gate = jnp.asarray(value), jnp.asarray(self.gate)
        below = gate + (1 - gate) * self.base_dist.cdf(jnp.where(value > 0, value, 1.0))
        return jnp.where(value > 0, below, jnp.where(value == 0, gate, 0.0))

    @property
    def mean(self) -> Any:
        return (1 - jnp.asarray(self.gate)) * self.base_dist.mean

    @property
    def variance(self) -> Any:
        gate = jnp.asarray(self.gate)
        return (1 - gate) * (self.base_dist.variance + gate * self.base_dist.mean**2)

    def entropy(self) -> Any:
        """Entropy with respect to Lebesgue measure plus a point mass at zero."""
        gate = jnp.asarray(self.gate)
        return (1 - gate) * self.base_dist.entropy() - xlogy(gate, gate) - xlog1py(1 - gate, -gate)


class HurdleGamma(_ContinuousHurdle):
    r"""Zero with probability :math:`\theta`, else a draw from a :class:`Gamma` distribution.

    .. math:: P(x = 0) = \theta, \quad p(x) = (1 - \theta)\,\frac{\beta^\alpha}{\Gamma(\alpha)}\,
        x^{\alpha - 1} e^{-\beta x} \text{ for } x > 0

    The density is with respect to Lebesgue measure plus a point mass at zero.

    :param gate: probability :math:`\theta` of zero, in [0, 1].
    :param concentration: shape :math:`\alpha > 0`.
    :param rate: :math:`\beta > 0`.

    **Source:** Feuerverger (1979), *On some methods of analysis for weather experiments*. Biometrika 66.

    >>> import numpyro.distributions as dist
    >>> d = dist.HurdleGamma(0.25, 2.0, 1.0)
    >>> round(float(d.log_prob(0.0)), 4), float(d.mean)
    (-1.3863, 1.5)
    """

    arg_constraints = {
        "gate": constraints.unit_interval,
        "concentration": constraints.positive,
        "rate": constraints.positive,
    }
    reparametrized_params = ["concentration", "rate"]

    def __init__(self, gate: Any, concentration: Any, rate: Any = 1.0, *, validate_args: bool | None = None) -> None:
        self._declare(gate=gate, concentration=concentration, rate=rate, validate_args=validate_args)

    @property
    def base_dist(self) -> Distribution:
        """Distribution of the values that are not zero."""
        return Gamma(self.concentration, self.rate)

    def _log_density(self, value: Any) -> Any:
        # That of a Gamma is finite, or -inf, with finite derivatives, at any number.
        return self.base_dist.log_prob(value)


class HurdleLogNormal(_ContinuousHurdle):
    r"""Zero with probability :math:`\theta`, else a draw from a :class:`LogNormal` distribution.

    .. math:: P(x = 0) = \theta, \quad p(x) = \frac{1 - \theta}{x \sigma \sqrt{2\pi}}
        \exp\left(-\frac{(\log x - \mu)^2}{2\sigma^2}\right) \text{ for } x > 0

    The density is with respect to Lebesgue measure plus a point mass at zero.

    :param gate: probability :math:`\theta` of zero, in [0, 1].
    :param loc: mean :math:`\mu` of the logarithm of the values that are not zero.
    :param scale: their standard deviation, :math:`\sigma > 0`.

    **Source:** Aitchison (1955), *On the distribution of a positive random variable having a discrete probability mass
    at the origin*. Journal of the American Statistical Association 50.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.HurdleLogNormal(0.25, 0.0, 1.0).log_prob(0.0)), 4)
    -1.3863
    """

    arg_constraints = {"gate": constraints.unit_interval, "loc": constraints.real, "scale": constraints.positive}
    reparametrized_params = ["loc", "scale"]

    def __init__(self, gate: Any, loc: Any = 0.0, scale: Any = 1.0, *, validate_args: bool | None = None) -> None:
        self._declare(gate=gate, loc=loc, scale=scale, validate_args=validate_args)

    @property
    def base_dist(self) -> Distribution:
        """Distribution of the values that are not zero."""
        return LogNormal(self.loc, self.scale)

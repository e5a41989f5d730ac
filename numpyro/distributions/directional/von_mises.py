# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The von Mises distribution of an angle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from numpyro.distributions import constraints
from numpyro.distributions.directional.angles import LOG_2PI, log_i0e, one_minus_ratio, wrapped
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import von_mises_centered


class VonMises(Distribution):
    r"""Von Mises distribution, the normal distribution of the circle.

    .. math:: p(x) = \frac{e^{\kappa \cos(x - \mu)}}{2\pi I_0(\kappa)}, \quad -\pi \le x \le \pi

    :param loc: mean direction :math:`\mu`, an angle.
    :param concentration: :math:`\kappa > 0`.

    The mean is the mean direction, the variance the circular one, :math:`1 - I_1(\kappa) / I_0(\kappa)`.

    **Source:** Mardia, Jupp (2000), *Directional Statistics*, section 3.5.

    >>> import numpyro.distributions as dist
    >>> d = dist.VonMises(0.0, 2.0)
    >>> round(float(d.log_prob(0.0)), 4), round(float(d.variance), 4)
    (-0.6619, 0.3022)
    """

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.circular
    reparametrized_params = ["loc"]

    def __init__(self, loc: Any, concentration: Any, *, validate_args: bool | None = None) -> None:
        self._declare(loc=loc, concentration=concentration, validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return wrapped(self.loc + von_mises_centered(key, self.concentration, self.shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        sine = jnp.sin(0.5 * (value - self.loc))
        return -2 * self.concentration * sine * sine - LOG_2PI - log_i0e(self.concentration)

    @property
    def mean(self) -> Any:
        return wrapped(self.loc)

    @property
    def variance(self) -> Any:
        return one_minus_ratio(self.concentration)

    @property
    def mode(self) -> Any:
        return wrapped(self.loc)

    def entropy(self) -> Any:
        return LOG_2PI + log_i0e(self.concentration) + self.concentration * one_minus_ratio(self.concentration)

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The direction of a normal vector."""

from __future__ import annotations

from collections.abc import Sequence
import functools
import math
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp

from numpyro._shapes import shape_of
from numpyro.distributions import constraints
from numpyro.distributions._normal import excess, excess_shortfall, log_ndtr, lower_hazard, mills_ratio
from numpyro.distributions._special import FEW
from numpyro.distributions.directional.angles import LOG_2PI
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import safe_normalize, sum_rightmost


class ProjectedNormal(Distribution):
    r"""Direction of a normal vector with identity covariance.

    .. math:: p(x) = (2\pi)^{-d/2}\, e^{-|\mu|^2 / 2} \int_0^\infty r^{d - 1} e^{-r^2 / 2 + r\,\mu \cdot x}\,dr,
        \quad |x| = 1

    Unlike the von Mises and Fisher distributions, it can be reparameterised. The integrals obey a recurrence in d,
    those of Mills' ratio and its kin, so that the density is available in all dimensions.

    **Source:** Hernandez-Stumpfhauser, Breidt, van der Woerd (2017), *The general projected normal distribution of
    arbitrary dimension*.

    :param concentration: :math:`\mu`, the mean of the normal vector, of shape ``(..., d)``.

    The mean that it gives is the mean direction, which is the mode.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> d = dist.ProjectedNormal(jnp.array([1.0, 2.0, 0.5]))
    >>> round(float(d.log_prob(jnp.array([0.6, 0.8, 0.0]))), 4)
    -0.2787
    """

    arg_constraints = {"concentration": constraints.real_vector}
    support = constraints.sphere
    reparametrized_params = ["concentration"]

    def __init__(self, concentration: Any, *, validate_args: bool | None = None) -> None:
        shape = shape_of(concentration)
        if not shape:
            raise ValueError("ProjectedNormal: concentration must be a vector, but it is a number.")
        self._declare(concentration=concentration, event_shape=shape[-1:], validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        x = self.concentration + jax.random.normal(key, self.shape(sample_shape), jnp.result_type(float))
        return x / jnp.sqrt(sum_rightmost(x * x, 1))[..., None]

    def log_prob(self, value: Any) -> Any:
        dimension, value, mean = self.event_shape[-1], jnp.asarray(value), jnp.asarray(self.concentration)
        if dimension <= FEW:
            pairs = [(mean[..., k], value[..., k]) for k in range(dimension)]
            along = sum(m * x for m, x in pairs)
            across = sum((m - along * x) ** 2 for m, x in pairs)
        else:
            along = (mean * value).sum(-1)
            across = ((mean - along[..., None] * value) ** 2).sum(-1)
        return _log_radial_integral(along, dimension - 1) - 0.5 * across - 0.5 * dimension * LOG_2PI

    @property
    def mean(self) -> Any:
        """Mean direction."""
        return safe_normalize(jnp.asarray(self.concentration))

    @property
    def mode(self) -> Any:
        return safe_normalize(jnp.asarray(self.concentration))


def _log_radial_integral(t: Any, power: int) -> Any:
    r""":math:`\log J_n(t)`, with :math:`J_n(t) = \int_0^\infty r^n e^{-(r - t)^2 / 2} dr`."""
    if power == 0:
        return log_ndtr(t) + 0.5 * LOG_2PI
    if power <= 2:
        return _log_low_radial_integral(t, power)
    return _log_radial_integral_by_recurrence(t, power)


def _low_radial_integrals(t: Any) -> tuple[Any, Any, Any]:
    r""":math:`J_0, J_1, J_2` in closed form, for negative t relative to :math:`e^{-t^2 / 2}`, where nothing cancels."""
    negative, a = t < 0, jnp.abs(t)
    mean = excess(a)
    ratio, density = 1 / (jnp.minimum(a, 1e15) + mean), jnp.exp(-0.5 * t * t)
    whole = math.sqrt(2 * math.pi) - ratio * density
    return (
        jnp.where(negative, ratio, whole),
        jnp.where(negative, ratio * mean, t * whole + density),
        jnp.where(negative, ratio * excess_shortfall(a), (1 + t * t) * whole + t * density),
    )


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _log_low_radial_integral(t: Any, power: int) -> Any:
    return jnp.log(_low_radial_integrals(t)[power]) - jnp.where(t < 0, 0.5 * t * t, 0.0)


@_log_low_radial_integral.defjvp
def _log_low_radial_integral_jvp(power: int, primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    return _log_low_radial_integral(*primals, power), _radial_slope(*primals, power) * tangents[0]


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _radial_slope(t: Any, power: int) -> Any:
    r""":math:`J_n'(t) / J_n(t) = n J_{n-1}(t) / J_n(t)`."""
    integrals = _low_radial_integrals(t)
    return power * integrals[power - 1] / integrals[power]


@_radial_slope.defjvp
def _radial_slope_jvp(power: int, primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    slope = _radial_slope(*primals, power)
    lower = lower_hazard(*primals) if power == 1 else _radial_slope(*primals, power - 1)
    return slope, slope * (lower - slope) * tangents[0]


def _log_radial_integral_by_recurrence(t: Any, power: int) -> Any:
    r""":math:`\log J_n` by :math:`J_{n+1} = t J_n + n J_{n-1}`, for n > 2.

    For positive t the ratios of neighbours are computed upwards, for negative t downwards, as a continued fraction.
    """
    # The first steps upwards lose few digits for moderate negative t too, and the fraction converges the faster, the
    # further t is from 0: after about 10 / t^2 terms for each four digits.
    turn, levels = 0.5, 200
    negative = t < -turn
    up, down = jnp.where(negative, 1.0, t), jnp.where(negative, -t, turn)
    log_up = log_ndtr(up) + 0.5 * LOG_2PI
    log_down = jnp.log(mills_ratio(down)) - 0.5 * down * down
    ratio = up + jnp.exp(-0.5 * up * up - log_up)
    log_up = log_up + jnp.log(ratio)
    for n in range(1, power):
        ratio = up + n / ratio
        log_up = log_up + jnp.log(ratio)
    top = power + levels
    ratio = 0.5 * (jnp.sqrt(down * down + 4 * top) - down)
    orders = jnp.arange(top - 1, power, -1, dtype=ratio.dtype)
    ratio, _ = lax.scan(lambda r, n: (n / (r + down), None), ratio, orders)
    for n in range(power, 0, -1):
        ratio = n / (ratio + down)
        log_down = log_down + jnp.log(ratio)
    return jnp.where(negative, log_down, log_up)

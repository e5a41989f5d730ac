# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions of angles and directions.

Angles are radians in [-π, π]; densities have the period 2π, so that data from 0 to 2π may be given as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
import functools
import math
from typing import Any, NamedTuple

import jax
from jax import lax
import jax.numpy as jnp
from jax.scipy.special import i0e, i1e, logsumexp
import numpy as np

from numpyro._shapes import broadcast_shapes, shape_of
from numpyro.distributions import constraints
from numpyro.distributions._normal import excess, excess_shortfall, log_ndtr, lower_hazard, mills_ratio
from numpyro.distributions._special import FEW
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import assert_one_of, lazy_property, safe_normalize, sum_rightmost, von_mises_centered

__all__ = ["PhiMarginalState", "ProjectedNormal", "SineBivariateVonMises", "SineSkewed", "VonMises", "log_I1"]

LOG_2PI = math.log(2 * math.pi)


def _wrapped(angle: Any) -> Any:
    """The same angle in [-π, π]; one that is there already keeps all its digits."""
    angle = jnp.asarray(angle)
    turned = angle - 2 * math.pi * jnp.round(angle / (2 * math.pi))
    return jnp.where(jnp.abs(angle) <= math.pi, angle, jnp.clip(turned, -math.pi, math.pi))


def _one_minus_ratio(kappa: Any) -> Any:
    r""":math:`1 - I_1(\kappa) / I_0(\kappa)`, by the asymptotic series (DLMF 10.40.1) where the ratio rounds to one."""
    far = kappa > 100
    inverse = 1 / jnp.where(far, kappa, 100.0)
    series = inverse * jnp.polyval(np.array([1073 / 1024, 13 / 32, 25 / 128, 1 / 8, 1 / 8, 1 / 2]), inverse)
    near = jnp.where(far, 1.0, kappa)
    return jnp.where(far, series, 1 - i1e(near) / i0e(near))


@jax.custom_jvp
def _log_i0e(kappa: Any) -> Any:
    r""":math:`\log I_0(\kappa) - \kappa` for :math:`\kappa \ge 0`, with an accurate derivative."""
    return jnp.log(i0e(jnp.asarray(kappa, jnp.result_type(kappa, 1.0))))


@_log_i0e.defjvp
def _log_i0e_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    return _log_i0e(*primals), -_one_minus_ratio(primals[0]) * tangents[0]


def log_I1(orders: int, value: Any, terms: int = 250) -> Any:
    r"""Logarithms of the modified Bessel functions of the first kind :math:`I_0(x), \dots, I_n(x)`.

    Ratios of neighbours by their recurrence (DLMF 10.29.1), downwards from a bound that nearly is the ratio (Amos 1974,
    *Computation of modified Bessel functions and their ratios*).

    :param orders: the largest order n.
    :param value: positive numbers x.
    :param terms: order at which the recurrence starts, more than ``orders``.
    :return: array of shape ``(orders + 1,) + shape of value``, where a number counts as a vector of length one.

    >>> [round(x.item(), 4) for x in log_I1(2, 1.0)]
    [0.2359, -0.5706, -1.997]
    """
    value = jnp.atleast_1d(jnp.asarray(value, jnp.result_type(float)))
    top = max(terms, orders + 20)
    start = value / (top - 0.5 + jnp.sqrt((top + 0.5) ** 2 + value**2))

    def step(ratio: Any, order: Any) -> tuple[Any, Any]:
        ratio = 1 / (2 * order / value + ratio)
        return ratio, ratio

    _, ratios = lax.scan(step, start, jnp.arange(top - 1, 0, -1, dtype=value.dtype))
    first = _log_i0e(value) + value
    rest = jnp.cumsum(jnp.log(ratios[::-1][:orders]), 0)
    return jnp.concatenate([first[None], first + rest])


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
        return _wrapped(self.loc + von_mises_centered(key, self.concentration, self.shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        sine = jnp.sin(0.5 * (value - self.loc))
        return -2 * self.concentration * sine * sine - LOG_2PI - _log_i0e(self.concentration)

    @property
    def mean(self) -> Any:
        return _wrapped(self.loc)

    @property
    def variance(self) -> Any:
        return _one_minus_ratio(self.concentration)

    @property
    def mode(self) -> Any:
        return _wrapped(self.loc)

    def entropy(self) -> Any:
        return LOG_2PI + _log_i0e(self.concentration) + self.concentration * _one_minus_ratio(self.concentration)


class PhiMarginalState(NamedTuple):
    """State of the rejection sampler of the first angle of a :class:`SineBivariateVonMises`."""

    #: Number of proposals made.
    i: Any
    #: Which draws are accepted.
    done: Any
    #: The draws.
    phi: Any
    #: Random key of the next proposals.
    key: Any


class SineBivariateVonMises(Distribution):
    r"""Sine model of two dependent angles.

    .. math:: p(\phi, \psi) = C^{-1} \exp(\kappa_1 \cos(\phi - \mu) + \kappa_2 \cos(\psi - \nu)
        + \rho \sin(\phi - \mu) \sin(\psi - \nu))

    It has one mode if :math:`\rho^2 < \kappa_1 \kappa_2`. Given :math:`\phi`, the other angle is von Mises; the
    normalising constant is the integral of the marginal density of :math:`\phi`, by the trapezoidal rule.

    **Source:** Singh, Hnizdo, Demchuk (2002), *Probabilistic model for two dependent circular variables*.

    :param phi_loc: mean of the first angle :math:`\mu`.
    :param psi_loc: mean of the second angle :math:`\nu`.
    :param phi_concentration: :math:`\kappa_1 > 0`.
    :param psi_concentration: :math:`\kappa_2 > 0`.
    :param correlation: :math:`\rho`, real.
    :param weighted_correlation: :math:`\rho / \sqrt{\kappa_1 \kappa_2}`, in (-1, 1) for one mode. Exactly one of the
        two is given.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> d = dist.SineBivariateVonMises(0.5, -0.3, 2.0, 3.0, correlation=0.7)
    >>> round(float(d.log_prob(jnp.array([0.1, 0.2]))), 4)
    -1.764
    """

    arg_constraints = {
        "phi_loc": constraints.circular,
        "psi_loc": constraints.circular,
        "phi_concentration": constraints.positive,
        "psi_concentration": constraints.positive,
        "correlation": constraints.real,
    }
    pytree_data_fields = ("_weighted_correlation",)
    support = constraints.independent(constraints.circular, 1)
    #: How often proposals are made for a draw.
    max_sample_iter = 1000

    def __init__(
        self,
        phi_loc: Any,
        psi_loc: Any,
        phi_concentration: Any,
        psi_concentration: Any,
        correlation: Any = None,
        weighted_correlation: Any = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        assert_one_of(correlation=correlation, weighted_correlation=weighted_correlation)
        self._declare(
            phi_loc=phi_loc,
            psi_loc=psi_loc,
            phi_concentration=phi_concentration,
            psi_concentration=psi_concentration,
            correlation=correlation,
            _weighted_correlation=weighted_correlation,
            event_shape=(2,),
            validate_args=validate_args,
        )

    def _field_event_dim(self, name: str, value: Any) -> int:
        return 0

    @lazy_property
    def correlation(self) -> Any:
        r"""The coefficient :math:`\rho`."""
        return self._weighted_correlation * jnp.sqrt(self.phi_concentration * self.psi_concentration)

    def _resultant(self, sine: Any) -> Any:
        """Concentration of the second angle, given the sine of the first."""
        return jnp.hypot(self.psi_concentration, self.correlation * sine)

    def _log_marginal(self, phi: Any) -> Any:
        """Logarithm of the density of the first angle about its mean, up to a constant."""
        half_sine = jnp.sin(0.5 * phi)
        resultant = self._resultant(jnp.sin(phi))
        rise = resultant - self.psi_concentration
        return -2 * self.phi_concentration * half_sine * half_sine + rise + _log_i0e(resultant)

    def _reach(self, widths: float) -> Any:
        """Where the marginal density of the first angle ends, in units of its standard deviation."""
        curvature = self.phi_concentration - self.correlation**2 / jnp.asarray(self.psi_concentration)
        concentrated = curvature > (widths / math.pi) ** 2
        return lax.stop_gradient(
            jnp.where(concentrated, widths / jnp.sqrt(jnp.where(concentrated, curvature, 1.0)), math.pi)
        )

    @property
    def norm_const(self) -> Any:
        """Logarithm of the normalising constant."""
        return self._log_excess + self.phi_concentration + self.psi_concentration

    @lazy_property
    def _log_excess(self) -> Any:
        """Logarithm of the normalising constant of the density relative to that at the means."""
        points = 256
        reach = self._reach(12.0)
        grid = np.linspace(-1.0, 1.0, points, endpoint=False).reshape((-1,) + (1,) * len(self.batch_shape))
        return LOG_2PI + jnp.log(2 / points * reach) + logsumexp(self._log_marginal(grid * reach), 0)

    @property
    def _natural(self) -> tuple[Any, ...]:
        """Parameters in which the log density is linear, for angles about their means."""
        parameters = (self.phi_concentration, self.psi_concentration, self.correlation)
        return tuple(jnp.broadcast_to(jnp.asarray(x, jnp.result_type(float)), self.batch_shape) for x in parameters)

    def _log_excess_at(self, phi_concentration: Any, psi_concentration: Any, correlation: Any) -> Any:
        """What `_log_excess` would be. Its derivatives are means of cos - 1 and of the product of the sines."""
        return SineBivariateVonMises(0.0, 0.0, phi_concentration, psi_concentration, correlation)._log_excess

    def entropy(self) -> Any:
        # Along the ray of the parameters the derivative is the mean of the exponent.
        log_excess, mean_exponent = jax.jvp(self._log_excess_at, self._natural, self._natural)
        return log_excess - mean_exponent

    def log_prob(self, value: Any) -> Any:
        value = jnp.asarray(value)
        phi, psi = value[..., 0] - self.phi_loc, value[..., 1] - self.psi_loc
        exponent = -2 * self.phi_concentration * jnp.sin(0.5 * phi) ** 2
        exponent = exponent - 2 * self.psi_concentration * jnp.sin(0.5 * psi) ** 2
        return exponent + self.correlation * jnp.sin(phi) * jnp.sin(psi) - self._log_excess

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        key_phi, key_psi = jax.random.split(key)
        shape = tuple(sample_shape) + self.batch_shape
        phi = self._sample_phi(key_phi, shape)
        sine = jnp.sin(phi)
        noise = von_mises_centered(key_psi, jnp.broadcast_to(self._resultant(sine), shape), shape)
        psi = self.psi_loc + jnp.arctan2(self.correlation * sine, self.psi_concentration) + noise
        return jnp.stack(jnp.broadcast_arrays(_wrapped(self.phi_loc + phi), _wrapped(psi)), -1)

    def _sample_phi(self, key: Any, shape: tuple[int, ...]) -> Any:
        """Draw the first angle about its mean, by rejection from a step function.

        With t = sin(phi/2)^2 the logarithm of the marginal density is concave in t: log I_0(sqrt(y)) is increasing and
        concave, and y is concave in t. In a cell without the mode it is largest at an end; in the cell with the mode
        it lies below both tangents.
        """
        cells = 64
        rank = len(self.batch_shape)
        reach = self._reach(8.0)
        inner = np.linspace(0.0, 1.0, cells).reshape((-1,) + (1,) * rank)
        ends = jnp.broadcast_to(inner * reach, (cells, *self.batch_shape))
        ends = jnp.concatenate([ends, jnp.full((1, *self.batch_shape), math.pi)])
        height, in_phi = jax.jvp(self._log_marginal, (ends,), (jnp.ones_like(ends),))
        # Slope in t, where dt = sin(phi) / 2 dphi; at both ends of the circle by its limit.
        t = jnp.sin(0.5 * ends) ** 2
        sine = jnp.sin(ends)
        flat = jnp.abs(sine) < 1e-3
        bend = self._bend()
        at_ends = -2 * self.phi_concentration + jnp.where(ends < 1.0, bend, -bend)
        slope = jnp.where(flat, at_ends, 2 * in_phi / jnp.where(flat, 1.0, sine))
        width = t[1:] - t[:-1]
        tangents = jnp.minimum(height[:-1] + slope[:-1] * width, height[1:] - slope[1:] * width)
        has_mode = (slope[:-1] > 0) & (slope[1:] < 0)
        bound = jnp.where(has_mode, tangents, jnp.maximum(height[:-1], height[1:])) + 1e-5
        mass = jnp.exp(bound - jnp.max(bound, 0)) * (ends[1:] - ends[:-1])
        # One table for each draw: samples stand between the cells and the batch.
        total = jnp.cumsum(mass, 0) / jnp.sum(mass, 0)
        between = (1,) * (len(shape) - rank)
        total, ends, bound = (x.reshape(x.shape[:1] + between + x.shape[1:]) for x in (total, ends, bound))
        ends, bound = (jnp.broadcast_to(x, x.shape[:1] + shape) for x in (ends, bound))

        def attempt(state: PhiMarginalState) -> PhiMarginalState:
            key, key_uniform = jax.random.split(state.key)
            u, v, w, side = jax.random.uniform(key_uniform, (4, *shape))
            cell = jnp.minimum(jnp.sum(u > total, 0), cells - 1)[None]
            low, high, top = (jnp.take_along_axis(table, cell, 0)[0] for table in (ends[:-1], ends[1:], bound))
            proposal = low + v * (high - low)
            accepted = jnp.log(w) <= self._log_marginal(proposal) - top
            proposal = jnp.where(side < 0.5, -proposal, proposal)
            phi = jnp.where(state.done, state.phi, proposal)
            return PhiMarginalState(state.i + 1, state.done | accepted, phi, key)

        start = PhiMarginalState(0, jnp.zeros(shape, bool), jnp.zeros(shape, ends.dtype), key)
        unfinished = lambda state: (state.i < self.max_sample_iter) & ~jnp.all(state.done)
        return lax.while_loop(unfinished, attempt, start).phi

    def _bend(self) -> Any:
        """Derivative of log I_0 in t at t = 0, where the resultant squared grows by 4 rho^2 t."""
        kappa = self.psi_concentration
        return 2 * self.correlation**2 * (1 - _one_minus_ratio(kappa)) / kappa

    @property
    def mean(self) -> Any:
        """Mean directions of both angles."""
        loc = jnp.broadcast_arrays(_wrapped(self.phi_loc), _wrapped(self.psi_loc))
        return jnp.stack(loc, -1)


class SineSkewed(Distribution):
    r"""Skewed variant of a symmetric distribution of angles.

    .. math:: p(x) = f(x) \left(1 + \sum_j \lambda_j \sin(x_j - \mu_j)\right)

    where :math:`f` is symmetric about its mean :math:`\mu`.

    **Source:** Ameijeiras-Alonso, Ley (2022), *Sine-skewed toroidal distributions and their application in protein
    bioinformatics*, equation 3.

    :param base_dist: a distribution of d angles, of event shape ``(d,)``, symmetric about its ``mean``; for a single
        angle ``VonMises(...).expand([1]).to_event(1)``.
    :param skewness: :math:`\lambda`, of shape ``(..., d)``, whose absolute values sum to at most one.

    The mean that it gives is that of the base distribution.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> base = dist.VonMises(jnp.zeros(1), 1.0).to_event(1)
    >>> d = dist.SineSkewed(base, jnp.array([0.3]))
    >>> bool(d.log_prob(jnp.array([0.5])) > d.log_prob(jnp.array([-0.5])))
    True
    """

    arg_constraints = {"skewness": constraints.l1_ball}
    pytree_data_fields = ("base_dist",)
    support = constraints.independent(constraints.circular, 1)
    base_dist: Distribution

    def __init__(self, base_dist: Distribution, skewness: Any, *, validate_args: bool | None = None) -> None:
        skewness = np.asarray(skewness) if isinstance(skewness, list | tuple | int | float) else skewness
        shape = shape_of(skewness)
        if len(base_dist.event_shape) != 1 or shape[-1:] != base_dist.event_shape:
            raise ValueError(
                f"SineSkewed: the base distribution must have events of d angles and skewness the shape (..., d), but "
                f"the event shape of {type(base_dist).__name__} is {base_dist.event_shape} and skewness has shape "
                f"{shape}. Make an event of single angles by .expand([d]).to_event(1)."
            )
        try:
            batch_shape = broadcast_shapes(base_dist.batch_shape, shape[:-1])
        except ValueError:
            raise ValueError(
                f"SineSkewed: skewness of shape {shape} does not broadcast with batch shape {base_dist.batch_shape} of "
                f"{type(base_dist).__name__}."
            ) from None
        self.base_dist = base_dist
        self._declare(skewness=skewness, event_shape=base_dist.event_shape, validate_args=validate_args)
        self._given_batch_shape = batch_shape

    def _skew(self, value: Any) -> Any:
        return sum_rightmost(self.skewness * jnp.sin(value - self.base_dist.mean), 1)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        """Draw from the base distribution, and reflect about the mean with a probability of ``(1 - skew) / 2``."""
        key_base, key_side = jax.random.split(key)
        value = self.base_dist.expand(self.batch_shape).sample(key_base, sample_shape)
        u = jax.random.uniform(key_side, tuple(sample_shape) + self.batch_shape, minval=-1.0)
        stays = (u <= self._skew(value))[..., None]
        return jnp.where(stays, value, _wrapped(2 * self.base_dist.mean - value))

    def log_prob(self, value: Any) -> Any:
        return self.base_dist.log_prob(value) + jnp.log1p(self._skew(value))

    @property
    def mean(self) -> Any:
        """Mean of the base distribution."""
        return self.base_dist.mean


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

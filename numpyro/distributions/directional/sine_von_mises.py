# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The sine model of two angles that depend on each other."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any, NamedTuple

import jax
from jax import lax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
import numpy as np

from numpyro.distributions import constraints
from numpyro.distributions.directional.angles import LOG_2PI, log_i0e, one_minus_ratio, wrapped
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import assert_one_of, lazy_property, von_mises_centered


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
    first = log_i0e(value) + value
    rest = jnp.cumsum(jnp.log(ratios[::-1][:orders]), 0)
    return jnp.concatenate([first[None], first + rest])


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
        return -2 * self.phi_concentration * half_sine * half_sine + rise + log_i0e(resultant)

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
        return jnp.stack(jnp.broadcast_arrays(wrapped(self.phi_loc + phi), wrapped(psi)), -1)

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
        return 2 * self.correlation**2 * (1 - one_minus_ratio(kappa)) / kappa

    @property
    def mean(self) -> Any:
        """Mean directions of both angles."""
        loc = jnp.broadcast_arrays(wrapped(self.phi_loc), wrapped(self.psi_loc))
        return jnp.stack(loc, -1)

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions of paths in discrete time; the first event dimension is time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import broadcast_shapes, insert_batch_dims, shape_of
from numpyro.distributions import constraints
from numpyro.distributions.continuous.multivariate import MultivariateNormal
from numpyro.distributions.continuous.real_line import HALF_LOG_2PI, Normal
from numpyro.distributions.continuous.structured import vector_of
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import lazy_property, sum_rightmost

__all__ = ["EulerMaruyama", "GaussianRandomWalk", "GaussianStateSpace"]


def _check_num_steps(name: str, num_steps: Any) -> int:
    if not isinstance(num_steps, int | np.integer) or num_steps < 1:
        raise ValueError(f"{name}: num_steps must be a positive integer, but is {num_steps!r}.")
    return int(num_steps)


class GaussianRandomWalk(Distribution):
    r"""Random walk from zero with independent normal steps: :math:`x_t = x_{t-1} + \sigma \epsilon_t`.

    .. math:: p(x) = \prod_{t=1}^{T} \mathcal{N}(x_t \mid x_{t-1}, \sigma^2), \quad x_0 = 0

    :param scale: standard deviation :math:`\sigma > 0` of a step.
    :param num_steps: number of steps; the event shape is ``(num_steps,)``.

    **Source:** Durbin, Koopman (2012), *Time Series Analysis by State Space Methods*, chapter 2.

    >>> import numpyro.distributions as dist
    >>> print(dist.GaussianRandomWalk(2.0, 3).variance)
    [ 4.  8. 12.]
    """

    arg_constraints = {"scale": constraints.positive}
    support = constraints.real_vector
    reparametrized_params = ["scale"]
    pytree_aux_fields = ("num_steps",)

    def __init__(self, scale: Any = 1.0, num_steps: int = 1, *, validate_args: bool | None = None) -> None:
        self.num_steps = _check_num_steps("GaussianRandomWalk", num_steps)
        self._declare(scale=scale, event_shape=(self.num_steps,), validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        steps = jax.random.normal(key, self.shape(sample_shape))
        return jnp.asarray(self.scale)[..., None] * jnp.cumsum(steps, -1)

    def log_prob(self, value: Any) -> Any:
        z = value / jnp.asarray(self.scale)[..., None]
        steps = z - jnp.where(np.arange(self.num_steps) > 0, jnp.roll(z, 1, -1), 0.0)
        return -0.5 * sum_rightmost(steps * steps, 1) - self.num_steps * (jnp.log(self.scale) + HALF_LOG_2PI)

    @property
    def mean(self) -> Any:
        return 0.0

    @property
    def variance(self) -> Any:
        return jnp.asarray(self.scale)[..., None] ** 2 * np.arange(1, self.num_steps + 1)

    @property
    def mode(self) -> Any:
        return 0.0

    def entropy(self) -> Any:
        return self.num_steps * (0.5 + HALF_LOG_2PI + jnp.log(self.scale))


class GaussianStateSpace(Distribution):
    r"""Linear Gaussian state space model: :math:`z_t = A z_{t-1} + \epsilon_t`, with :math:`\epsilon_t` normal with
    mean 0 and covariance :math:`\Sigma`.

    .. math:: p(z) = \prod_{t=1}^{T} \mathcal{N}(z_t \mid A z_{t-1}, \Sigma)

    :param num_steps: number of steps; the event shape is ``(num_steps, n)``, for :math:`z_1, \dots`.
    :param transition_matrix: :math:`A`, of shape ``B + (n, n)``.
    :param covariance_matrix: :math:`\Sigma`, of shape ``B + (n, n)``, positive definite.
    :param precision_matrix: :math:`\Sigma^{-1}`.
    :param scale_tril: Cholesky factor of :math:`\Sigma`.
    :param initial_value: :math:`z_0`, of shape ``B + (n,)``; zero by default.
    :raises ValueError: unless exactly one of the three matrices is given.

    **Source:** Durbin, Koopman (2012), *Time Series Analysis by State Space Methods*, chapter 3.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> d = dist.GaussianStateSpace(3, 0.5 * jnp.eye(2), scale_tril=jnp.eye(2), initial_value=jnp.ones(2))
    >>> print(d.mean)
    [[0.5   0.5  ]
     [0.25  0.25 ]
     [0.125 0.125]]
    """

    arg_constraints = {
        "transition_matrix": constraints.real_matrix,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
        "initial_value": constraints.real_vector,
    }
    support = constraints.real_matrix
    reparametrized_params = [
        "transition_matrix",
        "covariance_matrix",
        "precision_matrix",
        "scale_tril",
        "initial_value",
    ]
    pytree_aux_fields = ("num_steps",)

    def __init__(
        self,
        num_steps: int,
        transition_matrix: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        *,
        initial_value: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self.num_steps = _check_num_steps("GaussianStateSpace", num_steps)
        matrices = {
            "covariance_matrix": covariance_matrix,
            "precision_matrix": precision_matrix,
            "scale_tril": scale_tril,
        }
        given = {name: matrix for name, matrix in matrices.items() if matrix is not None}
        if len(given) != 1:
            raise ValueError(
                "GaussianStateSpace: give exactly one of covariance_matrix, precision_matrix and scale_tril; given: "
                f"{', '.join(given) or 'none'}."
            )
        [matrix] = given.values()
        size = np.shape(matrix)[-1:]
        if np.shape(transition_matrix)[-2:] != size * 2 or np.shape(matrix)[-2:] != size * 2:
            raise ValueError(
                f"GaussianStateSpace: transition matrix and covariance must both have shape (..., n, n), but they have "
                f"shapes {np.shape(transition_matrix)} and {np.shape(matrix)}."
            )
        if initial_value is not None:
            given["initial_value"] = vector_of(initial_value)
        self._declare(
            transition_matrix=transition_matrix,
            **given,
            event_shape=(self.num_steps, *size),
            validate_args=validate_args,
        )

    @property
    def initial_value(self) -> Any:
        """State before the first step."""
        return self.__dict__.get("initial_value", 0.0)

    @initial_value.setter
    def initial_value(self, value: Any) -> None:
        self.__dict__["initial_value"] = value

    @lazy_property
    def _noise(self) -> MultivariateNormal:
        names = ("covariance_matrix", "precision_matrix", "scale_tril")
        return MultivariateNormal(0.0, **{name: self.__dict__[name] for name in names if name in self.__dict__})

    @property
    def scale_tril(self) -> Any:
        """Cholesky factor of the covariance of the noise."""
        return self._noise.scale_tril

    @scale_tril.setter
    def scale_tril(self, value: Any) -> None:
        self.__dict__["scale_tril"] = value

    @property
    def covariance_matrix(self) -> Any:
        """Covariance of the noise."""
        return self._noise.covariance_matrix

    @covariance_matrix.setter
    def covariance_matrix(self, value: Any) -> None:
        self.__dict__["covariance_matrix"] = value

    @property
    def precision_matrix(self) -> Any:
        """Inverse of the covariance of the noise."""
        return self._noise.precision_matrix

    @precision_matrix.setter
    def precision_matrix(self, value: Any) -> None:
        self.__dict__["precision_matrix"] = value

    def _forward(self, state: Any) -> Any:
        return jnp.einsum("...ij,...j->...i", jnp.asarray(self.transition_matrix), state)

    def _start(self, shape: Sequence[int]) -> Any:
        return jnp.broadcast_to(jnp.asarray(self.initial_value, jnp.result_type(float)), (*shape, self.event_shape[1]))

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        noise = jax.random.normal(key, self.shape(sample_shape))
        steps = jnp.moveaxis(jnp.einsum("...ij,...tj->...ti", self.scale_tril, noise), -2, 0)

        def step(state: Any, innovation: Any) -> tuple[Any, Any]:
            state = self._forward(state) + innovation
            return state, state

        return jnp.moveaxis(lax.scan(step, self._start(steps.shape[1:-1]), steps)[1], 0, -2)

    def log_prob(self, value: Any) -> Any:
        value = jnp.asarray(value)
        shape = broadcast_shapes(value.shape[:-2], self.batch_shape)
        value = jnp.broadcast_to(value, shape + self.event_shape)
        before = jnp.concatenate([self._start(shape)[..., None, :], value[..., :-1, :]], -2)
        innovations = value - jnp.einsum("...ij,...tj->...ti", jnp.asarray(self.transition_matrix), before)
        # time is one more batch dimension, the last, in which the noise does not differ
        matrices: dict[str, Any] = {
            name: jnp.expand_dims(self.__dict__[name], -3)
            for name in ("covariance_matrix", "precision_matrix", "scale_tril")
            if name in self.__dict__
        }
        return MultivariateNormal(0.0, **matrices).log_prob(innovations).sum(-1)

    @property
    def mean(self) -> Any:
        state, states = self._start(self.batch_shape), []
        for _ in range(self.num_steps):
            state = self._forward(state)
            states.append(state)
        return jnp.stack(states, -2)

    @property
    def variance(self) -> Any:
        A, noise = jnp.asarray(self.transition_matrix), jnp.asarray(self.covariance_matrix)
        covariance, variances = jnp.zeros(()), []
        for _ in range(self.num_steps):
            carried = A @ covariance @ jnp.matrix_transpose(A) if covariance.ndim else 0.0
            covariance = carried + noise
            diagonal = jnp.diagonal(covariance, axis1=-2, axis2=-1)
            variances.append(jnp.broadcast_to(diagonal, self.batch_shape + diagonal.shape[-1:]))
        return jnp.stack(variances, -2)

    def entropy(self) -> Any:
        # Innovations and states are functions of each other with a Jacobian of 1.
        return self.num_steps * self._noise.entropy()


class EulerMaruyama(Distribution):
    r"""Path of a stochastic differential equation :math:`dx = f(x, t)\,dt + g(x, t)\,dW` by the Euler-Maruyama scheme.

    .. math:: x_{k+1} = x_k + f(x_k, t_k)\,\Delta_k + g(x_k, t_k) \sqrt{\Delta_k}\,\epsilon_k

    :param t: times :math:`t_0 < t_1 < \dots`, of shape ``B + (m,)``.
    :param sde_fn: ``sde_fn(x, t)`` returns drift and diffusion at one time, of shapes that broadcast with the event
        shape of ``init_dist`` (it is called with batches by way of ``vmap``).
    :param init_dist: distribution of :math:`x_0`, of batch shape ``B``; the event shape is ``(m,)`` and that of
        ``init_dist``.

    **Source:** Kloeden, Platen (1992), *Numerical Solution of Stochastic Differential Equations*, section 10.2.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> d = dist.EulerMaruyama(jnp.arange(4.0), lambda x, t: (-0.5 * x, 1.0), dist.Normal(0.0, 1.0))
    >>> d.event_shape
    (4,)
    """

    arg_constraints = {"t": constraints.ordered_vector}
    pytree_data_fields = ("init_dist",)
    pytree_aux_fields = ("sde_fn",)

    def __init__(
        self,
        t: Any,
        sde_fn: Callable[[Any, Any], tuple[Any, Any]],
        init_dist: Distribution,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.t = np.asarray(t) if isinstance(t, list | tuple) else t
        self.sde_fn = sde_fn
        self.init_dist = init_dist
        shape = shape_of(self.t)
        if not shape:
            raise ValueError("EulerMaruyama: t must have a last dimension, over times, but is a scalar.")
        try:
            batch_shape = broadcast_shapes(shape[:-1], init_dist.batch_shape)
        except ValueError:
            raise ValueError(
                f"EulerMaruyama: t of shape {shape} has batch shape {shape[:-1]}, which does not broadcast with "
                f"{init_dist.batch_shape} of init_dist."
            ) from None
        super().__init__(batch_shape, shape[-1:] + init_dist.event_shape, validate_args=validate_args)

    @property
    def support(self) -> Any:
        return constraints.independent(constraints.real, self.event_dim)

    @property
    def has_rsample(self) -> bool:
        return self.init_dist.has_rsample

    def _coefficients(self, x: Any, t: Any, event_dim: int) -> tuple[Any, Any]:
        """Drift and diffusion for states of shape ``A + event`` and times of a shape that broadcasts to ``A``."""
        rank, event = x.ndim - event_dim, x.shape[x.ndim - event_dim :]

        def at(x: Any, t: Any) -> tuple[Any, Any]:
            drift, diffusion = self.sde_fn(x, t)
            return jnp.broadcast_to(drift, event), jnp.broadcast_to(diffusion, event)

        # The times are not repeated over the batch, so that what depends on them alone is computed once.
        sizes = (1,) * (rank - t.ndim) + t.shape
        for size in reversed(sizes):
            at = jax.vmap(at, in_axes=(0, None if size == 1 else 0))
        return at(x, jnp.reshape(t, [size for size in sizes if size != 1]))

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        key_start, key_noise = jax.random.split(key)
        event_dim = self.init_dist.event_dim
        batch = tuple(sample_shape) + self.batch_shape
        start = self.init_dist.expand(self.batch_shape).sample(key_start, sample_shape)
        times = jnp.moveaxis(jnp.asarray(self.t, start.dtype), -1, 0)
        noise = jax.random.normal(key_noise, (times.shape[0] - 1, *start.shape), start.dtype)

        def step(x: Any, inputs: Any) -> tuple[Any, Any]:
            t, after, epsilon = inputs
            drift, diffusion = self._coefficients(x, t, event_dim)
            dt = jnp.reshape(jnp.broadcast_to(after - t, batch), batch + (1,) * event_dim)
            x = x + drift * dt + diffusion * jnp.sqrt(dt) * epsilon
            return x, x

        _, path = lax.scan(step, start, (times[:-1], times[1:], noise))
        path = jnp.concatenate([start[None], path])
        return jnp.moveaxis(path, 0, len(batch))

    def log_prob(self, value: Any) -> Any:
        value = jnp.asarray(value)
        event_dim = self.init_dist.event_dim
        batch = broadcast_shapes(value.shape[: value.ndim - self.event_dim], self.batch_shape)
        path = jnp.moveaxis(jnp.broadcast_to(value, batch + self.event_shape), len(batch), 0)
        times = jnp.moveaxis(insert_batch_dims(jnp.asarray(self.t, value.dtype), len(batch), 1), -1, 0)
        drift, diffusion = self._coefficients(path[:-1], times[:-1], event_dim)
        dt = jnp.diff(times, axis=0)
        dt = dt.reshape(dt.shape + (1,) * event_dim)
        steps = Normal(path[:-1] + drift * dt, diffusion * jnp.sqrt(dt)).log_prob(path[1:])
        # XLA for CPUs sums along an axis of some ten elements one by one; a product with ones is ten times as fast.
        ones = jnp.ones(steps.shape[:1], steps.dtype)
        total = jnp.tensordot(ones, sum_rightmost(steps, event_dim), 1, precision=lax.Precision.HIGHEST)
        return self.init_dist.log_prob(path[0]) + total

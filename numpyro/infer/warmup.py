# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Warm-up: the windows in which step size and mass matrix adapt.

**Reference:** Stan Reference Manual, "Automatic parameter tuning": an initial and a final window in which the step size
alone adapts, and between them windows of doubling length, at the end of each of which the mass matrix is estimated
anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from numpyro.infer.mass_matrix import WelfordState, estimated_covariance, welford_covariance
from numpyro.infer.metric import FlatSpace, MassMatrix, factorize, flat_space, identity_mass
from numpyro.infer.step_size import DualAveragingState, dual_averaging

__all__ = [
    "AdaptWindow",
    "Adaptation",
    "BaseAdaptation",
    "HMCAdaptState",
    "build_adaptation_schedule",
    "warmup_adapter",
]

_INITIAL, _FINAL, _FIRST_WINDOW = 75, 50, 25


class AdaptWindow(NamedTuple):
    """Iterations ``start`` to ``end``, both of them included."""

    start: int
    end: int


class HMCAdaptState(NamedTuple):
    """What adapts during warm-up, and the state of its estimators.

    :param step_size: size of a leapfrog step.
    :param inverse_mass_matrix: ``M^-1``: a vector, a matrix, or a dict from tuples of site names to either.
    :param mass_matrix_sqrt: lower triangular ``S`` with ``M = S S^T``.
    :param mass_matrix_sqrt_inv: ``S^-1``.
    :param ss_state: state of dual averaging.
    :param mm_state: state of the covariance estimator, for each block.
    :param window_idx: number of the present window.
    :param rng_key: random key.
    """

    step_size: Any
    inverse_mass_matrix: Any
    mass_matrix_sqrt: Any
    mass_matrix_sqrt_inv: Any
    ss_state: Any
    mm_state: Any
    window_idx: Any
    rng_key: Any


def build_adaptation_schedule(num_steps: int) -> list[AdaptWindow]:
    """The windows of a warm-up of ``num_steps`` iterations.

    75 iterations, windows of 25, 50, 100, ..., and 50 iterations at the end. Below 150 iterations there is one middle
    window, between 15 % and 10 % of the iterations; below 20 there is nothing but one window.

    :param num_steps: number of iterations, at least 0.

    >>> [tuple(window) for window in build_adaptation_schedule(300)]
    [(0, 74), (75, 99), (100, 149), (150, 249), (250, 299)]
    """
    if num_steps < 20:
        return [AdaptWindow(0, num_steps - 1)]
    initial, final, window = _INITIAL, _FINAL, _FIRST_WINDOW
    if initial + window + final > num_steps:
        initial, final = int(0.15 * num_steps), int(0.1 * num_steps)
        window = num_steps - initial - final
    last = num_steps - final
    schedule = [AdaptWindow(0, initial - 1)]
    start = initial
    while start < last:
        length = window if start + 3 * window <= last else last - start
        schedule.append(AdaptWindow(start, start + length - 1))
        start += length
        window *= 2
    schedule.append(AdaptWindow(last, num_steps - 1))
    return schedule


@dataclass(frozen=True)
class BaseAdaptation:
    """How step size and mass matrix adapt, as pure functions on flat vectors. What is common to all estimators of the
    mass matrix: the step size.

    :param space: the flat coordinates.
    :param num_steps: length of the warm-up.
    :param target_accept_prob: acceptance probability at which the step size is aimed.
    :param regularize_mass_matrix: whether to shrink estimated covariances.
    :param boldness: dual averaging shrinks towards so many times the present step size.
    :param gamma: strength of that shrinkage; see :func:`~numpyro.infer.step_size.dual_averaging`.
    :param mass_is_given: whether the user gave an initial mass matrix.
    """

    space: FlatSpace
    num_steps: int
    adapt_step_size: bool = True
    adapt_mass_matrix: bool = True
    target_accept_prob: float = 0.8
    regularize_mass_matrix: bool = True
    boldness: float = 10.0
    gamma: float = 0.05
    mass_is_given: bool = False

    def init(self, step_size: float, inverse_mass_matrix: Any, rng_key: Any) -> HMCAdaptState:
        """The state before the first iteration, in arrays of NumPy."""
        dtype = self.space.dtype
        mass = self.initial_mass(inverse_mass_matrix)
        zero, count = np.zeros((), dtype), np.zeros((), np.int32)
        averaging = DualAveragingState(zero, zero, zero, count, np.asarray(np.log(self.boldness * step_size), dtype))
        estimator = self.initial_estimator()
        return HMCAdaptState(np.asarray(step_size, dtype), *mass, averaging, estimator, count, rng_key)

    def initial_mass(self, inverse_mass_matrix: Any) -> MassMatrix:
        """The mass matrix before the first iteration."""
        return identity_mass(self.space, inverse_mass_matrix)

    def initial_estimator(self) -> Any:
        """The state of the estimator that has seen nothing."""
        raise NotImplementedError

    def begin(self, gradient: jax.Array, state: HMCAdaptState) -> HMCAdaptState:
        """Take the gradient at the start of the chain in."""
        return state

    def update(
        self, t: Any, accept_prob: Any, position: jax.Array, state: HMCAdaptState, gradient: Any = None
    ) -> HMCAdaptState:
        """Take iteration ``t`` of the warm-up in: the step size, and the moments of the position.

        :param t: number of the iteration, counted from 0.
        :param accept_prob: its acceptance probability.
        :param position: the draw, as a flat vector.
        :param gradient: gradient of the potential energy there.
        """
        raise NotImplementedError

    @property
    def renews(self) -> bool:
        """Whether there are iterations after which :meth:`renew` is called."""
        return True

    def ends_window(self, state: HMCAdaptState, updated: HMCAdaptState) -> jax.Array:
        """Whether the update completed a window at whose end the mass matrix is renewed."""
        raise NotImplementedError

    def renew(self, state: HMCAdaptState) -> HMCAdaptState:
        """Put the estimated mass matrix to use."""
        raise NotImplementedError

    def update_step_size(self, t: Any, accept_prob: Any, state: HMCAdaptState) -> HMCAdaptState:
        """Take an acceptance probability in; the last iteration settles on the average of the step sizes."""
        if not self.adapt_step_size:
            return state
        ss_state = dual_averaging(gamma=self.gamma)[1](self.target_accept_prob - accept_prob, state.ss_state)
        log_step_size = jnp.where(t == self.num_steps - 1, ss_state.x_avg, ss_state.x_t)
        limits = jnp.finfo(state.step_size.dtype)
        step_size = jnp.clip(jnp.exp(log_step_size), limits.tiny, limits.max)
        return state._replace(step_size=step_size, ss_state=ss_state)

    def restart_step_size(self, state: HMCAdaptState) -> HMCAdaptState:
        """Begin dual averaging again from the present step size."""
        return state._replace(ss_state=dual_averaging()[0](jnp.log(self.boldness * state.step_size)))


class Adaptation(BaseAdaptation):
    """The covariance of the draws of a window becomes the inverse mass matrix at its end."""

    @property
    def schedule(self) -> np.ndarray:
        """Last iteration of each window."""
        return np.array([window.end for window in build_adaptation_schedule(self.num_steps)], dtype=np.int32)

    def initial_estimator(self) -> Any:
        dtype, count = self.space.dtype, np.zeros((), np.int32)
        estimators = []
        for block in self.space.blocks:
            shape = (block.size, block.size) if block.dense else (block.size,)
            estimators.append(WelfordState(np.zeros(block.size, dtype), np.zeros(shape, dtype), count))
        return self.space.joined(estimators)

    def update(
        self, t: Any, accept_prob: Any, position: jax.Array, state: HMCAdaptState, gradient: Any = None
    ) -> HMCAdaptState:
        state = self.update_step_size(t, accept_prob, state)
        if self.adapt_mass_matrix:
            middle = (state.window_idx > 0) & (state.window_idx < len(self.schedule) - 1)
            estimators = []
            for block, before in zip(self.space.blocks, self.space.parts(state.mm_state), strict=True):
                part = lax.slice_in_dim(position, block.start, block.stop)
                after = welford_covariance(not block.dense)[1](part, before)
                estimators.append(jax.tree.map(lambda a, b: jnp.where(middle, a, b), after, before))
            state = state._replace(mm_state=self.space.joined(estimators))
        at_end = t == jnp.asarray(self.schedule)[state.window_idx]
        return state._replace(window_idx=state.window_idx + at_end)

    def ends_window(self, state: HMCAdaptState, updated: HMCAdaptState) -> jax.Array:
        middle = (state.window_idx > 0) & (state.window_idx < len(self.schedule) - 1)
        return middle & (updated.window_idx > state.window_idx)

    def renew(self, state: HMCAdaptState) -> HMCAdaptState:
        """Put the estimated mass matrix to use and start both estimators again."""
        if self.adapt_mass_matrix:
            parts, estimators = [], []
            old = MassMatrix(state.inverse_mass_matrix, state.mass_matrix_sqrt, state.mass_matrix_sqrt_inv)
            present = zip(*(self.space.parts(part) for part in old), strict=True)
            estimated = zip(self.space.blocks, self.space.parts(state.mm_state), present, strict=True)
            for block, estimator, current in estimated:
                covariance = estimated_covariance(estimator, self.regularize_mass_matrix)
                if block.dense:
                    new = factorize(covariance)
                    usable = jnp.all(jnp.isfinite(new[1])) & jnp.all(jnp.isfinite(new[2]))
                    parts.append([jnp.where(usable, a, b) for a, b in zip(new, current, strict=True)])
                else:
                    usable = (covariance > 0) & (covariance < jnp.inf)
                    parts.append([*factorize(jnp.where(usable, covariance, current[0]))])
                estimators.append(jax.tree.map(jnp.zeros_like, estimator))
            mass = MassMatrix(*(self.space.joined(part) for part in zip(*parts, strict=True)))
            state = state._replace(
                inverse_mass_matrix=mass.inverse,
                mass_matrix_sqrt=mass.sqrt,
                mass_matrix_sqrt_inv=mass.sqrt_inv,
                mm_state=self.space.joined(estimators),
            )
        if self.adapt_step_size:
            state = self.restart_step_size(state)
        return state


def warmup_adapter(
    num_adapt_steps: int,
    find_reasonable_step_size: Callable[..., Any] | None = None,
    adapt_step_size: bool = True,
    adapt_mass_matrix: bool = True,
    dense_mass: bool | Sequence[Sequence[str]] = False,
    target_accept_prob: float = 0.8,
    regularize_mass_matrix: bool = True,
) -> tuple[Callable[..., HMCAdaptState], Callable[..., HMCAdaptState]]:
    """Adaptation of step size and mass matrix, on pytrees.

    :param num_adapt_steps: length of the warm-up.
    :param find_reasonable_step_size: ``f(step_size, inverse_mass_matrix, z_info, rng_key)``, called at the start and at
        the end of each window.
    :param dense_mass: see :class:`~numpyro.infer.hmc.NUTS`.
    :param target_accept_prob: in ``(0, 1)``.
    :returns: ``init_fn(z_info, rng_key, step_size=1.0, inverse_mass_matrix=None, mass_matrix_size=None)``, where
        ``z_info`` is an
        :class:`~numpyro.infer.integrator.IntegratorState`, and ``update_fn(t, accept_prob, z_info, state)``, where
            ``t`` counts from 0.

    >>> from numpyro.infer.integrator import IntegratorState
    >>> init, update = warmup_adapter(10)
    >>> z_info = IntegratorState(jnp.zeros(3), None)
    >>> state = update(0, 0.9, z_info, init(z_info, jax.random.PRNGKey(0)))
    >>> state.inverse_mass_matrix.shape
    (3,)
    """

    def adaptation(z: Any, inverse_mass_matrix: Any = None) -> Adaptation:
        keyed = isinstance(inverse_mass_matrix, dict)
        space = flat_space(z, dense_mass, inverse_mass_matrix, keyed)
        return Adaptation(
            space, num_adapt_steps, adapt_step_size, adapt_mass_matrix, target_accept_prob, regularize_mass_matrix
        )

    def init_fn(
        z_info: Any,
        rng_key: Any,
        step_size: Any = 1.0,
        inverse_mass_matrix: Any = None,
        mass_matrix_size: int | None = None,
    ) -> HMCAdaptState:
        core = adaptation(z_info.z, inverse_mass_matrix)
        if mass_matrix_size is not None and mass_matrix_size != core.space.size:
            raise ValueError(
                f"`mass_matrix_size` is {mass_matrix_size}, but the position has {core.space.size} entries."
            )
        rng_key, search_key = jax.random.split(rng_key)
        state = jax.tree.map(jnp.asarray, core.init(1.0, inverse_mass_matrix, rng_key))
        state = core.restart_step_size(state._replace(step_size=jnp.asarray(step_size, core.space.dtype)))
        if adapt_step_size and find_reasonable_step_size is not None:
            found = find_reasonable_step_size(state.step_size, state.inverse_mass_matrix, z_info, search_key)
            state = core.restart_step_size(state._replace(step_size=found))
        return state

    def update_fn(t: Any, accept_prob: Any, z_info: Any, state: HMCAdaptState) -> HMCAdaptState:
        core = adaptation(z_info.z, state.inverse_mass_matrix)
        rng_key, search_key = jax.random.split(state.rng_key)
        updated = core.update(t, accept_prob, core.space.ravel(z_info.z), state._replace(rng_key=rng_key))

        def renew(updated: HMCAdaptState) -> HMCAdaptState:
            renewed = core.renew(updated)
            if adapt_step_size and find_reasonable_step_size is not None:
                found = find_reasonable_step_size(renewed.step_size, renewed.inverse_mass_matrix, z_info, search_key)
                renewed = core.restart_step_size(renewed._replace(step_size=found))
            return renewed

        return lax.cond(core.ends_window(state, updated), renew, lambda updated: updated, updated)

    return init_fn, update_fn

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Mass matrices from draws and scores, by minimising the Fisher divergence.

The *score* is the gradient of the log density. After the linear map ``y = F^-1 z`` the posterior differs from the
standard normal, whose score is ``-y``, by the Fisher divergence ``E |F^T score(z) + F^-1 (z - mean)|^2``. It is least

- over diagonal maps where ``M^-1 = F F^T`` has the entries ``sqrt(Var[z_i] / Var[score_i])``;
- over all maps where ``M^-1`` is the geometric mean of ``Cov[z]`` and ``Cov[score]^-1``: the positive definite
  ``Sigma`` with ``Sigma Cov[score] Sigma = Cov[z]``.

For a normal posterior the score is a linear function of the draw, so both formulas are free of sampling noise: the
first gives independent scales from two draws, the second the whole covariance from hardly more draws than there are
dimensions, where variances of draws alone would still be rough.

Draws that are far from stationary must be forgotten, and the estimate must never be empty. So two estimators run
at once: the *foreground*, in use, and the *background*, which starts later. When the background has seen a third of all
draws it becomes the foreground, and a new one starts. At the end of the warm-up the step size adapts alone. Dual
averaging never starts anew: the mass matrix changes little by little, and a restart would cost iterations with poor
steps.

**Reference:** Seyboldt, Carlson and Carpenter (2026), *Preconditioning Hamiltonian Monte Carlo by minimizing Fisher
divergence*, arXiv 2603.18845.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from numpyro.infer.mass_matrix import WelfordState, welford_covariance
from numpyro.infer.metric import LowRank, MassMatrix
from numpyro.infer.warmup import AdaptWindow, BaseAdaptation, HMCAdaptState

__all__ = [
    "DrawsAndScores",
    "FisherAdaptation",
    "LowRankFisherAdaptation",
    "build_fisher_schedule",
    "fisher_diagonal",
    "fisher_low_rank",
]

_FIRST_WINDOW, _SHARE, _FINAL = 10, 3, 0.15
_MIN_DRAWS = 3

_MAX_RANK, _MAX_DRAWS = 64, 128
"""Bounds of the low-rank estimate: directions that it corrects, and draws that it is made of."""


def build_fisher_schedule(num_steps: int) -> list[AdaptWindow]:
    """The windows at whose ends the background estimator becomes the foreground.

    A window has 10 iterations, or a third of all iterations so far if that is more. The last 15 % of the iterations are
    a window of their own, in which the step size adapts alone. Below 10 iterations there is nothing else.

    :param num_steps: length of the warm-up.

    >>> [tuple(window) for window in build_fisher_schedule(100)]
    [(0, 9), (10, 19), (20, 29), (30, 44), (45, 67), (68, 84), (85, 99)]
    """
    if num_steps < _FIRST_WINDOW:
        return [AdaptWindow(0, num_steps - 1)]
    last = num_steps - int(_FINAL * num_steps)
    schedule = []
    start = 0
    while start < last:
        length = max(_FIRST_WINDOW, -(-start // (_SHARE - 1)))
        # A remainder of less than half a window is added to the last one.
        stop = start + length if start + 1.5 * length <= last else last
        schedule.append(AdaptWindow(start, stop - 1))
        start = stop
    return [*schedule, AdaptWindow(last, num_steps - 1)]


def fisher_diagonal(draw_variance: jax.Array, score_variance: jax.Array) -> jax.Array:
    """The diagonal of ``M^-1`` that minimises the Fisher divergence, ``sqrt(Var[z] / Var[score])``.

    Only the ratio matters, so sums of squares will do as well.

    >>> fisher_diagonal(jnp.array([4.0, 9.0]), jnp.array([0.25, 1.0])).tolist()
    [4.0, 3.0]
    """
    # The root of each for itself: the ratio could overflow.
    return jnp.sqrt(draw_variance) / jnp.sqrt(score_variance)


def fisher_low_rank(
    draws: jax.Array,
    scores: jax.Array,
    weights: jax.Array,
    rank: int,
    cutoff: float = 2.0,
    prior_draws: float = 3.0,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The diagonal and the directions of ``M^-1 = D^1/2 (I + V diag(values - 1) V^T) D^1/2``.

    ``D`` is :func:`fisher_diagonal`. In coordinates scaled by it, and in the space that draws and scores span, the rest
    is the geometric mean ``Sigma`` of ``A = Cov[z] + c I`` and of the inverse of ``B = Cov[score] + c I``: with the
    Cholesky factor ``B = L L^T`` it is ``Sigma = L^-T (L^T A L)^1/2 L^-1``. The small ``c`` leaves the directions that
    the draws say nothing about as they are. ``values`` are those eigenvalues of ``Sigma`` that matter.

    :param draws: one draw in each row.
    :param scores: the scores there.
    :param weights: for each draw 1, or 0 to leave it out.
    :param rank: how many directions, at most as many as dimensions.
    :param cutoff: eigenvalues between ``1 / cutoff`` and ``cutoff`` are set to 1.
    :param prior_draws: ``c`` is this number divided by that of the draws.
    :returns: the diagonal of ``D``, ``V`` with ``rank`` columns, and ``values``.

    >>> draws = jax.random.normal(jax.random.PRNGKey(0), (40, 2)) @ jnp.array([[1.0, 3.0], [0.0, 0.5]])
    >>> scores = -jnp.linalg.solve(jnp.array([[1.0, 3.0], [3.0, 9.25]]), draws.T).T
    >>> diagonal, vectors, values = fisher_low_rank(draws, scores, jnp.ones(40), rank=2, prior_draws=0.01)
    >>> root = jnp.sqrt(diagonal)
    >>> print(LowRank(root, vectors, values, root).to_dense().round(1))
    [[1.  3. ]
     [3.  9.2]]
    """
    count = jnp.maximum(jnp.sum(weights), 1)
    share = (weights / count)[:, None]
    draws, scores = ((x - jnp.sum(share * x, 0)) * jnp.sqrt(share) for x in (draws, scores))
    diagonal = fisher_diagonal(jnp.sum(draws**2, 0), jnp.sum(scores**2, 0))
    root = jnp.sqrt(diagonal)
    draws, scores = draws / root, scores * root

    basis = None
    if draws.shape[1] > 2 * len(draws):
        basis = jnp.linalg.qr(jnp.concatenate([draws, scores]).T)[0]
        draws, scores = draws @ basis, scores @ basis
    prior = prior_draws / count * jnp.eye(draws.shape[1], dtype=draws.dtype)
    a, b = draws.T @ draws + prior, scores.T @ scores + prior
    lower = jnp.linalg.cholesky(b)
    squares, vectors = jnp.linalg.eigh(lower.T @ a @ lower)
    # Sigma = half half^T
    half = vectors * jnp.maximum(squares, 0) ** 0.25
    half = lax.linalg.triangular_solve(lower, half, left_side=True, lower=True, transpose_a=True)
    values, vectors = jnp.linalg.eigh(half @ half.T)
    values = jnp.maximum(values, jnp.finfo(values.dtype).eps)
    _, strongest = lax.top_k(jnp.abs(jnp.log(values)), min(rank, len(values)))
    values, vectors = values[strongest], vectors[:, strongest]
    values = jnp.where((values > cutoff) | (values < 1 / cutoff), values, 1)
    return diagonal, vectors if basis is None else basis @ vectors, values


class FisherAdaptation(BaseAdaptation):
    """The diagonal that minimises the Fisher divergence, renewed at each iteration.

    Before there are draws, ``M^-1 = 1 / |score|`` at the start of the chain, unless the user gave a matrix. The state
    of the estimator is a :class:`~numpyro.infer.mass_matrix.WelfordState` whose arrays have two leading axes:
    foreground and background; draws and scores.
    """

    @property
    def schedule(self) -> list[AdaptWindow]:
        return build_fisher_schedule(self.num_steps)

    @property
    def renews(self) -> bool:
        return False

    @property
    def diagonal_until(self) -> int:
        """The iteration from which on the diagonal does not follow each draw."""
        return self.schedule[-1].start

    def initial_estimator(self) -> Any:
        zeros = np.zeros((2, 2, self.space.size), self.space.dtype)
        return WelfordState(zeros, zeros, np.zeros(2, np.int32))

    def begin(self, gradient: jax.Array, state: HMCAdaptState) -> HMCAdaptState:
        if not self.adapt_mass_matrix or self.mass_is_given:
            return state
        return self.with_diagonal(1 / jnp.clip(jnp.abs(gradient), 1e-5, 1e5), state)

    def update(
        self, t: Any, accept_prob: Any, position: jax.Array, state: HMCAdaptState, gradient: Any = None
    ) -> HMCAdaptState:
        state = self.update_step_size(t, accept_prob, state)
        ends = jnp.asarray([window.end for window in self.schedule[:-1]] + [self.num_steps])
        at_end = t == ends[state.window_idx]
        if self.adapt_mass_matrix:
            estimator, diagonal = self._update_moments(position, gradient, at_end, self.moments(state))
            usable = (diagonal > 1e-10) & (diagonal < 1e10) & (estimator.n[0] >= _MIN_DRAWS) & (t < self.diagonal_until)
            state = self.with_diagonal(jnp.where(usable, diagonal, self.diagonal(state)), state)
            state = self.with_moments(estimator, state)
        return state._replace(window_idx=state.window_idx + at_end)

    def _update_moments(
        self, position: jax.Array, gradient: Any, at_end: Any, before: WelfordState
    ) -> tuple[WelfordState, jax.Array]:
        """The moments with one more draw, and the diagonal from the foreground."""
        pair = jnp.stack([position, gradient])
        after = jax.vmap(welford_covariance()[1], in_axes=(None, 0))(pair, before)
        diagonal = fisher_diagonal(after.m2[0, 0], after.m2[0, 1])
        swapped = jax.tree.map(lambda x: jnp.stack([x[1], jnp.zeros_like(x[1])]), after)
        return jax.tree.map(lambda a, b: jnp.where(at_end, a, b), swapped, after), diagonal

    # The representation of the mass matrix and of the estimator

    def moments(self, state: HMCAdaptState) -> WelfordState:
        return state.mm_state

    def with_moments(self, moments: WelfordState, state: HMCAdaptState) -> HMCAdaptState:
        return state._replace(mm_state=moments)

    def diagonal(self, state: HMCAdaptState) -> jax.Array:
        """The diagonal of ``M^-1`` as a flat vector."""
        parts = self.space.parts(state.inverse_mass_matrix)
        return parts[0] if len(parts) == 1 else jnp.concatenate(parts)

    def with_diagonal(self, diagonal: jax.Array, state: HMCAdaptState) -> HMCAdaptState:
        """The state with another diagonal."""
        root = jnp.sqrt(diagonal)
        inverse, sqrt, sqrt_inv = (
            self.space.joined([lax.slice_in_dim(x, block.start, block.stop) for block in self.space.blocks])
            for x in (diagonal, 1 / root, root)
        )
        return state._replace(inverse_mass_matrix=inverse, mass_matrix_sqrt=sqrt, mass_matrix_sqrt_inv=sqrt_inv)


class DrawsAndScores(NamedTuple):
    """State of the low-rank estimator.

    :param moments: that of the diagonal one.
    :param draws: a ring buffer with one draw in each row: iteration ``t`` is in row ``t % length``.
    :param scores: the same for the scores.
    """

    moments: WelfordState
    draws: Any
    scores: Any


class LowRankFisherAdaptation(FisherAdaptation):
    """The low-rank change of a diagonal that minimises the Fisher divergence, estimated at the end of each window from
    this window and the one before.

    Up to the end of the first window the diagonal is renewed at each iteration. Mass matrices are kept as
    :class:`~numpyro.infer.metric.LowRank`; the flat space must be one block.
    """

    @property
    def rank(self) -> int:
        """Number of directions that may be corrected."""
        return min(self.space.size, _MAX_RANK)

    @property
    def length(self) -> int:
        """Number of rows of the ring buffers."""
        windows = self.schedule[:-1]
        spans = [end - start + 1 for (start, _), (_, end) in zip(windows[:1] + windows, windows, strict=False)]
        return min(max(spans, default=1), _MAX_DRAWS)

    @property
    def renews(self) -> bool:
        return self.adapt_mass_matrix and len(self.schedule) > 1

    @property
    def diagonal_until(self) -> int:
        return self.schedule[0].end if len(self.schedule) > 1 else 0

    def initial_estimator(self) -> Any:
        rows = np.zeros((self.length, self.space.size), self.space.dtype)
        return DrawsAndScores(super().initial_estimator(), rows, rows)

    def initial_mass(self, inverse_mass_matrix: Any) -> MassMatrix:
        (_,), (sqrt,), (sqrt_inv,) = map(self.space.parts, super().initial_mass(inverse_mass_matrix))
        vectors = np.zeros((self.space.size, self.rank), self.space.dtype)
        return self._mass(sqrt, sqrt_inv, vectors, *[np.ones(self.rank, self.space.dtype)] * 3)

    def _mass(self, sqrt: Any, sqrt_inv: Any, vectors: Any, inverse: Any, half: Any, half_inv: Any) -> MassMatrix:
        """From the roots of the diagonal and, for each matrix, its eigenvalues."""
        parts = (
            LowRank(sqrt_inv, vectors, inverse, sqrt_inv),
            LowRank(sqrt, vectors, half, None),
            LowRank(None, vectors, half_inv, sqrt_inv),
        )
        return MassMatrix(*(self.space.joined([part]) for part in parts))

    def _with_mass(self, diagonal: jax.Array, vectors: jax.Array, values: jax.Array, state: Any) -> HMCAdaptState:
        root = jnp.sqrt(diagonal)
        mass = self._mass(1 / root, root, vectors, values, values**-0.5, values**0.5)
        return state._replace(
            inverse_mass_matrix=mass.inverse, mass_matrix_sqrt=mass.sqrt, mass_matrix_sqrt_inv=mass.sqrt_inv
        )

    def moments(self, state: HMCAdaptState) -> WelfordState:
        return state.mm_state.moments

    def with_moments(self, moments: WelfordState, state: HMCAdaptState) -> HMCAdaptState:
        return state._replace(mm_state=state.mm_state._replace(moments=moments))

    def diagonal(self, state: HMCAdaptState) -> jax.Array:
        return self.space.parts(state.mass_matrix_sqrt_inv)[0].right ** 2

    def with_diagonal(self, diagonal: jax.Array, state: HMCAdaptState) -> HMCAdaptState:
        inverse = self.space.parts(state.inverse_mass_matrix)[0]
        return self._with_mass(diagonal, inverse.vectors, inverse.values, state)

    def update(
        self, t: Any, accept_prob: Any, position: jax.Array, state: HMCAdaptState, gradient: Any = None
    ) -> HMCAdaptState:
        state = super().update(t, accept_prob, position, state, gradient)
        if not self.adapt_mass_matrix:
            return state
        row = t % self.length
        window = state.mm_state
        draws, scores = (
            lax.dynamic_update_index_in_dim(buffer, x, row, 0)
            for buffer, x in ((window.draws, position), (window.scores, -jnp.asarray(gradient)))
        )
        return state._replace(mm_state=window._replace(draws=draws, scores=scores))

    def ends_window(self, state: HMCAdaptState, updated: HMCAdaptState) -> jax.Array:
        return updated.window_idx > state.window_idx

    def renew(self, state: HMCAdaptState) -> HMCAdaptState:
        windows = self.schedule[:-1]
        number = state.window_idx - 1
        end = jnp.asarray([window.end for window in windows])[number]
        start = jnp.asarray([window.start for window in [windows[0], *windows[:-1]]])[number]
        age = (end - jnp.arange(self.length)) % self.length
        window = state.mm_state
        weights = (age <= end - start).astype(self.space.dtype)
        diagonal, vectors, values = fisher_low_rank(window.draws, window.scores, weights, self.rank)
        usable = jnp.all(jnp.isfinite(vectors)) & jnp.all(jnp.isfinite(values))
        usable &= jnp.all((diagonal > 1e-10) & (diagonal < 1e10))
        renewed = self._with_mass(diagonal, vectors, values, state)
        return jax.tree.map(lambda a, b: a if a is b else jnp.where(usable, a, b), renewed, state)

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Transforms of vectors onto constrained vectors."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any, ClassVar

import jax
from jax.nn import softplus
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import Shape, broadcast_shapes, shape_of
from numpyro.distributions import constraints
from numpyro.distributions._pytree import namespace
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.transforms.transform import Transform


class StickBreakingTransform(Transform):
    """Vectors of :math:`K - 1` real numbers onto the simplex of :math:`K` probabilities.

    A stick of length one is broken :math:`K - 1` times, the :math:`k`-th time at the fraction
    :math:`\\operatorname{logit}^{-1}(x_k - \\log(K - k))` of what is left, so that zero is mapped to equal
    probabilities (Stan Reference Manual, "Unit simplex"). All is computed by logarithms; the log-determinant is the
    sum of all :math:`\\log y_k`.

    >>> StickBreakingTransform()(jnp.zeros(1)).tolist()
    [0.5, 0.5]
    """

    domain = constraints.real_vector
    codomain = constraints.simplex

    def __call__(self, x: Any) -> Any:
        return jnp.exp(self._log(x))

    def _log(self, x: Any) -> Any:
        u = x - _log_remaining_breaks(shape_of(x)[-1], x)
        left = jnp.cumsum(-softplus(u), axis=-1)
        before = jnp.concatenate([jnp.zeros_like(u[..., :1]), left], axis=-1)
        return before + jnp.concatenate([-softplus(-u), jnp.zeros_like(u[..., :1])], axis=-1)

    def _inverse(self, y: Any) -> Any:
        # What is left after a break is summed from the right, which loses nothing where it is small.
        left = jnp.flip(jnp.cumsum(jnp.flip(y, -1), axis=-1), -1)[..., 1:]
        return safe_log(y[..., :-1]) - safe_log(left) + _log_remaining_breaks(shape_of(y)[-1] - 1, y)

    def call_with_intermediates(self, x: Any) -> tuple[Any, Any]:
        log_y = self._log(x)
        return jnp.exp(log_y), log_y

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return jnp.sum(self._log(x) if intermediates is None else intermediates, axis=-1)

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        return _resized(self, shape, 1)

    def inverse_shape(self, shape: Sequence[int]) -> Shape:
        return _resized(self, shape, -1)


def _log_remaining_breaks(n: int, like: Any) -> Any:
    return np.log(np.arange(n, 0, -1)).astype(jnp.result_type(like, 1.0))


class OrderedTransform(Transform):
    """Real vectors onto increasing ones: :math:`y_1 = x_1`, :math:`y_k = y_{k-1} + e^{x_k}`.

    Stan Reference Manual, "Ordered vector".

    >>> OrderedTransform()(jnp.zeros(3)).tolist()
    [0.0, 1.0, 2.0]
    """

    domain = constraints.real_vector
    codomain = constraints.ordered_vector

    def __call__(self, x: Any) -> Any:
        return jnp.cumsum(jnp.concatenate([x[..., :1], jnp.exp(x[..., 1:])], axis=-1), axis=-1)

    def _inverse(self, y: Any) -> Any:
        return jnp.concatenate([y[..., :1], safe_log(y[..., 1:] - y[..., :-1])], axis=-1)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return jnp.sum(x[..., 1:], axis=-1)


class PositiveOrderedTransform(Transform):
    """Real vectors onto increasing positive ones: :math:`y_k = \\sum_{j \\le k} e^{x_j}`.

    Stan Reference Manual, "Positive ordered vector".

    >>> PositiveOrderedTransform()(jnp.zeros(3)).tolist()
    [1.0, 2.0, 3.0]
    """

    domain = constraints.real_vector
    codomain = constraints.positive_ordered_vector

    def __call__(self, x: Any) -> Any:
        return jnp.cumsum(jnp.exp(x), axis=-1)

    def _inverse(self, y: Any) -> Any:
        return jnp.concatenate([safe_log(y[..., :1]), safe_log(y[..., 1:] - y[..., :-1])], axis=-1)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return jnp.sum(x, axis=-1)


class SimplexToOrderedTransform(Transform):
    """Probabilities of :math:`K` outcomes onto the :math:`K - 1` cut-points of an ordered logistic model.

    :math:`y_k = anchor + \\operatorname{logit}(x_1 + \\dots + x_k)`.

    :param anchor_point: a number for each vector of the batch, 0 by default.

    Betancourt (2019), "Ordinal regression", section 2.2.

    >>> SimplexToOrderedTransform()(jnp.array([0.5, 0.5])).tolist()
    [0.0]
    """

    domain = constraints.simplex
    codomain = constraints.ordered_vector
    arg_event_dims: ClassVar[dict[str, int]] = {"anchor_point": 0}

    def __init__(self, anchor_point: Any = 0.0) -> None:
        self.anchor_point = anchor_point

    @property
    def _anchor(self) -> Any:
        return self.anchor_point if shape_of(self.anchor_point) == () else self.anchor_point[..., None]

    def __call__(self, x: Any) -> Any:
        below, above = self._log_tails(x)
        return self._anchor + below - above

    def _log_tails(self, x: Any) -> tuple[Any, Any]:
        below = jnp.cumsum(x, axis=-1)[..., :-1]
        above = jnp.flip(jnp.cumsum(jnp.flip(x, -1), axis=-1), -1)[..., 1:]
        return safe_log(below), safe_log(above)

    def _inverse(self, y: Any) -> Any:
        y = y - self._anchor
        first, last = jax.nn.sigmoid(y[..., :1]), jax.nn.sigmoid(-y[..., -1:])
        # σ(b) - σ(a) = σ(b) σ(-a) (1 - e^{a-b}), without cancellation.
        between = jax.nn.sigmoid(y[..., 1:]) * jax.nn.sigmoid(-y[..., :-1]) * -jnp.expm1(y[..., :-1] - y[..., 1:])
        return jnp.concatenate([first, between, last], axis=-1)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        below, above = self._log_tails(x)
        return -jnp.sum(below + above, axis=-1)

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        *batch, n = _resized(self, shape, -1)
        return (*broadcast_shapes(tuple(batch), shape_of(self.anchor_point)), n)

    def inverse_shape(self, shape: Sequence[int]) -> Shape:
        *batch, n = _resized(self, shape, 1)
        return (*broadcast_shapes(tuple(batch), shape_of(self.anchor_point)), n)


class L1BallTransform(Transform):
    """Real vectors onto vectors whose absolute values sum to less than one.

    A signed form of stick breaking: :math:`y_k = \\tanh(x_k) \\prod_{j<k} (1 - |\\tanh x_j|)`.

    >>> L1BallTransform()(jnp.zeros(2)).tolist()
    [0.0, 0.0]
    """

    domain = constraints.real_vector
    codomain = constraints.l1_ball

    def __call__(self, x: Any) -> Any:
        left = jnp.cumsum(_log_one_minus_abs_tanh(x), axis=-1)
        before = jnp.concatenate([jnp.zeros_like(left[..., :1]), left[..., :-1]], axis=-1)
        return jnp.tanh(x) * jnp.exp(before)

    def _inverse(self, y: Any) -> Any:
        after = 1 - jnp.cumsum(jnp.abs(y), axis=-1)
        before = jnp.concatenate([jnp.ones_like(after[..., :1]), after[..., :-1]], axis=-1)
        smallest = float(jnp.finfo(after.dtype).eps)
        return jnp.arctanh(jnp.clip(y / jnp.maximum(before, smallest), -1 + smallest, 1 - smallest))

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        later = np.arange(shape_of(x)[-1] - 1, -1, -1, dtype=np.float32)
        return jnp.sum(log_one_minus_tanh_squared(x) + later * _log_one_minus_abs_tanh(x), axis=-1)


def log_one_minus_tanh_squared(x: Any) -> Any:
    """:math:`\\log(1 - \\tanh^2 x)`, accurate for large arguments."""
    return 2 * (math.log(2.0) - x - softplus(-2 * x))


def _log_one_minus_abs_tanh(x: Any) -> Any:
    return math.log(2.0) - softplus(2 * jnp.abs(x))


class PermuteTransform(Transform):
    """Vectors with their elements in another order: :math:`y_k = x_{permutation[k]}`.

    :param permutation: integer array of shape ``(n,)``, or ``batch + (n,)``.

    >>> PermuteTransform(np.array([2, 0, 1]))(jnp.array([1.0, 2.0, 3.0])).tolist()
    [3.0, 1.0, 2.0]
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    arg_event_dims: ClassVar[dict[str, int]] = {"permutation": 1}

    def __init__(self, permutation: Any) -> None:
        self.permutation = np.asarray(permutation) if isinstance(permutation, list | tuple) else permutation

    def __call__(self, x: Any) -> Any:
        return _take(x, self.permutation)

    def _inverse(self, y: Any) -> Any:
        return _take(y, namespace(self.permutation).argsort(self.permutation, axis=-1))

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        batch = broadcast_shapes(shape_of(x)[:-1], shape_of(self.permutation)[:-1])
        return jnp.zeros(batch, jnp.result_type(x, 1.0))

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        return broadcast_shapes(tuple(shape), shape_of(self.permutation))

    def inverse_shape(self, shape: Sequence[int]) -> Shape:
        return self.forward_shape(shape)


def _take(x: Any, index: Any) -> Any:
    *batch, n = shape_of(index)
    if all(size == 1 for size in batch):
        leading = max(len(shape_of(x)), len(batch) + 1) - 1
        return jnp.broadcast_to(x, broadcast_shapes(shape_of(x), (1,) * leading + (n,)))[..., index.reshape(n)]
    shape = broadcast_shapes(shape_of(x), shape_of(index))
    return jnp.take_along_axis(jnp.broadcast_to(x, shape), jnp.broadcast_to(index, shape), axis=-1)


class ZeroSumTransform(Transform):
    """Real arrays onto arrays, larger by one along each event dimension, that sum to zero along each.

    Along each dimension the vectors are embedded isometrically, so the log-determinant is zero.

    :param transform_ndims: number of event dimensions, at least 1.

    >>> ZeroSumTransform()(jnp.array([0.0, 1.0, 2.0])).tolist()
    [-0.5, 0.5, 1.5, -1.5]
    """

    def __init__(self, transform_ndims: int = 1) -> None:
        self.transform_ndims = transform_ndims

    @property
    def domain(self) -> Constraint:
        return constraints.independent(constraints.real, self.transform_ndims)

    @property
    def codomain(self) -> Constraint:
        return constraints.zero_sum(self.transform_ndims)

    def __call__(self, x: Any) -> Any:
        for axis in range(-self.transform_ndims, 0):
            x = self.extend_axis(x, axis)
        return x

    def _inverse(self, y: Any) -> Any:
        for axis in range(-self.transform_ndims, 0):
            y = self.extend_axis_rev(y, axis)
        return y

    def extend_axis(self, array: Any, axis: int) -> Any:
        """One element more along an axis, so that the elements sum to zero and distances stay.

        That is the Householder reflection which takes the last unit vector to the constant one.
        """
        n = shape_of(array)[axis] + 1
        total = jnp.sum(array, axis=axis, keepdims=True)
        shift = total / (n**0.5 + n)
        return jnp.concatenate([array - shift, -total / n**0.5], axis=axis)

    def extend_axis_rev(self, array: Any, axis: int) -> Any:
        """Undo :meth:`extend_axis`."""
        n = shape_of(array)[axis]
        axis %= len(shape_of(array))
        last = jax.lax.slice_in_dim(jnp.asarray(array), n - 1, n, axis=axis)
        rest = jax.lax.slice_in_dim(jnp.asarray(array), 0, n - 1, axis=axis)
        return rest - last * n**0.5 / (n**0.5 + n)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return jnp.zeros(shape_of(x)[: -self.transform_ndims], jnp.result_type(x, 1.0))

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        return self._resized(shape, 1)

    def inverse_shape(self, shape: Sequence[int]) -> Shape:
        return self._resized(shape, -1)

    def _resized(self, shape: Sequence[int], by: int) -> Shape:
        k = len(shape) - self.transform_ndims
        if k < 0:
            raise ValueError(
                f"{self!r} takes arrays of at least {self.transform_ndims} dimensions; not {tuple(shape)}."
            )
        return (*shape[:k], *(n + by for n in shape[k:]))


def _resized(transform: Transform, shape: Sequence[int], by: int) -> Shape:
    if len(shape) < 1:
        raise ValueError(f"{type(transform).__name__} takes and returns vectors; the shape () has no dimension.")
    return (*shape[:-1], shape[-1] + by)


def safe_log(x: Any) -> Any:
    """Logarithm that is finite, as is its gradient, where rounding has left no positive number."""
    return jnp.log(jnp.maximum(x, float(jnp.finfo(jnp.result_type(x, 1.0)).tiny)))

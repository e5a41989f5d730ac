# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Transforms of time series: cosine, Haar and Fourier transforms, linear recursion."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any, ClassVar

from jax import lax
import jax.numpy as jnp
import jax.scipy.fft
import numpy as np

from numpyro._shapes import Shape, broadcast_shapes, shape_of
from numpyro.distributions import constraints
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.transforms.transform import Transform


class AlongDimension(Transform):
    """Base of the volume-preserving linear transforms along one dimension, which is counted from the right."""

    bijective = True

    def __init__(self, dim: int) -> None:
        if not isinstance(dim, int) or dim >= 0:
            raise ValueError(f"`dim` must be a negative integer, which counts from the right; it is {dim!r}.")
        self.dim = dim

    @property
    def domain(self) -> Constraint:
        return constraints.independent(constraints.real, -self.dim)

    @property
    def codomain(self) -> Constraint:
        return constraints.independent(constraints.real, -self.dim)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return jnp.zeros(shape_of(x)[: self.dim], jnp.result_type(x, 1.0))


class DiscreteCosineTransform(AlongDimension):
    """Orthonormal discrete cosine transform of type II, with an optional reweighting of the frequencies.

    :param dim: dimension along which to transform, negative.
    :param smooth: exponent of the reweighting. With 0 the transform is orthonormal; with 1 it takes Brownian noise to
        white noise, with -1 violet noise; any real number is allowed. The weights
        :math:`(2k + 1)^{smooth}` are scaled to a product of one, so the log-determinant is zero.

    >>> DiscreteCosineTransform()(jnp.ones(4)).round(3).tolist()
    [2.0, 0.0, 0.0, 0.0]
    """

    def __init__(self, dim: int = -1, smooth: float = 0.0) -> None:
        super().__init__(dim)
        self.smooth = float(smooth)

    def _weights(self, x: Any) -> Any:
        log_frequency = np.log(2 * np.arange(shape_of(x)[self.dim]) + 1)
        weights = np.exp(self.smooth * (log_frequency - np.mean(log_frequency)))
        return weights.reshape((-1,) + (1,) * (-self.dim - 1)).astype(jnp.result_type(x, 1.0))

    def __call__(self, x: Any) -> Any:
        y = jax.scipy.fft.dct(x, type=2, axis=self.dim, norm="ortho")
        return y if self.smooth == 0 else y * self._weights(x)

    def _inverse(self, y: Any) -> Any:
        y = y if self.smooth == 0 else y / self._weights(y)
        return jax.scipy.fft.idct(y, type=2, axis=self.dim, norm="ortho")


class HaarTransform(AlongDimension):
    """Orthonormal discrete Haar transform, for any length.

    Pairs are replaced by their scaled sum and difference; the sums are transformed again. The last element of an odd
    number joins the differences. Coarse coefficients come first.

    :param dim: dimension along which to transform, negative.
    :param flip: reverse the dimension first.

    >>> HaarTransform()(jnp.array([1.0, 1.0, 1.0, 1.0])).round(3).tolist()
    [2.0, 0.0, 0.0, 0.0]
    """

    def __init__(self, dim: int = -1, flip: bool = False) -> None:
        super().__init__(dim)
        self.flip = flip

    def __call__(self, x: Any) -> Any:
        low = jnp.moveaxis(x, self.dim, -1)
        low = jnp.flip(low, -1) if self.flip else low
        coefficients = []
        while low.shape[-1] > 1:
            pairs = low.shape[-1] // 2
            left, right, rest = low[..., : 2 * pairs : 2], low[..., 1 : 2 * pairs : 2], low[..., 2 * pairs :]
            coefficients += [rest, (left - right) * 0.5**0.5]
            low = (left + right) * 0.5**0.5
        return jnp.moveaxis(jnp.concatenate([low, *reversed(coefficients)], axis=-1), -1, self.dim)

    def _inverse(self, y: Any) -> Any:
        y = jnp.moveaxis(y, self.dim, -1)
        sizes = []
        n = y.shape[-1]
        while n > 1:
            sizes.append(n)
            n //= 2
        low = y[..., :1]
        for n in reversed(sizes):
            pairs = n // 2
            high, rest = y[..., pairs : 2 * pairs], y[..., 2 * pairs : n]
            both = jnp.stack([low + high, low - high], axis=-1) * 0.5**0.5
            low = jnp.concatenate([both.reshape((*both.shape[:-2], 2 * pairs)), rest], axis=-1)
        low = jnp.flip(low, -1) if self.flip else low
        return jnp.moveaxis(low, -1, self.dim)


class RealFastFourierTransform(Transform):
    """Discrete Fourier transform of real arrays; of the complex result the half that is not redundant.

    :param transform_shape: event shape of the argument. The inverse needs it where the last size is odd; without it
        that size is taken as even.
    :param transform_ndims: number of event dimensions.

    >>> RealFastFourierTransform()(jnp.ones(4)).real.tolist()
    [4.0, 0.0, 0.0]
    """

    def __init__(self, transform_shape: Sequence[int] | None = None, transform_ndims: int = 1) -> None:
        if transform_shape is not None and len(transform_shape) != transform_ndims:
            raise ValueError(
                f"transform_shape={tuple(transform_shape)} must have transform_ndims={transform_ndims} dimensions."
            )
        self.transform_shape = None if transform_shape is None else tuple(transform_shape)
        self.transform_ndims = transform_ndims

    @property
    def domain(self) -> Constraint:
        return constraints.independent(constraints.real, self.transform_ndims)

    @property
    def codomain(self) -> Constraint:
        return constraints.independent(constraints.complex, self.transform_ndims)

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-self.transform_ndims, 0))

    def __call__(self, x: Any) -> Any:
        return jnp.fft.rfftn(x, self.transform_shape, self._axes)

    def _inverse(self, y: Any) -> Any:
        return jnp.fft.irfftn(y, self.transform_shape, self._axes)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        batch, sizes = self._split(shape_of(x))
        n = math.prod(sizes)
        # Scaled by sqrt(n) the complex transform is unitary. A frequency that is not its own mirror image gives two
        # real numbers, each 1 / sqrt(2) of what the unitary transform shares with the mirror image.
        own_mirrors = math.prod(2 - size % 2 for size in sizes)
        value = 0.5 * n * math.log(n) - 0.5 * (n - own_mirrors) * math.log(2.0)
        return jnp.full(batch, value, jnp.result_type(x, 1.0))

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        batch, event = self._split(shape)
        event = event if self.transform_shape is None else self.transform_shape
        return (*batch, *event[:-1], event[-1] // 2 + 1)

    def inverse_shape(self, shape: Sequence[int]) -> Shape:
        batch, event = self._split(shape)
        return (*batch, *((*event[:-1], 2 * (event[-1] - 1)) if self.transform_shape is None else self.transform_shape))

    def _split(self, shape: Sequence[int]) -> tuple[Shape, Shape]:
        if len(shape) < self.transform_ndims:
            raise ValueError(
                f"{self!r} takes arrays of at least {self.transform_ndims} dimensions; not {tuple(shape)}."
            )
        return tuple(shape[: -self.transform_ndims]), tuple(shape[-self.transform_ndims :])


class PackRealFastFourierCoefficientsTransform(Transform):
    """Vectors of :math:`n` real numbers to :math:`\\lfloor n/2 \\rfloor + 1` Fourier coefficients of a real vector.

    The real parts come first, then the imaginary ones, without those that are zero: of the first coefficient and, if
    :math:`n` is even, of the last.

    :param transform_shape: ``(n,)``; the inverse needs it.

    >>> PackRealFastFourierCoefficientsTransform((4,))(jnp.array([1.0, 2.0, 3.0, 4.0])).tolist()
    [(1+0j), (2+4j), (3+0j)]
    """

    domain = constraints.real_vector
    codomain = constraints.independent(constraints.complex, 1)

    def __init__(self, transform_shape: Sequence[int] | None = None) -> None:
        if transform_shape is not None and len(transform_shape) != 1:
            raise ValueError(f"`transform_shape` must have one dimension; it is {tuple(transform_shape)}.")
        self.transform_shape = None if transform_shape is None else tuple(transform_shape)

    def __call__(self, x: Any) -> Any:
        n = self._checked(shape_of(x))
        first = jnp.zeros_like(x[..., :1])
        last = first[..., : 1 - n % 2]
        return lax.complex(x[..., : n // 2 + 1], jnp.concatenate([first, x[..., n // 2 + 1 :], last], axis=-1))

    def _inverse(self, y: Any) -> Any:
        n = self.inverse_shape(shape_of(y))[-1]
        return jnp.concatenate([jnp.real(y), jnp.imag(y)[..., 1 : (n + 1) // 2]], axis=-1)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return jnp.zeros(shape_of(x)[:-1], jnp.result_type(x, 1.0))

    def _checked(self, shape: Shape) -> int:
        if len(shape) < 1 or (self.transform_shape is not None and shape[-1:] != self.transform_shape):
            raise ValueError(f"{self!r} takes vectors of this shape; an array of shape {shape} was given.")
        return shape[-1]

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        return (*shape[:-1], self._checked(tuple(shape)) // 2 + 1)

    def inverse_shape(self, shape: Sequence[int]) -> Shape:
        if self.transform_shape is None:
            raise ValueError(
                "The number of coefficients does not tell whether the vector has even or odd length: the inverse of "
                "PackRealFastFourierCoefficientsTransform needs `transform_shape=(n,)`."
            )
        if len(shape) < 1 or shape[-1] != self.transform_shape[0] // 2 + 1:
            raise ValueError(
                f"{self!r} has {self.transform_shape[0] // 2 + 1} coefficients; not the shape {tuple(shape)}."
            )
        return (*shape[:-1], *self.transform_shape)


class RecursiveLinearTransform(Transform):
    """Innovations to the path of a linear recursion from zero: :math:`y_t = A y_{t-1} + x_t`.

    :param transition_matrix: array :math:`A` of shape ``batch + (n, n)``; arguments have event shape
        ``(steps, n)``.

    >>> RecursiveLinearTransform(jnp.eye(1))(jnp.ones((3, 1)))[:, 0].tolist()
    [1.0, 2.0, 3.0]
    """

    domain = constraints.real_matrix
    codomain = constraints.real_matrix
    arg_event_dims: ClassVar[dict[str, int]] = {"transition_matrix": 2}

    def __init__(self, transition_matrix: Any) -> None:
        self.transition_matrix = transition_matrix

    def __call__(self, x: Any) -> Any:
        x = jnp.broadcast_to(x, self.forward_shape(shape_of(x)))

        def step(y: Any, innovation: Any) -> tuple[Any, Any]:
            y = self._times_matrix(y) + innovation
            return y, y

        steps = jnp.moveaxis(x, -2, 0)
        start = jnp.zeros(steps.shape[1:], jnp.result_type(x, self.transition_matrix))
        return jnp.moveaxis(lax.scan(step, start, steps.astype(start.dtype))[1], 0, -2)

    def _inverse(self, y: Any) -> Any:
        previous = jnp.concatenate([jnp.zeros_like(y[..., :1, :]), y[..., :-1, :]], axis=-2)
        return y - jnp.einsum("...ij,...tj->...ti", self.transition_matrix, previous)

    def _times_matrix(self, y: Any) -> Any:
        return jnp.einsum("...ij,...j->...i", self.transition_matrix, y)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return jnp.zeros(self.forward_shape(shape_of(x))[:-2], jnp.result_type(x, 1.0))

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        *batch, n, _ = shape_of(self.transition_matrix)
        return broadcast_shapes(tuple(shape), (*batch, 1, n))

    def inverse_shape(self, shape: Sequence[int]) -> Shape:
        return self.forward_shape(shape)

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Transforms of single numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar
import warnings

import jax
from jax.nn import softplus
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import Shape, broadcast_shapes, shape_of
from numpyro.distributions import constraints
from numpyro.distributions._pytree import is_host_value, namespace
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.constraints.elementwise import HalfLine, Real
from numpyro.distributions.transforms.transform import Transform
from numpyro.distributions.util import sum_rightmost


class AbsTransform(Transform):
    """:math:`y = |x|`. It is not invertible: its inverse returns ``y`` and warns."""

    domain = constraints.real
    codomain = constraints.positive

    def __call__(self, x: Any) -> Any:
        return jnp.abs(x)

    def _inverse(self, y: Any) -> Any:
        warnings.warn("AbsTransform is not a bijective transform. The inverse of `y` will be `y`.", stacklevel=3)
        return y


class AffineTransform(Transform):
    """:math:`y = loc + scale \\cdot x`.

    :param loc: array that broadcasts to the argument.
    :param scale: array that broadcasts to the argument, with no zero.
    :param domain: the set of arguments; the codomain is its image. With an independent domain the transform is one of
        vectors.

    >>> AffineTransform(1.0, -2.0, domain=constraints.positive).codomain
    LessThan(upper_bound=1.0)
    """

    def __init__(self, loc: Any, scale: Any, domain: Constraint = constraints.real) -> None:
        self.loc = loc
        self.scale = scale
        self.domain = domain

    @property
    def arg_event_dims(self) -> dict[str, int]:
        return {"loc": self.domain.event_dim, "scale": self.domain.event_dim}

    @property
    def codomain(self) -> Constraint:
        return image(self.domain, self, self.scale)

    @property
    def sign(self) -> Any:
        return namespace(self.scale).sign(self.scale)

    def __call__(self, x: Any) -> Any:
        return self.loc + self.scale * x

    def _inverse(self, y: Any) -> Any:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        shape = broadcast_shapes(shape_of(x), shape_of(self.loc), shape_of(self.scale))
        log_scale = jnp.log(jnp.abs(self.scale)).astype(jnp.result_type(x, self.scale, 1.0))
        return sum_rightmost(jnp.broadcast_to(log_scale, shape), self.domain.event_dim)

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        return broadcast_shapes(tuple(shape), shape_of(self.loc), shape_of(self.scale))

    def inverse_shape(self, shape: Sequence[int]) -> Shape:
        return self.forward_shape(shape)


class ComplexTransform(Transform):
    """Pairs of real numbers, the last dimension, to complex numbers.

    >>> ComplexTransform()(jnp.array([1.0, 2.0])).item()
    (1+2j)
    """

    domain = constraints.real_vector
    codomain = constraints.complex

    def __call__(self, x: Any) -> Any:
        self.forward_shape(shape_of(x))
        return x[..., 0] + 1j * x[..., 1]

    def _inverse(self, y: Any) -> Any:
        return jnp.stack([jnp.real(y), jnp.imag(y)], axis=-1)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return jnp.zeros(shape_of(x)[:-1], jnp.result_type(x, 1.0))

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        if not shape or shape[-1] != 2:
            raise ValueError(f"ComplexTransform takes an array whose last dimension has size 2; its shape is {shape}.")
        return tuple(shape[:-1])

    def inverse_shape(self, shape: Sequence[int]) -> Shape:
        return (*shape, 2)


class ExpTransform(Transform):
    """:math:`y = e^x`.

    :param domain: the set of arguments; the codomain is its image.

    >>> ExpTransform(constraints.positive).codomain
    GreaterThan(lower_bound=1.0)
    """

    sign = 1

    def __init__(self, domain: Constraint = constraints.real) -> None:
        self.domain = domain

    @property
    def codomain(self) -> Constraint:
        return image(self.domain, lambda bound: namespace(bound).exp(bound), 1, constraints.positive)

    def __call__(self, x: Any) -> Any:
        return jnp.exp(x)

    def _inverse(self, y: Any) -> Any:
        return jnp.log(y)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return sum_rightmost(x, self.domain.event_dim)


class PowerTransform(Transform):
    """:math:`y = x^{exponent}` for positive :math:`x`.

    :param exponent: array that broadcasts to the argument, with no zero.

    >>> PowerTransform(2.0)(3.0)
    9.0
    """

    domain = constraints.positive
    codomain = constraints.positive
    arg_event_dims: ClassVar[dict[str, int]] = {"exponent": 0}

    def __init__(self, exponent: Any) -> None:
        self.exponent = exponent

    @property
    def sign(self) -> Any:
        return namespace(self.exponent).sign(self.exponent)

    def __call__(self, x: Any) -> Any:
        return x**self.exponent

    def _inverse(self, y: Any) -> Any:
        return y ** (1 / self.exponent)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return jnp.log(jnp.abs(self.exponent)) + (self.exponent - 1) * jnp.log(x)

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        return broadcast_shapes(tuple(shape), shape_of(self.exponent))

    def inverse_shape(self, shape: Sequence[int]) -> Shape:
        return self.forward_shape(shape)


class SigmoidTransform(Transform):
    """:math:`y = 1 / (1 + e^{-x})`, kept off 0 and 1 by the least that the dtype can tell.

    >>> SigmoidTransform()(0.0).item()
    0.5
    """

    domain = constraints.real
    codomain = constraints.unit_interval
    sign = 1

    def __call__(self, x: Any) -> Any:
        y = jax.nn.sigmoid(x)
        info = jnp.finfo(y.dtype)
        return jnp.clip(y, float(info.tiny), 1 - float(info.eps))

    def _inverse(self, y: Any) -> Any:
        return jnp.log(y) - jnp.log1p(-y)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return -softplus(x) - softplus(-x)


class SoftplusTransform(Transform):
    """:math:`y = \\log(1 + e^x)`.

    >>> round(SoftplusTransform()(0.0).item(), 4)
    0.6931
    """

    domain = constraints.real
    codomain = constraints.softplus_positive
    sign = 1

    def __call__(self, x: Any) -> Any:
        return softplus(x)

    def _inverse(self, y: Any) -> Any:
        return softplus_inverse(y)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return -softplus(-x)


def softplus_inverse(y: Any) -> Any:
    """:math:`\\log(e^y - 1)`, accurate for small and for large ``y``."""
    return y + jnp.log(-jnp.expm1(-y))


def image(
    domain: Constraint, function: Callable[[Any], Any], slope: Any, of_real: Constraint = constraints.real
) -> Constraint:
    """Image of a set of real numbers under a monotone function.

    :param slope: an array of the sign of the function's derivative, positive or negative.
    :param of_real: image of the real line: the real line itself, or the positive numbers.
    """
    if isinstance(domain, constraints.independent):
        inner = image(domain.base_constraint, function, slope, of_real)
        return constraints.independent(inner, domain.reinterpreted_batch_ndims)
    if isinstance(domain, Real):
        return of_real
    if isinstance(domain, constraints.interval):
        kind = constraints.open_interval if isinstance(domain, constraints.open_interval) else constraints.interval
        lower, upper = function(domain.lower_bound), function(domain.upper_bound)
        direction = known_sign(slope)
        if direction is None:
            xp = namespace(lower, upper)
            return kind(xp.minimum(lower, upper), xp.maximum(lower, upper))
        return kind(lower, upper) if direction > 0 else kind(upper, lower)
    if isinstance(domain, constraints.greater_than):
        return _half_line(function(domain.lower_bound), slope, domain, of_real)
    if isinstance(domain, constraints.less_than):
        return _half_line(function(domain.upper_bound), -slope, domain, of_real)
    if isinstance(domain, HalfLine):
        return _half_line(function(domain.bound), domain.direction * slope, domain, of_real)
    raise NotImplementedError(
        f"The image of the domain {domain!r} is not known. Intervals, half-lines, the real line and independent "
        "constraints over them have one; for another domain write a transform with its own codomain."
    )


def _half_line(bound: Any, direction: Any, domain: Constraint, of_real: Constraint) -> Constraint:
    known = known_sign(direction)
    if known is None:
        return HalfLine(bound, direction)
    closed = isinstance(domain, constraints.greater_than_eq | constraints.less_than_eq)
    if known > 0:
        return constraints.greater_than_eq(bound) if closed else constraints.greater_than(bound)
    if of_real is constraints.positive:
        return constraints.interval(0.0, bound) if closed else constraints.open_interval(0.0, bound)
    return constraints.less_than_eq(bound) if closed else constraints.less_than(bound)


def known_sign(x: Any) -> int | None:
    """1 or -1 if the elements have this sign, all of them and without tracing; else ``None``."""
    if not is_host_value(x) and (not isinstance(x, jax.Array) or isinstance(x, jax.core.Tracer)):
        return None
    x = np.asarray(x)
    return 1 if np.all(x > 0) else -1 if np.all(x < 0) else None

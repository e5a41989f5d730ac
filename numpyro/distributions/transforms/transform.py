# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What a transform is, and the transforms built from others: inverse, composed, independent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from numpyro._shapes import Shape, shape_of
from numpyro.distributions import constraints
from numpyro.distributions._pytree import DeclaredPytree
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.util import sum_rightmost


class Transform(DeclaredPytree):
    """A differentiable map, invertible unless it says otherwise, with the logarithm of its Jacobian determinant.

    A subclass sets :attr:`domain` and :attr:`codomain`, defines ``__call__``, ``_inverse`` and
    :meth:`log_abs_det_jacobian`, and names its array parameters in :attr:`arg_event_dims`. That is enough to make it
    a pytree with these parameters as leaves, numbers or arrays. An array attribute that is not declared is taken for a
    parameter too, one with as many event dimensions as the domain; what is neither array, constraint nor transform is
    static.

    >>> class Shift(Transform):
    ...     domain = constraints.real
    ...     codomain = constraints.real
    ...     arg_event_dims = {"by": 0}
    ...     def __init__(self, by):
    ...         self.by = by
    ...     def __call__(self, x):
    ...         return x + self.by
    ...     def _inverse(self, y):
    ...         return y - self.by
    ...     def log_abs_det_jacobian(self, x, y, intermediates=None):
    ...         return jnp.zeros(jnp.shape(x))
    >>> Shift(2.0).inv(5.0)
    3.0
    """

    #: The set of arguments; its event dimensions are those over which the Jacobian determinant is taken.
    domain: Constraint = constraints.real

    #: The set of values.
    codomain: Constraint = constraints.real

    #: Array parameters, and how many trailing dimensions of each belong to one event.
    arg_event_dims: ClassVar[dict[str, int]] = {}

    @property
    def _value_event_dim(self) -> int:
        return self.domain.event_dim

    @property
    def inv(self) -> Transform:
        """The inverse transform."""
        return InverseTransform(self)

    @property
    def sign(self) -> Any:
        """Sign of the derivative, for a monotone transform of single numbers: 1 or -1, or an array of such."""
        raise NotImplementedError(f"Transform `{type(self).__name__}` does not implement `sign`: it is not monotone.")

    def __call__(self, x: Any) -> Any:
        """The value at ``x``."""
        raise NotImplementedError(f"Transform `{type(self).__name__}` does not implement `__call__`.")

    def _inverse(self, y: Any) -> Any:
        raise NotImplementedError(
            f"Transform `{type(self).__name__}` does not implement `_inverse`: it has no inverse."
        )

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        """Logarithm of the absolute value of the Jacobian determinant at ``x``.

        :param x: a point of the domain.
        :param y: the value there.
        :param intermediates: what :meth:`call_with_intermediates` returned besides ``y``.
        :return: an array of the shape of ``x`` without the event dimensions of the domain.
        """
        raise NotImplementedError(f"Transform `{type(self).__name__}` does not implement `log_abs_det_jacobian`.")

    def call_with_intermediates(self, x: Any) -> tuple[Any, Any]:
        """The value at ``x``, and what :meth:`log_abs_det_jacobian` need not compute again."""
        return self(x), None

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        """Shape of the value at an argument of the given shape."""
        return tuple(shape)

    def inverse_shape(self, shape: Sequence[int]) -> Shape:
        """Shape of the argument at which the value has the given shape."""
        return tuple(shape)


class InverseTransform(Transform):
    """The inverse of a transform, as ``transform.inv`` returns it."""

    def __init__(self, transform: Transform) -> None:
        self.transform = transform

    @property
    def domain(self) -> Constraint:
        return self.transform.codomain

    @property
    def codomain(self) -> Constraint:
        return self.transform.domain

    @property
    def inv(self) -> Transform:
        return self.transform

    @property
    def sign(self) -> Any:
        return self.transform.sign

    def _align_child(self, name: str, value: Any, rank: int) -> Any:
        return value.aligned(rank - event_dim_change(value))

    def __call__(self, x: Any) -> Any:
        return self.transform._inverse(x)

    def _inverse(self, y: Any) -> Any:
        return self.transform(y)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return -self.transform.log_abs_det_jacobian(y, x, None)

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        return self.transform.inverse_shape(shape)

    def inverse_shape(self, shape: Sequence[int]) -> Shape:
        return self.transform.forward_shape(shape)


class IdentityTransform(Transform):
    """The identity on the real line."""

    sign = 1

    def __call__(self, x: Any) -> Any:
        return x

    def _inverse(self, y: Any) -> Any:
        return y

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return jnp.zeros(shape_of(x), jnp.result_type(x, 1.0))


class ComposeTransform(Transform):
    """Transforms applied one after the other, the first of the list first.

    :param parts: the transforms. An event of the whole has as many dimensions as every part needs.

    >>> from numpyro.distributions.transforms import AffineTransform, ExpTransform
    >>> ComposeTransform([ExpTransform(), AffineTransform(1.0, 2.0)])(0.0).item()
    3.0
    """

    def __init__(self, parts: Sequence[Transform]) -> None:
        parts = tuple(parts)
        for part in parts:
            if not isinstance(part, Transform):
                raise TypeError(f"`parts` must be transforms; one of them is {part!r}.")
        self.parts = parts

    @property
    def domain(self) -> Constraint:
        if not self.parts:
            return constraints.real
        event_dim = self.parts[-1].codomain.event_dim
        for part in reversed(self.parts):
            event_dim = max(event_dim - event_dim_change(part), part.domain.event_dim)
        return with_event_dim(self.parts[0].domain, event_dim)

    @property
    def codomain(self) -> Constraint:
        if not self.parts:
            return constraints.real
        event_dim = self.parts[0].domain.event_dim
        for part in self.parts:
            event_dim = max(event_dim + event_dim_change(part), part.codomain.event_dim)
        return with_event_dim(self.parts[-1].codomain, event_dim)

    @property
    def sign(self) -> Any:
        sign: Any = 1
        for part in self.parts:
            sign = sign * part.sign
        return sign

    def _align_child(self, name: str, value: Any, rank: int) -> Any:
        parts = []
        for part in value:
            parts.append(part.aligned(rank))
            rank += event_dim_change(part)
        return tuple(parts)

    def __call__(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
        return x

    def _inverse(self, y: Any) -> Any:
        for part in reversed(self.parts):
            y = part.inv(y)
        return y

    def call_with_intermediates(self, x: Any) -> tuple[Any, Any]:
        intermediates = []
        for part in self.parts:
            y, inner = part.call_with_intermediates(x)
            intermediates.append((x, y, inner))
            x = y
        return x, intermediates

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        if intermediates is None:
            _, intermediates = self.call_with_intermediates(x)
        event_dim = self.domain.event_dim
        result: Any = None
        for part, (argument, value, inner) in zip(self.parts, intermediates, strict=True):
            term = part.log_abs_det_jacobian(argument, value, inner)
            term = sum_rightmost(term, event_dim - part.domain.event_dim)
            result = term if result is None else result + term
            event_dim += event_dim_change(part)
        return jnp.zeros(shape_of(x), jnp.result_type(x, 1.0)) if result is None else result

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        for part in self.parts:
            shape = part.forward_shape(shape)
        return tuple(shape)

    def inverse_shape(self, shape: Sequence[int]) -> Shape:
        for part in reversed(self.parts):
            shape = part.inverse_shape(shape)
        return tuple(shape)


class IndependentTransform(Transform):
    """Reinterprets batch dimensions of a transform as event dimensions: its log-determinants are summed.

    :param base_transform: the transform of an element.
    :param reinterpreted_batch_ndims: how many dimensions to reinterpret, at least 0.

    >>> from numpyro.distributions.transforms import ExpTransform
    >>> t = IndependentTransform(ExpTransform(), 1)
    >>> t.log_abs_det_jacobian(jnp.array([1.0, 2.0]), None).item()
    3.0
    """

    def __init__(self, base_transform: Transform, reinterpreted_batch_ndims: int) -> None:
        if not isinstance(base_transform, Transform):
            raise TypeError(f"`base_transform` must be a transform; it is {base_transform!r}.")
        if not isinstance(reinterpreted_batch_ndims, int | np.integer) or reinterpreted_batch_ndims < 0:
            raise ValueError(
                "`reinterpreted_batch_ndims` must be an integer that is not negative; it is "
                f"{reinterpreted_batch_ndims!r}."
            )
        self.base_transform = base_transform
        self.reinterpreted_batch_ndims = int(reinterpreted_batch_ndims)

    @property
    def domain(self) -> Constraint:
        return constraints.independent(self.base_transform.domain, self.reinterpreted_batch_ndims)

    @property
    def codomain(self) -> Constraint:
        return constraints.independent(self.base_transform.codomain, self.reinterpreted_batch_ndims)

    @property
    def sign(self) -> Any:
        return self.base_transform.sign

    def __call__(self, x: Any) -> Any:
        return self.base_transform(x)

    def _inverse(self, y: Any) -> Any:
        return self.base_transform._inverse(y)

    def call_with_intermediates(self, x: Any) -> tuple[Any, Any]:
        return self.base_transform.call_with_intermediates(x)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        result = self.base_transform.log_abs_det_jacobian(x, y, intermediates)
        if len(shape_of(result)) < self.reinterpreted_batch_ndims:
            raise ValueError(
                f"{self!r} needs an argument with at least {self.domain.event_dim} dimensions; its shape is "
                f"{shape_of(x)}."
            )
        return sum_rightmost(result, self.reinterpreted_batch_ndims)

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        return self.base_transform.forward_shape(shape)

    def inverse_shape(self, shape: Sequence[int]) -> Shape:
        return self.base_transform.inverse_shape(shape)


def event_dim_change(transform: Transform) -> int:
    """How many dimensions a value has more than its argument."""
    return transform.codomain.event_dim - transform.domain.event_dim


def with_event_dim(constraint: Constraint, event_dim: int) -> Constraint:
    """The constraint over events of at least ``event_dim`` dimensions."""
    missing = event_dim - constraint.event_dim
    return constraints.independent(constraint, missing) if missing > 0 else constraint

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Methods of distributions that run as one compiled program when they are called outside any JAX transformation.

JAX compiles each operation of an eager formula on its own, some 10 ms for every one, and dispatches them one by one
ever after. A family writes formulas all the same; what is here puts a ``jit`` around a formula where it is called with
concrete parameters and values, and stays out of the way where it is traced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from numpyro.distributions._pytree import DERIVED

__all__ = ["Static", "call_compiled", "compiled_form"]


class Static:
    """Auxiliary data of a pytree that may hold values without a hash (dicts, lists, host arrays)."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Static):
            return NotImplemented
        try:
            return self.value is other.value or bool(self.value == other.value)
        except ValueError:
            return False

    def __hash__(self) -> int:
        try:
            return hash(self.value)
        except TypeError:
            return hash(type(self.value))


class _AsItIs:
    """A distribution whose leaves are its parameters as they were given, not aligned with each other.

    Aligning reshapes, which compiles; and a Python number that is reshaped is no longer weakly typed.
    """

    def __init__(self, distribution: Any) -> None:
        self.distribution = distribution


def _box(value: Any) -> Any:
    """A field's value with the distributions in it replaced."""
    if hasattr(value, "_data_fields"):
        return _AsItIs(value)
    if type(value) in (list, tuple):
        return type(value)(map(_box, value))
    if type(value) is dict:
        return {key: _box(item) for key, item in value.items()}
    return value


def _unbox(value: Any) -> Any:
    if isinstance(value, _AsItIs):
        return value.distribution
    if type(value) in (list, tuple):
        return type(value)(map(_unbox, value))
    if type(value) is dict:
        return {key: _unbox(item) for key, item in value.items()}
    return value


def _flatten(box: _AsItIs) -> tuple[tuple[Any, ...], Any]:
    distribution = box.distribution
    fields = distribution._data_fields()
    static = tuple(
        (name, Static(value))
        for name, value in sorted(distribution.__dict__.items())
        if name not in fields and name not in DERIVED
    )
    return tuple(map(_box, fields.values())), (type(distribution), tuple(fields), static)


def _unflatten(aux: Any, children: tuple[Any, ...]) -> _AsItIs:
    cls, names, static = aux
    distribution = object.__new__(cls)
    distribution.__dict__.update((name, holder.value) for name, holder in static)
    distribution.__dict__.update(zip(names, map(_unbox, children), strict=True))
    return _AsItIs(distribution)


jax.tree_util.register_pytree_node(_AsItIs, _flatten, _unflatten)


def compiled_form(method: Callable[[Any, Any], Any]) -> Callable[[_AsItIs, Any], Any]:
    """A method of a distribution and one value, compiled, to be called by :func:`call_compiled`."""

    def form(box: _AsItIs, value: Any) -> Any:
        return method(box.distribution, value)

    return jax.jit(form)


#: Classes whose formulas need concrete numbers, as tracing them has shown.
_untraceable: set[type] = set()


def _is_concrete(leaf: Any) -> bool:
    if isinstance(leaf, jax.core.Tracer):
        return False
    return isinstance(leaf, jax.Array | bool | int | float | complex) or (
        isinstance(leaf, np.ndarray | np.generic) and not leaf.dtype.hasobject
    )


def call_compiled(form: Callable[..., Any], distribution: Any, value: Any) -> tuple[bool, Any]:
    """Call a compiled form, if that is possible.

    :return: whether it was, and the result. It is not if a parameter or the value is traced or abstract, or if the
        formula turns out to need concrete numbers.
    """
    if not _is_concrete(value) or type(distribution) in _untraceable:
        return False, None
    if any(isinstance(parameter, jax.core.Tracer) for parameter in distribution.__dict__.values()):
        return False, None
    box = _AsItIs(distribution)
    if not all(map(_is_concrete, jax.tree.leaves(box))):
        return False, None
    try:
        return True, form(box, value)
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError):
        _untraceable.add(type(distribution))
        return False, None

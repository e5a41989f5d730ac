# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Pytrees by declaration: the common base of constraints and transforms.

An object of a subclass is a pytree without any code of its own. Its children are

- the parameters named in ``arg_event_dims``, which says how many trailing dimensions of each belong to one event;
- constraints and transforms that it holds, alone or in a list, tuple or dict;
- arrays that it holds without declaring them.

Everything else is static: it is compared and hashed when JAX looks for a compiled program, and a NumPy array among
it is compared by its bytes. Unflattening puts whatever JAX passes in the children's places and touches none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
import functools
from types import ModuleType
from typing import Any, ClassVar, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import can_broadcast, insert_batch_dims, shape_of

Self = TypeVar("Self", bound="DeclaredPytree")

DERIVED = frozenset({"_derived", "_lazy_cache"})
"""Instance attributes that are computed on demand from the others."""

_BOOKKEEPING = frozenset({"_lazy_cache", "_child_names"})


class DeclaredPytree:
    """Base of classes whose instances are pytrees by declaration. See the module's docstring."""

    arg_event_dims: ClassVar[Mapping[str, int]] = {}

    # Whether a declared parameter that is a plain Python number is a leaf, and an undeclared NumPy array as well.
    _host_values_are_leaves: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__dict__.get("_is_pytree", True):
            jax.tree_util.register_pytree_with_keys(
                cls, _flatten_with_keys, functools.partial(_unflatten, cls), _flatten
            )

    @property
    def _value_event_dim(self) -> int:
        """Number of event dimensions of the values that the object applies to."""
        raise NotImplementedError

    def aligned(self: Self, rank: int) -> Self:
        """A copy whose array parameters have one dimension for each dimension of the values.

        :param rank: number of dimensions, batch and event, of the values that the object applies to.
        :return: a copy in which each array parameter ``p`` has ``rank - event_dim + arg_event_dims[p]`` dimensions;
            size-1 dimensions are inserted on the left, nothing is broadcast. A parameter that has as many already, or
            more, stays as it is. Stacking the leaves of such copies along a new leading axis gives the object for
            stacked values.
        """
        values = {}
        for name in child_names(self):
            value = vars(self)[name]
            if holds_declared(value):
                values[name] = self._align_child(name, value, rank)
            elif is_array(value) or isinstance(value, int | float | complex):
                event_dim = self.arg_event_dims.get(name, self._value_event_dim)
                values[name] = insert_batch_dims(value, max(rank - self._value_event_dim, 0), event_dim)
        return replace(self, **values)

    def _align_child(self, name: str, value: Any, rank: int) -> Any:
        """``aligned`` for a held constraint or transform; by default it applies to the same values as the holder."""
        return map_declared(lambda child: child.aligned(rank), value)

    def eq(self, other: object, static: bool = False) -> Any:
        """Whether the other object is of the same kind with equal parameters.

        :param static: answer with a Python ``bool`` always: traced parameters are equal only if they are the same
            object. Otherwise the answer is a traced boolean where a parameter is traced.
        """
        if not isinstance(other, DeclaredPytree) or kind_of(self) is not kind_of(other):
            return False
        return _values_equal(dict(attributes(self)), dict(attributes(other)), static)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DeclaredPytree):
            return NotImplemented
        return bool(self.eq(other, static=True))

    def __hash__(self) -> int:
        # Equal objects may hold 0, 0.0 or an array of zeros, so values do not enter.
        return hash((kind_of(self), tuple(sorted(name for name, _ in attributes(self)))))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lazy_cache"}

    def __repr__(self) -> str:
        shown = ", ".join(f"{name.lstrip('_')}={format_value(value)}" for name, value in attributes(self))
        return f"{type(self).__name__}({shown})"


def kind_of(x: DeclaredPytree) -> type:
    """The class that decides equality: ``positive`` is of the kind ``greater_than``."""
    return type(x).__dict__.get("_kind", type(x))


def attributes(x: DeclaredPytree) -> Iterator[tuple[str, Any]]:
    """Names and values of the instance attributes."""
    return ((name, value) for name, value in vars(x).items() if name not in _BOOKKEEPING)


def replace(x: Self, **values: Any) -> Self:
    """A copy with other values of some attributes."""
    new = object.__new__(type(x))
    vars(new).update({name: value for name, value in vars(x).items() if name != "_lazy_cache"})
    vars(new).update(values)
    return new


def is_array(x: Any) -> bool:
    """Whether ``x`` has a shape: an array, a tracer, an abstract array."""
    return isinstance(getattr(x, "shape", None), tuple)


def is_host_value(x: Any) -> bool:
    """Whether NumPy can compute with ``x`` with no JAX operation."""
    return isinstance(x, bool | int | float | complex | np.ndarray | np.generic | list | tuple)


def namespace(*args: Any) -> ModuleType:
    """NumPy if every argument is a value on the host, so that checking it compiles nothing; else ``jax.numpy``."""
    return np if all(is_host_value(x) for x in args) else jnp


def holds_declared(value: Any) -> bool:
    """Whether ``value`` is a constraint or transform, or a non-empty list, tuple or dict of such."""
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, list | tuple):
        return len(value) > 0 and all(isinstance(item, DeclaredPytree) for item in value)
    return isinstance(value, DeclaredPytree)


def map_declared(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply a function to the constraints or transforms for which :func:`holds_declared` answered yes."""
    if isinstance(value, Mapping):
        return {key: function(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(function(item) for item in value)
    return function(value)


def child_names(x: DeclaredPytree) -> tuple[str, ...]:
    """Names of the attributes that are children. What unflattening was told holds, whatever it put in their places."""
    known = vars(x).get("_child_names")
    if known is not None:
        return known
    return tuple(sorted(name for name, value in attributes(x) if _is_child(x, name, value)))


def _is_child(x: DeclaredPytree, name: str, value: Any) -> bool:
    if holds_declared(value):
        return True
    if name in x.arg_event_dims:
        return x._host_values_are_leaves or is_array(value)
    if isinstance(value, np.ndarray | np.generic) and not x._host_values_are_leaves:
        return False
    leaves = jax.tree.leaves(value)
    return any(map(is_array, leaves)) and all(is_array(v) or isinstance(v, int | float | complex) for v in leaves)


class _Static:
    """Static attributes, hashable and comparable whatever they are."""

    __slots__ = ("key", "values")

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self.key = _static_key(values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Static) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return repr(self.values)


def _static_key(value: Any) -> Any:
    """A hashable stand-in: equal for two values only if a program compiled for one is right for the other."""
    if isinstance(value, float):
        return type(value), value.hex()
    if isinstance(value, bool | int | complex):
        return type(value), value
    if isinstance(value, np.ndarray | np.generic) and value.dtype != object:
        return type(value), value.shape, value.dtype.str, value.tobytes()
    if isinstance(value, list | tuple):
        return type(value), tuple(map(_static_key, value))
    if isinstance(value, Mapping):
        return type(value), tuple(sorted(((str(k), _static_key(v)) for k, v in value.items()), key=lambda kv: kv[0]))
    try:
        hash(value)
    except TypeError:
        return _ByIdentity(value)
    return value


class _ByIdentity:
    """Keeps an unhashable value alive and compares it by identity."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def _split(x: DeclaredPytree) -> tuple[tuple[str, ...], list[Any], _Static]:
    names = child_names(x)
    static = {name: value for name, value in sorted(attributes(x), key=lambda kv: kv[0]) if name not in names}
    return names, [vars(x)[name] for name in names], _Static(static)


def _flatten(x: DeclaredPytree) -> tuple[tuple[Any, ...], Any]:
    names, children, static = _split(x)
    return tuple(children), (names, static)


def _flatten_with_keys(x: DeclaredPytree) -> tuple[tuple[tuple[Any, Any], ...], Any]:
    names, children, static = _split(x)
    keyed = tuple((jax.tree_util.GetAttrKey(name), child) for name, child in zip(names, children, strict=True))
    return keyed, (names, static)


def _unflatten(cls: type, aux: tuple[tuple[str, ...], _Static], children: Any) -> Any:
    names, static = aux
    x: Any = object.__new__(cls)
    vars(x).update(static.values)
    vars(x).update(zip(names, children, strict=True))
    vars(x)["_child_names"] = names
    return x


def array_equiv(a: Any, b: Any, static: bool = False) -> Any:
    """Whether two arrays, or numbers, are equal up to broadcasting.

    :param static: answer with a Python ``bool`` always. Where a value is traced the two are equal only if they are
        the same object.
    :return: a Python ``bool`` for values on the host or with ``static=True``, else a boolean array.

    >>> array_equiv(np.ones(3), 1.0)
    True
    >>> jax.jit(lambda a: array_equiv(a, a + 0, static=True))(1.0).item()
    False
    """
    if a is b:
        return True
    if not all(is_array(x) or is_host_value(x) for x in (a, b)):
        return bool(a == b)
    if is_host_value(a) and is_host_value(b):
        return bool(np.array_equiv(a, b))
    if static:
        known = not any(isinstance(x, jax.core.Tracer | jax.ShapeDtypeStruct) for x in (a, b))
        return known and bool(np.array_equiv(np.asarray(a), np.asarray(b)))
    return can_broadcast(shape_of(a), shape_of(b)) and jnp.array_equiv(a, b)


def _values_equal(a: Any, b: Any, static: bool) -> Any:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and _all(_values_equal(a[key], b[key], static) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and _all(_values_equal(u, v, static) for u, v in zip(a, b, strict=True))
    if isinstance(a, DeclaredPytree):
        return a.eq(b, static)
    return array_equiv(a, b, static)


def _all(answers: Iterator[Any]) -> Any:
    result: Any = True
    for answer in answers:
        if answer is False:
            return False
        if answer is not True:
            result = answer if result is True else result & answer
    return result


def format_value(value: Any) -> str:
    """A parameter in a ``repr``: numbers as they are, arrays by type and shape."""
    if isinstance(value, jax.core.Tracer) or (is_array(value) and value.shape != ()):
        return f"{value.dtype}[{','.join(map(str, value.shape))}]"
    if isinstance(value, np.generic | np.ndarray | jax.Array):
        return str(value.item()) if not jnp.issubdtype(value.dtype, jax.dtypes.extended) else str(value)
    return repr(value)

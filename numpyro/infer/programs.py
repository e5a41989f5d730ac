# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Compiled programs that outlive the kernel for which they were made.

Another kernel with the same settings over the same model needs no other programs. So they are kept with the model (or
the potential energy) itself, and go when it goes; a lambda made anew is a new model. A model that reads a variable from
outside is another one once that variable has changed: what it reads is part of the key. Arrays of more than 64 KiB and
objects without visible state count as the same as long as they are the same object.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
import dataclasses
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any
import weakref

import jax
import numpy as np

from numpyro.distributions._pytree import DERIVED
from numpyro.infer.kernel import MCMCKernel

__all__ = ["programs_of", "settings_of", "visible_state"]

_ATTRIBUTE = "_numpyro_programs"
_NO_STATE = DERIVED | {_ATTRIBUTE}
"""Attributes that follow from the others: programs kept here, and what distributions compute on demand."""

_NO_SETTINGS = frozenset(
    {"_model", "_conditioned", "_potential_fn", "_num_warmup", "_prototype", "_programs", "_layouts"}
)
"""Attributes of kernels that are the model, or follow from it."""

_KEPT = 32
_LARGE = 2**16
_DEPTH = 6
_LIBRARIES = ("builtins", "functools", "jax", "jaxlib", "math", "numpy", "numpyro", "optax", "scipy")


class _Programs(OrderedDict[Any, dict[Any, Any]]):
    """Programs by settings, on the object to which they belong. Copies of that object have none."""

    def __init__(self, owner: Any = None) -> None:
        super().__init__()
        self.owner = None if owner is None else weakref.ref(owner)

    def __reduce__(self) -> Any:
        return (_Programs, ())

    def __deepcopy__(self, memo: Any) -> _Programs:
        return _Programs()


class _Same:
    """Equal to itself by identity, and keeps what it stands for alive, so that the identity is not given to another."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return hash(id(self.value))


def programs_of(fn: Any, settings: Any) -> dict[Any, Any] | None:
    """The programs for a model (or potential energy) and the settings of a kernel; None if they cannot be kept with it.

    >>> def model(): ...
    >>> programs_of(model, {"step_size": 0.1})["program"] = "compiled"
    >>> programs_of(model, {"step_size": 0.1}), programs_of(model, {"step_size": 0.2})
    ({'program': 'compiled'}, {})
    """
    owner = fn.__self__ if isinstance(fn, MethodType) else fn
    try:
        attributes = vars(owner)
        cache = attributes.get(_ATTRIBUTE)
        # functools.wraps copies attributes to another function.
        if not isinstance(cache, _Programs) or cache.owner is None or cache.owner() is not owner:
            cache = _Programs(owner)
            setattr(owner, _ATTRIBUTE, cache)
        which = _Same(fn.__func__) if isinstance(fn, MethodType) else None
        key = (which, visible_state(settings), visible_state(fn, owned=owner))
        hash(key)
    except (TypeError, AttributeError):
        return None
    if key in cache:
        cache.move_to_end(key)
    else:
        cache[key] = {}
        if len(cache) > _KEPT:
            cache.popitem(last=False)
    return cache[key]


def settings_of(kernel: MCMCKernel) -> list[tuple[str, Any]]:
    """What sets a kernel, and those inside it, apart from others over the same model: types and attributes, by paths.

    It is flat, because an account does not look deep.
    """
    return list(_flat(kernel, type(kernel).__name__))


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    parts: Iterable[tuple[Any, Any]]
    if isinstance(value, MCMCKernel) or _is_record(value):
        yield path, type(value)
        parts = ((name, part) for name, part in vars(value).items() if name not in _NO_SETTINGS)
    elif isinstance(value, tuple | list):
        parts = enumerate(value)
    else:
        yield path, value
        return
    for name, part in parts:
        yield from _flat(part, f"{path}.{name}")


def visible_state(value: Any, owned: Any = None) -> Any:
    """A hashable account of a value: what it holds and, for a function, what it reads from outside, as far as that can
    be seen.

    :param owned: an object that need not be kept alive by the account.

    >>> scale = [1.0]
    >>> before = visible_state(lambda x: x * scale[0])
    >>> visible_state({"a": (1, 2.0)}) == visible_state({"a": (1, 2.0)})
    True
    """
    return _account(value, _DEPTH, {id(owned)} if owned is not None else set())


def _account(value: Any, depth: int, seen: set[int]) -> Any:
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return type(value), value if value == value else "nan"
    if isinstance(value, np.ndarray):
        if value.nbytes > _LARGE or value.dtype.hasobject:
            return _Same(value)
        return "array", value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, type | ModuleType | BuiltinFunctionType | np.generic | jax.Array):
        return _Same(value) if not isinstance(value, np.generic) else (type(value), value.tobytes())
    own = id(value) in seen and depth == _DEPTH
    if depth == 0 or (id(value) in seen and not own):
        return "seen" if id(value) in seen else _Same(value)
    seen = seen | {id(value)}
    below = depth - 1
    if _is_record(value):
        return type(value), _account(vars(value), below, seen)
    if isinstance(value, tuple | list | set | frozenset):
        items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return type(value), tuple(_account(item, below, seen) for item in items)
    if isinstance(value, Mapping):
        return type(value), tuple((_account(k, below, seen), _account(v, below, seen)) for k, v in value.items())
    if isinstance(value, partial):
        return "partial", tuple(_account(x, below, seen) for x in (value.func, value.args, value.keywords))
    identity = "own" if own else _Same(value)
    if isinstance(value, MethodType):
        return "method", _account(value.__func__, below, seen), _account(value.__self__, depth, seen)
    if isinstance(value, FunctionType):
        return identity, () if _is_of_a_library(value) else _outside(value, below, seen)
    if _is_of_a_library(type(value)) and not own and not callable(value):
        return identity
    if below == 0:
        return identity
    state = {name: part for name, part in getattr(value, "__dict__", {}).items() if name not in _NO_STATE}
    call = type(value).__dict__.get("__call__")
    read = _outside(call, below, seen) if isinstance(call, FunctionType) and not _is_of_a_library(call) else ()
    return identity, _account(state, below, seen), read


def _is_record(value: Any) -> bool:
    """Whether a value is no more than its fields."""
    if isinstance(value, type) or not dataclasses.is_dataclass(value) or not _is_of_a_library(type(value)):
        return False
    settings: Any = getattr(value, "__dataclass_params__")  # noqa: B009
    return settings.frozen and settings.eq


def _is_of_a_library(value: Any) -> bool:
    return (getattr(value, "__module__", None) or "").partition(".")[0] in _LIBRARIES


def _outside(fn: FunctionType, depth: int, seen: set[int]) -> Any:
    """What a function reads from outside: variables of enclosing functions and of its module, defaults, and the
    attributes of modules that are no libraries."""
    found: list[Any] = [_account(default, depth, seen) for default in (fn.__defaults__, fn.__kwdefaults__)]
    for cell in fn.__closure__ or ():
        try:
            found.append(_account(cell.cell_contents, depth, seen))
        except ValueError:  # not assigned yet
            found.append("empty")
    names = _names(fn.__code__)
    for name in names:
        if name not in fn.__globals__:
            continue
        value = fn.__globals__[name]
        found.append((name, _account(value, depth, seen)))
        if isinstance(value, ModuleType) and value.__name__.partition(".")[0] not in _LIBRARIES:
            parts = [part for part in names if part in vars(value)]
            found.extend((name, part, _account(vars(value)[part], depth, seen)) for part in parts)
    return tuple(found)


def _names(code: CodeType) -> tuple[str, ...]:
    """Names of globals and attributes in a function and those inside it."""
    names = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names += _names(constant)
    return tuple(dict.fromkeys(names))

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Properties that are computed once, and checks of a log density's argument."""

from __future__ import annotations

from collections.abc import Callable
import functools
import os
import sys
from typing import Any
import warnings

import jax
import numpy as np

from numpyro.distributions._pytree import is_host_value, namespace

try:
    from jax.extend.core import get_opaque_trace_state
except ImportError:  # JAX before 0.10
    from jax.core import get_opaque_trace_state


class lazy_property:
    """Decorator for a property that is computed once.

    What is computed from tracers is used again only inside the trace that it came from, so nothing leaks from one
    transformation into another. Values are kept in the instance's ``__dict__["_lazy_cache"]``.

    >>> class Square:
    ...     def __init__(self, side):
    ...         self.side = side
    ...     @lazy_property
    ...     def area(self):
    ...         print("computing")
    ...         return self.side**2
    >>> square = Square(3)
    >>> square.area, square.area
    computing
    (9, 9)
    """

    def __init__(self, wrapped: Callable[[Any], Any]) -> None:
        self.wrapped = wrapped
        functools.update_wrapper(self, wrapped)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.wrapped(*args, **kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        holder, cache = instance.__dict__.get("_lazy_cache", (None, {}))
        if holder != id(instance):
            # A shallow copy comes with the cache of the instance that it was made from, but may change attributes.
            cache = {}
            instance.__dict__["_lazy_cache"] = (id(instance), cache)
        name = self.wrapped.__name__
        state = get_opaque_trace_state()
        if name in cache:
            known_in, value = cache[name]
            if known_in is None or known_in == state:
                return value
        value = self.wrapped(instance)
        cache[name] = (None if _is_concrete(value) else state, value)
        return value


def _is_concrete(value: Any) -> bool:
    return all(
        is_host_value(leaf) or (isinstance(leaf, jax.Array) and not isinstance(leaf, jax.core.Tracer))
        for leaf in jax.tree.leaves(value)
    )


def validate_sample(log_prob_fn: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator for a ``log_prob`` method that checks its value against ``self.support``.

    Where ``self._validate_args`` is true and nothing is traced, a value outside the support raises a warning and has
    log-probability minus infinity.

    >>> from numpyro.distributions import constraints
    >>> class Exponential:
    ...     support, _validate_args = constraints.positive, True
    ...     @validate_sample
    ...     def log_prob(self, value):
    ...         return -value
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     Exponential().log_prob(np.array([1.0, -1.0])).tolist()
    [-1.0, -inf]
    """

    @functools.wraps(log_prob_fn)
    def wrapper(self: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        log_prob = log_prob_fn(self, value, *args, **kwargs)
        if not getattr(self, "_validate_args", False):
            return log_prob
        inside = self.support(value)
        if isinstance(inside, jax.core.Tracer) or bool(np.all(inside)):
            return log_prob
        warnings.warn(
            f"{type(self).__name__}: some values lie outside the support, {self.support}; their log density is -inf.",
            stacklevel=_user_stacklevel(),
        )
        return namespace(inside, log_prob).where(inside, log_prob, -np.inf)

    return wrapper


def _user_stacklevel() -> int:
    """The ``stacklevel`` that makes a warning of the caller point at the first line outside this library."""
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(here):
        level, frame = level + 1, frame.f_back
    return level

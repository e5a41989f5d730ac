# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Layers without parameters, and layers one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

__all__ = ["Layer", "Relu", "as_layer", "elementwise", "serial"]

#: ``init_fn`` and ``apply_fn``.
Layer = tuple[Callable[..., Any], Callable[..., Any]]


def elementwise(function: Callable[[Any], Any]) -> Layer:
    """The layer that applies a function to every element.

    >>> import jax.numpy as jnp
    >>> init_fn, apply_fn = elementwise(jnp.tanh)
    >>> init_fn(jax.random.key(0), (3,))
    ((3,), ())
    """

    def init_fn(rng: Any, input_shape: Sequence[int]) -> tuple[tuple[int, ...], tuple[()]]:
        return tuple(input_shape), ()

    def apply_fn(params: Any, x: Any, **kwargs: Any) -> Any:
        return function(x)

    return init_fn, apply_fn


Relu = elementwise(jax.nn.relu)


def as_layer(nonlinearity: Any) -> Layer:
    """A pair as it is, a function as the layer that applies it to every element."""
    return nonlinearity if isinstance(nonlinearity, tuple) else elementwise(nonlinearity)


def serial(*layers: Layer) -> Layer:
    """Layers one after the other; the parameters are a list with an entry for each."""

    def init_fn(rng: Any, input_shape: Any) -> tuple[Any, list[Any]]:
        params = []
        for (init, _), key in zip(layers, jax.random.split(rng, max(len(layers), 1)), strict=False):
            input_shape, param = init(key, input_shape)
            params.append(param)
        return input_shape, params

    def apply_fn(params: Sequence[Any], x: Any, **kwargs: Any) -> Any:
        for (_, apply), param in zip(layers, params, strict=True):
            x = apply(param, x, **kwargs)
        return x

    return init_fn, apply_fn

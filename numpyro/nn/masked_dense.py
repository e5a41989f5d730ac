# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""A dense layer some of whose weights are held at zero."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.nn.initializers import glorot_normal, normal
import jax.numpy as jnp
import numpy as np

from numpyro.nn.layers import Layer

__all__ = ["MaskedDense"]

GLOROT_NORMAL = glorot_normal()
NORMAL = normal()


def MaskedDense(
    mask: Any,
    bias: bool = True,
    W_init: Callable[..., Any] = GLOROT_NORMAL,
    b_init: Callable[..., Any] = NORMAL,
) -> Layer:
    """Dense layer ``x @ (mask * W) + b``, as in MADE.

    **Reference:** Germain, Gregor, Murray, Larochelle (2015), *MADE: masked autoencoder for distribution estimation*,
    equation 9.

    :param mask: array of shape ``(inputs, outputs)``, 1 or True for the weights that take part.
    :param bias: whether to add a bias.
    :param W_init: initialiser of the weights, a function of a key and a shape.
    :param b_init: initialiser of the bias.
    :return: a pair of functions; see :mod:`numpyro.nn`. The parameters are ``(W, b)``, or W alone without a bias.

    >>> import jax, jax.numpy as jnp
    >>> init_fn, apply_fn = MaskedDense([[1, 0], [1, 1]])
    >>> shape, params = init_fn(jax.random.key(0), (2,))
    >>> bool(apply_fn(params, jnp.array([5.0, 0.0]))[1] == params[1][1])
    True
    """
    mask = np.asarray(mask) if isinstance(mask, list | tuple) else mask

    def init_fn(rng: Any, input_shape: Sequence[int]) -> tuple[tuple[int, ...], Any]:
        if input_shape[-1] != mask.shape[0]:
            raise ValueError(
                f"MaskedDense: the mask of shape {mask.shape} is for {mask.shape[0]} inputs, but input_shape is "
                f"{tuple(input_shape)}."
            )
        key_weight, key_bias = jax.random.split(rng)
        weight = W_init(key_weight, mask.shape) * mask
        params = (weight, b_init(key_bias, mask.shape[-1:])) if bias else weight
        return (*input_shape[:-1], mask.shape[-1]), params

    def apply_fn(params: Any, x: Any, **kwargs: Any) -> Any:
        weight, offset = params if bias else (params, 0.0)
        return jnp.dot(x, weight * mask) + offset

    return init_fn, apply_fn

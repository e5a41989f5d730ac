# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Masked autoregressive networks.

**Reference:** Germain, Gregor, Murray, Larochelle (2015), *MADE: masked autoencoder for distribution estimation*.
"""

from __future__ import annotations

from collections.abc import Sequence
import itertools
from typing import Any

import jax
from jax.nn.initializers import glorot_normal
import jax.numpy as jnp
import numpy as np

from numpyro.nn.layers import Layer, Relu, as_layer, serial
from numpyro.nn.masked_dense import MaskedDense

__all__ = ["AutoregressiveNN", "create_mask", "sample_mask_indices"]


def sample_mask_indices(input_dim: int, hidden_dim: int) -> np.ndarray:
    """How many of the first inputs each hidden unit may see: from 1 to ``input_dim``, spread evenly.

    >>> sample_mask_indices(3, 7).tolist()
    [1, 1, 2, 2, 2, 3, 3]
    """
    return np.round(np.linspace(1, max(input_dim, 1), hidden_dim)).astype(int)


def create_mask(
    input_dim: int, hidden_dims: Sequence[int], permutation: Any, output_dim_multiplier: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Masks of the layers of a network each output of which depends on earlier inputs only (MADE, eq. 12 and 13).

    :param input_dim: number of inputs.
    :param hidden_dims: numbers of hidden units.
    :param permutation: the inputs in their order.
    :param output_dim_multiplier: number of outputs for each input.
    :return: a mask of shape ``(inputs, outputs)`` for each layer, and one for connections that skip all hidden layers.

    >>> masks, skip = create_mask(2, [2], [0, 1], 1)
    >>> skip.tolist()
    [[False, True], [False, False]]
    """
    position = np.empty(input_dim, int)
    position[np.asarray(permutation)] = 1 + np.arange(input_dim)
    degrees = [position, *(sample_mask_indices(input_dim - 1, size) for size in hidden_dims)]
    masks = [after >= before[:, None] for before, after in itertools.pairwise(degrees)]
    outputs = np.tile(position, output_dim_multiplier)
    return [*masks, outputs > degrees[-1][:, None]], outputs > position[:, None]


def AutoregressiveNN(
    input_dim: int,
    hidden_dims: Sequence[int],
    param_dims: Sequence[int] = (1, 1),
    permutation: Any = None,
    skip_connections: bool = False,
    nonlinearity: Any = Relu,
) -> Layer:
    """Network from vectors to vectors of parameters, of which the i-th depends on the inputs before the i-th only.

    :param input_dim: number of inputs d.
    :param hidden_dims: numbers of hidden units of the layers, each at least d.
    :param param_dims: how many numbers each parameter has for each input.
    :param permutation: the inputs in their order; 0, 1, ... by default.
    :param skip_connections: whether to connect inputs and outputs directly, too.
    :param nonlinearity: a function of an array, or a layer (a pair of functions).
    :return: a pair of functions; see :mod:`numpyro.nn`. ``apply_fn`` returns one array for each parameter, of shape
        ``batch + (d,)`` if every parameter has one number, else ``(param_dim,) + batch + (d,)``. If there is one
        parameter only, its array is returned alone.
    :raises ValueError: if a hidden layer has fewer units than there are inputs, or the permutation is none.

    >>> import jax, jax.numpy as jnp
    >>> init_fn, apply_fn = AutoregressiveNN(3, [16])
    >>> _, params = init_fn(jax.random.key(0), (3,))
    >>> mean, log_scale = apply_fn(params, jnp.ones((5, 3)))
    >>> mean.shape, log_scale.shape
    ((5, 3), (5, 3))
    """
    if any(size < input_dim for size in hidden_dims):
        raise ValueError(
            f"AutoregressiveNN: each hidden layer needs at least as many units as there are inputs, {input_dim}, so "
            f"that none is cut off; hidden_dims is {list(hidden_dims)}."
        )
    order = np.arange(input_dim) if permutation is None else np.asarray(permutation)
    if sorted(order.tolist()) != list(range(input_dim)):
        raise ValueError(f"AutoregressiveNN: {order.tolist()} is no permutation of 0 to {input_dim - 1}.")
    param_dims = tuple(param_dims)
    multiplier = sum(param_dims)
    masks, skip_mask = create_mask(input_dim, hidden_dims, order, multiplier)
    layers: list[Layer] = []
    for mask in masks[:-1]:
        layers += [MaskedDense(mask), as_layer(nonlinearity)]
    net_init, net_apply = serial(*layers, MaskedDense(masks[-1]))

    def init_fn(rng: Any, input_shape: Sequence[int]) -> tuple[tuple[int, ...], Any]:
        if input_shape[-1] != input_dim:
            raise ValueError(f"AutoregressiveNN: it has {input_dim} inputs, but input_shape is {tuple(input_shape)}.")
        if not skip_connections:
            return net_init(rng, input_shape)
        key_net, key_skip = jax.random.split(rng)
        output_shape, params = net_init(key_net, input_shape)
        return output_shape, (params, glorot_normal()(key_skip, skip_mask.shape) * skip_mask)

    def apply_fn(params: Any, x: Any, **kwargs: Any) -> Any:
        if skip_connections:
            params, skip = params
            out = net_apply(params, x, **kwargs) + jnp.dot(x, skip * skip_mask)
        else:
            out = net_apply(params, x, **kwargs)
        out = jnp.moveaxis(jnp.reshape(out, (*jnp.shape(x)[:-1], multiplier, input_dim)), -2, 0)
        pieces = jnp.split(out, np.cumsum(param_dims)[:-1].tolist())
        if multiplier == len(param_dims):
            pieces = [piece[0] for piece in pieces]
        return pieces[0] if len(pieces) == 1 else tuple(pieces)

    return init_fn, apply_fn

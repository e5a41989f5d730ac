# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

r"""Block neural autoregressive networks: monotone in each input given those before it, with their log derivatives.

Layers pass on pairs of a vector and ``logdet``, the logarithms of the derivatives of each unit in the input of its own
block, of shape ``batch + (num_blocks, 1, units per block)``; None for the inputs themselves.

**Reference:** De Cao, Titov, Aziz (2019), *Block neural autoregressive flow*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import math
from typing import Any

import jax
from jax.nn.initializers import glorot_uniform, normal
import jax.numpy as jnp
from jax.scipy.special import logsumexp
import numpy as np

from numpyro.nn.layers import Layer, serial

__all__ = [
    "BlockMaskedDense",
    "BlockNeuralAutoregressiveNN",
    "FanInResidualGated",
    "FanInResidualNormal",
    "LeakyTanh",
    "Tanh",
]

GLOROT_UNIFORM = glorot_uniform()
STANDARD_NORMAL = normal(1.0)


def BlockMaskedDense(
    num_blocks: int,
    in_factor: int,
    out_factor: int,
    bias: bool = True,
    W_init: Callable[..., Any] = GLOROT_UNIFORM,
) -> Layer:
    r"""Dense layer with positive weights inside each block, and weights from earlier blocks to later ones.

    .. math:: W = e^{g} \frac{V}{|V|}, \quad V = e^{U} \text{ inside the blocks}, \quad V = U \text{ above them}

    with one norm and one g for each output (section 3.2, equation 9).

    :param num_blocks: number of blocks, that of the variables.
    :param in_factor: inputs per block.
    :param out_factor: outputs per block.
    :param bias: whether to add a bias.
    :param W_init: initialiser of U, a function of a key and a shape.
    :return: a pair of functions; see :mod:`numpyro.nn`.

    >>> import jax, jax.numpy as jnp
    >>> init_fn, apply_fn = BlockMaskedDense(3, 1, 2)
    >>> shape, params = init_fn(jax.random.key(0), (3,))
    >>> out, logdet = apply_fn(params, (jnp.ones(3), None))
    >>> out.shape, logdet.shape
    ((6,), (3, 1, 2))
    """
    input_dim, output_dim = num_blocks * in_factor, num_blocks * out_factor
    in_block, out_block = np.arange(input_dim) // in_factor, np.arange(output_dim) // out_factor
    inside = in_block[:, None] == out_block
    earlier = in_block[:, None] < out_block

    def init_fn(rng: Any, input_shape: Sequence[int]) -> tuple[tuple[int, ...], Any]:
        if input_shape[-1] != input_dim:
            raise ValueError(
                f"BlockMaskedDense: {num_blocks} blocks of {in_factor} inputs make {input_dim}, but input_shape is "
                f"{tuple(input_shape)}."
            )
        key_weight, key_scale, key_bias = jax.random.split(rng, 3)
        weight = W_init(key_weight, (input_dim, output_dim)) * (inside | earlier)
        # Away from zero, so that no output starts out flat.
        log_scale = jnp.log(jax.random.uniform(key_scale, (output_dim,), minval=0.05))
        params: tuple[Any, ...] = (weight, log_scale)
        if bias:
            bound = 1 / math.sqrt(output_dim)
            params += (jax.random.uniform(key_bias, (output_dim,), minval=-bound, maxval=bound),)
        return (*input_shape[:-1], output_dim), params

    def apply_fn(params: Any, inputs: tuple[Any, Any], **kwargs: Any) -> tuple[Any, Any]:
        x, logdet = inputs
        weight, log_scale = params[:2]
        direction = jnp.where(inside, jnp.exp(jnp.where(inside, weight, 0.0)), jnp.where(earlier, weight, 0.0))
        log_norm = 0.5 * jnp.log(jnp.sum(direction * direction, 0))
        out = jnp.dot(x, direction * jnp.exp(log_scale - log_norm))
        if bias:
            out = out + params[2]
        blocks = (weight + log_scale - log_norm).reshape(num_blocks, in_factor, num_blocks, out_factor)
        log_weight = jnp.moveaxis(jnp.diagonal(blocks, axis1=0, axis2=2), -1, 0)
        if logdet is None:
            if in_factor != 1:
                raise ValueError(f"BlockMaskedDense: {in_factor} inputs per block need their logdet.")
            return out, log_weight
        return out, logsumexp(logdet[..., 0, :, None] + log_weight, -2)[..., None, :]

    return init_fn, apply_fn


def _activation(function: Callable[[Any], Any], log_derivative: Callable[[Any], Any]) -> Layer:
    def init_fn(rng: Any, input_shape: Sequence[int]) -> tuple[tuple[int, ...], tuple[()]]:
        return tuple(input_shape), ()

    def apply_fn(params: Any, inputs: tuple[Any, Any], **kwargs: Any) -> tuple[Any, Any]:
        x, logdet = inputs
        slope = log_derivative(x)
        if logdet is None:
            return function(x), slope[..., None, None]
        return function(x), logdet + slope.reshape(slope.shape[:-1] + logdet.shape[-3:])

    return init_fn, apply_fn


def _log_sech_squared(x: Any) -> Any:
    return 2 * (math.log(2) - x - jax.nn.softplus(-2 * x))


def Tanh() -> Layer:
    """Hyperbolic tangent.

    :return: a pair of functions of pairs; see :mod:`numpyro.nn.block_neural_arn`.
    """
    return _activation(jnp.tanh, _log_sech_squared)


def LeakyTanh(min_grad: float = 0.01) -> Layer:
    """Hyperbolic tangent plus a multiple of the argument, so that the network reaches the whole line.

    :param min_grad: the multiple, positive.
    :return: a pair of functions of pairs; see :mod:`numpyro.nn.block_neural_arn`.
    """
    return _activation(
        lambda x: jnp.tanh(x) + min_grad * x, lambda x: jnp.logaddexp(_log_sech_squared(x), math.log(min_grad))
    )


def FanInResidualNormal() -> Layer:
    """Residual connection ``f(x) + x`` (section 3.3).

    :return: a pair of functions; ``apply_fn`` takes the pair ``(f(x), logdet)`` and the pair ``(x, None)``.
    """

    def init_fn(rng: Any, input_shape: Sequence[Any]) -> tuple[Any, tuple[()]]:
        return input_shape[0], ()

    def apply_fn(params: Any, inputs: Any, **kwargs: Any) -> tuple[Any, Any]:
        (fx, logdet), (x, _) = inputs
        return fx + x, jax.nn.softplus(logdet)

    return init_fn, apply_fn


def FanInResidualGated(gate_init: Callable[..., Any] = STANDARD_NORMAL) -> Layer:
    """Gated residual connection ``s f(x) + (1 - s) x`` with the sigmoid s of a parameter (section 3.3).

    :param gate_init: initialiser of the parameter, a function of a key and a shape.
    :return: a pair of functions; ``apply_fn`` takes the pair ``(f(x), logdet)`` and the pair ``(x, None)``.
    """

    def init_fn(rng: Any, input_shape: Sequence[Any]) -> tuple[Any, Any]:
        return input_shape[0], gate_init(rng, ())

    def apply_fn(params: Any, inputs: Any, **kwargs: Any) -> tuple[Any, Any]:
        (fx, logdet), (x, _) = inputs
        share = jax.nn.sigmoid(params)
        # log(1 - s + s exp(logdet)), with log(1 - s) = -softplus(params)
        return share * fx + (1 - share) * x, jax.nn.softplus(logdet + params) - jax.nn.softplus(params)

    return init_fn, apply_fn


def BlockNeuralAutoregressiveNN(
    input_dim: int,
    hidden_factors: Sequence[int] = (8, 8),
    residual: str | None = None,
    activation: Layer | None = None,
) -> Layer:
    """Network from vectors to vectors whose i-th output increases in the i-th input and depends on none after it.

    :param input_dim: number of inputs d.
    :param hidden_factors: hidden units per input of the layers.
    :param residual: None, "normal" or "gated".
    :param activation: a layer such as :func:`LeakyTanh`; :func:`Tanh` by default.
    :return: a pair of functions; see :mod:`numpyro.nn`. ``apply_fn`` returns the outputs, and the logarithms of the
        derivative of each output in its own input, both of shape ``batch + (d,)``.

    >>> import jax, jax.numpy as jnp
    >>> init_fn, apply_fn = BlockNeuralAutoregressiveNN(3)
    >>> _, params = init_fn(jax.random.key(0), (3,))
    >>> out, logdet = apply_fn(params, jnp.ones((5, 3)))
    >>> out.shape, logdet.shape
    ((5, 3), (5, 3))
    """
    if residual not in (None, "normal", "gated"):
        raise ValueError(f'BlockNeuralAutoregressiveNN: residual must be None, "normal" or "gated", not {residual!r}.')
    activation = Tanh() if activation is None else activation
    layers, factor = [], 1
    for next_factor in hidden_factors:
        layers += [BlockMaskedDense(input_dim, factor, next_factor), activation]
        factor = next_factor
    net_init, net_apply = serial(*layers, BlockMaskedDense(input_dim, factor, 1))
    fan_init, fan_apply = FanInResidualGated() if residual == "gated" else FanInResidualNormal()

    def init_fn(rng: Any, input_shape: Sequence[int]) -> tuple[tuple[int, ...], Any]:
        key_net, key_gate = jax.random.split(rng)
        output_shape, params = net_init(key_net, input_shape)
        if residual is None:
            return output_shape, params
        _, gate = fan_init(key_gate, (output_shape, tuple(input_shape)))
        return output_shape, (params, gate)

    def apply_fn(params: Any, x: Any, **kwargs: Any) -> tuple[Any, Any]:
        if residual is None:
            out, logdet = net_apply(params, (x, None), **kwargs)
        else:
            params, gate = params
            out, logdet = fan_apply(gate, (net_apply(params, (x, None), **kwargs), (x, None)))
        return out, jnp.broadcast_to(logdet[..., 0, 0], jnp.shape(out))

    return init_fn, apply_fn

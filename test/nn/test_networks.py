# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Autoregressive networks: what depends on what, shapes, and derivatives against autodiff."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro.nn import AutoregressiveNN, BlockNeuralAutoregressiveNN, MaskedDense
from numpyro.nn.auto_reg_nn import create_mask, sample_mask_indices
from numpyro.nn.block_neural_arn import (
    BlockMaskedDense,
    FanInResidualGated,
    FanInResidualNormal,
    LeakyTanh,
    Tanh,
)

KEY = jax.random.key(3)


def made(network, *input_shape):
    init_fn, apply_fn = network
    return init_fn(KEY, input_shape), apply_fn


def test_masked_weights_do_not_count_and_do_not_learn():
    mask = np.array([[1.0, 0.0], [1.0, 1.0]])
    (shape, params), apply_fn = made(MaskedDense(mask), 5, 2)
    assert shape == (5, 2)
    x = jnp.array([[2.0, -1.0]])
    weight, offset = params
    np.testing.assert_allclose(apply_fn(params, x), x @ (weight * mask) + offset, rtol=1e-6)
    slope = jax.grad(lambda p: apply_fn(p, x).sum())((weight + 1.0, offset))[0]
    np.testing.assert_array_equal(slope, mask * np.array([[2.0], [-1.0]]))
    (_, weight), apply_fn = made(MaskedDense(mask, bias=False), 2)
    np.testing.assert_allclose(apply_fn(weight, x), x @ (weight * mask), rtol=1e-6)
    with pytest.raises(ValueError, match="2 inputs"):
        MaskedDense(mask)[0](KEY, (3,))


@pytest.mark.parametrize("skip_connections", [False, True])
@pytest.mark.parametrize("permutation", [None, (2, 0, 3, 1)])
@pytest.mark.parametrize("hidden_dims", [[8], [16, 24], []])
def test_outputs_depend_on_all_earlier_inputs_and_no_others(hidden_dims, permutation, skip_connections):
    network = AutoregressiveNN(
        4,
        hidden_dims,
        param_dims=[1, 2],
        permutation=permutation,
        skip_connections=skip_connections,
        nonlinearity=jnp.tanh,
    )
    (_, params), apply_fn = made(network, 4)

    @jax.jit
    def dependence(params):
        # Weights away from zero, so that a dependence that exists is seen.
        params = jax.tree.map(lambda x: x + 0.3, params)
        return jax.jacobian(lambda x: jnp.concatenate(apply_fn(params, x)))(jnp.array([0.1, -0.2, 0.3, 0.4]))

    order = np.arange(4) if permutation is None else np.array(permutation)
    position = np.argsort(order)
    expected = position[:, None] > position
    for one in dependence(params):
        np.testing.assert_array_equal(np.asarray(one) != 0, expected)


@pytest.mark.parametrize(
    ("param_dims", "shapes"),
    [((1, 1), [(5, 7, 3)] * 2), ((1,), (5, 7, 3)), ((2,), (2, 5, 7, 3)), ((1, 2), [(1, 5, 7, 3), (2, 5, 7, 3)])],
)
def test_shapes_of_the_parameters(param_dims, shapes):
    (shape, params), apply_fn = made(AutoregressiveNN(3, [4], param_dims), 3)
    assert shape == (3 * sum(param_dims),)
    out = jax.eval_shape(apply_fn, params, jnp.ones((5, 7, 3)))
    assert [x.shape for x in out] == shapes if isinstance(out, tuple) else out.shape == shapes


def test_degrees_spread_over_the_hidden_units():
    assert sample_mask_indices(3, 3).tolist() == [1, 2, 3]
    masks, skip = create_mask(3, [4, 5], np.arange(3), 2)
    assert [mask.shape for mask in masks] == [(3, 4), (4, 5), (5, 6)]
    assert skip.shape == (3, 6)
    np.testing.assert_array_equal(np.linalg.multi_dot([m.astype(int) for m in masks]) > 0, skip)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: AutoregressiveNN(4, [3]), "at least as many"),
        (lambda: AutoregressiveNN(3, [3], permutation=[0, 1, 1]), "no permutation"),
        (lambda: AutoregressiveNN(3, [3])[0](KEY, (4,)), "3 inputs"),
        (lambda: BlockNeuralAutoregressiveNN(3, residual="other"), "'other'"),
        (lambda: BlockMaskedDense(3, 2, 4)[0](KEY, (3,)), "3 blocks of 2"),
        (
            lambda: made(BlockMaskedDense(3, 2, 4), 6)[1](
                made(BlockMaskedDense(3, 2, 4), 6)[0][1], (jnp.ones(6), None)
            ),
            "logdet",
        ),
    ],
)
def test_what_does_not_fit(build, words):
    with pytest.raises(ValueError, match=words):
        build()


@pytest.mark.parametrize("residual", [None, "normal", "gated"])
@pytest.mark.parametrize("activation", [None, LeakyTanh()])
@pytest.mark.parametrize("hidden_factors", [(4,), (3, 5), ()])
def test_block_network_is_triangular_and_knows_its_diagonal(hidden_factors, activation, residual):
    network = BlockNeuralAutoregressiveNN(3, hidden_factors, residual, activation)
    (shape, params), apply_fn = made(network, 3)
    assert shape == (3,)
    x = jax.random.normal(jax.random.key(1), (2, 5, 3))

    @jax.jit
    def compare(params, x):
        out, logdet = apply_fn(params, x)
        jacobian = jax.vmap(jax.vmap(jax.jacobian(lambda x: apply_fn(params, x)[0])))(x)
        return out, logdet, jacobian

    out, logdet, jacobian = map(np.asarray, compare(params, x))
    assert out.shape == logdet.shape == (2, 5, 3)
    np.testing.assert_allclose(np.exp(logdet), np.diagonal(jacobian, axis1=-2, axis2=-1), rtol=1e-4)
    np.testing.assert_allclose(np.triu(jacobian, 1), 0.0, atol=1e-6)
    assert np.all(np.abs(jacobian[..., 2, 0]) > 0)
    assert np.all(logdet > -np.inf)


def test_activations_and_their_log_derivatives():
    x, logdet = jnp.array([[0.3, -2.0, 30.0, 0.1]]), jnp.zeros((1, 2, 1, 2))
    for (_, apply_fn), function in ((Tanh(), jnp.tanh), (LeakyTanh(0.1), lambda x: jnp.tanh(x) + 0.1 * x)):
        out, slopes = apply_fn((), (x, logdet))
        np.testing.assert_allclose(out, function(x), rtol=1e-6)
        assert slopes.shape == logdet.shape
        expected = jax.vmap(jax.grad(function))(x[0])
        np.testing.assert_allclose(np.exp(slopes).ravel(), expected, rtol=1e-5, atol=1e-20)
        assert np.all(np.isfinite(slopes))


def test_residual_connections():
    x, fx, logdet = jnp.ones(3), jnp.full(3, 2.0), jnp.full((3, 1, 1), np.log(5.0))
    out, total = FanInResidualNormal()[1]((), ((fx, logdet), (x, None)))
    np.testing.assert_allclose(out, 3.0)
    np.testing.assert_allclose(total, np.log(6.0), rtol=1e-6)
    init_fn, apply_fn = FanInResidualGated()
    assert init_fn(KEY, ((3,), (3,)))[0] == (3,)
    out, total = apply_fn(jnp.log(0.25 / 0.75), ((fx, logdet), (x, None)))
    np.testing.assert_allclose(out, 1.25, rtol=1e-6)
    np.testing.assert_allclose(total, np.log(0.25 * 5 + 0.75), rtol=1e-6)

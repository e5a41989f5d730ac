# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Normalising flows: inverses, Jacobian determinants, and their use as transforms of distributions."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro.distributions as dist
from numpyro.distributions.flows import BlockNeuralAutoregressiveTransform, InverseAutoregressiveTransform
from numpyro.nn import AutoregressiveNN, BlockNeuralAutoregressiveNN


def autoregressive(permutation=None):
    init_fn, apply_fn = AutoregressiveNN(4, [12], permutation=permutation, nonlinearity=jnp.tanh)
    params = jax.tree.map(lambda x: 3 * x, init_fn(jax.random.key(0), (4,))[1])
    return functools.partial(apply_fn, params)


def block_neural(residual):
    init_fn, apply_fn = BlockNeuralAutoregressiveNN(4, [3], residual)
    return functools.partial(apply_fn, init_fn(jax.random.key(0), (4,))[1])


FLOWS = {
    "autoregressive": lambda: InverseAutoregressiveTransform(autoregressive()),
    "autoregressive, permuted": lambda: InverseAutoregressiveTransform(autoregressive([3, 1, 0, 2])),
    "block neural": lambda: BlockNeuralAutoregressiveTransform(block_neural(None)),
    "block neural, gated": lambda: BlockNeuralAutoregressiveTransform(block_neural("gated")),
}


@pytest.mark.parametrize("name", FLOWS)
def test_log_determinant_is_that_of_autodiff(name):
    flow, x = FLOWS[name](), jax.random.normal(jax.random.key(1), (3, 2, 4))

    @jax.jit
    def compare(flow, x):
        y, intermediates = flow.call_with_intermediates(x)
        jacobian = jax.vmap(jax.vmap(jax.jacobian(flow)))(x)
        both = flow.log_abs_det_jacobian(x, y), flow.log_abs_det_jacobian(x, y, intermediates)
        return y, flow(x), both, jnp.linalg.slogdet(jacobian)

    y, again, both, (sign, expected) = compare(flow, x)
    np.testing.assert_allclose(y, again, rtol=1e-6)
    assert np.all(sign == 1)
    for log_det in both:
        assert log_det.shape == (3, 2)
        np.testing.assert_allclose(log_det, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["autoregressive", "autoregressive, permuted"])
def test_autoregressive_flow_goes_back_and_forth(name):
    flow, x = FLOWS[name](), jax.random.normal(jax.random.key(1), (3, 2, 4))
    back = jax.jit(lambda flow, x: flow._inverse(flow(x)))(flow, x)
    np.testing.assert_allclose(back, x, rtol=1e-3, atol=1e-4)


def test_density_of_a_transformed_normal():
    """Of its own draws by the intermediates, of any value by the inverse; both integrate the change of variables."""
    d = dist.TransformedDistribution(dist.Normal(jnp.zeros(4), 1.0).to_event(1), FLOWS["autoregressive"]())

    @jax.jit
    def run(d, key):
        y, intermediates = d.sample_with_intermediates(key, (5,))
        return y, d.log_prob(y, intermediates), d.log_prob(y)

    y, by_intermediates, by_inverse = run(d, jax.random.key(2))
    assert y.shape == (5, 4)
    np.testing.assert_allclose(by_intermediates, by_inverse, rtol=1e-3)


def test_block_neural_flow_has_no_inverse_but_weighs_its_own_draws():
    flow = FLOWS["block neural"]()
    d = dist.TransformedDistribution(dist.Normal(jnp.zeros(4), 1.0).to_event(1), flow)
    y, intermediates = d.sample_with_intermediates(jax.random.key(2), (5,))
    assert d.log_prob(y, intermediates).shape == (5,)
    with pytest.raises(NotImplementedError, match="intermediates"):
        d.log_prob(y)


def test_the_scale_is_clipped_and_the_gradient_is_not():
    network = lambda raw: lambda x: (jnp.zeros_like(x), jnp.full_like(x, 1.0) * raw)
    log_det = lambda raw: InverseAutoregressiveTransform(network(raw)).log_abs_det_jacobian(jnp.ones(2), None)
    for raw, clipped in ((9.0, 3.0), (-9.0, -5.0), (0.5, 0.5)):
        value, slope = jax.value_and_grad(log_det)(raw)
        assert value == 2 * clipped
        assert slope == 2.0
    wide = InverseAutoregressiveTransform(network(9.0), log_scale_max_clip=20.0)
    assert wide.log_abs_det_jacobian(jnp.ones(2), None) == 18.0


def test_bound_parameters_are_leaves():
    flow = FLOWS["autoregressive"]()
    assert len(jax.tree.leaves(flow)) == 4
    doubled = jax.tree.map(lambda x: 2 * x, flow)
    x = jnp.ones(4)
    assert not np.allclose(doubled(x), flow(x))
    gradient = jax.grad(lambda flow: flow(x).sum())(flow)
    assert any(np.any(g != 0) for g in jax.tree.leaves(gradient))

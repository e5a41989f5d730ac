# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""TFP's distributions in models: with the package where it works, and always with a stand-in of its interface."""

from __future__ import annotations

import importlib
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from tfp_stand_in import FAMILIES, StandIn

import numpyro
from numpyro import handlers
from numpyro.contrib.control_flow import scan
from numpyro.contrib.tfp import distributions as tfd
import numpyro.distributions as dist
from numpyro.distributions import biject_to
from numpyro.infer import MCMC, NUTS

NAME = "tensorflow_probability.substrates.jax.distributions"


@pytest.fixture(params=["stand-in", "real"], autouse=True)
def package(request, monkeypatch):
    if request.param == "real":
        try:
            importlib.import_module(NAME)
        except (ImportError, AttributeError) as error:
            pytest.skip(f"no TensorFlow Probability for this JAX: {error}")
        return
    module = types.ModuleType(NAME)
    module.Distribution = StandIn
    for family in FAMILIES:
        setattr(module, family.__name__, family)
    monkeypatch.setitem(sys.modules, NAME, module)
    for parent in (
        "tensorflow_probability",
        "tensorflow_probability.substrates",
        "tensorflow_probability.substrates.jax",
    ):
        monkeypatch.setitem(sys.modules, parent, types.ModuleType(parent))


def test_numbers():
    d = tfd.Normal(0.5, 2.0)
    assert isinstance(d, dist.Distribution)
    rv = scipy.stats.norm(0.5, 2.0)
    np.testing.assert_allclose(d.log_prob(1.0), rv.logpdf(1.0), rtol=1e-6)
    np.testing.assert_allclose(d.cdf(1.0), rv.cdf(1.0), rtol=1e-6)
    np.testing.assert_allclose(d.icdf(0.3), rv.ppf(0.3), rtol=1e-5)
    np.testing.assert_allclose(d.mean, 0.5)
    assert d.has_rsample
    assert not tfd.Poisson(1.0).has_rsample
    assert float(d.loc) == 0.5
    assert repr(d) == "TFPDistribution[Normal](batch_shape=(), event_shape=())"
    assert d.sample(jax.random.key(0), (3,)).shape == (3,)


def stack(build, locs):
    return {
        "vmap": lambda: jax.vmap(build)(locs),
        "scan": lambda: jax.lax.map(build, locs),
        "stack": lambda: jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(build, locs)),
    }


@pytest.mark.parametrize("way", ["vmap", "scan", "stack"])
@pytest.mark.parametrize("wrapper", ["none", "expand", "to_event", "mask"])
def test_stacking_prepends_one_dimension(way, wrapper):
    """The parameters have different ranks; those of the TFP object itself could not be stacked."""
    wrap = {
        "none": lambda d: d,
        "expand": lambda d: d.expand((5, 3)),
        "to_event": lambda d: d.to_event(1),
        "mask": lambda d: d.mask(np.array([True, False, True])),
    }[wrapper]

    def build(loc):
        return wrap(tfd.MultivariateNormalTriL(loc, 2.0 * jnp.eye(2)))

    locs = jax.random.normal(jax.random.key(0), (4, 3, 2))
    stacked = stack(build, locs)[way]()
    one = build(locs[0])
    assert stacked.batch_shape == (4, *one.batch_shape)
    assert stacked.event_shape == one.event_shape
    value = jax.random.normal(jax.random.key(1), stacked.shape())
    each = [build(loc).log_prob(x) for loc, x in zip(locs, value, strict=True)]
    np.testing.assert_allclose(stacked.log_prob(value), each, rtol=1e-5)
    assert stacked.sample(jax.random.key(2), (6,)).shape == (6, *stacked.shape())
    back = jax.tree.map(lambda x: x[1], stacked)
    assert back.batch_shape == one.batch_shape


def test_parameters_of_size_one_are_expanded_when_drawn():
    d = jax.lax.map(lambda loc: tfd.Normal(loc, jnp.ones((3, 1))), jnp.arange(4.0)).expand((4, 3, 5))
    draws = d.sample(jax.random.key(0))
    assert draws.shape == (4, 3, 5)
    assert len(np.unique(draws)) == 60


def test_lists_are_parameters():
    d = tfd.Normal([0.0, 1.0], 1.0)
    assert d.batch_shape == (2,)
    assert jax.tree.map(lambda x: x[0], d).batch_shape == ()


def test_supports_and_their_bijectors():
    support = tfd.Gamma(2.0, jnp.ones(3)).support
    np.testing.assert_array_equal(support(jnp.array([-1.0, 0.5, 2.0])), [False, True, True])
    assert np.all(support(support.feasible_like(np.zeros((4, 3)))))
    transform = biject_to(support)
    x = jnp.array([-1.0, 0.0, 2.0])
    np.testing.assert_allclose(transform._inverse(transform(x)), x, atol=1e-5)
    slopes = jax.vmap(jax.grad(transform))(x) if support.event_dim else jnp.diagonal(jax.jacobian(transform)(x))
    np.testing.assert_allclose(transform.log_abs_det_jacobian(x, transform(x)), np.log(slopes), rtol=1e-4)
    assert transform.forward_shape((4, 3)) == transform.inverse_shape((4, 3)) == (4, 3)


def test_log_det_of_a_constant_jacobian_has_the_batch_shape():
    transform = biject_to(tfd.Normal(jnp.zeros(3), 1.0).support)
    np.testing.assert_array_equal(transform.log_abs_det_jacobian(jnp.ones((4, 3)), None), np.zeros((4, 3)))


def test_discrete_distributions():
    d = tfd.Categorical(probs=jnp.array([0.2, 0.3, 0.5]))
    assert d.is_discrete
    np.testing.assert_array_equal(d.enumerate_support(), [0, 1, 2])
    assert d.expand((4,)).enumerate_support().shape == (3, 4)
    np.testing.assert_array_equal(d.support(np.array([-1, 0, 2, 3])), [False, True, True, False])
    poisson = tfd.Poisson(2.0)
    assert poisson.is_discrete
    assert not poisson.has_enumerate_support
    with pytest.raises(NotImplementedError, match="Poisson"):
        poisson.enumerate_support()
    assert poisson.support(3.0)
    assert not poisson.support(-1.0)


def test_in_a_scan_under_a_plate():
    def model():
        def step(carry, _):
            with numpyro.plate("rows", 3):
                x = numpyro.sample("x", tfd.Normal(carry, jnp.ones(3)))
                numpyro.sample("v", tfd.MultivariateNormalTriL(jnp.zeros(2), jnp.eye(2)))
            return x.mean(), None

        scan(step, 0.0, jnp.arange(5))

    trace = handlers.trace(handlers.seed(model, 0)).get_trace()
    for name, event in (("x", ()), ("v", (2,))):
        site = trace[name]
        assert site["value"].shape == (5, 3, *event)
        assert site["fn"].batch_shape == (5, 3)
        assert site["fn"].log_prob(site["value"]).shape == (5, 3)


def test_posterior_of_a_conjugate_model():
    data = np.random.default_rng(0).normal(3.0, 2.0, size=50).astype(np.float32)

    def model(y):
        loc = numpyro.sample("loc", tfd.Normal(0.0, 10.0))
        rate = numpyro.sample("rate", tfd.Gamma(3.0, 2.0))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", tfd.Normal(loc, 2.0), obs=y)
            numpyro.sample("counts", tfd.Poisson(rate), obs=jnp.full(len(data), 4.0))

    mcmc = MCMC(NUTS(model), num_warmup=300, num_samples=1000, progress_bar=False)
    mcmc.run(jax.random.key(0), data)
    draws = mcmc.get_samples()
    precision = 1 / 100 + 50 / 4
    assert abs(draws["loc"].mean() - data.sum() / 4 / precision) < 0.06
    posterior = scipy.stats.gamma(3 + 200, scale=1 / (2 + 50))
    assert abs(draws["rate"].mean() - posterior.mean()) < 0.06
    assert abs(draws["rate"].std() / posterior.std() - 1) < 0.2


def test_what_is_no_distribution():
    with pytest.raises(TypeError, match="no distribution of TensorFlow Probability"):
        tfd.TFPDistribution(3.0)
    with pytest.raises(AttributeError, match="no attribute"):
        _ = tfd.Normal(0.0, 1.0).nonsense


def test_a_package_that_is_missing_or_broken_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, NAME, None)
    with pytest.raises(ImportError, match="pip install tensorflow-probability"):
        _ = tfd.Normal

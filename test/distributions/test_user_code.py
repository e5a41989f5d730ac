# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions, transforms and constraints that users write, in the documented style, in models and in inference.

The shape laws are tested on user-written distributions in test_shape_laws.py.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
from numpyro import handlers
from numpyro.contrib.control_flow import scan
import numpyro.distributions as dist
from numpyro.distributions import biject_to, constraints
from numpyro.distributions.transforms import Transform
from numpyro.infer import MCMC, NUTS, Predictive


class AtLeast(constraints.Constraint):
    """With a parameter, and a flattening of its own."""

    def __init__(self, low):
        self.low = low

    def __call__(self, x):
        return x >= self.low

    def feasible_like(self, prototype):
        return jnp.broadcast_to(self.low + 1.0, jnp.shape(prototype))

    def tree_flatten(self):
        return (self.low,), (("low",), {})


class ExpShift(Transform):
    """Declares neither its parameter nor a flattening."""

    domain = constraints.real

    def __init__(self, low):
        self.low = low

    @property
    def codomain(self):
        return AtLeast(self.low)

    def __call__(self, x):
        return self.low + jnp.exp(x)

    def _inverse(self, y):
        return jnp.log(y - self.low)

    def log_abs_det_jacobian(self, x, y, intermediates=None):
        return jnp.broadcast_to(x, jnp.broadcast_shapes(jnp.shape(x), jnp.shape(self.low)))


@biject_to.register(AtLeast)
def _(constraint):
    return ExpShift(constraint.low)


class Delayed(dist.Distribution):
    """An exponential waiting time after a delay: parameters declared, a support that depends on them."""

    arg_constraints = {"delay": constraints.real, "rate": constraints.positive}
    reparametrized_params = ["delay", "rate"]

    def __init__(self, delay, rate, *, validate_args=None):
        self.delay, self.rate = dist.util.promote_shapes(delay, rate)
        super().__init__(jnp.broadcast_shapes(jnp.shape(delay), jnp.shape(rate)), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self):
        return AtLeast(self.delay)

    def sample(self, key, sample_shape=()):
        return self.delay + jax.random.exponential(key, self.shape(sample_shape)) / self.rate

    def log_prob(self, value):
        return jnp.log(self.rate) - self.rate * (value - self.delay)


class Tilted(dist.Distribution):
    """Holds a distribution and a matrix, named in ``pytree_data_fields``."""

    support = constraints.real_vector
    pytree_data_fields = ("_base", "_matrix")

    def __init__(self, loc, matrix, *, validate_args=None):
        self._base = dist.Normal(loc, 1.0).to_event(1)
        self._matrix = matrix
        super().__init__(self._base.batch_shape, self._base.event_shape, validate_args=validate_args)

    def sample(self, key, sample_shape=()):
        return jnp.einsum("...ij,...j->...i", self._matrix, self._base.sample(key, sample_shape))

    def log_prob(self, value):
        noise = jnp.einsum("...ij,...j->...i", jnp.linalg.inv(self._matrix), value)
        return self._base.log_prob(noise) - jnp.linalg.slogdet(self._matrix)[1]


DELAYS = np.array([-1.0, 0.5, 2.0], np.float32)
MATRIX = np.array([[1.0, 0.0], [0.5, 2.0]], np.float32)


def model():
    with numpyro.plate("rows", 3):
        numpyro.sample("waiting", Delayed(DELAYS, 2.0))
        numpyro.sample("later", dist.TransformedDistribution(dist.Normal(0.0, 0.5), ExpShift(DELAYS)))
    numpyro.sample("tilted", Tilted(np.array([1.0, -1.0], np.float32), MATRIX))

    def step(carry, delay):
        with numpyro.plate("columns", 2):
            return carry, numpyro.sample("waiting in turn", Delayed(delay, 2.0))

    scan(step, 0.0, DELAYS)


#: Means and standard deviations.
MOMENTS = {
    "waiting": (DELAYS + 0.5, 0.5),
    "later": (DELAYS + np.exp(0.125), np.sqrt(np.expm1(0.25) * np.exp(0.25))),
    "tilted": (MATRIX @ [1.0, -1.0], np.sqrt((MATRIX**2).sum(-1))),
    "waiting in turn": (DELAYS[:, None] + 0.5, 0.5),
}


def test_draws_and_posteriors_have_the_known_moments():
    """The posterior of a model without data is its prior."""
    drawn = Predictive(model, num_samples=2000)(jax.random.key(1))
    mcmc = MCMC(NUTS(model), num_warmup=500, num_samples=2000, progress_bar=False)
    mcmc.run(jax.random.key(0))
    found = mcmc.get_samples()
    shapes = {"waiting": (3,), "later": (3,), "tilted": (2,), "waiting in turn": (3, 2)}
    for draws in (drawn, found):
        for name, (mean, spread) in MOMENTS.items():
            assert draws[name].shape == (2000, *shapes[name])
            np.testing.assert_array_less(np.abs(draws[name].mean(0) - mean) / spread, 0.12, err_msg=name)
    assert np.all(found["waiting"] >= DELAYS)


def test_sites_in_a_scan_have_its_length_in_front():
    site = handlers.trace(handlers.seed(model, 0)).get_trace()["waiting in turn"]
    assert site["fn"].batch_shape == (3, 2)
    assert isinstance(site["fn"].support, AtLeast)
    want = np.log(2.0) - 2 * (site["value"] - DELAYS[:, None])
    np.testing.assert_allclose(site["fn"].log_prob(site["value"]), want, rtol=1e-5)


@pytest.mark.parametrize("make", [AtLeast, ExpShift])
def test_constraints_and_transforms_are_pytrees(make):
    """Under jit and vmap their array parameters are traced, and stacking them stacks what they do."""
    x = np.float32(3.0)
    each = [make(delay)(x) for delay in DELAYS]
    delays = jnp.asarray(DELAYS)
    np.testing.assert_allclose(jax.vmap(lambda made: made(x))(make(delays)), each)
    np.testing.assert_allclose(jax.jit(lambda made: made(x))(make(delays)), each)
    stacked = jax.lax.map(make, delays)
    assert type(stacked) is make
    np.testing.assert_allclose(stacked(x), each)


def test_validation_sees_what_users_declare():
    with pytest.raises(ValueError, match=r"Delayed: parameter 'rate' must satisfy Positive.*-2\.0"):
        Delayed(0.0, -2.0, validate_args=True)
    with pytest.warns(UserWarning, match="Delayed.log_prob: some values lie outside the support"):
        assert Delayed(0.0, 2.0, validate_args=True).log_prob(-1.0) == -np.inf

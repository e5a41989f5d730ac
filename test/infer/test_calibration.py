# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The posterior of data drawn from the prior has the parameters' ranks uniform, for models of many shapes and supports,
and not if the model that is fitted is another one."""

from __future__ import annotations

from functools import partial

from calibration import p_value, p_values, smallest
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln

import numpyro
from numpyro.contrib.control_flow import scan
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.transforms import ExpTransform, biject_to
from numpyro.infer import HMC
from numpyro.infer.reparam import LocScaleReparam


def test_p_values_of_uniform_ranks_are_uniform():
    rng = np.random.default_rng(0)
    found = [p_value(rng.integers(0, 16, 100), 15) for _ in range(400)]
    assert stats.kstest(found, "uniform").pvalue > 1e-3
    # With a single inner point the test is the binomial one.
    ranks = np.repeat([0, 1], [61, 39])
    np.testing.assert_allclose(p_value(ranks, 1), stats.binomtest(61, 100).pvalue, rtol=1e-10)
    assert p_value(stats.binom.rvs(15, 0.6, size=100, random_state=0), 15) < 1e-6


def state_space(y, smoothness=0.8):
    """Two series, each with two sensors, along a scan."""
    with numpyro.plate("series", 2, dim=-2):
        drift = numpyro.sample("drift", dist.Normal(0.0, 1.0))
        scale = numpyro.sample("scale", dist.LogNormal(-0.5, 0.4))
    with numpyro.plate("sensors", 2, dim=-1):
        noise = numpyro.sample("noise", dist.Gamma(6.0, 12.0))

    def step(level, y):
        with numpyro.plate("series", 2, dim=-2):
            level = numpyro.sample("level", dist.Normal(smoothness * level + drift, scale))
            with numpyro.plate("sensors", 2, dim=-1):
                numpyro.sample("y", dist.Normal(level, noise), obs=y)
        return level, None

    scan(step, jnp.zeros((2, 1)), y, length=4)


class Sorted(dist.Distribution):
    """Independent draws from a distribution, in order."""

    arg_constraints = {}
    pytree_data_fields = ("base",)
    pytree_aux_fields = ("size", "_support")

    def __init__(self, base, support, size):
        self.base, self.size, self._support = base, size, support
        super().__init__((), (size,))

    @constraints.dependent_property(event_dim=1, is_discrete=False)
    def support(self):
        return self._support

    def sample(self, key, sample_shape=()):
        return jnp.sort(self.base.sample(key, sample_shape + (self.size,)), -1)

    def log_prob(self, value):
        return self.base.log_prob(value).sum(-1) + float(gammaln(self.size + 1))


class UniformBall(dist.Distribution):
    """Uniform on the vectors of two numbers whose absolute values add up to at most 1."""

    arg_constraints = {}
    support = constraints.l1_ball

    def __init__(self):
        super().__init__((), (2,))

    def sample(self, key, sample_shape=()):
        first, second = jax.random.split(key)
        sizes = jax.random.dirichlet(first, jnp.ones(3), sample_shape)[..., :2]
        return sizes * jax.random.rademacher(second, sample_shape + (2,), sizes.dtype)

    def log_prob(self, value):
        return jnp.full(value.shape[:-1], -jnp.log(2.0))


class SoftplusGamma(dist.Gamma):
    support = constraints.softplus_positive


class SoftplusWishartCholesky(dist.WishartCholesky):
    support = constraints.softplus_lower_cholesky


class ScaledUnitWishartCholesky(dist.WishartCholesky):
    support = constraints.scaled_unit_lower_cholesky


SCALE = jnp.array([[0.3, 0.1], [0.1, 0.2]])
SITES = {
    "real": dist.Normal(0.0, 1.0),
    "real_vector": dist.MultivariateNormal(jnp.zeros(2), SCALE),
    "positive": dist.Gamma(3.0, 2.0),
    "softplus_positive": SoftplusGamma(3.0, 2.0),
    "greater_than": dist.TruncatedNormal(0.5, 1.0, low=1.0),
    "less_than": dist.TruncatedNormal(-0.5, 1.0, high=-1.0),
    "interval": dist.Uniform(-1.0, 3.0),
    "unit_interval": dist.Beta(2.0, 3.0),
    "circular": dist.VonMises(0.5, 2.0),
    "ordered_vector": Sorted(dist.Normal(0.0, 1.0), constraints.ordered_vector, 3),
    "positive_ordered_vector": Sorted(dist.Exponential(1.0), constraints.positive_ordered_vector, 3),
    "simplex": dist.Dirichlet(jnp.array([2.0, 3.0, 4.0])),
    "l1_ball": UniformBall(),
    "zero_sum": dist.ZeroSumNormal(1.0, (3,)),
    "lower_cholesky": dist.WishartCholesky(4.0, SCALE),
    "softplus_lower_cholesky": SoftplusWishartCholesky(4.0, SCALE),
    "scaled_unit_lower_cholesky": ScaledUnitWishartCholesky(4.0, SCALE),
    "positive_definite": dist.Wishart(5.0, SCALE),
    "corr_cholesky": dist.LKJCholesky(3, 1.5),
    "corr_matrix": dist.LKJ(3, 1.5),
}


def constrained(y, sites=SITES):
    """One parameter of each kind, and a noisy look at all of its entries."""
    values = [numpyro.sample(name, d) for name, d in sites.items()]
    mean = jnp.concatenate([jnp.ravel(value) for value in values])
    numpyro.sample("y", dist.Normal(mean, 0.7).to_event(1), obs=y)


GROUP = jnp.repeat(jnp.arange(5), jnp.array([1, 2, 3, 3, 4]), total_repeat_length=13)


@numpyro.handlers.reparam(config={"effect": LocScaleReparam(0.0)})
def hierarchical(y, width=1.0):
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    spread = numpyro.sample("spread", dist.HalfNormal(width))
    noise = numpyro.sample("noise", dist.LogNormal(-0.5, 0.3))
    with numpyro.plate("groups", 5):
        effect = numpyro.sample("effect", dist.Normal(mean, spread))
    with numpyro.plate("rows", 13):
        numpyro.sample("y", dist.Normal(effect[GROUP], noise), obs=y)


DESIGN = jnp.asarray(np.random.default_rng(0).normal(size=(15, 3)) @ np.tril(np.ones((3, 3))), jnp.float32)


def regression(x, y, degrees=3.0):
    intercept = numpyro.sample("intercept", dist.StudentT(4.0, 0.0, 1.0))
    slopes = numpyro.sample("slopes", dist.Laplace(0.0, 0.5).expand([3]).to_event(1))
    noise = numpyro.sample("noise", dist.InverseGamma(4.0, 2.0))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.StudentT(degrees, intercept + x @ slopes, noise), obs=y)


def mixture(y, concentration=2.0):
    """Counts of two kinds of rows, the kinds summed out."""
    share = numpyro.sample("share", dist.Beta(concentration, concentration))
    rates = numpyro.sample("rates", Sorted(dist.Gamma(4.0, 0.5), constraints.positive_ordered_vector, 2))
    mixing = dist.Categorical(probs=jnp.stack([share, 1 - share]))
    with numpyro.plate("rows", 20):
        numpyro.sample("y", dist.MixtureSameFamily(mixing, dist.Poisson(rates)), obs=y)


def counts(x, y):
    """Negative binomial regression with an offset for the exposure."""
    slopes = numpyro.sample("slopes", dist.Normal(0.0, 0.3).expand([3]).to_event(1))
    concentration = numpyro.sample("concentration", dist.Gamma(3.0, 1.0))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.NegativeBinomial2(jnp.exp(1.5 + x @ slopes), concentration), obs=y)


MODELS = {
    "scan and nested plates": (state_space, (), {}),
    "every kind of constraint": (constrained, (), {"num_replications": 200, "num_warmup": 200, "num_samples": 300}),
    "hierarchical": (hierarchical, (), {}),
    "regression": (regression, (DESIGN,), {}),
    "mixture": (mixture, (), {}),
    "counts, by HMC": (
        counts,
        (DESIGN,),
        {"make_kernel": lambda model: HMC(model, num_steps=8, trajectory_length=None)},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("model, args, settings", MODELS.values(), ids=list(MODELS))
def test_ranks_are_uniform(model, args, settings):
    found = p_values(model, *args, **settings)
    assert smallest(found) > 1e-3, found


class ForgetfulExp(ExpTransform):
    """An exponential whose density forgets the volume."""

    def log_abs_det_jacobian(self, x, y, intermediates=None):
        return jnp.zeros_like(x)


class Forgetful(type(constraints.positive)):
    """Positive numbers, onto which the real line is mapped by the wrong transform."""


biject_to.register(Forgetful, lambda constraint: ForgetfulExp())


class ForgetfulGamma(dist.Gamma):
    support = Forgetful()


WRONG = {
    "Jacobian left out": (
        partial(constrained, sites={"positive": dist.Gamma(3.0, 2.0)}),
        partial(constrained, sites={"positive": ForgetfulGamma(3.0, 2.0)}),
        (),
    ),
    "memory of the levels too short": (state_space, partial(state_space, smoothness=0.4), ()),
    "prior of the scale too narrow": (hierarchical, partial(hierarchical, width=0.4), ()),
    "tails too light": (regression, partial(regression, degrees=30.0), (DESIGN,)),
    "prior of the share too sure": (mixture, partial(mixture, concentration=8.0), ()),
}


@pytest.mark.slow
@pytest.mark.parametrize("model, fitted, args", WRONG.values(), ids=list(WRONG))
def test_ranks_of_another_model_are_not_uniform(model, fitted, args):
    found = p_values(model, *args, fitted=fitted)
    assert smallest(found) < 1e-5, found

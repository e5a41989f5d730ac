# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What wrappers do besides keeping the shape laws; point masses, weights and flat priors."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import numpyro.distributions as dist
from numpyro.distributions import constraints, transforms

KEY = jax.random.key(0)
LOCS = np.array([[0.5], [-1.0], [2.0]], np.float32)


def all_different(x: Any) -> bool:
    return len(np.unique(np.asarray(x))) == np.size(x)


# expand


@pytest.mark.parametrize(
    ("base_shape", "batch_shape"),
    [
        ((), (3,)),
        ((), (4, 3)),
        ((3,), (4, 3)),
        ((4, 1), (4, 3)),
        ((1, 3), (4, 3)),
        ((4, 1, 1), (2, 4, 5, 3)),
        ((1,), (1,)),
    ],
)
def test_draws_along_expanded_dimensions_are_independent(base_shape, batch_shape):
    d = dist.Normal(np.zeros(base_shape), 1.0).expand(batch_shape)
    draws = jax.jit(lambda key: d.sample(key, (6,)))(KEY)
    assert draws.shape == (6, *batch_shape)
    assert all_different(draws)


def test_draws_stay_with_their_own_parameters_when_dimensions_are_inserted():
    d = dist.Normal(LOCS, 1e-3).expand((4, 3, 2))
    np.testing.assert_allclose(d.sample(KEY, (5,)), np.broadcast_to(LOCS, (5, 4, 3, 2)), atol=0.01)
    v = dist.MultivariateNormal(np.stack([LOCS, LOCS + 10], -1), 1e-6 * np.eye(2)).expand((4, 3, 2))
    np.testing.assert_allclose(v.sample(KEY)[..., 1], np.broadcast_to(LOCS + 10, (4, 3, 2)), atol=0.01)


def test_expansion_keeps_density_moments_and_support():
    base = dist.Gamma(np.array([[2.0], [3.0]]), 1.5)
    d = base.expand((4, 2, 3))
    value = np.random.default_rng(0).gamma(2.0, size=(4, 2, 3)).astype(np.float32)
    np.testing.assert_allclose(d.log_prob(value), base.log_prob(value), rtol=1e-6)
    for name in ("mean", "variance", "mode"):
        np.testing.assert_allclose(getattr(d, name), np.broadcast_to(getattr(base, name), (4, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(d.cdf(value), base.cdf(value), rtol=1e-6)
    np.testing.assert_allclose(d.icdf(d.cdf(value)), value, rtol=1e-4)
    assert d.entropy().shape == (4, 2, 3)
    assert d.support == base.support


def test_gradients_add_up_over_expanded_dimensions():
    value = np.arange(12.0).reshape(4, 3)

    def total(loc):
        return dist.Normal(loc, 1.0).expand((4, 3)).log_prob(value).sum()

    np.testing.assert_allclose(jax.grad(total)(np.ones(3)), (value - 1).sum(0))
    np.testing.assert_allclose(jax.grad(total)(1.0), (value - 1).sum())
    np.testing.assert_allclose(jax.grad(lambda loc: dist.Normal(loc, 1.0).expand((4, 3)).sample(KEY).sum())(1.0), 12.0)


def test_expanding_again_expands_once():
    d = dist.Normal(0.0, 1.0).expand((3, 1)).expand((3, 4)).expand((2, 3, 4))
    assert isinstance(d, dist.ExpandedDistribution)
    assert isinstance(d.base_dist, dist.Normal)
    assert all_different(d.sample(KEY))
    assert dist.Normal(0.0, 1.0).expand_by((5, 2)).batch_shape == (5, 2)
    d = dist.Normal(np.zeros(3), 1.0)
    assert d.expand((3,)) is d


# to_event


def test_events_sum_the_log_density():
    value = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    d = dist.Normal(np.zeros((4, 3)), 1.0)
    np.testing.assert_allclose(d.to_event(1).log_prob(value), d.log_prob(value).sum(-1), rtol=1e-6)
    np.testing.assert_allclose(d.to_event(2).log_prob(value), d.log_prob(value).sum(), rtol=1e-6)
    np.testing.assert_allclose(d.to_event().log_prob(value), d.log_prob(value).sum(), rtol=1e-6)
    np.testing.assert_allclose(d.to_event(1).entropy(), d.entropy().sum(-1), rtol=1e-6)
    assert d.to_event(0) is d
    assert d.to_event(1).support.event_dim == 1
    assert d.to_event(1).to_event(1).reinterpreted_batch_ndims == 2
    assert d.to_event(1).has_rsample
    assert not dist.Bernoulli(np.full(3, 0.5)).to_event(1).has_enumerate_support


def test_scalar_parameters_count_once_for_each_element_of_an_event():
    d = dist.Normal(0.0, 1.0).expand((5,)).to_event(1)
    np.testing.assert_allclose(d.log_prob(np.zeros(5)), 5 * dist.Normal(0.0, 1.0).log_prob(0.0), rtol=1e-6)
    mixed = dist.Independent(dist.Normal(np.zeros((5, 1)), np.ones(3)), 1)
    assert (mixed.batch_shape, mixed.event_shape) == ((5,), (3,))


def test_expanding_an_event_keeps_the_base_reachable():
    d = dist.Normal(np.zeros(3), 1.0).to_event(1).expand((4,))
    assert isinstance(d, dist.Independent)
    assert (d.base_dist.batch_shape, d.batch_shape, d.event_shape) == ((4, 3), (4,), (3,))
    assert all_different(d.sample(KEY))


# mask


def test_a_mask_takes_terms_out_of_the_density():
    d = dist.Normal(0.0, 1.0).expand((3,))
    full = d.log_prob(1.0)
    mask = np.array([True, False, True])
    np.testing.assert_allclose(d.mask(mask).log_prob(1.0), np.where(mask, full, 0.0))
    np.testing.assert_array_equal(d.mask(False).log_prob(np.ones((2, 3))), np.zeros((2, 3)))
    assert d.mask(True) is d
    np.testing.assert_allclose(dist.MaskedDistribution(d, True).log_prob(1.0), full)
    np.testing.assert_allclose(d.mask([True, False, True]).log_prob(1.0), np.where(mask, full, 0.0))


def test_a_mask_can_have_more_dimensions_than_the_distribution():
    d = dist.Normal(0.0, 1.0).mask(np.array([True, False]))
    assert d.batch_shape == (2,)
    assert all_different(d.sample(KEY, (3,)))
    vector = dist.MultivariateNormal(np.zeros(2), np.eye(2)).mask(np.array([[True], [False]]))
    assert (vector.batch_shape, vector.event_shape) == ((2, 1), (2,))
    assert vector.log_prob(np.ones(2))[1, 0] == 0


MASK = np.array([True, False])
PARTLY_MISSING = np.array([0.5, np.nan], np.float32)
MASKED = {
    "Normal": (lambda p: dist.Normal(p, 1.0), PARTLY_MISSING),
    "Gamma": (lambda p: dist.Gamma(p, 1.0), PARTLY_MISSING),
    "Beta": (lambda p: dist.Beta(p, 1.5), PARTLY_MISSING),
    "LogNormal": (lambda p: dist.LogNormal(p, 1.0), PARTLY_MISSING),
    "Uniform": (lambda p: dist.Uniform(-p, p), PARTLY_MISSING),
    "FoldedDistribution": (lambda p: dist.FoldedDistribution(dist.Normal(p, 1.0)), PARTLY_MISSING),
    "Bernoulli": (lambda p: dist.Bernoulli(logits=p), np.array([1.0, np.nan])),
    "Poisson": (lambda p: dist.Poisson(p), np.array([3.0, np.nan])),
    "MultivariateNormal": (
        lambda p: dist.MultivariateNormal(p * np.ones(2), np.eye(2)),
        np.array([[0.5, 1.0], [np.nan, 1.0]], np.float32),
    ),
    "to_event": (
        lambda p: dist.Normal(p, 1.0).expand((2, 2)).to_event(1),
        np.array([[0.5, 1.0], [np.nan, 1.0]], np.float32),
    ),
    "TransformedDistribution": (
        lambda p: dist.TransformedDistribution(dist.Gamma(p, 1.0), transforms.AffineTransform(0.2, 3.0)),
        PARTLY_MISSING,
    ),
    "MixtureSameFamily": (
        lambda p: dist.MixtureSameFamily(dist.Categorical(np.array([0.3, 0.7])), dist.Gamma(p * np.ones(2), 1.0)),
        PARTLY_MISSING,
    ),
}


@pytest.mark.parametrize("name", MASKED)
def test_masked_values_leave_no_trace_in_density_or_gradient(name):
    make, value = MASKED[name]

    @jax.jit
    def run(parameter, value):
        total = lambda parameter, value: make(parameter).mask(MASK).log_prob(value).sum()
        first = lambda parameter, value: jnp.ravel(make(parameter).log_prob(value))[0]
        return jax.value_and_grad(total)(parameter, value), jax.value_and_grad(first)(parameter, value[:1])

    (density, gradient), (first_density, first_gradient) = run(1.5, value)
    np.testing.assert_allclose(density, first_density, rtol=1e-6)
    np.testing.assert_allclose(gradient, first_gradient, rtol=1e-6)
    if name not in ("Bernoulli", "Poisson"):
        by_value = jax.grad(lambda value: make(1.5).mask(MASK).log_prob(value).sum())(value)
        assert np.all(np.isfinite(by_value[0]))
        assert np.all(by_value[1] == 0)


def test_a_masked_transformed_distribution_puts_feasible_values_into_its_base():
    """The transform's range says nothing of the base's support, which is where the density must be computed."""

    class Log(dist.Distribution):
        arg_constraints = {"rate": constraints.positive}
        support = constraints.positive

        def __init__(self, rate):
            self.rate = rate
            super().__init__(jnp.shape(rate))

        def log_prob(self, value):
            return jnp.log(self.rate) - (self.rate + 1) * jnp.log1p(value) + 0 * jnp.log(value)

    def total(rate):
        shifted = dist.TransformedDistribution(Log(rate), transforms.AffineTransform(3.0, 2.0))
        return shifted.mask(MASK).log_prob(np.array([10.0, np.nan])).sum()

    gradient = jax.grad(total)(2.0)
    np.testing.assert_allclose(gradient, 0.5 - np.log1p(3.5), rtol=1e-5)


def test_masks_may_be_traced():
    @jax.jit
    def run(mask):
        d = dist.Normal(np.zeros(3), 1.0).mask(mask)
        return d.log_prob(0.0), d

    log_prob, d = run(np.array([True, False, True]))
    np.testing.assert_allclose(log_prob, [-0.9189385, 0.0, -0.9189385], rtol=1e-6)
    np.testing.assert_allclose(d.log_prob(0.0), log_prob)
    assert d.batch_shape == (3,)


# TransformedDistribution


def test_change_of_variables_against_scipy():
    d = dist.TransformedDistribution(dist.Normal(0.5, 0.7), transforms.ExpTransform())
    reference = scipy.stats.lognorm(0.7, scale=np.exp(0.5))
    values = np.array([0.2, 1.0, 3.0])
    np.testing.assert_allclose(d.log_prob(values), reference.logpdf(values), rtol=1e-5)
    np.testing.assert_allclose(d.cdf(values), reference.cdf(values), rtol=1e-5)
    np.testing.assert_allclose(d.icdf(np.array([0.1, 0.8])), reference.ppf([0.1, 0.8]), rtol=1e-5)
    logistic = dist.TransformedDistribution(dist.Uniform(0.0, 1.0), transforms.SigmoidTransform().inv)
    np.testing.assert_allclose(logistic.log_prob(values), scipy.stats.logistic.logpdf(values), rtol=1e-5)


@pytest.mark.parametrize("scale", [2.0, -2.0])
def test_cdf_and_icdf_turn_around_with_a_falling_transform(scale):
    d = dist.TransformedDistribution(dist.Exponential(1.0), transforms.AffineTransform(1.0, scale))
    values = 1.0 + scale * np.array([0.1, 1.0, 2.0])
    exponential = scipy.stats.expon.cdf([0.1, 1.0, 2.0])
    np.testing.assert_allclose(d.cdf(values), exponential if scale > 0 else 1 - exponential, rtol=1e-5)
    np.testing.assert_allclose(d.icdf(d.cdf(values)), values, rtol=1e-4)
    np.testing.assert_allclose(d.log_prob(values), scipy.stats.expon.logpdf([0.1, 1.0, 2.0]) - np.log(2.0), rtol=1e-5)


def test_a_sign_may_differ_from_one_batch_element_to_the_next():
    d = dist.TransformedDistribution(dist.Exponential(1.0), transforms.AffineTransform(0.0, np.array([1.0, -1.0])))
    np.testing.assert_allclose(d.cdf(np.array([1.0, -1.0])), [1 - np.exp(-1.0), np.exp(-1.0)], rtol=1e-5)


@pytest.mark.parametrize(
    ("base", "transform", "batch_shape", "event_shape"),
    [
        (dist.Normal(np.zeros((4, 3)), 1.0), transforms.ExpTransform(), (4, 3), ()),
        (dist.Normal(np.zeros((4, 3)), 1.0), transforms.StickBreakingTransform(), (4,), (4,)),
        (dist.Normal(np.zeros((4, 3)), 1.0), transforms.OrderedTransform(), (4,), (3,)),
        (dist.Normal(np.zeros((4, 3)), 1.0).to_event(1), transforms.OrderedTransform(), (4,), (3,)),
        (dist.Normal(np.zeros((4, 3)), 1.0).to_event(1), transforms.ExpTransform(), (4,), (3,)),
        (dist.Normal(np.zeros((5, 4, 3)), 1.0).to_event(2), transforms.OrderedTransform(), (5,), (4, 3)),
        (dist.Normal(np.zeros((4, 3)), 1.0), transforms.CorrCholeskyTransform(), (4,), (3, 3)),
        (dist.Normal(0.0, 1.0), transforms.AffineTransform(np.zeros((4, 3)), 1.0), (4, 3), ()),
        (dist.Normal(0.0, 1.0).expand((2,)), transforms.LowerCholeskyAffine(np.zeros((4, 2)), np.eye(2)), (4,), (2,)),
        (
            dist.Normal(np.zeros((4, 3)), 1.0),
            [transforms.ExpTransform(), transforms.OrderedTransform(), transforms.AffineTransform(0.0, 2.0)],
            (4,),
            (3,),
        ),
    ],
)
def test_event_dimensions_of_transforms(base, transform, batch_shape, event_shape):
    """A transform of vectors makes events of batch dimensions; parameters larger than the base draw independently."""
    d = dist.TransformedDistribution(base, transform)
    assert (d.batch_shape, d.event_shape) == (batch_shape, event_shape)

    @jax.jit
    def run(key):
        x, intermediates = d.sample_with_intermediates(key, (2,))
        return x, d.log_prob(x), d.log_prob(x, intermediates), d.support(x)

    x, log_prob, with_intermediates, inside = run(KEY)
    assert x.shape == (2, *batch_shape, *event_shape)
    assert log_prob.shape == (2, *batch_shape)
    np.testing.assert_allclose(with_intermediates, log_prob, rtol=1e-3, atol=1e-3)
    assert np.all(inside)
    assert len(np.unique(np.asarray(log_prob).round(4))) == log_prob.size


def test_expanded_and_masked_transforms_pass_their_intermediates_on():
    d = dist.TransformedDistribution(dist.Normal(LOCS, 1.0), transforms.ExpTransform())
    for wrapped in (d.expand((4, 3, 2)), d.mask(np.ones((3, 2), bool)), d.expand((3, 2)).to_event(1)):
        x, intermediates = wrapped.sample_with_intermediates(KEY, (5,))
        assert intermediates
        np.testing.assert_allclose(wrapped.log_prob(x, intermediates), wrapped.log_prob(x), rtol=1e-4, atol=1e-5)


def test_gradients_reach_the_parameters_of_a_transform():
    def total(loc, scale, value):
        d = dist.TransformedDistribution(dist.Normal(0.0, 1.0), transforms.AffineTransform(loc, scale))
        return d.log_prob(value).sum()

    values = np.array([0.3, -1.0, 2.0])
    by_transform = jax.grad(total, argnums=(0, 1, 2))(0.4, 1.3, values)
    directly = jax.grad(lambda loc, scale, x: dist.Normal(loc, scale).log_prob(x).sum(), argnums=(0, 1, 2))(
        0.4, 1.3, values
    )
    for got, want in zip(by_transform, directly, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: dist.TransformedDistribution(dist.Normal(0.0, 1.0), [lambda x: x]), "must be a Transform"),
        (
            lambda: dist.TransformedDistribution(
                dist.Normal(0.0, 1.0).expand((1,)).to_event(1), transforms.AffineTransform(np.zeros(3), 1.0)
            ),
            "cannot be repeated",
        ),
        (lambda: dist.FoldedDistribution(dist.MultivariateNormal(np.zeros(2), np.eye(2))), "univariate"),
    ],
)
def test_transforms_that_do_not_fit(build, message):
    with pytest.raises(ValueError, match=message):
        build()


# FoldedDistribution


def test_folding_adds_the_densities_of_both_signs():
    d, base = dist.FoldedDistribution(dist.StudentT(5.0, 0.8, 1.2)), scipy.stats.t(5.0, 0.8, 1.2)
    values = np.array([0.1, 1.0, 4.0])
    np.testing.assert_allclose(d.log_prob(values), np.log(base.pdf(values) + base.pdf(-values)), rtol=1e-5)
    np.testing.assert_allclose(d.cdf(values), base.cdf(values) - base.cdf(-values), rtol=1e-4)
    assert d.log_prob(-1.0) == -np.inf
    assert np.all(d.sample(KEY, (100,)) >= 0)
    with pytest.raises(NotImplementedError, match="icdf"):
        d.icdf(0.5)


def test_folding_the_normal_at_zero_is_the_half_normal():
    value = np.linspace(0.0, 3.0, 7)
    folded, half = dist.FoldedDistribution(dist.Normal(0.0, 2.0)), dist.HalfNormal(2.0)
    np.testing.assert_allclose(folded.log_prob(value), half.log_prob(value), rtol=1e-5)
    np.testing.assert_allclose(folded.cdf(value), half.cdf(value), rtol=1e-5, atol=1e-7)


# Delta, Unit, ImproperUniform


def test_delta_is_a_point():
    d = dist.Delta(np.array([1.0, 2.0]), np.array([0.5, -0.5]))
    np.testing.assert_array_equal(d.sample(KEY, (3,)), np.broadcast_to([1.0, 2.0], (3, 2)))
    np.testing.assert_array_equal(d.log_prob(np.array([1.0, 1.0])), [0.5, -np.inf])
    np.testing.assert_array_equal(d.mean, [1.0, 2.0])
    np.testing.assert_array_equal(d.variance, [0.0, 0.0])
    np.testing.assert_array_equal(d.entropy(), [-0.5, 0.5])
    assert jax.grad(lambda w: dist.Delta(1.0, w).log_prob(1.0))(2.0) == 1.0
    assert jax.grad(lambda v: dist.Delta(v).rsample(KEY))(2.0) == 1.0


def test_delta_of_vectors():
    d = dist.Delta(np.arange(6.0).reshape(3, 2), event_dim=1)
    assert (d.batch_shape, d.event_shape) == ((3,), (2,))
    np.testing.assert_array_equal(d.log_prob(np.array([2.0, 3.0])), [-np.inf, 0.0, -np.inf])
    assert dist.Delta(np.zeros((3, 2)), event_dim=2).batch_shape == ()
    assert dist.Delta(np.zeros(2), np.zeros(3), event_dim=1).batch_shape == (3,)
    with pytest.raises(ValueError, match="event_dim=2"):
        dist.Delta(np.zeros(2), event_dim=2)


def test_delta_keeps_the_type_of_its_point():
    assert dist.Delta(np.array([1, 2])).sample(KEY).dtype == jnp.int32
    assert dist.Delta(3).expand((2,)).sample(KEY).shape == (2,)


def test_unit_carries_a_weight():
    d = dist.Unit(np.array([0.5, -1.5]))
    assert (d.batch_shape, d.event_shape) == ((2,), (0,))
    value = d.sample(KEY, (3,))
    assert value.shape == (3, 2, 0)
    np.testing.assert_array_equal(d.log_prob(value), np.broadcast_to([0.5, -1.5], (3, 2)))
    assert jax.grad(lambda w: dist.Unit(w).log_prob(np.zeros(0)))(0.3) == 1.0


@pytest.mark.parametrize(
    ("support", "batch_shape", "event_shape"),
    [
        (constraints.real, (), ()),
        (constraints.positive, (5,), ()),
        (constraints.real, (5,), (2,)),
        (constraints.ordered_vector, (5,), (3,)),
        (constraints.corr_cholesky, (), (3, 3)),
        (constraints.positive, (4,), (3, 2)),
        (constraints.greater_than(np.array([[1.0], [2.0]])), (2, 3), ()),
    ],
)
def test_improper_uniform_is_flat_on_its_support(support, batch_shape, event_shape):
    d = dist.ImproperUniform(support, batch_shape, event_shape)
    assert (d.batch_shape, d.event_shape) == (batch_shape, event_shape)
    assert d.support.event_dim == len(event_shape)
    value = d.support.feasible_like(np.zeros((6, *batch_shape, *event_shape), np.float32))
    np.testing.assert_array_equal(d.log_prob(value), np.zeros((6, *batch_shape)))
    assert np.all(d.support(value))
    with pytest.raises(NotImplementedError, match="ImproperUniform"):
        d.sample(KEY)


def test_a_support_with_array_parameters_moves_with_the_batch():
    lower = np.array([0.0, 1.0, 2.0], np.float32)
    stacked = jax.vmap(lambda low: dist.ImproperUniform(constraints.greater_than(low), (), ()))(lower)
    assert stacked.batch_shape == (3,)
    np.testing.assert_array_equal(stacked.support(np.float32(1.5)), [True, True, False])
    one = jax.tree.map(lambda x: x[2], stacked)
    assert one.batch_shape == ()
    np.testing.assert_array_equal(one.support(np.float32([1.5, 2.5])), [False, True])
    wide = jax.vmap(lambda low: dist.ImproperUniform(constraints.greater_than(low), (5,), ()))(lower)
    assert wide.batch_shape == (3, 5)
    assert wide.support(np.full((3, 5), 1.5, np.float32)).tolist() == [[True] * 5, [True] * 5, [False] * 5]


def test_improper_uniform_needs_events_as_large_as_its_support_says():
    with pytest.raises(ValueError, match="event_shape"):
        dist.ImproperUniform(constraints.simplex, (3,), ())

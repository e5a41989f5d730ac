# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Densities that are computed outside any transformation: one compiled program, the same numbers."""

from __future__ import annotations

from compilations import compilations
import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose
import pytest
import scipy.stats

import numpyro.distributions as dist


def test_an_eager_density_is_one_program_and_other_numbers_use_it_again():
    jax.clear_caches()
    with compilations() as first:
        log_prob = dist.Beta(2.5, 1.8).log_prob(0.3)
    with compilations() as again:
        other = dist.Beta(1.5, 3.25).log_prob(0.75)
    assert (len(first), len(again)) == (1, 0)
    assert_allclose(log_prob, scipy.stats.beta(2.5, 1.8).logpdf(0.3), atol=3e-6)
    assert_allclose(other, scipy.stats.beta(1.5, 3.25).logpdf(0.75), atol=3e-6)


def test_wrappers_around_parameters_of_different_rank_are_one_program():
    jax.clear_caches()
    loc = np.float32([0.3, -0.6, 1.1])
    value = np.float32([[0.1, 0.2, 0.3], [1.0, 2.0, 3.0]])
    with compilations() as seconds:
        log_prob = dist.Normal(loc, 1.4).to_event(1).mask(np.array([True])).log_prob(value)
    assert len(seconds) == 1
    assert_allclose(log_prob, scipy.stats.norm(loc, 1.4).logpdf(value).sum(-1), rtol=1e-5)


def test_numbers_stay_weakly_typed():
    value = jnp.ones(3, jnp.float16)
    assert dist.Normal(0.0, 1.0).log_prob(value).dtype == jnp.float16


def test_a_density_that_needs_concrete_numbers_is_computed_with_them():
    class Countdown(dist.Distribution):
        support = dist.constraints.real

        def __init__(self, steps):
            self.steps = steps
            super().__init__()

        def log_prob(self, value):
            return value * sum(range(int(self.steps)))

    wrapped = dist.Independent(Countdown(jnp.asarray(4)).expand((2,)), 1)
    for _ in range(2):
        assert wrapped.log_prob(np.ones(2)) == 12


def test_values_outside_the_support_still_warn():
    with pytest.warns(UserWarning, match="Exponential"):
        assert dist.Exponential(1.0, validate_args=True).log_prob(-1.0) == -jnp.inf


def test_derivatives_of_an_eager_density():
    gradient = jax.grad(lambda loc: dist.Normal(loc, 2.0).log_prob(1.0))(0.0)
    assert_allclose(gradient, 0.25)
    assert_allclose(jax.vmap(dist.Normal(0.0, 2.0).cdf)(jnp.zeros(2)), 0.5)

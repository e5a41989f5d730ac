# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Tests of goodness of fit tell draws of a density from those of another; every distribution's draws pass them."""

from __future__ import annotations

import math

from distributions.examples import EXAMPLES
import jax
import numpy as np
import pytest
import scipy.stats

from numpyro.distributions import biject_to, constraints, gof

BY_NAME = {example.name: example for example in EXAMPLES}
RNG = np.random.default_rng(0)
UNIFORM = np.random.default_rng(1).random(20_000)


# The tests themselves


def test_p_values_are_uniform_under_the_hypothesis():
    p_values = []
    for seed in range(200):
        draws = np.random.default_rng(seed).random(500)
        p_values.append(gof.unif01_goodness_of_fit(draws))
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 1e-3


def test_pearson_statistic_is_that_of_scipy():
    probs, counts = np.array([0.2, 0.5, 0.3]), np.array([25, 45, 30])
    want = scipy.stats.chisquare(counts, 100 * probs).pvalue
    assert gof.multinomial_goodness_of_fit(probs, counts) == pytest.approx(want)
    assert gof.multinomial_goodness_of_fit(probs[:2], counts[:2], total_count=100) == pytest.approx(want)
    assert gof.multinomial_goodness_of_fit([0.5, 0.5, 0.0], [5, 4, 1]) == 0
    with pytest.raises(gof.InvalidTest, match=r"sum to 0\.7"):
        gof.multinomial_goodness_of_fit(probs[:2], counts[:2])


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (lambda: gof.unif01_goodness_of_fit(UNIFORM), lambda: gof.unif01_goodness_of_fit(UNIFORM**1.1)),
        (
            lambda: gof.exp_goodness_of_fit(-np.log(UNIFORM)),
            lambda: gof.exp_goodness_of_fit(-1.04 * np.log(UNIFORM)),
        ),
    ],
    ids=["uniform", "exponential"],
)
def test_the_hypothesis_is_kept_and_a_near_one_refused(good, bad):
    assert good() > 1e-3
    assert bad() < 1e-3


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_normal_draws_against_densities(dim):
    draws = np.random.default_rng(dim).normal(size=(10_000, dim))
    density = lambda scale: scipy.stats.norm.pdf(draws / scale).prod(-1) / scale**dim
    assert gof.auto_goodness_of_fit(draws, density(1.0)) > 1e-3
    assert gof.auto_goodness_of_fit(draws, density(1.3)) < 1e-3
    if dim > 1:
        assert gof.vector_density_goodness_of_fit(draws, density(1.0)) > 1e-3


def test_draws_on_a_circle_have_one_dimension():
    angle = 2 * math.pi * UNIFORM[:5000]
    draws, density = np.stack([np.cos(angle), np.sin(angle)], -1), np.full(5000, 0.5 / math.pi)
    assert gof.auto_goodness_of_fit(draws, density, dim=1) > 1e-3
    assert gof.auto_goodness_of_fit(draws, density) < 1e-3


def test_neighbours_and_volumes():
    points = RNG.normal(size=(50, 3))
    distances = np.linalg.norm(points[:, None] - points, axis=-1) + np.diag(np.full(50, np.inf))
    np.testing.assert_allclose(gof.get_nearest_neighbor_distances(points), distances.min(-1))
    np.testing.assert_allclose(gof.volume_of_sphere(2, np.array([1.0, 2.0])), np.pi * np.array([1.0, 4.0]))
    assert gof.volume_of_sphere(1, 3.0) == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gof.unif01_goodness_of_fit([0.5, 0.2]), "at least 12 draws"),
        (lambda: gof.unif01_goodness_of_fit(UNIFORM + 0.1), "between 0 and 1"),
        (lambda: gof.exp_goodness_of_fit(UNIFORM - 0.1), "nonnegative"),
        (lambda: gof.auto_goodness_of_fit(UNIFORM, UNIFORM[:5]), "one density for each draw"),
        (lambda: gof.density_goodness_of_fit(np.ones((20, 2)), np.ones(20)), r"shape \(n,\)"),
        (lambda: gof.vector_density_goodness_of_fit(np.ones(20), np.ones(20)), r"shape \(n, m\)"),
        (lambda: gof.auto_goodness_of_fit(np.full(20, np.nan), np.ones(20)), "finite"),
        (lambda: gof.get_nearest_neighbor_distances(np.ones((1, 2))), "no neighbour"),
        (lambda: gof.multinomial_goodness_of_fit([1.0], [3]), "two categories"),
    ],
)
def test_what_cannot_be_tested_is_said(call, message):
    with pytest.raises(gof.InvalidTest, match=message):
        call()


def test_histograms_are_printed(capsys):
    gof.unif01_goodness_of_fit(UNIFORM, plot=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["count", "expected"]
    assert sum(int(line.split()[0]) for line in lines[1:]) == len(UNIFORM)


# Draws of all distributions

#: Why the draws of some are not tested by their density.
WITHOUT_DENSITY = {
    "Delta": "a point",
    "Unit": "an empty value",
    "ImproperUniform": "it cannot be drawn from",
    "LeftCensoredDistribution": "its log_prob is no density of its draws",
    "RightCensoredDistribution": "its log_prob is no density of its draws",
    "IntervalCensoredDistribution": "its log_prob is no density of its draws",
    "MaskedDistribution": "its log_prob is that of the distribution, or 0",
}
TESTED = [name for name, example in BY_NAME.items() if example.cls.__name__ not in WITHOUT_DENSITY]
DISCRETE = [name for name in TESTED if BY_NAME[name].at_point().is_discrete]
CONTINUOUS = [name for name in TESTED if name not in DISCRETE]


def compiled(function):
    """Compile without optimisation: the programs run once."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def log_mass_of_scipy(reference, values):
    return (reference.logpmf if hasattr(reference, "logpmf") else reference.logpdf)(values)


# Few enough for the bias of distances in several dimensions to stay small. By the number of event dimensions.
COUNT = {0: 5000, 1: 1500, 2: 1500}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_draws_follow_the_density(name):
    """On the unconstrained space, where the set of values has no edge and its own dimension.

    A density that is too large everywhere, by a sixth or (for arrays) by half, does not pass.
    """
    example = BY_NAME[name]
    d = example.at_point()
    count = COUNT[d.event_dim]
    # There is no unconstrained space of the dimension of a sphere; its density is with respect to the area.
    on_sphere = d.support is constraints.sphere
    dim = d.event_shape[-1] - 1 if on_sphere else None

    @compiled
    def program(parameters, key):
        d = example.constructor(**parameters)
        draws = d.sample(key, (count,))
        if on_sphere:
            return draws, draws, d.log_prob(draws)
        transform = biject_to(d.support)
        free = transform._inverse(draws)
        return draws, free, d.log_prob(draws) + transform.log_abs_det_jacobian(free, draws)

    draws, free, log_density = (np.asarray(x, np.float64) for x in program(example.point, jax.random.key(5)))
    if "gate" in example.point:
        # What is not zero has a density.
        some = draws > 0
        shares = [1 - example.point["gate"], example.point["gate"]]
        assert gof.multinomial_goodness_of_fit(shares, [some.sum(), (~some).sum()]) > 1e-5
        draws, free, log_density = draws[some], free[some], log_density[some] - np.log1p(-example.point["gate"])
    assert gof.auto_goodness_of_fit(free, np.exp(log_density), dim=dim) > 1e-5
    assert gof.auto_goodness_of_fit(free, np.exp(log_density + (0.4 if d.event_shape else 0.15)), dim=dim) < 1e-5
    if callable(example.reference) and not d.event_shape:
        assert scipy.stats.kstest(draws, example.scipy().cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", DISCRETE)
def test_draws_follow_the_probability_mass(name):
    """Of each count, or of each vector that is drawn; SciPy's mass, where it is known, and our own."""
    example, count = BY_NAME[name], 5000

    @compiled
    def program(parameters, key):
        d = example.constructor(**parameters)
        draws = d.sample(key, (count,))
        return draws, d.log_prob(draws)

    draws, log_mass = map(np.asarray, program(example.point, jax.random.key(5)))
    values, first, counts = np.unique(draws, axis=0, return_index=True, return_counts=True)
    masses = np.exp(log_mass[first].astype(np.float64))
    if callable(example.reference):
        np.testing.assert_allclose(masses, np.exp(log_mass_of_scipy(example.scipy(), values)), rtol=1e-3)
    usual = masses * count > 5
    assert gof.multinomial_goodness_of_fit(masses[usual], counts[usual], total_count=count) > 1e-4

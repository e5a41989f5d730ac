# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Angles and directions: densities integrate to one, draws have their moments, whatever the concentration."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
from precision import double_precision
import pytest
import scipy.special
import scipy.stats

import numpyro.distributions as dist
from numpyro.distributions.directional import log_I1, projected_normal


@pytest.mark.parametrize("concentration", [1e-3, 0.5, 30.0, 150.0, 1e5])
def test_von_mises_density_and_its_slope_at_all_concentrations(concentration):
    kappa, x = np.float32(concentration), np.float32(0.3 + 1.5 / (1 + concentration) ** 0.5)

    @jax.jit
    def numbers(kappa, x):
        density, slope = jax.value_and_grad(lambda kappa: dist.VonMises(0.3, kappa).log_prob(x))(kappa)
        d = dist.VonMises(0.3, kappa)
        return density, slope, d.variance, d.entropy()

    with mp.workdps(40):
        k, angle = mp.mpf(float(kappa)), mp.mpf(float(x)) - mp.mpf(float(np.float32(0.3)))
        ratio = mp.besseli(1, k) / mp.besseli(0, k)
        log_constant = mp.log(2 * mp.pi * mp.besseli(0, k))
        expected = [
            k * mp.cos(angle) - log_constant,
            mp.cos(angle) - ratio,
            1 - ratio,
            log_constant - k * ratio,
        ]
    np.testing.assert_allclose(numbers(kappa, x), [float(e) for e in expected], rtol=2e-4)


def test_angles_are_wrapped():
    d = dist.VonMises(np.array([7.0, -3.0, 3.0]), 50.0)
    np.testing.assert_allclose(d.mean, [7.0 - 2 * np.pi, -3.0, 3.0], rtol=1e-6)
    draws = d.sample(jax.random.key(0), (1000,))
    assert np.all(d.support(draws))
    assert np.ptp(draws[:, 1]) > 6
    np.testing.assert_allclose(d.log_prob(1.0), d.log_prob(1.0 + 2 * np.pi), rtol=1e-4)
    direction = np.angle(np.exp(1j * np.asarray(draws)).mean(0))
    np.testing.assert_allclose(direction, d.mean, atol=0.03)


@pytest.mark.parametrize("x", [0.1, 2.0, 60.0, 2e4])
def test_logarithms_of_bessel_functions(x):
    orders = np.arange(21)
    with double_precision():
        found = log_I1(20, x)[:, 0]
    np.testing.assert_allclose(found, np.log(scipy.special.ive(orders, x)) + x, rtol=1e-10, atol=1e-12)


def test_bessel_functions_have_orders_first():
    assert log_I1(4, np.ones((2, 3))).shape == (5, 2, 3)
    assert log_I1(4, 1.0).shape == (5, 1)


SINE = [
    (2.0, 3.0, 0.7),
    (2.0, 3.0, -2.3),
    (0.01, 0.02, 0.005),
    (20.0, 1.0, 4.4),
    (400.0, 900.0, -500.0),
    # Two modes
    (2.0, 3.0, 6.0),
    (30.0, 20.0, -60.0),
]


@pytest.mark.parametrize(("phi_concentration", "psi_concentration", "correlation"), SINE)
def test_sine_model(phi_concentration, psi_concentration, correlation):
    """Density on a grid, which the trapezoidal rule integrates to the last digit; draws against its moments."""
    points, count = 720, 20_000
    angles = np.linspace(-np.pi, np.pi, points, endpoint=False)
    grid = np.stack(np.meshgrid(angles, angles, indexing="ij"), -1)

    def build():
        return dist.SineBivariateVonMises(0.5, -0.3, phi_concentration, psi_concentration, correlation)

    with double_precision():
        weights = np.exp(jax.jit(lambda x: build().log_prob(x))(grid)) * (2 * np.pi / points) ** 2
    assert weights.sum() == pytest.approx(1.0, rel=1e-8)
    draws = np.asarray(jax.jit(lambda key: build().sample(key, (count,)))(jax.random.key(2)), np.float64)
    assert np.all(build().support(draws.astype(np.float32)))
    functions = [
        lambda a, b: np.cos(a),
        lambda a, b: np.sin(a),
        lambda a, b: np.cos(2 * a),
        lambda a, b: np.cos(b),
        lambda a, b: np.sin(a) * np.sin(b),
        lambda a, b: np.cos(a - b),
    ]
    for f in functions:
        on_grid = f(grid[..., 0] - 0.5, grid[..., 1] + 0.3)
        on_draws = f(draws[:, 0] - 0.5, draws[:, 1] + 0.3)
        mean = (weights * on_grid).sum()
        spread = ((weights * (on_grid - mean) ** 2).sum() / count) ** 0.5
        assert abs(on_draws.mean() - mean) < 5 * spread + 1e-6


def test_sine_model_of_a_batch_is_drawn_element_by_element():
    d = dist.SineBivariateVonMises(np.array([0.0, 1.0, 2.0]), 0.5, np.array([[50.0], [500.0]]), 100.0, 10.0)
    draws = np.asarray(jax.jit(lambda key: d.sample(key, (400,)))(jax.random.key(0)))
    assert draws.shape == (400, 2, 3, 2)
    np.testing.assert_allclose(draws.mean(0), d.mean, atol=0.04)
    np.testing.assert_allclose(draws[..., 0].std(0), np.array([[50.0], [500.0]]) ** -0.5 * np.ones(3), rtol=0.15)


def test_weighted_correlation():
    weighted = dist.SineBivariateVonMises(0.5, -0.3, 2.0, 3.0, weighted_correlation=0.7)
    np.testing.assert_allclose(weighted.correlation, 0.7 * 6**0.5, rtol=1e-6)
    plain = dist.SineBivariateVonMises(0.5, -0.3, 2.0, 3.0, correlation=0.7 * 6**0.5)
    np.testing.assert_allclose(weighted.log_prob(np.ones(2)), plain.log_prob(np.ones(2)), rtol=1e-6)
    np.testing.assert_allclose(weighted.norm_const, plain.norm_const, rtol=1e-6)
    for wrong in ({}, {"correlation": 1.0, "weighted_correlation": 0.3}):
        with pytest.raises(ValueError, match="correlation"):
            dist.SineBivariateVonMises(0.5, -0.3, 2.0, 3.0, **wrong)


def test_sine_skewed():
    points, count = 180, 40_000
    angles = np.linspace(-np.pi, np.pi, points, endpoint=False)
    grid = np.stack(np.meshgrid(angles, angles, indexing="ij"), -1)
    loc, skewness = np.array([0.5, -2.9]), np.array([0.7, -0.3])
    base = dist.SineBivariateVonMises(loc[0], loc[1], 2.0, 3.0, correlation=1.5)
    d = dist.SineSkewed(base, skewness)
    weights = np.exp(np.asarray(jax.jit(d.log_prob)(grid), np.float64)) * (2 * np.pi / points) ** 2
    assert weights.sum() == pytest.approx(1.0, rel=1e-4)
    draws = np.asarray(jax.jit(lambda key: d.sample(key, (count,)))(jax.random.key(2)), np.float64)
    assert np.all(d.support(draws.astype(np.float32)))
    for f in (np.sin, np.cos, lambda x: np.sin(2 * x)):
        mean = (weights[..., None] * f(grid - loc)).sum((0, 1))
        np.testing.assert_allclose(f(draws - loc).mean(0), mean, atol=5 / count**0.5)
    by_hand = base.log_prob(grid[3, 5]) + np.log1p((skewness * np.sin(grid[3, 5] - loc)).sum())
    np.testing.assert_allclose(d.log_prob(grid[3, 5]), by_hand, rtol=1e-5)


@pytest.mark.parametrize(
    "build",
    [
        lambda: dist.SineSkewed(dist.VonMises(0.0, 1.0), 0.3),
        lambda: dist.SineSkewed(dist.VonMises(np.zeros(2), 1.0).to_event(1), np.zeros(3)),
        lambda: dist.SineSkewed(dist.VonMises(np.zeros((3, 2)), 1.0).to_event(1), np.zeros((4, 2))),
        lambda: dist.ProjectedNormal(1.0),
    ],
)
def test_shapes_that_do_not_fit(build):
    with pytest.raises(ValueError, match=r"SineSkewed|ProjectedNormal"):
        build()


@pytest.mark.parametrize("dimension", [1, 2, 3, 5, 8])
def test_density_of_directions(dimension):
    """Against the radial integral in multiple precision, from the mode to the direction opposite to it."""
    mean = np.linspace(1.0, 2.0, dimension).astype(np.float32)
    for length in (0.1, 3.0, 30.0):
        concentration = (length * mean / np.linalg.norm(mean)).astype(np.float32)
        across = np.zeros(dimension)
        across[0], across[-1] = -mean[-1], mean[0]
        directions = [mean, -mean] if dimension == 1 else [mean, -mean, across, across - 0.3 * mean, mean + across]
        x = np.float32([v / np.linalg.norm(v) for v in directions])
        found = jax.jit(lambda mu, x: dist.ProjectedNormal(mu).log_prob(x))(concentration, x)
        for log_prob, v in zip(found, x, strict=True):
            with mp.workdps(30):
                t = mp.fsum(mp.mpf(float(a)) * mp.mpf(float(b)) for a, b in zip(concentration, v, strict=True))
                squared = mp.fsum(mp.mpf(float(a)) ** 2 for a in concentration)
                peak = max(t, mp.mpf(0))
                integral = mp.quad(
                    lambda r, t=t, peak=peak: r ** (dimension - 1) * mp.exp(-r * r / 2 + r * t - peak * peak / 2),
                    [0, 0.03, 0.3, 1, 3, max(peak - 4, 3) + 0.1, peak + 5, peak + 20],
                )
                expected = mp.log(integral) + peak**2 / 2 - squared / 2 - mp.mpf(dimension) / 2 * mp.log(2 * mp.pi)
            np.testing.assert_allclose(log_prob, float(expected), rtol=3e-5, atol=3e-5)


def test_directions_on_the_circle_integrate_to_one_and_draws_follow():
    concentration = np.float32([1.2, -0.4])
    d = dist.ProjectedNormal(concentration)
    angles = np.linspace(-np.pi, np.pi, 360, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], -1)
    weights = np.exp(np.asarray(d.log_prob(circle), np.float64)) * 2 * np.pi / 360
    assert weights.sum() == pytest.approx(1.0, rel=1e-5)
    draws = np.asarray(d.sample(jax.random.key(0), (40_000,)))
    assert np.all(d.support(draws))
    np.testing.assert_allclose(draws.mean(0), (weights[:, None] * circle).sum(0), atol=0.02)
    np.testing.assert_allclose(d.mean, concentration / np.linalg.norm(concentration), rtol=1e-6)
    assert np.all(d.log_prob(np.asarray(d.mode)) >= d.log_prob(circle) - 1e-6)
    slope = jax.grad(lambda mu: dist.ProjectedNormal(mu).rsample(jax.random.key(0), (5,)).sum())(
        jnp.asarray(concentration)
    )
    assert np.all(np.isfinite(slope))
    assert np.all(slope != 0)


@pytest.mark.parametrize("power", [1, 2])
def test_derivatives_of_the_radial_integral_on_both_sides(power):
    t = np.concatenate([-np.logspace(2, -2, 12), [0.0], np.logspace(-2, 1, 9)])

    def integral(n, t):
        """Relative to exp(-t^2 / 2), by parabolic cylinder functions (DLMF 12.5.1)."""
        return mp.gamma(n + 1) * mp.exp(mp.mpf(t) ** 2 / 4) * mp.pcfd(-n - 1, -mp.mpf(t))

    with double_precision():
        slope = jax.grad(lambda t: projected_normal._log_radial_integral(t, power))
        found = jax.jit(lambda t: (jax.vmap(slope)(t), jax.vmap(jax.grad(slope))(t)))(t)
    with mp.workdps(40):
        slopes = [power * integral(power - 1, v) / integral(power, v) for v in t.tolist()]
        # J'' = n J_{n-1}', where J_0' is exp(-t^2 / 2).
        bends = [1 if power == 1 else 2 * integral(0, v) for v in t.tolist()]
        curvatures = [b / integral(power, v) - s * s for b, v, s in zip(bends, t.tolist(), slopes, strict=True)]
    np.testing.assert_allclose(found[0], [float(s) for s in slopes], rtol=1e-13)
    np.testing.assert_allclose(found[1], [float(c) for c in curvatures], rtol=1e-9)

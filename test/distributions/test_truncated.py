# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Truncated distributions in single precision against mpmath: far tails, narrow intervals, gradients, moments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
from precision import double_precision
import pytest
import scipy.integrate
import scipy.stats

import numpyro.distributions as dist


class Exact(NamedTuple):
    """A symmetric density and its lower tail, in multiple precision."""

    make: Callable[..., dist.Distribution]
    pdf: Callable[[Any], Any]
    tail: Callable[[Any], Any]

    def mass(self, low: Any, high: Any) -> Any:
        below = lambda z: self.tail(mp.mpf(z)) if np.isfinite(float(z)) else mp.mpf(z > 0)
        return below(high) - below(low) if low < -high else below(-low) - below(-high)


def student_tail(z):
    half = mp.betainc(15, mp.mpf(1) / 2, 0, 30 / (30 + z * z), regularized=True) / 2
    return half if z < 0 else 1 - half


EXACT = {
    "Normal": Exact(dist.Normal, mp.npdf, lambda z: mp.erfc(-z / mp.sqrt(2)) / 2),
    "Cauchy": Exact(dist.Cauchy, lambda z: 1 / (mp.pi * (1 + z * z)), lambda z: mp.atan2(1, -z) / mp.pi),
    "Laplace": Exact(
        dist.Laplace, lambda z: mp.exp(-abs(z)) / 2, lambda z: mp.exp(z) / 2 if z < 0 else 1 - mp.exp(-z) / 2
    ),
    "Logistic": Exact(dist.Logistic, lambda z: mp.sech(z / 2) ** 2 / 4, lambda z: 1 / (1 + mp.exp(-z))),
    "SoftLaplace": Exact(dist.SoftLaplace, lambda z: mp.sech(z) / mp.pi, lambda z: 2 / mp.pi * mp.atan(mp.exp(z))),
    "StudentT": Exact(
        lambda loc, scale: dist.StudentT(30.0, loc, scale),
        lambda z: (1 + z * z / 30) ** (-mp.mpf(31) / 2) / (mp.sqrt(30) * mp.beta(15, mp.mpf(1) / 2)),
        student_tail,
    ),
}
INF = np.inf
INTERVALS = {
    "left": [(1.0, INF), (-3.0, INF), (30.0, INF), (300.0, INF)],
    "right": [(-INF, -30.0), (-INF, 2.0)],
    "both": [
        (-1.0, 2.0),
        (20.0, 21.0),
        (-40.0, -20.0),
        (-40.0, 25.0),
        (5.0, 5.25),
        (-0.001953125, 0.0009765625),
        (-INF, 1.0),
        (-1.0, INF),
        (-INF, INF),
    ],
}


def truncated(base: dist.Distribution, side: str) -> dist.Distribution:
    """To all the intervals of one kind."""
    low, high = np.float32(INTERVALS[side]).T
    return dist.TruncatedDistribution(base, low=None if side == "right" else low, high=None if side == "left" else high)


@pytest.mark.parametrize("side", INTERVALS)
@pytest.mark.parametrize("name", EXACT)
def test_intervals_far_in_the_tails_and_narrow_ones(name, side):
    """Single precision, to a few units of its last place."""
    exact, q = EXACT[name], np.float32([1e-3, 0.2, 0.7, 0.99])

    @jax.jit
    def numbers(q):
        d = truncated(exact.make(0.0, 1.0), side)
        x = d.icdf(q)
        return x, d.log_prob(x), d.cdf(x), d.support(x)

    found = (np.asarray(column).T for column in numbers(q[:, None]))
    with mp.workdps(60):
        for (low, high), x, log_prob, cdf, supported in zip(INTERVALS[side], *found, strict=True):
            mass, points = exact.mass(low, high), [mp.mpf(float(v)) for v in x]
            expected = np.array([float(mp.log(exact.pdf(v) / mass)) for v in points])
            np.testing.assert_allclose(log_prob, expected, rtol=2e-5, atol=7e-5)
            shares = np.array([float(exact.mass(low, v) / mass) for v in points])
            np.testing.assert_allclose(cdf, shares, atol=3e-5)
            assert np.all(supported)
            # As well as the floating-point numbers around x can tell.
            resolution = np.exp(expected) * np.spacing(np.maximum(np.abs(x), 1.0))
            if name == "StudentT":
                resolution = resolution + 3e-4 if high - low > 0.01 else 1.0
            assert np.all(np.abs(shares - q) < 2e-6 + 5 * resolution)


@pytest.mark.parametrize("low", [1.0, 10.0, 100.0])
def test_gradients_of_a_normal_tail(low):
    """Of log p(x | x > a), with hazard lambda: in x it is -x, in loc x - lambda, in scale x^2 - 1 - a lambda."""
    x = low + 0.5 / low
    gradient = jax.jit(
        jax.grad(lambda loc, scale, low, x: dist.TruncatedNormal(loc, scale, low=low).log_prob(x), range(4))
    )(0.0, 1.0, low, x)
    with mp.workdps(40):
        a, x = mp.mpf(float(np.float32(low))), mp.mpf(float(np.float32(x)))
        hazard = mp.npdf(a) / (mp.erfc(a / mp.sqrt(2)) / 2)
        expected = [x - hazard, x * x - 1 - a * hazard, hazard, -x]
    np.testing.assert_allclose(gradient, [float(e) for e in expected], rtol=2e-4, atol=1e-5 * low)


@pytest.mark.parametrize("side", INTERVALS)
def test_moments_of_a_truncated_normal(side):
    found = jax.jit(
        lambda loc: (truncated(dist.Normal(loc, 1.0), side).mean, truncated(dist.Normal(loc, 1.0), side).variance)
    )(0.0)
    with mp.workdps(60):
        for (low, high), mean, variance in zip(INTERVALS[side], *found, strict=True):
            # About the end next to zero, where the mass is.
            start = mp.mpf(min(max(low, 0.0), high))
            weight = lambda t, start=start: mp.exp(-t * t / 2 - start * t)
            ends = [min(max(mp.mpf(end) - start, -20), 20) for end in (low, high)]
            inner = [p for p in map(mp.mpf, (-4, -1, -0.1, -0.01, 0.01, 0.1, 1, 4)) if ends[0] < p < ends[1]]
            moments = [
                mp.quad(lambda t, k=k, weight=weight: t**k * weight(t), [ends[0], *inner, ends[1]]) for k in range(3)
            ]
            shift = moments[1] / moments[0]
            spread = float(moments[2] / moments[0] - shift**2)
            np.testing.assert_allclose(mean, float(start + shift), rtol=1e-5, atol=1e-5 * spread**0.5)
            np.testing.assert_allclose(variance, spread, rtol=2e-3)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 2.0), (0.1, 0.3), (5.0, 40.0), (-7.0, 1.0)])
def test_moments_of_a_cauchy_on_an_interval(low, high):
    with double_precision():
        d = dist.TruncatedCauchy(0.3, 1.4, low=low, high=high)
        found = float(d.mean), float(d.variance)
    rv = scipy.stats.cauchy(0.3, 1.4)
    mean = rv.expect(lb=low, ub=high, conditional=True)
    variance = rv.expect(lambda x: (x - mean) ** 2, lb=low, ub=high, conditional=True)
    np.testing.assert_allclose(found, (mean, variance), rtol=1e-8)


def test_moments_of_a_cauchy_tail_are_infinite():
    assert dist.TruncatedCauchy(0.0, 1.0, low=1.0).mean == np.inf
    assert dist.TruncatedCauchy(0.0, 1.0, high=1.0).mean == -np.inf


def test_what_has_no_moments_says_so():
    with pytest.raises(NotImplementedError, match="truncated Laplace"):
        _ = dist.TruncatedDistribution(dist.Laplace(0.0, 1.0), low=1.0).mean


@pytest.mark.parametrize("concentration", [0.5, 2.6, 50.0])
@pytest.mark.parametrize("where", ["upper tail", "lower tail", "between"])
def test_gamma_tails(concentration, where):
    spread = concentration**0.5
    low, high = {
        "upper tail": (concentration + 14 * spread + 60, None),
        "lower tail": (None, concentration * np.exp(-30 / spread)),
        "between": (concentration + 20 * spread, concentration + 30 * spread + 5),
    }[where]
    low, high = (None if end is None else np.float32(end) for end in (low, high))
    q = np.float32([0.01, 0.4, 0.9])

    @jax.jit
    def numbers(low, high):
        d = dist.TruncatedGamma(np.float32(concentration), 1.0, low=low, high=high)
        x = d.icdf(q)
        return x, d.log_prob(x), d.cdf(x)

    x, log_prob, cdf = numbers(low, high)
    with mp.workdps(60):
        a = mp.mpf(concentration)
        start, end = (mp.mpf(0) if low is None else mp.mpf(float(low))), mp.inf if high is None else mp.mpf(float(high))
        mass = mp.gammainc(a, start, end)
        points = [mp.mpf(float(v)) for v in x]
        expected = [float((a - 1) * mp.log(v) - v - mp.log(mass)) for v in points]
        shares = np.array([float(mp.gammainc(a, start, v) / mass) for v in points])
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4, atol=2e-4)
    np.testing.assert_allclose(cdf, shares, atol=1e-4)
    np.testing.assert_allclose(shares, q, atol=1e-4)


@pytest.mark.parametrize(
    ("alpha", "low", "high"),
    [(-1.0, 0.5, 4.0), (-1.0001, 0.5, 4.0), (1.5, 0.0, 2.0), (-0.5, 0.0, 2.0), (-7.0, 0.5, 400.0), (8.0, 1e-3, 4.0)],
)
def test_power_law_on_an_interval(alpha, low, high):
    """Against integration in log x; the one with exponent -1 is log-uniform."""
    q = np.array([1e-3, 0.3, 0.8])
    with double_precision():
        d = dist.DoublyTruncatedPowerLaw(alpha, low, high)
        x, density = np.asarray(d.icdf(q)), lambda x: float(jnp.exp(d.log_prob(x)))
        found = np.asarray(d.cdf(x)), float(d.mean), float(d.variance)
        start = max(low, 1e-30)
        integral = lambda f, end: scipy.integrate.quad(
            lambda t: f(np.exp(t)) * density(np.exp(t)) * np.exp(t), np.log(start), np.log(end), limit=200
        )[0]
        shares = [integral(lambda x: 1.0, end) for end in x]
        mean = integral(lambda x: x, high)
        variance = integral(lambda x: (x - mean) ** 2, high)
        assert integral(lambda x: 1.0, high) == pytest.approx(1.0, rel=1e-6)
    np.testing.assert_allclose(shares, q, rtol=1e-5)
    np.testing.assert_allclose(found[0], q, rtol=1e-6)
    np.testing.assert_allclose(found[1:], (mean, variance), rtol=1e-5)


def test_power_law_from_zero_needs_an_integrable_exponent():
    assert dist.DoublyTruncatedPowerLaw(-1.0, 0.0, 4.0).log_prob(2.0) == -np.inf


def test_gradients_of_a_power_law_are_smooth_at_exponent_minus_one():
    slope = jax.jit(jax.grad(lambda alpha: dist.DoublyTruncatedPowerLaw(alpha, 0.5, 4.0).log_prob(2.0)))
    # d/d alpha is log x minus the mean of log x, which is uniform for alpha = -1.
    np.testing.assert_allclose(slope(-1.0), np.log(2.0) - 0.5 * np.log(0.5 * 4.0), rtol=1e-5)


def test_polya_gamma_by_its_laplace_transform():
    """E exp(-t x) = 1 / cosh(sqrt(t / 2)) (Polson, Scott, Windle 2013, eq. 3); the truncation is invisible here."""
    x, weights = np.polynomial.legendre.leggauss(400)
    x, weights = 1.25 * (x + 1), 1.25 * weights
    with double_precision():
        d = dist.TruncatedPolyaGamma()
        density = np.exp(d.log_prob(x))
        moments = float(d.mean), float(d.variance)
        q = np.linspace(0.0, 1.0, 101)
        np.testing.assert_allclose(d.cdf(d.icdf(q)), q, atol=1e-12)
        slopes = jax.vmap(jax.grad(d.cdf))(x)
    np.testing.assert_allclose(slopes, density, rtol=1e-6, atol=1e-12)
    assert (weights * density).sum() == pytest.approx(1.0, abs=1e-10)
    mean = (weights * density * x).sum()
    np.testing.assert_allclose(moments, (mean, (weights * density * (x - mean) ** 2).sum()), rtol=1e-9)
    for t in (0.5, 3.0, 40.0):
        transform = (weights * density * np.exp(-t * x)).sum()
        assert transform == pytest.approx(1 / np.cosh(np.sqrt(t / 2)), rel=1e-5)


def test_polya_gamma_draws():
    d = dist.TruncatedPolyaGamma(batch_shape=(2,))
    draws = np.asarray(jax.jit(lambda key: d.sample(key, (10_000,)))(jax.random.key(3)), np.float64)
    assert draws.shape == (10_000, 2)
    for column in draws.T:
        assert scipy.stats.kstest(column, lambda x: np.asarray(dist.TruncatedPolyaGamma().cdf(x))).pvalue > 1e-3
    np.testing.assert_array_equal(d.log_prob(np.array([[-1.0], [2.6]])), -np.inf)


@pytest.mark.parametrize(
    ("base", "low", "high"),
    [
        (dist.Normal(0.3, 1.4), 60.0, None),
        pytest.param(dist.StudentT(3.0, 0.3, 1.4), None, -5.0, marks=pytest.mark.slow),
        (dist.Gamma(2.6, 1.7), 0.5, 1.5),
        pytest.param(dist.Gamma(2.6, 1.7), 90.0, None, marks=pytest.mark.slow),
    ],
)
def test_draws_are_differentiable(base, low, high):
    """Implicitly: dx/dtheta = -(dF/dtheta) / p at fixed x (Figurnov, Mohamed, Mnih, 2018)."""
    names = [name for name in base.arg_constraints if name != "df"]

    def build(parameters):
        given = {**base.get_args(), **dict(zip(names, parameters, strict=True))}
        if isinstance(base, dist.Gamma):
            return dist.TruncatedGamma(**given, low=low, high=high)
        return dist.TruncatedDistribution(type(base)(**given), low=low, high=high)

    def run(parameters, q):
        x, backward = jax.vjp(lambda p: build(p).icdf(q), parameters)
        _, shares = jax.vjp(lambda p: build(p).cdf(jax.lax.stop_gradient(x)), parameters)
        density = jnp.exp(build(parameters).log_prob(x))
        _, forward = jax.jvp(lambda p: build(p).icdf(q), (parameters,), (jnp.ones_like(parameters),))
        return backward(jnp.ones(()))[0], -shares(jnp.ones(()))[0] / density, forward

    with double_precision():
        parameters = jnp.array([float(base.get_args()[name]) for name in names])
        for q in (0.05, 0.9):
            backward, implicit, forward = jax.jit(run)(parameters, q)
            np.testing.assert_allclose(backward, implicit, rtol=1e-5, atol=1e-8)
            np.testing.assert_allclose(forward, np.sum(backward), rtol=1e-8)
    assert build([1.0] * len(names)).has_rsample


def test_gradients_with_infinite_bounds():
    """One of two bounds may be infinite for some elements of a batch."""

    def log_prob(loc):
        d = dist.TruncatedNormal(loc, 1.0, low=np.array([-INF, -1.0, -INF]), high=np.array([1.0, INF, INF]))
        return d.log_prob(0.3)

    def one_sided(loc):
        ends = [{"high": 1.0}, {"low": -1.0}, {"low": -1e6}]
        return jnp.stack([dist.TruncatedNormal(loc, 1.0, **end).log_prob(0.3) for end in ends])

    @jax.jit
    def compare(loc):
        one = (jnp.ones_like(loc),)
        return jax.jvp(log_prob, (loc,), one), jax.jvp(one_sided, (loc,), one)

    found, expected = compare(0.2)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize(
    "d",
    [
        dist.TruncatedNormal(0.0, 1.0, low=1.0),
        dist.TruncatedNormal(0.0, 1.0, low=-1.0, high=1.0),
        dist.TruncatedGamma(2.0, 1.0, high=1.0),
        dist.TruncatedGamma(2.0, 1.0, low=1.0),
    ],
    ids=lambda d: type(d).__name__,
)
def test_outside_the_bounds(d):
    x = np.float32([-2.0, -1e-3 if "Gamma" in type(d).__name__ else -1.5])
    if "Left" in type(d).__name__:
        x = np.append(x, np.float32(0.99))

    @jax.jit
    def numbers(x):
        slopes = jax.vmap(jax.grad(d.cdf))(x), jax.vmap(jax.grad(d.log_prob))(x)
        return d.log_prob(x), d.cdf(x), d.cdf(5.0), slopes

    log_prob, cdf, above, slopes = numbers(x)
    np.testing.assert_array_equal(log_prob, -np.inf)
    np.testing.assert_array_equal(cdf, 0.0)
    assert np.all(np.isfinite(slopes))
    if "Left" not in type(d).__name__:
        assert above == 1.0


def test_functions_choose_the_class():
    assert isinstance(dist.TruncatedNormal(0.0, 1.0), dist.Normal)
    assert isinstance(dist.TruncatedGamma(1.0, 1.0), dist.Gamma)
    assert isinstance(dist.TruncatedCauchy(low=1.0), dist.LeftTruncatedDistribution)
    assert isinstance(dist.TruncatedDistribution(dist.Logistic(), high=1.0), dist.RightTruncatedDistribution)
    expanded = dist.TruncatedDistribution(dist.Normal(0.0, 1.0).expand([3]), low=np.ones((4, 1)))
    assert expanded.batch_shape == (4, 3)
    assert np.unique(expanded.sample(jax.random.key(0))).size == 12


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: dist.TruncatedDistribution(dist.Gamma(1.0, 1.0), low=1.0), TypeError, "use TruncatedGamma"),
        (lambda: dist.LeftTruncatedGamma(dist.Normal(0.0, 1.0), 1.0), TypeError, "takes Gamma"),
        (lambda: dist.TruncatedDistribution(dist.Poisson(1.0), low=1.0), TypeError, "Poisson cannot be truncated"),
        (lambda: dist.TruncatedDistribution(3.0, low=1.0), TypeError, "must be a distribution"),
        (lambda: dist.TruncatedNormal(np.zeros(3), 1.0, low=np.ones(2)), ValueError, r"low has shape \(2,\)"),
        (lambda: dist.TruncatedNormal(0.0, 1.0, low=2.0, high=1.0, validate_args=True), ValueError, "'low'"),
        (lambda: dist.TruncatedGamma(1.0, 1.0, low=-1.0, high=1.0, validate_args=True), ValueError, "'low'"),
    ],
)
def test_what_cannot_be_truncated(build, error, words):
    with pytest.raises(error, match=words):
        build()

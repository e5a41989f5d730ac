# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""NUTS against posteriors that are known without sampling: in closed form, or by quadrature in one or two dimensions.

Many hierarchical models, state-space models and Gaussian processes are linear and Gaussian once their scales are known.
Then all but the scales can be integrated out in closed form, and the scales on a grid: sums of a smooth density that
falls off at both ends converge faster than any power of the distance of the points.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose
import pytest
from scipy import stats
from scipy.special import expit, gammaln

import numpyro
from numpyro.contrib.control_flow import scan
from numpyro.diagnostics import effective_sample_size
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.infer import MCMC, NUTS
from numpyro.infer.reparam import LocScaleReparam

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::numpyro.diagnostics.DiagnosticWarning")]


def draw(model, *args, num_samples=2000, **settings):
    """Draws of four chains, as double precision numbers."""
    mcmc = MCMC(
        NUTS(model, **settings),
        num_warmup=1000,
        num_samples=num_samples,
        num_chains=4,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.PRNGKey(0), *args)
    return {name: np.asarray(x, np.float64) for name, x in mcmc.get_samples(group_by_chain=True).items()}


def errors(x, mean, sd):
    """Errors of the mean and standard deviation of draws, in Monte Carlo standard errors."""
    size = effective_sample_size(x)
    squares = (x - mean) ** 2
    size_of_squares = effective_sample_size(squares)
    assert np.all(size > 200) and np.all(size_of_squares > 200), "too few effective draws to tell"
    of_sd = (np.sqrt(squares.mean((0, 1))) - sd) / (squares.std((0, 1)) / np.sqrt(size_of_squares) / (2 * sd))
    return (x.mean((0, 1)) - mean) / (sd / np.sqrt(size)), of_sd


def assert_moments(draws, reference, tolerance=4.0):
    """Each mean and standard deviation within four Monte Carlo standard errors.

    :param reference: mean and standard deviation of each site.
    """
    found = {name: errors(draws[name], *map(np.asarray, moments)) for name, moments in reference.items()}
    assert all(np.all(np.abs(x) < tolerance) for pair in found.values() for x in pair), found


def moments(x, weights):
    """Mean and standard deviation over a grid, the last axis of ``x``."""
    mean = x @ weights
    return mean, np.sqrt((x - mean[..., None]) ** 2 @ weights)


def linear_gaussian(log_prior, prior, noise, design, y, *axes):
    """Posterior of ``x`` in ``y ~ Normal(design x, R)``, ``x ~ Normal(0, P)``, where ``P`` and ``R`` depend on scales.

    :param log_prior: log density of the scales.
    :param prior: ``P`` of the scales.
    :param noise: ``R`` of the scales.
    :param axes: for each scale its values on a grid whose logarithms are evenly spaced.
    :returns: mean and standard deviation of ``x``, then of each scale.
    """
    grid = np.stack([x.ravel() for x in np.meshgrid(*axes, indexing="ij")], -1)
    log_weights, means, variances = [], [], []
    for scales in grid:
        P, R = prior(*scales), noise(*scales)
        marginal = design @ P @ design.T + R
        gain = np.linalg.solve(marginal, design @ P).T
        log_marginal = -0.5 * (np.linalg.slogdet(marginal)[1] + y @ np.linalg.solve(marginal, y))
        # On the logarithms the density has the scales as its Jacobian.
        log_weights.append(log_prior(*scales) + np.sum(np.log(scales)) + log_marginal)
        means.append(gain @ y)
        variances.append(np.diag(P - gain @ design @ P))
    weights = np.exp(np.array(log_weights) - np.max(log_weights))
    weights /= weights.sum()
    edge = weights.reshape([len(axis) for axis in axes])
    for axis in range(len(axes)):
        assert np.take(edge, [0, -1], axis).sum() < 1e-5, "the grid is too narrow"
    mean, spread = moments(np.array(means).T, weights)
    return (mean, np.sqrt(spread**2 + weights @ np.array(variances))), *(moments(x, weights) for x in grid.T)


def half_normal(scale):
    return partial(stats.halfnorm.logpdf, scale=scale)


def log_normal(loc, scale):
    return partial(stats.lognorm.logpdf, s=scale, scale=np.exp(loc))


# Eight schools: Rubin (1981), Estimation in parallel randomized experiments, table 1; Gelman et al., Bayesian data
# analysis, section 5.5.

EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def eight_schools():
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("schools", 8):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("y", dist.Normal(theta, ERRORS), obs=EFFECTS)


@pytest.fixture(scope="module")
def eight_schools_posterior():
    def prior(tau):
        """Covariance of the effects and, last, their mean."""
        return 25.0 + tau**2 * np.diag([1.0] * 8 + [0.0])

    design = np.eye(8, 9)
    log_prior = partial(stats.halfcauchy.logpdf, scale=5.0)
    tau_grid = np.exp(np.linspace(-16.0, 8.0, 2000))
    (mean, sd), tau = linear_gaussian(log_prior, prior, lambda tau: np.diag(ERRORS**2), design, EFFECTS, tau_grid)
    return {"theta": (mean[:8], sd[:8]), "mu": (mean[8], sd[8]), "tau": tau}


@pytest.mark.parametrize("centred", [True, False])
def test_eight_schools(centred, eight_schools_posterior):
    if centred:
        draws = draw(eight_schools, target_accept_prob=0.995, num_samples=20_000)
    else:
        draws = draw(numpyro.handlers.reparam(eight_schools, {"theta": LocScaleReparam(0.0)}), target_accept_prob=0.95)
    assert_moments(draws, eight_schools_posterior)


def test_varying_intercepts():
    """A regression with an intercept for each group, as for the radon data."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(6), [2, 3, 4, 6, 8, 12])
    x = rng.normal(size=35)
    y = 1.0 + rng.normal(size=6)[group] - 0.7 * x + 0.6 * rng.normal(size=35)

    def model():
        mean = numpyro.sample("mean", dist.Normal(0.0, 2.0))
        slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
        between = numpyro.sample("between", dist.HalfNormal(1.0))
        within = numpyro.sample("within", dist.HalfNormal(1.0))
        with numpyro.plate("groups", 6):
            intercept = numpyro.sample("intercept", dist.Normal(mean, between))
        with numpyro.plate("rows", 35):
            numpyro.sample("y", dist.Normal(intercept[group] + slope * x, within), obs=y)

    def prior(between, within):
        """Covariance of the intercepts, their mean and the slope."""
        covariance = np.zeros((8, 8))
        covariance[:7, :7] = 4.0 + between**2 * np.diag([1.0] * 6 + [0.0])
        covariance[7, 7] = 1.0
        return covariance

    design = np.column_stack([np.eye(6)[group], np.zeros(35), x])
    (mean, sd), between, within = linear_gaussian(
        lambda a, b: half_normal(1.0)(a) + half_normal(1.0)(b),
        prior,
        lambda between, within: within**2 * np.eye(35),
        design,
        y,
        np.exp(np.linspace(-4.5, 1.8, 60)),
        np.exp(np.linspace(-1.4, 0.5, 60)),
    )
    reference = {"intercept": (mean[:6], sd[:6]), "mean": (mean[6], sd[6]), "slope": (mean[7], sd[7])}
    assert_moments(draw(model), reference | {"between": between, "within": within})


def test_local_level():
    """A random walk that is seen through noise, both of unknown scale."""
    rng = np.random.default_rng(1)
    steps = 12
    y = np.cumsum(0.8 * rng.normal(size=steps)) + 0.5 * rng.normal(size=steps)

    def model():
        drift = numpyro.sample("drift", dist.LogNormal(-0.3, 0.5))
        noise = numpyro.sample("noise", dist.LogNormal(-0.7, 0.5))

        def step(level, y):
            level = numpyro.sample("level", dist.Normal(level, drift))
            numpyro.sample("y", dist.Normal(level, noise), obs=y)
            return level, None

        scan(step, 0.0, y)

    times = np.arange(1, steps + 1)
    level, drift, noise = linear_gaussian(
        lambda a, b: (
            stats.lognorm.logpdf(a, 0.5, scale=np.exp(-0.3)) + stats.lognorm.logpdf(b, 0.5, scale=np.exp(-0.7))
        ),
        lambda drift, noise: drift**2 * np.minimum.outer(times, times),
        lambda drift, noise: noise**2 * np.eye(steps),
        np.eye(steps),
        y,
        np.exp(np.linspace(-3.0, 2.0, 80)),
        np.exp(np.linspace(-3.5, 1.5, 80)),
    )
    # The errors of standard deviations are skewed: with 2000 draws a chain one key in five was 4.5 from the reference.
    draws = draw(model, num_samples=8000, target_accept_prob=0.9)
    assert_moments(draws, {"level": level, "drift": drift, "noise": noise})


def test_gaussian_process():
    """A squared exponential kernel of unknown length, and unknown noise; the values of the process are parameters."""
    rng = np.random.default_rng(2)
    x = np.linspace(0.0, 3.0, 6)
    y = np.sin(2.0 * x) + 0.3 * rng.normal(size=6)
    distances = np.subtract.outer(x, x)

    def model():
        length = numpyro.sample("length", dist.LogNormal(0.0, 0.5))
        noise = numpyro.sample("noise", dist.LogNormal(-1.0, 0.4))
        z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand([6]).to_event(1))
        root = jnp.linalg.cholesky(jnp.exp(-0.5 * (distances / length) ** 2) + 1e-2 * jnp.eye(6))
        f = numpyro.deterministic("f", root @ z)
        numpyro.sample("y", dist.Normal(f, noise).to_event(1), obs=y)

    f, length, noise = linear_gaussian(
        lambda a, b: log_normal(0.0, 0.5)(a) + log_normal(-1.0, 0.4)(b),
        lambda length, noise: np.exp(-0.5 * (distances / length) ** 2) + 1e-2 * np.eye(6),
        lambda length, noise: noise**2 * np.eye(6),
        np.eye(6),
        y,
        np.exp(np.linspace(-2.5, 2.5, 80)),
        np.exp(np.linspace(-3.0, 1.0, 80)),
    )
    assert_moments(draw(model, num_samples=1000), {"f": f, "length": length, "noise": noise})


def test_bioassay():
    """Logistic regression of deaths on the dose, flat prior: Racine et al. (1986); Gelman et al., Bayesian data
    analysis, section 3.7. By quadrature in both parameters."""
    dose, count, deaths = np.array([-0.86, -0.30, -0.05, 0.73]), 5, np.array([0, 1, 3, 5])

    def model():
        coefficients = numpyro.sample("coefficients", dist.ImproperUniform(constraints.real_vector, (), (2,)))
        numpyro.sample(
            "y", dist.Binomial(count, logits=coefficients[0] + coefficients[1] * dose).to_event(1), obs=deaths
        )

    alpha, beta = (x.ravel() for x in np.meshgrid(np.linspace(-6.0, 14.0, 400), np.linspace(-8.0, 90.0, 800)))
    rates = expit(alpha[:, None] + beta[:, None] * dose)
    weights = np.exp(np.sum(stats.binom.logpmf(deaths, count, rates), -1))
    mean, sd = moments(np.stack([alpha, beta]), weights / weights.sum())
    assert_moments(draw(model), {"coefficients": (mean, sd)})


def test_speed_of_light():
    """Newcomb's measurements of the passage time of light, flat prior of the mean and log standard deviation: Stigler
    (1977), table 5; Gelman et al., Bayesian data analysis, section 3.2, who publish the mean 26.2, the standard
    deviation 10.8 of the data and the 95 % interval [23.6, 28.8] of the mean."""
    y = np.array(
        "28 26 33 24 34 -44 27 16 40 -2 29 22 24 21 25 30 23 29 31 19 24 20 36 32 36 28 25 21 28 29 37 25 28 26 30 32 "
        "36 26 30 22 36 23 27 27 28 27 31 27 26 33 26 32 32 24 39 28 24 25 32 25 29 27 28 29 16 23".split(),
        float,
    )
    degrees = len(y) - 1
    assert_allclose([len(y), y.mean(), y.std(ddof=1)], [66, 26.2, 10.8], atol=0.06)

    def model():
        mu = numpyro.sample("mu", dist.ImproperUniform(constraints.real, (), ()))
        log_sigma = numpyro.sample("log_sigma", dist.ImproperUniform(constraints.real, (), ()))
        sigma = numpyro.deterministic("sigma", jnp.exp(log_sigma))
        numpyro.sample("y", dist.Normal(mu, sigma).expand([66]).to_event(1), obs=y)

    # The mean has Student's distribution; degrees s^2 / sigma^2 that of chi squared.
    spread = y.std(ddof=1)
    mean = spread * np.exp(0.5 * np.log(degrees / 2) + gammaln((degrees - 1) / 2) - gammaln(degrees / 2))
    sigma = (mean, np.sqrt(spread**2 * degrees / (degrees - 2) - mean**2))
    draws = draw(model)
    assert_moments(draws, {"mu": (y.mean(), spread / np.sqrt(66) * np.sqrt(degrees / (degrees - 2))), "sigma": sigma})
    assert_allclose(np.quantile(draws["mu"], [0.025, 0.975]), [23.6, 28.8], atol=0.2)

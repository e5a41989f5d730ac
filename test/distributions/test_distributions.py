# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Numbers of every distribution against SciPy, finite differences and integration; draws against their distribution.

Densities, distribution functions, moments and gradients are compared in double precision.
"""

from __future__ import annotations

from collections.abc import Callable
import itertools
from typing import Any
import warnings

from distributions.examples import EXAMPLES, Example
import jax
from jax.flatten_util import ravel_pytree
import jax.numpy as jnp
import numpy as np
from precision import double_precision
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.distribution import validation_enabled

BY_NAME = {example.name: example for example in EXAMPLES}
WITH_REFERENCE = [name for name, example in BY_NAME.items() if callable(example.reference)]
SCALARS = [name for name in WITH_REFERENCE if not BY_NAME[name].at_point().event_shape]
VECTORS = [name for name in WITH_REFERENCE if BY_NAME[name].at_point().event_shape]
CONTINUOUS = [name for name in SCALARS if not BY_NAME[name].at_point().is_discrete]
DISCRETE = [name for name in SCALARS if BY_NAME[name].at_point().is_discrete]
PROBABILITIES = np.array([1e-4, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1 - 1e-4])


def tolerances(precision: str) -> dict[str, float]:
    return {"rtol": 1e-6, "atol": 1e-9} if precision == "double" else {"rtol": 3e-4, "atol": 2e-5}


def point_in(example: Example, precision: str) -> dict[str, np.ndarray]:
    return example.double_point if precision == "double" else example.point


def typical_values(name: str) -> np.ndarray:
    """Values over the bulk and the tails; all of the support's bulk for a discrete distribution."""
    reference = BY_NAME[name].scipy()
    if name in DISCRETE:
        return np.arange(0, 1 + next(k for k in itertools.count() if reference.cdf(k) > 1 - 1e-6))
    if hasattr(reference, "ppf"):
        return reference.ppf(PROBABILITIES)
    return np.linspace(reference.mean() - 4 * reference.var() ** 0.5, reference.mean() + 4 * reference.var() ** 0.5, 9)


def available(compute: Callable[[], Any]) -> Any:
    """A statistic, or None for a distribution that does not have it."""
    try:
        return compute()
    except NotImplementedError:
        return None


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile without optimisation: the programs run once."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def at_the_mode(d: dist.Distribution) -> dict[str, Any]:
    mode = available(lambda: d.mode)
    return {} if mode is None else {"mode": mode, "log_prob at the mode": d.log_prob(mode)}


def check_mode(example: Example, found: dict[str, Any], log_prob: Any) -> None:
    """The density is nowhere higher."""
    if "mode" in found and "Masked" not in example.name and np.all(np.isfinite(found["mode"])):
        highest = found["log_prob at the mode"]
        assert np.isfinite(highest)
        assert np.all(np.asarray(log_prob) <= highest + 1e-5 * (1 + abs(highest)))


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("name", SCALARS)
def test_scalar_distribution_against_scipy(name, precision):
    example, reference, values = BY_NAME[name], BY_NAME[name].scipy(), typical_values(name)
    probabilities = PROBABILITIES.astype(np.float32 if precision == "single" else np.float64)
    usual = len(values)
    values = np.append(values, far_values(name)) if name in CONTINUOUS else values
    if precision == "single" and name in CONTINUOUS:
        values = values.astype(np.float32)

    def numbers(parameters, values, q):
        d = example.constructor(**parameters)
        return {
            "log_prob": d.log_prob(values),
            "cdf": available(lambda: d.cdf(values[:usual])),
            "log_cdf": available(lambda: d.log_cdf(values[:usual])),
            "icdf": available(lambda: d.icdf(q)),
            "mean": available(lambda: d.mean),
            "variance": available(lambda: d.variance),
        } | at_the_mode(d)

    with double_precision(precision == "double"):
        found = compiled(numbers)(point_in(example, precision), values, probabilities)
    log_density = reference.logpmf if name in DISCRETE else reference.logpdf
    values = values.astype(np.float64)
    cdf = reference.cdf(values[:usual])
    expected = {"log_prob": log_density(values), "cdf": cdf, "log_cdf": np.log(cdf)}
    expected |= {"mean": reference.mean(), "variance": reference.var()}
    if hasattr(reference, "ppf"):
        expected["icdf"] = reference.ppf(probabilities.astype(np.float64))
    if "Categorical" in name:
        expected["mean"] = expected["variance"] = np.nan
    found = {key: value for key, value in found.items() if value is not None}
    for key in found.keys() & expected.keys():
        np.testing.assert_allclose(found[key], expected[key], **tolerances(precision), err_msg=key)
    assert "log_prob" in found
    check_mode(example, found, found["log_prob"])


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("name", VECTORS)
def test_vector_distribution_against_scipy(name, precision):
    example, reference = BY_NAME[name], BY_NAME[name].scipy()

    def numbers(parameters, key):
        d = example.constructor(**parameters)
        values = d.sample(key, (100,))
        statistics = {key: available(lambda key=key: getattr(d, key)) for key in ("mean", "variance")}
        return values, d.log_prob(values), statistics | {"entropy": available(lambda: d.entropy())} | at_the_mode(d)

    with double_precision(precision == "double"):
        values, log_prob, found = compiled(numbers)(point_in(example, precision), jax.random.key(0))
    check_mode(example, found, log_prob)
    values = np.asarray(values, np.float64)
    if example.cls is dist.Dirichlet:
        expected = reference.logpdf((values / values.sum(-1, keepdims=True)).T)
    else:
        expected = reference.logpdf(values)
    np.testing.assert_allclose(log_prob, expected, **tolerances(precision))
    of = {"mean": reference.mean, "variance": getattr(reference, "var", None)}
    if of["variance"] is None:
        of["variance"] = np.diag(reference.cov).reshape(values.shape[1:])
    of["entropy"] = getattr(reference, "entropy", None)
    for key, statistic in found.items():
        if statistic is not None and of.get(key) is not None:
            want = of[key]() if callable(of[key]) else of[key]
            np.testing.assert_allclose(statistic, want, **tolerances(precision), err_msg=key)


def far_values(name: str) -> np.ndarray:
    """Of probability 1e-30 on either side, as far as numbers reach; all that SciPy has a density for."""
    reference = BY_NAME[name].scipy()
    if name not in CONTINUOUS or not hasattr(reference, "isf"):
        return np.zeros(0)
    with np.errstate(all="ignore"):
        values = np.array([reference.ppf(1e-30), reference.isf(1e-30)])
        return values[np.isfinite(values) & np.isfinite(reference.logpdf(values))]


@pytest.mark.parametrize("name", WITH_REFERENCE)
def test_gradients_of_the_log_density_against_finite_differences(name):
    """And far in the tails, where they are finite."""
    example = BY_NAME[name]
    moving = {key: example.double_point[key] for key in example.differentiable}
    still = {key: value for key, value in example.point.items() if key not in moving}
    step, far = 1e-6, far_values(name)

    @compiled
    def program(moving, far):
        def total(moving, values):
            return example.constructor(**moving, **still).log_prob(values).sum()

        def slope(tree, place):
            flat, unravel = ravel_pytree(tree)
            change = lambda direction: place(unravel(flat + direction)) - place(unravel(flat - direction))
            return unravel(jax.vmap(change)(step * jnp.eye(len(flat))) / (2 * step))

        values = example.constructor(**moving, **still).sample(jax.random.key(3), (4,))
        by_value = jnp.issubdtype(values.dtype, jnp.floating) and example.cls is not dist.Dirichlet
        gradient = jax.grad(total, argnums=(0, 1) if by_value else (0,))
        expected = (slope(moving, lambda moving: total(moving, values)),)
        if by_value:
            expected += (slope(values, lambda values: total(moving, values)),)
        return gradient(moving, values), expected, gradient(moving, far) if len(far) else ()

    with double_precision():
        gradient, expected, in_the_tails = program(moving, far)
    jax.tree.map(lambda g, want: np.testing.assert_allclose(g, want, rtol=1e-5, atol=1e-5), gradient, expected)
    assert all(np.all(np.isfinite(g)) for g in jax.tree.leaves(in_the_tails))


@pytest.mark.parametrize("name", VECTORS)
def test_moments_of_vector_draws(name):
    # So many that 0.05 is four standard errors of a variance of the inverse Wishart distribution.
    example, count = BY_NAME[name], 100_000
    d = example.at_point()
    draws = np.asarray(compiled(lambda d, key: d.sample(key, (count,)))(d, jax.random.key(5)), np.float64)
    draws = draws.reshape(count, -1)
    reference = example.scipy()
    mean = np.ravel(reference.mean() if callable(reference.mean) else reference.mean)
    covariance = reference.cov() if callable(getattr(reference, "cov", None)) else getattr(reference, "cov", None)
    if covariance is None:
        covariance = sum(
            w * (c.cov + np.outer(c.mean - mean, c.mean - mean))
            for w, c in zip(reference.weights, reference.components, strict=True)
        )
    spread = np.sqrt(np.diag(covariance))
    assert np.all(np.abs(draws.mean(0) - mean) < 5 * spread / np.sqrt(count))
    np.testing.assert_allclose(
        np.cov(draws.T) / np.outer(spread, spread), covariance / np.outer(spread, spread), atol=0.05
    )


# Draws of these are functions of one uniform variable, or differentiated as if they were.
MONOTONE = ["Normal", "Cauchy", "Exponential", "Gamma", "Chi2", "InverseGamma", "LogNormal", "HalfNormal", "HalfCauchy"]


@pytest.mark.parametrize("name", [*MONOTONE, "Uniform"])
def test_draws_are_differentiable_in_the_parameters(name):
    r"""Implicit reparameterisation: :math:`dx/d\theta = -\partial_\theta F(x; \theta) / p(x; \theta)`.

    Figurnov, Mohamed, Mnih, *Implicit reparameterization gradients*, NeurIPS 2018, equation 5.
    """
    example, step = BY_NAME[name], 1e-5
    point = example.double_point
    with double_precision():

        @jax.jit
        def run(parameters, key):
            sample = lambda parameters: example.cls(**parameters).rsample(key, (20,))
            return sample(parameters), jax.jacfwd(sample)(parameters)

        draws, slopes = jax.tree.map(np.asarray, run(point, jax.random.key(2)))
    density = example.reference(**point).pdf(draws)
    for parameter, slope in slopes.items():
        above, below = (
            example.reference(**{**point, parameter: point[parameter] + sign * step}).cdf(draws) for sign in (1, -1)
        )
        implicit = -(above - below) / (2 * step) / density
        np.testing.assert_allclose(slope, implicit, rtol=1e-4, atol=1e-5, err_msg=parameter)


#: Draws of these come from several random numbers, gamma variates among them.
SEVERAL = [
    "StudentT",
    "Beta",
    "BetaProportion",
    "Dirichlet",
    "MultivariateStudentT",
    "MultivariateNormal(covariance_matrix)",
    "Wishart",
    "WishartCholesky",
    "InverseWishart",
    "InverseWishartCholesky",
    "LKJ",
    "LKJCholesky(onion)",
    "LKJCholesky(cvine)",
]


@pytest.mark.parametrize("name", SEVERAL)
def test_draws_are_differentiable_in_the_mean(name):
    """Where draws come from several random numbers: the derivative of an expectation, by both ways of taking it."""
    example, count = BY_NAME[name], 40_000

    @jax.jit
    def run(parameters, key):
        def of_draws(parameters):
            x = example.constructor(**parameters).rsample(key, (count,))
            return jnp.tanh(x + 0.3).reshape(count, -1).mean(0)

        x = example.constructor(**parameters).sample(key, (count,))
        score = lambda parameters, x: example.constructor(**parameters).log_prob(x)
        scores = jax.vmap(jax.grad(score), in_axes=(None, 0))(parameters, x)
        f = jnp.tanh(x + 0.3).reshape(count, -1)
        f = f - f.mean(0)

        def by_score(s):
            terms = f.reshape(f.shape + (1,) * (s.ndim - 1)) * s[:, None]
            return terms.mean(0), terms.std(0) / jnp.sqrt(count)

        # Forward: in JAX 0.10 a compiled jax.jacrev of such a mean can give the first element's derivative for all.
        return jax.jacfwd(of_draws)(parameters), {key: by_score(s) for key, s in scores.items()}

    pathwise, by_score = jax.tree.map(np.asarray, run(example.point, jax.random.key(4)))
    for parameter, (slope, error) in by_score.items():
        difference = pathwise[parameter] - slope
        if parameter == "scale_tril":
            difference = np.tril(difference)
        if parameter in ("covariance_matrix", "scale_matrix"):
            # Only symmetric changes have a meaning.
            difference = difference + np.swapaxes(difference, -1, -2)
            error = error + np.swapaxes(error, -1, -2)
        assert np.all(np.abs(difference) <= 6 * error + 1e-3), parameter
        assert np.any(np.abs(slope) > 8 * error), f"the comparison of {parameter} has no power"


FAR = [
    (dist.Normal, (0.0, 1.0), 1e10),
    (dist.Cauchy, (0.0, 1.0), 1e10),
    (dist.StudentT, (3.0, 0.0, 1.0), 1e10),
    (dist.StudentT, (3.0, 0.0, 1.0), -1e6),
    (dist.LogNormal, (0.0, 1.0), 1e-30),
    (dist.LogNormal, (0.0, 1.0), 1e30),
    (dist.HalfNormal, (1.0,), 0.0),
    (dist.HalfNormal, (1.0,), 1e10),
    (dist.HalfCauchy, (1.0,), 0.0),
    (dist.HalfCauchy, (1.0,), 1e10),
    (dist.Exponential, (1.0,), 0.0),
    (dist.Gamma, (1.0, 2.0), 0.0),
    (dist.Gamma, (2.0, 2.0), 1e-30),
    (dist.Gamma, (2.0, 2.0), 1e10),
    (dist.InverseGamma, (2.0, 2.0), 1e-10),
    (dist.InverseGamma, (2.0, 2.0), 1e10),
    (dist.Beta, (1.0, 1.0), 0.0),
    (dist.Beta, (1.0, 1.0), 1.0),
    (dist.Beta, (2.0, 1.0), 1.0),
    (dist.Uniform, (0.0, 1.0), 0.0),
    (dist.Uniform, (0.0, 1.0), 1.0),
    (dist.BernoulliLogits, (200.0,), 0),
    (dist.BernoulliLogits, (-200.0,), 1),
    (dist.BernoulliProbs, (1e-30,), 1),
    (dist.BinomialLogits, (200.0, 5), 0),
    (dist.Poisson, (1e-30,), 0),
    (dist.Poisson, (1e10,), 0),
]


@pytest.mark.parametrize("precision", ["double", "single"])
def test_gradients_are_finite_at_the_edges_and_in_the_tails(precision):
    def density(position, moving, value):
        cls, parameters, _ = FAR[position]
        return cls(*moving, *parameters[len(moving) :]).log_prob(value)

    moving = [tuple(p for p in parameters if isinstance(p, float)) for _, parameters, _ in FAR]
    values = [value for _, _, value in FAR]

    @compiled
    def program(moving, values):
        found = []
        for position, (parameters, value) in enumerate(zip(moving, values, strict=True)):
            argnums = (1, 2) if isinstance(FAR[position][2], float) else (1,)
            found.append(jax.value_and_grad(density, argnums=argnums)(position, parameters, value))
        return found

    with double_precision(precision == "double"):
        found = program(moving, values)
    for case, (log_prob, gradient) in zip(FAR, found, strict=True):
        assert np.isfinite(log_prob), case
        assert all(np.all(np.isfinite(g)) for g in jax.tree.leaves(gradient)), case


def test_probabilities_of_zero_and_one():
    assert dist.Bernoulli(1.0).log_prob(1) == 0
    assert dist.Bernoulli(0.0).log_prob(0) == 0
    assert dist.Bernoulli(0.0).log_prob(1) == -np.inf
    assert dist.Binomial(5, 1.0).log_prob(5) == pytest.approx(0.0, abs=1e-5)
    assert dist.Binomial(5, 0.0).log_prob(0) == pytest.approx(0.0, abs=1e-5)
    assert dist.Poisson(0.0).log_prob(0) == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_array_equal(dist.Categorical(np.array([0.0, 1.0])).log_prob(np.array([0, 1])), [-np.inf, 0.0])
    np.testing.assert_array_equal(
        dist.Categorical(logits=np.array([-np.inf, 0.0])).log_prob(np.array([0, 1])), [-np.inf, 0.0]
    )


def test_log_cdf_keeps_its_precision_in_the_tails():
    np.testing.assert_allclose(dist.Normal(0.0, 1.0).log_cdf(-20.0), scipy.stats.norm.logcdf(-20.0), rtol=1e-5)
    np.testing.assert_allclose(dist.Normal(0.0, 1.0).log_cdf(6.0), scipy.stats.norm.logcdf(6.0), rtol=1e-4)
    np.testing.assert_allclose(dist.HalfNormal(1.0).log_cdf(6.0), scipy.stats.halfnorm.logcdf(6.0), rtol=1e-4)
    np.testing.assert_allclose(dist.Cauchy(0.0, 1.0).cdf(-1e6), scipy.stats.cauchy.cdf(-1e6), rtol=1e-5)


# Moments that do not exist


def test_moments_that_do_not_exist():
    t = dist.StudentT(np.array([0.5, 1.5, 3.0]), 2.0, 1.0)
    np.testing.assert_array_equal(t.mean, [np.nan, 2.0, 2.0])
    np.testing.assert_allclose(t.variance, [np.nan, np.inf, 3.0], rtol=1e-6)
    inverse = dist.InverseGamma(np.array([0.5, 1.5, 3.0]), 2.0)
    np.testing.assert_allclose(inverse.mean, [np.inf, 4.0, 1.0])
    np.testing.assert_allclose(inverse.variance, [np.inf, np.inf, 1.0])
    assert np.isnan(dist.Cauchy(0.0, 1.0).mean)
    assert dist.HalfCauchy(1.0).mean == np.inf


# Correlation matrices


@pytest.mark.parametrize("concentration", [0.7, 1.0, 2.5])
def test_lkj_density_of_two_by_two_integrates_to_one(concentration):
    """The density is one over the free entry below the diagonal: r, with the diagonal entry sqrt(1 - r^2)."""
    r = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 4001)[1:-1])
    factors = np.zeros((len(r), 2, 2))
    factors[:, 0, 0], factors[:, 1, 0], factors[:, 1, 1] = 1.0, r, np.sqrt(1 - r**2)
    with double_precision():
        density = np.exp(jax.jit(dist.LKJCholesky(2, concentration).log_prob)(factors))
    # (r + 1) / 2 has a Beta(eta, eta) distribution.
    np.testing.assert_allclose(density, scipy.stats.beta.pdf((1 + r) / 2, concentration, concentration) / 2, rtol=1e-8)


@pytest.mark.parametrize("concentration", [1.0, 2.5])
def test_lkj_density_of_three_by_three_integrates_to_the_known_marginal(concentration):
    """Over the second row's entry and the third row's disc; the marginal of a correlation is Beta on [-1, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    radius, angle = (nodes + 1) / 2, np.pi * (nodes + 1)
    # radius = sin(t) makes the integrand smooth at the edge of the disc.
    t = radius * np.pi / 2
    r21 = np.linspace(-0.95, 0.95, 7)
    grid = np.meshgrid(r21, np.arange(60), np.arange(60), indexing="ij")
    a, rho, phi = grid[0], np.sin(t)[grid[1]], angle[grid[2]]
    factors = np.zeros(a.shape + (3, 3))
    factors[..., 0, 0] = 1.0
    factors[..., 1, 0], factors[..., 1, 1] = a, np.sqrt(1 - a**2)
    factors[..., 2, 0], factors[..., 2, 1] = rho * np.cos(phi), rho * np.sin(phi)
    factors[..., 2, 2] = np.cos(t)[grid[1]]
    with double_precision():
        density = np.exp(jax.jit(dist.LKJCholesky(3, concentration).log_prob)(factors))
    measure = rho * np.cos(t)[grid[1]] * (np.pi / 4 * weights)[grid[1]] * (np.pi * weights)[grid[2]]
    marginal = (density * measure).sum((1, 2))
    shape = concentration + 0.5
    np.testing.assert_allclose(marginal, scipy.stats.beta.pdf((1 + r21) / 2, shape, shape) / 2, rtol=1e-6)


@pytest.mark.parametrize("method", ["onion", "cvine"])
@pytest.mark.parametrize("dimension", [2, 3, 5])
def test_lkj_draws_have_the_known_marginals_and_determinant(method, dimension):
    """Each correlation is Beta on [-1, 1]; the determinant has a known mean.

    Lewandowski, Kurowicka, Joe (2009), section 3.3: the marginals are Beta(eta - 1 + d/2, eta - 1 + d/2). The squared
    diagonal entries are independent Beta variables, whose product is the determinant.
    """
    concentration, count = 1.6, 10_000
    draws = jax.jit(lambda d, key: d.sample(key, (count,)))(
        dist.LKJCholesky(dimension, concentration, method), jax.random.key(1)
    )
    assert np.all(dist.LKJCholesky(dimension, concentration).support(draws))
    draws = np.asarray(draws, np.float64)
    correlation = draws @ np.swapaxes(draws, -1, -2)
    shape = concentration - 1 + dimension / 2
    for i, j in itertools.combinations(range(dimension), 2):
        ranks = scipy.stats.beta.cdf((1 + correlation[:, i, j]) / 2, shape, shape)
        assert scipy.stats.kstest(ranks, "uniform").pvalue > 1e-4, (i, j)
    k = np.arange(1, dimension)
    later = concentration + (dimension - 1 - k) / 2
    known = np.prod(later / (later + k / 2))
    determinant = np.prod(np.diagonal(draws, axis1=-2, axis2=-1) ** 2, -1)
    assert abs(determinant.mean() - known) < 5 * determinant.std() / np.sqrt(count)


@pytest.mark.parametrize(("dimension", "method"), [(1, "onion"), (2.5, "onion"), (3, "other")])
def test_lkj_names_what_is_wrong_with_its_arguments(dimension, method):
    with pytest.raises(ValueError, match=r"LKJCholesky: (dimension|sample_method)"):
        dist.LKJCholesky(dimension, 1.0, method)


# Multivariate normal

RNG = np.random.default_rng(8)


def random_covariances(*batch: int) -> np.ndarray:
    root = RNG.normal(size=(*batch, 3, 5))
    return root @ np.swapaxes(root, -1, -2)


@pytest.mark.parametrize(
    ("loc_batch", "matrix_batch"), [((), ()), ((5,), ()), ((), (5,)), ((4, 1), (5,)), ((5,), (4, 1))]
)
def test_multivariate_normal_is_the_same_in_three_parameterisations(loc_batch, matrix_batch):
    loc, covariance = RNG.normal(size=(*loc_batch, 3)), random_covariances(*matrix_batch)
    batch = np.broadcast_shapes(loc_batch, matrix_batch)
    values = RNG.normal(size=(2, *batch, 3))
    given = {
        "covariance_matrix": covariance,
        "precision_matrix": np.linalg.inv(covariance),
        "scale_tril": np.linalg.cholesky(covariance),
    }
    names = (*given, "variance", "mean", "entropy")

    def numbers(given, loc, values):
        found = {}
        for name, matrix in given.items():
            d = dist.MultivariateNormal(loc, **{name: matrix})
            assert d.batch_shape == batch
            statistics = {other: d.entropy() if other == "entropy" else getattr(d, other) for other in names}
            found[name] = {"log_prob": d.log_prob(values), "sample": d.sample(jax.random.key(0), (2,)), **statistics}
        return found

    with double_precision():
        found = jax.jit(numbers)(given, loc, values)
    full_loc, full_covariance = np.broadcast_to(loc, (*batch, 3)), np.broadcast_to(covariance, (*batch, 3, 3))
    expected = np.empty((2, *batch))
    for index in np.ndindex(2, *batch):
        rv = scipy.stats.multivariate_normal(full_loc[index[1:]], full_covariance[index[1:]])
        expected[index] = rv.logpdf(values[index])
    for numbers in found.values():
        np.testing.assert_allclose(numbers["log_prob"], expected, rtol=1e-8)
        np.testing.assert_allclose(numbers["sample"], found["scale_tril"]["sample"], rtol=1e-6)
        np.testing.assert_allclose(numbers["variance"], np.diagonal(full_covariance, axis1=-2, axis2=-1), rtol=1e-8)
        for name, matrix in given.items():
            np.testing.assert_allclose(np.broadcast_to(numbers[name], matrix.shape), matrix, rtol=1e-6, atol=1e-8)


def test_multivariate_normal_takes_exactly_one_matrix():
    with pytest.raises(ValueError, match="exactly one"):
        dist.MultivariateNormal(np.zeros(2))
    with pytest.raises(ValueError, match="exactly one"):
        dist.MultivariateNormal(np.zeros(2), np.eye(2), scale_tril=np.eye(2))
    with pytest.raises(ValueError, match="size 3"):
        dist.MultivariateNormal(np.zeros(3), scale_tril=np.eye(2))
    assert dist.MultivariateNormal(0.0, np.eye(2)).sample(jax.random.key(0)).shape == (2,)


# Discrete distributions

FINITE = {
    "BernoulliProbs": [0, 1],
    "BernoulliLogits": [0, 1],
    "BinomialProbs": list(range(8)),
    "BinomialLogits": list(range(8)),
    "CategoricalProbs": [0, 1, 2],
    "CategoricalLogits": [0, 1, 2],
}


@pytest.mark.parametrize("name", FINITE)
def test_enumerating_the_support_sums_to_one(name):
    example = BY_NAME[name]
    d = example.at_point()
    values = d.enumerate_support()
    np.testing.assert_array_equal(values, FINITE[name])
    np.testing.assert_allclose(np.exp(d.log_prob(values)).sum(), 1.0, rtol=1e-5)
    batched = d.expand((4, 3))
    np.testing.assert_array_equal(batched.enumerate_support(expand=False), np.reshape(FINITE[name], (-1, 1, 1)))
    full = batched.enumerate_support()
    np.testing.assert_array_equal(full, np.broadcast_to(np.reshape(FINITE[name], (-1, 1, 1)), full.shape))
    assert full.shape == (len(FINITE[name]), 4, 3)
    assert d.has_enumerate_support


@pytest.mark.parametrize("name", ["Poisson", "Normal"])
def test_an_infinite_support_cannot_be_enumerated(name):
    d = BY_NAME[name].at_point()
    assert not d.has_enumerate_support
    with pytest.raises(NotImplementedError, match=name):
        d.enumerate_support()


@pytest.mark.parametrize("factory", [dist.Bernoulli, dist.Categorical, lambda **kw: dist.Binomial(3, **kw)])
def test_factories_take_probs_or_logits(factory):
    probs = np.array([0.3, 0.7], np.float32)
    value = np.array([0, 1])
    by_probs, by_logits = factory(probs=probs), factory(logits=np.log(probs))
    if by_probs.batch_shape:
        by_logits = factory(logits=scipy.special.logit(probs))
    else:
        value = 1
    np.testing.assert_allclose(by_probs.log_prob(value), by_logits.log_prob(value), rtol=1e-5)
    np.testing.assert_allclose(by_logits.probs, probs, rtol=1e-5)
    assert by_probs.logits.shape == by_logits.logits.shape
    for wrong in ({}, {"probs": probs, "logits": probs}):
        with pytest.raises(ValueError, match="probs"):
            factory(**wrong)


def test_sparse_poisson_has_the_same_density():
    rate, value = np.array([0.5, 2.0, 3.0, 1.0]), np.array([0, 0, 4, 0])
    sparse = dist.Poisson(rate, is_sparse=True)
    np.testing.assert_allclose(sparse.log_prob(value), scipy.stats.poisson.logpmf(value, rate), rtol=1e-5)
    assert sparse.batch_shape == (4,)


# Mixtures


def test_mixtures_are_log_sums_of_weighted_densities():
    probs, locs, value = np.array([0.2, 0.5, 0.3]), np.array([-1.0, 0.5, 2.0]), np.linspace(-2, 3, 5)
    weights = dist.Categorical(probs)
    by_hand = scipy.special.logsumexp(np.log(probs) + scipy.stats.norm.logpdf(value[:, None], locs, 0.7), axis=-1)
    same = dist.MixtureSameFamily(weights, dist.Normal(locs, 0.7))
    general = dist.MixtureGeneral(weights, [dist.Normal(loc, 0.7) for loc in locs])
    assert isinstance(dist.Mixture(weights, dist.Normal(locs, 0.7)), dist.MixtureSameFamily)
    assert isinstance(dist.Mixture(weights, [dist.Normal(loc, 0.7) for loc in locs]), dist.MixtureGeneral)
    for d in (same, general):
        np.testing.assert_allclose(d.log_prob(value), by_hand, rtol=1e-5)
        assert d.mixture_size == 3
        assert d.mixture_dim == -1
        assert d.component_log_probs(value).shape == (5, 3)
        assert d.component_sample(jax.random.key(0), (4,)).shape == (4, 3)
        np.testing.assert_allclose(d.component_mean, locs)
        np.testing.assert_allclose(d.component_variance, 0.49, rtol=1e-6)
        np.testing.assert_allclose(d.component_cdf(0.3), scipy.stats.norm.cdf(0.3, locs, 0.7), rtol=1e-5)


def test_mixture_components_stand_apart_from_batch_and_event():
    weights = dist.Categorical(np.full((4, 1, 3), 1 / 3))
    vectors = dist.MultivariateNormal(RNG.normal(size=(5, 3, 2)), np.eye(2))
    d = dist.MixtureSameFamily(weights, vectors)
    assert (d.batch_shape, d.event_shape, d.mixture_dim) == ((4, 5), (2,), -2)
    assert d.sample(jax.random.key(0), (7,)).shape == (7, 4, 5, 2)
    assert d.component_sample(jax.random.key(0), (7,)).shape == (7, 4, 5, 3, 2)
    assert d.component_log_probs(np.zeros(2)).shape == (4, 5, 3)
    assert d.mean.shape == d.variance.shape == (4, 5, 2)


def test_a_component_outside_its_own_support_counts_nothing():
    d = dist.MixtureGeneral(
        dist.Categorical(np.array([0.4, 0.6])),
        [dist.LogNormal(0.0, 1.0), dist.Normal(0.0, 1.0)],
        support=constraints.real,
    )
    gradient = jax.grad(lambda x: d.log_prob(x))(-1.0)
    np.testing.assert_allclose(d.log_prob(-1.0), np.log(0.6) + scipy.stats.norm.logpdf(-1.0), rtol=1e-5)
    np.testing.assert_allclose(gradient, 1.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: dist.MixtureSameFamily(dist.Normal(0.0, 1.0), dist.Normal(np.zeros(2), 1.0)), "must be a Categorical"),
        (lambda: dist.MixtureSameFamily(dist.Categorical(np.ones(3) / 3), dist.Normal(np.zeros(2), 1.0)), "size 3"),
        (lambda: dist.MixtureGeneral(dist.Categorical(np.ones(2) / 2), [dist.Normal(0.0, 1.0)]), "2 categories"),
        (
            lambda: dist.MixtureGeneral(
                dist.Categorical(np.ones(2) / 2), [dist.Normal(0.0, 1.0), dist.Exponential(1.0)]
            ),
            "different supports",
        ),
        (
            lambda: dist.MixtureGeneral(
                dist.Categorical(np.ones(2) / 2), [dist.Normal(0.0, 1.0), dist.Normal(np.zeros(2), 1.0).to_event(1)]
            ),
            "same event shape",
        ),
    ],
)
def test_mixtures_say_what_does_not_fit(build, message):
    with pytest.raises(ValueError, match=message):
        build()


# Validation


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: dist.Normal(0.0, -1.0, validate_args=True), ["Normal", "'scale'", "Positive", "-1.0"]),
        (lambda: dist.Normal(0.0, np.array([1.0, -2.0]), validate_args=True), ["'scale'", r"\[-2\.\]", "1 of 2"]),
        (lambda: dist.Normal(np.nan, 1.0, validate_args=True), ["'loc'", "Real", "nan"]),
        (lambda: dist.Gamma(-0.5, 1.0, validate_args=True), ["Gamma", "'concentration'", "-0.5"]),
        (lambda: dist.Uniform(2.0, 1.0, validate_args=True), ["Uniform", "'(low|high)'"]),
        (lambda: dist.Beta(1.0, 0.0, validate_args=True), ["Beta", "'concentration0'", "0.0"]),
        (lambda: dist.Bernoulli(1.5, validate_args=True), ["BernoulliProbs", "'probs'", "1.5"]),
        (lambda: dist.Binomial(-1, 0.5, validate_args=True), ["BinomialProbs", "'total_count'", "-1"]),
        (
            lambda: dist.Categorical(np.array([0.5, 0.6]), validate_args=True),
            ["CategoricalProbs", "'probs'", "Simplex"],
        ),
        (
            lambda: dist.MultivariateNormal(np.zeros(2), -np.eye(2), validate_args=True),
            ["MultivariateNormal", "'covariance_matrix'", "PositiveDefinite"],
        ),
        (lambda: dist.Dirichlet(np.array([1.0, -1.0]), validate_args=True), ["Dirichlet", "'concentration'"]),
        (lambda: dist.Poisson(-1.0, validate_args=True), ["Poisson", "'rate'"]),
        (lambda: dist.LKJCholesky(3, -1.0, validate_args=True), ["LKJCholesky", "'concentration'"]),
    ],
)
def test_validation_names_distribution_parameter_constraint_and_values(build, words):
    with pytest.raises(ValueError) as caught:
        build()
    for word in words:
        assert caught.match(word)


def test_validation_is_off_by_default_and_switched_globally():
    dist.Normal(0.0, -1.0)
    dist.Normal(0.0, -1.0, validate_args=False)
    with validation_enabled():
        with pytest.raises(ValueError, match="'scale'"):
            dist.Normal(0.0, -1.0)
        dist.Normal(0.0, -1.0, validate_args=False)
        with validation_enabled(False):
            dist.Normal(0.0, -1.0)
    dist.Normal(0.0, -1.0)
    numpyro.enable_validation()
    try:
        with pytest.raises(ValueError, match="'scale'"):
            dist.Normal(0.0, -1.0)
    finally:
        numpyro.enable_validation(False)


def test_values_outside_the_support_give_a_warning_with_validation():
    d = dist.Exponential(1.0, validate_args=True)
    with pytest.warns(UserWarning, match="Exponential.log_prob: some values lie outside the support"):
        log_prob = d.log_prob(np.array([-1.0, 1.0]))
    np.testing.assert_allclose(log_prob, [-np.inf, -1.0], rtol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        d.log_prob(1.0)
        dist.Exponential(1.0).log_prob(-1.0)


@pytest.mark.parametrize("name", [name for name, example in BY_NAME.items() if example.can_sample])
def test_validation_traces_where_nothing_is_concrete(name):
    example = BY_NAME[name]

    def draw_and_weigh(parameters, key):
        d = example.constructor(**parameters)
        return d.log_prob(d.sample(key, (3,)))

    with validation_enabled(), warnings.catch_warnings():
        warnings.simplefilter("error")
        example.at_point()
        assert jax.eval_shape(draw_and_weigh, example.point, jax.random.key(0)).shape == (3,)


@pytest.mark.parametrize("name", ["Normal", "Gamma", "Uniform", "Dirichlet", "BinomialProbs", "MixtureGeneral"])
def test_validation_changes_no_density_inside_the_support(name):
    example = BY_NAME[name]

    @jax.jit
    def compare(parameters, key):
        plain = example.constructor(**parameters)
        x = plain.sample(key, (3,))
        with validation_enabled():
            return plain.log_prob(x), example.constructor(**parameters).log_prob(x)

    plain, validated = compare(example.point, jax.random.key(0))
    np.testing.assert_allclose(validated, plain, rtol=1e-6)


def test_strict_validation_refuses_tracers():
    def run(scale):
        dist.Normal(0.0, scale).validate_args()
        return scale

    with pytest.raises(RuntimeError, match="inside jit"):
        jax.jit(run)(1.0)
    run(1.0)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: dist.Normal(np.zeros(3), np.ones(2)), ["Normal", r"loc \(3,\)", r"scale \(2,\)"]),
        (lambda: dist.MultivariateNormal(np.zeros((3, 2)), np.ones((4, 1, 1)) * np.eye(2)), ["MultivariateNormal"]),
        (lambda: dist.Normal(np.zeros(3), 1.0).expand((4,)), ["Normal", r"\(3,\)", r"\(4,\)"]),
        (lambda: dist.Normal(np.zeros(3), 1.0).to_event(2), ["to_event", r"\(3,\)"]),
        (lambda: dist.Normal(np.zeros(3), 1.0).mask(np.ones(2, bool)), [r"\(2,\)", r"\(3,\)"]),
        (lambda: dist.Categorical(0.3), ["CategoricalProbs", "last dimension"]),
    ],
)
def test_batch_shapes_that_do_not_fit(build, words):
    with pytest.raises(ValueError) as caught:
        build()
    for word in words:
        assert caught.match(word)


@pytest.mark.parametrize(
    ("d", "value", "words"),
    [
        (dist.Normal(np.zeros(3), 1.0), np.zeros(2), [r"\(2,\)", r"\(3,\)"]),
        (dist.MultivariateNormal(np.zeros(2), np.eye(2)), np.zeros(3), [r"\(3,\)", r"event shape \(2,\)"]),
        (dist.MultivariateNormal(np.zeros(2), np.eye(2)), 0.0, ["fewer dimensions"]),
        (dist.Normal(np.zeros((4, 3)), 1.0).to_event(1), np.zeros((2, 3)), [r"\(2,\)", r"\(4,\)"]),
    ],
)
def test_values_that_do_not_fit(d, value, words):
    with pytest.raises(ValueError, match="log_prob") as caught:
        d.log_prob(value)
    for word in words:
        assert caught.match(word)


def test_infer_shapes():
    assert dist.Normal.infer_shapes((4, 1), (3,)) == ((4, 3), ())
    assert dist.Dirichlet.infer_shapes((5, 3)) == ((5,), (3,))
    assert dist.MultivariateNormal.infer_shapes((5, 2), scale_tril=(2, 2)) == ((5,), (2,))


def test_has_rsample_tells_what_can_be_differentiated():
    assert dist.Normal(0.0, 1.0).has_rsample
    assert dist.Normal(0.0, 1.0).expand((3,)).to_event(1).has_rsample
    assert not dist.Bernoulli(0.3).has_rsample
    with pytest.raises(NotImplementedError, match="Bernoulli"):
        dist.Bernoulli(0.3).rsample(jax.random.key(0))


def test_lists_are_parameters_too():
    assert dist.Normal([0.0, 1.0], 1.0).batch_shape == (2,)
    assert dist.Categorical([0.3, 0.7]).log_prob(1).shape == ()
    assert dist.Normal(0.0, 1.0).log_prob([0.0, 1.0]).shape == (2,)


def counts_of_categories(*totals: int) -> np.ndarray:
    """Counts of three categories, 2000 of each total."""
    rng = np.random.default_rng(1)
    return np.stack([rng.multinomial(total, [0.2, 0.3, 0.5], 2000) for total in totals], 1)


MANY = {
    "Independent": (
        lambda p: dist.Normal(p, 1.5).to_event(1),
        np.float32([0.3, -0.6, 1.1]),
        np.random.default_rng(1).normal(size=(2000, 3)).astype(np.float32),
    ),
    "DirichletMultinomial": (
        lambda p: dist.DirichletMultinomial(p, 9),
        np.float32([2.1, 0.3, 12.0]),
        counts_of_categories(9)[:, 0],
    ),
    "DirichletMultinomial_batch": (
        lambda p: dist.DirichletMultinomial(p, np.array([4, 9])),
        np.float32([[2.1, 0.3, 12.0], [1.0, 5.0, 0.7]]),
        counts_of_categories(4, 9),
    ),
    "OrderedLogistic": (
        lambda p: dist.OrderedLogistic(0.3, p),
        np.float32([-0.8, 0.5, 1.4]),
        np.random.default_rng(1).integers(0, 4, 2000),
    ),
    "OrderedLogistic_batch": (
        lambda p: dist.OrderedLogistic(np.float32([0.3, -2.0]), p),
        np.float32([-0.8, 1.4]),
        np.random.default_rng(1).integers(0, 3, (2000, 2)),
    ),
}


@pytest.mark.parametrize("name", MANY)
def test_many_values_under_shared_parameters_have_the_density_of_each(name):
    """Tables of the parameters and sums that are written out are for many values only."""
    make, parameter, values = MANY[name]

    @compiled
    def program(parameter, values, weights):
        total = lambda evaluate: lambda p: (weights * evaluate(make(p), values)).sum()
        together, apart = (lambda d, v: d.log_prob(v)), (lambda d, v: jax.vmap(d.log_prob)(v))
        gradients = [jax.grad(total(evaluate))(parameter) for evaluate in (together, apart)]
        return together(make(parameter), values), apart(make(parameter), values), gradients

    weights = np.random.default_rng(0).normal(size=(2000, *make(parameter).batch_shape)).astype(np.float32)
    together, apart, gradients = program(parameter, values, weights)
    np.testing.assert_allclose(together, apart, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(*gradients, rtol=1e-3, atol=1e-2)

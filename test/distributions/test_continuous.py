# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Densities that SciPy does not have: of matrices' factors, of paths, on subspaces."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import numpyro.distributions as dist

SCALE_TRIL = np.float32([[1.1, 0.0, 0.0], [0.4, 0.8, 0.0], [-0.2, 0.3, 1.2]])


def free_elements(matrix, offset=0):
    rows, columns = np.tril_indices(matrix.shape[-1], offset)
    return matrix[rows, columns]


def log_det_of_product(tril, offset):
    """Log-determinant of the map from a factor's free elements to those of its product with its transpose."""
    size = tril.shape[-1]
    rows, columns = np.tril_indices(size, offset)

    def product(elements):
        factor = jnp.eye(size).at[rows, columns].set(elements)
        if offset == -1:
            squares = jnp.tril(factor, -1) ** 2
            factor = jnp.tril(factor, -1) + jnp.diag(jnp.sqrt(1 - squares.sum(-1)))
        return (factor @ factor.T)[rows, columns]

    return np.linalg.slogdet(jax.jacobian(product)(tril[rows, columns]))[1]


@pytest.mark.parametrize(
    "of_factor, of_matrix, offset",
    [
        (dist.WishartCholesky(6.0, scale_tril=SCALE_TRIL), dist.Wishart(6.0, scale_tril=SCALE_TRIL), 0),
        (dist.InverseWishartCholesky(6.0, scale_tril=SCALE_TRIL), dist.InverseWishart(6.0, scale_tril=SCALE_TRIL), 0),
        (dist.LKJCholesky(3, 1.7), dist.LKJ(3, 1.7), -1),
        (dist.LKJCholesky(4, 0.6, "cvine"), dist.LKJ(4, 0.6, "cvine"), -1),
    ],
    ids=["Wishart", "InverseWishart", "LKJ", "LKJ by vine"],
)
def test_the_factor_has_the_density_of_its_matrix(of_factor, of_matrix, offset):
    tril = of_factor.sample(jax.random.key(0))
    expected = of_matrix.log_prob(tril @ tril.T) + log_det_of_product(tril, offset)
    np.testing.assert_allclose(of_factor.log_prob(tril), expected, rtol=2e-4)


@pytest.mark.parametrize(
    "d",
    [
        dist.WishartCholesky(6.0, scale_tril=SCALE_TRIL),
        dist.Wishart(6.0, rate_matrix=SCALE_TRIL @ SCALE_TRIL.T),
        dist.InverseWishart(16.0, scale_tril=SCALE_TRIL),
        dist.LowRankMultivariateNormal(np.ones(3), SCALE_TRIL[:, :2], np.float32([0.5, 0.7, 1.0])),
        dist.MultivariateStudentT(8.0, np.ones(3), SCALE_TRIL),
        dist.MatrixNormal(np.ones((3, 2)), SCALE_TRIL, SCALE_TRIL[:2, :2]),
        dist.ZeroSumNormal(1.3, (2, 3)),
        dist.CirculantNormal(np.ones(5), covariance_row=np.float32([2.0, 0.5, 0.1, 0.1, 0.5])),
        dist.CAR(np.ones(3), 0.4, 1.5, np.float32([[0, 1, 1], [1, 0, 0], [1, 0, 0]])),
        dist.GaussianRandomWalk(0.7, 4),
        dist.GaussianStateSpace(3, 0.5 * SCALE_TRIL, scale_tril=SCALE_TRIL, initial_value=np.ones(3)),
    ],
    ids=lambda d: type(d).__name__,
)
def test_draws_have_the_moments_that_are_promised(d):
    draws = jax.jit(lambda d: d.sample(jax.random.key(0), (20_000,)))(d)
    error = np.sqrt(d.variance / 20_000)
    np.testing.assert_array_less(np.abs(draws.mean(0) - d.mean), 5 * error + 1e-4)
    np.testing.assert_allclose(draws.var(0), d.variance, rtol=0.12, atol=1e-4)


def test_mean_of_inverse_wishart_factors():
    d = dist.InverseWishartCholesky(8.0, scale_tril=SCALE_TRIL)
    draws = np.asarray(d.sample(jax.random.key(0), (20_000,)))
    np.testing.assert_array_less(np.abs(draws.mean(0) - d.mean), 5 * draws.std(0) / np.sqrt(20_000) + 1e-6)


def test_inverse_wishart_draws_are_inverses_of_wishart_draws():
    inverse = dist.InverseWishart(7.0, scale_tril=SCALE_TRIL)
    precision = jnp.linalg.inv(inverse.sample(jax.random.key(1), (20_000,)))
    expected = dist.Wishart(7.0, rate_matrix=inverse.scale_matrix).mean
    np.testing.assert_allclose(precision.mean(0), expected, rtol=0.05, atol=0.05)


def test_zero_sum_density_is_that_of_the_coordinates_in_the_subspace():
    d = dist.ZeroSumNormal(1.3, (2, 3))
    values = np.asarray(d.sample(jax.random.key(0), (4,)), np.float64)
    np.testing.assert_allclose(values.sum(-1), 0, atol=1e-6)
    np.testing.assert_allclose(values.sum(-2), 0, atol=1e-6)
    basis = np.kron(scipy.linalg.helmert(2), scipy.linalg.helmert(3))
    expected = scipy.stats.norm(0, 1.3).logpdf(values.reshape(4, 6) @ basis.T).sum(-1)
    np.testing.assert_allclose(d.log_prob(values), expected, rtol=1e-5)


@pytest.mark.parametrize("form", ["covariance_matrix", "precision_matrix", "scale_tril"])
def test_state_space_density_is_that_of_the_joint_normal(form):
    A, start, steps = 0.6 * SCALE_TRIL.T, np.float32([1.0, -1.0, 0.5]), 4
    covariance = SCALE_TRIL @ SCALE_TRIL.T
    given = {"covariance_matrix": covariance, "precision_matrix": np.linalg.inv(covariance), "scale_tril": SCALE_TRIL}
    d = dist.GaussianStateSpace(steps, A, **{form: given[form]}, initial_value=start)
    powers = [np.linalg.matrix_power(A.astype(float), k) for k in range(steps + 1)]
    response = np.block([[powers[t - s] if t >= s else np.zeros((3, 3)) for s in range(steps)] for t in range(steps)])
    joint = scipy.stats.multivariate_normal(
        np.concatenate([powers[t + 1] @ start for t in range(steps)]),
        response @ np.kron(np.eye(steps), covariance) @ response.T,
    )
    values = np.asarray(d.sample(jax.random.key(0), (5,)))
    np.testing.assert_allclose(d.log_prob(values), joint.logpdf(values.reshape(5, -1)), rtol=1e-4)
    np.testing.assert_allclose(d.mean.ravel(), joint.mean, rtol=1e-5)
    np.testing.assert_allclose(d.variance.ravel(), np.diag(joint.cov), rtol=1e-5)


def test_euler_maruyama_density_is_that_of_its_steps():
    t = np.float32([0.0, 0.3, 1.0, 1.2])

    def sde(x, t):
        return -0.5 * x + t, 0.8 + 0.1 * x**2

    d = dist.EulerMaruyama(t, sde, dist.Normal(np.float32([0.3, -0.5]), 1.0))
    path = np.asarray(d.sample(jax.random.key(0), (3,)))
    assert path.shape == (3, 2, 4)
    expected = scipy.stats.norm([0.3, -0.5], 1.0).logpdf(path[..., 0])
    for k in range(3):
        drift, diffusion = sde(path[..., k], t[k])
        dt = t[k + 1] - t[k]
        step = scipy.stats.norm(path[..., k] + drift * dt, diffusion * dt**0.5)
        expected = expected + step.logpdf(path[..., k + 1])
    np.testing.assert_allclose(d.log_prob(path), expected, rtol=1e-5)


def test_sparse_and_dense_graphs_agree():
    graph = np.float32([[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]])
    dense, sparse = (dist.CAR(np.arange(4.0), 0.4, 1.5, graph, is_sparse=sparse) for sparse in (False, True))
    value = np.float32([0.1, 0.5, -0.3, 2.0])
    np.testing.assert_allclose(sparse.log_prob(value), dense.log_prob(value), rtol=1e-6)
    np.testing.assert_allclose(sparse.precision_matrix, dense.precision_matrix, rtol=1e-6)
    traced = jax.jit(lambda graph: dist.CAR(np.arange(4.0), 0.4, 1.5, graph).log_prob(value))(graph)
    np.testing.assert_allclose(traced, dense.log_prob(value), rtol=1e-5)


@pytest.mark.parametrize(
    "d, left_mass, left_scale",
    [
        (dist.Laplace(0.3, 1.4), 0.5, 1.4),
        (dist.AsymmetricLaplace(0.3, 1.4, 0.6), 0.36 / 1.36, 0.84),
        (dist.AsymmetricLaplaceQuantile(0.3, 1.4, 0.2), 0.2, 1.75),
        (dist.SoftLaplace(0.3, 1.4), 2 / np.pi, 1.4),
        (dist.Logistic(0.3, 1.4), 1.0, 1.4),
    ],
    ids=lambda x: type(x).__name__,
)
def test_exponential_tails_do_not_underflow(d, left_mass, left_scale):
    values = np.float32([-40.0, -1e3, -1e6])
    expected = np.log(left_mass) + (values.astype(float) - 0.3) / left_scale
    log_cdf, slope = jax.vmap(jax.value_and_grad(d.log_cdf))(values)
    np.testing.assert_allclose(log_cdf, expected, rtol=1e-5)
    np.testing.assert_allclose(slope, 1 / left_scale, rtol=1e-5)


HURDLES = [
    (dist.HurdleGamma(0.3, 2.6, 1.7), scipy.stats.gamma(2.6, scale=1 / 1.7)),
    (dist.HurdleLogNormal(0.3, 0.2, 0.7), scipy.stats.lognorm(0.7, scale=np.exp(0.2))),
]


@pytest.mark.parametrize("d, positive", HURDLES, ids=["Gamma", "LogNormal"])
def test_hurdles_are_a_point_mass_and_a_density(d, positive):
    values = np.array([-1.0, 0.0, 1e-3, 0.7, 30.0])
    above = values > 0
    log_density = np.where(above, np.log(0.7) + positive.logpdf(np.where(above, values, 1)), -np.inf)
    np.testing.assert_allclose(d.log_prob(values), np.where(values == 0, np.log(0.3), log_density), rtol=1e-4)
    np.testing.assert_allclose(d.cdf(values), np.where(values < 0, 0, 0.3 + 0.7 * positive.cdf(values)), rtol=1e-5)
    np.testing.assert_allclose(d.mean, 0.7 * positive.mean(), rtol=1e-5)
    second = 0.7 * (positive.var() + positive.mean() ** 2)
    np.testing.assert_allclose(d.variance, second - (0.7 * positive.mean()) ** 2, rtol=1e-5)
    draws = np.asarray(d.sample(jax.random.key(2), (20_000,)), np.float64)
    assert abs((draws == 0).mean() - 0.3) < 5 * np.sqrt(0.21 / 20_000)
    assert scipy.stats.kstest(draws[draws > 0], positive.cdf).pvalue > 1e-3


@pytest.mark.parametrize("gate, at_zero, above", [(0.0, -np.inf, True), (1.0, 0.0, False)])
def test_a_gate_can_be_closed_or_open(gate, at_zero, above):
    d = dist.HurdleGamma(gate, 2.0, 1.0)
    density = d.log_prob(np.array([0.0, 1.0]))
    np.testing.assert_array_equal(density, [at_zero, dist.Gamma(2.0, 1.0).log_prob(1.0) if above else -np.inf])
    value = 1.0 if above else 0.0
    assert np.isfinite(jax.grad(lambda gate: dist.HurdleGamma(gate, 2.0, 1.0).log_prob(value))(gate))


NOT_DEFINITE = np.float32([[1.0, 1.2, 0.0], [1.2, 1.0, 0.0], [0.0, 0.0, 1.0]])


@pytest.mark.parametrize(
    "make",
    [
        lambda x: dist.Wishart(6.0, scale_tril=x * SCALE_TRIL),
        lambda x: dist.InverseWishart(6.0, scale_tril=x * SCALE_TRIL),
        lambda x: dist.WishartCholesky(6.0, scale_tril=x * SCALE_TRIL),
        lambda x: dist.InverseWishartCholesky(6.0, scale_tril=x * SCALE_TRIL),
        lambda x: dist.LKJ(3, x),
        lambda x: dist.LKJCholesky(3, x),
    ],
    ids=["Wishart", "InverseWishart", "WishartCholesky", "InverseWishartCholesky", "LKJ", "LKJCholesky"],
)
def test_matrices_that_are_not_definite_have_no_density(make):
    """And leave the gradient of those that are as it is."""
    d = make(1.5)
    inside = np.asarray(d.sample(jax.random.key(0)))
    outside = NOT_DEFINITE if "Cholesky" not in type(d).__name__ else -inside

    def total(x, values):
        log_prob = make(x).log_prob(values)
        return jnp.where(jnp.isneginf(log_prob), 0.0, log_prob).sum(), log_prob

    both, log_prob = jax.grad(total, argnums=(0, 1), has_aux=True)(1.5, np.stack([inside, outside]))
    alone, expected = jax.grad(total, argnums=(0, 1), has_aux=True)(1.5, inside)
    np.testing.assert_allclose(log_prob, [expected, -np.inf], rtol=1e-6)
    np.testing.assert_allclose(both[0], alone[0], rtol=1e-5)
    np.testing.assert_allclose(both[1], [alone[1], 0 * inside], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: dist.MultivariateStudentT(4.0), "scale_tril must be given"),
        (lambda: dist.MultivariateStudentT(4.0, np.zeros(3), np.eye(2)), r"must have shapes \(..., n, n\)"),
        (lambda: dist.LowRankMultivariateNormal(np.zeros(2), np.ones((3, 1)), np.ones(2)), "are needed for loc"),
        (lambda: dist.MatrixNormal(np.zeros((2, 3)), np.eye(3), np.eye(2)), r"shape \(..., n, p\) = \(..., 3, 2\)"),
        (lambda: dist.ZeroSumNormal(1.0, ()), "at least one dimension"),
        (lambda: dist.CirculantNormal(np.zeros(3)), "exactly one of covariance_row"),
        (lambda: dist.CirculantNormal(np.zeros(3), covariance_rfft=np.ones(3)), "must have n // 2 \\+ 1 = 2 entries"),
        (lambda: dist.CAR(np.zeros(3), 0.5, 1.0, np.ones((3, 2))), "adj_matrix must be square"),
        (lambda: dist.Wishart(4.0), "exactly one of scale_matrix, rate_matrix and scale_tril; given: none"),
        (lambda: dist.Wishart(4.0, np.ones((2, 3))), r"must have shape \(..., n, n\)"),
        (lambda: dist.GaussianRandomWalk(1.0, 0), "num_steps must be a positive integer"),
        (lambda: dist.GaussianStateSpace(2, np.eye(2)), "exactly one of covariance_matrix"),
        (lambda: dist.GaussianStateSpace(2, np.eye(3), np.eye(2)), "must both have shape"),
        (lambda: dist.EulerMaruyama(1.0, lambda x, t: (x, t), dist.Normal()), "t must have a last dimension"),
        (lambda: dist.EulerMaruyama(np.ones((2, 3)), lambda x, t: (x, t), dist.Normal(np.zeros(3))), "broadcast"),
    ],
)
def test_shapes_that_do_not_fit_are_explained(make, message):
    with pytest.raises(ValueError, match=message):
        make()

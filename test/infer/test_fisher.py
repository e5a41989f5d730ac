# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Mass matrices that minimise the Fisher divergence, against their formulas in NumPy and exact normal posteriors."""

from itertools import pairwise
import pickle

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose
from precision import double_precision
import pytest
from scipy.linalg import sqrtm

from numpyro.infer import HMC, MCMC, NUTS
from numpyro.infer.fisher import build_fisher_schedule, fisher_diagonal, fisher_low_rank
from numpyro.infer.metric import LowRank

SIZE = 4
COVARIANCE = np.diag([1.0, 4.0, 0.25, 9.0])
COVARIANCE[0, 1] = COVARIANCE[1, 0] = 1.9
PRECISION = np.linalg.inv(COVARIANCE)


def gaussian_potential(z):
    return 0.5 * z @ jnp.asarray(PRECISION, z.dtype) @ z


def spiked(size, scales, seed=0):
    """A covariance that is the identity but for some directions with the given scales."""
    directions = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, len(scales))))[0]
    return np.eye(size) + directions @ np.diag(np.square(scales) - 1) @ directions.T


def draws_and_scores(covariance, count, seed=1, noise=0.0):
    """Draws of a normal distribution and its scores there, which ``noise`` makes those of something less regular."""
    random = np.random.default_rng(seed)
    draws = random.normal(size=(count, len(covariance))) @ np.linalg.cholesky(covariance).T + 3.0
    scores = -(draws - 3.0) @ np.linalg.inv(covariance)
    return draws, scores + noise * scores.std(0) * random.normal(size=scores.shape)


def geometric_mean(a, b):
    """The positive definite matrix half way between ``a`` and ``b``."""
    root = sqrtm(a)
    root_inv = np.linalg.inv(root)
    return np.real(root @ sqrtm(root_inv @ b @ root_inv) @ root)


def low_rank_reference(draws, scores, prior_draws):
    """The inverse mass matrix with all directions kept."""
    count, size = draws.shape
    diagonal = np.sqrt(draws.var(0) / scores.var(0))
    root = np.sqrt(diagonal)
    prior = prior_draws / count * np.eye(size)
    a = np.cov((draws / root).T, ddof=0) + prior
    b = np.cov((scores * root).T, ddof=0) + prior
    return diagonal, geometric_mean(a, np.linalg.inv(b)) * np.outer(root, root)


@pytest.mark.parametrize("num_steps", [0, 1, 9, 10, 11, 29, 100, 137, 1000])
def test_the_windows_cover_the_warmup_without_gaps(num_steps):
    schedule = build_fisher_schedule(num_steps)
    assert schedule[0].start == 0 and schedule[-1].end == num_steps - 1
    assert all(b.start == a.end + 1 for a, b in pairwise(schedule))
    for window in schedule[:-2]:
        assert window.end - window.start + 1 == max(10, np.ceil(window.start / 2))


def test_the_diagonal_of_independent_normals_is_exact_from_few_draws():
    scale = np.array([1e-2, 1.0, 50.0])
    draws, scores = draws_and_scores(np.diag(scale**2), 3)
    assert_allclose(fisher_diagonal(draws.var(0), scores.var(0)), scale**2, rtol=1e-5)


@pytest.mark.parametrize("size, count", [(5, 40), (30, 8)])
def test_the_low_rank_estimate_is_the_geometric_mean(size, count):
    """In the second case there are fewer draws than dimensions, and the mean is taken in the space that they span."""
    draws, scores = draws_and_scores(spiked(size, [3.0, 0.3]), count, noise=0.3)
    with double_precision():
        estimate = jax.jit(lambda *args: fisher_low_rank(*args, rank=size, cutoff=1.0))
        diagonal, vectors, values = map(np.asarray, estimate(draws, scores, np.ones(count)))
    expected_diagonal, expected = low_rank_reference(draws, scores, 3.0)
    assert_allclose(diagonal, expected_diagonal, rtol=1e-9)
    assert_allclose(vectors.T @ vectors, np.eye(vectors.shape[1]), atol=1e-9)
    root = np.sqrt(diagonal)
    matrix = root[:, None] * (np.eye(size) + (vectors * (values - 1)) @ vectors.T) * root
    assert_allclose(matrix, expected, rtol=1e-6, atol=1e-8)


def test_the_low_rank_estimate_recovers_a_spiked_covariance():
    covariance = spiked(40, [10.0, 5.0, 0.1])
    draws, scores = draws_and_scores(covariance, 100)
    # Rows of weight 0 count for nothing.
    padded = [np.concatenate([x, 1e3 * np.ones((20, 40))]) for x in (draws, scores)]
    weights = np.repeat([1.0, 0.0], [100, 20])
    diagonal, vectors, values = jax.jit(lambda *args: fisher_low_rank(*args, rank=25, prior_draws=0.01))(
        *padded, weights
    )
    stretch = np.eye(40) + (vectors * (values**-0.5 - 1)) @ vectors.T
    whitened = stretch / np.sqrt(diagonal)
    eigenvalues = np.linalg.eigvalsh(whitened @ covariance @ whitened.T)
    assert eigenvalues[-1] / eigenvalues[0] < 8 < 1000 < np.linalg.cond(covariance)
    inside = (values > 0.5) & (values < 2)
    assert_allclose(values[inside], 1)


def test_a_low_rank_matrix_multiplies_as_the_whole_one_does():
    random = np.random.default_rng(0)
    vectors = np.linalg.qr(random.normal(size=(5, 2)))[0]
    left, right, values, x = random.normal(size=5), random.normal(size=5), np.array([3.0, 0.2]), random.normal(size=5)
    whole = (left[:, None] * (np.eye(5) + (vectors * (values - 1)) @ vectors.T)) * right
    matrix = LowRank(left, vectors, values, right)
    assert_allclose(matrix.to_dense(), whole, rtol=1e-5, atol=1e-6)
    assert_allclose(matrix @ x, whole @ x, rtol=1e-5, atol=1e-6)
    assert_allclose(matrix.T @ x, whole.T @ x, rtol=1e-5, atol=1e-6)


START = np.array([1.0, -1.0, 0.3, 2.0], np.float32)


def warmed_up(mode, num_warmup=60):
    """A warm-up, and its draws, gradients and mass matrices."""
    mcmc = MCMC(
        NUTS(potential_fn=gaussian_potential, mass_adaptation=mode),
        num_warmup=num_warmup,
        num_samples=200,
        progress_bar=False,
    )
    fields = ("z_grad", "adapt_state.inverse_mass_matrix", "adapt_state.step_size", "accept_prob")
    mcmc.warmup(jax.random.PRNGKey(0), collect_warmup=True, extra_fields=fields, init_params=jnp.asarray(START))
    extra = mcmc.get_extra_fields()
    return mcmc, np.asarray(mcmc.get_samples()), np.asarray(extra["z_grad"]), extra


@pytest.fixture(scope="module")
def low_rank_warmup():
    return warmed_up("fisher_low_rank")


def test_the_diagonal_follows_every_draw():
    _, draws, gradients, extra = warmed_up("fisher")
    matrices = np.asarray(extra["adapt_state.inverse_mass_matrix"])
    assert_allclose(gradients, draws @ PRECISION, rtol=1e-3, atol=1e-3)
    schedule = build_fisher_schedule(60)
    foreground = background = 0
    expected = 1 / np.abs(PRECISION @ START)
    for t in range(schedule[-1].start):
        seen = slice(foreground, t + 1)
        # Nothing is known before the chain has moved.
        if t >= 2 and draws[seen].std(0).min() > 0:
            expected = np.sqrt(draws[seen].var(0) / gradients[seen].var(0))
        assert_allclose(matrices[t], expected, rtol=2e-3, err_msg=f"iteration {t}")
        if t in [window.end for window in schedule]:
            foreground, background = background, t + 1
    assert (matrices[schedule[-1].start :] == matrices[schedule[-1].start - 1]).all()


def test_the_low_rank_matrix_is_renewed_at_the_end_of_each_window(low_rank_warmup):
    mcmc, draws, gradients, extra = low_rank_warmup
    inverse = extra["adapt_state.inverse_mass_matrix"]
    starts = [0]
    for window in build_fisher_schedule(60)[:-1]:
        seen = slice(starts[-1], window.end + 1)
        starts.append(window.start)
        _, expected = low_rank_reference(draws[seen], -gradients[seen], 3.0)
        matrix = jax.tree.map(lambda x, t=window.end: x[t], inverse)
        # The eigenvalues near 1 have been set to 1.
        difference = np.linalg.solve(expected, matrix.to_dense())
        eigenvalues = np.linalg.eigvals(difference).real
        assert 0.49 < eigenvalues.min() and eigenvalues.max() < 2.05
        assert np.all((matrix.values == 1) | (matrix.values > 2) | (matrix.values < 0.5))
    # So few draws tell most of the covariance: relative to the identity its eigenvalues are from 0.1 to 12.6.
    relative = np.linalg.eigvals(np.linalg.solve(COVARIANCE, matrix.to_dense())).real
    assert 0.4 < relative.min() and relative.max() < 3

    state = mcmc.last_state.adapt_state
    sqrt, sqrt_inv = state.mass_matrix_sqrt.to_dense(), state.mass_matrix_sqrt_inv.to_dense()
    assert_allclose(sqrt @ sqrt_inv, np.eye(SIZE), atol=1e-4)
    assert_allclose(sqrt_inv.T @ sqrt_inv, state.inverse_mass_matrix.to_dense(), rtol=1e-3, atol=1e-4)


def test_a_low_rank_sampler_goes_on_and_can_be_pickled(low_rank_warmup):
    mcmc = low_rank_warmup[0]
    mcmc.run(jax.random.PRNGKey(1), init_params=jnp.asarray(START), extra_fields=("num_steps",))
    draws = np.asarray(mcmc.get_samples())
    assert len(draws) == 200
    assert_allclose(draws.std(0), np.sqrt(np.diag(COVARIANCE)), rtol=0.35)
    assert float(mcmc.get_extra_fields()["num_steps"].mean()) < 8
    again = pickle.loads(pickle.dumps(mcmc))
    assert_allclose(again.get_samples(), draws)
    matrix = again.last_state.adapt_state.inverse_mass_matrix
    assert isinstance(matrix, LowRank)
    assert_allclose(matrix.to_dense(), mcmc.last_state.adapt_state.inverse_mass_matrix.to_dense())


@pytest.mark.parametrize("mode", ["fisher", "fisher_low_rank"])
def test_vectorized_chains_adapt_each_for_itself(mode):
    """Vectorised chains have matrices of their own, and the posterior is right."""
    starts = jnp.stack([jnp.asarray(START), -jnp.asarray(START)])
    mcmc = MCMC(
        NUTS(potential_fn=gaussian_potential, mass_adaptation=mode),
        num_warmup=100,
        num_samples=500,
        num_chains=2,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.PRNGKey(0), init_params=starts, extra_fields=("accept_prob",))
    draws = np.asarray(mcmc.get_samples())
    # Some 400 effective draws: a variance of 1 is known to 0.07, a mean to 0.05.
    whitened = np.linalg.solve(np.linalg.cholesky(COVARIANCE), draws.T)
    assert_allclose(np.cov(whitened), np.eye(SIZE), atol=0.35)
    assert_allclose(whitened.mean(1), 0, atol=0.25)
    scale = np.asarray(jax.tree.leaves(mcmc.last_state.adapt_state.mass_matrix_sqrt_inv)[-1])
    assert scale.shape == (2, SIZE) and not np.array_equal(scale[0], scale[1])
    assert 0.6 < float(mcmc.get_extra_fields()["accept_prob"].mean()) < 0.95


@pytest.mark.parametrize("num_warmup, double", [(0, False), (3, False), (11, True)])
def test_warmups_of_a_few_iterations(num_warmup, double):
    kernel = HMC(
        potential_fn=gaussian_potential, mass_adaptation="fisher_low_rank", num_steps=3, trajectory_length=None
    )
    mcmc = MCMC(kernel, num_warmup=num_warmup, num_samples=5, progress_bar=False)
    with double_precision(double):
        mcmc.run(jax.random.PRNGKey(0), init_params=jnp.asarray(START, jnp.result_type(float)))
        matrix = mcmc.last_state.adapt_state.inverse_mass_matrix
    assert np.isfinite(mcmc.get_samples()).all()
    assert matrix.vectors.dtype == (jnp.float64 if double else jnp.float32)
    if num_warmup == 0:
        assert_allclose(matrix.to_dense(), np.eye(SIZE))
    elif num_warmup == 3:
        assert_allclose(matrix.to_dense(), np.diag(1 / np.abs(PRECISION @ START)), rtol=1e-4)


def test_a_given_matrix_is_where_adaptation_starts_and_stays_if_it_is_off():
    given = np.array([1.0, 2.0, 3.0, 4.0])
    kernel = NUTS(
        potential_fn=gaussian_potential,
        mass_adaptation="fisher_low_rank",
        inverse_mass_matrix=given,
        adapt_mass_matrix=False,
    )
    state = kernel.init(jax.random.PRNGKey(0), 20, jnp.asarray(START))
    for _ in range(12):
        state = kernel.sample(state)
    assert_allclose(state.adapt_state.inverse_mass_matrix.to_dense(), np.diag(given), rtol=1e-6)
    adapting = NUTS(potential_fn=gaussian_potential, mass_adaptation="fisher", inverse_mass_matrix=given)
    state = adapting.init(jax.random.PRNGKey(0), 20, jnp.asarray(START))
    assert_allclose(state.adapt_state.inverse_mass_matrix, given, rtol=1e-6)


def test_dense_blocks_are_estimated_as_before():
    draws = []
    for mode in ("fisher", "welford"):
        kernel = NUTS(potential_fn=gaussian_potential, dense_mass=True, mass_adaptation=mode)
        mcmc = MCMC(kernel, num_warmup=40, num_samples=5, progress_bar=False)
        mcmc.run(jax.random.PRNGKey(0), init_params=jnp.asarray(START))
        draws.append(mcmc.get_samples())
    assert_allclose(*draws)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"mass_adaptation": "dense"}, "must be one of 'welford', 'fisher', 'fisher_low_rank', but it is 'dense'"),
        ({"mass_adaptation": "fisher_low_rank", "dense_mass": True}, "cannot have dense blocks"),
        (
            {"mass_adaptation": "fisher_low_rank", "kinetic_fn": lambda m, r: 0.5 * jnp.sum(r**2)},
            "leave out `kinetic_fn`",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        NUTS(potential_fn=gaussian_potential, **settings).init(jax.random.PRNGKey(0), 10, jnp.asarray(START))

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Adaptation during warm-up, against the formulas written in NumPy."""

from __future__ import annotations

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose
import pytest

from numpyro.infer import HMC, MCMC, NUTS
from numpyro.infer.hmc import momentum_generator
from numpyro.infer.hmc_util import (
    IntegratorState,
    build_adaptation_schedule,
    dual_averaging,
    euclidean_kinetic_energy,
    find_reasonable_step_size,
    warmup_adapter,
    welford_covariance,
)
from numpyro.infer.mass_matrix import WelfordState
from numpyro.infer.metric import factorize, flat_space, identity_mass, multiply
from numpyro.infer.warmup import Adaptation


class DualAveraging:
    """Hoffman and Gelman (2014), equation 6, as a loop writes it."""

    def __init__(self, center, t0=10.0, kappa=0.75, gamma=0.05):
        self.center, self.t0, self.kappa, self.gamma = center, t0, kappa, gamma
        self.t, self.g_avg, self.x, self.x_avg = 0, 0.0, 0.0, 0.0

    def update(self, g):
        self.t += 1
        self.g_avg = (1 - 1 / (self.t + self.t0)) * self.g_avg + g / (self.t + self.t0)
        self.x = self.center - np.sqrt(self.t) / self.gamma * self.g_avg
        weight = self.t**-self.kappa
        self.x_avg = (1 - weight) * self.x_avg + weight * self.x


def regularized(draws, dense):
    """Stan's estimate of the covariance from the draws of a window."""
    n = len(draws)
    if dense:
        return n / (n + 5) * np.cov(draws.T) + 1e-3 * 5 / (n + 5) * np.eye(draws.shape[1])
    return n / (n + 5) * draws.var(0, ddof=1) + 1e-3 * 5 / (n + 5)


@pytest.mark.parametrize("settings", [{}, {"t0": 3.0, "kappa": 0.6, "gamma": 0.5}])
def test_dual_averaging_follows_its_formula(settings):
    init, update = dual_averaging(**settings)
    update = jax.jit(update)
    state, reference = init(0.7), DualAveraging(0.7, **settings)
    for g in np.random.default_rng(0).normal(size=20):
        state = update(g, state)
        reference.update(g)
        assert_allclose(state.x_t, reference.x, rtol=1e-4, atol=1e-4)
        assert_allclose(state.x_avg, reference.x_avg, rtol=1e-4, atol=1e-4)
    assert int(state.t) == 20
    assert state.prox_center == 0.7


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("regularize", [True, False])
def test_welford_gives_the_covariance_and_its_square_roots(diagonal, regularize):
    draws = np.random.default_rng(0).normal(size=(30, 3)) @ np.array([[1.0, 0.5, 0], [0, 2.0, 1.0], [0, 0, 0.1]]) + 7
    init, update, final = welford_covariance(diagonal)
    state = init(3)
    update = jax.jit(update)
    for draw in draws:
        state = update(draw, state)
    inverse, sqrt, sqrt_inv = final(state, regularize)
    expected = regularized(draws, not diagonal)
    if not regularize:
        expected = draws.var(0, ddof=1) if diagonal else np.cov(draws.T)
    assert_allclose(inverse, expected, rtol=2e-3, atol=1e-5)
    if diagonal:
        assert_allclose(sqrt**2 * inverse, np.ones(3), rtol=1e-5)
        assert_allclose(sqrt * sqrt_inv, np.ones(3), rtol=1e-5)
    else:
        assert_allclose(sqrt, np.tril(sqrt))
        assert_allclose(sqrt @ sqrt.T @ inverse, np.eye(3), atol=2e-3)
        assert_allclose(sqrt @ sqrt_inv, np.eye(3), atol=2e-4)


# What NumPyro 0.22.0 returns, as its documentation (and Stan's manual) describes.
SCHEDULES = {
    0: [(0, -1)],
    1: [(0, 0)],
    19: [(0, 18)],
    20: [(0, 2), (3, 17), (18, 19)],
    30: [(0, 3), (4, 26), (27, 29)],
    50: [(0, 6), (7, 44), (45, 49)],
    100: [(0, 14), (15, 89), (90, 99)],
    149: [(0, 21), (22, 134), (135, 148)],
    150: [(0, 74), (75, 99), (100, 149)],
    151: [(0, 74), (75, 100), (101, 150)],
    200: [(0, 74), (75, 99), (100, 149), (150, 199)],
    300: [(0, 74), (75, 99), (100, 149), (150, 249), (250, 299)],
    500: [(0, 74), (75, 99), (100, 149), (150, 249), (250, 449), (450, 499)],
    1000: [(0, 74), (75, 99), (100, 149), (150, 249), (250, 449), (450, 949), (950, 999)],
    2000: [(0, 74), (75, 99), (100, 149), (150, 249), (250, 449), (450, 849), (850, 1949), (1950, 1999)],
}


@pytest.mark.parametrize("num_steps", SCHEDULES)
def test_the_windows_are_the_documented_ones(num_steps):
    assert [tuple(window) for window in build_adaptation_schedule(num_steps)] == SCHEDULES[num_steps]


@pytest.mark.parametrize("num_steps", [20, 77, 149, 150, 163, 201, 999])
def test_the_windows_cover_the_warmup_without_gaps(num_steps):
    schedule = build_adaptation_schedule(num_steps)
    assert schedule[0].start == 0 and schedule[-1].end == num_steps - 1
    assert all(b.start == a.end + 1 for a, b in pairwise(schedule))


COVARIANCE = np.array([[4.0, 1.5], [1.5, 1.0]])
PRECISION = np.linalg.inv(COVARIANCE)


def gaussian_potential(z):
    return 0.5 * z @ jnp.asarray(PRECISION, z.dtype) @ z


@pytest.mark.parametrize("dense", [False, True])
def test_a_warmup_adapts_as_the_formulas_say(dense):
    """From the acceptance probabilities and the draws of a warm-up the step sizes and mass matrices are worked out."""
    kernel = NUTS(
        potential_fn=gaussian_potential,
        dense_mass=dense,
        step_size=0.3,
        target_accept_prob=0.7,
        mass_adaptation="welford",
    )
    mcmc = MCMC(kernel, num_warmup=200, num_samples=1, progress_bar=False)
    fields = ("accept_prob", "adapt_state.step_size", "adapt_state.inverse_mass_matrix")
    mcmc.warmup(jax.random.PRNGKey(2), collect_warmup=True, extra_fields=fields, init_params=jnp.array([1.0, -1.0]))
    draws = np.asarray(mcmc.get_samples())
    extra = {name: np.asarray(value, np.float64) for name, value in mcmc.get_extra_fields().items()}
    step_sizes, matrices = extra["adapt_state.step_size"], extra["adapt_state.inverse_mass_matrix"]

    ends = [end for _, end in SCHEDULES[200]][1:-1]
    averaging = DualAveraging(np.log(10 * 0.3))
    matrix = np.eye(2) if dense else np.ones(2)
    start = SCHEDULES[200][1][0]
    for t in range(200):
        averaging.update(0.7 - extra["accept_prob"][t])
        expected = averaging.x_avg if t == 199 else averaging.x
        assert_allclose(np.log(step_sizes[t]), expected, atol=2e-3, err_msg=f"iteration {t}")
        if t in ends:
            matrix = regularized(draws[start : t + 1], dense)
            start = t + 1
            averaging = DualAveraging(np.log(10 * step_sizes[t]))
        assert_allclose(matrices[t], matrix, rtol=2e-3, err_msg=f"iteration {t}")
    assert mcmc.last_state.i == 200


@pytest.mark.parametrize("dense", [False, True])
def test_what_cannot_be_estimated_stays(dense):
    """A variance that overflows stays what it was: alone where variances are estimated, with all others in a matrix."""
    space = flat_space(jnp.zeros(3), dense)
    adaptation = Adaptation(space, 200, mass_is_given=True)
    given = np.array([2.0, 3.0, 5.0], np.float32)
    state = adaptation.init(0.5, np.diag(given) if dense else given, jax.random.PRNGKey(0))
    n, variances = 11, np.array([4.0, np.inf, 0.25], np.float32)
    m2 = (n - 1) * variances
    estimator = WelfordState(np.zeros(3, np.float32), np.diag(m2) if dense else m2, np.int32(n))
    renewed = jax.jit(adaptation.renew)(state._replace(mm_state=estimator))
    estimated = variances * n / (n + 5) + 1e-3 * 5 / (n + 5)
    expected = given if dense else np.where(np.isfinite(variances), estimated, given)
    found = np.diag(renewed.inverse_mass_matrix) if dense else renewed.inverse_mass_matrix
    assert_allclose(found, expected, rtol=1e-6)
    root = np.diag(renewed.mass_matrix_sqrt_inv) if dense else renewed.mass_matrix_sqrt_inv
    assert_allclose(root**2, expected, rtol=1e-5)


def test_what_is_not_to_adapt_stays():
    kernel = NUTS(
        potential_fn=gaussian_potential,
        step_size=0.4,
        inverse_mass_matrix=np.array([2.0, 3.0]),
        adapt_step_size=False,
        adapt_mass_matrix=False,
    )
    mcmc = MCMC(kernel, num_warmup=30, num_samples=5, progress_bar=False)
    mcmc.run(jax.random.PRNGKey(0), init_params=jnp.zeros(2))
    assert_allclose(mcmc.last_state.adapt_state.step_size, 0.4)
    assert_allclose(mcmc.last_state.adapt_state.inverse_mass_matrix, [2.0, 3.0])


@pytest.mark.parametrize("target", [0.6, 0.9])
def test_the_acceptance_probability_comes_near_the_target(target):
    kernel = NUTS(potential_fn=lambda z: 0.5 * jnp.sum(z**2), target_accept_prob=target)
    mcmc = MCMC(kernel, num_warmup=400, num_samples=400, progress_bar=False)
    mcmc.run(jax.random.PRNGKey(0), init_params=jnp.zeros(30), extra_fields=("accept_prob",))
    # The average of the step sizes that dual averaging settles on is a little smaller than the target asks for.
    assert target - 0.04 < float(mcmc.get_extra_fields()["accept_prob"].mean()) < target + 0.2


def test_without_regularization_a_short_window_gives_the_sample_covariance():
    mcmc = MCMC(
        NUTS(potential_fn=gaussian_potential, regularize_mass_matrix=False, mass_adaptation="welford"),
        num_warmup=40,
        num_samples=1,
        progress_bar=False,
    )
    mcmc.warmup(jax.random.PRNGKey(0), collect_warmup=True, init_params=jnp.zeros(2))
    (_, window, _) = build_adaptation_schedule(40)
    draws = np.asarray(mcmc.get_samples())[window.start : window.end + 1]
    assert_allclose(mcmc.last_state.adapt_state.inverse_mass_matrix, draws.var(0, ddof=1), rtol=1e-3)


@pytest.mark.parametrize("initial", [1e-3, 1e3])
def test_the_heuristic_step_size_mends_a_poor_first_guess(initial):
    """With a warm-up of one iteration nearly all that happens to the step size is the search."""
    kernel = HMC(
        potential_fn=lambda z: 0.5 * jnp.sum(z**2),
        step_size=initial,
        num_steps=1,
        trajectory_length=None,
        find_heuristic_step_size=True,
    )
    state = kernel.init(jax.random.PRNGKey(0), 10, jnp.ones(3))
    assert 0.1 < float(state.adapt_state.step_size) < 5
    assert_allclose(state.adapt_state.ss_state.prox_center, np.log(10 * state.adapt_state.step_size), rtol=1e-5)


def test_find_reasonable_step_size_crosses_the_threshold():
    def energy_error(step_size, r):
        half = r - 0.5 * step_size * z
        position = z + step_size * half
        after = half - 0.5 * step_size * position
        return 0.5 * (position @ position + after @ after - z @ z - r @ r)

    z = np.array([1.0, 0.5], np.float32)
    momentum = np.array([0.3, -1.0], np.float32)
    info = IntegratorState(jnp.asarray(z), None, 0.5 * z @ z, jnp.asarray(z))
    for initial in (1e-2, 30.0):
        found = find_reasonable_step_size(
            lambda z: 0.5 * z @ z,
            euclidean_kinetic_energy,
            lambda prototype, sqrt, key: jnp.asarray(momentum),
            initial,
            jnp.ones(2),
            info,
            jax.random.PRNGKey(0),
        )
        accepts = [np.exp(-energy_error(s, momentum)) > 0.8 for s in (found / 2, found, found * 2)]
        assert accepts[1] != (accepts[0] if initial < found else accepts[2])
        assert np.log2(found / initial) == pytest.approx(np.round(np.log2(found / initial)), abs=1e-4)


def test_the_adapter_on_pytrees_renews_the_mass_matrix_at_the_end_of_a_window():
    init, update = warmup_adapter(20, dense_mass=True)
    draws = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    info = lambda draw: IntegratorState({"a": draw[0], "b": draw[1:]}, None)
    state = init(info(jnp.zeros(2)), jax.random.PRNGKey(0), step_size=0.5)
    assert_allclose(state.inverse_mass_matrix, np.eye(2))
    step = jax.jit(lambda t, draw, state: update(t, 0.9, info(draw), state))
    for t, draw in enumerate(draws):
        state = step(t, draw, state)
        expected = regularized(draws[3:18], True) if t >= 17 else np.eye(2)
        assert_allclose(state.inverse_mass_matrix, expected, rtol=1e-3, atol=1e-6)


def test_the_adapter_searches_for_a_step_size_at_the_start_and_after_a_window():
    init, update = warmup_adapter(20, find_reasonable_step_size=lambda step, *_: step * 0 + 0.125)
    info = IntegratorState(jnp.ones(2), None)
    state = init(info, jax.random.PRNGKey(0))
    assert_allclose(state.step_size, 0.125)
    step = jax.jit(lambda t, state: update(t, 0.1, info, state))
    for t in range(18):
        state = step(t, state)
    assert_allclose(state.step_size, 0.125)
    assert_allclose(step(18, state).step_size, np.exp(step(18, state).ss_state.x_t), rtol=1e-5)


SITES = {"a": jnp.zeros(2), "b": jnp.zeros(()), "c": jnp.zeros((2, 1))}


@pytest.mark.parametrize("dense_mass", [False, True, [("c", "a")], [("b",), ("a", "c")]])
def test_block_matrices_multiply_as_the_whole_matrix_does(dense_mass):
    space = flat_space(SITES, dense_mass, keyed=True)
    random = np.random.default_rng(0)
    parts, whole = [], np.zeros((5, 5))
    for block in space.blocks:
        part = random.normal(size=(block.size,) * (2 if block.dense else 1)).astype(np.float32)
        parts.append(part)
        whole[block.start : block.stop, block.start : block.stop] = part if block.dense else np.diag(part)
    vector = random.normal(size=5).astype(np.float32)
    assert_allclose(multiply(space, space.joined(parts), vector), whole @ vector, rtol=1e-4)
    assert_allclose(multiply(space, space.joined(parts), vector, transpose=True), whole.T @ vector, rtol=1e-4)


def test_flat_coordinates_keep_the_sites_of_a_block_together():
    params = {"a": jnp.array([0.0, 1.0]), "b": jnp.array(2.0), "c": jnp.array([[3.0], [4.0]])}
    space = flat_space(params, [("c", "a")], keyed=True)
    assert [block.names for block in space.blocks] == [("c", "a"), ("b",)]
    flat = space.ravel(params)
    assert_allclose(flat, [3, 4, 0, 1, 2])
    assert_allclose(space.ravel_on_host(params), flat)
    for restored in (space.unravel(flat), space.unravel_on_host(np.asarray(flat))):
        assert jax.tree.structure(restored) == jax.tree.structure(params)
        jax.tree.map(assert_allclose, restored, params)


def test_factorize_never_forms_the_mass_matrix_but_its_roots_fit():
    inverse, sqrt, sqrt_inv = factorize(jnp.asarray(COVARIANCE))
    assert_allclose(inverse, COVARIANCE)
    assert_allclose(sqrt @ sqrt.T, PRECISION, rtol=1e-5)
    assert_allclose(sqrt_inv, np.linalg.inv(sqrt), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dense", [False, True])
def test_momenta_have_the_mass_matrix_as_covariance(dense):
    matrix = jnp.asarray(PRECISION, jnp.float32)
    sqrt = {("a", "b"): jnp.linalg.cholesky(matrix) if dense else jnp.sqrt(jnp.diag(matrix)), ("c",): jnp.full(1, 3.0)}
    prototype = {"a": jnp.zeros(()), "b": jnp.zeros(()), "c": jnp.zeros(())}
    keys = jax.random.split(jax.random.PRNGKey(0), 20000)
    draws = jax.jit(jax.vmap(lambda key: momentum_generator(prototype, sqrt, key)))(keys)
    expected = np.zeros((3, 3))
    expected[:2, :2] = PRECISION if dense else np.diag(np.diag(PRECISION))
    expected[2, 2] = 9.0
    assert_allclose(np.cov([draws["a"], draws["b"], draws["c"]]), expected, atol=0.25)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"dense_mass": [("a", "x")]}, "names 'x', which is no latent site .* 'a', 'b', 'c'"),
        ({"dense_mass": [("a",), ("b", "a")]}, "'a' in more than one block"),
        ({"inverse_mass_matrix": {("x",): np.ones(1)}}, "`inverse_mass_matrix` names 'x'"),
        ({"dense_mass": [("a",)], "inverse_mass_matrix": np.ones(5)}, "must be a dict with one array for each block"),
    ],
)
def test_blocks_that_do_not_fit_the_sites_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        flat_space(SITES, **arguments, keyed=True)


@pytest.mark.parametrize(
    "matrix, message",
    [
        (np.ones(4), r"has shape \(4,\), but its parameters have 5 entries"),
        (np.eye(5)[:4], r"has shape \(4, 5\)"),
        (np.array([1.0, 1, 1, 1, 0]), "must be positive"),
        (np.eye(5) - 0.5, "must be positive"),
    ],
)
def test_a_mass_matrix_that_cannot_be_one_is_refused(matrix, message):
    space = flat_space(SITES, False, matrix)
    with pytest.raises(ValueError, match=message):
        identity_mass(space, matrix)


def test_blocks_of_unnamed_parameters_are_refused():
    with pytest.raises(ValueError, match="parameters must be a dict by site name"):
        flat_space(jnp.zeros(3), [("a",)])


def test_a_pytree_without_parameters_is_refused():
    with pytest.raises(ValueError, match="empty pytree"):
        flat_space({})

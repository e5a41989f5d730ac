# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""HMC and NUTS: the integrator, the trajectories, and what the chains converge to."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from precision import double_precision
import pytest
from scipy import stats

import numpyro
from numpyro.diagnostics import effective_sample_size
import numpyro.distributions as dist
from numpyro.infer import HMC, MCMC, NUTS, init_to_median, init_to_value
from numpyro.infer.hmc import hmc
from numpyro.infer.hmc_util import IntegratorState, build_tree, euclidean_kinetic_energy, velocity_verlet
from numpyro.infer.integrator import Hamiltonian, Point, leapfrog
from numpyro.infer.random_words import derived_key, hashed_uniform, key_data, next_words, normal, uniform
from numpyro.infer.termination import TURNED, any_turns, last_pair
from numpyro.infer.trajectory import HMCTrajectory, NUTSTrajectory


def run(kernel, *args, num_warmup=400, num_samples=1500, num_chains=1, seed=0, fields=(), **kwargs):
    mcmc = MCMC(
        kernel,
        num_warmup=num_warmup,
        num_samples=num_samples,
        num_chains=num_chains,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.PRNGKey(seed), *args, extra_fields=fields, **kwargs)
    return mcmc


def assert_moments(draws, mean, sd, tolerance=4.5):
    """Mean and variance within a few Monte Carlo standard errors."""
    draws = np.asarray(draws, np.float64)
    for values, expected in ((draws, mean), ((draws - mean) ** 2, np.square(sd))):
        ess = effective_sample_size(values[None])
        assert np.all(ess > 100)
        assert np.max(np.abs(values.mean(0) - expected) * np.sqrt(ess) / values.std(0)) < tolerance


# The integrator


def quartic(z):
    """A potential energy without symmetry in its coordinates."""
    return jnp.sum(z["a"] ** 4) / 4 + 0.5 * z["b"] ** 2 + z["a"][0] * z["b"] + jnp.cos(z["a"][1])


START = {"a": jnp.array([0.5, -0.3]), "b": jnp.array(0.8)}
MOMENTUM = {"a": jnp.array([-0.2, 0.9]), "b": jnp.array(0.4)}
MASSES = {
    "diagonal": jnp.array([1.0, 0.5, 2.0]),
    "dense": jnp.array([[1.0, 0.3, 0.1], [0.3, 0.5, 0.0], [0.1, 0.0, 2.0]]),
    "blocks": {("b",): jnp.array([2.0]), ("a",): jnp.array([[1.0, 0.3], [0.3, 0.5]])},
}


@pytest.mark.parametrize("mass", MASSES.values(), ids=list(MASSES))
@pytest.mark.parametrize("forward", [False, True])
def test_the_integrator_is_reversible(mass, forward):
    init, update = velocity_verlet(quartic, euclidean_kinetic_energy, forward_mode_differentiation=forward)

    @jax.jit
    def there_and_back(step_size):
        state = init(START, MOMENTUM)
        there = jax.lax.fori_loop(0, 20, lambda _, s: update(step_size, mass, s), state)
        return there, jax.lax.fori_loop(0, 20, lambda _, s: update(-step_size, mass, s), there)

    there, back = there_and_back(0.1)
    assert abs(float(there.z["b"] - START["b"])) > 0.1
    for end, start in ((back.z, START), (back.r, MOMENTUM)):
        jax.tree.map(lambda x, y: assert_allclose(x, y, atol=1e-4), end, start)


@pytest.mark.parametrize("mass", MASSES.values(), ids=list(MASSES))
def test_the_energy_error_shrinks_with_the_square_of_the_step(mass):
    init, update = velocity_verlet(quartic, euclidean_kinetic_energy)

    @jax.jit
    def energy_error(start, momentum, mass, step_size, count):
        state = init(start, momentum)
        before = state.potential_energy + euclidean_kinetic_energy(mass, state.r)
        state = jax.lax.fori_loop(0, count, lambda _, s: update(step_size, mass, s), state)
        return state.potential_energy + euclidean_kinetic_energy(mass, state.r) - before

    with double_precision():
        inputs = jax.tree.map(lambda x: np.asarray(x, np.float64), (START, MOMENTUM, mass))
        errors = [float(energy_error(*inputs, 0.1 / 2**k, 10 * 2**k)) for k in range(3)]
    assert_allclose(np.array(errors[:-1]) / errors[1:], 4, rtol=0.1)


def test_the_integrator_keeps_volume():
    init, update = velocity_verlet(quartic, euclidean_kinetic_energy)

    def step(flat):
        z, r = {"a": flat[:2], "b": flat[2]}, {"a": flat[3:5], "b": flat[5]}
        state = update(0.3, MASSES["dense"], init(z, r))
        return jnp.concatenate([jnp.r_[s["a"], s["b"]] for s in (state.z, state.r)])

    jacobian = jax.jit(jax.jacfwd(step))(jnp.array([0.5, -0.3, 0.8, -0.2, 0.9, 0.4]))
    assert_allclose(np.linalg.det(jacobian), 1, atol=1e-4)


def test_kinetic_energy_of_blocks_is_that_of_the_whole_matrix():
    matrix = np.zeros((3, 3))
    matrix[:2, :2], matrix[2, 2] = MASSES["blocks"][("a",)], 2.0
    r = np.array([-0.2, 0.9, 0.4])
    assert_allclose(euclidean_kinetic_energy(MASSES["blocks"], MOMENTUM), 0.5 * r @ matrix @ r, rtol=1e-6)


def test_the_flat_step_is_the_step_on_pytrees():
    potential = lambda z: quartic({"a": z[:2], "b": z[2]})
    z, r = jnp.array([0.5, -0.3, 0.8]), jnp.array([-0.2, 0.9, 0.4])
    mass = MASSES["diagonal"]
    point, value = jax.jit(
        lambda: leapfrog(jax.value_and_grad(potential), lambda r: mass * r, 0.2, Point(z, r, jax.grad(potential)(z)))
    )()
    init, update = velocity_verlet(quartic, euclidean_kinetic_energy)
    state = jax.jit(lambda: update(0.2, mass, init(START, MOMENTUM)))()
    assert_allclose(point.position, jnp.r_[state.z["a"], state.z["b"]], rtol=1e-5)
    assert_allclose(point.momentum, jnp.r_[state.r["a"], state.r["b"]], rtol=1e-5)
    assert_allclose(value, state.potential_energy, rtol=1e-5)


# Random numbers


@pytest.mark.parametrize("make_key", [jax.random.PRNGKey, jax.random.key, lambda s: jax.random.key(s, impl="rbg")])
def test_random_words_have_the_distributions_that_they_are_made_for(make_key):
    @jax.jit
    def draw(key):
        next_key, words = next_words(key, 20000)
        counters = hashed_uniform(words[:2], jnp.arange(20000), jnp.float32)
        return next_key, normal(words, jnp.float32), uniform(words, jnp.float32), counters

    key = make_key(0)
    next_key, normals, uniforms, hashed = draw(key)
    assert next_key.dtype == key.dtype and next_key.shape == key.shape
    assert not np.array_equal(key_data(next_key), key_data(key))
    assert stats.kstest(normals, stats.norm.cdf).pvalue > 1e-3
    for numbers in (uniforms, hashed):
        assert stats.kstest(numbers, stats.uniform.cdf).pvalue > 1e-3
        assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 0.03
        assert 0 <= np.min(numbers) and np.max(numbers) < 1
    assert np.isfinite(normal(jnp.array([0, 2**32 - 1], jnp.uint32), jnp.float32)).all()


@pytest.mark.parametrize("make_key", [jax.random.PRNGKey, jax.random.key, lambda s: jax.random.key(s, impl="rbg")])
@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_random_words_are_those_of_jax_random(make_key, count):
    key = make_key(count + 2**31)
    next_key, words = jax.jit(next_words, static_argnums=1)(key, count)
    lead = key_data(key).size
    expected = np.asarray(jax.random.bits(key, (lead + count,), jnp.uint32))
    np.testing.assert_array_equal(np.concatenate([key_data(next_key), words]), expected)


def test_derived_keys_are_those_of_independent_streams():
    draw = jax.jit(jax.vmap(lambda seed, n: jax.random.normal(derived_key(jax.random.PRNGKey(seed), n), (1000,))))
    seeds, numbers = np.repeat(np.arange(4), 8), np.tile(np.arange(8), 4)
    correlations = np.corrcoef(draw(seeds, numbers)) - np.eye(32)
    assert np.max(np.abs(correlations)) < 0.15


def test_keys_derived_from_derived_keys_are_all_different():
    """Sums of hashed numbers would be the same in any order, and those of one iteration come again in the next."""
    keys = [jax.random.PRNGKey(0)]
    for _ in range(3):
        keys += [derived_key(key, number) for key in keys for number in range(5)]
    words = {tuple(np.asarray(key).tolist()) for key in keys}
    # Keys stay in the list, so that some are derived again, by the same path.
    paths = [()]
    for _ in range(3):
        paths += [(*path, number) for path in paths for number in range(5)]
    assert len(words) == len(set(paths)) and len(keys) == len(paths)


# The no-U-turn criterion


def first_turning_state(momenta):
    """Number of the state that completes the first subtree that turns back: every subtree is looked at."""

    def turns(first, last, rho):
        return first @ rho <= 0 or last @ rho <= 0

    for leaf in range(len(momenta)):
        size = 2
        while (leaf + 1) % size == 0:
            tree = momenta[leaf + 1 - size : leaf + 1]
            half = size // 2
            if turns(tree[0], tree[-1], tree.sum(0)):
                return leaf
            if size > 2:
                if turns(tree[0], tree[half], tree[: half + 1].sum(0)):
                    return leaf
                if turns(tree[half - 1], tree[-1], tree[half - 1 :].sum(0)):
                    return leaf
            size *= 2
    return None


@pytest.mark.parametrize("size", [3, 100, 5000])
def test_a_span_turns_back_if_a_velocity_at_an_end_points_against_the_sum_of_momenta(size):
    scale = jnp.linspace(0.5, 2.0, size)
    hamiltonian = Hamiltonian(lambda z: (0.0, z), lambda r: 0.5 * r @ (scale * r), lambda r: scale * r)
    random = np.random.default_rng(0)
    answers = []
    for _ in range(40):
        spans = random.normal(size=(2, 3, size)).astype(np.float32) + 0.8 / np.sqrt(size)
        turning = [np.dot(scale * first, rho) <= 0 or np.dot(scale * last, rho) <= 0 for first, last, rho in spans]
        answers.append(bool(any_turns(hamiltonian, *map(tuple, spans))))
        assert answers[-1] == any(turning)
        assert bool(any_turns(hamiltonian, tuple(spans[0]))) == turning[0]
    assert len(set(answers)) == 2


def test_a_pair_needs_one_inner_product_where_momenta_are_velocities():
    kinetic, velocity = lambda r: 0.5 * r @ r, lambda r: r
    general, quick = (Hamiltonian(lambda z: (0.0, z), kinetic, velocity, is_quick) for is_quick in (False, True))
    random = np.random.default_rng(0)
    answers = []
    for _ in range(50):
        previous, last = random.normal(size=(2, 2)).astype(np.float32)
        energy, turns = last_pair(general, previous, last, kinetic(previous))
        quick_energy, quick_turns = last_pair(quick, previous, last, kinetic(previous))
        answers.append(bool(turns))
        assert bool(quick_turns) == answers[-1]
        assert_allclose(quick_energy, energy, rtol=1e-6)
    assert len(set(answers)) == 2


@pytest.mark.parametrize("is_euclidean", [False, True])
def test_a_branch_stops_at_the_first_subtree_that_turns_back(is_euclidean):
    precision = jnp.array([1.0, 7.0, 40.0])
    potential = lambda z: (0.5 * jnp.sum(precision * z**2), precision * z)
    hamiltonian = Hamiltonian(potential, lambda r: 0.5 * r @ r, lambda r: r, is_euclidean)
    trajectory = NUTSTrajectory(8)
    depth = 6

    @jax.jit
    def grow(z, r, step_size, seed):
        value, gradient = potential(z)
        seed = jnp.stack([jnp.uint32(1), jnp.uint32(2), seed])
        tree = trajectory.start(hamiltonian, Point(z, r, gradient), value, value + r @ r / 2, seed, step_size, 8)
        tree = tree._replace(depth=jnp.int32(depth))
        tree = jax.lax.while_loop(lambda t: ~trajectory.is_complete(t), lambda t: trajectory.step(hamiltonian, t), tree)
        sign = jnp.where((seed[2] >> depth) & 1, 1.0, -1.0)

        def step(point, _):
            point, _ = leapfrog(potential, lambda r: r, sign * step_size, point)
            return point, point.momentum

        _, momenta = jax.lax.scan(step, Point(z, r, gradient), length=2**depth)
        return tree.branch.size, tree.branch.found == TURNED, momenta

    random = np.random.default_rng(0)
    sizes = []
    for _ in range(200):
        z, r = random.normal(size=(2, 3)) / np.sqrt([1.0, 7.0, 40.0])
        step_size = random.choice([0.02, 0.05, 0.1, 0.2])
        size, turning, momenta = grow(z, r * np.sqrt([1, 7, 40]), step_size, np.uint32(random.integers(2**32)))
        expected = first_turning_state(np.asarray(momenta, np.float64))
        assert bool(turning) == (expected is not None)
        assert int(size) == (2**depth if expected is None else expected + 1)
        sizes.append(int(size))
    assert len(set(sizes)) > 5


@pytest.mark.parametrize("trajectory", [NUTSTrajectory(4), HMCTrajectory()])
def test_a_step_that_is_not_to_move_leaves_the_trajectory(trajectory):
    potential = lambda z: (0.5 * z @ z, z)
    hamiltonian = Hamiltonian(potential, lambda r: 0.5 * r @ r, lambda r: r, True)
    z, r, seed = jnp.array([0.3, -1.0]), jnp.array([1.0, 0.5]), jnp.arange(3, dtype=jnp.uint32)
    start = trajectory.start(hamiltonian, Point(z, r, z), 0.5 * z @ z, jnp.float32(1.2), seed, jnp.float32(0.1), 8)
    states = [start._replace(depth=jnp.int32(3)) if isinstance(trajectory, NUTSTrajectory) else start]
    for _ in range(5):
        states.append(trajectory.step(hamiltonian, states[-1]))
    for state, after in pairwise(states):
        moved = trajectory.step(hamiltonian, state, jnp.array(True))
        jax.tree.map(partial(assert_allclose, rtol=1e-6), moved, after)
        stays = trajectory.step(hamiltonian, state, jnp.array(False))
        if isinstance(trajectory, NUTSTrajectory):
            # The last row of the checkpoints is scratch.
            stays, state = (_without_scratch(tree) for tree in (stays, state))
        jax.tree.map(assert_array_equal, stays, state)


def _without_scratch(tree):
    rows = tree.branch.checkpoints
    return tree._replace(branch=tree.branch._replace(checkpoints=[array[:-1] for array in rows.arrays]))


# Stationarity: chains that start from exact draws of a distribution keep it


def funnel(z):
    """A normal distribution whose scale depends on another coordinate: curvature varies, so do trajectory lengths."""
    return 0.5 * z[0] ** 2 + 0.5 * z[1] ** 2 * jnp.exp(-z[0]) + 0.5 * z[0]


SETTINGS = {
    "NUTS": lambda: NUTS(potential_fn=funnel, step_size=0.5),
    "NUTS-dense": lambda: NUTS(
        potential_fn=funnel, step_size=0.5, inverse_mass_matrix=np.array([[1.0, 0.6], [0.6, 1.5]])
    ),
    "NUTS-coarse": lambda: NUTS(potential_fn=funnel, step_size=1.3, max_tree_depth=3),
    "HMC-steps": lambda: HMC(potential_fn=funnel, step_size=0.6, num_steps=4, trajectory_length=None),
    "HMC-length": lambda: HMC(potential_fn=funnel, step_size=0.5, trajectory_length=1.7),
    "HMC-kinetic": lambda: HMC(
        potential_fn=funnel,
        step_size=0.6,
        num_steps=4,
        trajectory_length=None,
        inverse_mass_matrix=np.array([0.5, 2.0]),
        kinetic_fn=lambda inverse, r: 0.5 * jnp.sum(inverse * r**2),
    ),
}


@pytest.mark.parametrize("kernel", SETTINGS.values(), ids=list(SETTINGS))
def test_the_target_distribution_is_kept(kernel):
    chains = 6000
    random = np.random.default_rng(0)
    v = random.normal(size=chains)
    start = np.stack([v, random.normal(size=chains) * np.exp(v / 2)], axis=1).astype(np.float32)
    mcmc = run(kernel(), num_warmup=0, num_samples=6, num_chains=chains, init_params=start, fields=("accept_prob",))
    draws = np.asarray(mcmc.get_samples(group_by_chain=True))[:, -1]
    assert abs(np.corrcoef(start[:, 0], draws[:, 0])[0, 1]) < 0.9
    assert stats.kstest(draws[:, 0], stats.norm.cdf).pvalue > 1e-3
    assert stats.kstest(draws[:, 1] * np.exp(-draws[:, 0] / 2), stats.norm.cdf).pvalue > 1e-3
    energy = 0.5 * draws[:, 0] ** 2 + 0.5 * draws[:, 1] ** 2 * np.exp(-draws[:, 0])
    assert stats.kstest(energy, stats.expon.cdf).pvalue > 1e-3
    accepted = np.asarray(mcmc.get_extra_fields()["accept_prob"]).mean()
    assert 0.3 < accepted < 0.99


def test_trees_on_pytrees_keep_the_target_distribution():
    potential = lambda z: funnel(jnp.stack([z["v"], z["x"]]))
    _, update = velocity_verlet(potential, euclidean_kinetic_energy)
    mass = {("v", "x"): jnp.array([1.0, 0.7])}

    @jax.jit
    @jax.vmap
    def transition(z, key):
        for key_now in jax.random.split(key, 2):
            momentum_key, tree_key = jax.random.split(key_now)
            noise = jax.random.normal(momentum_key, (2,)) / jnp.sqrt(mass[("v", "x")])
            value, gradient = jax.value_and_grad(potential)(z)
            state = IntegratorState(z, {"v": noise[0], "x": noise[1]}, value, gradient)
            tree = build_tree(update, euclidean_kinetic_energy, state, mass, 0.6, tree_key, max_tree_depth=4)
            z = tree.z_proposal
        return z, tree

    chains = 6000
    random = np.random.default_rng(0)
    v = random.normal(size=chains).astype(np.float32)
    start = {"v": v, "x": (random.normal(size=chains) * np.exp(v / 2)).astype(np.float32)}
    end, tree = transition(start, jax.random.split(jax.random.PRNGKey(0), chains))
    assert abs(np.corrcoef(v, end["v"])[0, 1]) < 0.9
    assert stats.kstest(end["v"], stats.norm.cdf).pvalue > 1e-3
    assert stats.kstest(end["x"] * np.exp(-end["v"] / 2), stats.norm.cdf).pvalue > 1e-3
    assert np.all(tree.num_proposals <= 2 ** np.asarray(tree.depth) - 1)
    assert np.max(tree.depth) <= 4


# Convergence to known distributions

CORRELATED = np.array([[1.0, 1.9, 0.0], [1.9, 4.0, 0.0], [0.0, 0.0, 0.25]])


def correlated_potential(z):
    x = jnp.stack([z["a"], z["b"], z["c"]]) - jnp.array([1.0, -2.0, 0.5])
    return 0.5 * x @ jnp.asarray(np.linalg.inv(CORRELATED), x.dtype) @ x


@pytest.mark.parametrize("dense_mass", [False, True, [("b", "a")]])
def test_a_correlated_normal_distribution(dense_mass):
    start = {name: jnp.zeros(()) for name in "abc"}
    mcmc = run(NUTS(potential_fn=correlated_potential, dense_mass=dense_mass), num_samples=3000, init_params=start)
    draws = np.stack([mcmc.get_samples()[name] for name in "abc"], axis=1)
    assert_moments(draws, np.array([1.0, -2.0, 0.5]), np.sqrt(np.diag(CORRELATED)))
    assert_allclose(np.corrcoef(draws.T)[0, 1], 0.95, atol=0.02)
    matrix = mcmc.last_state.adapt_state.inverse_mass_matrix
    if dense_mass is True:
        assert_allclose(matrix, CORRELATED, atol=1.5, rtol=0.4)
        assert matrix[0, 1] / np.sqrt(matrix[0, 0] * matrix[1, 1]) == pytest.approx(0.95, abs=0.04)
    elif dense_mass:
        assert matrix[("b", "a")].shape == (2, 2) and matrix[("c",)].shape == (1,)
        assert_allclose(matrix[("c",)], [0.25], rtol=0.5)
        block = matrix[("b", "a")]
        assert block[0, 0] > block[1, 1]
        assert block[0, 1] / np.sqrt(block[0, 0] * block[1, 1]) == pytest.approx(0.95, abs=0.04)


def test_a_dense_mass_matrix_shortens_trajectories():
    steps = {}
    for dense_mass in (False, True):
        start = {name: jnp.zeros(()) for name in "abc"}
        kernel = NUTS(potential_fn=correlated_potential, dense_mass=dense_mass)
        mcmc = run(kernel, num_samples=500, init_params=start, fields=("num_steps",))
        steps[dense_mass] = float(mcmc.get_extra_fields()["num_steps"].mean())
    assert steps[True] < 0.7 * steps[False]


PRIORS = {
    "normal": (dist.Normal(1.0, 2.0), stats.norm(1, 2)),
    "half": (dist.HalfNormal(2.0), stats.halfnorm(scale=2)),
    "gamma": (dist.Gamma(3.0, 2.0), stats.gamma(3, scale=0.5)),
    "beta": (dist.Beta(2.0, 3.0), stats.beta(2, 3)),
    "uniform": (dist.Uniform(-1.0, 2.0), stats.uniform(-1, 3)),
    "student": (dist.StudentT(10.0, 1.0, 0.5), stats.t(10, 1, 0.5)),
}


@pytest.mark.parametrize("kernel", [NUTS, lambda model: HMC(model, trajectory_length=1.5)], ids=["NUTS", "HMC"])
def test_priors_on_all_kinds_of_supports(kernel):
    def model():
        for name, (prior, _) in PRIORS.items():
            numpyro.sample(name, prior)

    mcmc = run(kernel(model), num_samples=4000)
    draws = mcmc.get_samples()
    for name, (_, reference) in PRIORS.items():
        assert_moments(draws[name], reference.mean(), reference.std())
        thin = np.asarray(draws[name])[::10]
        assert stats.kstest(thin, reference.cdf).pvalue > 1e-3, name


def test_a_conjugate_posterior():
    y = np.random.default_rng(0).normal(2, 1.5, size=20)

    def model(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
        numpyro.deterministic("square", mu**2)
        with numpyro.plate("data", len(y)):
            numpyro.sample("y", dist.Normal(mu, 1.5), obs=y)

    precision = 1 / 100 + len(y) / 1.5**2
    mean = y.sum() / 1.5**2 / precision
    mcmc = run(NUTS(model), y)
    assert_moments(mcmc.get_samples()["mu"], mean, precision**-0.5)
    assert_allclose(mcmc.get_samples()["square"], mcmc.get_samples()["mu"] ** 2, rtol=1e-5)


def test_forward_mode_differentiation_passes_through_loops():
    def model():
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        doubled, _ = jax.lax.while_loop(lambda c: c[1] < 2, lambda c: (c[0] + x, c[1] + 1), (x * 0, 0))
        numpyro.sample("y", dist.Normal(doubled, 1.0), obs=np.float32(2.0))

    mcmc = run(NUTS(model, forward_mode_differentiation=True), num_samples=1000)
    assert_moments(mcmc.get_samples()["x"], 4 / 5, np.sqrt(1 / 5))
    with pytest.raises(ValueError, match=r"[Rr]everse-mode"):
        run(NUTS(model))


# Settings


def normal_potential(z):
    return 0.5 * jnp.sum(z**2)


@pytest.mark.parametrize("depth, bounds", [(2, (3, 3)), ((1, 4), (1, 15))])
def test_max_tree_depth_bounds_the_steps_in_warmup_and_sampling(depth, bounds):
    kernel = NUTS(
        potential_fn=normal_potential,
        step_size=0.01,
        adapt_step_size=False,
        adapt_mass_matrix=False,
        max_tree_depth=depth,
    )
    mcmc = MCMC(kernel, num_warmup=5, num_samples=5, progress_bar=False)
    start = jnp.ones(3)
    mcmc.warmup(jax.random.PRNGKey(0), init_params=start, collect_warmup=True, extra_fields=("num_steps",))
    assert np.all(mcmc.get_extra_fields()["num_steps"] == bounds[0])
    mcmc.run(jax.random.PRNGKey(0), extra_fields=("num_steps",))
    assert np.all(mcmc.get_extra_fields()["num_steps"] == bounds[1])


def test_hmc_takes_the_steps_that_were_asked_for():
    kernel = HMC(potential_fn=normal_potential, num_steps=7, trajectory_length=None)
    fields = ("num_steps", "adapt_state.step_size")
    extra = run(kernel, num_warmup=50, num_samples=5, init_params=jnp.ones(2), fields=fields).get_extra_fields()
    assert np.all(extra["num_steps"] == 7)
    kernel = HMC(potential_fn=normal_potential, trajectory_length=3.0)
    mcmc = run(kernel, num_warmup=50, num_samples=5, init_params=jnp.ones(2), fields=fields)
    extra = mcmc.get_extra_fields()
    assert_allclose(extra["num_steps"], np.ceil(3.0 / extra["adapt_state.step_size"]))
    assert mcmc.last_state.trajectory_length == 3.0


@pytest.mark.parametrize("method", ["sequential", "vectorized"])
def test_tiny_steps_do_not_take_hours_to_leave(method):
    """A step size of 1e-9 for a trajectory of length 3 is 3e9 steps, if none bounds them."""
    kernel = HMC(potential_fn=normal_potential, trajectory_length=3.0, step_size=1e-9)
    settings = {"num_chains": 2, "chain_method": method, "progress_bar": False}
    mcmc = MCMC(kernel, num_warmup=60, num_samples=5, **settings)
    mcmc.warmup(jax.random.PRNGKey(0), init_params=jnp.ones((2, 3)), collect_warmup=True, extra_fields=("num_steps",))
    steps = mcmc.get_extra_fields()["num_steps"]
    assert np.max(steps) == 2**14 and np.all(mcmc.last_state.adapt_state.step_size > 0.1)
    # A step size that the user keeps is not touched.
    kernel = HMC(potential_fn=normal_potential, trajectory_length=3.0, step_size=1e-4, adapt_step_size=False)
    mcmc = MCMC(kernel, num_warmup=2, num_samples=1, **settings)
    mcmc.warmup(jax.random.PRNGKey(0), init_params=jnp.ones((2, 3)), collect_warmup=True, extra_fields=("num_steps",))
    assert set(np.asarray(mcmc.get_extra_fields()["num_steps"])) == {30000}


def test_steps_and_length_together_fix_the_step_size():
    with pytest.warns(UserWarning, match="does not adapt"):
        kernel = HMC(potential_fn=normal_potential, num_steps=4, trajectory_length=1.0)
    mcmc = run(kernel, num_warmup=20, num_samples=5, init_params=jnp.ones(2), fields=("num_steps",))
    assert_allclose(mcmc.last_state.adapt_state.step_size, 0.25)
    assert np.all(mcmc.get_extra_fields()["num_steps"] == 4)


def test_a_step_that_loses_the_energy_diverges_and_is_refused():
    kernel = NUTS(potential_fn=lambda z: 0.5e6 * jnp.sum(z**2), step_size=1.0)
    mcmc = run(kernel, num_warmup=0, num_samples=5, init_params=jnp.full(2, 1e-3), fields=("accept_prob", "num_steps"))
    assert np.all(mcmc.get_extra_fields()["diverging"])
    assert np.all(mcmc.get_extra_fields()["num_steps"] == 1)
    assert_allclose(mcmc.get_samples(), 1e-3)


def test_the_fields_of_the_state_fit_together():
    mass = np.array([0.5, 2.0])
    kernel = NUTS(potential_fn=lambda z: jnp.sum(z**4), step_size=0.4, inverse_mass_matrix=mass)
    fields = ("potential_energy", "energy", "z_grad", "i", "mean_accept_prob", "accept_prob")
    mcmc = run(kernel, num_warmup=0, num_samples=50, init_params=jnp.ones(2), fields=fields)
    z, extra = np.asarray(mcmc.get_samples(), np.float64), mcmc.get_extra_fields()
    assert_allclose(extra["potential_energy"], (z**4).sum(1), rtol=1e-4)
    assert_allclose(extra["z_grad"], 4 * z**3, rtol=1e-3, atol=1e-5)
    assert np.all(extra["energy"] >= extra["potential_energy"])
    assert_allclose(extra["i"], np.arange(1, 51))
    assert_allclose(extra["mean_accept_prob"], np.cumsum(extra["accept_prob"]) / np.arange(1, 51), rtol=1e-4)


@pytest.mark.parametrize("strategy", [init_to_median, init_to_value(values={"x": 5.0})], ids=["median", "value"])
def test_chains_start_where_the_strategy_says(strategy):
    def model():
        numpyro.sample("x", dist.Gamma(100.0, 20.0))

    kernel = NUTS(model, init_strategy=strategy)
    state = kernel.init(jax.random.PRNGKey(0), 0)
    assert float(np.exp(state.z["x"])) == pytest.approx(5.0, rel=0.2)


# The kernel by itself


def test_a_kernel_can_be_driven_by_hand():
    def model(y):
        mu = numpyro.sample("mu", dist.HalfNormal(1.0))
        numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    y = np.array([0.5, 1.5])
    kernel = NUTS(model)
    state = kernel.init(jax.random.PRNGKey(0), 5, None, (y,), {})
    assert kernel.model is model and kernel.sample_field == "z" and kernel.default_fields == ("z", "diverging")
    for i in range(1, 8):
        state = kernel.sample(state, (y,), {})
        assert int(state.i) == i
    assert kernel.get_diagnostics_str(state).startswith(f"{int(state.num_steps)} steps of size ")
    u = float(state.z["mu"])
    expected = -stats.halfnorm.logpdf(np.exp(u)) - u - stats.norm.logpdf(y, np.exp(u), 1).sum()
    assert_allclose(state.potential_energy, expected, rtol=1e-4)
    assert_allclose(kernel.get_potential_fn((y,), {})(state.z), expected, rtol=1e-4)
    assert_allclose(kernel.get_constrain_fn((y,), {})(state.z)["mu"], np.exp(u), rtol=1e-5)
    assert_allclose(kernel.postprocess_fn((y,), {})(state.z)["mu"], np.exp(u), rtol=1e-5)

    moved = kernel.refresh(state, (y + 1,), {})
    other = expected + stats.norm.logpdf(y, np.exp(u), 1).sum() - stats.norm.logpdf(y + 1, np.exp(u), 1).sum()
    assert_allclose(moved.potential_energy, other, rtol=1e-4)


def test_wrap_model_gives_a_kernel_for_the_wrapped_model():
    def model():
        numpyro.sample("x", dist.Normal(0.0, 1.0))

    wrapped = NUTS(model, step_size=0.3).wrap_model(lambda m: numpyro.handlers.condition(m, {}))
    assert wrapped.model is not model
    assert_allclose(wrapped.init(jax.random.PRNGKey(0), 0).adapt_state.step_size, 0.3)
    with pytest.raises(ValueError, match="`wrap_model` needs a kernel made from a model"):
        NUTS(potential_fn=normal_potential).wrap_model(lambda m: m)


def test_the_kernel_works_inside_a_compiled_function():
    kernel = NUTS(potential_fn=normal_potential)
    state = kernel.init(jax.random.PRNGKey(0), 100, jnp.ones(2))

    @jax.jit
    def many(state):
        return jax.lax.scan(lambda s, _: (kernel.sample(s, (), {}),) * 2, state, length=2000)

    _, states = many(state)
    assert_moments(states.z[500:], 0.0, 1.0)
    inside = jax.jit(lambda key: kernel.init(key, 100, jnp.ones(2)).potential_energy)(jax.random.PRNGKey(0))
    assert_allclose(inside, 1.0)


@pytest.mark.parametrize("algo, own", [("NUTS", {}), ("HMC", {"trajectory_length": 1.5})])
def test_the_functional_interface(algo, own):
    init_kernel, sample_kernel = hmc(potential_fn_gen=lambda scale: lambda z: 0.5 * (z / scale) ** 2, algo=algo)
    state = init_kernel(jnp.array(1.0), 200, rng_key=jax.random.PRNGKey(1), model_args=(jnp.array(3.0),), **own)

    @jax.jit
    def many(state):
        step = lambda s, _: (sample_kernel(s, (jnp.array(3.0),)),) * 2
        return jax.lax.scan(step, state, length=3000)

    assert_moments(many(state)[1].z[500:], 0.0, 3.0)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: NUTS(), "you gave neither"),
        (lambda: NUTS(lambda: None, potential_fn=normal_potential), "you gave both"),
        (lambda: HMC(lambda: None, trajectory_length=None), "`num_steps` or `trajectory_length`"),
        (lambda: HMC(lambda: None, num_steps=0, trajectory_length=None), "`num_steps` must be at least 1"),
        (lambda: NUTS(lambda: None, target_accept_prob=1.2), "`target_accept_prob` must lie"),
        (lambda: NUTS(lambda: None, max_tree_depth=0), "`max_tree_depth` must be"),
        (lambda: NUTS(lambda: None, max_tree_depth=(5, 6, 7)), "`max_tree_depth` must be"),
        (lambda: hmc(), "`potential_fn` or `potential_fn_gen`"),
        (lambda: hmc(normal_potential, algo="Gibbs"), "`algo` must be"),
        (lambda: hmc(normal_potential)[1](None), "call `init_kernel`"),
    ],
)
def test_settings_that_make_no_sampler_are_refused(make, message):
    with pytest.raises((ValueError, RuntimeError), match=message):
        make()


def test_a_potential_energy_that_is_no_scalar_is_refused():
    with pytest.raises(ValueError, match=r"must be a scalar, but it has shape \(2,\)"):
        NUTS(potential_fn=lambda z: z**2).init(jax.random.PRNGKey(0), 0, jnp.ones(2))

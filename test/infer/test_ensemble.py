# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The moves of the ensemble samplers, how walkers are split, and what an ensemble must be."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose
import pytest
from scipy import stats

import numpyro
from numpyro.diagnostics import effective_sample_size
import numpyro.distributions as dist
from numpyro.infer import AIES, ESS, MCMC, init_to_uniform, init_to_value
from numpyro.infer.ensemble import EnsembleSampler
from numpyro.infer.ensemble_util import batch_ravel_pytree, get_nondiagonal_indices

KEY = jax.random.PRNGKey(0)
ACTIVE = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
INACTIVE = np.random.default_rng(1).normal(size=(400, 3)).astype(np.float32) @ np.diag([1.0, 2.0, 0.1]).astype(
    np.float32
)


def normal_energy(z):
    return 0.5 * jnp.sum(z**2)


def make(kernel, **settings):
    settings = {"num_warmup": 5, "num_samples": 5, "num_chains": 8} | settings
    return MCMC(kernel, chain_method="vectorized", progress_bar=False, **settings)


def test_the_stretch_has_the_density_that_keeps_the_target():
    proposals, log_factors = AIES.StretchMove(a=3.0)(KEY, ACTIVE, INACTIVE[:1].repeat(400, 0))
    stretch = np.linalg.norm(proposals - INACTIVE[0], axis=1) / np.linalg.norm(ACTIVE - INACTIVE[0], axis=1)
    cdf = lambda z: (np.sqrt(z) - np.sqrt(1 / 3)) / (np.sqrt(3) - np.sqrt(1 / 3))
    assert stats.kstest(stretch, cdf).pvalue > 1e-3
    assert_allclose(log_factors, 2 * np.log(stretch), atol=1e-4)


def test_differential_evolution_adds_differences_of_the_others():
    steps, log_factors = AIES.DEMove(sigma=0.0, g0=0.5)(KEY, ACTIVE, INACTIVE)
    differences = (INACTIVE[:, None] - INACTIVE[None]).reshape(-1, 3)
    distances = np.abs(2 * (np.asarray(steps) - ACTIVE)[:, None] - differences[None, ::7]).sum(-1).min(1)
    assert np.mean(distances < 1e-4) > 0.05 and not np.any(log_factors)
    scaled = AIES.DEMove()(KEY, ACTIVE, INACTIVE)[0] - ACTIVE
    assert_allclose(scaled.std(0), 2.38 / np.sqrt(6) * np.sqrt(2) * INACTIVE.std(0), rtol=0.15)


MOVES = {
    "differential": (ESS.DifferentialMove(), np.sqrt(2) * INACTIVE.std(0)),
    "gaussian": (ESS.GaussianMove(), 2 * INACTIVE.std(0)),
    "kde": (ESS.KDEMove(), np.sqrt(2 * (1 + 400 ** (-2 / 7))) * INACTIVE.std(0)),
    "kde silverman": (ESS.KDEMove("silverman"), np.sqrt(2 * (1 + 500 ** (-2 / 7))) * INACTIVE.std(0)),
    "kde given": (ESS.KDEMove(0.5), np.sqrt(2 * 1.25) * INACTIVE.std(0)),
    "random": (ESS.RandomMove(), np.full(3, 2 / np.sqrt(3))),
}


@pytest.mark.parametrize("move, scale", MOVES.values(), ids=list(MOVES))
def test_directions_have_the_spread_that_the_moves_say(move, scale):
    directions = np.asarray(move(KEY, INACTIVE, 0.5))
    assert directions.shape == INACTIVE.shape
    assert np.all(np.abs(directions).sum(1) > 0)
    assert_allclose(directions.std(0), 0.5 * scale, rtol=0.15)
    assert hash(move) == hash(type(move)(*vars(move).values()))


def test_helpers_for_moves():
    pairs = get_nondiagonal_indices(4)
    assert pairs.shape == (12, 2) and len({tuple(pair) for pair in pairs}) == 12
    assert np.all(pairs[:, 0] != pairs[:, 1])
    tree = {"a": np.arange(8.0).reshape(4, 2), "b": np.ones(4)}
    flat, unravel = batch_ravel_pytree(tree)
    assert flat.shape == (4, 3)
    jax.tree.map(assert_allclose, unravel(flat), tree)


class Recorder(NamedTuple):
    seen: jax.Array
    rng_key: jax.Array


class Swap(EnsembleSampler):
    """Adds to the active walkers what the inactive ones are, to see who moves with whom."""

    def __init__(self, randomize_split):
        super().__init__(potential_fn=normal_energy, randomize_split=randomize_split, init_strategy=init_to_uniform)

    def init_inner_state(self, rng_key):
        return Recorder(jnp.zeros((2, 2)), rng_key)

    def update_active_chains(self, active, inactive, inner_state):
        seen = jnp.stack([inner_state.seen[1], self.potential_energies(active)[:2]])
        return active + 1000, inner_state._replace(seen=seen)


@pytest.mark.parametrize("randomize_split", [False, True])
def test_walkers_keep_their_places(randomize_split):
    """Each walker moves once, whatever the split, and a user's algorithm sees the density."""
    mcmc = make(Swap(randomize_split), num_warmup=0, num_samples=1, num_chains=6)
    start = np.arange(6.0)[:, None]
    mcmc.run(KEY, init_params=start)
    assert_allclose(mcmc.get_samples(group_by_chain=True)[:, 0], start + 1000)
    assert_allclose(mcmc.last_state.potential_energy, 0.5 * (start[:, 0] + 1000) ** 2, rtol=1e-6)
    seen = np.sqrt(2 * np.asarray(mcmc.last_state.inner_state.seen))
    if randomize_split:
        assert not np.allclose(seen, [[0, 1], [3, 4]])
    else:
        assert_allclose(seen, [[0, 1], [3, 4]], atol=1e-5)


def test_the_scale_of_the_slices_is_tuned_in_warmup_only():
    kernel = ESS(potential_fn=lambda z: 0.5 * jnp.sum((z / 100) ** 2), init_mu=1e-3)
    start = 1e-2 * ACTIVE[:8]
    fields = ("inner_state.mu", "inner_state.n_expansions", "inner_state.n_contractions")
    mcmc = make(kernel, num_warmup=300, num_samples=200)
    ratios, scales = [], []
    # The scale with which a warm-up ends varies by a factor of two or so with so few walkers.
    for key in jax.random.split(KEY, 20):
        mcmc.run(key, init_params=start, extra_fields=fields)
        mu, expansions, contractions = (np.asarray(mcmc.get_extra_fields()[field]) for field in fields)
        assert np.ptp(mu) == 0
        scales.append(np.log(mu[0]))
        ratios.append(np.log(expansions.sum() / contractions.sum()))
    assert 0.7 < np.exp(np.mean(scales)) < 4
    assert 0.5 < np.exp(np.mean(ratios)) < 2
    fixed = make(ESS(potential_fn=normal_energy, tune_mu=False, init_mu=0.3))
    fixed.run(KEY, init_params=ACTIVE[:8])
    assert_allclose(fixed.last_state.inner_state.mu, 0.3)


def size_from_means(draws):
    """Effective sample size by the series of the ensemble's means, which does not know one walker from another."""
    means = draws.mean(0)
    return draws.var((0, 1)) / means.var(0) * effective_sample_size(means[None])


def slice_jump(size):
    """An exact draw along a line renews one of ``size`` coordinates of a normal distribution, seen by the walkers."""
    return 1 / size


def metropolis_jump(size):
    """A step ``s`` of the normal distribution scaled by ``2.38 / sqrt(size)`` is taken with probability
    ``min(1, exp(-s x - s^2 / 2))``."""
    x, step = np.random.default_rng(0).normal(size=(2, 100_000, size)) * [[[1]], [[2.38 / np.sqrt(size)]]]
    accept_probs = np.exp(np.minimum(0, -(step * x).sum(1) - (step**2).sum(1) / 2))
    return np.mean(accept_probs * (step**2).sum(1)) / (2 * size)


@pytest.mark.parametrize("kernel, jump", [(ESS, slice_jump), (AIES, metropolis_jump)])
def test_draws_of_a_walker_are_as_correlated_as_theory_says(kernel, jump):
    """Each walker's series is a Markov chain of its own: with fewer effective draws the moves would be wrong, with
    more the walkers would have changed places."""
    size, count, num_samples = 4, 60, 1000
    root = np.tril(np.random.default_rng(2).normal(size=(size, size))) + 2 * np.eye(size)
    inverse = jnp.asarray(np.linalg.inv(root))
    mcmc = make(
        kernel(potential_fn=lambda z: normal_energy(inverse @ z)),
        num_warmup=100,
        num_samples=num_samples,
        num_chains=count,
    )
    mcmc.run(KEY, init_params=jnp.asarray(np.random.default_rng(3).normal(size=(count, size)) @ root.T))
    draws = np.asarray(mcmc.get_samples(group_by_chain=True), np.float64)
    jumps = np.mean(np.diff(draws, axis=1) ** 2, (0, 1)) / (2 * draws.var((0, 1)))
    assert_allclose(jumps, jump(size), rtol=0.12)
    expected = count * num_samples * jump(size) / (2 - jump(size))
    assert_allclose(effective_sample_size(draws), expected, rtol=0.25)
    assert_allclose(np.mean(size_from_means(draws)), expected, rtol=0.5)


def two_sites():
    numpyro.sample("mu", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
    numpyro.sample("tau", dist.HalfNormal(1.0))


@pytest.mark.parametrize("kernel", [AIES, ESS])
def test_ensembles_that_cannot_sample_are_refused(kernel):
    with pytest.raises(ValueError, match='chain_method="vectorized"'):
        MCMC(kernel(potential_fn=normal_energy), num_warmup=1, num_samples=1, num_chains=2, chain_method="sequential")
    for count, message in ((1, "must be even, but num_chains is 1"), (5, "must be even, but num_chains is 5")):
        with pytest.raises(ValueError, match=message):
            make(kernel(potential_fn=normal_energy), num_chains=count).run(KEY, init_params=ACTIVE[:count])
    with pytest.raises(ValueError, match="needs at least 4 walkers"):
        make(kernel(potential_fn=normal_energy), num_chains=2).run(KEY, init_params=ACTIVE[:2])
    message = r"num_chains is 2. For 3 latent parameters \(sites 'mu', 'tau'\) write .*num_chains=6, .* or take NUTS"
    with pytest.raises(ValueError, match=message):
        make(kernel(two_sites), num_chains=2).run(KEY)
    with pytest.raises(ValueError, match="4 walkers cannot sample 6 latent parameters"):
        make(kernel(potential_fn=normal_energy), num_chains=4).run(KEY, init_params=ACTIVE[:8].reshape(4, 6))
    with pytest.raises(ValueError, match="needs a random key for each walker"):
        kernel(potential_fn=normal_energy).init(KEY, 0, ACTIVE[:8])
    with pytest.warns(UserWarning, match="num_chains=6, are recommended"):
        make(kernel(potential_fn=normal_energy), num_chains=4).run(KEY, init_params=ACTIVE[:4])


def test_walkers_that_start_at_one_point_are_refused():
    def model():
        numpyro.sample("mu", dist.Normal(0.0, 1.0))
        numpyro.sample("tau", dist.HalfNormal(1.0))

    with pytest.raises(ValueError, match=r"all walkers start at the same value in \['mu'\]"):
        make(AIES(model, init_strategy=init_to_value(values={"mu": 0.5}))).run(KEY)
    make(ESS(model, moves={ESS.RandomMove(): 1.0}, init_strategy=init_to_value(values={"mu": 0.5}))).run(KEY)


@pytest.mark.parametrize(
    "make_kernel, message",
    [
        (lambda: AIES(normal_energy, moves={}), "`moves` is empty"),
        (lambda: AIES(normal_energy, moves={AIES.StretchMove: 1.0}), r"`moves` must map moves such as AIES.DEMove\(\)"),
        (lambda: ESS(normal_energy, moves={ESS.KDEMove(): 0.0}), "weights of `moves` must be positive"),
        (lambda: AIES.StretchMove(a=1.0), "`a` must be greater than 1"),
        (lambda: AIES.DEMove(sigma=-1.0), "`sigma` must not be negative"),
        (lambda: ESS.KDEMove("wide"), "`bw_method` must be"),
        (lambda: ESS(normal_energy, max_steps=0), "`max_steps` must be at least 1"),
        (lambda: ESS(normal_energy, init_mu=0.0), "`init_mu` must be positive"),
    ],
)
def test_settings_out_of_range_are_refused(make_kernel, message):
    with pytest.raises(ValueError, match=message):
        make_kernel()

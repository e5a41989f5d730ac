# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Kernels that update a model block by block, and discrete sites: against enumeration and closed forms."""

from __future__ import annotations

import itertools
import pickle

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from precision import double_precision
import pytest
from scipy import special, stats

import numpyro
from numpyro.contrib.control_flow import scan
from numpyro.diagnostics import effective_sample_size
import numpyro.distributions as dist
from numpyro.infer import (
    HMC,
    MCMC,
    NUTS,
    CustomGibbs,
    DiscreteGibbs,
    DiscreteHMCGibbs,
    Gibbs,
    HMCGibbs,
    MixedHMC,
    init_to_value,
)
from numpyro.infer.discrete import DiscreteProposal
from numpyro.infer.gibbs import (
    conditioned,
    discrete_gibbs_sweep,
    discrete_latent_sites,
    discrete_support_sizes,
    prototype_trace,
    select_discrete_proposal,
    subsample_plate_sizes,
    with_conditioning,
)

KEY = jax.random.PRNGKey(0)
VARIANTS = list(itertools.product([False, True], [False, True]))


def run(kernel, *args, num_warmup=300, num_samples=3000, num_chains=1, seed=0, fields=(), **settings):
    settings = {"chain_method": "vectorized", "progress_bar": False} | settings
    mcmc = MCMC(kernel, num_warmup=num_warmup, num_samples=num_samples, num_chains=num_chains, **settings)
    mcmc.run(jax.random.PRNGKey(seed), *args, extra_fields=fields)
    return mcmc


def assert_mean(draws, expected, tolerance=4.5, ess_at_least=100):
    """The mean within a few Monte Carlo standard errors. The first axis is of draws."""
    draws = np.asarray(draws, np.float64)
    ess = effective_sample_size(draws[None])
    assert np.all(ess > ess_at_least)
    assert np.max(np.abs(draws.mean(0) - expected) * np.sqrt(ess) / draws.std(0)) < tolerance


def assert_frequencies(states, probs):
    """Pearson's test that ``states`` (numbers from 0) have these probabilities, for as many draws as are effective."""
    indicators = np.asarray(states)[:, None] == np.arange(len(probs))
    counts = indicators.mean(0)
    ess = effective_sample_size(indicators.astype(float)[None]).min()
    statistic = ess * np.sum((counts - probs) ** 2 / probs)
    assert ess > 300
    assert stats.chi2.sf(statistic, len(probs) - 1) > 1e-4


# Discrete sites alone


def counts_model():
    """The bounds of ``k`` depend on ``n``, whose values do not begin at 0."""
    n = numpyro.sample("n", dist.DiscreteUniform(2, 4))
    k = numpyro.sample("k", dist.Binomial(n, 0.4))
    with numpyro.plate("flags", 2):
        flag = numpyro.sample("flag", dist.Bernoulli(0.3))
    numpyro.sample("y", dist.Normal(k + 2.0 * flag[0] - flag[1], 1.0), obs=1.7)


def counts_states():
    states = [(n, k, *flag) for n in range(2, 5) for k in range(n + 1) for flag in itertools.product([0, 1], [0, 1])]
    n, k, first, second = np.array(states).T
    log_joint = (
        stats.binom.logpmf(k, n, 0.4)
        + stats.bernoulli.logpmf(first, 0.3)
        + stats.bernoulli.logpmf(second, 0.3)
        + stats.norm.logpdf(1.7, k + 2 * first - second)
    )
    return states, special.softmax(log_joint)


def chains_of(kernel, count, args=()):
    """Draws of a kernel without the engine around it: one chain."""
    start = kernel.init(KEY, 0, None, args, {})

    def step(state, _):
        state = kernel.sample(state, args, {})
        return state, state.z

    return lax.scan(step, start, None, length=count)[1]


@pytest.fixture(scope="module")
def discrete_draws():
    kernels = [DiscreteGibbs(counts_model, random_walk=walk, modified=modified) for walk, modified in VARIANTS]
    return jax.device_get(jax.jit(lambda: [chains_of(kernel, 8000) for kernel in kernels])())


@pytest.mark.parametrize("variant", range(4), ids=[f"random_walk={w}-modified={m}" for w, m in VARIANTS])
def test_discrete_sites_have_the_distribution_found_by_enumeration(discrete_draws, variant):
    draws = discrete_draws[variant]
    states, probs = counts_states()
    number = {state: i for i, state in enumerate(states)}
    columns = zip(draws["n"], draws["k"], draws["flag"][:, 0], draws["flag"][:, 1], strict=True)
    rows = np.array([number[tuple(map(int, column))] for column in columns])
    # States of few expected draws go together.
    order = np.argsort(-probs)
    rank = np.argsort(order)
    group = np.minimum(rank[rows], 12)
    assert_frequencies(group, np.append(probs[order[:12]], probs[order[12:]].sum()))


def test_modified_gibbs_has_the_smaller_variance(discrete_draws):
    """Peskun's theorem, for a site of two values."""
    ess = [effective_sample_size(draws["flag"][None, :, 1].astype(float)) for draws in discrete_draws]
    assert ess[1] > ess[0]


def test_blocks_of_candidates_draw_from_the_same_distribution():
    """More values than are evaluated at once, and a number of values that is not known beforehand."""
    weights = np.linspace(1.0, 3.0, 40)

    def potential_fn(z):
        return -jnp.log(jnp.asarray(weights))[z["x"]]

    def chain(proposal):
        def step(carry, key):
            z, energy = discrete_gibbs_sweep(key, *carry, potential_fn, jnp.array([40]), proposal)
            return (z, energy), z["x"]

        start = {"x": jnp.array(3)}
        return lax.scan(step, (start, potential_fn(start)), jax.random.split(KEY, 6000))[1]

    modified = DiscreteProposal(modified=True, width=7)
    for draws in jax.jit(lambda: (chain(select_discrete_proposal(False, False)), chain(modified)))():
        assert_frequencies(np.asarray(draws) // 4, weights.reshape(10, 4).sum(1) / weights.sum())


def test_a_value_of_density_zero_is_never_chosen():
    def potential_fn(z):
        return jnp.where(jnp.any(z["x"] == 1), jnp.inf, 0.0)

    def sweeps():
        z = {"x": jnp.zeros((5, 2), jnp.int32)}
        for variant in VARIANTS:
            proposal = select_discrete_proposal(*variant)
            yield discrete_gibbs_sweep(KEY, z, potential_fn(z), potential_fn, np.full(10, 2), proposal)

    for z, energy in jax.jit(lambda: list(sweeps()))():
        assert_array_equal(z["x"], 0)
        assert energy == 0


# Discrete and continuous sites


def mixture(probs, locs):
    c = numpyro.sample("c", dist.Categorical(probs))
    x = numpyro.sample("x", dist.Normal(locs[c], 0.6))
    numpyro.deterministic("twice", 2 * x)


MIXTURE = (jnp.array([0.15, 0.3, 0.35, 0.2]), jnp.array([-1.0, 0.0, 1.5, 2.5]))


def check_mixture(draws):
    probs, locs = map(np.asarray, MIXTURE)
    mean = probs @ locs
    assert_frequencies(draws["c"], probs)
    assert_mean(draws["x"], mean)
    assert_mean((draws["x"] - mean) ** 2, probs @ locs**2 - mean**2 + 0.36)
    assert_mean(draws["x"] < 0.3, probs @ stats.norm.cdf(0.3, locs, 0.6))
    assert_allclose(draws["twice"], 2 * draws["x"], rtol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: DiscreteHMCGibbs(NUTS(mixture), modified=True),
        lambda: MixedHMC(HMC(mixture, trajectory_length=2.0), num_discrete_updates=4),
    ],
    ids=["DiscreteHMCGibbs", "MixedHMC"],
)
def test_a_mixture_of_normal_distributions(make):
    mcmc = run(make(), *MIXTURE, num_samples=8000, num_chains=2, fields=("hmc_state.accept_prob",))
    draws = mcmc.get_samples()
    assert set(draws) == {"c", "x", "twice"}
    assert draws["c"].dtype == jnp.int32
    check_mixture(draws)
    assert 0.6 < mcmc.get_extra_fields()["hmc_state.accept_prob"].mean() < 0.99
    assert not mcmc.get_extra_fields()["diverging"].any()


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["DiscreteHMCGibbs", "MixedHMC"])
@pytest.mark.parametrize(("random_walk", "modified"), VARIANTS)
def test_every_proposal_leaves_the_mixture_invariant(kernel, random_walk, modified):
    how = {"random_walk": random_walk, "modified": modified}
    kernel = DiscreteHMCGibbs(NUTS(mixture), **how) if kernel == "DiscreteHMCGibbs" else None
    kernel = kernel or MixedHMC(HMC(mixture, trajectory_length=2.0), num_discrete_updates=9, **how)
    check_mixture(run(kernel, *MIXTURE, num_samples=20000, num_chains=4).get_samples())


def switching(y):
    """Hidden states in a scan, within a plate."""
    step_size = numpyro.sample("step", dist.HalfNormal(1.0))

    def body(state, y):
        with numpyro.plate("series", 2):
            state = numpyro.sample("state", dist.Bernoulli(jnp.where(state == 1, 0.8, 0.3)))
            numpyro.sample("y", dist.Normal(step_size * state, 0.7), obs=y)
        return state, None

    scan(body, jnp.zeros(2, jnp.int32), y)


def test_sites_in_a_scan_and_a_plate_agree_with_the_forward_algorithm():
    y = np.random.default_rng(1).normal(0.5, 0.8, (3, 2))
    draws = run(DiscreteHMCGibbs(NUTS(switching)), y, num_samples=6000).get_samples()
    assert draws["state"].shape == (6000, 3, 2)
    grid = np.linspace(1e-3, 5, 2000)
    paths = np.array(list(itertools.product([0, 1], repeat=3)))
    before = np.concatenate([np.zeros((8, 1), int), paths[:, :-1]], 1)
    prior = stats.bernoulli.logpmf(paths, np.where(before == 1, 0.8, 0.3)).sum(1)
    series = [
        prior + stats.norm.logpdf(y[:, s], grid[:, None, None] * paths, 0.7).sum(-1) for s in range(2)
    ]  # (grid, paths)
    log_post = stats.halfnorm.logpdf(grid) + sum(special.logsumexp(part, 1) for part in series)
    weights = special.softmax(log_post)
    assert_mean(draws["step"], weights @ grid)
    expected = np.stack([weights @ special.softmax(part, 1) @ paths for part in series], 1)
    assert_mean(draws["state"], expected)


# Updates by the user


def two_normals(y):
    x = numpyro.sample("x", dist.Normal(0.0, 2.0))
    z = numpyro.sample("z", dist.Normal(0.0, 2.0))
    numpyro.sample("y", dist.Normal(x + z, 1.0), obs=y)


def update_x(rng_key, gibbs_sites, hmc_sites):
    assert set(gibbs_sites) == {"x"}
    return {"x": dist.Normal(0.8 * (1.0 - hmc_sites["z"]), np.sqrt(0.8)).sample(rng_key)}


TWO_NORMALS = stats.multivariate_normal(
    *(lambda s: (s @ np.array([1.0, 1.0]), s))(np.linalg.inv([[1.25, 1], [1, 1.25]]))
)


def test_hmc_gibbs_samples_a_normal_posterior():
    kernel = HMCGibbs(NUTS(two_normals), gibbs_fn=update_x, gibbs_sites=["x"])
    mcmc = run(kernel, 1.0, num_samples=8000, num_chains=2, fields=("hmc_state.num_steps", "block_states.1.energy"))
    draws = np.stack([mcmc.get_samples()[name] for name in ("x", "z")], 1)
    assert_mean(draws, TWO_NORMALS.mean)
    centred = draws - TWO_NORMALS.mean
    assert_mean(centred[:, :, None] * centred[:, None], TWO_NORMALS.cov)
    assert mcmc.get_extra_fields()["hmc_state.num_steps"].min() >= 1


def three_blocks(probs):
    kind = numpyro.sample("kind", dist.Categorical(probs))
    x = numpyro.sample("x", dist.Normal(0.0, 2.0))
    scale = numpyro.sample("scale", dist.LogNormal(kind - 1.0, 0.5))
    z = numpyro.sample("z", dist.Normal(0.0, 2.0))
    numpyro.sample("y", dist.Normal(x + z, 1.0), obs=1.0)
    numpyro.deterministic("ratio", x / scale)


def test_three_kernels_for_one_model():
    probs = jnp.array([0.5, 0.2, 0.3])
    kernel = Gibbs(
        [
            (DiscreteGibbs(three_blocks, random_walk=True), discrete_latent_sites),
            (CustomGibbs(update_x), ["x"]),
            (NUTS(three_blocks), None),
        ]
    )
    mcmc = run(kernel, probs, num_samples=8000, num_chains=2)
    draws = mcmc.get_samples()
    assert_frequencies(draws["kind"], np.asarray(probs))
    assert_mean(np.log(draws["scale"]), np.asarray(probs) @ np.arange(3) - 1)
    assert_mean(np.stack([draws["x"], draws["z"]], 1), TWO_NORMALS.mean)
    assert_allclose(draws["ratio"], draws["x"] / draws["scale"], rtol=1e-5)
    state = mcmc.last_state
    assert set(state.z) == {"kind", "x", "z", "scale"}
    assert_allclose(state.z["scale"], state.block_states[2].z["scale"])


# The engine


class Counted:
    """A model that counts how often Python runs it. The count is no visible state: a model that changes is compiled
    anew."""

    __slots__ = ("count", "model")

    def __init__(self, model):
        self.model, self.count = model, 0

    def __call__(self, *args, **kwargs):
        self.count += 1
        return self.model(*args, **kwargs)


@pytest.fixture(scope="module")
def engine_run():
    model = Counted(mixture)
    mcmc = MCMC(DiscreteHMCGibbs(NUTS(model)), num_warmup=50, num_samples=60, thinning=2, progress_bar=False)
    mcmc.run(KEY, *MIXTURE, extra_fields=("z.x",))
    return model, mcmc, mcmc.get_samples()


def test_a_second_run_traces_nothing(engine_run):
    model, mcmc, first = engine_run
    count = model.count
    mcmc.run(KEY, *MIXTURE, extra_fields=("z.x",))
    assert_array_equal(mcmc.get_samples()["x"], first["x"])
    mcmc.run(jax.random.PRNGKey(1), MIXTURE[0][::-1], MIXTURE[1] + 100.0, extra_fields=("z.x",))
    assert model.count == count
    assert first["x"].shape == (30,)
    assert mcmc.get_samples()["x"].min() > 90


def test_runs_go_on_from_a_state_with_new_random_numbers(engine_run):
    _, mcmc, _ = engine_run
    mcmc.run(KEY, *MIXTURE, extra_fields=("z.x",))
    state = mcmc.last_state
    draws = []
    for seed in (1, 1, 2):
        mcmc.post_warmup_state = state
        mcmc.run(jax.random.PRNGKey(seed), *MIXTURE, extra_fields=("z.x",))
        draws.append(np.asarray(mcmc.get_samples()["x"]))
    mcmc.post_warmup_state = None
    assert_array_equal(draws[0], draws[1])
    assert np.all(draws[0] != draws[2])
    assert int(mcmc.last_state.hmc_state.i) == int(state.hmc_state.i) + 60


def test_a_refreshed_state_is_for_the_new_arguments():
    kernel = HMCGibbs(NUTS(two_normals), gibbs_fn=update_x, gibbs_sites=["x"])

    @jax.jit
    def energies():
        state = kernel.init(KEY, 0, {"x": 1.0, "z": 2.0}, (1.0,), {})
        return state.hmc_state.potential_energy, kernel.refresh(state, (7.0,), {}).hmc_state.potential_energy

    before, after = energies()
    assert_allclose(after - before, ((7.0 - 3.0) ** 2 - (1.0 - 3.0) ** 2) / 2, rtol=1e-5)


def test_a_pickled_sampler_goes_on(engine_run):
    kernel = HMCGibbs(NUTS(two_normals), gibbs_fn=update_x, gibbs_sites=["x"])
    mcmc = MCMC(kernel, num_warmup=5, num_samples=5, progress_bar=False)
    copied = pickle.loads(pickle.dumps(mcmc))
    assert [sites for _, sites in copied.sampler.blocks] == [("x",), None]
    mixed = pickle.loads(pickle.dumps(MixedHMC(HMC(mixture), num_discrete_updates=3)))
    assert mixed.num_discrete_updates == 3


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [DiscreteHMCGibbs(NUTS(mixture)), MixedHMC(HMC(mixture, trajectory_length=1.0))])
def test_chains_are_the_same_by_every_method(kernel):
    """In double precision: the dynamics magnify differences of rounding as a chain goes on."""
    with double_precision():
        draws = [
            run(kernel, *MIXTURE, num_warmup=40, num_samples=40, num_chains=2, chain_method=method).get_samples()
            for method in ("sequential", "parallel", "vectorized")
        ]
    for other in draws[1:]:
        assert_array_equal(draws[0]["c"], other["c"])
        assert_allclose(draws[0]["x"], other["x"], rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_hmc_is_kept_from_moving_until_the_density_is_positive():
    """A user's update may lead to values where the density of the others is zero."""

    def model():
        a = numpyro.sample("a", dist.Normal(0.0, 1.0))
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.factor("f", jnp.where(a > 0, -jnp.inf, 0.0) + 0 * x)

    def update(rng_key, gibbs_sites, hmc_sites):
        return {"a": -gibbs_sites["a"]}

    mcmc = run(HMCGibbs(NUTS(model), update, ["a"]), num_warmup=10, num_samples=10, fields=("hmc_state.i",))
    draws, fields = mcmc.get_samples(), mcmc.get_extra_fields()
    blocked = np.asarray(draws["a"]) > 0
    assert_array_equal(fields["diverging"], blocked)
    assert_array_equal(np.diff(draws["x"])[blocked[1:]], 0)
    assert np.all(np.diff(draws["x"])[~blocked[1:]] != 0)
    assert_array_equal(fields["hmc_state.i"], np.arange(11, 21))


def test_the_start_honours_what_is_given():
    strategy = init_to_value(values={"c": 3, "x": 2.0})
    kernel = DiscreteHMCGibbs(NUTS(mixture, init_strategy=strategy))
    state = kernel.init(KEY, 10, None, MIXTURE, {})
    assert (int(state.z["c"]), float(state.z["x"])) == (3, 2.0)
    state = DiscreteHMCGibbs(NUTS(mixture)).init(KEY, 10, {"c": 2, "x": 0.5}, MIXTURE, {})
    assert (int(state.z["c"]), float(state.z["x"])) == (2, 0.5)


# Helpers


def test_what_a_trace_tells_of_a_model():
    def model():
        numpyro.sample("n", dist.DiscreteUniform(2, 4))
        with numpyro.plate("rows", 6, subsample_size=2):
            numpyro.sample("c", dist.Categorical(jnp.ones(5) / 5))
        numpyro.sample("e", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.Normal(0.0, 1.0))

    recorded = prototype_trace(model, KEY, (), {})
    assert discrete_latent_sites(recorded) == ("n", "c")
    sizes = discrete_support_sizes(recorded, ["n", "c"])
    assert_array_equal(sizes["n"], 3)
    assert_array_equal(sizes["c"], [5, 5])
    assert subsample_plate_sizes(recorded) == {"rows": (6, 2)}


def test_conditioning_is_extended_and_happens_once():
    model = conditioned(mixture)
    assert conditioned(model) is model
    kwargs = with_conditioning(with_conditioning(None, {"c": 1}), {"x": 2.0})
    recorded = prototype_trace(model, KEY, MIXTURE, kwargs)
    assert all(recorded[name]["is_observed"] for name in ("c", "x"))
    with pytest.raises(ValueError, match="no values may be given for 'x'; the sites that may be are 'c'"):
        with_conditioning({}, {"x": 1.0}, allowed=frozenset({"c"}))


# Errors


def bounded(y):
    n = numpyro.sample("n", dist.Bernoulli(0.5))
    numpyro.sample("x", dist.Uniform(0.0, 1.0 + n))


def unbounded():
    k = numpyro.sample("k", dist.Poisson(3.0))
    numpyro.sample("x", dist.Normal(k, 1.0))


def subsampled():
    c = numpyro.sample("c", dist.Bernoulli(0.5))
    numpyro.sample("x", dist.Normal(0.0, 1.0))
    with numpyro.plate("rows", 6, subsample_size=2):
        numpyro.sample("y", dist.Normal(c, 1.0), obs=0.0)


def subsampled_normal():
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    z = numpyro.sample("z", dist.Normal(0.0, 1.0))
    with numpyro.plate("rows", 6, subsample_size=2):
        numpyro.sample("y", dist.Normal(x + z, 1.0), obs=0.0)


def observed():
    numpyro.sample("y", dist.Bernoulli(0.5), obs=1)


def enumerated():
    c = numpyro.sample("c", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
    numpyro.sample("x", dist.Normal(c, 1.0))


REFUSED = [
    (lambda: NUTS(mixture), MIXTURE, r"'c' are discrete.*DiscreteHMCGibbs\(NUTS\(model\)\) or MixedHMC"),
    (lambda: DiscreteHMCGibbs(NUTS(two_normals)), (1.0,), "no discrete latent site; .* are 'x', 'z'"),
    (
        lambda: DiscreteHMCGibbs(NUTS(enumerated)),
        (),
        "sites 'c' are marked infer=.* Leave the mark out, and DiscreteGibbs",
    ),
    (lambda: DiscreteGibbs(enumerated), (), "sites 'c' are marked infer=.* Leave the mark out"),
    (lambda: HMCGibbs(NUTS(two_normals), update_x, ["x", "z"]), (1.0,), "no site is left for NUTS: .* Give NUTS some"),
    (lambda: DiscreteHMCGibbs(NUTS(counts_model)), (), "no site is left for NUTS: .* use DiscreteGibbs"),
    (lambda: DiscreteGibbs(mixture), MIXTURE, "DiscreteGibbs updates the discrete sites 'c' only, but 'x'"),
    (
        lambda: DiscreteGibbs(two_normals),
        (1.0,),
        r"no discrete latent site; .* 'x', 'z'. Sample it by NUTS\(model\)",
    ),
    (lambda: DiscreteGibbs(observed), (), "no latent site: its sample sites, 'y', are all observed"),
    (lambda: DiscreteHMCGibbs(NUTS(observed)), (), "no latent site: its sample sites, 'y', are all observed"),
    (lambda: MixedHMC(HMC(observed)), (), "no latent site: its sample sites, 'y', are all observed"),
    (lambda: MixedHMC(HMC(counts_model)), (), "no site is left for HMC: .* use DiscreteGibbs"),
    (lambda: NUTS(counts_model), (), r"are discrete.*by DiscreteGibbs\(model\), since no latent site is continuous"),
    (lambda: NUTS(unbounded), (), "'k' are discrete.*function of your own in HMCGibbs .*since 'k' cannot be updated"),
    (lambda: DiscreteHMCGibbs(NUTS(unbounded)), (), "site 'k' has no finite support: Poisson .* HMCGibbs"),
    (lambda: DiscreteHMCGibbs(NUTS(bounded)), (1.0,), "support of site 'x' depends on 'n' of another block"),
    (
        lambda: DiscreteHMCGibbs(NUTS(subsampled)),
        (),
        "the plates 'rows'.* no kernel samples discrete sites, 'c'",
    ),
    (lambda: HMCGibbs(NUTS(subsampled_normal), update_x, ["x"]), (), "subsamples the plates 'rows'.* Use HMCECS"),
    (lambda: HMCGibbs(NUTS(two_normals), update_x, ["w"]), (1.0,), "has the site 'w', but the model has no such site"),
    (lambda: HMCGibbs(NUTS(two_normals), update_x, ["y"]), (1.0,), "site 'y', but it is observed"),
    (lambda: HMCGibbs(NUTS(mixture), update_x, ["x"]), MIXTURE, "NUTS cannot update the discrete sites 'c'"),
    (lambda: HMCGibbs(NUTS(two_normals), lambda **_: {"z": 1.0}, ["x"]), (1.0,), "left out 'x'; it returned also 'z'"),
    (lambda: HMCGibbs(NUTS(two_normals), lambda **_: {"x": np.ones(3)}, ["x"]), (1.0,), r"shape \(3,\) for site 'x'"),
    (lambda: HMCGibbs(NUTS(two_normals), lambda **_: 3, ["x"]), (1.0,), "must return a dict .* but it returned int"),
    (lambda: Gibbs([(NUTS(two_normals), ["x"])]), (1.0,), "latent sites 'z' are in no block"),
    (lambda: Gibbs([(NUTS(two_normals), ["x"]), (HMC(two_normals), ["x", "z"])]), (1.0,), "'x' is in two blocks"),
    (lambda: Gibbs([(DiscreteGibbs(two_normals), ["x"]), (HMC(two_normals), None)]), (1.0,), "'x': they are not disc"),
]


@pytest.mark.parametrize(("make", "args", "message"), REFUSED, ids=range(len(REFUSED)))
def test_models_and_blocks_that_do_not_fit_are_refused(make, args, message):
    mcmc = MCMC(make(), num_warmup=1, num_samples=1, progress_bar=False)
    with pytest.raises(ValueError, match=message):
        mcmc.run(KEY, *args)


def test_kernels_that_do_not_go_together_are_refused():
    for blocks, message in (
        ([], "needs at least one block"),
        ([(CustomGibbs(update_x), ["x"])], "no block knows the model"),
        ([(NUTS(two_normals), None), (HMC(two_normals), None)], "only one block may have None"),
        ([(NUTS(two_normals), None), (DiscreteGibbs(mixture), ["c"])], "different models"),
        ([(NUTS(potential_fn=lambda z: z**2), None)], r"write NUTS\(model\)"),
        ([("NUTS", None)], "'NUTS' is no kernel"),
        ([(CustomGibbs(update_x), "x"), (NUTS(two_normals), None)], r"CustomGibbs must be a list .* Write \['x'\]"),
    ):
        with pytest.raises(ValueError, match=message):
            Gibbs(blocks)
    with pytest.raises(ValueError, match=r"is called as gibbs_fn\(rng_key=.* its signature is \(key, sites\)"):
        HMCGibbs(NUTS(two_normals), lambda key, sites: sites, ["x"])
    with pytest.raises(ValueError, match="must be HMC, but it is NUTS"):
        MixedHMC(NUTS(mixture))
    with pytest.raises(ValueError, match="`num_discrete_updates` must be at least 1"):
        MixedHMC(HMC(mixture), num_discrete_updates=0)
    with pytest.raises(ValueError, match="`gibbs_sites` must be a list of names"):
        HMCGibbs(NUTS(two_normals), update_x, "x")
    with pytest.raises(ValueError, match=r"DiscreteHMCGibbs\(HMC\(model\), ...\)"):
        DiscreteHMCGibbs(HMC(potential_fn=lambda z: z**2))


def test_starts_that_do_not_fit_are_refused():
    kernel = DiscreteHMCGibbs(NUTS(mixture))
    with pytest.raises(ValueError, match="values for 'w', but the latent sites are 'c', 'x'"):
        kernel.init(KEY, 1, {"w": 1.0}, MIXTURE, {})
    with pytest.raises(ValueError, match="none for 'z'"):
        Gibbs([(NUTS(two_normals), None)]).init(KEY, 1, {"x": 1.0}, (1.0,), {})


def test_a_density_that_is_zero_everywhere_is_reported():
    def model():
        c = numpyro.sample("c", dist.Bernoulli(0.5))
        numpyro.factor("never", jnp.where(c >= 0, -jnp.inf, 0.0))

    mcmc = MCMC(DiscreteGibbs(model), num_warmup=1, num_samples=1, progress_bar=False)
    with pytest.raises(RuntimeError, match="Cannot find valid initial values of 'c'"):
        mcmc.run(KEY)

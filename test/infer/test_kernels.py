# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What every kernel of a model or a potential energy has in common: BarkerMH, SA, AIES and ESS."""

from __future__ import annotations

import inspect
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
import pytest
from scipy import stats

import numpyro
from numpyro import infer
from numpyro.contrib.control_flow import scan
from numpyro.diagnostics import effective_sample_size
import numpyro.distributions as dist
from numpyro.infer import AIES, ESS, MCMC, NUTS, SA, BarkerMH, init_to_value
from numpyro.infer.kernel import MCMCKernel

KEY = jax.random.PRNGKey(0)
Y = np.array([1.0, 2.0, 0.5, 1.5])


class Count:
    """A counter without visible state: what a model reads from outside is part of the key of its programs."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0


traced = Count()


def model(y):
    traced.number += 1
    mu = numpyro.sample("mu", dist.Normal(0.0, 3.0))
    tau = numpyro.sample("tau", dist.HalfNormal(2.0))
    numpyro.deterministic("double", 2 * mu)
    numpyro.sample("y", dist.Normal(mu, tau), obs=y)


ALL_KERNELS = [
    kernel
    for kernel in (getattr(infer, name) for name in infer.__all__)
    if isinstance(kernel, type) and issubclass(kernel, MCMCKernel) and not inspect.isabstract(kernel)
]


@pytest.mark.parametrize("kernel", ALL_KERNELS)
def test_a_kernel_says_what_it_takes_where_it_comes_from_and_how_it_is_used(kernel):
    text = inspect.getdoc(kernel)
    assert re.search(r"\*\*(Source|Reference)s?:\*\*", text) and ">>> mcmc.run(" in text
    parameters = set(inspect.signature(kernel).parameters)
    if kernel is NUTS:
        assert "parameters are those of :class:`HMC`" in text
        parameters -= set(inspect.signature(infer.HMC).parameters)
    assert set(re.findall(r":param (\w+):", text)) >= parameters


KERNELS = {"BarkerMH": BarkerMH, "SA": SA, "AIES": AIES, "ESS": ESS}


def make(kernel, **settings):
    settings = {"num_warmup": 20, "num_samples": 20, "progress_bar": False} | settings
    if kernel.is_ensemble_kernel:
        settings = {"num_chains": 6, "chain_method": "vectorized"} | settings
    return MCMC(kernel, **settings)


@pytest.fixture(scope="module", params=KERNELS.values(), ids=list(KERNELS))
def mcmc(request):
    """One run of each kernel, so that its compiled programs are shared."""
    mcmc = make(request.param(model), num_samples=21, thinning=2)
    mcmc.run(KEY, Y, extra_fields=("z.tau", "~z.double", "potential_energy"))
    return mcmc


def test_draws_are_constrained_and_thinned(mcmc):
    draws, extra = mcmc.get_samples(group_by_chain=True), mcmc.get_extra_fields(group_by_chain=True)
    assert set(draws) == {"mu", "tau"}
    assert draws["mu"].shape == (mcmc.num_chains, 10)
    assert_allclose(np.exp(extra["z.tau"]), draws["tau"], rtol=1e-5)
    log_joint = stats.norm(0, 3).logpdf(draws["mu"]) + stats.halfnorm(0, 2).logpdf(draws["tau"])
    likelihood = stats.norm(draws["mu"][..., None], draws["tau"][..., None]).logpdf(Y).sum(-1)
    assert_allclose(extra["potential_energy"], -log_joint - likelihood - extra["z.tau"], rtol=1e-4)
    assert mcmc.sampler.get_diagnostics_str(mcmc.last_state)


def test_a_run_is_compiled_once_for_all_data_of_a_shape(mcmc):
    """Nothing is traced again, and the draws are those of the data, whether or not a program was there before."""
    before, count = np.asarray(mcmc.get_samples()["mu"]), traced.number
    mcmc.run(KEY, Y + 10, extra_fields=("z.tau", "~z.double", "potential_energy"))
    assert not np.allclose(before, mcmc.get_samples()["mu"])
    mcmc.run(KEY, Y, extra_fields=("z.tau", "~z.double", "potential_energy"))
    assert traced.number == count
    assert_array_equal(before, mcmc.get_samples()["mu"])


def test_a_run_goes_on_from_a_state_and_takes_new_data_in(mcmc):
    fields = ("z.tau", "~z.double", "potential_energy")
    copy = pickle.loads(pickle.dumps(mcmc))
    assert_array_equal(copy.get_samples()["mu"], mcmc.get_samples()["mu"])
    runs = []
    for key, y in ((1, Y), (1, Y), (2, Y), (1, Y + 0.5)):
        copy.post_warmup_state = mcmc.last_state
        copy.run(jax.random.PRNGKey(key), y, extra_fields=fields)
        runs.append(np.asarray(copy.get_samples()["mu"]))
    assert_array_equal(runs[0], runs[1])
    assert not np.allclose(runs[0], runs[2])
    draws, extra = copy.get_samples(), copy.get_extra_fields()
    likelihood = stats.norm(draws["mu"][:, None], draws["tau"][:, None]).logpdf(Y + 0.5).sum(-1)
    prior = stats.norm(0, 3).logpdf(draws["mu"]) + stats.halfnorm(0, 2).logpdf(draws["tau"]) + extra["z.tau"]
    assert_allclose(extra["potential_energy"], -prior - likelihood, rtol=1e-4)


def test_starts_without_a_finite_density_are_refused(mcmc):
    kernel = mcmc.sampler
    with pytest.raises(RuntimeError, match=r"(?s)none of 100 candidates.*'y'.*1 NaN"):
        make(kernel).run(KEY, np.array([1.0, np.nan, 2.0, 0.0]))
    lead = (6,) if kernel.is_ensemble_kernel else ()
    start = {"mu": np.full(lead, np.inf), "tau": np.zeros(lead)}
    with pytest.raises(RuntimeError, match=r"(?s)`init_params` is no point"):
        make(kernel).run(KEY, Y, init_params=start)
    with pytest.raises(ValueError, match="must look like the unconstrained parameters"):
        make(kernel).run(KEY, Y, init_params={"mu": np.zeros(lead)})


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=list(KERNELS))
def test_what_a_kernel_cannot_sample_is_refused(kernel):
    with pytest.raises(ValueError, match=f"you gave neither. Write {kernel.__name__}"):
        kernel()
    with pytest.raises(ValueError, match="`init_params` must be provided with `potential_fn`"):
        make(kernel(potential_fn=lambda z: z**2)).run(KEY)
    with pytest.raises(ValueError, match=r"'k' are discrete.*by DiscreteGibbs\(model\)"):
        make(kernel(lambda: numpyro.sample("k", dist.Bernoulli(0.5)))).run(KEY)
    with pytest.raises(ValueError, match="no latent site: its sample sites, 'y', are all observed"):
        make(kernel(lambda: numpyro.sample("y", dist.Normal(0.0, 1.0), obs=0.5))).run(KEY)


def test_a_model_may_need_the_values_of_its_data():
    def branching(y):
        scale = 1.0 if y.sum() > 0 else 10.0
        mu = numpyro.sample("mu", dist.Normal(0.0, scale))
        numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    mcmc = make(BarkerMH(branching), num_warmup=200, num_samples=400)
    means = []
    for y in (Y, -Y):
        mcmc.run(KEY, y)
        means.append(float(mcmc.get_samples()["mu"].mean()))
    assert means[0] > 0.5 and means[1] < -0.8


# What the chains converge to


def assert_moments(draws, mean, covariance, sds=5.0):
    """Mean, second moments and quartiles of draws ``(chains, draws, size)`` of a normal distribution, within so many
    Monte Carlo standard errors."""
    draws = np.asarray(draws, np.float64)
    deviations = draws - mean
    outer = deviations[..., :, None] * deviations[..., None, :]
    statistics = [(draws, mean), (outer, covariance)]
    for q in (0.1, 0.5, 0.9):
        bound = stats.norm(mean, np.sqrt(np.diag(covariance))).ppf(q)
        statistics.append(((draws < bound).astype(float), np.full(len(mean), q)))
    for values, expected in statistics:
        ess = effective_sample_size(values)
        assert np.all(ess > 150), ess
        error = values.std((0, 1)) / np.sqrt(ess)
        assert np.max(np.abs(values.mean((0, 1)) - expected) / error) < sds


LOC = np.array([1.0, -2.0, 0.3])
COVARIANCE = np.array([[1.0, 0.7, 0.0], [0.7, 1.0, 0.02], [0.0, 0.02, 0.01]])
PRECISION = np.linalg.inv(COVARIANCE)


def energy(z):
    x = jnp.concatenate([z["a"], z["b"][None]]) - LOC
    return 0.5 * x @ PRECISION @ x


GAUSSIAN = {
    "BarkerMH": (BarkerMH, {}, 4, 4000),
    "BarkerMH dense": (BarkerMH, {"dense_mass": [("a", "b")]}, 4, 4000),
    "SA": (SA, {"adapt_state_size": 12}, 4, 4000),
    "SA diagonal": pytest.param(SA, {"adapt_state_size": 12, "dense_mass": False}, 4, 4000, marks=pytest.mark.slow),
    "AIES": (AIES, {}, 12, 2000),
    "AIES stretch": pytest.param(
        AIES, {"moves": {AIES.StretchMove(): 1.0}, "randomize_split": True}, 12, 4000, marks=pytest.mark.slow
    ),
    "ESS": (ESS, {}, 12, 1000),
    "ESS moves": (ESS, {"moves": {ESS.GaussianMove(): 1, ESS.KDEMove("silverman"): 1, ESS.RandomMove(): 1}}, 12, 1000),
}


@pytest.mark.parametrize("kernel, settings, num_chains, num_samples", GAUSSIAN.values(), ids=list(GAUSSIAN))
def test_a_correlated_normal_distribution_is_sampled(kernel, settings, num_chains, num_samples):
    mcmc = make(
        kernel(potential_fn=energy, **settings),
        num_warmup=1000,
        num_samples=num_samples,
        num_chains=num_chains,
        chain_method="vectorized",
    )
    start = np.random.default_rng(0).normal(size=(num_chains, 3))
    mcmc.run(KEY, init_params={"a": start[:, :2], "b": start[:, 2]})
    draws = mcmc.get_samples(group_by_chain=True)
    assert_moments(np.concatenate([draws["a"], draws["b"][..., None]], -1), LOC, COVARIANCE)


def series(y, length):
    """An autoregression for each of two groups, with a positive scale and a simplex in common."""
    scale = numpyro.sample("scale", dist.LogNormal(-1.0, 0.3))
    share = numpyro.sample("share", dist.Dirichlet(jnp.ones(2)))

    def step(carry, y_t):
        with numpyro.plate("groups", 2):
            x = numpyro.sample("x", dist.Normal(0.5 * carry, scale))
            numpyro.sample("y", dist.Normal(x + share[0], 0.5), obs=y_t)
        return x, None

    scan(step, jnp.zeros(2), y, length=length)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS.values(), ids=list(KERNELS))
def test_a_model_with_scan_plates_and_constraints_is_sampled(kernel):
    """Means and standard deviations agree with NUTS's."""
    y = np.random.default_rng(0).normal(0.5, 0.7, size=(3, 2))
    settings = {"num_warmup": 20_000, "num_samples": 20_000, "num_chains": 4, "chain_method": "vectorized"}
    if issubclass(kernel, AIES | ESS):
        settings |= {"num_warmup": 5000, "num_samples": 5000, "num_chains": 40}
    runs = []
    for sampler, own in ((kernel(series), settings), (NUTS(series), settings | {"num_warmup": 1000, "num_chains": 4})):
        mcmc = make(sampler, **own)
        mcmc.run(KEY, y, 3)
        draws = {k: np.asarray(v, np.float64) for k, v in mcmc.get_samples(group_by_chain=True).items()}
        runs.append(draws | {f"{name}^2": draw**2 for name, draw in draws.items()})
    assert runs[0]["x"].shape[2:] == (3, 2)
    for name in runs[0]:
        errors = [draws[name].std((0, 1)) / np.sqrt(effective_sample_size(draws[name])) for draws in runs]
        difference = runs[0][name].mean((0, 1)) - runs[1][name].mean((0, 1))
        assert np.max(np.abs(difference) / np.hypot(*errors)) < 5, name


# The kernels' own


@pytest.mark.parametrize("dense", [False, True])
def test_barkers_acceptance_probability_comes_near_its_target(dense):
    kernel = BarkerMH(potential_fn=lambda z: 0.5 * jnp.sum((z / jnp.arange(1, 6)) ** 2), dense_mass=dense)
    mcmc = make(kernel, num_warmup=1000, num_samples=1000, num_chains=8, chain_method="vectorized")
    mcmc.run(KEY, init_params=np.ones((8, 5)))
    assert abs(float(mcmc.last_state.mean_accept_prob.mean()) - 0.4) < 0.07
    covariance = np.asarray(mcmc.last_state.adapt_state.inverse_mass_matrix)
    variances = np.diagonal(covariance, axis1=1, axis2=2) if dense else covariance
    assert_allclose(np.median(variances, 0), np.arange(1, 6) ** 2, rtol=0.5)


def test_all_methods_draw_the_same_chains():
    draws = []
    for method in ("sequential", "vectorized"):
        mcmc = make(BarkerMH(model), num_warmup=4, num_samples=4, num_chains=2, chain_method=method)
        mcmc.run(KEY, Y)
        draws.append(mcmc.get_samples()["mu"])
    assert_allclose(draws[0], draws[1], rtol=1e-3)


@pytest.mark.parametrize("dense", [False, True])
def test_each_point_is_weighed_by_the_distribution_of_the_others(dense):
    program = SA(potential_fn=lambda z: jnp.sum(z**2), adapt_state_size=7, dense_mass=dense).program(0, (), {}, LOC)[0]
    points = np.random.default_rng(0).normal(size=(8, 3)) @ np.array([[1.0, 0, 0], [2.0, 1.0, 0], [0, 0, 3.0]])
    expected = []
    for n in range(8):
        others = np.delete(points, n, 0)
        covariance = np.cov(others.T) if dense else np.diag(others.var(0, ddof=1))
        expected.append(stats.multivariate_normal(others.mean(0), covariance).logpdf(points[n]))
    computed = program.log_proposal_densities(jnp.asarray(points, jnp.float32))
    assert_allclose(computed - computed[0], np.array(expected) - expected[0], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    "make_kernel, message",
    [
        (lambda: BarkerMH(model, step_size=0.0), "`step_size` must be positive"),
        (lambda: BarkerMH(model, target_accept_prob=1.0), "`target_accept_prob` must lie strictly between"),
        (lambda: SA(model, adapt_state_size=2), "`adapt_state_size` must be at least 3"),
        (lambda: SA(model, dense_mass=[("mu",)]), "without blocks of sites"),
    ],
)
def test_settings_out_of_range_are_refused(make_kernel, message):
    with pytest.raises(ValueError, match=message):
        make_kernel()


def test_too_few_points_for_a_dense_covariance_are_refused():
    with pytest.raises(ValueError, match="`adapt_state_size` is 3, but there are 2 latent parameters"):
        make(SA(model, adapt_state_size=3)).run(KEY, Y)


def test_init_to_value_starts_there():
    kernel = BarkerMH(model, step_size=1e-6, adapt_step_size=False, init_strategy=init_to_value(values={"mu": 1.5}))
    mcmc = make(kernel, num_warmup=0, num_samples=1)
    mcmc.run(KEY, Y)
    assert_allclose(mcmc.get_samples()["mu"], 1.5, atol=1e-4)

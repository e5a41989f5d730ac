# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What a run says about itself."""

from __future__ import annotations

from types import SimpleNamespace
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
from numpyro.diagnostics import DiagnosticWarning, enable_diagnostic_warnings
import numpyro.distributions as dist
from numpyro.infer import HMC, HMCECS, MCMC, NUTS, DiscreteHMCGibbs, MixedHMC
from numpyro.infer.convergence import diagnose

KEY = jax.random.PRNGKey(0)


def funnel():
    v = numpyro.sample("v", dist.Normal(0.0, 3.0))
    numpyro.sample("x", dist.Normal(jnp.zeros(9), jnp.exp(v / 2)).to_event(1))


def gaussian():
    x = numpyro.sample("x", dist.Normal(jnp.zeros(3), 1.0).to_event(1))
    numpyro.deterministic("noise", jnp.arange(3.0) + 0 * x)


def run(model, num_samples=400, kernel=NUTS, **settings):
    mcmc = MCMC(kernel(model, **settings), num_warmup=200, num_samples=num_samples, progress_bar=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mcmc.run(KEY)
    return mcmc, [str(w.message) for w in caught if issubclass(w.category, DiagnosticWarning)]


@pytest.fixture(scope="module")
def neal():
    return run(funnel, max_tree_depth=3)


def test_a_run_of_a_funnel_warns_of_all_that_is_wrong(neal):
    mcmc, messages = neal
    starts = ["E-BFMI is below 0.3 in the chain", "r_hat is above 1.01 for", "bulk ESS is below 100 for"]
    for start in starts:
        assert any(message.startswith(start) for message in messages), messages
    assert any("cut off at max_tree_depth=3" in message for message in messages), messages
    assert mcmc.diagnose() == messages
    assert not any("\n" in message for message in messages)


def test_steps_that_are_too_long_diverge_and_leave_the_tails_uncertain():
    settings = {"step_size": 1.0, "adapt_step_size": False, "max_tree_depth": 6}
    messages = run(funnel, num_samples=1000, **settings)[1]
    starts = [" of 1000 trajectories diverged: the draws miss", "tail ESS is below 100 for"]
    for start in starts:
        assert any(start in message for message in messages), messages


def test_a_run_that_stands_still_says_so():
    messages = run(gaussian, kernel=HMC, step_size=1e3, num_steps=1, trajectory_length=None, adapt_step_size=False)[1]
    assert any(message.startswith("The chain hardly ever moved: the step size or the start") for message in messages)


def funnel_with_a_coin():
    funnel()
    numpyro.sample("coin", dist.Bernoulli(0.5))


def rows_of_a_funnel():
    funnel()
    with numpyro.plate("rows", 4, subsample_size=2):
        numpyro.sample("y", dist.Normal(0.0, 1.0), obs=jnp.zeros(2))


@pytest.mark.parametrize(
    "kernel, model",
    [(lambda model, **settings: DiscreteHMCGibbs(NUTS(model, **settings)), funnel_with_a_coin),
     (lambda model, **settings: HMCECS(NUTS(model, **settings)), rows_of_a_funnel)],
    ids=["DiscreteHMCGibbs", "HMCECS"],
)  # fmt: skip
def test_trajectories_within_other_kernels_are_looked_at_too(kernel, model):
    settings = {"step_size": 0.7, "adapt_step_size": False, "max_tree_depth": 2}
    mcmc, messages = run(model, num_samples=1000, kernel=kernel, **settings)
    for part in (" of 1000 trajectories diverged", "target_accept_prob (it is 0.8)", "cut off at max_tree_depth=2"):
        assert any(part in message for message in messages), messages
    assert set(mcmc.get_extra_fields()) == {"diverging"}


def test_the_trajectories_of_mixed_hmc_are_looked_at_too():
    kernel = lambda model, **settings: MixedHMC(HMC(model, **settings))
    settings = {"step_size": 2.0, "adapt_step_size": False, "trajectory_length": 10.0}
    messages = run(funnel_with_a_coin, kernel=kernel, **settings)[1]
    assert any("trajectories diverged" in message for message in messages), messages


def test_fields_that_are_collected_for_it_are_not_shown(neal):
    assert set(neal[0].get_extra_fields()) == {"diverging"}


def test_a_good_run_is_silent():
    mcmc, messages = run(gaussian, num_samples=1000)
    assert messages == []
    assert mcmc.diagnose() == []


def test_short_runs_are_silent():
    assert run(funnel, num_samples=99)[1] == []


def test_one_setting_silences(neal):
    mcmc = neal[0]
    enable_diagnostic_warnings(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            mcmc.run(KEY)
    finally:
        enable_diagnostic_warnings()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=DiagnosticWarning)
        with pytest.raises(DiagnosticWarning):
            mcmc.run(KEY)
    assert mcmc.get_samples()["v"].shape == (400,)


# The single checks, on draws that are made by hand

RANDOM = np.random.default_rng(0)
GOOD = {"z": {"x": RANDOM.normal(size=2000)}}


def kernel(**attributes):
    fields = ("diverging", "energy", "num_steps")
    return SimpleNamespace(sample_field="z", diagnostic_fields=fields, **attributes)


def messages(states, chains=4, thinning=1, **attributes):
    return diagnose(kernel(**attributes), GOOD | states, chains, thinning)


def test_good_draws_have_nothing_against_them():
    energy = RANDOM.normal(size=2000)
    num_steps = np.full(2000, 1023)
    num_steps[20:] = 7
    assert messages({"diverging": np.zeros(2000, bool), "energy": energy, "num_steps": num_steps}) == []


def test_divergences_are_counted():
    diverging = np.zeros(2000, bool)
    diverging[[3, 1000]] = True
    (message,) = messages({"diverging": diverging}, target_accept_prob=0.9)
    assert message.startswith("2 of 2000 trajectories diverged") and "target_accept_prob (it is 0.9)" in message


def test_trajectories_that_were_cut_off_are_counted():
    num_steps = np.full(2000, 31)
    num_steps[:1800] = 15
    (message,) = messages({"num_steps": num_steps}, max_tree_depth=(10, 5))
    assert message.startswith("10% of the trajectories were cut off at max_tree_depth=5")
    assert messages({"num_steps": num_steps}, max_tree_depth=(5, 6)) == []
    assert messages({"num_steps": num_steps}) == []


def test_energies_that_hardly_change_are_named_by_chain_but_not_if_thinned():
    energy = RANDOM.normal(size=(4, 500))
    energy[2] = np.cumsum(energy[2])
    (message,) = messages({"energy": energy.ravel()})
    assert message.startswith("E-BFMI is below 0.3 in chain 2 (smallest: 0.0")
    assert messages({"energy": energy.ravel()}, thinning=2) == []


def test_a_chain_that_does_not_move_is_named():
    x = RANDOM.normal(size=(4, 500))
    x[1] = 0.5
    found = messages({"z": {"x": x.ravel()}})
    assert found[0].startswith("Chain 1 hardly ever moved")


def test_scalars_are_named_by_site_and_index():
    x = RANDOM.normal(size=(2, 500, 2, 3))
    x[1, :, 1, 2] += 9
    found = messages({"z": {"good": RANDOM.normal(size=1000), "bad": x.reshape(1000, 2, 3)}}, chains=2)
    assert found[0].startswith("r_hat is above 1.01 for bad[1,2] (1.8")
    assert found[1].startswith("bulk ESS is below 200 for bad[1,2] (")
    assert messages({"z": (RANDOM.normal(size=1000), x[..., 1, 2].ravel())}, chains=2)[0].startswith(
        "r_hat is above 1.01 for Param:1 ("
    )


def test_the_work_is_bounded_and_small_sites_are_looked_at_whole(monkeypatch):
    sizes = []

    def look(x):
        sizes.append(x.size)
        return rank_statistics(x)

    rank_statistics = numpyro.infer.convergence.rank_statistics
    monkeypatch.setattr(numpyro.infer.convergence, "rank_statistics", look)
    small = RANDOM.normal(size=(2, 2000, 5)).astype(np.float32)
    small[1, :, 3] += 9
    states = {"z": {"large": RANDOM.normal(size=(4000, 1000)).astype(np.float32), "small": small.reshape(-1, 5)}}
    found = messages(states, chains=2)
    assert any("small[3]" in message for message in found)
    assert sizes[0] <= 130_000


def test_constant_and_infinite_draws_raise_nothing():
    constant = np.ones(2000)
    odd = np.where(np.arange(2000) == 7, np.inf, RANDOM.normal(size=2000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = messages({"z": {"a": constant, "odd": odd, "k": RANDOM.integers(0, 2, size=2000)}})
    assert found == []

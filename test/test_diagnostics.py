# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Diagnostics against their formulas, written as loops, and against ArviZ."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose
import pytest

from numpyro.diagnostics import (
    autocorrelation,
    autocovariance,
    bayesian_fraction_of_missing_information,
    bulk_effective_sample_size,
    effective_sample_size,
    gelman_rubin,
    hpdi,
    print_summary,
    rank_normalized_gelman_rubin,
    rank_statistics,
    split_gelman_rubin,
    summary,
    tail_effective_sample_size,
)

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def each_test_draws_by_itself():
    global RANDOM
    RANDOM = np.random.default_rng(0)


def autoregressive(chains, draws, coefficient, event_shape=()):
    """A stationary AR(1) process with unit variance."""
    noise = RANDOM.normal(size=(chains, draws, *event_shape))
    x = np.empty_like(noise)
    x[:, 0] = noise[:, 0]
    for t in range(1, draws):
        x[:, t] = coefficient * x[:, t - 1] + np.sqrt(1 - coefficient**2) * noise[:, t]
    return x


def autocovariance_by_loops(x, bias):
    n = len(x)
    centred = x - x.mean()
    return np.array([(centred[: n - k] * centred[k:]).sum() / (n if bias else n - k) for k in range(n)])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n", [2, 7, 64, 101])
def test_autocovariance_is_the_sum_of_lagged_products(n, bias):
    x = RANDOM.normal(size=n)
    expected = autocovariance_by_loops(x, bias)
    assert_allclose(autocovariance(x, bias=bias), expected, atol=1e-12)
    assert_allclose(autocorrelation(x, bias=bias), expected / expected[0], atol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_autocorrelation_acts_along_one_axis(axis):
    x = RANDOM.normal(size=(5, 6, 7))
    expected = np.apply_along_axis(lambda s: autocovariance_by_loops(s, True) / s.var(), axis, x)
    assert_allclose(autocorrelation(x, axis=axis), expected, atol=1e-12)


def test_a_constant_series_has_autocorrelation_one():
    assert_allclose(autocorrelation(np.full(9, 3.5)), np.ones(9))


def test_integers_have_real_autocovariances():
    x = RANDOM.integers(0, 9, size=30)
    assert_allclose(autocovariance(x), autocovariance_by_loops(x.astype(float), True), atol=1e-12)


def test_single_precision_stays_single():
    assert autocorrelation(np.float32([1, 2, 4])).dtype == np.float32


@pytest.mark.parametrize("event_shape", [(), (3,), (2, 2)])
def test_gelman_rubin_is_the_formula_of_the_book(event_shape):
    x = autoregressive(4, 50, 0.5, event_shape) + np.arange(4).reshape((4,) + (1,) * (1 + len(event_shape)))
    between = 50 * x.mean(1).var(0, ddof=1)
    within = x.var(1, ddof=1).mean(0)
    expected = np.sqrt(((49 / 50) * within + between / 50) / within)
    assert gelman_rubin(x).shape == event_shape
    assert_allclose(gelman_rubin(x), expected)


@pytest.mark.parametrize("draws", [4, 5, 50, 51])
def test_split_gelman_rubin_compares_the_halves(draws):
    x = RANDOM.normal(size=(3, draws, 2))
    half = draws // 2
    halves = np.concatenate([x[:, :half], x[:, draws - half :]])
    assert_allclose(split_gelman_rubin(x), gelman_rubin(halves))


def test_only_the_split_version_sees_a_common_drift():
    x = RANDOM.normal(size=(4, 200)) + np.linspace(0, 5, 200)
    assert gelman_rubin(x) < 1.1
    assert split_gelman_rubin(x) > 1.3


def test_effective_sample_size_of_an_autoregressive_process():
    """The asymptotic variance of the mean of an AR(1) process is (1 + c)/(1 - c) times that of independent draws."""
    for coefficient in (0.0, 0.5, 0.9):
        x = autoregressive(4, 20000, coefficient)
        expected = x.size * (1 - coefficient) / (1 + coefficient)
        assert_allclose(effective_sample_size(x), expected, rtol=0.1)


def test_antithetic_draws_count_for_more_but_not_without_bound():
    x = autoregressive(2, 500, -0.5)
    assert 1.5 * x.size < effective_sample_size(x) <= x.size * np.log10(x.size)
    alternating = np.tile([1.0, -1.0], (2, 50)) + 1e-3 * RANDOM.normal(size=(2, 100))
    assert_allclose(effective_sample_size(alternating), 200 * np.log10(200))


def test_chains_that_disagree_are_worth_little():
    x = RANDOM.normal(size=(2, 500)) + np.array([[0.0], [10.0]])
    assert effective_sample_size(x) < 5


@pytest.mark.parametrize("bias", [True, False])
def test_one_chain_is_enough_for_the_effective_sample_size(bias):
    x = autoregressive(1, 5000, 0.7)
    assert_allclose(effective_sample_size(x, bias=bias), 5000 * 0.3 / 1.7, rtol=0.2)


def test_event_dimensions_are_independent():
    x = autoregressive(2, 200, 0.6, (3, 2))
    for statistic in (gelman_rubin, split_gelman_rubin, effective_sample_size):
        whole = statistic(x)
        assert whole.shape == (3, 2)
        assert_allclose(whole[2, 1], statistic(x[:, :, 2, 1]))


def test_statistics_of_constant_draws_are_undefined():
    x = np.ones((2, 10))
    assert np.isnan(effective_sample_size(x))
    assert np.isnan(gelman_rubin(x))


def test_chains_that_are_stuck_at_different_values_do_not_agree():
    x = np.stack([np.zeros(10), np.ones(10)])
    assert gelman_rubin(x) == np.inf


@pytest.mark.parametrize("prob", [0.1, 0.5, 0.9])
def test_hpdi_is_the_narrowest_interval_with_the_mass(prob):
    x = RANDOM.gamma(2, size=300)
    low, high = hpdi(x, prob)
    span = int(prob * len(x))
    ordered = np.sort(x)
    assert high - low == pytest.approx(min(ordered[i + span] - ordered[i] for i in range(len(x) - span)))
    assert np.mean((x >= low) & (x <= high)) >= prob


def test_hpdi_replaces_the_axis_of_the_draws():
    x = RANDOM.normal(size=(4, 100, 3))
    result = hpdi(x, 0.8, axis=1)
    assert result.shape == (4, 2, 3)
    assert_allclose(result[2, :, 1], hpdi(x[2, :, 1], 0.8))


def test_hpdi_of_skewed_draws_begins_at_the_mode():
    x = RANDOM.exponential(size=20000)
    assert_allclose(hpdi(x, 0.9), [0.0, -np.log(0.1)], atol=0.1)


@pytest.mark.parametrize("chains, draws", [(2, 100), (4, 50), (3, 51)])
def test_agreement_with_arviz(chains, draws):
    arviz = pytest.importorskip("arviz")
    x = autoregressive(chains, draws, 0.4)
    assert_allclose(split_gelman_rubin(x), arviz.rhat(x, method="split"), rtol=1e-6)
    half = draws // 2
    halves = np.concatenate([x[:, :half], x[:, draws - half :]])
    assert_allclose(effective_sample_size(halves), arviz.ess(x, method="mean"), rtol=0.05)
    assert_allclose(hpdi(x.ravel(), 0.8), arviz.hdi(x.ravel(), hdi_prob=0.8), rtol=1e-6)


@pytest.mark.parametrize("chains, draws, coefficient", [(4, 250, 0.6), (2, 101, 0.3), (3, 64, -0.5), (1, 300, 0.9)])
@pytest.mark.parametrize("ties", [False, True])
def test_statistics_of_ranks_agree_with_arviz(chains, draws, coefficient, ties):
    arviz = pytest.importorskip("arviz")
    x = np.exp(autoregressive(chains, draws, coefficient))
    if ties:
        x = x.round(1)
    if chains > 1:
        assert_allclose(rank_normalized_gelman_rubin(x), arviz.rhat(x, method="rank"), rtol=1e-9)
    assert_allclose(bulk_effective_sample_size(x), arviz.ess(x, method="bulk"), rtol=1e-6)
    assert_allclose(tail_effective_sample_size(x), arviz.ess(x, method="tail"), rtol=1e-6)
    assert_allclose(bayesian_fraction_of_missing_information(x), arviz.bfmi(x), rtol=1e-9)


def test_ranks_see_what_means_do_not():
    """Chains that differ in scale alone, and chains with infinite variance that differ in location."""
    scale = RANDOM.normal(size=(4, 500)) * np.array([[1.0], [1.0], [1.0], [3.0]])
    cauchy = RANDOM.standard_cauchy(size=(4, 500)) + np.array([[0.0], [0.0], [0.0], [2.0]])
    for x in (scale, cauchy):
        assert split_gelman_rubin(x) < 1.01 < 1.05 < rank_normalized_gelman_rubin(x)


def test_statistics_of_ranks_do_not_change_under_increasing_functions():
    x = autoregressive(2, 200, 0.5)
    for statistic in (bulk_effective_sample_size, tail_effective_sample_size):
        assert_allclose(statistic(np.exp(3 * x)), statistic(x))


def test_statistics_of_ranks_together_are_those_one_by_one():
    x = autoregressive(2, 101, 0.5, (2, 3)).astype(np.float32)
    together = rank_statistics(x)
    assert_allclose(together["r_hat"], rank_normalized_gelman_rubin(x))
    assert_allclose(together["ess_bulk"], bulk_effective_sample_size(x))
    assert_allclose(together["ess_tail"], tail_effective_sample_size(x))
    assert_allclose(together["ess_tail"][1, 2], tail_effective_sample_size(x[:, :, 1, 2]))
    constant = rank_statistics(np.full((2, 20), 3))
    assert all(np.isnan(value) for value in constant.values())


@pytest.mark.parametrize(
    "function, shape, needed",
    [
        (rank_normalized_gelman_rubin, (2, 7), "num_samples >= 8"),
        (bulk_effective_sample_size, (100,), r"Write x\[None\]"),
        (tail_effective_sample_size, (2, 7), "num_samples >= 8"),
        (bayesian_fraction_of_missing_information, (3, 1), "at least two samples"),
        (gelman_rubin, (1, 10), "num_chains >= 2"),
        (gelman_rubin, (2, 1), "num_samples >= 2"),
        (split_gelman_rubin, (2, 3), "num_samples >= 4"),
        (effective_sample_size, (10,), r"Write x\[None\]"),
        (effective_sample_size, (3, 1), "num_samples >= 2"),
    ],
)
def test_too_few_chains_or_draws_are_refused(function, shape, needed):
    with pytest.raises(ValueError, match=rf"{function.__name__} needs .*{needed}"):
        function(np.zeros(shape))


@pytest.mark.parametrize("prob", [0.0, 1.0, -0.1, 90])
def test_hpdi_refuses_a_mass_that_is_no_probability(prob):
    with pytest.raises(ValueError, match="between 0 and 1"):
        hpdi(np.arange(10.0), prob)


def test_hpdi_refuses_an_empty_sample():
    with pytest.raises(ValueError, match="at least one draw"):
        hpdi(np.zeros((3, 0)), axis=1)


def test_summary_holds_the_statistics_of_each_site():
    samples = {"a": RANDOM.normal(size=(2, 50)), "b": RANDOM.normal(size=(2, 50, 3))}
    table = summary(samples, prob=0.8)
    assert list(table) == ["a", "b"]
    assert list(table["b"]) == ["mean", "std", "median", "10.0%", "90.0%", "n_eff", "r_hat"]
    pooled = samples["b"].reshape(100, 3)
    row = table["b"]
    assert_allclose(row["mean"], pooled.mean(0))
    assert_allclose(row["std"], pooled.std(0, ddof=1))
    assert_allclose(row["median"], np.median(pooled, 0))
    assert_allclose([row["10.0%"], row["90.0%"]], hpdi(pooled, 0.8))
    assert_allclose(row["n_eff"], effective_sample_size(samples["b"]))
    assert_allclose(row["r_hat"], split_gelman_rubin(samples["b"]))


def test_summary_without_chains_takes_the_draws_as_one_chain():
    x = RANDOM.normal(size=(50, 3))
    ungrouped, grouped = summary({"x": x}, group_by_chain=False), summary({"x": x[None]})
    assert list(grouped["x"]) == list(ungrouped["x"])
    for name, value in grouped["x"].items():
        assert_allclose(ungrouped["x"][name], value)


def test_summary_of_another_pytree_numbers_the_leaves():
    assert list(summary((np.zeros((1, 9)), np.ones((1, 9))))) == ["Param:0", "Param:1"]


def test_summary_of_few_draws_leaves_out_what_they_cannot_tell():
    row = summary({"x": np.ones((1, 1, 2))})["x"]
    assert np.isnan(row["n_eff"]).all() and np.isnan(row["r_hat"]).all() and np.isnan(row["std"]).all()
    assert_allclose(row["mean"], [1, 1])


def test_summary_of_truth_values_is_that_of_zeros_and_ones():
    x = RANDOM.random((2, 50)) < 0.3
    assert_allclose(summary({"x": x})["x"]["mean"], x.mean())


def test_print_summary_writes_one_row_for_each_scalar(capsys):
    print_summary({"mu": RANDOM.normal(5, 0.01, size=(2, 50)), "long_name": RANDOM.normal(size=(2, 50, 2, 2))})
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert lines[0].split() == ["mean", "std", "median", "5.0%", "95.0%", "n_eff", "r_hat"]
    labels = [line.split()[0] for line in lines[1:]]
    assert labels == ["mu"] + [f"long_name[{i},{j}]" for i in (0, 1) for j in (0, 1)]
    assert lines[1].split()[1] == "5.00"
    assert len({len(line) for line in lines}) == 1

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro.examples import datasets
from numpyro.examples.datasets import LYNXHARE, iter_dataset, load_dataset


def test_pelts_are_those_of_the_case_study():
    year, pelts = load_dataset(LYNXHARE, shuffle=False)[1]()
    assert np.array_equal(year, np.arange(1900, 1921))
    np.testing.assert_allclose(pelts.mean(0), [34.08, 20.17], atol=0.005)
    np.testing.assert_allclose(pelts[jnp.array([0, 3, 20])], [[30.0, 4.0], [77.4, 35.2], [24.7, 8.6]], rtol=1e-6)


def test_batches_of_a_shuffled_order_cover_the_data_inside_jit():
    np.random.seed(0)
    init_fn, get_batch = load_dataset(LYNXHARE, batch_size=7)
    num_batches, order = init_fn()
    assert num_batches == 3
    assert not np.array_equal(order, np.arange(21))
    years = jax.jit(lambda order: jnp.stack([get_batch(i, order)[0] for i in range(3)]))(order)
    assert np.array_equal(np.sort(years.ravel()), np.arange(1900, 1921))


def test_num_datapoints_takes_the_first_rows():
    assert np.array_equal(load_dataset(LYNXHARE, num_datapoints=3)[1]()[0], [1900, 1901, 1902])


def test_iterating_once_gives_every_row_with_its_own_year():
    year, pelts = map(np.concatenate, zip(*iter_dataset(LYNXHARE, batch_size=10), strict=True))
    assert np.array_equal(np.sort(year), np.arange(1900, 1921))
    assert np.array_equal(pelts[np.argsort(year)], next(iter_dataset(LYNXHARE, shuffle=False))[1])


@pytest.mark.parametrize("size", [0, 22])
def test_a_batch_that_does_not_fit(size):
    with pytest.raises(ValueError, match="21 rows of 'lynxhare'"):
        load_dataset(LYNXHARE, batch_size=size)


def test_an_unknown_split():
    with pytest.raises(ValueError, match="no split 'test'"):
        load_dataset(LYNXHARE, split="test")


ELSEWHERE = [value for value in vars(datasets).values() if isinstance(value, datasets.dset) and value != LYNXHARE]


@pytest.mark.parametrize("data_set", ELSEWHERE, ids=lambda d: d.name)
def test_data_that_are_not_here_are_not_downloaded(data_set):
    with pytest.raises(FileNotFoundError, match=f"'{data_set.name}' does not come.*nothing is downloaded"):
        load_dataset(data_set)


def test_bart_is_not_here():
    with pytest.raises(FileNotFoundError, match="nothing is downloaded"):
        datasets.load_bart_od()

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Vectorised indexing against loops over the batch."""

from __future__ import annotations

from itertools import product

import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_array_equal
import pytest

from numpyro.ops.indexing import Vindex, vindex

RANDOM = np.random.default_rng(0)
X = jnp.arange(2 * 3 * 4).reshape(2, 3, 4)
WHOLE = slice(None)


def by_loops(x, args):
    """The rule, an entry of the batch at a time."""
    has_batch = args[0] is Ellipsis
    indices = args[1:] if has_batch else args
    event = len(indices)
    batch_shape = x.shape[: x.ndim - event]
    arrays = [np.asarray(i) for i in indices if not isinstance(i, slice)]
    shape = np.broadcast_shapes(batch_shape, *(a.shape for a in arrays))
    x = np.broadcast_to(x, shape + x.shape[x.ndim - event :]) if has_batch else np.asarray(x)
    rows = []
    for at in product(*map(range, shape)):
        entry = x[at] if has_batch else x
        rest = iter(np.broadcast_to(a, shape)[at] for a in arrays)
        rows.append(entry[tuple(i if isinstance(i, slice) else next(rest) for i in indices)])
    return np.array(rows).reshape(shape + np.shape(rows[0]))


ROWS, COLUMNS = RANDOM.integers(0, 2, size=(5, 1)), RANDOM.integers(0, 4, size=(3,))


@pytest.mark.parametrize(
    "args",
    [
        (ROWS, 1, COLUMNS),
        (ROWS, WHOLE, COLUMNS),
        (WHOLE, COLUMNS % 3, WHOLE),
        (jnp.asarray(ROWS), WHOLE, 2),
        (Ellipsis, COLUMNS),
        (Ellipsis, WHOLE, COLUMNS[:, None]),
        (Ellipsis, COLUMNS[:, None, None] % 3, WHOLE),
        (Ellipsis, ROWS, WHOLE, COLUMNS),
        (Ellipsis, np.int32([0, 1]), 2),
    ],
    ids=str,
)
def test_the_batch_is_indexed_entry_by_entry(args):
    assert_array_equal(vindex(X, args), by_loops(X, args))
    assert_array_equal(Vindex(X)[args], by_loops(X, args))


@pytest.mark.parametrize("args", [(1,), (0, 1), (Ellipsis, 2), (WHOLE, 1), (0, WHOLE, 3), ()], ids=str)
def test_without_arrays_it_is_plain_indexing(args):
    assert_array_equal(vindex(X, args), X[args])
    assert_array_equal(vindex(np.asarray(X), args), X[args])


@pytest.mark.parametrize(
    "args, message",
    [
        ((ROWS, Ellipsis), "may only stand in front"),
        ((ROWS, slice(1, 2), COLUMNS), "whole slice"),
        ((ROWS, None, COLUMNS), "but one is None"),
        ((ROWS, COLUMNS > 0, 1), "array of integers"),
        ((ROWS,), r"write \.\.\. in front"),
        ((ROWS, 0, 0, 0), "cannot be indexed by 4"),
    ],
    ids=str,
)
def test_what_has_no_meaning_is_refused(args, message):
    with pytest.raises(ValueError, match=message):
        vindex(X, args)

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Data for the examples.

Nothing is ever downloaded. :data:`LYNXHARE` comes with the package; the other names exist so that programs written
for NumPyro import, and loading them says that the data are not here.

``LYNXHARE`` are the lynx and hare pelts, in thousands, that the Hudson's Bay Company collected in the years 1900 to
1920, from C. G. Hewitt, *The Conservation of the Wild Life of Canada* (Scribner, 1921), as tabulated in B. Carpenter,
"Predator-Prey Population Dynamics: the Lotka-Volterra model in Stan" (Stan case studies, 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any, NamedTuple

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

__all__ = [
    "BART",
    "BASEBALL",
    "BOSTON_HOUSING",
    "COVTYPE",
    "DIPPER_VOLE",
    "HIGGS",
    "JSB_CHORALES",
    "LYNXHARE",
    "MNIST",
    "MORTALITY",
    "NINE_MERS",
    "SP500",
    "UCBADMIT",
    "dset",
    "iter_dataset",
    "load_bart_od",
    "load_dataset",
]


class dset(NamedTuple):
    """A data set: its name, and the places that it could be had from (empty: we know of none to rely on)."""

    name: str
    urls: list[str]


BART = dset("bart", [])
BASEBALL = dset("baseball", [])
BOSTON_HOUSING = dset("boston_housing", [])
COVTYPE = dset("covtype", [])
DIPPER_VOLE = dset("dipper_vole", [])
HIGGS = dset("higgs", [])
JSB_CHORALES = dset("jsb_chorales", [])
LYNXHARE = dset("lynxhare", [])
MNIST = dset("mnist", [])
MORTALITY = dset("mortality", [])
NINE_MERS = dset("9mers", [])
SP500 = dset("SP500", [])
UCBADMIT = dset("ucbadmit", [])


def load_dataset(
    dset: dset,
    batch_size: int | None = None,
    split: str = "train",
    shuffle: bool = True,
    num_datapoints: int | None = None,
) -> tuple[Callable[[], tuple[int, Any]], Callable[..., tuple[jax.Array, ...]]]:
    """Two functions that go through a data set in batches of one size, usable inside ``jit`` and ``lax`` loops.

    :param dset: one of the constants of this module.
    :param batch_size: rows in a batch; by default all rows are one batch. Rows left over at the end are dropped.
    :param split: ``"train"``, or another part of the data set if it has one.
    :param shuffle: whether ``init_fn`` gives the rows in random order (of ``numpy.random``'s global state).
    :param num_datapoints: take only so many rows from the beginning.
    :return: ``init_fn()``, which gives the number of batches and the order of rows, and ``get_batch(i=0, order=None)``,
        which gives batch ``i``, a tuple of arrays; without an order, rows come as they are stored.
    :raises FileNotFoundError: if the data set does not come with the package.
    :raises ValueError: for a split that the data set lacks, or a batch larger than the data.

    >>> init_fn, get_batch = load_dataset(LYNXHARE, shuffle=False)
    >>> year, pelts = get_batch()  # in thousands; the columns are hare and lynx
    >>> pelts.shape
    (21, 2)
    >>> int(year[0]), [round(float(x), 1) for x in pelts[0]]
    (1900, [30.0, 4.0])
    """
    arrays = _load(dset, split, num_datapoints)
    num_records = len(arrays[0])
    size = num_records if batch_size is None else batch_size
    if not 1 <= size <= num_records:
        raise ValueError(
            f"A batch_size of {batch_size} does not fit the {num_records} rows of {dset.name!r}: "
            f"use 1 to {num_records}, or None for all rows."
        )

    def init_fn() -> tuple[int, np.ndarray]:
        order = np.random.permutation(num_records) if shuffle else np.arange(num_records)
        return num_records // size, order

    def get_batch(i: Any = 0, order: Any = None) -> tuple[jax.Array, ...]:
        rows = lax.dynamic_slice_in_dim(
            jnp.arange(num_records) if order is None else jnp.asarray(order), i * size, size
        )
        return tuple(jnp.take(jnp.asarray(array), rows, axis=0) for array in arrays)

    return init_fn, get_batch


def iter_dataset(
    dset: dset, batch_size: int | None = None, split: str = "train", shuffle: bool = True
) -> Iterator[tuple[np.ndarray, ...]]:
    """Go through a data set once, in batches of NumPy arrays; the last batch may be smaller.

    The parameters are those of :func:`load_dataset`.

    >>> [len(year) for year, pelts in iter_dataset(LYNXHARE, batch_size=10)]
    [10, 10, 1]
    """
    arrays = _load(dset, split, None)
    num_records = len(arrays[0])
    size = num_records if batch_size is None else batch_size
    order = np.random.permutation(num_records) if shuffle else np.arange(num_records)
    for start in range(0, num_records, size):
        rows = order[start : start + size]
        yield tuple(array[rows] for array in arrays)


def load_bart_od() -> Any:
    """Not available: the data of the Bay Area Rapid Transit do not come with the package.

    :raises FileNotFoundError: always.
    """
    return _load(BART, "train", None)


def _load(dset: dset, split: str, num_datapoints: int | None) -> tuple[np.ndarray, ...]:
    if dset.name != LYNXHARE.name:
        raise FileNotFoundError(
            f"The data set {dset.name!r} does not come with this package, and nothing is downloaded. "
            f"Read your own copy of it with numpy; what comes with the package is LYNXHARE."
        )
    if split != "train":
        raise ValueError(f"The data set {dset.name!r} has no split {split!r}: it has one, 'train'.")
    table = np.genfromtxt(
        files("numpyro.examples").joinpath("data/lynxhare.csv").read_text().splitlines(), delimiter=",", names=True
    )
    year = table["year"].astype(np.int32)
    pelts = np.stack([table["hare"], table["lynx"]], axis=-1).astype(np.float32)
    return year[:num_datapoints], pelts[:num_datapoints]

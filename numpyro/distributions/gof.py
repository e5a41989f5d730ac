# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

r"""Goodness of fit: do draws follow a density?

Each test takes draws and what the density says of them, and returns a p-value: for draws of that density it is
uniformly distributed between 0 and 1 (nearly so, as the tests hold for many draws), for others it is close to 0. To use
it in a test suite, compare it with the rate of false alarms that you accept, divided by the number of tests:

>>> import jax, jax.numpy as jnp, numpyro.distributions as dist
>>> from numpyro.distributions.gof import auto_goodness_of_fit
>>> d = dist.Gamma(3.0, 2.0)
>>> draws = d.sample(jax.random.key(0), (5000,))
>>> bool(auto_goodness_of_fit(draws, jnp.exp(d.log_prob(draws))) > 1e-3)
True
>>> bool(auto_goodness_of_fit(draws, jnp.exp(dist.Gamma(3.0, 1.2).log_prob(draws))) > 1e-3)
False

All of them end in Pearson's chi-squared test (Pearson 1900, *On the criterion that a given system of deviations*).
Draws of a density are led to it by distances to a neighbour: of ``n`` draws of a density ``p``, the mass ``n p(x) V``
in the ball of volume ``V`` around a draw that reaches to the nearest other one has an exponential distribution of mean
1 as ``n`` grows (Bickel and Breiman 1983, *Sums of functions of nearest neighbor distances*, Annals of Probability 11).
The density must therefore be normalised, and be nearly constant over the distance between neighbours: take more draws,
or fewer dimensions, where it is not. For real numbers the gaps between neighbours take the place of the balls.

Everything here is computed on the host, in double precision.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.spatial import KDTree
from scipy.special import chdtrc

__all__ = [
    "InvalidTest",
    "auto_goodness_of_fit",
    "density_goodness_of_fit",
    "exp_goodness_of_fit",
    "get_nearest_neighbor_distances",
    "multinomial_goodness_of_fit",
    "print_histogram",
    "unif01_goodness_of_fit",
    "vector_density_goodness_of_fit",
    "volume_of_sphere",
]


class InvalidTest(ValueError):
    """The data allow no test: too few draws, probabilities that are no probabilities, values out of range."""


def auto_goodness_of_fit(samples: Any, probs: Any, *, dim: int | None = None, plot: bool = False) -> float:
    """Test draws of a continuous distribution against its density.

    :param samples: draws along the first axis, of any event shape.
    :param probs: the density at each draw.
    :param dim: dimension of the set on which the draws lie, if it is smaller than the number of elements of a draw. The
        density is then with respect to the volume on that set.
    :param plot: whether to print a histogram.
    :return: p-value.
    :raises InvalidTest: if there are too few draws, or the shapes do not fit.

    Real numbers are tested by the gaps between them, arrays by the distances to their nearest neighbours.
    """
    samples, probs = _draws_and_densities(samples, probs)
    rows = samples.reshape(len(samples), -1)
    if rows.shape[1] == 0:
        raise InvalidTest("samples hold no numbers: there is nothing to test")
    if dim is None:
        dim = rows.shape[1]
    if rows.shape[1] == 1:
        return density_goodness_of_fit(rows[:, 0], probs, plot=plot)
    return vector_density_goodness_of_fit(rows, probs, dim=dim, plot=plot)


def density_goodness_of_fit(samples: Any, probs: Any, plot: bool = False) -> float:
    """Test real draws against a density, by the mass between neighbours.

    :param samples: draws, of shape ``(n,)``.
    :param probs: the density at each draw, of shape ``(n,)``.
    :param plot: whether to print a histogram.
    :return: p-value.
    :raises InvalidTest: if there are too few draws, or the shapes do not fit.
    """
    samples, probs = _draws_and_densities(samples, probs)
    if samples.ndim != 1:
        raise InvalidTest(f"samples must have shape (n,), but have shape {samples.shape}")
    order = np.argsort(samples, kind="stable")
    samples, probs = samples[order], probs[order]
    masses = len(samples) * np.diff(samples) * (probs[1:] + probs[:-1]) / 2
    return exp_goodness_of_fit(masses, plot=plot)


def vector_density_goodness_of_fit(samples: Any, probs: Any, *, dim: int | None = None, plot: bool = False) -> float:
    """Test draws of vectors against a density, by the mass of the ball around each that reaches to the nearest other.

    :param samples: draws, of shape ``(n, m)``.
    :param probs: the density at each draw, of shape ``(n,)``.
    :param dim: dimension of the set on which the draws lie; by default it is ``m``. The density is with respect to the
        volume on that set.
    :param plot: whether to print a histogram.
    :return: p-value.
    :raises InvalidTest: if there are too few draws, or the shapes do not fit.
    """
    samples, probs = _draws_and_densities(samples, probs)
    if samples.ndim != 2:
        raise InvalidTest(f"samples must have shape (n, m), but have shape {samples.shape}")
    volumes = volume_of_sphere(samples.shape[1] if dim is None else dim, get_nearest_neighbor_distances(samples))
    return exp_goodness_of_fit(len(samples) * probs * volumes, plot=plot)


def exp_goodness_of_fit(samples: Any, plot: bool = False) -> float:
    """Test whether draws follow the exponential distribution of mean 1.

    :param samples: draws, of shape ``(n,)``.
    :param plot: whether to print a histogram.
    :return: p-value.
    :raises InvalidTest: if there are too few draws, or one is negative.
    """
    samples = np.asarray(samples, np.float64)
    if not np.all(samples >= 0):
        raise InvalidTest(f"samples must be nonnegative; the smallest is {np.min(samples)}")
    return unif01_goodness_of_fit(np.exp(-samples), plot=plot)


def unif01_goodness_of_fit(samples: Any, *, plot: bool = False) -> float:
    r"""Test whether draws are uniform between 0 and 1, by counting them in bins of equal width.

    :param samples: draws, of shape ``(n,)``.
    :param plot: whether to print a histogram.
    :return: p-value.
    :raises InvalidTest: if there are fewer than 12 draws, or one lies outside.

    The number of bins grows as :math:`n^{2/5}`, which is optimal (Mann and Wald 1942, *On the choice of the number of
    class intervals in the application of the chi square test*).
    """
    samples = np.asarray(samples, np.float64)
    if samples.ndim != 1 or len(samples) < 12:
        raise InvalidTest(f"a test needs at least 12 draws, of shape (n,); samples have shape {samples.shape}")
    if not np.all((samples >= 0) & (samples <= 1)):
        raise InvalidTest(f"samples must lie between 0 and 1, but go from {np.min(samples)} to {np.max(samples)}")
    bins = max(3, round(len(samples) ** 0.4))
    counts = np.bincount(np.minimum((samples * bins).astype(int), bins - 1), minlength=bins)
    return multinomial_goodness_of_fit(np.full(bins, 1 / bins), counts, plot=plot)


def multinomial_goodness_of_fit(
    probs: Any, counts: Any, *, total_count: int | None = None, plot: bool = False
) -> float:
    """Pearson's chi-squared test of counts against the probabilities of their categories.

    :param probs: probability of each category, of shape ``(k,)``.
    :param counts: how many draws fell into it, of shape ``(k,)``.
    :param total_count: number of draws, if some fell into categories that are not listed. They have what ``probs``
        leaves of the probability.
    :param plot: whether to print a histogram.
    :return: p-value.
    :raises InvalidTest: if the probabilities do not sum to 1 (or to more than 1 with ``total_count``), or there are
        fewer than two categories.

    Categories of probability zero take no part; a draw in one of them gives 0. The distribution of the statistic is
    that of many draws: join categories of which fewer than about five draws are expected.
    """
    probs, counts = np.asarray(probs, np.float64), np.asarray(counts, np.float64)
    if probs.ndim != 1 or probs.shape != counts.shape:
        raise InvalidTest(f"probs and counts must have the same shape (k,), but have {probs.shape}, {counts.shape}")
    if not (np.all(probs >= 0) and np.all(counts >= 0)):
        raise InvalidTest("probs and counts must be nonnegative")
    total = counts.sum() if total_count is None else total_count
    if total <= 0 or counts.sum() > total:
        raise InvalidTest(f"counts sum to {counts.sum():g}, of {total:g} draws")
    excess = probs.sum() - 1
    if excess > 1e-3 or (total_count is None and excess < -1e-3):
        raise InvalidTest(f"probs sum to {probs.sum():g}")
    if plot:
        print_histogram(probs, counts)
    if total_count is not None:
        probs, counts = np.append(probs, max(-excess, 0.0)), np.append(counts, total - counts.sum())
        # What is left of the probability may be a rounding error.
        probs[-1] = 0.0 if counts[-1] == 0 and probs[-1] < 1e-6 else probs[-1]
    possible = probs > 0
    if np.any(counts[~possible] > 0):
        return 0.0
    probs, counts = probs[possible], counts[possible]
    if len(probs) < 2:
        raise InvalidTest("a test needs at least two categories that are possible")
    expected = total * probs / probs.sum()
    return float(chdtrc(len(probs) - 1, np.sum((counts - expected) ** 2 / expected)))


def volume_of_sphere(dim: int, radius: Any) -> Any:
    """Volume inside a sphere.

    :param dim: dimension of the space.
    :param radius: its radius, of any shape.

    >>> round(float(volume_of_sphere(3, 1.0)), 4)
    4.1888
    """
    return math.pi ** (0.5 * dim) / math.gamma(0.5 * dim + 1) * np.asarray(radius, np.float64) ** dim


def get_nearest_neighbor_distances(samples: Any) -> np.ndarray:
    """Distance of each vector to the nearest other one.

    :param samples: vectors, of shape ``(n, m)``, or numbers, of shape ``(n,)``.
    :return: shape ``(n,)``.
    :raises InvalidTest: if there are fewer than two.

    >>> print(get_nearest_neighbor_distances([[0.0, 0.0], [3.0, 4.0], [3.0, 3.0]]))
    [4.24264069 1.         1.        ]
    """
    samples = np.asarray(samples, np.float64)
    if len(samples) < 2:
        raise InvalidTest("one vector has no neighbour")
    samples = samples.reshape(len(samples), -1)
    # The nearest one found is the vector itself.
    distances, _ = KDTree(samples).query(samples, k=2)
    return distances[:, 1]


def print_histogram(probs: Any, counts: Any) -> None:
    """Print the counts of categories as bars beside what is expected.

    :param probs: probability of each category.
    :param counts: how many draws fell into it.

    >>> print_histogram([0.5, 0.25, 0.25], [5, 4, 1])
      count  expected
          5       5.0  ############################
          4       2.5  ######################
          1       2.5  ######
    """
    probs, counts = np.asarray(probs, np.float64), np.asarray(counts)
    longest = max(counts.max(), 1)
    print("  count  expected")
    for prob, count in zip(probs, counts, strict=True):
        print(f"{count:7g} {prob * counts.sum():9.1f}  {'#' * round(28 * count / longest)}")


def _draws_and_densities(samples: Any, probs: Any) -> tuple[np.ndarray, np.ndarray]:
    samples, probs = np.asarray(samples, np.float64), np.asarray(probs, np.float64)
    if samples.ndim == 0 or probs.shape != samples.shape[:1]:
        raise InvalidTest(
            f"probs must have one density for each draw: samples have shape {samples.shape}, probs {probs.shape}"
        )
    if not (np.all(np.isfinite(samples)) and np.all(np.isfinite(probs)) and np.all(probs >= 0)):
        raise InvalidTest("samples must be finite, and densities finite and nonnegative")
    return samples, probs

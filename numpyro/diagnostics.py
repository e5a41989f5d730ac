# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What a set of Markov chains says about itself: convergence, effective sample size, intervals, a summary table.

Everything here is NumPy: diagnosing a run compiles nothing. Unless said otherwise an argument ``x`` has shape
``(num_chains, num_samples) + event_shape`` and the result has shape ``event_shape``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

__all__ = [
    "autocorrelation",
    "autocovariance",
    "effective_sample_size",
    "gelman_rubin",
    "hpdi",
    "print_summary",
    "split_gelman_rubin",
    "summary",
]


def gelman_rubin(x: Any) -> Any:
    """Potential scale reduction factor (R-hat) over chains; near 1 when the chains agree.

    :param x: draws of shape ``(num_chains, num_samples) + event_shape``, at least two of each.
    :returns: R-hat, of shape ``event_shape``.
    :raises ValueError: if there are fewer than two chains or fewer than two draws.

    **Reference:** Gelman and Rubin (1992), *Inference from iterative simulation using multiple sequences*;
    Gelman et al., *Bayesian Data Analysis* (3rd ed.), eq. 11.1-11.4.

    >>> x = np.random.default_rng(0).normal(size=(4, 500))
    >>> bool(abs(gelman_rubin(x) - 1) < 0.01)
    True
    """
    x = _grouped(x, "gelman_rubin", min_chains=2, min_draws=2)
    within, pooled = _variances(x)
    return _ratio_sqrt(pooled, within)


def split_gelman_rubin(x: Any) -> Any:
    """R-hat after each chain is cut in two, which also reveals a chain that drifts. One chain is enough.

    A chain of odd length loses the draw in the middle.

    :param x: draws of shape ``(num_chains, num_samples) + event_shape``, at least four draws.
    :returns: R-hat, of shape ``event_shape``.
    :raises ValueError: if there are fewer than four draws.

    **Reference:** *Bayesian Data Analysis* (3rd ed.), section 11.4.

    >>> drifting = np.linspace(0, 1, 100)[None]
    >>> bool(split_gelman_rubin(drifting) > 1.5)
    True
    """
    x = _grouped(x, "split_gelman_rubin", min_chains=1, min_draws=4)
    half = x.shape[1] // 2
    return gelman_rubin(np.concatenate([x[:, :half], x[:, -half:]]))


def autocovariance(x: Any, axis: int = 0, bias: bool = True) -> np.ndarray:
    """Autocovariance of a series at lags ``0, ..., n - 1``, by the fast Fourier transform.

    :param x: array with the series along ``axis``.
    :param axis: the axis of time.
    :param bias: divide the sum at lag ``k`` by ``n`` (True), or by ``n - k`` (False).
    :returns: array of the shape of ``x``; lag 0 is the biased variance.

    >>> autocovariance(np.array([1., -1., 1., -1.])).round(6).tolist()
    [1.0, -0.75, 0.5, -0.25]
    """
    x = np.asarray(x)
    if not np.issubdtype(x.dtype, np.inexact):
        x = x.astype(np.float64)
    series = np.moveaxis(x, axis, -1)
    n = series.shape[-1]
    centred = series - series.mean(axis=-1, keepdims=True)
    length = _fft_length(2 * n)
    power = np.abs(np.fft.rfft(centred, length)) ** 2
    sums = np.fft.irfft(power, length)[..., :n]
    count = np.full(n, n) if bias else np.arange(n, 0, -1)
    return np.moveaxis((sums / count).astype(x.dtype, copy=False), -1, axis)


def autocorrelation(x: Any, axis: int = 0, bias: bool = True) -> np.ndarray:
    """Autocorrelation of a series at lags ``0, ..., n - 1``: :func:`autocovariance` over its value at lag 0.

    A constant series has autocorrelation 1 at every lag.

    :param x: array with the series along ``axis``.
    :param axis: the axis of time.
    :param bias: as in :func:`autocovariance`.
    :returns: array of the shape of ``x``.

    >>> autocorrelation(np.array([1., -1., 1., -1.]), bias=False).round(6).tolist()
    [1.0, -1.0, 1.0, -1.0]
    """
    covariance = autocovariance(x, axis, bias)
    variance = np.take(covariance, [0], axis=axis)
    constant = variance == 0
    return np.where(constant, 1.0, covariance / np.where(constant, 1.0, variance)).astype(covariance.dtype, copy=False)


def effective_sample_size(x: Any, bias: bool = True) -> Any:
    """Number of independent draws that would estimate the mean as well as these do.

    Autocorrelations are pooled over chains and summed up to where Geyer's initial monotone sequence ends. The estimate
    exceeds the number of draws ``N`` when they are antithetic, up to ``N log10(N)``.

    :param x: draws of shape ``(num_chains, num_samples) + event_shape``, at least two draws.
    :param bias: as in :func:`autocovariance`.
    :returns: array of shape ``event_shape``; ``nan`` where all draws are equal.
    :raises ValueError: if there are fewer than two draws.

    **References:** Geyer (1992), *Practical Markov chain Monte Carlo*, section 3.3; Stan Reference Manual, "Effective
    sample size".

    >>> x = np.random.default_rng(0).normal(size=(4, 1000))
    >>> bool(3000 < effective_sample_size(x) < 5000)
    True
    """
    x = _grouped(x, "effective_sample_size", min_chains=1, min_draws=2)
    chains, draws = x.shape[:2]
    covariance = np.asarray(autocovariance(x, axis=1, bias=bias), dtype=np.float64).mean(axis=0)
    within, pooled = _variances(x) if chains > 1 else (covariance[0], covariance[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = 1.0 - (within - covariance) / pooled
        rho[0] = np.where(pooled > 0, 1.0, np.nan)
    pairs = rho[: draws // 2 * 2].reshape((draws // 2, 2) + rho.shape[1:]).sum(axis=1)
    positive = np.minimum.accumulate(pairs > 0, axis=0)
    monotone = np.minimum.accumulate(np.where(positive, pairs, 0.0), axis=0)
    time = np.maximum(-1.0 + 2.0 * monotone.sum(axis=0), 1.0 / np.log10(max(chains * draws, 10)))
    return np.where(np.isnan(rho).any(axis=0), np.nan, chains * draws / time)[()]


def hpdi(x: Any, prob: float = 0.90, axis: int = 0) -> np.ndarray:
    """Highest posterior density interval: the narrowest interval that holds ``prob`` of the draws.

    :param x: the draws, along ``axis``.
    :param prob: mass of the interval, in ``(0, 1)``.
    :param axis: the axis of the draws.
    :returns: array in which ``axis`` has size 2: lower and upper end.
    :raises ValueError: if ``prob`` is not in ``(0, 1)`` or there is no draw.

    **Reference:** Chen and Shao (1999), *Monte Carlo estimation of Bayesian credible and HPD intervals*.

    >>> hpdi(np.array([0., 1., 2., 3., 4., 50.]), prob=0.6).tolist()
    [0.0, 3.0]
    """
    if not 0 < prob < 1:
        raise ValueError(f"`prob` must lie strictly between 0 and 1, but it is {prob}.")
    x = np.asarray(x)
    ordered = np.sort(np.moveaxis(x, axis, 0), axis=0)
    draws = len(ordered)
    if draws == 0:
        raise ValueError(f"hpdi needs at least one draw along axis {axis}, but x has shape {x.shape}.")
    span = min(int(prob * draws), draws - 1)
    width = ordered[span:] - ordered[: draws - span]
    start = width.argmin(axis=0)[None]
    low = np.take_along_axis(ordered, start, axis=0)
    high = np.take_along_axis(ordered, start + span, axis=0)
    return np.moveaxis(np.concatenate([low, high]), 0, axis)


def summary(samples: Any, prob: float = 0.90, group_by_chain: bool = True) -> dict[str, OrderedDict[str, Any]]:
    """Mean, standard deviation, median, HPDI ends, effective sample size and split R-hat of each site.

    :param samples: dict from site to draws (another pytree, too: its leaves are named ``Param:0``, ...), each of shape
        ``(num_chains, num_samples) + event_shape``, or without ``num_chains`` if ``group_by_chain`` is False.
    :param prob: mass of the interval.
    :param group_by_chain: whether the draws have a leading chain axis.
    :returns: for each site a dict with keys ``mean``, ``std``, ``median``, the two interval ends, such as ``5.0%`` and
        ``95.0%``, ``n_eff`` and ``r_hat``; each value has the site's event shape. ``n_eff`` and ``r_hat`` are ``nan``
        where there are too few draws for them.

    >>> draws = {"mu": np.random.default_rng(0).normal(size=(2, 100))}
    >>> list(summary(draws)["mu"])
    ['mean', 'std', 'median', '5.0%', '95.0%', 'n_eff', 'r_hat']
    """
    low, high = f"{50 * (1 - prob):.1f}%", f"{50 * (1 + prob):.1f}%"
    table = {}
    for name, value in _named_leaves(samples).items():
        value = np.asarray(value)
        if not group_by_chain:
            value = value[None]
        pooled = value.reshape((-1,) + value.shape[2:])
        if pooled.dtype == bool:
            value, pooled = value.astype(np.float32), pooled.astype(np.float32)
        interval = hpdi(pooled, prob)
        missing = np.full(value.shape[2:], np.nan)[()]
        table[name] = OrderedDict(
            [
                ("mean", pooled.mean(axis=0)),
                ("std", pooled.std(axis=0, ddof=1) if len(pooled) > 1 else missing),
                ("median", np.median(pooled, axis=0)),
                (low, interval[0]),
                (high, interval[1]),
                ("n_eff", effective_sample_size(value) if value.shape[1] >= 2 else missing),
                ("r_hat", split_gelman_rubin(value) if value.shape[1] >= 4 else missing),
            ]
        )
    return table


def print_summary(samples: Any, prob: float = 0.90, group_by_chain: bool = True) -> None:
    """Print the table of :func:`summary`, one row for each scalar.

    :param samples: as in :func:`summary`.
    :param prob: mass of the interval.
    :param group_by_chain: whether the draws have a leading chain axis.

    >>> print_summary({"x": np.arange(8.0).reshape(2, 4)})  # doctest: +NORMALIZE_WHITESPACE
    <BLANKLINE>
          mean       std    median      5.0%     95.0%     n_eff     r_hat
    x     3.50      2.45      3.50      0.00      7.00      1.38      3.72
    <BLANKLINE>
    """
    table = summary(samples, prob, group_by_chain)
    rows: dict[str, list[Any]] = {}
    columns: list[str] = []
    for name, statistics in table.items():
        columns = list(statistics)
        for index in product(*map(range, np.shape(statistics["mean"]))):
            label = f"{name}[{','.join(map(str, index))}]" if index else name
            rows[label] = [np.asarray(value)[index] for value in statistics.values()]
    width = max(map(len, rows), default=0)
    print()
    print(" ".join([" " * width] + [f" {column:>8}" for column in columns]))
    for label, values in rows.items():
        print(" ".join([label.rjust(width)] + [f"{value:9.2f}" for value in values]))
    print()


def _grouped(x: Any, function: str, min_chains: int, min_draws: int) -> np.ndarray:
    x = np.asarray(x)
    if x.ndim < 2 or x.shape[0] < min_chains or x.shape[1] < min_draws:
        raise ValueError(
            f"{function} needs draws of shape (num_chains, num_samples, ...) with num_chains >= {min_chains} and "
            f"num_samples >= {min_draws}, "
            f"but x has shape {x.shape}." + (" Write x[None] for a single chain." if x.ndim == 1 else "")
        )
    return x


def _variances(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean variance within the chains, and the estimate of the marginal variance that also counts the variance between
    them."""
    draws = x.shape[1]
    within = x.var(axis=1, ddof=1).mean(axis=0)
    pooled = within * (draws - 1) / draws
    if x.shape[0] > 1:
        pooled = pooled + x.mean(axis=1).var(axis=0, ddof=1)
    return within, pooled


def _ratio_sqrt(numerator: np.ndarray, denominator: np.ndarray) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt(numerator / denominator)


def _fft_length(n: int) -> int:
    """The smallest ``2^a 3^b 5^c`` that is at least ``n``: a length at which the transform is fast."""
    best = 1 << (n - 1).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            quotient = -(-n // three)
            best = min(best, three << max(quotient - 1, 0).bit_length())
            three *= 3
        five *= 5
    return best


def _named_leaves(samples: Any) -> Mapping[str, Any]:
    if isinstance(samples, Mapping):
        return samples
    import jax

    return {f"Param:{i}": leaf for i, leaf in enumerate(jax.tree.leaves(samples))}

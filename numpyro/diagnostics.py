# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What a set of Markov chains says about itself: convergence, effective sample size, intervals, a summary table.

:func:`gelman_rubin`, :func:`split_gelman_rubin` and :func:`effective_sample_size` are the statistics of the books, of
means. Those after Vehtari et al. (2021) look at ranks instead, so that heavy tails do not blind them:
:func:`rank_normalized_gelman_rubin`, :func:`bulk_effective_sample_size`, :func:`tail_effective_sample_size`. By these,
and by :func:`bayesian_fraction_of_missing_information`, :class:`~numpyro.infer.mcmc.MCMC` judges a run; what it has to
say comes as a :class:`DiagnosticWarning`, unless :func:`enable_diagnostic_warnings` says no.

Everything here is NumPy: diagnosing a run compiles nothing. Unless said otherwise an argument ``x`` has shape
``(num_chains, num_samples) + event_shape`` and the result has shape ``event_shape``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import product
from statistics import NormalDist
from typing import Any

import numpy as np

__all__ = [
    "DiagnosticWarning",
    "autocorrelation",
    "autocovariance",
    "bayesian_fraction_of_missing_information",
    "bulk_effective_sample_size",
    "diagnostic_warnings_enabled",
    "effective_sample_size",
    "enable_diagnostic_warnings",
    "gelman_rubin",
    "hpdi",
    "print_summary",
    "rank_normalized_gelman_rubin",
    "rank_statistics",
    "split_gelman_rubin",
    "summary",
    "tail_effective_sample_size",
]

_MIN_DRAWS = 8
"""Fewest draws of a chain from which statistics of ranks are computed: its halves have four."""


class DiagnosticWarning(UserWarning):
    """A run of Markov chains shows a sign that its draws may mislead.

    Python's filters apply: ``warnings.filterwarnings("error", category=DiagnosticWarning)`` makes it an error.
    """


_warnings_enabled = True


def enable_diagnostic_warnings(is_enabled: bool = True) -> None:
    """Whether :meth:`MCMC.run <numpyro.infer.mcmc.MCMC.run>` looks at its draws and warns. It does by default.

    :param is_enabled: whether to warn from now on. If not, nothing is computed either.

    >>> enable_diagnostic_warnings(False)
    >>> diagnostic_warnings_enabled()
    False
    >>> enable_diagnostic_warnings()
    """
    global _warnings_enabled
    _warnings_enabled = bool(is_enabled)


def diagnostic_warnings_enabled() -> bool:
    """Whether runs are looked at; see :func:`enable_diagnostic_warnings`."""
    return _warnings_enabled


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


def rank_normalized_gelman_rubin(x: Any) -> Any:
    """R-hat of ranks: the larger of the split R-hat of the rank-normalised draws, which sees chains that differ in
    location, and of that of their distances from the median, which sees chains that differ in scale. Above 1.01 the
    chains have not mixed.

    :param x: draws of shape ``(num_chains, num_samples) + event_shape``, at least eight draws.
    :returns: R-hat, of shape ``event_shape``; ``nan`` where all draws are equal.
    :raises ValueError: if there are fewer than eight draws.

    **Reference:** Vehtari, Gelman, Simpson, Carpenter and Buerkner (2021), *Rank-normalization, folding, and
    localization: An improved R-hat for assessing convergence of MCMC*, section 4.

    >>> x = np.random.default_rng(0).normal(size=(4, 500))
    >>> wide = x * np.array([[1.0], [1.0], [1.0], [3.0]])
    >>> bool(rank_normalized_gelman_rubin(x) < 1.01), bool(rank_normalized_gelman_rubin(wide) > 1.05)
    (True, True)
    """
    halves, event_shape = _halves(x, "rank_normalized_gelman_rubin")
    return _rank_gelman_rubin(halves, _normal_scores(halves)).reshape(event_shape)[()]


def bulk_effective_sample_size(x: Any) -> Any:
    """Effective sample size of the rank-normalised, split chains: how well the draws tell where the bulk of the
    distribution is.

    :param x: draws of shape ``(num_chains, num_samples) + event_shape``, at least eight draws.
    :returns: array of shape ``event_shape``; ``nan`` where all draws are equal.
    :raises ValueError: if there are fewer than eight draws.

    **References:** Vehtari et al. (2021), section 4.3; Geyer (1992), *Practical Markov chain Monte Carlo*, section 3.3.

    >>> x = np.random.default_rng(0).standard_cauchy(size=(4, 1000))
    >>> bool(3000 < bulk_effective_sample_size(x) < 5000)
    True
    """
    halves, event_shape = _halves(x, "bulk_effective_sample_size")
    return _effective_size(_normal_scores(halves)).reshape(event_shape)[()]


def tail_effective_sample_size(x: Any, prob: Sequence[float] = (0.05, 0.95)) -> Any:
    """The smaller of the effective sample sizes with which two quantiles are estimated.

    :param x: draws of shape ``(num_chains, num_samples) + event_shape``, at least eight draws.
    :param prob: probabilities of the quantiles, each in ``(0, 1)``.
    :returns: array of shape ``event_shape``; ``nan`` where all draws are equal.
    :raises ValueError: if there are fewer than eight draws.

    **Reference:** Vehtari et al. (2021), section 4.3.

    >>> x = np.random.default_rng(0).normal(size=(4, 1000))
    >>> bool(3000 < tail_effective_sample_size(x) < 5000)
    True
    """
    halves, event_shape = _halves(x, "tail_effective_sample_size")
    return _tail_size(x, halves, prob).reshape(event_shape)[()]


def rank_statistics(x: Any) -> dict[str, Any]:
    """:func:`rank_normalized_gelman_rubin`, :func:`bulk_effective_sample_size` and :func:`tail_effective_sample_size`
    together, for less than the sum of their costs.

    :param x: draws of shape ``(num_chains, num_samples) + event_shape``, at least eight draws.
    :returns: dict with keys ``r_hat``, ``ess_bulk`` and ``ess_tail`` of arrays of shape ``event_shape``.
    :raises ValueError: if there are fewer than eight draws.

    >>> x = np.random.default_rng(0).normal(size=(2, 100, 3))
    >>> {name: value.shape for name, value in rank_statistics(x).items()}
    {'r_hat': (3,), 'ess_bulk': (3,), 'ess_tail': (3,)}
    """
    halves, event_shape = _halves(x, "rank_statistics")
    scores = _normal_scores(halves)
    statistics = {
        "r_hat": _rank_gelman_rubin(halves, scores),
        "ess_bulk": _effective_size(scores),
        "ess_tail": _tail_size(x, halves, (0.05, 0.95)),
    }
    return {name: value.reshape(event_shape)[()] for name, value in statistics.items()}


def bayesian_fraction_of_missing_information(energy: Any) -> Any:
    """E-BFMI of each chain: variance of the changes of the energy from one iteration to the next, over the variance of
    the energy. Below 0.3 the momentum that is drawn anew changes the energy too little, so that the chain explores the
    tails slowly.

    :param energy: total energy (potential and kinetic) at each iteration, of shape ``(num_chains, num_samples)`` or
        ``(num_samples,)``, at least two iterations. Thinned draws overestimate it.
    :returns: an array of shape ``(num_chains,)``, or a number.
    :raises ValueError: if there are fewer than two iterations.

    **Reference:** Betancourt (2016), *Diagnosing Suboptimal Cotangent Disintegrations in Hamiltonian Monte Carlo*,
    section 3.

    >>> energy = np.random.default_rng(0).normal(size=(2, 1000))
    >>> bayesian_fraction_of_missing_information(energy).round(1).tolist()
    [2.0, 2.0]
    """
    energy = np.asarray(energy, np.float64)
    if energy.ndim not in (1, 2) or energy.shape[-1] < 2:
        raise ValueError(
            "bayesian_fraction_of_missing_information needs energies of shape (num_chains, num_samples) or "
            f"(num_samples,), with at least two samples, but their shape is {energy.shape}."
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.square(np.diff(energy)).sum(axis=-1) / (energy.var(axis=-1) * energy.shape[-1])


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


def _halves(x: Any, function: str) -> tuple[np.ndarray, tuple[int, ...]]:
    """The draws as real numbers of shape ``(scalars, half chains, draws)``, and the event shape. The draw in the middle
    of an odd number is left out."""
    x = _grouped(x, function, min_chains=1, min_draws=_MIN_DRAWS)
    half = x.shape[1] // 2
    halves = np.concatenate([x[:, :half], x[:, -half:]]).reshape(2 * len(x), half, -1)
    dtype = x.dtype if np.issubdtype(x.dtype, np.floating) else np.float64
    return np.ascontiguousarray(np.moveaxis(halves, 2, 0), dtype), x.shape[2:]


def _normal_scores(rows: np.ndarray) -> np.ndarray:
    """Ranks among the draws of all chains, as quantiles of a normal distribution (Vehtari et al. 2021, eq. 14). Equal
    draws have their average rank."""
    flat = rows.reshape(len(rows), -1)
    count = flat.shape[1]
    order = np.argsort(flat, axis=1)
    ordered = np.take_along_axis(flat, order, axis=1)
    is_new = ordered[:, 1:] != ordered[:, :-1]
    position = np.broadcast_to(np.arange(count), flat.shape)
    edge = np.ones((len(flat), 1), bool)
    first = np.maximum.accumulate(np.where(np.concatenate([edge, is_new], axis=1), position, 0), axis=1)
    reverse = np.where(np.concatenate([is_new, edge], axis=1), position, count)[:, ::-1]
    last = np.minimum.accumulate(reverse, axis=1)[:, ::-1]
    scores = np.empty(flat.shape, rows.dtype)
    np.put_along_axis(scores, order, _score_table(count).astype(rows.dtype)[first + last], axis=1)
    return scores.reshape(rows.shape)


@lru_cache(maxsize=8)
def _score_table(count: int) -> np.ndarray:
    """The normal score of average rank ``1 + i / 2`` among ``count``, at index ``i``."""
    normal = NormalDist()
    lower = [normal.inv_cdf((i / 2 + 0.625) / (count + 0.25)) for i in range(count)]
    return np.concatenate([lower, -np.array(lower[-2::-1])])


def _rank_gelman_rubin(halves: np.ndarray, scores: np.ndarray) -> np.ndarray:
    folded = _normal_scores(np.abs(halves - np.median(halves, axis=(1, 2), keepdims=True)))
    variances = (_variances(np.moveaxis(part, 0, 2)) for part in (scores, folded))
    return np.fmax(*(_ratio_sqrt(pooled, within) for within, pooled in variances))


def _tail_size(x: Any, halves: np.ndarray, prob: Sequence[float]) -> np.ndarray:
    x = np.asarray(x)
    quantiles = np.quantile(x, tuple(prob), axis=(0, 1)).reshape(len(prob), len(halves), 1, 1)
    return np.fmin.reduce([_effective_size((halves <= quantile).astype(halves.dtype)) for quantile in quantiles])


def _effective_size(rows: np.ndarray) -> np.ndarray:
    """Effective sample size of each of several scalars, as Stan has it: beside Geyer's pairs, the even autocorrelation
    after the last of them counts once, if it is positive."""
    _, chains, draws = rows.shape
    length = _fft_length(2 * draws)
    spectrum = np.fft.rfft(rows - rows.mean(axis=2, keepdims=True), length)
    power = (np.square(spectrum.real) + np.square(spectrum.imag)).mean(axis=1)
    covariance = np.fft.irfft(power, length)[:, :draws].astype(np.float64) / draws
    within = covariance[:, :1] * draws / (draws - 1)
    pooled = covariance[:, :1]
    if chains > 1:
        pooled = pooled + rows.mean(axis=2).var(axis=1, ddof=1)[:, None]
    is_constant = rows.min(axis=(1, 2)) == rows.max(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = 1.0 - (within - covariance) / pooled
    rho[:, 0] = 1.0
    # The last three lags, of which there is next to no data, are left out.
    count = max((draws - 3) // 2, 0)
    pairs = rho[:, : 2 * count].reshape(len(rows), count, 2).sum(axis=2)
    positive = np.logical_and.accumulate(pairs > 0, axis=1)
    monotone = np.minimum.accumulate(np.where(positive, pairs, 0.0), axis=1)
    after = 2 * positive.sum(axis=1)
    extra = np.maximum(np.take_along_axis(rho, after[:, None], axis=1)[:, 0], 0.0)
    time = np.maximum(-1.0 + 2.0 * monotone.sum(axis=1) + extra, 1.0 / np.log10(chains * draws))
    return np.where(is_constant | np.isnan(rho).any(axis=1), np.nan, chains * draws / time)


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

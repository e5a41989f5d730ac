# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Simulation-based calibration, for the tests of this folder.

Parameters are drawn from the prior and data given them; then the posterior given these data is drawn by :class:`MCMC`.
If all is right, the parameters are one more draw from that posterior, so that their rank among its draws is uniform.
The ranks of many replications are compared with the uniform distribution by a simultaneous test of their empirical
distribution function, whose p-value is exact.

All replications run through one compiled program, which takes the data as its argument.

References: Talts, Betancourt, Simpson, Vehtari, Gelman (2018), *Validating Bayesian inference algorithms with
simulation-based calibration*, algorithm 2 and section 5.1 for the thinning; Säilynoja, Bürkner, Vehtari (2022),
*Graphical test for discrete uniformity and its applications*, section 2; Modrák et al. (2023), *Simulation-based
calibration checking for Bayesian computation: the choice of test quantities*, for the density as a quantity.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from scipy.stats import binom

from numpyro.diagnostics import effective_sample_size, enable_diagnostic_warnings
from numpyro.handlers import seed, trace
from numpyro.infer import MCMC, NUTS, Predictive
from numpyro.infer.util import potential_energy, unconstrain_fn

MAX_RANK = 63


def p_values(
    model: Callable[..., Any],
    *args: Any,
    fitted: Callable[..., Any] | None = None,
    make_kernel: Callable[[Callable[..., Any]], Any] = NUTS,
    observed: str = "y",
    num_replications: int = 300,
    num_warmup: int = 300,
    num_samples: int = 600,
    rng_seed: int = 0,
) -> dict[str, np.ndarray]:
    """For each site, the p-values of the uniformity of its entries' ranks, and for ``"potential_energy"`` that of the
    density's.

    :param model: ``model(*args, y)``, which draws the data where ``y`` is None.
    :param fitted: the model to fit, with the same latent sites, if it is another one.
    :param make_kernel: makes the kernel of a model.
    :param observed: name of the observed site.
    """
    fitted = model if fitted is None else fitted
    prior_key, *keys = jax.random.split(jax.random.PRNGKey(rng_seed), num_replications + 1)
    prior = Predictive(model, num_samples=num_replications)(prior_key, *args, None)
    data = prior.pop(observed)
    mcmc = MCMC(make_kernel(fitted), num_warmup=num_warmup, num_samples=num_samples, progress_bar=False)
    draws: list[dict[str, Any]] = []
    enable_diagnostic_warnings(False)
    try:
        for key, y in zip(keys, data, strict=True):
            mcmc.run(key, *args, y, extra_fields=("potential_energy",))
            found = mcmc.get_samples() | mcmc.get_extra_fields()
            draws.append({name: np.asarray(x, np.float64) for name, x in found.items()})
    finally:
        enable_diagnostic_warnings(True)

    sites = trace(seed(fitted, jax.random.PRNGKey(0))).get_trace(*args, None)
    latent = {name: x for name, x in prior.items() if sites[name]["type"] == "sample"}

    @jax.jit
    @jax.vmap
    def energies(values: Any, y: Any) -> Any:
        return potential_energy(fitted, (*args, y), {}, unconstrain_fn(fitted, (*args, y), {}, values))

    truth = {name: np.asarray(x, np.float64) for name, x in prior.items()}
    truth["potential_energy"] = np.asarray(energies(latent, data), np.float64)
    # Entries that are fixed, such as the zeros of a triangular matrix.
    free = {name: x.reshape(num_replications, -1).std(0) > 1e-5 for name, x in truth.items()}

    def flat(values: dict[str, np.ndarray]) -> np.ndarray:
        return np.concatenate([values[name].reshape(len(values[name]), -1)[:, free[name]] for name in truth], 1)

    rows = np.stack([flat(values) for values in draws])
    ranks, max_rank = thinned_ranks(flat(truth), rows)
    found = np.array([p_value(column, max_rank) for column in ranks.T])
    bounds = np.cumsum([entries.sum() for entries in free.values()])[:-1]
    return dict(zip(truth, np.split(found, bounds), strict=True))


def smallest(found: dict[str, np.ndarray]) -> float:
    """The smallest of all p-values, corrected for their number after Bonferroni."""
    everything = np.concatenate(list(found.values()))
    return min(1.0, len(everything) * everything.min())


def thinned_ranks(truth: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, int]:
    """Ranks of the truth among draws that are so far apart as to be nearly independent, and the largest possible rank.

    :param truth: shape ``(replications, quantities)``.
    :param draws: shape ``(replications, draws, quantities)``.
    """
    sizes = [np.min(effective_sample_size(chain[None])) for chain in draws]
    count = int(min(MAX_RANK, np.quantile(sizes, 0.05)))
    assert count >= 15, "too few effective draws to rank anything"
    kept = draws[:, ((np.arange(count) + 0.5) * draws.shape[1] / count).astype(int)]
    return np.sum(kept < truth[:, None], 1), count


def p_value(ranks: np.ndarray, max_rank: int) -> float:
    """Probability that the empirical distribution function of as many uniform ranks strays as far somewhere.

    How far it strays is measured, at each point, by the tail probability of the binomial distribution.

    :param ranks: integers from 0 to ``max_rank``.
    """
    count = len(ranks)
    tails, transitions = _binomials(count, max_rank + 1)
    below = np.searchsorted(np.sort(ranks), np.arange(1, max_rank + 1))
    worst = tails[np.arange(max_rank), below].min()
    # Säilynoja et al., algorithm 1: the counts are a Markov chain from point to point.
    probs = np.eye(count + 1)[0]
    for allowed, transition in zip(tails > worst * (1 + 1e-9), transitions, strict=True):
        probs = np.where(allowed, probs @ transition, 0.0)
    return float(1 - probs.sum())


@lru_cache(maxsize=4)
def _binomials(count: int, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Two-sided tail probabilities of each number of ranks below each inner point, and the probabilities of a number
    given that at the point before."""
    numbers, points = np.arange(count + 1), np.arange(1, bins)[:, None]
    tails = 2 * np.minimum(binom.cdf(numbers, count, points / bins), binom.sf(numbers - 1, count, points / bins))
    steps = numbers[None, :] - numbers[:, None]
    transitions = [binom.pmf(steps, count - numbers[:, None], 1 / (bins - point)) for point in range(bins - 1)]
    return tails, np.stack(transitions)

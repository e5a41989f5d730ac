# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What a run of Markov chains shows to be wrong with it, in words.

The checks are those that Stan's users know: divergences and saturated trajectories (Betancourt 2017, *A Conceptual
Introduction to Hamiltonian Monte Carlo*), E-BFMI (Betancourt 2016), R-hat and effective sample sizes of ranks (Vehtari
et al. 2021); and chains that do not move. They run on the host in NumPy. So that they cost some milliseconds however
long the run and however large the model, at most about 2000 draws are looked at, evenly spaced, of so many scalars that
there are 130,000 numbers; all sites are represented.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from numpyro.diagnostics import bayesian_fraction_of_missing_information, rank_statistics

__all__ = ["MAX_R_HAT", "MIN_BFMI", "MIN_DRAWS", "MIN_EFFECTIVE_SIZE", "diagnose"]

MIN_DRAWS = 100
"""With fewer draws of each chain nothing is said."""

MAX_R_HAT = 1.01
"""Vehtari et al. (2021), section 4."""

MIN_EFFECTIVE_SIZE = 100
"""For each chain, of which four count: 400 is what R-hat and the Monte Carlo error need to be reliable (Vehtari et al.
2021, section 4.3)."""

MIN_BFMI = 0.3
"""As in Stan and ArviZ."""

_MAX_SATURATED = 0.01
_MIN_MOVED = 0.01
_MAX_DRAWS, _MAX_NUMBERS = 2000, 130_000
_SCALARS_FOR_MOVES = 8


def diagnose(kernel: Any, states: Mapping[str, Any], chains: int, thinning: int = 1, latent: Any = None) -> list[str]:
    """One line for each thing that is wrong. See :meth:`MCMC.diagnose <numpyro.infer.mcmc.MCMC.diagnose>`.

    :param kernel: the kernel.
    :param states: the collected fields, with the draws of one chain after another along the first axis.
    :param chains: number of chains.
    :param thinning: every how many iterations a draw was kept.
    :param latent: if it and the draws are dicts, only the draws of its keys are looked at.

    >>> import types
    >>> kernel = types.SimpleNamespace(sample_field="z")
    >>> apart = np.random.default_rng(0).normal(size=(2, 500)) + np.array([[0.0], [9.0]])
    >>> [message.split(" (")[0] for message in diagnose(kernel, {"z": {"x": apart.ravel()}}, chains=2)]
    ['r_hat is above 1.01 for x', 'bulk ESS is below 200 for x', 'tail ESS is below 200 for x']
    """
    draws = states[kernel.sample_field]
    if isinstance(draws, Mapping) and isinstance(latent, Mapping):
        draws = {name: value for name, value in draws.items() if name in latent}
    named = dict(draws) if isinstance(draws, Mapping) else _numbered(draws)
    sizes = {np.shape(value)[0] for value in named.values() if np.ndim(value)}
    if len(sizes) != 1 or (count := sizes.pop() // chains) < MIN_DRAWS:
        return []
    fields = {}
    for name in getattr(kernel, "diagnostic_fields", ()):
        value = states.get(name, states.get(f".{name}"))
        if value is not None:
            fields[name.rpartition(".")[2]] = np.reshape(np.asarray(value), (chains, -1))
    labels, scalars = _selected(named, chains, count)
    found = [
        _divergences(kernel, fields.get("diverging")),
        _saturation(kernel, fields.get("num_steps")),
        _energy(fields.get("energy"), thinning),
        _stuck(scalars),
        *_mixing(labels, scalars, chains, count),
    ]
    return [message for message in found if message]


def _divergences(kernel: Any, diverging: np.ndarray | None) -> str:
    if diverging is None or not (count := np.count_nonzero(diverging)):
        return ""
    target = getattr(kernel, "target_accept_prob", None)
    raise_it = "Raise target_accept_prob" + (f" (it is {target:g})" if target is not None else "")
    return (
        f"{count} of {diverging.size} trajectories diverged: the draws miss the part of the posterior where they did. "
        f"{raise_it}, or reparameterise the model (numpyro.infer.reparam)."
    )


def _saturation(kernel: Any, num_steps: np.ndarray | None) -> str:
    depth = getattr(kernel, "max_tree_depth", None)
    if num_steps is None or depth is None:
        return ""
    share = np.mean(num_steps >= 2 ** depth[1] - 1)
    if share <= _MAX_SATURATED:
        return ""
    return (
        f"{share:.0%} of the trajectories were cut off at max_tree_depth={depth[1]}: the draws are slow to become "
        "independent. Rescale or reparameterise the model, write dense_mass=True if parameters are correlated, or "
        "raise max_tree_depth."
    )


def _energy(energy: np.ndarray | None, thinning: int) -> str:
    # The energies of thinned draws tell nothing of how much one iteration changes.
    if energy is None or thinning > 1:
        return ""
    fractions = bayesian_fraction_of_missing_information(energy)
    low = np.flatnonzero(fractions < MIN_BFMI)
    if not low.size:
        return ""
    return (
        f"E-BFMI is below {MIN_BFMI} in {_of_chains(low, len(fractions))} (smallest: {np.min(fractions[low]):.2f}): "
        "the sampler hardly reaches the tails. Reparameterise the model (non-centred where scales are unknown), or "
        "take lighter tails."
    )


def _stuck(scalars: np.ndarray) -> str:
    x = scalars[..., :_SCALARS_FOR_MOVES]
    if not x.size or not np.issubdtype(x.dtype, np.floating):
        return ""
    moved = (x[:, 1:] != x[:, :-1]).any(axis=2).mean(axis=1)
    stuck = np.flatnonzero(moved < _MIN_MOVED)
    if not stuck.size:
        return ""
    return (
        f"{_of_chains(stuck, len(moved)).capitalize()} hardly ever moved: the step size or the start does not suit the "
        "posterior. Run a longer warm-up, start elsewhere (init_strategy), or rescale the parameters."
    )


def _mixing(labels: list[str], scalars: np.ndarray, chains: int, count: int) -> list[str]:
    """What R-hat and the effective sample sizes say."""
    if not scalars.size:
        return []
    stride = max(1, min(chains * count // _MAX_DRAWS, count // MIN_DRAWS))
    # Draws that are left out do not change an effective sample size as small as is complained of.
    statistics = rank_statistics(scalars[:, ::stride])
    found = []
    with np.errstate(invalid="ignore"):
        bad = np.flatnonzero(statistics["r_hat"] > MAX_R_HAT)
        if bad.size:
            who = _worst(labels, bad, -statistics["r_hat"], ".3f")
            found.append(
                f"r_hat is above {MAX_R_HAT} for {who}: the chains do not agree. Run longer, with more warm-up; if "
                "that does not help, look for several modes or parameters that the data do not identify."
            )
        least = MIN_EFFECTIVE_SIZE * min(chains, 4)
        remedies = {"bulk": "means and medians are uncertain", "tail": "intervals and quantiles are uncertain"}
        for part, why in remedies.items():
            sizes = statistics[f"ess_{part}"]
            bad = np.flatnonzero(sizes < least)
            if bad.size:
                who = _worst(labels, bad, sizes, ".0f")
                remedy = "Draw more, or reparameterise the model."
                found.append(f"{part} ESS is below {least} for {who}: {why}. {remedy}")
    return found


def _worst(labels: list[str], bad: np.ndarray, order: np.ndarray, style: str) -> str:
    """The scalars in question: by name if there is one, otherwise their number and the worst."""
    worst = bad[np.argmin(order[bad])]
    value = format(abs(order[worst]), style)
    if len(bad) == 1:
        return f"{labels[worst]} ({value})"
    return f"{len(bad)} of {len(labels)} scalars (worst: {labels[worst]}, {value})"


def _of_chains(numbers: np.ndarray, chains: int) -> str:
    if len(numbers) == 1:
        return f"chain {numbers[0]}" if chains > 1 else "the chain"
    return f"chains {', '.join(map(str, numbers[:5]))}{', ...' if len(numbers) > 5 else ''}"


def _selected(named: Mapping[str, Any], chains: int, count: int) -> tuple[list[str], np.ndarray]:
    """Labels and draws, of shape ``(chains, count, scalars)``, of as many scalars as there is time for; small sites
    whole."""
    named = {name: value for name, value in named.items() if _is_number(value) and np.size(value)}
    room = max(len(named), _MAX_NUMBERS // min(chains * count, max(_MAX_DRAWS, chains * MIN_DRAWS)))
    labels: list[str] = []
    columns: list[np.ndarray] = []
    for rest, name in enumerate(sorted(named, key=lambda name: np.size(named[name]))):
        value = named[name]
        shape = np.shape(value)[1:]
        size = int(np.prod(shape))
        taken = min(size, max(1, room // (len(named) - rest)))
        room -= taken
        index = np.linspace(0, size - 1, taken).astype(int)
        columns.append(_columns(value, index).reshape(chains, count, taken))
        labels += [_label(name, shape, i) for i in index]
    return labels, np.concatenate(columns, axis=2) if columns else np.zeros((chains, count, 0))


def _columns(value: Any, index: np.ndarray) -> np.ndarray:
    """Some scalars of each draw, on the host. From a large array on another device only they are moved."""
    size = int(np.prod(np.shape(value)[1:]))
    whole = np.asarray(value) if len(index) == size or _is_on_host(value) else value
    return np.asarray(whole.reshape(len(value), size)[:, index])


def _is_on_host(value: Any) -> bool:
    return not isinstance(value, jax.Array) or all(device.platform == "cpu" for device in value.devices())


def _is_number(value: Any) -> bool:
    return np.dtype(getattr(value, "dtype", object)).kind in "biuf"


def _label(name: str, shape: tuple[int, ...], i: int) -> str:
    return f"{name}[{','.join(map(str, np.unravel_index(i, shape)))}]" if shape else name


def _numbered(draws: Any) -> dict[str, Any]:
    return {f"Param:{i}": leaf for i, leaf in enumerate(jax.tree.leaves(draws))}

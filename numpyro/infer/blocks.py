# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What the blocks of a Gibbs sampler have to do with its model: which has which sites, and whether that can work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from numpyro._shapes import shape_of
from numpyro.handlers import seed, trace
from numpyro.infer.conditioning import (
    deterministic_sites,
    discrete_latent_sites,
    inputs_of_outputs,
    latent_sample_sites,
    listed,
    prototype_trace,
    refuse_all_observed,
    refuse_enumerated,
    subsample_plate_sizes,
    with_conditioning,
)
from numpyro.infer.discrete_gibbs import DiscreteGibbs
from numpyro.infer.hmc import HMC
from numpyro.infer.kernel import MCMCKernel

__all__ = ["Blocks", "Layout", "SiteSelector", "SitesSpec", "find_layout", "model_of", "shared_model"]

Trace = Mapping[str, dict[str, Any]]
SiteSelector = Callable[[Trace], Sequence[str]]
"""A function from a trace of the model to names of sites."""
SitesSpec = Sequence[str] | SiteSelector | None
"""Which sites a block updates: names, a function of the trace, or None for all that no other block updates."""
Blocks = Sequence[tuple[MCMCKernel, SitesSpec]]


@dataclass(frozen=True)
class Layout:
    """What :class:`~numpyro.infer.gibbs.Gibbs` knows about a model.

    :param sites: names of each block's sites.
    :param shapes: shapes of the latent sites in constrained space, by name.
    :param dtypes: their types.
    :param deterministic: names of the deterministic sites.
    """

    sites: tuple[tuple[str, ...], ...]
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, Any]
    deterministic: tuple[str, ...]


def find_layout(blocks: Blocks, model: Callable[..., Any], args: Any, kwargs: Any) -> Layout:
    """Which block has which sites.

    :param blocks: pairs of a kernel and its sites.
    :param model: the conditioned model.
    :param args: its arguments.
    :param kwargs: its keyword arguments.
    :raises ValueError: if the blocks are not made for this model.
    """
    recorded = prototype_trace(model, jax.random.PRNGKey(0), args, kwargs)
    refuse_all_observed(recorded)
    latent = latent_sample_sites(recorded)
    sites = _resolve(blocks, recorded, latent)
    discrete = [name for name in latent if recorded[name]["fn"].is_discrete]
    _check_plates(recorded, discrete)
    for (kernel, _), own in zip(blocks, sites, strict=True):
        wrong = [name for name in own if name in discrete] if isinstance(kernel, HMC) else []
        if wrong:
            raise ValueError(
                f"{type(kernel).__name__} cannot update the discrete sites {listed(wrong)}: the density has no "
                "gradient in them. Give them to a DiscreteGibbs or CustomGibbs block."
            )
        if isinstance(kernel, DiscreteGibbs) and set(own) - set(discrete):
            wrong = sorted(set(own) - set(discrete))
            raise ValueError(f"DiscreteGibbs cannot update {listed(wrong)}: they are not discrete.")
        if isinstance(kernel, HMC):
            _check_supports(model, own, set(latent) - set(own), recorded, args, kwargs)
    shapes = {name: shape_of(recorded[name]["value"]) for name in latent}
    dtypes = {name: jnp.result_type(recorded[name]["value"]) for name in latent}
    return Layout(sites, shapes, dtypes, deterministic_sites(recorded))


def _resolve(blocks: Blocks, recorded: Trace, latent: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The sites of each block."""
    named = [tuple(sites(recorded) if callable(sites) else sites or ()) for _, sites in blocks]
    taken: dict[str, int] = {}
    for i, names in enumerate(named):
        for name in names:
            _check_site(name, recorded, latent)
            if name in taken:
                raise ValueError(
                    f"site '{name}' is in two blocks, of {_title(blocks, taken[name])} and of {_title(blocks, i)}."
                )
            taken[name] = i
    rest = tuple(name for name in latent if name not in taken)
    takes_rest = any(sites is None for _, sites in blocks)
    if rest and not takes_rest:
        raise ValueError(
            f"the latent sites {listed(rest)} are in no block. Add one, or give None as the sites of the block "
            "that shall have all that are left."
        )
    resolved = tuple(rest if sites is None else names for (_, sites), names in zip(blocks, named, strict=True))
    for i, names in enumerate(resolved):
        if not names:
            raise ValueError(_explain_empty(blocks, i, recorded, latent))
    return resolved


def _explain_empty(blocks: Blocks, i: int, recorded: Trace, latent: tuple[str, ...]) -> str:
    kernel, sites = blocks[i]
    if sites is discrete_latent_sites:
        refuse_enumerated(recorded, type(kernel).__name__)
        alone = "NUTS(model)" if any(isinstance(kernel, HMC) for kernel, _ in blocks) else "another kernel"
        return (
            f"the model has no discrete latent site; its latent sites are {listed(latent)}. Sample it by {alone} alone."
        )
    if isinstance(kernel, HMC):
        name = type(kernel).__name__
        return (
            f"no site is left for {name}: the other blocks have all latent sites, {listed(latent)}. Give {name} some "
            "of them, leave it out, or use DiscreteGibbs(model) if all sites are discrete."
        )
    return f"the block of {_title(blocks, i)} has no site."


def _title(blocks: Blocks, i: int) -> str:
    return f"{type(blocks[i][0]).__name__} (number {i})"


def _check_site(name: str, recorded: Trace, latent: tuple[str, ...]) -> None:
    if name in latent:
        return
    site = recorded.get(name)
    why = "the model has no such site"
    if site is not None:
        observed = site["type"] == "sample"
        why = "it is observed, or given by an enclosing kernel" if observed else f"it is a {site['type']} site"
    raise ValueError(f"a block has the site '{name}', but {why}. The latent sites are {listed(latent)}.")


def _check_plates(recorded: Trace, discrete: Sequence[str]) -> None:
    plates = subsample_plate_sizes(recorded)
    if plates:
        remedy = "Use HMCECS, or leave subsample_size out."
        if discrete:
            remedy = f"Leave subsample_size out: no kernel samples discrete sites, {listed(discrete)}, on subsamples."
        raise ValueError(f"the model subsamples the plates {listed(plates)}, so its density is an estimate. {remedy}")


def _check_supports(
    model: Callable[..., Any], own: Sequence[str], others: set[str], recorded: Trace, args: Any, kwargs: Any
) -> None:
    """Refuse sites whose unconstrained coordinates would change their meaning when another block moves."""
    names = [name for name in own if jax.tree.leaves(recorded[name]["fn"].support)]
    if not names or not others:
        return

    def supports(values: dict[str, Any]) -> Any:
        given = with_conditioning(kwargs, values)
        found = trace(seed(model, rng_seed=0)).get_trace(*args, **given)
        return {name: found[name]["fn"].support for name in names}

    values = {name: recorded[name]["value"] for name in recorded if name in others or name in own}
    for name, causes in inputs_of_outputs(supports, values).items():
        wrong = sorted(causes & others)
        if wrong:
            raise ValueError(
                f"the support of site '{name}' depends on {listed(wrong)} of another block, so HMC cannot hold it "
                "in unconstrained space while that moves. Put both in one block, or write the site as a transform "
                "of one whose support is fixed."
            )


def model_of(kernel: MCMCKernel) -> Any:
    """The model of a kernel, or None if it has none."""
    return getattr(kernel, "model", None)


def shared_model(kernels: Sequence[MCMCKernel]) -> Callable[..., Any]:
    """The model of the kernels, which must fit together."""
    if not kernels:
        raise ValueError("Gibbs needs at least one block: a pair of a kernel and its sites.")
    models = []
    for kernel in kernels:
        name = type(kernel).__name__
        if not isinstance(kernel, MCMCKernel):
            raise ValueError(f"a block must be a pair of an MCMC kernel and its sites, but {kernel!r} is no kernel.")
        if kernel.is_ensemble_kernel:
            raise ValueError(f"{name} moves all chains together, so it cannot be a block of Gibbs.")
        if type(kernel).refresh is MCMCKernel.refresh:
            raise ValueError(f"{name} does not implement `refresh`, so it cannot be a block of Gibbs.")
        if isinstance(kernel, HMC) and kernel.model is None:
            raise ValueError(f"{name}(potential_fn=...) cannot be a block of Gibbs: write {name}(model).")
        if model_of(kernel) is not None:
            models.append(model_of(kernel))
    if not models:
        raise ValueError(
            "no block knows the model. Make one of them of NUTS(model), HMC(model) or DiscreteGibbs(model)."
        )
    if any(model is not models[0] for model in models):
        raise ValueError("the blocks of Gibbs have different models. Make all kernels of the same function.")
    return models[0]

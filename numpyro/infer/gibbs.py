# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Gibbs sampling by blocks: each kernel updates some sites of a model, given the values of the others.

:class:`Gibbs` puts kernels together; :class:`CustomGibbs` and :class:`DiscreteGibbs` are blocks beside
:class:`~numpyro.infer.hmc.HMC` and :class:`~numpyro.infer.hmc.NUTS`. Updates that leave the conditional distributions
of their blocks invariant leave the joint distribution invariant (Geman and Geman 1984, *Stochastic Relaxation, Gibbs
Distributions, and the Bayesian Restoration of Images*).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import copy
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro.infer.blocks import Layout, SiteSelector, SitesSpec, find_layout, model_of, shared_model
from numpyro.infer.chain import strongly_typed
from numpyro.infer.conditioning import (
    GIBBS_SITES_KWARG,
    ByShapes,
    any_changed,
    check_names,
    conditioned,
    discrete_latent_sites,
    discrete_support_sizes,
    drawn_trace,
    latent_sample_sites,
    listed,
    prototype_trace,
    subsample_plate_sizes,
    with_conditioning,
    with_deterministic,
)
from numpyro.infer.custom_gibbs import CustomGibbs, CustomGibbsState, GibbsUpdateFn
from numpyro.infer.discrete import discrete_gibbs_sweep, select_discrete_proposal
from numpyro.infer.discrete_gibbs import DiscreteGibbs, DiscreteGibbsState
from numpyro.infer.hmc import HMC
from numpyro.infer.initialization import first_valid, given_values
from numpyro.infer.kernel import MCMCKernel
from numpyro.infer.random_words import derived_key

__all__ = [
    "GIBBS_SITES_KWARG",
    "CustomGibbs",
    "CustomGibbsState",
    "DiscreteGibbs",
    "DiscreteGibbsState",
    "Gibbs",
    "GibbsState",
    "GibbsUpdateFn",
    "ModelWrapper",
    "ProposalFn",
    "SiteSelector",
    "SitesSpec",
    "any_changed",
    "conditioned",
    "discrete_gibbs_sweep",
    "discrete_latent_sites",
    "discrete_support_sizes",
    "latent_sample_sites",
    "prototype_trace",
    "select_discrete_proposal",
    "subsample_plate_sizes",
    "with_conditioning",
]

ModelWrapper = Callable[[Callable[..., Any]], Callable[..., Any]]
"""A function from a model to a model of the same arguments."""
ProposalFn = Callable[[Any, dict[str, Any], Any, Callable[[dict[str, Any]], Any], Any, Any], tuple[Any, Any, Any, Any]]
"""``proposal(rng_key, z, potential_energy, potential_fn, idx, support_size)`` gives a new random key, the proposed
values, their potential energy and the logarithm of the acceptance ratio."""


class GibbsState(NamedTuple):
    """State of :class:`Gibbs`.

    :param z: values of all latent sites, each as its block holds it: in unconstrained space for HMC and NUTS.
    :param block_states: states of the blocks, in their order. Extra fields name them like
        ``"block_states.1.num_steps"``.
    :param rng_key: random key of the next iteration.
    """

    z: Any
    block_states: Any
    rng_key: Any

    @property
    def diverging(self) -> Any:
        """Whether a trajectory of this iteration diverged."""
        return _any_diverging(self.block_states)


def _any_diverging(block_states: Any) -> Any:
    found = [state.diverging for state in block_states if hasattr(state, "diverging")]
    return found[0] if len(found) == 1 else jnp.any(jnp.stack(found), axis=0)


class Gibbs(ByShapes, MCMCKernel):
    """Updates the latent sites of a model block by block, each block by a kernel of its own.

    An iteration runs each block's kernel once, in order, on the model given the current values of all sites that the
    block does not have. Sites that depend strongly on each other should be in one block. HMC and NUTS adapt to the
    conditional distribution of their block.

    :param blocks: pairs of a kernel and its sites. Kernels are :class:`~numpyro.infer.hmc.HMC`,
        :class:`~numpyro.infer.hmc.NUTS`, :class:`DiscreteGibbs`, :class:`CustomGibbs`, and any others that implement
        ``refresh`` and, if they hold a model, ``wrap_model``; all of the same model. Sites are names, or a function
        from a trace of the model to names, such as :func:`discrete_latent_sites`, or None for all that no other block
        has (at most once).
    :raises ValueError: if the blocks cannot go together; when run, if their sites are not those of the model, a
        discrete site is left to HMC, or the support of a site in an HMC block depends on another block.

    **Reference:** Geman and Geman (1984), *Stochastic Relaxation, Gibbs Distributions, and the Bayesian Restoration of
    Images*; Tierney (1994), *Markov Chains for Exploring Posterior Distributions*, for kernels that are no draws from
    conditional distributions.

    >>> import numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import MCMC, NUTS
    >>> def model(y):
    ...     kind = numpyro.sample("kind", dist.Categorical(np.array([0.2, 0.8])))
    ...     a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    ...     b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    ...     numpyro.sample("y", dist.Normal(a + b + kind, 1.0), obs=y)
    >>> def update_b(rng_key, gibbs_sites, hmc_sites):
    ...     residual = 2.0 - hmc_sites["a"] - hmc_sites["kind"]
    ...     return {"b": dist.Normal(residual / 2, np.sqrt(0.5)).sample(rng_key)}
    >>> kernel = Gibbs([
    ...     (DiscreteGibbs(model), discrete_latent_sites),
    ...     (CustomGibbs(update_b), ["b"]),
    ...     (NUTS(model), None),
    ... ])
    >>> mcmc = MCMC(kernel, num_warmup=200, num_samples=200, progress_bar=False)
    >>> mcmc.run(jax.random.PRNGKey(0), 2.0)
    >>> sorted(mcmc.get_samples())
    ['a', 'b', 'kind']
    """

    sample_field = "z"
    _state_type: type[GibbsState] = GibbsState

    def __init__(self, blocks: Sequence[tuple[MCMCKernel, SitesSpec]]) -> None:
        for kernel, sites in blocks:
            if isinstance(sites, str):
                raise ValueError(
                    f"the sites of {type(kernel).__name__} must be a list of names, but they are {sites!r}. Write "
                    f"[{sites!r}]."
                )
        blocks = [(kernel, sites if callable(sites) or sites is None else tuple(sites)) for kernel, sites in blocks]
        self._model = shared_model([kernel for kernel, _ in blocks])
        if sum(sites is None for _, sites in blocks) > 1:
            raise ValueError("only one block may have None, all sites that no other block has, as its sites.")
        self._blocks = tuple((_on_conditioned(kernel), sites) for kernel, sites in blocks)
        self._conditioned = conditioned(self._model)
        self.is_pure = all(kernel.is_pure or isinstance(kernel, HMC) for kernel, _ in self._blocks)
        self._layouts = {}

    @property
    def model(self) -> Callable[..., Any]:
        """The model."""
        return self._model

    @property
    def blocks(self) -> tuple[tuple[MCMCKernel, SitesSpec], ...]:
        """The kernels, on the conditioned model, and what was said of their sites."""
        return self._blocks

    @property
    def default_fields(self) -> tuple[str, ...]:
        return ("z", "diverging") if any(isinstance(kernel, HMC) for kernel, _ in self._blocks) else ("z",)

    @property
    def diagnostic_fields(self) -> tuple[str, ...]:
        found = [i for i, (kernel, _) in enumerate(self._blocks) if isinstance(kernel, HMC)]
        if len(found) != 1:
            return ("diverging",) if found else ()
        state = "hmc_state" if hasattr(self._state_type, "hmc_state") else f"block_states.{found[0]}"
        return ("diverging", f"{state}.num_steps")

    @property
    def max_tree_depth(self) -> tuple[int, int] | None:
        """That of NUTS, if it is the only block of HMC."""
        return getattr(self._hmc[0], "max_tree_depth", None) if len(self._hmc) == 1 else None

    @property
    def target_accept_prob(self) -> float | None:
        """That of HMC or NUTS, if it is one block only."""
        return self._hmc[0].target_accept_prob if len(self._hmc) == 1 else None

    def get_diagnostics_str(self, state: GibbsState) -> str:
        parts = [
            kernel.get_diagnostics_str(part) for (kernel, _), part in zip(self._blocks, state.block_states, strict=True)
        ]
        return "; ".join(filter(None, parts))

    def _what_is_drawn(self, state: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]) -> Any:
        layout = self._layout(model_args, model_kwargs)
        values = {name: jnp.ones(shape, layout.dtypes[name]) for name, shape in layout.shapes.items()}
        updates = []
        for (kernel, _), own in zip(self._blocks, layout.sites, strict=True):
            if isinstance(kernel, CustomGibbs):
                sites = {name: values[name] for name in own}
                others = {name: value for name, value in values.items() if name not in own}
                key = jax.random.PRNGKey(0)
                updates.append(kernel.gibbs_fn(rng_key=key, gibbs_sites=sites, hmc_sites=others))
        return super()._what_is_drawn(state, model_args, model_kwargs), updates

    def _parts_of_it(self) -> Sequence[MCMCKernel]:
        return [kernel for kernel, _ in self._blocks]

    def _layout(self, args: Any, kwargs: Any) -> Layout:
        return self._once(lambda args, kwargs: find_layout(self._blocks, self._conditioned, args, kwargs), args, kwargs)

    @property
    def _hmc(self) -> list[HMC]:
        return [kernel for kernel, _ in self._blocks if isinstance(kernel, HMC)]

    # The kernel's interface

    def init(
        self, rng_key: Any, num_warmup: int, init_params: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]
    ) -> GibbsState:
        """The state at the start. Sites without gradient are drawn from their priors, and anew if HMC finds no valid
        start given them.

        :param init_params: values of some sites, for HMC blocks in unconstrained space and of all sites of the block.
        """
        layout = self._layout(model_args, model_kwargs)
        given = {name: jnp.asarray(value) for name, value in (init_params or {}).items()}
        check_names(given, layout.shapes)
        fixed: dict[str, Any] = {}
        for hmc in self._hmc:
            fixed |= given_values(hmc._init_strategy)
        for (kernel, _), own in zip(self._blocks, layout.sites, strict=True):
            missing = [name for name in own if name not in given]
            if not isinstance(kernel, HMC):
                fixed |= {name: given[name] for name in own if name in given}
            elif missing and len(missing) < len(own):
                raise ValueError(
                    f"`init_params` has values for some sites of {type(kernel).__name__}, but none for "
                    f"{listed(missing)}. Give them all, in unconstrained space, or none."
                )
        fixed = {name: value for name, value in fixed.items() if name in layout.shapes}
        prior_key, *keys = (derived_key(rng_key, number) for number in range(len(self._blocks) + 1))

        def attempt(key: Any) -> GibbsState:
            recorded = drawn_trace(self._conditioned, key, model_args, model_kwargs, fixed)
            values = {name: jnp.asarray(recorded[name]["value"], layout.dtypes[name]) for name in layout.shapes}
            states: list[Any] = []
            for (kernel, _), own, own_key in zip(self._blocks, layout.sites, keys, strict=True):
                kwargs = _given_others(values, own, model_kwargs)
                state: Any
                if isinstance(kernel, HMC):
                    params = {name: given[name] for name in own} if own[0] in given else None
                    state = kernel.find_start(own_key, num_warmup, params, model_args, kwargs)
                    values = values | self._constrain(kernel, state.z, model_args, kwargs)
                elif isinstance(kernel, DiscreteGibbs):
                    unknown = jnp.full((), jnp.inf, jnp.result_type(float))
                    state = DiscreteGibbsState({name: values[name] for name in own}, unknown, own_key)
                else:
                    start = {name: values[name] for name in own} if isinstance(kernel, CustomGibbs) else None
                    state = kernel.init(own_key, num_warmup, start, model_args, kwargs)
                states.append(state)
            return strongly_typed(jax.tree.map(jnp.asarray, self._joined(states, rng_key)))

        def is_valid(state: GibbsState) -> Any:
            found = [
                jnp.isfinite(part.potential_energy)
                for (kernel, _), part in zip(self._blocks, state.block_states, strict=True)
                if isinstance(kernel, HMC)
            ]
            return jnp.all(jnp.stack(found)) if found else jnp.ones((), bool)

        return first_valid(attempt, is_valid, prior_key)[0]

    def check_start(
        self, state: Any, init_params: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]
    ) -> None:
        layout = self._layout(model_args, model_kwargs)
        for i, ((kernel, _), own) in enumerate(zip(self._blocks, layout.sites, strict=True)):
            if not isinstance(kernel, HMC):
                continue
            invalid = ~np.isfinite(np.asarray(state.block_states[i].potential_energy))
            if invalid.any():
                chain = int(np.argmax(invalid))
                states = (
                    jax.tree.map(lambda x, j=chain: x[j], state.block_states) if invalid.ndim else state.block_states
                )
                values = self._values(states, layout, model_args, model_kwargs)
                start = init_params if own[0] in (init_params or {}) else None
                kernel.check_start(states[i], start, model_args, _given_others(values, own, model_kwargs))

    def sample(self, state: GibbsState, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]) -> GibbsState:
        """Run each block's kernel once."""
        layout = self._layout(model_args, model_kwargs)
        rng_key, *keys = (derived_key(state.rng_key, number) for number in range(len(self._blocks) + 1))
        before = values = self._values(state.block_states, layout, model_args, model_kwargs)
        states = []
        for i, ((kernel, _), own) in enumerate(zip(self._blocks, layout.sites, strict=True)):
            kwargs = _given_others(values, own, model_kwargs)
            changed: Any = jnp.ones((), bool)
            if i == len(self._blocks) - 1 > 0:
                # Nothing else has moved since the last block did.
                others = [name for name in values if name not in own]
                changed = any_changed(*({name: part[name] for name in others} for part in (before, values)))
            part = _with_key(state.block_states[i], keys[i])
            part = kernel.sample_after_change(part, model_args, kwargs, changed)
            states.append(part)
            values = values | self._constrain(kernel, getattr(part, kernel.sample_field), model_args, kwargs)
        return self._joined(states, rng_key)

    def _joined(self, states: Sequence[Any], rng_key: Any) -> GibbsState:
        z: dict[str, Any] = {}
        for (kernel, _), part in zip(self._blocks, states, strict=True):
            z |= getattr(part, kernel.sample_field)
        return self._state_type(z, tuple(states), rng_key)

    @staticmethod
    def _constrain(kernel: MCMCKernel, z: Any, args: Any, kwargs: Any) -> dict[str, Any]:
        return kernel.get_constrain_fn(args, kwargs)(z)

    def _values(self, block_states: Any, layout: Layout, args: Any, kwargs: Any) -> dict[str, Any]:
        parts = [
            getattr(part, kernel.sample_field) for (kernel, _), part in zip(self._blocks, block_states, strict=True)
        ]
        return self._constrained(parts, layout, args, kwargs)

    def _constrained(self, parts: Sequence[Any], layout: Layout, args: Any, kwargs: Any) -> dict[str, Any]:
        """Values of all latent sites in constrained space. Where a block's transforms need the model run, they depend
        on no other block, which may hold anything then."""
        values = {name: jnp.ones(shape, layout.dtypes[name]) for name, shape in layout.shapes.items()}
        for (kernel, _), own, z in zip(self._blocks, layout.sites, parts, strict=True):
            values |= self._constrain(kernel, z, args, _given_others(values, own, kwargs))
        return values

    def refresh(
        self, state: GibbsState, model_args: tuple[Any, ...], model_kwargs: dict[str, Any] | None
    ) -> GibbsState:
        """The state for other arguments of the model. :meth:`sample` looks after all blocks but the last, which it only
        refreshes if others have moved."""
        kwargs = model_kwargs or {}
        layout = self._layout(model_args, kwargs)
        values = self._values(state.block_states, layout, model_args, kwargs)
        given = _given_others(values, layout.sites[-1], kwargs)
        last = self._blocks[-1][0].refresh(state.block_states[-1], model_args, given)
        return state._replace(block_states=(*state.block_states[:-1], last))

    def wrap_model(self, wrapper: Callable[..., Any]) -> Gibbs:
        """The same kernel for the model ``wrapper(model)``."""
        other = copy.copy(self)
        other._model, other._layouts = wrapper(self._model), {}
        other._conditioned = conditioned(other._model)
        other._blocks = tuple(
            (kernel if model_of(kernel) is None else kernel.wrap_model(lambda _: other._conditioned), sites)
            for kernel, sites in self._blocks
        )
        return other

    def get_constrain_fn(self, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]) -> Callable[[Any], Any]:
        """The function from a state's ``z`` to values of all latent sites in constrained space."""
        layout = self._layout(model_args, model_kwargs)

        def constrain(z: Any) -> dict[str, Any]:
            parts = [{name: z[name] for name in own} for own in layout.sites]
            return self._constrained(parts, layout, model_args, model_kwargs)

        return constrain

    def postprocess_fn(self, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]) -> Callable[[Any], Any]:
        """The function from a state's ``z`` to values of all latent and deterministic sites."""
        constrain = self.get_constrain_fn(model_args, model_kwargs)
        names = self._layout(model_args, model_kwargs).deterministic
        if not names:
            return constrain
        return with_deterministic(self._conditioned, names, constrain, model_args, model_kwargs)


def _given_others(values: dict[str, Any], own: Sequence[str], kwargs: dict[str, Any]) -> dict[str, Any]:
    return with_conditioning(kwargs, {name: value for name, value in values.items() if name not in own})


def _with_key(state: Any, rng_key: Any) -> Any:
    """The state with a new random key, so that runs resumed with different keys differ."""
    return state._replace(rng_key=rng_key) if hasattr(state, "_replace") and hasattr(state, "rng_key") else state


def _on_conditioned(kernel: MCMCKernel) -> MCMCKernel:
    return kernel if model_of(kernel) is None else kernel.wrap_model(conditioned)

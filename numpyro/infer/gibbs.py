# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Gibbs sampling by blocks: each kernel updates some sites of a model, given the values of the others.

:class:`Gibbs` puts kernels together; :class:`CustomGibbs` and :class:`DiscreteGibbs` are blocks beside
:class:`~numpyro.infer.hmc.HMC` and :class:`~numpyro.infer.hmc.NUTS`. Updates that leave the conditional distributions
of their blocks invariant leave the joint distribution invariant (Geman and Geman 1984, *Stochastic Relaxation, Gibbs
Distributions, and the Bayesian Restoration of Images*).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import copy
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import shape_of
from numpyro.handlers import seed, trace
from numpyro.infer.arguments import combine, partition
from numpyro.infer.chain import strongly_typed
from numpyro.infer.conditioning import (
    GIBBS_SITES_KWARG,
    any_changed,
    conditioned,
    discrete_latent_sites,
    discrete_support_sizes,
    drawn_trace,
    inputs_of_outputs,
    latent_sample_sites,
    listed,
    prototype_trace,
    subsample_plate_sizes,
    with_conditioning,
)
from numpyro.infer.discrete import (
    DiscreteTarget,
    discrete_gibbs_sweep,
    discrete_target,
    select_discrete_proposal,
)
from numpyro.infer.hmc import HMC
from numpyro.infer.initialization import first_valid, given_values
from numpyro.infer.kernel import MCMCKernel
from numpyro.infer.random_words import derived_key
from numpyro.util import identity

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

Trace = Mapping[str, dict[str, Any]]
ModelWrapper = Callable[[Callable[..., Any]], Callable[..., Any]]
"""A function from a model to a model of the same arguments."""
ProposalFn = Callable[[Any, dict[str, Any], Any, Callable[[dict[str, Any]], Any], Any, Any], tuple[Any, Any, Any, Any]]
"""``proposal(rng_key, z, potential_energy, potential_fn, idx, support_size)`` gives a new random key, the proposed
values, their potential energy and the logarithm of the acceptance ratio."""
SiteSelector = Callable[[Trace], Sequence[str]]
"""A function from a trace of the model to names of sites."""
SitesSpec = Sequence[str] | SiteSelector | None
"""Which sites a block updates: names, a function of the trace, or None for all that no other block updates."""


class GibbsUpdateFn(Protocol):
    """What a user's update looks like.

    ``gibbs_sites`` holds the current values of the block's sites, ``hmc_sites`` those of all other latent sites; both
    in constrained space. It returns a dict of new values for the block's sites.
    """

    def __call__(self, *, rng_key: Any, gibbs_sites: dict[str, Any], hmc_sites: dict[str, Any]) -> dict[str, Any]: ...


class CustomGibbsState(NamedTuple):
    """State of :class:`CustomGibbs`.

    :param z: values of the block's sites.
    :param rng_key: random key of the next iteration.
    """

    z: Any
    rng_key: Any


class DiscreteGibbsState(NamedTuple):
    """State of :class:`DiscreteGibbs`.

    :param z: values of the discrete sites.
    :param potential_energy: minus the log density of the model there.
    :param rng_key: random key of the next iteration.
    """

    z: Any
    potential_energy: Any
    rng_key: Any


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


class CustomGibbs(MCMCKernel):
    """A block of :class:`Gibbs` that a function of the user's updates.

    :param gibbs_fn: ``gibbs_fn(rng_key=..., gibbs_sites=..., hmc_sites=...)`` returns new values of the block's sites,
        drawn given the values ``hmc_sites`` of all others, or by any other update that leaves this conditional
        distribution invariant. Nothing checks that it does. See :class:`GibbsUpdateFn`.

    See :class:`Gibbs` for an example.
    """

    sample_field = "z"
    is_pure = True

    def __init__(self, gibbs_fn: GibbsUpdateFn) -> None:
        if not callable(gibbs_fn):
            raise ValueError(f"`gibbs_fn` must be a function, but it is {gibbs_fn!r}.")
        self.gibbs_fn = gibbs_fn

    def init(
        self, rng_key: Any, num_warmup: int, init_params: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]
    ) -> CustomGibbsState:
        """The state at values ``init_params`` of the block's sites."""
        if init_params is None:
            raise ValueError(
                "CustomGibbs cannot run by itself: it does not know the model. Make it a block, "
                "Gibbs([(CustomGibbs(gibbs_fn), sites), (NUTS(model), None)])."
            )
        return CustomGibbsState(jax.tree.map(jnp.asarray, init_params), rng_key)

    def sample(
        self, state: CustomGibbsState, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]
    ) -> CustomGibbsState:
        """Call ``gibbs_fn`` with the values of the other sites."""
        own_key, rng_key = (derived_key(state.rng_key, number) for number in range(2))
        others = model_kwargs.get(GIBBS_SITES_KWARG, {})
        new = self.gibbs_fn(rng_key=own_key, gibbs_sites=dict(state.z), hmc_sites=dict(others))
        return CustomGibbsState(_checked(new, state.z), rng_key)

    def refresh(self, state: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any] | None) -> Any:
        """The same state: it holds nothing that depends on other sites."""
        return state

    def wrap_model(self, wrapper: Callable[..., Any]) -> CustomGibbs:
        """The same kernel: it has no model."""
        return self


def _checked(new: Any, old: dict[str, Any]) -> dict[str, Any]:
    """The values that ``gibbs_fn`` returned, if they can take the place of the old ones."""
    if not isinstance(new, Mapping):
        raise ValueError(
            f"`gibbs_fn` must return a dict with new values of {listed(old)}, but it returned {type(new).__name__}."
        )
    if set(new) != set(old):
        missing, unknown = sorted(set(old) - set(new)), sorted(set(new) - set(old))
        raise ValueError(
            f"`gibbs_fn` must return new values of {listed(old)}; "
            + "; ".join(
                f"{what} {listed(names)}"
                for what, names in (("it left out", missing), ("it returned also", unknown))
                if names
            )
            + "."
        )
    checked = {}
    for name, before in old.items():
        value = jnp.asarray(new[name])
        if value.shape != before.shape:
            raise ValueError(
                f"`gibbs_fn` returned a value of shape {value.shape} for site '{name}', whose shape is {before.shape}."
            )
        if not np.can_cast(value.dtype, before.dtype, "same_kind") and value.dtype != bool:
            raise ValueError(
                f"`gibbs_fn` returned a value of type {value.dtype} for site '{name}', whose type is {before.dtype}."
            )
        checked[name] = value.astype(before.dtype)
    return checked


class ByShapes:
    """Mixin: what is found out about a model once for each kind of arguments."""

    _layouts: dict[Any, Any]

    def _once(self, find: Callable[[Any, Any], Any], args: Any, kwargs: Any) -> Any:
        """``find(args, kwargs)``, which depends on nothing but the shapes of the arrays in them. It is called with
        abstract arrays."""
        arrays, static = partition((args, kwargs))
        key = (static, tuple((np.shape(array), np.dtype(array.dtype).name) for array in arrays))
        if key not in self._layouts:
            found: list[Any] = []
            jax.eval_shape(lambda arrays: found.append(find(*combine(arrays, static))), arrays)
            self._layouts[key] = found[0]
        return self._layouts[key]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_layouts": {}}


class DiscreteGibbs(ByShapes, MCMCKernel):
    """Updates each element of the discrete latent sites in turn, in random order.

    By itself it samples models whose latent sites are all discrete; as a block of :class:`Gibbs` the discrete sites of
    any model. Each element's new value is drawn from its distribution given all others, for which the model's density
    is evaluated at each value: an iteration costs the number of elements times the size of their supports. Elements
    that depend strongly on each other mix slowly, since one moves at a time.

    :param model: a model. Its discrete sites must be univariate and have finite supports, which may depend on other
        sites.
    :param random_walk: whether to propose uniformly from the support, and accept by Metropolis's rule; one evaluation
        for each element.
    :param modified: whether never to propose the current value, which is better asymptotically.
    :raises ValueError: when run, if the model has no discrete latent site, or one whose support is not finite.

    **Reference:** Liu (1996), *Peskun's theorem and a modified discrete-state Gibbs sampler*.

    >>> import numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import MCMC
    >>> def model(y):
    ...     rain = numpyro.sample("rain", dist.Bernoulli(0.2))
    ...     numpyro.sample("wet", dist.Bernoulli(jnp.where(rain == 1, 0.9, 0.1)), obs=y)
    >>> mcmc = MCMC(DiscreteGibbs(model), num_warmup=0, num_samples=2000, progress_bar=False)
    >>> mcmc.run(jax.random.PRNGKey(0), 1)
    >>> bool(abs(mcmc.get_samples()["rain"].mean() - 0.18 / 0.26) < 0.05)
    True
    """

    sample_field = "z"
    is_pure = True

    def __init__(self, model: Callable[..., Any], *, random_walk: bool = False, modified: bool = False) -> None:
        self._model = model
        self._conditioned = conditioned(model)
        self.proposal = select_discrete_proposal(random_walk, modified)
        self._layouts = {}

    @property
    def model(self) -> Callable[..., Any]:
        """The model."""
        return self._model

    def target(self, args: Any, kwargs: Any) -> DiscreteTarget:
        """The density of the model as a function of its discrete sites."""
        return self._layout(args, kwargs)[0]

    def _layout(self, args: Any, kwargs: Any) -> tuple[DiscreteTarget, tuple[str, ...]]:
        """That, and the names of the deterministic sites."""

        def find(args: Any, kwargs: Any) -> tuple[DiscreteTarget, tuple[str, ...]]:
            recorded = prototype_trace(self._conditioned, jax.random.PRNGKey(0), args, kwargs)
            names = discrete_latent_sites(recorded)
            others = sorted(set(latent_sample_sites(recorded)) - set(names))
            if not names:
                raise ValueError("the model has no discrete latent site. Sample its continuous ones by NUTS or HMC.")
            if others:
                raise ValueError(
                    f"DiscreteGibbs updates the discrete sites {listed(names)} only, but {listed(others)} must be "
                    "sampled too: use DiscreteHMCGibbs(NUTS(model)), or a block for them in Gibbs."
                )
            return discrete_target(self._conditioned, recorded, names), deterministic_sites(recorded)

        return self._once(find, args, kwargs)

    def get_potential_fn(
        self, model_args: tuple[Any, ...] = (), model_kwargs: dict[str, Any] | None = None
    ) -> Callable[[Any], Any]:
        """Minus the log density of the model as a function of the values of the discrete sites."""
        return self.target(model_args, model_kwargs or {}).potential_fn(model_args, model_kwargs or {})

    def init(
        self, rng_key: Any, num_warmup: int, init_params: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]
    ) -> DiscreteGibbsState:
        """The state at the start: values drawn from the prior until their density is not zero, or ``init_params``."""
        target = self.target(model_args, model_kwargs)
        potential_fn = target.potential_fn(model_args, model_kwargs)
        check_names(init_params, target.shapes)

        def attempt(key: Any) -> Any:
            recorded = prototype_trace(self._conditioned, key, model_args, model_kwargs)
            drawn = {name: recorded[name]["value"] for name in target.shapes} | dict(init_params or {})
            z = {name: jnp.asarray(drawn[name], target.dtypes[name]) for name in target.shapes}
            return strongly_typed(DiscreteGibbsState(z, potential_fn(z), rng_key))

        return first_valid(attempt, lambda state: jnp.isfinite(state.potential_energy), rng_key)[0]

    def check_start(
        self, state: Any, init_params: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]
    ) -> None:
        if not np.all(np.isfinite(np.asarray(state.potential_energy))):
            raise RuntimeError(
                f"Cannot find valid initial values of {listed(state.z)}: the density of the model is zero at "
                "`init_params`, or at all values that were drawn from the prior. Give others as init_params=."
            )

    def sample(
        self, state: DiscreteGibbsState, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]
    ) -> DiscreteGibbsState:
        """Update each element once."""
        own_key, rng_key = (derived_key(state.rng_key, number) for number in range(2))
        target = self.target(model_args, model_kwargs)
        z, energy = target.sweep(
            self.proposal, own_key, state.z, state.potential_energy, model_args, model_kwargs or {}
        )
        return DiscreteGibbsState(z, energy, rng_key)

    def refresh(
        self, state: DiscreteGibbsState, model_args: tuple[Any, ...], model_kwargs: dict[str, Any] | None
    ) -> DiscreteGibbsState:
        """Evaluate the potential energy anew, for other arguments of the model."""
        return state._replace(potential_energy=self.get_potential_fn(model_args, model_kwargs)(state.z))

    def wrap_model(self, wrapper: Callable[..., Any]) -> DiscreteGibbs:
        """The same kernel for the model ``wrapper(model)``."""
        other = copy.copy(self)
        other._model, other._layouts = wrapper(self._model), {}
        other._conditioned = conditioned(other._model)
        return other

    def postprocess_fn(self, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]) -> Callable[[Any], Any]:
        """The function that adds the deterministic sites to the values of the discrete ones."""
        names = self._layout(model_args, model_kwargs)[1]
        return with_deterministic(self._conditioned, names, dict, model_args, model_kwargs) if names else identity


def check_names(init_params: Any, names: Any) -> None:
    unknown = sorted(set(init_params or {}) - set(names))
    if unknown:
        raise ValueError(f"`init_params` has values for {listed(unknown)}, but the latent sites are {listed(names)}.")


def deterministic_sites(model_trace: Trace) -> tuple[str, ...]:
    """Names of the deterministic sites of a trace."""
    return tuple(name for name, site in model_trace.items() if site["type"] == "deterministic")


def with_deterministic(
    model: Callable[..., Any], names: Sequence[str], constrain: Callable[[Any], Any], args: Any, kwargs: Any
) -> Callable[[Any], Any]:
    """``constrain``, with the values of the deterministic sites ``names`` of a conditioned model."""

    def postprocess(z: Any) -> Any:
        values = constrain(z)
        recorded = trace(seed(model, rng_seed=0)).get_trace(*args, **with_conditioning(kwargs, values))
        return values | {name: recorded[name]["value"] for name in names}

    return postprocess


@dataclass(frozen=True)
class _Layout:
    """What :class:`Gibbs` knows about a model.

    :param sites: names of each block's sites.
    :param shapes: shapes of the latent sites in constrained space, by name.
    :param dtypes: their types.
    :param deterministic: names of the deterministic sites.
    """

    sites: tuple[tuple[str, ...], ...]
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, Any]
    deterministic: tuple[str, ...]


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
        blocks = [(kernel, sites if callable(sites) or sites is None else tuple(sites)) for kernel, sites in blocks]
        self._model = _shared_model([kernel for kernel, _ in blocks])
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

    def get_diagnostics_str(self, state: GibbsState) -> str:
        parts = [
            kernel.get_diagnostics_str(part) for (kernel, _), part in zip(self._blocks, state.block_states, strict=True)
        ]
        return "; ".join(filter(None, parts))

    # What the model and the blocks have to do with each other

    def _layout(self, args: Any, kwargs: Any) -> _Layout:
        return self._once(self._find_layout, args, kwargs)

    def _find_layout(self, args: Any, kwargs: Any) -> _Layout:
        recorded = prototype_trace(self._conditioned, jax.random.PRNGKey(0), args, kwargs)
        latent = latent_sample_sites(recorded)
        sites = self._resolve(recorded, latent)
        self._check_plates(recorded)
        discrete = [name for name in latent if recorded[name]["fn"].is_discrete]
        for (kernel, _), own in zip(self._blocks, sites, strict=True):
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
                self._check_supports(own, set(latent) - set(own), recorded, args, kwargs)
        shapes = {name: shape_of(recorded[name]["value"]) for name in latent}
        dtypes = {name: jnp.result_type(recorded[name]["value"]) for name in latent}
        return _Layout(sites, shapes, dtypes, deterministic_sites(recorded))

    def _resolve(self, recorded: Trace, latent: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """The sites of each block."""
        named = [tuple(sites(recorded) if callable(sites) else sites or ()) for _, sites in self._blocks]
        taken: dict[str, int] = {}
        for i, names in enumerate(named):
            for name in names:
                self._check_site(name, recorded, latent)
                if name in taken:
                    raise ValueError(
                        f"site '{name}' is in two blocks, of {self._title(taken[name])} and of {self._title(i)}."
                    )
                taken[name] = i
        rest = tuple(name for name in latent if name not in taken)
        takes_rest = any(sites is None for _, sites in self._blocks)
        if rest and not takes_rest:
            raise ValueError(
                f"the latent sites {listed(rest)} are in no block. Add one, or give None as the sites of the block "
                "that shall have all that are left."
            )
        resolved = tuple(
            rest if sites is None else names for (_, sites), names in zip(self._blocks, named, strict=True)
        )
        for i, names in enumerate(resolved):
            if not names:
                raise ValueError(self._explain_empty(i, latent))
        return resolved

    def _explain_empty(self, i: int, latent: tuple[str, ...]) -> str:
        kernel, sites = self._blocks[i]
        if sites is discrete_latent_sites:
            return (
                "the model has no discrete latent site that is not enumerated; its latent sites are "
                f"{listed(latent)}. Sample it by {'NUTS(model)' if self._hmc else 'another kernel'} alone."
            )
        if isinstance(kernel, HMC):
            return (
                f"no site is left for {type(kernel).__name__}: the other blocks have all latent sites, "
                f"{listed(latent)}. Leave it out, or use DiscreteGibbs(model) if all sites are discrete."
            )
        return f"the block of {self._title(i)} has no site."

    def _title(self, i: int) -> str:
        return f"{type(self._blocks[i][0]).__name__} (number {i})"

    @property
    def _hmc(self) -> list[HMC]:
        return [kernel for kernel, _ in self._blocks if isinstance(kernel, HMC)]

    @staticmethod
    def _check_site(name: str, recorded: Trace, latent: tuple[str, ...]) -> None:
        if name in latent:
            return
        site = recorded.get(name)
        why = "the model has no such site"
        if site is not None:
            observed = site["type"] == "sample"
            why = "it is observed, or given by an enclosing kernel" if observed else f"it is a {site['type']} site"
        raise ValueError(f"a block has the site '{name}', but {why}. The latent sites are {listed(latent)}.")

    @staticmethod
    def _check_plates(recorded: Trace) -> None:
        plates = subsample_plate_sizes(recorded)
        if plates:
            raise ValueError(
                f"the model subsamples the plates {listed(plates)}, so its density is an estimate. Use HMCECS, or "
                "leave subsample_size out."
            )

    def _check_supports(self, own: Sequence[str], others: set[str], recorded: Trace, args: Any, kwargs: Any) -> None:
        """Refuse sites whose unconstrained coordinates would change their meaning when another block moves."""
        names = [name for name in own if jax.tree.leaves(recorded[name]["fn"].support)]
        if not names or not others:
            return

        def supports(values: dict[str, Any]) -> Any:
            given = with_conditioning(kwargs, values)
            found = trace(seed(self._conditioned, rng_seed=0)).get_trace(*args, **given)
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

    def _values(self, block_states: Any, layout: _Layout, args: Any, kwargs: Any) -> dict[str, Any]:
        parts = [
            getattr(part, kernel.sample_field) for (kernel, _), part in zip(self._blocks, block_states, strict=True)
        ]
        return self._constrained(parts, layout, args, kwargs)

    def _constrained(self, parts: Sequence[Any], layout: _Layout, args: Any, kwargs: Any) -> dict[str, Any]:
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
            (kernel if _model_of(kernel) is None else kernel.wrap_model(lambda _: other._conditioned), sites)
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


def _model_of(kernel: MCMCKernel) -> Any:
    return getattr(kernel, "model", None)


def _on_conditioned(kernel: MCMCKernel) -> MCMCKernel:
    return kernel if _model_of(kernel) is None else kernel.wrap_model(conditioned)


def _shared_model(kernels: Sequence[MCMCKernel]) -> Callable[..., Any]:
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
        if _model_of(kernel) is not None:
            models.append(_model_of(kernel))
    if not models:
        raise ValueError(
            "no block knows the model. Make one of them of NUTS(model), HMC(model) or DiscreteGibbs(model)."
        )
    if any(model is not models[0] for model in models):
        raise ValueError("the blocks of Gibbs have different models. Make all kernels of the same function.")
    return models[0]

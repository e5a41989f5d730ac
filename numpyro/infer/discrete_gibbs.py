# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Updates of the discrete sites of a model, one element at a time."""

from __future__ import annotations

from collections.abc import Callable
import copy
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro.infer.chain import strongly_typed
from numpyro.infer.conditioning import (
    ByShapes,
    check_names,
    conditioned,
    deterministic_sites,
    discrete_latent_sites,
    latent_sample_sites,
    listed,
    prototype_trace,
    refuse_all_observed,
    refuse_enumerated,
    with_deterministic,
)
from numpyro.infer.discrete import DiscreteTarget, discrete_target, select_discrete_proposal
from numpyro.infer.initialization import first_valid
from numpyro.infer.kernel import MCMCKernel
from numpyro.infer.random_words import derived_key
from numpyro.util import identity

__all__ = ["DiscreteGibbs", "DiscreteGibbsState"]


class DiscreteGibbsState(NamedTuple):
    """State of :class:`DiscreteGibbs`.

    :param z: values of the discrete sites.
    :param potential_energy: minus the log density of the model there.
    :param rng_key: random key of the next iteration.
    """

    z: Any
    potential_energy: Any
    rng_key: Any


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
            refuse_all_observed(recorded)
            if not names:
                refuse_enumerated(recorded, type(self).__name__)
                raise ValueError(
                    f"the model has no discrete latent site; its latent sites are {listed(others)}. Sample it by "
                    "NUTS(model)."
                )
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

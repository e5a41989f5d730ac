# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Updates of some sites by a function of the user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import inspect
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from numpyro.infer.conditioning import GIBBS_SITES_KWARG, listed
from numpyro.infer.kernel import MCMCKernel
from numpyro.infer.random_words import derived_key

__all__ = ["CustomGibbs", "CustomGibbsState", "GibbsUpdateFn"]


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


class CustomGibbs(MCMCKernel):
    """A block of :class:`~numpyro.infer.gibbs.Gibbs` that a function of the user's updates.

    :param gibbs_fn: ``gibbs_fn(rng_key=..., gibbs_sites=..., hmc_sites=...)`` returns new values of the block's sites,
        drawn given the values ``hmc_sites`` of all others, or by any other update that leaves this conditional
        distribution invariant. Nothing checks that it does. See :class:`GibbsUpdateFn`.

    **Reference:** Geman and Geman (1984), *Stochastic Relaxation, Gibbs Distributions, and the Bayesian Restoration of
    Images*.

    >>> import numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import MCMC, NUTS, Gibbs
    >>> def model(y):
    ...     mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
    ...     precision = numpyro.sample("precision", dist.Gamma(2.0, 1.0))
    ...     numpyro.sample("y", dist.Normal(mean, precision**-0.5), obs=y)
    >>> y = jnp.array([1.0, 2.0, 3.0])
    >>> def draw_precision(rng_key, gibbs_sites, hmc_sites):
    ...     rate = 1.0 + 0.5 * jnp.sum((y - hmc_sites["mean"]) ** 2)
    ...     return {"precision": dist.Gamma(2.0 + 1.5, rate).sample(rng_key)}
    >>> kernel = Gibbs([(CustomGibbs(draw_precision), ["precision"]), (NUTS(model), None)])
    >>> mcmc = MCMC(kernel, num_warmup=200, num_samples=500, progress_bar=False)
    >>> mcmc.run(jax.random.PRNGKey(0), y)
    >>> bool(abs(mcmc.get_samples()["mean"].mean() - 2.0) < 0.2)
    True
    """

    sample_field = "z"
    is_pure = True

    def __init__(self, gibbs_fn: GibbsUpdateFn) -> None:
        if not callable(gibbs_fn):
            raise ValueError(f"`gibbs_fn` must be a function, but it is {gibbs_fn!r}.")
        _check_signature(gibbs_fn)
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


def _check_signature(gibbs_fn: Any) -> None:
    try:
        signature = inspect.signature(gibbs_fn)
    except ValueError:  # built in
        return
    try:
        signature.bind(rng_key=None, gibbs_sites={}, hmc_sites={})
    except TypeError as error:
        raise ValueError(
            "`gibbs_fn` is called as gibbs_fn(rng_key=..., gibbs_sites=..., hmc_sites=...), but its signature is "
            f"{signature}: {error}."
        ) from None


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
            + ". Name the sites that it updates in the list of its sites (`gibbs_sites`); the others are the business "
            "of the other kernels, such as NUTS."
        )
    checked = {}
    for name, before in old.items():
        value = jnp.asarray(new[name])
        if value.shape != before.shape:
            raise ValueError(
                f"`gibbs_fn` returned a value of shape {value.shape} for site '{name}', whose shape is {before.shape}. "
                "Return one draw of the site, of the shape that `gibbs_sites` has for it."
            )
        if not np.can_cast(value.dtype, before.dtype, "same_kind") and value.dtype != bool:
            raise ValueError(
                f"`gibbs_fn` returned a value of type {value.dtype} for site '{name}', whose type is {before.dtype}."
            )
        checked[name] = value.astype(before.dtype)
    return checked

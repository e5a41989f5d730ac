# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""HMC within Gibbs: HMC or NUTS for some sites, other updates for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpyro.infer.conditioning import GIBBS_SITES_KWARG, discrete_latent_sites
from numpyro.infer.ecs import HMCECS, HMCECSState, estimate_likelihood
from numpyro.infer.gibbs import CustomGibbs, DiscreteGibbs, Gibbs, GibbsState, GibbsUpdateFn
from numpyro.infer.hmc import HMC

__all__ = [
    "GIBBS_SITES_KWARG",
    "HMCECS",
    "DiscreteHMCGibbs",
    "HMCECSState",
    "HMCGibbs",
    "HMCGibbsState",
    "estimate_likelihood",
]


class HMCGibbsState(GibbsState):
    """State of :class:`HMCGibbs` and :class:`DiscreteHMCGibbs`; see :class:`~numpyro.infer.gibbs.GibbsState`."""

    @property
    def hmc_state(self) -> Any:
        """The state of HMC, so that extra fields may be named like ``"hmc_state.potential_energy"``."""
        return self.block_states[-1]


class HMCGibbs(Gibbs):
    """HMC or NUTS for some sites and a function of the user's for the others.

    It is ``Gibbs([(CustomGibbs(gibbs_fn), gibbs_sites), (inner_kernel, None)])``: an iteration calls ``gibbs_fn``, and
    then runs the inner kernel given the new values.

    :param inner_kernel: :class:`~numpyro.infer.hmc.HMC` or :class:`~numpyro.infer.hmc.NUTS`, made from a model.
    :param gibbs_fn: ``gibbs_fn(rng_key=..., gibbs_sites=..., hmc_sites=...)`` returns a dict of new values of the
        ``gibbs_sites``, drawn given the values of the others. Nothing checks that they are drawn from the conditional
        distribution.
    :param gibbs_sites: names of the sites that ``gibbs_fn`` updates.
    :raises ValueError: if there is none; when run, if a name is no latent site of the model, or ``gibbs_fn`` returns
        other sites, shapes or types.

    **Reference:** Tierney (1994), *Markov Chains for Exploring Posterior Distributions*, for cycles of
    kernels.

    >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import MCMC, NUTS
    >>> def model(y):
    ...     x = numpyro.sample("x", dist.Normal(0.0, 2.0))
    ...     z = numpyro.sample("z", dist.Normal(0.0, 2.0))
    ...     numpyro.sample("y", dist.Normal(x + z, 1.0), obs=y)
    >>> def update_x(rng_key, gibbs_sites, hmc_sites):
    ...     return {"x": dist.Normal(0.8 * (1.0 - hmc_sites["z"]), jnp.sqrt(0.8)).sample(rng_key)}
    >>> kernel = HMCGibbs(NUTS(model), gibbs_fn=update_x, gibbs_sites=["x"])
    >>> mcmc = MCMC(kernel, num_warmup=200, num_samples=200, progress_bar=False)
    >>> mcmc.run(jax.random.PRNGKey(0), 1.0)
    >>> sorted(mcmc.get_samples())
    ['x', 'z']
    """

    _state_type = HMCGibbsState

    def __init__(self, inner_kernel: HMC, gibbs_fn: GibbsUpdateFn, gibbs_sites: Sequence[str]) -> None:
        _check_inner(inner_kernel, type(self).__name__)
        if isinstance(gibbs_sites, str) or not gibbs_sites:
            raise ValueError(f"`gibbs_sites` must be a list of names of sites, but it is {gibbs_sites!r}.")
        super().__init__([(CustomGibbs(gibbs_fn), list(gibbs_sites)), (inner_kernel, None)])


class DiscreteHMCGibbs(Gibbs):
    """HMC or NUTS for the continuous sites; each element of the discrete ones is updated in turn, in random order.

    It is ``Gibbs([(DiscreteGibbs(model), discrete_latent_sites), (inner_kernel, None)])``. See
    :class:`~numpyro.infer.gibbs.DiscreteGibbs` for what an update of the discrete sites does and costs. A continuous
    site that pins a discrete one down (or the other way) mixes slowly; then :class:`~numpyro.infer.mixed_hmc.MixedHMC`
    may do better.

    :param inner_kernel: :class:`~numpyro.infer.hmc.HMC` or :class:`~numpyro.infer.hmc.NUTS`, made from a model.
    :param random_walk: whether to propose values of discrete sites uniformly, instead of drawing them from their
        conditional distributions.
    :param modified: whether never to propose the current value.
    :raises ValueError: when run, if the model has no discrete latent site, one whose support is not finite, or no
        continuous one.

    **Reference:** Liu (1996), *Peskun's theorem and a modified discrete-state Gibbs sampler*.

    >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import MCMC, NUTS
    >>> def model(probs, locs):
    ...     c = numpyro.sample("c", dist.Categorical(probs))
    ...     numpyro.sample("x", dist.Normal(locs[c], 0.5))
    >>> kernel = DiscreteHMCGibbs(NUTS(model), modified=True)
    >>> mcmc = MCMC(kernel, num_warmup=200, num_samples=4000, progress_bar=False)
    >>> mcmc.run(jax.random.PRNGKey(0), jnp.array([0.15, 0.3, 0.3, 0.25]), jnp.array([-1.0, 0.0, 1.0, 2.0]))
    >>> bool(abs(mcmc.get_samples()["x"].mean() - 0.65) < 0.2)
    True
    """

    _state_type = HMCGibbsState

    def __init__(self, inner_kernel: HMC, *, random_walk: bool = False, modified: bool = False) -> None:
        _check_inner(inner_kernel, type(self).__name__)
        model: Callable[..., Any] = inner_kernel.model  # type: ignore[assignment]
        discrete = DiscreteGibbs(model, random_walk=random_walk, modified=modified)
        super().__init__([(discrete, discrete_latent_sites), (inner_kernel, None)])


def _check_inner(kernel: Any, outer: str) -> None:
    if not isinstance(kernel, HMC):
        raise ValueError(f"the inner kernel of {outer} must be HMC or NUTS, but it is {type(kernel).__name__}.")
    if kernel.model is None:
        name = type(kernel).__name__
        raise ValueError(f"{outer} needs a model: write {outer}({name}(model), ...) instead of potential_fn=.")

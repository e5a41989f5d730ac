# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Hamiltonian Monte Carlo with energy conserving subsampling."""

from __future__ import annotations

from collections.abc import Callable
import copy
from typing import Any, NamedTuple

import jax
from jax.flatten_util import ravel_pytree
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import shape_of
from numpyro.distributions import biject_to
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.conditioning import (
    ByShapes,
    conditioned,
    latent_sample_sites,
    listed,
    prototype_trace,
    refuse_all_observed,
    refuse_discrete,
    subsample_plate_sizes,
    with_conditioning,
)
from numpyro.infer.ecs_proxies import (
    ScaledLikelihood,
    TaylorProxy,
    block_words,
    check_reference,
    log_likelihoods_by_plate,
    new_block,
    perturbed_method,
    replaced,
    taylor_proxy,
)
from numpyro.infer.hmc import HMC
from numpyro.infer.kernel import MCMCKernel
from numpyro.infer.potential import UNCONSTRAINED_PARAMS, build_potential
from numpyro.infer.random_words import derived_key, next_words, uniform
from numpyro.primitives import Messenger, apply_stack, factor

__all__ = ["HMCECS", "HMCECSState", "estimate_likelihood"]

_STATE_KWARG = "_gibbs_state"


class HMCECSState(NamedTuple):
    """State of :class:`HMCECS`.

    :param z: the latent sites in unconstrained space.
    :param hmc_state: :class:`~numpyro.infer.hmc.HMCState`.
    :param rng_key: random key of the next iteration.
    :param gibbs_state: state of the proxy; an empty tuple without one.
    :param accept_prob: acceptance probability of the last proposed subsample.
    :param indices: indices of the subsample by plate.
    """

    z: Any
    hmc_state: Any
    rng_key: Any
    gibbs_state: Any
    accept_prob: Any
    indices: Any

    @property
    def diverging(self) -> Any:
        """Whether the energy error of the last trajectory was too large."""
        return self.hmc_state.diverging


class estimate_likelihood(Messenger):
    """Puts an estimate in the place of the likelihood of the observed sites in subsampled plates.

    The handler must stand directly around the model. While ``method`` is None it does nothing.

    :param fn: the model.
    :param method: ``method(likelihoods, params, gibbs_state)`` gives the logarithm of the estimated likelihood.
        ``likelihoods`` holds distribution, value, name of the plate and its dim by name of the observed site;
        ``params`` the unconstrained parameters; ``gibbs_state`` is the handler's attribute of that name.

    >>> import numpyro, numpyro.distributions as dist
    >>> from numpyro.infer.util import log_density
    >>> def model():
    ...     with numpyro.plate("data", 100, subsample_size=10):
    ...         numpyro.sample("y", dist.Normal(0.0, 1.0), obs=np.zeros(10))
    >>> estimated = seed(estimate_likelihood(model, lambda likelihoods, params, state: 7.0), rng_seed=0)
    >>> float(log_density(estimated, (), {}, {})[0])
    7.0
    """

    def __init__(
        self,
        fn: Callable[..., Any] | None = None,
        method: Callable[[dict[str, Any], dict[str, Any], Any], Any] | None = None,
    ) -> None:
        super().__init__(fn)
        self.method = method
        self.gibbs_state: Any = None

    def __enter__(self) -> Any:
        self.plate_sizes: dict[str, tuple[int, int]] = {}
        self.likelihoods: dict[str, tuple[Any, Any, str, int]] = {}
        self.latent: dict[str, tuple[Any, Any]] = {}
        return super().__enter__()

    def process_message(self, msg: dict[str, Any]) -> None:
        if self.method is None or msg.get("scan") == "ask":
            return
        if msg["type"] == "plate" and len(msg["args"]) > 1 and msg["args"][0] > msg["args"][1]:
            self.plate_sizes[msg["name"]] = tuple(msg["args"])
        if msg["type"] != "sample" or not msg["is_observed"]:
            return
        frames = [frame for frame in msg["cond_indep_stack"] if frame.name in self.plate_sizes]
        if not frames:
            return
        if len(frames) > 1:
            raise ValueError(
                f"the observed site '{msg['name']}' stands in two subsampled plates, "
                f"{listed([frame.name for frame in frames])}, but a likelihood can be estimated in one only. Subsample "
                "one of them."
            )
        frame = frames[0]
        scale = msg["scale"] / (self.plate_sizes[frame.name][0] / frame.size)
        likelihood = ScaledLikelihood(dict(msg), scale)
        self.likelihoods[msg["name"]] = (likelihood, msg["value"], frame.name, frame.dim)
        msg["fn"] = msg["fn"].mask(False)

    def postprocess_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "sample" and not msg["is_observed"] and msg.get("scan") != "ask":
            self.latent[msg["name"]] = (msg["fn"], msg["value"])

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        super().__exit__(exc_type, exc_value, traceback)
        if exc_type is not None or self.method is None:
            return
        query = {"type": UNCONSTRAINED_PARAMS, "name": UNCONSTRAINED_PARAMS, "fn": self._unconstrained}
        params = apply_stack({**query, "args": (), "kwargs": {}, "value": None})["value"]
        factor("_estimated_log_likelihood", self.method(self.likelihoods, params, self.gibbs_state))

    def _unconstrained(self) -> dict[str, Any]:
        return {
            name: biject_to(fn.support).inv(value) for name, (fn, value) in self.latent.items() if not fn.is_discrete
        }


class _Estimated:
    """A model whose likelihood is estimated if a state of the proxy is among its keyword arguments."""

    def __init__(self, model: Callable[..., Any], proxy: Any) -> None:
        self.model, self.proxy = model, proxy

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        state = kwargs.pop(_STATE_KWARG, None)
        if state is None or self.proxy is None:
            return self.model(*args, **kwargs)
        handler = estimate_likelihood(self.model)
        handler.method = lambda likelihoods, params, state: perturbed_method(handler.plate_sizes, self.proxy.evaluate)(
            likelihoods, params, state
        )
        handler.gibbs_state = state
        return handler(*args, **kwargs)


class HMCECS(ByShapes, MCMCKernel):
    r"""HMC or NUTS on a subsample of the data, which is a part of the chain's state.

    The model subsamples plates (``subsample_size=``). In each iteration new indices of a block of each subsample are
    proposed, with replacement, and accepted or refused by the estimated likelihoods of the old and the new subsample;
    then the inner kernel runs on the estimated density given the subsample, so that it conserves the energy of the
    estimate.

    With a proxy the estimate is the bias-corrected difference estimator (:mod:`numpyro.infer.ecs_proxies`). The draws
    come from a distribution whose distance from the posterior of the full data is of order :math:`1 / (N m^2)` for
    :math:`N` data and subsamples of :math:`m`, given a proxy of second degree about the mode. The estimator's variance
    should be about 1, or the chain sticks: see the acceptance probability of the subsamples (``accept_prob``), and take
    larger subsamples or more blocks if it is small.

    *Without a proxy* the estimate is the scaled log likelihood of the subsample. Its variance is large and not
    corrected for: draws are more dispersed than the posterior, and new subsamples are rarely accepted. It serves to
    explore only.

    :param inner_kernel: :class:`~numpyro.infer.hmc.HMC` or :class:`~numpyro.infer.hmc.NUTS`, made from a model.
    :param num_blocks: number of blocks of a subsample, from 1 to its size. An iteration renews one of them: more
        blocks give higher acceptance probabilities, and subsamples that change more slowly.
    :param proxy: such as :meth:`HMCECS.taylor_proxy` gives, or None.
    :raises ValueError: when run, if the model subsamples no plate, has latent sites within a subsampled plate, or if
        the reference of the proxy does not fit it.

    **References:** Dang, Quiroz, Kohn, Tran and Villani (2019), *Hamiltonian Monte Carlo with energy conserving
    subsampling*, algorithm 1; Tran, Kohn, Quiroz and Villani (2017), *The block pseudo-marginal sampler*; Betancourt
    (2015), *The fundamental incompatibility of scalable Hamiltonian Monte Carlo and naive data subsampling*, on why a
    proxy is needed.

    >>> import numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import MCMC, NUTS
    >>> def model(data):
    ...     x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    ...     with numpyro.plate("data", len(data), subsample_size=50):
    ...         numpyro.sample("y", dist.Normal(x, 1.0), obs=numpyro.subsample(data, event_dim=0))
    >>> data = np.random.default_rng(0).normal(1.0, 1.0, 2000)
    >>> kernel = HMCECS(NUTS(model), num_blocks=5, proxy=HMCECS.taylor_proxy({"x": data.mean()}))
    >>> mcmc = MCMC(kernel, num_warmup=200, num_samples=500, progress_bar=False)
    >>> mcmc.run(jax.random.PRNGKey(0), data)
    >>> bool(abs(mcmc.get_samples()["x"].mean() - data.mean()) < 0.02)
    True
    """

    sample_field = "z"
    is_pure = True

    def __init__(self, inner_kernel: HMC, *, num_blocks: int = 1, proxy: TaylorProxy | None = None) -> None:
        if not isinstance(inner_kernel, HMC):
            raise ValueError(
                f"the inner kernel of HMCECS must be HMC or NUTS, but it is {type(inner_kernel).__name__}."
            )
        if inner_kernel.model is None:
            raise ValueError("HMCECS needs a model: write HMCECS(NUTS(model), ...) instead of potential_fn=.")
        if num_blocks < 1:
            raise ValueError(f"`num_blocks` must be at least 1, but it is {num_blocks}.")
        self._model = inner_kernel.model
        self._num_blocks, self._proxy = num_blocks, proxy
        self._inner = inner_kernel.wrap_model(self._on_subsample)
        self._layouts = {}

    @staticmethod
    def taylor_proxy(reference_params: Any, degree: int = 2) -> TaylorProxy:
        """A proxy made of Taylor polynomials; see :func:`~numpyro.infer.ecs_proxies.taylor_proxy`.

        :param reference_params: values of all latent sites in constrained space, near the mode.
        :param degree: 1 or 2.
        """
        return taylor_proxy(reference_params, degree)

    def _on_subsample(self, model: Callable[..., Any]) -> Callable[..., Any]:
        return conditioned(_Estimated(model, self._proxy))

    @property
    def model(self) -> Callable[..., Any]:
        """The model."""
        return self._model

    @property
    def default_fields(self) -> tuple[str, ...]:
        return ("z", "diverging")

    @property
    def diagnostic_fields(self) -> tuple[str, ...]:
        return ("diverging", "hmc_state.num_steps")

    @property
    def max_tree_depth(self) -> tuple[int, int] | None:
        """That of the inner kernel, if it is NUTS."""
        return getattr(self._inner, "max_tree_depth", None)

    @property
    def target_accept_prob(self) -> float:
        """Acceptance probability at which the step size is aimed."""
        return self._inner.target_accept_prob

    def get_diagnostics_str(self, state: HMCECSState) -> str:
        own = f"acc. prob of subsample={float(state.accept_prob):.2f}"
        return f"{self._inner.get_diagnostics_str(state.hmc_state)}; {own}"

    # What the model is like

    def _plates(self, args: Any, kwargs: Any) -> dict[str, tuple[int, int]]:
        """Size and subsample size of the subsampled plates by name."""
        return self._once(self._find_plates, args, kwargs)

    def _find_plates(self, args: Any, kwargs: Any) -> dict[str, tuple[int, int]]:
        recorded = prototype_trace(self._model, jax.random.PRNGKey(0), args, kwargs)
        plates = subsample_plate_sizes(recorded)
        refuse_all_observed(recorded)
        refuse_discrete(recorded, is_subsampled=True)
        _check_subsampled(recorded, plates, type(self._inner).__name__)
        for name in latent_sample_sites(recorded):
            inside = [frame.name for frame in recorded[name]["cond_indep_stack"] if frame.name in plates]
            if inside:
                raise ValueError(
                    f"the latent site '{name}' stands in the subsampled plate '{inside[0]}', so its elements would "
                    "mean other data whenever the subsample changes. Move it out of the plate, or do not subsample."
                )
        for name, (_, count) in plates.items():
            if self._num_blocks > count:
                raise ValueError(
                    f"`num_blocks` is {self._num_blocks}, but the subsample of plate '{name}' has {count} indices."
                )
        if self._proxy is not None:
            check_reference(self._proxy.reference_params, latent_sample_sites(recorded))
            for name, value in self._proxy.reference_params.items():
                expected = shape_of(recorded[name]["value"])
                if shape_of(value) != expected:
                    raise ValueError(
                        f"the reference of the proxy has shape {shape_of(value)} for site '{name}', whose shape is "
                        f"{expected}."
                    )
        return plates

    def _log_likelihoods(self, args: Any, kwargs: Any) -> Callable[[Any, str, Any], Any]:
        """See :data:`~numpyro.infer.ecs_proxies.LogLikelihoods`."""
        plates = self._plates(args, kwargs)
        found: dict[str, Any] = {}

        def note(likelihoods: dict[str, Any], params: Any, state: Any) -> Any:
            found.update(log_likelihoods_by_plate(likelihoods))
            return 0.0

        model = conditioned(estimate_likelihood(self._model, note))

        def log_likelihoods(params: Any, plate: str, indices: Any) -> Any:
            others = {name: np.arange(count) for name, (_, count) in plates.items()}
            given = with_conditioning(kwargs, {**others, plate: indices})
            potential = build_potential(model, args, given)
            found.clear()
            potential.potential_fn(params, args, given)
            if plate not in found:
                raise ValueError(f"there is no observed site in the subsampled plate '{plate}'.")
            return found[plate]

        return log_likelihoods

    def _reference(self, args: Any, kwargs: Any) -> dict[str, Any]:
        """The reference of the proxy in unconstrained space."""
        given = {name: jnp.asarray(value) for name, value in self._proxy.reference_params.items()}  # type: ignore[union-attr]
        recorded = trace(substitute(seed(self._model, rng_seed=0), data=given)).get_trace(*args, **kwargs)
        return {
            name: jnp.asarray(biject_to(recorded[name]["fn"].support).inv(value), jnp.result_type(float))
            for name, value in given.items()
        }

    def _given(self, indices: Any, gibbs_state: Any, kwargs: Any) -> dict[str, Any]:
        """Keyword arguments of the inner kernel's model."""
        given = with_conditioning(kwargs, indices)
        return given | {_STATE_KWARG: gibbs_state} if self._proxy is not None else given

    # The kernel's interface

    def init(
        self, rng_key: Any, num_warmup: int, init_params: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]
    ) -> HMCECSState:
        """The state at the start, with a random subsample.

        :param init_params: where to start, in unconstrained space.
        """
        plates = self._plates(model_args, model_kwargs)
        hmc_key = derived_key(rng_key, 0)
        # A single block is the whole subsample.
        rng_key, words = next_words(rng_key, block_words(plates, 1))
        indices, _ = new_block(plates, 1, words)
        gibbs_state = self._proxy_state(indices, model_args, model_kwargs)
        given = self._given(indices, gibbs_state, model_kwargs)
        hmc_state = self._inner.find_start(hmc_key, num_warmup, init_params, model_args, given)
        return HMCECSState(hmc_state.z, hmc_state, rng_key, gibbs_state, jnp.zeros_like(hmc_state.accept_prob), indices)

    def _proxy_state(self, indices: Any, args: Any, kwargs: Any) -> Any:
        if self._proxy is None:
            return ()
        likelihoods = self._log_likelihoods(args, kwargs)
        return self._proxy.init(likelihoods, self._reference(args, kwargs), self._plates(args, kwargs), indices)

    def check_start(
        self, state: Any, init_params: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]
    ) -> None:
        invalid = ~np.isfinite(np.asarray(state.hmc_state.potential_energy))
        if invalid.any():
            one = jax.tree.map(lambda x: x[int(np.argmax(invalid))], state) if invalid.ndim else state
            given = self._given(one.indices, one.gibbs_state, model_kwargs)
            self._inner.check_start(one.hmc_state, init_params, model_args, given)

    def sample(self, state: HMCECSState, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]) -> HMCECSState:
        """Propose a new subsample, then run the inner kernel."""
        plates = self._plates(model_args, model_kwargs)
        hmc_key = derived_key(state.rng_key, 0)
        rng_key, words = next_words(state.rng_key, 1 + block_words(plates, self._num_blocks))
        fresh, starts = new_block(plates, self._num_blocks, words[1:])
        proposed = replaced(state.indices, fresh, starts), self._updated(state, fresh, starts, model_args, model_kwargs)
        energy_of = self._inner.get_potential_fn(model_args, self._given(*proposed, model_kwargs))
        energy = jnp.asarray(energy_of(state.z), state.hmc_state.potential_energy.dtype)
        ratio = jnp.exp(state.hmc_state.potential_energy - energy)
        accept_prob = jnp.where(jnp.isnan(ratio), 0, jnp.minimum(1, ratio))
        accept = uniform(words[0], accept_prob.dtype) < accept_prob
        indices, gibbs_state = jax.tree.map(
            lambda a, b: jnp.where(accept, a, b), proposed, (state.indices, state.gibbs_state)
        )
        given = self._given(indices, gibbs_state, model_kwargs)
        hmc_state = state.hmc_state._replace(rng_key=hmc_key)
        hmc_state = self._inner.sample_after_change(hmc_state, model_args, given, accept)
        return HMCECSState(hmc_state.z, hmc_state, rng_key, gibbs_state, accept_prob, indices)

    def _updated(self, state: HMCECSState, fresh: Any, starts: Any, args: Any, kwargs: Any) -> Any:
        if self._proxy is None:
            return ()
        unravel = ravel_pytree(state.z)[1]
        return self._proxy.update(self._log_likelihoods(args, kwargs), state.gibbs_state, unravel, fresh, starts)

    def refresh(
        self, state: HMCECSState, model_args: tuple[Any, ...], model_kwargs: dict[str, Any] | None
    ) -> HMCECSState:
        """Evaluate the proxy at the reference, and the potential energy, anew, for other arguments of the model."""
        gibbs_state = self._proxy_state(state.indices, model_args, model_kwargs or {})
        given = self._given(state.indices, gibbs_state, model_kwargs)
        hmc_state = self._inner.refresh(state.hmc_state, model_args, given)
        return state._replace(gibbs_state=gibbs_state, hmc_state=hmc_state)

    def wrap_model(self, wrapper: Callable[..., Any]) -> HMCECS:
        """The same kernel for the model ``wrapper(model)``."""
        other = copy.copy(self)
        other._model, other._layouts = wrapper(self._model), {}
        other._inner = self._inner.wrap_model(lambda _: other._on_subsample(other._model))
        return other

    def _constrained(self, args: Any, kwargs: Any, return_deterministic: bool) -> Callable[[Any], Any]:
        first = {name: np.arange(count) for name, (_, count) in self._plates(args, kwargs).items()}
        given = with_conditioning(kwargs, first)
        return self._inner.get_constrain_fn(args, given, return_deterministic=return_deterministic)

    def get_constrain_fn(self, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]) -> Callable[[Any], Any]:
        """The function from unconstrained parameters to values of the latent sites."""
        return self._constrained(model_args, model_kwargs, False)

    def postprocess_fn(self, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]) -> Callable[[Any], Any]:
        """The function from unconstrained parameters to values of latent and deterministic sites; deterministic ones in
        subsampled plates have the values of the first data."""
        return self._constrained(model_args, model_kwargs, True)


def _check_subsampled(recorded: Any, plates: Any, inner: str) -> None:
    """Refuse a model none of whose observed sites stands in a plate that is subsampled."""
    where = {
        name: [frame.name for frame in site["cond_indep_stack"]]
        for name, site in recorded.items()
        if site["type"] == "sample" and site["is_observed"]
    }
    idle = [plate for plate in plates if not any(plate in around for around in where.values())]
    if plates and not idle:
        return
    found = "; ".join(
        f"'{name}' stands in {'plate ' + listed(around) if around else 'no plate'}" for name, around in where.items()
    )
    found = f"Of its observed sites, {found}." if where else "It has no observed site."
    if plates:
        raise ValueError(
            f"the model subsamples the plate {listed(idle)}, but no observed site stands in it. {found} Observe the "
            "data inside the plate, or leave its subsample_size out."
        )
    full = next((plate for around in where.values() for plate in around), "data")
    size = recorded[full]["args"][0] if full in recorded else "size"
    raise ValueError(
        "HMCECS needs a model that subsamples a plate around its data, but no plate of this one is subsampled. "
        f"{found} Write numpyro.plate('{full}', {size}, subsample_size=...) and take the data from numpyro.subsample, "
        f"or sample all data by {inner}(model) alone."
    )

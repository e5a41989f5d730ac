# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""A model as pure functions of unconstrained parameters, built once.

Let ``x = T(u)`` be the latent values, each site's by the bijection of its support
(:func:`~numpyro.distributions.biject_to`). The potential energy is ``U(u) = -log p(T(u), y) - log |det dT/du|``, whose
exponential ``exp(-U)`` is the posterior density of ``u`` up to a constant.

The model is traced abstractly once, for names, shapes and supports. The functions run it under a handler that puts
``T(u)`` in the place of each latent site and adds up log densities; under ``jit`` that happens once for each compiled
program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import shape_of
from numpyro.contrib.control_flow.body import placeholder
from numpyro.distributions import biject_to
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.site_checks import site_description
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.conditioning import refuse_all_observed, refuse_discrete
from numpyro.infer.initialization import given_values, init_to_uniform, uniform_radius
from numpyro.primitives import Messenger

__all__ = ["UNCONSTRAINED_PARAMS", "LatentSite", "ModelPotential", "build_potential", "site_log_prob"]


UNCONSTRAINED_PARAMS = "unconstrained_params"
"""Type of the message by which a handler asks for the unconstrained parameters of the evaluation it is part of."""


_MUST_NOT_CHANGE = (
    "The sites of a model and their shapes may depend on the shapes of its arguments and on arguments that are no "
    "arrays, but on nothing else that changes from one call to the next, such as a counter or Python's random numbers."
)
_NOT_BEFORE = f"was not there when it was first traced. {_MUST_NOT_CHANGE}"


def site_log_prob(site: dict[str, Any]) -> Any:
    """Log density of a sample site, element by element, with its scale."""
    fn, value, intermediates = site["fn"], site["value"], site["intermediates"]
    log_prob = fn.log_prob(value, intermediates) if intermediates else fn.log_prob(value)
    return log_prob if site.get("scale") is None else site["scale"] * log_prob


@dataclass(frozen=True)
class LatentSite:
    """What is known about a latent site before anything is computed.

    :param support: its constraint, with abstract arrays in it where it depends on other sites.
    :param is_static: whether the support is the same whatever the values of other sites.
    :param shape: shape of its value.
    :param unconstrained_shape: shape of the value in unconstrained space.
    """

    name: str
    support: Any
    is_static: bool
    shape: tuple[int, ...]
    unconstrained_shape: tuple[int, ...]
    dtype: Any


class _Placeholders(Messenger):
    """Gives every sample site some value of the right shape, so that only shapes are traced."""

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] != "sample" or msg["value"] is not None:
            return
        if msg.get("scan") == "ask":
            abstract = msg["abstract_value"]
            msg["value"] = jnp.zeros(abstract.shape, abstract.dtype)
        else:
            msg["value"] = placeholder(msg["fn"], msg["kwargs"].get("sample_shape", ()))


class _Unconstrained(Messenger):
    """Puts transformed parameters in the place of the latent sites and adds up the log density."""

    def __init__(self, fn: Any, sites: dict[str, LatentSite], params: dict[str, Any]) -> None:
        super().__init__(fn)
        self.sites = sites
        self.params = params
        self.values: dict[str, Any] = {}
        self.log_density: Any = 0.0

    def process_message(self, msg: dict[str, Any]) -> None:
        name = msg["name"]
        if msg["type"] == UNCONSTRAINED_PARAMS:
            msg["value"] = self.params
        if msg["type"] != "sample" or msg.get("scan") == "tell":
            return
        if name not in self.params:
            if msg["value"] is None and name not in self.sites:
                raise ValueError(f"the model has a latent site '{name}' that {_NOT_BEFORE}")
            return
        site = self.sites[name]
        self._check_shape(site, msg)
        if msg.get("scan") is None:
            msg["value"] = biject_to(msg["fn"].support)(self.params[name])
        elif site.is_static:
            msg["value"] = biject_to(site.support)(self.params[name])
        else:
            msg["in_body"] = lambda inner, u: biject_to(inner["fn"].support)(u)
            msg["in_body_data"] = self.params[name]

    def _check_shape(self, site: LatentSite, msg: dict[str, Any]) -> None:
        """A distribution broadcasts what does not fit, so a site that changes must be noticed here."""
        if msg.get("scan") is None:
            _check_same_shape(site, tuple(msg["fn"].shape(msg["kwargs"].get("sample_shape", ()))))

    def postprocess_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] != "sample" or msg.get("scan") == "ask":
            return
        name = msg["name"]
        self.log_density = self.log_density + jnp.sum(site_log_prob(msg))
        if name in self.params:
            site = self.sites[name]
            support = site.support if site.is_static else msg["fn"].support
            log_det = biject_to(support).log_abs_det_jacobian(self.params[name], msg["value"])
            self.log_density = self.log_density + jnp.sum(log_det)
            self.values[name] = msg["value"]


def _check_same_shape(site: LatentSite, shape: tuple[int, ...]) -> None:
    if shape != site.shape:
        raise ValueError(
            f"latent site '{site.name}' has shape {shape}, but shape {site.shape} when the model was first traced. "
            f"{_MUST_NOT_CHANGE}"
        )


def _missing(names: list[str]) -> ValueError:
    return ValueError(
        f"the latent sites {', '.join(map(repr, names))} are missing, but were there when the model was first traced. "
        f"{_MUST_NOT_CHANGE}"
    )


@dataclass(frozen=True)
class ModelPotential:
    """A model as pure functions; see the module's docstring. Made by :func:`build_potential`.

    ``params`` is a dict of unconstrained arrays by site name; ``args`` and ``kwargs`` are the model's arguments.
    """

    model: Callable[..., Any]
    sites: dict[str, LatentSite]
    init_strategy: Callable[..., Any]
    deterministic_names: tuple[str, ...]
    needs_key: bool
    forward_mode_differentiation: bool = False
    observed_names: tuple[str, ...] = field(default=())

    def _run(self, params: dict[str, Any], args: Any, kwargs: Any) -> _Unconstrained:
        model = seed(self.model, rng_seed=0) if self.needs_key else self.model
        handler = _Unconstrained(model, self.sites, params)
        handler(*args, **kwargs)
        missing = [name for name in params if name not in handler.values]
        if missing:
            raise _missing(missing)
        return handler

    def potential_fn(self, params: dict[str, Any], args: Any = (), kwargs: Any = None) -> Any:
        """Potential energy: minus the log density of the unconstrained parameters, up to a constant."""
        return -self._run(params, args, kwargs or {}).log_density

    def prototype_params(self, args: Any = (), kwargs: Any = None) -> dict[str, Any]:
        """Abstract unconstrained parameters."""
        return {
            name: jax.ShapeDtypeStruct(site.unconstrained_shape, jnp.result_type(float))
            for name, site in self.sites.items()
        }

    def init_params(self, rng_key: Any, args: Any = (), kwargs: Any = None) -> dict[str, Any]:
        """One attempt of the initialisation strategy, in unconstrained space."""
        radius = uniform_radius(self.init_strategy)
        if radius is not None:
            return self._uniform_params(rng_key, radius)
        handled = substitute(seed(self.model, rng_seed=rng_key), substitute_fn=self.init_strategy)
        values = given_values(self.init_strategy)
        handled = substitute(handled, data={name: value for name, value in values.items() if name in self.sites})
        recorded = trace(handled).get_trace(*args, **(kwargs or {}))
        missing = [name for name in self.sites if name not in recorded]
        if missing:
            raise _missing(missing)
        params = {}
        for name, site in self.sites.items():
            value = jnp.asarray(recorded[name]["value"], jnp.result_type(float))
            _check_same_shape(site, value.shape)
            params[name] = biject_to(recorded[name]["fn"].support)._inverse(value)
        return params

    def _uniform_params(self, rng_key: Any, radius: float) -> dict[str, Any]:
        shapes = {name: site.unconstrained_shape for name, site in self.sites.items()}
        sizes = [int(np.prod(shape)) for shape in shapes.values()]
        flat = jax.random.uniform(rng_key, (sum(sizes),), minval=-radius, maxval=radius)
        parts = jnp.split(flat, np.cumsum(sizes)[:-1])
        return {name: jnp.reshape(part, shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}

    def constrain(
        self, params: dict[str, Any], args: Any = (), kwargs: Any = None, *, return_deterministic: bool = True
    ) -> dict[str, Any]:
        """Values of the latent sites, and of the deterministic ones, at unconstrained parameters."""
        if all(site.is_static for site in self.sites.values()) and not (
            return_deterministic and self.deterministic_names
        ):
            return {name: biject_to(site.support)(params[name]) for name, site in self.sites.items()}
        model = seed(self.model, rng_seed=0) if self.needs_key else self.model
        handler = _Unconstrained(model, self.sites, params)
        recorded = trace(handler).get_trace(*args, **(kwargs or {}))
        result = {name: recorded[name]["value"] for name in self.sites}
        if return_deterministic:
            result |= {name: recorded[name]["value"] for name in self.deterministic_names}
        return result

    def explain_invalid(self, params: dict[str, Any], args: Any = (), kwargs: Any = None) -> str:
        """Which sites make the potential energy at ``params`` infinite or NaN, in words."""
        model = seed(self.model, rng_seed=0) if self.needs_key else self.model

        def evaluate(params: dict[str, Any]) -> Any:
            recorded = trace(_Unconstrained(model, self.sites, params)).get_trace(*args, **(kwargs or {}))
            samples = {name: site for name, site in recorded.items() if site["type"] == "sample"}
            frames.update({name: tuple(site["cond_indep_stack"]) for name, site in samples.items()})
            observed.update({name for name, site in samples.items() if site["is_observed"]})
            return {name: (site["fn"], site["value"], site_log_prob(site)) for name, site in samples.items()}

        frames: dict[str, Any] = {}
        observed: set[str] = set()
        report = []
        for name, (fn, value, log_prob) in jax.jit(evaluate)(params).items():
            log_prob, value = np.asarray(log_prob), np.asarray(value)
            if np.isfinite(log_prob).all():
                continue
            where = site_description(name, frames[name], fn.batch_shape, fn.event_shape, value.shape)
            report.append(f"{where} {_reason(fn, value, log_prob, name in observed)}")
        if report:
            return "\n".join(report)
        gradient = jax.jit(jax.grad(lambda params: self.potential_fn(params, args, kwargs)))(params)
        bad = [name for name, part in gradient.items() if not np.isfinite(np.asarray(part)).all()]
        if bad:
            return (
                f"The density is finite there, but its gradient with respect to {', '.join(map(repr, bad))} is not. "
                f"Look for jnp.where, "
                "square roots or norms at 0 in the model."
            )
        return "The density is finite there for each site by itself; look at how the sites depend on each other."


def _reason(fn: Any, value: np.ndarray, log_prob: np.ndarray, is_observed: bool) -> str:
    """Why a log density is not finite, as well as it can be told."""
    count = f"{np.count_nonzero(~np.isfinite(log_prob))} of {log_prob.size} log densities are not finite."
    if np.issubdtype(value.dtype, np.inexact) and np.isnan(value).any():
        origin = "The observed data hold" if is_observed else "Its value holds"
        remedy = " Drop missing values, or mask them (.mask(~jnp.isnan(y)))." if is_observed else ""
        return f"{origin} {np.count_nonzero(np.isnan(value))} NaN. {count}{remedy}"
    try:
        fn.validate_args(strict=False)
    except ValueError as error:
        return f"{str(error).splitlines()[0]}. {count}"
    inner = fn
    while not inner.arg_constraints and isinstance(getattr(inner, "base_dist", None), Distribution):
        inner = inner.base_dist
        try:
            inner.validate_args(strict=False)
        except ValueError as error:
            return f"{str(error).splitlines()[0]}. {count}"
    for parameter, argument in inner.get_args().items():
        argument = np.asarray(argument)
        if np.issubdtype(argument.dtype, np.inexact) and not np.isfinite(argument).all():
            return f"Parameter '{parameter}' of its {type(inner).__name__} is not finite. {count}"
    support = getattr(fn, "support", None)
    if is_observed and support is not None:
        inside = np.asarray(support(value))
        if not inside.all():
            outside = f"{np.count_nonzero(~inside)} of {inside.size} observed values lie outside the support {support}."
            return f"{outside} {count}"
    return count


def build_potential(
    model: Callable[..., Any],
    args: Any = (),
    kwargs: Any = None,
    *,
    init_strategy: Callable[..., Any] = init_to_uniform,
    forward_mode_differentiation: bool = False,
) -> ModelPotential:
    """Look at a model once, abstractly, and return its pure functions.

    :param model: a model; ``args`` and ``kwargs`` are its arguments, whose arrays may be tracers.
    :raises ValueError: if the model has no continuous latent site, or discrete latent ones, naming them.

    >>> import numpyro, numpyro.distributions as dist
    >>> potential = build_potential(lambda: numpyro.sample("scale", dist.Exponential(1.0)))
    >>> float(potential.potential_fn({"scale": jnp.array(0.0)}))
    1.0
    """
    kwargs = kwargs or {}
    info: dict[str, Any] = {}

    def look() -> Any:
        handled = trace(_Placeholders(seed(model, rng_seed=0)))
        recorded = handled.get_trace(*args, **kwargs)
        samples = {name: site for name, site in recorded.items() if site["type"] == "sample"}
        latent = {name: site for name, site in samples.items() if not site["is_observed"]}
        refuse_all_observed(recorded)
        refuse_discrete(recorded)
        _check_sizes(latent)
        info["observed"] = tuple(name for name, site in samples.items() if site["is_observed"])
        info["deterministic"] = tuple(name for name, site in recorded.items() if site["type"] == "deterministic")
        info["needs_key"] = _draws(recorded.values())
        info["subsampled"] = [name for name, site in recorded.items() if _is_subsampled(site)]
        return {name: (site["value"], site["fn"].support) for name, site in latent.items()}

    abstract = jax.eval_shape(look)
    sites = {}
    for name, (value, support) in abstract.items():
        is_static = not jax.tree.leaves(support)
        transform = biject_to(support) if is_static else jax.eval_shape(biject_to, support)
        sites[name] = LatentSite(
            name, support, is_static, value.shape, tuple(transform.inverse_shape(value.shape)), value.dtype
        )
    # An observed site may be a latent one of the whole model that another kernel updates.
    unknown = [name for name in given_values(init_strategy) if name not in {*sites, *info["observed"]}]
    if unknown:
        warnings.warn(
            f"init_to_value gives values for {', '.join(map(repr, unknown))}, which are no latent sites of the model "
            f"(it has "
            f"{', '.join(map(repr, sites))}).",
            stacklevel=2,
        )
    _check_given(given_values(init_strategy), sites)
    if info["subsampled"]:
        plates = ", ".join(map(repr, info["subsampled"]))
        warnings.warn(
            f"the model subsamples the plate(s) {plates}, so its density looks at one random subsample of the data, "
            "the same one throughout, as if it stood for all of them. Use HMCECS, whose subsamples change, or leave "
            "subsample_size out.",
            stacklevel=2,
        )
    return ModelPotential(
        model,
        sites,
        init_strategy,
        info["deterministic"],
        info["needs_key"],
        forward_mode_differentiation,
        info["observed"],
    )


def _check_given(values: dict[str, Any], sites: dict[str, LatentSite]) -> None:
    """Raise an error for an initial value that lies outside the support of its site."""
    for name, value in values.items():
        site = sites.get(name)
        if site is None or not site.is_static or isinstance(value, jax.core.Tracer):
            continue
        if np.ndim(value) < site.support.event_dim:
            continue
        if not np.all(np.asarray(site.support(value))):
            raise ValueError(
                f"init_to_value gives site '{name}' the value {np.asarray(value)}, which lies outside its support "
                f"{site.support}. Give a value inside."
            )


def _draws(sites: Iterable[dict[str, Any]]) -> bool:
    """Whether running the model needs a random key although every sample site has a value."""
    for site in sites:
        if site["type"] == "prng_key":
            return True
        if _is_subsampled(site):
            return True
        if site["type"] in ("param", "mutable") and callable(next(iter(site["args"]), None)):
            return True
    return False


def _is_subsampled(site: dict[str, Any]) -> bool:
    """Whether a site of a trace is a plate whose indices were drawn."""
    is_smaller = site["type"] == "plate" and len(site["args"]) >= 2 and site["args"][0] != site["args"][1]
    return is_smaller and site["kwargs"].get("rng_key") is not None


def _check_sizes(latent: dict[str, dict[str, Any]]) -> None:
    for name, site in latent.items():
        if shape_of(site["value"]) and 0 in shape_of(site["value"]):
            raise ValueError(f"latent site '{name}' has no element: its value has shape {shape_of(site['value'])}")

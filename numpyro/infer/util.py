# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Densities and initial values of a model, for users and for inference algorithms.

:mod:`~numpyro.infer.predictive` has what is computed at many draws.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro.distributions import biject_to
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.initialization import MAX_ATTEMPTS, first_valid, init_to_uniform
from numpyro.infer.potential import ModelPotential, build_potential, site_log_prob
from numpyro.infer.predictive import Predictive, log_likelihood

__all__ = [
    "ModelInfo",
    "ParamInfo",
    "Predictive",
    "constrain_fn",
    "find_valid_initial_params",
    "get_potential_fn",
    "initialize_model",
    "log_density",
    "log_likelihood",
    "potential_energy",
    "transform_fn",
    "unconstrain_fn",
]


class ParamInfo(NamedTuple):
    """Unconstrained initial values ``z``, their potential energy, and its gradient."""

    z: Any
    potential_energy: Any
    z_grad: Any


class ModelInfo(NamedTuple):
    """What an algorithm needs to sample a model."""

    param_info: ParamInfo
    potential_fn: Callable[..., Any]
    postprocess_fn: Callable[..., Any]
    model_trace: dict[str, Any]


def log_density(model: Callable[..., Any], model_args: Any, model_kwargs: Any, params: dict[str, Any]) -> Any:
    """Log of the joint density of a model at given (constrained) values of its latent sites.

    :param params: values by site name.
    :return: the log density, a scalar, and the model's trace.

    >>> import numpyro, numpyro.distributions as dist
    >>> log_joint, _ = log_density(lambda: numpyro.sample("x", dist.Normal(0.0, 1.0)), (), {}, {"x": 0.0})
    >>> round(float(log_joint), 4)
    -0.9189
    """
    recorded = trace(substitute(model, data=params)).get_trace(*model_args, **model_kwargs)
    log_joint: Any = jnp.zeros(())
    for site in recorded.values():
        if site["type"] == "sample":
            log_joint = log_joint + jnp.sum(site_log_prob(site))
    return log_joint, recorded


def potential_energy(
    model: Callable[..., Any], model_args: Any, model_kwargs: Any, params: dict[str, Any], enum: bool = False
) -> Any:
    """Potential energy of a model at unconstrained parameters: minus the log joint density and the log Jacobian.

    >>> import numpyro, numpyro.distributions as dist
    >>> float(potential_energy(lambda: numpyro.sample("x", dist.Exponential(1.0)), (), {}, {"x": jnp.array(0.0)}))
    1.0
    """
    _refuse_enumeration(enum)
    built = build_potential(model, model_args, model_kwargs)
    return built.potential_fn(params, model_args, model_kwargs)


def _refuse_enumeration(enum: bool) -> None:
    if enum:
        raise NotImplementedError("enumeration of discrete sites is not available yet; sum them out by hand")


def transform_fn(transforms: dict[str, Any], params: dict[str, Any], invert: bool = False) -> dict[str, Any]:
    """Apply transforms to the values that have the same name; values without one are left out.

    :param invert: apply the inverse transforms.
    """
    return {
        name: (transforms[name].inv if invert else transforms[name])(value)
        for name, value in params.items()
        if name in transforms
    }


def constrain_fn(
    model: Callable[..., Any],
    model_args: Any,
    model_kwargs: Any,
    params: dict[str, Any],
    return_deterministic: bool = False,
) -> dict[str, Any]:
    """Constrained values of a model's latent sites at unconstrained parameters."""
    built = build_potential(model, model_args, model_kwargs)
    return built.constrain(params, model_args, model_kwargs, return_deterministic=return_deterministic)


def unconstrain_fn(
    model: Callable[..., Any], model_args: Any, model_kwargs: Any, params: dict[str, Any]
) -> dict[str, Any]:
    """Unconstrained parameters at (constrained) values of a model's latent sites."""
    recorded = trace(substitute(seed(model, rng_seed=0), data=params)).get_trace(*model_args, **(model_kwargs or {}))
    return {name: biject_to(recorded[name]["fn"].support).inv(value) for name, value in params.items()}


def get_potential_fn(
    model: Callable[..., Any],
    inv_transforms: dict[str, Any],
    *,
    enum: bool = False,
    replay_model: bool = False,
    dynamic_args: bool = False,
    model_args: Any = (),
    model_kwargs: Any = None,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Potential energy as a function of unconstrained parameters, and the function that constrains them.

    :param inv_transforms: bijections from unconstrained space by site name; what is used are the supports of the model
        itself.
    :param replay_model: let the second function return deterministic sites too.
    :param dynamic_args: return functions of the model's arguments that return these functions.
    """
    _refuse_enumeration(enum)
    built = build_potential(model, model_args, model_kwargs)
    return _potential_pair(built, dynamic_args, model_args, model_kwargs, replay_model)


def _potential_pair(
    built: ModelPotential, dynamic_args: bool, model_args: Any, model_kwargs: Any, replay_model: bool = True
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def potential(*args: Any, **kwargs: Any) -> Callable[..., Any]:
        return lambda params: built.potential_fn(params, args, kwargs)

    def postprocess(*args: Any, **kwargs: Any) -> Callable[..., Any]:
        return lambda params: built.constrain(params, args, kwargs, return_deterministic=replay_model)

    if dynamic_args:
        return potential, postprocess
    model_kwargs = model_kwargs or {}
    return potential(*model_args, **model_kwargs), postprocess(*model_args, **model_kwargs)


def find_valid_initial_params(
    rng_key: Any,
    model: Callable[..., Any],
    *,
    init_strategy: Callable[..., Any] = init_to_uniform,
    enum: bool = False,
    model_args: Any = (),
    model_kwargs: Any = None,
    prototype_params: Any = None,
    forward_mode_differentiation: bool = False,
    validate_grad: bool = True,
) -> tuple[ParamInfo, Any]:
    """Unconstrained initial parameters with finite density (and gradient), and whether any were found.

    The strategy is tried up to 100 times. A key of shape ``(n, ...)`` gives parameters with a leading axis of size
    ``n``.
    """
    _refuse_enumeration(enum)
    built = build_potential(model, model_args, model_kwargs, init_strategy=init_strategy)
    return _find_valid(
        rng_key, built, model_args, model_kwargs, forward_mode_differentiation, validate_grad, prototype_params
    )


def _find_valid(
    rng_key: Any,
    built: ModelPotential,
    model_args: Any,
    model_kwargs: Any,
    forward_mode: bool,
    validate_grad: bool,
    prototype: Any = None,
) -> tuple[ParamInfo, Any]:
    def potential(params: Any) -> Any:
        return built.potential_fn(params, model_args, model_kwargs)

    def attempt(key: Any) -> ParamInfo:
        params = built.init_params(key, model_args, model_kwargs)
        if prototype is not None:
            params = {name: params[name] for name in prototype}
        if not validate_grad:
            return ParamInfo(params, potential(params), jax.tree.map(jnp.zeros_like, params))
        if forward_mode:
            return ParamInfo(params, potential(params), jax.jacfwd(potential)(params))
        return ParamInfo(params, *jax.value_and_grad(potential)(params))

    def is_valid(info: ParamInfo) -> Any:
        finite = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves((info.potential_energy, info.z_grad))]
        return jnp.all(jnp.stack(finite))

    def search(key: Any) -> tuple[ParamInfo, Any]:
        return first_valid(attempt, is_valid, key)

    is_typed = jnp.issubdtype(rng_key.dtype, jax.dtypes.prng_key)
    is_batched = jnp.ndim(rng_key) > (0 if is_typed else 1)
    return jax.jit(jax.vmap(search) if is_batched else search)(rng_key)


def initialize_model(
    rng_key: Any,
    model: Callable[..., Any],
    *,
    init_strategy: Callable[..., Any] = init_to_uniform,
    dynamic_args: bool = False,
    model_args: Any = (),
    model_kwargs: Any = None,
    forward_mode_differentiation: bool = False,
    validate_grad: bool = True,
) -> ModelInfo:
    """Everything an algorithm on unconstrained space needs of a model.

    :param rng_key: a key, or an array of keys for as many initial values.
    :param dynamic_args: return functions of the model's arguments in the place of the potential and the postprocessing
        function.
    :return: initial parameters with potential energy and gradient; the potential function; the function that maps
        parameters to latent and deterministic sites; the model's trace.
    :raises ValueError: if there is no latent site; if no valid initial parameters are found, naming the sites
        responsible.

    >>> import jax, numpyro, numpyro.distributions as dist
    >>> def model(y):
    ...     mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    ...     numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
    >>> info = initialize_model(jax.random.key(0), model, model_args=(1.0,))
    >>> sorted(info.postprocess_fn(info.param_info.z))
    ['mu']
    """
    built = build_potential(model, model_args, model_kwargs, init_strategy=init_strategy)
    info, valid = _find_valid(rng_key, built, model_args, model_kwargs, forward_mode_differentiation, validate_grad)
    if not isinstance(valid, jax.core.Tracer) and not np.all(np.asarray(valid)):
        z = info.z
        for _ in range(np.ndim(valid)):
            first = int(np.argmin(np.asarray(valid)))
            z = jax.tree.map(lambda x, first=first: x[first], z)
        explanation = built.explain_invalid(z, model_args, model_kwargs)
        raise ValueError(f"no valid initial parameters in {MAX_ATTEMPTS} attempts.\n{explanation}")
    potential_fn, postprocess_fn = _potential_pair(built, dynamic_args, model_args, model_kwargs)
    return ModelInfo(info, potential_fn, postprocess_fn, _abstract_trace(model, model_args, model_kwargs or {}))


def _abstract_trace(model: Callable[..., Any], args: Any, kwargs: Any) -> dict[str, Any]:
    """The model's trace, with abstract arrays in the place of distributions' parameters and values."""
    sites: dict[str, Any] = {}

    def look() -> Any:
        sites.update(trace(seed(model, rng_seed=0)).get_trace(*args, **kwargs))
        return {name: (site["fn"], site["value"]) for name, site in sites.items() if site["type"] == "sample"}

    for name, (fn, value) in jax.eval_shape(look).items():
        sites[name] = {**sites[name], "fn": fn, "value": value}
    return sites

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The statements of a model but plates: what is drawn, observed, computed, optimised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import shape_of
from numpyro.distributions.distribution import Distribution, Unit
from numpyro.distributions.site_checks import validate_value_shape
from numpyro.primitives.stack import STACK, CondIndepStackFrame, apply_stack, draw
from numpyro.util import identity

__all__ = ["as_array", "deterministic", "factor", "get_mask", "module", "mutable", "param", "prng_key", "sample"]


def sample(
    name: str,
    fn: Any,
    obs: Any = None,
    rng_key: Any = None,
    sample_shape: Sequence[int] = (),
    infer: dict[str, Any] | None = None,
    obs_mask: Any = None,
) -> Any:
    """A random variable: drawn from a distribution, or observed.

    :param name: name of the site, unique in the model.
    :param fn: a :class:`~numpyro.distributions.Distribution`.
    :param obs: observed value, of a shape that broadcasts with ``fn.batch_shape + fn.event_shape``; None if latent.
    :param rng_key: key for the draw; usually it comes from :class:`numpyro.handlers.seed`.
    :param sample_shape: shape to be prepended to that of one draw.
    :param infer: hints for inference algorithms, such as ``{"enumerate": "parallel"}``.
    :param obs_mask: boolean array that broadcasts with ``fn.batch_shape``: where it is True, ``obs`` counts; elsewhere
        the value is imputed by sampling. The site is split into ``name + "_observed"`` and the latent ``name +
        "_unobserved"``.
    :return: the value, of shape ``sample_shape + batch_shape + event_shape`` when it is drawn.
    :raises TypeError: if ``fn`` is not a distribution.
    :raises ValueError: if a key is missing, or if value, distribution and plates do not fit together.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model(y=None):
    ...     mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    ...     with numpyro.plate("data", 3):
    ...         return numpyro.sample("y", dist.Normal(mu, 0.1), obs=y)
    >>> numpyro.handlers.seed(model, rng_seed=0)().shape
    (3,)
    """
    if not isinstance(fn, Distribution):
        _check_is_distribution(name, fn)
    if isinstance(obs, list | tuple):
        obs = as_array(obs)
    if obs_mask is not None:
        return _sample_partly_observed(name, fn, obs, obs_mask, rng_key, sample_shape, infer)
    sample_shape = tuple(sample_shape)
    if not STACK:
        if obs is None:
            return draw(name, fn, rng_key=rng_key, sample_shape=sample_shape)
        _check_value(name, fn, obs, ())
        return obs

    msg = apply_stack(
        {
            "type": "sample",
            "name": name,
            "fn": fn,
            "args": (),
            "kwargs": {"rng_key": rng_key, "sample_shape": sample_shape},
            "value": obs,
            "scale": None,
            "is_observed": obs is not None,
            "intermediates": [],
            "cond_indep_stack": [],
            "infer": {} if infer is None else dict(infer),
        }
    )
    if msg["type"] == "sample":
        _check_value(msg["name"], msg["fn"], msg["value"], msg["cond_indep_stack"])
    return msg["value"]


def _check_is_distribution(name: str, fn: Any) -> None:
    if isinstance(fn, type):
        raise TypeError(
            f"Site '{name}': the second argument of sample is the class {fn.__name__}, not an instance of it. Call it "
            f"with its parameters: {fn.__name__}(...)."
        )
    if not (callable(fn) and hasattr(fn, "log_prob") and hasattr(fn, "batch_shape")):
        raise TypeError(
            f"Site '{name}': the second argument of sample must be a numpyro.distributions.Distribution, but it is "
            f"{fn!r} of type {type(fn).__name__}. To record a value that is computed, use numpyro.deterministic; to "
            "add a term to the log density, use numpyro.factor."
        )


def _check_value(name: str, fn: Any, value: Any, frames: Sequence[CondIndepStackFrame]) -> None:
    if isinstance(fn, Distribution) and shape_of(value) != fn.batch_shape + fn.event_shape:
        validate_value_shape(fn, value, reversed(frames), name)


def as_array(value: Any) -> Any:
    """An array of a nested list, on the host unless there are JAX arrays in it."""
    on_device = any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(value))
    return jnp.asarray(value) if on_device else np.asarray(value)


def _sample_partly_observed(
    name: str, fn: Any, obs: Any, obs_mask: Any, rng_key: Any, sample_shape: Sequence[int], infer: dict[str, Any] | None
) -> Any:
    obs_mask = as_array(obs_mask) if isinstance(obs_mask, bool | list | tuple) else obs_mask
    if obs_mask.dtype != bool:
        raise ValueError(
            f"Site '{name}': obs_mask must be a boolean array, but its type is {obs_mask.dtype}. Use "
            "obs_mask.astype(bool)."
        )
    observed = sample(f"{name}_observed", fn.mask(obs_mask), obs, infer=infer)
    unobserved = sample(
        f"{name}_unobserved", fn.mask(~obs_mask), rng_key=rng_key, sample_shape=sample_shape, infer=infer
    )
    is_observed = obs_mask.reshape(obs_mask.shape + (1,) * len(fn.event_shape))
    return deterministic(name, jnp.where(is_observed, observed, unobserved))


def deterministic(name: str, value: Any) -> Any:
    """Record a value that is computed from others, so that it appears among the posterior samples.

    :param name: name of the site, unique in the model.
    :param value: an array.
    :return: the value.

    >>> import numpyro
    >>> with numpyro.handlers.trace() as trace:
    ...     y = numpyro.deterministic("y", 2.0)
    >>> trace["y"]["value"]
    2.0
    """
    if not STACK:
        return value
    return apply_stack(
        {
            "type": "deterministic",
            "name": name,
            "fn": identity,
            "args": (value,),
            "kwargs": {},
            "value": value,
            "scale": None,
            "cond_indep_stack": [],
        }
    )["value"]


def factor(name: str, log_factor: Any) -> None:
    """Add a term to the log density of a model.

    :param name: name of the site, unique in the model.
    :param log_factor: log weight. Under plates its shape broadcasts with theirs, and there is a term for each index.

    >>> import numpyro
    >>> with numpyro.handlers.trace() as trace:
    ...     numpyro.factor("penalty", -3.0)
    >>> print(trace["penalty"]["fn"].log_prob(trace["penalty"]["value"]))
    -3.0
    """
    fn = Unit(log_factor, validate_args=False)
    value = np.empty((*fn.batch_shape, 0), np.float32)
    sample(name, fn, obs=value, infer={"is_auxiliary": True})


def param(name: str, init_value: Any = None, **kwargs: Any) -> Any:
    """A parameter to be optimised: a point estimate, not a random variable.

    :param name: name of the parameter. Later statements with the same name refer to the same parameter.
    :param init_value: first value, or a function of a random key that returns it.
    :param kwargs: ``constraint``, a :class:`~numpyro.distributions.constraints.Constraint` that the values satisfy
        (real by default); ``event_dim``, the number of rightmost dimensions that belong to no plate. With it the value
        is indexed along the dims of the plates that subsample.
    :return: the value; outside handlers the initial one.
    :raises ValueError: if a random key is missing, or if the shape does not fit the plates.

    >>> import numpyro, numpyro.distributions as dist
    >>> def guide():
    ...     return numpyro.param("scale", 0.5, constraint=dist.constraints.positive)
    >>> numpyro.handlers.substitute(guide, data={"scale": 2.0})()
    2.0
    """
    if callable(init_value):
        return _param(name, _with_key(f"param '{name}'", init_value), (), kwargs)
    return _param(name, identity, (init_value,), kwargs)


def _param(name: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not STACK:
        return fn(*args, **kwargs)
    return apply_stack(
        {
            "type": "param",
            "name": name,
            "fn": fn,
            "args": args,
            "kwargs": kwargs,
            "value": None,
            "scale": None,
            "cond_indep_stack": [],
        }
    )["value"]


def _with_key(what: str, init: Callable[[Any], Any]) -> Callable[..., Any]:
    """Initialisation that asks the handlers for a key when it runs."""

    def fn(rng_key: Any = None, **kwargs: Any) -> Any:
        key = prng_key() if rng_key is None else rng_key
        if key is None:
            raise ValueError(
                f"The initial value of {what} is a function of a random key, but there is none. Run under "
                "numpyro.handlers.seed(fn, rng_seed=0), or give a value."
            )
        return init(key)

    return fn


def module(
    name: str,
    nn: tuple[Callable[..., Any], Callable[..., Any]],
    input_shape: Sequence[int] | None = None,
) -> Callable[..., Any]:
    """Register the parameters of a neural network, and return the network as a function of its inputs.

    :param name: name of the network; its parameters are the site ``name + "$params"``.
    :param nn: pair of ``init(rng_key, input_shape) -> (output_shape, params)`` and ``apply(params, inputs)``.
    :param input_shape: shape of the inputs; it is needed unless the parameters are given by a handler.
    :return: ``apply`` with its parameters filled in.
    :raises ValueError: if the input shape or a random key is needed and missing.

    >>> import numpyro
    >>> def init(rng_key, input_shape):
    ...     return input_shape, {"w": jax.random.normal(rng_key, input_shape)}
    >>> def model(x):
    ...     net = numpyro.module("net", (init, lambda params, x: params["w"] * x), input_shape=x.shape)
    ...     return net(x)
    >>> numpyro.handlers.seed(model, rng_seed=0)(jnp.ones(3)).shape
    (3,)
    """
    nn_init, nn_apply = nn
    init = _with_key(f"module '{name}'", lambda rng_key: nn_init(rng_key, input_shape)[1])

    def fn(rng_key: Any = None) -> Any:
        if input_shape is None:
            raise ValueError(
                f"module '{name}' has to initialise its parameters, but input_shape is None. Pass "
                f"numpyro.module('{name}', nn, input_shape=...), or substitute '{name}$params'."
            )
        return init(rng_key)

    return functools.partial(nn_apply, _param(f"{name}$params", fn, (), {}))


def mutable(name: str, init_value: Any = None) -> Any:
    """State that a model may change in place while it runs, such as running averages.

    :param name: name of the site.
    :param init_value: first value, usually a dict of arrays.
    :return: the value.

    >>> import numpyro
    >>> from numpyro.primitives import mutable
    >>> with numpyro.handlers.trace() as trace:
    ...     state = mutable("state", {"count": 0})
    ...     state["count"] += 1
    >>> trace["state"]["value"]
    {'count': 1}
    """
    if not STACK:
        return init_value
    return apply_stack(
        {"type": "mutable", "name": name, "fn": identity, "args": (init_value,), "kwargs": {}, "value": init_value}
    )["value"]


def prng_key() -> Any:
    """A random key from the :class:`numpyro.handlers.seed` around it; None if there is none.

    >>> import numpyro
    >>> with numpyro.handlers.seed(rng_seed=1):
    ...     key = numpyro.prng_key()
    >>> numpyro.prng_key() is None
    True
    """
    if not STACK:
        return None
    msg = {
        "type": "prng_key",
        "name": "_prng_key",
        "fn": lambda rng_key: rng_key,
        "args": (),
        "kwargs": {"rng_key": None},
        "value": None,
    }
    return apply_stack(msg)["value"]


def get_mask() -> Any:
    """The mask that the :class:`numpyro.handlers.mask` handlers around it add up to; None if there are none.

    A model can use it to leave out work whose result would be masked.

    >>> import numpyro
    >>> with numpyro.handlers.mask(mask=False):
    ...     numpyro.get_mask()
    False
    """
    if not STACK:
        return None
    msg = {"type": "get_mask", "name": "_get_mask", "fn": lambda: None, "args": (), "kwargs": {}, "value": None}
    return apply_stack(msg)["value"]

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Initialisation strategies: where a Markov chain, or an optimiser, starts.

A strategy is a function of a site's message that returns a value for it, or None to leave it to others. Called without
a site it returns itself with its options set, which is how it is passed to a kernel: ``NUTS(model,
init_strategy=init_to_median(num_samples=20))``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import can_expand, shape_of
from numpyro.distributions import biject_to
from numpyro.infer.random_words import derived_key

__all__ = [
    "init_to_feasible",
    "init_to_mean",
    "init_to_median",
    "init_to_sample",
    "init_to_uniform",
    "init_to_value",
]

Site = dict[str, Any]

MAX_ATTEMPTS = 100
"""How many candidates for the start are tried."""


def _is_latent(site: Site) -> bool:
    return site["type"] == "sample" and not site["is_observed"] and not site["fn"].is_discrete


def init_to_uniform(site: Site | None = None, radius: float = 2) -> Any:
    """Start at random: uniform on ``(-radius, radius)`` in unconstrained space, for each coordinate.

    >>> from numpyro.infer import NUTS, init_to_uniform
    >>> kernel = NUTS(lambda: None, init_strategy=init_to_uniform(radius=0.5))
    """
    if site is None:
        return partial(init_to_uniform, radius=radius)
    if not _is_latent(site):
        return None
    transform = biject_to(site["fn"].support)
    shape = transform.inverse_shape(site["fn"].shape(site["kwargs"].get("sample_shape", ())))
    unconstrained = jax.random.uniform(site["kwargs"]["rng_key"], shape, minval=-radius, maxval=radius)
    return transform(unconstrained)


def init_to_feasible(site: Site | None = None) -> Any:
    """Start at a fixed, feasible point: the image of 0 in unconstrained space."""
    if site is None:
        return init_to_feasible
    if not _is_latent(site):
        return None
    transform = biject_to(site["fn"].support)
    shape = transform.inverse_shape(site["fn"].shape(site["kwargs"].get("sample_shape", ())))
    return transform(jnp.zeros(shape))


def init_to_sample(site: Site | None = None) -> Any:
    """Start at a draw from the prior; improper priors start as :func:`init_to_uniform` does."""
    if site is None:
        return init_to_sample
    if not _is_latent(site):
        return None
    try:
        return site["fn"](rng_key=site["kwargs"]["rng_key"], sample_shape=site["kwargs"].get("sample_shape", ()))
    except NotImplementedError:
        return init_to_uniform(site)


def init_to_median(site: Site | None = None, num_samples: int = 15) -> Any:
    """Start at the median of ``num_samples`` draws from the prior, taken in unconstrained space for each coordinate."""
    if site is None:
        return partial(init_to_median, num_samples=num_samples)
    if not _is_latent(site):
        return None
    fn, transform = site["fn"], biject_to(site["fn"].support)
    try:
        draws = fn(
            rng_key=site["kwargs"]["rng_key"], sample_shape=(num_samples, *site["kwargs"].get("sample_shape", ()))
        )
    except NotImplementedError:
        return init_to_uniform(site)
    return transform(jnp.median(transform.inv(draws), axis=0))


def init_to_mean(site: Site | None = None) -> Any:
    """Start at the prior mean; a prior without one starts as :func:`init_to_median` does."""
    if site is None:
        return init_to_mean
    if not _is_latent(site):
        return None
    try:
        mean = site["fn"].mean
    except NotImplementedError:
        return init_to_median(site)
    shape = site["fn"].shape(site["kwargs"].get("sample_shape", ()))
    return jnp.broadcast_to(jnp.where(jnp.isfinite(mean), mean, init_to_median(site)), shape)


def init_to_value(site: Site | None = None, values: dict[str, Any] | None = None) -> Any:
    """Start at given values; sites without one start as :func:`init_to_uniform` does.

    :param values: constrained values by site name.
    :raises ValueError: where a value's shape is not that of its site.

    >>> from numpyro.infer import NUTS, init_to_value
    >>> kernel = NUTS(lambda: None, init_strategy=init_to_value(values={"mu": 1.5}))
    """
    if site is None:
        return partial(init_to_value, values=values)
    if not _is_latent(site):
        return None
    if site["name"] not in (values or {}):
        return init_to_uniform(site)
    value = (values or {})[site["name"]]
    expected = site["fn"].shape(site["kwargs"].get("sample_shape", ()))
    if not can_expand(shape_of(value), expected):
        raise ValueError(
            f"init_to_value: the value for site '{site['name']}' has shape {shape_of(value)}, but the site has shape "
            f"{expected}"
        )
    return jnp.broadcast_to(jnp.asarray(value, jnp.result_type(float)), expected)


def given_values(strategy: Callable[..., Any]) -> dict[str, np.ndarray]:
    """The values that a strategy made by :func:`init_to_value` gives; empty for every other strategy."""
    if isinstance(strategy, partial) and strategy.func is init_to_value:
        return dict(strategy.keywords.get("values") or {})
    return {}


def uniform_radius(strategy: Callable[..., Any]) -> float | None:
    """The radius, if the strategy is :func:`init_to_uniform` for all sites; else None."""
    if strategy is init_to_uniform:
        return 2.0
    if isinstance(strategy, partial) and strategy.func is init_to_uniform:
        return float(strategy.keywords.get("radius", 2.0))
    return None


def first_valid(
    attempt: Callable[[Any], Any], is_valid: Callable[[Any], jax.Array], rng_key: Any
) -> tuple[Any, jax.Array]:
    """The first of 100 candidates that is valid, or else the last one, and whether it is.

    ``attempt`` appears once in the compiled program.

    :param attempt: from a random key to a candidate, a pytree.
    :param is_valid: from a candidate to a boolean scalar.
    """

    def nothing(x: Any) -> jax.Array:
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jnp.broadcast_to(rng_key, x.shape)
        return jnp.zeros(x.shape, x.dtype)

    blank = jax.tree.map(nothing, jax.eval_shape(attempt, rng_key))

    def retry(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        count, _, _ = carry
        candidate = attempt(derived_key(rng_key, count))
        return count + 1, candidate, is_valid(candidate)

    def unfinished(carry: tuple[Any, ...]) -> jax.Array:
        count, _, found = carry
        return (count < MAX_ATTEMPTS) & ~found

    count = jnp.zeros((), jnp.int32)
    return jax.lax.while_loop(unfinished, retry, (count, blank, jnp.array(False)))[1:]

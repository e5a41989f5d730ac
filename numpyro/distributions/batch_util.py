# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions whose leaves were stacked, or are to be mapped over."""

from __future__ import annotations

from typing import Any, TypeVar

from numpyro.distributions.distribution import Distribution

__all__ = ["promote_batch_shape", "vmap_over"]

D = TypeVar("D", bound=Distribution)


def promote_batch_shape(d: D) -> D:
    """The distribution that stacked leaves stand for: the new leading dimensions stand in front of its batch shape.

    Batch shapes are derived from the leaves, so nothing is left to promote: a distribution that comes out of ``vmap``,
    ``lax.scan`` or ``tree.map`` is already what it should be. The function is here for programs that call it; it
    aligns the parameters, so that each has all batch dimensions.

    :param d: a distribution.
    :return: the same distribution with every array parameter of full batch rank; sizes of 1 are kept.

    >>> import jax, jax.numpy as jnp, numpyro.distributions as dist
    >>> stacked = jax.vmap(lambda x: dist.MultivariateNormal(x, scale_tril=jnp.eye(2)))(jnp.zeros((4, 5, 2)))
    >>> promote_batch_shape(stacked).batch_shape
    (4, 5)
    """
    return d._aligned()  # type: ignore[return-value]


def vmap_over(d: D, **kwargs: Any) -> Any:
    """Axes of a distribution's parameters, to give to ``jax.vmap`` as an entry of ``in_axes`` or ``out_axes``.

    :param d: a distribution.
    :param kwargs: for each parameter to map over, the axis; for a wrapped distribution, what ``vmap_over`` returns for
        it. Parameters that are not named are not mapped over.
    :raises ValueError: if the distribution has no such parameter.

    Axes count in the parameters as JAX sees them, with all batch dimensions of ``d``: axis 0 is the first batch
    dimension whatever the shape that a parameter was given in.

    >>> import jax, jax.numpy as jnp, numpyro.distributions as dist
    >>> d = dist.Normal(jnp.zeros(3), 1.0)
    >>> jax.vmap(lambda d: d.log_prob(0.0), in_axes=(vmap_over(d, loc=0),))(d).shape
    (3,)
    """
    aligned = d._aligned()
    names = tuple(aligned._data_fields())
    unknown = set(kwargs) - set(names)
    if unknown:
        raise ValueError(
            f"vmap_over: {type(d).__name__} has no parameter {', '.join(sorted(unknown))}; it has {', '.join(names)}."
        )
    _, static = aligned.tree_flatten()
    axes = [kwargs.get(name) for name in names]
    return type(d).tree_unflatten(static, axes)

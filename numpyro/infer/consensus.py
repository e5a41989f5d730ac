# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""One posterior from those of parts of the data, each of which was drawn by itself.

If the prior of each part is the ``1/S``-th power of the whole prior, the posterior is the product of the ``S``
*subposteriors*. Where these are close to normal, with means ``m_s`` and covariances ``C_s``, so is the product, with
covariance ``C = (sum_s C_s^-1)^-1`` and mean ``C sum_s C_s^-1 m_s``.

**References:** Scott et al. (2016), *Bayes and Big Data: The Consensus Monte Carlo Algorithm*; Neiswanger, Wang and
Xing (2014), *Asymptotically Exact, Embarrassingly Parallel MCMC*, section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax.flatten_util import ravel_pytree
import jax.numpy as jnp

__all__ = ["consensus", "parametric", "parametric_draws"]


def consensus(
    subposteriors: Sequence[Any], num_draws: int | None = None, diagonal: bool = False, rng_key: Any = None
) -> Any:
    """Average draws of the subposteriors, each weighted by its precision.

    :param subposteriors: draws of each part: pytrees of the same structure, arrays of shape ``(n,) + event_shape``.
    :param num_draws: draw so many from each part, with replacement. Default: take the draws in their order; then all
        parts must have as many.
    :param diagonal: weight each coordinate by its own precision, without correlations.
    :param rng_key: random key for ``num_draws``. Default: ``jax.random.PRNGKey(0)``.
    :returns: a pytree like one part, with ``num_draws`` draws.
    :raises ValueError: if there is no subposterior, or their numbers of draws differ and ``num_draws`` is not given.

    >>> parts = [{"x": jnp.array([0.0, 1.0, 2.0])}, {"x": jnp.array([4.0, 5.0, 6.0])}]
    >>> consensus(parts)["x"].tolist()
    [2.0, 3.0, 4.0]
    """
    flats = _flat(subposteriors)
    if num_draws is not None:
        keys = jax.random.split(jax.random.PRNGKey(0) if rng_key is None else rng_key, len(flats))
        chosen = [jax.random.randint(key, (num_draws,), 0, len(x)) for key, x in zip(keys, flats, strict=True)]
        flats_drawn = [x[index] for x, index in zip(flats, chosen, strict=True)]
    else:
        if len({len(x) for x in flats}) > 1:
            raise ValueError(
                f"the subposteriors have {', '.join(str(len(x)) for x in flats)} draws; give `num_draws` to draw as "
                "many from each of them."
            )
        flats_drawn = flats
    precisions = [_precision(x, diagonal) for x in flats]
    weighted = sum(_times(p, x.T) for p, x in zip(precisions, flats_drawn, strict=True))
    return _like(subposteriors[0], _solve(sum(precisions), weighted).T)


def parametric(subposteriors: Sequence[Any], diagonal: bool = False) -> tuple[jax.Array, jax.Array]:
    """Mean and covariance of the product of the subposteriors, taken as normal.

    :param subposteriors: as in :func:`consensus`; numbers of draws may differ.
    :param diagonal: ignore correlations.
    :returns: the mean, of the flattened parameters, and the covariance matrix, or the variances if ``diagonal``.

    >>> mean, variance = parametric([jnp.array([0.0, 2.0]), jnp.array([4.0, 6.0])], diagonal=True)
    >>> mean.tolist(), variance.tolist()
    ([3.0], [1.0])
    """
    flats = _flat(subposteriors)
    precisions = [_precision(x, diagonal) for x in flats]
    total = sum(precisions)
    mean = _solve(total, sum(_times(p, x.mean(axis=0)) for p, x in zip(precisions, flats, strict=True)))
    return mean, 1 / total if diagonal else jnp.linalg.inv(total)


def parametric_draws(subposteriors: Sequence[Any], num_draws: int, diagonal: bool = False, rng_key: Any = None) -> Any:
    """Draws from the normal distribution that :func:`parametric` describes.

    :param subposteriors: as in :func:`parametric`.
    :param num_draws: number of draws.
    :param diagonal: ignore correlations.
    :param rng_key: random key. Default: ``jax.random.PRNGKey(0)``.
    :returns: a pytree like one subposterior, with ``num_draws`` draws.

    >>> parts = [{"x": jnp.array([0.0, 2.0])}, {"x": jnp.array([4.0, 6.0])}]
    >>> parametric_draws(parts, 5, diagonal=True)["x"].shape
    (5,)
    """
    mean, covariance = parametric(subposteriors, diagonal)
    noise = jax.random.normal(jax.random.PRNGKey(0) if rng_key is None else rng_key, (num_draws, len(mean)))
    deviations = noise * jnp.sqrt(covariance) if diagonal else noise @ jnp.linalg.cholesky(covariance).T
    return _like(subposteriors[0], mean + deviations)


def _flat(subposteriors: Sequence[Any]) -> list[Any]:
    """Draws of each part as a matrix, one row for each draw."""
    if len(subposteriors) == 0:
        raise ValueError("there is no subposterior to combine: give a list with the draws of each part.")
    return [jax.vmap(lambda draw: ravel_pytree(draw)[0])(part) for part in subposteriors]


def _like(part: Any, flat: jax.Array) -> Any:
    _, unravel = ravel_pytree(jax.tree.map(lambda x: x[0], part))
    return jax.vmap(unravel)(flat)


def _precision(x: jax.Array, diagonal: bool) -> Any:
    if diagonal:
        return 1 / jnp.var(x, axis=0, ddof=1)
    return jnp.linalg.inv(jnp.atleast_2d(jnp.cov(x.T)))


def _times(precision: jax.Array, x: jax.Array) -> jax.Array:
    return precision @ x if precision.ndim == 2 else (precision * x.T).T


def _solve(precision: Any, x: Any) -> Any:
    return jnp.linalg.solve(precision, x) if precision.ndim == 2 else (x.T / precision).T

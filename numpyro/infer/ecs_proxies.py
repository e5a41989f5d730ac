# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

r"""Estimates of a log likelihood from a subsample of the data.

Let :math:`\ell_i(\theta)` be the log likelihood of datum :math:`i`, :math:`q_i` a *proxy* of it that is cheap to sum
over all :math:`N` data, and :math:`u_1, \dots, u_m` indices drawn with replacement. The difference estimator of the log
likelihood and the estimate of its variance are

.. math::

    \hat\ell(\theta) = \sum_{i=1}^N q_i(\theta) + \frac{N}{m} \sum_{k=1}^m d_{u_k}, \quad
    \hat\sigma^2(\theta) = \frac{N^2}{m^2} \sum_{k=1}^m (d_{u_k} - \bar d)^2, \quad d_i = \ell_i(\theta) - q_i(\theta),

and :math:`\exp(\hat\ell - \hat\sigma^2 / 2)` is a nearly unbiased estimate of the likelihood (Dang et al. 2019,
*Hamiltonian Monte Carlo with energy conserving subsampling*). Proxies are Taylor polynomials about a reference
parameter (Bardenet, Doucet and Holmes 2017, *On Markov chain Monte Carlo methods for tall data*).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
import math
from typing import Any, NamedTuple

import jax
from jax import lax
from jax.flatten_util import ravel_pytree
import jax.numpy as jnp
import numpy as np

from numpyro.infer.conditioning import listed
from numpyro.infer.potential import site_log_prob
from numpyro.infer.random_words import below, next_words

__all__ = [
    "TaylorOneProxyState",
    "TaylorProxy",
    "TaylorTwoProxyState",
    "block_update",
    "perturbed_method",
    "taylor_proxy",
]

LogLikelihoods = Callable[[Any, str, Any], Any]
"""``f(params, plate, indices)`` gives the log likelihoods of those data of a plate, shape ``(len(indices),)``."""

PlateSizes = Mapping[str, tuple[int, int]]
"""Size and subsample size of plates by name."""


class TaylorOneProxyState(NamedTuple):
    """What a proxy of first degree keeps, by name of the plate.

    :param ref_subsample_log_liks: log likelihoods of the subsample at the reference, shape ``(m,)``.
    :param ref_subsample_log_lik_grads: their gradients, shape ``(m, d)``.
    :param reference: the reference, a vector of ``d`` unconstrained parameters.
    :param totals: log likelihood of all data at the reference, and its gradient.
    """

    ref_subsample_log_liks: Any
    ref_subsample_log_lik_grads: Any
    reference: Any = None
    totals: Any = None


class TaylorTwoProxyState(NamedTuple):
    """What a proxy of second degree keeps, by name of the plate.

    :param ref_subsample_log_liks: log likelihoods of the subsample at the reference, shape ``(m,)``.
    :param ref_subsample_log_lik_grads: their gradients, shape ``(m, d)``.
    :param ref_subsample_log_lik_hessians: their Hessians, shape ``(m, d, d)``.
    :param reference: the reference, a vector of ``d`` unconstrained parameters.
    :param totals: log likelihood of all data at the reference, its gradient, and its Hessian.
    """

    ref_subsample_log_liks: Any
    ref_subsample_log_lik_grads: Any
    ref_subsample_log_lik_hessians: Any
    reference: Any = None
    totals: Any = None


@dataclass(frozen=True)
class TaylorProxy:
    """A Taylor polynomial of each datum's log likelihood, in unconstrained space.

    Any object with these methods and ``reference_params`` can be the proxy of :class:`~numpyro.infer.ecs.HMCECS`.

    :param reference_params: values of all continuous latent sites, in constrained space.
    :param degree: 1 or 2.
    """

    reference_params: Any
    degree: int

    def init(self, log_likelihoods: LogLikelihoods, reference: Any, plates: PlateSizes, indices: Any) -> Any:
        """The state for a subsample, computed from all data.

        :param log_likelihoods: see :data:`LogLikelihoods`.
        :param reference: the reference in unconstrained space.
        :param plates: the subsampled plates.
        :param indices: indices of the subsample by plate.
        """
        point, unravel = ravel_pytree(reference)

        def total_of(vector: jax.Array, name: str, indices: jax.Array, exist: jax.Array) -> jax.Array:
            return jnp.sum(jnp.where(exist, log_likelihoods(unravel(vector), name, indices), 0))

        def totals(name: str) -> Any:
            """Sums over all data, a block of the size of the subsample after the other."""
            size, block = plates[name]
            starts = np.arange(0, size, block)

            def parts(start: Any) -> Any:
                numbers = start + np.arange(block)
                exist = numbers < size
                return self._derivatives(lambda v: total_of(v, name, jnp.minimum(numbers, size - 1), exist))(point)

            zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(parts, starts[0]))

            def add(i: Any, sums: Any) -> Any:
                return jax.tree.map(jnp.add, sums, parts(jnp.asarray(starts)[i]))

            return lax.fori_loop(0, len(starts), add, zeros)

        rows = self._rows(log_likelihoods, point, unravel, indices)
        kind: Any = TaylorOneProxyState if self.degree == 1 else TaylorTwoProxyState
        return kind(*rows, reference=point, totals={name: totals(name) for name in plates})

    def update(
        self, log_likelihoods: LogLikelihoods, state: Any, unravel: Callable[[Any], Any], indices: Any, starts: Any
    ) -> Any:
        """The state after some indices have changed.

        :param unravel: from a vector to unconstrained parameters.
        :param indices: the new indices by plate, as many as have changed.
        :param starts: where they stand in the subsample.
        """
        fields = state._fields[: self.degree + 1]
        rows = self._rows(log_likelihoods, state.reference, unravel, indices)
        new = {
            field: {
                name: lax.dynamic_update_slice_in_dim(getattr(state, field)[name], part[name], starts[name], 0)
                for name in part
            }
            for field, part in zip(fields, rows, strict=True)
        }
        return state._replace(**new)

    def _derivatives(self, fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """From a vector to the value of ``fn``, its gradient and, for the second degree, its Hessian."""

        def evaluate(vector: jax.Array) -> Any:
            value, gradient = jax.value_and_grad(fn)(vector)
            return (value, gradient) if self.degree == 1 else (value, gradient, jax.jacfwd(jax.grad(fn))(vector))

        return evaluate

    def _rows(self, log_likelihoods: LogLikelihoods, point: Any, unravel: Any, indices: Any) -> Any:
        """Log likelihoods at the reference and their derivatives, for single data: dicts by plate."""
        found = {}
        for name, numbers in indices.items():

            def row(number: Any, name: str = name) -> Any:
                return self._derivatives(lambda v: log_likelihoods(unravel(v), name, number[None])[0])(point)

            found[name] = jax.vmap(row)(numbers)
        return [{name: parts[k] for name, parts in found.items()} for k in range(self.degree + 1)]

    def evaluate(self, params: Any, state: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The proxy summed over all data, and its values for the subsample, by plate."""
        delta = ravel_pytree(params)[0] - state.reference
        totals, rows = {}, {}
        for name, log_liks in state.ref_subsample_log_liks.items():
            total = state.totals[name]
            totals[name] = total[0] + total[1] @ delta
            rows[name] = log_liks + state.ref_subsample_log_lik_grads[name] @ delta
            if self.degree == 2:
                totals[name] += 0.5 * delta @ total[2] @ delta
                rows[name] += 0.5 * (state.ref_subsample_log_lik_hessians[name] @ delta) @ delta
        return totals, rows


def taylor_proxy(reference_params: Any, degree: int) -> TaylorProxy:
    """A proxy of the log likelihood: each datum's Taylor polynomial about a reference, in unconstrained space.

    :param reference_params: values of all continuous latent sites in constrained space, near the posterior's mode.
    :param degree: 1, or 2 for a polynomial with the Hessian: a matrix of the number of parameters squared is kept for
        each datum of the subsample.
    :raises ValueError: if the degree is another.

    **Reference:** Bardenet, Doucet and Holmes (2017), *On Markov chain Monte Carlo methods for tall data*, section 7.2.

    >>> taylor_proxy({"x": 1.0}, degree=2).degree
    2
    """
    if degree not in (1, 2):
        raise ValueError(f"`degree` must be 1 or 2, but it is {degree!r}.")
    if not isinstance(reference_params, Mapping) or not reference_params:
        raise ValueError("`reference_params` must be a dict of the values of the latent sites, by name.")
    return TaylorProxy(dict(reference_params), degree)


def perturbed_method(
    subsample_plate_sizes: PlateSizes, proxy_fn: Callable[[Any, Any], tuple[dict[str, Any], dict[str, Any]]]
) -> Callable[[dict[str, Any], Any, Any], Any]:
    """The method of :class:`~numpyro.infer.ecs.estimate_likelihood` that corrects the bias of the difference estimator.

    :param subsample_plate_sizes: size and subsample size of the plates by name.
    :param proxy_fn: ``proxy_fn(params, state)`` gives the proxy summed over all data, and its values for the subsample,
        by plate.
    :returns: ``method(likelihoods, params, state)``, which gives the logarithm of the estimated likelihood.
    """

    def method(likelihoods: dict[str, Any], params: Any, state: Any) -> Any:
        totals, rows = proxy_fn(params, state)
        estimate: Any = 0.0
        for name, log_liks in log_likelihoods_by_plate(likelihoods).items():
            size = subsample_plate_sizes[name][0]
            count = log_liks.shape[0]
            difference = log_liks - rows[name]
            variance = (size / count) ** 2 * jnp.sum((difference - jnp.mean(difference)) ** 2)
            estimate = estimate + totals[name] + size * jnp.mean(difference) - 0.5 * variance
        return estimate

    return method


def log_likelihoods_by_plate(likelihoods: Mapping[str, tuple[Any, Any, str, int]]) -> dict[str, Any]:
    """Log likelihoods of the data of each plate, summed over sites and all other dimensions.

    :param likelihoods: distribution, value, name of the plate and its dim, by name of the site.
    """
    sums: dict[str, Any] = {}
    for fn, value, plate, dim in likelihoods.values():
        log_prob = fn.log_prob(value)
        axes = tuple(axis for axis in range(log_prob.ndim) if axis != log_prob.ndim + dim)
        sums[plate] = sums.get(plate, 0.0) + jnp.sum(log_prob, axes)
    return sums


class ScaledLikelihood:
    """A distribution whose log density is scaled, by other handlers than plates.

    :param site: the site's message.
    :param scale: the scale without that of the subsampled plate.
    """

    def __init__(self, site: Mapping[str, Any], scale: Any) -> None:
        self.site, self.scale = site, scale

    def log_prob(self, value: Any) -> Any:
        return site_log_prob({**self.site, "value": value, "scale": self.scale})


def block_update(
    plate_sizes: PlateSizes, num_blocks: int, rng_key: Any, gibbs_sites: Mapping[str, Any], gibbs_state: Any
) -> tuple[dict[str, Any], Any]:
    """Draw one block of each subsample's indices anew, with replacement.

    :param plate_sizes: size and subsample size of the plates by name.
    :param num_blocks: number of blocks of a subsample.
    :param rng_key: random key.
    :param gibbs_sites: indices by plate.
    :param gibbs_state: state of the proxy, which is returned as it is.
    """
    _, words = next_words(rng_key, block_words(plate_sizes, num_blocks))
    fresh, starts = new_block(plate_sizes, num_blocks, words)
    return replaced(gibbs_sites, fresh, starts), gibbs_state


def block_words(plate_sizes: PlateSizes, num_blocks: int) -> int:
    """How many random words :func:`new_block` needs."""
    return sum(1 + math.ceil(count / num_blocks) for _, count in plate_sizes.values())


def new_block(plate_sizes: PlateSizes, num_blocks: int, words: jax.Array) -> tuple[dict[str, Any], dict[str, Any]]:
    """New indices for one block of each subsample, and where they belong. If the number of blocks does not divide the
    subsample's size, the last block overlaps the one before."""
    fresh, starts, used = {}, {}, 0
    for name, (size, count) in plate_sizes.items():
        length = math.ceil(count / num_blocks)
        block = below(words[used], math.ceil(count / length))
        starts[name] = jnp.minimum(block * length, count - length)
        fresh[name] = below(words[used + 1 : used + 1 + length], size)
        used += 1 + length
    return fresh, starts


def replaced(indices: Mapping[str, Any], fresh: Mapping[str, Any], starts: Mapping[str, Any]) -> dict[str, Any]:
    """Indices by plate with ``fresh`` ones from ``starts`` on."""
    return {
        name: lax.dynamic_update_slice_in_dim(old, fresh[name].astype(old.dtype), starts[name], 0)
        for name, old in indices.items()
    }


def check_reference(reference_params: Mapping[str, Any], sites: Any) -> None:
    """Compare the names of the reference with those of the latent sites.

    :raises ValueError: if they differ.
    """
    missing, unknown = sorted(set(sites) - set(reference_params)), sorted(set(reference_params) - set(sites))
    if missing or unknown:
        what = [f"has no value for {listed(missing)}"] if missing else []
        what += [f"has values for {listed(unknown)}, which are no latent sites"] if unknown else []
        raise ValueError(
            f"the reference of the proxy {' and '.join(what)}. It needs a value of each of {listed(sites)}, in "
            "constrained space."
        )

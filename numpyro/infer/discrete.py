# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Updates of discrete sites, one element at a time.

Let ``x_i`` be an element of a discrete site and ``p(v)`` the probability that it has value ``v`` given all the rest. A
*proposal* draws a new value:

- Gibbs: from ``p``; always accepted.
- modified Gibbs (Liu 1996, *Peskun's theorem and a modified discrete-state Gibbs sampler*): from ``p`` without the
  current value ``u``, accepted with probability ``min(1, (1 - p(u)) / (1 - p(v)))``. Its asymptotic variance is
  nowhere larger than that of Gibbs.
- random walk: uniformly from the support, accepted with probability ``min(1, p(v) / p(u))``; modified: the same
  without the current value. It evaluates the density once, whatever the number of values.

The densities at the candidates are evaluated together, by one vectorised call of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import shape_of
from numpyro.infer.candidates import at_candidates
from numpyro.infer.conditioning import finite_support, with_conditioning
from numpyro.infer.potential import site_log_prob
from numpyro.infer.random_words import below, derived_key, exponential, gumbel, hashed_words, next_words, seed_of
from numpyro.primitives import Messenger

__all__ = ["DiscreteProposal", "DiscreteTarget", "discrete_gibbs_sweep", "select_discrete_proposal"]

_WIDTH = 16
"""At most so many candidates are evaluated at once."""

PotentialFn = Callable[[dict[str, Any]], Any]


class Proposed(NamedTuple):
    """A new value of one element.

    :param rng_key: random key to go on with.
    :param z: the values with the new one.
    :param potential_energy: their potential energy.
    :param log_ratio: logarithm of the acceptance ratio.
    :param change: the potential energy less that of the old values.
    """

    rng_key: Any
    z: dict[str, Any]
    potential_energy: Any
    log_ratio: Any
    change: Any


@dataclass(frozen=True)
class DiscreteProposal:
    """How to propose a new value of one element; see the module's docstring.

    :param random_walk: whether to propose uniformly.
    :param modified: whether never to propose the current value.
    :param width: how many candidates to evaluate at once.
    :param is_bounded: whether no element has more than ``width`` candidates, so that once is enough.
    """

    random_walk: bool = False
    modified: bool = False
    width: int = _WIDTH
    is_bounded: bool = False

    def fitted(self, sizes: Any) -> DiscreteProposal:
        """The same for elements of the given numbers of values, if they are known."""
        if isinstance(sizes, jax.core.Tracer):
            return self
        candidates = max(int(np.max(sizes, initial=2)) - 1, 1)
        return replace(self, width=min(candidates, _WIDTH), is_bounded=candidates <= _WIDTH)

    def __call__(
        self,
        rng_key: Any,
        z: dict[str, Any],
        potential_energy: Any,
        potential_fn: PotentialFn,
        idx: Any,
        support_size: Any,
    ) -> tuple[Any, dict[str, Any], Any, Any]:
        """Propose a value from 0 to ``support_size - 1``; see :meth:`propose`.

        :returns: a new random key; the proposed values; their potential energy; the logarithm of the acceptance ratio.
        """
        return self.propose(rng_key, z, potential_energy, potential_fn, idx, (0, 1, support_size))[:4]

    def propose(
        self,
        rng_key: Any,
        z: dict[str, Any],
        potential_energy: Any,
        potential_fn: PotentialFn,
        idx: Any,
        support: tuple[Any, Any, Any],
    ) -> Proposed:
        """Propose.

        :param rng_key: random key.
        :param z: values of the sites.
        :param potential_energy: potential energy at ``z``, or None if it is not known.
        :param potential_fn: potential energy as a function of the values.
        :param idx: number of the element, of all the sites' elements in the order of
            :func:`~jax.flatten_util.ravel_pytree`.
        :param support: lowest value, step and number of the values that it can take.
        """
        lowest, step, support_size = support
        seed, rng_key = seed_of(rng_key), derived_key(rng_key, 0)
        flat, unravel = _flatten(z)
        current = jnp.round((flat[idx] - lowest) / step).astype(jnp.int32)

        def moved(number: Any) -> dict[str, Any]:
            return unravel(flat.at[idx].set((lowest + step * number).astype(flat.dtype)))

        def energy_of(number: Any) -> jax.Array:
            energy = jnp.asarray(potential_fn(moved(number)), jnp.result_type(float))
            return jnp.where(jnp.isnan(energy), jnp.inf, energy)

        # Of each choice two values are computed: no gain for fewer candidates.
        energies_of = at_candidates(energy_of) if self.width > 2 and not self.random_walk else jax.vmap(energy_of)
        if potential_energy is None:
            potential_energy = energies_of(current[None])[0]
        others = jnp.asarray(support_size - 1, jnp.int32)
        if self.random_walk:
            count = others if self.modified else others + 1
            number = below(hashed_words(seed, jnp.asarray(0)), jnp.maximum(count, 1))
            number = number + (number >= current) if self.modified else number
            number = jnp.where(count > 0, number, current)
            energy = energy_of(number)
            log_ratio = potential_energy - energy
        else:
            number, energy, log_ratio = self._conditional(seed, current, potential_energy, energies_of, others)
        return Proposed(rng_key, moved(number), energy, log_ratio, energy - potential_energy)

    def _conditional(
        self, seed: Any, current: Any, potential_energy: Any, energies_of: Callable[..., Any], others: Any
    ) -> tuple[Any, Any, Any]:
        """Draw from the conditional distribution by the largest of Gumbel-perturbed log weights, which needs the
        weights one block after the other.

        Log weights are relative to the current value's. ``rest`` is the logarithm of the summed weights of the values
        that are neither current nor chosen.
        """
        base = jnp.where(jnp.isfinite(potential_energy), potential_energy, 0)
        own = jnp.asarray(base - potential_energy)
        dtype = own.dtype
        nothing = jnp.full((), -jnp.inf, dtype)
        lanes = np.arange(self.width, dtype=np.int32)

        def block(start: Any, carry: Any) -> Any:
            number, energy, weight, score, rest = carry
            candidates = start + lanes
            candidates = candidates + (candidates >= current)
            exists = start + lanes < others
            energies = energies_of(jnp.where(exists, candidates, current))
            weights = jnp.where(exists, base - energies, -jnp.inf)
            scores = weights + gumbel(hashed_words(seed, candidates), dtype)
            best = jnp.argmax(scores)
            wins = scores[best] > score
            beaten = jnp.where(lanes == best, -jnp.inf, weights)
            left = jnp.where(wins, jnp.where(number == current, -jnp.inf, weight), weights[best])
            rest = jnp.logaddexp(jnp.logaddexp(rest, jax.nn.logsumexp(beaten)), left)
            new = (candidates[best], energies[best], weights[best], scores[best])
            chosen = jax.tree.map(lambda a, b: jnp.where(wins, a, b), new, (number, energy, weight, score))
            return *chosen, rest

        score = nothing if self.modified else own + gumbel(hashed_words(seed, current), dtype)
        carry = (current, potential_energy, own, score, nothing)
        if self.is_bounded:
            carry = block(0, carry)
        else:
            blocks = (others + self.width - 1) // self.width
            carry = lax.fori_loop(0, blocks, lambda i, carry: block(i * self.width, carry), carry)
        number, energy, weight, _, rest = carry
        log_ratio = jnp.zeros((), dtype)
        if self.modified:
            log_ratio = jnp.logaddexp(weight, rest) - jnp.logaddexp(own, rest)
            log_ratio = jnp.where(number == current, 0, log_ratio)
        return number, energy, log_ratio


def select_discrete_proposal(random_walk: bool, modified: bool) -> DiscreteProposal:
    """The proposal for one element of a discrete site.

    :param random_walk: whether to propose uniformly from the support instead of from the conditional distribution.
    :param modified: whether never to propose the current value (Liu 1996).
    """
    return DiscreteProposal(random_walk, modified)


def discrete_gibbs_sweep(
    rng_key: Any,
    z: dict[str, Any],
    potential_energy: Any,
    potential_fn: PotentialFn,
    support_sizes_flat: Any,
    proposal_fn: Callable[..., Any],
) -> tuple[dict[str, Any], Any]:
    """Update each element of the discrete sites once, in random order.

    :param rng_key: random key.
    :param z: values of the sites, each from 0 to the size of its support minus 1.
    :param potential_energy: potential energy at ``z``.
    :param potential_fn: potential energy as a function of the values.
    :param support_sizes_flat: sizes of the supports of all elements, in the order of
        :func:`~jax.flatten_util.ravel_pytree`.
    :param proposal_fn: a proposal, such as :func:`select_discrete_proposal` gives.
    :returns: the new values and their potential energy.

    >>> z, energy = discrete_gibbs_sweep(
    ...     jax.random.PRNGKey(0), {"a": jnp.array([0, 1])}, 50.0, lambda z: 50.0 * jnp.sum(z["a"]), np.array([2, 2]),
    ...     select_discrete_proposal(random_walk=False, modified=False))
    >>> z["a"].tolist(), float(energy)
    ([0, 0], 0.0)
    """
    if isinstance(proposal_fn, DiscreteProposal):
        proposal_fn = proposal_fn.fitted(support_sizes_flat)
    sizes = jnp.asarray(support_sizes_flat)

    def update(key: Any, z: Any, energy: Any, i: Any) -> Any:
        return proposal_fn(key, z, energy, potential_fn, i, sizes[i])

    return _sweep(rng_key, z, potential_energy, sizes.size, update)


def _sweep(rng_key: Any, z: Any, potential_energy: Any, count: int, propose: Callable[..., Any]) -> Any:
    """Update ``count`` elements in random order by ``propose(key, z, energy, number)`` and Metropolis's rule."""
    key, words = next_words(rng_key, count)
    order = jnp.argsort(words)
    energy = jnp.asarray(potential_energy)

    def update(j: Any, carry: Any) -> Any:
        z, energy = carry
        next_key, new, new_energy, log_ratio = propose(derived_key(key, j), z, energy, order[j])
        accept = -exponential(hashed_words(seed_of(next_key), jnp.asarray(0)), energy.dtype) < log_ratio
        return jax.tree.map(lambda a, b: jnp.where(accept, a, b).astype(b.dtype), (new, new_energy), (z, energy))

    return lax.fori_loop(0, count, update, (jax.tree.map(jnp.asarray, z), energy))


def _flatten(z: Mapping[str, Any]) -> tuple[jax.Array, Callable[[Any], dict[str, Any]]]:
    """All elements in one vector, and the way back."""
    leaves, treedef = jax.tree.flatten(z)
    dtype = jnp.result_type(*(leaf.dtype for leaf in leaves), jnp.int32)
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]

    def unravel(flat: jax.Array) -> Any:
        parts = jnp.split(flat, ends)
        whole = [part.reshape(leaf.shape).astype(leaf.dtype) for part, leaf in zip(parts, leaves, strict=True)]
        return jax.tree.unflatten(treedef, whole)

    return jnp.concatenate([leaf.reshape(-1).astype(dtype) for leaf in leaves]), unravel


class _Density(Messenger):
    """Adds up the log density, which is minus infinity where a discrete site is out of its support, and notes the
    supports."""

    def __init__(self, fn: Any, names: frozenset[str]) -> None:
        super().__init__(fn)
        self.names = names
        self.log_density: Any = 0.0
        self.supports: dict[str, tuple[Any, Any, Any]] = {}

    def postprocess_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] != "sample" or msg.get("scan") == "ask":
            return
        log_prob = site_log_prob(msg)
        if msg["name"] in self.names:
            fn = msg["fn"]
            self.supports[msg["name"]] = support = finite_support(msg["name"], fn)
            if any(isinstance(part, jax.core.Tracer) for part in support):
                # A bound that depends on other sites moves with them.
                log_prob = jnp.where(fn.support(msg["value"]), log_prob, -jnp.inf)
        self.log_density = self.log_density + jnp.sum(log_prob)


@dataclass(frozen=True)
class DiscreteTarget:
    """The density of a conditioned model as a function of its discrete sites.

    :param model: a conditioned model (:func:`~numpyro.infer.conditioning.conditioned`).
    :param shapes: shapes of the discrete sites by name, sorted by it.
    :param dtypes: their types.
    :param constants: lowest values, steps and numbers of values of all elements, if they do not depend on the model's
        arguments or other sites.
    """

    model: Callable[..., Any]
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, Any] = field(default_factory=dict)
    constants: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    @property
    def count(self) -> int:
        """Number of elements."""
        return sum(int(np.prod(shape, dtype=int)) for shape in self.shapes.values())

    def fitted(self, proposal: DiscreteProposal) -> DiscreteProposal:
        """The proposal for these elements."""
        return proposal if self.constants is None else proposal.fitted(self.constants[2])

    def _run(self, z: Mapping[str, Any], args: Any, kwargs: Any) -> _Density:
        handler = _Density(self.model, frozenset(self.shapes))
        handler(*args, **with_conditioning(kwargs, z))
        return handler

    def potential_fn(self, args: Any, kwargs: Any) -> PotentialFn:
        """Minus the log density as a function of the discrete sites' values, all others being given in ``kwargs``."""
        return lambda z: -jnp.asarray(self._run(z, args, kwargs).log_density, jnp.result_type(float))

    def supports(self, z: Mapping[str, Any], args: Any, kwargs: Any) -> tuple[Any, Any, Any]:
        """Lowest values, steps and numbers of values of all elements, given the others."""
        if self.constants is not None:
            return self.constants
        return self.flat_supports(self._run(z, args, kwargs).supports)

    def support(self, i: Any, z: Mapping[str, Any], args: Any, kwargs: Any) -> tuple[Any, Any, Any]:
        """Lowest value, step and number of values of element ``i``, given the others."""
        lowest, step, size = (jnp.asarray(part)[i] for part in self.supports(z, args, kwargs))
        return lowest, step, size

    def flat_supports(self, supports: dict[str, tuple[Any, Any, Any]]) -> Any:
        """Supports by site, for each element."""
        xp: Any = np
        if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(supports)):
            xp = jnp
        parts = [
            [xp.broadcast_to(xp.asarray(part), shape).reshape(-1) for part in supports[name]]
            for name, shape in self.shapes.items()
        ]
        return tuple(xp.concatenate(column) for column in zip(*parts, strict=True))

    def is_inside(self, z: Mapping[str, Any], args: Any, kwargs: Any) -> Any:
        """Whether all discrete sites have values in their supports."""
        supports = self._run(z, args, kwargs).supports
        inside = [
            jnp.all((z[name] >= lowest) & (z[name] <= lowest + step * (size - 1)))
            for name, (lowest, step, size) in supports.items()
        ]
        return jnp.all(jnp.stack(inside))

    def propose(
        self, proposal: DiscreteProposal, rng_key: Any, z: Any, energy: Any, i: Any, args: Any, kwargs: Any
    ) -> tuple[Any, Any, Any, Any]:
        """Propose a new value of element ``i``; see :class:`DiscreteProposal`."""
        support = self.support(i, z, args, kwargs)
        return proposal.propose(rng_key, z, energy, self.potential_fn(args, kwargs), i, support)[:4]

    def sweep(
        self, proposal: DiscreteProposal, rng_key: Any, z: Any, energy: Any, args: Any, kwargs: Any
    ) -> tuple[Any, Any]:
        """Update each element once, in random order."""
        propose = partial(self._propose_at, self.fitted(proposal), args, kwargs)
        return _sweep(rng_key, z, energy, self.count, propose)

    def _propose_at(
        self, proposal: DiscreteProposal, args: Any, kwargs: Any, key: Any, z: Any, energy: Any, i: Any
    ) -> tuple[Any, Any, Any, Any]:
        return self.propose(proposal, key, z, energy, i, args, kwargs)


def discrete_target(model: Callable[..., Any], recorded: Mapping[str, Any], names: tuple[str, ...]) -> DiscreteTarget:
    """The target of the discrete sites ``names``.

    :param model: the conditioned model.
    :param recorded: a trace of it.
    :raises ValueError: if a site has no finite support.
    """
    names = tuple(sorted(names))
    shapes = {name: shape_of(recorded[name]["value"]) for name in names}
    dtypes = {name: jnp.result_type(recorded[name]["value"]) for name in names}
    target = DiscreteTarget(model, shapes, dtypes)
    supports = {name: finite_support(name, recorded[name]["fn"]) for name in names}
    if any(isinstance(part, jax.core.Tracer) for part in jax.tree.leaves(supports)):
        return target
    return replace(target, constants=target.flat_supports(supports))

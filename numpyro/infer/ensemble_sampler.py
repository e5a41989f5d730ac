# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Ensemble samplers: many walkers that propose for each other.

The walkers are the chains. An iteration splits them in two halves; each half in turn moves with the help of the other,
which stands still meanwhile, so that all walkers of a half move at once. No gradient is needed, and with most moves the
sampler performs alike on any affine image of a posterior.

**References:** Goodman and Weare (2010), *Ensemble samplers with affine invariance*; Foreman-Mackey et al. (2013),
*emcee: The MCMC hammer*, section 3, for the halves; Karamanis and Beutler (2021), *Ensemble slice sampling*.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
import copy
from dataclasses import dataclass
from typing import Any, NamedTuple
import warnings

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from numpyro.infer.random_words import derived_key, next_words
from numpyro.infer.target import Target
from numpyro.infer.target_kernel import Program, TargetKernel
from numpyro.util import find_stack_level

__all__ = ["EnsembleSampler", "EnsembleSamplerState", "checked_moves", "drawn_move"]


class EnsembleSamplerState(NamedTuple):
    """State of an ensemble.

    :param z: parameters in unconstrained space, with a leading axis of walkers.
    :param inner_state: state of the algorithm.
    :param rng_key: random key of the next iteration.
    :param potential_energy: potential energy of each walker.
    """

    z: Any
    inner_state: Any
    rng_key: Any
    potential_energy: Any = None


class EnsembleSampler(TargetKernel):
    """Base class of ensemble samplers.

    A subclass defines :meth:`init_inner_state` and :meth:`update_active_chains`, in which :meth:`potential_energies`
    evaluates the density. If the inner state has a field ``rng_key``, it is a fresh key in each iteration.

    :param model: a model. Either this or ``potential_fn``.
    :param potential_fn: potential energy (minus the log density) of a pytree of unconstrained parameters; then
        ``init_params``, with a leading axis of walkers, must be given to
        :meth:`MCMC.run <numpyro.infer.mcmc.MCMC.run>`.
    :param randomize_split: whether to split the walkers at random in each iteration.
    :param init_strategy: how to find starts; see :mod:`numpyro.infer.initialization`.
    """

    is_pure = True

    def __init__(
        self,
        model: Callable[..., Any] | None = None,
        potential_fn: Callable[..., Any] | None = None,
        *,
        randomize_split: bool,
        init_strategy: Callable[..., Any],
    ) -> None:
        super().__init__(model, potential_fn, init_strategy)
        self._randomize_split = randomize_split
        self._moves: dict[Any, float] = {}
        # Set on the copy of the kernel that knows the model's arguments, while an iteration is traced.
        self._potentials: Callable[[jax.Array], jax.Array] | None = None

    @property
    def is_ensemble_kernel(self) -> bool:
        return True

    @abstractmethod
    def init_inner_state(self, rng_key: Any) -> Any:
        """The state of the algorithm at the start.

        :param rng_key: random key.
        """

    @abstractmethod
    def update_active_chains(self, active: jax.Array, inactive: jax.Array, inner_state: Any) -> tuple[jax.Array, Any]:
        """Move one half of the walkers.

        :param active: flat vectors of the walkers to move, shape ``(half, latent size)``.
        :param inactive: those of the other half.
        :param inner_state: state of the algorithm.
        :returns: the active walkers after the move, and the state.
        """

    def start_iteration(self, inner_state: Any) -> Any:
        """The inner state before the first half moves."""
        return inner_state

    def finish_iteration(self, inner_state: Any) -> Any:
        """The inner state when both halves have moved."""
        return inner_state

    def potential_energies(self, positions: jax.Array) -> jax.Array:
        """Potential energies at flat vectors, shape ``(count, latent size)``, inside :meth:`update_active_chains`."""
        if self._potentials is None:
            raise RuntimeError(
                f"{type(self).__name__} knows the model's arguments only within an iteration: call "
                "`potential_energies` in `update_active_chains`."
            )
        return self._potentials(positions)

    def _update(
        self, active: jax.Array, potentials: jax.Array, inactive: jax.Array, inner_state: Any
    ) -> tuple[jax.Array, jax.Array, Any]:
        """:meth:`update_active_chains` with the potential energies of the active walkers."""
        active, inner_state = self.update_active_chains(active, inactive, inner_state)
        return active, self.potential_energies(active), inner_state

    # Programs

    def compose(self, target: Target, num_warmup: int) -> _Program:
        return _Program(target, self, num_warmup)

    def prepare(
        self,
        num_warmup: int,
        init_params: Any,
        model_args: tuple[Any, ...],
        model_kwargs: dict[str, Any],
        lead: tuple[int, ...] = (),
    ) -> bool:
        takes_arrays = super().prepare(num_warmup, init_params, model_args, model_kwargs, lead)
        if lead:
            program, _ = self.program(num_warmup, model_args, model_kwargs, init_params, batched=True)
            self._check_size(lead[0], program.target)
        return takes_arrays

    def _check_size(self, count: int, target: Target) -> None:
        name, size = type(self).__name__, target.space.size
        sites = list(getattr(target.source, "sites", ()))
        named = f" (sites {', '.join(map(repr, sites))})" if sites else ""
        least = max((getattr(move, "min_half", 1) for move in self._moves), default=1)
        remedy = (
            f"For {size} latent parameters{named} write MCMC(..., num_chains={max(2 * size, 2 * least, 4)}, "
            'chain_method="vectorized"), or take NUTS, which needs one chain.'
        )
        if count < 2 or count % 2:
            raise ValueError(
                f"{name} splits its walkers, which are the chains, in two halves, so their number must be even, but "
                f"num_chains is {count}. {remedy}"
            )
        if count < 2 * least:
            raise ValueError(
                f"{name}: {names_of_moves(self._moves)} needs at least {2 * least} walkers, but num_chains is {count}. "
                f"{remedy}"
            )
        stays = bool(self._moves) and all(getattr(move, "stays_in_hull", False) for move in self._moves)
        if stays and count <= size:
            raise ValueError(
                f"{name}: {count} walkers cannot sample {size} latent parameters{named}. {names_of_moves(self._moves)} "
                f"combines the walkers linearly, and {count} points span {count - 1} dimensions at most, which they "
                f"would never leave. Take num_chains of {2 * size} or more; in many dimensions, NUTS is the better "
                "sampler."
            )
        if count < 2 * size:
            warnings.warn(
                f"{name} has {count} walkers for {size} latent parameters; at least twice as many walkers as "
                f"parameters, num_chains={2 * size}, are recommended.",
                stacklevel=find_stack_level(),
            )

    def check_start(
        self, state: Any, init_params: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]
    ) -> None:
        super().check_start(state, init_params, model_args, model_kwargs)
        if not all(getattr(move, "stays_in_hull", False) for move in self._moves) or not self._moves:
            return
        for path, leaf in jax.tree_util.tree_leaves_with_path(state.z):
            if np.any(np.ptp(np.asarray(leaf), axis=0) == 0):
                where = f" in {jax.tree_util.keystr(path)}" if path else ""
                raise ValueError(
                    f"{type(self).__name__}: all walkers start at the same value{where}, and would never leave it, "
                    f"since {names_of_moves(self._moves)} combines them linearly. Let them start apart: with "
                    "init_strategy=init_to_uniform, or init_params scattered about the value."
                )

    def check_key(self, rng_key: Any, target: Target) -> None:
        is_typed = jnp.issubdtype(rng_key.dtype, jax.dtypes.prng_key)
        if np.ndim(rng_key) != (1 if is_typed else 2):
            raise ValueError(
                f"{type(self).__name__} needs a random key for each walker, an array of keys such as "
                "jax.random.split(key, num_chains), but there is a single key."
            )
        self._check_size(len(rng_key), target)


@dataclass(frozen=True, eq=False)
class _Program(Program):
    """What an ensemble sampler compiles for a target."""

    kernel: EnsembleSampler
    num_warmup: int

    def potentials(self, positions: jax.Array, arrays: Any) -> jax.Array:
        return jax.vmap(lambda z: self.target.potential(z, arrays))(positions)

    def begin(self, rng_keys: Any, init_params: Any, arrays: Any) -> EnsembleSamplerState:
        """The first state; the potential energy of a walker without a valid start is infinite."""
        space = self.target.space
        positions = None if init_params is None else jax.vmap(space.ravel)(init_params)

        def find(key: Any, position: Any) -> Any:
            return self.target.find_start(key, position, arrays, with_gradient=False)

        starts = jax.vmap(find)(rng_keys, positions)
        state_key, inner_key = (derived_key(rng_keys[0], jnp.asarray(number)) for number in (-2, -3))
        return EnsembleSamplerState(
            jax.vmap(space.unravel)(starts.position),
            jax.tree.map(jnp.asarray, self.kernel.init_inner_state(inner_key)),
            state_key,
            starts.potential_energy,
        )

    def refresh(self, state: EnsembleSamplerState, arrays: Any) -> EnsembleSamplerState:
        positions = jax.vmap(self.target.space.ravel)(state.z)
        return state._replace(potential_energy=self.potentials(positions, arrays))

    def transition(self, state: EnsembleSamplerState, arrays: Any) -> EnsembleSamplerState:
        """One iteration: both halves move, by one call of the kernel's update in the compiled program."""
        kernel = copy.copy(self.kernel)
        kernel._num_warmup = self.num_warmup
        kernel._potentials = lambda positions: self.potentials(positions, arrays)
        positions = jax.vmap(self.target.space.ravel)(state.z)
        count = len(positions)
        rng_key, inner_key, split_key = (derived_key(state.rng_key, number) for number in range(3))
        inner_state = state.inner_state
        if hasattr(inner_state, "_replace") and hasattr(inner_state, "rng_key"):
            inner_state = inner_state._replace(rng_key=inner_key)

        walkers = jnp.column_stack([positions, state.potential_energy.astype(positions.dtype)])
        if kernel._randomize_split:
            _, words = next_words(split_key, count)
            order = jnp.argsort(words)
            walkers = walkers[order]
        halves = jnp.split(walkers, 2)

        def move(carry: Any, _: Any) -> Any:
            active, idle, inner_state = carry
            positions, potentials, inner_state = kernel._update(
                active[:, :-1], active[:, -1], idle[:, :-1], inner_state
            )
            return (idle, jnp.column_stack([positions, potentials]), inner_state), None

        carry = (*halves, kernel.start_iteration(inner_state))
        (*halves, moved), _ = lax.scan(move, carry, None, length=2)
        walkers = jnp.concatenate(halves)
        if kernel._randomize_split:
            walkers = jnp.zeros_like(walkers).at[order].set(walkers, unique_indices=True)
        return EnsembleSamplerState(
            jax.vmap(self.target.space.unravel)(walkers[:, :-1]),
            kernel.finish_iteration(moved),
            rng_key,
            walkers[:, -1],
        )


def checked_moves(name: str, moves: dict[Any, float] | None, default: Any) -> dict[Any, float]:
    """The moves of a kernel and their weights, or the default move alone.

    :raises ValueError: if they are no moves, or a weight is not positive.
    """
    if moves is None:
        return {default: 1.0}
    for move, weight in moves.items():
        if not callable(move) or isinstance(move, type):
            raise ValueError(f"{name}: `moves` must map moves such as {name}.{type(default).__name__}() to weights.")
        if not weight > 0:
            raise ValueError(f"{name}: the weights of `moves` must be positive, but that of {move} is {weight}.")
    if not moves:
        raise ValueError(f"{name}: `moves` is empty.")
    return dict(moves)


def names_of_moves(moves: dict[Any, float]) -> str:
    """Names of moves for a message."""
    return ", ".join(type(move).__name__ for move in moves)


def drawn_move(moves: dict[Any, float], number: jax.Array, *operands: Any) -> Any:
    """Apply a move drawn by the weights with a number in ``[0, 1)``."""
    if len(moves) == 1:
        return next(iter(moves))(*operands)
    bounds = np.cumsum(list(moves.values())) / sum(moves.values())
    index = jnp.sum(number >= jnp.asarray(bounds[:-1], number.dtype))
    return lax.switch(index, list(moves), *operands)

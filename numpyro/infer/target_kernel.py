# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Kernels that sample a potential energy on flat vectors.

A kernel is given a model, or a potential energy that the user wrote. :class:`TargetKernel` turns either into a
:class:`~numpyro.infer.target.Target` once for each shape of the model's arguments, and keeps what the kernel compiles
for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro.distributions import Distribution
from numpyro.infer.arguments import Static, combine, partition
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.kernel import MCMCKernel
from numpyro.infer.metric import FlatSpace, flat_space
from numpyro.infer.potential import build_potential
from numpyro.infer.programs import programs_of
from numpyro.infer.target import GivenPotential, Target, is_concrete
from numpyro.util import identity

__all__ = ["Program", "TargetKernel"]

_NEEDS_VALUES = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerBoolConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


@dataclass(frozen=True, eq=False)
class Program(ABC):
    """What a kernel compiles for a target: how a chain begins, and how it goes on.

    :param target: what is sampled.

    ``arrays`` of the methods are the arrays among the model's arguments.
    """

    target: Target

    def __post_init__(self) -> None:
        for name in ("begin", "transition"):
            object.__setattr__(self, name, jax.jit(getattr(self, name)))

    @abstractmethod
    def begin(self, rng_key: Any, init_params: Any, arrays: Any) -> Any:
        """The first state; its potential energy is infinite if there is no valid start."""

    @abstractmethod
    def transition(self, state: Any, arrays: Any) -> Any:
        """The state after one more iteration."""

    @abstractmethod
    def refresh(self, state: Any, arrays: Any) -> Any:
        """The state with what depends on the arrays computed anew."""


class TargetKernel(MCMCKernel):
    """Base class of the kernels that sample a model, or a potential energy, in unconstrained space.

    A subclass defines :meth:`compose`, which makes a :class:`Program` for a :class:`Target`; :meth:`program` calls it
    once for each shape of the model's arguments. The state's field ``z`` is a pytree of unconstrained parameters.

    :param model: a model. Either this or ``potential_fn``.
    :param potential_fn: potential energy of a pytree of unconstrained parameters.
    :param init_strategy: how to find a start.
    :raises ValueError: if both or neither of ``model`` and ``potential_fn`` are given.
    """

    _forward_mode_differentiation = False

    def __init__(
        self,
        model: Callable[..., Any] | None,
        potential_fn: Callable[..., Any] | None,
        init_strategy: Callable[..., Any] = init_to_uniform,
    ) -> None:
        if (model is None) == (potential_fn is None):
            given = "both" if model is not None else "neither"
            raise ValueError(
                f"Only one of `model` or `potential_fn` must be specified, but you gave {given}. Write "
                f"{type(self).__name__}(model), or {type(self).__name__}(potential_fn=f)."
            )
        self._model = model
        self._potential_fn = potential_fn
        self._potential_fn_gen: Callable[..., Any] | None = None
        self._init_strategy = init_strategy
        self._num_warmup = 0
        self._prototype: Any = None
        # None where the model needs the values of its arrays in Python, so that they must be constants.
        self._programs: dict[Any, Any] = {}

    @property
    def model(self) -> Callable[..., Any] | None:
        """The model, or None if the kernel was made from a potential energy."""
        return self._model

    @property
    def sample_field(self) -> str:
        return "z"

    # Programs

    def flat_space(self, prototype: Any, keyed: bool) -> FlatSpace:
        """Flat coordinates of the parameters.

        :param keyed: whether mass matrices are dicts by site names.
        """
        return flat_space(prototype)

    @abstractmethod
    def compose(self, target: Target, num_warmup: int) -> Program:
        """What the kernel compiles for a target."""

    def program(
        self, num_warmup: int, args: Any, kwargs: Any, init_params: Any = None, *, batched: bool = False
    ) -> tuple[Any, list[Any]]:
        """The program for these arguments, built once for their shapes, and the arrays among the arguments.

        :param init_params: what the parameters look like; needed with ``potential_fn`` only.
        :param batched: whether ``init_params`` has a leading axis of chains.
        """
        prototype = None
        if self._potential_fn is not None:
            if init_params is not None:
                prototype = jax.tree.map(partial(_abstract, batched=batched), init_params)
            elif self._prototype is not None:
                prototype = self._prototype
            else:
                raise ValueError(
                    "Valid value of `init_params` must be provided with `potential_fn`: it says what the parameters "
                    "look like, and the chains start there. Write mcmc.run(rng_key, init_params=...)."
                )
            self._prototype = prototype
        self._num_warmup = num_warmup
        arrays, static = partition((args, kwargs))
        shapes = tuple((np.shape(array), np.dtype(array.dtype).name) for array in arrays)
        layout = None if prototype is None else _hashable(prototype)
        modes = (jnp.result_type(float).name, jax.default_backend(), Distribution._validate_args)
        key: tuple[Any, ...] = (num_warmup, static, shapes, layout, *modes)

        def build(takes_arrays: bool) -> Any:
            return self.compose(self._target(arrays, static, prototype, takes_arrays), num_warmup)

        programs = self._programs_for_now()
        if key not in programs:
            try:
                programs[key] = build(takes_arrays=True)
            except _NEEDS_VALUES:
                if not arrays or not all(map(is_concrete, arrays)):
                    raise
                programs[key] = None
        program = programs[key]
        if program is None:
            key += (tuple(np.asarray(array).tobytes() for array in arrays),)
            program = programs.get(key)
            if program is None:
                program = programs[key] = build(takes_arrays=False)
        return program, arrays if program.target.takes_arrays else []

    def _programs_for_now(self) -> dict[Any, Any]:
        """The programs for the settings of this kernel and what its model reads from outside, which other kernels of
        the same kind share."""
        apart = ("_model", "_potential_fn", "_num_warmup", "_prototype", "_programs")
        settings = {name: value for name, value in vars(self).items() if name not in apart}
        shared = programs_of(self._model or self._potential_fn, (type(self), settings))
        return self._programs if shared is None else shared

    def _target(self, arrays: list[Any], static: Static, prototype: Any, takes_arrays: bool) -> Target:
        def arguments(inputs: Any) -> Any:
            return combine(inputs if takes_arrays else arrays, static)

        args, kwargs = combine(arrays, static)
        source: Any
        if self._model is not None:
            source = build_potential(
                self._model,
                args,
                kwargs,
                init_strategy=self._init_strategy,
                forward_mode_differentiation=self._forward_mode_differentiation,
            )
            prototype = source.prototype_params(args, kwargs)
        else:
            source = GivenPotential(self._potential_fn_gen or _Constant(self._potential_fn), prototype)
        return Target(
            source,
            self.flat_space(prototype, keyed=self._potential_fn is None),
            arguments,
            arrays,
            takes_arrays=takes_arrays,
            init_strategy=None if self._model is None else self._init_strategy,
            forward_mode_differentiation=self._forward_mode_differentiation,
        )

    def prepare(
        self,
        num_warmup: int,
        init_params: Any,
        model_args: tuple[Any, ...],
        model_kwargs: dict[str, Any],
        lead: tuple[int, ...] = (),
    ) -> bool:
        program, _ = self.program(num_warmup, model_args, model_kwargs, init_params, batched=bool(lead))
        if init_params is not None:
            program.target.check_shapes(init_params, lead)
        return self.is_pure and program.target.takes_arrays

    def check_start(
        self, state: Any, init_params: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]
    ) -> None:
        invalid = ~np.isfinite(np.asarray(state.potential_energy))
        if not invalid.any():
            return
        params = jax.tree.map(lambda x: x[int(np.argmax(invalid))], state.z) if invalid.ndim else state.z
        program, arrays = self.program(self._num_warmup, model_args, model_kwargs, params)
        program.target.refuse(params, arrays, None if init_params is None else "`init_params`")

    def check_key(self, rng_key: Any, target: Target) -> None:
        """Raise an error if ``rng_key`` is not what :meth:`init` needs for a target."""

    # The kernel's interface

    def init(
        self,
        rng_key: Any,
        num_warmup: int,
        init_params: Any = None,
        model_args: tuple[Any, ...] = (),
        model_kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """The state of a chain at its start.

        :param rng_key: random key; of an ensemble one for each walker.
        :param num_warmup: length of the warm-up.
        :param init_params: where to start, in unconstrained space; needed with ``potential_fn``. Of an ensemble with a
            leading axis of walkers.
        :param model_args: arguments of the model.
        :param model_kwargs: keyword arguments of the model.
        :raises RuntimeError: if no start with finite potential energy (and gradient, where the kernel needs it) is
            found; 100 candidates are tried.
        """
        program, arrays = self._program_for(num_warmup, model_args, model_kwargs, init_params)
        self.check_key(rng_key, program.target)
        state = program.begin(rng_key, init_params, arrays)
        if all(map(is_concrete, jax.tree.leaves(state.z))):
            self.check_start(state, init_params, model_args, model_kwargs or {})
        return state

    def sample(self, state: Any, model_args: tuple[Any, ...] = (), model_kwargs: dict[str, Any] | None = None) -> Any:
        """One iteration from ``state``. In the first ``num_warmup`` ones the kernel may adapt."""
        program, arrays = self._program_for(self._num_warmup, model_args, model_kwargs, state.z)
        return program.transition(state, arrays)

    def refresh(self, state: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any] | None) -> Any:
        """The state with what depends on the model's arguments computed anew, for other ones."""
        program, arrays = self._program_for(self._num_warmup, model_args, model_kwargs, state.z)
        return program.refresh(state, arrays)

    def _program_for(self, num_warmup: int, args: Any, kwargs: Any, params: Any) -> tuple[Any, list[Any]]:
        return self.program(num_warmup, args, kwargs or {}, params, batched=self.is_ensemble_kernel)

    def get_potential_fn(
        self, model_args: tuple[Any, ...] = (), model_kwargs: dict[str, Any] | None = None
    ) -> Callable[[Any], Any]:
        """The potential energy as a function of the unconstrained parameters."""
        if self._potential_fn is not None:
            return (self._potential_fn_gen or _Constant(self._potential_fn))(*model_args, **(model_kwargs or {}))
        program, arrays = self.program(self._num_warmup, model_args, model_kwargs or {})
        return lambda params: program.target.potential_energy(params, arrays)

    def get_constrain_fn(
        self,
        model_args: tuple[Any, ...] = (),
        model_kwargs: dict[str, Any] | None = None,
        *,
        return_deterministic: bool = False,
    ) -> Callable[[Any], Any]:
        """The function from unconstrained parameters to the values of the latent sites, and of the deterministic ones
        on request."""
        if self._potential_fn is not None:
            return identity
        program, arrays = self.program(self._num_warmup, model_args, model_kwargs or {})
        args, kwargs = program.target.arguments(arrays)
        return partial(_constrain, program.target.source, args, kwargs, return_deterministic)

    def postprocess_fn(self, args: tuple[Any, ...] = (), kwargs: Any = None) -> Callable[[Any], Any]:
        """The function from unconstrained parameters to the values of latent and deterministic sites."""
        return self.get_constrain_fn(args, kwargs, return_deterministic=True)

    def wrap_model(self, wrapper: Callable[..., Any]) -> Any:
        """The same kernel for the model ``wrapper(model)``."""
        if self._model is None:
            raise ValueError("`wrap_model` needs a kernel made from a model; this one was made from a `potential_fn`.")
        other = copy.copy(self)
        other._model = wrapper(self._model)
        other._programs = {}
        return other

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_programs": {}}


class _Constant:
    """A function that takes any arguments and returns the same value."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.value


def _constrain(source: Any, args: Any, kwargs: Any, return_deterministic: bool, params: Any) -> Any:
    return source.constrain(params, args, kwargs, return_deterministic=return_deterministic)


def _abstract(leaf: Any, batched: bool) -> Any:
    shape = np.shape(leaf)
    dtype = jnp.result_type(leaf)
    if not jnp.issubdtype(dtype, jnp.floating):
        dtype = jnp.result_type(float)
    return jax.ShapeDtypeStruct(shape[1:] if batched else shape, dtype)


def _hashable(prototype: Any) -> Any:
    leaves, treedef = jax.tree.flatten(prototype)
    return treedef, tuple((leaf.shape, np.dtype(leaf.dtype).name) for leaf in leaves)

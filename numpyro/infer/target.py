# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What a kernel samples from: a potential energy on flat vectors, and the kernels that are made of one.

A kernel is given a model, or a potential energy that the user wrote. :class:`TargetKernel` turns either into a
:class:`Target` once for each shape of the model's arguments, and keeps what the kernel compiles for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import nullcontext
import copy
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple, NoReturn

import jax
from jax import lax
from jax.extend.core import jaxpr_as_fun
import jax.numpy as jnp
from jax.sharding import AbstractMesh, AxisType, get_abstract_mesh, use_abstract_mesh
import numpy as np

from numpyro.distributions import Distribution
from numpyro.infer.arguments import Static, combine, partition
from numpyro.infer.compilation import on_one_cpu
from numpyro.infer.initialization import MAX_ATTEMPTS, first_valid, init_to_uniform, uniform_radius
from numpyro.infer.integrator import value_and_grad
from numpyro.infer.kernel import MCMCKernel
from numpyro.infer.metric import FlatSpace, flat_space
from numpyro.infer.potential import build_potential
from numpyro.infer.programs import programs_of
from numpyro.infer.random_words import next_words, uniform
from numpyro.infer.sums import with_sums_as_products
from numpyro.util import identity

__all__ = ["GivenPotential", "Program", "Start", "Target", "TargetKernel", "is_concrete"]

_NEEDS_VALUES = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerBoolConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)

_SHORT = 64
"""Size from which a position is worth a branch of the compiled program."""

_MANY_TIMES = 4
"""How often the elements of a position are read on average that is better not computed each time."""


class Start(NamedTuple):
    """Where a chain begins.

    :param position: a flat vector.
    :param potential_energy: potential energy there; infinite if the position is no valid start.
    :param gradient: its gradient, or None if the kernel needs none.
    """

    position: Any
    potential_energy: Any
    gradient: Any


class Target:
    """A potential energy on flat vectors, for one shape of the model's arguments.

    :param source: the potential energy of a pytree, with the interface of
        :class:`~numpyro.infer.potential.ModelPotential`.
    :param space: flat coordinates of the parameters.
    :param arguments: ``f(inputs)`` gives the model's ``(args, kwargs)``.
    :param arrays: the arrays among the model's arguments.
    :param takes_arrays: whether these are inputs of compiled programs or constants in them.
    :param init_strategy: how to draw a start, or None if starts must be given.
    :param forward_mode_differentiation: whether to differentiate forwards.
    :raises ValueError: if the potential energy is no scalar.

    ``inputs`` of the methods are the arrays, or an empty list if the programs do not take them.
    """

    def __init__(
        self,
        source: Any,
        space: FlatSpace,
        arguments: Callable[[Any], Any],
        arrays: list[Any],
        *,
        takes_arrays: bool,
        init_strategy: Callable[..., Any] | None,
        forward_mode_differentiation: bool = False,
    ) -> None:
        self.source, self.space, self.arguments, self.takes_arrays = source, space, arguments, takes_arrays
        self.init_strategy = init_strategy
        self._forward_mode = forward_mode_differentiation
        self._flat = jax.ShapeDtypeStruct((space.size,), space.dtype)
        self._inputs = jax.tree.map(_shape_and_dtype, arrays if takes_arrays else [])
        self._traced = _traced(self._potential, (jax.eval_shape(space.unravel, self._flat), self._inputs))

    def _potential(self, params: Any, inputs: Any) -> jax.Array:
        args, kwargs = self.arguments(inputs)
        value = self.source.potential_fn(params, args, kwargs)
        if jnp.shape(value) != ():
            raise ValueError(f"the potential energy must be a scalar, but it has shape {jnp.shape(value)}.")
        return jnp.asarray(value, self.space.dtype)

    def potential(self, z: jax.Array, inputs: Any) -> jax.Array:
        """Potential energy."""
        return self._of_leaves(jax.tree.leaves(self.space.unravel(z)), inputs)

    def _of_leaves(self, leaves: list[jax.Array], inputs: Any) -> jax.Array:
        return jaxpr_as_fun(self._traced)(*leaves, *inputs)[0]

    @property
    def density(self) -> Any:
        """The traced program of the potential energy."""
        return self._traced

    @cached_property
    def _traced_gradient(self) -> Any:
        # In the parameters, not in the vector: the derivative of slicing it is a sum of padded pieces.
        potential_and_grad = value_and_grad(self._of_leaves, self._forward_mode)

        def pieces(z: jax.Array, inputs: Any) -> tuple[jax.Array, list[jax.Array]]:
            return potential_and_grad(jax.tree.leaves(self.space.unravel(z)), inputs)

        program = _traced(pieces, (self._flat, self._inputs))
        return with_sums_as_products(program, varying=1) if on_one_cpu() else program

    def potential_and_grad(
        self, z: jax.Array, inputs: Any, image: Callable[[jax.Array], jax.Array] = identity
    ) -> tuple[jax.Array, jax.Array]:
        """Potential energy, and the image of its gradient under a linear map.

        Where the potential energy is not finite, all of the gradient may be nan.
        """
        value, *gradients = jaxpr_as_fun(self._traced_gradient)(z, *inputs)
        treedef = self.space.treedef

        def flat(gradients: list[jax.Array]) -> jax.Array:
            return image(self.space.ravel(jax.tree.unflatten(treedef, gradients)))

        if not self._is_staged:
            return value, flat(gradients)
        return value, lax.cond(jnp.isfinite(value), lambda g, z: flat(g), lambda g, z: z * jnp.nan, gradients, z)

    @cached_property
    def _is_staged(self) -> bool:
        """Whether position and gradient are to lie in memory, each in the order of its axes, rather than be fused.

        XLA would compute a piece of several axes element by element in the order of the flat gradient, each time
        dividing to find the indices; and the elements of the position anew wherever they are read. What it hands to a
        branch it computes before. A step of 1,202 parameters in pieces of (200, 3, 2) then takes 12 microseconds, not
        19; one of 71 parameters that are read 600 times takes 5.5 rather than 10. A branch costs a tenth of one.
        """
        size = self.space.size
        if size < _SHORT:
            return False
        sizes = (var.aval.size for equation in self._traced_gradient.jaxpr.eqns for var in equation.outvars)
        return any(len(shape) > 1 for shape in self.space.shapes) or max(sizes, default=0) >= _MANY_TIMES * size

    def draw_start(self, rng_key: Any, inputs: Any) -> jax.Array:
        """A candidate for the start, by the initialisation strategy."""
        radius = None if self.init_strategy is None else uniform_radius(self.init_strategy)
        if radius is not None:
            _, words = next_words(rng_key, self.space.size)
            return radius * (2 * uniform(words, self.space.dtype) - 1)
        args, kwargs = self.arguments(inputs)
        return self.space.ravel(self.source.init_params(rng_key, args, kwargs))

    def find_start(self, rng_key: Any, position: jax.Array | None, inputs: Any, *, with_gradient: bool) -> Start:
        """The given position, or the first candidate at which the potential energy (and its gradient) is finite."""

        def evaluate(z: jax.Array) -> Start:
            if with_gradient:
                potential, gradient = self.potential_and_grad(z, inputs)
                is_valid = jnp.isfinite(potential) & jnp.all(jnp.isfinite(gradient))
            else:
                potential, gradient = self.potential(z, inputs), None
                is_valid = jnp.isfinite(potential)
            return Start(z, jnp.where(is_valid, potential, jnp.inf), gradient)

        if position is not None:
            return evaluate(position)
        return first_valid(
            lambda key: evaluate(self.draw_start(key, inputs)),
            lambda start: jnp.isfinite(start.potential_energy),
            rng_key,
        )[0]

    def constrain(self, params: Any, inputs: Any) -> Any:
        """Values of the model's sites at one draw."""
        args, kwargs = self.arguments(inputs)
        return self.source.constrain(params, args, kwargs)

    def potential_energy(self, params: Any, inputs: Any) -> Any:
        """Potential energy of a pytree of parameters."""
        args, kwargs = self.arguments(inputs)
        return self.source.potential_fn(params, args, kwargs)

    def check_shapes(self, init_params: Any, lead: tuple[int, ...]) -> None:
        """Compare a given start with the parameters.

        :param lead: shape of the leading axes of chains.
        :raises ValueError: if structure or shapes differ.
        """
        leaves, treedef = jax.tree.flatten(init_params)
        shapes = [np.shape(leaf)[len(lead) :] for leaf in leaves]
        if treedef == self.space.treedef and tuple(shapes) == self.space.shapes:
            return
        expected = jax.tree.unflatten(self.space.treedef, self.space.shapes)
        axes = f", each with a leading axis of {lead[0]} chains" if lead else ""
        raise ValueError(
            f"`init_params` (or `post_warmup_state`) must look like the unconstrained parameters, whose shapes are "
            f"{expected}{axes}, but the shapes given are {jax.tree.map(np.shape, init_params)}."
        )

    def refuse(self, params: Any, inputs: Any, origin: str | None = None, attempts: int = MAX_ATTEMPTS) -> NoReturn:
        """Raise the error for a start that cannot be used.

        :param origin: where the start comes from, such as ```init_params```; None if it was drawn, the last of
            ``attempts`` candidates.
        """
        args, kwargs = self.arguments(inputs)
        try:
            reason = self.source.explain_invalid(params, args, kwargs)
        except Exception as error:
            reason = f"(Looking for the reason failed as well: {error})"
        if origin is None:
            what = f"none of {attempts} candidates that the initialisation strategy drew is a point"
            remedy = (
                "Check the model against the data, or choose the start: init_strategy=init_to_value(values={...}), "
                "init_to_median, or init_params= (in unconstrained space)."
            )
        else:
            what = f"{origin} is no point"
            remedy = f"Remember that {origin} is in unconstrained space."
        raise RuntimeError(
            f"Cannot find valid initial parameters: {what} at which the potential energy and its gradient are "
            f"finite.\n{reason}\n{remedy}"
        )


def _traced(fn: Callable[..., Any], abstract: Any) -> Any:
    """A function traced for whoever calls it: if it is traced within ``jax.shard_map``, not for the devices of that
    alone."""
    is_mapped = AxisType.Manual in get_abstract_mesh().axis_types
    with use_abstract_mesh(AbstractMesh((), ())) if is_mapped else nullcontext():
        return jax.make_jaxpr(fn)(*abstract)


class GivenPotential:
    """A potential energy that the user wrote, with the interface of a model's.

    :param make: ``make(*args, **kwargs)`` gives the potential energy as a function of the parameters.
    :param prototype: abstract parameters.
    """

    def __init__(self, make: Callable[..., Callable[[Any], Any]], prototype: Any) -> None:
        self._make = make
        self._prototype = prototype

    def potential_fn(self, params: Any, args: Any, kwargs: Any) -> Any:
        return self._make(*args, **kwargs)(params)

    def prototype_params(self, args: Any, kwargs: Any) -> Any:
        return self._prototype

    def constrain(self, params: Any, args: Any, kwargs: Any, *, return_deterministic: bool = True) -> Any:
        return params

    def explain_invalid(self, params: Any, args: Any, kwargs: Any) -> str:
        potential, gradient = jax.value_and_grad(self._make(*args, **kwargs))(params)
        bad = sum(int(np.sum(~np.isfinite(leaf))) for leaf in jax.tree.leaves(gradient))
        return f"`potential_fn` is {float(potential)} there and {bad} entries of its gradient are not finite."


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


def _shape_and_dtype(x: Any) -> Any:
    return jax.ShapeDtypeStruct(np.shape(x), x.dtype)


def _hashable(prototype: Any) -> Any:
    leaves, treedef = jax.tree.flatten(prototype)
    return treedef, tuple((leaf.shape, np.dtype(leaf.dtype).name) for leaf in leaves)


def is_concrete(x: Any) -> bool:
    """Whether an array has a value, or stands for one while JAX traces."""
    return not isinstance(x, jax.core.Tracer)

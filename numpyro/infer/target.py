# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What a kernel samples from: a potential energy on flat vectors, that of a model or one that the user wrote."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

import jax
from jax import lax
from jax.extend.core import jaxpr_as_fun
import jax.numpy as jnp
from jax.sharding import AbstractMesh, AxisType, get_abstract_mesh, use_abstract_mesh
import numpy as np

from numpyro.infer.compilation import on_one_cpu
from numpyro.infer.initialization import MAX_ATTEMPTS, first_valid, uniform_radius
from numpyro.infer.integrator import value_and_grad
from numpyro.infer.metric import FlatSpace
from numpyro.infer.random_words import next_words, uniform
from numpyro.infer.sums import with_sums_as_products
from numpyro.util import identity

__all__ = ["GivenPotential", "Start", "Target", "is_concrete"]

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


def _shape_and_dtype(x: Any) -> Any:
    return jax.ShapeDtypeStruct(np.shape(x), x.dtype)


def is_concrete(x: Any) -> bool:
    """Whether an array has a value, or stands for one while JAX traces."""
    return not isinstance(x, jax.core.Tracer)

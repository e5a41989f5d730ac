# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

r"""A function of one number at many candidates, with as little work for each as can be told from its program.

What does not depend on the number is computed once. Where the number only chooses between two values, as the year does
in ``jnp.where(jnp.arange(100) < year, early, late)``, a function of what is chosen is a choice between two values of
the function,

.. math:: f(\mathrm{select}(c, x, y)) = \mathrm{select}(c, f(x), f(y)),

element by element and to the bit. So the logarithms of a density are taken at ``x`` and at ``y``, and each candidate
costs comparisons, choices and a sum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax import lax
import jax.extend.core as core
import jax.numpy as jnp
import numpy as np

from numpyro.infer.elementwise import CALLS, ELEMENTWISE, OF_SHAPE

__all__ = ["at_candidates"]


class _Given(NamedTuple):
    """A value that does not depend on the number."""

    value: Any


class _Varying(NamedTuple):
    """A value that does: its place among the results of the steps."""

    place: int


class _Choice(NamedTuple):
    """A value that depends on the number by a choice alone.

    :param which: says which of the values; a scalar or an array of their shape.
    :param is_scalar: whether it is a scalar.
    :param values: arrays of one shape and type, which do not depend on the number.
    """

    which: _Varying
    is_scalar: bool
    values: tuple[Any, ...]


def at_candidates(fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The function from a vector of whole numbers to ``fn`` of each: ``jax.vmap(fn)`` with less work.

    What does not depend on the number is computed here, once for all calls of the result.

    :param fn: a function from a scalar of type ``int32`` to an array.

    >>> sums = at_candidates(lambda k: jnp.sum(jnp.where(jnp.arange(5) < k, 3.0, 2.0) ** 2))
    >>> sums(jnp.arange(3)).tolist()
    [20.0, 25.0, 30.0]
    """
    closed = jax.make_jaxpr(fn)(jax.ShapeDtypeStruct((), jnp.int32))
    if closed.effects:
        return jax.vmap(fn)
    plan = _Plan()
    (result,) = plan.follow(closed, [_Varying(0)])
    return jax.vmap(lambda number: plan.carry_out(number, result))


class _Plan:
    """The steps to be taken for each candidate, found by going through a program, whose other steps are taken."""

    def __init__(self) -> None:
        self._steps: list[tuple[Callable[..., Sequence[Any]], list[Any], int]] = []
        self._places = 1
        self._shaped: dict[Any, _Varying] = {}

    def follow(self, closed: Any, inputs: Sequence[Any]) -> list[Any]:
        """What a program returns."""
        names = [*closed.jaxpr.constvars, *closed.jaxpr.invars]
        found: dict[Any, Any] = dict(zip(names, [*map(_Given, closed.consts), *inputs], strict=True))

        def of(atom: Any) -> Any:
            if isinstance(atom, core.Literal):
                aval: Any = atom.aval
                return _Given(np.asarray(atom.val, aval.dtype))
            return found[atom]

        for equation in closed.jaxpr.eqns:
            found.update(zip(equation.outvars, self._take(equation, [of(x) for x in equation.invars]), strict=True))
        return [of(atom) for atom in closed.jaxpr.outvars]

    def carry_out(self, number: Any, result: Any) -> Any:
        """The result for one candidate."""
        results = {0: number}

        def of(x: Any) -> Any:
            if isinstance(x, _Choice):
                return lax.select_n(results[x.which.place], *x.values)
            return x.value if isinstance(x, _Given) else results[x.place]

        for fn, inputs, place in self._steps:
            results.update(enumerate(fn(*map(of, inputs)), place))
        return of(result)

    def _take(self, equation: Any, inputs: list[Any]) -> list[Any]:
        """The outputs of an equation, computed now as far as they do not vary."""
        name = equation.primitive.name
        if name in CALLS:
            return self.follow(equation.params[CALLS[name]], inputs)
        compute = _as_function(equation)
        given = [isinstance(x, _Given) for x in inputs]
        if all(given):
            return [_Given(value) for value in compute(*(x.value for x in inputs))]
        if name == "select_n" and isinstance(inputs[0], _Varying) and all(given[1:]):
            return [_Choice(inputs[0], not equation.invars[0].aval.shape, tuple(x.value for x in inputs[1:]))]
        choices = [x for x in inputs if isinstance(x, _Choice)]
        is_of_shape = name in OF_SHAPE
        is_choice = len({x.which for x in choices}) == 1 and len(choices) + sum(given) == len(inputs)
        if is_choice and (name in ELEMENTWISE or is_of_shape):
            which, is_scalar, values = choices[0]
            rows = ([x.values[i] if isinstance(x, _Choice) else x.value for x in inputs] for i in range(len(values)))
            values = tuple(compute(*row)[0] for row in rows)
            if is_of_shape and not is_scalar:
                how = (which, name, str(equation.params))
                if how not in self._shaped:
                    (self._shaped[how],) = self._later(compute, [which], 1)
                which = self._shaped[how]
            return [_Choice(which, is_scalar, values)]
        return self._later(compute, inputs, len(equation.outvars))

    def _later(self, fn: Callable[..., Sequence[Any]], inputs: list[Any], count: int) -> list[_Varying]:
        """Results of a step for each candidate."""
        place = self._places
        self._steps.append((fn, inputs, place))
        self._places += count
        return [_Varying(place + i) for i in range(count)]


def _as_function(equation: Any) -> Callable[..., Sequence[Any]]:
    """An equation as a function of all its inputs."""
    variables = list(dict.fromkeys(x for x in equation.invars if not isinstance(x, core.Literal)))
    places = [next(i for i, x in enumerate(equation.invars) if x is variable) for variable in variables]
    program = jax.make_jaxpr(lambda: None)().jaxpr.replace(invars=variables, outvars=equation.outvars, eqns=[equation])
    run = core.jaxpr_as_fun(core.ClosedJaxpr(program, ()))
    return lambda *inputs: run(*(inputs[i] for i in places))

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Sums as products with ones.

XLA's CPU compiler makes a sum of some hundred numbers of two loops, each a piece of code that it compiles by itself;
and if a program has many of them at the same place, its runtime hands some to another thread, which takes longer than
to compute them. The product of a matrix and a vector is a call of a routine that is there already.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.extend.core as core
import jax.numpy as jnp

from numpyro.infer.elementwise import CALLS

__all__ = ["total", "with_sums_as_products"]

_SHORTEST, _LONGEST = 33, 4096
"""Sizes of the vectors that are added up so: a shorter one is added up by one loop; of a longer one the time counts
more than the compilation."""


def total(x: jax.Array) -> jax.Array:
    """The sum of all numbers of an array.

    >>> float(total(jnp.arange(100.0)))
    4950.0
    """
    if not _is_product(x):
        return jnp.sum(x)
    # One row would be taken for an inner product, and that for a sum.
    return (jnp.ones((2, x.size), x.dtype) @ x.ravel())[0]


def _is_product(x: Any) -> bool:
    return _SHORTEST <= x.size <= _LONGEST and jnp.issubdtype(x.dtype, jnp.floating)


def with_sums_as_products(program: core.ClosedJaxpr, varying: int) -> core.ClosedJaxpr:
    """A program in which :func:`total` adds up whole arrays.

    :param program: the program. Loops and branches in it stay as they are.
    :param varying: number of its first inputs that vary. Sums that do not depend on them stay: they are computed once.

    >>> program = jax.make_jaxpr(lambda x, y: jnp.sum(x * y))(jnp.ones(100), jnp.ones(100))
    >>> [name in str(with_sums_as_products(program, 1)) for name in ("reduce_sum", "dot_general")]
    [False, True]
    """
    jaxpr = program.jaxpr
    rewritten, _ = _rewritten(jaxpr, set(jaxpr.invars[:varying]))
    return program.replace(jaxpr=rewritten)


def _rewritten(jaxpr: Any, varying: set[Any]) -> tuple[Any, list[bool]]:
    """The program with other sums, and which of its outputs vary."""
    varies = lambda atom: not isinstance(atom, core.Literal) and atom in varying
    equations: list[Any] = []
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        inputs = [varies(x) for x in equation.invars]
        outputs = [any(inputs)] * len(equation.outvars)
        if name in CALLS:
            inner = params[CALLS[name]]
            of_inner = {var for var, does in zip(inner.jaxpr.invars, inputs, strict=True) if does}
            rewritten, outputs = _rewritten(inner.jaxpr, of_inner)
            equations.append(equation.replace(params=params | {CALLS[name]: inner.replace(jaxpr=rewritten)}))
        elif name == "reduce_sum" and any(inputs) and not equation.outvars[0].aval.shape:
            equations += _product(equation)
        else:
            equations.append(equation)
        varying |= {var for var, does in zip(equation.outvars, outputs, strict=True) if does}
    return jaxpr.replace(eqns=equations), [varies(x) for x in jaxpr.outvars]


def _product(equation: Any) -> list[Any]:
    """The equations of :func:`total` in place of that of a sum."""
    aval = equation.invars[0].aval
    if not _is_product(aval):
        return [equation]
    product = jax.make_jaxpr(total)(jax.ShapeDtypeStruct(aval.shape, aval.dtype)).jaxpr
    names = dict(zip([*product.invars, *product.outvars], [*equation.invars, *equation.outvars], strict=True))
    rename = lambda x: x if isinstance(x, core.Literal) else names.get(x, x)
    return [
        inner.replace(invars=[*map(rename, inner.invars)], outvars=[*map(rename, inner.outvars)])
        for inner in product.eqns
    ]

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""On which inputs each output of a function depends, found by walking through its jaxpr; nothing is computed.

An equation's outputs depend on all that its inputs depend on. Equations that hold programs of their own (calls,
branches, loops) are walked through by the rules in :data:`track_deps_rules`, so that one output of a loop need not
depend on what another one does.

**Reference:** Wingate, Goodman, Stuhlmueller and Siskind (2011), *Nonstandard Interpretations of Probabilistic Programs
for Efficient Inference*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

__all__ = [
    "eval_provenance",
    "track_deps_call_rule",
    "track_deps_closed_call_rule",
    "track_deps_jaxpr",
    "track_deps_jit_rule",
    "track_deps_rules",
]

Provenance = frozenset[str]
_NOTHING: Provenance = frozenset()


def eval_provenance(fn: Callable[..., Any], **kwargs: Any) -> Any:
    """For each output of a function, the names of the arguments on which it depends.

    :param fn: function of keyword arguments that JAX can trace.
    :param kwargs: its arguments: pytrees of arrays, or of ``jax.ShapeDtypeStruct``, since nothing is computed.
    :returns: the function's result with a ``frozenset`` of names in the place of each array.

    >>> eval_provenance(lambda x, y, z: {"product": x * y, "one": 1.0}, x=1.0, y=2.0, z=3.0) == {
    ...     "product": frozenset({"x", "y"}), "one": frozenset()
    ... }
    True
    """
    jaxpr, shapes = jax.make_jaxpr(lambda kwargs: fn(**kwargs), return_shape=True)(kwargs)
    leaves = jax.tree_util.tree_leaves_with_path(kwargs)
    found = track_deps_jaxpr(jaxpr.jaxpr, [frozenset({path[0].key}) for path, _ in leaves])
    return jax.tree.unflatten(jax.tree.structure(shapes), found)


def track_deps_jaxpr(jaxpr: Any, provenance_inputs: Sequence[Provenance]) -> list[Provenance]:
    """Provenance of the outputs of a jaxpr from that of its inputs. Its constants depend on nothing.

    :param jaxpr: a jaxpr that is not closed.
    :param provenance_inputs: a set of names for each of ``jaxpr.invars``.
    """
    known: dict[Any, Provenance] = dict(zip(jaxpr.invars, provenance_inputs, strict=True))

    def of(atom: Any) -> Provenance:
        # Literals cannot be hashed; constants are not known.
        return _NOTHING if hasattr(atom, "val") else known.get(atom, _NOTHING)

    for eqn in jaxpr.eqns:
        rule = track_deps_rules.get(eqn.primitive.name, _all_to_all)
        known.update(zip(eqn.outvars, rule(eqn, [of(atom) for atom in eqn.invars]), strict=True))
    return [of(atom) for atom in jaxpr.outvars]


def track_deps_call_rule(eqn: Any, provenance_inputs: Sequence[Provenance]) -> list[Provenance]:
    """Rule for a call of an open jaxpr."""
    return track_deps_jaxpr(eqn.params["call_jaxpr"], provenance_inputs)


def track_deps_closed_call_rule(eqn: Any, provenance_inputs: Sequence[Provenance]) -> list[Provenance]:
    """Rule for a call of a closed jaxpr, also of functions with derivatives of their own."""
    return track_deps_jaxpr(_opened(eqn.params["call_jaxpr"]), provenance_inputs)


def track_deps_jit_rule(eqn: Any, provenance_inputs: Sequence[Provenance]) -> list[Provenance]:
    """Rule for ``jax.jit`` and ``jax.checkpoint``."""
    return track_deps_jaxpr(_opened(eqn.params["jaxpr"]), provenance_inputs)


def _cond_rule(eqn: Any, provenance_inputs: Sequence[Provenance]) -> list[Provenance]:
    which, *operands = provenance_inputs
    branches = [track_deps_jaxpr(_opened(branch), operands) for branch in eqn.params["branches"]]
    return [which.union(*outputs) for outputs in zip(*branches, strict=True)]


def _scan_rule(eqn: Any, provenance_inputs: Sequence[Provenance]) -> list[Provenance]:
    jaxpr = _opened(eqn.params["jaxpr"])
    first, last = eqn.params["num_consts"], eqn.params["num_consts"] + eqn.params["num_carry"]
    constants, carry, xs = provenance_inputs[:first], provenance_inputs[first:last], provenance_inputs[last:]

    def step(carry: list[Provenance]) -> list[Provenance]:
        return track_deps_jaxpr(jaxpr, [*constants, *carry, *xs])

    carry = _fixed_point(lambda carry: step(carry)[: len(carry)], list(carry))
    return [*carry, *step(carry)[len(carry) :]]


def _while_rule(eqn: Any, provenance_inputs: Sequence[Provenance]) -> list[Provenance]:
    first = eqn.params["cond_nconsts"]
    last = first + eqn.params["body_nconsts"]
    test_constants, constants = provenance_inputs[:first], provenance_inputs[first:last]
    test, body = _opened(eqn.params["cond_jaxpr"]), _opened(eqn.params["body_jaxpr"])

    def step(carry: list[Provenance]) -> list[Provenance]:
        (how_often,) = track_deps_jaxpr(test, [*test_constants, *carry])
        return [how_often | output for output in track_deps_jaxpr(body, [*constants, *carry])]

    return _fixed_point(step, list(provenance_inputs[last:]))


def _all_to_all(eqn: Any, provenance_inputs: Sequence[Provenance]) -> list[Provenance]:
    return [_NOTHING.union(*provenance_inputs)] * len(eqn.outvars)


def _fixed_point(step: Callable[[list[Provenance]], list[Provenance]], carry: list[Provenance]) -> list[Provenance]:
    """What the carry depends on after any number of steps."""
    while True:
        grown = [old | new for old, new in zip(carry, step(carry), strict=True)]
        if grown == carry:
            return carry
        carry = grown


def _opened(jaxpr: Any) -> Any:
    return getattr(jaxpr, "jaxpr", jaxpr)


track_deps_rules: dict[str, Callable[[Any, Sequence[Provenance]], list[Provenance]]] = {
    "checkpoint": track_deps_jit_rule,
    "closed_call": track_deps_closed_call_rule,
    "cond": _cond_rule,
    "core_call": track_deps_call_rule,
    "call": track_deps_call_rule,
    "custom_jvp_call": track_deps_closed_call_rule,
    "custom_vjp_call": track_deps_closed_call_rule,
    "jit": track_deps_jit_rule,
    "pjit": track_deps_jit_rule,
    "remat": track_deps_jit_rule,
    "remat2": track_deps_jit_rule,
    "scan": _scan_rule,
    "while": _while_rule,
}
"""How to walk through equations that hold a program, by the name of the primitive."""

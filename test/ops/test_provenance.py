# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Provenance: an output that a derivative or a change shows to depend on an input is said to, and others are not."""

from __future__ import annotations

import jax
from jax import lax
import jax.numpy as jnp
import pytest

from numpyro.ops.provenance import eval_provenance, track_deps_jaxpr


@jax.custom_jvp
def with_jvp(x, y):
    return 2 * x, y


with_jvp.defjvp(lambda primals, tangents: (with_jvp(*primals), tangents))


@jax.custom_vjp
def with_vjp(x, y):
    return 2 * x, y


with_vjp.defvjp(lambda x, y: ((2 * x, y), None), lambda _, cotangents: cotangents)


def rotate(x, y):
    """A carry through which an input travels from place to place, one step at a time."""
    return lax.scan(lambda carry, t: ((carry[1], carry[2], t), carry[0]), (x, 0.0, 0.0), y * jnp.ones(5))


CASES = {
    "arithmetic": (lambda x, y: (x + y, jnp.sin(x), 3.0), ["xy", "x", ""]),
    "selection": (lambda x, y: jnp.where(x > 0, y, 1.0), ["xy"]),
    "jit": (jax.jit(lambda x, y: (x, 2 * y)), ["x", "y"]),
    "vmap": (lambda x, y: jax.vmap(lambda t: (t * x, t))(y * jnp.ones(2)), ["xy", "y"]),
    "checkpoint": (jax.checkpoint(lambda x, y: (jnp.sin(x), y)), ["x", "y"]),
    "custom_jvp": (with_jvp, ["x", "y"]),
    "custom_vjp": (with_vjp, ["x", "y"]),
    "cond": (lambda x, y: lax.cond(x > 0, lambda y: (y, 1.0), lambda y: (0.0, 2.0), y), ["xy", "x"]),
    "switch": (lambda x, y: lax.switch(1, [lambda: x, lambda: y]), ["xy"]),
    "scan": (lambda x, y: lax.scan(lambda c, t: (c + t, t), x, y * jnp.ones(3)), ["xy", "y"]),
    "rotation": (rotate, ["xy", "y", "y", "xy"]),
    "while": (
        lambda x, y: lax.while_loop(lambda c: c[0] < x, lambda c: (c[0] + 1, c[1] * y, 2 * c[2]), (0.0, 1.0, 2.0)),
        ["x", "xy", "x"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_dependencies_are_found_through_every_construct(name):
    fn, expected = CASES[name]
    found = jax.tree.leaves(eval_provenance(lambda x, y: fn(x, y), x=1.0, y=2.0))
    assert found == [frozenset(names) for names in expected]


def test_arguments_may_be_abstract_trees_and_outputs_keep_their_structure():
    abstract = jax.ShapeDtypeStruct((3,), jnp.float32)
    found = eval_provenance(lambda x, p: {"a": (p["w"] * x, x)}, x=abstract, p={"w": abstract, "b": abstract})
    assert found == {"a": (frozenset({"x", "p"}), frozenset({"x"}))}


def test_nothing_is_computed():
    def fn(x):
        jax.debug.callback(lambda: pytest.fail("the function ran"))
        return x

    assert eval_provenance(fn, x=1.0) == frozenset({"x"})


def test_constants_of_a_jaxpr_depend_on_nothing():
    constant = jnp.arange(3.0)
    closed = jax.make_jaxpr(lambda x: (x + constant, constant))(1.0)
    assert track_deps_jaxpr(closed.jaxpr, [frozenset({"in"})]) == [frozenset({"in"}), frozenset()]

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""A scan that is taken apart gives what lax.scan gives, and loops only over what is a recursion."""

from __future__ import annotations

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose
import pytest

from numpyro.contrib.control_flow.recursion import parallel_scan

T = 6
XS = jnp.sin(jnp.arange(2.0 * T)).reshape(T, 2)

#: name -> (step, first carry, xs, whether a loop is left)
CASES = {
    "markov": (lambda c, x: (x, x - c), jnp.zeros(2), XS, False),
    "second order": (lambda c, x: ((c[1], x), c[0] * c[1] + x), (jnp.zeros(2), jnp.ones(2)), XS, False),
    "unchanged carry": (lambda c, x: (c, c * x), jnp.full(2, 3.0), XS, False),
    "constant carry": (lambda c, x: (jnp.ones(2), c * x), jnp.zeros(2), XS, False),
    "running sum": (lambda c, x: (c + x, c * x), jnp.zeros(2), XS, True),
    "smoother beside a lag": (lambda c, x: ((0.5 * c[0] + c[1], x), c[0] * x), (jnp.zeros(2),) * 2, XS, True),
    "counter": (lambda c, x: ((x, c[1] + 1), c[0] * c[1]), (jnp.zeros(2), 0), XS, True),
    "mutual": (lambda c, x: ((c[1] + x, 0.3 * c[0]), c[0]), (jnp.zeros(2), jnp.ones(2)), XS, True),
    "branch": (lambda c, x: (x, lax.cond(x[0] > 0, jnp.sum, jnp.prod, c)), jnp.ones(2), XS, True),
    "no xs": (lambda c, _: (2.0 * c, c), jnp.ones(2), None, True),
    "only outputs": (lambda c, x: (None, x**2), None, XS, False),
    "carry of a dict": (lambda c, x: ({"a": x, "b": c["a"]}, c["b"]), {"a": XS[0], "b": XS[1]}, XS, False),
}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_results_and_gradients_are_those_of_lax_scan(case, reverse):
    step, init, xs, _ = CASES[case]

    def run(scan, shift, xs):
        init_shifted = jax.tree.map(lambda c: c + shift if jnp.issubdtype(jnp.result_type(c), jnp.inexact) else c, init)
        return scan(step, init_shifted, xs, length=T, reverse=reverse)

    def objective(scan):
        def value(shift, xs):
            return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(run(scan, shift, xs)))

        return value

    @jax.jit
    def both(shift, xs):
        argnums = (0,) if xs is None else (0, 1)
        return [(run(s, shift, xs), jax.grad(objective(s), argnums)(shift, xs)) for s in (parallel_scan, lax.scan)]

    ours, reference = both(0.1, xs)
    jax.tree.map(lambda a, b: assert_allclose(a, b, rtol=1e-5, atol=1e-6), ours, reference)


@pytest.mark.parametrize("case", CASES)
def test_only_a_recursion_is_left_in_a_loop(case):
    step, init, xs, has_loop = CASES[case]
    jaxpr = jax.make_jaxpr(lambda init, xs: parallel_scan(step, init, xs, T))(init, xs)
    assert any(equation.primitive.name == "scan" for equation in jaxpr.eqns) == has_loop


def test_the_loop_computes_the_recursion_only():
    def step(c, x):
        level = 0.5 * c + x
        return level, jnp.linalg.inv(jnp.outer(level, level) + jnp.eye(2))

    jaxpr = jax.make_jaxpr(lambda init, xs: parallel_scan(step, init, xs, T))(jnp.zeros(2), XS)
    [loop] = [equation for equation in jaxpr.eqns if equation.primitive.name == "scan"]
    assert {equation.primitive.name for equation in loop.params["jaxpr"].eqns} <= {"mul", "add"}


def test_effects_in_the_body_keep_the_loop():
    def step(c, x):
        jax.debug.callback(lambda x: None, x)
        return x, c

    jaxpr = jax.make_jaxpr(lambda init, xs: parallel_scan(step, init, xs, T))(jnp.zeros(2), XS)
    assert [equation.primitive.name for equation in jaxpr.eqns] == ["scan"]


@pytest.mark.parametrize("length", [0, 1])
def test_short_scans(length):
    carry, ys = parallel_scan(lambda c, x: (x, c), jnp.zeros(2), XS[:length], length)
    assert ys.shape == (length, 2)
    assert_allclose(carry, np.zeros(2) if length == 0 else XS[0])

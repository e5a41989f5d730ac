# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Scalars that stand in vectors, and sums that are products: fewer pieces of code, the same values."""

import re
from typing import NamedTuple

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro.infer.packing import Packing, packed_cond, packed_while_loop
from numpyro.infer.sums import total, with_sums_as_products

on_cpu = pytest.mark.skipif(jax.default_backend() != "cpu", reason="about XLA's compiler for CPUs")


class Carry(NamedTuple):
    i: jax.Array
    x: jax.Array
    mean: jax.Array
    found: jax.Array
    scale: jax.Array
    key: jax.Array


def a_carry(key):
    zero = jnp.float32(0)
    return Carry(jnp.int32(0), jnp.linspace(0.0, 1.0, 5), zero, jnp.bool_(False), jnp.float32(1.5), key)


def step(c):
    x = c.x * 1.1
    return Carry(c.i + 1, x, c.mean + (x.sum() - c.mean) / (c.i + 1), x.max() > 2, c.scale * c.mean, c.key)


@pytest.mark.parametrize("key", [jax.random.PRNGKey(3), jax.random.key(3)], ids=["words", "typed"])
def test_packing_and_unpacking_are_inverse(key):
    carry = a_carry(key)
    packing = Packing(carry)
    packed = jax.jit(packing.pack)(carry)
    assert sorted(x.shape for x in packed if x.dtype in (jnp.float32, jnp.int32, bool)) == [(1,), (1,), (2,), (5,)]
    on_host = packing.pack_on_host(jax.tree.map(lambda x: x if x is key else np.asarray(x), carry))
    for way in (packed, on_host):
        for a, b in zip(packing.unpack(way), carry, strict=True):
            assert a.dtype == b.dtype and a.shape == b.shape and bool(jnp.all(a == b))


def test_scalars_with_leading_axes_stand_along_the_last_axis():
    carry = a_carry(jax.random.PRNGKey(0))
    chains = jax.tree.map(lambda x: np.stack([x, x, x]), carry)
    packed = Packing(carry).pack_on_host(chains)
    assert sorted(x.shape for x in packed) == [(3, 1), (3, 1), (3, 2), (3, 2), (3, 5)]
    for a, b in zip(Packing(carry).unpack(packed), chains, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit, lambda f: lambda c: jax.vmap(f)(stacked(c))])
def test_packed_loops_and_branches_compute_the_same(transform):
    def run(loop, cond, c):
        c = loop(lambda c: (c.i < 7) & ~c.found, step, c)
        return cond(c.mean > 3, lambda c: c._replace(mean=c.mean + c.scale), lambda c: c._replace(i=c.i - 1), c)

    carry = a_carry(jax.random.PRNGKey(0))
    expected = transform(lambda c: run(lax.while_loop, lambda p, f, g, c: lax.cond(p, f, g, c), c))(carry)
    for a, b in zip(transform(lambda c: run(packed_while_loop, packed_cond, c))(carry), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def stacked(carry):
    return jax.tree.map(lambda x: jnp.stack([x, x + x.dtype.type(1)]), carry)


@on_cpu
def test_a_packed_loop_is_fewer_pieces_of_code():
    def pieces(loop):
        program = jax.jit(lambda c: loop(lambda c: c.i < 7, step, c)).lower(a_carry(jax.random.PRNGKey(0))).compile()
        body = max(re.findall(r"\n%?[\w.]*(?:body|region)[\w.]* .*?\n}", program.as_text(), re.S), key=len)
        return body.count(" fusion(")

    assert pieces(packed_while_loop) < pieces(lax.while_loop)


# Sums


@pytest.mark.parametrize("shape", [(), (5,), (33,), (40, 3), (4096,), (5000,)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.int32])
def test_a_total_is_the_sum(shape, dtype):
    x = (100 * jax.random.normal(jax.random.key(0), shape)).astype(dtype)
    result = jax.jit(total)(x)
    assert result.dtype == dtype and result.shape == ()
    np.testing.assert_allclose(result, np.asarray(x, np.float64).sum(), rtol=1e-4, atol=1e-3)


def density(z, y):
    normalizer = jnp.sum(jnp.log1p(y**2))
    residuals = jax.jit(lambda z, y: (y - z[0]) * jnp.exp(-z[1]))(z, y)
    inner = jax.jit(lambda r: -0.5 * jnp.sum(r**2))(residuals)
    return inner - z[1] * y.size - normalizer, jnp.sum(residuals.reshape(10, -1), 0)


def test_sums_that_vary_become_products_within_calls_too():
    z, y = jnp.array([0.3, -0.2]), jax.random.normal(jax.random.key(1), (200,))
    program = jax.make_jaxpr(lambda z, y: (jax.grad(lambda z: density(z, y)[0])(z), *density(z, y)))(z, y)
    rewritten = with_sums_as_products(program, varying=1)
    evaluate = lambda program: jax.jit(jax.extend.core.jaxpr_as_fun(program))(z, y)
    for a, b in zip(evaluate(rewritten), evaluate(program), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    # What does not depend on z stays a sum, and so does that over one of two axes.
    count = lambda program: (str(program).count("reduce_sum["), str(program).count("dot_general["))
    assert count(rewritten)[0] == count(with_sums_as_products(program, varying=0))[0] - count(rewritten)[1]
    assert count(program)[1] == 0 < count(rewritten)[1] and count(rewritten)[0] >= 2
    assert count(with_sums_as_products(program, varying=0)) == count(program)


def test_rewritten_programs_can_be_transformed():
    z, y = jnp.array([0.3, -0.2]), jax.random.normal(jax.random.key(1), (200,))
    program = with_sums_as_products(jax.make_jaxpr(lambda z, y: density(z, y)[0])(z, y), varying=1)
    value = lambda z: jax.extend.core.jaxpr_as_fun(program)(z, y)[0]
    many = jnp.stack([z, 2 * z, -z])
    expected = jax.vmap(jax.grad(lambda z: density(z, y)[0]))(many)
    np.testing.assert_allclose(jax.vmap(jax.grad(value))(many), expected, rtol=1e-4, atol=1e-4)

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Densities at many values of one site: the same numbers as by ``vmap``, of less work."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro.distributions as dist
from numpyro.infer.candidates import at_candidates
from numpyro.util import inner_programs

TIMES = jnp.arange(30)
COUNTS = jnp.asarray(np.random.default_rng(0).poisson(2.0, 30))


def change_point(early, late, k):
    return dist.Poisson(jnp.where(k > TIMES, early, late)).log_prob(COUNTS).sum()


def change_of_both_parameters(early, late, k):
    is_early = TIMES < k
    return dist.Normal(jnp.where(is_early, early, late), jnp.where(is_early, late, early)).log_prob(COUNTS).sum()


def scalar_choice(early, late, k):
    return jnp.exp(jnp.where(k > 3, early, late) * TIMES).reshape(5, 6).T[1].sum()


def choice_in_three(early, late, k):
    chosen = jax.lax.select_n(
        jnp.broadcast_to(jnp.clip(k, 0, 2), (30,)), *(jnp.full(30, x) for x in (early, late, 2.0))
    )
    return jnp.log(chosen).reshape(6, 5)


def choice_against_the_number(early, late, k):
    return jnp.where(TIMES < k, early, late) ** k + jnp.sort(jnp.where(TIMES < k, late, early))


def two_choices(early, late, k):
    return jnp.where(TIMES < k, early, late) * jnp.where(TIMES[::-1] < k, late, 1.0) - k


def nothing_depends_on_it(early, late, k):
    return jnp.where(TIMES < 3, early, late)


def it_alone(early, late, k):
    return k


def choice_in_a_loop(early, late, k):
    rate = jnp.where(TIMES < k, early, late)
    total = jax.lax.fori_loop(0, 3, lambda i, x: x + jnp.sqrt(rate) * i, jnp.zeros(30))
    return jax.lax.cond(k > 4, lambda x: x, lambda x: -x, total)


def missing_numbers(early, late, k):
    return jnp.log(jnp.where(TIMES < k, -early, late)) + jnp.where(TIMES < k, jnp.inf, 0.0)


FUNCTIONS = [
    change_point,
    change_of_both_parameters,
    scalar_choice,
    choice_in_three,
    choice_against_the_number,
    two_choices,
    nothing_depends_on_it,
    it_alone,
    choice_in_a_loop,
    missing_numbers,
]


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("fn", FUNCTIONS)
def test_candidates_get_what_vmap_gives_them(fn, x64):
    with jax.enable_x64(x64):
        numbers = jnp.arange(-1, 8, dtype=jnp.int32)

        def both(early, late):
            one = lambda k: fn(early, late, k)
            return at_candidates(one)(numbers), jax.vmap(one)(numbers)

        ours, expected = jax.jit(both)(jnp.asarray(1.3), jnp.asarray(0.4))
        assert ours.dtype == expected.dtype
        np.testing.assert_allclose(ours, expected, rtol=1e-12 if x64 else 2e-6)


def size_of_logarithms(at_all, fn):
    def total(jaxpr):
        own = sum(e.outvars[0].aval.size for e in jaxpr.eqns if e.primitive.name in ("log", "log1p"))
        return own + sum(total(inner) for e in jaxpr.eqns for inner in inner_programs(e))

    def program(early, late):
        return at_all(lambda k: fn(early, late, k))(jnp.arange(100))

    return total(jax.make_jaxpr(program)(1.3, 0.4).jaxpr)


@pytest.mark.parametrize("fn", [change_point, choice_in_three])
def test_logarithms_of_what_is_chosen_are_not_taken_for_each_candidate(fn):
    assert 0 < size_of_logarithms(at_candidates, fn) <= 200
    assert size_of_logarithms(jax.vmap, fn) >= 3000


def test_functions_with_effects_are_called_for_each_candidate():
    seen = []

    def fn(k):
        jax.debug.callback(lambda k: seen.append(int(k)), k)
        return k * 2

    assert at_candidates(fn)(jnp.arange(3)).tolist() == [0, 2, 4]
    jax.effects_barrier()
    assert sorted(seen) == [0, 1, 2]

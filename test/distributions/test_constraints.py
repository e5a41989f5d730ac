# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Constraints: membership, on the host and in compiled programs, and the pytree laws.

Every constraint class in the package must have an example here: a new one fails until it is given one.
"""

from __future__ import annotations

import copy
import pickle
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro.distributions import constraints
from numpyro.distributions._pytree import DeclaredPytree
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.constraints.constraint import Dependent, dependent_property
from numpyro.distributions.constraints.elementwise import HalfLine
from numpyro.distributions.constraints.matrices import SquareMatrixConstraint

f32 = np.float32
TRIL = [[1.0, 0.0], [0.6, 0.8]]
UPPER = [[1.0, 0.6], [0.0, 0.8]]
CORR = [[1.0, 0.5], [0.5, 1.0]]
NAN, INF = np.nan, np.inf


class Case(NamedTuple):
    constraint: Constraint
    inside: Any
    outside: Any

    def values(self) -> tuple[np.ndarray, np.ndarray]:
        dtype = np.complex64 if np.iscomplexobj(self.inside) else f32
        return np.asarray(self.inside, dtype), np.asarray(self.outside, dtype)


CASES = {
    "boolean": Case(constraints.boolean, [0, 1], [2, -1, 0.5, NAN]),
    "circular": Case(constraints.circular, [-np.pi, 0.0, np.pi], [-3.2, 3.2, NAN]),
    "complex": Case(constraints.complex, [1j, 1.0 + 2j], [complex(NAN, 0), complex(0, INF)]),
    "corr_cholesky": Case(
        constraints.corr_cholesky, [TRIL, np.eye(2)], [UPPER, [[1, 0], [0.5, 0.5]], np.full((2, 2), NAN)]
    ),
    "corr_matrix": Case(
        constraints.corr_matrix, [CORR, np.eye(2)], [[[1, 2], [2, 1]], [[2, 0], [0, 2]], [[1, 0.5], [0.4, 1]]]
    ),
    "greater_than": Case(constraints.greater_than(1.0), [1.1, 5.0], [1.0, -2.0, NAN]),
    "greater_than_array": Case(constraints.greater_than(np.array([1.0, 3.0], f32)), [[2.0, 4.0]], [[0.0, 2.0]]),
    "greater_than_eq": Case(constraints.greater_than_eq(1.0), [1.0, 5.0], [0.9, NAN]),
    "half_line": Case(
        HalfLine(np.array([1.0, 1.0], f32), np.array([1.0, -1.0], f32)), [[2.0, 0.0]], [[0.0, 2.0], [1.0, 1.0]]
    ),
    "integer_greater_than": Case(constraints.integer_greater_than(2), [2, 3], [1, 2.5, INF, NAN]),
    "integer_interval": Case(constraints.integer_interval(0, 3), [0, 3], [-1, 4, 0.5, NAN]),
    "interval": Case(constraints.interval(-1.0, 1.0), [-1.0, 0.0, 1.0], [-1.1, 1.1, NAN]),
    "interval_array": Case(
        constraints.interval(np.array([0.0, 1.0], f32), 2.0), [[0.5, 1.5]], [[-0.5, 0.5], [3.0, 3.0]]
    ),
    "interval_unbounded": Case(constraints.interval(-INF, INF), [-1e30, 2.0], [NAN]),
    "l1_ball": Case(constraints.l1_ball, [[0.5, -0.5], [0.0, 0.1]], [[0.5, 0.6], [NAN, 0]]),
    "less_than": Case(constraints.less_than(1.0), [0.9, -5.0], [1.0, 2.0, NAN]),
    "less_than_eq": Case(constraints.less_than_eq(1.0), [1.0, -5.0], [1.1, NAN]),
    "lower_cholesky": Case(constraints.lower_cholesky, [TRIL, np.eye(2)], [UPPER, -np.eye(2), np.full((2, 2), NAN)]),
    "multinomial": Case(constraints.multinomial(3), [[1, 2], [0, 3]], [[1, 1], [1.5, 1.5], [-1, 4], [NAN, 3]]),
    "nonnegative": Case(constraints.nonnegative, [0.0, 2.0], [-0.1, NAN]),
    "nonnegative_integer": Case(constraints.nonnegative_integer, [0, 7], [-1, 0.5, NAN]),
    "open_interval": Case(constraints.open_interval(0.0, 1.0), [0.1, 0.9], [0.0, 1.0, NAN]),
    "ordered_vector": Case(constraints.ordered_vector, [[-1.0, 2.0], [0, 1]], [[2.0, 2.0], [2.0, 1.0], [NAN, 1.0]]),
    "positive": Case(constraints.positive, [0.1, 1e30], [0.0, -1.0, NAN]),
    "positive_definite": Case(
        constraints.positive_definite, [CORR, [[2, 1], [1, 2]]], [[[1, 2], [2, 1]], TRIL, np.full((2, 2), NAN)]
    ),
    "positive_definite_circulant_vector": Case(
        constraints.positive_definite_circulant_vector,
        [[1, 0.2, 0.2], [2, 0, 0]],
        [[1, 0.9, 0.2], [1, 1.2, 1.2], [1, -0.6, -0.6]],
    ),
    "positive_integer": Case(constraints.positive_integer, [1, 7], [0, 1.5, NAN]),
    "positive_ordered_vector": Case(
        constraints.positive_ordered_vector, [[1.0, 2.0]], [[-1.0, 2.0], [2.0, 1.0], [NAN, 1]]
    ),
    "positive_semidefinite": Case(
        constraints.positive_semidefinite, [CORR, [[1, 1], [1, 1]]], [[[1, 2], [2, 1]], TRIL]
    ),
    "real": Case(constraints.real, [0.0, -1e30], [INF, NAN]),
    "real_matrix": Case(constraints.real_matrix, [np.ones((2, 3))], [np.full((2, 3), NAN), [[1, 2, 3], [4, 5, INF]]]),
    "real_vector": Case(constraints.real_vector, [[1.0, 2.0]], [[1.0, NAN], [INF, 1.0]]),
    "scaled_unit_lower_cholesky": Case(constraints.scaled_unit_lower_cholesky, [TRIL], [UPPER]),
    "simplex": Case(constraints.simplex, [[0.25, 0.75], [0.0, 1.0]], [[0.5, 0.6], [-0.5, 1.5], [NAN, 1.0]]),
    "softplus_lower_cholesky": Case(constraints.softplus_lower_cholesky, [TRIL], [UPPER]),
    "softplus_positive": Case(constraints.softplus_positive, [0.1], [0.0, NAN]),
    "sphere": Case(constraints.sphere, [[0.6, 0.8], [0.0, -1.0]], [[0.6, 0.6], [NAN, 1.0]]),
    "unit_interval": Case(constraints.unit_interval, [0.0, 1.0], [-0.1, 1.1, NAN]),
    "zero_sum": Case(constraints.zero_sum(1), [[1.0, -1.0], [0.0, 0.0]], [[1.0, 1.0], [NAN, 1.0]]),
    "zero_sum_matrix": Case(constraints.zero_sum(2), [[[1.0, -1.0], [-1.0, 1.0]]], [[[1.0, -1.0], [1.0, -1.0]]]),
    "independent": Case(constraints.independent(constraints.positive, 1), [[1.0, 2.0]], [[1.0, -2.0]]),
    "independent_simplex": Case(
        constraints.independent(constraints.simplex, 1), [[[0.5, 0.5], [1, 0]]], [[[0.5, 0.5], [1, 1]]]
    ),
    "cat_event": Case(
        constraints.independent(constraints.cat([constraints.positive, constraints.real], -1, [1, 2]), 1),
        [[1.0, -1.0, 2.0]],
        [[-1.0, 1.0, 2.0], [1.0, NAN, 1.0]],
    ),
    "cat_of_simplexes": Case(
        constraints.cat([constraints.simplex, constraints.real], -1, [2, 1]),
        [[0.5, 0.5, 7.0]],
        [[0.5, 0.6, 7.0], [0.5, 0.5, NAN]],
    ),
}

each_case = pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])


def subclasses(cls: type) -> set[type]:
    return {cls}.union(*(subclasses(c) for c in cls.__subclasses__()))


def test_every_constraint_has_a_case():
    bases = {Constraint, SquareMatrixConstraint, Dependent, dependent_property}
    ours = {c for c in subclasses(Constraint) if c.__module__.startswith("numpyro.distributions.constraints")} - bases
    have = {type(case.constraint) for case in CASES.values()} | {
        type(case.constraint.base_constraint)
        for case in CASES.values()
        if isinstance(case.constraint, constraints.independent)
    }
    assert ours - have == set()


def test_every_public_name_is_a_constraint_or_makes_one():
    functions = {"Constraint", "dependent_property", "is_dependent"}
    for name in set(constraints.__all__) - functions:
        value = getattr(constraints, name)
        assert isinstance(value, Constraint) or issubclass(value, Constraint), name


@each_case
def test_members_are_told_from_others_on_the_host_by_numpy(case):
    inside, outside = case.values()
    for values, answer in ((inside, True), (outside, False)):
        result = case.constraint(values)
        assert isinstance(result, np.ndarray | np.generic)
        assert result.dtype == bool
        event_dim = case.constraint.event_dim
        assert result.shape == values.shape[: values.ndim - event_dim]
        assert np.all(result == answer)
        assert np.array_equal(case.constraint.check(values), result)


@each_case
def test_a_compiled_program_agrees_with_numpy(case):
    both = case.values()
    for values, result in zip(both, jax.jit(lambda *vs: tuple(case.constraint(v) for v in vs))(*both), strict=True):
        assert np.array_equal(result, case.constraint(values))


@each_case
def test_the_feasible_value_is_feasible(case):
    prototype = case.values()[0]
    feasible = case.constraint.feasible_like(prototype)
    assert isinstance(feasible, np.ndarray)
    assert feasible.shape == prototype.shape
    assert np.all(case.constraint(feasible))
    abstract = jax.ShapeDtypeStruct(prototype.shape, prototype.dtype)
    assert np.array_equal(case.constraint.feasible_like(abstract), feasible)


@each_case
def test_constraints_survive_pickling_copying_and_flattening(case):
    c = case.constraint
    leaves, treedef = jax.tree.flatten(c)
    for other in (
        pickle.loads(pickle.dumps(c)),
        copy.deepcopy(c),
        jax.tree.unflatten(treedef, leaves),
        jax.jit(lambda c: c)(c),
    ):
        assert type(other) is type(c)
        assert other == c
        assert hash(other) == hash(c)
        assert c.eq(other) is True or bool(c.eq(other))
    assert jax.tree.structure(pickle.loads(pickle.dumps(c))) == treedef
    assert hash(treedef) == hash(jax.tree.structure(copy.deepcopy(c)))


@each_case
def test_unflattening_touches_no_leaf(case):
    leaves, treedef = jax.tree.flatten(case.constraint)
    for strange in (object(), 1.5, jax.ShapeDtypeStruct((2,), f32)):
        strange_leaves = [strange] * len(leaves)
        again = jax.tree.unflatten(treedef, strange_leaves)
        assert jax.tree.leaves(again) == strange_leaves
        assert jax.tree.structure(again) == treedef
        repr(again)
        assert again == jax.tree.unflatten(treedef, strange_leaves)


@each_case
def test_numbers_are_static_and_arrays_are_leaves(case):
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(case.constraint))


@pytest.mark.parametrize("first", CASES)
def test_constraints_differ(first):
    c = CASES[first].constraint
    same = {name for name, case in CASES.items() if case.constraint == c}
    assert same == {first}


def test_equality_goes_by_value_and_by_kind():
    assert constraints.positive == constraints.greater_than(0)
    assert constraints.unit_interval == constraints.interval(0, 1)
    assert hash(constraints.unit_interval) == hash(constraints.interval(0.0, np.array(1.0)))
    assert constraints.real_vector == constraints.independent(constraints.real, 1)
    assert constraints.positive != constraints.softplus_positive
    assert constraints.interval(0, 1) != constraints.interval(0, 2)
    assert constraints.interval(0, 1) != "interval"
    assert constraints.interval(np.zeros(2), 1) == constraints.interval(np.zeros(2), 1)


def test_equality_of_traced_bounds_is_traced_unless_static():
    def program(bound):
        same, other = constraints.interval(bound, 1.0), constraints.interval(bound + 0, 1.0)
        assert same == constraints.interval(bound, 1.0)
        assert same != other
        assert same.eq(other, static=True) is False
        return same.eq(other)

    assert jax.jit(program)(0.5)


def test_programs_are_compiled_once_for_equal_static_bounds():
    traces = []

    @jax.jit
    def program(c):
        traces.append(c)
        return c.feasible_like(np.zeros(2))

    program(constraints.interval(0.0, 1.0))
    program(constraints.interval(0.0, 1.0))
    program(constraints.interval(0, 1))
    assert len(traces) == 2


# Pairs of constraints, and values of shape (2,) + event that tell them apart. The batch has the length of the stack,
# so that a misplaced dimension broadcasts silently and gives a wrong answer.
STACKS = {
    "interval": (lambda a: constraints.interval(a, a + 1), (), np.array([0.5, 2.5])),
    "interval_batch": (
        lambda a: constraints.interval(a + np.array([0, 1]), a + np.array([1.0, 9.0])),
        (2,),
        np.array([0.5, 2.5]),
    ),
    "greater_than": (constraints.greater_than, (), np.array([0.5, 2.5])),
    "less_than": (constraints.less_than, (), np.array([0.5, 2.5])),
    "integer_interval": (lambda a: constraints.integer_interval(a, a + 1), (), np.array([1, 2])),
    "integer_greater_than": (constraints.integer_greater_than, (), np.array([1, 2])),
    "half_line": (lambda a: HalfLine(a, a - 1), (), np.array([0.5, 2.5])),
    "multinomial": (constraints.multinomial, (), np.array([[0, 1], [1, 1]])),
    "independent": (
        lambda a: constraints.independent(constraints.greater_than(a), 1),
        (),
        np.array([[0.5, 2.5], [2.5, 2.5]]),
    ),
    "cat": (
        lambda a: constraints.cat([constraints.greater_than(a), constraints.real], 1, [1, 1]),
        (),
        np.array([[0.5, 2.5], [2.5, 2.5]]),
    ),
    "cat_vector": (
        lambda a: constraints.cat([constraints.multinomial(a), constraints.real], -1, [2, 1]),
        (),
        np.array([[0.0, 0.0, 2.5], [1.0, 1.0, 2.5]]),
    ),
}


@pytest.mark.parametrize("name", STACKS)
def test_stacking_aligned_leaves_stacks_the_constraint(name):
    make, _, values = STACKS[name]
    a, b = make(np.array(0.0)), make(np.array(2.0))
    rank = values.ndim
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), a.aligned(rank), b.aligned(rank))
    expected = np.stack([a(values), b(values)])
    assert not np.array_equal(expected[0], expected[1])
    both = np.stack([values, values])
    assert np.array_equal(stacked(both), expected)
    mapped = jax.jit(
        lambda c, x: (
            jax.vmap(lambda c, x: c(x))(c, x),
            jax.lax.scan(lambda _, cx: (None, cx[0](cx[1])), None, (c, x))[1],
        )
    )
    for answer in mapped(stacked, both):
        assert np.array_equal(answer, expected)
    again = jax.tree.map(lambda leaf: leaf[1], stacked)
    assert np.array_equal(again(values), expected[1])
    assert jax.tree.structure(stacked.aligned(rank + 1)) == jax.tree.structure(stacked)
    assert [x.shape for x in jax.tree.leaves(stacked.aligned(rank + 1))] == [x.shape for x in jax.tree.leaves(stacked)]


def test_alignment_inserts_dimensions_on_the_left_and_broadcasts_nothing():
    aligned = constraints.interval(np.zeros(3), np.float32(1.0)).aligned(3)
    assert aligned.lower_bound.shape == (1, 1, 3)
    assert aligned.upper_bound.shape == (1, 1, 1)
    assert constraints.multinomial(np.array([3, 4])).aligned(3).upper_bound.shape == (1, 2)
    abstract = constraints.greater_than(jax.ShapeDtypeStruct((3,), f32)).aligned(2)
    assert abstract.lower_bound == jax.ShapeDtypeStruct((1, 3), f32)
    assert constraints.interval(0, 1).aligned(3) == constraints.unit_interval


class Box(Constraint):
    """Written by a user: an undeclared NumPy array is static, an undeclared JAX array a leaf."""

    event_dim = 1

    def __init__(self, corner, table):
        self.corner = corner
        self.table = table

    def __call__(self, x):
        return jnp.all(jnp.abs(x) <= self.corner, axis=-1)


def test_a_class_written_by_a_user_is_a_pytree():
    c = Box(jnp.ones(2), np.arange(3))
    assert isinstance(c, DeclaredPytree)
    assert len(jax.tree.leaves(c)) == 1
    assert jax.tree.structure(c) == jax.tree.structure(Box(jnp.zeros(2), np.arange(3)))
    assert jax.tree.structure(c) != jax.tree.structure(Box(jnp.ones(2), np.arange(1, 4)))
    assert jax.jit(lambda c, x: c(x))(c, jnp.array([0.5, 2.0])).item() is False


def test_dependent_says_only_what_it_was_told():
    assert constraints.is_dependent(constraints.dependent)
    assert not constraints.is_dependent(constraints.real)
    with pytest.raises(NotImplementedError, match="event_dim"):
        _ = constraints.dependent.event_dim
    c = constraints.dependent(is_discrete=True)(event_dim=2)
    assert (c.is_discrete, c.event_dim) == (True, 2)
    assert pickle.loads(pickle.dumps(c)) == c
    with pytest.raises(ValueError, match=r"d\.support"):
        c(np.zeros(3))
    assert jax.tree.leaves(c) == []


def test_dependent_property_is_a_property_with_attributes():
    class Example:
        high = 3.0

        @constraints.dependent_property(is_discrete=False, event_dim=1)
        def support(self):
            """Where it lives."""
            return constraints.interval(0.0, self.high)

        @constraints.dependent_property
        def bare(self):
            return constraints.real

    assert Example().support == constraints.interval(0, 3)
    assert Example().bare == constraints.real
    assert isinstance(Example.support, Constraint)
    assert (Example.support.is_discrete, Example.support.event_dim) == (False, 1)
    assert Example.support.__doc__ == "Where it lives."


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: constraints.independent(constraints.real, -1), "not negative"),
        (lambda: constraints.independent(3, 1), "must be a constraint"),
        (lambda: constraints.zero_sum(0), "at least 1"),
        (lambda: constraints.cat([]), "non-empty"),
        (lambda: constraints.cat([constraints.real], -1, [1, 2]), "lengths"),
        (lambda: constraints.cat([constraints.real], -1, [2])(np.zeros(3)), "size 3"),
        (lambda: constraints.cat([constraints.real], 1, [2])(np.zeros(2)), "no dimension"),
        (lambda: constraints.real_vector(np.zeros(())), "at least 1 dimensions"),
        (lambda: constraints.corr_matrix.feasible_like(np.zeros((2, 3))), "square"),
    ],
)
def test_mistakes_are_explained(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_tolerances_accept_rounding_in_single_precision():
    rng = np.random.default_rng(0)
    x = rng.gumbel(size=(20, 5000)).astype(f32)
    p = np.asarray(jax.nn.softmax(x))
    assert np.all(constraints.simplex(p))
    assert np.all(constraints.sphere(x / np.linalg.norm(x, axis=-1, keepdims=True)))
    assert np.all(constraints.zero_sum(1)(1000 * (x - x.mean(-1, keepdims=True))))
    m = rng.normal(size=(10, 30, 40)).astype(f32)
    assert np.all(constraints.positive_definite(m @ m.swapaxes(-1, -2)))

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Transforms: Jacobians against automatic differentiation in double precision, round trips, shapes, the pytree laws.

Every transform class in the package must have an example here: a new one fails until it is given one.
"""

from __future__ import annotations

from collections.abc import Callable
import copy
import pickle
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from precision import double_precision
import pytest

from numpyro.distributions import constraints, transforms as T
from numpyro.distributions._pytree import kind_of
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.transforms import Transform, biject_to
from numpyro.distributions.transforms.matrices import TriangleTransform
from numpyro.distributions.transforms.signal import AlongDimension
from numpyro.distributions.util import matrix_to_tril_vec, vec_to_tril_matrix

f32 = np.float32
RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(f32)


def positive(*shape: int) -> np.ndarray:
    return RNG.gamma(2.0, size=shape).astype(f32) + f32(0.1)


def corr(n: int, batch: int) -> np.ndarray:
    m = normal(batch, n, 2 * n)
    cov = m @ m.swapaxes(-1, -2)
    d = np.sqrt(np.diagonal(cov, axis1=-2, axis2=-1))
    return (cov / d[:, None, :] / d[:, :, None]).astype(f32)


def simplex(*shape: int) -> np.ndarray:
    p = positive(*shape)
    return p / p.sum(-1, keepdims=True)


class Case(NamedTuple):
    """A transform and arguments with one batch dimension more than it needs."""

    transform: Transform
    x: np.ndarray
    bijective: bool = True


TRIL = np.array([[1.0, 0.0], [0.5, 2.0]], f32)

CASES = {
    "abs": Case(T.AbsTransform(), normal(4), bijective=False),
    "affine": Case(T.AffineTransform(1.0, -2.0), normal(4)),
    "affine_array": Case(T.AffineTransform(normal(3), positive(3)), normal(4, 3)),
    "affine_vector": Case(T.AffineTransform(normal(3), 2.0, constraints.real_vector), normal(4, 3)),
    "affine_positive": Case(T.AffineTransform(1.0, 2.0, constraints.positive), positive(4)),
    "affine_interval": Case(T.AffineTransform(1.0, -2.0, constraints.unit_interval), np.array([0.2, 0.7], f32)),
    "cat": Case(T.CatTransform([T.ExpTransform(), T.AffineTransform(0.0, 2.0)], -1, [1, 2]), normal(4, 3)),
    "cat_independent": Case(
        T.IndependentTransform(T.CatTransform([T.ExpTransform(), T.AffineTransform(0.0, 2.0)], -1, [1, 2]), 1),
        normal(4, 3),
    ),
    "cat_event": Case(T.CatTransform([T.StickBreakingTransform(), T.ExpTransform()], -1, [2, 1]), normal(4, 3)),
    "cholesky": Case(T.CholeskyTransform(), (lambda m: m @ m.swapaxes(-1, -2))(normal(4, 3, 5))),
    "complex": Case(T.ComplexTransform(), normal(4, 2)),
    "compose": Case(T.ComposeTransform([T.AffineTransform(1.0, positive(3)), T.ExpTransform()]), normal(4, 3)),
    "compose_mixed": Case(
        T.ComposeTransform([T.ExpTransform(), T.LowerCholeskyAffine(normal(2), TRIL), T.AffineTransform(0.0, 2.0)]),
        normal(4, 2),
    ),
    "compose_nothing": Case(T.ComposeTransform([]), normal(4)),
    "compose_rank": Case(
        T.ComposeTransform([T.AffineTransform(0.0, normal(6)), T.ReshapeTransform((2, 3), (6,)), T.HaarTransform(-2)]),
        normal(4, 6),
    ),
    "corr_cholesky": Case(T.CorrCholeskyTransform(), normal(4, 6)),
    "corr_matrix_cholesky": Case(T.CorrMatrixCholeskyTransform(), corr(3, 4)),
    "dct": Case(T.DiscreteCosineTransform(), normal(4, 5)),
    "dct_smooth": Case(T.DiscreteCosineTransform(dim=-2, smooth=1.0), normal(3, 5, 2)),
    "exp": Case(T.ExpTransform(), normal(4)),
    "exp_vector": Case(T.ExpTransform(constraints.real_vector), normal(4, 2)),
    "haar": Case(T.HaarTransform(), normal(4, 7)),
    "haar_flipped": Case(T.HaarTransform(dim=-2, flip=True), normal(3, 6, 2)),
    "identity": Case(T.IdentityTransform(), normal(4)),
    "independent": Case(T.IndependentTransform(T.ExpTransform(), 1), normal(4, 3)),
    "inverse": Case(T.SoftplusTransform().inv, positive(4)),
    "l1_ball": Case(T.L1BallTransform(), normal(4, 3)),
    "lower_cholesky": Case(T.LowerCholeskyTransform(), normal(4, 6)),
    "lower_cholesky_affine": Case(T.LowerCholeskyAffine(normal(2), TRIL), normal(4, 2)),
    "ordered": Case(T.OrderedTransform(), normal(4, 3)),
    "pack_rfft_even": Case(T.PackRealFastFourierCoefficientsTransform((4,)), normal(4, 4)),
    "pack_rfft_odd": Case(T.PackRealFastFourierCoefficientsTransform((5,)), normal(4, 5)),
    "permute": Case(T.PermuteTransform(np.array([2, 0, 1])), normal(4, 3)),
    "positive_ordered": Case(T.PositiveOrderedTransform(), normal(4, 3)),
    "power": Case(T.PowerTransform(np.array([2.0, -0.5], f32)), positive(4, 2)),
    "recursive_linear": Case(T.RecursiveLinearTransform(TRIL), normal(4, 5, 2)),
    "reshape": Case(T.ReshapeTransform((2, 3), (6,)), normal(4, 6)),
    "rfft": Case(T.RealFastFourierTransform((6,)), normal(4, 6)),
    "rfft_odd": Case(T.RealFastFourierTransform((5,)), normal(4, 5)),
    "rfft_matrix": Case(T.RealFastFourierTransform((4, 3), 2), normal(2, 4, 3)),
    "scaled_unit_lower_cholesky": Case(T.ScaledUnitLowerCholeskyTransform(), normal(4, 6)),
    "sigmoid": Case(T.SigmoidTransform(), normal(4)),
    "simplex_to_ordered": Case(T.SimplexToOrderedTransform(anchor_point=np.array([1.0, 2.0], f32)), simplex(2, 4)),
    "softplus": Case(T.SoftplusTransform(), normal(4)),
    "softplus_lower_cholesky": Case(T.SoftplusLowerCholeskyTransform(), normal(4, 6)),
    "stick_breaking": Case(T.StickBreakingTransform(), normal(4, 3)),
    "unpack": Case(T.UnpackTransform(lambda x: {"a": x[0], "b": x[1:]}), normal(4, 3), bijective=False),
    "zero_sum": Case(T.ZeroSumTransform(1), normal(4, 3)),
    "zero_sum_matrix": Case(T.ZeroSumTransform(2), normal(4, 3, 2)),
}

BIJECTIONS = {
    name: Case(biject_to(constraint), normal(4, *event))
    for name, constraint, event in (
        ("to_circular", constraints.circular, ()),
        ("to_complex", constraints.complex, (2,)),
        ("to_corr_cholesky", constraints.corr_cholesky, (3,)),
        ("to_corr_matrix", constraints.corr_matrix, (3,)),
        ("to_greater_than", constraints.greater_than(2.0), ()),
        ("to_greater_than_eq", constraints.greater_than_eq(normal(4)), ()),
        ("to_independent", constraints.independent(constraints.unit_interval, 1), (3,)),
        ("to_interval", constraints.interval(-1.0, normal(4) + 5), ()),
        ("to_l1_ball", constraints.l1_ball, (3,)),
        ("to_less_than", constraints.less_than(2.0), ()),
        ("to_less_than_eq", constraints.less_than_eq(2.0), ()),
        ("to_lower_cholesky", constraints.lower_cholesky, (3,)),
        ("to_nonnegative", constraints.nonnegative, ()),
        ("to_open_interval", constraints.open_interval(0.0, 3.0), ()),
        ("to_ordered_vector", constraints.ordered_vector, (3,)),
        ("to_positive", constraints.positive, ()),
        ("to_positive_definite", constraints.positive_definite, (6,)),
        ("to_positive_ordered_vector", constraints.positive_ordered_vector, (3,)),
        ("to_positive_semidefinite", constraints.positive_semidefinite, (6,)),
        ("to_real", constraints.real, ()),
        ("to_real_matrix", constraints.real_matrix, (3, 2)),
        ("to_real_vector", constraints.real_vector, (3,)),
        ("to_scaled_unit_lower_cholesky", constraints.scaled_unit_lower_cholesky, (6,)),
        ("to_simplex", constraints.simplex, (3,)),
        ("to_softplus_lower_cholesky", constraints.softplus_lower_cholesky, (6,)),
        ("to_softplus_positive", constraints.softplus_positive, ()),
        ("to_unit_interval", constraints.unit_interval, ()),
        ("to_zero_sum", constraints.zero_sum(2), (3, 2)),
        ("to_cat", constraints.cat([constraints.positive, constraints.simplex], -1, [1, 3]), (3,)),
    )
}
ALL = CASES | BIJECTIONS


def each(cases: dict[str, Case]) -> Any:
    return pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in cases.items()])


each_case = each(ALL)
each_bijective = each({name: case for name, case in ALL.items() if case.bijective})


def subclasses(cls: type) -> set[type]:
    return {cls}.union(*(subclasses(c) for c in cls.__subclasses__()))


def test_every_transform_has_a_case():
    ours = {c for c in subclasses(Transform) if c.__module__.startswith("numpyro.distributions.transforms")}
    assert ours - {type(case.transform) for case in CASES.values()} == {Transform, TriangleTransform, AlongDimension}


def test_every_continuous_constraint_has_a_bijection_or_none_is_known():
    without = {constraints.sphere, constraints.positive_definite_circulant_vector}
    for name in constraints.__all__:
        constraint = getattr(constraints, name)
        if not isinstance(constraint, Constraint) or constraint == constraints.dependent:
            continue
        if constraint.is_discrete or constraint in without:
            with pytest.raises(NotImplementedError, match=type(constraint).__name__):
                biject_to(constraint)
        else:
            assert f"to_{name}" in BIJECTIONS


def as_coordinates(constraint: Constraint) -> tuple[Callable, Callable]:
    """Free coordinates of a set whose points hold redundant numbers: from a point, and back to the point."""
    if isinstance(constraint, constraints.independent):
        constraint = constraint.base_constraint
    kind = kind_of(constraint)
    if kind is type(constraints.simplex):
        return lambda y: y[:-1], lambda z: jnp.concatenate([z, 1 - jnp.sum(z, keepdims=True)])
    if kind in {type(constraints.corr_cholesky)}:
        return lambda y: matrix_to_tril_vec(y, -1), None
    if kind is type(constraints.corr_matrix):
        lower = lambda z: vec_to_tril_matrix(z, -1)
        return lambda y: matrix_to_tril_vec(y, -1), lambda z: lower(z) + lower(z).T + jnp.eye(lower(z).shape[-1])
    if issubclass(kind, type(constraints.lower_cholesky)):
        return matrix_to_tril_vec, None
    if kind in {type(constraints.positive_definite)}:
        lower = lambda z: vec_to_tril_matrix(z)
        return matrix_to_tril_vec, lambda z: lower(z) + lower(z).T - jnp.diag(jnp.diag(lower(z)))
    if kind is type(constraints.complex):
        return lambda y: jnp.concatenate([y.real.ravel(), y.imag.ravel()]), None
    if isinstance(constraint, constraints.cat) and any(c == constraints.simplex for c in constraint.cseq):
        keep = np.delete(
            np.arange(sum(constraint.lengths)),
            np.cumsum(constraint.lengths)[[c == constraints.simplex for c in constraint.cseq]] - 1,
        )
        return lambda y: y[keep], None
    return jnp.ravel, None


def log_det_by_autodiff(transform: Transform, x: np.ndarray) -> np.ndarray:
    """Half the log-determinant of J^T J in double precision, for each event of ``x``."""
    from_point, _ = as_coordinates(transform.codomain)
    coordinates_of_x, to_point = as_coordinates(transform.domain)
    rank = x.ndim - transform.domain.event_dim

    def event_log_det(x: Any) -> Any:
        back = to_point if to_point is not None else lambda z: z.reshape(x.shape)
        jacobian = jax.jacfwd(lambda z: from_point(transform(back(z))))(coordinates_of_x(x))
        return 0.5 * jnp.linalg.slogdet(jacobian.T @ jacobian)[1]

    function = event_log_det
    for _ in range(rank):
        function = jax.vmap(function)
    return function(x)


def doubled(tree: Any) -> Any:
    as_double = lambda v: v.astype(np.float64) if getattr(v, "dtype", None) == f32 else v
    return jax.tree.map(as_double, tree)


BATCHED = {"affine_array", "cat", "power", "simplex_to_ordered", "compose", "to_greater_than_eq", "to_interval"}


@each({name: case for name, case in ALL.items() if case.bijective and name not in BATCHED})
def test_log_det_jacobian_agrees_with_autodiff(case):
    t, x = case.transform, case.x
    single = jax.jit(lambda t, x: t.log_abs_det_jacobian(x, t(x)))(t, x)
    assert single.dtype == f32
    assert single.shape == x.shape[: x.ndim - t.domain.event_dim]
    with double_precision():
        exact = jax.jit(lambda t, x: log_det_by_autodiff(t, x))(doubled(t), x.astype(np.float64))
    if isinstance(t, T.RealFastFourierTransform):
        # The half spectrum repeats some numbers; only the ones that are free count.
        exact = np.asarray(exact) - repeated_columns(t)
    np.testing.assert_allclose(single, exact, rtol=2e-5, atol=2e-5)


def repeated_columns(t: T.RealFastFourierTransform) -> Any:
    """log sqrt(2) for each real number that stands twice in the half spectrum of an array of two dimensions."""
    if t.transform_ndims == 1:
        return 0.0
    rows, columns = t.transform_shape
    mirrored_columns = 1 + (columns % 2 == 0)
    own_mirrors = 1 + (rows % 2 == 0)
    return mirrored_columns * (rows - own_mirrors) * np.log(2.0) / 2


@each({name: case for name, case in ALL.items() if name in BATCHED - {"cat"}})
def test_log_det_jacobian_of_batched_parameters_agrees_with_autodiff(case):
    t, x = case.transform, case.x
    rank = x.ndim - t.domain.event_dim
    batch = x.shape[:rank]
    aligned = jax.tree.map(lambda v: np.broadcast_to(v, batch + np.shape(v)[rank:]), t.aligned(x.ndim))
    single = jax.jit(lambda t, x: t.log_abs_det_jacobian(x, t(x)))(t, x)
    with double_precision():
        function = lambda t, x: log_det_by_autodiff(t, x)
        for _ in batch:
            function = jax.vmap(function)
        exact = jax.jit(function)(doubled(aligned), x.astype(np.float64))
    np.testing.assert_allclose(single, exact, rtol=2e-5, atol=2e-5)


@each_bijective
def test_round_trips_domain_and_codomain(case):
    t, x = case.transform, case.x

    @jax.jit
    def program(t, x):
        y, intermediates = t.call_with_intermediates(x)
        back = t.inv(y)
        log_dets = t.log_abs_det_jacobian(x, y), t.log_abs_det_jacobian(x, y, intermediates)
        return y, back, t(back), log_dets, t.inv.log_abs_det_jacobian(y, back), t.domain(x), t.codomain(y)

    y, back, again, log_dets, inverse_log_det, in_domain, in_codomain = program(t, x)
    np.testing.assert_allclose(back, x, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(again, y, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(*log_dets, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(inverse_log_det, -log_dets[0], rtol=1e-4, atol=1e-4)
    assert np.all(in_domain) and np.all(in_codomain)
    assert t.forward_shape(x.shape) == y.shape
    assert t.inverse_shape(y.shape) == x.shape
    assert t.inv.forward_shape(y.shape) == x.shape
    assert (t.inv.domain, t.inv.codomain, t.inv.inv) == (t.codomain, t.domain, t)


@each(BIJECTIONS)
def test_bijections_are_finite_far_out(case):
    """Log-determinants and their gradients even where exp overflows in single precision, beyond 88."""
    t = case.transform
    far = np.sign(case.x).astype(f32)
    # The log-determinant onto a positive definite matrix needs its Cholesky factor, which must not overflow.
    very_far = 80 if T.CholeskyTransform().inv in getattr(t, "parts", ()) else 200

    @jax.jit
    def program(x):
        log_det, gradient = jax.value_and_grad(lambda x: jnp.sum(t.log_abs_det_jacobian(x, t(x))))(x)
        y, slope = t(x), jax.grad(lambda x: jnp.sum(jnp.abs(t(x))))(x)
        back_slope = 0.0 if jnp.iscomplexobj(y) else jax.grad(lambda y: jnp.sum(jnp.abs(t.inv(y))))(t(case.x))
        return y, log_det, gradient, slope[0], back_slope

    y, log_det, gradient, slope, back_slope = program(np.stack([30 * far, very_far * far]))
    assert not np.any(np.isnan(y[0]))
    for finite in (log_det, gradient, slope, back_slope):
        assert np.all(np.isfinite(finite))


@each_bijective
def test_single_precision_stays_single_where_double_is_enabled(case):
    t = case.transform
    with double_precision():
        results = jax.eval_shape(lambda x: (t(x), t.log_abs_det_jacobian(x, t(x)), t.inv(t(x))), case.x)
    assert {result.dtype for result in results} <= {np.dtype(f32), np.dtype(np.complex64)}


@each_case
def test_transforms_survive_pickling_copying_and_flattening(case):
    t = case.transform
    leaves, treedef = jax.tree.flatten(t)
    others = [copy.deepcopy(t), jax.tree.unflatten(treedef, leaves)]
    if not isinstance(t, T.UnpackTransform):
        others.append(pickle.loads(pickle.dumps(t)))
    for other in others:
        assert type(other) is type(t)
        assert other == t
        assert hash(other) == hash(t)
        assert (other.domain, other.codomain) == (t.domain, t.codomain)
    assert jax.tree.structure(copy.deepcopy(t)) == treedef
    assert jax.tree.structure(jax.eval_shape(lambda t: t, t)) == treedef
    for strange in (object(), None, 1, jax.ShapeDtypeStruct((2,), f32)):
        again = jax.tree.unflatten(treedef, [strange] * len(leaves))
        assert again == jax.tree.unflatten(treedef, [strange] * len(leaves))
        repr(again)


@pytest.mark.parametrize("first", CASES)
def test_transforms_differ(first):
    assert {name for name, case in CASES.items() if case.transform == CASES[first].transform} == {first}


@each({name: case for name, case in ALL.items() if case.transform.domain.event_dim == 0})
def test_sign_is_that_of_the_derivative(case):
    if isinstance(case.transform, T.AbsTransform | T.InverseTransform | T.CatTransform):
        return
    x = case.x
    slope = jax.jit(jax.grad(lambda x: jnp.sum(case.transform(x))))(x)
    assert np.all(np.sign(slope) == case.transform.sign)


def perturbed(leaf: Any) -> Any:
    leaf = np.asarray(leaf)
    return leaf[..., ::-1].copy() if leaf.dtype.kind == "i" and leaf.ndim else leaf + np.asarray(0.5, leaf.dtype)


WITH_PARAMETERS = {name: case for name, case in ALL.items() if jax.tree.leaves(case.transform)}


@each(WITH_PARAMETERS)
def test_stacking_aligned_leaves_stacks_the_transform(case):
    """Also where the stack is as long as a batch dimension, so that a misplaced axis would broadcast silently."""
    a, x = case.transform, case.x
    b = jax.tree.map(perturbed, a)
    length = x.shape[0]
    members = [t.aligned(x.ndim) for t in (a, b) * length][:length]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *members)

    @jax.jit
    def program(stacked, members, x):
        evaluate = lambda t, x: (t(x), t.log_abs_det_jacobian(x, t(x)), t.inv(t(x)))
        expected = jax.tree.map(lambda *ys: jnp.stack(ys), *(evaluate(t, x) for t in members))
        xs = jnp.stack([x] * length)
        realigned = stacked.aligned(x.ndim + 1)
        scanned = jax.lax.scan(lambda _, tx: (None, evaluate(*tx)), None, (stacked, xs))[1]
        return expected, evaluate(stacked, xs), evaluate(realigned, xs), jax.vmap(evaluate)(stacked, xs), scanned

    expected, *answers = program(stacked, members, x)
    assert not np.allclose(expected[0][0], expected[0][1])
    for answer in answers:
        for ours, theirs in zip(answer, expected, strict=True):
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@each(WITH_PARAMETERS)
def test_alignment_changes_nothing_else(case):
    t, x = case.transform, case.x
    aligned = t.aligned(x.ndim)
    assert jax.tree.structure(aligned) == jax.tree.structure(t)
    for before, after in zip(jax.tree.leaves(t), jax.tree.leaves(aligned), strict=True):
        assert np.size(before) == np.size(after)
    wider = np.stack([x, x])

    @jax.jit
    def program(x, wider):
        return t(x), aligned(x), t(wider), t.aligned(wider.ndim)(wider)

    y, y_aligned, y_wider, y_wider_aligned = program(x, wider)
    np.testing.assert_allclose(y_aligned, y, rtol=1e-6)
    np.testing.assert_allclose(y_wider_aligned, y_wider, rtol=1e-6)


def test_alignment_counts_the_dimensions_of_each_part():
    t = T.ComposeTransform(
        [T.AffineTransform(0.0, np.ones(3)), T.StickBreakingTransform(), T.StickBreakingTransform().inv]
    )
    assert [np.shape(leaf) for leaf in jax.tree.leaves(t.aligned(2))] == [(1, 1), (1, 3)]
    to_matrix = T.ComposeTransform([T.ReshapeTransform((2, 3), (6,)), T.AffineTransform(np.ones(3), 2.0)])
    assert [np.shape(leaf) for leaf in jax.tree.leaves(to_matrix.aligned(2))] == [(1, 1, 3), (1, 1, 1)]
    inverse = T.ComposeTransform([T.AffineTransform(np.ones(6), 2.0), T.ReshapeTransform((2, 3), (6,))]).inv
    assert [np.shape(leaf) for leaf in jax.tree.leaves(inverse.aligned(3))] == [(1, 6), (1, 1)]
    affine = T.LowerCholeskyAffine(jax.ShapeDtypeStruct((2,), f32), jax.ShapeDtypeStruct((2, 2), f32)).aligned(3)
    assert (affine.loc.shape, affine.scale_tril.shape) == ((1, 1, 2), (1, 1, 2, 2))
    vector = T.AffineTransform(1.0, np.ones(3), constraints.real_vector).aligned(2)
    assert (vector.loc.shape, vector.scale.shape) == ((1, 1), (1, 3))


class Scale(Transform):
    """Written by a user in the documented style, with undeclared attributes."""

    domain = constraints.real_vector
    codomain = constraints.real_vector

    def __init__(self, by, name):
        self.by = by
        self.name = name

    def __call__(self, x):
        return x * self.by

    def _inverse(self, y):
        return y / self.by

    def log_abs_det_jacobian(self, x, y, intermediates=None):
        return jnp.sum(jnp.log(jnp.abs(jnp.broadcast_to(self.by, x.shape))), -1)


@pytest.mark.parametrize("by", [np.array(2.0, f32), np.array([2.0, 3.0], f32)])
def test_a_class_written_by_a_user_obeys_the_laws(by):
    x = normal(2, 2)
    a, b = Scale(by, "a"), Scale(by + 1, "a")
    assert len(jax.tree.leaves(a)) == 1
    assert jax.tree.structure(a) != jax.tree.structure(Scale(by, "b"))
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), a.aligned(2), b.aligned(2))
    np.testing.assert_allclose(stacked(np.stack([x, x])), np.stack([a(x), b(x)]))
    np.testing.assert_allclose(a.inv(a(x)), x, rtol=1e-6)
    assert a != Scale(by, "b")
    with pytest.raises(NotImplementedError, match="Scale"):
        _ = a.sign


def test_event_dims_of_composed_transforms():
    exp, chol, reshape = T.ExpTransform(), T.LowerCholeskyTransform(), T.ReshapeTransform((2, 3), (6,))
    for parts, domain, codomain in (
        ([exp], 0, 0),
        ([exp, T.StickBreakingTransform()], 1, 1),
        ([exp, chol], 1, 2),
        ([chol, exp], 1, 2),
        ([exp, reshape, exp], 1, 2),
        ([T.IndependentTransform(exp, 2), reshape], 2, 3),
        ([reshape, T.IndependentTransform(exp, 3)], 2, 3),
        ([reshape, reshape.inv], 1, 1),
        ([reshape.inv, reshape], 2, 2),
        ([T.ComplexTransform()], 1, 0),
        ([T.ComplexTransform().inv, exp], 0, 1),
    ):
        t = T.ComposeTransform(parts)
        assert (t.domain.event_dim, t.codomain.event_dim) == (domain, codomain)


def test_images_of_domains():
    c = constraints
    for transform, codomain in (
        (T.AffineTransform(1.0, 2.0, c.positive), c.greater_than(1.0)),
        (T.AffineTransform(1.0, -2.0, c.positive), c.less_than(1.0)),
        (T.AffineTransform(1.0, -2.0, c.nonnegative), c.less_than_eq(1.0)),
        (T.AffineTransform(1.0, -2.0, c.less_than(3.0)), c.greater_than(-5.0)),
        (T.AffineTransform(1.0, -2.0, c.unit_interval), c.interval(-1.0, 1.0)),
        (T.AffineTransform(1.0, 2.0, c.open_interval(0.0, 1.0)), c.open_interval(1.0, 3.0)),
        (T.AffineTransform(1.0, 2.0, c.independent(c.positive, 1)), c.independent(c.greater_than(1.0), 1)),
        (T.ExpTransform(), c.positive),
        (T.ExpTransform(c.real_vector), c.independent(c.positive, 1)),
        (T.ExpTransform(c.less_than(0.0)), c.open_interval(0.0, 1.0)),
        (T.ExpTransform(c.nonnegative), c.greater_than_eq(1.0)),
    ):
        assert transform.codomain == codomain, transform
    with pytest.raises(NotImplementedError, match="Simplex"):
        _ = T.AffineTransform(0.0, 2.0, c.simplex).codomain


@pytest.mark.parametrize("scale", [2.0, -2.0])
def test_the_image_of_a_half_line_is_right_when_the_sign_is_traced(scale):
    @jax.jit
    def program(scale, x):
        codomain = T.AffineTransform(1.0, scale, constraints.positive).codomain
        return codomain(1 + scale * x), codomain(1 - scale * x), biject_to(codomain)(x)

    inside, outside, y = program(scale, np.array([0.5, 3.0], f32))
    assert np.all(inside) and not np.any(outside)
    assert np.all((y - 1) * scale > 0)


def test_bijections_can_be_registered():
    class Special(Constraint):
        pass

    with pytest.raises(NotImplementedError, match="Special"):
        biject_to(Special())
    biject_to.register(Special, lambda c: T.IdentityTransform())
    assert biject_to(Special()) == T.IdentityTransform()

    class Other(Constraint):
        pass

    @biject_to.register(Other())
    def factory(constraint):
        return T.ExpTransform()

    assert biject_to(Other()) == T.ExpTransform()
    assert factory(None) == T.ExpTransform()
    with pytest.raises(TypeError, match="constraint"):
        biject_to.register(3, lambda c: None)


def test_zero_goes_to_the_middle():
    c, zero = constraints, np.zeros(3, f32)
    middles = jax.jit(
        lambda: [biject_to(s)(zero) for s in (c.simplex, c.corr_matrix, c.positive_definite, c.circular)]
    )()
    for middle, expected in zip(middles, (np.full(4, 0.25), np.eye(3), np.eye(2), zero), strict=True):
        np.testing.assert_allclose(middle, expected, rtol=1e-6, atol=1e-6)


def test_haar_and_cosine_transforms_are_orthonormal():
    transforms = (T.HaarTransform(), T.HaarTransform(flip=True), T.DiscreteCosineTransform())
    matrices = jax.jit(lambda: [t(np.eye(n, dtype=f32)) for t in transforms for n in (1, 2, 5, 8)])()
    for matrix in map(np.asarray, matrices):
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(len(matrix)), atol=1e-5)


def test_smooth_cosine_transform_whitens_brownian_motion():
    n = 64
    matrix = np.asarray(jax.vmap(T.DiscreteCosineTransform(smooth=1.0))(np.eye(n, dtype=f32))).T
    covariance = np.minimum.outer(np.arange(1, n + 1), np.arange(1, n + 1))
    variances = np.diag(matrix @ covariance @ matrix.T)[1:]
    assert variances.max() / variances.min() < 4 < np.diag(covariance)[-1] / 4


def test_fourier_transforms_agree_with_numpy():
    x = normal(3, 4, 5)
    np.testing.assert_allclose(T.RealFastFourierTransform((4, 5), 2)(x), np.fft.rfft2(x), rtol=1e-4, atol=1e-4)
    t = T.RealFastFourierTransform()
    np.testing.assert_allclose(t.inv(t(normal(4))).shape, (4,))


def test_zero_sum_is_an_isometry_that_extends_and_reverts():
    t, x = T.ZeroSumTransform(2), normal(3, 2)
    np.testing.assert_allclose(np.linalg.norm(t(x)), np.linalg.norm(x), rtol=1e-5)
    np.testing.assert_allclose(t.extend_axis_rev(t.extend_axis(x, 0), 0), x, rtol=1e-5, atol=1e-6)


def test_recursive_linear_follows_the_recursion():
    x, y = normal(4, 2), np.zeros(2)
    path = np.asarray(T.RecursiveLinearTransform(TRIL)(x))
    for innovation, state in zip(x, path, strict=True):
        y = TRIL @ y + innovation
        np.testing.assert_allclose(state, y, rtol=1e-5, atol=1e-6)


def test_unpack_maps_over_batches_and_packs_single_events():
    t = T.UnpackTransform(lambda x: (x[0], x[1:]), lambda y: jnp.concatenate([y[0][None], y[1]]))
    x = normal(5, 4, 3)
    first, rest = t(x)
    assert (first.shape, rest.shape) == ((5, 4), (5, 4, 2))
    np.testing.assert_array_equal(t.inv(t(x[0, 0])), x[0, 0])
    assert t.log_abs_det_jacobian(x, t(x)).shape == (5, 4)
    with pytest.raises(NotImplementedError, match="pack_fn"):
        T.UnpackTransform(lambda x: x).inv(x)


def test_the_inverse_of_abs_warns():
    with pytest.warns(UserWarning, match="not a bijective"):
        assert T.AbsTransform().inv(2.0) == 2.0
    with pytest.raises(NotImplementedError, match="AbsTransform"):
        T.AbsTransform().log_abs_det_jacobian(1.0, 1.0)


def test_cat_of_shape_changing_transforms_counts_both_lengths():
    t = BIJECTIONS["to_cat"].transform
    assert t.length == 3
    assert t.codomain.lengths == (1, 3)
    assert t(np.zeros(3)).shape == (4,)


def test_cat_along_a_positive_dimension_keeps_it_when_stacked():
    t = T.CatTransform([T.AffineTransform(1.0, 2.0), T.ExpTransform()], 0, [1, 1])
    x = normal(2, 3)
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), t.aligned(2), t.aligned(2))
    np.testing.assert_allclose(stacked(np.stack([x, x])), np.stack([t(x), t(x)]), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: T.ComposeTransform([3]), "must be transforms"),
        (lambda: T.IndependentTransform(3, 1), "must be a transform"),
        (lambda: T.IndependentTransform(T.ExpTransform(), -1), "not negative"),
        (lambda: T.IndependentTransform(T.ExpTransform(), 1).log_abs_det_jacobian(np.float32(1), 1), "at least 1 dim"),
        (lambda: T.LowerCholeskyAffine(np.zeros(2), np.zeros(2)), "square matrix"),
        (lambda: T.ReshapeTransform((2, 2), (3,)), "4 elements"),
        (lambda: T.ReshapeTransform((2, 3), (6,))(np.zeros(5)), r"\(6,\)"),
        (lambda: T.ComplexTransform()(np.zeros(3)), "size 2"),
        (lambda: T.LowerCholeskyTransform()(np.zeros(4)), "triangle"),
        (lambda: T.LowerCholeskyTransform().inverse_shape((2, 3)), "square"),
        (lambda: T.HaarTransform(dim=1), "negative"),
        (lambda: T.RealFastFourierTransform((3,), 2), "transform_ndims"),
        (lambda: T.PackRealFastFourierCoefficientsTransform().inverse_shape((3,)), "transform_shape"),
        (lambda: T.PackRealFastFourierCoefficientsTransform((4,))(np.zeros(5)), r"\(5,\)"),
        (lambda: T.CatTransform([]), "non-empty"),
        (lambda: T.CatTransform([T.ExpTransform()], -1, [1, 2]), "lengths"),
        (lambda: T.CatTransform([T.ExpTransform()], -1, [2])(np.zeros(3)), "cannot be cut"),
        (lambda: T.StickBreakingTransform().forward_shape(()), "no dimension"),
        (lambda: T.ZeroSumTransform(2).forward_shape((3,)), "at least 2"),
    ],
)
def test_mistakes_are_explained(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()

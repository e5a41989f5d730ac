# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Numerical helpers, against NumPy, SciPy and mpmath."""

from __future__ import annotations

import copy
import math
import warnings

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
from precision import double_precision
import pytest
import scipy.special
import scipy.stats

from numpyro.distributions import constraints, util

f32 = np.float32
RNG = np.random.default_rng(0)


def triangles(*batch: int, n: int = 3) -> np.ndarray:
    tril = np.tril(RNG.normal(size=(*batch, n, n)))
    index = np.arange(n)
    tril[..., index, index] = 1 + np.abs(tril[..., index, index])
    return tril.astype(f32)


# Shapes and masks.


def test_promote_shapes_prepends_dimensions():
    x, y = np.ones(3), np.ones((2, 1))
    assert [v.shape for v in util.promote_shapes(x, y)] == [(1, 3), (2, 1)]
    assert util.promote_shapes(1.0, 2.0) == [1.0, 2.0]
    assert util.promote_shapes(x)[0] is x
    assert [v.shape for v in util.promote_shapes(1.0, x, shape=(4, 1, 1))] == [(1, 1, 1), (1, 1, 3)]
    assert util.promote_shapes(1.0, x, shape=(4, 1, 1), return_shapes=True) == [(1, 1, 1), (1, 1, 3)]
    with pytest.raises(ValueError, match="broadcast"):
        util.promote_shapes(np.ones(3), np.ones(2))


@pytest.mark.parametrize(("dim", "shape"), [(0, (2, 3, 4)), (1, (2, 3)), (3, ()), (-1, (2, 3, 4))])
def test_sum_rightmost(dim, shape):
    x = np.ones((2, 3, 4))
    assert util.sum_rightmost(x, dim).shape == shape
    assert util.sum_rightmost(jnp.asarray(x), dim).sum() == 24


def test_scale_and_mask():
    x = np.array([1.0, np.nan, 3.0], f32)
    mask = np.array([True, False, True])
    assert util.scale_and_mask(x) is x
    assert util.scale_and_mask(x, mask=True, scale=1.0) is x
    np.testing.assert_array_equal(util.scale_and_mask(x, 2.0, mask), [2, 0, 6])
    np.testing.assert_array_equal(util.scale_and_mask(x, mask=False), [0, 0, 0])
    gradient = jax.grad(lambda v: util.scale_and_mask(jnp.log(v), np.array(3.0, f32), mask).sum())(
        np.array([1.0, 2.0, 4.0], f32)
    )
    np.testing.assert_allclose(gradient, [3, 0, 0.75])


def test_periodic_repeat():
    x = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(util.periodic_repeat(x, 5, 0), x[[0, 1, 0, 1, 0]])
    np.testing.assert_array_equal(util.periodic_repeat(x, 2, -1), x[:, :2])


def test_identically_zero_and_one_are_about_numbers():
    assert all(map(util.is_identically_one, (1, 1.0, True)))
    assert all(map(util.is_identically_zero, (0, 0.0, False)))
    for value in (2, None, np.ones(2), np.zeros(2), jnp.ones(()), jax.ShapeDtypeStruct((), f32)):
        assert not util.is_identically_one(value)
        assert not util.is_identically_zero(value)


def test_prng_keys_are_recognised():
    typed, raw = jax.random.key(0), jax.random.PRNGKey(0)
    assert util.is_prng_key(typed) and util.is_prng_key(raw)
    for other in (jax.random.split(typed, 3), jax.random.split(raw, 3), np.zeros(2), 3, None, "key"):
        assert not util.is_prng_key(other)
    seen = []
    jax.jit(lambda *keys: seen.extend(map(util.is_prng_key, keys)))(typed, raw)
    assert seen == [True, True]


def test_assert_one_of_names_what_was_given():
    util.assert_one_of(a=0, b=None)
    with pytest.raises(ValueError, match=r"'a', 'b'.*\['a', 'b'\]"):
        util.assert_one_of(a=1, b=2)
    with pytest.raises(ValueError, match=r"\[\]"):
        util.assert_one_of(a=None, b=None)


def test_array_equiv():
    assert util.array_equiv(np.ones(3), 1.0) is True
    assert util.array_equiv(np.ones(3), jnp.ones(3), static=True) is True
    assert util.array_equiv(np.ones(3), jnp.zeros(3), static=True) is False
    assert util.array_equiv(jnp.ones(3), np.ones(2)) is False
    assert util.array_equiv(jnp.ones(3), np.zeros(3)).item() is False
    sentinel = object()
    assert util.array_equiv(sentinel, sentinel) is True
    assert util.array_equiv(sentinel, 1.0) is False


# Lazy properties and validation.


class Lazy:
    def __init__(self, x):
        self.x = x
        self.count = 0

    @util.lazy_property
    def double(self):
        """Twice."""
        self.count += 1
        return 2 * self.x


def test_lazy_property_computes_once():
    lazy = Lazy(jnp.ones(2))
    assert lazy.double is lazy.double
    assert lazy.count == 1
    assert set(vars(lazy)) == {"x", "count", "_lazy_cache"}
    assert isinstance(Lazy.double, util.lazy_property)
    assert Lazy.double.__doc__ == "Twice."
    assert Lazy.double(lazy).tolist() == [2, 2]


def test_lazy_property_leaks_no_tracer():
    lazy = Lazy(jnp.ones(2))

    @jax.jit
    def inside(y):
        assert lazy.double is lazy.double
        return y + lazy.double

    np.testing.assert_array_equal(inside(1.0), [3, 3])
    assert lazy.count == 1
    np.testing.assert_array_equal(lazy.double, [2, 2])
    assert lazy.count == 2
    np.testing.assert_array_equal(jax.jit(lambda y: y * lazy.double)(2.0), [4, 4])
    assert lazy.count == 2, "a concrete value may be used in every trace"
    np.testing.assert_array_equal(jax.grad(lambda x: Lazy(x).double.sum())(np.ones(2)), [2, 2])

    held = []

    def outer(x):
        held.append(Lazy(x))
        first = held[0].double
        # The inner trace may use the outer value or compute its own, but the outer one must not see the inner.
        inner = jax.vmap(lambda y: y * held[0].double)(np.arange(3.0))
        return first + held[0].double + inner.sum(0)

    np.testing.assert_array_equal(jax.jit(outer)(np.ones(2)), [10, 10])


def test_a_copy_with_other_attributes_computes_anew():
    lazy = Lazy(np.ones(2))
    assert lazy.double.tolist() == [2, 2]
    other = copy.copy(lazy)
    other.x = np.zeros(2)
    assert other.double.tolist() == [0, 0]
    assert lazy.double.tolist() == [2, 2]


class Checked:
    support = constraints.positive

    def __init__(self, validate):
        self._validate_args = validate

    @util.validate_sample
    def log_prob(self, value):
        return -jnp.asarray(value)


def test_validate_sample_warns_at_the_users_line_and_masks():
    with pytest.warns(UserWarning, match="some values lie outside the support") as record:
        log_prob = Checked(True).log_prob(np.array([1.0, -1.0]))
    assert record[0].filename == __file__
    assert log_prob.tolist() == [-1.0, -math.inf]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Checked(True).log_prob(np.array([1.0, 2.0])).tolist() == [-1.0, -2.0]
        assert Checked(False).log_prob(np.array([-1.0])).tolist() == [1.0]
        assert jax.jit(Checked(True).log_prob)(np.array([-1.0])).shape == (1,)


# Matrices.


@pytest.mark.parametrize("diagonal", [0, -1, -2])
def test_triangles_to_vectors_and_back(diagonal):
    x = RNG.normal(size=(2, 4, 4)).astype(f32)
    vector = util.matrix_to_tril_vec(x, diagonal)
    np.testing.assert_array_equal(vector, x[(..., *np.tril_indices(4, diagonal))])
    np.testing.assert_array_equal(util.vec_to_tril_matrix(vector, diagonal), np.tril(x, diagonal))


def test_vectors_that_fill_no_triangle_are_refused():
    with pytest.raises(ValueError, match="triangle"):
        util.vec_to_tril_matrix(np.zeros(4))
    with pytest.raises(ValueError, match="positive"):
        util.vec_to_tril_matrix(np.zeros(3), 1)


def test_add_diag_broadcasts():
    np.testing.assert_array_equal(util.add_diag(np.zeros((2, 2)), 1.0), np.eye(2))
    result = util.add_diag(np.ones((3, 2, 2)), np.arange(3.0)[:, None])
    np.testing.assert_array_equal(result, np.ones((3, 2, 2)) + np.arange(3.0)[:, None, None] * np.eye(2))


def test_cholesky_of_inverse():
    L = triangles(2)
    P = L @ L.swapaxes(-1, -2)
    np.testing.assert_allclose(util.cholesky_of_inverse(P), np.linalg.cholesky(np.linalg.inv(P)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("coef", [1, 0.7, -0.05])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_cholesky_update(coef, batch):
    L, x = triangles(*batch), RNG.normal(size=(2, 3)).astype(f32)
    expected = np.linalg.cholesky(L @ L.swapaxes(-1, -2) + coef * x[..., :, None] * x[..., None, :])
    np.testing.assert_allclose(jax.jit(util.cholesky_update)(L, x, coef), expected, rtol=1e-4, atol=1e-5)


def test_cholesky_update_by_the_zero_vector_changes_nothing():
    L = triangles()
    value, gradient = jax.jit(jax.value_and_grad(lambda x: util.cholesky_update(L, x).sum()))(np.zeros(3, f32))
    np.testing.assert_allclose(value, L.sum(), rtol=1e-6)
    np.testing.assert_array_equal(gradient, 0)


def test_tri_logabsdet():
    L = triangles(2) * np.array([1, -1, 1], f32)
    np.testing.assert_allclose(util.tri_logabsdet(L), np.linalg.slogdet(L)[1], rtol=1e-5)


def test_signed_stick_breaking_gives_partial_correlations():
    t = RNG.uniform(-0.9, 0.9, size=(2, 6)).astype(f32)
    L = np.asarray(util.signed_stick_breaking_tril(t))
    assert np.all(constraints.corr_cholesky(L))
    R = L @ L.swapaxes(-1, -2)
    np.testing.assert_allclose(R[:, 1:, 0], t[:, [0, 1, 3]], rtol=1e-5)
    partial = (R[:, 2, 1] - R[:, 1, 0] * R[:, 2, 0]) / np.sqrt((1 - R[:, 1, 0] ** 2) * (1 - R[:, 2, 0] ** 2))
    np.testing.assert_allclose(partial, t[:, 2], rtol=1e-4)


# Stable arithmetic.


def test_clamp_probs():
    for dtype in (f32, jnp.bfloat16):
        clamped = util.clamp_probs(jnp.array([0.0, 0.3, 1.0], dtype))
        assert clamped.dtype == dtype
        assert 0 < clamped[0] and clamped[2] < 1
        assert clamped[1] == jnp.array(0.3, dtype)


def test_binary_cross_entropy_with_logits():
    x, y = np.array([-200.0, -1.0, 0.0, 3.0, 200.0], f32), np.array([0.0, 1.0, 0.5, 1.0, 1.0], f32)
    p = scipy.special.log_expit(x.astype(float)), scipy.special.log_expit(-x.astype(float))
    np.testing.assert_allclose(
        util.binary_cross_entropy_with_logits(x, y), -(y * p[0] + (1 - y) * p[1]), rtol=1e-6, atol=1e-30
    )


def test_log1mexp_and_its_gradient_are_accurate():
    x = np.array([-1e-30, -1e-5, -0.1, -0.7, -5.0, -80.0, -np.inf], f32)
    with mpmath.workdps(60):
        exact = [float(mpmath.log1p(-mpmath.exp(mpmath.mpf(float(v))))) for v in x]
        slope = [float(-mpmath.exp(v) / (1 - mpmath.exp(v))) for v in map(mpmath.mpf, x.astype(float))]
    np.testing.assert_allclose(util.log1mexp(x), exact, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.grad(util.log1mexp)))(x), slope, rtol=1e-6)
    assert util.log1mexp(0.0) == -np.inf


def test_logdiffexp():
    a, b = (
        np.array([2.0, 500.0, -500.0, 1.0, -np.inf, 1.0], f32),
        np.array([1.0, 499.0, -501.0, -np.inf, -np.inf, 1.0], f32),
    )
    expected = [
        2 + math.log1p(-math.exp(-1)),
        500 + math.log1p(-math.exp(-1)),
        -500 + math.log1p(-math.exp(-1)),
        1,
        -np.inf,
        -np.inf,
    ]
    np.testing.assert_allclose(util.logdiffexp(a, b), expected, rtol=1e-6)
    gradients = jax.jit(jax.vmap(jax.grad(util.logdiffexp, (0, 1))))(a[:5], b[:5])
    ratio = math.exp(-1) / (1 - math.exp(-1))
    np.testing.assert_allclose(gradients[0], [1 + ratio, 1 + ratio, 1 + ratio, 1, 0], rtol=1e-5)
    np.testing.assert_allclose(gradients[1], [-ratio, -ratio, -ratio, 0, 0], rtol=1e-5)


def test_logmatmulexp():
    x, y = RNG.normal(size=(2, 3, 4)) * 100, RNG.normal(size=(2, 4, 5)) * 100
    expected = scipy.special.logsumexp(x[..., :, :, None] + y[..., None, :, :], axis=-2)
    np.testing.assert_allclose(util.logmatmulexp(x, y), expected, rtol=1e-5)
    nothing = np.full((2, 2), -np.inf, f32)
    value, gradient = jax.vmap(jax.value_and_grad(lambda x: util.logmatmulexp(x, np.zeros((2, 2), f32))[0, 0]))(
        nothing[None]
    )
    assert value.item() == -np.inf
    np.testing.assert_array_equal(gradient, 0)


def test_multidigamma():
    a = np.array([5.0, 2.5], f32)
    expected = [scipy.special.digamma(a - 0.5 * i) for i in range(3)]
    np.testing.assert_allclose(util.multidigamma(a, 3), np.sum(expected, 0), rtol=1e-5)


def test_stirling_approx_tail():
    k = np.array([0, 1, 5, 9, 10, 50, 1000])
    with mpmath.workdps(40):
        exact = [
            mpmath.loggamma(n + 1) - (mpmath.log(2 * mpmath.pi) / 2 + (n + 0.5) * mpmath.log(n + 1) - (n + 1))
            for n in map(int, k)
        ]
    np.testing.assert_allclose(util.stirling_approx_tail(k), np.array(exact, float), rtol=1e-5)
    np.testing.assert_allclose(util.stirling_approx_tail(k.astype(f32)), np.array(exact, float), rtol=1e-5)


@pytest.mark.parametrize("p", [1, 2, 3.5])
def test_safe_normalize(p):
    x = np.array([[3.0, -4.0], [1e-30, 0.0], [0.0, 0.0], [1e30, 1e30]], f32)
    y = np.asarray(util.safe_normalize(x, p=p))
    np.testing.assert_allclose(np.sum(np.abs(y) ** p, -1), 1, rtol=1e-5)
    np.testing.assert_allclose(y[0], x[0] / np.linalg.norm(x[0], ord=p), rtol=1e-5)
    np.testing.assert_allclose(y[2], 2 ** (-1 / p), rtol=1e-6)
    gradient = jax.jit(jax.grad(lambda x: util.safe_normalize(x, p=p)[..., 0].sum()))(x)
    assert np.all(np.isfinite(gradient))


def test_the_gradient_of_safe_normalize_is_that_of_the_quotient():
    x = np.array([3.0, -4.0, 1.0])
    with double_precision():
        ours = jax.jacobian(util.safe_normalize)(x)
        plain = jax.jacobian(lambda x: x / jnp.sqrt(jnp.sum(x * x)))(x)
        np.testing.assert_allclose(np.asarray(ours), np.asarray(plain), rtol=1e-6, atol=1e-12)


# Incomplete beta and gamma functions.

A = np.array([0.5, 2.0, 2.0, 30.0, 0.05, 300.0], f32)
B = np.array([0.5, 3.0, 1.0, 20.0, 5.0, 0.7], f32)
X = np.array([0.3, 0.4, 0.9, 0.55, 0.001, 0.995], f32)


def test_betainc_and_all_its_derivatives():
    with mpmath.workdps(40):
        function = lambda a, b, x: mpmath.betainc(a, b, 0, x, regularized=True)
        points = [tuple(map(mpmath.mpf, map(float, point))) for point in zip(A, B, X, strict=True)]
        exact = np.array([float(function(*point)) for point in points])
        orders = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
        slopes = np.array([[float(mpmath.diff(function, point, order)) for point in points] for order in orders])
    value = util.betainc(A, B, X)
    gradients = jax.jit(jax.vmap(jax.grad(util.betainc, (0, 1, 2))))(A, B, X)
    np.testing.assert_allclose(value, exact, rtol=1e-3)
    np.testing.assert_allclose(gradients, slopes, rtol=2e-3, atol=1e-6)
    with double_precision():
        double = [v.astype(np.float64) for v in (A, B, X)]
        gradients = jax.jit(jax.vmap(jax.grad(util.betainc, (0, 1, 2))))(*double)
        np.testing.assert_allclose(np.asarray(gradients), slopes, rtol=1e-7)


def test_betainc_at_the_ends():
    gradients = jax.jit(jax.vmap(jax.grad(util.betainc, (0, 1, 2))))(*np.float32([[2, 2], [3, 3], [0, 1]]))
    assert util.betainc(2.0, 3.0, np.array([0.0, 1.0], f32)).tolist() == [0, 1]
    np.testing.assert_array_equal(gradients, 0)


def test_betaincinv_and_its_derivatives():
    y = np.array([0.2, 0.5, 0.9, 0.01, 0.7, 0.4], f32)
    x = jax.jit(util.betaincinv)(A, B, y)
    np.testing.assert_allclose(x, scipy.special.betaincinv(A, B, y), rtol=5e-4)
    with double_precision():
        a, b, y = (v.astype(np.float64) for v in (A, B, y))
        x, gradients = jax.jit(jax.vmap(jax.value_and_grad(util.betaincinv, (0, 1, 2))))(a, b, y)
        x = np.asarray(x)
        np.testing.assert_allclose(x, scipy.special.betaincinv(a, b, y), rtol=1e-9)
        np.testing.assert_allclose(np.asarray(gradients[2]), 1 / scipy.stats.beta.pdf(x, a, b), rtol=1e-7)
        for i, step in enumerate((1e-5 * a, 1e-5 * b)):
            d = [step, 0 * step] if i == 0 else [0 * step, step]
            up, down = scipy.special.betaincinv(a + d[0], b + d[1], y), scipy.special.betaincinv(a - d[0], b - d[1], y)
            np.testing.assert_allclose(np.asarray(gradients[i]), (up - down) / (2 * step), rtol=1e-4)


def test_gammaincinv_and_its_derivatives():
    a = np.array([0.05, 0.5, 1.0, 3.0, 50.0, 2000.0, 3.0], f32)
    y = np.array([0.3, 0.1, 0.5, 0.99, 0.001, 0.7, 1e-4], f32)
    np.testing.assert_allclose(jax.jit(util.gammaincinv)(a, y), scipy.special.gammaincinv(a, y), rtol=5e-4)
    with double_precision():
        a, y = a.astype(np.float64), y.astype(np.float64)
        x, gradients = jax.jit(jax.vmap(jax.value_and_grad(util.gammaincinv, (0, 1))))(a, y)
        x = np.asarray(x)
        np.testing.assert_allclose(x, scipy.special.gammaincinv(a, y), rtol=1e-9)
        np.testing.assert_allclose(np.asarray(gradients[1]), 1 / scipy.stats.gamma.pdf(x, a), rtol=1e-7)
        step = 1e-5 * a
        slope = (scipy.special.gammaincinv(a + step, y) - scipy.special.gammaincinv(a - step, y)) / (2 * step)
        np.testing.assert_allclose(np.asarray(gradients[0]), slope, rtol=1e-4)


def test_inverses_at_the_ends_and_outside():
    y = np.array([0.0, 1.0, -0.1, 1.1, np.nan], f32)
    np.testing.assert_array_equal(util.betaincinv(2.0, 3.0, y), [0, 1, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(util.gammaincinv(2.0, y), [0, np.inf, np.nan, np.nan, np.nan])


# Random draws. The seeds are fixed; a p-value below 1e-4 would come up once in ten thousand changes of seed.

N = 20_000


def agrees(counts: np.ndarray, probabilities: np.ndarray) -> bool:
    """Whether counts may come from the probabilities; cells of less than five expected counts are joined."""
    expected = counts.sum() * np.asarray(probabilities, float) / np.sum(probabilities, dtype=float)
    frequent = expected > 5
    rest = counts[~frequent].sum(), expected[~frequent].sum()
    observed, expected = np.append(counts[frequent], rest[0]), np.append(expected[frequent], rest[1])
    if rest[1] < 1e-3:
        return rest[0] == 0 and (
            len(observed) == 2 or scipy.stats.chisquare(observed[:-1], expected[:-1], sum_check=False).pvalue > 1e-4
        )
    return scipy.stats.chisquare(observed, expected).pvalue > 1e-4


def test_categorical_draws():
    p = np.array([[0.1, 0.0, 0.6, 0.3], [0.0, 0.5, 0.5, 0.0]], f32)
    draws = np.asarray(jax.jit(lambda key: util.categorical(key, p, (N, 2)))(jax.random.key(0)))
    for j in range(2):
        assert agrees(np.bincount(draws[:, j], minlength=4), p[j])
    assert util.categorical(jax.random.key(0), p).shape == (2,)
    assert util.categorical(jax.random.key(0), 7 * p[1], (9,)).shape == (9,)
    assert jnp.issubdtype(draws.dtype, jnp.integer)


@pytest.mark.parametrize(("p", "n"), [(0.3, 5), (0.02, 100), (0.5, 200), (0.97, 60), (0.4, 1)])
def test_binomial_draws(p, n):
    draws = np.asarray(BINOMIAL(jax.random.key(1), p, n))
    assert agrees(np.bincount(draws, minlength=n + 1), scipy.stats.binom.pmf(np.arange(n + 1), n, p))


BINOMIAL = jax.jit(lambda key, p, n: util.binomial(key, p, n, (N,)))


def test_binomial_draws_at_the_ends():
    p, n = np.array([0.0, 1.0, 0.5, 0.5], f32), np.array([7, 7, 0, 10**6])
    draws = util.binomial(jax.random.key(2), p, n, (50, 4))
    assert jnp.issubdtype(draws.dtype, jnp.integer)
    np.testing.assert_array_equal(draws[:, :3], np.broadcast_to([0, 7, 0], (50, 3)))
    assert np.all(np.abs(draws[:, 3] - 5e5) < 6 * 500)
    assert util.binomial(jax.random.key(0), p[:, None], n).shape == (4, 4)


def test_multinomial_draws():
    p, n = np.array([0.2, 0.5, 0.3, 0.0], f32), np.array([3, 40])
    draws = np.asarray(jax.jit(lambda key, n: util.multinomial(key, p, n, (N, 2)))(jax.random.key(3), n))
    assert draws.shape == (N, 2, 4)
    np.testing.assert_array_equal(draws.sum(-1), np.broadcast_to(n, (N, 2)))
    for j in range(2):
        for k in range(4):
            assert agrees(
                np.bincount(draws[:, j, k], minlength=n[j] + 1), scipy.stats.binom.pmf(np.arange(n[j] + 1), n[j], p[k])
            )
        covariance = n[j] * (np.diag(p) - np.outer(p, p))
        np.testing.assert_allclose(np.cov(draws[:, j].T), covariance, atol=0.05 * n[j] * 0.25)
    assert util.multinomial(jax.random.key(0), p, 5, total_count_max=5).sum() == 5


@pytest.mark.parametrize("concentration", [0.0, 1e-3, 0.8, 30.0, 1e4])
def test_von_mises_draws(concentration):
    draws = np.asarray(VON_MISES(jax.random.key(4), concentration)).astype(float)
    assert np.all(np.abs(draws) <= np.pi + 1e-6)
    cdf = scipy.stats.uniform(-np.pi, 2 * np.pi).cdf if concentration == 0 else scipy.stats.vonmises(concentration).cdf
    assert scipy.stats.kstest(draws, cdf).pvalue > 1e-4


VON_MISES = jax.jit(lambda key, concentration: util.von_mises_centered(key, concentration, (N,)))


def test_von_mises_draws_take_shapes_and_dtypes():
    concentration = np.array([1.0, np.nan, 1e8], f32)
    draws = util.von_mises_centered(jax.random.key(0), concentration)
    assert draws.shape == (3,)
    assert np.isnan(draws).tolist() == [False, True, False]
    assert np.abs(draws[2]) < 1e-3
    assert util.von_mises_centered(jax.random.key(0), 1.0, (2,), jnp.float16).dtype == jnp.float16


@pytest.mark.parametrize("draw", [lambda k, p: util.binomial(k, p, 10), lambda k, p: util.von_mises_centered(k, p)])
def test_draws_can_be_mapped(draw):
    keys, p = jax.random.split(jax.random.key(5), 3), np.array([0.2, 0.5, 0.9], f32)
    mapped = jax.jit(jax.vmap(draw))(keys, p)
    np.testing.assert_allclose(mapped, [draw(k, v) for k, v in zip(keys, p, strict=True)], rtol=1e-6)

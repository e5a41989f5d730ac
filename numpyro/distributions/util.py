# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Numerical helpers that distributions share: shapes, triangular matrices, stable arithmetic, random draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import functools
import itertools
import math
import os
import sys
from typing import Any
import warnings

import jax
from jax import lax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import digamma
import numpy as np

from numpyro._shapes import broadcast_shapes, reshape, shape_of
from numpyro.distributions._pytree import array_equiv, is_host_value, namespace
from numpyro.distributions._special import FEW, betainc, betaincinv, gammaincinv, sin_quarter_turns
from numpyro.distributions.site_checks import validate_batch_shape

try:
    from jax.extend.core import get_opaque_trace_state
except ImportError:  # JAX before 0.10
    from jax.core import get_opaque_trace_state

__all__ = [
    "add_diag",
    "array_equiv",
    "assert_one_of",
    "betainc",
    "betaincinv",
    "binary_cross_entropy_with_logits",
    "binomial",
    "categorical",
    "cholesky_of_inverse",
    "cholesky_update",
    "clamp_probs",
    "gammaincinv",
    "is_identically_one",
    "is_identically_zero",
    "is_prng_key",
    "lazy_property",
    "log1mexp",
    "logdiffexp",
    "logmatmulexp",
    "matrix_to_tril_vec",
    "multidigamma",
    "multinomial",
    "periodic_repeat",
    "promote_shapes",
    "safe_normalize",
    "scale_and_mask",
    "signed_stick_breaking_tril",
    "stirling_approx_tail",
    "sum_rightmost",
    "tri_logabsdet",
    "validate_batch_shape",
    "validate_sample",
    "vec_to_tril_matrix",
    "von_mises_centered",
]


# Shapes, masks, and what is known without computing.


def promote_shapes(*args: Any, shape: Sequence[int] = (), return_shapes: bool = False) -> Any:
    """Give all arguments the rank of their common broadcast, by size-1 dimensions on the left.

    :param args: arrays whose shapes broadcast together.
    :param shape: one more shape that takes part.
    :param return_shapes: return the new shapes instead of the arrays.
    :return: a sequence of reshaped arrays, or of shapes. An argument that has the rank already comes back as it is.

    >>> [x.shape for x in promote_shapes(np.ones(3), np.ones((2, 1)))]
    [(1, 3), (2, 1)]
    """
    shapes = [shape_of(arg) for arg in args]
    rank = len(broadcast_shapes(tuple(shape), *shapes))
    promoted = [(1,) * (rank - len(s)) + s for s in shapes]
    if return_shapes:
        return promoted
    return [arg if s == new else reshape(arg, new) for arg, s, new in zip(args, shapes, promoted, strict=True)]


def sum_rightmost(x: Any, dim: int) -> Any:
    """Sum over the last ``dim`` dimensions; ``dim <= 0`` sums nothing.

    >>> sum_rightmost(np.ones((2, 3, 4)), 2).tolist()
    [12.0, 12.0]
    """
    if dim <= 0:
        return x
    terms = np.prod(shape_of(x)[-dim:], dtype=int)
    if (
        isinstance(x, jax.Array)
        and 1 < terms <= FEW
        and x.size >= 1000 * terms
        and jnp.issubdtype(x.dtype, jnp.floating)
    ):
        return _sum_of_few(jnp.reshape(x, (*x.shape[:-dim], terms)))
    return namespace(x).sum(x, axis=tuple(range(-dim, 0)))


@jax.custom_jvp
def _sum_of_few(x: Any) -> Any:
    """The sum over a short last dimension, written out (see :data:`~numpyro.distributions._special.FEW`)."""
    total = x[..., 0]
    for term in range(1, x.shape[-1]):
        total = total + x[..., term]
    return total


@_sum_of_few.defjvp
def _sum_of_few_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    return _sum_of_few(*primals), tangents[0].sum(-1)


def scale_and_mask(x: Any, scale: Any = None, mask: Any = None) -> Any:
    """Zero where the mask is false, and multiplied by the scale; ``None`` means no scale and no mask.

    >>> scale_and_mask(jnp.arange(3.0), 2.0, jnp.array([True, False, True])).tolist()
    [0.0, 0.0, 4.0]
    """
    if mask is not None and mask is not True:
        x = jnp.where(mask, x, 0.0)
    if scale is None or is_identically_one(scale):
        return x
    return x * scale


def periodic_repeat(x: Any, size: int, dim: int) -> Any:
    """Continue an array periodically along a dimension until that has the given size.

    :param x: array whose size along ``dim`` is the period.
    :param size: the wanted size, longer or shorter than the period.

    >>> periodic_repeat(jnp.array([1, 2, 3]), 7, 0).tolist()
    [1, 2, 3, 1, 2, 3, 1]
    """
    return jnp.take(x, np.arange(size) % shape_of(x)[dim], axis=dim)


def is_identically_zero(x: Any) -> bool:
    """Whether ``x`` is the number zero, not an array: what is known without computing.

    >>> is_identically_zero(0.0), is_identically_zero(np.zeros(2))
    (True, False)
    """
    return isinstance(x, int | float) and x == 0


def is_identically_one(x: Any) -> bool:
    """Whether ``x`` is the number one, not an array: what is known without computing.

    >>> is_identically_one(1), is_identically_one(np.ones(2))
    (True, False)
    """
    return isinstance(x, int | float) and x == 1


def is_prng_key(key: Any) -> bool:
    """Whether ``key`` is one random key: a typed scalar key, or a raw one of shape ``(2,)``.

    >>> is_prng_key(jax.random.key(0)), is_prng_key(jax.random.PRNGKey(0)), is_prng_key(0)
    (True, True, False)
    """
    dtype = getattr(key, "dtype", None)
    if dtype is None:
        return False
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return shape_of(key) == ()
    # A raw key has two words, or four under the "rbg" implementation.
    return dtype == np.uint32 and shape_of(key) in ((2,), (4,))


def assert_one_of(**kwargs: Any) -> None:
    """Raise :class:`ValueError` unless exactly one of the keyword arguments is not ``None``.

    >>> assert_one_of(probs=0.5, logits=None)
    """
    given = [name for name, value in kwargs.items() if value is not None]
    if len(given) != 1:
        raise ValueError(f"Exactly one of {list(kwargs)} must be specified; got {given}.")


class lazy_property:
    """Decorator for a property that is computed once.

    What is computed from tracers is used again only inside the trace that it came from, so nothing leaks from one
    transformation into another. Values are kept in the instance's ``__dict__["_lazy_cache"]``.

    >>> class Square:
    ...     def __init__(self, side):
    ...         self.side = side
    ...     @lazy_property
    ...     def area(self):
    ...         print("computing")
    ...         return self.side**2
    >>> square = Square(3)
    >>> square.area, square.area
    computing
    (9, 9)
    """

    def __init__(self, wrapped: Callable[[Any], Any]) -> None:
        self.wrapped = wrapped
        functools.update_wrapper(self, wrapped)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.wrapped(*args, **kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        holder, cache = instance.__dict__.get("_lazy_cache", (None, {}))
        if holder != id(instance):
            # A shallow copy comes with the cache of the instance that it was made from, but may change attributes.
            cache = {}
            instance.__dict__["_lazy_cache"] = (id(instance), cache)
        name = self.wrapped.__name__
        state = get_opaque_trace_state()
        if name in cache:
            known_in, value = cache[name]
            if known_in is None or known_in == state:
                return value
        value = self.wrapped(instance)
        cache[name] = (None if _is_concrete(value) else state, value)
        return value


def _is_concrete(value: Any) -> bool:
    return all(
        is_host_value(leaf) or (isinstance(leaf, jax.Array) and not isinstance(leaf, jax.core.Tracer))
        for leaf in jax.tree.leaves(value)
    )


def validate_sample(log_prob_fn: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator for a ``log_prob`` method that checks its value against ``self.support``.

    Where ``self._validate_args`` is true and nothing is traced, a value outside the support raises a warning and has
    log-probability minus infinity.

    >>> from numpyro.distributions import constraints
    >>> class Exponential:
    ...     support, _validate_args = constraints.positive, True
    ...     @validate_sample
    ...     def log_prob(self, value):
    ...         return -value
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     Exponential().log_prob(np.array([1.0, -1.0])).tolist()
    [-1.0, -inf]
    """

    @functools.wraps(log_prob_fn)
    def wrapper(self: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        log_prob = log_prob_fn(self, value, *args, **kwargs)
        if not getattr(self, "_validate_args", False):
            return log_prob
        inside = self.support(value)
        if isinstance(inside, jax.core.Tracer) or bool(np.all(inside)):
            return log_prob
        warnings.warn(
            f"{type(self).__name__}: some values lie outside the support, {self.support}; their log density is -inf.",
            stacklevel=_user_stacklevel(),
        )
        return namespace(inside, log_prob).where(inside, log_prob, -np.inf)

    return wrapper


def _user_stacklevel() -> int:
    """The ``stacklevel`` that makes a warning of the caller point at the first line outside this library."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(here):
        level, frame = level + 1, frame.f_back
    return level


# Matrices.


def vec_to_tril_matrix(t: Any, diagonal: int = 0) -> Any:
    """Lower triangular matrices with given elements on and below a diagonal, row by row.

    :param t: array of shape ``batch + (m,)``, with ``m`` the number of elements of the triangle.
    :param diagonal: 0 for the main diagonal, -1 for the one below it, and so on.
    :return: array of shape ``batch + (n, n)``.

    >>> vec_to_tril_matrix(jnp.array([1.0, 2.0, 3.0])).tolist()
    [[1.0, 0.0], [2.0, 3.0]]
    """
    if diagonal > 0:
        raise ValueError(f"`diagonal` must not be positive; it is {diagonal}.")
    m = shape_of(t)[-1]
    n = tril_size(m) - diagonal
    rows, columns = np.tril_indices(n, diagonal)
    # A gather from the vector with a zero appended compiles to less than a scatter into a matrix.
    position = np.full((n, n), m)
    position[rows, columns] = np.arange(m)
    padded = jnp.concatenate([t, jnp.zeros_like(t, shape=(*shape_of(t)[:-1], 1))], axis=-1)
    return padded[..., position]


def tril_size(m: int) -> int:
    """The ``k`` with ``k (k + 1) / 2 == m``; raises :class:`ValueError` if there is none.

    >>> tril_size(6)
    3
    """
    k = round(((8 * m + 1) ** 0.5 - 1) / 2)
    if k * (k + 1) // 2 != m:
        raise ValueError(f"{m} elements do not fill a triangle: that takes 1, 3, 6, 10, ... of them.")
    return k


def matrix_to_tril_vec(x: Any, diagonal: int = 0) -> Any:
    """Elements on and below a diagonal of square matrices, row by row: undoes :func:`vec_to_tril_matrix`.

    >>> matrix_to_tril_vec(jnp.array([[1.0, 0.0], [2.0, 3.0]])).tolist()
    [1.0, 2.0, 3.0]
    """
    rows, columns = np.tril_indices(shape_of(x)[-1], diagonal)
    return x[..., rows, columns]


def add_diag(matrix: Any, diag: Any) -> Any:
    """Add numbers to the diagonal of square matrices.

    :param matrix: array of shape ``batch + (n, n)``.
    :param diag: array that broadcasts to ``batch + (n,)``.

    >>> add_diag(jnp.zeros((2, 2)), jnp.array([1.0, 2.0])).tolist()
    [[1.0, 0.0], [0.0, 2.0]]
    """
    index = np.arange(shape_of(matrix)[-1])
    return jnp.asarray(matrix).at[..., index, index].add(diag)


def cholesky_of_inverse(matrix: Any) -> Any:
    """Cholesky factor of the inverse of positive definite matrices, without inverting them.

    With :math:`J` the matrix that reverses order and :math:`J P J = L L^T`, the inverse of :math:`P` is
    :math:`(J L^{-1} J)^T (J L^{-1} J)`, and the first factor is lower triangular.

    >>> cholesky_of_inverse(4.0 * jnp.eye(2)).tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """
    reversed_factor = jnp.linalg.cholesky(jnp.flip(matrix, (-2, -1)))
    upper = jnp.swapaxes(jnp.flip(reversed_factor, (-2, -1)), -2, -1)
    identity = jnp.broadcast_to(jnp.eye(shape_of(matrix)[-1], dtype=upper.dtype), upper.shape)
    return solve_triangular(upper, identity, lower=True)


def cholesky_update(L: Any, x: Any, coef: Any = 1) -> Any:
    """Cholesky factor of :math:`L L^T + c\\,x x^T`.

    :param L: lower triangular matrices with a positive diagonal, of shape ``batch + (n, n)``.
    :param x: vectors of shape ``batch + (n,)``.
    :param coef: the number :math:`c`, of either sign; the sum must be positive definite.

    Algorithm 3.1 of Krause and Igel (2015), "A more efficient rank-one covariance matrix update for evolution
    strategies".

    >>> cholesky_update(jnp.eye(2), jnp.array([1.0, 0.0]), 3.0).tolist()
    [[2.0, 0.0], [0.0, 1.0]]
    """
    batch = broadcast_shapes(shape_of(L)[:-2], shape_of(x)[:-1], shape_of(coef))
    n = shape_of(L)[-1]
    L = jnp.broadcast_to(L, (*batch, n, n))
    x = jnp.broadcast_to(x, (*batch, n)).astype(jnp.result_type(L, x, 1.0))
    coef = jnp.broadcast_to(jnp.asarray(coef, x.dtype), batch)

    def column(carry: tuple[Any, Any], at: tuple[Any, Any]) -> tuple[tuple[Any, Any], Any]:
        rest, b = carry
        old, j = at
        pivot = lax.dynamic_index_in_dim(old, j, -1, keepdims=False)
        first = lax.dynamic_index_in_dim(rest, j, -1, keepdims=False)
        gamma = pivot**2 * b + coef * first**2
        new_pivot = jnp.sqrt(pivot**2 + coef / b * first**2)
        rest = rest - (first / pivot)[..., None] * old
        new = new_pivot[..., None] * (old / pivot[..., None] + (coef * first / gamma)[..., None] * rest)
        # On the diagonal `rest` is zero up to rounding, above it both vectors are zero or not needed any more.
        new = jnp.where(np.arange(n) > j, new, jnp.where(np.arange(n) == j, new_pivot[..., None], 0.0))
        return (rest, b + coef * (first / pivot) ** 2), new

    columns = jnp.moveaxis(L, -1, 0).astype(x.dtype)
    _, updated = lax.scan(column, (x, jnp.ones(batch, x.dtype)), (columns, np.arange(n)))
    return jnp.moveaxis(updated, 0, -1)


def tri_logabsdet(a: Any) -> Any:
    """Logarithm of the absolute determinant of triangular matrices.

    >>> tri_logabsdet(jnp.array([[1.0, 0.0], [5.0, -1.0]])).item()
    0.0
    """
    return jnp.sum(jnp.log(jnp.abs(jnp.diagonal(a, axis1=-2, axis2=-1))), axis=-1)


def signed_stick_breaking_tril(t: Any) -> Any:
    """Cholesky factors of correlation matrices from canonical partial correlations.

    :param t: array of shape ``batch + (n (n - 1) / 2,)`` with elements in (-1, 1): the partial correlations
        :math:`z_{ij}` below the diagonal, row by row.
    :return: array of shape ``batch + (n, n)`` with
        :math:`L_{ij} = z_{ij} \\prod_{k<j} \\sqrt{1 - z_{ik}^2}`, where :math:`z_{ii} = 1`.

    Lewandowski, Kurowicka and Joe (2009), "Generating random correlation matrices based on vines and extended onion
    method"; Stan Reference Manual, "Cholesky factors of correlation matrices".

    >>> signed_stick_breaking_tril(jnp.array([0.6])).round(3).tolist()
    [[1.0, 0.0], [0.6000000238418579, 0.800000011920929]]
    """
    z = vec_to_tril_matrix(t, diagonal=-1)
    remaining = jnp.cumprod(jnp.sqrt((1 - z) * (1 + z)), axis=-1)
    before = jnp.concatenate([jnp.ones_like(z[..., :1]), remaining[..., :-1]], axis=-1)
    return (z + np.eye(z.shape[-1], dtype=z.dtype)) * before


# Stable arithmetic.


def clamp_probs(probs: Any) -> Any:
    """Probabilities moved into the open unit interval, by the least that the dtype can tell.

    >>> clamp_probs(jnp.array([0.0, 0.5])).tolist()[0] > 0
    True
    """
    probs = jnp.asarray(probs)
    info = jnp.finfo(jnp.result_type(probs, 1.0))
    return jnp.clip(probs, float(info.tiny), 1 - float(info.eps))


def binary_cross_entropy_with_logits(x: Any, y: Any) -> Any:
    """Minus the log-probability of an outcome ``y`` in [0, 1] under success log-odds ``x``.

    >>> round(binary_cross_entropy_with_logits(jnp.array(0.0), 1.0).item(), 4)
    0.6931
    """
    return jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x))) - x * y


@jax.custom_jvp
def log1mexp(x: Any) -> Any:
    """:math:`\\log(1 - e^x)` for :math:`x \\le 0`, accurate at both ends.

    Mächler (2012), "Accurately computing log(1 - exp(-|a|))".

    >>> round(log1mexp(jnp.array(-1e-3)).item(), 4)
    -6.9083
    """
    x = jnp.asarray(x)
    share = -jnp.expm1(x)
    # For a distant x, what rounding took from 1 - e^x, as in Kahan's log1p.
    rounded = jnp.where(x < -math.log(2.0), (share - 1 + jnp.exp(x)) / share, 0.0)
    return jnp.log(share) - rounded


@log1mexp.defjvp
def _log1mexp_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    # The derivative e^x / (e^x - 1), written so that it is zero, not nan, at minus infinity.
    return log1mexp(*primals), -tangents[0] / jnp.expm1(-primals[0])


def logdiffexp(a: Any, b: Any) -> Any:
    """:math:`\\log(e^a - e^b)` for :math:`a \\ge b`, accurate for close and for distant arguments.

    >>> logdiffexp(jnp.array(-jnp.inf), jnp.array(-jnp.inf)).item()
    -inf
    """
    empty = a == -jnp.inf
    return jnp.where(empty, -jnp.inf, a + log1mexp(jnp.where(empty, -1.0, b - jnp.where(empty, 0.0, a))))


def logmatmulexp(x: Any, y: Any) -> Any:
    """:math:`\\log(e^x e^y)`, a product of matrices given by the logarithms of their elements.

    :param x: array of shape ``batch + (m, k)``.
    :param y: array of shape ``batch + (k, n)``.

    >>> logmatmulexp(jnp.zeros((1, 2)), jnp.zeros((2, 1))).round(4).tolist()
    [[0.6930999755859375]]
    """
    # Factors shifted by their largest elements could be multiplied as matrices, but where one is large the other may
    # be small, and all that matters would underflow.
    terms = x[..., :, :, None] + y[..., None, :, :]
    largest = lax.stop_gradient(jnp.max(terms, axis=-2))
    largest = jnp.where(jnp.isfinite(largest), largest, 0.0)
    total = jnp.sum(jnp.exp(terms - largest[..., None, :]), axis=-2)
    return jnp.where(total > 0, largest + jnp.log(jnp.where(total > 0, total, 1.0)), -jnp.inf)


def multidigamma(a: Any, d: int) -> Any:
    """Derivative of the logarithm of the multivariate gamma function: :math:`\\sum_{i<d} \\psi(a - i/2)`.

    >>> round(multidigamma(jnp.array(5.0), 1).item(), 4)
    1.5061
    """
    return jnp.sum(digamma(jnp.asarray(a)[..., None] - 0.5 * np.arange(d, dtype=np.float32)), axis=-1)


def stirling_approx_tail(k: Any) -> Any:
    """What Stirling's formula leaves of :math:`\\log k!`.

    That is :math:`\\log k! - [\\tfrac12\\log 2\\pi + (k + \\tfrac12)\\log(k + 1) - (k + 1)]`. A table for
    :math:`k < 10`; above, the series in :math:`1/(k + 1)` of Hörmann (1993), "The generation of binomial random
    variates".

    >>> round(stirling_approx_tail(jnp.array(0)).item(), 5)
    0.08106
    """
    k = jnp.asarray(k)
    table = jnp.asarray(_STIRLING_TAIL, jnp.result_type(1.0))
    from_table = table[jnp.clip(k, 0, 9).astype(int)]
    inverse = 1.0 / (jnp.maximum(k, 9) + 1.0)
    series = (1 / 12 - (1 / 360 - inverse**2 / 1260) * inverse**2) * inverse
    return jnp.where(k < 10, from_table, series)


_STIRLING_TAIL = np.array(
    [
        0.08106146679532726,
        0.04134069595540929,
        0.02767792568499834,
        0.02079067210376509,
        0.01664469118982119,
        0.01387612882307075,
        0.01189670994589177,
        0.01041126526197209,
        0.00925546218271273,
        0.00833056343336287,
    ]
)


def safe_normalize(x: Any, *, p: float = 2) -> Any:
    """Vectors divided by their p-norm; the zero vector becomes the one with equal positive elements.

    :param x: array of shape ``batch + (d,)``.
    :param p: which norm, a positive number.

    >>> safe_normalize(jnp.array([0.0, 0.0]), p=1).tolist()
    [0.5, 0.5]
    """
    x = jnp.asarray(x)
    zero = jnp.all(x == 0, axis=-1, keepdims=True)
    x = jnp.where(zero, jnp.ones_like(x), x)
    # Divided by the largest element first, so that no power under- or overflows.
    x = x / lax.stop_gradient(jnp.max(jnp.abs(x), axis=-1, keepdims=True))
    if p == 2:
        return x / jnp.sqrt(jnp.sum(x * x, axis=-1, keepdims=True))
    size = jnp.where(x == 0, 0.0, jnp.where(x == 0, 1.0, jnp.abs(x)) ** p)
    return x / jnp.sum(size, axis=-1, keepdims=True) ** (1 / p)


# Random draws.


def categorical(key: Any, p: Any, shape: Sequence[int] = ()) -> Any:
    """Draw indices with given probabilities, by inversion: one uniform number for each.

    :param p: array of shape ``batch + (n,)`` of non-negative weights; they need not sum to one.
    :param shape: shape of the draws, to which ``batch`` broadcasts; ``batch`` by default.
    :return: integers from 0 to ``n - 1``.

    >>> categorical(jax.random.key(0), jnp.array([0.0, 1.0]), (3,)).tolist()
    [1, 1, 1]
    """
    p = jnp.asarray(p, jnp.result_type(p, 1.0))
    shape = tuple(shape) or p.shape[:-1]
    uniform = jax.random.uniform(key, shape, p.dtype)
    if p.shape[-1] <= FEW:
        *bounds, total = itertools.accumulate(p[..., k] for k in range(p.shape[-1]))
        beyond = [bound <= uniform * total for bound in bounds]
        return sum(beyond, jnp.zeros(shape, jax.dtypes.canonicalize_dtype(int)))
    cumulative = jnp.cumsum(p, axis=-1)
    threshold = uniform * cumulative[..., -1]
    return jnp.sum(cumulative[..., :-1] <= threshold[..., None], axis=-1)


def binomial(key: Any, p: Any, n: Any = 1, shape: Sequence[int] = ()) -> Any:
    """Draw numbers of successes.

    :param p: probability of success, in [0, 1].
    :param n: number of trials, a non-negative integer.
    :param shape: shape of the draws, to which ``p`` and ``n`` broadcast; their common shape by default.
    :return: integers from 0 to ``n``.

    >>> binomial(jax.random.key(0), jnp.array([0.0, 1.0]), 7).tolist()
    [0, 7]
    """
    shape = tuple(shape) or broadcast_shapes(shape_of(p), shape_of(n))
    p = jnp.asarray(p, jnp.result_type(p, 1.0))
    # The smaller of the two outcomes is drawn: the sampler is exact, and quick, for probabilities up to one half.
    flipped = p > 0.5
    inside = jnp.clip(jnp.where(flipped, 1 - p, p), 0.0, 0.5)
    certain = inside == 0
    count = jax.random.binomial(key, jnp.asarray(n, p.dtype), jnp.where(certain, 0.5, inside), shape, p.dtype)
    count = jnp.where(certain, 0.0, count)
    return jnp.where(flipped, n - count, count).astype(jax.dtypes.canonicalize_dtype(int))


def multinomial(key: Any, p: Any, n: Any, shape: Sequence[int] = (), total_count_max: int | None = None) -> Any:
    """Draw counts of ``n`` outcomes among categories.

    The counts are binomial one after the other, each given those before (Devroye 1986, "Non-uniform random variate
    generation", XI.1.4), so ``n`` may be traced and large. Few outcomes are drawn one by one.

    :param p: array of shape ``batch + (k,)`` of probabilities.
    :param n: number of outcomes, an array that broadcasts to ``shape``.
    :param shape: batch shape of the draws; that of ``p`` and ``n`` by default.
    :param total_count_max: an upper bound of ``n``, to tell that the outcomes are few if ``n`` is traced.
    :return: integers of shape ``shape + (k,)`` that sum to ``n``.

    >>> multinomial(jax.random.key(0), jnp.array([0.5, 0.5, 0.0]), 9).sum().item()
    9
    """
    p = jnp.asarray(p, jnp.result_type(p, 1.0))
    shape = tuple(shape) or broadcast_shapes(p.shape[:-1], shape_of(n))
    dtype = jax.dtypes.canonicalize_dtype(int)
    most = largest_count(n, total_count_max)
    # A binomial number costs as much as some dozens of uniform ones.
    if most is not None and most * (20 + p.shape[-1]) <= 400 * (p.shape[-1] - 1):
        return _outcomes_one_by_one(key, p, jnp.asarray(n, dtype), most, shape)
    # Summed from the right, so that the last category's share is exactly one.
    tail = jnp.flip(jnp.cumsum(jnp.flip(p, -1), -1), -1)
    share = jnp.where(tail > 0, p / jnp.where(tail > 0, tail, 1.0), 0.0)
    share = jnp.moveaxis(jnp.broadcast_to(share, (*shape, p.shape[-1])), -1, 0)

    def draw(left: Any, at: tuple[Any, Any]) -> tuple[Any, Any]:
        count = binomial(at[0], at[1], left, shape)
        return left - count, count

    keys = jax.random.split(key, p.shape[-1] - 1)
    left = jnp.broadcast_to(jnp.asarray(n, dtype), shape)
    left, counts = lax.scan(draw, left, (keys, share[:-1]))
    return jnp.moveaxis(jnp.concatenate([counts, left[None]]), 0, -1)


def largest_count(n: Any, bound: int | None = None) -> int | None:
    """The largest of counts that are known, else their bound, else None.

    >>> largest_count(np.array([2, 5])), largest_count(3, 7)
    (5, 3)
    """
    return bound if isinstance(n, jax.core.Tracer) else int(np.max(np.asarray(n), initial=0))


def _outcomes_one_by_one(key: Any, p: Any, n: Any, most: int, shape: tuple[int, ...]) -> Any:
    """Counts of ``n`` outcomes, at most ``most``, each by inversion of a uniform number."""
    cumulative = jnp.cumsum(p, -1)
    bounds = [cumulative[..., k] for k in range(p.shape[-1] - 1)]

    def draw(i: Any, beyond: Any) -> Any:
        threshold = jax.random.uniform(jax.random.fold_in(key, i), shape, p.dtype) * cumulative[..., -1]
        return [count + ((bound <= threshold) & (i < n)) for count, bound in zip(beyond, bounds, strict=True)]

    none = jnp.zeros(shape, n.dtype)
    # How many outcomes are beyond each category.
    beyond = lax.fori_loop(0, most, draw, [none for _ in bounds])
    counts = [before - after for before, after in zip([none + n, *beyond], [*beyond, none], strict=True)]
    return jnp.stack(counts, -1)


def von_mises_centered(key: Any, concentration: Any, shape: Sequence[int] = (), dtype: Any = None) -> Any:
    """Draw angles in [-π, π] from the von Mises distribution about zero.

    Rejection from a wrapped Cauchy: Best and Fisher (1979), "Efficient simulation of the von Mises distribution". With
    :math:`\\tau = 1 + \\sqrt{1 + 4\\kappa^2}` their :math:`r` is :math:`\\tau / 2\\kappa`; written in
    :math:`s = 1/r` every step is accurate for all :math:`\\kappa \\ge 0`.

    :param concentration: non-negative :math:`\\kappa`.
    :param shape: shape of the draws, to which ``concentration`` broadcasts; its own by default.
    :param dtype: a floating dtype; by default that of ``concentration``.

    >>> bool(jnp.abs(von_mises_centered(jax.random.key(0), 1e6)) < 0.01)
    True
    """
    dtype = jax.dtypes.canonicalize_dtype(jnp.result_type(concentration, 1.0) if dtype is None else dtype)
    shape = tuple(shape) or shape_of(concentration)
    kappa = jnp.broadcast_to(jnp.asarray(concentration, dtype), shape)
    tau = 1 + jnp.sqrt(1 + 4 * kappa**2)
    s = 2 * kappa / tau
    one_minus_s = 2 / tau / (1 + s)

    def attempt(state: tuple[Any, ...]) -> tuple[Any, ...]:
        i, _, key, done, half_sine = state
        key, key_u = jax.random.split(key)
        u = jax.random.uniform(key_u, (2, *shape), dtype, minval=float(jnp.finfo(dtype).tiny))
        # The half of an angle of uniform direction, in quarter turns.
        turn = 2 * u[0] - 1
        c = 1 / (one_minus_s + 2 * s * sin_quarter_turns(1 - jnp.abs(turn)) ** 2)
        proposal = jnp.sqrt(one_minus_s * c) * sin_quarter_turns(turn)
        accepted = jnp.log(c / u[1]) + 1 - c >= 0
        half_sine, done = jnp.where(done, half_sine, proposal), done | accepted
        return i + 1, ~jnp.all(done), key, done, half_sine

    def unfinished(state: tuple[Any, ...]) -> Any:
        # At least 65 % of the proposals are accepted: the bound only ends the loop for parameters that are nan.
        return (state[0] < 200) & state[1]

    start = (0, jnp.asarray(True), key, jnp.zeros(shape, bool), jnp.zeros(shape, dtype))
    half_sine = lax.while_loop(unfinished, attempt, start)[4]
    angle = 2 * jnp.arcsin(jnp.clip(half_sine, -1.0, 1.0))
    return jnp.where(jnp.isnan(kappa), jnp.nan, angle)

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Log densities of vectors, matrices and vectors of counts at extreme parameters, against mpmath with fifty digits.

In single and double precision. The error may be some roundings of the result, of the standard deviation that the log
density has over the draws, and of what a rounding of the values does to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
from precision import double_precision
import pytest

import numpyro.distributions as dist


class Extreme(NamedTuple):
    """A distribution at a point.

    :param make: builds it from its parameters.
    :param parameters: numbers and arrays; those in floating point are differentiated.
    :param value: a value.
    :param exact: the log density by mpmath, of the same arguments, the arrays among which are matrices of mpmath.
    :param slack: what the error may be besides, in roundings.
    """

    make: Callable[..., Any]
    parameters: tuple[Any, ...]
    value: Any
    exact: Callable[..., Any]
    slack: float = 0.0


def precise(x):
    x = np.asarray(x)
    if x.ndim == 0:
        return mpmath.mpf(float(x))
    return mpmath.matrix([[mpmath.mpf(float(e)) for e in np.atleast_1d(row)] for row in x])


def log_det(matrix):
    return mpmath.log(mpmath.det(matrix))


def quadratic(matrix, vector):
    return (vector.T * mpmath.lu_solve(matrix, vector))[0]


def log_normal(loc, covariance, x):
    d = x - loc
    return -0.5 * (quadratic(covariance, d) + log_det(covariance) + d.rows * mpmath.log(2 * mpmath.pi))


def log_student(df, loc, tril, x):
    n, covariance = x.rows, tril * tril.T
    q = quadratic(covariance, x - loc)
    front = mpmath.loggamma((df + n) / 2) - mpmath.loggamma(df / 2) - n / mpmath.mpf(2) * mpmath.log(df * mpmath.pi)
    return front - 0.5 * log_det(covariance) - (df + n) / 2 * mpmath.log1p(q / df)


def log_low_rank(loc, factor, diagonal, x):
    return log_normal(loc, factor * factor.T + mpmath.diag(list(diagonal)), x)


def log_dirichlet(alpha, x):
    x = x / sum(x)
    terms = sum((a - 1) * mpmath.log(v) - mpmath.loggamma(a) for a, v in zip(alpha, x, strict=True))
    return mpmath.loggamma(sum(alpha)) + terms


def log_dirichlet_multinomial(alpha, x):
    n, total = sum(x), sum(alpha)
    terms = sum(
        mpmath.loggamma(k + a) - mpmath.loggamma(a) - mpmath.loggamma(k + 1) for a, k in zip(alpha, x, strict=True)
    )
    return mpmath.loggamma(n + 1) + mpmath.loggamma(total) - mpmath.loggamma(n + total) + terms


def log_multinomial(log_probs, x):
    terms = sum(k * p - mpmath.loggamma(k + 1) for p, k in zip(log_probs, x, strict=True))
    return mpmath.loggamma(sum(x) + 1) + terms


def log_multigamma(a, n):
    return n * (n - 1) / mpmath.mpf(4) * mpmath.log(mpmath.pi) + sum(
        mpmath.loggamma(a - j / mpmath.mpf(2)) for j in range(n)
    )


def log_wishart(nu, scale, x):
    n = x.rows
    trace = sum((mpmath.inverse(scale) * x)[i, i] for i in range(n))
    normalizer = nu * n / 2 * mpmath.log(2) + nu / 2 * log_det(scale) + log_multigamma(nu / 2, n)
    return (nu - n - 1) / 2 * log_det(x) - trace / 2 - normalizer


def log_inverse_wishart(nu, scale, x):
    n = x.rows
    return log_wishart(nu, mpmath.inverse(scale), mpmath.inverse(x)) - (n + 1) * log_det(x)


def of_factor(log_density):
    """Of the Cholesky factor of a matrix, from the density of the matrix."""

    def evaluate(nu, tril, factor):
        n = factor.rows
        jacobian = n * mpmath.log(2) + sum((n - i) * mpmath.log(factor[i, i]) for i in range(n))
        return log_density(nu, tril * tril.T, factor * factor.T) + jacobian

    return evaluate


def log_lkj_cholesky(d):
    def evaluate(eta, factor):
        # Joe (2006), theorem 5
        normalizer = sum(
            (2 * eta - 2 + d - k) * (d - k) * mpmath.log(2)
            + (d - k) * mpmath.log(mpmath.beta(eta + (d - k - 1) / mpmath.mpf(2), eta + (d - k - 1) / mpmath.mpf(2)))
            for k in range(1, d)
        )
        return sum((d - i - 1 + 2 * eta - 2) * mpmath.log(factor[i, i]) for i in range(1, d)) - normalizer

    return evaluate


def log_matrix_normal(loc, rows, columns, x):
    white = mpmath.inverse(rows) * (x - loc) * mpmath.inverse(columns).T
    n, p = x.rows, x.cols
    log_dets = p * mpmath.log(mpmath.det(rows)) + n * mpmath.log(mpmath.det(columns))
    return -0.5 * sum(e**2 for e in white) - log_dets - n * p / mpmath.mpf(2) * mpmath.log(2 * mpmath.pi)


ADJACENCY = np.array([[0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 1], [0, 0, 1, 0]])


def log_car(loc, correlation, precision, x):
    adjacency = precise(ADJACENCY)
    matrix = precision * (mpmath.diag([mpmath.mpf(int(s)) for s in ADJACENCY.sum(-1)]) - correlation * adjacency)
    d = x - loc
    return 0.5 * (log_det(matrix) - (d.T * matrix * d)[0] - d.rows * mpmath.log(2 * mpmath.pi))


def log_zero_sum(scale, x):
    return sum(-0.5 * (e / scale) ** 2 for e in x) - (x.rows - 1) * (
        mpmath.log(scale) + 0.5 * mpmath.log(2 * mpmath.pi)
    )


def log_circulant(loc, row, x):
    n = row.rows
    return log_normal(loc, mpmath.matrix([[row[(i - j) % n] for j in range(n)] for i in range(n)]), x)


RNG = np.random.default_rng(0)
TRIL = np.array([[1.1, 0.0, 0.0], [0.4, 0.8, 0.0], [-0.2, 0.3, 0.9]])
NOISE = np.array([0.3, -1.2, 0.8])
SMALL_TRIL = np.tril(RNG.normal(size=(3, 3)), -1) * 0.3
BARTLETT = SMALL_TRIL + np.eye(3)


def correlation_factor(size, strength):
    rows = np.tril(np.random.default_rng(1).normal(size=(size, size)), -1) * strength + np.eye(size)
    return rows / np.sqrt((rows**2).sum(-1, keepdims=True))


def normals():
    for scale in (1e-15, 1e-3, 1e6, 1e15):
        yield (
            f"MultivariateNormal of scale {scale:g}",
            Extreme(
                lambda loc, tril: dist.MultivariateNormal(loc, scale_tril=tril),
                (np.zeros(3), scale * TRIL),
                scale * (TRIL @ NOISE),
                lambda loc, tril, x: log_normal(loc, tril * tril.T, x),
            ),
        )
    mixed = np.array([1e-8, 1.0, 1e8])[:, None] * TRIL
    yield (
        "MultivariateNormal of scales from 1e-8 to 1e8",
        Extreme(
            lambda loc, tril: dist.MultivariateNormal(loc, scale_tril=tril),
            (np.zeros(3), mixed),
            mixed @ NOISE,
            lambda loc, tril, x: log_normal(loc, tril * tril.T, x),
        ),
    )
    yield (
        "MultivariateNormal far in the tail",
        Extreme(
            lambda loc, tril: dist.MultivariateNormal(loc, scale_tril=tril),
            (np.zeros(3), TRIL),
            1e12 * NOISE,
            lambda loc, tril, x: log_normal(loc, tril * tril.T, x),
        ),
    )
    for scale in (1e-12, 1e12):
        for name, exponent in (("covariance_matrix", 1), ("precision_matrix", -1)):
            yield (
                f"MultivariateNormal of {name} {scale:g}",
                Extreme(
                    lambda loc, matrix, name=name: dist.MultivariateNormal(loc, **{name: matrix}),
                    (np.zeros(3), scale**exponent * (TRIL @ TRIL.T)),
                    scale**0.5 * NOISE,
                    (lambda loc, matrix, x: log_normal(loc, matrix, x))
                    if exponent == 1
                    else (lambda loc, matrix, x: log_normal(loc, mpmath.inverse(matrix), x)),
                ),
            )


def students():
    for df in (1e-3, 0.5, 30.0, 1e4, 1e6, 1e8, 1e12):
        for distance in (1.0, 1e8, 1e25):
            if df > 1e6 and distance > 1e8:
                continue
            yield (
                f"MultivariateStudentT of {df:g} at {distance:g}",
                Extreme(
                    dist.MultivariateStudentT,
                    (df, np.zeros(3), TRIL),
                    distance * NOISE,
                    log_student,
                    df**0.5 if distance == 1 else 0,
                ),
            )


def low_ranks():
    factor = np.array([[1.0, 0.2], [-0.3, 0.5], [0.6, 0.1], [0.1, -0.7]])
    diagonal = np.array([0.5, 0.8, 1.1, 0.3])
    noise = np.array([0.4, -0.8, 1.3, 0.2])
    for factor_scale, diagonal_scale in ((1.0, 1e-6), (1e3, 1.0), (1.0, 1e8), (1e-8, 1e-6), (1e3, 1e-3)):
        F, D = factor_scale * factor, diagonal_scale * diagonal
        yield (
            f"LowRankMultivariateNormal of {factor_scale:g} and {diagonal_scale:g}",
            Extreme(
                dist.LowRankMultivariateNormal,
                (np.zeros(4), F, D),
                F @ np.array([0.7, -1.1]) + D**0.5 * noise,
                log_low_rank,
                # What a rounding of the value does.
                10 * (np.abs(F).max() ** 2 / D.min()) ** 0.5,
            ),
        )


def simplices():
    share = np.array([0.2, 0.3, 0.5])
    for total in (1e-5, 0.1, 3.0, 1e3, 1e6, 1e8):
        x = share + np.array([0.3, -0.5, 0.2]) * np.sqrt(share / (total + 1)) * (0.3 if total < 10 else 1)
        yield (
            f"Dirichlet of {total:g}",
            Extreme(dist.Dirichlet, (total * share,), x / x.sum(), log_dirichlet, total**0.5),
        )
    uneven = np.array([1e-4, 1.0, 1e5])
    yield (
        "Dirichlet of 1e-4 to 1e5",
        Extreme(dist.Dirichlet, (uneven,), np.array([1e-30, 1e-5, 1 - 1e-5]), log_dirichlet, 1e3),
    )
    for total, count in ((1e-4, 50), (1.0, 10**6), (1e7, 1000), (1e6, 10**6)):
        x = np.array([count // 5, 3 * count // 10, count - count // 5 - 3 * count // 10])
        yield (
            f"DirichletMultinomial of {total:g} and {count}",
            Extreme(
                lambda alpha, count=count: dist.DirichletMultinomial(alpha, count),
                (total * share,),
                x,
                log_dirichlet_multinomial,
            ),
        )
    for count in (10, 10**4, 10**7):
        for logits in (np.array([0.3, -0.5, 1.2]), np.array([0.0, 40.0, -40.0])):
            probs = np.exp(logits) / np.exp(logits).sum()
            x = np.floor(probs * count).astype(int)
            x[np.argmax(x)] += count - x.sum()
            yield (
                f"Multinomial of {count} and {logits}",
                Extreme(
                    lambda logits, count=count: dist.MultinomialLogits(logits, count),
                    (logits,),
                    x,
                    lambda logits, x: log_multinomial(
                        [v - mpmath.log(sum(mpmath.exp(w) for w in logits)) for v in logits], x
                    ),
                ),
            )
    for count in (10**4, 10**7):
        probs = np.array([0.2, 0.5, 0.3])
        yield (
            f"MultinomialProbs of {count}",
            Extreme(
                lambda probs, count=count: dist.MultinomialProbs(probs, count),
                (probs,),
                np.array([count // 5, count // 2, count - count // 5 - count // 2]),
                lambda probs, x: log_multinomial([mpmath.log(p) for p in probs], x),
            ),
        )
        yield (
            f"BetaBinomial of {count}",
            Extreme(
                lambda a, b, count=count: dist.BetaBinomial(a, b, count),
                (2e6, 3e6),
                np.array(count // 5),
                lambda a, b, k, count=count: log_dirichlet_multinomial([a, b], [k, count - k]),
            ),
        )
        for probs in (1e-6, 0.3, 0.999):
            k = int(probs * count)
            yield (
                f"Binomial of {count} and {probs}",
                Extreme(
                    lambda logits, count=count: dist.BinomialLogits(logits, count),
                    (np.log(probs / (1 - probs)),),
                    np.array(k),
                    lambda logits, k, count=count: log_multinomial(
                        [-mpmath.log1p(mpmath.exp(-logits)), -mpmath.log1p(mpmath.exp(logits))], [k, count - k]
                    ),
                ),
            )


def matrices():
    for nu in (2.5, 10.0, 1e3, 1e6, 1e8):
        for scale in (1.0, 1e-10, 1e10):
            if scale != 1 and nu > 1e3:
                continue
            tril = scale * TRIL
            chi = np.sqrt(np.maximum(nu - np.arange(3), 0.3))
            A = np.diag(chi * (1 + 0.4 / np.sqrt(nu + 1))) + SMALL_TRIL
            slack = nu**0.5
            factor = tril @ A
            yield (
                f"WishartCholesky of {nu:g}, {scale:g}",
                Extreme(
                    lambda nu, tril: dist.WishartCholesky(nu, scale_tril=tril),
                    (nu, tril),
                    factor,
                    of_factor(log_wishart),
                    slack,
                ),
            )
            inverse = np.linalg.inv(A[::-1, ::-1].T)
            yield (
                f"InverseWishartCholesky of {nu:g}, {scale:g}",
                Extreme(
                    lambda nu, tril: dist.InverseWishartCholesky(nu, scale_tril=tril),
                    (nu, tril),
                    tril @ inverse,
                    of_factor(log_inverse_wishart),
                    slack,
                ),
            )
            if nu < 1e5:
                # The Cholesky factor of the value is rounded, by a share that depends on how far it is from singular.
                yield (
                    f"Wishart of {nu:g}, {scale:g}",
                    Extreme(
                        lambda nu, tril: dist.Wishart(nu, scale_tril=tril),
                        (nu, tril),
                        factor @ factor.T,
                        lambda nu, tril, x: log_wishart(nu, tril * tril.T, x),
                        10 * nu,
                    ),
                )
                yield (
                    f"InverseWishart of {nu:g}, {scale:g}",
                    Extreme(
                        lambda nu, tril: dist.InverseWishart(nu, scale_tril=tril),
                        (nu, tril),
                        (tril @ inverse) @ (tril @ inverse).T,
                        lambda nu, tril, x: log_inverse_wishart(nu, tril * tril.T, x),
                        10 * nu,
                    ),
                )
    for size in (2, 8, 60):
        for eta in (1e-3, 1.0, 1e3, 1e6):
            factor = correlation_factor(size, 0.3 / np.sqrt(1 + eta))
            yield (
                f"LKJCholesky of {size} and {eta:g}",
                Extreme(
                    lambda eta, size=size: dist.LKJCholesky(size, eta),
                    (eta,),
                    factor,
                    log_lkj_cholesky(size),
                    size * eta**0.5,
                ),
            )
    for scale in (1e-12, 1e12):
        rows, columns = scale * TRIL, TRIL[:2, :2] / scale**0.5
        yield (
            f"MatrixNormal of {scale:g}",
            Extreme(
                dist.MatrixNormal,
                (np.zeros((3, 2)), rows, columns),
                rows @ np.array([[0.4, 1.0], [-0.3, 0.1], [2.0, 0.5]]) @ columns.T,
                log_matrix_normal,
            ),
        )


def graphs():
    noise = np.array([0.4, -0.8, 1.3, 0.2])
    for correlation in (-0.99, 0.0, 0.999, 1 - 1e-6):
        for precision in (1e-12, 1.0, 1e12):
            yield (
                f"CAR of {correlation} and {precision:g}",
                Extreme(
                    lambda loc, c, p: dist.CAR(loc, c, p, np.float32(ADJACENCY)),
                    (np.zeros(4), correlation, precision),
                    noise / precision**0.5,
                    log_car,
                    # What a rounding of the correlation does to the determinant.
                    3 / (1 - abs(correlation)),
                ),
            )
    for scale in (1e-15, 1e15):
        x = scale * (noise - noise.mean())
        yield f"ZeroSumNormal of {scale:g}", Extreme(lambda s: dist.ZeroSumNormal(s, (4,)), (scale,), x, log_zero_sum)
    for scale in (1e-12, 1e12):
        row = scale * np.array([2.0, 0.5, 0.1, 0.5])
        yield (
            f"CirculantNormal of {scale:g}",
            Extreme(dist.CirculantNormal, (np.zeros(4), row), scale**0.5 * noise, log_circulant),
        )


CASES = dict([*normals(), *students(), *low_ranks(), *simplices(), *matrices(), *graphs()])


def cast(x, dtype):
    x = np.asarray(x)
    return x if x.dtype.kind == "i" else x.astype(dtype)


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("name", CASES)
def test_log_density_is_exact_and_its_gradient_finite(name, precision):
    case = CASES[name]
    dtype = np.float32 if precision == "single" else np.float64
    parameters, value = [cast(p, dtype) for p in case.parameters], cast(case.value, dtype)
    is_float = value.dtype.kind == "f"

    def log_prob(parameters, value):
        return case.make(*parameters).log_prob(value)

    with double_precision(precision == "double"):
        wanted = (0, 1) if is_float else (0,)
        found, gradients = jax.jit(jax.value_and_grad(log_prob, wanted))(parameters, jnp.asarray(value))
        found = np.float64(found)
    with mpmath.workdps(50):
        expected = float(case.exact(*map(precise, parameters), precise(value)))
    eps = np.finfo(dtype).eps
    allowed = eps * (16 * (abs(expected) + 5) + 4 * case.slack)
    assert abs(found - expected) < allowed, (found, expected, abs(found - expected) / eps, allowed / eps)
    for gradient in jax.tree.leaves(gradients):
        assert np.isfinite(gradient).all()

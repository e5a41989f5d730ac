# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Divergences of distributions of vectors and matrices."""

from __future__ import annotations

from collections.abc import Callable
import functools
import itertools
import math
from typing import Any

import jax.numpy as jnp
from jax.scipy.special import digamma, gammaln, multigammaln
import numpy as np

from numpyro._shapes import broadcast_shapes
from numpyro.distributions.continuous import (
    CAR,
    LKJ,
    CirculantNormal,
    Dirichlet,
    GaussianRandomWalk,
    InverseWishart,
    InverseWishartCholesky,
    LKJCholesky,
    LowRankMultivariateNormal,
    MatrixNormal,
    MultivariateNormal,
    Normal,
    Wishart,
    WishartCholesky,
    ZeroSumNormal,
)
from numpyro.distributions.continuous.matrices import _solve_tril
from numpyro.distributions.distribution import Distribution, ExpandedDistribution, Independent
from numpyro.distributions.kl.dispatch import no_closed_form, register
from numpyro.distributions.util import cholesky_of_inverse, multidigamma, tri_logabsdet


def _tril_directions(tril: Any) -> Any:
    return jnp.moveaxis(jnp.asarray(tril), -1, 0)


def _matrix_directions(p: Any) -> Any:
    rows, columns = p.event_shape
    outer = jnp.einsum("...ik,...jl->kl...ij", jnp.asarray(p.scale_tril_row), jnp.asarray(p.scale_tril_column))
    return outer.reshape((rows * columns,) + outer.shape[2:])


def _zero_sum_directions(p: Any) -> Any:
    """Those of the centred unit arrays: a projection is its own square."""
    projection = jnp.eye(math.prod(p.event_shape)).reshape((-1, *p.event_shape))
    for axis in range(1, p.event_dim + 1):
        projection = projection - projection.mean(axis, keepdims=True)
    inserted = projection.reshape(projection.shape[:1] + (1,) * len(p.batch_shape) + p.event_shape)
    return p._over_events(jnp.asarray(p.scale)) * inserted


def _independent_directions(p: Any) -> Any:
    size = p.event_shape[0]
    scale = jnp.broadcast_to(p.base_dist.variance, p.batch_shape + (size,)) ** 0.5
    return _tril_directions(scale[..., None] * jnp.eye(size))


#: Arrays d_k so that x - E x is the sum of e_k d_k with independent standard normal e_k, along a new first axis.
_DIRECTIONS: dict[type, Callable[[Any], Any]] = {
    CAR: lambda p: _tril_directions(cholesky_of_inverse(p.precision_matrix)),
    CirculantNormal: lambda p: _tril_directions(jnp.linalg.cholesky(p.covariance_matrix)),
    GaussianRandomWalk: lambda p: _tril_directions(jnp.asarray(p.scale)[..., None, None] * np.tri(p.num_steps)),
    Independent: _independent_directions,
    LowRankMultivariateNormal: lambda p: _tril_directions(p.scale_tril),
    MatrixNormal: _matrix_directions,
    MultivariateNormal: lambda p: _tril_directions(p.scale_tril),
    ZeroSumNormal: _zero_sum_directions,
}


def _is_gaussian(d: Distribution) -> bool:
    if isinstance(d, Independent):
        base = d.base_dist
        while isinstance(base, ExpandedDistribution):
            base = base.base_dist
        return isinstance(base, Normal) and d.event_dim == 1
    return True


def _gaussians(p: Any, q: Any) -> Any:
    """The log density of q falls quadratically: by half its curvature along each direction of p."""
    directions = next(_DIRECTIONS[cls] for cls in type(p).__mro__ if cls in _DIRECTIONS)(p)
    missing = max(len(q.batch_shape) - len(p.batch_shape), 0)
    directions = directions.reshape(directions.shape[:1] + (1,) * missing + directions.shape[1:])
    center = jnp.broadcast_to(q.mean, q.shape())
    drop = (q.log_prob(center) - q.log_prob(center + directions)).sum(0)
    return drop - q.log_prob(jnp.broadcast_to(p.mean, p.shape())) - p.entropy()


def _normals_of_arrays(p: Any, q: Any) -> Any:
    if not (_is_gaussian(p) and _is_gaussian(q)):
        raise NotImplementedError(no_closed_form(p, q))
    return _gaussians(p, q)


for _p, _q in itertools.product(_DIRECTIONS, repeat=2):
    if (_p, _q) != (Independent, Independent):
        register(_p, _q)(_normals_of_arrays)


@register(MultivariateNormal, MultivariateNormal)
def _multivariate_normals(p: Any, q: Any) -> Any:
    size = p.event_shape[0]
    spread = (_solve_tril(q.scale_tril, p.scale_tril) ** 2).sum((-2, -1))
    distance = (q._whiten(jnp.broadcast_to(p.loc - q.loc, broadcast_shapes(p.shape(), q.shape()))) ** 2).sum(-1)
    return 0.5 * (spread + distance - size) + q._half_log_det() - p._half_log_det()


# Matrices


def _wisharts(p: Any, q: Any, inverse: bool = False) -> Any:
    """Inverse matrices have Wishart distributions; a Cholesky factor is as good as its matrix."""
    size = p.event_shape[-1]
    a, b = p._concentration, q._concentration
    near, far = (p, q) if inverse else (q, p)
    trace = (_solve_tril(near.scale_tril, far.scale_tril) ** 2).sum((-2, -1))
    log_ratio = 2 * (tri_logabsdet(near.scale_tril) - tri_logabsdet(far.scale_tril))
    normalizers = multigammaln(0.5 * b, size) - multigammaln(0.5 * a, size)
    return 0.5 * (b * log_ratio + a * (trace - size) + (a - b) * multidigamma(0.5 * a, size)) + normalizers


for _p in (Wishart, WishartCholesky):
    register(_p, _p)(_wisharts)
for _p in (InverseWishart, InverseWishartCholesky):
    register(_p, _p)(functools.partial(_wisharts, inverse=True))


@register(LKJCholesky, LKJCholesky)
def _lkj_factors(p: Any, q: Any) -> Any:
    """The mean of the log determinant is the derivative of the log normaliser."""
    a, b = (jnp.asarray(d.concentration, jnp.result_type(float)) for d in (p, q))
    top = a[..., None] + 0.5 * (p.dimension - 1)
    mean_log_det = (digamma(top - 0.5 * np.arange(1, p.dimension)) - digamma(top)).sum(-1)
    return (a - b) * mean_log_det + q._log_normalizer() - p._log_normalizer()


@register(LKJ, LKJ)
def _lkjs(p: Any, q: Any) -> Any:
    return _lkj_factors(p.base_dist, q.base_dist)


# Vectors on the simplex


@register(Dirichlet, Dirichlet)
def _dirichlets(p: Any, q: Any) -> Any:
    a, b = (jnp.asarray(d.concentration, jnp.result_type(float)) for d in (p, q))
    mean_log = digamma(a) - digamma(a.sum(-1, keepdims=True))
    normalizers = gammaln(a.sum(-1)) - gammaln(b.sum(-1)) - (gammaln(a) - gammaln(b)).sum(-1)
    return normalizers + ((a - b) * mean_log).sum(-1)

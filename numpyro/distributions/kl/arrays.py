# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Divergences of distributions of vectors and matrices."""

from __future__ import annotations

from collections.abc import Callable
import functools
import itertools
import math
from typing import Any

import jax
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
    GaussianStateSpace,
    InverseWishart,
    InverseWishartCholesky,
    LKJCholesky,
    LowRankMultivariateNormal,
    MatrixNormal,
    MultivariateNormal,
    MultivariateStudentT,
    Normal,
    Wishart,
    WishartCholesky,
    ZeroSumNormal,
)
from numpyro.distributions.continuous.matrices import _solve_tril
from numpyro.distributions.copula import GaussianCopula
from numpyro.distributions.directional import SineBivariateVonMises, VonMises
from numpyro.distributions.distribution import Distribution, ExpandedDistribution, Independent
from numpyro.distributions.kl.dispatch import kl_divergence, known_same, no_closed_form, register
from numpyro.distributions.kl.ends import statistics
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
    scale = jnp.broadcast_to(p.base_dist.variance, p.batch_shape + p.event_shape) ** 0.5
    units = jnp.eye(math.prod(p.event_shape)).reshape((-1,) + (1,) * len(p.batch_shape) + p.event_shape)
    return scale * units


def _state_space_directions(p: Any) -> Any:
    """The paths that start with each direction of the noise, at each step."""
    size, later = p.event_shape[1], p.scale_tril
    batch = p.batch_shape
    zeros = jnp.zeros(batch + (size, size))
    impulse = [jnp.broadcast_to(later, zeros.shape)]
    for _ in range(p.num_steps - 1):
        later = jnp.asarray(p.transition_matrix) @ later
        impulse.append(jnp.broadcast_to(later, zeros.shape))
    paths = [jnp.stack([zeros] * start + impulse[: p.num_steps - start], -3) for start in range(p.num_steps)]
    # From (start, batch, time, component, direction) to (start and direction, batch, time, component)
    directions = jnp.moveaxis(jnp.stack(paths), -1, 1)
    return directions.reshape((-1,) + directions.shape[2:])


def _student_directions(p: Any) -> Any:
    df = jnp.asarray(p.df, jnp.result_type(float))
    ratio = df / (jnp.where(df > 2, df, 3.0) - 2)
    return _tril_directions(jnp.sqrt(ratio)[..., None, None] * p.scale_tril)


#: Arrays d_k so that x - E x is the sum of e_k d_k with independent standard normal e_k, along a new first axis.
_DIRECTIONS: dict[type, Callable[[Any], Any]] = {
    CAR: lambda p: _tril_directions(cholesky_of_inverse(p.precision_matrix)),
    CirculantNormal: lambda p: _tril_directions(jnp.linalg.cholesky(p.covariance_matrix)),
    GaussianStateSpace: _state_space_directions,
    GaussianRandomWalk: lambda p: _tril_directions(jnp.asarray(p.scale)[..., None, None] * np.tri(p.num_steps)),
    Independent: _independent_directions,
    LowRankMultivariateNormal: lambda p: _tril_directions(p.scale_tril),
    MatrixNormal: _matrix_directions,
    MultivariateNormal: lambda p: _tril_directions(p.scale_tril),
    ZeroSumNormal: _zero_sum_directions,
}


def _base_of_independent(d: Distribution) -> Distribution:
    """What is independent, if that are numbers."""
    while isinstance(d, Independent | ExpandedDistribution):
        d = d.base_dist
    return d


def _gaussians(p: Any, q: Any) -> Any:
    """The log density of q falls quadratically: by half its curvature along each direction of p."""
    directions = next(_DIRECTIONS[cls] for cls in type(p).__mro__ if cls in _DIRECTIONS)(p)
    missing = max(len(q.batch_shape) - len(p.batch_shape), 0)
    directions = directions.reshape(directions.shape[:1] + (1,) * missing + directions.shape[1:])
    center = jnp.broadcast_to(q.mean, q.shape())
    drop = (q.log_prob(center) - q.log_prob(center + directions)).sum(0)
    return drop - q.log_prob(jnp.broadcast_to(p.mean, p.shape())) - p.entropy()


def _normals_of_arrays(p: Any, q: Any) -> Any:
    """Of p, only entropy, mean and covariance count."""
    of_p, of_q = _base_of_independent(p), _base_of_independent(q)
    if of_p.is_discrete or (isinstance(p, Independent) and of_p.event_shape) or isinstance(of_p, VonMises):
        raise NotImplementedError(no_closed_form(p, q))
    if isinstance(q, Independent) and not isinstance(of_q, Normal):
        raise NotImplementedError(no_closed_form(p, q))
    if isinstance(p, ZeroSumNormal) != isinstance(q, ZeroSumNormal):
        # One of them lives on a subspace.
        return jnp.full((), jnp.inf)
    statistics(p, q, "entropy")
    if isinstance(p, Independent):
        statistics(of_p, q, "mean", "variance")
    if not isinstance(p, MultivariateStudentT):
        return _gaussians(p, q)
    heavy = jnp.asarray(p.df) <= 2
    safe = MultivariateStudentT(jnp.where(heavy, 3.0, p.df), p.loc, p.scale_tril)
    return jnp.where(heavy, jnp.inf, _gaussians(safe, q))


for _q in _DIRECTIONS:
    for _p in (*_DIRECTIONS, MultivariateStudentT):
        if (_p, _q) != (Independent, Independent):
            register(_p, _q)(_normals_of_arrays)
_DIRECTIONS[MultivariateStudentT] = _student_directions


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
    mean_log_det = p._mean_log_squares().sum(-1)
    return (a - b) * mean_log_det + q._log_normalizer() - p._log_normalizer()


@register(LKJ, LKJ)
def _lkjs(p: Any, q: Any) -> Any:
    return _lkj_factors(p.base_dist, q.base_dist)


# Vectors of dependent components


@register(GaussianCopula, GaussianCopula)
def _copulas(p: Any, q: Any) -> Any:
    """With the same marginal distributions, by their normal scores."""
    marginals = (p.marginal_dist, q.marginal_dist)
    kinds = {jax.tree.structure(marginal) for marginal in marginals}
    leaves = (jax.tree.leaves(marginal) for marginal in marginals)
    if len(kinds) > 1 or not all(itertools.starmap(known_same, zip(*leaves, strict=True))):
        raise NotImplementedError(no_closed_form(p, q, "both have the same marginal distributions, not traced"))
    return kl_divergence(p.base_dist, q.base_dist)


@register(SineBivariateVonMises, SineBivariateVonMises)
def _sine_models(p: Any, q: Any) -> Any:
    """The means are derivatives of the log normaliser; those of a sine times 1 or a cosine are 0 by symmetry."""
    point = p._natural
    in_phi = jax.grad(lambda *at: p._log_excess_at(*at).sum(), (0, 1, 2))
    gradient = in_phi(*point)
    along_psi = (jnp.zeros_like(point[0]), jnp.ones_like(point[1]), jnp.zeros_like(point[2]))
    mixed = jax.jvp(in_phi, point, along_psi)[1][0]
    cos_phi, cos_psi = 1 + gradient[0], 1 + gradient[1]
    both_cos = mixed + gradient[0] * gradient[1] + gradient[0] + gradient[1] + 1
    phi, psi = p.phi_loc - q.phi_loc, p.psi_loc - q.psi_loc
    both_sin = gradient[2] * jnp.cos(phi) * jnp.cos(psi) + both_cos * jnp.sin(phi) * jnp.sin(psi)
    exponent = q.phi_concentration * (cos_phi * jnp.cos(phi) - 1) + q.psi_concentration * (cos_psi * jnp.cos(psi) - 1)
    return q._log_excess - exponent - q.correlation * both_sin - p.entropy()


# Vectors on the simplex


@register(Dirichlet, Dirichlet)
def _dirichlets(p: Any, q: Any) -> Any:
    a, b = (jnp.asarray(d.concentration, jnp.result_type(float)) for d in (p, q))
    mean_log = digamma(a) - digamma(a.sum(-1, keepdims=True))
    normalizers = gammaln(a.sum(-1)) - gammaln(b.sum(-1)) - (gammaln(a) - gammaln(b)).sum(-1)
    return normalizers + ((a - b) * mean_log).sum(-1)

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Wishart and inverse Wishart distributions, of positive definite matrices and of their Cholesky factors."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import digamma, multigammaln
import numpy as np

from numpyro._shapes import shape_of
from numpyro.distributions import constraints
from numpyro.distributions._log_density import log_gamma
from numpyro.distributions._random import standard_gamma
from numpyro.distributions._special import chi_moments
from numpyro.distributions.continuous.multivariate import solve_lower
from numpyro.distributions.continuous.real_line import HALF_LOG_2PI
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import cholesky_of_inverse, lazy_property, multidigamma, tri_logabsdet

__all__ = ["InverseWishart", "InverseWishartCholesky", "Wishart", "WishartCholesky"]


def _solve_tril(tril: Any, matrix: Any) -> Any:
    """Solve ``tril @ X = matrix``, with the batch dimensions broadcast."""
    batch = jnp.broadcast_shapes(shape_of(tril)[:-2], shape_of(matrix)[:-2])
    tril, matrix = (jnp.broadcast_to(x, batch + shape_of(x)[-2:]) for x in (tril, matrix))
    return solve_triangular(tril, matrix, lower=True)


def _solve_columns(tril: Any, matrix: Any) -> Any:
    """The columns of ``tril^-1 @ matrix``, as rows; for small matrices without a call of a library for each."""
    return solve_lower(jnp.asarray(tril)[..., None, :, :], jnp.matrix_transpose(jnp.asarray(matrix)))


@jax.custom_jvp
def safe_cholesky(matrix: Any) -> tuple[Any, Any]:
    """Which symmetric matrices are positive definite, and their Cholesky factors; the identity for those that are not.

    So the factors are finite everywhere, and so are their derivatives (which are zero for those matrices).

    :param matrix: shape ``A + (n, n)``.
    :return: shapes ``A`` and ``A + (n, n)``.
    """
    tril = jnp.linalg.cholesky(matrix)
    inside = ~jnp.isnan(tril).any((-2, -1))
    return inside, jnp.where(inside[..., None, None], tril, jnp.eye(tril.shape[-1], dtype=tril.dtype))


@safe_cholesky.defjvp
def _safe_cholesky_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    # dL = L phi(L^-1 dA L^-T) with phi the lower triangle and half the diagonal (Murray 2016, arXiv:1602.07527, eq. 8)
    inside, tril = safe_cholesky(*primals)
    [tangent] = tangents
    half = _solve_tril(tril, 0.5 * (tangent + jnp.matrix_transpose(tangent)))
    whole = _solve_tril(tril, jnp.matrix_transpose(half))
    size = tril.shape[-1]
    lower = whole * (np.tri(size) - 0.5 * np.eye(size)).astype(tril.dtype)
    tangent = jnp.where(inside[..., None, None], tril @ lower, 0.0)
    return (inside, tril), (np.zeros(inside.shape, jax.dtypes.float0), tangent)


class _ScaleMatrix(Distribution):
    """Concentration, and a scale matrix given by itself, its inverse, or its Cholesky factor."""

    arg_constraints = {
        "concentration": constraints.dependent(is_discrete=False, event_dim=0),
        "scale_matrix": constraints.positive_definite,
        "rate_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    reparametrized_params = ["concentration", "scale_matrix", "rate_matrix", "scale_tril"]
    #: Degrees of freedom.
    concentration: Any = None

    def __init__(
        self,
        concentration: Any,
        scale_matrix: Any = None,
        rate_matrix: Any = None,
        scale_tril: Any = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        matrices = {"scale_matrix": scale_matrix, "rate_matrix": rate_matrix, "scale_tril": scale_tril}
        given = {name: matrix for name, matrix in matrices.items() if matrix is not None}
        if len(given) != 1:
            raise ValueError(
                f"{type(self).__name__}: give exactly one of scale_matrix, rate_matrix and scale_tril; given: "
                f"{', '.join(given) or 'none'}."
            )
        [(name, matrix)] = given.items()
        shape = np.shape(matrix) if isinstance(matrix, list | tuple) else shape_of(matrix)
        if len(shape) < 2 or shape[-1] != shape[-2]:
            raise ValueError(f"{type(self).__name__}: {name} must have shape (..., n, n), but has shape {shape}.")
        self._declare(
            concentration=concentration, **{name: matrix}, event_shape=shape[-2:], validate_args=validate_args
        )

    def _argument_constraint(self, name: str) -> Any:
        if name == "concentration":
            return constraints.greater_than(self.event_shape[-1] - 1)
        return self.arg_constraints[name]

    @lazy_property
    def scale_tril(self) -> Any:
        """Cholesky factor of the scale matrix."""
        if "scale_matrix" in self.__dict__:
            return jnp.linalg.cholesky(self.scale_matrix)
        return cholesky_of_inverse(self.rate_matrix)

    @lazy_property
    def scale_matrix(self) -> Any:
        """Scale matrix."""
        return self.scale_tril @ jnp.matrix_transpose(self.scale_tril)

    @lazy_property
    def rate_matrix(self) -> Any:
        """Inverse of the scale matrix."""
        identity = jnp.broadcast_to(jnp.eye(self.event_shape[-1]), shape_of(self.scale_tril))
        return jax.scipy.linalg.cho_solve((self.scale_tril, True), identity)

    @property
    def _concentration(self) -> Any:
        return jnp.asarray(self.concentration, jnp.result_type(float))

    def _bartlett(self, key: Any, sample_shape: Sequence[int]) -> Any:
        """Cholesky factors of Wishart matrices with scale I (Bartlett 1933): chi below degrees, normal below."""
        key_chi2, key_normal = jax.random.split(key)
        size, shape = self.event_shape[-1], tuple(sample_shape) + self.batch_shape
        half_degrees = 0.5 * (self._concentration[..., None] - np.arange(size))
        diagonal = jnp.sqrt(2 * standard_gamma(key_chi2, half_degrees, shape + (size,)))
        below = jnp.tril(jax.random.normal(key_normal, shape + self.event_shape), -1)
        return below + diagonal[..., None] * jnp.eye(size)

    def _log_normalizer(self) -> Any:
        """Of the Wishart density of a matrix whose scale has the factor ``scale_tril``, but for the determinants."""
        size, concentration = self.event_shape[-1], self._concentration
        return 0.5 * concentration * size * math.log(2) + multigammaln(0.5 * concentration, size)


def _log_det_jacobian(tril: Any) -> Any:
    """Of the map from a Cholesky factor to its matrix, between the free elements."""
    return _mean_log_det_jacobian(_log_diagonal(tril))


def _log_diagonal(tril: Any) -> Any:
    return jnp.log(jnp.diagonal(tril, axis1=-2, axis2=-1))


def _mean_log_det_jacobian(log_diagonal: Any) -> Any:
    """The same, from the logarithms of the diagonal; it is linear in them, so that their means give its mean."""
    size = log_diagonal.shape[-1]
    return size * math.log(2) + (np.arange(size, 0, -1) * log_diagonal).sum(-1)


def _mean_log_chi(degrees: Any) -> Any:
    return 0.5 * (digamma(0.5 * degrees) + math.log(2))


def _wishart_entropy(d: _ScaleMatrix) -> Any:
    """Bishop (2006), *Pattern Recognition and Machine Learning*, equations B.79 to B.82."""
    size, concentration = d.event_shape[-1], d._concentration
    log_det = 2 * tri_logabsdet(d.scale_tril)
    mean_log_det = multidigamma(0.5 * concentration, size) + size * math.log(2) + log_det
    log_normalizer = d._log_normalizer() + 0.5 * concentration * log_det
    return log_normalizer - 0.5 * (concentration - size - 1) * mean_log_det + 0.5 * concentration * size


def _inverse_wishart_entropy(d: _ScaleMatrix) -> Any:
    """The log determinant of the inverse has the mean of a Wishart matrix."""
    size, concentration = d.event_shape[-1], d._concentration
    log_det = 2 * tri_logabsdet(d.scale_tril)
    mean_log_det = log_det - multidigamma(0.5 * concentration, size) - size * math.log(2)
    log_normalizer = d._log_normalizer() - 0.5 * concentration * log_det
    return log_normalizer + 0.5 * (concentration + size + 1) * mean_log_det + 0.5 * concentration * size


def _safe_tril(tril: Any) -> tuple[Any, Any]:
    """Whether matrices have a positive diagonal, and the identity in the place of those that have not."""
    inside = (jnp.diagonal(tril, axis1=-2, axis2=-1) > 0).all(-1)
    return inside, jnp.where(inside[..., None, None], tril, jnp.eye(tril.shape[-1], dtype=tril.dtype))


class WishartCholesky(_ScaleMatrix):
    r"""Distribution of the Cholesky factor of a matrix with a :class:`Wishart` distribution.

    .. math:: p(L) = 2^n \prod_{i=1}^{n} L_{ii}^{n - i + 1}\; p_W(L L^\top)

    :param concentration: :math:`\nu > n - 1`.
    :param scale_matrix: :math:`V`, of shape ``B + (n, n)``, positive definite.
    :param rate_matrix: :math:`V^{-1}`.
    :param scale_tril: Cholesky factor of :math:`V`.

    **Source:** Bartlett (1933), *On the theory of statistical regression*; Gupta, Nagar (2000), *Matrix Variate
    Distributions*, chapter 3.

    >>> import jax, jax.numpy as jnp, numpyro.distributions as dist
    >>> dist.WishartCholesky(5.0, jnp.eye(2)).sample(jax.random.key(0)).shape
    (2, 2)
    """

    support = constraints.lower_cholesky

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.scale_tril @ self._bartlett(key, sample_shape)

    def log_prob(self, value: Any) -> Any:
        inside, tril = _safe_tril(jnp.asarray(value))
        return jnp.where(inside, _wishart_density(self, tril), -jnp.inf)

    @property
    def _chi_moments(self) -> tuple[Any, Any]:
        """Means and variances of the diagonal of the Bartlett factor."""
        return chi_moments(self._concentration[..., None] - np.arange(self.event_shape[-1]))

    @property
    def mean(self) -> Any:
        return self.scale_tril * self._chi_moments[0][..., None, :]

    def entropy(self) -> Any:
        degrees = self._concentration[..., None] - np.arange(self.event_shape[-1])
        diagonal = jnp.diagonal(jnp.asarray(self.scale_tril), axis1=-2, axis2=-1)
        return _wishart_entropy(self) - _mean_log_det_jacobian(jnp.log(diagonal) + _mean_log_chi(degrees))

    @property
    def variance(self) -> Any:
        squares = jnp.tril(jnp.asarray(self.scale_tril) ** 2)
        # below the diagonal the entries of the Bartlett factor have variance 1
        later = squares @ jnp.tril(jnp.ones(self.event_shape), -1)
        return squares * self._chi_moments[1][..., None, :] + later


class Wishart(_ScaleMatrix):
    r"""Wishart distribution, of the scatter matrix of :math:`\nu` normal vectors with covariance V.

    .. math:: p(X) = \frac{|X|^{(\nu - n - 1)/2}\, e^{-\mathrm{tr}(V^{-1} X)/2}}
        {2^{\nu n/2}\,|V|^{\nu/2}\,\Gamma_n(\nu/2)}

    :param concentration: :math:`\nu > n - 1`.
    :param scale_matrix: :math:`V`, of shape ``B + (n, n)``, positive definite.
    :param rate_matrix: :math:`V^{-1}`.
    :param scale_tril: Cholesky factor of :math:`V`.
    :raises ValueError: unless exactly one matrix is given.

    **Source:** Wishart (1928), *The generalised product moment distribution in samples from a normal multivariate
    population*. Biometrika 20.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> print(dist.Wishart(5.0, jnp.eye(2)).mean)
    [[5. 0.]
     [0. 5.]]
    """

    support = constraints.positive_definite

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        tril = self.scale_tril @ self._bartlett(key, sample_shape)
        return tril @ jnp.matrix_transpose(tril)

    def log_prob(self, value: Any) -> Any:
        inside, tril = safe_cholesky(value)
        return jnp.where(inside, _wishart_density(self, tril) - _log_det_jacobian(tril), -jnp.inf)

    @property
    def mean(self) -> Any:
        return self._concentration[..., None, None] * self.scale_matrix

    @property
    def variance(self) -> Any:
        V = jnp.asarray(self.scale_matrix)
        diagonal = jnp.diagonal(V, axis1=-2, axis2=-1)
        return self._concentration[..., None, None] * (V**2 + diagonal[..., :, None] * diagonal[..., None, :])

    def entropy(self) -> Any:
        return _wishart_entropy(self)


class InverseWishartCholesky(_ScaleMatrix):
    r"""Distribution of the Cholesky factor of a matrix with an :class:`InverseWishart` distribution.

    .. math:: p(L) = 2^n \prod_{i=1}^{n} L_{ii}^{n - i + 1}\; p_{W^{-1}}(L L^\top)

    :param concentration: :math:`\nu > n - 1`.
    :param scale_matrix: :math:`\Psi`, of shape ``B + (n, n)``, positive definite.
    :param rate_matrix: :math:`\Psi^{-1}`.
    :param scale_tril: Cholesky factor of :math:`\Psi`.

    **Source:** Gupta, Nagar (2000), *Matrix Variate Distributions*, chapter 3.

    >>> import jax, jax.numpy as jnp, numpyro.distributions as dist
    >>> dist.InverseWishartCholesky(5.0, jnp.eye(2)).sample(jax.random.key(0)).shape
    (2, 2)
    """

    support = constraints.lower_cholesky

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return _inverse_wishart_tril(self, key, sample_shape)

    def log_prob(self, value: Any) -> Any:
        inside, tril = _safe_tril(jnp.asarray(value))
        return jnp.where(inside, _inverse_wishart_density(self, tril), -jnp.inf)

    @property
    def mean(self) -> Any:
        """Mean; NaN in the columns that have none, unless the concentration exceeds n."""
        degrees = self._concentration[..., None] - np.arange(self.event_shape[-1])[::-1]
        exists = degrees > 1
        safe = jnp.where(exists, degrees, 2.0)
        # 1 / chi of one more degree of freedom has this mean.
        inverse_chi = 1 / chi_moments(safe - 1)[0]
        return jnp.where(exists[..., None, :], self.scale_tril * inverse_chi[..., None, :], jnp.nan)

    def entropy(self) -> Any:
        degrees = self._concentration[..., None] - np.arange(self.event_shape[-1])[::-1]
        diagonal = jnp.diagonal(jnp.asarray(self.scale_tril), axis1=-2, axis2=-1)
        return _inverse_wishart_entropy(self) - _mean_log_det_jacobian(jnp.log(diagonal) - _mean_log_chi(degrees))


class InverseWishart(_ScaleMatrix):
    r"""Inverse Wishart distribution: X has it if :math:`X^{-1}` has a Wishart distribution with scale
    :math:`\Psi^{-1}`.

    .. math:: p(X) = \frac{|\Psi|^{\nu/2}\,|X|^{-(\nu + n + 1)/2}\,e^{-\mathrm{tr}(\Psi X^{-1})/2}}
        {2^{\nu n/2}\,\Gamma_n(\nu/2)}

    :param concentration: :math:`\nu > n - 1`.
    :param scale_matrix: :math:`\Psi`, of shape ``B + (n, n)``, positive definite.
    :param rate_matrix: :math:`\Psi^{-1}`.
    :param scale_tril: Cholesky factor of :math:`\Psi`.
    :raises ValueError: unless exactly one matrix is given.

    **Source:** Gelman et al. (2013), *Bayesian Data Analysis*, appendix A.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> print(dist.InverseWishart(5.0, jnp.eye(2)).mean)
    [[0.5 0. ]
     [0.  0.5]]
    """

    support = constraints.positive_definite

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        tril = _inverse_wishart_tril(self, key, sample_shape)
        return tril @ jnp.matrix_transpose(tril)

    def log_prob(self, value: Any) -> Any:
        inside, tril = safe_cholesky(value)
        return jnp.where(inside, _inverse_wishart_density(self, tril) - _log_det_jacobian(tril), -jnp.inf)

    @property
    def mean(self) -> Any:
        """Mean; infinite unless the concentration exceeds n + 1."""
        excess = self._concentration[..., None, None] - self.event_shape[-1] - 1
        return jnp.where(excess > 0, self.scale_matrix / jnp.where(excess > 0, excess, 1.0), jnp.inf)

    @property
    def mode(self) -> Any:
        return self.scale_matrix / (self._concentration[..., None, None] + self.event_shape[-1] + 1)

    @property
    def variance(self) -> Any:
        """Variance; NaN unless the concentration exceeds n + 3."""
        size, Psi = self.event_shape[-1], jnp.asarray(self.scale_matrix)
        diagonal = jnp.diagonal(Psi, axis1=-2, axis2=-1)
        excess = self._concentration[..., None, None] - size
        exists = excess > 3
        safe = jnp.where(exists, excess, 4.0)
        spread = (safe + 1) * Psi**2 + (safe - 1) * diagonal[..., :, None] * diagonal[..., None, :]
        return jnp.where(exists, spread / (safe * (safe - 1) ** 2 * (safe - 3)), jnp.nan)

    def entropy(self) -> Any:
        return _inverse_wishart_entropy(self)


def _wishart_density(d: _ScaleMatrix, tril: Any) -> Any:
    """Log density of the Cholesky factor: of its Bartlett decomposition, so that nothing large cancels."""
    bartlett = jnp.matrix_transpose(_solve_columns(d.scale_tril, tril))
    ranks = np.arange(1, d.event_shape[-1] + 1)
    return _bartlett_density(d, bartlett, ranks[::-1]) - (ranks * _log_diagonal(d.scale_tril)).sum(-1)


def _inverse_wishart_tril(d: _ScaleMatrix, key: Any, sample_shape: Sequence[int]) -> Any:
    # With A the Bartlett factor of the inverse and rows and columns reversed, L A^-T A^-1 L^T is a draw; the reversal
    # makes the factor lower triangular.
    bartlett = d._bartlett(key, sample_shape)
    flipped = bartlett[..., ::-1, ::-1]
    identity = jnp.broadcast_to(jnp.eye(flipped.shape[-1]), flipped.shape)
    inverse = solve_triangular(jnp.matrix_transpose(flipped), identity, lower=True)
    return d.scale_tril @ inverse


def _inverse_wishart_density(d: _ScaleMatrix, tril: Any) -> Any:
    """The same of the inverse: the factor of the inverse, in units of the scale, has such a decomposition."""
    bartlett = jnp.matrix_transpose(_solve_columns(tril, d.scale_tril))
    ranks = np.arange(1, d.event_shape[-1] + 1)
    log_scales = ranks[::-1] * _log_diagonal(bartlett) - ranks * _log_diagonal(tril)
    return _bartlett_density(d, bartlett, ranks) + log_scales.sum(-1)


def _bartlett_density(d: _ScaleMatrix, bartlett: Any, ranks: Any) -> Any:
    """Log density of independent entries: chi variates on the diagonal, standard normal ones below it.

    :param ranks: what to add to ``concentration - n`` for the degrees of freedom of each chi variate.
    """
    size = d.event_shape[-1]
    degrees = d._concentration[..., None] - size + ranks
    diagonal = jnp.diagonal(bartlett, axis1=-2, axis2=-1)
    log_chi = log_gamma(0.5 * degrees, 0.5, diagonal**2) + math.log(2) + jnp.log(diagonal)
    below = jnp.tril(bartlett, -1)
    return log_chi.sum(-1) - 0.5 * (below**2).sum((-2, -1)) - 0.5 * size * (size - 1) * HALF_LOG_2PI

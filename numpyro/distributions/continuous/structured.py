# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Multivariate distributions with heavy tails, or with a covariance of special structure."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma
import numpy as np

from numpyro._shapes import reshape, shape_of
from numpyro.distributions import constraints
from numpyro.distributions._random import standard_gamma
from numpyro.distributions._special import FEW, betaln
from numpyro.distributions.continuous.multivariate import UNROLLED_SIZE, multiply, solve_lower
from numpyro.distributions.continuous.real_line import HALF_LOG_2PI
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.transforms import ZeroSumTransform
from numpyro.distributions.util import add_diag, cholesky_of_inverse, lazy_property, sum_rightmost, tri_logabsdet
from numpyro.util import not_jax_tracer

__all__ = [
    "CAR",
    "CirculantNormal",
    "LowRankMultivariateNormal",
    "MatrixNormal",
    "MultivariateStudentT",
    "ZeroSumNormal",
]


def vector_of(value: Any) -> Any:
    """A location as an array with a last dimension; a scalar stands for all entries."""
    value = np.asarray(value) if isinstance(value, list | tuple) else value
    return value if shape_of(value) else reshape(value, (1,))


class MultivariateStudentT(Distribution):
    r"""Multivariate Student's t distribution.

    .. math:: p(x) = \frac{\Gamma((\nu + n)/2)}{\Gamma(\nu/2)\,(\nu\pi)^{n/2}\,|L|}
        \left(1 + \frac{|L^{-1}(x - \mu)|^2}{\nu}\right)^{-(\nu + n)/2}

    :param df: degrees of freedom :math:`\nu > 0`.
    :param loc: median :math:`\mu`, of shape ``B + (n,)`` (a scalar stands for all entries).
    :param scale_tril: :math:`L`, of shape ``B + (n, n)``, lower triangular with a positive diagonal.

    **Source:** Kotz, Nadarajah (2004), *Multivariate t Distributions and Their Applications*, chapter 1.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> print(dist.MultivariateStudentT(4.0, 0.0, jnp.eye(2)).variance)
    [2. 2.]
    """

    arg_constraints = {
        "df": constraints.positive,
        "loc": constraints.real_vector,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    reparametrized_params = ["df", "loc", "scale_tril"]

    def __init__(self, df: Any, loc: Any = 0.0, scale_tril: Any = None, *, validate_args: bool | None = None) -> None:
        if scale_tril is None:
            raise ValueError("MultivariateStudentT: scale_tril must be given.")
        shape = np.shape(scale_tril) if isinstance(scale_tril, list | tuple) else shape_of(scale_tril)
        loc = vector_of(loc)
        if len(shape) < 2 or shape[-1] != shape[-2] or shape_of(loc)[-1] not in (1, shape[-1]):
            raise ValueError(
                f"MultivariateStudentT: scale_tril of shape {shape} and loc of shape {shape_of(loc)} do not fit; they "
                "must have shapes (..., n, n) and (..., n)."
            )
        self._declare(df=df, loc=loc, scale_tril=scale_tril, event_shape=shape[-1:], validate_args=validate_args)

    @lazy_property
    def covariance_matrix(self) -> Any:
        r"""The scale matrix :math:`L L^\top`; the covariance is :math:`\nu / (\nu - 2)` times it."""
        return self.scale_tril @ jnp.matrix_transpose(self.scale_tril)

    @lazy_property
    def precision_matrix(self) -> Any:
        """Inverse of the scale matrix."""
        identity = jnp.broadcast_to(jnp.eye(self.event_shape[0]), shape_of(self.scale_tril))
        return jax.scipy.linalg.cho_solve((self.scale_tril, True), identity)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        key_normal, key_chi2 = jax.random.split(key)
        shape = tuple(sample_shape) + self.batch_shape
        noise = jax.random.normal(key_normal, shape + self.event_shape)
        df = jnp.asarray(self.df, jnp.result_type(float))
        chi2 = 2 * standard_gamma(key_chi2, 0.5 * df, shape)
        spread = jnp.einsum("...ij,...j->...i", self.scale_tril, noise)
        return self.loc + spread * jnp.sqrt(df / chi2)[..., None]

    def log_prob(self, value: Any) -> Any:
        size, df = self.event_shape[0], jnp.asarray(self.df, jnp.result_type(float))
        z = solve_lower(self.scale_tril, value - jnp.broadcast_to(self.loc, shape_of(self.loc)[:-1] + (size,)))
        # Squares of numbers that are far from 0 are no numbers in single precision.
        far = jnp.abs(z).max(-1) > 1e15
        z = z * jnp.where(far, 1e-20, 1.0)[..., None]
        ratio = (z * z).sum(-1) / df
        log_growth = jnp.where(far, jnp.log(jnp.where(far, ratio, 1.0)) + 40 * math.log(10), jnp.log1p(ratio))
        return -0.5 * (df + size) * log_growth - self._log_normalizer() - tri_logabsdet(self.scale_tril)

    def _log_normalizer(self) -> Any:
        size, df = self.event_shape[0], jnp.asarray(self.df, jnp.result_type(float))
        return betaln(0.5 * df, 0.5 * size) - math.lgamma(0.5 * size) + 0.5 * size * jnp.log(math.pi * df)

    @property
    def mean(self) -> Any:
        return jnp.where(jnp.asarray(self.df)[..., None] > 1, self.loc, jnp.nan)

    @property
    def variance(self) -> Any:
        df = jnp.asarray(self.df)[..., None]
        has_variance = df > 2
        variance = (self.scale_tril**2).sum(-1) * df / (jnp.where(has_variance, df, 3.0) - 2)
        return jnp.where(has_variance, variance, jnp.where(df > 1, jnp.inf, jnp.nan))

    @property
    def mode(self) -> Any:
        return self.loc

    def entropy(self) -> Any:
        size, df = self.event_shape[0], jnp.asarray(self.df, jnp.result_type(float))
        total = 0.5 * (df + size)
        growth = total * (digamma(total) - digamma(0.5 * df))
        return self._log_normalizer() + growth + tri_logabsdet(self.scale_tril)


class LowRankMultivariateNormal(Distribution):
    r"""Multivariate normal distribution whose covariance is :math:`W W^\top + \mathrm{diag}(d)`.

    .. math:: p(x) = (2\pi)^{-n/2} |\Sigma|^{-1/2} \exp\left(-\tfrac12 (x - \mu)^\top \Sigma^{-1} (x - \mu)\right),
        \quad \Sigma = W W^\top + \mathrm{diag}(d)

    Density and draws cost :math:`O(n k^2)` and :math:`O(n k)`, by the Woodbury identity and the matrix determinant
    lemma.

    :param loc: mean :math:`\mu`, of shape ``B + (n,)``.
    :param cov_factor: :math:`W`, of shape ``B + (n, k)``.
    :param cov_diag: :math:`d`, of shape ``B + (n,)``, positive.

    **Source:** Bishop (2006), *Pattern Recognition and Machine Learning*, section 12.2, and appendix C for the
    determinant and the inverse.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> print(dist.LowRankMultivariateNormal(jnp.zeros(2), jnp.ones((2, 1)), jnp.array([0.5, 1.0])).variance)
    [1.5 2. ]
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    reparametrized_params = ["loc", "cov_factor", "cov_diag"]

    def __init__(self, loc: Any, cov_factor: Any, cov_diag: Any, *, validate_args: bool | None = None) -> None:
        loc, cov_diag = vector_of(loc), vector_of(cov_diag)
        shape = np.shape(cov_factor) if isinstance(cov_factor, list | tuple) else shape_of(cov_factor)
        if len(shape) < 2 or shape_of(cov_diag)[-1] != shape[-2] or shape_of(loc)[-1] not in (1, shape[-2]):
            raise ValueError(
                f"LowRankMultivariateNormal: shapes (..., n), (..., n, k) and (..., n) are needed for loc, cov_factor "
                f"and cov_diag, but they are {shape_of(loc)}, {shape} and {shape_of(cov_diag)}."
            )
        self._declare(
            loc=loc, cov_factor=cov_factor, cov_diag=cov_diag, event_shape=shape[-2:-1], validate_args=validate_args
        )

    @lazy_property
    def _scaled_factor(self) -> Any:
        return self.cov_factor / jnp.asarray(self.cov_diag)[..., None]

    @lazy_property
    def _capacitance_tril(self) -> Any:
        r"""Cholesky factor of :math:`I + W^\top \mathrm{diag}(d)^{-1} W`."""
        return jnp.linalg.cholesky(add_diag(jnp.matrix_transpose(self.cov_factor) @ self._scaled_factor, 1.0))

    @lazy_property
    def _regression(self) -> Any:
        """The matrix that makes the expected factors of a deviation from the mean."""
        return jax.scipy.linalg.cho_solve((self._capacitance_tril, True), jnp.matrix_transpose(self._scaled_factor))

    @lazy_property
    def covariance_matrix(self) -> Any:
        """Covariance."""
        return add_diag(self.cov_factor @ jnp.matrix_transpose(self.cov_factor), self.cov_diag)

    @lazy_property
    def precision_matrix(self) -> Any:
        """Inverse of the covariance."""
        inner = jax.scipy.linalg.solve_triangular(
            self._capacitance_tril, jnp.matrix_transpose(self._scaled_factor), lower=True
        )
        return add_diag(-(jnp.matrix_transpose(inner) @ inner), 1 / jnp.asarray(self.cov_diag))

    @lazy_property
    def scale_tril(self) -> Any:
        """Cholesky factor of the covariance."""
        return jnp.linalg.cholesky(self.covariance_matrix)

    def _half_log_det(self) -> Any:
        return tri_logabsdet(self._capacitance_tril) + 0.5 * jnp.log(jnp.asarray(self.cov_diag)).sum(-1)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        key_factor, key_diag = jax.random.split(key)
        shape = tuple(sample_shape) + self.batch_shape
        factors = jax.random.normal(key_factor, shape + shape_of(self.cov_factor)[-1:])
        noise = jax.random.normal(key_diag, shape + self.event_shape)
        common = jnp.einsum("...ij,...j->...i", self.cov_factor, factors)
        return self.loc + common + jnp.sqrt(jnp.asarray(self.cov_diag)) * noise

    def log_prob(self, value: Any) -> Any:
        factor, diag = jnp.asarray(self.cov_factor), jnp.asarray(self.cov_diag)
        distance = _low_rank_distance(value - self.loc, self._regression, factor, diag)
        return -0.5 * distance - self._half_log_det() - self.event_shape[0] * HALF_LOG_2PI

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return (jnp.asarray(self.cov_factor) ** 2).sum(-1) + self.cov_diag

    @property
    def mode(self) -> Any:
        return self.loc

    def entropy(self) -> Any:
        return self.event_shape[0] * (0.5 + HALF_LOG_2PI) + self._half_log_det()


@jax.custom_jvp
def _low_rank_distance(deviation: Any, regression: Any, factor: Any, diag: Any) -> Any:
    """Squared distance of a deviation from 0 under the covariance ``factor @ factor.T + diag``.

    With the likeliest factors, ``regression @ deviation``, the deviation is the sum of their part and a rest. Nothing
    cancels, as it does in the Woodbury identity where the factors have the larger part of the variance. These factors
    minimise what is computed here, so that it has no derivative in them.
    """
    size = deviation.shape[-1]
    if size > UNROLLED_SIZE:
        factors = multiply(regression, deviation)
        rest = deviation - multiply(factor, factors)
        return (rest**2 / diag).sum(-1) + (factors**2).sum(-1)
    # Few numbers: one product gives the rest in its units, and the factors.
    rest = (jnp.eye(size) - factor @ regression) / jnp.sqrt(diag)[..., None]
    white = jnp.einsum("...ij,...j->...i", jnp.concatenate([rest, regression], -2), deviation)
    return sum_rightmost(white * white, 1)


@_low_rank_distance.defjvp
def _low_rank_distance_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    deviation, regression, factor, diag = primals
    in_deviation, _, in_factor, in_diag = tangents
    factors = multiply(regression, deviation)
    weighted = (deviation - multiply(factor, factors)) / diag
    along = in_deviation - multiply(in_factor, factors)
    tangent = (2 * weighted * along).sum(-1) - (weighted**2 * in_diag).sum(-1)
    return _low_rank_distance(*primals), tangent


class MatrixNormal(Distribution):
    r"""Matrix normal distribution: of :math:`M + L_r E L_c^\top` where the entries of E are standard normal.

    .. math:: p(X) = \frac{e^{-\lVert Z \rVert^2 / 2}}{(2\pi)^{np/2} |L_r|^p |L_c|^n},
        \quad Z = L_r^{-1} (X - M) L_c^{-\top}

    :param loc: mean :math:`M`, of shape ``B + (n, p)``.
    :param scale_tril_row: :math:`L_r`, of shape ``B + (n, n)``, lower triangular with a positive diagonal.
    :param scale_tril_column: :math:`L_c`, of shape ``B + (p, p)``, lower triangular with a positive diagonal.

    **Source:** Gupta, Nagar (2000), *Matrix Variate Distributions*, chapter 2.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> dist.MatrixNormal(jnp.zeros((3, 2)), jnp.eye(3), jnp.eye(2)).event_shape
    (3, 2)
    """

    arg_constraints = {
        "loc": constraints.real_matrix,
        "scale_tril_row": constraints.lower_cholesky,
        "scale_tril_column": constraints.lower_cholesky,
    }
    support = constraints.real_matrix
    reparametrized_params = ["loc", "scale_tril_row", "scale_tril_column"]

    def __init__(
        self, loc: Any, scale_tril_row: Any, scale_tril_column: Any, *, validate_args: bool | None = None
    ) -> None:
        shape = np.shape(loc) if isinstance(loc, list | tuple) else shape_of(loc)
        rows, columns = np.shape(scale_tril_row)[-1:], np.shape(scale_tril_column)[-1:]
        if len(shape) < 2 or shape[-2:] != rows + columns:
            raise ValueError(
                f"MatrixNormal: loc must have shape (..., n, p) = (..., {', '.join(map(str, rows + columns))}) for the "
                f"given factors, but has shape {shape}."
            )
        self._declare(
            loc=loc,
            scale_tril_row=scale_tril_row,
            scale_tril_column=scale_tril_column,
            event_shape=shape[-2:],
            validate_args=validate_args,
        )

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        noise = jax.random.normal(key, self.shape(sample_shape))
        return self.loc + self.scale_tril_row @ noise @ jnp.matrix_transpose(self.scale_tril_column)

    def log_prob(self, value: Any) -> Any:
        rows, columns = self.event_shape
        # Both factors take their turn at whitening; each vector along the other axis is one right-hand side.
        half = solve_lower(jnp.expand_dims(self.scale_tril_row, -3), jnp.matrix_transpose(value - self.loc))
        z = solve_lower(jnp.expand_dims(self.scale_tril_column, -3), jnp.matrix_transpose(half))
        log_det = columns * tri_logabsdet(self.scale_tril_row) + rows * tri_logabsdet(self.scale_tril_column)
        return -0.5 * (z * z).sum((-2, -1)) - log_det - rows * columns * HALF_LOG_2PI

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        by_row, by_column = ((jnp.asarray(L) ** 2).sum(-1) for L in (self.scale_tril_row, self.scale_tril_column))
        return by_row[..., :, None] * by_column[..., None, :]

    @property
    def mode(self) -> Any:
        return self.loc

    def entropy(self) -> Any:
        rows, columns = self.event_shape
        log_det = columns * tri_logabsdet(self.scale_tril_row) + rows * tri_logabsdet(self.scale_tril_column)
        return rows * columns * (0.5 + HALF_LOG_2PI) + log_det


class ZeroSumNormal(Distribution):
    r"""Normal distribution on arrays that sum to zero along each of their axes.

    .. math:: p(x) = (2\pi\sigma^2)^{-m/2} \exp\left(-\frac{\lVert x \rVert^2}{2\sigma^2}\right),
        \quad m = \prod_i (n_i - 1)

    It is that of :math:`\sigma E` with standard normal :math:`E`, after its means along all axes are taken away; the
    density is with respect to the subspace, of dimension :math:`\prod_i (n_i - 1)`.

    :param scale: :math:`\sigma > 0`.
    :param event_shape: shape :math:`(n_1, n_2, \dots)` of the arrays.

    **Source:** Rao (1973), *Linear Statistical Inference and Its Applications*, chapter 8, on the singular normal
    distribution.

    >>> import jax, numpyro.distributions as dist
    >>> x = dist.ZeroSumNormal(1.0, (4,)).sample(jax.random.key(0))
    >>> x.shape, bool(abs(x.sum()) < 1e-6)
    ((4,), True)
    """

    arg_constraints = {"scale": constraints.positive}
    reparametrized_params = ["scale"]

    def __init__(self, scale: Any, event_shape: Sequence[int], *, validate_args: bool | None = None) -> None:
        if not len(event_shape):
            raise ValueError("ZeroSumNormal: event_shape must have at least one dimension.")
        self._declare(scale=scale, event_shape=tuple(event_shape), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Any:
        return constraints.zero_sum(self.event_dim)

    def _over_events(self, x: Any) -> Any:
        return jnp.reshape(x, shape_of(x) + (1,) * self.event_dim)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        smaller = tuple(size - 1 for size in self.event_shape)
        noise = jax.random.normal(key, tuple(sample_shape) + self.batch_shape + smaller)
        return self._over_events(self.scale) * ZeroSumTransform(self.event_dim)(noise)

    @property
    def _degrees(self) -> int:
        return math.prod(size - 1 for size in self.event_shape)

    def log_prob(self, value: Any) -> Any:
        z = value / self._over_events(self.scale)
        distance = (z * z).sum(tuple(range(-self.event_dim, 0)))
        return -0.5 * distance - self._degrees * (jnp.log(self.scale) + HALF_LOG_2PI)

    @property
    def mean(self) -> Any:
        return 0.0

    @property
    def variance(self) -> Any:
        share = math.prod(1 - 1 / size for size in self.event_shape)
        return self._over_events(jnp.asarray(self.scale) ** 2 * share)

    @property
    def mode(self) -> Any:
        return 0.0

    def entropy(self) -> Any:
        return self._degrees * (0.5 + HALF_LOG_2PI + jnp.log(self.scale))


class CirculantNormal(Distribution):
    r"""Multivariate normal distribution whose covariance is circulant, such as a Gaussian process on a ring.

    .. math:: p(x) = \prod_{k=0}^{n-1} (2\pi\lambda_k)^{-1/2} e^{-|\hat z_k|^2 / (2 n \lambda_k)},
        \quad \hat z = \mathrm{DFT}(x - \mu), \quad \lambda = \mathrm{DFT}(\text{first row})

    The discrete Fourier transform diagonalises the covariance, so density and draws cost :math:`O(n \log n)`.

    :param loc: mean :math:`\mu`, of shape ``B + (n,)``.
    :param covariance_row: first row of the covariance, of shape ``B + (n,)``.
    :param covariance_rfft: its real Fourier transform, of shape ``B + (n // 2 + 1,)``, positive.
    :raises ValueError: unless exactly one of the two is given.

    **Source:** Gray (2006), *Toeplitz and Circulant Matrices: A Review*, chapter 3.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> d = dist.CirculantNormal(jnp.zeros(4), covariance_row=jnp.array([2.0, 0.5, 0.0, 0.5]))
    >>> print(d.covariance_rfft)
    [3. 2. 1.]
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_row": constraints.positive_definite_circulant_vector,
        "covariance_rfft": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    reparametrized_params = ["loc", "covariance_row", "covariance_rfft"]

    def __init__(
        self, loc: Any, covariance_row: Any = None, covariance_rfft: Any = None, *, validate_args: bool | None = None
    ) -> None:
        if (covariance_row is None) == (covariance_rfft is None):
            raise ValueError("CirculantNormal: give exactly one of covariance_row and covariance_rfft.")
        loc = vector_of(loc)
        if covariance_row is not None:
            size = np.shape(covariance_row)[-1]
        else:
            size, expected = shape_of(loc)[-1], np.shape(covariance_rfft)[-1]
            if size // 2 + 1 != expected:
                raise ValueError(
                    f"CirculantNormal: covariance_rfft must have n // 2 + 1 = {size // 2 + 1} entries for vectors of "
                    f"size {size}, but has {expected}."
                )
        self._declare(
            loc=loc,
            covariance_row=covariance_row,
            covariance_rfft=covariance_rfft,
            event_shape=(size,),
            validate_args=validate_args,
        )

    @lazy_property
    def covariance_rfft(self) -> Any:
        """Eigenvalues of the covariance, the first half and the middle one of them."""
        return jnp.fft.rfft(self.covariance_row).real

    @lazy_property
    def covariance_row(self) -> Any:
        """First row of the covariance."""
        return jnp.fft.irfft(self.covariance_rfft, self.event_shape[0])

    @property
    def covariance_matrix(self) -> Any:
        """Covariance."""
        index = np.arange(self.event_shape[0])
        return jnp.asarray(self.covariance_row)[..., np.abs(index[:, None] - index)]

    @property
    def _multiplicity(self) -> np.ndarray:
        """How often each eigenvalue of ``covariance_rfft`` occurs."""
        size = self.event_shape[0]
        return np.array([1 if k == 0 or 2 * k == size else 2 for k in range(size // 2 + 1)])

    def _half_log_det(self) -> Any:
        return 0.5 * (self._multiplicity * jnp.log(jnp.asarray(self.covariance_rfft))).sum(-1)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        size, root = self.event_shape[0], jnp.sqrt(jnp.asarray(self.covariance_rfft))
        noise = jax.random.normal(key, self.shape(sample_shape))
        if size <= FEW:
            # A product with the square root of the covariance, which is circulant too, is quicker than two transforms.
            index = np.arange(size)
            matrix = jnp.fft.irfft(root, size)[..., (index[:, None] - index) % size]
            return self.loc + multiply(matrix, noise)
        return self.loc + jnp.fft.irfft(jnp.fft.rfft(noise) * root, size)

    def log_prob(self, value: Any) -> Any:
        size = self.event_shape[0]
        spectrum = jnp.fft.rfft(value - jnp.broadcast_to(self.loc, shape_of(self.loc)[:-1] + (size,)))
        whitened = spectrum * jnp.sqrt(self._multiplicity / (size * jnp.asarray(self.covariance_rfft)))
        distance = sum_rightmost(whitened.real**2 + whitened.imag**2, 1)
        return -0.5 * distance - self._half_log_det() - size * HALF_LOG_2PI

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return jnp.asarray(self.covariance_row)[..., :1]

    @property
    def mode(self) -> Any:
        return self.loc

    def entropy(self) -> Any:
        return self.event_shape[0] * (0.5 + HALF_LOG_2PI) + self._half_log_det()


class CAR(Distribution):
    r"""Conditional autoregressive distribution of values on the nodes of a graph.

    .. math:: p(x) \propto \sqrt{|Q|} \exp\left(-\tfrac12 (x - \mu)^\top Q (x - \mu)\right),
        \quad Q = \tau (D - \alpha W)

    It is normal with precision matrix :math:`\tau (D - \alpha W)`, where W is the adjacency matrix and D the diagonal
    matrix of its row sums (Besag 1974; Jin, Carlin and Banerjee 2005 for the determinant).

    :param loc: mean :math:`\mu`, of shape ``B + (n,)``.
    :param correlation: :math:`\alpha`, in (-1, 1).
    :param conditional_precision: :math:`\tau > 0`.
    :param adj_matrix: :math:`W`, symmetric, without edges from a node to itself, each node with an edge: an array of
        shape ``B + (n, n)``, or with ``is_sparse`` a SciPy sparse matrix (or a NumPy array that is made into one).
    :param is_sparse: whether to compute with the edges only.

    **Source:** Besag (1974), *Spatial interaction and the statistical analysis of lattice systems*. Journal of the
    Royal Statistical Society B 36.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> ring = jnp.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    >>> d = dist.CAR(jnp.zeros(3), 0.5, 1.0, ring)
    >>> round(float(d.log_prob(jnp.zeros(3))), 4)
    -1.8405
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "correlation": constraints.open_interval(-1, 1),
        "conditional_precision": constraints.positive,
        "adj_matrix": constraints.dependent(is_discrete=False, event_dim=2),
    }
    support = constraints.real_vector
    reparametrized_params = ["loc", "correlation", "conditional_precision"]
    pytree_aux_fields = ("is_sparse", "_edges")

    def __init__(
        self,
        loc: Any,
        correlation: Any,
        conditional_precision: Any,
        adj_matrix: Any,
        *,
        is_sparse: bool = False,
        validate_args: bool | None = None,
    ) -> None:
        self.is_sparse = is_sparse
        shape = tuple(np.shape(adj_matrix)) or tuple(adj_matrix.shape)
        if len(shape) < 2 or shape[-1] != shape[-2]:
            raise ValueError(f"CAR: adj_matrix must be square, but has shape {shape}.")
        given = {"loc": vector_of(loc), "correlation": correlation, "conditional_precision": conditional_precision}
        if is_sparse:
            self._edges = _edges_of(adj_matrix, shape)
        else:
            given["adj_matrix"] = adj_matrix
        self._declare(**given, event_shape=shape[-1:], validate_args=validate_args)

    @property
    def adj_matrix(self) -> Any:
        """Adjacency matrix."""
        return self._edges.dense if self.is_sparse else self.__dict__["adj_matrix"]

    @adj_matrix.setter
    def adj_matrix(self, value: Any) -> None:
        self.__dict__["adj_matrix"] = value

    @property
    def _degrees(self) -> Any:
        if self.is_sparse:
            return self._edges.degrees
        return jnp.asarray(self.adj_matrix, jnp.result_type(float)).sum(-1)

    def _quadratic_form(self, deviation: Any) -> Any:
        """:math:`x^\\top (D - \\alpha W) x`."""
        diagonal = (self._degrees * deviation**2).sum(-1)
        if self.is_sparse:
            edges, by_node = self._edges, jnp.moveaxis(deviation, -1, 0)
            weights = np.reshape(edges.weights, (-1,) + (1,) * (by_node.ndim - 1))
            neighbours = 2 * (weights * by_node[edges.rows] * by_node[edges.columns]).sum(0)
        else:
            neighbours = jnp.einsum("...i,...ij,...j->...", deviation, jnp.asarray(self.adj_matrix), deviation)
        return diagonal - self.correlation * neighbours

    @property
    def _scaled_eigenvalues(self) -> Any:
        """Those of the normalised adjacency matrix: on the host, in double precision, where the matrix is concrete."""
        if self.is_sparse:
            return self._edges.eigenvalues
        if not_jax_tracer(self.adj_matrix):
            return _scaled_eigenvalues(np.asarray(self.adj_matrix, np.float64), np)
        return _scaled_eigenvalues(jnp.asarray(self.adj_matrix, jnp.result_type(float)), jnp)

    def _log_det(self) -> Any:
        """Logarithm of the determinant of the precision matrix."""
        scaled = jnp.log1p(-jnp.asarray(self.correlation)[..., None] * self._scaled_eigenvalues).sum(-1)
        size = self.event_shape[0]
        return size * jnp.log(self.conditional_precision) + jnp.log(self._degrees).sum(-1) + scaled

    @property
    def precision_matrix(self) -> Any:
        """Precision matrix (dense)."""
        adjacency = jnp.asarray(self.adj_matrix)
        correlation = jnp.asarray(self.correlation)[..., None, None]
        structure = add_diag(-correlation * adjacency, jnp.broadcast_to(self._degrees, adjacency.shape[:-1]))
        return jnp.asarray(self.conditional_precision)[..., None, None] * structure

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        noise = jax.random.normal(key, self.shape(sample_shape))
        return self.loc + multiply(cholesky_of_inverse(self.precision_matrix), noise)

    def log_prob(self, value: Any) -> Any:
        deviation = value - jnp.broadcast_to(self.loc, shape_of(self.loc)[:-1] + self.event_shape)
        distance = self.conditional_precision * self._quadratic_form(deviation)
        return 0.5 * (self._log_det() - distance) - self.event_shape[0] * HALF_LOG_2PI

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return jnp.diagonal(jnp.linalg.inv(self.precision_matrix), axis1=-2, axis2=-1)

    @property
    def mode(self) -> Any:
        return self.loc

    def entropy(self) -> Any:
        return self.event_shape[0] * (0.5 + HALF_LOG_2PI) - 0.5 * self._log_det()


def _scaled_eigenvalues(adjacency: Any, xp: Any) -> Any:
    """Eigenvalues of :math:`D^{-1/2} W D^{-1/2}`, in the dtype that JAX computes in."""
    inverse_root = 1 / xp.sqrt(adjacency.sum(-1))
    scaled = inverse_root[..., :, None] * adjacency * inverse_root[..., None, :]
    return xp.linalg.eigvalsh(scaled).astype(jnp.result_type(float))


class _Edges:
    """A symmetric adjacency matrix on the host, its edges, and what the density needs of it."""

    def __init__(self, dense: np.ndarray) -> None:
        self.dense = dense
        self.rows, self.columns = np.nonzero(np.triu(dense))
        self.weights = dense[self.rows, self.columns]
        self.degrees = dense.sum(-1)
        self.eigenvalues = _scaled_eigenvalues(dense, np)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Edges) and np.array_equal(self.dense, other.dense)

    def __hash__(self) -> int:
        return hash(self.dense.tobytes())


def _edges_of(adj_matrix: Any, shape: tuple[int, ...]) -> _Edges:
    if len(shape) != 2 or isinstance(adj_matrix, jax.core.Tracer):
        raise ValueError(
            "CAR: with is_sparse=True, adj_matrix must be one concrete matrix: a SciPy sparse matrix or a NumPy array."
        )
    dense = adj_matrix.toarray() if hasattr(adj_matrix, "toarray") else np.asarray(adj_matrix)
    return _Edges(np.asarray(dense, np.float64))

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Normal vectors whose covariance has low rank, but for its diagonal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import shape_of
from numpyro.distributions import constraints
from numpyro.distributions.continuous.multivariate import UNROLLED_SIZE, multiply
from numpyro.distributions.continuous.real_line import HALF_LOG_2PI
from numpyro.distributions.continuous.structured.shared import vector_of
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import add_diag, lazy_property, sum_rightmost, tri_logabsdet

__all__ = ["LowRankMultivariateNormal"]


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

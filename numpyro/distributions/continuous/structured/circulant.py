# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Normal vectors on a circle, with a stationary covariance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import shape_of
from numpyro.distributions import constraints
from numpyro.distributions._special import FEW
from numpyro.distributions.continuous.multivariate import multiply
from numpyro.distributions.continuous.real_line import HALF_LOG_2PI
from numpyro.distributions.continuous.structured.shared import vector_of
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import lazy_property, sum_rightmost

__all__ = ["CirculantNormal"]


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

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Normal matrices whose rows and columns have covariances of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import shape_of
from numpyro.distributions import constraints
from numpyro.distributions.continuous.multivariate import solve_lower
from numpyro.distributions.continuous.real_line import HALF_LOG_2PI
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import tri_logabsdet

__all__ = ["MatrixNormal"]


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

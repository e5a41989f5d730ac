# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Student's t distribution of vectors."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma
import numpy as np

from numpyro._shapes import shape_of
from numpyro.distributions import constraints
from numpyro.distributions._random import standard_gamma
from numpyro.distributions._special import betaln
from numpyro.distributions.continuous.multivariate import solve_lower
from numpyro.distributions.continuous.structured.shared import vector_of
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import lazy_property, tri_logabsdet

__all__ = ["MultivariateStudentT"]


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

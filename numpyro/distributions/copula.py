# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Gaussian copulas: vectors with given marginal distributions and the dependence of a normal vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax.scipy.special import ndtr

from numpyro._shapes import Shape, broadcast_shapes, shape_of
from numpyro.distributions import constraints
from numpyro.distributions._tails import normal_score
from numpyro.distributions.continuous import Beta, MultivariateNormal
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import assert_one_of, lazy_property, sum_rightmost, tri_logabsdet

__all__ = ["GaussianCopula", "GaussianCopulaBeta"]


class GaussianCopula(Distribution):
    r"""Vector with given marginal distributions whose normal scores are jointly normal.

    .. math:: p(x) = \frac{\mathcal{N}(z; 0, R)}{\prod_i \varphi(z_i)} \prod_i f_i(x_i), \quad
        z_i = \Phi^{-1}(F_i(x_i))

    with the marginal densities :math:`f_i`, distribution functions :math:`F_i` and a correlation matrix R.

    **Source:** Song (2000), *Multivariate dispersion models generated from Gaussian copula*.

    :param marginal_dist: univariate distributions with ``cdf`` and ``icdf``; the last batch dimension is the event.
    :param correlation_matrix: R, of shape ``(..., d, d)``.
    :param correlation_cholesky: its Cholesky factor. Exactly one of the two is given.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> correlation = jnp.array([[1.0, 0.3], [0.3, 1.0]])
    >>> d = dist.GaussianCopula(dist.Beta(2.0, jnp.array([3.0, 4.0])), correlation)
    >>> d.event_shape, round(float(d.log_prob(jnp.array([0.2, 0.3]))), 4)
    ((2,), 1.178)
    """

    arg_constraints = {
        "correlation_matrix": constraints.corr_matrix,
        "correlation_cholesky": constraints.corr_cholesky,
    }
    pytree_data_fields = ("marginal_dist",)
    reparametrized_params = ["correlation_matrix", "correlation_cholesky"]
    marginal_dist: Distribution

    def __init__(
        self,
        marginal_dist: Distribution,
        correlation_matrix: Any = None,
        correlation_cholesky: Any = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        if marginal_dist.event_shape or marginal_dist.is_discrete:
            kind = "discrete" if marginal_dist.is_discrete else f"of event shape {marginal_dist.event_shape}"
            raise ValueError(
                f"GaussianCopula: the marginal distributions must be univariate and continuous, but "
                f"{type(marginal_dist).__name__} is {kind}."
            )
        batch_shape = self._couple(marginal_dist.batch_shape, correlation_matrix, correlation_cholesky)
        if not marginal_dist.batch_shape:
            marginal_dist = marginal_dist.expand(self._event_shape)
        self.marginal_dist = marginal_dist
        self._declare(
            correlation_matrix=correlation_matrix,
            correlation_cholesky=correlation_cholesky,
            event_shape=self._event_shape,
            validate_args=validate_args,
        )
        self._given_batch_shape = batch_shape

    def _couple(self, marginal_shape: Shape, correlation_matrix: Any, correlation_cholesky: Any) -> Shape:
        """Check that marginal distributions and correlations fit, keep the event shape, and return the batch shape."""
        name = type(self).__name__
        assert_one_of(correlation_matrix=correlation_matrix, correlation_cholesky=correlation_cholesky)
        shape = shape_of(correlation_matrix if correlation_cholesky is None else correlation_cholesky)
        if len(shape) < 2 or shape[-1] != shape[-2] or marginal_shape[-1:] not in ((), (1,), shape[-1:]):
            raise ValueError(
                f"{name}: correlations of shape {shape} do not fit marginal distributions of batch shape "
                f"{marginal_shape}. For d marginal distributions along the last batch dimension give a matrix of shape "
                "(..., d, d)."
            )
        self._event_shape = shape[-1:]
        try:
            return broadcast_shapes(marginal_shape[:-1], shape[:-2])
        except ValueError:
            raise ValueError(
                f"{name}: batch shape {marginal_shape[:-1]} of the marginal distributions (without the last dimension) "
                f"does not broadcast with {shape[:-2]}, that of the correlations."
            ) from None

    def _extra_rank(self, name: str) -> int:
        return 1

    @property
    def has_rsample(self) -> bool:
        return self.marginal_dist.has_rsample

    @lazy_property
    def correlation_matrix(self) -> Any:
        """The correlation matrix of the normal scores."""
        return self.correlation_cholesky @ jnp.swapaxes(self.correlation_cholesky, -1, -2)

    @lazy_property
    def correlation_cholesky(self) -> Any:
        """Its Cholesky factor."""
        return jnp.linalg.cholesky(jnp.asarray(self.correlation_matrix))

    @property
    def base_dist(self) -> Distribution:
        """Distribution of the normal scores."""
        zeros = jnp.zeros(self.event_shape)
        return MultivariateNormal(zeros, scale_tril=self.correlation_cholesky)

    @property
    def support(self) -> Any:
        return constraints.independent(self.marginal_dist.support, 1)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        scores = self.base_dist.expand(self.batch_shape).sample(key, sample_shape)
        return self.marginal_dist.icdf(ndtr(scores))

    def log_prob(self, value: Any) -> Any:
        inside = self.marginal_dist.support(value)
        safe = jnp.where(inside, value, self.marginal_dist.support.feasible_like(jnp.asarray(value)))
        # At an end of the marginal support a score is infinite: its square is not to be subtracted from another.
        scores = jnp.clip(normal_score(self.marginal_dist, safe), -1e15, 1e15)
        dependence = self.base_dist.log_prob(scores) - sum_rightmost(_log_normal(scores), 1)
        density = dependence + sum_rightmost(jnp.broadcast_to(self.marginal_dist.log_prob(safe), scores.shape), 1)
        return jnp.where(jnp.all(inside, -1), density, -jnp.inf)

    @property
    def mean(self) -> Any:
        return self.marginal_dist.mean

    @property
    def variance(self) -> Any:
        return self.marginal_dist.variance

    def entropy(self) -> Any:
        """Entropy, if that of the marginal distributions has a closed form."""
        marginal = jnp.broadcast_to(self.marginal_dist.entropy(), self.batch_shape + self.event_shape)
        return sum_rightmost(marginal, 1) + tri_logabsdet(self.correlation_cholesky)


def _log_normal(z: Any) -> Any:
    return -0.5 * z * z - 0.5 * jnp.log(2 * jnp.pi)


class GaussianCopulaBeta(GaussianCopula):
    r"""Vector of Beta variables coupled by a Gaussian copula; see :class:`GaussianCopula`.

    :param concentration1: :math:`\alpha > 0` of each element, of shape ``(..., d)`` or a number.
    :param concentration0: :math:`\beta > 0` of each element.
    :param correlation_matrix: correlations of the normal scores, of shape ``(..., d, d)``.
    :param correlation_cholesky: their Cholesky factor. Exactly one of the two is given.

    **Source:** Song (2000), *Multivariate dispersion models generated from Gaussian copula*. Scandinavian Journal of
    Statistics 27.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> d = dist.GaussianCopulaBeta(2.0, jnp.array([3.0, 6.0]), correlation_matrix=jnp.eye(2))
    >>> print(d.mean)
    [0.4  0.25]
    """

    arg_constraints = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
        "correlation_matrix": constraints.corr_matrix,
        "correlation_cholesky": constraints.corr_cholesky,
    }
    support = constraints.independent(constraints.unit_interval, 1)

    def __init__(
        self,
        concentration1: Any,
        concentration0: Any,
        correlation_matrix: Any = None,
        correlation_cholesky: Any = None,
        *,
        validate_args: bool | None = False,
    ) -> None:
        marginal_shape = broadcast_shapes(shape_of(concentration1), shape_of(concentration0))
        batch_shape = self._couple(marginal_shape, correlation_matrix, correlation_cholesky)
        self._declare(
            concentration1=concentration1,
            concentration0=concentration0,
            correlation_matrix=correlation_matrix,
            correlation_cholesky=correlation_cholesky,
            event_shape=self._event_shape,
            validate_args=validate_args,
        )
        self._given_batch_shape = batch_shape

    def _declared_event_dim(self, name: str) -> int:
        return 1 if name.startswith("concentration") else 2

    @property
    def marginal_dist(self) -> Distribution:
        """The Beta distributions of the elements, along the last batch dimension."""
        beta = Beta(self.concentration1, self.concentration0)
        return beta.expand(broadcast_shapes(beta.batch_shape, self.event_shape))

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions that serve the library itself: a point, a weight, a flat prior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import Shape, broadcast_shapes, shape_of
from numpyro.distributions import constraints
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.distribution.base import Distribution
from numpyro.distributions.util import sum_rightmost

__all__ = ["Delta", "ImproperUniform", "Unit"]


class Delta(Distribution):
    r"""Point mass, with an optional log density that it contributes.

    .. math:: p(x) = e^{c} \text{ for } x = v, \text{ else } 0

    :param v: the point :math:`v`; its last ``event_dim`` dimensions are the event.
    :param log_density: log density :math:`c` at the point, real, of batch shape.
    :param event_dim: number of event dimensions of ``v``.

    **Source:** Dillon et al. (2017), *TensorFlow Distributions*, arXiv:1711.10604.

    >>> import numpyro.distributions as dist
    >>> print(dist.Delta(2.0).log_prob(2.0), dist.Delta(2.0).log_prob(3.0))
    0.0 -inf
    """

    arg_constraints = {"v": constraints.dependent(is_discrete=False), "log_density": constraints.real}
    reparametrized_params = ["v", "log_density"]

    def __init__(
        self, v: Any = 0.0, log_density: Any = 0.0, event_dim: int = 0, *, validate_args: bool | None = None
    ) -> None:
        v = np.asarray(v) if isinstance(v, list | tuple) else v
        shape = shape_of(v)
        if event_dim > len(shape):
            raise ValueError(f"Delta: event_dim={event_dim} is more than the dimensions of v, which has shape {shape}")
        self._own_event_dim = event_dim
        self._declare(
            v=v, log_density=log_density, event_shape=shape[len(shape) - event_dim :], validate_args=validate_args
        )

    def _declared_event_dim(self, name: str) -> int:
        return self._own_event_dim if name == "v" else 0

    @property
    def support(self) -> Any:
        return constraints.independent(constraints.real, self.event_dim)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        v = self.v if self.event_dim < jnp.ndim(self.v) else jnp.asarray(self.v)
        return jnp.broadcast_to(v, self.shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        hit = jnp.where(jnp.asarray(value) == self.v, 0.0, -jnp.inf)
        return sum_rightmost(hit, self.event_dim) + self.log_density

    @property
    def mean(self) -> Any:
        return jnp.broadcast_to(self.v, self.shape())

    @property
    def variance(self) -> Any:
        return jnp.zeros(self.shape())

    def entropy(self) -> Any:
        return jnp.broadcast_to(-jnp.asarray(self.log_density), self.batch_shape)


class Unit(Distribution):
    r"""Distribution with a single, empty value; it carries a log factor. It is what :func:`numpyro.factor` is made of.

    .. math:: \log p(x) = c

    :param log_factor: log weight :math:`c`, real, of batch shape.

    **Source:** Phan, Pradhan, Jankowiak (2019), *Composable effects for flexible and accelerated probabilistic
    programming in NumPyro*, arXiv:1912.11554.

    >>> import numpyro.distributions as dist
    >>> print(dist.Unit(-1.5).log_prob(jnp.zeros((0,))))
    -1.5
    """

    arg_constraints = {"log_factor": constraints.real}
    support = constraints.real_vector

    def __init__(self, log_factor: Any, *, validate_args: bool | None = False) -> None:
        self._declare(log_factor=log_factor, event_shape=(0,), validate_args=validate_args)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return jnp.empty(self.shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        shape = broadcast_shapes(shape_of(value)[:-1], self.batch_shape)
        return jnp.broadcast_to(self.log_factor, shape)


class ImproperUniform(Distribution):
    r"""A flat, improper prior: log density 0 on the whole support.

    .. math:: p(x) \propto 1

    :param support: a :class:`~numpyro.distributions.constraints.Constraint`.
    :param batch_shape: batch shape.
    :param event_shape: event shape.

    It cannot be sampled; initialise such a site by :func:`~numpyro.infer.init_to_uniform` or by a value.

    **Source:** Gelman et al. (2013), *Bayesian Data Analysis*, section 2.8.

    >>> import numpyro.distributions as dist
    >>> d = dist.ImproperUniform(dist.constraints.ordered_vector, (5,), (3,))
    >>> d.batch_shape, d.event_shape, d.log_prob(jnp.arange(3.0)).shape
    ((5,), (3,), (5,))
    """

    pytree_data_fields = ("support",)

    def __init__(
        self,
        support: Constraint,
        batch_shape: Sequence[int],
        event_shape: Sequence[int],
        *,
        validate_args: bool | None = None,
    ) -> None:
        if support.event_dim > len(event_shape):
            raise ValueError(
                f"ImproperUniform: support {support} has events of {support.event_dim} dimensions, but event_shape is "
                f"{tuple(event_shape)}"
            )
        self.support = constraints.independent(support, len(event_shape) - support.event_dim)
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    def _field_batch_shapes(self) -> list[Shape]:
        arrays = jax.tree.leaves(self.support)
        if not arrays:
            return []
        prototype = jax.ShapeDtypeStruct(self.event_shape, jnp.result_type(float))
        event = jax.eval_shape(lambda support, x: support(x), self.support, prototype)
        return [event.shape]

    def log_prob(self, value: Any) -> Any:
        return jnp.zeros(broadcast_shapes(shape_of(value)[: jnp.ndim(value) - self.event_dim], self.batch_shape))

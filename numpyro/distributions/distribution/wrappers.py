# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What ``expand``, ``to_event`` and ``mask`` make: distributions around one distribution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import Shape, broadcast_shapes, can_broadcast, can_expand, shape_of
from numpyro.distributions import constraints
from numpyro.distributions.distribution.base import Distribution
from numpyro.distributions.util import sum_rightmost

__all__ = ["ExpandedDistribution", "Independent", "MaskedDistribution", "Wrapper"]


class ExpandedDistribution(Distribution):
    r"""A distribution repeated along new or size-1 batch dimensions, independently.

    .. math:: p(x) = \prod_b p_b(x_b)

    :param base_dist: the distribution to repeat.
    :param batch_shape: the new batch shape; the one of ``base_dist`` must broadcast to it.

    **Source:** Dillon et al. (2017), *TensorFlow Distributions*, arXiv:1711.10604, on the semantics of shapes.

    >>> import jax, numpyro.distributions as dist
    >>> d = dist.ExpandedDistribution(dist.Normal(jax.numpy.zeros((3, 1)), 1.0), (4, 3, 2))
    >>> d.sample(jax.random.key(0)).shape
    (4, 3, 2)
    """

    pytree_data_fields = ("base_dist",)
    base_dist: Distribution

    def __init__(self, base_dist: Distribution, batch_shape: Sequence[int] = ()) -> None:
        if isinstance(base_dist, ExpandedDistribution) and can_expand(base_dist.batch_shape, batch_shape):
            base_dist = base_dist.base_dist
        batch_shape = tuple(batch_shape)
        if not can_expand(base_dist.batch_shape, batch_shape):
            raise ValueError(
                f"{type(base_dist).__name__} with batch shape {base_dist.batch_shape} cannot be expanded to "
                f"{batch_shape}: each "
                "dimension, counted from the right, must be equal or 1. Insert dimensions of size 1 in its parameters "
                "(x[..., None]), or turn batch dimensions into event dimensions by .to_event(n)."
            )
        self.base_dist = base_dist
        super().__init__(batch_shape, base_dist.event_shape, validate_args=base_dist._validate_args)

    @property
    def event_shape(self) -> Shape:
        return self.base_dist.event_shape

    @property
    def support(self) -> Any:
        return self.base_dist.support

    @property
    def has_rsample(self) -> bool:
        return self.base_dist.has_rsample

    @property
    def has_enumerate_support(self) -> bool:
        return self.base_dist.has_enumerate_support

    @property
    def is_discrete(self) -> bool:
        return self.base_dist.is_discrete

    def _draw(self, key: Any, sample_shape: Sequence[int]) -> tuple[Any, Any, Callable[[Any], Any]]:
        """Draw from the base once for each repetition, and a function that puts the repetitions in their places."""
        sample_shape = tuple(sample_shape)
        target = self.batch_shape
        base_shape = (1,) * (len(target) - len(self.base_dist.batch_shape)) + self.base_dist.batch_shape
        repeated = [dim for dim, (have, want) in enumerate(zip(base_shape, target, strict=True)) if have != want]
        draws = sample_shape + tuple(target[dim] for dim in repeated)
        value, intermediates = self.base_dist.sample_with_intermediates(key, draws)

        def place(x: Any) -> Any:
            trailing = x.shape[len(draws) + len(self.base_dist.batch_shape) :]
            x = jnp.reshape(x, draws + base_shape + trailing)
            first = len(sample_shape)
            for offset, dim in enumerate(repeated):
                # The first repetition axis left goes where its size-1 dimension stands, which is dropped.
                position = first + len(repeated) - offset + dim
                x = jnp.moveaxis(jnp.squeeze(x, position), first, position - 1)
            return x

        return value, intermediates, place

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        value, _, place = self._draw(key, sample_shape)
        return jax.tree.map(place, value)

    def rsample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.sample(key, sample_shape)

    def sample_with_intermediates(self, key: Any, sample_shape: Sequence[int] = ()) -> tuple[Any, Any]:
        value, intermediates, place = self._draw(key, sample_shape)
        return place(value), [(value, intermediates, place)] if intermediates else []

    def log_prob(self, value: Any, intermediates: Any = None) -> Any:
        shape = broadcast_shapes(shape_of(value)[: jnp.ndim(value) - self.event_dim], self.batch_shape)
        if intermediates:
            [(base_value, base_intermediates, place)] = intermediates
            return place(self.base_dist.log_prob(base_value, base_intermediates))
        return jnp.broadcast_to(self.base_dist.log_prob(value), shape)

    def _broadcast(self, x: Any) -> Any:
        return jnp.broadcast_to(x, broadcast_shapes(shape_of(x), self.batch_shape))

    def cdf(self, value: Any) -> Any:
        return self._broadcast(self.base_dist.cdf(value))

    def log_cdf(self, value: Any) -> Any:
        return self._broadcast(self.base_dist.log_cdf(value))

    def icdf(self, q: Any) -> Any:
        return self._broadcast(self.base_dist.icdf(q))

    def entropy(self) -> Any:
        return self._broadcast(self.base_dist.entropy())

    @property
    def mean(self) -> Any:
        return jnp.broadcast_to(self.base_dist.mean, self.shape())

    @property
    def variance(self) -> Any:
        return jnp.broadcast_to(self.base_dist.variance, self.shape())

    @property
    def mode(self) -> Any:
        return jnp.broadcast_to(self.base_dist.mode, self.shape())

    def _feasible_like(self, prototype: Any) -> Any:
        return self.base_dist._feasible_like(prototype)

    def enumerate_support(self, expand: bool = True) -> Any:
        values = self.base_dist.enumerate_support(expand=False)
        values = jnp.reshape(values, values.shape[:1] + (1,) * len(self.batch_shape) + self.event_shape)
        return jnp.broadcast_to(values, values.shape[:1] + self.shape()) if expand else values


class Wrapper(Distribution):
    """A wrapper around one distribution, ``base_dist``, whose batch shape follows from it."""

    pytree_data_fields: ClassVar[tuple[str, ...]] = ("base_dist",)
    base_dist: Distribution
    _given_batch_shape: Any

    def _wrap(self, base_dist: Distribution, validate_args: bool | None) -> None:
        self.base_dist = base_dist
        self._event_shape = ()
        self._given_batch_shape = None
        self._validate_args = base_dist._validate_args if validate_args is None else validate_args

    @property
    def has_rsample(self) -> bool:
        return self.base_dist.has_rsample

    @property
    def has_enumerate_support(self) -> bool:
        return self.base_dist.has_enumerate_support

    @property
    def is_discrete(self) -> bool:
        return self.base_dist.is_discrete

    def _feasible_like(self, prototype: Any) -> Any:
        return self.base_dist._feasible_like(prototype)

    def rsample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        if not self.has_rsample:
            raise NotImplementedError(f"{type(self.base_dist).__name__} has no reparameterised sampler")
        return self.sample(key, sample_shape)


class Independent(Wrapper):
    r"""Reinterprets the last batch dimensions of a distribution as event dimensions.

    .. math:: p(x) = \prod_i p_i(x_i)

    :param base_dist: the distribution whose batch dimensions are reinterpreted.
    :param reinterpreted_batch_ndims: how many, counted from the right.
    :raises ValueError: if the distribution has fewer batch dimensions.

    **Source:** Dillon et al. (2017), *TensorFlow Distributions*, arXiv:1711.10604, on the semantics of shapes.

    >>> import numpyro.distributions as dist
    >>> d = dist.Independent(dist.Normal(0.0, 1.0).expand([5, 3]), 1)
    >>> d.batch_shape, d.event_shape
    ((5,), (3,))
    """

    reinterpreted_batch_ndims: int

    def __init__(
        self, base_dist: Distribution, reinterpreted_batch_ndims: int, *, validate_args: bool | None = None
    ) -> None:
        if reinterpreted_batch_ndims > len(base_dist.batch_shape):
            raise ValueError(
                f"{type(base_dist).__name__}.to_event({reinterpreted_batch_ndims}) needs {reinterpreted_batch_ndims} "
                f"batch dimensions, "
                f"but the batch shape is {base_dist.batch_shape}. Expand it first (.expand([n])), or reinterpret fewer "
                f"dimensions."
            )
        while isinstance(base_dist, Independent):
            reinterpreted_batch_ndims += base_dist.reinterpreted_batch_ndims
            base_dist = base_dist.base_dist
        self._wrap(base_dist, validate_args)
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims

    def _derive_batch_shape(self) -> Shape:
        shape = self.base_dist.batch_shape
        return shape[: len(shape) - self.reinterpreted_batch_ndims]

    def _extra_rank(self, name: str) -> int:
        return self.reinterpreted_batch_ndims

    @property
    def event_shape(self) -> Shape:
        shape = self.base_dist.batch_shape
        return shape[len(shape) - self.reinterpreted_batch_ndims :] + self.base_dist.event_shape

    @property
    def support(self) -> Any:
        return constraints.independent(self.base_dist.support, self.reinterpreted_batch_ndims)

    @property
    def has_enumerate_support(self) -> bool:
        return False

    @property
    def reparametrized_params(self) -> list[str]:
        return self.base_dist.reparametrized_params

    @property
    def mean(self) -> Any:
        return self.base_dist.mean

    @property
    def variance(self) -> Any:
        return self.base_dist.variance

    @property
    def mode(self) -> Any:
        return self.base_dist.mode

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.base_dist.sample(key, sample_shape)

    def sample_with_intermediates(self, key: Any, sample_shape: Sequence[int] = ()) -> tuple[Any, Any]:
        return self.base_dist.sample_with_intermediates(key, sample_shape)

    def log_prob(self, value: Any, intermediates: Any = None) -> Any:
        log_prob = self.base_dist.log_prob(value, intermediates) if intermediates else self.base_dist.log_prob(value)
        return sum_rightmost(log_prob, self.reinterpreted_batch_ndims)

    def entropy(self) -> Any:
        entropy = jnp.broadcast_to(self.base_dist.entropy(), self.base_dist.batch_shape)
        return sum_rightmost(entropy, self.reinterpreted_batch_ndims)

    def expand(self, batch_shape: Sequence[int]) -> Distribution:
        """Expand the batch; the wrapped distribution is expanded, so that ``base_dist`` keeps its meaning."""
        batch_shape = tuple(batch_shape)
        if batch_shape == self.batch_shape or not can_expand(self.batch_shape, batch_shape):
            return super().expand(batch_shape)
        reinterpreted = self.base_dist.batch_shape[len(self.batch_shape) :]
        return Independent(self.base_dist.expand(batch_shape + reinterpreted), self.reinterpreted_batch_ndims)


class MaskedDistribution(Wrapper):
    r"""A distribution whose log density counts only where a mask is True.

    .. math:: \log p(x) = m \log p_\text{base}(x), \quad m \in \{0, 1\}

    Values at masked places do not matter, not even NaN ones: neither the density nor its gradient sees them.

    :param base_dist: the distribution.
    :param mask: :math:`m`, a boolean, or a boolean array that broadcasts with the batch shape.

    **Source:** Phan, Pradhan, Jankowiak (2019), *Composable effects for flexible and accelerated probabilistic
    programming in NumPyro*, arXiv:1912.11554.

    >>> import numpyro.distributions as dist
    >>> print(dist.Normal(0.0, 1.0).expand([3]).mask([True, False, True]).log_prob(0.0))
    [-0.9189385  0.        -0.9189385]
    """

    pytree_data_fields = ("base_dist", "_mask")

    def __init__(self, base_dist: Distribution, mask: Any) -> None:
        if isinstance(mask, list | tuple | np.bool_):
            mask = np.asarray(mask)
        if not isinstance(mask, bool) and not can_broadcast(shape_of(mask), base_dist.batch_shape):
            raise ValueError(
                f"a mask of shape {shape_of(mask)} does not broadcast with batch shape {base_dist.batch_shape} of "
                f"{type(base_dist).__name__}. A mask has one entry for each independent draw: give it the shape of the "
                f"plates."
            )
        self._wrap(base_dist, None)
        self._mask = mask

    def _data_fields(self) -> dict[str, Any]:
        fields = super()._data_fields()
        if isinstance(self._mask, bool):
            fields.pop("_mask", None)
        return fields

    @property
    def event_shape(self) -> Shape:
        return self.base_dist.event_shape

    @property
    def support(self) -> Any:
        return self.base_dist.support

    @property
    def mean(self) -> Any:
        return jnp.broadcast_to(self.base_dist.mean, self.shape())

    @property
    def variance(self) -> Any:
        return jnp.broadcast_to(self.base_dist.variance, self.shape())

    @property
    def mode(self) -> Any:
        return jnp.broadcast_to(self.base_dist.mode, self.shape())

    def _expanded_base(self) -> Distribution:
        return self.base_dist.expand(self.batch_shape)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self._expanded_base().sample(key, sample_shape)

    def sample_with_intermediates(self, key: Any, sample_shape: Sequence[int] = ()) -> tuple[Any, Any]:
        return self._expanded_base().sample_with_intermediates(key, sample_shape)

    def log_prob(self, value: Any, intermediates: Any = None) -> Any:
        event_dim = self.event_dim
        shape = broadcast_shapes(shape_of(value)[: jnp.ndim(value) - event_dim], self.batch_shape)
        if self._mask is False:
            return jnp.zeros(shape)
        base_dist = self._expanded_base()
        if self._mask is True:
            return base_dist.log_prob(value, intermediates) if intermediates else base_dist.log_prob(value)
        if intermediates:
            return jnp.where(self._mask, base_dist.log_prob(value, intermediates), 0.0)
        feasible = base_dist._feasible_like(jnp.broadcast_to(value, shape + self.event_shape))
        if feasible is not None:
            counted = jnp.reshape(self._mask, shape_of(self._mask) + (1,) * event_dim)
            value = jnp.where(counted, value, feasible)
        return jnp.where(self._mask, base_dist.log_prob(value), 0.0)

    def cdf(self, value: Any) -> Any:
        return self._expanded_base().cdf(value)

    def icdf(self, q: Any) -> Any:
        return self._expanded_base().icdf(q)

    def entropy(self) -> Any:
        return self._expanded_base().entropy()

    def enumerate_support(self, expand: bool = True) -> Any:
        return self._expanded_base().enumerate_support(expand=expand)


Distribution._wrappers.update(expand=ExpandedDistribution, to_event=Independent, mask=MaskedDistribution)

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Finite mixtures: of one distribution over its last batch dimension, or of several distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from numpyro._shapes import broadcast_shapes
from numpyro.distributions import constraints
from numpyro.distributions._special import log_sum_exp
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.discrete import CategoricalLogits, CategoricalProbs
from numpyro.distributions.distribution import Distribution

__all__ = ["Mixture", "MixtureGeneral", "MixtureSameFamily"]


def Mixture(
    mixing_distribution: Distribution, component_distributions: Any, *, validate_args: bool | None = None
) -> Distribution:
    """Mixture of distributions.

    :param mixing_distribution: a Categorical of the components' weights.
    :param component_distributions: a list of distributions, or one whose last batch dimension is over the components.
    :return: a :class:`MixtureGeneral`, or a :class:`MixtureSameFamily`.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> weights = dist.Categorical(jnp.array([0.3, 0.7]))
    >>> float(dist.Mixture(weights, [dist.Normal(0.0, 1.0), dist.Normal(10.0, 1.0)]).mean)
    7.0
    """
    if isinstance(component_distributions, Distribution):
        return MixtureSameFamily(mixing_distribution, component_distributions, validate_args=validate_args)
    return MixtureGeneral(mixing_distribution, component_distributions, validate_args=validate_args)


def _weights_of(mixing_distribution: Any, name: str) -> int:
    """Check a mixing distribution, and return the number of its categories."""
    if not isinstance(mixing_distribution, CategoricalProbs | CategoricalLogits):
        raise ValueError(
            f"{name}: the mixing distribution must be a Categorical, not {type(mixing_distribution).__name__}."
        )
    return mixing_distribution._size


class _MixtureBase(Distribution):
    """What both kinds of mixtures share; the components' values stand along one more dimension, ``mixture_dim``."""

    _mixing_distribution: Distribution

    @property
    def mixing_distribution(self) -> Distribution:
        """Categorical distribution of the components' weights."""
        return self._mixing_distribution

    @property
    def mixture_size(self) -> int:
        """Number of components."""
        return self._mixing_distribution._size

    @property
    def mixture_dim(self) -> int:
        """Dimension of the components in the arrays of all components' values, counted from the right."""
        return -self.event_dim - 1

    @property
    def has_rsample(self) -> bool:
        """False: which component a draw comes from does not move with the weights."""
        return False

    @property
    def is_discrete(self) -> bool:
        return self.support.is_discrete

    @property
    def component_mean(self) -> Any:
        """Means of the components, along ``mixture_dim``."""
        raise NotImplementedError

    @property
    def component_variance(self) -> Any:
        """Variances of the components, along ``mixture_dim``."""
        raise NotImplementedError

    def component_sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        """One draw from each component, along ``mixture_dim``."""
        raise NotImplementedError

    def component_cdf(self, samples: Any) -> Any:
        """Cumulative distribution function of each component, along the last axis."""
        raise NotImplementedError

    def component_log_probs(self, value: Any) -> Any:
        """Log weight plus log density of each component, along the last axis."""
        raise NotImplementedError

    def _weights(self) -> Any:
        """Weights of the components, along ``mixture_dim``."""
        weights = jnp.asarray(self._mixing_distribution.probs)
        return jnp.reshape(weights, weights.shape + (1,) * self.event_dim)

    def _log_weights(self) -> Any:
        return jax.nn.log_softmax(jnp.asarray(self._mixing_distribution.logits), -1)

    def sample_with_intermediates(self, key: Any, sample_shape: Sequence[int] = ()) -> tuple[Any, Any]:
        """Draw samples; the intermediates hold the component that each came from."""
        key_component, key_value = jax.random.split(key)
        mixing = self._mixing_distribution.expand(self.batch_shape)
        component = mixing.sample(key_component, sample_shape)
        draws = self.component_sample(key_value, sample_shape)
        position = jnp.reshape(component, component.shape + (1,) * (1 + self.event_dim))
        value = jnp.take_along_axis(draws, position, axis=self.mixture_dim)
        return jnp.squeeze(value, self.mixture_dim), [component]

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self.sample_with_intermediates(key, sample_shape)[0]

    def log_prob(self, value: Any, intermediates: Any = None) -> Any:
        """Log density of the mixture, over all components, wherever the value came from."""
        return log_sum_exp(self.component_log_probs(value))

    def cdf(self, samples: Any) -> Any:
        return (jnp.asarray(self._mixing_distribution.probs) * self.component_cdf(samples)).sum(-1)

    @property
    def mean(self) -> Any:
        return (self._weights() * self.component_mean).sum(self.mixture_dim)

    @property
    def variance(self) -> Any:
        mean = (self._weights() * self.component_mean).sum(self.mixture_dim, keepdims=True)
        spread = self.component_variance + (self.component_mean - mean) ** 2
        return (self._weights() * spread).sum(self.mixture_dim)


class MixtureSameFamily(_MixtureBase):
    r"""Mixture of distributions of one family: those along the last batch dimension of ``component_distribution``.

    .. math:: p(x) = \sum_k w_k\, p_k(x)

    :param mixing_distribution: a Categorical of the weights, of batch shape ``B``.
    :param component_distribution: the components, of batch shape ``B + (n,)``.

    **Source:** McLachlan, Peel (2000), *Finite Mixture Models*, chapter 1.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> d = dist.MixtureSameFamily(dist.Categorical(jnp.array([0.3, 0.7])), dist.Normal(jnp.array([0.0, 10.0]), 1.0))
    >>> d.batch_shape, round(float(d.mean), 4), round(float(d.variance), 4)
    ((), 7.0, 22.0)
    """

    pytree_data_fields = ("_component_distribution", "_mixing_distribution")
    _component_distribution: Distribution

    def __init__(
        self,
        mixing_distribution: Distribution,
        component_distribution: Distribution,
        *,
        validate_args: bool | None = None,
    ) -> None:
        size = _weights_of(mixing_distribution, "MixtureSameFamily")
        if not isinstance(component_distribution, Distribution):
            raise ValueError(
                "MixtureSameFamily: the components must be one distribution whose last batch dimension is over them, "
                f"not {type(component_distribution).__name__}. For a list of distributions use Mixture or "
                "MixtureGeneral."
            )
        shape = component_distribution.batch_shape
        if not shape or shape[-1] != size:
            raise ValueError(
                f"MixtureSameFamily: the last batch dimension of the components must have size {size}, the number of "
                f"categories, but the batch shape of {type(component_distribution).__name__} is {shape}. "
                f"Use .expand to repeat a component, or .to_event to make the dimensions after it event dimensions."
            )
        try:
            batch_shape = broadcast_shapes(mixing_distribution.batch_shape, shape[:-1])
        except ValueError:
            raise ValueError(
                f"MixtureSameFamily: batch shape {mixing_distribution.batch_shape} of the mixing distribution does not "
                f"broadcast with {shape[:-1]}, that of the components without their last dimension."
            ) from None
        self._mixing_distribution = mixing_distribution
        self._component_distribution = component_distribution
        super().__init__(batch_shape, component_distribution.event_shape, validate_args=validate_args)

    def _extra_rank(self, name: str) -> int:
        return 1 if name == "_component_distribution" else 0

    @property
    def component_distribution(self) -> Distribution:
        """The components, along the last batch dimension."""
        return self._component_distribution

    @property
    def event_shape(self) -> Any:
        return self._component_distribution.event_shape

    @property
    def support(self) -> Any:
        """The smallest set of the components' kind that holds the supports of them all."""
        return _united(self._component_distribution.support, self._component_distribution.event_dim)

    @property
    def component_mean(self) -> Any:
        return self._component_distribution.mean

    @property
    def component_variance(self) -> Any:
        return self._component_distribution.variance

    def component_sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        return self._component_distribution.expand(self.batch_shape + (self.mixture_size,)).sample(key, sample_shape)

    def component_cdf(self, samples: Any) -> Any:
        return self._component_distribution.cdf(jnp.expand_dims(samples, self.mixture_dim))

    def component_log_probs(self, value: Any) -> Any:
        densities = self._component_distribution.log_prob(jnp.expand_dims(value, self.mixture_dim))
        return self._log_weights() + densities


class MixtureGeneral(_MixtureBase):
    r"""Mixture of arbitrary distributions of the same event shape.

    .. math:: p(x) = \sum_k w_k\, p_k(x)

    :param mixing_distribution: a Categorical of the weights, of batch shape ``B``.
    :param component_distributions: a list of distributions whose batch shapes broadcast with ``B``.
    :param support: support of the mixture; must be given unless all components have the same.

    **Source:** McLachlan, Peel (2000), *Finite Mixture Models*, chapter 1.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> weights = dist.Categorical(jnp.array([0.5, 0.5]))
    >>> d = dist.MixtureGeneral(weights, [dist.Normal(0.0, 1.0), dist.StudentT(4.0)])
    >>> round(float(d.variance), 4)
    1.5
    """

    pytree_data_fields = ("_component_distributions", "_mixing_distribution", "_support")
    _component_distributions: list[Distribution]

    def __init__(
        self,
        mixing_distribution: Distribution,
        component_distributions: Sequence[Distribution],
        *,
        support: Constraint | None = None,
        validate_args: bool | None = None,
    ) -> None:
        size = _weights_of(mixing_distribution, "MixtureGeneral")
        components = list(component_distributions)
        if not components or not all(isinstance(component, Distribution) for component in components):
            kinds = ", ".join(type(component).__name__ for component in components)
            raise ValueError(f"MixtureGeneral: the components must be a list of distributions, not [{kinds}].")
        if len(components) != size:
            raise ValueError(
                f"MixtureGeneral: {len(components)} components for {size} categories of the mixing distribution."
            )
        described = ", ".join(map(repr, components))
        if len({component.event_shape for component in components}) > 1:
            raise ValueError(f"MixtureGeneral: the components must have the same event shape; they are {described}.")
        if len({component.is_discrete for component in components}) > 1:
            raise ValueError(f"MixtureGeneral: discrete and continuous components do not mix; they are {described}.")
        if support is None and any(component.support != components[0].support for component in components):
            supports = ", ".join(str(component.support) for component in components)
            raise ValueError(
                f"MixtureGeneral: the components have different supports ({supports}). Give `support`, a set that "
                "holds them all; the components' densities must be -inf outside their own."
            )
        try:
            batch_shape = broadcast_shapes(
                mixing_distribution.batch_shape, *(component.batch_shape for component in components)
            )
        except ValueError:
            raise ValueError(
                f"MixtureGeneral: batch shape {mixing_distribution.batch_shape} of the mixing distribution does not "
                f"broadcast with those of the components; they are {described}."
            ) from None
        self._mixing_distribution = mixing_distribution
        self._component_distributions = components
        if support is not None:
            self._support = support
        super().__init__(batch_shape, components[0].event_shape, validate_args=validate_args)

    @property
    def component_distributions(self) -> list[Distribution]:
        """The components."""
        return self._component_distributions

    @property
    def event_shape(self) -> Any:
        return self._component_distributions[0].event_shape

    @property
    def support(self) -> Any:
        return self.__dict__.get("_support", self._component_distributions[0].support)

    def _stack(self, values: Sequence[Any], axis: int) -> Any:
        return jnp.stack(jnp.broadcast_arrays(*values), axis)

    @property
    def component_mean(self) -> Any:
        return self._stack([component.mean for component in self._component_distributions], self.mixture_dim)

    @property
    def component_variance(self) -> Any:
        return self._stack([component.variance for component in self._component_distributions], self.mixture_dim)

    def component_sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        keys = jax.random.split(key, self.mixture_size)
        draws = [
            component.expand(self.batch_shape).sample(key, sample_shape)
            for key, component in zip(keys, self._component_distributions, strict=True)
        ]
        return jnp.stack(draws, self.mixture_dim)

    def component_cdf(self, samples: Any) -> Any:
        return self._stack([component.cdf(samples) for component in self._component_distributions], -1)

    def component_log_probs(self, value: Any) -> Any:
        return self._log_weights() + self._stack(
            [self._density(component, value) for component in self._component_distributions], -1
        )

    def _density(self, component: Distribution, value: Any) -> Any:
        """Log density of a component, -inf (and without a gradient) where the value is not in its support."""
        support = component.support
        if constraints.is_dependent(support) or "_support" not in self.__dict__:
            return component.log_prob(value)
        value = jnp.asarray(value)
        holds = support(value)
        inside = jnp.reshape(holds, jnp.shape(holds) + (1,) * self.event_dim)
        return jnp.where(holds, component.log_prob(jnp.where(inside, value, support.feasible_like(value))), -jnp.inf)


def _united(support: Constraint, event_dim: int) -> Constraint:
    """The support of a mixture from that of its components, whose last batch dimension is over the components."""
    bounds = {"lower_bound": jnp.min, "upper_bound": jnp.max}

    def unite(path: Any, leaf: Any) -> Any:
        name = next((str(getattr(key, "name", getattr(key, "key", ""))) for key in reversed(path)), "")
        axis = -1 - event_dim
        if jnp.ndim(leaf) < -axis:
            return leaf
        return bounds[name](leaf, axis) if name in bounds else jnp.take(leaf, 0, axis)

    return jax.tree_util.tree_map_with_path(unite, support)

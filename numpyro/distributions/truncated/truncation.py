# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What all truncations have in common: a distribution given that its variable lies between two ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import jax
from jax import lax
import jax.numpy as jnp

from numpyro._shapes import broadcast_shapes, shape_of
from numpyro.distributions import constraints
from numpyro.distributions._special import log_indicator
from numpyro.distributions._tails import Line, standardized, unwrapped
from numpyro.distributions.continuous import (
    Cauchy,
    Gamma,
    Laplace,
    Logistic,
    Normal,
    SoftLaplace,
    StudentT,
)
from numpyro.distributions.distribution import Distribution


class _Truncation(Distribution):
    """A distribution given that its variable lies between ``low`` and ``high``, one of which may be missing."""

    pytree_data_fields = ("base_dist",)
    #: Classes that are accurate far in both tails.
    supported_types: ClassVar[tuple[type[Distribution], ...]] = (
        Cauchy,
        Laplace,
        Logistic,
        Normal,
        SoftLaplace,
        StudentT,
    )
    #: Whether any other with a cdf and an icdf on the real line works as well.
    takes_others: ClassVar[bool] = True
    base_dist: Distribution

    def _truncate(self, base_dist: Distribution, validate_args: bool | None, **bounds: Any) -> None:
        self._check_base(base_dist)
        shapes = {name: shape_of(bound) for name, bound in bounds.items()}
        try:
            batch_shape = broadcast_shapes(base_dist.batch_shape, *shapes.values())
        except ValueError:
            described = ", ".join(f"{name} has shape {shape}" for name, shape in shapes.items())
            raise ValueError(
                f"{type(self).__name__}: {described}, which does not broadcast with batch shape "
                f"{base_dist.batch_shape} of {type(base_dist).__name__}."
            ) from None
        self.base_dist = base_dist
        self._declare(validate_args=validate_args, **bounds)
        self._given_batch_shape = batch_shape

    def _check_base(self, base_dist: Any) -> None:
        if not isinstance(base_dist, Distribution):
            raise TypeError(f"{type(self).__name__}: base_dist must be a distribution, not {base_dist!r}.")
        inner = unwrapped(base_dist)
        if isinstance(inner, self.supported_types):
            return
        if self.takes_others and not base_dist.event_shape and base_dist.support is constraints.real:
            return
        names = ", ".join(family.__name__ for family in self.supported_types)
        if self.takes_others:
            names += ", or another univariate distribution on the real line with a cdf and an icdf"
        hint = " For a Gamma use TruncatedGamma." if isinstance(inner, Gamma) else ""
        raise TypeError(
            f"{type(self).__name__}: {type(inner).__name__} cannot be truncated here. It takes {names}.{hint}"
        )

    def _bound(self, name: str) -> Any:
        return self.__dict__.get(name)

    def _standard(self) -> tuple[Any, Any, Line, Any, Any]:
        """Location, scale and standard form of the base, and the bounds in its units."""
        loc, scale, line = standardized(self.base_dist)
        bounds = (None if bound is None else (bound - loc) / scale for bound in map(self._bound, ("low", "high")))
        return loc, scale, line, *bounds

    @property
    def has_rsample(self) -> bool:
        return self.base_dist.has_rsample

    def _inside(self, value: Any) -> Any:
        """Which values lie between the bounds."""
        low, high = self._bound("low"), self._bound("high")
        inside = jnp.ones((), bool)
        if low is not None:
            inside = inside & (value >= low)
        if high is not None:
            inside = inside & (value <= high)
        return inside

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        dtype = jnp.result_type(float)
        tiny = float(jnp.finfo(dtype).tiny)
        return self.icdf(jax.random.uniform(key, self.shape(sample_shape), dtype, minval=tiny))

    def log_prob(self, value: Any) -> Any:
        loc, scale, line, a, b = self._standard()
        inside = self._inside(jnp.asarray(value))
        # Beyond the bounds the base may have no finite gradient.
        bound = self._bound("high") if self._bound("low") is None else self._bound("low")
        value = jnp.where(inside, value, lax.stop_gradient(jnp.asarray(bound)))
        # One quotient for each scale, not one for each value.
        log_prob = line.log_density((value - loc) * (1 / scale), a, b) - jnp.log(scale)
        return log_prob + log_indicator(inside)

    def log_cdf(self, value: Any) -> Any:
        loc, scale, line, a, b = self._standard()
        value = jnp.asarray(value)
        low, high = self._bound("low"), self._bound("high")
        # A value at or outside an end is moved to a place where the share has a gradient.
        is_zero = jnp.zeros((), bool) if low is None else value <= low
        is_one = jnp.zeros((), bool) if high is None else value >= high
        inner = low + scale if high is None else high
        z = (jnp.where(is_zero | is_one, inner, value) - loc) / scale
        log_cdf = jnp.minimum(line.log_share((a, z), (a, b)), 0.0)
        return jnp.where(is_zero, -jnp.inf, jnp.where(is_one, 0.0, log_cdf))

    def cdf(self, value: Any) -> Any:
        return jnp.exp(self.log_cdf(value))

    def icdf(self, q: Any) -> Any:
        loc, scale, line, a, b = self._standard()
        value = loc + scale * line.quantile(q, a, b)
        return jnp.clip(value, self._bound("low"), self._bound("high"))

    def _moments(self, name: str) -> tuple[Any, Any]:
        loc, scale, line, a, b = self._standard()
        try:
            mean, variance = line.moments(a, b)
        except NotImplementedError:
            raise NotImplementedError(
                f"{type(self).__name__}: the {name} of a truncated {type(self.base_dist).__name__} has no closed form"
            ) from None
        return loc + scale * mean, scale**2 * variance

    @property
    def mean(self) -> Any:
        return self._moments("mean")[0]

    @property
    def variance(self) -> Any:
        return self._moments("variance")[1]

    @property
    def mode(self) -> Any:
        return jnp.clip(self.base_dist.mode, self._bound("low"), self._bound("high"))

    def entropy(self) -> Any:
        """Entropy; in closed form for a Normal, Laplace, Logistic or Gamma."""
        _, scale, line, a, b = self._standard()
        try:
            return jnp.log(scale) + line.entropy(a, b)
        except NotImplementedError:
            raise NotImplementedError(
                f"{type(self).__name__}: the entropy of a truncated {type(self.base_dist).__name__} has no closed form"
            ) from None


class _LeftTruncation(_Truncation):
    """One with a lower end."""

    reparametrized_params = ["low"]

    def __init__(self, base_dist: Distribution, low: Any = 0.0, *, validate_args: bool | None = None) -> None:
        self._truncate(base_dist, validate_args, low=low)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.greater_than_eq(self.low)


class _TwoSidedTruncation(_Truncation):
    """One with both ends."""

    arg_constraints = {
        "low": constraints.dependent(is_discrete=False, event_dim=0),
        "high": constraints.dependent(is_discrete=False, event_dim=0),
    }
    reparametrized_params = ["low", "high"]

    def __init__(
        self, base_dist: Distribution, low: Any = 0.0, high: Any = 1.0, *, validate_args: bool | None = None
    ) -> None:
        self._truncate(base_dist, validate_args, low=low, high=high)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.interval(self.low, self.high)

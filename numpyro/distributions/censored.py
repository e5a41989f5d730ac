# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Observations of which only a bound is known: survival times beyond the end of a study, or values below a limit.

Censoring is a property of the observation, not of the variable: the distributions here are drawn from like the base
distribution, and give an observation the probability of what is known of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from numpyro._shapes import broadcast_shapes, shape_of
from numpyro.distributions import constraints
from numpyro.distributions._tails import log_interval, log_survival
from numpyro.distributions.distribution import Distribution
from numpyro.util import not_jax_tracer

__all__ = ["IntervalCensoredDistribution", "LeftCensoredDistribution", "RightCensoredDistribution"]


class _Censored(Distribution):
    """A univariate distribution, and flags that say what is known of each observation."""

    pytree_data_fields = ("base_dist",)
    base_dist: Distribution

    def _censor(
        self, base_dist: Distribution, event_shape: Sequence[int], validate_args: bool | None, **flags: Any
    ) -> None:
        name = type(self).__name__
        if not isinstance(base_dist, Distribution):
            raise TypeError(f"{name}: base_dist must be a distribution, not {base_dist!r}.")
        if base_dist.event_shape:
            raise ValueError(
                f"{name}: only univariate observations can be censored, but {type(base_dist).__name__} has event shape "
                f"{base_dist.event_shape}. Censor first, and call .to_event(n) on the result."
            )
        shapes = {flag: shape_of(value) for flag, value in flags.items()}
        try:
            batch_shape = broadcast_shapes(base_dist.batch_shape, *shapes.values())
        except ValueError:
            described = ", ".join(f"{flag} has shape {shape}" for flag, shape in shapes.items())
            raise ValueError(
                f"{name}: {described}, which does not broadcast with batch shape {base_dist.batch_shape} of "
                f"{type(base_dist).__name__}. Give one flag for each observation."
            ) from None
        self.base_dist = base_dist
        self._declare(event_shape=event_shape, validate_args=validate_args, **flags)
        self._given_batch_shape = batch_shape

    @property
    def is_discrete(self) -> bool:
        return self.base_dist.is_discrete

    @property
    def support(self) -> Any:
        return self.base_dist.support

    def _draw(self, key: Any, sample_shape: Sequence[int]) -> Any:
        return self.base_dist.expand(self.batch_shape).sample(key, sample_shape)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        """Draw values of the variable itself, uncensored."""
        return self._draw(key, sample_shape)


def _where(flag: Any, if_true: Any, if_false: Any) -> Any:
    known = _known(flag)
    if known is not None:
        return if_true if known else if_false
    return jnp.where(jnp.asarray(flag, bool), if_true, if_false)


def _known(flag: Any) -> bool | None:
    """The flag, if it is one for all observations and not traced: then XLA need not compute what it leaves out."""
    return bool(flag) if shape_of(flag) == () and not_jax_tracer(flag) else None


class LeftCensoredDistribution(_Censored):
    r"""A distribution of which some observations are upper bounds of the variable.

    .. math:: \log p(y) = \begin{cases} \log f(y) & \text{observed exactly} \\
        \log F(y) & \text{censored: known to be at most } y \end{cases}

    :param base_dist: a univariate distribution with a ``cdf``.
    :param censored: which observations are censored, True or 1; broadcasts with the batch shape.

    **Source:** Klein, Moeschberger (2003), *Survival Analysis*, chapter 3.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> d = dist.LeftCensoredDistribution(dist.Normal(0.0, 1.0), censored=jnp.array([False, True]))
    >>> print(d.log_prob(jnp.zeros(2)))
    [-0.9189385  -0.6931472]
    """

    arg_constraints = {"censored": constraints.boolean}

    def __init__(self, base_dist: Distribution, censored: Any = False, *, validate_args: bool | None = False) -> None:
        self._censor(base_dist, (), validate_args, censored=censored)

    def log_prob(self, value: Any) -> Any:
        return _where(self.censored, self.base_dist.log_cdf(value), self.base_dist.log_prob(value))


class RightCensoredDistribution(_Censored):
    r"""A distribution of which some observations are lower bounds of the variable.

    .. math:: \log p(y) = \begin{cases} \log f(y) & \text{observed exactly} \\
        \log (1 - F(y)) & \text{censored: known to be larger than } y \end{cases}

    The survival function is accurate far in the upper tail for Normal, Cauchy, StudentT, Laplace, Logistic,
    SoftLaplace, Gumbel, Exponential, Gamma, Weibull, LogNormal, HalfNormal and HalfCauchy; for another family it is
    1 minus the ``cdf``.

    :param base_dist: a univariate distribution with a ``cdf``.
    :param censored: which observations are censored, True or 1; broadcasts with the batch shape.

    **Source:** Klein, Moeschberger (2003), *Survival Analysis*, chapter 3.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> d = dist.RightCensoredDistribution(dist.Exponential(0.5), censored=jnp.array([False, True]))
    >>> print(d.log_prob(jnp.array([2.0, 400.0])).round(4))
    [  -1.6931 -200.    ]
    """

    arg_constraints = {"censored": constraints.boolean}

    def __init__(self, base_dist: Distribution, censored: Any = False, *, validate_args: bool | None = False) -> None:
        self._censor(base_dist, (), validate_args, censored=censored)

    def log_prob(self, value: Any) -> Any:
        return _where(self.censored, log_survival(self.base_dist, value), self.base_dist.log_prob(value))


class IntervalCensoredDistribution(_Censored):
    r"""A distribution of which each observation is a pair of bounds, ``value[..., 0]`` and ``value[..., 1]``.

    .. math:: \log p(l, u) = \begin{cases} \log (F(u) - F(l)) & \text{known to lie between l and u} \\
        \log F(u) & \text{left-censored: known to be at most } u \\
        \log (1 - F(l)) & \text{right-censored: known to be larger than } l \\
        \log (1 - F(u) + F(l)) & \text{both flags: known to lie outside} \end{cases}

    A bound that does not matter may be anything, an infinity for example. A draw is a pair too: the drawn value, twice.

    :param base_dist: a univariate distribution with a ``cdf``.
    :param left_censored: which observations have no lower bound, True or 1; broadcasts with the batch shape.
    :param right_censored: which observations have no upper bound.

    **Source:** Klein, Moeschberger (2003), *Survival Analysis*, chapter 3.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> d = dist.IntervalCensoredDistribution(dist.Logistic(0.0, 1.0), jnp.array([0, 0]), jnp.array([0, 1]))
    >>> print(d.log_prob(jnp.array([[-1.0, 1.0], [0.0, jnp.inf]])).round(4))
    [-0.7719 -0.6931]
    """

    arg_constraints = {"left_censored": constraints.boolean, "right_censored": constraints.boolean}

    def __init__(
        self,
        base_dist: Distribution,
        left_censored: Any,
        right_censored: Any,
        *,
        validate_args: bool | None = False,
    ) -> None:
        self._censor(base_dist, (2,), validate_args, left_censored=left_censored, right_censored=right_censored)

    @property
    def support(self) -> Any:
        return constraints.independent(self.base_dist.support, 1)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        """Draw values of the variable itself; each is repeated, as the two bounds of an interval."""
        draws = self._draw(key, sample_shape)
        return jnp.stack([draws, draws], -1)

    def log_prob(self, value: Any) -> Any:
        value = jnp.asarray(value)
        lower, upper = value[..., 0], value[..., 1]
        if _known(self.left_censored) is False and _known(self.right_censored) is False:
            return log_interval(self.base_dist, lower, upper)
        left, right = jnp.asarray(self.left_censored, bool), jnp.asarray(self.right_censored, bool)
        prototype = jnp.zeros(broadcast_shapes(lower.shape, self.batch_shape), value.dtype)
        harmless = self.base_dist._feasible_like(prototype)
        harmless = 0.5 if harmless is None else harmless
        # A bound that does not matter is replaced, so that whatever stands there leaves no trace in the gradient.
        outside = left & right
        lower = jnp.where(left & ~right, harmless, lower)
        upper = jnp.where(right & ~left, harmless, upper)
        log_below, log_above = self.base_dist.log_cdf, lambda x: log_survival(self.base_dist, x)
        one_sided = left ^ right
        inner_lower = jnp.where(one_sided, harmless, lower)
        inner_upper = jnp.where(one_sided, harmless + 1, upper)
        between = log_interval(self.base_dist, inner_lower, inner_upper)
        without = jnp.logaddexp(log_below(lower), log_above(upper))
        return jnp.where(
            outside, without, jnp.where(left, log_below(upper), jnp.where(right, log_above(lower), between))
        )

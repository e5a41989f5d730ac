# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions with more zeros than another one: zero inflation and hurdles."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import broadcast_shapes, shape_of
from numpyro.distributions import constraints
from numpyro.distributions._special import log_sigmoid, log_sigmoids
from numpyro.distributions.discrete.counts import Poisson
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import assert_one_of, log1mexp

__all__ = [
    "HurdleDistribution",
    "HurdleLogits",
    "HurdlePoisson",
    "HurdleProbs",
    "ZeroInflatedDistribution",
    "ZeroInflatedLogits",
    "ZeroInflatedPoisson",
    "ZeroInflatedProbs",
]

#: Draws of a hurdle from its whole base before the values are tried in turn.
_ATTEMPTS = 8
#: Values that are tried in turn.
_LONGEST_SEARCH = 10_000


class _Gated(Distribution):
    """A univariate distribution, and a gate that adds zeros: its probability or its log odds."""

    pytree_data_fields = ("base_dist",)

    def _gate(self, base_dist: Any, validate_args: bool | None, **gate: Any) -> None:
        name = type(self).__name__
        if not isinstance(base_dist, Distribution):
            raise TypeError(f"{name}: base_dist must be a distribution, not {base_dist!r}.")
        if base_dist.event_shape:
            raise ValueError(
                f"{name}: zeros are added to univariate distributions only, but {type(base_dist).__name__} has event "
                f"shape {base_dist.event_shape}. Wrap the univariate one, and call .to_event(n) on the result."
            )
        [(gate_name, value)] = gate.items()
        try:
            batch_shape = broadcast_shapes(base_dist.batch_shape, shape_of(value))
        except ValueError:
            raise ValueError(
                f"{name}: {gate_name} of shape {shape_of(value)} does not broadcast with batch shape "
                f"{base_dist.batch_shape} of {type(base_dist).__name__}."
            ) from None
        self.base_dist = base_dist
        self._declare(validate_args=validate_args, **gate)
        self._given_batch_shape = batch_shape

    @property
    def is_discrete(self) -> bool:
        return self.base_dist.is_discrete

    @property
    def support(self) -> Any:
        """The support of the base, which is extended by 0 if that is its open end."""
        support = self.base_dist.support
        return constraints.nonnegative if support is constraints.positive else support

    @property
    def has_enumerate_support(self) -> bool:
        return self.base_dist.has_enumerate_support

    def enumerate_support(self, expand: bool = True) -> Any:
        return self.base_dist.expand(self.batch_shape).enumerate_support(expand=expand)

    def _gate_probs(self) -> Any:
        """Probability of the gate."""
        return jnp.asarray(self.gate)

    def _log_open(self) -> Any:
        """Logarithm of the probability that a value passes the gate; where that is 0 it has no derivative."""
        gate = jnp.asarray(self.gate)
        return jnp.where(gate < 1, jnp.log1p(-jnp.where(gate < 1, gate, 0.0)), -jnp.inf)

    def _log_gate(self) -> Any:
        """Logarithm of the probability of the gate; where that is 0 it has no derivative."""
        gate = jnp.asarray(self.gate)
        return jnp.where(gate > 0, jnp.log(jnp.where(gate > 0, gate, 1.0)), -jnp.inf)

    def _log_either(self, log_prob: Any) -> Any:
        """Log probability of the gate, or else of an event of the given log probability."""
        return _log_mix(jnp.asarray(self.gate, jnp.result_type(self.gate, float)), log_prob)


class _GatedByLogits(_Gated):
    """The same, of the gate's log odds."""

    def _gate_probs(self) -> Any:
        return jax.nn.sigmoid(jnp.asarray(self.gate_logits, jnp.result_type(float)))

    def _log_open(self) -> Any:
        return log_sigmoid(-jnp.asarray(self.gate_logits, jnp.result_type(float)))

    def _log_gate(self) -> Any:
        return log_sigmoid(jnp.asarray(self.gate_logits, jnp.result_type(float)))

    def _log_either(self, log_prob: Any) -> Any:
        return _log_mix_of_logits(jnp.asarray(self.gate_logits, jnp.result_type(float)), log_prob)


@jax.custom_jvp
def _log_mix(gate: Any, log_prob: Any) -> Any:
    r""":math:`\log (g + (1 - g) p)`, with finite derivatives for g = 0 and g = 1 too."""
    # What is missing of 1, and where that is most of it, the sum itself.
    missing = (1 - gate) * jnp.expm1(log_prob)
    total = _mixture(gate, log_prob)
    is_small = missing < -0.5
    log_total = jnp.where(is_small, jnp.log(total), jnp.log1p(missing))
    return jnp.where(total > 0, log_total, log_prob)


def _mixture(gate: Any, log_prob: Any) -> Any:
    return gate + (1 - gate) * jnp.exp(log_prob)


@_log_mix.defjvp
def _log_mix_jvp(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Any, Any]:
    gate, log_prob = primals
    total = _mixture(gate, log_prob)
    possible = total > 0
    inverse = 1 / jnp.where(possible, total, 1.0)
    in_gate = jnp.where(possible, -jnp.expm1(log_prob) * inverse, 0.0)
    in_log_prob = jnp.where(possible, (total - gate) * inverse, 1.0)
    return _log_mix(gate, log_prob), in_gate * tangents[0] + in_log_prob * tangents[1]


@jax.custom_jvp
def _log_mix_of_logits(gate_logits: Any, log_prob: Any) -> Any:
    """The same, of the gate's log odds."""
    log_gate, log_open = log_sigmoids(gate_logits)
    return jnp.logaddexp(log_gate, log_open + log_prob)


@_log_mix_of_logits.defjvp
def _log_mix_of_logits_jvp(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Any, Any]:
    gate_logits, log_prob = primals
    # The share of the base in the mixture, and that which it has of the gate's complement.
    share = jax.nn.sigmoid(log_prob - gate_logits)
    tangent = (jax.nn.sigmoid(-gate_logits) - share) * tangents[0] + share * tangents[1]
    return _log_mix_of_logits(gate_logits, log_prob), tangent


def _exp_times(log_prob: Any) -> Any:
    r""":math:`p \log p`, which is 0 for p = 0."""
    possible = log_prob > -jnp.inf
    safe = jnp.where(possible, log_prob, 0.0)
    return jnp.where(possible, jnp.exp(safe) * safe, 0.0)


class _ZeroInflated(_Gated):
    """Zero with the probability of the gate, else a draw from the base, which may be zero as well."""

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        key_gate, key_base = jax.random.split(key)
        is_gate = jax.random.bernoulli(key_gate, self._gate_probs(), self.shape(sample_shape))
        return jnp.where(is_gate, 0, self.base_dist.expand(self.batch_shape).sample(key_base, sample_shape))

    def log_prob(self, value: Any) -> Any:
        log_prob, is_zero = self.base_dist.log_prob(value), jnp.asarray(value) == 0
        if prod(self.batch_shape) < np.size(value):
            # The mixture at 0 is one for each set of parameters, not one for each value.
            base = self.base_dist.log_prob(jnp.zeros((), jnp.result_type(int)))
        else:
            base = jnp.where(is_zero, log_prob, 0.0)
        return jnp.where(is_zero, self._log_either(base), self._log_open() + log_prob)

    def cdf(self, value: Any) -> Any:
        gate = self._gate_probs()
        return jnp.where(jnp.asarray(value) >= 0, gate, 0.0) + (1 - gate) * self.base_dist.cdf(value)

    @property
    def mean(self) -> Any:
        return (1 - self._gate_probs()) * self.base_dist.mean

    @property
    def variance(self) -> Any:
        gate = self._gate_probs()
        return (1 - gate) * (self.base_dist.variance + gate * self.base_dist.mean**2)

    def entropy(self) -> Any:
        """Entropy, if that of the base has a closed form."""
        log_zero = self.base_dist.log_prob(jnp.zeros((), jnp.result_type(int)))
        log_either, log_open = self._log_either(log_zero), self._log_open()
        nonzero = jnp.exp(log_open) * (self.base_dist.entropy() + _exp_times(log_zero))
        return nonzero + _exp_times(log_open) * jnp.expm1(log_zero) - _exp_times(log_either)


class ZeroInflatedProbs(_ZeroInflated):
    r"""Zero with probability :math:`\theta`, else a draw from a discrete distribution, which may be zero as well.

    .. math:: p(0) = \theta + (1 - \theta) f(0), \quad p(k) = (1 - \theta) f(k) \text{ for } k \ne 0

    :param base_dist: a univariate discrete distribution, with mass :math:`f`.
    :param gate: probability :math:`\theta` of an extra zero, in [0, 1].

    **Source:** Lambert (1992), *Zero-inflated Poisson regression, with an application to defects in manufacturing*.
    Technometrics 34.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.ZeroInflatedProbs(dist.Bernoulli(0.5), 0.5).log_prob(0)), 4)
    -0.2877
    """

    arg_constraints = {"gate": constraints.unit_interval}

    def __init__(self, base_dist: Distribution, gate: Any, *, validate_args: bool | None = None) -> None:
        _check_discrete(type(self).__name__, base_dist)
        self._gate(base_dist, validate_args, gate=gate)


class ZeroInflatedLogits(_GatedByLogits, _ZeroInflated):
    r"""Like :class:`ZeroInflatedProbs`, given the log odds of an extra zero.

    .. math:: P(k) = g\,[k = 0] + (1 - g) P_\text{base}(k), \quad g = \frac{1}{1 + e^{-\ell}}

    :param base_dist: a univariate discrete distribution.
    :param gate_logits: log odds :math:`\ell` of an extra zero, real.

    **Source:** Lambert (1992), *Zero-inflated Poisson regression, with an application to defects in manufacturing*.
    Technometrics 34.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.ZeroInflatedLogits(dist.Bernoulli(0.5), 0.0).log_prob(0)), 4)
    -0.2877
    """

    arg_constraints = {"gate_logits": constraints.real}

    def __init__(self, base_dist: Distribution, gate_logits: Any, *, validate_args: bool | None = None) -> None:
        _check_discrete(type(self).__name__, base_dist)
        self._gate(base_dist, validate_args, gate_logits=gate_logits)


def _check_discrete(name: str, base_dist: Any) -> None:
    if isinstance(base_dist, Distribution) and not base_dist.is_discrete:
        raise ValueError(
            f"{name}: only a discrete distribution can be zero-inflated, but {type(base_dist).__name__} is continuous: "
            "the density at 0 would compare a probability to a density. Use HurdleDistribution, whose zeros all come "
            "from the gate."
        )


def ZeroInflatedDistribution(
    base_dist: Distribution, *, gate: Any = None, gate_logits: Any = None, validate_args: bool | None = None
) -> Distribution:
    """Discrete distribution with extra zeros, given by either ``gate`` or ``gate_logits``.

    :param base_dist: a univariate discrete distribution.
    :param gate: probability of an extra zero, in [0, 1].
    :param gate_logits: its log odds, real.
    :return: a :class:`ZeroInflatedProbs` or a :class:`ZeroInflatedLogits`.
    :raises ValueError: unless exactly one of the two is given.

    >>> import numpyro.distributions as dist
    >>> float(dist.ZeroInflatedDistribution(dist.Poisson(4.0), gate=0.25).mean)
    3.0
    """
    assert_one_of(gate=gate, gate_logits=gate_logits)
    if gate is not None:
        return ZeroInflatedProbs(base_dist, gate, validate_args=validate_args)
    return ZeroInflatedLogits(base_dist, gate_logits, validate_args=validate_args)


class ZeroInflatedPoisson(ZeroInflatedProbs):
    r"""Poisson distribution with extra zeros.

    .. math:: p(0) = \theta + (1 - \theta) e^{-\lambda}, \quad
        p(k) = (1 - \theta) \frac{\lambda^k e^{-\lambda}}{k!} \text{ for } k > 0

    **Source:** Lambert (1992), *Zero-inflated Poisson regression, with an application to defects in manufacturing*.

    :param gate: probability :math:`\theta` of an extra zero, in [0, 1].
    :param rate: rate :math:`\lambda > 0`.

    >>> import numpyro.distributions as dist
    >>> float(dist.ZeroInflatedPoisson(0.25, 4.0).variance)
    6.0
    """

    arg_constraints = {"gate": constraints.unit_interval, "rate": constraints.positive}
    support = constraints.nonnegative_integer

    def __init__(self, gate: Any, rate: Any = 1.0, *, validate_args: bool | None = None) -> None:
        self._declare(gate=gate, rate=rate, validate_args=validate_args)

    @property
    def base_dist(self) -> Distribution:
        """Distribution of the values that are not extra zeros."""
        return Poisson(self.rate)


class _Hurdle(_Gated):
    """Zero with the probability of the gate, else a draw from the base given that it is not zero."""

    @property
    def has_enumerate_support(self) -> bool:
        return self.base_dist.is_discrete and self.base_dist.has_enumerate_support

    def _log_nonzero(self) -> Any:
        """Log probability that a draw from the base is not zero."""
        if not self.base_dist.is_discrete:
            return jnp.zeros(())
        return log1mexp(self.base_dist.log_prob(jnp.zeros((), jnp.result_type(int))))

    def _draw_nonzero(self, key: Any, sample_shape: Sequence[int]) -> Any:
        """Draws from the base given that they are not zero."""
        base_dist = self.base_dist.expand(self.batch_shape)
        if not base_dist.is_discrete:
            return base_dist.sample(key, sample_shape)
        key_search, *keys = jax.random.split(key, 1 + _ATTEMPTS)

        def attempt(state: tuple[Any, ...]) -> tuple[Any, ...]:
            i, draws = state
            return i + 1, jnp.where(draws == 0, base_dist.sample(jnp.stack(keys)[i], sample_shape), draws)

        first = base_dist.sample(keys[0], sample_shape)
        _, draws = lax.while_loop(lambda s: (s[0] < _ATTEMPTS) & jnp.any(s[1] == 0), attempt, (jnp.asarray(1), first))
        # What is still zero is likely to be zero: the values are few, and tried in turn.
        return jnp.where(draws == 0, self._search_nonzero(key_search, draws), draws)

    def _search_nonzero(self, key: Any, draws: Any) -> Any:
        """Draws by inversion, over the values 1, -1, 2, -2, ..., for those elements that are zero."""
        log_nonzero = self._log_nonzero()
        threshold = jax.random.uniform(key, draws.shape)

        def candidate(i: Any) -> Any:
            return jnp.where(i % 2 == 0, 1, -1) * (i // 2 + 1)

        def step(state: tuple[Any, ...]) -> tuple[Any, ...]:
            i, total, found = state
            new_total = total + jnp.exp(self.base_dist.log_prob(candidate(i)) - log_nonzero)
            # The last value that counts for anything stays where the sum is rounded to less than the threshold.
            reached = (total <= threshold) & (new_total > total)
            return i + 1, new_total, jnp.where(reached, candidate(i).astype(found.dtype), found)

        def unfinished(state: tuple[Any, ...]) -> Any:
            i, total, _ = state
            return (i < _LONGEST_SEARCH) & jnp.any((draws == 0) & (total <= threshold))

        start = (jnp.asarray(0), jnp.zeros(draws.shape, threshold.dtype), draws)
        return lax.while_loop(unfinished, step, start)[2]

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        key_gate, key_base = jax.random.split(key)
        is_zero = jax.random.bernoulli(key_gate, self._gate_probs(), self.shape(sample_shape))
        return jnp.where(is_zero, 0, self._draw_nonzero(key_base, sample_shape))

    def log_prob(self, value: Any) -> Any:
        value = jnp.asarray(value)
        is_zero = value == 0
        # No base has its only mass at zero, so 1 is as good as any value for the branch that is not taken.
        other = self.base_dist.log_prob(jnp.where(is_zero, jnp.ones((), value.dtype), value)) - self._log_nonzero()
        return jnp.where(is_zero, self._log_gate(), self._log_open() + other)

    def cdf(self, value: Any) -> Any:
        gate, is_past = self._gate_probs(), jnp.asarray(value) >= 0
        nonzero = jnp.exp(self._log_nonzero())
        below = (self.base_dist.cdf(value) - jnp.where(is_past, 1 - nonzero, 0.0)) / nonzero
        return jnp.where(is_past, gate, 0.0) + (1 - gate) * below

    @property
    def mean(self) -> Any:
        return (1 - self._gate_probs()) * self.base_dist.mean / jnp.exp(self._log_nonzero())

    @property
    def variance(self) -> Any:
        share = (1 - self._gate_probs()) / jnp.exp(self._log_nonzero())
        # As if from a zero-inflated distribution, whose share of zeros may be negative here.
        return share * (self.base_dist.variance + (1 - share) * self.base_dist.mean**2)

    def entropy(self) -> Any:
        """Entropy, if that of the base has a closed form."""
        entropy, log_nonzero = self.base_dist.entropy(), self._log_nonzero()
        if self.base_dist.is_discrete:
            log_zero = self.base_dist.log_prob(jnp.zeros((), jnp.result_type(int)))
            entropy = (entropy + _exp_times(log_zero)) * jnp.exp(-log_nonzero) + log_nonzero
        log_open = self._log_open()
        return jnp.exp(log_open) * entropy - _exp_times(log_open) - _exp_times(self._log_gate())


class HurdleProbs(_Hurdle):
    r"""Zero with probability :math:`\theta`, else a draw from a distribution given that it is not zero.

    .. math:: p(0) = \theta, \quad p(x) = (1 - \theta) \frac{f(x)}{1 - f(0)} \text{ for } x \ne 0

    For a continuous base :math:`f(0)` is no probability, and the denominator is 1: the density is with respect to
    Lebesgue measure plus a point mass at zero.

    **Source:** Mullahy (1986), *Specification and testing of some modified count data models*.

    :param base_dist: a univariate distribution, with mass or density :math:`f`.
    :param gate: probability :math:`\theta` of zero, in [0, 1].

    >>> import numpyro.distributions as dist
    >>> float(dist.HurdleProbs(dist.Exponential(0.5), 0.25).mean)
    1.5
    """

    arg_constraints = {"gate": constraints.unit_interval}

    def __init__(self, base_dist: Distribution, gate: Any, *, validate_args: bool | None = None) -> None:
        self._gate(base_dist, validate_args, gate=gate)


class HurdleLogits(_GatedByLogits, _Hurdle):
    r"""Like :class:`HurdleProbs`, given the log odds of zero.

    .. math:: P(0) = g, \quad p(x) = (1 - g) \frac{p_\text{base}(x)}{1 - P_\text{base}(0)} \text{ for } x \ne 0,
        \quad g = \frac{1}{1 + e^{-\ell}}

    :param base_dist: a univariate distribution.
    :param gate_logits: log odds :math:`\ell` of zero, real.

    **Source:** Mullahy (1986), *Specification and testing of some modified count data models*. Journal of Econometrics
    33.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.HurdleLogits(dist.Poisson(2.0), 0.0).log_prob(0)), 4)
    -0.6931
    """

    arg_constraints = {"gate_logits": constraints.real}

    def __init__(self, base_dist: Distribution, gate_logits: Any, *, validate_args: bool | None = None) -> None:
        self._gate(base_dist, validate_args, gate_logits=gate_logits)


def HurdleDistribution(
    base_dist: Distribution, *, gate: Any = None, gate_logits: Any = None, validate_args: bool | None = None
) -> Distribution:
    """Distribution whose zeros all come from a gate, given by either ``gate`` or ``gate_logits``.

    :param base_dist: a univariate distribution.
    :param gate: probability of zero, in [0, 1].
    :param gate_logits: its log odds, real.
    :return: a :class:`HurdleProbs` or a :class:`HurdleLogits`.
    :raises ValueError: unless exactly one of the two is given.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.HurdleDistribution(dist.Poisson(2.0), gate=0.5).mean), 4)
    1.1565
    """
    assert_one_of(gate=gate, gate_logits=gate_logits)
    if gate is not None:
        return HurdleProbs(base_dist, gate, validate_args=validate_args)
    return HurdleLogits(base_dist, gate_logits, validate_args=validate_args)


class HurdlePoisson(HurdleProbs):
    r"""Zero with probability :math:`\theta`, else a draw from a Poisson distribution given that it is not zero.

    .. math:: p(0) = \theta, \quad
        p(k) = (1 - \theta) \frac{\lambda^k e^{-\lambda}}{(1 - e^{-\lambda})\,k!} \text{ for } k > 0

    :param gate: probability :math:`\theta` of zero, in [0, 1].
    :param rate: rate :math:`\lambda > 0` of the Poisson distribution before zero is excluded.

    **Source:** Mullahy (1986), *Specification and testing of some modified count data models*. Journal of Econometrics
    33.

    >>> import numpyro.distributions as dist
    >>> round(float(dist.HurdlePoisson(0.5, 2.0).mean), 4)
    1.1565
    """

    arg_constraints = {"gate": constraints.unit_interval, "rate": constraints.positive}
    support = constraints.nonnegative_integer

    def __init__(self, gate: Any, rate: Any = 1.0, *, validate_args: bool | None = None) -> None:
        self._declare(gate=gate, rate=rate, validate_args=validate_args)

    @property
    def base_dist(self) -> Distribution:
        """Distribution of the values, before zero is excluded."""
        return Poisson(self.rate)

    def _draw_nonzero(self, key: Any, sample_shape: Sequence[int]) -> Any:
        # Events of a Poisson process in a time of length `rate`: when the first comes, given that it comes; then the
        # others.
        key_first, key_others = jax.random.split(key)
        u = jax.random.uniform(key_first, self.shape(sample_shape))
        first = -jnp.log1p(u * jnp.expm1(-jnp.asarray(self.rate, u.dtype)))
        return 1 + jax.random.poisson(key_others, jnp.maximum(self.rate - first, 0.0))

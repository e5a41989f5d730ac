# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions of a transformed random variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from numpyro._shapes import Shape, shape_of
from numpyro.distributions import constraints
from numpyro.distributions.distribution.base import Distribution
from numpyro.distributions.distribution.wrappers import Wrapper
from numpyro.distributions.transforms import (
    AbsTransform,
    AffineTransform,
    ComposeTransform,
    DiscreteCosineTransform,
    ExpTransform,
    HaarTransform,
    IdentityTransform,
    LowerCholeskyAffine,
    PermuteTransform,
    RecursiveLinearTransform,
    ReshapeTransform,
    Transform,
)
from numpyro.distributions.util import sum_rightmost

__all__ = ["FoldedDistribution", "TransformedDistribution"]


#: Transforms whose Jacobian is the same everywhere.
_AFFINE = (
    AffineTransform,
    DiscreteCosineTransform,
    HaarTransform,
    IdentityTransform,
    LowerCholeskyAffine,
    PermuteTransform,
    RecursiveLinearTransform,
    ReshapeTransform,
)


class TransformedDistribution(Wrapper):
    r"""Distribution of :math:`y = t_n(\dots t_1(x))` with x drawn from a base distribution, by the change of variables:

    .. math:: \log p(y) = \log p(x) - \sum_i \log \left|\det \frac{\partial t_i}{\partial x_{i-1}}\right|,
        \quad x_0 = x, \quad x_i = t_i(x_{i-1})

    :param base_distribution: distribution of x; batch dimensions become event dimensions where a transform acts on
        vectors or matrices.
    :param transforms: a :class:`~numpyro.distributions.transforms.Transform` or a list of them, first to last.

    **Source:** Papamakarios et al. (2021), *Normalizing flows for probabilistic modeling and inference*, section 2.1.
    Journal of Machine Learning Research 22.

    >>> import numpyro.distributions as dist
    >>> from numpyro.distributions.transforms import AffineTransform, ExpTransform
    >>> d = dist.TransformedDistribution(dist.Normal(0.0, 1.0), [AffineTransform(1.0, 2.0), ExpTransform()])
    >>> bool(abs(d.log_prob(2.0) - dist.LogNormal(1.0, 2.0).log_prob(2.0)) < 1e-6)
    True
    """

    pytree_data_fields = ("base_dist", "transforms")
    transforms: list[Transform]

    def __init__(
        self,
        base_distribution: Distribution,
        transforms: Transform | Sequence[Transform],
        *,
        validate_args: bool | None = None,
    ) -> None:
        transforms = [transforms] if isinstance(transforms, Transform) else list(transforms)
        for transform in transforms:
            if not isinstance(transform, Transform):
                raise ValueError(f"transforms must be a Transform or a list of them, but it holds {transform!r}")
        composed = ComposeTransform(transforms)
        domain_event_dim = composed.domain.event_dim
        base_shape = base_distribution.shape()
        if len(base_shape) < domain_event_dim:
            base_shape = (1,) * (domain_event_dim - len(base_shape)) + base_shape
        # Parameters of the transforms can be larger than the base: draws along those dimensions are independent.
        base_shape = composed.inverse_shape(composed.forward_shape(base_shape))
        if base_shape[len(base_shape) - base_distribution.event_dim :] != base_distribution.event_shape:
            raise ValueError(
                f"the transforms turn events of shape {base_distribution.event_shape} of "
                f"{type(base_distribution).__name__} into larger "
                f"ones: they act on values of shape {base_shape}. A base event cannot be repeated; give the base that "
                f"shape, or "
                "the transform's parameters the event's shape."
            )
        base_distribution = base_distribution.expand(base_shape[: len(base_shape) - base_distribution.event_dim])
        reinterpreted = domain_event_dim - base_distribution.event_dim
        if reinterpreted > 0:
            base_distribution = base_distribution.to_event(reinterpreted)
        self._wrap(base_distribution, validate_args)
        self.transforms = transforms

    def _forward_event_dim(self) -> int:
        event_dim = self.base_dist.event_dim
        for transform in self.transforms:
            event_dim += transform.codomain.event_dim - transform.domain.event_dim
        return event_dim

    def _forward_shape(self) -> Shape:
        return ComposeTransform(self.transforms).forward_shape(self.base_dist.shape())

    def _derive_batch_shape(self) -> Shape:
        shape = self._forward_shape()
        return shape[: len(shape) - self._forward_event_dim()]

    @property
    def event_shape(self) -> Shape:
        shape = self._forward_shape()
        return shape[len(shape) - self._forward_event_dim() :]

    def _extra_rank(self, name: str) -> int:
        return 0

    def _align_field(self, name: str, value: Any, rank: int) -> Any:
        if name != "transforms":
            return super()._align_field(name, value, rank)
        total_rank = rank + self.base_dist.event_dim
        aligned = []
        for transform in value:
            aligned.append(transform.aligned(total_rank))
            total_rank += transform.codomain.event_dim - transform.domain.event_dim
        return aligned

    @property
    def support(self) -> Any:
        if not self.transforms:
            return self.base_dist.support
        codomain = self.transforms[-1].codomain
        return constraints.independent(codomain, self.event_dim - codomain.event_dim)

    @property
    def has_enumerate_support(self) -> bool:
        return False

    @property
    def is_discrete(self) -> bool:
        return self.base_dist.is_discrete

    def _feasible_like(self, prototype: Any) -> Any:
        # The support is that of the last transform, which may be larger than what the base reaches through it.
        transform = ComposeTransform(self.transforms)
        base_shape = transform.inverse_shape(shape_of(prototype))
        value = self.base_dist._feasible_like(jnp.zeros(base_shape, jnp.result_type(prototype)))
        return Distribution._feasible_like(self, prototype) if value is None else transform(value)

    def _expanded_base(self) -> Distribution:
        return self.base_dist.expand(self.batch_shape)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        x = self._expanded_base().sample(key, sample_shape)
        for transform in self.transforms:
            x = transform(x)
        return x

    def sample_with_intermediates(self, key: Any, sample_shape: Sequence[int] = ()) -> tuple[Any, Any]:
        x = self._expanded_base().sample(key, sample_shape)
        intermediates = []
        for transform in self.transforms:
            y, intermediate = transform.call_with_intermediates(x)
            intermediates.append((x, intermediate))
            x = y
        return x, intermediates

    def log_prob(self, value: Any, intermediates: Any = None) -> Any:
        event_dim = self.event_dim
        log_det: Any = 0.0
        inside: Any = None
        y = value
        for index, transform in reversed(list(enumerate(self.transforms))):
            if intermediates:
                x, intermediate = intermediates[index]
            else:
                y, inside = _moved_into(transform.codomain, y, event_dim, inside)
                x, intermediate = transform._inverse(y), None
            term = transform.log_abs_det_jacobian(x, y, intermediate)
            log_det = log_det + sum_rightmost(term, event_dim - transform.codomain.event_dim)
            event_dim += transform.domain.event_dim - transform.codomain.event_dim
            y = x
        log_prob = self.base_dist.log_prob(y) - log_det
        return log_prob if inside is None else jnp.where(inside, log_prob, -jnp.inf)

    def entropy(self) -> Any:
        """Entropy, if that of the base is known and the mean of the log determinant is that at the mean.

        So it is for transforms that are affine, reorder a vector, or take the exponential of what these make.
        """
        entropy, event_dim = self.base_dist.entropy(), self.base_dist.event_dim
        exponential = any(isinstance(transform, ExpTransform) for transform in self.transforms)
        # Without an exponential the log determinants are the same everywhere.
        x: Any = jnp.broadcast_to(self.base_dist.mean if exponential else 0.0, self.base_dist.shape())
        affine = True
        for transform in self.transforms:
            if not isinstance(transform, _AFFINE) and not (affine and isinstance(transform, ExpTransform)):
                raise NotImplementedError(f"the entropy has no closed form after {type(transform).__name__}")
            affine = isinstance(transform, _AFFINE)
            y = transform(x)
            event_dim += transform.codomain.event_dim - transform.domain.event_dim
            log_det = transform.log_abs_det_jacobian(x, y)
            entropy = entropy + sum_rightmost(log_det, event_dim - transform.codomain.event_dim)
            x = y
        return entropy

    def _inverse(self, value: Any) -> tuple[Any, Any]:
        """The base value, and the sign of the composed transform."""
        sign: Any = 1
        for transform in reversed(self.transforms):
            sign = sign * transform.sign
            value = transform._inverse(value)
        return value, sign

    def cdf(self, value: Any) -> Any:
        x, sign = self._inverse(value)
        q = self.base_dist.cdf(x)
        return jnp.where(jnp.asarray(sign) < 0, 1 - q, q)

    def icdf(self, q: Any) -> Any:
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        value = self.base_dist.icdf(jnp.where(jnp.asarray(sign) < 0, 1 - q, q))
        for transform in self.transforms:
            value = transform(value)
        return value


def _moved_into(codomain: constraints.Constraint, y: Any, event_dim: int, inside: Any) -> tuple[Any, Any]:
    """Values with those outside a set of numbers replaced, and which events had none of these.

    So no inverse meets a number that it has no value for. Sets of vectors, which rounding may leave, are not looked at.
    """
    if codomain.event_dim or isinstance(codomain, type(constraints.real)):
        return y, inside
    holds = codomain(y)
    y = jnp.where(holds, y, codomain.feasible_like(y))
    events = jnp.all(holds, tuple(range(-event_dim, 0)))
    return y, events if inside is None else inside & events


class _TransformedFamily(TransformedDistribution):
    """A family with parameters of its own that is a transformed distribution.

    It declares its parameters like any family; ``base_dist`` and ``transforms`` are properties, made of them.
    """

    _derive_batch_shape = Distribution._derive_batch_shape
    event_shape = Distribution.event_shape


class FoldedDistribution(TransformedDistribution):
    r"""Distribution of the absolute value of a univariate random variable.

    .. math:: p_{|y|}(y) = p(y) + p(-y), \quad y \ge 0

    The density is ``p(y) + p(-y)`` for ``y >= 0``, with ``p`` the density of the base.

    :param base_dist: a univariate distribution on the real line.

    **Source:** Leone, Nelson, Nottingham (1961), *The folded normal distribution*. Technometrics 3.

    >>> import numpyro.distributions as dist
    >>> normal = dist.Normal(1.0, 2.0)
    >>> density = jnp.exp(dist.FoldedDistribution(normal).log_prob(0.5))
    >>> bool(jnp.isclose(density, jnp.exp(normal.log_prob(0.5)) + jnp.exp(normal.log_prob(-0.5))))
    True
    """

    support = constraints.positive

    def __init__(self, base_dist: Distribution, *, validate_args: bool | None = None) -> None:
        if base_dist.event_shape:
            raise ValueError(
                f"only univariate distributions can be folded, but {type(base_dist).__name__} has event shape "
                f"{base_dist.event_shape}. Fold first and call .to_event(n) afterwards."
            )
        super().__init__(base_dist, AbsTransform(), validate_args=validate_args)

    def _feasible_like(self, prototype: Any) -> Any:
        return Distribution._feasible_like(self, prototype)

    def log_prob(self, value: Any, intermediates: Any = None) -> Any:
        value = jnp.asarray(value)
        both = jnp.logaddexp(self.base_dist.log_prob(value), self.base_dist.log_prob(-value))
        return jnp.where(value >= 0, both, -jnp.inf)

    def cdf(self, value: Any) -> Any:
        inside = self.base_dist.cdf(value) - self.base_dist.cdf(-jnp.asarray(value))
        return jnp.where(jnp.asarray(value) > 0, inside, 0.0)

    def icdf(self, q: Any) -> Any:
        raise NotImplementedError("a folded distribution has no closed-form icdf")

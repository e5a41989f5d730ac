# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Normal arrays that sum to zero along axes."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any

import jax
import jax.numpy as jnp

from numpyro._shapes import shape_of
from numpyro.distributions import constraints
from numpyro.distributions.continuous.real_line import HALF_LOG_2PI
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.transforms import ZeroSumTransform

__all__ = ["ZeroSumNormal"]


class ZeroSumNormal(Distribution):
    r"""Normal distribution on arrays that sum to zero along each of their axes.

    .. math:: p(x) = (2\pi\sigma^2)^{-m/2} \exp\left(-\frac{\lVert x \rVert^2}{2\sigma^2}\right),
        \quad m = \prod_i (n_i - 1)

    It is that of :math:`\sigma E` with standard normal :math:`E`, after its means along all axes are taken away; the
    density is with respect to the subspace, of dimension :math:`\prod_i (n_i - 1)`.

    :param scale: :math:`\sigma > 0`.
    :param event_shape: shape :math:`(n_1, n_2, \dots)` of the arrays.

    **Source:** Rao (1973), *Linear Statistical Inference and Its Applications*, chapter 8, on the singular normal
    distribution.

    >>> import jax, numpyro.distributions as dist
    >>> x = dist.ZeroSumNormal(1.0, (4,)).sample(jax.random.key(0))
    >>> x.shape, bool(abs(x.sum()) < 1e-6)
    ((4,), True)
    """

    arg_constraints = {"scale": constraints.positive}
    reparametrized_params = ["scale"]

    def __init__(self, scale: Any, event_shape: Sequence[int], *, validate_args: bool | None = None) -> None:
        if not len(event_shape):
            raise ValueError("ZeroSumNormal: event_shape must have at least one dimension.")
        self._declare(scale=scale, event_shape=tuple(event_shape), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Any:
        return constraints.zero_sum(self.event_dim)

    def _over_events(self, x: Any) -> Any:
        return jnp.reshape(x, shape_of(x) + (1,) * self.event_dim)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        smaller = tuple(size - 1 for size in self.event_shape)
        noise = jax.random.normal(key, tuple(sample_shape) + self.batch_shape + smaller)
        return self._over_events(self.scale) * ZeroSumTransform(self.event_dim)(noise)

    @property
    def _degrees(self) -> int:
        return math.prod(size - 1 for size in self.event_shape)

    def log_prob(self, value: Any) -> Any:
        z = value / self._over_events(self.scale)
        distance = (z * z).sum(tuple(range(-self.event_dim, 0)))
        return -0.5 * distance - self._degrees * (jnp.log(self.scale) + HALF_LOG_2PI)

    @property
    def mean(self) -> Any:
        return 0.0

    @property
    def variance(self) -> Any:
        share = math.prod(1 - 1 / size for size in self.event_shape)
        return self._over_events(jnp.asarray(self.scale) ** 2 * share)

    @property
    def mode(self) -> Any:
        return 0.0

    def entropy(self) -> Any:
        return self._degrees * (0.5 + HALF_LOG_2PI + jnp.log(self.scale))

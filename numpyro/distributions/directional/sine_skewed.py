# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Distributions of angles made asymmetric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import broadcast_shapes, shape_of
from numpyro.distributions import constraints
from numpyro.distributions.directional.angles import wrapped
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import sum_rightmost


class SineSkewed(Distribution):
    r"""Skewed variant of a symmetric distribution of angles.

    .. math:: p(x) = f(x) \left(1 + \sum_j \lambda_j \sin(x_j - \mu_j)\right)

    where :math:`f` is symmetric about its mean :math:`\mu`.

    **Source:** Ameijeiras-Alonso, Ley (2022), *Sine-skewed toroidal distributions and their application in protein
    bioinformatics*, equation 3.

    :param base_dist: a distribution of d angles, of event shape ``(d,)``, symmetric about its ``mean``; for a single
        angle ``VonMises(...).expand([1]).to_event(1)``.
    :param skewness: :math:`\lambda`, of shape ``(..., d)``, whose absolute values sum to at most one.

    The mean that it gives is that of the base distribution.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> base = dist.VonMises(jnp.zeros(1), 1.0).to_event(1)
    >>> d = dist.SineSkewed(base, jnp.array([0.3]))
    >>> bool(d.log_prob(jnp.array([0.5])) > d.log_prob(jnp.array([-0.5])))
    True
    """

    arg_constraints = {"skewness": constraints.l1_ball}
    pytree_data_fields = ("base_dist",)
    support = constraints.independent(constraints.circular, 1)
    base_dist: Distribution

    def __init__(self, base_dist: Distribution, skewness: Any, *, validate_args: bool | None = None) -> None:
        skewness = np.asarray(skewness) if isinstance(skewness, list | tuple | int | float) else skewness
        shape = shape_of(skewness)
        if len(base_dist.event_shape) != 1 or shape[-1:] != base_dist.event_shape:
            raise ValueError(
                f"SineSkewed: the base distribution must have events of d angles and skewness the shape (..., d), but "
                f"the event shape of {type(base_dist).__name__} is {base_dist.event_shape} and skewness has shape "
                f"{shape}. Make an event of single angles by .expand([d]).to_event(1)."
            )
        try:
            batch_shape = broadcast_shapes(base_dist.batch_shape, shape[:-1])
        except ValueError:
            raise ValueError(
                f"SineSkewed: skewness of shape {shape} does not broadcast with batch shape {base_dist.batch_shape} of "
                f"{type(base_dist).__name__}."
            ) from None
        self.base_dist = base_dist
        self._declare(skewness=skewness, event_shape=base_dist.event_shape, validate_args=validate_args)
        self._given_batch_shape = batch_shape

    def _skew(self, value: Any) -> Any:
        return sum_rightmost(self.skewness * jnp.sin(value - self.base_dist.mean), 1)

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        """Draw from the base distribution, and reflect about the mean with a probability of ``(1 - skew) / 2``."""
        key_base, key_side = jax.random.split(key)
        value = self.base_dist.expand(self.batch_shape).sample(key_base, sample_shape)
        u = jax.random.uniform(key_side, tuple(sample_shape) + self.batch_shape, minval=-1.0)
        stays = (u <= self._skew(value))[..., None]
        return jnp.where(stays, value, wrapped(2 * self.base_dist.mean - value))

    def log_prob(self, value: Any) -> Any:
        return self.base_dist.log_prob(value) + jnp.log1p(self._skew(value))

    @property
    def mean(self) -> Any:
        """Mean of the base distribution."""
        return self.base_dist.mean

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Reparameterisation strategies for :class:`numpyro.handlers.reparam`.

A strategy replaces a sample site by auxiliary sites and a deterministic function of them. The joint distribution stays
the same, but its geometry may become one in which a sampler moves more easily (Papaspiliopoulos, Roberts and Sköld
2007, *A general framework for the parametrization of hierarchical models*; Gorinova, Moore and Hoffman 2020,
*Automatic reparameterisation of probabilistic programs*). Strategies work inside the body of
:func:`~numpyro.contrib.control_flow.scan` too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from numpyro.distributions import (
    Distribution,
    ExpandedDistribution,
    Independent,
    MaskedDistribution,
    TransformedDistribution,
    constraints,
)
from numpyro.distributions.transforms import ComposeTransform, DiscreteCosineTransform, HaarTransform, Transform
from numpyro.distributions.util import is_identically_one, sum_rightmost
from numpyro.primitives import factor, param, sample

__all__ = [
    "DiscreteCosineReparam",
    "ExplicitReparam",
    "HaarReparam",
    "LocScaleReparam",
    "Reparam",
    "TransformReparam",
    "UnitJacobianReparam",
]


class Reparam(ABC):
    """A strategy: a callable of a site's name, distribution and observed value.

    It returns a new distribution and a value, of which one may be None: with a value, the site becomes deterministic.
    """

    @abstractmethod
    def __call__(self, name: str, fn: Distribution, obs: Any) -> tuple[Distribution | None, Any]:
        """Emit the auxiliary sites and return what is to stand in the site's place."""

    def _unwrap(self, fn: Distribution) -> tuple[Distribution, Any, int]:
        """Split a distribution into its core, the shape of its values, and the number of reinterpreted dimensions."""
        event_dim = 0
        shape = fn.shape()
        while isinstance(fn, Independent | ExpandedDistribution | MaskedDistribution):
            if isinstance(fn, MaskedDistribution):
                raise ValueError(
                    f"{type(self).__name__} cannot reparameterise a masked distribution; apply the mask to the whole "
                    f"model instead"
                )
            if isinstance(fn, Independent):
                event_dim += fn.reinterpreted_batch_ndims
            fn = fn.base_dist
        core_event = fn.event_dim
        return fn.expand(shape[: len(shape) - core_event]), shape, event_dim


def _refuse_observed(strategy: Reparam, name: str, obs: Any) -> None:
    if obs is not None:
        raise ValueError(f"{type(strategy).__name__} cannot reparameterise the observed site '{name}'")


def _factor_jacobian(name: str, log_det: Any, fn: Distribution) -> None:
    """Make the density of a transformed observation that of the observation, for transforms with parameters."""
    factor(f"{name}_jacobian", sum_rightmost(log_det, jnp.ndim(log_det) - len(fn.batch_shape)))


class LocScaleReparam(Reparam):
    """Non-centred, or partly centred, form of a distribution with parameters ``loc`` and ``scale``.

    With ``c`` the centredness, ``x' ~ D(c loc, scale^c)`` and ``x = loc + scale^(1-c) (x' - c loc)``.

    :param centered: number or array in [0, 1]; 0 is the non-centred form, 1 changes nothing. None makes it a learnable
        parameter, ``{name}_centered``.
    :param shape_params: further parameters of the distribution that are kept as they are, such as ``("df",)``.

    >>> import numpyro, numpyro.distributions as dist
    >>> from numpyro.infer.reparam import LocScaleReparam
    >>> def model():
    ...     with numpyro.handlers.reparam(config={"x": LocScaleReparam(0)}):
    ...         numpyro.sample("x", dist.Normal(3.0, 2.0))
    >>> trace = numpyro.handlers.trace(numpyro.handlers.seed(model, 0)).get_trace()
    >>> trace["x_decentered"]["type"], trace["x"]["type"]
    ('sample', 'deterministic')
    """

    def __init__(self, centered: Any = None, shape_params: Sequence[str] = ()) -> None:
        if isinstance(centered, int | float) and not 0 <= centered <= 1:
            raise ValueError(f"LocScaleReparam: centered must lie in [0, 1], but it is {centered}")
        self.centered = centered
        self.shape_params = tuple(shape_params)

    def __call__(self, name: str, fn: Distribution, obs: Any) -> tuple[Distribution | None, Any]:
        _refuse_observed(self, name, obs)
        if fn.support is not constraints.real and constraints.real is not getattr(fn.support, "base_constraint", None):
            raise ValueError(
                f"LocScaleReparam: site '{name}' ({type(fn).__name__}) has support {fn.support}; the strategy needs "
                f"the whole real line"
            )
        core, shape, event_dim = self._unwrap(fn)
        base = core.base_dist if isinstance(core, ExpandedDistribution) else core
        missing = [p for p in ("loc", "scale", *self.shape_params) if not hasattr(base, p)]
        if missing:
            raise ValueError(
                f"LocScaleReparam: {type(base).__name__} at site '{name}' has no parameter {', '.join(missing)}"
            )
        if is_identically_one(self.centered):
            return fn, None
        loc, scale = base.loc, base.scale
        centered = self.centered
        if centered is None:
            centered = param(f"{name}_centered", jnp.full(fn.event_shape, 0.5), constraint=constraints.unit_interval)
        kept = {p: getattr(base, p) for p in self.shape_params}
        family: Any = type(base)
        decentered = family(loc=loc * centered, scale=scale**centered, **kept).expand(shape).to_event(event_dim)
        value = sample(f"{name}_decentered", decentered)
        return None, loc + scale ** (1 - centered) * (value - centered * loc)


class TransformReparam(Reparam):
    """Samples the base of a :class:`~numpyro.distributions.TransformedDistribution` and applies its transforms.

    >>> import numpyro, numpyro.distributions as dist
    >>> from numpyro.infer.reparam import TransformReparam
    >>> affine = dist.transforms.AffineTransform(3.0, 2.0)
    >>> def model():
    ...     with numpyro.handlers.reparam(config={"x": TransformReparam()}):
    ...         numpyro.sample("x", dist.TransformedDistribution(dist.Normal(0.0, 1.0), affine))
    >>> sorted(numpyro.handlers.trace(numpyro.handlers.seed(model, 0)).get_trace())
    ['x', 'x_base']
    """

    def __call__(self, name: str, fn: Distribution, obs: Any) -> tuple[Distribution | None, Any]:
        core, _, event_dim = self._unwrap(fn)
        base = core.base_dist if isinstance(core, ExpandedDistribution) else core
        if not isinstance(base, TransformedDistribution):
            raise ValueError(
                f"TransformReparam: site '{name}' has a {type(base).__name__}, which is no TransformedDistribution; "
                "use another strategy, for instance LocScaleReparam"
            )
        transform = ComposeTransform(base.transforms)
        expanded = base.base_dist.expand(core.batch_shape).to_event(event_dim)
        base_value = None if obs is None else transform.inv(obs)
        base_value = sample(f"{name}_base", expanded, obs=base_value)
        if obs is None:
            return None, transform(base_value)
        _factor_jacobian(name, -transform.log_abs_det_jacobian(base_value, obs), fn)
        return None, obs


class ExplicitReparam(Reparam):
    """Samples ``T(x)`` for a given bijection ``T`` in the place of ``x``; the density is corrected by the Jacobian.

    :param transform: a bijective :class:`~numpyro.distributions.transforms.Transform`.
    """

    def __init__(self, transform: Transform) -> None:
        self.transform = transform

    def __call__(self, name: str, fn: Distribution, obs: Any) -> tuple[Distribution | None, Any]:
        core, _, _ = self._unwrap(fn)
        base_value = None if obs is None else self.transform(obs)
        transformed = TransformedDistribution(core, self.transform)
        reinterpreted = fn.event_dim - transformed.event_dim
        base_value = sample(f"{name}_base", transformed.to_event(max(reinterpreted, 0)), obs=base_value)
        if obs is None:
            return None, self.transform.inv(base_value)
        _factor_jacobian(name, self.transform.log_abs_det_jacobian(obs, base_value), fn)
        return None, obs


class UnitJacobianReparam(Reparam):
    """Samples ``T(x)`` for a bijection with Jacobian determinant 1, such as a rotation.

    :param transform: the bijection.
    :param suffix: the auxiliary site is named ``{name}_{suffix}``.
    """

    def __init__(self, transform: Transform, suffix: str = "transformed") -> None:
        self.transform = transform
        self.suffix = suffix

    def __call__(self, name: str, fn: Distribution, obs: Any) -> tuple[Distribution | None, Any]:
        _refuse_observed(self, name, obs)
        if fn.event_dim < self.transform.domain.event_dim:
            raise ValueError(
                f"{type(self).__name__}: site '{name}' has {fn.event_dim} event dimensions, but the transform acts on "
                f"{self.transform.domain.event_dim}; add them by .to_event(n)"
            )
        transformed = sample(f"{name}_{self.suffix}", TransformedDistribution(fn, self.transform))
        return None, self.transform.inv(transformed)


class DiscreteCosineReparam(UnitJacobianReparam):
    """Works on the discrete cosine coefficients of a time series, so that slow and fast movements separate.

    :param dim: the axis of time, negative.
    :param smooth: how strongly low frequencies are scaled up; 0 leaves white noise white, 1 is right for Brownian
        motion.
    """

    def __init__(self, dim: int = -1, smooth: float = 0.0) -> None:
        super().__init__(DiscreteCosineTransform(dim=dim, smooth=smooth), suffix="dct")


class HaarReparam(UnitJacobianReparam):
    """Works on the Haar wavelet coefficients of a time series.

    :param dim: the axis of time, negative.
    :param flip: turn time around first.
    """

    def __init__(self, dim: int = -1, flip: bool = False) -> None:
        super().__init__(HaarTransform(dim=dim, flip=flip), suffix="haar")

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Angles, and the normaliser of the von Mises density."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import i0e, i1e
import numpy as np

LOG_2PI = math.log(2 * math.pi)


def wrapped(angle: Any) -> Any:
    """The same angle in [-π, π]; one that is there already keeps all its digits."""
    angle = jnp.asarray(angle)
    turned = angle - 2 * math.pi * jnp.round(angle / (2 * math.pi))
    return jnp.where(jnp.abs(angle) <= math.pi, angle, jnp.clip(turned, -math.pi, math.pi))


def one_minus_ratio(kappa: Any) -> Any:
    r""":math:`1 - I_1(\kappa) / I_0(\kappa)`, by the asymptotic series (DLMF 10.40.1) where the ratio rounds to one."""
    far = kappa > 100
    inverse = 1 / jnp.where(far, kappa, 100.0)
    series = inverse * jnp.polyval(np.array([1073 / 1024, 13 / 32, 25 / 128, 1 / 8, 1 / 8, 1 / 2]), inverse)
    near = jnp.where(far, 1.0, kappa)
    return jnp.where(far, series, 1 - i1e(near) / i0e(near))


@jax.custom_jvp
def log_i0e(kappa: Any) -> Any:
    r""":math:`\log I_0(\kappa) - \kappa` for :math:`\kappa \ge 0`, with an accurate derivative."""
    return jnp.log(i0e(jnp.asarray(kappa, jnp.result_type(kappa, 1.0))))


@log_i0e.defjvp
def _log_i0e_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    return log_i0e(*primals), -one_minus_ratio(primals[0]) * tangents[0]

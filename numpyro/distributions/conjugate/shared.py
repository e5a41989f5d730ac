# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What the counts with a conjugate prior share."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

__all__ = ["counts_within", "floating"]


def counts_within(value: Any, upper: Any = None) -> tuple[Any, Any]:
    """Which values are counts (up to a bound), and the values in floating point, with 0 for those that are not."""
    value = jnp.asarray(value)
    inside = (value >= 0) & (value == jnp.floor(value))
    if upper is not None:
        inside = inside & (value <= upper)
    return inside, jnp.where(inside, value, 0).astype(jnp.result_type(float))


def floating(*parameters: Any) -> list[Any]:
    return [jnp.asarray(parameter, jnp.result_type(parameter, 1.0)) for parameter in parameters]

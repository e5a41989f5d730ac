# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Arguments of special functions, brought together."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp


def promote(*args: Any) -> list[Any]:
    """Arrays of one floating dtype and one shape.

    >>> [x.tolist() for x in promote(1, jnp.zeros(2))]
    [[1.0, 1.0], [0.0, 0.0]]
    """
    dtype = jnp.result_type(*args, 1.0)
    return list(jnp.broadcast_arrays(*(jnp.asarray(arg, dtype) for arg in args)))

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What distributions of vectors share."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpyro._shapes import reshape, shape_of

__all__ = ["vector_of"]


def vector_of(value: Any) -> Any:
    """A location as an array with a last dimension; a scalar stands for all entries."""
    value = np.asarray(value) if isinstance(value, list | tuple) else value
    return value if shape_of(value) else reshape(value, (1,))

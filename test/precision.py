# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Double precision for part of a test, in every supported version of JAX."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax


@contextmanager
def double_precision(enabled: bool = True) -> Iterator[None]:
    before = jax.config.read("jax_enable_x64")
    jax.config.update("jax_enable_x64", enabled)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)

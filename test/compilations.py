# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The programs that are compiled in part of a test, in every supported version of JAX."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax

_LISTENING: list[list[str]] = []


def _note(event: str, duration: float, **details: Any) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        for names in _LISTENING:
            names.append(str(details.get("fun_name")))


# One listener for good: not every version can take a single one off.
jax.monitoring.register_event_duration_secs_listener(_note)


@contextmanager
def compilations() -> Iterator[list[str]]:
    """Names of the functions that are compiled inside the block."""
    names: list[str] = []
    _LISTENING.append(names)
    try:
        yield names
    finally:
        _LISTENING[:] = [other for other in _LISTENING if other is not names]

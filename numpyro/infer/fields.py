# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Which fields of a kernel's state a run collects, and the room for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["buffer_of", "field_of", "fields_of", "one_draw", "site_of", "without_sites"]


def fields_of(kernel: Any, extra_fields: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Names of the fields to collect, of the sites to collect as the kernel holds them, and of the sites to leave
    out."""
    site = f"{kernel.sample_field}."
    excluded = tuple(name[1 + len(site) :] for name in extra_fields if name.startswith(f"~{site}"))
    unconstrained = tuple(name[len(site) :] for name in extra_fields if name.startswith(site))
    others = [name for name in extra_fields if not name.startswith((site, "~"))]
    unknown = [name for name in extra_fields if name.startswith("~") and not name.startswith(f"~{site}")]
    if unknown:
        raise ValueError(
            f"`extra_fields` has {unknown[0]!r}, but only sites can be left out: write '~{site}NAME' with the name of "
            "a site."
        )
    return tuple(dict.fromkeys((kernel.sample_field, *kernel.default_fields, *others))), unconstrained, excluded


def field_of(state: Any, path: str) -> Any:
    """A field of a state, or a field of a field: ``"adapt_state.step_size"``; tuples have numbers as names. A dot in
    front hides it from the user."""
    value = state
    for name in path.removeprefix(".").split("."):
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif isinstance(value, tuple) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        elif not isinstance(value, Mapping) and hasattr(value, name):
            value = getattr(value, name)
        else:
            known = value if isinstance(value, Mapping) else getattr(value, "_fields", ())
            hint = f" Its fields are {', '.join(map(str, known))}." if known else ""
            raise ValueError(f"`extra_fields` names {path!r}, which is no field of the kernel's state.{hint}")
    return value


def site_of(samples: Any, name: str) -> Any:
    if not isinstance(samples, Mapping) or name not in samples:
        known = f" The latent sites are {', '.join(samples)}." if isinstance(samples, Mapping) else ""
        raise ValueError(f"`extra_fields` asks for the latent site {name!r}, but there is none of that name.{known}")
    return samples[name]


def without_sites(samples: Any, excluded: tuple[str, ...]) -> Any:
    for name in excluded:
        if not isinstance(samples, Mapping) or name not in samples:
            known = f" The sites are {', '.join(samples)}." if isinstance(samples, Mapping) else ""
            raise ValueError(f"`extra_fields` leaves out the site {name!r}, but there is none of that name.{known}")
    return {name: value for name, value in samples.items() if name not in excluded} if excluded else samples


def buffer_of(name: str, field: Any, lead: tuple[int, ...], size: int) -> Any:
    """Room for ``size`` draws of a field."""

    def blank(x: Any) -> np.ndarray:
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            raise ValueError(
                f"`extra_fields` names {name!r}, which holds typed random keys; they cannot be collected. Leave it "
                "out, or run with a key made by jax.random.PRNGKey."
            )
        return np.zeros((*lead, size, *x.shape), x.dtype)

    return jax.tree.map(blank, field)


def one_draw(lead: tuple[int, ...], x: Any) -> Any:
    """The abstract array of one chain's draw; a field that chains share has no leading axis."""
    shape = x.shape[1:] if lead and x.shape[:1] == lead else x.shape
    return jax.ShapeDtypeStruct(shape, x.dtype)

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Whether a site, its plates and its value fit together, and how to say that they do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from numpyro._shapes import Shape, can_broadcast, shape_of

__all__ = ["site_description", "validate_batch_shape", "validate_value_shape", "value_conflict"]


def site_description(
    name: str, plates: Iterable[Any], batch_shape: Sequence[int], event_shape: Sequence[int], value_shape: Any = None
) -> str:
    """One sentence that places a site: name, plates with sizes and dims, and all shapes.

    >>> site_description("x", [], (5,), (2,), (5, 2))
    "Site 'x' (no plate; batch shape (5,), event shape (2,), value shape (5, 2))."
    """
    listing = ", ".join(f"plate '{p.name}' of size {p.size} at dim {p.dim}" for p in plates) or "no plate"
    value = "" if value_shape is None else f", value shape {tuple(value_shape)}"
    return f"Site '{name}' ({listing}; batch shape {tuple(batch_shape)}, event shape {tuple(event_shape)}{value})."


def validate_batch_shape(d: Any, plates: Iterable[Any], name: str = "", around: Iterable[Any] = ()) -> None:
    """Check that a distribution can live under the plates around it.

    :param d: a distribution.
    :param plates: frames with ``name``, ``dim`` and ``size``.
    :param name: the site's name, for the message.
    :param around: frames of the plates around those, which are named in the message but not checked.
    :raises ValueError: naming site, plates, shapes and remedy, where a batch dimension is neither 1 nor its plate's
        size.

    >>> from collections import namedtuple
    >>> import numpy as np, numpyro.distributions as dist
    >>> Plate = namedtuple("Plate", "name dim size")
    >>> validate_batch_shape(dist.Normal(np.zeros(5), 1.0), [Plate("rows", -1, 5)])
    """
    plates = list(plates)
    batch_shape = d.batch_shape
    for plate in plates:
        if len(batch_shape) < -plate.dim or batch_shape[plate.dim] in (1, plate.size):
            continue
        size = batch_shape[plate.dim]
        where = site_description(name, [*around, *plates], batch_shape, d.event_shape)
        raise ValueError(
            f"{where} Its batch shape has size {size} at dim {plate.dim}, where plate '{plate.name}' has size "
            f"{plate.size}. "
            f"If that dimension belongs to one draw, make it an event dimension (.to_event({-plate.dim})); if it "
            f"belongs to another plate, "
            f"move it (x[..., None], or plate(..., "
            f"dim={-len(batch_shape) if size == batch_shape[0] else plate.dim - 1})); if it should be repeated, "
            f"give the parameters size 1 or {plate.size} there, or .expand them."
        )


def value_conflict(d: Any, value_shape: Shape) -> str | None:
    """Why a value of this shape cannot belong to the distribution, or None when it can."""
    event_dim = d.event_dim
    value_event, value_batch = value_shape[len(value_shape) - event_dim :], value_shape[: len(value_shape) - event_dim]
    if len(value_shape) < event_dim:
        reason = f"it has fewer dimensions than one event (shape {d.event_shape})"
    elif value_event != d.event_shape:
        reason = f"its last {event_dim} dimensions {value_event} are not the event shape {d.event_shape}"
    elif not can_broadcast(value_batch, d.batch_shape):
        reason = f"its leading dimensions {value_batch} do not broadcast with the batch shape {d.batch_shape}"
    else:
        return None
    return (
        f"a value of shape {value_shape} does not fit batch shape {d.batch_shape} and event shape {d.event_shape}: "
        f"{reason}."
    )


def validate_value_shape(d: Any, value: Any, plates: Iterable[Any], name: str) -> None:
    """Check that a value can belong to a site.

    :raises ValueError: naming site, plates, shapes and remedy.
    """
    conflict = value_conflict(d, shape_of(value))
    if conflict is None:
        return
    where = site_description(name, plates, d.batch_shape, d.event_shape, shape_of(value))
    raise ValueError(
        f"{where} The value does not fit: {conflict} Give a value of shape {d.batch_shape + d.event_shape}, or change "
        f"the distribution: "
        ".to_event(n) turns batch dimensions into event dimensions, .expand(shape) adds batch dimensions."
    )

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Plates: batch dimensions along which draws are conditionally independent, and subsamples of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import broadcast_shapes, shape_of
from numpyro.distributions.site_checks import validate_batch_shape
from numpyro.primitives.stack import STACK, CondIndepStackFrame, InBody, Message, Messenger, apply_stack
from numpyro.primitives.statements import as_array
from numpyro.util import identity

__all__ = ["plate", "plate_stack", "subsample"]


def _draw_indices(size: int, subsample_size: int, rng_key: Any = None) -> Any:
    if rng_key is None:
        raise ValueError(
            f"A plate of size {size} has to draw {subsample_size} indices, but there is no random key. Run the model "
            "under numpyro.handlers.seed(model, rng_seed=0). Algorithms that need the full density, such as HMC and "
            "NUTS, cannot subsample: use SVI or HMCECS, or drop subsample_size."
        )
    return jax.random.permutation(rng_key, size)[:subsample_size]


class plate(Messenger):
    """A context in which draws are conditionally independent along one batch dimension.

    Distributions of the sites in it are expanded to have ``size`` (or ``subsample_size``) at ``dim``. With a
    subsample, log densities are scaled by ``size / subsample_size``, so that they estimate those of the full data.

    :param name: name of the plate.
    :param size: number of indices.
    :param subsample_size: number of indices to draw without replacement; all of them if None.
    :param dim: the batch dimension, counted from the right: negative. By default the rightmost that no plate around
        uses.
    :raises ValueError: if the dim is taken or not negative, or if a size is impossible.

    As a context manager it returns the indices.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model(data):
    ...     with numpyro.plate("rows", 4, dim=-2), numpyro.plate("columns", 3):
    ...         z = numpyro.sample("z", dist.Normal(0.0, 1.0))
    ...     with numpyro.plate("data", len(data), subsample_size=2) as index:
    ...         numpyro.sample("y", dist.Normal(0.0, 1.0), obs=data[index])
    ...     return z
    >>> numpyro.handlers.seed(model, rng_seed=0)(jnp.zeros(10)).shape
    (4, 3)
    """

    name: str
    size: int
    subsample_size: int
    dim: int

    def __init__(self, name: str, size: int, subsample_size: int | None = None, dim: int | None = None) -> None:
        super().__init__(None)
        if not size > 0:
            raise ValueError(f"plate '{name}': its size must be positive, but it is {size}.")
        if dim is not None and dim >= 0:
            raise ValueError(
                f"plate '{name}': dim must be negative, but it is {dim}. Batch dimensions are counted from the right: "
                "the last one is dim=-1."
            )
        if subsample_size is not None and not 0 < subsample_size <= size:
            raise ValueError(
                f"plate '{name}' of size {size}: subsample_size must be between 1 and {size}, but it is "
                f"{subsample_size}."
            )
        subsample_size = size if subsample_size is None else subsample_size
        msg: Message = {
            "type": "plate",
            "name": name,
            "fn": _draw_indices,
            "args": (size, subsample_size),
            "kwargs": {"rng_key": None},
            # On the host, so that a plate costs nothing, and indexing by it is cheap.
            "value": np.arange(size) if subsample_size == size else None,
            "scale": 1.0,
            "cond_indep_stack": [],
        }
        apply_stack(msg)
        self.name, self.size = msg["name"], size
        self.indices = as_array(msg["value"])
        self.subsample_size = len(self.indices)
        self._chosen_dim = dim
        self._around = msg["cond_indep_stack"]
        self._plates_at_birth = _active_plates()
        for frame in self._around:
            if frame.name == self.name:
                raise ValueError(
                    f"plate '{self.name}' stands inside a plate of the same name. Give it another name, or use one "
                    "plate."
                )
            if frame.dim == dim:
                raise ValueError(_collision(self.name, frame.name, dim))
        self.dim = dim if dim is not None else _rightmost_free(frame.dim for frame in self._around)

    def __enter__(self) -> Any:
        if self._chosen_dim is None:
            self._make_room()
        super().__enter__()
        return self.indices

    def _make_room(self) -> None:
        """Take another dim if that found at construction has been taken by a plate entered since."""
        if self.fn is not None:
            # A decorator outlives the model: what it stood in at an earlier call must not count.
            self.dim = _rightmost_free(frame.dim for frame in self._around)
        newer = [p for p in _active_plates() if all(p is not old for old in self._plates_at_birth)]
        if any(p.dim == self.dim for p in newer):
            self.dim = _rightmost_free([*(f.dim for f in self._around), *(p.dim for p in newer)])

    @property
    def frame(self) -> CondIndepStackFrame:
        """What the sites inside are told about this plate."""
        return CondIndepStackFrame(self.name, self.dim, self.subsample_size)

    def process_message(self, msg: Message) -> None:
        kind = msg["type"]
        if kind == "control_flow":
            msg["body_handlers"].append(InBody.around(self))
            return
        if kind not in ("sample", "param", "deterministic", "plate"):
            return
        frames, frame = msg["cond_indep_stack"], self.frame
        if frame in frames:
            return
        for other in frames:
            if other.dim == self.dim:
                raise ValueError(f"Site '{msg['name']}': {_collision(other.name, self.name, self.dim)}")
        frames.append(frame)
        if kind == "sample":
            self._expand(msg)
        if kind in ("sample", "param") and self.subsample_size != self.size:
            scale = self.size / self.subsample_size
            msg["scale"] = scale if msg["scale"] is None else msg["scale"] * scale

    def _expand(self, msg: Message) -> None:
        fn, sample_shape = msg["fn"], msg["kwargs"].get("sample_shape", ())
        if not hasattr(fn, "batch_shape") or not hasattr(fn, "expand"):
            return
        if sample_shape:
            fn = fn.expand((*sample_shape, *fn.batch_shape))
            msg["kwargs"]["sample_shape"] = ()
        if len(fn.batch_shape) < -self.dim or fn.batch_shape[self.dim] != self.subsample_size:
            frames = msg["cond_indep_stack"]
            around = [plate.frame for plate in _active_plates() if plate.frame not in frames]
            validate_batch_shape(fn, reversed(frames), msg["name"], around)
            own = (self.subsample_size,) + (1,) * (-self.dim - 1)
            fn = fn.expand(broadcast_shapes(fn.batch_shape, own))
        msg["fn"] = fn

    def postprocess_message(self, msg: Message) -> None:
        if msg["type"] not in ("param", "subsample"):
            return
        event_dim = msg["kwargs"].get("event_dim")
        if event_dim is None or msg["value"] is None:
            return
        value, dim = msg["value"], self.dim - event_dim
        shape = shape_of(value)
        if len(shape) < -dim or shape[dim] == 1:
            return
        if shape[dim] != self.size:
            what = "numpyro.subsample(...)" if msg["type"] == "subsample" else f"param '{msg['name']}'"
            raise ValueError(
                f"{what} of shape {shape} with event_dim={event_dim} stands under plate '{self.name}' of size "
                f"{self.size} at dim {self.dim}: its dimension {dim} must have size {self.size} or 1, but it has "
                f"{shape[dim]}. Insert a dimension of size 1 (x[..., None]) where it has none for this plate, or "
                "correct event_dim."
            )
        if self.subsample_size < self.size:
            msg["value"] = jnp.take(value, self.indices, dim)


def _active_plates() -> list[plate]:
    inside = (handler.handler if isinstance(handler, InBody) else handler for handler in STACK)
    return [handler for handler in inside if isinstance(handler, plate)]


def _rightmost_free(taken: Any) -> int:
    taken, dim = set(taken), -1
    while dim in taken:
        dim -= 1
    return dim


def _collision(inner: str, outer: str, dim: int | None) -> str:
    return (
        f"plate '{inner}' and plate '{outer}' around it are both at dim {dim}. Give one of them another dim, such as "
        f"dim={(dim or 0) - 1}, or leave dim out, and it is chosen."
    )


@contextmanager
def plate_stack(prefix: str, sizes: Sequence[int], rightmost_dim: int = -1) -> Iterator[None]:
    """Nested plates for a whole batch shape.

    :param prefix: the plates are named ``prefix_0`` (at ``rightmost_dim``), ``prefix_1`` (left of it) and so on.
    :param sizes: batch shape.
    :param rightmost_dim: dim of the last entry of ``sizes``.

    >>> import numpyro, numpyro.distributions as dist
    >>> with numpyro.handlers.seed(rng_seed=0), numpyro.plate_stack("grid", [2, 3]):
    ...     x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    >>> x.shape
    (2, 3)
    """
    if rightmost_dim >= 0:
        raise ValueError(f"plate_stack '{prefix}': rightmost_dim must be negative, but it is {rightmost_dim}.")
    with ExitStack() as plates:
        for i, size in enumerate(reversed(tuple(sizes))):
            plates.enter_context(plate(f"{prefix}_{i}", size, dim=rightmost_dim - i))
        yield


def subsample(data: Any, event_dim: int) -> Any:
    """Those parts of full data that the plates around have drawn.

    :param data: array with the full size of each plate (or size 1) at its dim.
    :param event_dim: number of rightmost dimensions that belong to no plate.
    :return: the data, indexed along the dims of the plates that subsample; outside plates as they are.

    >>> import numpyro
    >>> with numpyro.handlers.seed(rng_seed=0), numpyro.plate("data", 10, subsample_size=2):
    ...     batch = numpyro.subsample(jnp.zeros((10, 3)), event_dim=1)
    >>> batch.shape
    (2, 3)
    """
    if event_dim < 0:
        raise ValueError(f"subsample: event_dim must not be negative, but it is {event_dim}")
    if not STACK:
        return data
    data = as_array(data) if isinstance(data, list | tuple) else data
    msg = {
        "type": "subsample",
        "name": "_subsample",
        "fn": identity,
        "args": (data,),
        "kwargs": {"event_dim": event_dim},
        "value": data,
    }
    return apply_stack(msg)["value"]

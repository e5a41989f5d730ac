# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""A run that was interrupted: where it stands, and how to know it again.

Going on with a run gives the draws that it would have given, as long as it is the same run: the same random key, model,
data and settings. Its *identity* holds a sum of each of these, so that one which is not the same can be told apart, and
be told why.
"""

from __future__ import annotations

from collections.abc import Mapping
import hashlib
import inspect
import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro.infer.checkpoint import digest
from numpyro.infer.programs import settings_of
from numpyro.infer.runner import Request, Runner
from numpyro.infer.target_kernel import TargetKernel

__all__ = ["Unfinished", "differences", "identity_of", "restored", "taken_apart"]

_ADDRESS = re.compile(r"0x[0-9a-f]+")


class Unfinished(NamedTuple):
    """A run that was interrupted.

    :param kind: ``"run"`` or ``"warmup"``.
    :param identity: what :func:`identity_of` says of it.
    :param rng_key: its random key.
    :param extra_fields: as the user gave them.
    :param init_params: as the user gave them.
    :param resumed: the state from which it started, if any.
    :param plan: its plan, as a list of numbers.
    :param carries: for each group that was started, the arrays of its carry.
    :param iteration: where the last one of these groups is.
    :param parts: draws so far, if they are kept in blocks.
    """

    kind: str
    identity: dict[str, str]
    rng_key: Any
    extra_fields: tuple[str, ...]
    init_params: Any
    resumed: Any
    plan: list[int]
    carries: list[list[Any]]
    iteration: int
    parts: list[Any]

    def request(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request:
        """What the user asked for, with the model's arguments, which are not kept."""
        return Request(self.rng_key, args, kwargs, tuple(self.extra_fields), self.init_params, self.resumed)


def identity_of(kind: str, runner: Runner, carry: Any, num_warmup: int) -> dict[str, str]:
    """What makes a run what it is, by the names that an error uses for it.

    :param carry: of a group that was started.
    """
    request, plan, kernel, placement = runner.request, runner.plan, runner.kernel, runner.placement
    traced, names = runner.density(carry)
    method = runner.method
    return {
        "kind of run": kind,
        "numbers of iterations": repr((num_warmup, *plan)),
        "number of chains": repr(runner.total),
        "chains of this process": repr(placement.chains),
        "chain_method": method if isinstance(method, str) else "a function",
        "number of devices": repr(placement.num_devices),
        "store": "host" if runner.on_host else "device",
        "kernel": type(kernel).__qualname__,
        "settings of the kernel": digest(_settings(kernel)),
        "random key": digest(request.rng_key),
        "arguments of the model": digest((request.args, request.kwargs)),
        "extra_fields": repr(tuple(request.extra_fields)),
        "init_params": digest(request.init_params),
        "post_warmup_state": digest(request.resumed),
        "postprocess_fn": "given" if runner.postprocess_fn is not None else "the kernel's",
        "precision": jnp.dtype(jnp.result_type(float)).name,
        "sites of the model": _text_sum(names),
        "model (or the version of JAX, which writes it down in its own way)": _text_sum(traced.jaxpr)
        + digest([np.asarray(x) for x in traced.consts if not _is_key(x)]),
    }


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Names of what differs between two identities."""
    return [name for name in dict.fromkeys((*one, *other)) if one.get(name) != other.get(name)]


def taken_apart(carry: Any) -> list[Any]:
    """The arrays of a carry."""
    return jax.tree.leaves(carry)


def restored(leaves: list[Any], template: Any) -> Any:
    """A carry, from its arrays and one that looks like it, on the devices on which the latter is.

    :raises ValueError: if they do not look alike.
    """
    expected, treedef = jax.tree.flatten(template)
    looks = [[(np.shape(x), str(x.dtype)) for x in arrays] for arrays in (leaves, expected)]
    if looks[0] != looks[1]:
        raise ValueError(
            "the state of a chain that was saved does not look like one of this sampler: its arrays have shapes and "
            f"types {looks[0]}, those of the sampler {looks[1]}."
        )
    return jax.tree.unflatten(treedef, [_placed(x, like) for x, like in zip(leaves, expected, strict=True)])


def _placed(x: Any, like: Any) -> Any:
    if not isinstance(like, jax.Array) or x is like:
        return x
    return jax.device_put(x, like.sharding)


def _is_key(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _text_sum(value: Any) -> str:
    return hashlib.sha256(_ADDRESS.sub("0x", str(value)).encode()).hexdigest()


def _settings(kernel: Any) -> list[Any]:
    """The plain values and arrays among the arguments with which a kernel was made, as far as it keeps them under their
    names; of the kernels of this library that are made of others, the attributes of all of them."""
    if kernel.__class__.__module__.startswith("numpyro.") and not isinstance(kernel, TargetKernel):
        given = settings_of(kernel)
    else:
        names = inspect.signature(type(kernel).__init__).parameters
        given = [(name, getattr(kernel, f"_{name}", getattr(kernel, name, None))) for name in names]
    found = []
    for name, value in given:
        if isinstance(value, type):
            value = value.__qualname__
        if isinstance(value, Mapping) and not all(isinstance(key, str) for key in value):
            # Such as the moves of an ensemble, which have no order.
            value = [(_ADDRESS.sub("0x", repr(key)), part) for key, part in value.items()]
        leaves = jax.tree.leaves(value)
        if all(isinstance(x, bool | int | float | str | np.ndarray | np.generic | jax.Array) for x in leaves):
            found.append((name, value))
    return found

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""``lax.scan`` whose body contains sample statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp

from numpyro._shapes import shape_of
from numpyro.contrib.control_flow.body import Border, ScanAxis, ask, hoist_params, needs_key, tell, wrap_body
from numpyro.contrib.control_flow.recursion import parallel_scan
from numpyro.primitives import apply_stack, has_handlers

__all__ = ["scan"]


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any,
    length: int | None = None,
    reverse: bool = False,
    history: int = 1,
) -> tuple[Any, Any]:
    """Scan a function with sample statements over the leading axis of ``xs``, carrying state along.

    Every site of the body appears outside once, with one dimension of the scan's length in front of its batch shape,
    and nothing else changed: a site of batch shape ``B`` and event shape ``E`` in a scan of length ``T`` has batch
    shape ``(T,) + B`` and values of shape ``(T,) + B + E``. Two scans, one in the other, give ``(T_outer, T_inner) +
    B``.

    Values for the sites, from ``condition``, ``substitute``, ``replay`` and so on, have that shape too. If they have
    ``t < T`` entries along the scan axis, the first ``t`` steps take them and the others are drawn: so a model
    conditioned on the past forecasts the future.

    :param f: function of the carry and a slice of ``xs`` that returns the new carry and an output for this step.
    :param init: first carry, a pytree of arrays; its shapes do not change from step to step.
    :param xs: pytree of arrays to scan over, or None.
    :param length: number of steps; needed where ``xs`` is None.
    :param reverse: scan from the last element of ``xs`` to the first; sites stay in the order of ``xs``.
    :param history: only 1 for now; more is of use to enumerated sites alone.
    :return: last carry, and the outputs stacked along a new leading axis.
    :raises ValueError: naming site, plates and shapes, where a given value does not fit, where the carry changes its
        shape, where lengths disagree, or where a key is missing.
    :raises NotImplementedError: for ``history`` other than 1, enumerated sites and ``mutable`` in the body.

    >>> import jax.numpy as jnp
    >>> import numpyro, numpyro.distributions as dist
    >>> from numpyro.contrib.control_flow import scan
    >>> def model():
    ...     def step(c, a):
    ...         with numpyro.plate("series", 5):
    ...             c = numpyro.sample("val", dist.MultivariateNormal(c + a, scale_tril=jnp.eye(2)))
    ...         return c, c
    ...     return scan(step, jnp.zeros((5, 2)), jnp.ones((4, 5, 2)))
    >>> site = numpyro.handlers.trace(numpyro.handlers.seed(model, 0)).get_trace()["val"]
    >>> site["fn"].batch_shape, site["fn"].event_shape, site["value"].shape
    ((4, 5), (2,), (4, 5, 2))
    """
    if history != 1:
        raise NotImplementedError(
            f"scan(history={history}): a history other than 1 serves enumerated discrete sites, which are not "
            f"available yet. "
            "Carry earlier values along in the carry instead."
        )
    length = _scan_length(xs, length)
    if not has_handlers():
        return lax.scan(f, init, xs, length=length, reverse=reverse)
    msg = apply_stack(
        {
            "type": "control_flow",
            "name": "_scan",
            "fn": lambda rng_key=None: rng_key,
            "args": (),
            "kwargs": {"rng_key": None},
            "value": None,
            "body_handlers": [],
        }
    )
    key, prefix = msg["kwargs"]["rng_key"], msg.get("scope_prefix", "")
    body = wrap_body(f, msg)

    seen = Border(key)

    def look(carry: Any, x: Any) -> Any:
        with seen:
            new_carry, _ = body(carry, x)
        return new_carry, seen.outputs

    abstract_carry = jax.tree.map(_abstract, init)
    abstract_x = jax.tree.map(lambda x: jax.ShapeDtypeStruct(shape_of(x)[1:], jnp.result_type(x)), xs)
    new_carry, outputs = jax.eval_shape(look, abstract_carry, abstract_x)
    _check_carry(abstract_carry, new_carry)
    sites = seen.sites
    reserved = {name: len(outputs[name]["fn"].batch_shape) for name, site in sites.items() if site.type == "sample"}
    stacked = _with_scan_axis(outputs, length)

    params = hoist_params(seen.param_messages, prefix, "scan")
    decisions = ask(sites, stacked, prefix, key, length)
    given = {name: decision.arrays for name, decision in decisions.items()}
    draws = needs_key(seen.drawn, decisions)
    keys = jax.random.split(key, length) if key is not None and draws else None
    is_partial = any(decision.given is not None for decision in decisions.values())
    indices = jnp.arange(length) if is_partial else None

    def step(carry: Any, x: Any) -> Any:
        x, step_key, arrays, index = x
        border = Border(step_key, decisions, arrays, index, params)
        with border:
            carry, y = body(carry, x)
        return carry, (y, {name: _leaving(name, border, decisions) for name in border.sites})

    inputs = (xs, keys, given, indices)
    run = lax.scan if draws else parallel_scan
    carry, (ys, told) = run(step, init, inputs, length=length, reverse=reverse)
    for name, output in told.items():
        if "value" not in output:
            output["value"] = decisions[name].value
        if sites[name].type == "plate":
            output["value"] = _common_indices(output["value"], sites[name])
    tell(sites, told, prefix, key, decisions, ScanAxis(length), reserved)
    return carry, ys


def _leaving(name: str, border: Border, decisions: dict[str, Any]) -> dict[str, Any]:
    """What must leave the body as an output of the scan: not values that went in as they are."""
    output = border.outputs[name]
    decision = decisions.get(name)
    if decision is not None and decision.value is not None and decision.given is None:
        return {key: value for key, value in output.items() if key != "value"}
    return output


def _common_indices(value: Any, site: Any) -> Any:
    """The indices of a plate: the same at each step unless they are drawn."""
    size, subsample_size = site.details["args"][:2] if len(site.details["args"]) >= 2 else (None, None)
    return value[0] if size == subsample_size else value


def _abstract(x: Any) -> Any:
    return jax.ShapeDtypeStruct(shape_of(x), jnp.result_type(x))


def _with_scan_axis(tree: Any, length: int) -> Any:
    """Abstract arrays as they will be when stacked; this is all that promotion does."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((length, *x.shape), x.dtype), tree)


def _scan_length(xs: Any, length: int | None) -> int:
    leaves = jax.tree_util.tree_leaves_with_path(xs)
    sizes = {}
    for path, leaf in leaves:
        shape = shape_of(leaf)
        if not shape:
            raise ValueError(f"scan: xs{jax.tree_util.keystr(path)} is a scalar; it needs a leading axis to scan over")
        sizes[f"xs{jax.tree_util.keystr(path)}"] = shape[0]
    if length is not None:
        sizes["length"] = int(length)
    if not sizes:
        raise ValueError("scan: xs holds no array, so the number of steps is unknown; pass length=")
    if len(set(sizes.values())) > 1:
        listing = ", ".join(f"{name}: {size}" for name, size in sizes.items())
        raise ValueError(
            f"scan: the number of steps is ambiguous ({listing}); all leading axes, and length, must agree"
        )
    return next(iter(sizes.values()))


def _check_carry(before: Any, after: Any) -> None:
    structures: list[Any] = [jax.tree.structure(before), jax.tree.structure(after)]
    if structures[0] != structures[1]:
        raise ValueError(
            "scan: the body returns a carry of another structure than init.\n"
            f"init: {structures[0]}\nbody: {structures[1]}"
        )
    leaves = zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True)
    for (path, old), new in leaves:
        if old.shape != new.shape:
            raise ValueError(
                f"scan: the carry{jax.tree_util.keystr(path)} has shape {old.shape} at the start and {new.shape} after "
                f"one step. Its shape must "
                f"not change: start from an init of shape {new.shape} (values drawn under a plate have the plate's "
                f"size)."
            )

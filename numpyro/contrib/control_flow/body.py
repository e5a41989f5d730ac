# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The sites of a body that JAX traces: looking for them, giving them values, telling the handlers outside about them.

A body of ``scan`` or ``cond`` is traced by JAX, perhaps several times, so the handlers around the statement must not
see what happens inside it directly: they would be handed tracers that die with the body. A :class:`Border` stands
between the two. It stops every message of the body, supplies keys and values, and records the sites as arrays that
leave the body in a lawful way.

The three steps *look*, *ask* and *tell* are described in ``docs/design/architecture.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import can_expand, shape_of
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.site_checks import site_description
from numpyro.primitives import Messenger, apply_stack, postprocess, process

__all__ = ["Border", "Decision", "ScanAxis", "Site", "ask", "placeholder", "tell", "wrap_body"]


@dataclass(frozen=True, eq=False)
class ScanAxis:
    """The axis that a run of ``scan`` puts in front of its sites; the same object for all of them."""

    length: int


@dataclass(frozen=True)
class Site:
    """What is static about a site in a body.

    ``scale`` is None where the scale is an array, which leaves the body together with the distribution. ``scan_axes``
    are those of scans inside the body.
    """

    name: str
    type: str
    is_observed: bool
    frames: tuple[Any, ...]
    infer: dict[str, Any]
    scale: Any = None
    scan_axes: tuple[ScanAxis, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """What a site's value is to be.

    :param value: the values, stacked along a leading axis (for ``scan``) or None.
    :param in_body: function of the site, and of a slice of ``data``, to be called in the body; or None.
    :param data: arrays stacked along a leading axis, for ``in_body``.
    :param given: number of leading entries of ``value`` that count; those beyond are drawn.
    :param drop_observed: draw the site although the body gives it an observed value.
    """

    value: Any = None
    in_body: Callable[..., Any] | None = None
    data: Any = None
    given: int | None = None
    drop_observed: bool = False

    @property
    def arrays(self) -> tuple[Any, Any]:
        """The arrays that must travel into the body."""
        return self.value, self.data


def placeholder(fn: Any, sample_shape: tuple[int, ...] = ()) -> Any:
    """Any value of the shape and type of a draw, for a trace in which only shapes count."""
    try:
        is_discrete = fn.is_discrete
    except (AttributeError, NotImplementedError):
        is_discrete = True
    if is_discrete or not isinstance(fn, Distribution):
        try:
            drawn = jax.eval_shape(lambda: fn(rng_key=jax.random.key(0), sample_shape=sample_shape))
            return jnp.zeros(drawn.shape, drawn.dtype)
        except NotImplementedError:
            pass
    return jnp.zeros(fn.shape(sample_shape), jnp.result_type(float))


class Border(Messenger):
    """Stands between the handlers around a body and the body itself.

    :param key: random key for this run of the body, or None.
    :param decisions: what is decided for the sites, by name; None while looking.
    :param arrays: for each decided site, this run's part of :attr:`Decision.arrays`.
    :param index: position along the scan, for sites whose values are given only at the beginning.
    :param params: values of the parameters, by name.
    :param construct: the statement's name, for messages ("scan", "cond").
    """

    def __init__(
        self,
        key: Any,
        decisions: dict[str, Decision] | None = None,
        arrays: dict[str, Any] | None = None,
        index: Any = None,
        params: dict[str, Any] | None = None,
        construct: str = "scan",
    ) -> None:
        super().__init__(None)
        self.key = key
        self.decisions = decisions
        self.arrays = arrays or {}
        self.index = index
        self.params = params or {}
        self.construct = construct
        self.sites: dict[str, Site] = {}
        self.outputs: dict[str, dict[str, Any]] = {}
        self.param_messages: dict[str, dict[str, Any]] = {}
        self.keys_used = 0
        self.drawn: set[str] = set()

    @property
    def is_looking(self) -> bool:
        return self.decisions is None

    def next_key(self, name: str) -> Any:
        """A fresh key for a site of this run."""
        self.keys_used += 1
        if self.is_looking:
            self.drawn.add(name)
        if self.key is None:
            if self.is_looking:
                return jax.random.key(0)
            raise ValueError(
                f"site '{name}' in the body of {self.construct} has to be drawn, but there is no random key: "
                "run the model under numpyro.handlers.seed(model, rng_seed=...)."
            )
        return jax.random.fold_in(self.key, self.keys_used)

    def process_message(self, msg: dict[str, Any]) -> None:
        msg["stop"] = True
        kind, name = msg["type"], msg["name"]
        if kind == "sample":
            self._process_sample(msg)
        elif kind == "param":
            self._process_param(msg)
        elif kind == "mutable":
            raise NotImplementedError(
                f"mutable '{name}' inside {self.construct}: state that changes from step to step belongs in the carry. "
                f"Pass it to {self.construct} and return it from the body."
            )
        elif kind in ("plate", "prng_key", "control_flow"):
            # Without a key they go on: a nested scan, say, may need none.
            needs_key = msg["value"] is None and msg["kwargs"].get("rng_key", 0) is None
            if needs_key and (self.key is not None or self.is_looking):
                msg["kwargs"]["rng_key"] = self.next_key(name)

    def _process_sample(self, msg: dict[str, Any]) -> None:
        name = msg["name"]
        if msg["infer"].get("enumerate") == "parallel" and not msg["is_observed"]:
            raise NotImplementedError(
                f"site '{name}' in the body of {self.construct} asks for enumeration, which is not available yet "
                f"inside "
                f"{self.construct}. Sum the site out by hand (for instance with MixtureSameFamily), or drop "
                f"infer={{'enumerate': 'parallel'}}."
            )
        if msg.get("scan") == "tell":
            return
        decision = (self.decisions or {}).get(name)
        if msg.get("scan") == "ask":
            self._answer(msg, decision)
            return
        if self.is_looking:
            if msg["value"] is None:
                self.drawn.add(name)
                msg["value"] = placeholder(msg["fn"], msg["kwargs"].get("sample_shape", ()))
            return
        if decision is not None and decision.drop_observed:
            msg["value"], msg["is_observed"] = None, False
        if decision is not None and (decision.value is not None or decision.in_body is not None):
            msg["value"] = self._decided_value(msg, decision)
        elif msg["value"] is None:
            self._give_key(msg)

    def _answer(self, msg: dict[str, Any], decision: Decision | None) -> None:
        """Hand a decision to a scan inside this body, which slices it further."""
        if decision is None:
            return
        value, data = self.arrays.get(msg["name"], (None, None))
        if decision.drop_observed:
            msg["value"], msg["is_observed"] = None, False
        if decision.in_body is not None:
            msg["in_body"], msg["in_body_data"] = decision.in_body, data
        elif decision.value is not None:
            if decision.given is None:
                msg["value"] = value
            else:
                raise NotImplementedError(
                    f"site '{msg['name']}' of a nested scan is given values for the first {decision.given} steps of "
                    f"the outer scan "
                    "only. Give values for all of them, or for none."
                )

    def _give_key(self, msg: dict[str, Any]) -> None:
        if msg["kwargs"].get("rng_key") is None:
            msg["kwargs"]["rng_key"] = self.next_key(msg["name"])

    def _decided_value(self, msg: dict[str, Any], decision: Decision) -> Any:
        value, data = self.arrays[msg["name"]]
        if decision.in_body is not None:
            if msg["kwargs"].get("rng_key") is None and self.key is not None:
                self._give_key(msg)
            result = decision.in_body(msg) if data is None else decision.in_body(msg, data)
            if result is None:
                self._give_key(msg)
            return result
        if decision.given is None:
            return value
        self._give_key(msg)
        drawn = msg["fn"](rng_key=msg["kwargs"]["rng_key"], sample_shape=msg["kwargs"].get("sample_shape", ()))
        return jnp.where(self.index < decision.given, value, drawn)

    def _process_param(self, msg: dict[str, Any]) -> None:
        name = msg["name"]
        if not self.is_looking:
            msg["value"] = self.params[name]
            return
        self.param_messages.setdefault(name, {**msg, "kwargs": dict(msg["kwargs"])})
        if msg["kwargs"].get("rng_key") is None:
            msg["kwargs"]["rng_key"] = jax.random.key(0)

    def postprocess_message(self, msg: dict[str, Any]) -> None:
        kind, name = msg["type"], msg["name"]
        if kind not in ("sample", "deterministic", "plate"):
            return
        if name in self.sites:
            if kind == "plate":
                return
            raise ValueError(
                f"the body of {self.construct} has two sites named '{name}'. Give them different names, or put one "
                f"under "
                "numpyro.handlers.scope."
            )
        output: dict[str, Any] = {"value": msg["value"]}
        scale = msg.get("scale")
        if kind == "sample":
            output["fn"] = msg["fn"]
        if hasattr(scale, "shape"):
            output["scale"], scale = scale, None
        details = {"args": msg["args"], "fn": msg["fn"]} if kind == "plate" else {}
        self.outputs[name] = output
        self.sites[name] = Site(
            name=name,
            type=kind,
            is_observed=bool(msg.get("is_observed", False)),
            frames=tuple(msg.get("cond_indep_stack", ())),
            infer=dict(msg.get("infer") or {}),
            scale=scale,
            scan_axes=tuple(msg.get("scan_axes", ())),
            details=details,
        )


def needs_key(drawn: set[str], decisions: dict[str, Decision]) -> bool:
    """Whether a run of the body still draws something once the decisions are made."""
    settled = {name for name, d in decisions.items() if d.value is not None and d.given is None}
    return bool(drawn - settled) or any(decision.drop_observed for decision in decisions.values())


def wrap_body(body: Callable[..., Any], control_message: dict[str, Any]) -> Callable[..., Any]:
    """The body under those outer handlers that have to act inside it, innermost first."""
    for wrapper in control_message["body_handlers"]:
        body = wrapper(body)
    return body


def hoist_params(messages: dict[str, dict[str, Any]], prefix: str, construct: str) -> dict[str, Any]:
    """Emit the parameter sites of a body once, in front of the statement, and return their values."""
    values = {}
    for name, msg in messages.items():
        for leaf in jax.tree.leaves((msg["args"], {k: v for k, v in msg["kwargs"].items() if k != "rng_key"})):
            if isinstance(leaf, jax.core.Tracer) and _is_dead(leaf):
                raise ValueError(
                    f"param '{name}' in the body of {construct} has an initial value that depends on the body's "
                    f"arguments. A "
                    f"parameter is the same at every step: declare it in front of {construct}."
                )
        fresh = {key: value for key, value in msg.items() if key not in ("stop", "scope_prefix")}
        fresh |= {"name": name.removeprefix(prefix), "value": None}
        values[name] = apply_stack(fresh)["value"]
    return values


def _is_dead(tracer: Any) -> bool:
    """Whether a tracer belongs to a trace that has ended, so that it cannot be used here."""
    try:
        jnp.shape(tracer + 0)
    except jax.errors.UnexpectedTracerError:
        return True
    return False


def site_message(site: Site, name: str, fn: Any, value: Any, key: Any, stage: str, scale: Any = None) -> dict[str, Any]:
    """The message of a sample site as if it had been written vectorised."""
    return {
        "type": "sample",
        "name": name,
        "fn": fn,
        "args": (),
        "kwargs": {"rng_key": key, "sample_shape": ()},
        "value": value,
        "scale": site.scale if scale is None else scale,
        "is_observed": site.is_observed,
        "intermediates": [],
        "cond_indep_stack": list(site.frames),
        "infer": dict(site.infer),
        "scan": stage,
    }


def ask(
    sites: dict[str, Site], outputs: dict[str, Any], prefix: str, key: Any, length: int | None
) -> dict[str, Decision]:
    """Ask the handlers outside which values the sample sites are to have.

    :param sites: static part of the sites.
    :param outputs: their abstract distributions and values, with the scan axis in front.
    :param prefix: prefix that scopes outside have put before the names already.
    :param length: length of the scan, or None if there is no leading axis (``cond``).
    """
    decisions = {}
    for name, site in sites.items():
        if site.type != "sample":
            continue
        abstract_fn, abstract_value = outputs[name]["fn"], outputs[name]["value"]
        placeholder_value = abstract_value if site.is_observed else None
        msg = site_message(site, name.removeprefix(prefix), abstract_fn, placeholder_value, key, "ask")
        msg["abstract_value"] = abstract_value
        process(msg)
        decision = None
        # A value beats a function: strategies leave alone what has been given or observed.
        if msg["value"] is not None and msg["value"] is not abstract_value:
            decision = _check_given(site, msg, abstract_fn, abstract_value, length)
        elif msg.get("in_body") is not None and not site.is_observed:
            decision = Decision(in_body=msg["in_body"], data=msg.get("in_body_data"))
        elif site.is_observed and msg["value"] is None:
            decision = Decision(drop_observed=True)
        if decision is not None:
            decisions[name] = decision
    return decisions


def _check_given(site: Site, msg: dict[str, Any], fn: Any, abstract_value: Any, length: int | None) -> Decision:
    """Turn a value given from outside into a decision, or say why it cannot be one."""
    value, expected = msg["value"], tuple(abstract_value.shape)
    value = np.asarray(value) if isinstance(value, list | tuple | int | float) else value
    shape = shape_of(value)
    where = site_description(site.name, site.frames, fn.batch_shape, fn.event_shape, shape)
    if length is None:
        if not can_expand(shape, expected):
            raise ValueError(f"{where} The value given to it must have shape {expected}.")
        return Decision(value=jnp.broadcast_to(value, expected))
    if len(shape) != len(expected) or not can_expand(shape[1:], expected[1:]):
        raise ValueError(
            f"{where} It is inside a scan of length {length}, so the value given to it must have shape {expected}: the "
            f"scan axis "
            "first, then the plates, then the event. (Values for the first t < length steps only are fine too.)"
        )
    if shape[0] > length:
        raise ValueError(
            f"{where} The value given to it has {shape[0]} steps, but the scan has length {length}. Give at most "
            f"{length} "
            f"steps, value[:{length}], or make the scan longer."
        )
    value = jnp.broadcast_to(value, shape[:1] + expected[1:])
    if shape[0] == length:
        return Decision(value=value)
    if shape[0] == 0:
        return Decision(drop_observed=site.is_observed)
    last = jnp.broadcast_to(value[-1:], (length - shape[0], *expected[1:]))
    return Decision(value=jnp.concatenate([value, last]), given=shape[0])


def tell(
    sites: dict[str, Site],
    outputs: dict[str, Any],
    prefix: str,
    key: Any,
    decisions: dict[str, Decision],
    axis: ScanAxis | None,
    reserved: dict[str, int],
) -> None:
    """Tell the handlers outside about the sites, once each, as if they had been written vectorised.

    :param axis: the scan's axis, or None if there is no leading axis (``cond``).
    :param reserved: for each sample site, the rank of its batch shape inside the body.
    """
    for name, site in sites.items():
        output = outputs[name]
        outer_name = name.removeprefix(prefix)
        if site.type == "sample":
            fn = output["fn"]
            if axis is not None and len(fn.batch_shape) == reserved[name]:
                fn = fn.expand((axis.length, *fn.batch_shape))
            msg = site_message(site, outer_name, fn, output["value"], key, "tell", output.get("scale"))
            decision = decisions.get(name)
            if decision is not None and decision.drop_observed:
                msg["is_observed"] = False
        elif site.type == "deterministic":
            msg = {
                "type": "deterministic",
                "name": outer_name,
                "fn": None,
                "args": (),
                "kwargs": {},
                "value": output["value"],
                "scale": site.scale,
                "cond_indep_stack": list(site.frames),
                "scan": "tell",
            }
        else:
            msg = {
                "type": "plate",
                "name": outer_name,
                "fn": site.details["fn"],
                "args": site.details["args"],
                "kwargs": {"rng_key": None, "sample_shape": ()},
                "value": output["value"],
                "scale": 1.0,
                "cond_indep_stack": [],
                "scan": "tell",
            }
        msg["scan_axes"] = (() if axis is None else (axis,)) + site.scan_axes
        value = msg["value"]
        seen = process(msg)
        msg["value"] = value
        postprocess(msg, seen)

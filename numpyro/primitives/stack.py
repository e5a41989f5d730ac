# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The stack of effect handlers, and the way of a message through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import copy
import functools
from typing import Any, NamedTuple

from numpyro.distributions.distribution import Distribution

__all__ = [
    "STACK",
    "CondIndepStackFrame",
    "InBody",
    "Message",
    "Messenger",
    "apply_stack",
    "default_process_message",
    "draw",
    "forward",
    "has_handlers",
    "postprocess",
    "process",
]

Message = dict[str, Any]

STACK: list[Messenger] = []
"""The active handlers, outermost first."""


class CondIndepStackFrame(NamedTuple):
    """What a site knows about a plate around it: ``size`` is that of the subsample."""

    name: str
    dim: int
    size: int


class Messenger:
    """Base class of effect handlers: a context manager, and a wrapper of functions.

    Subclasses override :meth:`process_message`, :meth:`postprocess_message`, or both.

    :param fn: function to run under the handler; None if it is used in a ``with`` block or as a decorator.

    >>> class log_names(Messenger):
    ...     def process_message(self, msg):
    ...         if msg["type"] == "deterministic":
    ...             print(msg["name"])
    >>> import numpyro
    >>> with log_names():
    ...     x = numpyro.deterministic("a", 1.0)
    a
    """

    def __init__(self, fn: Callable[..., Any] | None = None) -> None:
        if fn is not None and not callable(fn):
            raise ValueError(
                f"{type(self).__name__}: the first argument must be a function, for instance a model, but it is a "
                f"{type(fn).__name__}. Pass other arguments by keyword."
            )
        self._wrap(fn)

    def _wrap(self, fn: Callable[..., Any] | None) -> None:
        self.fn = fn
        if fn is not None:
            functools.update_wrapper(self, fn, updated=())

    def __enter__(self) -> Any:
        STACK.append(self)
        return self

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        # After an error, handlers entered later may not have been left; they go with this one.
        while any(handler is self for handler in STACK) and STACK.pop() is not self:
            pass

    def process_message(self, msg: Message) -> None:
        """See a message on its way outward, before there is a value."""

    def postprocess_message(self, msg: Message) -> None:
        """See a message on its way back inward, with its value."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.fn is None:
            if len(args) != 1 or kwargs or not callable(args[0]):
                raise TypeError(
                    f"{type(self).__name__} wraps no function, so it can only be used in a with block, or be called "
                    f"with the one function to wrap: {type(self).__name__}(...)(fn)."
                )
            wrapped = copy.copy(self)
            wrapped._wrap(args[0])
            return wrapped
        with self:
            return self.fn(*args, **kwargs)


def has_handlers() -> bool:
    """Whether any handler is active."""
    return bool(STACK)


def process(msg: Message, within: int | None = None) -> list[Messenger]:
    """Send a message outward until a handler stops it, and return the handlers that saw it, outermost first.

    :param within: number of outer handlers to consider; all if None.
    """
    position = within = len(STACK) if within is None else within
    while position > 0:
        position -= 1
        STACK[position].process_message(msg)
        if msg.get("stop"):
            break
    msg.pop("stop", None)
    return STACK[position:within]


def default_process_message(msg: Message) -> None:
    """Compute the value of a message if no handler has given one."""
    if msg["value"] is not None:
        return
    if msg["type"] == "sample" and isinstance(msg["fn"], Distribution):
        msg["value"], msg["intermediates"] = draw(
            msg["name"], msg["fn"], *msg["args"], sample_intermediates=True, **msg["kwargs"]
        )
    elif msg["type"] == "sample":
        msg["value"] = draw(msg["name"], msg["fn"], *msg["args"], **msg["kwargs"])
    else:
        msg["value"] = msg["fn"](*msg["args"], **msg["kwargs"])


def postprocess(msg: Message, seen: Sequence[Messenger]) -> None:
    """Send a message back inward through the handlers that saw it."""
    for handler in seen:
        handler.postprocess_message(msg)


def apply_stack(msg: Message) -> Message:
    """Send a message outward through the stack, compute its value, and send it back.

    :return: the same message, changed.
    """
    seen = process(msg)
    default_process_message(msg)
    postprocess(msg, seen)
    return msg


def forward(msg: Message, handler: Messenger) -> Message:
    """Send a message of one's own to the handlers outside of ``handler`` only; otherwise as :func:`apply_stack`."""
    seen = process(msg, within=STACK.index(handler))
    default_process_message(msg)
    postprocess(msg, seen)
    return msg


def draw(name: str, fn: Any, *args: Any, rng_key: Any = None, **kwargs: Any) -> Any:
    """A draw from ``fn``, a distribution or another function of a random key, for the site ``name``."""
    if rng_key is not None:
        return fn(*args, rng_key=rng_key, **kwargs)
    try:
        return fn(*args, rng_key=None, **kwargs)
    except NotImplementedError:
        raise
    except Exception as error:
        raise ValueError(
            f"Site '{name}' has to be drawn from {type(fn).__name__}, but there is no random key. Run the model under "
            "numpyro.handlers.seed(model, rng_seed=0), give the site a value (obs=..., or handlers.substitute), or "
            "pass rng_key= to numpyro.sample."
        ) from error


class InBody(Messenger):
    """An outer handler that acts on the single sites in the body of a scan, not on the stacked ones.

    It leaves alone the sites that a :class:`numpyro.handlers.block` between the two hides (``msg["shielded"]``).

    :param handler: the handler around the scan, whose methods are called for the sites in the body.
    """

    def __init__(self, fn: Callable[..., Any] | None, handler: Messenger) -> None:
        super().__init__(fn)
        self.handler = handler

    @classmethod
    def around(cls, handler: Messenger) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """What a handler appends to ``msg["body_handlers"]``: wraps a body so that ``handler`` acts in it."""
        return lambda body: cls(body, handler)

    def process_message(self, msg: Message) -> None:
        if not msg.get("shielded"):
            self.handler.process_message(msg)

    def postprocess_message(self, msg: Message) -> None:
        if not msg.get("shielded"):
            self.handler.postprocess_message(msg)

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The statements of a model, and the stack of effect handlers that gives them their meaning.

A statement builds a *message*, a dict that says what is wanted, and sends it through the stack
(:func:`apply_stack`): from the innermost handler outward each may change it, until one sets ``msg["stop"]``; then the
value is computed if none has been given; then the same handlers see the result, from the outermost inward. Outside
any handler a statement does the obvious thing and builds no message.

The idea is that of Pyro's messengers: Bingham et al., "Pyro: Deep Universal Probabilistic Programming", JMLR 20 (2019);
see also Plotkin and Pretnar, "Handlers of Algebraic Effects", ESOP (2009). ``docs/design/architecture.md`` lists the
keys of messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
import copy
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import broadcast_shapes, shape_of
from numpyro.distributions.distribution import Distribution, Unit
from numpyro.distributions.site_checks import validate_batch_shape, validate_value_shape
from numpyro.util import identity

__all__ = [
    "CondIndepStackFrame",
    "Messenger",
    "apply_stack",
    "default_process_message",
    "deterministic",
    "factor",
    "forward",
    "get_mask",
    "has_handlers",
    "module",
    "mutable",
    "param",
    "plate",
    "plate_stack",
    "postprocess",
    "prng_key",
    "process",
    "sample",
    "subsample",
]

Message = dict[str, Any]

#: The active handlers, outermost first.
_STACK: list[Messenger] = []


class CondIndepStackFrame(NamedTuple):
    """What a site knows about a plate around it: ``size`` is that of the subsample."""

    name: str
    dim: int
    size: int


# The stack


class Messenger:
    """Base class of effect handlers: a context manager, and a wrapper of functions.

    Subclasses override :meth:`process_message`, :meth:`postprocess_message`, or both.

    :param fn: function to run under the handler; None if it is used in a ``with`` block or as a decorator.

    >>> class log_names(Messenger):
    ...     def process_message(self, msg):
    ...         if msg["type"] == "deterministic":
    ...             print(msg["name"])
    >>> with log_names():
    ...     x = deterministic("a", 1.0)
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
        _STACK.append(self)
        return self

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        # After an error, handlers entered later may not have been left; they go with this one.
        while any(handler is self for handler in _STACK) and _STACK.pop() is not self:
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
    return bool(_STACK)


def process(msg: Message, within: int | None = None) -> list[Messenger]:
    """Send a message outward until a handler stops it, and return the handlers that saw it, outermost first.

    :param within: number of outer handlers to consider; all if None.
    """
    position = within = len(_STACK) if within is None else within
    while position > 0:
        position -= 1
        _STACK[position].process_message(msg)
        if msg.get("stop"):
            break
    msg.pop("stop", None)
    return _STACK[position:within]


def default_process_message(msg: Message) -> None:
    """Compute the value of a message if no handler has given one."""
    if msg["value"] is not None:
        return
    if msg["type"] == "sample" and isinstance(msg["fn"], Distribution):
        msg["value"], msg["intermediates"] = _draw(
            msg["name"], msg["fn"], *msg["args"], sample_intermediates=True, **msg["kwargs"]
        )
    elif msg["type"] == "sample":
        msg["value"] = _draw(msg["name"], msg["fn"], *msg["args"], **msg["kwargs"])
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
    seen = process(msg, within=_STACK.index(handler))
    default_process_message(msg)
    postprocess(msg, seen)
    return msg


def _draw(name: str, fn: Any, *args: Any, rng_key: Any = None, **kwargs: Any) -> Any:
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


# Statements


def sample(
    name: str,
    fn: Any,
    obs: Any = None,
    rng_key: Any = None,
    sample_shape: Sequence[int] = (),
    infer: dict[str, Any] | None = None,
    obs_mask: Any = None,
) -> Any:
    """A random variable: drawn from a distribution, or observed.

    :param name: name of the site, unique in the model.
    :param fn: a :class:`~numpyro.distributions.Distribution`.
    :param obs: observed value, of a shape that broadcasts with ``fn.batch_shape + fn.event_shape``; None if latent.
    :param rng_key: key for the draw; usually it comes from :class:`numpyro.handlers.seed`.
    :param sample_shape: shape to be prepended to that of one draw.
    :param infer: hints for inference algorithms, such as ``{"enumerate": "parallel"}``.
    :param obs_mask: boolean array that broadcasts with ``fn.batch_shape``: where it is True, ``obs`` counts; elsewhere
        the value is imputed by sampling. The site is split into ``name + "_observed"`` and the latent ``name +
        "_unobserved"``.
    :return: the value, of shape ``sample_shape + batch_shape + event_shape`` when it is drawn.
    :raises TypeError: if ``fn`` is not a distribution.
    :raises ValueError: if a key is missing, or if value, distribution and plates do not fit together.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model(y=None):
    ...     mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    ...     with numpyro.plate("data", 3):
    ...         return numpyro.sample("y", dist.Normal(mu, 0.1), obs=y)
    >>> numpyro.handlers.seed(model, rng_seed=0)().shape
    (3,)
    """
    if not isinstance(fn, Distribution):
        _check_is_distribution(name, fn)
    if isinstance(obs, list | tuple):
        obs = _as_array(obs)
    if obs_mask is not None:
        return _sample_partly_observed(name, fn, obs, obs_mask, rng_key, sample_shape, infer)
    sample_shape = tuple(sample_shape)
    if not _STACK:
        if obs is None:
            return _draw(name, fn, rng_key=rng_key, sample_shape=sample_shape)
        _check_value(name, fn, obs, ())
        return obs

    msg = apply_stack(
        {
            "type": "sample",
            "name": name,
            "fn": fn,
            "args": (),
            "kwargs": {"rng_key": rng_key, "sample_shape": sample_shape},
            "value": obs,
            "scale": None,
            "is_observed": obs is not None,
            "intermediates": [],
            "cond_indep_stack": [],
            "infer": {} if infer is None else dict(infer),
        }
    )
    if msg["type"] == "sample":
        _check_value(msg["name"], msg["fn"], msg["value"], msg["cond_indep_stack"])
    return msg["value"]


def _check_is_distribution(name: str, fn: Any) -> None:
    if isinstance(fn, type):
        raise TypeError(
            f"Site '{name}': the second argument of sample is the class {fn.__name__}, not an instance of it. Call it "
            f"with its parameters: {fn.__name__}(...)."
        )
    if not (callable(fn) and hasattr(fn, "log_prob") and hasattr(fn, "batch_shape")):
        raise TypeError(
            f"Site '{name}': the second argument of sample must be a numpyro.distributions.Distribution, but it is "
            f"{fn!r} of type {type(fn).__name__}. To record a value that is computed, use numpyro.deterministic; to "
            "add a term to the log density, use numpyro.factor."
        )


def _check_value(name: str, fn: Any, value: Any, frames: Sequence[CondIndepStackFrame]) -> None:
    if isinstance(fn, Distribution) and shape_of(value) != fn.batch_shape + fn.event_shape:
        validate_value_shape(fn, value, reversed(frames), name)


def _as_array(value: Any) -> Any:
    """An array of a nested list, on the host unless there are JAX arrays in it."""
    on_device = any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(value))
    return jnp.asarray(value) if on_device else np.asarray(value)


def _sample_partly_observed(
    name: str, fn: Any, obs: Any, obs_mask: Any, rng_key: Any, sample_shape: Sequence[int], infer: dict[str, Any] | None
) -> Any:
    obs_mask = _as_array(obs_mask) if isinstance(obs_mask, bool | list | tuple) else obs_mask
    if obs_mask.dtype != bool:
        raise ValueError(
            f"Site '{name}': obs_mask must be a boolean array, but its type is {obs_mask.dtype}. Use "
            "obs_mask.astype(bool)."
        )
    observed = sample(f"{name}_observed", fn.mask(obs_mask), obs, infer=infer)
    unobserved = sample(
        f"{name}_unobserved", fn.mask(~obs_mask), rng_key=rng_key, sample_shape=sample_shape, infer=infer
    )
    is_observed = obs_mask.reshape(obs_mask.shape + (1,) * len(fn.event_shape))
    return deterministic(name, jnp.where(is_observed, observed, unobserved))


def deterministic(name: str, value: Any) -> Any:
    """Record a value that is computed from others, so that it appears among the posterior samples.

    :param name: name of the site, unique in the model.
    :param value: an array.
    :return: the value.

    >>> import numpyro
    >>> with numpyro.handlers.trace() as trace:
    ...     y = numpyro.deterministic("y", 2.0)
    >>> trace["y"]["value"]
    2.0
    """
    if not _STACK:
        return value
    return apply_stack(
        {
            "type": "deterministic",
            "name": name,
            "fn": identity,
            "args": (value,),
            "kwargs": {},
            "value": value,
            "scale": None,
            "cond_indep_stack": [],
        }
    )["value"]


def factor(name: str, log_factor: Any) -> None:
    """Add a term to the log density of a model.

    :param name: name of the site, unique in the model.
    :param log_factor: log weight. Under plates its shape broadcasts with theirs, and there is a term for each index.

    >>> import numpyro
    >>> with numpyro.handlers.trace() as trace:
    ...     numpyro.factor("penalty", -3.0)
    >>> print(trace["penalty"]["fn"].log_prob(trace["penalty"]["value"]))
    -3.0
    """
    fn = Unit(log_factor, validate_args=False)
    value = np.empty((*fn.batch_shape, 0), np.float32)
    sample(name, fn, obs=value, infer={"is_auxiliary": True})


def param(name: str, init_value: Any = None, **kwargs: Any) -> Any:
    """A parameter to be optimised: a point estimate, not a random variable.

    :param name: name of the parameter. Later statements with the same name refer to the same parameter.
    :param init_value: first value, or a function of a random key that returns it.
    :param kwargs: ``constraint``, a :class:`~numpyro.distributions.constraints.Constraint` that the values satisfy
        (real by default); ``event_dim``, the number of rightmost dimensions that belong to no plate. With it the value
        is indexed along the dims of the plates that subsample.
    :return: the value; outside handlers the initial one.
    :raises ValueError: if a random key is missing, or if the shape does not fit the plates.

    >>> import numpyro, numpyro.distributions as dist
    >>> def guide():
    ...     return numpyro.param("scale", 0.5, constraint=dist.constraints.positive)
    >>> numpyro.handlers.substitute(guide, data={"scale": 2.0})()
    2.0
    """
    if callable(init_value):
        return _param(name, _with_key(f"param '{name}'", init_value), (), kwargs)
    return _param(name, identity, (init_value,), kwargs)


def _param(name: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not _STACK:
        return fn(*args, **kwargs)
    return apply_stack(
        {
            "type": "param",
            "name": name,
            "fn": fn,
            "args": args,
            "kwargs": kwargs,
            "value": None,
            "scale": None,
            "cond_indep_stack": [],
        }
    )["value"]


def _with_key(what: str, init: Callable[[Any], Any]) -> Callable[..., Any]:
    """Initialisation that asks the handlers for a key when it runs."""

    def fn(rng_key: Any = None, **kwargs: Any) -> Any:
        key = prng_key() if rng_key is None else rng_key
        if key is None:
            raise ValueError(
                f"The initial value of {what} is a function of a random key, but there is none. Run under "
                "numpyro.handlers.seed(fn, rng_seed=0), or give a value."
            )
        return init(key)

    return fn


def module(
    name: str,
    nn: tuple[Callable[..., Any], Callable[..., Any]],
    input_shape: Sequence[int] | None = None,
) -> Callable[..., Any]:
    """Register the parameters of a neural network, and return the network as a function of its inputs.

    :param name: name of the network; its parameters are the site ``name + "$params"``.
    :param nn: pair of ``init(rng_key, input_shape) -> (output_shape, params)`` and ``apply(params, inputs)``.
    :param input_shape: shape of the inputs; it is needed unless the parameters are given by a handler.
    :return: ``apply`` with its parameters filled in.
    :raises ValueError: if the input shape or a random key is needed and missing.

    >>> import numpyro
    >>> def init(rng_key, input_shape):
    ...     return input_shape, {"w": jax.random.normal(rng_key, input_shape)}
    >>> def model(x):
    ...     net = numpyro.module("net", (init, lambda params, x: params["w"] * x), input_shape=x.shape)
    ...     return net(x)
    >>> numpyro.handlers.seed(model, rng_seed=0)(jnp.ones(3)).shape
    (3,)
    """
    nn_init, nn_apply = nn
    init = _with_key(f"module '{name}'", lambda rng_key: nn_init(rng_key, input_shape)[1])

    def fn(rng_key: Any = None) -> Any:
        if input_shape is None:
            raise ValueError(
                f"module '{name}' has to initialise its parameters, but input_shape is None. Pass "
                f"numpyro.module('{name}', nn, input_shape=...), or substitute '{name}$params'."
            )
        return init(rng_key)

    return functools.partial(nn_apply, _param(f"{name}$params", fn, (), {}))


def mutable(name: str, init_value: Any = None) -> Any:
    """State that a model may change in place while it runs, such as running averages.

    :param name: name of the site.
    :param init_value: first value, usually a dict of arrays.
    :return: the value.

    >>> import numpyro
    >>> from numpyro.primitives import mutable
    >>> with numpyro.handlers.trace() as trace:
    ...     state = mutable("state", {"count": 0})
    ...     state["count"] += 1
    >>> trace["state"]["value"]
    {'count': 1}
    """
    if not _STACK:
        return init_value
    return apply_stack(
        {"type": "mutable", "name": name, "fn": identity, "args": (init_value,), "kwargs": {}, "value": init_value}
    )["value"]


def prng_key() -> Any:
    """A random key from the :class:`numpyro.handlers.seed` around it; None if there is none.

    >>> import numpyro
    >>> with numpyro.handlers.seed(rng_seed=1):
    ...     key = numpyro.prng_key()
    >>> numpyro.prng_key() is None
    True
    """
    if not _STACK:
        return None
    msg = {
        "type": "prng_key",
        "name": "_prng_key",
        "fn": lambda rng_key: rng_key,
        "args": (),
        "kwargs": {"rng_key": None},
        "value": None,
    }
    return apply_stack(msg)["value"]


def get_mask() -> Any:
    """The mask that the :class:`numpyro.handlers.mask` handlers around it add up to; None if there are none.

    A model can use it to leave out work whose result would be masked.

    >>> import numpyro
    >>> with numpyro.handlers.mask(mask=False):
    ...     numpyro.get_mask()
    False
    """
    if not _STACK:
        return None
    msg = {"type": "get_mask", "name": "_get_mask", "fn": lambda: None, "args": (), "kwargs": {}, "value": None}
    return apply_stack(msg)["value"]


# Plates


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
        self.indices = _as_array(msg["value"])
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
    inside = (handler.handler if isinstance(handler, InBody) else handler for handler in _STACK)
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
    if not _STACK:
        return data
    data = _as_array(data) if isinstance(data, list | tuple) else data
    msg = {
        "type": "subsample",
        "name": "_subsample",
        "fn": identity,
        "args": (data,),
        "kwargs": {"event_dim": event_dim},
        "value": data,
    }
    return apply_stack(msg)["value"]


# Inside the bodies of control flow


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

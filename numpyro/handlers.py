# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Effect handlers: what changes the meaning of the statements of a model without changing the model.

Each handler wraps a function, ``seed(model, rng_seed=0)``, or opens a context, ``with seed(rng_seed=0): ...``. They
nest, and the innermost sees a statement first. For instance, a model's log density at given values is

>>> import jax.numpy as jnp
>>> import numpyro, numpyro.distributions as dist
>>> from numpyro.handlers import substitute, trace
>>> def model(y):
...     mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
...     numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
>>> sites = trace(substitute(model, data={"mu": 0.5})).get_trace(jnp.zeros(2))
>>> log_joint = sum(jnp.sum(site["fn"].log_prob(site["value"])) for site in sites.values())
>>> print(round(float(log_joint), 4))
-3.1318

A statement in the body of :func:`numpyro.contrib.control_flow.scan` reaches the handlers around the scan once, stacked
along the scan's axis; ``docs/design/architecture.md`` says how.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any
import zlib

import jax
import jax.numpy as jnp
import numpy as np

from numpyro.distributions.distribution import Distribution
from numpyro.primitives import Messenger, forward, prng_key
from numpyro.primitives.stack import InBody, Message
from numpyro.util import identity, is_prng_key

__all__ = [
    "block",
    "condition",
    "do",
    "infer_config",
    "lift",
    "mask",
    "reparam",
    "replay",
    "scale",
    "scope",
    "seed",
    "substitute",
    "trace",
    "uncondition",
]

Model = Callable[..., Any]
Strategy = Callable[[str, Any, Any], tuple[Any, Any]]

_NOT_RECORDED = frozenset({"control_flow", "get_mask", "prng_key", "subsample"})
_WITH_VALUES = frozenset({"sample", "param", "deterministic", "plate", "mutable"})


class trace(Messenger):
    """Record the sites of a model.

    :param fn: the model.

    As a context manager it returns the dict that is being filled. Each entry is the message of a site, with ``type``,
    ``name``, ``fn``, ``value``, ``is_observed`` and so on.

    :raises ValueError: if two sites have the same name.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model():
    ...     x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    ...     numpyro.deterministic("y", 2 * x)
    >>> sites = trace(seed(model, rng_seed=0)).get_trace()
    >>> list(sites), bool(sites["y"]["value"] == 2 * sites["x"]["value"])
    (['x', 'y'], True)
    """

    def __enter__(self) -> OrderedDict[str, Message]:
        super().__enter__()
        self.trace: OrderedDict[str, Message] = OrderedDict()
        return self.trace

    def postprocess_message(self, msg: Message) -> None:
        if msg["type"] in _NOT_RECORDED:
            return
        name = msg["name"]
        if name in self.trace:
            self._check_repeated(self.trace[name], msg)
        self.trace[name] = msg.copy()

    @staticmethod
    def _check_repeated(first: Message, second: Message) -> None:
        name, kinds = second["name"], (first["type"], second["type"])
        if kinds == ("param", "param"):
            return
        if kinds == ("plate", "plate"):
            if first["args"][0] != second["args"][0]:
                raise ValueError(
                    f"plate '{name}' appears twice, first with size {first['args'][0]}, then with size "
                    f"{second['args'][0]}. Plates of different sizes need different names."
                )
            return
        raise ValueError(
            f"all sites must have unique names, but '{name}' appears twice, as {kinds[0]} and as {kinds[1]} site. "
            "Give one of them another name; where the same code runs more than once, wrap each run by "
            "numpyro.handlers.scope(prefix=...)."
        )

    def get_trace(self, *args: Any, **kwargs: Any) -> OrderedDict[str, Message]:
        """Run the model on the given arguments and return its sites, in the order of execution."""
        if self.fn is None:
            raise TypeError("trace wraps no function: use trace(model).get_trace(...), or `with trace() as sites`.")
        self(*args, **kwargs)
        return self.trace


class replay(Messenger):
    """Give the latent sites of a model the values that they have in a trace, and its plates the same indices.

    :param fn: the model.
    :param trace: a trace, as :meth:`trace.get_trace` returns it.
    :raises RuntimeError: if the trace has a site of the same name that is not latent.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model():
    ...     return numpyro.sample("x", dist.Normal(0.0, 1.0))
    >>> sites = trace(seed(model, rng_seed=0)).get_trace()
    >>> bool(replay(model, trace=sites)() == sites["x"]["value"])
    True
    """

    def __init__(self, fn: Model | None = None, trace: Mapping[str, Message] | None = None) -> None:
        if trace is None:
            raise ValueError("replay needs a trace: replay(model, trace=trace(seed(guide, rng_seed=0)).get_trace())")
        self.trace = trace
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        if msg["type"] not in ("sample", "plate") or msg["name"] not in self.trace or msg.get("is_observed"):
            return
        site = self.trace[msg["name"]]
        if msg["type"] == "plate":
            if site["type"] != "plate":
                raise RuntimeError(f"replay: '{msg['name']}' is a plate, but a {site['type']} site in the trace.")
            msg["value"] = site["value"]
            return
        if site["type"] != "sample" or site["is_observed"]:
            raise RuntimeError(
                f"replay: Site '{msg['name']}' must be sampled in trace, but there it is "
                f"{'observed' if site['type'] == 'sample' else 'a ' + site['type'] + ' site'}."
            )
        msg["value"] = site["value"]
        msg["infer"] = dict(site["infer"])


class block(Messenger):
    """Hide sites from the handlers outside. Only a seed outside still supplies their random keys.

    Hidden are, if one of these is given: the sites for which ``hide_fn`` is true; those named in ``hide``; those that
    are neither of a type in ``expose_types`` nor named in ``expose``. With none given, all are hidden.

    :param fn: the model.
    :param hide_fn: function of a site's message. It comes before the other options.
    :param hide: names to hide.
    :param expose_types: types of sites not to hide, such as ``"param"``.
    :param expose: names not to hide.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model():
    ...     a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    ...     return numpyro.sample("b", dist.Normal(a, 1.0))
    >>> list(trace(block(seed(model, rng_seed=0), hide=["a"])).get_trace())
    ['b']
    """

    def __init__(
        self,
        fn: Model | None = None,
        hide_fn: Callable[[Message], bool] | None = None,
        hide: Sequence[str] | None = None,
        expose_types: Sequence[str] | None = None,
        expose: Sequence[str] | None = None,
    ) -> None:
        self._hides_all = all(option is None for option in (hide_fn, hide, expose_types, expose))
        if hide_fn is not None:
            self.hide_fn = hide_fn
        elif hide is not None:
            self.hide_fn = lambda msg: msg["name"] in hide
        elif expose_types is not None or expose is not None:
            self.hide_fn = lambda msg: msg["type"] not in (expose_types or ()) and msg["name"] not in (expose or ())
        else:
            self.hide_fn = lambda msg: True
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "prng_key":
            return
        if msg["type"] == "control_flow" and not self._hides_all:
            # The loop may have sites that are not hidden; what is in it is hidden site by site.
            msg["body_handlers"].append(lambda body: _Shield(body, self.hide_fn))
        elif self.hide_fn(msg):
            msg["stop"] = True
            if msg["value"] is None and "rng_key" in msg["kwargs"] and msg["kwargs"]["rng_key"] is None:
                msg["kwargs"]["rng_key"] = prng_key()


class _Shield(Messenger):
    """In the body of a scan: hides sites from those outer handlers that act there."""

    def __init__(self, fn: Model, hide_fn: Callable[[Message], bool]) -> None:
        self.hide_fn = hide_fn
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        if msg["type"] != "control_flow" and self.hide_fn(msg):
            msg["shielded"] = True


class condition(Messenger):
    """Observe sample sites at given values.

    :param fn: the model.
    :param data: values by site name.
    :param condition_fn: function of a site's message that returns a value, or None to leave the site as it is.

    Exactly one of ``data`` and ``condition_fn`` is given. A value for a site in a scan has the scan's axis in front.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model():
    ...     return numpyro.sample("x", dist.Normal(0.0, 1.0))
    >>> site = trace(condition(model, data={"x": 2.0})).get_trace()["x"]
    >>> site["value"], site["is_observed"]
    (2.0, True)
    """

    def __init__(
        self,
        fn: Model | None = None,
        data: Mapping[str, Any] | None = None,
        condition_fn: Callable[[Message], Any] | None = None,
    ) -> None:
        if (data is None) == (condition_fn is None):
            raise ValueError("condition takes either data or condition_fn: exactly one of them must be given.")
        self.data, self.condition_fn = data, condition_fn
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        if msg["type"] != "sample":
            return
        value = (self.data or {}).get(msg["name"]) if self.condition_fn is None else self.condition_fn(msg)
        if value is not None:
            msg["value"], msg["is_observed"] = value, True


class uncondition(Messenger):
    """Turn observed sites into latent ones, so that data can be drawn from the model.

    ``infer`` of such a site holds ``was_observed`` and the former value ``obs``.

    :param fn: the model.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model(y):
    ...     return numpyro.sample("y", dist.Normal(0.0, 1.0), obs=y)
    >>> bool(seed(uncondition(model), rng_seed=0)(7.0) == 7.0)
    False
    """

    def process_message(self, msg: Message) -> None:
        if msg["type"] != "sample" or not msg["is_observed"]:
            return
        msg["infer"] |= {"was_observed": True, "obs": msg["value"]}
        msg["is_observed"], msg["value"] = False, None
        if msg["kwargs"].get("rng_key") is None:
            # A seed inside has passed this site by, as it had a value.
            msg["kwargs"]["rng_key"] = prng_key()


class substitute(Messenger):
    """Give sites values, without observing them.

    :param fn: the model.
    :param data: values by site name, for latent and observed samples, parameters, deterministic sites, and plates
        (whose values are the indices).
    :param substitute_fn: function of a site's message that returns a value, or None to leave the site as it is.

    Exactly one of ``data`` and ``substitute_fn`` is given. In a scan, a value in ``data`` has the scan's axis in front;
    ``substitute_fn`` is called at each step.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model():
    ...     return numpyro.sample("x", dist.Normal(0.0, 1.0))
    >>> substitute(model, data={"x": 2.0})()
    2.0
    """

    def __init__(
        self,
        fn: Model | None = None,
        data: Mapping[str, Any] | None = None,
        substitute_fn: Callable[[Message], Any] | None = None,
    ) -> None:
        if (data is None) == (substitute_fn is None):
            raise ValueError("substitute takes either data or substitute_fn: exactly one of them must be given.")
        self.data, self.substitute_fn = data, substitute_fn
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        if msg["type"] not in _WITH_VALUES:
            return
        if self.substitute_fn is None:
            value = (self.data or {}).get(msg["name"])
        elif msg.get("scan") == "tell":
            return
        elif msg.get("scan") == "ask":
            msg["in_body"] = self.substitute_fn
            return
        else:
            value = self.substitute_fn(msg)
        if value is not None:
            msg["value"] = value


class do(Messenger):
    """Intervene: fix what sites return to the model, while they themselves stay random.

    The rest of the model goes on with the given value. To the handlers outside, the site is a draw from its
    distribution that nothing depends on; :class:`condition` can still observe it. This is the single-world
    intervention of Richardson and Robins, "Single World Intervention Graphs" (2013).

    :param fn: the model.
    :param data: values by the name of the sample site.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model():
    ...     z = numpyro.sample("z", dist.Normal(0.0, 1.0))
    ...     return z ** 2
    >>> intervened = seed(do(model, data={"z": 1.0}), rng_seed=0)
    >>> with trace() as sites:
    ...     z_squared = intervened()
    >>> z_squared, bool(sites["z"]["value"] == 1.0)
    (1.0, False)
    """

    def __init__(self, fn: Model | None = None, data: Mapping[str, Any] | None = None) -> None:
        self.data = {} if data is None else data
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        if msg["type"] != "sample" or msg["name"] not in self.data:
            return
        value, stage = self.data[msg["name"]], msg.get("scan")
        if stage == "ask" and msg["is_observed"]:
            raise NotImplementedError(
                f"do: site '{msg['name']}' is observed in the body of a scan. Intervene on latent sites there, or "
                "write the scan as a Python loop."
            )
        if stage != "ask":
            forward(self._as_written(msg), self)
        msg["value"], msg["stop"] = value, True

    @staticmethod
    def _as_written(msg: Message) -> Message:
        """The site as it is without the intervention."""
        site = {key: value for key, value in msg.items() if key != "scan"}
        site |= {key: site[key].copy() for key in ("kwargs", "cond_indep_stack", "infer")}
        if msg.get("scan") == "tell":
            site["value"] = None
            key = site["kwargs"].get("rng_key")
            if key is not None:
                # The scan has used this key for its steps.
                site["kwargs"]["rng_key"] = jax.random.fold_in(key, zlib.crc32(msg["name"].encode()))
        return site


class seed(Messenger):
    """Supply random keys: each site that needs one gets its own.

    :param fn: the model.
    :param rng_seed: an integer or a random key, of the new or of the old style.
    :param hide_types: types of sites that get no key from this handler, such as ``"prng_key"``.

    Calling the wrapped function twice gives the same result.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model():
    ...     return numpyro.sample("x", dist.Normal(0.0, 1.0))
    >>> once = seed(model, rng_seed=1)()
    >>> with seed(rng_seed=jax.random.key(1)):
    ...     again = model()
    >>> bool(once == again)
    True
    """

    #: Whether a wrapped function continues with new keys at its next call.
    stateful: bool = False

    def __init__(self, fn: Model | None = None, rng_seed: Any = None, hide_types: Sequence[str] | None = None) -> None:
        self.rng_key = None if rng_seed is None else _as_key(rng_seed)
        self.hide_types = () if hide_types is None else tuple(hide_types)
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        kind = msg["type"]
        if kind not in ("sample", "plate", "prng_key", "control_flow") or kind in self.hide_types or "scan" in msg:
            return
        if self.rng_key is None or msg["value"] is not None or msg["kwargs"].get("rng_key") is not None:
            return
        self.rng_key, msg["kwargs"]["rng_key"] = self._split(self.rng_key)

    def _split(self, rng_key: Any) -> Any:
        """The key to go on with, and one for a site."""
        return jax.random.split(rng_key)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.fn is None or self.stateful:
            return super().__call__(*args, **kwargs)
        rng_key = self.rng_key
        try:
            return super().__call__(*args, **kwargs)
        finally:
            self.rng_key = rng_key


def _as_key(rng_seed: Any) -> Any:
    is_integer = isinstance(rng_seed, int | np.integer) or (
        jnp.issubdtype(getattr(rng_seed, "dtype", np.float32), jnp.integer) and np.ndim(rng_seed) == 0
    )
    if is_integer:
        return jax.random.key(rng_seed)
    if not is_prng_key(rng_seed):
        raise TypeError(
            f"seed: rng_seed must be an integer or a single random key, but it is {rng_seed!r} of type "
            f"{type(rng_seed).__name__}. Make a key by jax.random.key(0); take one of several by keys[i]."
        )
    return rng_seed


class scale(Messenger):
    """Multiply log densities (of samples and parameters) by a positive factor.

    :param fn: the model.
    :param scale: positive number, or array that broadcasts with the batch shapes of the sites.

    >>> import numpyro, numpyro.distributions as dist
    >>> with trace() as sites, scale(scale=10.0):
    ...     x = numpyro.sample("x", dist.Normal(0.0, 1.0), obs=0.0)
    >>> sites["x"]["scale"]
    10.0
    """

    def __init__(self, fn: Model | None = None, scale: Any = 1.0) -> None:
        if not isinstance(scale, jax.core.Tracer) and np.any(np.asarray(scale) <= 0):
            raise ValueError(f"scale must be positive, but it is {scale}. To leave sites out, use mask(mask=False).")
        self.scale = scale
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        if msg["type"] in ("sample", "param", "plate"):
            msg["scale"] = self.scale if msg["scale"] is None else self.scale * msg["scale"]


class mask(Messenger):
    """Count log densities only where a mask is True.

    :param fn: the model.
    :param mask: a boolean, or a boolean array that broadcasts with the batch shapes of the sites.
    :raises ValueError: if the mask is not boolean.

    >>> import numpyro, numpyro.distributions as dist
    >>> with trace() as sites, mask(mask=jnp.array([True, False])):
    ...     x = numpyro.sample("x", dist.Normal(0.0, 1.0), obs=jnp.zeros(2))
    >>> print(sites["x"]["fn"].log_prob(sites["x"]["value"]))
    [-0.9189385  0.       ]
    """

    def __init__(self, fn: Model | None = None, mask: Any = True) -> None:
        if not isinstance(mask, bool) and getattr(mask, "dtype", None) != np.bool_:
            raise ValueError(
                "mask must be a boolean or a boolean array, but its type is "
                f"{getattr(mask, 'dtype', type(mask).__name__)}. Use jnp.asarray(mask, bool)."
            )
        self.mask = mask
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        kind = msg["type"]
        if kind == "sample":
            msg["fn"] = msg["fn"].mask(self.mask)
        elif kind == "get_mask":
            self._add_to(msg)
        elif kind == "control_flow":
            msg["body_handlers"].append(lambda body: _MaskInBody(body, self))

    def _add_to(self, msg: Message) -> None:
        msg["value"] = self.mask if msg["value"] is None else self.mask & msg["value"]


class _MaskInBody(Messenger):
    """In the body of a scan: answers ``get_mask``; the sites are masked when they have been stacked."""

    def __init__(self, fn: Model, outside: mask) -> None:
        self.outside = outside
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "get_mask":
            self.outside._add_to(msg)


class scope(Messenger):
    """Put a prefix before the names of all sites.

    :param fn: the model.
    :param prefix: the prefix.
    :param divider: what stands between prefix and name.
    :param hide_types: types of sites that keep their names.

    >>> import numpyro, numpyro.distributions as dist
    >>> def layer():
    ...     return numpyro.sample("w", dist.Normal(0.0, 1.0))
    >>> def model():
    ...     return scope(layer, prefix="first")() + scope(layer, prefix="second")()
    >>> list(trace(seed(model, rng_seed=0)).get_trace())
    ['first/w', 'second/w']
    """

    def __init__(
        self,
        fn: Model | None = None,
        prefix: str = "",
        divider: str = "/",
        *,
        hide_types: Sequence[str] | None = None,
    ) -> None:
        self.prefix, self.divider = prefix, divider
        self.hide_types = () if hide_types is None else tuple(hide_types)
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        kind, prefix = msg["type"], f"{self.prefix}{self.divider}"
        if kind == "control_flow":
            msg["body_handlers"].append(InBody.around(self))
        elif kind in _NOT_RECORDED or kind in self.hide_types:
            return
        else:
            msg["name"] = prefix + msg["name"]
        msg["scope_prefix"] = prefix + msg.get("scope_prefix", "")


class infer_config(Messenger):
    """Set the hints for inference algorithms on sample sites.

    :param fn: the model.
    :param config_fn: function of a site's message that returns a dict, with which the site's ``infer`` is updated.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model():
    ...     return numpyro.sample("k", dist.Bernoulli(0.5))
    >>> config = infer_config(seed(model, rng_seed=0), config_fn=lambda site: {"enumerate": "parallel"})
    >>> trace(config).get_trace()["k"]["infer"]
    {'enumerate': 'parallel'}
    """

    def __init__(self, fn: Model | None = None, config_fn: Callable[[Message], dict[str, Any]] | None = None) -> None:
        if not callable(config_fn):
            raise ValueError("infer_config needs config_fn, a function of a site that returns a dict.")
        self.config_fn = config_fn
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "control_flow":
            msg["body_handlers"].append(InBody.around(self))
        elif msg["type"] == "sample" and "scan" not in msg:
            msg["infer"] |= self.config_fn(msg) or {}


class lift(Messenger):
    """Put priors on parameters: a ``param`` statement becomes a ``sample`` statement.

    :param fn: the model.
    :param prior: a distribution for all parameters, or distributions by name. Parameters without one stay as they are.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model():
    ...     return numpyro.param("s", 0.5)
    >>> site = trace(lift(seed(model, rng_seed=0), prior={"s": dist.Delta(3.0)})).get_trace()["s"]
    >>> site["type"], float(site["value"])
    ('sample', 3.0)
    """

    def __init__(
        self, fn: Model | None = None, prior: Distribution | Mapping[str, Distribution | None] | None = None
    ) -> None:
        self.prior = {} if prior is None else prior
        self._drawn: dict[str, Message] = {}
        super().__init__(fn)

    def __enter__(self) -> Any:
        self._drawn = {}
        return super().__enter__()

    def process_message(self, msg: Message) -> None:
        if msg["type"] != "param":
            return
        name = msg["name"]
        prior = self.prior.get(name) if isinstance(self.prior, Mapping) else self.prior
        if not isinstance(prior, Distribution):
            return
        drawn = self._drawn.get(name)
        msg.update(
            type="sample",
            fn=prior,
            args=(),
            kwargs={"rng_key": msg["kwargs"].get("rng_key"), "sample_shape": ()},
            is_observed=False,
            intermediates=[],
            infer={},
        )
        if drawn is None:
            self._drawn[name] = msg
            if msg["value"] is None and msg["kwargs"]["rng_key"] is None:
                # A seed inside has passed this site by, as it was a parameter.
                msg["kwargs"]["rng_key"] = prng_key()
        else:
            # The same parameter again: it has one value, and the handlers outside have seen it.
            msg.update(value=drawn["value"], stop=True)


class reparam(Messenger):
    """Reparameterise sample sites.

    A strategy is a function ``strategy(name, fn, obs) -> (new_fn, value)`` of a site's name, distribution and observed
    value (None if it is latent). It may have sample statements of its own. If ``new_fn`` is None the site becomes
    deterministic with the value; otherwise it is drawn from ``new_fn``, or observed at the value if that is not None.

    :param fn: the model.
    :param config: strategies by site name, or a function of a site's message that returns a strategy or None.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model():
    ...     return numpyro.sample("x", dist.Normal(5.0, 2.0))
    >>> def standardise(name, fn, obs):
    ...     z = numpyro.sample(f"{name}_standard", dist.Normal(0.0, 1.0), obs=obs)
    ...     return None, fn.loc + fn.scale * z
    >>> sites = trace(seed(reparam(model, config={"x": standardise}), rng_seed=0)).get_trace()
    >>> [(name, site["type"]) for name, site in sites.items()]
    [('x_standard', 'sample'), ('x', 'deterministic')]
    """

    def __init__(
        self,
        fn: Model | None = None,
        config: Mapping[str, Strategy | None] | Callable[[Message], Strategy | None] | None = None,
    ) -> None:
        if not (isinstance(config, Mapping) or callable(config)):
            raise ValueError(
                "reparam needs config: a dict from site names to strategies, such as {'x': LocScaleReparam(0)}, or a "
                f"function of a site that returns a strategy or None; but it is {config!r}."
            )
        self.config = config
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "control_flow":
            msg["body_handlers"].append(InBody.around(self))
            return
        if msg["type"] != "sample" or "scan" in msg:
            return
        strategy = self.config.get(msg["name"]) if isinstance(self.config, Mapping) else self.config(msg)
        if strategy is None:
            return
        if not callable(strategy):
            raise ValueError(
                f"reparam: the strategy for site '{msg['name']}' must be a function, but it is {strategy!r}."
            )
        # The strategy's own statements pass through the scopes inside once more.
        name = msg["name"].removeprefix(msg.get("scope_prefix", ""))
        new_fn, value = strategy(name, msg["fn"], msg["value"] if msg["is_observed"] else None)
        if new_fn is not None:
            msg["fn"] = new_fn
            if value is not None:
                msg["value"], msg["is_observed"] = value, True
            return
        if value is None:
            raise ValueError(
                f"reparam: the strategy for site '{msg['name']}' returned (None, None). It must return a "
                "distribution, a value, or both."
            )
        for key in ("is_observed", "intermediates", "infer"):
            del msg[key]
        msg.update(type="deterministic", fn=identity, args=(value,), kwargs={}, value=value)

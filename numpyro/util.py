# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Utilities that every layer may use: platform settings, loops, small predicates, and printing of traces."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
from contextlib import AbstractContextManager
import operator
import os
from pathlib import Path
import random
import re
import sys
import threading
from typing import Any, TypeVar
import warnings

import jax
from jax import lax
import jax.extend.core as core
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import shape_of

try:
    from jax.extend.core import get_opaque_trace_state
except ImportError:  # JAX before 0.10
    from jax.core import get_opaque_trace_state

__all__ = [
    "cached_by",
    "check_model_guide_match",
    "cond",
    "control_flow_prims_disabled",
    "enable_compilation_cache",
    "enable_x64",
    "find_stack_level",
    "fori_collect",
    "fori_loop",
    "format_shapes",
    "identity",
    "is_prng_key",
    "is_tracing",
    "maybe_jit",
    "nested_attrgetter",
    "not_jax_tracer",
    "optional",
    "progress_bar_factory",
    "set_host_device_count",
    "set_platform",
    "set_rng_seed",
    "soft_vmap",
    "while_loop",
]

T = TypeVar("T")

_OUTSIDE = get_opaque_trace_state()
_PACKAGE = str(Path(__file__).parent) + os.sep
_CACHE_SIZE = 128


# Settings


def set_rng_seed(rng_seed: int | None = None) -> None:
    """Seed Python's and NumPy's global generators. JAX has none: see :class:`numpyro.handlers.seed`.

    :param rng_seed: seed for both generators; None takes one from the operating system.

    >>> set_rng_seed(0)
    >>> print(round(random.random(), 3))
    0.844
    """
    random.seed(rng_seed)
    np.random.seed(rng_seed)


def enable_x64(use_x64: bool = True) -> None:
    """Make JAX arrays double precision by default (or single again).

    :param use_x64: True for 64 bits, False for 32.

    >>> enable_x64()
    >>> jnp.zeros(1).dtype
    dtype('float64')
    >>> enable_x64(False)
    """
    jax.config.update("jax_enable_x64", use_x64)


def set_platform(platform: str | None = None) -> None:
    """Choose the platform that JAX runs on. It takes effect only before JAX's first computation.

    :param platform: ``'cpu'``, ``'gpu'`` or ``'tpu'``; None takes the environment variable ``JAX_PLATFORM_NAME``,
        and ``'cpu'`` without it.
    """
    jax.config.update("jax_platform_name", platform or os.environ.get("JAX_PLATFORM_NAME", "cpu"))


def set_host_device_count(n: int) -> None:
    """Let XLA treat the CPU as ``n`` devices, so that chains can run in parallel on its cores.

    It takes effect only before JAX's first computation: call it at the top of a program. It works by the
    environment variable ``XLA_FLAGS``, so processes started from this one inherit it.

    :param n: number of devices, at least 1.
    """
    if n < 1:
        raise ValueError(f"the number of host devices must be at least 1, but it is {n}")
    flags = re.sub(r"--xla_force_host_platform_device_count=\S+", "", os.environ.get("XLA_FLAGS", "")).split()
    os.environ["XLA_FLAGS"] = " ".join([f"--xla_force_host_platform_device_count={n}", *flags])


def enable_compilation_cache(path: str | os.PathLike[str] | None = None) -> Path:
    """Keep compiled programs on disk, so that another process need not compile them again.

    JAX's persistent compilation cache is switched on, for every program, however quick to compile. A program is found
    again if it is the same, for the same JAX, platform and flags of XLA; models are still traced. Files are never
    removed: delete the directory to empty the cache. Call it before the first computation; what was compiled before
    is not stored.

    :param path: directory, which is made if need be. Default: ``numpyro/compiled`` in the user's cache directory
        (``$XDG_CACHE_HOME`` or ``~/.cache``).
    :return: the directory.

    >>> import tempfile
    >>> before = jax.config.jax_compilation_cache_dir
    >>> directory = enable_compilation_cache(tempfile.mkdtemp())
    >>> int(jax.jit(lambda x: x + 1)(1)), any(directory.iterdir())
    (2, True)
    >>> jax.config.update("jax_compilation_cache_dir", before)
    """
    from jax.experimental.compilation_cache import compilation_cache

    if path is None:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        path = Path(home) / "numpyro" / "compiled"
    directory = Path(path).expanduser().absolute()
    directory.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # JAX decides at its first compilation whether there is a cache, and which one.
    compilation_cache.reset_cache()
    return directory


# Small things


def identity(x: T, *args: Any, **kwargs: Any) -> T:
    """The first argument, whatever the others are.

    >>> identity(3, "ignored")
    3
    """
    return x


def not_jax_tracer(x: Any) -> bool:
    """Whether ``x`` is a concrete value, not one that a JAX transformation is tracing.

    >>> not_jax_tracer(1.0)
    True
    """
    return not isinstance(x, jax.core.Tracer)


def is_tracing() -> bool:
    """Whether this is called within a function that JAX transforms.

    >>> is_tracing(), jax.jit(lambda: jnp.array(is_tracing()))().item()
    (False, True)
    """
    return bool(get_opaque_trace_state() != _OUTSIDE)


def inner_programs(equation: Any) -> list[Any]:
    """The programs that an equation of a jaxpr holds: bodies of loops, branches, calls.

    >>> program = jax.make_jaxpr(lambda x: jax.lax.fori_loop(0, 9, lambda _, y: y * 2, x))(1.0)
    >>> [len(inner_programs(equation)) for equation in program.eqns]
    [1]
    """
    is_program = lambda x: isinstance(x, core.Jaxpr | core.ClosedJaxpr)
    leaves = jax.tree.leaves(list(equation.params.values()), is_leaf=is_program)
    return [leaf.jaxpr if isinstance(leaf, core.ClosedJaxpr) else leaf for leaf in leaves if is_program(leaf)]


def is_prng_key(key: Any) -> bool:
    """Whether ``key`` is a single random key: a typed one of shape ``()``, or an old one of type ``uint32``.

    >>> is_prng_key(jax.random.key(0)), is_prng_key(jax.random.PRNGKey(0)), is_prng_key(0)
    (True, True, False)
    """
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", None)
    if dtype is None or shape is None:
        return False
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return shape == ()
    words = 2 if "threefry" in jax.config.jax_default_prng_impl else 4  # type: ignore[attr-defined]
    return dtype == np.uint32 and shape == (words,)


@contextlib.contextmanager
def optional(condition: bool, context_manager: AbstractContextManager[Any]) -> Iterator[Any]:
    """Enter a context manager only if a condition holds.

    >>> with optional(False, contextlib.redirect_stdout(None)):
    ...     print("visible")
    visible
    """
    with context_manager if condition else contextlib.nullcontext() as value:
        yield value


def nested_attrgetter(*collect_fields: str) -> Callable[[Any], Any]:
    """A function that reads attributes, dotted paths among them.

    :param collect_fields: paths such as ``'z'`` or ``'adapt_state.step_size'``.
    :return: function that returns one value for one path, and a tuple for several.

    >>> from types import SimpleNamespace
    >>> state = SimpleNamespace(z=1.0, adapt_state=SimpleNamespace(step_size=0.1))
    >>> nested_attrgetter("z", "adapt_state.step_size")(state)
    (1.0, 0.1)
    """
    if not collect_fields:
        raise ValueError("nested_attrgetter needs the name of at least one attribute")
    return operator.attrgetter(*collect_fields)


def find_stack_level() -> int:
    """The ``stacklevel`` with which a warning points at the first line outside this package.

    Use it as ``warnings.warn(message, stacklevel=find_stack_level())``.
    """
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    return level


def cached_by(outer_fn: Callable[..., Any], *keys: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator for a function made inside another: the first one made for given keys is used from then on.

    JAX compiles again for every new function object. A function that stays the same object is compiled once.

    :param outer_fn: the function on which the cache is kept; it dies with it.
    :param keys: hashable values on which the inner function depends. The 128 used last are kept.

    >>> def scaled(factor):
    ...     @cached_by(scaled, factor)
    ...     def inner(x):
    ...         return factor * x
    ...     return inner
    >>> scaled(2) is scaled(2), scaled(2) is scaled(3)
    (True, False)
    """
    cache: OrderedDict[Any, Callable[..., Any]] = outer_fn.__dict__.setdefault("_cached_by", OrderedDict())

    def decorator(fn: Callable[..., Any]) -> Callable[..., Any]:
        if keys in cache:
            cache.move_to_end(keys)
        else:
            cache[keys] = fn
            if len(cache) > _CACHE_SIZE:
                cache.popitem(last=False)
        return cache[keys]

    return decorator


# Control flow that can be switched off for debugging

_control_flow = threading.local()


@contextlib.contextmanager
def control_flow_prims_disabled() -> Iterator[None]:
    """Run :func:`cond`, :func:`while_loop`, :func:`fori_loop` and :func:`maybe_jit` as plain Python inside.

    >>> with control_flow_prims_disabled():
    ...     type(maybe_jit(lambda x: x)(3))
    <class 'int'>
    """
    before = _prims_disabled()
    _control_flow.disabled = True
    try:
        yield
    finally:
        _control_flow.disabled = before


def _prims_disabled() -> bool:
    return getattr(_control_flow, "disabled", False)


def maybe_jit(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
    """:func:`jax.jit`, or ``fn`` itself inside :func:`control_flow_prims_disabled`."""
    return fn if _prims_disabled() else jax.jit(fn, *args, **kwargs)


def cond(
    pred: Any,
    true_operand: Any,
    true_fun: Callable[[Any], Any],
    false_operand: Any,
    false_fun: Callable[[Any], Any],
) -> Any:
    """``true_fun(true_operand)`` if ``pred`` holds, else ``false_fun(false_operand)``.

    >>> print(cond(True, 1, lambda x: x + 1, 2, lambda x: x * 5))
    2
    """
    if _prims_disabled():
        return true_fun(true_operand) if pred else false_fun(false_operand)
    operands = (true_operand, false_operand)
    return lax.cond(pred, lambda both: true_fun(both[0]), lambda both: false_fun(both[1]), operands)


def while_loop(cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Any) -> Any:
    """Apply ``body_fun`` while ``cond_fun`` holds; see :func:`jax.lax.while_loop`.

    >>> print(while_loop(lambda x: x < 10, lambda x: 2 * x, 1))
    16
    """
    if not _prims_disabled():
        return lax.while_loop(cond_fun, body_fun, init_val)
    value = init_val
    while cond_fun(value):
        value = body_fun(value)
    return value


def fori_loop(lower: int, upper: int, body_fun: Callable[[Any, Any], Any], init_val: Any) -> Any:
    """Apply ``value = body_fun(i, value)`` for ``i`` from ``lower`` to ``upper - 1``; see :func:`jax.lax.fori_loop`.

    >>> print(fori_loop(0, 4, lambda i, total: total + i, 0))
    6
    """
    if not _prims_disabled():
        return lax.fori_loop(lower, upper, body_fun, init_val)
    value = init_val
    for i in range(int(lower), int(upper)):
        value = body_fun(i, value)
    return value


def fori_collect(
    lower: int,
    upper: int,
    body_fun: Callable[[Any], Any],
    init_val: Any,
    transform: Callable[[Any], Any] = identity,
    progbar: bool = True,
    progress_rate: int | None = None,
    return_last_val: bool = False,
    collection_size: int | None = None,
    thinning: int = 1,
    **progbar_opts: Any,
) -> Any:
    """Apply ``body_fun`` ``upper`` times, and collect the values after the first ``lower`` applications.

    :param lower: number of applications whose values are dropped.
    :param upper: number of applications.
    :param body_fun: maps a pytree to one of the same structure, shapes and types.
    :param init_val: first argument of ``body_fun``.
    :param transform: what to collect of each value.
    :param progbar: show a progress bar; the loop then runs on the host. Inside ``jit`` there is no bar.
    :param progress_rate: number of applications between two updates of the bar; None leaves it to tqdm.
    :param return_last_val: also return the last value.
    :param collection_size: leading size of what is returned, ``(upper - lower) // thinning`` if None. A larger one is
        filled up with zeros.
    :param thinning: collect the last of every ``thinning`` values.
    :param progbar_opts: ``progbar_desc`` maps the iteration to the bar's label, ``diagnostics_fn`` maps a value to what
        stands behind the bar.
    :return: pytree of collected values with a new leading axis, or a pair of it and the last value.
    :raises ValueError: if ``lower > upper``, ``thinning < 1``, or ``collection_size`` is too small.

    >>> print(fori_collect(2, 8, lambda x: x + 1, 0, progbar=False, thinning=2))
    [4 6 8]
    """
    if lower > upper:
        raise ValueError(f"fori_collect needs lower <= upper, but lower={lower} and upper={upper}")
    if thinning < 1:
        raise ValueError(f"fori_collect needs thinning >= 1, but it is {thinning}")
    num_collected = (upper - lower) // thinning
    if collection_size is None:
        collection_size = num_collected
    if collection_size < num_collected:
        raise ValueError(
            f"fori_collect collects {num_collected} values ((upper - lower) // thinning), but "
            f"collection_size={collection_size}"
        )
    init_val = jax.tree.map(jnp.asarray, init_val)
    traced = any(not not_jax_tracer(leaf) for leaf in jax.tree.leaves(init_val))
    loop = _collect_on_host if progbar and not traced else _collect_compiled
    first = upper - num_collected * thinning
    collection, last = loop(
        first, upper, body_fun, init_val, transform, collection_size, thinning, progress_rate, **progbar_opts
    )
    return (collection, last) if return_last_val else collection


def _collect_compiled(
    first: int,
    upper: int,
    body_fun: Callable[[Any], Any],
    init_val: Any,
    transform: Callable[[Any], Any],
    collection_size: int,
    thinning: int,
    progress_rate: int | None,
    **unused: Any,
) -> tuple[Any, Any]:
    def step(i: Any, state: tuple[Any, Any]) -> tuple[Any, Any]:
        value, collection = state
        value = body_fun(value)
        if first < upper:
            # Every value is written to the slot of its block, and the last one of the block stays.
            slot = jnp.maximum(i - first, 0) // thinning
            collection = jax.tree.map(lambda xs, x: xs.at[slot].set(x), collection, transform(value))
        return value, collection

    def run(value: Any) -> tuple[Any, Any]:
        collected = jax.eval_shape(lambda x: transform(body_fun(x)), value)
        collection = jax.tree.map(lambda x: jnp.zeros((collection_size, *x.shape), x.dtype), collected)
        value, collection = fori_loop(0, upper, step, (value, collection))
        return collection, value

    return maybe_jit(run)(init_val)


def _collect_on_host(
    first: int,
    upper: int,
    body_fun: Callable[[Any], Any],
    init_val: Any,
    transform: Callable[[Any], Any],
    collection_size: int,
    thinning: int,
    progress_rate: int | None,
    progbar_desc: Callable[[int], str] | None = None,
    diagnostics_fn: Callable[[Any], Any] | None = None,
) -> tuple[Any, Any]:
    from tqdm.auto import tqdm

    step = maybe_jit(lambda value: (lambda new: (new, transform(new)))(body_fun(value)))
    value, collected = init_val, []
    with tqdm(total=upper) as bar:
        for i in range(upper):
            value, item = step(value)
            if i >= first and (i - first) % thinning == thinning - 1:
                collected.append(item)
            if progress_rate is None or (i + 1) % progress_rate == 0 or i + 1 == upper:
                if progbar_desc is not None:
                    bar.set_description(progbar_desc(i), refresh=False)
                if diagnostics_fn is not None:
                    bar.set_postfix_str(str(diagnostics_fn(value)), refresh=False)
                bar.update(i + 1 - bar.n)
    item = jax.eval_shape(lambda x: transform(body_fun(x)), init_val)
    rest = jax.tree.map(lambda x: np.zeros((collection_size - len(collected), *x.shape), x.dtype), item)
    collection = jax.tree.map(
        lambda zeros, *xs: jnp.concatenate([jnp.stack(xs), zeros]) if xs else jnp.asarray(zeros), rest, *collected
    )
    return collection, value


def progress_bar_factory(
    num_samples: int, num_chains: int, progress_rate: int | float
) -> Callable[[Callable[[Any, Any], Any]], Callable[[Any, Any], Any]]:
    """Progress bars for the body of a compiled loop.

    :param num_samples: number of iterations of the loop.
    :param num_chains: number of loops that run at the same time, vectorised or on several devices. Each has a bar; the
        fastest has the uppermost.
    :param progress_rate: number of iterations between two updates.
    :return: decorator for a function ``body(i, value) -> value`` as :func:`jax.lax.fori_loop` takes it.

    >>> show_progress = progress_bar_factory(100, num_chains=1, progress_rate=20)
    >>> body = show_progress(lambda i, total: total + i)
    >>> compiled = jax.jit(lambda: lax.fori_loop(0, 100, body, 0))
    """
    rate = max(int(progress_rate), 1)
    lock = threading.Lock()
    bars: list[Any] = []
    arrived: dict[int, int] = {}

    def update(i: Any) -> None:
        from tqdm.auto import tqdm

        with lock:
            if not bars:
                bars.extend(tqdm(total=num_samples, position=chain) for chain in range(num_chains))
            done = min(int(i) + 1, num_samples)
            chain = arrived.get(done, 0)
            arrived[done] = chain + 1
            if chain >= len(bars):
                return
            bars[chain].update(done - bars[chain].n)
            bars[chain].refresh()
            if done == num_samples:
                bars[chain].close()
            if all(bar.n == num_samples for bar in bars):
                bars.clear()
                arrived.clear()

    def decorator(body: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def with_progress(i: Any, value: Any) -> Any:
            value = body(i, value)
            due = ((i + 1) % rate == 0) | (i + 1 == num_samples)
            lax.cond(due, lambda: jax.debug.callback(update, i), lambda: None)
            return value

        return with_progress

    return decorator


def soft_vmap(fn: Callable[[Any], Any], xs: Any, batch_ndims: int = 1, chunk_size: int | None = None) -> Any:
    """Map ``fn`` over leading axes, vectorised over chunks of them so that memory stays bounded.

    :param fn: function of one pytree without the batch axes.
    :param xs: pytree whose arrays share their first ``batch_ndims`` axes.
    :param batch_ndims: number of leading axes to map over; with 0 the result is ``fn(xs)``.
    :param chunk_size: number of entries that are vectorised at once; all of them if None.
    :return: pytree of results with the same leading axes.

    >>> soft_vmap(lambda x: x.sum(), jnp.ones((4, 3, 2)), batch_ndims=2, chunk_size=5).shape
    (4, 3)
    """
    if batch_ndims == 0:
        return fn(xs)
    batch_shape = shape_of(jax.tree.leaves(xs)[0])[:batch_ndims]
    size = int(np.prod(batch_shape))
    flat = jax.tree.map(lambda x: jnp.reshape(x, (size, *shape_of(x)[batch_ndims:])), xs)
    if chunk_size is None or chunk_size >= size:
        result = jax.vmap(fn)(flat)
    else:
        result = lax.map(fn, flat, batch_size=chunk_size)
    return jax.tree.map(lambda y: jnp.reshape(y, batch_shape + shape_of(y)[1:]), result)


# Traces


def format_shapes(
    trace: Mapping[str, Mapping[str, Any]],
    *,
    compute_log_prob: bool | Callable[[Mapping[str, Any]], bool] = False,
    title: str = "Trace Shapes:",
    last_site: str | None = None,
) -> str:
    """A table of the shapes of all sites of a trace: batch dims left of the bar, event dims right of it.

    :param trace: what :meth:`numpyro.handlers.trace.get_trace` returns.
    :param compute_log_prob: whether to show the shapes of log densities, or a function that says so for a site.
    :param title: first line of the table.
    :param last_site: name of the site after which to stop; None shows all.

    >>> import numpyro, numpyro.distributions as dist
    >>> from numpyro.handlers import seed, trace
    >>> def model():
    ...     with numpyro.plate("groups", 3):
    ...         numpyro.sample("effect", dist.Dirichlet(jnp.ones(2)))
    >>> print(format_shapes(trace(seed(model, 0)).get_trace()))  # doctest: +NORMALIZE_WHITESPACE
    Trace Shapes:
     Param Sites:
    Sample Sites:
     groups plate 3 |
      effect dist 3 | 2
            value 3 | 2
    """
    if not trace:
        return title
    parameters: list[_Row] = []
    sites: list[_Row] = []
    for name, site in trace.items():
        if site["type"] == "param":
            parameters.append(_Row(name, shape_of(site["value"]) if hasattr(site["value"], "shape") else ()))
        elif site["type"] == "sample":
            fn, value = site["fn"], site["value"]
            event_dim = len(fn.event_shape)
            shape = shape_of(value)
            batch_rank = len(shape) - event_dim
            sites.append(_Row(f"{name} dist", fn.batch_shape, fn.event_shape))
            sites.append(_Row("value", shape[:batch_rank], shape[batch_rank:]))
            if compute_log_prob(site) if callable(compute_log_prob) else compute_log_prob:
                density = jax.eval_shape(fn.log_prob, value)
                sites.append(_Row("log_prob", density.shape, ()))
        elif site["type"] == "plate":
            sites.append(_Row(f"{name} plate", (len(site["value"]),), ()))
        if name == last_site:
            break
    return _format_table([_Row(title), _Row("Param Sites:"), *parameters, _Row("Sample Sites:"), *sites])


class _Row:
    """A line of the table: a label, cells up to the bar (aligned to the right), cells behind it."""

    def __init__(self, label: str, left: Sequence[int] = (), right: Sequence[int] | None = None) -> None:
        self.label = label
        self.left = [str(size) for size in left] + (["|"] if right is not None else [])
        self.right = [str(size) for size in right or ()]


def _format_table(rows: Sequence[_Row]) -> str:
    num_left = max(len(row.left) for row in rows)
    num_right = max(len(row.right) for row in rows)
    table = [
        [row.label, *[""] * (num_left - len(row.left)), *row.left, *row.right, *[""] * (num_right - len(row.right))]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(" ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table)


def check_model_guide_match(
    model_trace: Mapping[str, Mapping[str, Any]], guide_trace: Mapping[str, Mapping[str, Any]]
) -> None:
    """Check that a guide proposes values for just the latent sites of a model, with the same shapes.

    :param model_trace: trace of the model.
    :param guide_trace: trace of the guide.
    :raises ValueError: if a site has another event rank or another shape in the guide.

    Sites or plates that only one of the two has lead to a warning. Guide sites marked by ``infer={'is_auxiliary':
    True}`` need no counterpart, neither do model sites that are enumerated.
    """

    def latent(trace: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
        return {name: s for name, s in trace.items() if s["type"] == "sample" and not s["is_observed"]}

    model_sites, guide_sites = latent(model_trace), latent(guide_trace)
    auxiliary = {name for name, site in guide_sites.items() if site["infer"].get("is_auxiliary")}
    enumerated = {name for name, site in model_sites.items() if site["infer"].get("enumerate") == "parallel"}

    only_guide = sorted(guide_sites.keys() - model_sites.keys() - auxiliary)
    if only_guide:
        warnings.warn(
            f"Found non-auxiliary vars in guide but not model: {only_guide}. If they are meant, "
            "mark them by infer={'is_auxiliary': True}; else check their names.",
            stacklevel=find_stack_level(),
        )
    clashing = sorted(auxiliary & model_sites.keys())
    if clashing:
        warnings.warn(
            f"Found auxiliary vars in the model: {clashing}. Drop infer={{'is_auxiliary': True}} from them in the "
            "guide.",
            stacklevel=find_stack_level(),
        )
    only_model = sorted(model_sites.keys() - guide_sites.keys() - enumerated)
    if only_model:
        warnings.warn(
            f"Found vars in model but not guide: {only_model}. Sample them in the guide.", stacklevel=find_stack_level()
        )

    for name in model_sites.keys() & guide_sites.keys():
        model_fn, guide_fn = model_sites[name]["fn"], guide_sites[name]["fn"]
        if len(model_fn.event_shape) != len(guide_fn.event_shape):
            raise ValueError(
                f"Model and guide event_dims disagree at site '{name}': {len(model_fn.event_shape)} vs "
                f"{len(guide_fn.event_shape)}. Call .to_event(n) in the one that has fewer."
            )
        model_shape, guide_shape = model_fn.shape(), guide_fn.shape()
        if model_shape != guide_shape:
            raise ValueError(
                f"Model and guide shapes disagree at site '{name}': {model_shape} vs {guide_shape}. Sample it under "
                "the same plates, with the same subsample sizes, in both."
            )

    def plates(trace: Mapping[str, Mapping[str, Any]]) -> set[str]:
        return {name for name, site in trace.items() if site["type"] == "plate"}

    unknown = sorted(plates(guide_trace) - plates(model_trace))
    if unknown:
        warnings.warn(
            f"Found plate statements in guide but not model: {unknown}. Use the model's plate names.",
            stacklevel=find_stack_level(),
        )

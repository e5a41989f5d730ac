# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""How :class:`~numpyro.infer.mcmc.MCMC` advances chains.

A runner takes chains up to a given iteration by one call of a compiled program, which may be repeated:
:mod:`numpyro.infer.hmc_runner` calls the loop of :mod:`numpyro.infer.chain`, :mod:`numpyro.infer.kernel_runner` makes a
loop around any other :class:`~numpyro.infer.kernel.MCMCKernel`. A *group* is what one call advances: all chains, or the
number of a single one. Its *carry* goes from one call to the next; its last part is the buffers of draws, which are
donated. What becomes of full buffers is the business of :mod:`numpyro.infer.collection`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
from jax.extend.core import jaxpr_as_fun
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
import numpy as np

from numpyro.infer.compilation import in_background
from numpyro.infer.fields import buffer_of, field_of, fields_of, one_draw
from numpyro.infer.placement import in_any_process, mesh_of, place
from numpyro.infer.target import is_concrete
from numpyro.util import is_tracing

if TYPE_CHECKING:
    from numpyro.infer.mcmc import MCMC

__all__ = [
    "Group",
    "Plan",
    "Request",
    "Runner",
    "check_number_of_keys",
    "concrete",
    "fetched",
    "is_batch",
    "looks_of",
    "of_one",
]

Group = range | int

_WHOLE = 16 * 2**20
"""Up to so many bytes of draws are kept as the sampler makes them and processed at once at the end."""

_BLOCK = 4 * 2**20, 64 * 2**20
"""Least and largest size in bytes of a block of draws; in between it is a 24th of all of them."""


class Plan(NamedTuple):
    """Which iterations to run and which draws to keep.

    :param start: number of the first iteration.
    :param stop: number after the last one.
    :param first: iteration from which draws are collected.
    :param kept: number of draws to collect.
    :param size: length of the buffers; what is written beyond ``kept`` is scratch.
    :param thinning: the last of so many draws is kept.
    """

    start: int
    stop: int
    first: int
    kept: int
    size: int
    thinning: int

    def kept_before(self, iteration: int) -> int:
        """Number of draws that are complete once ``iteration`` iterations are done."""
        return min(max(iteration - self.first, 0) // self.thinning, self.kept)


class Request(NamedTuple):
    """What the user asked for.

    :param rng_key: random key, or one for each chain.
    :param args: arguments of the model.
    :param kwargs: keyword arguments of the model.
    :param extra_fields: further fields to collect. With the kernel's sample field ``z``, ``"z.a"`` is site ``a`` as the
        kernel holds it, and ``"~z.a"`` leaves site ``a`` out of the draws. ``".a"`` is field ``a``, not shown.
    :param init_params: where to start, or None.
    :param resumed: state to go on from, or None.
    """

    rng_key: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    extra_fields: tuple[str, ...]
    init_params: Any
    resumed: Any


class Runner(ABC):
    """What both runners share, and what :class:`~numpyro.infer.mcmc.MCMC` needs to know of them.

    :ivar asked: what the user asked for; ``request`` is the part of it for the chains of this process.
    :ivar is_traced: whether it runs within a function that JAX transforms, where arrays have no values.
    :ivar compiling: the loop, while it is compiled in the background.
    :ivar count: number of the chains of this process.
    :ivar groups: what is advanced one after the other.
    :ivar rows: length of the buffers, in draws of a chain; known once a group was started.
    :ivar collected: the function from one draw of each field, as the sampler makes them, to what users get, and what
        the latter looks like.
    """

    kernel: Any
    arrays: list[Any]
    home: NamedSharding | None = None
    compiling: Future[Any] | None = None

    def __init__(self, mcmc: MCMC, request: Request, plan: Plan) -> None:
        self.asked, self.plan, self.total = request, plan, mcmc.num_chains
        self.is_traced = is_tracing()
        method = "vectorized" if self.is_traced and mcmc.chain_method == "parallel" else mcmc.chain_method
        self.placement = place(mcmc.num_chains, method)
        self.count = len(self.placement.chains)
        self.postprocess_fn, self.on_host = mcmc.postprocess_fn, mcmc.store == "host" and not self.is_traced
        self.fields, self.unconstrained, self.excluded = fields_of(mcmc.sampler, request.extra_fields)
        self.rows = plan.size
        self.collected: tuple[Callable[..., Any], Any] | None = None
        self.batched = self.total > 1 or mcmc.sampler.is_ensemble_kernel
        self.method: Any = method if self.batched else "sequential"
        self.is_threaded = self.method == "parallel" and self.placement.is_threaded
        self.groups: list[Group] = list(range(self.count)) if self.method == "sequential" else [range(self.count)]
        keys, share = request.rng_key, self.placement.share
        if self.batched and is_batch(keys):
            check_number_of_keys(keys, self.total)
            keys = share(keys)
        self.request = request._replace(
            rng_key=keys, init_params=share(request.init_params), resumed=share(request.resumed)
        )

    @abstractmethod
    def start(self, group: Group) -> Any:
        """The carry of a group before its first iteration."""

    @abstractmethod
    def advance(self, carry: Any, stop: int, first: int) -> Any:
        """The carry after iteration ``stop - 1``, with the draws from iteration ``first`` on in the buffers."""

    @abstractmethod
    def check(self, carry: Any) -> None:
        """Wait for the result; raise the error if a chain cannot go on."""

    def marked(self, carry: Any) -> Any:
        """The carry, with NaN for the draws of chains that could not begin; for when :meth:`check` cannot look at
        them."""
        return carry

    @abstractmethod
    def state(self, carry: Any) -> Any:
        """The kernel's state, as the loop carries it."""

    @abstractmethod
    def iteration(self, carry: Any) -> int:
        """Number of iterations that all chains of the group have done."""

    @abstractmethod
    def density(self, carry: Any) -> tuple[Any, Any]:
        """The traced program that says which density is sampled and how, and the names and shapes of what it
        samples."""

    def place_arrays(self, arrays: list[Any]) -> list[Any]:
        """The model's arrays on the devices where chains run.

        Arrays that are spread over several devices stay as they are, and the chains are computed on all of these.
        """
        if self.is_traced:
            return arrays
        mesh = mesh_of(arrays)
        if self.method == "parallel":
            if any(not x.sharding.is_fully_replicated for x in arrays if isinstance(x, jax.Array)):
                raise ValueError(
                    "an argument of the model is spread over several devices, which then cannot run chains of their "
                    "own. Write chain_method='vectorized' or 'sequential'."
                )
            if self.is_threaded:
                return jax.device_put(arrays)
            self.home = self.placement.sharding
            return jax.device_put(arrays, self.placement.everywhere)
        if mesh is None:
            return jax.device_put(arrays)
        self.home = whole = NamedSharding(mesh, PartitionSpec())
        is_spread = lambda x: isinstance(x, jax.Array) and len(x.sharding.device_set) > 1
        return [x if is_spread(x) else jax.device_put(x, whole) for x in arrays]

    @property
    def in_step(self) -> bool:
        """Whether this process advances the chains together with others, among which the data are spread."""
        return self.home is not None and not self.home.is_fully_addressable

    def agreed(self, flag: bool) -> bool:
        """Whether ``flag`` is true, or is so in a process with which this one has to keep in step."""
        return in_any_process(flag) if self.in_step else flag

    def place_carry(self, carry: Any) -> Any:
        """A carry on the devices where chains run."""
        return carry if self.home is None else jax.device_put(carry, self.home)

    def in_threads(self, program: Any, carry: Any, rest: tuple[Any, ...]) -> Any:
        """What ``program(*carry, *rest)`` makes of the carry of each chain."""
        compiled = self.for_threads(program, carry, rest).result()
        with program.threads(*of_one(carry), *jax.tree.map(looks_of, rest)):
            return self.placement.over_threads(lambda part: compiled(*part, *rest), carry)

    def compiled(self, program: Any, carry: Any, rest: tuple[Any, ...]) -> Future[Any]:
        """``program``, compiled in the background for these inputs."""
        if self.is_threaded:
            return self.for_threads(program, carry, rest)
        return in_background(program.lower(*carry, *rest).compile)

    def for_threads(self, program: Any, carry: Any, rest: tuple[Any, ...]) -> Future[Any]:
        """``program`` compiled for one of the chains whose arrays look like ``carry``."""
        one = of_one(carry)
        shapes = [(x.shape, str(x.dtype)) for x in jax.tree.leaves((one, rest))]
        make = lambda: in_background(program.lower(*one, *jax.tree.map(looks_of, rest)).compile)
        return self.cached(("thread", tuple(shapes)), make)

    def compile_ahead(self, inputs: Any, make: Callable[[], Future[Any]]) -> None:
        """Compile the loop in the background, unless that was done.

        :param inputs: arrays whose looks decide which program that is.
        :param make: begins to compile it.
        """
        if self.home is not None or self.is_traced:
            return
        future = self.cached(("ahead", *map(jax.typeof, jax.tree.leaves(inputs))), make)
        is_ready = future.done() and future.exception() is None
        self.compiling = None if is_ready else future

    def wait_for_loop(self) -> None:
        """Wait until the loop is compiled; raise the error if it cannot be."""
        if self.compiling is not None:
            self.compiling.result()
            self.compiling = None

    def diagnosed(self, state: Any) -> Any:
        """The part of a state that the kernel's description of it needs."""
        return state

    def cached(self, key: Any, make: Callable[[], Any]) -> Any:
        """What ``make`` made when it was first asked for, for this model and these shapes. What failed in the
        background is made again."""
        what = (self.fields, self.unconstrained, self.excluded, self.postprocess_fn)
        programs, key = self._programs(), (key, *what, self.method, self.count)
        found = programs.get(key)
        has_failed = isinstance(found, Future) and found.done() and found.exception() is not None
        if key not in programs or has_failed:
            programs[key] = make()
        return programs[key]

    @abstractmethod
    def _programs(self) -> dict[Any, Any]:
        """Where :meth:`cached` keeps things."""

    @abstractmethod
    def collected_one(self, draw: dict[str, Any], arrays: list[Any]) -> dict[str, Any]:
        """One draw of each field as users see it."""

    @abstractmethod
    def public_state(self) -> Callable[[Any], Any]:
        """The function from a chain's state in the loop to the one that users see."""

    def buffers(self, state: Any, lead: tuple[int, ...]) -> dict[str, Any]:
        """Room for the draws of a group, whose state looks like ``state``, as long as memory allows."""
        one = {name: jax.tree.map(partial(one_draw, lead), field_of(state, name)) for name in self.fields}
        if self.collected is None:
            looks = [(x.shape, str(x.dtype)) for x in jax.tree.leaves((one, self.arrays))]
            key = ("collected", self.on_host, tuple(looks))
            self.collected = self.cached(key, partial(_traced, self.collected_one, one, self.arrays))
            self.rows = self._rows(_size(one), _size(self.collected[1]))
        return {name: buffer_of(name, field, lead, self.rows) for name, field in one.items()}

    def _rows(self, size_before: int, size_after: int) -> int:
        """Length of the buffers: all draws if they are few bytes, else a block of them.

        :param size_before: size of a draw as the sampler makes it, in bytes.
        :param size_after: size of a draw as users see it.
        """
        chains = 1 if self.method == "sequential" else self.count
        if self.is_traced or self.count * self.plan.size * max(size_before, size_after) <= _WHOLE:
            return self.plan.size
        total = self.count * self.plan.size * size_after
        block = min(max(total // 24, _BLOCK[0]), _BLOCK[1])
        return min(max(block // (chains * (size_before + size_after)), 1), self.plan.size)

    def describe(self, carry: Any) -> list[str]:
        """What the progress bar says of each chain of the group."""
        state = self.diagnosed(self.state(carry))
        if not self.has_axis:
            return [self.kernel.get_diagnostics_str(state)]
        state = jax.tree.map(fetched, state)
        count = 1 if self.kernel.is_ensemble_kernel else self.count
        picked = [state] if self.kernel.is_ensemble_kernel else [_row(state, i) for i in range(count)]
        return [self.kernel.get_diagnostics_str(one) for one in picked]

    @property
    def has_axis(self) -> bool:
        """Whether carries have a leading axis of chains."""
        return self.batched and self.method != "sequential"


def _traced(fn: Callable[..., Any], *args: Any) -> tuple[Callable[..., Any], Any]:
    """A function traced once, and what it returns. Nothing that ``fn`` refers to is kept."""
    jaxpr, looks = jax.make_jaxpr(fn, return_shape=True)(*args)
    treedef, flat = jax.tree.structure(looks), jaxpr_as_fun(jaxpr)
    return lambda *args: jax.tree.unflatten(treedef, flat(*jax.tree.leaves(args))), looks


def concrete(x: Any) -> Any:
    """An array of NumPy, unless it has no value yet."""
    return np.asarray(x) if is_concrete(x) else x


def of_one(tree: Any) -> Any:
    """What the arrays of one chain look like."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), tree)


def looks_of(x: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


def _size(tree: Any) -> int:
    """Size of arrays in bytes."""
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def fetched(x: Any) -> Any:
    """An array of NumPy, or a random key, whose words stay where they are."""
    return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else np.asarray(x)


def _row(tree: Any, i: int) -> Any:
    return jax.tree.map(lambda x: x[i], tree)


def is_batch(rng_key: Any) -> bool:
    """Whether there is a random key for each chain."""
    return np.ndim(rng_key) > (0 if jnp.issubdtype(rng_key.dtype, jax.dtypes.prng_key) else 1)


def check_number_of_keys(rng_key: Any, count: int) -> None:
    if np.shape(rng_key)[0] != count:
        raise ValueError(
            f"`rng_key` must be one random key or one for each of the {count} chains, but there are "
            f"{np.shape(rng_key)[0]}."
        )

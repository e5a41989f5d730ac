# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""How :class:`~numpyro.infer.mcmc.MCMC` advances chains.

A runner takes chains up to a given iteration by one call of a compiled program, which may be repeated:
:class:`HMCRunner` calls the loop of :mod:`numpyro.infer.chain`, :class:`KernelRunner` makes a loop around any other
:class:`~numpyro.infer.kernel.MCMCKernel`. A *group* is what one call advances: all chains, or the number of a single
one. Its *carry* goes from one call to the next; its last part is the buffers of draws, which are donated. What becomes
of full buffers is the business of :mod:`numpyro.infer.collection`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
from jax import lax
from jax.extend.core import jaxpr_as_fun
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
import numpy as np

from numpyro.infer.arguments import combine, partition
from numpyro.infer.chain import FAILED, GIVEN, RESUME, SEARCH, Chain, strongly_typed
from numpyro.infer.compilation import in_background, quickly_compiled
from numpyro.infer.hmc import HMC
from numpyro.infer.kernel import MCMCKernel
from numpyro.infer.placement import in_any_process, mesh_of, place
from numpyro.infer.target import is_concrete
from numpyro.util import identity, is_tracing

if TYPE_CHECKING:
    from numpyro.infer.mcmc import MCMC

__all__ = ["HMCRunner", "KernelRunner", "Plan", "Request", "Runner", "make_runner"]

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
        self.fields, self.unconstrained, self.excluded = _fields(mcmc.sampler, request.extra_fields)
        self.rows = plan.size
        self.collected: tuple[Callable[..., Any], Any] | None = None
        self.batched = self.total > 1 or mcmc.sampler.is_ensemble_kernel
        self.method: Any = method if self.batched else "sequential"
        self.is_threaded = self.method == "parallel" and self.placement.is_threaded
        self.groups: list[Group] = list(range(self.count)) if self.method == "sequential" else [range(self.count)]
        keys, share = request.rng_key, self.placement.share
        if self.batched and _is_batch(keys):
            _check_number_of_keys(keys, self.total)
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
        with program.threads(*_of_one(carry), *jax.tree.map(_looks, rest)):
            return self.placement.over_threads(lambda part: compiled(*part, *rest), carry)

    def for_threads(self, program: Any, carry: Any, rest: tuple[Any, ...]) -> Future[Any]:
        """``program`` compiled for one of the chains whose arrays look like ``carry``."""
        one = _of_one(carry)
        shapes = [(x.shape, str(x.dtype)) for x in jax.tree.leaves((one, rest))]
        make = lambda: in_background(program.lower(*one, *jax.tree.map(_looks, rest)).compile)
        return self.cached(("thread", tuple(shapes)), make)

    def compile_ahead(self, inputs: Any, make: Callable[[], Future[Any]]) -> None:
        """Compile the loop in the background, unless that was done.

        :param inputs: arrays whose looks decide which program that is.
        :param make: begins to compile it.
        """
        if self.home is not None or self.is_traced:
            return
        looks = tuple((x.shape, str(x.dtype)) for x in jax.tree.leaves(inputs))
        future = self.cached(("ahead", looks), make)
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
        one = {name: jax.tree.map(partial(_one_draw, lead), _field(state, name)) for name in self.fields}
        if self.collected is None:
            looks = [(x.shape, str(x.dtype)) for x in jax.tree.leaves((one, self.arrays))]
            key = ("collected", self.on_host, tuple(looks))
            self.collected = self.cached(key, partial(_traced, self.collected_one, one, self.arrays))
            self.rows = self._rows(_size(one), _size(self.collected[1]))
        return {name: _buffer(name, field, lead, self.rows) for name, field in one.items()}

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
        state = jax.tree.map(_on_host, state)
        count = 1 if self.kernel.is_ensemble_kernel else self.count
        picked = [state] if self.kernel.is_ensemble_kernel else [_row(state, i) for i in range(count)]
        return [self.kernel.get_diagnostics_str(one) for one in picked]

    @property
    def has_axis(self) -> bool:
        """Whether carries have a leading axis of chains."""
        return self.batched and self.method != "sequential"


def make_runner(mcmc: MCMC, request: Request, plan: Plan) -> Runner:
    """The runner for the kernel of ``mcmc``."""
    kernel = mcmc.sampler
    is_hmc = isinstance(kernel, HMC) and type(kernel).sample is HMC.sample and type(kernel).init is HMC.init
    return HMCRunner(mcmc, request, plan) if is_hmc else KernelRunner(mcmc, request, plan)


class HMCRunner(Runner):
    """Runs HMC and NUTS: everything between the random key and the draws is compiled."""

    kernel: HMC

    def __init__(self, mcmc: MCMC, request: Request, plan: Plan) -> None:
        super().__init__(mcmc, request, plan)
        self.kernel = mcmc.sampler  # type: ignore[assignment]
        request, lead = self.request, (self.count,) if self.batched else ()
        resumed = request.resumed
        likeness = request.init_params if resumed is None else resumed.z
        self.program, arrays = self.kernel.program(
            mcmc.num_warmup, request.args, request.kwargs, likeness, batched=self.batched
        )
        self.arrays = self.place_arrays(arrays)
        self.sampler = self.program.sampler
        if _is_batch(request.rng_key):
            _check_number_of_keys(request.rng_key, self.count)
        self.initial = self.sampler.initial_state()
        if request.init_params is not None and resumed is None:
            self.program.target.check_shapes(request.init_params, lead)

    def start(self, group: Group) -> tuple[Chain, dict[str, Any]]:
        """The carry of a chain, or of all of them, before its first iteration. Made on the host: nothing is
        dispatched."""
        together = isinstance(group, range)
        lead = (self.count,) if together else ()
        space, request = self.sampler.space, self.request
        run_key = self._run_key(group)

        def on_host(tree: Any) -> Any:
            whole = together or not self.batched
            return jax.tree.map(lambda x: _concrete(x) if whole else _concrete(x)[group], tree)

        if request.resumed is not None:
            phase = RESUME
            state = on_host(_without_keys(request.resumed))
            z, gradient = (space.ravel_on_host(part, lead) for part in (state.z, state.z_grad))
            state = self._fitted(state._replace(z=z, z_grad=gradient), lead)
        else:
            phase = SEARCH if request.init_params is None else GIVEN
            state = jax.tree.map(lambda x: np.broadcast_to(x, lead + x.shape), self.initial)
            if request.init_params is not None:
                state = state._replace(z=space.ravel_on_host(on_host(request.init_params), lead))
        state = state._replace(rng_key=run_key, adapt_state=state.adapt_state._replace(rng_key=run_key))
        number = np.asarray(group, np.int32) + np.int32(self.placement.chains.start)
        zeros = np.zeros(lead, np.int32)
        chain = Chain(state, np.full(lead, phase, np.int32), zeros, zeros, number, run_key)
        draws = self.buffers(jax.tree.map(_looks, chain.state), lead)
        carry = self.place_carry((chain, draws))
        self.compile_ahead((carry, self.arrays), partial(self._ahead, carry))
        return carry

    def _ahead(self, carry: tuple[Chain, dict[str, Any]]) -> Future[Any]:
        """The loop, compiled in the background."""
        plan = self.plan
        rest = self._rest(plan.stop, plan.first)
        if self.is_threaded:
            return self.for_threads(self.program.advance, carry, rest)
        return in_background(self._compiled().lower(*carry, *rest).compile)

    def _run_key(self, group: Group) -> Any:
        """The random key from which a chain's own is made: the same for all chains, whose numbers set them apart,
        unless the user gave one for each."""
        key, together = self.request.rng_key, isinstance(group, range)
        if _is_batch(key):
            return key if together else key[group]
        if not together:
            return key
        if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
            return jnp.broadcast_to(key, (self.count,))
        return np.tile(np.asarray(key), (self.count, 1)) if is_concrete(key) else jnp.tile(key, (self.count, 1))

    def _fitted(self, state: Any, lead: tuple[int, ...]) -> Any:
        """The state to resume with the dtypes of this program."""
        leaves, expected = jax.tree.leaves(state), jax.tree.leaves(self.initial)
        treedef: Any = jax.tree.structure(state)
        if treedef != jax.tree.structure(self.initial) or [x.shape for x in leaves] != [
            lead + x.shape for x in expected
        ]:
            raise ValueError(
                "`post_warmup_state` does not belong to this sampler: its parameters, mass matrix or number of chains "
                f"differ from those of a state of {type(self.kernel).__name__} with {self.count} chain(s). Assign "
                "`mcmc.last_state` of a run with the same model, settings and number of chains."
            )
        cast = [_concrete(leaf).astype(x.dtype) for leaf, x in zip(leaves, expected, strict=True)]
        return jax.tree.unflatten(treedef, cast)

    def advance(self, carry: tuple[Chain, dict[str, Any]], stop: int, first: int) -> tuple[Chain, dict[str, Any]]:
        self.wait_for_loop()
        rest = self._rest(stop, first)
        if self.is_threaded:
            return self.in_threads(self.program.advance, carry, rest)
        return self.place_carry(self._compiled()(*carry, *rest))

    def _rest(self, stop: int, first: int) -> tuple[Any, ...]:
        return (self.arrays, np.int32(stop), np.int32(first), np.int32(self.plan.thinning))

    def _compiled(self) -> Any:
        if self.method == "sequential":
            return self.program.advance
        if self.method == "vectorized":
            return self.program.advance_together
        key = (self.method, self.count)
        if key not in self.program.compiled:
            advance = self.sampler.advance
            if self.method == "parallel":
                together = self.sampler.advance_together
                if jax.default_backend() == "cpu":
                    # A step costs a core as much for each chain, whether they make it together or by themselves.
                    together = lambda chains, draws, *rest: lax.map(lambda c: advance(*c, *rest), (chains, draws))
                fn = self.placement.over_devices(advance, together)
            else:
                method: Any = self.method

                def fn(chain: Chain, draws: dict[str, Any], *rest: Any) -> Any:
                    return method(lambda carry: advance(*carry, *rest))((chain, draws))

            self.program.compiled[key] = quickly_compiled(fn, donate_argnums=(1,))
        return self.program.compiled[key]

    def check(self, carry: tuple[Chain, dict[str, Any]]) -> None:
        """Wait for the chains; raise the error if one has no start."""
        chain, _ = carry
        failed = np.asarray(chain.phase) == FAILED
        if not failed.any():
            return
        position = np.asarray(chain.state.z)
        if failed.ndim:
            position = position[np.argmax(failed)]
        params = self.sampler.space.unravel_on_host(position)
        origin: str | None = None
        if self.request.resumed is not None:
            origin = "`post_warmup_state`"
        elif self.request.init_params is not None:
            origin = "`init_params`"
        self.program.target.refuse(params, self.arrays, origin)

    def marked(self, carry: tuple[Chain, dict[str, Any]]) -> tuple[Chain, dict[str, Any]]:
        chain, draws = carry
        failed = jnp.asarray(chain.phase) == FAILED

        def mark(x: Any) -> Any:
            x = jnp.asarray(x)
            where = failed.reshape(failed.shape + (1,) * (x.ndim - failed.ndim))
            return jnp.where(where, jnp.nan, x) if jnp.issubdtype(x.dtype, jnp.floating) else x

        return chain, jax.tree.map(mark, draws)

    def state(self, carry: tuple[Chain, dict[str, Any]]) -> Any:
        return carry[0].state

    def iteration(self, carry: tuple[Chain, dict[str, Any]]) -> int:
        return int(np.min(np.asarray(carry[0].state.i)))

    def density(self, carry: Any) -> tuple[Any, Any]:
        space = self.sampler.space
        return self.program.target.density, (space.treedef, space.shapes, space.order, space.blocks)

    def diagnosed(self, state: Any) -> Any:
        if type(self.kernel).get_diagnostics_str is not HMC.get_diagnostics_str:
            return state
        shown = {
            name: getattr(state, name) for name in ("i", "num_steps", "accept_prob", "mean_accept_prob", "diverging")
        }
        adapt_state = state.adapt_state
        adapt_state = adapt_state._replace(**dict.fromkeys(adapt_state._fields))
        adapt_state = adapt_state._replace(step_size=state.adapt_state.step_size)
        return state._replace(**(dict.fromkeys(state._fields) | shown | {"adapt_state": adapt_state}))

    def _programs(self) -> dict[Any, Any]:
        return self.program.compiled

    def collected_one(self, draw: dict[str, Any], arrays: list[Any]) -> dict[str, Any]:
        unravel = self.sampler.space.unravel
        params = unravel(draw["z"])
        given = self.postprocess_fn
        values = self.program.target.constrain(params, arrays) if given is None else given(params)
        collected = draw | {"z": _without(values, self.excluded)}
        collected |= {f"z.{name}": _site(params, name) for name in self.unconstrained}
        return collected | ({"z_grad": unravel(draw["z_grad"])} if "z_grad" in draw else {})

    def public_state(self) -> Callable[[Any], Any]:
        return self.sampler.unravel


class KernelRunner(Runner):
    """Runs any kernel by its ``init`` and ``sample``."""

    def __init__(self, mcmc: MCMC, request: Request, plan: Plan) -> None:
        super().__init__(mcmc, request, plan)
        self.kernel = mcmc.sampler
        # What is traced may be made of other traced arrays, and serves here only.
        self.num_warmup, self.programs = mcmc.num_warmup, {} if self.is_traced else mcmc._programs
        self.is_ensemble = self.kernel.is_ensemble_kernel
        request = self.request
        arrays, self.static = partition((request.args, request.kwargs))
        likeness = request.init_params
        if request.resumed is not None:
            likeness = getattr(request.resumed, self.kernel.sample_field, None)
        lead = (self.count,) if self.batched else ()
        takes_arrays = self.kernel.prepare(self.num_warmup, likeness, request.args, request.kwargs, lead)
        self.dynamic = takes_arrays or mcmc.jit_model_args
        self.arrays = self.place_arrays(arrays if self.dynamic else [])
        self.constants = arrays
        contents: Any = ()
        if not self.dynamic and not self.is_traced:
            contents = tuple((str(a.dtype), np.shape(a), np.asarray(a).tobytes()) for a in arrays)
        self.cache_key = (self.static, contents, self.method, plan.size, self.count)

    def arguments(self, arrays: list[Any]) -> Any:
        """The model's arguments, from the inputs of a compiled program."""
        return combine(arrays if self.dynamic else self.constants, self.static)

    def start(self, group: Group) -> tuple[Any, Any, dict[str, Any]]:
        """The carry of a chain, or of all of them: number of the iteration, state, buffers."""
        resumed = self.request.resumed
        if resumed is not None:
            resumed, key = self._pick(resumed, group), self._pick(self._keys(self.request.rng_key), group)
            has_key = hasattr(resumed, "_replace") and hasattr(resumed, "rng_key")
            if has_key and _is_batch(key) and not _is_batch(resumed.rng_key):
                key = key[0]  # an ensemble has one key
            state = self._refreshed(resumed._replace(rng_key=key) if has_key else resumed, group)
        else:
            state = self._begun(group)
            if not self.is_traced:
                self.kernel.check_start(state, self.request.init_params, self.request.args, self.request.kwargs)
        if any(jax.typeof(x).weak_type for x in jax.tree.leaves(state)):
            state = _STRONG(state)
        draws = self.buffers(jax.eval_shape(lambda: state), self._lead(group))
        return np.int32(self.plan.start), *self.place_carry((state, draws))

    def _lead(self, group: Group) -> tuple[int, ...]:
        return (self.count,) if isinstance(group, range) else ()

    def _keys(self, rng_key: Any) -> Any:
        """The random keys of the chains of this process; of a single chain, its own."""
        if not self.batched or _is_batch(rng_key):
            return rng_key
        return self.placement.share(jax.random.split(rng_key, self.total))

    def _pick(self, tree: Any, group: Group) -> Any:
        """A group's part of arrays with a leading axis of chains."""
        return tree if not self.batched or isinstance(group, range) else jax.tree.map(lambda x: x[group], tree)

    def _begun(self, group: Group) -> Any:
        """The first state of a group. While the program that finds it is compiled and runs, the loop is compiled in the
        background."""
        key, params = self.request.rng_key, self.request.init_params
        if not self.kernel.is_pure:
            return self._first_state(self._keys(key), self._pick(params, group), self.arrays, group)
        together = isinstance(group, range)
        number = np.int32(0 if isinstance(group, range) else group)
        program = self.cached(("init", together), partial(self._make_init, together))
        inputs = (key, number, params, self.arrays)
        self.compile_ahead(inputs, lambda: self._ahead(program.trace(*inputs), group))
        return program(*inputs)

    def _make_init(self, together: bool) -> Callable[..., Any]:
        def init(key: Any, number: Any, params: Any, arrays: Any) -> Any:
            group = range(self.count) if together else number
            return self._first_state(self._keys(key), self._pick(params, group), arrays, group)

        return quickly_compiled(init, effort=0)

    def _first_state(self, keys: Any, params: Any, arrays: Any, group: Any) -> Any:
        args, kwargs = self.arguments(arrays)

        def init(key: Any, params: Any) -> Any:
            return self.kernel.init(key, self.num_warmup, params, args, kwargs)

        if not isinstance(group, range) or self.is_ensemble:
            return init(self._pick(keys, group), params)
        if self.kernel.is_pure:
            return lax.map(lambda x: init(*x), (keys, params))
        each = [init(keys[i], jax.tree.map(lambda x, i=i: x[i], params)) for i in group]
        return jax.tree.map(lambda *x: jnp.stack(x), *each)

    def _ahead(self, init: Any, group: Group) -> Future[Any]:
        """The loop, compiled in the background.

        :param init: the traced program that makes a group's first state.
        """
        state = jax.tree.map(_looks, init.out_info)
        carry = (state, self.buffers(state, self._lead(group)))
        program, rest = self._program(), self._rest(self.plan.start, self.plan.stop, self.plan.first)
        if self.is_threaded:
            return self.for_threads(program, carry, rest)
        return in_background(program.lower(*carry, *rest).compile)

    def _refreshed(self, state: Any, group: Group) -> Any:
        """A state to go on from, with what depends on the model's arguments computed anew if the kernel can do so."""
        if not self.kernel.is_pure or type(self.kernel).refresh is MCMCKernel.refresh:
            return state

        def refresh(state: Any, arrays: Any) -> Any:
            args, kwargs = self.arguments(arrays)
            one = lambda state: self.kernel.refresh(state, args, kwargs)
            return (jax.vmap(one) if isinstance(group, range) and not self.is_ensemble else one)(state)

        return self.cached("refresh", lambda: jax.jit(refresh))(state, self.arrays)

    def _programs(self) -> dict[Any, Any]:
        return self.programs.setdefault(self.cache_key, {})

    def advance(self, carry: Any, stop: int, first: int) -> Any:
        self.wait_for_loop()
        i, state, draws = carry
        program, rest = self._program(), self._rest(i, stop, first)
        if self.is_threaded:
            return np.int32(stop), *self.in_threads(program, (state, draws), rest)
        return np.int32(stop), *self.place_carry(program(state, draws, *rest))

    def _rest(self, i: Any, stop: int, first: int) -> tuple[Any, ...]:
        return (self.arrays, np.int32(i), np.int32(stop), np.int32(first), np.int32(self.plan.thinning))

    def _program(self) -> Any:
        """The compiled loop: of one chain where each is a thread, else of a group."""
        if self.is_threaded:
            return self.cached("one", lambda: quickly_compiled(self._loop(together=False), donate_argnums=(1,)))
        return self.cached("loop", self._make_loop)

    def _make_loop(self) -> Callable[..., Any]:
        loop = self._loop(together=self.method == "vectorized")
        fn: Callable[..., Any] = loop
        if self.method == "parallel":
            fn = self.placement.over_devices(loop, self._loop(together=True))
        elif callable(self.method):
            method = self.method

            def fn(state: Any, draws: Any, *rest: Any) -> Any:
                return method(lambda carry: loop(*carry, *rest))((state, draws))

        return quickly_compiled(fn, donate_argnums=(1,))

    def _loop(self, together: bool) -> Callable[..., Any]:
        """The loop over iterations. ``together`` says whether the state stands for all chains."""
        axis = 1 if together else 0
        vmapped = together and not self.is_ensemble

        def loop(state: Any, draws: Any, arrays: Any, i: Any, stop: Any, first: Any, thinning: Any) -> Any:
            args, kwargs = self.arguments(arrays)

            def sample(state: Any) -> Any:
                return self.kernel.sample(state, args, kwargs)

            def body(carry: Any) -> Any:
                i, state, draws = carry
                state = (jax.vmap(sample) if vmapped else sample)(state)
                row = jnp.maximum(i - first, 0) // thinning

                def write(buffer: jax.Array, value: Any) -> jax.Array:
                    value = jnp.broadcast_to(value, buffer.shape[:axis] + buffer.shape[axis + 1 :])
                    return lax.dynamic_update_index_in_dim(buffer, value.astype(buffer.dtype), row, axis)

                draws = {name: jax.tree.map(write, buffer, _field(state, name)) for name, buffer in draws.items()}
                return i + 1, state, draws

            return strongly_typed(lax.while_loop(lambda carry: carry[0] < stop, body, (i, state, draws))[1:])

        return loop

    def check(self, carry: Any) -> None:
        jax.block_until_ready(carry[1])

    def state(self, carry: Any) -> Any:
        return carry[1]

    def iteration(self, carry: Any) -> int:
        return int(carry[0])

    def density(self, carry: Any) -> tuple[Any, Any]:
        state = jax.eval_shape(lambda: carry[1])
        if self.has_axis and not self.is_ensemble:
            state = _of_one(state)

        def sample(state: Any, arrays: Any) -> Any:
            return self.kernel.sample(state, *self.arguments(arrays))

        return jax.make_jaxpr(sample)(state, self.arrays), jax.tree.structure(state)

    def collected_one(self, draw: dict[str, Any], arrays: list[Any]) -> dict[str, Any]:
        field = self.kernel.sample_field
        samples = draw[field]
        postprocess = self.postprocess_fn or self.kernel.postprocess_fn(*self.arguments(arrays))
        collected = draw | {field: _without(postprocess(samples), self.excluded)}
        return collected | {f"{field}.{name}": _site(samples, name) for name in self.unconstrained}

    def public_state(self) -> Callable[[Any], Any]:
        return identity


def _traced(fn: Callable[..., Any], *args: Any) -> tuple[Callable[..., Any], Any]:
    """A function traced once, and what it returns. Nothing that ``fn`` refers to is kept."""
    jaxpr, looks = jax.make_jaxpr(fn, return_shape=True)(*args)
    treedef, flat = jax.tree.structure(looks), jaxpr_as_fun(jaxpr)
    return lambda *args: jax.tree.unflatten(treedef, flat(*jax.tree.leaves(args))), looks


def _concrete(x: Any) -> Any:
    """An array of NumPy, unless it has no value yet."""
    return np.asarray(x) if is_concrete(x) else x


def _of_one(tree: Any) -> Any:
    """What the arrays of one chain look like."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), tree)


def _looks(x: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


def _size(tree: Any) -> int:
    """Size of arrays in bytes."""
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def _on_host(x: Any) -> Any:
    return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else np.asarray(x)


def _row(tree: Any, i: int) -> Any:
    return jax.tree.map(lambda x: x[i], tree)


def _fields(kernel: Any, extra_fields: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Names of the fields to collect, of the sites to collect as the kernel holds them, and of the sites to leave
    out."""
    site = f"{kernel.sample_field}."
    excluded = tuple(name[1 + len(site) :] for name in extra_fields if name.startswith(f"~{site}"))
    unconstrained = tuple(name[len(site) :] for name in extra_fields if name.startswith(site))
    others = [name for name in extra_fields if not name.startswith((site, "~"))]
    unknown = [name for name in extra_fields if name.startswith("~") and not name.startswith(f"~{site}")]
    if unknown:
        raise ValueError(
            f"`extra_fields` has {unknown[0]!r}, but only sites can be left out: write '~{site}NAME' with the name of "
            "a site."
        )
    return tuple(dict.fromkeys((kernel.sample_field, *kernel.default_fields, *others))), unconstrained, excluded


def _field(state: Any, path: str) -> Any:
    """A field of a state, or a field of a field: ``"adapt_state.step_size"``; tuples have numbers as names. A dot in
    front hides it from the user."""
    value = state
    for name in path.removeprefix(".").split("."):
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif isinstance(value, tuple) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        elif not isinstance(value, Mapping) and hasattr(value, name):
            value = getattr(value, name)
        else:
            known = value if isinstance(value, Mapping) else getattr(value, "_fields", ())
            hint = f" Its fields are {', '.join(map(str, known))}." if known else ""
            raise ValueError(f"`extra_fields` names {path!r}, which is no field of the kernel's state.{hint}")
    return value


def _site(samples: Any, name: str) -> Any:
    if not isinstance(samples, Mapping) or name not in samples:
        known = f" The latent sites are {', '.join(samples)}." if isinstance(samples, Mapping) else ""
        raise ValueError(f"`extra_fields` asks for the latent site {name!r}, but there is none of that name.{known}")
    return samples[name]


def _without(samples: Any, excluded: tuple[str, ...]) -> Any:
    for name in excluded:
        if not isinstance(samples, Mapping) or name not in samples:
            known = f" The sites are {', '.join(samples)}." if isinstance(samples, Mapping) else ""
            raise ValueError(f"`extra_fields` leaves out the site {name!r}, but there is none of that name.{known}")
    return {name: value for name, value in samples.items() if name not in excluded} if excluded else samples


def _without_keys(state: Any) -> Any:
    """An :class:`~numpyro.infer.hmc.HMCState` without its random keys."""
    return state._replace(rng_key=None, adapt_state=state.adapt_state._replace(rng_key=None))


def _buffer(name: str, field: Any, lead: tuple[int, ...], size: int) -> Any:
    """Room for ``size`` draws of a field."""

    def blank(x: Any) -> np.ndarray:
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            raise ValueError(
                f"`extra_fields` names {name!r}, which holds typed random keys; they cannot be collected. Leave it "
                "out, or run with a key made by jax.random.PRNGKey."
            )
        return np.zeros((*lead, size, *x.shape), x.dtype)

    return jax.tree.map(blank, field)


def _one_draw(lead: tuple[int, ...], x: Any) -> Any:
    """The abstract array of one chain's draw; a field that chains share has no leading axis."""
    shape = x.shape[1:] if lead and x.shape[:1] == lead else x.shape
    return jax.ShapeDtypeStruct(shape, x.dtype)


def _is_batch(rng_key: Any) -> bool:
    """Whether there is a random key for each chain."""
    return np.ndim(rng_key) > (0 if jnp.issubdtype(rng_key.dtype, jax.dtypes.prng_key) else 1)


def _check_number_of_keys(rng_key: Any, count: int) -> None:
    if np.shape(rng_key)[0] != count:
        raise ValueError(
            f"`rng_key` must be one random key or one for each of the {count} chains, but there are "
            f"{np.shape(rng_key)[0]}."
        )


_STRONG = jax.jit(strongly_typed)

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Other kernels than HMC and NUTS as :class:`~numpyro.infer.mcmc.MCMC` runs them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
import copy
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from numpyro.distributions import Distribution
from numpyro.infer.arguments import combine, partition
from numpyro.infer.chain import strongly_typed
from numpyro.infer.compilation import quickly_compiled
from numpyro.infer.fields import field_of, site_of, without_sites
from numpyro.infer.kernel import MCMCKernel
from numpyro.infer.runner import Group, Plan, Request, Runner, is_batch, looks_of, of_one
from numpyro.infer.target_kernel import TargetKernel
from numpyro.util import identity

if TYPE_CHECKING:
    from numpyro.infer.mcmc import MCMC

__all__ = ["KernelRunner"]


class KernelRunner(Runner):
    """Runs any kernel by its ``init`` and ``sample``."""

    def __init__(self, mcmc: MCMC, request: Request, plan: Plan) -> None:
        super().__init__(mcmc, request, plan)
        self.kernel = mcmc.sampler
        self.num_warmup, self.programs = mcmc.num_warmup, self._kept_programs(mcmc)
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
        modes = (jnp.result_type(float).name, jax.default_backend(), Distribution._validate_args)
        self.cache_key = ("run", self.num_warmup, self.static, contents, self.method, plan.size, self.count, *modes)

    def _kept_programs(self, mcmc: MCMC) -> dict[Any, Any]:
        """The programs that were compiled before for this kernel, or for another one that is the same."""
        shared = self.kernel._programs_for_now()
        if self.is_traced:
            # What is traced may be made of other traced arrays, and serves here only.
            return {}
        return mcmc._programs if shared is None or not self.kernel.is_pure else shared

    def _without_data(self) -> KernelRunner:
        """This runner, for programs that outlive it."""
        other = copy.copy(self)
        other.asked = other.request = Request(None, (), {}, (), None, None)
        other.arrays, other.programs, other.compiling = [], {}, None
        other.constants = [] if self.dynamic else self.constants
        return other

    def arguments(self, arrays: list[Any]) -> Any:
        """The model's arguments, from the inputs of a compiled program."""
        return combine(arrays if self.dynamic else self.constants, self.static)

    def start(self, group: Group) -> tuple[Any, Any, dict[str, Any]]:
        """The carry of a chain, or of all of them: number of the iteration, state, buffers."""
        resumed = self.request.resumed
        if resumed is not None:
            resumed, key = self._pick(resumed, group), self._pick(self._keys(self.request.rng_key), group)
            has_key = hasattr(resumed, "_replace") and hasattr(resumed, "rng_key")
            if has_key and is_batch(key) and not is_batch(resumed.rng_key):
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
        if not self.batched or is_batch(rng_key):
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
        program = self.cached(("init", together), partial(self._without_data()._make_init, together))
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
        state = jax.tree.map(looks_of, init.out_info)
        carry = (state, self.buffers(state, self._lead(group)))
        plan = self.plan
        return self.compiled(self._program(), carry, self._rest(plan.start, plan.stop, plan.first))

    def _refreshed(self, state: Any, group: Group) -> Any:
        """A state to go on from, with what depends on the model's arguments computed anew if the kernel can do so."""
        if not self.kernel.is_pure or type(self.kernel).refresh is MCMCKernel.refresh:
            return state

        bare = self._without_data()

        def refresh(state: Any, arrays: Any) -> Any:
            args, kwargs = bare.arguments(arrays)
            one = lambda state: bare.kernel.refresh(state, args, kwargs)
            return (jax.vmap(one) if isinstance(group, range) and not bare.is_ensemble else one)(state)

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
            make = lambda: quickly_compiled(self._without_data()._loop(together=False), donate_argnums=(1,))
            return self.cached("one", make)
        return self.cached("loop", self._without_data()._make_loop)

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
                before, state = state, (jax.vmap(sample) if vmapped else sample)(state)
                _check_same_looks(self.kernel, before, state)
                row = jnp.maximum(i - first, 0) // thinning

                def write(buffer: jax.Array, value: Any) -> jax.Array:
                    value = jnp.broadcast_to(value, buffer.shape[:axis] + buffer.shape[axis + 1 :])
                    return lax.dynamic_update_index_in_dim(buffer, value.astype(buffer.dtype), row, axis)

                draws = {name: jax.tree.map(write, buffer, field_of(state, name)) for name, buffer in draws.items()}
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
            state = of_one(state)

        names = jax.tree.structure(state)
        if isinstance(self.kernel, TargetKernel):
            request, batched = self.request, self.is_ensemble
            program, _ = self.kernel.program(self.num_warmup, request.args, request.kwargs, state.z, batched=batched)
            return program.target.density, names

        def drawn(state: Any, arrays: Any) -> Any:
            return self.kernel._what_is_drawn(state, *self.arguments(arrays))

        return jax.make_jaxpr(drawn)(state, self.arrays), names

    def collected_one(self, draw: dict[str, Any], arrays: list[Any]) -> dict[str, Any]:
        field = self.kernel.sample_field
        samples = draw[field]
        postprocess = self.postprocess_fn or self.kernel.postprocess_fn(*self.arguments(arrays))
        collected = draw | {field: without_sites(postprocess(samples), self.excluded)}
        return collected | {f"{field}.{name}": site_of(samples, name) for name in self.unconstrained}

    def public_state(self) -> Callable[[Any], Any]:
        return identity


def _check_same_looks(kernel: MCMCKernel, before: Any, after: Any) -> None:
    """Raise an error if a kernel's iteration makes a state of another kind, which no loop can carry."""
    name = type(kernel).__name__
    structures: list[Any] = [jax.tree.structure(state) for state in (before, after)]
    if structures[0] != structures[1]:
        raise TypeError(
            f"{name}.sample must return a state like the one that it is given, but the structure of that is "
            f"{structures[0]}, and it returned {structures[1]}."
        )
    for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True):
        looks = [(jnp.shape(part), jnp.result_type(part)) for part in (x, y)]
        if looks[0] != looks[1]:
            (shape, dtype), (new_shape, new_dtype) = looks
            field = jax.tree_util.keystr(path, simple=True, separator=".")
            raise TypeError(
                f"{name}.sample must return a state like the one that it is given, but the field '{field}' has shape "
                f"{shape} and type {dtype} in that, and shape {new_shape} and type {new_dtype} in what it returned. "
                "Let `init` begin with what `sample` returns."
            )


_STRONG = jax.jit(strongly_typed)

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Running Markov chains.

:class:`MCMC` is what a user holds. It drives a *runner*: :class:`_HMCRunner` runs the compiled loop of :mod:`numpyro.infer.chain`, :class:`_KernelRunner` runs any other
:class:`~numpyro.infer.kernel.MCMCKernel`. A runner advances chains up to a given iteration by one call of a compiled program; the call is repeated, so that progress can be shown and
an interrupt leaves the draws that there are.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from numpyro.diagnostics import print_summary
from numpyro.infer.arguments import combine, partition
from numpyro.infer.chain import FAILED, GIVEN, MAX_ATTEMPTS, RESUME, SEARCH, Chain
from numpyro.infer.hmc import HMC
from numpyro.infer.kernel import MCMCKernel
from numpyro.infer.progress import ProgressBar
from numpyro.util import find_stack_level, identity

__all__ = ["MCMC", "MCMCKernel"]

_CHUNKS = 20
_SECONDS_WITH_BAR, _SECONDS_WITHOUT = 0.1, 0.5


class _Plan(NamedTuple):
    """Which iterations to run and which draws to keep.

    :param start: number of the first iteration.
    :param stop: number after the last one.
    :param first: iteration from which draws are collected.
    :param size: length of the buffers.
    :param kept: number of draws that will be collected.
    :param thinning: the last of so many draws is kept.
    """

    start: int
    stop: int
    first: int
    size: int
    kept: int
    thinning: int


class MCMC:
    """Draws from a posterior distribution by Markov chains.

    :param sampler: the kernel, such as :class:`~numpyro.infer.hmc.NUTS`.
    :param num_warmup: number of iterations for adaptation, which are not kept.
    :param num_samples: number of iterations after that, for each chain.
    :param num_chains: number of chains.
    :param thinning: keep the last of every ``thinning`` draws.
    :param postprocess_fn: a function applied to each draw instead of the kernel's own, which maps unconstrained parameters to the values of the model's sites.
    :param chain_method: ``"parallel"`` (one device for each chain; if there are too few, the chains are drawn one after the other), ``"sequential"``, ``"vectorized"`` (all
        chains at once on one device), or a function that maps a function over the leading axis of its argument, such as ``jax.vmap``.
    :param progress_bar: whether to show progress.
    :param progress_rate: after how many iterations the bar moves. Default: often enough to look smooth, seldom enough to cost nothing.
    :param jit_model_args: whether arrays among the model's arguments are inputs of the compiled program, so that other data of the same shape need no compilation. HMC, NUTS and all kernels
        that are pure do so anyhow, unless the model needs the values in Python.
    :raises ValueError: for numbers out of range or an unknown ``chain_method``.

    The chains of a run are the same for all methods, up to rounding.

    >>> from numpyro.infer import NUTS
    >>> mcmc = MCMC(NUTS(potential_fn=lambda z: 0.5 * jnp.sum(z["x"] ** 2)), num_warmup=100, num_samples=250, num_chains=2, chain_method="sequential", progress_bar=False)
    >>> mcmc.run(jax.random.PRNGKey(0), init_params={"x": jnp.zeros((2, 3))})
    >>> mcmc.get_samples()["x"].shape, mcmc.get_samples(group_by_chain=True)["x"].shape
    ((500, 3), (2, 250, 3))
    """

    def __init__(
        self,
        sampler: MCMCKernel,
        *,
        num_warmup: int,
        num_samples: int,
        num_chains: int = 1,
        thinning: int = 1,
        postprocess_fn: Callable[[Any], Any] | None = None,
        chain_method: str | Callable[..., Any] = "parallel",
        progress_bar: bool = True,
        progress_rate: int | None = None,
        jit_model_args: bool = False,
    ) -> None:
        if not isinstance(num_warmup, int | np.integer) or num_warmup < 0:
            raise ValueError(f"num_warmup must be a non-negative integer, but it is {num_warmup!r}.")
        if not isinstance(thinning, int | np.integer) or thinning < 1:
            raise ValueError(f"thinning must be a positive integer, but it is {thinning!r}.")
        if not isinstance(num_samples, int | np.integer) or num_samples < thinning:
            raise ValueError(
                f"num_samples must be a positive integer and at least thinning, but num_samples is {num_samples!r} and thinning is {thinning!r}."
            )
        if not isinstance(num_chains, int | np.integer) or num_chains < 1:
            raise ValueError(f"num_chains must be a positive integer, but it is {num_chains!r}.")
        if progress_rate is not None and progress_rate < 1:
            raise ValueError(f"progress_rate must be a positive integer, but it is {progress_rate!r}.")
        if not callable(chain_method) and chain_method not in ("parallel", "sequential", "vectorized"):
            raise ValueError(
                'Only supporting the following methods to draw chains: "sequential", "parallel", or "vectorized", and functions such as jax.vmap; '
                f"chain_method is {chain_method!r}."
            )
        if sampler.is_ensemble_kernel and chain_method != "vectorized":
            raise ValueError(
                f'{type(sampler).__name__} moves all chains at once: write chain_method="vectorized", with num_chains the size of the ensemble.'
            )
        devices = jax.local_device_count() if num_chains > 1 else 1
        if chain_method == "parallel" and num_chains > devices:
            warnings.warn(
                f"There are not enough devices to run parallel chains: expected {num_chains} but got {devices}. Chains will be drawn sequentially. If you are running MCMC "
                f"on a CPU, consider using `numpyro.set_host_device_count({num_chains})` at the beginning of your program, or chain_method=\"vectorized\". You can double-check how many "
                "devices are available in your system using `jax.local_device_count()`.",
                stacklevel=find_stack_level(),
            )
            chain_method = "sequential"
        self.sampler = sampler
        self.num_warmup = int(num_warmup)
        self.num_samples = int(num_samples)
        self.num_chains = int(num_chains)
        self.thinning = int(thinning)
        self.postprocess_fn = postprocess_fn
        self.chain_method = chain_method
        self.progress_bar = progress_bar
        self.progress_rate = progress_rate
        self.jit_model_args = jit_model_args
        self._args: tuple[Any, ...] = ()
        self._kwargs: dict[str, Any] = {}
        self._states: dict[str, Any] | None = None
        self._last_state: Any = None
        self._warmup_state: Any = None
        self._drawn_chains = 0
        self._programs: dict[Any, Any] = {}

    # Running

    def warmup(
        self,
        rng_key: Any,
        *args: Any,
        extra_fields: Sequence[str] = (),
        collect_warmup: bool = False,
        init_params: Any = None,
        **kwargs: Any,
    ) -> None:
        """Run the warm-up only; the next :meth:`run` goes on from there.

        :param rng_key: random key.
        :param args: arguments of the model.
        :param extra_fields: as in :meth:`run`.
        :param collect_warmup: whether :meth:`get_samples` gives the draws of the warm-up.
        :param init_params: as in :meth:`run`.
        :param kwargs: keyword arguments of the model.
        """
        self._warmup_state = None
        thinning = self.thinning
        if collect_warmup:
            first, size = self.num_warmup % thinning, self.num_warmup // thinning
        else:
            first, size = self.num_warmup, self.num_samples // thinning
        plan = _Plan(0, self.num_warmup, first, max(size, 1), size if collect_warmup else 0, thinning)
        self._run(rng_key, args, kwargs, extra_fields, init_params, plan, None)
        self._warmup_state = self._last_state

    def run(
        self, rng_key: Any, *args: Any, extra_fields: Sequence[str] = (), init_params: Any = None, **kwargs: Any
    ) -> None:
        """Run the chains: warm-up and sampling, or sampling alone after :meth:`warmup` or when :attr:`post_warmup_state` is set.

        An interrupt (Ctrl-C) during sampling ends the run; the draws up to there are kept.

        :param rng_key: random key; all chains' keys are made from it.
        :param args: arguments of the model.
        :param extra_fields: names of further fields of the kernel's state to collect, such as ``"num_steps"`` or ``"adapt_state.step_size"``.
        :param init_params: where to start, in unconstrained space. With several chains each array has a leading axis of chains.
        :param kwargs: keyword arguments of the model.
        :raises RuntimeError: if no start with finite potential energy and gradient is found.
        """
        resumed = self._warmup_state
        start = self.num_warmup
        if resumed is not None and isinstance(getattr(resumed, "i", None), jax.Array | np.ndarray):
            start = int(np.max(np.asarray(resumed.i)))
        first = start + self.num_samples % self.thinning
        kept = self.num_samples // self.thinning
        plan = _Plan(start if resumed is not None else 0, start + self.num_samples, first, kept, kept, self.thinning)
        self._run(rng_key, args, kwargs, extra_fields, init_params, plan, resumed)

    def _run(
        self,
        rng_key: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        extra_fields: Sequence[str],
        init_params: Any,
        plan: _Plan,
        resumed: Any,
    ) -> None:
        if not hasattr(rng_key, "dtype"):
            raise TypeError(
                f"`rng_key` must be a random key, but it is {rng_key!r}. Write mcmc.run(jax.random.PRNGKey(0), ...)."
            )
        self._args, self._kwargs = args, kwargs
        self._check_init_params(init_params)
        kernel = self.sampler
        is_hmc = isinstance(kernel, HMC) and type(kernel).sample is HMC.sample and type(kernel).init is HMC.init
        runner = (_HMCRunner if is_hmc else _KernelRunner)(
            self, rng_key, args, kwargs, tuple(extra_fields), init_params, plan, resumed
        )
        finished, interrupted = [], False
        for group in runner.groups:
            carry = runner.start(group)
            carry, interrupted = self._drive(runner, group, carry, plan)
            done = plan.stop if not interrupted else runner.iteration(carry)
            kept = min(max(done - plan.first, 0) // plan.thinning, plan.kept)
            if interrupted and finished:
                break
            finished.append(carry)
            if interrupted:
                break
        if interrupted and (kept == 0 or plan.kept == 0):
            raise KeyboardInterrupt
        if interrupted:
            complete = f"{len(finished)} complete chain(s)" if len(finished) > 1 or kept == plan.kept else f"{kept} draws"
            warnings.warn(f"MCMC was interrupted; {complete} are kept.", stacklevel=find_stack_level())
            kept = plan.kept if len(finished) > 1 else kept
        else:
            kept = plan.kept
        self._drawn_chains = len(finished) if len(finished) > 1 else runner.chains_of(finished[0])
        states, self._last_state = runner.finish(finished)
        if kept < plan.size:
            states = _first_draws(states, self._drawn_chains, plan.size, kept)
        self._states = states if plan.kept else None

    def _drive(self, runner: Any, group: Any, carry: Any, plan: _Plan) -> tuple[Any, bool]:
        """Advance a group of chains to the end, chunk by chunk. The second value tells whether it was interrupted."""
        if callable(self.chain_method) and self.num_chains > 1:
            carry = runner.advance(carry, plan.stop)
            runner.check(carry)
            return carry, False
        total = plan.stop - plan.start
        labels = [f"Running chain {i}" for i in range(self.num_chains)] if self.chain_method == "parallel" and self.num_chains > 1 else [""]
        chunk = self.progress_rate or max(1, math.ceil(total / _CHUNKS))
        seconds = _SECONDS_WITH_BAR if self.progress_bar else _SECONDS_WITHOUT
        done = 0
        with ProgressBar(total, self.num_warmup - plan.start, labels, self.progress_bar) as bar:
            try:
                while done < total:
                    began = time.perf_counter()
                    target = min(total, done + chunk)
                    carry = runner.advance(carry, plan.start + target)
                    runner.check(carry)
                    bar.update(target, runner.describe(carry) if self.progress_bar else "")
                    if self.progress_rate is None and done > 0 or runner.is_warm:
                        speed = (target - done) / max(time.perf_counter() - began, 1e-6)
                        chunk = max(1, int(speed * seconds))
                    runner.is_warm = True
                    done = target
            except KeyboardInterrupt:
                return carry, True
        return carry, False

    def _check_init_params(self, init_params: Any) -> None:
        if init_params is None or self.num_chains == 1:
            return
        for leaf in jax.tree.leaves(init_params):
            if np.ndim(leaf) == 0 or np.shape(leaf)[0] != self.num_chains:
                raise ValueError(
                    f"`init_params` must have the same leading dimension as `num_chains`: there are {self.num_chains} chains, but one of its arrays has shape "
                    f"{np.shape(leaf)}. Stack one start for each chain."
                )

    # Results

    def get_samples(self, group_by_chain: bool = False) -> Any:
        """The draws: for a model, a dict of the values of its latent and deterministic sites.

        :param group_by_chain: whether arrays have shape ``(num_chains, num_draws) + event_shape``, or ``(num_chains * num_draws,) + event_shape``.
        :raises RuntimeError: if there was no run yet.
        """
        return self._collected(group_by_chain)[self.sampler.sample_field]

    def get_extra_fields(self, group_by_chain: bool = False) -> dict[str, Any]:
        """The other fields that were collected, by name.

        :param group_by_chain: as in :meth:`get_samples`.
        """
        states = self._collected(group_by_chain)
        return {name: value for name, value in states.items() if name != self.sampler.sample_field}

    def _collected(self, group_by_chain: bool) -> dict[str, Any]:
        if self._states is None:
            raise RuntimeError(
                "there are no draws yet: call `run` (or `warmup` with collect_warmup=True) before `get_samples`, `get_extra_fields` or `print_summary`."
            )
        return _grouped(self._states, self._drawn_chains) if group_by_chain else self._states

    def print_summary(self, prob: float = 0.9, exclude_deterministic: bool = True) -> None:
        """Print a table of the draws (see :func:`numpyro.diagnostics.summary`) and the number of divergences.

        :param prob: mass of the intervals.
        :param exclude_deterministic: whether to leave deterministic sites out.
        """
        states = self._collected(group_by_chain=False)
        sites = states[self.sampler.sample_field]
        latent = getattr(self._last_state, self.sampler.sample_field, None)
        if exclude_deterministic and isinstance(sites, dict) and isinstance(latent, dict):
            sites = {name: value for name, value in sites.items() if name in latent}
        chains = self._drawn_chains
        sites = jax.tree.map(lambda x: np.reshape(np.asarray(x), (chains, -1) + np.shape(x)[1:]), sites)
        print_summary(sites, prob=prob)
        if "diverging" in states:
            print(f"Number of divergences: {int(np.sum(np.asarray(states['diverging'])))}")

    @property
    def post_warmup_state(self) -> Any:
        """The state from which the next :meth:`run` goes on, or None to begin anew. Assign :attr:`last_state` to it to draw more."""
        return self._warmup_state

    @post_warmup_state.setter
    def post_warmup_state(self, state: Any) -> None:
        self._warmup_state = state

    @property
    def last_state(self) -> Any:
        """The kernel's state at the end of the last run; with several chains, stacked along a leading axis."""
        return self._last_state

    def transfer_states_to_host(self) -> None:
        """Move the draws from the device's memory to the host's."""
        self._states = jax.device_get(self._states)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_programs": {}}


@partial(jax.jit, static_argnums=1)
def _grouped(tree: Any, chains: int) -> Any:
    return jax.tree.map(lambda x: x.reshape((chains, -1) + x.shape[1:]), tree)


def _first_draws(tree: Any, chains: int, size: int, kept: int) -> Any:
    """The first ``kept`` of ``size`` draws of each chain."""

    def cut(x: Any) -> jax.Array:
        grouped = np.asarray(x).reshape((chains, size) + np.shape(x)[1:])
        return jnp.asarray(grouped[:, :kept].reshape((chains * kept,) + np.shape(x)[1:]))

    return jax.tree.map(cut, tree)


class _HMCRunner:
    """Runs HMC and NUTS: everything between the random key and the draws is compiled."""

    is_warm = False

    def __init__(
        self,
        mcmc: MCMC,
        rng_key: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        extra_fields: tuple[str, ...],
        init_params: Any,
        plan: _Plan,
        resumed: Any,
    ) -> None:
        kernel, chains = mcmc.sampler, mcmc.num_chains
        self.count, self.plan, self.resumed = chains, plan, resumed
        self.rng_key, self.init_params = rng_key, init_params
        likeness = resumed.z if resumed is not None else init_params
        self.program, self.arrays = kernel.program(mcmc.num_warmup, args, kwargs, likeness, batched=chains > 1)
        self.sampler = self.program.sampler
        self.fields = tuple(dict.fromkeys((*kernel.default_fields, *extra_fields)))
        self.postprocess_fn = mcmc.postprocess_fn
        self.kernel = kernel
        self.method = "sequential" if chains == 1 else mcmc.chain_method
        together = self.method != "sequential"
        self.groups: list[Any] = [range(chains)] if together else list(range(chains))
        self._check_shapes()

    def _check_shapes(self) -> None:
        if self.init_params is None:
            return
        space = self.sampler.space
        expected = jax.tree.unflatten(space.treedef, space.shapes)
        leaves, treedef = jax.tree.flatten(self.init_params)
        shapes = [np.shape(leaf)[1:] if self.count > 1 else np.shape(leaf) for leaf in leaves]
        if treedef != space.treedef or tuple(shapes) != space.shapes:
            raise ValueError(
                f"`init_params` must look like the unconstrained parameters, whose shapes are {expected}, but it is {jax.tree.map(np.shape, self.init_params)}"
                f"{' (with a leading axis for chains)' if self.count > 1 else ''}."
            )

    def start(self, group: Any) -> tuple[Chain, dict[str, Any]]:
        """The carry of a chain, or of all of them, before its first iteration. Made on the host: nothing is dispatched."""
        together = isinstance(group, range)
        space = self.sampler.space
        abstract = self.sampler.abstract_state(self.rng_key)
        lead = (len(group),) if together else ()

        def take(x: Any) -> np.ndarray:
            return np.asarray(x) if together or self.count == 1 else np.asarray(x)[group]

        def ravel(params: Any) -> np.ndarray:
            if not together:
                return space.ravel_on_host(jax.tree.map(take, params))
            rows = [space.ravel_on_host(jax.tree.map(lambda x, i=i: np.asarray(x)[i], params)) for i in group]
            return np.stack(rows)

        def blank(x: Any) -> Any:
            if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
                return jnp.broadcast_to(self.rng_key, lead) if lead else self.rng_key
            return np.zeros(lead + x.shape, x.dtype)

        phase = SEARCH
        state = jax.tree.map(blank, abstract)
        if self.resumed is not None:
            phase = RESUME
            keys = {"rng_key": state.rng_key}
            z, gradient = ravel(self.resumed.z), ravel(self.resumed.z_grad)
            state = self.resumed._replace(z=z, z_grad=gradient, **keys)
            taken = jax.tree.map(take, state._replace(adapt_state=state.adapt_state._replace(rng_key=None), **{"rng_key": None}, z=None, z_grad=None))
            adapt_state = taken.adapt_state._replace(rng_key=keys["rng_key"])
            state = taken._replace(z=z, z_grad=gradient, adapt_state=adapt_state, **keys)
        elif self.init_params is not None:
            phase = GIVEN
            state = state._replace(z=ravel(self.init_params))
        zeros = np.zeros(lead, np.int32)
        number = np.arange(len(group), dtype=np.int32) if together else np.asarray(group, np.int32)
        run_key = self.rng_key
        if together:
            is_typed = jnp.issubdtype(run_key.dtype, jax.dtypes.prng_key)
            run_key = jnp.broadcast_to(run_key, lead) if is_typed else np.broadcast_to(np.asarray(run_key), lead + run_key.shape)
        chain = Chain(state, np.full(lead, phase, np.int32), zeros, zeros, number, run_key)
        draws = {}
        for name in self.fields:
            values = _field(abstract, name)
            draws[name] = jax.tree.map(lambda x: np.zeros(lead + (self.plan.size,) + x.shape, x.dtype), values)
        return chain, draws

    def advance(self, carry: tuple[Chain, dict[str, Any]], stop: int) -> tuple[Chain, dict[str, Any]]:
        bounds = (np.int32(stop), np.int32(self.plan.first), np.int32(self.plan.thinning))
        if self.method == "sequential":
            return self.program.advance(*carry, self.arrays, *bounds)
        if self.method == "vectorized":
            return self.program.advance_together(*carry, self.arrays, *bounds)
        if self.method == "parallel":
            return self._parallel()(*carry, self.arrays, *bounds)
        one = partial(self._one, arrays=self.arrays, bounds=bounds)
        return self.method(one)(carry)

    def _one(self, carry: Any, arrays: Any, bounds: Any) -> Any:
        return self.sampler.advance(*carry, arrays, *bounds)

    def _parallel(self) -> Callable[..., Any]:
        """The loop of a single chain, on each of the first devices."""
        compiled = self.program.compiled.get(("parallel", self.count))
        if compiled is None:
            mesh = Mesh(np.array(jax.local_devices()[: self.count]), ("chains",))
            split, whole = PartitionSpec("chains"), PartitionSpec()

            def one(chain: Chain, draws: dict[str, Any], *rest: Any) -> Any:
                carry = jax.tree.map(lambda x: x[0], (chain, draws))
                return jax.tree.map(lambda x: x[None], self.sampler.advance(*carry, *rest))

            mapped = jax.shard_map(
                one,
                mesh=mesh,
                in_specs=(split, split, whole, whole, whole, whole),
                out_specs=(split, split),
                check_vma=False,
            )
            compiled = self.program.compiled[("parallel", self.count)] = jax.jit(mapped, donate_argnums=(1,))
        return compiled

    def check(self, carry: tuple[Chain, dict[str, Any]]) -> None:
        """Wait for the chains; raise the error if one has no start."""
        chain, _ = carry
        phase = np.asarray(chain.phase)
        if (phase != FAILED).all():
            return
        position = np.asarray(chain.state.z)
        if phase.ndim:
            position = position[np.argmax(phase == FAILED)]
        params = jax.device_get(self.sampler.space.unravel(jnp.asarray(position)))
        self.program.refuse(params, self.arrays, 0 if self.init_params is not None else MAX_ATTEMPTS)

    def describe(self, carry: tuple[Chain, dict[str, Any]]) -> str:
        state = carry[0].state
        return "" if np.ndim(carry[0].phase) else self.kernel.get_diagnostics_str(state)

    def iteration(self, carry: tuple[Chain, dict[str, Any]]) -> int:
        return int(np.min(np.asarray(carry[0].state.i)))

    def chains_of(self, carry: tuple[Chain, dict[str, Any]]) -> int:
        return int(np.size(np.asarray(carry[0].phase)))

    def finish(self, carries: list[tuple[Chain, dict[str, Any]]]) -> tuple[dict[str, Any], Any]:
        """Collected fields with draws of all chains along their first axis, in constrained space, and the last state."""
        batched = self.count > 1
        key = ("finish", batched, self.postprocess_fn)
        compiled = self.program.compiled.get(key)
        if compiled is None:
            compiled = self.program.compiled[key] = jax.jit(partial(self._finish, self.program, self.postprocess_fn, batched))
        states = [chain.state for chain, _ in carries]
        draws = [draws for _, draws in carries]
        return compiled(states, draws, self.arrays)

    @staticmethod
    def _finish(program: Any, postprocess_fn: Any, batched: bool, states: Any, draws: Any, arrays: Any) -> Any:
        sampler = program.sampler
        is_stacked = len(states) == 1 and jnp.ndim(states[0].i) == 1
        if is_stacked:
            state, collected = states[0], draws[0]
        else:
            stacked_state, collected = (jax.tree.map(lambda *x: jnp.stack(x), *parts) for parts in (states, draws))
            state = stacked_state if batched else states[0]
        collected = jax.tree.map(lambda x: x.reshape((-1,) + x.shape[2:]), collected)

        def describe(flat: jax.Array) -> Any:
            params = sampler.space.unravel(flat)
            return program.constrain(params, arrays) if postprocess_fn is None else postprocess_fn(params)

        if "z" in collected:
            collected = collected | {"z": jax.vmap(describe)(collected["z"])}
        if "z_grad" in collected:
            collected = collected | {"z_grad": jax.vmap(sampler.space.unravel)(collected["z_grad"])}
        return collected, (jax.vmap(sampler.unravel)(state) if batched else sampler.unravel(state))


class _KernelRunner:
    """Runs any kernel by its ``init`` and ``sample``."""

    is_warm = False

    def __init__(
        self,
        mcmc: MCMC,
        rng_key: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        extra_fields: tuple[str, ...],
        init_params: Any,
        plan: _Plan,
        resumed: Any,
    ) -> None:
        self.mcmc, self.plan, self.resumed, self.init_params = mcmc, plan, resumed, init_params
        self.kernel, self.count = mcmc.sampler, mcmc.num_chains
        self.args, self.kwargs = args, kwargs
        self.is_ensemble = self.kernel.is_ensemble_kernel
        self.batched = self.count > 1 or self.is_ensemble
        self.fields = tuple(dict.fromkeys((self.kernel.sample_field, *self.kernel.default_fields, *extra_fields)))
        self.method = "sequential" if not self.batched else mcmc.chain_method
        together = self.method != "sequential"
        self.groups: list[Any] = [range(self.count)] if together else list(range(self.count))
        self.keys = jax.random.split(rng_key, self.count) if self.batched else rng_key
        arrays, static = partition((args, kwargs))
        self.dynamic = self.kernel.is_pure or mcmc.jit_model_args
        self.arrays = arrays if self.dynamic else []
        contents = () if self.dynamic else tuple((str(a.dtype), np.shape(a), np.asarray(a).tobytes()) for a in arrays)
        self.static, self.constants = static, arrays
        self.cache_key = (static, contents, self.fields, self.method, plan.size, self.count)

    def arguments(self, arrays: list[Any]) -> Any:
        return combine(arrays if self.dynamic else self.constants, self.static)

    def _init_one(self, key: Any, init_params: Any) -> Any:
        def init(key: Any, init_params: Any, arrays: Any) -> Any:
            args, kwargs = self.arguments(arrays)
            return self.kernel.init(key, self.mcmc.num_warmup, init_params, args, kwargs)

        if not self.kernel.is_pure:
            return init(key, init_params, self.arrays)
        cache = self.mcmc._programs
        compiled = cache.get(("init", self.cache_key))
        if compiled is None:
            compiled = cache[("init", self.cache_key)] = jax.jit(init)
        return compiled(key, init_params, self.arrays)

    def start(self, group: Any) -> Any:
        together = isinstance(group, range)
        if self.resumed is not None:
            state = self.resumed if together or not self.batched else jax.tree.map(lambda x: x[group], self.resumed)
            if hasattr(state, "_replace") and hasattr(state, "rng_key"):
                state = state._replace(rng_key=self.keys if together or not self.batched else self.keys[group])
        elif self.is_ensemble or not self.batched:
            state = self._init_one(self.keys, self.init_params)
        elif together:
            each = [self._init_one(self.keys[i], jax.tree.map(lambda x, i=i: x[i], self.init_params)) for i in group]
            state = jax.tree.map(lambda *x: jnp.stack(x), *each)
        else:
            state = self._init_one(self.keys[group], jax.tree.map(lambda x: x[group], self.init_params))
        lead = (len(group),) if together else ()
        draws = {}
        for name in self.fields:
            values = jax.eval_shape(lambda s, name=name: _field(s, name), state)
            draws[name] = jax.tree.map(partial(self._buffer, lead), values)
        return np.int32(self.plan.start), state, draws

    def _buffer(self, lead: tuple[int, ...], x: Any) -> np.ndarray:
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            raise ValueError(
                "typed random keys cannot be collected: leave `rng_key` out of `extra_fields`, or pass a key made by jax.random.PRNGKey."
            )
        shape = x.shape[1:] if lead and x.shape[:1] == lead else x.shape
        return np.zeros(lead + (self.plan.size,) + shape, x.dtype)

    def _loop(self, together: bool) -> Callable[..., Any]:
        """The compiled loop. ``together`` says whether the state stands for all chains."""
        axis = 1 if together else 0
        vmapped = together and not self.is_ensemble and self.method == "vectorized"

        def loop(i: Any, state: Any, draws: Any, arrays: Any, stop: Any, first: Any, thinning: Any) -> Any:
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

            return lax.while_loop(lambda carry: carry[0] < stop, body, (i, state, draws))

        return loop

    def _compiled(self) -> Callable[..., Any]:
        cache = self.mcmc._programs
        compiled = cache.get(("loop", self.cache_key))
        if compiled is not None:
            return compiled
        if self.method == "parallel":
            mesh = Mesh(np.array(jax.local_devices()[: self.count]), ("chains",))
            split, whole = PartitionSpec("chains"), PartitionSpec()
            loop = self._loop(together=False)

            def one(i: Any, state: Any, draws: Any, *rest: Any) -> Any:
                i, state, draws = loop(i, *jax.tree.map(lambda x: x[0], (state, draws)), *rest)
                return i, *jax.tree.map(lambda x: x[None], (state, draws))

            specs = (whole, split, split, whole, whole, whole, whole)
            fn = jax.shard_map(one, mesh=mesh, in_specs=specs, out_specs=(whole, split, split), check_vma=False)
        else:
            fn = self._loop(together=self.method == "vectorized")
        compiled = cache[("loop", self.cache_key)] = jax.jit(fn, donate_argnums=(2,))
        return compiled

    def advance(self, carry: Any, stop: int) -> Any:
        bounds = (np.int32(stop), np.int32(self.plan.first), np.int32(self.plan.thinning))
        if callable(self.method):
            i, state, draws = carry
            loop = self._loop(together=False)

            def one(carry: Any) -> Any:
                return loop(i, *carry, self.arrays, *bounds)[1:]

            return (np.int32(stop), *self.method(one)((state, draws)))
        return self._compiled()(*carry, self.arrays, *bounds)

    def check(self, carry: Any) -> None:
        jax.block_until_ready(carry[0])

    def describe(self, carry: Any) -> str:
        return "" if self.batched and self.method != "sequential" else self.kernel.get_diagnostics_str(carry[1])

    def iteration(self, carry: Any) -> int:
        return int(carry[0])

    def chains_of(self, carry: Any) -> int:
        return self.count if self.method != "sequential" else 1

    def finish(self, carries: list[Any]) -> tuple[dict[str, Any], Any]:
        field = self.kernel.sample_field
        postprocess_fn = self.mcmc.postprocess_fn or self.kernel.postprocess_fn(self.args, self.kwargs) or identity
        _, state, draws = carries[0]
        if self.batched and self.method == "sequential":
            state = jax.tree.map(lambda *x: jnp.stack(x), *[state for _, state, _ in carries])
            draws = jax.tree.map(lambda *x: jnp.concatenate(x), *[draws for _, _, draws in carries])
        elif self.batched:
            draws = _pooled(draws)
        if postprocess_fn is not identity:
            draws = draws | {field: jax.jit(jax.vmap(postprocess_fn))(draws[field])}
        return draws, state


@jax.jit
def _pooled(tree: Any) -> Any:
    return jax.tree.map(lambda x: x.reshape((-1,) + x.shape[2:]), tree)


def _field(state: Any, name: str) -> Any:
    try:
        return attrgetter(name)(state)
    except AttributeError:
        fields = getattr(state, "_fields", None)
        hint = f" Its fields are {', '.join(fields)}." if fields else ""
        raise ValueError(f"`extra_fields` names {name!r}, which is no field of the kernel's state.{hint}") from None

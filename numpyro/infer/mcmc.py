# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Running Markov chains: the user's interface.

:class:`MCMC` drives a :mod:`runner <numpyro.infer.runner>` chunk by chunk, so that progress can be shown, checkpoints
can be written, and an interrupt leaves the draws that there are and a state from which the run goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
import os
from pathlib import Path
from typing import Any
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from numpyro.diagnostics import DiagnosticWarning, diagnostic_warnings_enabled, print_summary
from numpyro.infer import checkpoint as files
from numpyro.infer.collection import Collection, flat_states
from numpyro.infer.convergence import diagnose
from numpyro.infer.driver import Run, make_runner
from numpyro.infer.kernel import MCMCKernel
from numpyro.infer.placement import DONE, FAILED, INTERRUPTED, Placement, place
from numpyro.infer.runner import Plan, Request
from numpyro.infer.unfinished import Unfinished, differences, identity_of
from numpyro.util import find_stack_level, is_tracing

__all__ = ["MCMC", "MCMCKernel"]

_HOW_TO_GO_ON = "Call `run` as before, or `resume`, to complete the run."


class MCMC:
    """Draws from a posterior distribution by Markov chains.

    :param sampler: the kernel, such as :class:`~numpyro.infer.hmc.NUTS`.
    :param num_warmup: number of iterations for adaptation, which are not kept.
    :param num_samples: number of iterations after that, for each chain.
    :param num_chains: number of chains.
    :param thinning: keep the last of every ``thinning`` draws.
    :param postprocess_fn: a function applied to each draw instead of the kernel's own, which maps unconstrained
        parameters to the values of the model's sites.
    :param chain_method: ``"parallel"`` (on all devices, several chains on each if need be; if a CPU is the only device,
        a thread for each chain, on all cores; on one GPU the chains are drawn one after the other), ``"sequential"``,
        ``"vectorized"`` (all chains at once on one device), or a function that maps a function over the leading axis
        of its argument, such as ``jax.vmap``. With ``"parallel"`` after ``jax.distributed.initialize`` each process
        runs its part of the chains, and has the draws of all when they are done.
    :param progress_bar: whether to show progress.
    :param progress_rate: after how many iterations the bar moves. Default: often enough to look smooth, seldom enough
        to cost nothing.
    :param jit_model_args: whether arrays among the model's arguments are inputs of the compiled program, so that other
        data of the same shape need no compilation. HMC, NUTS and all kernels that are pure do so anyhow, unless the
        model needs the values in Python.
    :param store: where draws are kept: ``"device"``, or ``"host"`` to move them to the host's memory block by block, so
        that the device holds no more than a block of them; then the draws are arrays of NumPy.
    :param checkpoint: path of a file to which :meth:`run` writes where it stands and the draws so far. If the file is
        there when :meth:`run` is called with the same random key, data and settings, the run goes on from it, and ends
        with the draws that it would have had anyhow.
    :param checkpoint_every: number of iterations of a chain, warm-up included, between two checkpoints.
    :raises ValueError: for numbers out of range, an unknown ``chain_method``, or chains that cannot be shared evenly by
        the devices.

    Every method draws the same chains, but for rounding, which the dynamics magnify as a chain goes on.

    >>> from numpyro.infer import NUTS
    >>> kernel = NUTS(potential_fn=lambda z: 0.5 * jnp.sum(z["x"] ** 2))
    >>> mcmc = MCMC(
    ...     kernel, num_warmup=100, num_samples=250, num_chains=2, chain_method="sequential", progress_bar=False
    ... )
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
        store: str = "device",
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 1000,
    ) -> None:
        if not isinstance(num_warmup, int | np.integer) or num_warmup < 0:
            raise ValueError(f"num_warmup must be a non-negative integer, but it is {num_warmup!r}.")
        if not isinstance(thinning, int | np.integer) or thinning < 1:
            raise ValueError(f"thinning must be a positive integer, but it is {thinning!r}.")
        if not isinstance(num_samples, int | np.integer) or num_samples < thinning:
            raise ValueError(
                f"num_samples must be a positive integer and at least thinning, but num_samples is {num_samples!r} and "
                f"thinning is {thinning!r}."
            )
        if not isinstance(num_chains, int | np.integer) or num_chains < 1:
            raise ValueError(f"num_chains must be a positive integer, but it is {num_chains!r}.")
        if progress_rate is not None and progress_rate < 1:
            raise ValueError(f"progress_rate must be a positive integer, but it is {progress_rate!r}.")
        if store not in ("device", "host"):
            raise ValueError(f'store must be "device" or "host", but it is {store!r}.')
        if not isinstance(checkpoint_every, int | np.integer) or checkpoint_every < 1:
            raise ValueError(f"checkpoint_every must be a positive integer, but it is {checkpoint_every!r}.")
        if checkpoint is not None and not Path(checkpoint).absolute().parent.is_dir():
            raise ValueError(f"checkpoint is {os.fspath(checkpoint)!r}, but there is no such directory.")
        if not callable(chain_method) and chain_method not in ("parallel", "sequential", "vectorized"):
            raise ValueError(
                'chain_method must be "sequential", "parallel", "vectorized" or a function such as jax.vmap, but '
                f"chain_method is {chain_method!r}."
            )
        if sampler.is_ensemble_kernel and chain_method != "vectorized":
            raise ValueError(
                f'{type(sampler).__name__} moves all chains at once: write chain_method="vectorized", with num_chains '
                "the size of the ensemble."
            )
        placement = place(num_chains, chain_method)
        has_one_device = placement == place(num_chains, "sequential") and not placement.is_threaded
        if chain_method == "parallel" and len(placement.chains) > 1 and has_one_device:
            warnings.warn(
                f"{num_chains} chains are to run in parallel, but JAX has one device: they run one after the other. "
                'Write chain_method="vectorized".',
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
        self.store = store
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.checkpoint_every = int(checkpoint_every)
        self._states: dict[str, Any] | None = None
        self._last_state: Any = None
        self._warmup_state: Any = None
        self._warmed_up: Any = None
        self._drawn_chains = 0
        self._args: tuple[Any, ...] | None = None
        self._kwargs: dict[str, Any] | None = None
        self._warmup_draws: Any = None
        self._unfinished: Unfinished | None = None
        self._identity: dict[str, str] | None = None
        self._wrote_checkpoint = False
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
            kept = self.num_warmup // thinning
            plan = Plan(0, self.num_warmup, self.num_warmup % thinning, kept, max(kept, 1), thinning)
        else:
            # Buffers of the length that `run` needs, so that both call the same compiled program.
            plan = Plan(0, self.num_warmup, self.num_warmup, 0, self.num_samples // thinning, thinning)
        self._run("warmup", Request(rng_key, args, kwargs, tuple(extra_fields), init_params, None), plan)
        self._warmup_state = self._warmed_up = self._last_state
        self._warmup_draws = self._states if collect_warmup else None

    def run(
        self, rng_key: Any, *args: Any, extra_fields: Sequence[str] = (), init_params: Any = None, **kwargs: Any
    ) -> None:
        """Run the chains: warm-up and sampling, or sampling alone after :meth:`warmup` or when
        :attr:`post_warmup_state` is set.

        An interrupt (Ctrl-C) during sampling ends the run; the draws up to there are kept. During warm-up, when there
        are none, ``KeyboardInterrupt`` is raised. Either way the next call with the same random key, data and settings,
        or :meth:`resume`, completes the run, with the draws that it would have had without the interrupt. Any other
        call begins anew.

        :param rng_key: random key; all chains' keys are made from it.
        :param args: arguments of the model.
        :param extra_fields: names of further fields of the kernel's state to collect, such as ``"num_steps"`` or
            ``"adapt_state.step_size"``.
        :param init_params: where to start, in unconstrained space. With several chains each array has a leading axis of
            chains.
        :param kwargs: keyword arguments of the model.
        :raises RuntimeError: if no start with finite potential energy and gradient is found.
        :raises CheckpointError: if there is a checkpoint, but it is damaged or belongs to another run.

        It may be called within a function that ``jax.jit``, ``jax.vmap`` or another transformation takes, and then
        :meth:`get_samples` as well. There is no progress bar there, no checkpoint and no warning; chains that
        ``"parallel"`` would spread are vectorized; where NUTS or HMC find no start, the draws are NaN.

        If the draws show that they may mislead, there is a :class:`~numpyro.diagnostics.DiagnosticWarning` for each of
        the signs; see :meth:`diagnose`.
        """
        if self._warmup_state is None:
            self._warmup_draws = None
        self._run(
            "run",
            Request(rng_key, args, kwargs, tuple(extra_fields), init_params, self._warmup_state),
            self._plan(self._warmup_state),
        )
        self._warn_of_signs()

    def _plan(self, resumed: Any) -> Plan:
        """What :meth:`run` does, going on from the state ``resumed``, or from the start if that is None."""
        start = 0 if resumed is None else self.num_warmup
        if resumed is not None and isinstance(getattr(resumed, "i", None), jax.Array | np.ndarray):
            if not isinstance(resumed.i, jax.core.Tracer):
                start = int(np.max(np.asarray(resumed.i)))
            elif resumed is not self._warmed_up:
                raise ValueError(
                    "a run within jax.jit, jax.vmap or another transformation cannot go on from a state that is an "
                    "argument or a result there, since the number of its iterations is not known. Call `warmup` and "
                    "`run` there, or set `post_warmup_state` to the state of a run outside."
                )
        # A state from the midst of the warm-up completes it first.
        begin = max(start, self.num_warmup)
        kept = self.num_samples // self.thinning
        return Plan(
            start, begin + self.num_samples, begin + self.num_samples % self.thinning, kept, kept, self.thinning
        )

    def resume(self, *args: Any, **kwargs: Any) -> None:
        """Complete the run (or warm-up) that was interrupted, with the draws that it would have had otherwise.

        :param args: arguments of the model, the same as before.
        :param kwargs: keyword arguments of the model, the same as before.
        :raises RuntimeError: if no run was interrupted.
        :raises ValueError: if the model, the data or the settings have changed since.
        """
        unfinished = self._unfinished
        if unfinished is None:
            raise RuntimeError("there is nothing to resume: no run was interrupted. Call `run`.")
        self._run(unfinished.kind, unfinished.request(args, kwargs), Plan(*unfinished.plan), must_resume=True)
        if unfinished.kind == "warmup":
            self._warmup_state = self._last_state
        else:
            self._warn_of_signs()

    def _warn_of_signs(self) -> None:
        if diagnostic_warnings_enabled() and not is_tracing() and place(self.num_chains, self.chain_method).shows:
            for message in self.diagnose():
                warnings.warn(message, DiagnosticWarning, stacklevel=find_stack_level())

    @property
    def is_unfinished(self) -> bool:
        """Whether the last run was interrupted and can be completed by :meth:`resume`."""
        return self._unfinished is not None

    def _run(self, kind: str, request: Request, plan: Plan, must_resume: bool = False) -> None:
        if not hasattr(request.rng_key, "dtype"):
            raise TypeError(
                f"`rng_key` must be a random key, but it is {request.rng_key!r}. "
                "Write mcmc.run(jax.random.PRNGKey(0), ...)."
            )
        self._check_init_params(request.init_params)
        self._args, self._kwargs = request.args, request.kwargs
        asked = {name.removeprefix(".") for name in (*request.extra_fields, *self.sampler.default_fields)}
        hidden = (f".{name}" for name in self.sampler.diagnostic_fields if name not in asked)
        request = request._replace(extra_fields=(*request.extra_fields, *hidden))
        if is_tracing():
            self._run_traced(request, plan)
            return
        placement = place(self.num_chains, self.chain_method)
        try:
            run, outcome = self._drive(kind, request, plan, placement, must_resume)
        except Exception:
            placement.worst(FAILED)
            raise
        outcome = placement.worst(outcome)
        if outcome == FAILED:
            raise RuntimeError("another process could not run its chains; the error is in its output.")
        if outcome == INTERRUPTED:
            if run is not None:
                self._interrupted(run)
            return
        if run is not None:
            states, last_state = run.collection.finish(run.carries)
        else:
            # The others may have been killed before they had all the draws.
            states, last_state = self._share(placement, self._states), placement.share(self._last_state)
        self._states = placement.gather(states, self.store == "host") if plan.kept else None
        self._last_state = placement.gather(last_state, False)
        self._drawn_chains = self.num_chains
        path = self._checkpoint_of(kind, placement)
        if path is not None and run is not None:
            self.save(path)
            self._wrote_checkpoint = True

    def _run_traced(self, request: Request, plan: Plan) -> None:
        """Run within a function that JAX transforms, as a part of its program."""
        if self.checkpoint is not None:
            raise ValueError(
                "there are no checkpoints of a run within jax.jit, jax.vmap or another transformation, since no "
                "iteration has happened yet when it is traced. Leave `checkpoint` out."
            )
        runner = make_runner(self, request, plan)
        carries = []
        for group in runner.groups:
            start = runner.start(group)
            carries.append(runner.marked(runner.advance(start, plan.stop, plan.first)))
        states, self._last_state = Collection(runner).finish(carries)
        self._states, self._unfinished, self._drawn_chains = states if plan.kept else None, None, self.num_chains

    def _drive(
        self, kind: str, request: Request, plan: Plan, placement: Placement, must_resume: bool
    ) -> tuple[Run | None, int]:
        """Run this process's chains, to the end or until an interrupt. There is no run if their draws were in a
        file."""
        runner = make_runner(self, request, plan)
        run = Run(kind, runner, plan, runner.start(runner.groups[0]))
        path = self._checkpoint_of(kind, placement)
        if path is not None and runner.in_step:
            raise ValueError(
                "there are no checkpoints of a run whose data are spread over several processes: leave `checkpoint` "
                "out, or save the run at its end."
            )
        found = None
        if path is not None and path.exists() and not self._wrote_checkpoint:
            found = files.read(path)
            _check_kernel(path, found, self.sampler)
        unfinished: Unfinished | None = self._unfinished if found is None else found["unfinished"]
        identity = self._identity = None
        if path is not None or unfinished is not None:
            identity = self._identity = identity_of(kind, runner, run.carries[0], self.num_warmup)
        if found is not None or must_resume:
            saved = unfinished.identity if unfinished is not None else found["identity"] if found else None
            _check_same(saved, identity or {}, path if found else None)
        if found is not None and unfinished is None:
            self._take(found)
            self._wrote_checkpoint = True
            return None, DONE
        if unfinished is not None and not differences(unfinished.identity, identity or {}):
            run.take_up(unfinished)
        self._unfinished = unfinished = found = None

        def checkpoint() -> None:
            assert path is not None and identity is not None
            self._write_unfinished(path, run, identity)

        every, write = (None, None) if path is None else (self.checkpoint_every, checkpoint)
        show = self.progress_bar and placement.shows
        interrupted = run.drive(show, self.num_warmup, self.progress_rate, every, write)
        return run, INTERRUPTED if interrupted else DONE

    def _share(self, placement: Placement, states: Any) -> Any:
        """This process's part of all the draws."""
        if placement.num_processes == 1 or states is None:
            return states
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), placement.share(_by_chain(states, self.num_chains)))

    def _interrupted(self, run: Run) -> None:
        """Keep what a run has come to, and say so."""
        placement, plan = run.runner.placement, run.plan
        self._keep(run)
        path = self._checkpoint_of(run.kind, placement)
        if path is not None:
            assert self._identity is not None
            self._write_unfinished(path, run, self._identity)
        if self._states is None:
            message = f"MCMC was interrupted at iteration {run.iteration}, before there were draws. {_HOW_TO_GO_ON}"
            warnings.warn(message, stacklevel=find_stack_level())
            raise KeyboardInterrupt
        kept = plan.kept_before(run.iteration)
        is_partial = len(run.carries) == 1 and kept < plan.kept
        what = f"the {kept} draws" if is_partial else f"the draws of {self._drawn_chains} chain(s)"
        message = f"MCMC was interrupted; {what} that are complete are kept. {_HOW_TO_GO_ON}"
        warnings.warn(message, stacklevel=find_stack_level())

    def _write_unfinished(self, path: Path, run: Run, identity: dict[str, str]) -> None:
        files.write(path, self._content(None, run.interrupted(identity), run.last_state()))
        self._wrote_checkpoint = True

    def _checkpoint_of(self, kind: str, placement: Placement) -> Path | None:
        """The file of this process's chains."""
        path = self.checkpoint
        if path is None or kind != "run":
            return None
        if placement.num_processes == 1:
            return path
        return path.with_name(f"{path.stem}-{jax.process_index()}{path.suffix}")

    def _keep(self, run: Run) -> None:
        """Keep what an interrupted run has come to."""
        runner = run.runner
        identity = self._identity or identity_of(run.kind, runner, run.carries[0], self.num_warmup)
        self._unfinished = run.interrupted(identity)
        self._last_state = run.last_state()
        self._take_parts(self._unfinished)

    def _take_parts(self, unfinished: Unfinished) -> None:
        kept = Plan(*unfinished.plan).kept
        self._states, self._drawn_chains = flat_states(unfinished.parts, kept)
        if kept == 0 or not any(len(x) for x in jax.tree.leaves(self._states)):
            self._states = None
        elif self.store == "device":
            self._states = jax.tree.map(jnp.asarray, self._states)

    def _check_init_params(self, init_params: Any) -> None:
        if init_params is None or self.num_chains == 1:
            return
        for leaf in jax.tree.leaves(init_params):
            if np.ndim(leaf) == 0 or np.shape(leaf)[0] != self.num_chains:
                raise ValueError(
                    f"`init_params` needs a leading axis over the {self.num_chains} chains, one start for each, but "
                    f"one of its arrays has shape {np.shape(leaf)}."
                )

    # Keeping

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the draws, the state and the settings to a file, from which :meth:`load` makes this object again.

        The kernel with its model, the model's arguments and functions such as ``postprocess_fn`` are not in the file.
        It holds arrays and a description of them; nothing in it is executed when it is read. It replaces one that is
        there in one step.

        :param path: where the file is to be, such as ``"schools.npz"``.
        :raises RuntimeError: if there was no run yet.
        """
        if self._states is None and self._last_state is None:
            raise RuntimeError("there is nothing to save yet: call `run` first.")
        files.write(path, self._content(self._states, self._unfinished, self._last_state))

    def _content(self, states: Any, unfinished: Unfinished | None, last_state: Any) -> dict[str, Any]:
        method = self.chain_method if isinstance(self.chain_method, str) else None
        return {
            "settings": {name: getattr(self, name) for name in _SAVED} | {"chain_method": method},
            "has_postprocess_fn": self.postprocess_fn is not None,
            "kernel": type(self.sampler).__qualname__,
            "states": states if unfinished is None else None,
            "drawn_chains": self._drawn_chains,
            "last_state": last_state,
            "warmup_state": self._warmup_state,
            "unfinished": unfinished,
            "identity": self._identity,
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str], sampler: MCMCKernel, **settings: Any) -> MCMC:
        """Read what :meth:`save` or a checkpoint has written.

        :param path: the file.
        :param sampler: the kernel, made as it was then: it is code, which is not in the file.
        :param settings: arguments of :class:`MCMC` that may be other than they were, such as ``progress_bar`` or
            ``checkpoint``. A ``chain_method`` or ``postprocess_fn`` that is a function must be given again.
        :returns: an object with the draws and the state that there were. :meth:`resume` completes a run that was
            interrupted.
        :raises CheckpointError: if the file is damaged, no such file, or of another kind of kernel.
        """
        content = files.read(path)
        _check_kernel(path, content, sampler)
        fixed = set(settings) & {"num_warmup", "num_samples", "num_chains", "thinning"}
        if fixed:
            raise ValueError(f"{', '.join(sorted(fixed))} cannot change: the draws in {os.fspath(path)} depend on it.")
        saved = content["settings"]
        for name, is_missing in (
            ("chain_method", saved["chain_method"] is None),
            ("postprocess_fn", content["has_postprocess_fn"]),
        ):
            if is_missing and name not in settings:
                raise ValueError(f"the run in {os.fspath(path)} had a function as {name}: pass it again, {name}=...")
        mcmc = cls(sampler, **(saved | settings))
        mcmc._take(content)
        return mcmc

    def _take(self, content: dict[str, Any]) -> None:
        """Take in what a file holds."""
        self._unfinished = content["unfinished"]
        self._identity = content["identity"]
        self._last_state = jax.device_put(content["last_state"])
        self._warmup_state = jax.device_put(content["warmup_state"])
        if self._unfinished is not None:
            self._take_parts(self._unfinished)
        else:
            states = content["states"]
            self._states = states if self.store == "host" else jax.device_put(states)
            self._drawn_chains = content["drawn_chains"]

    # Results

    def get_samples(self, group_by_chain: bool = False) -> Any:
        """The draws: for a model, a dict of the values of its latent and deterministic sites.

        :param group_by_chain: whether arrays have shape ``(num_chains, num_draws) + event_shape``, or
            ``(num_chains * num_draws,) + event_shape``.
        :raises RuntimeError: if there was no run yet.
        """
        return self._collected(group_by_chain)[self.sampler.sample_field]

    def get_extra_fields(self, group_by_chain: bool = False) -> dict[str, Any]:
        """The other fields that were collected, by name.

        :param group_by_chain: as in :meth:`get_samples`.
        """
        states = self._collected(group_by_chain)
        field = self.sampler.sample_field
        return {name: value for name, value in states.items() if name != field and not name.startswith(".")}

    def _collected(self, group_by_chain: bool) -> dict[str, Any]:
        if self._states is None:
            raise RuntimeError(
                "there are no draws yet: call `run` (or `warmup` with collect_warmup=True) before `get_samples`, "
                "`get_extra_fields` or `print_summary`."
            )
        return _by_chain(self._states, self._drawn_chains) if group_by_chain else self._states

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

    def diagnose(self) -> list[str]:
        """What is wrong with the draws, in one line each with what to do: divergences, chains that are stuck or
        disagree, few effective draws, trajectories cut off, energies that hardly change. The list is empty if there is
        nothing to say, or fewer than 100 draws of each chain, which say little. :meth:`run` warns of the same.
        """
        states = self._collected(group_by_chain=False)
        latent = getattr(self._last_state, self.sampler.sample_field, None)
        return diagnose(self.sampler, states, self._drawn_chains, self.thinning, latent)

    def to_arviz(
        self,
        *,
        coords: Mapping[str, Any] | None = None,
        dims: Mapping[str, Sequence[str | None]] | None = None,
        scan_dims: Sequence[str] = (),
        log_likelihood: bool = True,
        prior: Mapping[str, Any] | int | None = None,
        posterior_predictive: Mapping[str, Any] | bool | None = None,
        constant_data: Mapping[str, Any] | None = None,
        rng_key: Any = None,
        model_args: tuple[Any, ...] | None = None,
        model_kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """The run as ``arviz.InferenceData``, with dimensions named after the model's plates and scans.

        It holds the draws, statistics of the sampler, the log likelihood of each observation and the observed data, and
        if :meth:`warmup` collected them, the draws of the warm-up.

        :param coords: for names of dimensions, the values along them; they are numbered by default.
        :param dims: for names of sites, the names of their dimensions, where they are to be others (None for ArviZ's
            default).
        :param scan_dims: names for the axes of the model's scans, in the order in which they appear; then follow
            ``scan``, ``scan_1``, ...
        :param log_likelihood: whether to evaluate it; it takes memory for each observation at each draw.
        :param prior: draws of latent sites and data from the model, as from
            ``Predictive(model, num_samples=500)(key)``; or a number of draws to make here, for which observed sites are
            drawn as well.
        :param posterior_predictive: draws of data given the draws of the run, as from
            ``Predictive(model, mcmc.get_samples())(key)``; or True to make them here.
        :param constant_data: arrays to keep beside; by default those among the model's arguments that are not observed.
        :param rng_key: random key for what is drawn here.
        :param model_args: arguments of the model, if they are to be other than those of the run, or are not known
            because the run was loaded from a file.
        :param model_kwargs: keyword arguments of the model, likewise.
        :raises ImportError: if the package ``arviz`` is missing (``pip install 'numpyro[arviz]'``).
        :raises ValueError: if coordinates or dimensions do not fit, naming them.
        """
        from numpyro.infer.inference_data import to_inference_data

        return to_inference_data(
            self,
            coords=coords,
            dims=dims,
            scan_dims=scan_dims,
            log_likelihood=log_likelihood,
            prior=prior,
            posterior_predictive=posterior_predictive,
            constant_data=constant_data,
            rng_key=rng_key,
            model_args=model_args,
            model_kwargs=model_kwargs,
        )

    @property
    def post_warmup_state(self) -> Any:
        """The state from which the next :meth:`run` goes on, or None to begin anew. Assign :attr:`last_state` to it to
        draw more."""
        return self._warmup_state

    @post_warmup_state.setter
    def post_warmup_state(self, state: Any) -> None:
        self._warmup_state = state

    @property
    def local_chains(self) -> range:
        """Numbers of the chains that this process runs: all of them, unless processes share them (see
        ``chain_method``)."""
        return place(self.num_chains, self.chain_method).chains

    @property
    def last_state(self) -> Any:
        """The kernel's state at the end of the last run; with several chains, stacked along a leading axis."""
        return self._last_state

    def transfer_states_to_host(self) -> None:
        """Move the draws from the device's memory to the host's."""
        self._states = jax.device_get(self._states)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_programs": {}}


_SAVED = (
    "num_warmup",
    "num_samples",
    "num_chains",
    "thinning",
    "progress_bar",
    "progress_rate",
    "jit_model_args",
    "store",
)


def _check_kernel(path: str | os.PathLike[str], content: Any, sampler: MCMCKernel) -> None:
    if not isinstance(content, dict) or "kernel" not in content:
        raise files.CheckpointError(f"{os.fspath(path)} does not hold a run of MCMC.")
    if content["kernel"] != type(sampler).__qualname__:
        raise files.CheckpointError(
            f"{os.fspath(path)} holds a run of {content['kernel']}, but the kernel given is a "
            f"{type(sampler).__qualname__}."
        )


def _check_same(saved: dict[str, str] | None, identity: dict[str, str], path: Path | None) -> None:
    """Raise the error for a run that is another one than the one that was saved."""
    if saved is None:
        raise files.CheckpointError(f"{path} was written by `save`, not by a checkpoint. Read it with MCMC.load.")
    changed = differences(saved, identity)
    if changed:
        where = "the run that was interrupted" if path is None else f"the one in the checkpoint {path}"
        remedy = "Begin anew by `run`" if path is None else "Remove the file or choose another one to begin anew"
        raise files.CheckpointError(
            f"this run is not {where}, so that it cannot go on with the same draws. What differs: "
            f"{', '.join(changed)}. {remedy}; to draw more from the state that was saved, set post_warmup_state to the "
            "last_state of MCMC.load."
        )


def _by_chain(tree: Any, chains: int) -> Any:
    """The draws with an axis of chains; arrays on the host stay there."""
    on_host = all(isinstance(x, np.ndarray) for x in jax.tree.leaves(tree))
    return _grouped(tree, chains) if on_host else _GROUPED(tree, chains)


def _grouped(tree: Any, chains: int) -> Any:
    return jax.tree.map(lambda x: x.reshape((chains, -1, *x.shape[1:])), tree)


_GROUPED = partial(jax.jit, static_argnums=1)(_grouped)

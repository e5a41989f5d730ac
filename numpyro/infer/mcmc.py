# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Running Markov chains: the user's interface.

:class:`MCMC` drives a :mod:`runner <numpyro.infer.runner>` chunk by chunk, so that progress can be shown and an
interrupt leaves the draws that there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
import math
import time
from typing import Any
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from numpyro.diagnostics import DiagnosticWarning, diagnostic_warnings_enabled, print_summary
from numpyro.infer.convergence import diagnose
from numpyro.infer.interrupt import InterruptGuard
from numpyro.infer.kernel import MCMCKernel
from numpyro.infer.progress import ProgressBar
from numpyro.infer.runner import Group, Plan, Request, Runner, make_runner
from numpyro.util import find_stack_level

__all__ = ["MCMC", "MCMCKernel"]

_CHUNKS = 20
_SECONDS_WITH_BAR, _SECONDS_WITHOUT = 0.1, 0.5


class MCMC:
    """Draws from a posterior distribution by Markov chains.

    :param sampler: the kernel, such as :class:`~numpyro.infer.hmc.NUTS`.
    :param num_warmup: number of iterations for adaptation, which are not kept.
    :param num_samples: number of iterations after that, for each chain.
    :param num_chains: number of chains.
    :param thinning: keep the last of every ``thinning`` draws.
    :param postprocess_fn: a function applied to each draw instead of the kernel's own, which maps unconstrained
        parameters to the values of the model's sites.
    :param chain_method: ``"parallel"`` (one device for each chain; if there are too few, the chains are drawn one after
        the other), ``"sequential"``, ``"vectorized"`` (all chains at once on one device), or a function that maps a
        function over the leading axis of its argument, such as ``jax.vmap``.
    :param progress_bar: whether to show progress.
    :param progress_rate: after how many iterations the bar moves. Default: often enough to look smooth, seldom enough
        to cost nothing.
    :param jit_model_args: whether arrays among the model's arguments are inputs of the compiled program, so that other
        data of the same shape need no compilation. HMC, NUTS and all kernels that are pure do so anyhow, unless the
        model needs the values in Python.
    :raises ValueError: for numbers out of range or an unknown ``chain_method``.

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
        devices = jax.local_device_count() if num_chains > 1 else 1
        if chain_method == "parallel" and num_chains > devices:
            warnings.warn(
                f"{num_chains} chains are to run in parallel, but JAX has {devices} device(s): they run one after the "
                f"other. On a CPU, call numpyro.set_host_device_count({num_chains}) before anything else, or write "
                'chain_method="vectorized".',
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
        self._states: dict[str, Any] | None = None
        self._last_state: Any = None
        self._warmup_state: Any = None
        self._drawn_chains = 0
        self._args: tuple[Any, ...] | None = None
        self._kwargs: dict[str, Any] | None = None
        self._warmup_draws: Any = None
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
        self._run(Request(rng_key, args, kwargs, tuple(extra_fields), init_params, None), plan)
        self._warmup_state = self._last_state
        self._warmup_draws = self._states if collect_warmup else None

    def run(
        self, rng_key: Any, *args: Any, extra_fields: Sequence[str] = (), init_params: Any = None, **kwargs: Any
    ) -> None:
        """Run the chains: warm-up and sampling, or sampling alone after :meth:`warmup` or when
        :attr:`post_warmup_state` is set.

        An interrupt (Ctrl-C) during sampling ends the run; the draws up to there are kept.

        :param rng_key: random key; all chains' keys are made from it.
        :param args: arguments of the model.
        :param extra_fields: names of further fields of the kernel's state to collect, such as ``"num_steps"`` or
            ``"adapt_state.step_size"``.
        :param init_params: where to start, in unconstrained space. With several chains each array has a leading axis of
            chains.
        :param kwargs: keyword arguments of the model.
        :raises RuntimeError: if no start with finite potential energy and gradient is found.

        If the draws show that they may mislead, there is a :class:`~numpyro.diagnostics.DiagnosticWarning` for each of
        the signs; see :meth:`diagnose`.
        """
        resumed = self._warmup_state
        if resumed is None:
            self._warmup_draws = None
        start = self.num_warmup
        if resumed is not None and isinstance(getattr(resumed, "i", None), jax.Array | np.ndarray):
            start = int(np.max(np.asarray(resumed.i)))
        plan = Plan(
            start if resumed is not None else 0,
            start + self.num_samples,
            start + self.num_samples % self.thinning,
            self.num_samples // self.thinning,
            self.num_samples // self.thinning,
            self.thinning,
        )
        self._run(Request(rng_key, args, kwargs, tuple(extra_fields), init_params, resumed), plan)
        if diagnostic_warnings_enabled():
            for message in self.diagnose():
                warnings.warn(message, DiagnosticWarning, stacklevel=find_stack_level())

    def _run(self, request: Request, plan: Plan) -> None:
        if not hasattr(request.rng_key, "dtype"):
            raise TypeError(
                f"`rng_key` must be a random key, but it is {request.rng_key!r}. "
                "Write mcmc.run(jax.random.PRNGKey(0), ...)."
            )
        self._check_init_params(request.init_params)
        self._args, self._kwargs = request.args, request.kwargs
        asked = (*request.extra_fields, *self.sampler.default_fields)
        hidden = (f".{name}" for name in self.sampler.diagnostic_fields if name not in asked)
        request = request._replace(extra_fields=(*request.extra_fields, *hidden))
        runner = make_runner(self, request, plan)
        finished: list[Any] = []
        interrupted = False
        for group in runner.groups:
            carry, interrupted = self._drive(runner, group, plan)
            if not interrupted or not finished:
                finished.append(carry)
            if interrupted:
                break
        kept = plan.kept_before(runner.iteration(finished[0]))
        if interrupted:
            if kept == 0:
                raise KeyboardInterrupt
            what = f"the {kept} draws" if kept < plan.kept else f"the draws of {len(finished)} chain(s)"
            warnings.warn(f"MCMC was interrupted; {what} that are complete are kept.", stacklevel=find_stack_level())
        states, self._last_state = runner.finish(finished)
        self._drawn_chains = len(finished) if isinstance(runner.groups[0], int) else self.num_chains
        if kept < plan.kept:
            states = _first_draws(states, self._drawn_chains, plan.kept, kept)
        self._states = states if plan.kept else None

    def _drive(self, runner: Runner, group: Group, plan: Plan) -> tuple[Any, bool]:
        """Take a group of chains to the end, chunk by chunk. The second value tells whether that was interrupted."""
        total = plan.stop - plan.start
        chunk = self.progress_rate or max(1, math.ceil(total / _CHUNKS))
        seconds = _SECONDS_WITH_BAR if self.progress_bar else _SECONDS_WITHOUT
        labels = [""]
        if self.chain_method == "parallel" and self.num_chains > 1:
            labels = [f"Running chain {i}" for i in range(self.num_chains)]
        carry = runner.start(group)
        done = 0
        with (
            ProgressBar(total, self.num_warmup - plan.start, labels, self.progress_bar) as bar,
            InterruptGuard() as guard,
        ):
            try:
                while True:
                    began = time.perf_counter()
                    target = min(total, done + chunk)
                    carry = runner.advance(carry, plan.start + target)
                    runner.check(carry)
                    bar.update(target, runner.describe(carry) if self.progress_bar else "")
                    if target == total:
                        return carry, False
                    if guard.pending:
                        return carry, True
                    if self.progress_rate is None and done > 0:
                        chunk = max(1, int(seconds * (target - done) / max(time.perf_counter() - began, 1e-6)))
                    done = target
                    guard.holds = True
            except KeyboardInterrupt:
                if _is_lost(carry):
                    raise
                return carry, True

    def _check_init_params(self, init_params: Any) -> None:
        if init_params is None or self.num_chains == 1:
            return
        for leaf in jax.tree.leaves(init_params):
            if np.ndim(leaf) == 0 or np.shape(leaf)[0] != self.num_chains:
                raise ValueError(
                    f"`init_params` needs a leading axis over the {self.num_chains} chains, one start for each, but "
                    f"one of its arrays has shape {np.shape(leaf)}."
                )

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
    def last_state(self) -> Any:
        """The kernel's state at the end of the last run; with several chains, stacked along a leading axis."""
        return self._last_state

    def transfer_states_to_host(self) -> None:
        """Move the draws from the device's memory to the host's."""
        self._states = jax.device_get(self._states)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_programs": {}}


def _is_lost(carry: Any) -> bool:
    """Whether a carry was donated to a call that did not return."""
    return any(x.is_deleted() for x in jax.tree.leaves(carry) if isinstance(x, jax.Array))


def _by_chain(tree: Any, chains: int) -> Any:
    """The draws with an axis of chains; arrays on the host stay there."""
    on_host = all(isinstance(x, np.ndarray) for x in jax.tree.leaves(tree))
    return _grouped(tree, chains) if on_host else _GROUPED(tree, chains)


def _grouped(tree: Any, chains: int) -> Any:
    return jax.tree.map(lambda x: x.reshape((chains, -1, *x.shape[1:])), tree)


_GROUPED = partial(jax.jit, static_argnums=1)(_grouped)


def _first_draws(tree: Any, chains: int, size: int, kept: int) -> Any:
    """The first ``kept`` of ``size`` draws of each chain."""

    def cut(x: Any) -> jax.Array:
        grouped = np.asarray(x).reshape((chains, size) + np.shape(x)[1:])
        return jnp.asarray(grouped[:, :kept].reshape((chains * kept,) + np.shape(x)[1:]))

    return jax.tree.map(cut, tree)

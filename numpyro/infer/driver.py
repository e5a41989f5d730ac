# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Driving a runner chunk by chunk.

Between two chunks progress is shown, full buffers are emptied, checkpoints are written, and an interrupt ends the run.
Where the chunks end has no influence on the draws.
"""

from __future__ import annotations

from collections.abc import Callable
import math
import time
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from numpyro.infer.collection import Collection, is_lost
from numpyro.infer.hmc import HMC
from numpyro.infer.hmc_runner import HMCRunner
from numpyro.infer.interrupt import InterruptGuard
from numpyro.infer.kernel_runner import KernelRunner
from numpyro.infer.progress import MAX_LINES, ProgressBar
from numpyro.infer.runner import Group, Plan, Request, Runner
from numpyro.infer.unfinished import Unfinished, restored, taken_apart

if TYPE_CHECKING:
    from numpyro.infer.mcmc import MCMC

__all__ = ["Run", "make_runner"]

_CHUNKS = 20
_SECONDS_WITH_BAR, _SECONDS_WITHOUT = 0.1, 0.5


def make_runner(mcmc: MCMC, request: Request, plan: Plan) -> Runner:
    """The runner for the kernel of ``mcmc``."""
    kernel = mcmc.sampler
    is_hmc = isinstance(kernel, HMC) and type(kernel).sample is HMC.sample and type(kernel).init is HMC.init
    return HMCRunner(mcmc, request, plan) if is_hmc else KernelRunner(mcmc, request, plan)


class Run:
    """A run, from where it begins to where it ends or is interrupted.

    :param kind: ``"run"`` or ``"warmup"``.
    :param runner: what advances chains.
    :param plan: which iterations to run.
    :param carry: of the runner's first group, before its first iteration.
    :ivar carries: of all groups that were started.
    :ivar iteration: where the last one of them is.
    """

    def __init__(self, kind: str, runner: Runner, plan: Plan, carry: Any) -> None:
        self.kind, self.runner, self.plan = kind, runner, plan
        self.carries = [carry]
        self.iteration = plan.start
        self.collection = Collection(runner)
        self.collection.prepare(carry)
        self._divergences: np.ndarray = np.zeros(runner.count, int)
        self._counted = 0
        self._is_new = True

    def take_up(self, unfinished: Unfinished) -> None:
        """Go on from where another run was interrupted.

        :raises ValueError: if its state does not look like one of this runner.
        """
        runner, carries = self.runner, self.carries
        for group in runner.groups[1 : len(unfinished.carries)]:
            carries.append(runner.start(group))
        last = len(carries) - 1
        self.collection.restore(unfinished.parts, carries[0][-1])
        for number, leaves in enumerate(unfinished.carries):
            is_over = number < last or unfinished.iteration == self.plan.stop
            template = self._without_draws(carries[number]) if is_over else carries[number]
            carries[number] = restored(leaves, template)
        self.iteration = unfinished.iteration
        self.collection.fill(self.iteration)
        self._is_new = self.iteration == self.plan.start

    def interrupted(self, identity: dict[str, str]) -> Unfinished:
        """The run as it stands."""
        runner, carries = self.runner, self.carries
        group = runner.groups[len(carries) - 1]
        if self.iteration < self.plan.stop:
            self.collection.store(carries[-1], group, self.iteration)
        request = runner.asked
        return Unfinished(
            kind=self.kind,
            identity=identity,
            rng_key=request.rng_key,
            extra_fields=request.extra_fields,
            init_params=request.init_params,
            resumed=request.resumed,
            plan=list(self.plan),
            carries=[taken_apart(carry) for carry in carries],
            iteration=self.iteration,
            parts=self.collection.so_far(carries, self.iteration),
        )

    def last_state(self) -> Any:
        """The state of the chains that are at their ends, or of the first one."""
        is_over = self.iteration == self.plan.stop
        carries = self.carries if is_over or len(self.carries) == 1 else self.carries[:-1]
        return self.collection.last_state(carries)

    def drive(
        self,
        show: bool,
        num_warmup: int,
        rate: int | None = None,
        every: int | None = None,
        checkpoint: Callable[[], None] | None = None,
    ) -> bool:
        """Take all chains to their ends. Returns whether that was interrupted.

        :param show: whether to show progress.
        :param num_warmup: number of the last iteration of the warm-up.
        :param rate: number of iterations of a chunk; None for as many as take a tenth of a second.
        :param every: number of iterations from one checkpoint to the next.
        :param checkpoint: writes one.
        """
        runner, plan = self.runner, self.plan
        total = plan.stop - plan.start
        with (
            ProgressBar(total, num_warmup - plan.start, runner.count, show) as bar,
            InterruptGuard() as guard,
        ):
            while True:
                if self._drive_group(bar, guard, show, rate, every, checkpoint):
                    return True
                if len(self.carries) == len(runner.groups):
                    return False
                if runner.agreed(guard.pending):
                    return True
                self.carries.append(runner.start(runner.groups[len(self.carries)]))
                self.iteration, self._is_new = plan.start, True

    def _drive_group(
        self,
        bar: ProgressBar,
        guard: InterruptGuard,
        show: bool,
        rate: int | None,
        every: int | None,
        checkpoint: Callable[[], None] | None,
    ) -> bool:
        runner, plan, collection = self.runner, self.plan, self.collection
        group = runner.groups[len(self.carries) - 1]
        chunk = rate or max(1, math.ceil((plan.stop - plan.start) / _CHUNKS))
        seconds = _SECONDS_WITH_BAR if show else _SECONDS_WITHOUT
        self._counted = plan.kept_before(self.iteration)
        if show:
            bar.begin(_chains(group), self.iteration - plan.start)
        is_first = True
        try:
            # A run of no iterations finds the start.
            while self.iteration < plan.stop or (self._is_new and is_first):
                began, at = time.perf_counter(), self.iteration
                stop = min(at + chunk, collection.boundary(at))
                if every is not None:
                    stop = min(stop, (at // every + 1) * every)
                self.carries[-1] = runner.advance(self.carries[-1], stop, collection.fill(at))
                runner.check(self.carries[-1])
                self.iteration = stop
                bar.update(_chains(group), stop - plan.start, self._messages(group) if show else ())
                if stop == collection.boundary(at):
                    collection.store(self.carries[-1], group, stop)
                if rate is None and not is_first and not runner.in_step:
                    chunk = max(1, int(seconds * (stop - at) / max(time.perf_counter() - began, 1e-6)))
                if stop == plan.stop:
                    break
                if runner.agreed(guard.pending):
                    return True
                if checkpoint is not None and every is not None and stop % every == 0:
                    checkpoint()
                is_first = False
                guard.holds = True
        except KeyboardInterrupt:
            if is_lost((self.carries, collection.out)):
                raise
            self.iteration = runner.iteration(self.carries[-1])
            return True
        if collection.in_blocks:
            self.carries[-1] = self._without_draws(self.carries[-1])
        return False

    def _without_draws(self, carry: Any) -> Any:
        """What is left of a carry when its draws are among the others."""
        return (*carry[:-1], {}) if self.collection.in_blocks else carry

    # Progress

    def _messages(self, group: Group) -> list[str]:
        """What the bar says of the chains of a group."""
        chains = _chains(group)
        self._count_divergences(chains)
        carry = self.carries[-1]
        if len(chains) > MAX_LINES:
            messages = [_summary(self.runner, carry)]
            counts = [int(self._divergences[chains].sum())]
        else:
            messages = self.runner.describe(carry)
            messages = messages + messages[-1:] * (len(chains) - len(messages))
            counts = [int(self._divergences[chain]) for chain in chains]
        if "diverging" in self.runner.fields:
            shown = zip(messages, counts, strict=True)
            messages = [f"{message} {count} divergences" for message, count in shown]
        return messages

    def _count_divergences(self, chains: list[int]) -> None:
        """Add up the divergences among the draws that were kept since the last call. It has to be made before buffers
        are used again."""
        kept = self.plan.kept_before(self.iteration)
        if kept > self._counted and "diverging" in self.runner.fields:
            base = self.collection.base
            rows = slice(self._counted - base, kept - base)
            diverging = np.asarray(self.carries[-1][-1]["diverging"])
            self._divergences[chains] += diverging[..., rows].sum(-1)
        self._counted = kept


def _chains(group: Group) -> list[int]:
    return list(group) if isinstance(group, range) else [group]


def _summary(runner: Runner, carry: Any) -> str:
    """What a line says of many chains."""
    state = runner.state(carry)
    adapt_state = getattr(state, "adapt_state", None)
    known = [getattr(state, "num_steps", None), getattr(adapt_state, "step_size", None)]
    known.append(getattr(state, "mean_accept_prob", None))
    if any(x is None for x in known):
        return ""
    steps, sizes, accepted = (np.asarray(x) for x in jax.device_get(known))
    return (
        f"{steps.min()} to {steps.max()} steps of size {sizes.min():.2e} to {sizes.max():.2e}. "
        f"acc. prob={accepted.mean():.2f}"
    )

# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Progress bars of :class:`~numpyro.infer.mcmc.MCMC`, in terminals and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

__all__ = ["MAX_LINES", "ProgressBar"]

MAX_LINES = 8
"""Up to so many chains have a line each; more of them share one."""


class ProgressBar:
    """A line for each chain, or one for all of them if they are many and go on together.

    A line says ``warmup`` or ``sample``, how far the chain is, how fast it goes, and what the kernel tells of it.

    :param total: number of iterations of a chain.
    :param num_warmup: how many of them are warm-up.
    :param num_chains: number of chains.
    :param enabled: whether to show anything.
    """

    def __init__(self, total: int, num_warmup: int, num_chains: int = 1, enabled: bool = True) -> None:
        self._total, self._num_warmup, self._num_chains, self._enabled = total, num_warmup, num_chains, enabled
        self._bars: dict[int, Any] = {}

    def begin(self, chains: Sequence[int], done: int) -> None:
        """Show the lines of chains of which ``done`` iterations are done.

        :param chains: numbers of the chains; if they are more than :data:`MAX_LINES` they share a line.
        """
        if not self._enabled:
            return
        from tqdm.auto import tqdm

        for chain in chains if len(chains) <= MAX_LINES else chains[:1]:
            desc, position = self._description(chains, chain, done), len(self._bars)
            self._bars[chain] = tqdm(total=self._total, initial=done, desc=desc, position=position)

    def update(self, chains: Sequence[int], done: int, messages: Sequence[str] = ()) -> None:
        """Show that ``done`` iterations of ``chains`` are done.

        :param chains: as in :meth:`begin`.
        :param done: number of iterations.
        :param messages: what else to say of each of them; one message for all of them if they share a line.
        """
        for line, chain in enumerate(chains):
            bar = self._bars.get(chain)
            if bar is None:
                break
            bar.set_description_str(self._description(chains, chain, done), refresh=False)
            bar.set_postfix_str(messages[line] if messages else "", refresh=False)
            bar.update(done - bar.n)

    def _description(self, chains: Sequence[int], chain: int, done: int) -> str:
        phase = "warmup" if done <= self._num_warmup and self._num_warmup > 0 else "sample"
        if self._num_chains == 1:
            return phase
        return f"{len(chains)} chains: {phase}" if len(chains) > MAX_LINES else f"chain {chain}: {phase}"

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for bar in self._bars.values():
            bar.close()

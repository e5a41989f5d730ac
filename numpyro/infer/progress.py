# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Progress bars of :class:`~numpyro.infer.mcmc.MCMC`."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

__all__ = ["ProgressBar"]


class ProgressBar:
    """One line for each chain, or one for all of them.

    :param total: number of iterations.
    :param num_warmup: how many of them are warm-up.
    :param labels: names of the lines; a single line without a name says ``warmup`` or ``sample``.
    :param enabled: whether to show anything.
    """

    def __init__(self, total: int, num_warmup: int, labels: Sequence[str] = ("",), enabled: bool = True) -> None:
        self._num_warmup = num_warmup
        self._labels = labels if enabled else ()
        self._done = 0
        self._bars = []
        if enabled:
            from tqdm.auto import tqdm

            first = "warmup" if num_warmup > 0 else "sample"
            self._bars = [tqdm(total=total, position=i, desc=label or first) for i, label in enumerate(labels)]

    def update(self, done: int, message: str = "") -> None:
        """Show that ``done`` iterations are done."""
        for bar, label in zip(self._bars, self._labels, strict=True):
            if not label:
                bar.set_description("warmup" if done <= self._num_warmup else "sample", refresh=False)
            bar.set_postfix_str(message, refresh=False)
            bar.update(done - self._done)
        self._done = done

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for bar in self._bars:
            bar.close()

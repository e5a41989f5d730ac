# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Ctrl-C between two calls of a compiled program, instead of in the middle of one."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["InterruptGuard"]


class InterruptGuard:
    """Holds an interrupt back until it can be acted upon.

    An exception that arrives while a compiled program runs loses what the program returns, and the buffers that were
    donated to it are gone. While :attr:`holds` is true the first Ctrl-C only sets :attr:`pending`; a second one raises
    ``KeyboardInterrupt`` at once. Outside of the main thread, or where the program has a signal handler of its own,
    nothing is changed.
    """

    def __init__(self) -> None:
        self.holds = False
        self.pending = False
        self._previous: Any = None

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if not self.holds or self.pending:
            raise KeyboardInterrupt
        self.pending = True

    def __enter__(self) -> InterruptGuard:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

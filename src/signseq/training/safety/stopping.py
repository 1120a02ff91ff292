"""SIGTERM and SIGUSR1: how schedulers say that a run must leave its machine soon."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["EvaluationStoppedError", "StopRequest", "heed_signals", "outlive_signals"]

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))
# A scheduler's signal comes twice in a moment: from itself, and from torchrun, which hands it on.
SAME_SECONDS = 2.0
WORKER_SECONDS = 20.0  # that a worker goes on for, so that the step it works for can end


class EvaluationStoppedError(Exception):
    """A signal came while validation clips were scored; the run saves and ends."""


class StopRequest:
    """Whether this process was told to stop.

    Attributes:
        signal: The name of the first signal; None while there was none.
    """

    def __init__(self) -> None:
        self.signal: str | None = None
        self._since = 0.0

    def receive(self, number: int, _: FrameType | None = None) -> None:
        """Note a signal; a later one ends the process at once."""
        if self.signal is None:
            self.signal = signal.Signals(number).name
            self._since = time.monotonic()
        elif time.monotonic() - self._since >= SAME_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


@contextmanager
def heed_signals(request: StopRequest) -> Iterator[None]:
    """Let signals be noted in `request` for a while, where they may be: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, request.receive) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def outlive_signals(_: int = 0) -> None:
    """In a loader's worker: go on for a while after a signal to all processes, then end quietly.

    A worker that dies at once takes the training process with it before that has saved.
    """
    for number in SIGNALS:
        signal.signal(number, _end_later)


def _end_later(_: int, __: FrameType | None) -> None:
    timer = threading.Timer(WORKER_SECONDS, os._exit, args=(0,))
    timer.daemon = True
    timer.start()

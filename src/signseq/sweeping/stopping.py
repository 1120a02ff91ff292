"""How a sweep stops: told by a signal, or because the sweep that started it as a worker is gone."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from signseq.errors import StoppedError
from signseq.training.safety.stopping import StopRequest, heed_signals

__all__ = ["PARENT", "Told", "stoppable"]

PARENT = "SIGNSEQ_SWEEP_PARENT"  # the id of the process whose worker this one is
WATCH_SECONDS = 0.5  # between a worker's looks at whether its parent is still there


class Told(BaseException):
    """A signal came: as Ctrl-C's exception, nothing that means to catch mistakes catches it."""


class RaisingRequest(StopRequest):
    """Ends what runs at the first signal; while a trial trains, the trial's own request is asked."""

    def receive(self, number: int, _: FrameType | None = None) -> None:
        """Raise at the first signal; the same one, handed on by another process, is not a second."""
        is_first = self.signal is None
        super().receive(number)
        if is_first:
            raise Told


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn SIGTERM and SIGUSR1 into an orderly stop; a worker stops when its parent is gone, too.

    Raises:
        StoppedError: If a signal came, or a trial was stopped by one.
    """
    request = RaisingRequest()
    try:
        with heed_signals(request):
            _watch_parent()
            yield
    except (Told, StoppedError) as fault:
        told = f" by {request.signal}" if request.signal else ""
        raise StoppedError(
            f"The sweep was stopped{told}. The same command goes on: trials that have ended are kept, the others go on "
            "from their last checkpoints."
        ) from fault


def _watch_parent() -> None:
    """Where this process is a worker, stop it in order when its parent was killed."""
    if (parent := os.environ.pop(PARENT, None)) is not None:
        threading.Thread(target=_stop_with, args=(int(parent),), daemon=True).start()


def _stop_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)

"""`python -m signseq.training.launch`: torchrun with an end that says what happened.

torchrun ends with 1 and a page of its own, whatever its processes ended with, and on a signal gives
them half a minute. Here they have the time to save, and what they end with is passed on. One that is
stuck is not waited for as long.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from signseq.console import EXIT_FILE

__all__ = ["main"]

SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
SHUTDOWN_SECONDS = "600"  # to save in, after a signal; the scheduler may have less patience


def main(arguments: Sequence[str]) -> int:
    """Start the processes and wait for them.

    Args:
        arguments: What torchrun takes.

    Returns:
        0; the exit code that all processes agreed on, such as 75 for a run that was told to stop; 128
        and the signal's number where one ended them without; otherwise 1.
    """
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    run: Any = torchrun
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", SHUTDOWN_SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        agreed = Path(folder) / "exit"
        os.environ[EXIT_FILE] = str(agreed)
        _watch_after_a_signal(Path(folder))
        try:
            run.run(run.parse_args(["--signals-to-handle", SIGNALS, *arguments]))
        except SignalException as fault:
            return _read(agreed) or 128 + int(fault.sigval)
        except ChildFailedError as fault:
            if code := _read(agreed):
                return code
            rank, failure = fault.get_first_failure()
            how = (
                f"was killed by {signal.Signals(-failure.exitcode).name}"
                if failure.exitcode < 0
                else f"ended with exit code {failure.exitcode}"
            )
            where = f"process {rank} (pid {failure.pid} on {socket.gethostname()})"
            sys.stderr.write(f"The run has ended: {where} {how}.\n")
            return 1
    return 0


def _watch_after_a_signal(folder: Path) -> None:
    """Start a thread that waits for the first signal, and then ends those that are silent."""
    told, tell = socket.socketpair()
    tell.setblocking(False)
    signal.set_wakeup_fd(tell.fileno(), warn_on_full_buffer=False)

    def watch() -> None:
        with tell:  # kept open as long as signals may come
            told.recv(1)
            _end_silent(folder)

    threading.Thread(target=watch, daemon=True).start()


def _end_silent(folder: Path) -> None:
    """End each process that is there no more, see `tell_launcher`, or that says nothing after the signal.

    One that saves goes on saying that it is there; one that has not begun to has nothing to save, and
    would have ended by the signal.
    """
    from signseq.training.safety.heartbeat import BEAT_SECONDS, SILENT_SECONDS

    signalled = time.time()
    me = os.getpid()
    while True:
        time.sleep(BEAT_SECONDS)
        with suppress(OSError):  # no such file on this system: torchrun's patience counts
            for child in Path(f"/proc/{me}/task/{me}/children").read_text(encoding="ascii").split():
                word = folder / child
                heard = word.stat().st_mtime if word.exists() else 0.0
                if time.time() - max(signalled, heard) > SILENT_SECONDS:
                    sys.stderr.write(
                        f"Nothing was heard of the process with pid {child} for {SILENT_SECONDS:.0f} seconds "
                        "after it was told to end; it is killed.\n"
                    )
                    os.kill(int(child), signal.SIGKILL)


def _read(file: Path) -> int:
    return int(file.read_text(encoding="utf-8")) if file.exists() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

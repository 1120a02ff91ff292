"""Which of a run's processes are still there: those that wait for a dead one don't wait for ever.

torchrun ends the processes of its own machine when one of them dies. It sees neither one that is
stuck nor a machine that is gone; then all the others wait in their next exchange, for half an hour
by default. So each process says now and then that it's there, in a thread of its own, from before
anything is loaded until the run's end.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch.distributed.distributed_c10d import Store

from signseq.console import EXIT_FILE
from signseq.errors import SignSeqError

__all__ = [
    "BEAT_SECONDS",
    "SILENT_SECONDS",
    "Heartbeat",
    "LostProcessError",
    "lost_processes_named",
    "tell_launcher",
]

logger = logging.getLogger(__name__)
BEAT_SECONDS = 3.0
SILENT_SECONDS = 45.0  # a process that says nothing for so long is taken for dead
FIRST_SECONDS = 300.0  # until its first word: Python and torch may come from a slow disk
NOTICE_SECONDS = 10.0  # after a broken connection: time in which the silent ones show
EXIT_CODE = 1

# What torch says, in a RuntimeError of any kind, when the other end is gone.
SIGNS_OF_A_LOST_PROCESS = (
    *("Connection closed by peer", "Connection reset by peer", "Broken pipe"),
    *("ncclRemoteError", "remote process exited", "Socket Timeout", "Timed out waiting"),
)


class LostProcessError(SignSeqError):
    """Another process of this run ended, or can't be reached any more."""


@dataclass
class _Other:
    """What is known of another process; `last` is its last word, heard at `since`."""

    rank: int
    since: float
    last: str = ""

    @property
    def place(self) -> tuple[int, str]:
        """Its process number and its machine, which each of its words says."""
        _, pid, machine = self.last.split(maxsplit=2)
        return int(pid), machine

    @property
    def name(self) -> str:
        if not self.last:
            return f"process {self.rank}"
        pid, machine = self.place
        return f"process {self.rank} (pid {pid} on {machine})"

    @property
    def is_lost(self) -> bool:
        silence = time.monotonic() - self.since
        return silence > (SILENT_SECONDS if self.last else FIRST_SECONDS)

    def describe_silence(self) -> str:
        if not self.last:
            return f"{self.name} in the first {FIRST_SECONDS:.0f} seconds"
        return f"{self.name} for {SILENT_SECONDS:.0f} seconds"


class Heartbeat:
    """Tells the other processes that this one is there, and watches them.

    Args:
        rank: This process's number.
        world_size: How many there are.
        store: Where they leave word for each other; a connection of the thread's own.
    """

    def __init__(self, *, rank: int, world_size: int, store: Store) -> None:
        self.rank = rank
        self.store = store
        self._stop = threading.Event()
        now = time.monotonic()
        self.others = [_Other(other, now) for other in range(world_size) if other != rank]
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        count = 0
        while True:
            count += 1
            try:
                self.store.set(f"beat/{self.rank}", f"{count} {os.getpid()} {socket.gethostname()}")
                self._listen()
            except (RuntimeError, OSError):  # the first machine, which holds the store, is gone
                for other in self.others:
                    if other.rank != 0:
                        other.since = time.monotonic()  # of these nothing can be heard now
            if any(other.is_lost for other in self.others):
                self._leave()
            if self._stop.wait(BEAT_SECONDS):
                return

    def _listen(self) -> None:
        now = time.monotonic()
        for other in self.others:
            key = f"beat/{other.rank}"
            word = self.store.get(key).decode() if self.store.check([key]) else ""
            if word != other.last:
                other.last, other.since = word, now

    def lost(self, seconds: float) -> list[_Other]:
        """Those that said nothing for so long."""
        now = time.monotonic()
        return [other for other in self.others if now - other.since > seconds]

    def _leave(self) -> None:
        """End this process from outside its main thread, which waits where nothing can wake it."""
        if self._stop.is_set():
            return
        lost = [other for other in self.others if other.is_lost]
        logger.error(
            "error: nothing was heard of %s, so the run ends. "
            "--resume goes on from the last checkpoint.",
            " and ".join(other.describe_silence() for other in lost),
        )
        logging.shutdown()
        for other in lost:
            _end_sibling(other)
        os._exit(EXIT_CODE)

    def stop(self) -> None:
        """Say nothing more, and watch no more."""
        self._stop.set()
        self._thread.join(timeout=BEAT_SECONDS)


def _end_sibling(other: _Other) -> None:
    """End a silent process that the same launcher started, which would ask it for half a minute first.

    Whose child it is tells whether it is the one that is meant: machines may share names, and containers have
    process numbers of their own.
    """
    if not other.last or other.place[1] != socket.gethostname():
        return
    pid = other.place[0]
    with suppress(OSError, ValueError):  # it is gone, or this system has no such files
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
        if int(after_name.split()[1]) == os.getppid():
            os.kill(pid, signal.SIGKILL)


def _open_store(rank: int) -> Store:
    """A connection of our own to the store where the processes meet, which is there before their group is.

    torchrun holds it itself; where another program started the processes, the first one does.
    """
    open_store: Any = dist.TCPStore  # type: ignore[attr-defined]
    is_torchruns = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = open_store(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=rank == 0 and not is_torchruns,
        wait_for_workers=False,
        multi_tenant=True,  # the process group will meet at this port, too
        timeout=timedelta(seconds=FIRST_SECONDS),
    )
    named: Store = dist.PrefixStore("signseq", store)  # type: ignore[attr-defined]
    return named


@contextmanager
def lost_processes_named() -> Iterator[None]:
    """Watch over the other processes of a run, and say which one it was when one is lost.

    Nothing needs to be loaded before, and the process group needn't be there: torch's environment
    variables say who the others are.

    Raises:
        LostProcessError: If another process ended while this one needed it.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1 or "MASTER_PORT" not in os.environ:
        yield
        return
    rank = int(os.environ["RANK"])
    heart = Heartbeat(rank=rank, world_size=world_size, store=_open_store(rank))
    try:
        yield
        if dist.is_initialized():
            dist.barrier()  # one that goes earlier would be taken for dead
    except RuntimeError as fault:
        if not any(sign in str(fault) for sign in SIGNS_OF_A_LOST_PROCESS):
            raise
        time.sleep(NOTICE_SECONDS)
        lost = heart.lost(NOTICE_SECONDS - BEAT_SECONDS / 2)
        raise LostProcessError(
            f"{' and '.join(other.name for other in lost) or 'Another process'} of this run ended. "
            "--resume goes on from the last checkpoint."
        ) from fault
    finally:
        with suppress(RuntimeError):
            heart.stop()


def tell_launcher() -> None:
    """Say to our launcher, if one waits, that this process is there: until it ends, as it may have to save."""
    if EXIT_FILE not in os.environ:
        return
    place = Path(os.environ[EXIT_FILE]).with_name(str(os.getpid()))

    def touch() -> None:
        while True:
            with suppress(OSError):  # the launcher is gone
                place.touch()
            time.sleep(BEAT_SECONDS)

    threading.Thread(target=touch, daemon=True).start()

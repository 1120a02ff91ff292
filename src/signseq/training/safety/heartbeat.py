"""Which of a run's processes are still there: those that wait for a dead one don't wait for ever.

torchrun ends the processes of its own machine when one of them dies. It sees neither one that is
stuck nor a machine that is gone; then all the others wait in their next exchange, for half an hour
by default. So each process says now and then that it's there, in a thread of its own.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch.distributed.distributed_c10d import Store

from signseq.errors import SignSeqError

__all__ = ["Heartbeat", "LostProcessError", "lost_processes_named"]

logger = logging.getLogger(__name__)
BEAT_SECONDS = 3.0
SILENT_SECONDS = 45.0  # a process that says nothing for so long is taken for dead
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
    name: str
    pid: int
    machine: str
    last: bytes = b""
    since: float = 0.0


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
        store.set(f"place/{rank}", f"{os.getpid()} {socket.gethostname()}")
        self.others = {
            other: _describe(other, store.get(f"place/{other}").decode())
            for other in range(world_size)
            if other != rank
        }
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        count = 0
        while not self._stop.wait(BEAT_SECONDS):
            count += 1
            try:
                self.store.set(f"beat/{self.rank}", str(count))
                self._listen()
            except (RuntimeError, OSError):  # the first process, which holds the store, is gone
                for number, other in self.others.items():
                    if number != 0:
                        other.since = time.monotonic()  # of these nothing can be heard now
            if self.lost(SILENT_SECONDS):
                self._leave()

    def _listen(self) -> None:
        now = time.monotonic()
        for number, other in self.others.items():
            key = f"beat/{number}"
            word = self.store.get(key) if self.store.check([key]) else b""
            if word != other.last:
                other.last, other.since = word, now

    def lost(self, seconds: float) -> list[_Other]:
        """Those that said nothing for so long."""
        now = time.monotonic()
        return [other for other in self.others.values() if now - other.since > seconds]

    def _leave(self) -> None:
        """End this process from outside its main thread, which waits where nothing can wake it."""
        if self._stop.is_set():
            return
        lost = self.lost(SILENT_SECONDS)
        logger.error(
            "error: nothing was heard of %s for %.0f seconds, so the run ends. "
            "--resume goes on from the last checkpoint.",
            _names(lost),
            SILENT_SECONDS,
        )
        logging.shutdown()
        for other in lost:
            _end_sibling(other)
        os._exit(EXIT_CODE)

    def stop(self) -> None:
        """Say nothing more, and watch no more."""
        self._stop.set()
        self._thread.join(timeout=BEAT_SECONDS)


def _describe(rank: int, place: str) -> _Other:
    pid, machine = place.split(maxsplit=1)
    name = f"process {rank} (pid {pid} on {machine})"
    return _Other(name, int(pid), machine, since=time.monotonic())


def _names(others: Sequence[_Other]) -> str:
    return " and ".join(other.name for other in others)


def _end_sibling(other: _Other) -> None:
    """End a silent process that the same launcher started, which would ask it for half a minute first.

    Whose child it is tells whether it is the one that is meant: machines may share names, and containers have
    process numbers of their own.
    """
    if other.machine != socket.gethostname():
        return
    with suppress(OSError, ValueError):  # it is gone, or this system has no such files
        after_name = Path(f"/proc/{other.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
        if int(after_name.split()[1]) == os.getppid():
            os.kill(other.pid, signal.SIGKILL)


def _open_store() -> Store:
    """A store of our own, held by the first process, on a port that it finds free."""
    open_store: Any = dist.TCPStore  # type: ignore[attr-defined]
    rank = dist.get_rank()
    host = os.environ.get("MASTER_ADDR", "localhost")
    patience = timedelta(seconds=30)
    found: list[int | None] = [None]
    store: Store | None = None
    if rank == 0:
        store = opened = open_store(
            host, 0, is_master=True, wait_for_workers=False, timeout=patience
        )
        found = [opened.port]
    dist.broadcast_object_list(found)
    assert found[0] is not None
    if store is not None:
        return store
    store = open_store(host, found[0], is_master=False, wait_for_workers=False, timeout=patience)
    assert store is not None
    return store


@contextmanager
def lost_processes_named() -> Iterator[None]:
    """Watch over the other processes of a run, and say which one it was when one is lost.

    Raises:
        LostProcessError: If another process ended while this one needed it.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        yield
        return
    heart = Heartbeat(rank=dist.get_rank(), world_size=dist.get_world_size(), store=_open_store())
    try:
        yield
        dist.barrier()  # the first process holds the store, so it goes last
    except RuntimeError as fault:
        if not any(sign in str(fault) for sign in SIGNS_OF_A_LOST_PROCESS):
            raise
        time.sleep(NOTICE_SECONDS)
        lost = heart.lost(NOTICE_SECONDS - BEAT_SECONDS / 2)
        raise LostProcessError(
            f"{_names(lost) or 'Another process'} of this run ended. "
            "--resume goes on from the last checkpoint."
        ) from fault
    finally:
        with suppress(RuntimeError):
            heart.stop()

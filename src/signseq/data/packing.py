"""Packing the shards of a store in several processes, and keeping other runs out meanwhile."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from signseq.data.examples import Example
from signseq.data.shards import ShardReport, faults_named, read_report, write_shard
from signseq.errors import DataError
from signseq.poses.transforms import PoseRecipe
from signseq.progress import track

__all__ = ["LOCK", "lock_store", "pack_shards"]

logger = logging.getLogger(__name__)
LOCK = ".lock"  # in the folder of each split
# Forked processes start at once and need no main guard; elsewhere the system's own way is the safe one.
START_METHOD = "fork" if sys.platform == "linux" else None
WATCH_SECONDS = 0.2  # between a worker's looks at whether it is still wanted


@contextmanager
def lock_store(folder: Path) -> Iterator[None]:
    """Keep every other run out of a folder; ends with this process and its workers, however they end.

    Raises:
        DataError: If another run is in it, or it can't be written.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    with faults_named(folder):
        file = (folder / LOCK).open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            raise DataError(
                f"{folder}: another `signseq prepare` is writing this store. Wait until it is done, or stop it; "
                "then run this one again."
            ) from fault
        except OSError as fault:  # some network file systems
            logger.debug("%s: no lock (%s)", folder, fault)
        yield


def pack_shards(
    folder: Path,
    chunks: Iterable[Sequence[Example]],
    recipe: PoseRecipe,
    *,
    count: int,
    workers: int,
    label: str,
) -> list[ShardReport]:
    """Write the shards in parallel; at most two per worker are read ahead, so memory stays flat.

    Args:
        folder: The split's folder in the store.
        chunks: The examples of each shard.
        recipe: How poses are made ready.
        count: How many shards there will be.
        workers: Processes to use.
        label: What the progress is called.

    Raises:
        DataError: If a shard can't be written, or a process was ended from outside.
    """
    tasks = enumerate(chunks)
    if workers == 1 or count == 1:
        done = (write_shard(folder, number, chunk, recipe) for number, chunk in tasks)
        return list(track(done, total=count, label=label, unit="shard"))

    def run(pool: ProcessPoolExecutor) -> Iterator[ShardReport]:
        running: deque[Future[int]] = deque()
        for number, chunk in tasks:
            running.append(pool.submit(_write_shard, folder, number, chunk, recipe))
            if len(running) >= 2 * workers:
                yield _report_of(folder, running.popleft().result())
        while running:
            yield _report_of(folder, running.popleft().result())

    try:
        with _open_pool(min(workers, count)) as pool:
            return list(track(run(pool), total=count, label=label, unit="shard"))
    except BrokenProcessPool as fault:
        guard = (
            ""
            if START_METHOD == "fork"
            else " If a script of yours called this, call it below `if __name__ == '__main__':`, or with workers=1."
        )
        raise DataError(
            f"{folder}: a process was killed while it packed poses; perhaps memory ran out. "
            f"Run it again with fewer workers; what is packed is kept.{guard}"
        ) from fault


def _write_shard(folder: Path, number: int, examples: Sequence[Example], recipe: PoseRecipe) -> int:
    """Write a shard and return its number alone, its report being beside it.

    A pipe takes something so small at once. Of a report it may take half, and if its sender is
    killed then, the pool waits for the other half for ever.
    """
    write_shard(folder, number, examples, recipe)
    return number


def _report_of(folder: Path, number: int) -> ShardReport:
    path = folder / f"shard-{number:05d}.json"
    report = read_report(path)
    if report is None:
        raise DataError(
            f"{path}: the shard was changed or removed while the store was being written. Run the same command again."
        )
    return report


@contextmanager
def _open_pool(size: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes; after a fault they stop at once, in the middle of their shards."""
    context = multiprocessing.get_context(START_METHOD)
    # Nobody reads the word to stop, so all see it; an Event would wait for workers that were killed.
    stop, say_stop = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        size, mp_context=context, initializer=_start_worker, initargs=(os.getpid(), stop)
    )
    with stop, say_stop:
        try:
            yield pool
        except BaseException:
            with _ctrl_c_ignored():  # a second one would leave workers that nobody waits for
                say_stop.send_bytes(b"stop")
                pool.shutdown(cancel_futures=True)
            raise
        pool.shutdown()


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does, and only it gets Ctrl-C
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _start_worker(parent: int, stop: Connection) -> None:
    # Whose child it is, it is told: one killed just now has left it to another already.
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with, args=(parent, stop), daemon=True).start()


def _end_with(parent: int, stop: Connection) -> None:
    """A pool's processes outlive a killed parent, and would keep its lock."""
    while os.getppid() == parent and not stop.poll(WATCH_SECONDS):
        pass
    os._exit(1)

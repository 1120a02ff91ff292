"""Packing the shards of a store in several processes, and keeping other runs out meanwhile."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from signseq.data.examples import Example
from signseq.data.processes import ProcessKilledError, run_tasks
from signseq.data.scratch import try_to_lock
from signseq.data.shard_reports import ShardReport, shard_files, shard_name
from signseq.data.shards import faults_named, write_shard
from signseq.data.storage import LocalFolder, RemoteFolder, StoreFolder
from signseq.errors import DataError
from signseq.poses.transforms import PoseRecipe
from signseq.progress import track

__all__ = [
    "LOCK",
    "RESTARTS",
    "ShardTask",
    "list_tasks",
    "lock_store",
    "pack_shards",
    "put_in_order",
    "refuse_memory",
    "write_task",
]

logger = logging.getLogger(__name__)
LOCK = ".lock"  # in the folder of each split
# Forked processes start at once and need no main guard; elsewhere the system's own way is the safe one.
START_METHOD = "fork" if sys.platform == "linux" else None
RESTARTS = 2  # of a shard whose process is killed; where memory runs out, more would not help


@dataclass(frozen=True)
class ShardTask:
    """One shard to be written.

    Attributes:
        number: The shard's.
        examples: Its clips.
        there: The files of it that are there already, and their sizes.
    """

    number: int
    examples: Sequence[Example]
    there: Mapping[str, int]


@contextmanager
def lock_store(folder: StoreFolder) -> Iterator[None]:
    """Keep every other run out of a folder; ends with this process and its workers, however they end.

    Remote places have no locks. Two runs of one config write the same bytes there, so neither spoils the
    other; two of different configs must not go to one place, and the next run mends what they did.

    Raises:
        DataError: If another run is in it, or it can't be written.
    """
    if not isinstance(folder, LocalFolder):
        yield
        return
    with faults_named(folder):
        folder.path.mkdir(parents=True, exist_ok=True)
        file = (folder.path / LOCK).open("a")
    with file:
        try:
            is_ours = try_to_lock(file)
        except (ImportError, OSError) as fault:  # Windows, and some network file systems
            logger.debug("%s: no lock (%s)", folder, fault)
            is_ours = True
        if not is_ours:
            raise DataError(
                f"{folder}: another `signseq prepare` is writing this store. Wait until it is done, or stop it; "
                "then run this one again."
            )
        yield


def list_tasks(
    folder: StoreFolder, chunks: Iterable[Sequence[Example]], *, count: int
) -> Iterator[ShardTask]:
    """The shards to write, one after another; the folder is looked at once.

    Raises:
        DataError: If there are more than `count`.
    """
    with faults_named(folder):
        there = folder.sizes()
    for number, chunk in enumerate(chunks):
        if number == count:
            raise _other_number(folder, count, f"at least {count + 1}")
        names = shard_files(number).values()
        yield ShardTask(number, chunk, {name: there[name] for name in names if name in there})


def pack_shards(
    folder: StoreFolder,
    chunks: Iterable[Sequence[Example]],
    recipe: PoseRecipe,
    *,
    digests: Sequence[str],
    workers: int,
    label: str,
) -> list[ShardReport]:
    """Write the shards in parallel; one per worker is read at a time, so memory stays flat.

    Args:
        folder: The split's folder in the store.
        chunks: The examples of each shard.
        recipe: How poses are made ready.
        digests: Identify the shards, of which only how many there are matters here.
        workers: Processes to use.
        label: What the progress is called.

    Raises:
        DataError: If a shard can't be written, its process was ended from outside again and again, or the
            chunks are not as many as the digests.
    """
    count = len(digests)
    tasks = list_tasks(folder, chunks, count=count)
    with ExitStack() as stack:
        with faults_named(folder):
            scratch = stack.enter_context(folder.scratch())
        work = partial(write_task, folder=folder, recipe=recipe, scratch=scratch)
        if workers == 1 or count == 1:
            done_alone = track(map(work, tasks), total=count, label=label, unit="shard")
            return put_in_order(dict(enumerate(done_alone)), count=count, folder=folder)
        refuse_memory(folder, advice="Use one process (--workers 1)")
        try:
            with closing(
                run_tasks(
                    work,
                    tasks,
                    workers=min(workers, count),
                    start_method=START_METHOD,
                    restarts=RESTARTS,
                )
            ) as done:
                reports = dict(track(done, total=count, label=label, unit="shard"))
        except ProcessKilledError as fault:
            raise _name_killed(folder, fault) from fault
    return put_in_order(reports, count=count, folder=folder)


def put_in_order(
    reports: Mapping[int, ShardReport], *, count: int, folder: StoreFolder
) -> list[ShardReport]:
    """The reports of all shards in their order.

    Raises:
        DataError: If they are not those of so many shards.
    """
    if reports.keys() != set(range(count)):
        raise _other_number(folder, count, str(len(reports)))
    return [reports[number] for number in range(count)]


def _other_number(folder: StoreFolder, count: int, found: str) -> DataError:
    return DataError(
        f"{folder}: expected {count} shards, and there are {found}; the table was changed while it was packed. "
        "Run the same command again; what is packed is kept."
    )


def refuse_memory(folder: StoreFolder, *, advice: str) -> None:
    """Refuse a place that is another one in each process.

    Args:
        folder: The split's folder in the store.
        advice: What to do instead.

    Raises:
        DataError: If it is one.
    """
    if isinstance(folder, RemoteFolder) and folder.is_of_one_process:
        raise DataError(
            f"{folder}: each process has a memory of its own, so several can't write one store there. "
            f"{advice}, or choose another `data.store`."
        )


def write_task(
    task: ShardTask, *, folder: StoreFolder, recipe: PoseRecipe, scratch: Path | None
) -> ShardReport:
    """Write one shard; see `write_shard`."""
    return write_shard(
        folder, task.number, task.examples, recipe, scratch=scratch, there=task.there
    )


def _name_killed(folder: StoreFolder, fault: ProcessKilledError) -> DataError:
    shard = "" if fault.task is None else f"/{shard_name(fault.task)}"
    guard = (
        ""
        if START_METHOD == "fork"
        else " If a script of yours called this, call it below `if __name__ == '__main__':`, or with workers=1."
    )
    return DataError(
        f"{folder}{shard}: a process was killed while it packed poses; perhaps memory ran out. "
        f"Run it again with fewer workers; what is packed is kept.{guard}"
    )

"""Batches that other processes make, handed over in memory that all of them see.

torch's DataLoader hands batches over through a queue with its lock and thread, and a file descriptor for
each tensor; a small model's batch takes less time to make. Here each worker has a pipe of its own and a
few slots of memory from before it was forked: keys of clips go one way, sizes of tensors the other.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import signal
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from signseq.data.batching import BATCHES_AHEAD, BucketBatchSampler, ClipDataset, Key
from signseq.data.collation import Batch, Clip
from signseq.data.processes import end_with, open_result, work_off
from signseq.errors import DataError
from signseq.poses.transforms import PoseRecipe

__all__ = ["BatchReader", "BatchesAhead", "can_read_ahead", "size_of_slots"]

ALIGNMENT = 64  # bytes; where a tensor may begin in a slot
BYTES_OF_VALUE = 2  # float16
SPARE = 1.5  # masks and texts lie in a slot too, and another epoch's clips may be longer
Keys = list[Key]
# A tensor in a slot: its name, its type as numpy calls it, its shape, and where it begins.
Place = tuple[str, str, tuple[int, ...], int]


def can_read_ahead() -> bool:
    """Whether workers can be forked here, and so share memory that has no name: on Linux."""
    return sys.platform == "linux"


@dataclass(frozen=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    slots: tuple[mmap.mmap, ...]


class BatchReader(Dataset[Batch]):
    """Reads batches by their keys; those that were asked for before, workers have made meanwhile.

    Args:
        dataset: The clips.
        collate: Makes a batch of them.
        workers: Processes; they start when the first batch is asked for.
        slot_bytes: Shared memory for each batch that is ahead. A larger batch is made here in the end.
        is_copied: Whether a batch is copied, as by pinning its memory, before the next one is asked
            for. Else that is done here.
        begin: Called in each worker before all else.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        collate: Callable[[Sequence[Clip]], Batch],
        *,
        workers: int,
        slot_bytes: int,
        is_copied: bool = False,
        begin: Callable[[], object] | None = None,
    ) -> None:
        self.dataset = dataset
        self.collate = collate
        self.workers = workers
        self.slot_bytes = slot_bytes
        self.is_copied = is_copied
        self.begin = begin
        self._pool: list[_Worker] = []
        self._asked: deque[Keys] = deque()
        self._count = 0  # batches that were ever asked for
        weakref.finalize(self, _end, self._pool)

    def __len__(self) -> int:
        return len(self.dataset)

    def start(self) -> None:
        """Start the workers, unless they run.

        Raises:
            DataError: If they can't be started.
        """
        try:
            while len(self._pool) < self.workers:
                self._pool.append(self._start())
        except OSError as fault:
            self.close()
            raise DataError(
                f"The {self.workers} processes that read training clips can't be started ({fault.strerror}). "
                "Lower training.num_workers; with 0 the training process reads them itself."
            ) from fault

    @property
    def most_ahead(self) -> int:
        """Batches that may be asked for before the first of them is read."""
        return self.workers * BATCHES_AHEAD

    def ask(self, keys: Keys) -> None:
        """Have a worker make a batch. One too many ahead, and the oldest is dropped: nobody wants it any more.

        Raises:
            DataError: If workers can't be started.
        """
        self.start()
        if len(self._asked) == self.most_ahead:
            self._drop()
        worker, slot = self._turn(self._count)
        with suppress(OSError):  # it was ended just now, as its pipe will tell
            worker.pipe.send((slot, keys))
        self._asked.append(keys)
        self._count += 1

    def __getitems__(self, keys: Keys) -> Batch:
        """A batch; one that wasn't asked for is made here.

        Raises:
            DataError: If a worker was ended from outside. What it raised itself is raised here.
        """
        if not any(keys is asked for asked in self._asked):
            return self._make(keys)
        while self._asked[0] is not keys:
            self._drop()
        return self._take()

    def close(self) -> None:
        """End the workers; a batch that is asked for later starts new ones."""
        self._asked.clear()
        _end(self._pool)

    def _drop(self) -> None:
        with suppress(Exception):  # what can't be read is nothing to those that don't want it
            self._take()

    def _take(self) -> Batch:
        worker, slot = self._turn(self._count - len(self._asked))
        keys = self._asked.popleft()
        try:
            message = worker.pipe.recv_bytes()
        except (EOFError, OSError) as fault:
            raise _was_ended(worker) from fault
        places: list[Place] | None = open_result(message)
        if places is None:
            return self._make(keys)
        arrays = _open(worker.slots[slot], places)
        return cast(
            Batch,
            {
                name: torch.from_numpy(array if self.is_copied else array.copy())
                for name, array in arrays.items()
            },
        )

    def _turn(self, number: int) -> tuple[_Worker, int]:
        """Who makes a batch, and in which slot."""
        turn, worker = divmod(number, self.workers)
        return self._pool[worker], turn % BATCHES_AHEAD

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        slots = tuple(mmap.mmap(-1, self.slot_bytes) for _ in range(BATCHES_AHEAD))
        process = context.Process(
            target=self._serve, args=(theirs, slots, os.getpid()), daemon=True
        )
        process.start()
        theirs.close()  # so that the pipe ends with the process
        return _Worker(process, ours, slots)

    def _serve(self, pipe: Connection, slots: Sequence[mmap.mmap], parent: int) -> None:
        """What a worker does: batch after batch, until its pipe or its parent ends."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
        if self.begin is not None:
            self.begin()
        threading.Thread(target=end_with, args=(parent,), daemon=True).start()
        torch.set_num_threads(1)  # of the threads that torch had, none was forked
        with suppress(EOFError, OSError):  # the parent is gone
            while True:
                slot, keys = pipe.recv()
                pipe.send_bytes(work_off(lambda task: self._fill(*task), (slots[slot], keys)))

    def _make(self, keys: Keys) -> Batch:
        return self.collate(self.dataset.__getitems__(keys))

    def _fill(self, slot: mmap.mmap, keys: Keys) -> list[Place] | None:
        """Put a batch into a slot, and tell where; None where it is too large."""
        batch = cast(dict[str, torch.Tensor], self._make(keys))
        arrays = {name: tensor.numpy() for name, tensor in batch.items()}
        places, end = [], 0
        for name, array in arrays.items():
            places.append((name, array.dtype.name, array.shape, end))
            end += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        if end > len(slot):
            return None
        for name, room in _open(slot, places).items():
            room[...] = arrays[name]
        return places


class BatchesAhead(Sampler[Keys]):
    """A sampler's batches, asked for ahead of those who read them.

    Args:
        sampler: What it gives up to its `done`, a run that goes on reads past; that isn't asked for.
        reader: Reads them.
    """

    def __init__(self, sampler: BucketBatchSampler, reader: BatchReader) -> None:
        self.sampler = sampler
        self.reader = reader

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Keys]:
        self.reader.start()  # before the sampler has threads of its own, which would not be forked
        batches = iter(self.sampler)
        yield from islice(batches, self.sampler.done)
        ahead = deque(islice(batches, self.reader.most_ahead))
        for keys in ahead:
            self.reader.ask(keys)
        while ahead:
            yield ahead.popleft()
            for keys in islice(batches, 1):  # what was given out is read by now, and its slot free
                self.reader.ask(keys)
                ahead.append(keys)


def size_of_slots(sampler: BucketBatchSampler, recipe: PoseRecipe) -> int:
    """Bytes that hold each batch of an epoch, with something to spare."""
    plan = sampler.plan(None)
    frames = max(len(batch) * int(plan.lengths[batch].max()) for batch in plan.batches)
    return int(SPARE * frames * BYTES_OF_VALUE * len(recipe.names) * recipe.channels)


def _open(slot: mmap.mmap, places: Sequence[Place]) -> dict[str, np.ndarray[Any, Any]]:
    """The tensors of a slot, by name, where they lie."""
    return {
        name: np.ndarray(shape, dtype, buffer=slot, offset=start)
        for name, dtype, shape, start in places
    }


def _end(pool: list[_Worker]) -> None:
    for worker in pool:
        worker.process.kill()
    for worker in pool:
        worker.process.join()
        worker.pipe.close()
    pool.clear()


def _was_ended(worker: _Worker) -> DataError:
    worker.process.join(1)  # its pipe ends a moment before it does
    code = worker.process.exitcode
    how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
    return DataError(
        f"A process that reads training clips was ended from outside ({how}); perhaps memory ran out. Lower "
        "training.num_workers, which is now the number of such processes, and go on with --resume."
    )

"""How fast a run is, measured in its loop: frames and samples a second, padding, waiting for data."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["StepMeter", "peak_memory"]

MIB = 2**20


class StepMeter:
    """Counts what a process does between two log entries, without waiting for a GPU.

    The clock runs from the first time that data are asked for to `stop`, which evaluation and saving
    call too: what they take is none of training's. Frames are added up on the device that the masks
    are on, and read where the Trainer reads the loss anyway.

    Args:
        clock: What time it is, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._since: float | None = None
        self._asked: float | None = None
        self._samples = self._padded = 0
        self._waited = self._seconds = 0.0
        self._frames: Tensor | None = None

    def begin_epoch(self) -> None:
        """The loader is about to be started, which counts as waiting for it."""
        self._asked = self._clock()
        if self._since is None:
            self._since = self._asked

    def timed(self, batches: Iterator[Any]) -> Iterator[Any]:
        """The same batches, each waited for and counted."""
        while True:
            with self.waiting():
                try:
                    batch = next(batches)
                except StopIteration:
                    return
            self.count(batch["attention_mask"])
            yield batch

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around the asking for batches."""
        now = self._clock()
        asked, self._asked = (now if self._asked is None else self._asked), None
        if self._since is None:
            self._since = asked
        try:
            yield
        finally:
            self._waited += self._clock() - asked

    def count(self, mask: Tensor) -> None:
        """Count a batch by its mask (B, T)."""
        self._samples += mask.shape[0]
        self._padded += mask.numel()
        frames = mask.sum()
        self._frames = frames if self._frames is None else self._frames + frames.to(self._frames)

    def stop(self) -> None:
        """Training pauses: for a log entry, an evaluation, a checkpoint."""
        if self._since is not None:
            self._seconds += self._clock() - self._since
            self._since = None

    def read(self, *, device: torch.device, world_size: int = 1) -> dict[str, float]:
        """What was counted since the last time, over all processes; stops the clock.

        Every process must call this at the same step.

        Args:
            device: Where processes exchange numbers.
            world_size: How many processes there are.
        """
        self.stop()
        frames = 0.0 if self._frames is None else float(self._frames)
        own = [self._samples, frames, self._padded, self._waited, self._seconds, peak_memory()]
        every = _gather(own, device=device, world_size=world_size)
        samples, frames, padded, waited, seconds = (
            sum(row[place] for row in every) for place in range(5)
        )
        slowest = max(row[4] for row in every)
        self._reset()
        values = {"memory_mib": max(row[5] for row in every) / MIB}
        if slowest > 0 and padded > 0:
            values |= {
                "samples_per_second": samples / slowest,
                "frames_per_second": frames / slowest,
                "padding_share": 1 - frames / padded,
                "data_wait_share": waited / seconds,
            }
        return values

    def _reset(self) -> None:
        self._samples = self._padded = 0
        self._waited = self._seconds = 0.0
        self._frames = None


def _gather(own: Sequence[float], *, device: torch.device, world_size: int) -> list[list[float]]:
    """The numbers of every process."""
    if world_size == 1:
        return [list(own)]
    mine = torch.tensor(own, dtype=torch.float64, device=device)
    every = [torch.zeros_like(mine) for _ in range(world_size)]
    dist.all_gather(every, mine)
    return [numbers.tolist() for numbers in every]


def peak_memory() -> int:
    """Most bytes so far: on the GPU where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB, macOS in bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

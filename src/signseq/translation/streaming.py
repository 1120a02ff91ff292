"""Many clips, in batches of similar length, while the next ones are being read.

A thread reads ahead. The next batch is always that of the clip which waits longest and of those that are
nearest to it in length, so results come in order, soon, and little is padded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Generic, TypeVar

import numpy as np

from signseq.translation.results import PackedClip, Translation

__all__ = ["ReadAhead", "choose_batch", "translate_in_order"]

WINDOW = 8  # batches that are read ahead and chosen from
PATIENCE = 0.25  # seconds that a started batch waits for one more clip
MOST_PATIENCE = 2.0  # and for all of them
POLL = 0.1  # seconds after which a full queue looks whether it is to stop

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class _Ended:
    """The last thing in a queue, and what ended it."""

    fault: BaseException | None = None


class ReadAhead(Generic[T, R]):
    """Works on items in a thread of its own, some of them ahead.

    Args:
        items: Are asked for in that thread.
        work: What to do with each.
        room: How many results wait at most.
    """

    def __init__(self, items: Iterable[T], work: Callable[[T], R], *, room: int) -> None:
        self._queue: Queue[R | _Ended] = Queue(room)
        self._stop, self._ended = Event(), False
        self._thread = Thread(target=self._run, args=(items, work), daemon=True)
        self._thread.start()

    def _run(self, items: Iterable[T], work: Callable[[T], R]) -> None:
        try:
            for item in items:
                if self._stop.is_set() or not self._put(work(item)):
                    return
            self._put(_Ended())
        except BaseException as fault:  # raised again where the results are taken
            self._put(_Ended(fault))

    def _put(self, result: R | _Ended) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(result, timeout=POLL)
                return True
            except Full:
                continue
        return False

    @property
    def has_ended(self) -> bool:
        """Whether there is nothing more to take."""
        return self._ended

    def take(self, *, patience: float | None) -> R | None:
        """The next result; None if it doesn't come within so many seconds, or all were taken.

        Raises:
            BaseException: What `items` or `work` raised.
        """
        if self._ended:
            return None
        try:
            result = self._queue.get(timeout=patience)
        except Empty:
            return None
        if not isinstance(result, _Ended):
            return result
        self._ended = True
        if result.fault is not None:
            raise result.fault
        return None

    def close(self) -> None:
        """Let the thread end."""
        self._stop.set()


def translate_in_order(
    reads: ReadAhead[T, tuple[str, PackedClip | Translation]],
    translate: Callable[[list[PackedClip]], list[Translation]],
    *,
    batch_size: int,
    tell: Callable[[str, PackedClip], None],
) -> Iterator[Translation]:
    """Translate clips as they are read, and yield in their order; what is a Translation already stays it.

    Args:
        reads: The clips, and what they are called.
        translate: Translates a batch.
        batch_size: Clips in a batch, at most.
        tell: Called with each clip when it has come.
    """
    waiting: dict[int, PackedClip] = {}
    done: dict[int, Translation] = {}
    came = left = 0
    while True:
        for name, read in _gather(reads, waiting, room=WINDOW * batch_size):
            if isinstance(read, Translation):
                done[came] = read
            else:
                tell(name, read)
                waiting[came] = read
            came += 1
        if waiting and left not in done:
            places = choose_batch({n: len(c) for n, c in waiting.items()}, batch_size)
            clips = [waiting.pop(place) for place in places]
            done |= dict(zip(places, translate(clips), strict=True))
        while left in done:
            yield done.pop(left)
            left += 1
        if reads.has_ended and not waiting:
            return


def _gather(reads: ReadAhead[T, R], waiting: dict[int, PackedClip], *, room: int) -> Iterator[R]:
    """What was read meanwhile; where nothing waits, until something is."""
    begun = time.monotonic() if waiting else None
    taken = 0
    while len(waiting) < room and taken < room:
        patience = None if begun is None else PATIENCE
        read = reads.take(patience=patience)
        if read is None:
            return
        yield read
        taken += 1
        begun = begun or time.monotonic()
        if time.monotonic() - begun > MOST_PATIENCE:
            return


def choose_batch(lengths: dict[int, int], size: int) -> list[int]:
    """The first clip, and those whose lengths fit it best; longest first.

    Args:
        lengths: Frames of each clip by its number; not empty, in the order in which they wait.
        size: How many to choose, at most.
    """
    numbers = np.array(list(lengths))
    frames = np.array(list(lengths.values()))
    order = np.argsort(-frames, kind="stable")
    if len(order) <= size:
        return [int(number) for number in numbers[order]]
    place = int(np.flatnonzero(order == 0)[0])  # of the first
    sums = np.concatenate([[0], np.cumsum(frames[order])])
    starts = np.arange(max(0, place - size + 1), min(place, len(order) - size) + 1)
    padding = frames[order[starts]] * size - (sums[starts + size] - sums[starts])
    start = int(starts[padding.argmin()])
    return [int(number) for number in numbers[order[start : start + size]]]

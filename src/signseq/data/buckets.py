"""How many clips fit into a batch, by the bucket of similar length that they are in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "batch_sizes",
    "bucket_limits",
    "bucket_rooms",
    "count_in_windows",
    "most_batches",
    "raise_budget",
]

BUCKET_GROWTH = 1.05  # clips in a bucket differ in length by at most this factor


def bucket_limits(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The longest clip of each bucket: at most BUCKET_GROWTH times its shortest."""
    lengths = np.unique(lengths)
    limits, start = [], 0
    while start < len(lengths):
        limit = max(lengths[start] * BUCKET_GROWTH, lengths[start] + 1)
        start = int(np.searchsorted(lengths, limit, side="right"))
        limits.append(lengths[start - 1])
    return np.array(limits, dtype=np.int64)


def bucket_rooms(
    limits: NDArray[np.int64], *, batch_size: int | None, frames_per_batch: int | None
) -> list[int]:
    """How many clips of each bucket fit into a batch."""
    return [batch_size or max(1, (frames_per_batch or limit) // limit) for limit in limits.tolist()]


def count_in_windows(
    windows: NDArray[np.int64], buckets: NDArray[np.int64], *, size: int
) -> NDArray[np.int64]:
    """The clips of each window in each of `size` buckets, (W, size)."""
    count = int(windows.max()) + 1
    return np.bincount(windows * size + buckets, minlength=count * size).reshape(count, size)


def batch_sizes(counts: NDArray[np.int64], rooms: list[int]) -> list[int]:
    """How many clips each batch takes, window by window and from short clips to long ones.

    What is left of a bucket goes on into the next one of the window.

    Args:
        counts: See `count_in_windows`, (W, B).
        rooms: How many clips of each bucket fit into a batch.
    """
    sizes: list[int] = []
    for window in counts.tolist():
        left = 0
        for count, room in zip(window, rooms, strict=True):
            if count:
                full, left = divmod(left + count, room)
                sizes += [room] * full
        if left:
            sizes.append(left)
    return sizes


def most_batches(shares: float, rooms: list[int], *, windows: int = 1) -> int:
    """The most batches that clips make which fill `shares` of them, however they are divided among windows.

    Filling a window of n clips in buckets of room r makes at most sum(n / r) batches, and: what is left
    of a bucket goes on into the next, whose room may be smaller, and the last batch may be half empty.
    """
    each = 1 / np.array(rooms, dtype=np.float64)
    lost = ((np.array(rooms[:-1]) - 1) * np.diff(each)).sum() + 1 - each[-1]
    return int(shares + windows * lost + 1e-6)


def raise_budget(
    counts: NDArray[np.int64], limits: NDArray[np.int64], *, budget: int, most: int
) -> int:
    """The smallest budget of frames, this one at least, with which there are at most so many batches."""

    def fits(frames: int) -> bool:
        rooms = bucket_rooms(limits, batch_size=None, frames_per_batch=frames)
        return len(batch_sizes(counts, rooms)) <= most

    high = budget
    while not fits(high):
        high *= 2
    low = budget - 1 if high == budget else high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high

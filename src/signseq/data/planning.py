"""Which clips go together into a batch, and in which order the batches come.

Clips of similar length share a batch, so little is padded. Where a store lies elsewhere and is larger
than this machine's cache, batches are made within *windows*: some shards that fit into it together.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signseq.data.buckets import (
    batch_sizes,
    bucket_limits,
    bucket_rooms,
    count_in_windows,
    most_batches,
    raise_budget,
)
from signseq.data.cache_space import gib_for
from signseq.data.store import PoseStore
from signseq.errors import DataError

__all__ = [
    "BatchSizes",
    "EpochPlan",
    "ShardWindows",
    "count_needed",
    "draw_windows",
    "plan_batches",
]


@dataclass(frozen=True)
class BatchSizes:
    """What batches of changing clips have in common.

    Attributes:
        limits: The longest clip of each bucket, (B,).
        count: The batches there are at least, so that there are equally many whatever clips are drawn.
    """

    limits: NDArray[np.int64]
    count: int

    @classmethod
    def of_draws(
        cls,
        limits: NDArray[np.int64],
        most: Callable[[NDArray[np.float64]], float],
        *,
        batch_size: int | None = None,
        frames_per_batch: int | None = None,
    ) -> BatchSizes:
        """For clips that are drawn anew for each plan.

        Args:
            limits: Of the buckets of all clips, (B,).
            most: The most that the clips of any plan come to, where each counts a number of its bucket.
            batch_size: See `plan_batches`.
            frames_per_batch: See `plan_batches`.
        """
        rooms = bucket_rooms(limits, batch_size=batch_size, frames_per_batch=frames_per_batch)
        return cls(limits, most_batches(most(1 / np.array(rooms)), rooms))


@dataclass(frozen=True)
class EpochPlan:
    """Which clips an epoch reads, and in which batches.

    Attributes:
        batches: Those of all processes, in order, by positions in the arrays below.
        places: Where each clip stands among those that the sampler has, (N,).
        repetitions: How often it stands before it in this array, (N,).
        lengths: Its frames as the batch sees them, (N,).
    """

    batches: list[NDArray[np.int64]]
    places: NDArray[np.int64]
    repetitions: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @property
    def padded_frames(self) -> int:
        """All that are computed, with padding."""
        return sum(len(batch) * int(self.lengths[batch].max()) for batch in self.batches)


def count_needed(
    lengths: NDArray[np.int64], windows: NDArray[np.int64] | None, *, frames_per_batch: int
) -> int:
    """How many batches clips make, as they are divided among windows; see `plan_batches`."""
    limits = bucket_limits(lengths)
    rooms = bucket_rooms(limits, batch_size=None, frames_per_batch=frames_per_batch)
    windows = np.zeros(len(lengths), dtype=np.int64) if windows is None else windows
    buckets = np.searchsorted(limits, lengths)
    return len(batch_sizes(count_in_windows(windows, buckets, size=len(limits)), rooms))


def plan_batches(
    lengths: NDArray[np.int64],
    *,
    batch_size: int | None = None,
    frames_per_batch: int | None = None,
    multiple: int = 1,
    windows: NDArray[np.int64] | None = None,
    sizes: BatchSizes | None = None,
    count: int | None = None,
    tokens: NDArray[np.int64] | None = None,
    rng: np.random.Generator | None = None,
) -> list[NDArray[np.int64]]:
    """Divide clips into batches of similar length; each clip is in exactly one.

    How many batches there are depends on the lengths and the number of windows alone, not on `rng` or
    on which clips share a window, so every epoch has the same number of steps.

    Args:
        lengths: Frames of each clip, (N,).
        batch_size: Clips in a batch.
        frames_per_batch: Or the most frames in a batch, counted with padding.
        multiple: The number of batches becomes a multiple of this by halving batches; where there
            are too few clips for that, by joining the shortest in pairs, even beyond `batch_size`.
        windows: The window of each clip, (N,). A batch is made of one window (but for those pairs),
            and all batches of a window come before those of the next. None is one window.
        sizes: What holds for all clips that these were drawn of; None where these are all.
        count: How many batches there are, if it is known. Where they can't keep within `frames_per_batch`,
            this is raised by as little as it takes, and a clip that is longer is a batch of its own.
        tokens: Of each clip's text, (N,): clips of similar length are brought together by these, too.
        rng: Shuffles clips of similar length, and the batches; None keeps them sorted.

    Raises:
        DataError: If a clip, or a pair, is over the budget, or there are fewer clips than `multiple`.
    """
    if len(lengths) < multiple:
        raise DataError(
            f"{len(lengths)} clips can't be shared by {multiple} processes and accumulation steps; use fewer."
        )
    limits = bucket_limits(lengths) if sizes is None else sizes.limits
    longest = int(limits[-1])
    is_strict = frames_per_batch is not None and count is None
    if is_strict and longest > (frames_per_batch or 0):
        raise DataError(
            f"The longest clip has {longest} frames, training.frames_per_batch is {frames_per_batch}. "
            f"Raise it to at least {longest}, or lower data.max_frames."
        )
    buckets = np.searchsorted(limits, lengths)
    one = np.zeros(len(lengths), dtype=np.int64)
    windows = one if windows is None else windows
    counts = count_in_windows(windows, buckets, size=len(limits))
    if count is not None and frames_per_batch is not None:
        frames_per_batch = raise_budget(counts, limits, budget=frames_per_batch, most=count)
    rooms = bucket_rooms(limits, batch_size=batch_size, frames_per_batch=frames_per_batch)
    filled = batch_sizes(counts, rooms)
    wanted = len(filled) if count is None else count
    if len(counts) > 1 and count is None:
        shares = float(counts.sum(axis=0) @ (1 / np.array(rooms)))
        wanted = most_batches(shares, rooms, windows=len(counts))
    if sizes is not None:
        wanted = min(max(wanted, sizes.count), len(lengths))
    wanted = -(-wanted // multiple) * multiple
    if wanted <= len(lengths):
        order = _arrange(lengths, buckets, windows=windows, tokens=tokens, rng=rng)
        filled = _halve(filled, wanted)
    else:  # too few even one by one: pair the first, which are the shortest
        order = _arrange(lengths, buckets, windows=one, tokens=None, rng=rng)
        pairs = len(order) % multiple
        filled = [2] * pairs + [1] * (len(order) - 2 * pairs)
    ends = np.cumsum(filled)
    needed = int((filled * limits[buckets[order[ends - 1]]]).max())
    if is_strict and needed > (frames_per_batch or 0):
        raise DataError(
            f"{len(order)} clips make a multiple of {multiple} batches (processes x accumulation) only in pairs of "
            f"up to {needed} frames, training.frames_per_batch is {frames_per_batch}. Raise it to {needed}."
        )
    return _in_order_of_windows(np.split(order, ends[:-1]), windows, rng)


def _arrange(
    lengths: NDArray[np.int64],
    buckets: NDArray[np.int64],
    *,
    windows: NDArray[np.int64],
    tokens: NDArray[np.int64] | None,
    rng: np.random.Generator | None,
) -> NDArray[np.int64]:
    """The clips window by window and short to long; within a bucket shuffled, or by their tokens.

    By tokens it goes up and down in turns, as a batch may stand in two buckets.
    """
    if rng is None and tokens is None:
        return np.lexsort((lengths, windows))
    chances = lengths if rng is None else rng.random(len(lengths))
    texts = 0 * lengths if tokens is None else np.where(buckets % 2, -tokens, tokens)
    return np.lexsort((chances, texts, buckets, windows))


def _halve(sizes: list[int], wanted: int) -> list[int]:
    """Halve the largest batches, one after another, until there are as many as wanted."""
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    largest_first = [(-size, start) for size, start in zip(sizes, starts, strict=True)]
    heapq.heapify(largest_first)
    for _ in range(wanted - len(sizes)):
        size, start = -largest_first[0][0], largest_first[0][1]
        heapq.heapreplace(largest_first, (size // 2 - size, start))
        heapq.heappush(largest_first, (-(size // 2), start + size - size // 2))
    return [-size for size, _ in sorted(largest_first, key=lambda batch: batch[1])]


def _in_order_of_windows(
    batches: list[NDArray[np.int64]],
    windows: NDArray[np.int64],
    rng: np.random.Generator | None,
) -> list[NDArray[np.int64]]:
    """The batches, window by window; shuffled within each if there is an `rng`."""
    groups: list[list[NDArray[np.int64]]] = [[] for _ in range(int(windows.max()) + 1)]
    for batch in batches:
        groups[windows[batch[0]]].append(batch)
    for group in groups if rng is not None else ():
        rng.shuffle(group)  # type: ignore[union-attr]
    return [batch for group in groups for batch in group]


@dataclass(frozen=True)
class ShardWindows:
    """How a store that lies elsewhere is walked through: some shards at a time.

    Attributes:
        shards: The shard of each clip that is read, (N,).
        count: How many windows there are, the same in every epoch.
    """

    shards: NDArray[np.int64]
    count: int

    @classmethod
    def of_store(
        cls,
        store: PoseStore,
        clips: NDArray[np.int64] | None = None,
        *,
        count: int | None = None,
    ) -> ShardWindows | None:
        """As few windows as the cache allows, so that two stand in it together.

        Args:
            store: What is read.
            clips: Which clips of it; None means all.
            count: How many windows a run that goes on began with, wherever its store was.

        Returns:
            None for a store on this machine, unless its `count` says otherwise.

        Raises:
            DataError: If the windows, or two shards, don't fit into the cache.
        """
        shards = store.shards if clips is None else store.shards[clips]
        if store.cached is None:
            return cls(shards, count) if count and count > 1 else None
        limit = store.cached.cache.limit
        sizes = np.sort(store.shard_bytes[np.unique(shards)])[::-1]
        # As many shards as fit of the largest, so that any do.
        fitting = int(np.searchsorted(np.cumsum(sizes), limit // 2, side="right"))
        least = -(-len(sizes) // fitting) if fitting else len(sizes)
        count = count or least
        if count < least or not fitting:
            needed = 2 * int(sizes[: -(-len(sizes) // count)].sum())
            raise DataError(
                f"{store.folder}: the cache {store.cached.cache.folder} takes {limit} bytes, too few for what "
                f"is read at a time. Set data.cache_gib to {gib_for(needed)} or more."
            )
        return cls(shards, count)

    def walk(self, rng: np.random.Generator | None) -> list[NDArray[np.int64]]:
        """The shards of each window: divided at random, in random order, where there are several."""
        shards = np.unique(self.shards)
        if self.count > 1 and rng is not None:
            shards = rng.permutation(shards)
        return np.array_split(shards, self.count)

    def draw(self, rng: np.random.Generator | None) -> NDArray[np.int64]:
        """The window of each clip, (N,); see `walk`."""
        windows = np.empty(int(self.shards.max()) + 1, dtype=np.int64)
        for number, shards in enumerate(self.walk(rng)):
            windows[shards] = number
        return windows[self.shards]


def draw_windows(store: PoseStore, clips: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The window of each of these clips where their order is free, for `plan_batches`.

    Raises:
        DataError: If two shards don't fit into the cache.
    """
    windows = ShardWindows.of_store(store, clips) if store.cached is not None else None
    return windows.draw(None) if windows is not None else None

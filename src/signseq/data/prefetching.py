"""Downloading the shards that are read next, in the background, while others are read."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from signseq.data.store import PoseStore

__all__ = ["Prefetcher"]

logger = logging.getLogger(__name__)
DOWNLOADS = 4  # at a time


class Prefetcher:
    """Keeps the window that is read in the cache, and downloads the next one meanwhile.

    Args:
        store: What is read; it lies elsewhere.
        lead: How many batches are drawn before they are read. So many of a window are waited for
            before the next one is downloaded, which takes the room of the one before.
    """

    def __init__(self, store: PoseStore, *, lead: int) -> None:
        self.store = store
        self.lead = max(1, lead)
        self._road: Sequence[NDArray[np.int64]] = ()
        self._windows: dict[int, int] = {}
        self._window, self._drawn = -1, 0
        self._wanted: deque[int] = deque()
        self._working = 0
        self._lock = threading.Lock()

    def begin(self, road: Sequence[NDArray[np.int64]]) -> None:
        """Begin an epoch, given the shards of each of its windows, and of what comes after it."""
        self._road, self._window, self._drawn = road, -1, 0
        # Backwards: what comes after the epoch is read in it before.
        windows = reversed(list(enumerate(road)))
        self._windows = {shard: number for number, shards in windows for shard in shards.tolist()}

    def reach(self, shard: int) -> None:
        """Count a batch as drawn, given a shard that it needs."""
        window = self._windows[shard]
        if window != self._window:
            self._window, self._drawn = window, 0
            self._want(self._road[window])
        self._drawn += 1
        if self._drawn == self.lead:
            self._want(np.concatenate(self._road[window : window + 2]))

    def _want(self, shards: NDArray[np.int64]) -> None:
        """Have these downloaded; what was wanted before and isn't among them is not any more."""
        # Those that are there first: they must not have to make room for the others.
        missing = [shard for shard in shards.tolist() if not self.store.holds_shard(shard)]
        with self._lock:
            self._wanted = deque(missing)
            starting = max(0, min(DOWNLOADS, len(missing)) - self._working)
            self._working += starting
        for _ in range(starting):
            threading.Thread(target=self._work, name="prefetch", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._wanted:
                    self._working -= 1
                    return
                shard = self._wanted.popleft()
            try:
                self.store.hold_shard(shard)
            except Exception as fault:  # whoever reads the shard meets it too, and says it
                logger.debug(
                    "%s: shard %d was not downloaded ahead: %s", self.store.folder, shard, fault
                )
                with self._lock:
                    self._wanted.clear()

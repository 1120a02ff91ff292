"""Saying now and then that a cluster has no core to give."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

__all__ = ["WaitingNotes"]

logger = logging.getLogger(__name__)
FIRST_SECONDS = 30.0  # without a result, before anything is said
MOST_SECONDS = 600.0  # between two notes; each time it is twice as long


class WaitingNotes:
    """Warns where nothing is done for a while because no core is free; a run that waits is not to look dead.

    Args:
        clock: Tells the seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Something was done."""
        self._since = self._next_from = self._clock()
        self._pause = FIRST_SECONDS

    def look(self, *, cores: int, free: Callable[[], float]) -> None:
        """Warn, if it is time to.

        Args:
            cores: How many the cluster has.
            free: Counts those that nobody uses; asked only when it is time.
        """
        now = self._clock()
        if now - self._next_from < self._pause:
            return
        self._next_from, self._pause = now, min(2 * self._pause, MOST_SECONDS)
        if cores and free() >= 1:
            return
        waited = f"no shard was done for {now - self._since:.0f} seconds"
        if cores:
            logger.warning(
                "The Ray cluster: %s, and no node has a free core (all %d are taken, by this run or others); waiting. "
                "`ray status` shows what runs there.",
                waited,
                cores,
            )
        else:
            logger.warning(
                "The Ray cluster has 0 cores: %s, and nothing can be until a node with cores joins; waiting. "
                "Start one (ray start --address ...), or stop this and leave out --engine ray.",
                waited,
            )

"""How much WebSockets may take: places for connections, and a pace for each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from signseq.serving.faults import ServiceError

__all__ = ["Pace", "StreamPlaces"]

RETRY_AFTER = 10  # seconds
BURST_SECONDS = 5.0  # a phone's connection pauses, and then sends all at once


class StreamPlaces:
    """Connections that are open, in all and by client.

    Args:
        most: In all.
        most_per_client: By one address.
    """

    def __init__(self, most: int, most_per_client: int) -> None:
        self._most, self._most_per_client = most, most_per_client
        self._open: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._open.total()

    @contextmanager
    def take(self, client: str) -> Iterator[None]:
        """Hold a place.

        Raises:
            ServiceError: 503 if all are taken, 429 if the client has its share.
        """
        if len(self) >= self._most:
            raise ServiceError(
                503,
                "too_many_streams",
                f"The server has {self._most} streams open, as many as it takes. Try again in {RETRY_AFTER} s.",
                retry_after=RETRY_AFTER,
            )
        if self._open[client] >= self._most_per_client:
            raise ServiceError(
                429,
                "too_many_streams",
                f"Your address has {self._most_per_client} streams open, as many as it may. Close one.",
                retry_after=RETRY_AFTER,
            )
        self._open[client] += 1
        try:
            yield
        finally:
            self._open[client] -= 1
            self._open += Counter()  # forgets those at 0


class Pace:
    """A token bucket: so much per second, on average.

    Args:
        per_second: How much.
        clock: Seconds, from any start.
    """

    def __init__(self, per_second: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = per_second, clock
        self._left, self._since = per_second * BURST_SECONDS, clock()

    def allows(self, amount: float) -> bool:
        """Take an amount, if there is so much left."""
        now = self._clock()
        self._left = min(self._rate * BURST_SECONDS, self._left + (now - self._since) * self._rate)
        self._since = now
        if amount > self._left:
            return False
        self._left -= amount
        return True

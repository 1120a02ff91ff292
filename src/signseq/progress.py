"""Progress of long work: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

__all__ = ["Progress", "track"]

logger = logging.getLogger(__name__)
LINE_SECONDS = 10  # between two plain lines

T = TypeVar("T")


class Progress:
    """Shows how much is done, the rate and the time that is left.

    Args:
        total: How much there is, what was done before included.
        label: What is being done, as the user would say it.
        unit: What is counted, in the singular; prints as `clip/s`.
        done: How much was done before.
    """

    def __init__(self, *, total: int, label: str, unit: str, done: int = 0) -> None:
        self.total, self.label, self.unit = total, label, unit
        self.done = self.begun_at = done
        self.note = ""
        self._start = self._last = time.monotonic()
        self._bar = (
            tqdm(total=total, initial=done, desc=label, unit=unit, dynamic_ncols=True, leave=False)
            if sys.stderr.isatty()
            else None
        )

    def advance(self, count: int = 1, *, note: str = "") -> None:
        """Count some more as done; a note is shown beside the numbers from now on."""
        self.done += count
        self.note = note or self.note
        if self._bar is not None:
            if note:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(count)
            return
        now = time.monotonic()
        if now - self._last >= LINE_SECONDS:
            self._last = now
            rate = (self.done - self.begun_at) / (now - self._start)
            parts = [f"{self.done} of {self.total}", f"{rate:.3g} {self.unit}/s"]
            if rate:
                parts.append(f"{max(self.total - self.done, 0) / rate:.0f} s left")
            if self.note:
                parts.append(self.note)
            logger.info("%s: %s", self.label, ", ".join(parts))

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()


def track(items: Iterable[T], *, total: int, label: str, unit: str, done: int = 0) -> Iterator[T]:
    """Yield the items, showing progress; see `Progress` for the arguments."""
    progress = Progress(total=total, label=label, unit=unit, done=done)
    try:
        for item in items:
            yield item
            progress.advance()
    finally:
        progress.close()

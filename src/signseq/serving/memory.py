"""Giving memory back to the system, which glibc's malloc keeps in pieces under steady load."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import lru_cache

__all__ = ["give_back", "giving_back"]

EVERY_SECONDS = 30.0


@lru_cache(maxsize=1)
def _find_trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim  # glibc's own
    except (AttributeError, OSError, TypeError):  # another C library: it has none
        return None
    return found


def give_back() -> bool:
    """Give free memory back now; False where the C library knows no way to."""
    trim = _find_trim()
    if trim is None:
        return False
    trim(0)
    return True


@asynccontextmanager
async def giving_back(*, every: float = EVERY_SECONDS) -> AsyncIterator[None]:
    """Give memory back every so many seconds, in a thread, as long as this is open."""

    async def repeat() -> None:
        while await asyncio.to_thread(give_back):
            await asyncio.sleep(every)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

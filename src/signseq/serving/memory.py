"""Keeping memory flat, of which glibc's malloc else holds on to more and more under steady load."""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import lru_cache

__all__ = ["give_back", "giving_back", "keep_few_kernels", "share_heaps"]

EVERY_SECONDS = 30.0
HEAPS = 2  # for all threads together
M_ARENA_MAX = -8  # its number in glibc's malloc.h
KERNELS = 64  # more than a batch needs, with weights of any number format
CACHES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")  # torch's, and oneDNN's own


def keep_few_kernels(count: int = KERNELS) -> None:
    """Have torch keep so few of the kernels that oneDNN makes for each new shape of a batch.

    By default 1,024 are kept in each of two caches, so that memory grows for hours before it is flat.
    Call this before torch is loaded. What the environment already says wins.
    """
    for name in CACHES:
        os.environ.setdefault(name, str(count))


def share_heaps(count: int = HEAPS) -> bool:
    """Let threads share so few heaps; each else has its own, and what they free piles up in all of them.

    Call this before threads are started. MALLOC_ARENA_MAX in the environment wins. False where nothing
    was changed, for that reason or because the C library isn't glibc.
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(M_ARENA_MAX, count))


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

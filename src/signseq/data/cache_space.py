"""How much of the cache is used, and by what: room is made, and kept for what is on its way.

`cache.py` describes the files.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from signseq.errors import DataError

__all__ = ["ShardCache", "gib_for", "locked"]

ROOM_SECONDS = 0.05  # between two looks for room, while other downloads fill it


def gib_for(size: int) -> str:
    """What `data.cache_gib` has to be at least for so many bytes."""
    return f"{math.ceil(size / 2**30 * 1e4) / 1e4:.4f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class ShardCache:
    """Where shards are kept, and how much of them.

    Attributes:
        folder: Where; all stores and processes of the machine may share it.
        limit: Bytes of poses, those that are on their way included.
    """

    folder: Path
    limit: int

    @property
    def room_lock(self) -> Path:
        """Held while the space that is used changes."""
        return self.folder / "room.lock"

    def reserve(self, lock: int, size: int) -> None:
        """Make room for a file, and keep it: the lock's file is made as long as the file will be.

        Raises:
            DataError: If the file is larger than the whole cache.
        """
        if size > self.limit:
            raise DataError(
                f"{self.folder}: a shard of {size} bytes does not fit into a cache of {self.limit}. "
                f"Set data.cache_gib to {gib_for(2 * size)} or more."
            )
        while True:
            with locked(self.room_lock):
                if self._make_room(size):
                    os.ftruncate(lock, size)  # takes no space itself
                    return
            time.sleep(ROOM_SECONDS)

    def _make_room(self, size: int) -> bool:
        """Whether there is room; files are removed for it, those first that were read longest ago."""
        held: list[tuple[float, int, Path]] = []
        used = 0
        for path in self.folder.glob("*/*.poses*"):
            try:
                facts = path.stat()
            except FileNotFoundError:
                continue
            if path.suffix == ".poses":
                used += facts.st_size
                held.append((facts.st_mtime, facts.st_size, path))
            elif path.suffix == ".lock" and facts.st_size:
                used += 0 if _is_stale(path) else facts.st_size
        for _, freed, path in sorted(held):
            if used + size <= self.limit:
                break
            path.unlink(missing_ok=True)
            used -= freed
        return used + size <= self.limit


def _is_stale(lock: Path) -> bool:
    """Whether the process is gone that kept room by a lock; then what it left is removed."""
    import fcntl

    file = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.with_suffix(".part").unlink(missing_ok=True)
        os.ftruncate(file, 0)
        fcntl.flock(file, fcntl.LOCK_UN)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold a lock; it ends with the process, however that ends."""
    try:
        import fcntl
    except ImportError as fault:
        raise DataError(
            "A store that lies elsewhere can't be read on Windows; copy it to this machine."
        ) from fault
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield file
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # at once, even if a forked process has it open too
    finally:
        os.close(file)

"""A bounded cache on this machine for stores that lie elsewhere; all its processes share it.

<cache>/
  room.lock                       held while room is made
  <name>-<digest>/                one store, as it was written at one time
    shard-00000.poses             removed where room is needed, those first that were read longest ago
    shard-00000.poses.lock        held during the download; its size is the room that is kept for it
    shard-00000.poses.part        what has come so far
    shard-00000.jsonl             small, and kept: not counted

Nothing holds a file of poses open, so removing one frees its space at once.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from signseq.config import DataConfig
from signseq.data.cache_space import ShardCache, locked
from signseq.data.storage import StoreFolder
from signseq.errors import DataError

__all__ = [
    "CachedStore",
    "build_cache",
    "default_cache",
    "default_cache_folder",
]

PAUSES = (1.0, 5.0)  # seconds before a file that came in part is downloaded again
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def default_cache_folder() -> Path:
    """Where caches belong by the XDG rules: in $XDG_CACHE_HOME, else in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "signseq"


def build_cache(data: DataConfig) -> ShardCache:
    """The cache that a config describes."""
    return ShardCache(data.cache_dir or default_cache_folder(), int(data.cache_gib * 2**30))


def default_cache() -> ShardCache:
    """The cache where no config describes one."""
    gib = DataConfig.model_fields["cache_gib"].default
    return ShardCache(default_cache_folder(), int(gib * 2**30))


@dataclass(frozen=True)
class CachedStore:
    """The shards of one store that lies elsewhere, read by way of the cache.

    Attributes:
        cache: Where they are kept.
        source: Where they come from.
        digest: What `store.json` calls the store's content; files of another are never mixed in.
    """

    cache: ShardCache
    source: StoreFolder
    digest: str

    @cached_property
    def place(self) -> Path:
        """This store's folder in the cache."""
        key = hashlib.sha256(f"{self.source}\n{self.digest}".encode()).hexdigest()[:16]
        return self.cache.folder / f"{str(self.source).rsplit('/', 1)[-1]}-{key}"

    def read(self, name: str, into: NDArray[np.float16], *, offset: int, size: int) -> None:
        """Fill an array with a part of a shard's poses.

        Args:
            name: The file.
            into: What is filled.
            offset: Where the part begins, in bytes.
            size: The whole file's bytes.

        Raises:
            DataError: If the file can't be downloaded or kept.
        """
        with _cache_faults(self.cache.folder):
            file = self._open(name, size)
            try:
                _note_reading(file)
                room = into.data.cast("B")
                while len(room):
                    count = os.preadv(file, [room], offset)
                    if not count:
                        raise DataError(
                            f"{self.place / name}: was cut in the cache. Remove that file; it will be "
                            "downloaded again."
                        )
                    room, offset = room[count:], offset + count
            finally:
                os.close(file)

    def hold(self, name: str, *, size: int) -> None:
        """Have a file of poses in the cache, as if it were read now."""
        with _cache_faults(self.cache.folder):
            file = self._open(name, size)
            _note_reading(file)
            os.close(file)

    def holds(self, name: str) -> bool:
        """Whether a file is in the cache; if so, as if it were read now."""
        try:
            _note_reading(self.place / name)
        except FileNotFoundError:
            return False
        return True

    def keep(self, name: str, *, beyond: int) -> Path:
        """Have a small file in the cache for good.

        Args:
            name: The file, of lines.
            beyond: Where its last line begins, in bytes.

        Raises:
            DataError: If it can't be downloaded or kept.
        """
        path = self.place / name
        with _cache_faults(self.cache.folder):
            if not path.exists():
                os.close(self._download(name, beyond=beyond))
        return path

    def _open(self, name: str, size: int) -> int:
        try:
            return os.open(self.place / name, os.O_RDONLY)
        except FileNotFoundError:
            return self._download(name, size=size)

    def _download(self, name: str, *, size: int | None = None, beyond: int = 0) -> int:
        """The open file, which stays readable even if another process needs its room at once."""
        path = self.place / name
        self.place.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(f"{name}.lock")) as lock:
            try:
                return os.open(path, os.O_RDONLY)  # another process was faster
            except FileNotFoundError:
                part = path.with_name(f"{name}.part")
            try:
                if size is not None:
                    self.cache.reserve(lock, size)
                part.touch()  # whether one may write here is known before anything is asked for
                self._bring(name, part, size=size, beyond=beyond)
                file = os.open(part, os.O_RDONLY)
                with locked(self.cache.room_lock):  # or it is counted twice, or not at all
                    part.replace(path)
                    os.ftruncate(lock, 0)
            finally:
                part.unlink(missing_ok=True)
                os.ftruncate(lock, 0)
            return file

    def _bring(self, name: str, part: Path, *, size: int | None, beyond: int) -> None:
        fault = ""
        for pause in (0.0, *PAUSES):
            time.sleep(pause)
            try:
                self.source.fetch(name, part)  # tries more than once itself
                digest = json.loads(self.source.read("store.json"))["digest"]
            except FileNotFoundError as missing:
                raise DataError(
                    f"{self.source}/{name}: is not there any more. Mend the store with: signseq prepare "
                    "CONFIG, or copy it again."
                ) from missing
            except DataError as reason:
                cause = reason.__cause__
                if isinstance(cause, OSError) and cause.errno in FULL:  # here, not there
                    raise cause from None
                raise DataError(f"{name}: {reason} With --resume a run goes on.") from reason
            if digest != self.digest:
                raise DataError(
                    f"{self.source}: the store was written anew while it was read. Start again, with "
                    "--resume where a run was going on."
                )
            fault = _wrong_size(part, size, beyond)
            if not fault:
                return
        raise DataError(
            f"{self.source}/{name}: {fault}, also when it was downloaded again. Mend the store with: "
            "signseq prepare CONFIG, or copy it again."
        )


def _note_reading(file: int | Path) -> None:
    """Have a file count as read now; those of another user keep their time, as only its owner may change it."""
    with suppress(PermissionError):
        os.utime(file)


def _wrong_size(part: Path, size: int | None, beyond: int) -> str:
    """What is wrong with the bytes that came; nothing if all did."""
    found = part.stat().st_size
    if size is not None:
        return "" if found == size else f"{found} bytes came, {size} should have"
    with part.open("rb") as file:
        file.seek(min(beyond, found))
        return "" if file.read().endswith(b"\n") else f"{found} bytes came, without the last line"


@contextmanager
def _cache_faults(folder: Path) -> Iterator[None]:
    """Turn what the system says of the cache into a DataError."""
    try:
        yield
    except OSError as fault:
        raise DataError(
            f"{fault.filename or folder}: the cache can't be used ({fault.strerror}). Free space, see who may "
            "write there, or set data.cache_dir (and data.cache_gib) otherwise."
        ) from fault

"""A folder of this machine for files on their way elsewhere."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import IOBase
from pathlib import Path

__all__ = ["make_scratch", "try_to_lock"]

PREFIX, LOCK = "signseq-scratch-", ".lock"


def try_to_lock(file: IOBase) -> bool:
    """Lock an open file until it is closed, here and in the processes forked meanwhile; whether it was free.

    Raises:
        OSError: If the file system has no locks.
        ImportError: On Windows.
    """
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def make_scratch() -> Iterator[Path]:
    """A folder that is removed in the end; what runs that were killed have left of theirs, is too."""
    folder = Path(tempfile.mkdtemp(prefix="signseq-new-"))
    try:
        with (folder / LOCK).open("a") as file:
            try:
                try_to_lock(file)
                _sweep(folder.parent)
                # Only now, so that no other run takes it for one that was left.
                folder = folder.rename(folder.with_name(f"{PREFIX}{folder.name}"))
            except (ImportError, OSError):  # no locks: what is killed leaves its folder
                pass
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(place: Path) -> None:
    for folder in place.glob(f"{PREFIX}*"):
        try:
            with (folder / LOCK).open("a") as file:
                if try_to_lock(file):
                    shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # another user's
            continue

"""Locks between the workers of a sweep; they end with the process that holds them, however it ends."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["alone", "own", "release"]

logger = logging.getLogger(__name__)
SWEEP_LOCK, TRIAL_LOCK = ".sweep.lock", ".owner"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait for all other workers of the sweep in a folder, and keep them waiting."""
    with (folder / SWEEP_LOCK).open("a") as file:
        _lock(file, wait=True)
        yield


def own(folder: Path) -> IO[str] | None:
    """Take a trial's folder, until `release`; None if another process has it.

    A record lock: unlike one by `flock` it isn't handed on to loaders' workers, which outlive a
    killed trial for seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / TRIAL_LOCK).open("a")
    if _lock(file, wait=False):
        return file
    file.close()
    return None


def release(file: IO[str]) -> None:
    """Give a trial's folder back."""
    file.close()


def _lock(file: IO[str], *, wait: bool) -> bool:
    """Whether the lock was got; where there are no locks, it always is."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return True
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (BlockingIOError, PermissionError):  # systems differ
        return False
    except OSError as fault:  # some network file systems
        logger.debug("%s: no lock (%s)", file.name, fault)
    return True

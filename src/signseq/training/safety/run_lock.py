"""One run in one folder at a time."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from signseq.errors import CheckpointError

__all__ = ["LOCK", "check_unlocked", "lock_run"]

logger = logging.getLogger(__name__)
LOCK = ".lock"  # in the run's folder


@contextmanager
def lock_run(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder until this process ends, however it ends.

    A record lock: unlike one by `flock` it isn't handed on to workers, which outlive a killed run
    for seconds; and most network file systems heed it.

    Args:
        folder: Of the run; it must be there.

    Raises:
        CheckpointError: If another run is in it.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    with (folder / LOCK).open("a+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as fault:  # systems differ
            raise _busy(folder) from fault
        except OSError as fault:  # some network file systems
            logger.debug("%s: no lock (%s)", folder, fault)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def check_unlocked(folder: Path) -> None:
    """Look whether a run is in a folder, and change nothing; of a run's processes only the first one looks.

    The look is a shared lock: those of two that look at the same time don't meet, but it would keep out the
    run's own first process while a later one looks.

    Raises:
        CheckpointError: If so.
    """
    try:
        import fcntl
    except ImportError:
        return
    if os.environ.get("RANK", "0") != "0" or not (folder / LOCK).exists():
        return
    try:
        with (folder / LOCK).open(encoding="utf-8") as file:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError as fault:
        raise _busy(folder) from fault
    except OSError as fault:  # not ours to read, or no locks there
        logger.debug("%s: %s", folder / LOCK, fault)


def _busy(folder: Path) -> CheckpointError:
    try:
        holder = (folder / LOCK).read_text(encoding="utf-8").strip()
    except OSError:
        holder = ""
    return CheckpointError(
        f"{folder}: another run is writing there{f' ({holder})' if holder else ''}. Wait until it is done, stop it, "
        "or set another training.checkpoint_dir."
    )

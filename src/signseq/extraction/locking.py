"""One run at a time in a folder of poses."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from signseq.data.scratch import try_to_lock
from signseq.errors import DataError

__all__ = ["LOCK", "lock_poses"]

logger = logging.getLogger(__name__)
LOCK = ".lock"


@contextmanager
def lock_poses(out: Path) -> Iterator[None]:
    """Keep every other run out of a folder; ends with this process, however it ends.

    Raises:
        DataError: If another run is in it.
        OSError: If it can't be written.
    """
    with (out / LOCK).open("a") as file:
        try:
            is_ours = try_to_lock(file)
        except (ImportError, OSError) as fault:  # Windows, and some network file systems
            logger.debug("%s: no lock (%s)", out, fault)
            is_ours = True
        if not is_ours:
            raise DataError(
                f"{out}: another `signseq pose` or `signseq prepare` is writing poses there. Wait until it is done, "
                "or stop it; then run this one again."
            )
        yield

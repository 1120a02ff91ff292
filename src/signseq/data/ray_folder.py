"""A store's folder as the nodes of a Ray cluster see it: of a file system that they share."""

from __future__ import annotations

import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from signseq.data.shards import faults_named
from signseq.data.storage import LocalFolder, StoreFolder
from signseq.errors import DataError

__all__ = ["SharedFolder", "shared"]

MARKER, SCRATCH = "ray-run-", "ray-scratch-"


@dataclass(frozen=True)
class SharedFolder(LocalFolder):
    """A folder that several machines see, while a run is on.

    Workers may outlive the process that sent them by some seconds. By the marker, which the next run
    removes, they see that nothing is wanted of them any more; and each writes in a place of its own.

    Attributes:
        marker: A file in it that stands for the run.
    """

    marker: str

    def check(self) -> None:
        """Raise a DataError where the run's folder isn't seen, or the run is over."""
        if not (self.path / self.marker).exists():
            raise DataError(
                f"{self.path}: the Ray node {socket.gethostname()} doesn't see this folder as the machine does that "
                "started the run (or that run is over). Choose a `data.store` that all nodes share: a folder of a "
                "network file system, or a place such as s3://bucket/stores/mine."
            )

    def take(self, path: Path, name: str) -> None:
        """See `StoreFolder`."""
        self.check()
        super().take(path, name)

    def write(self, name: str, content: bytes) -> None:
        """See `StoreFolder`."""
        with self.scratch() as folder:
            partial_file = folder / name
            partial_file.write_bytes(content)
            self.take(partial_file, name)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """See `StoreFolder`: in the folder, so that taking a file over is but a new name."""
        with tempfile.TemporaryDirectory(
            prefix=SCRATCH, dir=self.path, ignore_cleanup_errors=True
        ) as folder:
            yield Path(folder)


@contextmanager
def shared(folder: StoreFolder) -> Iterator[StoreFolder]:
    """The folder as the nodes get it; in the end, what is left in it for them is removed."""
    if not isinstance(folder, LocalFolder):
        yield folder
        return
    path = folder.path.resolve()
    with faults_named(folder):
        _sweep(path)
        marker = f"{MARKER}{secrets.token_hex(8)}"
        (path / marker).touch()
    try:
        yield SharedFolder(path, marker)
    finally:
        _sweep(path)


def _sweep(path: Path) -> None:
    """Remove what this run, or one that was killed, leaves behind."""
    for marker in path.glob(f"{MARKER}*"):
        marker.unlink(missing_ok=True)
    for folder in path.glob(f"{SCRATCH}*"):
        shutil.rmtree(folder, ignore_errors=True)

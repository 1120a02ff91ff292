"""Where a store's files are: a folder of this machine, or any place that fsspec knows (s3, gs, hf, ...)."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from signseq.errors import DataError, MissingExtraError

__all__ = ["LocalFolder", "RemoteFolder", "StoreFolder", "as_folder", "open_folder"]

# The package that fsspec needs for a place, and the extra of ours that installs it.
EXTRAS = {
    "s3": ("s3fs", "s3"),
    "s3a": ("s3fs", "s3"),
    "gs": ("gcsfs", "gs"),
    "gcs": ("gcsfs", "gs"),
}


class StoreFolder(Protocol):
    """The files of one split's store. A file is there whole or not at all; it is never changed in place."""

    def read(self, name: str) -> bytes:
        """A small file.

        Raises:
            FileNotFoundError: If it is not there.
        """

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""

    def take(self, path: Path, name: str) -> None:
        """Take over a finished file of this machine, which is gone from its place afterwards."""

    def sizes(self) -> dict[str, int]:
        """The bytes of each file; none where there is no folder."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def fetch(self, name: str, path: Path) -> None:
        """Copy a file to this machine.

        Raises:
            FileNotFoundError: If it is not there.
        """

    def scratch(self) -> Any:
        """A folder of this machine to write files in before they are taken over; a context manager."""


@dataclass(frozen=True)
class LocalFolder:
    """A folder of this machine, or of a file system that it sees as its own.

    Attributes:
        path: Where it is.
    """

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def read(self, name: str) -> bytes:
        """See `StoreFolder`."""
        return (self.path / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """See `StoreFolder`."""
        partial = self.path / f"{name}.part"
        partial.write_bytes(content)
        partial.replace(self.path / name)

    def take(self, path: Path, name: str) -> None:
        """See `StoreFolder`."""
        path.replace(self.path / name)

    def sizes(self) -> dict[str, int]:
        """See `StoreFolder`."""
        if not self.path.is_dir():
            return {}
        return {path.name: path.stat().st_size for path in self.path.iterdir() if path.is_file()}

    def remove(self, name: str) -> None:
        """See `StoreFolder`."""
        (self.path / name).unlink(missing_ok=True)

    def fetch(self, name: str, path: Path) -> None:
        """See `StoreFolder`."""
        shutil.copyfile(self.path / name, path)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """See `StoreFolder`: the folder itself, so that taking a file over is but a new name."""
        self.path.mkdir(parents=True, exist_ok=True)
        yield self.path


@dataclass(frozen=True)
class RemoteFolder:
    """A place that fsspec knows; one write is one upload, which such places make visible at its end.

    Attributes:
        url: Where it is, e.g. `s3://bucket/stores/isign/train`.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def _files(self) -> Any:
        # Asked for anew each time, as fsspec keeps them itself: one per process, also after a fork.
        import fsspec

        protocol = self.url.partition("://")[0]
        try:
            return fsspec.core.url_to_fs(self.url)[0]
        except ImportError as fault:
            package, extra = EXTRAS.get(protocol, (protocol, protocol))
            raise MissingExtraError(
                package=package, extra=extra, purpose=f"a store at {self.url}"
            ) from fault
        except ValueError as fault:
            raise DataError(f"data.store = {self.url}: no such kind of place ({fault}).") from fault

    @cached_property
    def _root(self) -> str:
        import fsspec

        return str(fsspec.core.strip_protocol(self.url)).rstrip("/")

    def _place(self, name: str) -> str:
        return f"{self._root}/{name}"

    def read(self, name: str) -> bytes:
        """See `StoreFolder`."""
        return bytes(self._files.cat_file(self._place(name)))

    def write(self, name: str, content: bytes) -> None:
        """See `StoreFolder`."""
        self._files.pipe_file(self._place(name), content)

    def take(self, path: Path, name: str) -> None:
        """See `StoreFolder`."""
        self._files.put_file(str(path), self._place(name))
        path.unlink()

    def sizes(self) -> dict[str, int]:
        """See `StoreFolder`."""
        files = self._files
        files.invalidate_cache(self._root)  # else what others wrote meanwhile is not seen
        try:
            found = files.ls(self._root, detail=True)
        except FileNotFoundError:
            return {}
        return {
            str(each["name"]).rsplit("/", 1)[-1]: int(each["size"])
            for each in found
            if each["type"] == "file"
        }

    def remove(self, name: str) -> None:
        """See `StoreFolder`."""
        try:
            self._files.rm_file(self._place(name))
        except FileNotFoundError:
            return

    def fetch(self, name: str, path: Path) -> None:
        """See `StoreFolder`."""
        self._files.get_file(self._place(name), str(path))

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """See `StoreFolder`."""
        with tempfile.TemporaryDirectory(prefix="signseq-") as folder:
            yield Path(folder)


def as_folder(place: StoreFolder | Path | str) -> StoreFolder:
    """The folder at a path or a URL; it need not be there yet."""
    if isinstance(place, str) and "://" in place:
        return RemoteFolder(place.rstrip("/"))
    return LocalFolder(Path(place)) if isinstance(place, str | Path) else place


def open_folder(place: Path | str, split: str) -> StoreFolder:
    """The folder of one split of the store at a place; it need not be there yet."""
    folder = as_folder(place)
    return (
        LocalFolder(folder.path / split)
        if isinstance(folder, LocalFolder)
        else as_folder(f"{folder}/{split}")
    )

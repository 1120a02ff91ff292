"""Where a store's files are: a folder of this machine, or any place that fsspec knows (s3, gs, hf, ...)."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

from signseq.data.scratch import make_scratch
from signseq.errors import DataError, MissingExtraError, SignSeqError

__all__ = ["LocalFolder", "RemoteFolder", "StoreFolder", "as_folder", "open_folder"]

R = TypeVar("R")
# The package that fsspec needs for a place, and the extra of ours that installs it.
EXTRAS = {
    "s3": ("s3fs", "s3"),
    "s3a": ("s3fs", "s3"),
    "gs": ("gcsfs", "gs"),
    "gcs": ("gcsfs", "gs"),
}
# They have no folders but as parts of names; asked to make one, some would make a bucket.
WITHOUT_FOLDERS = {*EXTRAS, "hf", "abfs", "abfss", "az", "memory"}
ONE_SLASH = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")  # not a drive of Windows, C:/
WAITS = (0.5, 2.0, 5.0)  # seconds before a place that failed is tried again


class StoreFolder(Protocol):
    """The files of one split's store; a file is never changed in place.

    Folders and object stores show a file whole or not at all. Other places (`file://`, `sftp://`) may keep half
    of one where a run is killed. That does no harm: a shard's `.json`, written last, tells the sizes of its files.
    """

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

    def scratch(self) -> AbstractContextManager[Path]:
        """A folder of this machine to write files in before they are taken over; makes this one, if need be."""


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
    """A place that fsspec knows; one write is one upload, which object stores make visible at its end.

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

        try:
            return fsspec.core.url_to_fs(self.url)[0]
        except ImportError as fault:
            if self._protocol not in EXTRAS:
                raise DataError(f"{self.url}: {fault}.") from fault
            package, extra = EXTRAS[self._protocol]
            raise MissingExtraError(
                package=package, extra=extra, purpose=f"A store at {self.url}"
            ) from fault
        except ValueError as fault:
            raise DataError(f"{self.url}: no such kind of place ({fault}).") from fault

    @property
    def _protocol(self) -> str:
        return self.url.partition("://")[0]

    @property
    def is_of_one_process(self) -> bool:
        """Whether other processes would see another, empty place."""
        return self._protocol == "memory"

    @cached_property
    def _root(self) -> str:
        import fsspec

        return str(fsspec.core.strip_protocol(self.url)).rstrip("/")

    def _place(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _try(self, action: Callable[[Any], R]) -> R:
        """Do something with the place, more than once if it fails.

        Raises:
            FileNotFoundError: If there is no such file.
            DataError: If it can't be done; each kind of place has errors of its own.
        """
        for wait in (*WAITS, None):
            try:
                return action(self._files)
            except (FileNotFoundError, SignSeqError):
                raise
            except Exception as fault:
                may_pass = isinstance(fault, OSError) and not isinstance(fault, PermissionError)
                if wait is None or not may_pass:
                    raise DataError(
                        f"{self.url}: can't be reached, read or written ({type(fault).__name__}: {fault}). See whether "
                        "the name is right, the network is there, and your credentials allow it; then run the "
                        "same command again."
                    ) from fault
                time.sleep(wait)
        raise AssertionError("the last round ends in a return or an error")

    def _try_to_write(self, action: Callable[[Any], R]) -> R:
        try:
            return self._try(action)
        except FileNotFoundError as fault:
            raise DataError(
                f"{self.url}: there is no such bucket or folder ({fault}). Make it first, or choose another "
                "`data.store`."
            ) from fault

    def read(self, name: str) -> bytes:
        """See `StoreFolder`."""
        return bytes(self._try(lambda files: files.cat_file(self._place(name))))

    def write(self, name: str, content: bytes) -> None:
        """See `StoreFolder`."""
        self._try_to_write(lambda files: files.pipe_file(self._place(name), content))

    def take(self, path: Path, name: str) -> None:
        """See `StoreFolder`."""
        self._try_to_write(lambda files: files.put_file(str(path), self._place(name)))
        path.unlink()

    def sizes(self) -> dict[str, int]:
        """See `StoreFolder`."""

        def list_files(files: Any) -> Any:
            files.invalidate_cache(self._root)  # else what others wrote meanwhile is not seen
            return files.ls(self._root, detail=True)

        try:
            found = self._try(list_files)
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
            self._try(lambda files: files.rm_file(self._place(name)))
        except FileNotFoundError:
            return

    def fetch(self, name: str, path: Path) -> None:
        """See `StoreFolder`."""
        self._try(lambda files: files.get_file(self._place(name), str(path)))

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """See `StoreFolder`."""
        if self._protocol not in WITHOUT_FOLDERS:
            self._try(lambda files: files.makedirs(self._root, exist_ok=True))
        with make_scratch() as folder:
            yield folder


def as_folder(place: StoreFolder | Path | str) -> StoreFolder:
    """The folder at a path or a URL; it need not be there yet.

    Raises:
        DataError: If it is half a URL, which would become a folder of this machine with an odd name.
    """
    if not isinstance(place, str | Path):
        return place
    if isinstance(place, str) and "://" in place:
        protocol, _, name = place.partition("://")
        if not name.strip("/") or (protocol in EXTRAS and name.startswith("/")):
            raise DataError(
                f"{place}: names no place. Expected {_form_of(protocol)}, with no more slashes."
            )
        return RemoteFolder(place.rstrip("/"))
    match = ONE_SLASH.match(str(place))
    if match is not None:
        raise DataError(
            f"{place}: a path that begins like a URL. Expected {_form_of(match[1])} with two slashes after the "
            f"colon; for a folder of this machine that is called so: ./{place}"
        )
    return LocalFolder(Path(place))


def _form_of(protocol: str) -> str:
    return f"{protocol}://{'bucket' if protocol in WITHOUT_FOLDERS else '/folder'}/stores/mine"


def open_folder(place: Path | str, split: str) -> StoreFolder:
    """The folder of one split of the store at a place; it need not be there yet."""
    folder = as_folder(place)
    return (
        LocalFolder(folder.path / split)
        if isinstance(folder, LocalFolder)
        else as_folder(f"{folder}/{split}")
    )

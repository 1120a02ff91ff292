"""Poses in a zip, whole or split by bytes into `..._part_aa`, `..._part_ab`, ...: read where they are.

The parts are one seekable stream; nothing is joined or unpacked. The zip's directory is read once a
process. Bytes are read by their place (`pread`), so that processes may share what is open.
"""

from __future__ import annotations

import io
import os
import re
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from signseq.errors import DataError, PoseError
from signseq.poses.reading import may_pass, unreadable

__all__ = ["Archive", "is_archive", "open_archive"]

PART = re.compile(r"(.*part_)([a-z]{2})")
MEMBER_FAULTS = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError),
    *(MemoryError, ValueError),
)


class _Parts(io.RawIOBase):
    """Files end to end, as one stream that can be read and sought."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._files: list[int] = []
        self.paths = paths
        try:
            for path in paths:
                self._files.append(os.open(path, os.O_RDONLY))
            sizes = [os.fstat(file).st_size for file in self._files]
        except OSError:
            self.close()
            raise
        self._starts = [0, *accumulate(sizes)]
        self._position = 0

    def close(self) -> None:
        while self._files:
            os.close(self._files.pop())
        super().close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._starts[-1]}[whence]
        if base + offset < 0:
            raise OSError(f"no place {base + offset} in a stream")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """At most to the end of a part; what buffers this reads on."""
        part = bisect_right(self._starts, self._position) - 1
        if part == len(self._files):
            return 0
        count = os.preadv(self._files[part], [buffer], self._position - self._starts[part])
        self._position += count
        return count

    def part_at(self, place: int) -> str:
        """The file that holds a byte of the stream."""
        return self.paths[min(bisect_right(self._starts, place), len(self.paths)) - 1]


class Archive:
    """An opened zip.

    Attributes:
        path: Its path; of the first part, where it is split.
    """

    def __init__(self, path: str, parts: _Parts) -> None:
        self.path = path
        self._parts = parts
        try:
            self._zip = zipfile.ZipFile(io.BufferedReader(parts))
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as fault:
            raise DataError(f"{path}: {_why_no_zip(parts.paths)} ({fault}).") from fault
        start = min((info.header_offset for info in self._zip.infolist()), default=0)
        if start < 0:
            raise DataError(
                f"{path}: {-start} bytes are missing before the zip's directory; {_which_parts(parts.paths)} cut "
                "off. Fetch it again."
            )

    @property
    def names(self) -> list[str]:
        """The files in it, with their folders."""
        return [info.filename for info in self._zip.infolist() if not info.is_dir()]

    def stamp(self, member: str) -> str:
        """Size and checksum of a member, the same wherever the zip is and however it is split."""
        info = self._find(member)
        return "missing" if info is None else f"{info.file_size} {info.CRC:08x}"

    def read(self, member: str) -> bytes:
        """The bytes of a member; its folder in the zip needn't be said.

        Raises:
            PoseError: If it isn't there, or damaged; says in which part.
        """
        info = self._find(member)
        if info is None:
            raise PoseError(f"{self.path}/{member}: no such file.")
        try:
            return self._zip.read(info)
        except MEMBER_FAULTS as fault:
            if isinstance(fault, OSError) and may_pass(fault):
                raise unreadable(f"{self.path}/{member}", fault) from fault
            part = self._parts.part_at(info.header_offset)
            raise PoseError(
                f"{self.path}/{member}: can't be unpacked ({fault}); {part} is damaged or cut off. Fetch it again."
            ) from fault

    def _find(self, member: str) -> zipfile.ZipInfo | None:
        info = self._zip.NameToInfo.get(member)
        return info or self._by_file_name.get(member)

    @cached_property
    def _by_file_name(self) -> dict[str, zipfile.ZipInfo]:
        """The members in folders by what follows the folder, where that is unambiguous."""
        infos: dict[str, zipfile.ZipInfo | None] = {}
        for info in self._zip.infolist():
            if "/" in info.filename:
                name = info.filename.rsplit("/", 1)[1]
                infos[name] = None if name in infos else info
        return {name: info for name, info in infos.items() if info is not None}


def is_archive(path: Path) -> bool:
    """Whether a path is named like a zip, or like the first of its parts."""
    match = PART.fullmatch(path.name)
    return path.suffix == ".zip" or (match is not None and match[2] == "aa")


def open_archive(path: str) -> Archive:
    """Open a zip, or all parts of one by the path of the first, `..._part_aa`; once a process.

    Raises:
        PoseError: If it isn't there.
        DataError: If it is no whole zip, or a part is missing or cut off.
    """
    try:
        paths = _find_parts(path)
        stats = [os.stat(part) for part in paths]
    except OSError as fault:
        raise unreadable(path, fault) from fault
    return _open(path, paths, tuple((stat.st_size, stat.st_mtime_ns) for stat in stats))


@lru_cache(maxsize=4)
def _open(path: str, paths: tuple[str, ...], sizes: tuple[tuple[int, int], ...]) -> Archive:
    _check_parts(paths, [size for size, _ in sizes])
    try:
        return Archive(path, _Parts(paths))
    except OSError as fault:
        raise DataError(f"{path}: can't be read ({fault.strerror}).") from fault


def _find_parts(path: str) -> tuple[str, ...]:
    match = PART.fullmatch(path)
    if match is None:
        return (path,)
    paths = [path]
    while os.path.exists(following := f"{match[1]}{_letters(len(paths))}"):
        paths.append(following)
    return tuple(paths)


def _letters(number: int) -> str:
    """aa, ab, ..., zz, as `split` numbers its parts."""
    return chr(97 + number // 26) + chr(97 + number % 26)


def _check_parts(paths: Sequence[str], sizes: Sequence[int]) -> None:
    """Say which part is missing or cut off; `split` makes all but the last equally large."""
    match = PART.fullmatch(paths[0])
    if match is None:
        return
    folder, stem = os.path.split(match[1])
    names = [name for name in os.listdir(folder or ".") if name.startswith(stem)]
    later = [name for name in names if PART.fullmatch(name) and name > os.path.basename(paths[-1])]
    missing = f"{match[1]}{_letters(len(paths))}"
    if later:
        raise DataError(f"{missing}: this part is missing, but {min(later)} is there. Fetch it.")
    for path, size in zip(paths[:-1], sizes, strict=False):
        if size < max(sizes):
            raise DataError(
                f"{path}: {size} bytes, while another part has {max(sizes)}; this one is cut off. Fetch it again."
            )


def _why_no_zip(paths: Sequence[str]) -> str:
    if len(paths) == 1 and not PART.fullmatch(paths[0]):
        return "no whole zip; cut off, perhaps. Fetch it again"
    following = os.path.basename(PART.sub(rf"\g<1>{_letters(len(paths))}", paths[-1]))
    return (
        f"its {len(paths)} parts are no whole zip: {os.path.basename(paths[-1])} is cut off, or {following} and what "
        "follows it are missing. Fetch them again"
    )


def _which_parts(paths: Sequence[str]) -> str:
    if len(paths) == 1:
        return "it is"
    return f"one of the parts before {os.path.basename(paths[-1])} is"

"""Landmarks in HDF5 shards: `{video: {clip: array}}`, as YouTube-ASL's ready keypoints come."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from signseq.errors import MissingExtraError, PoseAccessError, PoseError
from signseq.poses.reading import may_pass, unreadable
from signseq.poses.sources.arrays import open_array, skeleton_of
from signseq.poses.sources.source import PoseFormat, PoseSource

if TYPE_CHECKING:
    import h5py

__all__ = ["list_h5", "open_h5"]

DEFAULT_SKELETON = "youtube_asl_104"
SYSTEM_FAULT = re.compile(r"errno = (\d+)")


def open_h5(path: str, member: str, pose_format: PoseFormat, *, name: str) -> PoseSource:
    """Open one data set of an HDF5 file; only the frames that are asked for are read.

    Args:
        path: The file.
        member: The data set in it, `video/clip`; frames first, (T, 208) or (T, 104, 2).
        pose_format: Its frame rate, and its points where they aren't YouTube-ASL's 104.
        name: What to call it in messages.

    Raises:
        PoseError: If the file is locked, cut off or no HDF5 file, or the data set isn't in it.
        MissingExtraError: If h5py isn't installed.
    """
    skeleton = skeleton_of(pose_format, default=DEFAULT_SKELETON)
    file = _open(path, name)
    try:
        data = file.get(member)
        shape = getattr(data, "shape", None)  # a group has none
    except (OSError, RuntimeError, ValueError, KeyError) as fault:
        raise _kind(fault)(f"{name}: can't be read ({fault}). Fetch {path} again.") from fault
    if data is None or shape is None:
        raise PoseError(f"{name}: no such data set in the file.")

    def read(first: int, last: int) -> Any:
        try:
            return data[first:last]
        except (OSError, RuntimeError) as fault:
            said = f"cut off or damaged ({fault}). Fetch {path} again."
            raise _kind(fault)(f"{name}: {said}") from fault

    return open_array(data, tuple(shape), pose_format, skeleton, name=name, read=read)


def list_h5(path: str) -> Iterator[str]:
    """The data sets of an HDF5 file, as `video/clip`.

    Raises:
        PoseError: If the file can't be read.
        MissingExtraError: If h5py isn't installed.
    """
    try:
        for video, clips in _open(path, path).items():
            if hasattr(clips, "keys"):  # a group, not a data set
                yield from (f"{video}/{clip}" for clip in clips)
    except (OSError, RuntimeError) as fault:
        raise PoseError(f"{path}: cut off or damaged ({fault}). Fetch it again.") from fault


def _open(path: str, name: str) -> h5py.File:
    try:
        stat = os.stat(path)
    except OSError as fault:
        raise unreadable(name, fault) from fault
    return _open_file(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=8)
def _open_file(path: str, _size: int, _changed: int) -> h5py.File:
    try:
        import h5py
    except ImportError as fault:
        raise MissingExtraError(package="h5py", extra="h5", purpose="Reading HDF5 files") from fault
    try:
        return h5py.File(path, "r")
    except BlockingIOError as fault:
        raise PoseAccessError(f"{path}: {_locked()}") from fault
    except OSError as fault:
        said = str(fault)
        if "truncated" in said:
            raise PoseError(f"{path}: cut off ({said}). Fetch it again.") from fault
        if "unable to lock file" in said or "already open for write" in said:
            raise PoseAccessError(f"{path}: {_locked()}") from fault
        if may_pass(fault):
            raise unreadable(path, fault) from fault
        raise _kind(fault)(f"{path}: not a whole HDF5 file ({said}). Fetch it again.") from fault


def _kind(fault: Exception) -> type[PoseError]:
    """What kind of error a fault is; the number that the system gave HDF5 stands in its text only."""
    number = SYSTEM_FAULT.search(str(fault))
    passes = may_pass(fault) or (number is not None and may_pass(OSError(int(number[1]), "")))
    return PoseAccessError if passes else PoseError


def _locked() -> str:
    return (
        "another program is writing this HDF5 file, or the file system can't lock it. Wait until it is "
        "written; on a network drive, set the environment variable HDF5_USE_FILE_LOCKING=FALSE."
    )


# A handle that two processes share reads garbage: what is open here is closed before a fork.
os.register_at_fork(before=_open_file.cache_clear)

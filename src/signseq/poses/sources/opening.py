"""Opening poses wherever they are: a file, a folder of frames, or a place inside a zip or HDF5 file."""

from __future__ import annotations

import os

from signseq.errors import PoseError
from signseq.poses.sources.arrays import open_npy
from signseq.poses.sources.dot_pose import open_dot_pose
from signseq.poses.sources.hdf5 import open_h5
from signseq.poses.sources.openpose import open_openpose
from signseq.poses.sources.source import DOT_POSE, PoseFormat, PoseSource
from signseq.poses.sources.wholebody import open_wholebody
from signseq.poses.sources.zipped import open_archive

__all__ = ["SUFFIXES", "open_poses", "stamp_poses"]

SUFFIXES = {  # of a clip's file; OpenPose's is a folder
    "pose": ".pose",
    "pose.zst": ".pose.zst",
    "npy": ".npy",
    "openpose": "",
    "wholebody_pkl": ".pkl",
}


def open_poses(
    path: str, *, member: str | None = None, pose_format: PoseFormat = DOT_POSE
) -> PoseSource:
    """Open the poses of one clip or video, of any format; nothing is decoded yet.

    Args:
        path: A file or, for OpenPose, a folder; with `member`, what contains it.
        member: The place in a zip, or in an HDF5 file.
        pose_format: How they are stored.

    Raises:
        PoseError: If they can't be read, or are damaged.
        DataError: If `path` is a damaged zip, or a part of it is missing.
        MissingExtraError: If the format needs a package that isn't installed.
    """
    name = path if member is None else f"{path}/{member}"
    kind = pose_format.name
    if kind == "h5":
        if member is None:
            raise PoseError(f"{name}: which data set of the HDF5 file?")
        return open_h5(path, member, pose_format, name=name)
    if kind == "openpose":
        if member is not None:
            raise PoseError(f"{name}: OpenPose's folders are read unpacked only. Unpack {path}.")
        return open_openpose(path, pose_format, name=name)
    content = path if member is None else open_archive(path).read(member)
    if kind == "npy":
        return open_npy(content, pose_format, name=name)
    if kind == "wholebody_pkl":
        return open_wholebody(content, pose_format, name=name)
    return open_dot_pose(content, name=name, is_packed=kind == "pose.zst")


def stamp_poses(path: str, *, member: str | None, pose_format: PoseFormat) -> str:
    """What changes when the poses do, found without reading them: their size, and time or checksum.

    Raises:
        DataError: If `path` is a damaged zip, or a part of it is missing.
    """
    try:
        if member is not None and pose_format.name != "h5":
            return open_archive(path).stamp(member)
        stat = os.stat(path)  # of a folder: when a file came or went
        files = f" {_stamp_files(path)}" if pose_format.name == "openpose" else ""
    except (OSError, PoseError):
        return "missing"
    return f"{stat.st_size} {stat.st_mtime_ns}{files}"


def _stamp_files(folder: str) -> str:
    """What changes when a file in a folder is written over: the bytes of all, and the time of the newest."""
    size = newest = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            stat = entry.stat()
            size, newest = size + stat.st_size, max(newest, stat.st_mtime_ns)
    return f"{size} {newest}"

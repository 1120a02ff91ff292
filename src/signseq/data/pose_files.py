"""Which rows have no poses, and which poses have no row; folders, zips and HDF5 files are listed, no pose is read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from signseq.data.examples import Example
from signseq.poses.sources.hdf5 import list_h5
from signseq.poses.sources.opening import SUFFIXES
from signseq.poses.sources.zipped import open_archive

__all__ = ["Unmatched", "find_unmatched"]


@dataclass(frozen=True)
class Unmatched:
    """Rows and files that don't find each other.

    Attributes:
        uids: Rows without a pose file.
        files: Pose files, and places in zips and HDF5 files, that no row names, ascending.
    """

    uids: frozenset[str]
    files: tuple[str, ...]


def find_unmatched(examples: Sequence[Example], pose_dir: Path) -> Unmatched:
    """Compare the rows of all splits with the files that are there.

    Args:
        examples: The rows; those without a place (of a store alone) are left out.
        pose_dir: Where the files are.

    Raises:
        DataError: If they are in a zip that can't be read.
        MissingExtraError: If they are in an HDF5 file, and h5py isn't installed.
    """
    contained: dict[str, list[Example]] = {}
    single = []
    for example in examples:
        if example.pose_member is not None:
            contained.setdefault(example.pose_path, []).append(example)
        elif example.pose_path:
            single.append(example)
    found = [_compare_members(path, inside) for path, inside in contained.items()]
    if single:
        found.append(_compare_files(single, pose_dir))
    return Unmatched(
        frozenset(uid for each in found for uid in each.uids),
        tuple(sorted(file for each in found for file in each.files)),
    )


def _compare_members(path: str, examples: Sequence[Example]) -> Unmatched:
    """Rows with what a zip or HDF5 file holds."""
    if not os.path.exists(path):
        return Unmatched(frozenset(each.id for each in examples), ())
    pose_format = examples[0].pose_format.name
    members = {str(each.pose_member) for each in examples}
    if pose_format == "h5":
        there = frozenset(list_h5(path))
        missing = (each.id for each in examples if each.pose_member not in there)
        return Unmatched(frozenset(missing), tuple(f"{path}/{name}" for name in there - members))
    archive = open_archive(path)
    missing = (each.id for each in examples if archive.stamp(str(each.pose_member)) == "missing")
    named = members | {member.rpartition("/")[2] for member in members}
    files = (
        name
        for name in archive.names
        if name.endswith(SUFFIXES[pose_format]) and not {name, name.rpartition("/")[2]} & named
    )
    return Unmatched(frozenset(missing), tuple(files))


def _compare_files(examples: Sequence[Example], pose_dir: Path) -> Unmatched:
    """Rows with the files, or OpenPose's folders, that lie where theirs should."""
    paths = {os.path.normpath(each.pose_path) for each in examples}
    folders = {os.path.dirname(path) or "." for path in paths}
    there = {
        path: is_folder
        for folder in folders | {os.path.normpath(pose_dir)}
        for path, is_folder in _list(folder)
    }
    missing = (each.id for each in examples if os.path.normpath(each.pose_path) not in there)
    formats = {each.pose_format.name for each in examples}
    endings = tuple({SUFFIXES[name] for name in formats if SUFFIXES[name]})
    others = there.keys() - paths - {up for path in folders for up in _upwards(path)}
    files = (
        path
        for path in others
        if ("openpose" in formats if there[path] else path.endswith(endings))
    )
    return Unmatched(frozenset(missing), tuple(files))


def _upwards(path: str) -> Iterator[str]:
    """A folder, and those that it is in."""
    while path:
        yield path
        parent = os.path.dirname(path)
        path = "" if parent == path else parent


def _list(folder: str) -> Iterator[tuple[str, bool]]:
    """The paths in a folder, and whether each is a folder itself."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                yield os.path.normpath(entry.path), entry.is_dir()
    except OSError:
        return  # then all that should be in it is missing

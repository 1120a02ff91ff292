"""Which rows have no pose file, and which pose files have no row; folders are listed, no file is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from signseq.data.examples import Example
from signseq.poses.sources.opening import SUFFIXES
from signseq.poses.sources.zipped import open_archive

__all__ = ["Unmatched", "find_unmatched"]


@dataclass(frozen=True)
class Unmatched:
    """Rows and files that don't find each other.

    Attributes:
        uids: Rows without a pose file.
        files: Pose files that no row names, ascending.
    """

    uids: frozenset[str]
    files: tuple[str, ...]


def find_unmatched(examples: Sequence[Example], pose_dir: Path) -> Unmatched:
    """Compare the rows of all splits with the files that are there.

    Places in HDF5 files are not looked at, nor are OpenPose's folders without a row.

    Args:
        examples: The rows; those without a place (of a store alone) are left out.
        pose_dir: Where the files are.

    Raises:
        DataError: If they are in a zip that can't be read.
    """
    placed = [each for each in examples if each.pose_path and each.pose_format.name != "h5"]
    zipped = [each for each in placed if each.pose_member is not None]
    single = [each for each in placed if each.pose_member is None]
    missing, files = set[str](), list[str]()
    for path in dict.fromkeys(each.pose_path for each in zipped):
        inside = [each for each in zipped if each.pose_path == path]
        if not os.path.exists(path):
            missing.update(each.id for each in inside)
            continue
        archive = open_archive(path)
        missing.update(
            each.id for each in inside if archive.stamp(str(each.pose_member)) == "missing"
        )
        members = {str(each.pose_member) for each in inside}
        named = members | {member.rpartition("/")[2] for member in members}
        ending = SUFFIXES.get(inside[0].pose_format.name, "")
        files += [
            name
            for name in archive.names
            if name.endswith(ending) and not {name, name.rpartition("/")[2]} & named
        ]
    paths = {os.path.normpath(each.pose_path): each for each in single}
    folders = {os.path.dirname(path) or "." for path in paths}
    if single:
        folders.add(os.path.normpath(pose_dir))
    there = {path for folder in folders for path in _list(folder)}
    missing.update(each.id for each in single if os.path.normpath(each.pose_path) not in there)
    endings = tuple({SUFFIXES.get(each.pose_format.name, "") for each in single} - {""})
    files += [path for path in there if path not in paths and path.endswith(endings)]
    return Unmatched(frozenset(missing), tuple(sorted(files)))


def _list(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                yield os.path.normpath(entry.path)
    except OSError:
        return  # then all that should be in it is missing

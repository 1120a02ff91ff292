"""iSign v1.1: Indian Sign Language to English."""

from __future__ import annotations

from collections.abc import Iterator

from signseq.config import DataConfig
from signseq.data.readers.example import Example
from signseq.data.readers.own_tables import read_table
from signseq.data.readers.places import build_place

__all__ = ["read_isign"]


def read_isign(data: DataConfig, split: str) -> Iterator[Example]:
    """A table `uid,text`, and `<uid>.pose` in a folder, in the joined zip, or in its parts.

    The parts are those that are downloaded, `iSign-poses_v1.1_part_aa` to `_ad`, in `pose_dir`; they
    are read where they are. The corpus has no split of its own: the table of each one is yours.
    """
    return read_table(
        data.split_paths[split],
        place=build_place(data, finds_parts=True),
        split=split,
        delimiter=",",
    )

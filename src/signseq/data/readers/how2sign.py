"""How2Sign: American Sign Language to English."""

from __future__ import annotations

from collections.abc import Iterator

from signseq.config import DataConfig
from signseq.data.readers.example import Example
from signseq.data.readers.own_tables import row_rate
from signseq.data.readers.places import build_place
from signseq.data.readers.tables import Row, parse_number, read_rows
from signseq.errors import DataError

__all__ = ["read_how2sign"]

COLUMNS = ("VIDEO_NAME", "SENTENCE_NAME", "SENTENCE")


def read_how2sign(data: DataConfig, split: str) -> Iterator[Example]:
    """`how2sign_realigned_<split>.csv`, which is separated by tabs; or the table that isn't realigned.

    The poses are of sentences, `<SENTENCE_NAME>`: folders of OpenPose's JSON files (the default
    format) or arrays; or, with `pose_files.per: video`, of whole videos, `<VIDEO_NAME>`, cut by
    the table's times. .pose files are of whole videos if nothing is said: the clips as they were
    cut don't agree with the realigned times.
    """
    place = build_place(data, default="openpose")
    per = data.pose_files.per or ("video" if place.pose_format.is_dot_pose else "clip")
    path = data.split_paths[split]
    rows = read_rows(path, delimiter="\t", required=COLUMNS, key="SENTENCE_NAME", has_quoting=False)
    for row in rows:
        name = row.values["SENTENCE_NAME"].strip()
        video = row.values["VIDEO_NAME"].strip()
        yield place.example(
            name,
            file=f"{video if per == 'video' else name}{place.suffix}",
            text=row.values["SENTENCE"],
            split=split,
            start=_time(row, "START") if per == "video" else 0.0,
            end=_time(row, "END") if per == "video" else None,
            fps=row_rate(row.values, row.where),
            source_language="ase",
        )


def _time(row: Row, name: str) -> float:
    """The realigned time, where the table has it."""
    for column in (f"{name}_REALIGNED", name):
        if column in row.values:
            return parse_number(row.values[column], where=row.where)
    raise DataError(
        f"{row.where}: the table has no column {name}_REALIGNED and none {name}, by which whole videos are cut."
    )

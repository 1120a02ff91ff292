"""OpenASL: American Sign Language to English."""

from __future__ import annotations

import re
from collections.abc import Iterator

from signseq.config import DataConfig
from signseq.data.readers.example import Example
from signseq.data.readers.own_tables import row_rate
from signseq.data.readers.places import build_place, is_split
from signseq.data.readers.tables import Row, parse_number, read_rows
from signseq.errors import DataError

__all__ = ["read_openasl"]

COLUMNS = ("vid", "yid", "start", "end", "raw-text", "split")
CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)")


def read_openasl(data: DataConfig, split: str) -> Iterator[Example]:
    """`openasl-v1.0.tsv`, which holds all splits; name it for each of them.

    The corpus comes without poses. They are those of whole videos, `<yid>.pose`, cut by the table's
    times; or, with `pose_files.per: clip`, of sentences, `<vid>.pose`.
    """
    place = build_place(data)
    per = data.pose_files.per or "video"
    path, found = data.split_paths[split], set()
    for row in read_rows(path, delimiter="\t", required=COLUMNS, key="vid", has_quoting=False):
        found.add(row.values["split"].strip())
        if not is_split(row.values["split"], split):
            continue
        vid, video = row.values["vid"].strip(), row.values["yid"].strip()
        yield place.example(
            vid,
            file=f"{video if per == 'video' else vid}{place.suffix}",
            text=row.values["raw-text"],
            split=split,
            start=_seconds(row, "start") if per == "video" else 0.0,
            end=_seconds(row, "end") if per == "video" else None,
            fps=row_rate(row.values, row.where),
            source_language="ase",
        )
    if found and not any(is_split(name, split) for name in found):
        raise DataError(
            f"{path}: no row of the split {split!r}; its column split has: {', '.join(sorted(found))}."
        )


def _seconds(row: Row, name: str) -> float:
    """A time such as 00:00:05.333."""
    value = row.values[name].strip()
    clock = CLOCK.fullmatch(value)
    if clock is None:
        return parse_number(value, where=row.where)
    hours, minutes, seconds = clock.groups()
    return round(int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds), 6)

"""COCO-WholeBody keypoints as pickles, one file per clip."""

from __future__ import annotations

from collections.abc import Iterator

from signseq.config import DataConfig
from signseq.data.readers.example import Example
from signseq.data.readers.own_tables import columns_of, read_table
from signseq.data.readers.places import build_place

__all__ = ["read_wholebody"]


def read_wholebody(data: DataConfig, split: str) -> Iterator[Example]:
    """A comma-separated table with `uid` and `text`, and `<uid>.pkl`; see `poses.sources.wholebody`."""
    return read_table(
        data.split_paths[split],
        place=build_place(data, default="wholebody_pkl"),
        split=split,
        delimiter=",",
        columns=columns_of(data),
        time_unit=data.time_unit or "seconds",
    )

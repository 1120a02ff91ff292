"""Example: one clip and its sentence, as every reader gives it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from signseq.config import DataConfig
from signseq.poses.sources.source import DOT_POSE, PoseFormat, TimeUnit

__all__ = ["Example", "Reader", "row_bytes"]


@dataclass(frozen=True, slots=True)
class Example:
    """One clip and its sentence.

    Attributes:
        id: Unique over all splits.
        pose_path: The file of its poses, or the folder, or the zip or HDF5 file that they are in.
        start: Where the clip starts in it, in `time_unit`.
        end: Where it ends; None means with the file.
        text: The sentence in Unicode's form NFC, white space collapsed; empty where the corpus has none.
        split: `train`, `val`, `test` or another name.
        signer: Who signs, where known.
        source_language: The signed language, where known (ISO 639-3, e.g. `ins`, `ase`).
        target_language: The language of the text, where known.
        pose_member: The place inside of a zip or HDF5 file.
        pose_format: How the poses are stored.
        time_unit: `seconds`, or `frames` where the corpus counts those.
    """

    id: str
    pose_path: str
    start: float
    end: float | None
    text: str
    split: str
    signer: str | None = None
    source_language: str | None = None
    target_language: str | None = None
    # Not in `repr`, of which the digests of shards are made: those of .pose files stay as they were.
    pose_member: str | None = field(default=None, repr=False)
    pose_format: PoseFormat = field(default=DOT_POSE, repr=False)
    time_unit: TimeUnit = field(default="seconds", repr=False)

    @property
    def place(self) -> str:
        """Where its poses are, for messages."""
        return (
            self.pose_path if self.pose_member is None else f"{self.pose_path}/{self.pose_member}"
        )

    @property
    def manner(self) -> str:
        """How its poses are read, for digests; empty for a .pose file, cut by seconds."""
        if self.pose_format == DOT_POSE and self.time_unit == "seconds":
            return ""
        return json.dumps(self.pose_format.facts | {"unit": self.time_unit})


Reader = Callable[[DataConfig, str], Iterator[Example]]


def row_bytes(example: Example, *, pose_dir: Path) -> bytes:
    """What a table says of an example, for a digest; the same wherever `pose_dir` is, zipped or not."""
    path = example.pose_member or example.pose_path.removeprefix(os.path.join(pose_dir, ""))
    facts = (example.start, example.end, example.text, example.signer)
    languages = (example.source_language, example.target_language)
    manner = example.manner
    row = (example.id, path, *facts, *languages, *([manner] if manner else []))
    return f"{json.dumps(row)}\n".encode()

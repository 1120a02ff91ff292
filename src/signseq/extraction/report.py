"""What an extraction found: a summary, and `skipped.csv`."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from signseq.extraction.journal import Record
from signseq.poses.estimation.video import SUFFIXES

__all__ = ["ExtractionReport", "count_kinds", "write_skipped"]

SKIPPED = "skipped.csv"


@dataclass(frozen=True)
class ExtractionReport:
    """What `extract_poses` found.

    Attributes:
        folder: Where the poses are.
        records: What is known of each video, those done before included.
        skipped: Videos that can't be used, each with its reason.
        done_before: How many of the records are of earlier runs.
        foreign: How many poses were there already, made by something else; they were left.
        others: How many files are no videos, by the ends of their names.
        claimed: Of those that can't be used, the ones whose poses would replace another video's, and that one.
    """

    folder: Path
    records: tuple[Record, ...]
    skipped: tuple[tuple[str, str], ...]
    done_before: int
    foreign: int
    others: Mapping[str, int] = field(default_factory=dict)
    claimed: tuple[tuple[str, str], ...] = ()

    @property
    def videos(self) -> int:
        """How many videos there are."""
        return len(self.records) + self.foreign + len(self.skipped)

    def describe(self) -> str:
        """The report, a line each."""
        records = self.records
        frames = sum(record.frames for record in records)
        seconds = sum(record.frames / record.fps for record in records)
        lines = [
            f"The poses of {self.videos - len(self.skipped)} of {self.videos} videos are in {self.folder}: "
            f"{frames} frames, {f'{seconds / 60:.1f} minutes' if seconds >= 60 else f'{seconds:.1f} s'}."
        ]
        if self.done_before:
            lines.append(f"{self.done_before} of them were done before.")
        if self.foreign:
            lines.append(
                f"{self.foreign} .pose files were there already and not made here; they were left as they are "
                "(--overwrite replaces them)."
            )
        if variable := sum(record.is_variable for record in records):
            lines.append(
                f"{variable} videos have a variable frame rate; their poses have a constant one, with frames "
                "repeated or left out."
            )
        if several := [record for record in records if record.people > 1]:
            clips = sum(len(record.poses) for record in several)
            what = f"they got {clips} poses" if clips > len(several) else "the largest was followed"
            lines.append(f"Several people are in view in {len(several)} of them; {what}.")
        if self.others:
            lines.append(
                f"Not looked at, as their names are no videos: {count_kinds(self.others)}."
            )
        if self.skipped:
            lines.append(self.describe_skipped())
        return "\n".join(lines)

    def describe_skipped(self) -> str:
        """How many can't be used, and why."""
        reasons = Counter(reason for _, reason in self.skipped).most_common(3)
        common = "; ".join(f"{number} x {reason}" for reason, number in reasons)
        return (
            f"{len(self.skipped)} of {self.videos} videos can't be used, all listed in {self.folder / SKIPPED}. "
            f"Most often: {common}"
        )


def count_kinds(others: Mapping[str, int]) -> str:
    """Which files are no videos: `3 x .jpg, 2 x .txt`."""
    kinds = Counter(others).most_common(5)
    return ", ".join(f"{number} x {kind}" for kind, number in kinds) or "nothing"


def write_skipped(
    folder: Path, rows: Sequence[tuple[str, str]], *, looked_at: Collection[str] | None = None
) -> None:
    """Write the list of what can't be used; where all can be, there is none.

    Args:
        folder: Where the poses are.
        rows: Names of videos, and reasons.
        looked_at: The names that a run was about; what was said of others stays. None means all.
    """
    path = folder / SKIPPED
    if looked_at is not None:
        new = {*looked_at, *(name for name, _ in rows)}
        kept = [row for row in _read_skipped(path) if row[0] not in new]
        rows = sorted([*rows, *(row for row in kept if not _has_pose(folder, row[0]))])
    if not rows:
        path.unlink(missing_ok=True)
        return
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("file", "reason"))
    writer.writerows(rows)
    content = table.getvalue().encode(errors="replace")  # names may be in no encoding
    if path.exists() and path.read_bytes() == content:
        return  # the folder may be read-only by now
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_bytes(content)
    part.replace(path)


def _read_skipped(path: Path) -> Iterator[tuple[str, str]]:
    try:
        content = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    for row in csv.DictReader(io.StringIO(content, newline="")):
        if row.get("file") and row.get("reason"):
            yield row["file"], row["reason"]


def _has_pose(folder: Path, name: str) -> bool:
    stem = name.rpartition(".")[0] if name.lower().endswith(SUFFIXES) else name
    return (folder / f"{stem}.pose").exists()

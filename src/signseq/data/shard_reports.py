"""What became of the clips of a shard, as it stands in its `.json`, and of all shards together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signseq.data.storage import StoreFolder

__all__ = [
    "ShardReport",
    "index_of",
    "merge_reports",
    "pack_report",
    "read_report",
    "shard_files",
    "shard_name",
    "store_digest",
    "total_facts",
]

SUMMED = (
    *("clips", "frames", "seconds", "several_people", "missing_frames", "ends_outside"),
    *("without_hands", "unusable_points"),
)


@dataclass
class ShardReport:
    """What became of the examples of one shard, or of all shards together.

    Attributes:
        digest: Identifies settings, rows and files.
        clips: How many were packed.
        frames: How many frames they have.
        seconds: How long they last.
        skipped: (uid, file, reason) of those that were not packed.
        several_people: Clips with more than one person; the most visible one was taken.
        missing_frames: Frames whose own file is not there, treated as showing nobody.
        ends_outside: Clips whose table ends them more than a second after their file ends.
        without_hands: Clips in which no hand is ever visible.
        unusable_points: Points with NaN, infinite or absurd coordinates, treated as missing.
        estimators: Clips of each family of pose estimators, where known.
        sums: Count, sum and sum of squares of the visible points, (3, K, C).
        lengths: Of each clip its frames, and the bytes of its line, (N, 2); of one shard only.
    """

    digest: str = ""
    clips: int = 0
    frames: int = 0
    seconds: float = 0.0
    skipped: list[tuple[str, str, str]] = field(default_factory=list)
    several_people: int = 0
    missing_frames: int = 0
    ends_outside: int = 0
    without_hands: int = 0
    unusable_points: int = 0
    estimators: dict[str, int] = field(default_factory=dict)
    sums: Any = None
    lengths: Any = None

    @property
    def sizes(self) -> dict[str, int]:
        """The bytes of a shard's `.poses` and `.jsonl`."""
        _, points, dimensions = self.sums.shape
        frames, line_bytes = self.lengths.sum(axis=0).tolist()
        return {".poses": frames * points * (dimensions + 1) * 2, ".jsonl": line_bytes}


def pack_report(report: ShardReport) -> bytes:
    """What a shard's `.json` holds."""
    arrays = {"sums": report.sums.tolist(), "lengths": report.lengths.tolist()}
    return json.dumps(
        asdict(replace(report, sums=None, lengths=None)) | arrays, ensure_ascii=False
    ).encode()


def shard_files(number: int) -> dict[str, str]:
    """The files of a shard, by their endings; the `.json` is written last, and makes it whole."""
    return {suffix: f"{shard_name(number)}{suffix}" for suffix in (".poses", ".jsonl", ".json")}


def shard_name(number: int) -> str:
    """What the names of a shard's files begin with."""
    return f"shard-{number:05d}"


def read_report(folder: StoreFolder, number: int, there: Mapping[str, int]) -> ShardReport | None:
    """What a shard's `.json` says; None where the shard is not there, or not whole.

    Args:
        folder: The split's folder in the store.
        number: The shard's.
        there: The files of the folder and their sizes, of which those of the shard matter. With them
            nothing but the `.json` is read.
    """
    names = shard_files(number)
    if not all(name in there for name in names.values()):
        return None
    try:
        report = ShardReport(**json.loads(folder.read(names[".json"])))
        report.sums = np.array(report.sums)
        report.lengths = np.array(report.lengths, dtype=np.int64).reshape(report.clips, 2)
        report.skipped = [(uid, file, reason) for uid, file, reason in report.skipped]
        sizes = report.sizes
    except (OSError, ValueError, TypeError):
        return None
    is_whole = all(there[names[suffix]] == size for suffix, size in sizes.items())
    return report if is_whole else None


def store_digest(digests: Sequence[str]) -> str:
    """Identify a store by the digests of its shards."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def merge_reports(reports: Sequence[ShardReport]) -> ShardReport:
    """Add the reports of shards up, in their order."""
    total = ShardReport(digest=store_digest([report.digest for report in reports]))
    for report in reports:
        total.sums = report.sums if total.sums is None else total.sums + report.sums
        total.skipped += report.skipped
        for estimator, clips in report.estimators.items():
            total.estimators[estimator] = total.estimators.get(estimator, 0) + clips
        for name in SUMMED:
            setattr(total, name, getattr(total, name) + getattr(report, name))
    return total


def total_facts(total: ShardReport) -> dict[str, Any]:
    """What `store.json` says of all shards together."""
    facts = asdict(replace(total, sums=None))
    del facts["lengths"]
    return facts


def index_of(reports: Sequence[ShardReport], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Where each clip is: see `store.INDEX`."""
    index = np.empty(sum(report.clips for report in reports), dtype)
    start = 0
    for number, report in enumerate(reports):
        clips = index[start : start + report.clips]
        ends = report.lengths.cumsum(axis=0)
        clips["frames"], clips["shard"] = report.lengths[:, 0], number
        clips["offset"], clips["line"] = (ends - report.lengths).T
        start += report.clips
    return index

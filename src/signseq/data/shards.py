"""Writing a store, shard by shard; `store.py` describes the files and reads them.

Each shard is written aside and renamed, and knows a digest of its settings, rows and files. So a
killed run goes on with the shards it has, and a changed file rebuilds only its shard.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signseq.data.examples import Example
from signseq.data.statistics import count_unusable, mean_and_spread, sum_up
from signseq.data.store import FORMAT, INDEX
from signseq.errors import DataError, PoseError
from signseq.poses.sources.opening import open_poses, stamp_poses
from signseq.poses.transforms import PoseRecipe

__all__ = [
    "CLIPS_PER_SHARD",
    "ShardReport",
    "faults_named",
    "finish_store",
    "merge_reports",
    "read_report",
    "remove_leftovers",
    "shard_digest",
    "store_digest",
    "write_shard",
    "write_skipped",
]

CLIPS_PER_SHARD = 256  # a killed run loses at most this many clips a process
WRITTEN_AT_ONCE = 1 << 20  # bytes, some ten clips: calling the system for each takes longer
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


@contextmanager
def faults_named(place: Path) -> Iterator[None]:
    """Turn what the system says of a file that can't be written into a DataError."""
    try:
        yield
    except OSError as fault:
        raise DataError(
            f"{place}: can't be written ({fault.strerror}). Free space, see who may write there, or choose "
            "another `data.store`; what is packed is kept."
        ) from fault


def shard_digest(examples: Sequence[Example], recipe: PoseRecipe) -> str:
    """Identify what a shard is made of: recipe, rows, and size and time of each file."""
    digest = hashlib.sha256(json.dumps([FORMAT, recipe.facts(), recipe.names]).encode())
    for example in examples:
        stamp = stamp_poses(
            example.pose_path, member=example.pose_member, pose_format=example.pose_format
        )
        details = "".join(f" {part}" for part in (example.pose_member, example.manner) if part)
        digest.update(f"{example!r} {stamp}{details}\n".encode())
    return digest.hexdigest()


def write_shard(
    folder: Path, number: int, examples: Sequence[Example], recipe: PoseRecipe
) -> ShardReport:
    """Pack examples into one shard; keep it as it is where the same one is already there.

    An example that can't be packed is listed with its reason, never an error.

    Raises:
        DataError: If the shard can't be written.
    """
    stem = folder / f"shard-{number:05d}"
    digest = shard_digest(examples, recipe)
    finished = read_report(stem.with_suffix(".json"))
    if finished is not None and finished.digest == digest:
        return finished
    report = ShardReport(digest=digest, sums=np.zeros((3, len(recipe.names), recipe.dimensions)))
    poses, lines = (stem.with_suffix(f"{suffix}.part") for suffix in (".poses", ".jsonl"))
    with faults_named(stem):
        # First, or a kill between the next renames leaves new poses under the old digest.
        stem.with_suffix(".json").unlink(missing_ok=True)
        with (
            poses.open("wb", WRITTEN_AT_ONCE) as pose_file,
            lines.open("w", encoding="utf-8") as line_file,
        ):
            for example in examples:
                try:
                    packed, seconds = _pack(example, recipe, report)
                except PoseError as fault:
                    report.skipped.append((example.id, example.place, str(fault)))
                    continue
                pose_file.write(packed.data)
                line_file.write(
                    json.dumps(_facts(example, len(packed), seconds), ensure_ascii=False) + "\n"
                )
        poses.replace(stem.with_suffix(".poses"))
        lines.replace(stem.with_suffix(".jsonl"))
        text = json.dumps(asdict(report) | {"sums": report.sums.tolist()}, ensure_ascii=False)
        _write_aside(stem.with_suffix(".json"), text)
    return report


def _pack(
    example: Example, recipe: PoseRecipe, report: ShardReport
) -> tuple[NDArray[np.float16], float]:
    if not example.text:
        raise PoseError("The text is empty.")
    source = open_poses(
        example.pose_path, member=example.pose_member, pose_format=example.pose_format
    )
    first, last = source.frame_range(example.start, example.end, unit=example.time_unit)
    file = source.read(first, last)
    raw = recipe.read(file)
    packed = recipe.pack(raw)
    sums = sum_up(packed)
    hands = [i for i, name in enumerate(recipe.names) if "_HAND_" in name]
    report.sums += sums
    if raw.estimator is not None:
        report.estimators[raw.estimator] = report.estimators.get(raw.estimator, 0) + 1
    report.clips += 1
    report.frames += len(packed)
    report.seconds += raw.seconds
    report.several_people += file.people > 1
    report.missing_frames += source.count_absent(first, last)
    report.ends_outside += source.ends_before(example.end, unit=example.time_unit)
    report.without_hands += bool(hands) and not sums[0, hands].any()
    report.unusable_points += count_unusable(raw)
    return packed, raw.seconds


def _facts(example: Example, frames: int, seconds: float) -> dict[str, Any]:
    facts = {
        "uid": example.id,
        "frames": frames,
        "seconds": round(seconds, 4),
        "text": example.text,
    }
    others = {
        name: getattr(example, name) for name in ("signer", "source_language", "target_language")
    }
    return facts | {name: value for name, value in others.items() if value is not None}


def read_report(path: Path) -> ShardReport | None:
    """What a shard's `.json` says; None where the shard is not there, or not whole."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        report = ShardReport(**facts)
        report.sums = np.array(report.sums)
        report.skipped = [(uid, file, reason) for uid, file, reason in report.skipped]
        _, points, dimensions = report.sums.shape
        size = path.with_suffix(".poses").stat().st_size
        lines = path.with_suffix(".jsonl").read_bytes().count(b"\n")
    except (OSError, ValueError, TypeError):
        return None
    is_whole = size == report.frames * points * (dimensions + 1) * 2 and lines == report.clips
    return report if is_whole else None


def _write_aside(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def write_skipped(folder: Path, skipped: Sequence[tuple[str, str, str]]) -> Path:
    """Write `skipped.csv`: uid, file and reason; returns its path."""
    path = folder / "skipped.csv"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("uid", "file", "reason"))
    writer.writerows(skipped)
    with faults_named(path):
        _write_aside(path, text.getvalue())
    return path


def store_digest(digests: Sequence[str]) -> str:
    """Identify a store by the digests of its shards."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def remove_leftovers(folder: Path, *, shards: int) -> None:
    """Remove what a killed run, and the shards that an earlier, longer table, left behind."""
    with faults_named(folder):
        for path in folder.glob("*.part"):
            path.unlink()
        for path in folder.glob(f"shard-{'[0-9]' * 5}.*"):
            if int(path.name[6:11]) >= shards:
                path.unlink()


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


def finish_store(
    folder: Path, reports: Sequence[ShardReport], recipe: PoseRecipe, *, rows: str
) -> None:
    """Write the index, and last `store.json`, which makes the store whole.

    Args:
        folder: The split's folder in the store.
        reports: What became of each shard.
        recipe: How the poses were made ready.
        rows: Identifies the rows of the table that the store was made of.

    Raises:
        DataError: If they can't be written.
    """
    total = merge_reports(reports)
    mean, spread = mean_and_spread(total.sums)
    with faults_named(folder):
        index = np.concatenate([_index_shard(folder, number) for number in range(len(reports))])
        partial = folder / "index.npy.part"
        with partial.open("wb") as file:
            np.save(file, index)
        partial.replace(folder / "index.npy")
        facts = {
            "format": FORMAT,
            "recipe": recipe.facts(),
            "keypoints": recipe.names,
            "digest": total.digest,
            "rows": rows,
            "shards": len(reports),
            "report": asdict(replace(total, sums=None)),
            "mean": mean.tolist(),
            "spread": spread.tolist(),
        }
        _write_aside(folder / "store.json", json.dumps(facts))


def _index_shard(folder: Path, number: int) -> NDArray[Any]:
    rows, offset, line_start = [], 0, 0
    with (folder / f"shard-{number:05d}.jsonl").open("rb") as file:
        for line in file:
            frames = json.loads(line)["frames"]
            rows.append((frames, number, offset, line_start))
            offset += frames
            line_start += len(line)
    return np.array(rows, dtype=INDEX)

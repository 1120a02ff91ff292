"""Writing a store, shard by shard; `store.py` describes the files and reads them.

Each shard is written aside and taken over whole, and knows a digest of its settings, rows and files. So a
killed run goes on with the shards it has, and a changed file rebuilds only its shard.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signseq.data.examples import Example
from signseq.data.shard_reports import (
    ShardReport,
    index_of,
    merge_reports,
    pack_report,
    read_report,
    shard_files,
    shard_name,
    total_facts,
)
from signseq.data.statistics import count_unusable, mean_and_spread, sum_up
from signseq.data.storage import StoreFolder, as_folder
from signseq.data.store import FORMAT, INDEX, INDEX_NAME
from signseq.errors import DataError, PoseAccessError, PoseError
from signseq.poses.sources.opening import open_poses, stamp_poses
from signseq.poses.transforms import PoseRecipe

__all__ = [
    "CLIPS_PER_SHARD",
    "faults_named",
    "finish_store",
    "remove_leftovers",
    "shard_digest",
    "write_shard",
    "write_skipped",
]

CLIPS_PER_SHARD = 256  # a killed run loses at most this many clips a process
TRIED_AGAIN = " The next `signseq prepare` tries it again."
WRITTEN_AT_ONCE = 1 << 20  # bytes, some ten clips: calling the system for each takes longer


@contextmanager
def faults_named(place: object) -> Iterator[None]:
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
    place: StoreFolder | Path,
    number: int,
    examples: Sequence[Example],
    recipe: PoseRecipe,
    *,
    scratch: Path | None = None,
    there: Mapping[str, int] | None = None,
) -> ShardReport:
    """Pack examples into one shard; keep it as it is where the same one is already there.

    An example that can't be packed is listed with its reason, never an error. Where that may pass (a file
    that the system didn't give), the digest is another one, so that the next run writes the shard again.

    Args:
        place: The split's folder in the store.
        number: The shard's.
        examples: Its clips.
        recipe: How poses are made ready.
        scratch: A folder to write in, as `place.scratch()` gives it; None means one for this shard.
        there: The files of the folder and their sizes, where the caller has looked; only those of this shard
            matter.

    Raises:
        DataError: If the shard can't be written.
    """
    folder, names = as_folder(place), shard_files(number)
    with faults_named(f"{folder}/{shard_name(number)}"), ExitStack() as stack:
        there = folder.sizes() if there is None else there
        digest = shard_digest(examples, recipe)
        finished = read_report(folder, number, there)
        if finished is not None and finished.digest == digest:
            return finished
        # First, or a kill between the next steps leaves new poses under the old digest.
        if names[".json"] in there:
            folder.remove(names[".json"])
        scratch = stack.enter_context(folder.scratch()) if scratch is None else scratch
        poses, lines = (scratch / f"{names[suffix]}.part" for suffix in (".poses", ".jsonl"))
        report = _write_clips(examples, recipe, poses=poses, lines=lines)
        report.digest = _mark(digest, report)
        folder.take(poses, names[".poses"])
        folder.take(lines, names[".jsonl"])
        folder.write(names[".json"], pack_report(report))
    return report


def _write_clips(
    examples: Sequence[Example], recipe: PoseRecipe, *, poses: Path, lines: Path
) -> ShardReport:
    report = ShardReport(sums=np.zeros((3, len(recipe.names), recipe.dimensions)))
    lengths = []
    with poses.open("wb", WRITTEN_AT_ONCE) as pose_file, lines.open("wb") as line_file:
        for example in examples:
            try:
                packed, seconds = _pack(example, recipe, report)
            except PoseError as fault:
                report.skipped.append((example.id, example.place, _reason(fault)))
                continue
            facts = json.dumps(_facts(example, len(packed), seconds), ensure_ascii=False)
            line = f"{facts}\n".encode()
            pose_file.write(packed.data)
            line_file.write(line)
            lengths.append((len(packed), len(line)))
    report.lengths = np.array(lengths, dtype=np.int64).reshape(-1, 2)
    return report


def _reason(fault: PoseError) -> str:
    return f"{fault}{TRIED_AGAIN}" if isinstance(fault, PoseAccessError) else str(fault)


def _mark(digest: str, report: ShardReport) -> str:
    """A shard's digest; another than what was asked for where the next run is to write it again.

    Size and time of a file don't tell that it could not be read. By the uids, as what is kept of a store
    elsewhere goes by its digest.
    """
    waiting = [uid for uid, _, reason in report.skipped if reason.endswith(TRIED_AGAIN)]
    return hashlib.sha256(json.dumps([digest, waiting]).encode()).hexdigest() if waiting else digest


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
    hands = _hands(recipe.names)
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


@lru_cache(maxsize=32)
def _hands(names: tuple[str, ...]) -> list[int]:
    return [i for i, name in enumerate(names) if "_HAND_" in name]


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


def write_skipped(folder: StoreFolder, skipped: Sequence[tuple[str, str, str]]) -> str:
    """Write `skipped.csv`: uid, file and reason; returns where it is."""
    place = f"{folder}/skipped.csv"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("uid", "file", "reason"))
    writer.writerows(skipped)
    with faults_named(place):
        folder.write("skipped.csv", text.getvalue().encode())
    return place


def remove_leftovers(folder: StoreFolder, *, shards: int) -> None:
    """Remove what a killed run, and the shards that an earlier, longer table, left behind."""
    with faults_named(folder):
        for name in folder.sizes():
            number = name[6:11] if name.startswith("shard-") else ""
            if name.endswith(".part") or (number.isdecimal() and int(number) >= shards):
                folder.remove(name)


def finish_store(
    place: StoreFolder | Path,
    reports: Sequence[ShardReport],
    recipe: PoseRecipe,
    *,
    rows: str,
    table: str | None = None,
) -> None:
    """Write the index, and last `store.json`, which makes the store whole.

    Args:
        place: The split's folder in the store.
        reports: What became of each shard.
        recipe: How the poses were made ready.
        rows: Identifies the rows of the table that the store was made of.
        table: Identifies the table's files, and how they were read, where that alone tells the rows.

    Raises:
        DataError: If they can't be written, or a shard is not there any more.
    """
    folder, total = as_folder(place), merge_reports(reports)
    mean, spread = mean_and_spread(total.sums)
    with faults_named(folder):
        _check_shards(folder, reports)
        content = io.BytesIO()
        np.save(content, index_of(reports, INDEX))
        folder.write(INDEX_NAME, content.getvalue())
        facts = {
            "format": FORMAT,
            "recipe": recipe.facts(),
            "keypoints": recipe.names,
            "digest": total.digest,
            "rows": rows,
            "table": table,
            "shards": len(reports),
            "report": total_facts(total),
            "mean": mean.tolist(),
            "spread": spread.tolist(),
        }
        folder.write("store.json", json.dumps(facts).encode())


def _check_shards(folder: StoreFolder, reports: Sequence[ShardReport]) -> None:
    there = folder.sizes()
    for number, report in enumerate(reports):
        for suffix, size in report.sizes.items():
            name = shard_files(number)[suffix]
            if there.get(name) != size:
                raise DataError(
                    f"{folder}/{name}: the shard was changed or removed while the store was being written. "
                    "Run the same command again."
                )

"""`signseq prepare`: from a corpus as it was downloaded to a store that opens in no time."""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from signseq.config import Config, DataConfig
from signseq.data.examples import Example, read_examples, row_bytes
from signseq.data.fingerspelling import CORPORA, write_corpus
from signseq.data.packing import lock_store, pack_shards
from signseq.data.shards import (
    CLIPS_PER_SHARD,
    ShardReport,
    faults_named,
    finish_store,
    merge_reports,
    remove_leftovers,
    shard_digest,
    store_digest,
    write_skipped,
)
from signseq.data.storage import LocalFolder, open_folder
from signseq.data.store import PoseStore, find_damage, open_store, read_store_facts
from signseq.errors import DataError
from signseq.poses.transforms import PoseRecipe

__all__ = ["build_recipe", "ensure_split", "open_split", "prepare", "prepare_split"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Scan:
    """What reading a split's table once has shown: digests of its rows, and of each shard to be."""

    rows: str
    shards: list[str]


class _SkippedError(DataError):
    """Too many clips of one split can't be used; those of the other splits may be."""


def build_recipe(data: DataConfig) -> PoseRecipe:
    """The pose recipe that a config describes."""
    return PoseRecipe(
        keypoints=data.keypoints,
        normalize=data.normalize,
        fps=data.fps,
        dimensions=data.dimensions,
        fill_gaps=data.fill_gaps,
    )


def open_split(data: DataConfig, split: str) -> PoseStore:
    """Open the prepared store of one split.

    Raises:
        DataError: If it isn't there, or was made with other settings or of other rows.
    """
    store = open_store(open_folder(data.store, split), recipe=build_recipe(data))
    if _is_of_other_rows(data, split, store.facts["rows"]):
        raise DataError(
            f"{data.split_paths[split]}: the table has changed since the store {store.folder} was made. "
            "Run: signseq prepare CONFIG"
        )
    return store


def ensure_split(data: DataConfig, split: str) -> PoseStore:
    """Open the store of one split; where there is none, or the table has changed since, prepare it first.

    Only the table is looked at: a store outlives its poses, and its table.

    Raises:
        DataError: If it was made with other settings, or can't be prepared.
    """
    if split not in data.split_paths:
        raise DataError(
            f"No split {split!r}; the config names {', '.join(data.split_paths) or 'none'}. "
            "Set data.test_path, or data.other_paths for further splits."
        )
    folder, recipe = open_folder(data.store, split), build_recipe(data)
    facts = read_store_facts(folder)
    if facts and not find_damage(folder, facts):
        store = open_store(folder, recipe=recipe)
        if not _is_of_other_rows(data, split, facts["rows"]):
            return store
        logger.info("%s has changed since its store was made.", data.split_paths[split])
    prepare_split(data, split)
    return open_store(folder, recipe=recipe)


def _is_of_other_rows(data: DataConfig, split: str, rows: str) -> bool:
    """Whether a split's table is there and says something else than when its store was made."""
    path = data.split_paths.get(split)
    if path is None or not (os.path.isfile(path) and os.access(path, os.R_OK)):
        return False
    digest = hashlib.sha256()
    for example in read_examples(data, split):
        digest.update(row_bytes(example, pose_dir=data.pose_dir))
    return digest.hexdigest() != rows


def _write_embedded_corpus(data: DataConfig) -> None:
    """Write the corpus that the config names, if it is an embedded one and isn't there yet.

    In this process: it takes seconds, and fresh processes would run a script without a main guard
    once more.
    """
    if data.corpus in CORPORA and not all(path.exists() for path in data.split_paths.values()):
        write_corpus(data.corpus, data.pose_dir.parent)


def prepare(config: Config, *, workers: int | None = None) -> dict[str, ShardReport]:
    """Pack the poses of every split of the config into its store.

    All tables are read before anything is packed. What is done is kept: a second run with the same
    settings returns at once, one that was killed or stopped with Ctrl-C goes on, changed settings
    or files are packed anew. A finished store whose original poses are gone is left as it is.

    Args:
        config: The experiment.
        workers: Processes to use; None means one per core.

    Returns:
        A report for each split.

    Raises:
        DataError: If a table is wrong, a uid stands in two places, the store can't be written or
            another process writes it, more than `data.max_skipped` of a split's clips can't be
            used (said at the end, of all splits), or their files are gone while there is a
            finished store of them.
    """
    data = config.data
    _write_embedded_corpus(data)
    if not data.split_paths:
        raise DataError(
            "The config names no table: set data.train_path, data.val_path or data.test_path."
        )
    seen: dict[str, str] = {}
    scans = {split: _scan(data, split, seen) for split in data.split_paths}
    reports, faults = {}, []
    for split, scan in scans.items():
        try:
            reports[split] = _pack_split(data, split, scan, workers=workers)
        except _SkippedError as fault:
            faults.append(f"{split}: {fault}")
    if faults:
        raise DataError("\n".join(faults))
    return reports


def prepare_split(data: DataConfig, split: str, *, workers: int | None = None) -> ShardReport:
    """Pack one split; see `prepare`."""
    _write_embedded_corpus(data)
    return _pack_split(data, split, _scan(data, split, {}), workers=workers)


def _scan(data: DataConfig, split: str, seen: dict[str, str]) -> _Scan:
    rows, shards, recipe = hashlib.sha256(), [], build_recipe(data)
    for chunk in _chunks(data, split, seen):
        shards.append(shard_digest(chunk, recipe))
        for example in chunk:
            rows.update(row_bytes(example, pose_dir=data.pose_dir))
    if not shards:
        raise DataError(f"{data.split_paths[split]}: the table has no rows.")
    return _Scan(rows.hexdigest(), shards)


def _pack_split(data: DataConfig, split: str, scan: _Scan, *, workers: int | None) -> ShardReport:
    place = open_folder(data.store, split)
    assert isinstance(place, LocalFolder)
    folder = place.path
    facts = read_store_facts(place)
    damage = find_damage(place, facts) if facts else None
    if facts and not damage and facts["digest"] == store_digest(scan.shards):
        total = ShardReport(**facts["report"])
    else:
        if (folder / "store.json").exists():
            _check_originals(data, split, damage)
        with faults_named(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with lock_store(folder):
            total = _write_store(data, split, scan, workers=workers or os.cpu_count() or 1)
    _describe(split, total)
    return total


def _check_originals(data: DataConfig, split: str, damage: str | None) -> None:
    """Refuse to replace a finished store by one of poses that are not there any more."""
    paths = [example.pose_path for chunk in _chunks(data, split, {}) for example in chunk]
    gone = [path for path in paths if not os.path.exists(path)]
    if len(gone) > data.max_skipped * len(paths):
        state = (
            f"holds a store in which {damage} is missing or damaged"
            if damage
            else "holds a finished store, made with other settings, rows or files"
        )
        raise DataError(
            f"{open_folder(data.store, split)}: {state}, but {len(gone)} of the {len(paths)} pose files are gone "
            f"({gone[0]}, ...). The store is left as it is. Put the files back, set data.pose_dir to where "
            "they are, or choose another `data.store`."
        )


def _write_store(data: DataConfig, split: str, scan: _Scan, *, workers: int) -> ShardReport:
    folder, recipe = Path(data.store) / split, build_recipe(data)
    with faults_named(folder):
        (folder / "store.json").unlink(missing_ok=True)
    try:
        reports = pack_shards(
            folder,
            _chunks(data, split, {}),
            recipe,
            count=len(scan.shards),
            workers=workers,
            label=f"Packing {split}",
        )
    except KeyboardInterrupt:
        logger.warning("Stopped. What is packed is kept in %s; the same command goes on.", folder)
        raise
    remove_leftovers(folder, shards=len(reports))
    total = merge_reports(reports)
    _check_skipped(data, total, write_skipped(folder, total.skipped))
    finish_store(folder, reports, recipe, rows=scan.rows)
    return total


def _chunks(data: DataConfig, split: str, seen: dict[str, str]) -> Iterator[list[Example]]:
    """The examples of a split, a shard at a time; a uid met before is an error."""
    examples = read_examples(data, split)
    while chunk := list(islice(examples, CLIPS_PER_SHARD)):
        for example in chunk:
            if example.id in seen:
                other = seen[example.id]
                where = (
                    f"twice in {data.split_paths[split]}"
                    if other == split
                    else f"in the splits {other!r} and {split!r}"
                )
                raise DataError(
                    f"The uid {example.id!r} stands {where}; a clip belongs to one row of one split."
                )
            seen[example.id] = split
        yield chunk


def _check_skipped(data: DataConfig, total: ShardReport, path: Path) -> None:
    """Say what was skipped, and stop if it is more than the user allows."""
    if not total.skipped:
        return
    count, every = len(total.skipped), total.clips + len(total.skipped)
    reasons = Counter(reason.removeprefix(f"{file}: ") for _, file, reason in total.skipped)
    common = "; ".join(f"{number} x {reason}" for reason, number in reasons.most_common(3))
    share = 100 * count / every
    said = f"{count} of {every} clips can't be used ({share:.2f}%), all listed in {path}. Most often: {common}"
    missing = [
        file
        for _, file, reason in total.skipped
        if reason.endswith((": no such file.", ": no such folder."))
    ]
    if 2 * len(missing) > count:
        said += f"\nThere is no {os.path.abspath(missing[0])}, for example; is data.pose_dir = {data.pose_dir} right?"
    if not total.clips:
        raise _SkippedError(f"{said}\nNothing is left to put into a store.")
    if count > data.max_skipped * every:
        raise _SkippedError(
            f"{said}\nAt most {100 * data.max_skipped:g}% may be skipped. Mend them, or raise data.max_skipped; "
            "what is packed is kept."
        )
    logger.warning("%s", said)


def _describe(split: str, total: ShardReport) -> None:
    notes = [f"{total.clips} clips, {total.seconds / 3600:.2f} hours, {total.frames} frames"]
    if total.skipped:
        notes.append(f"{len(total.skipped)} skipped")
    if total.several_people:
        notes.append(f"{total.several_people} with several people (the most visible one was taken)")
    if total.missing_frames:
        notes.append(f"{total.missing_frames} frames without a file, treated as showing nobody")
    if total.ends_outside:
        notes.append(f"{total.ends_outside} that the table ends after their file's end")
    if total.without_hands:
        notes.append(f"{total.without_hands} without any hand")
    if total.unusable_points:
        notes.append(
            f"{total.unusable_points} points with NaN or infinite coordinates, treated as missing"
        )
    logger.info("%s: %s", split, "; ".join(notes))

"""`signseq prepare`: from a corpus as it was downloaded to a store that opens in no time."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Any

from signseq.config import Config, DataConfig
from signseq.data.cache import build_cache
from signseq.data.engines import Engine, PackShards, open_engine
from signseq.data.examples import Example, read_examples, row_bytes
from signseq.data.fingerspelling import CORPORA, write_corpus
from signseq.data.kept_stores import check_originals, is_made_of, keep_rows
from signseq.data.packing import lock_store
from signseq.data.packing_notes import SkippedError, check_skipped, describe_total
from signseq.data.shard_reports import ShardReport, merge_reports, store_digest
from signseq.data.shards import (
    CLIPS_PER_SHARD,
    faults_named,
    finish_store,
    remove_leftovers,
    shard_digest,
    write_skipped,
)
from signseq.data.storage import StoreFolder, open_folder
from signseq.data.store import PoseStore, find_damage, open_store, read_store_facts
from signseq.data.table_digest import digest_table
from signseq.errors import DataError
from signseq.extraction.named import extract_named
from signseq.poses.transforms import PoseRecipe

__all__ = ["build_recipe", "ensure_split", "open_split", "prepare", "prepare_split"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Scan:
    """Digests that reading a split's table gave: of its bytes and rows, and of each shard's rows and poses."""

    table: str | None
    rows: str
    shard_rows: list[str]
    shards: list[str]


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
    folder = open_folder(data.store, split)
    store = open_store(folder, recipe=build_recipe(data), cache=build_cache(data))
    if _is_of_other_rows(data, split, store.facts):
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
        store = open_store(folder, recipe=recipe, cache=build_cache(data))
        if not _is_of_other_rows(data, split, facts):
            return store
        logger.info("%s has changed since its store was made.", data.split_paths[split])
    prepare_split(data, split)
    return open_store(folder, recipe=recipe, cache=build_cache(data))


def _is_of_other_rows(data: DataConfig, split: str, facts: Mapping[str, Any]) -> bool:
    """Whether a split's table is there and says something else than when its store was made."""
    path = data.split_paths.get(split)
    if path is None or not (os.path.isfile(path) and os.access(path, os.R_OK)):
        return False
    table = facts.get("table")  # earlier versions didn't write it
    if table is not None and table == digest_table(data, split):
        return False
    digest = hashlib.sha256()
    for example in read_examples(data, split):
        digest.update(_rows_of([example], data))
    return digest.hexdigest() != str(facts["rows"])


def _write_embedded_corpus(data: DataConfig) -> None:
    """Write the corpus that the config names, if it is an embedded one and isn't there yet.

    In this process: it takes seconds, and fresh processes would run a script without a main guard
    once more.
    """
    if data.corpus in CORPORA and not all(path.exists() for path in data.split_paths.values()):
        write_corpus(data.corpus, data.pose_dir.parent)


def prepare(
    config: Config, *, workers: int | None = None, engine: Engine = "processes"
) -> dict[str, ShardReport]:
    """Pack the poses of every split of the config into its store.

    All tables are read before anything is packed. What is done is kept: a second run with the same
    settings returns at once, one that was killed or stopped with Ctrl-C goes on, changed settings
    or files are packed anew. A finished store whose original poses are gone is left as it is.

    Args:
        config: The experiment.
        workers: Processes to use; None means one per core. With `ray`, shards that are packed at a time.
        engine: `processes` of this machine, or those of a `ray` cluster: of the one that the variable
            RAY_ADDRESS names, else of one that was started on this machine, else of a new one.

    Returns:
        A report for each split, and for the training split of each corpus of `data.mix`.

    Raises:
        DataError: If a table is wrong, or changed meanwhile; a uid stands in two places; the store's place
            or the cluster can't be reached; the store can't be written, or another process writes it; more than
            `data.max_skipped` of a split's clips can't be used (said at the end, of all splits); or their files
            are gone while there is a finished store of them, of other settings or rows.
        MissingExtraError: If the engine, the store's place or the form of the data needs a package that
            isn't installed.
    """
    data = config.data
    _write_embedded_corpus(data)
    if not data.split_paths:
        raise DataError(
            "The config names no table: set data.train_path, data.val_path or data.test_path."
        )
    for corpus in (data, *data.mixed_corpora):
        _look_at_place(corpus)
    seen: dict[str, str] = {}
    reports, faults = {}, []
    # What is missing for it is said now, not after the hours that videos take.
    with open_engine(engine, workers=workers) as pack:
        extract_named(data, data.split_paths, workers=workers)
        scans = {split: _scan(data, split, seen) for split in data.split_paths}
        for split, scan in scans.items():
            try:
                reports[split] = _pack_split(data, split, scan, pack)
            except SkippedError as fault:
                faults.append(f"{split}: {fault}")
    for corpus in data.mixed_corpora:
        logger.info("data.mix: %s", corpus.train_path)
        alone = config.model_copy(update={"data": corpus})
        try:
            found = prepare(alone, workers=workers, engine=engine)
            reports[f"train of {corpus.train_path}"] = found["train"]
        except SkippedError as fault:
            faults.append(str(fault))
    if faults:
        raise SkippedError("\n".join(faults))
    return reports


def prepare_split(data: DataConfig, split: str, *, workers: int | None = None) -> ShardReport:
    """Pack one split; see `prepare`."""
    _write_embedded_corpus(data)
    _look_at_place(data)
    extract_named(data, [split], workers=workers)
    with open_engine("processes", workers=workers) as pack:
        return _pack_split(data, split, _scan(data, split, {}), pack)


def _look_at_place(data: DataConfig) -> None:
    """Find out whether the store's place can be reached, before anything is done."""
    folder = open_folder(data.store, next(iter(data.split_paths)))
    with faults_named(folder):
        folder.sizes()


def _scan(data: DataConfig, split: str, seen: dict[str, str]) -> _Scan:
    # Before the rows: where the table changes meanwhile, the next run reads them again.
    table = digest_table(data, split)
    rows, shard_rows, shards, recipe = hashlib.sha256(), [], [], build_recipe(data)
    for chunk in _chunks(data, split, seen):
        content = _rows_of(chunk, data)
        rows.update(content)
        shard_rows.append(hashlib.sha256(content).hexdigest())
        shards.append(shard_digest(chunk, recipe))
    if not shards:
        raise DataError(f"{data.split_paths[split]}: the table has no rows.")
    return _Scan(table, rows.hexdigest(), shard_rows, shards)


def _rows_of(chunk: Iterable[Example], data: DataConfig) -> bytes:
    return b"".join(row_bytes(example, pose_dir=data.pose_dir) for example in chunk)


def _pack_split(data: DataConfig, split: str, scan: _Scan, pack: PackShards) -> ShardReport:
    folder = open_folder(data.store, split)
    facts = read_store_facts(folder)
    damage = find_damage(folder, facts) if facts else None
    if facts and not damage and facts["digest"] == store_digest(scan.shards):
        keep_rows(folder, facts, rows=scan.rows, table=scan.table)
        total = ShardReport(**facts["report"])
    elif facts and not damage and _lacks_originals(data, split, scan, facts):
        logger.info("%s: the poses that it was made of are gone; it is kept as it is.", folder)
        total = ShardReport(**facts["report"])
    else:
        with faults_named(folder):
            has_store = "store.json" in folder.sizes()
        if has_store:
            paths = _pose_paths(data, split)
            check_originals(folder, paths, most=data.max_skipped, damage=damage)
        with lock_store(folder):
            total = _write_store(data, split, scan, folder, pack)
    logger.info("%s: %s", split, describe_total(total))
    return total


def _lacks_originals(data: DataConfig, split: str, scan: _Scan, facts: Mapping[str, Any]) -> bool:
    """Whether a store is of these rows and settings, and all poses that it was made of are gone."""
    if not is_made_of(facts, build_recipe(data), rows=scan.rows):
        return False
    return not any(map(os.path.exists, _pose_paths(data, split)))


def _write_store(
    data: DataConfig, split: str, scan: _Scan, folder: StoreFolder, pack: PackShards
) -> ShardReport:
    recipe = build_recipe(data)
    with faults_named(folder):
        folder.remove("store.json")
    try:
        chunks, label = _unchanged_chunks(data, split, scan), f"Packing {split}"
        reports = pack(folder, chunks, recipe, digests=scan.shards, label=label)
    except KeyboardInterrupt:
        logger.warning("Stopped. What is packed is kept in %s; the same command goes on.", folder)
        raise
    remove_leftovers(folder, shards=len(reports))
    total = merge_reports(reports)
    place = write_skipped(folder, total.skipped)
    check_skipped(total, most=data.max_skipped, place=place, pose_dir=data.pose_dir)
    finish_store(folder, reports, recipe, rows=scan.rows, table=scan.table)
    return total


def _pose_paths(data: DataConfig, split: str) -> list[str]:
    return [example.pose_path for chunk in _chunks(data, split, {}) for example in chunk]


def _unchanged_chunks(data: DataConfig, split: str, scan: _Scan) -> Iterator[list[Example]]:
    """The chunks once more; an error where one is of other rows than when they were scanned."""
    for chunk, rows in zip_longest(_chunks(data, split, {}), scan.shard_rows):
        if not chunk or hashlib.sha256(_rows_of(chunk, data)).hexdigest() != rows:
            raise DataError(
                f"{data.split_paths[split]}: the table was changed while it was packed. Run the same command "
                "again; what is packed is kept."
            )
        yield chunk


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

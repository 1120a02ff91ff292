"""`signseq prepare`: from a corpus as it was downloaded to a store that opens in no time."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from signseq.config import Config, DataConfig
from signseq.data.examples import Example, read_examples
from signseq.data.fingerspelling import CORPORA, write_corpus
from signseq.data.shards import (
    CLIPS_PER_SHARD,
    ShardReport,
    faults_named,
    finish_store,
    merge_reports,
    remove_leftovers,
    shard_digest,
    store_digest,
    write_shard,
    write_skipped,
)
from signseq.data.store import PoseStore, find_damage, open_store, read_store_facts
from signseq.errors import DataError
from signseq.poses.transforms import PoseRecipe
from signseq.progress import track

__all__ = ["build_recipe", "ensure_split", "open_split", "prepare", "prepare_split"]

logger = logging.getLogger(__name__)
LOCK = ".lock"  # in the folder of each split


def build_recipe(data: DataConfig) -> PoseRecipe:
    """The pose recipe that a config describes."""
    return PoseRecipe(
        keypoints=data.keypoints, normalize=data.normalize, fps=data.fps, dimensions=data.dimensions
    )


def open_split(data: DataConfig, split: str) -> PoseStore:
    """Open the prepared store of one split.

    Raises:
        DataError: If it isn't there, or was made with other settings.
    """
    return open_store(data.store / split, recipe=build_recipe(data))


def ensure_split(data: DataConfig, split: str) -> PoseStore:
    """Open the store of one split; where there is none yet, prepare it first.

    A store that is there is taken as it is: the original poses are not needed any more.

    Raises:
        DataError: If it was made with other settings, or can't be prepared.
    """
    if split not in data.split_paths:
        raise DataError(
            f"No split {split!r}; the config names {', '.join(data.split_paths) or 'none'}. "
            "Set data.test_path, or data.other_paths for further splits."
        )
    if read_store_facts(data.store / split) is None:
        _write_embedded_corpus(data)
        prepare_split(data, split, build_recipe(data), workers=os.cpu_count() or 1, seen={})
    return open_split(data, split)


def _write_embedded_corpus(data: DataConfig) -> None:
    """Write the corpus that the config names, if it is an embedded one and isn't there yet.

    In this process: it takes seconds, and fresh processes would run a script without a main guard
    once more.
    """
    if data.corpus in CORPORA and not all(path.exists() for path in data.split_paths.values()):
        write_corpus(data.corpus, data.pose_dir.parent)


def prepare(config: Config, *, workers: int | None = None) -> dict[str, ShardReport]:
    """Pack the poses of every split of the config into its store.

    What is done is kept: a second run with the same settings returns at once, one that was killed
    or stopped with Ctrl-C goes on, changed settings or files are packed anew. A finished store
    whose original poses are gone is left as it is.

    Args:
        config: The experiment.
        workers: Processes to use; None means one per core.

    Returns:
        A report for each split.

    Raises:
        DataError: If a table is wrong, a uid stands in two places, the store can't be written or
            another process writes it, more than `data.max_skipped` of a split's clips can't be
            used, or their files are gone while there is a finished store of them.
    """
    data = config.data
    workers = workers or os.cpu_count() or 1
    _write_embedded_corpus(data)
    if not data.split_paths:
        raise DataError(
            "The config names no table: set data.train_path, data.val_path or data.test_path."
        )
    recipe = build_recipe(data)
    seen: dict[str, str] = {}
    return {
        split: prepare_split(data, split, recipe, workers=workers, seen=seen)
        for split in data.split_paths
    }


def prepare_split(
    data: DataConfig, split: str, recipe: PoseRecipe, *, workers: int, seen: dict[str, str]
) -> ShardReport:
    """Pack one split; see `prepare`.

    Args:
        data: The config's data section.
        split: The split's name.
        recipe: How poses are made ready.
        workers: Processes to use.
        seen: The split of every uid met so far; this split's are added.
    """
    folder = data.store / split
    with faults_named(folder):
        folder.mkdir(parents=True, exist_ok=True)
    digests = [shard_digest(chunk, recipe) for chunk in _chunks(data, split, seen)]
    if not digests:
        raise DataError(f"{data.split_paths[split]}: the table has no rows.")
    facts = read_store_facts(folder)
    if facts and facts["digest"] == store_digest(digests) and not find_damage(folder, facts):
        total = ShardReport(**facts["report"])
    else:
        if facts:
            _check_originals(data, split, folder)
        with _lock(folder):
            total = _write_store(data, split, recipe, count=len(digests), workers=workers)
    _describe(split, total)
    return total


def _check_originals(data: DataConfig, split: str, folder: Path) -> None:
    """Refuse to replace a finished store by one of poses that are not there any more."""
    paths = [example.pose_path for chunk in _chunks(data, split, {}) for example in chunk]
    gone = [path for path in paths if not os.path.exists(path)]
    if len(gone) > data.max_skipped * len(paths):
        raise DataError(
            f"{folder}: holds a finished store, made with other settings or files, but {len(gone)} of the "
            f"{len(paths)} pose files are gone ({gone[0]}, ...). The store is left as it is. Put the files back, "
            "set data.pose_dir to where they are, or choose another `data.store`."
        )


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Keep every other run out of a folder; ends with this process and its workers, however they end."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    with faults_named(folder):
        file = (folder / LOCK).open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            raise DataError(
                f"{folder}: another `signseq prepare` is writing this store. Wait until it is done, or stop it; "
                "then run this one again."
            ) from fault
        except OSError as fault:  # some network file systems
            logger.debug("%s: no lock (%s)", folder, fault)
        yield


def _write_store(
    data: DataConfig, split: str, recipe: PoseRecipe, *, count: int, workers: int
) -> ShardReport:
    folder = data.store / split
    with faults_named(folder):
        (folder / "store.json").unlink(missing_ok=True)
    try:
        reports = _write_shards(data, split, recipe, count=count, workers=workers)
    except KeyboardInterrupt:
        logger.warning("Stopped. What is packed is kept in %s; the same command goes on.", folder)
        raise
    remove_leftovers(folder, shards=len(reports))
    total = merge_reports(reports)
    _check_skipped(total, write_skipped(folder, total.skipped), limit=data.max_skipped)
    finish_store(folder, reports, recipe)
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


def _write_shards(
    data: DataConfig, split: str, recipe: PoseRecipe, *, count: int, workers: int
) -> list[ShardReport]:
    """Write the shards in parallel; at most two per worker are read ahead, so memory stays flat."""
    folder = data.store / split
    tasks = enumerate(_chunks(data, split, {}))
    label = f"Packing {split}"
    if workers == 1 or count == 1:
        done = (write_shard(folder, number, chunk, recipe) for number, chunk in tasks)
        return list(track(done, total=count, label=label, unit="shard"))

    def run(pool: ProcessPoolExecutor) -> Iterator[ShardReport]:
        running: deque[Future[ShardReport]] = deque()
        for number, chunk in tasks:
            running.append(pool.submit(write_shard, folder, number, chunk, recipe))
            if len(running) >= 2 * workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()

    pool = ProcessPoolExecutor(min(workers, count), initializer=_start_worker)
    try:
        return list(track(run(pool), total=count, label=label, unit="shard"))
    except BrokenProcessPool as fault:
        raise DataError(
            f"{folder}: a process was killed while it packed poses; perhaps memory ran out. "
            "Run it again with fewer workers; what is packed is kept."
        ) from fault
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """A pool's processes outlive a killed parent, and would keep its lock."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


def _check_skipped(total: ShardReport, path: Path, *, limit: float) -> None:
    """Say what was skipped, and stop if it is more than the user allows."""
    if not total.skipped:
        return
    count, every = len(total.skipped), total.clips + len(total.skipped)
    reasons = Counter(reason.removeprefix(f"{file}: ") for _, file, reason in total.skipped)
    common = "; ".join(f"{number} x {reason}" for reason, number in reasons.most_common(3))
    share = 100 * count / every
    said = f"{count} of {every} clips can't be used ({share:.2f}%), all listed in {path}. Most often: {common}"
    if not total.clips:
        raise DataError(f"{said}\nNothing is left to put into a store.")
    if count > limit * every:
        raise DataError(
            f"{said}\nAt most {100 * limit:g}% may be skipped. Mend them, or raise data.max_skipped; "
            "what is packed is kept."
        )
    logger.warning("%s", said)


def _describe(split: str, total: ShardReport) -> None:
    notes = [f"{total.clips} clips, {total.seconds / 3600:.2f} hours, {total.frames} frames"]
    if total.skipped:
        notes.append(f"{len(total.skipped)} skipped")
    if total.several_people:
        notes.append(f"{total.several_people} with several people (the most visible one was taken)")
    if total.without_hands:
        notes.append(f"{total.without_hands} without any hand")
    if total.unusable_points:
        notes.append(
            f"{total.unusable_points} points with NaN or infinite coordinates, treated as missing"
        )
    logger.info("%s: %s", split, "; ".join(notes))

"""`signseq pose`: from videos to .pose files."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from signseq.errors import ConfigError, DataError, PoseError
from signseq.extraction.journal import Record
from signseq.extraction.listing import Listing, Task, list_videos, person_in
from signseq.extraction.locking import lock_poses
from signseq.extraction.one_video import extract_one
from signseq.extraction.planning import CRASHED, Plan, plan_work
from signseq.extraction.report import ExtractionReport, count_kinds, write_skipped
from signseq.extraction.workers import run_each
from signseq.poses.estimation.clips import People
from signseq.poses.estimation.estimator import ESTIMATORS
from signseq.poses.estimation.video import check_installed, read_facts
from signseq.progress import Progress

__all__ = ["ExtractionReport", "extract_poses", "extract_tasks"]

logger = logging.getLogger(__name__)
EXTRACTOR = 1  # raise it with every change that changes what is found


def extract_poses(
    source: str | Path,
    out: str | Path,
    *,
    people: People = "largest",
    max_people: int | None = None,
    estimator: str = "mediapipe_holistic",
    max_skipped: float = 0.01,
    workers: int | None = None,
    overwrite: bool = False,
) -> ExtractionReport:
    """Find the poses of the people in videos: `NAME.pose` for each, in the same folders as the videos.

    What is done is kept: a second run with the same settings returns at once, one that was killed goes
    on, videos that have changed are done anew. What can't be used is listed in `skipped.csv`.

    Args:
        source: A video, or a folder of videos, with folders inside.
        out: The folder for the poses; made if need be.
        people: Of several people who are in view together, follow the `largest`, or `all`: the others go
            to `NAME.person2.pose`, ...
        max_people: With `all`, how many at most, the largest first.
        estimator: A key of `ESTIMATORS`.
        max_skipped: Share of the videos that may be unusable before that is an error.
        workers: Processes; None means one per core. More than one are started afresh, so a script needs a
            main guard.
        overwrite: Do all anew, and replace .pose files of `out` that were not made here.

    Returns:
        What was found.

    Raises:
        DataError: If there is no video, `out` can't be written, or more than `max_skipped` can't be used (said
            at the end).
        PoseError: If `source` is one video and can't be used.
        ConfigError: If there is no such estimator.
        MissingExtraError: If a package for videos isn't installed.
    """
    source, out = Path(source), Path(out)
    if out.suffix == ".pose":
        raise DataError(f"{out}: names a file. Name the folder that it goes to, {out.parent}.")
    if source.is_file():
        task = Task(source.name, source, out / f"{source.stem}.pose")
        listing = Listing((task,), (), Counter())
    elif not source.exists():
        raise DataError(
            f"{source}: no such file, and no such folder. Name a video, or a folder of them."
        )
    else:
        listing = list_videos(source, out, clips=max_people if people == "all" else 1)
        if not listing.tasks:
            raise DataError(f"{source}: no video in it, only {count_kinds(listing.others)}.")
    unusable = [
        (
            task.name,
            f"its poses would replace those of {first}, which has the same name"
            if person_in(task.pose.name)[1] == 1 or Path(task.name).stem == Path(first).stem
            else f"its poses would have the names of those of the other people in {first}",
        )
        for task, first in listing.doubles
    ]
    report = extract_tasks(
        listing.tasks,
        out,
        people=people,
        max_people=max_people,
        estimator=estimator,
        workers=workers,
        overwrite=overwrite,
        unusable=unusable,
        others=listing.others,
        looked_at={source.name} if source.is_file() else None,
    )
    if source.is_file() and report.skipped:
        raise PoseError(f"{source}: {report.skipped[0][1]}")
    if not report.records and not report.foreign:
        raise DataError(f"{report.describe_skipped()}\nNothing is left.")
    if len(report.skipped) > max_skipped * report.videos:
        raise DataError(
            f"{report.describe()}\nAt most {100 * max_skipped:g}% may be skipped. Mend them, or raise --max-skipped; "
            "what is done is kept."
        )
    return report


def extract_tasks(
    tasks: Sequence[Task],
    out: Path,
    *,
    people: People = "largest",
    max_people: int | None = None,
    estimator: str = "mediapipe_holistic",
    workers: int | None = None,
    overwrite: bool = False,
    unusable: Sequence[tuple[str, str]] = (),
    others: Mapping[str, int] | None = None,
    looked_at: Collection[str] | None = None,
) -> ExtractionReport:
    """Do what is left to do of these videos; see `extract_poses`.

    Args:
        tasks: The videos, and where their poses go: into `out`.
        out: See `extract_poses`, as for the rest.
        people: The same.
        max_people: The same.
        estimator: The same.
        workers: The same.
        overwrite: The same.
        unusable: What is known to be unusable already, with reasons, for `skipped.csv`.
        others: How many files are no videos, for the report.
        looked_at: The names that this run is about, as `skipped.csv` has them; what that says of others is kept.
            None means all.

    Raises:
        DataError: If another run is writing into `out`.
    """
    if estimator not in ESTIMATORS:
        raise ConfigError(f"No pose estimator {estimator!r}; there are: {', '.join(ESTIMATORS)}.")
    settings = f"{EXTRACTOR} {estimator} {people} {max_people if people == 'all' else 1}"
    plan_left = partial(
        plan_work, tasks, out, settings=settings, everybody=people == "all", overwrite=overwrite
    )
    with _faults_named(out):
        out.mkdir(parents=True, exist_ok=True)
        plan = plan_left()
    if plan.to_do:
        check_installed()
        build = ESTIMATORS[estimator]
        build()  # says what is missing before any process starts
        work = partial(
            extract_one,
            build=build,
            people=people,
            max_people=max_people,
            out=out,
            settings=settings,
        )
        with _faults_named(out), lock_poses(out):
            plan = plan_left()  # another run may have ended just now
            _run(plan, work, settings=settings, total=len(tasks), workers=workers)
    records = [plan.journal.records[task.name] for task in (*plan.kept, *plan.to_do)]
    claimed = [
        (
            task.name,
            f"its poses would replace those of {rival.source or rival.video}; choose another folder for "
            "them, or --overwrite",
        )
        for task, rival in plan.claimed
    ]
    skipped = sorted([*unusable, *claimed, *((r.video, r.reason) for r in records if r.reason)])
    with _faults_named(out):
        write_skipped(out, skipped, looked_at=looked_at)
    return ExtractionReport(
        out,
        tuple(record for record in records if not record.reason),
        tuple(skipped),
        done_before=sum(not plan.journal.records[task.name].reason for task in plan.kept),
        foreign=len(plan.foreign),
        others=dict(others or {}),
        claimed=tuple((task.name, rival.source or rival.video) for task, rival in plan.claimed),
    )


def _run(
    plan: Plan, work: partial[Record], *, settings: str, total: int, workers: int | None
) -> None:
    """Work on the videos, noting each in the journal."""
    tasks, journal = plan.to_do, plan.journal
    apart = plan.is_risky

    def begun() -> Iterator[Task]:
        for task in tasks:
            plan.claims.clear(task)
            journal.add(Record(task.name, task.stamp(), settings, source=task.source()))
            yield task

    processes = min(workers or os.cpu_count() or 1, len(tasks))
    if len(tasks) == 1 and not apart:
        progress = Progress(total=_count_frames(tasks[0]), label=tasks[0].name, unit="frame")
        work = partial(work, advance=progress.advance)
    else:
        done = total - len(tasks)
        progress = Progress(total=total, label="Extracting poses", unit="video", done=done)
    frames, start = 0, time.monotonic()
    try:
        for task, found in run_each(work, begun(), workers=processes, apart=apart):
            record = found or replace(journal.records[task.name], reason=CRASHED, is_done=True)
            journal.add(record)
            frames += record.frames
            if len(tasks) > 1 or apart:
                progress.advance(note=f"{frames / (time.monotonic() - start):.3g} frames/s")
    except KeyboardInterrupt:
        logger.warning(
            "Stopped. What is done is kept in %s; the same command goes on.", journal.folder
        )
        raise
    finally:
        progress.close()


def _count_frames(task: Task) -> int:
    try:
        return read_facts(task.video).expected_frames or 0
    except PoseError:
        return 0  # said when it is worked on


@contextmanager
def _faults_named(out: Path) -> Iterator[None]:
    """Say of what can't be written that it is in this folder."""
    try:
        yield
    except OSError as fault:
        place = fault.filename or out
        raise DataError(
            f"{place}: can't be written ({fault.strerror}). Choose another folder."
        ) from fault

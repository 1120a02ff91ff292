"""The videos that a config's tables name, for `signseq prepare`."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from signseq.config import DataConfig
from signseq.data.examples import read_examples
from signseq.data.readers.places import build_place
from signseq.errors import DataError
from signseq.extraction.listing import Task, list_videos
from signseq.extraction.run import extract_tasks
from signseq.poses.estimation.video import SUFFIXES

__all__ = ["extract_named"]

logger = logging.getLogger(__name__)


def extract_named(data: DataConfig, splits: Iterable[str], *, workers: int | None = None) -> None:
    """Find the poses of the videos in `data.video_dir` that the tables name; they go to `data.pose_dir`.

    Nothing happens where the config names no folder of videos. Of several people the largest is followed.
    What is done is kept, also .pose files that something else made. Videos that are missing or can't be
    used are listed in `skipped.csv` there; `prepare` then counts their clips as skipped. So are names that two
    videos have, where the table gives no suffix.

    Args:
        data: The config's section.
        splits: The splits whose tables are read.
        workers: Processes; None means one per core.

    Raises:
        DataError: If a table is wrong, poses are missing while there are no videos, are those of other videos of the
            same names, or can't be written, or another run is writing there.
        ConfigError: If the settings don't fit poses that are found in videos.
        MissingExtraError: If there is work to do and a package for videos isn't installed.
    """
    if data.video_dir is None:
        return
    names = _named(data, splits)
    if not data.video_dir.is_dir():
        if all((data.pose_dir / f"{name}.pose").exists() for name in names):
            return
        raise DataError(
            f"data.video_dir = {data.video_dir}: no such folder, and not all poses are in {data.pose_dir} yet. "
            "Set it to where the videos are."
        )
    listing = list_videos(data.video_dir, data.pose_dir)
    found: dict[Path, list[Task]] = {}
    for task in (*listing.tasks, *(task for task, _ in listing.doubles)):
        found.setdefault(task.pose, []).append(task)
    tasks, unusable = list[Task](), list[tuple[str, str]]()
    for name, suffixes in names.items():
        pose = data.pose_dir / f"{name}.pose"
        chosen, reason = _choose(found.get(pose, []), suffixes)
        if chosen is not None:
            tasks.append(chosen)
        elif not pose.exists():
            reason = reason or f"no such video in {data.video_dir}"
            unusable.append((name + "".join(suffixes if len(suffixes) == 1 else ()), reason))
    report = extract_tasks(
        tasks,
        data.pose_dir,
        workers=workers,
        unusable=unusable,
        looked_at={
            *names,
            *(f"{name}{suffix}" for name, suffixes in names.items() for suffix in suffixes),
            *(task.name for task in tasks),
        },
    )
    if report.claimed:
        name, source = report.claimed[0]
        raise DataError(
            f"data.pose_dir = {data.pose_dir}: the poses of {name} there were made of another video, {source} "
            f"({len(report.claimed)} such). Remove them, or set another data.pose_dir."
        )
    logger.info("%s", report.describe())


def _choose(videos: Sequence[Task], suffixes: Collection[str]) -> tuple[Task | None, str]:
    """Which of the videos of one name the tables mean, by the suffixes they give it; or why that can't be told."""
    if not videos:
        return None, ""
    there = " and ".join(sorted(video.video.name for video in videos))
    if len(suffixes) > 1:
        return None, f"the tables name it with {' and with '.join(suffixes)}; poses have one name"
    if not suffixes:
        if len(videos) == 1:
            return videos[0], ""
        return (
            None,
            f"there are {there}; the table doesn't say which. Name it in the column pose_path",
        )
    (suffix,) = suffixes
    exact = [video for video in videos if video.video.suffix == suffix]
    fitting = exact or [video for video in videos if video.video.suffix.lower() == suffix.lower()]
    if len(fitting) == 1:
        return fitting[0], ""
    return None, f"the table names it with {suffix}; there is only {there}"


def _named(data: DataConfig, splits: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The paths of the clips' poses in `pose_dir`, without `.pose`; with the suffixes of videos that tables give."""
    build_place(data)  # says what doesn't go with videos
    # Without the folder of videos, the names are as the tables have them.
    files = data.pose_files.model_copy(update={"format": "pose"})
    plain = data.model_copy(update={"video_dir": None, "pose_files": files})
    names = dict[str, dict[str, None]]()
    for split in splits:
        for example in read_examples(plain, split):
            name = os.path.relpath(example.pose_path, data.pose_dir)
            if name == os.pardir or name.startswith(os.path.join(os.pardir, "")):
                continue
            name, suffix = os.path.splitext(Path(name).as_posix())
            if suffix.lower() in SUFFIXES:
                names.setdefault(name, {})[suffix] = None
            else:
                names.setdefault(name if suffix == ".pose" else name + suffix, {})
    return {name: tuple(suffixes) for name, suffixes in names.items()}

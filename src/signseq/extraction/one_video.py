"""From one video to its .pose files, in whatever process."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from signseq.errors import PoseError
from signseq.extraction.journal import Record
from signseq.extraction.listing import Task
from signseq.poses.estimation.clips import People, extract
from signseq.poses.estimation.estimator import BuildEstimator, Estimator
from signseq.poses.sequence import write_pose

__all__ = ["extract_one"]


def extract_one(
    task: Task,
    *,
    build: BuildEstimator,
    people: People,
    max_people: int | None,
    out: Path,
    settings: str,
    advance: Callable[[], object] = lambda: None,
) -> Record:
    """Extract the poses of one video, maybe in a process of its own; what is wrong with it becomes the reason.

    Args:
        task: The video.
        build: Makes the estimator; in another process it must be found by its name.
        people: See `extract`, as for `max_people` and `advance`.
        max_people: The same.
        out: The folder that the record's paths are relative to.
        settings: What the record says of the settings.
        advance: The same.

    Raises:
        PoseError: If a pose can't be written.
        OSError: If its folder can't be made.
        MissingExtraError: If a package for videos isn't installed.
    """
    # Of what is read now, even if it is replaced meanwhile.
    seen = Record(task.name, task.stamp(), settings, source=task.source())
    try:
        found = extract(
            task.video,
            _estimator(build),
            people=people,
            max_people=max_people,
            advance=advance,
        )
    except PoseError as fault:
        reason = str(fault).removeprefix(f"{task.video}: ")
        # What can't be read now may be readable next time, without a new time of change.
        is_final = os.access(task.video, os.R_OK)
        return replace(seen, reason=reason, is_done=is_final)
    except MemoryError:
        return replace(seen, reason="too long for the memory that there is")
    task.pose.parent.mkdir(parents=True, exist_ok=True)
    paths = [task.pose_of(person + 1) for person in range(len(found.poses))]
    for path, pose in zip(paths, found.poses, strict=True):
        write_pose(path, pose, size=found.size)
    return replace(
        seen,
        poses=tuple(path.relative_to(out).as_posix() for path in paths),
        is_done=True,
        frames=len(found.poses[0]),
        fps=found.poses[0].fps,
        people=found.people,
        is_variable=found.is_variable,
    )


@lru_cache(maxsize=1)
def _estimator(build: BuildEstimator) -> Estimator:
    """One for all videos of a process: to load the models takes seconds."""
    return build()

"""What is left to do of videos, and what was done before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from signseq.extraction.claims import Claims
from signseq.extraction.journal import Journal, Record
from signseq.extraction.listing import Task

__all__ = ["CRASHED", "Plan", "plan_work"]

CRASHED = (
    "the process that worked on it ended twice; the video makes a decoder or the estimator crash, or takes more "
    "memory than there is. It is tried again when it changes, or with --overwrite"
)


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        journal: What was done.
        claims: Whose the poses are.
        to_do: The videos to work on.
        kept: Those that were done before.
        foreign: Those that have poses which something else made.
        claimed: Those whose poses would replace another video's, and that one.
    """

    journal: Journal
    claims: Claims
    to_do: tuple[Task, ...]
    kept: tuple[Task, ...] = ()
    foreign: tuple[Task, ...] = ()
    claimed: tuple[tuple[Task, Record], ...] = ()

    @property
    def is_risky(self) -> bool:
        """Whether a process may have ended at one of the videos; it must not be this one the next time."""
        known = (self.journal.records.get(task.name) for task in self.to_do)
        return any(record and (not record.is_done or record.reason == CRASHED) for record in known)


def plan_work(
    tasks: Sequence[Task], out: Path, *, settings: str, everybody: bool, overwrite: bool
) -> Plan:
    """Read what was done in a folder, and divide videos by what is to be done.

    Args:
        tasks: The videos.
        out: The folder of their poses.
        settings: With which settings.
        everybody: Whether people beside the largest get poses.
        overwrite: Whether to do all anew.

    Raises:
        OSError: If the folder can't be read.
    """
    journal = Journal(out)
    claims = Claims(journal, tasks, everybody=everybody)
    if overwrite:
        return Plan(journal, claims, tuple(tasks))
    to_do, kept, foreign, claimed = [], [], [], []
    for task in tasks:
        if _is_done(task, journal, settings):
            kept.append(task)
        elif rival := claims.find_rival(task):
            claimed.append((task, rival))
        elif (
            task.name not in journal.records and not claims.is_claimed(task) and task.pose.exists()
        ):
            foreign.append(task)
        else:
            to_do.append(task)
    return Plan(journal, claims, tuple(to_do), tuple(kept), tuple(foreign), tuple(claimed))


def _is_done(task: Task, journal: Journal, settings: str) -> bool:
    """Whether this very video was done with these settings, and what was written is there."""
    record = journal.records.get(task.name)
    if record is None or not record.is_done:
        return False
    same = (record.stamp, record.settings) == (task.stamp(), settings)
    return same and all((journal.folder / pose).exists() for pose in record.poses)

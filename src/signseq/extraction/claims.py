"""Whose the .pose files of a folder are: no video's are replaced by another one's."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from signseq.extraction.journal import Journal, Record
from signseq.extraction.listing import Task, person_in

__all__ = ["Claims"]

PART = re.compile(r"(?s)\.(.+\.pose)\.\d+")  # what a killed write leaves


class Claims:
    """Which records of a folder name the poses that videos are to get.

    Args:
        journal: The folder's.
        tasks: All videos of this run.
        everybody: Whether people beside the largest get poses.
    """

    def __init__(self, journal: Journal, tasks: Sequence[Task], *, everybody: bool) -> None:
        self._journal, self._everybody = journal, everybody
        self._names = {task.name for task in tasks}
        self._poses = {task.pose for task in tasks}
        self._by_pose = defaultdict[str, list[Record]](list)
        for record in journal.records.values():
            keys = {*record.poses, *(person_in(pose)[0] for pose in record.poses)}
            for key in keys if everybody else record.poses:
                self._by_pose[key].append(record)

    def is_claimed(self, task: Task) -> bool:
        """Whether a record names its poses."""
        return bool(self._owners(task))

    def find_rival(self, task: Task) -> Record | None:
        """The record of another video that is there still, and whose poses these would replace."""
        return next((owner for owner in self._owners(task) if self._is_rival(task, owner)), None)

    def clear(self, task: Task) -> None:
        """Remove what an earlier run made of an earlier video or with other settings, or left when it was killed.

        Raises:
            OSError: If it can't be removed.
        """
        record = self._journal.records.get(task.name)
        owners = self._owners(task)
        for owner in owners if record is None else {record, *owners}:
            for pose in owner.poses:
                path = self._journal.folder / pose
                if path == task.pose or path not in self._poses:
                    path.unlink(missing_ok=True)
            if owner.video != task.name:
                self._journal.add(Record(owner.video, "", ""))  # no longer done
        if record is not None:
            self._remove_parts(task)

    def _owners(self, task: Task) -> list[Record]:
        records, name = self._journal.records, self._relative(task)
        return [owner for owner in self._by_pose[name] if records[owner.video] is owner]

    def _is_rival(self, task: Task, owner: Record) -> bool:
        if not any((self._journal.folder / pose).exists() for pose in owner.poses):
            return False
        if owner.source and not os.path.exists(owner.source):
            return False  # moved, or replaced by this one
        if owner.video != task.name:
            return owner.video not in self._names  # else the listing has seen to it
        return owner.source not in ("", task.source()) and owner.stamp != task.stamp()

    def _remove_parts(self, task: Task) -> None:
        for path in self._parts(task):
            os.unlink(path)

    def _parts(self, task: Task) -> Iterator[str]:
        folder = task.pose.parent
        if not folder.is_dir():
            return
        for entry in os.scandir(folder):
            found = PART.fullmatch(entry.name)
            if not found:
                continue
            is_own = found[1] == task.pose.name
            is_other = folder / found[1] in self._poses
            if is_own or (not is_other and person_in(found[1])[0] == task.pose.name):
                yield entry.path

    def _relative(self, task: Task) -> str:
        return task.pose.relative_to(self._journal.folder).as_posix()

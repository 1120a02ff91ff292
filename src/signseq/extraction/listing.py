"""Which videos there are, and where the poses of each go."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from signseq.errors import DataError
from signseq.poses.estimation.video import SUFFIXES

__all__ = ["Listing", "Task", "list_videos", "person_in"]

PERSON = re.compile(r"(?s)(.+)\.person(\d+)\.pose")
LOOP = "link to a folder that it is in"


@dataclass(frozen=True)
class Task:
    """A video, and where its poses go.

    Attributes:
        name: What it is called in the journal and in messages: its path in its folder, with `/`.
        video: Its path.
        pose: The path of the poses of its largest person.
    """

    name: str
    video: Path
    pose: Path

    def pose_of(self, person: int) -> Path:
        """Where the poses of a person go, counted from 1: `NAME.pose`, `NAME.person2.pose`, ..."""
        return self.pose if person == 1 else self.pose.with_suffix(f".person{person}.pose")

    def stamp(self) -> str:
        """What changes when the video does, found without reading it; empty where it isn't there."""
        try:
            stat = os.stat(self.video)
        except OSError:
            return ""
        return f"{stat.st_size} {stat.st_mtime_ns}"

    def source(self) -> str:
        """Where the video is, however it was named."""
        return os.path.realpath(self.video)


@dataclass(frozen=True)
class Listing:
    """The files of a folder.

    Attributes:
        tasks: The videos, in the order of their names.
        doubles: Videos whose poses would have the name of another one's, and that one.
        others: How many files are no videos, by the ends of their names, and links that lead back.
    """

    tasks: tuple[Task, ...]
    doubles: tuple[tuple[Task, str], ...]
    others: Counter[str]


def person_in(pose: str) -> tuple[str, int]:
    """Of whose video a file of poses is, as that of its largest person, and of which person: `NAME.person2.pose`."""
    found = PERSON.fullmatch(pose)
    return (f"{found[1]}.pose", int(found[2])) if found else (pose, 1)


def list_videos(folder: Path, out: Path, *, clips: int | None = 1) -> Listing:
    """List the videos in a folder and in all folders inside, links followed; those are the same in `out`.

    Args:
        folder: The folder of videos.
        out: Where the poses go.
        clips: The poses of how many people may be written of each; None means of all.

    Raises:
        DataError: If the folder can't be listed.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder. Name a folder of videos.")
    tasks: dict[Path, Task] = {}
    doubles, others = [], Counter[str]()
    for path in _files(folder, others):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            others[path.suffix.lower() or path.name] += 1
            continue
        name = path.relative_to(folder)
        task = Task(name.as_posix(), path, out / name.with_suffix(".pose"))
        first = tasks.setdefault(task.pose, task)
        if first is not task:
            doubles.append((task, first.name))
    for task in [*tasks.values()]:
        largest, person = person_in(task.pose.name)
        first = tasks.get(task.pose.with_name(largest), task)
        if first is not task and 1 < person <= (clips or person):
            del tasks[task.pose]
            doubles.append((task, first.name))
    return Listing(tuple(tasks.values()), tuple(doubles), others)


def _files(folder: Path, others: Counter[str]) -> Iterator[Path]:
    """The files in a folder and in those inside; a link to a folder that it is in itself is only counted."""

    def fail(fault: OSError) -> None:
        raise DataError(f"{fault.filename}: can't be listed ({fault.strerror}).") from fault

    above = {folder: {_identity(folder)}}
    for place, folders, files in os.walk(folder, onerror=fail, followlinks=True):
        chain = above.pop(Path(place))
        inside = []
        for name in sorted(folders):
            identity = _identity(Path(place, name))
            if identity in chain:
                others[LOOP] += 1
            else:
                inside.append(name)
                above[Path(place, name)] = {*chain, identity}
        folders[:] = inside
        yield from (Path(place, file) for file in sorted(files))


def _identity(folder: Path) -> tuple[int, int]:
    try:
        stat = os.stat(folder)
    except OSError as fault:
        raise DataError(f"{folder}: can't be listed ({fault.strerror}).") from fault
    return stat.st_dev, stat.st_ino

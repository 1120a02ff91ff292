"""What has been extracted into a folder: `extraction.jsonl`, a line for every video that was begun or done.

Only the process that distributes the work writes it. A killed run leaves at most a line that is cut off,
which is ignored; the video is then done again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

__all__ = ["JOURNAL", "Journal", "Record"]

JOURNAL = "extraction.jsonl"


@dataclass(frozen=True)
class Record:
    """What is known of a video.

    Attributes:
        video: Its name.
        stamp: Its size and time when it was read.
        settings: With which settings.
        poses: The files that were written, relative to the folder; those that will be, while it is begun.
        reason: Why it can't be used; empty where it can.
        is_done: Whether that is all; else it was only begun.
        frames: How many poses each file has.
        fps: Their rate.
        people: How many people are in view.
        is_variable: Whether its frame rate varies.
        source: Its path when it was read, absolute and without links; empty where an earlier version noted it.
    """

    video: str
    stamp: str
    settings: str
    poses: tuple[str, ...] = ()
    reason: str = ""
    is_done: bool = False
    frames: int = 0
    fps: float = 0.0
    people: int = 0
    is_variable: bool = False
    source: str = ""


class Journal:
    """The records of a folder, the latest of each video.

    Args:
        folder: Where the poses go; must be there.

    Raises:
        OSError: If it can't be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records = {record.video: record for record in _read(folder / JOURNAL)}
        self._is_tidy = False

    def add(self, record: Record) -> None:
        """Note a record, at once; before the first one, the file is written anew without what is outdated.

        Raises:
            OSError: If it can't be written.
        """
        self.records[record.video] = record
        if self._is_tidy:
            with (self.folder / JOURNAL).open("a", encoding="utf-8") as file:
                file.write(_line(record))
            return
        part = self.folder / f".{JOURNAL}.{os.getpid()}"
        part.write_text("".join(map(_line, self.records.values())), encoding="utf-8")
        part.replace(self.folder / JOURNAL)
        self._is_tidy = True


def _line(record: Record) -> str:
    return json.dumps(asdict(record)) + "\n"


def _read(path: Path) -> Iterable[Record]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return
    for line in lines:
        try:
            facts: Any = json.loads(line)
            known = {
                field.name: facts[field.name] for field in fields(Record) if field.name in facts
            }
            record = Record(**{**known, "poses": tuple(known["poses"])})
        except (ValueError, KeyError, TypeError):
            continue  # cut off
        yield record

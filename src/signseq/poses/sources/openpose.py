"""OpenPose's output: a folder with one JSON file per frame."""

from __future__ import annotations

import json
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signseq.errors import PoseError
from signseq.poses.reading import unreadable
from signseq.poses.sequence import PoseFile
from signseq.poses.skeletons import SKELETONS
from signseq.poses.sources.source import (
    PoseFormat,
    PoseSource,
    make_file,
    stack_people,
    surest_first,
)

__all__ = ["open_openpose"]

FRAME = re.compile(r"_?(\d{1,18})_keypoints\.json")  # <video>_000000000000_keypoints.json
PARTS = {
    "pose_keypoints_2d": 25,
    "face_keypoints_2d": 70,
    "hand_left_keypoints_2d": 21,
    "hand_right_keypoints_2d": 21,
}
SKELETON = SKELETONS["openpose"]
NOBODY = np.zeros((0, len(SKELETON.names), 3), np.float32)
JSON_FAULTS = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
MOST_MISSING = 0.5  # of the frames; a folder with fewer is no download that went well


def open_openpose(path: str, pose_format: PoseFormat, *, name: str) -> PoseSource:
    """Open a folder of `<video>_<frame number>_keypoints.json`, frames counted from 0.

    A frame without a file is one in which nobody is seen; so is one whose `people` is empty. Of
    several people the first is whose points are surest, frame by frame: OpenPose doesn't follow
    people from frame to frame.

    Args:
        path: The folder.
        pose_format: Its frame rate.
        name: What to call it in messages.

    Raises:
        PoseError: If there is no such folder, it holds no such files, or too few of them.
    """
    try:
        files, absent = _list_frames(path, os.stat(path).st_mtime_ns)
    except FileNotFoundError as fault:
        raise PoseError(f"{name}: no such folder.") from fault
    except NotADirectoryError as fault:
        raise PoseError(f"{name}: not a folder; expected OpenPose's JSON files in it.") from fault
    except OSError as fault:
        raise unreadable(name, fault) from fault
    fps = pose_format.rate(name)

    def decode(first: int, last: int) -> PoseFile:
        frames = [_read_people(file) if file else NOBODY for file in files[first:last]]
        values = stack_people(frames)
        return make_file(
            values[..., :2],
            values[..., 2],
            fps=fps,
            skeleton=SKELETON,
            size=pose_format.size,
            name=name,
        )

    return PoseSource(name, fps, len(files), SKELETON.names, decode, absent)


@lru_cache(maxsize=4)  # clips of one video come one after another
def _list_frames(path: str, _changed: int) -> tuple[list[str | None], NDArray[np.intp]]:
    """The file of each frame, None where there is none, and the numbers of those."""
    found: dict[int, str] = {}
    for entry in sorted(os.listdir(path)):
        match = FRAME.search(entry)
        if match is None or match.end() != len(entry):
            continue
        number = int(match[1])
        if number in found:
            raise PoseError(
                f"{path}: frame {number} is there twice, in {os.path.basename(found[number])} and {entry}; "
                "expected the frames of one video in a folder."
            )
        found[number] = os.path.join(path, entry)
    if not found:
        raise PoseError(
            f"{path}: no file in it is named like OpenPose's, <video>_000000000000_keypoints.json."
        )
    count = max(found) + 1
    if count - len(found) > MOST_MISSING * count:
        raise PoseError(
            f"{path}: {len(found)} files for frames 0 to {count - 1}; more than half of the frames are missing. "
            "Fetch them again."
        )
    files = [found.get(number) for number in range(count)]
    return files, np.array([i for i, file in enumerate(files) if file is None], np.intp)


def _read_people(path: str) -> NDArray[np.float32]:
    """Everybody in a frame, (P, 137, 3): x, y and confidence; the surest first."""
    try:
        people = json.loads(Path(path).read_bytes())["people"]
        numbers = [_numbers_of(person, path) for person in people]
        values = np.array(numbers, np.float32).reshape(len(people), len(SKELETON.names), 3)
    except OSError as fault:
        raise unreadable(path, fault) from fault
    except JSON_FAULTS as fault:
        raise PoseError(
            f"{path}: not a whole JSON file of OpenPose ({type(fault).__name__}: {fault}). Fetch it anew."
        ) from fault
    return surest_first(values, values[..., 2]) if len(people) > 1 else values


def _numbers_of(person: dict[str, Any], path: str) -> list[float]:
    numbers: list[float] = []
    for part, points in PARTS.items():
        values = person.get(part) or [0.0] * (3 * points)  # empty where OpenPose ran without it
        if len(values) != 3 * points:
            raise PoseError(
                f"{path}: {part} has {len(values)} numbers, expected {3 * points} ({points} points of x, y and "
                "confidence: OpenPose's BODY_25, face and hands)."
            )
        numbers += values
    return numbers

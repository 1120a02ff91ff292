"""Tiny lexicons of sign clips, whose signs are places of the right hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from conftest import KEYPOINTS, write_rows
from signseq.poses.sequence import PoseSequence, write_pose

COLUMNS = (
    *("path", "spoken_language", "signed_language", "start", "end"),
    *("words", "glosses", "priority"),
)
INDEX = {name: k for k, name in enumerate(KEYPOINTS)}
RIGHT = [k for k, name in enumerate(KEYPOINTS) if name.startswith("RIGHT_HAND")]
RIGHT_WRIST = INDEX["RIGHT_HAND_LANDMARKS.WRIST"]
RAISED = slice(10, 30)  # frames of the 40 in which the hand is up


def make_clip(
    height: float = 0.5, *, fps: float = 25.0, width: float = 200.0, left: float = 150.0
) -> PoseSequence:
    """Somebody who raises the right hand so many shoulder widths over the shoulders, and moves it.

    Args:
        height: Of the hand when it is up.
        fps: Frames per second.
        width: Of the shoulders, in pixels: how near the camera is.
        left: Where the right shoulder is in the picture.
    """
    data = np.zeros((40, len(KEYPOINTS), 3), np.float32)
    data[:] = np.random.default_rng(1).uniform(-0.2, 0.2, (len(KEYPOINTS), 3))
    for name, place in (
        ("LEFT_SHOULDER", (0.5, 0)),
        ("RIGHT_SHOULDER", (-0.5, 0)),
        ("LEFT_ELBOW", (0.6, 0.8)),
        ("RIGHT_ELBOW", (-0.6, 0.8)),
        ("LEFT_WRIST", (0.6, 1.5)),
        ("RIGHT_WRIST", (-0.6, 1.5)),
    ):
        data[:, INDEX[f"POSE_LANDMARKS.{name}"]] = (*place, 0)
    arm = [INDEX["POSE_LANDMARKS.RIGHT_WRIST"], *RIGHT]
    data[:, RIGHT] += (-0.6, 1.5, 0)
    for frame in range(RAISED.start, RAISED.stop):
        data[frame, arm, 1] -= 1.5 + height
        data[frame, arm, 0] += 0.02 * (frame - RAISED.start)
    data = data * width + np.array([left + width / 2, 250, 0], np.float32)
    confidence = np.ones(data.shape[:2], np.float32)
    return PoseSequence(data.astype(np.float32), confidence, fps, KEYPOINTS)


def write_index(folder: Path, rows: Sequence[dict[str, str]]) -> Path:
    """An index.csv; what a row leaves out is as for a whole clip in American Sign Language."""
    usual = {
        "path": "a.pose",
        "spoken_language": "en",
        "signed_language": "ase",
        "start": "0",
        "end": "0",
        "words": "",
        "glosses": "",
        "priority": "0",
    }
    folder.mkdir(parents=True, exist_ok=True)
    columns = tuple(dict.fromkeys((*COLUMNS, *(name for row in rows for name in row))))
    write_rows(folder / "index.csv", [usual | row for row in rows], columns=columns)
    return folder


def write_folder(folder: Path, *glosses: str) -> Path:
    """A folder of <gloss>.pose, each gloss at a height of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, gloss in enumerate(glosses):
        write_pose(folder / f"{gloss}.pose", make_clip(0.1 * number), size=(500, 500))
    return folder

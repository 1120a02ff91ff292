"""COCO-WholeBody keypoints of RTMPose and its kin, as pickles: one file per clip."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from signseq.errors import PoseError
from signseq.poses.sequence import PoseFile
from signseq.poses.skeletons import SKELETONS
from signseq.poses.sources.pickles import read_pickle
from signseq.poses.sources.source import (
    PoseFormat,
    PoseSource,
    make_file,
    stack_people,
    surest_first,
)

__all__ = ["open_wholebody"]

SKELETON = SKELETONS["coco_wholebody"]
FORM = "expected {'keypoints': [(people, 133, 2) per frame], 'scores': [(people, 133) per frame]}"


def open_wholebody(content: str | bytes, pose_format: PoseFormat, *, name: str) -> PoseSource:
    """Open a pickle of the form `{'keypoints': [(P, 133, 2)], 'scores': [(P, 133)]}`, an entry per frame.

    `start` and `end`, where they are there, are the frames of the clip. Of several people the first
    is whose points are surest, frame by frame.

    Args:
        content: A path, or the bytes.
        pose_format: The frame rate, the picture's size, and whether pickles may be read.
        name: What to call it in messages.

    Raises:
        PoseError: If pickles may not be read, or it holds something else.
    """
    facts = read_pickle(content, name=name, allowed=pose_format.allow_pickle)
    if not isinstance(facts, dict) or not {"keypoints", "scores"} <= facts.keys():
        keys = ", ".join(map(repr, facts)) if isinstance(facts, dict) else type(facts).__name__
        raise PoseError(f"{name}: holds {keys or 'nothing'}; {FORM}.")
    try:
        points, scores = list(facts["keypoints"]), list(facts["scores"])
        if len(points) != len(scores):
            raise ValueError(f"{len(points)} frames of keypoints, {len(scores)} of scores")
        start, end = int(facts.get("start") or 0), facts.get("end")
        end = len(points) if end is None else int(end)
    except (TypeError, ValueError) as fault:
        raise PoseError(f"{name}: {fault}; {FORM}.") from fault
    if not 0 <= start < end <= len(points):
        raise PoseError(
            f"{name}: says that the clip is frames {start} to {end}, but holds {len(points)} frames."
        )
    fps = pose_format.rate(name)

    def decode(first: int, last: int) -> PoseFile:
        frames = range(start + first, start + last)
        values = stack_people(
            [_read_frame(points[i], scores[i], f"{name}, frame {i}") for i in frames]
        )
        return make_file(
            values[..., :2],
            values[..., 2],
            fps=fps,
            skeleton=SKELETON,
            size=pose_format.size,
            name=name,
        )

    return PoseSource(name, fps, end - start, SKELETON.names, decode)


def _read_frame(points: Any, scores: Any, where: str) -> NDArray[np.float32]:
    """Everybody in a frame, (P, 133, 3): x, y and score; the surest first."""
    try:
        xy = np.asarray(points, np.float32).reshape(-1, len(SKELETON.names), 2)
        score = np.asarray(scores, np.float32).reshape(-1, len(SKELETON.names), 1)
        values = np.concatenate([xy, score], axis=2)
    except (TypeError, ValueError) as fault:
        raise PoseError(f"{where}: {fault}; {FORM}.") from fault
    return surest_first(values, values[..., 2]) if len(values) > 1 else values

"""The real recordings that the embedded corpora are composed of, brought into one common frame.

They are single letters of the finger alphabets of 19 signed languages, one person each, shipped by
the package spoken-to-signed (MIT): MediaPipe Holistic .pose files and an `index.csv`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from signseq.data.joining import find_held_part
from signseq.data.lexicon import INDEX, read_index
from signseq.errors import DataError, MissingExtraError, SignSeqError
from signseq.poses.keypoints import (
    BODY,
    BODY_POINTS,
    FACE,
    FEW_FACE_POINTS,
    HAND_POINTS,
    LEFT_HAND,
    NOSE,
    RIGHT_HAND,
    SHOULDERS,
    find_parts,
)
from signseq.poses.sequence import PoseFile, PoseSequence

__all__ = ["KEYPOINTS", "Recordings", "Unit", "find_lexicon", "load_recordings"]

Unit = tuple[str, str]  # a signed language (ISO 639-3) and a letter: one recording

KEYPOINTS = tuple(
    f"{component}.{point}"
    for component, points in (
        (BODY, BODY_POINTS),
        (FACE, FEW_FACE_POINTS),
        (LEFT_HAND, HAND_POINTS),
        (RIGHT_HAND, HAND_POINTS),
    )
    for point in points
)
PARTS = find_parts(KEYPOINTS)
HANDS = (PARTS.left_hand, PARTS.right_hand)  # the wrist is each hand's first point

# The files give x and y in pixels of a 500 pixel picture and depth in other units. The factor for
# hands makes bones keep their lengths while the hand turns (least variation at 500 to 700 for all
# nine alphabets); those for body and face put the nose a quarter of a shoulder width ahead of the
# shoulders and make the head as deep as it is wide.
HAND_DEPTH, BODY_DEPTH, FACE_DEPTH = 500.0, 60.0, 300.0


@dataclass(frozen=True, eq=False)
class Recordings:
    """The held part of recordings, one after the other.

    Attributes:
        data: float32 of shape (N, K, 3): all frames, in shoulder widths around the shoulders'
            midpoint; x to the picture's right, y down, z away from the camera. A point that is
            missing for some frames stands where it was seen last (or first).
        confidence: float32 of shape (N, K), 0 for missing points.
        spans: First row, row after the last one, and frames per second of each recording.
    """

    data: NDArray[np.float32]
    confidence: NDArray[np.float32]
    spans: Mapping[Unit, tuple[int, int, float]]


def find_lexicon() -> Path:
    """The folder of recordings, found without importing the package that ships it.

    Raises:
        MissingExtraError: If the package is not installed.
        DataError: If the installed package has no recordings.
    """
    spec = importlib.util.find_spec("spoken_to_signed")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(
            package="spoken-to-signed", extra="demo", purpose="The embedded corpus"
        )
    folder = Path(next(iter(spec.submodule_search_locations)), "assets", "fingerspelling_lexicon")
    if not (folder / INDEX).is_file():
        raise DataError(
            f"{folder}: no {INDEX}; the installed spoken-to-signed ships no recordings. "
            f"Install the version that belongs to this one: pip install 'signseq[demo]'"
        )
    return folder


@lru_cache(maxsize=4)
def load_recordings(units: tuple[Unit, ...]) -> Recordings:
    """Load recordings, each trimmed to the part where the hands are raised and in place.

    Args:
        units: What to load; each once.

    Raises:
        MissingExtraError: If the package that ships them is not installed.
        DataError: If a recording is not in it, or can't be read.
    """
    paths = _index(find_lexicon())
    data, confidence, spans = [], [], {}
    row = 0
    for unit in units:
        if unit not in paths:
            raise DataError(f"No recording of the letter {unit[1]!r} in the language {unit[0]!r}.")
        try:
            pose = _to_common_frame(PoseFile.open(paths[unit]).read(keypoints=KEYPOINTS))
        except SignSeqError as fault:
            raise DataError(f"A recording of spoken-to-signed can't be used: {fault}") from fault
        kept = find_held_part(pose, [hand[0] for hand in HANDS])
        data.append(pose.data[kept])
        confidence.append(pose.confidence[kept])
        spans[unit] = (row, row + len(data[-1]), pose.fps)
        row += len(data[-1])
    return Recordings(np.concatenate(data), np.concatenate(confidence), spans)


def _index(lexicon: Path) -> dict[Unit, Path]:
    rows = [row.values for row in read_index(lexicon)]
    return {(row["signed_language"], row["words"].upper()): lexicon / row["path"] for row in rows}


def _to_common_frame(pose: PoseSequence) -> PoseSequence:
    index = {name: k for k, name in enumerate(pose.keypoints)}
    left, right = (pose.data[:, index[name], :2].mean(axis=0) for name in SHOULDERS)
    middle, width = (left + right) / 2, float(np.linalg.norm(left - right))
    shoulder_depth = pose.data[:, [index[name] for name in SHOULDERS], 2].mean()
    data, confidence = _hold_missing(pose.data, pose.confidence), pose.confidence
    depth = (data[..., 2] - shoulder_depth) * BODY_DEPTH
    # Faces and hands know their depth only against themselves: hang them on the nose and wrists.
    face = list(PARTS.face)
    nose = face[FEW_FACE_POINTS.index("1")]
    depth[:, face] = (data[:, face, 2] - data[:, nose, None, 2]) * FACE_DEPTH
    depth[:, face] += depth[:, index[NOSE], None]
    for hand, side in zip(HANDS, ("LEFT", "RIGHT"), strict=True):
        points = list(hand)
        depth[:, points] = (data[:, points, 2] - data[:, points[:1], 2]) * HAND_DEPTH
        depth[:, points] += depth[:, index[f"{BODY}.{side}_WRIST"], None]
    planar = data[..., :2] - middle
    common = np.concatenate([planar, depth[..., None]], axis=-1) / width
    return PoseSequence(common.astype(np.float32), confidence, pose.fps, pose.keypoints)


def _hold_missing(
    data: NDArray[np.float32], confidence: NDArray[np.float32]
) -> NDArray[np.float32]:
    seen = confidence > 0
    frames = np.arange(len(data))[:, None]
    last = np.maximum.accumulate(np.where(seen, frames, -1), axis=0)
    first = seen.argmax(axis=0)[None]
    source = np.where(last < 0, first, last)
    return np.take_along_axis(data, source[..., None], axis=0)

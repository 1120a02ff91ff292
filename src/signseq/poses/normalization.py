"""Normalisations: from pixels to units of the signer's own body, which no camera changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from signseq.errors import PoseError
from signseq.poses.keypoints import (
    BODY,
    FACE,
    NOSE,
    SHOULDERS,
    UNI_SIGN_BODY,
    WRISTS,
    find_parts,
    index_of,
)
from signseq.poses.sequence import PoseSequence

__all__ = [
    "NORMALIZERS",
    "OWN_ORIGINS",
    "Normalization",
    "as_slice",
    "normalize_box",
    "normalize_parts",
    "normalize_shoulders",
    "points_needed",
]

Normalization = Literal["none", "shoulders", "parts", "box"]
OWN_ORIGINS = ("parts", "box")  # those in which hands and face have origins of their own
NOSE_TIP = f"{FACE}.1"  # the face's own nose
BOX_POINTS = tuple(f"{BODY}.{point}" for point in UNI_SIGN_BODY)
BOX_CONFIDENCE = 0.3  # Uni-Sign's threshold


def as_slice(positions: Sequence[int]) -> slice | list[int]:
    """Positions as a slice where they follow each other: cutting is faster than picking."""
    first, count = (positions[0], len(positions)) if positions else (0, 0)
    follows = first >= 0 and list(positions) == list(range(first, first + count))
    return slice(first, first + count) if follows else list(positions)


def _shoulder_frame(pose: PoseSequence) -> tuple[NDArray[np.float32], float]:
    """The mean midpoint (C,) of the shoulders and their mean distance in the picture."""
    index = index_of(pose.keypoints)
    if any(name not in index for name in SHOULDERS):
        raise PoseError(
            "The pose has no shoulder keypoints, which the normalisation needs; set `data.normalize: none`."
        )
    left, right = (index[name] for name in SHOULDERS)
    seen = (pose.confidence[:, left] > 0) & (pose.confidence[:, right] > 0)
    if not seen.any():
        raise PoseError("No frame shows both shoulders, so the pose can't be normalised.")
    # In one order of memory, so that the means are rounded alike wherever the pose comes from.
    left_xyz, right_xyz = (np.ascontiguousarray(pose.data[seen, i]) for i in (left, right))
    width = float(np.linalg.norm((left_xyz - right_xyz)[:, :2], axis=1).mean())
    if width < 1e-6:
        raise PoseError("The shoulders lie on one spot, so the pose can't be normalised.")
    return ((left_xyz + right_xyz) / 2).mean(axis=0), width


def normalize_shoulders(pose: PoseSequence) -> PoseSequence:
    """Move the shoulder midpoint to the origin and scale the shoulder width to 1.

    Both are means over the frames where both shoulders are visible, so neither flickers. Missing
    points stay at 0.

    Args:
        pose: Data of shape (T, K, 2 or 3), in pixels or image fractions.

    Returns:
        The same pose in units of shoulder width.

    Raises:
        PoseError: If no frame shows both shoulders, or they coincide.

    Source: the rule of `Pose.normalize` in pose-format (arXiv:2310.09066).
    """
    middle, width = _shoulder_frame(pose)
    data = (pose.data - middle) / np.float32(width)
    return replace(pose, data=np.where(pose.confidence[..., None] > 0, data, np.float32(0)))


def normalize_parts(pose: PoseSequence) -> PoseSequence:
    """Normalise each body part to its own origin, and all of them by the shoulder width.

    The body is relative to the shoulder midpoint (mean over the clip), each hand to its wrist and
    the face to the nose, frame by frame. Where a part's origin is missing, so is the part.

    Args:
        pose: Data of shape (T, K, 2 or 3), in pixels or image fractions.

    Raises:
        PoseError: If no frame shows both shoulders, or they coincide.

    Source: the normalisation of Uni-Sign (arXiv:2501.15187), with the shoulder width for its body box.
    """
    middle, width = _shoulder_frame(pose)
    origins, body, others = _columns_of_origins(pose.keypoints)
    channels, visible = pose.data.transpose(0, 2, 1), pose.confidence > 0
    data = channels.take(origins, axis=2)
    data[:, :, body] = middle[:, None]
    data[:, :, others] = 0
    np.subtract(channels, data, out=data)
    data /= np.float32(width)
    visible &= visible.take(origins, axis=1)
    np.copyto(data, np.float32(0), where=~visible[:, None])
    return replace(pose, data=data.transpose(0, 2, 1), confidence=pose.confidence * visible)


@lru_cache(maxsize=32)
def _columns_of_origins(
    keypoints: tuple[str, ...],
) -> tuple[NDArray[np.intp], slice | list[int], list[int]]:
    """Which point each point is relative to in `parts` (K,); the body's points, and those of no part."""
    index, parts = index_of(keypoints), find_parts(keypoints)
    origins = np.arange(len(keypoints))
    for positions, origin in (
        (parts.left_hand, WRISTS[0]),
        (parts.right_hand, WRISTS[1]),
        (parts.face, NOSE),
    ):
        if positions:
            origins[list(positions)] = _place_of(origin, index, "parts")
    inside = {*parts.body, *parts.left_hand, *parts.right_hand, *parts.face}
    others = [i for i in range(len(keypoints)) if i not in inside]
    return origins, as_slice(parts.body), others


def normalize_box(pose: PoseSequence) -> PoseSequence:
    """Bring the upper body into a box from -1 to 1, and hands and face relative to wrist and nose.

    The box is the smallest square round nose, ears, shoulders, elbows and wrists over the whole clip.
    Hands and face are divided by its side, and cut at -1 and 1, where only a wrong point comes. Points
    with a confidence of at most 0.3 count as missing; where a part's origin is missing, so is the part.

    Args:
        pose: Data of shape (T, K, 2 or 3), in pixels or image fractions.

    Raises:
        PoseError: If fewer than four points of the upper body are sure, or they lie on one spot.

    Source: `load_part_kp` and `crop_scale` of Uni-Sign (arXiv:2501.15187, datasets.py).
    """
    index, parts = index_of(pose.keypoints), find_parts(pose.keypoints)
    box = [index[name] for name in BOX_POINTS if name in index]
    confidence = np.where(pose.confidence > BOX_CONFIDENCE, pose.confidence, np.float32(0))
    inside = pose.data[:, box][confidence[:, box] > 0]
    if len(inside) < 4:
        raise PoseError(
            f"Fewer than four points of the upper body have a confidence over {BOX_CONFIDENCE}, so the pose can't "
            "be normalised by their box; set `data.normalize: none`."
        )
    low, high = inside.min(axis=0), inside.max(axis=0)
    side = (high - low)[:2].max()
    if side < 1e-6:
        raise PoseError("The upper body lies on one spot, so the pose can't be normalised.")
    data = (pose.data - (low + high) / 2) * (2 / side)
    for positions, origin in (
        (parts.left_hand, WRISTS[0]),
        (parts.right_hand, WRISTS[1]),
        (parts.face, NOSE_TIP if NOSE_TIP in index else NOSE),
    ):
        if positions:
            columns, place = as_slice(positions), _place_of(origin, index, "box")
            own = pose.data[:, columns] - pose.data[:, place, None]
            data[:, columns] = np.clip(own / side, -1, 1)
            confidence[:, columns] *= pose.confidence[:, place, None] > 0
    data = np.where(confidence[..., None] > 0, data, np.float32(0))
    return replace(pose, data=data, confidence=confidence)


def _place_of(origin: str, index: dict[str, int], normalization: str) -> int:
    if origin not in index:
        raise PoseError(
            f"The pose has no keypoint {origin}, which `normalize: {normalization}` needs; use `shoulders`."
        )
    return index[origin]


NORMALIZERS: dict[str, Callable[[PoseSequence], PoseSequence]] = {
    "none": lambda pose: pose,
    "shoulders": normalize_shoulders,
    "parts": normalize_parts,
    "box": normalize_box,
}


def points_needed(normalization: Normalization) -> tuple[str, ...]:
    """The keypoints that a normalisation looks at, besides those that are asked for."""
    return (*SHOULDERS, NOSE) + ((*BOX_POINTS, NOSE_TIP) if normalization == "box" else ())

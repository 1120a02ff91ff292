"""Deterministic transforms: from a pose as the estimator gave it to what a model reads.

`PoseRecipe` strings them together. It runs in `signseq prepare` and again, the same code, in
`Translator`, so that training and use can't drift apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from signseq.errors import PoseError
from signseq.poses.keypoints import NOSE, SHOULDERS, WRISTS, find_parts, get_keypoint_set
from signseq.poses.sequence import PoseFile, PoseSequence, index_of

__all__ = [
    "Normalization",
    "PoseRecipe",
    "mask_unusable",
    "normalize_parts",
    "normalize_shoulders",
    "resample",
    "select",
]

Normalization = Literal["none", "shoulders", "parts"]
LARGEST = 60_000.0  # float16, in which stores keep coordinates, ends at 65,504
SMALLEST = 2.0**-24  # and rounds smaller confidences to 0


def mask_unusable(pose: PoseSequence) -> PoseSequence:
    """Mark points with NaN, infinite or absurdly large coordinates as missing.

    Missing points get confidence 0 and coordinates 0; other confidences are limited to [0, 1].
    """
    usable = np.isfinite(pose.data).all(axis=2) & (np.abs(pose.data) < LARGEST).all(axis=2)
    usable &= pose.confidence >= SMALLEST  # false for NaN too
    confidence = np.where(usable, np.minimum(pose.confidence, 1), 0).astype(np.float32)
    return replace(
        pose, data=np.where(usable[..., None], pose.data, np.float32(0)), confidence=confidence
    )


def select(pose: PoseSequence, keypoints: Sequence[str]) -> PoseSequence:
    """Take the named keypoints, in this order; those that the estimator doesn't give are missing.

    Raises:
        PoseError: If the pose lacks all points of a component that is asked for.
    """
    index = index_of(pose.keypoints)
    there = {name.split(".")[0] for name in keypoints if name in index}
    absent = [
        part
        for part in dict.fromkeys(name.split(".")[0] for name in keypoints)
        if part not in there
    ]
    if absent:
        raise PoseError(
            f"The pose has none of the points asked for in {', '.join(absent)}; its components are "
            f"{_components(pose.keypoints)}. "
            "Choose another `data.keypoints`, or extract the pose with MediaPipe Holistic."
        )
    columns = np.array([index.get(name, -1) for name in keypoints])
    data, confidence = pose.data[:, columns], pose.confidence[:, columns]
    data[:, columns < 0] = 0
    confidence[:, columns < 0] = 0
    return PoseSequence(data, confidence, pose.fps, tuple(keypoints))


def _components(keypoints: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(name.split(".")[0] for name in keypoints))


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
    left_xyz, right_xyz = pose.data[seen, left], pose.data[seen, right]
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
    index, parts = index_of(pose.keypoints), find_parts(pose.keypoints)
    data, confidence = pose.data.copy(), pose.confidence.copy()
    data[:, list(parts.body)] -= middle
    for positions, origin in (
        (parts.left_hand, WRISTS[0]),
        (parts.right_hand, WRISTS[1]),
        (parts.face, NOSE),
    ):
        if not positions:
            continue
        if origin not in index:
            raise PoseError(
                f"The pose has no keypoint {origin}, which `normalize: parts` needs; use `shoulders`."
            )
        columns = list(positions)
        data[:, columns] -= pose.data[:, index[origin], None]
        confidence[:, columns] *= pose.confidence[:, index[origin], None] > 0
    data = np.where(confidence[..., None] > 0, data / np.float32(width), np.float32(0))
    return replace(pose, data=data, confidence=confidence)


def resample(pose: PoseSequence, fps: float) -> PoseSequence:
    """Change the frame rate by linear interpolation in time; the first frame stays the first.

    A point is missing where it is missing in the nearest original frame, and keeps that frame's
    place where only the farther neighbour misses it.

    Args:
        pose: Data of shape (T, K, C).
        fps: The frame rate wanted, in frames per second.
    """
    if abs(fps - pose.fps) < 1e-6:
        return pose
    times = np.arange(max(1, round(len(pose) * fps / pose.fps)), dtype=np.float64)
    times *= pose.fps / fps
    return replace(pose_at(pose, times), fps=fps)


def pose_at(pose: PoseSequence, times: NDArray[np.float64]) -> PoseSequence:
    """The pose at fractional frame numbers `times` (N,), interpolated as `resample` says."""
    times = np.clip(times, 0, len(pose) - 1)
    before = np.floor(times).astype(np.intp)
    after = np.minimum(before + 1, len(pose) - 1)
    nearest = np.rint(times).astype(np.intp)
    weight = (times - before).astype(np.float32)[:, None]
    both = (pose.confidence[before] > 0) & (pose.confidence[after] > 0)
    blend = np.where(both, weight, (nearest != before)[:, None])[..., None]
    data = pose.data[before] * (1 - blend) + pose.data[after] * blend
    return replace(
        pose, data=data.astype(np.float32, copy=False), confidence=pose.confidence[nearest]
    )


@dataclass(frozen=True)
class PoseRecipe:
    """How poses are made ready for a model: select, normalise, resample.

    Attributes:
        keypoints: Name of a keypoint set.
        normalize: `none`, `shoulders` or `parts`.
        fps: Frame rate to resample to; None keeps each clip's own.
        dimensions: How many coordinates to keep, 2 or 3.
    """

    keypoints: str = "upper_body_hands_face"
    normalize: Normalization = "parts"
    fps: float | None = None
    dimensions: int = 2

    def __post_init__(self) -> None:
        if self.normalize not in get_args(Normalization):
            raise PoseError(
                f"No normalisation {self.normalize!r}; there are: {', '.join(get_args(Normalization))}."
            )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The K names of the keypoints that come out."""
        return get_keypoint_set(self.keypoints).keypoints

    @property
    def channels(self) -> int:
        """Numbers per keypoint in a packed pose: the coordinates and the confidence."""
        return self.dimensions + 1

    def read(self, file: PoseFile, *, start: float = 0.0, end: float | None = None) -> PoseSequence:
        """Read what the recipe needs of a file: raw points of the most visible person.

        Args:
            file: An opened .pose file.
            start: First second.
            end: Last second; None means the end of the file.

        Raises:
            PoseError: If the range is empty.
        """
        wanted = dict.fromkeys((*self.names, *SHOULDERS, NOSE))
        present = index_of(file.keypoints)
        if not any(name in present for name in self.names):
            raise PoseError(
                f"{file.name}: has no keypoint of the set {self.keypoints!r}; its components are "
                f"{_components(file.keypoints)}. Choose another `data.keypoints`."
            )
        # Rounding first: 0.28 s x 25 fps is 7.000000000000001 in floats, and no eighth frame is meant.
        last = None if end is None else int(np.ceil(round(end * file.fps, 6)))
        return file.read(
            start_frame=int(np.floor(round(start * file.fps, 6))),
            end_frame=last,
            keypoints=[name for name in wanted if name in present],
        )

    def apply(self, pose: PoseSequence) -> PoseSequence:
        """Select, normalise and resample a raw pose; returns data of shape (T, K, dimensions).

        Raises:
            PoseError: If the pose lacks what the recipe needs, or shows nothing at all.
        """
        if pose.data.shape[2] < self.dimensions:
            raise PoseError(
                f"The pose has {pose.data.shape[2]} coordinates per point, "
                f"`data.dimensions` asks for {self.dimensions}."
            )
        pose = mask_unusable(replace(pose, data=pose.data[..., : self.dimensions]))
        if not (pose.confidence > 0).any():
            raise PoseError("Every keypoint is missing in every frame (confidence 0).")
        if self.normalize == "shoulders":
            pose = normalize_shoulders(pose)
        elif self.normalize == "parts":
            pose = normalize_parts(pose)
        pose = mask_unusable(select(pose, self.names))
        if not (pose.confidence > 0).any():
            raise PoseError(f"No keypoint of the set {self.keypoints!r} is visible in any frame.")
        return pose if self.fps is None else resample(pose, self.fps)

    def pack(self, pose: PoseSequence) -> NDArray[np.float16]:
        """Apply the recipe and join coordinates and confidence: float16 of shape (T, K, dimensions + 1)."""
        ready = self.apply(pose)
        return np.concatenate([ready.data, ready.confidence[..., None]], axis=2).astype(np.float16)

"""Deterministic transforms: from a pose as the estimator gave it to what a model reads.

`PoseRecipe` strings them together. It runs in `signseq prepare` and again, the same code, in
`Translator`, so that training and use can't drift apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from signseq.errors import PoseError
from signseq.poses.half_precision import round_to_half
from signseq.poses.keypoints import get_keypoint_set, index_of
from signseq.poses.normalization import (
    NORMALIZERS,
    Normalization,
    as_slice,
    normalize_box,
    normalize_parts,
    normalize_shoulders,
    points_needed,
)
from signseq.poses.sequence import PoseFile, PoseSequence, columns_of

__all__ = [
    "Normalization",
    "PoseRecipe",
    "fill_gaps",
    "mask_unusable",
    "normalize_box",
    "normalize_parts",
    "normalize_shoulders",
    "resample",
    "select",
]

LARGEST = 60_000.0  # float16, in which stores keep coordinates, ends at 65,504
SMALLEST = 2.0**-24  # and rounds smaller confidences to 0
FILLED = 0.5  # the most confidence of a point that was never seen; see `fill_gaps`


def mask_unusable(pose: PoseSequence) -> PoseSequence:
    """Mark points with NaN, infinite or absurdly large coordinates as missing.

    Missing points get confidence 0 and coordinates 0; other confidences are limited to [0, 1].
    """
    usable = pose.confidence >= SMALLEST  # comparisons are false for NaN, too
    if not _is_usable(pose.data):
        for channel in range(pose.data.shape[2]):  # much faster than `all` along so short an axis
            usable &= np.abs(pose.data[..., channel]) < LARGEST
    confidence = np.minimum(pose.confidence, 1).astype(np.float32, copy=False)
    if usable.all():
        return replace(pose, confidence=confidence)
    missing, data = ~usable, pose.data.copy(order="K")
    np.copyto(data, np.float32(0), where=missing[..., None])
    np.copyto(confidence, np.float32(0), where=missing)
    return replace(pose, data=data, confidence=confidence)


def _is_usable(data: NDArray[np.float32]) -> bool:
    """Whether no coordinate is NaN, infinite or absurdly large."""
    return bool(np.abs(data).max(initial=0) < LARGEST)


def select(pose: PoseSequence, keypoints: Sequence[str]) -> PoseSequence:
    """Take the named keypoints, in this order; those that the estimator doesn't give are missing.

    Raises:
        PoseError: If the pose lacks all points of a component that is asked for.
    """
    columns, lacking = _find_columns(pose.keypoints, tuple(keypoints))
    data, confidence = pose.data[:, columns], pose.confidence[:, columns]
    if lacking:
        data[:, lacking] = 0
        confidence[:, lacking] = 0
    return replace(pose, data=data, confidence=confidence, keypoints=tuple(keypoints))


@lru_cache(maxsize=32)
def _find_columns(
    keypoints: tuple[str, ...], wanted: tuple[str, ...]
) -> tuple[slice | list[int], list[int]]:
    """Where each wanted keypoint stands, and which of them are not there and stand nowhere."""
    index = index_of(keypoints)
    there = {name.split(".")[0] for name in wanted if name in index}
    absent = [
        part for part in dict.fromkeys(name.split(".")[0] for name in wanted) if part not in there
    ]
    if absent:
        raise PoseError(
            f"The pose has none of the points asked for in {', '.join(absent)}; its components are "
            f"{_components(keypoints)}. "
            "Choose another `data.keypoints`, or extract the pose with MediaPipe Holistic."
        )
    columns = columns_of(wanted, keypoints).tolist()
    return as_slice(columns), [i for i, column in enumerate(columns) if column < 0]


def _components(keypoints: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(name.split(".")[0] for name in keypoints))


def fill_gaps(pose: PoseSequence, frames: int) -> PoseSequence:
    """Fill short gaps of single points by linear interpolation between the frames around them.

    What is missing at the start, at the end or for longer stays missing: nothing is extrapolated. A
    filled point is half as sure as a seen one, at most: its confidence is 0.5, or that of its less
    sure neighbour where that is lower. So a model can tell it from a seen one, and it still counts
    where 0.3 is asked for, as `normalize_box` does.

    Args:
        pose: Data of shape (T, K, C); missing points have confidence 0.
        frames: The longest gap to fill.
    """
    if not frames:
        return pose
    seen, steps = pose.confidence > 0, np.arange(len(pose))[:, None]
    before = np.maximum.accumulate(np.where(seen, steps, -1))
    after = np.minimum.accumulate(np.where(seen, steps, len(pose))[::-1])[::-1]
    is_short = (before >= 0) & (after < len(pose)) & (after - before <= frames + 1)
    frame, point = np.nonzero(~seen & is_short)
    first, last = before[frame, point], after[frame, point]
    weight = ((frame - first) / (last - first)).astype(np.float32)[:, None]
    data, confidence = pose.data.copy(order="K"), pose.confidence.copy()
    data[frame, point] = pose.data[first, point] * (1 - weight) + pose.data[last, point] * weight
    sureness = np.minimum(pose.confidence[first, point], pose.confidence[last, point])
    confidence[frame, point] = np.minimum(sureness, FILLED)
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
    farther = (nearest != before).astype(np.float32)[:, None]
    visible = pose.confidence > 0
    blend = np.where(visible[before] & visible[after], weight, farther)[..., None]
    channels = pose.data.transpose(0, 2, 1)
    data, later = (channels.take(i, axis=0).transpose(0, 2, 1) for i in (before, after))
    data *= 1 - blend
    later *= blend
    data += later
    return replace(pose, data=data, confidence=pose.confidence[nearest])


@lru_cache(maxsize=32)
def _present(wanted: tuple[str, ...], keypoints: tuple[str, ...]) -> tuple[str, ...]:
    columns = columns_of(wanted, keypoints)
    return tuple(name for name, column in zip(wanted, columns, strict=True) if column >= 0)


def _by_channel(pose: PoseSequence, dimensions: int) -> PoseSequence:
    """The first coordinates only, in memory one channel of a frame after another; still (T, K, C).

    What follows then runs along many points, not along two or three numbers at a time.
    """
    channels = np.ascontiguousarray(pose.data[..., :dimensions].transpose(0, 2, 1))
    return replace(pose, data=channels.transpose(0, 2, 1))


@dataclass(frozen=True)
class PoseRecipe:
    """How poses are made ready for a model: fill gaps, normalise, select, resample.

    Attributes:
        keypoints: Name of a keypoint set.
        normalize: `none`, `shoulders`, `parts` or `box`.
        fps: Frame rate to resample to; None keeps each clip's own.
        dimensions: How many coordinates to keep, 2 or 3.
        fill_gaps: Points missing for at most so many frames are interpolated; 0 fills none.
    """

    keypoints: str = "upper_body_hands_face"
    normalize: Normalization = "parts"
    fps: float | None = None
    dimensions: int = 2
    fill_gaps: int = 0

    def __post_init__(self) -> None:
        if self.normalize not in get_args(Normalization):
            raise PoseError(
                f"No normalisation {self.normalize!r}; there are: {', '.join(get_args(Normalization))}."
            )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The K names of the keypoints that come out."""
        return get_keypoint_set(self.keypoints).keypoints

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """All keypoints that it looks at: those that come out, and what the normalisation needs besides."""
        return tuple(dict.fromkeys((*self.names, *points_needed(self.normalize))))

    def facts(self) -> dict[str, Any]:
        """The recipe as plain values.

        Settings that came later are left out where they are off, so that the stores and digests of
        earlier versions stay valid.
        """
        return {name: value for name, value in asdict(self).items() if value or name != "fill_gaps"}

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
            keypoints=_present(self.needed, file.keypoints),
        )

    def _take_needed(self, pose: PoseSequence) -> PoseSequence:
        """Without the points that nothing looks at, which may be most of them."""
        names = _present(self.needed, pose.keypoints)
        if len(names) == len(pose.keypoints) or not any(name in names for name in self.names):
            return pose  # the latter is an error that `select` describes by what the pose has
        return select(pose, names)

    def apply(self, pose: PoseSequence) -> PoseSequence:
        """Fill, normalise, select and resample a raw pose; returns data of shape (T, K, dimensions).

        Raises:
            PoseError: If the pose lacks what the recipe needs, or shows nothing at all.
        """
        if pose.data.shape[2] < self.dimensions:
            raise PoseError(
                f"The pose has {pose.data.shape[2]} coordinates per point, "
                f"`data.dimensions` asks for {self.dimensions}."
            )
        pose = mask_unusable(_by_channel(self._take_needed(pose), self.dimensions))
        if not (pose.confidence > 0).any():
            raise PoseError("Every keypoint is missing in every frame (confidence 0).")
        pose = NORMALIZERS[self.normalize](fill_gaps(pose, self.fill_gaps))
        pose = select(pose, self.names)
        if not _is_usable(pose.data):  # a narrow signer makes large numbers
            pose = mask_unusable(pose)
        if not (pose.confidence > 0).any():
            raise PoseError(f"No keypoint of the set {self.keypoints!r} is visible in any frame.")
        return pose if self.fps is None else resample(pose, self.fps)

    def pack(self, pose: PoseSequence) -> NDArray[np.float16]:
        """Apply the recipe and join coordinates and confidence: float16 of shape (T, K, dimensions + 1)."""
        ready = self.apply(pose)
        numbers = np.empty((*ready.confidence.shape, self.channels), np.float32)
        for channel in range(self.dimensions):
            numbers[..., channel] = ready.data[..., channel]
        numbers[..., -1] = ready.confidence
        return round_to_half(numbers)

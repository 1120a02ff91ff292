"""Random changes of where points are, in place, each on planes: x, y, perhaps z, and confidence, (C + 1, N, K).

The N frames are those of all clips of a batch, one clip after another, so that each change is a few calls
for a whole batch. What differs between clips is given for each frame, as (N, 1). In planes, and with
torch's conversions, a rotation takes a fifth of what it takes in float16 packed clips with numpy's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from signseq.errors import PoseError
from signseq.poses.keypoints import find_parts, index_of, mirror_name

__all__ = [
    "Clip",
    "Planes",
    "add_noise",
    "blend",
    "clear_missing",
    "confuse_points",
    "find_body",
    "from_planes",
    "map_linearly",
    "mirror",
    "noise_supply",
    "shift",
    "to_planes",
    "turn",
]

Clip = NDArray[np.floating[Any]]
Planes = NDArray[np.float32]
NOISE_SUPPLY = 2**20  # Gaussian numbers that `add_noise` takes its pieces from, at least


def to_planes(frames: Clip) -> Planes:
    """The planes of packed frames (N, K, C + 1), a copy of them."""
    planes = frames.transpose(2, 0, 1).copy()
    if planes.dtype == np.float16:
        converted: Planes = torch.from_numpy(planes).float().numpy()
        return converted
    return planes.astype(np.float32, copy=False)


def from_planes(planes: Planes, frames: Clip) -> None:
    """Write planes into packed frames (N, K, C + 1), rounded to their type."""
    rounded: Clip = planes
    if frames.dtype == np.float16:
        rounded = torch.from_numpy(planes).half().numpy()
    for channel, plane in enumerate(rounded):
        frames[..., channel] = plane


def blend(
    one: Planes, other: Planes, *, weight: NDArray[np.float32], is_later: NDArray[np.bool_]
) -> None:
    """Move the first towards the second by shares (N, 1) of the way.

    A point that one of the two misses is as in the nearer one: the second where it `is_later`, (N, 1).
    """
    has_both = (one[-1] > 0) & (other[-1] > 0)
    other[:-1] -= one[:-1]
    one[:-1] += other[:-1] * np.where(has_both, weight, is_later)
    one[-1] = np.where(is_later, other[-1], one[-1])


def turn(planes: Planes, sin: NDArray[np.float32], cos: NDArray[np.float32]) -> None:
    """Rotate about the vertical, by sines and cosines (N, 1)."""
    x, _, z, _ = planes
    planes[0], planes[2] = x * cos + z * sin, z * cos - x * sin


def map_linearly(planes: Planes, matrices: NDArray[np.float32]) -> None:
    """Map the picture's plane by matrices (2, 2, N, 1).

    Hands and face with origins of their own are mapped as if the whole picture were: a linear map of
    a difference is the difference of what is mapped.
    """
    (a, b), (c, d) = matrices
    x, y = planes[:2]
    # Not a matrix product: that one rounds as the machine likes, and a seed must give one clip.
    from_y, from_x = y * b, x * c
    x *= a
    x += from_y
    y *= d
    y += from_x


@lru_cache(maxsize=32)
def find_mirror(keypoints: tuple[str, ...]) -> NDArray[np.intp]:
    """The position of each keypoint's mirror image, -1 where it isn't among them, (K,)."""

    def position(name: str) -> int:
        try:
            return index_of(keypoints).get(mirror_name(name), -1)
        except PoseError:
            return -1

    return np.array([position(name) for name in keypoints], np.intp)


def mirror(planes: Planes, is_mirrored: NDArray[np.bool_], *, keypoints: tuple[str, ...]) -> None:
    """Exchange left and right in some frames (N,).

    A point whose mirror image is not among the keypoints becomes missing.
    """
    positions = find_mirror(keypoints)
    mirrored = planes[:, is_mirrored].take(positions, axis=2, mode="clip")
    mirrored[0] *= -1
    mirrored[:, :, positions < 0] = 0
    planes[:, is_mirrored] = mirrored


@lru_cache(maxsize=32)
def find_body(keypoints: tuple[str, ...]) -> NDArray[np.intp]:
    """Positions of the points that don't belong to a hand or the face."""
    parts = find_parts(keypoints)
    own = {*parts.face, *parts.left_hand, *parts.right_hand}
    return np.array([i for i in range(len(keypoints)) if i not in own], np.intp)


def shift(
    planes: Planes, vectors: NDArray[np.float32], *, columns: NDArray[np.intp] | None
) -> None:
    """Move points by vectors (2, N, 1), all or those of some columns."""
    if columns is None:
        planes[:2] += vectors
    else:
        planes[:2, :, columns] += vectors


@lru_cache(maxsize=32)
def _place_in_parts(keypoints: tuple[str, ...]) -> tuple[NDArray[np.intp], ...]:
    """Positions part after part, and of each keypoint's part its first place in them and its size; each (K,)."""
    parts = find_parts(keypoints)
    named = [parts.body, parts.face, parts.left_hand, parts.right_hand]
    others = tuple(set(range(len(keypoints))).difference(*named))
    order = np.concatenate([np.array(part, np.intp) for part in (*named, others)])
    first, size = np.zeros_like(order), np.zeros_like(order)
    place = 0
    for part in (*named, others):
        first[list(part)], size[list(part)] = place, len(part)
        place += len(part)
    return order, first, size


def confuse_points(
    planes: Planes,
    struck: NDArray[np.int64],
    chances: NDArray[np.float64],
    *,
    keypoints: tuple[str, ...],
) -> None:
    """Put points where another point of the same part is in that frame.

    That is how detectors err at large: one finger is taken for another, a wrist for an elbow.

    Args:
        planes: (C + 1, N, K).
        struck: Which points: frame * K + point, (M,).
        chances: Which other point each takes, from 0 to 1, (M,).
        keypoints: K names.
    """
    frame, point = np.divmod(struck, planes.shape[2])
    order, first, size = _place_in_parts(keypoints)
    other = order[first[point] + (chances * size[point]).astype(np.intp)]
    is_seen = (planes[-1, frame, point] > 0) & (planes[-1, frame, other] > 0)
    frame, point, other = frame[is_seen], point[is_seen], other[is_seen]
    planes[:-1, frame, point] = planes[:-1, frame, other]


@lru_cache(maxsize=2)
def _noise_supply(size: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(size, dtype=np.float32)


def noise_supply(count: int) -> NDArray[np.float32]:
    """Gaussian numbers, more than twice as many as are taken in one piece."""
    return _noise_supply(max(NOISE_SUPPLY, 2 ** (2 * count - 1).bit_length()))


def add_noise(planes: Planes, pieces: Sequence[Sequence[NDArray[np.float32]]], size: float) -> None:
    """Let every coordinate tremble with this standard deviation, each point and frame by itself.

    Args:
        planes: (C + 1, N, K).
        pieces: Of each clip, for each coordinate, Gaussian numbers (T, K).
        size: The standard deviation.
    """
    end = 0
    for clip in pieces:
        start, end = end, end + len(clip[0])
        for plane, piece in zip(planes[:-1], clip, strict=True):
            plane[start:end] += piece * np.float32(size)


def clear_missing(planes: Planes) -> None:
    """Bring missing points back to 0."""
    planes[:-1] *= planes[-1] > 0

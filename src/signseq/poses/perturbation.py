"""Random changes of where points are, in place, each on planes: x, y, perhaps z, and confidence, (C + 1, T, K).

In planes, and with torch's conversions, a rotation of 220 frames of 80 points takes a fifth of what it
takes in float16 packed clips with numpy's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from signseq.errors import PoseError
from signseq.poses.keypoints import find_parts, index_of, mirror_name

__all__ = [
    "Clip",
    "Planes",
    "add_noise",
    "clear_missing",
    "confuse_points",
    "draw_rotation",
    "find_body",
    "from_planes",
    "map_linearly",
    "mirror",
    "shift",
    "to_planes",
    "turn",
]

Clip = NDArray[np.floating[Any]]
Planes = NDArray[np.float32]
NOISE_SUPPLY = 2**20  # Gaussian numbers that `add_noise` takes its pieces from, at least


def to_planes(clip: Clip) -> Planes:
    """The planes of a packed clip, a copy of it."""
    planes = clip.transpose(2, 0, 1).copy()
    if planes.dtype == np.float16:
        return cast(Planes, torch.from_numpy(planes).float().numpy())
    return planes.astype(np.float32, copy=False)


def from_planes(planes: Planes, dtype: np.dtype[Any]) -> Clip:
    """The packed clip of planes."""
    if dtype == np.float16:
        planes = torch.from_numpy(planes).half().numpy()
    clip = np.empty((*planes.shape[1:], len(planes)), dtype)
    for channel, plane in enumerate(planes):
        clip[..., channel] = plane
    return clip


def draw_rotation(
    degrees: float, *, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """A rotation in the picture (2, 2), and sine and cosine of one about the vertical."""
    angles = np.radians(rng.uniform(-degrees, degrees, size=2)).astype(np.float32)
    cos, sin = np.cos(angles), np.sin(angles)
    return np.array([[cos[0], -sin[0]], [sin[0], cos[0]]], np.float64), np.array([sin[1], cos[1]])


def turn(planes: Planes, sin: np.float32, cos: np.float32) -> None:
    """Rotate about the vertical."""
    x, _, z, _ = planes
    planes[0], planes[2] = x * cos + z * sin, z * cos - x * sin


def map_linearly(planes: Planes, matrix: NDArray[np.float64]) -> None:
    """Map the picture's plane by a matrix (2, 2).

    Hands and face with origins of their own are mapped as if the whole picture were: a linear map of
    a difference is the difference of what is mapped.
    """
    (a, b), (c, d) = matrix.astype(np.float32)
    x, y = planes[:2]
    # Not a matrix product: that one rounds as the machine likes, and a seed must give one clip.
    planes[0], planes[1] = x * a + y * b, x * c + y * d


@lru_cache(maxsize=32)
def find_mirror(keypoints: tuple[str, ...]) -> NDArray[np.intp]:
    """The position of each keypoint's mirror image, -1 where it isn't among them, (K,)."""

    def position(name: str) -> int:
        try:
            return index_of(keypoints).get(mirror_name(name), -1)
        except PoseError:
            return -1

    return np.array([position(name) for name in keypoints], np.intp)


def mirror(planes: Planes, *, keypoints: tuple[str, ...]) -> None:
    """Exchange left and right; a point whose mirror image is not among the keypoints becomes missing."""
    positions = find_mirror(keypoints)
    planes[:] = planes.take(positions, axis=2, mode="clip")
    planes[0] *= -1
    planes[:, :, positions < 0] = 0


@lru_cache(maxsize=32)
def find_body(keypoints: tuple[str, ...]) -> NDArray[np.intp]:
    """Positions of the points that don't belong to a hand or the face."""
    parts = find_parts(keypoints)
    own = {*parts.face, *parts.left_hand, *parts.right_hand}
    return np.array([i for i in range(len(keypoints)) if i not in own], np.intp)


def shift(
    planes: Planes, distance: float, *, columns: NDArray[np.intp] | None, rng: np.random.Generator
) -> None:
    """Move points by up to `distance` along each axis of the picture, all or those of some columns."""
    vector = rng.uniform(-distance, distance, size=2).astype(np.float32)[:, None, None]
    if columns is None:
        planes[:2] += vector
    else:
        planes[:2, :, columns] += vector


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
    planes: Planes, share: float, *, keypoints: tuple[str, ...], rng: np.random.Generator
) -> None:
    """Put this share of points where another point of the same part is, for one frame.

    That is how detectors err at large: one finger is taken for another, a wrist for an elbow.
    """
    frames, points = planes.shape[1:]
    struck = rng.integers(frames * points, size=rng.binomial(frames * points, share))
    frame, point = np.divmod(struck, points)
    order, first, size = _place_in_parts(keypoints)
    other = order[first[point] + (rng.random(len(struck)) * size[point]).astype(np.intp)]
    is_seen = (planes[-1, frame, point] > 0) & (planes[-1, frame, other] > 0)
    frame, point, other = frame[is_seen], point[is_seen], other[is_seen]
    planes[:-1, frame, point] = planes[:-1, frame, other]


@lru_cache(maxsize=2)
def _noise_supply(size: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(size, dtype=np.float32)


def add_noise(planes: Planes, size: float, *, rng: np.random.Generator) -> None:
    """Let every coordinate tremble with this standard deviation, each point and frame by itself.

    The noise is a piece of one supply, from a place that `rng` draws: drawing the numbers themselves
    takes longer than all other transforms together.
    """
    shape, count = planes.shape[1:], planes[0].size
    supply = _noise_supply(max(NOISE_SUPPLY, 2 ** (2 * count - 1).bit_length()))
    for plane, start in zip(
        planes[:-1], rng.integers(len(supply) - count, size=len(planes) - 1), strict=True
    ):
        plane += supply[start : start + count].reshape(shape) * np.float32(size)


def clear_missing(planes: Planes) -> None:
    """Bring missing points back to 0."""
    planes[:-1] *= planes[-1] > 0

"""Many moving skeletons in few bytes: fewer frames, one byte a coordinate, differences, deflate."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signseq.poses.drawing import ABSENT, SIDE, DrawnPose

__all__ = ["PACKED_ABSENT", "PACKED_SIDE", "PackedPose", "pack_poses"]

PACKED_SIDE = 254  # of the square
PACKED_ABSENT = 255
FASTEST = 15.0  # frames per second that are kept, at most
SLOWER = 1.25  # how much the rate falls at a time until all fit


@dataclass(frozen=True)
class PackedPose:
    """A clip's skeleton, packed.

    Attributes:
        data: Base64 of deflated bytes (T, K, 2), each less the one a frame before, modulo 256.
        frames: T.
        seconds: From the first to the end of the last.
    """

    data: str
    frames: int
    seconds: float


def pack_poses(poses: Sequence[DrawnPose], *, budget: int) -> list[PackedPose]:
    """Pack clips so that they take `budget` characters together, or one frame each.

    Args:
        poses: Clips of the same points.
        budget: Characters of base64.
    """
    rate = FASTEST
    while True:
        packed = [_pack(pose, rate=rate) for pose in poses]
        if sum(len(each.data) for each in packed) <= budget:
            return packed
        if all(each.frames <= 1 for each in packed):
            return packed
        rate /= SLOWER


def _pack(pose: DrawnPose, *, rate: float) -> PackedPose:
    frames = len(pose.points)
    step = max(pose.fps / rate, 1.0)
    kept = np.unique(np.arange(0, frames, step).round().astype(np.int64).clip(max=frames - 1))
    points = pose.points[kept]
    small = (points.astype(np.float32) * (PACKED_SIDE / SIDE)).round().clip(0, PACKED_SIDE)
    coordinates: NDArray[np.uint8] = np.where(points == ABSENT, PACKED_ABSENT, small).astype(
        np.uint8
    )
    changes = coordinates.copy()
    changes[1:] -= coordinates[:-1]
    data = base64.b64encode(zlib.compress(changes.tobytes(), 9)).decode("ascii")
    return PackedPose(data, len(kept), frames / pose.fps)

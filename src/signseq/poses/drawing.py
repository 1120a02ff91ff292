"""Packed poses as pictures: whole numbers in a square, and the lines between them."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signseq.poses.keypoints import NOSE, find_parts, index_of, skeleton_edges

__all__ = ["SIDE", "DrawnPose", "draw_pose"]

SIDE = 1000  # of the square that poses are fitted into
ABSENT = 65535  # of a point that isn't visible
MARGIN = 0.06  # of the square, round the pose
BELOW_THE_HIPS = ("_HIP", "_KNEE", "_ANKLE", "_HEEL", "_FOOT_")
BODY_WRISTS = ("POSE_LANDMARKS.LEFT_WRIST", "POSE_LANDMARKS.RIGHT_WRIST")
ASIDE = 0.7  # from the middle, in the poses' own units, for hands without a body


@dataclass(frozen=True, eq=False)
class DrawnPose:
    """A clip as a picture that moves.

    Attributes:
        points: uint16 of shape (T, K, 2), in a square of `SIDE`; `ABSENT` where not visible.
        edges: Pairs of points that a line connects.
        hands: Points of the hands.
        fps: Frames per second.
    """

    points: NDArray[np.uint16]
    edges: tuple[tuple[int, int], ...]
    hands: tuple[int, ...]
    fps: float

    @property
    def encoded(self) -> str:
        """The points as base64, little-endian."""
        return base64.b64encode(self.points.astype("<u2").tobytes()).decode("ascii")


def draw_pose(
    packed: NDArray[np.float16],
    keypoints: tuple[str, ...],
    *,
    normalize: str,
    fps: float,
    max_frames: int = 150,
    max_points: int = 120,
) -> DrawnPose:
    """Fit a packed pose into a square; parts that were normalised by themselves are put back in place.

    Args:
        packed: (T, K, C + 1), the confidence last.
        keypoints: K names.
        normalize: How they were normalised.
        fps: Frames per second.
        max_frames: Longer clips are shown up to there.
        max_points: Of more, some of the face are left out.
    """
    shown = _thin_out(keypoints, max_points)
    names = tuple(keypoints[i] for i in shown)
    frames = packed[:max_frames, shown].astype(np.float32)
    points, visible = frames[..., :2], frames[..., -1] > 0
    if normalize in ("parts", "box"):
        points, visible = _reassemble(points, visible, names, scale=1 + (normalize == "box"))
    points = np.where(visible[..., None], points, np.nan)
    drawn = np.full(points.shape, ABSENT, np.uint16)
    upper = [i for i, name in enumerate(names) if not any(part in name for part in BELOW_THE_HIPS)]
    seen = points[:, upper][visible[:, upper]]
    if len(seen):
        low, high = np.percentile(seen, (0.5, 99.5), axis=0)
        scale = (1 - 2 * MARGIN) * SIDE / max(float((high - low).max()), 1e-6)
        placed = (points - (low + high) / 2) * scale + SIDE / 2
        inside = visible & (placed >= 0).all(axis=2) & (placed <= SIDE).all(axis=2)
        drawn[inside] = placed[inside].round().astype(np.uint16)
    parts = find_parts(names)
    return DrawnPose(drawn, skeleton_edges(names), parts.left_hand + parts.right_hand, fps)


def _thin_out(keypoints: tuple[str, ...], most: int) -> list[int]:
    """Which points to draw: all but, where they are many, most of the face's."""
    face = find_parts(keypoints).face
    room = max(most - (len(keypoints) - len(face)), 1)
    step = -(-len(face) // room) if len(keypoints) > most else 1
    left_out = set(face) - set(face[::step])
    return [i for i in range(len(keypoints)) if i not in left_out]


def _reassemble(
    points: NDArray[np.float32], visible: NDArray[np.bool_], names: tuple[str, ...], *, scale: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Undo what `parts` and `box` do: hands at their own wrists, the face at the nose.

    Args:
        points: (T, K, 2).
        visible: (T, K).
        names: K.
        scale: 2 for `box`, which goes from -1 to 1 while its parts are divided by its whole side.
    """
    index, parts = index_of(names), find_parts(names)
    points, visible = points.copy(), visible.copy()
    for positions, origin, aside in (
        (parts.left_hand, BODY_WRISTS[0], ASIDE),
        (parts.right_hand, BODY_WRISTS[1], -ASIDE),
        (parts.face, NOSE, 0.0),
    ):
        columns = list(positions)
        points[:, columns] *= scale
        if origin in index:
            points[:, columns] += points[:, [index[origin]]]
            visible[:, columns] &= visible[:, [index[origin]]]
        else:
            points[:, columns] += np.array([aside, 0.0], np.float32)
    return points, visible

"""Where a signer's hands are and how they move, in the signer's own measure; frames come as they are read."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signseq.errors import PoseError
from signseq.poses.keypoints import BODY, HAND_POINTS, LEFT_HAND, RIGHT_HAND, SHOULDERS
from signseq.poses.sequence import PoseSequence, columns_of
from signseq.poses.transforms import mask_unusable

__all__ = ["KEYPOINTS", "HandMotion", "HandMotionMeter"]

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

# Per side: the body's wrist, then the hand, its own wrist first.
_ARMS = tuple(
    (f"{BODY}.{side}_WRIST", *(f"{hand}.{point}" for point in HAND_POINTS))
    for side, hand in (("LEFT", LEFT_HAND), ("RIGHT", RIGHT_HAND))
)
KEYPOINTS = (*SHOULDERS, *_ARMS[0], *_ARMS[1])  # all that is looked at
POINTS = len(_ARMS[0])
SHOULDER_SECONDS = 1.0  # over which the shoulders' place and distance are averaged
NARROWEST = 1e-3  # what shoulders must be apart, in the pose's units, to be a measure
UNSURE = 1e-6  # what isn't surer is missing


@dataclass(frozen=True, eq=False)
class HandMotion:
    """Both hands in some frames, the left one first; NaN where a hand isn't seen.

    Attributes:
        depth: How far the wrist is below the shoulders' middle, in shoulder widths, (T, 2).
        speed: How fast the hand's points move, on average, in widths a second, (T, 2).
        fall: How fast the wrist goes down, in widths a second, (T, 2).
    """

    depth: Floats
    speed: Floats
    fall: Floats


class HandMotionMeter:
    """Measures the hands of one recording, of frames that come piece by piece.

    However the frames are divided, the numbers are the same; those of a frame come when the window
    after it has been read.

    Args:
        fps: Frames per second.
        keypoints: Names of the points of each frame.
        window_seconds: Speeds are those between the means of two such windows.
        min_confidence: Points less sure than this count as not seen.

    Raises:
        PoseError: If the points lack a shoulder, or both wrists and hands.
    """

    def __init__(
        self,
        *,
        fps: float,
        keypoints: tuple[str, ...],
        window_seconds: float,
        min_confidence: float,
    ) -> None:
        self._columns = columns_of(KEYPOINTS, keypoints)
        if (self._columns[:2] < 0).any() or (self._columns[2:] < 0).all():
            raise PoseError(
                "To find where signing is, a recording needs both shoulders and a wrist or a hand, "
                "as MediaPipe Holistic, OpenPose and COCO-WholeBody find them."
            )
        self._fps, self._min_confidence = fps, max(min_confidence, UNSURE)
        self._window = max(1, round(window_seconds * fps))
        self._shoulders: tuple[float, float, float] | None = None  # x, y and distance
        # The frames whose numbers aren't known yet, and a window before them.
        self._places = np.zeros((self._window, 2, POINTS, 2), np.float32)
        self._seen = np.zeros((self._window, 2, POINTS), np.bool_)

    def feed(self, pose: PoseSequence) -> HandMotion:
        """Take the frames that follow, data (T, K, C) in any unit with y growing downwards.

        Returns:
            The numbers of the frames that can be measured now.
        """
        taken = mask_unusable(
            PoseSequence(
                pose.data[:, self._columns, :2],
                np.where(self._columns >= 0, pose.confidence[:, self._columns], np.float32(0)),
                pose.fps,
                KEYPOINTS,
            )
        )
        seen: Flags = np.greater_equal(taken.confidence, self._min_confidence, dtype=np.bool_)
        middles, widths = self._follow_shoulders(taken.data[:, :2], seen[:, 0] & seen[:, 1])
        places = (taken.data[:, 2:] - middles[:, None]) / widths[:, None, None]
        hands = seen[:, 2:] & np.isfinite(widths)[:, None]
        self._extend(places.reshape(-1, 2, POINTS, 2), hands.reshape(-1, 2, POINTS))
        return self._measure()

    def finish(self) -> HandMotion:
        """The numbers of the frames that no window follows."""
        nothing = np.zeros((self._window, 2, POINTS, 2), np.float32)
        self._extend(nothing, np.zeros(nothing.shape[:3], np.bool_))
        return self._measure()

    def _extend(self, places: Floats, seen: Flags) -> None:
        self._places = np.concatenate([self._places, places])
        self._seen = np.concatenate([self._seen, seen])

    def _follow_shoulders(self, places: Floats, seen: Flags) -> tuple[Floats, Floats]:
        """Middle (T, 2) and distance (T,) of the shoulders; while unseen, as they were; infinite before."""
        middles = np.zeros((len(places), 2), np.float32)
        widths = np.full(len(places), np.inf, np.float32)
        share = 1 - math.exp(-1 / (SHOULDER_SECONDS * self._fps))
        between = np.linalg.norm(places[:, 0] - places[:, 1], axis=1).tolist()
        x, y = places.mean(axis=1).T.tolist()
        for number, is_seen in enumerate(seen.tolist()):
            if is_seen and between[number] > NARROWEST:
                now = (x[number], y[number], between[number])
                held = self._shoulders or now
                self._shoulders = (
                    held[0] + share * (now[0] - held[0]),
                    held[1] + share * (now[1] - held[1]),
                    held[2] + share * (now[2] - held[2]),
                )
            if self._shoulders is not None:
                middles[number], widths[number] = self._shoulders[:2], self._shoulders[2]
        return middles, widths

    def _measure(self) -> HandMotion:
        """Measure the frames that a window follows."""
        window = self._window
        count = max(0, len(self._places) - 2 * window)
        sums = np.zeros((2, count, 2, POINTS, 2), np.float32)
        counts = np.zeros((2, count, 2, POINTS), np.float32)
        for step in range(
            window
        ):  # in one order for each frame, or rounding would depend on the pieces
            for half, first in ((0, window - 1 - step), (1, window + step)):
                seen = self._seen[first : first + count]
                sums[half] += self._places[first : first + count] * seen[..., None]
                counts[half] += seen
        means = sums / np.maximum(counts, 1)[..., None]
        steps = (means[1] - means[0]) * np.float32(self._fps / window)
        known: Flags = np.all(counts > 0, axis=0)
        speeds = np.where(known, np.linalg.norm(steps, axis=-1), 0)
        fingers = known[..., 1:].sum(axis=-1)
        by_hand = speeds[..., 1:].sum(axis=-1) / np.maximum(fingers, 1)
        by_body = np.where(known[..., 0], speeds[..., 0], np.nan)
        now = slice(window, window + count)
        motion = HandMotion(
            depth=_of_wrist(self._places[now][..., 1], self._seen[now]),
            speed=np.where(fingers > 0, by_hand, by_body),
            fall=_of_wrist(steps[..., 1], known),
        )
        self._places, self._seen = self._places[count:], self._seen[count:]
        return motion


def _of_wrist(values: Floats, known: Flags) -> Floats:
    """The value at the hand's wrist, else at the body's, else NaN: of (T, 2, points), (T, 2)."""
    body = np.where(known[..., 0], values[..., 0], np.float32(np.nan))
    return np.where(known[..., 1], values[..., 1], body)

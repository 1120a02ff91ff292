"""Joining clips of poses: cut to what is signed, laid in a row, and mixed where one becomes the next.

What the embedded corpora and `signseq stitch` share. Coordinates are in shoulder widths around the
shoulders' midpoint, x to the picture's right and y down, until `place_in_picture`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from signseq.poses.keypoints import BODY, LEFT_HAND, RIGHT_HAND
from signseq.poses.sequence import PoseSequence

__all__ = [
    "PICTURE",
    "Timeline",
    "find_arm",
    "find_held_part",
    "find_shown_part",
    "lay_in_row",
    "mix_rows",
    "place_in_picture",
    "plan_slides",
    "smooth",
]

Floats = NDArray[np.float32]

PICTURE = (500, 500)
SHOULDER_PIXELS = 120.0
SHOULDER_MIDDLE = (250.0, 200.0)

RAISED_SPEED = 1.0  # shoulder widths/s: a hand slower than this has arrived where it signs
MAX_TRIM = 0.35  # of a clip, from either end; a letter that never stops is not trimmed away
MIN_ROWS = 3

REPEAT_SECONDS = 0.20  # between equal letters: time for the hand to loosen and slide aside
REPEAT_SLIDE = 0.12  # shoulder widths aside, as the second of two equal letters is signed

_MIDDLE = np.array(SHOULDER_MIDDLE, np.float32)


@dataclass(frozen=True, eq=False)
class Timeline:
    """For each of T frames: the rows to mix, how much of the second, and where it is among the clips.

    Attributes:
        first, second: Rows of the clips, shape (T,).
        weight: Of the second row, shape (T,).
        clip, following: The number of the clip that is shown or was shown last, and of the next, shape (T,).
        is_moving: Whether the frame lies between two clips, shape (T,).
        way: How much of the time between the clips has passed, 0 within a clip, shape (T,).
        eased: How much of the way, shape (T,).
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    weight: Floats
    clip: NDArray[np.int64]
    following: NDArray[np.int64]
    is_moving: NDArray[np.bool_]
    way: NDArray[np.float64]
    eased: NDArray[np.float64]


def lay_in_row(
    spans: NDArray[np.int64],
    holds: NDArray[np.float64],
    *,
    moves: NDArray[np.float64],
    fps: float,
) -> Timeline:
    """Plan clips one after the other, with a movement from each to the next.

    Args:
        spans: First row and row after the last one of each of N clips, shape (N, 2).
        holds: How long each clip is shown, in seconds, shape (N,); it is played faster or slower to fit.
        moves: How long the hands are on their way to the next clip, in seconds, shape (N - 1,).
        fps: Frames per second of the plan.
    """
    begins = np.concatenate([[0], np.cumsum(holds[:-1] + moves)])
    ends = begins + holds
    times = np.arange(max(int(np.ceil(ends[-1] * fps)), 2)) / fps
    now = np.searchsorted(begins, times, side="right") - 1
    following = np.minimum(now + 1, len(spans) - 1)
    moving = (times > ends[now]) & (following > now)
    phase = np.clip((times - begins[now]) / holds[now], 0, 1)
    rows = spans[now, 0] + phase * (spans[now, 1] - spans[now, 0] - 1)
    held = np.floor(rows).astype(np.int64)
    gap = np.where(moving, begins[following] - ends[now], 1)
    way = np.where(moving, (times - ends[now]) / gap, 0)
    eased = way**3 * (10 - 15 * way + 6 * way**2)  # minimum jerk: Flash and Hogan 1985
    return Timeline(
        first=np.where(moving, spans[now, 1] - 1, held),
        second=np.where(moving, spans[following, 0], np.minimum(held + 1, spans[now, 1] - 1)),
        weight=np.where(moving, eased, rows - held).astype(np.float32),
        clip=now,
        following=following,
        is_moving=moving,
        way=way,
        eased=eased,
    )


def mix_rows(data: Floats, confidence: Floats, timeline: Timeline) -> tuple[Floats, Floats]:
    """Mix two rows a frame; a point that only one of them shows stays where that one has it.

    Args:
        data: All rows of the clips, shape (N, K, C).
        confidence: Theirs, shape (N, K).
        timeline: Which rows to mix.

    Returns:
        Data of shape (T, K, C) and confidence of shape (T, K).
    """
    first, second = confidence[timeline.first], confidence[timeline.second]
    weight = timeline.weight[:, None]
    both = (first > 0) & (second > 0)
    nearer = weight >= 0.5
    mixed = np.where(both, first + weight * (second - first), np.where(nearer, second, first))
    share = np.where(both, weight, (second > 0).astype(np.float32))[..., None]
    start, stop = data[timeline.first], data[timeline.second]
    return start + share * (stop - start), mixed


def plan_slides(repeats: NDArray[np.bool_], timeline: Timeline) -> Floats:
    """How far aside the hand is at each frame, as it is where a letter is spelled twice.

    Args:
        repeats: Whether a clip repeats the one before it, shape (N,).
        timeline: T frames of these clips.

    Returns:
        Shoulder widths, shape (T,).
    """
    lengths = [0]
    for is_repeat in repeats[1:]:
        lengths.append(lengths[-1] + 1 if is_repeat else 0)
    slides = REPEAT_SLIDE * np.array(lengths)
    before, after = slides[timeline.clip], slides[timeline.following]
    slide: Floats = (before + timeline.eased * (after - before)).astype(np.float32)
    return slide


def find_arm(keypoints: Sequence[str], side: Literal["LEFT", "RIGHT"]) -> list[int]:
    """Positions of the points from the elbow on, the hand's included."""
    body = {f"{BODY}.{side}_{joint}" for joint in ("ELBOW", "WRIST", "PINKY", "INDEX", "THUMB")}
    hand = f"{LEFT_HAND if side == 'LEFT' else RIGHT_HAND}."
    return [k for k, name in enumerate(keypoints) if name in body or name.startswith(hand)]


def smooth(data: Floats, confidence: Floats) -> Floats:
    """Three taps over time, of the frames that show the point."""
    seen = (confidence > 0).astype(np.float32)[..., None]
    weighted, total = 2 * seen * data, 2 * seen
    for target, source in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
        weighted[target] += (seen * data)[source]
        total[target] += seen[source]
    return np.where(seen > 0, weighted / np.maximum(total, 1), data)


def place_in_picture(data: Floats, confidence: Floats) -> Floats:
    """From shoulder widths to pixels of a picture of 500 x 500, in place; missing points become 0."""
    data *= np.float32(SHOULDER_PIXELS)
    data[..., :2] += _MIDDLE
    data[confidence == 0] = 0
    return data


def find_held_part(pose: PoseSequence, wrists: Sequence[int]) -> slice:
    """Where a letter is held: without the hands' way up and down, which carries no letter.

    Args:
        pose: In shoulder widths.
        wrists: Positions of the hands' wrists among its keypoints; at least one.
    """
    speeds = [_wrist_speed(pose, wrist) for wrist in wrists]
    arrived = np.flatnonzero(np.max(speeds, axis=0) < RAISED_SPEED)
    most = int(len(pose) * MAX_TRIM)
    start = min(int(arrived[0]), most) if len(arrived) else most
    end = max(int(arrived[-1]) + 2, len(pose) - most) if len(arrived) else len(pose) - most
    seen = find_shown_part(pose, wrists)
    start, end = max(start, seen.start), min(end, seen.stop)
    return slice(start, end) if end - start >= MIN_ROWS else seen


def _wrist_speed(pose: PoseSequence, wrist: int) -> Floats:
    steps = np.linalg.norm(np.diff(pose.data[:, wrist, :2], axis=0), axis=-1) * pose.fps
    seen = pose.confidence[:, wrist] > 0
    speed: Floats = np.where(seen[1:] & seen[:-1], steps, 0)
    return speed


def find_shown_part(pose: PoseSequence, wrists: Sequence[int]) -> slice:
    """From the first to the last frame that shows every hand that this clip uses."""
    used: Sequence[int] = [
        wrist for wrist in wrists if (pose.confidence[:, wrist] > 0).mean() >= 0.5
    ]
    frames = np.flatnonzero((pose.confidence[:, list(used)] > 0).all(axis=1))
    return slice(int(frames[0]), int(frames[-1]) + 1) if len(frames) else slice(0, len(pose))

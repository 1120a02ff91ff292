"""Composing one pose sequence of recordings: units in a row, and how this person signs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from signseq.data.joining import (
    REPEAT_SECONDS,
    Timeline,
    find_arm,
    lay_in_row,
    mix_rows,
    place_in_picture,
    plan_slides,
    smooth,
)
from signseq.data.recordings import HANDS, KEYPOINTS, PARTS, Recordings, Unit
from signseq.poses.keypoints import mirror_name
from signseq.poses.sequence import PoseSequence

__all__ = ["FPS", "Piece", "Style", "compose", "draw_style"]

Floats = NDArray[np.float32]

FPS = 25.0

# How people differ; the values with which the first prototype of this corpus was learnable.
ROTATION = (0.10, 0.15, 0.08)  # radians (standard deviation): pitch, yaw, roll
SCALE, HAND_SIZE, JOINT_SIZE = 0.10, 0.07, 0.06
SHIFT = 0.10  # shoulder widths
SPEED = 0.25
DETECTOR_NOISE = 0.006  # shoulder widths
MIRRORED_SHARE = 0.2
LOST_SHARE, LOST_FRAMES = 0.25, 4  # of the sequences lose a hand, for up to so many frames

SIGN_SECONDS, LETTER_SECONDS = (0.30, 0.50), (0.20, 0.40)
TRANSITION_SECONDS = (0.06, 0.14)
REPEAT_LOOSEN = 0.5  # of the way to a hand that spells nothing
BODY_SLOWNESS = 0.6  # the body's own recording is played this much slower, forth and back

_FLIP = np.array([-1, 1, 1], np.float32)
_INDEX = {name: k for k, name in enumerate(KEYPOINTS)}
_MIRROR = np.array([_INDEX[mirror_name(name)] for name in KEYPOINTS])
_RIGHT_ARM = find_arm(KEYPOINTS, "RIGHT")
_TRUNK = np.setdiff1d([*PARTS.body, *PARTS.face], [*find_arm(KEYPOINTS, "LEFT"), *_RIGHT_ARM])
_PARENTS = [0, *(0 if k % 4 == 1 else k - 1 for k in range(1, 21))]  # of a hand's 21 points


@dataclass(frozen=True)
class Piece:
    """One recording in a sequence.

    Attributes:
        unit: The recording.
        is_letter: Whether it spells; letters are shorter than signs.
    """

    unit: Unit
    is_letter: bool


@dataclass(frozen=True, eq=False)
class Style:
    """How one person signs one sequence, and how the detector saw it.

    Attributes:
        rotation: Of the body before the camera, shape (3, 3).
        scale: Of the whole person.
        bones: Length factors of a hand's 21 bones, each named by the point at its end.
        shift: Of the person in the picture, shoulder widths, shape (2,).
        speed: 1.2 is a fifth faster.
        is_mirrored: Whether the person signs with the other hand.
    """

    rotation: Floats
    scale: float
    bones: Floats
    shift: Floats
    speed: float
    is_mirrored: bool


@dataclass(frozen=True, eq=False)
class _Repetition:
    """What repetition adds to each frame.

    Attributes:
        loosen: How loose the hand is between equal letters, shape (T,).
        slide: How far the hand has slid aside, shoulder widths, shape (T,).
    """

    loosen: Floats
    slide: Floats


def draw_style(rng: np.random.Generator) -> Style:
    """Draw how somebody signs."""
    angles = np.clip(rng.standard_normal(3), -2.5, 2.5) * ROTATION
    hand_size = 1 + HAND_SIZE * np.clip(rng.standard_normal(), -2, 2)
    joints = 1 + JOINT_SIZE * np.clip(rng.standard_normal(21), -2, 2)
    return Style(
        rotation=_rotation(angles),
        scale=float(1 + SCALE * np.clip(rng.standard_normal(), -2, 2)),
        bones=(hand_size * joints).astype(np.float32),
        shift=(SHIFT * np.clip(rng.standard_normal(2), -2, 2)).astype(np.float32),
        speed=float(np.exp(rng.uniform(-SPEED, SPEED))),
        is_mirrored=bool(rng.random() < MIRRORED_SHARE),
    )


def compose(
    pieces: Sequence[Piece],
    recordings: Recordings,
    *,
    body: Unit,
    neutral: Floats,
    style: Style,
    rng: np.random.Generator,
) -> PoseSequence:
    """Sign the pieces one after the other.

    Hands and arms come from each piece's recording, head, shoulders and hips from one person's.

    Args:
        pieces: What to sign; at least one.
        recordings: Where the pieces' units and the body's are.
        body: Whose body to show, and in which recording.
        neutral: A hand that spells nothing, shape (21, 3), relative to its wrist.
        style: How it is signed.
        rng: Draws durations, noise and lost hands.

    Returns:
        Pixels in a picture of 500 x 500, depth in the same unit, at 25 frames per second.
    """
    timeline, repetition = _plan(pieces, recordings, speed=style.speed, rng=rng)
    data, confidence = mix_rows(recordings.data, recordings.confidence, timeline)
    data = _repeat(data, repetition, neutral)
    rows = _sway(recordings.spans[body], len(data), rng=rng)
    data[:, _TRUNK] = recordings.data[np.ix_(rows, _TRUNK)]
    confidence[:, _TRUNK] = recordings.confidence[np.ix_(rows, _TRUNK)]
    data = smooth(data, confidence)
    for hand in HANDS:
        data[:, hand] = _resize_hand(data[:, hand], style.bones)
    data = data @ style.rotation.T
    if style.is_mirrored:
        data, confidence = data[:, _MIRROR] * _FLIP, confidence[:, _MIRROR]
    data += DETECTOR_NOISE * rng.standard_normal(data.shape, dtype=np.float32)
    confidence = _lose_hands(confidence, rng)
    data *= np.float32(style.scale)
    data[..., :2] += style.shift
    return PoseSequence(place_in_picture(data, confidence), confidence, FPS, KEYPOINTS)


def _plan(
    pieces: Sequence[Piece], recordings: Recordings, *, speed: float, rng: np.random.Generator
) -> tuple[Timeline, _Repetition]:
    spans = np.array([recordings.spans[piece.unit][:2] for piece in pieces])
    ranges = np.array([LETTER_SECONDS if p.is_letter else SIGN_SECONDS for p in pieces])
    holds = rng.uniform(ranges[:, 0], ranges[:, 1]) / speed
    moves = rng.uniform(*TRANSITION_SECONDS, size=len(pieces) - 1)
    units = [piece.unit for piece in pieces]
    repeats = np.array([False, *(a == b for a, b in pairwise(units))])
    moves = np.where(repeats[1:], REPEAT_SECONDS, moves) / speed
    row = lay_in_row(spans, holds, moves=moves, fps=FPS)
    loosen = np.sin(np.pi * row.way) * (row.is_moving & repeats[row.following])
    return row, _Repetition(loosen.astype(np.float32), plan_slides(repeats, row))


def _repeat(data: Floats, repetition: _Repetition, neutral: Floats) -> Floats:
    """Between equal letters, loosen the hand and slide it aside; there it spells the second."""
    if not repetition.slide.any():
        return data
    hand = list(HANDS[1])
    wrist = data[:, hand[:1]]
    looseness = (REPEAT_LOOSEN * repetition.loosen)[:, None, None]
    data[:, hand] += looseness * (wrist + neutral - data[:, hand])
    data[:, _RIGHT_ARM, 0] -= repetition.slide[:, None]  # the signer's right is the picture's left
    return data


def _sway(
    span: tuple[int, int, float], frames: int, *, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Rows of a recording played slowly forth and back, so that the body breathes and never jumps."""
    start, stop, fps = span
    length = stop - start
    forth_and_back = np.concatenate([np.arange(length), np.arange(length - 2, 0, -1)])
    steps = rng.uniform(0, length) + np.arange(frames) * BODY_SLOWNESS * fps / FPS
    rows: NDArray[np.int64] = start + forth_and_back[steps.astype(np.int64) % len(forth_and_back)]
    return rows


def _resize_hand(hand: Floats, bones: Floats) -> Floats:
    resized = hand.copy()
    for point, parent in enumerate(_PARENTS[1:], start=1):
        bone = bones[point] * (hand[:, point] - hand[:, parent])
        resized[:, point] = resized[:, parent] + bone
    return resized


def _lose_hands(confidence: Floats, rng: np.random.Generator) -> Floats:
    if rng.random() >= LOST_SHARE:
        return confidence
    confidence = confidence.copy()
    hand = HANDS[int(confidence[:, HANDS[1][0]].sum() >= confidence[:, HANDS[0][0]].sum())]
    start = int(rng.integers(len(confidence)))
    confidence[start : start + int(rng.integers(1, LOST_FRAMES + 1)), hand] = 0
    return confidence


def _rotation(angles: NDArray[np.float64]) -> Floats:
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    pitch = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    roll = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    rotation: Floats = (roll @ yaw @ pitch).astype(np.float32)
    return rotation

"""Random transforms of packed clips, for training only; each takes the `rng` that it draws from.

A packed clip is (T, K, C + 1): coordinates relative to an origin in the body, then confidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signseq.poses.keypoints import find_parts

__all__ = ["Augmentation"]

Clip = NDArray[np.floating[Any]]


def rotate(clip: Clip, degrees: float, *, rng: np.random.Generator) -> Clip:
    """Rotate in the picture by up to `degrees` either way; with 3 coordinates also about the vertical."""
    angle = np.radians(rng.uniform(-degrees, degrees, size=2)).astype(np.float32)
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = clip[..., 0].astype(np.float32), clip[..., 1].astype(np.float32)
    if clip.shape[2] == 4:
        z = clip[..., 2].astype(np.float32)
        x, z = x * cos[1] + z * sin[1], z * cos[1] - x * sin[1]
        clip[..., 2] = z
    clip[..., 0], clip[..., 1] = x * cos[0] - y * sin[0], x * sin[0] + y * cos[0]
    return clip


def change_speed(clip: Clip, share: float, *, rng: np.random.Generator) -> Clip:
    """Play up to `share` faster or slower, by taking the nearest frames."""
    frames = max(1, round(len(clip) / rng.uniform(1 - share, 1 + share)))
    places = np.rint(np.arange(frames) * ((len(clip) - 1) / max(frames - 1, 1)))
    played: Clip = clip[places.astype(np.intp)]
    return played


def drop_frames(clip: Clip, share: float, *, rng: np.random.Generator) -> Clip:
    """Leave each frame out with probability `share`; at least one stays."""
    kept = rng.random(len(clip)) >= share
    kept[rng.integers(len(clip))] = True
    return clip[kept]


def drop_hand(
    clip: Clip, probability: float, *, keypoints: tuple[str, ...], rng: np.random.Generator
) -> Clip:
    """With this probability lose one hand for up to half of the clip, as detectors do."""
    chance, side, length, place = rng.random(4)
    parts = find_parts(keypoints)
    hand = list(parts.left_hand if side < 0.5 else parts.right_hand)
    if chance < probability and hand:
        lost = max(1, int(length * len(clip) / 2))
        start = int(place * (len(clip) - lost + 1))
        clip[start : start + lost, hand] = 0
    return clip


@dataclass(frozen=True)
class Augmentation:
    """Which random transforms to apply, and how strongly; 0 turns one off.

    Attributes:
        rotate_degrees: Largest rotation, in degrees.
        speed: Largest change of speed, as a share.
        drop_frames: Probability that a frame is left out.
        drop_hand: Probability that a hand is lost for a while.
    """

    rotate_degrees: float = 0.0
    speed: float = 0.0
    drop_frames: float = 0.0
    drop_hand: float = 0.0

    def __call__(self, clip: Clip, *, keypoints: tuple[str, ...], rng: np.random.Generator) -> Clip:
        """Transform one clip.

        Args:
            clip: float16 or float32 of shape (T, K, C + 1); may be changed in place.
            keypoints: K names.
            rng: Where the randomness comes from.

        Returns:
            The clip, perhaps with another T.
        """
        if self.speed:
            clip = change_speed(clip, self.speed, rng=rng)
        if self.drop_frames:
            clip = drop_frames(clip, self.drop_frames, rng=rng)
        if self.rotate_degrees:
            clip = rotate(clip, self.rotate_degrees, rng=rng)
        if self.drop_hand:
            clip = drop_hand(clip, self.drop_hand, keypoints=keypoints, rng=rng)
        return clip

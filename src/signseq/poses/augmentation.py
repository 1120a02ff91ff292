"""Random transforms of packed clips, for training only; each takes the `rng` that it draws from.

A packed clip is (T, K, C + 1): coordinates relative to an origin in the body, then confidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from signseq.poses.keypoints import find_parts
from signseq.poses.normalization import OWN_ORIGINS, Normalization
from signseq.poses.perturbation import (
    Clip,
    Planes,
    add_noise,
    clear_missing,
    confuse_points,
    draw_rotation,
    find_body,
    from_planes,
    map_linearly,
    mirror,
    shift,
    to_planes,
    turn,
)

__all__ = ["Augmentation", "Resampling"]

Resampling = Literal["nearest", "linear"]


def rotate(clip: Clip, degrees: float, *, rng: np.random.Generator) -> Clip:
    """Rotate in the picture by up to `degrees` either way; with 3 coordinates also about the vertical."""
    return Augmentation(rotate_degrees=degrees).move_points(clip, keypoints=(), rng=rng)


def change_speed(
    clip: Clip, share: float, *, rng: np.random.Generator, resampling: Resampling = "nearest"
) -> Clip:
    """Play up to `share` faster or slower.

    By taking the nearest frames, or by linear interpolation between two; a point that one of the two
    misses stays as in the nearest.
    """
    frames = max(1, round(len(clip) / rng.uniform(1 - share, 1 + share)))
    places = np.arange(frames) * ((len(clip) - 1) / max(frames - 1, 1))
    nearest = np.rint(places).astype(np.intp)
    if resampling == "nearest":
        played: Clip = clip[nearest]
        return played
    before = np.floor(places).astype(np.intp)
    weight, is_later = (places - before).astype(np.float32)[:, None], (nearest != before)[:, None]
    planes = to_planes(clip)
    one = planes.take(before, axis=1)
    other = planes.take(np.minimum(before + 1, len(clip) - 1), axis=1)
    has_both = (one[-1] > 0) & (other[-1] > 0)
    other[:-1] -= one[:-1]
    one[:-1] += other[:-1] * np.where(has_both, weight, is_later)
    one[-1] = np.where(is_later, other[-1], one[-1])
    return from_planes(one, clip.dtype)


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

    Lengths are in the units of the normalised poses: shoulder widths with `shoulders` and `parts`.

    Attributes:
        rotate_degrees: Largest rotation, in degrees.
        shear: Largest shear of one axis by the other.
        scale: Largest change of size, as a share.
        shift: Largest shift along each axis; hands and face with origins of their own stay there.
        mirror: Probability that left and right are exchanged. Handedness can carry meaning.
        joint_noise: Standard deviation of each coordinate's tremor.
        outliers: Probability that a point is taken for another one of its part, for a frame.
        speed: Largest change of speed, as a share.
        speed_resampling: Whether other speeds take the `nearest` frames or interpolate (`linear`).
        drop_frames: Probability that a frame is left out.
        drop_hand: Probability that a hand is lost for a while.
    """

    rotate_degrees: float = 0.0
    shear: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    mirror: float = 0.0
    joint_noise: float = 0.0
    outliers: float = 0.0
    speed: float = 0.0
    speed_resampling: Resampling = "nearest"
    drop_frames: float = 0.0
    drop_hand: float = 0.0

    def __call__(
        self,
        clip: Clip,
        *,
        keypoints: tuple[str, ...],
        rng: np.random.Generator,
        normalize: Normalization = "shoulders",
    ) -> Clip:
        """Transform one clip.

        Args:
            clip: float16 or float32 of shape (T, K, C + 1); may be changed in place.
            keypoints: K names.
            rng: Where the randomness comes from.
            normalize: How the clip was normalised.

        Returns:
            The clip, perhaps with another T.
        """
        if self.speed:
            clip = change_speed(clip, self.speed, rng=rng, resampling=self.speed_resampling)
        if self.drop_frames:
            clip = drop_frames(clip, self.drop_frames, rng=rng)
        clip = self.move_points(clip, keypoints=keypoints, rng=rng, normalize=normalize)
        if self.drop_hand:
            clip = drop_hand(clip, self.drop_hand, keypoints=keypoints, rng=rng)
        return clip

    def move_points(
        self,
        clip: Clip,
        *,
        keypoints: tuple[str, ...],
        rng: np.random.Generator,
        normalize: Normalization = "shoulders",
    ) -> Clip:
        """What changes coordinates alone: mirror, rotation, shear, scale, shift, outliers and noise."""
        is_mirrored = bool(self.mirror) and rng.random() < self.mirror
        is_mapped = bool(self.rotate_degrees or self.shear or self.scale)
        if not (is_mirrored or is_mapped or self.outliers or self.shift or self.joint_noise):
            return clip
        planes = to_planes(clip)
        if is_mirrored:
            mirror(planes, keypoints=keypoints)
        if is_mapped:
            self._map(planes, rng)
        if self.outliers:
            confuse_points(planes, self.outliers, keypoints=keypoints, rng=rng)
        if self.shift:
            columns = find_body(keypoints) if normalize in OWN_ORIGINS else None
            shift(planes, self.shift, columns=columns, rng=rng)
        if self.joint_noise:
            add_noise(planes, self.joint_noise, rng=rng)
        if self.shift or self.joint_noise:
            clear_missing(planes)
        return from_planes(planes, clip.dtype)

    def _map(self, planes: Planes, rng: np.random.Generator) -> None:
        matrix = np.eye(2)
        if self.rotate_degrees:
            matrix, (sin, cos) = draw_rotation(self.rotate_degrees, rng=rng)
            if len(planes) == 4:
                turn(planes, sin, cos)
        if self.shear:
            across, down = rng.uniform(-self.shear, self.shear, size=2)
            matrix = np.array([[1, across], [down, 1]]) @ matrix
        if self.scale:
            factor = rng.uniform(1 - self.scale, 1 + self.scale)
            matrix = factor * matrix
            planes[2:-1] *= np.float32(factor)
        map_linearly(planes, matrix)

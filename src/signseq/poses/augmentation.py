"""Random transforms of packed clips, for training only: drawn clip by clip, applied to a whole batch.

A packed clip is (T, K, C + 1): coordinates relative to an origin in the body, then confidence. What a
clip draws depends on its own `chances`, `rng` and length alone (see `Augmentation._draw` for the order),
so a clip comes out the same whichever batch, worker or process it is in. The `chances` alone decide how
long it will be, so that the lengths of a whole epoch can be told before any clip is read. All that
changes time is one choice of frames, which are copied once, from where the clip is stored into the
batch; all that moves points is a few calls for all frames of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from signseq.poses.keypoints import find_parts
from signseq.poses.normalization import OWN_ORIGINS, Normalization
from signseq.poses.perturbation import (
    Clip,
    Planes,
    add_noise,
    clear_missing,
    confuse_points,
    find_body,
    from_planes,
    map_linearly,
    mirror,
    noise_supply,
    shift,
    to_planes,
    turn,
)
from signseq.poses.playback import CHANCES, Drawn, Timing, by_frame, play

__all__ = ["Augmentation", "Resampling"]

Resampling = Literal["nearest", "linear"]

NONE_STRUCK = np.empty(0, np.int64), np.empty(0)
UNCHANGED = np.eye(2), np.array([0, 1], np.float32), 1.0  # picture, vertical, size


@dataclass(frozen=True)
class Augmentation:
    """Which random transforms to apply, and how strongly; 0 turns one off.

    Lengths are in the units of the normalised poses: shoulder widths with `shoulders` and `parts`.

    Attributes:
        rotate_degrees: Largest rotation in the picture either way; with 3 coordinates also about the vertical.
        shear: Largest shear of one axis by the other.
        scale: Largest change of size, as a share.
        shift: Largest shift along each axis; hands and face with origins of their own stay there.
        mirror: Probability that left and right are exchanged. Handedness can carry meaning.
        joint_noise: Standard deviation of each coordinate's tremor.
        outliers: Probability that a point is taken for another one of its part, for a frame.
        speed: Largest change of speed, as a share.
        speed_resampling: Whether other speeds take the `nearest` frames or interpolate (`linear`).
        drop_frames: Share of the frames that is left out, drawn at random; at least one stays.
        drop_hand: Probability that a hand is lost for up to half of the clip, as detectors do.
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
        """Transform one clip, perhaps to another T: a batch of one.

        Args:
            clip: float16 or float32 of shape (T, K, C + 1); it stays as it is.
            keypoints: K names.
            rng: Where all randomness comes from.
            normalize: How the clip was normalised.
        """
        chances = rng.random((1, CHANCES)) if self.changes_lengths else np.zeros((1, CHANCES))
        return self.apply(
            [clip], chances=chances, rngs=[rng], keypoints=keypoints, normalize=normalize
        )[0]

    @property
    def changes_lengths(self) -> bool:
        """Whether clips come out longer or shorter."""
        return bool(self.speed or self.drop_frames)

    def time(
        self,
        frames: NDArray[np.integer[Any]],
        chances: NDArray[np.float64],
        *,
        step_frames: int = 1,
        max_frames: int | None = None,
    ) -> Timing:
        """How many frames `apply` plays of stored clips of so many `frames`, (N,); see there."""
        return Timing.draw(
            frames,
            chances,
            step_frames=step_frames,
            limit=max_frames,
            speed=self.speed,
            drop_frames=self.drop_frames,
        )

    def apply(
        self,
        clips: Sequence[Clip],
        *,
        chances: NDArray[np.float64],
        rngs: Sequence[np.random.Generator],
        keypoints: tuple[str, ...],
        normalize: Normalization = "shoulders",
        step_frames: int = 1,
        max_frames: int | None = None,
    ) -> list[Clip]:
        """Transform the clips of a batch.

        Args:
            clips: B clips as they are stored, each (F, K, C + 1), all of one type; they stay as they are.
            chances: Numbers from 0 to below 1 that decide how long each clip will be, (B, CHANCES).
            rngs: Of each clip; where all other randomness comes from.
            keypoints: K names.
            normalize: How the clips were normalised.
            step_frames: Of each clip every so-manieth frame is taken, from a random one on.
            max_frames: Longer ones are cut.

        Returns:
            B clips, each (T, K, C + 1), one after another in one array.
        """
        stored = np.array([len(clip) for clip in clips])
        timing = self.time(stored, chances, step_frames=step_frames, max_frames=max_frames)
        drawn = [
            self._draw(timing, place, clip.shape, keypoints=keypoints, rng=rng)
            for place, (clip, rng) in enumerate(zip(clips, rngs, strict=True))
        ]
        ends = np.cumsum([0, *(len(each.places) for each in drawn)]).tolist()
        is_blended = bool(self.speed) and self.speed_resampling == "linear"
        frames = play(clips, drawn, step_frames=step_frames, is_blended=is_blended)
        self._move_points(frames, drawn, keypoints=keypoints, normalize=normalize)
        changed = [frames[start:end] for start, end in pairwise(ends)]
        for clip, each in zip(changed, drawn, strict=True):
            if each.lost_points:
                clip[each.lost_frames, each.lost_points] = 0
        return changed

    # ------------------------------------------------------------------------ what is drawn

    def _draw(
        self,
        timing: Timing,
        place: int,
        shape: tuple[int, ...],
        *,
        keypoints: tuple[str, ...],
        rng: np.random.Generator,
    ) -> Drawn:
        """Draw all that is random about a clip but its length; a transform that is off draws nothing.

        In this order: which frames are dropped, mirror, rotation in the picture and about the vertical,
        shear, scale, outliers, shift, where noise is taken from, lost hand.

        Args:
            timing: Of all clips.
            place: The clip's among them.
            shape: Of the stored clip, (F, K, C + 1).
            keypoints: K names.
            rng: Of the clip.
        """
        _, points, channels = shape
        length, kept = int(timing.kept[place]), int(timing.lengths[place])
        places = timing.places(place, rng)[:kept]
        is_mirrored = bool(self.mirror) and rng.random() < self.mirror
        picture, vertical, size = self._draw_map(rng)
        struck, chances = NONE_STRUCK
        if self.outliers:
            number = rng.binomial(length * points, self.outliers)
            struck = rng.integers(length * points, size=number)
            chances = rng.random(number)
            chances, struck = chances[struck < kept * points], struck[struck < kept * points]
        way = rng.uniform(-self.shift, self.shift, size=2) if self.shift else np.zeros(2)
        noise = []
        if self.joint_noise:
            supply = noise_supply(length * points)
            starts = rng.integers(len(supply) - length * points, size=channels - 1).tolist()
            noise = [supply[i : i + kept * points].reshape(kept, points) for i in starts]
        lost_frames, lost_points = self._draw_loss(length, keypoints, rng)
        return Drawn(
            int(timing.phases[place]),
            int(timing.counts[place]),
            places,
            is_mirrored,
            picture,
            vertical,
            size,
            struck,
            chances,
            way.astype(np.float32),
            noise,
            lost_frames,
            lost_points,
        )

    def _draw_map(
        self, rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float32], float]:
        """The map of the picture's plane, sine and cosine about the vertical, and the size."""
        matrix, vertical, size = UNCHANGED
        if self.rotate_degrees:
            angles = np.radians(rng.uniform(-self.rotate_degrees, self.rotate_degrees, size=2))
            angles = angles.astype(np.float32)
            cos, sin = np.cos(angles), np.sin(angles)
            matrix = np.array([[cos[0], -sin[0]], [sin[0], cos[0]]], np.float64)
            vertical = np.array([sin[1], cos[1]])
        if self.shear:
            across, down = rng.uniform(-self.shear, self.shear, size=2)
            matrix = np.array([[1, across], [down, 1]]) @ matrix
        if self.scale:
            size = rng.uniform(1 - self.scale, 1 + self.scale)
            matrix = size * matrix
        return matrix, vertical, size

    def _draw_loss(
        self, frames: int, keypoints: tuple[str, ...], rng: np.random.Generator
    ) -> tuple[slice, list[int]]:
        """For which frames which points are lost."""
        if not self.drop_hand:
            return slice(0), []
        chance, side, length, place = rng.random(4)
        parts = find_parts(keypoints)
        lost = max(1, int(length * frames / 2))
        start = int(place * (frames - lost + 1))
        hand = parts.left_hand if side < 0.5 else parts.right_hand
        return slice(start, start + lost), list(hand) if chance < self.drop_hand else []

    # ------------------------------------------------------------------------ what is done with it

    def _move_points(
        self,
        frames: Clip,
        drawn: Sequence[Drawn],
        *,
        keypoints: tuple[str, ...],
        normalize: Normalization,
    ) -> None:
        """What changes coordinates alone: mirror, rotation, shear, scale, shift, outliers and noise."""
        is_mapped = bool(self.rotate_degrees or self.shear or self.scale)
        is_mirrored = any(each.is_mirrored for each in drawn)
        if not (is_mirrored or is_mapped or self.outliers or self.shift or self.joint_noise):
            return
        planes = to_planes(frames)
        if is_mirrored:
            mirror(
                planes, by_frame([each.is_mirrored for each in drawn], drawn), keypoints=keypoints
            )
        if is_mapped:
            self._map(planes, drawn)
        if self.outliers:
            starts = np.cumsum([0, *(len(each.places) for each in drawn[:-1])]) * len(frames[0])
            struck = [each.struck + start for each, start in zip(drawn, starts, strict=True)]
            chances = np.concatenate([each.chances for each in drawn])
            confuse_points(planes, np.concatenate(struck), chances, keypoints=keypoints)
        if self.shift:
            columns = find_body(keypoints) if normalize in OWN_ORIGINS else None
            vectors = by_frame([each.shift for each in drawn], drawn)
            shift(planes, vectors.T[..., None], columns=columns)
        if self.joint_noise:
            add_noise(planes, [each.noise for each in drawn], self.joint_noise)
        if self.shift or self.joint_noise:
            clear_missing(planes)
        from_planes(planes, frames)

    def _map(self, planes: Planes, drawn: Sequence[Drawn]) -> None:
        if self.rotate_degrees and len(planes) == 4:
            sin, cos = by_frame([each.vertical for each in drawn], drawn).T[..., None]
            turn(planes, sin, cos)
        if self.scale:
            sizes = np.array([each.size for each in drawn], np.float32)
            planes[2:-1] *= by_frame(sizes, drawn)[:, None]
        pictures = np.array([each.picture.ravel() for each in drawn], np.float32)
        map_linearly(planes, by_frame(pictures, drawn).T.reshape(2, 2, -1, 1))

"""Random transforms of packed clips, for training only, of a whole batch at once.

A packed clip is (T, K, C + 1): coordinates relative to an origin in the body, then confidence. What a
clip draws is a function of its own seed and length alone, so it comes out the same whichever batch,
worker or process it is in; how long it will be is one of the stored length and the seed, so that the
lengths of a whole epoch can be told before any clip is read. All that changes time is one choice of
frames, which are copied once, from where the clip is stored into the batch; all that moves points is a
few calls for all frames of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from signseq.poses.draws import Seeds, derive_seeds, uniforms
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
from signseq.poses.playback import CHANCES, Timing, count_up, play

__all__ = ["Augmentation", "Resampling"]

Resampling = Literal["nearest", "linear"]

Chances = NDArray[np.float64]  # of what, and of which clip: (len(Chance), B)

WHICH_POINTS = 101  # what is drawn for each outlier


class Chance(IntEnum):
    """What each clip draws besides its length, all of it always, so that no transform changes another one."""

    MIRROR = 0
    ROTATION = 1
    TURN = 2
    ACROSS = 3
    DOWN = 4
    SIZE = 5
    OUTLIERS = 6
    RIGHT = 7
    UP = 8
    LOSS = 9
    SIDE = 10
    LENGTH = 11
    START = 12
    NOISE = 13  # and the next two, of further coordinates
    NOISE_Y = 14
    NOISE_Z = 15


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
            rng: Where the clip's seed comes from.
            normalize: How the clip was normalised.
        """
        seeds = rng.integers(2**64, size=1, dtype=np.uint64)
        return self.apply([clip], seeds, keypoints=keypoints, normalize=normalize)[0]

    @property
    def changes_lengths(self) -> bool:
        """Whether clips come out longer or shorter."""
        return bool(self.speed or self.drop_frames)

    def time(
        self,
        frames: NDArray[np.integer[Any]],
        seeds: Seeds,
        *,
        step_frames: int = 1,
        max_frames: int | None = None,
    ) -> Timing:
        """How many frames `apply` plays of stored clips of so many `frames`, (N,); see there."""
        return Timing.draw(
            frames,
            seeds,
            step_frames=step_frames,
            limit=max_frames,
            speed=self.speed,
            drop_frames=self.drop_frames,
        )

    def apply(
        self,
        clips: Sequence[Clip],
        seeds: Seeds,
        *,
        keypoints: tuple[str, ...],
        normalize: Normalization = "shoulders",
        step_frames: int = 1,
        max_frames: int | None = None,
    ) -> list[Clip]:
        """Transform the clips of a batch.

        Args:
            clips: B clips as they are stored, each (F, K, C + 1), all of one type; they stay as they are.
            seeds: Of each clip, (B,); all randomness comes from them.
            keypoints: K names.
            normalize: How the clips were normalised.
            step_frames: Of each clip every so-manieth frame is taken, from a random one on.
            max_frames: Longer ones are cut.

        Returns:
            B clips, each (T, K, C + 1), one after another in one array.
        """
        stored = np.array([len(clip) for clip in clips])
        timing = self.time(stored, seeds, step_frames=step_frames, max_frames=max_frames)
        is_blended = bool(self.speed) and self.speed_resampling == "linear"
        frames = play(clips, timing, seeds, step_frames=step_frames, is_blended=is_blended)
        chances = uniforms(np.arange(CHANCES, CHANCES + len(Chance)), of=seeds[:, None]).T
        self._move_points(
            frames, timing, seeds, chances=chances, keypoints=keypoints, normalize=normalize
        )
        ends = np.cumsum([0, *timing.lengths]).tolist()
        changed = [frames[start:end] for start, end in pairwise(ends)]
        if self.drop_hand:
            self._lose_hands(changed, chances, keypoints=keypoints)
        return changed

    # ------------------------------------------------------------------------ what is done with it

    def _move_points(
        self,
        frames: Clip,
        timing: Timing,
        seeds: Seeds,
        *,
        chances: Chances,
        keypoints: tuple[str, ...],
        normalize: Normalization,
    ) -> None:
        """What changes coordinates alone: mirror, rotation, shear, scale, shift, outliers and noise."""
        is_mapped = bool(self.rotate_degrees or self.shear or self.scale)
        is_mirrored = chances[Chance.MIRROR] < self.mirror
        if not (is_mirrored.any() or is_mapped or self.outliers or self.shift or self.joint_noise):
            return
        planes = to_planes(frames)
        if is_mirrored.any():
            mirror(planes, timing.by_frame(is_mirrored), keypoints=keypoints)
        if is_mapped:
            self._map(planes, timing, chances)
        if self.outliers:
            struck, others = self._draw_outliers(timing, seeds, chances, points=planes.shape[2])
            confuse_points(planes, struck, others, keypoints=keypoints)
        if self.shift:
            columns = find_body(keypoints) if normalize in OWN_ORIGINS else None
            ways = _between(chances[[Chance.RIGHT, Chance.UP]], self.shift).astype(np.float32)
            shift(planes, timing.by_frame(ways.T).T[..., None], columns=columns)
        if self.joint_noise:
            pieces = _draw_noise(timing, chances, planes.shape)
            add_noise(planes, pieces, self.joint_noise)
        if self.shift or self.joint_noise:
            clear_missing(planes)
        from_planes(planes, frames)

    def _map(self, planes: Planes, timing: Timing, chances: Chances) -> None:
        """Rotation, shear and scale, all of which are one linear map of the picture."""
        angles = _between(chances[[Chance.ROTATION, Chance.TURN]], np.radians(self.rotate_degrees))
        (cos, cos_turned), (sin, sin_turned) = np.cos(angles), np.sin(angles)
        across, down = _between(chances[[Chance.ACROSS, Chance.DOWN]], self.shear)
        sizes = 1 + _between(chances[Chance.SIZE], self.scale)
        if self.rotate_degrees and len(planes) == 4:
            turned = np.array([sin_turned, cos_turned], np.float32)
            turn(planes, *timing.by_frame(turned.T).T[..., None])
        if self.scale:
            planes[2:-1] *= timing.by_frame(sizes.astype(np.float32))[:, None]
        pictures = np.array(
            [cos + across * sin, across * cos - sin, down * cos + sin, cos - down * sin]
        )
        by_frame = timing.by_frame((sizes * pictures).T.astype(np.float32))
        map_linearly(planes, by_frame.T.reshape(2, 2, -1, 1))

    def _draw_outliers(
        self, timing: Timing, seeds: Seeds, chances: Chances, *, points: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Which points are struck, frame * K + point, and by chance which other one each takes, (M,).

        Their number is the share of a clip's points, rounded up as often as that gives the share.
        """
        totals = timing.lengths * points
        counts = (totals * self.outliers + chances[Chance.OUTLIERS]).astype(np.int64)
        clips, numbers = np.repeat(np.arange(len(counts)), counts), count_up(counts)
        each = derive_seeds(WHICH_POINTS, of=seeds)[clips]
        places, others = uniforms(np.arange(2)[:, None], numbers, of=each)
        starts = np.cumsum(totals) - totals
        return starts[clips] + (places * totals[clips]).astype(np.int64), others

    def _lose_hands(
        self, clips: Sequence[Clip], chances: Chances, *, keypoints: tuple[str, ...]
    ) -> None:
        """Clear one hand of some of the clips, for up to half of their frames."""
        parts = find_parts(keypoints)
        for number in np.flatnonzero(chances[Chance.LOSS] < self.drop_hand).tolist():
            clip, own = clips[number], chances[:, number]
            lost = max(1, int(own[Chance.LENGTH] * len(clip) / 2))
            start = int(own[Chance.START] * (len(clip) - lost + 1))
            hand = parts.left_hand if own[Chance.SIDE] < 0.5 else parts.right_hand
            clip[start : start + lost, list(hand)] = 0


def _between(chances: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """From -limit to limit."""
    return limit * (2 * chances - 1)


def _draw_noise(
    timing: Timing, chances: Chances, shape: tuple[int, ...]
) -> list[list[NDArray[np.float32]]]:
    """Of each clip, for each coordinate, Gaussian numbers (T, K) from somewhere in the supply."""
    channels, _, points = shape
    pieces = []
    for length, own in zip(timing.lengths.tolist(), chances.T, strict=True):
        size = length * points
        supply = noise_supply(size)
        starts = own[Chance.NOISE : Chance.NOISE + channels - 1] * (len(supply) - size)
        pieces.append(
            [supply[i : i + size].reshape(length, points) for i in starts.astype(int).tolist()]
        )
    return pieces

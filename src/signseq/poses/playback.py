"""Which frames of stored clips a batch is made of: how many are played, and those, each copied once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signseq.poses.perturbation import Clip, blend, from_planes, to_planes

__all__ = ["CHANCES", "Drawn", "Timing", "by_frame", "play"]

CHANCES = 3  # decide a clip's length: of the phase, of the speed, of the frames that are dropped


@dataclass(frozen=True, slots=True)
class Timing:
    """How many frames of each clip are played, arrays of shape (N,).

    Attributes:
        phases: The first of the stored frames that every `step_frames`th is taken of.
        counts: How many are.
        played: How many that makes at another speed.
        kept: How many of these are not dropped.
        lengths: How many of these are left when the clip is cut.
    """

    phases: NDArray[np.int64]
    counts: NDArray[np.int64]
    played: NDArray[np.int64]
    kept: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def draw(
        cls,
        frames: NDArray[np.integer[Any]],
        chances: NDArray[np.float64],
        *,
        step_frames: int,
        limit: int | None,
        speed: float,
        drop_frames: float,
    ) -> Timing:
        """What chances make of clips.

        Args:
            frames: Of the stored clips, (N,).
            chances: From 0 to below 1, (N, CHANCES).
            step_frames: Every so-manieth frame is taken.
            limit: The most frames, before another speed and after all.
            speed: Largest change of speed, as a share.
            drop_frames: The share of frames that is dropped: rounded up as often as that gives the share.
        """
        frames = frames.astype(np.int64)
        phases = (chances[:, 0] * np.minimum(step_frames, frames)).astype(np.int64)
        counts = (frames - phases + step_frames - 1) // step_frames
        counts = counts if limit is None else np.minimum(counts, limit)
        speeds = 1 - speed + 2 * speed * chances[:, 1]
        played = np.maximum(np.rint(counts / speeds).astype(np.int64), 1)
        dropped = (played * drop_frames + chances[:, 2]).astype(np.int64)
        kept = np.maximum(played - dropped, 1)
        lengths = kept if limit is None else np.minimum(kept, limit)
        return cls(phases, counts, played, kept, lengths)

    def places(self, clip: int, rng: np.random.Generator) -> NDArray[Any]:
        """Which frames of a clip are played, before it is cut, (T,): the dropped ones are drawn here."""
        count, played, kept = (int(each[clip]) for each in (self.counts, self.played, self.kept))
        places: NDArray[Any] = np.arange(played)
        if played != count:
            places = places * ((count - 1) / max(played - 1, 1))
        return places if kept == played else places[rng.permutation(played) < kept]


@dataclass(frozen=True, slots=True)
class Drawn:
    """All that is random about one clip.

    Attributes:
        phase: The first of the stored frames that every `step_frames`th is taken of.
        count: How many are.
        places: Which of these are played, between two where they are blended, (T,).
        is_mirrored: Whether left and right are exchanged.
        picture: The linear map of the picture's plane, (2, 2).
        vertical: Sine and cosine of the rotation about the vertical, (2,).
        size: What depth is multiplied by.
        struck: Outliers: frame * K + point, (M,).
        chances: Which other point each of them takes, from 0 to 1, (M,).
        shift: Along x and y, (2,).
        noise: Gaussian numbers (T, K) for each coordinate; none where there is no noise.
        lost_frames: For which a hand is lost.
        lost_points: That hand; empty if none is lost.
    """

    phase: int
    count: int
    places: NDArray[np.floating[Any] | np.integer[Any]]
    is_mirrored: bool
    picture: NDArray[np.float64]
    vertical: NDArray[np.float32]
    size: float
    struck: NDArray[np.int64]
    chances: NDArray[np.float64]
    shift: NDArray[np.float32]
    noise: list[NDArray[np.float32]]
    lost_frames: slice
    lost_points: list[int]


def play(
    clips: Sequence[Clip], drawn: Sequence[Drawn], *, step_frames: int, is_blended: bool
) -> Clip:
    """The frames that are played, of all clips, in a new array (N, K, C + 1).

    Args:
        clips: As they are stored, each (F, K, C + 1).
        drawn: Of each clip.
        step_frames: Every so-manieth frame is taken of them.
        is_blended: Whether what lies between two frames is interpolated, and not the nearest of them.
    """
    places = np.concatenate([each.places for each in drawn])
    nearest = np.rint(places).astype(np.intp)
    if not is_blended:
        return _gather(clips, drawn, nearest, step_frames=step_frames)
    before = np.floor(places).astype(np.intp)
    after = np.minimum(before + 1, by_frame([each.count - 1 for each in drawn], drawn))
    frames = _gather(clips, drawn, before, step_frames=step_frames)
    one = to_planes(frames)
    other = to_planes(_gather(clips, drawn, after, step_frames=step_frames))
    weight = (places - before).astype(np.float32)[:, None]
    blend(one, other, weight=weight, is_later=(nearest != before)[:, None])
    from_planes(one, frames)
    return frames


def by_frame(values: Any, drawn: Sequence[Drawn]) -> NDArray[Any]:
    """What each clip has, for each of its frames, (N, ...)."""
    repeated: NDArray[Any] = np.repeat(values, [len(each.places) for each in drawn], axis=0)
    return repeated


def _gather(
    clips: Sequence[Clip], drawn: Sequence[Drawn], places: NDArray[np.intp], *, step_frames: int
) -> Clip:
    """Frames of all clips in a new array, (N, K, C + 1), each copied once."""
    frames: Clip = np.empty((len(places), *clips[0].shape[1:]), clips[0].dtype)
    rows = places * step_frames + by_frame([each.phase for each in drawn], drawn)
    end = 0
    for clip, each in zip(clips, drawn, strict=True):
        start, end = end, end + len(each.places)
        # "clip" because numpy would first copy into a buffer, to check them; all are within the clip
        np.take(clip, rows[start:end], axis=0, out=frames[start:end], mode="clip")
    return frames

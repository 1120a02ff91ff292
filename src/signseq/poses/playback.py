"""Which frames of stored clips a batch is made of: how many are played, and those, each copied once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signseq.poses.draws import Seeds, derive_seeds, uniforms
from signseq.poses.perturbation import Clip, blend, from_planes, to_planes

__all__ = ["CHANCES", "Timing", "count_up", "play"]

CHANCES = 3  # decide a clip's length: of the phase, of the speed, of the frames that are dropped
WHICH_FRAMES = 100  # what is drawn for each frame: whether it is among those that are dropped


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
        seeds: Seeds,
        *,
        step_frames: int,
        limit: int | None,
        speed: float,
        drop_frames: float,
    ) -> Timing:
        """What chance makes of clips.

        Args:
            frames: Of the stored clips, (N,).
            seeds: Of the clips, (N,).
            step_frames: Every so-manieth frame is taken.
            limit: The most frames, before another speed and after all.
            speed: Largest change of speed, as a share.
            drop_frames: The share of frames that is dropped: rounded up as often as that gives the share.
        """
        frames = frames.astype(np.int64)
        chances = uniforms(np.arange(CHANCES), of=seeds[:, None])
        phases = (chances[:, 0] * np.minimum(step_frames, frames)).astype(np.int64)
        counts = (frames - phases + step_frames - 1) // step_frames
        counts = counts if limit is None else np.minimum(counts, limit)
        speeds = 1 - speed + 2 * speed * chances[:, 1]
        played = np.maximum(np.rint(counts / speeds).astype(np.int64), 1)
        dropped = (played * drop_frames + chances[:, 2]).astype(np.int64)
        kept = np.maximum(played - dropped, 1)
        lengths = kept if limit is None else np.minimum(kept, limit)
        return cls(phases, counts, played, kept, lengths)

    def places(self, seeds: Seeds) -> NDArray[np.float64]:
        """Which frames are played, one clip after another, (sum of lengths,), by places among those that are taken."""
        numbers = count_up(self.played)
        pace = np.where(
            self.played == self.counts, 1.0, (self.counts - 1) / np.maximum(self.played - 1, 1)
        )
        places: NDArray[np.float64] = numbers * np.repeat(pace, self.played)
        if (self.kept < self.played).any():
            clips = np.repeat(np.arange(len(seeds)), self.played)
            chances = uniforms(numbers, of=derive_seeds(WHICH_FRAMES, of=seeds)[clips])
            is_kept = np.empty(len(places), np.bool_)
            # Sorted by chance within each clip; the first ones of each stay.
            is_kept[np.lexsort((chances, clips))] = numbers < np.repeat(self.kept, self.played)
            places = places[is_kept]
        return places[count_up(self.kept) < np.repeat(self.lengths, self.kept)]

    def by_frame(self, values: Any) -> NDArray[Any]:
        """What each clip has, for each of its frames that are played, (sum of lengths, ...)."""
        repeated: NDArray[Any] = np.repeat(values, self.lengths, axis=0)
        return repeated


def count_up(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, 2, ... up to each count, one after another, (sum of counts,)."""
    ends = np.cumsum(counts)
    numbers: NDArray[np.int64] = np.arange(ends[-1]) - np.repeat(ends - counts, counts)
    return numbers


def play(
    clips: Sequence[Clip], timing: Timing, seeds: Seeds, *, step_frames: int, is_blended: bool
) -> Clip:
    """The frames that are played, of all clips, in a new array (N, K, C + 1).

    Args:
        clips: As they are stored, each (F, K, C + 1).
        timing: Of them.
        seeds: Of them, (B,).
        step_frames: Every so-manieth frame is taken of them.
        is_blended: Whether what lies between two frames is interpolated, and not the nearest of them.
    """
    places = timing.places(seeds)
    nearest = np.rint(places).astype(np.intp)
    if not is_blended:
        return _gather(clips, timing, nearest, step_frames=step_frames)
    before = np.floor(places).astype(np.intp)
    after = np.minimum(before + 1, timing.by_frame(timing.counts - 1))
    frames = _gather(clips, timing, before, step_frames=step_frames)
    one = to_planes(frames)
    other = to_planes(_gather(clips, timing, after, step_frames=step_frames))
    weight = (places - before).astype(np.float32)[:, None]
    blend(one, other, weight=weight, is_later=(nearest != before)[:, None])
    from_planes(one, frames)
    return frames


def _gather(
    clips: Sequence[Clip], timing: Timing, places: NDArray[np.intp], *, step_frames: int
) -> Clip:
    """Frames of all clips in a new array, (N, K, C + 1), each copied once."""
    frames: Clip = np.empty((len(places), *clips[0].shape[1:]), clips[0].dtype)
    rows = places * step_frames + timing.by_frame(timing.phases)
    end = 0
    for clip, length in zip(clips, timing.lengths.tolist(), strict=True):
        start, end = end, end + length
        # "clip" because numpy would first copy into a buffer, to check them; all are within the clip
        np.take(clip, rows[start:end], axis=0, out=frames[start:end], mode="clip")
    return frames

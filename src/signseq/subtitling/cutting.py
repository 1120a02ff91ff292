"""Cutting the segments out of a recording while it is read, each with some frames around it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from signseq.poses.segmentation import Segment
from signseq.poses.sequence import PoseSequence
from signseq.poses.skeletons import guess_estimator
from signseq.poses.transforms import select

__all__ = ["CutSegment", "Finder", "cut_segments"]


class Finder(Protocol):
    """Says where segments are, of frames that come piece by piece."""

    @property
    def earliest_start(self) -> int:
        """No segment that is still to come starts before this frame."""

    def feed(self, pose: PoseSequence) -> list[Segment]:
        """Take the frames that follow; returns the segments that are complete now."""

    def finish(self) -> list[Segment]:
        """The segments that the end of the recording completes."""


@dataclass(frozen=True, eq=False)
class CutSegment:
    """A segment, and its frames with those around it."""

    segment: Segment
    pose: PoseSequence


def cut_segments(
    pieces: Iterable[PoseSequence],
    finder: Finder,
    *,
    context_frames: int,
    keypoints: Sequence[str],
) -> Iterator[CutSegment]:
    """Cut out segments as soon as they and their context have been read.

    Only frames that a segment may still need are held.

    Args:
        pieces: The recording.
        finder: Says where the segments are.
        context_frames: How many frames to take before and after each, as far as there are any.
        keypoints: The points to take, those of them that the recording has.
    """
    held, first, read = deque[PoseSequence](), 0, 0  # `first` is the number of the first frame held
    waiting = deque[Segment]()  # for the frames after them
    for piece in pieces:
        held.append(_take(piece, keypoints))
        read += len(piece)
        waiting += finder.feed(piece)
        while waiting and waiting[0].end + context_frames <= read:
            yield _cut(held, waiting.popleft(), first=first, context=context_frames)
        needed = min([finder.earliest_start, *(each.start for each in waiting)]) - context_frames
        while held and first + len(held[0]) <= needed:
            first += len(held.popleft())
    for segment in (*waiting, *finder.finish()):
        yield _cut(held, segment, first=first, context=context_frames)


def _take(piece: PoseSequence, keypoints: Sequence[str]) -> PoseSequence:
    there = set(piece.keypoints)
    taken = select(piece, [name for name in keypoints if name in there])
    return replace(taken, estimator=piece.estimator or guess_estimator(piece.keypoints))


def _cut(held: Iterable[PoseSequence], segment: Segment, *, first: int, context: int) -> CutSegment:
    low, high = segment.start - context, segment.end + context
    parts = []
    for piece in held:
        if first < high and first + len(piece) > low:
            frames = slice(max(low - first, 0), high - first)
            parts.append((piece, frames))
        first += len(piece)
    pose = replace(
        parts[0][0],
        data=np.concatenate([piece.data[frames] for piece, frames in parts]),
        confidence=np.concatenate([piece.confidence[frames] for piece, frames in parts]),
    )
    return CutSegment(segment, pose)

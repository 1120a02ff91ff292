"""Where signing is in a long recording, cut into sentences by rules; frames come as they are read.

A hand can sign while it is raised, that is not far below the shoulders, and moves: as a whole or with
its fingers. Signing ends where both hands rest: lowered or out of view, or held still for long. What is
longer than any sentence is cut where the hands are slowest. Rules see pauses, not sentences: what is
signed without one stays together.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from signseq.errors import PoseError
from signseq.poses.hand_motion import HandMotion, HandMotionMeter
from signseq.poses.sequence import PoseSequence

__all__ = ["Segment", "Segmenter", "SegmenterOptions"]


@dataclass(frozen=True)
class SegmenterOptions:
    """What counts as signing, and where it ends.

    Lengths are in shoulder widths of the signer, times in seconds, so that neither the camera nor its
    frame rate matters.

    Attributes:
        raised: How far below the shoulders a wrist may be for signing to begin.
        lowered: How far below them it must be to rest.
        moving: Speed of a hand, in widths a second, with which signing begins.
        still: Speed under which a raised hand is held still.
        rising: A wrist comes up before a sentence and goes down after it at least this fast,
        travel: and at least this far; that is no part of the sentence.
        rest_seconds: So long no hand is raised between two sentences.
        pause_seconds: Or so long the raised hands are still.
        unseen_seconds: So long a hand that isn't found counts as where it was.
        onset_seconds: So long at most a hand comes up or goes down.
        min_seconds: What is shorter is no sentence and left out.
        max_seconds: What is longer is cut at its slowest moment.
        window_seconds: Speeds are those between the means of two such windows.
        min_confidence: Points less sure than this count as not seen.
    """

    raised: float = 1.25
    lowered: float = 1.5
    moving: float = 0.5
    still: float = 0.25
    rising: float = 1.0
    travel: float = 0.5
    rest_seconds: float = 0.3
    pause_seconds: float = 0.6
    unseen_seconds: float = 0.3
    onset_seconds: float = 0.5
    min_seconds: float = 0.5
    max_seconds: float = 15.0
    window_seconds: float = 0.12
    min_confidence: float = 0.5

    def __post_init__(self) -> None:
        numbers: dict[str, float] = vars(self)
        if bad := [name for name, value in numbers.items() if not 0 <= value < math.inf]:
            raise PoseError(
                f"Segmenter: {bad[0]} is {numbers[bad[0]]}; expected a number of at least 0."
            )
        for low, high in (("raised", "lowered"), ("still", "moving")):
            if numbers[low] > numbers[high]:
                raise PoseError(
                    f"Segmenter: {low} is {numbers[low]}, {high} {numbers[high]}; expected {low} to be at most {high}."
                )
        if self.max_seconds < 2 * self.min_seconds or not self.max_seconds:
            raise PoseError(
                f"Segmenter: max_seconds is {self.max_seconds}; expected at least twice min_seconds "
                f"({self.min_seconds}), and more than 0."
            )


@dataclass(frozen=True)
class Segment:
    """A piece of a recording: from the frame `start` up to the frame `end`."""

    start: int
    end: int


@dataclass
class _Hand:
    """What is known of one hand."""

    unseen: float = math.inf  # frames since it was seen
    depth: float = math.inf
    speed: float = 0.0
    fall: float = 0.0


class _Pace(NamedTuple):
    """How the raised hands move in a frame: the faster one's speed, and how fast a wrist falls or rises."""

    speed: float
    fall: float


class Segmenter:
    """Finds the signed segments of one recording, of frames that come piece by piece.

    However the frames are divided, the segments are the same. What it holds doesn't grow with the
    recording.

    Args:
        options: What counts as signing.
        fps: Frames per second.
        keypoints: Names of the points of each frame.

    Raises:
        PoseError: If the points lack a shoulder, or both wrists and hands.
    """

    def __init__(
        self, options: SegmenterOptions, *, fps: float, keypoints: tuple[str, ...]
    ) -> None:
        self._options, self._fps = options, fps
        self._meter = HandMotionMeter(
            fps=fps,
            keypoints=keypoints,
            window_seconds=options.window_seconds,
            min_confidence=options.min_confidence,
        )
        self._onset = self._frames(options.onset_seconds)
        self._hands = (_Hand(), _Hand())
        self._decided = 0  # frames of which it is known whether they are signing
        self._recent = deque[_Pace](maxlen=self._onset)  # of the frames before
        self._since = 0  # since when the hands have moved
        self._start: int | None = None  # of the segment that is open
        self._is_cut = False  # whether that goes on from another one
        self._paces: list[_Pace] = []  # of its frames
        self._last = 0  # the frame after the last one that was signing
        self._raised = 0  # the frame after the last one with a hand up

    @property
    def earliest_start(self) -> int:
        """No segment that is still to come starts before this frame."""
        return max(0, self._decided - self._onset) if self._start is None else self._start

    def feed(self, pose: PoseSequence) -> list[Segment]:
        """Take the frames that follow, data (T, K, C) in any unit with y growing downwards.

        Returns:
            The segments that are complete now.
        """
        return self._decide(self._meter.feed(pose))

    def finish(self) -> list[Segment]:
        """The segments that the end of the recording completes."""
        return self._decide(self._meter.finish()) + self._close()

    def _frames(self, seconds: float) -> int:
        return max(1, round(seconds * self._fps))

    def _decide(self, motion: HandMotion) -> list[Segment]:
        found = []
        numbers = (motion.depth.tolist(), motion.speed.tolist(), motion.fall.tolist())
        for depths, speeds, falls in zip(*numbers, strict=True):
            for hand, depth, speed, fall in zip(self._hands, depths, speeds, falls, strict=True):
                self._see(hand, depth, speed, fall)
            found += self._step()
            self._decided += 1
        return found

    def _see(self, hand: _Hand, depth: float, speed: float, fall: float) -> None:
        """Note how a hand is in the next frame; numbers are NaN where it isn't seen."""
        if math.isnan(depth):
            hand.unseen += 1
            if hand.unseen > self._frames(self._options.unseen_seconds):
                hand.depth, hand.speed, hand.fall = math.inf, 0.0, 0.0
            return
        hand.depth, hand.unseen = depth, 0
        # A hand that comes into view moves, even if it is not known yet how fast.
        hand.speed = math.inf if math.isnan(speed) else speed
        hand.fall = 0.0 if math.isnan(fall) else fall

    def _step(self) -> list[Segment]:
        """Decide about the next frame."""
        options, number = self._options, self._decided
        up = [hand for hand in self._hands if hand.depth < options.lowered]
        pace = _Pace(
            max((hand.speed for hand in up), default=0.0),
            max((hand.fall for hand in up), key=abs, default=0.0),
        )
        is_signing = pace.speed > options.still
        if not is_signing:
            self._since = number + 1
        begins = any(h.depth < options.raised and h.speed > options.moving for h in up)
        if self._start is None and is_signing and begins:
            self._start = max(self._since, self._last, number - len(self._recent))
            self._paces = list(self._recent)[len(self._recent) - (number - self._start) :]
        self._recent.append(pace)
        if self._start is None:
            return []
        self._paces.append(pace)
        if any(hand.unseen == 0 and hand.speed > options.still for hand in up):
            self._last = number + 1
        if up:
            self._raised = number + 1
        is_pause = number + 1 - self._last >= self._frames(options.pause_seconds)
        if is_pause or number + 1 - self._raised >= self._frames(options.rest_seconds):
            return self._close()
        return self._cut()

    def _close(self) -> list[Segment]:
        """End the open segment with the last movement; how hands come up and go down is no part of it."""
        if self._start is None:
            return []
        start, falls = self._start, [pace.fall for pace in self._paces]
        falls = falls[: self._last - start]
        way_up = 0 if self._is_cut else self._way([-fall for fall in falls])
        segment = Segment(start + way_up, self._last - self._way(falls[::-1]))
        self._start, self._is_cut, self._paces = None, False, []
        is_long = segment.end - segment.start >= self._frames(self._options.min_seconds)
        return [segment] if is_long else []

    def _way(self, speeds: Sequence[float]) -> int:
        """How many of the first frames bring a hand up, or of the last ones, backwards, down; 0 if none do."""
        fast = [speed >= self._options.rising for speed in speeds]
        start = fast.index(True) if True in fast[: self._onset] else 0
        end = fast.index(False, start) if False in fast[start:] else len(fast)
        end = min(end, start + self._onset)
        return end if sum(speeds[start:end]) / self._fps >= self._options.travel else 0

    def _cut(self) -> list[Segment]:
        """Cut the open segment in its second half, where it is slowest, once it is too long."""
        if self._start is None or len(self._paces) < self._frames(self._options.max_seconds):
            return []
        half = len(self._paces) // 2
        cut = max(1, half + int(np.argmin([pace.speed for pace in self._paces[half:]])))
        segment = Segment(self._start, self._start + cut)
        self._start, self._is_cut, self._paces = segment.end, True, self._paces[cut:]
        self._last = max(self._last, segment.end)
        return [segment]

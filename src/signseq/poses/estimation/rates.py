"""Frame rates: what a video's frames say of it, and a constant one where theirs varies.

Poses have one rate from end to end, videos needn't: phones and screen recorders take frames when they can.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from signseq.errors import PoseError

__all__ = ["Timing", "at_rate", "time_frames"]

Item = TypeVar("Item")

RATES = (0.5, 240.0)  # frames per second that a camera may have; others come from damaged headers
COMMON = (10, 12, 12.5, 15, 20, 24000 / 1001, 24, 25, 30000 / 1001, 30, 48, 50, 60000 / 1001, 60)
NEAR = 0.02  # by which share a measured rate may miss a common one
LONGEST_SECONDS = 60.0  # that a frame is shown, where frames come one after the other
MOST_REPEATS = 10  # poses for each frame of the video, on average; more come from damaged times


@dataclass(frozen=True, eq=False)
class Timing:
    """Which frames of a video stand for a constant rate.

    Attributes:
        fps: Frames per second.
        frames: For each pose, the number of the video's frame that it is of.
        is_variable: Whether frames were repeated or left out.
    """

    fps: float
    frames: NDArray[np.intp]
    is_variable: bool


def time_frames(times: NDArray[np.float64], *, declared: float | None, name: str) -> Timing:
    """Find the frame rate of a video, and for a variable one the frames that stand for a constant one.

    Args:
        times: When each frame is shown, in seconds; NaN where the file doesn't say it.
        declared: Frames per second as the header has them, if it has.
        name: What to call the video in messages.

    Raises:
        PoseError: If there are fewer than two frames, or neither times nor a rate.
    """
    count = len(times)
    if count < 2:
        raise PoseError(
            f"{name}: holds {'a single frame' if count else 'no frame'}; a picture, not a video."
        )
    stated = declared if declared and _is_sane(declared) else None
    every = np.arange(count)
    spans = np.diff(times)
    if np.isnan(spans).any() or (spans <= 0).any():
        if stated is None:
            raise PoseError(
                f"{name}: says neither when its frames are shown nor how many there are per second "
                f"({declared or 0:g}). Write it anew with the rate that you know: ffmpeg -r 25 -i {name} OUT.mp4"
            )
        return Timing(stated, every, False)
    elapsed = times - times[0]
    for rate in (stated, _common(float((count - 1) / elapsed[-1]))):
        # Each frame in a place of its own: containers round times, some to milliseconds.
        if rate and _is_sane(rate) and np.abs(elapsed * rate - every).max() < 0.5:
            return Timing(rate, every, False)
    rate = _common(float(1 / np.median(spans)))
    poses = round(float(elapsed[-1]) * rate) + 1
    if not _is_sane(rate) or poses > MOST_REPEATS * count:
        raise PoseError(
            f"{name}: its {count} frames are shown over {elapsed[-1]:.3g} s, most of them {np.median(spans):.3g} s "
            "apart; its times are damaged. Write it anew: ffmpeg -i IN -r 25 OUT.mp4"
        )
    return Timing(rate, _nearest(elapsed, np.arange(poses) / rate), True)


def at_rate(timed: Iterable[tuple[float, Item]], *, fps: float, name: str) -> Iterator[Item]:
    """Bring frames to a constant rate as they come: the nearest one for each moment.

    Args:
        timed: When each frame is shown, in seconds (NaN where that isn't known), and what stands for it.
            A frame whose time isn't known, or not later than the one before, counts as the next one.
        fps: Frames per second wanted.
        name: What to call the video in messages.

    Raises:
        PoseError: If a frame is shown for more than a minute.
    """
    begin, place, moment = math.nan, -1.0, 0
    shown: list[Item] = []  # the last frame, until it is known how long it is shown
    for time, item in timed:
        begin = time if math.isnan(begin) else begin
        before, place = place, (time - begin) * fps
        if not place > before:  # nor NaN
            place = before + 1
        if place - before > LONGEST_SECONDS * fps:
            raise PoseError(
                f"{name}: shows one frame for {(place - before) / fps:.0f} s; its times are damaged. Write it "
                "anew: ffmpeg -i IN -r 25 OUT.mp4"
            )
        while shown and moment <= (before + place) / 2:
            yield shown[0]
            moment += 1
        shown = [item]
    while shown and moment <= round(place):
        yield shown[0]
        moment += 1


def _is_sane(rate: float) -> bool:
    return RATES[0] <= rate <= RATES[1]


def _common(rate: float) -> float:
    """The rate that cameras have near a measured one; itself, if they have none."""
    nearest = min(COMMON, key=lambda each: abs(each - rate))
    return nearest if abs(nearest - rate) <= NEAR * rate else rate


def _nearest(times: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.intp]:
    """The number of the time, of those ascending, that lies nearest to each one wanted."""
    after = np.searchsorted(times, wanted).clip(1, len(times) - 1)
    return np.where(wanted - times[after - 1] <= times[after] - wanted, after - 1, after)

"""A clip that grows while its frames come in over a WebSocket, and the message that begins it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from signseq.errors import PoseError
from signseq.poses.sequence import PoseSequence, columns_of
from signseq.poses.skeletons import recognize
from signseq.poses.sources.landmarks import Landmarks, check_keypoints

__all__ = ["GrowingClip", "Start", "read_start"]

NUMBERS = 4  # of a point: x, y, z, confidence
NAME = "The clip"
MOST_KEYPOINTS = 2_000
FASTEST, SLOWEST = 0.25, 60.0  # seconds between partial texts


class Start(BaseModel):
    """The message that begins a clip."""

    type: Literal["start"]
    keypoints: Annotated[list[str], Field(min_length=1, max_length=MOST_KEYPOINTS)]
    model: Annotated[str, Field(max_length=100)] | None = None
    language: Annotated[str, Field(max_length=40)] | None = None
    n_best: Annotated[int, Field(ge=1, le=100)] = 1
    key: Annotated[str, Field(max_length=1000)] | None = None
    estimator: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    partial_seconds: Annotated[float, Field(ge=FASTEST, le=SLOWEST)] | None = 1.0


def read_start(message: dict[str, Any]) -> Start:
    """Check a start message.

    Raises:
        PoseError: If it isn't one; says which of its fields.
    """
    try:
        return Start.model_validate(message)
    except ValidationError as fault:
        wrong = [
            f"`{'.'.join(map(str, each['loc'][:1]))}`: {each['msg']}" for each in fault.errors()
        ]
        raise PoseError(f"The start message has {'; '.join(wrong[:3])}.") from fault


class GrowingClip:
    """The frames of a clip so far; of their points only those that the model looks at are kept.

    Args:
        keypoints: K names, in the order in which frames have them.
        needed: What the model looks at.
        max_seconds: How long the clip may last.
        max_frames: How many frames it may have.
        estimator: Whose points they are, where it is said.

    Raises:
        PoseError: If the names are no names, or none of them is needed.
    """

    def __init__(
        self,
        keypoints: Sequence[str],
        *,
        needed: Sequence[str],
        max_seconds: float,
        max_frames: int,
        estimator: str | None = None,
    ) -> None:
        names, guessed = recognize(check_keypoints(list(keypoints), name="The message"))
        columns = columns_of(tuple(needed), names)
        self._columns = columns[columns >= 0]
        if not len(self._columns):
            raise PoseError(
                "None of the keypoints is one that the model looks at; GET /v1/model lists those."
            )
        self._keypoints = tuple(names[column] for column in self._columns)
        self._estimator = estimator or guessed
        self._width = 1 + NUMBERS * len(names)
        self._max_seconds, self._max_frames = max_seconds, max_frames
        self._times: list[NDArray[np.float32]] = []
        self._points: list[NDArray[np.float32]] = []
        self._first = self._last = -1.0
        self.frames = 0
        self.is_full = False

    @property
    def seconds(self) -> float:
        """From the first frame to the last one."""
        return self._last - self._first

    def count(self, message: bytes) -> float:
        """How many frames a message is long; whether it holds them is not looked at."""
        return len(message) / (4 * self._width)

    def add(self, message: bytes) -> None:
        """Take one or more frames; those beyond the clip's limits are dropped, and make it `is_full`.

        Args:
            message: Of each frame the time and K x (x, y, z, confidence), float32, little-endian.

        Raises:
            PoseError: If it isn't of whole frames, or a time is not later than the one before it.
        """
        frames, rest = divmod(len(message), 4 * self._width)
        if rest or not frames:
            raise PoseError(
                f"A message of {len(message)} bytes; expected one or more frames of {4 * self._width} bytes: "
                f"the time and {self._width // NUMBERS} x (x, y, z, confidence), as float32."
            )
        rows = np.frombuffer(message, "<f4").reshape(frames, self._width)
        times = rows[:, 0].astype(np.float32)
        later = np.diff(times.astype(np.float64), prepend=self._last)
        if not (np.isfinite(times).all() and times[0] >= 0 and (later > 0).all()):
            raise PoseError(
                "A frame's time must be seconds since the start, not below 0, and later than the frame before it."
            )
        if not self.frames:
            self._first = float(times[0])
        room = int(np.searchsorted(times, self._first + self._max_seconds, side="right"))
        kept = min(room, self._max_frames - self.frames)
        self.is_full = self.is_full or kept < frames
        if kept:
            points = rows[:kept, 1:].reshape(kept, -1, NUMBERS)
            self._points.append(points[:, self._columns].astype(np.float32))
            self._times.append(times[:kept])
            self._last = float(times[kept - 1])
            self.frames += kept

    def snapshot(self) -> Callable[[], PoseSequence]:
        """What makes a pose of the frames so far; it may be called in a thread, while more come in.

        It raises PoseError if there are fewer than two frames, or their times are no camera's.
        """
        times, points = list(self._times), list(self._points)

        def as_pose() -> PoseSequence:
            if not times:
                raise PoseError(f"{NAME} has no frames. Send at least two.")
            seconds = np.concatenate(times).astype(np.float64)
            whole = np.concatenate(points)
            found = Landmarks(whole, self._keypoints, None, seconds, self._estimator)
            pose = found.as_pose(name=NAME)
            most = max(1, int(self._max_seconds * pose.fps))  # the last frame lasts, too
            data, confidence = pose.data[:most], pose.confidence[:most]
            return replace(pose, data=data, confidence=confidence)

        return as_pose

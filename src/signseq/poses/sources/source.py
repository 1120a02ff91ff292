"""What every format of poses comes down to: an opened source, of which a range of frames can be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from signseq.errors import PoseError
from signseq.poses.sequence import PoseFile
from signseq.poses.skeletons import Skeleton

__all__ = [
    "DOT_POSE",
    "Channels",
    "FormatName",
    "PoseFormat",
    "PoseSource",
    "TimeUnit",
    "make_file",
    "stack_people",
    "surest_first",
]

FormatName = Literal["pose", "pose.zst", "openpose", "npy", "h5", "wholebody_pkl"]
Channels = Literal["xy", "xyz", "xyc", "xyzc"]
TimeUnit = Literal["seconds", "frames"]


@dataclass(frozen=True, slots=True)
class PoseFormat:
    """How poses are stored, and what their files don't say themselves.

    Attributes:
        name: `pose`, `pose.zst`, `openpose`, `npy`, `h5` or `wholebody_pkl`.
        skeleton: Which points an array holds: a key of `signseq.poses.skeletons.SKELETONS`.
        channels: What an array holds of each point; `c` is the confidence.
        fps: Frames per second; only .pose files know theirs.
        size: Width and height of the picture, by which coordinates were divided; None leaves them.
        allow_pickle: Whether pickles are read at all; never said of a file by the file itself.
    """

    name: FormatName = "pose"
    skeleton: str | None = None
    channels: Channels | None = None
    fps: float | None = None
    size: tuple[int, int] | None = None
    allow_pickle: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        if self.name not in get_args(FormatName):
            raise PoseError(
                f"No pose format {self.name!r}; there are: {', '.join(get_args(FormatName))}."
            )

    @property
    def is_dot_pose(self) -> bool:
        """Whether files say everything about themselves."""
        return self.name in ("pose", "pose.zst")

    @property
    def facts(self) -> dict[str, Any]:
        """What shapes the poses that are read, for digests."""
        facts = {
            "name": self.name,
            "skeleton": self.skeleton,
            "channels": self.channels,
            "fps": self.fps,
            "size": self.size,
        }
        return {name: value for name, value in facts.items() if value is not None}

    def rate(self, name: str) -> float:
        """The frame rate of a source that doesn't say it.

        Raises:
            PoseError: If nobody has said it.
        """
        if self.fps is None:
            raise PoseError(
                f"{name}: a {self.name} source doesn't say its frame rate. Set data.pose_files.fps."
            )
        return self.fps


DOT_POSE = PoseFormat()
LARGEST_SHARE = 5.0  # of a picture's size; what lies beside a picture is a bit beyond 1


@dataclass(frozen=True, eq=False)
class PoseSource:
    """Poses of one clip or video, opened but not decoded.

    Attributes:
        name: What to call it in messages.
        fps: Frames per second.
        frames: How many there are.
        keypoints: K names of the form `COMPONENT.POINT`.
        decode: Reads the frames from one number up to another, which exist.
        absent: Numbers of the frames that the source should hold and doesn't, ascending.
    """

    name: str
    fps: float
    frames: int
    keypoints: tuple[str, ...]
    decode: Callable[[int, int], PoseFile]
    absent: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))

    def __len__(self) -> int:
        return self.frames

    def frame_range(
        self, start: float = 0.0, end: float | None = None, *, unit: TimeUnit = "seconds"
    ) -> tuple[int, int]:
        """The first frame of a clip, and the one after its last; what ends beyond the source ends with it.

        Args:
            start: Where the clip starts.
            end: Where it ends; None means the end of the source.
            unit: What these are: `seconds` or `frames`.

        Raises:
            PoseError: If the clip ends before it starts, or lies outside the source.
        """
        if not self.frames:
            raise PoseError(f"{self.name}: the file has no frames. Extract the pose again.")
        if end is not None and end < start:
            raise PoseError(
                f"{self.name}: the clip starts at {start:g} and ends at {end:g} {unit}; the end must come later."
            )
        rate = self.fps if unit == "seconds" else 1.0
        # Rounding first: 0.28 s x 25 fps is 7.000000000000001 in floats, and no eighth frame is meant.
        first = int(np.floor(round(start * rate, 6)))
        last = self.frames if end is None else int(np.ceil(round(end * rate, 6)))
        last = min(last, self.frames)
        if not 0 <= first < last:
            raise PoseError(
                f"{self.name}: frames {first} to {last} are empty or outside the file's {self.frames} frames."
            )
        return first, last

    def ends_before(self, end: float | None, *, unit: TimeUnit = "seconds") -> bool:
        """Whether a clip's end lies more than a second beyond the source's."""
        if end is None:
            return False
        return (end if unit == "seconds" else end / self.fps) > len(self) / self.fps + 1

    def read(self, first: int = 0, last: int | None = None) -> PoseFile:
        """Decode the frames from `first` up to `last`; None means all that follow.

        Raises:
            PoseError: If the range is empty or outside the source, or it can't be read.
        """
        first, last = self.frame_range(first, last, unit="frames")
        return self.decode(first, last)

    def count_absent(self, first: int, last: int) -> int:
        """How many frames of a range the source should hold and doesn't."""
        low, high = np.searchsorted(self.absent, (first, last))
        return int(high - low)


def make_file(
    points: NDArray[Any],
    confidence: NDArray[Any],
    *,
    fps: float,
    skeleton: Skeleton,
    size: tuple[int, int] | None,
    name: str,
) -> PoseFile:
    """Decoded frames in the form of a .pose file.

    Args:
        points: Coordinates of everybody, (T, P, K, C); not changed.
        confidence: (T, P, K).
        fps: Frames per second.
        skeleton: The K points.
        size: Width and height by which x and y were divided (z, by the width); None: by nothing.
        name: What to call them in messages.

    Raises:
        PoseError: If they were not divided.
    """
    data = points.astype(np.float32)
    if size is not None:
        shown = np.abs(data[..., :2][np.asarray(confidence) > 0])
        if shown.size and np.median(shown) > LARGEST_SHARE:
            raise PoseError(
                f"{name}: coordinates such as {np.median(shown):g} are pixels, not shares of the picture's size. "
                "Drop data.pose_files.size."
            )
        width, height = size
        data *= np.array((width, height, width)[: data.shape[3]], np.float32)
    return PoseFile(
        data,
        confidence.astype(np.float32),
        fps,
        skeleton.names,
        size or (0, 0),
        name,
        skeleton.estimator,
    )


def surest_first(values: NDArray[Any], confidence: NDArray[Any]) -> NDArray[Any]:
    """Sort the people of one frame so that the most confident one stands first.

    Args:
        values: Anything of the shape (P, ...).
        confidence: (P, K).
    """
    sane = np.clip(np.nan_to_num(confidence, nan=0, posinf=0), 0, 1)
    return values[np.argsort(-sane.sum(axis=1), kind="stable")]


def stack_people(frames: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Join frames with different numbers of people, (P, K, N) each, to (T, P, K, N) with the largest P.

    P is at least 1; who isn't there is all zeros, and so missing.
    """
    people = max([1, *map(len, frames)])
    stacked = np.zeros((len(frames), people, *frames[0].shape[1:]), np.float32)
    for row, frame in zip(stacked, frames, strict=True):
        row[: len(frame)] = frame
    return stacked

"""Pose sequences in memory and on disk.

With `layout`, which parses headers, the only module that knows the .pose format. The frames are not
decoded, and of long files mapped, so that a range of frames or a few keypoints cost only what they hold.

Format: https://github.com/sign-language-processing/pose/tree/master/docs/specs
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

from signseq.errors import PoseError
from signseq.poses.keypoints import index_of, skeleton_edges
from signseq.poses.layout import BODY_V2, find_layout, open_bytes
from signseq.poses.skeletons import guess_estimator

__all__ = ["PoseFile", "PoseSequence", "columns_of", "header_bytes", "read_pose", "write_pose"]


@lru_cache(maxsize=32)
def columns_of(names: tuple[str, ...], keypoints: tuple[str, ...]) -> NDArray[np.intp]:
    """Where each name stands among keypoints; -1 where it doesn't."""
    index = index_of(keypoints)
    return np.array([index.get(name, -1) for name in names], dtype=np.intp)


@dataclass(frozen=True, eq=False)
class PoseSequence:
    """The keypoints of one person over time.

    Attributes:
        data: Coordinates, float32 of shape (T, K, C); pixels as read, shoulder widths once normalised.
        confidence: float32 of shape (T, K); 0 means missing, and its coordinates mean nothing.
        fps: Frames per second.
        keypoints: K names of the form `COMPONENT.POINT`.
        estimator: The family of pose estimators that it comes from, where known.
    """

    data: NDArray[np.float32]
    confidence: NDArray[np.float32]
    fps: float
    keypoints: tuple[str, ...]
    estimator: str | None = None

    def __post_init__(self) -> None:
        frames, points = self.data.shape[:2] if self.data.ndim == 3 else (-1, -1)
        if self.confidence.shape != (frames, points) or len(self.keypoints) != points:
            raise PoseError(
                f"A pose needs data (T, K, C), confidence (T, K) and K keypoint names; got {self.data.shape}, "
                f"{self.confidence.shape} and {len(self.keypoints)} names."
            )

    def __len__(self) -> int:
        return len(self.data)

    @property
    def seconds(self) -> float:
        """How long the sequence lasts."""
        return len(self.data) / self.fps


@dataclass(frozen=True, eq=False)
class PoseFile:
    """An opened .pose file: its header is parsed, its frames are still where they were.

    Attributes:
        data: Coordinates of everybody, float32 of shape (T, P, K, C), not copied from the file.
        confidence: float32 of shape (T, P, K), likewise.
        fps: Frames per second.
        keypoints: K names of the form `COMPONENT.POINT`, as `skeletons` spells them.
        size: Width and height that the header states; may be a placeholder.
        name: What to call this file in messages.
        estimator: The family of pose estimators that its names point to.
    """

    data: NDArray[np.float32]
    confidence: NDArray[np.float32]
    fps: float
    keypoints: tuple[str, ...]
    size: tuple[int, int]
    name: str
    estimator: str | None = None

    @classmethod
    def open(cls, source: str | Path | bytes, *, name: str = "") -> PoseFile:
        """Open a .pose file, version 0.1 or 0.2.

        Args:
            source: A path, or the bytes of such a file.
            name: What to call it in messages; the path where none is given.

        Raises:
            PoseError: If it can't be read, is no .pose file, or is shorter than its header says.
        """
        name = name or ("<bytes>" if isinstance(source, bytes) else str(source))
        buffer = source if isinstance(source, bytes) else open_bytes(source)
        layout = find_layout(buffer, name)
        shape = (layout.frames, layout.people, len(layout.keypoints))
        count, dimensions = math.prod(shape), layout.dimensions
        numbers = np.frombuffer(buffer, "<f4", count * (dimensions + 1), layout.start)
        return cls(
            numbers[: count * dimensions].reshape(*shape, dimensions),
            numbers[count * dimensions :].reshape(shape),
            layout.fps,
            layout.keypoints,
            layout.size,
            name,
            layout.estimator,
        )

    @property
    def people(self) -> int:
        """How many people the file holds."""
        return int(self.data.shape[1])

    def __len__(self) -> int:
        return len(self.data)

    def read(
        self,
        *,
        start_frame: int = 0,
        end_frame: int | None = None,
        person: int | None = None,
        keypoints: Sequence[str] | None = None,
    ) -> PoseSequence:
        """Copy one person's frames out of the file.

        Args:
            start_frame: The first frame.
            end_frame: The frame after the last one; None or beyond the end means all that follow.
            person: Whom to take; None takes the one with the most confidence in these frames.
            keypoints: Names to take, in this order; None takes all.

        Raises:
            PoseError: If the range is empty, or the person or a keypoint isn't in the file.
        """
        if not len(self):
            raise PoseError(f"{self.name}: the file has no frames. Extract the pose again.")
        end_frame = len(self) if end_frame is None else min(end_frame, len(self))
        if not 0 <= start_frame < end_frame:
            raise PoseError(
                f"{self.name}: frames {start_frame} to {end_frame} are empty or outside the file's {len(self)} frames."
            )
        if not self.people:
            raise PoseError(
                f"{self.name}: holds no person. Extract the pose again, with the signer in view."
            )
        frames = slice(start_frame, end_frame)
        if person is None and self.people > 1:
            sane = np.clip(np.nan_to_num(self.confidence[frames], nan=0, posinf=0), 0, 1)
            person = int(sane.sum(axis=(0, 2)).argmax())
        person = person or 0
        if not 0 <= person < self.people:
            raise PoseError(
                f"{self.name}: no person {person}; the file holds {self.people}, counted from 0."
            )
        names = self.keypoints if keypoints is None else tuple(keypoints)
        columns = columns_of(names, self.keypoints)
        if -1 in columns:
            missing = [name for name, column in zip(names, columns, strict=True) if column < 0]
            raise PoseError(
                f"{self.name}: no keypoint {missing[0]!r} (nor {len(missing) - 1} others); components: "
                f"{', '.join(dict.fromkeys(name.split('.')[0] for name in self.keypoints))}."
            )
        columns = columns + person * len(self.keypoints)
        # Channel by channel: what follows then runs along many points, not along a few numbers at a time.
        numbers = columns * self.data.shape[3] + np.arange(self.data.shape[3])[:, None]
        data = _take(self.data[frames], numbers).transpose(0, 2, 1)
        confidence = _take(self.confidence[frames], columns)
        estimator = self.estimator or guess_estimator(self.keypoints)
        return PoseSequence(data, confidence, self.fps, names, estimator)


def _take(frames: NDArray[np.float32], columns: NDArray[np.intp]) -> NDArray[np.float32]:
    """Copy some numbers of each frame (T, ...) out; as bytes, since those of a file needn't be aligned."""
    rows = np.asarray(frames, dtype="<f4").reshape(len(frames), -1)
    return rows.view("V4").take(columns, axis=1).view("<f4")


def read_pose(
    source: str | Path | bytes,
    *,
    start_frame: int = 0,
    end_frame: int | None = None,
    person: int | None = None,
) -> PoseSequence:
    """Read a .pose file (version 0.1 or 0.2) from a path or from bytes.

    Args:
        source: A path, or the bytes of a file.
        start_frame: The first frame.
        end_frame: The frame after the last one; None means all that follow.
        person: Whom to take; None takes the most visible one.

    Raises:
        PoseError: If it can't be read, is damaged, or the range or the person isn't in it.
    """
    return PoseFile.open(source).read(start_frame=start_frame, end_frame=end_frame, person=person)


def write_pose(path: str | Path, pose: PoseSequence, *, size: tuple[int, int] = (1, 1)) -> None:
    """Write a pose as a .pose file of version 0.2; a killed write leaves no half file.

    Args:
        path: Where to write.
        pose: Data of shape (T, K, 2 or 3); keypoints of one component must stand together.
        size: Width and height of the picture, in the units of the data.

    Raises:
        PoseError: If the file can't be written.
    """
    path = Path(path)
    try:
        header = header_bytes(pose.keypoints, pose.data.shape[2], size)
    except (ValueError, struct.error) as fault:
        raise PoseError(f"{path}: can't be written as a .pose file ({fault}).") from fault
    body = BODY_V2.pack(pose.fps, len(pose), 1)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.write(header + body)
            file.write(np.ascontiguousarray(pose.data, "<f4").tobytes())
            file.write(np.ascontiguousarray(pose.confidence, "<f4").tobytes())
        partial.replace(path)
    except OSError as fault:
        raise PoseError(f"{path}: can't be written ({fault.strerror}).") from fault
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@lru_cache(maxsize=32)
def header_bytes(keypoints: tuple[str, ...], dimensions: int, size: tuple[int, int]) -> bytes:
    """The header of a .pose file of version 0.2, up to the frame rate.

    Args:
        keypoints: Names; those of one component must stand together.
        dimensions: 2 or 3.
        size: Width and height of the picture.

    Raises:
        ValueError, struct.error: If a header can't say that.
    """
    edges = skeleton_edges(keypoints)
    components = []
    first = 0
    for component, names in groupby(keypoints, key=lambda name: name.split(".")[0]):
        points = [name.split(".", 1)[1] for name in names]
        inside = range(first, first + len(points))
        limbs = [(a - first, b - first) for a, b in edges if a in inside and b in inside]
        colors = [(0, 0, 0)] * len(limbs)
        components.append(
            PoseHeaderComponent(component, points, limbs, colors, "XYZ"[:dimensions] + "C")
        )
        first += len(points)
    buffer = BytesIO()
    PoseHeader(0.2, PoseHeaderDimensions(*size), components).write(buffer)
    return buffer.getvalue()

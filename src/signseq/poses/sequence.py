"""Pose sequences in memory and on disk: the only module that knows the .pose format.

The header is parsed by pose-format; the frames are mapped, not decoded, so that a range of frames
or a few keypoints of a long file cost only what they hold.

Format: https://github.com/sign-language-processing/pose/tree/master/docs/specs
"""

from __future__ import annotations

import mmap
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
from pose_format.utils.reader import BufferReader

from signseq.errors import PoseError
from signseq.poses.keypoints import index_of, skeleton_edges
from signseq.poses.skeletons import guess_estimator, recognize

__all__ = ["PoseFile", "PoseSequence", "read_pose", "write_pose"]

BODY_V1, BODY_V2 = struct.Struct("<HHH"), struct.Struct("<fIH")  # fps, frames, people
BODY_FORMATS = {0.1: BODY_V1, 0.2: BODY_V2}
FPS_RANGE = (0.1, 10_000)  # what a camera may have; other numbers come from damaged headers
# What pose-format raises on bytes that are no header; a short buffer is numpy's TypeError.
HEADER_FAULTS = (struct.error, ValueError, TypeError, IndexError, OverflowError, MemoryError)


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
        data: Coordinates of everybody, float32 of shape (T, P, K, C), mapped from the file.
        confidence: float32 of shape (T, P, K), mapped from the file.
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
        buffer = source if isinstance(source, bytes) else _map_file(Path(source))
        body = _body_format(buffer, name)
        try:
            reader = BufferReader(buffer)
            header = PoseHeader.read(reader)
            fps, frames, people = body.unpack_from(buffer, reader.read_offset)
            points = sum(len(component.points) for component in header.components)
            dimensions = header.num_dims()
        except HEADER_FAULTS as fault:
            raise PoseError(f"{name}: its header is damaged or cut off. Fetch it anew.") from fault
        if not points or dimensions < 1:
            raise PoseError(f"{name}: its header names no keypoints, or no coordinates.")
        start = reader.read_offset + body.size
        frame_bytes = 4 * people * points * (dimensions + 1)
        whole_frames, rest = divmod(len(buffer) - start, frame_bytes) if people else (frames, 0)
        if body is BODY_V1 and whole_frames % 2**16 == frames:
            frames = whole_frames  # version 0.1 counts in 16 bits; long files wrap around
        if whole_frames < frames or (body is BODY_V1 and (rest or whole_frames != frames)):
            raise PoseError(
                f"{name}: truncated or damaged; the header says {frames} frames of {frame_bytes} bytes, "
                f"{len(buffer) - start} bytes follow it. Fetch or extract it again."
            )
        if not FPS_RANGE[0] <= fps <= FPS_RANGE[1]:  # nor NaN
            raise PoseError(
                f"{name}: the header says {fps:g} frames per second; "
                f"expected {FPS_RANGE[0]:g} to {FPS_RANGE[1]:g}. Extract the pose again."
            )
        shape, count = (frames, people, points), frames * people * points
        numbers = np.frombuffer(buffer, "<f4", count * (dimensions + 1), start)
        data = numbers[: count * dimensions].reshape(*shape, dimensions)
        confidence = numbers[count * dimensions :].reshape(shape)
        spelled = tuple(f"{part.name}.{p}" for part in header.components for p in part.points)
        keypoints, estimator = recognize(spelled)
        size = (header.dimensions.width, header.dimensions.height)
        return cls(data, confidence, float(fps), keypoints, size, name, estimator)

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
        data, confidence = self.data[frames, person], self.confidence[frames, person]
        estimator = self.estimator or guess_estimator(self.keypoints)
        if keypoints is None:
            return PoseSequence(data.copy(), confidence.copy(), self.fps, self.keypoints, estimator)
        index = index_of(self.keypoints)
        missing = [name for name in keypoints if name not in index]
        if missing:
            raise PoseError(
                f"{self.name}: no keypoint {missing[0]!r} (nor {len(missing) - 1} others); components: "
                f"{', '.join(dict.fromkeys(name.split('.')[0] for name in self.keypoints))}."
            )
        columns = np.array([index[name] for name in keypoints], dtype=np.intp)
        data, confidence = data.take(columns, axis=1), confidence.take(columns, axis=1)
        return PoseSequence(data, confidence, self.fps, tuple(keypoints), estimator)


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
        header = _header_bytes(pose.keypoints, pose.data.shape[2], size)
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


def _map_file(path: Path) -> mmap.mmap | bytes:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                return b""
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError as fault:
        raise PoseError(f"{path}: no such file.") from fault
    except OSError as fault:
        raise PoseError(f"{path}: can't be read ({fault.strerror}).") from fault


def _body_format(buffer: mmap.mmap | bytes, name: str) -> struct.Struct:
    """How the numbers after the header are written; the file's first bytes are its version."""
    if not len(buffer):
        raise PoseError(f"{name}: the file is empty.")
    start = buffer[:4]
    version = round(struct.unpack("<f", start)[0], 3) if len(start) == 4 else 0.0
    if version not in BODY_FORMATS:
        said = f"say {version:g}" if 0 < version < 10 else f"are {start!r}, not a .pose header"
        raise PoseError(f"{name}: not a .pose file of version 0.1 or 0.2 (its first bytes {said}).")
    return BODY_FORMATS[version]


@lru_cache(maxsize=32)
def _header_bytes(keypoints: tuple[str, ...], dimensions: int, size: tuple[int, int]) -> bytes:
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

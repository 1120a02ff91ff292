"""Where the numbers of a .pose file stand: its header, parsed by pose-format.

Format: https://github.com/sign-language-processing/pose/tree/master/docs/specs
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pose_format.pose_header import PoseHeader
from pose_format.utils.reader import BufferReader

from signseq.errors import PoseError
from signseq.poses.reading import unreadable
from signseq.poses.skeletons import recognize

__all__ = ["BODY_V2", "Layout", "find_layout", "open_bytes"]

BODY_V1, BODY_V2 = struct.Struct("<HHH"), struct.Struct("<fIH")  # fps, frames, people
BODY_FORMATS = {0.1: BODY_V1, 0.2: BODY_V2}
FPS_RANGE = (0.1, 10_000)  # what a camera may have; other numbers come from damaged headers
LONG_FILE = 4 << 20  # bytes; what is shorter is read in one go, faster than page by page
# What a header may hold, far beyond real ones: others say so many points that they would fill the memory.
MOST_HEADER_BYTES, MOST_HEADER_ITEMS = 4 << 20, 50_000
# What pose-format raises on bytes that are no header; a short buffer is numpy's TypeError.
HEADER_FAULTS = (struct.error, ValueError, TypeError, IndexError, OverflowError, MemoryError)


@dataclass(frozen=True)
class Layout:
    """What the header of a .pose file says.

    Attributes:
        keypoints: K names of the form `COMPONENT.POINT`, as `skeletons` spells them.
        estimator: The family of pose estimators that its names point to.
        fps: Frames per second.
        frames: How many frames follow.
        people: How many people each frame holds.
        dimensions: Coordinates per point; the confidence stands behind all of them.
        start: The first byte after the header.
        size: Width and height that the header states; may be a placeholder.
    """

    keypoints: tuple[str, ...]
    estimator: str | None
    fps: float
    frames: int
    people: int
    dimensions: int
    start: int
    size: tuple[int, int]


class _HeaderReader(BufferReader):  # type: ignore[misc]  # it has no types
    """Reads a header, but no longer than any real one is."""

    def __init__(self, buffer: mmap.mmap | bytes) -> None:
        super().__init__(buffer)
        self._items = 0

    def advance(self, s: struct.Struct, times: int = 1) -> None:
        super().advance(s, times)
        self._items += 1
        if self._items > MOST_HEADER_ITEMS or self.read_offset > MOST_HEADER_BYTES:
            raise ValueError("longer than a header is")

    def unpack_str(self) -> str:
        # pose-format's own keeps something of every length that it has ever seen.
        (length,) = struct.unpack_from("<H", self.buffer, self.read_offset)
        first = self.read_offset + 2
        found = bytes(self.buffer[first : first + length])
        if len(found) < length:
            raise ValueError("cut off")
        self.advance(_BYTE, 2 + length)
        return found.decode("utf-8")


_BYTE = struct.Struct("<B")


def open_bytes(path: str | Path) -> mmap.mmap | bytes:
    """The bytes of a file; a long one is mapped, so that a part of it costs only what it holds.

    Raises:
        PoseError: If it can't be read.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size <= LONG_FILE:
                return file.read(size)
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as fault:
        raise unreadable(str(path), fault) from fault


def find_layout(buffer: mmap.mmap | bytes, name: str) -> Layout:
    """Parse the header of a .pose file, version 0.1 or 0.2.

    Args:
        buffer: The whole file.
        name: What to call it in messages.

    Raises:
        PoseError: If it is no .pose file, is damaged, or is shorter than its header says.
    """
    body = _body_format(buffer, name)
    try:
        reader = _HeaderReader(buffer)
        header = PoseHeader.read(reader)
        fps, frames, people = body.unpack_from(buffer, reader.read_offset)
        keypoints, estimator, dimensions = _points_of(header)
    except HEADER_FAULTS as fault:
        raise PoseError(f"{name}: its header is damaged or cut off. Fetch it anew.") from fault
    if not keypoints or dimensions < 1:
        raise PoseError(f"{name}: its header names no keypoints, or no coordinates.")
    start = reader.read_offset + body.size
    frame_bytes = 4 * people * len(keypoints) * (dimensions + 1)
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
    size = (header.dimensions.width, header.dimensions.height)
    return Layout(keypoints, estimator, float(fps), frames, people, dimensions, start, size)


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


@lru_cache(maxsize=8)
def _points_of(header: PoseHeader) -> tuple[tuple[str, ...], str | None, int]:
    """Its keypoints, their estimator and coordinates; pose-format gives equal headers as one object."""
    spelled = tuple(f"{part.name}.{p}" for part in header.components for p in part.points)
    return *recognize(spelled), header.num_dims()

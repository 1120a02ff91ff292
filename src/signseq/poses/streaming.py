"""Long .pose files, read and written piece by piece: memory doesn't grow with their length."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from signseq.errors import PoseError
from signseq.poses.layout import BODY_V2, Layout, find_layout, open_bytes
from signseq.poses.reading import unreadable
from signseq.poses.sequence import PoseFile, PoseSequence, header_bytes

__all__ = ["PoseStream", "PoseWriter"]

LOOKS = 500  # frames that say which of several people is the most visible


@dataclass(frozen=True)
class PoseStream:
    """A .pose file whose frames are read in order. Unlike a map of it, it never holds more than a piece.

    Attributes:
        path: The file.
        layout: What its header says.
    """

    path: Path
    layout: Layout

    @classmethod
    def open(cls, path: str | Path) -> PoseStream:
        """Parse the header of a .pose file, version 0.1 or 0.2.

        Raises:
            PoseError: If it can't be read, is no .pose file, is shorter than its header says, or shows nobody.
        """
        layout = find_layout(open_bytes(path), str(path))
        if not layout.frames or not layout.people:
            lack = "frames" if not layout.frames else "person"
            raise PoseError(f"{path}: the file has no {lack}. Extract the pose again.")
        return cls(Path(path), layout)

    def __len__(self) -> int:
        return self.layout.frames

    def pieces(
        self, *, frames: int = 250, keypoints: Sequence[str] | None = None
    ) -> Iterator[PoseSequence]:
        """The most visible person's frames, in pieces.

        Args:
            frames: In a piece.
            keypoints: Names to take, in this order; None takes all.

        Raises:
            PoseError: If the file can't be read, was cut off meanwhile, or lacks a keypoint.
        """
        try:
            with self.path.open("rb") as file:
                person = self._find_person(file)
                for first in range(0, len(self), frames):
                    piece = self._read(file, first, min(frames, len(self) - first))
                    yield piece.read(person=person, keypoints=keypoints)
        except OSError as fault:
            raise unreadable(str(self.path), fault) from fault

    def _find_person(self, file: BinaryIO) -> int:
        """Who has the most confidence, of frames from all over the file."""
        if self.layout.people == 1:
            return 0
        total = np.zeros(self.layout.people)
        for frame in range(0, len(self), -(-len(self) // LOOKS)):
            confidence = self._read(file, frame, 1).confidence[0]
            total += np.clip(np.nan_to_num(confidence, nan=0, posinf=0), 0, 1).sum(axis=1)
        return int(total.argmax())

    def _read(self, file: BinaryIO, first: int, count: int) -> PoseFile:
        layout = self.layout
        shape = (layout.people, len(layout.keypoints))
        points = shape[0] * shape[1]
        numbers = self._numbers(
            file, first * points * layout.dimensions, count * points, layout.dimensions
        )
        behind = layout.frames * points * layout.dimensions
        confidence = self._numbers(file, behind + first * points, count * points, 1)
        return PoseFile(
            numbers.reshape(count, *shape, layout.dimensions),
            confidence.reshape(count, *shape),
            layout.fps,
            layout.keypoints,
            layout.size,
            str(self.path),
            layout.estimator,
        )

    def _numbers(self, file: BinaryIO, first: int, points: int, each: int) -> NDArray[np.float32]:
        file.seek(self.layout.start + 4 * first)
        content = file.read(4 * points * each)
        if len(content) < 4 * points * each:
            raise PoseError(
                f"{self.path}: was changed while it was read. Run the same command again."
            )
        return np.frombuffer(content, "<f4")


class PoseWriter:
    """Writes a .pose file of version 0.2 of frames that come piece by piece; use it as a context.

    A file of this name is there only when all is written: what fails or is killed leaves none.

    Args:
        path: Where to write.
        size: Width and height of the picture, in the units of the data.

    Raises:
        PoseError: If the file can't be written.
    """

    def __init__(self, path: str | Path, *, size: tuple[int, int]) -> None:
        self.path, self._size = Path(path), size
        self._frames, self._head, self._fps = 0, b"", 0.0
        name = f".{self.path.name}.{os.getpid()}"
        self._partial = self.path.with_name(name)
        self._confidence = self.path.with_name(f"{name}.confidence")  # it stands behind all places
        try:
            self._files = (self._partial.open("wb"), self._confidence.open("w+b"))
        except OSError as fault:
            raise self._failed(fault) from fault

    def __enter__(self) -> PoseWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._frames:
                self._finish()
        except OSError as failure:
            raise self._failed(failure) from failure
        finally:
            for file, path in zip(self._files, (self._partial, self._confidence), strict=True):
                file.close()
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    def write(self, piece: PoseSequence) -> None:
        """Add frames; all pieces must have the points and the rate of the first one.

        Raises:
            PoseError: If the file can't be written.
        """
        places, confidence = self._files
        try:
            if not self._head:
                self._fps = piece.fps
                self._head = header_bytes(piece.keypoints, piece.data.shape[2], self._size)
                places.write(self._head + BODY_V2.pack(piece.fps, 0, 1))
            places.write(np.ascontiguousarray(piece.data, "<f4").tobytes())
            confidence.write(np.ascontiguousarray(piece.confidence, "<f4").tobytes())
        except OSError as fault:
            raise self._failed(fault) from fault
        except (ValueError, struct.error) as fault:
            raise PoseError(f"{self.path}: can't be written as a .pose file ({fault}).") from fault
        self._frames += len(piece)

    def _finish(self) -> None:
        places, confidence = self._files
        confidence.seek(0)
        shutil.copyfileobj(confidence, places)
        places.seek(len(self._head))
        places.write(BODY_V2.pack(self._fps, self._frames, 1))
        places.close()
        self._partial.replace(self.path)

    def _failed(self, fault: OSError) -> PoseError:
        return PoseError(f"{self.path}: can't be written ({fault.strerror}).")

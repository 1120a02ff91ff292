"""Opening a long recording, a .pose file or a video: its frames come in pieces, in order."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from signseq.errors import DataError, PoseError
from signseq.poses.estimation.estimator import ESTIMATORS
from signseq.poses.estimation.following import Following, follow
from signseq.poses.estimation.video import SUFFIXES
from signseq.poses.sequence import PoseSequence
from signseq.poses.streaming import PoseStream, PoseWriter
from signseq.progress import Progress

__all__ = ["Meter", "OpenRecording", "open_recording"]

logger = logging.getLogger(__name__)


@dataclass
class OpenRecording:
    """A recording whose frames are read once.

    Attributes:
        fps: Frames per second.
        expected_frames: How many there should be, where that is known.
        keypoints: Names of the points.
        pieces: The frames.
        fault: Why the frames ended early, once they have; empty where they didn't.
    """

    fps: float
    expected_frames: int | None
    keypoints: tuple[str, ...]
    pieces: Iterator[PoseSequence]
    fault: str = ""


class Meter:
    """Counts the frames of a recording as they are read, and shows how far that is.

    Args:
        opened: The recording.
        label: What is being done.
    """

    def __init__(self, opened: OpenRecording, *, label: str = "Subtitling") -> None:
        self._opened, self._label = opened, label
        self.frames = 0

    def count(self) -> Iterator[PoseSequence]:
        """The recording's pieces."""
        total = self._opened.expected_frames or 0
        progress = Progress(total=total, label=self._label, unit="frame")
        try:
            for piece in self._opened.pieces:
                self.frames += len(piece)
                yield piece
                progress.advance(len(piece))
        finally:
            progress.close()


def open_recording(
    path: Path, *, poses: Path | None, estimator: str, wanted: Sequence[str]
) -> OpenRecording:
    """Open a recording.

    Args:
        path: A .pose file or a video.
        poses: Of a video: where its poses are kept. What is there is read instead of the video.
        estimator: What finds poses in videos, a key of `ESTIMATORS`.
        wanted: The points that are needed, where the recording has them.

    Raises:
        PoseError: If it can't be read, shows nobody, or its first frames are damaged.
        DataError: If it is neither, or the poses kept are older than the video.
        MissingExtraError: If a package for videos isn't installed.
    """
    if estimator not in ESTIMATORS:
        raise DataError(f"No estimator {estimator!r}; there are: {', '.join(ESTIMATORS)}.")
    suffix = path.suffix.lower()
    if suffix == ".pose":
        if poses is not None:
            raise DataError(f"{path}: is a .pose file already. Leave --poses out.")
        return _of_poses(path, wanted)
    if suffix not in SUFFIXES:
        raise DataError(
            f"{path}: neither a .pose file nor a video; expected .pose, {', '.join(SUFFIXES)}."
        )
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    if poses is not None and poses.exists():
        if poses.stat().st_mtime < path.stat().st_mtime:
            raise DataError(
                f"{poses}: is older than {path}, so it may be of another video. Remove it, or leave --poses out."
            )
        logger.info("The poses are read from %s.", poses)
        return _of_poses(poses, wanted)
    if poses is not None and poses.suffix.lower() != ".pose":
        raise DataError(f"{poses}: poses are kept in a file named NAME.pose.")
    return _of_video(path, poses, estimator)


def _of_poses(path: Path, wanted: Sequence[str]) -> OpenRecording:
    stream = PoseStream.open(path)
    there = set(stream.layout.keypoints)
    names = tuple(name for name in wanted if name in there) or stream.layout.keypoints
    return OpenRecording(stream.layout.fps, len(stream), names, stream.pieces(keypoints=names))


def _of_video(path: Path, poses: Path | None, estimator: str) -> OpenRecording:
    built = ESTIMATORS[estimator]()
    followed = follow(path, built)
    if followed.people > 1:
        logger.warning(
            "%s: shows %d people; the one who is largest in the first seconds is followed.",
            path,
            followed.people,
        )
    opened = OpenRecording(followed.fps, followed.expected_frames, built.keypoints, iter(()))
    opened.pieces = _until_fault(_kept(followed, poses), opened)
    return opened


def _until_fault(pieces: Iterator[PoseSequence], opened: OpenRecording) -> Iterator[PoseSequence]:
    """A video that breaks off is subtitled as far as it goes, hours of work not lost; the fault is told."""
    has_begun = False
    try:
        for piece in pieces:
            has_begun = True
            yield piece
    except PoseError as fault:
        if not has_begun:
            raise
        opened.fault = str(fault)


def _kept(followed: Following, poses: Path | None) -> Iterator[PoseSequence]:
    if poses is None:
        yield from followed.pieces
        return
    with PoseWriter(poses, size=followed.size) as writer:
        for piece in followed.pieces:
            writer.write(piece)
            yield piece

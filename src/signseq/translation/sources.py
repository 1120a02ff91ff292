"""What a clip to translate may be: poses in memory, bytes, a file of any format, a part of one, a video."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from signseq.errors import PoseError
from signseq.poses.estimation.clips import Extraction, extract
from signseq.poses.estimation.estimator import ESTIMATORS, Estimator
from signseq.poses.estimation.video import SUFFIXES as VIDEO_SUFFIXES
from signseq.poses.estimation.video import check_installed, starts_like_video
from signseq.poses.sequence import PoseFile, PoseSequence
from signseq.poses.sources.dot_pose import open_dot_pose
from signseq.poses.sources.opening import open_poses
from signseq.poses.sources.source import PoseFormat, PoseSource, TimeUnit
from signseq.poses.transforms import PoseRecipe

__all__ = [
    "ClipSource",
    "Source",
    "check_several",
    "check_source",
    "check_video_support",
    "describe_source",
    "is_video",
    "read_source",
    "tell_format",
]

ESTIMATOR = "mediapipe_holistic"  # what `signseq pose` takes, too
ZSTD = b"\x28\xb5\x2f\xfd"
TOLD_BY = 512  # bytes at the start of a file
POSE_VERSIONS = (b"\xcd\xcc\xcc\x3d", b"\xcd\xcc\x4c\x3e")  # 0.1 and 0.2 as float32


@dataclass(frozen=True)
class ClipSource:
    """Where the poses of a clip are.

    Attributes:
        name: What it is called in results and messages.
        path: A file, or for OpenPose a folder, or the zip or HDF5 file that it is in.
        start: Where the clip starts in it, in `time_unit`.
        end: Where it ends; None means with the file.
        time_unit: `seconds` or `frames`.
        member: The place in a zip or HDF5 file.
        pose_format: How the poses are stored; None finds out by the look of it.
    """

    name: str
    path: str
    start: float = 0.0
    end: float | None = None
    time_unit: TimeUnit = "seconds"
    member: str | None = None
    pose_format: PoseFormat | None = None


Source = str | Path | bytes | PoseSequence | ClipSource


def check_source(source: object) -> None:
    """See that something is of a kind that a clip can be.

    Raises:
        PoseError: If it isn't; says what several clips are given to.
    """
    if not isinstance(source, Source):
        raise PoseError(
            f"A clip can't be a {type(source).__name__}. Expected a path, the bytes of a .pose file or of a video, a "
            "PoseSequence or a ClipSource. Several clips are for Translator.stream, which takes a list of them."
        )


def check_several(sources: object) -> None:
    """See that something isn't one clip where several are expected; the letters of a path are none.

    Raises:
        PoseError: If it is.
    """
    if isinstance(sources, Source):
        raise PoseError(
            f"One clip ({type(sources).__name__}), where several are expected. Put it in a list, or give it to "
            "Translator.translate."
        )


def describe_source(source: Source) -> str:
    """What to call it in messages."""
    if isinstance(source, ClipSource):
        return source.name
    return "the pose" if isinstance(source, bytes | PoseSequence) else str(source)


def is_video(path: str) -> bool:
    """Whether its name is that of a video."""
    return path.lower().endswith(VIDEO_SUFFIXES)


def tell_format(path: str) -> Literal["pose", "pose.zst", "openpose", "video"]:
    """How poses are stored, by the look of it: the name, or the first bytes.

    Raises:
        PoseError: If it can't be told, or there is nothing.
    """
    if os.path.isdir(path):
        with os.scandir(path) as entries:
            if any(entry.name.endswith("_keypoints.json") for entry in entries):
                return "openpose"
        raise PoseError(f"{path}: a folder, but not one of OpenPose's *_keypoints.json.")
    lower = path.lower()
    if lower.endswith(".pose.zst"):
        return "pose.zst"
    if lower.endswith(".pose"):
        return "pose"
    if is_video(path):
        return "video"
    try:
        with open(path, "rb") as file:
            start = file.read(TOLD_BY)
    except OSError as fault:
        raise PoseError(f"{path}: can't be read ({fault.strerror}).") from fault
    if start.startswith(ZSTD):
        return "pose.zst"
    if start.startswith(POSE_VERSIONS):
        return "pose"
    if starts_like_video(start):
        return "video"
    raise PoseError(
        f"{path}: neither poses nor a video, by its name and its first bytes. Poses of other formats need "
        "--pose-format (in Python, ClipSource.pose_format); videos end in "
        + ", ".join(VIDEO_SUFFIXES)
        + ", or begin as such files do."
    )


def check_video_support() -> None:
    """Find out whether poses can be found in videos.

    Raises:
        MissingExtraError: If a package for that isn't installed.
    """
    check_installed()
    _estimator()


def read_source(source: Source, recipe: PoseRecipe) -> tuple[PoseSequence, tuple[str, ...]]:
    """Read the poses of a clip, as the estimator gave them.

    Args:
        source: See `ClipSource`; a path is a whole file, bytes are those of a .pose file or of a video.
        recipe: Says which points are needed.

    Returns:
        The poses, and what is odd about them, in sentences.

    Raises:
        PoseError: If they can't be read.
        DataError: If they are in a damaged zip.
        MissingExtraError: If a package for the format, or for videos, isn't installed.
    """
    if isinstance(source, PoseSequence):
        return source, ()
    if isinstance(source, bytes):
        if starts_like_video(source[:TOLD_BY]):
            return _read_video_bytes(source, recipe)
        opened = open_dot_pose(source, name="the pose", is_packed=source[:4] == ZSTD)
        return recipe.read(opened.read()), ()
    clip = source if isinstance(source, ClipSource) else ClipSource(str(source), str(source))
    kind = None
    if clip.pose_format is None and clip.member is None:
        kind = tell_format(clip.path)
    odd = []
    if kind == "video":
        found = _extract_video(clip.path, _stamp(clip.path))
        opened = _as_source(found.poses[0], name=clip.path)
        if found.people > 1:
            odd.append(f"shows {found.people} people; the largest one was translated.")
    else:
        pose_format = clip.pose_format or PoseFormat(kind or "pose")
        opened = open_poses(clip.path, member=clip.member, pose_format=pose_format)
    first, last = opened.frame_range(clip.start, clip.end, unit=clip.time_unit)
    if opened.ends_before(clip.end, unit=clip.time_unit):
        odd.append(f"ends after {len(opened) / opened.fps:.1f} s, before the clip does.")
    if absent := opened.count_absent(first, last):
        odd.append(f"{absent} of its {last - first} frames are missing.")
    return recipe.read(opened.read(first, last)), tuple(odd)


def _read_video_bytes(content: bytes, recipe: PoseRecipe) -> tuple[PoseSequence, tuple[str, ...]]:
    """A video is decoded twice, so it must be a file."""
    try:
        with tempfile.TemporaryDirectory(prefix="signseq-") as folder:
            path = Path(folder, "video")
            path.write_bytes(content)
            return read_source(ClipSource("the video", str(path)), recipe)
    except OSError as fault:
        raise PoseError(f"The video can't be kept while it is read ({fault.strerror}).") from fault


def _stamp(path: str) -> tuple[int, int]:
    try:
        stat = os.stat(path)
    except OSError as fault:
        raise PoseError(f"{path}: can't be read ({fault.strerror}).") from fault
    return stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=1)  # the rows of a table name one video after another, each many times
def _extract_video(path: str, stamp: tuple[int, int]) -> Extraction:
    check_installed()
    try:
        return extract(Path(path), _estimator())
    except MemoryError as fault:
        raise PoseError(f"{path}: too long for the memory that there is.") from fault


@lru_cache(maxsize=1)
def _estimator() -> Estimator:
    """One for all videos: to load its models takes seconds."""
    return ESTIMATORS[ESTIMATOR]()


def _as_source(pose: PoseSequence, *, name: str) -> PoseSource:
    """Poses in memory, of which a range can be read."""

    def decode(first: int, last: int) -> PoseFile:
        data, confidence = pose.data[first:last, None], pose.confidence[first:last, None]
        return PoseFile(data, confidence, pose.fps, pose.keypoints, (0, 0), name, pose.estimator)

    return PoseSource(name, pose.fps, len(pose), pose.keypoints, decode)

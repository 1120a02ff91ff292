"""Reading videos: the only module that knows PyAV."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from signseq.errors import MissingExtraError, PoseError
from signseq.poses.estimation.estimator import Image

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = [
    "SUFFIXES",
    "Frame",
    "VideoFacts",
    "check_installed",
    "count_packets",
    "read_facts",
    "read_frames",
    "starts_like_video",
]

SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".gif")
# What those may hold. Others are refused: a playlist named .mp4 would make FFmpeg open what it lists.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,asf,gif"
STARTS = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"\x30\x26\xb2\x75",  # ASF, WMV
    b"\x00\x00\x01\xba",  # MPEG
    b"\x00\x00\x01\xb3",
    b"GIF8",
)
# The first box of an MP4 or QuickTime file.
BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
TS_PACKET = 188  # bytes; each begins with a G
WHOLE = 0.9  # share of the frames that a header promises; a video with fewer is cut off or damaged


@dataclass(frozen=True)
class VideoFacts:
    """What a video's header says.

    Attributes:
        fps: Frames per second, where it says them.
        frames: How many frames there should be, where it says so.
        seconds: How long the pictures should last, where it says so.
        size: Width and height of the pictures, with square pixels.
    """

    fps: float | None
    frames: int | None
    seconds: float | None
    size: tuple[int, int] = (0, 0)

    @property
    def expected_frames(self) -> int | None:
        """How many frames there should be, where that can be known."""
        if self.frames is None and self.seconds is not None and self.fps is not None:
            return round(self.seconds * self.fps)
        return self.frames


class Frame:
    """A decoded frame of a video; its picture is made when it is asked for."""

    def __init__(self, frame: VideoFrame, size: tuple[int, int]) -> None:
        self._frame, self._size = frame, size

    @property
    def time(self) -> float:
        """When it is shown, in seconds; NaN where the file doesn't say it."""
        return math.nan if self._frame.time is None else float(self._frame.time)

    def image(self) -> Image:
        """Its picture, upright and with square pixels.

        Raises:
            PoseError: If its pixels are in a form that can't be converted.
        """
        import av

        width, height = self._size
        try:
            image = self._frame.to_ndarray(format="rgb24", width=width, height=height)
        except (av.FFmpegError, ValueError) as fault:
            form = self._frame.format.name
            raise PoseError(f"pixels of the form {form!r} can't be converted ({fault})") from fault
        turns = round(self._frame.rotation / 90) % 4  # counterclockwise; how a phone was held
        return np.ascontiguousarray(np.rot90(image, turns))


def starts_like_video(start: bytes) -> bool:
    """Whether a file's first bytes are those of a video; 512 are enough."""
    packets = [start[place : place + 1] for place in (0, TS_PACKET, 2 * TS_PACKET)]
    return (
        start.startswith(STARTS)
        or start[4:8] in BOXES
        or (start.startswith(b"RIFF") and start[8:12] == b"AVI ")
        or packets == [b"G"] * 3
    )


def check_installed() -> None:
    """Raise MissingExtraError if PyAV isn't installed."""
    if importlib.util.find_spec("av") is None:
        raise MissingExtraError(package="av", extra="video", purpose="Reading videos")


def read_facts(path: Path) -> VideoFacts:
    """What a video's header says; no frame is decoded.

    Raises:
        PoseError: If it can't be read, or is no video.
    """
    with _open(path) as (container, stream):
        return _facts_of(container, stream)


def count_packets(path: Path, *, most: int) -> int:
    """Count a video's coded frames, up to `most`; none is decoded, and the header isn't believed.

    Raises:
        PoseError: If it can't be read, or is no video.
    """
    import av

    count = 0
    with _open(path) as (container, stream), suppress(av.FFmpegError):  # the rest can't be read
        for packet in container.demux(stream):
            count += packet.size > 0
            if count >= most:
                break
    return count


def read_frames(path: Path) -> Generator[Frame, None, None]:
    """Decode a video, frame by frame, in the order in which they are shown.

    Args:
        path: The video; of several streams, the one with the largest picture.

    Raises:
        PoseError: If it can't be read, is no video, or much less is in it than its header promises.
        MissingExtraError: If PyAV isn't installed.
    """
    with _open(path) as (container, stream):
        expected = _facts_of(container, stream).expected_frames
        aspect = _aspect_of(stream)
        count, size = 0, (0, 0)
        for frame in _decode(container, stream, path):
            if count == 0:  # some streams change theirs; all pictures have that of the first
                size = (max(1, round(frame.width * aspect)), frame.height)
            yield Frame(frame, size)
            count += 1
    if expected is not None and count < WHOLE * expected - 1:
        raise PoseError(
            f"{path}: its header promises {expected} frames, {count} can be decoded; it is cut off or damaged. "
            "Fetch it again."
        )


@contextmanager
def _open(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    check_installed()
    import av

    try:
        with path.open("rb") as file:  # FFmpeg's own words for this say less
            if os.fstat(file.fileno()).st_size == 0:
                raise PoseError(f"{path}: the file is empty. Fetch it again.")
    except FileNotFoundError as fault:
        raise PoseError(f"{path}: no such file.") from fault
    except OSError as fault:
        raise PoseError(f"{path}: can't be read ({fault.strerror}).") from fault
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    try:
        container = av.open(f"file:{path}", options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as fault:
        why = fault.strerror if isinstance(fault, av.FFmpegError) else fault
        raise PoseError(
            f"{path}: can't be opened as a video ({why}); it is cut off, damaged, or something else with a "
            "video's name. Fetch it again."
        ) from fault
    with container:
        yield container, _stream_of(container, path)


def _stream_of(container: InputContainer, path: Path) -> VideoStream:
    """The stream with the largest picture, as others are previews; the cover of a song is none."""
    from av.stream import Disposition

    streams = [
        each for each in container.streams.video if not each.disposition & Disposition.attached_pic
    ]
    if not streams:
        kinds = sorted({each.type for each in container.streams if each.type != "video"})
        raise PoseError(f"{path}: no video in it, only {' and '.join(kinds) or 'a cover'}.")
    known = [each for each in streams if each.codec_context is not None]
    if not known:
        raise PoseError(
            f"{path}: its pictures are in a coding that can't be read here. Write it anew as H.264: "
            f"ffmpeg -i {path} OUT.mp4"
        )
    stream = max(known, key=lambda each: each.width * each.height)
    stream.thread_type = "AUTO"
    return stream


def _facts_of(container: InputContainer, stream: VideoStream) -> VideoFacts:
    rate = stream.average_rate or stream.guessed_rate
    seconds = None
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    elif container.duration and len(container.streams) == 1:  # else it may be the sound's
        seconds = container.duration / 1_000_000
    size = (max(1, round(stream.width * _aspect_of(stream))), stream.height)
    return VideoFacts(float(rate) if rate else None, stream.frames or None, seconds, size)


def _aspect_of(stream: VideoStream) -> float:
    """How much wider than high its pixels are."""
    shape = float(stream.sample_aspect_ratio or 1)
    return shape if 0.1 < shape < 10 else 1.0


def _decode(container: InputContainer, stream: VideoStream, path: Path) -> Iterator[VideoFrame]:
    """All frames that can be decoded; what is damaged shows in how many are missing."""
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            packet = None  # the rest can't be read
        if packet is None:
            return
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            continue  # one damaged frame; the next one may be whole
        except av.FFmpegError as fault:
            raise PoseError(f"{path}: can't be decoded ({fault.strerror}).") from fault
        yield from frames

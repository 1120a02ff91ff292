"""Tiny videos, and an estimator that finds coloured squares in them instead of people."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from conftest import KEYPOINTS
from signseq.poses.keypoints import NOSE

SIZE = (96, 64)  # width and height
FACE = 12  # side of a square
PLACES = np.random.default_rng(3).uniform(-20, 20, (len(KEYPOINTS), 2)).astype(np.float32)
PLACES[KEYPOINTS.index(NOSE)] = 0


def draw(
    *people: tuple[float, float] | None, size: tuple[int, int] = SIZE, face: int = FACE
) -> np.ndarray:
    """A picture with a square around each place: the first one red, then green, then blue."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    for channel, place in enumerate(people):
        if place is not None:
            left, top = (round(middle - face / 2) for middle in place)
            image[max(top, 0) : top + face, max(left, 0) : left + face, channel] = 255
    return image


def walk(frames: int = 12, *, start: int = 20) -> list[np.ndarray]:
    """Somebody who moves to the right, two pixels a frame."""
    return [draw((start + 2 * number, 30)) for number in range(frames)]


def write_video(
    path: Path,
    images: Sequence[np.ndarray],
    *,
    fps: Fraction | int = 25,
    times_ms: Sequence[int] | None = None,
    sound: bool = False,
    second: Sequence[np.ndarray] | None = None,
    codec: str = "libx264rgb",
    options: dict[str, str] | None = None,
) -> Path:
    """Encode pictures.

    Args:
        path: Its suffix says the container.
        images: The frames.
        fps: Frames per second.
        times_ms: When each frame is shown instead, in milliseconds.
        sound: Whether there is a second of silence too, which lasts longer than the pictures.
        second: The frames of a second, smaller stream.
        codec: Of the pictures.
        options: Of the container.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options or {}) as container:
        time_base = 1 / Fraction(fps) if times_ms is None else Fraction(1, 1000)
        streams = [
            (_stream(container, frames, fps, codec, time_base), frames)
            for frames in (second, images)
            if frames is not None
        ]
        audio = (
            container.add_stream("aac" if path.suffix != ".avi" else "mp2", rate=48000)
            if sound
            else None
        )
        for stream, frames in streams:
            for number, image in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts = number if times_ms is None else times_ms[number]
                frame.time_base = time_base
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        if audio is not None:
            _write_silence(container, audio)
    return path


def _stream(
    container: av.container.OutputContainer,
    frames: Sequence[np.ndarray],
    fps: Fraction | int,
    codec: str,
    time_base: Fraction,
) -> av.VideoStream:
    stream = container.add_stream(codec, rate=fps)
    stream.height, stream.width = frames[0].shape[:2]
    stream.pix_fmt = {"libx264rgb": "rgb24", "gif": "rgb8", "mjpeg": "yuvj420p"}.get(
        codec, "yuv420p"
    )
    if codec.startswith("libx264"):
        stream.options = {"preset": "ultrafast", "qp": "0"}
    stream.codec_context.time_base = time_base
    return stream


def _write_silence(
    container: av.container.OutputContainer, stream: av.AudioStream, seconds: int = 1
) -> None:
    for number in range(seconds * 48):
        frame = av.AudioFrame(format="fltp", layout="stereo", samples=1000)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts = 48000, number * 1000
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def write_sound(path: Path) -> Path:
    """A file of silence, in the container of a video."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as container:
        _write_silence(container, container.add_stream("aac", rate=48000))
    return path


def turn(path: Path) -> Path:
    """Note in an mp4 that it was taken with the phone upright: to be shown turned by 90 degrees clockwise."""
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40  # version and flags, times, id, ..., volume
    numbers = [0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30]
    content[matrix : matrix + 36] = b"".join(n.to_bytes(4, "big", signed=True) for n in numbers)
    path.write_bytes(content)
    return path


class SquareTracker:
    """Follows the largest square in its part of the picture."""

    def follow(self, image, region=None):
        found = np.zeros((len(KEYPOINTS), 4), np.float32)
        view, corner = image, (0, 0)
        if region is not None:
            view = image[region.top : region.bottom, region.left : region.right]
            corner = (region.left, region.top)
        masks = [view[..., channel] > 128 for channel in range(3)]
        largest = max(masks, key=np.sum)
        if largest.any():
            rows, columns = np.nonzero(largest)
            middle = np.array([columns.mean() + 0.5, rows.mean() + 0.5]) + corner
            found[:, :2] = middle + PLACES
            found[:, 3] = 1
        return found

    def close(self):
        pass


class SquareFinder:
    """An estimator for which a square is a face."""

    keypoints = KEYPOINTS

    def find_faces(self, image):
        boxes = []
        for channel in range(3):
            rows, columns = np.nonzero(image[..., channel] > 128)
            if len(rows):
                boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
        return np.array(boxes, np.float32).reshape(-1, 4)

    def new_tracker(self):
        return SquareTracker()


class KilledByBlue(SquareFinder):
    """Ends its process where it sees a blue square, as a decoder's fault would."""

    def find_faces(self, image):
        if (image[..., 2] > 128).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().find_faces(image)

"""A moving skeleton as a GIF, or as an MP4 by ffmpeg."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from signseq.errors import DataError, MissingExtraError
from signseq.poses.drawing import ABSENT, SIDE, DrawnPose

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["check_ffmpeg", "check_pillow", "write_gif", "write_mp4"]

SIDE_PIXELS = 480
FINER = 2  # drawn so many times larger, and scaled down for smooth lines
GIF_RATE = 12.5  # pictures a second: browsers count a GIF's time in hundredths
BACKGROUND, BODY, HAND = "#ffffff", "#5b6b7b", "#d55e00"


def check_pillow() -> None:
    """Make sure that pictures can be drawn.

    Raises:
        MissingExtraError: If Pillow isn't installed.
    """
    try:
        import PIL.ImageDraw  # noqa: F401
    except ImportError:
        raise MissingExtraError(package="pillow", extra="view", purpose="A GIF or MP4") from None


def check_ffmpeg() -> str:
    """Where ffmpeg is.

    Raises:
        DataError: If it isn't installed.
    """
    found = shutil.which("ffmpeg")
    if found is None:
        raise DataError(
            "An MP4 needs the program ffmpeg, which isn't there. Install it (apt install ffmpeg, brew install "
            "ffmpeg), or write a GIF with --gif."
        )
    return found


def write_gif(pose: DrawnPose, path: Path) -> None:
    """Write a GIF that plays for ever, at most GIF_RATE pictures a second.

    Raises:
        DataError: If it can't be written.
    """
    rate = min(pose.fps, GIF_RATE)
    times = np.arange(0, len(pose.points) / pose.fps, 1 / rate)
    frames = (times * pose.fps).astype(int).clip(max=len(pose.points) - 1)
    images = [_draw(pose, frame).quantize(16) for frame in frames.tolist()]
    partial = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        images[0].save(
            partial,
            format="gif",
            save_all=True,
            append_images=images[1:],
            duration=round(1000 / rate),
            loop=0,
        )
        partial.replace(path)
    except OSError as fault:
        raise DataError(f"{path}: can't be written ({fault.strerror or fault}).") from fault
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_mp4(pose: DrawnPose, path: Path) -> None:
    """Write an MP4 (H.264) that browsers and phones play, at the pose's own rate.

    Raises:
        DataError: If ffmpeg isn't there, or fails.
    """
    ffmpeg = check_ffmpeg()
    partial = path.with_name(f".{path.stem}.part.mp4")
    size = f"{SIDE_PIXELS}x{SIDE_PIXELS}"
    command = [
        *(ffmpeg, "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size),
        *("-r", f"{pose.fps:.6g}", "-i", "-", "-c:v", "libx264", "-pix_fmt", "yuv420p"),
        *("-movflags", "+faststart", str(partial)),
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stderr is not None
            with suppress(BrokenPipeError):  # it says itself why it ended
                for image in _images(pose):
                    process.stdin.write(image.tobytes())
                process.stdin.close()
            said = process.stderr.read().decode(errors="replace").strip()
        if process.returncode:
            raise DataError(f"{path}: ffmpeg ended with {process.returncode}: {said[-300:]}")
        partial.replace(path)
    except OSError as fault:
        raise DataError(f"{path}: can't be written ({fault.strerror}).") from fault
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _images(pose: DrawnPose) -> Iterator[Image]:
    return (_draw(pose, frame) for frame in range(len(pose.points)))


def _draw(pose: DrawnPose, frame: int) -> Image:
    from PIL import Image, ImageDraw

    side = SIDE_PIXELS * FINER
    image = Image.new("RGB", (side, side), BACKGROUND)
    pen, hands = ImageDraw.Draw(image), set(pose.hands)
    points = (pose.points[frame].astype(np.float32) * (side / SIDE)).tolist()
    seen = (pose.points[frame] != ABSENT).all(axis=1).tolist()
    lined = {point for edge in pose.edges for point in edge}
    for one, other in pose.edges:
        if seen[one] and seen[other]:
            is_hand = one in hands
            line = [*points[one], *points[other]]
            pen.line(line, fill=HAND if is_hand else BODY, width=5 if is_hand else 8)
    for number, (x, y) in enumerate(points):
        if seen[number] and (number in hands or number not in lined):
            half = 4 if number in hands else 3
            color = HAND if number in hands else BODY
            pen.ellipse([x - half, y - half, x + half, y + half], fill=color)
    return image.resize((SIDE_PIXELS, SIDE_PIXELS), Image.Resampling.LANCZOS)

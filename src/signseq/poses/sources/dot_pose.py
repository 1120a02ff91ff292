"""`.pose` files, as they are or packed with Zstandard, on disk or as bytes."""

from __future__ import annotations

from dataclasses import replace

from signseq.errors import MissingExtraError, PoseError
from signseq.poses.reading import unreadable
from signseq.poses.sequence import PoseFile
from signseq.poses.sources.source import PoseSource

__all__ = ["open_dot_pose"]


def open_dot_pose(content: str | bytes, *, name: str, is_packed: bool) -> PoseSource:
    """Open a .pose file; where it isn't packed, its frames are mapped and read only when needed.

    Args:
        content: Its path, or its bytes.
        name: What to call it in messages.
        is_packed: Whether it is packed with Zstandard (`.pose.zst`).

    Raises:
        PoseError: If it can't be read or is damaged.
        MissingExtraError: If it is packed and the package that unpacks it isn't there.
    """
    if is_packed:
        content = _unpack(_read_bytes(content) if isinstance(content, str) else content, name)
    file = PoseFile.open(content, name=name)

    def decode(first: int, last: int) -> PoseFile:
        frames = slice(first, last)
        return replace(file, data=file.data[frames], confidence=file.confidence[frames])

    return PoseSource(name, file.fps, len(file), file.keypoints, decode)


def _read_bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as fault:
        raise unreadable(path, fault) from fault


def _unpack(content: bytes, name: str) -> bytes:
    try:
        import zstandard
    except ImportError as fault:
        raise MissingExtraError(
            package="zstandard", extra="zstd", purpose="Reading .pose.zst files"
        ) from fault
    try:
        # A stream, as its header needn't state the size, nor its frames come alone.
        with zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True) as stream:
            unpacked = stream.readall()
    except (zstandard.ZstdError, MemoryError) as fault:
        raise PoseError(
            f"{name}: damaged, or not packed with Zstandard ({fault}). Fetch it anew."
        ) from fault
    return unpacked

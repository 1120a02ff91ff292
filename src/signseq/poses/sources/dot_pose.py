"""`.pose` files, as they are or packed with Zstandard, on disk or as bytes."""

from __future__ import annotations

from dataclasses import replace

from signseq.errors import MissingExtraError, PoseError
from signseq.poses.reading import unreadable
from signseq.poses.sequence import PoseFile
from signseq.poses.sources.source import PoseSource

__all__ = ["open_dot_pose", "unpack"]

PIECE = 1 << 20  # bytes
LARGEST_WINDOW = 1 << 27  # bytes that unpacking may look back: what `zstd --ultra` and `--long` use


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
        content = unpack(_read_bytes(content) if isinstance(content, str) else content, name=name)
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


def unpack(content: bytes, *, name: str, most: int | None = None) -> bytes:
    """Unpack what Zstandard packed.

    Args:
        content: The packed bytes.
        name: What to call it in messages.
        most: How many unpacked bytes are wanted; the rest is not unpacked. None: all.

    Raises:
        PoseError: If it is damaged, or not packed so.
        MissingExtraError: If the package that unpacks it isn't there.
    """
    try:
        import zstandard
    except ImportError as fault:
        raise MissingExtraError(
            package="zstandard", extra="zstd", purpose="Reading .pose.zst files"
        ) from fault
    pieces, size = [], 0
    try:
        # A stream, as its header needn't state the size, nor its frames come alone.
        unpacker = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
        with unpacker.stream_reader(content, read_across_frames=True) as stream:
            while most is None or size < most:
                piece = stream.read(PIECE if most is None else min(PIECE, most - size))
                if not piece:
                    break
                pieces.append(piece)
                size += len(piece)
    except (zstandard.ZstdError, MemoryError) as fault:
        raise PoseError(
            f"{name}: damaged, or not packed with Zstandard ({fault}). Fetch it anew."
        ) from fault
    return b"".join(pieces)

"""What clients send, as poses: a .pose file, landmarks or a video, told apart by their first bytes.

Nothing here trusts what was sent: sizes are checked before anything is read by them, and messages
never hold a path of the server. Videos are read in a process of their own (see `videos`).
"""

from __future__ import annotations

import struct
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from signseq.errors import MissingExtraError, PoseError
from signseq.poses.estimation.video import starts_like_video
from signseq.poses.sequence import PoseFile, PoseSequence
from signseq.poses.sources.dot_pose import unpack
from signseq.poses.sources.landmark_json import count_frames
from signseq.poses.sources.landmarks import MAGIC, Landmarks, parse_compact, parse_json
from signseq.serving.videos import UploadError, VideoLimits, read_video

__all__ = ["START", "Kind", "UploadError", "UploadLimits", "kind_of", "read_upload"]

Kind = Literal["pose", "pose.zst", "json", "landmarks", "video"]
START = 512  # bytes that tell what a body is
NAME = "The upload"  # in messages: names that clients give are never used for anything
POSE_VERSIONS = (0.1, 0.2)
TAKEN = "a .pose file (also packed with Zstandard), landmarks as JSON or in the compact form, or a video"
REFUSED = {
    b"PK\x03\x04": "a zip; unpack it, and send one file at a time",
    b"\x1f\x8b": "packed with gzip; unpack it, or pack it with Zstandard",
    b"7z\xbc\xaf": "a 7z archive; unpack it, and send one file at a time",
    b"\x89HDF": "HDF5; write it as .pose",
    b"\x93NUMPY": "a numpy array; send landmarks as JSON or in the compact form",
    b"\x80": "a pickle, which is never read from clients; write it as .pose",
    b"\xff\xd8\xff": "a picture, not a video",
    b"\x89PNG": "a picture, not a video",
}


@dataclass(frozen=True)
class UploadLimits:
    """How much a client may send.

    Attributes:
        max_seconds: The longest clip.
        max_bytes: The largest body, and the most that a packed one may unpack to.
        seconds_for_video: How long finding the poses of a video may take.
        max_json_bytes: The largest JSON, which takes seconds to parse.
        max_frames: The most frames.
        max_keypoints: The most keypoints per frame.
    """

    max_seconds: float = 60.0
    max_bytes: int = 64 << 20
    seconds_for_video: float = 60.0
    max_json_bytes: int = 16 << 20
    max_frames: int = 20_000
    max_keypoints: int = 2_000


def kind_of(start: bytes) -> Kind | None:
    """What a body is, by its first bytes (512 are enough); None if it is nothing that is read here."""
    if start.startswith(MAGIC):
        return "landmarks"
    if start.startswith(b"\x28\xb5\x2f\xfd"):
        return "pose.zst"
    if starts_like_video(start):
        return "video"
    if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
        return "json"
    if len(start) >= 4 and round(struct.unpack("<f", start[:4])[0], 3) in POSE_VERSIONS:
        return "pose"
    return None


def read_upload(
    body: bytes | Path, limits: UploadLimits, *, is_gone: threading.Event | None = None
) -> PoseSequence:
    """The poses in what a client sent; blocks, for a video maybe as long as `seconds_for_video`.

    Args:
        body: The bytes, or the path of a file that holds them.
        limits: How much may be in it.
        is_gone: Set when nobody waits any more: work on a video then ends at once.

    Raises:
        UploadError: If it can't be read, is damaged, or exceeds a limit; its message is for the client.
    """
    size = body.stat().st_size if isinstance(body, Path) else len(body)
    kind = _check_kind(_start_of(body), size, limits)
    if kind == "video":
        pose = _read_video(body, limits, is_gone)
    elif kind in ("json", "landmarks"):
        pose = _read_landmarks(_bytes_of(body), limits, is_json=kind == "json")
    else:
        pose = _read_pose(body, limits, is_packed=kind == "pose.zst")
    _check_size(len(pose), pose.seconds, len(pose.keypoints), limits)
    return pose


def _check_kind(start: bytes, size: int, limits: UploadLimits) -> Kind:
    if not size:
        raise UploadError(400, "empty_body", f"The body is empty. Send {TAKEN}.")
    kind = kind_of(start)
    if kind is None:
        known = next((what for magic, what in REFUSED.items() if start.startswith(magic)), None)
        said = f"It is {known}." if known else f"Its first bytes are {start[:8].hex(' ')}."
        raise UploadError(
            415, "unknown_kind", f"{NAME} is of no kind that is read here. {said} Send {TAKEN}."
        )
    most = min(limits.max_bytes, limits.max_json_bytes if kind == "json" else limits.max_bytes)
    if size > most:
        what = "JSON" if kind == "json" else "body"
        note = (
            " Send landmarks in the compact form, which takes a quarter." if kind == "json" else ""
        )
        raise UploadError(
            413, "too_large", f"A {what} of {size:,} bytes; at most {most:,} are taken.{note}"
        )
    return kind


def _check_size(frames: int, seconds: float, keypoints: int, limits: UploadLimits) -> None:
    if seconds > limits.max_seconds:
        raise UploadError(
            413,
            "too_long",
            f"{NAME} lasts {seconds:.1f} s; at most {limits.max_seconds:g} s are taken. Cut it into sentences.",
        )
    if frames > limits.max_frames:
        raise UploadError(
            413,
            "too_long",
            f"{NAME} has more than the {limits.max_frames:,} frames that are taken. Cut it into sentences.",
        )
    if keypoints > limits.max_keypoints:
        raise UploadError(
            413,
            "too_many_keypoints",
            f"{NAME} has {keypoints:,} keypoints a frame; at most {limits.max_keypoints:,} are taken.",
        )


def _read_pose(body: bytes | Path, limits: UploadLimits, *, is_packed: bool) -> PoseSequence:
    try:
        if is_packed:
            body = unpack(_bytes_of(body), name=NAME, most=limits.max_bytes + 1)
            if len(body) > limits.max_bytes:
                raise UploadError(
                    413,
                    "too_large",
                    f"{NAME} unpacks to more than the {limits.max_bytes:,} bytes that are taken.",
                )
        file = PoseFile.open(body, name=NAME)
        _check_size(len(file), len(file) / file.fps, len(file.keypoints), limits)
        return file.read()
    except MissingExtraError as fault:
        message = "This server can't unpack Zstandard. Send the .pose file as it is."
        raise UploadError(415, "unknown_kind", message) from fault
    except (PoseError, MemoryError) as fault:
        raise UploadError(400, "damaged_pose", _explain(fault)) from fault


def _read_landmarks(content: bytes, limits: UploadLimits, *, is_json: bool) -> PoseSequence:
    try:
        if is_json:  # a million tiny frames take many seconds
            _check_size(count_frames(content, limits.max_frames, name=NAME), 0, 0, limits)
        found: Landmarks = (parse_json if is_json else parse_compact)(content, name=NAME)
        # Before the rate is made constant, which may repeat frames.
        _check_size(len(found), found.seconds, len(found.keypoints), limits)
        return found.as_pose(name=NAME)
    except (PoseError, MemoryError) as fault:
        raise UploadError(400, "damaged_landmarks", _explain(fault)) from fault


def _read_video(
    body: bytes | Path, limits: UploadLimits, is_gone: threading.Event | None
) -> PoseSequence:
    bounds = VideoLimits(limits.max_seconds, limits.max_frames, limits.seconds_for_video)
    if isinstance(body, Path):
        return read_video(body, bounds, is_gone=is_gone)
    with tempfile.NamedTemporaryFile(prefix="signseq-") as file:
        file.write(body)
        file.flush()
        return read_video(Path(file.name), bounds, is_gone=is_gone)


def _start_of(body: bytes | Path) -> bytes:
    if isinstance(body, bytes):
        return body[:START]
    with body.open("rb") as file:
        return file.read(START)


def _bytes_of(body: bytes | Path) -> bytes:
    return body if isinstance(body, bytes) else body.read_bytes()


def _explain(fault: Exception) -> str:
    return str(fault) or f"{NAME} needs more memory than there is."

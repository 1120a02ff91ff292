"""Videos that clients send: each is read in a process of its own, which may crash, hang or grow.

Decoders read what strangers made, in C. So the server's process never opens a video: a child does,
with bounds on time and memory, and answers in the compact form of landmarks, which holds nothing but
numbers and names. It is killed when it exceeds a bound, and when nobody waits any more.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import resource
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Literal

from signseq.errors import MissingExtraError, PoseError
from signseq.poses.estimation.clips import extract
from signseq.poses.estimation.estimator import ESTIMATORS, BuildEstimator
from signseq.poses.estimation.video import VideoFacts, count_packets, read_facts
from signseq.poses.sequence import PoseSequence
from signseq.poses.sources.landmarks import dump_compact, parse_compact
from signseq.serving.faults import ServiceError

__all__ = ["UploadError", "VideoLimits", "can_read_videos", "read_video"]

MOST_AT_ONCE = max(1, (os.cpu_count() or 1) // 2)
RETRY_AFTER = 15  # seconds; about what a short clip takes
ROUNDING = 0.1  # seconds that a header may be beside the frames
LOOK_EVERY = 0.1  # seconds between looks at the child
NAME = "The video"
LARGEST_ANSWER = 1 << 30  # bytes
BUILD: BuildEstimator = ESTIMATORS["mediapipe_holistic"]
Reason = Literal["slow", "memory", "gone"]

_places = threading.BoundedSemaphore(MOST_AT_ONCE)


class UploadError(ServiceError):
    """A body that can't be read, or is larger than allowed."""


@dataclass(frozen=True)
class VideoLimits:
    """How much of a video is read.

    Attributes:
        max_seconds: The longest that it may last.
        max_frames: The most frames.
        wall_seconds: How long the work on it may take.
        max_pixels: Of a picture: by default 4096 x 2304.
        memory_bytes: What its process may hold; the estimator itself takes about 0.5 GiB.
    """

    max_seconds: float
    max_frames: int
    wall_seconds: float
    max_pixels: int = 4096 * 2304
    memory_bytes: int = 2 << 30


def can_read_videos() -> bool:
    """Whether the packages of the extra `video` are installed."""
    return all(importlib.util.find_spec(package) is not None for package in ("av", "mediapipe"))


def read_video(
    path: Path, limits: VideoLimits, *, is_gone: threading.Event | None = None
) -> PoseSequence:
    """Find the poses of the largest person in a video, in another process; blocks until it is done.

    Args:
        path: The video; the child opens it by this path.
        limits: When to give up.
        is_gone: Set when nobody waits for the answer any more.

    Raises:
        UploadError: 415 if this server can't read videos, 413 if it is too large or long, 422 if it can't be
            used or its decoder crashed, 504 if the work takes too long, 503 if others are being read.
    """
    if BUILD is ESTIMATORS["mediapipe_holistic"] and not can_read_videos():
        message = (
            "This server doesn't take videos (the extra 'video' of signseq isn't installed on it). "
            "Send a .pose file or landmarks."
        )
        raise UploadError(415, "video_not_supported", message)
    if not _places.acquire(blocking=False):
        raise _busy()
    try:
        return _run(path, limits, is_gone or threading.Event())
    finally:
        _places.release()


def _busy() -> UploadError:
    message = f"The server reads as many videos as it can. Try again in {RETRY_AFTER} s, or send a .pose file."
    return UploadError(503, "videos_busy", message, retry_after=RETRY_AFTER)


def _run(path: Path, limits: VideoLimits, is_gone: threading.Event) -> PoseSequence:
    # Fresh, not forked: the server has threads, and the child should know nothing of its clients.
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(str(path), limits, BUILD, there), daemon=True)
    with here:
        with there:
            try:
                child.start()
            except OSError as fault:  # no process, or no memory for one
                raise _busy() from fault
        watch = _Watch(child, limits, is_gone)
        try:
            answer = here.recv_bytes(LARGEST_ANSWER)
        except (EOFError, OSError):  # it ended without a word
            answer = b""
        finally:
            reason = watch.end()
    return _read_answer(answer, reason, limits)


class _Watch:
    """Kills a child that exceeds its bounds, from a thread: its answer is waited for meanwhile."""

    def __init__(self, child: SpawnProcess, limits: VideoLimits, is_gone: threading.Event) -> None:
        self._child, self._limits, self._is_gone = child, limits, is_gone
        self._deadline = time.monotonic() + limits.wall_seconds
        self._is_over = threading.Event()
        self._reason: Reason | None = None
        self._thread = threading.Thread(target=self._look, name="signseq-video", daemon=True)
        self._thread.start()

    def end(self) -> Reason | None:
        """End the child, and say why it had to end before."""
        self._is_over.set()
        self._thread.join()
        self._child.kill()
        self._child.join()
        self._child.close()
        return self._reason

    def _look(self) -> None:
        while not self._is_over.wait(LOOK_EVERY):
            self._reason = self._exceeds()
            if self._reason is not None:
                self._child.kill()
                return

    def _exceeds(self) -> Reason | None:
        if self._is_gone.is_set():
            return "gone"
        if time.monotonic() > self._deadline:
            return "slow"
        return "memory" if _memory_of(self._child.pid) > self._limits.memory_bytes else None


def _memory_of(pid: int | None) -> int:
    """The bytes that a process holds; 0 where the system doesn't say it."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * resource.getpagesize()


def _read_answer(answer: bytes, reason: Reason | None, limits: VideoLimits) -> PoseSequence:
    if reason == "slow":
        message = f"{NAME} took more than {limits.wall_seconds:g} s. Send a shorter or smaller one, or a .pose file."
        raise UploadError(504, "video_too_slow", message)
    if reason == "gone":
        raise UploadError(499, "client_gone", f"Nobody waits for {NAME.lower()} any more.")
    if reason == "memory":
        message = f"{NAME} needs more memory than it may have. Send a smaller one."
        raise UploadError(422, "unusable_video", message)
    if not answer:
        message = f"{NAME} made the decoder crash. Write it anew: ffmpeg -i IN -r 25 OUT.mp4"
        raise UploadError(422, "unusable_video", message)
    if not answer.startswith(b"!"):
        try:
            return parse_compact(answer, name=NAME).as_pose(name=NAME)
        except PoseError as fault:
            raise UploadError(422, "unusable_video", str(fault)) from fault
    status, code, message = answer[1:].decode(errors="replace").split(" ", 2)
    raise UploadError(int(status), code, message)


# ------------------------------------------------------------------------ in the child


def _work(path: str, limits: VideoLimits, build: BuildEstimator, out: Connection) -> None:
    _confine(limits)
    try:
        answer = dump_compact(_extract(Path(path), limits, build))
    except UploadError as fault:
        answer = f"!{fault.status} {fault.code} {fault.message}".encode()
    except MissingExtraError as fault:
        answer = f"!415 video_not_supported {fault}".encode()
    except PoseError as fault:
        answer = f"!422 unusable_video {str(fault).replace(path, NAME)}".encode()
    except MemoryError:
        answer = f"!422 unusable_video {NAME} needs more memory than it may have.".encode()
    with suppress(OSError):  # nobody listens any more
        out.send_bytes(answer)


def _confine(limits: VideoLimits) -> None:
    """Bounds that hold even if the parent can't see to them."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the group; the parent ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # what decoders say may hold what was sent
        os.dup2(nowhere, stream)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seconds = int(limits.wall_seconds * (os.cpu_count() or 1)) + 10
    with suppress(ValueError, OSError):  # a lower one is set already
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    with suppress(OSError):  # Linux: where memory runs out, this process goes first
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _extract(path: Path, limits: VideoLimits, build: BuildEstimator) -> PoseSequence:
    estimator = build()
    _check_header(read_facts(path), limits)
    if count_packets(path, most=limits.max_frames + 1) > limits.max_frames:
        raise _too_long(f"more than {limits.max_frames:,} frames", limits)
    return extract(path, estimator).poses[0]


def _check_header(facts: VideoFacts, limits: VideoLimits) -> None:
    """Refuse what is too large, before a frame is decoded."""
    width, height = facts.size
    if not height:  # FFmpeg gives none where it is beyond all bounds
        message = f"{NAME} says no size of its pictures, or one that no decoder takes. Write it anew with ffmpeg."
        raise UploadError(422, "unusable_video", message)
    if width * height > limits.max_pixels:
        message = (
            f"{NAME} has pictures of {width} x {height} pixels; at most {limits.max_pixels:,} pixels are taken. "
            "Write it smaller: ffmpeg -i IN -vf scale=-2:720 OUT.mp4"
        )
        raise UploadError(413, "too_large", message)
    if (
        facts.seconds is not None and facts.seconds > limits.max_seconds + ROUNDING
    ):  # the last frame's share
        raise _too_long(f"{facts.seconds:.1f} s", limits)
    if (facts.expected_frames or 0) > limits.max_frames:
        raise _too_long(f"{facts.expected_frames:,} frames", limits)


def _too_long(what: str, limits: VideoLimits) -> UploadError:
    message = (
        f"{NAME} has {what}; at most {limits.max_seconds:g} s and {limits.max_frames:,} frames are taken. "
        "Cut it into sentences."
    )
    return UploadError(413, "too_long", message)

"""Videos that clients send: read apart from the server, which survives them."""

from __future__ import annotations

import importlib
import os
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signseq.poses.estimation.clips import extract
from signseq.poses.estimation.video import count_packets
from signseq.serving import videos
from signseq.serving.uploads import UploadError, UploadLimits, read_upload
from signseq.serving.videos import VideoLimits, read_video

pytest.importorskip("av")
made = importlib.import_module("videos")  # the tests' own
LIMITS = UploadLimits(seconds_for_video=60)


class HangsOnBlue(made.SquareFinder):
    """Never ends where it sees a blue square."""

    def find_faces(self, image: Any) -> Any:
        if (image[..., 2] > 128).any():
            time.sleep(60)
        return super().find_faces(image)


class GrowsOnBlue(made.SquareFinder):
    """Takes more and more memory where it sees a blue square."""

    def find_faces(self, image: Any) -> Any:
        held = []
        while (image[..., 2] > 128).any():
            held.append(np.ones(1 << 21))
            time.sleep(0.005)
        return super().find_faces(image)


@pytest.fixture(autouse=True)
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videos, "BUILD", made.SquareFinder)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return made.write_video(tmp_path / "a.mp4", made.walk())


@pytest.fixture
def blue(tmp_path: Path) -> Path:
    images = [made.draw(None, None, (30, 30)) for _ in range(6)]
    return made.write_video(tmp_path / "blue.mp4", images)


def refuse(body: bytes | Path, limits: UploadLimits = LIMITS, **more: Any) -> UploadError:
    with pytest.raises(UploadError) as found:
        read_upload(body, limits, **more)
    assert "/" not in found.value.message.replace("ffmpeg -i IN -vf", "")
    return found.value


def test_a_video_becomes_the_pose_that_extraction_finds(film: Path) -> None:
    pose = read_upload(film.read_bytes(), LIMITS)
    (wanted,) = extract(film, made.SquareFinder()).poses
    assert (len(pose), pose.fps) == (12, 25)
    np.testing.assert_array_equal(pose.data, wanted.data)
    np.testing.assert_array_equal(pose.confidence, wanted.confidence)


@pytest.mark.parametrize(
    ("build", "code", "status"),
    [
        (made.KilledByBlue, "unusable_video", 422),
        pytest.param(GrowsOnBlue, "unusable_video", 422, marks=pytest.mark.slow),
        (HangsOnBlue, "video_too_slow", 504),
    ],
)
def test_a_decoder_that_crashes_grows_or_hangs_costs_only_that_video(
    blue: Path, monkeypatch: pytest.MonkeyPatch, build: type, code: str, status: int
) -> None:
    monkeypatch.setattr(videos, "BUILD", build)
    limits = VideoLimits(60, 1000, 3 if build is HangsOnBlue else 60, memory_bytes=400 << 20)
    with pytest.raises(UploadError) as found:
        read_video(blue, limits)
    assert (found.value.code, found.value.status) == (code, status)
    assert videos._places.acquire(blocking=False)
    videos._places.release()


def test_work_on_a_video_ends_when_nobody_waits(
    blue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(videos, "BUILD", HangsOnBlue)
    is_gone = threading.Event()
    threading.Timer(0.5, is_gone.set).start()
    begun = time.monotonic()
    assert refuse(blue, is_gone=is_gone).code == "client_gone"
    assert time.monotonic() - begun < 20


def test_more_videos_than_there_are_places_are_told_to_come_again(film: Path) -> None:
    for _ in range(videos.MOST_AT_ONCE):
        videos._places.acquire()
    try:
        fault = refuse(film)
    finally:
        for _ in range(videos.MOST_AT_ONCE):
            videos._places.release()
    assert (fault.status, fault.code) == (503, "videos_busy")
    assert fault.retry_after


def test_a_server_without_the_extra_says_so(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videos, "BUILD", videos.ESTIMATORS["mediapipe_holistic"])
    monkeypatch.setattr(videos, "can_read_videos", lambda: False)
    fault = refuse(film)
    assert (fault.status, fault.code) == (415, "video_not_supported")


# -------------------------------------------------------------- what is refused, in the child


def check(path: Path, limits: VideoLimits) -> UploadError:
    """What the child says, without starting one."""

    def build() -> Any:
        return NoEstimator()

    with pytest.raises(UploadError) as found:
        videos._extract(path, limits, build)
    return found.value


class NoEstimator:
    """Fails if a frame reaches it."""

    def find_faces(self, image: Any) -> Any:
        pytest.fail("a frame was decoded")


def test_a_picture_beyond_the_limit_is_refused_before_a_frame_is_decoded(film: Path) -> None:
    fault = check(film, VideoLimits(60, 1000, 60, max_pixels=96 * 64 - 1))
    assert (fault.status, fault.code) == (413, "too_large")
    assert "96 x 64" in fault.message


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content


def say(path: Path, *, size: tuple[int, int] = (96, 64), frames: int = 12) -> Path:
    """An AVI whose header says so, and which holds one damaged frame."""
    width, height = size
    main = struct.pack("<10I", 40_000, 10**6, 0, 16, frames, 0, 1, 10**6, width, height)
    stream = b"vidsMJPG" + struct.pack("<IHHIIIIIIII", 0, 0, 0, 0, 1, 25, 0, frames, 10**6, 0, 0)
    form = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MJPG", 0, 0, 0, 0, 0)
    about = _chunk(b"strh", stream + bytes(8)) + _chunk(b"strf", form)
    header = b"hdrl" + _chunk(b"avih", main + bytes(16)) + _chunk(b"LIST", b"strl" + about)
    movie = b"movi" + _chunk(b"00dc", b"\xff\xd8\xff\xd9")
    path.write_bytes(_chunk(b"RIFF", b"AVI " + _chunk(b"LIST", header) + _chunk(b"LIST", movie)))
    return path


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        ({"size": (100_000, 100_000)}, 422, "unusable_video"),
        ({"size": (16_000, 16_000)}, 413, "too_large"),
        ({"frames": 10**9}, 413, "too_long"),
    ],
    ids=["beyond FFmpeg", "large", "long"],
)
def test_a_header_that_says_too_much_is_refused_before_a_frame_is_decoded(
    tmp_path: Path, said: dict[str, Any], status: int, code: str
) -> None:
    fault = check(say(tmp_path / "a.avi", **said), VideoLimits(60, 20_000, 60))
    assert (fault.status, fault.code) == (status, code)


@pytest.mark.parametrize("most", [11, 5, 0])
def test_more_frames_than_allowed_are_counted_not_believed(
    film: Path, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = videos.VideoFacts(None, None, None, (96, 64))
    monkeypatch.setattr(videos, "read_facts", lambda _: facts)
    assert check(film, VideoLimits(60, most, 60)).code == "too_long"


def test_counting_packets_stops_at_the_most_that_is_wanted(film: Path) -> None:
    assert [count_packets(film, most=most) for most in (5, 12, 100)] == [5, 12, 12]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:200],
        lambda content: content[:-300],
        lambda content: content[:40] + bytes(len(content) - 40),
        lambda content: b"\0\0\0\x20ftypisom" + os.urandom(500),
        lambda content: b"\x1a\x45\xdf\xa3" + bytes(500),
        lambda content: b"GIF89a",
    ],
    ids=range(6),
)
def test_damaged_videos_are_refused_without_a_path(
    film: Path, damage: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    film.write_bytes(damage(film.read_bytes()))
    sent: list[bytes] = []
    monkeypatch.setattr(videos, "_confine", lambda _: None)
    out = type("Pipe", (), {"send_bytes": lambda _, answer: sent.append(answer)})()
    videos._work(str(film), VideoLimits(60, 1000, 60), made.SquareFinder, out)
    assert sent[0].startswith(b"!422 unusable_video The video")
    assert str(film.parent).encode() not in sent[0]


def test_a_child_that_sends_something_else_is_not_believed() -> None:
    for answer in (b"SGQ1", b"\x80\x04}.", b"SGQ1" + bytes(100)):
        with pytest.raises(UploadError) as found:
            videos._read_answer(answer, None, VideoLimits(60, 1000, 60))
        assert found.value.status == 422

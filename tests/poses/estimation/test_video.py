"""Reading videos, whole and broken."""

from __future__ import annotations

import importlib.util
import os
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from signseq.errors import MissingExtraError, PoseError
from signseq.poses.estimation import video
from signseq.poses.estimation.video import read_facts, read_frames
from videos import SIZE, draw, turn, walk, write_sound, write_video


def images(path: Path) -> list[np.ndarray]:
    return [frame.image() for frame in read_frames(path)]


def where(image: np.ndarray) -> tuple[int, int]:
    """The middle of what is red."""
    rows, columns = np.nonzero(image[..., 0] > 128)
    return round(columns.mean() + 0.5), round(rows.mean() + 0.5)


CODECS = {
    ".mp4": "libx264rgb",
    ".mov": "libx264rgb",
    ".m4v": "libx264",
    ".mkv": "libx264rgb",
    ".webm": "libvpx",
    ".avi": "mpeg4",
    ".mpg": "mpeg1video",
    ".wmv": "wmv2",
    ".gif": "gif",
}


@pytest.mark.parametrize("suffix", CODECS)
def test_every_container_gives_all_frames_at_their_rate(suffix, tmp_path):
    path = write_video(tmp_path / f"a{suffix}", walk(12), codec=CODECS[suffix])

    frames = list(read_frames(path))

    assert [where(frame.image())[0] for frame in frames] == pytest.approx(
        [20 + 2 * number for number in range(12)], abs=1
    )
    spans = np.diff([frame.time for frame in frames])
    assert np.median(spans) == pytest.approx(0.04, abs=0.002)


def test_all_suffixes_are_tested():
    assert {*CODECS, ".mpeg"} == set(video.SUFFIXES)


def test_a_phone_held_upright_gives_upright_pictures(tmp_path):
    flat = write_video(tmp_path / "a.mp4", [draw((20, 10))] * 3)
    (before,) = {where(image) for image in images(flat)}

    turned = images(turn(flat))

    assert turned[0].shape == (SIZE[0], SIZE[1], 3)
    assert {where(image) for image in turned} == {(SIZE[1] - before[1], before[0])}


def test_pixels_that_are_not_square_are_made_so(tmp_path):
    path = tmp_path / "a.mkv"
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "rgb24"
        stream.codec_context.sample_aspect_ratio = Fraction(3, 2)
        stream.sample_aspect_ratio = Fraction(3, 2)
        for image in walk(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())

    assert images(path)[0].shape == (SIZE[1], SIZE[0] * 3 // 2, 3)


def test_of_two_streams_the_larger_one_is_read(tmp_path):
    small = [draw((10, 10), size=(32, 32))] * 5
    path = write_video(tmp_path / "a.mp4", walk(9), second=small)

    assert [image.shape for image in images(path)] == [(SIZE[1], SIZE[0], 3)] * 9


def test_sound_that_lasts_longer_does_not_make_a_video_look_cut_off(tmp_path):
    for suffix in (".mp4", ".mkv"):
        path = write_video(tmp_path / f"a{suffix}", walk(8), sound=True)
        assert len(images(path)) == 8


def test_times_of_a_variable_rate_are_those_of_the_file(tmp_path):
    times = [0, 40, 80, 200, 240, 400]
    path = write_video(tmp_path / "a.mp4", walk(6), times_ms=times)

    assert [round(1000 * frame.time) for frame in read_frames(path)] == times


# ------------------------------------------------------------------------------------ broken ones


def write_text(path: Path) -> Path:
    path.write_text("uid,text\na,hello\n" * 50)
    return path


def write_playlist(path: Path) -> Path:
    """Would make FFmpeg open what it lists."""
    write_video(path.with_name("other.mp4"), walk(3))
    path.write_text("ffconcat version 1.0\nfile other.mp4\n")
    return path


def write_empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def cut(path: Path, *, share: float, first: bool) -> Path:
    """A video that ends early; its directory stands first, as in what is made for the web, or last."""
    moving = [np.random.default_rng(n).integers(0, 255, (64, 96, 3), np.uint8) for n in range(40)]
    write_video(path, moving, options={"movflags": "faststart"} if first else {})
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def corrupt(path: Path) -> Path:
    moving = [np.random.default_rng(n).integers(0, 255, (64, 96, 3), np.uint8) for n in range(40)]
    content = bytearray(write_video(path, moving, options={"movflags": "faststart"}).read_bytes())
    start = content.index(b"mdat") + 8
    content[start:] = os.urandom(len(content) - start)
    path.write_bytes(content)
    return path


def write_unknown(path: Path) -> Path:
    """In a coding that nobody knows."""
    content = write_video(path, walk(5)).read_bytes()
    path.write_bytes(content.replace(b"avc1", b"zzz1").replace(b"avcC", b"zzzC"))
    return path


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(write_unknown, "its pictures are in a coding that can't be read", id="coding"),
        pytest.param(write_empty, "the file is empty. Fetch it again", id="empty"),
        pytest.param(write_text, "can't be opened as a video", id="text"),
        pytest.param(write_playlist, "can't be opened as a video", id="playlist"),
        pytest.param(write_sound, "no video in it, only audio", id="sound"),
        pytest.param(
            lambda p: cut(p, share=0.5, first=False), "can't be opened as a video", id="cut"
        ),
        pytest.param(
            lambda p: cut(p, share=0.5, first=True),
            r"its header promises 40 frames, \d+ can be decoded; it is cut off or damaged",
            id="cut, directory first",
        ),
        pytest.param(corrupt, "its header promises 40 frames, 0 can be decoded", id="corrupt"),
        pytest.param(lambda p: p, "no such file", id="missing"),
    ],
)
def test_what_is_no_whole_video_is_refused_with_its_name(make, said, tmp_path):
    path = make(tmp_path / "a.mp4")

    with pytest.raises(PoseError, match=f"a.mp4: {said}"):
        images(path)


def test_a_few_damaged_frames_are_borne(tmp_path):
    path = write_video(tmp_path / "a.mkv", walk(60), codec="mjpeg")
    content = bytearray(path.read_bytes())
    middle = content.index(b"\xff\xd8", len(content) // 2)
    content[middle : middle + 40] = bytes(40)
    path.write_bytes(content)

    assert 55 <= len(images(path)) <= 60


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tmp_path):
    path = write_video(tmp_path / "a.mp4", walk(3))
    path.chmod(0)

    with pytest.raises(PoseError, match=r"a\.mp4: can't be read \(Permission denied\)"):
        images(path)


def test_a_folder_with_a_videos_name_is_no_video(tmp_path):
    (tmp_path / "a.mp4").mkdir()

    with pytest.raises(PoseError, match=r"a\.mp4: can't be read \(Is a directory\)"):
        read_facts(tmp_path / "a.mp4")


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", walk(3))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(MissingExtraError, match=r"'av'.*pip install 'signseq\[video\]'"):
        read_facts(path)


@pytest.mark.parametrize(("python", "said"), [((3, 12), False), ((3, 13), True)])
def test_without_mediapipe_the_extra_is_named_and_where_it_has_no_wheel(python, said, monkeypatch):
    from signseq.poses.estimation.estimator import ESTIMATORS

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "version_info", python)

    with pytest.raises(MissingExtraError, match=r"pip install 'signseq\[video\]'") as caught:
        ESTIMATORS["mediapipe_holistic"]()
    assert ("no wheel for Python 3.13; use 3.11 or 3.12" in str(caught.value)) == said

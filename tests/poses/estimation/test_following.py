"""One person followed through a video, with squares for people."""

from __future__ import annotations

import math

import numpy as np
import pytest

from signseq.errors import PoseError
from signseq.poses.estimation.clips import extract
from signseq.poses.estimation.following import follow
from signseq.poses.estimation.rates import at_rate
from signseq.poses.keypoints import NOSE
from videos import SquareFinder, draw, walk, write_video

WIDE = (240, 96)


def followed(path):
    pieces = list(follow(path, SquareFinder()).pieces)
    return np.concatenate([piece.data for piece in pieces]), pieces[0]


@pytest.mark.parametrize("frames", [12, 50, 51])
def test_a_person_alone_gets_the_poses_that_extraction_finds(tmp_path, frames):
    path = write_video(tmp_path / "a.mp4", [*walk(12), *[draw((44, 30))] * (frames - 12)], fps=30)

    data, piece = followed(path)

    (pose,) = extract(path, SquareFinder()).poses
    assert (piece.fps, piece.keypoints) == (pose.fps, pose.keypoints)
    assert (data == pose.data).all()


def test_a_variable_rate_becomes_the_constant_one_that_extraction_finds(tmp_path):
    times = [0, 40, 80, 120, 280, 320, 360, 400]
    path = write_video(tmp_path / "a.mp4", walk(8), times_ms=times)

    data, piece = followed(path)

    (pose,) = extract(path, SquareFinder()).poses
    assert (piece.fps, len(data)) == (25, len(pose))
    columns = data[:, piece.keypoints.index(NOSE), 0].round().tolist()
    assert columns == [20, 22, 24, 26, 26, 26, 28, 28, 30, 32, 34]


def test_of_two_people_the_larger_is_followed(tmp_path):
    images = [
        draw((60, 30 + number % 3), size=WIDE, face=12) + draw(None, (180, 40), size=WIDE, face=16)
        for number in range(50)
    ]
    path = write_video(tmp_path / "a.mp4", images)

    found = follow(path, SquareFinder())
    data = np.concatenate([piece.data for piece in found.pieces])

    assert found.people == 2
    assert (data[:, found_nose(), 0].round() == 180).all()


def found_nose():
    return SquareFinder.keypoints.index(NOSE)


def test_a_video_without_frames_is_refused(tmp_path):
    with pytest.raises(PoseError, match="a single frame"):
        follow(write_video(tmp_path / "a.mp4", walk(1)), SquareFinder())


def test_a_video_that_is_cut_off_gives_its_frames_and_then_the_error(tmp_path):
    rng = np.random.default_rng(0)  # grain, so that all frames take as many bytes
    grain = [rng.integers(0, 90, (64, 96, 3), np.uint8) for _ in range(30)]
    images = [np.maximum(draw((44, 30)), grain[number % 30]) for number in range(400)]
    path = write_video(tmp_path / "a.mp4", images, options={"movflags": "faststart"})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 4 // 5])
    pieces = follow(path, SquareFinder()).pieces

    assert len(next(pieces)) == 50
    with pytest.raises(PoseError, match="cut off or damaged"):
        list(pieces)


def test_a_video_that_is_cut_off_at_its_start_is_refused(tmp_path):
    path = write_video(tmp_path / "a.mp4", walk(100), options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[:-1000])

    with pytest.raises(PoseError, match="cut off or damaged"):
        follow(path, SquareFinder())


@pytest.mark.parametrize("jitter", [0.0, 0.4])
def test_a_constant_rate_keeps_every_frame_once(jitter):
    places = np.arange(200) + np.random.default_rng(0).uniform(-jitter, jitter, 200)
    places[0] = 0

    assert list(at_rate(zip(places / 25, range(200), strict=True), fps=25, name="a")) == list(
        range(200)
    )


def test_a_rate_that_is_a_bit_off_stays_in_time():
    times = np.arange(1000) / 24.9

    found = list(at_rate(zip(times, range(1000), strict=True), fps=25, name="a"))

    assert len(found) == round(times[-1] * 25) + 1
    assert max(abs(times[each] - tick / 25) for tick, each in enumerate(found)) <= 0.5 / 24.9 + 1e-9


def test_frames_whose_times_are_unknown_or_go_back_come_one_after_the_other():
    times = [0.0, math.nan, 0.04, 0.04, 0.0, 0.2]

    assert list(at_rate(zip(times, "abcdef", strict=True), fps=25, name="a")) == list("abcdef")


def test_a_frame_that_is_shown_for_hours_is_damage():
    with pytest.raises(PoseError, match="one frame for 7200 s"):
        list(at_rate([(0.0, "a"), (7200.0, "b")], fps=25, name="a"))

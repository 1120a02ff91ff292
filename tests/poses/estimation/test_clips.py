"""From one video to the poses in it, with squares for people."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import KEYPOINTS
from signseq.errors import PoseError
from signseq.poses.estimation.clips import extract
from signseq.poses.keypoints import NOSE
from videos import SquareFinder, draw, turn, walk, write_video

WIDE = (240, 96)


def noses(pose) -> list[list[float]]:
    return pose.data[:, pose.keypoints.index(NOSE), :2].round().tolist()


def two(frames: int = 50) -> list[np.ndarray]:
    """A large red person, who nods, on the left, and a small green one on the right."""
    images = []
    for number in range(frames):
        image = draw((60, 30 + number % 3), size=WIDE, face=16)
        images.append(image + draw(None, (180, 40), size=WIDE, face=12))
    return images


def test_a_pose_for_every_frame_at_the_videos_rate(tmp_path):
    found = extract(write_video(tmp_path / "a.mp4", walk(12), fps=30), SquareFinder())

    (pose,) = found.poses
    assert (len(pose), pose.fps, pose.keypoints, found.people) == (12, 30, KEYPOINTS, 1)
    assert found.size == (96, 64)
    assert noses(pose) == [[20 + 2 * number, 30] for number in range(12)]
    assert (pose.confidence == 1).all()


def test_frames_without_anybody_have_no_confidence(tmp_path):
    images = [*walk(6), *[draw()] * 6]

    (pose,) = extract(write_video(tmp_path / "a.mp4", images), SquareFinder()).poses

    assert pose.confidence.any(axis=1).tolist() == [True] * 6 + [False] * 6


def test_a_variable_rate_becomes_constant_and_is_said(tmp_path):
    times = [0, 40, 80, 120, 280, 320, 360, 400]
    path = write_video(tmp_path / "a.mp4", walk(8), times_ms=times)

    found = extract(path, SquareFinder())

    (pose,) = found.poses
    assert (found.is_variable, found.frames, pose.fps, len(pose)) == (True, 8, 25, 11)
    columns = [place[0] for place in noses(pose)]
    assert columns == [20, 22, 24, 26, 26, 26, 28, 28, 30, 32, 34]


def test_a_phones_video_is_measured_upright(tmp_path):
    path = turn(write_video(tmp_path / "a.mp4", [draw((20, 10))] * 3))

    found = extract(path, SquareFinder())

    assert found.size == (64, 96)
    assert noses(found.poses[0]) == [[54, 20]] * 3


def test_of_two_the_larger_one_is_followed(tmp_path):
    found = extract(write_video(tmp_path / "a.mp4", two()), SquareFinder())

    (pose,) = found.poses
    assert found.people == 2
    assert {place[0] for place in noses(pose)} == {60}


def test_all_become_clips_of_the_same_length_the_largest_first(tmp_path):
    found = extract(write_video(tmp_path / "a.mp4", two()), SquareFinder(), people="all")

    assert [{place[0] for place in noses(pose)} for pose in found.poses] == [{60}, {180}]
    assert [len(pose) for pose in found.poses] == [50, 50]


def test_at_most_so_many_people(tmp_path):
    path = write_video(tmp_path / "a.mp4", two())

    found = extract(path, SquareFinder(), people="all", max_people=1)

    assert (len(found.poses), found.people) == (1, 2)


@pytest.mark.parametrize(
    ("passes", "at"),
    [
        pytest.param(range(45, 51), (225, 80), id="elsewhere, while the face is hidden"),
        pytest.param(range(1, 5), (180, 40), id="in the same place, long before"),
    ],
)
def test_while_a_person_is_away_nobody_else_is_taken_for_them(passes, at, tmp_path):
    images = two(100)
    green = [number > 40 and not 43 <= number <= 55 for number in range(100)]
    for number, image in enumerate(images):
        if not green[number]:
            image[..., 1] = 0
        if number in passes:
            image += draw(None, None, at, size=WIDE, face=14)

    path = write_video(tmp_path / "a.mp4", images)
    pose = extract(path, SquareFinder(), people="all").poses[1]

    assert pose.confidence.any(axis=1).tolist() == green


@pytest.mark.parametrize("count", [10, 200])
def test_a_video_without_a_person_says_so(count, tmp_path):
    images = [draw()] * count
    if count > 100:
        images[50] = draw((20, 20))  # a single frame is no person

    with pytest.raises(PoseError, match=r"a\.mp4: nobody is in view"):
        extract(write_video(tmp_path / "a.mp4", images), SquareFinder())


def test_a_single_frame_is_no_video(tmp_path):
    with pytest.raises(PoseError, match=r"a\.mp4: holds a single frame; a picture"):
        extract(write_video(tmp_path / "a.mp4", walk(1)), SquareFinder())


def test_progress_is_told_for_every_frame(tmp_path):
    calls = []

    extract(
        write_video(tmp_path / "a.mp4", walk(7)), SquareFinder(), advance=lambda: calls.append(1)
    )

    assert len(calls) == 7

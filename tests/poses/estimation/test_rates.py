"""Frame rates, constant and variable."""

from __future__ import annotations

import numpy as np
import pytest

from signseq.errors import PoseError
from signseq.poses.estimation.rates import time_frames


def test_a_constant_rate_is_kept_as_the_header_says_it():
    timing = time_frames(np.arange(50) / 29.97, declared=29.97, name="a")

    assert (timing.fps, timing.is_variable) == (29.97, False)
    assert timing.frames.tolist() == list(range(50))


@pytest.mark.parametrize("rate", [23.976, 25, 29.97, 50])
@pytest.mark.parametrize("declared", [None, 0.0, 1000.0, 90000.0])
def test_a_rate_that_the_header_does_not_say_is_measured(rate, declared):
    times = np.floor(np.arange(100) / rate * 1000) / 1000  # as WebM has them

    timing = time_frames(times, declared=declared, name="a")

    assert timing.fps == pytest.approx(rate, rel=1e-3)
    assert not timing.is_variable


def test_times_that_are_rounded_are_no_variable_rate():
    times = np.round(np.arange(300) / 60 * 1000) / 1000

    assert not time_frames(times, declared=60.0, name="a").is_variable


def test_a_variable_rate_becomes_constant_with_each_pose_near_its_time():
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.choice([1 / 30, 1 / 15, 1 / 10], 200, p=[0.7, 0.2, 0.1]))

    timing = time_frames(times, declared=30.0, name="a")

    assert (timing.fps, timing.is_variable) == (30, True)
    wanted = times[0] + np.arange(len(timing.frames)) / 30
    assert abs(wanted[-1] - times[-1]) <= 1 / 30
    assert np.abs(times[timing.frames] - wanted).max() <= 0.05 + 1e-9  # half the longest span


def test_a_pause_repeats_the_frame_before_and_the_one_after_it():
    times = np.array([0.0, 0.1, 0.2, 0.8, 0.9, 1.0])

    timing = time_frames(times, declared=10.0, name="a")

    assert timing.frames.tolist() == [0, 1, 2, 2, 2, 2, 3, 3, 3, 4, 5][: len(timing.frames)]


def test_without_times_the_header_is_believed():
    timing = time_frames(np.full(10, np.nan), declared=24.0, name="a")

    assert (timing.fps, len(timing.frames), timing.is_variable) == (24, 10, False)


@pytest.mark.parametrize("declared", [None, 0.0, 90000.0])
def test_neither_times_nor_a_rate_is_an_error_that_says_what_to_do(declared):
    with pytest.raises(PoseError, match=r"a\.avi: says neither .* ffmpeg -r 25 -i a\.avi"):
        time_frames(np.full(10, np.nan), declared=declared, name="a.avi")


@pytest.mark.parametrize(("count", "said"), [(0, "no frame"), (1, "a single frame")])
def test_a_picture_is_no_video(count, said):
    with pytest.raises(PoseError, match=f"a: holds {said}"):
        time_frames(np.zeros(count), declared=25.0, name="a")


def test_times_that_leap_far_ahead_are_damaged():
    with pytest.raises(PoseError, match="its times are damaged"):
        time_frames(np.array([0.0, 0.04, 0.08, 90000.0]), declared=25.0, name="a")

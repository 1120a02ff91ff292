from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conftest import make_pose
from signseq.data.statistics import count_unusable, mean_and_spread, sum_up
from signseq.poses.transforms import PoseRecipe


@pytest.mark.parametrize("dimensions", [2, 3])
def test_sums_are_those_of_the_visible_points(dimensions: int) -> None:
    pose = make_pose(frames=30)
    pose.confidence[np.random.default_rng(0).random(pose.confidence.shape) < 0.2] = 0
    pose.confidence[:, 20] = 0
    packed = PoseRecipe("upper_body_hands", "shoulders", dimensions=dimensions).pack(pose)
    visible = packed[..., -1] > 0
    count, sums, squares = sum_up(packed)
    for point in range(packed.shape[1]):
        seen = packed[visible[:, point], point, :-1].astype(np.float64)
        np.testing.assert_array_equal(count[point], len(seen))
        np.testing.assert_allclose(sums[point], seen.sum(axis=0), rtol=1e-12)
        np.testing.assert_allclose(squares[point], (seen**2).sum(axis=0), rtol=1e-12)


def test_mean_and_spread_come_from_the_sums_of_several_clips() -> None:
    clips = [np.random.default_rng(i).normal(size=(7, 3, 3)).astype(np.float16) for i in range(2)]
    for clip in clips:
        clip[..., -1] = 1
    mean, spread = mean_and_spread(sum_up(clips[0]) + sum_up(clips[1]))
    together = np.concatenate(clips)[..., :-1].astype(np.float64)
    np.testing.assert_allclose(mean, together.mean(axis=0))
    np.testing.assert_allclose(spread, together.std(axis=0))


def test_a_point_that_is_never_seen_has_mean_and_spread_0() -> None:
    mean, spread = mean_and_spread(sum_up(np.zeros((4, 2, 3), np.float16)))
    assert not mean.any()
    assert not spread.any()


def test_unusable_points_are_those_given_with_nan_or_infinite_coordinates() -> None:
    pose = make_pose(frames=3)
    assert count_unusable(pose) == 0
    data, confidence = pose.data.copy(), pose.confidence.copy()
    data[0, 0, 0], data[0, 1], data[1, 2, 1] = np.nan, np.inf, -np.inf
    data[2, 3], confidence[2, 3] = np.nan, 0  # missing anyway
    assert count_unusable(replace(pose, data=data, confidence=confidence)) == 3

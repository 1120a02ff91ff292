from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from conftest import KEYPOINTS, make_pose
from signseq.poses.augmentation import Augmentation, change_speed, drop_frames, drop_hand, rotate
from signseq.poses.keypoints import find_parts, get_keypoint_set
from signseq.poses.transforms import PoseRecipe

Clip = NDArray[np.float32]
PARTS = find_parts(KEYPOINTS)
STRONG = Augmentation(rotate_degrees=30, speed=0.3, drop_frames=0.2, drop_hand=1.0)
SEEDS = st.integers(0, 10_000)


def make_clip(*, frames: int = 20, dimensions: int = 2, share: float = 0.2) -> Clip:
    """A packed clip in which some points are missing."""
    pose = make_pose(frames=frames)
    pose.confidence[np.random.default_rng(3).random(pose.confidence.shape) < share] = 0
    recipe = PoseRecipe(keypoints="upper_body_hands", normalize="shoulders", dimensions=dimensions)
    return recipe.pack(pose).astype(np.float32)


def numbered_clip(frames: int) -> Clip:
    """A clip whose every number is its frame's number."""
    return np.arange(frames, dtype=np.float32)[:, None, None].repeat(2, 1).repeat(3, 2)


def augment(clip: Clip, augmentation: Augmentation, seed: int) -> Clip:
    return augmentation(clip.copy(), keypoints=KEYPOINTS, rng=np.random.default_rng(seed))


def test_the_same_seed_gives_the_same_clip() -> None:
    np.testing.assert_array_equal(augment(make_clip(), STRONG, 5), augment(make_clip(), STRONG, 5))


def test_another_seed_gives_another_clip() -> None:
    one, other = augment(make_clip(), STRONG, 5), augment(make_clip(), STRONG, 6)
    assert one.shape != other.shape or not np.array_equal(one, other)


@given(seed=SEEDS)
def test_settings_of_zero_change_nothing(seed: int) -> None:
    np.testing.assert_array_equal(augment(make_clip(), Augmentation(), seed), make_clip())


@pytest.mark.parametrize("dimensions", [2, 3])
@given(seed=SEEDS)
def test_missing_points_stay_missing(dimensions: int, seed: int) -> None:
    clip = augment(make_clip(dimensions=dimensions), STRONG, seed)
    assert np.isfinite(clip).all()
    assert not clip[clip[..., -1] == 0].any()
    assert clip.dtype == np.float32


@pytest.mark.parametrize("dimensions", [2, 3])
@given(seed=SEEDS)
def test_a_rotation_keeps_distances_and_confidence(dimensions: int, seed: int) -> None:
    clip = make_clip(dimensions=dimensions)
    turned = rotate(clip.copy(), 60, rng=np.random.default_rng(seed))
    np.testing.assert_array_equal(turned[..., -1], clip[..., -1])

    def distances(points: Clip) -> Clip:
        return np.linalg.norm(points[:, :, None, :-1] - points[:, None, :, :-1], axis=3)

    np.testing.assert_allclose(distances(turned), distances(clip), atol=1e-3)


@given(seed=SEEDS)
def test_a_rotation_turns_by_at_most_the_degrees_given(seed: int) -> None:
    clip = np.array([[[1, 0, 1]]], dtype=np.float32)
    x, y, _ = rotate(clip, 30, rng=np.random.default_rng(seed))[0, 0]
    assert abs(np.degrees(np.arctan2(y, x))) <= 30.001


@given(seed=SEEDS)
def test_a_rotation_turns_every_frame_alike(seed: int) -> None:
    clip = np.tile(make_clip(frames=1), (5, 1, 1))
    turned = rotate(clip, 60, rng=np.random.default_rng(seed))
    np.testing.assert_array_equal(turned, turned[:1].repeat(5, axis=0))


@given(seed=SEEDS, frames=st.integers(1, 50), share=st.floats(0.01, 0.9))
def test_another_speed_keeps_order_and_both_ends(seed: int, frames: int, share: float) -> None:
    numbers = change_speed(numbered_clip(frames), share, rng=np.random.default_rng(seed))[:, 0, 0]
    assert np.floor(frames / (1 + share)) <= len(numbers) + 1
    assert len(numbers) <= np.ceil(frames / (1 - share))
    assert (np.diff(numbers) >= 0).all()
    assert numbers[0] == 0
    assert len(numbers) == 1 or numbers[-1] == frames - 1


@given(seed=SEEDS, frames=st.integers(1, 50), share=st.floats(0, 0.999))
def test_dropped_frames_leave_at_least_one_and_keep_the_order(
    seed: int, frames: int, share: float
) -> None:
    numbers = drop_frames(numbered_clip(frames), share, rng=np.random.default_rng(seed))[:, 0, 0]
    assert 1 <= len(numbers) <= frames
    assert (np.diff(numbers) > 0).all()


def test_the_share_of_dropped_frames_is_the_one_asked_for() -> None:
    kept = drop_frames(numbered_clip(10_000), 0.3, rng=np.random.default_rng(0))
    assert len(kept) == pytest.approx(7000, abs=150)  # three standard deviations


@given(seed=SEEDS, frames=st.integers(1, 40))
def test_a_lost_hand_is_one_hand_for_at_most_half_of_the_clip(seed: int, frames: int) -> None:
    clip = make_clip(frames=frames, share=0)
    changed = drop_hand(clip.copy(), 1.0, keypoints=KEYPOINTS, rng=np.random.default_rng(seed))
    lost = changed[..., -1] == 0
    left, right = lost[:, list(PARTS.left_hand)], lost[:, list(PARTS.right_hand)]
    assert left.any() != right.any()
    frames_lost = np.flatnonzero(left.any(axis=1) | right.any(axis=1))
    assert 1 <= len(frames_lost) <= max(1, frames // 2)
    assert (np.diff(frames_lost) == 1).all()
    np.testing.assert_array_equal(changed[~lost], clip[~lost])
    assert not changed[lost].any()
    assert not lost[:, list(PARTS.body)].any()


@given(seed=SEEDS)
def test_no_hand_is_lost_with_probability_zero(seed: int) -> None:
    clip = make_clip()
    rng = np.random.default_rng(seed)
    np.testing.assert_array_equal(drop_hand(clip.copy(), 0.0, keypoints=KEYPOINTS, rng=rng), clip)


def test_without_hands_among_the_keypoints_nothing_is_lost() -> None:
    body: Any = get_keypoint_set("upper_body_hands").keypoints[:11]
    clip = make_clip()[:, :11]
    changed = drop_hand(clip.copy(), 1.0, keypoints=body, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(changed, clip)

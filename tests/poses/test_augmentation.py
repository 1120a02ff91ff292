from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from conftest import KEYPOINTS, make_pose
from signseq.poses.augmentation import Augmentation, Chance
from signseq.poses.draws import derive_seeds, uniforms
from signseq.poses.keypoints import find_parts, get_keypoint_set, mirror_name
from signseq.poses.perturbation import from_planes, to_planes
from signseq.poses.playback import CHANCES
from signseq.poses.transforms import PoseRecipe, resample

Clip = NDArray[np.float32]
PARTS = find_parts(KEYPOINTS)
STRONG = Augmentation(rotate_degrees=30, speed=0.3, drop_frames=0.2, drop_hand=1.0)
EVERYTHING = Augmentation(
    rotate_degrees=30,
    shear=0.2,
    scale=0.2,
    shift=0.3,
    mirror=0.5,
    joint_noise=0.05,
    outliers=0.1,
    speed=0.3,
    speed_resampling="linear",
    drop_frames=0.2,
    drop_hand=1.0,
)
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


def rotate(clip: Clip, degrees: float, *, rng: np.random.Generator) -> Clip:
    return Augmentation(rotate_degrees=degrees)(clip, keypoints=(), rng=rng)


def change_speed(
    clip: Clip, share: float, *, rng: np.random.Generator, resampling: Any = "nearest"
) -> Clip:
    return Augmentation(speed=share, speed_resampling=resampling)(clip, keypoints=(), rng=rng)


def drop_frames(clip: Clip, share: float, *, rng: np.random.Generator) -> Clip:
    return Augmentation(drop_frames=share)(clip, keypoints=(), rng=rng)


def drop_hand(clip: Clip, probability: float, *, keypoints: Any, rng: np.random.Generator) -> Clip:
    return Augmentation(drop_hand=probability)(clip, keypoints=keypoints, rng=rng)


def test_the_same_seed_gives_the_same_clip() -> None:
    np.testing.assert_array_equal(augment(make_clip(), STRONG, 5), augment(make_clip(), STRONG, 5))


def test_another_seed_gives_another_clip() -> None:
    one, other = augment(make_clip(), STRONG, 5), augment(make_clip(), STRONG, 6)
    assert one.shape != other.shape or not np.array_equal(one, other)


@given(seed=SEEDS)
def test_settings_of_zero_change_nothing(seed: int) -> None:
    np.testing.assert_array_equal(augment(make_clip(), Augmentation(), seed), make_clip())


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("augmentation", [STRONG, EVERYTHING], ids=["strong", "everything"])
@given(seed=SEEDS)
def test_missing_points_stay_missing(
    augmentation: Augmentation, dimensions: int, seed: int
) -> None:
    clip = augment(make_clip(dimensions=dimensions), augmentation, seed)
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


# ------------------------------------------------------------------------------- batches


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("normalize", ["shoulders", "parts"])
@pytest.mark.parametrize("augmentation", [STRONG, EVERYTHING], ids=["strong", "everything"])
@given(seed=SEEDS)
def test_a_clip_is_the_same_alone_and_in_a_batch(
    augmentation: Augmentation, normalize: Any, dimensions: int, seed: int
) -> None:
    clips = [stored_clip(dimensions)[:frames] for frames in (1, 40, 9, 25)]
    settings: Any = {"keypoints": KEYPOINTS, "normalize": normalize}
    seeds = derive_seeds(seed, np.arange(4))
    together = augmentation.apply(clips, seeds, **settings)
    for number, (clip, changed) in enumerate(zip(clips, together, strict=True)):
        (alone,) = augmentation.apply([clip], seeds[number : number + 1], **settings)
        np.testing.assert_array_equal(changed, alone)


@pytest.mark.parametrize("step", [1, 3, 60])
@pytest.mark.parametrize("resampling", ["nearest", "linear"])
@given(seed=SEEDS)
def test_thinning_and_cutting_are_those_of_the_clip_before_and_after(
    resampling: Any, step: int, seed: int
) -> None:
    augmentation = Augmentation(
        rotate_degrees=30, mirror=0.5, speed=0.3, drop_frames=0.2, speed_resampling=resampling
    )
    clip, seeds = stored_clip(2), derive_seeds(seed)

    def apply(clip: Any, **settings: Any) -> Any:
        return augmentation.apply([clip], seeds, keypoints=KEYPOINTS, **settings)[0]

    (phase,) = augmentation.time(np.array([len(clip)]), seeds, step_frames=step).phases
    wanted = apply(clip[phase::step][:12])[:12]
    changed = apply(clip, step_frames=step, max_frames=12)
    np.testing.assert_array_equal(changed, wanted)


@given(
    seed=SEEDS,
    frames=st.lists(st.integers(1, 300), min_size=1, max_size=20).map(np.array),
    step=st.integers(1, 7),
    limit=st.none() | st.integers(1, 60),
    speed=st.floats(0, 0.9),
    share=st.floats(0, 0.99),
    resampling=st.sampled_from(["nearest", "linear"]),
)
def test_the_time_that_is_told_is_the_time_that_is_played(
    seed: int,
    frames: Any,
    step: int,
    limit: int | None,
    speed: float,
    share: float,
    resampling: Any,
) -> None:
    augmentation = Augmentation(speed=speed, drop_frames=share, speed_resampling=resampling)
    seeds = derive_seeds(seed, np.arange(len(frames)))
    settings: Any = {"step_frames": step, "max_frames": limit}
    told = augmentation.time(frames, seeds, **settings).lengths
    clips = [numbered_clip(count) for count in frames]
    played = augmentation.apply(clips, seeds, keypoints=(), **settings)
    assert told.tolist() == [len(clip) for clip in played]
    assert told.min() >= 1


def test_each_phase_comes_equally_often() -> None:
    timing = Augmentation().time(np.full(5000, 20), derive_seeds(np.arange(5000)), step_frames=5)
    counts = np.bincount(timing.phases, minlength=5)
    assert counts == pytest.approx([1000] * 5, abs=90)  # three standard deviations


def test_dropped_frames_are_rounded_up_and_down_to_the_share() -> None:
    seeds = derive_seeds(np.arange(20_000))
    timing = Augmentation(drop_frames=0.1).time(np.full(20_000, 13), seeds)
    assert set(timing.lengths.tolist()) == {11, 12}
    assert timing.lengths.mean() == pytest.approx(13 * 0.9, abs=0.01)


@pytest.mark.parametrize("other", [{"drop_hand": 1.0}, {"outliers": 0.3}, {"mirror": 0.0}])
def test_what_one_setting_draws_does_not_depend_on_the_others(other: dict[str, Any]) -> None:
    clip = stored_clip(3)
    both = augment(clip, Augmentation(rotate_degrees=15, drop_frames=0.3, **other), 5)
    one = augment(clip, Augmentation(rotate_degrees=15, drop_frames=0.3), 5)
    assert both.shape == one.shape
    assert (both == one).all(axis=2).mean() > 0.5  # all but the points that the other one strikes


def test_each_frame_is_dropped_equally_often() -> None:
    clips = [numbered_clip(10)] * 4000
    seeds = derive_seeds(np.arange(4000))
    kept = np.concatenate(Augmentation(drop_frames=0.3).apply(clips, seeds, keypoints=()))
    counts = np.bincount(kept[:, 0, 0].astype(int), minlength=10)
    assert counts == pytest.approx([2800] * 10, abs=120)  # four standard deviations


def stored_clip(dimensions: int) -> NDArray[np.float16]:
    rng = np.random.default_rng(11)
    clip = rng.normal(size=(40, len(KEYPOINTS), dimensions + 1)).astype(np.float16)
    clip[..., -1] = rng.random((40, len(KEYPOINTS))) > 0.2
    clip[clip[..., -1] == 0] = 0
    return clip


# ------------------------------------------------------------------------------- one clip for one seed

# What `stored_clip` became when these were written down: a run that goes on must see the same clips.
STORED = {
    ("drop_hand", 2): "b3f301967d703efc",
    ("drop_hand", 3): "59f9271c535abf72",
    ("drop_frames", 2): "a636c53809ac9be6",
    ("outliers", 2): "d6ed0356e1d9b0dd",
    ("speed", 3): "085915f2d0248fa6",
    ("mirror", 2): "ff9c22299e3a53f9",
    ("joint_noise", 3): "402cd69936ee1179",
}
SETTINGS: dict[str, dict[str, Any]] = {
    "drop_hand": {"drop_hand": 1.0},
    "drop_frames": {"drop_frames": 0.3},
    "outliers": {"outliers": 0.1},
    "speed": {"speed": 0.5},
    "mirror": {"mirror": 0.5},
    "joint_noise": {"joint_noise": 0.05},
}


@pytest.mark.parametrize(("name", "dimensions"), STORED)
def test_a_seed_gives_the_same_bytes_as_ever(name: str, dimensions: int) -> None:
    clips = Augmentation(**SETTINGS[name]).apply(
        [stored_clip(dimensions)] * 20, derive_seeds(np.arange(20)), keypoints=KEYPOINTS
    )
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(f"{clip.shape}{clip.dtype}".encode())
        digest.update(clip.tobytes())
    assert digest.hexdigest()[:16] == STORED[name, dimensions]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_rotation_is_computed_in_float32_and_rounded_once(dtype: Any) -> None:
    clip = stored_clip(3).astype(dtype)
    for number in range(5):
        turned = augment(clip, Augmentation(rotate_degrees=40), number)
        (seed,) = np.random.default_rng(number).integers(2**64, size=1, dtype=np.uint64)
        chances = uniforms(np.arange(CHANCES, CHANCES + len(Chance)), of=np.array([seed]))
        angles = np.radians(40) * (2 * chances[[Chance.ROTATION, Chance.TURN]] - 1)
        (cos, cos_turned), (sin, sin_turned) = np.float32([np.cos(angles), np.sin(angles)])
        x, y, z = clip[..., :3].astype(np.float32).transpose(2, 0, 1)
        x, z = x * cos_turned + z * sin_turned, z * cos_turned - x * sin_turned
        wanted = np.stack([x * cos - y * sin, x * sin + y * cos, z], axis=2).astype(dtype)
        np.testing.assert_array_equal(turned[..., :3], wanted)


# ------------------------------------------------------------------------------- planes


@pytest.mark.parametrize("dimensions", [2, 3])
def test_planes_and_back_is_the_clip_itself(dimensions: int) -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    every = every[np.isfinite(every)]
    clip = np.resize(every, (len(every) // 40, 10, dimensions + 1))
    planes = to_planes(clip)
    assert planes.shape == (dimensions + 1, *clip.shape[:2])
    np.testing.assert_array_equal(planes[0], clip[..., 0].astype(np.float32))
    written = np.empty_like(clip)
    from_planes(planes, written)
    assert written.tobytes() == clip.tobytes()


def test_half_precision_is_rounded_as_numpy_rounds_it() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=99_990) * np.exp2(rng.integers(-30, 15, 99_990))
    planes = numbers.astype(np.float32).reshape(3, -1, 11)
    rounded = np.empty(planes.shape[1:] + planes.shape[:1], np.float16)
    from_planes(planes, rounded)
    np.testing.assert_array_equal(rounded, planes.transpose(1, 2, 0).astype(np.float16))


def test_a_clip_that_may_not_be_written_is_left_alone() -> None:
    clip = stored_clip(2)
    clip.setflags(write=False)
    turned = rotate(clip, 30, rng=np.random.default_rng(0))
    assert turned.flags.writeable
    np.testing.assert_array_equal(clip, stored_clip(2))


# ------------------------------------------------------------------------------- shape and place


def apart(clip: Clip) -> Clip:
    """Distances in the picture between the points of the first frame."""
    points = clip[0, :, :2].astype(np.float64)
    return np.linalg.norm(points[:, None] - points[None], axis=2)


@given(seed=SEEDS)
def test_a_scale_changes_all_distances_by_one_factor(seed: int) -> None:
    clip = make_clip(share=0)
    factors = apart(augment(clip, Augmentation(scale=0.3), seed)) / (apart(clip) + np.eye(53))
    factors = factors[~np.eye(53, dtype=bool)]
    assert factors.min() >= 0.7 - 1e-6
    assert factors.max() <= 1.3 + 1e-6
    assert np.ptp(factors) < 1e-3


@given(seed=SEEDS)
def test_a_scale_changes_depth_by_the_same_factor(seed: int) -> None:
    clip = make_clip(dimensions=3, share=0)
    scaled = augment(clip, Augmentation(scale=0.3), seed)
    factors = scaled[..., :3] / clip[..., :3]
    np.testing.assert_allclose(factors, factors[0, 0, 0], rtol=1e-4)


@given(seed=SEEDS)
def test_a_shear_keeps_straight_lines_straight_and_their_middles(seed: int) -> None:
    clip = make_clip(share=0)
    clip[:, 2, :2] = (clip[:, 0, :2] + clip[:, 1, :2]) / 2
    sheared = augment(clip, Augmentation(shear=0.3), seed)
    np.testing.assert_allclose(
        sheared[:, 2, :2], (sheared[:, 0, :2] + sheared[:, 1, :2]) / 2, atol=1e-5
    )
    moved = sheared[..., 0] - clip[..., 0]
    assert (np.abs(moved) <= 0.3 * np.abs(clip[..., 1]) + 1e-6).all()  # x moves as y says


@pytest.mark.parametrize("normalize", ["shoulders", "none"])
@given(seed=SEEDS)
def test_a_shift_moves_all_points_alike(normalize: Any, seed: int) -> None:
    clip = make_clip(share=0)
    rng = np.random.default_rng(seed)
    moved = Augmentation(shift=0.5)(clip.copy(), keypoints=KEYPOINTS, rng=rng, normalize=normalize)
    ways = (moved - clip)[..., :2]
    np.testing.assert_allclose(ways, np.broadcast_to(ways[0, 0], ways.shape), atol=1e-5)
    assert np.abs(ways).max() <= 0.5 + 1e-5
    assert np.abs(ways).max() > 0


@pytest.mark.parametrize("normalize", ["parts", "box"])
def test_a_shift_leaves_hands_at_origins_of_their_own(normalize: Any) -> None:
    clip = make_clip(share=0)
    rng = np.random.default_rng(3)
    moved = Augmentation(shift=0.5)(clip.copy(), keypoints=KEYPOINTS, rng=rng, normalize=normalize)
    hands = [*PARTS.left_hand, *PARTS.right_hand]
    np.testing.assert_array_equal(moved[:, hands], clip[:, hands])
    assert (moved[:, list(PARTS.body), :2] != clip[:, list(PARTS.body), :2]).all()


@pytest.mark.parametrize("normalize", ["shoulders", "parts", "box"])
@given(seed=SEEDS)
def test_mapping_a_clip_is_mapping_the_picture(normalize: Any, seed: int) -> None:
    """Hands by their wrists and the body by its shoulders: a mapped picture gives the mapped clip."""
    pose = make_pose(frames=3, keypoints=get_keypoint_set("upper_body_hands_face").keypoints)
    recipe = PoseRecipe("upper_body_hands_face", normalize)
    augmentation = Augmentation(rotate_degrees=20, shear=0.1, scale=0.2)
    clip = recipe.pack(pose).astype(np.float32)
    rng = np.random.default_rng(seed)
    mapped = augmentation(clip.copy(), keypoints=recipe.names, rng=rng, normalize=normalize)
    mapped, clip = mapped[..., :2], clip[..., :2]
    for part in (PARTS.left_hand, PARTS.right_hand, PARTS.body):
        points = list(part)
        before, after = clip[:, points], mapped[:, points]
        matrix = np.linalg.lstsq(before.reshape(-1, 2), after.reshape(-1, 2), rcond=None)[0]
        np.testing.assert_allclose(before @ matrix, after, atol=1e-4)
        if part is PARTS.left_hand:
            one = matrix
        np.testing.assert_allclose(matrix, one, atol=1e-3)


# ------------------------------------------------------------------------------- mirror

MIRROR = Augmentation(mirror=1.0)


@pytest.mark.parametrize("name", ["upper_body_hands_face", "uni_sign", "reduced_holistic", "all"])
@pytest.mark.parametrize("normalize", ["shoulders", "parts", "box"])
def test_a_mirrored_clip_is_the_clip_of_the_mirrored_picture(name: str, normalize: Any) -> None:
    names = get_keypoint_set("all").keypoints
    pose = make_pose(frames=3, keypoints=names)
    swap = [names.index(mirror_name(point)) for point in names]
    picture = make_pose(frames=3, keypoints=names)
    picture.data[:] = pose.data[:, swap]
    picture.data[..., 0] = 500 - picture.data[..., 0]
    recipe = PoseRecipe(name, normalize)
    rng = np.random.default_rng(0)
    clip = recipe.pack(pose).astype(np.float32)
    mirrored = MIRROR(clip, keypoints=recipe.names, rng=rng, normalize=normalize)
    np.testing.assert_allclose(mirrored, recipe.pack(picture).astype(np.float32), atol=5e-3)


def test_a_mirror_of_a_mirror_is_the_clip() -> None:
    np.testing.assert_array_equal(augment(augment(make_clip(), MIRROR, 0), MIRROR, 1), make_clip())


def test_points_without_a_mirror_image_among_the_keypoints_become_missing() -> None:
    keypoints = get_keypoint_set("youtube_asl").keypoints
    clip = np.ones((4, 85, 3), np.float16)
    mirrored = MIRROR(clip, keypoints=keypoints, rng=np.random.default_rng(0))
    lost = [keypoints.index(f"FACE_LANDMARKS.{i}") for i in (37, 82, 178, 181)]
    assert not mirrored[:, lost].any()
    assert mirrored[..., -1].sum() == 4 * (85 - 4)


def test_clips_are_mirrored_as_often_as_asked_for() -> None:
    clip = make_clip(frames=1, share=0)
    sometimes = Augmentation(mirror=0.3)
    seen = [not np.array_equal(augment(clip, sometimes, seed), clip) for seed in range(1000)]
    assert np.mean(seen) == pytest.approx(0.3, abs=0.045)  # three standard deviations


# ------------------------------------------------------------------------------- errors of detectors


def test_noise_has_the_size_asked_for_and_is_new_in_every_frame() -> None:
    clip = make_clip(frames=200, share=0)
    noise = (augment(clip, Augmentation(joint_noise=0.1), 1) - clip)[..., :2]
    assert noise.std() == pytest.approx(0.1, rel=0.03)
    assert noise.mean() == pytest.approx(0, abs=0.003)
    by_frame = noise.reshape(200, -1)
    nearby = [np.corrcoef(by_frame[i], by_frame[i + 1])[0, 1] for i in range(199)]
    assert np.abs(np.mean(nearby)) < 0.05
    x_and_y = np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]
    assert abs(x_and_y) < 0.05


def test_noise_reaches_every_coordinate_of_long_clips() -> None:
    clip = np.ones((900, 600, 4), np.float32)  # more numbers than the supply usually has
    noisy = Augmentation(joint_noise=0.1)(clip.copy(), keypoints=(), rng=np.random.default_rng(0))
    assert (noisy[..., :3] != 1).mean() > 0.999
    np.testing.assert_array_equal(noisy[..., 3], clip[..., 3])


@given(seed=SEEDS)
def test_an_outlier_stands_where_another_point_of_its_part_is(seed: int) -> None:
    clip = make_clip()
    changed = augment(clip, Augmentation(outliers=0.1), seed)
    np.testing.assert_array_equal(changed[..., -1], clip[..., -1])
    parts = [PARTS.body, PARTS.left_hand, PARTS.right_hand]
    part_of = {point: part for part in parts for point in part}
    for frame, point in zip(*np.nonzero((changed != clip).any(axis=2)), strict=True):
        part = clip[frame, list(part_of[point])]
        assert (np.abs(part - changed[frame, point]).max(axis=1) == 0).any()


def test_as_many_outliers_as_asked_for() -> None:
    clip = make_clip(frames=300, share=0)
    changed = (augment(clip, Augmentation(outliers=0.05), 0) != clip).any(axis=2)
    assert changed.mean() == pytest.approx(0.05, abs=0.01)  # a few are taken for themselves


# ------------------------------------------------------------------------------- speed


@pytest.mark.parametrize("resampling", ["nearest", "linear"])
@given(seed=SEEDS, frames=st.integers(1, 50), share=st.floats(0.01, 0.9))
def test_both_ways_of_resampling_play_for_equally_long(
    resampling: Any, seed: int, frames: int, share: float
) -> None:
    clip = numbered_clip(frames)
    rng = np.random.default_rng(seed)
    played = change_speed(clip, share, rng=rng, resampling=resampling)[:, 0, 0]
    one = change_speed(clip, share, rng=np.random.default_rng(seed))[:, 0, 0]
    assert len(played) == len(one)
    assert np.abs(played - one).max() <= 0.5
    assert (np.diff(played) >= 0).all()


@given(seed=SEEDS)
def test_linear_resampling_keeps_even_motion_even(seed: int) -> None:
    clip = numbered_clip(30)
    clip[..., -1] = 1
    rng = np.random.default_rng(seed)
    steps = np.diff(change_speed(clip, 0.5, rng=rng, resampling="linear")[:, 0, 0])
    assert np.ptp(steps) < 1e-4


@pytest.mark.parametrize("frames", [1, 2, 30])
def test_linear_resampling_is_the_resampling_of_poses(frames: int) -> None:
    """`poses.transforms.resample` takes times by the frame rate; here the ends stay the ends."""
    pose = make_pose(frames=60)
    pose.confidence[np.random.default_rng(3).random(pose.confidence.shape) < 0.2] = 0
    pose.data[pose.confidence == 0] = 0
    half = resample(pose, 50.0)  # every second frame is one of the pose
    clip = np.concatenate([pose.data, pose.confidence[..., None]], axis=2)

    augmentation = Augmentation(speed=0.9, speed_resampling="linear")
    seeds = derive_seeds(np.arange(10_000))
    halved = augmentation.time(np.full(10_000, 60), seeds).lengths == 119
    (played,) = augmentation.apply([clip], seeds[halved][:1], keypoints=())
    wanted = np.concatenate([half.data, half.confidence[..., None]], axis=2)
    assert len(played) == 119
    np.testing.assert_allclose(played, wanted[:119], atol=1e-3)


def test_linear_resampling_never_blends_with_a_missing_point() -> None:
    clip = np.ones((9, 1, 3), np.float32)
    clip[4] = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        played = change_speed(clip.copy(), 0.9, rng=rng, resampling="linear")
        assert set(played[..., :2].ravel().tolist()) <= {0.0, 1.0}
        np.testing.assert_array_equal(played[..., 0], played[..., 2])

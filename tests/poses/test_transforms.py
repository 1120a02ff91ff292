from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import KEYPOINTS, make_pose
from signseq.errors import PoseError
from signseq.poses.keypoints import (
    NOSE,
    SHOULDERS,
    UNI_SIGN_BODY,
    WRISTS,
    find_parts,
    get_keypoint_set,
)
from signseq.poses.sequence import PoseFile, PoseSequence, write_pose
from signseq.poses.transforms import (
    PoseRecipe,
    fill_gaps,
    mask_unusable,
    normalize_box,
    normalize_parts,
    normalize_shoulders,
    resample,
    select,
)

FACE_KEYPOINTS = get_keypoint_set("upper_body_hands_face").keypoints
LEFT, RIGHT = (KEYPOINTS.index(name) for name in SHOULDERS)
PARTS = find_parts(KEYPOINTS)
NORMALIZERS = pytest.mark.parametrize("normalize", [normalize_shoulders, normalize_parts])
ALL_NORMALIZERS = pytest.mark.parametrize(
    "normalize", [normalize_shoulders, normalize_parts, normalize_box]
)
BOX = [KEYPOINTS.index(f"POSE_LANDMARKS.{point}") for point in UNI_SIGN_BODY]


def moving_pose(positions: list[float], *, fps: float = 25.0) -> PoseSequence:
    """One point that moves along x."""
    data = np.array(positions, dtype=np.float32)[:, None, None].repeat(2, axis=2)
    return PoseSequence(data, np.ones((len(data), 1), np.float32), fps, ("A.POINT",))


def with_missing(pose: PoseSequence, *, seed: int = 0, share: float = 0.2) -> PoseSequence:
    """The pose with points missing here and there; their coordinates are nonsense."""
    confidence, data = pose.confidence.copy(), pose.data.copy()
    lost = np.random.default_rng(seed).random(confidence.shape) < share
    confidence[lost], data[lost] = 0, 12_345
    return replace(pose, data=data, confidence=confidence)


def write_file(path: Path, pose: PoseSequence) -> PoseFile:
    write_pose(path, pose)
    return PoseFile.open(path)


# ------------------------------------------------------------------------------- unusable points


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 60_000, -1e30])
def test_points_with_unusable_coordinates_are_missing(value: float) -> None:
    pose = make_pose()
    pose.data[3, 5, 1] = value
    masked = mask_unusable(pose)
    assert masked.confidence[3, 5] == 0
    assert masked.data[3, 5].tolist() == [0, 0, 0]
    assert (masked.confidence == 0).sum() == 1


@pytest.mark.parametrize("confidence", [np.nan, 0.0, -1.0, 1e-9])
def test_points_without_confidence_are_missing(confidence: float) -> None:
    pose = make_pose()
    pose.confidence[3, 5] = confidence
    masked = mask_unusable(pose)
    assert masked.confidence[3, 5] == 0
    assert not masked.data[3, 5].any()


def test_confidence_is_at_most_1() -> None:
    pose = make_pose()
    pose.confidence[:] = 7
    assert (mask_unusable(pose).confidence == 1).all()


# ------------------------------------------------------------------------------- select


def test_select_takes_points_in_the_order_asked_for() -> None:
    pose = make_pose()
    names = (KEYPOINTS[4], KEYPOINTS[0])
    chosen = select(pose, names)
    assert chosen.keypoints == names
    np.testing.assert_array_equal(chosen.data, pose.data[:, [4, 0]])


def test_points_that_the_estimator_does_not_give_are_missing() -> None:
    chosen = select(make_pose(keypoints=FACE_KEYPOINTS), ("FACE_LANDMARKS.468", FACE_KEYPOINTS[-1]))
    assert not chosen.confidence[:, 0].any()
    assert not chosen.data[:, 0].any()
    assert chosen.confidence[:, 1].all()


def test_a_component_that_is_absent_is_an_error() -> None:
    with pytest.raises(
        PoseError,
        match=r"none of the points asked for in FACE_LANDMARKS; its components are POSE_LANDMARKS, LEFT_.*"
        r"Choose another `data\.keypoints`",
    ):
        select(make_pose(), FACE_KEYPOINTS)


# ------------------------------------------------------------------------------- normalise


def test_shoulders_come_to_one_half_left_and_right_of_the_origin() -> None:
    pose = make_pose()  # shoulders at x = 350 and 150, y = 250
    pose.data[:, LEFT], pose.data[:, RIGHT] = (350, 250, 0), (150, 250, 0)
    pose.data[:, 0] = (250, 50, 20)
    normal = normalize_shoulders(pose)
    np.testing.assert_allclose(normal.data[:, LEFT], [[0.5, 0, 0]] * 12, atol=1e-6)
    np.testing.assert_allclose(normal.data[:, RIGHT], [[-0.5, 0, 0]] * 12, atol=1e-6)
    np.testing.assert_allclose(normal.data[:, 0], [[0, -1, 0.1]] * 12, atol=1e-6)


def test_depth_does_not_count_for_the_shoulder_width() -> None:
    pose = make_pose()
    pose.data[:, LEFT], pose.data[:, RIGHT] = (350, 250, 90), (150, 250, -90)
    normal = normalize_shoulders(pose).data
    np.testing.assert_allclose(normal[:, LEFT, 0] - normal[:, RIGHT, 0], 1, atol=1e-6)


@ALL_NORMALIZERS
@given(
    shift=st.tuples(*[st.floats(-1000, 1000)] * 3),
    scale=st.floats(0.05, 20),
    seed=st.integers(0, 5),
)
def test_where_and_how_large_a_person_is_does_not_matter(
    normalize: Any, shift: tuple[float, ...], scale: float, seed: int
) -> None:
    whole = make_pose(seed=seed, frames=5, keypoints=FACE_KEYPOINTS)
    pose = with_missing(whole, seed=seed)
    pose.data[0], pose.confidence[0] = whole.data[0], 1  # one frame shows both shoulders
    moved = replace(pose, data=(pose.data * scale + shift).astype(np.float32))
    pose, moved = mask_unusable(pose), mask_unusable(moved)
    np.testing.assert_allclose(normalize(moved).data, normalize(pose).data, atol=2e-3)


@ALL_NORMALIZERS
def test_missing_points_stay_missing_and_at_zero(normalize: Any) -> None:
    pose = mask_unusable(with_missing(make_pose(keypoints=FACE_KEYPOINTS)))
    normal = normalize(pose)
    assert not normal.confidence[pose.confidence == 0].any()
    assert not normal.data[normal.confidence == 0].any()


@NORMALIZERS
def test_missing_points_never_move_others(normalize: Any) -> None:
    pose = make_pose(keypoints=FACE_KEYPOINTS)
    ordinary = [
        i for i, name in enumerate(FACE_KEYPOINTS) if name not in (*SHOULDERS, *WRISTS, NOSE)
    ]
    lost = replace(pose, data=pose.data.copy(), confidence=pose.confidence.copy())
    lost.confidence[4, ordinary[::2]], lost.data[4, ordinary[::2]] = 0, -999
    lost.confidence[2, FACE_KEYPOINTS.index(SHOULDERS[0])] = 0
    lost.data[2, FACE_KEYPOINTS.index(SHOULDERS[0])] = -999
    pose.confidence[2, FACE_KEYPOINTS.index(SHOULDERS[0])] = 0
    kept = lost.confidence > 0
    np.testing.assert_array_equal(normalize(lost).data[kept], normalize(pose).data[kept])


@NORMALIZERS
def test_a_pose_without_visible_shoulders_is_an_error(normalize: Any) -> None:
    pose = make_pose()
    pose.confidence[::2, LEFT], pose.confidence[1::2, RIGHT] = 0, 0
    with pytest.raises(PoseError, match="No frame shows both shoulders"):
        normalize(pose)


@NORMALIZERS
def test_shoulders_on_one_spot_are_an_error(normalize: Any) -> None:
    pose = make_pose()
    pose.data[:, LEFT] = pose.data[:, RIGHT]
    with pytest.raises(PoseError, match="shoulders lie on one spot"):
        normalize(pose)


@NORMALIZERS
def test_a_pose_without_shoulder_keypoints_is_an_error(normalize: Any) -> None:
    with pytest.raises(PoseError, match=r"no shoulder keypoints.*`data\.normalize: none`"):
        normalize(make_pose(keypoints=get_keypoint_set("hands").keypoints))


def test_a_hand_is_relative_to_its_wrist_and_scaled_by_the_shoulders() -> None:
    pose = make_pose()
    pose.data[:, LEFT], pose.data[:, RIGHT] = (350, 250, 0), (150, 250, 0)
    for hand in (PARTS.left_hand, PARTS.right_hand):
        normal = normalize_parts(pose).data[:, list(hand)]
        expected = (pose.data[:, list(hand)] - pose.data[:, hand[:1]]) / 200
        np.testing.assert_allclose(normal, expected, atol=1e-6)
        assert not normal[:, 0].any()  # the wrist


def test_the_face_is_relative_to_the_nose() -> None:
    pose = make_pose(keypoints=FACE_KEYPOINTS)
    face, nose = list(find_parts(FACE_KEYPOINTS).face), FACE_KEYPOINTS.index(NOSE)
    shoulders = normalize_shoulders(pose).data
    np.testing.assert_allclose(
        normalize_parts(pose).data[:, face], shoulders[:, face] - shoulders[:, [nose]], atol=1e-5
    )


@given(frame=st.integers(0, 11), shift=st.floats(-300, 300))
def test_moving_a_whole_hand_changes_nothing_in_the_hand(frame: int, shift: float) -> None:
    pose = make_pose()
    moved = replace(pose, data=pose.data.copy())
    moved.data[frame:, list(PARTS.left_hand)] += np.float32(shift)
    np.testing.assert_allclose(normalize_parts(moved).data, normalize_parts(pose).data, atol=1e-5)


def test_a_hand_without_its_wrist_is_missing_in_that_frame() -> None:
    pose = make_pose()
    pose.confidence[3, PARTS.right_hand[0]] = 0
    normal = normalize_parts(pose)
    assert not normal.confidence[3, list(PARTS.right_hand)].any()
    assert normal.confidence[3, list(PARTS.left_hand)].all()
    assert normal.confidence[4].all()


def test_parts_without_their_origin_among_the_keypoints_are_an_error() -> None:
    names = tuple(name for name in KEYPOINTS if name != WRISTS[0])
    with pytest.raises(PoseError, match=r"no keypoint LEFT_HAND_LANDMARKS\.WRIST.*use `shoulders`"):
        normalize_parts(make_pose(keypoints=names))


@ALL_NORMALIZERS
def test_normalising_leaves_its_input_unchanged(normalize: Any) -> None:
    pose = make_pose()
    normalize(pose)
    np.testing.assert_array_equal(pose.data, make_pose().data)
    np.testing.assert_array_equal(pose.confidence, make_pose().confidence)


# ------------------------------------------------------------------------------- the box of Uni-Sign


def crop_scale(points: Any, threshold: float) -> tuple[Any, float]:
    """What Uni-Sign's function of this name computes for x, y and score, without its clipping."""
    sure = points[points[..., 2] > threshold][:, :2]
    low, high = sure.min(axis=0), sure.max(axis=0)
    scale = (high - low).max()
    corner = (low + high - scale) / 2
    return ((points[..., :2] - corner) / scale - 0.5) * 2, scale


@pytest.mark.parametrize("seed", range(3))
def test_the_box_is_what_uni_sign_computes(seed: int) -> None:
    names = get_keypoint_set("uni_sign").keypoints
    pose = make_pose(seed=seed, keypoints=names)
    rng = np.random.default_rng(seed)
    pose.confidence[:] = rng.uniform(0.05, 1, pose.confidence.shape)
    flat = replace(pose, data=pose.data[..., :2])
    normal, parts = normalize_box(flat), find_parts(names)
    sure = pose.confidence > 0.3
    scored = np.concatenate([flat.data, flat.confidence[..., None]], axis=2)
    body, scale = crop_scale(scored[:, list(parts.body)], 0.3)
    expected = np.zeros_like(flat.data)
    expected[:, list(parts.body)] = body
    for part, origin in ((parts.left_hand, 0), (parts.right_hand, 0), (parts.face, -1)):
        own = flat.data[:, list(part)]
        expected[:, list(part)] = np.clip((own - own[:, [origin]]) / scale, -1, 1)
    np.testing.assert_allclose(normal.data[sure], expected[sure], atol=1e-4)
    np.testing.assert_array_equal(normal.confidence, np.where(sure, pose.confidence, 0))
    assert not normal.data[~sure].any()


def test_the_upper_body_fills_the_box() -> None:
    normal = normalize_box(make_pose())
    body = normal.data[:, BOX, :2]
    assert np.abs(body).max() == pytest.approx(1, abs=1e-5)
    spans = body.max(axis=(0, 1)) - body.min(axis=(0, 1))
    assert spans.max() == pytest.approx(2, abs=1e-5)


def test_unsure_points_do_not_change_the_box() -> None:
    pose = make_pose()
    far = replace(pose, data=pose.data.copy(), confidence=pose.confidence.copy())
    far.data[5, BOX[0]], far.confidence[5, BOX[0]] = 5000, 0.3
    kept = far.confidence > 0.3
    np.testing.assert_array_equal(normalize_box(far).data[kept], normalize_box(pose).data[kept])
    assert normalize_box(far).confidence[5, BOX[0]] == 0


def test_legs_lie_outside_the_box_and_leave_it_as_it_is() -> None:
    names = (*KEYPOINTS, "POSE_LANDMARKS.LEFT_ANKLE")
    pose = make_pose(keypoints=names)
    pose.data[:, -1] = (250, 2000, 0)
    normal = normalize_box(pose)
    assert normal.data[:, -1, 1].min() > 3
    rest = PoseSequence(pose.data[:, :-1], pose.confidence[:, :-1], 25.0, KEYPOINTS)
    np.testing.assert_array_equal(normal.data[:, :-1], normalize_box(rest).data)


def test_a_body_without_sure_points_has_no_box() -> None:
    pose = make_pose()
    pose.confidence[:, BOX] = 0.3
    pose.confidence[0, BOX[:3]] = 1
    with pytest.raises(PoseError, match=r"Fewer than four points.*confidence over 0\.3"):
        normalize_box(pose)


def test_an_upper_body_on_one_spot_is_an_error() -> None:
    pose = make_pose()
    pose.data[:, BOX] = 7
    with pytest.raises(PoseError, match="upper body lies on one spot"):
        normalize_box(pose)


def test_the_box_is_read_though_only_hands_are_kept(tmp_path: Path) -> None:
    recipe = PoseRecipe(keypoints="hands", normalize="box")
    raw = recipe.read(write_file(tmp_path / "a.pose", make_pose()))
    whole = PoseRecipe(keypoints="upper_body_hands", normalize="box").pack(make_pose())
    np.testing.assert_array_equal(recipe.pack(raw), whole[:, 11:])


# ------------------------------------------------------------------------------- gaps


def gappy_pose(values: str, *, fps: float = 25.0) -> PoseSequence:
    """One point at 10 times the frame's number; a dot is a frame that misses it."""
    pose = moving_pose([10.0 * i for i in range(len(values))], fps=fps)
    pose.confidence[:, 0] = [value != "." for value in values]
    pose.data[pose.confidence == 0] = -999
    return mask_unusable(pose)


@pytest.mark.parametrize(
    ("values", "frames", "filled"),
    [
        ("1.1", 1, "1f1"),
        ("1..1", 1, "1..1"),  # too long
        ("1..1", 2, "1ff1"),
        (".1.1.", 9, ".1f1."),  # nothing before the first, nothing after the last
        ("1..1.1...1", 2, "1ff1f1...1"),
        ("1.1", 0, "1.1"),
        ("...", 9, "..."),
        ("111", 9, "111"),
    ],
)
def test_short_gaps_are_filled_and_no_others(values: str, frames: int, filled: str) -> None:
    pose = fill_gaps(gappy_pose(values), frames)
    expected = {"1": 1.0, "f": 0.5, ".": 0.0}
    assert pose.confidence[:, 0].tolist() == [expected[value] for value in filled]
    places = [0.0 if value == "." else 10.0 * i for i, value in enumerate(filled)]
    np.testing.assert_allclose(pose.data[:, 0, 0], places, atol=1e-4)


def test_a_filled_point_is_never_surer_than_its_neighbours() -> None:
    pose = gappy_pose("1.1.1")
    pose.confidence[[0, 2, 4], 0] = (0.2, 0.9, 0.8)
    assert fill_gaps(pose, 1).confidence[:, 0].tolist() == pytest.approx([0.2, 0.2, 0.9, 0.5, 0.8])


@given(seed=st.integers(0, 50), frames=st.integers(0, 6))
def test_filling_gaps_changes_no_seen_point_and_fills_each_point_by_itself(
    seed: int, frames: int
) -> None:
    pose = mask_unusable(with_missing(make_pose(frames=20), seed=seed, share=0.5))
    filled = fill_gaps(pose, frames)
    seen = pose.confidence > 0
    np.testing.assert_array_equal(filled.data[seen], pose.data[seen])
    np.testing.assert_array_equal(filled.confidence[seen], pose.confidence[seen])
    for point in range(0, len(KEYPOINTS), 9):
        alone = PoseSequence(
            pose.data[:, [point]], pose.confidence[:, [point]], 25.0, (KEYPOINTS[point],)
        )
        np.testing.assert_array_equal(fill_gaps(alone, frames).data[:, 0], filled.data[:, point])


def test_a_recipe_fills_gaps_before_it_normalises() -> None:
    pose = make_pose()
    pose.confidence[4, PARTS.left_hand[0]] = 0  # the wrist, without which the hand has no origin
    left = list(PARTS.left_hand)
    without = PoseRecipe("upper_body_hands").pack(pose)
    filled = PoseRecipe("upper_body_hands", fill_gaps=1).pack(pose)
    assert not without[4, left].any()
    assert (filled[4, left, -1] == [0.5, *[1.0] * 20]).all()
    np.testing.assert_array_equal(np.delete(filled, 4, 0), np.delete(without, 4, 0))


def test_filled_points_count_for_the_box() -> None:
    pose = make_pose()
    pose.confidence[4, BOX[0]] = 0
    packed = PoseRecipe("upper_body_hands", "box", fill_gaps=1).pack(pose)
    assert packed[4, BOX[0], -1] == 0.5


# ------------------------------------------------------------------------------- resample


@given(
    frames=st.integers(1, 60), old=st.sampled_from([10.0, 25.0, 29.97]), new=st.floats(1.0, 100.0)
)
def test_a_resampled_pose_lasts_as_long(frames: int, old: float, new: float) -> None:
    pose = resample(moving_pose([0.0] * frames, fps=old), new)
    assert len(pose) == max(1, round(frames * new / old))
    assert pose.fps == pytest.approx(new)


@given(new=st.floats(1.0, 100.0), value=st.floats(-500, 500, width=32))
def test_what_stands_still_stands_still(new: float, value: float) -> None:
    pose = resample(moving_pose([value] * 20), new)
    np.testing.assert_allclose(pose.data, value, rtol=1e-6)


@given(new=st.floats(5.0, 100.0), frames=st.integers(2, 40))
def test_even_motion_stays_even(new: float, frames: int) -> None:
    pose = resample(moving_pose([10.0 * i for i in range(frames)]), new)
    expected = np.minimum(np.arange(len(pose)) * 25 / new, frames - 1) * 10
    np.testing.assert_allclose(pose.data[:, 0, 0], expected, rtol=1e-4, atol=1e-3)


@given(new=st.floats(1.0, 100.0))
def test_the_first_frame_stays_the_first(new: float) -> None:
    pose = make_pose()
    np.testing.assert_array_equal(resample(pose, new).data[0], pose.data[0])


def test_the_same_frame_rate_changes_nothing() -> None:
    pose = make_pose()
    assert resample(pose, 25.0) is pose


def test_half_the_frame_rate_takes_every_second_frame() -> None:
    pose = make_pose()
    np.testing.assert_array_equal(resample(pose, 12.5).data, pose.data[::2])


def test_a_missing_frame_is_missing_around_it_and_moves_nothing() -> None:
    pose = moving_pose([10.0, 10.0, -999.0, 10.0, 10.0])
    pose.confidence[2] = 0
    fast = resample(mask_unusable(pose), 100.0)
    times = np.arange(20) / 4
    np.testing.assert_array_equal(fast.confidence[:, 0] == 0, np.rint(np.minimum(times, 4)) == 2)
    np.testing.assert_array_equal(fast.data[:, 0, 0], np.where(fast.confidence[:, 0] > 0, 10, 0))


# ------------------------------------------------------------------------------- recipe


def test_settings_of_later_versions_are_facts_only_where_they_are_on() -> None:
    """Or the stores and digests of earlier versions would be of no use."""
    earlier = {"keypoints": "hands", "normalize": "parts", "fps": None, "dimensions": 2}
    recipe = PoseRecipe(keypoints="hands")
    assert recipe.facts() == earlier
    assert list(recipe.facts()) == list(earlier)
    assert PoseRecipe(**earlier) == recipe
    filling = replace(recipe, fill_gaps=3)
    assert filling.facts() == earlier | {"fill_gaps": 3}
    assert PoseRecipe(**filling.facts()) == filling


def test_a_recipe_keeps_the_estimator_of_a_pose() -> None:
    pose = replace(make_pose(), estimator="openpose")
    assert PoseRecipe("upper_body_hands", fps=10).apply(pose).estimator == "openpose"


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("name", ["hands", "upper_body_hands", "upper_body_hands_face"])
def test_a_packed_pose_is_float16_with_the_confidence_last(name: str, dimensions: int) -> None:
    recipe = PoseRecipe(keypoints=name, dimensions=dimensions)
    pose = make_pose(keypoints=FACE_KEYPOINTS)
    pose.confidence[:] = np.linspace(0.5, 1, 12)[:, None]
    packed = recipe.pack(pose)
    assert packed.dtype == np.float16
    assert (
        packed.shape
        == (12, len(recipe.names), dimensions + 1)
        == (
            12,
            len(recipe.names),
            recipe.channels,
        )
    )
    np.testing.assert_allclose(
        packed[..., -1], pose.confidence[:, :1].repeat(len(recipe.names), 1), rtol=1e-3
    )


@pytest.mark.parametrize(
    ("name", "normalize"), [("none", "none"), ("shoulders", "shoulders"), ("parts", "parts")]
)
def test_a_packed_pose_is_the_transforms_one_after_another(name: str, normalize: Any) -> None:
    pose = with_missing(make_pose(keypoints=FACE_KEYPOINTS))
    flat = mask_unusable(replace(pose, data=pose.data[..., :2]))
    one = {"none": lambda p: p, "shoulders": normalize_shoulders, "parts": normalize_parts}[name](
        flat
    )
    expected = resample(select(one, KEYPOINTS), 10)
    packed = PoseRecipe("upper_body_hands", normalize, fps=10).pack(pose)
    np.testing.assert_array_equal(packed[..., :2], expected.data.astype(np.float16))
    np.testing.assert_array_equal(packed[..., 2], expected.confidence.astype(np.float16))


@given(seed=st.integers(0, 50), share=st.floats(0, 0.9))
def test_missing_points_are_packed_as_zeros_and_nothing_is_infinite(
    seed: int, share: float
) -> None:
    pose = with_missing(make_pose(frames=4), seed=seed, share=share)
    pose.confidence[0] = 1
    pose.data[0] = make_pose(frames=1).data[0]
    pose.data[1, seed] = (np.nan, np.inf, -np.inf)[seed % 3]
    packed = PoseRecipe("upper_body_hands", fps=30.0).pack(pose)
    assert np.isfinite(packed).all()
    assert not packed[packed[..., -1] == 0].any()


def test_hands_alone_are_normalised_by_shoulders_that_are_not_kept(tmp_path: Path) -> None:
    recipe = PoseRecipe(keypoints="hands")
    raw = recipe.read(write_file(tmp_path / "a.pose", make_pose()))
    whole = PoseRecipe(keypoints="upper_body_hands").pack(make_pose())
    np.testing.assert_array_equal(recipe.pack(raw), whole[:, 11:])


def test_a_pose_without_hands_is_fine() -> None:
    pose = make_pose()
    pose.confidence[:, [*PARTS.left_hand, *PARTS.right_hand]] = 0
    packed = PoseRecipe(keypoints="upper_body_hands").pack(pose)
    assert packed[:, :11, -1].all()
    assert not packed[:, 11:].any()


def test_a_pose_without_hands_has_nothing_of_the_set_hands() -> None:
    pose = make_pose()
    pose.confidence[:, [*PARTS.left_hand, *PARTS.right_hand]] = 0
    with pytest.raises(PoseError, match="No keypoint of the set 'hands' is visible in any frame"):
        PoseRecipe(keypoints="hands").pack(pose)


@pytest.mark.parametrize("confidence", [0.0, np.nan, -1.0, 1e-12])
def test_a_pose_with_all_points_missing_is_an_error(confidence: float) -> None:
    pose = make_pose()
    pose.confidence[:] = confidence
    with pytest.raises(PoseError, match="Every keypoint is missing in every frame"):
        PoseRecipe(keypoints="upper_body_hands").pack(pose)


def test_a_flat_pose_is_fine_for_two_dimensions_and_an_error_for_three() -> None:
    pose = make_pose()
    flat = replace(pose, data=pose.data[..., :2])
    recipe = PoseRecipe(keypoints="upper_body_hands")
    np.testing.assert_array_equal(recipe.pack(flat), recipe.pack(pose))
    with pytest.raises(
        PoseError, match=r"has 2 coordinates per point, `data\.dimensions` asks for 3"
    ):
        replace(recipe, dimensions=3).pack(flat)


def test_an_unknown_normalisation_is_an_error() -> None:
    wrong: Any = "shoulder"
    with pytest.raises(
        PoseError, match="No normalisation 'shoulder'; there are: none, shoulders, parts"
    ):
        PoseRecipe(normalize=wrong)


@pytest.mark.parametrize(
    ("start", "end", "frames"),
    [
        (0.0, None, range(50)),
        (1.0, None, range(25, 50)),
        (0.0, 1.0, range(25)),
        (0.4, 0.8, range(10, 20)),
        (0.0, 0.28, range(7)),  # 0.28 * 25 is 7.000000000000001
        (0.41, 0.79, range(10, 20)),  # frames that are shown only in part count
        (1.9, 99.0, range(47, 50)),
    ],
)
def test_seconds_become_the_frames_that_they_show(
    tmp_path: Path, start: float, end: float | None, frames: range
) -> None:
    file = write_file(tmp_path / "a.pose", make_pose(frames=50))
    pose = PoseRecipe(keypoints="upper_body_hands").read(file, start=start, end=end)
    np.testing.assert_array_equal(pose.data, file.data[frames.start : frames.stop, 0])


@pytest.mark.parametrize(("start", "end"), [(2.0, None), (1.0, 1.0), (1.5, 0.5), (-1.0, 1.0)])
def test_an_empty_range_of_seconds_is_an_error(
    tmp_path: Path, start: float, end: float | None
) -> None:
    file = write_file(tmp_path / "a.pose", make_pose(frames=50))
    with pytest.raises(PoseError, match=r"a\.pose: frames .* are empty or outside"):
        PoseRecipe(keypoints="upper_body_hands").read(file, start=start, end=end)


def test_a_recipe_reads_only_the_range_and_the_points_that_it_needs() -> None:
    asked: dict[str, Any] = {}

    class FakeFile(PoseFile):
        def read(self, **kwargs: Any) -> PoseSequence:
            asked.update(kwargs)
            return make_pose()

    pose = make_pose(frames=100, keypoints=get_keypoint_set("all").keypoints)
    file = FakeFile(pose.data[:, None], pose.confidence[:, None], 25.0, pose.keypoints, (1, 1), "a")
    PoseRecipe(keypoints="hands").read(file, start=1.0, end=2.0)
    assert (asked["start_frame"], asked["end_frame"]) == (25, 50)
    assert set(asked["keypoints"]) == {*get_keypoint_set("hands").keypoints, *SHOULDERS, NOSE}


def test_unknown_components_beside_the_known_are_ignored(tmp_path: Path) -> None:
    pose = make_pose(keypoints=(*KEYPOINTS, "TAIL.TIP"))
    recipe = PoseRecipe(keypoints="upper_body_hands")
    packed = recipe.pack(recipe.read(write_file(tmp_path / "a.pose", pose)))
    np.testing.assert_array_equal(packed, recipe.pack(pose))


def test_a_file_of_unknown_components_only_is_an_error(tmp_path: Path) -> None:
    file = write_file(tmp_path / "a.pose", make_pose(keypoints=("BODY_135.Nose", "BODY_135.Neck")))
    with pytest.raises(
        PoseError,
        match=r"a\.pose: has no keypoint of the set 'hands'; its components are BODY_135\.",
    ):
        PoseRecipe(keypoints="hands").read(file)

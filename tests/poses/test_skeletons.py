from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pose_format.utils.alphapose_133 import get_alphapose_133_components
from pose_format.utils.cocowholebody133_header import cocowholebody_components
from pose_format.utils.openpose import OpenPose_Components

from conftest import make_pose
from signseq.errors import PoseError
from signseq.poses.keypoints import BODY, FACE, KEYPOINT_SETS, get_keypoint_set, mirror_name
from signseq.poses.sequence import PoseFile, PoseSequence, read_pose, write_pose
from signseq.poses.skeletons import (
    SKELETONS,
    canonical_names,
    describe_change,
    guess_estimator,
    share_of,
)
from signseq.poses.transforms import PoseRecipe

COCO, OPENPOSE = SKELETONS["coco_wholebody"].names, SKELETONS["openpose"].names


def spelled(components: Any) -> tuple[str, ...]:
    """The names that a .pose file with these components has."""
    return tuple(f"{part.name}.{point}" for part in components for point in part.points)


SPELLINGS = [
    pytest.param(spelled(OpenPose_Components), "openpose", id="openpose"),
    pytest.param(spelled(cocowholebody_components()), "coco_wholebody", id="coco"),
    pytest.param(spelled(get_alphapose_133_components()), "coco_wholebody", id="alphapose"),
]


def pose_of(skeleton: str, *, frames: int = 6) -> PoseSequence:
    """A pose that an estimator could give: each point stands where its name says, in every skeleton."""
    names = SKELETONS[skeleton].names
    rest = np.array([place_of(name) for name in names])
    data = np.broadcast_to(rest, (frames, *rest.shape)).astype(np.float32)
    return PoseSequence(data, np.ones((frames, len(names)), np.float32), 25.0, names)


def place_of(name: str) -> list[float]:
    rng = np.random.default_rng(list(name.encode()))
    return [*rng.uniform(100, 400, size=3)]


# ------------------------------------------------------------------------------- points


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("mediapipe_holistic", 543),  # 33 + 468 + 21 + 21
        ("mediapipe_holistic_world", 576),  # and 33 once more
        ("mediapipe_holistic_refined", 553),  # with 10 iris points
        ("mediapipe_holistic_refined_world", 586),
        ("mediapipe_tasks", 553),
        ("openpose", 137),  # 25 + 70 + 21 + 21
        ("coco_wholebody", 133),  # 17 + 6 + 68 + 21 + 21
        ("youtube_asl_104", 104),  # 208 numbers a frame
    ],
)
def test_a_skeleton_has_as_many_points_as_its_format(name: str, count: int) -> None:
    names = SKELETONS[name].names
    assert len(names) == len(set(names)) == count
    assert SKELETONS[name].name == name


@pytest.mark.parametrize(
    ("skeleton", "number", "name"),
    [
        # OpenPose's output page: BODY_25, then the face from 25, then the left and the right hand
        ("openpose", 1, "POSE_LANDMARKS.NECK"),
        ("openpose", 2, "POSE_LANDMARKS.RIGHT_SHOULDER"),
        ("openpose", 4, "POSE_LANDMARKS.RIGHT_WRIST"),
        ("openpose", 7, "POSE_LANDMARKS.LEFT_WRIST"),
        ("openpose", 16, "POSE_LANDMARKS.LEFT_EYE"),
        ("openpose", 19, "POSE_LANDMARKS.LEFT_BIG_TOE"),
        ("openpose", 25 + 8, "FACE_LANDMARKS.152"),  # the chin
        ("openpose", 95, "LEFT_HAND_LANDMARKS.WRIST"),
        ("openpose", 95 + 8, "LEFT_HAND_LANDMARKS.INDEX_FINGER_TIP"),
        ("openpose", 116, "RIGHT_HAND_LANDMARKS.WRIST"),
        # COCO-WholeBody's figure, which counts from 1
        ("coco_wholebody", 5, "POSE_LANDMARKS.LEFT_SHOULDER"),
        ("coco_wholebody", 9, "POSE_LANDMARKS.LEFT_WRIST"),
        ("coco_wholebody", 17, "POSE_LANDMARKS.LEFT_BIG_TOE"),
        ("coco_wholebody", 23 + 8, "FACE_LANDMARKS.152"),
        ("coco_wholebody", 53, "FACE_LANDMARKS.1"),  # the nose tip
        ("coco_wholebody", 91, "LEFT_HAND_LANDMARKS.WRIST"),
        ("coco_wholebody", 95, "LEFT_HAND_LANDMARKS.THUMB_TIP"),
        ("coco_wholebody", 132, "RIGHT_HAND_LANDMARKS.PINKY_TIP"),
        # MediaPipe's pose figure; .pose files have the body first
        ("mediapipe_holistic", 11, "POSE_LANDMARKS.LEFT_SHOULDER"),
        ("mediapipe_holistic", 33, "FACE_LANDMARKS.0"),
        ("mediapipe_holistic", 501, "LEFT_HAND_LANDMARKS.WRIST"),
        ("mediapipe_holistic_world", 543, "POSE_WORLD_LANDMARKS.NOSE"),
        ("youtube_asl_104", 24, "POSE_LANDMARKS.RIGHT_HIP"),
        ("youtube_asl_104", 25, "RIGHT_HAND_LANDMARKS.WRIST"),
        ("youtube_asl_104", 103, "FACE_LANDMARKS.473"),
    ],
)
def test_a_point_stands_where_the_format_has_it(skeleton: str, number: int, name: str) -> None:
    assert SKELETONS[skeleton].names[number] == name


@pytest.mark.parametrize("skeleton", [COCO, OPENPOSE], ids=["coco", "openpose"])
def test_hands_are_the_same_points_everywhere(skeleton: tuple[str, ...]) -> None:
    hands = [name for name in skeleton if "_HAND_" in name]
    assert hands == list(get_keypoint_set("hands").keypoints)


@pytest.mark.parametrize("skeleton", [COCO, OPENPOSE], ids=["coco", "openpose"])
def test_the_face_contour_is_its_own_mirror_image(skeleton: tuple[str, ...]) -> None:
    face = [name for name in skeleton if name.startswith(FACE)]
    jaw, brows, nose = face[:17], face[17:27], face[31:36]
    for symmetric in (jaw, brows, nose):
        assert [mirror_name(name) for name in symmetric] == symmetric[::-1]
    assert {mirror_name(name) for name in face} == set(face)


def test_openpose_and_coco_name_the_same_68_face_points() -> None:
    assert OPENPOSE[25 : 25 + 68] == COCO[23 : 23 + 68]


def test_a_point_of_one_estimator_only_has_a_name_of_its_own() -> None:
    own = {name for name in OPENPOSE if name not in SKELETONS["mediapipe_holistic_refined"].names}
    assert own == {f"{BODY}.{point}" for point in ("NECK", "MID_HIP")} | {
        f"{BODY}.{side}_{toe}_TOE" for side in ("LEFT", "RIGHT") for toe in ("BIG", "SMALL")
    }


# ------------------------------------------------------------------------------- .pose files


@pytest.mark.parametrize(("names", "skeleton"), SPELLINGS)
def test_pose_formats_own_headers_become_our_names(names: tuple[str, ...], skeleton: str) -> None:
    assert canonical_names(names) == SKELETONS[skeleton].names


@pytest.mark.parametrize(("names", "skeleton"), SPELLINGS)
def test_a_pose_file_of_another_estimator_is_read_by_our_names(
    tmp_path: Path, names: tuple[str, ...], skeleton: str
) -> None:
    write_pose(tmp_path / "a.pose", make_pose(keypoints=names))
    file = PoseFile.open(tmp_path / "a.pose")
    assert file.keypoints == SKELETONS[skeleton].names
    assert file.read().estimator == skeleton
    wrist = "LEFT_HAND_LANDMARKS.WRIST"
    assert file.read(keypoints=[wrist]).estimator == skeleton  # though the name alone doesn't tell
    np.testing.assert_array_equal(
        file.read(keypoints=[wrist]).data[:, 0], file.data[:, 0, file.keypoints.index(wrist)]
    )


def test_unknown_names_stay_as_they_are() -> None:
    assert canonical_names(("BODY_135.Nose", "TAIL.TIP")) == ("BODY_135.Nose", "TAIL.TIP")


def test_pose_formats_mirror_of_the_mesh_is_ours() -> None:
    """Its module imports mediapipe, so the table is read from its source."""
    spec = importlib.util.find_spec("pose_format")
    assert spec is not None
    assert spec.origin is not None
    source = (Path(spec.origin).parent / "utils" / "holistic.py").read_text(encoding="utf-8")
    table = ast.literal_eval(source.split("FLIPPED_FACE_POINTS = ")[1].split("]")[0] + "]")
    assert [mirror_name(f"{FACE}.{i}") for i in range(478)] == [f"{FACE}.{i}" for i in table]


# ------------------------------------------------------------------------------- estimators


@pytest.mark.parametrize("name", SKELETONS)
def test_a_whole_skeleton_tells_its_estimator(name: str) -> None:
    assert guess_estimator(SKELETONS[name].names) == SKELETONS[name].estimator


@pytest.mark.parametrize(
    ("names", "estimator"),
    [
        (KEYPOINT_SETS["upper_body_hands"].keypoints, "mediapipe"),  # all of them have it
        (("FACE_LANDMARKS.5",), "mediapipe"),  # not among the 68
        (("POSE_LANDMARKS.NOSE", "POSE_LANDMARKS.LEFT_BIG_TOE"), "coco_wholebody"),
        (("POSE_LANDMARKS.NECK",), "openpose"),
        (("pose_keypoints_2d.Nose",), "openpose"),
        (("LEFT_HAND.hand_0",), "coco_wholebody"),
        (("TAIL.TIP",), None),
        (("pose_keypoints_2d.Nose", "BODY.nose"), None),  # two at once
    ],
)
def test_an_estimator_is_guessed_from_names(names: tuple[str, ...], estimator: str | None) -> None:
    assert guess_estimator(names) == estimator


def test_what_another_estimator_means_is_said() -> None:
    said = describe_change("openpose", ["mediapipe"], KEYPOINT_SETS["youtube_asl"].keypoints)
    assert "poses of openpose; the checkpoint was trained on poses of mediapipe" in said
    assert "gives 82% of its 85 keypoints" in said


# ------------------------------------------------------------------------------- the bridge


@pytest.mark.parametrize(
    ("keypoints", "skeleton", "share"),
    [
        ("hands", "openpose", 1.0),
        ("upper_body_hands_face", "coco_wholebody", 1.0),
        ("uni_sign", "coco_wholebody", 1.0),
        ("uni_sign", "mediapipe_holistic", 1.0),
        ("youtube_asl", "mediapipe_holistic", 83 / 85),  # without irises
        ("youtube_asl", "mediapipe_tasks", 1.0),
        ("youtube_asl", "openpose", 70 / 85),
        ("all", "mediapipe_holistic", 1.0),
    ],
)
def test_the_share_of_a_set_that_a_skeleton_has(
    keypoints: str, skeleton: str, share: float
) -> None:
    assert share_of(get_keypoint_set(keypoints).keypoints, skeleton) == pytest.approx(share)


def test_the_share_of_nothing_is_zero_and_of_an_unknown_skeleton_an_error() -> None:
    assert share_of((), "openpose") == 0
    with pytest.raises(PoseError, match="No skeleton 'kinect'; there are: mediapipe_holistic, "):
        share_of((), "kinect")


@pytest.mark.parametrize("skeleton", ["openpose", "coco_wholebody", "mediapipe_tasks"])
@pytest.mark.parametrize("keypoints", KEYPOINT_SETS)
@pytest.mark.parametrize("normalize", ["shoulders", "parts", "box"])
def test_every_skeleton_gives_what_mediapipe_gives_or_nothing(
    keypoints: str, skeleton: str, normalize: Any
) -> None:
    recipe = PoseRecipe(keypoints=keypoints, normalize=normalize)
    wanted = recipe.pack(pose_of("mediapipe_holistic_refined"))
    packed = recipe.pack(pose_of(skeleton))
    there = np.isin(recipe.names, SKELETONS[skeleton].names)
    np.testing.assert_array_equal(packed[:, there], wanted[:, there])
    assert not packed[:, ~there].any()


def test_the_clip_of_another_estimator_goes_through_a_file(tmp_path: Path) -> None:
    names = spelled(OpenPose_Components)
    pose = pose_of("openpose")
    flat = PoseSequence(pose.data[..., :2], pose.confidence, 25.0, names)
    write_pose(tmp_path / "a.pose", flat)
    recipe = PoseRecipe(keypoints="upper_body_hands_face")
    packed = recipe.pack(recipe.read(PoseFile.open(tmp_path / "a.pose")))
    np.testing.assert_array_equal(packed, recipe.pack(pose_of("mediapipe_holistic")))
    assert read_pose(tmp_path / "a.pose").keypoints == OPENPOSE


def test_the_shares_in_the_docs_are_those_of_the_code() -> None:
    text = (Path(__file__).parents[2] / "docs" / "poses.md").read_text(encoding="utf-8")
    skeletons = ("mediapipe_holistic", "mediapipe_tasks", "openpose", "coco_wholebody")
    for name, keypoint_set in KEYPOINT_SETS.items():
        keypoints = keypoint_set.keypoints
        shares = " | ".join(f"{100 * share_of(keypoints, s):.0f}%" for s in skeletons)
        assert f"| `{name}` | {len(keypoints)} | {shares} |" in text

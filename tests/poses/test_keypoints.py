from __future__ import annotations

from pathlib import Path

import pytest
from pose_format import Pose
from pose_format.utils.generic import reduce_holistic

from conftest import make_pose
from signseq.errors import PoseError
from signseq.poses.keypoints import (
    BODY_POINTS,
    HAND_POINTS,
    KEYPOINT_SETS,
    find_parts,
    get_keypoint_set,
    mirror_name,
    skeleton_edges,
)
from signseq.poses.sequence import write_pose
from signseq.poses.skeletons import SKELETONS

MIRRORED = (
    *("hands", "upper_body_hands", "upper_body_hands_face", "youtube_asl_104", "uni_sign"),
    *("reduced_holistic", "all"),
)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("hands", 42),
        ("upper_body_hands", 53),  # 11 of the body
        ("upper_body_hands_face", 80),  # 27 of the face
        ("youtube_asl", 85),  # arXiv:2306.15162: "85 of 543 landmarks"
        ("youtube_asl_104", 104),  # 208 numbers a frame
        ("uni_sign", 69),  # arXiv:2501.15187
        ("reduced_holistic", 178),
        ("all", 543),  # MediaPipe Holistic: 33 + 468 + 21 + 21
    ],
)
def test_a_set_has_as_many_points_as_its_source_says(name: str, count: int) -> None:
    keypoints = get_keypoint_set(name).keypoints
    assert len(keypoints) == len(set(keypoints)) == count


def test_the_points_of_uni_sign_are_those_that_its_code_takes_of_coco_wholebody() -> None:
    """github.com/ZechengLi19/Uni-Sign, datasets.py, load_part_kp."""
    numbers = [
        *(0, *range(3, 11)),
        *range(91, 133),
        *(*range(23, 40, 2), *range(83, 91), 53),
    ]
    names = SKELETONS["coco_wholebody"].names
    assert get_keypoint_set("uni_sign").keypoints == tuple(names[i] for i in numbers)


def test_the_reduced_points_are_those_that_pose_format_leaves(tmp_path: Path) -> None:
    pose = make_pose(frames=1, keypoints=SKELETONS["mediapipe_holistic_world"].names)
    write_pose(tmp_path / "a.pose", pose)
    reduced = reduce_holistic(Pose.read((tmp_path / "a.pose").read_bytes()))
    left = [f"{part.name}.{point}" for part in reduced.header.components for point in part.points]
    assert get_keypoint_set("reduced_holistic").keypoints == tuple(left)


def test_only_four_points_of_youtube_asl_have_no_mirror_image_in_it() -> None:
    keypoints = get_keypoint_set("youtube_asl").keypoints
    alone = [name for name in keypoints if mirror_name(name) not in keypoints]
    assert alone == [f"FACE_LANDMARKS.{i}" for i in (37, 82, 178, 181)]


def test_a_body_has_33_points_and_a_hand_21() -> None:
    assert (len(BODY_POINTS), len(HAND_POINTS)) == (33, 21)  # MediaPipe's counts


@pytest.mark.parametrize("name", [*MIRRORED[:3], "uni_sign", "reduced_holistic"])
def test_smaller_sets_are_part_of_all(name: str) -> None:
    assert set(get_keypoint_set(name).keypoints) <= set(get_keypoint_set("all").keypoints)


def test_only_the_irises_of_youtube_asl_are_not_in_all() -> None:
    rest = set(get_keypoint_set("youtube_asl").keypoints) - set(get_keypoint_set("all").keypoints)
    assert rest == {"FACE_LANDMARKS.468", "FACE_LANDMARKS.473"}


@pytest.mark.parametrize("name", KEYPOINT_SETS)
def test_the_parts_divide_a_set(name: str) -> None:
    keypoints = get_keypoint_set(name).keypoints
    parts = find_parts(keypoints)
    positions = [*parts.body, *parts.face, *parts.left_hand, *parts.right_hand]
    assert sorted(positions) == list(range(len(keypoints)))
    assert len(parts.left_hand) == len(parts.right_hand) == 21


def test_a_part_that_is_absent_is_empty() -> None:
    assert find_parts(("POSE_LANDMARKS.NOSE", "POSE_WORLD_LANDMARKS.NOSE")).body == (0,)
    assert find_parts(("OTHER.NOSE",)) == find_parts(())


@pytest.mark.parametrize("name", KEYPOINT_SETS)
def test_bones_connect_two_points_of_one_component(name: str) -> None:
    keypoints = get_keypoint_set(name).keypoints
    edges = skeleton_edges(keypoints)
    assert edges
    for a, b in edges:
        assert a != b
        assert keypoints[a].split(".")[0] == keypoints[b].split(".")[0]


def test_a_hand_is_a_tree_from_the_wrist() -> None:
    edges = skeleton_edges(get_keypoint_set("hands").keypoints)
    assert len(edges) == 2 * 20  # a tree of 21 points
    reached = {0, 21}
    for a, b in edges:
        assert a in reached
        reached.add(b)
    assert reached == set(range(42))


def test_bones_follow_the_names_not_the_order() -> None:
    keypoints = get_keypoint_set("upper_body_hands").keypoints
    turned = keypoints[::-1]
    assert {(keypoints[a], keypoints[b]) for a, b in skeleton_edges(keypoints)} == {
        (turned[a], turned[b]) for a, b in skeleton_edges(turned)
    }


@pytest.mark.parametrize("name", MIRRORED)
def test_a_mirror_of_a_mirror_is_the_point_itself(name: str) -> None:
    keypoints = get_keypoint_set(name).keypoints
    assert [mirror_name(mirror_name(point)) for point in keypoints] == list(keypoints)
    assert {mirror_name(point) for point in keypoints} == set(keypoints)


@pytest.mark.parametrize(
    ("point", "other"),
    [
        ("POSE_LANDMARKS.NOSE", "POSE_LANDMARKS.NOSE"),
        ("POSE_LANDMARKS.LEFT_ELBOW", "POSE_LANDMARKS.RIGHT_ELBOW"),
        ("POSE_LANDMARKS.MOUTH_LEFT", "POSE_LANDMARKS.MOUTH_RIGHT"),
        ("LEFT_HAND_LANDMARKS.THUMB_TIP", "RIGHT_HAND_LANDMARKS.THUMB_TIP"),
        ("FACE_LANDMARKS.152", "FACE_LANDMARKS.152"),  # the chin
        ("FACE_LANDMARKS.454", "FACE_LANDMARKS.234"),  # the ears' ends of the jaw
    ],
)
def test_the_mirror_swaps_left_and_right(point: str, other: str) -> None:
    assert mirror_name(point) == other


def test_a_face_point_without_a_known_partner_is_an_error() -> None:
    with pytest.raises(PoseError, match=r"No mirror image is known.*'FACE_LANDMARKS\.999'"):
        mirror_name("FACE_LANDMARKS.999")


def test_an_unknown_set_names_the_nearest() -> None:
    with pytest.raises(
        PoseError, match=r"'upper_body_hand'; there are: hands.*Did you mean 'upper_body_hands'"
    ):
        get_keypoint_set("upper_body_hand")

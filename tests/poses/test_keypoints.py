from __future__ import annotations

import pytest

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

MIRRORED = ("hands", "upper_body_hands", "upper_body_hands_face")


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("hands", 42),
        ("upper_body_hands", 53),  # 11 of the body
        ("upper_body_hands_face", 80),  # 27 of the face
        ("youtube_asl", 85),  # arXiv:2306.15162: "85 of 543 landmarks"
        ("all", 543),  # MediaPipe Holistic: 33 + 468 + 21 + 21
    ],
)
def test_a_set_has_as_many_points_as_its_source_says(name: str, count: int) -> None:
    keypoints = get_keypoint_set(name).keypoints
    assert len(keypoints) == len(set(keypoints)) == count


def test_a_body_has_33_points_and_a_hand_21() -> None:
    assert (len(BODY_POINTS), len(HAND_POINTS)) == (33, 21)  # MediaPipe's counts


@pytest.mark.parametrize("name", [*MIRRORED[:2], "upper_body_hands_face"])
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
    with pytest.raises(PoseError, match=r"No mirror image is known.*'FACE_LANDMARKS\.5'"):
        mirror_name("FACE_LANDMARKS.5")


def test_an_unknown_set_names_the_nearest() -> None:
    with pytest.raises(
        PoseError, match=r"'upper_body_hand'; there are: hands.*Did you mean 'upper_body_hands'"
    ):
        get_keypoint_set("upper_body_hand")

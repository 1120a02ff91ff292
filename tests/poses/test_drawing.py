from __future__ import annotations

import base64

import numpy as np
import pytest

from conftest import make_pose
from signseq.poses.drawing import ABSENT, SIDE, draw_pose
from signseq.poses.keypoints import get_keypoint_set
from signseq.poses.sequence import PoseSequence
from signseq.poses.transforms import PoseRecipe

NAMES = get_keypoint_set("upper_body_hands").keypoints


HAND = [i for i, name in enumerate(NAMES) if name.startswith("LEFT_HAND")]


def drawn(normalize: str, pose: PoseSequence | None = None) -> np.ndarray:
    recipe = PoseRecipe(keypoints="upper_body_hands", normalize=normalize)
    packed = recipe.pack(pose or make_pose(frames=4))
    return draw_pose(packed, recipe.names, normalize=normalize, fps=25).points.astype(float)


@pytest.mark.parametrize("normalize", ["parts", "box"])
def test_parts_that_were_normalised_by_themselves_stand_at_their_wrists(normalize):
    points = drawn(normalize)
    for side in ("LEFT", "RIGHT"):
        hand = NAMES.index(f"{side}_HAND_LANDMARKS.WRIST")
        body = NAMES.index(f"POSE_LANDMARKS.{side}_WRIST")
        np.testing.assert_allclose(points[:, hand], points[:, body], atol=1)


@pytest.mark.parametrize("normalize", ["parts", "box"])
def test_a_hand_keeps_its_size_beside_the_body(normalize):
    def ratio(points):
        """A finger's length in shoulder widths."""
        names = ("POSE_LANDMARKS.LEFT_SHOULDER", "POSE_LANDMARKS.RIGHT_SHOULDER")
        a, b = (points[0, NAMES.index(name)] for name in names)
        wrist, tip = (points[0, HAND[0]], points[0, HAND[8]])
        return np.linalg.norm(wrist - tip) / np.linalg.norm(a - b)

    pose = make_pose(frames=4)
    pose.data[:, HAND] = pose.data[:, HAND[:1]] + 0.2 * (
        pose.data[:, HAND] - pose.data[:, HAND[:1]]
    )
    assert ratio(drawn(normalize, pose)) == pytest.approx(ratio(pose.data[..., :2]), rel=0.05)


def test_everything_lies_in_the_square_and_what_is_not_visible_is_marked():
    packed = PoseRecipe(keypoints="upper_body_hands", normalize="none").pack(make_pose(frames=3))
    packed[1, 5] = 0
    pose = draw_pose(packed, NAMES, normalize="none", fps=25)
    assert (pose.points[1, 5] == ABSENT).all()
    seen = pose.points[pose.points < ABSENT]
    assert 0 <= seen.min() < seen.max() <= SIDE
    assert len(base64.b64decode(pose.encoded)) == pose.points.size * 2


def test_long_clips_and_many_points_are_thinned_out():
    names = get_keypoint_set("all").keypoints
    pose = draw_pose(np.ones((400, len(names), 3), np.float16), names, normalize="none", fps=25)
    assert pose.points.shape[0] == 150
    assert pose.points.shape[1] <= 120
    assert len(pose.hands) == 42


def test_a_clip_in_which_nothing_is_visible_is_all_absent():
    pose = draw_pose(np.zeros((2, len(NAMES), 3), np.float16), NAMES, normalize="parts", fps=25)
    assert (pose.points == ABSENT).all()

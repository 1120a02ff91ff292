"""The real landmarker, where it is installed: pip install 'signseq[video]'."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("mediapipe")

from signseq.errors import PoseError
from signseq.poses.estimation.clips import extract
from signseq.poses.estimation.estimator import ESTIMATORS, Region
from signseq.poses.sequence import read_pose, write_pose
from signseq.poses.skeletons import SKELETONS
from videos import walk, write_video

# Ours is set once, and each test begins with other filters.
pytestmark = pytest.mark.filterwarnings("ignore:SymbolDatabase.GetPrototype")


@pytest.fixture(scope="module")
def estimator():
    return ESTIMATORS["mediapipe_holistic"]()


def test_a_picture_without_a_person_has_no_points(estimator):
    tracker = estimator.new_tracker()
    image = np.full((120, 160, 3), 90, np.uint8)

    for region in (None, Region(20, 10, 100, 90)):
        found = tracker.follow(image, region)
        assert found.shape == (576, 4)
        assert not found.any()
    assert estimator.find_faces(image).shape == (0, 4)
    tracker.close()


def test_squares_are_nobody(estimator, tmp_path):
    with pytest.raises(PoseError, match="nobody is in view"):
        extract(write_video(tmp_path / "a.mp4", walk(5)), estimator)


def test_its_points_are_read_back_as_mediapipes(estimator, tmp_path):
    from signseq.poses.sequence import PoseSequence

    names = estimator.keypoints
    pose = PoseSequence(
        np.ones((2, 576, 3), np.float32), np.ones((2, 576), np.float32), 25.0, names
    )
    write_pose(tmp_path / "a.pose", pose, size=(100, 100))

    found = read_pose(tmp_path / "a.pose")

    assert found.keypoints == names == SKELETONS["mediapipe_holistic_world"].names
    assert found.estimator == "mediapipe"

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose_files import random_points, write_wholebody
from signseq.errors import PoseError
from signseq.poses.skeletons import SKELETONS
from signseq.poses.sources.opening import open_poses
from signseq.poses.sources.source import PoseFormat, PoseSource

FORMAT = PoseFormat("wholebody_pkl", fps=30, allow_pickle=True)
VALUES = random_points(6, 133)


def open_file(path: Path, pose_format: PoseFormat = FORMAT) -> PoseSource:
    return open_poses(str(path), pose_format=pose_format)


def open_facts(path: Path, facts: Any) -> PoseSource:
    path.write_bytes(pickle.dumps(facts))
    return open_file(path)


def test_frames_come_with_their_names_and_scores(tmp_path: Path) -> None:
    source = open_file(write_wholebody(tmp_path / "a.pkl", VALUES))
    pose = source.read(1, 4).read()
    np.testing.assert_array_equal(pose.data, VALUES[1:4, :, :2])
    np.testing.assert_array_equal(pose.confidence, VALUES[1:4, :, 2])
    assert (len(source), pose.fps, pose.estimator) == (6, 30, "coco_wholebody")
    assert pose.keypoints == SKELETONS["coco_wholebody"].names


def test_start_and_end_are_frames(tmp_path: Path) -> None:
    source = open_file(write_wholebody(tmp_path / "a.pkl", VALUES, start=2, end=5))
    assert len(source) == 3
    np.testing.assert_array_equal(source.read(1, 3).read().data, VALUES[3:5, :, :2])


def test_the_size_of_the_picture_undoes_the_division_by_it(tmp_path: Path) -> None:
    divided = VALUES / np.array([512, 300, 1], np.float32)
    source = open_file(
        write_wholebody(tmp_path / "a.pkl", divided),
        PoseFormat("wholebody_pkl", fps=30, size=(512, 300), allow_pickle=True),
    )
    np.testing.assert_allclose(source.read().read().data, VALUES[..., :2], rtol=1e-5)


def test_several_people_and_nobody(tmp_path: Path) -> None:
    faint = VALUES[1] * [1, 1, 0.1]
    frames = [np.stack([faint, VALUES[0]]), np.zeros((0, 133, 3)), VALUES[2:3]]
    facts = {"keypoints": [f[..., :2] for f in frames], "scores": [f[..., 2] for f in frames]}
    file = open_facts(tmp_path / "a.pkl", facts).read()
    pose = file.read()
    assert file.people == 2
    assert pose.confidence.any(axis=1).tolist() == [True, False, True]
    np.testing.assert_array_equal(pose.data[[0, 2]], VALUES[[0, 2], :, :2])


def test_without_the_switch_nothing_is_read(tmp_path: Path) -> None:
    path = write_wholebody(tmp_path / "a.pkl", VALUES)
    with pytest.raises(PoseError, match=r"a\.pkl: a pickle, .* set data\.allow_pickle: true"):
        open_file(path, PoseFormat("wholebody_pkl", fps=30))


def test_code_in_a_frame_never_runs(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    facts = {"keypoints": [Bomb()], "scores": [np.ones((1, 133))]}
    with pytest.raises(PoseError, match="which is no data; nothing of it was run"):
        open_facts(tmp_path / "a.pkl", facts)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ([1, 2], r"holds list; expected \{'keypoints'"),
        ({}, "holds nothing; expected"),
        ({"keypoints": []}, "holds 'keypoints'; expected"),
        ({"keypoints": [1], "scores": []}, "1 frames of keypoints, 0 of scores; expected"),
        ({"keypoints": 5, "scores": 5}, "'int' object is not iterable; expected"),
        ({"keypoints": [], "scores": []}, "frames 0 to 0, but holds 0 frames"),
        ({"keypoints": [1], "scores": [1], "start": 0, "end": 2}, "frames 0 to 2, but holds 1 frames"),
        ({"keypoints": [1], "scores": [1], "start": "x"}, "invalid literal"),
    ],
)  # fmt: skip
def test_another_form_is_an_error(tmp_path: Path, facts: Any, said: str) -> None:
    with pytest.raises(PoseError, match=rf"a\.pkl: .*{said}"):
        open_facts(tmp_path / "a.pkl", facts)


@pytest.mark.parametrize("frame", [np.ones((1, 17, 2)), "x", None, [[1, 2], [3]]])
def test_a_frame_of_other_points_is_an_error_with_its_number(tmp_path: Path, frame: Any) -> None:
    facts = {"keypoints": [VALUES[:1, :, :2], frame], "scores": [VALUES[:1, :, 2]] * 2}
    with pytest.raises(PoseError, match=r"a\.pkl, frame 1: "):
        open_facts(tmp_path / "a.pkl", facts).read()

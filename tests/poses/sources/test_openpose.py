from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pose_files import random_points, write_openpose
from signseq.errors import PoseError
from signseq.poses.skeletons import SKELETONS
from signseq.poses.sources.opening import open_poses
from signseq.poses.sources.source import PoseFormat, PoseSource

FORMAT = PoseFormat("openpose", fps=30)
VALUES = random_points(4, 137)


def open_folder(path: Path, pose_format: PoseFormat = FORMAT) -> PoseSource:
    return open_poses(str(path), pose_format=pose_format)


def test_frames_come_in_order_with_their_names(tmp_path: Path) -> None:
    source = open_folder(write_openpose(tmp_path / "clip", [[frame] for frame in VALUES]))
    pose = source.read(1, 3).read()
    np.testing.assert_allclose(pose.data, VALUES[1:3, :, :2], atol=1e-3)
    np.testing.assert_allclose(pose.confidence, VALUES[1:3, :, 2], atol=1e-3)
    assert (len(source), source.fps) == (4, 30)
    assert pose.keypoints == SKELETONS["openpose"].names
    assert pose.estimator == "openpose"


def test_a_part_has_the_names_of_that_part(tmp_path: Path) -> None:
    pose = open_folder(write_openpose(tmp_path / "clip", [[VALUES[0]]])).read().read()
    content = json.loads(next((tmp_path / "clip").iterdir()).read_text())["people"][0]
    hand = pose.keypoints.index("RIGHT_HAND_LANDMARKS.WRIST")
    assert pose.data[0, hand].tolist() == pytest.approx(content["hand_right_keypoints_2d"][:2])


def test_a_missing_frame_in_the_middle_is_masked_and_counted(tmp_path: Path) -> None:
    frames = [[VALUES[0]], None, [VALUES[2]], None, [VALUES[3]]]
    source = open_folder(write_openpose(tmp_path / "clip", frames))
    pose = source.read().read()
    assert pose.confidence.any(axis=1).tolist() == [True, False, True, False, True]
    assert [source.count_absent(*r) for r in ((0, 5), (0, 1), (1, 3), (3, 5))] == [2, 0, 1, 1]


def test_a_frame_with_nobody_is_masked_but_not_missing(tmp_path: Path) -> None:
    source = open_folder(write_openpose(tmp_path / "clip", [[VALUES[0]], [], [VALUES[1]]]))
    assert source.read().read().confidence.any(axis=1).tolist() == [True, False, True]
    assert source.count_absent(0, 3) == 0


def test_a_clip_with_nobody_is_all_masked(tmp_path: Path) -> None:
    file = open_folder(write_openpose(tmp_path / "clip", [[], []])).read()
    assert (file.people, file.read().confidence.any()) == (1, False)


def test_of_three_people_the_surest_is_taken_in_each_frame(tmp_path: Path) -> None:
    faint, fainter = VALUES[1] * [1, 1, 0.1], VALUES[2] * [1, 1, 0.05]
    frames = [[faint, VALUES[0], fainter], [VALUES[3], fainter], [VALUES[0]]]
    file = open_folder(write_openpose(tmp_path / "clip", frames)).read()
    assert file.people == 3
    np.testing.assert_allclose(file.read().data, VALUES[[0, 3, 0], :, :2], atol=1e-3)


def test_parts_that_openpose_did_not_look_for_are_masked(tmp_path: Path) -> None:
    folder = write_openpose(tmp_path / "clip", [[VALUES[0]]])
    path = next(folder.iterdir())
    content = json.loads(path.read_text())
    content["people"][0]["face_keypoints_2d"] = []
    path.write_text(json.dumps(content))
    pose = open_folder(folder).read().read()
    seen = [
        name.split(".")[0] for name, c in zip(pose.keypoints, pose.confidence[0], strict=True) if c
    ]
    assert len(seen) == 137 - 70
    assert "FACE_LANDMARKS" not in seen


def test_only_the_frames_asked_for_are_opened(tmp_path: Path) -> None:
    folder = write_openpose(tmp_path / "clip", [[frame] for frame in VALUES])
    (folder / "clip_000000000003_keypoints.json").write_text("{")
    assert len(open_folder(folder).read(0, 3)) == 3


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    folder = write_openpose(tmp_path / "clip", [[VALUES[0]]])
    (folder / "notes.json").write_text("{}")
    (folder / "clip_000000000009_keypoints.json.part").write_text("{}")
    assert len(open_folder(folder)) == 1


# ------------------------------------------------------------------------------- what is wrong


def test_a_missing_folder_and_a_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(PoseError, match=r"none: no such folder\."):
        open_folder(tmp_path / "none")
    (tmp_path / "file").write_text("x")
    with pytest.raises(PoseError, match=r"file: not a folder; expected OpenPose's JSON files"):
        open_folder(tmp_path / "file")


def test_a_folder_without_frames_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    with pytest.raises(PoseError, match=r"clip: no file in it is named like OpenPose's"):
        open_folder(tmp_path / "clip")


def test_a_folder_with_few_of_its_frames_is_an_error(tmp_path: Path) -> None:
    folder = write_openpose(tmp_path / "clip", [None, None, None, [VALUES[0]]])
    with pytest.raises(PoseError, match=r"1 files for frames 0 to 3; more than half .* missing"):
        open_folder(folder)


def test_two_videos_in_a_folder_are_an_error(tmp_path: Path) -> None:
    folder = write_openpose(tmp_path / "clip", [[VALUES[0]]])
    (folder / "other_000000000000_keypoints.json").write_text("{}")
    with pytest.raises(
        PoseError, match=r"frame 0 is there twice, in clip_0+_keypoints\.json and other"
    ):
        open_folder(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not a whole JSON file of OpenPose"),
        ('{"people": [{"pose', "not a whole JSON file of OpenPose"),
        ("[]", "not a whole JSON file of OpenPose"),
        ('{"version": 1.3}', "not a whole JSON file of OpenPose .KeyError: 'people'"),
        ('{"people": {"a": 1}}', "not a whole JSON file of OpenPose"),
        ('{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}', r"pose_keypoints_2d has 3 numbers, expected 75"),
        ('{"people": [{"hand_left_keypoints_2d": ' + str(["a"] * 63).replace("'", '"') + "}]}", "not a whole JSON"),
    ],
)  # fmt: skip
def test_a_damaged_frame_is_an_error_with_its_name(tmp_path: Path, content: str, said: str) -> None:
    folder = write_openpose(tmp_path / "clip", [[VALUES[0]], [VALUES[1]]])
    (folder / "clip_000000000001_keypoints.json").write_text(content)
    with pytest.raises(PoseError, match=rf"clip_000000000001_keypoints\.json: {said}"):
        open_folder(folder).read()


def test_a_frame_rate_that_nobody_says_is_an_error(tmp_path: Path) -> None:
    folder = write_openpose(tmp_path / "clip", [[VALUES[0]]])
    with pytest.raises(PoseError, match=r"doesn't say its frame rate\. Set data\.pose_files\.fps"):
        open_folder(folder, PoseFormat("openpose"))

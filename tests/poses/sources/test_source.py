from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import make_pose
from signseq.errors import PoseError
from signseq.poses.sequence import PoseFile, write_pose
from signseq.poses.sources.opening import open_poses, stamp_poses
from signseq.poses.sources.source import DOT_POSE, PoseFormat, PoseSource
from signseq.poses.transforms import PoseRecipe


@pytest.fixture
def source(tmp_path: Path) -> PoseSource:
    """Two seconds at 25 frames per second."""
    write_pose(tmp_path / "a.pose", make_pose(frames=50), size=(500, 500))
    return open_poses(str(tmp_path / "a.pose"))


def test_a_source_knows_its_length_rate_and_points(source: PoseSource) -> None:
    assert (len(source), source.fps, source.keypoints) == (50, 25.0, make_pose().keypoints)


@pytest.mark.parametrize(
    ("start", "end", "frames"),
    [
        (0, None, (0, 50)),
        (0, 0.28, (0, 7)),  # 0.28 x 25 is 7.000000000000001
        (1.16, None, (29, 50)),  # and 1.16 x 25 is 28.999999999999996
        (0.3, 0.41, (7, 11)),
        (1.0, 9.0, (25, 50)),
    ],
)
def test_times_become_the_frames_that_they_touch(
    source: PoseSource, start: float, end: float | None, frames: tuple[int, int]
) -> None:
    assert source.frame_range(start, end) == frames


def test_frames_are_counted_where_the_corpus_counts_them(source: PoseSource) -> None:
    assert source.frame_range(3, 7, unit="frames") == (3, 7)


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (5, 6, r"a\.pose: frames 125 to 50 are empty or outside the file's 50 frames"),
        (-1, 1, r"frames -25 to 25 are empty or outside"),
        (1, 1, r"frames 25 to 25 are empty"),
        (1.5, 0.5, r"a\.pose: the clip starts at 1\.5 and ends at 0\.5 seconds"),
    ],
)
def test_a_clip_outside_of_its_file_is_an_error(
    source: PoseSource, start: float, end: float, said: str
) -> None:
    with pytest.raises(PoseError, match=said):
        source.frame_range(start, end)


@pytest.mark.parametrize(
    ("end", "unit", "is_outside"),
    [(None, "seconds", False), (2.9, "seconds", False), (3.1, "seconds", True), (74, "frames", False),
     (80, "frames", True)],
)  # fmt: skip
def test_an_end_far_beyond_the_file_is_noticed(
    source: PoseSource, end: float | None, unit: str, is_outside: bool
) -> None:
    assert source.ends_before(end, unit=unit) == is_outside  # type: ignore[arg-type]


def test_reading_a_range_is_reading_that_range_of_the_file(source: PoseSource) -> None:
    recipe = PoseRecipe(keypoints="upper_body_hands", normalize="shoulders")
    whole = recipe.read(PoseFile.open(source.name), start=0.4, end=1.2)
    part = recipe.read(source.read(*source.frame_range(0.4, 1.2)))
    np.testing.assert_array_equal(part.data, whole.data)
    assert (len(part), part.fps) == (20, 25.0)


def test_a_source_without_frames_is_an_error(tmp_path: Path) -> None:
    write_pose(tmp_path / "a.pose", make_pose(frames=0), size=(5, 5))
    with pytest.raises(PoseError, match="the file has no frames"):
        open_poses(str(tmp_path / "a.pose")).read()


def test_an_unknown_format_lists_those_there_are() -> None:
    with pytest.raises(
        PoseError, match=r"No pose format 'bvh'; there are: pose, pose\.zst, openpose"
    ):
        PoseFormat("bvh")  # type: ignore[arg-type]


def test_whether_pickles_are_allowed_is_no_fact_of_the_poses() -> None:
    assert replace(DOT_POSE, allow_pickle=True).facts == DOT_POSE.facts == {"name": "pose"}
    assert PoseFormat("npy", fps=25, size=(3, 4)).facts == {
        "name": "npy",
        "fps": 25,
        "size": (3, 4),
    }


def test_a_stamp_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pose"

    def stamp() -> str:
        return stamp_poses(str(path), member=None, pose_format=DOT_POSE)

    assert stamp() == "missing"
    path.write_bytes(b"1")
    before = stamp()
    path.write_bytes(b"12")
    assert stamp() != before


@pytest.mark.parametrize("kind", ["openpose", "h5"])
def test_formats_that_a_zip_cannot_hold_say_so(tmp_path: Path, kind: str) -> None:
    member = "a" if kind == "openpose" else None
    with pytest.raises(PoseError, match=r"read unpacked only|which data set"):
        open_poses(
            str(tmp_path / "a.zip"),
            member=member,
            pose_format=PoseFormat(kind, fps=25),  # type: ignore[arg-type]
        )

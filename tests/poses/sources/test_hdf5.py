from __future__ import annotations

import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import h5py
import numpy as np
import pytest

from pose_files import random_points
from signseq.errors import MissingExtraError, PoseError
from signseq.poses.skeletons import SKELETONS
from signseq.poses.sources import hdf5
from signseq.poses.sources.opening import open_poses, stamp_poses
from signseq.poses.sources.source import PoseFormat, PoseSource

FORMAT = PoseFormat("h5", fps=30)
VALUES = random_points(6, 104, channels=2).astype(np.float16)


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """As YouTube-ASL's ready keypoints: {video: {clip: (T, 208)}}."""
    with h5py.File(tmp_path / "a.0.h5", "w") as file:
        for number in range(4):
            file[f"video/clip-{number}"] = VALUES.reshape(6, 208) + np.float16(number)
        file["video/pairs"] = VALUES
        file["video/odd"] = np.ones((6, 200))
    return tmp_path / "a.0.h5"


def open_clip(path: Path, member: str = "video/clip-0") -> PoseSource:
    return open_poses(str(path), member=member, pose_format=FORMAT)


@pytest.mark.parametrize("member", ["video/clip-0", "video/pairs"])
def test_a_clip_is_read_by_its_place(shard: Path, member: str) -> None:
    source = open_clip(shard, member)
    pose = source.read(2, 5).read()
    np.testing.assert_array_equal(pose.data, VALUES[2:5].astype(np.float32))
    assert (len(source), pose.fps, pose.data.shape) == (6, 30, (3, 104, 2))
    assert pose.keypoints == SKELETONS["youtube_asl_104"].names


def test_a_hand_that_was_not_found_is_missing(tmp_path: Path) -> None:
    values = VALUES.copy()
    values[1, 25:46] = 0  # the right hand
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["v/c"] = values.reshape(6, 208)
    pose = open_clip(tmp_path / "a.h5", "v/c").read().read()
    missing = [n for n, c in zip(pose.keypoints, pose.confidence[1], strict=True) if c == 0]
    assert {name.split(".")[0] for name in missing} == {"RIGHT_HAND_LANDMARKS"}
    assert len(missing) == 21


def _sum_of(job: tuple[Path, str]) -> tuple[float, int]:
    inherited = hdf5._open_file.cache_info().currsize
    return float(open_clip(*job).read().read().data.sum()), inherited


def test_no_handle_is_shared_with_a_forked_process(shard: Path) -> None:
    jobs = [(shard, f"video/clip-{number}") for number in range(4)]
    alone = [_sum_of(job)[0] for job in jobs]  # so that it is open before the fork
    with get_context("fork").Pool(1) as pool:
        found = pool.map(_sum_of, jobs, chunksize=1)
    assert [value for value, _ in found] == alone
    assert found[0][1] == 0


def test_the_file_is_opened_once(shard: Path) -> None:
    hdf5._open_file.cache_clear()
    for number in range(4):
        open_clip(shard, f"video/clip-{number}").read()
    assert hdf5._open_file.cache_info().misses == 1


def test_the_stamp_is_the_files_own(shard: Path) -> None:
    before = stamp_poses(str(shard), member="video/clip-0", pose_format=FORMAT)
    shard.write_bytes(b"x")
    assert stamp_poses(str(shard), member="video/clip-0", pose_format=FORMAT) != before


# ------------------------------------------------------------------------------- what is wrong


def test_a_missing_file_and_a_missing_clip_are_named(shard: Path) -> None:
    with pytest.raises(PoseError, match=r"none\.h5/video/clip-0: no such file\."):
        open_clip(shard.with_name("none.h5"))
    for member in ("video/none", "none/clip-0", "video"):
        with pytest.raises(PoseError, match=rf"a\.0\.h5/{member}: no such data set in the file"):
            open_clip(shard, member)


def test_a_clip_of_another_shape_is_an_error(shard: Path) -> None:
    with pytest.raises(
        PoseError, match=r"video/odd: an array of shape \(6, 200\) doesn't fit the 104"
    ):
        open_clip(shard, "video/odd")


@pytest.mark.parametrize("keep", [0, 50, 2000])
def test_a_truncated_file_is_an_error(shard: Path, keep: int) -> None:
    shard.write_bytes(shard.read_bytes()[:keep])
    with pytest.raises(PoseError, match=r"a\.0\.h5: (cut off|not a whole HDF5 file)"):
        open_clip(shard)


def test_a_damaged_file_is_an_error(shard: Path) -> None:
    content = shard.read_bytes()
    shard.write_bytes(content[:100] + bytes(len(content) - 100))
    with pytest.raises(PoseError, match=r"a\.0\.h5"):
        open_clip(shard).read()


def test_a_file_that_another_program_writes_is_an_error(shard: Path) -> None:
    code = "import h5py, sys; f = h5py.File(sys.argv[1], 'a'); print('open', flush=True); sys.stdin.read()"
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(shard)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"open\n"
        with pytest.raises(PoseError, match=r"a\.0\.h5: another program is writing this HDF5 file"):
            open_clip(shard)
        writer.communicate(b"")
    assert len(open_clip(shard)) == 6


def test_without_the_package_the_extra_is_named(
    shard: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hdf5._open_file.cache_clear()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'signseq\[h5\]'"):
        open_clip(shard)

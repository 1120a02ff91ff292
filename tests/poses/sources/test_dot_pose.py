from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import zstandard

from pose_files import pose_bytes
from signseq.errors import MissingExtraError, PoseError
from signseq.poses.sequence import read_pose
from signseq.poses.sources.opening import open_poses
from signseq.poses.sources.source import PoseFormat

PACKED = PoseFormat("pose.zst")


@pytest.mark.parametrize("knows_size", [True, False])
def test_a_packed_file_gives_what_the_bare_one_gives(tmp_path: Path, knows_size: bool) -> None:
    content = pose_bytes(tmp_path)
    compressor = zstandard.ZstdCompressor(write_content_size=knows_size)
    path = tmp_path / "a.pose.zst"
    # Two frames, end to end, as parallel packers write them.
    path.write_bytes(compressor.compress(content[:500]) + compressor.compress(content[500:]))
    source = open_poses(str(path), pose_format=PACKED)
    np.testing.assert_array_equal(source.read().read().data, read_pose(content).data)
    assert source.name == str(path)


@pytest.mark.parametrize("damage", ["cut", "bare", "empty"])
def test_a_damaged_packed_file_is_an_error_with_its_name(tmp_path: Path, damage: str) -> None:
    content = pose_bytes(tmp_path)
    packed = zstandard.ZstdCompressor().compress(content)
    path = tmp_path / "a.pose.zst"
    path.write_bytes({"cut": packed[: len(packed) // 2], "bare": content, "empty": b""}[damage])
    with pytest.raises(PoseError, match=r"a\.pose\.zst: (damaged|truncated|the file is empty)"):
        open_poses(str(path), pose_format=PACKED)


def test_a_missing_packed_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PoseError, match=r"none\.pose\.zst: no such file\."):
        open_poses(str(tmp_path / "none.pose.zst"), pose_format=PACKED)


def test_without_the_package_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.pose.zst").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'signseq\[zstd\]'"):
        open_poses(str(tmp_path / "a.pose.zst"), pose_format=PACKED)

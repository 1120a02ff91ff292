from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pose_files import pose_bytes, split_file, write_zip
from signseq.errors import DataError, PoseError
from signseq.poses.sequence import read_pose
from signseq.poses.sources import zipped
from signseq.poses.sources.opening import open_poses, stamp_poses
from signseq.poses.sources.source import DOT_POSE
from signseq.poses.sources.zipped import is_archive, open_archive

Members = dict[str, bytes]


@pytest.fixture
def members(tmp_path: Path) -> Members:
    return {f"clip-{i}.pose": pose_bytes(tmp_path, frames=5 + i, seed=i) for i in range(7)}


@pytest.fixture
def parts(tmp_path: Path, members: Members) -> list[Path]:
    """Four parts; members lie across their borders."""
    return split_file(write_zip(tmp_path / "all.zip", members), parts=4)


def read(path: Path, member: str) -> NDArray[np.float32]:
    return open_poses(str(path), member=member).read().read().data


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_members_are_read_where_they_are_however_the_zip_is_split(
    tmp_path: Path, members: Members, compression: int, count: int
) -> None:
    path = write_zip(tmp_path / "all.zip", members, compression=compression)
    if count > 1:
        path = split_file(path, parts=count)[0]
    before = sorted(os.listdir(tmp_path))
    for name, content in members.items():
        np.testing.assert_array_equal(read(path, name), read_pose(content).data)
    assert sorted(os.listdir(tmp_path)) == before  # nothing is unpacked


def test_a_member_is_found_by_its_name_in_a_folder(tmp_path: Path, members: Members) -> None:
    path = write_zip(tmp_path / "a.zip", {f"poses/v1/{n}": c for n, c in members.items()})
    assert open_archive(str(path)).read("clip-3.pose") == members["clip-3.pose"]


def test_a_name_that_two_folders_hold_is_not_guessed(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a/x.pose": b"1", "b/x.pose": b"2"})
    with pytest.raises(PoseError, match=r"a\.zip/x\.pose: no such file\."):
        open_archive(str(path)).read("x.pose")
    assert open_archive(str(path)).read("b/x.pose") == b"2"


def test_the_directory_is_read_once(
    parts: list[Path], members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    monkeypatch.setattr(
        zipped, "_Parts", lambda paths, kind=zipped._Parts: opened.append(1) or kind(paths)
    )
    for name in members:
        read(parts[0], name)
        stamp_poses(str(parts[0]), member=name, pose_format=DOT_POSE)
    assert len(opened) == 1


def test_a_zip_that_changes_is_read_anew(tmp_path: Path, members: Members) -> None:
    path = write_zip(tmp_path / "a.zip", {"x": b"first"})
    assert open_archive(str(path)).read("x") == b"first"
    write_zip(path, {"x": b"the second"})
    assert open_archive(str(path)).read("x") == b"the second"


def _sum_of(job: tuple[Path, str]) -> float:
    return float(sum(read(*job).sum() for _ in range(20)))


def test_processes_that_share_an_open_zip_read_the_same(
    parts: list[Path], members: Members
) -> None:
    jobs = [(parts[0], name) for name in members] * 2
    alone = [_sum_of(job) for job in jobs]  # so that it is open before the fork
    with get_context("fork").Pool(4) as pool:
        assert pool.map(_sum_of, jobs, chunksize=1) == alone


def test_the_place_in_a_file_that_processes_share_is_left_alone(
    parts: list[Path], members: Members
) -> None:
    for name in members:
        read(parts[0], name)
    files = open_archive(str(parts[0]))._parts._files
    assert [os.lseek(file, 0, os.SEEK_CUR) for file in files] == [0, 0, 0, 0]


def test_the_stamp_of_a_member_is_the_same_joined_and_in_parts(
    tmp_path: Path, members: Members
) -> None:
    path = write_zip(tmp_path / "all.zip", members)

    def stamps(path: Path) -> list[str]:
        return [stamp_poses(str(path), member=m, pose_format=DOT_POSE) for m in (*members, "none")]

    joined = stamps(path)
    assert stamps(split_file(path, parts=3)[0]) == joined
    assert len(set(joined)) == len(members) + 1


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("a.zip", True),
        ("a_part_aa", True),
        ("a_part_ab", False),
        ("poses", False),
        ("part_aa", True),
    ],
)
def test_archives_are_known_by_their_names(name: str, is_one: bool) -> None:
    assert is_archive(Path("x") / name) == is_one


# ------------------------------------------------------------------------------- what is wrong


def test_a_missing_member_is_named(parts: list[Path]) -> None:
    with pytest.raises(PoseError, match=r"all_part_aa/none\.pose: no such file\."):
        read(parts[0], "none.pose")


def test_a_missing_zip_is_named(tmp_path: Path) -> None:
    with pytest.raises(PoseError, match=r"none\.zip: no such file\."):
        read(tmp_path / "none.zip", "a.pose")
    assert stamp_poses(str(tmp_path / "none.zip"), member="a", pose_format=DOT_POSE) == "missing"


Damage = Callable[[list[Path]], object]


def cut(number: int) -> Damage:
    def apply(parts: list[Path]) -> object:
        return parts[number].write_bytes(parts[number].read_bytes()[:-100])

    return apply


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda parts: parts[1].unlink(), r"all_part_ab: this part is missing, but all_part_ac is"),
        (lambda parts: parts[3].unlink(), r"its 3 parts are no whole zip: all_part_ac is cut off, or all_part_ad"),
        (cut(0), r"all_part_aa: \d+ bytes, while another part has \d+; this one is cut off"),
        (cut(2), r"all_part_ac: \d+ bytes, while another part has \d+; this one is cut off"),
        (cut(3), r"its 4 parts are no whole zip: all_part_ad is cut off"),
    ],
)  # fmt: skip
def test_a_part_that_is_missing_or_cut_is_named(
    parts: list[Path], damage: Damage, said: str
) -> None:
    damage(parts)
    with pytest.raises(DataError, match=said):
        read(parts[0], "clip-0.pose")


def test_bytes_that_lack_before_the_directory_are_noticed(tmp_path: Path, members: Members) -> None:
    content = write_zip(tmp_path / "all.zip", members).read_bytes()
    # The sizes say nothing: the last part may be as small as it likes.
    (tmp_path / "all_part_aa").write_bytes(content[:-1050])
    (tmp_path / "all_part_ab").write_bytes(content[-1000:])
    with pytest.raises(
        DataError, match=r"50 bytes are missing .*; one of the parts before all_part_ab"
    ):
        read(tmp_path / "all_part_aa", "clip-0.pose")


@pytest.mark.parametrize("content", [b"", b"PK\3\4 no zip", b"x" * 5000])
def test_what_is_no_zip_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.zip: no whole zip; cut off, perhaps"):
        read(tmp_path / "a.zip", "a.pose")


def test_a_damaged_member_names_its_part(parts: list[Path], members: Members) -> None:
    content = bytearray(parts[1].read_bytes())
    content[len(content) // 2] ^= 0xFF
    parts[1].write_bytes(content)
    faults = []
    for name in members:
        try:
            read(parts[0], name)
        except PoseError as fault:
            faults.append(str(fault))
    assert len(faults) == 1  # the others are still read
    assert "can't be unpacked (Bad CRC-32" in faults[0]


def test_an_encrypted_member_is_an_error(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.pose": b"123"})
    content = bytearray(path.read_bytes())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # where the flags stand
        content[content.index(signature) + place] |= 1
    path.write_bytes(content)
    with pytest.raises(PoseError, match=r"a\.zip/a\.pose: can't be unpacked \(.*encrypted"):
        read(path, "a.pose")

"""Which faults of reading may pass, for every format: a shard that skips a clip for one is written again."""

from __future__ import annotations

import errno
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose_files import random_points, write_openpose
from signseq.errors import PoseAccessError, PoseError
from signseq.poses import layout
from signseq.poses.reading import may_pass, unreadable
from signseq.poses.sources import arrays, dot_pose, openpose, pickles, zipped
from signseq.poses.sources.opening import open_poses, stamp_poses
from signseq.poses.sources.source import PoseFormat


def refuse(*_: Any, **__: Any) -> Any:
    raise PermissionError(errno.EACCES, "Permission denied")


def fail(*_: Any, **__: Any) -> Any:
    raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE, errno.EMFILE])
def test_what_the_system_refuses_may_pass(number: int) -> None:
    fault = OSError(number, os.strerror(number))
    assert isinstance(unreadable("a.pose", fault), PoseAccessError)
    assert str(unreadable("a.pose", fault)) == f"a.pose: can't be read ({os.strerror(number)})."


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTDIR, errno.EISDIR])
def test_what_is_not_there_stays_so(number: int) -> None:
    assert type(unreadable("a.pose", OSError(number, "said"))) is PoseError


@pytest.mark.parametrize("fault", [OSError("truncated file"), ValueError("x"), MemoryError()])
def test_what_a_library_says_of_the_content_stays_so(fault: Exception) -> None:
    assert not may_pass(fault)


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        (layout, "pose"),
        (dot_pose, "pose.zst"),
        (pickles, "wholebody_pkl"),
    ],
)
def test_a_file_that_may_not_be_read_may_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, kind: Any
) -> None:
    pose_format = PoseFormat(kind, fps=25, allow_pickle=True)
    monkeypatch.setattr(module, "open", refuse, raising=False)
    with pytest.raises(PoseAccessError, match=r"a: can't be read \(Permission denied\)\."):
        open_poses(str(tmp_path / "a"), pose_format=pose_format)


def test_an_array_that_may_not_be_read_may_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays.np, "load", refuse)
    with pytest.raises(PoseAccessError, match=r"a\.npy: can't be read \(Permission denied\)\."):
        open_poses(str(tmp_path / "a.npy"), pose_format=PoseFormat("npy", fps=25))


def test_a_pickle_on_a_drive_that_fails_may_be_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({}))
    monkeypatch.setattr(pickles._DataUnpickler, "load", fail)
    with pytest.raises(PoseAccessError, match="Input/output error"):
        open_poses(
            str(tmp_path / "a.pkl"), pose_format=PoseFormat("wholebody_pkl", allow_pickle=True)
        )


def test_a_member_of_a_zip_on_a_drive_that_fails_may_be_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a.pose", b"content")
    archive = zipped.open_archive(str(tmp_path / "a.zip"))
    monkeypatch.setattr(archive._zip, "read", fail)
    with pytest.raises(PoseAccessError, match=r"a\.zip/a\.pose: can't be read \(Input/output err"):
        archive.read("a.pose")


@pytest.mark.parametrize("what", ["folder", "frame"])
def test_a_folder_or_a_frame_that_may_not_be_read_may_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    write_openpose(tmp_path / "clip", [[frame] for frame in random_points(2, 137)])
    if what == "folder":
        monkeypatch.setattr(openpose, "_list_frames", refuse)
    else:
        monkeypatch.setattr(openpose.Path, "read_bytes", refuse)
    with pytest.raises(PoseAccessError, match=r"can't be read \(Permission denied\)"):
        open_poses(str(tmp_path / "clip"), pose_format=PoseFormat("openpose", fps=25)).read()


# ------------------------------------------------------------------------------- HDF5


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["video/clip"] = np.ones((3, 208), np.float32)
    return tmp_path / "a.h5"


def read_shard(path: Path) -> object:
    return open_poses(str(path), member="video/clip", pose_format=PoseFormat("h5", fps=25)).read()


def test_an_hdf5_file_that_is_locked_may_be_read_later(
    shard: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.delenv("HDF5_USE_FILE_LOCKING", raising=False)
    with shard.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(PoseAccessError, match="another program is writing this HDF5 file"):
            read_shard(shard)
    read_shard(shard)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), PoseAccessError),
        (OSError("read failed: errno = 5, error message = 'Input/output error'"), PoseAccessError),
        (OSError("file signature not found"), PoseError),
        (OSError("truncated file: eof = 9"), PoseError),
    ],
)
def test_what_hdf5_says_tells_whether_it_may_pass(
    shard: Path, monkeypatch: pytest.MonkeyPatch, fault: OSError, kind: type[PoseError]
) -> None:
    import h5py

    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(h5py, "File", fail)
    with pytest.raises(PoseError) as caught:
        read_shard(shard)
    assert type(caught.value) is kind


Change = Callable[[Path], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text(path.read_text() + " "),
        lambda path: os.utime(path, (1e9, 3e9)),
        lambda path: path.unlink(),
    ],
)
def test_the_stamp_of_a_folder_of_frames_changes_with_any_file(
    tmp_path: Path, change: Change
) -> None:
    folder = write_openpose(tmp_path / "clip", [[frame] for frame in random_points(3, 137)])

    def stamp() -> str:
        return stamp_poses(str(folder), member=None, pose_format=PoseFormat("openpose", fps=25))

    before = stamp()
    assert stamp() == before
    change(sorted(folder.iterdir())[1])
    assert stamp() != before

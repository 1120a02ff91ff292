from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pose_files import random_points
from signseq.errors import PoseError
from signseq.poses.skeletons import SKELETONS
from signseq.poses.sources.opening import open_poses
from signseq.poses.sources.source import PoseFormat, PoseSource

HOLISTIC = PoseFormat("npy", skeleton="mediapipe_holistic", fps=24)
WHOLEBODY = PoseFormat("npy", skeleton="coco_wholebody", fps=24)
VALUES = random_points(5, 543)


def open_saved(path: Path, array: NDArray[Any], pose_format: PoseFormat = HOLISTIC) -> PoseSource:
    np.save(path / "a.npy", array)
    return open_poses(str(path / "a.npy"), pose_format=pose_format)


@pytest.mark.parametrize("shape", [(5, 543, 3), (5, 1, 543, 3), (5, 1629)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_arrays_of_all_forms_give_the_same_points(
    tmp_path: Path, shape: tuple[int, ...], dtype: Any
) -> None:
    pose = open_saved(tmp_path, VALUES.reshape(shape).astype(dtype)).read(1, 4).read()
    np.testing.assert_allclose(pose.data, VALUES[1:4], rtol=1e-3)
    assert pose.confidence.all()
    assert (pose.fps, pose.keypoints) == (24, SKELETONS["mediapipe_holistic"].names)
    assert pose.data.dtype == pose.confidence.dtype == np.float32


def test_a_third_channel_is_depth_of_mediapipe_and_confidence_elsewhere(tmp_path: Path) -> None:
    values = random_points(5, 133)
    pose = open_saved(tmp_path, values, WHOLEBODY).read().read()
    np.testing.assert_array_equal(pose.data, values[..., :2])
    np.testing.assert_array_equal(pose.confidence, values[..., 2])
    assert open_saved(tmp_path, VALUES).read().read().data.shape[2] == 3


def test_channels_that_are_said_are_taken_as_said(tmp_path: Path) -> None:
    said = PoseFormat("npy", skeleton="mediapipe_holistic", fps=24, channels="xyc")
    pose = open_saved(tmp_path, VALUES, said).read().read()
    np.testing.assert_array_equal(pose.confidence, VALUES[..., 2])


def test_what_is_no_number_or_at_the_origin_is_missing(tmp_path: Path) -> None:
    values = VALUES.copy()
    values[0, 3], values[1, 4, 1], values[2, 5] = np.nan, np.inf, 0
    confidence = open_saved(tmp_path, values).read().read().confidence
    assert np.argwhere(confidence == 0).tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize("filler", [0.0, -1.0, 0.5, np.nan])
def test_a_hand_that_is_filled_with_a_constant_is_missing(tmp_path: Path, filler: float) -> None:
    values = VALUES.copy()
    values[2, 33 + 468 : 33 + 468 + 21] = filler
    pose = open_saved(tmp_path, values).read().read()
    missing = [n for n, c in zip(pose.keypoints, pose.confidence[2], strict=True) if c == 0]
    assert len(missing) == 21
    assert all(name.startswith("LEFT_HAND_LANDMARKS.") for name in missing)


def test_the_size_of_the_picture_undoes_the_division_by_it(tmp_path: Path) -> None:
    divided = VALUES / np.array([1280, 720, 1280], np.float32)
    said = PoseFormat("npy", skeleton="mediapipe_holistic", fps=24, size=(1280, 720))
    np.testing.assert_allclose(
        open_saved(tmp_path, divided, said).read().read().data, VALUES, rtol=1e-5
    )


def test_a_size_for_coordinates_in_pixels_is_an_error(tmp_path: Path) -> None:
    said = PoseFormat("npy", skeleton="mediapipe_holistic", fps=24, size=(1280, 720))
    with pytest.raises(PoseError, match=r"are pixels, not shares.*Drop data\.pose_files\.size"):
        open_saved(tmp_path, VALUES, said).read()


def test_a_file_is_mapped_so_that_a_range_costs_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    array = np.lib.format.open_memmap(path, "w+", np.float32, (10**7, 543, 3))  # 65 GB, all holes
    array[9_000_000:9_000_005] = VALUES
    del array
    source = open_poses(str(path), pose_format=HOLISTIC)
    assert len(source) == 10**7
    np.testing.assert_array_equal(source.read(9_000_000, 9_000_005).read().data, VALUES)
    path.unlink()


# ------------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    "shape", [(5, 576, 3), (5, 543, 5), (5, 1630), (5,), (5, 543), (2, 2, 2, 2, 2)]
)
def test_a_shape_that_does_not_fit_the_skeleton_is_an_error(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    with pytest.raises(
        PoseError, match=r"a\.npy: an array of shape .* doesn't fit the 543 points of"
    ):
        open_saved(tmp_path, np.ones(shape, np.float32))


def test_the_forms_that_would_fit_are_listed(tmp_path: Path) -> None:
    with pytest.raises(
        PoseError, match=r"expected \(T, 266\) or \(T, 399\) or \(T, 532\), T frames"
    ):
        open_saved(tmp_path, np.ones((5, 400), np.float32), WHOLEBODY)


@pytest.mark.parametrize("in_zip", [False, True])
def test_python_objects_are_never_unpickled(tmp_path: Path, in_zip: bool) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    buffer = io.BytesIO()
    np.save(buffer, np.array([Bomb()], dtype=object), allow_pickle=True)
    (tmp_path / "a.npy").write_bytes(buffer.getvalue())
    path, member = tmp_path / "a.npy", None
    if in_zip:
        from pose_files import write_zip

        path, member = write_zip(tmp_path / "a.zip", {"a.npy": buffer.getvalue()}), "a.npy"
    with pytest.raises(
        PoseError, match=r"a\.npy: holds Python objects, whose reading can run code"
    ):
        open_poses(str(path), member=member, pose_format=HOLISTIC)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"uid,text\n1,a\n"])
def test_what_is_no_array_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(PoseError, match=r"a\.npy: no whole \.npy file"):
        open_poses(str(tmp_path / "a.npy"), pose_format=HOLISTIC)


def test_a_file_that_is_cut_off_is_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VALUES)
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[:-100])
    with pytest.raises(PoseError, match=r"a\.npy: no whole \.npy file"):
        open_poses(str(tmp_path / "a.npy"), pose_format=HOLISTIC)


def test_an_archive_of_arrays_is_an_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=VALUES)
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(PoseError, match=r"a\.npy: an archive of several arrays"):
        open_poses(str(tmp_path / "a.npy"), pose_format=HOLISTIC)


def test_texts_are_no_points(tmp_path: Path) -> None:
    with pytest.raises(PoseError, match=r"a\.npy: holds <U1, expected numbers"):
        open_saved(tmp_path, np.full((5, 543, 3), "a")).read()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PoseError, match=r"none\.npy: no such file\."):
        open_poses(str(tmp_path / "none.npy"), pose_format=HOLISTIC)


def test_a_skeleton_that_nobody_says_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PoseError, match=r"Set data\.pose_files\.skeleton to one of: mediapipe_hol"):
        open_saved(tmp_path, VALUES, PoseFormat("npy", fps=24))
    with pytest.raises(PoseError, match=r"No skeleton 'smplx'; there are: mediapipe_holistic"):
        open_saved(tmp_path, VALUES, PoseFormat("npy", skeleton="smplx", fps=24))

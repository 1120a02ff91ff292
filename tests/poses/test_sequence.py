from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pose_format import Pose

from conftest import make_pose
from signseq.errors import PoseError
from signseq.poses.sequence import PoseFile, PoseSequence, read_pose, write_pose

Floats = NDArray[np.float32]
POINTS = ("A.NOSE", "A.CHIN", "B.TIP")


def pose_bytes(
    data: Floats,
    confidence: Floats,
    *,
    version: float = 0.1,
    fps: float = 25,
    frames: int | None = None,
    components: dict[str, list[str]] | None = None,
) -> bytes:
    """A .pose file by the specification, byte by byte: data (T, P, K, C), confidence (T, P, K)."""

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value.encode())) + value.encode()

    components = {"A": ["NOSE", "CHIN"], "B": ["TIP"]} if components is None else components
    header = struct.pack("<fHHHH", version, 640, 480, 0, len(components))
    for name, points in components.items():
        header += text(name) + text("XYZ"[: data.shape[3]] + "C")
        header += struct.pack("<HHH", len(points), 0, 0) + b"".join(map(text, points))
    count = len(data) if frames is None else frames
    if version == 0.1:
        body = struct.pack("<HHH", int(fps), count % 2**16, data.shape[1])
    else:
        body = struct.pack("<fIH", fps, count, data.shape[1])
    return header + body + data.astype("<f4").tobytes() + confidence.astype("<f4").tobytes()


def random_file(
    *, frames: int = 6, people: int = 1, dimensions: int = 3, seed: int = 0
) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    data = rng.normal(scale=100, size=(frames, people, len(POINTS), dimensions))
    return data.astype(np.float32), rng.random((frames, people, len(POINTS))).astype(np.float32)


@pytest.fixture
def as_path(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(content: bytes) -> Path:
        (tmp_path / "clip.pose").write_bytes(content)
        return tmp_path / "clip.pose"

    return write


def assert_same(one: PoseSequence, other: PoseSequence) -> None:
    assert (one.keypoints, one.fps) == (other.keypoints, other.fps)
    np.testing.assert_array_equal(one.data, other.data)
    np.testing.assert_array_equal(one.confidence, other.confidence)


# ------------------------------------------------------------------------------- what is read


@pytest.mark.parametrize("version", [0.1, 0.2])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_bytes_and_path_read_as_pose_format_reads_them(
    version: float, dimensions: int, as_path: Callable[[bytes], Path]
) -> None:
    content = pose_bytes(*random_file(dimensions=dimensions), version=version)
    theirs = Pose.read(content)
    for source in (content, as_path(content), str(as_path(content))):
        pose = read_pose(source)
        np.testing.assert_array_equal(pose.data, np.asarray(theirs.body.data.data)[:, 0])
        np.testing.assert_array_equal(pose.confidence, theirs.body.confidence[:, 0])
        assert pose.fps == theirs.body.fps == 25
        assert pose.keypoints == POINTS


def test_fractional_frame_rate_is_kept_in_version_2() -> None:
    assert read_pose(pose_bytes(*random_file(), version=0.2, fps=29.97)).fps == pytest.approx(29.97)


def test_file_keeps_the_size_that_its_header_states() -> None:
    assert PoseFile.open(pose_bytes(*random_file())).size == (640, 480)


@pytest.mark.parametrize("version", [0.1, 0.2])
@pytest.mark.parametrize("frames", [65_535, 65_536, 65_541])
def test_more_frames_than_16_bits_count_are_all_read(version: float, frames: int) -> None:
    data = np.arange(frames, dtype=np.float32)[:, None, None, None].repeat(2, axis=3)
    content = pose_bytes(
        data, np.ones((frames, 1, 1), np.float32), version=version, components={"A": ["NOSE"]}
    )
    pose = read_pose(content, start_frame=frames - 2)
    assert pose.data[:, 0, 0].tolist() == [frames - 2, frames - 1]
    assert len(PoseFile.open(content)) == frames
    theirs = np.asarray(Pose.read(content).body.data.data)
    np.testing.assert_array_equal(theirs[-2:, 0], pose.data)


@pytest.mark.parametrize("version", [0.1, 0.2])
@pytest.mark.parametrize("frames", [1, 20_000])
def test_very_short_and_very_long_files_are_read(version: float, frames: int) -> None:
    data, confidence = random_file(frames=frames)
    pose = read_pose(pose_bytes(data, confidence, version=version))
    np.testing.assert_array_equal(pose.data, data[:, 0])
    assert pose.seconds == pytest.approx(frames / 25)


@given(version=st.sampled_from([0.1, 0.2]), first=st.integers(0, 8), last=st.integers(1, 12))
def test_a_range_of_frames_equals_slicing_the_whole(version: float, first: int, last: int) -> None:
    content = pose_bytes(*random_file(frames=9, people=2), version=version)
    if first >= last:
        with pytest.raises(PoseError, match=f"frames {first} to {last} are empty or outside"):
            read_pose(content, start_frame=first, end_frame=last)
        return
    whole = read_pose(content, person=1)
    part = read_pose(content, start_frame=first, end_frame=last, person=1)
    np.testing.assert_array_equal(part.data, whole.data[first:last])
    np.testing.assert_array_equal(part.confidence, whole.confidence[first:last])


@pytest.mark.parametrize(("first", "last"), [(6, None), (-1, 3), (100, 200)])
def test_a_range_outside_the_file_is_an_error(first: int, last: int | None) -> None:
    with pytest.raises(PoseError, match=r"outside the file's 6 frames"):
        read_pose(pose_bytes(*random_file()), start_frame=first, end_frame=last)


def test_what_was_read_is_a_copy_that_may_be_changed() -> None:
    pose = read_pose(pose_bytes(*random_file()))
    pose.data[:] = 0
    assert not pose.data.any()


# ------------------------------------------------------------------------------- people


def test_the_most_visible_person_is_taken() -> None:
    data, confidence = random_file(people=3)
    confidence[:, 0], confidence[:, 1], confidence[:, 2] = 0.2, 0.9, 0.5
    pose = read_pose(pose_bytes(data, confidence))
    np.testing.assert_array_equal(pose.data, data[:, 1])


def test_most_visible_counts_only_the_frames_that_are_read() -> None:
    data, confidence = random_file(people=2)
    confidence[:3, 0], confidence[3:, 0] = 1, 0
    confidence[:3, 1], confidence[3:, 1] = 0, 0.5
    pose = read_pose(pose_bytes(data, confidence), start_frame=3)
    np.testing.assert_array_equal(pose.data, data[3:, 1])


@pytest.mark.parametrize("absurd", [np.nan, np.inf, -np.inf, -5.0])
def test_absurd_confidence_makes_nobody_more_visible(absurd: float) -> None:
    data, confidence = random_file(people=2)
    confidence[:, 0], confidence[:, 1] = absurd, 0.3
    np.testing.assert_array_equal(read_pose(pose_bytes(data, confidence)).data, data[:, 1])


def test_a_person_can_be_chosen() -> None:
    data, confidence = random_file(people=3)
    np.testing.assert_array_equal(
        read_pose(pose_bytes(data, confidence), person=2).data, data[:, 2]
    )


@pytest.mark.parametrize("person", [-1, 2])
def test_a_person_that_is_not_there_is_an_error(person: int) -> None:
    with pytest.raises(PoseError, match=f"no person {person}; the file holds 2, counted from 0"):
        read_pose(pose_bytes(*random_file(people=2)), person=person)


@pytest.mark.parametrize("version", [0.1, 0.2])
def test_a_file_without_people_is_an_error(version: float) -> None:
    with pytest.raises(PoseError, match=r"holds no person\. Extract the pose again"):
        read_pose(pose_bytes(*random_file(people=0), version=version))


# ------------------------------------------------------------------------------- keypoints


def test_keypoints_come_in_the_order_asked_for() -> None:
    data, confidence = random_file()
    file = PoseFile.open(pose_bytes(data, confidence))
    pose = file.read(keypoints=["B.TIP", "A.NOSE"])
    assert pose.keypoints == ("B.TIP", "A.NOSE")
    np.testing.assert_array_equal(pose.data, data[:, 0, [2, 0]])
    np.testing.assert_array_equal(pose.confidence, confidence[:, 0, [2, 0]])


def test_a_keypoint_that_is_not_there_is_named_with_the_components() -> None:
    with pytest.raises(PoseError, match=r"no keypoint 'A\.EYE'.*components: A, B"):
        PoseFile.open(pose_bytes(*random_file())).read(keypoints=["A.EYE"])


def test_asking_for_no_keypoints_gives_none() -> None:
    assert PoseFile.open(pose_bytes(*random_file())).read(keypoints=[]).data.shape == (6, 0, 3)


# ------------------------------------------------------------------------------- damaged files


@pytest.mark.parametrize("version", [0.1, 0.2])
def test_every_prefix_of_a_file_is_an_error(version: float) -> None:
    content = pose_bytes(*random_file(frames=3), version=version)
    for length in range(len(content)):
        with pytest.raises(PoseError):
            PoseFile.open(content[:length])


def test_every_prefix_of_a_file_with_limbs_and_colors_is_an_error(tmp_path: Path) -> None:
    write_pose(tmp_path / "a.pose", make_pose(frames=1))
    content = (tmp_path / "a.pose").read_bytes()
    for length in range(0, len(content), 7):
        with pytest.raises(PoseError):
            PoseFile.open(content[:length])


@pytest.mark.parametrize("cut", [1, 77])
def test_a_truncated_file_says_what_is_there_and_what_to_do(
    cut: int, as_path: Callable[[bytes], Path]
) -> None:
    content = pose_bytes(*random_file(), version=0.2)
    with pytest.raises(
        PoseError,
        match=r"clip\.pose: truncated.*says 6 frames of 48 bytes, 2\d\d? bytes follow.*Fetch",
    ):
        read_pose(as_path(content[:-cut]))


@given(content=st.binary(max_size=300))
def test_random_bytes_are_an_error(content: bytes) -> None:
    with pytest.raises(PoseError):
        PoseFile.open(content)


@given(
    version=st.sampled_from([0.1, 0.2]),
    place=st.integers(0, 200),
    damage=st.binary(min_size=1, max_size=8),
)
def test_damaged_bytes_are_an_error_or_still_a_pose(
    version: float, place: int, damage: bytes
) -> None:
    content = bytearray(pose_bytes(*random_file(people=2), version=version))
    content[place : place + len(damage)] = damage
    try:
        pose = read_pose(bytes(content))
    except PoseError:
        return
    assert pose.data.shape[:2] == pose.confidence.shape


@given(rest=st.binary(max_size=120), version=st.sampled_from([0.1, 0.2]))
def test_random_bytes_after_a_version_are_an_error_or_a_pose(rest: bytes, version: float) -> None:
    try:
        file = PoseFile.open(struct.pack("<f", version) + rest)
    except PoseError:
        return
    assert file.data.shape[:3] == file.confidence.shape


@pytest.mark.parametrize("version", [0.1, 0.2])
@pytest.mark.parametrize("components", [{}, {"A": []}])
def test_a_file_without_keypoints_is_an_error(
    version: float, components: dict[str, list[str]]
) -> None:
    nothing = np.zeros((0, 1, 0, 3), np.float32)
    content = pose_bytes(nothing, nothing[..., 0], version=version, components=components)
    with pytest.raises(PoseError, match=r"names no keypoints|header is damaged"):
        PoseFile.open(content)


def test_an_empty_file_says_so(as_path: Callable[[bytes], Path]) -> None:
    with pytest.raises(PoseError, match=r"clip\.pose: the file is empty"):
        read_pose(as_path(b""))


@pytest.mark.parametrize("version", [0.1, 0.2])
def test_a_file_with_zero_frames_says_so(version: float) -> None:
    with pytest.raises(
        PoseError, match=r"<bytes>: the file has no frames\. Extract the pose again"
    ):
        read_pose(pose_bytes(*random_file(frames=0), version=version))


def test_a_file_of_another_kind_says_so(as_path: Callable[[bytes], Path]) -> None:
    said = r"clip\.pose: not a \.pose file .*first bytes are b'uid,', not a \.pose header\)\.$"
    with pytest.raises(PoseError, match=said):
        read_pose(as_path(b"uid,text\n1,hello\n" * 20))


@pytest.mark.parametrize("version", [0.1, 0.2])
def test_a_header_that_is_cut_off_is_not_told_in_the_words_of_struct(version: float) -> None:
    content = pose_bytes(*random_file(), version=version)
    with pytest.raises(
        PoseError, match=r"^<bytes>: its header is damaged or cut off\. Fetch it anew\.$"
    ):
        PoseFile.open(content[:9])


def test_an_unknown_version_is_named() -> None:
    with pytest.raises(PoseError, match=r"not a \.pose file of version 0\.1 or 0\.2 .*say 0\.3"):
        read_pose(pose_bytes(*random_file(), version=0.3))


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(PoseError, match=r"none\.pose: no such file"):
        read_pose(tmp_path / "none.pose")


def test_a_folder_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(PoseError, match="can't be read"):
        read_pose(tmp_path)


@pytest.mark.parametrize("fps", [0.0, -25.0, np.nan, np.inf, 1e-20, 1e20])
def test_an_absurd_frame_rate_is_an_error(fps: float) -> None:
    with pytest.raises(PoseError, match=r"frames per second; expected 0\.1 to 10000"):
        read_pose(pose_bytes(*random_file(), version=0.2, fps=fps))


def test_frame_rate_0_is_an_error_in_version_1() -> None:
    with pytest.raises(PoseError, match="0 frames per second"):
        read_pose(pose_bytes(*random_file(), fps=0))


# ------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("frames", [1, 12])
def test_what_is_written_reads_back_equal(tmp_path: Path, dimensions: int, frames: int) -> None:
    pose = make_pose(frames=frames, fps=29.97)
    pose.confidence[0, 3] = 0
    pose = PoseSequence(pose.data[..., :dimensions], pose.confidence, 30.0, pose.keypoints)
    write_pose(tmp_path / "a.pose", pose, size=(500, 400))
    assert_same(read_pose(tmp_path / "a.pose"), pose)
    assert PoseFile.open(tmp_path / "a.pose").size == (500, 400)


def test_pose_format_reads_what_is_written(tmp_path: Path) -> None:
    pose = make_pose()
    pose.confidence[2, 5] = 0
    write_pose(tmp_path / "a.pose", pose, size=(500, 400))
    theirs = Pose.read((tmp_path / "a.pose").read_bytes())
    np.testing.assert_array_equal(np.asarray(theirs.body.data.data)[:, 0], pose.data)
    np.testing.assert_array_equal(theirs.body.data.mask[:, 0, :, 0], pose.confidence == 0)
    names = [f"{part.name}.{point}" for part in theirs.header.components for point in part.points]
    assert tuple(names) == pose.keypoints
    for part in theirs.header.components:
        assert all(0 <= point < len(part.points) for limb in part.limbs for point in limb)
        assert len(part.colors) == len(part.limbs)


def test_the_same_pose_is_written_as_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.pose", "b.pose"):
        write_pose(tmp_path / name, make_pose())
    assert (tmp_path / "a.pose").read_bytes() == (tmp_path / "b.pose").read_bytes()


def test_writing_replaces_a_file_while_another_reads_it(tmp_path: Path) -> None:
    write_pose(tmp_path / "a.pose", make_pose(seed=1))
    opened = PoseFile.open(tmp_path / "a.pose")
    write_pose(tmp_path / "a.pose", make_pose(seed=2, frames=1))
    assert_same(opened.read(), make_pose(seed=1))
    assert_same(read_pose(tmp_path / "a.pose"), make_pose(seed=2, frames=1))


@pytest.mark.parametrize("step", ["replace", "open"])
def test_a_failing_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    write_pose(tmp_path / "a.pose", make_pose(seed=1))
    before = (tmp_path / "a.pose").read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, step, fail)
        with pytest.raises(PoseError, match=r"a\.pose: can't be written \(No space left on device"):
            write_pose(tmp_path / "a.pose", make_pose(seed=2))
    assert [path.name for path in tmp_path.iterdir()] == ["a.pose"]
    assert (tmp_path / "a.pose").read_bytes() == before


def test_writing_into_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PoseError, match="can't be written"):
        write_pose(tmp_path / "none" / "a.pose", make_pose())


def test_a_picture_size_beyond_the_format_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PoseError, match=r"can't be written as a \.pose file .*Width"):
        write_pose(tmp_path / "a.pose", make_pose(), size=(70_000, 1))


@pytest.mark.parametrize(
    ("data", "confidence", "names"),
    [((4, 2, 3), (4, 3), 2), ((4, 2, 3), (4, 2), 3), ((4, 2), (4, 2), 2), ((3, 2, 3), (4, 2), 2)],
)
def test_shapes_that_do_not_fit_are_an_error(
    data: tuple[int, ...], confidence: tuple[int, ...], names: int
) -> None:
    with pytest.raises(PoseError, match=r"needs data \(T, K, C\), confidence \(T, K\) and K"):
        PoseSequence(
            np.zeros(data, np.float32),
            np.zeros(confidence, np.float32),
            25.0,
            tuple(f"A.{i}" for i in range(names)),
        )

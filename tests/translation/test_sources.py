import json
import zipfile

import numpy as np
import pytest

from conftest import make_pose, sign_pose
from signseq.errors import PoseError
from signseq.poses.sequence import write_pose
from signseq.poses.sources.source import PoseFormat
from signseq.poses.transforms import PoseRecipe
from signseq.translation import sources
from signseq.translation.sources import ClipSource, read_source, tell_format

RECIPE = PoseRecipe("upper_body_hands")


@pytest.fixture
def file(tmp_path):
    write_pose(tmp_path / "a.pose", sign_pose("we eat bread"), size=(500, 500))
    return tmp_path / "a.pose"


def same(found, wanted):
    np.testing.assert_array_equal(found.data, wanted.data)


def test_a_part_of_a_file_is_read(file):
    whole, _ = read_source(file, RECIPE)
    part, odd = read_source(ClipSource("x", str(file), start=0.2, end=0.4), RECIPE)

    same(part, type(whole)(whole.data[5:10], whole.confidence[5:10], 25.0, whole.keypoints))
    assert odd == ()


def test_a_clip_that_ends_with_its_file_too_early_is_odd(file):
    _, odd = read_source(ClipSource("x", str(file), end=60), RECIPE)

    assert odd == ("ends after 0.7 s, before the clip does.",)


def test_packed_poses_are_read_by_name_by_content_and_as_bytes(file, tmp_path):
    zstandard = pytest.importorskip("zstandard")
    content = zstandard.ZstdCompressor().compress(file.read_bytes())
    (tmp_path / "a.pose.zst").write_bytes(content)
    (tmp_path / "nameless").write_bytes(content)
    wanted, _ = read_source(file, RECIPE)

    for source in (tmp_path / "a.pose.zst", tmp_path / "nameless", content):
        same(read_source(source, RECIPE)[0], wanted)


def test_poses_without_a_name_are_told_by_their_first_bytes(file, tmp_path):
    (tmp_path / "nameless").write_bytes(file.read_bytes())

    assert tell_format(str(tmp_path / "nameless")) == "pose"


def test_a_member_of_a_zip_is_read(file, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(file, "in/a.pose")
    clip = ClipSource("x", str(tmp_path / "a.zip"), member="in/a.pose")

    same(read_source(clip, RECIPE)[0], read_source(file, RECIPE)[0])


def test_arrays_are_read_as_their_format_says(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(9, 133, 3)) * 100 + 300)
    kind = PoseFormat("npy", skeleton="coco_wholebody", channels="xyc", fps=30.0)

    found, _ = read_source(ClipSource("x", str(tmp_path / "a.npy"), pose_format=kind), RECIPE)

    assert (len(found), found.fps) == (9, 30.0)


@pytest.mark.parametrize("name", ["text.txt", "missing", "."])
def test_what_is_neither_poses_nor_a_video_is_an_error(tmp_path, name):
    (tmp_path / "text.txt").write_text("a text")

    with pytest.raises(PoseError, match=r"neither poses nor|can't be read|a folder"):
        read_source(tmp_path / name, RECIPE)


def test_a_folder_of_frames_needs_a_rate(tmp_path):
    frame = {"people": []}
    (tmp_path / "a_0_keypoints.json").write_text(json.dumps(frame))

    with pytest.raises(PoseError, match="frame rate"):
        read_source(tmp_path, RECIPE)


def test_a_video_goes_through_the_extraction_once_for_all_its_parts(tmp_path, monkeypatch):
    seen = []
    pose = make_pose(frames=50)

    class Found:
        poses, people = (pose,), 1

    monkeypatch.setattr(sources, "check_installed", lambda: None)
    monkeypatch.setattr(sources, "_estimator", lambda: "estimator")
    monkeypatch.setattr(sources, "extract", lambda *given: seen.append(given) or Found())
    video = tmp_path / "a.mp4"
    video.write_bytes(b"video")

    first, _ = read_source(ClipSource("1", str(video), end=1.0), RECIPE)
    second, _ = read_source(ClipSource("2", str(video), start=1.0), RECIPE)

    assert seen == [(video, "estimator")]
    assert (len(first), len(second)) == (25, 25)
    assert not np.array_equal(first.data, second.data)


def test_a_broken_video_is_an_error_with_its_name(tmp_path, monkeypatch):
    pytest.importorskip("av")
    monkeypatch.setattr(sources, "_estimator", lambda: None)
    video = tmp_path / "a.mp4"
    video.write_bytes(b"no video at all")

    with pytest.raises(PoseError, match=r"a\.mp4"):
        read_source(video, RECIPE)


@pytest.fixture
def two_people(monkeypatch):
    """Stands in for the extraction of a video; notes what it was given of the file."""
    contents = []

    class Found:
        poses, people = (make_pose(frames=50),), 2

    def extract(path, estimator):
        contents.append(path.read_bytes())
        return Found()

    monkeypatch.setattr(sources, "check_installed", lambda: None)
    monkeypatch.setattr(sources, "_estimator", lambda: None)
    monkeypatch.setattr(sources, "extract", extract)
    sources._extract_video.cache_clear()
    yield contents
    sources._extract_video.cache_clear()


MP4 = b"\0\0\0\x20ftypisom and the rest"


def test_a_video_of_several_people_is_odd(tmp_path, two_people):
    (tmp_path / "a.mp4").write_bytes(MP4)

    _, odd = read_source(tmp_path / "a.mp4", RECIPE)

    assert odd == ("shows 2 people; the largest one was translated.",)


def test_a_video_without_a_name_is_told_by_its_first_bytes(tmp_path, two_people):
    (tmp_path / "nameless").write_bytes(MP4)

    assert len(read_source(tmp_path / "nameless", RECIPE)[0]) == 50


def test_the_bytes_of_a_video_are_read_like_its_file(two_people):
    found, _ = read_source(MP4, RECIPE)

    assert len(found) == 50
    assert two_people == [MP4]

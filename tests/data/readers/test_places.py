from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from corpora import ReadCorpus, read_corpus_in
from signseq.config import DataConfig
from signseq.data.examples import HEEDED_BY, Example, row_bytes
from signseq.data.readers.places import PosePlace, build_place, is_split
from signseq.errors import ConfigError, DataError
from signseq.poses.sources.source import PoseFormat

TABLE = "uid,text\na,we\n"


@pytest.fixture
def read_corpus(tmp_path: Path) -> ReadCorpus:
    """Write a table into the test's own folder, and read it."""
    return partial(read_corpus_in, tmp_path)


def make_data(**settings: Any) -> DataConfig:
    return DataConfig.model_validate({"pose_dir": "poses", "store": "store", **settings})


def test_without_settings_poses_are_dot_pose_files() -> None:
    assert build_place(make_data()) == PosePlace(Path("poses"))


def test_settings_become_a_format() -> None:
    files = {"format": "npy", "skeleton": "openpose", "fps": 24, "size": [1280, 720]}
    wanted = PoseFormat("npy", skeleton="openpose", fps=24, size=(1280, 720))
    assert build_place(make_data(pose_files=files)).pose_format == wanted


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pose_files": {"fps": 25}}, r"pose_files\.fps is given, but .* read as 'pose', which says that"),
        ({"pose_files": {"skeleton": "openpose"}}, r"pose_files\.skeleton is given"),
        ({"pose_files": {"format": "openpose", "channels": "xyc"}}, r"pose_files\.channels is given"),
        ({"pose_files": {"format": "npy"}}, r"pose_files\.skeleton: missing; .* mediapipe_holistic"),
        ({"pose_files": {"format": "npy", "skeleton": "smplx"}}, r"'smplx': there are: mediapipe_holistic"),
        ({"pose_files": {"format": "wholebody_pkl"}}, r"data\.allow_pickle is not true"),
        ({"pose_files": {"format": "h5"}}, r"for data\.corpus: youtube_asl_h5 only"),
        ({"pose_files": {"format": "openpose"}, "pose_dir": "a.zip"}, "read unpacked only"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_an_error(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build_place(make_data(**settings))


@pytest.mark.parametrize(
    ("name", "value"), [("columns", {"text": "t"}), ("time_unit", "frames"), ("pose_files", {"per": "clip"})]
)  # fmt: skip
def test_a_setting_that_a_reader_would_drop_is_an_error(
    read_corpus: ReadCorpus, name: str, value: Any
) -> None:
    with pytest.raises(
        ConfigError, match=rf"data\.{name}.* is given, but data\.corpus: phoenix doesn't"
    ):
        read_corpus("phoenix", "", **{name: value})
    assert all("phoenix" not in corpora for corpora in HEEDED_BY.values())


@pytest.mark.parametrize(
    ("corpora", "ours"),
    [(("train", "Train", "training"), "train"), (("dev", "val", "valid", "validation"), "val"),
     (("test",), "test"), (("far",), "far")],
)  # fmt: skip
def test_splits_are_known_by_other_names(corpora: tuple[str, ...], ours: str) -> None:
    assert all(is_split(name, ours) for name in corpora)
    assert not any(is_split(name, "other") for name in corpora)


def test_a_frame_rate_can_stand_in_the_table(read_corpus: ReadCorpus) -> None:
    files = {"format": "openpose", "fps": 24}
    table = "uid,text,fps\na,we,29.97\nb,we,\nc,we,29.97\n"
    examples = read_corpus("csv", table, pose_files=files)
    assert [example.pose_format.fps for example in examples] == [29.97, 24, 29.97]
    assert (
        examples[0].pose_format is examples[2].pose_format
    )  # memory, when they are sent to workers


def test_a_frame_rate_that_nobody_says_is_an_error(read_corpus: ReadCorpus) -> None:
    with pytest.raises(
        DataError, match=r"the poses of 'a'\? .* Set data\.pose_files\.fps, or give the"
    ):
        read_corpus("csv", TABLE, pose_files={"format": "openpose"})


@pytest.mark.parametrize("fps", ["0", "-25", "fast", "nan", "1e9"])
def test_a_frame_rate_that_is_none_is_an_error(read_corpus: ReadCorpus, fps: str) -> None:
    files = {"format": "openpose"}
    with pytest.raises(
        DataError, match=rf"line 2 \(uid 'a'\): fps is '{fps}'; expected frames per"
    ):
        read_corpus("csv", f"uid,text,fps\na,we,{fps}\n", pose_files=files)


def test_a_column_fps_means_nothing_where_files_say_it(read_corpus: ReadCorpus) -> None:
    (example,) = read_corpus("csv", "uid,text,fps\na,we,fast\n")
    assert example.pose_format == PoseFormat()


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("pose", ".pose"), ("pose.zst", ".pose.zst"), ("npy", ".npy"), ("openpose", ""), ("wholebody_pkl", ".pkl")],
)  # fmt: skip
def test_a_clips_file_is_named_after_its_format(kind: str, suffix: str) -> None:
    assert PosePlace(Path("poses"), PoseFormat(kind)).suffix == suffix  # type: ignore[arg-type]


# ------------------------------------------------------------------------------- digests


def test_rows_are_the_same_zipped_in_parts_and_unpacked(
    read_corpus: ReadCorpus, tmp_path: Path
) -> None:
    def rows(pose_dir: Path) -> list[bytes]:
        examples = read_corpus("isign", TABLE, pose_dir=str(pose_dir))
        return [row_bytes(example, pose_dir=pose_dir) for example in examples]

    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "x_part_aa").touch()
    places = [tmp_path / "poses", tmp_path / "a.zip", tmp_path / "parts", tmp_path / "gone_part_aa"]
    assert len({tuple(rows(place)) for place in places}) == 1


def test_rows_of_dot_pose_files_are_as_they_always_were() -> None:
    example = Example("a", "poses/x.pose", 0.0, 2.5, "we", "train", "anna", None, "en")
    before = b'["a", "x.pose", 0.0, 2.5, "we", "anna", null, "en"]\n'
    assert row_bytes(example, pose_dir=Path("poses")) == before


def test_rows_know_how_their_poses_are_read(read_corpus: ReadCorpus) -> None:
    def row(**files: Any) -> bytes:
        (example,) = read_corpus("csv", TABLE, pose_files={"format": "openpose", **files})
        return row_bytes(example, pose_dir=Path("poses"))

    assert len({row(fps=24), row(fps=25), row(fps=24, size=[3, 4])}) == 3

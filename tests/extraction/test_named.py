"""`data.video_dir`: `signseq prepare` finds the poses first, of the videos that the tables name."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import write_rows
from signseq.config import Config, load_config, parse_config, save_config
from signseq.data.examples import read_examples
from signseq.errors import ConfigError, DataError
from signseq.poses.estimation.estimator import ESTIMATORS
from signseq.poses.sequence import read_pose
from signseq.preparation import ensure_split, open_split, prepare
from videos import SquareFinder, walk, write_video

BASE = {
    "model": {"name": "bart", "from_scratch": True, "tokenizer": "train"},
    "training": {"checkpoint_dir": "run"},
}


@pytest.fixture(autouse=True)
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ESTIMATORS, "mediapipe_holistic", SquareFinder)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Config]:
    """Two videos that tables name and one that none does; a config on them."""
    for number, name in enumerate(("one", "sub/two", "unnamed")):
        write_video(tmp_path / "videos" / f"{name}.mp4", walk(6 + number))
    write_rows(tmp_path / "train.csv", [{"uid": "one", "text": "we eat"}])
    write_rows(tmp_path / "val.csv", [{"uid": "sub/two", "text": "you see"}])

    def config(**data: object) -> Config:
        data = {
            "train_path": str(tmp_path / "train.csv"),
            "val_path": str(tmp_path / "val.csv"),
            "video_dir": str(tmp_path / "videos"),
            "store": str(tmp_path / "store"),
            "keypoints": "upper_body_hands",
            "max_skipped": 0,
            **data,
        }
        return parse_config({"data": data, **BASE})

    return config


def test_the_videos_that_the_tables_name_are_prepared(make, tmp_path):
    config = make()

    reports = prepare(config, workers=1)

    assert {split: report.frames for split, report in reports.items()} == {"train": 6, "val": 7}
    poses = tmp_path / "videos_poses"
    assert sorted(path.relative_to(poses).as_posix() for path in poses.rglob("*.pose")) == [
        "one.pose",
        "sub/two.pose",
    ]
    assert len(open_split(config.data, "train")) == 1


def test_a_second_run_does_nothing(make, tmp_path, monkeypatch):
    prepare(make(), workers=1)
    monkeypatch.setattr("signseq.extraction.run.extract_one", None)

    prepare(make(), workers=1)


def test_where_both_are_named_poses_go_to_pose_dir(make, tmp_path):
    prepare(make(pose_dir=str(tmp_path / "mine")), workers=1)

    assert len(read_pose(tmp_path / "mine" / "one.pose")) == 6


def test_a_split_is_extracted_when_it_is_first_needed(make, tmp_path):
    store = ensure_split(make().data, "val")

    assert len(store) == 1
    assert not (tmp_path / "videos_poses" / "one.pose").exists()


def test_a_table_may_name_the_video_itself(make, tmp_path):
    rows = [{"uid": "u1", "text": "we eat", "pose_path": "sub/two.MP4"}]
    write_rows(tmp_path / "train.csv", rows, columns=("uid", "text", "pose_path"))

    (example,) = read_examples(make().data, "train")

    assert example.pose_path == str(tmp_path / "videos_poses" / "sub" / "two.pose")


def test_a_video_that_is_missing_counts_as_skipped(make, tmp_path, caplog):
    write_rows(tmp_path / "train.csv", [{"uid": u, "text": "we eat"} for u in ("one", "lost")])

    with caplog.at_level(logging.INFO):
        reports = prepare(make(max_skipped=0.5), workers=1)

    assert [len(reports["train"].skipped), reports["train"].clips] == [1, 1]
    with (tmp_path / "videos_poses" / "skipped.csv").open() as file:
        assert [*csv.reader(file)][1:] == [["lost", f"no such video in {tmp_path / 'videos'}"]]
    assert "1 of 3 videos can't be used" in caplog.text


def test_too_many_missing_videos_are_an_error(make, tmp_path):
    write_rows(tmp_path / "train.csv", [{"uid": u, "text": "we eat"} for u in ("one", "lost")])

    with pytest.raises(DataError, match="train: 1 of 2 clips can't be used"):
        prepare(make(max_skipped=0.1), workers=1)


def test_poses_that_are_there_need_no_videos(make, tmp_path):
    prepare(make(), workers=1)
    (tmp_path / "videos").rename(tmp_path / "moved")

    prepare(make(), workers=1)

    (tmp_path / "videos_poses" / "one.pose").unlink()
    with pytest.raises(DataError, match=r"video_dir = .*videos: no such folder, and not all poses"):
        prepare(make(store=str(tmp_path / "other")), workers=1)


def test_a_pose_stands_for_its_video(make, tmp_path):
    prepare(make(), workers=1)
    (tmp_path / "videos" / "one.mp4").unlink()

    reports = prepare(make(), workers=1)

    assert reports["train"].clips == 1
    assert not (tmp_path / "videos_poses" / "skipped.csv").exists()


def test_a_table_that_is_wrong_is_said_before_any_video_is_read(make, tmp_path, monkeypatch):
    (tmp_path / "val.csv").write_text("id,words\n1,a\n")
    monkeypatch.setattr("signseq.extraction.run.extract_one", None)

    with pytest.raises(DataError, match=r"val\.csv"):
        prepare(make(), workers=1)


def table(path: Path, uid: str, name: str) -> None:
    rows = [{"uid": uid, "text": "we eat", "pose_path": name}]
    write_rows(path, rows, columns=("uid", "text", "pose_path"))


def skipped_in(folder: Path) -> dict[str, str]:
    with (folder / "skipped.csv").open(newline="") as file:
        return {row["file"]: row["reason"] for row in csv.DictReader(file)}


def test_of_two_videos_of_one_name_the_one_that_the_table_names_is_taken(make, tmp_path):
    write_video(tmp_path / "videos" / "one.mov", walk(9))
    table(tmp_path / "train.csv", "u", "one.mp4")

    assert prepare(make(), workers=1)["train"].frames == 6


def test_of_two_videos_of_one_name_none_is_guessed(make, tmp_path):
    write_video(tmp_path / "videos" / "one.mov", walk(9))

    with pytest.raises(DataError, match=r"train: 1 of 1 clips|Nothing is left"):
        prepare(make(), workers=1)

    reason = "there are one.mov and one.mp4; the table doesn't say which. Name it in the column pose_path"
    assert skipped_in(tmp_path / "videos_poses") == {"one": reason}


def test_two_videos_of_one_name_can_not_both_be_used(make, tmp_path):
    write_video(tmp_path / "videos" / "one.mov", walk(9))
    table(tmp_path / "train.csv", "u", "one.mp4")
    table(tmp_path / "val.csv", "v", "one.mov")

    with pytest.raises(DataError):
        prepare(make(), workers=1)

    reason = "the tables name it with .mp4 and with .mov; poses have one name"
    assert skipped_in(tmp_path / "videos_poses") == {"one": reason}


def test_a_video_in_another_form_is_not_taken_for_the_one_that_is_named(make, tmp_path):
    table(tmp_path / "train.csv", "u", "one.mov")

    with pytest.raises(DataError):
        prepare(make(), workers=1)

    reason = "the table names it with .mov; there is only one.mp4"
    assert skipped_in(tmp_path / "videos_poses") == {"one.mov": reason}


def test_poses_may_go_to_the_folder_that_this_is_called_in(make, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    reports = prepare(make(pose_dir="."), workers=1)

    assert reports["train"].frames == 6
    assert (tmp_path / "here" / "one.pose").exists()


def test_poses_of_another_folder_s_videos_are_not_used(make, tmp_path):
    prepare(make(pose_dir=str(tmp_path / "mine")), workers=1)
    for name in ("one", "sub/two"):
        write_video(tmp_path / "others" / f"{name}.mp4", walk(11))

    other = make(pose_dir=str(tmp_path / "mine"), video_dir=str(tmp_path / "others"))
    with pytest.raises(DataError, match=r"pose_dir = .*mine: the poses of one\.mp4 .*\(2 such\)"):
        prepare(other, workers=1)


def test_a_split_that_is_prepared_alone_keeps_what_is_said_of_others(make, tmp_path):
    table(tmp_path / "train.csv", "u", "lost.mp4")
    config = make(max_skipped=1)
    with pytest.raises(DataError, match="Nothing is left"):
        ensure_split(config.data, "train")

    ensure_split(config.data, "val")
    assert [*skipped_in(tmp_path / "videos_poses")] == ["lost.mp4"]

    write_video(tmp_path / "videos" / "lost.mp4", walk(5))
    ensure_split(config.data, "train")
    assert not (tmp_path / "videos_poses" / "skipped.csv").exists()


# --------------------------------------------------------------------------------------------- the config


def test_poses_lie_beside_the_videos_also_after_saving(make, tmp_path):
    config = make()
    save_config(config, tmp_path / "saved.yaml")

    assert config.data.pose_dir == tmp_path / "videos_poses"
    assert load_config(tmp_path / "saved.yaml") == config


def test_neither_folder_names_both():
    with pytest.raises(ConfigError, match=r"data\.pose_dir: missing.*data\.video_dir"):
        parse_config({"data": {"store": "store"}, **BASE})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pose_dir": "a.zip"}, "data.video_dir is given.*that is an archive"),
        ({"pose_files": {"format": "openpose"}}, "data.video_dir is given.*'openpose'"),
        ({"corpus": "wholebody_pkl"}, "data.corpus: wholebody_pkl comes as keypoints"),
    ],
)
def test_what_does_not_go_with_videos_is_refused(settings, said, make):
    with pytest.raises(ConfigError, match=said):
        prepare(make(**settings), workers=1)


def test_how2sign_reads_poses_of_videos(make, tmp_path):
    table = "VIDEO_NAME\tSENTENCE_NAME\tSENTENCE\tSTART_REALIGNED\tEND_REALIGNED\none\to1\twe eat\t0\t0.2\n"
    (tmp_path / "train.csv").write_text(table)

    (example,) = read_examples(make(corpus="how2sign", val_path=None).data, "train")

    assert example.pose_path == str(tmp_path / "videos_poses" / "one.pose")

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import interruptible, make_pose, write_rows
from signseq import preparation
from signseq.config import Config, save_config
from signseq.data import packing, shards
from signseq.data.examples import Example
from signseq.data.shard_reports import ShardReport
from signseq.data.storage import LocalFolder, StoreFolder
from signseq.data.store import open_store
from signseq.errors import ConfigError, DataError, MissingExtraError
from signseq.poses import layout
from signseq.poses.reading import unreadable
from signseq.poses.sequence import write_pose
from signseq.poses.transforms import PoseRecipe
from signseq.preparation import build_recipe, ensure_split, open_split, prepare

MakeConfig = Callable[..., Config]
WriteCorpus = Callable[..., Path]
NO_TEST = "data.test_path=null"
AGAIN = "The next `signseq prepare` tries it again."
NO_SPACE = OSError(28, "No space left on device")

# Packs two clips, says so, and hangs in the middle of a shard.
HANG = """
import sys, time
from signseq import preparation
from signseq.config import load_config
from signseq.data import shards
preparation.CLIPS_PER_SHARD = 2
pack = shards._pack
def hang(example, recipe, report):
    if example.id == "train-3":
        print("now", flush=True)
        time.sleep(60)
    return pack(example, recipe, report)
shards._pack = hang
preparation.prepare(load_config(sys.argv[1]), workers=int(sys.argv[2]))
"""

# Calls `prepare` as a script on macOS might: without a main guard, where processes start anew.
UNGUARDED = """
import sys
from signseq import preparation
from signseq.config import load_config
from signseq.data import packing
preparation.CLIPS_PER_SHARD = 2
packing.START_METHOD = "spawn"
preparation.prepare(load_config(sys.argv[1]), workers=2)
"""


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "CLIPS_PER_SHARD", 2)


@pytest.fixture
def corpus(write_corpus_files: WriteCorpus, make_config: MakeConfig) -> Config:
    """Seven clips to train on and three to validate."""
    write_corpus_files(train=7, val=3)
    return make_config(NO_TEST)


@pytest.fixture
def write_table(tmp_path: Path, make_config: MakeConfig) -> Callable[..., Config]:
    """A table of its own as the only split, with a pose of 50 frames for each uid of `poses`."""

    def write(rows: list[dict[str, str]] | str, *overrides: str, poses: str = "ab") -> Config:
        (tmp_path / "poses").mkdir(exist_ok=True)
        for number, uid in enumerate(poses):
            write_pose(tmp_path / "poses" / f"{uid}.pose", make_pose(frames=50, seed=number))
        if isinstance(rows, str):
            (tmp_path / "train.csv").write_text(rows, encoding="utf-8")
        else:
            write_rows(tmp_path / "train.csv", rows, columns=tuple(rows[0]))
        return make_config(NO_TEST, "data.val_path=null", *overrides)

    return write


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def times(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))
    }


def changed(folder: Path, before: dict[str, int]) -> set[str]:
    return {name for name, when in times(folder).items() if before.get(name) != when}


def copy_of(config: Config, tmp_path: Path, **changes: Any) -> Config:
    """The same experiment with a store of its own."""
    data = config.data.model_copy(update={"store": tmp_path / "other", **changes})
    return config.model_copy(update={"data": data})


def change(config: Config, **changes: Any) -> Config:
    return config.model_copy(update={"data": config.data.model_copy(update=changes)})


def fail_for(open_poses: Any, name: str) -> Any:
    """Opens poses, but for those of one file, which the system refuses."""

    def refuse(path: str, **options: Any) -> Any:
        if path.endswith(name):
            raise unreadable(path, OSError(errno.EIO, "Input/output error"))
        return open_poses(path, **options)

    return refuse


def expected_store(config: Config, tmp_path: Path) -> dict[str, bytes]:
    """What an undisturbed run writes."""
    prepare(copy_of(config, tmp_path), workers=1)
    return contents(tmp_path / "other")


# ------------------------------------------------------------------------------- what is packed


def test_every_clip_of_every_split_is_packed(corpus: Config) -> None:
    reports = prepare(corpus, workers=1)
    assert {split: report.clips for split, report in reports.items()} == {"train": 7, "val": 3}
    store = open_split(corpus.data, "train")
    assert [store.details(i)["uid"] for i in range(7)] == [f"train-{i}" for i in range(7)]
    assert store.frames.tolist() == [6, 12, 18, 6, 12, 18, 6]  # six frames a word
    assert reports["train"].frames == 78
    assert reports["train"].seconds == pytest.approx(78 / 25)


def test_the_recipe_is_the_config_s(make_config: MakeConfig) -> None:
    config = make_config("data.normalize=shoulders", "data.fps=12.5", "data.dimensions=3")
    assert build_recipe(config.data) == PoseRecipe("upper_body_hands", "shoulders", 12.5, 3)


def test_two_workers_write_the_same_bytes_as_one(corpus: Config, tmp_path: Path) -> None:
    prepare(corpus, workers=2)
    assert contents(corpus.data.store) == expected_store(corpus, tmp_path)


def test_start_and_end_cut_the_frames_between_them(write_table: Callable[..., Config]) -> None:
    config = write_table(
        [
            {"uid": "a", "text": "we", "start": "0.4", "end": "0.8", "pose_path": ""},
            {"uid": "b", "text": "you", "start": "", "end": "", "pose_path": ""},
            {"uid": "b2", "text": "see", "start": "1", "end": "9", "pose_path": "b.pose"},
        ]
    )
    prepare(config, workers=1)
    store = open_split(config.data, "train")
    assert store.frames.tolist() == [10, 50, 25]
    recipe, pose = build_recipe(config.data), make_pose(frames=50, seed=0)
    cut = type(pose)(pose.data[10:20], pose.confidence[10:20], pose.fps, pose.keypoints)
    np.testing.assert_array_equal(store.clip(0), recipe.pack(cut))


@pytest.mark.parametrize(
    "text", ["🤟 I love you", "שלום עולם", "مرحبا!", 'so "they" say\\n', "我们"]
)
def test_text_of_every_script_reaches_the_store_unchanged(
    write_table: Callable[..., Config], text: str
) -> None:
    config = write_table([{"uid": "a", "text": text}])
    prepare(config, workers=1)
    assert open_split(config.data, "train").text(0) == text


# ------------------------------------------------------------------------------- tables


def test_a_uid_that_stands_twice_is_an_error(write_table: Callable[..., Config]) -> None:
    config = write_table("uid,text\na,we\nb,you\na,see\n")
    with pytest.raises(
        DataError, match=r"uid 'a' stands twice in .*train\.csv; a clip belongs to one"
    ):
        prepare(config, workers=1)


def test_a_uid_in_two_splits_is_an_error(corpus: Config, tmp_path: Path) -> None:
    with (tmp_path / "val.csv").open("a") as file:
        file.write("train-0,we\n")
    with pytest.raises(DataError, match=r"uid 'train-0' stands in the splits 'train' and 'val'"):
        prepare(corpus, workers=1)


def test_a_table_without_rows_is_an_error(write_table: Callable[..., Config]) -> None:
    with pytest.raises(DataError, match=r"train\.csv: the table has no rows"):
        prepare(write_table("uid,text\n"), workers=1)


def test_a_wrong_table_leaves_no_folder_behind(write_table: Callable[..., Config]) -> None:
    config = write_table("uid,sentence\na,we\n")
    with pytest.raises(DataError, match="no column 'text'"):
        prepare(config, workers=1)
    with pytest.raises(DataError, match="no column 'text'"):
        ensure_split(config.data, "train")
    assert not config.data.store.exists()


@pytest.mark.parametrize("table", ["uid,sentence\na,we\n", "uid,text\ntrain-0,we\n", ""])
def test_the_last_table_is_read_before_anything_is_packed(
    corpus: Config, tmp_path: Path, table: str
) -> None:
    (tmp_path / "val.csv").write_text(table)
    with pytest.raises(DataError):
        prepare(corpus, workers=1)
    assert not corpus.data.store.exists()


def test_a_config_without_tables_is_an_error(make_config: MakeConfig) -> None:
    config = make_config(*(f"data.{split}_path=null" for split in ("train", "val", "test")))
    with pytest.raises(DataError, match=r"names no table: set data\.train_path"):
        prepare(config, workers=1)


# ------------------------------------------------------------------------------- once and for all


def test_a_second_run_writes_nothing(corpus: Config) -> None:
    first = prepare(corpus, workers=1)
    before = times(corpus.data.store)
    second = prepare(corpus, workers=1)
    assert times(corpus.data.store) == before
    assert [report.clips for report in second.values()] == [
        report.clips for report in first.values()
    ]


@pytest.mark.parametrize(
    "lost",
    [
        ["store.json"],
        ["store.json", "index.npy"],
        ["store.json", "index.npy", "shard-00001.json", "shard-00003.poses", "skipped.csv"],
        ["store.json", "shard-00002.jsonl"],
        ["shard-00002.poses"],
        ["index.npy"],
    ],
)
def test_what_a_kill_left_is_completed(corpus: Config, tmp_path: Path, lost: list[str]) -> None:
    prepare(corpus, workers=1)
    folder = corpus.data.store / "train"
    for name in lost:
        (folder / name).unlink(missing_ok=True)
    for name in ("shard-00000.poses.part", "shard-00003.jsonl.part", "store.json.part"):
        (folder / name).write_bytes(b"half")
    prepare(corpus, workers=1)
    assert contents(corpus.data.store) == expected_store(corpus, tmp_path)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_goes_on_where_it_was(corpus: Config, tmp_path: Path, workers: int) -> None:
    save_config(corpus, tmp_path / "config.yaml")
    run = subprocess.Popen(
        [sys.executable, "-c", HANG, str(tmp_path / "config.yaml"), str(workers)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "now\n"
    run.send_signal(signal.SIGKILL)
    run.wait()
    run.stdout.close()
    folder = corpus.data.store / "train"
    assert (folder / "shard-00001.poses.part").exists()
    with pytest.raises(DataError, match="no finished store"):
        open_store(folder)
    for _ in range(100):  # the killed run's workers end a moment later
        try:
            prepare(corpus, workers=1)
            break
        except DataError:
            time.sleep(0.1)
    assert contents(corpus.data.store) == expected_store(corpus, tmp_path)


def test_a_run_that_was_stopped_goes_on_where_it_was(
    corpus: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_shard = shards.write_shard

    def stop(folder: StoreFolder, number: int, *arguments: Any, **options: Any) -> ShardReport:
        if number == 1:
            raise KeyboardInterrupt
        return write_shard(folder, number, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(packing, "write_shard", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(corpus, workers=1)
    assert "What is packed is kept" in caplog.text
    assert "the same command goes on" in caplog.text
    folder = corpus.data.store / "train"
    with pytest.raises(DataError, match="no finished store"):
        open_store(folder)
    before = times(folder)
    prepare(corpus, workers=1)
    assert not changed(folder, before) & {
        f"shard-00000.{end}" for end in ("poses", "jsonl", "json")
    }
    assert contents(corpus.data.store) == expected_store(corpus, tmp_path)


def test_a_second_ctrl_c_neither_hangs_nor_costs_anything(corpus: Config, tmp_path: Path) -> None:
    save_config(corpus, tmp_path / "config.yaml")
    with subprocess.Popen(
        interruptible("-c", HANG, tmp_path / "config.yaml", "2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "now\n"  # a worker sleeps for a minute now
        for _ in range(2):
            run.send_signal(signal.SIGINT)
            time.sleep(0.1)
        try:
            _, said = run.communicate(timeout=30)
        finally:
            run.kill()
    assert run.returncode in (-signal.SIGINT, 130)
    assert "the same command goes on" in said
    prepare(corpus, workers=1)  # no worker holds the lock any more
    assert contents(corpus.data.store) == expected_store(corpus, tmp_path)


def test_ctrl_c_works_again_after_workers_were_stopped(
    corpus: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(shards, "_pack", lambda *_: os._exit(9))
    with pytest.raises(DataError, match="was killed"):
        prepare(corpus, workers=2)
    assert signal.getsignal(signal.SIGINT) is before


def test_changed_settings_pack_everything_anew(corpus: Config, tmp_path: Path) -> None:
    prepare(corpus, workers=1)
    other = change(corpus, normalize="shoulders")
    with pytest.raises(DataError, match="made with normalize = 'parts'"):
        open_split(other.data, "train")
    prepare(other, workers=1)
    assert open_split(other.data, "train").recipe.normalize == "shoulders"
    assert contents(corpus.data.store) == expected_store(other, tmp_path)


def test_a_changed_pose_packs_only_its_shard_anew(corpus: Config, tmp_path: Path) -> None:
    prepare(corpus, workers=1)
    before = times(corpus.data.store / "train")
    write_pose(tmp_path / "poses" / "train-3.pose", make_pose(frames=9))
    prepare(corpus, workers=1)
    assert {name for name in changed(corpus.data.store / "train", before) if "shard" in name} == {
        f"shard-00001.{end}" for end in ("poses", "jsonl", "json")
    }
    assert open_split(corpus.data, "train").frames[3] == 9
    assert contents(corpus.data.store) == expected_store(corpus, tmp_path)


def test_a_changed_text_reaches_the_store(corpus: Config, tmp_path: Path) -> None:
    prepare(corpus, workers=1)
    table = tmp_path / "train.csv"
    table.write_text(table.read_text().replace("train-2,", "train-2,oh "))
    prepare(corpus, workers=1)
    assert open_split(corpus.data, "train").text(2).startswith("oh ")


def test_a_shorter_table_leaves_no_shards_behind(corpus: Config, tmp_path: Path) -> None:
    prepare(corpus, workers=1)
    table = tmp_path / "train.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:4]))
    prepare(corpus, workers=1)
    assert len(open_split(corpus.data, "train")) == 3
    assert contents(corpus.data.store) == expected_store(corpus, tmp_path)


# ------------------------------------------------------------------------------- what is skipped


@pytest.fixture
def damaged(corpus: Config, tmp_path: Path) -> Config:
    """The corpus with one missing file, one damaged, and one empty text: 3 of 7."""
    (tmp_path / "poses" / "train-1.pose").unlink()
    (tmp_path / "poses" / "train-4.pose").write_bytes(b"\0" * 50)
    table = tmp_path / "train.csv"
    lines = table.read_text().splitlines()
    lines[-1] = "train-6,"
    table.write_text("\n".join(lines))
    return corpus


def test_too_many_unusable_clips_are_an_error_at_the_end(damaged: Config) -> None:
    with pytest.raises(
        DataError, match=r"3 of 7 clips can't be used \(42\.86%\), all listed in .*skipped\.csv"
    ) as caught:
        prepare(damaged, workers=1)
    assert "At most 1% may be skipped. Mend them, or raise data.max_skipped" in str(caught.value)
    assert "1 x no such file" in str(caught.value)
    folder = damaged.data.store / "train"
    assert len(list(folder.glob("shard-*.poses"))) == 4
    lines = (folder / "skipped.csv").read_text().splitlines()
    assert lines[0] == "uid,file,reason"
    assert [line.split(",")[0] for line in lines[1:]] == ["train-1", "train-4", "train-6"]
    assert "no such file" in lines[1]
    assert "The text is empty." in lines[3]


def test_a_higher_limit_then_succeeds_without_packing_again(
    damaged: Config, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DataError):
        prepare(damaged, workers=1)
    folder = damaged.data.store / "train"
    before = {name: when for name, when in times(folder).items() if "shard" in name}
    reports = prepare(change(damaged, max_skipped=0.5), workers=1)
    assert {name: when for name, when in times(folder).items() if "shard" in name} == before
    assert (reports["train"].clips, len(reports["train"].skipped)) == (4, 3)
    assert [record.levelname for record in caplog.records if "3 of 7 clips" in record.message] == [
        "WARNING"
    ]
    store = open_split(damaged.data, "train")
    assert [store.details(i)["uid"] for i in range(4)] == [f"train-{i}" for i in (0, 2, 3, 5)]


def test_mending_the_files_packs_only_their_shards(damaged: Config, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        prepare(damaged, workers=1)
    before = times(damaged.data.store / "train")
    write_pose(tmp_path / "poses" / "train-1.pose", make_pose())
    reports = prepare(change(damaged, max_skipped=0.5), workers=1)
    assert reports["train"].clips == 5
    assert {n for n in changed(damaged.data.store / "train", before) if n.startswith("shard")} == {
        f"shard-00000.{end}" for end in ("poses", "jsonl", "json")
    }


def test_too_many_unusable_clips_do_not_keep_other_splits_from_being_packed(
    damaged: Config, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"^train: 3 of 7 clips can't be used"):
        prepare(damaged, workers=1)
    assert len(open_split(damaged.data, "val")) == 3


def test_all_splits_with_too_many_unusable_clips_are_named(damaged: Config, tmp_path: Path) -> None:
    (tmp_path / "poses" / "val-1.pose").write_bytes(b"")
    with pytest.raises(DataError, match=r"(?s)^train: 3 of 7 .*\nval: 1 of 3 clips can't be used"):
        prepare(damaged, workers=1)


def test_a_wrong_pose_folder_is_named_with_a_full_path(corpus: Config, tmp_path: Path) -> None:
    wrong = change(corpus, pose_dir=tmp_path / "nowhere")
    with pytest.raises(DataError) as caught:
        prepare(wrong, workers=1)
    where = tmp_path / "nowhere"
    said = f"There is no {where / 'train-0.pose'}, for example; is data.pose_dir = {where} right?"
    assert said in str(caught.value)


def test_a_few_missing_files_do_not_call_the_pose_folder_in_question(damaged: Config) -> None:
    with pytest.raises(DataError) as caught:  # one of three is missing
        prepare(damaged, workers=1)
    assert "1 x no such file" in str(caught.value)
    assert "pose_dir" not in str(caught.value)


def test_a_store_of_nothing_is_an_error(write_table: Callable[..., Config]) -> None:
    config = write_table("uid,text\na,\nb,\n", "data.max_skipped=1.0")
    with pytest.raises(DataError, match=r"2 of 2 clips can't be used.*\nNothing is left"):
        prepare(config, workers=1)


def test_the_log_tells_what_is_odd(
    write_table: Callable[..., Config], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "signseq")
    config = write_table("uid,text\na,we\nb,you\n")
    pose = make_pose(frames=50)
    pose.confidence[:, 11:] = 0
    pose.data[0, 0] = np.nan
    write_pose(tmp_path / "poses" / "b.pose", pose)
    prepare(config, workers=1)
    assert (
        "train: 2 clips, 0.00 hours, 100 frames; 1 without any hand; 1 points with NaN"
        in caplog.text
    )


# ------------------------------------------------------------------------------- nothing is lost


def test_a_finished_store_of_other_settings_outlives_its_poses(
    corpus: Config, tmp_path: Path
) -> None:
    prepare(corpus, workers=1)
    before = contents(corpus.data.store), times(corpus.data.store)
    (tmp_path / "poses").rename(tmp_path / "moved")
    with pytest.raises(
        DataError,
        match=r"holds a finished store.*7 of the 7 pose files are gone \(.*train-0\.pose.*left as it is\. Put",
    ):
        prepare(change(corpus, normalize="shoulders"), workers=1)
    assert (contents(corpus.data.store), times(corpus.data.store)) == before
    assert len(ensure_split(corpus.data, "train")) == 7  # training needs only the store


def test_a_finished_store_whose_poses_alone_are_gone_is_done(
    corpus: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(corpus, workers=1)
    before = times(corpus.data.store)
    (tmp_path / "poses").rename(tmp_path / "moved")
    with caplog.at_level(logging.INFO):
        assert prepare(corpus, workers=1)["train"].clips == 7
    assert times(corpus.data.store) == before
    assert "train: the poses that it was made of are gone; it is kept as it is." in caplog.text


def test_a_finished_store_half_of_whose_poses_are_gone_is_named(
    corpus: Config, tmp_path: Path
) -> None:
    prepare(corpus, workers=1)
    for number in range(4):
        (tmp_path / "poses" / f"train-{number}.pose").unlink()
    with pytest.raises(DataError, match=r"4 of the 7 pose files are gone .*left as it is"):
        prepare(corpus, workers=1)


# ------------------------------------------------------------------------------- what may pass


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_could_not_be_read_is_tried_again(
    corpus: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """Its size and time don't change when it can be read again."""
    config = change(corpus, max_skipped=0.5)

    def refuse(path: str, *arguments: Any, **options: Any) -> Any:
        if str(path).endswith(("train-2.pose", "train-3.pose")):
            raise PermissionError(errno.EACCES, "Permission denied")
        return open(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(layout, "open", refuse, raising=False)
        report = prepare(config, workers=workers)["train"]
        assert [uid for uid, *_ in report.skipped] == ["train-2", "train-3"]
        assert all(
            reason.endswith("can't be read (Permission denied). " + AGAIN)
            for *_, reason in report.skipped
        )
        assert len(open_split(config.data, "train")) == 5  # meanwhile it is a store like any other
        assert len(prepare(config, workers=workers)["train"].skipped) == 2
    assert prepare(config, workers=workers)["train"].clips == 7
    assert contents(corpus.data.store) == expected_store(config, tmp_path)
    settled = times(corpus.data.store)
    prepare(config, workers=workers)
    assert times(corpus.data.store) == settled


def test_only_shards_of_what_may_pass_are_written_again(
    corpus: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = change(corpus, max_skipped=0.5)
    (tmp_path / "poses" / "train-6.pose").write_bytes(b"damaged for good")
    with monkeypatch.context() as patch:
        patch.setattr(shards, "open_poses", fail_for(shards.open_poses, "train-2.pose"))
        prepare(config, workers=1)
    before = times(corpus.data.store)
    prepare(config, workers=1)
    names = {name for name in changed(corpus.data.store, before) if "/shard-" in name}
    assert {name.split(".")[0] for name in names} == {"train/shard-00001"}


def test_stores_without_other_clips_have_other_digests(
    corpus: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a cache keeps of a store elsewhere goes by them."""
    config, digests = change(corpus, max_skipped=0.5), []
    for name in ("train-2.pose", "train-3.pose"):
        with monkeypatch.context() as patch:
            patch.setattr(shards, "open_poses", fail_for(shards.open_poses, name))
            digests.append(prepare(config, workers=1)["train"].digest)
    assert len({*digests, prepare(config, workers=1)["train"].digest}) == 3


# ------------------------------------------------------------------------------- a table that changes


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    "change_rows",
    [
        lambda rows: rows[:-2],
        lambda rows: [*rows, "val-9,we\n"],
        lambda rows: [*rows[:-1], "val-3,other words\n"],
    ],
)
def test_a_table_that_changes_while_it_is_packed_is_said_to(
    corpus: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    change_rows: Callable[[list[str]], list[str]],
) -> None:
    table, pack = tmp_path / "val.csv", preparation._pack_split
    rows = [*table.read_text().splitlines(keepends=True), "val-3,we\n"]
    for number in (3, 9):
        write_pose(tmp_path / "poses" / f"val-{number}.pose", make_pose(seed=number))
    table.write_text("".join(rows))

    def change_meanwhile(data: Any, split: str, *others: Any) -> ShardReport:
        if split == "train":
            table.write_text("".join(change_rows(rows)))
        return pack(data, split, *others)

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "_pack_split", change_meanwhile)
        with pytest.raises(
            DataError,
            match=r"the table was changed while it was packed\. Run the same command again",
        ):
            prepare(corpus, workers=workers)
    assert not (corpus.data.store / "val" / "store.json").exists()
    prepare(corpus, workers=workers)
    assert contents(corpus.data.store) == expected_store(corpus, tmp_path)
    assert len(open_split(corpus.data, "val")) == len(change_rows(rows)) - 1


@pytest.mark.parametrize("facts", [{"rows": "others", "table": "another"}, {"table": "another"}])
def test_a_store_of_the_same_shards_learns_its_table(
    corpus: Config, tmp_path: Path, facts: dict[str, str]
) -> None:
    prepare(corpus, workers=1)
    place = corpus.data.store / "val" / "store.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | facts))
    prepare(corpus, workers=1)
    assert contents(corpus.data.store) == expected_store(corpus, tmp_path)


def test_a_report_that_is_missing_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected 3 shards, and there are 2; the table was chang"):
        packing.put_in_order(
            {0: ShardReport(), 1: ShardReport()}, count=3, folder=LocalFolder(tmp_path)
        )


# ------------------------------------------------------------------------------- before anything is done


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("s3://", r"s3://: names no place\. Expected s3://bucket/"),
        ("file://", r"file://: names no place\. Expected file:///folder/"),
        ("s3:///stores", r"s3:///stores: names no place\. Expected s3://bucket/"),
        (
            Path("s3:/bucket/x"),
            r"s3:/bucket/x: a path that begins like a URL\. Expected s3://bucket",
        ),
    ],
)
def test_half_a_url_is_no_folder(
    corpus: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Path | str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=said):
        prepare(change(corpus, store=place), workers=1)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("missing", ["ray", "s3fs"])
def test_what_is_missing_is_said_before_videos_are_read(
    corpus: Config, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr(preparation, "extract_named", None)  # would fail
    monkeypatch.setattr(preparation, "digest_table", None)
    monkeypatch.setitem(sys.modules, missing, None)
    config = change(corpus, store="s3://bucket/store") if missing == "s3fs" else corpus
    with pytest.raises(MissingExtraError, match=f"'{missing}'"):
        prepare(config, workers=1, engine="ray" if missing == "ray" else "processes")


@pytest.mark.parametrize("facts", ['{"format": 1}', "{"])
def test_a_store_of_another_version_outlives_its_poses(
    corpus: Config, tmp_path: Path, facts: str
) -> None:
    prepare(corpus, workers=1)
    (corpus.data.store / "train" / "store.json").write_text(facts)
    before = contents(corpus.data.store)
    (tmp_path / "poses").rename(tmp_path / "moved")
    with pytest.raises(DataError, match=r"7 of the 7 pose files are gone .*left as it is"):
        prepare(corpus, workers=1)
    assert contents(corpus.data.store) == before


def test_a_few_lost_poses_are_skipped(corpus: Config, tmp_path: Path) -> None:
    prepare(corpus, workers=1)
    (tmp_path / "poses" / "train-2.pose").unlink()
    reports = prepare(change(corpus, max_skipped=0.2), workers=1)
    assert (reports["train"].clips, len(reports["train"].skipped)) == (6, 1)


@pytest.mark.parametrize("place", ["_pack", "pack_report"])
def test_a_full_disk_is_named_and_costs_nothing(
    corpus: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def fail(*_: object) -> None:
        raise NO_SPACE

    with monkeypatch.context() as patch:
        patch.setattr(shards, place, fail)
        with pytest.raises(
            DataError,
            match=r"train.shard-00000: can't be written \(No space left on device\)\. Free space, .*kept",
        ):
            prepare(corpus, workers=1)
    prepare(corpus, workers=1)
    assert contents(corpus.data.store) == expected_store(corpus, tmp_path)


@pytest.mark.parametrize("step", ["store.json", "index.npy", "skipped.csv"])
def test_a_disk_that_is_full_at_the_end_is_named(
    corpus: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    replace = Path.replace

    def fail(path: Path, target: Path) -> Path:
        if target.name == step:
            raise NO_SPACE
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with pytest.raises(DataError, match=r"can't be written \(No space left on device\)"):
            prepare(corpus, workers=1)
    prepare(corpus, workers=1)
    assert contents(corpus.data.store) == expected_store(corpus, tmp_path)


def test_a_folder_that_may_not_be_written_is_named(
    corpus: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(
        DataError,
        match=r"store.train: can't be written \(Permission denied\).*choose another `data\.store`",
    ):
        prepare(corpus, workers=1)


def test_a_file_where_the_store_should_be_is_named(corpus: Config) -> None:
    corpus.data.store.write_text("notes")
    with pytest.raises(DataError, match=r"store.train: can't be written \(Not a directory\)"):
        prepare(corpus, workers=1)
    assert corpus.data.store.read_text() == "notes"


def test_a_shard_whose_process_is_killed_each_time_is_named(
    corpus: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def die_at_the_last(example: Example, *rest: Any) -> Any:
        if example.id == "train-6":
            with (tmp_path / "deaths").open("a") as file:
                file.write("x")
            os._exit(9)
        return pack(example, *rest)

    pack = shards._pack
    monkeypatch.setattr(shards, "_pack", die_at_the_last)
    with pytest.raises(
        DataError,
        match=r"train.shard-00003: a process was killed while it packed poses; perhaps memory",
    ):
        prepare(corpus, workers=2)
    assert (tmp_path / "deaths").read_text() == "xxx"  # it was begun anew twice


def test_a_worker_that_is_killed_once_costs_nothing(
    corpus: Config,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def die_once(*arguments: Any) -> Any:
        try:
            (tmp_path / "died").touch(exist_ok=False)
        except FileExistsError:
            return pack(*arguments)
        os._exit(9)

    pack = shards._pack
    monkeypatch.setattr(shards, "_pack", die_once)
    prepare(corpus, workers=2)
    assert "A process was killed" in caplog.text
    assert contents(corpus.data.store) == expected_store(corpus, tmp_path)


def test_a_script_without_a_main_guard_is_told_of_it(corpus: Config, tmp_path: Path) -> None:
    save_config(corpus, tmp_path / "config.yaml")
    (tmp_path / "script.py").write_text(UNGUARDED)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "config.yaml")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "call it below `if __name__ == '__main__':`, or with workers=1" in done.stderr


def test_an_engine_whose_package_is_missing_names_its_extra(
    corpus: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"--engine ray.*signseq\[ray\]"):
        prepare(corpus, engine="ray")


def test_an_unknown_engine_lists_those_there_are(corpus: Config) -> None:
    with pytest.raises(ConfigError, match="No engine 'spark'; there are: processes, ray"):
        prepare(corpus, engine="spark")  # type: ignore[arg-type]


def test_a_shard_that_disappears_while_the_store_is_written_is_named(
    corpus: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_skipped = preparation.write_skipped

    def lose_a_shard(folder: LocalFolder, *arguments: Any) -> str:
        folder.remove("shard-00001.poses")
        return write_skipped(folder, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "write_skipped", lose_a_shard)
        with pytest.raises(DataError, match=r"train.shard-00001\.poses: the shard was changed or"):
            prepare(corpus, workers=1)
    prepare(corpus, workers=1)
    assert contents(corpus.data.store) == expected_store(corpus, tmp_path)


def test_two_runs_do_not_write_one_store(corpus: Config, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    folder = corpus.data.store / "train"
    folder.mkdir(parents=True)
    with (folder / packing.LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(
            DataError, match=r"train: another `signseq prepare` is writing this store\. Wait until"
        ):
            prepare(corpus, workers=1)
        assert [path.name for path in folder.iterdir()] == [packing.LOCK]
    prepare(corpus, workers=1)
    assert contents(corpus.data.store) == expected_store(corpus, tmp_path)


def test_a_finished_store_needs_no_lock(corpus: Config) -> None:
    fcntl = pytest.importorskip("fcntl")
    prepare(corpus, workers=1)
    with (corpus.data.store / "train" / packing.LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert prepare(corpus, workers=1)["train"].clips == 7


# ------------------------------------------------------------------------------- when it is needed


def test_a_split_is_prepared_when_it_is_needed(corpus: Config) -> None:
    assert len(ensure_split(corpus.data, "val")) == 3
    assert not (corpus.data.store / "train").exists()


def test_a_store_with_other_settings_is_not_taken(corpus: Config) -> None:
    prepare(corpus, workers=1)
    with pytest.raises(DataError, match=r"was made with fps = None, 10\.0 is asked for"):
        ensure_split(change(corpus, fps=10.0).data, "val")


def test_a_changed_row_reaches_the_store_where_it_is_needed(corpus: Config, tmp_path: Path) -> None:
    prepare(corpus, workers=1)
    table = tmp_path / "val.csv"
    table.write_text(table.read_text().replace("val-2,", "val-2,oh "))
    assert ensure_split(corpus.data, "val").text(2).startswith("oh ")
    assert contents(corpus.data.store) == expected_store(corpus, tmp_path)


def test_another_table_reaches_the_store_where_it_is_needed(corpus: Config, tmp_path: Path) -> None:
    prepare(corpus, workers=1)
    other = write_rows(tmp_path / "other.csv", [{"uid": "train-4", "text": "we see"}])
    assert list(ensure_split(change(corpus, val_path=other).data, "val").texts()) == ["we see"]


def test_a_changed_table_refuses_the_store_where_it_may_not_be_made(
    corpus: Config, tmp_path: Path
) -> None:
    prepare(corpus, workers=1)
    with (tmp_path / "val.csv").open("a") as file:
        file.write("val-9,we\n")
    with pytest.raises(
        DataError, match=r"val\.csv: the table has changed since .* Run: signseq prepare CONFIG"
    ):
        open_split(corpus.data, "val")
    assert len(open_split(corpus.data, "train")) == 7


def test_a_changed_table_whose_poses_are_gone_leaves_the_store_as_it_is(
    corpus: Config, tmp_path: Path
) -> None:
    prepare(corpus, workers=1)
    before = contents(corpus.data.store)
    table = tmp_path / "val.csv"
    table.write_text(table.read_text().replace("val-2,", "val-2,oh "))
    (tmp_path / "poses").rename(tmp_path / "moved")
    with pytest.raises(
        DataError, match=r"other settings, rows or files, but 3 of the 3 pose files"
    ):
        ensure_split(corpus.data, "val")
    assert contents(corpus.data.store) == before


def test_the_rows_of_an_unchanged_table_are_not_read_again(
    corpus: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(corpus, workers=1)
    monkeypatch.setattr(preparation, "read_examples", None)  # would fail
    assert len(ensure_split(corpus.data, "val")) == 3
    assert len(open_split(corpus.data, "val")) == 3


def test_a_table_that_says_the_same_in_other_bytes_keeps_its_store(
    corpus: Config, tmp_path: Path
) -> None:
    prepare(corpus, workers=1)
    before = times(corpus.data.store)
    table = tmp_path / "val.csv"
    table.write_bytes(table.read_bytes().replace(b"\r", b"").replace(b"\n", b"\r\n") + b"\r\n")
    assert len(ensure_split(corpus.data, "val")) == 3
    assert times(corpus.data.store) == before


def test_a_table_that_is_read_with_other_settings_is_another_one(
    corpus: Config, tmp_path: Path
) -> None:
    (tmp_path / "val.csv").write_text("uid,text,gloss\nval-1,we see,WE SEE\n")
    prepare(corpus, workers=1)
    other = change(corpus, columns={"text": "gloss"})
    with pytest.raises(DataError, match="the table has changed"):
        open_split(other.data, "val")


def test_a_store_that_does_not_know_its_table_opens_by_its_rows(
    corpus: Config, tmp_path: Path
) -> None:
    prepare(corpus, workers=1)
    place = corpus.data.store / "val" / "store.json"
    facts = json.loads(place.read_text())
    del facts["table"]
    place.write_text(json.dumps(facts))
    assert len(open_split(corpus.data, "val")) == 3
    with (tmp_path / "val.csv").open("a") as file:
        file.write("val-9,we\n")
    with pytest.raises(DataError, match="the table has changed"):
        open_split(corpus.data, "val")


@pytest.mark.parametrize("lost", ["val.csv", "poses"])
def test_a_store_is_taken_where_its_table_or_its_poses_are_gone(
    corpus: Config, tmp_path: Path, lost: str
) -> None:
    prepare(corpus, workers=1)
    before = times(corpus.data.store)
    (tmp_path / lost).rename(tmp_path / "moved")
    assert len(ensure_split(corpus.data, "val")) == 3
    assert len(open_split(corpus.data, "val")) == 3
    assert times(corpus.data.store) == before


def test_changed_poses_alone_do_not_matter_where_a_store_is_needed(
    corpus: Config, tmp_path: Path
) -> None:
    prepare(corpus, workers=1)
    write_pose(tmp_path / "poses" / "val-0.pose", make_pose(frames=9))
    assert ensure_split(corpus.data, "val").frames[0] == 6


def test_a_store_moves_with_its_poses(corpus: Config, tmp_path: Path) -> None:
    prepare(corpus, workers=1)
    (tmp_path / "poses").rename(tmp_path / "moved")
    moved = change(corpus, pose_dir=tmp_path / "moved")
    before = times(corpus.data.store)
    assert len(ensure_split(moved.data, "val")) == 3
    assert times(corpus.data.store) == before


@pytest.mark.parametrize("lost", ["shard-00000.poses", "shard-00001.jsonl", "index.npy"])
def test_a_damaged_store_is_made_again_where_it_is_needed(
    corpus: Config, tmp_path: Path, lost: str
) -> None:
    prepare(corpus, workers=1)
    (corpus.data.store / "val" / lost).unlink()
    with pytest.raises(DataError, match=rf"{lost}: missing or damaged"):
        open_split(corpus.data, "val")
    assert len(ensure_split(corpus.data, "val")) == 3
    assert contents(corpus.data.store) == expected_store(corpus, tmp_path)


def test_a_damaged_store_whose_poses_are_gone_is_named(corpus: Config, tmp_path: Path) -> None:
    prepare(corpus, workers=1)
    (corpus.data.store / "val" / "shard-00001.poses").unlink()
    (tmp_path / "poses").rename(tmp_path / "moved")
    with pytest.raises(
        DataError,
        match=r"val: holds a store in which shard-00001\.poses is missing or damaged, but 3",
    ):
        ensure_split(corpus.data, "val")


def test_an_unknown_split_lists_those_of_the_config(corpus: Config) -> None:
    with pytest.raises(DataError, match=r"No split 'test'; the config names train, val\. Set"):
        ensure_split(corpus.data, "test")


def test_an_embedded_corpus_is_written_only_where_it_is_not_there(
    corpus: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written: list[Any] = []
    monkeypatch.setattr(preparation, "write_corpus", lambda *args, **_: written.append(args))
    embedded = change(corpus, corpus="words")
    prepare(embedded, workers=1)
    assert written == []
    (tmp_path / "val.csv").unlink()
    with pytest.raises(DataError, match=r"val\.csv: the table can't be read"):
        prepare(embedded, workers=1)
    assert written == [("words", tmp_path)]

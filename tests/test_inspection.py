from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from conftest import make_pose, tiny_config, write_rows
from signseq import __main__ as cli
from signseq.charts import Measure, draw_measure
from signseq.config import Config, save_config
from signseq.errors import DataError
from signseq.inspection import config_of_folder, inspect
from signseq.inspection_report import Inspection, write_html
from signseq.poses.sequence import write_pose
from signseq.preparation import prepare

HOSTILE = '</script><img src=x onerror="alert(1)"> & مرحبا'


class Page(HTMLParser):
    """What a page is made of: its tags, the addresses that it names, ids, and texts by tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def from_store(prepared: Path) -> Inspection:
    return inspect(tiny_config(prepared))


@pytest.fixture
def corpus(tmp_path: Path):
    """Three clips to train on and one to validate, without a store; the texts are given."""

    def write(*overrides: str, train=("we eat", "you see", "we see bread"), val="we eat water"):
        (tmp_path / "poses").mkdir(exist_ok=True)
        rows = {"train": [(f"a-{i}", text) for i, text in enumerate(train)], "val": [("b-0", val)]}
        for split, own in rows.items():
            write_rows(tmp_path / f"{split}.csv", [{"uid": uid, "text": text} for uid, text in own])
            for number, (uid, _) in enumerate(own):
                pose = make_pose(frames=20 + 10 * number, seed=number)
                write_pose(tmp_path / "poses" / f"{uid}.pose", pose, size=(500, 400))
        return tiny_config(tmp_path, "data.test_path=null", *overrides)

    return write


def kinds(found: Inspection, severity: str | None = None) -> set[str]:
    return {each.kind for each in found.findings if severity in (None, each.severity)}


# -------------------------------------------------------------------------------- what is found


def test_of_a_store_every_clip_is_counted(from_store, prepared):
    train = from_store.splits[0]
    frames = np.load(prepared / "store" / "train" / "index.npy")["frames"]
    assert (train.rows, train.clips, train.is_sample) == (96, 96, False)
    assert train.frames == frames.sum()
    assert train.hours == pytest.approx(frames.sum() / 25 / 3600, rel=1e-3)
    assert (train.rates, train.sizes, train.people) == ({"25": 96}, {"500x500": 96}, {"1": 96})
    assert train.frames_without_hands == 0


def test_texts_that_stand_in_two_splits_spoil_training(from_store):
    assert "leaking_texts" in kinds(from_store, "error")
    assert from_store.spoils_training


def test_the_models_own_tokenizer_counts_the_tokens(from_store):
    measure = next(each for each in from_store.measures if each.name.startswith("Tokens"))
    assert measure.values.min() == 2  # one word and the end
    assert measure.marks == {"data.max_length": 16.0}


def test_without_a_store_a_sample_of_the_files_is_read(corpus):
    found = inspect(corpus(), sample=2)
    train = found.splits[0]
    assert (train.rows, train.clips, train.is_sample) == (3, 2, True)
    assert "sample" in kinds(found, "note")
    assert "a sample; about" in found.describe()


def test_files_and_store_give_the_same_numbers(prepared, tmp_path, from_store):
    found = inspect(tiny_config(prepared, f"data.store={tmp_path / 'none'}"))
    for files, store in zip(found.splits, from_store.splits, strict=True):
        assert (files.frames, files.hours, files.frames_without_hands) == pytest.approx(
            (store.frames, store.hours, store.frames_without_hands), rel=1e-3
        )


def test_a_sound_corpus_has_no_error(corpus):
    found = inspect(corpus())
    assert kinds(found, "error") == set()
    assert not found.spoils_training


def test_rows_without_a_file_and_files_without_a_row_are_found(corpus, tmp_path):
    config = corpus()
    (tmp_path / "poses" / "a-1.pose").rename(tmp_path / "poses" / "zzz.pose")
    found = {each.kind: each for each in inspect(config).findings}
    assert found["rows_without_file"].severity == "error"
    assert "a-1" in found["rows_without_file"].what
    assert "zzz.pose" in found["files_without_row"].what
    assert "unreadable_clips" not in found  # said once


def test_a_damaged_file_is_an_error(corpus, tmp_path):
    config = corpus()
    (tmp_path / "poses" / "a-1.pose").write_bytes(b"no pose")
    found = next(each for each in inspect(config).findings if each.kind == "unreadable_clips")
    assert found.severity == "error"
    assert "a-1" in found.what


def test_more_clips_skipped_by_prepare_than_allowed_are_an_error(corpus, tmp_path):
    config = corpus("data.max_skipped=0.5")
    (tmp_path / "poses" / "a-1.pose").write_bytes(b"no pose")
    prepare(config, workers=1)
    found = next(each for each in inspect(config).findings if each.kind == "unreadable_clips")
    assert (found.severity, found.where) == ("warning", "train")
    assert "unreadable_clips" in kinds(inspect(corpus("data.max_skipped=0.1")), "error")


def test_a_table_that_cannot_be_read_does_not_stop_the_others(corpus, tmp_path):
    config = corpus()
    (tmp_path / "train.csv").write_text("nothing\n")
    found = inspect(config)
    assert [split.rows for split in found.splits] == [0, 1]
    assert "unreadable_table_or_store" in kinds(found, "error")


def test_empty_texts_are_an_error(corpus):
    assert "empty_texts" in kinds(inspect(corpus(train=("we eat", "", "you see"))), "error")


def test_nan_points_are_counted(corpus, tmp_path):
    config = corpus()
    pose = make_pose(frames=5)
    pose.data[2, 3] = np.nan
    write_pose(tmp_path / "poses" / "a-0.pose", pose)
    found = next(each for each in inspect(config).findings if each.kind == "unusable_points")
    assert found.what.startswith("1 points")


def test_the_limit_of_a_model_from_scratch_is_known(corpus):
    config = corpus("model.config={max_position_embeddings: 8}", "model.encoder.stride=1")
    found = next(each for each in inspect(config).findings if each.kind == "model_limit")
    assert "8 frames" in found.what


def test_of_a_model_that_is_not_here_only_what_is_known_is_said(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    config = corpus(
        "model.name=nobody/nothing",
        "model.from_scratch=false",
        "model.tokenizer=null",
        "model.size=null",
    )
    found = inspect(config)
    said = [each.what for each in found.findings if each.kind == "unknown"]
    assert len(said) == 2
    assert all("nothing is fetched" in what for what in said)
    assert found.splits[0].tokens is None
    words = next(each for each in found.measures if each.name.startswith("Words"))
    assert sorted(words.values) == [2, 2, 3, 3]


def test_a_model_of_the_catalog_has_its_limit_without_a_network(corpus):
    config = corpus(
        *("model.name=facebook/bart-base", "model.from_scratch=false", "model.size=null"),
        *("model.tokenizer=null", "data.max_frames=3000"),
    )
    found = next(each for each in inspect(config).findings if each.kind == "model_limit")
    assert "2,048 frames" in found.what


def test_a_store_outlives_its_table_and_its_files(prepared, tmp_path):
    folder = shutil.copytree(prepared, tmp_path / "copy")
    shutil.rmtree(folder / "poses")
    (folder / "val.csv").unlink()
    found = inspect(tiny_config(folder))
    assert [split.clips for split in found.splits] == [96, 12, 12]
    missing = [each for each in found.findings if each.kind == "rows_without_file"]
    assert {each.severity for each in missing} == {"note"}
    assert len(found.clips) == 6


def test_a_table_that_changed_since_its_store_is_said(prepared, tmp_path):
    folder = shutil.copytree(prepared, tmp_path / "copy")
    with (folder / "val.csv").open("a") as file:
        file.write("val-99,we eat\n")
    config = tiny_config(folder, f"data.pose_dir={folder / 'poses'}")
    said = [each for each in inspect(config).findings if "table has changed" in each.what]
    assert [(each.where, each.severity) for each in said] == [("val", "warning")]


def test_splits_made_by_a_corpuss_makers_are_not_an_error(tmp_path):
    columns = ("name", "video", "start", "end", "speaker", "orth", "translation")
    for split in ("train", "dev"):
        row = [f"news-{split}-1", "x/*.png", "-1", "-1", "S1", "A", "der wind weht"]
        (tmp_path / f"{split}.csv").write_text("|".join(columns) + "\n" + "|".join(row) + "\n")
    config = tiny_config(
        tmp_path,
        *("data.corpus=phoenix", "data.test_path=null", f"data.val_path={tmp_path / 'dev.csv'}"),
    )
    leaking = [each for each in inspect(config).findings if each.kind == "leaking_texts"]
    assert {each.severity for each in leaking} == {"warning"}


def test_a_config_without_tables_is_refused(make_config):
    nothing = (f"data.{split}_path=null" for split in ("train", "val", "test"))
    with pytest.raises(DataError, match=r"data\.train_path"):
        inspect(make_config(*nothing))


# ---------------------------------------------------------------------------------- the report


def test_terminal_json_and_html_show_the_same_findings(from_store):
    facts = json.loads(from_store.to_json())
    page = Page(from_store.to_html(title="demo"))
    text, shown = from_store.describe(), "".join(page.texts)
    assert facts["findings"]
    for finding in facts["findings"]:
        for said in (finding["what"], finding["advice"]):
            assert said in text
            assert said in shown


def test_the_page_needs_nothing_but_itself(from_store, tmp_path):
    path = tmp_path / "new" / "report.html"
    write_html(from_store, path, title="demo")
    assert path.stat().st_size < 5_000_000
    page = Page(path.read_text(encoding="utf-8"))
    named = [value for _, given in page.attributes for value in given.values() if value]
    assert not any("//" in value for value in named)
    assert not {"link", "img", "iframe"} & page.tags.keys()
    assert not any({"src", "href"} & given.keys() for _, given in page.attributes)
    assert page.tags["canvas"] == len(from_store.clips) == 6
    assert page.tags["svg"] == 4


def test_texts_of_users_are_escaped_and_keep_their_direction(corpus, tmp_path):
    config = corpus(train=(HOSTILE, "we eat", "you see"))
    text = inspect(config).to_html(title=HOSTILE)
    page = Page(text)
    assert page.tags["img"] == 0
    assert page.tags["script"] == 2
    assert HOSTILE in page.texts
    assert ("bdi", {"dir": "auto", "class": "text"}) in page.attributes


def test_every_button_and_picture_of_the_page_has_a_name(from_store):
    page = Page(from_store.to_html(title="demo"))
    for tag, given in page.attributes:
        if tag in ("canvas", "svg"):
            assert given["role"] == "img"
            assert given["aria-label"]
        assert tag != "button" or given["aria-pressed"] == "false"
    ids = [given["id"] for _, given in page.attributes if "id" in given]
    assert len(ids) == len(set(ids))


def test_the_bars_of_a_histogram_hold_every_value():
    values = np.array([0, 3, 3, 10, 250])
    drawn = draw_measure(Measure("Frames", values, {"limit": 100.0, "beyond": 1000.0}))
    page = Page(drawn)
    counts = [text.rsplit(": ", 1)[1] for text in page.texts if " to " in text]
    assert sum(map(int, counts)) == len(values)
    assert page.tags["line"] == 1  # the other lies outside


@pytest.mark.parametrize("values", [[], [5], [0.0, 0.0], [100.0]])
def test_a_histogram_of_next_to_nothing_can_be_drawn(values):
    assert "figure" in draw_measure(Measure("Seconds", np.array(values)))


# ----------------------------------------------------------------------------- the command line


@pytest.fixture
def call(monkeypatch, capsys):
    def run(config: Config, folder: Path, *arguments):
        save_config(config, folder / "config.yaml")
        given = ["signseq", "inspect", folder / "config.yaml", *arguments]
        monkeypatch.setattr(sys, "argv", list(map(str, given)))
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code or 0, capsys.readouterr().out

    return run


def test_strict_ends_with_1_where_something_spoils_training(prepared, tmp_path, call):
    config = tiny_config(prepared)
    assert call(config, tmp_path)[0] == 0
    assert call(config, tmp_path, "--strict")[0] == 1


def test_strict_ends_with_0_for_a_sound_corpus(corpus, tmp_path, call):
    assert call(corpus(), tmp_path, "--strict")[0] == 0


def test_the_command_line_writes_json_and_the_page(corpus, tmp_path, call):
    path = tmp_path / "report.html"
    code, said = call(corpus(), tmp_path, "--json", "--out", path)
    assert code == 0
    assert [split["rows"] for split in json.loads(said)["splits"]] == [3, 1]
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_folder_needs_no_config(prepared: Path) -> None:
    folder = inspect(config_of_folder(prepared, ["data.keypoints=upper_body_hands"]))

    assert [split.split for split in folder.splits] == ["train", "val", "test"]


def test_a_folder_without_tables_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no train, val or test as \.csv or \.tsv there"):
        config_of_folder(tmp_path)

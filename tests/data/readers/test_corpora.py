"""The corpora with tables of their own: what is read of them, and what is wrong with them."""

from __future__ import annotations

import json
import logging
import os
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from corpora import ReadCorpus, read_corpus_in
from signseq.data.examples import Example
from signseq.errors import ConfigError, DataError


@pytest.fixture
def read_corpus(tmp_path: Path) -> ReadCorpus:
    """Write a table into the test's own folder, and read it."""
    return partial(read_corpus_in, tmp_path)


def facts(examples: list[Example], folder: Path) -> list[tuple[Any, ...]]:
    """Id, place of the poses, start, end and text."""
    return [
        (e.id, os.path.relpath(e.place, folder / "poses"), e.start, e.end, e.text) for e in examples
    ]


# ------------------------------------------------------------------------------- how2sign

H2S_COLUMNS = (
    "VIDEO_ID\tVIDEO_NAME\tSENTENCE_ID\tSENTENCE_NAME\tSTART_REALIGNED\tEND_REALIGNED\tSENTENCE"
)
H2S_ROW = "--7E2sU6zP4\t--7E2sU6zP4-5-rgb_front\t--7E2sU6zP4_10\t--7E2sU6zP4_10-5-rgb_front\t129.06\t142.48\t"
H2S = f"{H2S_COLUMNS}\n{H2S_ROW}And I call them decorative elements.\n"
OPENPOSE = {"fps": 24}


def test_how2signs_sentences_are_folders_of_openpose(
    read_corpus: ReadCorpus, tmp_path: Path
) -> None:
    examples = read_corpus("how2sign", H2S, pose_files=OPENPOSE)
    place, text = "--7E2sU6zP4_10-5-rgb_front", "And I call them decorative elements."
    assert facts(examples, tmp_path) == [(place, place, 0.0, None, text)]
    assert (examples[0].pose_format.name, examples[0].source_language) == ("openpose", "ase")


@pytest.mark.parametrize(
    ("files", "file", "times"),
    [
        ({"format": "pose"}, "--7E2sU6zP4-5-rgb_front.pose", (129.06, 142.48)),
        ({"format": "pose", "per": "clip"}, "--7E2sU6zP4_10-5-rgb_front.pose", (0.0, None)),
        ({"per": "video", "fps": 24}, "--7E2sU6zP4-5-rgb_front", (129.06, 142.48)),
        ({"format": "npy", "skeleton": "mediapipe_holistic", "fps": 24},
         "--7E2sU6zP4_10-5-rgb_front.npy", (0.0, None)),
    ],
)  # fmt: skip
def test_how2signs_whole_videos_are_cut_by_the_realigned_times(
    read_corpus: ReadCorpus, tmp_path: Path, files: dict[str, Any], file: str, times: Any
) -> None:
    examples = read_corpus("how2sign", H2S, pose_files=files)
    assert [row[1:4] for row in facts(examples, tmp_path)] == [(file, *times)]


def test_how2signs_table_that_is_not_realigned_is_read_too(read_corpus: ReadCorpus) -> None:
    (example,) = read_corpus(
        "how2sign", H2S.replace("_REALIGNED", ""), pose_files={"format": "pose"}
    )
    assert (example.start, example.end) == (129.06, 142.48)
    without = H2S.replace("START_REALIGNED", "BEGIN")
    with pytest.raises(
        DataError, match=r"no column START_REALIGNED and none START, by which whole"
    ):
        read_corpus("how2sign", without, pose_files={"format": "pose"})


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('"Say ""hi"", now."', 'Say "hi", now.'),  # as csv writers quote
        ('"Hi," he said.', '"Hi," he said.'),  # as it is without them
        ('5" wide', '5" wide'),
        ('"', '"'),
    ],
)
def test_quotes_in_how2signs_sentences_never_swallow_rows(
    read_corpus: ReadCorpus, written: str, text: str
) -> None:
    table = f"{H2S_COLUMNS}\n{H2S_ROW}{written}\n{H2S_ROW}next\n"
    texts = [example.text for example in read_corpus("how2sign", table, pose_files=OPENPOSE)]
    assert texts == [text, "next"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (H2S.replace("\t", ","), r"no column 'VIDEO_NAME' and no column .*separated by '\\t'"),
        (H2S.replace("\tSENTENCE\n", "\tTEXT\n"), r"no column 'SENTENCE' \(has: VIDEO_ID, VIDEO_NAME"),
        (H2S.replace("129.06", "soon"), r"line 2 \(SENTENCE_NAME '.*'\): 'soon' is no time in seconds"),
        (H2S + "a\tb\n", r"line 3: the SENTENCE_NAME is empty"),
        (H2S + "a\tb\tc\td\n", r"line 3 \(SENTENCE_NAME 'd'\): 7 columns expected"),
        (H2S.encode() + b"a\tb\tc\td\t1\t2\t\xe9\n", r"line 3: not UTF-8 \(byte 0xe9\)"),
        ("", "the table is empty. Expected a header with VIDEO_NAME, SENTENCE_NAME and SENTENCE"),
    ],
)  # fmt: skip
def test_faults_in_how2signs_table_are_named(
    read_corpus: ReadCorpus, content: str | bytes, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        read_corpus("how2sign", content, pose_files={"format": "pose"})


# ------------------------------------------------------------------------------- phoenix

PHOENIX = (
    "name|video|start|end|speaker|orth|translation\n"
    "11August_2010_Wednesday_tagesschau-2|11August_2010_Wednesday_tagesschau-2/1/*.png|-1|-1|Signer08|"
    "DRUCK TIEF KOMMEN|tiefer luftdruck bestimmt in den nächsten tagen unser wetter\n"
)


def test_phoenix_is_read_as_it_comes(read_corpus: ReadCorpus, tmp_path: Path) -> None:
    examples = read_corpus("phoenix", PHOENIX, split="val")
    name = "11August_2010_Wednesday_tagesschau-2"
    text = "tiefer luftdruck bestimmt in den nächsten tagen unser wetter"
    assert facts(examples, tmp_path) == [(name, f"{name}.pose", 0.0, None, text)]
    assert (examples[0].signer, examples[0].source_language) == ("Signer08", "gsg")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PHOENIX.replace("|", ","), r"no column 'name' .*separated by '\|'"),
        (PHOENIX.replace("translation", "text"), r"no column 'translation' \(has: name, video"),
        (PHOENIX.replace("|-1|-1|", "|0|12|"), r"line 2 .*start and end are 0 and 12; expected -1"),
        (PHOENIX + "a|b|-1|-1|c|d\n", r"line 3 \(name 'a'\): 7 columns expected"),
        (PHOENIX.encode("latin-1"), r"line 2: not UTF-8 \(byte 0xe4\)"),
    ],
)
def test_faults_in_phoenix_tables_are_named(
    read_corpus: ReadCorpus, content: str | bytes, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        read_corpus("phoenix", content)


# ------------------------------------------------------------------------------- openasl

OPENASL = (
    "vid\tyid\tstart\tend\traw-text\ttokenized-text\tgloss\tsplit\n"
    "Mci9oyb5V2E-00:00:05.333-00:00:11.166\tMci9oyb5V2E\t00:00:05.333\t00:00:11.166\t"
    '"Hi," I said.\thi i said\t\ttrain\n'
    "Mci9oyb5V2E-01:00:00.000-01:00:01.500\tMci9oyb5V2E\t01:00:00.000\t01:00:01.500\tBye.\tbye\t\tvalid\n"
    "abc-1-2\tabc\t1.5\t2.25\tYes.\tyes\t\ttest\n"
)


@pytest.mark.parametrize(
    ("split", "row"),
    [
        ("train", ("Mci9oyb5V2E-00:00:05.333-00:00:11.166", "Mci9oyb5V2E.pose", 5.333, 11.166, '"Hi," I said.')),
        ("val", ("Mci9oyb5V2E-01:00:00.000-01:00:01.500", "Mci9oyb5V2E.pose", 3600.0, 3601.5, "Bye.")),
        ("test", ("abc-1-2", "abc.pose", 1.5, 2.25, "Yes.")),
    ],
)  # fmt: skip
def test_openasls_one_table_gives_each_split_its_rows(
    read_corpus: ReadCorpus, tmp_path: Path, split: str, row: tuple[Any, ...]
) -> None:
    assert facts(read_corpus("openasl", OPENASL, split=split), tmp_path) == [row]


def test_openasls_poses_can_be_of_clips(read_corpus: ReadCorpus, tmp_path: Path) -> None:
    examples = read_corpus("openasl", OPENASL, split="test", pose_files={"per": "clip"})
    assert facts(examples, tmp_path) == [("abc-1-2", "abc-1-2.pose", 0.0, None, "Yes.")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (OPENASL.replace("\t", ","), "no column 'vid' and no column 'yid'"),
        (
            OPENASL.replace("raw-text", "text"),
            r"no column 'raw-text' \(has: vid, yid, start, end, text",
        ),
        (OPENASL.replace("\t00:00:05.333", "\t5s"), r"line 2 .*'5s' is no time in seconds"),
        (
            OPENASL.replace("train", "a").replace("test", "b"),
            r"no row of the split 'train'; .*: a, b, valid",
        ),
    ],
)
def test_faults_in_openasls_table_are_named(
    read_corpus: ReadCorpus, content: str, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        read_corpus("openasl", content)


# ------------------------------------------------------------------------------- csl_daily

CSL_NAMES = ("S000000_P0000_T00", "S000001_P0004_T00", "S000007_P0003_T00", "S000002_P0000_T00")
CSL_LABELS = {
    "info": [
        {"name": name, "length": 60, "label_gloss": ["他"], "label_char": list("他去。"), "label_word": ["他"]}
        for name in CSL_NAMES
    ]
}  # fmt: skip
CSL_SPLIT = (
    "name|split\nS000000_P0000_T00|train\nS000005_P0004_T00|train\nS000001_P0004_T00|dev\n"
    "S000002_P0000_T00|test\n"
)


@pytest.fixture
def read_csl(read_corpus: ReadCorpus, tmp_path: Path) -> ReadCorpus:
    def write_and_read(
        labels: Any = CSL_LABELS, splits: str = CSL_SPLIT, **settings: Any
    ) -> list[Example]:
        (tmp_path / "split_1.txt").write_text(splits, encoding="utf-8")
        return read_corpus("csl_daily", pickle.dumps(labels), **{"allow_pickle": True, **settings})

    return write_and_read


def test_csl_dailys_train_split_is_repaired(read_csl: ReadCorpus, tmp_path: Path) -> None:
    names = ["S000000_P0000_T00", "S000007_P0003_T00"]
    assert facts(read_csl(), tmp_path) == [(n, f"{n}.pose", 0.0, None, "他去。") for n in names]


@pytest.mark.parametrize(
    ("split", "name", "signer"),
    [("val", "S000001_P0004_T00", "P0004"), ("test", "S000002_P0000_T00", "P0000")],
)
def test_csl_dailys_other_splits_are_as_listed(
    read_csl: ReadCorpus, split: str, name: str, signer: str
) -> None:
    assert [(e.id, e.signer) for e in read_csl(split=split)] == [(name, signer)]


def test_csl_dailys_labels_are_not_read_without_the_switch(read_csl: ReadCorpus) -> None:
    with pytest.raises(
        ConfigError, match=r"labels of CSL-Daily, .*table, are a pickle, which can run"
    ):
        read_csl(allow_pickle=False)


def test_code_in_csl_dailys_labels_never_runs(read_csl: ReadCorpus, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "ran"),)

    with pytest.raises(
        DataError, match=r"asks for posix\.mkdir, which is no data; nothing of it was"
    ):
        read_csl({"info": [{"name": Bomb()}]})
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([1], r"table: holds something else; expected \{'info': \["),
        ({"information": []}, "holds something else"),
        ({"info": [{"name": "a"}]}, r"entry 0 of info: KeyError\('label_char'\); expected"),
        ({"info": [5]}, "entry 0 of info: TypeError"),
        ({"info": []}, r"split_1\.txt: names 'S000000_P0000_T00', which .*table doesn't have"),
    ],
)
def test_labels_of_another_form_are_an_error(read_csl: ReadCorpus, labels: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_csl(labels)


def test_csl_dailys_split_file_must_be_there_and_separated_by_bars(
    read_csl: ReadCorpus, read_corpus: ReadCorpus, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"split_1\.txt: no column 'name' .*separated by '\|'"):
        read_csl(splits=CSL_SPLIT.replace("|", ","))
    (tmp_path / "split_1.txt").unlink()
    with pytest.raises(DataError, match=r"split_1\.txt: the table can't be read \(No such file"):
        read_corpus("csl_daily", allow_pickle=True)


# ------------------------------------------------------------------------------- youtube_asl_h5

YOUTUBE = {
    "vid1": {
        "clip_order": ["vid1.002", "vid1.001"],
        "vid1.001": {"translation": "one"},
        "vid1.002": {"translation": "two"},
    },
    "vid2": {"clip_order": ["000"], "000": {"translation": "three"}},
}


@pytest.fixture
def read_youtube(read_corpus: ReadCorpus, tmp_path: Path) -> ReadCorpus:
    def write_and_read(
        annotation: Any = YOUTUBE, shards: Any = None, **settings: Any
    ) -> list[Example]:
        (tmp_path / "poses").mkdir(exist_ok=True)
        if shards is not None:
            path = tmp_path / "poses" / "YouTubeASL.keypoints.train.json"
            path.write_text(json.dumps(shards), encoding="utf-8")
        path = tmp_path / "YouTubeASL.annotation.train.json"
        path.write_text(
            annotation if isinstance(annotation, str) else json.dumps(annotation), encoding="utf-8"
        )
        settings = {"train_path": str(path), "pose_files": {"fps": 25}, **settings}
        return read_corpus("youtube_asl_h5", **settings)

    return write_and_read


def test_youtube_asls_clips_are_in_the_shards_of_their_videos(
    read_youtube: ReadCorpus, tmp_path: Path
) -> None:
    examples = read_youtube(shards={"vid1": 0, "vid2": 13})
    stem = "YouTubeASL.keypoints.train"
    assert facts(examples, tmp_path) == [
        ("vid1.002", f"{stem}.0.h5/vid1/vid1.002", 0.0, None, "two"),
        ("vid1.001", f"{stem}.0.h5/vid1/vid1.001", 0.0, None, "one"),
        ("vid2/000", f"{stem}.13.h5/vid2/000", 0.0, None, "three"),
    ]
    assert {example.pose_format.name for example in examples} == {"h5"}


def test_videos_that_no_shard_holds_have_no_file(read_youtube: ReadCorpus) -> None:
    places = [e.pose_path for e in read_youtube(shards={"vid1": 0})]
    assert [os.path.basename(place) for place in places] == [
        *["YouTubeASL.keypoints.train.0.h5"] * 2,
        "YouTubeASL.keypoints.train.unlisted.h5",
    ]


def test_without_the_list_of_shards_it_is_what_is_missing(
    read_youtube: ReadCorpus, tmp_path: Path
) -> None:
    assert {e.pose_path for e in read_youtube()} == {
        str(tmp_path / "poses" / "YouTubeASL.keypoints.train.json")
    }


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        ('{"vid1": {"clip_or', r"annotation\.train\.json: no whole JSON file"),
        ([1], "a list; expected a JSON object of videos"),
        ({"v": {"a": {"translation": "x"}}}, r"video 'v': KeyError\('clip_order'\); expected"),
        ({"v": {"clip_order": ["a"]}}, r"video 'v': KeyError\('a'\); expected"),
        ({"v": {"clip_order": ["a"], "a": {"translation": 5}}}, r"TypeError\('5 is no sentence'\)"),
        ({"v": 5}, "video 'v': TypeError"),
    ],
)
def test_an_annotation_of_another_form_is_an_error(
    read_youtube: ReadCorpus, annotation: Any, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        read_youtube(annotation)


def test_youtube_asls_shards_are_h5_only(read_youtube: ReadCorpus) -> None:
    with pytest.raises(ConfigError, match=r"pose_files\.format: youtube_asl_h5 is read from HDF5"):
        read_youtube(pose_files={"format": "pose"})


# ------------------------------------------------------------------------------- mmhugs_tsv

MMHUGS_COLUMNS = "signal\tsignal_start\tsignal_end\tencoder_prompt\tdecoder_prompt\toutput"
MMHUGS = f"{MMHUGS_COLUMNS}\nday/a.pose\t0\t0\t\t\tWe eat.\n/x/b.pose\t1500\t3000\t\t\tYou.\n"


def test_a_manifest_is_read_as_it_is(read_corpus: ReadCorpus, tmp_path: Path) -> None:
    first, second = read_corpus("mmhugs_tsv", MMHUGS)
    assert (first.id, first.start, first.end, first.text) == ("a:train-0", 0.0, None, "We eat.")
    assert (second.id, second.start, second.end) == ("b:train-1", 1.5, 3.0)
    assert first.pose_path == str(tmp_path / "poses" / "day" / "a.pose")
    assert second.pose_path == "/x/b.pose"


def test_a_manifest_can_count_frames(read_corpus: ReadCorpus) -> None:
    _, example = read_corpus("mmhugs_tsv", MMHUGS, time_unit="frames")
    assert (example.start, example.end, example.time_unit) == (1500, 3000, "frames")


def test_prompts_of_a_manifest_are_said_to_be_unused_once(
    read_corpus: ReadCorpus, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            read_corpus("mmhugs_tsv", f"{MMHUGS_COLUMNS}\n" + "a.pose\t0\t0\t__ase__\t\tWe.\n" * 3)
    said = [r.getMessage() for r in caplog.records]
    assert len(said) == 1
    assert "the column encoder_prompt is not used. Set data.prompt" in said[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (MMHUGS.replace("\t", ","), "no column 'signal' and no column 'signal_start'"),
        (MMHUGS.replace("output", "text"), "no column 'output'"),
        (
            MMHUGS.replace("1500", "1.5s"),
            r"line 3 \(signal '/x/b\.pose'\): '1\.5s' is no time in milli",
        ),
        (f"{MMHUGS_COLUMNS}\n\t0\t0\t\t\tWe.\n", "line 2: the signal is empty"),
    ],
)
def test_faults_in_a_manifest_are_named(read_corpus: ReadCorpus, content: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_corpus("mmhugs_tsv", content)

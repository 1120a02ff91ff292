"""csv, tsv, jsonl, parquet and Hugging Face's tables: what they have in common, and their own faults."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from corpora import ReadCorpus, read_corpus_in
from signseq.data.examples import Example
from signseq.errors import ConfigError, DataError, MissingExtraError

ROWS: list[dict[str, Any]] = [
    {"uid": "a-1", "text": "we eat", "start": None, "end": None, "signer": None, "note": 1},
    {"uid": "a-2", "text": " you  see ", "start": 1.5, "end": 3.0, "signer": "anna", "note": 2},
]
FORMS = ("csv", "tsv", "jsonl", "parquet", "huggingface")


@pytest.fixture
def read_corpus(tmp_path: Path) -> ReadCorpus:
    """Write a table into the test's own folder, and read it."""
    return partial(read_corpus_in, tmp_path)


def write(path: Path, form: str, rows: list[dict[str, Any]] = ROWS) -> None:
    """Write a table with our columns, or with whatever the rows have, in one of the forms."""
    if form in ("csv", "tsv"):
        separator = {"csv": ",", "tsv": "\t"}[form]
        lines = [separator.join("" if v is None else str(v) for v in row.values()) for row in rows]
        path.write_text("\n".join([separator.join(rows[0]), *lines]), encoding="utf-8")
    elif form == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    elif form == "parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        import datasets

        datasets.Dataset.from_list(rows).save_to_disk(str(path))


def facts(examples: list[Example]) -> list[tuple[Any, ...]]:
    return [
        (e.id, Path(e.pose_path).name, e.text, e.start, e.end, e.signer, e.time_unit)
        for e in examples
    ]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_table_gives_the_same_examples(
    read_corpus: ReadCorpus, tmp_path: Path, form: str
) -> None:
    write(tmp_path / "table", form)
    assert facts(read_corpus(form)) == [
        ("a-1", "a-1.pose", "we eat", 0.0, None, None, "seconds"),
        ("a-2", "a-2.pose", "you see", 1.5, 3.0, "anna", "seconds"),
    ]


@pytest.mark.parametrize("form", FORMS)
def test_columns_of_other_names_are_mapped(
    read_corpus: ReadCorpus, tmp_path: Path, form: str
) -> None:
    rows = [{"id": f"a-{n}", "translation": "we", "text": "unused"} for n in range(3)]
    write(tmp_path / "table", form, rows)
    columns = {"uid": "id", "text": "translation"}
    examples = read_corpus(form, columns=columns)
    assert [(e.id, e.text) for e in examples] == [(f"a-{n}", "we") for n in range(3)]
    with pytest.raises(DataError, match=r"no (column )?'nope'"):
        read_corpus(form, columns={"uid": "id", "text": "nope"})


@pytest.mark.parametrize("form", FORMS)
def test_times_are_of_the_unit_that_is_said(
    read_corpus: ReadCorpus, tmp_path: Path, form: str
) -> None:
    write(tmp_path / "table", form)
    assert facts(read_corpus(form, time_unit="milliseconds"))[1][3:5] == (0.0015, 0.003)
    assert facts(read_corpus(form, time_unit="frames"))[1][3:] == (1.5, 3.0, "anna", "frames")


@pytest.mark.parametrize("form", FORMS)
def test_a_missing_column_is_named(read_corpus: ReadCorpus, tmp_path: Path, form: str) -> None:
    write(tmp_path / "table", form, [{"uid": "a", "sentence": "we"}])
    with pytest.raises(DataError, match=r"table.*: no (column )?'text' \(has: uid, sentence\)"):
        read_corpus(form)


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl"])
def test_one_bad_row_in_ten_thousand_is_named_by_its_line(
    read_corpus: ReadCorpus, tmp_path: Path, form: str
) -> None:
    rows: list[dict[str, Any]] = [{"uid": f"a-{n}", "text": "we", "end": 1} for n in range(10_000)]
    rows[7_000]["end"] = "soon"
    write(tmp_path / "table", form, rows)
    with pytest.raises(
        DataError, match=rf"table, line {7_001 + (form != 'jsonl')}.*'soon' is no time"
    ):
        read_corpus(form)


@pytest.mark.parametrize("form", ["parquet", "huggingface"])
def test_one_bad_row_in_a_binary_table_is_named_by_its_number(
    read_corpus: ReadCorpus, tmp_path: Path, form: str
) -> None:
    rows = [{"uid": f"a-{n}", "text": "we", "end": 1.0} for n in range(3_000)]
    rows[2_500]["end"] = 1e300
    write(tmp_path / "table", form, rows)
    with pytest.raises(DataError, match=r"table, row 2500: '1e\+300' is no time in seconds"):
        read_corpus(form)


@pytest.mark.parametrize("form", FORMS)
def test_a_missing_table_is_named(read_corpus: ReadCorpus, form: str) -> None:
    with pytest.raises(DataError, match=r"table: (the table can't be read \(No such|no folder)"):
        read_corpus(form)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"uid": "", "text": "we"}, "the uid is empty"),
        ({"uid": None, "text": "we"}, "the uid is empty"),
        ({"uid": "a", "text": 5}, r"text is 5, a int; expected a text"),
        ({"uid": "a", "text": ["we"]}, r"text is \['we'\], a list; expected a text"),
        ({"uid": True, "text": "we"}, "uid is True, a bool; expected a text"),
        ({"uid": "a", "text": "we", "start": "1:30"}, "'1:30' is no time in seconds"),
        ({"uid": "a", "text": "we", "pose_path": 5}, "pose_path is 5, a int"),
    ],
)
def test_a_value_of_another_kind_is_an_error(
    read_corpus: ReadCorpus, row: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError, match=rf"table, line 1: {said}"):
        read_corpus("jsonl", json.dumps(row))


def test_numbers_can_be_ids_and_an_absent_text_is_empty(read_corpus: ReadCorpus) -> None:
    (example,) = read_corpus("jsonl", '{"uid": 17, "text": null}')
    assert (example.id, example.text) == ("17", "")


def test_blank_lines_and_a_byte_order_mark_are_fine(read_corpus: ReadCorpus) -> None:
    content = '\ufeff{"uid": "a", "text": "we"}\r\n\n{"uid": "b", "text": "we"}'
    assert [example.id for example in read_corpus("jsonl", content)] == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"uid": "b", "te', "no JSON"),
        (b'["b", "we"]', "a list; expected an object"),
        ('{"uid": "é"}'.encode("latin-1"), r"not UTF-8 \(byte 0xe9\)"),
        (b"uid,text", "no JSON"),
        (b"[" * 100_000, "no JSON"),
    ],
)
def test_a_line_that_is_no_json_object_is_named(
    read_corpus: ReadCorpus, line: bytes, said: str
) -> None:
    with pytest.raises(DataError, match=rf"table, line 2: {said}"):
        read_corpus("jsonl", b'{"uid": "a", "text": "we"}\n' + line)


@pytest.mark.parametrize("damage", ["cut", "text"])
def test_a_damaged_parquet_file_is_an_error(
    read_corpus: ReadCorpus, tmp_path: Path, damage: str
) -> None:
    write(tmp_path / "table", "parquet")
    content = (tmp_path / "table").read_bytes()
    damaged = content[: len(content) // 2] if damage == "cut" else b"uid,text\na,we\n"
    with pytest.raises(DataError, match=r"table: no whole Parquet file"):
        read_corpus("parquet", damaged)


def test_large_columns_of_a_parquet_file_are_not_read(
    read_corpus: ReadCorpus, tmp_path: Path
) -> None:
    rows = [{"uid": f"a-{n}", "text": "we", "video": b"x" * 100_000} for n in range(20)]
    table = pyarrow.Table.from_pylist(rows)
    parquet.write_table(table, tmp_path / "table", compression="none", use_dictionary=False)
    content = bytearray((tmp_path / "table").read_bytes())
    place = content.index(b"x" * 1000)
    content[place : place + 1_000_000] = bytes(1_000_000)  # reading it would fail
    assert len(read_corpus("parquet", bytes(content))) == 20


def test_of_a_data_set_with_splits_the_one_of_this_name_is_read(
    read_corpus: ReadCorpus, tmp_path: Path
) -> None:
    import datasets

    splits = {
        name: datasets.Dataset.from_list([{"uid": name, "text": "we"}])
        for name in ("train", "validation", "test")
    }
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "table"))
    assert [read_corpus("huggingface", split=s)[0].id for s in ("train", "val")] == [
        "train",
        "validation",
    ]
    table = str(tmp_path / "table")
    with pytest.raises(DataError, match=r"no split for 'far'; it has: train, validation, test"):
        read_corpus("huggingface", split="far", other_paths={"far": table})


def test_a_name_of_the_hub_is_loaded_by_its_split(
    read_corpus: ReadCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    table = datasets.Dataset.from_list([{"uid": "a", "text": "we"}])
    asked = []
    monkeypatch.setattr(datasets, "get_dataset_split_names", lambda name: ["train", "dev"])
    monkeypatch.setattr(
        datasets, "load_dataset", lambda name, split: asked.append((name, split)) or table
    )
    (example,) = read_corpus("huggingface", split="val", val_path="someone/corpus")
    assert (example.id, asked) == ("a", [("someone/corpus", "dev")])


def test_a_folder_that_is_no_data_set_is_an_error(read_corpus: ReadCorpus, tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()
    with pytest.raises(DataError, match=r"table: no folder that datasets' save_to_disk wrote"):
        read_corpus("huggingface")


@pytest.mark.parametrize(
    ("form", "package", "extra"),
    [("parquet", "pyarrow", "parquet"), ("huggingface", "datasets", "datasets")],
)
def test_without_the_package_the_extra_is_named(
    read_corpus: ReadCorpus, monkeypatch: pytest.MonkeyPatch, form: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'signseq\[{extra}\]'"):
        read_corpus(form)


def test_a_column_that_is_not_ours_cannot_be_mapped(read_corpus: ReadCorpus) -> None:
    with pytest.raises(
        ConfigError, match=r"data\.columns\.gloss: no column of ours\. Its keys are uid"
    ):
        read_corpus("csv", "uid,text\n", columns={"gloss": "g"})


def test_a_required_column_that_stands_twice_is_an_error(read_corpus: ReadCorpus) -> None:
    with pytest.raises(DataError, match=r"the column 'text' stands in the header twice"):
        read_corpus("csv", "uid,text,text\na,we,you\n")

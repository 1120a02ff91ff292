from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from conftest import write_rows
from signseq.config import Config, DataConfig
from signseq.data.examples import READERS, Example, read_examples, read_table, row_bytes
from signseq.data.readers.places import PosePlace
from signseq.errors import DataError

WriteTable = Callable[[str | bytes], list[Example]]


@pytest.fixture
def read(tmp_path: Path) -> WriteTable:
    """Write a table as it is given, and read it."""

    def write_and_read(content: str | bytes, *, delimiter: str = ",") -> list[Example]:
        path = tmp_path / "table.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        place = PosePlace(Path("poses"))
        return list(read_table(path, place=place, split="train", delimiter=delimiter))

    return write_and_read


def texts(examples: list[Example]) -> list[str]:
    return [example.text for example in examples]


# ------------------------------------------------------------------------------- what is read


def test_a_row_becomes_an_example(read: WriteTable) -> None:
    assert read("uid,text\na-1,we eat\n") == [
        Example("a-1", "poses/a-1.pose", 0.0, None, "we eat", "train")
    ]


def test_all_fields_of_an_example_can_be_columns(read: WriteTable) -> None:
    header = "text,uid,start,end,pose_path,signer,source_language,target_language,remark"
    assert read(f"{header}\nwe,a,1.5,3,videos/x.pose,anna,ins,en,good\n") == [
        Example("a", "poses/videos/x.pose", 1.5, 3.0, "we", "train", "anna", "ins", "en")
    ]


def test_empty_fields_are_not_known(read: WriteTable) -> None:
    header = "uid,text,start,end,pose_path,signer,source_language"
    assert read(f"{header}\na,we,,,,,\n") == [
        Example("a", "poses/a.pose", 0.0, None, "we", "train")
    ]


def test_an_absolute_pose_path_is_kept(read: WriteTable) -> None:
    assert read("uid,text,pose_path\na,we,/data/x.pose\n")[0].pose_path == "/data/x.pose"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_mark_make_no_difference(
    read: WriteTable, end: str, mark: str
) -> None:
    examples = read(mark + end.join(["uid,text", "a,we", "b,you", ""]))
    assert [(example.id, example.text) for example in examples] == [("a", "we"), ("b", "you")]


def test_a_last_line_without_an_end_and_blank_lines_are_fine(read: WriteTable) -> None:
    assert texts(read("uid,text\n\na,we\n\nb,you")) == ["we", "you"]


def test_quotes_hold_separators_quotes_and_line_breaks(read: WriteTable) -> None:
    assert texts(read('uid,text\na,"we, ""you""\nand I"\nb,see\n')) == ['we, "you" and I', "see"]


@pytest.mark.parametrize(
    "text",
    [
        "🤟 I love you 👩‍👩‍👧",
        "שלום עולם",
        "مرحبا بالعالم ‏!",
        "我们吃面包。",
        "हम रोटी खाते हैं",
        "é and ế",
        "it's 5 o'clock; a\\nb",
    ],
)
def test_text_of_every_script_is_read_unchanged(tmp_path: Path, text: str) -> None:
    path = write_rows(tmp_path / "t.csv", [{"uid": "a", "text": text}])
    assert texts(list(read_table(path, place=PosePlace(tmp_path), split="x", delimiter=","))) == [
        text
    ]


def test_texts_are_composed_as_tokenizers_compose_them(read: WriteTable) -> None:
    assert texts(read("uid,text\na,cafe\u0301 \u1112\u1161\u11ab\n")) == ["caf\u00e9 \ud55c"]


def test_white_space_is_collapsed(read: WriteTable) -> None:
    assert texts(read("uid,text\na,  we\t eat \n")) == ["we eat"]


def test_an_empty_text_is_read_as_empty(read: WriteTable) -> None:
    assert texts(read("uid,text\na,\nb,  \n")) == ["", ""]


def test_a_table_is_read_row_by_row(tmp_path: Path) -> None:
    rows = "".join(f"{i},we\n" for i in range(10_000))
    (tmp_path / "t.csv").write_text(f"uid,text\n{rows}x\n", encoding="utf-8")
    examples = read_table(tmp_path / "t.csv", place=PosePlace(tmp_path), split="x", delimiter=",")
    assert next(examples).id == "0"  # the last row's mistake is far away


# ------------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (
            "uid,sentence",
            r"no column 'text' \(has: uid, sentence\)\. Expected a header with uid and text",
        ),
        ("id\ttext", r"no column 'uid' and no column 'text'.*separated by ','"),
        ("", r"the table is empty\. Expected a header with uid and text, separated by ','"),
    ],
)
def test_a_missing_column_is_named(read: WriteTable, header: str, said: str) -> None:
    with pytest.raises(DataError, match=rf"table\.csv: {said}"):
        read(f"{header}\n1,2\n" if header else "")


@pytest.mark.parametrize("row", ["a", "a,we,eat"])
def test_too_few_or_too_many_columns_name_the_line(read: WriteTable, row: str) -> None:
    with pytest.raises(
        DataError, match=r"table\.csv, line 3 \(uid 'a'\): 2 columns expected; is a separator"
    ):
        read(f"uid,text\nb,you\n{row}\n")


def test_an_empty_uid_names_the_line(read: WriteTable) -> None:
    with pytest.raises(DataError, match=r"table\.csv, line 3: the uid is empty"):
        read("uid,text\na,we\n ,you\n")


@pytest.mark.parametrize("value", ["soon", "1:30", "nan", "inf", "1e300"])
@pytest.mark.parametrize("column", ["start", "end"])
def test_a_time_that_is_none_names_the_line(read: WriteTable, column: str, value: str) -> None:
    with pytest.raises(DataError, match=rf"line 2 \(uid 'a'\): '{value}' is no time in seconds"):
        read(f"uid,text,{column}\na,we,{value}\n")


def test_an_unclosed_quote_is_an_error(read: WriteTable) -> None:
    with pytest.raises(
        DataError, match=r"table\.csv, after line 2: not a valid table .* is a quote left"
    ):
        read('uid,text\na,we\nb,"you\nc,they\n')


@pytest.mark.parametrize("rows_before", [0, 1, 3000])  # the reader decodes some 8 KB at a time
def test_a_wrong_encoding_names_the_line(read: WriteTable, rows_before: int) -> None:
    rows = "".join(f"{i},we\n" for i in range(rows_before))
    content = f"uid,text\n{rows}a,café\n{rows}".encode("latin-1")
    with pytest.raises(
        DataError, match=rf"table\.csv, line {rows_before + 2}: not UTF-8 \(byte 0xe9\)\. Save"
    ):
        read(content)


def test_a_wrong_encoding_in_the_header_names_the_line(read: WriteTable) -> None:
    with pytest.raises(DataError, match=r"line 1: not UTF-8"):
        read("uid,text,clé\n".encode("latin-1"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_an_error(read: WriteTable, encoding: str) -> None:
    with pytest.raises(DataError, match=r"not UTF-8|no column 'uid'"):
        read("uid,text\na,we\n".encode(encoding))


def test_a_zero_byte_is_an_error(read: WriteTable) -> None:
    with pytest.raises(DataError, match=r"line 2 .*holds a zero byte\. Save the table as UTF-8"):
        read("uid,text\na\0b,we\n")


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: the table can't be read \(No such file"):
        list(read_table(tmp_path / "none.csv", place=PosePlace(tmp_path), split="x", delimiter=","))


def test_a_missing_table_with_a_relative_path_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        list(read_table(Path("none.csv"), place=PosePlace(tmp_path), split="x", delimiter=","))
    assert f"relative to the folder that the command runs in, {tmp_path}." in str(caught.value)


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the table can't be read \(Is a directory"):
        list(read_table(tmp_path, place=PosePlace(tmp_path), split="x", delimiter=","))


# ------------------------------------------------------------------------------- digests


def test_what_a_row_says_does_not_depend_on_where_the_poses_are(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "t.csv", [{"uid": "a", "text": "we"}])

    def rows(pose_dir: Path) -> list[bytes]:
        examples = read_table(path, place=PosePlace(pose_dir), split="x", delimiter=",")
        return [row_bytes(example, pose_dir=pose_dir) for example in examples]

    assert rows(Path("poses")) == rows(Path(".")) == rows(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    "change",
    [
        {"id": "b"},
        {"pose_path": "poses/b.pose"},
        {"start": 1.0},
        {"end": 2.0},
        {"text": "you"},
        {"signer": "anna"},
        {"source_language": "ins"},
        {"target_language": "en"},
    ],
)
def test_whatever_a_row_says_differently_is_a_difference(change: dict[str, Any]) -> None:
    example = Example("a", "poses/a.pose", 0.0, None, "we", "train")
    before = row_bytes(example, pose_dir=Path("poses"))
    assert row_bytes(replace(example, **change), pose_dir=Path("poses")) != before


# ------------------------------------------------------------------------------- readers


def test_there_is_a_reader_for_every_corpus_of_the_config() -> None:
    assert set(READERS) == set(get_args(DataConfig.model_fields["corpus"].annotation))


def test_the_config_says_which_table_and_separator(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    (tmp_path / "far.tsv").write_text("uid\ttext\na\twe, you\n", encoding="utf-8")
    config = make_config("data.corpus=tsv", f"data.other_paths.far={tmp_path / 'far.tsv'}")
    examples = list(read_examples(config.data, "far"))
    assert [(e.split, e.text) for e in examples] == [("far", "we, you")]
    assert examples[0].pose_path == str(tmp_path / "poses" / "a.pose")


def test_an_unknown_split_lists_those_of_the_config(make_config: Callable[..., Config]) -> None:
    with pytest.raises(
        DataError, match=r"No split 'dev': the config names train, val, test\. Set data\.dev_path"
    ):
        read_examples(make_config().data, "dev")

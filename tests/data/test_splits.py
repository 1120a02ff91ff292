"""Splits that don't leak."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from conftest import write_rows
from signseq.__main__ import app
from signseq.data.splits import (
    assign_groups,
    find_repeats,
    group_rows,
    normalize_text,
    video_of,
)
from signseq.errors import DataError
from signseq.splitting import parse_shares, split

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


def row(uid: str, text: str = "", **more: str) -> dict[str, str]:
    return {"uid": uid, "text": text or uid, **more}


# -------------------------------------------------------------------------------------- grouping


@pytest.mark.parametrize(
    ("uid", "video"),
    [
        ("1782bea75c7d-7", "1782bea75c7d"),
        ("8GOiooYQskQ--12", "8GOiooYQskQ-"),
        ("a-1-2", "a-1"),
        ("abc_w", "abc_w"),
        ("abc", "abc"),
    ],
)
def test_only_the_last_number_is_stripped_from_a_uid(uid: str, video: str) -> None:
    assert video_of(uid) == video


def test_clips_of_one_video_are_one_group() -> None:
    assert group_rows([row("a-1"), row("b-1"), row("a-2")], ["video"]) == [0, 1, 0]


def test_what_is_joined_through_a_third_is_one_group() -> None:
    rows = [
        row("a-1", signer="x"),
        row("b-1", signer="x"),
        row("b-2", signer="y"),
        row("c-1", signer="z"),
    ]

    assert group_rows(rows, ["video", "signer"]) == [0, 0, 0, 1]


def test_an_unknown_signer_joins_nothing() -> None:
    assert group_rows([row("a-1", signer=""), row("b-1", signer=" ")], ["signer"]) == [0, 1]


def test_equal_texts_are_one_group_whatever_their_spelling() -> None:
    rows = [row("a-1", "Hello, world!"), row("b-1", "hello  world"), row("c-1", "hello")]

    assert group_rows(rows, ["text"]) == [0, 0, 1]


def test_an_unknown_column_names_those_that_are_there() -> None:
    with pytest.raises(DataError, match=r"No column 'singer'.*video, text.*uid, text, signer"):
        group_rows([row("a-1", signer="x")], ["singer"])


# ------------------------------------------------------------------------------------ dividing


@given(sizes=st.lists(st.integers(1, 30), min_size=3, max_size=60), seed=st.integers(0, 10))
def test_every_group_is_in_one_split_and_every_split_has_some(sizes: list[int], seed: int) -> None:
    groups = [number for number, size in enumerate(sizes) for _ in range(size)]

    chosen = assign_groups(groups, SHARES, seed=seed)

    assert len({(group, where) for group, where in zip(groups, chosen, strict=True)}) == len(sizes)
    assert set(chosen) == set(SHARES)


def test_splits_have_their_shares() -> None:
    groups = [number // 20 for number in range(4000)]

    chosen = assign_groups(groups, SHARES, seed=0)

    assert [chosen.count(name) for name in SHARES] == [3200, 400, 400]


def test_the_seed_decides_and_nothing_else() -> None:
    groups = [number // 5 for number in range(500)]

    first, again, other = (assign_groups(groups, SHARES, seed=seed) for seed in (1, 1, 2))

    assert first == again != other


@pytest.mark.parametrize("shares", [{"train": 0.9, "test": 0.2}, {"train": 1.1, "test": -0.1}])
def test_shares_that_dont_sum_to_one_are_an_error(shares: dict[str, float]) -> None:
    with pytest.raises(DataError, match="positive and sum to 1"):
        assign_groups([0, 1, 2], shares, seed=0)


def test_fewer_groups_than_splits_is_an_error() -> None:
    with pytest.raises(DataError, match="2 groups can't be divided among 3 splits"):
        assign_groups([0, 1, 1], SHARES, seed=0)


# ------------------------------------------------------------------------------------- repeats


def test_equal_and_nearly_equal_texts_are_found() -> None:
    train = ["we eat bread at home every day", "you see water", "a dog"]
    test = ["We eat bread at home, every day!", "we eat bread at home each day", "you see", "a cat"]

    found = [
        (each.number, each.other, round(each.similarity, 2))
        for each in find_repeats(test, train, least=0.7)
    ]

    assert found == [(0, 0, 1.0), (1, 0, 0.75)]


@given(
    st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=6).map(" ".join), max_size=12),
    st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=6).map(" ".join), max_size=12),
)
def test_what_is_found_is_what_comparing_all_pairs_finds(a: list[str], b: list[str]) -> None:
    def similarity(x: str, y: str) -> float:
        one, two = set(x.split()), set(y.split())
        return len(one & two) / len(one | two) if one or two else 0.0

    wanted = {i: max((similarity(x, y) for y in b), default=0) for i, x in enumerate(a)}

    found = {each.number: each.similarity for each in find_repeats(a, b, least=0.6)}

    assert found == {number: value for number, value in wanted.items() if value >= 0.6}


def test_languages_without_spaces_are_compared_by_character() -> None:
    assert find_repeats(["我们吃面包。"], ["我们吃面条"], least=0.6)[0].similarity == pytest.approx(
        4 / 6
    )


def test_vowel_signs_belong_to_their_words() -> None:
    assert normalize_text("हम रोटी खाते हैं।") == "हम रोटी खाते हैं"


# ------------------------------------------------------------------------------------ the verb


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [
        {"uid": f"v{video}-{clip}", "text": f"text v{video} c{clip % 3}", "signer": f"s{video % 7}"}
        for video in range(40)
        for clip in range(5)
    ]
    return write_rows(tmp_path / "all.csv", rows, columns=("uid", "text", "signer"))


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_is_divided_by_video_and_keeps_its_columns(table: Path, tmp_path: Path) -> None:
    report = split(table, tmp_path / "out", shares=SHARES)

    parts = {name: read(tmp_path / "out" / f"{name}.csv") for name in SHARES}
    videos = [{video_of(each["uid"]) for each in part} for part in parts.values()]
    assert sum(map(len, parts.values())) == 200
    assert not videos[0] & videos[1] | videos[0] & videos[2] | videos[1] & videos[2]
    assert parts["train"][0].keys() == {"uid", "text", "signer"}
    assert report.shared["video"] == 0
    assert report.shared["signer"] > 0
    assert "signers in train and in another split" in report.describe()


def test_by_signer_no_signer_is_on_two_sides(table: Path, tmp_path: Path) -> None:
    assert split(table, tmp_path / "out", by=["signer"]).shared == {"video": 0, "signer": 0}


def test_texts_on_both_sides_are_listed(table: Path, tmp_path: Path) -> None:
    path = tmp_path / "same.csv"
    path.write_text(table.read_text().replace("text v3 ", "text v4 "))

    whole = [split(path, tmp_path / f"{seed}", seed=seed, shares=SHARES) for seed in range(5)]

    listed = [read(tmp_path / f"{seed}" / "repeats.csv") for seed in range(5)]
    counts = [sum(len(found) for found in report.repeats.values()) for report in whole]
    assert counts == [len(found) for found in listed]
    joined = split(path, tmp_path / "joined", by=["video", "text"], shares=SHARES)
    assert all(each.similarity < 1 for found in joined.repeats.values() for each in found)


def test_splits_that_are_there_are_not_replaced_unasked(table: Path, tmp_path: Path) -> None:
    split(table, tmp_path / "out")

    with pytest.raises(DataError, match=r"train\.csv: is there already\. Use --overwrite"):
        split(table, tmp_path / "out")
    split(table, tmp_path / "out", overwrite=True)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("uid;text\na;b\n", "no column 'uid' and no column 'text'"),
        ("uid,text\na-1,b,c\n", "line 2: 2 columns expected"),
        ('uid,text\na-1,"b\n', "not a valid table"),
        ("uid,text\na-1,b\na-1,c\n", "the uid 'a-1' stands in several rows"),
    ],
)
def test_a_wrong_table_says_where(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "wrong.csv").write_text(content)

    with pytest.raises(DataError, match=said):
        split(tmp_path / "wrong.csv", tmp_path / "out")


def test_tabs_stay_tabs(table: Path, tmp_path: Path) -> None:
    path = tmp_path / "all.tsv"
    path.write_text(table.read_text().replace(",", "\t"))

    split(path, tmp_path / "out")

    assert (tmp_path / "out" / "train.tsv").read_text().startswith("uid\ttext\tsigner\n")


def test_the_command_line_says_what_it_did(table: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["split", str(table), str(tmp_path / "out"), "--by", "signer", "--shares", "60,20,20"]
    )

    assert result.exit_code == 0
    assert "signers in train and in another split: 0" in result.output
    assert (tmp_path / "out" / "test.csv").exists()


def test_shares_that_are_no_numbers_say_what_is_expected(table: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'90,10': expected three numbers, as in 90,5,5"):
        parse_shares("90,10")

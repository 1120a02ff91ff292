"""The same digest means the same rows: no reader may get them from anywhere else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from conftest import tiny_config
from signseq.config import DataConfig
from signseq.data.examples import READERS
from signseq.data.table_digest import BESIDE, MORE_THAN_FILES, digest_table


def data_of(folder: Path, corpus: str, *overrides: str, table: str = "train.csv") -> DataConfig:
    path = f"data.train_path={folder / table}"
    return tiny_config(folder, f"data.corpus={corpus}", path, *overrides).data


def test_of_every_reader_it_is_known_where_its_rows_come_from() -> None:
    assert BESIDE.keys() | MORE_THAN_FILES == READERS.keys()
    assert not BESIDE.keys() & MORE_THAN_FILES


def test_it_is_the_same_wherever_the_table_and_the_poses_are(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("uid,text\na,we\n")
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / "train.csv", tmp_path / "other" / "rows.csv")
    digest = digest_table(data_of(tmp_path, "csv"), "train")
    assert digest is not None
    other = data_of(tmp_path / "other", "csv", "data.pose_dir=elsewhere", table="rows.csv")
    assert digest_table(other, "train") == digest


@pytest.mark.parametrize(
    "override",
    [
        "data.corpus=isign",
        "data.columns={text: gloss}",
        "data.time_unit=frames",
        "data.pose_files.fps=25",
    ],
)
def test_what_changes_how_rows_are_read_changes_it(tmp_path: Path, override: str) -> None:
    (tmp_path / "train.csv").write_text("uid,text\na,we\n")
    before = digest_table(data_of(tmp_path, "csv"), "train")
    assert digest_table(data_of(tmp_path, "csv", override), "train") != before


def test_csl_daily_s_split_file_beside_the_table_belongs_to_it(tmp_path: Path) -> None:
    data = data_of(tmp_path, "csl_daily", table="labels.pkl")
    (tmp_path / "labels.pkl").write_bytes(b"labels")
    assert digest_table(data, "train") is None  # the other file is not there
    (tmp_path / "split_1.txt").write_text("name|split\na|train\n")
    before = digest_table(data, "train")
    (tmp_path / "split_1.txt").write_text("name|split\na|train\nb|train\n")
    assert before is not None
    assert digest_table(data, "train") not in (before, None)


def test_one_table_of_several_splits_is_another_for_each(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("...")
    data = data_of(tmp_path, "openasl", f"data.val_path={tmp_path / 'train.csv'}")
    assert digest_table(data, "train") != digest_table(data, "val")


def test_a_data_set_of_the_hub_is_told_by_its_rows_alone(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("...")
    assert digest_table(data_of(tmp_path, "huggingface"), "train") is None


def test_a_table_that_cannot_be_read_has_none(tmp_path: Path) -> None:
    assert digest_table(data_of(tmp_path, "csv"), "train") is None

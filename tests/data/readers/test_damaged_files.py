"""Whatever happened to a corpus's files, `signseq prepare` says which, and never fails otherwise."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import tiny_config
from file_sets import FILE_SETS
from signseq.config import Config
from signseq.errors import DataError
from signseq.preparation import prepare

NOISE = np.random.default_rng(0).bytes(4000)
Damage = Callable[[Path], object]


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replace_delimiters(path: Path) -> None:
    content = path.read_bytes()
    for delimiter in (b",", b"\t", b"|", b":"):
        content = content.replace(delimiter, b";")
    path.write_bytes(content)


def remove(path: Path) -> None:
    path.unlink()


TO_ANY_FILE: dict[str, Damage] = {
    "removed": remove,
    "emptied": lambda path: path.write_bytes(b""),
    "noise": lambda path: path.write_bytes(NOISE),
    "zeros": lambda path: path.write_bytes(bytes(4000)),
}
TO_TABLES: dict[str, Damage] = TO_ANY_FILE | {
    "other delimiter": replace_delimiters,
    "UTF-16": lambda path: path.write_bytes(path.read_bytes().decode("latin-1").encode("utf-16")),
    "a byte of Latin-1": lambda path: path.write_bytes(path.read_bytes() + b"\nse\xf1a"),
}
TO_POSES = TO_ANY_FILE | {"cut": halve}
BINARY = {"parquet", "huggingface", "csl_daily"}  # whose tables hold no text
CASES = [
    (corpus, damage)
    for corpus in FILE_SETS
    for damage in (TO_ANY_FILE if corpus in BINARY else TO_TABLES)
    if (corpus, damage) != ("youtube_asl_h5", "UTF-16")  # which JSON may be
]


def config_of(folder: Path, corpus: str) -> tuple[Config, Path]:
    (folder / "poses").mkdir()
    table, settings = FILE_SETS[corpus](folder)
    config = tiny_config(
        folder,
        *(f"data.corpus={corpus}", f"data.train_path={folder / table}"),
        *("data.val_path=null", "data.test_path=null"),
        *(f"data.{setting}" for setting in settings),
    )
    return config, folder / table


@pytest.mark.parametrize(("corpus", "damage"), CASES)
def test_a_table_that_is_damaged_is_named(tmp_path: Path, corpus: str, damage: str) -> None:
    config, table = config_of(tmp_path, corpus)
    if table.is_dir():  # a data set's folder, of which the rows are the largest file
        if damage == "removed":
            shutil.rmtree(table)
        else:
            TO_TABLES[damage](max(table.glob("*.arrow"), key=lambda path: path.stat().st_size))
    else:
        TO_TABLES[damage](table)
    with pytest.raises(DataError) as fault:
        prepare(config, workers=1)
    assert str(table) in str(fault.value)


@pytest.mark.parametrize("damage", TO_POSES)
@pytest.mark.parametrize("corpus", FILE_SETS)
def test_poses_that_are_damaged_are_listed(tmp_path: Path, corpus: str, damage: str) -> None:
    config, _ = config_of(tmp_path, corpus)
    files = [path for path in sorted((tmp_path / "poses").rglob("*")) if path.is_file()]
    damaged = [path for path in files if not path.match("*.keypoints.train.json")]
    for path in damaged:
        TO_POSES[damage](path)
    with pytest.raises(DataError, match=r"2 of 2 clips can't be used"):
        prepare(config, workers=1)
    listed = (tmp_path / "store" / "train" / "skipped.csv").read_text()
    assert listed.count("\n") == 3  # a header and two clips
    places = {path.name for path in damaged} | {path.parent.name for path in damaged}
    assert any(place in listed for place in places)

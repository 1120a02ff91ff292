"""From the files of each corpus, as they come, to a store: `signseq prepare`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import tiny_config
from file_sets import FILE_SETS, FRAMES
from pose_files import random_points, write_openpose
from signseq.data.examples import READERS
from signseq.data.store import open_store
from signseq.preparation import prepare


@pytest.mark.parametrize("corpus", FILE_SETS)
def test_the_files_of_a_corpus_become_a_store(tmp_path: Path, corpus: str) -> None:
    (tmp_path / "poses").mkdir()
    table, settings = FILE_SETS[corpus](tmp_path)
    config = tiny_config(
        tmp_path,
        *(f"data.corpus={corpus}", f"data.train_path={tmp_path / table}"),
        *("data.val_path=null", "data.test_path=null"),
        *(f"data.{setting}" for setting in settings),
    )
    report = prepare(config, workers=1)["train"]
    store = open_store(tmp_path / "store" / "train")
    assert list(store.texts()) == ["we eat", "you see"]
    assert store.frames.tolist() == [FRAMES] * 2
    assert (report.skipped, report.missing_frames, report.ends_outside) == ([], 0, 0)
    hands: NDArray[np.bool_] = (
        store.clip(0)[:, [n.startswith("LEFT_H") for n in store.recipe.names], -1] > 0
    )
    assert hands.all()


def test_every_corpus_is_tested() -> None:
    assert set(READERS) - set(FILE_SETS) == {"sentences", "words"}  # which are written by us


def test_missing_frames_and_ends_outside_are_counted(tmp_path: Path) -> None:
    frames = [[values] for values in random_points(FRAMES, 137)]
    write_openpose(tmp_path / "poses" / "a", [*frames[:4], None, *frames[5:]])
    dot = tmp_path / "poses"
    (tmp_path / "train.csv").write_text("uid,text,end\na,we eat,9\n")
    config = tiny_config(
        tmp_path,
        *("data.val_path=null", "data.test_path=null"),
        *("data.pose_files.format=openpose", "data.pose_files.fps=25", f"data.pose_dir={dot}"),
    )
    report = prepare(config, workers=1)["train"]
    assert (report.clips, report.frames) == (1, FRAMES)
    assert (report.missing_frames, report.ends_outside) == (1, 1)
    assert not open_store(tmp_path / "store" / "train").clip(0)[4].any()


def test_how_poses_are_stored_is_part_of_a_shards_digest(tmp_path: Path) -> None:
    frames = [[values] for values in random_points(FRAMES, 137)]
    write_openpose(tmp_path / "poses" / "a", frames)
    (tmp_path / "train.csv").write_text("uid,text\na,we eat\n")
    seconds = []
    for fps in (25, 50):
        config = tiny_config(
            tmp_path,
            *("data.val_path=null", "data.test_path=null"),
            *("data.pose_files.format=openpose", f"data.pose_files.fps={fps}"),
        )
        seconds.append(prepare(config, workers=1)["train"].seconds)
    assert seconds == [0.4, 0.2]

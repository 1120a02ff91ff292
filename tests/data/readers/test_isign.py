from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from conftest import make_pose, tiny_config
from corpora import ReadCorpus, read_corpus_in
from pose_files import pose_bytes, split_file, write_zip
from signseq.data.store import open_store
from signseq.errors import DataError
from signseq.poses.transforms import PoseRecipe
from signseq.preparation import prepare

UIDS = [f"1782bea75c7d-{number}" for number in range(6)] + ["8GOiooYQskQ--12"]


@pytest.fixture
def read_corpus(tmp_path: Path) -> ReadCorpus:
    """Write a table into the test's own folder, and read it."""
    return partial(read_corpus_in, tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table, and a zip of what it names beside it, as it is downloaded."""
    rows = "".join(f'{uid},"Clip {number}, we eat."\n' for number, uid in enumerate(UIDS))
    (tmp_path / "train.csv").write_text(f"uid,text\n{rows}", encoding="utf-8")
    (tmp_path / "poses").mkdir()
    content = {f"{uid}.pose": pose_bytes(tmp_path, seed=n) for n, uid in enumerate(UIDS)}
    write_zip(tmp_path / "poses" / "iSign-poses_v1.1.zip", content)
    return tmp_path


def prepare_from(folder: Path, pose_dir: Path, store: str) -> Path:
    config = tiny_config(
        folder,
        *("data.corpus=isign", "data.val_path=null", "data.test_path=null", "data.fps=null"),
        *(f"data.pose_dir={pose_dir}", f"data.store={folder / store}"),
    )
    prepare(config, workers=2)
    return folder / store / "train"


def test_the_joined_zip_its_parts_and_a_folder_make_the_same_store(folder: Path) -> None:
    path = folder / "poses" / "iSign-poses_v1.1.zip"
    stores = [prepare_from(folder, path, "from_zip")]
    parts = split_file(path, parts=4)
    assert parts[0].name == "iSign-poses_v1.1_part_aa"
    stores.append(prepare_from(folder, folder / "poses", "from_parts"))
    stores.append(prepare_from(folder, parts[0], "from_first_part"))
    (folder / "unpacked").mkdir()
    for number, uid in enumerate(UIDS):
        (folder / "unpacked" / f"{uid}.pose").write_bytes(pose_bytes(folder, seed=number))
    stores.append(prepare_from(folder, folder / "unpacked", "from_folder"))
    for name in ("shard-00000.poses", "shard-00000.jsonl"):
        assert len({(store / name).read_bytes() for store in stores}) == 1
    opened = open_store(stores[1])
    assert [opened.details(n)["uid"] for n in range(len(opened))] == UIDS
    wanted = PoseRecipe(keypoints="upper_body_hands").pack(make_pose(seed=3))
    np.testing.assert_array_equal(opened.clip(3), wanted)


def test_a_missing_part_stops_at_once_and_is_named(folder: Path) -> None:
    parts = split_file(folder / "poses" / "iSign-poses_v1.1.zip", parts=4)
    parts[2].unlink()
    with pytest.raises(DataError, match=r"iSign-poses_v1\.1_part_ac: this part is missing"):
        prepare_from(folder, folder / "poses", "store")


def test_clips_that_the_zip_lacks_are_skipped_with_their_names(folder: Path) -> None:
    with (folder / "train.csv").open("a", encoding="utf-8") as file:
        file.write("none-1,we\n")
    path = folder / "poses" / "iSign-poses_v1.1.zip"
    with pytest.raises(
        DataError, match=r"(?s)1 of 8 clips can't be used .*There is no .*zip/none-1\.pose"
    ):
        prepare_from(folder, path, "store")
    skipped = (folder / "store" / "train" / "skipped.csv").read_text().splitlines()
    assert skipped[1].startswith(f"none-1,{path}/none-1.pose,")


def test_a_store_outlives_the_zip(folder: Path) -> None:
    from signseq.preparation import ensure_split

    path = folder / "poses" / "iSign-poses_v1.1.zip"
    prepare_from(folder, path, "store")
    path.unlink()
    config = tiny_config(folder, "data.corpus=isign", f"data.pose_dir={path}")
    assert len(ensure_split(config.data, "train")) == len(UIDS)


def test_text_with_commas_and_quotes_is_read(read_corpus: ReadCorpus) -> None:
    (example,) = read_corpus("isign", 'uid,text\na-1,"He said, ""come"""\n')
    assert example.text == 'He said, "come"'

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import make_pose
from signseq.data import shards
from signseq.data.examples import Example
from signseq.data.shards import finish_store, write_shard
from signseq.data.store import PoseStore, open_store
from signseq.errors import DataError
from signseq.poses.sequence import write_pose
from signseq.poses.transforms import PoseRecipe

RECIPE = PoseRecipe(keypoints="upper_body_hands")


def write_store(
    folder: Path,
    lengths: Sequence[int] = (5, 9, 7),
    *,
    shard_size: int = 2,
    recipe: PoseRecipe = RECIPE,
    texts: Sequence[str] | None = None,
) -> Path:
    """A finished store of clips of these lengths, and the .pose files beside it."""
    examples = []
    for number, frames in enumerate(lengths):
        path = folder / f"{number}.pose"
        write_pose(path, make_pose(frames=frames, seed=number), size=(500, 500))
        text = texts[number] if texts else f"text {number}"
        examples.append(Example(str(number), str(path), 0.0, None, text, "train", f"s{number}"))
    (folder / "train").mkdir()
    reports = [
        write_shard(
            folder / "train", start // shard_size, examples[start : start + shard_size], recipe
        )
        for start in range(0, len(examples), shard_size)
    ]
    finish_store(folder / "train", reports, recipe, rows="")
    return folder / "train"


def total_of(store: PoseStore) -> float:
    return float(sum(store.clip(i).astype(np.float64).sum() for i in range(len(store))))


# ------------------------------------------------------------------------------- what is read


@pytest.mark.parametrize("shard_size", [1, 2, 3])
def test_clips_come_back_as_they_were_packed(tmp_path: Path, shard_size: int) -> None:
    store = open_store(write_store(tmp_path, shard_size=shard_size))
    assert store.frames.tolist() == [5, 9, 7]
    for number, frames in enumerate((5, 9, 7)):
        pose = make_pose(frames=frames, seed=number)
        clip = store.clip(number)
        np.testing.assert_array_equal(clip, RECIPE.pack(pose))
        exact = RECIPE.apply(pose)
        np.testing.assert_allclose(
            clip[..., :2], exact.data, rtol=2**-10, atol=1e-6
        )  # float16's step
        np.testing.assert_array_equal(clip[..., 2], exact.confidence)


def test_details_and_texts_belong_to_their_clips(tmp_path: Path) -> None:
    store = open_store(write_store(tmp_path))
    assert store.details(2) == {
        "uid": "2",
        "frames": 7,
        "seconds": 0.28,
        "text": "text 2",
        "signer": "s2",
    }
    assert [store.text(i) for i in range(3)] == ["text 0", "text 1", "text 2"]


def test_all_texts_come_in_the_order_of_the_clips(tmp_path: Path) -> None:
    store = open_store(write_store(tmp_path, (3,) * 5))
    assert list(store.texts()) == [store.text(i) for i in range(5)]


def test_texts_of_every_script_come_back_unchanged(tmp_path: Path) -> None:
    texts = ["🤟 'I' \"love\" you", "שלום \u2028 עולم", 'a\\n"b', "हम 面包"]
    store = open_store(write_store(tmp_path, (1, 1, 1, 1), texts=texts))
    assert [store.text(i) for i in range(4)] == texts


def test_a_clip_is_a_view_of_a_memory_map(tmp_path: Path) -> None:
    store = open_store(write_store(tmp_path))
    clip: Any = store.clip(1)
    assert np.shares_memory(clip, store.clip(1))
    assert not clip.flags.writeable
    base = clip
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


def test_mean_and_spread_are_those_of_the_visible_points(tmp_path: Path) -> None:
    pose = make_pose(frames=40)
    pose.confidence[10:, 3] = 0
    pose.confidence[:, 4] = 0
    write_pose(tmp_path / "a.pose", pose)
    (tmp_path / "train").mkdir()
    example = Example("a", str(tmp_path / "a.pose"), 0.0, None, "we", "train")
    reports = [write_shard(tmp_path / "train", 0, [example], RECIPE)]
    finish_store(tmp_path / "train", reports, RECIPE, rows="")
    store, packed = open_store(tmp_path / "train"), RECIPE.pack(pose).astype(np.float64)
    np.testing.assert_allclose(store.mean[0], packed[:, 0, :2].mean(0), rtol=1e-5)
    np.testing.assert_allclose(store.mean[3], packed[:10, 3, :2].mean(0), rtol=1e-5)
    np.testing.assert_allclose(store.spread[3], packed[:10, 3, :2].std(0), rtol=1e-3, atol=1e-5)
    assert not store.mean[4].any()
    assert not store.spread[4].any()


# ------------------------------------------------------------------------------- processes


def test_pickling_a_store_does_not_pickle_its_data(tmp_path: Path) -> None:
    folder = write_store(tmp_path, (400, 400))
    store = open_store(folder)
    total_of(store)
    assert len(pickle.dumps(store)) < (folder / "shard-00000.poses").stat().st_size / 10


def test_a_store_opened_in_another_process_gives_the_same(tmp_path: Path) -> None:
    store = open_store(write_store(tmp_path))
    with ProcessPoolExecutor(1) as pool:
        assert pool.submit(total_of, store).result() == total_of(store)


# ------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            PoseRecipe("upper_body_hands", "shoulders"),
            "normalize = 'parts', 'shoulders' is asked for",
        ),
        (PoseRecipe("hands"), "keypoints = 'upper_body_hands', 'hands' is asked for"),
        (PoseRecipe("upper_body_hands", fps=25.0), "fps = None, 25.0 is asked for"),
        (PoseRecipe("upper_body_hands", dimensions=3), "dimensions = 2, 3 is asked for"),
    ],
)
def test_another_recipe_names_the_difference(tmp_path: Path, other: PoseRecipe, said: str) -> None:
    folder = write_store(tmp_path)
    with pytest.raises(DataError, match=rf"train: the store was made with {said}.*signseq prepare"):
        open_store(folder, recipe=other)


def test_the_same_recipe_opens_the_store(tmp_path: Path) -> None:
    assert len(open_store(write_store(tmp_path), recipe=RECIPE)) == 3


def test_a_set_whose_points_have_changed_is_a_difference(tmp_path: Path) -> None:
    folder = write_store(tmp_path)
    facts = json.loads((folder / "store.json").read_text())
    facts["keypoints"][0] = "POSE_LANDMARKS.MOUTH_LEFT"
    (folder / "store.json").write_text(json.dumps(facts))
    with pytest.raises(DataError, match="made with keypoint names"):
        open_store(folder, recipe=RECIPE)


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '{"format": 99}'])
def test_an_unfinished_store_does_not_open(tmp_path: Path, content: str | None) -> None:
    folder = write_store(tmp_path)
    (folder / "store.json").unlink()
    if content is not None:
        (folder / "store.json").write_text(content)
    with pytest.raises(
        DataError, match=r"train: no finished store\. Write it with: signseq prepare"
    ):
        open_store(folder)


@pytest.mark.parametrize(
    "name", ["index.npy", "shard-00000.poses", "shard-00001.poses", "shard-00001.jsonl"]
)
@pytest.mark.parametrize("kept", [None, 0, 60])
def test_a_store_that_was_copied_in_part_does_not_open(
    tmp_path: Path, name: str, kept: int | None
) -> None:
    path = write_store(tmp_path) / name
    content = path.read_bytes()
    path.unlink()
    if kept is not None:
        path.write_bytes(content[:kept])
    if name.endswith(".jsonl") and kept:
        return  # the one line of this shard begins, so its place is there
    with pytest.raises(DataError, match=rf"{name}: missing or damaged\. Mend the store with"):
        open_store(path.parent)


# ------------------------------------------------------------------------------- shards


def test_a_finished_shard_is_kept_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_store(tmp_path, (5,))
    example = Example("0", str(tmp_path / "0.pose"), 0.0, None, "text 0", "train", "s0")
    monkeypatch.setattr(shards, "_pack", None)  # would fail
    report = write_shard(folder, 0, [example], RECIPE)
    assert (report.clips, report.frames) == (1, 5)


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".poses"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1]"])
def test_a_damaged_shard_is_written_again(
    tmp_path: Path, suffix: str, content: bytes | None
) -> None:
    folder = write_store(tmp_path, (5,))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    damaged = folder / f"shard-00000{suffix}"
    damaged.unlink()
    if content is not None:
        damaged.write_bytes(content)
    example = Example("0", str(tmp_path / "0.pose"), 0.0, None, "text 0", "train", "s0")
    write_shard(folder, 0, [example], RECIPE)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_kill_between_the_files_of_a_shard_never_mixes_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_store(tmp_path, (5,))
    poses = (folder / "shard-00000.poses").read_bytes()
    example = Example("0", str(tmp_path / "0.pose"), 0.0, None, "text 0", "train", "s0")
    replace = Path.replace

    def die_after_the_poses(path: Path, target: Path) -> Path:
        replace(path, target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die_after_the_poses)
        with pytest.raises(KeyboardInterrupt):
            write_shard(folder, 0, [example], PoseRecipe("upper_body_hands", "shoulders"))
    assert (
        folder / "shard-00000.poses"
    ).read_bytes() != poses  # of the same size: only the digest tells
    write_shard(folder, 0, [example], RECIPE)
    assert (folder / "shard-00000.poses").read_bytes() == poses


def test_what_cannot_be_packed_is_reported_with_the_reason(tmp_path: Path) -> None:
    write_pose(tmp_path / "good.pose", make_pose())
    (tmp_path / "bad.pose").write_bytes(b"nonsense")

    def example(uid: str, text: str = "we") -> Example:
        return Example(uid, str(tmp_path / f"{uid}.pose"), 0.0, None, text, "train")

    report = write_shard(
        tmp_path, 0, [example("none"), example("bad"), example("good"), example("good", "")], RECIPE
    )
    assert report.clips == 1
    assert [(uid, reason.rsplit(": ")[-1].split(",")[0]) for uid, _, reason in report.skipped] == [
        ("none", "no such file."),
        ("bad", "not a .pose file of version 0.1 or 0.2 (its first bytes are b'nons'"),
        ("good", "The text is empty."),
    ]


def test_a_shard_counts_what_is_odd(tmp_path: Path) -> None:
    pose = make_pose(frames=4)
    pose.data[1, 0], pose.data[2, 1] = np.nan, np.inf
    pose.confidence[:, 11:] = 0
    write_pose(tmp_path / "a.pose", pose)
    report = write_shard(
        tmp_path, 0, [Example("a", str(tmp_path / "a.pose"), 0.0, None, "we", "train")], RECIPE
    )
    assert (report.unusable_points, report.without_hands, report.several_people) == (2, 1, 0)
    assert report.seconds == pytest.approx(4 / 25)
    visible: NDArray[Any] = report.sums[0][:, 0]
    assert visible[:3].tolist() == [3, 3, 4]

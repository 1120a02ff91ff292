"""The cache through which stores are read that lie elsewhere."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import pickle
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from conftest import make_pose
from signseq.config import DataConfig
from signseq.data import cache as cache_module
from signseq.data.cache import (
    build_cache,
    default_cache,
    default_cache_folder,
)
from signseq.data.cache_space import ShardCache, gib_for, locked
from signseq.data.examples import Example
from signseq.data.planning import ShardWindows, draw_windows
from signseq.data.prefetching import Prefetcher
from signseq.data.shards import finish_store, write_shard
from signseq.data.storage import LocalFolder, RemoteFolder
from signseq.data.store import PoseStore, open_store
from signseq.errors import DataError
from signseq.poses.sequence import write_pose
from signseq.poses.transforms import PoseRecipe

RECIPE = PoseRecipe(keypoints="hands", normalize="none")
SHARDS, CLIPS, FRAMES = 6, 4, 10
SHARD = CLIPS * FRAMES * 42 * 3 * 2  # bytes of a shard's poses


def write_store(folder: Path, *, seed: int = 0) -> Path:
    """A store on this machine of six shards of equal size."""
    files = folder / f"files-{seed}"
    files.mkdir(parents=True)
    place = folder / f"store-{seed}"
    place.mkdir()
    keypoints, reports = RECIPE.names, []
    for shard in range(SHARDS):
        examples = []
        for number in range(shard * CLIPS, (shard + 1) * CLIPS):
            path = files / f"{number}.pose"
            write_pose(
                path, make_pose(frames=FRAMES, seed=100 * seed + number, keypoints=keypoints)
            )
            text = f"text {number}"
            examples.append(Example(str(number), str(path), 0.0, None, text, "train", None))
        reports.append(write_shard(LocalFolder(place), shard, examples, RECIPE))
    finish_store(LocalFolder(place), reports, RECIPE, rows="")
    return place


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For all tests: none may change it."""
    return write_store(tmp_path_factory.mktemp("local"))


@pytest.fixture
def url(local: Path) -> Iterator[str]:
    """The same store in memory, as on a far place."""
    files = fsspec.filesystem("memory")
    for path in local.iterdir():
        files.pipe_file(f"/bucket/train/{path.name}", path.read_bytes())
    yield "memory://bucket/train"
    files.rm("/bucket", recursive=True)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are downloaded, as they come."""
    names: list[str] = []
    fetch = RemoteFolder.fetch

    def note(self: RemoteFolder, name: str, path: Path) -> None:
        names.append(name)
        fetch(self, name, path)

    monkeypatch.setattr(RemoteFolder, "fetch", note)
    return names


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "PAUSES", (0.0, 0.0))


def open_through(url: str, folder: Path, *, shards: float = 100) -> PoseStore:
    """The store by way of a cache that holds so many shards."""
    return open_store(url, cache=ShardCache(folder / "cache", int(shards * SHARD)))


def poses_in(folder: Path) -> int:
    with locked(folder / "cache" / "room.lock"):
        return sum(path.stat().st_size for path in (folder / "cache").glob("*/*.poses"))


def same_clips(store: PoseStore, local: Path) -> bool:
    wanted = open_store(local)
    return all(np.array_equal(store.clip(i), wanted.clip(i)) for i in range(len(wanted)))


# ------------------------------------------------------------------------------- what is read


def test_a_store_elsewhere_has_the_clips_and_texts_of_the_local_one(
    url: str, local: Path, tmp_path: Path
) -> None:
    store = open_through(url, tmp_path)
    assert same_clips(store, local)
    assert list(store.targets()) == list(open_store(local).targets())
    assert store.details(5) == open_store(local).details(5)
    assert not store.clip(0).flags.writeable


def test_each_file_is_downloaded_once(url: str, tmp_path: Path, fetched: list[str]) -> None:
    for _ in range(2):
        store = open_through(url, tmp_path)
        for number in range(len(store)):
            store.clip(number)
        list(store.texts())
    names = [f"shard-{i:05d}.{kind}" for i in range(SHARDS) for kind in ("jsonl", "poses")]
    assert sorted(fetched) == names


def test_nothing_is_downloaded_before_it_is_read(
    url: str, tmp_path: Path, fetched: list[str]
) -> None:
    open_through(url, tmp_path).clip(5)
    assert fetched == ["shard-00001.poses"]


def test_a_pickled_store_reads_on_through_the_same_cache(url: str, tmp_path: Path) -> None:
    store = open_through(url, tmp_path)
    again: PoseStore = pickle.loads(pickle.dumps(store))
    assert np.array_equal(again.clip(3), store.clip(3))
    assert again.cached is not None
    assert again.cached.cache == ShardCache(tmp_path / "cache", 100 * SHARD)


def test_a_local_store_uses_no_cache(local: Path, tmp_path: Path) -> None:
    store = open_through(str(local), tmp_path)
    assert same_clips(store, local)
    assert store.cached is None
    assert store.holds_shard(3)
    assert not (tmp_path / "cache").exists()


# ------------------------------------------------------------------------------- its limit


def test_the_limit_is_never_passed(url: str, local: Path, tmp_path: Path) -> None:
    store = open_through(url, tmp_path, shards=2.5)
    wanted = open_store(local)
    for number in np.random.default_rng(0).integers(len(store), size=60).tolist():
        assert np.array_equal(store.clip(number), wanted.clip(number))
        assert poses_in(tmp_path) <= 2.5 * SHARD


def test_what_was_read_longest_ago_makes_room(url: str, tmp_path: Path, fetched: list[str]) -> None:
    store = open_through(url, tmp_path, shards=2)
    for shard in (0, 1, 0, 2, 0):
        store.clip(shard * CLIPS)
        for path in (tmp_path / "cache").glob("*/*.poses"):  # as if a minute went by
            os.utime(path, times=(0, path.stat().st_mtime - 60))
    assert fetched == [f"shard-{i:05d}.poses" for i in (0, 1, 2)]
    store.clip(CLIPS)
    assert fetched[3:] == ["shard-00001.poses"]


def test_files_of_another_user_are_read_and_keep_their_time(
    url: str, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only its owner may change the time of a file to any but his own."""
    open_through(url, tmp_path).clip(0)

    def refuse(place: int | Path, *_: object) -> None:
        os.stat(place)
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(cache_module.os, "utime", refuse)
    store = open_through(url, tmp_path)
    store.hold_shard(0)
    assert store.holds_shard(0)
    assert not store.holds_shard(1)
    assert same_clips(store, local)


def test_stores_share_the_limit(url: str, tmp_path: Path) -> None:
    other = f"file://{write_store(tmp_path, seed=1)}"
    for place in (url, other):
        store = open_through(place, tmp_path, shards=4)
        for number in range(len(store)):
            store.clip(number)
    assert poses_in(tmp_path) == 4 * SHARD


def test_room_that_a_killed_process_kept_is_used_again(url: str, tmp_path: Path) -> None:
    store = open_through(url, tmp_path, shards=2)
    store.clip(0)
    assert store.cached is not None
    left = store.cached.place / "shard-00005.poses"
    left.with_suffix(".poses.part").write_bytes(b"half of it")
    with left.with_suffix(".poses.lock").open("wb") as file:
        file.truncate(SHARD)
    store.clip(CLIPS)
    assert poses_in(tmp_path) == 2 * SHARD  # and not one of them removed
    assert not left.with_suffix(".poses.part").exists()


def test_a_cache_smaller_than_a_shard_is_an_error_with_the_number_needed(
    url: str, tmp_path: Path
) -> None:
    store = open_through(url, tmp_path, shards=0.5)
    with pytest.raises(
        DataError, match=r"shard of 10080 bytes does not fit .* 5040\. Set data\.cache_gib"
    ):
        store.clip(0)


# ------------------------------------------------------------------------------- what goes wrong


def test_a_store_that_was_written_anew_is_never_mixed_with_the_old_one(
    tmp_path: Path, local: Path
) -> None:
    place = tmp_path / "place"
    shutil.copytree(local, place)
    old = open_through(f"file://{place}", tmp_path)
    old.clip(0)
    shutil.rmtree(place)
    anew = write_store(tmp_path, seed=1)
    shutil.copytree(anew, place)
    facts = json.loads((place / "store.json").read_text())
    with pytest.raises(DataError, match=r"was written anew while it was read.*--resume"):
        old.clip(CLIPS)
    assert facts["digest"] != old.facts["digest"]
    assert same_clips(open_through(f"file://{place}", tmp_path), anew)


def test_half_a_download_is_tried_again(
    url: str, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([True, True])
    fetch = RemoteFolder.fetch

    def fail(self: RemoteFolder, name: str, path: Path) -> None:
        fetch(self, name, path)
        if next(failures, False):
            os.truncate(path, 10)

    monkeypatch.setattr(RemoteFolder, "fetch", fail)
    assert same_clips(open_through(url, tmp_path), local)


@pytest.mark.parametrize("name", ["shard-00001.poses", "shard-00001.jsonl"])
def test_a_file_that_never_comes_whole_is_named(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    store = open_through(url, tmp_path)

    def half(self: RemoteFolder, name: str, path: Path) -> None:
        path.write_bytes(b"0123456789")

    monkeypatch.setattr(RemoteFolder, "fetch", half)
    read: Callable[[int], Any] = store.clip if name.endswith("poses") else store.text
    with pytest.raises(DataError, match=rf"{name}: 10 bytes came, .*Mend the store"):
        read(CLIPS)
    assert not list((tmp_path / "cache").glob(f"*/{name}*.part"))
    assert not list((tmp_path / "cache").glob(f"*/{name}"))


def test_a_file_that_is_gone_is_named(url: str, tmp_path: Path) -> None:
    store = open_through(url, tmp_path)
    fsspec.filesystem("memory").rm("/bucket/train/shard-00002.poses")
    with pytest.raises(DataError, match=r"train/shard-00002\.poses: is not there any more"):
        store.clip(2 * CLIPS)


def test_a_place_that_fails_is_named_with_the_file(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_through(url, tmp_path)

    def fail(self: RemoteFolder, name: str, path: Path) -> None:
        raise DataError(f"{self}: can't be reached (no route).")

    monkeypatch.setattr(RemoteFolder, "fetch", fail)
    with pytest.raises(DataError, match=r"shard-00000\.poses: memory://.*no route.*--resume"):
        store.clip(0)


def test_a_full_disk_is_said_to_be_the_caches(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_through(url, tmp_path)

    def fill(self: RemoteFolder, name: str, path: Path) -> None:
        full = OSError(errno.ENOSPC, "No space left on device", str(path))
        raise DataError(f"{self}: can't be reached") from full

    monkeypatch.setattr(RemoteFolder, "fetch", fill)
    with pytest.raises(DataError, match=r"cache can't be used \(No space left.*data\.cache_dir"):
        store.clip(0)


def test_a_cache_that_cant_be_written_is_said_to_be_so(url: str, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DataError, match=r"cache/.*: the cache can't be used .*set data\.cache_dir"):
        open_through(url, tmp_path).clip(0)


def test_the_number_that_an_error_asks_for_is_enough() -> None:
    sizes = (1, 2**30, 2**30 + 1, 3 * 2**29, 1000 * 2**30 + 1)
    assert [gib_for(size) for size in sizes] == ["0.0001", "1", "1.0001", "1.5", "1000.0001"]


def test_the_cache_lies_where_the_users_caches_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_folder() == tmp_path / "signseq"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_folder() == Path.home() / ".cache" / "signseq"
    data = DataConfig(pose_dir=tmp_path, store="s3://a/b", cache_dir=tmp_path, cache_gib=1.5)
    assert build_cache(data) == ShardCache(tmp_path, 3 * 2**29)
    assert default_cache() == ShardCache(default_cache_folder(), 50 * 2**30)


# ------------------------------------------------------------------------------- many processes


def read_at_random(place: str, folder: Path, seed: int, local: Path) -> None:
    store, wanted = open_through(place, folder, shards=2.5), open_store(local)
    for number in np.random.default_rng(seed).integers(len(store), size=80).tolist():
        assert np.array_equal(store.clip(number), wanted.clip(number))
        assert poses_in(folder) <= 2.5 * SHARD


def test_processes_share_a_cache_that_is_too_small_for_them(local: Path, tmp_path: Path) -> None:
    """Four processes want other shards all the time, and the cache holds two."""
    fork = multiprocessing.get_context("fork")
    jobs = [
        fork.Process(target=read_at_random, args=(f"file://{local}", tmp_path, seed, local))
        for seed in range(4)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(30)
    assert [job.exitcode for job in jobs] == [0] * 4


def read_all(place: str, folder: Path, log: Path) -> None:
    fetch = RemoteFolder.fetch

    def note(self: RemoteFolder, name: str, path: Path) -> None:
        with log.open("a") as file:
            file.write(f"{name}\n")
        fetch(self, name, path)

    RemoteFolder.fetch = note  # type: ignore[method-assign]
    store = open_through(place, folder)
    for number in range(len(store)):
        store.clip(number)
        store.text(number)


def test_processes_download_each_file_once_between_them(local: Path, tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    log = tmp_path / "log"
    jobs = [
        fork.Process(target=read_all, args=(f"file://{local}", tmp_path, log)) for _ in range(4)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(30)
    assert [job.exitcode for job in jobs] == [0] * 4
    assert len(log.read_text().split()) == len(set(log.read_text().split())) == 2 * SHARDS


# ------------------------------------------------------------------------------- windows of a store


def test_windows_are_as_few_as_the_cache_allows(url: str, local: Path, tmp_path: Path) -> None:
    def count(shards: float) -> int:
        windows = ShardWindows.of_store(open_through(url, tmp_path, shards=shards))
        return windows.count if windows else 0

    assert [count(shards) for shards in (2, 3.9, 4, 6, 11.9, 12)] == [6, 6, 3, 2, 2, 1]
    assert ShardWindows.of_store(open_store(local)) is None
    assert draw_windows(open_store(local), np.arange(9)) is None


def test_a_cache_for_less_than_two_shards_is_an_error(url: str, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"takes 19152 bytes, too few .* data\.cache_gib to 0\.0001 or"
    ):
        ShardWindows.of_store(open_through(url, tmp_path, shards=1.9))


def test_a_run_that_goes_on_keeps_its_windows(url: str, local: Path, tmp_path: Path) -> None:
    for store in (open_through(url, tmp_path, shards=50), open_store(local)):
        windows = ShardWindows.of_store(store, count=3)
        assert windows is not None
        assert windows.count == 3
    with pytest.raises(DataError, match="too few for what is read at a time"):
        ShardWindows.of_store(open_through(url, tmp_path, shards=2), count=3)


# ------------------------------------------------------------------------------- downloading ahead


class Shelf:
    """Takes the place of a store: notes what is asked for."""

    folder = "shelf"

    def __init__(self) -> None:
        self.held: list[int] = []

    def holds_shard(self, shard: int) -> bool:
        return shard in self.held

    def hold_shard(self, shard: int) -> None:
        if shard == 9:
            raise DataError("no route")
        self.held.append(shard)


def wait(prefetcher: Prefetcher) -> None:
    for _ in range(500):
        with prefetcher._lock:
            if not prefetcher._working:
                return
        time.sleep(0.002)
    raise AssertionError("still working")


def test_the_next_window_is_downloaded_once_the_last_one_is_no_more_read() -> None:
    shelf: Any = Shelf()
    prefetcher = Prefetcher(shelf, lead=3)
    prefetcher.begin([np.array([0, 1]), np.array([2, 3]), np.array([0, 1])])
    held = []
    for shard in (0, 1, 0, 0, 2, 3, 2):
        prefetcher.reach(shard)
        wait(prefetcher)
        held.append(sorted(shelf.held))
    assert held == [[0, 1]] * 2 + [[0, 1, 2, 3]] * 5


def test_what_cant_be_downloaded_ahead_is_left_to_its_reader() -> None:
    shelf: Any = Shelf()
    prefetcher = Prefetcher(shelf, lead=1)
    prefetcher.begin([np.array([9]), np.array([4])])
    prefetcher.reach(9)
    wait(prefetcher)
    prefetcher.reach(4)
    wait(prefetcher)
    assert shelf.held == [4]

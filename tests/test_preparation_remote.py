"""A store at a place of fsspec's has the bytes of one in a folder, whatever happens on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from conftest import make_pose
from signseq import preparation
from signseq.config import Config, save_config
from signseq.data import scratch, storage
from signseq.data.shards import write_shard
from signseq.data.storage import RemoteFolder, as_folder
from signseq.errors import DataError, MissingExtraError
from signseq.poses.sequence import write_pose
from signseq.preparation import prepare

MakeConfig = Callable[..., Config]
NO_TEST = "data.test_path=null"


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(preparation, "CLIPS_PER_SHARD", 2)
    monkeypatch.setattr(storage, "WAITS", (0.0, 0.0, 0.0))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


@pytest.fixture
def local(write_corpus_files: Callable[..., Path], make_config: MakeConfig) -> Config:
    """Seven clips to train on and three to validate."""
    write_corpus_files(train=7, val=3)
    return make_config(NO_TEST)


@pytest.fixture
def memory() -> Iterator[str]:
    """A place in the memory of this process."""
    yield "memory://bucket/store"
    fsspec.filesystem("memory").store.clear()


def at(config: Config, place: str) -> Config:
    return config.model_copy(update={"data": config.data.model_copy(update={"store": place})})


def contents(place: str | Path) -> dict[str, bytes]:
    """Every file of a store but the lock, by its path in it."""
    files, root = fsspec.core.url_to_fs(str(place))
    files.invalidate_cache()
    return {
        path.removeprefix(root).lstrip("/"): files.cat_file(path)
        for path in sorted(files.find(root))
        if not path.endswith(".lock")
    }


def fail_at(
    monkeypatch: pytest.MonkeyPatch, method: str, fault: Exception, *, times: int = 10**6
) -> list[str]:
    """Let a method of the memory's file system fail for so many calls; the names that it was called with."""
    files, calls = type(fsspec.filesystem("memory")), list[str]()
    works = getattr(files, method)

    def fail(self: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(str(arguments[-1]))
        if len(calls) <= times:
            raise fault
        return works(self, *arguments, **options)

    monkeypatch.setattr(files, method, fail)
    return calls


# ---------------------------------------------------------------------------- the same bytes


def test_a_remote_store_has_the_bytes_of_a_local_one(local: Config, memory: str) -> None:
    prepare(at(local, memory), workers=1)
    prepare(local, workers=1)
    assert contents(memory) == contents(local.data.store)


def test_several_processes_write_a_remote_store(local: Config, tmp_path: Path) -> None:
    place = f"file://{tmp_path}/elsewhere"
    assert isinstance(as_folder(place), RemoteFolder)
    prepare(at(local, place), workers=2)
    prepare(local, workers=1)
    assert contents(place) == contents(local.data.store)


def test_a_second_run_uploads_nothing(
    local: Config, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare(at(local, memory), workers=1)
    uploads = fail_at(monkeypatch, "put_file", AssertionError())
    written = fail_at(monkeypatch, "pipe_file", AssertionError())
    assert prepare(at(local, memory), workers=1)["train"].clips == first["train"].clips
    assert uploads == written == []


@pytest.mark.parametrize(
    "lost", ["store.json", "shard-00001.json", "shard-00001.poses", "shard-00002.jsonl"]
)
def test_what_a_kill_left_is_completed_and_nothing_else_is_uploaded(
    local: Config, memory: str, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = at(local, memory)
    prepare(config, workers=1)
    whole = contents(memory)
    for name in {"store.json", lost}:
        RemoteFolder(f"{memory}/train").remove(name)
    uploads = fail_at(monkeypatch, "put_file", AssertionError(), times=0)
    prepare(config, workers=1)
    shard = lost.partition(".")[0]
    assert {place.rsplit("/")[-1].partition(".")[0] for place in uploads} == {shard} - {"store"}
    assert contents(memory) == whole


def test_nothing_is_downloaded_to_find_out_what_is_there(
    local: Config, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = at(local, memory)
    prepare(config, workers=1)
    RemoteFolder(f"{memory}/train").remove("store.json")
    fetched = fail_at(monkeypatch, "cat_file", AssertionError(), times=0)
    listed = fail_at(monkeypatch, "ls", AssertionError(), times=0)
    prepare(config, workers=1)
    assert not [name for name in fetched if name.endswith((".poses", ".jsonl"))]
    assert len(listed) < 12  # not one for each of the six shards


def test_a_shorter_table_leaves_no_shards_behind(
    local: Config, memory: str, write_corpus_files: Callable[..., Path]
) -> None:
    prepare(at(local, memory), workers=1)
    write_corpus_files(train=3, val=3)
    prepare(at(local, memory), workers=1)
    prepare(local, workers=1)
    assert contents(memory) == contents(local.data.store)


# ---------------------------------------------------------------------------- what goes wrong


def test_an_upload_that_fails_now_and_then_is_tried_again(
    local: Config, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_at(monkeypatch, "put_file", ConnectionResetError("by peer"), times=3)
    prepare(at(local, memory), workers=1)
    prepare(local, workers=1)
    assert contents(memory) == contents(local.data.store)


class ForeignError(Exception):
    """As such libraries raise: no OSError."""


@pytest.mark.parametrize(
    ("fault", "said", "tries"),
    [
        (TimeoutError("too slow"), r"can't be reached, .*\(TimeoutError: too slow\)", 4),
        (PermissionError("Forbidden"), r".*\(PermissionError: Forbidden\).*your credentials", 1),
        (ForeignError("no key"), r".*\(ForeignError: no key\).*run the same command again", 1),
        (FileNotFoundError("bucket"), r"there is no such bucket or folder", 1),
    ],
)
@pytest.mark.parametrize("method", ["put_file", "pipe_file"])
def test_a_place_that_cannot_be_written_is_named(
    local: Config,
    memory: str,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    fault: Exception,
    said: str,
    tries: int,
) -> None:
    with monkeypatch.context() as patch:
        calls = fail_at(patch, method, fault)
        with pytest.raises(DataError, match=rf"memory://bucket/store/train: {said}"):
            prepare(at(local, memory), workers=1)
        assert len(calls) == tries
    prepare(at(local, memory), workers=1)
    prepare(local, workers=1)
    assert contents(memory) == contents(local.data.store)


def test_a_place_that_cannot_be_listed_is_named(
    local: Config, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_at(monkeypatch, "ls", ForeignError("no route to host"))
    with pytest.raises(DataError, match="no route to host"):
        prepare(at(local, memory), workers=1)


def test_a_fault_of_the_place_passes_from_a_worker(local: Config) -> None:
    """`/proc` can't be written by anybody."""
    with pytest.raises(DataError, match=r"file:///proc/store/train: "):
        prepare(at(local, "file:///proc/store"), workers=2)


def test_several_processes_cannot_write_into_one_memory(local: Config, memory: str) -> None:
    with pytest.raises(DataError, match=r"each process has a memory of its own.*--workers 1"):
        prepare(at(local, memory), workers=2)
    assert fsspec.filesystem("memory").store == {}


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingExtraError, match=r"'s3fs'.*signseq\[s3\]"):
        RemoteFolder("s3://bucket/store").sizes()


def test_an_unknown_kind_of_place_is_named() -> None:
    with pytest.raises(DataError, match=r"s4://bucket/store: no such kind of place"):
        RemoteFolder("s4://bucket/store").sizes()


# ---------------------------------------------------------------------------- room of this machine


def test_one_shard_at_a_time_waits_to_be_uploaded(
    tmp_path: Path, memory: str, local: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, put = [0], RemoteFolder.take

    def count(self: RemoteFolder, path: Path, name: str) -> None:
        put(self, path, name)
        most.append(len([each for each in path.parent.iterdir() if each.suffix == ".part"]))

    monkeypatch.setattr(RemoteFolder, "take", count)
    prepare(at(local, memory), workers=1)
    assert max(most) == 1  # the lines of the shard whose poses were just taken
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_a_killed_run_left_in_the_temporary_folder_is_removed(
    tmp_path: Path, memory: str
) -> None:
    left = tmp_path / "tmp" / f"{scratch.PREFIX}left"
    left.mkdir()
    (left / scratch.LOCK).touch()
    with scratch.make_scratch() as folder, scratch.make_scratch() as other:
        assert not left.exists()
        assert folder.exists()
        assert other.exists()


def test_a_shard_needs_no_scratch_of_the_caller(tmp_path: Path, memory: str) -> None:
    write_pose(tmp_path / "a.pose", make_pose())
    from signseq.data.examples import Example
    from signseq.poses.transforms import PoseRecipe

    example = Example("a", str(tmp_path / "a.pose"), 0.0, None, "we", "train")
    folder = RemoteFolder(memory)
    assert write_shard(folder, 0, [example], PoseRecipe("hands")).clips == 1
    assert set(folder.sizes()) == {f"shard-00000.{end}" for end in ("poses", "jsonl", "json")}


# ---------------------------------------------------------------------------- S3, on this machine

RUN = """
import sys
from signseq import preparation
from signseq.config import load_config
preparation.CLIPS_PER_SHARD = 2
print("begun", flush=True)
preparation.prepare(load_config(sys.argv[1]), workers=2)
"""


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A bucket of a server that speaks S3; only where s3fs and moto are installed."""
    s3fs = pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    if not s3fs.S3FileSystem().exists("bucket"):  # servers of one process share their buckets
        s3fs.S3FileSystem().mkdir("bucket")
    yield f"s3://bucket/{tmp_path.name}"
    server.stop()


def test_runs_to_s3_that_are_killed_end_with_the_bytes_of_a_local_store(
    local: Config, s3: str, tmp_path: Path
) -> None:
    rng, config, killed = np.random.default_rng(0), at(local, s3), 0
    save_config(config, tmp_path / "config.yaml")
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", RUN, str(tmp_path / "config.yaml")],
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as run:
            assert run.stdout is not None
            run.stdout.readline()
            time.sleep(float(rng.uniform(0.2, 1.2)))
            killed += run.poll() is None
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
    prepare(config, workers=2)
    prepare(local, workers=1)
    assert killed > 0
    assert contents(s3) == contents(local.data.store)


def test_a_bucket_that_is_not_there_is_named(local: Config, s3: str) -> None:
    with pytest.raises(DataError, match=r"s3://nowhere/store/train: there is no such bucket"):
        prepare(at(local, "s3://nowhere/store"), workers=2)

"""Whatever is killed in the middle of `prepare`, the next run ends with the store of an undisturbed one.

The runs are forked: the package is imported once, so that a kill falls into the packing.
"""

from __future__ import annotations

import csv
import hashlib
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import make_pose, tiny_config
from signseq import preparation
from signseq.config import Config
from signseq.data import packing, processes
from signseq.errors import DataError
from signseq.poses.sequence import write_pose
from signseq.preparation import prepare

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
FORK = multiprocessing.get_context("fork") if sys.platform == "linux" else None
FAILED = 3  # how a run ends that says a DataError
Kill = Callable[[BaseProcess, "Corpus", np.random.Generator], bool]


@dataclass(frozen=True)
class Corpus:
    """A table of many rows that go round a few files of poses.

    Attributes:
        folder: Where it is; the runs' stores are made there too.
        seconds: How long an undisturbed run takes.
        store: The files that it writes.
    """

    folder: Path
    seconds: float
    store: dict[str, str]


def write_clips(folder: Path, *, clips: int, frames: int) -> None:
    (folder / "poses").mkdir()
    for number in range(10):
        pose = make_pose(frames=frames + number, seed=number, fps=30.0)
        write_pose(folder / "poses" / f"{number}.pose", pose, size=(500, 500))
    with (folder / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("uid", "text", "pose_path"))
        writer.writerows((f"clip-{i}", f"sentence {i}", f"{i % 10}.pose") for i in range(clips))


def config_of(folder: Path, store: str, *overrides: str) -> Config:
    tables = ("data.val_path=null", "data.test_path=null", "data.fps=25")
    return tiny_config(folder, *tables, f"data.store={folder / store}", *overrides)


def start(folder: Path, store: str) -> BaseProcess:
    """A run of `prepare` with two workers, in a process group of its own."""
    assert FORK is not None
    process = FORK.Process(target=run, args=(folder, store))
    process.start()
    return process


def run(folder: Path, store: str) -> None:
    os.setsid()
    with suppress(FileNotFoundError):
        workers(folder).unlink()
    serve = processes._serve

    def serve_and_tell(*arguments: Any) -> None:
        with workers(folder).open("a") as file:
            file.write(f"{os.getpid()}\n")
        serve(*arguments)

    processes._serve = serve_and_tell
    try:
        prepare(config_of(folder, store), workers=2)
    except DataError as fault:
        (folder / "said").write_text(str(fault))
        os._exit(FAILED)
    os._exit(0)


def workers(folder: Path) -> Path:
    return folder / "workers"


def kill_everything(process: BaseProcess, corpus: Corpus, rng: np.random.Generator) -> bool:
    """The whole process group, as `kill -9 -GROUP` or a job's end do; whether it was still there."""
    assert process.pid is not None
    is_running = process.is_alive()
    with suppress(ProcessLookupError):  # done already, or not yet a group
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    return is_running


def kill_the_parent(process: BaseProcess, corpus: Corpus, rng: np.random.Generator) -> bool:
    is_running = process.is_alive()
    process.kill()
    return is_running


def kill_a_worker(process: BaseProcess, corpus: Corpus, rng: np.random.Generator) -> bool:
    """One of the workers, as the system does when memory runs out; its shard is begun anew."""
    with suppress(FileNotFoundError, ProcessLookupError):
        pids = workers(corpus.folder).read_text().split()
        if pids and process.is_alive():
            os.kill(int(rng.choice(pids)), signal.SIGKILL)
            return True
    return False


KILLS: dict[str, Kill] = {
    "everything": kill_everything,
    "the parent": kill_the_parent,
    "a worker": kill_a_worker,
}


def files(store: Path) -> dict[str, str]:
    """A digest of every file of the store but the lock."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((store / "train").iterdir())
        if path.name != packing.LOCK
    }


def prepare_in_the_end(config: Config) -> None:
    """Restart a killed run, whose workers may keep the lock for a moment."""
    for _ in range(200):
        try:
            prepare(config, workers=2)
            return
        except DataError as fault:
            if "is writing this store" not in str(fault):
                raise
            time.sleep(0.05)
    raise AssertionError("the killed run's workers never ended")


def make_corpus(folder: Path, *, clips: int, frames: int) -> Corpus:
    write_clips(folder, clips=clips, frames=frames)
    begun = time.perf_counter()
    process = start(folder, "undisturbed")
    process.join()
    seconds = time.perf_counter() - begun
    assert process.exitcode == 0
    prepare(config_of(folder, "older", "data.normalize=none"), workers=2)
    return Corpus(folder, seconds, files(folder / "undisturbed"))


def disturb(corpus: Corpus, kill: Kill, moments: int, *, seed: int) -> int:
    """Kill as many runs at random moments, each with a store of its own; how many kills hit.

    The last of the kills hits the run that goes on after the one before, too.
    """
    rng, disturbed = np.random.default_rng(seed), 0
    for number in range(moments):
        store = f"killed-{number}"
        if number % 2:  # what was made with other settings is packed anew
            shutil.copytree(corpus.folder / "older", corpus.folder / store)
        for _ in range(1 + (number == moments - 1)):
            process = start(corpus.folder, store)
            time.sleep(float(rng.uniform(0, corpus.seconds)))
            disturbed += kill(process, corpus, rng)
            process.join(timeout=60)
            if process.exitcode is None:
                kill_everything(process, corpus, rng)
                process.join()
                raise AssertionError("the run hangs after the kill")
            assert process.exitcode in (0, FAILED, -signal.SIGKILL)
            if process.exitcode == FAILED:
                check_what_was_said((corpus.folder / "said").read_text())
        prepare_in_the_end(config_of(corpus.folder, store))
        assert files(corpus.folder / store) == corpus.store
    return disturbed


def check_what_was_said(message: str) -> None:
    if "is writing this store" in message:  # the workers of a parent that was killed just before
        return
    assert "a process was killed while it packed poses" in message
    assert "Run it again with fewer workers; what is packed is kept." in message


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "CLIPS_PER_SHARD", 8)


@pytest.mark.parametrize("what", KILLS)
def test_after_a_kill_at_any_moment_the_store_is_that_of_an_undisturbed_run(
    what: str, tmp_path: Path, small_shards: None
) -> None:
    corpus = make_corpus(tmp_path, clips=120, frames=20)
    assert disturb(corpus, KILLS[what], 3, seed=len(what)) > 0


class KilledHere(BaseException):
    """Stands for a kill: nothing in the package catches it."""


def kill_at_step(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """End the run before the file operation of this number, counted from 0."""
    left = [step]
    for name in ("open", "replace", "unlink", "write_text"):
        operation = getattr(Path, name)

        def count(self: Path, *arguments: Any, operation: Any = operation, **options: Any) -> Any:
            if "store" in self.parts:
                left[0] -= 1
            if left[0] < 0:
                raise KilledHere
            return operation(self, *arguments, **options)

        monkeypatch.setattr(Path, name, count)


def test_a_kill_between_any_two_file_operations_changes_no_byte(
    tmp_path: Path, small_shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where the same settings go on, nor where those of the store before come back."""
    write_clips(tmp_path, clips=12, frames=5)
    names = {"new": [], "older": ["data.normalize=none"]}
    expected = {}
    for name, settings in names.items():
        prepare(config_of(tmp_path, name, *settings), workers=1)
        expected[name] = files(tmp_path / name)
    config, step, is_killed = config_of(tmp_path, "store"), 0, True
    while is_killed:
        shutil.copytree(tmp_path / "older", config.data.store)
        with monkeypatch.context() as patch:
            kill_at_step(patch, step)
            try:
                prepare(config, workers=1)
                is_killed = False
            except KilledHere:
                step += 1
        shutil.copytree(config.data.store, tmp_path / "again")
        for name, store in (("older", "again"), ("new", "store")):
            prepare(config_of(tmp_path, store, *names[name]), workers=1)
            assert files(tmp_path / store) == expected[name]
            shutil.rmtree(tmp_path / store)
    assert step > 15


@pytest.mark.slow
@pytest.mark.parametrize("what", KILLS)
def test_ten_kills_of_a_run_of_2000_clips_change_no_byte(what: str, tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path, clips=2000, frames=60)
    assert disturb(corpus, KILLS[what], 10, seed=len(what)) > 5

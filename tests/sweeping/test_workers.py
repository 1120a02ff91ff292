"""Processes of a sweep, and how they end; in place of training they sleep."""

import multiprocessing
import os
import signal
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("optuna")

from signseq.errors import ModelError, StoppedError
from signseq.sweeping import workers
from signseq.sweeping.stopping import stoppable
from signseq.sweeping.workers import run_workers

# A worker that trains until it is stopped, then saves, as a trial does.
WORKER = """
import os, sys, time
from pathlib import Path
from signseq.errors import StoppedError
from signseq.sweeping.stopping import stoppable
folder = Path(sys.argv[-1]).parent
try:
    with stoppable():
        (folder / f"begun-{os.getpid()}").touch()
        time.sleep(60)
except StoppedError:
    (folder / f"saved-{os.getpid()}").touch()
    sys.exit(75)
"""


class FakeStudy:
    """So many trials, none of which has ended."""

    def records(self):
        return [SimpleNamespace(state="running")] * 2


@pytest.fixture
def make_workers(run_config, monkeypatch):
    """A config, and workers that run this code in place of a sweep."""
    monkeypatch.setattr(workers, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(workers, "_visible_gpus", list)

    def make(code):
        config = run_config()
        folder = config.training.checkpoint_dir
        folder.mkdir()
        script = folder / "worker.py"
        script.write_text(textwrap.dedent(code))
        start = folder / "python"
        start.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
        start.chmod(0o755)
        monkeypatch.setattr(workers.sys, "executable", str(start))
        return config

    return make


def run_parent(config):
    def work():
        try:
            with stoppable():
                run_workers(config, FakeStudy(), workers=2, trials=2)
        except StoppedError:
            os._exit(75)
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    return process


def wait_for(folder: Path, pattern: str, *, count: int, seconds: float = 60) -> list[Path]:
    end = time.monotonic() + seconds
    while len(found := list(folder.glob(pattern))) < count:
        assert time.monotonic() < end, f"{pattern}: {found}"
        time.sleep(0.02)
    return found


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGKILL])
def test_workers_stop_in_order_with_the_sweep_however_it_ends(make_workers, number):
    config = make_workers(WORKER)
    folder = config.training.checkpoint_dir
    parent = run_parent(config)
    begun = wait_for(folder, "begun-*", count=2)

    os.kill(parent.pid, number)
    parent.join(30)

    assert parent.exitcode == (-9 if number == signal.SIGKILL else 75)
    wait_for(folder, "saved-*", count=2, seconds=20)
    for path in begun:
        pid, end = int(path.name[6:]), time.monotonic() + 20
        while is_running(pid):
            assert time.monotonic() < end
            time.sleep(0.02)


def test_workers_that_were_told_to_stop_have_not_failed(make_workers):
    with pytest.raises(StoppedError):
        run_workers(make_workers("raise SystemExit(75)"), FakeStudy(), workers=2, trials=2)


def test_a_stopped_worker_whose_trials_others_did_is_nothing(make_workers):
    study = SimpleNamespace(records=lambda: [SimpleNamespace(state="complete")] * 2)

    assert run_workers(make_workers("raise SystemExit(75)"), study, workers=2, trials=2)


def test_a_worker_that_fails_is_named_with_what_it_said_last(make_workers):
    with pytest.raises(ModelError, match=r"worker 1 failed \(no luck\)"):
        run_workers(make_workers("raise SystemExit('no luck')"), FakeStudy(), workers=2, trials=2)

"""A pool whose processes are killed neither hangs nor loses a task."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from signseq.data import processes
from signseq.data.processes import ProcessKilledError, run_chunks, run_tasks
from signseq.errors import DataError, MissingExtraError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, so that it starts at once")
LARGE = 1 << 20  # bytes; a pipe holds some 200 thousand


def square(number: int) -> int:
    return number * number


def run(work, tasks, *, workers: int = 2, restarts: int = 0) -> dict:  # type: ignore[no-untyped-def,type-arg]
    """The results by task; ends the test rather than wait for ever."""
    with closing(
        run_tasks(work, tasks, workers=workers, start_method="fork", restarts=restarts)
    ) as done:
        return dict(done)


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_task_is_done_once_and_knows_its_number(workers: int) -> None:
    done = list(run_tasks(square, range(20), workers=workers, start_method="fork"))
    assert sorted(done) == [(number, number**2) for number in range(20)]


def test_no_tasks_are_no_work() -> None:
    assert run(square, []) == {}


def test_only_as_many_tasks_are_read_as_there_are_processes() -> None:
    read = 0

    def tasks() -> Iterator[int]:
        nonlocal read
        for number in range(10):
            read += 1
            yield number

    for count, _ in enumerate(run_tasks(square, tasks(), workers=2, start_method="fork"), start=1):
        assert read <= count + 2


def test_large_tasks_and_results_do_not_block_each_other() -> None:
    results = run(lambda content: content + content, [bytes(LARGE)] * 6)
    assert [len(result) for result in results.values()] == [2 * LARGE] * 6


@pytest.mark.parametrize(
    "fault",
    [
        DataError("two rows"),
        MissingExtraError(package="p", extra="e", purpose="x"),
        OSError(28, "full"),
    ],
)
def test_what_a_task_raises_is_raised_here(fault: Exception) -> None:
    def fail(_: int) -> None:
        raise fault

    with pytest.raises(type(fault)) as caught:
        run(fail, range(4))
    assert str(caught.value) == str(fault)


def test_an_exception_that_cannot_be_pickled_is_told() -> None:
    class LocalError(Exception):
        pass

    def fail(_: int) -> None:
        raise LocalError("inside")

    with pytest.raises(RuntimeError, match="LocalError: inside"):
        run(fail, range(4))


def test_a_large_exception_does_not_block() -> None:
    def fail(_: int) -> None:
        raise ValueError("x" * LARGE)

    with pytest.raises(ValueError, match="xxx"):
        run(fail, range(4))


def test_a_process_that_is_killed_is_told_with_its_task() -> None:
    def die_at_three(number: int) -> int:
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    with pytest.raises(ProcessKilledError) as caught:
        run(die_at_three, range(6))
    assert caught.value.task == 3


def test_a_killed_process_s_task_is_begun_anew(tmp_path: Path) -> None:
    def die_once(number: int) -> int:
        died = tmp_path / str(number)
        if number % 3 == 0 and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number * number

    assert run(die_once, range(10), restarts=1) == {number: number**2 for number in range(10)}


def test_a_process_that_is_killed_in_the_middle_of_a_result_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other half never comes, and only the end of the pipe tells."""

    def die_while_sending(work: Callable[[int], int], task: int) -> bytes:
        if task == 1 and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            threading.Thread(target=die_soon).start()
            return bytes(1 << 30)  # takes no time to make, and half a second to send
        return work_off(work, task)

    def die_soon() -> None:
        time.sleep(0.03)
        os.kill(os.getpid(), signal.SIGKILL)

    work_off = processes.work_off
    monkeypatch.setattr(processes, "work_off", die_while_sending)
    assert run(square, range(4), restarts=1) == {0: 0, 1: 1, 2: 4, 3: 9}


def test_random_kills_neither_hang_nor_lose_a_task(tmp_path: Path) -> None:
    """Results of every size, so that some die while they write, and others while they read."""
    rng = np.random.default_rng(0)
    pids = tmp_path / "pids"

    def work(number: int) -> bytes:
        with pids.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return bytes(number % 7 * LARGE // 4)

    hits = 0
    with closing(run_tasks(work, range(150), workers=3, start_method="fork", restarts=50)) as done:
        results = {}
        for number, result in done:
            results[number] = len(result)
            if number % 5 == 0:
                pid = int(rng.choice(pids.read_text().split()[-3:]))
                hits += is_there(pid)
                if is_there(pid):
                    os.kill(pid, signal.SIGKILL)
    assert results == {number: number % 7 * LARGE // 4 for number in range(150)}
    assert hits > 10


def test_no_process_is_left_behind(tmp_path: Path) -> None:
    def tell(number: int) -> int:
        (tmp_path / str(os.getpid())).touch()
        time.sleep(60 * (number > 1))
        return number

    run_until_two = run_tasks(tell, range(9), workers=2, start_method="fork")
    assert {next(run_until_two)[0], next(run_until_two)[0]} == {0, 1}
    run_until_two.close()
    assert not any(is_there(int(path.name)) for path in tmp_path.iterdir())


def test_a_worker_whose_parent_was_killed_before_it_started_ends() -> None:
    import multiprocessing

    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    # No process has that number.
    worker = fork.Process(target=processes._serve, args=(square, theirs, 2**30))
    worker.start()
    worker.join(timeout=30)
    worker.kill()
    assert worker.exitcode == 1
    ours.close()
    theirs.close()


def test_chunks_count_their_items(tmp_path: Path) -> None:
    assert len(list(run_chunks(len, "abcdefg", chunk=3, workers=1, caller="stitch"))) == 7  # type: ignore[arg-type]


def test_chunks_go_through_fresh_processes() -> None:
    done = list(run_chunks(len, "abcdefg", chunk=3, workers=2, caller="stitch"))  # type: ignore[arg-type]
    assert len(done) == 7

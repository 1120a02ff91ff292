"""Work in several processes that a killed one can't stop; without numpy, as it must start at once.

Python's own pools share a queue and its locks among their processes: one that is killed while it
holds a lock leaves the others, and the program, waiting for ever. Here each process has a pipe of its own
and shares nothing, and takes one task at a time. What a killed one leaves in its pipe ends with it.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from signseq.errors import DataError

__all__ = [
    "ProcessKilledError",
    "end_with",
    "open_result",
    "run_chunks",
    "run_tasks",
    "work_off",
]

logger = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")
WATCH_SECONDS = 0.2  # between a worker's looks at whether its parent is still there


class ProcessKilledError(Exception):
    """A process was ended from outside, or could not start.

    Attributes:
        task: The number of the task it was at; None if it never started.
    """

    def __init__(self, task: int | None) -> None:
        super().__init__(task)
        self.task = task


@dataclass(frozen=True)
class _Task(Generic[T]):
    number: int
    content: T
    kills: int = 0  # processes that were killed while they were at it


@dataclass
class _Worker(Generic[T]):
    process: BaseProcess
    pipe: Connection
    has_started: bool = False
    task: _Task[T] | None = None


def run_tasks(
    work: Callable[[T], R],
    tasks: Iterable[T],
    *,
    workers: int,
    start_method: str | None = None,
    restarts: int = 0,
) -> Generator[tuple[int, R], None, None]:
    """Work on tasks in several processes, and yield number and result of each as it is done.

    A task is taken from the iterable only when a process is free. All processes end with the run,
    also where it is closed, fails or is killed.

    Args:
        work: Given a task; what it raises is raised here.
        tasks: What to work on.
        workers: Processes.
        start_method: As multiprocessing calls it; None means the system's own.
        restarts: How often a task is begun anew, in a fresh process, when its process is killed.

    Raises:
        ProcessKilledError: If a process was ended from outside once too often, or could not start.
    """
    context = multiprocessing.get_context(start_method)
    waiting, again = enumerate(tasks), deque[_Task[T]]()
    pool: list[_Worker[T]] = []
    try:
        pool.extend(_start(context, work) for _ in range(workers))
        while True:
            for worker in pool:
                if worker.has_started and worker.task is None:
                    _hand_out(worker, again, waiting)
            if all(worker.has_started and worker.task is None for worker in pool):
                return
            places: dict[Any, _Worker[T]] = {worker.pipe: worker for worker in pool}
            places |= {worker.process.sentinel: worker for worker in pool}
            heard = {id(places[place]): places[place] for place in wait(list(places))}
            for worker in heard.values():
                message = _receive(worker)
                if message is None:
                    pool.remove(worker)
                    again.extend(_bury(worker, restarts))
                    pool.append(_start(context, work))
                elif worker.task is None:
                    worker.has_started = True
                else:
                    number, worker.task = worker.task.number, None
                    yield number, open_result(message)
    finally:
        with _ctrl_c_ignored():  # else a second one leaves workers that nobody waits for
            for worker in pool:
                worker.process.kill()
            for worker in pool:
                worker.process.join()
                worker.pipe.close()


def _start(context: BaseContext, work: Callable[[T], R]) -> _Worker[T]:
    ours, theirs = context.Pipe()
    process = context.Process(  # type: ignore[attr-defined]  # typeshed knows it of the kinds of context only
        target=_serve, args=(work, theirs, os.getpid()), daemon=True
    )
    process.start()
    theirs.close()  # so that the pipe ends with the process
    return _Worker(process, ours)


def _hand_out(worker: _Worker[T], again: deque[_Task[T]], waiting: Iterator[tuple[int, T]]) -> None:
    if again:
        worker.task = again.popleft()
    else:
        worker.task = next((_Task(number, content) for number, content in waiting), None)
    if worker.task is not None:
        with suppress(OSError):  # it was killed just now, as its pipe will tell
            worker.pipe.send(worker.task.content)


def _receive(worker: _Worker[T]) -> bytes | None:
    """What a worker says, at first that it has started; None if it is gone, perhaps in the middle of a word."""
    try:
        return worker.pipe.recv_bytes() if worker.pipe.poll() else None
    except (EOFError, OSError):
        return None


def _bury(worker: _Worker[T], restarts: int) -> list[_Task[T]]:
    """Clear up after a killed worker; its task, if it may be begun anew.

    Raises:
        ProcessKilledError: If it may not.
    """
    worker.process.kill()  # if it only closed its pipe
    worker.process.join()
    worker.pipe.close()
    if not worker.has_started:
        raise ProcessKilledError(None)
    if worker.task is None:
        return []
    if worker.task.kills == restarts:
        raise ProcessKilledError(worker.task.number)
    logger.warning(
        "A process was killed (exit code %s); perhaps memory ran out. Its task goes on in a fresh one.",
        worker.process.exitcode,
    )
    return [_Task(worker.task.number, worker.task.content, worker.task.kills + 1)]


def _serve(work: Callable[[T], R], pipe: Connection, parent: int) -> None:
    """What a worker does: task after task, until its pipe or its parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    # Whose child it is, it is told: a parent killed just now has left it to another already.
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    with suppress(EOFError, OSError):  # the parent is gone
        pipe.send_bytes(b"started")
        while True:
            pipe.send_bytes(work_off(work, pipe.recv()))


def work_off(work: Callable[[T], R], task: T) -> bytes:
    """Work on a task; its result, or what it raised, for `open_result`."""
    try:
        return pickle.dumps((False, work(task)))
    except Exception as fault:
        return _pack_fault(fault)


def open_result(message: bytes) -> Any:
    """What a task gave; raises what it raised."""
    has_failed, outcome = pickle.loads(message)
    if has_failed:
        raise outcome
    return outcome


def _pack_fault(fault: Exception) -> bytes:
    """An exception as it can be raised again in the parent, with a note of where it came from."""
    fault.add_note("In a worker process:\n" + "".join(traceback.format_exception(fault)))
    try:
        message = pickle.dumps((True, fault))
        pickle.loads(message)
    except Exception:  # some can be pickled, but not read again
        return pickle.dumps((True, RuntimeError(f"{type(fault).__name__}: {fault}")))
    return message


def end_with(parent: int) -> None:
    """A worker outlives a killed parent, and would keep its lock."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does, and only it gets Ctrl-C
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def run_chunks(
    work: Callable[[Sequence[T]], None],
    items: Sequence[T],
    *,
    chunk: int,
    workers: int,
    caller: str,
) -> Iterator[None]:
    """Work on all items, and yield once for each that is done.

    Args:
        work: Given some of the items; what it raises ends the run.
        items: What to work on.
        chunk: How many a process gets at a time.
        workers: Processes; more than one are started afresh, so a script needs a main guard.
        caller: The public function that is running, for the message.

    Raises:
        DataError: If a process was ended from outside, or could not start.
    """
    if workers <= 1:
        for item in items:
            work([item])
            yield
        return
    chunks = [items[start : start + chunk] for start in range(0, len(items), chunk)]
    try:
        with closing(run_tasks(work, chunks, workers=workers, start_method="spawn")) as done:
            for number, _ in done:
                yield from (None for _ in chunks[number])
    except ProcessKilledError as fault:
        raise DataError(
            "A process that composed poses was ended from outside, or could not start. "
            f"Call {caller} below `if __name__ == '__main__':`, or with workers=1."
        ) from fault

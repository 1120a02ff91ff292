"""One video at a time in each of several processes; one that makes its process crash costs itself, not the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain
from typing import TypeVar

from signseq.data.processes import ProcessKilledError, run_tasks
from signseq.errors import DataError

__all__ = ["run_each"]

RESTARTS = 1  # memory that ran out, for one, may be there the next time

T = TypeVar("T")
R = TypeVar("R")


def run_each(
    work: Callable[[T], R], items: Iterable[T], *, workers: int, apart: bool = False
) -> Iterator[tuple[T, R | None]]:
    """Work on every item, and yield it with its result as soon as that is there.

    Args:
        work: What it raises ends the run. In other processes it must be found by its name.
        items: What to work on; one is taken when a process is free for it.
        workers: Processes; one works in this process. More are started afresh, so a script needs a main guard.
        apart: Whether a single one is started afresh too, so that its end isn't that of this process.

    Yields:
        An item and its result; None where its process was ended from outside, and again when it was begun anew.

    Raises:
        DataError: If no process can be started.
    """
    if workers <= 1 and not apart:
        for item in items:
            yield item, work(item)
        return
    source, again = iter(items), list[T]()
    while True:
        taken, done = list[T](), set[int]()

        def take(first: list[T], taken: list[T]) -> Iterator[T]:
            for item in chain(first, source):
                taken.append(item)
                yield item

        # Fresh processes: a landmarker's threads don't survive a fork.
        results = run_tasks(
            work, take(again, taken), workers=workers, start_method="spawn", restarts=RESTARTS
        )
        try:
            with closing(results):
                for number, result in results:
                    done.add(number)
                    yield taken[number], result
            return
        except ProcessKilledError as fault:
            if fault.task is None:
                raise DataError(
                    "No process could be started to work on videos. If a script of yours called this, call it below "
                    "`if __name__ == '__main__':`; with workers=1 only a run that goes on after a crash needs it."
                ) from fault
            done.add(fault.task)
            yield taken[fault.task], None
            again = [item for number, item in enumerate(taken) if number not in done]

"""Work on many small things in several processes, in order; without numpy, as it must start at once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from signseq.errors import DataError

__all__ = ["run_chunks"]

T = TypeVar("T")


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
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        try:
            for done, _ in zip(chunks, pool.map(work, chunks), strict=True):
                yield from (None for _ in done)
        except BrokenProcessPool as fault:
            raise DataError(
                "A process that composed poses was ended from outside, or could not start. "
                f"Call {caller} below `if __name__ == '__main__':`, or with workers=1."
            ) from fault
        finally:
            pool.shutdown(cancel_futures=True)

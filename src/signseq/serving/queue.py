"""The queue in front of a model: clips of several clients become batches, answers go back to each.

Its state lives on the event loop, so it needs no locks; only the model runs in a thread of its own.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from signseq.serving.choosing import Options, Turns, choose, choose_to_drop
from signseq.serving.faults import (
    LONGEST_RETRY,
    QueueFullError,
    SupersededError,
    explain_memory,
    not_ready,
)

__all__ = ["BatchQueue", "Options", "Watcher"]

logger = logging.getLogger(__name__)
ClipT = TypeVar("ClipT")
AnswerT = TypeVar("AnswerT")
SMOOTHING = 0.3  # of the mean seconds that a batch takes


class Watcher(Protocol):
    """Who wants to know what the queue does; the metrics do."""

    def waited(self, seconds: float) -> None:
        """A clip has left the queue for a batch."""

    def ran(self, clips: int, seconds: float) -> None:
        """A batch was translated."""


@dataclass(eq=False)
class _Waiting(Generic[ClipT, AnswerT]):
    """A clip in the queue, and the future that its client awaits."""

    clip: ClipT
    length: int
    options: Options
    client: object
    stream: object | None
    is_partial: bool
    turn: int
    answer: asyncio.Future[tuple[AnswerT, float, float]]
    since: float = field(default_factory=time.monotonic)


class BatchQueue(Generic[ClipT, AnswerT]):
    """Batches clips for one model.

    A batch starts when as many clips wait as it may hold, or no more are to be expected: none is announced,
    and as many have come as the last batch held and left. For announced ones the oldest clip waits
    `max_wait_ms` at most, for expected ones the model does. So clients that ask again as soon as they are
    answered fill a batch, and a lone one waits for nobody. Clips are batched with those of similar length
    that ask for the same `Options`. Clients take turns: many clips of one don't hold up the clip of another.
    If a batch fails, its clips are tried one by one.

    Args:
        run: Translates a batch, in the worker's thread; one answer per clip, in order.
        length: How long a clip is, in frames.
        batch_size: The most clips of a batch.
        max_wait_ms: The longest wait for others.
        queue_size: The most clips that wait.
        watcher: Is told what happens.
    """

    def __init__(
        self,
        run: Callable[[Sequence[ClipT], Options], Sequence[AnswerT]],
        *,
        length: Callable[[ClipT], int],
        batch_size: int,
        max_wait_ms: float,
        queue_size: int,
        watcher: Watcher | None = None,
    ) -> None:
        self._run, self._length, self._watcher = run, length, watcher
        self._batch_size, self._max_wait = batch_size, max_wait_ms / 1000
        self._queue_size = queue_size
        self._waiting: list[_Waiting[ClipT, AnswerT]] = []
        self._announced, self._turns = 0, Turns()
        self._changed = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="signseq-model")
        self._worker: asyncio.Task[None] | None = None
        self._batch_seconds = 0.0
        self._running_since: float | None = None
        self._free_since, self._expected, self._in_thread = 0.0, 0, 0
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def start(self) -> None:
        """Begin to work; to be called on the event loop."""
        self._worker = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Stop: what still waits or runs is answered with 503; nobody waits for a running batch."""
        self._is_closed = True
        if self._worker is not None:
            self._worker.cancel()
            with suppress(asyncio.CancelledError):
                await self._worker
        for entry in self._waiting:
            self._fail(entry, not_ready("The server is shutting down.", code="shutting_down"))
        self._waiting.clear()
        self._thread.shutdown(wait=False, cancel_futures=True)

    @property
    def is_running(self) -> bool:
        """Whether the model is at work, even if nobody waits for it any more."""
        return self._in_thread > 0

    def answers(self, *, patience: float) -> bool:
        """Whether the worker lives and its batch hasn't been running for more than `patience` seconds."""
        if self._worker is None or self._worker.done():
            return False
        since = self._running_since
        return since is None or time.monotonic() - since < patience

    @contextmanager
    def announce(self) -> Iterator[None]:
        """Say that a clip is being made ready: worth waiting for, up to `max_wait_ms`."""
        self._announced += 1
        try:
            yield
        finally:
            self._announced -= 1
            self._changed.set()

    async def submit(
        self,
        clip: ClipT,
        options: Options,
        *,
        client: object = None,
        is_partial: bool = False,
        stream: object | None = None,
    ) -> tuple[AnswerT, float, float]:
        """Translate a clip with others; if the caller is cancelled, the clip leaves the queue.

        Args:
            clip: What `run` takes.
            options: What must be equal in a batch.
            client: Whose clip it is: clients take turns, and none of their clips is passed by a later one of theirs.
            is_partial: Of a clip that still grows: comes after all complete ones.
            stream: What it is part of; its waiting partials are superseded.

        Returns:
            The answer, the seconds in the queue and the seconds in the model.

        Raises:
            QueueFullError: If too many wait.
            SupersededError: If a newer clip of the same stream has come.
            ServiceError: If the queue is closed, or the model has no memory for the clip.
        """
        if self._is_closed:
            raise not_ready("The server is shutting down.", code="shutting_down")
        if stream is not None:
            self._supersede(stream)
        if len(self._waiting) >= self._queue_size:
            self._make_room(client, is_partial=is_partial)
        future: asyncio.Future[tuple[AnswerT, float, float]] = (
            asyncio.get_running_loop().create_future()
        )
        length, turn = self._length(clip), self._turns.find(client, self._waiting)
        entry = _Waiting(clip, length, options, client, stream, is_partial, turn, future)
        insort(self._waiting, entry, key=lambda other: other.turn)
        self._changed.set()
        try:
            return await future
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)

    def retry_after(self) -> int:
        """In how many seconds the clips that wait now are likely to be done."""
        batches = len(self._waiting) / self._batch_size + (self._running_since is not None)
        return min(max(1, math.ceil(batches * self._batch_seconds)), LONGEST_RETRY)

    def _supersede(self, stream: object) -> None:
        for entry in [e for e in self._waiting if e.is_partial and e.stream is stream]:
            self._waiting.remove(entry)
            self._fail(entry, SupersededError("A newer part of the stream has come."))

    def _make_room(self, client: object, *, is_partial: bool) -> None:
        dropped = None if is_partial else choose_to_drop(self._waiting, client)
        if dropped is None:
            raise QueueFullError(self.retry_after())
        self._waiting.remove(dropped)
        needed = SupersededError("The place was needed for a complete clip.")
        self._fail(dropped, needed if dropped.is_partial else QueueFullError(self.retry_after()))

    def _fail(self, entry: _Waiting[ClipT, AnswerT], fault: Exception) -> None:
        if not entry.answer.done():
            entry.answer.set_exception(fault)

    async def _work(self) -> None:
        while True:
            await self._wait_for_company()
            batch = choose(self._waiting, self._batch_size)
            for entry in batch:
                self._waiting.remove(entry)
            if batch:
                self._turns.count(batch)
                await self._answer(batch)

    async def _wait_for_company(self) -> None:
        """Until there is a batch worth running."""
        while True:
            self._changed.clear()
            if not self._waiting:
                await self._changed.wait()
                continue
            left = self._patience()
            if left <= 0:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)

    def _patience(self) -> float:
        """For how many more seconds the clips that wait should wait for others; not above 0: no longer."""
        until = 0.0
        if len(self._waiting) < min(self._expected, self._batch_size):
            until = self._free_since + self._max_wait
        if len(self._waiting) < self._batch_size and self._announced:
            oldest = min(entry.since for entry in self._waiting)
            until = max(until, oldest + self._max_wait)
        return until - time.monotonic()

    async def _answer(self, batch: Sequence[_Waiting[ClipT, AnswerT]]) -> None:
        begun = self._running_since = time.monotonic()
        try:
            found = await self._translate(batch)
        except asyncio.CancelledError:  # the grace of a shutdown is over
            for entry in batch:
                self._fail(entry, not_ready("The server is shutting down.", code="shutting_down"))
            raise
        finally:
            self._running_since = None
        self._free_since, self._expected = time.monotonic(), len(batch) + len(self._waiting)
        seconds = self._free_since - begun
        known = self._batch_seconds or seconds
        self._batch_seconds = known + SMOOTHING * (seconds - known)
        if self._watcher is not None:
            self._watcher.ran(len(batch), seconds)
        for entry, answer in zip(batch, found, strict=True):
            waited = begun - entry.since
            if self._watcher is not None:
                self._watcher.waited(waited)
            if isinstance(answer, Exception):
                self._fail(entry, answer)
            elif not entry.answer.done():
                entry.answer.set_result((answer, waited, seconds))

    async def _translate(
        self, batch: Sequence[_Waiting[ClipT, AnswerT]]
    ) -> Sequence[AnswerT | Exception]:
        """Each clip's answer, or why it has none."""
        try:
            return await self._run_in_thread(batch)
        except Exception as fault:
            if len(batch) == 1:
                return [explain_memory(fault)]
            logger.warning(
                "A batch of %d clips failed (%s); they are tried one by one.",
                len(batch),
                type(fault).__name__,
            )
        return [(await self._translate([entry]))[0] for entry in batch]

    async def _run_in_thread(self, batch: Sequence[_Waiting[ClipT, AnswerT]]) -> Sequence[AnswerT]:
        loop = asyncio.get_running_loop()
        clips = [entry.clip for entry in batch]
        found = await loop.run_in_executor(self._thread, self._work_on, clips, batch[0].options)
        if len(found) != len(clips):
            raise RuntimeError(f"{len(clips)} clips got {len(found)} answers")
        return found

    def _work_on(self, clips: Sequence[ClipT], options: Options) -> Sequence[AnswerT]:
        self._in_thread += 1
        try:
            return self._run(clips, options)
        finally:
            self._in_thread -= 1

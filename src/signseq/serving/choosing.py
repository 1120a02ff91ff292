"""Which of the waiting clips are translated together, and whose turn it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

__all__ = ["Options", "Turns", "choose", "choose_to_drop"]


@dataclass(frozen=True)
class Options:
    """What the clips of a batch have in common: how they are translated.

    Attributes:
        n_best: Sentences per clip.
        num_beams: None takes the checkpoint's.
        language: What to write; None takes the model's own.
    """

    n_best: int = 1
    num_beams: int | None = None
    language: str | None = None


class Waiting(Protocol):
    """What is known of a clip that waits."""

    @property
    def length(self) -> int:
        """In frames."""

    @property
    def options(self) -> Options:
        """How it is to be translated."""

    @property
    def client(self) -> object:
        """Whose it is; None is nobody in particular."""

    @property
    def is_partial(self) -> bool:
        """Whether the clip still grows."""

    @property
    def turn(self) -> int:
        """When it is due: see `Turns`."""


WaitingT = TypeVar("WaitingT", bound=Waiting)


def choose(waiting: Sequence[WaitingT], batch_size: int) -> list[WaitingT]:
    """The next batch: the first clip, and those most like it in length.

    Complete clips come before partial ones. No clip is passed by a later one of the same client
    that is complete (or partial) like it.

    Args:
        waiting: In the order in which they are due.
        batch_size: The most that a batch holds.
    """
    complete = [entry for entry in waiting if not entry.is_partial]
    partial = [entry for entry in waiting if entry.is_partial]
    if not waiting:
        return []
    lead = (complete or partial)[0]
    chosen = _nearest(lead, complete, batch_size)
    chosen += _nearest(lead, partial, batch_size - len(chosen))
    return chosen


def _nearest(lead: WaitingT, entries: Sequence[WaitingT], count: int) -> list[WaitingT]:
    """Those `count` that cost the least beside `lead`, in the order in which they came."""
    alike, held = [], set()
    for entry in entries:
        if entry.options == lead.options and entry.client not in held:
            alike.append(entry)
        elif entry.client is not None:
            held.add(entry.client)  # its later ones wait for this one
    taken = sorted(alike, key=lambda entry: (entry is not lead, abs(entry.length - lead.length)))
    chosen = {id(entry) for entry in taken[:count]}
    passed, kept = set(), []
    for entry in alike:
        if id(entry) in chosen and entry.client not in passed:
            kept.append(entry)
        elif entry.client is not None:
            passed.add(entry.client)
    return kept


class Turns:
    """When clips are due: clients take turns, also those that ask again as soon as they are answered."""

    def __init__(self) -> None:
        self._now = 0
        self._next: dict[object, int] = {}  # of clients that have had the present turn

    def find(self, client: object, waiting: Sequence[Waiting]) -> int:
        """When a new clip is due: behind its client's others, waiting and translated.

        Args:
            client: Whose it is.
            waiting: The others.
        """
        if client is None:
            return self._now
        own = [entry.turn + 1 for entry in waiting if entry.client == client]
        return max([self._now, self._next.get(client, 0), *own])

    def count(self, batch: Sequence[Waiting]) -> None:
        """Take note of what is translated now, the clip that leads first."""
        self._now = max(self._now, batch[0].turn)
        had = {entry.client: entry.turn + 1 for entry in batch if not entry.is_partial}
        known = {**self._next, **had}
        self._next = {client: turn for client, turn in known.items() if turn > self._now}


def choose_to_drop(waiting: Sequence[WaitingT], client: object) -> WaitingT | None:
    """Who makes room for a client's complete clip: a partial one, or the last of who has most.

    None if the client would then have more clips than who has most.
    """
    partial = next((entry for entry in waiting if entry.is_partial), None)
    counts = Counter(entry.client for entry in waiting if entry.client is not None)
    ((crowd, most),) = counts.most_common(1) or [(None, 0)]
    if partial is not None or most <= counts[client] + 1:
        return partial
    return [entry for entry in waiting if entry.client == crowd][-1]

"""Which of the waiting clips are translated together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

__all__ = ["Options", "choose"]


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


WaitingT = TypeVar("WaitingT", bound=Waiting)


def choose(waiting: Sequence[WaitingT], batch_size: int) -> list[WaitingT]:
    """The next batch: the oldest clip, and those most like it in length.

    Complete clips come before partial ones. No clip is passed by a later one of the same client
    that is complete (or partial) like it.

    Args:
        waiting: The oldest first.
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

"""What is known of the trials of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from signseq.sweeping.space import Values

__all__ = ["State", "TrialRecord", "ranked"]

State = Literal["running", "complete", "pruned", "failed"]


@dataclass(frozen=True)
class TrialRecord:
    """What is known of a trial.

    Attributes:
        number: From 0.
        state: How far it is.
        values: What it was given.
        scores: By evaluation, from 1.
        score: Its best, once it is complete.
        seconds: How long it took; of one that was interrupted, from its first start.
        attempts: How often it was started.
        futile: Of these starts the last ones, since it last got further; those that were stopped in
            order are no part of them.
        start_step: Of the checkpoint that it was last started from; 0 for none.
        reason: Why it failed.
    """

    number: int
    state: State
    values: Values
    scores: Mapping[int, float] = field(default_factory=dict)
    score: float | None = None
    seconds: float | None = None
    attempts: int = 1
    futile: int = 1
    start_step: int = 0
    reason: str | None = None


def ranked(records: Sequence[TrialRecord], *, maximize: bool) -> list[TrialRecord]:
    """The trials that are complete, the best first; of equal ones the earlier.

    Args:
        records: All trials.
        maximize: Whether higher scores are better.
    """
    complete = [record for record in records if record.score is not None]
    sign = -1 if maximize else 1
    return sorted(complete, key=lambda record: (sign * (record.score or 0.0), record.number))

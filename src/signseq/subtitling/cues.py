"""What is shown from when to when; every format of subtitles is written of these."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace

__all__ = ["Cue", "Subtitles", "clean", "in_order", "to_ms"]

SHORTEST = 0.001  # seconds: formats count in milliseconds


@dataclass(frozen=True)
class Cue:
    """A signed segment and its translation.

    Attributes:
        start: When it begins, in seconds.
        end: When it ends.
        text: The translation; None where none was asked for, empty where there is an error.
        score: Its log probability per token.
        alternatives: (text, score) of the n best, best first.
        error: Why it could not be translated.
        warnings: What may have spoilt it, in sentences.
    """

    start: float
    end: float
    text: str | None = None
    score: float | None = None
    alternatives: tuple[tuple[str, float], ...] = ()
    error: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def confidence(self) -> float | None:
        """The mean probability of a token (geometric), 0 to 1."""
        return None if self.score is None else math.exp(min(self.score, 0.0))


@dataclass(frozen=True)
class Subtitles:
    """All cues of a recording.

    Attributes:
        cues: In the order of time; none begins before the one before it ends.
        seconds: How long the recording lasts.
        fps: Its frames per second.
        recording: Its path, as it was given.
        checkpoint: The model's folder; None where nothing was translated.
        language: The language asked for, as it was given.
    """

    cues: tuple[Cue, ...]
    seconds: float
    fps: float
    recording: str
    checkpoint: str | None = None
    language: str | None = None


def in_order(cues: Iterable[Cue]) -> tuple[Cue, ...]:
    """Sort cues by time, and end each before the next one begins; texts become lines that can be written."""
    ordered = sorted(cues, key=lambda cue: (cue.start, cue.end))
    kept: list[Cue] = []
    for number, cue in enumerate(ordered):
        start = max(cue.start, kept[-1].end if kept else 0.0)
        after = ordered[number + 1].start if number + 1 < len(ordered) else math.inf
        end = max(min(cue.end, after), start + SHORTEST)
        text = None if cue.text is None else clean(cue.text)
        others = tuple((clean(other), score) for other, score in cue.alternatives)
        kept.append(replace(cue, start=start, end=end, text=text, alternatives=others))
    return tuple(kept)


def clean(text: str) -> str:
    """A text as one line without what files can't hold: control characters, half surrogate pairs.

    Marks of direction stay, so that text from right to left is shown as it was written.
    """
    kinds = (unicodedata.category(letter) for letter in text)
    swaps = {"Cc": " ", "Cs": "\ufffd"}
    letters = (swaps.get(kind, letter) for letter, kind in zip(text, kinds, strict=True))
    return " ".join("".join(letters).split())


def to_ms(seconds: float) -> int:
    """The whole millisecond nearest to a time."""
    return round(seconds * 1000)

"""What goes into a model, and what comes out: plain data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PackedClip", "Translation"]


@dataclass(frozen=True, eq=False)
class PackedClip:
    """One clip as a checkpoint's model reads it.

    Attributes:
        poses: float16 of shape (T, K, C + 1), after `step_frames` and `max_frames`.
        seconds: How long the clip lasts, what was cut included.
        warnings: What may spoil its translation, in sentences.
    """

    poses: NDArray[np.float16]
    seconds: float
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.poses)


@dataclass(frozen=True)
class Translation:
    """What one clip was translated to.

    Attributes:
        text: The best sentence; empty where there is an error.
        score: Its log probability per token (with `length_penalty` 1), 0 being certain.
        seconds: How long the clip lasts.
        alternatives: (text, score) of the n best, best first, `text` included.
        error: Why the clip could not be translated.
        warnings: What may have spoilt it, in sentences.
    """

    text: str
    score: float
    seconds: float
    alternatives: tuple[tuple[str, float], ...] = ()
    error: str | None = None
    warnings: tuple[str, ...] = ()

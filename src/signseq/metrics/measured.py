"""What every metric comes down to: numbers per text that are summed, and a score of the sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Measured", "mean", "ratio"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """A metric's sufficient statistics for N texts.

    Attributes:
        statistics: What each text adds, (N, S).
        score: Sums of statistics (M, S) to M scores; so resampling texts needs no text again.
        signature: How it was computed, so that it can be computed again.
        is_defined: False where the references allow no such score, as BLEU-4 of words.
    """

    statistics: Floats = field(repr=False)
    score: Callable[[Floats], Floats]
    signature: str
    is_defined: bool = True

    @property
    def total(self) -> float:
        """The score of all texts together."""
        return float(self.score(self.statistics.sum(axis=0, keepdims=True))[0])


def ratio(sums: Floats) -> Floats:
    """Errors per unit of the references in percent, of (M, 2); 100 where there are errors and no units."""
    errors, units = sums.T
    rates: Floats = np.divide(errors, units, out=(errors > 0).astype(np.float64), where=units > 0)
    return 100 * rates


def mean(sums: Floats) -> Floats:
    """Sums of values between 0 and 1, and how many: (M, 2) to percent."""
    values, counts = sums.T
    means: Floats = values / counts
    return 100 * means

"""Bootstrap and approximate randomisation on sums of statistics: thousands of test sets, no text read again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from signseq.metrics.measured import Floats, Measured

__all__ = [
    "RESAMPLES",
    "SEED",
    "TRIALS",
    "interval",
    "resampled_scores",
    "swapped_scores",
]

RESAMPLES = 1000  # of the bootstrap, as sacreBLEU
TRIALS = 10_000  # of approximate randomisation, likewise
SEED = 12345  # sacreBLEU's
CHUNK = 2**22  # numbers drawn at a time
BITS = 32  # of which numpy draws truth values; chunks of whole ones give the same as all at once


def _columns(
    measured: Mapping[str, Measured],
) -> tuple[Floats, dict[str, slice]]:
    """All statistics side by side, each array once, and where each metric's stand."""
    places: dict[int, slice] = {}
    arrays: list[Floats] = []
    width = 0
    for found in measured.values():
        if id(found.statistics) not in places:
            end = width + found.statistics.shape[1]
            places[id(found.statistics)] = slice(width, end)
            arrays.append(found.statistics)
            width = end
    return np.hstack(arrays), {
        name: places[id(found.statistics)] for name, found in measured.items()
    }


def _score_sums(
    measured: Mapping[str, Measured], weigh: Callable[[Floats], Iterator[Floats]]
) -> dict[str, Floats]:
    statistics, places = _columns(measured)
    sums = np.concatenate(list(weigh(statistics)))
    return {name: found.score(sums[:, places[name]]) for name, found in measured.items()}


def resampled_scores(
    measured: Mapping[str, Measured], *, resamples: int = RESAMPLES, seed: int = SEED
) -> dict[str, Floats]:
    """The scores of test sets drawn from this one with replacement, (M,) each.

    The same seed draws the same texts for every system, so that differences are paired, and the
    same texts that sacreBLEU draws.
    """

    def weigh(statistics: Floats) -> Iterator[Floats]:
        rng = np.random.default_rng(seed)
        texts = len(statistics)
        step = max(1, CHUNK // texts)
        for start in range(0, resamples, step):
            rows = min(step, resamples - start)
            drawn = rng.integers(texts, size=(rows, texts))
            drawn += np.arange(rows)[:, None] * texts
            times = np.bincount(drawn.ravel(), minlength=rows * texts).reshape(rows, texts)
            yield times.astype(np.float64) @ statistics

    return _score_sums(measured, weigh)


def swapped_scores(
    first: Mapping[str, Measured],
    second: Mapping[str, Measured],
    *,
    trials: int = TRIALS,
    seed: int = SEED,
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """The scores of two systems after each text's outputs were swapped or not, by chance: (M,) each."""
    texts = len(next(iter(first.values())).statistics)
    own, _ = _columns(first)
    other, _ = _columns(second)
    step = max(BITS, CHUNK // texts // BITS * BITS)

    def draw() -> Iterator[NDArray[np.float64]]:
        rng = np.random.default_rng(seed)
        for start in range(0, trials, step):
            rows = min(step, trials - start)
            yield rng.integers(2, size=(rows, texts), dtype=bool).astype(np.float64)

    kept = np.concatenate([keeps @ (own - other) for keeps in draw()])

    def scores(sums: Floats, measured: Mapping[str, Measured]) -> dict[str, Floats]:
        _, places = _columns(measured)
        return {name: found.score(sums[:, places[name]]) for name, found in measured.items()}

    return (
        scores(kept + other.sum(axis=0), first),
        scores(own.sum(axis=0) - kept, second),
    )


def interval(scores: Floats) -> tuple[float, float]:
    """The middle 95% of resampled scores, cut where sacreBLEU cuts."""
    ordered = np.sort(scores)
    cut = len(ordered) // 40
    return float(ordered[cut]), float(ordered[len(ordered) - cut - 1])

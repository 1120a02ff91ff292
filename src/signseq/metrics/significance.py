"""Whether two systems differ by more than chance: paired tests on the same clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from signseq.metrics.measured import Floats, Measured
from signseq.metrics.resampling import (
    RESAMPLES,
    SEED,
    TRIALS,
    interval,
    resampled_scores,
    swapped_scores,
)

__all__ = ["LEVEL", "Difference", "compare_paired", "mean_intervals"]

LEVEL = 0.05  # p-values below it tell systems apart


@dataclass(frozen=True)
class Difference:
    """How a system's score differs from another's.

    Attributes:
        difference: Its score less the other's.
        interval: 95% of the differences on resampled test sets.
        p_bootstrap: How likely chance gives a difference as large, by paired bootstrap.
        p_randomization: The same by paired approximate randomisation; None where the systems have
            different numbers of runs.
    """

    difference: float
    interval: tuple[float, float]
    p_bootstrap: float
    p_randomization: float | None

    @property
    def is_significant(self) -> bool:
        """Whether both tests tell the systems apart at 95%."""
        return self.difference != 0 and max(self.p_bootstrap, self.p_randomization or 0.0) < LEVEL


def compare_paired(
    baseline: Sequence[Mapping[str, Measured]],
    system: Sequence[Mapping[str, Measured]],
    *,
    resamples: int = RESAMPLES,
    trials: int = TRIALS,
    seed: int = SEED,
) -> dict[str, Difference]:
    """Test a system against a baseline, metric by metric.

    Each may have several runs, as with several seeds; then its score is their mean. Both tests
    draw as sacreBLEU does, so p-values for BLEU, chrF and TER of single runs are sacreBLEU's own.

    Args:
        baseline: Statistics of each run by metric, for the same texts in the same order.
        system: The same.
        resamples: Of the bootstrap.
        trials: Of approximate randomisation.
        seed: Of both.
    """
    names = [name for name, found in baseline[0].items() if found.is_defined]
    if not names:
        return {}
    runs = [[{name: run[name] for name in names} for run in side] for side in (baseline, system)]
    totals = [{name: np.mean([run[name].total for run in side]) for name in names} for side in runs]
    drawn = [
        _mean_scores([resampled_scores(run, resamples=resamples, seed=seed) for run in side])
        for side in runs
    ]
    swapped: list[dict[str, Floats]] | None = None
    if len(baseline) == len(system):
        pairs = [
            swapped_scores(first, second, trials=trials, seed=seed)
            for first, second in zip(*runs, strict=True)
        ]
        swapped = [_mean_scores([pair[side] for pair in pairs]) for side in (0, 1)]
    found = {}
    for name in names:
        difference = float(totals[1][name] - totals[0][name])
        differences = drawn[1][name] - drawn[0][name]
        absolute = np.abs(differences)
        found[name] = Difference(
            difference,
            interval(differences),
            _p_value(absolute - absolute.mean(), abs(difference)),
            None
            if swapped is None
            else _p_value(np.abs(swapped[0][name] - swapped[1][name]), abs(difference)),
        )
    return found


def mean_intervals(
    runs: Sequence[Mapping[str, Measured]], *, resamples: int = RESAMPLES, seed: int = SEED
) -> dict[str, tuple[float, float]]:
    """A 95% confidence interval for the mean score of a system's runs, for each metric that is defined."""
    defined = [{name: found for name, found in run.items() if found.is_defined} for run in runs]
    if not defined[0]:
        return {}
    drawn = [resampled_scores(run, resamples=resamples, seed=seed) for run in defined]
    return {name: interval(values) for name, values in _mean_scores(drawn).items()}


def _mean_scores(runs: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    return {name: np.mean([run[name] for run in runs], axis=0) for name in runs[0]}


def _p_value(chance: Floats, difference: float) -> float:
    """Share of what chance gives that exceeds a difference, one added on both sides.

    Source: multeval and sacreBLEU, whose rule that only a larger difference counts would give a
    system against itself 1 / (n + 1); here it gets 1.
    """
    if difference == 0:
        return 1.0
    return (float(np.sum(chance > difference)) + 1) / (len(chance) + 1)

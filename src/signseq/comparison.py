"""`signseq compare`: whether one system is better than another, on the same clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import mean, stdev
from typing import Any

import numpy as np

from signseq.errors import DataError
from signseq.grouping import Groups
from signseq.metrics import ERRORS, choose_tokenizer, find_metrics, gather_texts, measure
from signseq.metrics.measured import Measured
from signseq.metrics.resampling import RESAMPLES, SEED, TRIALS
from signseq.metrics.significance import Difference, compare_paired, mean_intervals
from signseq.predictions import Predictions

__all__ = [
    "DEFAULT_METRICS",
    "Comparison",
    "Spread",
    "SystemScore",
    "compare",
]

DEFAULT_METRICS = ("bleu4", "chrf", "ter", "rouge_l", "wer", "cer", "exact_match")
FEWEST = 2  # clips that can be resampled

Runs = list[dict[str, Measured]]


@dataclass(frozen=True)
class Spread:
    """A system's scores over its runs: their mean, sample standard deviation, least and most."""

    mean: float
    deviation: float
    least: float
    most: float


@dataclass(frozen=True)
class SystemScore:
    """A system's score in one metric.

    Attributes:
        score: Mean over its runs.
        interval: 95% confidence interval of that mean on such clips.
        spread: Over runs; None of a single one.
        difference: From the baseline; None of the baseline itself.
        verdict: The same in words; empty for the baseline.
    """

    score: float
    interval: tuple[float, float]
    spread: Spread | None
    difference: Difference | None
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """What `compare` found; the first system is the baseline.

    Attributes:
        systems: Names, and the runs of each.
        count: Clips.
        scores: By metric, then by system.
        signatures: Of each metric.
        normalize: What was done to the texts before.
        tokenize: BLEU's tokenizer.
        groups: Clips of each group and the scores on them, as `count` and `scores`.
        settings: Resamples, trials and seed of the tests.
    """

    systems: dict[str, list[str]]
    count: int
    scores: dict[str, dict[str, SystemScore]]
    signatures: dict[str, str]
    normalize: str
    tokenize: str
    groups: dict[str, Comparison] = field(default_factory=dict)
    settings: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values, for JSON."""
        return asdict(self)


def compare(
    systems: Mapping[str, Sequence[Predictions]],
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    normalize: str = "none",
    tokenize: str = "auto",
    language: str | None = None,
    groups: Groups | None = None,
    resamples: int = RESAMPLES,
    trials: int = TRIALS,
    seed: int = SEED,
) -> Comparison:
    """Compare systems with the first one, on all clips and in groups.

    Args:
        systems: Runs of each by name, as `read_systems` gives them: of the same clips, in the same
            order.
        metrics: See `signseq.metrics.score`, also for the next three.
        normalize: What is done to the texts before.
        tokenize: BLEU's tokenizer.
        language: Of the texts.
        groups: Numbers of clips by the group's name.
        resamples: Of the bootstrap.
        trials: Of approximate randomisation.
        seed: Of both.

    Raises:
        ConfigError: If a metric, normalisation or tokenizer is unknown.
        DataError: If there are too few clips, or a reference is empty.
    """
    first = next(iter(systems.values()))[0]
    references = first.references
    empty = [uid for uid, text in zip(first.uids, references, strict=True) if not text.strip()]
    if empty:
        raise DataError(
            f"{first.name}: {len(empty)} of {len(references)} references are empty, the first that of {empty[0]!r}; a "
            "clip without a text can't be scored."
        )
    tokenizer = choose_tokenizer(tokenize, references, language=language)
    names = find_metrics(metrics)
    measured: dict[str, Runs] = {
        name: [
            measure(
                gather_texts(run.hypotheses, [run.references], normalize=normalize),
                tokenize=tokenizer,
                metrics=names,
            )
            for run in runs
        ]
        for name, runs in systems.items()
    }
    if len(references) < FEWEST:
        raise DataError(f"{len(references)} clip can't tell systems apart; {FEWEST} are the least.")
    settings = {"resamples": resamples, "trials": trials, "seed": seed}
    facts: dict[str, Any] = {
        "systems": {name: [run.name for run in runs] for name, runs in systems.items()},
        "signatures": {
            name: found.signature for name, found in next(iter(measured.values()))[0].items()
        },
        "normalize": normalize,
        "tokenize": tokenizer,
        "settings": settings,
    }
    parts = {
        name: Comparison(
            count=len(clips), scores=_compare_measured(_only(measured, clips), **settings), **facts
        )
        for name, clips in (groups or {}).items()
        if len(clips) >= FEWEST
    }
    return Comparison(
        count=len(references), scores=_compare_measured(measured, **settings), groups=parts, **facts
    )


def _only(measured: Mapping[str, Runs], clips: Sequence[int]) -> dict[str, Runs]:
    """The same statistics of some clips; metrics that share an array go on sharing it."""

    def chosen(run: Mapping[str, Measured]) -> dict[str, Measured]:
        parts = {id(found.statistics): found.statistics[np.array(clips)] for found in run.values()}
        return {
            name: Measured(
                parts[id(found.statistics)], found.score, found.signature, found.is_defined
            )
            for name, found in run.items()
        }

    return {name: [chosen(run) for run in runs] for name, runs in measured.items()}


def _compare_measured(
    measured: Mapping[str, Runs], *, resamples: int, trials: int, seed: int
) -> dict[str, dict[str, SystemScore]]:
    baseline, *others = measured
    intervals = {
        name: mean_intervals(runs, resamples=resamples, seed=seed)
        for name, runs in measured.items()
    }
    differences = {
        name: compare_paired(
            measured[baseline], measured[name], resamples=resamples, trials=trials, seed=seed
        )
        for name in others
    }
    found: dict[str, dict[str, SystemScore]] = {}
    for metric in intervals[baseline]:
        values = {name: [run[metric].total for run in runs] for name, runs in measured.items()}
        found[metric] = {
            name: SystemScore(
                mean(values[name]),
                intervals[name][metric],
                _spread(values[name]),
                None if name == baseline else differences[name][metric],
                ""
                if name == baseline
                else _verdict(
                    metric, baseline, differences[name][metric], values[baseline], values[name]
                ),
            )
            for name in measured
        }
    return found


def _spread(values: Sequence[float]) -> Spread | None:
    several = len(values) > 1
    return Spread(mean(values), stdev(values), min(values), max(values)) if several else None


def _verdict(
    metric: str, baseline: str, found: Difference, own: Sequence[float], other: Sequence[float]
) -> str:
    """Better or worse only where both tests say so, and no run of the one reaches into the other's."""
    if not found.is_significant:
        return f"not distinguishable from {baseline} at 95%"
    is_better = (found.difference < 0) == (metric in ERRORS)
    word = "better" if is_better else "worse"
    if max(len(own), len(other)) > 1 and max(min(own), min(other)) <= min(max(own), max(other)):
        return f"{word} than {baseline} on average at 95%, but their seeds overlap"
    return f"{word} than {baseline} at 95%"

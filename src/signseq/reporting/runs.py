"""What a run folder, or a table of predictions, has for a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from signseq.config import Config, load_config
from signseq.errors import DataError, SignSeqError
from signseq.metrics import score
from signseq.metrics.resampling import RESAMPLES
from signseq.predictions import Predictions
from signseq.training.tracking.curves import read_log

__all__ = ["Run", "read_run"]


@dataclass(frozen=True)
class Run:
    """One run as the report shows it.

    Attributes:
        name: What it is called.
        folder: Where its checkpoint is; None of a table of predictions.
        predictions: Its outputs, in the order of the first run's clips.
        scores: What `scores.json` says, or the scores alone where there is none.
        log: Entries of `metrics.jsonl`; may be empty.
        config: None where it isn't known.
        notes: What is missing, and why.
    """

    name: str
    folder: Path | None
    predictions: Predictions = field(repr=False)
    scores: Mapping[str, Any] = field(repr=False)
    log: list[dict[str, Any]] = field(repr=False)
    config: Config | None = field(repr=False)
    notes: tuple[str, ...] = ()


def read_run(name: str, place: Path, *, predictions: Predictions, split: str) -> Run:
    """Gather a run's scores, log and config.

    Args:
        name: For headings.
        place: A run folder, or a table.
        predictions: What was read of it.
        split: Whose scores.

    Raises:
        DataError: If `scores.json` is damaged.
    """
    if not place.is_dir():
        return Run(name, None, predictions, _score(predictions, None), [], None)
    notes = []
    config: Config | None = None
    if (place / "config.yaml").exists():
        try:
            config = load_config(place / "config.yaml")
        except SignSeqError as fault:
            notes.append(f"Its config can't be read, so its poses are not shown: {fault}")
    else:
        notes.append("There is no config.yaml in its folder, so its poses are not shown.")
    path = place / ("scores.json" if split == "test" else f"scores_{split}.json")
    scores = _read_scores(path)
    if scores is None or scores.get("count") != len(predictions.hypotheses):
        scores = _score(predictions, config)
        option = "" if split == "test" else f" --split {split}"
        notes.append(
            f"There is no fitting {path.name}: the scores were computed for this report, without controls. "
            f"For these: signseq evaluate {place}{option}"
        )
    return Run(name, place, predictions, scores, read_log(place), config, tuple(notes))


def _read_scores(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise DataError(
            f"{path}: can't be read ({fault}). Make it anew: signseq evaluate."
        ) from fault
    if not isinstance(found, dict):
        raise DataError(f"{path}: expected a JSON object. Make it anew: signseq evaluate.")
    return found


def _score(predictions: Predictions, config: Config | None) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if config is not None:
        settings = {
            "normalize": config.evaluation.normalize,
            "tokenize": config.evaluation.tokenize,
            "language": config.data.target_language,
        }
    found = score(predictions.hypotheses, predictions.references, resamples=RESAMPLES, **settings)
    return found.as_dict()

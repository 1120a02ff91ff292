"""The outcome of an evaluation: as files in the run folder, and as a table on the screen."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from signseq.errors import CheckpointError
from signseq.metrics import METRICS, Scores
from signseq.score_findings import Losses, Outputs, Overlap, describe_losses

__all__ = ["Evaluation", "format_scores", "write_evaluation"]

# As many as fit a terminal's width; the file has them all
SHOWN = ("bleu1", "bleu2", "bleu3", "bleu4", "chrf", "rouge_l", "wer", "cer", "exact_match")
LEARNED = ("bleurt", "comet")
INTERVAL = "  half of its 95% interval"


@dataclass(frozen=True)
class Evaluation:
    """The outcome of `evaluate`.

    Attributes:
        split: What was scored.
        scores: The model's.
        blind: The same for each baseline that can't see the poses.
        uids: N.
        references: N texts.
        hypotheses: N texts.
        folder: Where the files were written.
        controls: Scores with poses that were changed, but can be seen.
        losses: What the model loses under each control; empty where nothing was tested.
        outputs: What its outputs are like.
        overlap: References that occur in training; None where those texts aren't known.
        warnings: What spoils the scores, in plain words.
    """

    split: str
    scores: Scores
    blind: dict[str, Scores]
    uids: list[str] = field(repr=False)
    references: list[str] = field(repr=False)
    hypotheses: list[str] = field(repr=False)
    folder: Path
    controls: dict[str, Scores] = field(default_factory=dict)
    losses: Losses = field(default_factory=dict)
    outputs: Outputs | None = None
    overlap: Overlap | None = None
    warnings: list[str] = field(default_factory=list)


def write_evaluation(evaluation: Evaluation) -> None:
    """Write predictions and scores into the run's folder.

    Raises:
        CheckpointError: If they can't be written.
    """
    suffix = _suffix(evaluation)
    facts: dict[str, Any] = {
        "split": evaluation.split,
        **evaluation.scores.as_dict(),
        "blind": {name: scores.as_dict() for name, scores in evaluation.blind.items()},
        "controls": {name: scores.as_dict() for name, scores in evaluation.controls.items()},
        "losses": {
            name: {metric: asdict(difference) for metric, difference in found.items()}
            for name, found in evaluation.losses.items()
        },
        "outputs": asdict(evaluation.outputs) if evaluation.outputs else None,
        "training_overlap": _overlap_facts(evaluation.overlap),
        "warnings": evaluation.warnings,
    }
    table = io.StringIO()
    writer = csv.writer(table, delimiter="\t", lineterminator="\n")
    writer.writerow(("uid", "reference", "hypothesis"))
    writer.writerows(
        zip(evaluation.uids, evaluation.references, evaluation.hypotheses, strict=True)
    )
    try:
        _write_whole(evaluation.folder / f"predictions{suffix}.tsv", table.getvalue())
        text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
        _write_whole(evaluation.folder / f"scores{suffix}.json", text)
    except OSError as fault:
        raise CheckpointError(
            f"{evaluation.folder}: the scores can't be written ({fault.strerror})."
        ) from fault


def _overlap_facts(overlap: Overlap | None) -> dict[str, Any] | None:
    if overlap is None:
        return None
    return {
        "count": overlap.count,
        "share": overlap.share,
        "seen": overlap.seen.as_dict() if overlap.seen else None,
        "unseen": overlap.unseen.as_dict() if overlap.unseen else None,
    }


def _suffix(evaluation: Evaluation) -> str:
    return "" if evaluation.split == "test" else f"_{evaluation.split}"


def _write_whole(path: Path, text: str) -> None:
    """Write aside and rename: a full disk leaves the earlier file as it was."""
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_text(text, encoding="utf-8", newline="")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def format_scores(evaluation: Evaluation) -> str:
    """The scores as a table for the terminal: the model first, the blind baselines below it."""
    names = [*SHOWN, *(name for name in LEARNED if name in evaluation.scores.signatures)]
    titles = [METRICS[name] for name in names]
    rows = {"model": evaluation.scores} | {
        f"blind: {name}": scores for name, scores in evaluation.blind.items()
    }
    rows |= {f"control: {name}": scores for name, scores in evaluation.controls.items()}
    header = f"{evaluation.split}, {evaluation.scores.count} clips"
    width = max(map(len, (header, *rows, INTERVAL)))
    lines = [header.ljust(width) + "".join(f"{title:>9}" for title in titles)]
    for name, scores in rows.items():
        values = (getattr(scores, metric) for metric in names)
        lines.append(
            name.ljust(width)
            + "".join(f"{'n/a' if value is None else f'{value:.2f}':>9}" for value in values)
        )
        if scores.intervals:
            ends = [scores.intervals.get(metric) for metric in names]
            halves = ("" if pair is None else f"±{(pair[1] - pair[0]) / 2:.2f}" for pair in ends)
            lines.append(INTERVAL.ljust(width) + "".join(f"{half:>9}" for half in halves))
    lines += describe_losses(evaluation.losses)
    lines += [f"warning: {warning}" for warning in evaluation.warnings]
    if evaluation.scores.bleu4 is None:
        lines.append(
            "n/a: no reference has that many words, so this BLEU is 0 by definition; look at CER and exact."
        )
    lines.append(
        f"normalize: {evaluation.scores.normalize}; more scores and signatures are in scores{_suffix(evaluation)}.json"
    )
    lines.append(f"sacreBLEU signature: {evaluation.scores.signatures['bleu4']}")
    return "\n".join(lines)

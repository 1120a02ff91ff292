"""The outcome of an evaluation: as files in the run folder, and as a table on the screen."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from signseq.errors import CheckpointError
from signseq.metrics import Scores

__all__ = ["Evaluation", "format_scores", "write_evaluation"]


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
    """

    split: str
    scores: Scores
    blind: dict[str, Scores]
    uids: list[str] = field(repr=False)
    references: list[str] = field(repr=False)
    hypotheses: list[str] = field(repr=False)
    folder: Path


def write_evaluation(evaluation: Evaluation) -> None:
    """Write predictions and scores into the run's folder.

    Raises:
        CheckpointError: If they can't be written.
    """
    suffix = "" if evaluation.split == "test" else f"_{evaluation.split}"
    facts: dict[str, Any] = {
        "split": evaluation.split,
        **evaluation.scores.as_dict(),
        "blind": {name: scores.as_dict() for name, scores in evaluation.blind.items()},
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
    names = ("bleu1", "bleu2", "bleu3", "bleu4", "chrf", "rouge_l", "wer", "cer", "exact_match")
    titles = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "chrF", "ROUGE-L", "WER", "CER", "exact")
    rows = {"model": evaluation.scores} | {
        f"blind: {name}": scores for name, scores in evaluation.blind.items()
    }
    header = f"{evaluation.split}, {evaluation.scores.count} clips"
    width = max(map(len, (header, *rows)))
    lines = [header.ljust(width) + "".join(f"{title:>9}" for title in titles)]
    for name, scores in rows.items():
        values = (getattr(scores, metric) for metric in names)
        lines.append(
            name.ljust(width)
            + "".join(f"{'n/a' if value is None else f'{value:.2f}':>9}" for value in values)
        )
    if evaluation.scores.bleu4 is None:
        lines.append(
            "n/a: no reference has that many words, so this BLEU is 0 by definition; look at CER and exact."
        )
    lines.append(f"sacreBLEU signature: {evaluation.scores.signatures['bleu4']}")
    return "\n".join(lines)

"""A run's log as a picture: `curves.svg`, from `metrics.jsonl`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from signseq.charts import Curve, Panel, draw_panels

__all__ = ["draw_curves", "read_log"]

# A panel's title, and the names of its curves in the log.
PANELS: dict[str, dict[str, str]] = {
    "Loss": {"training": "loss", "validation": "eval_loss"},
    "Scores, higher is better": {
        "BLEU-4": "eval_bleu4",
        "chrF": "eval_chrf",
        "ROUGE-L": "eval_rouge_l",
    },
    "Errors, lower is better": {"WER": "eval_wer", "CER": "eval_cer"},
    "Learning rate": {"learning rate": "learning_rate"},
    "Gradient norm": {"norm": "grad_norm"},
    "Speed": {"frames/s": "frames_per_second"},
}


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The entries of a run's `metrics.jsonl`; without one, none. A line that was cut off is left out."""
    path = folder / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def draw_curves(folder: Path) -> Path:
    """Draw the log in a run's folder as `curves.svg`, anew."""
    path, entries = folder / "curves.svg", read_log(folder)
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(draw_panels(_panels(entries), label="Curves of a training run"), "utf-8")
    partial.replace(path)
    return path


def _panels(entries: Sequence[Mapping[str, Any]]) -> list[Panel]:
    return [
        Panel(
            title,
            [Curve(name, _points(entries, key)) for name, key in curves.items()],
            x_name="step",
        )
        for title, curves in PANELS.items()
    ]


def _points(entries: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    return [
        (float(entry["step"]), float(value))
        for entry in entries
        if isinstance(value := entry.get(key), (int, float)) and math.isfinite(value)
    ]

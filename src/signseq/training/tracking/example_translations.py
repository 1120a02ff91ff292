"""A few validation clips that are looked at after each evaluation: what the model makes of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signseq.data.store import PoseStore
from signseq.metrics.sentence import sentence_chrf
from signseq.poses.drawing import draw_pose
from signseq.training.tracking.animation import animate, draw_strip

__all__ = ["ExampleClips", "ExampleTranslation", "draw_page", "write_examples"]

MOST_CHARACTERS = 500  # of a text that is shown
MOST_POINTS = 80  # of a skeleton that is drawn
MOST_EVALUATIONS = 200  # that examples.jsonl keeps: the latest
SHOWN_EVALUATIONS = 20  # on the page: the latest


@dataclass(frozen=True, eq=False)
class ExampleTranslation:
    """What became of one clip.

    Attributes:
        uid: The clip.
        reference: What it says.
        hypothesis: What the model says.
        chrf: Of this sentence, by sacreBLEU.
        picture: The skeleton as an SVG that moves.
        strip: Snapshots of it, uint8 of shape (height, width, 3).
    """

    uid: str
    reference: str
    hypothesis: str
    chrf: float
    picture: str = field(repr=False)
    strip: NDArray[np.uint8] = field(repr=False)

    def as_entry(self, step: int) -> dict[str, Any]:
        """What `examples.jsonl` says of it after a step."""
        return {
            "step": step,
            "uid": self.uid,
            "reference": self.reference,
            "hypothesis": self.hypothesis,
            "chrf": round(self.chrf, 2),
        }


class ExampleClips:
    """The same clips of a store in every evaluation, from all over it; drawn once.

    Args:
        store: Validation clips.
        count: How many to look at.
    """

    def __init__(self, store: PoseStore, count: int) -> None:
        count = min(count, len(store))
        places = np.linspace(0, len(store) - 1, count).round().astype(int)
        self.numbers: list[int] = list(dict.fromkeys(places.tolist()))
        self._store = store
        self._pictures: dict[int, tuple[str, NDArray[np.uint8]]] = {}

    def translated(self, hypotheses: Sequence[str]) -> list[ExampleTranslation]:
        """The examples, of the hypotheses of all clips of the store."""
        return [self._example(number, hypotheses[number]) for number in self.numbers]

    def _example(self, number: int, hypothesis: str) -> ExampleTranslation:
        details = self._store.details(number)
        if number not in self._pictures:
            self._pictures[number] = self._draw(number, details)
        return ExampleTranslation(
            str(details["uid"]),
            _shortened(details["text"]),
            _shortened(hypothesis),
            sentence_chrf(hypothesis, details["text"]),
            *self._pictures[number],
        )

    def _draw(self, number: int, details: dict[str, Any]) -> tuple[str, NDArray[np.uint8]]:
        packed, recipe = self._store.clip(number), self._store.recipe
        fps = len(packed) / max(float(details["seconds"]), 1e-6)
        drawn = draw_pose(
            packed, recipe.names, normalize=recipe.normalize, fps=fps, max_points=MOST_POINTS
        )
        return animate(drawn, label=f"A skeleton signs: {details['text']}"), draw_strip(drawn)


def write_examples(folder: Path, examples: Sequence[ExampleTranslation], *, step: int) -> None:
    """Add the examples of an evaluation to `examples.jsonl`, and draw `examples.html` anew.

    What was written of this step or later ones, by a run that was interrupted, is replaced.
    """
    path = folder / "examples.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    earlier = [json.loads(line) for line in lines if line.endswith("}")]
    evaluations = [entry for entry in earlier if entry["step"] < step]
    evaluations = evaluations[-(MOST_EVALUATIONS - 1) * max(len(examples), 1) :]
    evaluations += [example.as_entry(step) for example in examples]
    text = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in evaluations)
    _write_whole(path, text)
    _write_whole(folder / "examples.html", draw_page(examples, evaluations))


def draw_page(examples: Sequence[ExampleTranslation], evaluations: Sequence[dict[str, Any]]) -> str:
    """Skeletons and translations as one HTML page without any reference to another file.

    Args:
        examples: What became of the clips in the latest evaluation.
        evaluations: Entries of this and of earlier ones, in their order.
    """
    sections = []
    for example in examples:
        own = [entry for entry in evaluations if entry["uid"] == example.uid][-SHOWN_EVALUATIONS:]
        rows = "".join(
            f"<tr><td>{entry['step']}</td><td>{entry['chrf']:.1f}</td>"
            f"<td><bdi>{escape(entry['hypothesis'])}</bdi></td></tr>"
            for entry in reversed(own)
        )
        sections.append(
            f"<section>{example.picture}<div><h2>{escape(example.uid)}</h2>"
            f"<p><bdi>{escape(example.reference)}</bdi></p><table>"
            f"<tr><th>step</th><th>chrF</th><th>translation</th></tr>{rows}</table></div></section>"
        )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Example translations</title><style>'
        "body{font:16px/1.4 sans-serif;max-width:60em;margin:1em auto;padding:0 1em}"
        "section{display:flex;gap:1em;border-top:1px solid #bbb;padding:1em 0}svg{flex:none}"
        "h2{font-size:1em;margin:0}td,th{text-align:left;padding:.1em .6em;vertical-align:top}"
        f"</style><h1>Example translations</h1>{''.join(sections)}</html>\n"
    )


def _shortened(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}\u2026"


def _write_whole(path: Path, text: str) -> None:
    """Write aside and rename: who looks at the file while the run goes on sees a whole one."""
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)

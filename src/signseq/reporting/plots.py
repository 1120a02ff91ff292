"""A report's curves, scores by length, confused words and attention as files. The only module that knows matplotlib."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from signseq.errors import DataError, MissingExtraError
from signseq.grouping import group_by_length
from signseq.metrics import METRICS, score
from signseq.reporting.clips import Clips, ReportClip
from signseq.reporting.page import points_of
from signseq.reporting.runs import Run
from signseq.reporting.words import align_words, cut_words
from signseq.training.tracking.curves import PANELS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["check_matplotlib", "confuse_words", "write_plots"]

# Okabe and Ito's colours, which colour-blind people can tell apart; markers tell them apart in grey.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
FORMATS = ("png", "svg")
FREQUENT = 15  # words of the confusion matrix
MAPS = 6  # attention maps, of clips from best to worst
OTHER, NOTHING = "(other)", "(nothing)"


def check_matplotlib() -> None:
    """Find out that it is there, before the work that comes first.

    Raises:
        MissingExtraError: If it isn't.
    """
    if find_spec("matplotlib") is None:
        raise MissingExtraError(package="matplotlib", extra="plots", purpose="--plots")


def write_plots(runs: Sequence[Run], clips: Clips, folder: Path) -> list[Path]:
    """Draw all there is to draw, each as PNG and SVG.

    Args:
        runs: What the report is of.
        clips: Those that it shows; attention maps are of some.
        folder: Where the files go.

    Returns:
        The files.

    Raises:
        DataError: If they can't be written.
        MissingExtraError: If matplotlib is missing.
    """
    check_matplotlib()
    figures: dict[str, Figure] = {}
    for number, run in enumerate(runs):
        suffix = f"_{number + 1}" if len(runs) > 1 else ""
        if run.log:
            figures[f"curves{suffix}"] = _draw_curves(run)
        figures[f"confusion{suffix}"] = _draw_confusion(run)
        maps = [clip for clip in clips.shown if _has_map(clip, number)]
        if maps:
            figures[f"attention{suffix}"] = _draw_attention(maps, number, run.name)
    figures["score_by_length"] = _draw_lengths(runs)
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            for kind in FORMATS:
                path = folder / f"{name}.{kind}"
                figure.savefig(path, dpi=150, facecolor="white")
                written.append(path)
    except OSError as fault:
        raise DataError(f"{folder}: the plots can't be written ({fault.strerror}).") from fault
    return written


def _figure(**settings: Any) -> Figure:
    from matplotlib.figure import Figure

    return Figure(layout="constrained", **settings)  # needs no screen, and no pyplot to clean up


def _draw_curves(run: Run) -> Figure:
    panels = {
        title: {name: points_of(run.log, key) for name, key in curves.items()}
        for title, curves in PANELS.items()
    }
    panels = {title: curves for title, curves in panels.items() if any(curves.values())}
    columns = min(3, len(panels)) or 1
    rows = -(-len(panels) // columns) or 1
    figure = _figure(figsize=(4.5 * columns, 3.2 * rows))
    for place, (title, curves) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(rows, columns, place, title=title, xlabel="step")
        for number, (name, points) in enumerate(curves.items()):
            if points:
                marker = MARKERS[number % len(MARKERS)] if len(points) < 30 else None
                axes.plot(
                    *zip(*points, strict=True),
                    color=_color(number),
                    marker=marker,
                    markersize=4,
                    label=name,
                )
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return figure


def _color(number: int) -> str:
    return COLORS[number % len(COLORS)]


def _draw_lengths(runs: Sequence[Run]) -> Figure:
    """ChrF by the reference's words, a bar per run with its 95% interval."""
    references = runs[0].predictions.references
    groups = group_by_length(references)
    figure = _figure(figsize=(max(5.0, 1.3 * len(groups) * (1 + 0.3 * len(runs))), 3.8))
    axes = figure.add_subplot(ylabel=METRICS["chrf"], title="Score by length of the reference")
    places, width = np.arange(len(groups)), 0.8 / len(runs)
    for number, run in enumerate(runs):
        scores = [_chrf(run, clips) for clips in groups.values()]
        middle = np.array([value for value, _, _ in scores])
        ends = np.abs(np.array([[value - low, high - value] for value, low, high in scores]).T)
        shift = (number - (len(runs) - 1) / 2) * width
        axes.bar(
            places + shift,
            middle,
            width,
            yerr=ends,
            capsize=3,
            color=_color(number),
            label=run.name,
        )
    names = [f"{name}\n{len(clips)} clips" for name, clips in groups.items()]
    axes.set_xticks(places, names, fontsize=8)
    axes.set_ylim(bottom=0)
    if len(runs) > 1:
        figure.legend(frameon=False, loc="outside lower center", ncols=len(runs))
    return figure


def _chrf(run: Run, clips: Sequence[int]) -> tuple[float, float, float]:
    """The score of some clips and its interval; that of a single clip is a point."""
    texts = [
        [side[n] for n in clips]
        for side in (run.predictions.hypotheses, run.predictions.references)
    ]
    found = score(texts[0], texts[1], metrics=("chrf",), resamples=1000)
    value = found.chrf or 0.0
    return (value, *found.intervals.get("chrf", (value, value)))


def confuse_words(
    references: Sequence[str], hypotheses: Sequence[str], *, most: int = FREQUENT
) -> tuple[list[str], list[str], NDArray[np.int64]]:
    """What the references' most frequent words became.

    Words of the two texts are aligned; those that stand for each other are counted.

    Returns:
        R words of the references, the words that they became (the same, and two names for all other
        words and for none), and counts (R, R + 2).
    """
    pairs: Counter[tuple[str, str]] = Counter()
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        pairs.update(align_words(cut_words(reference), cut_words(hypothesis)))
    frequent: Counter[str] = Counter()
    for (own, _), count in pairs.items():
        if own:
            frequent[own] += count
    words = [word for word, _ in frequent.most_common(most)]
    names = [*words, OTHER, NOTHING]
    place = {word: number for number, word in enumerate(words)}
    counts = np.zeros((len(words), len(names)), np.int64)
    for (own, other), count in pairs.items():
        if own in place:
            column = place.get(other, len(words)) if other else len(words) + 1
            counts[place[own], column] += count
    return words, names, counts


def _draw_confusion(run: Run) -> Figure:
    words, names, counts = confuse_words(run.predictions.references, run.predictions.hypotheses)
    figure = _figure(figsize=(8, 7))
    axes = figure.add_subplot(
        title=f"What frequent words became: {run.name}",
        xlabel="in the output",
        ylabel="in the reference",
    )
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    drawn = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(words)), words, fontsize=8)
    for row, column in zip(*np.nonzero(counts), strict=True):
        light = shares[row, column] < 0.6
        axes.text(
            column,
            row,
            str(counts[row, column]),
            ha="center",
            va="center",
            fontsize=7,
            color="white" if light else "black",
        )
    figure.colorbar(drawn, ax=axes, label="share of the reference's word")
    return figure


def _has_map(clip: ReportClip, number: int) -> bool:
    look = clip.outputs[number].look
    return look is not None and look.attention is not None


def _draw_attention(clips: Sequence[ReportClip], number: int, name: str) -> Figure:
    """Maps of some clips, from the best to the worst."""
    ranked = sorted(clips, key=lambda clip: -clip.outputs[number].score)
    count = min(MAPS, len(ranked))
    chosen = [ranked[round(place)] for place in np.linspace(0, len(ranked) - 1, count)]
    columns = min(2, count)
    rows = -(-count // columns)
    figure = _figure(figsize=(6 * columns, 3.2 * rows))
    figure.suptitle(f"Attention to the frames: {name}")
    for place, clip in enumerate(chosen, start=1):
        output = clip.outputs[number]
        assert output.look is not None
        assert output.look.attention is not None
        found = output.look.attention
        axes = figure.add_subplot(
            rows, columns, place, xlabel="seconds", title=f"{clip.uid}, chrF {output.score:.0f}"
        )
        extent = (0.0, found.seconds, len(found.weights) - 0.5, -0.5)
        axes.imshow(
            found.weights, aspect="auto", cmap="cividis", extent=extent, interpolation="nearest"
        )
        axes.set_yticks(range(len(output.difference.output)), output.difference.output, fontsize=8)
    return figure

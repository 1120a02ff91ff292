"""Histograms as SVG, drawn without a library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Measure", "draw_measure"]

BARS = 30
WIDTH, HEIGHT = 520, 150  # of a histogram
QUANTILES = {"min": 0, "median": 50, "95%": 95, "99%": 99, "max": 100}


@dataclass(frozen=True, eq=False)
class Measure:
    """Something that is counted of every clip.

    Attributes:
        name: What it is.
        values: (N,).
        marks: Settings that limit it, by name.
    """

    name: str
    values: NDArray[Any]
    marks: Mapping[str, float] = field(default_factory=dict)

    @property
    def quantiles(self) -> dict[str, float]:
        """Smallest, median, largest and what is between; empty without values."""
        if not len(self.values):
            return {}
        return {
            name: round(float(np.percentile(self.values, share)), 2)
            for name, share in QUANTILES.items()
        }


def draw_measure(measure: Measure) -> str:
    """A figure in HTML: what was measured, its quantiles, and a histogram."""
    quantiles = ", ".join(f"{name} {value:g}" for name, value in measure.quantiles.items())
    caption = (
        f"<figcaption>{escape(measure.name)}<br><small>{escape(quantiles)}</small></figcaption>"
    )
    if not len(measure.values):
        return f"<figure>{caption}<p>Unknown.</p></figure>"
    return f"<figure>{caption}{_histogram(measure)}</figure>"


def _histogram(measure: Measure) -> str:
    """An SVG of bars; settings that limit the measure are lines, where they lie in the picture."""
    edges = _edges(measure.values)
    low, high = float(edges[0]), float(edges[-1])
    counts, _ = np.histogram(measure.values, bins=edges)
    width = WIDTH / len(counts)
    bars = []
    for number, count in enumerate(counts.tolist()):
        height = HEIGHT * count / int(counts.max())
        said = f"{edges[number]:.4g} to {edges[number + 1]:.4g}: {count:,}"
        bars.append(
            f'<rect x="{number * width + 0.5:.1f}" y="{HEIGHT - height:.1f}" width="{width - 1:.1f}" '
            f'height="{height:.1f}"><title>{said}</title></rect>'
        )
    for name, value in measure.marks.items():
        if low <= value <= high:
            x = WIDTH * (value - low) / (high - low)
            anchor, aside = ("end", -4) if x > WIDTH / 2 else ("start", 4)
            bars.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{HEIGHT}"><title>{escape(name)} = {value:g}</title></line>'
                f'<text x="{x:.1f}" y="10" text-anchor="{anchor}" dx="{aside}">'
                f"{escape(name)}</text>"
            )
    ends = (
        f'<text x="0" y="{HEIGHT + 16}">{low:g}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT + 16}" text-anchor="end">{high:.4g}</text>'
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 22}" role="img" aria-label="Histogram: {escape(measure.name)}">'
        f"{''.join(bars)}{ends}</svg>"
    )


def _edges(values: NDArray[Any]) -> NDArray[np.float64]:
    """Where bars begin and end: from 0, and of counts each bar as many whole numbers wide."""
    high = float(values.max())
    if np.issubdtype(values.dtype, np.integer):
        width = -(-(int(high) + 1) // BARS)
        return np.arange(0, int(high) + width + 1, width, dtype=np.float64)
    return np.linspace(0, high if high > 0 else 1, BARS + 1)

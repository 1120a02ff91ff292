"""Histograms, curves and bars as SVG, drawn without a library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Curve", "Measure", "Panel", "draw_bars", "draw_measure", "draw_panels"]

BARS = 30
WIDTH, HEIGHT = 520, 150  # of a histogram
# Okabe and Ito's colours, which colour-blind people can tell apart; dashes tell them apart in grey.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
DASHES = ("", "6 3", "2 2", "8 3 2 3")
PANEL_WIDTH, PANEL_HEIGHT = 380, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 46, 30  # room round the axes of a panel
CURVE_POINTS = 300  # of a curve, at most
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


@dataclass(frozen=True)
class Curve:
    """A line, or points, in a panel.

    Attributes:
        name: What it is.
        points: Pairs (x, y); those that are no numbers are left out.
        is_line: Whether the points are joined.
        labels: What each point says when it's pointed at; empty, or as many as points.
    """

    name: str
    points: Sequence[tuple[float, float]]
    is_line: bool = True
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class Panel:
    """A pair of axes with up to four curves.

    Attributes:
        title: What is shown.
        curves: What is in it.
        x_name: What the horizontal axis counts.
        is_log: Whether the horizontal axis is logarithmic.
    """

    title: str
    curves: Sequence[Curve]
    x_name: str = ""
    is_log: bool = False


def draw_panels(panels: Sequence[Panel], *, label: str, columns: int = 3) -> str:
    """Panels side by side in one SVG that needs nothing else.

    Args:
        panels: From left to right, row by row.
        label: What the picture is, for those who can't see it.
        columns: Panels in a row.
    """
    columns = max(1, min(columns, len(panels)))
    width, height = columns * PANEL_WIDTH, -(-len(panels) // columns) * PANEL_HEIGHT
    drawn = "".join(
        f'<g transform="translate({number % columns * PANEL_WIDTH} {number // columns * PANEL_HEIGHT})">'
        f"{_panel(panel)}</g>"
        for number, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(label)}" font-family="sans-serif" font-size="11" fill="#333">'
        f'<rect width="{width}" height="{height}" style="fill:#fff"/>{drawn}</svg>'
    )


def draw_bars(values: Mapping[str, float], *, label: str) -> str:
    """Horizontal bars in one SVG, the values beside them; the longest is the largest."""
    row, names = 24, 260
    width, height = 2 * PANEL_WIDTH, max(len(values), 1) * row
    largest = max(values.values(), default=0.0) or 1.0
    bars = []
    for number, (name, value) in enumerate(values.items()):
        y, length = number * row, (width - names - 60) * max(value, 0.0) / largest
        bars.append(
            f'<text x="{names - 8}" y="{y + 16}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{names}" y="{y + 4}" width="{max(length, 1):.1f}" height="{row - 8}" '
            f'style="fill:{COLORS[0]}"/><text x="{names + length + 6:.1f}" y="{y + 16}">{value:.2f}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(label)}" font-family="sans-serif" font-size="12" fill="#333">'
        f'<rect width="{width}" height="{height}" style="fill:#fff"/>{"".join(bars)}</svg>'
    )


def _panel(panel: Panel) -> str:
    """Title, legend, axes and curves, at the origin."""
    kept = [_finite(curve, is_log=panel.is_log) for curve in panel.curves]
    shown = [curve for curve in kept if curve.points]
    title = (
        f'<text x="{LEFT}" y="16" font-size="13" font-weight="bold">{escape(panel.title)}</text>'
    )
    if not shown:
        return f'{title}<text x="{LEFT}" y="{TOP + 16}">nothing yet</text>'
    along = [math.log10(x) if panel.is_log else x for curve in shown for x, _ in curve.points]
    x_low, x_high = _span(along)
    up = _ticks(*_span([y for curve in shown for _, y in curve.points]))
    y_low, y_high = up[0], up[-1]
    right, bottom = PANEL_WIDTH - RIGHT, PANEL_HEIGHT - BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        x = math.log10(x) if panel.is_log else x
        return (
            LEFT + (right - LEFT) * (x - x_low) / (x_high - x_low),
            bottom - (bottom - TOP) * (y - y_low) / (y_high - y_low),
        )

    parts = [title]
    for tick in up:
        y = bottom - (bottom - TOP) * (tick - y_low) / (y_high - y_low)
        parts.append(
            f'<path d="M{LEFT} {y:.1f}H{right}" stroke="#ddd"/>'
            f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{tick:.6g}</text>'
        )
    ends = (10**x_low, 10**x_high) if panel.is_log else (x_low, x_high)
    parts.append(
        f'<text x="{LEFT}" y="{bottom + 15}">{ends[0]:.4g}</text>'
        f'<text x="{(LEFT + right) / 2}" y="{bottom + 15}" text-anchor="middle">{escape(panel.x_name)}</text>'
        f'<text x="{right}" y="{bottom + 15}" text-anchor="end">{ends[1]:.4g}</text>'
    )
    for number, curve in enumerate(shown):
        color, dash = COLORS[number % len(COLORS)], DASHES[number % len(DASHES)]
        x = LEFT + number * (right - LEFT) / len(shown)
        sample = (
            f'<path d="M{x:.1f} 30h18" stroke="{color}" stroke-width="2" stroke-dasharray="{dash}"/>'
            if curve.is_line
            else f'<circle cx="{x + 9:.1f}" cy="30" r="3.5" style="fill:{color}"/>'
        )
        parts.append(f'{sample}<text x="{x + 22:.1f}" y="34">{escape(curve.name)}</text>')
        parts.append(_curve(curve, [place(*point) for point in curve.points], color, dash))
    return "".join(parts)


def _curve(curve: Curve, places: Sequence[tuple[float, float]], color: str, dash: str) -> str:
    if curve.is_line and len(places) > 1:
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        return (
            f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="1.6" '
            f'stroke-dasharray="{dash}" stroke-linejoin="round"/>'
        )
    labels = curve.labels or [""] * len(places)
    return "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" style="fill:{color}" fill-opacity="0.75">'
        f"<title>{escape(label)}</title></circle>"
        for (x, y), label in zip(places, labels, strict=True)
    )


def _finite(curve: Curve, *, is_log: bool) -> Curve:
    """The points that can be drawn; of long lines every so-manieth, and the last."""
    labels = curve.labels or [""] * len(curve.points)
    kept = [
        (point, label)
        for point, label in zip(curve.points, labels, strict=True)
        if all(map(math.isfinite, point)) and (not is_log or point[0] > 0)
    ]
    step = -(-len(kept) // CURVE_POINTS) if curve.is_line else 1
    kept = kept[::-1][::step][::-1] if step > 1 else kept
    points = [point for point, _ in kept]
    return Curve(curve.name, points, curve.is_line, [label for _, label in kept])


def _span(values: Sequence[float]) -> tuple[float, float]:
    """From the smallest to the largest; some room where they are equal."""
    low, high = min(values), max(values)
    room = abs(low) * 0.1 or 1.0
    return (low, high) if high > low else (low - room, high + room)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from just below `low` to just above `high`, three to seven of them."""
    rough = (high - low) / 4
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [step * number for number in range(first, last + 1)]

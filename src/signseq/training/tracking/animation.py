"""A clip's skeleton as an SVG that moves, and as a strip of snapshots: pictures for example translations."""

from __future__ import annotations

from html import escape

import numpy as np
from numpy.typing import NDArray

from signseq.poses.drawing import ABSENT, SIDE, DrawnPose

__all__ = ["animate", "draw_strip"]

PICTURES_PER_SECOND = 12.5  # enough to follow the hands, and half the size of video
MOST_PICTURES = 60
SCALE = 5  # whole numbers of the square to one of the picture: shorter paths
BODY, HAND = "#5b6b7b", "#d55e00"
SNAPSHOTS, SNAPSHOT_SIDE = 6, 96


def animate(drawn: DrawnPose, *, label: str) -> str:
    """One SVG in which each picture is a group that is shown for its share of the time.

    At most MOST_PICTURES are drawn, so that a page of them stays small.

    Args:
        drawn: The clip.
        label: What it shows, for those who can't see it.
    """
    chosen, rate = _pictures(drawn)
    side, seconds = SIDE // SCALE, len(chosen) / rate
    shown = len(chosen) // 2  # where nothing moves
    groups = "".join(
        f'<g visibility="{"visible" if place == shown else "hidden"}">{_lines(drawn, frame)}'
        f"{_timing(place, len(chosen), seconds)}</g>"
        for place, frame in enumerate(chosen)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" width="{side}" height="{side}" '
        f'role="img" aria-label="{escape(label)}" fill="none" stroke-linecap="round" stroke-width="1.4">'
        f'<rect width="{side}" height="{side}" fill="#fff"/>{groups}</svg>'
    )


def draw_strip(drawn: DrawnPose) -> NDArray[np.uint8]:
    """Snapshots from first to last side by side, uint8 of shape (side, SNAPSHOTS x side, 3), on white."""
    frames = np.linspace(0, len(drawn.points) - 1, SNAPSHOTS).round().astype(int)
    strip = np.full((SNAPSHOT_SIDE, SNAPSHOTS * SNAPSHOT_SIDE, 3), 255, np.uint8)
    for place, frame in enumerate(frames.tolist()):
        picture = strip[:, place * SNAPSHOT_SIDE : (place + 1) * SNAPSHOT_SIDE]
        for (x1, y1), (x2, y2), is_hand in _visible_edges(drawn, frame):
            steps = np.linspace(0, 1, SNAPSHOT_SIDE)
            columns, rows = (
                ((start + (end - start) * steps) * (SNAPSHOT_SIDE - 1) / SIDE).round().astype(int)
                for start, end in ((x1, x2), (y1, y2))
            )
            color = HAND if is_hand else BODY
            picture[rows, columns] = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return strip


def _pictures(drawn: DrawnPose) -> tuple[list[int], float]:
    """Which frames are drawn, and how many of them a second."""
    step = max(1, round(drawn.fps / PICTURES_PER_SECOND))
    chosen = list(range(0, len(drawn.points), step))[:MOST_PICTURES]
    return chosen, drawn.fps / step


def _visible_edges(
    drawn: DrawnPose, frame: int
) -> list[tuple[tuple[int, int], tuple[int, int], bool]]:
    points, hands = drawn.points[frame].tolist(), set(drawn.hands)
    return [
        (tuple(points[a]), tuple(points[b]), a in hands)
        for a, b in drawn.edges
        if ABSENT not in (*points[a], *points[b])
    ]


def _lines(drawn: DrawnPose, frame: int) -> str:
    paths: dict[bool, list[str]] = {False: [], True: []}
    for (x1, y1), (x2, y2), is_hand in _visible_edges(drawn, frame):
        paths[is_hand].append(
            f"M{x1 // SCALE} {y1 // SCALE}l{x2 // SCALE - x1 // SCALE} {y2 // SCALE - y1 // SCALE}"
        )
    return "".join(
        f'<path stroke="{HAND if is_hand else BODY}" d="{"".join(parts)}"/>'
        for is_hand, parts in paths.items()
        if parts
    )


def _timing(place: int, count: int, seconds: float) -> str:
    if count == 1:
        return ""
    begin, end = place / count, (place + 1) / count
    values, times = "hidden;visible;hidden", f"0;{begin:.4f};{end:.4f}"
    if place == 0:
        values, times = "visible;hidden", f"0;{end:.4f}"
    if place == count - 1:
        values, times = "hidden;visible", f"0;{begin:.4f}"
    return (
        f'<animate attributeName="visibility" values="{values}" keyTimes="{times}" '
        f'dur="{seconds:.2f}s" calcMode="discrete" repeatCount="indefinite"/>'
    )

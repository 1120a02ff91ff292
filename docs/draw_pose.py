"""Draw a .pose file as an animated SVG, with its translation below; for the README.

python docs/draw_pose.py FILE.pose "The translation." docs/demo.svg
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

import numpy as np

from signseq.poses.keypoints import skeleton_edges
from signseq.poses.sequence import PoseSequence, read_pose

WIDTH, HEIGHT = 640, 400
BODY, HAND, TEXT = "#8899aa", "#e4572e", "#667788"


def main() -> None:
    source, text, target = sys.argv[1:]
    Path(target).write_text(draw(read_pose(source), text), encoding="utf-8")


def draw(pose: PoseSequence, text: str) -> str:
    """One SVG in which each frame is a group that is shown for its share of the time."""
    points = fit(pose)
    drawn = [i for i, name in enumerate(pose.keypoints) if not below_the_hips(name)]
    edges = [(a, b) for a, b in skeleton_edges(pose.keypoints) if a in drawn and b in drawn]
    seconds = pose.seconds + 1.5  # the last frame stays a while
    shown = len(pose) // 2  # where nothing moves
    frames = ""
    for t in range(len(pose)):
        lines = draw_frame(points[t], pose.confidence[t] > 0, pose.keypoints, drawn, edges)
        state = "visible" if t == shown else "hidden"
        frames += f'<g visibility="{state}">{lines}{timing(t, len(pose), pose.fps, seconds)}</g>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + 60}" role="img" '
        f'aria-label="A skeleton signing; the translation is: {escape(text, quote=True)}" '
        f'stroke-linecap="round" fill="none">{frames}'
        f'<text x="{WIDTH / 2}" y="{HEIGHT + 36}" text-anchor="middle" fill="{TEXT}" '
        f'font-family="sans-serif" font-size="26">{escape(text)}</text></svg>\n'
    )


def below_the_hips(name: str) -> bool:
    return any(part in name for part in ("HIP", "KNEE", "ANKLE", "HEEL", "FOOT_"))


def fit(pose: PoseSequence) -> np.ndarray:
    """Scale what is visible above the hips into the picture."""
    upper = [i for i, name in enumerate(pose.keypoints) if not below_the_hips(name)]
    seen = pose.data[:, upper, :2][pose.confidence[:, upper] > 0]
    low, high = np.percentile(seen, [0.5, 99.5], axis=0)
    scale = min(WIDTH / (high - low)[0], HEIGHT / (high - low)[1]) * 0.9
    return (pose.data[..., :2] - (low + high) / 2) * scale + (WIDTH / 2, HEIGHT / 2)


def draw_frame(
    points: np.ndarray,
    seen: np.ndarray,
    names: tuple[str, ...],
    drawn: list[int],
    edges: list[tuple[int, int]],
) -> str:
    lines: dict[str, list[str]] = {BODY: [], HAND: []}
    for a, b in edges:
        if seen[a] and seen[b]:
            (x1, y1), (x2, y2) = points[a], points[b]
            lines[HAND if "HAND" in names[a] else BODY].append(
                f"M{x1:.0f} {y1:.0f}L{x2:.0f} {y2:.0f}"
            )
    lines[BODY] += [
        f"M{x:.0f} {y:.0f}h0"
        for x, y in points[[i for i in drawn if "FACE" in names[i] and seen[i]]]
    ]
    return "".join(
        f'<path stroke="{color}" stroke-width="{3 if color == HAND else 4}" d="{"".join(parts)}"/>'
        for color, parts in lines.items()
        if parts
    )


def timing(frame: int, frames: int, fps: float, seconds: float) -> str:
    begin, end = frame / fps / seconds, 1.0 if frame == frames - 1 else (frame + 1) / fps / seconds
    values, times = ("hidden;visible;hidden", f"0;{begin:.4f};{end:.4f}")
    if frame == 0:
        values, times = "visible;hidden", f"0;{end:.4f}"
    if frame == frames - 1:
        values, times = "hidden;visible", f"0;{begin:.4f}"
    return (
        f'<animate attributeName="visibility" values="{values}" keyTimes="{times}" '
        f'dur="{seconds:.2f}s" calcMode="discrete" repeatCount="indefinite"/>'
    )


if __name__ == "__main__":
    main()

"""Draw what each random transform of training does to a clip of the embedded corpus; for docs/poses.md.

python docs/draw_augmentation.py docs/augmentation.svg

Grey is the clip as it is, orange what a transform makes of it. The upper panels show one frame, the
lower ones the height of a fingertip over time.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from signseq.data.samples import compose_sample, draw_samples
from signseq.poses.augmentation import Augmentation
from signseq.poses.keypoints import skeleton_edges
from signseq.poses.transforms import PoseRecipe

WIDTH, HEIGHT, COLUMNS, LABEL = 210, 175, 4, 30
BEFORE, AFTER, TEXT = "#8899aa", "#e4572e", "#667788"
RECIPE = PoseRecipe("upper_body_hands_face", "shoulders", fps=25.0)
TIP = RECIPE.names.index("RIGHT_HAND_LANDMARKS.INDEX_FINGER_TIP")
SHOWN = slice(40, 64)  # frames of the lower panels
SHOWN_HEIGHT = -0.68  # of the fingertip in their middle, in shoulder widths; above the shoulders

PLACES: dict[str, tuple[dict[str, Any], int]] = {  # settings, and a seed with a large effect
    "rotate_degrees: 15": ({"rotate_degrees": 15}, 4),
    "shear: 0.2": ({"shear": 0.2}, 4),
    "scale: 0.2": ({"scale": 0.2}, 0),
    "shift: 0.3": ({"shift": 0.3}, 1),
    "mirror: 1": ({"mirror": 1.0}, 0),
    "joint_noise: 0.02": ({"joint_noise": 0.02}, 0),
    "outliers: 0.1": ({"outliers": 0.1}, 0),
}
TIMES: dict[str, tuple[dict[str, Any], int]] = {
    "speed: 0.3": ({"speed": 0.3}, 2),
    "speed: 0.3, speed_resampling: linear": ({"speed": 0.3, "speed_resampling": "linear"}, 2),
    "drop_frames: 0.2": ({"drop_frames": 0.2}, 3),
    "drop_hand: 1": ({"drop_hand": 1.0}, 7),
}
PHASE = "step_frames: 3, at a random phase"


def main() -> None:
    Path(sys.argv[1]).write_text(draw(make_clip()), encoding="utf-8")


def make_clip() -> np.ndarray:
    """A sentence of the embedded corpus, ready for a model: (T, K, 3)."""
    samples = draw_samples("sentences", {"train": 1}, seed=0)
    return RECIPE.pack(compose_sample(samples[0], kind="sentences", seed=0))


def draw(clip: np.ndarray) -> str:
    """All panels as one SVG."""
    panels = [(label, draw_place(clip, *change)) for label, change in PLACES.items()]
    panels += [(label, draw_time(clip[SHOWN], *change)) for label, change in TIMES.items()]
    panels.append((PHASE, draw_phase(clip[SHOWN])))
    rows = -(-len(panels) // COLUMNS)
    body = ""
    for number, (label, lines) in enumerate(panels):
        x, y = number % COLUMNS * WIDTH, number // COLUMNS * (HEIGHT + LABEL)
        body += (
            f'<g transform="translate({x} {y})">{lines}<text x="{WIDTH / 2}" y="{HEIGHT + 10}" fill="{TEXT}" '
            f'text-anchor="middle" font-family="sans-serif" font-size="11">{label}</text></g>\n'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {COLUMNS * WIDTH} {rows * (HEIGHT + LABEL)}" '
        'role="img" aria-label="What each random transform does to a skeleton, or to its movement over time" '
        f'stroke-linecap="round" stroke-linejoin="round" fill="none">\n{body}</svg>\n'
    )


def augment(clip: np.ndarray, settings: dict[str, Any], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    changed = Augmentation(**settings)(
        clip.copy(), keypoints=RECIPE.names, rng=rng, normalize=RECIPE.normalize
    )
    return np.asarray(changed)


def draw_place(clip: np.ndarray, settings: dict[str, Any], seed: int) -> str:
    """The frame that shows most points, as it is and changed."""
    frame = int((clip[..., -1] > 0).sum(axis=1).argmax())
    changed = augment(clip[frame : frame + 1], settings, seed)[0]
    return draw_skeleton(clip[frame], BEFORE) + draw_skeleton(changed, AFTER)


def draw_skeleton(points: np.ndarray, color: str) -> str:
    places = points[:, :2].astype(float) * 74 + (WIDTH / 2, HEIGHT * 0.5)
    seen = points[:, -1] > 0
    path = "".join(
        f"M{places[a, 0]:.1f} {places[a, 1]:.1f}L{places[b, 0]:.1f} {places[b, 1]:.1f}"
        for a, b in skeleton_edges(RECIPE.names)
        if seen[a] and seen[b]
    )
    dots = "".join(
        f"M{places[i, 0]:.1f} {places[i, 1]:.1f}h0"
        for i, name in enumerate(RECIPE.names)
        if seen[i] and name.startswith("FACE")
    )
    return f'<path stroke="{color}" stroke-width="1.4" d="{path}"/><path stroke="{color}" stroke-width="2" d="{dots}"/>'


def draw_time(clip: np.ndarray, settings: dict[str, Any], seed: int) -> str:
    """A fingertip's height over time, as it is and changed."""
    changed = augment(clip, settings, seed)
    longest = max(len(clip), len(changed))
    return draw_track(clip, longest, BEFORE) + draw_track(changed, longest, AFTER)


def draw_phase(clip: np.ndarray) -> str:
    track = draw_track(clip, len(clip), BEFORE)
    return track + draw_track(clip, len(clip), AFTER, phase=1, step=3)


def draw_track(clip: np.ndarray, longest: int, color: str, *, phase: int = 0, step: int = 1) -> str:
    """A dot for each frame that shows the fingertip, and a line between neighbours."""
    heights = (clip[:, TIP, 1].astype(float) - SHOWN_HEIGHT) * 170 + HEIGHT / 2
    line = dots = ""
    last = None
    for t in range(phase, len(clip), step):
        if clip[t, TIP, -1] > 0:
            x, y = 12 + t * (WIDTH - 24) / (longest - 1), heights[t]
            line += f"{'L' if last == t - step else 'M'}{x:.1f} {y:.1f}"
            dots += f"M{x:.1f} {y:.1f}h0"
            last = t
    return f'<path stroke="{color}" stroke-width="1" d="{line}"/><path stroke="{color}" stroke-width="5" d="{dots}"/>'


if __name__ == "__main__":
    main()

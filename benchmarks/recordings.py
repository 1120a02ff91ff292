"""Long recordings for the benchmarks: sentences of the embedded corpus with rests between, known to the frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from signseq.data.joining import SHOULDER_PIXELS, find_arm
from signseq.data.samples import Sample, compose_sample, draw_samples
from signseq.poses.keypoints import BODY, SHOULDERS
from signseq.poses.sequence import PoseSequence
from signseq.poses.transforms import resample

FPS = 25.0
# Where wrists rest, in shoulder widths from the shoulders' middle: aside of it, and down.
PLACES = {"lowered": (0.55, 1.95), "lap": (0.15, 1.4), "hidden": (0.4, 1.9)}
PAUSES = (*PLACES, "held", "run on")
TREMBLE = 0.006  # shoulder widths, as of the corpus


@dataclass(frozen=True, eq=False)
class Recording:
    """A pose, the frames (first, after the last) of each sentence, and the sentences."""

    pose: PoseSequence
    spans: list[tuple[int, int]]
    texts: list[str]


def sentences(split: str, *, seed: int = 42) -> Iterator[Sample]:
    """Sentences of the embedded corpus, those of the split that the demo has."""
    sizes = {"train": 4000, "val": 200, "test": 300}
    return (
        sample for sample in draw_samples("sentences", sizes, seed=seed) if sample.split == split
    )


def record(samples: list[Sample], pause: str, *, seed: int, fps: float = FPS) -> Recording:
    """One recording with a kind of pause between its sentences, of 0.5 to 3 s, and at either end."""
    rng = np.random.default_rng(seed)
    clips = [compose_sample(sample, kind="sentences", seed=42) for sample in samples]
    between = pause if pause in PLACES else "lowered"
    pieces = [_rest(None, clips[0], between, rng)]
    spans, frames = [], len(pieces[0][0])
    for clip, after in zip(clips, [*clips[1:], None], strict=True):
        spans.append((frames, frames + len(clip)))
        kind = between if after is None else pause
        pieces += [(clip.data, clip.confidence), _rest(clip, after, kind, rng)]
        frames += len(clip) + len(pieces[-1][0])
    data = np.concatenate([piece[0] for piece in pieces])
    confidence = np.concatenate([piece[1] for piece in pieces])
    pose = resample(PoseSequence(data, confidence, FPS, clips[0].keypoints), fps)
    scaled = [(round(first * fps / FPS), round(last * fps / FPS)) for first, last in spans]
    return Recording(pose, scaled, [sample.text for sample in samples])


def record_all(
    split: str, pause: str, *, recordings: int, each: int, seed: int, fps: float = FPS
) -> Iterator[Recording]:
    """Recordings of `each` sentences, none of them twice."""
    samples = islice(sentences(split), recordings * each)
    for number in range(recordings):
        yield record(list(islice(samples, each)), pause, seed=seed + number, fps=fps)


def _rest(
    before: PoseSequence | None, after: PoseSequence | None, kind: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The frames between two clips: hands go down, rest, and come up again; or stay up."""
    one, other = before or after, after or before

    start = (one.data[-1 if before else 0], one.confidence[-1 if before else 0])
    stop = (other.data[0 if after else -1], other.confidence[0 if after else -1])
    moves = {"held": (0.2, 0.2), "run on": (0.0, 0.2)}.get(kind, tuple(rng.uniform(0.35, 0.6, 2)))
    pause = {"held": rng.uniform(0.8, 1.6), "run on": 0.0}.get(kind, rng.uniform(0.5, 3.0))
    down = [start[0], _at_rest(start[0], one.keypoints, kind) if kind in PLACES else start[0]]
    up = [down[1], stop[0]]
    lower = _move(*down, 0 if kind not in PLACES or before is None else moves[0])
    rest = _move(down[1], up[0], pause)
    raise_ = _move(*up, 0 if after is None else moves[1])
    data = np.concatenate([lower, rest, raise_])
    first = np.arange(len(data)) < len(lower) + len(rest) // 2
    confidence = np.where(first[:, None], start[1], stop[1])
    if kind == "hidden":  # out of the picture: no hand is found, and the body's wrist is a guess
        arms = [*find_arm(one.keypoints, "LEFT"), *find_arm(one.keypoints, "RIGHT")]
        names = [k for k in arms if not one.keypoints[k].endswith("ELBOW")]
        low = len(lower) // 2, len(data) - len(raise_) // 2
        confidence[low[0] : low[1], names] = np.where(
            [one.keypoints[k].startswith(BODY) for k in names], 0.2, 0
        )
    noise = TREMBLE * SHOULDER_PIXELS * rng.standard_normal(data.shape)
    return (data + noise * (confidence > 0)[..., None]).astype(np.float32), confidence.astype(
        np.float32
    )


def _at_rest(frame: np.ndarray, keypoints: tuple[str, ...], kind: str) -> np.ndarray:
    """A frame with both arms where they rest."""
    index = {name: k for k, name in enumerate(keypoints)}
    left, right = (frame[index[name], :2] for name in SHOULDERS)
    width, rested = np.linalg.norm(left - right), frame.copy()
    for side, sign in (("LEFT", np.sign(left - right)[0]), ("RIGHT", -np.sign(left - right)[0])):
        aside, down = PLACES[kind]
        place = (left + right) / 2 + width * np.array([sign * aside, down])
        for k in find_arm(keypoints, side):
            share = 0.5 if keypoints[k].endswith("ELBOW") else 1.0
            # The hand's own points hang on the hand's wrist, which needn't be the body's.
            hand = f"{side}_HAND_LANDMARKS.WRIST"
            anchor = hand if keypoints[k].startswith(f"{side}_HAND") else f"{BODY}.{side}_WRIST"
            rested[k, :2] += share * (place - frame[index[anchor], :2])
    return rested


def _move(start: np.ndarray, stop: np.ndarray, seconds: float) -> np.ndarray:
    way = (np.arange(round(seconds * FPS)) + 0.5) / max(round(seconds * FPS), 1)
    eased = (way**3 * (10 - 15 * way + 6 * way**2))[:, None, None]
    return start + eased * (stop - start)

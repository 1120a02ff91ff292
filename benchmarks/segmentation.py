"""How well the rules of `signseq subtitle` find sentences, on recordings whose boundaries are known.

    python benchmarks/segmentation.py [--split test] [--recordings 12]

Composed of the embedded corpus (extra `demo`), with a kind of pause between the sentences of each
recording. The rules' numbers were chosen on `--split val`; `test` has other sentences and other names.
"""

from __future__ import annotations

import argparse

import numpy as np
from recordings import PAUSES, record_all

from signseq.poses.segmentation import Segmenter, SegmenterOptions
from signseq.poses.sequence import PoseSequence

TOLERANCES = (0.2, 0.4)  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--recordings", type=int, default=12)
    parser.add_argument("--sentences", type=int, default=10, help="in each recording")
    options = parser.parse_args()
    print(
        f"{'pause':>8} {'fps':>4} {'found':>6} {'of':>4} {'IoU':>6} {'hit@.5':>7} {'F1@.2s':>7} {'F1@.4s':>7}"
    )
    for pause in PAUSES:
        for fps in (25.0, 50.0, 12.5) if pause == "lowered" else (25.0,):
            report(options, pause, fps)


def report(options: argparse.Namespace, pause: str, fps: float) -> None:
    made = record_all(
        options.split,
        pause,
        recordings=options.recordings,
        each=options.sentences,
        seed=7 if options.split == "test" else 1,
        fps=fps,
    )
    found, wanted, overlaps, f1 = 0, 0, [], {each: [] for each in TOLERANCES}
    for recording in made:
        spans = segment(recording.pose)
        found, wanted = found + len(spans), wanted + len(recording.spans)
        overlaps += [
            max((iou(each, span) for span in spans), default=0) for each in recording.spans
        ]
        for tolerance in TOLERANCES:
            f1[tolerance].append(boundary_f1(recording.spans, spans, tolerance * fps))
    hits = np.mean(np.array(overlaps) >= 0.5)
    print(
        f"{pause:>8} {fps:4g} {found:6d} {wanted:4d} {np.mean(overlaps):6.3f} {hits:7.3f} "
        f"{np.mean(f1[0.2]):7.3f} {np.mean(f1[0.4]):7.3f}"
    )


def segment(pose: PoseSequence, options: SegmenterOptions | None = None) -> list[tuple[int, int]]:
    segmenter = Segmenter(options or SegmenterOptions(), fps=pose.fps, keypoints=pose.keypoints)
    return [(each.start, each.end) for each in (*segmenter.feed(pose), *segmenter.finish())]


def iou(one: tuple[int, int], other: tuple[int, int]) -> float:
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return max(0, shared) / (max(one[1], other[1]) - min(one[0], other[0]))


def boundary_f1(
    wanted: list[tuple[int, int]], found: list[tuple[int, int]], tolerance: float
) -> float:
    """Starts and ends that lie near one of the same kind, each used once, from left to right."""
    hits = 0
    for side in (0, 1):
        left = [span[side] for span in found]
        for span in wanted:
            near = [place for place in left if abs(place - span[side]) <= tolerance]
            if near:
                left.remove(min(near, key=lambda place: abs(place - span[side])))
                hits += 1
    return 2 * hits / max(2 * (len(wanted) + len(found)), 1)


if __name__ == "__main__":
    main()

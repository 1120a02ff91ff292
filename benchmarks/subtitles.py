"""`signseq subtitle` on long recordings: memory and speed by length, and what finding the sentences costs.

    python benchmarks/subtitles.py [--checkpoint checkpoints/demo] [--frames 5000 90000]
    python benchmarks/subtitles.py --checkpoint checkpoints/demo --quality [--split val]

Recordings are composed of the embedded corpus (extra `demo`). For memory they go round the same minute
and hold 576 points, as MediaPipe Holistic's .pose files do; each length in a process of its own, peak
resident memory in MiB. Without a checkpoint the sentences are found and not translated. `--quality`
scores what is translated of found segments, for several lengths of context, beside known boundaries.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from clips import KEYPOINTS
from recordings import Recording, record_all

from signseq.poses.sequence import PoseSequence
from signseq.poses.streaming import PoseWriter
from signseq.poses.transforms import select

VERB = """
import resource, sys, time
from signseq.subtitling.run import subtitle
start = time.perf_counter()
report = subtitle(sys.argv[1] or None, sys.argv[2], sys.argv[3])
spent = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(len(report.subtitles.cues), peak, spent)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", default="")
    parser.add_argument("--frames", type=int, nargs="+", default=[5_000, 90_000])
    parser.add_argument("--quality", action="store_true")
    parser.add_argument("--split", default="val", help="whose sentences --quality takes")
    options = parser.parse_args()
    if options.quality:
        return quality(options.checkpoint, options.split)
    print(f"{'frames':>8} {'file, MiB':>10} {'segments':>9} {'peak, MiB':>10} {'frames/s':>9}")
    for frames in options.frames:
        with tempfile.TemporaryDirectory() as name:
            path = write_recording(Path(name) / "long.pose", frames)
            size = path.stat().st_size / 2**20
            segments, peak, seconds = measure(options.checkpoint, path)
        print(f"{frames:8d} {size:10.0f} {segments:9.0f} {peak:10.0f} {frames / seconds:9.0f}")


def write_recording(path: Path, frames: int) -> Path:
    """A minute of sentences with rests, again and again."""
    (made,) = record_all("test", "lowered", recordings=1, each=10, seed=3)
    there = [name for name in KEYPOINTS if name in made.pose.keypoints]
    data = np.zeros((len(made.pose), len(KEYPOINTS), 3), np.float32)
    confidence = np.zeros(data.shape[:2], np.float32)
    columns = [KEYPOINTS.index(name) for name in there]
    taken = select(made.pose, there)
    data[:, columns], confidence[:, columns] = taken.data, taken.confidence
    minute = PoseSequence(data, confidence, made.pose.fps, KEYPOINTS)
    with PoseWriter(path, size=(500, 500)) as writer:
        for first in range(0, frames, len(minute)):
            rest = frames - first
            writer.write(replace(minute, data=data[:rest], confidence=confidence[:rest]))
    return path


def measure(checkpoint: str, path: Path) -> tuple[float, float, float]:
    command = [sys.executable, "-c", VERB, checkpoint, str(path), str(path.with_suffix(".srt"))]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    segments, peak, seconds = map(float, done.stdout.split()[-3:])
    return segments, peak, seconds


def quality(checkpoint: str, split: str) -> None:
    from signseq.metrics import score
    from signseq.poses.sequence import write_pose
    from signseq.subtitling.run import subtitle
    from signseq.translation import Translator

    translator = Translator.from_pretrained(checkpoint)
    recordings = list(record_all(split, "lowered", recordings=10, each=6, seed=7))
    known = [text for each in recordings for text in at_known_places(translator, each)]
    wanted = [text for each in recordings for text in each.texts]
    print(f"{'context, s':>12} {'BLEU-4':>7} {'chrF':>6} {'exact':>6}")
    rows = {"known places": known}
    with tempfile.TemporaryDirectory() as name:
        for context in (0.0, 0.1, 0.2, 0.4):
            found = []
            for recording in recordings:
                path = Path(name) / "one.pose"
                write_pose(path, recording.pose, size=(500, 500))
                cues = subtitle(translator, path, context=context).subtitles.cues
                found += [nearest(cues, span, recording.pose.fps) for span in recording.spans]
            rows[f"{context:g}"] = found
    for label, texts in rows.items():
        scores = score(texts, wanted)
        exact = np.mean([one == other for one, other in zip(texts, wanted, strict=True)])
        print(f"{label:>12} {scores.bleu4:7.2f} {scores.chrf:6.2f} {exact:6.2f}")


def at_known_places(translator: object, recording: Recording) -> list[str]:
    clips = [
        replace(
            recording.pose, data=recording.pose.data[a:b], confidence=recording.pose.confidence[a:b]
        )
        for a, b in recording.spans
    ]
    return [found.text for found in translator.stream(clips)]


def nearest(cues: tuple, span: tuple[int, int], fps: float) -> str:
    """The text of the cue in the middle of a sentence; empty where none is."""
    middle = (span[0] + span[1]) / 2 / fps
    return next((cue.text for cue in cues if cue.start <= middle <= cue.end), "")


if __name__ == "__main__":
    main()

"""A store of clips that hold noise, as long as those of iSign; written in seconds, not prepared."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from signseq.data.shard_reports import ShardReport, pack_report, shard_files
from signseq.data.shards import CLIPS_PER_SHARD, finish_store
from signseq.data.statistics import sum_up
from signseq.data.storage import as_folder
from signseq.data.store import PoseStore, open_store
from signseq.poses.transforms import PoseRecipe

# iSign at 25 frames a second: 118,000 clips, median 150 frames, mean 210, at most 1,291.
CLIPS, MEDIAN, MEAN, LONGEST = 118_000, 150, 210, 1291
SHORTEST = 10


def draw_lengths(clips: int, *, seed: int = 0) -> np.ndarray:
    """Frames of each clip: log-normal, whose mean and median fix it; (N,)."""
    spread = math.sqrt(2 * math.log(MEAN / MEDIAN))
    drawn = np.random.default_rng(seed).lognormal(math.log(MEDIAN), spread, clips)
    return drawn.round().clip(SHORTEST, LONGEST).astype(np.int64)


def write_store(place: Path, *, clips: int, recipe: PoseRecipe, seed: int = 0) -> PoseStore:
    """Write such a store; all clips are slices of one piece of noise."""
    folder, lengths = as_folder(place), draw_lengths(clips, seed=seed)
    place.mkdir(parents=True, exist_ok=True)
    points = len(recipe.names)
    noise = np.random.default_rng(seed).normal(size=(LONGEST, points, recipe.dimensions + 1))
    noise[..., -1] = 1
    packed = noise.astype(np.float16)
    sums = sum_up(packed)
    reports = []
    for number, start in enumerate(range(0, clips, CLIPS_PER_SHARD)):
        frames = lengths[start : start + CLIPS_PER_SHARD]
        names = shard_files(number)
        lines = [
            json.dumps({"uid": f"clip-{start + i}", "frames": int(n), "text": "a text of noise"})
            for i, n in enumerate(frames)
        ]
        with (place / names[".poses"]).open("wb") as file:
            for length in frames:
                file.write(packed[:length].data)
        (place / names[".jsonl"]).write_text("".join(f"{line}\n" for line in lines))
        report = ShardReport(
            digest=f"{number}", clips=len(frames), frames=int(frames.sum()), sums=sums
        )
        report.lengths = np.array(
            [(n, len(line) + 1) for n, line in zip(frames, lines, strict=True)]
        )
        (place / names[".json"]).write_bytes(pack_report(report))
        reports.append(report)
    finish_store(folder, reports, recipe, rows="synthetic")
    return open_store(place)

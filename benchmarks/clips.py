"""Made-up .pose files of iSign's shape, for the benchmarks: 576 points, 25 fps, one person."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from signseq.poses.keypoints import BODY_POINTS, KEYPOINT_SETS
from signseq.poses.sequence import PoseSequence, write_pose

WORLD = tuple(f"POSE_WORLD_LANDMARKS.{point}" for point in BODY_POINTS)
KEYPOINTS = KEYPOINT_SETS["all"].keypoints + WORLD


def write_clips(
    folder: Path,
    *,
    files: int,
    rows: int | None = None,
    seed: int = 0,
    median: int = 150,
    mean_to_median: float = 1.4,
    fps: float = 25.0,
) -> Path:
    """Write `files` clips and a table of `rows` rows that go round them; returns the table's path.

    Lengths are log-normal with the given median and a mean 1.4 times as large, as iSign's are
    (median 150, mean 210 frames); with a mean of the median they are all the same.
    """
    rng = np.random.default_rng(seed)
    (folder / "poses").mkdir(parents=True, exist_ok=True)
    rest = rng.uniform(100, 400, size=(len(KEYPOINTS), 3))
    for side, x in (("LEFT", 350.0), ("RIGHT", 150.0)):
        rest[KEYPOINTS.index(f"POSE_LANDMARKS.{side}_SHOULDER")] = (x, 250.0, 0.0)
    for number in range(files):
        length = rng.lognormal(np.log(median), np.sqrt(2 * np.log(mean_to_median)))
        frames = int(np.clip(length + 1e-6, min(median, 10), 1291))
        data = (rest + rng.normal(scale=2, size=(frames, len(KEYPOINTS), 3))).astype(np.float32)
        confidence = np.ones(data.shape[:2], np.float32)
        write_pose(
            folder / "poses" / f"{number}.pose",
            PoseSequence(data, confidence, fps, KEYPOINTS),
            size=(500, 500),
        )
    words = ("we", "you", "they", "eat", "see", "like", "bread", "water", "today", "tomorrow")
    table = folder / "train.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("uid", "text", "pose_path"))
        for row in range(rows or files):
            writer.writerow(
                (f"clip-{row}", " ".join(rng.choice(words, size=8)), f"{row % files}.pose")
            )
    return table

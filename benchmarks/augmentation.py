"""What each random transform costs a clip, as training reads it from a store.

    python benchmarks/augmentation.py [--clips 120] [--rounds 7]

Microseconds per clip on one core, warm cache, in batches of 16; clips of iSign's lengths, 80 points in float16.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from clips import write_clips

from signseq.config import parse_config
from signseq.data.batching import ClipDataset
from signseq.poses.augmentation import Augmentation
from signseq.preparation import open_split, prepare

BATCH = 16  # clips
SINGLE: dict[str, dict[str, Any]] = {
    "none of them": {},
    "rotate_degrees": {"rotate_degrees": 10},
    "shear": {"shear": 0.1},
    "scale": {"scale": 0.1},
    "shift": {"shift": 0.1},
    "mirror": {"mirror": 1.0},
    "joint_noise": {"joint_noise": 0.01},
    "outliers": {"outliers": 0.002},
    "speed": {"speed": 0.2},
    "speed, linear": {"speed": 0.2, "speed_resampling": "linear"},
    "drop_frames": {"drop_frames": 0.1},
    "drop_hand": {"drop_hand": 0.5},
}
USUAL = {"rotate_degrees": 10, "speed": 0.2, "drop_frames": 0.1, "drop_hand": 0.05}
EVERYTHING = {key: value for settings in SINGLE.values() for key, value in settings.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), clips=options.clips, rounds=options.rounds)


def measure(folder: Path, *, clips: int, rounds: int) -> None:
    data = {
        "train_path": str(write_clips(folder, files=clips)),
        "pose_dir": str(folder / "poses"),
        "store": str(folder / "store"),
    }
    config = parse_config(
        {"data": data, "model": {"name": "t5"}, "training": {"checkpoint_dir": "none"}}
    )
    prepare(config, workers=1)
    store = open_split(config.data, "train")
    print(f"{clips} clips, {store.frames.mean():.0f} frames in the mean")
    settings = {**SINGLE, "usual": USUAL, "everything": EVERYTHING}
    datasets = {
        name: ClipDataset(store, augmentation=Augmentation(**each))
        for name, each in settings.items()
    }
    times: dict[str, list[float]] = {name: [] for name in datasets}
    for epoch in range(
        rounds
    ):  # in turns, so that a busy moment of the machine strikes all of them
        for name, dataset in datasets.items():
            begun = time.perf_counter()
            for first in range(0, clips, BATCH):
                dataset.__getitems__([(epoch, i) for i in range(first, min(first + BATCH, clips))])
            times[name].append((time.perf_counter() - begun) / clips * 1e6)
    for name, each in times.items():
        print(f"{name:16} {statistics.median(each):7.0f}   (lowest {min(each):.0f})")


if __name__ == "__main__":
    main()

"""How fast clips come from the store, beside what they could come from.

    python benchmarks/data.py [--clips 120] [--rounds 5]

Frames per second on one core, warm cache, the same clips in the same batches of 32:

    ours  store -> collated float16 batch (ClipDataset and collate, as training uses them)
    (a)   pose_format reading the .pose files
    (b)   (a), and the same selection, normalisation and packing
    (c)   slices of one numpy memory map of the same bytes, copied into padded arrays

Expected: ours at least 40 times (b), and at least 0.6 of (c).
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from clips import write_clips
from pose_format import Pose

from signseq.config import parse_config
from signseq.data.batching import BucketBatchSampler, ClipDataset, collate
from signseq.data.token_texts import TokenTexts
from signseq.poses.sequence import PoseSequence
from signseq.preparation import build_recipe, open_split, prepare


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), clips=options.clips, rounds=options.rounds)


def measure(folder: Path, *, clips: int, rounds: int) -> None:
    table = write_clips(folder, files=clips)
    data = {
        "train_path": str(table),
        "pose_dir": str(folder / "poses"),
        "store": str(folder / "store"),
    }
    config = parse_config(
        {"data": data, "model": {"name": "t5"}, "training": {"checkpoint_dir": "none"}}
    )
    begun = time.perf_counter()
    prepare(config, workers=1)
    seconds = time.perf_counter() - begun
    store = open_split(config.data, "train")
    frames = int(store.frames.sum())
    print(
        f"{clips} clips, {frames} frames of 576 points; "
        f"store: {len(store.recipe.names)} points ({config.data.keypoints})"
    )
    print(f"prepare on one core: {clips / seconds:.0f} clips/s, {frames / seconds:,.0f} frames/s")

    labels = TokenTexts(
        (store.text(i) for i in range(len(store))), lambda texts: [[7] * 20 for _ in texts]
    )
    dataset = ClipDataset(store, labels)
    batches = list(BucketBatchSampler(dataset.lengths, batch_size=32))
    recipe = build_recipe(config.data)
    paths = [folder / "poses" / f"{number}.pose" for number in range(clips)]
    packed = np.concatenate([store.clip(i) for i in range(len(store))])
    packed.tofile(folder / "packed")
    mapped = np.memmap(folder / "packed", dtype=np.float16, mode="r").reshape(packed.shape)
    ends = np.cumsum(store.frames)
    starts = ends - store.frames

    def ours() -> None:
        for keys in batches:
            collate([dataset[key] for key in keys])

    def raw() -> None:
        for path in paths:
            Pose.read(path.read_bytes())

    def raw_and_normalised() -> None:
        for path in paths:
            pose = Pose.read(path.read_bytes())
            names = tuple(
                f"{part.name}.{point}" for part in pose.header.components for point in part.points
            )
            recipe.pack(
                PoseSequence(
                    pose.body.data.data[:, 0], pose.body.confidence[:, 0], pose.body.fps, names
                )
            )

    def slices() -> None:
        for keys in batches:
            longest = max(ends[i] - starts[i] for _, i in keys)
            batch = np.zeros((len(keys), longest, *packed.shape[1:]), np.float16)
            for row, (_, i) in enumerate(keys):
                batch[row, : ends[i] - starts[i]] = mapped[starts[i] : ends[i]]

    ways = {
        "ours": (ours, 20),
        "(a)": (raw, 1),
        "(b)": (raw_and_normalised, 1),
        "(c)": (slices, 20),
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):  # in turns, so that a busy moment of the machine strikes all of them
        for way, (work, repeats) in ways.items():
            rates[way].append(frames / timed(work, repeats))
    medians = {way: statistics.median(values) for way, values in rates.items()}
    for way, values in rates.items():
        print(
            f"{way:5} {medians[way]:14,.0f} frames/s   (lowest {min(values):,.0f}, highest {max(values):,.0f})"
        )
    for way in ("(a)", "(b)", "(c)"):
        ratios = [mine / other for mine, other in zip(rates["ours"], rates[way], strict=True)]
        print(
            f"ours / {way}: {statistics.median(ratios):.2f}   (lowest {min(ratios):.2f}, highest {max(ratios):.2f})"
        )


def timed(work: Callable[[], None], repeats: int) -> float:
    """Seconds for one call."""
    begun = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - begun) / repeats


if __name__ == "__main__":
    main()

"""How fast poses of each format are read and packed, beside pose_format's own reading.

    python benchmarks/formats.py [--clips 60] [--rounds 5]

Frames per second on one core, warm cache, clips of 150 frames:

    read  all frames of a clip, decoded
    pack  what `signseq prepare` does with it: open, the points of `upper_body_hands`, normalise, float16

The first line is pose_format reading .pose files of 576 points.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.append(str(Path(__file__).parents[1] / "tests"))  # whose files these are

import h5py
import numpy as np
import zstandard
from pose_format import Pose

from pose_files import random_points, split_file, write_openpose, write_wholebody
from signseq.poses.sequence import PoseSequence, write_pose
from signseq.poses.skeletons import SKELETONS
from signseq.poses.sources.opening import open_poses
from signseq.poses.sources.source import PoseFormat, PoseSource
from signseq.poses.transforms import PoseRecipe

FRAMES = 150
RECIPES = {
    "h5": PoseRecipe(keypoints="upper_body_hands", normalize="none"),  # normalised already
    "": PoseRecipe(keypoints="upper_body_hands"),
}
Clips = list[Callable[[], PoseSource]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), clips=options.clips, rounds=options.rounds)


def measure(folder: Path, *, clips: int, rounds: int) -> None:
    sets = write_clips(folder, clips)
    frames = clips * FRAMES
    paths = [folder / f"{number}.pose" for number in range(clips)]

    def raw() -> None:
        for path in paths:
            Pose.read(path.read_bytes())

    print(f"{clips} clips of {FRAMES} frames; median of {rounds} rounds, frames/s on one core")
    base = rate(raw, frames, rounds)
    print(f"{'pose_format, .pose':32}{base:>12,.0f}")
    print(f"{'':32}{'read':>12}{'':10}{'pack':>12}")
    for name, openers in sets.items():

        def read(openers: Clips = openers) -> None:
            for opener in openers:
                opener().read().read()

        recipe = RECIPES.get(name, RECIPES[""])

        def pack(openers: Clips = openers, recipe: PoseRecipe = recipe) -> None:
            for opener in openers:
                recipe.pack(recipe.read(opener().read()))

        rates = [rate(task, frames, rounds) for task in (read, pack)]
        figures = "".join(f"{figure:>12,.0f}{f'({figure / base:.2f})':>10}" for figure in rates)
        print(f"{name:32}{figures}")


def rate(task: Callable[[], None], frames: int, rounds: int) -> float:
    task()
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        task()
        times.append(time.perf_counter() - begun)
    return frames / statistics.median(times)


def write_clips(folder: Path, clips: int) -> dict[str, Clips]:
    """The same number of clips in every format, and what opens each."""
    names = SKELETONS["mediapipe_holistic_world"].names
    compressor = zstandard.ZstdCompressor()
    numbers = range(clips)
    with (
        h5py.File(folder / "a.h5", "w") as h5,
        zipfile.ZipFile(folder / "stored.zip", "w") as stored,
        zipfile.ZipFile(folder / "deflated.zip", "w", zipfile.ZIP_DEFLATED) as deflated,
    ):
        for n in numbers:
            values = random_points(FRAMES, len(names), channels=4, seed=n)
            pose = PoseSequence(values[..., :3], values[..., 3], 25.0, names)
            write_pose(folder / f"{n}.pose", pose, size=(500, 500))
            content = (folder / f"{n}.pose").read_bytes()
            (folder / f"{n}.pose.zst").write_bytes(compressor.compress(content))
            stored.writestr(f"{n}.pose", content)
            deflated.writestr(f"{n}.pose", content)
            np.save(folder / f"{n}.npy", values[:, :543, :3])
            whole = random_points(FRAMES, 137, seed=n)
            write_openpose(folder / str(n), [[frame] for frame in whole])
            write_wholebody(folder / f"{n}.pkl", whole[:, :133])
            h5[f"v/{n}"] = whole[:, :104, :2].reshape(FRAMES, 208).astype(np.float16)
    (folder / "parts.zip").write_bytes((folder / "stored.zip").read_bytes())
    split_file(folder / "parts.zip", parts=4)

    def opener(
        name: str, *, member: str | None = None, kind: str = "pose", **facts: object
    ) -> Callable[[], PoseSource]:
        said = PoseFormat(kind, **facts)  # type: ignore[arg-type]
        return lambda: open_poses(str(folder / name), member=member, pose_format=said)

    holistic = {"kind": "npy", "skeleton": "mediapipe_holistic", "fps": 25.0}
    return {
        ".pose": [opener(f"{n}.pose") for n in numbers],
        ".pose.zst": [opener(f"{n}.pose.zst", kind="pose.zst") for n in numbers],
        ".pose in a zip, stored": [opener("stored.zip", member=f"{n}.pose") for n in numbers],
        ".pose in four parts of a zip": [
            opener("parts_part_aa", member=f"{n}.pose") for n in numbers
        ],
        ".pose in a zip, deflated": [opener("deflated.zip", member=f"{n}.pose") for n in numbers],
        ".npy, 543 points": [opener(f"{n}.npy", **holistic) for n in numbers],
        "openpose, 137 points": [opener(str(n), kind="openpose", fps=25.0) for n in numbers],
        "wholebody_pkl, 133 points": [
            opener(f"{n}.pkl", kind="wholebody_pkl", fps=25.0, allow_pickle=True) for n in numbers
        ],
        "h5": [opener("a.h5", member=f"v/{n}", kind="h5", fps=25.0) for n in numbers],
    }


if __name__ == "__main__":
    main()

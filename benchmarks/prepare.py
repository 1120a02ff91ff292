"""How fast `signseq prepare` packs, beside what reading the same files costs anyway.

    python benchmarks/prepare.py [--rows 1000] [--rounds 5] [--memory 1000 20000] [--clips 118000]

All files are in the system's cache. Rounds alternate, each in a process of its own, so that a busy
machine strikes all of them; the best of the rounds counts.

    packing    clips of 150 frames with 576 points into upper_body_hands_face at 25 fps, from files of
               25 and of 29.97 fps; beside it pose_format reading the same files, in as many processes:
               as it is, and with the C library's memory kept from clip to clip (glibc else gives it back
               and asks for it anew, which can cost more than the reading)
    memory     peak resident memory of the largest process for so many clips
    size       what a corpus of iSign's size takes, by the above: 118,000 clips of 210 frames
    opening    a store of so many clips, of 4 frames each so that the disk doesn't fill; only the number
               of clips counts for opening, as poses are mapped, not read

Expected: 100 clips/s on 2 cores; packing at least 0.5 of reading per core; memory that does not grow;
opening in under a second. `--memory 0` and `--clips 0` leave those out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from clips import write_clips
from pose_format import Pose

from signseq.config import Config, parse_config
from signseq.preparation import open_split, prepare

FILES = 100  # that the rows of a table go round
ISIGN_CLIPS, ISIGN_FRAMES = 118_000, 210
# Lets glibc keep 64 MiB rather than give memory back after each clip.
KEEP_MEMORY = {
    "MALLOC_TOP_PAD_": str(64 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(128 << 20),
}
READ = """
import multiprocessing, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from prepare import read
rows, processes = map(int, sys.argv[3:])
files = sorted(Path(sys.argv[2], "poses").iterdir())
paths = [files[row % len(files)] for row in range(rows)]
for path in files:
    read(path)
begun = time.perf_counter()
if processes == 1:
    for path in paths:
        read(path)
else:
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        pool.map(read, paths, chunksize=64)
print(rows / (time.perf_counter() - begun))
"""
PACK = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from prepare import make_config, prepare
rows, processes = map(int, sys.argv[3:])
config = make_config(Path(sys.argv[2]), "store")
begun = time.perf_counter()
prepare(config, workers=processes)
print(rows / (time.perf_counter() - begun))
"""
PEAK = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from prepare import make_config, prepare
prepare(make_config(Path(sys.argv[2]), "store"), workers=2)
print(max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024)
"""
OPEN = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from prepare import make_config, open_split
from signseq.data.store import open_store
config = make_config(Path(sys.argv[2]), "store")
begun = time.perf_counter()
store = open_store(config.data.store / "train")
store.clip(len(store) - 1).sum()
opened = time.perf_counter()
open_split(config.data, "train")
print(opened - begun, time.perf_counter() - opened)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", type=int, nargs="+", default=[1000, 20_000])
    parser.add_argument("--clips", type=int, default=ISIGN_CLIPS)
    options = parser.parse_args()
    for fps in (25.0, 29.97):
        with tempfile.TemporaryDirectory() as name:
            measure_packing(Path(name), rows=options.rows, rounds=options.rounds, fps=fps)
    for clips in filter(None, options.memory):
        with tempfile.TemporaryDirectory() as name:
            write_clips(Path(name), files=FILES, rows=clips, median=20)
            print(f"memory: {clips:7,d} clips: {run(PEAK, name)[0]:.0f} MiB", flush=True)
    if options.clips:
        with tempfile.TemporaryDirectory() as name:
            measure_opening(Path(name), clips=options.clips)


def make_config(folder: Path, store: str) -> Config:
    data = {
        "train_path": str(folder / "train.csv"),
        "pose_dir": str(folder / "poses"),
        "store": str(folder / store),
        "keypoints": "upper_body_hands_face",
        "fps": 25,
    }
    return parse_config(
        {"data": data, "model": {"name": "t5"}, "training": {"checkpoint_dir": "none"}}
    )


def measure_packing(folder: Path, *, rows: int, rounds: int, fps: float) -> None:
    write_clips(folder, files=FILES, rows=rows, mean_to_median=1.0, fps=fps)
    cores = os.cpu_count() or 1
    ways = {"prepare": (PACK, {}), "reading": (READ, {}), "kept": (READ, KEEP_MEMORY)}
    for processes in sorted({1, cores}):
        best = dict.fromkeys(ways, 0.0)
        for _ in range(rounds):
            for way, (code, environment) in ways.items():
                shutil.rmtree(folder / "store", ignore_errors=True)
                rate = run(code, folder, rows, processes, environment=environment)[0]
                best[way] = max(best[way], rate)
                if way == "prepare":
                    store = open_split(make_config(folder, "store").data, "train")
                    size = sum(store.folder.sizes().values())
                    frames = int(store.frames.sum())
        print(
            f"{fps:g} fps, {processes} process(es): prepare {best['prepare']:.0f} clips/s; pose_format alone "
            f"{best['reading']:.0f}, so {best['prepare'] / best['reading']:.2f} of it per core; with memory kept "
            f"{best['kept']:.0f}, so {best['prepare'] / best['kept']:.2f}",
            flush=True,
        )
    gigabytes = size / frames * ISIGN_CLIPS * ISIGN_FRAMES * 25 / fps / 2**30
    minutes = ISIGN_CLIPS / best["prepare"] * ISIGN_FRAMES / 150 / 60
    print(
        f"size: {ISIGN_CLIPS:,} clips of {ISIGN_FRAMES} frames at {fps:g} fps: {gigabytes:.1f} GiB, "
        f"{minutes:.1f} minutes of {cores} cores from files in the system's cache",
        flush=True,
    )


def read(path: Path) -> None:
    Pose.read(path.read_bytes())


def measure_opening(folder: Path, *, clips: int) -> None:
    write_clips(folder, files=FILES, rows=clips, median=4, mean_to_median=1.0)
    begun = time.perf_counter()
    prepare(make_config(folder, "store"))
    packed = time.perf_counter() - begun
    opened, checked = np.min([run(OPEN, folder) for _ in range(3)], axis=0)
    print(
        f"opening: {clips:,} clips: {opened:.3f} s; with a look at whether the table has changed "
        f"{checked:.2f} s (packing it took {packed:.0f} s)"
    )


def run(
    code: str, folder: str | Path, *arguments: int, environment: Mapping[str, str] | None = None
) -> list[float]:
    """Run code in a process of its own; the numbers on its last line."""
    places = (str(Path(__file__).parent), str(folder))
    done = subprocess.run(
        [sys.executable, "-c", code, *places, *map(str, arguments)],
        env=os.environ | (environment or {}),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return [float(number) for number in done.stdout.split("\n")[-2].split()]


if __name__ == "__main__":
    main()

"""Memory of `prepare` and `train` for 1,000 and 10,000 clips: it must not grow with their number.

    python benchmarks/memory.py [--clips 1000 10000] [--steps 30]

The table goes round the same 100 files, so that the disk doesn't fill. Peak resident memory of the
largest process, in MiB, each verb in a process of its own. Of training also what it holds at its end
itself: the peak counts pages of the memory-mapped store, too, which the system takes back when it needs
them, and a larger store has more that are read.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from clips import write_clips

VERB = """
import resource, sys
from signseq.config import load_config
config = load_config(sys.argv[2])
if sys.argv[1] == "prepare":
    from signseq.preparation import prepare
    prepare(config, workers=2)
else:
    from signseq.training.run import train
    train(config, overwrite=True)
own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
lines = open("/proc/self/status").read().splitlines()
held = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))
print(max(own, children) / 1024, held / 1024)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args()
    print(f"{'clips':>8} {'prepare, MiB':>14} {'train, MiB':>14} {'held, MiB':>14}")
    for clips in options.clips:
        with tempfile.TemporaryDirectory() as name:
            config = write_config(Path(name), clips=clips, steps=options.steps)
            (prepare, _), (train, held) = (measure(verb, config) for verb in ("prepare", "train"))
        print(f"{clips:8d} {prepare:14.0f} {train:14.0f} {held:14.0f}")


def write_config(folder: Path, *, clips: int, steps: int) -> Path:
    table = write_clips(folder, files=100, rows=clips, median=60)
    size = {"width": 64, "layers": 1, "heads": 2, "feed_forward": 128}
    settings = {
        "data": {
            "train_path": str(table),
            "pose_dir": str(folder / "poses"),
            "store": str(folder / "store"),
        },
        "model": {"name": "bart", "from_scratch": True, "tokenizer": "train", "size": size},
        "training": {
            "max_steps": steps,
            "batch_size": 8,
            "num_workers": 0,
            "checkpoint_dir": str(folder / "run"),
        },
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def measure(verb: str, config: Path) -> tuple[float, float]:
    """The peak, and what the process itself holds at the end."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", VERB, verb, str(config)],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,  # what goes wrong is to be seen
        text=True,
    )
    most, held = done.stdout.split()[-2:]
    return float(most), float(held)


if __name__ == "__main__":
    main()

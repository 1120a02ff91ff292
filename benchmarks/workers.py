"""How long a training process is held up by a batch that a worker has ready.

    OMP_NUM_THREADS=1 python benchmarks/workers.py [CONFIG] [key=value ...] [--step 30] [--rounds 3]

Between two batches the process multiplies matrices for STEP milliseconds, so that a worker is always ahead;
what is measured is the asking for the next one. Rows: read in the same process, by a worker of torch's
DataLoader, by one of signseq's. CONFIG is by default configs/demo.yaml; its store must be prepared.
Expected: ours about a fifth of torch's.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Iterable, Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from signseq.config import load_config
from signseq.training import batch_loader
from signseq.training.run import build_parts

BATCHES = 100
WARM_UP = 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", nargs="?", default="configs/demo.yaml")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--step", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_intermixed_args()
    rows = {
        "in the same process": (0, False),
        "torch's worker": (1, False),
        "signseq's worker": (1, True),
    }
    found: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(options.rounds):
        for name, (workers, is_ours) in rows.items():
            overrides = [
                *options.overrides,
                f"training.num_workers={workers}",
                "data.val_path=null",
            ]
            config = load_config(options.config, overrides)
            parts = build_parts(config)
            batch_loader.can_read_ahead = lambda is_ours=is_ours: is_ours  # type: ignore[attr-defined, misc]
            loader = batch_loader.build_loader(config, parts.dataset, parts.sampler)
            found[name] += held_up(endless(loader), step=options.step / 1000)
            batch_loader.close_loader(loader)
    for name, seconds in found.items():
        times = [1000 * each for each in seconds]
        middle, late = statistics.median(times), statistics.quantiles(times, n=10)[-1]
        print(f"{middle:6.2f} ms a batch (one in ten: {late:.2f} or more)  {name}")


def endless(loader: Iterable[object]) -> Iterator[object]:
    while True:
        yield from loader


def held_up(batches: Iterator[object], *, step: float) -> list[float]:
    """Seconds that each of some batches was waited for."""
    found = []
    matrix = torch.rand(128, 128)
    for number in range(BATCHES):
        begun = time.perf_counter()
        next(batches)
        if number >= WARM_UP:
            found.append(time.perf_counter() - begun)
        until = time.perf_counter() + step
        while time.perf_counter() < until:
            matrix @ matrix
    return found


if __name__ == "__main__":
    main()

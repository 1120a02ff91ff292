"""How fast clips come from a store that lies elsewhere, by way of the cache, beside a local one.

    python benchmarks/streaming.py [--clips 4096] [--epochs 3]

Frames per second of one process without workers, in batches of 32 of similar length, each epoch in
another order, as training reads them. The store is read

    local     where it is, memory-mapped
    fits      from file://, through a cache that holds twice the store
    windows   from file://, through a cache that holds 0.3 of the store, so in windows

file:// stands for a place as fast as this machine's disk; a network adds what it takes to bring the
bytes that are printed beside each epoch.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from clips import write_clips

from signseq.config import parse_config
from signseq.data.batching import BucketBatchSampler, ClipDataset, collate
from signseq.data.cache_space import ShardCache
from signseq.data.planning import ShardWindows
from signseq.data.prefetching import Prefetcher
from signseq.data.storage import RemoteFolder
from signseq.data.store import PoseStore, open_store
from signseq.preparation import prepare

downloads: list[int] = []  # the bytes of each


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=4096)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), clips=options.clips, epochs=options.epochs)


def measure(folder: Path, *, clips: int, epochs: int) -> None:
    table = write_clips(folder, files=120, rows=clips)
    data = {
        "train_path": str(table),
        "pose_dir": str(folder / "poses"),
        "store": str(folder / "store"),
    }
    config = parse_config(
        {"data": data, "model": {"name": "t5"}, "training": {"checkpoint_dir": "none"}}
    )
    prepare(config, workers=1)
    local = open_store(folder / "store" / "train")
    size = int(local.shard_bytes.sum())
    print(
        f"{clips} clips, {int(local.frames.sum())} frames, {size / 2**20:.0f} MiB in "
        f"{len(local.shard_bytes)} shards"
    )
    url = f"file://{folder}/store/train"
    ways = {
        "local": local,
        "fits": open_store(url, cache=ShardCache(folder / "large", 2 * size)),
        "windows": open_store(url, cache=ShardCache(folder / "small", int(0.3 * size))),
    }
    count_downloads()
    for way, store in ways.items():
        read(way, store, epochs=epochs)


def count_downloads() -> None:
    fetch = RemoteFolder.fetch

    def note(self: RemoteFolder, name: str, path: Path) -> None:
        fetch(self, name, path)
        downloads.append(path.stat().st_size)

    RemoteFolder.fetch = note  # type: ignore[method-assign]


def read(way: str, store: PoseStore, *, epochs: int) -> None:
    dataset = ClipDataset(store)
    windows = ShardWindows.of_store(store)
    sampler = BucketBatchSampler(
        dataset.lengths,
        batch_size=32,
        windows=windows,
        prefetcher=Prefetcher(store, lead=8) if windows else None,
    )
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        sampler.is_last_epoch = epoch + 1 == epochs
        downloads.clear()
        begun, longest, last = time.perf_counter(), 0.0, time.perf_counter()
        for keys in sampler:
            collate([dataset[key] for key in keys])
            longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
        seconds = time.perf_counter() - begun
        print(
            f"{way:8} epoch {epoch}: {int(store.frames.sum()) / seconds:12,.0f} frames/s, "
            f"{len(sampler)} batches, {windows.count if windows else 1} windows, "
            f"{sum(downloads) / 2**20:.0f} MiB downloaded, longest wait {longest:.2f} s"
        )


if __name__ == "__main__":
    main()

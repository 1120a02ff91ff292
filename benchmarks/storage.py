"""Which format a store's shards should have: ours beside the conventional ones.

    python benchmarks/storage.py [--clips 1024] [--rounds 5]

The clips are random numbers in the shape of packed poses: float16, (frames, 80 points, 3), frames log-normal
round 150. All files are in the system's cache. Seconds are of the processor, so that a busy machine spoils less.
Rounds alternate; the median counts, with the least and the most.

    random       clips drawn at random from all shards, 32 at a time, padded into one float16 batch
    whole shard  what a shard that has come over the network takes to be read in order into such batches,
                 from the file as it was fetched
    size         of all shards

Formats, each with 256 clips a shard:

    ours         one file of the clips one after another, memory-mapped; where each begins is known beforehand
    safetensors  a tensor per clip
    arrow        Arrow IPC, memory-mapped: a binary column, a shard a record batch; its buffers are not copied
    datasets     the same column by Hugging Face's `save_to_disk`, rows taken as `dataset[i]`
    parquet      a binary column, a shard a row group, without compression; at random a row group is read
                 for each clip, as nothing less can be
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

os.environ.setdefault("OMP_NUM_THREADS", "1")

import datasets
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet
from safetensors import safe_open
from safetensors.numpy import save_file

CLIPS_PER_SHARD, BATCH = 256, 32
POINT_SHAPE = (80, 3)  # upper_body_hands_face, x, y and confidence
Clip = NDArray[np.float16]


class Form(Protocol):
    """A store of one format."""

    def write(self, folder: Path, clips: Sequence[Clip]) -> None: ...

    def open(self, folder: Path) -> Callable[[int], Clip]:
        """What gives a clip by its number."""

    def read_shard(self, folder: Path) -> Sequence[Clip]:
        """The clips of the first shard, in order, from its file."""


def shards_of(clips: Sequence[Clip]) -> list[Sequence[Clip]]:
    return [clips[i : i + CLIPS_PER_SHARD] for i in range(0, len(clips), CLIPS_PER_SHARD)]


def as_clip(content: bytes | memoryview | pa.Buffer) -> Clip:
    return np.frombuffer(content, np.float16).reshape(-1, *POINT_SHAPE)


class Ours:
    def write(self, folder: Path, clips: Sequence[Clip]) -> None:
        for number, shard in enumerate(shards_of(clips)):
            with (folder / f"{number}.poses").open("wb") as file:
                for clip in shard:
                    file.write(clip.data)
        np.save(folder / "index.npy", [len(clip) for clip in clips])

    def _places(self, folder: Path) -> list[tuple[int, int]]:
        lengths = np.load(folder / "index.npy").reshape(-1)
        places = []
        for shard in (
            lengths[i : i + CLIPS_PER_SHARD] for i in range(0, len(lengths), CLIPS_PER_SHARD)
        ):
            ends = shard.cumsum()
            places += list(zip((ends - shard).tolist(), ends.tolist(), strict=True))
        return places

    def open(self, folder: Path) -> Callable[[int], Clip]:
        places = self._places(folder)
        maps = [
            np.memmap(folder / f"{i}.poses", np.float16, "r")
            .reshape(-1, *POINT_SHAPE)
            .view(np.ndarray)
            for i in range(-(-len(places) // CLIPS_PER_SHARD))
        ]
        return lambda number: maps[number // CLIPS_PER_SHARD][slice(*places[number])]

    def read_shard(self, folder: Path) -> Sequence[Clip]:
        clip = self.open(folder)
        return [clip(number) for number in range(CLIPS_PER_SHARD)]


class SafeTensors:
    def write(self, folder: Path, clips: Sequence[Clip]) -> None:
        for number, shard in enumerate(shards_of(clips)):
            save_file(
                {f"{i:05d}": clip for i, clip in enumerate(shard)}, folder / f"{number}.safetensors"
            )

    def open(self, folder: Path) -> Callable[[int], Clip]:
        files = [
            safe_open(folder / f"{number}.safetensors", "numpy")
            for number in range(len(list(folder.iterdir())))
        ]
        return lambda number: files[number // CLIPS_PER_SHARD].get_tensor(
            f"{number % CLIPS_PER_SHARD:05d}"
        )

    def read_shard(self, folder: Path) -> Sequence[Clip]:
        clip = self.open(folder)
        return [clip(number) for number in range(CLIPS_PER_SHARD)]


def as_batch(shard: Sequence[Clip]) -> pa.RecordBatch:
    column = pa.array([clip.tobytes() for clip in shard], pa.large_binary())
    return pa.record_batch({"poses": column})


class Arrow:
    def write(self, folder: Path, clips: Sequence[Clip]) -> None:
        for number, shard in enumerate(shards_of(clips)):
            batch = as_batch(shard)
            with (
                pa.OSFile(str(folder / f"{number}.arrow"), "wb") as file,
                pa.ipc.new_file(file, batch.schema) as out,
            ):
                out.write_batch(batch)

    def _column(self, path: Path) -> pa.Array:
        return pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0).column(0)

    def open(self, folder: Path) -> Callable[[int], Clip]:
        columns = [self._column(folder / f"{i}.arrow") for i in range(len(list(folder.iterdir())))]
        return lambda number: as_clip(
            columns[number // CLIPS_PER_SHARD][number % CLIPS_PER_SHARD].as_buffer()
        )

    def read_shard(self, folder: Path) -> Sequence[Clip]:
        return [as_clip(each.as_buffer()) for each in self._column(folder / "0.arrow")]


class Datasets:
    def write(self, folder: Path, clips: Sequence[Clip]) -> None:
        features = datasets.Features({"poses": datasets.Value("large_binary")})
        table = datasets.Dataset.from_dict({"poses": [clip.tobytes() for clip in clips]}, features)
        table.save_to_disk(folder, num_shards=len(shards_of(clips)))

    def open(self, folder: Path) -> Callable[[int], Clip]:
        table = datasets.load_from_disk(folder)
        return lambda number: as_clip(table[number]["poses"])

    def read_shard(self, folder: Path) -> Sequence[Clip]:
        shard = datasets.Dataset.from_file(str(min(folder.glob("*.arrow"))))
        return [as_clip(row["poses"]) for row in shard]


class Parquet:
    def write(self, folder: Path, clips: Sequence[Clip]) -> None:
        for number, shard in enumerate(shards_of(clips)):
            table = pa.Table.from_batches([as_batch(shard)])
            parquet.write_table(
                table, folder / f"{number}.parquet", compression="none", use_dictionary=False
            )

    def open(self, folder: Path) -> Callable[[int], Clip]:
        files = [
            parquet.ParquetFile(folder / f"{i}.parquet") for i in range(len(list(folder.iterdir())))
        ]

        def clip(number: int) -> Clip:
            column = files[number // CLIPS_PER_SHARD].read_row_group(0).column(0)
            return as_clip(column[number % CLIPS_PER_SHARD].as_buffer())

        return clip

    def read_shard(self, folder: Path) -> Sequence[Clip]:
        return [
            as_clip(each.as_buffer()) for each in parquet.read_table(folder / "0.parquet").column(0)
        ]


FORMS: dict[str, Form] = {
    "ours": Ours(),
    "safetensors": SafeTensors(),
    "arrow": Arrow(),
    "datasets": Datasets(),
    "parquet": Parquet(),
}


def collate(clips: Sequence[Clip]) -> NDArray[np.float16]:
    batch = np.zeros((len(clips), max(map(len, clips)), *POINT_SHAPE), np.float16)
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = clip
    return batch


def measure_random(form: Form, folder: Path, count: int, rng: np.random.Generator) -> float:
    """Frames a second of processor time, from an opened store."""
    clip, frames = form.open(folder), 0
    numbers = rng.permutation(count)[: BATCH if isinstance(form, Parquet) else 16 * BATCH]
    begun = time.process_time()
    for start in range(0, len(numbers), BATCH):
        clips = [clip(int(number)) for number in numbers[start : start + BATCH]]
        collate(clips)
        frames += sum(map(len, clips))
    return frames / (time.process_time() - begun)


def measure_shard(form: Form, folder: Path) -> float:
    """Frames a second, opening the file included."""
    begun = time.process_time()
    clips = form.read_shard(folder)
    for start in range(0, len(clips), BATCH):
        collate(clips[start : start + BATCH])
    return sum(map(len, clips)) / (time.process_time() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    datasets.disable_progress_bars()
    lengths = np.clip(np.exp(rng.normal(np.log(150), 0.5, options.clips)), 20, 600).astype(int)
    clips = [
        rng.random((int(length), *POINT_SHAPE), np.float32).astype(np.float16) for length in lengths
    ]
    with tempfile.TemporaryDirectory() as name:
        folders = {form: Path(name, form) for form in FORMS}
        for form, folder in folders.items():
            folder.mkdir()
            FORMS[form].write(folder, clips)
            first = FORMS[form].open(folder)
            assert all(np.array_equal(first(i), clips[i]) for i in (0, options.clips - 1))
        found: dict[str, list[tuple[float, float]]] = {form: [] for form in FORMS}
        for _ in range(options.rounds):
            for form, folder in folders.items():
                found[form].append(
                    (
                        measure_random(FORMS[form], folder, options.clips, rng) / 1e6,
                        measure_shard(FORMS[form], folder) / 1e6,
                    )
                )
        print(
            "format        random, million frames/s      whole shard, million frames/s    size, MiB"
        )
        for form, rounds in found.items():
            random, whole = ([each[i] for each in rounds] for i in (0, 1))
            size = sum(file.stat().st_size for file in folders[form].rglob("*")) / 2**20
            print(f"{form:12}  {describe(random):28}  {describe(whole):31}  {size:7.1f}")


def describe(rates: Sequence[float]) -> str:
    return f"{statistics.median(rates):.3g} ({min(rates):.3g} to {max(rates):.3g})"


if __name__ == "__main__":
    main()

"""PoseStore: packed poses of one split, memory-mapped.

<store>/<split>/
  shard-00000.poses   the clips of one shard, one after another: float16, (frames, K, C + 1)
  shard-00000.jsonl   a line per clip: uid, frames, text, ...
  shard-00000.json    what went into the shard, and its sums
  skipped.csv         uid, file and reason of every example that could not be packed
  index.npy           frames and place of each clip, written by `finish_store`
  store.json          settings, totals, statistics, the rows' digest; written last: where it stands, the store is whole
"""

from __future__ import annotations

import io
import json
import mmap
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from signseq.data.storage import LocalFolder, StoreFolder, as_folder
from signseq.errors import DataError
from signseq.poses.transforms import PoseRecipe

__all__ = ["PoseStore", "find_damage", "open_store", "read_store_facts"]

FORMAT = 2  # since 2 `store.json` knows its rows
INDEX_NAME = "index.npy"
INDEX = np.dtype([("frames", "<i4"), ("shard", "<i4"), ("offset", "<i8"), ("line", "<i8")])


def read_store_facts(folder: StoreFolder) -> dict[str, Any] | None:
    """What `store.json` says, or None where there is no whole store."""
    try:
        facts = json.loads(folder.read("store.json"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) and facts.get("format") == FORMAT else None


def find_damage(folder: StoreFolder, facts: dict[str, Any]) -> str | None:
    """The name of a finished store's file that is missing or has another size, as after half a copy."""
    frame_bytes = 2 * len(facts["keypoints"]) * (facts["recipe"]["dimensions"] + 1)
    try:
        index = _read_index(folder)
    except (OSError, EOFError, ValueError):
        return INDEX_NAME
    sizes = folder.sizes()
    last_of_shard = np.flatnonzero(np.diff(index["shard"], append=-1))
    for frames, shard, offset, line in index[last_of_shard].tolist():
        poses, lines = (f"shard-{shard:05d}.{kind}" for kind in ("poses", "jsonl"))
        if sizes.get(poses) != (offset + frames) * frame_bytes:
            return poses
        if sizes.get(lines, 0) <= line:
            return lines
    return None


def _read_index(folder: StoreFolder) -> NDArray[Any]:
    index = np.load(io.BytesIO(folder.read(INDEX_NAME)))
    if index.dtype != INDEX:
        raise ValueError(f"an index of {index.dtype}")
    return cast(NDArray[Any], index)


def open_store(place: StoreFolder | Path | str, *, recipe: PoseRecipe | None = None) -> PoseStore:
    """Open the store of one split.

    Args:
        place: The split's folder in the store: a path, or a URL of fsspec's.
        recipe: How the poses must have been made ready; None takes them as they are.

    Raises:
        DataError: If there is no whole store, or it was made with another recipe.
    """
    folder = as_folder(place)
    facts = read_store_facts(folder)
    if facts is None:
        raise DataError(f"{folder}: no finished store. Write it with: signseq prepare CONFIG")
    damage = find_damage(folder, facts)
    if damage is not None:
        raise DataError(
            f"{folder}/{damage}: missing or damaged. Mend the store with: signseq prepare CONFIG, or copy it again."
        )
    if recipe is not None:
        # By way of a recipe: settings that came later have their defaults in an earlier store.
        made = asdict(PoseRecipe(**facts["recipe"])) | {"keypoint names": facts["keypoints"]}
        wanted = asdict(recipe) | {"keypoint names": list(recipe.names)}
        differences = [name for name in wanted if made.get(name) != wanted[name]]
        if differences:
            name = differences[0]
            raise DataError(
                f"{folder}: the store was made with {name} = {made.get(name)!r}, {wanted[name]!r} is asked for. "
                "Run signseq prepare again, or name another `data.store`."
            )
    return PoseStore(folder, facts)


class PoseStore:
    """The packed clips of one split; a clip is a slice of a memory map.

    Attributes:
        folder: Where it is.
        recipe: How its poses were made ready.
        frames: Frames of each clip, int32 of shape (N,).
        mean: Mean of each coordinate over the visible points, float32 of shape (K, C).
        spread: Their standard deviation, likewise.
    """

    def __init__(self, folder: StoreFolder, facts: dict[str, Any]) -> None:
        self.folder = folder
        self.facts = facts
        self.recipe = PoseRecipe(**facts["recipe"])
        self.mean = np.array(facts["mean"], dtype=np.float32)
        self.spread = np.array(facts["spread"], dtype=np.float32)
        self._index = _read_index(folder)
        self._open_shard = lru_cache(maxsize=None)(self._map_shard)

    def __reduce__(self) -> tuple[Any, ...]:
        return PoseStore, (self.folder, self.facts)  # maps are opened anew in each worker process

    def __len__(self) -> int:
        return len(self._index)

    @property
    def frames(self) -> NDArray[np.int32]:
        """Frames of each clip, (N,)."""
        return cast(NDArray[np.int32], self._index["frames"])

    @property
    def estimators(self) -> tuple[str, ...]:
        """The families of pose estimators that its clips come from; none where an earlier version wrote it."""
        return tuple(sorted(self.facts["report"].get("estimators", {})))

    def clip(self, number: int) -> NDArray[np.float16]:
        """One packed clip: float16 of shape (T, K, C + 1), mapped, not copied."""
        frames, shard, offset, _ = self._index[number].item()
        poses, _ = self._open_shard(shard)
        return poses[offset : offset + frames]

    def details(self, number: int) -> dict[str, Any]:
        """What is known of a clip: uid, frames, seconds, text, and signer and languages where known."""
        _, shard, _, line = self._index[number].item()
        _, lines = self._open_shard(shard)
        return cast(dict[str, Any], json.loads(lines[line : lines.find(b"\n", line)]))

    def text(self, number: int) -> str:
        """The sentence of a clip."""
        return cast(str, self.details(number)["text"])

    def texts(self) -> Iterator[str]:
        """The sentences of all clips, in their order."""
        return (self.text(number) for number in range(len(self)))

    def targets(self) -> Iterator[tuple[str, str | None]]:
        """The sentence of each clip, and its language where the table says it."""
        for number in range(len(self)):
            details = self.details(number)
            yield details["text"], details.get("target_language")

    def _map_shard(self, shard: int) -> tuple[NDArray[np.float16], mmap.mmap]:
        assert isinstance(self.folder, LocalFolder)
        stem = self.folder.path / f"shard-{shard:05d}"
        shape = (-1, len(self.recipe.names), self.recipe.channels)
        poses = np.memmap(stem.with_suffix(".poses"), dtype=np.float16, mode="r").reshape(shape)
        with stem.with_suffix(".jsonl").open("rb") as file:
            lines = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return poses.view(np.ndarray), lines

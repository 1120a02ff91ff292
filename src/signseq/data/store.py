"""PoseStore: packed poses of one split, memory-mapped.

<store>/<split>/
  shard-00000.poses   the clips of one shard, one after another: float16, (frames, K, C + 1)
  shard-00000.jsonl   a line per clip: uid, frames, text, ...
  shard-00000.json    what went into the shard, and its sums
  skipped.csv         uid, file and reason of every example that could not be packed
  index.npy           frames and place of each clip, written by `finish_store`
  store.json          settings, totals, statistics, the rows' digest; written last: where it stands, the store is whole

One that lies elsewhere is read by way of a cache on this machine; see `cache.py`.
"""

from __future__ import annotations

import io
import json
import mmap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from signseq.data.cache import CachedStore, default_cache
from signseq.data.cache_space import ShardCache
from signseq.data.storage import LocalFolder, StoreFolder, as_folder
from signseq.errors import DataError
from signseq.poses.transforms import PoseRecipe
from signseq.progress import track

__all__ = ["PoseStore", "find_damage", "open_store", "read_store_facts"]

FORMAT = 2  # since 2 `store.json` knows its rows
INDEX_NAME = "index.npy"
DOWNLOADS = 8  # at a time, of small files
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
    for frames, shard, offset, line in index[_last_of_shards(index)].tolist():
        poses, lines = (_name(shard, kind) for kind in ("poses", "jsonl"))
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


def _last_of_shards(index: NDArray[Any]) -> NDArray[np.int64]:
    """The last clip of each shard."""
    return np.flatnonzero(np.diff(index["shard"], append=-1))


def open_store(
    place: StoreFolder | Path | str,
    *,
    recipe: PoseRecipe | None = None,
    cache: ShardCache | None = None,
) -> PoseStore:
    """Open the store of one split.

    Args:
        place: The split's folder in the store: a path, or a URL of fsspec's.
        recipe: How the poses must have been made ready; None takes them as they are.
        cache: Keeps shards of a store that lies elsewhere; None is the user's, of the default size.

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
    return PoseStore(folder, facts, cache)


class PoseStore:
    """The packed clips of one split; a clip is a slice of a memory map, or read through the cache.

    Attributes:
        folder: Where it is.
        cached: How it is read if it lies elsewhere; None for a folder of this machine.
        recipe: How its poses were made ready.
        frames: Frames of each clip, int32 of shape (N,).
        mean: Mean of each coordinate over the visible points, float32 of shape (K, C).
        spread: Their standard deviation, likewise.
    """

    def __init__(
        self, folder: StoreFolder, facts: dict[str, Any], cache: ShardCache | None = None
    ) -> None:
        self.folder = folder
        self.facts = facts
        self.recipe = PoseRecipe(**facts["recipe"])
        self.mean = np.array(facts["mean"], dtype=np.float32)
        self.spread = np.array(facts["spread"], dtype=np.float32)
        self.cached: CachedStore | None = None
        if not isinstance(folder, LocalFolder):
            self.cached = CachedStore(cache or default_cache(), folder, facts["digest"])
        self._index = _read_index(folder)
        self._open_poses = lru_cache(maxsize=None)(self._map_poses)
        self._open_lines = lru_cache(maxsize=None)(self._map_lines)

    def __reduce__(self) -> tuple[Any, ...]:
        # maps are opened anew in each worker process
        return PoseStore, (self.folder, self.facts, self.cached and self.cached.cache)

    def __len__(self) -> int:
        return len(self._index)

    @property
    def frames(self) -> NDArray[np.int32]:
        """Frames of each clip, (N,)."""
        return cast(NDArray[np.int32], self._index["frames"])

    @property
    def shards(self) -> NDArray[np.int64]:
        """The shard of each clip, (N,)."""
        return self._index["shard"].astype(np.int64)

    @cached_property
    def shard_bytes(self) -> NDArray[np.int64]:
        """The size of each shard's poses, (S,)."""
        frames = np.bincount(self._index["shard"], weights=self.frames)
        return frames.astype(np.int64) * self._frame_bytes

    @cached_property
    def _last_lines(self) -> dict[int, int]:
        """Where the last line of each shard begins."""
        last = self._index[_last_of_shards(self._index)]
        return dict(zip(last["shard"].tolist(), last["line"].tolist(), strict=True))

    @property
    def _frame_shape(self) -> tuple[int, int]:
        return len(self.recipe.names), self.recipe.channels

    @property
    def _frame_bytes(self) -> int:
        return 2 * len(self.recipe.names) * self.recipe.channels

    @property
    def estimators(self) -> tuple[str, ...]:
        """The families of pose estimators that its clips come from; none where an earlier version wrote it."""
        return tuple(sorted(self.facts["report"].get("estimators", {})))

    def clip(self, number: int) -> NDArray[np.float16]:
        """One packed clip: float16 of shape (T, K, C + 1), not to be written to.

        Raises:
            DataError: If the store lies elsewhere, and the clip's shard can't be downloaded or kept.
        """
        frames, shard, offset, _ = self._index[number].item()
        if self.cached is None:
            return self._open_poses(shard)[offset : offset + frames]
        clip = np.empty((frames, *self._frame_shape), np.float16)
        size, start = int(self.shard_bytes[shard]), offset * self._frame_bytes
        self.cached.read(_name(shard, "poses"), clip, offset=start, size=size)
        clip.flags.writeable = False
        return clip

    def hold_shard(self, shard: int) -> None:
        """Download a shard of a store that lies elsewhere, if it isn't in the cache.

        Raises:
            DataError: If it can't be downloaded or kept.
        """
        if self.cached is not None:
            self.cached.hold(_name(shard, "poses"), size=int(self.shard_bytes[shard]))

    def holds_shard(self, shard: int) -> bool:
        """Whether a shard can be read without a download."""
        return self.cached is None or self.cached.holds(_name(shard, "poses"))

    def details(self, number: int) -> dict[str, Any]:
        """What is known of a clip: uid, frames, seconds, text, and signer and languages where known."""
        _, shard, _, line = self._index[number].item()
        lines = self._open_lines(shard)
        return cast(dict[str, Any], json.loads(lines[line : lines.find(b"\n", line)]))

    def text(self, number: int) -> str:
        """The sentence of a clip."""
        return cast(str, self.details(number)["text"])

    def texts(self) -> Iterator[str]:
        """The sentences of all clips, in their order."""
        self._download_lines()
        return (self.text(number) for number in range(len(self)))

    def targets(self) -> Iterator[tuple[str, str | None]]:
        """The sentence of each clip, and its language where the table says it."""
        self._download_lines()
        for number in range(len(self)):
            details = self.details(number)
            yield details["text"], details.get("target_language")

    def _download_lines(self) -> None:
        """The lines of all shards at once: one after another they would take minutes."""
        if self.cached is None:
            return
        shards, label = list(self._last_lines), f"Texts of {self.folder}"
        with ThreadPoolExecutor(DOWNLOADS) as threads:
            opened = threads.map(self._open_lines, shards)
            for _ in track(opened, total=len(shards), label=label, unit="shard"):
                pass

    def _map_poses(self, shard: int) -> NDArray[np.float16]:
        assert isinstance(self.folder, LocalFolder)
        poses = np.memmap(self.folder.path / _name(shard, "poses"), dtype=np.float16, mode="r")
        return poses.reshape(-1, *self._frame_shape).view(np.ndarray)

    def _map_lines(self, shard: int) -> mmap.mmap:
        name = _name(shard, "jsonl")
        if self.cached is None:
            assert isinstance(self.folder, LocalFolder)
            path = self.folder.path / name
        else:
            path = self.cached.keep(name, beyond=self._last_lines[shard])
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _name(shard: int, kind: str) -> str:
    return f"shard-{shard:05d}.{kind}"

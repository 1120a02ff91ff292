"""Several corpora as one: the clips of their stores in a row, and which of them each epoch reads."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signseq.data.statistics import mean_and_spread
from signseq.data.store import PoseStore
from signseq.errors import DataError

__all__ = ["CorpusLabels", "MixedStore", "MixtureDraws", "count_repetitions"]


@dataclass(frozen=True)
class CorpusLabels:
    """What a corpus of a mix is told besides its texts.

    Attributes:
        name: For messages and checkpoints: its table.
        target_language: Of its texts that don't name their own; None is the experiment's.
        prompt: What a model is told with its clips.
    """

    name: str
    target_language: str | None = None
    prompt: str = ""


class MixedStore(PoseStore):
    """The clips of several stores, one store after another, read like those of a single one.

    Args:
        stores: Of this machine, made with the same recipe; the experiment's own comes first.
        labels: What each of them is told.

    Attributes:
        corpora: The number of each clip's store, (N,).

    Raises:
        DataError: If a store's files don't say what it was summed up from.
    """

    def __init__(self, stores: Sequence[PoseStore], labels: Sequence[CorpusLabels]) -> None:
        first = stores[0]
        self.stores, self.labels = tuple(stores), tuple(labels)
        self.folder, self.recipe, self.cached = first.folder, first.recipe, None
        mean, spread = mean_and_spread(np.sum([_sums(store) for store in stores], axis=0))
        self.mean, self.spread = mean.astype(np.float32), spread.astype(np.float32)
        families = {family: None for store in stores for family in store.estimators}
        self.facts = {**first.facts, "report": {"estimators": families}}
        counts = [int(store.facts["shards"]) for store in stores]
        self._first_shards = np.cumsum([0, *counts[:-1]])
        self._index = np.concatenate([store._index for store in stores])
        self.corpora = np.repeat(np.arange(len(stores)), [len(store) for store in stores])
        self._index["shard"] += self._first_shards[self.corpora].astype(np.int32)
        self._open_poses = lru_cache(maxsize=None)(self._map_poses)
        self._open_lines = lru_cache(maxsize=None)(self._map_lines)

    def __reduce__(self) -> tuple[Any, ...]:
        return MixedStore, (self.stores, self.labels)

    def targets(self) -> Iterator[tuple[str, str | None]]:
        """The sentence of each clip, and its language: the table's, or that of its corpus."""
        for store, labels in zip(self.stores, self.labels, strict=True):
            for text, language in store.targets():
                yield text, language or labels.target_language

    def _map_poses(self, shard: int) -> NDArray[np.float16]:
        store, own = self._owner(shard)
        return store._map_poses(own)

    def _map_lines(self, shard: int) -> mmap.mmap:
        store, own = self._owner(shard)
        return store._map_lines(own)

    def _owner(self, shard: int) -> tuple[PoseStore, int]:
        """The store that a shard belongs to, and its number there."""
        number = int(np.searchsorted(self._first_shards, shard, side="right")) - 1
        return self.stores[number], shard - int(self._first_shards[number])


def _sums(store: PoseStore) -> NDArray[np.float64]:
    """Count, sum and sum of squares of the visible points of a whole store, (3, K, C)."""
    total = np.zeros((3, *store.mean.shape))
    for shard in range(int(store.facts["shards"])):
        name = f"shard-{shard:05d}.json"
        try:
            total += np.array(json.loads(store.folder.read(name))["sums"])
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise DataError(
                f"{store.folder}/{name}: missing or damaged; a mix of corpora needs it for the mean of the poses. "
                "Mend the store with: signseq prepare CONFIG, or copy it again."
            ) from fault
    return total


class MixtureDraws:
    """Which clips an epoch reads, of several corpora in fixed proportions.

    Corpus i, of n_i clips, gives `total * p_i` of them to every epoch, where p_i is proportional to
    n_i^(1 / temperature) and `total` is the number of all clips. Its clips are gone through in one
    order after another, each of them once; an epoch takes up where the one before ended. So at any
    time all clips of a corpus were drawn equally often, or once more.

    The orders are drawn anew each time, but which *bucket* of similar length stands at which place
    is the same in all of them, evenly spread. So every epoch has nearly the same lengths, and the
    most batches that any epoch needs can be told beforehand; see `most`.

    Args:
        corpora: The number of each clip's corpus, (N,).
        buckets: The number of each clip's bucket, (N,).
        temperature: 1 draws by size; the larger, the more evenly.
        seed: With the epoch it decides what is drawn.
    """

    def __init__(
        self,
        corpora: NDArray[np.int64],
        buckets: NDArray[np.int64],
        *,
        temperature: float,
        seed: int,
    ) -> None:
        self.seed = seed
        self.buckets = buckets
        names = np.unique(corpora)
        # Sorted by bucket, as `_cycle` needs them.
        members = [np.flatnonzero(corpora == name) for name in names]
        self.members = [own[np.argsort(buckets[own], kind="stable")] for own in members]
        sizes = np.array([len(own) for own in members], dtype=np.float64)
        shares = (sizes / sizes.max()) ** (1 / temperature)
        quotas = np.rint(len(corpora) * shares / shares.sum()).astype(int)
        self.quotas = np.maximum(quotas, 1).tolist()
        self._places = [_spread(buckets[own]) for own in self.members]

    def draw(self, epoch: int) -> NDArray[np.int64]:
        """The clips of an epoch, corpus after corpus; one that is drawn twice stands there twice."""
        drawn = []
        for corpus, quota in enumerate(self.quotas):
            size = len(self.members[corpus])
            start, end = epoch * quota, (epoch + 1) * quota
            for cycle in range(start // size, -(-end // size)):
                order = self._cycle(corpus, cycle)
                first = cycle * size
                drawn.append(order[max(start - first, 0) : end - first])
        return np.concatenate(drawn)

    def most(self, shares: NDArray[np.float64]) -> float:
        """The most that the clips of any epoch come to, where each counts `shares` of its bucket.

        Args:
            shares: Of each bucket, (B,).
        """
        total = 0.0
        for members, places, quota in zip(self.members, self._places, self.quotas, strict=True):
            counts = shares[self.buckets[members[places]]]
            cycles, rest = divmod(quota, len(counts))
            # Wherever an epoch begins in an order, it reads some whole ones and the `rest` next places.
            sums = np.concatenate([[0.0], np.cumsum(np.tile(counts, 2))])
            total += cycles * float(counts.sum()) + float(
                (sums[rest : rest + len(counts)] - sums[: len(counts)]).max()
            )
        return total

    def _cycle(self, corpus: int, cycle: int) -> NDArray[np.int64]:
        """All clips of a corpus in an order of their own, of which bucket by bucket the places are fixed."""
        members = self.members[corpus]
        rng = np.random.default_rng((self.seed, corpus, cycle, len(self.members)))
        shuffled = np.lexsort((rng.random(len(members)), self.buckets[members]))
        order: NDArray[np.int64] = members[shuffled][self._places[corpus]]
        return order


def _spread(buckets: NDArray[np.int64]) -> NDArray[np.int64]:
    """An order in which clips, sorted by bucket, stand so that each bucket is spread evenly."""
    starts, sizes = np.unique(buckets, return_index=True, return_counts=True)[1:]
    numbers = np.arange(len(buckets)) - np.repeat(starts, sizes)
    return np.argsort((numbers + 0.5) / np.repeat(sizes, sizes), kind="stable")


def count_repetitions(clips: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each clip stood in the row before, (N,)."""
    order = np.argsort(clips, kind="stable")
    ordered = clips[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    sizes = np.diff(starts, append=len(clips))
    found = np.empty(len(clips), dtype=np.int64)
    found[order] = np.arange(len(clips)) - np.repeat(starts, sizes)
    return found

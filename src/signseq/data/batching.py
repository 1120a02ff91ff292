"""Batches: the clips that they are read from, and which of them each process gets.

The plan of an epoch (see `planning.py`) is a function of (seed, epoch) alone; on N processes each takes
every Nth batch of that one plan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from signseq.data.buckets import bucket_limits
from signseq.data.collation import NO_LABEL, Batch, Clip, collate
from signseq.data.mixing import MixtureDraws, count_repetitions
from signseq.data.planning import (
    BatchSizes,
    EpochPlan,
    ShardWindows,
    count_needed,
    plan_batches,
)
from signseq.data.prefetching import Prefetcher
from signseq.data.store import PoseStore
from signseq.poses.augmentation import Augmentation
from signseq.poses.draws import Seeds, derive_seeds

__all__ = [
    "BATCHES_AHEAD",
    "NO_LABEL",
    "Batch",
    "BucketBatchSampler",
    "Clip",
    "ClipDataset",
    "collate",
]

BATCHES_AHEAD = 4  # that each worker process is asked for before they are trained on
EPOCHS_COUNTED = 4  # whose batches are counted, to have as many in all epochs
SPARE_BATCHES = 0.01  # more than those, as the clips of other epochs may be longer

# (epoch, clip): all that a clip's augmentation depends on, besides the seed; and how often the clip came
# in the epoch before, if it did.
Key = tuple[int, int] | tuple[int, int, int]
Numbers = NDArray[np.int64]


class ClipDataset(Dataset[Clip]):
    """Clips of a store with their labels; augmented where an `augmentation` is given.

    Args:
        store: Packed poses.
        labels: Token ids of each clip's text; None gives empty labels.
        step_frames: Take every so-manieth frame: from a random phase in training, else from the first.
        max_frames: Longer clips are cut; applied after `step_frames`.
        augmentation: Random transforms; None for evaluation.
        seed: With the epoch and the clip's number it decides all randomness.
        prompts: Token ids of what is said before each clip, where it is not the same for all.
    """

    def __init__(
        self,
        store: PoseStore,
        labels: Sequence[NDArray[np.int32]] | None = None,
        *,
        step_frames: int = 1,
        max_frames: int | None = None,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        prompts: Sequence[NDArray[np.int32]] | None = None,
    ) -> None:
        self.store = store
        self.labels = labels
        self.step_frames = step_frames
        self.max_frames = max_frames
        self.augmentation = augmentation
        self.seed = seed
        self.prompts = prompts

    def __len__(self) -> int:
        return len(self.store)

    @property
    def lengths(self) -> Numbers:
        """Frames of each clip as a batch sees them (before speed and frame drop), (N,)."""
        lengths = -(-self.store.frames.astype(np.int64) // self.step_frames)
        return np.minimum(lengths, self.max_frames) if self.max_frames else lengths

    @property
    def has_random_lengths(self) -> bool:
        """Whether clips have other lengths in each epoch; see `drawn_lengths`."""
        steps, changes = self.step_frames > 1, self.augmentation
        return changes is not None and (steps or changes.changes_lengths)

    def drawn_lengths(self, epoch: int, clips: Numbers, repetitions: Numbers) -> Numbers:
        """The frames that reading clips gives, (N,), by their numbers and how often they came before."""
        if self.augmentation is None:
            return self.lengths[clips]
        seeds = self._seeds(epoch, clips, repetitions)
        steps, limit = self.step_frames, self.max_frames
        frames = self.store.frames[clips]
        return self.augmentation.time(frames, seeds, step_frames=steps, max_frames=limit).lengths

    def _seeds(self, epoch: int | Numbers, clips: Numbers, repetitions: Numbers) -> Seeds:
        """What decides all that is random about clips, (N,)."""
        return derive_seeds(self.seed, epoch, clips, repetitions)

    def __getitem__(self, key: Key) -> Clip:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[Key]) -> list[Clip]:
        """The clips of a batch: augmented together, each as it would be alone."""
        stored = [self.store.clip(key[1]) for key in keys]
        poses = (
            [clip[:: self.step_frames][: self.max_frames] for clip in stored]
            if self.augmentation is None
            else self._augment(self.augmentation, stored, keys)
        )
        clips: list[Clip] = []
        for (_, number, *_), own in zip(keys, poses, strict=True):
            labels = np.empty(0, np.int32) if self.labels is None else self.labels[number]
            clip: Clip = {"poses": own, "labels": labels}
            if self.prompts is not None:
                clip["prompt"] = self.prompts[number]
            clips.append(clip)
        return clips

    def _augment(
        self, augmentation: Augmentation, stored: list[NDArray[np.float16]], keys: Sequence[Key]
    ) -> list[NDArray[np.float16]]:
        epochs, clips, repetitions = np.array([(*key, 0)[:3] for key in keys]).T
        changed = augmentation.apply(
            stored,
            self._seeds(epochs, clips, repetitions),
            keypoints=self.store.recipe.names,
            normalize=self.store.recipe.normalize,
            step_frames=self.step_frames,
            max_frames=self.max_frames,
        )
        return cast(list[NDArray[np.float16]], changed)


class BucketBatchSampler(Sampler[list[Key]]):
    """Yields the keys of one batch after another; see `plan_batches`.

    Args:
        lengths: Frames of each clip, (N,).
        clips: Which clips to use; None means all.
        batch_size: Clips in a batch, or
        frames_per_batch: the most frames in a batch, counted with padding.
        seed: With the epoch it decides the order.
        rank: This process's number.
        world_size: How many processes share the batches.
        accumulation: Batches per optimizer step and process.
        windows: How `clips` are walked through where their store lies elsewhere.
        prefetcher: Downloads what comes next; one process of each machine has it.
        corpora: The corpus of each of `clips`, (N,), where several are mixed; see `MixtureDraws`.
        temperature: How evenly they are.
        tokens: Of each clip's text, (N,), where batches are made by these, too; see `plan_batches`.
        drawn: Where clips have other lengths in each epoch, what `ClipDataset.drawn_lengths` tells of them.

    Attributes:
        done: How many batches of the epoch were trained on before; they are drawn and dropped.
        is_last_epoch: Whether nothing comes after the epoch.
    """

    def __init__(
        self,
        lengths: NDArray[np.int64],
        clips: NDArray[np.int64] | None = None,
        *,
        batch_size: int | None = None,
        frames_per_batch: int | None = None,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        accumulation: int = 1,
        windows: ShardWindows | None = None,
        prefetcher: Prefetcher | None = None,
        corpora: NDArray[np.int64] | None = None,
        temperature: float = 1.0,
        tokens: NDArray[np.int64] | None = None,
        drawn: Callable[[int, Numbers, Numbers], Numbers] | None = None,
    ) -> None:
        self.clips = np.arange(len(lengths)) if clips is None else clips
        self.lengths = lengths[self.clips]
        self.tokens = None if tokens is None else tokens[self.clips]
        self.batch_size = batch_size
        self.frames_per_batch = frames_per_batch
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.multiple = world_size * accumulation
        self.windows = windows
        self.prefetcher = prefetcher
        self.epoch = 0
        self.done = 0
        self.is_last_epoch = False
        self.draws: MixtureDraws | None = None
        self.drawn = drawn
        self._sizes: BatchSizes | None = None
        self._wanted: int | None = None
        if corpora is not None:
            self._mix(corpora, temperature)
        if drawn is not None and frames_per_batch is not None:
            self._wanted = self._count_drawn(frames_per_batch)
        self._count = len(self.plan(None).batches) // world_size

    def _mix(self, corpora: Numbers, temperature: float) -> None:
        limits = bucket_limits(self.lengths)
        buckets = np.searchsorted(limits, self.lengths)
        self.draws = MixtureDraws(corpora, buckets, temperature=temperature, seed=self.seed)
        if self.drawn is None:
            size, frames = self.batch_size, self.frames_per_batch
            self._sizes = BatchSizes.of_draws(
                limits, self.draws.most, batch_size=size, frames_per_batch=frames
            )

    def _count_drawn(self, budget: int) -> int:
        """How many batches each epoch has: slightly more than the first ones need.

        Raises:
            DataError: If clips are over the budget before their lengths are drawn.
        """
        plan_batches(self.lengths, frames_per_batch=budget, multiple=self.multiple)
        needed = clips = 0
        for epoch in range(EPOCHS_COUNTED):
            places, _, lengths = self._draw(epoch)
            windows = self._windows(self._rng(epoch), places)
            needed = max(needed, count_needed(lengths, windows, frames_per_batch=budget))
            clips = len(places)
        return min(math.ceil(needed * (1 + SPARE_BATCHES)), clips)

    def _draw(self, epoch: int) -> tuple[Numbers, Numbers, Numbers]:
        """Which places of `clips` an epoch reads, how often each was read before, and their lengths."""
        places = np.arange(len(self.clips)) if self.draws is None else self.draws.draw(epoch)
        before = np.zeros_like(places) if self.draws is None else count_repetitions(places)
        if self.drawn is None:
            return places, before, self.lengths[places]
        return places, before, self.drawn(epoch, self.clips[places], before)

    def _windows(self, rng: np.random.Generator | None, places: Numbers) -> Numbers | None:
        return self.windows.draw(rng)[places] if self.windows else None

    def plan(self, epoch: int | None) -> EpochPlan:
        """What all processes read in an epoch; see `plan_batches`.

        Args:
            epoch: Its number; None gives batches in the order of their lengths, as for the first one.
        """
        rng = None if epoch is None else self._rng(epoch)
        places, repetitions, lengths = self._draw(epoch or 0)
        batches = plan_batches(
            lengths,
            batch_size=self.batch_size,
            frames_per_batch=self.frames_per_batch,
            multiple=self.multiple,
            windows=self._windows(rng, places),
            sizes=self._sizes,
            count=self._wanted,
            tokens=None if self.tokens is None else self.tokens[places],
            rng=rng,
        )
        return EpochPlan(batches, places, repetitions, lengths)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration goes through."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[list[Key]]:
        plan = self.plan(self.epoch)
        windows, follower = self.windows, self.prefetcher
        if windows and follower:
            following = [] if self.is_last_epoch else windows.walk(self._rng(self.epoch + 1))[:1]
            follower.begin(windows.walk(self._rng(self.epoch)) + following)
        for number, batch in enumerate(plan.batches[self.rank :: self.world_size]):
            places = plan.places[batch]
            if windows and follower and number >= self.done:
                follower.reach(int(windows.shards[places[0]]))
            clips, before = self.clips[places].tolist(), plan.repetitions[batch].tolist()
            yield [
                (self.epoch, clip, n) if n else (self.epoch, clip)
                for clip, n in zip(clips, before, strict=True)
            ]

    def _rng(self, epoch: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, epoch))

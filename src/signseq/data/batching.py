"""Batches: which clips go together, and how they become tensors.

Clips of similar length share a batch, so little is padded. The plan of an epoch is a function of
(seed, epoch) alone; on N processes each takes every Nth batch of that one plan.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypedDict, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from signseq.data.store import PoseStore
from signseq.errors import DataError
from signseq.poses.augmentation import Augmentation

__all__ = [
    "Batch",
    "BucketBatchSampler",
    "Clip",
    "ClipDataset",
    "TokenTexts",
    "collate",
    "plan_batches",
]

BUCKET_GROWTH = 1.1  # clips in a bucket differ in length by at most this factor
NO_LABEL = -100  # what the loss leaves out, by torch's convention

Text = TypeVar("Text")
Key = tuple[int, int]  # (epoch, clip): all that a clip's augmentation depends on, besides the seed


class Batch(TypedDict):
    """What a model is fed; the names are Hugging Face's.

    Attributes:
        poses: float16 of shape (B, T, K, C + 1), zero where padded.
        attention_mask: int64 of shape (B, T), 1 for frames, 0 for padding.
        labels: int64 of shape (B, L), -100 where padded.
    """

    poses: Tensor
    attention_mask: Tensor
    labels: Tensor


class Clip(TypedDict):
    """One clip, ready for `collate`: packed poses (T, K, C + 1) and token ids (L,)."""

    poses: NDArray[np.float16]
    labels: NDArray[np.int32]


def collate(clips: Sequence[Clip]) -> Batch:
    """Pad B clips to the longest of them."""
    frames = max(len(clip["poses"]) for clip in clips)
    tokens = max(len(clip["labels"]) for clip in clips)
    poses = np.zeros((len(clips), frames, *clips[0]["poses"].shape[1:]), dtype=np.float16)
    mask = np.zeros((len(clips), frames), dtype=np.int64)
    labels = np.full((len(clips), tokens), NO_LABEL, dtype=np.int64)
    for row, clip in enumerate(clips):
        poses[row, : len(clip["poses"])] = clip["poses"]
        mask[row, : len(clip["poses"])] = 1
        labels[row, : len(clip["labels"])] = clip["labels"]
    return {
        "poses": torch.from_numpy(poses),
        "attention_mask": torch.from_numpy(mask),
        "labels": torch.from_numpy(labels),
    }


class TokenTexts(Sequence[NDArray[np.int32]]):
    """The token ids of many texts, end to end in one array: 4 bytes a token are all it takes.

    Args:
        texts: The texts, in order, or whatever `encode` takes.
        encode: Turns a list of texts into lists of token ids; called a thousand at a time.
    """

    def __init__(
        self, texts: Iterable[Text], encode: Callable[[list[Text]], list[list[int]]]
    ) -> None:
        source = iter(texts)
        ids, lengths = array("i"), array("q", [0])
        while chunk := list(islice(source, 1000)):
            for text_ids in encode(chunk):
                ids.extend(text_ids)
                lengths.append(len(text_ids))
        self._ids = np.frombuffer(ids, dtype=np.int32)
        self._ends = np.cumsum(np.frombuffer(lengths, dtype=np.int64))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: Any) -> Any:
        place = range(len(self))[number]  # negative from the end, IndexError beyond it
        return self._ids[self._ends[place] : self._ends[place + 1]]


class ClipDataset(Dataset[Clip]):
    """Clips of a store with their labels; augmented where an `augmentation` is given.

    Args:
        store: Packed poses.
        labels: Token ids of each clip's text; None gives empty labels.
        step_frames: Take every so-manieth frame: from a random phase in training, else from the first.
        max_frames: Longer clips are cut; applied after `step_frames`.
        augmentation: Random transforms; None for evaluation.
        seed: With the epoch and the clip's number it decides all randomness.
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
    ) -> None:
        self.store = store
        self.labels = labels
        self.step_frames = step_frames
        self.max_frames = max_frames
        self.augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.store)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Frames of each clip as a batch sees them (before speed and frame drop), (N,)."""
        lengths = -(-self.store.frames.astype(np.int64) // self.step_frames)
        return np.minimum(lengths, self.max_frames) if self.max_frames else lengths

    def __getitem__(self, key: Key) -> Clip:
        epoch, number = key
        poses = self.store.clip(number)
        if self.augmentation is not None:
            rng = np.random.default_rng((self.seed, epoch, number))
            phase = int(rng.integers(min(self.step_frames, len(poses))))
            own = poses[phase :: self.step_frames][: self.max_frames].copy()  # not the store's
            names, normalize = self.store.recipe.names, self.store.recipe.normalize
            changed = self.augmentation(own, keypoints=names, rng=rng, normalize=normalize)
            poses = cast(NDArray[np.float16], changed[: self.max_frames])
        else:
            poses = poses[:: self.step_frames][: self.max_frames]
        labels = np.empty(0, np.int32) if self.labels is None else self.labels[number]
        return {"poses": poses, "labels": labels}


def plan_batches(
    lengths: NDArray[np.int64],
    *,
    batch_size: int | None = None,
    frames_per_batch: int | None = None,
    multiple: int = 1,
    rng: np.random.Generator | None = None,
) -> list[NDArray[np.int64]]:
    """Divide clips into batches of similar length; each clip is in exactly one.

    How many batches there are and how long each is depends on the lengths alone, not on `rng`, so
    every epoch has the same number of steps.

    Args:
        lengths: Frames of each clip, (N,).
        batch_size: Clips in a batch.
        frames_per_batch: Or the most frames in a batch, counted with padding.
        multiple: The number of batches becomes a multiple of this by halving batches; where there
            are too few clips for that, by joining the shortest in pairs, even beyond `batch_size`.
        rng: Shuffles clips of similar length, and the batches; None keeps them sorted.

    Raises:
        DataError: If a clip, or a pair, is over the budget, or there are fewer clips than `multiple`.
    """
    if len(lengths) < multiple:
        raise DataError(
            f"{len(lengths)} clips can't be shared by {multiple} processes and accumulation steps; use fewer."
        )
    longest = int(lengths.max())
    if frames_per_batch is not None and longest > frames_per_batch:
        raise DataError(
            f"The longest clip has {longest} frames, training.frames_per_batch is {frames_per_batch}. "
            f"Raise it to at least {longest}, or lower data.max_frames."
        )
    order = np.argsort(lengths, kind="stable")
    bounds = np.empty(len(order), dtype=np.int64)  # the longest clip that may stand at each place
    sizes: list[int] = []
    for bucket in _buckets(lengths[order]):
        bounds[bucket] = bound = int(lengths[order[bucket.stop - 1]])
        size = batch_size or max(1, (frames_per_batch or bound) // bound)
        sizes += [size] * ((bucket.stop - sum(sizes)) // size)
        if rng is not None:
            order[bucket] = rng.permutation(order[bucket])
    left = len(order) - sum(sizes)
    sizes = _fit_multiple([*sizes, left] if left else sizes, multiple)
    ends = np.cumsum(sizes)
    needed = int((sizes * bounds[ends - 1]).max())
    if frames_per_batch is not None and needed > frames_per_batch:
        raise DataError(
            f"{len(order)} clips make a multiple of {multiple} batches (processes x accumulation) only in pairs of "
            f"up to {needed} frames, training.frames_per_batch is {frames_per_batch}. Raise it to {needed}."
        )
    batches = np.split(order, ends[:-1])
    if rng is not None:
        rng.shuffle(batches)
    return batches


def _fit_multiple(sizes: list[int], multiple: int) -> list[int]:
    """Change how many clips go into each batch so that the number of batches is a multiple."""
    clips, wanted = sum(sizes), -(-len(sizes) // multiple) * multiple
    if wanted > clips:  # too few even one by one: pair the first, which are the shortest
        pairs = clips - (wanted - multiple)
        return [2] * pairs + [1] * (clips - 2 * pairs)
    while len(sizes) < wanted:
        largest = max(range(len(sizes)), key=sizes.__getitem__)
        size = sizes[largest]
        sizes[largest : largest + 1] = [size - size // 2, size // 2]
    return sizes


def _buckets(sorted_lengths: NDArray[np.int64]) -> Iterator[slice]:
    """Slices of sorted lengths in which the longest is at most BUCKET_GROWTH times the shortest."""
    start = 0
    while start < len(sorted_lengths):
        limit = max(sorted_lengths[start] * BUCKET_GROWTH, sorted_lengths[start] + 1)
        stop = int(np.searchsorted(sorted_lengths, limit, side="right"))
        yield slice(start, stop)
        start = stop


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
    ) -> None:
        self.clips = np.arange(len(lengths)) if clips is None else clips
        self.lengths = lengths[self.clips]
        self.batch_size = batch_size
        self.frames_per_batch = frames_per_batch
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.multiple = world_size * accumulation
        self.epoch = 0
        self._count = len(self.plan(None)) // world_size

    def plan(self, rng: np.random.Generator | None) -> list[NDArray[np.int64]]:
        """The batches of all processes, as places in `clips`; see `plan_batches`."""
        return plan_batches(
            self.lengths,
            batch_size=self.batch_size,
            frames_per_batch=self.frames_per_batch,
            multiple=self.multiple,
            rng=rng,
        )

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration goes through."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[list[Key]]:
        plan = self.plan(np.random.default_rng((self.seed, self.epoch)))
        for batch in plan[self.rank :: self.world_size]:
            yield [(self.epoch, int(self.clips[i])) for i in batch]

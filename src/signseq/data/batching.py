"""Batches: how clips become tensors, and which of them each process gets.

The plan of an epoch (see `planning.py`) is a function of (seed, epoch) alone; on N processes each takes
every Nth batch of that one plan.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NotRequired, TypedDict, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from signseq.data.mixing import MixtureDraws, count_repetitions
from signseq.data.planning import BatchSizes, ShardWindows, bucket_limits, plan_batches
from signseq.data.prefetching import Prefetcher
from signseq.data.store import PoseStore
from signseq.poses.augmentation import Augmentation

__all__ = [
    "BATCHES_AHEAD",
    "Batch",
    "BucketBatchSampler",
    "Clip",
    "ClipDataset",
    "TokenTexts",
    "collate",
]

BATCHES_AHEAD = 4  # that each worker process is asked for before they are trained on
NO_LABEL = -100  # what the loss leaves out, by torch's convention

Text = TypeVar("Text")
# (epoch, clip): all that a clip's augmentation depends on, besides the seed; and how often the clip came
# in the epoch before, if it did.
Key = tuple[int, int] | tuple[int, int, int]


class Batch(TypedDict):
    """What a model is fed; the names are Hugging Face's.

    Attributes:
        poses: float16 of shape (B, T, K, C + 1), zero where padded.
        attention_mask: int64 of shape (B, T), 1 for frames, 0 for padding.
        labels: int64 of shape (B, L), -100 where padded.
        prompts: int64 of shape (B, P), -100 where padded; where clips have their own.
    """

    poses: Tensor
    attention_mask: Tensor
    labels: Tensor
    prompts: NotRequired[Tensor]


class Clip(TypedDict):
    """One clip, ready for `collate`: packed poses (T, K, C + 1) and token ids (L,), (P,)."""

    poses: NDArray[np.float16]
    labels: NDArray[np.int32]
    prompt: NotRequired[NDArray[np.int32]]


def collate(clips: Sequence[Clip]) -> Batch:
    """Pad B clips to the longest of them."""
    frames = max(len(clip["poses"]) for clip in clips)
    poses = np.zeros((len(clips), frames, *clips[0]["poses"].shape[1:]), dtype=np.float16)
    mask = np.zeros((len(clips), frames), dtype=np.int64)
    for row, clip in enumerate(clips):
        poses[row, : len(clip["poses"])] = clip["poses"]
        mask[row, : len(clip["poses"])] = 1
    batch: Batch = {
        "poses": torch.from_numpy(poses),
        "attention_mask": torch.from_numpy(mask),
        "labels": _pad([clip["labels"] for clip in clips]),
    }
    if "prompt" in clips[0]:
        batch["prompts"] = _pad([clip["prompt"] for clip in clips])
    return batch


def _pad(rows: Sequence[NDArray[np.int32]]) -> Tensor:
    """Token ids (B, L), NO_LABEL where padded."""
    padded = np.full((len(rows), max(map(len, rows))), NO_LABEL, dtype=np.int64)
    for row, ids in enumerate(rows):
        padded[row, : len(ids)] = ids
    return torch.from_numpy(padded)


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
    def lengths(self) -> NDArray[np.int64]:
        """Frames of each clip as a batch sees them (before speed and frame drop), (N,)."""
        lengths = -(-self.store.frames.astype(np.int64) // self.step_frames)
        return np.minimum(lengths, self.max_frames) if self.max_frames else lengths

    def __getitem__(self, key: Key) -> Clip:
        number = key[1]
        poses = self.store.clip(number)
        if self.augmentation is not None:
            rng = np.random.default_rng((self.seed, *key))
            phase = int(rng.integers(min(self.step_frames, len(poses))))
            own = poses[phase :: self.step_frames][: self.max_frames].copy()  # not the store's
            names, normalize = self.store.recipe.names, self.store.recipe.normalize
            changed = self.augmentation(own, keypoints=names, rng=rng, normalize=normalize)
            poses = cast(NDArray[np.float16], changed[: self.max_frames])
        else:
            poses = poses[:: self.step_frames][: self.max_frames]
        labels = np.empty(0, np.int32) if self.labels is None else self.labels[number]
        clip: Clip = {"poses": poses, "labels": labels}
        if self.prompts is not None:
            clip["prompt"] = self.prompts[number]
        return clip


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
    ) -> None:
        self.clips = np.arange(len(lengths)) if clips is None else clips
        self.lengths = lengths[self.clips]
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
        self._sizes: BatchSizes | None = None
        if corpora is not None:
            self._mix(corpora, temperature)
        self._count = len(self.plan(None)) // world_size

    def _mix(self, corpora: NDArray[np.int64], temperature: float) -> None:
        limits = bucket_limits(self.lengths)
        buckets = np.searchsorted(limits, self.lengths)
        self.draws = MixtureDraws(corpora, buckets, temperature=temperature, seed=self.seed)
        size, frames = self.batch_size, self.frames_per_batch
        self._sizes = BatchSizes.of_draws(
            limits, self.draws.most, batch_size=size, frames_per_batch=frames
        )

    def plan(self, epoch: int | None) -> list[NDArray[np.int64]]:
        """The batches of all processes in an epoch, as places in `clips`; see `plan_batches`.

        Args:
            epoch: Its number; None gives batches in the order of their lengths, as for the first one.
        """
        rng = None if epoch is None else self._rng(epoch)
        drawn = None if self.draws is None else self.draws.draw(epoch or 0)
        plan = plan_batches(
            self.lengths if drawn is None else self.lengths[drawn],
            batch_size=self.batch_size,
            frames_per_batch=self.frames_per_batch,
            multiple=self.multiple,
            windows=self.windows.draw(rng) if self.windows else None,
            sizes=self._sizes,
            rng=rng,
        )
        return plan if drawn is None else [drawn[batch] for batch in plan]

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
        again = self._repetitions(plan)[self.rank :: self.world_size]
        for number, batch in enumerate(plan[self.rank :: self.world_size]):
            if windows and follower and number >= self.done:
                follower.reach(int(windows.shards[batch[0]]))
            keys: list[Key] = [(self.epoch, int(self.clips[i])) for i in batch]
            if again:
                times = again[number].tolist()
                keys = [(*key[:2], n) if n else key for key, n in zip(keys, times, strict=True)]
            yield keys

    def _repetitions(self, plan: list[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
        """How often each clip stood in the plan before, batch by batch; empty where none stands twice."""
        if self.draws is None:
            return []
        ends = np.cumsum([len(batch) for batch in plan])
        return np.split(count_repetitions(np.concatenate(plan)), ends[:-1])

    def _rng(self, epoch: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, epoch))

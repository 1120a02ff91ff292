"""How clips become the tensors of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["NO_LABEL", "Batch", "Clip", "collate"]

NO_LABEL = -100  # what the loss leaves out, by torch's convention


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

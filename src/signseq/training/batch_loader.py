"""Where the training loop gets its batches from: workers that read ahead, or this process."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch.utils.data import DataLoader

from signseq.config import Config
from signseq.data.batching import BATCHES_AHEAD, Batch, BucketBatchSampler, ClipDataset
from signseq.data.reading_ahead import (
    BatchesAhead,
    BatchReader,
    can_read_ahead,
    size_of_slots,
)
from signseq.training.compilation import choose_collate
from signseq.training.safety.stopping import outlive_signals

__all__ = ["build_loader", "close_loader"]


def build_loader(
    config: Config, dataset: ClipDataset, sampler: BucketBatchSampler
) -> DataLoader[Batch]:
    """A loader of the sampler's batches, in their order; `close_loader` ends its workers.

    Where processes can't share memory as `BatchReader` does it, torch's own workers are used.
    """
    workers, collate = config.training.num_workers, choose_collate(config)
    is_pinned = torch.cuda.is_available()
    if workers and can_read_ahead():
        reader = BatchReader(
            dataset,
            collate,
            workers=workers,
            slot_bytes=size_of_slots(sampler, dataset.store.recipe),
            is_copied=is_pinned,
            begin=outlive_signals,
        )
        return DataLoader(
            reader,
            batch_sampler=BatchesAhead(sampler, reader),
            collate_fn=_as_read,
            pin_memory=is_pinned,
        )
    return DataLoader(
        cast(Any, dataset),
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        pin_memory=is_pinned,
        prefetch_factor=BATCHES_AHEAD if workers else None,
        worker_init_fn=outlive_signals,
        persistent_workers=workers > 0,  # they need not be started anew in every epoch
    )


def close_loader(loader: DataLoader[Batch]) -> None:
    """End what reads for a loader."""
    if isinstance(loader.dataset, BatchReader):
        loader.dataset.close()


def _as_read(batch: Any) -> Any:
    return batch

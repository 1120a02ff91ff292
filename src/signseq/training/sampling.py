"""Which clips a run trains on, in which batches, and what of them is cut."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from signseq.config import Config
from signseq.data.batching import BATCHES_AHEAD, BucketBatchSampler, ClipDataset
from signseq.data.mixing import MixedStore
from signseq.data.planning import ShardWindows
from signseq.data.prefetching import Prefetcher
from signseq.data.store import PoseStore
from signseq.errors import DataError
from signseq.training.compilation import round_up
from signseq.training.run_folder import saved_windows

__all__ = ["build_sampler", "count_cut_clips", "count_cut_texts", "say_what_is_cut"]

logger = logging.getLogger(__name__)


def build_sampler(
    config: Config, dataset: ClipDataset, *, start: Path | None = None
) -> BucketBatchSampler:
    """The batches of this process; clips that are too long are cut, left out or an error, as the config says.

    Args:
        config: The experiment.
        dataset: The training clips.
        start: The checkpoint that the run goes on from, in the same batches.

    Raises:
        DataError: If clips are too long and `data.too_long` is `error`, none is left, or the cache is
            too small.
    """
    data, training = config.data, config.training
    full = _full_lengths(config, dataset)
    too_long = np.flatnonzero(full > data.max_frames)
    clips = np.arange(len(dataset))
    if len(too_long) and data.too_long == "error":
        first = dataset.store.details(int(too_long[0]))
        raise DataError(
            f"{len(too_long)} training clips are longer than data.max_frames = {data.max_frames} frames after "
            f"step_frames, the first is {first['uid']!r} with {full[too_long[0]]}. Raise data.max_frames or "
            "data.step_frames, or set data.too_long to truncate or skip."
        )
    if data.too_long == "skip":
        clips = np.setdiff1d(clips, too_long)
    if not len(clips):
        raise DataError(
            f"{dataset.store.folder}: no training clip is left; all are longer than data.max_frames."
        )
    windows = ShardWindows.of_store(
        dataset.store, clips, count=saved_windows(start) if start else None
    )
    if (training.batch_size or 0) > len(clips):
        raise DataError(
            f"training.batch_size is {training.batch_size}, and there are {len(clips)} training clips. Lower it to "
            f"{len(clips)} at most; or look whether data.train_path is the right table."
        )
    return BucketBatchSampler(
        _as_seen(config, dataset.lengths),
        clips,
        batch_size=training.batch_size or (None if training.frames_per_batch else 32),
        frames_per_batch=training.frames_per_batch,
        seed=config.seed,
        rank=int(os.environ.get("RANK", "0")),
        world_size=int(os.environ.get("WORLD_SIZE", "1")),
        accumulation=training.gradient_accumulation_steps,
        windows=windows,
        prefetcher=_build_prefetcher(config, dataset.store),
        corpora=_corpora_of(dataset.store, clips),
        temperature=data.mix_temperature,
        tokens=_tokens_of(dataset) if training.bucket_texts else None,
        drawn=_draw(config, dataset) if dataset.has_random_lengths else None,
    )


def _as_seen(config: Config, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Lengths as batches count them: where the model is compiled, of few sizes."""
    return round_up(lengths, limit=config.data.max_frames) if config.training.compile else lengths


def _draw(
    config: Config, dataset: ClipDataset
) -> Callable[[int, NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]]:
    """What tells the sampler how long clips are in an epoch."""
    return lambda epoch, clips, before: _as_seen(
        config, dataset.drawn_lengths(epoch, clips, before)
    )


def _tokens_of(dataset: ClipDataset) -> NDArray[np.int64] | None:
    """How many each clip's text has, (N,); None where there are no texts."""
    return None if dataset.labels is None else np.array([len(ids) for ids in dataset.labels])


def _corpora_of(store: PoseStore, clips: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The corpus of each clip, where several are mixed."""
    if not isinstance(store, MixedStore):
        return None
    corpora = store.corpora[clips]
    for number, labels in enumerate(store.labels):
        if number not in corpora:
            raise DataError(
                f"{labels.name}: no training clip is left; all are longer than data.max_frames."
            )
    return corpora


def _build_prefetcher(config: Config, store: PoseStore) -> Prefetcher | None:
    """Of the first process of each machine, where the store lies elsewhere."""
    if store.cached is None or os.environ.get("LOCAL_RANK", "0") != "0":
        return None
    # Twice what this process draws ahead: others on the machine may be behind it by as much.
    return Prefetcher(store, lead=2 * BATCHES_AHEAD * max(1, config.training.num_workers))


def _full_lengths(config: Config, dataset: ClipDataset) -> NDArray[np.int64]:
    """Frames of each clip after `step_frames`, before any is cut, (N,)."""
    return -(-dataset.store.frames.astype(np.int64) // config.data.step_frames)


def count_cut_clips(config: Config, dataset: ClipDataset) -> int:
    """Clips longer than `max_frames`, which are cut or left out."""
    return int((_full_lengths(config, dataset) > config.data.max_frames).sum())


def count_cut_texts(config: Config, dataset: ClipDataset) -> int:
    """Texts that fill all of `max_length`: those that were cut, and the few that fit exactly."""
    labels = dataset.labels or []
    return sum(len(ids) >= config.data.max_length for ids in labels)


def say_what_is_cut(config: Config, dataset: ClipDataset) -> None:
    """Warn of clips and texts that don't fit the config's limits."""
    clips, texts = count_cut_clips(config, dataset), count_cut_texts(config, dataset)
    if clips:
        what = "left out" if config.data.too_long == "skip" else "cut"
        logger.warning(
            "%d of %d training clips are longer than data.max_frames and are %s.",
            clips,
            len(dataset),
            what,
        )
    if texts:
        logger.warning("%d training texts reach data.max_length tokens and are cut there.", texts)

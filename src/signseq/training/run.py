"""`signseq train`: fine-tune any encoder-decoder text model on pose sequences.

Hugging Face's Seq2SeqTrainer does the work (see `trainer.py`); here a run is put together.
"""

from __future__ import annotations

import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from signseq.config import Config
from signseq.data.batching import BucketBatchSampler, ClipDataset, TokenTexts
from signseq.data.store import PoseStore
from signseq.errors import CheckpointError, DataError, ModelError
from signseq.model.architectures import is_causal, position_limit
from signseq.model.building import TextSide, build_model, build_text_side
from signseq.model.progress_bars import no_progress_bars
from signseq.model.quantization import load_base
from signseq.model.self_check import check_for_leaks
from signseq.model.sign_translation import SignTranslationModel
from signseq.model.text_models import load_text_config, load_tokenizer
from signseq.poses.augmentation import Augmentation
from signseq.preparation import build_recipe, ensure_split, open_split
from signseq.training.arguments import check_settings
from signseq.training.run_folder import (
    failed_writes_named,
    find_start,
    interruption_explained,
    make_folder,
)
from signseq.training.trainer import SignTrainer, build_trainer
from signseq.training.weights import choose_weights

if TYPE_CHECKING:
    from peft import PeftModel

__all__ = ["Parts", "build_parts", "check_run", "train"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What a run is made of, before a trainer binds it together."""

    model: SignTranslationModel
    tokenizer: PreTrainedTokenizerBase
    dataset: ClipDataset
    sampler: BucketBatchSampler
    val_store: PoseStore | None
    text_side: TextSide
    adapters: PeftModel | None


def check_run(config: Config, *, resume: bool = False, overwrite: bool = False) -> Path | None:
    """Find what would stop `train` at once, without data, model or GPU; nothing is written.

    Args:
        config: The experiment.
        resume: As for `train`.
        overwrite: As for `train`.

    Returns:
        The checkpoint that the run would go on from; None where it would start anew.

    Raises:
        ConfigError: If `training.hf` names an unknown field.
        DataError: If early stopping has nothing to go by.
        MissingExtraError: If a tracker is asked for that is not installed.
        CheckpointError: If the run's folder stands against it; see `train`.
    """
    check_settings(config)
    return find_start(config, resume=resume, overwrite=overwrite)


@no_progress_bars()
def train(config: Config, *, resume: bool = False, overwrite: bool = False) -> Path:
    """Train a model and leave the best checkpoint in `training.checkpoint_dir`.

    The store is prepared first where that was not done. Under torchrun every process calls this.

    Args:
        config: The experiment.
        resume: Go on from the last checkpoint of the run; in an empty folder, start anew.
        overwrite: Start anew where the folder holds a run already; its checkpoints are deleted.

    Returns:
        The checkpoint folder: weights, tokenizer, `config.json`, `config.yaml`.

    Raises:
        ConfigError: If `training.hf` names an unknown field.
        DataError: If the data can't be used.
        ModelError: If the text model can't be used.
        CheckpointError: If the folder holds a run and neither `resume` nor `overwrite` is set, if
            there is nothing to go on from or it was made with other settings, or if a file can't
            be written.
    """
    folder = config.training.checkpoint_dir
    start = check_run(config, resume=resume, overwrite=overwrite)
    if resume and start is None:
        logger.info("%s: no checkpoint to resume from; starting anew.", folder)
    set_seed(config.seed)
    with interruption_explained(folder):
        parts = build_parts(config, start=start)
        trainer = _build_in_folder(config, parts, clear=overwrite and start is None)
        _say_what_is_cut(config, parts)
        with failed_writes_named(folder):
            trainer.train(resume_from_checkpoint=str(start) if start else None)
            trainer.save_model(str(folder))
    return folder


def _build_in_folder(config: Config, parts: Parts, *, clear: bool) -> SignTrainer:
    """The trainer; once there is one, the first process makes the folder of the run."""
    folder = config.training.checkpoint_dir
    try:
        trainer = build_trainer(
            config,
            parts.model,
            parts.tokenizer,
            dataset=parts.dataset,
            sampler=parts.sampler,
            val_store=parts.val_store,
            targets=parts.text_side.targets,
            adapters=parts.adapters,
        )
        if trainer.is_world_process_zero():
            make_folder(folder, config, clear=clear)
    except OSError as fault:
        raise CheckpointError(
            f"{folder}: can't be written ({fault.strerror}). Set another training.checkpoint_dir."
        ) from fault
    return trainer


def build_parts(config: Config, *, augment: bool = True, start: Path | None = None) -> Parts:
    """Build data and model from a config; see `train` for what can go wrong.

    Args:
        config: The experiment.
        augment: Whether training clips are changed at random, as the config says.
        start: A checkpoint whose tokenizer is taken; its weights are the trainer's to load.
    """
    data, training = config.data, config.training
    if config.model.trust_remote_code:
        logger.warning(
            "model.trust_remote_code is true: %s runs code that comes with the model.",
            config.model.name,
        )
    load_text_config(config.model)  # a wrong name is said before hours of packing
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    open_or_make = (
        ensure_split if alone else open_split
    )  # processes must not all prepare the same store
    store = open_or_make(data, "train")
    val_store = open_or_make(data, "val") if data.val_path else None
    named = {"tokenizer": str(start)} if start else {}
    tokenizer = load_tokenizer(config.model.model_copy(update=named), store.texts())
    text_model = load_base(config.model, tokenizer)
    text_side = build_text_side(
        text_model,
        tokenizer,
        max_length=data.max_length,
        target_language=data.target_language,
        prompt=data.prompt,
    )
    _check_target_limits(config, text_model)
    encoder = config.model.encoder.model_dump(include={"type", "positions", "channels"})
    if encoder["type"] == "conv":
        encoder |= config.model.encoder.model_dump() | {"dropout": config.model.dropout or 0.0}
    model = build_model(
        text_model,
        encoder=encoder,
        recipe=asdict(build_recipe(data)),
        keypoints=store.recipe.names,
        mean=torch.from_numpy(store.mean),
        spread=torch.from_numpy(store.spread),
        text_side=text_side,
        step_frames=data.step_frames,
        max_frames=data.max_frames,
        max_new_tokens=config.generation.max_new_tokens,
        label_smoothing=training.label_smoothing,
    )
    model.config.estimators = list(store.estimators)
    if not (config.model.load_in_4bit or config.model.load_in_8bit):  # too coarse for this check
        check_for_leaks(model)
    adapters = choose_weights(config, model, start=start)
    labels = TokenTexts(store.targets(), text_side.targets)
    dataset = ClipDataset(
        store,
        labels,
        step_frames=data.step_frames,
        max_frames=data.max_frames,
        augmentation=Augmentation(**data.augment.model_dump()) if augment else None,
        seed=config.seed,
    )
    sampler = build_sampler(config, dataset)
    return Parts(model, tokenizer, dataset, sampler, val_store, text_side, adapters)


def build_sampler(config: Config, dataset: ClipDataset) -> BucketBatchSampler:
    """The batches of this process; clips that are too long are cut, left out or an error, as the config says.

    Raises:
        DataError: If clips are too long and `data.too_long` is `error`, or none is left.
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
    return BucketBatchSampler(
        dataset.lengths,
        clips,
        batch_size=training.batch_size or (None if training.frames_per_batch else 32),
        frames_per_batch=training.frames_per_batch,
        seed=config.seed,
        rank=int(os.environ.get("RANK", "0")),
        world_size=int(os.environ.get("WORLD_SIZE", "1")),
        accumulation=training.gradient_accumulation_steps,
    )


def _check_target_limits(config: Config, text_model: PreTrainedModel) -> None:
    if is_causal(text_model.config):
        return  # poses and text share one limit, which `build_model` checks
    limit = position_limit(text_model.config, "decoder")
    lengths = {
        "data.max_length": config.data.max_length,
        "generation.max_new_tokens": config.generation.max_new_tokens,
    }
    for key, length in lengths.items():
        if limit is not None and length > limit:
            raise ModelError(
                f"{key} = {length} tokens; the decoder of this {text_model.config.model_type} model takes at most "
                f"{limit}. Lower {key}."
            )


def _full_lengths(config: Config, dataset: ClipDataset) -> NDArray[np.int64]:
    """Frames of each clip after `step_frames`, before any is cut, (N,)."""
    return -(-dataset.store.frames.astype(np.int64) // config.data.step_frames)


def count_cut_clips(config: Config, parts: Parts) -> int:
    """Clips longer than `max_frames`, which are cut or left out."""
    return int((_full_lengths(config, parts.dataset) > config.data.max_frames).sum())


def count_cut_texts(config: Config, parts: Parts) -> int:
    """Texts that fill all of `max_length`: those that were cut, and the few that fit exactly."""
    labels = parts.dataset.labels or []
    return sum(len(ids) >= config.data.max_length for ids in labels)


def _say_what_is_cut(config: Config, parts: Parts) -> None:
    clips, texts = count_cut_clips(config, parts), count_cut_texts(config, parts)
    if clips:
        what = "left out" if config.data.too_long == "skip" else "cut"
        logger.warning(
            "%d of %d training clips are longer than data.max_frames and are %s.",
            clips,
            len(parts.dataset),
            what,
        )
    if texts:
        logger.warning("%d training texts reach data.max_length tokens and are cut there.", texts)

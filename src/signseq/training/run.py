"""`signseq train`: fine-tune any encoder-decoder text model on pose sequences.

Hugging Face's Seq2SeqTrainer does the work (see `trainer.py`); here a run is put together.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from signseq.config import Config, save_config
from signseq.data.batching import BucketBatchSampler, ClipDataset, TokenTexts
from signseq.data.store import PoseStore
from signseq.errors import CheckpointError, DataError, ModelError
from signseq.model.building import build_model, match_decoder_start
from signseq.model.freezing import freeze
from signseq.model.self_check import check_for_leaks
from signseq.model.sign_translation import SignTranslationModel
from signseq.model.text_models import load_text_model, load_tokenizer, position_limit
from signseq.poses.augmentation import Augmentation
from signseq.preparation import build_recipe, ensure_split, open_split
from signseq.training.trainer import build_trainer, label_encoder

__all__ = ["Parts", "build_parts", "train"]

logger = logging.getLogger(__name__)
# What a run leaves besides its checkpoints; a new run must not be mistaken for having made it.
OUTCOMES = ("model*.safetensors*", "metrics.jsonl", "predictions*.tsv", "scores*.json")


@dataclass(frozen=True)
class Parts:
    """What a run is made of, before a trainer binds it together."""

    model: SignTranslationModel
    tokenizer: PreTrainedTokenizerBase
    dataset: ClipDataset
    sampler: BucketBatchSampler
    val_store: PoseStore | None


def train(config: Config, *, resume: bool = False, overwrite: bool = False) -> Path:
    """Train a model and leave the best checkpoint in `training.checkpoint_dir`.

    The store is prepared first where that was not done. Under torchrun every process calls this.

    Args:
        config: The experiment.
        resume: Go on from the last checkpoint of the run, if there is one.
        overwrite: Start anew where the folder holds a run already; its checkpoints are deleted.

    Returns:
        The checkpoint folder: weights, tokenizer, `config.json`, `config.yaml`.

    Raises:
        ConfigError: If `training.hf` names an unknown field.
        DataError: If the data can't be used.
        ModelError: If the text model can't be used.
        CheckpointError: If the folder holds a run and neither `resume` nor `overwrite` is set.
    """
    folder = config.training.checkpoint_dir
    last = _last_checkpoint(folder)
    held = last or next(folder.glob("model*.safetensors"), None)
    if held is not None and not resume and not overwrite:
        raise CheckpointError(
            f"{folder}: holds a run already ({held.name}). Go on with --resume, start anew with --overwrite, "
            "or set another training.checkpoint_dir."
        )
    if resume and last is None:
        logger.info("%s: no checkpoint to resume from; starting anew.", folder)
    set_seed(config.seed)
    parts = build_parts(config)
    try:
        trainer = build_trainer(
            config,
            parts.model,
            parts.tokenizer,
            dataset=parts.dataset,
            sampler=parts.sampler,
            val_store=parts.val_store,
        )
        if trainer.is_world_process_zero():
            _make_folder(folder, config, clear=not (resume and last))
    except OSError as fault:
        raise CheckpointError(
            f"{folder}: can't be written ({fault.strerror}). Set another training.checkpoint_dir."
        ) from fault
    _say_what_is_cut(config, parts)
    trainer.train(resume_from_checkpoint=str(last) if resume and last else None)
    trainer.save_model(str(folder))
    return folder


def build_parts(config: Config, *, augment: bool = True) -> Parts:
    """Build data and model from a config; see `train` for what can go wrong."""
    data, training = config.data, config.training
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    open_or_make = (
        ensure_split if alone else open_split
    )  # processes must not all prepare the same store
    store = open_or_make(data, "train")
    val_store = open_or_make(data, "val") if data.val_path else None
    tokenizer = load_tokenizer(config.model, _texts(store))
    text_model = load_text_model(config.model, tokenizer)
    _check_target_limits(config, text_model)
    encoder = {"type": config.model.encoder.type, "positions": config.model.encoder.positions}
    if encoder["type"] == "conv":
        encoder |= config.model.encoder.model_dump() | {"dropout": config.model.dropout or 0.0}
    model = build_model(
        text_model,
        encoder=encoder,
        recipe=asdict(build_recipe(data)),
        keypoints=store.recipe.names,
        mean=torch.from_numpy(store.mean),
        spread=torch.from_numpy(store.spread),
        step_frames=data.step_frames,
        max_frames=data.max_frames,
        label_smoothing=training.label_smoothing,
    )
    check_for_leaks(model)
    freeze(model, encoder=config.model.freeze_encoder, decoder=config.model.freeze_decoder)
    labels = TokenTexts(_texts(store), label_encoder(tokenizer, data.max_length))
    match_decoder_start(model, torch.tensor(labels[0], dtype=torch.long)[None])
    dataset = ClipDataset(
        store,
        labels,
        step_frames=data.step_frames,
        max_frames=data.max_frames,
        augmentation=Augmentation(**data.augment.model_dump()) if augment else None,
        seed=config.seed,
    )
    return Parts(model, tokenizer, dataset, build_sampler(config, dataset), val_store)


def build_sampler(config: Config, dataset: ClipDataset) -> BucketBatchSampler:
    """The batches of this process; clips that are too long are cut, left out or an error, as the config says.

    Raises:
        DataError: If clips are too long and `data.too_long` is `error`, or none is left.
    """
    data, training = config.data, config.training
    full = -(-dataset.store.frames.astype(np.int64) // data.step_frames)
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


def _texts(store: PoseStore) -> Iterator[str]:
    return (store.text(number) for number in range(len(store)))


def count_cut_clips(config: Config, parts: Parts) -> int:
    frames = -(-parts.dataset.store.frames.astype(np.int64) // config.data.step_frames)
    return int((frames > config.data.max_frames).sum())


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


def _checkpoints(folder: Path) -> list[Path]:
    """The trainer's own folders of checkpoints, oldest first; nothing else that is called alike."""
    numbered = [path for path in folder.glob("checkpoint-*") if path.name[11:].isdecimal()]
    return sorted(filter(Path.is_dir, numbered), key=lambda path: int(path.name[11:]))


def _last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; the trainer's state is written last."""
    whole = [path for path in _checkpoints(folder) if (path / "trainer_state.json").exists()]
    return whole[-1] if whole else None


def _make_folder(folder: Path, config: Config, *, clear: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if clear:
        for path in _checkpoints(folder):
            shutil.rmtree(path)
        for path in (path for pattern in OUTCOMES for path in folder.glob(pattern)):
            path.unlink()
    save_config(config, folder / "config.yaml")

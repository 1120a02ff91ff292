"""`signseq train`: here a run is put together; Hugging Face's Trainer does the work, see `trainer.py`."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback, set_seed

from signseq.config import Config
from signseq.data.batching import BucketBatchSampler, ClipDataset
from signseq.data.store import PoseStore
from signseq.data.token_texts import TokenTexts
from signseq.errors import CheckpointError, ModelError
from signseq.model.architectures import is_causal, position_limit
from signseq.model.attention import set_attention
from signseq.model.building import TextSide, build_model, build_text_side
from signseq.model.ctc import CtcTargets, find_ctc_targets
from signseq.model.quantization import load_base
from signseq.model.quiet import no_progress_bars
from signseq.model.self_check import check_for_leaks
from signseq.model.sign_translation import SignTranslationModel
from signseq.model.text_models import load_text_config, load_tokenizer
from signseq.model.warm_start import take_tokenizer, take_weights
from signseq.poses.augmentation import Augmentation
from signseq.preparation import build_recipe, ensure_split, open_split
from signseq.training.arguments import check_settings
from signseq.training.building import build_trainer
from signseq.training.fitting.auto_batch import with_budget_of, with_found_budget
from signseq.training.fitting.batch_choice import choose_batches
from signseq.training.mixing import open_training_store, prompts_of, prompts_of_clips
from signseq.training.precision import choose_precision, keep_in_float32
from signseq.training.run_folder import (
    failed_writes_named,
    find_start,
    interruption_explained,
    make_folder,
)
from signseq.training.safety.checkpoints import last_checkpoint
from signseq.training.safety.heartbeat import lost_processes_named, tell_launcher
from signseq.training.safety.run_data import check_data, describe_data
from signseq.training.safety.run_lock import lock_run
from signseq.training.safety.stopping import heed_signals
from signseq.training.sampling import build_sampler, say_what_is_cut
from signseq.training.sharding import check_sharding
from signseq.training.trainer import SignTrainer
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
    check_sharding(config)
    return find_start(config, resume=resume, overwrite=overwrite)


@no_progress_bars()
def train(
    config: Config,
    *,
    resume: bool = False,
    overwrite: bool = False,
    observers: Sequence[TrainerCallback] = (),
) -> Path:
    """Train a model and leave the best checkpoint in `training.checkpoint_dir`.

    The store is prepared first where that was not done. Under torchrun every process calls this.

    Args:
        config: The experiment.
        resume: Go on from the last checkpoint of the run; in an empty folder, start anew.
        overwrite: Start anew where the folder holds a run already; its checkpoints are deleted.
        observers: Callbacks of transformers' that look on; what they raise ends the run.

    Returns:
        The checkpoint folder: weights, tokenizer, `config.json`, `config.yaml`.

    Raises:
        ConfigError: If `training.hf` names an unknown field.
        DataError: If the data can't be used.
        ModelError: If the text model can't be used.
        CheckpointError: If the folder holds a run and neither `resume` nor `overwrite` is set, if
            another run is writing there, if there is nothing to go on from or it was made with other
            settings or data, or if a file can't be written.
        StoppedError: If a signal said so: SIGTERM or SIGUSR1; a checkpoint was saved.
    """
    folder = config.training.checkpoint_dir
    if resume and (last := last_checkpoint(folder)) is not None:
        config = with_budget_of(config, last)
    tell_launcher()
    with interruption_explained(folder), ExitStack() as held, lost_processes_named():
        start = check_run(config, resume=resume, overwrite=overwrite)
        if resume and start is None:
            logger.info("%s: no checkpoint to resume from; starting anew.", folder)
        set_seed(config.seed)
        parts = build_parts(config, start=start)
        config = with_found_budget(config, parts.sampler.frames_per_batch)
        trainer = _build_in_folder(
            config, parts, clear=overwrite and start is None, observers=observers, held=held
        )
        say_what_is_cut(config, parts.dataset)
        held.enter_context(failed_writes_named(folder))
        held.enter_context(trainer.tracking.trackers)  # which may have much to send at the end
        with heed_signals(trainer.stop_request):
            trainer.run(start)
        trainer.save_result()
    return folder


def _build_in_folder(
    config: Config,
    parts: Parts,
    *,
    clear: bool,
    observers: Sequence[TrainerCallback],
    held: ExitStack,
) -> SignTrainer:
    """The trainer; once there is one, the first process makes the folder of the run, and holds it."""
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
            observers=observers,
        )
        if trainer.is_world_process_zero():
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(lock_run(folder))
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
    settings = config.model if start else take_tokenizer(config.model)
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    open_or_make = (
        ensure_split if alone else open_split
    )  # processes must not all prepare the same store
    store = open_training_store(data, open_or_make)
    val_store = open_or_make(data, "val") if data.val_path else None
    named = {"tokenizer": str(start)} if start else {}
    tokenizer = load_tokenizer(settings.model_copy(update=named), store.texts())
    text_model = load_base(config.model, tokenizer)
    precision = choose_precision(text_model.config, wanted=training.mixed_precision)
    if precision.reason:
        logger.warning("%s", precision.reason)
    set_attention(
        text_model, config.model.attention, in_half_precision=precision.dtype != "float32"
    )
    text_side = build_text_side(
        text_model,
        tokenizer,
        max_length=data.max_length,
        target_language=data.target_language,
        prompt=data.prompt,
        prompts=prompts_of(store),
    )
    _check_target_limits(config, text_model)
    labels = TokenTexts(store.targets(), text_side.targets)
    model = build_model(
        text_model,
        encoder=config.model.encoder.arguments(dropout=config.model.dropout),
        recipe=asdict(build_recipe(data)),
        keypoints=store.recipe.names,
        mean=torch.from_numpy(store.mean),
        spread=torch.from_numpy(store.spread),
        text_side=text_side,
        step_frames=data.step_frames,
        max_frames=data.max_frames,
        max_new_tokens=config.generation.max_new_tokens,
        label_smoothing=training.label_smoothing,
        ctc=_ctc_targets(config, text_side, labels),
    )
    model.config.estimators = list(store.estimators)
    # a run that goes on has weights of its own, but its adapters belong to those that it began with
    if start is None or config.model.use_lora:
        take_weights(model, config.model, tokenizer=tokenizer, labels=labels)
    if not (config.model.load_in_4bit or config.model.load_in_8bit):  # too coarse for this check
        check_for_leaks(model)
    if start is not None:
        check_data(start, describe_data(store))
    adapters = choose_weights(config, model, start=start)
    keep_in_float32(model, precision.in_float32)
    dataset = ClipDataset(
        store,
        labels,
        step_frames=data.step_frames,
        max_frames=data.max_frames,
        augmentation=Augmentation(**data.augment.model_dump()) if augment else None,
        seed=config.seed,
        prompts=prompts_of_clips(store, text_side.prompts),
    )
    sampler = choose_batches(
        config,
        lambda described: build_sampler(described, dataset, start=start),
        model=model,
        trained=adapters or model,
        tokens=np.array([len(ids) for ids in labels]),
        prompt=text_side.longest_prompt if data.prompt or text_side.prompts else 0,
    )
    return Parts(model, tokenizer, dataset, sampler, val_store, text_side, adapters)


def _ctc_targets(config: Config, text_side: TextSide, labels: TokenTexts) -> CtcTargets | None:
    """What the head of the auxiliary loss writes, where there is one."""
    training, targets = config.training, text_side.targets
    if not training.ctc_weight:
        return None
    return find_ctc_targets(
        targets.tokenizer,
        labels,
        kind=training.ctc_target,
        weight=training.ctc_weight,
        leave_out=targets.languages.ids.values() if targets.languages else (),
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

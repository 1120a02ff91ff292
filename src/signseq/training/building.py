"""Putting a trainer together: its arguments, its callbacks, where its values go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from transformers import PreTrainedTokenizerBase, TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from signseq.config import Config
from signseq.data.batching import (
    BucketBatchSampler,
    ClipDataset,
)
from signseq.data.store import PoseStore
from signseq.errors import ConfigError
from signseq.metrics import has_ngrams
from signseq.model.self_check import leaves_parameters_unused
from signseq.model.sign_translation import SignTranslationModel
from signseq.model.targets import TargetEncoder
from signseq.training.arguments import build_arguments, count_steps
from signseq.training.callbacks import (
    DivergenceCallback,
    EpochCallback,
    PatienceCallback,
    ReportCallback,
)
from signseq.training.mean_of_last import check_enough_checkpoints
from signseq.training.precision import choose_precision
from signseq.training.tracking.reporting import TrackingCallback, build_facts, choose_clips
from signseq.training.tracking.trackers import Trackers, open_trackers
from signseq.training.trainer import SignTrainer

if TYPE_CHECKING:
    from peft import PeftModel

__all__ = ["build_trainer", "check_best_metric"]


def check_best_metric(
    metric: str,
    val_store: PoseStore | None,
    *,
    config: Config,
    key: str = "training.best_metric",
) -> None:
    """See whether a score can tell models apart.

    Args:
        metric: The score.
        val_store: The clips that it's computed on.
        config: How texts are scored.
        key: The setting that names it.

    Raises:
        ConfigError: If it can't.
    """
    if metric != "bleu4" or val_store is None:
        return
    evaluation = config.evaluation
    if not has_ngrams(
        val_store.texts(),
        4,
        normalize=evaluation.normalize,
        tokenize=evaluation.tokenize,
        language=config.data.target_language,
    ):
        raise ConfigError(
            f"{key} is bleu4, which is 0 by definition on these validation texts: none has four words. "
            "Set it to cer, chrf or loss."
        )


def build_trainer(
    config: Config,
    model: SignTranslationModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    dataset: ClipDataset,
    sampler: BucketBatchSampler,
    val_store: PoseStore | None,
    targets: TargetEncoder,
    adapters: PeftModel | None = None,
    observers: Sequence[TrainerCallback] = (),
) -> SignTrainer:
    """Put a trainer together.

    Args:
        config: The experiment.
        model: What is trained.
        tokenizer: The text model's.
        dataset: The training clips.
        sampler: This process's batches of them.
        val_store: Clips to score during training; None scores nothing.
        targets: Turns texts into labels.
        adapters: What `add_lora` made of the model: trained and saved in its place.
        observers: Further callbacks.

    Raises:
        ConfigError: See `build_arguments`, `check_best_metric`, `check_enough_checkpoints`.
        DataError: See `build_arguments`.
    """
    training = config.training
    check_best_metric(training.best_metric, val_store, config=config)
    steps = len(sampler) // training.gradient_accumulation_steps
    check_enough_checkpoints(config, *count_steps(config, steps_per_epoch=steps))
    callbacks: list[TrainerCallback] = [
        EpochCallback(sampler, accumulation=training.gradient_accumulation_steps),
        ReportCallback(training.checkpoint_dir),
        DivergenceCallback(),
        *observers,
    ]
    if training.early_stopping_patience is not None:
        callbacks.append(PatienceCallback(training.early_stopping_patience))
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    precision = choose_precision(model.text_model.config, wanted=training.mixed_precision)
    trainer = SignTrainer(
        sampler=sampler,
        val_store=val_store,
        targets=targets,
        config=config,
        tracking=_build_tracking(config, model, val_store),
        model=model if adapters is None else adapters,
        args=build_arguments(
            config,
            steps_per_epoch=steps,
            precision=precision,
            find_unused=None if alone else leaves_parameters_unused(model),
        ),
        train_dataset=dataset,
        eval_dataset=val_store,
        processing_class=tokenizer,
        callbacks=callbacks,
    )
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    return trainer


def _build_tracking(
    config: Config, model: SignTranslationModel, val_store: PoseStore | None
) -> TrackingCallback:
    """Where this process's values go: only the first one has trackers and examples."""
    training = config.training
    is_first = os.environ.get("RANK", "0") == "0"
    return TrackingCallback(
        build_facts(config, model),
        Trackers(open_trackers(training.trackers) if is_first else {}),
        choose_clips(val_store, training.example_clips) if is_first else None,
    )

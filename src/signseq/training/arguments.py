"""The config's training section, in the Trainer's own terms."""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Mapping
from typing import Any

import torch
from transformers import Seq2SeqTrainingArguments

from signseq.config import Config
from signseq.errors import ConfigError, DataError, MissingExtraError
from signseq.model.adapters import check_lora_settings
from signseq.model.quantization import check_quantization

__all__ = ["build_arguments", "check_settings"]

# Fields of Seq2SeqTrainingArguments that our own keys set.
OWN_FIELDS = {
    "output_dir": "training.checkpoint_dir",
    "num_train_epochs": "training.num_epochs",
    "max_steps": "training.max_steps",
    "per_device_train_batch_size": "training.batch_size",
    "per_device_eval_batch_size": "training.eval_batch_size",
    "gradient_accumulation_steps": "training.gradient_accumulation_steps",
    "learning_rate": "training.learning_rate",
    "weight_decay": "training.weight_decay",
    "warmup_steps": "training.warmup_ratio",
    "warmup_ratio": "training.warmup_ratio",
    "max_grad_norm": "training.max_grad_norm",
    "activation_checkpointing": "training.gradient_checkpointing",
    "activation_checkpointing_kwargs": "training.gradient_checkpointing",
    "gradient_checkpointing": "training.gradient_checkpointing",
    "gradient_checkpointing_kwargs": "training.gradient_checkpointing",
    "label_smoothing_factor": "training.label_smoothing",
    "bf16": "training.mixed_precision",
    "fp16": "training.mixed_precision",
    "dataloader_num_workers": "training.num_workers",
    "metric_for_best_model": "training.best_metric",
    "save_total_limit": "training.save_total_limit",
    "run_name": "training.run_name",
    "seed": "seed",
}


def check_settings(config: Config) -> None:
    """Find what can't work in the config, before anything is loaded.

    Raises:
        ConfigError: If `training.hf` or `model.lora_config` has an unknown field, or one that another
            key sets.
        DataError: If early stopping has nothing to go by.
        MissingExtraError: If a package is needed that is not installed: a tracker, bitsandbytes.
    """
    training = config.training
    _check_hf_fields(training.hf)
    if config.model.use_lora:
        check_lora_settings(config.model.lora_config)
    check_quantization(config.model)
    if training.early_stopping_patience is not None and config.data.val_path is None:
        raise DataError(
            "training.early_stopping_patience needs validation clips: set data.val_path."
        )
    if training.use_wandb:
        try:
            import wandb  # noqa: F401
        except ImportError as fault:
            raise MissingExtraError(
                package="wandb", extra="wandb", purpose="training.use_wandb"
            ) from fault


def build_arguments(
    config: Config, *, steps_per_epoch: int, find_unused: bool | None = None
) -> Seq2SeqTrainingArguments:
    """Translate the config's training section for the Trainer.

    Args:
        config: The experiment.
        steps_per_epoch: Optimizer steps.
        find_unused: Whether several processes must look for parameters without a gradient in
            every step; None leaves it to the Trainer.

    Raises:
        ConfigError: If a value is one that the Trainer refuses; see also `check_settings`.
        DataError: See `check_settings`.
        MissingExtraError: See `check_settings`.
    """
    training = config.training
    check_settings(config)
    on_gpu = torch.cuda.is_available()
    total = training.max_steps or round(training.num_epochs * steps_per_epoch)
    every = min(steps_per_epoch * training.eval_epochs, max(total, 1))
    has_val = config.data.val_path is not None
    settings: dict[str, Any] = {
        "output_dir": str(training.checkpoint_dir),
        "num_train_epochs": training.num_epochs,
        "max_steps": training.max_steps or -1,
        "per_device_train_batch_size": training.batch_size or 1,
        "per_device_eval_batch_size": training.eval_batch_size,
        "gradient_accumulation_steps": training.gradient_accumulation_steps,
        "learning_rate": training.learning_rate,
        "weight_decay": training.weight_decay,
        "warmup_steps": training.warmup_ratio,  # below 1 it is a share
        "max_grad_norm": training.max_grad_norm,
        "bf16": training.mixed_precision and on_gpu and torch.cuda.is_bf16_supported(),
        "use_cpu": not on_gpu,
        "ddp_backend": "gloo"
        if not on_gpu and int(os.environ.get("WORLD_SIZE", "1")) > 1
        else None,
        "ddp_find_unused_parameters": find_unused,
        "dataloader_num_workers": training.num_workers,
        "eval_strategy": "steps" if has_val else "no",
        "save_strategy": "steps",
        "eval_steps": every,
        "save_steps": every,
        "save_total_limit": training.save_total_limit,
        "load_best_model_at_end": has_val,
        "metric_for_best_model": training.best_metric if has_val else None,
        "greater_is_better": training.best_metric in ("bleu4", "chrf") if has_val else None,
        "logging_steps": max(1, min(50, every // 5)),
        "logging_nan_inf_filter": False,  # a loss of NaN is to be seen
        "report_to": ["wandb"] if training.use_wandb else [],
        "project": training.project_name,
        "run_name": training.run_name or training.checkpoint_dir.name,
        "disable_tqdm": True,
        "log_level_replica": "error",  # or other processes say what the first keeps to itself
        "remove_unused_columns": False,
        "seed": config.seed,
        **training.hf,
    }
    try:
        return Seq2SeqTrainingArguments(**settings)
    except (ValueError, TypeError) as fault:
        raise ConfigError(f"training: the Trainer refuses these settings: {fault}") from fault


def _check_hf_fields(given: Mapping[str, Any]) -> None:
    known = [field.name for field in dataclasses.fields(Seq2SeqTrainingArguments)]
    for name in given:
        if name in OWN_FIELDS:
            raise ConfigError(f"training.hf.{name}: set {OWN_FIELDS[name]} instead.")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ConfigError(f"training.hf.{name}: no field of Seq2SeqTrainingArguments.{hint}")

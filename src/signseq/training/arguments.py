"""The config's training section, in the Trainer's own terms."""

from __future__ import annotations

import dataclasses
import difflib
import logging
import os
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from transformers import SchedulerType, Seq2SeqTrainingArguments
from transformers.training_args import OptimizerNames

from signseq.config import Config
from signseq.errors import ConfigError, DataError
from signseq.model.adapters import check_lora_settings
from signseq.model.quantization import check_quantization
from signseq.training.mean_of_last import check_averaging
from signseq.training.optimizers import check_optimizer, optimizer_fields
from signseq.training.precision import FULL_PRECISION, Precision
from signseq.training.tracking.trackers import check_trackers

__all__ = ["build_arguments", "check_processes", "check_settings", "count_steps"]

logger = logging.getLogger(__name__)

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
    "torch_compile": "training.compile",
    "torch_compile_backend": "training.compile",
    "torch_compile_mode": "training.compile",
    "auto_find_batch_size": "training.auto_batch",
    "dataloader_num_workers": "training.num_workers",
    "metric_for_best_model": "training.best_metric",
    "save_total_limit": "training.save_total_limit",
    "save_steps": "training.save_steps",
    "save_strategy": "training.save_steps",
    "eval_steps": "training.eval_epochs",
    "eval_strategy": "training.eval_epochs",
    "fsdp": "training.fsdp",
    "fsdp_config": "training.fsdp",
    "deepspeed": "training.fsdp",
    "run_name": "training.run_name",
    "project": "training.project_name",
    "report_to": "training.report_to",
    "seed": "seed",
}


def check_settings(config: Config) -> None:
    """Find what can't work in the config, before anything is loaded.

    Raises:
        ConfigError: If `training.hf` or `model.lora_config` has an unknown field, or one that another
            key sets; if a machine has fewer GPUs than processes; or see `check_averaging`.
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
    check_averaging(config)
    check_trackers(training.trackers)
    check_optimizer(training)
    check_processes(
        int(os.environ.get("LOCAL_RANK", "0")),
        int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
        gpus=torch.cuda.device_count(),
    )


def check_processes(local_rank: int, processes: int, *, gpus: int) -> None:
    """Each process needs a GPU of its own, or NCCL would wait for ever; without GPUs all share the CPU.

    Args:
        local_rank: Of this process on its machine.
        processes: Of this run on this machine.
        gpus: That this process sees.

    Raises:
        ConfigError: If there is none left for this process.
    """
    if 0 < gpus <= local_rank:
        raise ConfigError(
            f"{max(processes, local_rank + 1)} processes were started on this machine, and it has {gpus} "
            f"GPU{'s' if gpus > 1 else ''} (CUDA_VISIBLE_DEVICES counts). Start as many as there are GPUs: torchrun "
            f"--nproc_per_node={gpus}."
        )


def count_steps(config: Config, *, steps_per_epoch: int) -> tuple[int, int]:
    """Optimizer steps of a run, and those between two evaluations."""
    training = config.training
    total = training.max_steps or round(training.num_epochs * steps_per_epoch)
    return total, min(steps_per_epoch * training.eval_epochs, max(total, 1))


def build_arguments(
    config: Config,
    *,
    steps_per_epoch: int,
    precision: Precision = FULL_PRECISION,
    find_unused: bool | None = None,
) -> Seq2SeqTrainingArguments:
    """Translate the config's training section for the Trainer.

    Args:
        config: The experiment.
        steps_per_epoch: Optimizer steps.
        precision: See `choose_precision`.
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
    _, every = count_steps(config, steps_per_epoch=steps_per_epoch)
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
        **optimizer_fields(training),
        "bf16": precision.dtype == "bfloat16",
        "fp16": precision.dtype == "float16",
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
        "save_total_limit": None,  # old checkpoints are ours to remove: the last one is kept, too
        "load_best_model_at_end": has_val,
        "metric_for_best_model": training.best_metric if has_val else None,
        "greater_is_better": training.best_metric in ("bleu4", "chrf") if has_val else None,
        "logging_steps": max(1, min(50, every // 5)),
        "logging_nan_inf_filter": False,  # a loss of NaN is to be seen
        "report_to": [],  # our own trackers can't harm a run
        "disable_tqdm": True,
        "log_level_replica": "error",  # or other processes say what the first keeps to itself
        "remove_unused_columns": False,
        "seed": config.seed,
        **training.hf,
    }
    try:
        arguments = Seq2SeqTrainingArguments(**settings)
    except (ValueError, TypeError) as fault:
        raise ConfigError(f"training: the Trainer refuses these settings: {fault}") from fault
    _use_one_gpu(arguments)
    return arguments


def _use_one_gpu(arguments: Seq2SeqTrainingArguments) -> None:
    """One process, one GPU: shown several, the Trainer would divide each batch by nn.DataParallel.

    That is slow, counts batches otherwise, and wraps the model in what knows none of our methods.
    """
    if arguments.device.type == "cuda" and (gpus := arguments.n_gpu) > 1:  # the device sets n_gpu
        arguments._n_gpu = 1
        _say_one_is_used(gpus)


@cache
def _say_one_is_used(gpus: int) -> None:
    """Once, however often arguments are built."""
    logger.info(
        "%d GPUs are visible, one is used; ./train_multi_gpu.sh CONFIG %d uses all.", gpus, gpus
    )


def _check_hf_fields(given: Mapping[str, Any]) -> None:
    known = [field.name for field in dataclasses.fields(Seq2SeqTrainingArguments)]
    for name in given:
        if name in OWN_FIELDS:
            raise ConfigError(f"training.hf.{name}: set {OWN_FIELDS[name]} instead.")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ConfigError(f"training.hf.{name}: no field of Seq2SeqTrainingArguments.{hint}")
    choices: dict[str, type[OptimizerNames] | type[SchedulerType]] = {
        "optim": OptimizerNames,
        "lr_scheduler_type": SchedulerType,
    }
    for name, kind in choices.items():
        names = [str(each.value) for each in kind]
        if name in given and given[name] not in names:
            near = difflib.get_close_matches(str(given[name]), names, n=1, cutoff=0.0)
            raise ConfigError(
                f"training.hf.{name} = {given[name]!r}: transformers has none of that name; did you mean {near[0]}?"
            )

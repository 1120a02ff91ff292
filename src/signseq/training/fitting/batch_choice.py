"""The batches of a run: as the config says, or as many frames as fit; checked against the memory."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from signseq.config import Config
from signseq.data.batching import BucketBatchSampler
from signseq.model.sign_translation import SignTranslationModel
from signseq.training.arguments import build_arguments
from signseq.training.fitting.auto_batch import (
    BudgetSearch,
    Memory,
    agree,
    find_budget,
    largest_steps,
    with_budget,
)
from signseq.training.fitting.memory_limits import available_memory, check_memory
from signseq.training.fitting.step_probe import StepProbe, fits_by_estimate
from signseq.training.precision import choose_precision, device_facts

__all__ = ["choose_batches"]

logger = logging.getLogger(__name__)

Build = Callable[[Config], BucketBatchSampler]


def choose_batches(
    config: Config,
    build: Build,
    *,
    model: SignTranslationModel,
    trained: nn.Module,
    tokens: NDArray[np.int64],
    prompt: int = 0,
) -> BucketBatchSampler:
    """This process's batches; with `training.auto_batch`, of the largest frame budget that fits.

    Args:
        config: The experiment.
        build: Makes the batches that a config describes.
        model: Made from the config, without adapters.
        trained: The model, or peft's wrapper around it.
        tokens: Of each clip's text, (N,).
        prompt: Of the longest prompt, in tokens.

    Raises:
        ConfigError: If not even the smallest batches fit, or those of the config don't.
        DataError: See `build`.
    """
    if not config.training.auto_batch:
        sampler = build(config)
        sizes = largest_steps(sampler, tokens, prompt=prompt)
        check_memory(config, model, sizes, available=available_memory())
        return sampler
    smallest = build(with_budget(config, config.data.max_frames))
    facts = _facts(config, model, smallest, tokens)
    if prompt:
        facts["prompt"] = prompt
    memory = Memory.of_the_user()
    budget = memory.recall(facts)
    if budget is None:
        search = BudgetSearch(
            lambda frames: build(with_budget(config, frames)),
            tokens,
            fits=_probe(config, model, trained),
            prompt=prompt,
        )
        logger.info("training.auto_batch: looking for the largest frame budget that fits.")
        budget = find_budget(
            search, smallest.lengths, guess=_guess(smallest.lengths), processes=smallest.multiple
        )
        memory.remember(facts, budget)
        known = f"kept in {memory.path}"
    else:
        known = f"found before, see {memory.path}"
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # this starts the processes' group, too
        budget = agree(budget, build_arguments(config, steps_per_epoch=1).device)
    sampler = build(with_budget(config, budget))
    logger.info(
        "training.auto_batch: %d frames per batch (%s); %d batches an epoch and process.",
        budget,
        known,
        len(sampler),
    )
    return sampler


def _guess(lengths: NDArray[np.int64]) -> int:
    """A batch of 32 clips of usual length."""
    return int(32 * np.median(lengths))


def _probe(config: Config, model: SignTranslationModel, trained: nn.Module) -> Any:
    """Real steps on a GPU, estimates elsewhere."""
    if not torch.cuda.is_available():
        available = available_memory()
        return lambda size: fits_by_estimate(config, model, size, available=available)
    precision = choose_precision(model.text_model.config, wanted=config.training.mixed_precision)
    arguments = build_arguments(config, steps_per_epoch=1, precision=precision)
    return StepProbe(model, trained, arguments=arguments, precision=precision).fits


def _facts(
    config: Config,
    model: SignTranslationModel,
    sampler: BucketBatchSampler,
    tokens: NDArray[np.int64],
) -> dict[str, Any]:
    """All that the largest budget depends on."""
    data, training = config.data, config.training
    device = device_facts()
    return {
        "model": config.model.model_dump(mode="json"),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "keypoints": len(model.config.keypoints),
        "data": [data.max_frames, data.max_length, data.augment.speed, data.dimensions],
        "clips": [len(sampler.lengths), int(sampler.lengths.sum()), int(tokens.sum())],
        "longest": [int(sampler.lengths.max()), int(tokens.max())],
        "training": [training.optimizer, training.mixed_precision, training.gradient_checkpointing],
        "compile": training.compile,
        "fsdp": training.fsdp,
        "processes": sampler.multiple,
        "device": [device.kind, device.name, device.memory],
        "torch": torch.__version__,
    }

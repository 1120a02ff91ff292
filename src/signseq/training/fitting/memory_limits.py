"""Whether a run fits the memory that there is, found before it starts."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from signseq.config import Config
from signseq.errors import ConfigError
from signseq.model.encoders import count_inputs
from signseq.model.memory import (
    BFLOAT16,
    FLOAT32,
    GIB,
    MemoryEstimate,
    Method,
    StepSize,
    estimate_memory,
    step_by_formula,
)
from signseq.model.sign_translation import SignTranslationModel

__all__ = [
    "available_memory",
    "bucket_bytes",
    "check_memory",
    "estimate_step",
    "largest_batches",
]

logger = logging.getLogger(__name__)

OPTIMIZER_BYTES = {"adamw": 8, "adafactor": 0, "adamw_8bit": 2}  # per parameter that trains
BEYOND_DOUBT = 1.1  # the estimate leaves out gaps and libraries, so it is rather too low
NEARLY_FULL = 0.9
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def available_memory() -> int:
    """Bytes that a run may take: free on the GPU, or of the machine (a container's limit counts)."""
    if torch.cuda.is_available():
        own = int(os.environ.get("LOCAL_RANK", "0"))
        free, _ = torch.cuda.mem_get_info(own)
        return int(free) + torch.cuda.memory_reserved(own)  # quantized weights are there already
    pages = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
    available = os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    facts = Path("/proc/meminfo")
    if facts.exists():  # counts what the system would give back, too
        lines = facts.read_text(encoding="ascii").splitlines()
        available = next(
            int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")
        )
    if (
        CGROUP_LIMIT.exists()
        and (limit := CGROUP_LIMIT.read_text(encoding="ascii").strip()) != "max"
    ):
        available = min(available, int(limit))
    return available // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def largest_batches(
    plans: Iterable[Sequence[NDArray[np.int64]]],
    frames: NDArray[np.int64],
    tokens: NDArray[np.int64],
    *,
    prompt: int = 0,
) -> list[StepSize]:
    """The batches that take most memory: by frames, by tokens, by both together, by pairs of frames.

    Args:
        plans: Batches of clips, of one or several epochs.
        frames: Of each clip, (N,).
        tokens: Of each clip's text, (N,).
        prompt: Tokens of the longest prompt.

    Returns:
        One to four sizes; no other batch is larger by any of these.
    """
    sizes = [
        StepSize(len(batch), int(frames[batch].max()), max(1, int(tokens[batch].max())), prompt)
        for plan in plans
        for batch in plan
    ]
    measures = (
        lambda size: size.batch_size * size.frames,
        lambda size: size.batch_size * size.tokens,
        lambda size: size.batch_size * (size.frames + size.tokens),
        lambda size: size.batch_size * size.frames**2,
    )
    return list(dict.fromkeys(max(sizes, key=measure) for measure in measures))


def estimate_step(config: Config, model: SignTranslationModel, size: StepSize) -> MemoryEstimate:
    """What training on one such batch takes, on each GPU; see `estimate_memory`.

    Args:
        config: The experiment.
        model: Made from it, without adapters.
        size: Of the batch.
    """
    settings, lora = config.model, config.model.lora_config
    method: Method = "full"
    if settings.use_lora:
        method = "qlora" if settings.load_in_4bit else "lora"
    found = estimate_memory(
        model.text_model.config,
        method,
        size=size,
        encoder=model.config.encoder,
        keypoints=model.config.keypoints,
        dimensions=model.config.recipe["dimensions"],
        label_smoothing=config.training.label_smoothing,
        rank=lora.r,
        targets=lora.target_modules,
        gradient_checkpointing=config.training.gradient_checkpointing,
    )
    per_parameter = OPTIMIZER_BYTES[config.training.optimizer]
    whole = replace(found, optimizer=per_parameter * found.trainable)
    return _share_of(whole, _count_shares(config))


def _share_of(whole: MemoryEstimate, processes: int) -> MemoryEstimate:
    """What each process has of weights, optimizer state and gradients, and of bfloat16 copies of weights."""
    divided = FLOAT32 * whole.trainable + whole.weights * BFLOAT16 // FLOAT32
    return replace(
        whole,
        weights=whole.weights // processes,
        optimizer=whole.optimizer // processes,
        step=max(0, whole.step - divided + divided // processes),
    )


def bucket_bytes(trainable: int) -> int:
    """What several processes take to add up their gradients: DDP's buckets, as large as all of them.

    Args:
        trainable: Parameters that train.
    """
    return FLOAT32 * trainable if int(os.environ.get("WORLD_SIZE", "1")) > 1 else 0


def check_memory(
    config: Config, model: SignTranslationModel, sizes: Sequence[StepSize], *, available: int
) -> None:
    """Stop a run that can't fit, and warn of one that may not.

    Args:
        config: The experiment.
        model: Made from it, without adapters.
        sizes: Its largest batches.
        available: Bytes.

    Raises:
        ConfigError: If the estimate is beyond doubt more than there is.
    """
    rough = max(_rough(config, model, size) for size in sizes)
    # what a model's own code makes can't be outlined
    if rough < available / 2 or config.model.trust_remote_code:
        return
    size, found = max(
        ((size, estimate_step(config, model, size)) for size in sizes),
        key=lambda pair: pair[1].total,
    )
    if found.total < NEARLY_FULL * available:
        return
    told = (
        f"Training needs about {_as_text(found.total)} (weights {_as_text(found.weights)}, optimizer "
        f"{_as_text(found.optimizer)}, a step {_as_text(found.step)}), and {_as_text(available)} are free. The "
        f"largest batch has {size.batch_size} clips of {size.frames} frames and texts of {size.tokens} tokens."
    )
    frozen = config.model.freeze_encoder or config.model.freeze_decoder  # takes less than estimated
    if found.total < BEYOND_DOUBT * available or frozen:
        logger.warning("%s It may not fit.", told)
        return
    others = (  # what doesn't go together with it
        "training.gradient_checkpointing or model.use_lora to true, or take more processes: training.fsdp divides the "
        "weights among them."
        if config.training.fsdp
        else "training.auto_batch or training.gradient_checkpointing to true, training.optimizer to adamw_8bit or "
        "adafactor, or model.use_lora to true; on several GPUs also training.fsdp, which divides weights among them."
    )
    raise ConfigError(
        f"{told} Lower training.frames_per_batch (or batch_size) and raise gradient_accumulation_steps, or set {others}"
    )


def _as_text(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.1f} MiB"


def _count_shares(config: Config) -> int:
    """Among how many processes weights, gradients and optimizer state are divided."""
    return int(os.environ.get("WORLD_SIZE", "1")) if config.training.fsdp else 1


def _rough(config: Config, model: SignTranslationModel, size: StepSize) -> int:
    """The total, at once but roughly."""
    positions = (count_inputs(model.config.encoder, size.frames) + size.prompt, size.tokens)
    step, trainable = step_by_formula(model, size.batch_size, positions)
    weights = sum(tensor.numel() * tensor.element_size() for tensor in model.parameters())
    optimizer = OPTIMIZER_BYTES[config.training.optimizer] * trainable
    whole = MemoryEstimate("full", weights, optimizer, int(step), trainable)
    return _share_of(whole, _count_shares(config)).total

"""Before hours are spent: `--dry-run` says what a run takes, `--overfit` whether it can learn."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import set_seed

from signseq.config import Config
from signseq.data.batching import Batch, collate
from signseq.model.freezing import ParameterCount, count_parameters
from signseq.model.quiet import no_progress_bars
from signseq.model.sign_translation import SignTranslationModel
from signseq.preparation import open_split
from signseq.progress import Progress
from signseq.training.arguments import build_arguments, count_steps
from signseq.training.building import check_best_metric
from signseq.training.mean_of_last import check_enough_checkpoints
from signseq.training.optimizers import make_optimizer
from signseq.training.precision import choose_precision
from signseq.training.run import Parts, build_parts
from signseq.training.sampling import count_cut_clips, count_cut_texts
from signseq.training.sharding import check_sharding
from signseq.training.tracking.throughput import peak_memory

__all__ = ["OVERFIT_LOSS", "DryRun", "dry_run", "overfit"]

OVERFIT_STEPS, OVERFIT_LOSS = 300, 0.05


@dataclass(frozen=True)
class DryRun:
    """What `--dry-run` found out.

    Attributes:
        clips: Training clips.
        parameters: How many there are, and how many train.
        batches: Per epoch and process.
        padding: Share of frames that are padding.
        cut_clips: Clips longer than `data.max_frames`, which are cut or left out.
        cut_texts: Texts longer than `data.max_length`, which are cut.
        loss: After one step.
        step_seconds: Median of a few batches, forward and back.
        memory_bytes: Highest so far: on the GPU where there is one, else of the process.
        run_seconds: Estimate for all epochs, evaluation not counted.
    """

    clips: int
    parameters: ParameterCount
    batches: int
    padding: float
    cut_clips: int
    cut_texts: int
    loss: float
    step_seconds: float
    memory_bytes: int
    run_seconds: float

    def describe(self) -> str:
        """The findings, a line each."""
        minutes = self.run_seconds / 60
        return "\n".join(
            [
                f"clips               {self.clips}",
                f"parameters          {self.parameters.describe()}",
                f"batches per epoch   {self.batches}, {100 * self.padding:.1f}% of frames are padding",
                f"too long            {self.cut_clips} clips (data.max_frames), "
                f"{self.cut_texts} texts (data.max_length)",
                f"loss                {self.loss:.3f}",
                f"memory              {self.memory_bytes / 2**20:,.0f} MiB at most so far",
                f"time                {self.step_seconds:.3f} s a batch, "
                f"about {minutes:.1f} min in all without evaluation",
            ]
        )


@no_progress_bars()
def dry_run(config: Config, *, steps: int = 4) -> DryRun:
    """Load everything, do a few steps, and say what a run would take; nothing is written.

    Args:
        config: The experiment; its store must be prepared.
        steps: Steps to time, after one that is not timed.

    Raises:
        SignSeqError: Whatever `train` would raise at its start.
    """
    check_sharding(config)
    _need_stores(config)
    set_seed(config.seed)
    parts = build_parts(config)
    check_best_metric(config.training.best_metric, parts.val_store, config=config)
    accumulation = config.training.gradient_accumulation_steps
    steps_per_epoch = len(parts.sampler) // accumulation
    check_enough_checkpoints(config, *count_steps(config, steps_per_epoch=steps_per_epoch))
    model = parts.model
    precision = choose_precision(model.text_model.config, wanted=config.training.mixed_precision)
    arguments = build_arguments(config, steps_per_epoch=steps_per_epoch, precision=precision)
    device, dtype = arguments.device, precision.autocast_dtype
    model.to(device).train()  # type: ignore[arg-type]
    optimizer = make_optimizer(arguments, model)
    times, loss = [], math.nan
    for batch in _first_batches(parts, steps + 1, device):
        start = time.perf_counter()
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            loss = _step(model, optimizer, batch)
        times.append(time.perf_counter() - start)
    step_seconds = float(np.median(times[1:] or times))
    epochs = config.training.num_epochs
    steps_in_all = min(
        epochs * len(parts.sampler), (config.training.max_steps or math.inf) * accumulation
    )
    plan = parts.sampler.plan(None)
    clips = parts.sampler.clips[plan.places]
    frames = int(parts.dataset.drawn_lengths(0, clips, plan.repetitions).sum())
    return DryRun(
        clips=len(parts.dataset),
        parameters=count_parameters(model),
        batches=len(parts.sampler),
        padding=1 - frames / plan.padded_frames,
        cut_clips=count_cut_clips(config, parts.dataset),
        cut_texts=count_cut_texts(config, parts.dataset),
        loss=loss,
        step_seconds=step_seconds,
        memory_bytes=peak_memory(),
        run_seconds=step_seconds * steps_in_all,
    )


@no_progress_bars()
def overfit(config: Config) -> float:
    """Train on one batch until the loss is near zero: the classic check that a model can learn at all.

    Dropout, augmentation and label smoothing are off; nothing is written.

    Args:
        config: The experiment; its store must be prepared.

    Returns:
        The last loss; below OVERFIT_LOSS the check has passed.
    """
    _need_stores(config)
    quiet = {"label_smoothing": 0.0}
    adapters = config.model.lora_config.model_copy(update={"lora_dropout": 0.0})
    config = config.model_copy(
        update={
            "model": config.model.model_copy(update={"dropout": 0.0, "lora_config": adapters}),
            "training": config.training.model_copy(update=quiet),
        }
    )
    set_seed(config.seed)
    parts = build_parts(config, augment=False)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = parts.model
    model.to(device).train()  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=max(config.training.learning_rate, 1e-3), weight_decay=0
    )
    batch = next(_first_batches(parts, 1, device))
    progress = Progress(total=OVERFIT_STEPS, label="Overfitting one batch", unit="step")
    loss = math.inf
    for _ in range(OVERFIT_STEPS):
        loss = _step(model, optimizer, batch)
        progress.advance(note=f"loss {loss:.4f}")
        if loss < OVERFIT_LOSS:
            break
    progress.close()
    return loss


def _need_stores(config: Config) -> None:
    """Say so where a store is not there, instead of making it."""
    for split in ("train", "val"):
        if split in config.data.split_paths:
            open_split(config.data, split)
    for corpus in config.data.mixed_corpora:
        open_split(corpus, "train")


def _first_batches(parts: Parts, count: int, device: torch.device) -> Iterator[dict[str, Tensor]]:
    keys = list(parts.sampler)
    for batch_keys in (keys * (count // len(keys) + 1))[:count]:
        batch: Batch = collate([parts.dataset[key] for key in batch_keys])
        yield {name: tensor.to(device) for name, tensor in batch.items()}  # type: ignore[attr-defined]


def _step(
    model: SignTranslationModel, optimizer: torch.optim.Optimizer, batch: dict[str, Tensor]
) -> float:
    loss = model(**batch).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())

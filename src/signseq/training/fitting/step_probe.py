"""Whether a training step of some size can be done: tried on a GPU, estimated elsewhere."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Seq2SeqTrainingArguments

from signseq.config import Config
from signseq.model.architectures import vocabulary_size
from signseq.model.memory import StepSize
from signseq.model.sign_translation import SignTranslationModel
from signseq.training.fitting.memory_limits import bucket_bytes, estimate_step
from signseq.training.optimizers import make_optimizer
from signseq.training.precision import Precision

__all__ = ["StepProbe", "fits_by_estimate"]

FREE_SHARE = 0.1  # stays free: gaps, other shapes, translating the validation clips
# What torch's libraries say, which raise no OutOfMemoryError; cuBLAS can't even start without memory.
SIGNS_OF_NO_MEMORY = ("_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED", "out of memory")
STEPS = 2  # the optimizer's averages are there from the second on


class StepProbe:
    """Does training steps on made-up batches, and leaves the model as it was.

    Args:
        model: Without adapters; `trained` holds it.
        trained: What a run trains: the model, or peft's wrapper around it.
        arguments: See `build_arguments`; their device and optimizer are used.
        precision: See `choose_precision`.
    """

    def __init__(
        self,
        model: SignTranslationModel,
        trained: nn.Module,
        *,
        arguments: Seq2SeqTrainingArguments,
        precision: Precision,
    ) -> None:
        self.model = model
        self.trained = trained
        self.arguments = arguments
        self.precision = precision

    def fits(self, size: StepSize) -> bool:
        """Whether such a step leaves FREE_SHARE of the GPU's memory free, and room for DDP."""
        device = self.arguments.device
        parameters = self.trained.parameters()
        buckets = bucket_bytes(sum(each.numel() for each in parameters if each.requires_grad))
        torch.cuda.empty_cache()  # of what a step before this held when it failed
        try:
            with self._undone(device):
                free, _ = torch.cuda.mem_get_info(device)
                allowed = (1 - FREE_SHARE) * (free + torch.cuda.memory_reserved(device))
                torch.cuda.reset_peak_memory_stats(device)
                self.step(size, device)
                return torch.cuda.max_memory_reserved(device) + buckets <= allowed
        except RuntimeError as fault:  # torch.OutOfMemoryError is one
            if any(sign in str(fault) for sign in SIGNS_OF_NO_MEMORY):
                return False
            raise

    def step(self, size: StepSize, device: torch.device) -> None:
        """Forward, backward and optimizer, as often as it takes to see the most memory."""
        optimizer = make_optimizer(self.arguments, self.trained)
        batch = made_up_batch(self.model, size, device)
        dtype = self.precision.autocast_dtype
        for _ in range(STEPS):
            with torch.autocast(device.type, dtype, enabled=dtype is not None):
                loss = self.trained(**batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    @contextlib.contextmanager
    def _undone(self, device: torch.device) -> Iterator[None]:
        """The model on the device and in training; afterwards all is as it was, random numbers too."""
        home = next(self.trained.parameters()).device
        was_training = self.trained.training
        kept = {name: tensor.detach().cpu().clone() for name, tensor in _changing(self.trained)}
        devices = [device] if device.type == "cuda" else []
        try:
            with torch.random.fork_rng(devices):
                self.trained.to(device).train()
                yield
        finally:
            self.trained.zero_grad()
            self.trained.to(home).train(was_training)
            with torch.no_grad():
                for name, tensor in _changing(self.trained):
                    tensor.copy_(kept[name])
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()


def _changing(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """What a step may change: parameters that train, and buffers."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield name, parameter
    yield from model.named_buffers()


def made_up_batch(
    model: SignTranslationModel, size: StepSize, device: torch.device
) -> dict[str, Any]:
    """Random poses with random labels, nothing of it padding."""
    settings = model.config
    shape = (size.batch_size, size.frames, len(settings.keypoints))
    poses = torch.randn(*shape, settings.recipe["dimensions"] + 1, device=device)
    poses[..., -1] = 1
    tokens = vocabulary_size(model.text_model.config)
    batch = {
        "poses": poses.half(),
        "attention_mask": torch.ones(shape[:2], dtype=torch.long, device=device),
        "labels": torch.randint(tokens, (size.batch_size, size.tokens), device=device),
    }
    if size.prompt:
        batch["prompts"] = torch.randint(tokens, (size.batch_size, size.prompt), device=device)
    return batch


def fits_by_estimate(
    config: Config, model: SignTranslationModel, size: StepSize, *, available: int
) -> bool:
    """Whether the estimate leaves FREE_SHARE of the memory free.

    Args:
        config: The experiment.
        model: Made from it, without adapters.
        size: Of the batch.
        available: Bytes.
    """
    found = estimate_step(config, model, size)
    in_float32 = found.total + found.step  # the estimate's activations are in bfloat16
    return in_float32 + bucket_bytes(found.trainable) <= (1 - FREE_SHARE) * available

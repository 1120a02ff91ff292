"""What all processes must agree on after each step: is the loss still a number, and shall we stop."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from signseq.data.batching import BucketBatchSampler, ClipDataset

__all__ = ["NAN_LOG", "Outcome", "StepWatch", "clips_of_step", "write_culprits"]

NAN_LOG = "nan_batch.jsonl"


@dataclass(frozen=True)
class Outcome:
    """What the processes found in one step.

    Attributes:
        step: Its number, from 0.
        diverged: Whether a loss or the gradients of any process were no number.
        stop: Whether any process was told to stop.
        losses: Of this process's batches in that step.
    """

    step: int
    diverged: bool
    stop: bool
    losses: tuple[float, ...]


@dataclass(frozen=True)
class _Pending:
    step: int
    flags: Tensor
    losses: Tensor
    copied: torch.cuda.Event | None

    def read(self) -> Outcome:
        if self.copied is not None:
            self.copied.synchronize()
        diverged, stop = (flag > 0 for flag in self.flags.tolist())
        return Outcome(self.step, diverged, stop, tuple(self.losses.tolist()))


class StepWatch:
    """Brings together what each process knows of a step.

    A GPU works behind the program that feeds it, and to ask for a value is to wait for it. So what
    it found can be read a step later, when it's there anyway.

    Args:
        delayed: Whether to do so, and not wait.
    """

    def __init__(self, *, delayed: bool) -> None:
        self.delayed = delayed
        self._pending: _Pending | None = None

    def exchange(
        self, step: int, *, losses: Sequence[Tensor], grad_norm: Tensor | None, stop: bool
    ) -> Outcome | None:
        """Tell the others of this step, and hear of it, or of the one before; None if nothing is known yet.

        Args:
            step: Its number.
            losses: Of this process's batches.
            grad_norm: Of all processes' gradients; None where it may be infinite, as with float16.
            stop: Whether this process was told to stop.
        """
        if not self.delayed and not dist.is_initialized():
            norms = [] if grad_norm is None else [float(grad_norm)]
            own = tuple(float(loss) for loss in losses)
            return Outcome(step, not all(map(math.isfinite, (*own, *norms))), stop, own)
        found = torch.stack([loss.float() for loss in losses])
        diverged = ~found.isfinite().all()
        if grad_norm is not None:
            diverged = diverged | ~grad_norm.isfinite()
        flags = torch.stack([diverged.float(), torch.full_like(diverged, stop).float()])
        if dist.is_initialized() and dist.get_world_size() > 1:
            dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        if not self.delayed:
            return _Pending(step, flags, found, None).read()
        earlier = self.flush()
        flags, found = _to_host(flags), _to_host(found)
        copied = None
        if torch.cuda.is_available():
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record()
        self._pending = _Pending(step, flags, found, copied)
        return earlier

    def flush(self) -> Outcome | None:
        """What is not read yet; ask before a checkpoint is saved."""
        pending, self._pending = self._pending, None
        return None if pending is None else pending.read()


def _to_host(value: Tensor) -> Tensor:
    """A copy that a GPU makes when it comes to it; nothing waits."""
    place = torch.empty_like(value, device="cpu", pin_memory=value.is_cuda)
    return place.copy_(value, non_blocking=True)


def clips_of_step(
    sampler: BucketBatchSampler, dataset: ClipDataset, step: int, *, accumulation: int
) -> list[list[str]]:
    """The uids of this process's batches in an optimizer step.

    They are a function of the step alone, so no batch needs to carry them.

    Args:
        sampler: This process's batches; it isn't changed.
        dataset: Their clips.
        step: Counted from 0 over all epochs.
        accumulation: Batches per step.
    """
    own = copy.copy(sampler)
    own.prefetcher = None
    epoch, place = divmod(step, len(own) // accumulation)
    own.set_epoch(epoch)
    batches = islice(iter(own), place * accumulation, (place + 1) * accumulation)
    return [[str(dataset.store.details(key[1])["uid"]) for key in keys] for keys in batches]


def write_culprits(
    folder: Path, outcome: Outcome, batches: Sequence[Sequence[str]]
) -> tuple[list[str], str]:
    """Note the batches whose loss is no number; every process calls this, the first one writes.

    Where all losses are numbers and only the gradients are not, all batches of the step are noted.

    Args:
        folder: Of the run.
        outcome: The step in which it happened.
        batches: The uids of this process's batches.

    Returns:
        The uids of the clips, of all processes; and what went wrong, in words.
    """
    own = [
        {
            "process": dist.get_rank() if dist.is_initialized() else 0,
            "loss": loss,
            "uids": list(uids),
        }
        for loss, uids in zip(outcome.losses, batches, strict=True)
    ]
    gathered: list[Any] = [own]
    if dist.is_initialized() and dist.get_world_size() > 1:
        gathered = [None] * dist.get_world_size()
        dist.all_gather_object(gathered, own)
    found: list[dict[str, Any]] = [entry for entries in gathered for entry in entries]
    bad = [entry for entry in found if not math.isfinite(entry["loss"])]
    what = f"the loss is {bad[0]['loss']}" if bad else "a gradient is infinite or no number"
    if own[0]["process"] == 0:
        with (folder / NAN_LOG).open("a", encoding="utf-8") as file:
            for entry in bad or found:
                line = {"step": outcome.step + 1, **entry, "loss": str(entry["loss"])}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return [uid for entry in bad or found for uid in entry["uids"]], what

"""torch.compile for batches of many lengths: few graphs, counted.

All sizes of a batch are symbols to the compiler (`dynamic=True`), so one graph serves them all. What
would still split it are sizes that kernels treat apart, such as lengths that are no multiple of 8;
batches are therefore padded up to such multiples.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F
from transformers import TrainerCallback

from signseq.config import Config
from signseq.data.batching import NO_LABEL, Batch, Clip, collate

__all__ = ["CompilationCallback", "CompiledModel", "PadToSizes", "choose_collate", "round_up"]

logger = logging.getLogger(__name__)

FRAMES_MULTIPLE = 16  # after a stride of 2 still a multiple of 8
TOKENS_MULTIPLE = 8
MANY_GRAPHS = 8  # torch itself gives up compiling a function at this number
BACKEND = "inductor"


def round_up(
    lengths: NDArray[np.int64], multiple: int = FRAMES_MULTIPLE, *, limit: int | None = None
) -> NDArray[np.int64]:
    """Lengths as a compiled model sees them.

    Args:
        lengths: Any shape.
        multiple: What they become multiples of.
        limit: No length is raised beyond it, as text models have positions up to it only.
    """
    raised = -(-lengths // multiple) * multiple
    return raised if limit is None else np.maximum(lengths, np.minimum(raised, limit))


@dataclass(frozen=True)
class PadToSizes:
    """Collates clips, and pads the batch up to one of few sizes.

    Attributes:
        max_frames: The longest clip.
        max_tokens: The longest text.
    """

    max_frames: int
    max_tokens: int

    def __call__(self, clips: Sequence[Clip]) -> Batch:
        """See `collate`."""
        batch = collate(clips)
        size = np.array([batch["poses"].shape[1]])
        frames = int(round_up(size, limit=self.max_frames)[0] - size[0])
        length = np.array([batch["labels"].shape[1]])
        tokens = int(round_up(length, TOKENS_MULTIPLE, limit=self.max_tokens)[0] - length[0])
        return {
            **batch,
            "poses": F.pad(batch["poses"], (0, 0, 0, 0, 0, frames)),
            "attention_mask": F.pad(batch["attention_mask"], (0, frames)),
            "labels": F.pad(batch["labels"], (0, tokens), value=NO_LABEL),
        }


def choose_collate(config: Config) -> Callable[[Sequence[Clip]], Batch]:
    """Pads batches to their longest clip; where the model is compiled, to one of few sizes."""
    if config.training.compile:
        return PadToSizes(max_frames=config.data.max_frames, max_tokens=config.data.max_length)
    return collate


class CompiledModel:
    """Compiles a model when it is first used, and counts the graphs that come of it.

    Args:
        backend: torch's name for what makes code of a graph, or such a function.
    """

    def __init__(self, backend: str | Callable[..., Any] | None = None) -> None:
        self.backend = backend or BACKEND
        self._compiled: Any = None
        self._of: nn.Module | None = None
        self._before = 0

    def __call__(self, model: nn.Module) -> Any:
        """The compiled form of a model, which stays what it is."""
        if self._of is not model:
            self._before = _graphs_in_all()
            self._compiled = torch.compile(model, backend=self.backend, dynamic=True)
            self._of = model
        return self._compiled

    @property
    def graphs(self) -> int:
        """How many there are so far."""
        return _graphs_in_all() - self._before if self._of is not None else 0


def _graphs_in_all() -> int:
    from torch._dynamo.utils import counters  # imports sympy, which takes a second

    return int(counters["stats"]["unique_graphs"])


class CompilationCallback(TrainerCallback):
    """Says when a graph has been compiled, and when there are too many.

    Args:
        compiled: What counts them.
    """

    def __init__(self, compiled: CompiledModel) -> None:
        self.compiled = compiled
        self.known = 0
        self.begun = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self.begun = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Say what is new."""
        graphs = self.compiled.graphs
        if graphs == self.known or not state.is_world_process_zero:
            return
        logger.info(
            "Step %d: torch.compile made %d graphs in %.1f s, %d in all.",
            state.global_step,
            graphs - self.known,
            time.monotonic() - self.begun,
            graphs,
        )
        if self.known <= MANY_GRAPHS < graphs:
            logger.warning(
                "torch.compile has made %d graphs; batches of ever new shapes are compiled, or run uncompiled. If "
                "steps are no faster, set training.compile: false.",
                graphs,
            )
        self.known = graphs

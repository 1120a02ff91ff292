"""`training.auto_batch`: the largest frame budget that fits the device, found by trying and remembered.

On a GPU real steps are done: forward, backward, optimizer, on made-up batches of the largest shapes
that a budget gives. Without one, the memory is estimated.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from signseq.config import Config, load_config
from signseq.data.batching import BucketBatchSampler
from signseq.errors import ConfigError
from signseq.model.memory import StepSize
from signseq.training.fitting.memory_limits import largest_batches

__all__ = [
    "BudgetSearch",
    "Memory",
    "agree",
    "find_budget",
    "largest_fitting",
    "largest_steps",
    "with_budget",
    "with_budget_of",
    "with_found_budget",
]

logger = logging.getLogger(__name__)

TOLERANCE = 0.05  # of the budget; a closer search gains nothing
STEPS_PER_EPOCH = 100  # a larger batch would leave fewer, and learn worse
PLANS = 3  # epochs whose batches are looked at

Fits = Callable[[StepSize], bool]


@dataclass(frozen=True)
class BudgetSearch:
    """What a budget is looked for with.

    Attributes:
        sampler_for: The batches that a budget gives.
        tokens: Of each clip's text, (N,).
        fits: Whether a step of this size can be done.
        prompt: Tokens of the longest prompt.
    """

    sampler_for: Callable[[int], BucketBatchSampler]
    tokens: NDArray[np.int64]
    fits: Fits
    prompt: int = 0

    def fits_budget(self, budget: int) -> bool:
        """Whether the largest batches of a budget can be done."""
        return all(self.fits(size) for size in self.sizes(budget))

    def sizes(self, budget: int) -> list[StepSize]:
        """The largest batches of a budget."""
        return largest_steps(self.sampler_for(budget), self.tokens, prompt=self.prompt)


def largest_steps(
    sampler: BucketBatchSampler, tokens: NDArray[np.int64], *, prompt: int = 0
) -> list[StepSize]:
    """The largest of the batches that a sampler gives in its first epochs; see `BudgetSearch`."""
    plans = [sampler.plan(epoch) for epoch in range(PLANS)]
    starts = np.cumsum([0, *(len(plan.lengths) for plan in plans)])
    return largest_batches(
        [
            [batch + start for batch in plan.batches]
            for plan, start in zip(plans, starts, strict=False)
        ],
        np.concatenate([plan.lengths for plan in plans]),
        np.concatenate([tokens[sampler.clips[plan.places]] for plan in plans]),
        prompt=prompt,
    )


def find_budget(
    search: BudgetSearch, frames: NDArray[np.int64], *, guess: int, processes: int = 1
) -> int:
    """The largest frame budget that fits.

    Args:
        search: What to look with.
        frames: Of the clips that are used, (N,), as batches count them.
        guess: Where to start.
        processes: How many share an epoch's batches, accumulated ones counted.

    Raises:
        ConfigError: If not even the longest clip alone fits.
    """
    lowest = int(frames.max())
    highest = max(lowest, int(frames.sum()) // (STEPS_PER_EPOCH * processes))
    found = largest_fitting(search.fits_budget, lowest=lowest, highest=highest, guess=guess)
    if found is None:
        sizes = ", ".join(
            f"{size.batch_size} x {size.frames} frames and {size.tokens} tokens"
            for size in search.sizes(lowest)
        )
        raise ConfigError(
            f"training.auto_batch: not even the smallest batches fit this device's memory ({sizes}). Lower "
            "data.max_frames, set training.gradient_checkpointing or model.use_lora to true, or take a smaller model."
        )
    if found == highest:
        logger.info(
            "training.auto_batch: %d frames per batch; more would fit, but leave an epoch fewer than %d steps.",
            found,
            STEPS_PER_EPOCH,
        )
    return found


def largest_fitting(
    fits: Callable[[int], bool], *, lowest: int, highest: int, guess: int
) -> int | None:
    """Search for the largest number that fits, where all below one that fits do.

    From the guess on it is doubled or halved until one fits and one doesn't, then what lies between
    is halved, up to TOLERANCE.

    Returns:
        A number that fits; None if `lowest` doesn't.
    """
    current = min(max(guess, lowest), highest)
    good, bad = None, highest + 1
    while good is None:
        if fits(current):
            good = current
        elif current == lowest:
            return None
        else:
            bad, current = current, max(lowest, current // 2)
    while bad == highest + 1 and good < highest:
        current = min(2 * good, highest)
        if fits(current):
            good = current
        else:
            bad = current
    while bad - good > max(1, TOLERANCE * good) and good < highest:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good


def agree(budget: int, device: torch.device) -> int:
    """The smallest budget of all processes."""
    if not (dist.is_available() and dist.is_initialized()):
        return budget
    shared = torch.tensor(budget, device=device)
    dist.all_reduce(shared, op=dist.ReduceOp.MIN)
    return int(shared)


# ---------------------------------------------------------------------------- what is remembered


@dataclass(frozen=True)
class Memory:
    """Budgets that were found before, in a file of the user's.

    Attributes:
        path: The file.
    """

    path: Path

    @classmethod
    def of_the_user(cls) -> Memory:
        """The one in the user's cache folder."""
        caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        return cls(Path(caches).expanduser() / "signseq" / "auto_batch.json")

    def recall(self, facts: Mapping[str, Any]) -> int | None:
        """What was found for the same model, data, settings and device."""
        value = self._read().get(_digest(facts))
        return value if isinstance(value, int) else None

    def remember(self, facts: Mapping[str, Any], budget: int) -> None:
        """Keep what was found; a folder that can't be written costs the next run a search."""
        known = {**self._read(), _digest(facts): budget}
        unfinished = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_text(json.dumps(known, indent=1), encoding="utf-8")
            unfinished.replace(self.path)
        except OSError as fault:
            logger.warning("%s: can't be written (%s).", self.path, fault.strerror)

    def _read(self) -> dict[str, Any]:
        try:
            known = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:32]


# -------------------------------------------------------------------------------- in the config


def with_budget(config: Config, budget: int) -> Config:
    """The experiment with the budget that was found, so that its folder tells what was done."""
    found = {"auto_batch": False, "frames_per_batch": budget}
    training = config.training.model_copy(update=found)
    return config.model_copy(update={"training": training})


def with_found_budget(config: Config, found: int | None) -> Config:
    """The same, where a budget was looked for."""
    if not config.training.auto_batch or found is None:
        return config
    return with_budget(config, found)


def with_budget_of(config: Config, checkpoint: Path) -> Config:
    """The same with the budget of a run that goes on: other batches would make it another run."""
    saved = checkpoint / "config.yaml"
    if not config.training.auto_batch or not saved.exists():
        return config
    return with_found_budget(config, load_config(saved).training.frames_per_batch)

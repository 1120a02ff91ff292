"""`training.average_last`: at its end a run tries the mean of its last checkpoints, and keeps what scores better."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from torch import nn

from signseq.averaging import average
from signseq.config import Config
from signseq.errors import CheckpointError, ConfigError, StoppedError
from signseq.training import sharding
from signseq.training.callbacks import AVERAGED
from signseq.training.safety.checkpoints import ASIDE, STATE, all_checkpoints
from signseq.training.safety.stopping import EvaluationStoppedError

if TYPE_CHECKING:
    from signseq.training.trainer import SignTrainer

__all__ = [
    "AVERAGE",
    "VERDICT",
    "MeanOfLast",
    "check_averaging",
    "check_enough_checkpoints",
    "try_mean",
]

logger = logging.getLogger(__name__)

VERDICT = "average.json"  # in the run's folder: what was compared, and whose weights are there
AVERAGE = "average"  # what it calls the weights of the mean
PREFIX = "average"  # of its scores in the log, where those of an evaluation are `eval_...`


@dataclass(frozen=True)
class MeanOfLast:
    """The mean of a run's last checkpoints beside its best one.

    Attributes:
        folder: Where its weights are until the run's result is written.
        steps: Of the checkpoints.
        metric: What both are judged by.
        score: Its own.
        best_step: Of the best checkpoint; None if there is none.
        best_score: The best checkpoint's.
        greater_is_better: Which of two scores is.
    """

    folder: Path
    steps: tuple[int, ...]
    metric: str
    score: float
    best_step: int | None
    best_score: float | None
    greater_is_better: bool

    @property
    def is_better(self) -> bool:
        """Whether it becomes the run's result; of equals the checkpoint does."""
        if self.best_step is None or self.best_score is None:
            return True
        if self.greater_is_better:
            return self.score > self.best_score
        return self.score < self.best_score

    def describe(self) -> str:
        """What was found, in words."""
        steps = ", ".join(map(str, self.steps))
        kept = "mean" if self.is_better else "checkpoint"
        other = (
            "there is no best checkpoint to compare it with"
            if self.best_score is None
            else f"the best checkpoint, of step {self.best_step}: {self.best_score:.4g}"
        )
        return (
            f"{self.metric} of the mean of the last {len(self.steps)} checkpoints (steps {steps}): {self.score:.4g}; "
            f"{other}. The {kept} is the run's result."
        )

    def write_verdict(self, folder: Path) -> None:
        """Write `average.json`, for whoever finds the weights."""
        verdict = {
            "weights": AVERAGE if self.is_better else f"checkpoint-{self.best_step}",
            "average_of": [f"checkpoint-{step}" for step in self.steps],
            "metric": self.metric,
            "average": self.score,
            "best_checkpoint": None if self.best_step is None else f"checkpoint-{self.best_step}",
            "best": self.best_score,
        }
        (folder / VERDICT).write_text(json.dumps(verdict, indent=2) + "\n", encoding="utf-8")


def check_averaging(config: Config) -> None:
    """Find what `training.average_last` doesn't go together with.

    Raises:
        ConfigError: If the config has it.
    """
    count, limit = config.training.average_last, config.training.save_total_limit
    if count is None:
        return
    if limit < count:
        raise ConfigError(
            f"training.average_last = {count}, but training.save_total_limit = {limit} keeps fewer checkpoints. "
            f"Raise it to {count}."
        )
    if config.model.use_lora:
        raise ConfigError(
            "training.average_last doesn't go together with model.use_lora: the mean of adapters is not that of what "
            "they add. Leave it out; after training, `signseq merge` each checkpoint, and `signseq average` those."
        )
    if config.data.val_path is None:
        raise ConfigError(
            "training.average_last needs validation clips, to see whether the mean is better: set data.val_path. "
            "Without them, see `signseq average`."
        )


def check_enough_checkpoints(config: Config, total: int, every: int) -> None:
    """Find out whether a run will have as many checkpoints as are averaged; early stopping may still leave fewer.

    Args:
        config: The experiment.
        total: Steps of the run.
        every: Steps between evaluations.

    Raises:
        ConfigError: If not.
    """
    count, own = config.training.average_last, config.training.save_steps
    if count is None:
        return
    steps = {total, *range(every, total, every), *(range(own, total, own) if own else ())}
    if len(steps) < count:
        raise ConfigError(
            f"training.average_last = {count}, but this run of {total} steps saves {len(steps)} "
            f"checkpoint{'s' if len(steps) > 1 else ''}. Lower it, or set training.save_steps, such as to "
            f"{max(1, total // count)}."
        )


def try_mean(trainer: SignTrainer) -> MeanOfLast | None:
    """Score the mean of a run's last checkpoints, where the config asks for it; all processes call this.

    Args:
        trainer: Of a run that is at its end; its weights are replaced by the mean.

    Returns:
        None if there is nothing to try.

    Raises:
        CheckpointError: If checkpoints can't be read, or their mean can't be written.
        StoppedError: If a signal said so.
    """
    training = trainer.experiment.training
    if training.average_last is None:
        return None
    whole = [path for path in all_checkpoints(trainer.run_dir) if (path / STATE).exists()]
    chosen = whole[-training.average_last :]
    if len(chosen) < training.average_last:
        logger.warning(
            "training.average_last = %d, but %s holds %d checkpoint%s, so no mean is tried.",
            *(training.average_last, trainer.run_dir, len(chosen), "" if len(chosen) == 1 else "s"),
        )
        return None
    folder = trainer.run_dir / ASIDE / "average"
    if trainer.args.should_save:
        shutil.rmtree(folder, ignore_errors=True)
        average(chosen, folder)
    trainer.accelerator.wait_for_everyone()
    steps = tuple(int(path.name.removeprefix("checkpoint-")) for path in chosen)
    try:
        with sharding.gathered(trainer.network):
            _load_weights(trainer.network, folder)
            scores, _ = trainer.measure(PREFIX)
    except EvaluationStoppedError as fault:
        raise StoppedError(
            f"Stopped while the mean of the last checkpoints was scored. --resume will go on from {chosen[-1]}."
        ) from fault
    trainer.log({AVERAGED: list(steps), **scores})  # type: ignore[dict-item]
    best = trainer.best_checkpoint
    found = MeanOfLast(
        folder=folder,
        steps=steps,
        metric=training.best_metric,
        score=scores[f"{PREFIX}_{training.best_metric}"],
        best_step=None if best is None else trainer.state.best_global_step,
        best_score=None if best is None else trainer.state.best_metric,
        greater_is_better=bool(trainer.args.greater_is_better),
    )
    logger.info("%s", found.describe())
    return found


@torch.no_grad()
def _load_weights(network: nn.Module, folder: Path) -> None:
    """Replace a network's weights, in place, by those of a full checkpoint.

    Raises:
        CheckpointError: If one of them has no place in the network.
    """
    places = dict(network.named_parameters(remove_duplicate=False))
    places |= dict(network.named_buffers(remove_duplicate=False))  # type: ignore[arg-type]
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 -- it is no dict
                if name not in places:
                    raise CheckpointError(f"{path}: {name} is none of this model's weights.")
                places[name].copy_(file.get_tensor(name))

"""One trial of a sweep: a training run whose scores are reported, and that may be stopped early."""

from __future__ import annotations

import gc
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from signseq.config import Config, parse_config
from signseq.errors import CheckpointError, ModelError, StoppedError
from signseq.sweeping.records import State, TrialRecord, ranked
from signseq.sweeping.space import Values, base_settings, trial_overrides
from signseq.training.run import train
from signseq.training.safety.checkpoints import last_checkpoint

__all__ = [
    "Outcome",
    "check_not_hopeless",
    "keep_weights",
    "newest_step",
    "run_trial",
    "trial_config",
    "trial_folder",
]

logger = logging.getLogger(__name__)

# What takes room in a trial's folder; what is left tells how it went.
WEIGHTS = ("checkpoint-*", "model*.safetensors*", "adapter_*", ".unfinished*")

Report = Callable[[float, int], bool]


class Pruned(Exception):  # noqa: N818 -- it is no error: a trial that is not worth its time
    """The trial is not worth its time."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: complete, pruned, or failed for a reason."""

    state: State
    reason: str | None = None


class ScoreObserver(TrainerCallback):
    """Reports each validation score, and stops the run where that is the answer.

    Args:
        metric: The score's name, as in `training.best_metric`.
        report: Takes a score and the evaluation's number, from 1; says whether to stop.
    """

    def __init__(self, metric: str, report: Report) -> None:
        self.metric = metric
        self.report = report

    def on_evaluate(
        self,
        args: Any,
        state: Any,
        control: Any,
        metrics: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Report; the last evaluation stops nothing, as all is done by then."""
        score = (metrics or {})[f"eval_{self.metric}"]
        # counted in the log, which a run that goes on has kept
        number = sum("eval_loss" in entry for entry in state.log_history)
        if self.report(float(score), number) and state.global_step < state.max_steps:
            raise Pruned

    def on_log(
        self,
        args: Any,
        state: Any,
        control: Any,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Report what the mean of the last checkpoints reached, where that is tried."""
        if (score := (logs or {}).get(f"average_{self.metric}")) is not None:
            number = sum("eval_loss" in entry for entry in state.log_history)
            self.report(float(score), number + 1)


def trial_folder(config: Config, number: int) -> Path:
    """Where a trial keeps its files."""
    return config.training.checkpoint_dir / f"trial-{number:04d}"


def newest_step(config: Config, number: int) -> int:
    """The step of a trial's newest whole checkpoint; 0 where there is none."""
    last = last_checkpoint(trial_folder(config, number))
    return 0 if last is None else int(last.name.removeprefix("checkpoint-"))


def trial_config(config: Config, values: Values, *, folder: Path, metric: str) -> Config:
    """The config of a trial.

    Raises:
        ConfigError: If its values don't go together.
    """
    name = f"{config.training.run_name or config.training.checkpoint_dir.name}-{folder.name}"
    settings = base_settings(config)
    settings["training"] |= {
        "checkpoint_dir": str(folder),
        "run_name": name,
        "best_metric": metric,
    }
    return parse_config(settings, trial_overrides(values), place=folder.name)


def run_trial(config: Config, record: TrialRecord, *, metric: str, report: Report) -> Outcome:
    """Train with a trial's values; one that was interrupted goes on from its last checkpoint.

    Args:
        config: The sweep's.
        record: The trial.
        metric: What it is judged by.
        report: See `ScoreObserver`.

    Raises:
        CheckpointError: If its folder can't be written: no other trial's could.
        StoppedError: If a signal said so.
    """
    folder, is_new = trial_folder(config, record.number), record.attempts == 1
    try:
        own = trial_config(config, record.values, folder=folder, metric=metric)
        # with both, it begins anew where there is nothing whole to go on from
        train(own, resume=not is_new, overwrite=True, observers=[ScoreObserver(metric, report)])
    except Pruned:
        return Outcome("pruned")
    except (CheckpointError, StoppedError):
        raise
    except Exception as fault:
        logger.debug("Trial %d", record.number, exc_info=True)
        reason = f"{type(fault).__name__}: {fault}"
        return Outcome("failed", " ".join(reason.split())[:500])
    finally:
        free_memory()
    return Outcome("complete")


def free_memory() -> None:
    """Give back what a trial held: the next one needs it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def keep_weights(
    config: Config, records: Sequence[TrialRecord], *, keep: int, maximize: bool
) -> None:
    """Delete the weights of all trials that have ended, but those of the best; and all checkpoints.

    Args:
        config: The sweep's.
        records: All trials.
        keep: How many are kept.
        maximize: Whether higher scores are better.
    """
    kept = {record.number for record in ranked(records, maximize=maximize)[:keep]}
    for record in records:
        if record.state == "running":
            continue
        folder = trial_folder(config, record.number)
        patterns = WEIGHTS[:1] if record.number in kept else WEIGHTS
        for path in (path for pattern in patterns for path in folder.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def check_not_hopeless(records: Sequence[TrialRecord], *, alike: int = 3) -> None:
    """Stop a sweep whose first trials all failed for one reason: so will the others.

    Raises:
        ModelError: If so.
    """
    ended = [record for record in records if record.state != "running"]
    reasons = {record.reason for record in ended}
    if len(ended) >= alike and len(reasons) == 1 and (reason := reasons.pop()):
        raise ModelError(
            f"sweep: all {len(ended)} trials failed alike, so it was stopped: {reason}"
        )

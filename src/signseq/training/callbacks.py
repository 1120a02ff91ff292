"""What runs beside the training loop: the sampler's epoch, progress, the log, the end of a run gone wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from signseq.data.batching import BucketBatchSampler
from signseq.errors import ModelError
from signseq.progress import Progress

__all__ = [
    "AVERAGED",
    "DivergenceCallback",
    "EpochCallback",
    "PatienceCallback",
    "ReportCallback",
    "evaluations_since_best",
]

AVERAGED = "averaged"  # the log's entry of the mean of the last checkpoints: their steps


class EpochCallback(TrainerCallback):
    """Tells the sampler which epoch begins; the Trainer itself doesn't reach it when it resumes."""

    def __init__(self, sampler: BucketBatchSampler, *, accumulation: int) -> None:
        self.sampler = sampler
        self.accumulation = accumulation
        self.steps = len(sampler) // accumulation

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set the epoch, counted by steps, and how much of it is done."""
        epoch, done = divmod(state.global_step, self.steps)
        self.sampler.set_epoch(epoch)
        self.sampler.done = done * self.accumulation
        self.sampler.is_last_epoch = (epoch + 1) * self.steps >= state.max_steps


class ReportCallback(TrainerCallback):
    """Progress on the screen, and every logged value in `metrics.jsonl`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.progress: Progress | None = None
        self.note: dict[str, str] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the bar; forget what was logged after the checkpoint that the run goes on from."""
        if state.is_world_process_zero:
            self._keep_only(lambda entry: entry["step"] <= state.global_step)
            self.progress = Progress(
                total=state.max_steps, done=state.global_step, label="Training", unit="step"
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count a step."""
        if self.progress is not None:
            self.progress.advance(
                note=", ".join(f"{name} {value}" for name, value in self.note.items())
            )

    def on_log(
        self,
        args: Any,
        state: Any,
        control: Any,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Keep the values."""
        if not state.is_world_process_zero or not logs:
            return
        shown = {
            "loss": "loss",
            "eval_loss": "val loss",
            "eval_bleu4": "val BLEU-4",
            "eval_cer": "val CER",
        }
        self.note |= {label: f"{logs[name]:.3g}" for name, label in shown.items() if name in logs}
        if AVERAGED in logs:  # a run that is done tries it once more when it is told to go on
            self._keep_only(lambda entry: AVERAGED not in entry)
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": state.global_step, "epoch": state.epoch, **logs}) + "\n")

    def _keep_only(self, is_kept: Callable[[Mapping[str, Any]], bool]) -> None:
        path = self.folder / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines if line.endswith("}") and is_kept(json.loads(line))]
        if len(kept) < len(lines):
            aside = path.with_suffix(".part")
            aside.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
            aside.replace(path)  # a run that is killed here has the one or the other

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the bar away."""
        if self.progress is not None:
            self.progress.close()


class DivergenceCallback(TrainerCallback):
    """Stops a run whose loss is no number any more: nothing that follows could be learned."""

    def on_log(
        self,
        args: Any,
        state: Any,
        control: Any,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Look at the loss; a checkpoint is saved after this, so none is saved of such a model."""
        for name, kind in (("loss", "training"), ("eval_loss", "validation")):
            loss = (logs or {}).get(name, 0.0)
            if not math.isfinite(loss):
                raise ModelError(
                    f"Step {state.global_step}: the {kind} loss is {loss}; training has diverged and was stopped. "
                    "Start anew with a lower training.learning_rate or a higher training.warmup_ratio."
                )


class PatienceCallback(TrainerCallback):
    """Stops a run that gets no better; it counts in the log, so that a run that goes on counts on.

    Args:
        patience: Evaluations in a row that are no better than the best one before.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count; what was just found is in the log already."""
        waited = evaluations_since_best(
            state.log_history,
            f"eval_{args.metric_for_best_model}",
            greater_is_better=args.greater_is_better,
        )
        if waited >= self.patience:
            control.should_training_stop = True


def evaluations_since_best(
    history: Iterable[Mapping[str, Any]], name: str, *, greater_is_better: bool
) -> int:
    """How many evaluations there were after the best one, the first of equals.

    Args:
        history: Logged values, oldest first.
        name: Of the value that decides.
        greater_is_better: What is best.
    """
    best, since = -math.inf, 0
    for entry in history:
        if name in entry:
            value = entry[name] if greater_is_better else -entry[name]
            best, since = (value, 0) if value > best else (best, since + 1)
    return since

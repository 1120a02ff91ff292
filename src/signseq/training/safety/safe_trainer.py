"""Hugging Face's Seq2SeqTrainer, made safe: orderly stops and bad batches, beside whole checkpoints."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import TrainerCallback

from signseq.config import Config
from signseq.data.batching import BucketBatchSampler
from signseq.errors import ModelError, StoppedError
from signseq.training import sharding
from signseq.training.safety.saving_trainer import SavingTrainer
from signseq.training.safety.step_watch import (
    NAN_LOG,
    Outcome,
    StepWatch,
    clips_of_step,
    write_culprits,
)
from signseq.training.safety.stopping import EvaluationStoppedError, StopRequest

__all__ = ["MAX_LEFT_OUT", "SafeTrainer"]

logger = logging.getLogger(__name__)
MAX_LEFT_OUT = 10  # steps in a row without a usable batch: the model itself is broken then
NAMED_CLIPS = 10  # in a message


class SaveCallback(TrainerCallback):
    """Saves every so many steps, besides the checkpoints that are scored."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask for a checkpoint when it is time."""
        if state.global_step % self.steps == 0:
            control.should_save = True


class SafeTrainer(SavingTrainer):
    """Knows nothing of what is trained; see `SignTrainer`.

    Args:
        sampler: This process's batches.
        config: The experiment.
        **kwargs: What Seq2SeqTrainer takes.
    """

    def __init__(
        self,
        *,
        sampler: BucketBatchSampler,
        config: Config,
        **kwargs: Any,
    ) -> None:
        super().__init__(config=config, **kwargs)
        self.sampler = sampler
        if config.training.save_steps is not None:
            self.add_callback(SaveCallback(config.training.save_steps))
        self.stop_request = StopRequest()
        self.left_out = 0
        self._in_a_row = 0
        self._left_out_unlogged = 0
        self._stop_now = False
        self._losses: list[Tensor] = []
        has_gpu = self.args.device.type == "cuda"
        self._watch = StepWatch(delayed=has_gpu and config.training.on_nan == "stop")

    @property
    def _trainer(self) -> Any:
        """The Trainer's own methods, which have no types."""
        return super()

    def run(self, start: Path | None) -> None:
        """As its parent's; the bad batches of a run that left nothing to go on from are forgotten."""
        if start is None and self.args.should_save:
            (self.run_dir / NAN_LOG).unlink(missing_ok=True)
        super().run(start)

    # ------------------------------------------------------------------------ each step

    def training_step(
        self, model: Any, inputs: Any, num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """As the Trainer's, and keep the loss until the step is looked at."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._losses.append(loss)
        if self.experiment.training.on_nan == "skip":
            return loss.nan_to_num(0.0, 0.0, 0.0)  # or the sum that is logged would be lost
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """The last thing before the optimizer's step: see whether it may be made.

        Raises:
            ModelError: If the loss is no number, and such steps are not to be left out, or too many were.
        """
        norm = sharding.whole_tensor(self._trainer._get_grad_norm(model, grad_norm))
        scaled = self.accelerator.scaler is not None  # it makes gradients infinite now and then
        outcome = self._watch.exchange(
            self.state.global_step,
            losses=self._losses,
            grad_norm=None if scaled else norm,
            stop=self.stop_request.signal is not None,
        )
        losses, self._losses = self._losses, []
        if outcome is None or not self._heed(outcome):
            return norm
        for loss in losses:  # what is left out is no part of the mean that is logged
            self._tr_loss -= loss.nan_to_num(0.0, 0.0, 0.0)
        return None

    def _heed(self, outcome: Outcome) -> bool:
        """Note what was found in a step; whether the step is left out.

        Raises:
            ModelError: See `_get_grad_norm`.
        """
        self._stop_now = self._stop_now or outcome.stop
        if outcome.diverged:
            self._leave_out(outcome)
        else:
            self._in_a_row = 0
        return outcome.diverged

    def _leave_out(self, outcome: Outcome) -> None:
        """Make the coming optimizer step do nothing, on every process alike; or end the run."""
        accumulation = self.args.gradient_accumulation_steps
        batches = clips_of_step(
            self.sampler,
            self._dataset,
            outcome.step,
            accumulation=accumulation,
        )
        uids, what = write_culprits(self.run_dir, outcome, batches)
        named = ", ".join(uids[:NAMED_CLIPS]) + (", ..." if len(uids) > NAMED_CLIPS else "")
        where = f"Step {outcome.step + 1}: {what} in the batch of {len(uids)} clips: {named}"
        listed = f"all are in {self.run_dir / NAN_LOG}"
        advice = (
            "If it is always the same clips, look at them with `signseq inspect`; else lower "
            "training.learning_rate or raise training.warmup_ratio."
        )
        if self.experiment.training.on_nan == "stop":
            raise ModelError(
                f"{where} ({listed}). The run was stopped; nothing was saved since. {advice} "
                "training.on_nan: skip leaves out such steps."
            )
        self.left_out += 1
        self._left_out_unlogged += 1
        self._in_a_row += 1
        if self._in_a_row >= MAX_LEFT_OUT:
            raise ModelError(
                f"{where} ({listed}). {MAX_LEFT_OUT} steps in a row were left out, so the run was stopped. {advice}"
            )
        logger.warning("%s. The step is left out; %d so far.", where, self.left_out)
        optimizer: Any = self.optimizer
        optimizer.zero_grad()  # weights without a gradient stay as they are

    def _mean_over_used_steps(self, loss: Tensor) -> None:
        """Make up for steps that were left out, since the Trainer divides by all."""
        steps = self.state.global_step - self._globalstep_last_logged
        used = steps - self._left_out_unlogged
        if not self.control.should_log or steps == 0:
            return
        if used == 0:
            self.control.should_log = False  # there is nothing to tell yet
            return
        loss *= steps / used
        self._left_out_unlogged = 0

    def _maybe_log_save_evaluate(self, tr_loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """As the Trainer's; where the run is to stop, save before all else, and leave.

        Raises:
            StoppedError: When the checkpoint is there.
        """
        control = self.control
        is_due = control.should_log or control.should_evaluate or control.should_save
        if self._stop_now or is_due:
            outcome = self._watch.flush()  # the loss is waited for now anyway
            if outcome is not None:
                self._heed(outcome)
        # a run that is at its end, with nothing left to score, isn't held up
        is_leaving = self._stop_now and (
            control.should_evaluate or not control.should_training_stop
        )
        if is_leaving:
            control.should_evaluate = False  # it might take longer than the scheduler waits
            control.should_save = True
        self._mean_over_used_steps(tr_loss)
        try:
            super()._maybe_log_save_evaluate(tr_loss, *args, **kwargs)
        except EvaluationStoppedError:
            is_leaving = True
            self.control.should_evaluate = False
            self.control.should_save = True
            super()._maybe_log_save_evaluate(tr_loss, *args, **kwargs)
        if is_leaving:
            folder = self.run_dir / f"checkpoint-{self.state.global_step}"
            reason = f" by {self.stop_request.signal}" if self.stop_request.signal else ""
            raise StoppedError(f"Stopped{reason}. --resume will go on from {folder}.")

    def may_evaluate(self) -> None:
        """Ask between the batches of an evaluation.

        Raises:
            EvaluationStoppedError: If this process was told to stop.
        """
        if self.stop_request.signal is not None:
            raise EvaluationStoppedError

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """As the Trainer's, after an evaluation that a stop may have left out."""
        self._evaluate_if_owed(kwargs["resume_from_checkpoint"])
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
        if not self.control.should_training_stop:  # nor for want of patience
            self._trainer._run_epoch(*args, **kwargs)

    def _finalize_training(self, *args: Any, **kwargs: Any) -> Any:
        """As the Trainer's, after an evaluation that a stop may have left out at the last step."""
        self._evaluate_if_owed(None)
        return self._trainer._finalize_training(*args, **kwargs)

    def _evaluate_if_owed(self, checkpoint: str | None) -> None:
        """Score the checkpoint that the run goes on from, where that was due and a stop left it out.

        Args:
            checkpoint: Of whose random numbers the run goes on; None where nothing is trained any more.
        """
        step = self.state.global_step
        if step != self._initial_global_step or not self._owes_evaluation(self.state):
            return
        if checkpoint is not None:
            self._load_rng_state(checkpoint)
        self.control.should_evaluate = self.control.should_save = True
        self.control.should_log = False
        self._maybe_log_save_evaluate(
            self._tr_loss, None, self.model_wrapped, None, step, None, 0.0
        )

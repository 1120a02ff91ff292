"""Hugging Face's Seq2SeqTrainer with checkpoints that are whole or not there, of sharded weights too."""

from __future__ import annotations

import copy
import logging
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import Seq2SeqTrainer, TrainerState

from signseq.config import Config
from signseq.data.batching import ClipDataset
from signseq.model.quiet import errors_only
from signseq.training import sharding
from signseq.training.callbacks import evaluations_since_best
from signseq.training.mean_of_last import VERDICT, MeanOfLast
from signseq.training.safety.checkpoints import (
    STATE,
    copy_model,
    publish,
    remove_old_checkpoints,
    write_aside,
)
from signseq.training.safety.run_data import describe_data, save_data_facts

__all__ = ["SavingTrainer"]

logger = logging.getLogger(__name__)


class SavingTrainer(Seq2SeqTrainer):
    """Knows nothing of what is trained, nor of what may go wrong; see `SafeTrainer`.

    Args:
        config: The experiment.
        **kwargs: What Seq2SeqTrainer takes.
    """

    def __init__(self, *, config: Config, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.experiment = config
        self._dataset = cast(ClipDataset, self.train_dataset)
        self._aside: Path | None = None
        self._done_with: Path | None = None  # the last checkpoint of a run that was done already
        self.mean: MeanOfLast | None = None

    @cached_property
    def data_facts(self) -> dict[str, Any]:
        """What is trained on; kept in each checkpoint."""
        return describe_data(self._dataset.store)

    @property
    def network(self) -> nn.Module:
        """What is trained, as it is, or sharded; DDP wraps it elsewhere."""
        return cast(nn.Module, self.model)

    @property
    def run_dir(self) -> Path:
        """Where checkpoints go."""
        return Path(str(self.args.output_dir))

    @property
    def best_checkpoint(self) -> Path | None:
        """By its step: a run's folder may be moved, and a path that was noted be wrong."""
        step = self.state.best_global_step
        return None if step is None else self.run_dir / f"checkpoint-{step}"

    # ------------------------------------------------------------------------ going on

    def run(self, start: Path | None) -> None:
        """Train to the end, unless a checkpoint is the last one of a run that is done.

        Args:
            start: The checkpoint to go on from; None starts anew.
        """
        if start is not None:
            state = TrainerState.load_from_json(str(start / STATE))
            is_at_end = state.global_step >= state.max_steps and not self._owes_evaluation(state)
            if is_at_end or self._is_out_of_patience(state):
                logger.info("%s: the run is done already; nothing is left to train.", start)
                self.state, self._done_with = state, start
                self._note_best()
                return
        self.train(resume_from_checkpoint=None if start is None else str(start))

    def _owes_evaluation(self, state: TrainerState) -> bool:
        """Whether an evaluation was due at this step that isn't in the log: a stop left it out."""
        step = state.global_step
        if self.args.eval_strategy != "steps" or step == 0 or step < self.args.eval_delay:
            return False
        is_due = step % state.eval_steps == 0 or step >= state.max_steps
        is_logged = (entry["step"] == step for entry in state.log_history if "eval_loss" in entry)
        return is_due and not any(is_logged)

    def _is_out_of_patience(self, state: TrainerState) -> bool:
        training = self.experiment.training
        if training.early_stopping_patience is None:
            return False
        waited = evaluations_since_best(
            state.log_history,
            f"eval_{training.best_metric}",
            greater_is_better=bool(self.args.greater_is_better),
        )
        return waited >= training.early_stopping_patience

    def _init_training_state(self, *args: Any, **kwargs: Any) -> tuple[int, int]:
        begun: tuple[int, int] = super()._init_training_state(*args, **kwargs)
        self._note_best()
        return begun

    def _note_best(self) -> None:
        """Set the path of the best checkpoint, for the Trainer; forget one that is gone."""
        best = self.best_checkpoint
        if best is not None and not best.is_dir():
            logger.warning(
                "%s: the best checkpoint is gone; the best of those that follow is kept.", best
            )
            self.state.best_global_step = self.state.best_metric = best = None
        self.state.best_model_checkpoint = None if best is None else str(best)

    def _determine_best_metric(self, *args: Any, **kwargs: Any) -> bool:
        is_best: bool = super()._determine_best_metric(*args, **kwargs)
        if is_best and self.state.best_global_step == self.state.global_step:
            self.control.should_save = True  # whatever was said about how often
        return is_best

    # -------------------------------------------------------------------------- saving

    def _get_output_dir(self, trial: Any) -> str:
        """Where the Trainer writes: aside, while a checkpoint is being saved."""
        return str(self._aside) if self._aside is not None else super()._get_output_dir(trial)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save all that the run needs to go on, to the side, and give it its name when it is whole."""
        name = f"checkpoint-{self.state.global_step}"
        with write_aside(self.run_dir, owner=self.args.should_save) as aside:
            self.accelerator.wait_for_everyone()
            self._aside = aside
            try:
                super()._save_checkpoint(model, trial)
            finally:
                self._aside = None
            best = self.best_checkpoint
            self.state.best_model_checkpoint = None if best is None else str(best)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                save_data_facts(aside / name, self.data_facts, processes=self.args.world_size)
                saved = copy.copy(self.state)
                saved.best_model_checkpoint = None  # its step says it, wherever the folder lies
                saved.save_to_json(str(aside / name / STATE))
                publish(aside / name, self.run_dir / name)
                limit = self.experiment.training.save_total_limit
                recent = self.experiment.training.average_last or 1
                remove_old_checkpoints(self.run_dir, limit=limit, best=best, recent=recent)
            self.accelerator.wait_for_everyone()

    def save_result(self) -> None:
        """Leave the best checkpoint's model in the run's folder, or what is better: the mean of the last ones.

        The last checkpoint's, if none was scored.
        """
        chosen = self.best_checkpoint or self._done_with
        if self.mean is not None and self.mean.is_better:
            chosen = self.mean.folder
        with write_aside(self.run_dir, owner=self.args.should_save) as aside:
            self.accelerator.wait_for_everyone()
            if chosen is None:
                self.save_model(str(aside))
            elif self.args.should_save:
                copy_model(chosen, aside)
            if self.args.should_save:
                if self.mean is not None:
                    self.mean.write_verdict(aside)
                publish(aside, self.run_dir)
                if self.mean is None:  # a run that went on without it
                    (self.run_dir / VERDICT).unlink(missing_ok=True)
            self.accelerator.wait_for_everyone()

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        if sharding.is_sharded(self.network):
            state_dict = sharding.whole_weights(self.network, keep=self.args.should_save)
        super()._save(output_dir, state_dict=state_dict)

    # ---------------------------------------------------------------- sharded weights

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
        """As the Trainer's, of a model that is sharded where the config says so."""
        is_asked = self.experiment.training.fsdp and self.args.world_size > 1
        if is_asked and not sharding.is_sharded(self.network):
            sharding.shard(
                self.network,
                device_type=self.args.device.type,
                processes=self.args.world_size,
                low_precision=self.args.bf16,
            )
            logger.info("The weights are divided among %d processes.", self.args.world_size)
            # what is sharded already must not be given to DDP
            prepare: Any = partial(self.accelerator.prepare_model, evaluation_mode=True)
            self.accelerator.prepare_model = prepare
        parent: Any = super()
        return parent._prepare_for_training(*args, **kwargs)

    def _evaluate(self, *args: Any, **kwargs: Any) -> Any:
        with sharding.gathered(self.network):
            return super()._evaluate(*args, **kwargs)

    def _load_best_model(self) -> None:
        """Not of a sharded model: `save_result` takes the checkpoint's files."""
        if not sharding.is_sharded(self.network):
            with errors_only():  # it would call tied weights missing, which are in the file once
                super()._load_best_model()

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not sharding.is_sharded(self.network):
            super()._save_optimizer_and_scheduler(output_dir)
            return
        scheduler: Any = self.lr_scheduler
        state = sharding.whole_optimizer_state(self.optimizer, keep=self.args.should_save)
        if self.args.should_save:
            torch.save(state, Path(output_dir) / "optimizer.pt")
            torch.save(scheduler.state_dict(), Path(output_dir) / "scheduler.pt")

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not sharding.is_sharded(self.network):
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        optimizer: Any = self.optimizer
        scheduler: Any = self.lr_scheduler
        read = partial(torch.load, map_location="cpu", weights_only=True)
        parameters = [weight for group in optimizer.param_groups for weight in group["params"]]
        state = sharding.divide_optimizer_state(read(Path(checkpoint) / "optimizer.pt"), parameters)
        optimizer.load_state_dict(state)
        scheduler.load_state_dict(read(Path(checkpoint) / "scheduler.pt"))

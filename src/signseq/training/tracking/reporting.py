"""What a run says of itself while it goes on: to trackers, and to files in its folder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from transformers import TrainerCallback

from signseq.config import Config
from signseq.data.store import PoseStore
from signseq.model.freezing import parameter_table
from signseq.model.sign_translation import SignTranslationModel
from signseq.training.tracking.curves import draw_curves
from signseq.training.tracking.example_translations import ExampleClips, write_examples
from signseq.training.tracking.throughput import StepMeter
from signseq.training.tracking.trackers import RunFacts, Trackers

__all__ = ["TrackingCallback", "build_facts", "choose_clips", "tracked"]

MOST_ARCHITECTURE = 200_000  # characters of the model as text


class TrackingCallback(TrainerCallback):
    """Hands every logged value to the trackers, and draws curves and examples at each evaluation.

    Args:
        facts: What is told of the run once.
        trackers: Where to; none on processes other than the first.
        clips: Validation clips whose translations are shown; None shows none.
    """

    def __init__(
        self, facts: RunFacts, trackers: Trackers, clips: ExampleClips | None = None
    ) -> None:
        self.facts = facts
        self.trackers = trackers
        self.clips = clips
        self.meter = StepMeter()
        self.rates: dict[str, float] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Say once what the run is."""
        if state.is_world_process_zero:
            text = f"{self.facts.parameter_table}\n\n{self.facts.architecture}\n"
            (self.facts.folder / "model.txt").write_text(text, encoding="utf-8")
            self.trackers.start(self.facts, step=state.global_step)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The loader is about to be started."""
        self.meter.begin_epoch()

    def on_pre_optimizer_step(
        self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any
    ) -> None:
        """Keep the learning rates of the step that is about to be taken, where there are several."""
        rates = {group.get("name"): group["lr"] for group in optimizer.param_groups}
        self.rates = (
            {f"learning_rate_{name}": float(rate) for name, rate in rates.items()}
            if len(set(rates.values())) > 1
            else {}
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Saving is no training; before a log entry the clock goes on, as a GPU is still at work."""
        if control.should_save and not control.should_log:
            self.meter.stop()

    def on_log(
        self,
        args: Any,
        state: Any,
        control: Any,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Hand the values on."""
        if state.is_world_process_zero and logs:
            self.trackers.log(tracked({**logs, "epoch": state.epoch}), step=state.global_step)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Draw the curves."""
        if state.is_world_process_zero:
            draw_curves(self.facts.folder)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Draw them to their end."""
        self.on_evaluate(args, state, control)

    def show_translations(self, hypotheses: Sequence[str], *, step: int) -> None:
        """Show what became of the example clips; on the first process only.

        Args:
            hypotheses: Of all validation clips, in the store's order.
            step: After which they were translated.
        """
        if self.clips is not None:
            examples = self.clips.translated(hypotheses)
            write_examples(self.facts.folder, examples, step=step)
            self.trackers.show_examples(examples, step=step)


def tracked(logs: Mapping[str, Any]) -> dict[str, float]:
    """Logged values by the names that trackers group them by: `train/loss`, `eval/bleu4`."""
    values = {}
    for name, value in logs.items():
        if (
            not isinstance(value, (int, float))
            or isinstance(value, bool)
            or not math.isfinite(value)
        ):
            continue
        if name == "epoch":
            values[name] = float(value)
        elif name.startswith("eval_"):
            values[f"eval/{name.removeprefix('eval_')}"] = float(value)
        elif name.startswith("average_"):  # of the mean of the last checkpoints
            values[f"average/{name.removeprefix('average_')}"] = float(value)
        elif name.startswith("train_"):  # the Trainer's, of the run as a whole, at its end
            values[f"run/{name.removeprefix('train_')}"] = float(value)
        else:
            values[f"train/{name}"] = float(value)
    return values


def build_facts(config: Config, model: SignTranslationModel) -> RunFacts:
    """What is told of a run once."""
    training = config.training
    architecture = nn.Module.__repr__(model)
    return RunFacts(
        project=training.project_name,
        name=training.run_name or training.checkpoint_dir.name,
        folder=training.checkpoint_dir,
        config=config.model_dump(mode="json", exclude={"sweep"}),
        architecture=architecture[:MOST_ARCHITECTURE],
        parameters=parameter_table(model),
    )


def choose_clips(store: PoseStore | None, count: int) -> ExampleClips | None:
    """The validation clips that are shown, if any."""
    return ExampleClips(store, count) if store is not None and len(store) and count else None

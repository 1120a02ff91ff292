"""Runs in TensorBoard: event files in the run's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from torch.utils.tensorboard.writer import SummaryWriter

from signseq.training.tracking.example_translations import ExampleTranslation
from signseq.training.tracking.trackers import Keep, RunFacts

__all__ = ["TensorBoardTracker"]


class TensorBoardTracker:
    """A run in TensorBoard; look at it with `tensorboard --logdir`."""

    def start(self, facts: RunFacts, *, run_id: str | None, step: int, keep: Keep) -> None:
        """See `Tracker.start`."""
        # TensorBoard forgets what an interrupted run wrote after the step that it goes on from
        purge = step + 1 if step else None
        self._writer = SummaryWriter(str(facts.folder / "tensorboard"), purge_step=purge)
        if not step:
            config = json.dumps(dict(facts.config), indent=2, ensure_ascii=False)
            for name, text in (
                ("run/config", config),
                ("run/parameters", facts.parameter_table),
                ("run/architecture", facts.architecture),
            ):
                self._writer.add_text(name, _verbatim(text))

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """See `Tracker.log`."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def show_examples(self, examples: Sequence[ExampleTranslation], *, step: int) -> None:
        """See `Tracker.show_examples`."""
        for example in examples:
            text = f"{example.reference}\n{example.hypothesis}\nchrF {example.chrf:.1f}"
            self._writer.add_text(f"examples/{example.uid}", _verbatim(text), step)
            self._writer.add_image(
                f"examples/{example.uid}", example.strip, step, dataformats="HWC"
            )
        self._writer.flush()

    def finish(self, *, failed: bool) -> None:
        """See `Tracker.finish`."""
        self._writer.close()


def _verbatim(text: str) -> str:
    """As Markdown that is shown as it is: indented by four."""
    return "\n".join(f"    {line}" for line in text.splitlines())

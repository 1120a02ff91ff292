"""Runs in trackio: the only module that knows its package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import trackio

from signseq.training.tracking.example_translations import ExampleTranslation
from signseq.training.tracking.trackers import Keep, RunFacts

__all__ = ["TrackioTracker"]


class TrackioTracker:
    """A run in trackio's own database, or in a Space where its environment variables name one."""

    def start(self, facts: RunFacts, *, run_id: str | None, step: int, keep: Keep) -> None:
        """See `Tracker.start`."""
        name = run_id or facts.name
        self._run = trackio.init(
            project=facts.project,
            name=name,
            config={
                **facts.config,
                "architecture": facts.architecture,
                "parameters": facts.parameter_table,
            },
            resume="never" if run_id is None else "allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        keep(str(self._run.name))

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """See `Tracker.log`."""
        self._run.log(dict(values), step=step)

    def show_examples(self, examples: Sequence[ExampleTranslation], *, step: int) -> None:
        """See `Tracker.show_examples`."""
        table = trackio.Table(
            columns=["uid", "reference", "hypothesis", "chrF", "pose"],
            data=[
                [
                    example.uid,
                    example.reference,
                    example.hypothesis,
                    example.chrf,
                    trackio.Image(example.strip),
                ]
                for example in examples
            ],
        )
        self._run.log({"eval/examples": table}, step=step)

    def finish(self, *, failed: bool) -> None:
        """See `Tracker.finish`."""
        self._run.finish()

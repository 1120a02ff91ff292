"""Runs in MLflow: the only module that knows its package."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from signseq.settings import flatten
from signseq.training.tracking.example_translations import ExampleTranslation, draw_page
from signseq.training.tracking.trackers import Keep, RunFacts

__all__ = ["MlflowTracker"]

PARAMS_AT_ONCE = 100  # MLflow takes no more
PARAM_CHARACTERS = 500  # which every store of MLflow holds


class MlflowTracker:
    """A run in MLflow, where MLFLOW_TRACKING_URI points to; the project is its experiment.

    The client is used instead of MLflow's global functions, as these hold a run for each thread.
    """

    def start(self, facts: RunFacts, *, run_id: str | None, step: int, keep: Keep) -> None:
        """See `Tracker.start`."""
        for chatty in ("mlflow", "alembic"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        self._client = MlflowClient()
        self._run_id = run_id or self._create(facts)
        keep(self._run_id)
        if run_id is None:
            self._describe(facts)
        else:
            self._client.update_run(run_id, status="RUNNING")

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """See `Tracker.log`."""
        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def show_examples(self, examples: Sequence[ExampleTranslation], *, step: int) -> None:
        """See `Tracker.show_examples`."""
        page = draw_page(examples, [example.as_entry(step) for example in examples])
        self._client.log_text(self._run_id, page, f"examples/step-{step}.html")

    def finish(self, *, failed: bool) -> None:
        """See `Tracker.finish`."""
        self._client.set_terminated(self._run_id, "FAILED" if failed else "FINISHED")

    def _create(self, facts: RunFacts) -> str:
        experiment = self._client.get_experiment_by_name(facts.project)
        place = (
            self._client.create_experiment(facts.project)
            if experiment is None
            else experiment.experiment_id
        )
        return str(self._client.create_run(place, run_name=facts.name).info.run_id)

    def _describe(self, facts: RunFacts) -> None:
        run_id = self._run_id
        params = [
            Param(key, str(value)[:PARAM_CHARACTERS])
            for key, value in flatten(facts.config).items()
        ]
        for start in range(0, len(params), PARAMS_AT_ONCE):
            self._client.log_batch(run_id, params=params[start : start + PARAMS_AT_ONCE])
        self._client.log_dict(run_id, dict(facts.config), "config.json")
        self._client.log_text(run_id, facts.architecture, "architecture.txt")
        self._client.log_text(run_id, facts.parameter_table, "parameters.txt")

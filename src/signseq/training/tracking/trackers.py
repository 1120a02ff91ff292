"""Experiment trackers: what a run tells them, and why none of them can harm it.

Each tracker works in a thread of its own, fed through a queue that the run never waits for. One that
raises, or that hangs until its queue is full, is named once in a warning, and left out from then on.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from signseq.errors import MissingExtraError

if TYPE_CHECKING:
    from signseq.training.tracking.example_translations import ExampleTranslation

__all__ = ["OPENERS", "Keep", "RunFacts", "Tracker", "Trackers", "check_trackers", "open_trackers"]

logger = logging.getLogger(__name__)

IDS = "trackers.json"  # in the run's folder: what each tracker calls the run
QUEUE_LENGTH = 1000  # calls that a tracker may be behind
FINISH_SECONDS = 60.0  # that a finished run waits for its trackers, all together

Call = Callable[["Tracker"], None]
Keep = Callable[[str], None]


@dataclass(frozen=True)
class RunFacts:
    """What is told of a run once.

    Attributes:
        project: What the run belongs to.
        name: What it is called.
        folder: Where it keeps its files.
        config: The resolved config.
        architecture: The model as text.
        parameters: Of each part of the model its name, its parameters, and how many of them train.
    """

    project: str
    name: str
    folder: Path
    config: Mapping[str, Any]
    architecture: str = field(repr=False)
    parameters: Sequence[tuple[str, int, int]]

    @property
    def parameter_table(self) -> str:
        """The parameters as text, a part in a line."""
        rows = [("part", "parameters", "trainable")]
        rows += [(part, f"{size:,}", f"{trains:,}") for part, size, trains in self.parameters]
        total = sum(size for _, size, _ in self.parameters)
        training = sum(trains for _, _, trains in self.parameters)
        rows.append(("all", f"{total:,}", f"{training:,}"))
        width = max(len(row[0]) for row in rows)
        return "\n".join(f"{part:<{width}}{size:>16}{trains:>16}" for part, size, trains in rows)


class Tracker(Protocol):
    """A place that a run is shown in. Any method may raise: the run goes on without the tracker."""

    def start(self, facts: RunFacts, *, run_id: str | None, step: int, keep: Keep) -> None:
        """Begin, or go on with, a run.

        Args:
            facts: What is told once.
            run_id: What the tracker called the run before it was interrupted; None for a new one.
            step: The last step that is not done again.
            keep: Takes what the tracker calls the run, to go on with it, as soon as that is known.
        """

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Show values, named such as `train/loss` and `eval/bleu4`."""

    def show_examples(self, examples: Sequence[ExampleTranslation], *, step: int) -> None:
        """Show the translations of a few validation clips."""

    def finish(self, *, failed: bool) -> None:
        """End the run, and send what wasn't sent yet."""


def _open_wandb() -> Tracker:
    from signseq.training.tracking.wandb_runs import WandbTracker

    return WandbTracker()


def _open_tensorboard() -> Tracker:
    from signseq.training.tracking.tensorboard_files import TensorBoardTracker

    return TensorBoardTracker()


def _open_trackio() -> Tracker:
    from signseq.training.tracking.trackio_runs import TrackioTracker

    return TrackioTracker()


def _open_mlflow() -> Tracker:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it is read on import
    from signseq.training.tracking.mlflow_runs import MlflowTracker

    return MlflowTracker()


# The names are those of the packages and of the extras, too.
OPENERS: dict[str, Callable[[], Tracker]] = {
    "wandb": _open_wandb,
    "tensorboard": _open_tensorboard,
    "trackio": _open_trackio,
    "mlflow": _open_mlflow,
}


def check_trackers(names: Iterable[str]) -> None:
    """Find out whether trackers are installed, without importing them.

    Raises:
        MissingExtraError: If one isn't.
    """
    for name in names:
        try:
            spec = importlib.util.find_spec(name)
        except ValueError:  # a module that stands in for a missing one
            spec = None
        # a folder that is only called alike, such as wandb/ with a tracker's files, has no origin
        if spec is None or spec.origin is None:
            raise MissingExtraError(
                package=name, extra=name, purpose=f"training.report_to: [{name}]"
            )


def open_trackers(names: Iterable[str]) -> dict[str, Tracker]:
    """Import trackers; one that can't be is named in a warning and left out."""
    opened: dict[str, Tracker] = {}
    for name in names:
        try:
            opened[name] = OPENERS[name]()
        except Exception as fault:
            _warn_of(name, "could not be loaded", fault)
    return opened


class Trackers:
    """All trackers of a run. No call waits for any of them, and none raises.

    Args:
        opened: The trackers by their names; none on processes other than the first.
        finish_seconds: How long `close` waits, at most.
    """

    def __init__(
        self, opened: Mapping[str, Tracker], *, finish_seconds: float = FINISH_SECONDS
    ) -> None:
        self._workers = [_Worker(name, tracker) for name, tracker in opened.items()]
        self._finish_seconds = finish_seconds
        self._ids_lock = threading.Lock()

    def start(self, facts: RunFacts, *, step: int) -> None:
        """Begin the run, or go on with it where `step` is not 0; see `Tracker.start`."""
        known = _read_ids(facts.folder) if step else {}
        for worker in self._workers:
            worker.begin()
            worker.submit(self._starting(facts, worker.name, known.get(worker.name), step))

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Show values; see `Tracker.log`."""
        for worker in self._workers:
            worker.submit(lambda tracker: tracker.log(values, step=step))

    def show_examples(self, examples: Sequence[ExampleTranslation], *, step: int) -> None:
        """Show translations; see `Tracker.show_examples`."""
        for worker in self._workers:
            worker.submit(lambda tracker: tracker.show_examples(examples, step=step))

    def __enter__(self) -> Trackers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.close(failed=kind is not None)

    def close(self, *, failed: bool) -> None:
        """End the run; waits a while for what is still to be sent."""
        for worker in self._workers:
            worker.submit(lambda tracker: tracker.finish(failed=failed))
        deadline = time.monotonic() + self._finish_seconds
        for worker in self._workers:
            worker.end(deadline, patience=self._finish_seconds)
        self._workers = []

    def _starting(self, facts: RunFacts, name: str, run_id: str | None, step: int) -> Call:
        def keep(found: str) -> None:
            with self._ids_lock:
                _write_ids(facts.folder, _read_ids(facts.folder) | {name: found})

        return lambda tracker: tracker.start(facts, run_id=run_id, step=step, keep=keep)


class _Worker:
    """The thread of one tracker, and the queue before it."""

    def __init__(self, name: str, tracker: Tracker) -> None:
        self.name = name
        self._tracker = tracker
        self._calls: queue.Queue[Call | None] = queue.Queue(QUEUE_LENGTH)
        self._is_lost = False
        # a daemon: one that hangs doesn't keep the process alive
        self._thread = threading.Thread(target=self._work, name=f"tracker-{name}", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def submit(self, call: Call) -> None:
        if self._is_lost or not self._thread.is_alive():
            return
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            self._lose("does not keep up", None)

    def end(self, deadline: float, *, patience: float) -> None:
        if not self._thread.is_alive():
            return
        if not self._is_lost:
            try:
                self._calls.put_nowait(None)
            except queue.Full:
                return self._lose("does not keep up", None)
            self._thread.join(max(0.0, deadline - time.monotonic()))
            if self._thread.is_alive():
                self._is_lost = True
                logger.warning(
                    "%s (training.report_to) did not finish in %.0f s; the last values may be missing there. "
                    "All of them are in metrics.jsonl.",
                    self.name,
                    patience,
                )
        return None

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            if self._is_lost:
                return
            try:
                call(self._tracker)
            except BaseException as fault:  # SystemExit, too: some trackers leave that way
                self._lose("failed", fault)
                return

    def _lose(self, what: str, fault: BaseException | None) -> None:
        if not self._is_lost:
            self._is_lost = True
            _warn_of(self.name, what, fault)


def _warn_of(name: str, what: str, fault: BaseException | None) -> None:
    reason = "" if fault is None else f" ({type(fault).__name__}: {fault})"
    logger.warning(
        "%s (training.report_to) %s%s. The run goes on without it; metrics.jsonl has all values.",
        name,
        what,
        reason,
    )


def _read_ids(folder: Path) -> dict[str, str]:
    try:
        found = json.loads((folder / IDS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_ids(folder: Path, ids: Mapping[str, str]) -> None:
    partial = folder / f".{IDS}.part"
    partial.write_text(json.dumps(ids, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / IDS)

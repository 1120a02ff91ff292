"""`signseq sweep`: training runs with other settings each, the next ones chosen by what the others reached."""

from __future__ import annotations

import logging
import math
import os
from typing import IO

from signseq.config import Config
from signseq.errors import CheckpointError, ConfigError, StoppedError
from signseq.preparation import ensure_split
from signseq.settings import flatten
from signseq.sweeping.locks import alone, own, release
from signseq.sweeping.records import TrialRecord
from signseq.sweeping.report import SweepReport
from signseq.sweeping.space import Space, base_settings, build_space, trial_overrides
from signseq.sweeping.stopping import Told, stoppable
from signseq.sweeping.study import Study, open_study
from signseq.sweeping.trials import (
    check_not_hopeless,
    keep_weights,
    newest_step,
    run_trial,
    trial_folder,
)
from signseq.sweeping.workers import run_workers
from signseq.training.arguments import check_settings
from signseq.training.building import check_best_metric
from signseq.training.mixing import open_training_store
from signseq.training.run_folder import may_change
from signseq.training.safety.checkpoints import last_checkpoint

__all__ = ["describe_sweep", "sweep"]

logger = logging.getLogger(__name__)

TRIALS = 20
MOST_STARTS = 3  # of a trial whose process dies each time without getting further
HIGHER_IS_BETTER = ("bleu4", "chrf")


def describe_sweep(config: Config) -> str:
    """What a sweep would try, in words; nothing is begun.

    Raises:
        ConfigError: If anything in the section `sweep` can't be what is meant.
        MissingExtraError: If Optuna is not installed.
    """
    space = _check(config)
    size = "any number of" if space.size is None else f"{space.size:,}"
    assert config.sweep is not None
    return (
        f"{space.describe()}\n{size} different trials; {_count_trials(config, space)} will be run "
        f"(sampler {config.sweep.sampler}, pruner {config.sweep.pruner}), judged by {_metric(config)}, "
        f"in {config.training.checkpoint_dir}"
    )


def sweep(config: Config, *, workers: int = 1) -> SweepReport:
    """Run the trials that are still to be run, and say what was found by all.

    Several processes may do so at once for the same config. Trials that were interrupted go on
    where they were; those that have ended are never run again.

    Args:
        config: With a section `sweep`.
        workers: Processes, each with a GPU of its own where there are several.

    Raises:
        ConfigError: If anything in that section can't be what is meant, or has changed since the
            sweep was begun.
        CheckpointError: If the folder holds a run, or can't be written.
        DataError: If the data can't be used.
        MissingExtraError: If Optuna is not installed.
        ModelError: If all trials fail alike, or a worker fails.
        StoppedError: If a signal said so: SIGTERM or SIGUSR1.
    """
    with stoppable():
        return _sweep(config, workers=workers)


def _sweep(config: Config, *, workers: int) -> SweepReport:
    space, folder = _check(config), config.training.checkpoint_dir
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            "signseq sweep: a trial is one process, so it isn't started by torchrun; use --workers."
        )
    if last_checkpoint(folder) is not None or any(folder.glob("model*.safetensors")):
        raise CheckpointError(
            f"{folder}: holds a run already. Set another training.checkpoint_dir for the sweep."
        )
    open_training_store(config.data, ensure_split)
    val_store = ensure_split(config.data, "val")
    check_best_metric(_metric(config), val_store, config=config, key="sweep.metric")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder):
            study = _open(config, space)
    except OSError as fault:
        raise CheckpointError(
            f"{folder}: can't be written ({fault.strerror}). Set another training.checkpoint_dir."
        ) from fault
    total = _count_trials(config, space)
    if not run_workers(config, study, workers=workers, trials=total):
        while (claim := _claim(config, study, total=total)) is not None:
            record, held = claim
            try:
                _run(config, space, study, record)
            finally:
                release(held)
    with alone(folder):
        return _report(config, space, study)


def _check(config: Config) -> Space:
    check_settings(config)
    return build_space(config)


def _metric(config: Config) -> str:
    assert config.sweep is not None
    return config.sweep.metric or config.training.best_metric


def _count_trials(config: Config, space: Space) -> int:
    assert config.sweep is not None
    size = space.size
    wanted = config.sweep.trials or (
        size if size is not None and config.sweep.sampler == "grid" else TRIALS
    )
    return wanted if size is None else min(wanted, size)


def _open(config: Config, space: Space) -> Study:
    settings, folder = config.sweep, config.training.checkpoint_dir
    assert settings is not None
    study = open_study(
        settings.storage or f"sqlite:///{folder / 'sweep.db'}",
        space,
        maximize=_metric(config) in HIGHER_IS_BETTER,
        sampler=settings.sampler,
        pruner=settings.pruner,
        evaluations=math.ceil(config.training.num_epochs / config.training.eval_epochs),
        seed=config.seed,
    )
    swept = {each.key for each in space.parameters}
    fixed = {
        key: value
        for key, value in flatten(base_settings(config)).items()
        if not may_change(key) and key not in swept and key != "training.best_metric"
    }
    study.check_facts(
        {"sweep.metric": _metric(config), "sweep.parameters": space.describe()} | fixed
    )
    return study


def _claim(config: Config, study: Study, *, total: int) -> tuple[TrialRecord, IO[str]] | None:
    """The next trial, its folder locked: one whose process died, or a new one; None if there is none."""
    folder = config.training.checkpoint_dir
    with alone(folder):
        records = study.records()
        check_not_hopeless(records)
        for record in records:
            if record.state != "running":
                continue
            held = own(trial_folder(config, record.number))
            if held is None:  # another worker is at it
                continue
            step = newest_step(config, record.number)
            if step <= record.start_step and record.futile >= MOST_STARTS:
                reason = f"its process died {record.futile} times without getting further"
                study.fail(record.number, reason)
                release(held)
                continue
            study.adopt(record.number, step=step)
            return study.records()[record.number], held
        added = study.add() if len(records) < total else None
        if added is None:
            return None
        held = own(trial_folder(config, added.number))
        assert held is not None
        return added, held


def _run(config: Config, space: Space, study: Study, record: TrialRecord) -> None:
    """Run a trial to its end, note how that was, and delete what is not kept."""
    number, metric = record.number, _metric(config)
    given = ", ".join(trial_overrides(record.values))
    how = "" if record.attempts == 1 else f" (start {record.attempts})"
    logger.info("Trial %d%s: %s", number, how, given)

    def report(score: float, evaluation: int) -> bool:
        study.report(number, score, evaluation=evaluation)
        return study.should_prune(number)

    try:
        outcome = run_trial(config, record, metric=metric, report=report)
    except (CheckpointError, StoppedError, KeyboardInterrupt, Told):
        study.pardon(number)
        raise
    with alone(config.training.checkpoint_dir):
        if outcome.state == "complete":
            study.complete(number)
        elif outcome.state == "pruned":
            study.prune(number)
        else:
            study.fail(number, outcome.reason or "")
        assert config.sweep is not None
        keep_weights(config, study.records(), keep=config.sweep.keep, maximize=study.is_maximized)
        found = _report(config, space, study)
    best = found.best
    so_far = "" if best is None else f" Best so far: {best.score:.4g} (trial {best.number})."
    ended = found.records[number]
    said = outcome.reason or ("" if ended.score is None else f"{metric} {ended.score:.4g}")
    logger.info("Trial %d %s. %s%s", number, ended.state, said, so_far)


def _report(config: Config, space: Space, study: Study) -> SweepReport:
    """What was found so far, written into the sweep's folder."""
    found = SweepReport(
        config=config,
        space=space,
        metric=_metric(config),
        maximize=study.is_maximized,
        records=study.records(),
        importances=study.importances(),
    )
    try:
        found.write()
    except OSError as fault:
        raise CheckpointError(
            f"{found.folder}: the report can't be written ({fault.strerror}). Make room, then run the same "
            "command again: trials that have ended are kept."
        ) from fault
    return found

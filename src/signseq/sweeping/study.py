"""The trials of a sweep in a data base: the only module that knows Optuna."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

from signseq.errors import ConfigError, MissingExtraError
from signseq.sweeping.records import State, TrialRecord
from signseq.sweeping.space import Choice, Range, Space, Values, as_text

try:
    import optuna
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )
    from optuna.trial import FrozenTrial, TrialState
except ImportError as fault:
    raise MissingExtraError(package="optuna", extra="sweep", purpose="signseq sweep") from fault

__all__ = ["Study", "open_study"]

STATES: dict[TrialState, State] = {
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
NAME = "signseq"
BUSY_SECONDS = 60  # that a worker waits for others that write to the same file of SQLite
STARTUP_TRIALS = 5  # that the median pruner lets end before it compares
FACTS, REASON = "facts", "reason"
ATTEMPTS, FUTILE, START_STEP = "attempts", "futile", "start_step"  # see `TrialRecord`


class Study:
    """The trials, and what is to be tried next.

    Args:
        study: Optuna's.
        space: What trials choose from.
        sampler: How: `tpe`, `random` or `grid`.
        seed: With a trial's number it decides its values, beside the trials before it.
    """

    def __init__(self, study: optuna.Study, space: Space, *, sampler: str, seed: int) -> None:
        self._study = study
        self._space = space
        self._sampler = sampler
        self._seed = seed
        self._distributions = {each.key: _distribution(each) for each in space.parameters}

    @property
    def is_maximized(self) -> bool:
        """Whether higher scores are better."""
        return bool(self._study.direction == optuna.study.StudyDirection.MAXIMIZE)

    def records(self) -> list[TrialRecord]:
        """All trials, by number."""
        return [self._record(trial) for trial in self._study.get_trials(deepcopy=False)]

    def add(self) -> TrialRecord | None:
        """Begin the next trial, with values that none had before; None if all were tried."""
        values = self._choose()
        if values is None:
            return None
        self._study.enqueue_trial(self._stored(values))
        trial = self._study.ask(fixed_distributions=self._distributions)
        trial.set_user_attr(ATTEMPTS, 1)
        trial.set_user_attr(FUTILE, 1)
        return self._record(self._frozen(trial.number))

    def adopt(self, number: int, *, step: int) -> None:
        """Count another start of a trial that did not end, from a checkpoint of this step."""
        trial, known = self._trial(number), self._record(self._frozen(number))
        trial.set_user_attr(ATTEMPTS, known.attempts + 1)
        trial.set_user_attr(FUTILE, 1 if step > known.start_step else known.futile + 1)
        trial.set_user_attr(START_STEP, step)

    def pardon(self, number: int) -> None:
        """A trial was stopped in order: its last start is not held against it."""
        futile = self._record(self._frozen(number)).futile
        self._trial(number).set_user_attr(FUTILE, futile - 1)

    def report(self, number: int, score: float, *, evaluation: int) -> None:
        """Note a validation score; one that is known already stays."""
        if evaluation not in self._frozen(number).intermediate_values:
            self._trial(number).report(score, evaluation)

    def should_prune(self, number: int) -> bool:
        """Whether other trials were so much better by now that this one is not worth its time."""
        return bool(self._trial(number).should_prune())

    def complete(self, number: int) -> None:
        """A trial came to its end; its score is the best that was reported."""
        scores = self._frozen(number).intermediate_values.values()
        best = (max if self.is_maximized else min)(scores)
        self._study.tell(number, best)

    def prune(self, number: int) -> None:
        """A trial was stopped."""
        self._study.tell(number, state=TrialState.PRUNED)

    def fail(self, number: int, reason: str) -> None:
        """A trial went wrong."""
        self._trial(number).set_user_attr(REASON, reason)
        self._study.tell(number, state=TrialState.FAIL)

    def importances(self) -> dict[str, float]:
        """How much of the scores each parameter explains, the most important first.

        By PED-ANOVA (arXiv:2304.10255), which asks what sets the best trials apart; empty where
        the trials are too few or too much alike.
        """
        scores = {record.score for record in self.records() if record.state == "complete"}
        if len(scores) < 2 or len(self._space.parameters) < 2:
            return {}
        try:
            return dict(
                optuna.importance.get_param_importances(
                    self._study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
                )
            )
        except (ValueError, RuntimeError):
            return {}

    def check_facts(self, facts: Mapping[str, Any]) -> None:
        """Keep what the sweep is about; or hold it against what it was about when it began.

        Raises:
            ConfigError: If that has changed; names what.
        """
        known = self._study.user_attrs.get(FACTS)
        if known is None:
            self._study.set_user_attr(FACTS, json.dumps(facts))
            return
        was, now = json.loads(known), json.loads(json.dumps(facts))
        changed = [
            f"  - {key}: {was.get(key)} -> {now.get(key)}"
            for key in dict.fromkeys([*was, *now])
            if was.get(key) != now.get(key)
        ]
        if changed:
            raise ConfigError(
                "sweep: trials of other settings can't be compared; since the sweep began there changed:\n"
                + "\n".join(changed)
                + "\nSet them back, or begin another sweep in another training.checkpoint_dir."
            )

    def _choose(self) -> Values | None:
        """Values for the next trial: drawn from a copy, so that what was tried can be left out."""
        tried = [self._record(trial).values for trial in self._study.get_trials(deepcopy=False)]
        known = {as_text(values) for values in tried}
        if self._space.size is not None:
            free = [each for each in self._space.points() if as_text(each) not in known]
            if not free:
                return None
            if self._sampler == "grid":
                return free[0]
        seed = self._seed + len(tried)  # so that workers don't draw the same
        sampler: optuna.samplers.BaseSampler = (
            optuna.samplers.RandomSampler(seed=seed)
            if self._sampler == "random"
            else optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        )
        copy = optuna.create_study(direction=self._study.direction, sampler=sampler)
        copy.add_trials(
            trial
            for trial in self._study.get_trials()
            if trial.params.keys() == self._distributions.keys()
        )
        drawn = copy.ask(fixed_distributions=self._distributions).params
        values = self._shown(drawn)
        for each in self._space.parameters:
            if isinstance(each, Range) and not each.is_whole:
                values[each.key] = each.rounded(values[each.key])
        if self._space.size is not None and as_text(values) in known:
            return random.Random(seed).choice(free)
        return values

    def _stored(self, values: Values) -> dict[str, Any]:
        """As Optuna keeps them: a choice can be a list or a section, which it can't."""
        choices = {each.key for each in self._space.parameters if isinstance(each, Choice)}
        return {key: as_text(value) if key in choices else value for key, value in values.items()}

    def _shown(self, params: Mapping[str, Any]) -> Values:
        shown = {}
        for each in self._space.parameters:
            if each.key in params:
                value = params[each.key]
                shown[each.key] = json.loads(value) if isinstance(each, Choice) else value
        return shown

    def _record(self, trial: FrozenTrial) -> TrialRecord:
        is_complete = trial.state == TrialState.COMPLETE
        return TrialRecord(
            number=trial.number,
            state=STATES[trial.state],
            values=self._shown(trial.params),
            scores=dict(trial.intermediate_values),
            score=trial.value if is_complete else None,
            seconds=trial.duration.total_seconds() if trial.duration else None,
            attempts=(attempts := int(trial.user_attrs.get(ATTEMPTS, 1))),
            futile=int(trial.user_attrs.get(FUTILE, attempts)),
            start_step=int(trial.user_attrs.get(START_STEP, 0)),
            reason=trial.user_attrs.get(REASON),
        )

    def _frozen(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]

    def _trial(self, number: int) -> optuna.Trial:
        return optuna.Trial(self._study, self._frozen(number)._trial_id)


def open_study(
    storage: str,
    space: Space,
    *,
    maximize: bool,
    sampler: str,
    pruner: str,
    evaluations: int,
    seed: int,
) -> Study:
    """Open the trials in a data base, or make it.

    Args:
        storage: A URL of SQLAlchemy's, such as sqlite:///sweep.db.
        space: What trials choose from.
        maximize: Whether higher scores are better.
        sampler: `tpe`, `random` or `grid`.
        pruner: `median`, `hyperband` or `none`.
        evaluations: How many a whole trial has.
        seed: See `Study`.

    Raises:
        ConfigError: If the data base can't be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruners = {
        "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS),
        "hyperband": lambda: optuna.pruners.HyperbandPruner(max_resource=max(evaluations, 1)),
        "none": optuna.pruners.NopPruner,
    }
    try:
        study = optuna.create_study(
            storage=_open_storage(storage),
            study_name=NAME,
            direction="maximize" if maximize else "minimize",
            pruner=pruners[pruner](),
            load_if_exists=True,
        )
    except Exception as fault:  # SQLAlchemy's, the driver's: what is said depends on the data base
        reason = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        raise ConfigError(f"sweep.storage = {storage!r}: can't be opened ({reason}).") from fault
    return Study(study, space, sampler=sampler, seed=seed)


def _open_storage(url: str) -> optuna.storages.BaseStorage:
    waiting = {"connect_args": {"timeout": BUSY_SECONDS}} if url.startswith("sqlite") else {}
    return optuna.storages.RDBStorage(url, engine_kwargs=waiting)


def _distribution(parameter: Choice | Range) -> BaseDistribution:
    if isinstance(parameter, Choice):
        return CategoricalDistribution([as_text(value) for value in parameter.options])
    if parameter.is_whole:
        step = int(parameter.step or 1)
        return IntDistribution(int(parameter.low), int(parameter.high), parameter.is_log, step)
    return FloatDistribution(parameter.low, parameter.high, parameter.is_log, parameter.step)

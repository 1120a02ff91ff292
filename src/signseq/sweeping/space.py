"""What a sweep chooses from: values and ranges of settings, checked against the config."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from signseq.config import Config, parse_config
from signseq.errors import ConfigError

__all__ = ["Choice", "Range", "Space", "Values", "base_settings", "build_space", "trial_overrides"]

Values = dict[str, Any]  # what a trial was given, by dotted keys

# Each trial has its own of these, or all trials share one store that they are a part of.
NOT_SWEPT = {
    "training.checkpoint_dir": "each trial has a folder of its own in it",
    "training.run_name": "each trial's name is made of it",
    "training.best_metric": "set sweep.metric",
    **dict.fromkeys(
        (f"data.{key}" for key in ("keypoints", "normalize", "fill_gaps", "dimensions", "fps")),
        "it decides what `signseq prepare` packs, and all trials read one store; sweep once for each value",
    ),
}
RANGE_KEYS = ("low", "high", "log", "step")


@dataclass(frozen=True)
class Choice:
    """A few values of a setting."""

    key: str
    options: tuple[Any, ...]

    def describe(self) -> str:
        """As in the config."""
        return f"{self.key}: {', '.join(map(as_text, self.options))}"


@dataclass(frozen=True)
class Range:
    """Numbers of a setting; whole ones where both ends are.

    Attributes:
        key: The setting.
        low: The smallest.
        high: The largest.
        is_log: Whether small ones are as likely as large ones.
        step: From one to the next; None for any number.
    """

    key: str
    low: float
    high: float
    is_log: bool = False
    step: float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers are chosen."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def options(self) -> tuple[float, ...] | None:
        """Every number, smallest first; None where there are any number of them."""
        step = self.step or (1 if self.is_whole else None)
        if step is None:
            return None
        count = round((self.high - self.low) / step) + 1
        return tuple(
            self.low + step * place if self.is_whole else round(self.low + step * place, 12)
            for place in range(count)
        )

    def rounded(self, number: float) -> float:
        """A number that was drawn, with as many digits as matter: six."""
        return min(max(float(f"{number:.6g}"), self.low), self.high)

    def describe(self) -> str:
        """As in the config."""
        how = ", log" if self.is_log else ""
        how += f", step {self.step:g}" if self.step else ""
        return f"{self.key}: {self.low:g} to {self.high:g}{how}"


@dataclass(frozen=True)
class Space:
    """Everything that a sweep chooses from."""

    parameters: tuple[Choice | Range, ...]

    @property
    def size(self) -> int | None:
        """How many different trials there are; None where there are any number of them."""
        sizes = [None if each.options is None else len(each.options) for each in self.parameters]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)

    def points(self) -> Iterator[Values]:
        """Every different trial, of a space that has a size."""
        keys = [each.key for each in self.parameters]
        for options in itertools.product(*(each.options or () for each in self.parameters)):
            yield dict(zip(keys, options, strict=True))

    def describe(self) -> str:
        """A parameter in a line."""
        return "\n".join(each.describe() for each in self.parameters)


def build_space(config: Config) -> Space:
    """Check the section `sweep` of a config, and every value in it.

    Raises:
        ConfigError: If there is no such section, or it can't be what is meant; lists everything that
            is wrong.
    """
    if config.sweep is None:
        raise ConfigError(
            "The config has no section `sweep`. Add what to try, such as\n"
            "sweep:\n  parameters:\n    training.learning_rate: [1e-4, 3e-4, 5e-4]"
        )
    problems: list[str] = []
    parameters: list[Choice | Range] = []
    for key, given in _by_key(config.sweep.parameters):
        try:
            parameters.append(_build_parameter(key, given))
        except ConfigError as fault:
            problems.append(str(fault))
    if not parameters and not problems:
        problems.append("sweep.parameters: empty; name at least one setting to try values of.")
    if config.data.val_path is None:
        problems.append("sweep: trials are compared by validation scores; set data.val_path.")
    if config.sweep.sampler == "grid":
        problems += [
            f"sweep.parameters.{each.key}: a grid needs a list of values, or a range with a step."
            for each in parameters
            if each.options is None
        ]
    space = Space(tuple(parameters))
    problems += _refused(config, space)
    if problems:
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        raise ConfigError(f"sweep: {count}.\n" + "\n".join(f"  - {each}" for each in problems))
    return space


def base_settings(config: Config) -> dict[str, Any]:
    """The config as plain settings, without the sweep: what every trial begins with."""
    return config.model_dump(mode="json", exclude={"sweep"})


def trial_overrides(values: Mapping[str, Any]) -> list[str]:
    """A trial's values as overrides of the config."""
    return [f"{key}={as_text(value)}" for key, value in values.items()]


def as_text(value: Any) -> str:
    """A value as JSON, which is YAML, too."""
    return json.dumps(value, ensure_ascii=False)


def _by_key(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The parameters by full keys; sections within sections are as good as dots."""
    for name, given in parameters.items():
        if isinstance(given, Mapping) and given and not set(given) & set(RANGE_KEYS):
            yield from _by_key(given, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", given


def _build_parameter(key: str, given: Any) -> Choice | Range:
    place = f"sweep.parameters.{key}"
    if key in NOT_SWEPT:
        raise ConfigError(f"{place}: can't be swept: {NOT_SWEPT[key]}.")
    if isinstance(given, list):
        if not given:
            raise ConfigError(f"{place}: an empty list; give at least one value.")
        texts = [as_text(value) for value in given]
        twice = next((text for text in texts if texts.count(text) > 1), None)
        if twice is not None:
            raise ConfigError(f"{place}: {twice} is given twice.")
        return Choice(key, tuple(given))
    if not isinstance(given, Mapping) or not {"low", "high"} <= set(given):
        raise ConfigError(
            f"{place} = {given!r}: expected a list of values, or a range such as {{low: 1, high: 8}}."
        )
    unknown = [name for name in given if name not in RANGE_KEYS]
    if unknown:
        raise ConfigError(f"{place}.{unknown[0]}: unknown; a range has {', '.join(RANGE_KEYS)}.")
    low, high, step = given["low"], given["high"], given.get("step")
    is_log = given.get("log", False)
    for name, value in (("low", low), ("high", high), ("step", step)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ConfigError(f"{place}.{name} = {value!r}: expected a number.")
    if not isinstance(is_log, bool):
        raise ConfigError(f"{place}.log = {is_log!r}: expected true or false.")
    if not low < high:
        raise ConfigError(f"{place}: low = {low} must be below high = {high}.")
    if is_log and (low <= 0 or step is not None):
        raise ConfigError(f"{place}: with log: true, low must be above 0, and there is no step.")
    if step is not None:
        count = (high - low) / step if step > 0 else 0.5
        if abs(count - round(count)) > 1e-6:
            raise ConfigError(f"{place}: step = {step} does not lead from {low} to {high}.")
        if not all(isinstance(value, int) for value in (low, high, step)):
            low, high = float(low), float(high)
    elif isinstance(low, float) or isinstance(high, float):
        low, high = float(low), float(high)
    return Range(key, low, high, is_log, step)


def _refused(config: Config, space: Space) -> Iterator[str]:
    """Values that the config itself refuses, each tried with the first of all others."""
    settings = base_settings(config)
    ends = [
        each.options if isinstance(each, Choice) else (each.low, each.high)
        for each in space.parameters
    ]
    first = {each.key: end[0] for each, end in zip(space.parameters, ends, strict=True)}
    said: set[str] = set()
    for each, end in zip(space.parameters, ends, strict=True):
        for value in end:
            for problem in _mistakes(settings, {**first, each.key: value}):
                if problem not in said:
                    said.add(problem)
                    yield problem


def _mistakes(settings: Mapping[str, Any], values: Mapping[str, Any]) -> Sequence[str]:
    try:
        parse_config(settings, trial_overrides(values), place="sweep.parameters")
    except ConfigError as fault:
        return [line.removeprefix("  - ") for line in str(fault).splitlines()[1:]]
    return ()

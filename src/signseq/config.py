"""One YAML file = one experiment: typed sections, checked as a whole before anything runs.

data:        where the clips and texts are, how poses are prepared and read
model:       which text model, which pose encoder
training:    how it is trained
generation:  how text is generated, in evaluation and in translation
evaluation:  how texts are scored
sweep:       what `signseq sweep` tries
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import ValidationError

from signseq.errors import ConfigError
from signseq.sections.base import Section
from signseq.sections.data import AugmentConfig, DataConfig, PoseFilesConfig
from signseq.sections.experiment import Config
from signseq.sections.mixing import find_mix_faults, resolve_mix
from signseq.sections.model import (
    OF_CONVOLUTIONS,
    EncoderConfig,
    LoraSettings,
    ModelConfig,
    SizeConfig,
    VocabularyConfig,
)
from signseq.sections.scoring import EvaluationConfig, GenerationConfig
from signseq.sections.training import SweepConfig, TrainingConfig
from signseq.settings import apply_overrides, parse_yaml, read_text

__all__ = [
    "AugmentConfig",
    "Config",
    "DataConfig",
    "EncoderConfig",
    "EvaluationConfig",
    "GenerationConfig",
    "LoraSettings",
    "ModelConfig",
    "PoseFilesConfig",
    "SizeConfig",
    "SweepConfig",
    "TrainingConfig",
    "VocabularyConfig",
    "load_config",
    "parse_config",
    "save_config",
]


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read an experiment's YAML file.

    Args:
        path: The YAML file.
        overrides: Dotted settings that replace those of the file, e.g. `training.learning_rate=1e-4`.

    Raises:
        ConfigError: If the file can't be read or anything in it is wrong; lists everything that is.
    """
    path = Path(path)
    settings = parse_yaml(read_text(path), place=str(path))
    if not isinstance(settings, dict):
        raise ConfigError(
            f"{path}: expected sections (data, model, training, ...), found {type(settings).__name__}."
        )
    return parse_config(settings, overrides, place=str(path))


def parse_config(
    settings: Mapping[str, Any], overrides: Sequence[str] = (), *, place: str = "config"
) -> Config:
    """Check settings that are already a mapping; see `load_config`."""
    merged = resolve_mix(apply_overrides(settings, overrides))
    problems = list(_contradictions(merged))
    try:
        config = Config.model_validate(merged)
    except ValidationError as fault:
        problems = [_describe(error, merged) for error in fault.errors()] + problems
    else:
        problems += _mix_problems(config.data)
    if problems:
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        raise ConfigError(
            f"{place}: {count}.\n" + "\n".join(f"  - {problem}" for problem in problems)
        )
    return config


def save_config(config: Config, path: Path) -> None:
    """Write the resolved config, defaults included, so that a run can be repeated; a sweep is no part of a run."""
    settings = config.model_dump(mode="json", exclude={"sweep"})
    text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")


def _mix_problems(data: DataConfig) -> list[str]:
    for number, corpus in enumerate(data.mix, start=1):
        try:
            DataConfig.model_validate(corpus)
        except ValidationError as fault:
            errors: list[Any] = [
                {**error, "loc": ("data", *error["loc"])} for error in fault.errors()
            ]
            return [f"data.mix, corpus {number}: {_describe(error, {})}" for error in errors]
    return find_mix_faults(data)


def _contradictions(settings: Mapping[str, Any]) -> Iterator[str]:
    """What no single key shows to be wrong."""

    def section(name: str) -> Mapping[str, Any]:
        value = settings.get(name)
        return value if isinstance(value, Mapping) else {}

    data, model, training = section("data"), section("model"), section("training")
    if training.get("batch_size") is not None and training.get("frames_per_batch") is not None:
        yield "training.batch_size and training.frames_per_batch are both given; keep one of them."
    for key in ("batch_size", "frames_per_batch"):
        if training.get("auto_batch") and training.get(key) is not None:
            yield (
                f"training.auto_batch is true and training.{key} is given; auto_batch finds the size of batches "
                "itself, so drop one of them."
            )
    yield from _own_choices(training)
    if model.get("tokenizer") == "train" and not model.get("from_scratch"):
        yield (
            "model.tokenizer is 'train' but model.from_scratch is not true: pretrained weights only fit "
            "the tokens they were trained with."
        )
    for key in ("size", "config"):
        if model.get(key) and not model.get("from_scratch"):
            yield f"model.{key} changes the architecture, which needs model.from_scratch: true."
    for key in ("freeze_encoder", "freeze_decoder", "use_lora"):
        if model.get(key) and model.get("from_scratch") and not model.get("init_from"):
            yield f"model.{key} would freeze random weights, as model.from_scratch is true."
    for key in ("freeze_encoder", "freeze_decoder"):
        if model.get(key) and model.get("use_lora"):
            yield (
                f"model.{key} and model.use_lora contradict each other: LoRA freezes the whole text model and adds "
                "adapters to it. Drop one; to adapt one side only, name its modules in lora_config.target_modules."
            )
    quantized = [key for key in ("load_in_4bit", "load_in_8bit") if model.get(key)]
    if len(quantized) == 2:
        yield "model.load_in_4bit and model.load_in_8bit are both true; keep one of them."
    if quantized and not model.get("use_lora"):
        yield f"model.{quantized[0]}: quantized weights can't be trained themselves; set model.use_lora: true."
    if quantized and model.get("init_from"):
        yield (
            f"model.{quantized[0]} and model.init_from are both given: a checkpoint's weights can't be put into "
            "quantized ones. Drop one of them."
        )
    yield from _idle_encoder_settings(model)
    yield from _partial_starts(model)
    if model.get("vocabulary") and model.get("tokenizer") != "train":
        yield "model.vocabulary is given, but model.tokenizer is not train."
    others = data.get("other_paths")
    splits = {"train", "val", "test"}.intersection(others if isinstance(others, Mapping) else ())
    if splits:
        yield f"data.other_paths names {', '.join(sorted(splits))}; use data.train_path, val_path, test_path for those."


def _idle_encoder_settings(model: Mapping[str, Any]) -> Iterator[str]:
    """A projection of single frames has none of what convolutions are told."""
    encoder = model.get("encoder")
    if not isinstance(encoder, Mapping) or encoder.get("type") != "linear":
        return
    # a saved config names every key, so what has its default is not taken for a wish
    defaults = {key: EncoderConfig.model_fields[key].default for key in OF_CONVOLUTIONS}
    idle = [key for key, default in defaults.items() if encoder.get(key, default) != default]
    if idle:
        named = ", ".join(f"model.encoder.{key}" for key in idle)
        yield (
            f"{named}: not of type linear, which projects each frame by itself. Leave out, or set model.encoder.type "
            "to conv or part_gcn."
        )


def _partial_starts(model: Mapping[str, Any]) -> Iterator[str]:
    """What needs weights that `init_parts` leaves random."""
    parts = model.get("init_parts", "all")
    if parts == "all":
        return
    if not model.get("init_from"):
        yield f"model.init_parts is {parts}, but model.init_from names no checkpoint."
    if model.get("use_lora"):
        yield (
            f"model.init_parts: {parts} and model.use_lora don't go together: adapters are loaded upon all weights of "
            "model.init_from. Drop one of them."
        )
    if not model.get("from_scratch"):
        return
    trained = {"freeze_encoder": ("text_model",), "freeze_decoder": ("text_model", "decoder")}
    for key, enough in trained.items():
        if model.get(key) and parts not in enough:
            yield f"model.{key} would freeze random weights: model.init_parts is {parts}."


def _own_choices(training: Mapping[str, Any]) -> Iterator[str]:
    """Further optimizers and schedules are transformers' own, under `hf`; one name for each is enough."""
    hf = training.get("hf")
    for key, field in (("optimizer", "optim"), ("schedule", "lr_scheduler_type")):
        given = training.get(key, TrainingConfig.model_fields[key].default)
        if (
            isinstance(hf, Mapping)
            and field in hf
            and given != TrainingConfig.model_fields[key].default
        ):
            yield f"training.{key} and training.hf.{field} are both given; keep one of them."


def _describe(error: Any, settings: Mapping[str, Any]) -> str:
    """One line of a ValidationError: the place, what is wrong, what is allowed."""
    place = [str(part) for part in error["loc"] if part not in ("[key]",)]
    dotted = ".".join(place)
    if error["type"] == "extra_forbidden":
        known = sorted(_section_at(place[:-1]).model_fields)
        near = difflib.get_close_matches(place[-1], known, n=1, cutoff=0.5)
        elsewhere = [full for full in _all_keys() if full.rsplit(".", 1)[-1] == place[-1]]
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}."
        if elsewhere and not (near and near[0] == place[-1]):
            hint = f"did you mean {elsewhere[0]}?"
        return f"{dotted}: unknown key; {hint}"
    if error["type"] == "missing":
        if dotted == "data.pose_dir":
            return (
                f"{dotted}: missing; it has no default. Or name a folder of videos, data.video_dir."
            )
        return f"{dotted}: missing; it has no default."
    if error["type"] == "model_type":
        keys = ", ".join(list(_section_at(place).model_fields)[:3])
        return f"{dotted} = {error['input']!r}: expected a section with keys, such as {keys}."
    expected = error["msg"][0].lower() + error["msg"][1:]
    if error["type"] == "string_type" and isinstance(error["input"], Mapping):
        return f"{dotted} = {error['input']!r}: {expected}; {_how_to_quote(dotted, error['input'])}"
    meant = _nearest_choice(error)
    return (
        f"{dotted} = {error['input']!r}: {expected}{f'; did you mean {meant}?' if meant else '.'}"
    )


def _how_to_quote(dotted: str, read: Mapping[str, Any]) -> str:
    """What to write for a text that YAML has read as a mapping, such as `translate: `."""
    text = ", ".join(f"{key}: {'' if value is None else value}" for key, value in read.items())
    quoted = yaml.safe_dump(text, width=math.inf, allow_unicode=True, default_style="'").strip()
    return (
        f"a text with a colon needs quotes of its own: {quoted} in a file, "
        f'"{dotted}={quoted}" on the command line.'
    )


def _nearest_choice(error: Any) -> str | None:
    """Of the names that a key takes, the one that was probably meant."""
    if error["type"] != "literal_error" or not isinstance(error["input"], str):
        return None
    known = re.findall(r"'([^']+)'", error["ctx"]["expected"])
    close = difflib.get_close_matches(error["input"].lower(), known, n=1, cutoff=0.5)
    return close[0] if close else None


def _section_at(place: Sequence[str]) -> type[Section]:
    section: type[Section] = Config
    for name in place:
        section = _section_type(section.model_fields[name].annotation) or section
    return section


def _section_type(annotation: Any) -> type[Section] | None:
    if get_origin(annotation) in (Union, UnionType):
        annotation = next((part for part in get_args(annotation) if isinstance(part, type)), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def _all_keys(section: type[Section] = Config, prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        inner = _section_type(field.annotation)
        yield f"{prefix}{name}"
        if inner:
            yield from _all_keys(inner, f"{prefix}{name}.")

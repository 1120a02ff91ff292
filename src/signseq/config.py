"""One YAML file = one experiment: typed sections, checked as a whole before anything runs.

data:        where the clips and texts are, how poses are prepared and read
model:       which text model, which pose encoder
training:    how it is trained
generation:  how text is generated, in evaluation and in translation
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from signseq.errors import ConfigError
from signseq.settings import apply_overrides, parse_yaml, read_text

__all__ = [
    "AugmentConfig",
    "Config",
    "DataConfig",
    "EncoderConfig",
    "GenerationConfig",
    "ModelConfig",
    "SizeConfig",
    "TrainingConfig",
    "load_config",
    "parse_config",
    "save_config",
]

FilePath = Annotated[Path, Field(strict=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """What all sections share: no unknown keys, no silent conversion, no change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class AugmentConfig(Section):
    """Random changes to training clips; 0 turns one off."""

    rotate_degrees: Annotated[float, Field(ge=0, le=180)] = 0.0
    speed: Share = 0.0
    drop_frames: Share = 0.0
    drop_hand: Annotated[float, Field(ge=0, le=1)] = 0.0


class DataConfig(Section):
    """Where the data are and how they are read."""

    corpus: Literal["csv", "tsv", "isign", "sentences", "words"] = "csv"
    train_path: FilePath | None = None
    val_path: FilePath | None = None
    test_path: FilePath | None = None
    other_paths: dict[str, FilePath] = Field(
        default_factory=dict
    )  # more splits to evaluate on, by name
    pose_dir: FilePath
    store: FilePath
    keypoints: Literal[
        "hands", "upper_body_hands", "upper_body_hands_face", "youtube_asl", "all"
    ] = "upper_body_hands_face"
    normalize: Literal["none", "shoulders", "parts"] = "parts"
    dimensions: Literal[2, 3] = 2
    fps: Annotated[float, Field(gt=0)] | None = None
    step_frames: Count = 1
    max_frames: Count = 300  # after step_frames
    too_long: Literal["truncate", "skip", "error"] = "truncate"
    max_length: Count = 128  # target tokens
    max_skipped: Annotated[float, Field(ge=0, le=1)] = 0.01
    augment: AugmentConfig = AugmentConfig()

    @property
    def split_paths(self) -> dict[str, Path]:
        """The table of each split that the config names."""
        paths = {
            "train": self.train_path,
            "val": self.val_path,
            "test": self.test_path,
            **self.other_paths,
        }
        return {split: path for split, path in paths.items() if path is not None}


class EncoderConfig(Section):
    """The pose encoder: what turns keypoints into the text model's input embeddings."""

    type: Literal["linear", "conv"] = "conv"
    stride: Literal[1, 2, 4, 8] = 2  # conv: frames per output position
    width: Count = 256  # conv: channels between the convolutions
    kernel: Literal[3, 5, 7, 9] = 5  # conv: frames each convolution sees
    positions: Literal["auto", "sinusoidal", "none"] = "auto"


class SizeConfig(Section):
    """The sizes that every architecture has, whatever it calls them; only for models from scratch."""

    width: Count | None = None  # of the hidden states
    layers: Count | None = None  # in the encoder, and as many in the decoder
    heads: Count | None = None  # of the attention
    feed_forward: Count | None = None  # width between the two feed-forward layers


class ModelConfig(Section):
    """Which text model, and how it is loaded."""

    name: str  # a hub name, a local folder or, with from_scratch, an architecture such as "bart"
    tokenizer: str | None = (
        None  # null: the model's own; "train": trained on the corpus's training texts
    )
    dropout: Share | None = None  # null: the text model's own
    from_scratch: bool = False
    size: SizeConfig | None = None  # with from_scratch
    config: dict[str, Any] = Field(
        default_factory=dict
    )  # with from_scratch: settings by the architecture's own names
    encoder: EncoderConfig = EncoderConfig()
    freeze_encoder: bool = False
    freeze_decoder: bool = False
    trust_remote_code: bool = False


class TrainingConfig(Section):
    """How the model is trained."""

    num_epochs: Annotated[float, Field(gt=0)] = 30.0
    max_steps: Count | None = None  # stops earlier than num_epochs would
    batch_size: Count | None = None  # sequences per device
    frames_per_batch: Count | None = None  # or a budget of padded frames per device
    eval_batch_size: Count = 64
    gradient_accumulation_steps: Count = 1
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup_ratio: Share = 0.1
    max_grad_norm: Annotated[float, Field(ge=0)] = 1.0
    label_smoothing: Share = 0.1
    mixed_precision: bool = True  # bf16 where the device has it; full precision on a CPU
    num_workers: Annotated[int, Field(ge=0)] = 4
    checkpoint_dir: FilePath
    eval_epochs: Count = 1  # score the validation set every so many epochs
    eval_beams: Count = 1  # beams while training: greedy search is several times faster
    best_metric: Literal["bleu4", "chrf", "loss", "cer"] = "bleu4"
    early_stopping_patience: Count | None = None  # evaluations without a better score
    save_total_limit: Count = 2
    use_wandb: bool = False
    project_name: str = "sign-language-translation"
    run_name: str | None = None
    hf: dict[str, Any] = Field(default_factory=dict)  # any other field of Seq2SeqTrainingArguments


class GenerationConfig(Section):
    """How text is generated."""

    num_beams: Count = 5
    max_new_tokens: Count = 128
    length_penalty: float = 1.0
    no_repeat_ngram_size: Annotated[int, Field(ge=0)] = 0


class Config(Section):
    """One experiment."""

    seed: Annotated[int, Field(ge=0)] = 42
    data: DataConfig
    model: ModelConfig
    training: TrainingConfig
    generation: GenerationConfig = GenerationConfig()


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
    merged = apply_overrides(settings, overrides)
    problems = list(_contradictions(merged))
    try:
        config = Config.model_validate(merged)
    except ValidationError as fault:
        problems = [_describe(error, merged) for error in fault.errors()] + problems
    if problems:
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        raise ConfigError(
            f"{place}: {count}.\n" + "\n".join(f"  - {problem}" for problem in problems)
        )
    return config


def save_config(config: Config, path: Path) -> None:
    """Write the resolved config, defaults included, so that a run can be repeated."""
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")


def _contradictions(settings: Mapping[str, Any]) -> Iterator[str]:
    """What no single key shows to be wrong."""

    def section(name: str) -> Mapping[str, Any]:
        value = settings.get(name)
        return value if isinstance(value, Mapping) else {}

    data, model, training = section("data"), section("model"), section("training")
    if training.get("batch_size") is not None and training.get("frames_per_batch") is not None:
        yield "training.batch_size and training.frames_per_batch are both given; keep one of them."
    if model.get("tokenizer") == "train" and not model.get("from_scratch"):
        yield (
            "model.tokenizer is 'train' but model.from_scratch is not true: pretrained weights only fit "
            "the tokens they were trained with."
        )
    for key in ("size", "config"):
        if model.get(key) and not model.get("from_scratch"):
            yield f"model.{key} changes the architecture, which needs model.from_scratch: true."
    if model.get("freeze_encoder") and model.get("from_scratch"):
        yield "model.freeze_encoder would freeze random weights, as model.from_scratch is true."
    if model.get("freeze_decoder") and model.get("from_scratch"):
        yield "model.freeze_decoder would freeze random weights, as model.from_scratch is true."
    others = data.get("other_paths")
    splits = {"train", "val", "test"}.intersection(others if isinstance(others, Mapping) else ())
    if splits:
        yield f"data.other_paths names {', '.join(sorted(splits))}; use data.train_path, val_path, test_path for those."


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
        return f"{dotted}: missing; it has no default."
    if error["type"] == "model_type":
        keys = ", ".join(list(_section_at(place).model_fields)[:3])
        return f"{dotted} = {error['input']!r}: expected a section with keys, such as {keys}."
    expected = error["msg"][0].lower() + error["msg"][1:]
    return f"{dotted} = {error['input']!r}: {expected}."


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

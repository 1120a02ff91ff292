"""What `signseq models` prints: a model's description, and the table of known families."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from signseq.model.catalog import FAMILIES

if TYPE_CHECKING:
    from signseq.description import ModelDescription

__all__ = ["describe", "list_families", "to_json"]

WIDTH = 110
SHOWN_CODES = 6
GIB = 2**30
METHODS = {"full": "full", "lora": "LoRA", "qlora": "QLoRA, 4 bits"}


def describe(about: ModelDescription) -> str:
    """A model in words, a fact a line."""
    lines = list(_lines(about))
    column = max(len(label) for label, _ in lines) + 4
    return "\n".join([about.name, *(_row(f"  {label}", text, column) for label, text in lines)])


def to_json(about: ModelDescription) -> str:
    """A model as a JSON object on one line; memory in bytes."""
    facts = dataclasses.asdict(about)
    for entry, estimate in zip(facts["memory"], about.memory, strict=True):
        entry |= {"total": estimate.total, "is_estimated": True}
    return json.dumps(facts, ensure_ascii=False)


def list_families(*, as_json: bool = False) -> str:
    """The table of known families and how to name any other model; in JSON, a family a line."""
    if as_json:
        return "\n".join(json.dumps(dataclasses.asdict(family)) for family in FAMILIES)
    column = max(len(family.name) for family in FAMILIES) + 2
    rows = []
    for family in FAMILIES:
        rows.append(_row(family.name, f"{family.languages}. {family.licence}", column))
        models = (f"{model.name} {_millions(model.parameters)}" for model in family.models)
        rows.append(_row("", ", ".join(models), column))
        rows.append(_row("", f"needs {family.needs}", column))
    rows.append(
        "\nAny other encoder-decoder or causal language model of the Hugging Face hub does as well, and so does a\n"
        "local folder. `signseq models NAME|FOLDER` describes it, `model.name` in a config takes it. Sizes are in\n"
        "parameters; licences are in short, the model's page says the whole."
    )
    return "\n".join(rows)


def _row(label: str, text: str, column: int) -> str:
    indent = " " * column
    filled = textwrap.fill(
        text,
        WIDTH,
        initial_indent=f"{label:<{column}}",
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return filled.rstrip()


def _lines(about: ModelDescription) -> Iterator[tuple[str, str]]:
    """Labels and what stands beside them."""
    kind = "decoder-only" if about.is_causal else "encoder-decoder"
    yield "architecture", f"{about.architecture}, {kind}, {about.parameters:,} parameters"
    yield "known from", about.source
    stride = f", stride {about.encoder['stride']}" if "stride" in about.encoder else ""
    yield (
        "pose encoder",
        f"{about.encoder['type']}{stride}, {about.keypoints} keypoints: "
        f"{about.encoder_parameters:,} parameters more",
    )
    assumed = ", if recordings have 25" if about.is_rate_assumed else ""
    yield "frames a second", f"{about.frames_per_second:g}, after step_frames{assumed}"
    yield "clips", _length(about)
    yield "languages", _languages(about)
    yield "licence", f"{about.licence or 'not known here'} (check the model's page)"
    yield "float16", "safe" if about.is_safe_in_float16 else "not safe: bfloat16 or float32"
    yield "gradient checkpointing", "supported" if about.can_recompute else "not possible"
    targets = ", ".join(f"{name} ({times})" for name, times in about.lora_targets.items())
    yield "LoRA targets", f"{sum(about.lora_targets.values())} layers: {targets}"
    batch = about.batch
    yield (
        "memory",
        f"estimated; a batch of {batch.batch_size} clips of {batch.frames} frames ({about.inputs} inputs) and "
        f"{batch.tokens} tokens; a GPU's libraries take about 1 GiB more",
    )
    for estimate in about.memory:
        parts = (
            f"weights {_gib(estimate.weights)}, AdamW {_gib(estimate.optimizer)}, "
            f"activations and gradients {_gib(estimate.step)}"
        )
        how = " (by a formula)" if estimate.by_formula else ""
        trained = f"{estimate.trainable:,} parameters train"
        yield (
            f"  {METHODS[estimate.method]}",
            f"{_gib(estimate.total)} GiB ({parts}{how}); {trained}",
        )
    for number, sentence in enumerate(about.advice):
        yield "" if number else "to heed", sentence


def _length(about: ModelDescription) -> str:
    if about.limit is None:
        return "no limit"
    shared = ", less prompt and text" if about.is_causal else ""
    return f"at most {about.limit:,} inputs{shared}: {about.limit_frames:,} frames, {about.limit_seconds:,.0f} s"


def _languages(about: ModelDescription) -> str:
    words = [about.languages] if about.languages else []
    if about.codes is None:
        words.append("the codes are in the tokenizer, which isn't here")
    elif about.codes:
        more = ", ..." if len(about.codes) > SHOWN_CODES else ""
        words.append(f"{len(about.codes)} codes: {', '.join(about.codes[:SHOWN_CODES])}{more}")
    return "; ".join(words) or "not known here; it has no codes for them"


def _gib(size: int) -> str:
    return f"{size / GIB:.1f}" if size >= 0.05 * GIB else f"{size / GIB:.2f}"


def _millions(parameters: int) -> str:
    millions = round(parameters / 1e6)
    return f"{millions} M" if millions < 1000 else f"{parameters / 1e9:.1f} B"

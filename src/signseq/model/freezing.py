"""Which parameters train, and how many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from signseq.errors import ModelError
from signseq.model.sign_translation import SignTranslationModel

__all__ = [
    "ParameterCount",
    "count_parameters",
    "encoder_parameters",
    "freeze",
    "parameter_table",
]


@dataclass(frozen=True)
class ParameterCount:
    """How many numbers a model is made of, and how many of them train.

    Attributes:
        total: All of them; quantized ones count as what they stand for.
        pose_encoder: Those of the pose encoder that train.
        text_model: Those of the text model that train.
        adapters: Those of its adapters that train.
    """

    total: int
    pose_encoder: int
    text_model: int
    adapters: int

    @property
    def trainable(self) -> int:
        """All that train."""
        return self.pose_encoder + self.text_model + self.adapters

    def describe(self) -> str:
        """In words; where they are is said where not all train."""
        if self.trainable == self.total:
            return f"{self.total:,}, all of which train"
        parts = {
            "pose encoder": self.pose_encoder,
            "adapters": self.adapters,
            "text model": self.text_model,
        }
        where = ", ".join(f"{name} {count:,}" for name, count in parts.items() if count)
        share = 100 * self.trainable / self.total
        return f"{self.total:,}, of which {self.trainable:,} ({share:.2f}%) train: {where}"


def count_parameters(model: SignTranslationModel) -> ParameterCount:
    """Count a model's parameters, by what trains."""
    total, trainable = 0, {"pose_encoder": 0, "text_model": 0, "adapters": 0}
    for name, size, trains in _sizes(model):
        total += size
        if trains:
            part = name.partition(".")[0]
            trainable["adapters" if ".lora_" in name else part] += size
    return ParameterCount(total, **trainable)


def parameter_table(model: SignTranslationModel) -> list[tuple[str, int, int]]:
    """Of each part of a model its name, its parameters, and how many of them train."""
    table: dict[str, list[int]] = {}
    for name, size, trains in _sizes(model):
        row = table.setdefault(_part(name), [0, 0])
        row[0] += size
        row[1] += size * trains
    return [(part, size, trained) for part, (size, trained) in table.items()]


def _sizes(model: SignTranslationModel) -> Iterator[tuple[str, int, bool]]:
    """Of each parameter its name, how many numbers it stands for, and whether it trains."""
    for name, parameter in model.named_parameters():
        if ".original_module." in name:  # what peft keeps of modules that train in full
            continue
        # bitsandbytes packs two weights of 4 bits into each byte
        size = parameter.numel() * (2 if type(parameter).__name__ == "Params4bit" else 1)
        yield name, size, parameter.requires_grad


def _part(name: str) -> str:
    """The pose encoder as a whole; of the text model its encoder, its decoder, its embeddings, ..."""
    if ".lora_" in name:
        return "adapters"
    first, _, rest = name.partition(".")
    inside = rest.removeprefix("model.").partition(".")[0]
    return f"{first}.{inside}" if first == "text_model" else first


def freeze(model: SignTranslationModel, *, encoder: bool = False, decoder: bool = False) -> None:
    """Keep the text model's encoder or decoder as it is; the pose encoder always trains.

    What both sides share, as most models do their token embeddings, belongs to the decoder here:
    pose embeddings take its place in the encoder. A decoder-only model is all decoder.

    Args:
        model: Changed in place.
        encoder: Freeze the text model's encoder.
        decoder: Freeze everything else of the text model.

    Raises:
        ModelError: If there is no encoder to freeze.
    """
    if encoder and model.is_causal:
        raise ModelError(
            f"model.freeze_encoder: a {model.text_model.config.model_type} model has no encoder; "
            "model.freeze_decoder freezes the whole text model."
        )
    inside = set() if model.is_causal else encoder_parameters(model.text_model)
    for parameter in model.text_model.parameters():
        if encoder if id(parameter) in inside else decoder:
            parameter.requires_grad_(False)


def encoder_parameters(text_model: Any) -> set[int]:
    """Which parameters of an encoder-decoder are the encoder's alone, by identity."""
    encoder = text_model.get_encoder()
    prefix = next(f"{name}." for name, module in text_model.named_modules() if module is encoder)
    named = list(text_model.named_parameters(remove_duplicate=False))
    outside = {id(parameter) for name, parameter in named if not name.startswith(prefix)}
    return {id(parameter) for _, parameter in named} - outside

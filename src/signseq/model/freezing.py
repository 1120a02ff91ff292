"""Which parameters train, and how many."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from signseq.errors import ModelError
from signseq.model.sign_translation import SignTranslationModel

__all__ = ["ParameterCount", "count_parameters", "freeze"]


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
    for name, parameter in model.named_parameters():
        if ".original_module." in name:  # what peft keeps of modules that train in full
            continue
        # bitsandbytes packs two weights of 4 bits into each byte
        size = parameter.numel() * (2 if type(parameter).__name__ == "Params4bit" else 1)
        total += size
        if parameter.requires_grad:
            part = name.partition(".")[0]
            trainable["adapters" if ".lora_" in name else part] += size
    return ParameterCount(total, **trainable)


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
    inside = set() if model.is_causal else _of_the_encoder(model)
    for parameter in model.text_model.parameters():
        if encoder if id(parameter) in inside else decoder:
            parameter.requires_grad_(False)


def _of_the_encoder(model: SignTranslationModel) -> set[int]:
    """Which parameters are the encoder's alone, by identity."""
    text_model: nn.Module = model.text_model
    encoder = model.text_model.get_encoder()
    prefix = next(f"{name}." for name, module in text_model.named_modules() if module is encoder)
    named = list(text_model.named_parameters(remove_duplicate=False))
    outside = {id(parameter) for name, parameter in named if not name.startswith(prefix)}
    return {id(parameter) for _, parameter in named} - outside

"""Which part of a model each parameter is in, and how many layers stand above it.

Optimizers make of it a rate for each depth (layer-wise decay: Howard and Ruder 2018, "Universal
Language Model Fine-tuning for Text Classification", arXiv:1801.06146).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from signseq.model.adapters import without_adapters
from signseq.model.architectures import unused_parameters
from signseq.model.sign_translation import SignTranslationModel

__all__ = ["ParameterGroup", "layers_above", "parameter_groups"]

POSE_ENCODER, EMBEDDINGS, HEAD = "pose_encoder", "embeddings", "head"
PEFT = "base_model.model."
ADAPTER_PARTS = ("modules_to_save.default.", "base_layer.")  # what peft puts into names


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters of one part.

    Attributes:
        name: `pose_encoder`, `embeddings`, `encoder.0`, ..., `encoder.end`, `decoder.0`, ...,
            `decoder.end` or `head`; a decoder-only model is all decoder.
        above: Layers of its own stack that stand above it. 0 for the last layer, what follows the last
            layer, the head and the pose encoder. A shorter stack ends where the longer one does.
        parameters: Their names, as `model.named_parameters()` has them.
    """

    name: str
    above: int
    parameters: tuple[str, ...]


def parameter_groups(model: nn.Module) -> list[ParameterGroup]:
    """Divide a model's parameters by where they are, from the poses to the words.

    Shared weights are in the group of the name that they come first under: embeddings that are also the
    output's are embeddings. What takes no part is in no group: what peft keeps of modules that
    train in full, and towers of a text model that read no text.

    Args:
        model: A SignTranslationModel, or peft's wrapper around one.
    """
    inside = without_adapters(model)
    unused = unused_parameters(inside.text_model.config)
    place = _Places(inside)
    found: dict[str, list[str]] = {}
    for name, _ in model.named_parameters():
        plain = _plain(name)
        if ".original_module." in name or any(part in plain for part in unused):
            continue
        found.setdefault(place(plain), []).append(name)
    lengths = {
        stack: 1
        + max((int(g.rpartition(".")[2]) for g in found if _is_layer(g, stack)), default=-1)
        for stack in ("encoder", "decoder")
    }
    longest = max(lengths.values())

    def above(group: str) -> int:
        stack, _, number = group.partition(".")
        if number.isdecimal():
            return lengths[stack] - 1 - int(number)
        return longest if group == EMBEDDINGS else 0

    groups = [ParameterGroup(name, above(name), tuple(names)) for name, names in found.items()]
    return sorted(groups, key=lambda group: _order(group.name))


def layers_above(model: nn.Module) -> dict[str, int]:
    """Of each parameter how many layers stand above it; by its name without peft's prefix."""
    return {
        name.removeprefix(PEFT): group.above
        for group in parameter_groups(model)
        for name in group.parameters
    }


class _Places:
    """Finds the group of a parameter by its name."""

    def __init__(self, model: SignTranslationModel) -> None:
        text_model: Any = model.text_model
        self._encoder = None if model.is_causal else _prefix(text_model, text_model.get_encoder())
        self._embeddings = tuple(
            _plain(f"text_model.{name}.")
            for name, module in text_model.named_modules()
            if isinstance(module, nn.Embedding)
        )
        head = text_model.get_output_embeddings()
        has_own = head is not None and not isinstance(head, nn.Embedding)  # FSMT names its tokens'
        self._head = _prefix(text_model, head) if has_own else None

    def __call__(self, name: str) -> str:
        if name.startswith(f"{POSE_ENCODER}."):
            return POSE_ENCODER
        if self._head is not None and name.startswith(self._head):
            return HEAD
        in_encoder = self._encoder is not None and name.startswith(self._encoder)
        stack = "encoder" if in_encoder else "decoder"
        number = next((part for part in name.split(".") if part.isdecimal()), None)
        if number is not None:
            return f"{stack}.{number}"
        if name.startswith(self._embeddings) or "embed" in name:  # their projections and norms too
            return EMBEDDINGS
        return f"{stack}.end"


def _prefix(text_model: nn.Module, wanted: nn.Module) -> str:
    names = (name for name, module in text_model.named_modules() if module is wanted)
    return _plain(f"text_model.{next(names)}.")


def _plain(name: str) -> str:
    for part in ADAPTER_PARTS:
        name = name.replace(part, "")
    return name.removeprefix(PEFT)


def _is_layer(group: str, stack: str) -> bool:
    head, _, number = group.partition(".")
    return head == stack and number.isdecimal()


def _order(group: str) -> tuple[int, int]:
    parts = (POSE_ENCODER, EMBEDDINGS, "encoder", "decoder", HEAD)
    stack, _, number = group.partition(".")
    return parts.index(stack), int(number) if number.isdecimal() else len(group) * 1000

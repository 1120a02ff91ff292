"""The outline of a model: all modules at their true size, but without a number in them.

Built on torch's meta device, a model of any size is there in a second, on any machine: tensors have
shapes, but take no memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from signseq.model.architectures import has_positions, unused_parameters
from signseq.model.lora_targets import find_targets, linear_layers
from signseq.model.sign_translation import SignTranslationConfig, SignTranslationModel
from signseq.model.text_models import text_model_from_config

__all__ = ["QuantizedLinear", "add_adapters", "outline", "parameter_count", "sign_outline"]


def outline(config: PreTrainedConfig, *, has_own_head: bool = False) -> PreTrainedModel:
    """Make a text model that was never trained; without a number under `torch.device("meta")`.

    Args:
        config: The text model's.
        has_own_head: Its output layer is not its token embedding, whatever the config says.

    Raises:
        ModelError: If the config's sizes don't fit each other.
    """
    text_model: Any = text_model_from_config(config)
    head = text_model.get_output_embeddings()
    if has_own_head:
        head.weight = nn.Parameter(head.weight.detach().clone())
        name = next(name for name, module in text_model.named_modules() if module is head)
        text_model.all_tied_weights_keys.pop(f"{name}.weight", None)  # or it is tied once more
    unused = unused_parameters(config)
    for name, parameter in text_model.named_parameters():
        parameter.requires_grad_(not any(part in name for part in unused))
    made: PreTrainedModel = text_model
    return made


def sign_outline(
    text_model: PreTrainedModel,
    *,
    encoder: Mapping[str, Any],
    keypoints: Sequence[str],
    dimensions: int,
    label_smoothing: float = 0.0,
) -> SignTranslationModel:
    """Put a pose encoder in front of an outline, under the same device.

    Args:
        text_model: What `outline` made.
        encoder: As for `build_model`.
        keypoints: The K names.
        dimensions: C.
        label_smoothing: In training.
    """
    positions = encoder["positions"]
    is_without = not has_positions(text_model.config)
    config = SignTranslationConfig(
        text_model=text_model.config.to_dict(),
        encoder={
            **encoder,
            "positions": positions == "sinusoidal" or (positions == "auto" and is_without),
        },
        recipe={"dimensions": dimensions},
        keypoints=list(keypoints),
        label_smoothing=label_smoothing,
        pad_token_id=0,
    )
    return SignTranslationModel(config, text_model=text_model)


def parameter_count(module: nn.Module) -> int:
    """Parameters, each counted once where several modules share it."""
    return sum(parameter.numel() for parameter in module.parameters())


class AdaptedLinear(nn.Module):
    """A linear layer with an adapter, as peft computes it; importing peft takes seconds.

    Args:
        base: The layer.
        rank: Of the adapter.
    """

    def __init__(self, base: nn.Module, rank: int) -> None:
        super().__init__()
        inputs, outputs = _shape(base)
        self.base = base
        self.dropout = nn.Dropout(0.1)
        self.down = nn.Linear(inputs, rank, bias=False)
        self.up = nn.Linear(rank, outputs, bias=False)

    @property
    def weight(self) -> Any:
        """The layer's own, at which some models look."""
        return self.base.weight

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        change = self.up(self.down(self.dropout(inputs.to(self.down.weight.dtype))))
        outputs: Tensor = self.base(inputs) + change * 2.0
        return outputs


class QuantizedLinear(nn.Module):
    """A linear layer as bitsandbytes computes it: in bfloat16, keeping nothing for the way back.

    Args:
        base: The layer.
    """

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        inputs, outputs = _shape(base)
        self.weight = nn.Parameter(torch.empty(outputs, inputs, dtype=torch.bfloat16))
        self.bias: Any = base.bias

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        bias = None if self.bias is None else self.bias.to(self.weight.dtype)
        return F.linear(inputs.to(self.weight.dtype), self.weight, bias).to(inputs.dtype)


def _shape(layer: Any) -> tuple[int, int]:
    if isinstance(layer, QuantizedLinear):
        return layer.weight.shape[1], layer.weight.shape[0]
    if isinstance(layer, Conv1D):  # GPT-2's, transposed
        return layer.weight.shape[0], layer.weight.shape[1]
    return layer.in_features, layer.out_features


def add_adapters(
    text_model: PreTrainedModel,
    *,
    rank: int,
    targets: list[str] | str | None,
    quantize: bool,
    in_full: Sequence[str] = (),
) -> None:
    """Freeze a text model and add adapters, as LoRA and QLoRA do.

    Args:
        text_model: Changed in place.
        rank: Of the adapters.
        targets: As for `find_targets`.
        quantize: Whether the linear layers are quantized: all but the output layer, and what the
            model keeps in float32.
        in_full: Names of modules that train in full, and so take no adapter.

    Raises:
        ModelError: If `targets` match nothing.
    """
    names = [name for name in find_targets(text_model, targets) if not is_inside(name, in_full)]
    if quantize:
        kept = text_model._keep_in_fp32_modules or ()  # T5's second feed-forward layer
        for name in linear_layers(text_model):
            if not set(kept) & set(name.split(".")):
                text_model.set_submodule(name, QuantizedLinear(text_model.get_submodule(name)))
    text_model.requires_grad_(False)
    for name in names:
        text_model.set_submodule(name, AdaptedLinear(text_model.get_submodule(name), rank))
    for name in in_full:
        text_model.get_submodule(name).requires_grad_(True)


def is_inside(name: str, modules: Sequence[str]) -> bool:
    """Whether a module is one of some, or a part of one."""
    return any(f"{name}.".startswith(f"{module}.") for module in modules)

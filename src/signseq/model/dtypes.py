"""A trained model's weights in other number formats, to translate with: faster, smaller, a bit less exact."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from signseq.errors import ConfigError, ModelError
from signseq.model.sign_translation import SignTranslationModel

__all__ = ["Dtype", "Int8Linear", "check_dtype", "convert_model"]

Dtype = Literal["auto", "float32", "bfloat16", "float16", "int8"]
FLOATS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
LARGEST = 127  # of 8 bits; -128 is left out, so that both signs reach equally far
TINY = 1e-12  # a row of zeros is divided by this


class Int8Linear(nn.Module):
    """A linear layer with weights in 8 bits, a scale for each output; inputs get theirs row by row.

    Args:
        layer: The layer whose weights are taken.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        weight = layer.weight.detach().float()
        scale = weight.abs().amax(dim=1).clamp(min=TINY) / LARGEST
        rounded = (weight / scale[:, None]).round().to(torch.int8)
        # (in, out): what the product below is fastest with. T5 asks `weight` for its dtype.
        self.register_buffer("weight", rounded.t().contiguous())
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().float())
        self.weight: Tensor
        self.scale: Tensor
        self.bias: Tensor | None

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        rows = inputs.reshape(-1, self.in_features)
        scale = rows.abs().amax(dim=1, keepdim=True).clamp(min=TINY) / LARGEST
        # What torchao multiplies with, too; torch.ao's own quantized layers are deprecated.
        product = torch._int_mm((rows / scale).round().to(torch.int8), self.weight)
        outputs = product.to(inputs.dtype) * scale * self.scale
        if self.bias is not None:
            outputs = outputs + self.bias
        return outputs.view(*inputs.shape[:-1], self.out_features)


def check_dtype(dtype: str) -> Dtype:
    """One that there is.

    Raises:
        ConfigError: If there is none of that name.
    """
    for known in get_args(Dtype):
        if dtype == known:
            return known  # type: ignore[no-any-return]
    raise ConfigError(f"dtype = {dtype!r}: expected one of {', '.join(get_args(Dtype))}.")


def convert_model(model: SignTranslationModel, dtype: Dtype) -> None:
    """Change a model's numbers, in place.

    Args:
        model: On the device that it is to run on, in evaluation mode.
        dtype: `int8` quantizes the text model's linear layers and needs a CPU; `auto` changes nothing.

    Raises:
        ModelError: If that can't work with this model, or on this device.
    """
    if dtype == "auto":
        return
    if getattr(model.text_model, "is_quantized", False):  # set by transformers where it quantizes
        raise ModelError(
            f"dtype = {dtype}: this checkpoint's text model is in 4 or 8 bits already. Leave the dtype out, or write "
            "a full checkpoint first, with: signseq merge CHECKPOINT OUT"
        )
    if dtype == "int8":
        _quantize(model)
        return
    model.to(FLOATS[dtype])  # type: ignore[arg-type]
    if dtype == "float16":
        _keep_in_float32(model.text_model)


def _quantize(model: SignTranslationModel) -> None:
    if model.device.type != "cpu":
        raise ModelError(
            f"dtype = int8: works on a CPU, and the model is on {model.device}. Take bfloat16, or --device cpu "
            "(in Python, device='cpu')."
        )
    model.to(torch.float32)  # type: ignore[arg-type]
    found = [
        (parent, name, child)
        for parent in model.text_model.modules()
        for name, child in parent.named_children()
        if type(child) is nn.Linear  # torch's attention reads the weights of its own kind of them
    ]
    if not found:
        raise ModelError(
            f"dtype = int8: the {model.text_model.config.model_type} model has no linear layers of torch's. Take "
            "bfloat16."
        )
    quantized = {id(child): Int8Linear(child) for _, _, child in found}
    for parent, name, child in found:
        setattr(parent, name, quantized[id(child)])


def _keep_in_float32(text_model: nn.Module) -> None:
    """What transformers says leaves float16's range: T5's `wo`."""
    kept = getattr(text_model, "_keep_in_fp32_modules", None) or ()
    for name, module in text_model.named_modules():
        if name.rpartition(".")[2] in kept:
            module.float()

"""Where adapters go: one rule for the attention of every architecture."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from signseq.errors import ModelError
from signseq.model.architectures import unused_parameters

__all__ = [
    "ALL_LINEAR",
    "cross_attention",
    "find_modules",
    "find_targets",
    "linear_layers",
]

ALL_LINEAR = "all-linear"

# What architectures call the projections that make queries and values, which the paper adapts
# (arXiv:2106.09685), and the one layer that makes both where there is but one.
QUERIES_AND_VALUES = (
    *("q_proj", "v_proj", "q", "v", "query", "value", "query_proj", "value_proj"),
    *("c_attn", "q_attn", "query_key_value", "qkv_proj", "Wqkv", "q_b_proj", "kv_b_proj"),
)

# What decoders call the attention to an encoder that is added to them, and what belongs to it.
CROSS_ATTENTION = ("crossattention", "ln_cross_attn", "enc_to_dec_proj", "encoder_attn")


def linear_layers(text_model: PreTrainedModel) -> list[str]:
    """Names of the layers that can take an adapter: all linear ones that take part, but the output layer.

    An output layer shares its weights with the token embeddings in most models; where it doesn't,
    it is still the largest layer of all, and left out as it is usual.
    """
    unused = unused_parameters(text_model.config)
    output = text_model.get_output_embeddings()
    embeddings = {
        id(parameter)
        for module in text_model.modules()
        if isinstance(module, nn.Embedding)
        for parameter in module.parameters()
    }
    return [
        name
        for name, module in text_model.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and module is not output
        and id(module.weight) not in embeddings
        and not any(part in name for part in unused)
    ]


def find_targets(
    text_model: PreTrainedModel,
    wanted: Sequence[str] | str | None = None,
    *,
    exclude: Sequence[str] | str | None = None,
) -> list[str]:
    """Names of the layers of a text model that adapters are added to.

    A name also stands for all layers whose name ends with it (`q`, `SelfAttention.q`); what holds
    other characters than a name does is a regular expression for whole names.

    Args:
        text_model: Any text model; it may be on the meta device, or quantized.
        wanted: Names or expressions, or `all-linear`. None takes the queries and values of every
            attention.
        exclude: Names or expressions of layers to leave out.

    Raises:
        ModelError: If one of them matches no layer, or none is left.
    """
    layers = linear_layers(text_model)
    asked = [wanted] if isinstance(wanted, str) else list(wanted or ())
    if wanted is None:
        found = {layer for name in QUERIES_AND_VALUES for layer in _matching(layers, name)}
    elif wanted == ALL_LINEAR:
        found = set(layers)
    else:
        found = {layer for name in asked for layer in _matching(layers, name)}
        missing = [name for name in asked if not _matching(layers, name)]
        if missing:
            raise _no_layer(text_model, f"{', '.join(missing)} matches no linear layer", layers)
    for name in [exclude] if isinstance(exclude, str) else exclude or ():
        left_out = set(_matching(layers, name))
        if not left_out:
            raise ModelError(
                f"model.lora_config.exclude_modules: {name} matches no linear layer. Leave it out, or mend it."
            )
        found -= left_out
    if not found:
        what = "queries and values" if wanted is None else ", ".join(asked) or "an empty list"
        raise _no_layer(text_model, f"no layer is found for {what}", layers)
    return [layer for layer in layers if layer in found]


def find_modules(text_model: PreTrainedModel, wanted: Sequence[str]) -> list[str]:
    """Names of the modules of a text model that are to train in full beside the adapters.

    Args:
        text_model: Any text model.
        wanted: Their names, or ends of them.

    Raises:
        ModelError: If a name matches none, or one that can't train apart from the rest.
    """
    kind = text_model.config.model_type
    modules = dict(text_model.named_modules())
    found = {name: _matching(list(modules), name) for name in wanted}
    for name, matches in found.items():
        if not matches:
            raise ModelError(
                f"model.lora_config.modules_to_save: this {kind} model has no {name!r}."
            )
    names = list(dict.fromkeys(match for matches in found.values() for match in matches))
    for name in names:
        inside = {id(parameter) for parameter in modules[name].parameters()}
        shared = [
            other
            for other, parameter in text_model.named_parameters(remove_duplicate=False)
            if id(parameter) in inside and not other.startswith(f"{name}.")
        ]
        if shared:
            raise ModelError(
                f"model.lora_config.modules_to_save: {name} of this {kind} model has its weights in common with "
                f"{shared[0].rpartition('.')[0]}, so it can't train alone. Leave it out."
            )
        if not all(parameter.is_floating_point() for parameter in modules[name].parameters()):
            raise ModelError(
                f"model.lora_config.modules_to_save: {name} is quantized, so it can't train in full. Leave it out, or "
                "set model.load_in_4bit and load_in_8bit to false."
            )
    return names


def cross_attention(text_model: PreTrainedModel) -> list[str]:
    """Names of the modules by which the decoder of a composite sees its encoder."""
    return [
        name for name, _ in text_model.named_modules() if name.rpartition(".")[2] in CROSS_ATTENTION
    ]


def _matching(layers: Sequence[str], name: str) -> list[str]:
    if re.fullmatch(r"[\w.]+", name):
        name = name.removeprefix("text_model.")
        return [layer for layer in layers if layer == name or layer.endswith(f".{name}")]
    pattern = re.compile(rf"(text_model\.)?(?:{name})")
    return [layer for layer in layers if pattern.fullmatch(f"text_model.{layer}")]


def _no_layer(text_model: PreTrainedModel, what: str, layers: Sequence[str]) -> ModelError:
    ends = dict.fromkeys(layer.rpartition(".")[2] for layer in layers)
    return ModelError(
        f"model.lora_config.target_modules: {what} in this {text_model.config.model_type} model, whose linear layers "
        f"are called {', '.join(end for end in ends if not end.isdecimal())}. Name some of these, or set it to "
        f"{ALL_LINEAR}."
    )

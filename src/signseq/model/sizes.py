"""The config of a text model from scratch: sizes under one name for all architectures, and special tokens."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import torch
import transformers
from transformers import (
    AutoConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from signseq.errors import ModelError
from signseq.model.architectures import is_causal, nested_settings

__all__ = ["check_weights_fit", "fit_to_tokenizer", "is_dropout", "resize", "set_dropout"]

FLOAT32_BYTES = 4
# The four sizes that every architecture has, under its own names.
SIZE_KEYS = {
    "width": ("d_model", "hidden_size", "n_embd", "word_embed_proj_dim"),
    "layers": (
        *("encoder_layers", "decoder_layers", "num_layers", "num_decoder_layers"),
        *("num_encoder_layers", "num_hidden_layers", "n_layer"),
    ),
    "heads": (
        *("encoder_attention_heads", "decoder_attention_heads", "num_heads", "n_head"),
        *("num_encoder_attention_heads", "num_decoder_attention_heads"),
        *("num_attention_heads", "num_key_value_heads"),
    ),
    "feed_forward": (
        *("encoder_ffn_dim", "decoder_ffn_dim", "d_ff", "intermediate_size", "ffn_dim", "n_inner"),
    ),
}
HEAD_KEYS = ("d_kv", "head_dim")  # the width of one head
# The main dropout, of hidden states: the first of these that a config has. Qwen, Llama and their kin drop
# attention weights only.
DROPOUT_KEYS = (
    *(
        ("dropout",),
        ("dropout_rate",),
        ("hidden_dropout_prob",),
        ("resid_pdrop", "embd_pdrop", "emb_pdrop"),
    ),
    *(("residual_dropout", "embedding_dropout"), ("resid_dropout", "embed_dropout")),
    *(("hidden_dropout",), ("attention_dropout",)),
)
VOCABULARY_KEYS = ("vocab_size", "src_vocab_size", "tgt_vocab_size", "decoder_vocab_size")
# Follow from the sizes: made anew by the config's own class.
DERIVED = ("layer_types",)
SPARSE_STEPS = ("encoder_sparse_step", "decoder_sparse_step")
SPARSE_LAYERS = {
    "num_sparse_encoder_layers": "num_layers",
    "num_sparse_decoder_layers": "num_decoder_layers",
}


def resize(
    config: PreTrainedConfig, sizes: Mapping[str, int], settings: Mapping[str, Any]
) -> PreTrainedConfig:
    """Make a config of the same architecture with other sizes.

    Args:
        config: Not changed.
        sizes: SizeConfig's fields: width, layers, heads, feed_forward.
        settings: Further settings by the architecture's own names, dotted where nested.

    Raises:
        ModelError: If the architecture lacks one of them.
    """
    values = config.to_dict()
    parts = [values, *(_nested(values))]
    _fit_experts(parts, sizes.get("layers"))
    for size, value in sizes.items():
        found = [part for part in parts if any(key in part for key in SIZE_KEYS[size])]
        if not found:
            raise ModelError(f"model.size.{size}: {config.model_type} models have no such size.")
        for part in found:
            part.update({key: value for key in SIZE_KEYS[size] if key in part})
    if {"width", "heads"} & set(sizes):
        for part in parts:
            _fit_heads(part)
    for part in parts if "layers" in sizes else ():
        _fit_layers(part, sizes["layers"])
    _apply(values, settings, kind=config.model_type)
    return rebuild(values)


def rebuild(values: Mapping[str, Any]) -> PreTrainedConfig:
    """A config object of plain values.

    Raises:
        ModelError: If the config's own class refuses them.
    """
    kind = values["model_type"]
    if kind not in CONFIG_MAPPING:
        raise ModelError(
            f"transformers {transformers.__version__} has no models of type {kind!r}; a newer version may."
        )
    try:
        return AutoConfig.for_model(**deepcopy(dict(values)))
    except Exception as fault:  # validated by huggingface_hub's own, private exceptions
        reason = str(fault).strip().splitlines()[-1].strip()
        raise ModelError(f"A {kind} model can't be made with these sizes: {reason}") from fault


def _nested(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for key in nested_settings(values):
        yield values[key]
        yield from _nested(values[key])


def _fit_heads(part: dict[str, Any]) -> None:
    width = next((part[key] for key in SIZE_KEYS["width"] if part.get(key)), None)
    heads = next((part[key] for key in SIZE_KEYS["heads"] if part.get(key)), None)
    for key in HEAD_KEYS:
        if part.get(key) and width and heads:
            part[key] = width // heads


def _fit_layers(part: dict[str, Any], layers: int) -> None:
    for key in DERIVED:
        part.pop(key, None)
    for key in SPARSE_STEPS:  # every so-manieth layer has experts: at least one
        if part.get(key):
            part[key] = min(part[key], layers)


def _fit_experts(parts: list[dict[str, Any]], layers: int | None) -> None:
    """As large a share of the layers has experts as before, one at least."""
    for part in parts if layers is not None else ():
        for key, whole in SPARSE_LAYERS.items():
            if part.get(key) and part.get(whole):
                part[key] = max(1, round(layers * part[key] / part[whole]))


def _apply(values: dict[str, Any], settings: Mapping[str, Any], *, kind: str) -> None:
    for name, value in settings.items():
        *path, key = name.split(".")
        part: Any = values
        for step in path:
            part = part.get(step) if isinstance(part, dict) else None
        if not isinstance(part, dict) or key not in part:
            known = [
                *values,
                *(f"{inner}.{key}" for inner in nested_settings(values) for key in values[inner]),
            ]
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ModelError(f"model.config: {kind} has no setting {name!r}{hint}")
        if isinstance(part[key], dict) and isinstance(value, Mapping):
            _apply(part[key], value, kind=f"{kind}.{key}")
        else:
            part[key] = value


def fit_to_tokenizer(
    config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase
) -> PreTrainedConfig:
    """Vocabulary size and special tokens; a decoder starts with the end token, as BART's does."""
    values = config.to_dict()
    for part in (values, *_nested(values)):
        part.update({key: len(tokenizer) for key in VOCABULARY_KEYS if key in part})
        part["pad_token_id"] = tokenizer.pad_token_id
        part["eos_token_id"] = tokenizer.eos_token_id
        part["bos_token_id"] = tokenizer.bos_token_id
        for key in ("forced_bos_token_id", "forced_eos_token_id"):
            if key in part:
                part[key] = None
    if not is_causal(config):
        values["decoder_start_token_id"] = tokenizer.eos_token_id
    return rebuild(values)


def check_weights_fit(
    config: PreTrainedConfig, make: Callable[[PreTrainedConfig], PreTrainedModel]
) -> None:
    """Count a large model's weights before they are made: a process that takes all memory is killed without a word.

    Args:
        config: Of the model that is to be made.
        make: What makes it.

    Raises:
        ModelError: If they are more than the machine has memory for; with both numbers.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if _least_parameters(config) * FLOAT32_BYTES < memory / 8:
        return  # far too few for that
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = make(config)
    count = sum(parameter.numel() for parameter in model.parameters())
    if count * FLOAT32_BYTES > memory:
        raise ModelError(
            f"A {config.model_type} model of these sizes has {count:,} parameters, whose weights alone take "
            f"{count * FLOAT32_BYTES / 2**30:,.0f} GiB in float32; this machine has {memory / 2**30:,.0f} GiB. "
            "Lower model.size."
        )


def _least_parameters(config: PreTrainedConfig) -> int:
    """How many parameters a model has at least, by its config: those of its larger side's feed-forward layers."""
    values = config.to_dict()
    sides = []
    for part in (values, *_nested(values)):
        width, layers, inner = (
            [part[key] for key in SIZE_KEYS[size] if isinstance(part.get(key), int)]
            for size in ("width", "layers", "feed_forward")
        )
        if width and layers:
            sides.append(2 * min(width) * min(inner or width) * max(layers))
    return max(sides, default=0)


def set_dropout(config: PreTrainedConfig, dropout: float) -> None:
    """Change the dropout, whatever the architecture and its parts call it.

    The main one takes the value. What else is dropped (attention weights, activations, layers) is never more
    than that, so 0 turns all of it off, and keeps the model's own share below.
    """
    for part in [config, *_parts(config)]:
        known = part.to_dict()
        main = next((keys for keys in DROPOUT_KEYS if keys[0] in known), ())
        for key, value in known.items():
            if key in main or (is_dropout(key, value) and value > dropout):
                setattr(part, key, dropout)


def is_dropout(key: str, value: Any) -> bool:
    """Whether a setting of transformers' is the probability that something is dropped."""
    return "drop" in key and isinstance(value, int | float) and not isinstance(value, bool)


def _parts(config: PreTrainedConfig) -> Iterator[PreTrainedConfig]:
    for value in vars(config).values():
        if isinstance(value, PreTrainedConfig):
            yield value
            yield from _parts(value)

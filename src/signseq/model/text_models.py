"""Text models and tokenizers: found by hub name or folder, or made from scratch; and what is special to each.

The only module that knows one architecture from another.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES

from signseq.config import ModelConfig
from signseq.errors import ModelError
from signseq.model.word_tokenizer import train_tokenizer

__all__ = [
    "embedding_scale",
    "embedding_shape",
    "has_positions",
    "load_text_model",
    "load_tokenizer",
    "position_limit",
    "text_model_from_config",
]

logger = logging.getLogger(__name__)

# Only relative positions, inside self-attention: cross-attention can't tell equal inputs apart.
WITHOUT_POSITIONS = {"t5", "mt5", "umt5", "longt5", "switch_transformers", "t5gemma", "t5gemma2"}
# Positions that are computed for any length, or none at all.
WITHOUT_LIMIT = WITHOUT_POSITIONS | {
    *("m2m_100", "nllb-moe", "seamless_m4t", "seamless_m4t_v2", "pegasus_x", "fsmt"),
}
LIMIT_KEYS = {
    "encoder": ("max_encoder_position_embeddings", "max_position_embeddings"),
    "decoder": ("max_decoder_position_embeddings", "max_position_embeddings"),
}

# The four sizes that every architecture has, under its own names.
SIZE_KEYS = {
    "width": ("d_model", "hidden_size"),
    "layers": (
        "encoder_layers",
        "decoder_layers",
        "num_layers",
        "num_decoder_layers",
        "num_encoder_layers",
    ),
    "heads": ("encoder_attention_heads", "decoder_attention_heads", "num_heads"),
    "feed_forward": ("encoder_ffn_dim", "decoder_ffn_dim", "d_ff"),
}
DROPOUT_KEYS = ("dropout", "dropout_rate")


def has_positions(config: PreTrainedConfig) -> bool:
    """Whether the text model's encoder marks absolute positions itself."""
    return config.model_type not in WITHOUT_POSITIONS


def position_limit(
    config: PreTrainedConfig, side: Literal["encoder", "decoder"] = "encoder"
) -> int | None:
    """The most positions that one side of the text model takes; None where there is no limit."""
    if config.model_type in WITHOUT_LIMIT:
        return None
    settings = config.to_dict()
    settings = settings[side] if isinstance(settings.get(side), dict) else settings
    return next((int(settings[key]) for key in LIMIT_KEYS[side] if settings.get(key)), None)


def embedding_shape(text_model: PreTrainedModel) -> tuple[int, int]:
    """Rows V and width D of the text model's token embeddings."""
    weight = next(text_model.get_input_embeddings().parameters())
    return weight.shape[0], weight.shape[1]


@torch.no_grad()
def embedding_scale(text_model: PreTrainedModel) -> float:
    """Root mean square of the text model's own token embeddings, as they enter its encoder."""
    embedding = text_model.get_input_embeddings()
    ids = torch.arange(
        min(1000, text_model.config.vocab_size), device=next(embedding.parameters()).device
    )
    return float(embedding(ids).float().pow(2).mean().sqrt())


def load_tokenizer(settings: ModelConfig, texts: Iterable[str]) -> PreTrainedTokenizerBase:
    """Load the tokenizer that the config names, or train one on `texts`.

    Raises:
        ModelError: If it can't be found.
    """
    if settings.tokenizer == "train":
        return train_tokenizer(texts)
    name = settings.tokenizer or settings.name
    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=settings.trust_remote_code)
    except Exception as fault:  # transformers raises whatever its parts raise
        raise ModelError(_not_found("tokenizer", name, fault)) from fault


def load_text_model(settings: ModelConfig, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """Load the text model that the config names, or make it with random weights.

    Raises:
        ModelError: If it can't be found, isn't an encoder-decoder text model, or does not fit the
            tokenizer or the overrides.
    """
    config = _load_config(settings)
    if (
        config.model_type not in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
        or not config.is_encoder_decoder
    ):
        raise ModelError(
            f"model.name {settings.name!r} is of type {config.model_type!r}, which is no encoder-decoder text model. "
            "Choose a sequence-to-sequence model, for example t5-small, facebook/bart-base or google/mt5-small."
        )
    if settings.dropout is not None:
        _set_first(config, DROPOUT_KEYS, settings.dropout)
    # layers skipped at random leave parameters without gradient, which stops DDP
    for key in ("encoder_layerdrop", "decoder_layerdrop"):
        if hasattr(config, key):
            setattr(config, key, 0.0)
    if settings.from_scratch:
        if tokenizer.pad_token_id is None or tokenizer.eos_token_id is None:
            raise ModelError(
                f"The tokenizer {settings.tokenizer or settings.name!r} has no padding or no end token, which a "
                "decoder needs. Set model.tokenizer to that of a sequence-to-sequence model, or to train."
            )
        _fit_to_tokenizer(config, tokenizer)
        _apply_sizes(config, settings)
        return text_model_from_config(config)
    try:
        model: PreTrainedModel = AutoModelForSeq2SeqLM.from_pretrained(
            settings.name,
            config=config,
            dtype=torch.float32,  # half-precision checkpoints would stay in half precision
            use_safetensors=True,
            trust_remote_code=settings.trust_remote_code,
        )
    except Exception as fault:
        raise ModelError(_not_found("model", settings.name, fault)) from fault
    rows = embedding_shape(model)[0]
    if len(tokenizer) > rows:
        raise ModelError(
            f"The tokenizer {settings.tokenizer or settings.name!r} has {len(tokenizer)} tokens, the model "
            f"{settings.name!r} embeds {rows}; they don't belong together."
        )
    return model


def text_model_from_config(config: PreTrainedConfig) -> PreTrainedModel:
    """Make a text model with random weights.

    Raises:
        ModelError: If the sizes don't fit each other.
    """
    try:
        model: PreTrainedModel = AutoModelForSeq2SeqLM.from_config(config)
    except (ValueError, RuntimeError, AssertionError, TypeError) as fault:
        raise ModelError(
            f"A {config.model_type} model can't be made with these sizes: {fault}"
        ) from fault
    return model


def _load_config(settings: ModelConfig) -> PreTrainedConfig:
    name = settings.name
    try:
        found: PreTrainedConfig = (
            AutoConfig.for_model(name)
            if settings.from_scratch and not Path(name).exists() and name in CONFIG_MAPPING
            else AutoConfig.from_pretrained(name, trust_remote_code=settings.trust_remote_code)
        )
    except Exception as fault:
        raise ModelError(
            _not_found("model", name, fault, from_scratch=settings.from_scratch)
        ) from fault
    return found


def _not_found(what: str, name: str, fault: Exception, *, from_scratch: bool = False) -> str:
    reason = str(fault).strip().splitlines()[0] if str(fault).strip() else type(fault).__name__
    near = difflib.get_close_matches(name, MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES, n=1)
    scratch = ""
    if near and from_scratch:
        scratch = f" Did you mean the architecture {near[0]!r}?"
    elif near:
        scratch = (
            f" To train the architecture {near[0]!r} from scratch, set model.from_scratch: true."
        )
    return (
        f"The {what} {name!r} can't be loaded: {reason} It must be a local folder with config.json and "
        f"safetensors weights, or a name on the Hugging Face hub that can be reached or is in the cache "
        f"(unset HF_HUB_OFFLINE to download).{scratch}"
    )


def _fit_to_tokenizer(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    """Vocabulary size and special tokens; the decoder starts with the end token, as BART's does."""
    config.vocab_size = len(tokenizer)
    config.pad_token_id = tokenizer.pad_token_id
    config.eos_token_id = tokenizer.eos_token_id
    config.bos_token_id = tokenizer.bos_token_id
    config.decoder_start_token_id = tokenizer.eos_token_id
    for key in ("forced_bos_token_id", "forced_eos_token_id"):
        if hasattr(config, key):
            setattr(config, key, None)


def _apply_sizes(config: PreTrainedConfig, settings: ModelConfig) -> None:
    sizes = settings.size.model_dump(exclude_none=True) if settings.size else {}
    for size, value in sizes.items():
        keys = [key for key in SIZE_KEYS[size] if hasattr(config, key)]
        if not keys:
            raise ModelError(
                f"model.size.{size}: {config.model_type} models have no such setting at their top level. "
                "Set their sizes by their own names in model.config."
            )
        for key in keys:
            setattr(config, config.attribute_map.get(key, key), value)
    if hasattr(config, "d_kv") and {"width", "heads"} & set(sizes):
        config.d_kv = config.d_model // config.num_heads
    known = config.to_dict()
    for key, value in settings.config.items():
        if key not in known and not hasattr(config, key):
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ModelError(f"model.config: {config.model_type} has no setting {key!r}{hint}")
        setattr(config, key, value)


def _set_first(config: PreTrainedConfig, keys: tuple[str, ...], value: Any) -> None:
    for key in keys:
        if hasattr(config, key):
            setattr(config, key, value)
            return

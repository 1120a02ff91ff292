"""What is special to each architecture, read from its config alone.

Everything that tells one architecture from another stands here and in `feeding`; what is not named
behaves like BART.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from transformers import PreTrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

__all__ = [
    "ENCODER_DECODERS",
    "Side",
    "has_positions",
    "is_causal",
    "is_safe_in_float16",
    "position_limit",
    "reads_text",
    "refusal",
    "unused_parameters",
    "vocabulary_size",
]

Side = Literal["encoder", "decoder"]

ENCODER_DECODERS = tuple(MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES)

# Only relative positions, inside self-attention: cross-attention can't tell equal inputs apart.
WITHOUT_POSITIONS = {"t5", "mt5", "umt5", "longt5", "switch_transformers", "t5gemma", "t5gemma2"}
# Positions that are computed for any length, or none at all.
WITHOUT_LIMIT = WITHOUT_POSITIONS | {
    *("m2m_100", "nllb-moe", "seamless_m4t", "seamless_m4t_v2", "pegasus_x", "fsmt"),
}
LIMIT_KEYS = {
    "encoder": ("max_encoder_position_embeddings", "max_position_embeddings", "n_positions"),
    "decoder": ("max_decoder_position_embeddings", "max_position_embeddings", "n_positions"),
}

# Their first position is the one after the padding token's number: as many rows of the table are never used.
COUNTED_FROM_PADDING = {
    *("roberta", "xlm-roberta", "xlm-roberta-xl", "roberta-prelayernorm", "camembert", "xmod"),
    *("data2vec-text", "longformer", "mpnet", "esm", "ibert"),
}

# Their activations grow beyond what float16 holds (65,504); bfloat16 has float32's range.
# Source: the models' own cards and transformers' issues; they were trained in bfloat16.
UNSAFE_IN_FLOAT16 = WITHOUT_POSITIONS | {
    *("pegasus", "pegasus_x", "bigbird_pegasus", "gemma", "gemma2", "gemma3_text"),
}

# Parameters that nothing reaches when poses come in and text goes out, by a part of their name.
# They are frozen, so that several processes don't wait for gradients that never come.
UNUSED = {
    "t5gemma2": ("vision_tower", "multi_modal_projector", "eoi_embedding"),
    "encoder-decoder": ("encoder.pooler", "decoder.pooler"),
}


def is_causal(config: PreTrainedConfig) -> bool:
    """Whether a text model is decoder-only: poses and text stand in one sequence."""
    return not config.is_encoder_decoder


def refusal(config: PreTrainedConfig) -> str | None:
    """Why a model of this type can't write text from embeddings; None where it can."""
    kind = config.model_type
    if {"AutoModelForSeq2SeqLM", "AutoModelForCausalLM"} & set(
        config.to_dict().get("auto_map") or ()
    ):
        return None  # code of its own says so
    if config.is_encoder_decoder and kind in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return None
    if kind in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return f"{kind!r} models listen to audio"
    if _has_other_senses(config):
        return f"{kind!r} models look at images or listen to audio"
    if kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        return (
            f"{kind!r} models only read; with model.decoder_name they can be a composite's encoder"
        )
    if not config.is_encoder_decoder and kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return None
    return f"{kind!r} models don't write text from text"


MODALITIES = ("vision_config", "audio_config", "speech_config", "vision_tower_config")


def reads_text(config: PreTrainedConfig) -> bool:
    """Whether a model reads text, so that its encoder can read embeddings in a composite."""
    names = {*MODEL_FOR_MASKED_LM_MAPPING_NAMES, *MODEL_FOR_CAUSAL_LM_MAPPING_NAMES}
    return config.model_type in names and not _has_other_senses(config)


def _has_other_senses(config: PreTrainedConfig) -> bool:
    return any(isinstance(config.to_dict().get(name), dict) for name in MODALITIES)


def has_positions(config: PreTrainedConfig) -> bool:
    """Whether the text model tells equal inputs at different places apart by itself."""
    return config.model_type not in WITHOUT_POSITIONS


def position_limit(config: PreTrainedConfig, side: Side = "encoder") -> int | None:
    """The most positions that one side of the text model takes; None where there is no limit.

    A decoder-only model has one limit, for poses, prompt and text together.
    """
    if config.model_type in WITHOUT_LIMIT:
        return None
    settings = _side_settings(config.to_dict(), side)
    if settings.get("model_type") in WITHOUT_LIMIT:
        return None
    limit = next((int(settings[key]) for key in LIMIT_KEYS[side] if settings.get(key)), None)
    if limit is not None and settings.get("model_type") in COUNTED_FROM_PADDING:
        limit -= int(settings.get("pad_token_id") or 0) + 1
    return limit


def _side_settings(settings: dict[str, Any], side: Side) -> dict[str, Any]:
    """The part of a config that describes one side, where sides have configs of their own."""
    nested = settings.get(side)
    return nested if isinstance(nested, dict) else settings


def vocabulary_size(config: PreTrainedConfig) -> int:
    """Tokens that the text model can write."""
    settings = _side_settings(config.to_dict(), "decoder")
    for key in ("tgt_vocab_size", "decoder_vocab_size", "vocab_size"):
        if settings.get(key) is not None:
            return int(settings[key])
    text_config: Any = config.get_text_config(decoder=True)
    return int(text_config.vocab_size)


def is_safe_in_float16(config: PreTrainedConfig) -> bool:
    """Whether float16, with its smaller range, can be used where there is no bfloat16."""
    return config.model_type not in UNSAFE_IN_FLOAT16


def unused_parameters(config: PreTrainedConfig) -> tuple[str, ...]:
    """Parts of the names of parameters that never take part; see UNUSED."""
    return UNUSED.get(config.model_type, ())


def nested_settings(settings: Mapping[str, Any]) -> list[str]:
    """The keys under which a config's values hold configs of parts."""
    return [
        key for key, value in settings.items() if isinstance(value, dict) and "model_type" in value
    ]

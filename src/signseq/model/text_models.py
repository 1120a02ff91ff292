"""Text models and tokenizers: found by hub name or folder, or made from scratch."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    EncoderDecoderConfig,
    EncoderDecoderModel,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from signseq.config import ModelConfig, VocabularyConfig
from signseq.errors import ModelError
from signseq.model.architectures import (
    is_causal,
    reads_text,
    refusal,
    unused_parameters,
    vocabulary_size,
)
from signseq.model.hub import not_found
from signseq.model.sizes import check_weights_fit, fit_to_tokenizer, resize, set_dropout
from signseq.model.targets import end_token, padding_token
from signseq.model.vocabulary import train_tokenizer

__all__ = [
    "embedding_scale",
    "embedding_shape",
    "has_tokenizer",
    "load_text_config",
    "load_text_model",
    "load_tokenizer",
    "text_model_from_config",
]

logger = logging.getLogger(__name__)
TOKENIZER_FILES = ("tokenizer*", "*.model", "vocab*")


def embedding_shape(text_model: PreTrainedModel) -> tuple[int, int]:
    """Rows V and width D of the token embeddings that the text model's input is made of."""
    embedding: Any = text_model.get_input_embeddings()
    return int(embedding.num_embeddings), int(embedding.embedding_dim)


@torch.no_grad()
def embedding_scale(text_model: PreTrainedModel) -> float:
    """Root mean square of the text model's own token embeddings, as they enter its encoder."""
    embedding = text_model.get_input_embeddings()
    rows = embedding_shape(text_model)[0]
    ids = torch.arange(min(1000, rows), device=next(embedding.parameters()).device)
    return float(embedding(ids).float().pow(2).mean().sqrt())


def load_tokenizer(settings: ModelConfig, texts: Iterable[str]) -> PreTrainedTokenizerBase:
    """Load the tokenizer that the config names, or train one on `texts`.

    Raises:
        ModelError: If it can't be found, or the texts are too few or too varied for one.
    """
    if settings.tokenizer == "train":
        vocabulary = settings.vocabulary or VocabularyConfig()
        return train_tokenizer(texts, kind=vocabulary.type, size=vocabulary.size)
    name = settings.tokenizer or settings.decoder_name or settings.name
    if Path(name).is_dir() and not has_tokenizer(Path(name)):
        raise ModelError(
            f"The folder {name!r} has no tokenizer's files. Put them there, or name a tokenizer in model.tokenizer."
        )
    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=settings.trust_remote_code)
    except Exception as fault:  # transformers raises whatever its parts raise
        raise ModelError(not_found("tokenizer", name, fault)) from fault


def has_tokenizer(folder: Path) -> bool:
    """Whether a model's folder has a tokenizer; without its files transformers makes one up."""
    return any(next(folder.glob(name), None) is not None for name in TOKENIZER_FILES)


def load_text_config(settings: ModelConfig) -> PreTrainedConfig:
    """Load the config of the text model that our config names; no weights.

    Raises:
        ModelError: If it can't be found, or is of a model that writes no text.
    """
    config = _load_config(settings, settings.name)
    if settings.decoder_name is not None:
        decoder = _load_config(settings, settings.decoder_name)
        _check_parts(settings, config, decoder)
        return EncoderDecoderConfig.from_encoder_decoder_configs(config, decoder)
    reason = refusal(config)
    if reason:
        raise ModelError(
            f"model.name {settings.name!r}: {reason}. Choose a sequence-to-sequence model (t5-small, "
            "facebook/bart-base, google/mt5-small) or a causal language model (Qwen/Qwen2.5-0.5B); "
            "`signseq models` lists more."
        )
    if config.model_type == "bigbird_pegasus":
        # block-sparse attention switches itself off for good at the first short batch
        config.attention_type = "original_full"
    # layers skipped at random leave parameters without gradient, which stops DDP
    for key in ("encoder_layerdrop", "decoder_layerdrop", "layerdrop"):
        if key in config.to_dict():
            setattr(config, key, 0.0)
    return config


def load_text_model(
    settings: ModelConfig, tokenizer: PreTrainedTokenizerBase, *, quantization: Any = None
) -> PreTrainedModel:
    """Load the text model that the config names, or make it with random weights.

    Args:
        settings: The config's model section.
        tokenizer: The one that goes with it.
        quantization: transformers' quantization settings; None keeps the weights in float32.

    Raises:
        ModelError: If it can't be found, writes no text, or does not fit the tokenizer or the
            overrides.
    """
    config = load_text_config(settings)
    if padding_token(tokenizer) is None or end_token(tokenizer) is None:
        raise ModelError(
            f"The tokenizer {settings.tokenizer or settings.name!r} has no end token, or none to pad with, which a "
            "decoder needs. Set model.tokenizer to that of another model, or to train."
        )
    if settings.from_scratch:
        sizes = settings.size.model_dump(exclude_none=True) if settings.size else {}
        config = resize(fit_to_tokenizer(config, tokenizer), sizes, settings.config)
    if settings.dropout is not None:
        set_dropout(config, settings.dropout)
    if settings.from_scratch:
        make = partial(text_model_from_config, trust_remote_code=settings.trust_remote_code)
        check_weights_fit(config, make)
        model = make(config)
    else:
        model = _load_weights(settings, config, quantization=quantization)
        _check_vocabulary(model, settings, tokenizer)
    if config.model_type == "encoder-decoder":
        _name_special_tokens(model, tokenizer)
    _freeze_unused(model)
    return model


def text_model_from_config(
    config: PreTrainedConfig, *, trust_remote_code: bool = False
) -> PreTrainedModel:
    """Make a text model with random weights.

    Args:
        config: Its config.
        trust_remote_code: Run the code that came with the config, where transformers has none.

    Raises:
        ModelError: If the sizes don't fit each other.
    """
    factory: Any = AutoModelForCausalLM if is_causal(config) else AutoModelForSeq2SeqLM
    try:
        model: PreTrainedModel = factory.from_config(config, trust_remote_code=trust_remote_code)
    except (ValueError, RuntimeError, AssertionError, TypeError) as fault:
        raise ModelError(
            f"A {config.model_type} model can't be made with these sizes: {fault}"
        ) from fault
    return model


def _load_config(settings: ModelConfig, name: str) -> PreTrainedConfig:
    try:
        found: PreTrainedConfig = (
            AutoConfig.for_model(name)
            if settings.from_scratch and not Path(name).exists() and name in CONFIG_MAPPING
            else AutoConfig.from_pretrained(name, trust_remote_code=settings.trust_remote_code)
        )
    except Exception as fault:
        raise ModelError(
            not_found("model", name, fault, from_scratch=settings.from_scratch)
        ) from fault
    return found


def _load_weights(
    settings: ModelConfig, config: PreTrainedConfig, *, quantization: Any
) -> PreTrainedModel:
    how = {
        "dtype": torch.float32,  # half-precision checkpoints would stay in half precision
        "use_safetensors": True,
        "trust_remote_code": settings.trust_remote_code,
    }
    if quantization is not None:
        how["quantization_config"] = quantization
    try:
        if settings.decoder_name is not None:
            return _load_composite(settings, config, how)
        factory: Any = AutoModelForCausalLM if is_causal(config) else AutoModelForSeq2SeqLM
        model, facts = factory.from_pretrained(
            settings.name, config=config, output_loading_info=True, **how
        )
    except Exception as fault:
        raise ModelError(not_found("model", settings.name, fault)) from fault
    missing = sorted(facts["missing_keys"])
    if missing and settings.use_lora:
        raise ModelError(
            f"{settings.name!r} lacks {len(missing)} tensors of a {config.model_type} model ({missing[0]}, ...). "
            "LoRA would freeze random weights in their place; set model.use_lora: false, or take a whole model."
        )
    if missing:
        logger.warning(
            "%s lacks %d of the tensors of a %s model (%s, ...); they start with random weights.",
            settings.name,
            len(missing),
            config.model_type,
            missing[0],
        )
    found: PreTrainedModel = model
    return found


def _check_parts(
    settings: ModelConfig, encoder: PreTrainedConfig, decoder: PreTrainedConfig
) -> None:
    """A composite's encoder must read text, and its decoder be able to look at another's encoder."""
    if encoder.is_encoder_decoder or not reads_text(encoder):
        raise ModelError(
            f"model.name {settings.name!r} is a {encoder.model_type} model; with model.decoder_name it must be a text "
            "encoder or a language model, such as google-bert/bert-base-uncased."
        )
    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(decoder), None)
    if kind is None or "encoder_hidden_states" not in inspect.signature(kind.forward).parameters:
        raise ModelError(
            f"model.decoder_name {settings.decoder_name!r} is a {decoder.model_type} model, which has no attention to "
            "an encoder. Choose one that has, such as openai-community/gpt2 or google-bert/bert-base-uncased."
        )


def _load_composite(
    settings: ModelConfig, config: PreTrainedConfig, how: dict[str, Any]
) -> PreTrainedModel:
    """An encoder and a decoder of two models; the attention between them starts at random."""
    parts: Any = config
    sides = {
        f"{side}_{key}": value for side in ("encoder", "decoder") for key, value in how.items()
    }
    assert settings.decoder_name is not None
    sides |= {"encoder_config": parts.encoder, "decoder_config": parts.decoder}
    return EncoderDecoderModel.from_encoder_decoder_pretrained(
        settings.name, settings.decoder_name, **sides
    )


def _check_vocabulary(
    model: PreTrainedModel, settings: ModelConfig, tokenizer: PreTrainedTokenizerBase
) -> None:
    rows = vocabulary_size(model.config)
    if len(tokenizer) > rows:
        name = settings.tokenizer or settings.decoder_name or settings.name
        raise ModelError(
            f"The tokenizer {name!r} has {len(tokenizer)} tokens, the model {settings.name!r} embeds {rows}; "
            "they don't belong together."
        )


def _name_special_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """A composite doesn't know the special tokens of its decoder."""
    start = tokenizer.cls_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    end = end_token(tokenizer)
    for settings in (model.config, model.generation_config):
        settings.pad_token_id = padding_token(tokenizer)
        settings.eos_token_id = end
        settings.bos_token_id = end if start is None else start
        settings.decoder_start_token_id = settings.bos_token_id


def _freeze_unused(model: PreTrainedModel) -> None:
    """What nothing reaches would only make several processes wait for gradients that never come."""
    unused = unused_parameters(model.config)
    for name, parameter in model.named_parameters():
        if any(part in name for part in unused):
            parameter.requires_grad_(False)

"""Text models whose weights are kept in 4 or 8 bits; the only module that knows bitsandbytes."""

from __future__ import annotations

import logging
import os

import torch
from transformers import BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase

from signseq.config import ModelConfig
from signseq.errors import ConfigError, MissingExtraError
from signseq.model.text_models import load_text_model

__all__ = ["check_quantization", "load_base", "need_bitsandbytes", "quantization_config"]


def check_quantization(settings: ModelConfig) -> None:
    """Find out whether weights can be quantized, if they are to be.

    Raises:
        ConfigError: If they can't, as some of them must train in full.
        MissingExtraError: If bitsandbytes is not installed.
    """
    if not (settings.load_in_4bit or settings.load_in_8bit):
        return
    key = "load_in_4bit" if settings.load_in_4bit else "load_in_8bit"
    if settings.decoder_name is not None:
        raise ConfigError(
            f"model.{key} and model.decoder_name don't go together: the attention between two models starts at random "
            f"and trains in full, which quantized weights can't. Set model.{key}: false."
        )
    need_bitsandbytes(f"model.{key}")


def need_bitsandbytes(purpose: str) -> None:
    """Find out whether bitsandbytes is installed.

    Args:
        purpose: What needs it, as its key in the config.

    Raises:
        MissingExtraError: If it is not.
    """
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as fault:
        raise MissingExtraError(package="bitsandbytes", extra="qlora", purpose=purpose) from fault


def quantization_config(settings: ModelConfig) -> BitsAndBytesConfig | None:
    """How transformers is to quantize a text model's weights while it loads them; None: not at all.

    4 bits are QLoRA's: NormalFloat with doubly quantized constants (arXiv:2305.14314). The output
    layer, and what a model keeps in float32 by itself, stay as they are.
    """
    if settings.load_in_8bit:
        return BitsAndBytesConfig(load_in_8bit=True)
    if not settings.load_in_4bit:
        return None
    has_bfloat16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported(
        including_emulation=False  # older GPUs imitate it, slower than float32
    )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if has_bfloat16 else torch.float32,
    )


def load_base(settings: ModelConfig, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """Load the text model that the config names, quantized if it says so.

    peft's `prepare_model_for_kbit_training` isn't needed: what isn't quantized is in float32 here,
    adapters freeze it, and gradient checkpointing is the user's choice.

    Raises:
        ModelError: See `load_text_model`.
        ConfigError: See `check_quantization`.
        MissingExtraError: See `check_quantization`.
    """
    check_quantization(settings)
    quantization = quantization_config(settings)
    if quantization is None:
        return load_text_model(settings, tokenizer)
    if torch.cuda.is_available():
        # weights are quantized on a GPU: each process's own, not the first one's
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    text_model = load_text_model(settings, tokenizer, quantization=quantization)
    _stay_differentiable(text_model)
    return text_model


def _stay_differentiable(text_model: PreTrainedModel) -> None:
    from bitsandbytes.nn.modules import Linear4bit

    for module in text_model.modules():
        if isinstance(module, Linear4bit):
            # Or scoring on a CPU would pack the weights for good into a form that lets no gradient
            # through, and training would go on without a word.
            module.support_avx512bf16_for_cpu = False
    # it says at each call of each layer that it computes in float16
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)

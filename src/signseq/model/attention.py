"""Which implementation of attention the text model uses."""

from __future__ import annotations

import importlib.util
import logging
from typing import Any

from transformers import PreTrainedModel

from signseq.errors import ConfigError

__all__ = ["set_attention"]

logger = logging.getLogger(__name__)


def set_attention(
    text_model: PreTrainedModel, wanted: str, *, in_half_precision: bool = False
) -> str:
    """Let a text model compute attention in the way that the config names.

    Args:
        text_model: Changed in place.
        wanted: `auto` leaves it to transformers; or `eager`, `sdpa`, `flash_attention_2`.
        in_half_precision: Whether it will be computed in bfloat16 or float16.

    Returns:
        What it uses now.

    Raises:
        ConfigError: If the architecture has no such implementation, a package for it is missing, or
            it computes in half precision only.
    """
    kind = text_model.config.model_type
    if wanted != "auto":
        _check_there(text_model, wanted)
        if wanted == "flash_attention_2" and not in_half_precision:
            raise ConfigError(
                "model.attention = 'flash_attention_2' computes in bfloat16 or float16 on a GPU only, and this run "
                "trains in float32. Set model.attention to sdpa."
            )
        text_model.set_attn_implementation(wanted)
        used = str(text_model.config._attn_implementation)
        if used != wanted:
            raise ConfigError(
                f"model.attention = {wanted!r}: {kind} models can't change theirs, which is {used}. Set it to auto."
            )
    used = str(text_model.config._attn_implementation)
    logger.info("Attention: %s.", used)
    return used


def _check_there(text_model: Any, wanted: str) -> None:
    """Before transformers looks for kernels on the hub, or warns and goes on with another."""
    kind = text_model.config.model_type
    has = {
        "eager": True,
        "sdpa": text_model._supports_sdpa,
        "flash_attention_2": text_model._supports_flash_attn,
    }
    if not has[wanted]:
        there = ", ".join(name for name, is_there in has.items() if is_there)
        raise ConfigError(
            f"model.attention = {wanted!r}: {kind} models have no such attention in transformers; they have: {there}. "
            "Set one of these, or auto."
        )
    if wanted == "flash_attention_2" and importlib.util.find_spec("flash_attn") is None:
        raise ConfigError(
            "model.attention = 'flash_attention_2' needs the package 'flash-attn', which is built for one GPU, CUDA "
            "and torch: pip install flash-attn --no-build-isolation. Or set model.attention to sdpa."
        )

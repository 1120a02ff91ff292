"""Which weights a run trains, and how the rest is kept: frozen, quantized, with adapters."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from signseq.config import Config
from signseq.model.adapters import add_lora
from signseq.model.freezing import count_parameters, freeze
from signseq.model.loading import check_base
from signseq.model.lora_targets import cross_attention
from signseq.model.recomputation import recompute_activations
from signseq.model.sign_translation import SignTranslationModel

if TYPE_CHECKING:
    from peft import PeftModel

__all__ = ["choose_weights"]

logger = logging.getLogger(__name__)


def choose_weights(
    config: Config, model: SignTranslationModel, *, start: Path | None = None
) -> PeftModel | None:
    """Freeze what the config says, add adapters, and say how many parameters train.

    Args:
        config: The experiment.
        model: Changed in place.
        start: A checkpoint that the run goes on from; its adapters are the trainer's to load.

    Returns:
        peft's wrapper around the model, where it has adapters.

    Raises:
        ModelError: If there is nothing to freeze, or nothing that can take an adapter; or if
            transformers can't save memory with this text model.
        CheckpointError: If the run goes on from adapters that were trained on other weights.
    """
    settings = config.model
    freeze(model, encoder=settings.freeze_encoder, decoder=settings.freeze_decoder)
    # the attention between two models that never met starts at random, so it isn't frozen
    in_full = cross_attention(model.text_model) if settings.decoder_name else []
    for name in in_full:
        model.text_model.get_submodule(name).requires_grad_(True)
    adapters = None
    if settings.use_lora:
        if settings.load_in_4bit or settings.load_in_8bit:
            model.config.quantization = "4bit" if settings.load_in_4bit else "8bit"
            # the checkpoint describes the text model as it is, however its weights are kept
            plain = model.config.text_model.items()
            model.config.text_model = {k: v for k, v in plain if k != "quantization_config"}
        adapters = add_lora(model, settings.lora_config, in_full=in_full)
        if start is not None:
            check_base(start, model.config.base_digest, name=settings.name)
    if config.training.gradient_checkpointing:
        recompute_activations(model)
    logger.info("Parameters: %s.", count_parameters(model).describe())
    return adapters

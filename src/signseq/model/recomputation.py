"""Gradient checkpointing: in training, a layer's activations are computed twice instead of kept."""

from __future__ import annotations

from typing import Any

from signseq.errors import ModelError
from signseq.model.sign_translation import SignTranslationModel

__all__ = ["recompute_activations"]


def recompute_activations(model: SignTranslationModel) -> None:
    """Let the text model's layers compute their activations again on the way back (arXiv:1604.06174).

    Loss and gradients stay the same; memory is saved for about a third more time.

    Args:
        model: Changed in place.

    Raises:
        ModelError: If transformers can't do that with this text model.
    """
    text_model: Any = model.text_model
    if not text_model.supports_gradient_checkpointing:
        raise ModelError(
            f"training.gradient_checkpointing: transformers can't do it with {text_model.config.model_type} models. "
            "Set it to false; a lower training.batch_size with more gradient_accumulation_steps saves memory too."
        )
    # the name before transformers 5.20 or so is a deprecated alias since
    new_name = "activation_checkpointing_enable"
    enable = getattr(text_model, new_name, None) or text_model.gradient_checkpointing_enable
    # the other kind needs a gradient at the layers' inputs, which frozen embeddings don't have
    enable({"use_reentrant": False})

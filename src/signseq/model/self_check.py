"""A cheap check against silent faults: a decoder without its causal mask, or a mask that leaks."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from signseq.errors import ModelError
from signseq.model.sign_translation import SignTranslationModel

__all__ = ["check_for_leaks"]


def check_for_leaks(model: SignTranslationModel) -> None:
    """Make sure that nothing leaks: the decoder can't see what it predicts, nor anyone the padding.

    Raises:
        ModelError: If a later label or a padded frame changes logits that it must not.
    """
    recipe, was_training = model.config.recipe, model.training
    model.train(False)
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(0)
    poses = torch.randn(
        1, 12, len(model.config.keypoints), recipe["dimensions"] + 1, generator=generator
    ).to(device)
    mask = torch.ones(1, 12, dtype=torch.long, device=device)
    tokens = torch.full((1, 4), min(5, model.text_model.config.vocab_size - 1), device=device)
    later = tokens.clone()
    later[:, 2:] -= 1
    padded, padded_mask = F.pad(poses, (0, 0, 0, 0, 0, 9), value=7.0), F.pad(mask, (0, 9))
    with torch.no_grad():
        logits = model(poses, mask, decoder_input_ids=tokens).logits
        future = model(poses, mask, decoder_input_ids=later).logits[:, :2]
        padding = model(padded, padded_mask, decoder_input_ids=tokens).logits
    model.train(was_training)
    tolerance = 1e-4 * float(logits.std()) + 1e-6  # float noise is a hundred times smaller
    name = model.text_model.config.model_type
    if float((logits[:, :2] - future).abs().max()) > tolerance:
        raise ModelError(
            f"The {name} decoder sees the tokens that it is to predict; training it would teach nothing."
        )
    if float((logits - padding).abs().max()) > tolerance:
        raise ModelError(
            f"Padding changes what the {name} model computes; its scores would depend on the batch."
        )

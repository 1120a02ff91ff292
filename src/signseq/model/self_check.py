"""Cheap checks of a whole model: that nothing leaks, and which parameters a loss reaches."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from signseq.errors import ModelError
from signseq.model.architectures import vocabulary_size
from signseq.model.sign_translation import SignTranslationModel

__all__ = ["check_for_leaks", "leaves_parameters_unused"]


def check_for_leaks(model: SignTranslationModel) -> None:
    """Make sure that nothing leaks: the decoder can't see what it predicts, nor anyone the padding.

    Raises:
        ModelError: If a later label or a padded frame changes logits that it must not.
    """
    was_training = model.training
    model.train(False)
    device = next(model.parameters()).device
    poses, mask = _random_clip(model, frames=12)
    tokens = torch.full((1, 4), min(5, vocabulary_size(model.text_model.config) - 1), device=device)
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


def leaves_parameters_unused(model: SignTranslationModel) -> bool:
    """Whether a parameter that trains gets no gradient, which torch must be told before it splits work.

    A mixture of experts counts as one such model: a clip this short can't reach every expert.

    Args:
        model: With whatever is frozen already frozen; gradients and random state are left as found.
    """
    device = next(model.parameters()).device
    poses, mask = _random_clip(model, frames=1)
    label = torch.full((1, 2), min(5, vocabulary_size(model.text_model.config) - 1), device=device)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.enable_grad():
        loss = model(poses, mask, labels=label).loss
        gradients = torch.autograd.grad(loss, trainable, allow_unused=True)
    return any(gradient is None for gradient in gradients)


def _random_clip(model: SignTranslationModel, *, frames: int) -> tuple[Tensor, Tensor]:
    """Poses (1, T, K, C + 1) and their mask (1, T); the same each time."""
    device = next(model.parameters()).device
    size = (1, frames, len(model.config.keypoints), model.config.recipe["dimensions"] + 1)
    poses = torch.randn(size, generator=torch.Generator().manual_seed(0)).to(device)
    return poses, torch.ones(1, frames, dtype=torch.long, device=device)

"""Which frames a text model attends to while it writes each token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from signseq.model.feeding import predict, predict_causal, run_encoder
from signseq.model.sign_translation import SignTranslationModel

__all__ = ["attend", "eager_attention"]


@contextmanager
def eager_attention(model: SignTranslationModel) -> Iterator[None]:
    """Let the text model compute attention in the one way that gives its weights, for a while."""
    text_model: Any = model.text_model
    before = text_model.config._attn_implementation
    text_model.set_attn_implementation("eager")
    try:
        yield
    finally:
        if before is not None:
            text_model.set_attn_implementation(before)


@torch.no_grad()
def attend(model: SignTranslationModel, poses: Tensor, labels: Sequence[int]) -> Tensor | None:
    """The attention to a clip's frames for each token of a given text.

    Averaged over the heads of the later half of the layers. Of an encoder-decoder it is the
    cross-attention, of a causal model the attention of the text to the poses in front of it. What
    goes to registers and to the prompt is left out, so rows sum to 1 at most.

    Args:
        model: In evaluation mode, within `eager_attention`.
        poses: One clip, (1, T, K, C + 1).
        labels: L token ids, as a decoder is to write them.

    Returns:
        (L, T'), of the pose encoder's positions; None where the architecture gives no such weights.
    """
    mask = torch.ones(poses.shape[:2], dtype=torch.long, device=poses.device)
    wanted = torch.tensor([list(labels)], device=poses.device)
    embeddings, inputs = model.embed(poses, mask)
    decoder_ids = model.shift_right(wanted)
    if model.is_causal:
        output = predict_causal(
            model.text_model, embeddings, inputs, decoder_ids[:, 1:], output_attentions=True
        )
        layers = output.get("attentions")
    else:
        encoded = run_encoder(model.text_model, embeddings, inputs)
        output = predict(
            model.text_model, encoded, inputs, decoder_ids, None, output_attentions=True
        )
        layers = output.get("cross_attentions")
    return _to_frames(model, layers, tokens=len(labels), inputs=embeddings.shape[1])


def _to_frames(
    model: SignTranslationModel,
    layers: Sequence[Tensor | None] | None,
    *,
    tokens: int,
    inputs: int,
) -> Tensor | None:
    """Of every layer's (1, H, L, T'') the mean, at the positions of frames alone."""
    there = [layer for layer in layers or () if layer is not None and layer.dim() == 4]
    there = [layer for layer in there if layer.shape[3] >= inputs and layer.shape[2] >= tokens]
    if not there:
        return None
    is_prophetnet = model.text_model.config.model_type == "prophetnet"
    if is_prophetnet:  # it gives what its weights are computed from
        there = [layer.softmax(dim=-1) for layer in there]
    later = there[len(there) // 2 :]
    weights = torch.stack([layer[0].float().mean(dim=0) for layer in later]).mean(dim=0)
    first = len(model.config.tokens_before) + model.config.encoder.get("registers", 0)
    last = inputs - len(model.config.tokens_after)
    start = len(weights) - tokens if model.is_causal else 0
    if is_prophetnet:
        start = tokens  # after its main stream comes the one that writes the next token
    return weights[start : start + tokens, first:last].cpu()

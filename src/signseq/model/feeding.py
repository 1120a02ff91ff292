"""Running a text model on embeddings: one way for all encoder-decoders, one for decoder-only models.

What single architectures want besides stands in the small functions at the end, with the reason.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from signseq.errors import ModelError
from signseq.model.architectures import is_causal, position_limit

__all__ = [
    "NO_LABEL",
    "add_prompts",
    "align_right",
    "auxiliary_loss",
    "check_output",
    "check_room",
    "predict",
    "predict_causal",
    "run_encoder",
]

NO_LABEL = -100  # what the loss leaves out, by torch's convention
MIXTURES_OF_EXPERTS = ("switch_transformers", "nllb-moe")


def run_encoder(text_model: Any, embeddings: Tensor, mask: Tensor) -> Any:
    """Run the text model's own encoder.

    Args:
        text_model: An encoder-decoder.
        embeddings: (B, T', D), zero where padded.
        mask: (B, T'), 1 for inputs, 0 for padding.

    Returns:
        The encoder's own output object; some decoders read more from it than the hidden states.
    """
    return text_model.get_encoder()(
        input_ids=None,
        inputs_embeds=embeddings,
        attention_mask=mask,
        return_dict=True,
        **_encoder_settings(text_model, mask),
    )


def predict(
    text_model: Any,
    encoded: Any,
    mask: Tensor,
    decoder_input_ids: Tensor,
    labels: Tensor | None,
    **settings: Any,
) -> Any:
    """Run an encoder-decoder's decoder on what its encoder gave.

    Args:
        text_model: An encoder-decoder.
        encoded: What `run_encoder` returned.
        mask: (B, T').
        decoder_input_ids: (B, L), the start token first.
        labels: (B, L), for models whose own loss has further terms; else they play no part.
        **settings: Further arguments of the text model, e.g. `output_attentions`.

    Returns:
        The text model's output, with `logits` (B, L, V).
    """
    return text_model(
        encoder_outputs=encoded,
        attention_mask=mask,
        decoder_input_ids=decoder_input_ids,
        use_cache=False,
        **_decoder_settings(text_model, decoder_input_ids, labels),
        **settings,
    )


def predict_causal(
    text_model: Any, prefix: Tensor, mask: Tensor, tokens: Tensor, **settings: Any
) -> Any:
    """Run a decoder-only model on embeddings followed by text.

    Args:
        text_model: A causal language model.
        prefix: (B, P, D), padded on the left.
        mask: (B, P).
        tokens: (B, L - 1), the text so far.
        **settings: Further arguments of the text model, e.g. `output_attentions`.

    Returns:
        The model's output, with `logits` (B, L, V): after the prefix, and after each token.
    """
    embeddings = torch.cat([prefix, text_model.get_input_embeddings()(tokens).to(prefix.dtype)], 1)
    whole = F.pad(mask, (0, tokens.shape[1]), value=1)
    accepted = inspect.signature(text_model.forward).parameters
    if "position_ids" in accepted:
        settings["position_ids"] = (whole.cumsum(1) - 1).clamp(min=0)
    if "logits_to_keep" in accepted:  # those of the prefix would be thrown away
        settings["logits_to_keep"] = tokens.shape[1] + 1
    output = text_model(inputs_embeds=embeddings, attention_mask=whole, use_cache=False, **settings)
    output.logits = output.logits[:, -tokens.shape[1] - 1 :]
    return output


def align_right(embeddings: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Move padding from the end of each row to its start, as text that follows must be next to it.

    Args:
        embeddings: (B, T', D), padded on the right.
        mask: (B, T').

    Returns:
        Both of the same shapes, padded on the left.
    """
    length = mask.shape[1]
    padding = length - mask.sum(1, keepdim=True)
    places = torch.arange(length, device=mask.device)[None] - padding
    rows = places.clamp(min=0)[..., None].expand_as(embeddings)
    aligned = (places >= 0).to(mask.dtype)
    return embeddings.gather(1, rows) * aligned[..., None].to(embeddings.dtype), aligned


def add_prompts(
    prompts: Tensor,
    embeddings: Tensor,
    mask: Tensor,
    *,
    embed: Callable[[Tensor], Tensor],
    after: bool,
) -> tuple[Tensor, Tensor]:
    """Put a prompt of its own before each clip's frames, or after them; no padding is left between the two.

    Args:
        prompts: Token ids (B, P), -100 where padded.
        embeddings: (B, T', D), zero where padded, at the end.
        mask: (B, T').
        embed: Gives the tokens' embeddings.
        after: Whether after the frames.

    Returns:
        Embeddings (B, P + T', D) and their mask, padded at the end.
    """
    kept = prompts.ne(NO_LABEL).to(mask.dtype)
    told = embed(prompts.clamp(min=0)).to(embeddings.dtype) * kept[..., None]
    parts = [(embeddings, mask), (told, kept)] if after else [(told, kept), (embeddings, mask)]
    whole, masks = (torch.cat(part, 1) for part in zip(*parts, strict=True))
    order = masks.argsort(dim=1, descending=True, stable=True)
    rows = order[..., None].expand_as(whole)
    return whole.gather(1, rows), masks.gather(1, order)


def check_room(text_model: Any, *, inputs: int, frames: int, told: int) -> None:
    """See whether a clip isn't longer than the text model's positions reach.

    Args:
        text_model: Any.
        inputs: That it is to read.
        frames: Of the clip.
        told: How many of the inputs are a prompt.

    Raises:
        ModelError: If it is.
    """
    limit = position_limit(text_model.config)
    if limit is not None and inputs > limit:
        prompt = f" with the {told} tokens of the prompt" if told else ""
        raise ModelError(
            f"A clip of {frames} frames gives {inputs} inputs{prompt}; this {text_model.config.model_type} model "
            f"takes at most {limit}. Raise model.encoder.stride or data.step_frames, or lower data.max_frames."
        )


def check_output(text_model: Any, *, tokens: int, prefix: int) -> None:
    """Positions that are not there would end in an IndexError, on a GPU in worse.

    Args:
        text_model: Any.
        tokens: That it is to write.
        prefix: Inputs, after which a causal model writes.

    Raises:
        ModelError: If it can't write so many.
    """
    config = text_model.config
    limit = position_limit(config, "decoder")
    room = None if limit is None else limit - (prefix if is_causal(config) else 0)
    if room is not None and tokens > room:
        besides = f" after {prefix} inputs" if is_causal(config) else ""
        raise ModelError(
            f"generation.max_new_tokens = {tokens}: this {config.model_type} model writes at most {max(room, 0)} "
            f"tokens{besides}. Lower it."
        )


def auxiliary_loss(
    text_model: Any, output: Any, labels: Tensor, *, smoothing: float
) -> Tensor | None:
    """What a model's own loss has besides the cross-entropy, per label; None for most.

    Mixtures of experts keep their experts equally busy (by the coefficients of their config);
    ProphetNet predicts the tokens after the next one too.

    Args:
        text_model: An encoder-decoder.
        output: What `predict` returned for these labels.
        labels: (B, L).
        smoothing: Of the labels.
    """
    kind, config = text_model.config.model_type, text_model.config
    if kind in MIXTURES_OF_EXPERTS:
        balance = output.encoder_aux_loss + output.decoder_aux_loss
        loss = config.router_aux_loss_coef * balance
        if kind == "switch_transformers":
            loss = loss + config.router_z_loss_coef * (
                output.encoder_z_loss + output.decoder_z_loss
            )
        return loss if isinstance(loss, Tensor) else None  # 0 where no layer has experts
    if kind == "prophetnet" and output.logits_ngram is not None and not config.disable_ngram_loss:
        streams = output.logits_ngram.float()  # (B, n - 1, L, V)
        wanted = labels[:, None].expand(streams.shape[:3])
        return F.cross_entropy(
            streams.flatten(0, 2),
            wanted.flatten(),
            ignore_index=NO_LABEL,
            reduction="sum",
            label_smoothing=smoothing,
        ) / labels.ne(NO_LABEL).sum().clamp(min=1)
    return None


def _encoder_settings(text_model: Any, mask: Tensor) -> dict[str, Any]:
    kind = text_model.config.model_type
    if kind in MIXTURES_OF_EXPERTS:  # the router's loss is computed from it
        return {"output_router_logits": True}
    if kind == "led":
        # Without a global token half of its attention weights would never be used; LED's authors
        # make the first one global (arXiv:2004.05150).
        first = torch.zeros_like(mask)
        first[:, 0] = 1
        return {"global_attention_mask": first}
    return {}


def _decoder_settings(
    text_model: Any, decoder_input_ids: Tensor, labels: Tensor | None
) -> dict[str, Any]:
    kind = text_model.config.model_type
    if kind == "fsmt":
        # It masks the future only where it is given input ids, whatever they are.
        return {"input_ids": decoder_input_ids}
    if kind in MIXTURES_OF_EXPERTS and labels is not None:
        return {"output_router_logits": True, "labels": labels}
    return {}

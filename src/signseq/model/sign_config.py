"""SignTranslationConfig: what `config.json` of a checkpoint says."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig

from signseq.model.checkpoint import MODEL_TYPE

__all__ = ["SignTranslationConfig"]


class SignTranslationConfig(PreTrainedConfig):
    """What a checkpoint is made of: text model, pose encoder, and how poses are made ready.

    The text model's config is kept as plain values: a nested config object would be changed in
    place by transformers (it loses its attention implementation, and with it the causal mask).

    Attributes:
        text_model: The text model's config.
        generation: Its generation settings: special tokens, forced tokens.
        encoder: The pose encoder's settings; see `build_encoder`.
        recipe: PoseRecipe's fields.
        keypoints: The K names that the recipe gives.
        estimators: The families of pose estimators that the training clips come from, where known.
        step_frames: Every so-manieth frame is read.
        max_frames: Longer clips are cut.
        label_smoothing: Share of the target's probability spread over the other tokens, in training.
        ctc: The auxiliary loss on the pose encoder's output, where there is one; see `CtcTargets`.
        tokens_before: Token ids in front of the frames: an encoder-decoder's prompt, a causal model's start.
        tokens_after: Token ids between the frames and the text: a causal model's prompt.
        language_place: Where a multilingual model's language code stands; see `Languages`.
        language_id: The code's token id where a clip doesn't have its own.
        quantization: `4bit` or `8bit`, where the text model's weights are kept so.
        base_digest: Of the text model's weights, where the checkpoint holds an adapter only.
    """

    model_type = MODEL_TYPE

    text_model: dict[str, Any] | None = None
    generation: dict[str, Any] | None = None
    encoder: dict[str, Any] | None = None
    recipe: dict[str, Any] | None = None
    keypoints: list[str] | tuple[str, ...] | None = None
    estimators: list[str] | tuple[str, ...] = ()
    step_frames: int = 1
    max_frames: int = 300
    label_smoothing: float = 0.0
    ctc: dict[str, Any] | None = None
    tokens_before: list[int] | tuple[int, ...] = ()
    tokens_after: list[int] | tuple[int, ...] = ()
    language_place: str | None = None
    language_id: int | None = None
    quantization: str | None = None
    base_digest: str | None = None
    is_encoder_decoder: bool = True
    pad_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    bos_token_id: int | None = None

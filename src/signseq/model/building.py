"""A new SignTranslationModel: a pose encoder that fits a text model, put in front of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from signseq.errors import ModelError
from signseq.model.encoders import output_length
from signseq.model.sign_translation import SignTranslationConfig, SignTranslationModel
from signseq.model.text_models import embedding_scale, has_positions, position_limit

__all__ = ["build_model", "match_decoder_start"]

# What of a text model's generation settings belongs to its vocabulary. The rest (a summariser's
# min_length of 56, say) belongs to the task that it was made for; ours stand in the config.
VOCABULARY_SETTINGS = (
    *("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"),
    *("forced_bos_token_id", "forced_eos_token_id", "bad_words_ids", "suppress_tokens"),
)


def build_model(
    text_model: PreTrainedModel,
    *,
    encoder: Mapping[str, Any],
    recipe: Mapping[str, Any],
    keypoints: tuple[str, ...],
    mean: Tensor,
    spread: Tensor,
    step_frames: int = 1,
    max_frames: int = 300,
    label_smoothing: float = 0.0,
) -> SignTranslationModel:
    """Put a new pose encoder in front of a text model.

    Args:
        text_model: Any encoder-decoder text model.
        encoder: `type`, `positions` (`auto`, `sinusoidal` or `none`) and the encoder's own settings.
        recipe: PoseRecipe's fields.
        keypoints: The K names that the recipe gives.
        mean: Mean of each coordinate in the training data, (K, C).
        spread: Their standard deviation, (K, C).
        step_frames: Every so-manieth frame is read.
        max_frames: Longer clips are cut.
        label_smoothing: In training.

    Raises:
        ModelError: If `max_frames` is more than the text model's positions reach.
    """
    encoder = dict(encoder)
    positions = encoder.pop("positions")
    text_config = text_model.config
    encoder["positions"] = positions == "sinusoidal" or (
        positions == "auto" and not has_positions(text_config)
    )
    encoder["scale"] = embedding_scale(text_model)
    inputs, limit = output_length(max_frames, encoder.get("stride", 1)), position_limit(text_config)
    if limit is not None and inputs > limit:
        raise ModelError(
            f"data.max_frames = {max_frames} gives up to {inputs} inputs; this {text_config.model_type} model takes at "
            f"most {limit}. Raise model.encoder.stride or data.step_frames, or lower data.max_frames."
        )
    text_model.generation_config = _generation_settings(text_model)
    config = SignTranslationConfig(
        text_model=text_config.to_dict(),
        generation=text_model.generation_config.to_diff_dict(),
        encoder=encoder,
        recipe=dict(recipe),
        keypoints=list(keypoints),
        step_frames=step_frames,
        max_frames=max_frames,
        label_smoothing=label_smoothing,
        pad_token_id=text_config.pad_token_id,
        eos_token_id=text_config.eos_token_id,
        bos_token_id=text_config.bos_token_id,
    )
    model = SignTranslationModel(config, text_model=text_model)
    features = model.pose_encoder.features
    features.mean.copy_(mean)
    features.spread.copy_(spread.clamp(min=1e-3))
    return model


def _generation_settings(text_model: PreTrainedModel) -> GenerationConfig:
    given = text_model.generation_config.to_dict()
    kept = {name: given[name] for name in VOCABULARY_SETTINGS if given.get(name) is not None}
    if "decoder_start_token_id" not in kept:
        starts = (text_model.config.decoder_start_token_id, text_model.config.eos_token_id)
        kept["decoder_start_token_id"] = next(start for start in starts if start is not None)
    return GenerationConfig(**kept)


def match_decoder_start(model: SignTranslationModel, labels: Tensor) -> None:
    """Let generation start with the token that training starts with.

    mBART's is the language that its labels end with, whatever its config says.

    Args:
        model: Changed in place, with the config that is saved.
        labels: (1, L), of any text.
    """
    start = int(model.shift_right(labels)[0, 0])
    model.text_model.generation_config.decoder_start_token_id = start
    model.config.generation = {**model.config.generation, "decoder_start_token_id": start}

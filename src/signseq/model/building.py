"""A new SignTranslationModel: a pose encoder that fits a text model, put in front of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from signseq.errors import ModelError
from signseq.model.architectures import has_positions, is_causal, position_limit
from signseq.model.ctc import CtcHead, CtcTargets
from signseq.model.encoders import count_inputs
from signseq.model.languages import find_languages
from signseq.model.sign_translation import SignTranslationConfig, SignTranslationModel
from signseq.model.targets import TargetEncoder, end_token, padding_token
from signseq.model.text_models import embedding_scale, embedding_shape

__all__ = ["TextSide", "build_model", "build_text_side"]

logger = logging.getLogger(__name__)

# What of a text model's generation settings belongs to its vocabulary. The rest (a summariser's
# min_length of 56, say) belongs to the task that it was made for; ours stand in the config.
VOCABULARY_SETTINGS = (
    *("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"),
    *("forced_bos_token_id", "forced_eos_token_id", "bad_words_ids", "suppress_tokens"),
)


@dataclass(frozen=True)
class TextSide:
    """What tokenizer and task add to a text model.

    Attributes:
        targets: Turns texts into labels.
        padding: The token to pad with.
        end: The token that ends a text.
        before: Token ids in front of the frames.
        after: Token ids between the frames and the text, for a causal model.
        prompts: Token ids of the prompt of each corpus of a mix, where they are not the same for all;
            they stand in place of the one that `before` or `after` has.
    """

    targets: TargetEncoder
    padding: int
    end: int
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    prompts: tuple[tuple[int, ...], ...] = ()

    @property
    def longest_prompt(self) -> int:
        """Tokens besides the frames and the text, at most."""
        own = len(self.before) + len(self.after)
        causal = self.targets.causal
        return max(
            [own, *(len(each) + (len(self.before) if causal else 0) for each in self.prompts)]
        )


def build_text_side(
    text_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    target_language: str | None = None,
    prompt: str | None = None,
    prompts: Sequence[str] = (),
) -> TextSide:
    """Find out how texts become labels, and what the model is told besides the poses.

    Args:
        text_model: Any.
        tokenizer: Its tokenizer; its end token is there.
        max_length: Tokens of a text, at most.
        target_language: That of texts which don't name their own.
        prompt: Stands in front of the frames, or between frames and text in a causal model.
        prompts: Of each corpus of a mix, in place of it.

    Raises:
        ModelError: If the model doesn't know the language.
    """
    config = text_model.config
    if (prompt or any(prompts)) and config.model_type == "encoder-decoder":
        raise ModelError(
            "data.prompt: a composite's encoder and tokenizer are of two models, so it can't read one. Leave it out."
        )
    languages = find_languages(config, tokenizer)
    if languages is not None and target_language is not None:
        target_language = languages.code(target_language)
    elif target_language is not None:
        logger.info(
            "%s has no codes for languages; data.target_language isn't used.", config.model_type
        )
    padding, end = padding_token(tokenizer), end_token(tokenizer)
    assert padding is not None  # checked when the text model was loaded
    assert end is not None
    told, *others = (_prompt_ids(tokenizer, each) for each in (prompt, *prompts))
    causal = is_causal(config)
    targets = TargetEncoder(tokenizer, max_length, causal, languages, target_language)
    before = _start_of_text(tokenizer) if causal else told
    after = told if causal else ()
    differ = len(set(others)) > 1
    own = tuple(others) if differ else ()
    return TextSide(targets, padding, end, before=before, after=after, prompts=own)


def _prompt_ids(tokenizer: PreTrainedTokenizerBase, prompt: str | None) -> tuple[int, ...]:
    return tuple(tokenizer(prompt, add_special_tokens=False)["input_ids"]) if prompt else ()


def _start_of_text(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The start token, where the tokenizer puts one in front of every text."""
    start = tokenizer.bos_token_id
    ids = tokenizer("a")["input_ids"]
    return (start,) if start is not None and ids[:1] == [start] else ()


def build_model(
    text_model: PreTrainedModel,
    *,
    encoder: Mapping[str, Any],
    recipe: Mapping[str, Any],
    keypoints: tuple[str, ...],
    mean: Tensor,
    spread: Tensor,
    text_side: TextSide | None = None,
    step_frames: int = 1,
    max_frames: int = 300,
    max_new_tokens: int = 0,
    label_smoothing: float = 0.0,
    ctc: CtcTargets | None = None,
) -> SignTranslationModel:
    """Put a new pose encoder in front of a text model.

    Args:
        text_model: Any text model.
        encoder: `type`, `positions` (`auto`, `sinusoidal` or `none`) and the encoder's own settings.
        recipe: PoseRecipe's fields.
        keypoints: The K names that the recipe gives.
        mean: Mean of each coordinate in the training data, (K, C).
        spread: Their standard deviation, (K, C).
        text_side: What the tokenizer adds; None takes the text model as it is, without a prompt.
        step_frames: Every so-manieth frame is read.
        max_frames: Longer clips are cut.
        max_new_tokens: That will be generated, at most.
        label_smoothing: In training.
        ctc: What the head of the auxiliary loss writes; None leaves it out.

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
    inputs = count_inputs(encoder, max_frames)
    _check_inputs(text_model, text_side, max_frames, inputs=inputs, max_new_tokens=max_new_tokens)
    text_model.generation_config = _generation_settings(text_model, text_side)
    targets = text_side.targets if text_side else None
    languages = targets.languages if targets else None
    known = targets is not None and languages is not None and targets.default_language is not None
    config = SignTranslationConfig(
        text_model=text_config.to_dict(),
        generation=text_model.generation_config.to_diff_dict(),
        encoder=encoder,
        recipe=dict(recipe),
        keypoints=list(keypoints),
        step_frames=step_frames,
        max_frames=max_frames,
        label_smoothing=label_smoothing,
        ctc=None if ctc is None else ctc.settings(rows=embedding_shape(text_model)[0]),
        tokens_before=list(text_side.before) if text_side else [],
        tokens_after=list(text_side.after) if text_side else [],
        language_place=languages.place if languages else None,
        language_id=targets.language_id(None) if targets and known else None,
        pad_token_id=text_model.generation_config.pad_token_id,
        eos_token_id=text_model.generation_config.eos_token_id,
        bos_token_id=text_model.generation_config.bos_token_id,
    )
    model = SignTranslationModel(config, text_model=text_model)
    features = model.pose_encoder.features
    features.mean.copy_(mean)
    features.spread.copy_(spread.clamp(min=1e-3))
    if ctc is not None:
        cast(CtcHead, model.pose_encoder.ctc).fill(ctc)
    if not config.tokens_before and not any(text_side.prompts if text_side else ()):
        _freeze_unread_embeddings(model)
    if text_side is not None:
        _match_decoder_start(model, text_side.end)
    return model


def _check_inputs(
    text_model: PreTrainedModel,
    text_side: TextSide | None,
    max_frames: int,
    *,
    inputs: int,
    max_new_tokens: int,
) -> None:
    """The longest clip must fit; in a causal model the prompt and the longest text too."""
    limit = position_limit(text_model.config)
    longest = inputs
    if text_side is not None:
        longest += text_side.longest_prompt
        if is_causal(text_model.config):
            longest += max(text_side.targets.max_length, max_new_tokens)
    if limit is not None and longest > limit:
        besides = f" and {longest - inputs} more for prompt and text" if longest > inputs else ""
        lower = ", data.max_length or generation.max_new_tokens" if besides else ""
        raise ModelError(
            f"data.max_frames = {max_frames} gives up to {inputs} inputs{besides}; this "
            f"{text_model.config.model_type} model takes at most {limit}. Raise model.encoder.stride or "
            f"data.step_frames, or lower data.max_frames{lower}."
        )


def _generation_settings(
    text_model: PreTrainedModel, text_side: TextSide | None
) -> GenerationConfig:
    given = text_model.generation_config.to_dict()
    kept = {name: given[name] for name in VOCABULARY_SETTINGS if given.get(name) is not None}
    if text_side is not None:
        ends = kept.get("eos_token_id", [])
        ends = ends if isinstance(ends, list) else [ends]
        kept["pad_token_id"] = text_side.padding
        kept["eos_token_id"] = ends if text_side.end in ends else [text_side.end, *ends]
        if len(kept["eos_token_id"]) == 1:
            kept["eos_token_id"] = text_side.end
        if text_side.targets.languages is not None:
            kept.pop("forced_bos_token_id", None)  # each clip's own language instead
    if not is_causal(text_model.config) and "decoder_start_token_id" not in kept:
        config = text_model.config.to_dict()
        starts = (config.get("decoder_start_token_id"), config.get("eos_token_id"))
        kept["decoder_start_token_id"] = next(start for start in starts if start is not None)
    return GenerationConfig(**kept)


def _freeze_unread_embeddings(model: SignTranslationModel) -> None:
    """Token embeddings that only the encoder reads take no part where poses come instead of tokens."""
    if model.is_causal:
        return
    inside = {id(module) for module in model.text_model.get_encoder().modules()}
    owners: dict[int, list[bool]] = {}  # of each weight: whether its owners are inside the encoder
    for module in model.text_model.modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append(id(module) in inside)
    for parameter in model.get_input_embeddings().parameters():
        if all(owners[id(parameter)]):
            parameter.requires_grad_(False)


def _match_decoder_start(model: SignTranslationModel, end: int) -> None:
    """Let generation start with the token that training starts with.

    mBART's is the one that its labels end with, T5Gemma's is in its decoder's config.

    Args:
        model: Changed in place, with the config that is saved.
        end: The token that a text ends with.
    """
    if model.is_causal:
        return
    start = int(model.shift_right(torch.tensor([[end, end]]))[0, 0])
    model.text_model.generation_config.decoder_start_token_id = start
    model.config.generation = {**model.config.generation, "decoder_start_token_id": start}

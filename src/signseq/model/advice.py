"""What to heed about a text model before training it, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from signseq.config import Config
from signseq.model.architectures import (
    has_positions,
    is_causal,
    is_safe_in_float16,
    position_limit,
    vocabulary_size,
)
from signseq.model.encoders import count_inputs
from signseq.model.lookup import Found

__all__ = ["advice"]

LARGE_VOCABULARY = 100_000
BYTES = 400  # a vocabulary that small spells
ENOUGH_BYTES = 256
MIXTURES_OF_EXPERTS = ("switch_transformers", "nllb-moe")


def advice(found: Found, config: Config) -> Iterator[str]:
    """Say what is special to a text model, and what of a config doesn't fit it.

    Args:
        found: The text model.
        config: The experiment.
    """
    text_config, data = found.config, config.data
    yield from _about_length(found, config)
    if not has_positions(text_config):
        yield (
            "It has no positions that cross-attention sees; the pose encoder adds sinusoidal ones "
            "(model.encoder.positions: auto)."
        )
    if found.codes is None or found.codes:
        if data.target_language is None:
            yield "It writes several languages: set data.target_language, or give the tables that column."
    elif data.target_language is not None:
        yield "It has no codes for languages; data.target_language isn't used."
    if is_causal(text_config):
        told = "" if data.prompt else "; set data.prompt, to say what is wanted"
        yield f"It is decoder-only: poses, prompt and text share one sequence{told}."
    if not is_safe_in_float16(text_config):
        yield (
            "It overflows in float16: on a GPU without bfloat16 signseq keeps the feed-forward output of the T5 family "
            "in float32, and trains others in float32."
        )
    if vocabulary_size(text_config) > LARGE_VOCABULARY:
        yield (
            f"Its vocabulary of {vocabulary_size(text_config):,} makes the logits large: memory grows with "
            "training.batch_size times the tokens of a text."
        )
    if found.has_own_head:
        yield "Its output layer is not its token embedding; both are counted."
    spells = 256 <= vocabulary_size(text_config) < BYTES and not config.model.from_scratch
    if spells and data.max_length < ENOUGH_BYTES:
        yield (
            "Its tokens are bytes, five or six to an English word: raise data.max_length and "
            "generation.max_new_tokens."
        )
    if text_config.model_type in MIXTURES_OF_EXPERTS:
        yield "It is a mixture of experts: the loss that keeps them equally busy is added in training."
    if text_config.model_type == "encoder-decoder":
        yield "The attention between its two parts starts with random weights, so it needs more training."
    if found.family and not found.family.licence.startswith(("Apache", "MIT")):
        yield f"Licence: {found.family.licence}. Read the model's page."


def _about_length(found: Found, config: Config) -> Iterator[str]:
    limit, data = position_limit(found.config), config.data
    encoder = config.model.encoder.arguments(dropout=None)
    inputs = count_inputs(encoder, data.max_frames)
    text = data.max_length if is_causal(found.config) else 0
    if limit is not None and inputs + text > limit:
        besides = f" and {text} tokens" if text else ""
        yield (
            f"data.max_frames = {data.max_frames} gives {inputs} inputs{besides}, more than the {limit} that it "
            "takes: raise model.encoder.stride or data.step_frames, or lower data.max_frames."
        )
    limit = None if text else position_limit(found.config, "decoder")
    if limit is not None and max(data.max_length, config.generation.max_new_tokens) > limit:
        yield f"Its texts are at most {limit} tokens: lower data.max_length and generation.max_new_tokens."

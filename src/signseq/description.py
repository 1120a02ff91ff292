"""`signseq models`: what a text model is, and what training it takes, before hours are spent on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from signseq.config import Config, parse_config
from signseq.errors import SignSeqError
from signseq.model.advice import advice
from signseq.model.architectures import (
    has_positions,
    is_causal,
    is_safe_in_float16,
    position_limit,
    vocabulary_size,
)
from signseq.model.encoders import count_inputs
from signseq.model.lookup import look_up
from signseq.model.lora_targets import cross_attention, find_targets
from signseq.model.memory import MemoryEstimate, Method, StepSize, estimate_memory
from signseq.model.outline import is_inside, outline, parameter_count, sign_outline
from signseq.poses.keypoints import get_keypoint_set

__all__ = ["ModelDescription", "config_for", "describe_model", "describe_models"]

USUAL_FPS = 25.0  # of recordings, where the config doesn't resample them
USUAL_BATCH, USUAL_FRAMES, USUAL_TOKENS = (
    32,
    60,
    25,
)  # frames and tokens: iSign's, every fifth frame
METHODS: tuple[Method, ...] = ("full", "lora", "qlora")


@dataclass(frozen=True)
class ModelDescription:
    """What `signseq models NAME` says.

    Attributes:
        name: As it was asked for.
        source: Where the model's config was found.
        architecture: What transformers calls it.
        is_causal: Decoder-only.
        parameters: Of the text model.
        vocabulary: Tokens that it can write.
        encoder: The pose encoder's settings.
        encoder_parameters: What the pose encoder adds.
        keypoints: How many it reads.
        has_positions: Whether the text model tells positions apart by itself.
        limit: Inputs at most; None where there is no limit.
        limit_frames: Frames at most, after step_frames.
        limit_seconds: The same in seconds.
        frames_per_second: After step_frames.
        is_rate_assumed: The config has no rate, so that of the recordings is taken to be 25.
        languages: In words, where they are known.
        codes: Of its languages; None where only the tokenizer knows, which isn't here.
        licence: In short, where it is known.
        is_safe_in_float16: Whether float16 does.
        can_recompute: Whether it can do gradient checkpointing.
        lora_targets: How many layers of each name would get an adapter.
        batch: That `memory` is for.
        inputs: What its frames become.
        memory: What training takes, estimated.
        advice: What to heed.
    """

    name: str
    source: str
    architecture: str
    is_causal: bool
    parameters: int
    vocabulary: int
    encoder: dict[str, Any]
    encoder_parameters: int
    keypoints: int
    has_positions: bool
    limit: int | None
    limit_frames: int | None
    limit_seconds: float | None
    frames_per_second: float
    is_rate_assumed: bool
    languages: str | None
    codes: tuple[str, ...] | None
    licence: str | None
    is_safe_in_float16: bool
    can_recompute: bool
    lora_targets: dict[str, int]
    batch: StepSize
    inputs: int
    memory: tuple[MemoryEstimate, ...]
    advice: tuple[str, ...]


def config_for(name: str, config: Config | None = None) -> Config:
    """The config to describe a model by: the user's own with another model, or the defaults."""
    if config is None:
        data = {"pose_dir": "poses", "store": "store"}
        return parse_config(
            {"data": data, "model": {"name": name}, "training": {"checkpoint_dir": "run"}}
        )
    own = {"decoder_name": None, "tokenizer": None, "vocabulary": None, "from_scratch": False}
    model = config.model.model_copy(update={**own, "name": name, "size": None, "config": {}})
    return config.model_copy(update={"model": model})


def describe_model(
    config: Config,
    *,
    batch_size: int | None = None,
    frames: int = 60,
    tokens: int = 25,
) -> ModelDescription:
    """Describe the text model that a config names; its weights are neither read nor made.

    Args:
        config: The experiment; see `config_for`.
        batch_size: Of the batch to estimate the memory for; None takes the config's, or 32.
        frames: Of its longest clip, after `step_frames`; usual for iSign at every fifth frame.
        tokens: Of its longest text; usual for iSign.

    Raises:
        ModelError: If the model can't be found or can't be used.
    """
    data, settings = config.data, config.model
    found = look_up(settings)
    encoder = settings.encoder.arguments(dropout=settings.dropout)
    stride = settings.encoder.frames_per_input
    size = StepSize(batch_size or config.training.batch_size or USUAL_BATCH, frames, tokens)
    poses: dict[str, Any] = {
        "encoder": encoder,
        "keypoints": get_keypoint_set(data.keypoints).keypoints,
        "dimensions": data.dimensions,
    }
    with torch.device("meta"):
        text_model = outline(found.config, has_own_head=found.has_own_head)
        # as in training: what was never trained isn't frozen, and can't be quantized
        in_full = cross_attention(text_model) if settings.decoder_name else []
        targets = find_targets(text_model, settings.lora_config.target_modules)
        targets = [name for name in targets if not is_inside(name, in_full)]
        whole = sign_outline(text_model, **poses)
    memory = tuple(
        estimate_memory(
            found.config,
            method,
            size=size,
            label_smoothing=config.training.label_smoothing,
            rank=settings.lora_config.r,
            targets=settings.lora_config.target_modules,
            in_full=in_full,
            gradient_checkpointing=config.training.gradient_checkpointing,
            has_own_head=found.has_own_head,
            **poses,
        )
        for method in METHODS
        if not (in_full and method == "qlora")
    )
    limit = position_limit(found.config)
    room = limit and limit - settings.encoder.registers
    rate = (data.fps or USUAL_FPS) / data.step_frames
    return ModelDescription(
        name=" + ".join(filter(None, (settings.name, settings.decoder_name))),
        source=found.source,
        architecture=found.config.model_type,
        is_causal=is_causal(found.config),
        parameters=parameter_count(text_model),
        vocabulary=vocabulary_size(found.config),
        encoder=encoder,
        encoder_parameters=parameter_count(whole.pose_encoder),
        keypoints=len(poses["keypoints"]),
        has_positions=has_positions(found.config),
        limit=limit,
        limit_frames=room and room * stride,
        limit_seconds=room and room * stride / rate,
        frames_per_second=rate,
        is_rate_assumed=data.fps is None,
        languages=found.family.languages if found.family else None,
        codes=found.codes,
        licence=found.family.licence if found.family else None,
        is_safe_in_float16=is_safe_in_float16(found.config),
        can_recompute=bool(text_model.supports_gradient_checkpointing),
        lora_targets=dict(Counter(name.rpartition(".")[2] for name in targets)),
        batch=size,
        inputs=count_inputs(encoder, size.frames),
        memory=memory,
        advice=tuple(advice(found, config)),
    )


def describe_models(
    names: Sequence[str], config: Config | None, *, batch_size: int | None, frames: int, tokens: int
) -> Iterator[ModelDescription | SignSeqError]:
    """Describe several models; what is wrong with one doesn't stop the others.

    Args:
        names: Hub names or folders; with none, the config's own model is described.
        config: What they are to be trained by; None takes the defaults.
        batch_size: As for `describe_model`.
        frames: As for `describe_model`.
        tokens: As for `describe_model`.

    Yields:
        A description of each, or its error.
    """
    wanted = [config_for(name, config) for name in names]
    if config is not None and not wanted:
        wanted = [config]
    for each in wanted:
        try:
            yield describe_model(each, batch_size=batch_size, frames=frames, tokens=tokens)
        except SignSeqError as fault:
            yield fault

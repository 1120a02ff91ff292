"""`model.init_from`: a new run starts from the weights of a checkpoint; `model.init_parts` says from which.

Pretraining on much or synthetic data, then fine-tuning on the data at hand, is what moves scores most where
those are few. What the weights mean must be the same in both runs: keypoints and their normalisation, the pose
encoder, the text model, the vocabulary.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from signseq.config import ModelConfig
from signseq.errors import CheckpointError, ModelError
from signseq.model.architectures import is_causal
from signseq.model.checkpoint import MODEL_TYPE, check_folder, read_settings
from signseq.model.differences import CTC, line, of_poses, of_shapes, of_vocabularies
from signseq.model.freezing import encoder_parameters
from signseq.model.loading import load_checkpoint_tokenizer, load_whole
from signseq.model.sign_translation import SignTranslationModel
from signseq.model.text_models import embedding_scale, has_tokenizer, load_text_model

__all__ = ["take_tokenizer", "take_weights", "warm_start", "warn_of_unknown_characters"]

logger = logging.getLogger(__name__)

# Those of model.init_parts that a text model has as well, as transformers saves it.
OF_TEXT_MODELS = ("text_model", "decoder")
PREFIXES = {"pose_encoder": "pose_encoder.", "text_model": "text_model.", "decoder": "text_model."}


@dataclass(frozen=True)
class _Origin:
    """What a run starts from.

    Attributes:
        kind: Of the text model, by transformers' name.
        weights: By the names that they have in a model of ours.
        of_encoder: The names of those that the text model's encoder alone reads.
        model: The whole of it, where it is a checkpoint of ours.
    """

    kind: str
    weights: Mapping[str, Tensor]
    of_encoder: frozenset[str]
    model: SignTranslationModel | None

    def has(self, name: str, parts: str) -> bool:
        """Whether a tensor is one of those asked for; one that has no counterpart in a run is told of."""
        if parts == "decoder" and name in self.of_encoder:
            return False
        return parts == "all" or name.startswith(PREFIXES[parts])


def take_tokenizer(settings: ModelConfig) -> ModelConfig:
    """Settings by which the tokenizer is that of `init_from`, unless one is named or only poses are read there.

    One that were trained anew on other texts would give the tokens other numbers.

    Raises:
        CheckpointError: If `init_from` is no whole checkpoint.
    """
    if settings.init_from is None:
        return settings
    if not _is_text_model(settings.init_from, settings.init_parts):
        check_folder(settings.init_from)
    elif not has_tokenizer(settings.init_from):
        raise CheckpointError(
            f"{settings.init_from} (model.init_from): has no tokenizer's files. Put the model's own there."
        )
    if settings.init_parts == "pose_encoder" or settings.tokenizer not in (None, "train"):
        return settings
    return settings.model_copy(update={"tokenizer": str(settings.init_from)})


def take_weights(
    model: SignTranslationModel,
    settings: ModelConfig,
    *,
    tokenizer: PreTrainedTokenizerBase,
    labels: Iterable[NDArray[np.int32]],
) -> None:
    """Start from what `init_from` names, if anything; see `warm_start`.

    Args:
        model: Changed in place.
        settings: The config's model section.
        tokenizer: The model's.
        labels: Token ids of the training texts.
    """
    if settings.init_from is None:
        return
    warm_start(
        model,
        settings.init_from,
        tokenizer=tokenizer,
        parts=settings.init_parts,
        trust_remote_code=settings.trust_remote_code,
    )
    if settings.init_parts != "pose_encoder":
        warn_of_unknown_characters(tokenizer, labels, folder=settings.init_from)


def warm_start(
    model: SignTranslationModel,
    folder: Path,
    *,
    tokenizer: PreTrainedTokenizerBase,
    parts: str = "all",
    trust_remote_code: bool = False,
) -> None:
    """Replace a new model's weights by a checkpoint's; adapters are merged into the weights they adapt.

    The mean and spread of the coordinates belong to the pose encoder: its weights expect those. A head for
    CTC is taken over where it writes the same classes, else it starts anew.

    Args:
        model: Without adapters; changed in place.
        folder: A checkpoint of either kind; for `text_model` and `decoder` a text model's folder, too.
        tokenizer: The model's.
        parts: Which weights: all, pose_encoder, text_model, or decoder, which is all of the text model but what
            its encoder alone reads.
        trust_remote_code: See `load_model`.

    Raises:
        CheckpointError: If the checkpoint can't be loaded, or its weights mean something else here; names
            each difference.
    """
    with torch.random.fork_rng(devices=[]):  # so that a run's own randomness stays what it was
        origin = _load_origin(folder, parts=parts, trust_remote_code=trust_remote_code)
    chosen = _names_of(model, parts)
    now = {name: weight for name, weight in model.state_dict().items() if name in chosen}
    weights = {name: weight for name, weight in origin.weights.items() if origin.has(name, parts)}
    same_head = _head(model) is not None and _head(model) == _head(origin.model)
    if not same_head:
        weights = {name: weight for name, weight in weights.items() if not name.startswith(CTC)}
    differences: list[str] = []
    if origin.model is not None and parts in ("all", "pose_encoder"):
        differences += of_poses(model, origin.model, has_other_text_model=parts == "pose_encoder")
    if parts != "pose_encoder":
        kind = model.text_model.config.model_type
        if kind != origin.kind:
            differences.append(line("model.name, the architecture", origin.kind, kind))
        known = load_checkpoint_tokenizer(folder, trust_remote_code=trust_remote_code)
        differences += of_vocabularies(tokenizer, known)
    if differences := differences or list(of_shapes(now, weights)):
        raise CheckpointError(
            f"{folder} (model.init_from): its weights can't start this run:\n"
            + "\n".join(f"  - {each}" for each in differences)
            + "\nSet these as they were, or leave model.init_from out."
        )
    model.load_state_dict(weights, strict=False)
    if parts in OF_TEXT_MODELS:
        _enter_at_new_size(model, float(model.config.encoder["scale"]))
    elif origin.model is not None:
        if parts == "pose_encoder":  # which may come from before another text model
            _enter_at_new_size(model, float(origin.model.config.encoder["scale"]))
        _warn_of_other_rates(model, origin.model, folder)
        if _head(model) is not None and not same_head:
            logger.info("%s has no such head for CTC; it starts with random weights.", folder)
    what = (
        "The weights start"
        if parts == "all"
        else f"The weights of the {parts.replace('_', ' ')} start"
    )
    logger.info("%s from %s.", what, folder)


def _is_text_model(folder: Path, parts: str) -> bool:
    """Whether a folder holds a text model as transformers saves it, where that is enough."""
    config = folder / "config.json"
    if parts not in OF_TEXT_MODELS or not config.is_file():
        return False
    return read_settings(config).get("model_type") != MODEL_TYPE


def _load_origin(folder: Path, *, parts: str, trust_remote_code: bool) -> _Origin:
    if not _is_text_model(folder, parts):
        model = load_whole(folder, trust_remote_code=trust_remote_code)
        weights = model.state_dict()
        kind = model.text_model.config.model_type
        return _Origin(kind, weights, _names_of_encoder(model.text_model), model)
    settings = ModelConfig(name=str(folder), trust_remote_code=trust_remote_code)
    known = load_checkpoint_tokenizer(folder, trust_remote_code=trust_remote_code)
    try:
        text_model = load_text_model(settings, known)
    except ModelError as fault:
        raise CheckpointError(f"{folder} (model.init_from): {fault}") from fault
    weights = {f"text_model.{name}": weight for name, weight in text_model.state_dict().items()}
    return _Origin(text_model.config.model_type, weights, _names_of_encoder(text_model), None)


def _names_of_encoder(text_model: PreTrainedModel) -> frozenset[str]:
    """The tensors that a text model's encoder alone reads, by their names in a model of ours."""
    if is_causal(text_model.config):
        return frozenset()
    inside = encoder_parameters(text_model)
    named = text_model.state_dict(keep_vars=True).items()
    return frozenset(f"text_model.{name}" for name, weight in named if id(weight) in inside)


def _names_of(model: SignTranslationModel, parts: str) -> set[str]:
    """The tensors of a model that are replaced.

    Raises:
        CheckpointError: If the text model has no decoder of its own.
    """
    if parts == "decoder" and model.is_causal:
        raise CheckpointError(
            f"model.init_parts: decoder, but a {model.text_model.config.model_type} model is all decoder. "
            "Set it to text_model."
        )
    inside = _names_of_encoder(model.text_model) if parts == "decoder" else frozenset()
    return {
        name
        for name in model.state_dict()
        if (parts == "all" or name.startswith(PREFIXES[parts])) and name not in inside
    }


@torch.no_grad()
def _enter_at_new_size(model: SignTranslationModel, before: float) -> None:
    """Let what the pose encoder gives have the size of the token embeddings that now are there.

    Args:
        model: Changed in place.
        before: The size of those that the pose encoder was made for.
    """
    now = embedding_scale(model.text_model)
    output = model.pose_encoder.output
    for weight in (output.norm.weight, output.norm.bias, output.registers):
        if weight is not None:
            weight.mul_(now / before)
    model.config.encoder = {**model.config.encoder, "scale": now}


def _warn_of_other_rates(
    model: SignTranslationModel, origin: SignTranslationModel, folder: Path
) -> None:
    for key in ("step_frames", "fps"):
        was, now = (_rate(each.config, key) for each in (origin, model))
        if was != now:
            logger.warning(
                "%s was trained with data.%s = %s, this run has %s: signs take other numbers of frames.",
                *(folder, key, was, now),
            )


def warn_of_unknown_characters(
    tokenizer: PreTrainedTokenizerBase, labels: Iterable[NDArray[np.int32]], *, folder: Path
) -> None:
    """Say how many texts a checkpoint's tokenizer can't spell."""
    unknown = tokenizer.unk_token_id
    count = sum(1 for ids in labels if unknown in ids) if unknown is not None else 0
    if count:
        logger.warning(
            "%d training texts hold characters that the tokenizer of %s doesn't know; they become %s.",
            *(count, folder, tokenizer.unk_token),
        )


def _head(model: SignTranslationModel | None) -> tuple[Any, ...] | None:
    ctc = None if model is None else model.config.ctc
    return None if ctc is None else (ctc["target"], list(ctc["classes"]), ctc["rows"])


def _rate(config: Any, key: str) -> Any:
    return config.step_frames if key == "step_frames" else config.recipe.get("fps")

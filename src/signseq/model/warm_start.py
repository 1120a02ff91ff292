"""`model.init_from`: a new run starts from the weights of a checkpoint, pose encoder and text model both.

Pretraining on much or synthetic data, then fine-tuning on the data at hand, is what moves scores most where
those are few. What the weights mean must be the same in both runs: keypoints and their normalisation, the pose
encoder, the text model, the vocabulary.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from signseq.config import ModelConfig
from signseq.errors import CheckpointError
from signseq.model.checkpoint import check_folder
from signseq.model.loading import load_checkpoint_tokenizer, load_whole
from signseq.model.sign_translation import SignTranslationModel

__all__ = ["take_tokenizer", "warm_start", "warn_of_unknown_characters"]

logger = logging.getLogger(__name__)

CTC = "pose_encoder.ctc."
# Of the pose encoder, what changes no weight's meaning; `scale` is where embeddings started.
FREE = ("dropout", "scale")


def take_tokenizer(settings: ModelConfig) -> ModelConfig:
    """Settings by which the tokenizer is that of `init_from`, unless one is named.

    One that were trained anew on other texts would give the tokens other numbers.

    Raises:
        CheckpointError: If `init_from` is no whole checkpoint.
    """
    if settings.init_from is None:
        return settings
    check_folder(settings.init_from)
    if settings.tokenizer not in (None, "train"):
        return settings
    return settings.model_copy(update={"tokenizer": str(settings.init_from)})


def warm_start(
    model: SignTranslationModel,
    folder: Path,
    *,
    tokenizer: PreTrainedTokenizerBase,
    trust_remote_code: bool = False,
) -> None:
    """Replace a new model's weights by a checkpoint's; adapters are merged into the weights they adapt.

    The mean and spread of the coordinates are the checkpoint's, too: its weights expect those. A head for
    CTC is taken over where it writes the same classes, else it starts anew.

    Args:
        model: Without adapters; changed in place.
        folder: A checkpoint of either kind.
        tokenizer: The model's.
        trust_remote_code: See `load_model`.

    Raises:
        CheckpointError: If the checkpoint can't be loaded, or its weights mean something else here; names
            each difference.
    """
    with torch.random.fork_rng(devices=[]):  # so that a run's own randomness stays what it was
        origin = load_whole(folder, trust_remote_code=trust_remote_code)
    known = load_checkpoint_tokenizer(folder, trust_remote_code=trust_remote_code)
    differences = [*_of_configs(model, origin), *_of_vocabularies(tokenizer, known)]
    weights = origin.state_dict()
    same_head = _head(model) is not None and _head(model) == _head(origin)
    if not same_head:
        weights = {name: weight for name, weight in weights.items() if not name.startswith(CTC)}
    if differences := differences or list(_of_shapes(model.state_dict(), weights)):
        raise CheckpointError(
            f"{folder} (model.init_from): its weights can't start this run:\n"
            + "\n".join(f"  - {line}" for line in differences)
            + "\nSet these as they were, or leave model.init_from out."
        )
    model.load_state_dict(weights, strict=False)
    for key in ("step_frames", "fps"):
        was, now = (_rate(each.config, key) for each in (origin, model))
        if was != now:
            logger.warning(
                "%s was trained with data.%s = %s, this run has %s: signs take other numbers of frames.",
                *(folder, key, was, now),
            )
    if _head(model) is not None and not same_head:
        logger.info("%s has no such head for CTC; it starts with random weights.", folder)
    logger.info("The weights start from %s.", folder)


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


def _of_configs(model: SignTranslationModel, origin: SignTranslationModel) -> Iterator[str]:
    """What is read of each frame, the pose encoder, the kind of text model."""
    now, was = model.config, origin.config
    for key in ("keypoints", "normalize", "dimensions"):
        if now.recipe.get(key) != was.recipe.get(key):
            yield _line(f"data.{key}", was.recipe.get(key), now.recipe.get(key))
    if now.recipe.get("keypoints") == was.recipe.get("keypoints") and list(now.keypoints) != list(
        was.keypoints
    ):
        yield f"data.keypoints: {len(was.keypoints)} points there, {len(now.keypoints)} others here"
    for key in dict.fromkeys([*was.encoder, *now.encoder]):
        before, after = was.encoder.get(key), now.encoder.get(key)
        # a checkpoint older than a setting has none of it: no registers, no channels
        if (before or None) != (after or None) and key not in FREE:
            yield _line(f"model.encoder.{key}", before, after)
    kinds = [each.text_model.config.model_type for each in (origin, model)]
    if kinds[0] != kinds[1]:
        yield _line("model.name, the architecture", *kinds)


def _of_vocabularies(
    tokenizer: PreTrainedTokenizerBase, known: PreTrainedTokenizerBase
) -> Iterator[str]:
    now, was = tokenizer.get_vocab(), known.get_vocab()
    if now != was:
        other = next((f", {t!r} for one" for t, i in was.items() if now.get(t) != i), "")
        yield (
            f"model.tokenizer: {len(was)} tokens there, {len(now)} here{other}; null takes the checkpoint's"
        )


def _of_shapes(now: Mapping[str, Tensor], was: Mapping[str, Tensor]) -> Iterator[str]:
    """The sizes of the text model, of which the first differences say enough."""
    told = {name for name in now if not name.startswith(CTC)}
    missing, further = sorted(told - was.keys()), sorted(was.keys() - now.keys())
    if missing or further:
        yield (
            f"model.size: {len(missing)} tensors here have no counterpart there, {len(further)} there none here "
            f"({(missing or further)[0]}, ...)"
        )
    shapes = [
        (name, tuple(was[name].shape), tuple(now[name].shape))
        for name in now.keys() & was.keys()
        if was[name].shape != now[name].shape
    ]
    for name, before, after in sorted(shapes, reverse=True)[:3]:  # the text model's before others
        yield _line(f"the size of {name}", before, after)


def _line(what: str, was: object, now: object) -> str:
    return f"{what}: {was} there, {now} here"


def _head(model: SignTranslationModel) -> tuple[Any, ...] | None:
    ctc = model.config.ctc
    return None if ctc is None else (ctc["target"], list(ctc["classes"]), ctc["rows"])


def _rate(config: Any, key: str) -> Any:
    return config.step_frames if key == "step_frames" else config.recipe.get("fps")

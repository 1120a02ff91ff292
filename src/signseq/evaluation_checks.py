"""What `signseq evaluate` makes sure of before hours of translating."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from signseq.data.store import PoseStore
from signseq.errors import CheckpointError, ConfigError, DataError
from signseq.model.sign_translation import SignTranslationModel
from signseq.poses.skeletons import describe_change
from signseq.poses.transforms import PoseRecipe

__all__ = ["check_overrides", "check_recipe", "check_writable", "warn_of_other_estimators"]

logger = logging.getLogger(__name__)
FIXED = (
    *("data.step_frames", "data.max_frames", "data.max_length", "data.augment"),
    *("data.target_language", "data.prompt"),
)


def check_overrides(overrides: Sequence[str]) -> None:
    """What a checkpoint was trained with can't be changed afterwards; saying nothing would mislead."""
    for override in overrides:
        key = override.partition("=")[0]
        if key in FIXED or (
            key.startswith(("model.", "training.")) and key != "training.eval_batch_size"
        ):
            raise ConfigError(
                f"{key} belongs to the training of a checkpoint and can't be changed when it is scored. "
                "What can: generation.*, evaluation.*, training.eval_batch_size, and where the data are."
            )


def check_writable(folder: Path) -> None:
    """Find out before hours of translating, not after them."""
    probe = folder / ".writable"
    try:
        probe.touch()
        probe.unlink()
    except OSError as fault:
        raise CheckpointError(
            f"{folder}: the scores could not be written there ({fault.strerror}). Copy the folder to "
            "where you may write."
        ) from fault


def check_recipe(model: SignTranslationModel, store: PoseStore) -> None:
    """A store that was prepared otherwise than the checkpoint's training data gives worthless scores."""
    made = asdict(store.recipe) | {"keypoint names": list(store.recipe.names)}
    wanted = asdict(PoseRecipe(**model.config.recipe))
    wanted |= {"keypoint names": list(model.config.keypoints)}
    for name in wanted:
        if made[name] != wanted[name]:
            raise DataError(
                f"{store.folder}: prepared with {name} = {made[name]!r}, the checkpoint was trained "
                f"with {wanted[name]!r}. Evaluate with the data settings of the run, or name another `data.store`."
            )


def warn_of_other_estimators(model: SignTranslationModel, store: PoseStore) -> None:
    """Say where poses come from an estimator that training has not seen."""
    known = model.config.estimators
    for estimator in set(store.estimators) - set(known) if known else ():
        logger.warning(
            "%s: %s", store.folder, describe_change(estimator, known, store.recipe.names)
        )

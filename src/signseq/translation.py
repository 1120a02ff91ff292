"""Translator: from poses to sentences, with a checkpoint folder and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from signseq.config import GenerationConfig, load_config
from signseq.data.batching import Clip, collate
from signseq.data.planning import plan_batches
from signseq.errors import CheckpointError, ModelError, PoseError
from signseq.model.generation import generate_texts, language_ids
from signseq.model.loading import load_checkpoint_tokenizer, load_model
from signseq.model.sign_translation import SignTranslationModel
from signseq.poses.sequence import PoseFile, PoseSequence
from signseq.poses.skeletons import describe_change, guess_estimator
from signseq.poses.transforms import PoseRecipe

__all__ = ["Translation", "Translator"]

logger = logging.getLogger(__name__)
Source = str | Path | bytes | PoseSequence


@dataclass(frozen=True)
class Translation:
    """What one clip was translated to.

    Attributes:
        text: The best sentence; empty where there is an error.
        score: Its log probability per token (with `length_penalty` 1), 0 being certain.
        seconds: How long the clip lasts.
        alternatives: (text, score) of the n best, best first, `text` included.
        error: Why the clip could not be translated.
    """

    text: str
    score: float
    seconds: float
    alternatives: tuple[tuple[str, float], ...] = ()
    error: str | None = None


def load_checkpoint(
    folder: str | Path, *, trust_remote_code: bool = False
) -> tuple[SignTranslationModel, PreTrainedTokenizerBase]:
    """Load a checkpoint folder's model and tokenizer, ready to translate on the best device.

    Args:
        folder: What training wrote.
        trust_remote_code: Run the code that came with the text model, where it was trained so.

    Raises:
        CheckpointError: If the folder is missing, incomplete or of another kind.
        MissingExtraError: If it needs a package that is not installed.
    """
    model = load_model(folder, trust_remote_code=trust_remote_code)
    tokenizer = load_checkpoint_tokenizer(Path(folder), trust_remote_code=trust_remote_code)
    model.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))  # type: ignore[arg-type]
    return model, tokenizer


class Translator:
    """Translates .pose files and pose sequences.

    Args:
        model: A trained model.
        tokenizer: The text model's tokenizer.
        settings: How to generate, unless a call says otherwise.
    """

    def __init__(
        self,
        model: SignTranslationModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        settings: GenerationConfig,
    ) -> None:
        self.model = model
        model.train(False)
        self.tokenizer = tokenizer
        self.settings = settings
        self._has_warned = False
        self.recipe = PoseRecipe(**model.config.recipe)
        if list(self.recipe.names) != list(model.config.keypoints):
            raise CheckpointError(
                f"The checkpoint was made with other keypoints than this version's {self.recipe.keypoints!r}."
            )

    @classmethod
    def from_pretrained(cls, folder: str | Path, *, trust_remote_code: bool = False) -> Translator:
        """Load a checkpoint folder: model, tokenizer, pose recipe and generation settings.

        Args:
            folder: What training wrote.
            trust_remote_code: Run the code that came with the text model, where it was trained so.

        Raises:
            CheckpointError: If the folder is missing, incomplete or of another kind.
        """
        model, tokenizer = load_checkpoint(folder, trust_remote_code=trust_remote_code)
        config = Path(folder) / "config.yaml"
        settings = load_config(config).generation if config.exists() else GenerationConfig()
        return cls(model, tokenizer, settings=settings)

    def pack(self, source: Source) -> tuple[NDArray[np.float16], float]:
        """Make one clip ready: (T, K, C + 1), and its seconds.

        Raises:
            PoseError: If the clip can't be used.
        """
        name = "the pose" if isinstance(source, bytes | PoseSequence) else str(source)
        try:
            pose = (
                source
                if isinstance(source, PoseSequence)
                else self.recipe.read(PoseFile.open(source))
            )
            packed = self.recipe.pack(pose)
            self._warn_of_another_estimator(pose, name)
        except PoseError as fault:
            message = str(fault)
            raise PoseError(message if name in message else f"{name}: {message}") from fault
        step, limit = self.model.config.step_frames, self.model.config.max_frames
        if len(packed[::step]) > limit:
            logger.warning(
                "%s: cut after %d frames (data.max_frames); %.1f s.",
                name,
                limit * step,
                pose.seconds,
            )
        return packed[::step][:limit], pose.seconds

    def _warn_of_another_estimator(self, pose: PoseSequence, name: str) -> None:
        """Once: a checkpoint that has only seen one estimator's poses reads another's less well."""
        estimator = pose.estimator or guess_estimator(pose.keypoints)
        known = self.model.config.estimators
        if estimator and known and estimator not in known and not self._has_warned:
            self._has_warned = True
            logger.warning("%s: %s", name, describe_change(estimator, known, self.recipe.names))

    def translate(
        self, source: Source, *, n_best: int = 1, target_language: str | None = None
    ) -> Translation:
        """Translate one clip.

        Args:
            source: A path, the bytes of a .pose file, or a PoseSequence as the estimator gave it.
            n_best: How many sentences to return in `alternatives`.
            target_language: What to write, with a multilingual text model, instead of its own.

        Raises:
            PoseError: If the clip can't be used.
            ModelError: If the text model doesn't know the language.
        """
        return next(self.stream([source], n_best=n_best, target_language=target_language))

    def stream(
        self,
        sources: Iterable[Source],
        *,
        n_best: int = 1,
        num_beams: int | None = None,
        batch_size: int = 32,
        keep_errors: bool = False,
        target_language: str | None = None,
    ) -> Iterator[Translation]:
        """Translate many clips, in batches of similar length; yields in the order of `sources`.

        Args:
            sources: See `translate`; read as they are needed.
            n_best: How many sentences to return in `alternatives`.
            num_beams: Beams to search with, instead of the checkpoint's setting.
            batch_size: Clips in a batch.
            keep_errors: Yield a Translation with its `error` for a clip that can't be used, instead of raising.
            target_language: What to write, with a multilingual text model, instead of its own.

        Raises:
            PoseError: If a clip can't be used and `keep_errors` is False.
            ModelError: If the text model doesn't know the language.
        """
        language = language_ids(self.model, self.tokenizer, [target_language])
        if target_language is not None and language is None:
            raise ModelError(
                f"This checkpoint's text model ({self.model.text_model.config.model_type}) has no codes for languages; "
                "it writes the one it was trained on. Leave the target language out."
            )
        settings = self.settings
        if num_beams is not None:
            settings = settings.model_copy(update={"num_beams": num_beams})
        iterator = iter(sources)
        while chunk := list(islice(iterator, 8 * batch_size)):
            results: list[Translation | None] = [None] * len(chunk)
            clips: dict[int, tuple[NDArray[np.float16], float]] = {}
            for place, source in enumerate(chunk):
                try:
                    clips[place] = self.pack(source)
                except PoseError as fault:
                    if not keep_errors:
                        raise
                    results[place] = Translation("", 0.0, 0.0, error=str(fault))
            packed = [clip for clip, _ in clips.values()]
            for numbers, found in self._generate(
                packed, settings=settings, n_best=n_best, batch_size=batch_size, language=language
            ):
                places = [list(clips)[number] for number in numbers]
                for place, best in zip(places, found, strict=True):
                    results[place] = Translation(
                        *best[0], seconds=clips[place][1], alternatives=best
                    )
            yield from (result for result in results if result is not None)

    def _generate(
        self,
        clips: Sequence[NDArray[np.float16]],
        *,
        settings: GenerationConfig,
        n_best: int,
        batch_size: int,
        language: Tensor | None,
    ) -> Iterator[tuple[list[int], list[tuple[tuple[str, float], ...]]]]:
        if not clips:
            return
        lengths = np.array([len(clip) for clip in clips])
        no_labels = np.empty(0, np.int32)
        for numbers in plan_batches(lengths, batch_size=batch_size):
            batch = collate([Clip(poses=clips[i], labels=no_labels) for i in numbers])
            found = generate_texts(
                self.model,
                self.tokenizer,
                batch,
                settings=settings,
                n_best=n_best,
                languages=None if language is None else language.expand(len(numbers)),
            )
            yield numbers.tolist(), found

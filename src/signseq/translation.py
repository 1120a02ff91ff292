"""Translator: from poses to sentences, with a checkpoint folder and nothing else."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from signseq.config import GenerationConfig, load_config
from signseq.data.batching import Batch, Clip, collate, plan_batches
from signseq.errors import CheckpointError, PoseError
from signseq.model.sign_translation import SignTranslationModel
from signseq.poses.sequence import PoseFile, PoseSequence
from signseq.poses.transforms import PoseRecipe

__all__ = ["Translation", "Translator", "generate_texts"]

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


def generate_texts(
    model: SignTranslationModel,
    tokenizer: PreTrainedTokenizerBase,
    batch: Batch,
    *,
    settings: GenerationConfig,
    n_best: int = 1,
    scored: bool = True,
) -> list[tuple[tuple[str, float], ...]]:
    """Translate one batch.

    Args:
        model: In evaluation mode.
        tokenizer: The text model's.
        batch: B clips.
        settings: How to generate.
        n_best: Sentences per clip; searched with as many beams at least.
        scored: Compute scores, for which the probabilities of all tokens are kept: with a large
            vocabulary many GB. Without, they are NaN.

    Returns:
        For each clip its `n_best` sentences with their scores, best first.
    """
    beams = max(settings.num_beams, n_best)
    output = model.generate(
        batch["poses"].to(model.device),
        batch["attention_mask"].to(model.device),
        num_beams=beams,
        num_return_sequences=n_best,
        max_new_tokens=settings.max_new_tokens,
        length_penalty=settings.length_penalty if beams > 1 else None,
        no_repeat_ngram_size=settings.no_repeat_ngram_size,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=scored,
    )
    if not scored:
        scores = torch.full((len(output.sequences),), math.nan)
    elif beams > 1:
        scores = output.sequences_scores
    else:
        scores = _greedy_scores(model.text_model, output)
    texts = tokenizer.batch_decode(output.sequences, skip_special_tokens=True)
    pairs = [
        (" ".join(text.split()), float(score)) for text, score in zip(texts, scores, strict=True)
    ]
    return [tuple(pairs[start : start + n_best]) for start in range(0, len(pairs), n_best)]


def _greedy_scores(text_model: Any, output: Any) -> Tensor:
    """Mean log probability per token, the end token included, what stands after it left out: (B,)."""
    steps = text_model.compute_transition_scores(
        output.sequences, output.scores, normalize_logits=True
    )
    tokens = output.sequences[:, -steps.shape[1] :]
    ends = torch.tensor(text_model.generation_config.eos_token_id, device=tokens.device)
    ended = torch.isin(tokens, ends).int()
    inside = ended.cumsum(1) - ended == 0
    total: Tensor = steps.where(inside, 0).sum(1)
    return total / inside.sum(1)


def load_checkpoint(folder: str | Path) -> tuple[SignTranslationModel, PreTrainedTokenizerBase]:
    """Load a checkpoint folder's model and tokenizer, ready to translate on the best device.

    Raises:
        CheckpointError: If the folder is missing, incomplete or of another kind.
    """
    model = SignTranslationModel.from_pretrained(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
    except Exception as fault:
        raise CheckpointError(f"{folder}: the tokenizer can't be loaded ({fault}).") from fault
    model.train(False)
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
        self.recipe = PoseRecipe(**model.config.recipe)
        if list(self.recipe.names) != list(model.config.keypoints):
            raise CheckpointError(
                f"The checkpoint was made with other keypoints than this version's {self.recipe.keypoints!r}."
            )

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Translator:
        """Load a checkpoint folder: model, tokenizer, pose recipe and generation settings.

        Raises:
            CheckpointError: If the folder is missing, incomplete or of another kind.
        """
        model, tokenizer = load_checkpoint(folder)
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

    def translate(self, source: Source, *, n_best: int = 1) -> Translation:
        """Translate one clip.

        Args:
            source: A path, the bytes of a .pose file, or a PoseSequence as the estimator gave it.
            n_best: How many sentences to return in `alternatives`.

        Raises:
            PoseError: If the clip can't be used.
        """
        return next(self.stream([source], n_best=n_best))

    def stream(
        self,
        sources: Iterable[Source],
        *,
        n_best: int = 1,
        num_beams: int | None = None,
        batch_size: int = 32,
        keep_errors: bool = False,
    ) -> Iterator[Translation]:
        """Translate many clips, in batches of similar length; yields in the order of `sources`.

        Args:
            sources: See `translate`; read as they are needed.
            n_best: How many sentences to return in `alternatives`.
            num_beams: Beams to search with, instead of the checkpoint's setting.
            batch_size: Clips in a batch.
            keep_errors: Yield a Translation with its `error` for a clip that can't be used, instead of raising.

        Raises:
            PoseError: If a clip can't be used and `keep_errors` is False.
        """
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
                packed, settings=settings, n_best=n_best, batch_size=batch_size
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
    ) -> Iterator[tuple[list[int], list[tuple[tuple[str, float], ...]]]]:
        if not clips:
            return
        lengths = np.array([len(clip) for clip in clips])
        no_labels = np.empty(0, np.int32)
        for numbers in plan_batches(lengths, batch_size=batch_size):
            batch = collate([Clip(poses=clips[i], labels=no_labels) for i in numbers])
            yield (
                numbers.tolist(),
                generate_texts(self.model, self.tokenizer, batch, settings=settings, n_best=n_best),
            )

"""Translator: a loaded checkpoint that turns clips into sentences."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Unpack

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from signseq.config import GenerationConfig, load_config
from signseq.data.batching import Clip, collate
from signseq.errors import CheckpointError, DataError, ModelError, PoseError
from signseq.model.generation import generate_texts, language_ids
from signseq.model.sign_translation import SignTranslationModel
from signseq.poses.sequence import PoseSequence
from signseq.poses.skeletons import describe_change, guess_estimator
from signseq.poses.transforms import PoseRecipe
from signseq.translation.loading import load_checkpoint
from signseq.translation.options import Options, choose_settings
from signseq.translation.results import PackedClip, Translation
from signseq.translation.sources import (
    Source,
    check_several,
    check_source,
    describe_source,
    read_source,
)
from signseq.translation.streaming import ReadAhead, translate_in_order

__all__ = ["Translator"]

logger = logging.getLogger(__name__)

NO_LABELS = np.empty(0, np.int32)
MOST_SCORES = (
    4 << 30
)  # bytes: the search keeps each step's, of all tokens; with large vocabularies many GB
BYTES = 4  # of one
UNPROMPTED = "The checkpoint was trained without prompts, so it has not learned to heed one: expect worse translations."


class Translator:
    """Translates poses and videos.

    Args:
        model: A trained model.
        tokenizer: The text model's tokenizer.
        settings: How to generate, unless a call says otherwise.
        is_prompted: Whether it was trained with prompts; None goes by the one that all clips have.
    """

    def __init__(
        self,
        model: SignTranslationModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        settings: GenerationConfig,
        is_prompted: bool | None = None,
    ) -> None:
        self.model = model
        model.train(False)
        self.tokenizer = tokenizer
        self.settings = settings
        self._told = set[str]()
        own = model.config.tokens_after if model.is_causal else model.config.tokens_before
        self._is_prompted = bool(own) if is_prompted is None else is_prompted
        self.recipe = PoseRecipe(**model.config.recipe)
        if list(self.recipe.names) != list(model.config.keypoints):
            raise CheckpointError(
                f"The checkpoint was made with other keypoints than this version's {self.recipe.keypoints!r}."
            )

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        dtype: str = "auto",
        device: str = "auto",
        trust_remote_code: bool = False,
    ) -> Translator:
        """Load a checkpoint folder: model, tokenizer, pose recipe and generation settings.

        Args:
            folder: What training wrote.
            dtype: See `load_checkpoint`, as for `device` and `trust_remote_code`.
            device: The same.
            trust_remote_code: The same.

        Raises:
            CheckpointError: If the folder is missing, incomplete or of another kind.
            ConfigError: If there is no such dtype or device.
            ModelError: If the model can't run in these numbers.
        """
        model, tokenizer = load_checkpoint(
            folder, dtype=dtype, device=device, trust_remote_code=trust_remote_code
        )
        path = Path(folder) / "config.yaml"
        if not path.exists():
            return cls(model, tokenizer, settings=GenerationConfig())
        config = load_config(path)
        prompts = [config.data.prompt, *(corpus.get("prompt") for corpus in config.data.mix)]
        return cls(model, tokenizer, settings=config.generation, is_prompted=any(prompts))

    def pack(self, source: Source) -> PackedClip:
        """Make one clip ready; what may spoil its translation is in its `warnings`.

        Args:
            source: A path of poses or of a video, the bytes of a .pose file, a PoseSequence as the estimator gave it,
                or a ClipSource.

        Raises:
            PoseError: If the clip can't be used.
            MissingExtraError: If a package for it isn't installed.
        """
        check_source(source)
        name = describe_source(source)
        try:
            pose, odd = read_source(source, self.recipe)
            packed = self.recipe.pack(pose)
        except (PoseError, DataError) as fault:
            message = str(fault)
            raise PoseError(message if name in message else f"{name}: {message}") from fault
        step, limit = self.model.config.step_frames, self.model.config.max_frames
        warnings = [*odd, *self._estimator_warnings(pose)]
        if len(packed[::step]) > limit:
            warnings.append(
                f"cut after {limit * step} frames (data.max_frames); {pose.seconds:.1f} s."
            )
        own = np.ascontiguousarray(packed[::step][:limit])
        own = own.copy() if own.base is not None else own  # a view would keep all frames
        return PackedClip(own, pose.seconds, tuple(warnings))

    def _estimator_warnings(self, pose: PoseSequence) -> list[str]:
        """A checkpoint that has only seen one estimator's poses reads another's less well."""
        estimator = pose.estimator or guess_estimator(pose.keypoints)
        known = self.model.config.estimators
        if estimator and known and estimator not in known:
            return [describe_change(estimator, known, self.recipe.names)]
        return []

    def translate_clips(
        self, clips: Sequence[PackedClip], **options: Unpack[Options]
    ) -> list[Translation]:
        """Translate clips that are ready, together: one padded batch, so they should be of similar length.

        Args:
            clips: What `pack` gave.
            **options: See `Options`; here `target_language` may be a list, of each clip.

        Returns:
            One for each clip, in their order.

        Raises:
            ConfigError: If an option has a value that it can't have.
            ModelError: If the text model doesn't know the language, takes no prompt, or a clip is too long for it.
        """
        if not clips:
            return []
        settings, n_best = choose_settings(self.settings, options), options.get("n_best", 1)
        languages = self._languages(options.get("target_language"), len(clips))
        prompts = self._prompts(options.get("prompt"), len(clips))
        most = self._most_clips(settings, n_best=n_best)
        found = list[tuple[tuple[str, float], ...]]()
        for first in range(0, len(clips), most):
            part = slice(first, first + most)
            found += generate_texts(
                self.model,
                self.tokenizer,
                collate([Clip(poses=clip.poses, labels=NO_LABELS) for clip in clips[part]]),
                settings=settings,
                n_best=n_best,
                languages=None if languages is None else languages[part],
                prompts=None if prompts is None else prompts[part],
            )
        return [
            Translation(*best[0], clip.seconds, best, warnings=clip.warnings)
            for clip, best in zip(clips, found, strict=True)
        ]

    def _most_clips(self, settings: GenerationConfig, *, n_best: int) -> int:
        """How many clips' scores there is room for."""
        rows = max(settings.num_beams, n_best) * settings.max_new_tokens
        words: int = self.model.get_input_embeddings().weight.shape[0]
        return max(1, MOST_SCORES // (rows * words * BYTES))

    def _languages(self, wanted: str | Sequence[str | None] | None, count: int) -> Tensor | None:
        names = [wanted] * count if wanted is None or isinstance(wanted, str) else list(wanted)
        languages = language_ids(self.model, self.tokenizer, names)
        if any(names) and languages is None:
            raise ModelError(
                f"This checkpoint's text model ({self.model.text_model.config.model_type}) has no codes for languages; "
                "it writes the one it was trained on. Leave the target language out."
            )
        return languages

    def _prompts(self, prompt: str | None, count: int) -> Tensor | None:
        """The same for each of `count` clips, (B, P)."""
        if not prompt:
            return None
        if self.model.text_model.config.model_type == "encoder-decoder":
            raise ModelError(
                "This checkpoint's text model is a composite: encoder and tokenizer are of two models, so it can't "
                "read a prompt. Leave it out."
            )
        if not self._is_prompted and UNPROMPTED not in self._told:
            self._told.add(UNPROMPTED)
            logger.warning(UNPROMPTED)
        ids = self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        return torch.tensor(ids).expand(count, -1)

    def translate(self, source: Source, **options: Unpack[Options]) -> Translation:
        """Translate one clip; `stream` is for several.

        Args:
            source: See `pack`.
            **options: See `Options`.

        Raises:
            PoseError: If the clip can't be used.
            ConfigError: If an option has a value that it can't have.
            ModelError: If the text model doesn't know the language, or takes no prompt.
        """
        clip = self.pack(source)
        self._tell(describe_source(source), clip)
        return self.translate_clips([clip], **options)[0]

    def stream(
        self,
        sources: Iterable[Source],
        *,
        batch_size: int = 32,
        keep_errors: bool = False,
        **options: Unpack[Options],
    ) -> Iterator[Translation]:
        """Translate many clips, in batches of similar length; yields in the order of `sources`.

        They are read by another thread while the model works, some batches ahead. A clip waits for others at most
        two seconds, so results come also where sources come slowly.

        Args:
            sources: See `pack`; asked for as they are needed, in that thread.
            batch_size: Clips in a batch.
            keep_errors: Yield a Translation with its `error` for a clip that can't be used, instead of raising.
            **options: See `Options`.

        Raises:
            PoseError: If a clip can't be used and `keep_errors` is False, or one clip is given instead of several.
            ConfigError: If an option has a value that it can't have.
            ModelError: If the text model doesn't know the language, or takes no prompt.
        """
        check_several(sources)
        choose_settings(self.settings, options)  # what is wrong is said before anything is read
        self._languages(options.get("target_language"), 1)
        self._prompts(options.get("prompt"), 1)

        def read(source: Source) -> tuple[str, PackedClip | Translation]:
            try:
                clip = self.pack(source)
                return describe_source(source), clip
            except PoseError as fault:
                if not keep_errors:
                    raise
                return "", Translation("", 0.0, 0.0, error=str(fault))

        def translate(clips: list[PackedClip]) -> list[Translation]:
            return self.translate_clips(clips, **options)

        with closing(ReadAhead(sources, read, room=batch_size)) as reads:
            yield from translate_in_order(reads, translate, batch_size=batch_size, tell=self._tell)

    def _tell(self, name: str, clip: PackedClip) -> None:
        """Log what may spoil a translation; the same of many clips only once."""
        for warning in clip.warnings:
            if warning not in self._told:
                self._told.add(warning)
                logger.warning("%s: %s", name, warning)

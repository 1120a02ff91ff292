"""The models that a server holds: loading them, describing them, and the queue in front of each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from signseq.config import load_config
from signseq.errors import CheckpointError, ConfigError, ModelError, SignSeqError
from signseq.model.languages import Languages, find_languages
from signseq.poses.keypoints import skeleton_edges
from signseq.serving.faults import ServiceError
from signseq.serving.metrics import Metrics
from signseq.serving.queue import BatchQueue, Options
from signseq.serving.settings import ServeSettings
from signseq.translation import PackedClip, Translation, Translator

__all__ = ["Answer", "ModelSpec", "ServedModel", "load_translators", "parse_specs"]

logger = logging.getLogger(__name__)
WARM_UP = 16  # frames
EMBEDDED = ("sentences", "words")  # corpora that are demonstrations, not a language
Loader = Callable[[Path], Translator]


@dataclass(frozen=True)
class ModelSpec:
    """A model that is to be served: what clients call it, and its checkpoint's folder."""

    name: str
    folder: Path


@dataclass(frozen=True)
class Answer:
    """A translation, and the seconds that it took.

    Attributes:
        translation: What was translated.
        queue_seconds: In the queue.
        model_seconds: In the model, with the others of its batch.
    """

    translation: Translation
    queue_seconds: float
    model_seconds: float


def parse_specs(arguments: Sequence[str]) -> tuple[ModelSpec, ...]:
    """Read CHECKPOINT or NAME=CHECKPOINT; a folder's own name is its model's, where none is given.

    Raises:
        ConfigError: If two models have one name, or a name holds characters that a URL doesn't like.
    """
    specs = []
    for argument in arguments:
        name, sign, folder = argument.partition("=")
        if not sign or Path(argument).exists():
            name, folder = Path(argument).resolve().name, argument
        if not name or not all(sign.isalnum() or sign in "-_." for sign in name):
            raise ConfigError(
                f"{argument!r}: {name!r} is no name for a model (letters, digits, - _ .). Give NAME=CHECKPOINT."
            )
        specs.append(ModelSpec(name, Path(folder)))
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"Two models are called {name!r}. Name them: NAME=CHECKPOINT NAME=CHECKPOINT."
            )
    return tuple(specs)


def load_translators(specs: Sequence[ModelSpec], load: Loader) -> dict[str, Translator]:
    """Load the models in turn.

    Raises:
        CheckpointError: If a folder can't be served; names it.
    """
    translators = {}
    for spec in specs:
        logger.info("Loading %s from %s ...", spec.name, spec.folder)
        try:
            translators[spec.name] = load(spec.folder)
            warm_up(translators[spec.name])
        except SignSeqError as fault:
            if str(spec.folder) in str(fault):
                raise
            raise CheckpointError(f"{spec.folder}: {fault}") from fault
    return translators


def warm_up(translator: Translator) -> None:
    """Translate a clip of nothing: the first one takes seconds longer, and a broken model fails here.

    Raises:
        CheckpointError: If the model can't translate.
    """
    poses = np.zeros(
        (WARM_UP, len(translator.recipe.names), translator.recipe.channels), np.float16
    )
    languages, language = _languages_of(translator), None
    if languages and translator.model.config.language_id is None:  # each request must name one
        language = next(iter(languages.ids))
    try:
        translator.translate_clips([PackedClip(poses, 1.0)], target_language=language)
    except Exception as fault:
        raise CheckpointError(
            f"The model can't translate ({type(fault).__name__}: {fault}). Train or download it again."
        ) from fault


def is_demonstration(folder: Path) -> bool:
    """Whether a checkpoint was trained on an embedded corpus, so that it translates no language."""
    config = folder / "config.yaml"
    return config.exists() and load_config(config).data.corpus in EMBEDDED


class ServedModel:
    """A model with its queue.

    Args:
        name: What clients call it.
        translator: The model.
        settings: The server's.
        metrics: Are told what its queue does.
        is_demo: Whether it is a demonstration only.
    """

    def __init__(
        self,
        name: str,
        translator: Translator,
        *,
        settings: ServeSettings,
        metrics: Metrics,
        is_demo: bool = False,
    ) -> None:
        self.name, self.translator, self.is_demo = name, translator, is_demo
        self.keypoints = translator.recipe.needed
        self.max_seconds = settings.max_seconds
        self._settings = settings
        self._languages = _languages_of(translator)
        self.queue: BatchQueue[PackedClip, Translation] = BatchQueue(
            self._translate,
            length=lambda clip: len(clip.poses),
            batch_size=settings.batch_size,
            max_wait_ms=settings.max_wait_ms,
            queue_size=settings.queue_size,
            watcher=metrics.of_model(name, lambda: len(self.queue)),
        )

    @property
    def card(self) -> Mapping[str, Any]:
        """What `GET /v1/model` says of it."""
        model = self.translator.model
        codes = sorted(self._languages.ids) if self._languages else []
        millions = sum(weight.numel() for weight in model.parameters()) / 1e6
        return {
            "name": self.name,
            "description": f"{model.config.text_model['model_type']}, {millions:.1f} million parameters",
            "is_demo": self.is_demo,
            "keypoints": list(self.keypoints),
            "edges": [list(edge) for edge in skeleton_edges(self.keypoints)],
            "fps": self.translator.recipe.fps,
            "step_frames": model.config.step_frames,
            "max_seconds": self.max_seconds,
            "estimators": list(model.config.estimators),
            "languages": codes,
            "language": self.default_language,
            "max_n_best": self._settings.max_n_best,
        }

    @property
    def default_language(self) -> str | None:
        """The code of what the model writes where a request names no language; None without codes."""
        number = self.translator.model.config.language_id
        ids = self._languages.ids if self._languages else {}
        return next((code for code, known in ids.items() if known == number), None)

    def language_code(self, language: str | None) -> str | None:
        """The model's own code of the language asked for; None where the default is meant.

        Raises:
            ServiceError: 422 if the model can't write it, or must be told one.
        """
        if not language:
            if self._languages and self.default_language is None:
                raise ServiceError(
                    422,
                    "language_missing",
                    f"The model {self.name!r} writes several languages: name one, as `language`; "
                    "GET /v1/model lists them.",
                )
            return None
        if self._languages is None:
            raise ServiceError(
                422,
                "unknown_language",
                f"The model {self.name!r} has no codes for languages; leave `language` out.",
            )
        try:
            return self._languages.code(language)
        except ModelError as fault:
            raise ServiceError(
                422,
                "unknown_language",
                f"The model {self.name!r} doesn't know the language asked for; GET /v1/model lists those it writes.",
            ) from fault

    def options(
        self, *, n_best: int = 1, num_beams: int | None = None, language: str | None = None
    ) -> Options:
        """How a clip is to be translated; equal requests have equal options.

        Raises:
            ServiceError: 422 if the model or the server's limits don't allow it.
        """
        self._check_most("n_best", n_best, self._settings.max_n_best)
        self._check_most("num_beams", num_beams or 1, self._settings.max_beams)
        beams = num_beams or self._settings.num_beams or self.translator.settings.num_beams
        return Options(n_best, max(beams, n_best), self.language_code(language))

    def _check_most(self, name: str, value: int, most: int) -> None:
        if not 1 <= value <= most:
            raise ServiceError(
                422, "invalid_request", f"`{name}` must be between 1 and {most}, not {value}."
            )

    async def submit(
        self,
        clip: PackedClip,
        *,
        n_best: int = 1,
        num_beams: int | None = None,
        language: str | None = None,
        client: object = None,
        is_partial: bool = False,
        stream: object | None = None,
    ) -> Answer:
        """Translate a clip, in a batch with others'; see `BatchQueue.submit`.

        Raises:
            ServiceError: If it can't be: 422 or 503.
            SupersededError: If a newer clip of the same stream has come.
        """
        options = self.options(n_best=n_best, num_beams=num_beams, language=language)
        found, waited, ran = await self.queue.submit(
            clip, options, client=client, is_partial=is_partial, stream=stream
        )
        return Answer(found, waited, ran)

    def _translate(self, clips: Sequence[PackedClip], options: Options) -> Sequence[Translation]:
        return self.translator.translate_clips(
            clips,
            n_best=options.n_best,
            num_beams=options.num_beams,
            target_language=options.language,
        )


def _languages_of(translator: Translator) -> Languages | None:
    if translator.model.config.language_place is None:
        return None
    return find_languages(translator.model.text_model.config, translator.tokenizer)

"""How to translate, where a call says it otherwise than the checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from pydantic import ValidationError

from signseq.config import GenerationConfig
from signseq.errors import ConfigError
from signseq.sections.scoring import MOST_BEAMS

__all__ = ["Options", "choose_settings"]

SETTINGS = tuple(GenerationConfig.model_fields)


class Options(TypedDict, total=False):
    """What `Translator`'s methods take besides the clips; what is None or not given is the checkpoint's.

    Attributes:
        n_best: How many sentences to return in `alternatives`; 1, at most `MOST_BEAMS`.
        num_beams: Beams to search with, at most `MOST_BEAMS`; at least `n_best` are taken.
        length_penalty: With beams: above 1 favours longer texts, below 1 shorter ones.
        no_repeat_ngram_size: No sequence of so many tokens comes twice; 0 allows all.
        max_new_tokens: The longest text, in tokens.
        target_language: What a multilingual text model is to write.
        prompt: What the model is told with the clip, instead of `data.prompt`.
    """

    n_best: int
    num_beams: int | None
    length_penalty: float | None
    no_repeat_ngram_size: int | None
    max_new_tokens: int | None
    target_language: str | Sequence[str | None] | None
    prompt: str | None


def choose_settings(own: GenerationConfig, options: Options) -> GenerationConfig:
    """The checkpoint's settings, and what replaces them.

    Raises:
        ConfigError: If a value is none that the setting can have.
    """
    if not 1 <= options.get("n_best", 1) <= MOST_BEAMS:
        raise ConfigError(f"n_best = {options['n_best']}: expected 1 to {MOST_BEAMS}.")
    given = {name: options[name] for name in SETTINGS if options.get(name) is not None}  # type: ignore[literal-required]
    if not given:
        return own
    try:
        return GenerationConfig.model_validate(own.model_dump() | given)
    except ValidationError as fault:
        first = fault.errors()[0]
        name, said = first["loc"][0], first["msg"]
        raise ConfigError(f"{name} = {first['input']!r}: {said}.") from fault

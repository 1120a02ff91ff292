"""How text is generated, and how it is scored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from signseq.sections.base import Count, Section

__all__ = ["EvaluationConfig", "GenerationConfig"]


class GenerationConfig(Section):
    """How text is generated."""

    num_beams: Count = 5
    max_new_tokens: Count = 128
    length_penalty: float = 1.0
    no_repeat_ngram_size: Annotated[int, Field(ge=0)] = 0


class EvaluationConfig(Section):
    """How texts are scored; the same for hypotheses and references."""

    normalize: Literal["none", "lower", "no_punct", "lower_no_punct"] = "none"
    tokenize: Literal[
        "auto",
        "none",
        "zh",
        "13a",
        "intl",
        "char",
        "ja-mecab",
        "ko-mecab",
        "spm",
        "flores101",
        "flores200",
        "spBLEU-1K",
    ] = "auto"  # BLEU's; by data.target_language, else by the texts' script
    resamples: Annotated[int, Field(ge=0)] = 1000  # of the bootstrap; 0: no confidence intervals
    bleurt: str | None = None  # a checkpoint to compute BLEURT with
    comet: str | None = None  # a model to compute COMET with

    @property
    def models(self) -> dict[str, str]:
        """The models of metrics that need one, by metric."""
        named = {"bleurt": self.bleurt, "comet": self.comet}
        return {name: model for name, model in named.items() if model is not None}

"""How text is generated, and how it is scored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from signseq.sections.base import Count, Section

__all__ = ["MOST_BEAMS", "EvaluationConfig", "GenerationConfig"]

MOST_BEAMS = 100  # time and memory grow with them; 100,000 would never end
# Normalisations that people look for, and why they would lie
UNPUBLISHED = {
    "posestitch_isign": "no source was found for what PoseStitch-SLT does to iSign's texts before they are scored, "
    "so there is no such rule here; say which you use: none, lower, no_punct or lower_no_punct"
}


class GenerationConfig(Section):
    """How text is generated."""

    num_beams: Annotated[Count, Field(le=MOST_BEAMS)] = 5
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
    dtype: Literal["auto", "float32", "bfloat16", "float16", "int8"] = "auto"  # of the weights
    resamples: Annotated[int, Field(ge=0)] = 1000  # of the bootstrap; 0: no confidence intervals
    bleurt: str | None = None  # a checkpoint to compute BLEURT with
    comet: str | None = None  # a model to compute COMET with

    @field_validator("normalize", mode="before")
    @classmethod
    def _is_published(cls, name: Any) -> Any:
        if name in UNPUBLISHED:
            raise PydanticCustomError("unpublished", UNPUBLISHED[name])
        return name

    @property
    def models(self) -> dict[str, str]:
        """The models of metrics that need one, by metric."""
        named = {"bleurt": self.bleurt, "comet": self.comet}
        return {name: model for name, model in named.items() if model is not None}

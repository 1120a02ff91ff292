"""The whole of a config."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from signseq.sections.base import Section
from signseq.sections.data import DataConfig
from signseq.sections.model import ModelConfig
from signseq.sections.scoring import EvaluationConfig, GenerationConfig
from signseq.sections.training import SweepConfig, TrainingConfig

__all__ = ["Config"]


class Config(Section):
    """One experiment."""

    seed: Annotated[int, Field(ge=0)] = 42
    data: DataConfig
    model: ModelConfig
    training: TrainingConfig
    generation: GenerationConfig = GenerationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    sweep: SweepConfig | None = None

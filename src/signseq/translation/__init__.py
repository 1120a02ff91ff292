"""From poses to sentences, with a checkpoint folder and nothing else."""

from __future__ import annotations

from signseq.translation.loading import load_checkpoint
from signseq.translation.options import Options
from signseq.translation.results import PackedClip, Translation
from signseq.translation.sources import ClipSource, Source
from signseq.translation.translator import Translator

__all__ = [
    "ClipSource",
    "Options",
    "PackedClip",
    "Source",
    "Translation",
    "Translator",
    "load_checkpoint",
]

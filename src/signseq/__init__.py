"""signseq: from signed language to text, through any Hugging Face sequence-to-sequence model.

Importing the package imports no heavy library; each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from signseq.averaging import average
    from signseq.comparison import compare
    from signseq.config import Config, load_config
    from signseq.errors import SignSeqError
    from signseq.evaluation import evaluate
    from signseq.extraction.run import extract_poses
    from signseq.inspection import inspect
    from signseq.merging import merge
    from signseq.metrics import Scores, score
    from signseq.poses.sequence import PoseSequence, read_pose, write_pose
    from signseq.preparation import prepare
    from signseq.reporting.run import report
    from signseq.splitting import split
    from signseq.stitching import stitch
    from signseq.subtitling.run import subtitle
    from signseq.sweeping.run import sweep
    from signseq.systems import read_systems
    from signseq.training.run import train
    from signseq.translation import Translation, Translator

__all__ = [
    "Config",
    "PoseSequence",
    "Scores",
    "SignSeqError",
    "Translation",
    "Translator",
    "average",
    "compare",
    "evaluate",
    "extract_poses",
    "inspect",
    "load_config",
    "merge",
    "prepare",
    "read_pose",
    "read_systems",
    "report",
    "score",
    "split",
    "stitch",
    "subtitle",
    "sweep",
    "train",
    "write_pose",
]
__version__ = "0.1.0"

_HOMES = {
    "Config": "config",
    "PoseSequence": "poses.sequence",
    "Scores": "metrics",
    "SignSeqError": "errors",
    "Translation": "translation",
    "Translator": "translation",
    "average": "averaging",
    "compare": "comparison",
    "evaluate": "evaluation",
    "extract_poses": "extraction.run",
    "inspect": "inspection",
    "load_config": "config",
    "merge": "merging",
    "prepare": "preparation",
    "read_pose": "poses.sequence",
    "read_systems": "systems",
    "report": "reporting.run",
    "score": "metrics",
    "split": "splitting",
    "stitch": "stitching",
    "subtitle": "subtitling.run",
    "sweep": "sweeping.run",
    "train": "training.run",
    "write_pose": "poses.sequence",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'signseq' has no attribute {name!r}")
    return getattr(import_module(f"signseq.{_HOMES[name]}"), name)
